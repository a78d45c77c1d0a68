"""What an explorer shows: panels, made of numbers and never of rendered pictures.

A render function returns panels; ``encode`` turns them into what the script draws, in Jupyter and on the page alike. Their pictures
are made by ``signed``, ``gray`` and ``photo`` (``images``), which stand here too, so that one import serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from torch import Tensor

from filterlens import checks
from filterlens.explorer.images import (
    Image,
    Pick,
    encode,
    gray,
    photo,
    plain,
    png,
    signed,
    words,
)

__all__ = [
    "Bars", "Curve", "Error", "Image", "Matrix", "Numbers", "Panel", "Picture", "Pictures", "Text", "Tree",
    "encode", "gray", "photo", "picture_of", "png", "shown", "signed",
]  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """What all kinds have: a title above and a note below, both plain text."""

    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        words("title", self.title)
        words("note", self.note)
        self.check()

    def check(self) -> None:
        """Raise TypeError or ValueError, naming the field, for contents that cannot be drawn."""

    def inner(self) -> Iterator[Panel]:
        """The panels that are drawn: itself, unless it holds others."""
        yield self

    def conditions(self) -> list[Pick]:
        """The picks beside which what it holds is drawn."""
        return []

    def encode(self) -> dict[str, Any]:
        """The protocol's form of the panel."""
        return {"kind": type(self).__name__.lower(), **{field.name: _encoded(getattr(self, field.name)) for field in fields(self)}}


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture(Panel):
    """One picture, large; ``parts`` draws its positive and its negative part beside it.

    ``threshold`` names an axis of numbers q: pixels below q times the largest magnitude are drawn as zero, in the page.
    """

    picture: Image
    threshold: str | None = None
    parts: bool = False

    def check(self) -> None:
        _is("picture", self.picture, Image)
        if self.threshold is not None:
            words("threshold", self.threshold)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pictures(Panel):
    """A row of pictures that wraps, or ``columns`` of them; ``arrows`` between them make it a sequence of steps.

    ``size``: pixels of a picture's longer side on the screen.
    """

    pictures: Sequence[Image]
    columns: int | None = None
    arrows: bool = False
    size: int = 96

    def check(self) -> None:
        check_several("pictures", self.pictures, Image)
        if self.columns is not None:
            checks.integer("columns", self.columns, 1)
        checks.integer("size", self.size, 8, 512)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bars(Panel):
    """One bar per label and series; clicking bar i sets the axes of ``picks[i]``. ``cut``: a line after so many bars, the others paler."""

    labels: Sequence[str]
    series: Mapping[str, Sequence[float] | Tensor]
    highlight: int | None = None
    picks: Sequence[Pick | None] | None = None
    cut: int | None = None

    def check(self) -> None:
        check_several("labels", self.labels, str)
        _series(self.series, len(self.labels))
        if self.cut is not None:
            checks.integer("cut", self.cut, 0, len(self.labels))
        if self.highlight is not None:
            checks.integer("highlight", self.highlight, 0, len(self.labels) - 1)
        if self.picks is not None:
            check_picks("picks", self.picks, len(self.labels))

    def encode(self) -> dict[str, Any]:
        return {**super().encode(), "series": _lines(self.series)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Panel):
    """Lines over common places ``x``; ``highlight`` marks one place."""

    x: Sequence[float]
    series: Mapping[str, Sequence[float] | Tensor]
    x_label: str = ""
    y_label: str = ""
    highlight: int | None = None

    def check(self) -> None:
        if isinstance(self.x, str) or not hasattr(self.x, "__len__"):
            raise TypeError(f"x: got {checks.describe(self.x)}, expected a list of numbers")
        places = [checks.real(f"x[{i}]", value) for i, value in enumerate(_plain(self.x))]
        if not places:
            raise ValueError("x: got none, expected at least one place")
        _series(self.series, len(places))
        words("x_label", self.x_label)
        words("y_label", self.y_label)
        if self.highlight is not None:
            checks.integer("highlight", self.highlight, 0, len(places) - 1)

    def encode(self) -> dict[str, Any]:
        return {**super().encode(), "x": [float(value) for value in _plain(self.x)], "series": _lines(self.series)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Matrix(Panel):
    """Numbers (r, c) as colours, with names for rows and columns; ``signed`` puts white at zero."""

    values: Tensor
    rows: Sequence[str]
    columns: Sequence[str]
    signed: bool = True
    picks: Sequence[Sequence[Pick | None]] | None = None

    def check(self) -> None:
        check_several("rows", self.rows, str)
        check_several("columns", self.columns, str)
        checks.tensor("values", self.values, "r c", sizes={"r": len(self.rows), "c": len(self.columns)})
        if self.picks is not None:
            if not isinstance(self.picks, list | tuple) or len(self.picks) != len(self.rows):
                raise ValueError(f"picks: got {checks.describe(self.picks)}, expected a row for each of the {len(self.rows)} rows")
            for i, row in enumerate(self.picks):
                check_picks(f"picks[{i}]", row, len(self.columns))


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers(Panel):
    """Rows of (name, number as text) or (name, number as text, what it means)."""

    rows: Sequence[Sequence[str]]

    def check(self) -> None:
        check_several("rows", self.rows, tuple | list)
        for row in self.rows:
            if len(row) not in (2, 3) or not all(isinstance(cell, str) for cell in row):
                raise ValueError(f"rows: got {row!r}, expected (name, text) or (name, text, explanation)")

    def encode(self) -> dict[str, Any]:
        return {**super().encode(), "rows": [[*row, ""][:3] for row in self.rows]}


@dataclass(frozen=True, eq=False, kw_only=True)
class Text(Panel):
    """Paragraphs of plain text, with blank lines between them."""

    text: str

    def check(self) -> None:
        words("text", self.text)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tree(Panel):
    """Pictures in levels, 0 on top, joined by ``edges`` (parent, child, share), indices into ``nodes``."""

    nodes: Sequence[tuple[Image, int]]
    edges: Sequence[tuple[int, int, float]]

    def check(self) -> None:
        check_several("nodes", self.nodes, tuple)
        for picture, level in self.nodes:
            _is("nodes", picture, Image)
            checks.integer("nodes: level", level, 0)
        for parent, child, share in self.edges:
            checks.integer("edges: parent", parent, 0, len(self.nodes) - 1)
            checks.integer("edges: child", child, 0, len(self.nodes) - 1)
            checks.real("edges: share", share)

    def encode(self) -> dict[str, Any]:
        nodes = [{"picture": picture.encode(), "level": level} for picture, level in self.nodes]
        return {**super().encode(), "nodes": nodes, "edges": [[parent, child, float(share)] for parent, child, share in self.edges]}


@dataclass(frozen=True, eq=False, kw_only=True)
class Error(Panel):
    """What went wrong in a render function, shown in its place."""

    text: str


def shown(returned: object) -> list[Panel]:
    """What a render function returned, as a list of panels; TypeError for anything else."""
    panels = [] if returned is None else [returned] if isinstance(returned, Panel) else returned
    if not isinstance(panels, list | tuple) or not all(isinstance(panel, Panel) for panel in panels):
        kinds = ", ".join(kind.__name__ for kind in Panel.__subclasses__() if kind is not Error)
        raise TypeError(f"render: got {checks.describe(returned)}, expected a panel ({kinds}), a list of them, or None")
    return list(panels)


def picture_of(panels: Sequence[Panel]) -> Image | None:
    """The first picture among panels: what stands for them where no script runs."""
    for panel in (drawn for given in panels for drawn in given.inner()):
        if isinstance(panel, Picture):
            return panel.picture
        if isinstance(panel, Pictures):
            return panel.pictures[0]
        if isinstance(panel, Tree):
            return panel.nodes[0][0]
    return None


def _encoded(value: Any) -> Any:
    if isinstance(value, Image):
        return value.encode()
    if isinstance(value, Tensor):
        return encode(value.float())
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_encoded(item) for item in value]
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _lines(series: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "values": rounded(name, values)} for name, values in series.items()]


def _series(series: object, n: int) -> None:
    if not isinstance(series, Mapping) or not series:
        raise TypeError(f"series: got {checks.describe(series)}, expected a dict, name -> numbers")
    for name, values in series.items():
        words("series", name)
        found = len(rounded(name, values))
        if found != n:
            raise ValueError(f"series[{name!r}]: got {found} numbers, expected {n}")


def rounded(name: str, values: Any) -> list[float]:
    """Numbers of a list, an array or a tensor, to six digits; TypeError or ValueError naming the one that is no real number."""
    listed = _plain(values.detach().cpu().flatten() if isinstance(values, Tensor) else values)
    return [float(f"{checks.real(f'series[{name!r}][{i}]', value):.6g}") for i, value in enumerate(listed)]


def check_picks(name: str, picks: object, n: int) -> None:
    """Raise unless there is a pick, or None, for each of n things; ValueError or TypeError naming the argument."""
    if not isinstance(picks, list | tuple) or len(picks) != n:
        raise ValueError(f"{name}: got {checks.describe(picks)}, expected {n} dicts of axes and values, or None among them")
    for i, pick in enumerate(picks):
        if pick is not None and not isinstance(pick, Mapping):
            raise TypeError(f"{name}[{i}]: got {checks.describe(pick)}, expected a dict of axes and values, or None")


def _plain(numbers: Any) -> list[Any]:
    """Of a list, an array or a tensor, as Python's own numbers."""
    return numbers.tolist() if hasattr(numbers, "tolist") else list(numbers)


def _is(name: str, value: object, kind: Any) -> None:
    if not isinstance(value, kind):
        said = "a picture made by signed, gray or photo" if kind is Image else f"{getattr(kind, '__name__', kind)}"
        raise TypeError(f"{name}: got {checks.describe(value)}, expected {said}")


def check_several(name: str, values: object, kind: Any) -> None:
    """Raise TypeError or ValueError naming the argument unless the values are a list, not empty, of this kind."""
    if isinstance(values, str | Tensor) or not isinstance(values, Sequence):
        raise TypeError(f"{name}: got {checks.describe(values)}, expected a list")
    if not values:
        raise ValueError(f"{name}: got an empty list, expected at least one")
    for value in values:
        _is(name, value, kind)
