"""Influential features (Badola et al. 2021, arXiv 2112.07719): which few pooled features decide a class.

``find_influential`` lets each image vote for its largest features and counts by class (Algorithm 1); ``InfluenceCounter``
does it for streams, ``count_ranks`` for every r at once.
"""

from .selection import RULES, InfluenceCounter, InfluentialFeatures, RankCounts, count_ranks, find_influential

__all__ = ["RULES", "InfluenceCounter", "InfluentialFeatures", "RankCounts", "count_ranks", "find_influential"]
