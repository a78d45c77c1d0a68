"""Rankings of a layer's filters to compare positional relevance with, and the removal of filters.

``rank`` orders filters by norm, by distance to the middle, or by chance; ``norm_matched`` draws the control that has the same
norms; ``geometric_median`` is the middle itself. ``remove_filters`` silences filters or cuts them out, ``removable`` names the
layers where that can be done, ``n_removed`` says how many a share is.
"""

from ..filter_ranking import FilterRanking
from ..median import geometric_median
from .removal import n_removed, removable, remove_filters
from .scores import METHODS, norm_matched, norm_mismatch, rank

__all__ = [
    "METHODS",
    "FilterRanking",
    "geometric_median",
    "n_removed",
    "norm_matched",
    "norm_mismatch",
    "rank",
    "removable",
    "remove_filters",
]
