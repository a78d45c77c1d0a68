"""Turn signed patterns into images that a network can be shown: the choices of the spec for a scale the paper does not state."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SCALES = ("peak", "raw", "range", "fit")
OCTAVES, REFINEMENTS = 6, 12
GOLDEN = (5**0.5 - 1) / 2


def scaled(patterns: Tensor, images: Tensor, scale: str, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Patterns (n, c, h, w) on the scale of the images (n, c, h, w), every image by itself.

    scale: "peak" multiplies by max|X| / max|pattern|; "raw" by 1; "range" maps [min, max] of the pattern to that of X; "fit"
        multiplies by the positive number with the smallest ``loss(candidates) -> (n,)``, see ``fitted``.
    A pattern of zeros stays zero on every scale.
    """
    if scale == "raw":
        return patterns
    if scale == "range":
        low, high = _low(patterns), -_low(-patterns)
        bottom, top = _low(images), -_low(-images)
        span = torch.where(high > low, high - low, 1)
        return torch.where(high > low, (patterns - low) / span * (top - bottom) + bottom, patterns)
    peak, largest = patterns.abs().amax((1, 2, 3), keepdim=True), images.abs().amax((1, 2, 3), keepdim=True)
    at_peak = patterns * (largest / torch.where(peak > 0, peak, 1))
    return at_peak if scale == "peak" else fitted(at_peak, loss)


def fitted(patterns: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Patterns times the positive factor of the smallest loss found, each by itself.

    Powers of two from 2^-6 to 2^6 are tried, then a golden-section search (12 steps, on the exponent) goes between the neighbours of
    the best: 27 evaluations, 0.3 % of the factor. The loss may have several minima, so this need not be the smallest;
    it is never above the loss of the patterns as given.
    """
    shape = (-1, *[1] * (patterns.ndim - 1))

    def at(exponent: Tensor) -> Tensor:
        return loss(patterns * torch.exp2(exponent).reshape(shape))

    grid = torch.arange(-OCTAVES, OCTAVES + 1, dtype=patterns.dtype, device=patterns.device)
    losses = torch.stack([at(exponent.expand(len(patterns))) for exponent in grid])
    best, place = losses.min(0)
    exponent = grid[place]
    low, high = exponent - 1, exponent + 1
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_inner, at_outer = at(inner), at(outer)
    for _ in range(REFINEMENTS):
        for point, found in ((inner, at_inner), (outer, at_outer)):
            exponent, best = torch.where(found < best, point, exponent), torch.minimum(found, best)
        left = at_inner < at_outer
        low, high = torch.where(left, low, inner), torch.where(left, outer, high)
        inner, outer, kept = (
            torch.where(left, high - GOLDEN * (high - low), outer),
            torch.where(left, inner, low + GOLDEN * (high - low)),
            torch.where(left, at_inner, at_outer),
        )
        new = at(torch.where(left, inner, outer))
        at_inner, at_outer = torch.where(left, new, kept), torch.where(left, kept, new)
    return patterns * torch.exp2(exponent).reshape(shape)


def _low(values: Tensor) -> Tensor:
    return values.amin((1, 2, 3), keepdim=True)
