"""The paper's procedure word for word and one problem at a time: the slow reference for ``isolate`` and its benchmark.

Nothing is made faster: the whole network runs forward, the weights get gradients too, the kernels are summed in a Python loop, and
torch's own SGD and ReduceLROnPlateau move the image. What it computes is what ``isolate(optimizer="descent")`` computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import checks, network
from .losses import BALANCES
from .optimizers import LEAST, PATIENCE
from .point import Point, checked_maps, find_point
from .solve import STILL
from .starts import starting


@dataclass(frozen=True, eq=False)
class LiteralIsolation:
    """One isolated image: ``image`` (c, h, w) and ``best`` of the best iterate, ``loss`` (t + 1,) at every iterate, ``terms`` (t + 1, 3)
    weighted, ``converged``: a stopping rule was met before max_iter."""

    image: Tensor
    best: float
    loss: Tensor
    terms: Tensor
    converged: bool


def isolate_literally(
    model: nn.Module,
    layer: str,
    kernel: int,
    image: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    preserve: float = 1.0,
    balance: str = "printed",
    lr: float = 10.0,
    momentum: float = 0.0,
    max_iter: int = 10_000,
    start: str | Tensor = "image",
    pre_activation: bool = False,
    seed: int = 0,
) -> LiteralIsolation:
    """Sections 3.1 and 4.1 of arXiv 2108.11054 for one kernel and one normalized image (1, c, h, w).

    SGD from ``start`` with step lr, halved when the loss has not fallen for 50 iterations; at most max_iter steps, ending when the
    step is 1e-5 of the first (1e-4 at the paper's 10) or the loss has changed by less than 1e-6 of itself over 200 iterations.
    The arguments mean what they mean in ``isolate``; the model leaves as it came. Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    checks.tensor("image", image, "n c h w", sizes={"n": 1})
    preserve, alpha, beta = (checks.real(name, value, 0) for name, value in (("preserve", preserve), ("alpha", alpha), ("beta", beta)))
    checks.choice("balance", balance, BALANCES)
    if checks.real("lr", lr, 0) == 0:
        raise ValueError("lr: got 0, expected a number above 0")
    checks.real("momentum", momentum, 0, 1)
    checks.integer("max_iter", max_iter, 1)
    checks.integer("seed", seed, 0)
    x = starting(start, image, seed).clone().requires_grad_(True)
    point = find_point(model, layer, example=image, pre_activation=pre_activation, argument="image")
    watch = _Watch(point)
    handle = model.get_submodule(point.name).register_forward_hook(watch)
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        with network.mode_kept(model), torch.enable_grad():
            model.eval()
            with torch.no_grad():
                target = watch.run(model, image)
            checks.integer("kernel", kernel, 0, target.shape[1] - 1)
            if not bool(target[0, kernel].any()):
                raise ValueError(f"kernel: the map of {kernel} at {layer!r} is zero, expected an active kernel")
            return _descend(model, watch, x, target, kernel, (preserve, alpha, beta), balance, (lr, momentum, max_iter))
    finally:
        handle.remove()
        for parameter, gradient in gradients:
            parameter.grad = gradient


class _Watch:
    """A forward hook that keeps the maps of one call of a module, out of reach of in-place layers that follow."""

    def __init__(self, point: Point) -> None:
        self.point, self.count, self.maps = point, 0, None

    def __call__(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        self.count += 1
        if self.count - 1 != self.point.call:
            return None
        self.maps = checked_maps(output, self.point.name)
        return output.clone()

    def run(self, model: nn.Module, x: Tensor) -> Tensor:
        self.count = 0
        model(x.clone())
        return self.maps


def _descend(
    model: nn.Module, watch: _Watch, x: Tensor, target: Tensor, i: int, weights: tuple, balance: str, steps: tuple
) -> LiteralIsolation:
    lr, momentum, max_iter = steps
    optimizer = torch.optim.SGD([x], lr=lr, momentum=momentum)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=PATIENCE, eps=0.0)
    best, image, curve, rows, ended = float("inf"), x.detach().clone(), [], [], False
    for t in range(max_iter + 1):
        optimizer.zero_grad()
        terms = [weight * term for weight, term in zip(weights, _terms(watch.run(model, x), target, i, x, balance), strict=True)]
        loss = sum(terms)
        curve.append(loss.item())
        rows.append([term.item() for term in terms])
        if curve[-1] < best:
            best, image = curve[-1], x.detach().clone()
        still = t >= 200 and abs(curve[t - 200] - curve[t]) <= STILL * abs(curve[t])
        ended = still or optimizer.param_groups[0]["lr"] < LEAST * lr
        if t == max_iter or ended:
            break
        loss.backward()
        optimizer.step()
        scheduler.step(loss.item())
    return LiteralIsolation(image[0], best, torch.tensor(curve, dtype=x.dtype), torch.tensor(rows, dtype=x.dtype), ended)


def _terms(maps: Tensor, target: Tensor, i: int, x: Tensor, balance: str) -> list[Tensor]:
    height, width = maps.shape[2:]
    area = width * height if balance == "printed" else 1
    preserved = torch.norm(maps[0, i] - target[0, i]) / (area * torch.norm(target[0, i]))
    loud, loud_before = torch.zeros((), dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    for j in range(maps.shape[1]):
        if j != i:
            loud = loud + maps[0, j].abs().sum()
            loud_before = loud_before + target[0, j].abs().sum()
    suppressed = loud / (area * loud_before) if loud_before > 0 else loud * 0
    small = x.abs().sum() / (x.shape[2] * x.shape[3])
    return [preserved, suppressed, small]
