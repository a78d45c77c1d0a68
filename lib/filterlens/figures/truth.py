"""Figure of the ground-truth benchmark: how well each method finds what was planted, world by world, harder from left to right.

Takes the benchmark's table as rows of a data frame, whichever run made it, and knows no planted world.
"""

from __future__ import annotations

import pandas as pd
import torch
from matplotlib.axes import Axes

from .. import checks
from .tables import borders, heat

COLUMNS = ("question", "world", "method", "difficulty", "mean", "std", "n")
WIDE = 16  # columns up to which every cell has its number


def scores(rows: pd.DataFrame, question: str, ax: Axes) -> Axes:
    """The mean score of every method (rows) on every planted world of a question at each difficulty (columns, worlds between lines).

    rows: columns ``COLUMNS``, one row for each cell, such as ``pandas.DataFrame(truth.table(...))``; methods and worlds stand in
    their order, cells that are missing are grey. From 0 (light) to 1, the perfect answer; scores below 0 are as light as 0.
    Raises TypeError or ValueError naming rows or question.
    """
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a pandas.DataFrame with the columns {list(COLUMNS)}")
    if missing := [name for name in COLUMNS if name not in rows.columns]:
        raise ValueError(f"rows: got the columns {list(rows.columns)}, expected {missing[0]!r} among them")
    if rows.empty:
        raise ValueError("rows: got none, expected at least one")
    some = rows[rows["question"] == checks.choice("question", question, rows["question"].unique())]
    if some.duplicated(["world", "method", "difficulty"]).any():
        raise ValueError("rows: got a cell twice, expected one row for each world, method and difficulty")
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
    seeds = sorted(set(some["n"].tolist()))
    ax.set(ylabel="")
    ax.set_title(f"{question}: {' or '.join(f'{n:g}' for n in seeds)} seeds in each cell", fontsize=10)
    return ax
