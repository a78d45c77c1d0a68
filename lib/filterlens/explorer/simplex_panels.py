"""The panels of the simplex explorer, from what ``simplex_layers`` knows and the sentences of ``simplex_words``.

The page has no Python: ``script/simplex.js`` makes the same panels there, and the tests hold the two against each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from filterlens.explorer import panels
from filterlens.explorer.influence_numbers import fill, said_percent, said_ratio
from filterlens.explorer.scatter import Scatter
from filterlens.explorer.simplex_layers import CONCENTRATIONS, DRAWN, ENDS, PARTS, Found, Layer
from filterlens.explorer.simplex_numbers import STEPS, WHOLE, mosaic, steps_of
from filterlens.explorer.simplex_removal import Curves
from filterlens.explorer.simplex_words import COLOURS, WORDS

SHOWN = 16  # archetypes of a code
LARGE = 104  # pixels of a picture on the screen


class SimplexPanels:
    """Panels for analysed layers; see ``simplex_explorer``. ``shipped``: what the page needs for the same."""

    def __init__(self, layers: Mapping[str, Layer], fractions: Sequence[float], network: str, curves: Curves) -> None:
        self.layers, self.fractions, self.network, self.curves = layers, list(fractions), network, curves

    def _at(self, layer: str, fraction: float) -> tuple[Layer, Found]:
        return self.layers[layer], self.layers[layer].found[self.fractions.index(fraction)]

    def cloud(self, layer: str, fraction: float, colour: str, filter: int) -> panels.Panel:
        at, found = self._at(layer, fraction)
        first, second = at.variance
        text = fill(WORDS["degenerate"], l=at.l) if found.degenerate else ""
        note = fill(
            WORDS["cloud_note"], network=self.network, shown=said_percent(first + second, PARTS), first=said_percent(first, PARTS),
            second=said_percent(second, PARTS), l=at.l, residual=said_percent(found.residual, PARTS), degenerate=text,
        )  # fmt: skip
        values = {"l0": found.l0, "entropy": found.entropy / PARTS, "norm": at.norm / PARTS}[colour]
        marks = [(float(x), float(y), fill(WORDS["archetype"], j=str(j))) for j, (x, y) in enumerate(found.places)]
        rows, parts = found.codes.column(filter)
        return Scatter(
            title=fill(WORDS["cloud"], n=at.n, layer=layer, d=found.d), note=note.strip(), x=at.points[:, 0], y=at.points[:, 1],
            names=[fill(WORDS["filter"], i=str(i)) for i in range(at.n)], values=values, value_label=COLOURS[colour]["value"],
            x_label=fill(WORDS["component"], i=1), y_label=fill(WORDS["component"], i=2), highlight=filter,
            picks=[{"filter": i} for i in range(at.n)], marks=marks, mark_label=WORDS["archetypes"],
            outline=[marks[j][:2] for j in found.hull], outline_label=WORDS["hull"],
            links=[(int(j), int(part) / WHOLE) for j, part in zip(rows, parts, strict=True)], link_label=WORDS["links"],
        )  # fmt: skip

    def one(self, layer: str, fraction: float, filter: int) -> list[panels.Panel]:
        at, found = self._at(layer, fraction)
        itself, rebuilt = at.filters.whole[filter], found.codes.mixture(filter, found.whole)
        j = int(found.nearest[filter])
        nearest = found.whole[j]
        peak = int(max(np.abs(itself).max(), np.abs(rebuilt).max(), np.abs(nearest).max()))
        said = [fill(WORDS["itself"], i=str(filter)), WORDS["rebuilt"], fill(WORDS["nearest"], j=str(j))]
        kind = _kind(at.shape)
        c, h, w = at.shape
        note = fill(WORDS["pictures_note"], what=fill(WORDS[f"pictures_{kind}"], c=c, h=h, w=w))
        labels = [said[0], WORDS["mixture"], fill(WORDS["archetype"], j=str(j))]
        three = zip((itself, rebuilt, nearest), said, labels, strict=True)
        shown = [_picture(at, values, peak, text, label=label) for values, text, label in three]
        rows, parts = found.codes.column(filter)
        top = int(parts.argmax())
        numbers = [
            (WORDS["l0"], fill(WORDS["l0_text"], l0=int(found.l0[filter]), d=found.d), fill(WORDS["l0_note"], tau=f"{found.tau:g}")),
            (WORDS["largest"], said_percent(int(parts[top]), WHOLE), fill(WORDS["largest_note"], j=str(rows[top]))),
            (WORDS["entropy"], said_ratio(int(found.entropy[filter]), PARTS),
             fill(WORDS["entropy_note"], most=f"{np.log(found.d):.4f}", d=found.d)),
            (WORDS["error"], _percent(int(found.error[filter])), WORDS["error_note"]),
            (WORDS["distance"], fill(WORDS["distance_text"], j=str(j), far=said_ratio(int(found.far[filter]), PARTS)), WORDS["distance_note"]),
            (WORDS["norm"], said_ratio(int(at.norm[filter]), PARTS), WORDS["norm_note"]),
            (WORDS["place"], fill(WORDS["place_text"], place=int(found.position[filter]) + 1, n=at.n), WORDS["place_note"]),
        ]  # fmt: skip
        order = np.argsort(-parts, kind="stable")[:SHOWN]
        l0 = len(rows)
        return [
            panels.Pictures(title=fill(WORDS["pictures"], i=str(filter)), note=note, pictures=shown, columns=len(shown), size=LARGE),
            panels.Numbers(title=fill(WORDS["numbers"], i=str(filter)), rows=numbers),
            panels.Bars(
                title=fill(WORDS["code"], i=str(filter)), note=fill(WORDS[_code_words(l0)], shown=SHOWN, l0=l0),
                labels=[fill(WORDS["archetype"], j=str(rows[i])) for i in order],
                series={WORDS["code_series"]: [100 * int(parts[i]) / WHOLE for i in order]},
                picks=[{"filter": _most_of(found, int(rows[i]))} for i in order],
            ),
        ]  # fmt: skip

    def ranking(self, layer: str, fraction: float, filter: int) -> list[panels.Panel]:
        at, found = self._at(layer, fraction)
        groups, counts = np.unique(found.l0, return_counts=True)
        groups, counts = groups[::-1], counts[::-1]
        before = np.concatenate([[0], np.cumsum(counts)])
        own = int(np.flatnonzero(groups == found.l0[filter])[0])
        others = int(counts[own]) - 1
        note = fill(
            WORDS["ranking_note" if others else "ranking_alone"], groups=len(groups), n=at.n, i=str(filter), l0=int(groups[own]),
            others=others, first=int(before[own]) + 1, last=int(before[own + 1]),
        )  # fmt: skip
        picks = [{"filter": int(found.order[i])} for i in before[:-1]]
        series = {WORDS["ranking_series"]: counts.tolist()}
        ends = {"redundant": found.order[:ENDS], "needed": found.needed}
        peak = int(np.abs(at.filters.whole[np.concatenate(list(ends.values()))]).max())
        shown = [
            panels.Pictures(
                title=WORDS[name], note=WORDS[f"{name}_note"], size=56,
                pictures=[_picture(at, at.filters.whole[i], peak, fill(WORDS["filter"], i=str(i)), {"filter": int(i)}) for i in some],
            )
            for name, some in ends.items()
        ]  # fmt: skip
        bars = panels.Bars(title=WORDS["ranking"], note=note, labels=[str(l0) for l0 in groups], series=series, highlight=own, picks=picks)
        return [bars, *shown]

    def removal(self, layer: str, tested: str, rate: float) -> list[panels.Panel]:
        return self.curves.panels(layer, tested, rate)

    def fabrication(self, layer: str, fraction: float, concentration: float | str) -> list[panels.Panel]:
        at, found = self._at(layer, fraction)
        made = found.fabrications[CONCENTRATIONS.index(concentration)]
        values = [at.filters.whole[i] for i in at.originals] + list(made.shares.mixed(found.whole))
        peak = int(max(np.abs(one).max() for one in values))
        shown = [_picture(at, at.filters.whole[i], peak, fill(WORDS["filter"], i=str(i))) for i in at.originals]
        for i, one in enumerate(values[len(shown) :], start=1):
            shown.append(_picture(at, one, peak, fill(WORDS["fabricated"], i=str(i)), label=fill(WORDS["new"], i=str(i))))
        c, h, w = at.shape
        note = fill(
            WORDS["fabrication_note"], shown=len(at.originals), n=at.n, alpha=made.alpha, d=found.d,
            what=fill(WORDS[f"pictures_{_kind(at.shape)}"], c=c, h=h, w=w),
        )  # fmt: skip
        whole, stored = 4 * at.n * at.l, 4 * found.d * at.l
        rows = [
            (WORDS["measured"], made.measured, fill(WORDS["measured_note"], n=DRAWN)),
            (WORDS["expected"], made.expected, fill(WORDS["expected_note"], d=found.d, alpha=made.alpha)),
            (WORDS["whole_layer"], fill(WORDS["bytes"], bytes=whole), fill(WORDS["whole_layer_note"], n=at.n, l=at.l)),
            (WORDS["stored"], fill(WORDS["bytes"], bytes=stored), fill(WORDS["stored_note"], saved=said_percent(whole - stored, whole))),
        ]
        return [
            panels.Pictures(title=fill(WORDS["fabrication"], layer=layer), note=note, pictures=shown, columns=len(at.originals), size=72),
            panels.Numbers(title=WORDS["variance"], note=WORDS["variance_note"], rows=rows),
        ]

    @functools.cached_property
    def shipped(self) -> dict[str, Any]:
        """All that the page draws from, as protocol arrays and lists: one dict, and so one file, for all renderers."""
        return {
            "layers": {name: layer.shipped() for name, layer in self.layers.items()}, "fractions": self.fractions, "network": self.network,
            "concentrations": list(CONCENTRATIONS), "tested": self.curves.tested,
            "uncurved": {name: self.curves.uncurved(name) for name in self.layers}, "words": WORDS, "colours": COLOURS,
            "parts": PARTS, "shown": SHOWN, "ends": ENDS, "drawn": DRAWN,
        }  # fmt: skip

    def renderers(self) -> list[Callable]:
        """The panels' functions; without curves none of removal."""
        made = []
        for method in (self.cloud, self.one, self.ranking, *([self.removal] if self.curves.tested else []), self.fabrication):
            call = functools.wraps(method)(functools.partial(method))
            call.computed, call.fetched = (f"simplex_{method.__name__}", lambda: self.shipped), True
            made.append(call)
        return made


def _kind(shape: tuple[int, int, int]) -> str:
    return {1: "grey", 3: "colour"}.get(shape[0], "mosaic")


def _picture(
    layer: Layer, values: np.ndarray, peak: int, text: str, pick: dict[str, int] | None = None, label: str | None = None
) -> panels.Image:
    """A filter's whole numbers (l,) as a picture whose scale ends at ``peak``."""
    c, h, w = layer.shape
    steps, limit, kind = mosaic(steps_of(values, peak), layer.shape), peak * layer.filters.step, _kind(layer.shape)
    alt = fill(WORDS["alt"], what=text, kind=fill(WORDS[f"alt_{kind}"], c=c, h=h, w=w))
    label = text if label is None else label
    if kind == "colour":  # colour has no room for a sign: zero is 128
        return panels.Image((steps.astype(np.int16) + 128).astype(np.uint8), -limit * 128 / STEPS, limit, alt, label, pick)
    return panels.Image(steps, -limit, limit, alt, label, pick)


def _most_of(found: Found, j: int) -> int:
    """The filter that archetype j has most of."""
    rows, parts = found.made.column(j)
    return int(rows[parts.argmax()])


def _code_words(l0: int) -> str:
    return "code_one" if l0 == 1 else "code_all" if l0 <= SHOWN else "code_some"


def _percent(parts: int) -> str:
    return said_percent(parts, PARTS) if parts >= 0 else "–"
