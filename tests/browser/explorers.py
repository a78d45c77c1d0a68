"""What an explorer in a page shows, read from its pixels and words, beside what Python answers for the same pick.

Truth is the protocol that Python's ``Explorer`` sends (its ``_answer_`` traits) and matplotlib's colours, applied here anew.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from playwright.sync_api import Locator

from filterlens.explorer import Explorer

READ = """root => {
  const text = (bytes) => { let out = ""; for (let i = 0; i < bytes.length; i += 4096) out += String.fromCharCode(...bytes.subarray(i, i + 4096)); return btoa(out); };
  return [...root.querySelectorAll(".fl-panel")].map(figure => ({
    kind: /fl-panel-(\\w+)/.exec(figure.className)[1],
    text: figure.textContent,
    points: [...figure.querySelectorAll("[role=option]")].map(one => one.getAttribute("aria-label")),
    pictures: [...figure.querySelectorAll("canvas[role=img]")].map(canvas => {
      const {width, height} = canvas;
      return {width, height, alt: canvas.ariaLabel, data: text(canvas.getContext("2d").getImageData(0, 0, width, height).data)};
    }),
  }));
}"""


TINY = re.compile(r"\d(\.\d+)?e[-−](0?[5-9]|\d\d)")  # what is left by rounding; pages and Python sum in another order


def read(root: Locator) -> list[dict[str, Any]]:
    """The panels that are drawn: kind, words, names of points, and pictures with their pixels (h, w, 4), 0 to 255."""
    found = root.evaluate(READ)  # pixels as base64: a list of numbers takes a second on its way from the page
    for picture in (picture for panel in found for picture in panel["pictures"]):
        bytes_ = np.frombuffer(base64.b64decode(picture.pop("data")), np.uint8)
        picture["pixels"] = bytes_.reshape(picture["height"], picture["width"], 4).astype(np.int16)
    return found


def pick_of(root: Locator) -> dict[str, Any]:
    """The pick whose answers are drawn."""
    return json.loads(root.get_attribute("data-pick") or "{}")


def wait_for(root: Locator, **expected: object) -> dict[str, Any]:
    """Wait until the panels of a pick with these values are drawn; the whole pick."""
    page, handle = root.page, root.element_handle()
    drawn = """([root, wanted]) => !root.hasAttribute("aria-busy") && root.dataset.pick
        && Object.entries(wanted).every(([axis, value]) => JSON.parse(root.dataset.pick)[axis] === value)"""
    page.wait_for_function(drawn, arg=[handle, expected])
    return pick_of(root)


def answers(explorer: Explorer, pick: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Python's panels for a pick, in the protocol's form, all renderers in a row."""
    explorer.pick(**pick)
    given = [getattr(explorer, f"_answer_{i}") for i in range(len(explorer._renderers))]
    return [panel for answer in given for panel in chosen(answer["panels"], pick)]


def chosen(panels: Any, pick: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels that a page draws: of cases those that hold beside the pick, with their arrays in place."""
    for panel in panels:
        if panel["kind"] != "cases":
            yield panel
            continue
        for wanted, some in panel["cases"]:
            if all(pick[axis] == value for axis, value in wanted.items()):
                yield from chosen(_with_arrays(some, panel["arrays"]), pick)


def _with_arrays(value: Any, arrays: list[Any]) -> Any:
    if isinstance(value, dict):
        return arrays[value["array"]] if "array" in value else {name: _with_arrays(item, arrays) for name, item in value.items()}
    return [_with_arrays(item, arrays) for item in value] if isinstance(value, list) else value


def check(root: Locator, explorer: Explorer, *, pick: Mapping[str, Any] | None = None, off: int = 0) -> dict[str, Any]:
    """Assert that every panel shows what Python answers for the pick (of the page); the pick. ``off``: by how many steps a pixel may differ."""
    pick = dict(pick or pick_of(root))
    found, wanted = read(root), answers(explorer, pick)
    kinds, expected_kinds = [panel["kind"] for panel in found], [panel["kind"] for panel in wanted]
    assert kinds == expected_kinds, (pick, [panel.get("text") for panel in wanted if panel["kind"] == "error"])
    for seen, panel in zip(found, wanted, strict=True):
        for words in _words(panel):
            found_there = TINY.search(seen["text"]) if off and TINY.fullmatch(words) else words in seen["text"]
            assert found_there, (pick, panel["title"], words, seen["text"])
        assert [point.split(":")[0] for point in seen["points"]] == panel.get("names", []), (pick, panel["title"])
        expected = list(_pictures(panel, pick)) if panel["kind"] in ("picture", "pictures", "compared", "tree") else []
        if expected:
            assert len(seen["pictures"]) == len(expected), (pick, panel["title"])
        for one, (picture, steps) in zip(seen["pictures"], expected, strict=False):
            assert one["alt"].startswith(picture["alt"]), (pick, panel["title"])
            assert (one["height"], one["width"]) == steps.shape[:2], (pick, panel["title"])
            assert (one["pixels"][..., 3] == 255).all()
            wrong = _differs(one["pixels"][..., :3], steps, off)
            assert not wrong.any(), f"{pick}: {panel['title']}, {one['alt']}: {wrong.sum()} of {wrong.size} pixels differ"
    return pick


def _words(panel: Mapping[str, Any]) -> list[str]:
    rows = [cell for row in panel["rows"] for cell in row] if panel["kind"] == "numbers" else []
    labels = [picture["label"] for picture in panel.get("pictures", ())]
    return [words for words in (panel["title"], panel["note"], *rows, *labels) if words]


def _pictures(panel: Mapping[str, Any], pick: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], np.ndarray]]:
    """The pictures a panel draws, each with the steps it must show."""
    several = panel["pictures"] if panel["kind"] in ("pictures", "compared") else [node["picture"] for node in panel.get("nodes", ())]
    for picture in several:
        yield picture, _steps(picture)
    if panel["kind"] == "compared":
        yield {"alt": panel["label"]}, _apart(*map(_steps, several), 0 if panel["threshold"] is None else pick[panel["threshold"]])
    if panel["kind"] == "picture":
        limit = 0 if panel["threshold"] is None else pick[panel["threshold"]]
        for part in ("whole", "positive", "negative") if panel["parts"] else ("whole",):
            yield panel["picture"], _cut(panel["picture"], limit, part)


def _steps(picture: Mapping[str, Any]) -> np.ndarray:
    values = picture["values"]
    return np.frombuffer(values["data"], dtype=values["dtype"]).reshape(values["shape"])


def _cut(picture: Mapping[str, Any], limit: float, part: str) -> np.ndarray:
    """Below the limit, a share of the largest magnitude, or of the other sign: zero."""
    steps = _steps(picture)
    if steps.dtype != np.int8 and not (steps.ndim == 3 and picture["low"] < 0 < picture["high"]):
        return steps
    zero = 0 if steps.dtype == np.int8 else 128
    sizes = steps.astype(np.int16) - zero
    hidden = np.abs(sizes) < limit * np.abs(sizes).max()
    hidden |= {"whole": np.zeros_like(hidden), "positive": sizes < 0, "negative": sizes > 0}[part]
    return np.where(hidden, np.array(zero, steps.dtype), steps)


def _apart(a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """What tells two pictures apart, the largest as 255; pixels below the limit, a share of that, are black."""
    sizes = np.abs(a.astype(float) - b)
    hidden = (sizes if sizes.ndim == 2 else sizes.max(axis=2, keepdims=True)) < limit * sizes.max()
    return np.where(hidden, 0, np.floor(255 * sizes / max(sizes.max(), 1) + 0.5)).astype(np.uint8)


def _differs(drawn: np.ndarray, steps: np.ndarray, off: int) -> np.ndarray:
    """Which pixels are the colour of none of the steps up to ``off`` away; a colour may be one level off by rounding."""
    near = [np.abs(drawn - _colours(steps, by)).max(axis=2) <= 1 for by in range(-off, off + 1)]
    return ~np.logical_or.reduce(near)


def _colours(steps: np.ndarray, by: int) -> np.ndarray:
    if steps.dtype == np.int8:
        return colormaps["RdBu_r"](np.clip(steps.astype(int) + by, -127, 127) / 254 + 0.5, bytes=True)[..., :3].astype(np.int16)
    moved = np.clip(steps.astype(np.int16) + by, 0, 255)
    return moved if moved.ndim == 3 else np.repeat(moved[..., None], 3, axis=2)
