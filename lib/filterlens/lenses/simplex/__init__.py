"""Redundant filters from the simplex geometry of filter space (Thakur, Abrol, Sharma, NeurReps 2022, PMLR 197:111-121).

``archetypal_analysis`` finds the archetypes of a layer's filters and codes every filter as a mixture of them;
``simplex_codes``, ``project_simplex`` and the starts are its parts, ``coreset`` samples large clouds, ``ArchetypalAnalysis``
is the scikit-learn style wrapper.
"""

from .archetypes import Archetypes, archetypal_analysis
from .codes import Codes, simplex_codes
from .coreset import Coreset, coreset
from .estimator import ArchetypalAnalysis
from .projection import project_simplex
from .starts import furthest_first, furthest_sum, uniform

__all__ = [
    "ArchetypalAnalysis",
    "Archetypes",
    "Codes",
    "Coreset",
    "archetypal_analysis",
    "coreset",
    "furthest_first",
    "furthest_sum",
    "project_simplex",
    "simplex_codes",
    "uniform",
]
