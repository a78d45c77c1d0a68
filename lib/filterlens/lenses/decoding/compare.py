"""How far the decoded filter stands in for the network: the paper's eq. 3, Error = mean ||CNN(I, l, k) - I * df_k||^2.

The paper normalises "the contrast range once for each image" and does not say more, so every reading has a name:

* ``tensor``: each image's maps (k, h, w) are min-max scaled to [0, 1] as a whole, network's and decoded alike (default);
* ``map``: every map by itself (impossible where a map is one number);
* ``zscore``: the whole tensor to mean 0 and standard deviation 1;
* ``fit``: the decoded maps by the best scalar and constant, the error in units of the network's range;
* ``none``: as they are (exact for linear networks without biases).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import checks, metrics, network
from .decode import DecodedFilters, checked_images, decodable, respond

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
    maps, responses = ((x.float() if x.dtype.itemsize < 4 else x) for x in (maps, responses))  # half precision sums badly
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
    Images are taken in batches that keep the forward pass and the comparison within ``max_bytes``; the model is left as it was.
    The network pads its maps' border with zeros in every layer, the decoded filter only the image: border units differ for that.
    Raises ``ValueError``/``TypeError`` naming the argument.
    """
    checks.module("model", model)
    checked_images(decoded, images)
    checks.choice("normalize", normalize, NORMALIZATIONS)
    checks.integer("max_bytes", max_bytes, 1)
    layer = decodable(model).get(decoded.layer)
    if layer is None or len(layer.weight) != decoded.trace.channels[1] or layer.weight.dtype != decoded.images.dtype:
        raise ValueError(f"model: it has no layer '{decoded.layer}' of {decoded.trace.channels[1]} filters in {decoded.images.dtype}, "
                         "expected the network the filters were decoded from")  # fmt: skip
    stopped, kernels, rows = network.stop_at(model, decoded.layer), list(decoded.kernels), []
    with network.evaluating(model):
        for batch in images.split(_batch_size(decoded, images, max_bytes)):
            maps, responses = one_unit(stopped(batch))[:, kernels], respond(decoded, batch)
            if maps.shape != responses.shape:
                raise ValueError(f"model: its maps have shape {tuple(maps.shape)}, the decoded filters' {tuple(responses.shape)}, "
                                 "expected the network the filters were decoded from")  # fmt: skip
            ranks = metrics.spearman_per_image(maps, responses).nan_to_num(0.0) if maps[0].numel() > 1 else correlation(maps, responses)
            row = reconstruction_error(maps, responses, normalize), correlation(maps, responses), ranks
            rows.append((*row, strongest(maps) == strongest(responses)))
    return Comparison(decoded.layer, normalize, *(torch.cat(column) for column in zip(*rows, strict=True)))


def _batch_size(decoded: DecodedFilters, images: Tensor, max_bytes: int) -> int:
    """Images per batch: all recorded tensors, at these images' size, and six tensors of maps in float64 for the comparison."""
    h, w = decoded.trace.input_size
    rows, columns = decoded.trace.size(*images.shape[2:])
    forward = decoded.trace.elements * images.shape[2] * images.shape[3] / (h * w) * images.element_size()
    return max(1, int(max_bytes / (2 * forward + 6 * 8 * len(decoded.kernels) * rows * columns)))


def one_unit(maps: Tensor) -> Tensor:
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


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's r per image, over everything else; 0 where one side is constant (a single unit always is)."""
    return metrics.pearson_per_image(a, b).nan_to_num(0.0) if a[0].numel() > 1 else a.new_zeros(len(a), dtype=torch.float64)


def strongest(maps: Tensor) -> Tensor:
    return maps.amax((2, 3)).argmax(1)
