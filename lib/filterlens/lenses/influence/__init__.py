"""Influential features (Badola et al. 2021, arXiv 2112.07719): which few pooled features decide a class.

``find_influential`` lets each image vote for its largest features and counts by class (Algorithm 1); ``InfluenceCounter``
does it for streams, ``count_ranks`` for every r at once. ``decompose`` leaves every class its own features alone, ``retrain``
trains what is left; ``accuracy_surface`` says what that costs for every (r, s), ``study`` for a network of any size.
``essentiality`` puts noise on the influential and on the other features, ``set_statistics`` compares the sets of classes,
``set_maps`` shows what they look at.
"""

from .decomposition import DecomposedLinear, Retrained, decompose, decompose_model, retrain
from .essentiality import Essentiality, FeatureStats, ablate, essentiality, feature_stats
from .maps import others, set_maps
from .selection import RULES, InfluenceCounter, InfluentialFeatures, RankCounts, count_ranks, find_influential
from .sets import SetStatistics, set_statistics, shared
from .study import Study, study
from .surface import Surface, accuracy_by_size, accuracy_surface

__all__ = [
    "RULES",
    "DecomposedLinear",
    "Essentiality",
    "FeatureStats",
    "InfluenceCounter",
    "InfluentialFeatures",
    "RankCounts",
    "Retrained",
    "SetStatistics",
    "Study",
    "Surface",
    "ablate",
    "accuracy_by_size",
    "accuracy_surface",
    "count_ranks",
    "decompose",
    "decompose_model",
    "essentiality",
    "feature_stats",
    "find_influential",
    "others",
    "retrain",
    "set_maps",
    "set_statistics",
    "shared",
    "study",
]
