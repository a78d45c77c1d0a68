"""The paper's Table 1 over many images: one forward pass serves all layers, unpoolings and normalisations."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ... import checks, network
from ...linear import MODES
from .compare import NORMALIZATIONS, correlation, one_unit, reconstruction_error, strongest
from .decode import checked_images, decodable, decode, respond


@dataclass(frozen=True, eq=False)
class ErrorTable:
    """Table 1: ``errors[layer, unpool, normalize]`` (n,) per image, ``correlations[layer, unpool]``, ``agreements[layer, unpool]``."""

    errors: dict[tuple[str, str, str], Tensor] = field(repr=False)
    correlations: dict[tuple[str, str], Tensor] = field(repr=False)
    agreements: dict[tuple[str, str], Tensor] = field(repr=False)
    n: int

    @classmethod
    def join(cls, tables: Iterable[ErrorTable]) -> ErrorTable:
        """The same cells over several sets of images."""
        tables = list(tables)
        columns = ({key: torch.cat([t[key] for t in parts]) for key in parts[0]} for parts in zip(*map(cls._columns, tables), strict=True))
        return cls(*columns, sum(table.n for table in tables))

    def _columns(self) -> tuple[dict, dict, dict]:
        return self.errors, self.correlations, self.agreements

    def mean(self, layer: str, unpool: str = "nearest", normalize: str = "tensor") -> float:
        return float(self.errors[layer, unpool, normalize].double().mean())

    def std(self, layer: str, unpool: str = "nearest", normalize: str = "tensor") -> float:
        """Over images, as the paper's (divisor n)."""
        return float(self.errors[layer, unpool, normalize].double().std(correction=0))


def error_table(
    model: nn.Module,
    layers: list[str],
    batches: Iterable[Tensor],
    *,
    unpools: tuple[str, ...] = MODES,
    normalizations: tuple[str, ...] = NORMALIZATIONS,
    scale: str = "none",
    input_size: int | tuple[int, ...] | None = None,
) -> ErrorTable:
    """The paper's Table 1, every reading of it: one forward pass per batch serves all layers, unpoolings, normalisations.

    A layer that is called several times is compared at its first call, as ``decode`` and ``compare`` do. Peak memory: one forward
    pass of a batch, its maps and responses. ``batches`` yields normalized images (n, c, h, w). ``map`` is left out where a
    layer's maps are single numbers.
    Raises ``ValueError``/``TypeError`` naming the argument.
    """
    checks.module("model", model)
    choices = {"layers": decodable(model), "unpools": MODES, "normalizations": NORMALIZATIONS}
    for argument, names in (("layers", layers), ("unpools", unpools), ("normalizations", normalizations)):
        if not isinstance(names, list | tuple) or not names:
            raise TypeError(f"{argument}: got {checks.describe(names)}, expected a list of at least one of {list(choices[argument])[-12:]}")
        for name in names:
            checks.choice(argument, name, choices[argument])
    if isinstance(batches, Tensor) or not isinstance(batches, Iterable):
        raise TypeError(f"batches: got {checks.describe(batches)}, expected an iterable of image tensors (n, c, h, w)")
    banks = {
        (layer, unpool): decode(model, layer, unpool=unpool, scale=scale, input_size=input_size) for layer in layers for unpool in unpools
    }
    errors: dict = {}
    correlations: dict = {}
    agreements: dict = {}
    n = 0
    with network.evaluating(model):
        for batch in batches:
            for bank in banks.values():
                checked_images(bank, batch, "batches")
            n += len(batch)
            maps = _first_outputs(model, layers, batch)
            for (layer, unpool), bank in banks.items():
                truth, responses = one_unit(maps[layer]), respond(bank, batch)
                for name in normalizations:
                    if name != "map" or truth.shape[2:] != (1, 1):
                        errors.setdefault((layer, unpool, name), []).append(reconstruction_error(truth, responses, name))
                correlations.setdefault((layer, unpool), []).append(correlation(truth, responses))
                agreements.setdefault((layer, unpool), []).append(strongest(truth) == strongest(responses))
    if not n:
        raise ValueError("batches: got no images, expected at least one batch")
    joined = ({key: torch.cat(parts) for key, parts in table.items()} for table in (errors, correlations, agreements))
    return ErrorTable(*joined, n)


def _first_outputs(model: nn.Module, layers: Iterable[str], batch: Tensor) -> dict[str, Tensor]:
    """What each layer gives at its first call, copied before anything in place can follow."""
    found: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            if name not in found:
                found[name] = output.clone()

        return hook

    with ExitStack() as undo:
        for name in layers:
            undo.callback(model.get_submodule(name).register_forward_hook(keep(name)).remove)
        model(batch)
    return found
