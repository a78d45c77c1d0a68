"""Codes: every filter as the nearest mixture of given archetypes, a simplex-constrained least-squares problem per column.

Accelerated projected gradient comes near, the active set makes it exact; the duality gap certifies it. ``archetypes`` ends
with these codes, ``coreset`` uses them for the points it did not sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks
from .active import active_set, gaps
from .basic import basic_codes
from .projection import DTYPES, project_near


@dataclass(frozen=True, eq=False)
class Codes:
    """A (d, N), columns in the simplex with exact zeros; gap (N,), duality gap of each column in units of f = 1/2 ||x - D a||^2."""

    A: Tensor
    gap: Tensor
    converged: bool
    iterations: int


def simplex_codes(X: Tensor, D: Tensor, *, tol: float = 1e-8, max_iter: int = 200, basic: bool = False) -> Codes:
    """min over a in the simplex of 1/2 ||x - D a||^2 for every column x: X (l, N), archetypes D (l, d) -> codes A (d, N).

    Converged when every column's gap is at most ``tol`` ||x - mean of D||^2, with a floor at rounding error (of the working
    precision: float64 inside on devices that have it). At most max_iter accelerated gradient steps are taken before the
    active set finishes. Peak memory beyond the arguments: about 8 (l + d) (d + 2 N) + 2^26 bytes.

    Where the archetypes are affinely dependent (d - 1 > l, duplicates) codes are not unique; ``basic=True`` reduces each
    to a basic solution (Caratheodory): the same mixture from at most l + 1 affinely independent archetypes.

    Raises TypeError or ValueError naming X, D, tol, max_iter or basic.
    """
    X, D = points("X", X), points("D", D)
    if D.shape[0] != X.shape[0] or D.dtype != X.dtype or D.device != X.device:
        got = f"{checks.describe(D)} on {D.device}"
        raise ValueError(f"D: got {got}, expected {X.shape[0]} rows, {X.dtype} and {X.device} as X")
    tol, max_iter = checks.real("tol", tol, 0), checks.integer("max_iter", max_iter, 1)
    if not isinstance(basic, bool):
        raise TypeError(f"basic: got {checks.describe(basic)}, expected True or False")
    with torch.no_grad():
        return solve_codes(X, D, tol=tol, max_iter=max_iter, basic=basic)


def points(name: str, value: object, axes: str = "l N") -> Tensor:
    """Check a matrix of points in columns, in a precision the solvers work in; detached."""
    checks.tensor(name, value, axes)
    if value.dtype not in DTYPES:
        raise TypeError(f"{name}: got {checks.describe(value)}, expected float32 or float64")
    return value.detach()


def double(device: torch.device) -> torch.dtype:
    """The precision of exact work: float64, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def solve_codes(
    X: Tensor, D: Tensor, *, tol: float, max_iter: int, basic: bool, start: Tensor | None = None, allowed: float | None = None
) -> Codes:
    """``simplex_codes`` without checks; start (d, N) begins the search, allowed overrides the bound on each column's gap."""
    center = D.mean(1, keepdim=True)
    exact = double(X.device)
    DD, XX = (D - center).to(exact), (X - center).to(exact)
    G, c = DD.T @ DD, XX.T @ DD  # (d, d), (N, d)
    square = (XX**2).sum(0)
    floor = 64 * torch.finfo(exact).eps * (square + G.diagonal().max())
    bound = (tol * square if allowed is None else torch.full_like(square, allowed)).maximum(floor)
    a = (nearest(G, c) if start is None else start.T).to(X.dtype)
    a, iterations = accelerate_codes(G.to(X.dtype), c.to(X.dtype), a, bound.to(X.dtype), max_iter)  # the active set needs the digits
    a = a.to(exact)
    if basic:
        a = basic_codes(DD, a)
    a = active_set(G, c, a, tol=float(bound.min()))
    if basic:
        a = basic_codes(DD, a)
    a = a.to(X.dtype)  # rounded first: the gap is that of what is returned
    a /= a.sum(1, keepdim=True)
    gap = gaps(G, c, a.to(exact))
    rounding = 8 * torch.finfo(X.dtype).eps * (square + G.diagonal().max())
    return Codes(a.T.contiguous(), gap.to(X.dtype), bool((gap <= bound.maximum(rounding)).all()), iterations)


def nearest(G: Tensor, c: Tensor) -> Tensor:
    """Each filter's nearest archetype as a one-hot code (N, d): where the search begins."""
    return torch.zeros_like(c).scatter_(1, (c - G.diagonal() / 2).argmax(1, keepdim=True), 1)


def accelerate_codes(G: Tensor, c: Tensor, a: Tensor, bound: Tensor | float, max_iter: int, every: int = 10) -> tuple[Tensor, int]:
    """FISTA with restart per row on 1/2 a G a - c a over the simplex, until every row's gap is within its bound."""
    step = 1 / top_eigenvalue(G)
    ahead, momentum = a, torch.ones_like(a[:, :1])
    tau = torch.full_like(momentum, -1.0)
    done = 0
    while done < max_iter:
        if done % every == 0 and bool((gaps(G, c, a) <= bound).all()):
            break
        new, tau = project_near(torch.addmm(ahead, ahead, G, alpha=-step).add_(c, alpha=step), tau)
        move = new - a
        turned = ((ahead - new) * move).sum(1, keepdim=True) > 0  # the momentum points uphill: forget it (O'Donoghue & Candes 2015)
        momentum = torch.where(turned, 1, momentum)
        after = (1 + (1 + 4 * momentum**2).sqrt()) / 2
        ahead = new + torch.where(turned, 0, (momentum - 1) / after) * move
        a, momentum, done = new, after, done + 1
    return a, done


def top_eigenvalue(G: Tensor) -> float:
    """The largest eigenvalue of a symmetric matrix; tiny instead of zero."""
    return max(float(torch.linalg.eigvalsh(G)[-1]), torch.finfo(G.dtype).tiny * 1e16)
