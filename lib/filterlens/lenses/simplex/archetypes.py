"""Archetypal analysis: every filter as a convex mixture of archetypes, every archetype as a convex mixture of filters.

min ||X - X B A||_F^2 with the columns of A (d, N) and B (N, d) in the simplex (Cutler & Breiman 1994). The work happens in
``gram``; here points are prepared, the best of several starts is kept, and codes are made exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ... import checks
from . import gram, reference
from .codes import double, points, solve_codes
from .coreset import draw
from .starts import STARTS, choose

METHODS = ("gram", "nnls-ls")


@dataclass(frozen=True, eq=False)
class Archetypes:
    """X (l, N) ~ D A with D = X B: archetypes D (l, d), codes A (d, N), archetype weights B (N, d), columns in the simplex.

    residual = ||X - D A||_F / ||X||_F, X not centred (0 for X = 0); rss = ||X - D A||_F^2; gap = A's duality gap in units of
    1/2 ||.||_F^2, summed over columns: rss is at most 2 gap above the best that any codes reach with these archetypes.
    history: relative residual at the start and after every turn, never rising; with a coreset that of the weighted sample. converged: progress below tol and gap
    below tol ||X - mean||_F^2. starts (d,): the filters the kept run began with. degenerate: more archetypes than a simplex in
    R^l can have (d - 1 > l): codes are basic ones, and how many entries they have depends on which basic one was found.
    """

    D: Tensor
    A: Tensor
    B: Tensor
    residual: float
    rss: float
    gap: float
    history: list[float]
    converged: bool
    iterations: int
    method: str
    init: str
    seed: int
    restarts: int
    starts: Tensor
    degenerate: bool


def archetypal_analysis(
    X: Tensor,
    d: int,
    *,
    seed: int = 0,
    tol: float = 1e-6,
    max_iter: int = 500,
    init: str | Tensor = "furthest_first",
    restarts: int = 1,
    method: str = "gram",
    coreset: int | None = None,
) -> Archetypes:
    """d archetypes of the columns of X (l, N), float32 or float64, on X's device.

    init: "furthest_first", "furthest_sum", "uniform" or distinct column indices (d,). restarts: how many starts, with seeds seed,
    seed + 1, ...: the problem is not convex. Each takes 60 turns, the best third of them goes on to the end, and the lowest residual is
    kept. method: "gram", or "nnls-ls", the variant of Mair and Brefeld's code (``reference``; its own stopping rules, tol and max_iter
    beyond 250 do not enter; its penalty of 1000 is absolute as in their code, so the answer depends on the scale of X). coreset:
    analyse a weighted sample of that many columns, then code all of them.

    Memory beyond X and a centred copy: a few times N^2 + d N numbers (an estimate, not measured), whatever l is.

    Raises ValueError for d > N, NaN, and other arguments out of range, TypeError for the wrong kind, naming the argument.
    """
    X = points("X", X)
    n = X.shape[1]
    d = checks.integer("d", d, 1, n)
    seed, restarts = checks.integer("seed", seed, 0), checks.integer("restarts", restarts, 1)
    tol, max_iter = checks.real("tol", tol, 0), checks.integer("max_iter", max_iter, 1)
    checks.choice("method", method, METHODS)
    coreset = None if coreset is None else checks.integer("coreset", coreset, 1)
    fixed = None
    if isinstance(init, Tensor):
        fixed = torch.tensor(checks.indices("init", checks.tensor("init", init, "d", sizes={"d": d}, floating=False), n))
        if coreset is not None or restarts > 1:
            raise ValueError("init: got column indices, which go with restarts=1 and without coreset only")
    else:
        checks.choice("init", init, STARTS)
    factor = _power_of_two(X)
    with torch.no_grad():
        found = _analyse(
            X if factor == 1 else X / factor, d, seed, tol, max_iter, init if fixed is None else "given", fixed, restarts, method, coreset
        )
    return found if factor == 1 else replace(found, D=found.D * factor, rss=found.rss * factor**2, gap=found.gap * factor**2)


def _power_of_two(X: Tensor) -> float:
    """What very large or small clouds are divided by, since squares of squares would leave float32's range; a division without rounding."""
    peak = float(X.abs().max())
    return 1.0 if not peak or 2.0**-24 <= peak <= 2.0**24 else 2.0 ** max(math.frexp(peak)[1], -120)


def _analyse(
    X: Tensor, d: int, seed: int, tol: float, max_iter: int, init: str, fixed: Tensor | None, restarts: int, method: str, m: int | None
) -> Archetypes:
    n = X.shape[1]
    mean = X.mean(1, keepdim=True)
    centered = X - mean
    common = {"method": method, "init": init, "seed": seed, "restarts": restarts}
    if d == n:
        eye = torch.eye(n, dtype=X.dtype, device=X.device)
        return _finish(X, eye, [0.0], True, 0, torch.arange(n), tol, A=eye, **common)
    scatter, whole = float(centered.double().square().sum()), float(X.double().square().sum())
    if scatter <= (4 * torch.finfo(X.dtype).eps) ** 2 * whole:  # equal columns: any of them is every archetype
        start = choose("uniform", None, n, d, seed) if fixed is None else fixed
        b = torch.eye(n, dtype=X.dtype, device=X.device)[start.to(X.device)]
        return _finish(X, b, [math.sqrt(scatter / whole) if whole else 0.0], True, 0, start, tol, **common)
    if d == 1:
        b = torch.full((1, n), 1 / n, dtype=X.dtype, device=X.device)
        start = choose("uniform", None, n, 1, seed) if fixed is None else fixed
        return _finish(X, b, [math.sqrt(scatter / whole)], True, 0, start, tol, **common)
    part, weights = (None, None) if m is None else draw(X, m, seed)
    sample = centered if part is None else centered[:, part]
    if d > sample.shape[1]:
        raise ValueError(f"coreset: got {m}, which drew {sample.shape[1]} distinct columns, expected at least d = {d}")
    cloud = gram.Points(sample)
    given = [fixed] if fixed is not None else _starts(init, cloud, d, seed, restarts)
    onehot = [torch.zeros(d, sample.shape[1], dtype=X.dtype, device=X.device) for _ in given]
    for b, start in zip(onehot, given, strict=True):
        b[torch.arange(d, device=b.device), start.to(b.device)] = 1
    if method == "gram":
        found, kept = gram.best_of(cloud, onehot, weights, tol=tol, max_iter=max_iter)
    else:
        runs = [_reference(cloud.F, b, weights, max_iter) for b in onehot]
        kept = min(range(len(runs)), key=lambda i: runs[i].rss[-1])
        found = runs[kept]
    start = given[kept]
    b = found.b
    if part is not None:
        b = torch.zeros(d, n, dtype=X.dtype, device=X.device).index_copy_(1, part, b)
        start = part.cpu()[start]
    size = whole
    history = [math.sqrt(value / size) if size else 0.0 for value in found.rss]
    warm = found.a if m is None else None
    return _finish(X, b, history, found.converged, found.iterations, start, tol, warm=warm, **common)


def _starts(init: str, cloud: gram.Points, d: int, seed: int, restarts: int) -> list[Tensor]:
    K = None if init == "uniform" else cloud.K if cloud.K is not None else cloud.F.T @ cloud.F
    return [choose(init, K, cloud.F.shape[1], d, seed + turn) for turn in range(restarts)]


def _reference(F: Tensor, b: Tensor, weights: Tensor | None, max_iter: int) -> gram.Solution:
    exact = double(F.device)
    a, b, rss, converged, done = reference.alternate(F.to(exact), b.to(exact), weights=weights, max_iter=min(max_iter, 250))
    return gram.Solution(a.to(F.dtype), b.to(F.dtype), rss, converged, done)


def _finish(
    X: Tensor,
    b: Tensor,
    history: list[float],
    converged: bool,
    iterations: int,
    starts: Tensor,
    tol: float,
    *,
    A: Tensor | None = None,
    warm: Tensor | None = None,
    **common: object,
) -> Archetypes:
    """Exact codes for the final archetypes, on all filters."""
    b = b / b.sum(1, keepdim=True)
    D = X @ b.T
    l, d = D.shape
    degenerate = d - 1 > l
    centered = X - X.mean(1, keepdim=True)
    allowed = tol * float(centered.double().square().sum()) / X.shape[1] / 2
    gap, exact = 0.0, True
    if A is None:
        codes = solve_codes(X, D, tol=0, max_iter=100, basic=degenerate, allowed=allowed, start=None if warm is None else warm.T)
        A, gap = codes.A, float(codes.gap.double().sum())
        scatter = float(centered.double().square().sum())
        exact = gap <= (tol + 64 * torch.finfo(X.dtype).eps) * scatter
    rss = float((X - D @ A).double().square().sum())
    size = float(X.double().square().sum())
    residual = math.sqrt(rss / size) if size else 0.0
    if history and residual <= history[-1]:
        history = [*history, residual]
    return Archetypes(
        D=D,
        A=A,
        B=b.T.contiguous(),
        residual=residual,
        rss=rss,
        gap=gap,
        history=history,
        converged=converged and exact,
        iterations=iterations,
        starts=starts.cpu(),
        degenerate=degenerate,
        **common,
    )
