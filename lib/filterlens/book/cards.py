"""Cards of the chapters: what each asks, costs and gives, from ``book/chapters.yml``, its notebook and its executed copy.

Reading time is counted from the prose, running time is what the execution took; nothing of it is typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

WORDS_PER_MINUTE = 200
SECONDS_PER_PICTURE = 15
DIFFICULTIES = {1: "gentle", 2: "middling", 3: "demanding"}
_KEYS = {"lens", "question", "paper", "difficulty", "before", "afterwards"}
_FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.M | re.S)
_LINK = re.compile(r"\]\([^)]*\)|\{[a-z:]+\}|https?://\S+")


@dataclass(frozen=True)
class Chapter:
    """A chapter: the name of its notebook, what ``chapters.yml`` says of it, and minutes, ``runs`` being None if it is not known."""

    name: str
    lens: str
    question: str
    paper: str | None
    difficulty: int
    before: str
    afterwards: tuple[str, ...]
    reading: int
    runs: float | None

    @property
    def facts(self) -> list[str]:
        """Reading time, running time where it is known, difficulty."""
        runs = [] if self.runs is None else [f"runs in {_minutes(self.runs)}"]
        reading = "a minute" if self.reading == 1 else f"{self.reading} minutes"
        return [f"{reading} to read", *runs, f"{DIFFICULTIES[self.difficulty]} ({self.difficulty} of 3)"]


def load(home: Path) -> list[Chapter]:
    """The chapters of a project that have both an entry and a notebook, in the order of the entries; none without a ``chapters.yml``.

    ValueError naming the chapter and the key if an entry lacks one, has one too many, or names no difficulty.
    """
    file = home / "book" / "chapters.yml"
    entries = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}
    chapters = []
    for name, entry in entries.items():
        if wrong := (_KEYS - {"paper"} - set(entry)) | (set(entry) - _KEYS):
            raise ValueError(f"chapters.yml: {name}: got the keys {sorted(entry)}, expected {sorted(_KEYS)}; look at {sorted(wrong)}")
        if entry["difficulty"] not in DIFFICULTIES:
            raise ValueError(f"chapters.yml: {name}: difficulty: got {entry['difficulty']!r}, expected one of {list(DIFFICULTIES)}")
        source, executed = (home / part / "notebooks" / f"{name}.ipynb" for part in (".", "book"))
        if source.exists():
            own = {**entry, "afterwards": tuple(entry["afterwards"]), "paper": entry.get("paper")}
            chapters.append(Chapter(name, **own, reading=reading_minutes(source), runs=_ran(executed)))
    return chapters


def reading_minutes(notebook: Path) -> int:
    """Whole minutes for the prose of a notebook, and for looking at its pictures; code is not counted."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = [_LINK.sub(" ", _FENCE.sub(" ", "".join(cell["source"]))) for cell in cells if cell["cell_type"] == "markdown"]
    pictures = sum("mystnb" in cell["metadata"] for cell in cells)
    words = sum(len(re.findall(r"[^\W\d_]{2,}", text)) for text in prose)
    return max(1, round(words / WORDS_PER_MINUTE + pictures * SECONDS_PER_PICTURE / 60))


def _ran(executed: Path) -> float | None:
    if not executed.exists():
        return None
    seconds = json.loads(executed.read_text(encoding="utf-8"))["metadata"].get("filterlens", {}).get("seconds")
    return None if seconds is None else seconds / 60


def _minutes(minutes: float) -> str:
    return f"{60 * minutes:.0f} seconds" if minutes < 1.5 else f"{minutes:.0f} minutes"


def card(chapter: Chapter) -> str:
    """What stands on top of a chapter, in MyST Markdown."""
    gives = "\n".join(f"- {its}" for its in chapter.afterwards)
    return f"""::::{{div}} chapter-card
{" · ".join(chapter.facts)}

**You need** {chapter.before}.

**Afterwards you can**
{gives}
::::"""


def table(chapters: Iterable[Chapter], way: str = "notebooks/") -> str:
    """All chapters in a table, in MyST Markdown; ``way`` leads from the page to them."""
    lines = ["| lens | the question it answers | paper | to read | level |", "|---|---|---|---|---|"]
    for its in chapters:
        paper = f"{{cite:t}}`{its.paper}`" if its.paper else "all five"
        level = DIFFICULTIES[its.difficulty]
        lines.append(f"| [{its.lens}]({way}{its.name}) | {its.question} | {paper} | {its.reading} min | {level} |")
    return "\n".join(lines)


def with_card(notebook: str, text: str) -> str:
    """The source of a notebook with ``text`` after the second paragraph of its first cell: its title and whose paper it follows."""
    content = json.loads(notebook)
    first = content["cells"][0]
    paragraphs = "".join(first["source"]).split("\n\n")
    first["source"] = "\n\n".join([*paragraphs[:2], text, *paragraphs[2:]])
    return json.dumps(content)


def with_section(notebook: str, text: str) -> str:
    """The source of a notebook with a last cell of ``text``."""
    content = json.loads(notebook)
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    if any("id" in other for other in content["cells"]):
        cell["id"] = "functions"
    return json.dumps({**content, "cells": [*content["cells"], cell]})


def names(chapters: Iterable[Chapter]) -> Mapping[str, str]:
    """The page of each chapter and what it is called in a link."""
    return {f"notebooks/{its.name}": its.lens for its in chapters}
