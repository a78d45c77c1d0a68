"""How well kernels were isolated, in numbers: energies, errors, losses and methods beside each other (arXiv 2108.11054, Figure 3).

``isolation`` draws the images and maps these numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from .. import checks
from ..lenses.isolation import Isolation

# name, colour, marker: apart in each, also for the colour-blind
METHODS = {
    "original": ("image", "0.45", "x"),
    "isolation": ("isolation", "#d55e00", "o"),
    "guided": ("guided backprop", "#0072b2", "s"),
    "deconvolution": ("Deconvolution", "#009e73", "^"),
    "lrp": ("LRP", "#cc79a7", "D"),
    "gradient": ("gradient", "#56b4e9", "v"),
}
MEASURES = {
    "ssim": "SSIM of the selected map",
    "mse_selected": "MSE of the selected map",
    "mse_rest": "MSE of the others (to silence)",
    "mse_rest_ratio": "MSE of the others / that of the image",
    "preservation": "preservation error of the selected map",
    "selectivity": "selected kernel's share of the energy",
    "loss": "loss",
}
FAINTEST = 1e-8  # of the largest energy: what lies below counts as silent on a logarithmic axis
OTHERS, SPARE = "0.62", ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "0.3")


def energy(before: Tensor, after: Tensor, ax: Axes, kernel: int, *, log: bool = True) -> Axes:
    """Each kernel's energy (N,), the sum of its squared map, for the image and for the isolated one; loudest of the image first.

    The selected kernel is drawn strong, and the title says its share of all the energy, before and after. On a logarithmic axis
    kernels under 1e-8 of the loudest are not drawn but counted in the legend.
    """
    n = len(checks.tensor("before", before, "N"))
    checks.tensor("after", after, "N", sizes={"N": n})
    kernel = checks.integer("kernel", kernel, 0, n - 1)
    for name, values in (("before", before), ("after", after)):
        if bool((values < 0).any()):
            raise ValueError(f"{name}: got {checks.describe(values)} with negative entries, expected energies, sums of squares")
    order = torch.argsort(before, descending=True, stable=True).cpu()
    place = int((order == kernel).nonzero())
    values = {"image": before, "isolated": after}
    values = {name: given.detach().double().cpu()[order].numpy() for name, given in values.items()}
    floor = FAINTEST * max(float(given.max()) for given in values.values()) if log else -1.0
    size = 5 if n <= 64 else 3.5 if n <= 256 else 2
    for (name, given), colour, filled in zip(values.items(), (OTHERS, "#0072b2"), (False, True), strict=True):
        heard = given > floor
        silent = "" if heard.all() else f" ({int((~heard).sum())} of {n} silent)"
        ax.plot(np.flatnonzero(heard), given[heard], "o", markersize=size, color=colour, markerfacecolor=colour if filled else "none",
                markeredgewidth=0.8, label=name + silent)  # fmt: skip
    ends = [given[place] for given in values.values()]
    drawn = [value for value in ends if value > floor]
    ax.plot([place] * len(drawn), drawn, color="#d55e00", linewidth=1, zorder=3)
    for value, filled in zip(ends, (False, True), strict=True):
        if value > floor:
            ax.plot([place], [value], "o", markersize=8, color="#d55e00", markerfacecolor="#d55e00" if filled else "white",
                    markeredgewidth=1.5, zorder=4)  # fmt: skip
    shares = [value / given.sum() if given.sum() > 0 else np.nan for value, given in zip(ends, values.values(), strict=True)]
    ax.set_title(f"kernel {kernel}: {_percent(shares[0])} of the energy, isolated {_percent(shares[1])}", fontsize=9)
    if log and floor > 0:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=f"{n} kernels, loudest on the image first (orange: kernel {kernel})", ylabel="energy, sum of squares of the map")
    ax.legend(fontsize=8)
    return ax


def loss_curve(losses: Isolation | Mapping[str, Isolation | Tensor], ax: Axes, *, log: bool = True) -> Axes:
    """The loss at every iterate, and a dot at the lowest; NaN (after a problem's end) is left out.

    losses: an Isolation, drawn a line per problem; or {name: loss (t,) or (p, t), or an Isolation}, whose problems share a colour.
    ``log`` makes the axis of the loss logarithmic if no loss is 0 and the largest is over three times the smallest.
    """
    if isinstance(losses, Isolation):
        labels = (f"kernel {int(k)}, image {int(i)}" for k, i in zip(losses.kernel, losses.image, strict=True))
        losses = dict(zip(labels, losses.loss, strict=True))
    if not isinstance(losses, Mapping):
        raise TypeError(f"losses: got {checks.describe(losses)}, expected an Isolation or a dict, name -> losses")
    if not losses:
        raise ValueError("losses: got none, expected at least one")
    smallest, largest = np.inf, 0.0
    for at, (name, given) in enumerate(losses.items()):
        curves = given.loss if isinstance(given, Isolation) else given
        curves = curves[None] if isinstance(curves, Tensor) and curves.ndim == 1 else curves
        checks.tensor(f"losses[{name!r}]", curves, "p t", finite=False)
        colour, dash, label = SPARE[at % len(SPARE)], ("-", "--", ":")[at // len(SPARE) % 3], f"{name}"
        for curve in curves.detach().double().cpu().numpy():
            there = np.flatnonzero(np.isfinite(curve))
            if not len(there):
                continue
            best = there[curve[there].argmin()]
            ax.plot(there, curve[there], dash, color=colour, linewidth=1.2 if len(curves) == 1 else 0.7, label=label)
            ax.plot([best], [curve[best]], "o", color=colour, markersize=4)
            label, smallest, largest = None, min(smallest, float(curve[best])), max(largest, float(curve[there].max()))
        if label is not None:
            ax.plot([], [], color=colour, label=f"{name} (inactive)")
    if log and 0 < 3 * smallest < largest:
        ax.set_yscale("log")
        if largest < 100 * smallest:  # powers of ten alone would leave the axis without numbers
            plain = FuncFormatter(lambda value, _: f"{value:g}")
            ax.yaxis.set(major_locator=LogLocator(subs=(1, 1.5, 2, 3, 5, 7)), major_formatter=plain, minor_formatter=NullFormatter())
    ax.set(xlabel="iteration", ylabel="loss (dot: the lowest)")
    ax.legend(fontsize=8)
    return ax


def joint_axes(figure: Figure) -> tuple[Axes, Axes, Axes]:
    """Axes for ``errors_joint``: the joint distribution and, along its top and its right side, room for one of each error."""
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0.05, hspace=0.05)
    joint = figure.add_subplot(grid[1, 0])
    return joint, figure.add_subplot(grid[0, 0], sharex=joint), figure.add_subplot(grid[1, 1], sharey=joint)


def errors_joint(rows: pd.DataFrame, axes: Any) -> tuple[Axes, Axes, Axes]:
    """Figure 3: the error of the selected map and what is left of the others, one mark per kernel, image and method; log scales.

    rows: columns method, mse_selected, mse_rest. axes: joint, top and right, from ``joint_axes`` or a seaborn JointGrid; along
    the sides densities (Gaussian kernels), large marks at the medians. Rows with 0 or NaN cannot be drawn and are counted.
    """
    import seaborn

    wanted = ["mse_selected", "mse_rest"]
    good, missing = _positive(_frame(rows, ["method", *wanted]), wanted)
    if len(axes) != 3:
        raise ValueError(f"axes: got {len(axes)}, expected three: joint, top and right")
    joint, top, right = axes
    joint.set(xscale="log", yscale="log")
    for at, (method, part) in enumerate(good.groupby("method", sort=False)):
        name, colour, marker = METHODS.get(method, (f"{method}", SPARE[at % len(SPARE)], "P"))
        joint.scatter(part[wanted[0]], part[wanted[1]], s=14, color=colour, marker=marker, alpha=0.45, linewidths=0)
        joint.plot([part[wanted[0]].median()], [part[wanted[1]].median()], marker, color=colour, markersize=9, markeredgecolor="black",
                   linestyle="none", label=f"{name} ({len(part)})", zorder=3)  # fmt: skip
        for ax, error, side in ((top, wanted[0], "x"), (right, wanted[1], "y")):
            if part[error].nunique() > 2:  # fewer make no density
                seaborn.kdeplot(part, **{side: error}, ax=ax, color=colour, fill=True, alpha=0.2, log_scale=True, warn_singular=False)
    note = f"\n({missing} of {len(rows)} not drawn: 0 or NaN)" if missing else ""
    joint.set(xlabel=MEASURES[wanted[0]] + note, ylabel=MEASURES[wanted[1]])
    joint.legend(fontsize=8, title="large: median", title_fontsize=8)
    for ax in (top, right):
        ax.set(xlabel="", ylabel="")
        ax.tick_params(labelbottom=False, labelleft=False, which="both", length=0)
        ax.spines[:].set_visible(False)
    return joint, top, right


def method_boxes(rows: pd.DataFrame, ax: Axes, measure: str, *, by: str = "method") -> Axes:
    """Table 1 as boxes: a measure's median, quartiles and, to 5 and 95 %, whiskers at each layer, in the rows' order, by method.

    rows: columns layer, ``by`` (method; "terms" for an ablation) and the measure, one of ``MEASURES``. A method with several
    scales (column scale) has a box for each. MSE and losses are on a log scale. Rows that cannot be drawn are counted.
    """
    checks.choice("measure", measure, MEASURES)
    rows = _frame(rows, ["layer", by, measure])
    log = measure.startswith("mse") or measure == "loss"
    good, missing = _positive(rows, [measure]) if log else _finite(rows, [measure])
    names = good[by].map(lambda key: METHODS.get(key, (f"{key}",))[0])
    if "scale" in good:
        several = good.groupby(by)["scale"].transform("nunique") > 1
        names = names.where(~several, names + ", " + good["scale"].astype(str))
    colours = _colours(dict(zip(names, good[by], strict=True)))
    layers, width = list(dict.fromkeys(good["layer"])), 0.84 / len(colours)
    for at, (name, colour) in enumerate(colours.items()):
        parts = [good.loc[(names == name) & (good["layer"] == layer), measure].to_numpy(dtype=float) for layer in layers]
        there = [place for place, part in enumerate(parts) if len(part)]
        places = np.array(there) + (at - (len(colours) - 1) / 2) * width
        # Quantiles are the same on any scale, and on a log scale too they are those that tables say.
        ax.boxplot([parts[i] for i in there], positions=places, widths=0.86 * width, whis=(5, 95), patch_artist=True, manage_ticks=False, label=name,
                   boxprops={"facecolor": colour, "linewidth": 0.8}, medianprops={"color": "black", "linewidth": 2},
                   flierprops={"marker": ".", "markersize": 2, "markeredgecolor": "0.4"})  # fmt: skip
    for at in range(1, len(layers)):
        ax.axvline(at - 0.5, color="0.9", linewidth=0.8, zorder=0)
    ax.set_xticks(range(len(layers)), layers)
    note = f" ({missing} of {len(rows)} rows not drawn: {'0 or NaN' if log else 'NaN'})" if missing else ""
    ax.set(xlabel="layer" + note, ylabel=MEASURES[measure], yscale="log" if log else "linear", xlim=(-0.5, len(layers) - 0.5))
    ax.legend(fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return ax


def _colours(kinds: dict[str, str]) -> dict[str, tuple[float, ...]]:
    """A colour for each box {name: method}; a method's further scales are paler."""
    keys, found = list(dict.fromkeys(kinds.values())), {}
    for name, key in kinds.items():
        full = np.array(to_rgb(METHODS[key][1] if key in METHODS else SPARE[keys.index(key) % len(SPARE)]))
        paler = 0.35 * sum(kinds[other] == key for other in found)
        found[name] = tuple(full + (1 - full) * min(paler, 0.7))
    return found


def _percent(share: float) -> str:
    return "none" if np.isnan(share) else f"{100 * share:.2g} %"


def _frame(rows: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a pandas.DataFrame with the columns {wanted}")
    if missing := [name for name in wanted if name not in rows]:
        raise ValueError(f"rows: got the columns {list(rows)}, expected {missing} too")
    if rows.empty:
        raise ValueError("rows: got none, expected at least one")
    return rows.reset_index(drop=True)


def _finite(rows: pd.DataFrame, wanted: list[str]) -> tuple[pd.DataFrame, int]:
    """The rows whose numbers can be drawn, and how many cannot."""
    try:
        good = np.isfinite(rows[wanted].to_numpy(dtype=float)).all(1)
    except (TypeError, ValueError) as error:
        raise TypeError(f"rows: got {rows[wanted].dtypes.to_dict()}, expected numbers in {wanted}") from error
    if not good.any():
        raise ValueError(f"rows: got no finite {wanted}, expected at least one row that can be drawn")
    return rows[good].reset_index(drop=True), int((~good).sum())


def _positive(rows: pd.DataFrame, wanted: list[str]) -> tuple[pd.DataFrame, int]:
    found = _finite(rows, wanted)[0]
    good = (found[wanted] > 0).all(axis=1)
    if not good.any():
        raise ValueError(f"rows: got no {wanted} above 0, expected at least one row that a log scale can show")
    return found[good].reset_index(drop=True), len(rows) - int(good.sum())
