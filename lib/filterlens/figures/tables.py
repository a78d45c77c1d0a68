"""Tables of classes by filters as heat maps: the same colours, ticks and borders between classes wherever they are drawn.

Used by ``gates`` and ``gates_scores``; knows no result, only tables (rows, columns) and the class that each column belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from .. import checks
from ..lenses.gates import owners
from .classifiers import names_of
from .pictures import SIGNED

SHADES = "mako_r"  # of tables without negative values, lightest at zero; NaN is grey, which it is not
MISSING = "0.85"
FEW, SOME = 12, 20  # rows up to which every cell has its number, and every row its name in a larger font


def heat(
    values: Tensor, ax: Axes, *, rows: Sequence[str], low: float, high: float, label: str, columns: Sequence[str] | None = None,
    annot: str = "",
) -> Axes:  # fmt: skip
    """A table (R, S) with a colour bar from low to high, around zero if low is -high; NaN is left grey.

    columns: names below, or None for columns that ``borders`` names; annot: a format, to write every number.
    """
    import seaborn

    signed = low == -high
    ax.set_facecolor(MISSING)
    seaborn.heatmap(
        values.detach().double().cpu().numpy(), ax=ax, cmap=SIGNED if signed else SHADES, vmin=low, vmax=high, annot=bool(annot),
        fmt=annot or ".2g", annot_kws={"fontsize": 7}, yticklabels=list(rows), xticklabels=False if columns is None else list(columns),
        cbar_kws={"label": label}, rasterized=True,
    )  # fmt: skip
    size = 8 if len(rows) <= SOME else 6
    ax.tick_params(axis="y", rotation=0, labelsize=size)
    if columns is not None:
        ax.tick_params(axis="x", rotation=90 if max(map(len, columns)) > 2 else 0, labelsize=size)
    return ax


def borders(classes: Tensor, ax: Axes, names: Sequence[str], *, what: str = "filters, by owner class") -> Axes:
    """Lines between the columns of different classes (S,), ascending, and each class's name below its columns."""
    first = [0, *(torch.nonzero(classes[1:] != classes[:-1]).flatten() + 1).tolist()]
    last = [*first[1:], len(classes)]
    for x in first[1:]:
        ax.axvline(x, color="0.25", linewidth=0.8)
    shown = [names[int(classes[x])] for x in first]
    middles = [(a + b) / 2 for a, b in zip(first, last, strict=True)]
    ax.set_xticks(middles, shown, rotation=90 if max(map(len, shown)) > 2 else 0, fontsize=8 if len(first) <= SOME else 6)
    ax.set_xlabel(what)
    return ax


def sorted_columns(table: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of a table (C, K) by the class that owns them, then by index: their order (K,) and their owners (K,), ascending.

    Columns whose largest entry several classes share come last, as if owned by a class C.
    """
    table = table.detach().cpu()
    several = (table == table.amax(0)).sum(0) > 1
    classes, order = torch.where(several, len(table), owners(table)).sort(stable=True)
    return order, classes


def class_names(classes: Sequence[str] | None, n: int) -> list[str]:
    """Names of n classes, their numbers by default."""
    return [str(c) for c in range(n)] if classes is None else names_of("classes", classes, n)


def row_of_axes(axes: Any, n: int, said: str) -> np.ndarray:
    """Check for n axes in a row, or one of them alone."""
    axes = np.atleast_1d(np.asarray(axes))
    if axes.shape != (n,):
        raise ValueError(f"axes: got shape {axes.shape}, expected {(n,)}: {said}")
    return axes


def instance(name: str, value: object, kind: type) -> None:
    """Check that a result is one of a lens's results."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected a {kind.__name__}")
