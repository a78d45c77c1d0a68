"""Figures of the ground-truth benchmark: how well each method finds what was planted, harder from left to right; all worlds of a
question as a table, one world as curves with their spread.

Take the benchmark's table as rows of a data frame, whichever run made it, and know no planted world.
"""

from __future__ import annotations

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import checks
from .tables import borders, heat

COLUMNS = ("question", "world", "method", "difficulty", "mean", "std", "n")
WIDE = 20  # columns up to which every cell has its number
LINES = {
    "lens": {"color": "#d55e00", "linewidth": 2.2, "marker": "o", "markersize": 4},
    "rival": {"color": "#0072b2", "linewidth": 1.6, "marker": "s", "markersize": 3.5},
    "chance": {"color": "0.35", "linewidth": 1.2, "linestyle": "--"},
    "other": {"color": "0.75", "linewidth": 0.9},
}


def scores(rows: pd.DataFrame, question: str, ax: Axes) -> Axes:
    """The mean score of every method (rows) on every planted world of a question at each difficulty (columns, worlds between lines).

    rows: columns ``COLUMNS``, one row for each cell, such as ``pandas.DataFrame(truth.table(...))``; methods and worlds stand in
    their order, cells that are missing are grey. From 0 (light) to 1, the perfect answer; scores below 0 are as light as 0.
    Raises TypeError or ValueError naming rows or question.
    """
    _checked(rows)
    some = rows[rows["question"] == checks.choice("question", question, rows["question"].unique())]
    methods, worlds = some["method"].unique().tolist(), some["world"].unique().tolist()
    levels = {world: sorted(some.loc[some["world"] == world, "difficulty"].unique()) for world in worlds}
    table = some.pivot(index="method", columns=["world", "difficulty"], values="mean")
    table = table.reindex(index=methods, columns=pd.MultiIndex.from_tuples([(w, level) for w in worlds for level in levels[w]]))
    values = torch.tensor(table.to_numpy(dtype=float))
    heat(values, ax, rows=methods, low=0, high=1, label="mean score", annot=".2f" if values.shape[1] <= WIDE else "")
    of_world = torch.tensor([at for at, world in enumerate(worlds) for _ in levels[world]])
    said = {", ".join(f"{level:g}" for level in of) for of in levels.values()}
    within = f"; difficulty within each, left to right: {said.pop()}" if len(said) == 1 else "; difficulty grows from left to right"
    borders(of_world, ax, worlds, what="planted world" + within)
    ax.tick_params(axis="x", rotation=0)
    seeds = sorted(set(some["n"].tolist()))
    ax.set(ylabel="")
    ax.set_title(f"{question}: {' or '.join(f'{n:g}' for n in seeds)} seeds in each cell", fontsize=10)
    return ax


def question(rows: pd.DataFrame, question: str, *, lens: str, chance: str = "random") -> Figure:
    """All of a question on one figure: ``curves`` of each of its worlds in a row, ``scores`` of every method below.

    rows, lens, chance: as for ``curves``. Raises TypeError or ValueError naming rows, question, lens or chance.
    """
    _checked(rows)
    some = rows[rows["question"] == checks.choice("question", question, rows["question"].unique())]
    worlds, methods = some["world"].unique().tolist(), some["method"].unique().tolist()
    checks.choice("lens", lens, methods)
    checks.choice("chance", chance, [method for method in methods if method != lens])
    figure = Figure(figsize=(10, 4.1 + 0.25 * len(methods)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.5, 1.6 + 0.25 * len(methods)))
    for at, (world, ax) in enumerate(zip(worlds, above.subplots(1, len(worlds), squeeze=False, sharey=True)[0], strict=True)):
        curves(some, world, ax, lens=lens, chance=chance).set_ylabel("mean score" if at == 0 else "")
    scores(some, question, below.subplots())
    return figure


def curves(rows: pd.DataFrame, world: str, ax: Axes, *, lens: str, chance: str = "random") -> Axes:
    """Every method's mean score on one planted world over its difficulty; of the lens, of chance and of the best other method with a band
    of one standard deviation over seeds, the others as thin grey lines.

    rows: as for ``scores``. lens: the method that the question's lens stands for; the best other one has the highest sum of means.
    Raises TypeError or ValueError naming rows, world, lens or chance.
    """
    _checked(rows)
    some = rows[rows["world"] == checks.choice("world", world, rows["world"].unique())].sort_values("difficulty", kind="stable")
    methods = some["method"].unique().tolist()
    checks.choice("lens", lens, methods)
    checks.choice("chance", chance, [method for method in methods if method != lens])
    others = [method for method in methods if method not in (lens, chance)]
    rival = max(others, key=lambda method: some.loc[some["method"] == method, "mean"].sum(), default=None)
    for method in [*(method for method in others if method != rival), chance, *filter(None, [rival]), lens]:
        of = some[some["method"] == method]
        style = LINES["lens" if method == lens else "rival" if method == rival else "chance" if method == chance else "other"]
        named = method in (lens, rival, chance)
        ax.plot(of["difficulty"], of["mean"], **style, label=method if named else None)
        if named:
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
            ax.fill_between(of["difficulty"], of["mean"] - of["std"], of["mean"] + of["std"], **band)
    ax.set(xlabel="difficulty", ylabel="mean score", ylim=(min(-0.05, 1.1 * float(some["mean"].min())), 1.05))
    ax.set_xticks(sorted(some["difficulty"].unique()))
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(world, fontsize=9)
    ax.legend(fontsize=7, frameon=False)
    return ax


def _checked(rows: pd.DataFrame) -> None:
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a pandas.DataFrame with the columns {list(COLUMNS)}")
    if missing := [name for name in COLUMNS if name not in rows.columns]:
        raise ValueError(f"rows: got the columns {list(rows.columns)}, expected {missing[0]!r} among them")
    if rows.empty:
        raise ValueError("rows: got none, expected at least one")
    if rows.duplicated(["world", "method", "difficulty"]).any():
        raise ValueError("rows: got a cell twice, expected one row for each world, method and difficulty")
