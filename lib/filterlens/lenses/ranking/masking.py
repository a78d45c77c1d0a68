"""Silencing channels without changing the structure of a network, and finding who reads them.

A channel is silent when it is zero for every *consumer*: each convolution or linear layer that mixes it with others.
Between a filter and its consumers lie batch normalisation, activations, pooling, sums and concatenations, and a zero
filter comes out of those as beta - gamma mu / sigma; so the zero is put in at the consumers' inputs. ``removal`` uses this
file for ``mode="mask"``, and ``pruning`` to check what it cuts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from filterlens import network

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def is_depthwise(module: nn.Module) -> bool:
    """One filter per input channel: each output is the continuation of one input channel, mixed with no other."""
    return isinstance(module, _ConvNd) and module.groups == module.in_channels == module.out_channels > 1


def mixes(module: nn.Module) -> bool:
    """Whether a layer is a consumer: it mixes its input channels. Grouped convolutions do, inside of each group."""
    return isinstance(module, nn.Linear) or (isinstance(module, _ConvNd) and not is_depthwise(module))


def silence(model: nn.Module, positions: dict[str, Sequence[int]]) -> None:
    """Make input channels zero for the named consumers, in place; on linear layers the positions are input features.

    Each consumer gains the buffer ``input_mask`` (c,), bool, True = heard, and a forward pre-hook that puts zeros where it
    is False, whatever stood there. No weight changes, so the channel stays silent through training, ``deepcopy``,
    ``state_dict`` and pickling. A second call adds to the first.
    """
    for name, where in positions.items():
        module = model.get_submodule(name)
        if _mute not in module._forward_pre_hooks.values():
            width = module.in_features if isinstance(module, nn.Linear) else module.in_channels
            module.register_buffer("input_mask", torch.ones(width, dtype=torch.bool, device=module.weight.device))
            module.register_forward_pre_hook(_mute)
        module.input_mask[torch.as_tensor(where, device=module.input_mask.device)] = False


def _mute(module: nn.Module, args: tuple) -> tuple:
    """The hook of a silenced consumer. A fill, not a product: zero times infinity would be heard."""
    return (args[0].masked_fill(~module.input_mask.view(_per_channel(module)), 0), *args[1:])


def _per_channel(module: nn.Module) -> tuple[int, ...]:
    return (-1,) if isinstance(module, nn.Linear) else (-1, *(1 for _ in module.kernel_size))


def reached(model: nn.Module, channels: dict[str, Sequence[int]], example: Tensor) -> dict[str, list[int]]:
    """The consumers that read given output channels of given layers, with the input channels they read them on.

    One forward pass in which those channels are not-a-number, which everything that keeps channels apart hands on and
    nothing hides; each consumer notes where it meets it, and reads zero there. The network's output counts as a consumer
    named ``""``. example: normalized images (n, c, h, w); images of NaN show who reads the image itself.

    Raises ValueError if a layer called several times meets them on different channels.
    """
    found: dict[str, list[list[int]]] = {}  # one list of positions for each call of a consumer

    def taint(where: Sequence[int]) -> Any:
        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            output = output.clone()
            output.movedim(-1 if isinstance(module, nn.Linear) else -len(module.kernel_size) - 1, 0)[list(where)] = torch.nan
            return output

        return hook

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: tuple) -> tuple:
            axis = args[0].ndim - len(_per_channel(module))
            lost = args[0].isnan().movedim(axis, 0).flatten(1).any(1)
            found.setdefault(name, []).append(lost.nonzero().flatten().tolist())
            return (args[0].nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf), *args[1:])

        return hook

    with hooks_asleep(model), ExitStack() as stack:
        for name, where in channels.items():
            stack.callback(model.get_submodule(name).register_forward_hook(taint(where)).remove)
        for name, module in model.named_modules():
            if name and mixes(module):
                stack.callback(module.register_forward_pre_hook(note(name), prepend=True).remove)
        logits = answers(model, example)
    for name, calls in found.items():
        if channels and any(call != calls[0] for call in calls):
            raise ValueError(f"indices: {name!r} is called several times and reads channels of {list(channels)} in some calls only")
    read = {name: sorted(set().union(*calls)) for name, calls in found.items() if any(calls)}
    return read | ({"": [0]} if bool(logits.isnan().any()) else {})


def answers(model: nn.Module, example: Tensor) -> Tensor:
    """All that a network gives for an example, as one flat tensor (float64, CPU); eval mode, no gradients."""
    from torch.utils._pytree import tree_leaves

    with network.evaluating(model):
        leaves = [leaf for leaf in tree_leaves(model(example)) if isinstance(leaf, Tensor)]
    return torch.cat([leaf.flatten().cpu().double() for leaf in leaves])


@contextmanager
def hooks_asleep(model: nn.Module) -> Iterator[None]:
    """Inside, no hook of the caller's runs; the masks of ``silence`` still do."""
    kept = [(module, name, getattr(module, name)) for module in model.modules() for name in _HOOKS if getattr(module, name, None)]
    for module, name, hooks in kept:
        setattr(module, name, type(hooks)((key, hook) for key, hook in hooks.items() if hook is _mute))
    try:
        yield
    finally:
        for module, name, hooks in kept:
            setattr(module, name, hooks)
