"""Where archetypal analysis begins: d distinct columns of X. Distances come from the Gram matrix, so filter size does not matter.

``furthest_first`` and ``furthest_sum`` spread the columns, ``uniform`` draws them; all are deterministic for a seed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ... import checks
from .codes import points

STARTS = ("furthest_first", "furthest_sum", "uniform")


def furthest_first(X: Tensor, d: int, *, seed: int = 0) -> Tensor:
    """X (l, N) -> d distinct indices (int64): a random column, then always the column furthest from its nearest chosen one.

    Gonzalez 1985. Ties go to the lowest index; columns equal to chosen ones come last, so a constant cloud is drawn uniformly.
    Peak memory: the N x N Gram matrix. Raises TypeError or ValueError naming X, d or seed.
    """
    return _chosen("furthest_first", X, d, seed)


def furthest_sum(X: Tensor, d: int, *, seed: int = 0) -> Tensor:
    """X (l, N) -> d distinct indices (int64): FurthestSum of Morup & Hansen 2012, as in Mair & Brefeld's code.

    From a random column to the one furthest from it, to the one furthest from that, which is the first choice; then always
    the column with the largest sum of distances to those chosen. Ties go to the lowest index, duplicates of chosen columns
    come last. Raises TypeError or ValueError naming X, d or seed.
    """
    return _chosen("furthest_sum", X, d, seed)


def uniform(X: Tensor, d: int, *, seed: int = 0) -> Tensor:
    """X (l, N) -> d distinct indices (int64), drawn uniformly. Raises TypeError or ValueError naming X, d or seed."""
    return _chosen("uniform", X, d, seed)


def _chosen(rule: str, X: Tensor, d: int, seed: int) -> Tensor:
    X = points("X", X)
    d = checks.integer("d", d, 1, X.shape[1])
    seed = checks.integer("seed", seed, 0)
    with torch.no_grad():
        centered = X - X.mean(1, keepdim=True)
        return choose(rule, None if rule == "uniform" else centered.T @ centered, X.shape[1], d, seed).to(X.device)


def choose(rule: str, K: Tensor | None, n: int, d: int, seed: int) -> Tensor:
    """The rule on a Gram matrix K (N, N); indices (d,) on the CPU."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    if rule == "uniform":
        return order[:d]
    size = K.diagonal()
    small = 32 * torch.finfo(K.dtype).eps * size.max()  # squared distances below this are rounding: duplicates

    def distances(i: int) -> Tensor:
        squared = size + size[i] - 2 * K[i]
        return torch.where(squared <= small, 0, squared)

    first = int(order[0])
    if rule == "furthest_sum":
        first = int(distances(int(distances(first).argmax())).argmax())
    chosen, free = [first], torch.ones(n, dtype=torch.bool, device=K.device)
    gone = distances(first)
    nearest, total = gone, gone.sqrt()
    free[first] = False
    while len(chosen) < d:
        new = nearest > 0  # a duplicate adds nothing: only when no other is left
        if not bool((new & free).any()):
            rest = [int(i) for i in order if bool(free[i])]
            chosen += rest[: d - len(chosen)]
            break
        score = nearest if rule == "furthest_first" else total
        best = int(torch.where(new & free, score, -torch.inf).argmax())
        chosen.append(best)
        free[best] = False
        gone = distances(best)
        nearest, total = torch.minimum(nearest, gone), total + gone.sqrt()
    return torch.tensor(chosen)
