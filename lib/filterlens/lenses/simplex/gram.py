"""Archetypal analysis in the space of the Gram matrix: after K = X^T X no step knows how long a filter is.

f(A, B) = 1/2 ||X - X B A||^2 is minimised by one projected gradient step on the codes A, one on the archetype weights B, both
extrapolated (inertial PALM: Bolte, Sabach & Teboulle 2014; Pock & Sabach 2016). A turn that does not lower f is rejected and
taken again from the same place without momentum, in steps that are sure to descend. Rows here are what columns are
outside: codes a (N, d), weights b (d, N). ``archetypes`` prepares the points and makes the codes exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .active import active_set, gaps
from .codes import accelerate_codes, nearest, top_eigenvalue
from .projection import project_near

LONG = 1.5  # steps beyond 1 / L: curvature along the way is lower than the bound, and a rise is rejected anyway
EXACT = 1e-2  # of the total: below it the cloud may be exactly a mixture of some of its points
SMALL = 2**9  # entries of the codes: below it snaps and swaps cost little and are always tried
NEIGHBOURS = 3  # archetypes that a badly fitted point tries to replace
SCREEN = 60  # turns of every start before the worse ones are given up
EARLY, REFRESH = 20, 5  # turns that estimate eigenvalues anew: all of the first ones, then every so many
LARGE = 2**17  # entries of the codes: above it exact ones are for jumps that are seen to help
PROBE = 40  # steps on the codes of a jump before it is worth exact ones
WINDOW = 10  # progress is judged over this many turns


@dataclass(eq=False)
class Points:
    """Centred points F (r, N) and how to multiply by their Gram matrix: by K (N, N) or by F twice, whichever is less work."""

    F: Tensor
    K: Tensor | None = field(init=False)
    size: Tensor = field(init=False)
    top: float = field(init=False)

    def __post_init__(self) -> None:
        r, n = self.F.shape
        self.K = self.F.T @ self.F if n <= 2 * r else None
        self.size = self.F.square().sum(0)
        self.top = top_eigenvalue(self.K if self.K is not None else self.F @ self.F.T)

    def times(self, b: Tensor) -> Tensor:
        """b K for rows b (d, N)."""
        return b @ self.K if self.K is not None else (b @ self.F.T) @ self.F


@dataclass(eq=False)
class Solution:
    """Codes a (N, d), weights b (d, N), the residual sum of squares at the start and after every turn, and how it ended."""

    a: Tensor
    b: Tensor
    rss: list[float]
    converged: bool
    iterations: int


class Top:
    """The largest eigenvalue of a matrix that changes little from turn to turn: a power step now and then, or exactly if asked."""

    def __init__(self) -> None:
        self.vector: Tensor | None = None
        self.value, self.calls = 0.0, 0

    def __call__(self, M: Tensor, exactly: bool) -> float:
        self.calls += 1
        least = torch.finfo(M.dtype).tiny * 1e16
        if self.vector is None or exactly:
            values, vectors = torch.linalg.eigh(M)
            self.vector, self.value = vectors[:, -1], max(float(values[-1]), least)
        elif self.calls < EARLY or self.calls % REFRESH == 0:
            image = M @ self.vector
            size = max(float(image @ image) ** 0.5, least)
            self.vector, self.value = image / size, 1.05 * size
        return self.value


class Descent:
    """A run of the solver: where it stands (a, b, q = b K, G = b K b^T, rss) and its momentum. ``turn`` takes one turn."""

    def __init__(self, points: Points, b: Tensor, weights: Tensor | None = None) -> None:
        self.points, self.w = points, None if weights is None else weights[:, None]
        self.total = float((points.size if weights is None else points.size * weights).sum())
        self.b, self.q = b, points.times(b)
        self.G = self.q @ b.T
        self.a = accelerate_codes(self.G, self.q.T, nearest(self.G, self.q.T), 0.0, 5)[0]
        self.rss = [self._rss(self.a, self.q, self.G, self._weighted(self.a).T @ self.a)]
        self.tau = torch.full_like(self.a[:, :1], -1.0), torch.full_like(b[:, :1], -1.0)
        self.tops = Top(), Top()
        self.forget()

    def forget(self) -> None:
        """No momentum, and safe steps for the next turn."""
        self.momentum, self.careful, self.exactly = 1.0, True, False
        self.ahead = None

    def _weighted(self, a: Tensor) -> Tensor:
        return a if self.w is None else a * self.w

    def _rss(self, a: Tensor, q: Tensor, G: Tensor, S: Tensor) -> float:
        return max(self.total - 2 * float((self._weighted(a) * q.T).sum()) + float((S * G).sum()), 0.0)

    def turn(self) -> bool:
        """One step on the codes, one on the weights; False if the turn was rejected."""
        a, b, q, G = self.a, self.b, self.q, self.G
        over, newton = (1.0, 8) if self.careful else (LONG, 3)
        step = over / self.tops[0](G, self.exactly)
        ya, yb, yq = (a, b, q) if self.ahead is None else self.ahead
        tau_a, tau_b = self.tau
        new_a, tau_a = project_near(torch.addmm(ya, ya, G, alpha=-step).add_(q.T, alpha=step), tau_a, newton)
        aw = self._weighted(new_a)
        S = aw.T @ new_a
        # An archetype that no point uses has no gradient and any step will do
        scale = S.diagonal().clamp(min=torch.finfo(S.dtype).eps * float(S.diagonal().max()))
        root = scale.rsqrt()[:, None]
        size = scale[:, None] * (self.tops[1](root * S * root.T, self.exactly) * self.points.top)
        gradient = torch.addmm(self.points.times(aw.T), S, yq, beta=-1)
        new_b, tau_b = project_near(yb - gradient.mul_(over / size), tau_b, newton)
        new_q = self.points.times(new_b)
        new_G = new_q @ new_b.T
        rss = self._rss(new_a, new_q, new_G, S)
        if rss > self.rss[-1]:
            self.rss.append(self.rss[-1])
            again = self.careful  # and not only for its long steps or its momentum
            self.forget()
            self.exactly = again
            return False
        after = (1 + (1 + 4 * self.momentum**2) ** 0.5) / 2
        beta = (self.momentum - 1) / after
        self.ahead = tuple(new + beta * (new - old) for new, old in ((new_a, a), (new_b, b), (new_q, q)))
        self.a, self.b, self.q, self.G, self.tau = new_a, new_b, new_q, new_G, (tau_a, tau_b)
        self.momentum, self.careful, self.exactly = after, False, False
        self.rss.append(rss)
        return True

    def hopeless(self, rss: float) -> bool:
        """Whether these archetypes are seen to stay above rss in PROBE steps on their codes; in doubt only of large codes."""
        for steps in (0, PROBE):
            a = accelerate_codes(self.G, self.q.T, self.a, 0.0, steps)[0]
            here = self._rss(a, self.q, self.G, self._weighted(a).T @ a)
            gap = gaps(self.G, self.q.T, a)
            least = here - 2 * float((gap if self.w is None else gap * self.w[:, 0]).sum())  # no codes reach less
            if here < rss or least >= rss:
                return here >= rss
        return a.numel() > LARGE

    def errors(self) -> Tensor:
        """||x_i - D a_i||^2 for every point."""
        return self.points.size - 2 * (self.a * self.q.T).sum(1) + ((self.a @ self.G) * self.a).sum(1)

    def revive(self) -> None:
        """Archetypes that no point uses move to the worst-fitted points; the residual does not notice."""
        unused = (self.a.sum(0) == 0).nonzero()[:, 0]
        if not len(unused):
            return
        worst = self.errors().argsort(descending=True, stable=True)[: len(unused)]
        self.b = self.b.clone()
        self.b[unused] = 0
        self.b[unused, worst] = 1
        self.q = self.points.times(self.b)
        self.G = self.q @ self.b.T
        self.forget()

    def _jump(self, b: Tensor) -> bool:
        """Go to other archetypes b with exact codes, if the residual is lower there."""
        other = Descent(self.points, b, None if self.w is None else self.w[:, 0])
        if other.hopeless(self.rss[-1]):
            return False
        a = active_set(other.G, other.q.T, other.a, tol=torch.finfo(b.dtype).eps * float(other.G.diagonal().max()))
        rss = self._rss(a, other.q, other.G, self._weighted(a).T @ a)
        if rss >= self.rss[-1]:
            return False
        self.a, self.b, self.q, self.G = a, b, other.q, other.G
        self.rss[-1] = rss
        self.forget()
        return True

    def snap(self) -> bool:
        """Archetypes that are nearly one of the points become it, if that helps: ends the long tail of exact clouds."""
        most, place = self.b.max(1)
        return self._jump(torch.where((most > 0.5)[:, None], torch.zeros_like(self.b).scatter_(1, place[:, None], 1), self.b))

    def swap(self) -> bool:
        """The worst-fitted point takes the place of one of the archetypes nearest to it, if that helps: a way out of valleys."""
        worst = int(self.errors().argmax())
        distance = self.G.diagonal() - 2 * self.q[:, worst]
        for j in distance.argsort(stable=True)[:NEIGHBOURS]:
            b = self.b.clone()
            b[j] = 0
            b[j, worst] = 1
            if self._jump(b):
                return True
        return False

    def run(self, tol: float, max_iter: int) -> bool:
        """Turns until WINDOW of them lower the residual by no more than tol of the total; whether that came before max_iter."""
        nothing = 16 * torch.finfo(self.b.dtype).eps * self.total
        for _ in range(max_iter):
            self.turn()
            if len(self.rss) % WINDOW == 0:
                self.revive()
                if self.a.numel() <= SMALL or self.rss[-1] <= EXACT * self.total:
                    self.snap()
                    self.swap()
                progress = self.rss[max(0, len(self.rss) - 1 - WINDOW)] - self.rss[-1]
                slow = len(self.rss) > 2 * WINDOW and progress <= tol * self.total
                if self.rss[-1] <= nothing or slow and not (self.snap() or self.swap()):
                    return True
        return False

    def solution(self, converged: bool) -> Solution:
        return Solution(self.a, self.b, self.rss, converged, len(self.rss) - 1)


def best_of(points: Points, starts: list[Tensor], weights: Tensor | None = None, *, tol: float, max_iter: int) -> tuple[Solution, int]:
    """From the archetypes b (d, N) of each start: the solution of the lowest residual, and which start led to it.

    Of several starts each takes SCREEN turns; the best third of them (those whose residual is lowest by then) goes on to the end.
    """
    runs = []
    for b in starts:
        descent = Descent(points, b, weights)
        done = descent.run(tol, min(SCREEN, max_iter)) if len(starts) > 1 else False
        runs.append((descent, done))
        if done and descent.rss[-1] <= 1e-12 * descent.total:
            break  # nothing is left to explain
    order = sorted(range(len(runs)), key=lambda i: runs[i][0].rss[-1])[: max(1, len(runs) // 3)]
    found = []
    for i in order:
        descent, done = runs[i]
        done = done or descent.run(tol, max(1, max_iter - len(descent.rss) + 1))
        found.append((descent.rss[-1], i, done))
    _, best, done = min(found)
    return runs[best][0].solution(done), best
