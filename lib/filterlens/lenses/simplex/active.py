"""Quadratic programs with few non-zeros, solved exactly by an active set: many small ones at once.

Each column a of A minimises 1/2 a^T G a - c^T a over the simplex, or over a >= 0 (``simplex=False``). This is Lawson and
Hanson's method started from any feasible point: solve on the support, walk until an entry turns zero, drop it; when the
support stands, admit the entry whose gradient is lowest. ``codes`` uses it to polish what the accelerated gradient
found, so that zeros and gaps are exact; ``reference`` for its non-negative least squares.
"""

from __future__ import annotations

import bisect

import torch
from torch import Tensor

RIDGE = 1e-13  # of the largest diagonal entry: keeps dependent archetypes solvable, far below any tolerance used here
CHUNK_BYTES = 2**26
WASTE = 1.3  # the largest support of a part, relative to its smallest


def gaps(G: Tensor, c: Tensor, a: Tensor) -> Tensor:
    """Duality gap over the simplex of each row of a (n, d), with linear terms c (n, d): g^T a - min g >= f(a) - f*."""
    g = a @ G - c
    return ((g * a).sum(1) - g.amin(1)).clamp_(min=0)


def active_set(G: Tensor, c: Tensor, a: Tensor, *, tol: float, simplex: bool = True, max_rounds: int | None = None) -> Tensor:
    """Solutions (n, d) for G (d, d), c (n, d), started at the feasible rows a (n, d).

    A row is done when no entry's gradient is below the support's by more than tol. Rows that are not done after max_rounds
    (3 d + 10 by default) are returned as they are: feasible, and no worse than their start.
    """
    a, d = a.clone(), G.shape[0]
    ridge = (RIDGE * G.diagonal().max()).clamp(min=1e16 * torch.finfo(G.dtype).tiny)
    G = G + ridge * torch.eye(d, dtype=G.dtype, device=G.device)
    left = torch.arange(len(a), device=a.device)
    for _ in range(max_rounds or 3 * d + 10):
        if not len(left):
            break
        left = torch.cat([_round(G, c, a, part, tol, simplex) for part in _alike(left, (a[left] > 0).sum(1))])
    return a


def _alike(rows: Tensor, sizes: Tensor) -> list[Tensor]:
    """Rows in parts of similar size of support, since each part costs what its largest does, and small enough for the memory."""
    sizes, order = sizes.sort()
    rows, parts, begin = rows[order], [], 0
    values = sizes.tolist()
    while begin < len(values):
        largest = max(WASTE * values[begin], values[begin] + 8)
        end = max(begin + 1, bisect.bisect_right(values, largest))
        end = min(end, begin + max(1, CHUNK_BYTES // (8 * max(1, values[end - 1]) ** 2)))
        parts.append(rows[begin:end])
        begin = end
    return parts


def _round(G: Tensor, c: Tensor, a: Tensor, rows: Tensor, tol: float, simplex: bool) -> Tensor:
    """One step of each of these rows, in place; returns the rows that are not done."""
    here, tiny = a[rows], torch.finfo(a.dtype).tiny
    support = here > 0
    size = int(support.sum(1).max())
    moved, settled = here, torch.ones_like(support[:, 0])
    if size:
        order = support.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :size]
        valid = support.gather(1, order)
        local = torch.where(valid[:, :, None] & valid[:, None, :], G[order[:, :, None], order[:, None, :]], 0)
        linear = torch.where(valid, c[rows].gather(1, order), 0)
        z = _on_support(local, linear, valid, simplex)
        old = here.gather(1, order)
        blocked = valid & (z <= 0)
        ratio = torch.where(blocked, old / (old - z).clamp(min=tiny), torch.inf)
        step = ratio.amin(1, keepdim=True).clamp(max=1)
        walked = torch.where(blocked & (ratio <= step), 0, old + step * (z - old)).clamp_(min=0)
        # Dropping all that is blocked at once saves rounds, where it is no worse than walking up to the first
        clipped = z.clamp(min=0)
        if simplex:
            walked, clipped = (v / v.sum(1, keepdim=True).clamp(min=tiny) for v in (walked, clipped))
        lower = _value(local, linear, clipped) <= _value(local, linear, walked)
        if simplex:
            lower &= clipped.sum(1) > 0.5
        moved = torch.zeros_like(here).scatter_(1, order, torch.where(lower[:, None], clipped, walked))
        a[rows] = moved
        settled = ~blocked.any(1)
        if not bool(settled.any()):
            return rows
    g = moved[settled] @ G - c[rows[settled]]
    level = (g * moved[settled]).sum(1) if simplex else torch.zeros_like(g[:, 0])
    low, entry = torch.where(moved[settled] > 0, torch.inf, g).min(1)
    admit = low < level - tol
    entering = rows[settled][admit]
    a[entering, entry[admit]] = tiny  # the smallest number, not zero: the support is where a > 0
    return torch.cat([rows[~settled], entering])


def _on_support(local: Tensor, linear: Tensor, valid: Tensor, simplex: bool) -> Tensor:
    """Minimisers (n, s) over the affine hull (or the span) of each row's support; 0 in places that are not valid."""
    diagonal = torch.diag_embed((~valid).to(local.dtype))
    factor, failed = torch.linalg.cholesky_ex(local + diagonal)
    solved = torch.cholesky_solve(torch.stack([linear, valid.to(local.dtype)], 2), factor)
    z, ones = solved[:, :, 0], solved[:, :, 1]
    if simplex:
        z = z + ones * ((1 - z.sum(1, keepdim=True)) / ones.sum(1, keepdim=True))
    return torch.where(valid & (failed == 0)[:, None] & torch.isfinite(z), z, 0)


def _value(local: Tensor, linear: Tensor, z: Tensor) -> Tensor:
    """1/2 z^T G z - c^T z of each row."""
    return ((local @ z[:, :, None])[:, :, 0] * z / 2 - linear * z).sum(1)
