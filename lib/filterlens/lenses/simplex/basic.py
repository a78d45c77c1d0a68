"""Basic codes (Caratheodory): the same mixture out of affinely independent archetypes, at most l + 1 of them.

Where archetypes are affinely dependent a filter has many codes; how many archetypes a code uses, which the ranking reads,
means something only for basic ones. Used by ``codes``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def basic_codes(D: Tensor, a: Tensor) -> Tensor:
    """Reduce every row of a (N, d) along affine dependencies of its archetypes D (l, d) until there are none left.

    Walking along a null vector v of [D; 1] on the support changes neither the mixture nor the sum; the walk ends where the
    first entry turns zero. Each row takes at most its support's size of walks.
    """
    a = a.clone()
    d = D.shape[1]
    center = D.mean(1, keepdim=True)
    scale = (D - center).square().sum(0).mean().sqrt().clamp(min=torch.finfo(D.dtype).tiny)
    lifted = torch.cat([(D - center) / scale, torch.ones_like(D[:1])])  # (l + 1, d), rows of one size
    left = torch.arange(len(a), device=a.device)
    for _ in range(d):
        if not len(left):
            break
        left = torch.cat([_walk(lifted, a, part) for part in left.split(max(1, 2**23 // d**2))])
    return a


def _walk(lifted: Tensor, a: Tensor, rows: Tensor) -> Tensor:
    """Remove one entry from every row whose archetypes are dependent, in place; returns those rows."""
    here = a[rows]
    support = here > 0
    size = int(support.sum(1).max())
    order = support.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :size]
    valid = support.gather(1, order)
    local = torch.where(valid[:, None, :], lifted.T[order].transpose(1, 2), 0)  # (n, l + 1, size)
    gram = local.transpose(1, 2) @ local
    gram.diagonal(dim1=1, dim2=2).add_((~valid).to(gram.dtype) * gram.diagonal(dim1=1, dim2=2).sum(1, keepdim=True))
    values, vectors = torch.linalg.eigh(gram)
    null = torch.where(valid, vectors[:, :, 0], 0)
    dependent = (values[:, 0] <= 1e-12 * values[:, -1]) & (valid.sum(1) > 1)
    null = torch.where((null.amax(1) > -null.amin(1))[:, None], null, -null)
    weight = here.gather(1, order)
    ratio = torch.where(valid & (null > 0), weight / null.clamp(min=torch.finfo(null.dtype).tiny), torch.inf)
    step, first = ratio.min(1, keepdim=True)
    moved = (weight - torch.where(dependent[:, None], step, 0) * null).clamp_(min=0)
    moved.scatter_(1, first, torch.where(dependent[:, None], 0, moved.gather(1, first)))
    a[rows] = torch.zeros_like(here).scatter_(1, order, moved / moved.sum(1, keepdim=True))
    return rows[dependent]
