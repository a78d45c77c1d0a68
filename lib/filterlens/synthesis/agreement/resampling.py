"""How far an agreement holds for other layers: the layers themselves drawn again, where ``statistics`` takes them as given.

Layers differ. Where they do, an interval over filters is too narrow for a sentence about layers that were not measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from filterlens import checks

from .parts import SCORES, FilterScores
from .statistics import _checked, _level, ranked

FEWEST = 8  # layers that are drawn from


class OverLayers(NamedTuple):
    """rho of two scores over ``layers`` layers, with the interval that layers drawn again give; NaN for fewer than eight layers.

    ``same``: the share of the layers whose own rho has the sign of all of them together.
    """

    a: str
    b: str
    rho: float
    low: float
    high: float
    layers: int
    same: float


def over_layers(
    found: Sequence[FilterScores], a: str, b: str, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> OverLayers:  # fmt: skip
    """Spearman's rho of two scores as ``agree`` has it, with an interval over layers: percentiles of ``draws`` sets of as many layers,
    drawn with replacement (a cluster bootstrap). The layers of one network are drawn like those of several.

    Raises TypeError or ValueError naming the argument.
    """
    found = _checked(found)
    checks.choice("a", a, SCORES)
    checks.choice("b", b, [name for name in SCORES if name != a])
    level, draws, seed = _level(level), checks.integer("draws", draws, 1), checks.integer("seed", seed, 0)
    parts, _ = ranked(found, a, b)
    sums = np.array([[(x * y).sum(), (x * x).sum(), (y * y).sum()] for x, y in parts]).reshape(-1, 3)
    if not len(sums):
        return OverLayers(a, b, *[math.nan] * 3, 0, math.nan)
    rho = float(_rho(sums.sum(0)))
    low = high = math.nan
    if len(sums) >= FEWEST:
        drawn = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
        low, high = (float(edge) for edge in np.quantile(_rho(sums[drawn].sum(1).T), [(1 - level) / 2, (1 + level) / 2]))
    return OverLayers(a, b, rho, low, high, len(sums), float((np.sign(sums[:, 0]) == np.sign(rho)).mean()))


def _rho(sums: np.ndarray) -> np.ndarray:
    """Of sums of products (3, ...): x y, x x and y y."""
    return np.clip(sums[0] / np.sqrt(sums[1] * sums[2]), -1, 1)
