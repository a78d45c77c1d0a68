"""What an explorer shows: panels, made of numbers and never of rendered pictures.

A render function returns panels; ``encode`` turns them into what the script draws, in Jupyter and on the page alike. Arrays
travel as small integers with the range they stand for, so that the page can show values, thresholds and parts by itself.
A picture's zero is exact: signed ones have 127 steps on either side.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from filterlens import checks

Pick = Mapping[str, object]
FRAMES = (None, "red", "yellow", "accent")


def encode(values: np.ndarray | Tensor) -> dict[str, Any]:
    """An array as the script receives it: ``dtype`` (int8, uint8 or float32), ``shape``, and ``data`` in C order, little endian."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype not in (np.int8, np.uint8):
        array = array.astype("<f4")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": np.ascontiguousarray(array).tobytes()}


@dataclass(frozen=True, eq=False)
class Image:
    """One small picture: ``values`` int8 (h, w), or uint8 (h, w) or (h, w, 3), that stand for numbers from low to high.

    Made by ``signed``, ``gray`` or ``photo``. ``alt`` says in words what is to be seen, ``label`` stands beneath; clicking it
    sets the axes of ``pick``; ``frame`` draws attention.
    """

    values: np.ndarray
    low: float
    high: float
    alt: str
    label: str = ""
    pick: Pick | None = None
    frame: str | None = None

    def __post_init__(self) -> None:
        _words("alt", self.alt)
        if not self.alt.strip():
            raise ValueError(f"alt: got {self.alt!r}, expected what the picture shows, in words")
        _words("label", self.label)
        if self.pick is not None and not isinstance(self.pick, Mapping):
            raise TypeError(f"pick: got {checks.describe(self.pick)}, expected a dict of axes and their values, or None")
        if self.frame not in FRAMES:
            raise ValueError(f"frame: got {self.frame!r}, expected one of {FRAMES}")

    def encode(self) -> dict[str, Any]:
        return {
            "values": encode(self.values), "low": self.low, "high": self.high, "alt": self.alt, "label": self.label,
            "pick": None if self.pick is None else dict(self.pick), "frame": self.frame,
        }  # fmt: skip

    def colours(self) -> np.ndarray:
        """The colours (h, w, 3) uint8 that the script paints: for the picture that stands in for it, and for tests."""
        if self.values.dtype == np.int8:
            from matplotlib import colormaps

            from filterlens.figures.pictures import SIGNED

            return (colormaps[SIGNED](self.values / 127.0 / 2 + 0.5)[..., :3] * 255).round().astype(np.uint8)
        return self.values if self.values.ndim == 3 else np.repeat(self.values[:, :, None], 3, 2)


def signed(values: Tensor, *, alt: str, label: str = "", pick: Pick | None = None, frame: str | None = None, limit: float | None = None) -> Image:
    """A signed picture (h, w), (1, h, w) or (3, h, w), scaled to its largest magnitude or to ``limit``.

    One channel: red positive, blue negative, white zero; three: mid-grey is zero. Raises TypeError or ValueError naming the argument.
    """
    plane = _plane(values)
    limit = float(np.abs(plane).max()) if limit is None else checks.real("limit", limit, 0)
    scaled = np.clip(plane / limit, -1, 1) if limit > 0 else np.zeros_like(plane)
    steps = np.rint(scaled * 127).astype(np.int8)
    if steps.ndim == 3:  # colour has no room for a sign: -127..127 becomes 1..255, zero is 128
        return Image((steps.astype(np.int16) + 128).astype(np.uint8), -limit * 128 / 127, limit, alt, label, pick, frame)
    return Image(steps, -limit, limit, alt, label, pick, frame)


def gray(
    values: Tensor, *, alt: str, label: str = "", pick: Pick | None = None, frame: str | None = None, low: float | None = None, high: float | None = None
) -> Image:  # fmt: skip
    """A map (h, w) or (1, h, w), black the lowest and white the highest, or with a range that several maps share."""
    plane = _plane(values)
    if plane.ndim == 3:
        raise ValueError(f"values: got {checks.describe(values)}, expected one channel; use `photo` for colours")
    low = float(plane.min()) if low is None else checks.real("low", low)
    high = float(plane.max()) if high is None else checks.real("high", high)
    if high < low:
        raise ValueError(f"high: got {high}, expected at least low = {low}")
    scaled = np.clip((plane - low) / (high - low), 0, 1) if high > low else np.zeros_like(plane)
    return Image(np.rint(scaled * 255).astype(np.uint8), low, high, alt, label, pick, frame)


def photo(values: Tensor, *, alt: str, label: str = "", pick: Pick | None = None, frame: str | None = None) -> Image:
    """An image in [0, 1], (h, w), (1, h, w) or (3, h, w), as it is."""
    plane = _plane(values)
    return Image(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8), 0.0, 1.0, alt, label, pick, frame)


def _plane(values: object) -> np.ndarray:
    expected = "expected a floating-point tensor (h, w), (1, h, w) or (3, h, w)"
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise TypeError(f"values: got {checks.describe(values)}, {expected}")
    if values.ndim not in (2, 3) or 0 in values.shape or (values.ndim == 3 and len(values) not in (1, 3)):
        raise ValueError(f"values: got {checks.describe(values)}, {expected}")
    plane = values.detach().cpu().double()
    if not bool(torch.isfinite(plane).all()):
        raise ValueError(f"values: got {checks.describe(values)} with NaN or infinite entries, expected finite numbers")
    plane = plane[0] if plane.ndim == 3 and len(plane) == 1 else plane
    return (plane.permute(1, 2, 0) if plane.ndim == 3 else plane).numpy()


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """What all kinds have: a title above and a note below, both plain text."""

    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _words("title", self.title)
        _words("note", self.note)
        self.check()

    def check(self) -> None:
        """Raise TypeError or ValueError, naming the field, for contents that cannot be drawn."""

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
            _words("threshold", self.threshold)


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
        _several("pictures", self.pictures, Image)
        if self.columns is not None:
            checks.integer("columns", self.columns, 1)
        checks.integer("size", self.size, 8, 512)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bars(Panel):
    """One bar per label and series; clicking bar i sets the axes of ``picks[i]``."""

    labels: Sequence[str]
    series: Mapping[str, Sequence[float] | Tensor]
    highlight: int | None = None
    picks: Sequence[Pick | None] | None = None

    def check(self) -> None:
        _several("labels", self.labels, str)
        _series(self.series, len(self.labels))
        if self.highlight is not None:
            checks.integer("highlight", self.highlight, 0, len(self.labels) - 1)
        if self.picks is not None and len(self.picks) != len(self.labels):
            raise ValueError(f"picks: got {len(self.picks)}, expected one for each of the {len(self.labels)} labels")

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
        places = [checks.real(f"x[{i}]", value) for i, value in enumerate(self.x)]
        if not places:
            raise ValueError("x: got none, expected at least one place")
        _series(self.series, len(places))
        _words("x_label", self.x_label)
        _words("y_label", self.y_label)
        if self.highlight is not None:
            checks.integer("highlight", self.highlight, 0, len(places) - 1)

    def encode(self) -> dict[str, Any]:
        return {**super().encode(), "series": _lines(self.series)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Matrix(Panel):
    """Numbers (r, c) as colours, with names for rows and columns; ``signed`` puts white at zero."""

    values: Tensor
    rows: Sequence[str]
    columns: Sequence[str]
    signed: bool = True
    picks: Sequence[Sequence[Pick | None]] | None = None

    def check(self) -> None:
        _several("rows", self.rows, str)
        _several("columns", self.columns, str)
        checks.tensor("values", self.values, "r c", sizes={"r": len(self.rows), "c": len(self.columns)})
        if self.picks is not None and [len(row) for row in self.picks] != [len(self.columns)] * len(self.rows):
            raise ValueError(f"picks: expected {len(self.rows)} rows of {len(self.columns)}, one for each number")


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers(Panel):
    """Rows of (name, number as text) or (name, number as text, what it means)."""

    rows: Sequence[Sequence[str]]

    def check(self) -> None:
        _several("rows", self.rows, tuple | list)
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
        _words("text", self.text)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tree(Panel):
    """Pictures in levels, 0 on top, joined by ``edges`` (parent, child, share), indices into ``nodes``."""

    nodes: Sequence[tuple[Image, int]]
    edges: Sequence[tuple[int, int, float]]

    def check(self) -> None:
        _several("nodes", self.nodes, tuple)
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
    for panel in panels:
        if isinstance(panel, Picture):
            return panel.picture
        if isinstance(panel, Pictures):
            return panel.pictures[0]
        if isinstance(panel, Tree):
            return panel.nodes[0][0]
    return None


def png(image: Image, *, pixels: int = 224) -> bytes:
    """A picture as a PNG file, each of its pixels a square, about ``pixels`` wide."""
    from PIL import Image as Pillow

    colours = image.colours()
    factor = max(1, pixels // max(colours.shape[:2]))
    file = io.BytesIO()
    Pillow.fromarray(np.repeat(np.repeat(colours, factor, 0), factor, 1)).save(file, "PNG", optimize=True)
    return file.getvalue()


def _encoded(value: Any) -> Any:
    if isinstance(value, Image):
        return value.encode()
    if isinstance(value, Tensor):
        return encode(value.float())
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_encoded(item) for item in value]
    return value


def _lines(series: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "values": _numbers(name, values)} for name, values in series.items()]


def _series(series: object, n: int) -> None:
    if not isinstance(series, Mapping) or not series:
        raise TypeError(f"series: got {checks.describe(series)}, expected a dict, name -> numbers")
    for name, values in series.items():
        _words("series", name)
        found = len(_numbers(name, values))
        if found != n:
            raise ValueError(f"series[{name!r}]: got {found} numbers, expected {n}")


def _numbers(name: str, values: Any) -> list[float]:
    listed = values.detach().cpu().flatten().tolist() if isinstance(values, Tensor) else list(values)
    return [float(f"{checks.real(f'series[{name!r}][{i}]', value):.6g}") for i, value in enumerate(listed)]


def _words(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected text")


def _is(name: str, value: object, kind: Any) -> None:
    if not isinstance(value, kind):
        said = "a picture made by signed, gray or photo" if kind is Image else f"{getattr(kind, '__name__', kind)}"
        raise TypeError(f"{name}: got {checks.describe(value)}, expected {said}")


def _several(name: str, values: object, kind: Any) -> None:
    if isinstance(values, str | Tensor) or not isinstance(values, Sequence):
        raise TypeError(f"{name}: got {checks.describe(values)}, expected a list")
    if not values:
        raise ValueError(f"{name}: got an empty list, expected at least one")
    for value in values:
        _is(name, value, kind)
