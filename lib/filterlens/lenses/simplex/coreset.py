"""Coresets for archetypal analysis (Mair & Brefeld, NeurIPS 2019): a weighted sample that stands for all columns.

``archetypal_analysis(..., coreset=m)`` draws one; weights enter the archetype update only, archetypes are mixtures of the
sampled columns as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks
from .codes import points


@dataclass(frozen=True, eq=False)
class Coreset:
    """Column indices (m,), drawn with replacement, and their weights 1 / (m q_i) (m,): sum w_i f(x_i) estimates sum f(x_i)."""

    indices: Tensor
    weights: Tensor


def coreset(X: Tensor, m: int, *, seed: int = 0) -> Coreset:
    """m columns of X (l, N), drawn with q_i = ||x_i - mean||^2 / sum; uniformly if all columns are equal.

    Raises TypeError or ValueError naming X, m or seed.
    """
    X = points("X", X)
    m, seed = checks.integer("m", m, 1), checks.integer("seed", seed, 0)
    with torch.no_grad():
        q = (X.double() - X.double().mean(1, keepdim=True)).square().sum(0).cpu()
        floor = 64 * torch.finfo(X.dtype).eps ** 2 * float(X.double().square().sum())
        q = q / q.sum() if float(q.sum()) > floor else torch.full_like(q, 1 / len(q))
        drawn = torch.multinomial(q, m, replacement=True, generator=torch.Generator().manual_seed(seed))
        return Coreset(drawn.to(X.device), (1 / (m * q[drawn])).to(X.device, X.dtype))


def draw(X: Tensor, m: int, seed: int) -> tuple[Tensor, Tensor]:
    """A coreset without duplicates, which FurthestSum needs: distinct indices and the summed weights of their copies."""
    found = coreset(X, m, seed=seed)
    distinct, place = found.indices.unique(return_inverse=True)
    return distinct, torch.zeros(len(distinct), dtype=X.dtype, device=X.device).index_add_(0, place, found.weights)
