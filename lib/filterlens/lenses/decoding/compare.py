"""How far the decoded filter stands in for the network: the paper's eq. 3, Error = mean ||CNN(I, l, k) - I * df_k||^2.

The paper normalises "the contrast range once for each image" and does not say more, so every reading has a name:

* ``tensor``: each image's maps (k, h, w) are min-max scaled to [0, 1] as a whole, network's and decoded alike (default);
* ``map``: every map by itself (impossible where a map is one number);
* ``zscore``: the whole tensor to mean 0 and standard deviation 1;
* ``fit``: the decoded maps by the best scalar and constant, the error in units of the network's range;
* ``none``: as they are (exact for linear networks without biases).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ... import checks, network
from ...linear import MODES
from .decode import DecodedFilters, checked_images, decodable, decode, respond

NORMALIZATIONS = ("tensor", "map", "zscore", "fit", "none")


@dataclass(frozen=True, eq=False)
class Comparison:
    """One layer's maps beside the decoded filters' responses, per image (n,).

    ``error``: mean squared difference after ``normalize``; ``correlation``: Pearson, over the whole tensor;
    ``rank_correlation``: Spearman; ``agreement``: the strongest filter is the same.
    """

    layer: str
    normalize: str
    error: Tensor
    correlation: Tensor
    rank_correlation: Tensor
    agreement: Tensor

    @property
    def mean(self) -> float:
        return float(self.error.double().mean())

    @property
    def std(self) -> float:
        """Over images, as the paper's Table 1 (divisor n)."""
        return float(self.error.double().std(correction=0))


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


def reconstruction_error(maps: Tensor, responses: Tensor, normalize: str = "tensor") -> Tensor:
    """Mean squared difference of two tensors (n, k, h, w) per image (n,), after the named normalisation of both.

    A constant map has no range and becomes 0. Raises ``ValueError`` for an unknown name, for tensors of different shapes,
    and for ``map`` where a map is a single number.
    """
    checks.tensor("maps", maps, "n k h w")
    checks.tensor("responses", responses, "n k h w", sizes=dict(zip("nkhw", maps.shape, strict=True)))
    checks.choice("normalize", normalize, NORMALIZATIONS)
    axes = (2, 3) if normalize == "map" else (1, 2, 3)
    if normalize == "map" and maps.shape[2:] == (1, 1):
        raise ValueError("normalize: got 'map' where each map is 1 x 1, expected maps of more than one unit")
    if normalize == "fit":
        gain, shift = _best_line(responses, maps)
        span = _span(maps, axes)
        return (((maps - gain * responses - shift) / span) ** 2).mean((1, 2, 3))
    if normalize in ("tensor", "map"):
        a, b = ((x - x.amin(axes, keepdim=True)) / _span(x, axes) for x in (maps, responses))
    elif normalize == "zscore":
        a, b = (_standard(x) for x in (maps, responses))
    else:
        a, b = maps, responses
    return ((a - b) ** 2).mean((1, 2, 3))


def compare(model: nn.Module, decoded: DecodedFilters, images: Tensor, *, normalize: str = "tensor", max_bytes: int = 2**30) -> Comparison:
    """The network's maps of the decoded layer against the responses of its decoded filters, image by image.

    images (n, c, h, w), normalized as the network expects; the maps are those before any activation that follows.
    Images are taken in batches so that a forward pass stays within ``max_bytes``; the model is left as it was.
    Raises ``ValueError``/``TypeError`` naming the argument.
    """
    checks.module("model", model)
    checked_images(decoded, images)
    checks.choice("normalize", normalize, NORMALIZATIONS)
    checks.integer("max_bytes", max_bytes, 1)
    size = max(1, max_bytes // (images.element_size() * 2 * decoded.trace.elements))
    stopped, kernels, rows = network.stop_at(model, decoded.layer), list(decoded.kernels), []
    with network.evaluating(model), torch.no_grad():
        for batch in images.split(size):
            maps, responses = _four(stopped(batch))[:, kernels], respond(decoded, batch)
            ranks = _correlation(_ranks(maps), _ranks(responses))
            row = reconstruction_error(maps, responses, normalize), _correlation(maps, responses), ranks
            rows.append((*row, _strongest(maps) == _strongest(responses)))
    return Comparison(decoded.layer, normalize, *(torch.cat(column) for column in zip(*rows, strict=True)))


def error_table(
    model: nn.Module,
    layers: list[str],
    batches: Iterable[Tensor],
    *,
    unpools: tuple[str, ...] = MODES,
    normalizations: tuple[str, ...] = NORMALIZATIONS,
    scale: str = "none",
    input_size: int | tuple[int, int] | None = None,
) -> ErrorTable:
    """The paper's Table 1, every reading of it: one forward pass per batch serves all layers, unpoolings, normalisations.

    ``batches`` yields normalized images (n, c, h, w). ``map`` is left out where a layer's maps are single numbers.
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
    with network.evaluating(model), torch.no_grad():
        for batch in batches:
            for bank in banks.values():
                checked_images(bank, batch, "batches")
            n += len(batch)
            with network.capture(model, layers) as maps:
                model(batch)
            for (layer, unpool), bank in banks.items():
                truth, responses = _four(maps[layer]), respond(bank, batch)
                for name in normalizations:
                    if name != "map" or truth.shape[2:] != (1, 1):
                        errors.setdefault((layer, unpool, name), []).append(reconstruction_error(truth, responses, name))
                correlations.setdefault((layer, unpool), []).append(_correlation(truth, responses))
                agreements.setdefault((layer, unpool), []).append(_strongest(truth) == _strongest(responses))
    if not n:
        raise ValueError("batches: got no images, expected at least one batch")
    joined = ({key: torch.cat(parts) for key, parts in table.items()} for table in (errors, correlations, agreements))
    return ErrorTable(*joined, n)


def _four(maps: Tensor) -> Tensor:
    return maps if maps.ndim == 4 else maps[:, :, None, None]  # a linear layer's output is one unit per channel


def _span(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    span = x.amax(axes, keepdim=True) - x.amin(axes, keepdim=True)
    return torch.where(span > 0, span, torch.ones_like(span))


def _standard(x: Tensor) -> Tensor:
    spread = x.std((1, 2, 3), correction=0, keepdim=True)
    return (x - x.mean((1, 2, 3), keepdim=True)) / torch.where(spread > 0, spread, torch.ones_like(spread))


def _best_line(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares y = gain x + shift, per image."""
    axes = (1, 2, 3)
    mx, my = x.mean(axes, keepdim=True), y.mean(axes, keepdim=True)
    energy = ((x - mx) ** 2).sum(axes, keepdim=True)
    gain = ((x - mx) * (y - my)).sum(axes, keepdim=True) / torch.where(energy > 0, energy, torch.ones_like(energy))
    return gain, my - gain * mx


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's r per image, over everything else; 0 where one side is constant."""
    return (_unit(a) * _unit(b)).sum(1)


def _unit(x: Tensor) -> Tensor:
    x = x.flatten(1) - x.flatten(1).mean(1, keepdim=True)
    length = x.norm(dim=1, keepdim=True)
    return x / torch.where(length > 0, length, torch.ones_like(length))


def _ranks(x: Tensor) -> Tensor:
    """Ranks over everything but the image, equal values sharing the mean of theirs."""
    x = x.flatten(1).contiguous()
    ordered = x.sort(1).values
    return (torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)).to(x.dtype) / 2


def _strongest(maps: Tensor) -> Tensor:
    return maps.amax((2, 3)).argmax(1)
