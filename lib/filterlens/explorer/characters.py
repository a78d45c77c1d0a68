"""The character editor: nine cells of parts become a character, its decoded picture becomes an image, the network answers.

``CharacterPanels`` computes the panels with the library. The page has no Python: ``script/characters.js`` does the same there from
the network's weights and from the sentences below, which both share. The tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from filterlens import checks, metrics, network
from filterlens.explorer import panels
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.lenses.decoding import (
    CHARACTERS,
    PARTS,
    CharacterNetwork,
    decode,
    respond,
)
from filterlens.lenses.decoding.characters import STROKES

CELLS: dict[str, tuple[int, int]] = {
    "top_left": (0, 0), "top": (0, 1), "top_right": (0, 2),
    "left": (1, 0), "centre": (1, 1), "right": (1, 2),
    "bottom_left": (2, 0), "bottom": (2, 1), "bottom_right": (2, 2),
}  # fmt: skip
POOLS = ("max", "average")
YOURS = "yours"
EXACT = 1e-5  # answers of length-one filters to a length-one image: rounding stays far below, the difference of pools far above
TIE = 1e-4  # how close two answers are that count as equally strong
SIDE = 14  # pixels of an image

WORDS = {
    "start": "Start from a character",
    "start_note": "A click lays out its parts. Then change them, cell by cell.",
    "known": "the character {name}, decoded",
    "empty": "An empty layout",
    "empty_text": "Nothing is laid out yet, so there is nothing to decode.\n\n"
    "Put a part into one of the nine cells, or start from one of the eight characters.",
    "steps": "Decoded step by step",
    "steps_note": "Every number is drawn as what it stands for: a cell of the layout as its part, then as strokes. Pooling is undone by "
    "repeating each cell, parts are replaced by their strokes and strokes by their pixels; copies add up where they overlap.",
    "step_labels": ["3 × 3 parts", "6 × 6 parts", "10 × 10 strokes", "14 × 14 pixels"],
    "step_alts": ["the layout, nine cells with a part or none", "each cell repeated as a square of two by two",
                  "strokes where the parts have them", "the strokes' pixels, overlapping: the decoded character"],
    "fed": "Fed back as an image",
    "fed_note": "The decoded picture, scaled to length 1, is what the network sees. Red is positive, blue negative.",
    "fed_alt": "the decoded character",
    "strokes": "Strokes: 4 filters, their maps of 10 × 10",
    "strokes_note": "Black is {low}, white {high}. Your parts are made of the strokes {own}; "
    "the strongest are framed: {strongest}.",
    "stroke": "stroke {n}, {name}",
    "parts": "Parts: 14 filters, their maps of 6 × 6, and after the {pool} pool 3 × 3",
    "parts_note": "Maps: black is {low}, white {high}; after the pool {pooled_low} and {pooled_high}. Your layout holds the parts {own}; "
    "the strongest after the pool are framed: {strongest}.",
    "part": "part {n}, {name}",
    "filter_alt": "{what}: the decoded filter",
    "map_alt": "{what}: its map, largest number {largest}",
    "pooled_alt": "{what}: after the pool, largest number {largest}",
    "answers": "Who answers?",
    "answers_note": "One unit for each character, and one whose filter is your layout. A decoded filter answers with its correlation "
    "with the image, whatever the pool.",
    "answers_known": "Your layout is the character {name}, one of the eight.",
    "network": "network, {pool} pool",
    "decoded": "decoded filters",
    "numbers": "In numbers",
    "strongest": "strongest unit",
    "itself": "the layout recognises itself",
    "other": "not your own layout",
    "lead": "its lead",
    "next": "over {name}, the next",
    "difference": "largest difference",
    "difference_note": "between network and decoded filters, over all units",
    "correlation": "correlation",
    "correlation_note": "of the network's answers with those of the decoded filters",
    "exact": "exact",
    "yes": "with average pools the network is linear, and the decoded filters are all it does",
    "no": "which of four units a maximum takes depends on the image, and a filter cannot know",
}  # fmt: skip


class CharacterPanels:
    """What a layout looks like decoded, what each layer answers to it, and who wins. ``computed``: what the page needs for the same."""

    def __init__(self) -> None:
        self.known = {name: tuple(parts.get(place, 0) for place in CELLS.values()) for name, parts in CHARACTERS.items()}
        # Weights for average pools, also under a max pool: then decoded filters have length 1, and only the answers change.
        model = CharacterNetwork(pool="average")
        self.strokes = model.strokes.weight.detach()[:, 0]
        self.parts = decode(model, "parts", input_size=SIDE).images[:, 0]
        self.pictures = decode(model, "characters", input_size=SIDE, scale="sum").images[:, 0]
        weights = {name: panels.encode(getattr(model, name).weight) for name in ("strokes", "parts", "characters")}
        names = {"cells": list(CELLS), "stroke_names": list(STROKES), "part_names": [name for name, _ in PARTS]}
        known = {"names": list(self.known), "layouts": [list(layout) for layout in self.known.values()]}
        limits = {"yours": YOURS, "exact": EXACT, "tie": TIE}
        self.computed = ("characters", {**weights, **names, **known, **limits, "words": WORDS})

    def __call__(self, *, pool: str, **cells: int) -> list[panels.Panel]:
        """``pool``: "max" or "average"; the nine cells of ``CELLS``: 0 for empty, or a part, 1-14.

        Raises TypeError or ValueError naming the argument.
        """
        checks.choice("pool", pool, POOLS)
        for name in cells:
            checks.choice("cells", name, CELLS)
        layout = tuple(checks.integer(name, cells.get(name, 0), 0, len(PARTS)) for name in CELLS)
        start = self._start(layout)
        if not any(layout):
            return [start, panels.Text(title=WORDS["empty"], text=WORDS["empty_text"])]
        with torch.no_grad():
            return [start, *self._answers(layout, pool)]

    def _start(self, layout: tuple[int, ...]) -> panels.Pictures:
        pictures = [
            panels.signed(picture, alt=WORDS["known"].format(name=name), label=name, pick=dict(zip(CELLS, cells, strict=True)),
                          frame="accent" if cells == layout else None)
            for (name, cells), picture in zip(self.known.items(), self.pictures, strict=True)
        ]  # fmt: skip
        return panels.Pictures(title=WORDS["start"], note=WORDS["start_note"], pictures=pictures, size=56)

    def _answers(self, layout: tuple[int, ...], pool: str) -> list[panels.Panel]:
        own = next((name for name, cells in self.known.items() if cells == layout), YOURS)
        filled = {place: part for place, part in zip(CELLS.values(), layout, strict=True) if part}
        model = CharacterNetwork(CHARACTERS if own != YOURS else {**CHARACTERS, YOURS: filled}, pool="average")
        if pool == "max":
            model.pool = nn.MaxPool2d(2)
        place = model.names.index(own)
        decoded = decode(model, "characters", scale="sum", input_size=SIDE, keep_steps=True)
        layers = ["strokes", "parts", "pool", "characters"]
        with network.capture(model, layers) as found:
            model(decoded.images[place : place + 1])
        maps = {name: found[name][0] for name in layers}
        answers, predicted = maps["characters"].flatten(), respond(decoded, decoded.images[place : place + 1]).flatten()
        fields = [step.images[place] for step in decoded.steps if step.images is not None]
        return [
            self._steps(fields),
            panels.Picture(title=WORDS["fed"], note=WORDS["fed_note"], picture=panels.signed(fields[-1], alt=WORDS["fed_alt"])),
            self._stroke_maps(maps["strokes"], layout),
            self._part_maps(maps["parts"], maps["pool"], layout, pool),
            self._bars(model.names, answers, predicted, own, pool),
            _numbers(model.names, answers, predicted, own),
        ]

    def _steps(self, fields: list[Tensor]) -> panels.Pictures:
        drawn = [_drawn(fields[0], self.parts), _drawn(fields[1], self.parts), _drawn(fields[2], self.strokes), fields[3]]
        pictures = [
            panels.signed(field, alt=alt, label=label)
            for field, alt, label in zip(drawn, WORDS["step_alts"], WORDS["step_labels"], strict=True)
        ]
        return panels.Pictures(title=WORDS["steps"], note=WORDS["steps_note"], pictures=pictures, arrows=True, size=118)

    def _stroke_maps(self, maps: Tensor, layout: tuple[int, ...]) -> panels.Pictures:
        own = {stroke for part in layout if part for stroke, _, _ in PARTS[part - 1][1]}
        strongest = _strongest(maps, len(own))
        low, high = float(maps.min()), float(maps.max())
        names = [WORDS["stroke"].format(n=n, name=name) for n, name in enumerate(STROKES, 1)]
        labels = [f"{n}: {name}" for n, name in enumerate(STROKES, 1)]
        pictures = [*_filters(self.strokes, names, labels, strongest), *_maps(maps, names, "map_alt", low, high)]
        values = {"low": _short(low), "high": _short(high), "own": _listed(own), "strongest": _listed(strongest)}
        return panels.Pictures(title=WORDS["strokes"], note=WORDS["strokes_note"].format(**values), pictures=pictures, columns=4, size=64)

    def _part_maps(self, maps: Tensor, pooled: Tensor, layout: tuple[int, ...], pool: str) -> panels.Pictures:
        own = {part for part in layout if part}
        strongest = _strongest(pooled, len(own))
        (low, high), (least, most) = ((float(x.min()), float(x.max())) for x in (maps, pooled))
        names = [WORDS["part"].format(n=n, name=name) for n, (name, _) in enumerate(PARTS, 1)]
        rows = [
            _filters(self.parts, names, [str(n) for n in range(1, len(PARTS) + 1)], strongest),
            _maps(maps, names, "map_alt", low, high),
            _maps(pooled, names, "pooled_alt", least, most),
        ]
        pictures = [picture for half in (slice(0, 7), slice(7, 14)) for row in rows for picture in row[half]]
        values = {"low": _short(low), "high": _short(high), "pooled_low": _short(least), "pooled_high": _short(most)}
        note = WORDS["parts_note"].format(**values, own=_listed(own), strongest=_listed(strongest))
        return panels.Pictures(title=WORDS["parts"].format(pool=pool), note=note, pictures=pictures, columns=7, size=48)

    def _bars(self, names: tuple[str, ...], answers: Tensor, predicted: Tensor, own: str, pool: str) -> panels.Bars:
        note = WORDS["answers_note"] if own == YOURS else WORDS["answers_known"].format(name=own)
        picks = [dict(zip(CELLS, self.known[name], strict=True)) if name in self.known else None for name in names]
        series = {WORDS["network"].format(pool=pool): answers, WORDS["decoded"]: predicted}
        return panels.Bars(title=WORDS["answers"], note=note, labels=names, series=series, highlight=_first(answers), picks=picks)


def character_explorer(
    *, bake: Mapping[str, Iterable[Option]] | bool | None = None, name: str | None = None, title: str = "A character from parts"
) -> Explorer:
    """Lay out a 3 x 3 character from parts, decode it, feed it back, watch every map; max or average pool.

    Axes: the nine cells of ``CELLS`` (0 is empty, 1-14 a part of ``PARTS``) and ``pool``. It starts with the character C. Under the
    average pool the network's answers are those of the decoded filters, to rounding. The page computes all of it itself: nothing is baked.
    """
    labels = {0: "empty", **{n: f"{n} {part}" for n, (part, _) in enumerate(PARTS, 1)}}
    axes = {cell: Axis(list(labels), label=cell.replace("_", " "), labels=labels, cell=place) for cell, place in CELLS.items()}
    start = {cell: CHARACTERS["C"].get(place, 0) for cell, place in CELLS.items()}
    return Explorer({**axes, "pool": Axis(POOLS)}, CharacterPanels(), start=start, bake=bake, title=title, name=name)


def _numbers(names: tuple[str, ...], answers: Tensor, predicted: Tensor, own: str) -> panels.Numbers:
    winner = _first(answers)
    others = answers.clone()
    others[winner] = -torch.inf
    following = _first(others)
    difference = float((answers - predicted).abs().max())
    correlation = float(metrics.pearson_per_image(answers[None], predicted[None]).nan_to_num(0.0))
    verdict = "yes" if difference < EXACT else "no"
    rows = [
        (WORDS["strongest"], names[winner], WORDS["itself" if names[winner] == own else "other"]),
        (WORDS["lead"], f"{float(answers[winner] - answers[following]):.3f}", WORDS["next"].format(name=names[following])),
        (WORDS["difference"], f"{difference:.1e}", WORDS["difference_note"]),
        (WORDS["correlation"], f"{correlation:.4f}", WORDS["correlation_note"]),
        (WORDS["exact"], verdict, WORDS[verdict]),
    ]
    return panels.Numbers(title=WORDS["numbers"], rows=rows)


def _drawn(field: Tensor, filters: Tensor) -> Tensor:
    """A field (c, h, w) with each position drawn as its filters (c, u, v), scaled and added, and a line between positions."""
    height, width = field.shape[1:]
    tiles = torch.einsum("chw,cuv->hwuv", field, filters)
    tiles = nn.functional.pad(tiles, (0, 1, 0, 1))
    return tiles.permute(0, 2, 1, 3).reshape(height * tiles.shape[2], width * tiles.shape[3])[:-1, :-1]


def _filters(filters: Tensor, names: list[str], labels: list[str], framed: list[int]) -> list[panels.Image]:
    return [
        panels.signed(picture, alt=WORDS["filter_alt"].format(what=names[i]), label=labels[i], frame="accent" if i + 1 in framed else None)
        for i, picture in enumerate(filters)
    ]


def _maps(maps: Tensor, names: list[str], alt: str, low: float, high: float) -> list[panels.Image]:
    alts = [WORDS[alt].format(what=name, largest=_short(float(one.max()))) for name, one in zip(names, maps, strict=True)]
    return [panels.gray(one, alt=said, low=low, high=high) for one, said in zip(maps, alts, strict=True)]


def _strongest(maps: Tensor, n: int) -> list[int]:
    """Numbers, from 1, of the maps whose largest entry is among the n largest; those equal to the last of them too."""
    peaks = maps.amax((1, 2))
    return [i for i, peak in enumerate(peaks.tolist(), 1) if peak >= float(peaks.topk(n).values[-1]) - TIE]


def _first(answers: Tensor) -> int:
    """The strongest; of equals the first, whatever rounding says."""
    return int((answers >= answers.max() - EXACT).nonzero()[0])


def _short(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
