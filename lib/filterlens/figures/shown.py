"""How images of a network's input space, their differences and maps are shown: what the figures of the isolation lens share.

Values are shown in [0, 1]: what lies outside is clamped and counted (``shown``), or the contrast is stretched and the title says
so (``stretched``). ``pictures`` draws what is in [0, 1] already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from .. import checks
from ..models import Normalization
from .pictures import SIGNED, bare, photograph

MAP = "inferno"  # of maps without negative values; others are SIGNED around zero
HALF_LEVEL = 0.5 / 255  # screens round by this much anyway, so nothing was lost


class Shown(NamedTuple):
    """``images`` (n, c, h, w) in [0, 1]; ``clamped`` (n,): the share of each image's pixels that lay outside in some channel."""

    images: Tensor
    clamped: Tensor

    def note(self, at: int) -> str:
        """In words how much of image ``at`` was clamped; empty if nothing was."""
        share = float(self.clamped[at])
        return "" if share == 0 else "under 1 % of pixels clamped" if share < 0.01 else f"{100 * share:.0f} % of pixels clamped"


def shown(images: Tensor, normalization: Normalization) -> Shown:
    """Images (n, c, h, w) of a network's normalized input space as a screen can show them, and how much that hides.

    A pixel counts as clamped if a channel lies outside [0, 1] by more than half a level of 8 bits. NaN rows (problems that were
    skipped) become mid-grey. Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("images", images, "n c h w", finite=False)
    as_it_is = plain(images, normalization)
    outside = ((as_it_is < -HALF_LEVEL) | (as_it_is > 1 + HALF_LEVEL)).any(1)
    return Shown(as_it_is.nan_to_num(0.5, 1, 0).clamp(0, 1), outside.double().mean((1, 2)))


def stretched(images: Tensor, *, zero: bool = False) -> Tensor:
    """Full contrast for each image (n, c, h, w) by itself: its least value 0 and its largest 1; one of a single value is mid-grey.

    ``zero`` keeps zero at mid-grey and makes the largest magnitude black or white: for signed patterns.
    """
    checks.tensor("images", images, "n c h w")
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    if zero:
        high = torch.maximum(high.abs(), low.abs())
        low = -high
    span = high - low
    return torch.where(span > 0, (images - low) / torch.where(span > 0, span, 1), 0.5).clamp(0, 1)


def plain(images: Tensor, normalization: Normalization) -> Tensor:
    """Images (n, c, h, w) of a network's input space before their normalization, on the CPU, not clamped."""
    if not isinstance(normalization, Normalization):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected a Normalization")
    return normalization.invert(images.detach()).cpu()


def unit(name: str, images: Tensor) -> Tensor:
    """Pictures of [0, 1]; ValueError naming them otherwise."""
    low, high = float(images.min()), float(images.max())
    if low < -1e-4 or high > 1 + 1e-4:
        received = f"{checks.describe(images)} with values from {low:.3g} to {high:.3g}"
        raise ValueError(f"{name}: got {received}, expected [0, 1], as shown and stretched give them")
    return images


def grid_of(axes: Any, shape: tuple[int, ...], said: str) -> np.ndarray:
    """``axes`` as an array of this shape; ValueError otherwise."""
    axes = np.asarray(axes)
    if axes.shape != shape:
        raise ValueError(f"axes: got shape {axes.shape}, expected {shape}: {said}")
    return axes


def limits_of(maps: Sequence[Tensor] | Tensor) -> tuple[float, float]:
    """The colour scale that these maps share: from zero, or around it if any is negative."""
    values = torch.cat([torch.as_tensor(each).detach().double().cpu().flatten() for each in maps])
    values = values[values.isfinite()]
    peak = float(values.abs().max()) if len(values) else 0.0
    peak = peak or 1.0
    return (-peak, peak) if bool((values < 0).any()) else (0.0, peak)


def draw_map(values: Tensor, ax: Axes, limits: tuple[float, float]) -> Axes:
    """One map (H, W) between these colours, which are said under it."""
    low, high = limits
    ax.imshow(values.detach().cpu().numpy(), cmap=SIGNED if low < 0 else MAP, vmin=low, vmax=high, interpolation="nearest")
    bare(ax).set_xlabel(f"colours {low:.3g} to {high:.3g}", fontsize=7)
    return ax


def difference(original: Tensor, other: Tensor, ax: Axes) -> Axes:
    """Magnitude of the difference of two images (c, h, w), its contrast stretched and said."""
    away = (original - other).abs()
    peak = float(away.max())
    photograph(seen(away, peak), ax).set_xlabel(contrast(peak), fontsize=7)
    return ax


def seen(away: Tensor, peak: float) -> Tensor:
    """Differences with ``peak`` at full contrast; where a screen would show none, rounding is not blown up into a picture."""
    return away / peak if peak > HALF_LEVEL else torch.zeros_like(away)


def contrast(peak: float) -> str:
    """How much the contrast of differences up to ``peak`` is stretched, in words."""
    return f"contrast × {1 / peak:.3g}" if peak > HALF_LEVEL else "no difference"


def nothing(ax: Axes, said: str) -> None:
    """An empty axis that says why."""
    bare(ax).text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center", fontsize=8)
