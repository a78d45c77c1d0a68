"""States of an explorer as files next to a page: packed, fetched when needed, within a budget.

A sheet holds the answers of one render function to some hundred picks. It is a script that hands over one compressed text, because a
page opened from ``file://`` may load scripts and nothing else. The runner asks for sheets by naming a folder; without it
nothing is written.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = "FILTERLENS_SHEETS"  # environment variable: where the runner wants the sheets of the notebook
BUDGET = 8_000_000  # bytes of all sheets of a chapter
SHEET = 100_000  # bytes of a sheet before compression; small enough to arrive and unpack within a blink


class BudgetError(RuntimeError):
    """More states than a chapter may put beside its page."""


def asked() -> Path | None:
    """The folder the runner wants sheets in, or None: then nobody asked."""
    return Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None


def check_name(name: object) -> None:
    """Raise TypeError or ValueError for a name that is no good as part of a file's."""
    if not isinstance(name, str):
        raise TypeError(f"name: got {name!r}, expected text such as 'first-picture', or None")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"name: got {name!r}, expected small letters, digits and hyphens, such as 'first-picture'")


def pack(states: Iterable[Any]) -> bytes:
    """Protocol states, whose arrays hold bytes, as one compressed block: length of the JSON, JSON, arrays (equal ones once)."""
    block, places = bytearray(), {}

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("data"), bytes):
                key = hashlib.sha1(value["data"]).digest()
                if key not in places:
                    places[key] = len(block)
                    block.extend(value["data"])
                return {"dtype": value["dtype"], "shape": value["shape"], "at": places[key]}
            return {name: placed(item) for name, item in value.items()}
        return [placed(item) for item in value] if isinstance(value, list | tuple) else value

    text = json.dumps({"states": placed(list(states))}, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return zlib.compress(struct.pack("<I", len(text)) + text + bytes(block), 9)


def text_of(states: Iterable[Any]) -> str:
    """The same as text, to stand inside of a page."""
    return base64.b64encode(pack(states)).decode()


def measured(value: Any) -> int:
    """About how many bytes a state takes before compression."""
    if isinstance(value, dict):
        return len(value["data"]) if isinstance(value.get("data"), bytes) else sum(len(name) + 4 + measured(v) for name, v in value.items())
    return sum(map(measured, value)) if isinstance(value, list | tuple) else len(str(value)) + 1


class Sheets:
    """The folder of one chapter's sheets; ``write`` takes the states of one render function, in the order of its picks."""

    def __init__(self, folder: Path, *, budget: int = BUDGET) -> None:
        self.folder, self.budget = folder, budget
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, states: Iterable[list[dict]], *, whose: str) -> tuple[list[str], list[int]]:
        """The names of the files, and for each the number of its first state. BudgetError as soon as the chapter's are too many."""
        names, starts = [], []
        for start, some in _sheets(states):
            names.append(self._written(text_of(some), whose, "bake fewer, for example bake={'filter': range(20)}"))
            starts.append(start)
        return names, starts

    def _written(self, content: str, whose: str, advice: str) -> str:
        name = hashlib.sha256(content.encode()).hexdigest()[:16]
        path = self.folder / f"{name}.js"
        part = path.with_suffix(".part")
        part.write_text(f'filterlensSheet("{name}", "{content}");\n', encoding="utf-8")
        os.replace(part, path)
        if (size := self.size()) > self.budget:
            limit = f"expected at most {self.budget / 1e6:.1f} MB"
            raise BudgetError(f"bake: with the states of {whose} this chapter's take {size / 1e6:.1f} MB, {limit}; {advice}")
        return name

    def write_one(self, state: Any, *, whose: str) -> str:
        """The name of a file with just this: what the page computes with. The same content twice is one file."""
        return self._written(text_of([state]), whose, "give the explorer fewer images or features")

    def keep(self, name: str, html: str) -> None:
        """Store an explorer's HTML under a name, for other pages to show."""
        path = self.folder / f"{name}.html"
        if path.exists():
            raise ValueError(f"name: {name!r} is taken by another explorer of this notebook")
        part = path.with_suffix(".part")
        part.write_text(html, encoding="utf-8")
        os.replace(part, path)

    def size(self) -> int:
        """Bytes of all sheets so far."""
        return sum(path.stat().st_size for path in self.folder.glob("*.js"))


def _sheets(states: Iterable[list[dict]]) -> Iterator[tuple[int, list[list[dict]]]]:
    start, some, size = 0, [], 0
    for number, state in enumerate(states):
        more = measured(state)
        if some and size + more > SHEET:
            yield start, some
            start, some, size = number, [], 0
        some.append(state)
        size += more
    if some:
        yield start, some
