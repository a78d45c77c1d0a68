"""How strongly a filter answers to images, and what its channel reaches: measured on the network, not read from its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from filterlens import network
from filterlens.lenses.isolation import Point, Tap, find_point
from filterlens.lenses.isolation.point import frozen

BATCH = 8
LOUD = 10.0  # times a layer's largest output: opens any rectifier that a channel can open
ROUNDING = 1e-6  # of the largest value read


class Response(NamedTuple):
    """A filter's maps after the activation that follows, on n images: ``mean`` (n,) and ``strength`` (n,), of their absolute values."""

    point: Point
    mean: Tensor
    strength: Tensor


def respond(model: nn.Module, layer: str, filter: int, images: Tensor) -> Response:
    """Maps of normalized images (n, c, h, w), taken where the isolation lens takes them. Raises ValueError as ``find_point`` does."""
    point = find_point(model, layer, example=images, argument="images")
    maps = [own_maps(model, point, filter, part).double() for part in images.split(BATCH)]
    return Response(point, *(torch.cat([values.mean((1, 2)) for values in way]) for way in (maps, [one.abs() for one in maps])))


def own_maps(model: nn.Module, point: Point, filter: int, images: Tensor) -> Tensor:
    """The filter's maps (n, H, W) at a point."""
    tap = Tap(model, point)
    with frozen(model), torch.no_grad():
        return tap(images.clone())[:, filter]


class Written(NamedTuple):
    """Which of some numbers a channel reaches, ``reached`` (d,) bool; ``alone``: whether those come from nowhere else."""

    reached: Tensor
    alone: bool

    @property
    def only(self) -> int | None:
        """The one number that is reached, None if there are none or several."""
        places = self.reached.nonzero()[:, 0].tolist()
        return places[0] if len(places) == 1 else None


def written(model: nn.Module, layer: str, filter: int, images: Tensor, read: Callable[[Tensor], Tensor]) -> Written:
    """Shift a filter's output far up and far down, and see which of ``read(images)`` (n, d) change; then silence it, and see which still vary.

    images: normalized, one or more; their negatives are shown too. ``read`` runs the model. The model is left as it was.
    """
    shown = torch.cat([images, -images])
    module = model.get_submodule(layer)
    before = read(shown)
    with _channel(module, filter, lambda own, size: own + size):
        up = read(shown)
    with _channel(module, filter, lambda own, size: own - size):
        down = read(shown)
    with _channel(module, filter, lambda own, size: torch.zeros_like(own)):
        silent = read(shown)
    level = ROUNDING * float(torch.stack([before, up, down]).abs().max())
    reached = ((up - before).abs().amax(0) > level) | ((down - before).abs().amax(0) > level)
    varies = (silent - silent[:1]).abs().amax(0) > ROUNDING * float(silent.abs().max())
    return Written(reached, not bool((varies & reached).any()))


@contextmanager
def _channel(module: nn.Module, filter: int, change: Callable[[Tensor, float], Tensor]) -> Iterator[None]:
    """Within the block one channel of a module's output is another; the size handed on is ``LOUD`` times the output's largest value, plus 1."""

    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        at = (..., filter) if isinstance(module, nn.Linear) else (slice(None), filter)
        output = output.clone()
        output[at] = change(output[at], 1 + LOUD * float(output.abs().max()))
        return output

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def pooled(model: nn.Module, images: Tensor) -> Tensor:
    """What reaches the classifier, (n, d). Raises ValueError for a head that is not one linear layer after pooling."""
    parts = [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(BATCH)]
    return network.pooled(model, parts)[0]


def logits(model: nn.Module, images: Tensor) -> Tensor | None:
    """The network's answer (n, C), None if it gives anything else. Raises ValueError naming images if they do not go through it."""
    with network.evaluating(model), network._blamed("images", images):
        found = [model(part.clone()) for part in images.split(BATCH)]
    fits = all(isinstance(one, Tensor) and one.ndim == 2 and one.is_floating_point() for one in found)
    return torch.cat(found).detach().cpu() if fits else None
