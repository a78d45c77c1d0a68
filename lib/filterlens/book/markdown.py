"""Tables and plain words in Markdown, for the generated pages."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A Markdown table; its cells are Markdown already."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def plain(words: str) -> str:
    """Plain words as Markdown that shows them as they are."""
    return re.sub(r"([\\`*_\[\]<>|${}])", r"\\\1", words)
