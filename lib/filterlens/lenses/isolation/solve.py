"""The loop of ``isolate``: one batch of independent problems, each with its own best iterate, step size and end.

The problems' losses are summed, so that each gets the gradient it would get alone; a problem that has ended leaves the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .losses import Goal, terms
from .optimizers import Adam, Descent, Optimizer, column

RESTARTS = 3  # after a loss or gradient that is not finite
STILL = 1e-6  # relative change of the loss over a window that ends a problem
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


def solve(network: nn.Module, start: Tensor, aim: Goal, plan: Plan, tick: Callable[[int], object]) -> Solved:
    """Minimise from ``start`` (m, c, h, w); network (m, c, h, w) -> maps (m, N, H, W); ``tick`` is told how many steps were
    taken or are no longer needed.

    Raises whatever the network raises. Problems whose loss or gradient is not finite go back to their best iterate with half the
    step, at most three times, then end as diverged.
    """
    m, device, like = len(start), start.device, {"dtype": start.dtype, "device": start.device}
    weights = torch.tensor(plan.weights, **like)
    window = DEFAULTS[plan.optimizer][2]
    stepper = optimizer_for(plan, start)
    smooth = weights * torch.tensor([1.0, 1.0, 0.0 if stepper.regularised else 1.0], **like)
    best, lowest = start.clone(), torch.full((m,), torch.inf, **like)
    curve, at_best, at_start = torch.full((m, plan.max_iter + 1), torch.nan, **like), torch.full((m, 3), torch.nan, **like), None
    iterations, failures = torch.zeros(2, m, dtype=torch.long, device=device)
    converged, diverged = torch.zeros(2, m, dtype=torch.bool, device=device)
    rows, x = torch.arange(m, device=device), start  # the problems still running, and where they stand

    for t in range(plan.max_iter + 1):
        found, gradient = _evaluate(network, x, aim, smooth)
        found = found * weights
        loss = found.sum(1)
        at_start = found if at_start is None else at_start
        curve[rows, t], iterations[rows] = loss, t
        better = loss < lowest[rows]
        lowest[rows[better]], best[rows[better]], at_best[rows[better]] = loss[better], x[better], found[better]

        failed = ~(loss.isfinite() & gradient.flatten(1).isfinite().all(1))
        failures[rows] += failed
        still = (curve[rows, t - window] - loss).abs() <= STILL * loss.abs() if t >= window else torch.zeros_like(failed)
        converged[rows] = still | stepper.worn_out()
        diverged[rows] = failures[rows] > RESTARTS
        going = ~(converged[rows] | diverged[rows])
        left = int(going.sum())
        tick(left + (len(going) - left) * (plan.max_iter - t))
        if t == plan.max_iter or not left:
            break
        gradient = torch.where(column(failed), 0, gradient)
        x = _inside(stepper.step(x, gradient, loss), plan.clamp)
        if bool(failed.any()):
            x = torch.where(column(failed), best[rows], x)
            stepper.restart(failed)
        if left < len(going):
            rows, x, aim = rows[going], x[going], aim.take(going)
            stepper.take(going)

    if isinstance(stepper, Adam) and plan.max_iter >= window:  # its schedule ends by itself: was there anything left to gain?
        change = (curve[:, -1 - window] - curve[:, -1]).abs()
        converged |= change <= SETTLED * curve[:, -1].abs()
    return Solved(best, curve, at_best, at_start, iterations, converged, diverged)


def _evaluate(network: nn.Module, x: Tensor, aim: Goal, smooth: Tensor) -> tuple[Tensor, Tensor]:
    """The unweighted terms (m, 3) and the gradient of their sum weighted by ``smooth``."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        found = terms(network(x.clone()), x, aim)  # a copy, since the first module may work in place
        (gradient,) = torch.autograd.grad((found * smooth).sum(), x)
    return found.detach(), gradient


def _inside(x: Tensor, box: tuple[Tensor, Tensor] | None) -> Tensor:
    return x if box is None else torch.minimum(torch.maximum(x, box[0]), box[1])
