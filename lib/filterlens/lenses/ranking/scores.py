"""Rankings of a layer's filters to hold positional relevance against: norms, distances to the middle, chance.

All see the weights alone. ``removal`` takes the filters away, ``simplex.relevance`` is the ranking they are compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import checks
from ..filter_ranking import FilterRanking, filters_of, lexicographic
from ..median import geometric_median
from ..simplex.relevance import positional_relevance

METHODS = ("positional", "l1", "l2", "fpgm", "geometric_median", "random")
NEAREST = 3  # candidates among which the control of equal norm is drawn


def rank(weight: Tensor, method: str, *, seed: int = 0, **options: Any) -> FilterRanking:
    """Rank the filters of a weight (k, c, kh, kw), or (k, l) of a linear layer, most redundant first.

    method: "positional": ``simplex.positional_relevance``, which takes ``options`` and returns its own richer ranking.
        "l1": sum of absolute weights, smallest first (Li et al. 2017, arXiv 1608.08710). "l2": Euclidean norm, smallest first
        (soft filter pruning, He et al. 2018, arXiv 1808.06866). "fpgm": sum of Euclidean distances to all filters, smallest
        first (He et al. 2019, arXiv 1811.00250, Eq. 4: of the filters those nearest to being the geometric median).
        "geometric_median": distance to the true geometric median, smallest first; its option is ``tol``.
        "random": a permutation.
    seed: of "random" and "positional"; the others draw nothing.

    Scores are in double precision; filters of equal score stand by index. Peak memory: two tables like the weight in double
    precision, for "fpgm" also (k, k). Raises TypeError for an unknown option and TypeError or ValueError naming a wrong argument.
    """
    rows = filters_of("weight", weight)
    checks.choice("method", method, METHODS)
    checks.integer("seed", seed, 0)
    known = {"positional": set(options), "geometric_median": {"tol"}}.get(method, set())
    if unknown := sorted(set(options) - known):
        raise TypeError(f"options: got {unknown[0]!r}, expected {sorted(known) or 'none'} for the method {method!r}")
    if method == "positional":
        return positional_relevance(weight, seed=seed, **options)
    rows = rows.double()
    if method == "random":
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).to(rows.device)
        return FilterRanking(method, order.argsort().double(), order)
    if method == "fpgm":
        score = _sums_of_distances(rows)
    elif method == "geometric_median":
        score = (rows - geometric_median(rows.T, **options)).norm(dim=1)
    else:
        score = rows.abs().sum(1) if method == "l1" else rows.norm(dim=1)
    return FilterRanking(method, score, lexicographic(score))


def _sums_of_distances(rows: Tensor) -> Tensor:
    """(k,): the sum of the distances from each row to all; from one product, pairs where that cancels by their differences."""
    centred = rows - rows.mean(0)
    squares = centred.square().sum(1)
    sizes = squares[:, None] + squares
    squared = torch.addmm(sizes, centred, centred.T, alpha=-2)
    distances = squared.clamp(min=0).sqrt()
    close = squared < 1e-6 * sizes
    for at in (close.sum(1) > 1).nonzero()[:, 0].tolist():
        distances[at, close[at]] = (rows[close[at]] - rows[at]).norm(dim=1)
    sums = distances.fill_diagonal_(0).sum(1)
    kinds = torch.unique(rows, dim=0, return_inverse=True)[1]  # duplicates: rounding must not tell them apart
    return sums.new_zeros(len(sums)).scatter_reduce(0, kinds, sums, "amax", include_self=False)[kinds]


def norm_matched(weight: Tensor, removed: Tensor, *, seed: int = 0) -> Tensor:
    """As many other filters of the nearest available Euclidean norms: the control for what a removal does by norm alone.

    Nearest available, not equal: what ``removed`` holds is no longer there to choose, so where it takes all filters of an extreme
    norm, its partners are less extreme. ``norm_mismatch`` says how much of a difference remains.

    weight: (k, c, kh, kw) or (k, l); removed: distinct indices (n,), at most half of k. Returns (n,) int64: distinct indices outside
    ``removed``, the i-th of them the partner of ``removed[i]``. The removed filters choose in random order; each draws one of the
    three filters left whose norms are nearest to its own, with equal chances (of equal distances the lower index is nearer).

    Raises ValueError naming ``removed`` when fewer others are left than removed, TypeError or ValueError for other arguments.
    """
    rows = filters_of("weight", weight)
    k = len(rows)
    chosen = checks.indices("removed", removed, k)
    checks.integer("seed", seed, 0)
    others = np.setdiff1d(np.arange(k), chosen)
    if len(others) < len(chosen):
        raise ValueError(f"removed: got {len(chosen)} of {k} filters, which leaves {len(others)} others; expected at most half of them")
    norms = rows.double().norm(dim=1).cpu().numpy()
    generator = torch.Generator().manual_seed(seed)
    partners = [0] * len(chosen)
    for at in torch.randperm(len(chosen), generator=generator).tolist():
        near = np.abs(norms[others] - norms[chosen[at]]).argsort(kind="stable")[:NEAREST]  # stable: equal ones by index
        drawn = near[int(torch.randint(len(near), (), generator=generator))]
        partners[at] = int(others[drawn])
        others = np.delete(others, drawn)
    return torch.tensor(partners, device=rows.device)


def norm_mismatch(weight: Tensor, removed: Tensor, matched: Tensor) -> float:
    """How badly a control matches: the mean over pairs of | ||a|| - ||b|| | / max(||a||, ||b||), in [0, 1]; two zero filters differ by 0.

    removed, matched: indices (n,), pair by pair as ``norm_matched`` gives them. Raises TypeError or ValueError naming the argument.
    """
    rows = filters_of("weight", weight)
    removed, matched = checks.indices("removed", removed, len(rows)), checks.indices("matched", matched, len(rows))
    if len(matched) != len(removed):
        raise ValueError(f"matched: got {len(matched)} indices, expected {len(removed)}, one for each removed filter")
    norms = rows.double().norm(dim=1)
    a, b = norms[removed], norms[matched]
    larger = torch.maximum(a, b)
    return float(torch.where(larger > 0, (a - b).abs() / larger, 0).mean())
