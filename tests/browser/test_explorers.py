"""Every explorer of the site: each of its controls, by mouse and by keyboard, leads to the pictures that Python computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from chapters import code_of, explorers_of, needed, rebound
from chromium import Watch
from explorers import check, pick_of, wait_for
from playwright.sync_api import Locator, Page
from sites import HOME

from filterlens.book import front
from filterlens.explorer import Explorer

EXPLORED = {"intro": 1, "notebooks/1-simplex": 2, "notebooks/2-influence": 1, "notebooks/3-decoding": 3, "notebooks/4-isolation": 1, "notebooks/5-gates": 3, "notebooks/6-one-filter": 1}  # page -> how many explorers
CHAPTERS = [HOME / "notebooks" / f"{name}.ipynb" for name in ("1-simplex", "2-influence", "3-decoding", "4-isolation", "5-gates", "6-one-filter")]
MARK = "data-filterlens-explorer"


@pytest.fixture(scope="module")
def truth() -> dict[str, Explorer]:
    """Python's explorers by title."""
    shown = front.explorer()
    return {title: explorer for chapter in CHAPTERS for title, explorer in explorers_of(chapter).items()} | {shown.title: shown}


def opened(page: Page, address: str) -> list[Locator]:
    """The page's explorers, each with its first pick drawn."""
    page.goto(address)
    page.wait_for_function(f"document.querySelectorAll('[{MARK}]').length === document.querySelectorAll('.fl-explorer[data-pick]').length")
    return page.locator(f"[{MARK}] .fl-explorer").all()  # boards for the reader's own image are others: see test_own_image


def turn(root: Locator, name: str, hand: str) -> None:
    """Move one control to a neighbouring option, by mouse or keyboard."""
    control = root.locator(f"[name={name}]")
    kind = control.evaluate("one => one.type")
    at, last = control.evaluate("one => one.type === 'range' ? [+one.value, +one.max] : [one.selectedIndex, one.options.length - 1]")
    back = at == last
    if hand == "keyboard":
        control.focus()
        root.page.keyboard.press({"range": ("ArrowRight", "ArrowLeft")}.get(kind, ("ArrowDown", "ArrowUp"))[back])
    elif kind == "range":
        box = control.bounding_box()
        control.click(position={"x": box["width"] * (0.02 if back else 0.98), "y": box["height"] / 2})
    else:
        step = control.locator("xpath=..").locator("button.fl-step").nth(0 if back else 1)
        if step.count():
            step.click()
        else:
            control.select_option(index=at - 1 if back else at + 1)


def changed(root: Locator, axis: str, before: Mapping[str, Any]) -> None:
    """Wait until panels are drawn for another value of the axis."""
    drawn = "([root, axis, old]) => !root.hasAttribute('aria-busy') && JSON.parse(root.dataset.pick)[axis] !== old"
    root.page.wait_for_function(drawn, arg=[root.element_handle(), axis, before[axis]])


def names(root: Locator) -> list[str]:
    """The axes that can be turned now: those with more than one option, and a control that is shown (on the front page pictures are picked)."""
    several = "all => all.filter(one => one.checkVisibility() && (one.type === 'range' ? +one.max : one.options.length - 1) > 0).map(one => one.name)"
    return root.locator("select, input[type=range]").evaluate_all(several)


def test_these_are_all_explorers_of_the_site(site: Path, truth: dict[str, Explorer]) -> None:
    pages = {path: path.read_text(encoding="utf-8").count(f"<div {MARK}") for path in site.rglob("*.html") if "_static" not in path.parts}
    assert {path.relative_to(site).with_suffix("").as_posix(): count for path, count in pages.items() if count and path.name != "api.html"} == EXPLORED
    assert len(truth) == 12


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
@pytest.mark.parametrize("name", EXPLORED)
def test_every_control_of_every_explorer_leads_to_the_right_pictures(
    page: Page, watch: Watch, address: str, truth: dict[str, Explorer], name: str, hand: str
) -> None:
    roots = opened(page, f"{address}{name}.html")
    assert len(roots) == EXPLORED[name]
    assert watch.sheets() == [], "states are fetched only when somebody reaches for a control"
    for root in roots:
        explorer = truth[root.get_attribute("aria-label")]
        off = 1 if explorer.title == "A character from parts" else 0  # computed in the page: its sums may round the other way
        before = check(root, explorer, off=off)
        assert set(before) == set(explorer.picked)
        for axis in reversed(names(root)):  # what depends on others first: another network may leave it one option
            turn(root, axis, hand)
            changed(root, axis, before)
            before = check(root, explorer, pick=pick_of(root), off=off)


def test_every_network_and_layer_answers_and_filters_follow(page: Page, address: str, truth: dict[str, Explorer]) -> None:
    root = next(one for one in opened(page, f"{address}notebooks/3-decoding.html") if one.locator("select[name=network]").count())
    explorer, seen = truth[root.get_attribute("aria-label")], []
    for network in root.locator("select[name=network] option").all_inner_texts():
        root.locator("select[name=network]").select_option(label=network)
        wait_for(root, network=network)
        for layer in range(root.locator("select[name=layer] option").count()):
            root.locator("select[name=layer]").select_option(index=layer)
            last = root.locator("select[name=filter] option").count() - 1
            root.locator("select[name=filter]").select_option(index=last)
            page.wait_for_function(
                "([root, layer, filter]) => !root.hasAttribute('aria-busy') && root.querySelector('[name=layer]').selectedIndex === layer"
                " && root.querySelector('[name=filter]').selectedIndex === filter && root.querySelectorAll('.fl-panel').length",
                arg=[root.element_handle(), layer, last],
            )
            seen.append(check(root, explorer))
    assert len({(pick["network"], pick["layer"], pick["filter"]) for pick in seen}) == len(seen) >= 8


@pytest.mark.parametrize("name", [chapter.stem for chapter in CHAPTERS])
def test_a_chapter_opened_as_a_file_answers_too(page: Page, site: Path, truth: dict[str, Explorer], name: str) -> None:
    for root in opened(page, (site / "notebooks" / f"{name}.html").as_uri()):
        explorer = truth[root.get_attribute("aria-label")]
        axis = names(root)[0]
        before = pick_of(root)
        turn(root, axis, "keyboard")
        changed(root, axis, before)
        assert check(root, explorer, off=1)[axis] != before[axis]


def test_no_cell_takes_from_an_explorer_what_it_looks_up_live() -> None:
    assert rebound(["def f(x):\n    return a * x", "b = 1", "a = 2"], [0]) == ["a of code cell 1 in code cell 3"]
    assert [rebound(*code_of(chapter)) for chapter in CHAPTERS] == [[]] * len(CHAPTERS)


def test_only_the_cells_that_are_needed_are_executed() -> None:
    cells = ["import math as m\na = m.pi", "b = 1", "def f(x):\n    return [a * y for y in x]", "a = 2", "y = 3", "c = f([3])", "d = f([c])"]
    assert needed(cells, [5]) == [0, 2, 5] and needed(cells, [1]) == [1]
    assert needed(cells, [6, 1]) == [0, 1, 2, 5, 6]
