"""Removing filters from a network: silenced in place (``masking``) or cut out for good (``pruning``), with equal logits.

Removing filter k of a layer means: whoever reads its channel reads zero, whatever normalisation and activation stand in
between (spec of the positional ranking: "zero after BN and activation").
"""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from filterlens import checks, network
from filterlens.lenses.ranking.masking import answers, hooks_asleep, is_depthwise, reached, silence
from filterlens.lenses.ranking.pruning import Bound, Wiring


def n_removed(p: float, n: int) -> int:
    """How many of n filters a share p is: floor(p n + 1/2), at most n - 1, since one filter always stays.

    Halves go up (Python's ``round`` takes them to the even neighbour). Raises ValueError for p outside of [0, 1] or n < 1.
    """
    p, n = checks.real("p", p, 0.0, 1.0), checks.integer("n", n, 1)
    return min(n - 1, math.floor(p * n + 0.5 + 1e-9))  # .35 * 90 is a little below its half


@torch.inference_mode(False)
def removable(model: nn.Module, *, example: Tensor | None = None) -> list[str]:
    """The convolutions whose filters may be removed one layer at a time, in order of registration.

    Left out: layers with one filter, those whose channels are the model's output, depthwise ones (their channels are those of
    the layer before) and those on a shared stream, where a sum binds them to the channels of other layers. ``mode="prune"`` asks more
    of the readers of some of them, see ``remove_filters``. example: normalized images (n, c, h, w), by default one image of noise of
    the model's ``input_size``.

    Raises TypeError or ValueError for wrong arguments and for a network that cannot be followed.
    """
    layers = network.conv_layers(model)
    example, bare = _images(model, example), copy.deepcopy(model)
    wiring = _wired(bare, example)
    running = {name: layer for name, layer in layers.items() if wiring.runs(name) and layer.out_channels > 1}
    bounds = {name: wiring.bound(name, [0]) for name in running}
    free = {name: bound for name, bound in bounds.items() if _refusal(name, running[name], [0], bound, False) is None}
    if not _lost(bare, list(free.values()), example):  # all at once, which is the rule
        return list(free)
    return [name for name, bound in free.items() if not _lost(bare, [bound], example)]


@torch.inference_mode(False)
def remove_filters(
    model: nn.Module, indices: Mapping[str, Sequence[int]], *, mode: str = "mask", example: Tensor | None = None, coupled: bool = False
) -> nn.Module:
    """A deep copy of a network without some of its filters; ``indices`` names the layers and the filters to remove.

    mode "mask" keeps the structure: every consumer of the channel (convolution or linear layer) gains a 0/1 buffer
    ``input_mask`` on its input, so the channel is silent after each consumer's own normalisation and activation and stays so
    through training, ``deepcopy`` and ``state_dict``. Batch normalisation of the silent channel goes on in training, unread.
    mode "prune" cuts the filters, and all that belongs to them, out: smaller plain layers, saved and trained as any other.
    Both give the same logits; for "prune" this is checked on the example before it is handed out.

    A layer on a shared stream (residual sums) is refused, naming the layers bound to it, unless ``coupled``: then the same
    channels of all of them go. Multipliers of the removed channel (squeeze-and-excitation) go with it. Where a grouped convolution
    reads or makes the channels, "prune" needs equally many from each group.

    example: normalized images (n, c, h, w), by default one image of noise of the model's ``input_size``. Training mode, device and
    ``requires_grad`` are those of the model, which stays untouched. Peak memory: three copies of the network and one forward pass.

    Raises TypeError or ValueError for wrong arguments, unknown layers (with near names), indices out of range or twice, the layer
    that gives the logits, depthwise layers (naming the layer before), all filters of a layer, and networks that cannot be followed.
    """
    wanted = _wanted(model, indices)
    checks.choice("mode", mode, ("mask", "prune"))
    if not isinstance(coupled, bool):
        raise TypeError(f"coupled: got {checks.describe(coupled)}, expected True or False")
    example = _images(model, example)
    result = copy.deepcopy(model)
    wiring = _wired(result, example)
    bounds = []
    for name, where in wanted.items():
        if not wiring.runs(name):
            raise ValueError(f"indices: {name!r} does not run in a forward pass of the model, expected layers that do")
        bounds.append(wiring.bound(name, where))
        if (why := _refusal(name, result.get_submodule(name), where, bounds[-1], coupled)) is not None:
            raise ValueError(f"indices: {why}")
    producers, consumers = _together(bound.producers for bound in bounds), _together(bound.consumers for bound in bounds)
    for name, where in _together(part for bound in bounds for part in (bound.producers, bound.gates)).items():
        width = result.get_submodule(name).weight.shape[0]
        if len(where) >= width:
            raise ValueError(f"indices: all {width} filters of {name!r} would be removed, expected at least one to stay")
    if odd := _lost(result, bounds, example):
        raise ValueError(
            f"indices: channels of {list(producers)} cannot be followed to those who read them ({odd[:3]}): something on the way "
            "moves or mixes channels (padding, shuffling, normalisation over channels) or adds the image itself"
        )
    if mode == "mask":
        silence(result, consumers)
        return result
    masked = copy.deepcopy(result)
    silence(masked, consumers)
    wiring.cut([cut for bound in bounds for cut in bound.cuts])
    _check_equal(result, masked, example)
    return result


def _wanted(model: nn.Module, indices: object) -> dict[str, list[int]]:
    layers = network.conv_layers(model)
    if not isinstance(indices, Mapping):
        raise TypeError(f"indices: got {checks.describe(indices)}, expected a dict from layers to the filters to remove")
    if not indices:
        raise ValueError("indices: got an empty dict, expected at least one layer with the filters to remove")
    found = {}
    for name, where in indices.items():
        if not isinstance(name, str):
            raise TypeError(f"indices: got the key {checks.describe(name)}, expected the dotted name of a convolution")
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=3, cutoff=0.5) or list(layers)[:3]
            raise ValueError(f"indices: got {name!r}, expected the name of one of the model's {len(layers)} convolutions, such as {near}")
        n = layers[name].out_channels
        found[name] = sorted(checks.indices(f"indices[{name!r}]", where, n))
        if len(found[name]) == n:
            raise ValueError(f"indices[{name!r}]: got all {n} filters, expected at least one to stay")
    return found


def _images(model: nn.Module, example: Tensor | None) -> Tensor:
    """The caller's example or one of noise, on the model's device and in its precision."""
    if example is None:
        size = getattr(model, "input_size", None)
        if size is None:
            raise ValueError(f"example: got None and {type(model).__name__} has no input_size, expected normalized images (n, c, h, w)")
        example = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    checks.tensor("example", example, "n c h w")
    return example.detach().clone().to(next((parameter for parameter in model.parameters() if parameter.is_floating_point()), example))


def _wired(model: nn.Module, example: Tensor) -> Wiring:
    try:
        with hooks_asleep(model):
            plain = answers(model, example)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"example: {checks.describe(example)} does not go through the model: {said}") from error
    if bool(plain.isnan().any()):
        raise ValueError(f"example: the model answers NaN to {checks.describe(example)}, expected images with finite logits")
    return Wiring(model, example)


def _refusal(name: str, layer: nn.Module, where: list[int], bound: Bound, coupled: bool) -> str | None:
    """Why filters of a layer may not be removed, None if they may."""
    others = [other for other in bound.producers if other != name]
    if bound.leaves:
        return f"the channels of {name!r} are the model's output, expected a layer before it"
    if is_depthwise(layer):
        return f"{name!r} is depthwise, its channels are those of {others}: remove filters there, and its own go along"
    if others and not coupled:
        few = f"{others[:8]}" + f" and {len(others) - 8} more" * (len(others) > 8)
        return f"the channels of {name!r} are on a stream shared with {few}; with coupled=True the same channels of all of them go"
    if not coupled and bound.producers[name] != where:
        more = sorted({*bound.producers[name]} - {*where})
        return f"channels {where[:8]} of {name!r} are bound to its channels {more[:8]}; with coupled=True those go too"
    return None


def _lost(model: nn.Module, bounds: list[Bound], example: Tensor) -> list[str]:
    """Layers where the channels that a forward pass reads are not those that the dependency graph names; none if it is right."""
    producers, consumers = _together(bound.producers for bound in bounds), _together(bound.consumers for bound in bounds)
    heard, image = reached(model, producers, example), reached(model, {}, torch.full_like(example, torch.nan))
    lost = {name for name in {*heard, *consumers} if heard.get(name) != consumers.get(name)}
    summed = {name for name, where in consumers.items() if {*where} & {*image.get(name, ())}}  # a sum with the image itself
    return sorted(name or "the output" for name in lost | summed)


def _together(parts: Iterable[dict[str, list[int]]]) -> dict[str, list[int]]:
    found: dict[str, set[int]] = {}
    for part in parts:
        for name, where in part.items():
            found.setdefault(name, set()).update(where)
    return {name: sorted(where) for name, where in found.items()}


def _check_equal(pruned: nn.Module, masked: nn.Module, example: Tensor) -> None:
    """Refuse to hand out a pruned network whose logits are not those of the masked one."""
    with hooks_asleep(pruned), hooks_asleep(masked):
        expected = answers(masked, example)
        try:
            found = answers(pruned, example)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"mode: 'prune' leaves a network that does not run, its code counts on its channels ({said})") from error
    off = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30)) if found.shape == expected.shape else math.inf
    eps = torch.finfo(example.dtype).eps
    if not off <= min(math.sqrt(eps), 1e-5 + 32 * eps):
        raise ValueError(f"mode: 'prune' would change the logits by {off:.1e} of their scale, so this network can only be masked")
