"""How the simplex lens reads a layer's weight as filters: groups, transposed convolutions, the logits' layer, number of archetypes."""

from __future__ import annotations

import difflib
import math

from torch import Tensor, nn

from ... import checks

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def archetype_count(n: int, fraction: float) -> int:
    """How many archetypes n filters get: min(n, max(2, floor(fraction n + 1/2))); half is rounded up."""
    return min(n, max(2, math.floor(fraction * n + 0.5 + 1e-9)))  # .35 * 90 is a little below its half


def share(name: str, value: object) -> float:
    """Check a share of the filters, in (0, 1]."""
    if checks.real(name, value, 0, 1) == 0:
        raise ValueError(f"{name}: got 0, expected a share in (0, 1]")
    return float(value)


def swapped(weight: Tensor, groups: int) -> Tensor:
    """A transposed convolution's weight (c_in, k / groups, kh, kw) as filters (k, c_in / groups, kh, kw); its own inverse."""
    rows, columns = weight.shape[:2]
    parts = weight.reshape(groups, rows // groups, columns, *weight.shape[2:])
    return parts.transpose(1, 2).reshape(groups * columns, rows // groups, *weight.shape[2:])


def module_named(argument: str, model: nn.Module, name: object) -> nn.Module:
    """A module by its dotted name. Raises TypeError or ValueError naming model or the argument, with near names."""
    modules = dict(checks.module("model", model).named_modules(remove_duplicate=False))
    if not isinstance(name, str):
        raise TypeError(f"{argument}: got {checks.describe(name)}, expected the dotted name of a layer")
    if not name or name not in modules:
        near = difflib.get_close_matches(name, modules, n=3) or [known for known in modules if known][:3]
        raise ValueError(f"{argument}: got {name!r}, expected the name of one of the model's layers, such as {near}")
    return modules[name]


def filters_and_groups(name: str, module: nn.Module) -> tuple[Tensor, int]:
    """A layer's filters (k, c, kh, kw), or the rows (k, l) of a linear one, and its number of groups.

    Raises ValueError, under ``name``, for a layer of another kind.
    """
    if isinstance(module, nn.Linear):
        return module.weight.detach(), 1
    if isinstance(module, nn.ConvTranspose2d):
        return swapped(module.weight.detach(), module.groups), module.groups
    if isinstance(module, nn.Conv2d):
        return module.weight.detach(), module.groups
    raise ValueError(f"{name} is a {type(module).__name__}, expected a Conv2d, ConvTranspose2d or Linear layer")


def logits_layer(model: nn.Module) -> str | None:
    """The last linear layer, or, where there is none, the last convolution: the layer whose outputs are the classes."""
    for kind in (nn.Linear, CONVOLUTIONS):
        if names := [name for name, module in model.named_modules() if isinstance(module, kind)]:
            return names[-1]
    return None
