"""Networks beside each other: the efficacy of their decomposed layers (Figure 4 of arXiv 2112.07719), by name and by accuracy.

Published numbers and measured ones differ in marker, fill and colour, so that neither passes for the other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from .. import checks

MARKS = {
    "published": {"marker": "o", "markersize": 6, "color": "C0", "markerfacecolor": "white"},
    "measured": {"marker": "s", "markersize": 6, "color": "#d55e00", "markerfacecolor": "#d55e00"},
}


def models_summary(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Figure 4: the efficacy of every model, published (hollow circles) and measured (filled squares), each with its value.

    rows: columns model, d, full, decomposed, eta, source ("published" or "measured"); a model of both has one line.
    """
    rows = _models(rows)
    names = list(dict.fromkeys(rows["model"]))
    width = rows.groupby("model")["d"].first()
    lowest = rows["eta"].min()
    ax.hlines(range(len(names)), 0, 2, color="0.9", linewidth=0.8, zorder=0)
    for source, part in rows.groupby("source", sort=False):
        ax.plot(part["eta"], [names.index(name) for name in part["model"]], **MARKS[source], linestyle="none", label=source)
        for name, eta in zip(part["model"], part["eta"], strict=True):
            beside = 0 if (rows["model"] == name).sum() == 1 else 5 if source == "published" else -5
            ax.annotate(f"{eta:.3f}", (eta, names.index(name)), xytext=(7, beside), textcoords="offset points", va="center", fontsize=7)
    ax.set_yticks(range(len(names)), [f"{name} ({int(width[name])})" for name in names], fontsize=7)
    ax.set(xlabel="efficacy η = decomposed / full accuracy", ylabel="model (width of its features d)")
    span = max(rows["eta"].max() - lowest, 0.01)
    ax.set(xlim=(lowest - 0.08 * span, rows["eta"].max() + 0.2 * span), ylim=(len(names) - 0.4, -0.6))
    ax.legend(fontsize=8, loc="best")
    return ax


def depth_scatter(rows: pd.DataFrame, ax: Axes) -> Axes:
    """The efficacy of every model against the accuracy of its full layer: what the paper reads as depth may be accuracy."""
    rows = _models(rows)
    for source, part in rows.groupby("source", sort=False):
        ax.plot(part["full"], part["eta"], **MARKS[source], linestyle="none", label=source)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.margins(0.12, 0.08)
    ax.set(xlabel="accuracy of the full layer", ylabel="efficacy η = decomposed / full accuracy")
    ax.legend(fontsize=8, loc="upper left")
    _label_points(ax, list(rows["model"]), rows[["full", "eta"]].to_numpy(dtype=float))
    return ax


def _models(rows: pd.DataFrame) -> pd.DataFrame:
    wanted = ["model", "d", "full", "decomposed", "eta", "source"]
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a pandas.DataFrame with the columns {wanted}")
    if missing := [name for name in wanted if name not in rows]:
        raise ValueError(f"rows: got the columns {list(rows)}, expected {missing} too")
    for source in rows["source"]:
        checks.choice("rows: source", source, MARKS)
    if rows.empty:
        raise ValueError("rows: got none, expected at least one model")
    return rows


def _label_points(ax: Axes, names: list[str], points: np.ndarray) -> None:
    """Names beside points, each on the side where it covers least of the others; crowded ones stay readable."""
    ax.autoscale_view()
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    places = (points - [x0, y0]) / [x1 - x0, y1 - y0]
    size = ax.get_window_extent().size / ax.figure.dpi * 72  # points of print
    taken = [(x * size[0] - 4, y * size[1] - 4, x * size[0] + 4, y * size[1] + 4) for x, y in places]
    for name, (x, y), point in zip(names, places, points, strict=True):
        width, height, best = 3.3 * len(name), 7.0, None
        for dx, dy in (
            (6, -3.5),
            (-6 - width, -3.5),
            (-width / 2, 6),
            (-width / 2, -12),
            (4, 5),
            (4, -11),
            (-4 - width, 5),
            (-4 - width, -11),
        ):
            left, low = x * size[0] + dx, y * size[1] + dy
            box = (left, low, left + width, low + height)
            outside = max(0.0, -left) + max(0.0, left + width - size[0])
            cost = sum(_common(box, other) for other in taken) + 20 * outside
            if best is None or cost < best[0]:
                best = (cost, (dx, dy), box)
        taken.append(best[2])
        ax.annotate(name, point, xytext=best[1], textcoords="offset points", fontsize=6)


def _common(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
