"""Two more kinds of panel: answers that hold beside some picks only, and a picture beside another with what tells them apart.

What a renderer gives for its own axes may depend on further ones that the page can follow by itself: ``Cases`` holds the answers to
all of them at once, so that nothing is fetched, and nothing that several share is stored twice. ``script/cases.js`` draws both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filterlens import checks
from filterlens.explorer.images import Pick, plain, words
from filterlens.explorer.panels import Panel, Pictures, check_several


@dataclass(frozen=True, eq=False, kw_only=True)
class Cases(Panel):
    """Panels that are drawn beside certain picks: of ``cases``, (axes and their values, panels), all that hold, in order."""

    cases: Sequence[tuple[Pick, Sequence[Panel]]]

    def check(self) -> None:
        check_several("cases", self.cases, tuple)
        for wanted, panels in self.cases:
            if not isinstance(wanted, Mapping):
                raise TypeError(f"cases: got {checks.describe(wanted)}, expected a dict of axes and values")
            check_several("cases: panels", panels, Panel)

    def inner(self) -> Iterator[Panel]:
        for _, panels in self.cases:
            for panel in panels:
                yield from panel.inner()

    def conditions(self) -> list[Pick]:
        own = [wanted for wanted, _ in self.cases]
        return own + [wanted for _, panels in self.cases for panel in panels for wanted in panel.conditions()]

    def encode(self) -> dict[str, Any]:
        arrays: list[dict[str, Any]] = []
        cases = [[plain(wanted), [panel.encode() for panel in panels]] for wanted, panels in self.cases]
        shared = _shared(cases, arrays, {})
        return {"kind": "cases", "title": self.title, "note": self.note, "arrays": arrays, "cases": shared}


def _shared(value: Any, arrays: list[dict[str, Any]], places: dict[tuple, int]) -> Any:
    """The same with every array replaced by its place in the list of all different ones."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), bytes):
            key = (value["dtype"], *value["shape"], hashlib.sha1(value["data"]).digest())
            if key not in places:
                places[key] = len(arrays)
                arrays.append(value)
            return {"array": places[key]}
        return {name: _shared(item, arrays, places) for name, item in value.items()}
    return [_shared(item, arrays, places) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, eq=False, kw_only=True)
class Compared(Pictures):
    """Two pictures made by ``photo``, of one size, and as a third the size of their difference, black where there is none.

    The difference is |a - b| of each channel, as a share of its largest value. ``threshold`` names an axis of numbers q: pixels whose
    largest channel is below q of that are drawn black, in the page.
    """

    threshold: str | None = None
    label: str = "difference"

    def check(self) -> None:
        super().check()
        shapes = {image.values.shape for image in self.pictures}
        if len(self.pictures) != 2 or len(shapes) != 1 or any(image.values.dtype != np.uint8 for image in self.pictures):
            found = [f"{image.values.dtype} {image.values.shape}" for image in self.pictures]
            raise ValueError(f"pictures: got {found}, expected two made by `photo`, of one size")
        words("label", self.label)
        if self.threshold is not None:
            words("threshold", self.threshold)


def difference(a: np.ndarray, b: np.ndarray, share: float = 0.0) -> np.ndarray:
    """What the third picture of ``Compared`` shows of two arrays (h, w, ...) uint8: uint8, rounded half up."""
    apart = np.abs(a.astype(np.int64) - b)
    peak = int(apart.max())
    if peak == 0:
        return apart.astype(np.uint8)
    most = apart if apart.ndim == 2 else apart.max(axis=2, keepdims=True)
    return np.where(most < share * peak, 0, (510 * apart + peak) // (2 * peak)).astype(np.uint8)
