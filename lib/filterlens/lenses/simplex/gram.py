"""Archetypal analysis in the space of the Gram matrix: after K = X^T X no step knows how long a filter is.

f(A, B) = 1/2 ||X - X B A||^2 is minimised in turns over the codes A and the archetype weights B, each by accelerated
projected gradient with restarts. Rows here are what columns are outside: codes a (N, d), weights b (d, N). ``archetypes``
prepares the points and finishes the codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .codes import top_eigenvalue
from .projection import project_rows

INNER = 10


@dataclass(eq=False)
class Points:
    """Centred points and how to multiply by their Gram matrix: whichever of K (N, N) and F (r, N) is smaller."""

    F: Tensor
    K: Tensor | None = field(init=False)
    total: float = field(init=False)

    def __post_init__(self) -> None:
        r, n = self.F.shape
        self.K = self.F.T @ self.F if n <= 2 * r else None
        self.total = float((self.F.double() if self.F.device.type != "mps" else self.F).square().sum())

    def times(self, b: Tensor) -> Tensor:
        """b K for rows b (d, N)."""
        return b @ self.K if self.K is not None else (b @ self.F.T) @ self.F

    def norm(self) -> float:
        """An upper estimate of the largest eigenvalue of K."""
        small = self.K if self.K is not None else self.F @ self.F.T
        return top_eigenvalue(small)


@dataclass(eq=False)
class Solution:
    a: Tensor
    b: Tensor
    rss: list[float]
    converged: bool
    iterations: int


def solve(points: Points, a: Tensor, b: Tensor, weights: Tensor | None, *, tol: float, max_iter: int) -> Solution:
    """From codes a (N, d) and archetypes b (d, N), at most max_iter turns; weights (N,) of the points in the residual, or None."""
    lipschitz = points.norm()
    w = None if weights is None else weights[:, None]
    total = points.total if w is None else float((w[:, 0] * points.F.square().sum(0)).sum())
    q = points.times(b)  # b K: (d, N), the linear terms of the codes
    G = q @ b.T
    f = objective(total, q, G, a, w)
    rss, small = [f], 0
    converged = False
    done = 0
    while done < max_iter:
        a = descend_codes(G, q.T, a, INNER)
        b, q = descend_weights(points, a, b, q, lipschitz, INNER, w)
        b, q = reseed(points, a, b, q)
        G = q @ b.T
        new = objective(total, q, G, a, w)
        done += 1
        small = small + 1 if f - new <= tol * total else 0
        f = min(f, new)
        rss.append(f)
        if small >= 2:
            converged = True
            break
    return Solution(a, b, rss, converged, done)


def objective(total: float, q: Tensor, G: Tensor, a: Tensor, w: Tensor | None) -> float:
    """sum_i w_i ||x_i - D a_i||^2 from the Gram matrices; not below zero."""
    aw = a if w is None else a * w
    cross, square = (aw * q.T).sum(), ((aw.T @ a) * G).sum()
    return max(total - 2 * float(cross) + float(square), 0.0)


def descend_codes(G: Tensor, c: Tensor, a: Tensor, steps: int) -> Tensor:
    """Accelerated steps on every code, none worse than it began."""
    step = 1 / top_eigenvalue(G)
    start, ahead, momentum = a, a, 1.0
    for _ in range(steps):
        new = project_rows(ahead - step * (ahead @ G - c))
        after = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / after * (new - a)
        a, momentum = new, after
    moved = a - start  # f(a) - f(start), row by row
    change = (moved * ((a + start) @ G / 2 - c)).sum(1, keepdim=True)
    return torch.where(change <= 0, a, start)


def descend_weights(
    points: Points, a: Tensor, b: Tensor, q: Tensor, lipschitz: float, steps: int, w: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Accelerated steps on all archetypes together; with their b K. Plain steps if the accelerated ones rose."""
    aw = a if w is None else a * w
    S = aw.T @ a
    target = points.times(aw.T)  # (d, N)
    size = S.sum(1, keepdim=True)  # diag(S 1) dominates S: its own step for every archetype
    step = 1 / (size * lipschitz).clamp(min=torch.finfo(S.dtype).tiny * 1e8)
    step = torch.where(size > 0, step, 0)

    def change(new: Tensor, new_q: Tensor) -> float:
        return float(((new - b) * (S @ (new_q + q) / 2 - target)).sum())

    current, current_q, ahead, ahead_q, momentum = b, q, b, q, 1.0
    for _ in range(steps):
        new = project_rows(ahead - step * (S @ ahead_q - target))
        new_q = points.times(new)
        if float(((ahead - new) * (new - current) / step.clamp(min=1e-30)).sum()) > 0:
            momentum = 1.0
        after = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        beta = (momentum - 1) / after
        ahead, ahead_q = new + beta * (new - current), new_q + beta * (new_q - current_q)
        current, current_q, momentum = new, new_q, after
    if change(current, current_q) > 0:
        current, current_q = b, q
        new = project_rows(b - step * (S @ q - target))
        new_q = points.times(new)
        if change(new, new_q) <= 0:
            current, current_q = new, new_q
    return current, current_q


def reseed(points: Points, a: Tensor, b: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Archetypes that no point uses move to the worst-fitted points; the residual does not notice."""
    unused = (a.sum(0) == 0).nonzero()[:, 0]
    if not len(unused):
        return b, q
    size = points.F.square().sum(0)
    errors = size - 2 * (a * q.T).sum(1) + ((a @ (q @ b.T)) * a).sum(1)
    worst = errors.argsort(descending=True, stable=True)[: len(unused)]
    b = b.clone()
    b[unused] = 0
    b[unused, worst] = 1
    return b, points.times(b)
