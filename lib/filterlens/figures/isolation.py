"""Figures of the isolation lens: images, what is left of them, and maps; numbers in their names are those of arXiv 2108.11054.

Pictures are drawn here, numbers over kernels, layers and methods in ``selectivity`` and named here too. Values are shown in
[0, 1]: what lies outside is clamped and counted (``shown``), or the contrast is stretched and the title says so (``stretched``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from .. import checks
from ..lenses.isolation import Isolation
from ..models import Normalization
from .classifiers import names_of
from .pictures import SIGNED, bare, photograph
from .selectivity import METHODS, energy, errors_joint, joint_axes, loss_curve, method_boxes

__all__ = [
    "METHODS",
    "Shown",
    "beta_strip",
    "energy",
    "errors_joint",
    "four_methods",
    "isolated",
    "joint_axes",
    "loss_curve",
    "method_boxes",
    "shown",
    "stretched",
]

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
    plain = _plain(images, normalization)
    outside = ((plain < -HALF_LEVEL) | (plain > 1 + HALF_LEVEL)).any(1)
    return Shown(plain.nan_to_num(0.5, 1, 0).clamp(0, 1), outside.double().mean((1, 2)))


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


def isolated(isolation: Isolation, images: Tensor, normalization: Normalization, axes: Any, *, problem: int = 0) -> np.ndarray:
    """One problem in a row of five axes: X, what is left X^, |X - X^| with its contrast stretched, F_i and F^_i with their SSIM.

    images: the original images (n, c, h, w) in [0, 1], all that were isolated; normalization: the one that made the network's
    input of them. The difference is that of unclamped images; both maps share one colour scale. A kernel that was skipped as
    inactive leaves three axes empty and says so.
    """
    if not isinstance(isolation, Isolation):
        raise TypeError(f"isolation: got {checks.describe(isolation)}, expected an Isolation")
    n = len(isolation.maps_before)
    sizes = dict(zip("nchw", (n, *isolation.images.shape[1:]), strict=True))
    _unit("images", checks.tensor("images", images, "n c h w", sizes=sizes))
    axes, problem = _axes(axes, (5,), "X, X^, their difference and two maps"), checks.integer("problem", problem, 0, len(isolation) - 1)
    kernel, at = int(isolation.kernel[problem]), int(isolation.image[problem])
    left, original = isolation.images[problem : problem + 1], images[at].detach().cpu()
    found, plain = shown(left, normalization), _plain(left, normalization)[0]
    maps = [values[problem].detach().cpu() for values in (isolation.selected_before, isolation.selected_after)]
    photograph(original, axes[0]).set_title("image $X$", fontsize=9)
    axes[0].set_ylabel(f"{isolation.point}\nkernel {kernel}", fontsize=8)
    _map(maps[0], axes[3], _limits(maps)).set_title(f"map $F_{{{kernel}}}$", fontsize=9)
    if bool(isolation.skipped[problem]):
        for ax in axes[[1, 2, 4]]:
            _nothing(ax, "inactive kernel")
        return axes
    photograph(found.images[0], axes[1]).set_title(r"isolated $\hat{X}$", fontsize=9)
    axes[1].set_xlabel(found.note(0), fontsize=7)
    _difference(original, plain, axes[2]).set_title(r"$|X - \hat{X}|$", fontsize=9)
    ssim = float(isolation.measure().ssim[problem])
    said = "no SSIM" if np.isnan(ssim) else f"SSIM {ssim:.3f}"
    _map(maps[1], axes[4], _limits(maps)).set_title(f"map $\\hat{{F}}_{{{kernel}}}$, {said}", fontsize=9)
    return axes


def four_methods(
    inputs: Mapping[str, Tensor], maps: Mapping[str, Tensor], axes: Any, *, rows: Sequence[str] | None = None,
    ssim: Mapping[str, float] | None = None, each: bool = False,
) -> np.ndarray:  # fmt: skip
    """Figures 2, 4 and 5: a column per method, its input above the maps that this input gives.

    inputs {method: (c, h, w)} in [0, 1], from ``shown`` or ``stretched``; the original may be one of the methods.
    maps {method: (H, W)}, or (r, H, W) for the selected kernel and r - 1 others; axes (1 + r, methods). ``rows`` names the maps.
    ssim {method: value} goes under the first map. Maps of a row share one colour scale, and each tells its maximum;
    ``each`` gives each its own scale.
    """
    if not isinstance(inputs, Mapping) or not isinstance(maps, Mapping):
        argument, value = ("maps", maps) if isinstance(inputs, Mapping) else ("inputs", inputs)
        raise TypeError(f"{argument}: got {checks.describe(value)}, expected a dict, method -> tensor")
    if not inputs or list(inputs) != list(maps):
        raise ValueError(f"maps: got {list(maps)}, expected the methods of inputs, {list(inputs)}, at least one")
    stacks = {name: values[None] if isinstance(values, Tensor) and values.ndim == 2 else values for name, values in maps.items()}
    first = next(iter(stacks.values()))
    for name, values in stacks.items():
        _unit(f"inputs[{name!r}]", checks.tensor(f"inputs[{name!r}]", inputs[name], "c h w"))
        fixed = dict(zip("rHW", first.shape, strict=False)) if isinstance(first, Tensor) else None
        checks.tensor(f"maps[{name!r}]", values, "r H W", sizes=fixed)
    n = len(first)
    said = names_of("rows", rows if rows is not None else ["map"] + [f"map {i}" for i in range(2, n + 1)], n)
    axes = _axes(axes, (1 + n, len(inputs)), "a row of inputs and one for each kernel's maps, a column per method")
    for column, (name, values) in enumerate(stacks.items()):
        photograph(inputs[name], axes[0, column]).set_title(METHODS.get(name, (name,))[0], fontsize=9)
        for row in range(n):
            alike = [values[row]] if each else [stack[row] for stack in stacks.values()]
            _map(values[row], axes[row + 1, column], _limits(alike)).set_xlabel(f"max {float(values[row].max()):.3g}", fontsize=7)
    for name, value in (ssim or {}).items():
        ax = axes[1, list(inputs).index(checks.choice("ssim", name, inputs))]
        ax.set_xlabel(f"SSIM {checks.real(f'ssim[{name!r}]', value):.2f}, {ax.get_xlabel()}", fontsize=7)
    for ax, name in zip(axes[:, 0], ["input", *said], strict=True):
        ax.set_ylabel(name, fontsize=8)
    return axes


def beta_strip(
    images: Tensor, betas: Sequence[float], axes: Any, *, maps: Tensor | None = None, ssim: Sequence[float] | None = None
) -> np.ndarray:
    """Figure 8: isolated images (b, c, h, w) in [0, 1] for several beta, under each its difference to the first, then its map.

    axes (2, b), or (3, b) with maps (b, H, W), which share a colour scale; ssim (b,) is written under them. Differences share
    one contrast, said at their row, so that they compare.
    """
    b = len(_unit("images", checks.tensor("images", images, "b c h w")))
    betas = [f"$\\beta$ = {checks.real(f'betas[{i}]', float(beta), 0):g}" for i, beta in enumerate(betas)]
    names_of("betas", betas, b)
    if maps is not None:
        checks.tensor("maps", maps, "b H W", sizes={"b": b})
    if ssim is not None and (maps is None or len(ssim) != b):
        raise ValueError(f"ssim: got {checks.describe(ssim)}, expected maps and {b} numbers")
    axes = _axes(axes, (2 + (maps is not None), b), "inputs, differences and, if given, maps; a column per beta")
    away = (images - images[:1]).abs()
    peak = float(away.max())
    for column, name in enumerate(betas):
        photograph(images[column], axes[0, column]).set_title(name, fontsize=9)
        photograph(_seen(away[column], peak), axes[1, column])
        if maps is not None:
            _map(maps[column], axes[2, column], _limits(maps))
            if ssim is not None:
                axes[2, column].set_xlabel(f"SSIM {ssim[column]:.3f}", fontsize=7)
    axes[0, 0].set_ylabel(r"$\hat{X}$", fontsize=9)
    axes[1, 0].set_ylabel(f"difference to the first\n{_contrast(peak)}", fontsize=8)
    if maps is not None:
        axes[2, 0].set_ylabel("map", fontsize=8)
    return axes


def _plain(images: Tensor, normalization: Normalization) -> Tensor:
    if not isinstance(normalization, Normalization):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected a Normalization")
    return normalization.invert(images.detach()).cpu()


def _unit(name: str, images: Tensor) -> Tensor:
    low, high = float(images.min()), float(images.max())
    if low < -1e-4 or high > 1 + 1e-4:
        received = f"{checks.describe(images)} with values from {low:.3g} to {high:.3g}"
        raise ValueError(f"{name}: got {received}, expected [0, 1], as shown and stretched give them")
    return images


def _axes(axes: Any, shape: tuple[int, ...], said: str) -> np.ndarray:
    axes = np.asarray(axes)
    if axes.shape != shape:
        raise ValueError(f"axes: got shape {axes.shape}, expected {shape}: {said}")
    return axes


def _limits(maps: Sequence[Tensor] | Tensor) -> tuple[float, float]:
    """The colour scale that these maps share: from zero, or around it if any is negative."""
    values = torch.cat([torch.as_tensor(each).detach().double().cpu().flatten() for each in maps])
    values = values[values.isfinite()]
    peak = float(values.abs().max()) if len(values) else 0.0
    peak = peak or 1.0
    return (-peak, peak) if bool((values < 0).any()) else (0.0, peak)


def _map(values: Tensor, ax: Axes, limits: tuple[float, float]) -> Axes:
    low, high = limits
    ax.imshow(values.detach().cpu().numpy(), cmap=SIGNED if low < 0 else MAP, vmin=low, vmax=high, interpolation="nearest")
    bare(ax).set_xlabel(f"colours {low:.3g} to {high:.3g}", fontsize=7)
    return ax


def _difference(original: Tensor, other: Tensor, ax: Axes) -> Axes:
    away = (original - other).abs()
    peak = float(away.max())
    photograph(_seen(away, peak), ax).set_xlabel(_contrast(peak), fontsize=7)
    return ax


def _seen(away: Tensor, peak: float) -> Tensor:
    """Differences with ``peak`` at full contrast; where a screen would show none, rounding is not blown up into a picture."""
    return away / peak if peak > HALF_LEVEL else torch.zeros_like(away)


def _contrast(peak: float) -> str:
    return f"contrast × {1 / peak:.3g}" if peak > HALF_LEVEL else "no difference"


def _nothing(ax: Axes, said: str) -> None:
    bare(ax).text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center", fontsize=8)
