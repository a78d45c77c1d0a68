"""Record what a network computes, operation by operation, as the steps of ``steps.py``.

One forward pass under a ``TorchFunctionMode`` sees every call of torch that touches the image's tensors: modules and
functional calls, in-place ones, torchvision's, timm's and the reader's own alike. No module is swapped, no model copied.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import nn

from .. import checks
from ..network import evaluating
from . import steps
from .recorder import Reached, Recorder


@dataclass(frozen=True)
class Trace:
    """The steps from the image (tensor 0) to the traced layer (tensor ``target``), in order of execution."""

    steps: tuple[steps.Step, ...]
    target: int
    widths: dict[int, int]  # channels of every tensor
    input_size: tuple[int, int]
    elements: int  # numbers in all recorded tensors of one image: what a forward pass holds
    dtype: torch.dtype
    device: torch.device

    @property
    def channels(self) -> tuple[int, int]:
        """Of the image and of the layer."""
        return self.widths[0], self.widths[self.target]

    @property
    def stride(self) -> int:
        """Image pixels between two neighbouring units of the layer."""
        sy = sx = 1
        for step in self.path():
            sy, sx = step.stride((sy, sx))
        if sy != sx:
            raise ValueError(f"model: the layer steps over {sy} rows but {sx} columns of the image, expected equal strides")
        return sy

    def upto(self, node: int) -> Trace:
        """The same record, ending at a lower tensor."""
        needed, found = {node}, []
        for step in reversed(self.steps):
            if step.output in needed:
                found.append(step)
                needed.update(step.inputs)
        return replace(self, steps=tuple(found[::-1]), target=node)

    def name(self, node: int) -> str:
        """The convolution or linear layer whose output a tensor carries (the first branch wherever several meet)."""
        made_by = {s.output: s for s in self.steps}
        while node and not isinstance(made_by[node], steps.Convolution):
            node = made_by[node].inputs[0]
        return made_by[node].name if node else "image"

    def path(self) -> list[steps.Step]:
        """One chain of steps from image to layer (the first branch wherever several meet)."""
        made_by, chain, at = {s.output: s for s in self.steps}, [], self.target
        while at:
            chain.append(made_by[at])
            at = made_by[at].inputs[0]
        return chain[::-1]

    def size(self, h: int, w: int) -> tuple[int, int]:
        """The layer's map for an image of h x w."""
        for step in self.path():
            h, w = step.size(h, w)
        return h, w


def trace(model: nn.Module, layer: str, input_size: tuple[int, int, int]) -> Trace:
    """Record the steps up to the first call of ``layer`` for one image of ``input_size`` (c, h, w).

    The model is run in evaluation mode on zeros, its state put back afterwards; work after the layer is not done.
    Raises ``ValueError`` if the layer is unknown or never called, or if the image does not fit the network.
    """
    checks.module("model", model)
    checks.choice("layer", layer, [name for name, _ in model.named_modules(remove_duplicate=False) if name])
    if not isinstance(input_size, tuple | list) or len(input_size) != 3:
        raise TypeError(f"input_size: got {checks.describe(input_size)}, expected (channels, height, width)")
    for side in input_size:
        checks.integer("input_size", side, 1)
    weight = next((p for p in [*model.parameters(), *model.buffers()] if p.is_floating_point()), None)
    if weight is None:
        raise ValueError("model: got a network without weights, expected a convolutional network")
    recorder, wanted = Recorder(model), model.get_submodule(layer)
    with ExitStack() as undo:
        undo.enter_context(evaluating(model))
        try:
            for name, module in model.named_modules():
                undo.callback(module.register_forward_pre_hook(recorder.enter(name)).remove)
                undo.callback(module.register_forward_hook(recorder.leave(module is wanted)).remove)
            image = torch.zeros(1, *input_size, dtype=weight.dtype, device=weight.device)
            with recorder:
                recorder.number(image)
                model(image)
        except Reached:
            pass
        except Exception as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"input_size: the network does not take an image of {tuple(input_size)}: {why}") from error
    if recorder.target is None:
        raise ValueError(
            f"layer: '{layer}' is not called in a forward pass, or its output does not come from the image by torch operations"
        )
    widths = {n: shape[1] for n, shape in recorder.shapes.items() if len(shape) > 1}
    elements = sum(math.prod(shape) for shape in recorder.shapes.values())
    everything = Trace(tuple(recorder.steps), recorder.target, widths, tuple(input_size[1:]), elements, weight.dtype, weight.device)
    return everything.upto(recorder.target)


def first_channels(model: nn.Module) -> int:
    """Channels of the image, by the first convolution in order of registration."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    raise ValueError("model: got a network without a Conv2d, expected a convolutional network")
