"""The explorer's script, one source for two places: a module for Jupyter, a classic script for the page.

The files in ``script/`` share one scope and have neither imports nor exports. Browsers refuse modules on ``file://``, so the
page gets the same text as a classic script.
"""

from __future__ import annotations

from pathlib import Path

PARTS = (
    "arrays", "panels", "bars", "charts", "scatter", "cases", "network", "characters", "influence_numbers", "influence", "simplex_numbers", "simplex",
    "prewitt", "gates", "masks", "answers", "explorer",
)  # fmt: skip
HERE = Path(__file__).parent


def source() -> str:
    """All parts, in order."""
    return "\n".join((HERE / "script" / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)


def module() -> str:
    """An ES module whose default export has ``render``, as anywidget wants it."""
    return f"{source()}\nexport default {{ render }};\n"


def classic() -> str:
    """A script that brings every explorer of a page to life."""
    return f'(() => {{\n"use strict";\n{source()}\nmountAll();\n}})();\n'


def style() -> str:
    """The style sheet, the same in both places."""
    return (HERE / "explorer.css").read_text(encoding="utf-8")
