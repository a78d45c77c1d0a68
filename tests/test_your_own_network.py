"""The page for readers with a network of their own: every line of it runs, in order, as they would paste it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipywidgets import Widget

from filterlens.explorer import Explorer

PAGE = Path(__file__).resolve().parents[1] / "book" / "your-own-network.md"


@pytest.fixture
def constructed() -> Iterator[list[Widget]]:
    """Every widget made while the test runs."""
    made: list[Widget] = []
    Widget.on_widget_constructed(made.append)
    yield made
    Widget.on_widget_constructed(None)


def test_every_block_of_the_page_runs_and_shows_an_explorer(constructed: list[Widget]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    assert len(blocks) == 9
    names: dict[str, object] = {}
    for block in blocks:
        constructed.clear()
        exec(compile(block, PAGE.name, "exec"), names)
        explorers = [widget for widget in constructed if isinstance(widget, Explorer)]
        assert len(explorers) == 1
        kinds = [panel["kind"] for answer in _answers(explorers[0]) for panel in answer["panels"]]
        assert kinds and "error" not in kinds


def test_it_takes_three_lines() -> None:
    first = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S).group(1)
    assert len([line for line in first.splitlines() if line.strip()]) <= 3


def _answers(explorer: Explorer) -> list[dict]:
    return [getattr(explorer, name) for name in explorer.trait_names() if name.startswith("_answer_")]
