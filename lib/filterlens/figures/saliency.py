"""Grad-CAM with and without filters, over the photographs, and how alike the maps are (figure 3 of the simplex paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from .. import checks
from .classifiers import names_of
from .pictures import bare, photograph

NAMES = {
    "standard": "all filters",
    "without_median": "near the median",
    "without_archetypes": "near archetypes",
    "without_random": "at random",
}
LOOK = {"without_median": ("#0072b2", "s"), "without_archetypes": ("#d55e00", "^"), "without_random": ("0.45", "o")}
MEASURES = {"pearson": "Pearson r", "ssim": "SSIM", "iou": "IoU of the top 20 %"}


def saliency(triple: Any, photographs: Tensor, axes: np.ndarray, *, titles: Sequence[str] | None = None) -> np.ndarray:
    """Figure 3: each photograph (n, c, h, w) in [0, 1], and over its grey copy the map of all filters and of each removal.

    axes (n, 5). Yellow is most salient, every map in its own scale; in the corner Pearson's r with the map of all filters.
    """
    n = len(checks.tensor("photographs", photographs, "n c h w", sizes={"n": len(triple.maps["standard"])}))
    axes = np.asarray(axes)
    if axes.shape != (n, 1 + len(NAMES)):
        raise ValueError(
            f"axes: got shape {axes.shape}, expected {(n, 1 + len(NAMES))}: a row per photograph, a column for it and each map"
        )
    titles = None if titles is None else names_of("titles", titles, n)
    taken = len(next(iter(triple.removed.values())))
    axes[0, 0].set_title("photograph", fontsize=8)
    for column, (name, said) in enumerate(NAMES.items(), start=1):
        axes[0, column].set_title(said if name == "standard" else f"without {taken}\n{said}", fontsize=8)
    for i, (row, image) in enumerate(zip(axes, photographs, strict=True)):
        photograph(image, row[0])
        if titles:
            row[0].set_ylabel(titles[i], fontsize=8)
        for ax, name in zip(row[1:], NAMES, strict=True):
            values, (h, w) = triple.maps[name][i].cpu().numpy(), image.shape[1:]
            ax.imshow(image.mean(0).cpu().numpy(), cmap="gray", vmin=0, vmax=1)
            ax.imshow(values, cmap="inferno", vmin=0, vmax=1, alpha=0.55, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
            bare(ax)
            said = "empty" if bool(triple.empty[name][i]) else "" if name == "standard" else f"r = {float(triple.pearson[name][i]):.2f}"
            box = {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1.5}
            if said:
                ax.text(0.04, 0.05, said, transform=ax.transAxes, color="white", fontsize=7, bbox=box)
    return axes


def similarity(triple: Any, ax: Axes) -> Axes:
    """How like the map of all filters each removal's map is, by three measures: a small mark per image, a large one for the mean."""
    for at, measure in enumerate(MEASURES):
        for shift, (name, (colour, marker)) in zip((-0.24, 0, 0.24), LOOK.items(), strict=True):
            values = getattr(triple, measure)[name].double().cpu().numpy()
            x = at + shift + np.linspace(-0.07, 0.07, len(values))
            ax.scatter(x, values, s=9, color=colour, marker=marker, alpha=0.45, linewidths=0)
            mean = float(values.mean())
            ax.scatter([at + shift], [mean], s=60, color=colour, marker=marker, edgecolors="black", linewidths=0.8, zorder=3,
                       label=NAMES[name] if at == 0 else None)  # fmt: skip
            ax.annotate(
                f"{mean:.2f}", (at + shift, 0.985), xycoords=("data", "axes fraction"), fontsize=7, ha="center", va="top", color=colour
            )
    taken = len(next(iter(triple.removed.values())))
    ax.set_xticks(range(len(MEASURES)), MEASURES.values())
    ax.set(ylabel="likeness to the map of all filters", xlim=(-0.5, len(MEASURES) - 0.4))
    ax.set_title(f"{triple.layer}, {len(triple.targets)} photographs", fontsize=9)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.09 * (high - low))  # room for the means
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.legend(title=f"without {taken} filters", fontsize=7, title_fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1),
              frameon=False)  # fmt: skip
    return ax
