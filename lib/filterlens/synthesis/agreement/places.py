"""Where a filter's channel can be silenced, and where the pooled features lie: found by running the network, not read from its code.

``removing`` silences them there, ``responses`` looks at their maps there, ``final`` asks which layer writes the pooled features.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from filterlens import checks, network
from filterlens.lenses import ranking
from filterlens.lenses.isolation import Point
from filterlens.lenses.isolation.point import _NORMS, _PASSING, _run, _steps, is_activation
from filterlens.lenses.ranking.masking import is_depthwise, mixes, reached


class Head(NamedTuple):
    """The layer that makes logits of pooled features: its name, ``weight`` (C, d) and ``bias`` (C,)."""

    name: str
    weight: Tensor
    bias: Tensor


def checked_layer(model: nn.Module, layer: object, example: Tensor) -> nn.Conv2d:
    """A convolution with one group and more than one filter that is not the logits' layer.

    Raises TypeError or ValueError naming layer, ValueError naming images if they do not go through the model.
    """
    network.filters(model, layer)
    module = model.get_submodule(layer)
    if is_depthwise(module):
        raise ValueError(f"layer: {layer!r} is depthwise, its channels are those of the layer before it, expected a layer with one group")
    if module.groups > 1:
        raise ValueError(f"layer: {layer!r} has {module.groups} groups, whose filters see different channels, expected a layer with one")
    if module.out_channels == 1:
        raise ValueError(f"layer: {layer!r} has one filter, expected at least two to compare")
    calls = [call for call in network._calls(model, example, "images") if mixes(call.module)]
    if all(call.name != layer for call in calls):
        raise ValueError(f"layer: {layer!r} is not run when the model is, expected a layer of its forward pass")
    if calls[-1].name == layer:
        raise ValueError(f"layer: the channels of {layer!r} are the model's output, expected a layer before it")
    return module


def written_at(model: nn.Module, layer: str, example: Tensor) -> Point:
    """The last module that hands on what a convolution alone has written: itself, or a normalisation or activation that follows it.

    The next may be a convolution, a pooling, a sum: there its channels are mixed, cut or added to.
    """
    seen = _run(model, example[:1], "images")
    at = next(i for i, call in enumerate(seen) if call.module is model.get_submodule(layer))
    while True:
        call = seen[at]
        following = next((i for i in range(at + 1, len(seen)) if seen[i].received is call.gave and _steps(seen[i].module)), None)
        if following is None or seen[following].received_version != call.gave_version:  # an in-place sum keeps the tensor
            return call.point
        module = seen[following].module
        if not (is_activation(module) or isinstance(module, _NORMS + _PASSING)):
            return call.point
        at = following


def readers(model: nn.Module, layer: str, filter: int, example: Tensor) -> dict[str, list[int]]:
    """Who reads a filter's channel: layers that mix channels, with the input channels or features on which they do."""
    return reached(model, {layer: [filter]}, example[:1])


def removable(model: nn.Module, example: Tensor) -> list[str]:
    """The layers whose filters can be removed by themselves (``ranking.removable``); none where the network cannot be followed."""
    try:
        return ranking.removable(model, example=example[:1])
    except ValueError:
        return []


def head_of(model: nn.Module, example: Tensor) -> Head:
    """The layer that makes logits of pooled features: the linear layer after pooling, or a 1 x 1 convolution on one pixel, as LeNet has it.

    Raises ValueError for any other head.
    """
    names = {module: name for name, module in model.named_modules()}
    try:
        linear = network.classifier(model, example=example[:1])
    except ValueError:
        calls = [call for call in network._calls(model, example[:1], "images") if mixes(call.module)]
        last = calls[-1] if calls else None
        if last is None or not isinstance(last.module, nn.Conv2d) or last.module.kernel_size != (1, 1) or last.received[2:] != (1, 1):
            raise
        if last.module.groups > 1:
            raise
        return _head(last.name, last.module)
    return _head(names[linear], linear)


def _head(name: str, module: nn.Module) -> Head:
    weight = module.weight.detach().flatten(1)
    return Head(name, weight, weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach())


def bare_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose parameters take no gradients."""
    return copy.deepcopy(checks.module("model", model)).eval().requires_grad_(False)


def features_and_logits(model: nn.Module, head: Head, images: Tensor) -> tuple[Tensor, Tensor]:
    """What the head reads (n, d), and the model's output, of normalized images (n, c, h, w)."""
    found: list[Tensor] = []
    handle = model.get_submodule(head.name).register_forward_pre_hook(lambda module, args: found.append(args[0].flatten(1).clone()))
    try:
        with network.evaluating(model):
            logits = model(images.clone())
    finally:
        handle.remove()
    return torch.cat(found), logits
