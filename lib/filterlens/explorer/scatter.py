"""One more kind of panel: points in a plane, of which one can be picked. ``script/scatter.js`` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from filterlens import checks
from filterlens.explorer.images import Pick, words
from filterlens.explorer.panels import Panel, check_picks, check_several, rounded

Point = tuple[float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Scatter(Panel):
    """Points ``x``, ``y`` with ``names``, coloured by ``values``; a click sets the axes of the nearest point's ``picks``.

    ``marks`` are further places (x, y, name) drawn as diamonds, ``outline`` a closed line around them, ``links`` lines (mark, share)
    from the point ``highlight`` to some of them, as wide as their share. Both directions have the same scale. ``mark_label``,
    ``outline_label`` and ``link_label`` stand in the legend.
    """

    x: Sequence[float]
    y: Sequence[float]
    names: Sequence[str]
    values: Sequence[float]
    value_label: str = ""
    x_label: str = ""
    y_label: str = ""
    highlight: int | None = None
    picks: Sequence[Pick | None] | None = None
    marks: Sequence[tuple[float, float, str]] = ()
    mark_label: str = ""
    outline: Sequence[Point] = ()
    outline_label: str = ""
    links: Sequence[tuple[int, float]] = ()
    link_label: str = ""

    def check(self) -> None:
        check_several("names", self.names, str)
        for name in ("x", "y", "values"):
            if isinstance(getattr(self, name), str) or not hasattr(getattr(self, name), "__len__"):
                raise TypeError(f"{name}: got {checks.describe(getattr(self, name))}, expected a list of numbers")
            if len(rounded(name, getattr(self, name))) != len(self.names):
                raise ValueError(f"{name}: got {len(getattr(self, name))} numbers, expected one for each of the {len(self.names)} names")
        for name in ("value_label", "x_label", "y_label", "mark_label", "outline_label", "link_label"):
            words(name, getattr(self, name))
        if self.highlight is not None:
            checks.integer("highlight", self.highlight, 0, len(self.names) - 1)
        if self.picks is not None:
            check_picks("picks", self.picks, len(self.names))
        for x, y, name in self.marks:
            checks.real("marks: x", x)
            checks.real("marks: y", y)
            words("marks: name", name)
        for x, y in self.outline:
            checks.real("outline: x", x)
            checks.real("outline: y", y)
        if self.links and self.highlight is None:
            raise ValueError("links: got some without a highlight, expected the point they begin at")
        for mark, share in self.links:
            checks.integer("links: mark", mark, 0, len(self.marks) - 1)
            checks.real("links: share", share, 0, 1)

    def encode(self) -> dict[str, Any]:
        lists = {name: rounded(name, getattr(self, name)) for name in ("x", "y", "values")}
        marks = [[float(x), float(y), name] for x, y, name in self.marks]
        outline = [[float(x), float(y)] for x, y in self.outline]
        return {**super().encode(), **lists, "marks": marks, "outline": outline, "links": [[int(i), float(s)] for i, s in self.links]}
