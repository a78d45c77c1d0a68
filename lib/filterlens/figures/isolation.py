"""Figures of the isolation lens: images, what is left of them, and maps; numbers in their names are those of arXiv 2108.11054.

Pictures are drawn here (how, says ``shown``), numbers over kernels, layers and methods in ``selectivity``; all are named here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .. import checks
from ..lenses.isolation import Isolation
from ..models import Normalization
from .classifiers import names_of
from .pictures import photograph
from .selectivity import METHODS, energy, errors_joint, joint_axes, loss_curve, method_boxes
from .shown import Shown, contrast, difference, draw_map, grid_of, limits_of, nothing, plain, seen, shown, stretched, unit

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
    "told_apart",
]


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
    unit("images", checks.tensor("images", images, "n c h w", sizes=sizes))
    axes, problem = grid_of(axes, (5,), "X, X^, their difference and two maps"), checks.integer("problem", problem, 0, len(isolation) - 1)
    kernel, at = int(isolation.kernel[problem]), int(isolation.image[problem])
    left, original = isolation.images[problem : problem + 1], images[at].detach().cpu()
    found, as_it_is = shown(left, normalization), plain(left, normalization)[0]
    maps = [values[problem].detach().cpu() for values in (isolation.selected_before, isolation.selected_after)]
    photograph(original, axes[0]).set_title("image $X$", fontsize=9)
    axes[0].set_ylabel(f"{isolation.point}\nkernel {kernel}", fontsize=8)
    draw_map(maps[0], axes[3], limits_of(maps)).set_title(f"map $F_{{{kernel}}}$", fontsize=9)
    if bool(isolation.skipped[problem]):
        for ax in axes[[1, 2, 4]]:
            nothing(ax, "inactive kernel")
        return axes
    photograph(found.images[0], axes[1]).set_title(r"isolated $\hat{X}$", fontsize=9)
    axes[1].set_xlabel(found.note(0), fontsize=7)
    difference(original, as_it_is, axes[2]).set_title(r"$|X - \hat{X}|$", fontsize=9)
    ssim = float(isolation.measure().ssim[problem])
    said = "no SSIM" if np.isnan(ssim) else f"SSIM {ssim:.3f}"
    draw_map(maps[1], axes[4], limits_of(maps)).set_title(f"map $\\hat{{F}}_{{{kernel}}}$, {said}", fontsize=9)
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
        unit(f"inputs[{name!r}]", checks.tensor(f"inputs[{name!r}]", inputs[name], "c h w"))
        fixed = dict(zip("rHW", first.shape, strict=False)) if isinstance(first, Tensor) else None
        checks.tensor(f"maps[{name!r}]", values, "r H W", sizes=fixed)
    n = len(first)
    said = names_of("rows", rows if rows is not None else ["map"] + [f"map {i}" for i in range(2, n + 1)], n)
    axes = grid_of(axes, (1 + n, len(inputs)), "a row of inputs and one for each kernel's maps, a column per method")
    for column, (name, values) in enumerate(stacks.items()):
        photograph(inputs[name], axes[0, column]).set_title(METHODS.get(name, (name,))[0], fontsize=9)
        for row in range(n):
            alike = [values[row]] if each else [stack[row] for stack in stacks.values()]
            draw_map(values[row], axes[row + 1, column], limits_of(alike)).set_xlabel(f"max {float(values[row].max()):.3g}", fontsize=7)
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
    b = len(unit("images", checks.tensor("images", images, "b c h w")))
    betas = [f"$\\beta$ = {checks.real(f'betas[{i}]', float(beta), 0):g}" for i, beta in enumerate(betas)]
    names_of("betas", betas, b)
    if maps is not None:
        checks.tensor("maps", maps, "b H W", sizes={"b": b})
    if ssim is not None and (maps is None or len(ssim) != b):
        raise ValueError(f"ssim: got {checks.describe(ssim)}, expected maps and {b} numbers")
    axes = grid_of(axes, (2 + (maps is not None), b), "inputs, differences and, if given, maps; a column per beta")
    away = (images - images[:1]).abs()
    peak = float(away.max())
    for column, name in enumerate(betas):
        photograph(images[column], axes[0, column]).set_title(name, fontsize=9)
        photograph(seen(away[column], peak), axes[1, column])
        if maps is not None:
            draw_map(maps[column], axes[2, column], limits_of(maps))
            if ssim is not None:
                axes[2, column].set_xlabel(f"SSIM {ssim[column]:.3f}", fontsize=7)
    axes[0, 0].set_ylabel(r"$\hat{X}$", fontsize=9)
    axes[1, 0].set_ylabel(f"difference to the first\n{contrast(peak)}", fontsize=8)
    if maps is not None:
        axes[2, 0].set_ylabel("map", fontsize=8)
    return axes


def told_apart(isolation: Isolation, images: Tensor, normalization: Normalization, axes: Any) -> np.ndarray:
    """Figure 7: two kernels on several images, a row of six axes each: X, both isolated images, where they differ, both maps of X.

    isolation: of two kernels and all of ``images`` (n, c, h, w) in [0, 1]; axes (n, 6). The difference is that of unclamped images.
    """
    if not isinstance(isolation, Isolation):
        raise TypeError(f"isolation: got {checks.describe(isolation)}, expected an Isolation")
    n, kernels = len(isolation.maps_before), isolation.kernel.unique_consecutive().tolist()
    if len(kernels) != 2:
        raise ValueError(f"isolation: got kernels {kernels}, expected two of them")
    unit("images", checks.tensor("images", images, "n c h w", sizes=dict(zip("nchw", (n, *isolation.images.shape[1:]), strict=True))))
    axes = grid_of(axes, (n, 6), "a row for each image: X, both isolated images, their difference, both maps")
    pictures, values = shown(isolation.images, normalization).images, plain(isolation.images, normalization)
    for row, original in enumerate(images.detach().cpu()):
        photograph(original, axes[row, 0])
        for column, at in enumerate((row, n + row)):
            if bool(isolation.skipped[at]):
                nothing(axes[row, 1 + column], "inactive kernel")
            else:
                photograph(pictures[at], axes[row, 1 + column])
            before = isolation.selected_before[at].detach().cpu()
            draw_map(before, axes[row, 4 + column], limits_of([before]))
        if bool(isolation.skipped[[row, n + row]].any()):
            nothing(axes[row, 3], "nothing to compare")
        else:
            difference(values[row], values[n + row], axes[row, 3])
    titles = ("image $X$", *(f"isolated, {k}" for k in kernels), "their difference", *(f"map $F_{{{k}}}$" for k in kernels))
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=9)
    axes[0, 0].set_ylabel(isolation.point, fontsize=8)
    return axes
