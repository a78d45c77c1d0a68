"""Rankings of a layer's filters to compare positional relevance with, and the removal of filters.

``rank`` orders filters by norm, by distance to the middle, or by chance; ``norm_matched`` draws the control that has the same
norms; ``geometric_median`` is the middle itself.
"""

from ..filter_ranking import FilterRanking
from ..median import geometric_median
from .scores import METHODS, norm_matched, norm_mismatch, rank

__all__ = [
    "METHODS",
    "FilterRanking",
    "geometric_median",
    "norm_matched",
    "norm_mismatch",
    "rank",
]
