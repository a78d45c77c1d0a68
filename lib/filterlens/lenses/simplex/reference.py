"""Mair and Brefeld's variant of archetypal analysis (NeurIPS 2019, github.com/smair/archetypalanalysis-coreset), for comparison.

Codes by penalised non-negative least squares, archetypes by unconstrained least squares, their weights by penalised
non-negative least squares towards those. Sums are only nearly one and the residual may rise, at which it stops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .active import active_set

PENALTY = 1000.0**2  # their row of M = 1000 appended to both sides


def penalised_nnls(G: Tensor, c: Tensor, a: Tensor) -> Tensor:
    """min over a >= 0 of ||x - D a||^2 + M^2 (1 - sum a)^2 for Gram matrix G (d, d), linear terms c (n, d), from a (n, d)."""
    tol = 1e-10 * float(c.abs().max() + G.diagonal().max())
    return active_set(G + PENALTY, c + PENALTY, a, tol=max(tol, 1e-12 * PENALTY), simplex=False)


def alternate(
    F: Tensor, b: Tensor, *, weights: Tensor | None = None, tol: float = 1e-3, max_iter: int = 250
) -> tuple[Tensor, Tensor, list[float], bool, int]:
    """Points F (r, N) and weights b (d, N) -> codes a (N, d), b, the residuals, whether they stopped changing, turns.

    weights (N,) enter the least-squares update of the archetypes and the residual. Columns are normalised afterwards: hull membership is exact, the residual is that of the normalised ones.
    """
    w = torch.ones_like(F[0]) if weights is None else weights.to(F)
    K, rss, converged, done = F.T @ F, [], False, 0
    total = float(F.square().sum())
    a = torch.zeros(F.shape[1], len(b), dtype=F.dtype, device=F.device)
    kept = None
    while done < max_iter:
        D = F @ b.T
        a = penalised_nnls(D.T @ D, F.T @ D, a)
        Z = torch.linalg.lstsq(a * w.sqrt()[:, None], F.T * w.sqrt()[:, None]).solution  # (d, r), unconstrained
        b = penalised_nnls(K, Z @ F, b)
        a_one, b_one = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
        now = float((F.T - a_one @ (b_one @ F.T)).square().sum(1) @ w)
        done += 1
        if kept is not None and now > rss[-1]:
            converged = True  # their rule: a rise ends it; the turn before is kept
            break
        kept = (a_one, b_one)
        rss.append(now)
        if len(rss) > 1 and rss[-2] - now < tol * max(rss[-2], torch.finfo(F.dtype).tiny) or now <= 1e-28 * total:
            converged = True
            break
    return *kept, rss, converged, done
