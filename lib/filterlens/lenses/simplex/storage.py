"""What a network takes to store when each layer keeps its archetypes alone, from which ``fabrication`` makes filters (section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import nn

from ... import checks
from .reading import CONVOLUTIONS, archetype_count, filters_and_groups, logits_layer, share


@dataclass(frozen=True)
class LayerStorage:
    """One layer: its weight's shape (k, c, kh, kw), archetypes d (of each group; None: kept whole), parameters in full and kept."""

    layer: str
    shape: tuple[int, ...]
    d: int | None
    full: int
    kept: int


@dataclass(frozen=True)
class Storage:
    """Parameters of a network, ``full``, and of its archetypes with everything that is no convolution weight, ``archetypes``.

    bytes, megabytes (10^6) and mebibytes (2^20) are those of ``archetypes`` at 4 bytes each, ``full_...`` those of the network.
    rows: the layers; their sums fall short of the totals by ``other`` (biases, batch normalisation and the like), kept in full.
    """

    full: int
    archetypes: int
    other: int
    fraction: float
    rows: tuple[LayerStorage, ...]

    @property
    def bytes(self) -> int:
        return 4 * self.archetypes

    @property
    def megabytes(self) -> float:
        return self.bytes / 10**6

    @property
    def mebibytes(self) -> float:
        return self.bytes / 2**20

    @property
    def full_bytes(self) -> int:
        return 4 * self.full

    @property
    def full_megabytes(self) -> float:
        return self.full_bytes / 10**6

    @property
    def full_mebibytes(self) -> float:
        return self.full_bytes / 2**20

    @property
    def saved(self) -> float:
        """The share that is not stored, in [0, 1)."""
        return 1 - self.archetypes / self.full


def storage(model_or_shapes: nn.Module | Mapping[str, tuple[int, ...]], *, fraction: float = 0.25, statistics: bool = False) -> Storage:
    """Count what is stored with d = min(N, max(2, floor(fraction N + 1/2))) archetypes of the N filters of each layer.

    model_or_shapes: a network, which may live on the "meta" device, since only shapes are read; or {layer: shape} of weights, all
        (k, c, kh, kw) of convolutions without groups or (k, l) of linear layers, and nothing else counted.
    statistics: also count the running means and variances of batch normalisation, as Keras does; they are no parameters.

    In full are kept: linear layers, depthwise layers (one filter in each group), the last convolution of a network without a
    linear layer, as it gives the classes, biases and batch normalisation. Weights that layers share are counted once.
    Raises TypeError or ValueError naming the argument.
    """
    fraction = share("fraction", fraction)
    if not isinstance(statistics, bool):
        raise TypeError(f"statistics: got {checks.describe(statistics)}, expected True or False")
    if isinstance(model_or_shapes, nn.Module):
        weights, total = _of_network(model_or_shapes, statistics)
    else:
        weights = _of_shapes(model_or_shapes)
        total = sum(prod(shape) for shape, _ in weights.values())
    rows = []
    for layer, (shape, groups) in weights.items():
        n = shape[0] // groups if groups else 1
        d = archetype_count(n, fraction) if n > 1 else None
        rows.append(LayerStorage(layer, shape, d, prod(shape), prod(shape) if d is None else groups * d * prod(shape[1:])))
    saved = sum(row.full - row.kept for row in rows)
    return Storage(total, total - saved, total - sum(row.full for row in rows), fraction, tuple(rows))


def _of_network(model: nn.Module, statistics: bool) -> tuple[dict[str, tuple[tuple[int, ...], int]], int]:
    """Shape and groups of every layer's weight (0 groups: kept whole), and how many numbers the network has."""
    total = sum(parameter.numel() for parameter in model.parameters())
    if not total:
        raise ValueError(f"model_or_shapes: {type(model).__name__} has no parameters, expected a network with some")
    weights, seen, last = {}, set(), logits_layer(model)
    for name, module in model.named_modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            if module.weight in seen:  # tied to an earlier layer's
                continue
            seen.add(module.weight)
            weight, groups = filters_and_groups(name, module)
            whole = isinstance(module, nn.Linear) or name == last
            weights[name] = tuple(weight.shape), 0 if whole else groups
        elif statistics and isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            total += 2 * module.num_features
    return weights, total


def _of_shapes(shapes: object) -> dict[str, tuple[tuple[int, ...], int]]:
    if not isinstance(shapes, Mapping):
        raise TypeError(f"model_or_shapes: got {checks.describe(shapes)}, expected a network or {{layer: shape}}")
    if not shapes:
        raise ValueError("model_or_shapes: got no layer, expected at least one")
    for name, shape in shapes.items():
        if not isinstance(shape, tuple | list) or len(shape) not in (2, 4):
            raise ValueError(f"model_or_shapes: {name!r} is {checks.describe(shape)}, expected (k, c, kh, kw) or (k, l)")
        for size in shape:
            checks.integer(f"model_or_shapes: {name!r}", size, 1)
    return {name: (tuple(shape), int(len(shape) == 4)) for name, shape in shapes.items()}
