"""Euclidean projection onto the simplex {v : v >= 0, sum v = 1}: the step that gives every solver here its exact zeros.

``project_simplex`` is the public, checked form; ``project_rows`` is what the solvers call in their loops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ... import checks

DTYPES = (torch.float32, torch.float64)


def project_simplex(v: Tensor, dim: int = 0) -> Tensor:
    """The nearest point of the simplex to every vector along ``dim``: v (any shape, rank >= 1) -> the same shape.

    Exact up to rounding: entries outside of the support are zeros, not small numbers; points of the simplex stay where they
    are up to rounding. float32 or float64. The threshold tau with sum(max(v - tau, 0)) = 1 is found by Newton's method on that
    piecewise linear convex function, which ends after finitely many steps (Michelot 1986; Condat 2016), instead of by sorting.

    Raises TypeError or ValueError naming v or dim.
    """
    if not isinstance(v, Tensor):
        raise TypeError(f"v: got {checks.describe(v)}, expected a tensor of rank >= 1")
    if v.ndim == 0:
        raise ValueError(f"v: got {checks.describe(v)}, expected a tensor of rank >= 1")
    if v.dtype not in DTYPES:
        raise TypeError(f"v: got {checks.describe(v)}, expected float32 or float64")
    dim = checks.integer("dim", dim, -v.ndim, v.ndim - 1)
    if v.numel() == 0:
        raise ValueError(f"v: got {checks.describe(v)}, which is empty")
    if not bool(torch.isfinite(v).all()):
        raise ValueError(f"v: got {checks.describe(v)} with NaN or infinite entries, expected finite numbers")
    with torch.no_grad():
        rows = v.movedim(dim, -1)
        return project_rows(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape).movedim(-1, dim)


def project_rows(v: Tensor) -> Tensor:
    """Project every row of v (m, n) onto the simplex; v is not changed."""
    v = v - v.amax(1, keepdim=True)  # invariant, and keeps large common offsets from eating digits; the maximum is now 0
    tau = ((v.sum(1, keepdim=True) - 1) / v.shape[1]).clamp_(min=-1)  # never beyond the root
    for _ in range(v.shape[1] + 1):
        over = (v - tau).relu_()
        surplus = over.sum(1, keepdim=True).sub_(1)
        step = surplus.div_(over.sign_().sum(1, keepdim=True))
        if not bool((step > 4 * torch.finfo(v.dtype).eps).any()):
            break  # Newton's steps only rise until they solve the equation of their support
        tau = tau + step.clamp_(min=0)
    over = (v - tau).relu_()
    support = over.sign()
    # Once more with the support known, so that the sum is one to the last digit
    return (over - support * ((over.sum(1, keepdim=True) - 1) / support.sum(1, keepdim=True))).relu_()


def project_near(v: Tensor, tau: Tensor, steps: int = 3) -> tuple[Tensor, Tensor]:
    """A cheap projection of every row of v (m, n) from a guess tau (m, 1) of its threshold, and the threshold it ends with.

    A few of Newton's steps, then a division by the sum: always a point of the simplex with true zeros, and the nearest one
    when the guess is that of the turn before. v is not changed.
    """
    top = v.amax(1, keepdim=True)
    tau = torch.minimum(tau, top - 1e-6 * top.abs().clamp(min=1))  # something is left above the threshold
    for _ in range(steps):
        over = (v - tau).relu_()
        surplus = over.sum(1, keepdim=True).sub_(1)
        tau = tau + surplus.div_(over.sign_().sum(1, keepdim=True))
    out = (v - tau).relu_()
    return out.div_(out.sum(1, keepdim=True)), tau
