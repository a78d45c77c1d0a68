"""The explorer's script, one source for two places: a module for Jupyter, a classic script for the page.

The files in ``script/`` share one scope and have neither imports nor exports. Browsers refuse modules on ``file://``, so the
page gets the same text as a classic script. With ``board`` it also holds the reader's own image (see ``browser_image``), which only
pages that show one need to carry.
"""

from __future__ import annotations

from pathlib import Path

PARTS = (
    "arrays", "panels", "bars", "charts", "scatter", "cases", "network", "characters", "influence_numbers", "influence", "simplex_numbers", "simplex",
    "prewitt", "gates", "masks", "answers", "explorer",
)  # fmt: skip
BOARD = ("own_pixels", "own_network", "own_panels", "own_board", "own_image")
HERE = Path(__file__).parent


def source(*, board: bool = False) -> str:
    """All parts, in order."""
    return "\n".join((HERE / "script" / f"{part}.js").read_text(encoding="utf-8") for part in (*PARTS, *(BOARD if board else ())))


def module(*, board: bool = False) -> str:
    """An ES module whose default export has ``render``, as anywidget wants it: the explorer's, or the board's."""
    return f"{source(board=board)}\nexport default {{ {'render: renderOwn' if board else 'render'} }};\n"


def classic(*, board: bool = False) -> str:
    """A script that brings every explorer of a page to life, and every board."""
    mount = "mountAll();\nmountOwn();" if board else "mountAll();"
    return f'(() => {{\n"use strict";\n{source(board=board)}\n{mount}\n}})();\n'


def style(*, board: bool = False) -> str:
    """The style sheet, the same in both places."""
    return "".join((HERE / f"{name}.css").read_text(encoding="utf-8") for name in ("explorer", *(["own_image"] if board else [])))
