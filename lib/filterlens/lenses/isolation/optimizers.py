"""One step of every problem in a batch at once, each with its own step size and its own memory.

``Descent`` is the paper's plain gradient descent whose step is halved on a plateau, as torch's ReduceLROnPlateau does it, for
every problem by itself; ``Adam`` has a cosine schedule and, if ``proximal``, meets the L1 term with a soft threshold in its own
metric instead of a gradient, so that pixels become exactly 0. ``solve`` runs them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PATIENCE, THRESHOLD = 50, 1e-4  # iterations without a fall, and what counts as one (torch's default)
LEAST = 1e-5  # of the first step ends a descent: 1e-4 at the paper's 10


def column(x: Tensor) -> Tensor:
    return x[:, None, None, None]


class Optimizer:
    """Per-problem state along the first axis of every tensor in it."""

    regularised = False  # whether the step itself takes care of the L1 term

    def __init__(self, x: Tensor, lr: float) -> None:
        self.lr = torch.full((len(x),), lr, dtype=torch.float64, device=x.device)

    def take(self, rows: Tensor) -> None:
        """Keep these problems only."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[rows])

    def restart(self, failed: Tensor) -> None:
        """Halve the step of failed problems (p,) bool and forget what they remember."""
        self.lr = torch.where(failed, self.lr / 2, self.lr)

    def worn_out(self) -> Tensor:
        """Which problems' steps have become too small to matter, (p,) bool."""
        return torch.zeros(len(self.lr), dtype=torch.bool, device=self.lr.device)


class Descent(Optimizer):
    """x <- x - lr u with u <- momentum u + gradient; lr is halved when the loss has not fallen for 50 iterations."""

    def __init__(self, x: Tensor, lr: float, momentum: float = 0.0) -> None:
        super().__init__(x, lr)
        self.momentum, self.least = momentum, LEAST * lr
        self.velocity = torch.zeros_like(x) if momentum else None
        self.lowest = torch.full((len(x),), math.inf, dtype=x.dtype, device=x.device)
        self.waited = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def restart(self, failed: Tensor) -> None:
        super().restart(failed)
        self.waited = torch.where(failed, 0, self.waited)
        if self.velocity is not None:
            self.velocity[failed] = 0

    def worn_out(self) -> Tensor:
        return self.lr < self.least

    def step(self, x: Tensor, gradient: Tensor, loss: Tensor) -> Tensor:
        """The next iterate from the gradient and loss at x; the schedule hears the loss after the step, as torch's does."""
        if self.velocity is not None:
            gradient = self.velocity = self.velocity * self.momentum + gradient
        x = x - column(self.lr).to(x) * gradient
        fell = loss < self.lowest * (1 - THRESHOLD)
        self.lowest = torch.where(fell, loss, self.lowest)
        self.waited = torch.where(fell, 0, self.waited + 1)
        worn = self.waited > PATIENCE
        self.lr = torch.where(worn, self.lr / 2, self.lr)
        self.waited = torch.where(worn, 0, self.waited)
        return x


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015) with a short warm-up and a cosine schedule; ``proximal``: the L1 term by soft threshold.

    The threshold of a pixel is its own step, lr / sqrt(v + penalty^2), times the term's weight: the proximal map in Adam's
    diagonal metric. The metric counts the term's own slope, so that a pixel without any other gradient moves by lr, not to 0 at once.

    The loss has kinks everywhere (norms that are not squared, ReLUs), its gradients jump: v must forget within five steps (0.8, not
    0.999), and full first steps from the image, where L_p has its kink, would ruin every map.
    """

    betas = (0.9, 0.8)
    warm_up = 0.05  # of the schedule

    def __init__(self, x: Tensor, lr: float, max_iter: int, *, penalty: float = 0.0, proximal: bool = False) -> None:
        super().__init__(x, lr)
        self.max_iter, self.penalty, self.regularised = max_iter, penalty, proximal
        self.eps = 1e-15 if x.dtype.itemsize > 2 else 1e-7  # only against 0 / 0
        self.mean, self.square = torch.zeros_like(x), torch.zeros_like(x)
        self.steps = torch.zeros(len(x), dtype=torch.float64, device=x.device)  # since the last restart
        self.done = 0

    def restart(self, failed: Tensor) -> None:
        super().restart(failed)
        self.mean[failed] = 0
        self.square[failed] = 0
        self.steps = torch.where(failed, 0.0, self.steps)

    def step(self, x: Tensor, gradient: Tensor, loss: Tensor) -> Tensor:
        """The next iterate from the gradient at x, of all terms or, if proximal, of all but the L1 term."""
        first, second = self.betas
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        self.steps = self.steps + 1
        scale = (self.square / column(1 - second**self.steps).to(x)).add_(self.penalty**2).sqrt_().add_(self.eps)
        pace = column(self.lr * self._schedule()).to(x) / scale
        x = x - pace * (self.mean / column(1 - first**self.steps).to(x))
        if self.regularised:
            x = x.sign() * (x.abs() - pace * self.penalty).clamp_(min=0)
        return x

    def _schedule(self) -> float:
        at, warm = self.done, max(1, round(self.warm_up * self.max_iter))
        self.done += 1
        return (0.5 + 0.5 * math.cos(math.pi * at / self.max_iter)) * min(1.0, (at + 1) / warm)
