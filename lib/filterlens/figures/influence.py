"""Figures of the influence lens; the numbers in their names are those of arXiv 2112.07719."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter, ScalarFormatter
from torch import Tensor

from .. import checks
from ..lenses.influence import Essentiality, InfluentialFeatures, SetStatistics, Surface
from .classifiers import MARKERS, history, logits, names_of, reliability
from .depth import depth_scatter, models_summary
from .pictures import SIGNED, bare, photograph
from .sketches import decomposed_sketch, network_sketch

__all__ = [
    "ablation",
    "ablation_curves",
    "classes_per_feature",
    "decomposed_sketch",
    "depth_scatter",
    "histogram",
    "history",
    "logits",
    "map_grid",
    "models_summary",
    "network_sketch",
    "overlap",
    "reliability",
    "surface",
    "surface_lines",
]

IN, OUT, PLAIN = "#d55e00", "#9fb6cd", "0.45"  # influential, other, undisturbed: apart also for the colour-blind
HEIGHT = {
    "count": "votes $H_y$",
    "coverage": "votes $H_y$",
    "weight": "$W_{y,i}$",
    "abs_weight": "$|W_{y,i}|$",
    "contribution": "mean of $W_{y,i} f_i$",
}


def histogram(
    influential: InfluentialFeatures, ax: Axes, *, target: int, classes: Sequence[str] | None = None, top: int | None = None
) -> Axes:
    """Figure 2: one class's features in the order of their influence, by what the rule ranks by (votes), and the cut at s.

    ``top`` draws that many of them; features are named by their index.
    """
    n_classes, d = influential.order.shape
    target = checks.integer("target", target, 0, n_classes - 1)
    top = d if top is None else checks.integer("top", top, 1, d)
    order, s = influential.order[target, :top], min(influential.s, top)
    heights = influential.score[target, order].double().cpu().numpy()
    ax.bar(range(top), heights, color=[IN] * s + [OUT] * (top - s), width=0.85)
    ax.axvline(s - 0.5, color="black", linestyle="--", linewidth=1)
    ax.annotate(f"s = {influential.s}", (s - 0.5, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
                va="top", fontsize=9)  # fmt: skip
    every = -(-top // 40)
    ax.set_xticks(range(0, top, every), order.tolist()[::every], fontsize=8 if top <= 26 else 6, rotation=0 if top <= 12 else 90)
    who = f"class {target}" if classes is None else f"class {target}, {names_of('classes', classes, n_classes)[target]}"
    images = f" of {int(influential.n_images[target]):,} images" if influential.rule in ("count", "coverage") else ""
    ax.set(xlabel=f"feature ({who})", ylabel=HEIGHT[influential.rule] + images, xlim=(-0.6, top - 0.4))
    return ax


def surface(surface: Surface, ax: Axes, *, relative: bool = True) -> Axes:
    """Figure 3: efficacy (or, with ``relative=False``, accuracy) over r and s as a heat map; framed: the best r for each s, or all that tie.

    Values are written in percent if there are at most 200.
    """
    import seaborn

    values, name = _efficacy(surface, relative)
    n_cells = values.size
    # with many cells no decimal fits
    written = {"annot": 100 * values, "fmt": ".1f" if n_cells <= 49 else ".0f", "annot_kws": {"fontsize": 8 if n_cells <= 49 else 6}}
    seaborn.heatmap(
        100 * values,
        ax=ax,
        cmap="viridis",
        xticklabels=surface.ss,
        yticklabels=surface.rs,
        cbar_kws={"label": f"{name}, %"},
        **(written if n_cells <= 200 else {}),
    )
    for row, column in np.argwhere(values == values.max(0)):
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor="red", linewidth=1.5))
    ax.invert_yaxis()
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel="s, features per class (framed: the best r)", ylabel="r, votes per image")
    return ax


def surface_lines(surface: Surface, ax: Axes, *, relative: bool = True) -> Axes:
    """Figure 3 as lines: efficacy (or accuracy) over s, one line per r; a dot where s = r."""
    from matplotlib import colormaps

    values, name = _efficacy(surface, relative)
    order = np.argsort(surface.ss)
    sizes = np.array(surface.ss)[order]
    for at, (r, row) in enumerate(zip(surface.rs, values, strict=True)):
        colour = colormaps["viridis"](0.92 * at / max(len(surface.rs) - 1, 1))
        ax.plot(sizes, row[order], color=colour, linewidth=1.3, label=f"{r}")
        if r in surface.ss:
            ax.plot([r], [row[surface.ss.index(r)]], "o", color=colour, markersize=5)
    ax.set_xscale("log", base=2)
    _plain_ticks(ax, sizes)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(title="r (dot: s = r)", fontsize=7, title_fontsize=8, ncols=1 + (len(surface.rs) > 7), loc="lower right")
    ax.set(xlabel="s, features per class", ylabel=name)
    return ax


def overlap(stats: SetStatistics, ax: Axes, classes: Sequence[str] | None = None) -> Axes:
    """How many influential features each two classes share, |I_a and I_b|; the diagonal, s everywhere, is left grey."""
    import seaborn

    n = len(stats.overlap)
    names = range(n) if classes is None else names_of("classes", classes, n)
    values, own = stats.overlap.cpu().numpy(), np.eye(n, dtype=bool)
    ax.set_facecolor("0.85")
    top = max(int(values[~own].max(initial=0)), 1)
    seaborn.heatmap(
        values, ax=ax, mask=own, cmap="rocket_r", vmin=0, vmax=top, annot=n <= 20, fmt="d", annot_kws={"fontsize": 8}, square=True,
        xticklabels=names, yticklabels=names, cbar_kws={"label": "features in common", "ticks": MaxNLocator(integer=True)},
    )  # fmt: skip
    ax.tick_params(axis="x", rotation=90, labelsize=8)
    ax.tick_params(axis="y", rotation=0, labelsize=8)
    ax.set(xlabel="class", ylabel=f"class (diagonal: s = {int(stats.overlap[0, 0])})")
    return ax


def classes_per_feature(stats: SetStatistics, ax: Axes) -> Axes:
    """For how many classes each feature is influential, most wanted first, named by index; those in no set are counted in the text."""
    used = stats.classes_per_feature.cpu()
    order = torch.argsort(used, descending=True, stable=True)[: max(stats.union, 1)]
    ax.bar(range(len(order)), used[order].numpy(), color=IN, width=0.85)
    every = -(-len(order) // 64)
    ax.set_xticks(range(0, len(order), every), order.tolist()[::every], fontsize=7, rotation=90)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.text(
        0.98, 0.95, f"{len(used) - stats.union} of {len(used)} features in no set", transform=ax.transAxes, ha="right", va="top", fontsize=9
    )
    ax.set(xlabel="feature", ylabel="classes that it is influential for", xlim=(-0.6, len(order) - 0.4))
    return ax


def map_grid(images: Tensor, overlays: dict[str, Tensor], axes: np.ndarray, titles: Sequence[str]) -> np.ndarray:
    """Table 7: images (n, c, h, w) in [0, 1], and beside each, over its grey copy, one signed map of every overlay (n, H, W).

    axes (n, 1 + overlays). Red is positive, blue negative, clearest where the map is strongest; every map has its own limits.
    """
    checks.tensor("images", images, "n c h w")
    n, axes = len(images), np.asarray(axes)
    if axes.shape != (n, 1 + len(overlays)):
        raise ValueError(f"axes: got shape {axes.shape}, expected {(n, 1 + len(overlays))}: a row per image, a column for it and each map")
    for name, maps in overlays.items():
        checks.tensor(f"overlays[{name!r}]", maps, "n H W", sizes={"n": n})
    names_of("titles", titles, n)
    for row, image, title in zip(axes, images, titles, strict=True):
        photograph(image, row[0]).set_ylabel(title, fontsize=8)
    for column, (name, maps) in enumerate(overlays.items(), start=1):
        for ax, image, values in zip(axes[:, column], images, maps.detach().cpu().numpy(), strict=True):
            h, w = image.shape[1:]
            limit = float(np.abs(values).max()) or 1.0
            ax.imshow(image.mean(0).cpu().numpy(), cmap="gray", vmin=0, vmax=1)
            strength = 0.1 + 0.65 * np.abs(values) / limit
            ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, alpha=strength, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
            bare(ax)
        axes[0, column].set_title(name, fontsize=9)
    axes[0, 0].set_title("image", fontsize=9)
    return axes


def ablation(results: dict[str, Essentiality], ax: Axes) -> Axes:
    """Table 8: accuracy as it is, with the influential, and with the other features disturbed; lines: s.d. over seeds."""
    if not results:
        raise ValueError("results: got none, expected at least one, label -> Essentiality")
    places = np.arange(len(results))
    kinds = (
        ("original", PLAIN, [torch.tensor([e.original]) for e in results.values()]),
        ("influential disturbed", IN, [e.influential for e in results.values()]),
        ("others disturbed", OUT, [e.other for e in results.values()]),
    )
    for shift, (name, colour, found) in zip((-0.27, 0, 0.27), kinds, strict=True):
        means = [float(v.double().mean()) for v in found]
        spread = [float(v.double().std()) if len(v) > 1 else np.nan for v in found]
        bars = ax.bar(places + shift, means, 0.26, color=colour, label=name)
        ax.errorbar(places + shift, means, yerr=spread, fmt="none", color="black", capsize=2, linewidth=1)
        ax.bar_label(bars, [f"{100 * m:.1f}" for m in means], padding=3, fontsize=7)
    ax.set_xticks(places, [f"{label}" for label in results])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    seeds = max(len(e.seeds) for e in results.values())
    ax.set(xlabel="what takes their place", ylabel="accuracy" + (f" (mean ± s.d., {seeds} seeds)" if seeds > 1 else ""), ylim=(0, 1.2))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(fontsize=7, ncols=3, loc="upper center", columnspacing=1, handlelength=1.2)
    return ax


def ablation_curves(sizes: Sequence[int], curves: dict[str, Sequence[float] | Tensor], ax: Axes) -> Axes:
    """Accuracy over the size of the sets, one line and marker per label: curves {label: (S,)}."""
    for at, (label, values) in enumerate(curves.items()):
        values = torch.as_tensor(values).double().cpu()
        if values.shape != (len(sizes),):
            raise ValueError(f"curves[{label!r}]: got {checks.describe(values)}, expected one value for each of the {len(sizes)} sizes")
        every = max(1, len(sizes) // 8)
        ax.plot(sizes, values.numpy(), marker=MARKERS[at % 10], markevery=every, markersize=4, linewidth=1.2, label=label)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="features per class, s", ylabel="accuracy")
    ax.legend(fontsize=8)
    return ax


def _efficacy(surface: Surface, relative: bool) -> tuple[np.ndarray, str]:
    values = surface.eta if relative else surface.accuracy
    return values.double().cpu().numpy(), "efficacy η" if relative else "accuracy"


def _plain_ticks(ax: Axes, sizes: np.ndarray) -> None:
    """Powers of two among the sizes, or all of them if there are few; plain numbers."""
    shown = sizes if len(sizes) <= 6 else [v for v in sizes if v & (v - 1) == 0]
    ax.xaxis.set(major_locator=FixedLocator(shown), minor_locator=NullLocator(), major_formatter=ScalarFormatter())
