"""The explorers of a chapter, made in this process: only the cells that they need are executed, as Python's truth for the page."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch

from filterlens.explorer import Explorer

CALLS = ("Explorer(", "_explorer(")


def needed(sources: Sequence[str], wanted: Sequence[int]) -> list[int]:
    """The cells that the wanted ones need, themselves included: whatever binds, before them, a name they use."""
    trees = [ast.walk(ast.parse(source)) for source in sources]
    bound, used = [], []
    for tree in trees:
        names: list[set[str]] = [set(), set()]
        for node in tree:
            if isinstance(node, ast.Name):
                names[isinstance(node.ctx, ast.Load)].add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names[0].add(node.name)
            elif isinstance(node, ast.alias):
                names[0].add((node.asname or node.name).split(".")[0])
        bound.append(names[0])
        used.append(names[1])
    chosen: set[int] = set()
    waiting = list(wanted)
    while waiting:
        cell = waiting.pop()
        if cell not in chosen:
            chosen.add(cell)
            waiting += [max(before) for name in used[cell] if (before := [i for i in range(cell) if name in bound[i]])]
    return sorted(chosen)


def explorers_of(notebook: Path) -> dict[str, Explorer]:
    """All explorers of a notebook with its default parameters, by title."""
    sources = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    cells = needed(sources, [i for i, source in enumerate(sources) if any(call in source for call in CALLS)])
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
