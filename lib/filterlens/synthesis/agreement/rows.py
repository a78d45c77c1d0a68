"""The scores of layers as the rows of a table, and back: a row for each filter, as an experiment keeps them on disk."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch

from filterlens import checks

from .parts import REMOVALS, SCORES, FilterScores

FIXED = ("model", "layer", "removal", "degenerate", "n", "accuracy", "loss", "filter")
HALVES = ("loss_rise_first", "loss_rise_second")
DIGITS = 6  # significant ones that are kept


def to_rows(found: FilterScores) -> list[dict[str, Any]]:
    """A dict for each filter of a layer: model, layer, removal, degenerate, n (images), accuracy and loss (of the whole network), filter,
    the names of ``SCORES`` and of ``HALVES``, to six significant digits. Why a number is missing is not kept. Raises TypeError naming found.
    """
    if not isinstance(found, FilterScores):
        raise TypeError(f"found: got {checks.describe(found)}, expected FilterScores")
    fixed = {
        "model": found.model, "layer": found.layer, "removal": found.removal, "degenerate": found.degenerate, "n": found.n_images,
        "accuracy": _short(found.accuracy), "loss": _short(found.loss),
    }  # fmt: skip
    columns = {name: found.values[name].tolist() for name in SCORES} | dict(zip(HALVES, found.halves.T.tolist(), strict=True))
    return [
        {**fixed, "filter": filter, **{name: _short(values[at]) for name, values in columns.items()}}
        for at, filter in enumerate(found.filters.tolist())
    ]


def from_rows(rows: pd.DataFrame) -> list[FilterScores]:
    """The layers of a table, in its order: columns as ``to_rows`` names them. Raises TypeError or ValueError naming rows."""
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a pandas.DataFrame with the columns of to_rows")
    if missing := [name for name in (*FIXED, *SCORES, *HALVES) if name not in rows.columns]:
        raise ValueError(f"rows: got the columns {list(rows.columns)}, expected {missing[0]!r} among them")
    if rows.empty:
        raise ValueError("rows: got none, expected a row for each filter")
    for name in ("n", "accuracy", "loss", "filter", *SCORES, *HALVES):
        if not pd.api.types.is_numeric_dtype(rows[name]):
            raise TypeError(f"rows: {name} holds {rows[name].dtype}, expected numbers")
    if bool(rows.duplicated(["model", "layer", "filter"]).any()):
        raise ValueError("rows: got a filter twice, expected one row for each filter of a layer of a network")
    if strange := sorted({*rows["removal"]} - {*REMOVALS}, key=str):
        raise ValueError(f"rows: got the removal {strange[0]!r}, expected one of {list(REMOVALS)}")
    found = []
    for (model, layer), part in rows.groupby(["model", "layer"], sort=False, dropna=False):
        first = part.iloc[0]
        found.append(
            FilterScores(
                model="" if pd.isna(model) else str(model), layer=str(layer), filters=torch.tensor(part["filter"].to_numpy(dtype="int64")),
                values={name: torch.tensor(part[name].to_numpy(dtype="float64")) for name in SCORES}, notes={},
                removal=first["removal"], n_images=int(first["n"]), accuracy=float(first["accuracy"]), loss=float(first["loss"]),
                degenerate=bool(first["degenerate"]), halves=torch.tensor(part[list(HALVES)].to_numpy(dtype="float64")),
            )
        )  # fmt: skip
    return found


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else math.nan
