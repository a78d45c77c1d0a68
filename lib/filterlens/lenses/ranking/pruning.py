"""Which layers must lose channels together, and cutting them out of a network for good.

torch-pruning's dependency graph (Fang et al., arXiv 2301.12900) follows channels through any network that autograd can see,
and cuts most kinds of layers. This file asks it who is bound to whom, adds grouped convolutions, and never leaves a trace
of it in the network: the caller of ``Wiring`` gets plain modules back. ``removal`` decides what may be cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import network
from filterlens.lenses.ranking.masking import hooks_asleep, is_depthwise, mixes


@dataclass
class Bound:
    """What goes together with some channels: per layer, which channels.

    ``producers`` write them, ``gates`` do nothing but multiply them (squeeze-and-excitation), ``consumers`` read them on these input
    positions; ``leaves`` says whether they are among the network's outputs.
    """

    producers: dict[str, list[int]] = field(default_factory=dict)
    gates: dict[str, list[int]] = field(default_factory=dict)
    consumers: dict[str, list[int]] = field(default_factory=dict)
    leaves: bool = False
    cuts: list[tuple[Any, Any, Sequence[int]]] = field(default_factory=list)  # (torch-pruning's node, its function, channels)


class Wiring:
    """The dependency graph of one network, found in one forward pass in evaluation mode.

    example: normalized images (n, c, h, w). Holds the activations of that pass as long as it lives. Raises ValueError for a network
    that cannot be followed.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        from torch_pruning import DependencyGraph
        from torch_pruning.ops import OPTYPE

        self.model, self.types = model, OPTYPE
        self.names = {module: name for name, module in model.named_modules()}
        self.graph = DependencyGraph()
        try:
            with _traceable(model):
                self.graph.build_dependency(model, (example,), forward_fn=lambda net, inputs: net(*inputs), verbose=False)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"model: {type(model).__name__} cannot be followed from its output back to its layers: {said}") from error

    def runs(self, layer: str) -> bool:
        """Whether the forward pass uses a layer."""
        return self.model.get_submodule(layer) in self.graph.module2node

    def bound(self, layer: str, channels: Sequence[int]) -> Bound:
        """What goes together with output channels of a convolution; ``layer`` itself is among the producers, unless depthwise."""
        module = self.model.get_submodule(layer)
        pruner = self.graph.get_pruner_of_module(module)
        found = Bound()
        for item in self.graph.get_pruning_group(module, pruner.prune_out_channels, list(channels)):
            node, cut, where = item.dep.target, item.dep.handler, sorted(item.idxs)
            name = self.names.get(node.module, "")
            if node.type == self.types.OUTPUT:
                found.leaves = True
            elif not self._mixes(node):
                found.cuts.append((node, cut, where))
            elif cut.__name__ == "prune_in_channels":
                found.consumers[name] = where
                found.cuts.append((node, cut, where))
            elif self._width(node) > 1:  # a map of one channel, as in spatial attention, is spread over all channels
                gate = node.module is not module and self._only_multiplies(node)
                (found.gates if gate else found.producers)[name] = where
                found.cuts.append((node, cut, where))
        return found

    def cut(self, cuts: Sequence[tuple[Any, Any, Sequence[int]]]) -> None:
        """Cut channels out of the network in place; what several of the cuts ask of one layer is put together first.

        Raises ValueError where a grouped convolution would be left with groups of unequal width, before anything is cut.
        """
        together: dict[tuple[Any, Any], set[int]] = {}
        for node, function, where in cuts:
            together.setdefault((node, function), set()).update(where)
        work = []
        for (node, function), where in together.items():
            module = node.module
            if isinstance(module, nn.Conv2d) and module.groups > 1 and not is_depthwise(module):
                work.append((module, function.__name__, _per_group(self.names[module], module, function.__name__, where)))
            else:
                work.append((node, function, sorted(where)))
        tracked = {name: parameter.requires_grad for name, parameter in self.model.named_parameters()}
        for target, function, where in work:
            if isinstance(target, nn.Conv2d):
                _cut_grouped(target, function, where)
                continue
            function.__self__.pruning_dim = target.pruning_dim
            result = function(target.module, where)
            if target.type == self.types.PARAMETER:
                path, _, last = self.graph._param_to_name[target.module].rpartition(".")
                setattr(self.model.get_submodule(path), last, result)
            elif function.__name__ == "prune_in_channels" and hasattr(target.module, "input_mask"):
                target.module.input_mask = _without(target.module.input_mask, 0, where)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(tracked[name])

    def _mixes(self, node: Any) -> bool:
        return isinstance(node.module, nn.Module) and (
            mixes(node.module) or node.type in (self.types.MHA, self.types.LSTM, self.types.EMBED)
        )

    def _width(self, node: Any) -> int:
        return self.graph.get_out_channels(node)

    def _sources(self, node: Any) -> set[Any]:
        """The layers whose outputs meet in a node."""
        found, seen, stack = set(), set(), [node]
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            if self._mixes(at):
                found.add(at)
            else:
                stack.extend(at.inputs)
        return found

    def _only_multiplies(self, node: Any) -> bool:
        """Whether all that becomes of a layer's output is to multiply the channels of other layers."""
        seen, stack = set(), list(node.outputs)
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            if self._mixes(at) or at.type in (self.types.CONCAT, self.types.OUTPUT):
                return False
            if self._sources(at) == {node}:
                stack.extend(at.outputs)
            elif "Mul" not in str(at.module):
                return False
        return True


@contextmanager
def _traceable(model: nn.Module) -> Iterator[None]:
    """What autograd needs to see a network, also inside of ``no_grad``; all put back afterwards. The caller's hooks do not run."""
    frozen = [parameter for parameter in model.parameters() if parameter.is_floating_point() and not parameter.requires_grad]
    with torch.enable_grad(), network.mode_kept(model), hooks_asleep(model):
        for parameter in frozen:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)


def _without(tensor: Tensor, axis: int, where: Sequence[int]) -> Tensor:
    gone = set(where)
    kept = [at for at in range(tensor.shape[axis]) if at not in gone]
    return tensor.index_select(axis, torch.tensor(kept, device=tensor.device))


def _per_group(name: str, module: nn.Conv2d, function: str, where: set[int]) -> list[list[int]]:
    """The channels to cut from each group of a grouped convolution, counted from the group's first."""
    side, width = ("input", module.in_channels) if function == "prune_in_channels" else ("output", module.out_channels)
    size = width // module.groups
    cut = [sorted(at - group * size for at in where if at // size == group) for group in range(module.groups)]
    if len({len(group) for group in cut}) > 1 or len(cut[0]) == size:
        raise ValueError(
            f"indices: {name!r} has {module.groups} groups of {size} {side} channels and would lose {[len(group) for group in cut]} of them; "
            "mode 'prune' needs equally many from each group, and one left (mode 'mask' does not)"
        )
    return cut


def _cut_grouped(module: nn.Conv2d, function: str, cut: list[list[int]]) -> None:
    groups, gone = len(cut), len(cut[0])
    weight = module.weight.detach()
    if function == "prune_in_channels":
        parts = [_without(part, 1, where) for part, where in zip(weight.chunk(groups), cut, strict=True)]
        module.in_channels -= groups * gone
        if hasattr(module, "input_mask"):
            parts_of_mask = zip(module.input_mask.chunk(groups), cut, strict=True)
            module.input_mask = torch.cat([_without(part, 0, where) for part, where in parts_of_mask])
    else:
        parts = [_without(part, 0, where) for part, where in zip(weight.chunk(groups), cut, strict=True)]
        module.out_channels -= groups * gone
        if module.bias is not None:
            bias = zip(module.bias.detach().chunk(groups), cut, strict=True)
            module.bias = nn.Parameter(torch.cat([_without(part, 0, where) for part, where in bias]))
    module.weight = nn.Parameter(torch.cat(parts))
