"""The panels of the gates explorer that follow its epochs: the matrix, its density, what belongs to whom.

The page has no Python: ``script/gates.js`` makes the same panels there, and the tests hold the two against each other. What does not
depend on the epoch is in ``gates_measures``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from filterlens.explorer import panels
from filterlens.explorer.gates_numbers import PARTS, Record
from filterlens.explorer.gates_words import WORDS
from filterlens.explorer.influence_numbers import fill, said_percent, said_ratio


class GatesPanels:
    """Panels of several networks by name. ``shipped``: what the page needs for the same."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records = dict(records)

    def matrix(self, network: str, epoch: int, view: str) -> panels.Panel:
        record = self.records[network]
        said = {"network": network, "when": _when(record, epoch)}
        note = f"{WORDS['order_gates' if record.learned else 'order_means']} {WORDS[f'note_{view}']}"
        gates = record.steps[epoch].astype(np.float64) / 255
        values = {"G": gates, "W": record.weight, "WG": record.weight * gates}[view][:, record.order.numpy()]
        return panels.Matrix(
            title=fill(WORDS[f"matrix_{view}"], **said), note=note, values=torch.from_numpy(values.astype(np.float32)),
            rows=record.classes, columns=[str(k) for k in record.order.tolist()], signed=view != "G",
        )  # fmt: skip

    def density(self, network: str, epoch: int) -> list[panels.Panel]:
        record = self.records[network]
        known, (low, high) = record.shipped, record.shipped["bounds"]
        series: dict[str, list[float]] = {WORDS["series"]: [one / PARTS for one in known["density"]]}
        if record.learned:
            n, raised = len(record.gates), [0, *known["gated"]]
            series |= {} if record.by_hand else {WORDS["low"]: [low / PARTS] * n, WORDS["high"]: [high / PARTS] * n}
            series[WORDS["comb"]] = [one * low / (2 * PARTS) for one in raised]
        curve = panels.Curve(
            title=WORDS["density"], note=_density_note(record), x=list(range(len(record.gates))), series=series,
            x_label=WORDS["density_x"], y_label=WORDS["density_y"], highlight=epoch,
        )  # fmt: skip
        return [curve, self._numbers(record, epoch), _owned(record, epoch)]

    def _numbers(self, record: Record, epoch: int) -> panels.Numbers:
        known = record.shipped
        n, right, here = known["n"], known["right"], known["density"][epoch]
        low, high = known["bounds"]
        place = (
            "no_interval"
            if not record.learned
            else "hand"
            if record.by_hand
            else "below"
            if here < low
            else "above"
            if here > high
            else "inside"
        )
        kind = "start" if epoch == 0 else "gated" if known["gated"][epoch - 1] else "plain"
        rows = [
            (WORDS["is_density"], said_ratio(here, PARTS), WORDS[place]),
            (WORDS["this_epoch"], "–" if kind == "start" else WORDS[kind], WORDS[f"{kind}_note"]),
            (WORDS["alone"], str(sum(known["alone"][epoch])), fill(WORDS["alone_note"], shared=known["shared"][epoch])),
            (WORDS["accuracy"], said_percent(right, n), fill(WORDS["accuracy_note"], right=right, n=n)),
        ]
        return panels.Numbers(title=fill(WORDS["numbers"], network=record.name, when=_when(record, epoch)), rows=rows)

    @functools.cached_property
    def shipped(self) -> dict[str, Any]:
        """All that the page draws from: one dict, and so one file, for all renderers."""
        return {"networks": {name: record.shipped for name, record in self.records.items()}, "words": WORDS, "parts": PARTS}

    def renderers(self) -> list[Callable]:
        made = []
        for method in (self.matrix, self.density):
            call = functools.wraps(method)(functools.partial(method))
            call.computed, call.fetched = (f"gates_{method.__name__}", lambda: self.shipped), True
            made.append(call)
        return made


def _when(record: Record, epoch: int) -> str:
    return fill(WORDS["after"], epoch=str(epoch), last=str(record.last)) if epoch else WORDS["before"]


def _density_note(record: Record) -> str:
    if not record.learned:
        return fill(WORDS["density_open"], network=record.name)
    low, high = (said_ratio(bound, PARTS) for bound in record.shipped["bounds"])
    words = WORDS["density_hand" if record.by_hand else "density_note"]
    return fill(words, low=low, high=high, gated=spans([i for i, one in enumerate(record.gated, start=1) if one]))


def spans(numbers: list[int]) -> str:
    """Numbers, ascending, in words: ``3, 6–8``; more than twelve pieces are cut short."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = [str(first) if first == last else f"{first}–{last}" for first, last in runs]
    return ", ".join(said if len(said) <= 12 else [*said[:6], "…", *said[-2:]])


def _owned(record: Record, epoch: int) -> panels.Bars:
    known = record.shipped
    series = {WORDS["owner"]: known["owned"][epoch], WORDS["own_alone"]: known["alone"][epoch]}
    return panels.Bars(
        title=WORDS["owned"], note=WORDS["owned_note" if record.learned else "owned_open"], labels=record.classes, series=series
    )
