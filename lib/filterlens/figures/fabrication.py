"""Fabricated filters: what they look like, what they answer, and how little they vary (figure 4 of the simplex paper and our diagnostic)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator, ScalarFormatter
from torch import Tensor

from .. import checks
from .classifiers import MARKERS
from .pictures import mosaic, photograph, signed, tiled

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")


def variance_collapse(
    ds: Sequence[int],
    measured: Mapping[str, Sequence[float] | Tensor],
    ax: Axes,
    *,
    expected: Mapping[str, Sequence[float]] | None = None,
    title: str = "How little fabricated filters vary",
) -> Axes:
    """The variance of fabricated filters as a share of their archetypes', over the number of archetypes: marks, and the law as a line.

    ds (T,); measured {label: (T,) ``variance_ratio``}; expected {label: (T,) ``expected_variance_ratio``, 1 / (d alpha + 1)}, same labels.
    """
    if not measured:
        raise ValueError("measured: got none, expected at least one, label -> ratios")
    for at, (label, values) in enumerate(measured.items()):
        colour, marker = COLOURS[at % 4], MARKERS[at % 10]
        if expected is not None and label in expected:
            ax.plot(ds, _each("expected", label, expected[label], ds), color=colour, linewidth=1.2, label=f"{label}: 1 / (dα + 1)")
        ax.plot(
            ds,
            _each("measured", label, values, ds),
            color=colour,
            marker=marker,
            markersize=5,
            linestyle="none",
            label=f"{label}: measured",
        )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set(major_locator=FixedLocator(list(ds)), minor_locator=NullLocator(), major_formatter=ScalarFormatter())
    percent = FuncFormatter(lambda value, _: f"{100 * value:g} %")
    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=percent, minor_formatter=NullFormatter())
    ax.set(xlabel="archetypes, d", ylabel="variance of the fabrications /\nvariance of the archetypes")
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=8)
    return ax


def fabricated_grid(sets: Mapping[str, Tensor], axes: np.ndarray, *, columns: int | None = None) -> np.ndarray:
    """Filters (n, c, h, w) with c = 1 or 3, one mosaic for each set, such as originals, literal and sparse fabrications; axes (S,).

    All sets share one scale, so that a set that has collapsed towards its mean looks pale and alike.
    """
    axes = _one_each("sets", sets, axes)
    for name, filters in sets.items():
        if checks.tensor(f"sets[{name!r}]", filters, "n c h w").shape[1] not in (1, 3):
            raise ValueError(f"sets[{name!r}]: got {checks.describe(filters)}, expected c = 1 or 3: more channels are no picture")
    limit = max(float(filters.abs().max()) for filters in sets.values())
    for ax, (name, filters) in zip(axes, sets.items(), strict=True):
        factor = math.ceil(24 / min(filters.shape[2:]))
        large = filters.detach().repeat_interleave(factor, 2).repeat_interleave(factor, 3)  # gaps stay narrow beside them
        picture = mosaic(large, columns=columns or math.ceil(math.sqrt(len(filters))), gap=3, each=False)
        tiled(signed(picture, ax, limit=limit)).set_title(name, fontsize=9)
    return axes


def fabricated_maps(image: Tensor, maps: Mapping[str, Tensor], axes: np.ndarray, *, columns: int | None = None) -> np.ndarray:
    """Figure 4: the image (c, h, w) in [0, 1], and what each set of filters answers to it: maps (k, h, w), signed; axes (1 + S,).

    Every map is in its own scale: the picture asks what is seen, not how strongly.
    """
    axes = np.asarray(axes)
    if axes.ndim != 1 or len(axes) != 1 + len(maps):
        raise ValueError(f"axes: got shape {axes.shape}, expected {(1 + len(maps),)}: one for the image and one for each set of maps")
    photograph(checks.tensor("image", image, "c h w"), axes[0]).set_title("image", fontsize=9)
    for ax, (name, values) in zip(axes[1:], maps.items(), strict=True):
        checks.tensor(f"maps[{name!r}]", values, "k h w")
        gap = max(2, values.shape[-1] // 20)
        picture = mosaic(values.detach()[:, None], columns=columns or math.ceil(math.sqrt(len(values))), gap=gap)
        tiled(signed(picture, ax, limit=1.0)).set_title(f"{name}: {len(values)} maps", fontsize=9)
    return axes


def _one_each(argument: str, sets: Mapping[str, Tensor], axes: np.ndarray) -> np.ndarray:
    axes = np.atleast_1d(np.asarray(axes))
    if not sets:
        raise ValueError(f"{argument}: got none, expected at least one, label -> filters")
    if axes.shape != (len(sets),):
        raise ValueError(f"axes: got shape {axes.shape}, expected {(len(sets),)}: one for each of {list(sets)}")
    return axes


def _each(argument: str, label: str, values: Sequence[float] | Tensor, ds: Sequence[int]) -> np.ndarray:
    values = torch.as_tensor(values).double().cpu()
    if values.shape != (len(ds),):
        raise ValueError(f"{argument}[{label!r}]: got {checks.describe(values)}, expected one for each of the {len(ds)} values of d")
    return values.numpy()
