"""What a sweep's finished cells say about published numbers: rows of the ledger, also of a sweep that is half done, which say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from filterlens.runs import records
from filterlens.runs.sweeps.cells import Cell
from filterlens.runs.sweeps.spec import Record, Spec, folder
from filterlens.sources import project_home

PROFILE = "paper"  # of numbers at the paper's own scale; those of a spec with a ``scale`` are ``records.SMALL``


def is_ours(spec: Spec) -> bool:
    """Whether a spec is one of the project's, whose numbers belong into its ledger."""
    return spec.path.parent == folder().resolve()


def enter(spec: Spec, plan: Sequence[Cell], found: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Enter the numbers of the cells that are finished into ``data/results``; returns the rows."""
    made = rows(spec, plan, found)
    if made:
        home = project_home()
        records.enter(made, records.file_of(home, spec.name, _profile(spec)))
        for other in {PROFILE, records.SMALL} - {_profile(spec)}:  # of a spec whose scale has changed
            records.file_of(home, spec.name, other).unlink(missing_ok=True)
    return made


def rows(spec: Spec, plan: Sequence[Cell], found: Mapping[int, Any]) -> list[dict[str, Any]]:
    """A row for every published number that has finished rows: their mean and, over more than one, their standard deviation (n - 1)."""
    finished = [(cell, row, found[cell.at]) for cell in plan if cell.at in found for row in found[cell.at]["rows"]]
    done = "" if len(found) == len(plan) else f"{len(found)} of {len(plan)} cells so far"
    return [row for one in spec.records if (row := _row(spec, one, finished, done)) is not None]


def _profile(spec: Spec) -> str:
    return records.SMALL if spec.scale else PROFILE


def _data(settings: Any) -> str | None:
    """What a cell is measured on: its ``data``, or what a kind without it says."""
    return getattr(settings, "measured_on", None) or getattr(settings, "data", None)


def _row(spec: Spec, record: Record, finished: Sequence[tuple[Cell, dict, dict]], done: str) -> dict[str, Any] | None:
    import pandas as pd

    chosen = [part for part in finished if all(part[1].get(name) == value for name, value in record.where.items())]
    values = pd.Series([row[record.value] for _, row, _ in chosen if record.value in row], dtype=float).dropna() * record.times
    if values.empty:
        return None
    seeds = sorted({row[name] for _, row, _ in chosen for name in ("trained", "seed") if name in row} if len(values) > 1 else ())
    images = {row["n_images"] for _, row, _ in chosen if "n_images" in row}
    names = sorted({str(name) for cell, _, _ in chosen if (name := _data(cell.settings))}) or ["none"]
    spread = float(values.std()) if len(values) > 1 else None
    if record.std is not None:
        spread = sum(row[record.std] for _, row, _ in chosen) / len(chosen) * record.times
    n = len(values) if len(values) > 1 else next(iter(images), None)
    told = " and ".join(names) + (f": {next(iter(images)):,} images" if len(images) == 1 else "")
    made = records.record(
        record.id, float(values.mean()), std=spread, n=n, seeds=seeds, data=told,
        note="; ".join(filter(None, [record.note, spec.scale, done])),
    )  # fmt: skip
    result = chosen[0][2]
    return {**made, "profile": _profile(spec), "versions": result["versions"], "hardware": result["hardware"]}
