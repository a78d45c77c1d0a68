"""A Sphinx extension for the API page: the house's docstrings read as Napoleon reads Google's.

In the library an argument list is a paragraph of ``name: what it is`` lines, continued on indented lines. Sphinx would run
them together; indented under the heading ``Args:`` they become a list of fields. And a magnitude such as |df| is one, not a
substitution. Used by ``_config.yml`` only.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

_ARGUMENT = re.compile(r"\*{0,2}[a-z_]\w*(, \*{0,2}[a-z_]\w*)*: \S")


def mark_arguments(lines: list[str]) -> list[str]:
    """The lines of a docstring, with each argument list indented under ``Args:``."""
    out: list[str] = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(group)
        starts = [line for line in paragraph if not line.startswith(" ")]
        if out and not blank and starts and all(map(_ARGUMENT.match, starts)):
            paragraph = ["Args:", *(f"    {line}" for line in paragraph)]
        out += paragraph
    return out


def escape_bars(line: str) -> str:
    """A line with its bars escaped, except inside of ``literals``."""
    return "``".join(part if number % 2 else part.replace("|", "\\|") for number, part in enumerate(line.split("``")))


def _process(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = [escape_bars(line) for line in mark_arguments(lines)]


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx. Napoleon listens with the default priority, 500, and must find the headings."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
