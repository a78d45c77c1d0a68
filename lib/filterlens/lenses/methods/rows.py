"""Rows of measurements, one per image and kernel, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from ... import checks
from ..isolation import Selectivity, selectivity

MEASURES = ("ssim", "mse_selected", "mse_rest", "mse_rest_ratio", "preservation", "selectivity")


def measured(maps_after: Tensor, maps_before: Tensor, kernel: Tensor) -> list[tuple[float, ...]]:
    """``MEASURES`` of each problem, from maps (p, N, H, W)."""
    return numbers(selectivity(maps_after, maps_before, kernel))


def numbers(found: Selectivity) -> list[tuple[float, ...]]:
    return list(zip(*(getattr(found, name).tolist() for name in MEASURES), strict=True))


def summary(rows: pd.DataFrame, by: str | Sequence[str], *, measures: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean, standard deviation (n - 1), median, n and n_nan of every measure, in groups of rows.

    rows: a table with one row per image and kernel, as of ``MethodRow`` or ``TermRow``. by: column or columns, kept in the order in
        which their values first appear. measures: columns to sum up, by default those of ``MEASURES`` that the table has.

    The index is ``(*by, measure)``, the columns mean, std, median, n, n_nan: n rows with a number, n_nan without (inactive kernels, and
    for SSIM maps that are constant or under 3 x 3), which do not enter. Spreads wider than the mean are heavy tails: read the median.
    Raises TypeError or ValueError naming the argument.
    """
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a table (pandas.DataFrame)")
    if rows.empty:
        raise ValueError("rows: got an empty table, expected one row per image and kernel")
    by = _columns("by", by, rows)
    measures = [name for name in MEASURES if name in rows] if measures is None else _columns("measures", measures, rows)
    if not measures:
        raise ValueError(f"rows: got a table with the columns {list(rows)}, expected some of {list(MEASURES)}")
    if text := [name for name in measures if not pd.api.types.is_numeric_dtype(rows[name])]:
        raise TypeError(f"measures: {text} hold {rows[text[0]].dtype}, expected numbers")
    if both := sorted({*by} & {*measures}):
        raise ValueError(f"by: got {both}, which are measures too, expected other columns")
    long = rows.melt(by, measures, "measure", "value")
    groups = long.groupby([*by, "measure"], sort=False)["value"]
    return groups.agg(mean="mean", std="std", median="median", n="count", n_nan=lambda values: int(values.isna().sum()))


def _columns(name: str, value: object, rows: pd.DataFrame) -> list[str]:
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected one column or several of {list(rows)}")
    if not value or len({*value}) < len(value) or any(one not in rows for one in value):
        raise ValueError(f"{name}: got {list(value)}, expected one or several of the columns {list(rows)}, each once")
    return list(value)
