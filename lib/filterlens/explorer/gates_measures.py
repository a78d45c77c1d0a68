"""The panels of the gates explorer that measure a trained network: similarity, cosines of filters, clusters, mutual information.

Two networks stand side by side. Everything is measured by ``lenses.gates``, once for each network and when first asked for; small
tables, so the page holds them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from filterlens.explorer import panels
from filterlens.explorer.gates_numbers import Record
from filterlens.explorer.gates_words import MEASURED, MEASURES, NOBODY
from filterlens.explorer.influence_numbers import fill
from filterlens.lenses.gates import clusters, similarity

Rows = list[tuple[str, str, str]]
Shown = tuple[list[panels.Panel], Rows]
DIGITS = 3  # of the numbers in a table: enough to read, and they take less room


class GateMeasures:
    """The render function ``measured``. rows: how many test images the mutual information is estimated on."""

    def __init__(self, records: Mapping[str, Record], rows: int) -> None:
        self.records, self.rows = dict(records), rows
        self._kept: dict[tuple[str, str], Shown] = {}

    def measured(self, network: str, beside: str, measure: str) -> list[panels.Panel]:
        """Panels of one network and another, then numbers of both."""
        found = [self._of(name, measure) for name in (network, beside) if name != NOBODY]
        rows = [row for _, some in found for row in some]
        numbers = [panels.Numbers(title=MEASURED["numbers"], rows=rows)] if rows else []
        return [panel for some, _ in found for panel in some] + numbers

    def _of(self, network: str, measure: str) -> Shown:
        key = (network, measure)
        if key not in self._kept:
            ways = dict(zip(MEASURES, (_similarity, _cosines, _clusters, self._information), strict=True))
            self._kept[key] = ways[measure](self.records[network])
        return self._kept[key]

    def _information(self, record: Record) -> Shown:
        n = len(record.labels)
        some = torch.linspace(0, n - 1, min(n, self.rows)).round().long()
        found = clusters.mutual_information(record.features[some], record.labels[some], len(record.classes))
        shares = record.labels[some].bincount(minlength=len(record.classes)).double() / len(some)
        entropy = -(torch.special.xlogy(shares, shares) + torch.special.xlogy(1 - shares, 1 - shares))
        note = fill(MEASURED["information_note"], n=len(some))
        name, most = fill(MEASURED["score"], network=record.name), f"{float(entropy.max()):.3f}"
        rows = [(name, f"{found.score:.3f}", fill(MEASURED["score_note"], most=most))]
        return [_by_filter("information", record, found.table, note)], rows


def _similarity(record: Record) -> Shown:
    if not record.learned:
        return [panels.Text(title=fill(MEASURED["s_tp"], network=record.name), text=fill(MEASURED["s_open"], network=record.name))], []
    found = similarity.gate_similarity(record.features, record.labels, record.predicted, record.gates[-1])
    shown = [_by_class("s_tp", record, found.correct), _by_class("s_fn", record, found.wrong)]
    own, other = zip(*(_on_and_off(table) for table in (found.correct, found.wrong)), strict=True)
    text = fill(MEASURED["diagonal_text"], right=own[0], wrong=own[1])
    note = fill(MEASURED["diagonal_note"], other_right=other[0], other_wrong=other[1])
    return shown, [(fill(MEASURED["diagonal"], network=record.name), text, note)]


def _on_and_off(table: Tensor) -> tuple[str, str]:
    """The mean on the diagonal and off it, NaN rows left out, in words."""
    off = ~torch.eye(len(table), dtype=torch.bool)
    return number(float(table.diagonal().nanmean())), number(float(table[off].nanmean()))


def _cosines(record: Record) -> Shown:
    found = similarity.filter_cosines(record.convolution, record.owner)
    names = [f"{record.classes[c]} {k}" for c, k in zip(found.owners.tolist(), found.order.tolist(), strict=True)]
    title = fill(MEASURED["cosines"], network=record.name)
    note = fill(MEASURED["within_note"], between=number(found.between), zero=found.n_zero)
    shown = panels.Matrix(title=title, note=MEASURED["cosines_note"], values=_short(found.matrix), rows=names, columns=names)
    return [shown], [(fill(MEASURED["within"], network=record.name), number(found.within), note)]


def _clusters(record: Record) -> Shown:
    gates = record.gates[-1] if record.learned else None
    found = clusters.find_clusters(record.features, record.labels, len(record.classes), gates=gates)
    shown = [_by_filter("centres", record, found.centres, MEASURED["centres_note"])]
    rows = [
        (fill(MEASURED["purity"], network=record.name), number(found.purity), MEASURED["purity_note"]),
        (fill(MEASURED["nmi"], network=record.name), number(found.nmi), MEASURED["nmi_note"]),
    ]
    if gates is not None:
        shown.append(_by_filter("beside_gates", record, gates, MEASURED["beside_note"]))
        rows.append((fill(MEASURED["cosine"], network=record.name), number(float(found.cosine.mean())), MEASURED["cosine_note"]))
    return shown, rows


def _by_class(kind: str, record: Record, table: Tensor) -> panels.Panel:
    """A table (C, C) without its rows of NaN, which are named instead."""
    there = ~table.isnan().any(1)
    title = fill(MEASURED[kind], network=record.name)
    missing = [name for name, one in zip(record.classes, there.tolist(), strict=True) if not one]
    if len(missing) == len(record.classes):
        return panels.Text(title=title, text=fill(MEASURED["s_none"], network=record.name))
    note = f"{MEASURED['s_note']} {fill(MEASURED['s_missing'], classes=', '.join(missing))}" if missing else MEASURED["s_note"]
    return _matrix(title, note, table[there], [name for name in record.classes if name not in missing], record.classes)


def _by_filter(kind: str, record: Record, table: Tensor, note: str) -> panels.Panel:
    """A table (C, K) with its filters sorted by class."""
    columns = [str(k) for k in record.order.tolist()]
    return _matrix(fill(MEASURED[kind], network=record.name), note, table[:, record.order], record.classes, columns)


def _matrix(title: str, note: str, table: Tensor, rows: Sequence[str], columns: Sequence[str]) -> panels.Panel:
    return panels.Matrix(title=title, note=note, values=_short(table), rows=rows, columns=columns, signed=bool((table < 0).any()))


def _short(table: Tensor) -> Tensor:
    return table.double().round(decimals=DIGITS)


def number(value: float) -> str:
    """With three digits behind the point and a real minus sign; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.3f}".replace("-", "−")
