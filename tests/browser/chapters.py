"""The explorers of a chapter, made in this process: only the cells that they need are executed, as Python's truth for the page."""

from __future__ import annotations

import symtable
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch

from filterlens.explorer import Explorer

CALLS = ("Explorer(", "_explorer(", ".explorer(")


def needed(sources: Sequence[str], wanted: Sequence[int]) -> list[int]:
    """The cells that the wanted ones need, themselves included: the last before them to bind a name that they use and do not bind."""
    names = [_names(source) for source in sources]
    chosen: set[int] = set()
    waiting = list(wanted)
    while waiting:
        cell = waiting.pop()
        if cell not in chosen:
            chosen.add(cell)
            waiting += [max(before) for name in names[cell][1] if (before := [i for i in range(cell) if name in names[i][0]])]
    return sorted(chosen)


def _names(source: str) -> tuple[set[str], set[str]]:
    """What a cell binds, and what it uses without binding it."""
    top = symtable.symtable(source, "cell", "exec")
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    used = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    inner = list(top.get_children())
    while inner:
        table = inner.pop()
        used |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        inner += table.get_children()
    return bound, used - bound


def rebound(sources: Sequence[str], wanted: Sequence[int]) -> list[str]:
    """Names that functions of the wanted cells look up when they are called, and that a later cell gives another meaning."""
    out = []
    for cell in wanted:
        top = symtable.symtable(sources[cell], "cell", "exec")
        looked_up = {symbol.get_name() for table in top.get_children() for symbol in table.get_symbols() if symbol.is_global()}
        later = [(i, _names(source)[0]) for i, source in enumerate(sources) if i > cell]
        out += [f"{name} of code cell {cell + 1} in code cell {i + 1}" for i, bound in later for name in sorted(looked_up & bound)]
    return out


def code_of(notebook: Path) -> tuple[list[str], list[int]]:
    """The code cells of a notebook, and which of them make explorers."""
    sources = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    return sources, [i for i, source in enumerate(sources) if any(call in source for call in CALLS)]


def explorers_of(notebook: Path) -> dict[str, Explorer]:
    """All explorers of a notebook with its default parameters, by title."""
    sources, wanted = code_of(notebook)
    cells = needed(sources, wanted)
    made: list[Explorer] = []
    init, grad = Explorer.__init__, torch.is_grad_enabled()

    def noted(self: Explorer, *arguments: object, **options: object) -> None:
        init(self, *arguments, **options)
        made.append(self)

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        matplotlib.use("agg")
        patch.setattr(Explorer, "__init__", noted)
        patch.setattr("builtins.print", lambda *words, **options: None)
        namespace: dict[str, object] = {"__name__": "__main__"}
        try:
            for cell in cells:
                exec(compile(sources[cell], f"{notebook.name}, code cell {cell + 1}", "exec"), namespace)
        finally:
            torch.set_grad_enabled(grad)
            matplotlib.pyplot.close("all")
    found = {explorer.title: explorer for explorer in made}
    assert len(found) == len(made), "explorers of one chapter need different titles"
    return found
