"""How every lens shows pictures: signed ones around zero, photographs as they are, many of them as one mosaic."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from .. import checks

SIGNED = "RdBu_r"  # red positive, blue negative, white zero
GAP = "#b7c3d4"  # between pictures of a mosaic: neither black, white nor grey, so that a picture of one shade can be seen


def bare(ax: Axes) -> Axes:
    """An axis without ticks, with a thin frame."""
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(linewidth=0.5, color="0.6")
    return ax


def tiled(ax: Axes) -> Axes:
    """An axis that holds a mosaic: no frame, and gaps in a colour no picture has."""
    bare(ax).set_facecolor(GAP)
    ax.spines[:].set_visible(False)
    return ax


def signed(image: Tensor, ax: Axes, *, limit: float | None = None) -> Axes:
    """One signed picture (h, w), (1, h, w) or (3, h, w); zero is white, or mid-grey for colour.

    ``limit`` is the magnitude shown at full colour (default: the picture's own largest): pass one limit to compare
    pictures. Values are scaled here and nowhere else.
    """
    values = _plane(image)
    limit = float(np.abs(values).max()) if limit is None else limit
    limit = limit if limit > 0 else 1.0
    if values.ndim == 3:
        ax.imshow(_see_through(np.clip(values / limit / 2 + 0.5, 0, 1)), interpolation="nearest")
    else:
        ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    return bare(ax)


def photograph(image: Tensor, ax: Axes) -> Axes:
    """One image (1, h, w) or (3, h, w) in [0, 1], shown as it is."""
    values = _plane(image)
    ax.imshow(_see_through(values) if values.ndim == 3 else values, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return bare(ax)


def mosaic(images: Tensor, *, columns: int, gap: int = 1, each: bool = True) -> Tensor:
    """Lay pictures (n, c, h, w) out in rows: (c, H, W), NaN between them (drawn as background).

    ``each`` scales every picture to its own largest magnitude (a zero picture stays zero), else all keep one scale.
    """
    checks.tensor("images", images, "n c h w")
    checks.integer("columns", columns, 1)
    n, c, h, w = images.shape
    peak = images.abs().amax((1, 2, 3), keepdim=True)
    shown = images / torch.where(peak > 0, peak, torch.ones_like(peak)) if each else images
    columns, rows = min(columns, n), math.ceil(n / min(columns, n))
    out = torch.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), torch.nan, dtype=images.dtype)
    for i, picture in enumerate(shown):
        y, x = (i // columns) * (h + gap), (i % columns) * (w + gap)
        out[:, y : y + h, x : x + w] = picture
    return out


def signed_mosaic(images: Tensor, ax: Axes, *, columns: int, each: bool = True) -> Axes:
    """Signed pictures (n, c, h, w) as one mosaic, by default each scaled to its own largest magnitude."""
    picture = mosaic(_large_enough(images), columns=columns, gap=3, each=each)
    signed(picture, ax, limit=float(torch.nan_to_num(picture).abs().max()))
    return tiled(ax)


def gray_mosaic(images: Tensor, ax: Axes, *, columns: int) -> Axes:
    """Pictures (n, 1, h, w) or photographs (n, 3, h, w) in [0, 1] as one mosaic, shown as they are."""
    photograph(mosaic(_large_enough(images), columns=columns, gap=3, each=False), ax)
    return tiled(ax)


def _large_enough(images: Tensor, pixels: int = 24) -> Tensor:
    """Repeat the pixels of tiny pictures, so that the gaps between them stay narrow beside them."""
    checks.tensor("images", images, "n c h w")
    factor = math.ceil(pixels / min(images.shape[2:]))
    return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3) if factor > 1 else images


def _plane(image: Tensor) -> np.ndarray:
    values = image.detach().cpu().numpy()
    if values.ndim == 3:
        values = values[0] if values.shape[0] == 1 else values.transpose(1, 2, 0)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3):
        raise ValueError(f"image: got {checks.describe(image)}, expected (h, w), (1, h, w) or (3, h, w)")
    return values


def _see_through(colours: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) with NaN made transparent, as imshow does for single channels by itself."""
    opaque = ~np.isnan(colours).any(2, keepdims=True)
    return np.concatenate([np.nan_to_num(colours), opaque], 2)
