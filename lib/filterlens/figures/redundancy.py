"""What a network loses with its filters, and what ranking them rests on: the experiments of the simplex lens (tables 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from .. import checks
from ..lenses.redundancy.wording import SAID
from .classifiers import MARKERS

# colour, marker, line of each way to choose filters; dashed: the controls of equal norm
LOOKS = {
    "archetypes": ("#d55e00", "^", "-"),
    "matched_archetypes": ("#d55e00", "v", "--"),
    "median_gm": ("#0072b2", "s", "-"),
    "median_l0": ("#56b4e9", "D", "-"),
    "matched_median": ("#0072b2", "P", "--"),
    "random": ("0.45", "o", ":"),
    "l1": ("#009e73", "X", "-"),
    "l2": ("#cc79a7", "*", "-"),
}
SETS = {which: (SAID[which], *look) for which, look in LOOKS.items()}
PAIRS = ("#0072b2", "#56b4e9", "#d55e00", "0.45", "#cc79a7")
METHODS = {
    "positional": ("positional", "#d55e00", "^"),
    "fpgm": ("FPGM", "#0072b2", "s"),
    "geometric_median": ("geometric median", "#56b4e9", "D"),
    "l1": ("ℓ₁ norm", "#009e73", "X"),
    "l2": ("ℓ₂ norm", "#cc79a7", "*"),
    "random": ("random", "0.45", "o"),
}
ORDERS = {
    "original": "its own filters",
    "permuted": "its own,\nin another order",
    "fabricated": "fabricated,\nas they are drawn",
    "matched": "fabricated, each at\nthe nearest original",
}
SHARED = {
    "spearman": "Spearman's ρ of ℓ₀",
    "common": "shared of the {n} most redundant (by chance {chance:.1f})",
    "common_needed": "shared of the {n} most needed (by chance {chance:.1f})",
}
START_LINES = {
    "random": ("random", "0.45", "o"),
    "trained": ("trained weights", "#0072b2", "s"),
    "fabricated": ("fabricated, Dirichlet(1)", "#d55e00", "^"),
    "fabricated-sparse": ("fabricated, sparse", "#009e73", "D"),
}


def removal_curves(curve: Any, ax: Axes, *, sets: Sequence[str] | None = None, baseline: float | None = None, legend: bool = True) -> Axes:
    """Table 1: accuracy over the share of filters removed from every layer; mean and, shaded, one s.d. over seeds, for each set.

    curve: a ``RemovalCurve``, or rows with which, rate, seed and accuracy (a table); sets: those to draw, in this order. legend: inside
    the axes, over what is drawn there; False where ``removal_legend`` puts one below several panels.
    """
    rows = _table("curve", curve, ("which", "rate", "seed", "accuracy"))
    there = [name for name in SETS if name in set(rows["which"])] + sorted(set(rows["which"]) - set(SETS))
    shown = there if sets is None else [checks.choice("sets", name, there) for name in sets]
    baseline = getattr(curve, "baseline", None) if baseline is None else checks.real("baseline", baseline, 0, 1)
    if baseline is not None:
        ax.axhline(baseline, color="0.6", linewidth=0.8, label="all filters")
    for name in shown:
        said, colour, marker, line = SETS.get(name, (name, None, ".", "-"))
        found = rows[rows["which"] == name].groupby("rate")["accuracy"].agg(["mean", "std"])
        (drawn,) = ax.plot(found.index, found["mean"], line, color=colour, marker=marker, markersize=5, linewidth=1.3, label=said)
        spread = found["std"].fillna(0).to_numpy()
        if spread.any():
            below, above = found["mean"] - spread, found["mean"] + spread
            ax.fill_between(found.index, below, above, color=drawn.get_color(), alpha=0.13, linewidth=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xticks(sorted(set(rows.loc[rows["which"].isin(shown), "rate"])))
    seeds = rows["seed"].nunique()
    ax.set(xlabel="filters removed from each layer", ylabel="accuracy" + (f" (mean ± s.d., up to {seeds} seeds)" if seeds > 1 else ""))
    if legend:
        ax.legend(fontsize=9)
    return ax


def removal_legend(figure: Figure, axes: Any, *, columns: int = 4) -> Legend:
    """One legend below a figure for all its panels of ``removal_curves``: each set once, in the order of the panels.

    axes: one or several, an array of ``plt.subplots`` too. A figure with ``layout="constrained"`` makes room for it.
    Raises ValueError for axes without curves.
    """
    columns = checks.integer("columns", columns, 1)
    entries: dict[str, Any] = {}
    for ax in np.ravel(np.asarray(axes, dtype=object)):
        if not isinstance(ax, Axes):
            raise TypeError(f"axes: got {checks.describe(ax)}, expected those that removal_curves drew in")
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        raise ValueError("axes: got none with curves, expected those that removal_curves drew in")
    return figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=min(columns, len(entries)), fontsize=10)


def verdict(table: Any, ax: Axes) -> Axes:
    """Table 1's claim, cell by cell: how much more accuracy is left when the first set goes instead of the second, mean ± s.d.

    table: what ``redundancy.verdict`` says: rate, more, less, difference, std. Above zero the claim holds; in percentage points.
    """
    rows = _table("table", table, ("rate", "more", "less", "difference", "std"))
    ax.axhline(0, color="black", linewidth=0.8)
    pairs = list(dict.fromkeys(zip(rows["more"], rows["less"], strict=True)))
    rates = sorted(set(rows["rate"]))
    for at, (more, less) in enumerate(pairs):
        found = rows[(rows["more"] == more) & (rows["less"] == less)].set_index("rate")
        places = np.array([rates.index(rate) for rate in found.index]) + 0.14 * (at - (len(pairs) - 1) / 2)
        ax.errorbar(places, 100 * found["difference"], yerr=100 * found["std"].fillna(0), fmt=MARKERS[at % 10], color=PAIRS[at % len(PAIRS)],
                    markersize=5, capsize=2, elinewidth=1, label=f"{_said(more)} − {_said(less)}")  # fmt: skip
    ax.set_xticks(range(len(rates)), [f"{100 * rate:g} %" for rate in rates])
    ax.set(xlabel="filters removed from each layer", ylabel="difference in accuracy left,\npercentage points")
    ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    return ax


def retraining(rows: Any, ax: Axes, *, rate: float | None = None, epochs: int | None = None, baseline: float | None = None) -> Axes:
    """Table 3: test error after pruning and after each epoch of retraining, mean ± s.d. over seeds; a line for each ranking.

    Errors, on a logarithmic axis: rankings that differ by tenths of a percent after retraining begin tens of percents apart.
    rows: a table with method, rate, seed, epoch (0: pruned, not retrained) and accuracy; rate: which to draw where there are several.
    epochs: draw the runs that went so far, up to there; by default all runs, as far as all of them went.
    """
    rows = _table("rows", rows, ("method", "rate", "seed", "epoch", "accuracy"))
    rates = sorted(set(rows["rate"]))
    if rate is None and len(rates) > 1:
        raise ValueError(f"rate: got None, expected one of {rates}: a figure shows one")
    rate = rates[0] if rate is None else rate
    if rate not in rates:
        raise ValueError(f"rate: got {rate!r}, expected one of {rates}")
    _epochs(rows[rows["rate"] == rate], "method", METHODS, ax, epochs, baseline)
    ax.set_title(f"{100 * rate:g} % of each layer's filters pruned", fontsize=9)
    return ax


def starts(rows: Any, ax: Axes, *, epochs: int | None = None, baseline: float | None = None) -> Axes:
    """Table 2: test error after each epoch from random, trained and fabricated weights, mean ± s.d. over seeds; logarithmic.

    rows: a table with start, seed, epoch (0: before training) and accuracy; epochs: as for ``retraining``.
    """
    rows = _table("rows", rows, ("start", "seed", "epoch", "accuracy"))
    return _epochs(rows, "start", START_LINES, ax, epochs, baseline)


def stability_matrix(result: Any, ax: Axes, *, measure: str = "spearman") -> Axes:
    """How far rankings of one layer agree, every two of them: "spearman" of l0, or how many of the n most redundant ("common") or most
    needed ("common_needed") filters they share, a colour scale from 0 to n.

    result: a ``Stability``. The diagonal, full agreement by definition, is left grey, as is what is not defined; values are written
    for at most 14.
    """
    import seaborn

    checks.choice("measure", measure, list(SHARED))
    values, names = getattr(result, measure).double().cpu().numpy(), [str(name) for name in result.names]
    said = SHARED[measure].format(n=result.n, chance=result.chance)
    counted = measure != "spearman"
    hidden = np.eye(len(names), dtype=bool) | np.isnan(values)
    ax.set_facecolor("0.85")
    seaborn.heatmap(
        values, ax=ax, mask=hidden, cmap="cividis", vmin=min(0.0, values[~hidden].min(initial=0)), vmax=result.n if counted else 1,
        annot=len(names) <= 14, fmt=".0f" if counted else ".2f", annot_kws={"fontsize": 7}, square=True,
        xticklabels=names, yticklabels=names, cbar_kws={"label": said},
    )  # fmt: skip
    ax.tick_params(axis="x", rotation=90, labelsize=7)
    ax.tick_params(axis="y", rotation=0, labelsize=7)
    return ax


def channel_order(results: Any, ax: Axes) -> Axes:
    """Accuracy with one layer's own filters, the same in another order, and fabricated ones as drawn and put at the nearest original.

    results: a ``ChannelOrder``, or several, of one seed each: then mean and s.d.
    """
    results = list(results) if isinstance(results, Sequence) else [results]
    if not results:
        raise ValueError("results: got none, expected at least one ChannelOrder")
    found = np.array([[getattr(one, name) for name in ORDERS] for one in results], dtype=float)  # (seeds, 4)
    means, spread = found.mean(0), found.std(0, ddof=1) if len(found) > 1 else np.zeros(len(ORDERS))
    places = np.arange(len(ORDERS))
    ax.barh(places, means, color=["0.6", "#0072b2", "#d55e00", "#d55e00"], height=0.65)
    if len(found) > 1:
        ax.errorbar(means, places, xerr=spread, fmt="none", color="black", capsize=2, linewidth=1)
    for place, mean, more in zip(places, means, spread, strict=True):
        ax.annotate(f"{100 * mean:.1f} %", (mean + more, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(places, ORDERS.values(), fontsize=8)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(
        xlabel="accuracy" + (f" (mean ± s.d., {len(found)} seeds)" if len(found) > 1 else ""), xlim=(0, 1.2), xticks=np.linspace(0, 1, 6)
    )
    return ax


def _said(which: str) -> str:
    return SETS[which][0] if which in SETS else which


def _epochs(
    rows: pd.DataFrame, column: str, looks: Mapping[str, tuple[str, str, str]], ax: Axes, epochs: int | None, baseline: float | None
) -> Axes:
    last = rows.groupby([column, "seed"])["epoch"].transform("max")
    epochs = int(last.min()) if epochs is None else checks.integer("epochs", epochs, 1, int(last.max()))
    rows = rows[(last >= epochs) & (rows["epoch"] <= epochs)]
    if baseline is not None:
        ax.axhline(1 - checks.real("baseline", baseline, 0, 1), color="0.6", linewidth=0.8, label="as trained")
    names = [name for name in looks if name in set(rows[column])] + sorted(set(rows[column]) - set(looks))
    for at, name in enumerate(names):
        said, colour, marker = looks.get(name, (name, None, "."))
        found = rows[rows[column] == name].groupby("epoch")["accuracy"].agg(["mean", "std"])
        shift = 0.01 * epochs * (at - (len(names) - 1) / 2)  # error bars of equal means stay apart
        ax.errorbar(found.index + shift, 1 - found["mean"], yerr=found["std"].fillna(0), color=colour, marker=marker, markersize=5,
                    markevery=max(1, epochs // 10), linewidth=1.2, elinewidth=0.9, capsize=2, label=said)  # fmt: skip
    ax.set_yscale("log")
    percent = FuncFormatter(lambda value, _: f"{100 * value:g} %")
    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=percent, minor_formatter=NullFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    seeds = rows["seed"].nunique()
    ax.set(xlabel="epochs of training", ylabel="test error" + (f" (mean ± s.d., {seeds} seeds)" if seeds > 1 else ""))
    ax.legend(fontsize=9)
    return ax


def _table(argument: str, given: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table with at least these columns: a result's ``rows``, a table, or a list of tuples in this order (more may follow)."""
    rows = getattr(given, "rows", given)
    if not isinstance(rows, pd.DataFrame):
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise TypeError(f"{argument}: got {checks.describe(given)}, expected a table with the columns {list(columns)}")
        rows = pd.DataFrame([tuple(row)[: len(columns)] for row in rows], columns=list(columns))
    missing = [name for name in columns if name not in rows]
    if missing:
        raise ValueError(f"{argument}: got the columns {list(rows)}, expected also {missing}")
    if not len(rows):
        raise ValueError(f"{argument}: got no rows, expected at least one")
    return rows
