"""The loop of ``isolate``: one batch of independent problems, each with its own best iterate, step size and end.

The problems' losses are summed, so that each gets the gradient it would get alone; a problem that has ended leaves the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .losses import Goal, terms
from .optimizers import Adam, Descent, Optimizer, column

RESTARTS = 3  # after a loss or gradient that is not finite
STILL = 1e-6  # relative change of the loss over a window that ends a problem
HELD = 50  # steps after which a run that is kept on disk is written again
SETTLED = 1e-3  # the same for a schedule that ran to its end: what counts as converged

# name -> (lr, max_iter, window of the stopping rule)
DEFAULTS = {"proximal": (0.05, 200, 20), "adam": (0.05, 200, 20), "descent": (10.0, 10_000, 200), "momentum": (10.0, 10_000, 200)}
OPTIMIZERS = tuple(DEFAULTS)


class Plan(NamedTuple):
    """How to minimise: the weights of L_p, L_s, L_r, the optimizer and its numbers, the box (low, high) or None."""

    weights: tuple[float, float, float]
    optimizer: str
    lr: float
    max_iter: int
    clamp: tuple[Tensor, Tensor] | None


class Solved(NamedTuple):
    """Per problem: best iterate (m, c, h, w), loss at every iterate (m, max_iter + 1) with NaN after the end, weighted terms (m, 3)
    at the best iterate and at the start, number of steps, whether the stopping rule was met, whether it was given up."""

    images: Tensor
    loss: Tensor
    terms: Tensor
    terms_start: Tensor
    iterations: Tensor
    converged: Tensor
    diverged: Tensor


def optimizer_for(plan: Plan, x: Tensor) -> Optimizer:
    if plan.optimizer in ("descent", "momentum"):
        return Descent(x, plan.lr, 0.9 if plan.optimizer == "momentum" else 0.0)
    penalty = plan.weights[2] / (x.shape[2] * x.shape[3])
    return Adam(x, plan.lr, plan.max_iter, penalty=penalty, proximal=plan.optimizer == "proximal")


@dataclass
class Standing:
    """Where a batch of m problems stands before step t: ``rows`` of those still running and their iterates ``x``; the rest as in
    ``Solved``, ``lowest`` (m,) the loss at the best iterate, ``failures`` (m,)."""

    t: int
    rows: Tensor
    x: Tensor
    best: Tensor
    lowest: Tensor
    curve: Tensor
    at_best: Tensor
    at_start: Tensor | None
    iterations: Tensor
    failures: Tensor
    converged: Tensor
    diverged: Tensor

    @classmethod
    def first(cls, start: Tensor, max_iter: int) -> Standing:
        m, device, like = len(start), start.device, {"dtype": start.dtype, "device": start.device}
        iterations, failures = torch.zeros(2, m, dtype=torch.long, device=device)
        converged, diverged = torch.zeros(2, m, dtype=torch.bool, device=device)
        return cls(
            0, torch.arange(m, device=device), start, start.clone(), torch.full((m,), torch.inf, **like),
            torch.full((m, max_iter + 1), torch.nan, **like), torch.full((m, 3), torch.nan, **like), None,
            iterations, failures, converged, diverged,
        )  # fmt: skip

    def contents(self, stepper: Optimizer) -> dict[str, Any]:
        """All of it and the optimizer's memory, in tensors and plain values."""
        return {"standing": dict(vars(self)), "stepper": dict(vars(stepper))}


def solve(
    network: nn.Module, start: Tensor, aim: Goal, plan: Plan, tick: Callable[[int], object],
    *, contents: dict[str, Any] | None = None, hold: Callable[[dict[str, Any]], object] | None = None,
) -> Solved:  # fmt: skip
    """Minimise from ``start`` (m, c, h, w); network (m, c, h, w) -> maps (m, N, H, W); ``tick`` is told how many steps were
    taken or are no longer needed.

    ``hold`` is given what a later call needs as ``contents`` to go on from there, every ``HELD`` steps.
    Raises whatever the network raises. Problems whose loss or gradient is not finite go back to their best iterate with half the
    step, at most three times, then end as diverged.
    """
    weights = torch.tensor(plan.weights, dtype=start.dtype, device=start.device)
    window = DEFAULTS[plan.optimizer][2]
    stepper, at = optimizer_for(plan, start), Standing.first(start, plan.max_iter)
    if contents is not None:
        at = Standing(**contents["standing"])
        vars(stepper).update(contents["stepper"])
        aim = aim.take(at.rows)
        tick(len(at.rows) * at.t + (len(start) - len(at.rows)) * plan.max_iter)
    smooth = weights * torch.tensor([1.0, 1.0, 0.0 if stepper.regularised else 1.0], dtype=start.dtype, device=start.device)

    for t in range(at.t, plan.max_iter + 1):
        rows = at.rows
        found, gradient = _evaluate(network, at.x, aim, smooth)
        found = found * weights
        loss = found.sum(1)
        at.at_start = found if at.at_start is None else at.at_start
        at.curve[rows, t], at.iterations[rows] = loss, t
        better = loss < at.lowest[rows]
        at.lowest[rows[better]], at.best[rows[better]], at.at_best[rows[better]] = loss[better], at.x[better], found[better]

        failed = ~(loss.isfinite() & gradient.flatten(1).isfinite().all(1))
        at.failures[rows] += failed
        still = (at.curve[rows, t - window] - loss).abs() <= STILL * loss.abs() if t >= window else torch.zeros_like(failed)
        at.converged[rows] = still | stepper.worn_out()
        at.diverged[rows] = at.failures[rows] > RESTARTS
        going = ~(at.converged[rows] | at.diverged[rows])
        left = int(going.sum())
        tick(left + (len(going) - left) * (plan.max_iter - t))
        if t == plan.max_iter or not left:
            break
        gradient = torch.where(column(failed), 0, gradient)
        at.x = _inside(stepper.step(at.x, gradient, loss), plan.clamp)
        if bool(failed.any()):
            at.x = torch.where(column(failed), at.best[rows], at.x)
            stepper.restart(failed)
        if left < len(going):
            at.rows, at.x, aim = rows[going], at.x[going], aim.take(going)
            stepper.take(going)
        at.t = t + 1
        if hold is not None and at.t % HELD == 0:
            hold(at.contents(stepper))

    if isinstance(stepper, Adam) and plan.max_iter >= window:  # its schedule ends by itself: was there anything left to gain?
        change = (at.curve[:, -1 - window] - at.curve[:, -1]).abs()
        at.converged |= change <= SETTLED * at.curve[:, -1].abs()
    return Solved(at.best, at.curve, at.at_best, at.at_start, at.iterations, at.converged, at.diverged)


def _evaluate(network: nn.Module, x: Tensor, aim: Goal, smooth: Tensor) -> tuple[Tensor, Tensor]:
    """The unweighted terms (m, 3) and the gradient of their sum weighted by ``smooth``."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        found = terms(network(x.clone()), x, aim)  # a copy, since the first module may work in place
        (gradient,) = torch.autograd.grad((found * smooth).sum(), x)
    return found.detach(), gradient


def _inside(x: Tensor, box: tuple[Tensor, Tensor] | None) -> Tensor:
    return x if box is None else torch.minimum(torch.maximum(x, box[0]), box[1])
