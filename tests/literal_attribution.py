"""Deconvolution, guided backpropagation and the epsilon rule written out slowly, for the attribution lens to be held against."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, ceiling: float | None, rule: str) -> Tensor:
        found = F.relu(x) if ceiling is None else F.relu6(x)
        ctx.save_for_backward(x, found)
        ctx.rule, ctx.ceiling = rule, ceiling
        return found.clone()

    @staticmethod
    def backward(ctx, sent: Tensor) -> tuple:
        x, found = ctx.saved_tensors
        rising = (x > 0) if ctx.ceiling is None else (x > 0) & (x < ctx.ceiling)
        if ctx.rule == "deconvolution":
            return sent.clamp(min=0), None, None
        if ctx.rule == "guided":
            return sent.clamp(min=0) * rising, None, None
        # "ratio": as the epsilon rule has it, relevance per value: full units of ReLU6 hand it on, divided by more than they show
        return sent * (rising if ctx.rule == "gradient" else found / torch.where(x == 0, 1, x)), None, None


class Rectifier(nn.Module):
    def __init__(self, rule: str, ceiling: float | None, inplace: bool) -> None:
        super().__init__()
        self.rule, self.ceiling, self.inplace = rule, ceiling, inplace

    def forward(self, x: Tensor) -> Tensor:
        found = _Rectify.apply(x.clone(), self.ceiling, self.rule)
        return x.copy_(found) if self.inplace else found


def swapped(model: nn.Module, rule: str) -> nn.Module:
    """A copy whose rectifier modules follow the rule; a shared one stays shared."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(parent, name, Rectifier(rule, 6.0 if isinstance(child, nn.ReLU6) else None, child.inplace))
    return model


class _Reached(BaseException):
    pass


def maps_at(model: nn.Module, name: str, call: int, images: Tensor) -> Tensor:
    """The output of call number ``call`` of a module; the rest is not run."""
    found: list[Tensor] = []

    def stop(module: nn.Module, args: tuple, output: Tensor) -> None:
        found.append(output)
        if len(found) > call:
            raise _Reached

    handle = model.get_submodule(name).register_forward_hook(stop)
    try:
        model(images)
    except _Reached:
        pass
    finally:
        handle.remove()
    return found[call]


def literal(model: nn.Module, name: str, kernel: int, images: Tensor, rule: str, *, call: int = 0) -> Tensor:
    """The unscaled pattern of the signal "map", by a copy of the network with its rectifiers swapped."""
    images = images.clone().requires_grad_(True)
    maps = maps_at(swapped(model, rule), name, call, images.clone())
    signal = torch.zeros_like(maps)
    signal[:, kernel] = maps[:, kernel].detach()
    return torch.autograd.grad(maps, images, signal)[0]


def input_times_gradient(model: nn.Module, name: str, kernel: int, images: Tensor, *, call: int = 0) -> Tensor:
    """What the epsilon rule tends to without epsilon: X * d(sum of the map)/dX, where a full ReLU6 counts as a multiplication."""
    images = images.clone().requires_grad_(True)
    maps = maps_at(swapped(model, "ratio"), name, call, images.clone())
    return (images * torch.autograd.grad(maps[:, kernel].sum(), images)[0]).detach()


def layerwise(steps: list[nn.Module], kernel: int, image: Tensor, epsilon: float) -> Tensor:
    """The epsilon rule through a list of layers for one image (1, c, h, w): whole Jacobians, one division per layer."""
    values = [image]
    for step in steps:
        values.append(step(values[-1]).detach())
    relevance = torch.zeros_like(values[-1])
    relevance[:, kernel] = values[-1][:, kernel]
    for step, a, z in reversed(list(zip(steps, values[:-1], values[1:], strict=True))):
        if isinstance(step, nn.ReLU | nn.ReLU6):
            continue  # all of it passes
        jacobian = torch.autograd.functional.jacobian(step, a).reshape(z.numel(), a.numel())
        if not isinstance(step, nn.MaxPool2d):
            divisor = z + epsilon * z.abs().max() * torch.where(z < 0, -1.0, 1.0)
            relevance = a * ((relevance / divisor).flatten() @ jacobian).reshape(a.shape)
        else:
            relevance = (relevance.flatten() @ jacobian).reshape(a.shape)
    return relevance
