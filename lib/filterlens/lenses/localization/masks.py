"""From maps to masks, and how well two masks agree: the top share of a map, intersection over union.

Knows nothing of networks; ``maps`` makes what is cut here, ``localize`` joins the two.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from filterlens import checks


def top_thresholds(maps: Tensor, *, share: float = 0.3) -> Tensor:
    """Each filter's own threshold over all positions of all images: maps (n, K, h, w) -> (K,).

    The largest value that at least ``share`` of the filter's n h w values reach. The official code takes it on the small maps,
    before they are resized to the image (spec 004, 2.12). A filter that is zero in more than 1 - share of all positions gets 0,
    which every position of a rectified map reaches: see ``ties`` of ``localize``.
    Peak memory: one copy of the maps. Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("maps", maps, "n K h w")
    values = maps.detach().transpose(0, 1).flatten(1)
    return _reached(values, share_of("share", share))


def top_mask(maps: Tensor, share: float = 0.3) -> Tensor:
    """The top ``share`` of each map's own pixels: maps (n, h, w) or (n, K, h, w) -> bool of the same shape.

    True where a pixel is at least the largest value that ``share`` of the map's pixels reach, so that pixels equal to it all count
    and a constant map is True everywhere. With CAM: App. H (spec 004, 2.12). Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("maps", maps, "n K h w" if isinstance(maps, Tensor) and maps.ndim == 4 else "n h w")
    cut = _reached(maps.detach().flatten(-2), share_of("share", share))
    return maps >= cut[..., None, None]


def share_of(name: str, value: object) -> float:
    """Check a share in (0, 1]."""
    value = checks.real(name, value, 0, 1)
    if value == 0:
        raise ValueError(f"{name}: got 0, expected a number in (0, 1]")
    return value


def _reached(values: Tensor, share: float) -> Tensor:
    """The largest value of the last axis that at least a share of it reaches."""
    rank = max(1, math.ceil(share * values.shape[-1] * (1 - 1e-12)))  # 0.1 of 30 is 3, although 0.1 * 30 is a little more
    return values.kthvalue(values.shape[-1] - rank + 1, dim=-1).values


def iou(mask: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union |S and T| / |S or T| of masks (..., h, w), which broadcast: (...) in double precision.

    Bool tensors with the same h, w. Where both masks are empty: 0 (spec 004, 2.15). Raises TypeError or ValueError naming the argument.
    """
    mask_tensor("mask", mask)
    mask_tensor("truth", truth)
    if mask.shape[-2:] != truth.shape[-2:]:
        raise ValueError(f"truth: got {checks.describe(truth)}, expected masks of {tuple(mask.shape[-2:])} pixels, as in mask")
    try:
        torch.broadcast_shapes(mask.shape, truth.shape)
    except RuntimeError as error:
        raise ValueError(f"truth: got {checks.describe(truth)}, expected a shape that broadcasts with {tuple(mask.shape)}") from error
    return overlaps(mask, truth)[0]


def mask_tensor(name: str, value: object, ndim: int | None = None) -> Tensor:
    """Check masks (..., h, w), bool; ``ndim`` fixes the number of axes."""
    expected = "expected a bool tensor " + ("(n, h, w)" if ndim == 3 else "(..., h, w)")
    if not isinstance(value, Tensor) or value.dtype != torch.bool:
        raise TypeError(f"{name}: got {checks.describe(value)}, {expected}")
    if value.ndim < 2 or (ndim is not None and value.ndim != ndim) or 0 in value.shape:
        raise ValueError(f"{name}: got {checks.describe(value)}, {expected} with no empty axis")
    return value


def overlaps(mask: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU (...) in double precision and where the union is empty (...), see ``iou``."""
    both = (mask & truth).sum((-2, -1))
    either = (mask | truth).sum((-2, -1))
    return both.double() / either.clamp(min=1), either == 0
