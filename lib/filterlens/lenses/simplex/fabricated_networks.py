"""A network whose convolutions are fabricated from their archetypes, as a start for training (Table 2 of the paper).

What the paper leaves open is decided so: biases 0, batch normalisation reset and its statistics measured in one pass over
training images, linear layers fresh. Mixtures are random, so a layer's outputs no longer match the next layer's inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ... import checks, network
from .archetypes import archetypal_analysis
from .fabrication import fabricate, law
from .reading import CONVOLUTIONS, archetype_count, filters_and_groups, logits_layer, module_named, share, swapped


@dataclass(frozen=True, eq=False)
class Fabricated:
    """``model``: the network; ``fabricated``, ``kept``: its convolutions by name; ``fresh``: layers with new random weights."""

    model: nn.Module
    fabricated: list[str]
    kept: list[str]
    fresh: list[str]


def fabricate_network(
    model: nn.Module,
    *,
    fraction: float = 0.25,
    concentration: float | str | tuple[str, int] = 1.0,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    **solver: Any,
) -> Fabricated:
    """A deep copy in which the N filters of each convolution are N mixtures of its d = fraction N archetypes.

    concentration: as in ``fabrication_weights``; each layer draws from a seed of its own, made from ``seed``. layers: names of
        convolutions; None for all but the one that gives the classes. solver: options of ``archetypal_analysis``.

    Fabricated layers have bias 0. Every linear layer (without one, the last convolution, unless named in ``layers``) starts
    afresh by its ``reset_parameters`` under ``seed``. All batch normalisation has gain 1, bias 0, mean 0 and variance 1: measure with
    ``reset_statistics``. Grouped convolutions are fabricated group by group; those with one filter in a group (depthwise)
    and those not in ``layers`` are kept as they are, and listed. The caller's model and the global generators are unchanged.

    Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    fraction, seed = share("fraction", fraction), checks.integer("seed", seed, 0)
    convolutions = [name for name, module in model.named_modules() if isinstance(module, CONVOLUTIONS)]
    last = logits_layer(model)
    chosen = _chosen(model, layers, convolutions, last)
    for name in chosen:
        n = _per_group(model, name)
        checks.tensor(f"model: weight of {name!r}", model.get_submodule(name).weight, "c_out c_in kh kw")
        if n > 1:
            law(concentration, archetype_count(n, fraction))
    model = copy.deepcopy(model)
    fabricated, kept, fresh = [], [], []
    for at, name in enumerate(convolutions):
        if name in chosen and _per_group(model, name) > 1:
            _fabricate(name, model.get_submodule(name), fraction, concentration, _seed(seed, at), solver)
            fabricated.append(name)
        elif name != last:
            kept.append(name)
    for at, (name, module) in enumerate(model.named_modules()):
        if isinstance(module, nn.Linear) or (name == last and name not in fabricated):
            _renew(module, _seed(seed, len(convolutions) + at))
            fresh.append(name)
        elif isinstance(module, _BatchNorm):
            module.reset_parameters()
    return Fabricated(model, fabricated, kept, fresh)


def reset_statistics(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], normalization: Any = None) -> nn.Module:
    """A deep copy whose batch normalisation has the statistics of these batches: means and variances averaged over them.

    batches: pairs of images (m, c, h, w) and labels, taken once; images normalized, or in [0, 1] with ``normalization``, an object
    with ``apply``. In the pass each batch is normalised by its own statistics. Nothing else changes, modes included; a network
    without running statistics is copied without a pass. Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    if not isinstance(batches, Iterable) or isinstance(batches, str | Tensor):
        raise TypeError(f"batches: got {checks.describe(batches)}, expected pairs of images (m, c, h, w) and labels (m,)")
    if normalization is not None and not callable(getattr(normalization, "apply", None)):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected None or an object with apply(images)")
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]
    if not norms:
        return model
    like = next(model.parameters())
    momenta = [module.momentum for module in norms]
    seen = 0
    with network.mode_kept(model), torch.no_grad():
        model.eval()  # dropout stays off
        for module in norms:
            module.reset_running_stats()
            module.momentum = None  # a plain average over batches
            module.train()
        for images, *_ in _pairs(batches):
            images = images if normalization is None else normalization.apply(images)
            try:
                model(images.to(like))
            except Exception as error:
                raise ValueError(f"batches: {checks.describe(images)} does not go through the model: {error}") from error
            seen += 1
    if not seen:
        raise ValueError("batches: got none, expected at least one pair of images and labels")
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    return model


def _pairs(batches: Iterable) -> Iterable[tuple[Tensor, ...]]:
    for at, batch in enumerate(batches):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(f"batches: number {at} is {checks.describe(batch)}, expected images (m, c, h, w) and labels (m,)")
        checks.tensor(f"batches: images of number {at}", batch[0], "m c h w")
        yield tuple(batch)


def _chosen(model: nn.Module, layers: object, convolutions: list[str], last: str | None) -> set[str]:
    if layers is None:
        chosen = [name for name in convolutions if name != last]
        if not chosen:
            raise ValueError(f"model: {type(model).__name__} has no convolution before the layer of its classes, expected at least one")
        return set(chosen)
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise TypeError(f"layers: got {checks.describe(layers)}, expected None or a list of names of convolutions")
    chosen = list(layers)
    if not chosen:
        raise ValueError("layers: got an empty list, expected at least one name")
    for name in chosen:
        kind = type(module_named("layers", model, name)).__name__
        if name not in convolutions:
            raise ValueError(f"layers: {name!r} is a {kind}, expected convolutions, such as {convolutions[:3]}")
    return set(chosen)


def _per_group(model: nn.Module, name: str) -> int:
    module = model.get_submodule(name)
    return module.out_channels // module.groups


def _fabricate(name: str, module: nn.Module, fraction: float, concentration: Any, seed: int, solver: dict) -> None:
    """Fill one convolution with mixtures, group by group."""
    weight, groups = filters_and_groups(name, module)
    rows = weight.flatten(1).to(torch.float64 if weight.dtype == torch.float64 else torch.float32)
    n = len(rows) // groups
    parts = []
    for at, part in enumerate(rows.split(n)):
        found = archetypal_analysis(part.T, archetype_count(n, fraction), seed=seed, **solver)
        parts.append(fabricate(found, n, concentration=concentration, seed=_seed(seed, at)).T)
    made = torch.cat(parts).reshape(weight.shape)
    with torch.no_grad():
        module.weight.copy_(swapped(made, groups) if isinstance(module, nn.ConvTranspose2d) else made)
        if module.bias is not None:
            module.bias.zero_()


def _renew(module: nn.Module, seed: int) -> None:
    """Random weights by the layer's own rule, drawn on the CPU under a seed."""
    other = copy.deepcopy(module).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
        other.reset_parameters()
    module.load_state_dict(other.state_dict())


def _seed(seed: int, at: int) -> int:
    return int(np.random.SeedSequence([seed, at]).generate_state(1)[0])
