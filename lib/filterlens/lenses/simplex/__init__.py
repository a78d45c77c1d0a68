"""Redundant filters from the simplex geometry of filter space (Thakur, Abrol, Sharma, NeurReps 2022, PMLR 197:111-121).

``archetypal_analysis`` finds the archetypes of a layer's filters and codes every filter as a mixture of them;
``simplex_codes``, ``project_simplex`` and the starts are its parts, ``coreset`` samples large clouds, ``ArchetypalAnalysis``
is the scikit-learn style wrapper. ``positional_relevance`` ranks filters by how many archetypes they mix, ``fabricate`` draws new
mixtures, ``fabricate_network`` whole networks of them; ``storage`` counts what keeping archetypes alone would save.
``prewitt_response`` is the smallest instance of the argument.
"""

from .archetypes import Archetypes, archetypal_analysis
from .codes import Codes, simplex_codes
from .coreset import Coreset, coreset
from .estimator import ArchetypalAnalysis
from .fabricated_networks import Fabricated, fabricate_network, reset_statistics
from .fabrication import expected_variance_ratio, fabricate, fabrication_weights, variance_ratio
from .prewitt import PrewittResponse, prewitt_filters, prewitt_response
from .projection import project_simplex
from .relevance import PositionalRanking, layer_relevance, positional_relevance, tau_sensitivity
from .starts import furthest_first, furthest_sum, uniform
from .storage import LayerStorage, Storage, storage

__all__ = [
    "ArchetypalAnalysis",
    "Archetypes",
    "Codes",
    "Coreset",
    "Fabricated",
    "LayerStorage",
    "PositionalRanking",
    "PrewittResponse",
    "Storage",
    "archetypal_analysis",
    "coreset",
    "expected_variance_ratio",
    "fabricate",
    "fabricate_network",
    "fabrication_weights",
    "furthest_first",
    "furthest_sum",
    "layer_relevance",
    "positional_relevance",
    "prewitt_filters",
    "prewitt_response",
    "project_simplex",
    "reset_statistics",
    "simplex_codes",
    "storage",
    "tau_sensitivity",
    "uniform",
    "variance_ratio",
]
