"""Forward passes that begin in the middle: what a network has computed before a layer is remembered and need not be computed again.

``removing`` changes one channel after the other and asks for the logits each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import network
from filterlens.lenses.isolation import Point
from filterlens.lenses.ranking.masking import hooks_asleep

from .places import bare_copy

Edit = Callable[[nn.Module], Any]  # registers a hook on the network and gives its handle


class Resumed:
    """A copy of a network whose modules answer from memory if they have ended before a moment of its forward pass.

    before: names of modules; the moment is when the first of them begins. until: a call of a module; the moment is when it ends.
    example: normalized images (n, c, h, w), one forward pass.

    Whatever a forward pass does between its modules is done again, on what they remember; hooks of the caller's do not run. On a
    processor channels lie last in memory, where convolutions of few channels take about two thirds of the time.
    """

    def __init__(self, model: nn.Module, example: Tensor, *, before: Sequence[str] = (), until: Point | None = None) -> None:
        self.model = bare_copy(model)
        if example.device.type == "cpu":
            self.model.to(memory_format=torch.channels_last)
        ended = _ended(self.model, example, before, until)
        self.names = [name for name in ended if not any(name.startswith(f"{other}.") for other in ended)]
        self.memory: dict[str, list[Callable[[], Tensor]]] = {}
        self.images = example

    def remember(self, images: Tensor) -> Tensor:
        """The logits (n, C) of normalized images (n, c, h, w), which become those that ``rerun`` is about."""
        kept: dict[str, list[tuple[Tensor, Tensor, int]]] = defaultdict(list)

        def keep(name: str) -> Callable:
            return lambda module, args, output: kept[name].append((output, output.clone(), output._version))

        with hooks_asleep(self.model), ExitStack() as stack, network.evaluating(self.model):
            for name in self.names:
                stack.callback(self.model.get_submodule(name).register_forward_hook(keep(name)).remove)
            logits = self.model(images.clone())
        self.memory = {
            name: [_hands_out(copy, output._version > version) for output, copy, version in calls] for name, calls in kept.items()
        }  # fmt: skip
        self.images = images
        return logits

    def rerun(self, edits: Sequence[Edit] = ()) -> Tensor:
        """The logits (n, C) of the remembered images with hooks on the network, each of which has to act after the moment."""
        with hooks_asleep(self.model), ExitStack() as stack, network.evaluating(self.model):
            for name, calls in self.memory.items():
                module = self.model.get_submodule(name)
                module.forward = _Recall(calls)
                stack.callback(delattr, module, "forward")
            for edit in edits:
                stack.callback(edit(self.model).remove)
            return self.model(self.images.clone())


def _hands_out(kept: Tensor, changes: bool) -> Callable[[], Tensor]:
    """What a later in-place step overwrites is copied each time, the rest is handed out as it is."""
    return kept.clone if changes else lambda: kept


class _Recall:
    """A forward method that gives what was remembered, call by call."""

    def __init__(self, calls: list[Callable[[], Tensor]]) -> None:
        self.calls, self.at = calls, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        self.at += 1
        return self.calls[self.at - 1]()


def _ended(model: nn.Module, example: Tensor, before: Sequence[str], until: Point | None) -> list[str]:
    """The modules all of whose calls end before the moment, and give one tensor each time."""
    begins: dict[str, list[int]] = defaultdict(list)
    ends: dict[str, list[int]] = defaultdict(list)
    plain: dict[str, bool] = defaultdict(lambda: True)
    clock = iter(range(10**9))

    def enter(name: str) -> Callable:
        return lambda module, args: begins[name].append(next(clock))

    def leave(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, output: object) -> None:
            ends[name].append(next(clock))
            plain[name] &= isinstance(output, Tensor) and output.ndim > 1 and len(output) == len(example)

        return hook

    with hooks_asleep(model), ExitStack() as stack, network.evaluating(model), network._blamed("images", example):
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(enter(name), prepend=True).remove)
                stack.callback(module.register_forward_hook(leave(name)).remove)
        model(example.clone())
    moment = min(begins[name][0] for name in before) if before else ends[until.name][until.call]
    return [name for name in ends if plain[name] and max(ends[name]) <= moment]


def deaf(name: str, where: Sequence[int]) -> Edit:
    """The named layer reads zero on these input channels (of a linear layer: input features)."""

    def edit(model: nn.Module) -> Any:
        def hook(module: nn.Module, args: tuple) -> tuple:
            given = args[0].clone()
            given.movedim(-1 if isinstance(module, nn.Linear) else 1, 0)[list(where)] = 0
            return (given, *args[1:])

        return model.get_submodule(name).register_forward_pre_hook(hook)

    return edit


def mute(point: Point, filter: int) -> Edit:
    """Channel ``filter`` of what a call of a module gives is zero."""

    def edit(model: nn.Module) -> Any:
        left = [point.call]

        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            left[0] -= 1
            if left[0] != -1:
                return output
            output = output.clone()
            output[:, filter] = 0
            return output

        return model.get_submodule(point.name).register_forward_hook(hook)

    return edit


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each image (n,) in nats, in double precision: logits (n, C), labels (n,)."""
    return torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
