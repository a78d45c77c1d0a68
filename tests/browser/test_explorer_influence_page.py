"""The influence explorer in a bare page: it counts in the page what Python counts, for every control, by mouse and by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from alone import as_a_file
from chromium import Watch
from explorers import check, pick_of, wait_for
from playwright.sync_api import Locator, Page, expect
from regions import assert_fits_and_clean
from sites import served
from test_explorers import changed, names, turn
from toy_explorers import influence_toy

from filterlens.explorer import Explorer

TOY = influence_toy


def matrix(root: Locator, title: str) -> Locator:
    return root.locator(".fl-panel-matrix", has=root.page.get_by_text(title, exact=True)).locator(".fl-surface")


def test_the_numbers_are_fetched_once_and_only_when_needed(watch: Watch, root: Locator, explorer: Explorer) -> None:
    assert check(root, explorer) == {"target": 0, "rule": "count", "linked": "r = s", "s": 5, "r": 5, "image": 0, "noise": "zero"}
    assert watch.sheets() == []
    turn(root, "s", "keyboard")
    wait_for(root, s=6)
    assert len(watch.sheets()) == 1
    check(root, explorer, pick=wait_for(root, s=6))


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_every_control_leads_to_what_python_counts(root: Locator, explorer: Explorer, hand: str) -> None:
    assert names(root) == ["target", "rule", "linked", "s", "image", "noise"]  # r follows s, and has no control
    before = pick_of(root)
    turn(root, "linked", hand)
    changed(root, "linked", before)
    assert names(root) == ["target", "rule", "linked", "s", "r", "image", "noise"]
    before = check(root, explorer)
    for axis in ("target", "s", "r", "image", "noise", "rule"):
        turn(root, axis, hand)
        changed(root, axis, before)
        before = check(root, explorer)
    assert names(root) == ["target", "rule", "s", "image", "noise"]  # a rule that takes no r


@as_a_file
def test_every_rule_and_noise_counts_as_python_does(root: Locator, explorer: Explorer) -> None:
    for rule in ("coverage", "weight", "abs_weight", "contribution", "count"):
        root.locator("select[name=rule]").select_option(value=None, index=["count", "coverage", "weight", "abs_weight", "contribution"].index(rule))
        check(root, explorer, pick=wait_for(root, rule=rule))
    for index, noise in enumerate(("zero", "mean", "unit")):
        root.locator("select[name=noise]").select_option(index=index)
        check(root, explorer, pick=wait_for(root, noise=noise))


@as_a_file
def test_a_cell_of_the_surface_is_picked_by_click_and_by_keys(root: Locator, explorer: Explorer) -> None:
    title = "Accuracy over r and s, in percent"
    box = matrix(root, title).bounding_box()
    matrix(root, title).click(position={"x": box["width"] * 2.5 / 9, "y": box["height"] * 6.5 / 9})
    assert check(root, explorer, pick=wait_for(root, linked="free", r=7, s=3))["linked"] == "free"
    surface = matrix(root, title)
    expect(surface.locator(".fl-picked-cell")).to_have_count(1)
    surface.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):  # the first shows where one is
        root.page.keyboard.press(key)
    check(root, explorer, pick=wait_for(root, linked="free", r=7, s=4))


@as_a_file
def test_the_overlap_picks_a_class(root: Locator, explorer: Explorer) -> None:
    title = "Features that two classes share"
    box = matrix(root, title).bounding_box()
    matrix(root, title).click(position={"x": box["width"] * 0.6, "y": box["height"] * 2.5 / 4})
    check(root, explorer, pick=wait_for(root, target=2))
    mark = matrix(root, title).locator(".fl-picked-cell").bounding_box()
    assert mark["width"] == pytest.approx(box["width"], abs=10) and mark["height"] == pytest.approx(box["height"] / 4, abs=10)


def test_quick_steps_end_with_the_last(page: Page, root: Locator, explorer: Explorer) -> None:
    root.locator("select[name=linked]").select_option(index=1)
    root.locator("input[name=r]").focus()
    for key in ["ArrowLeft"] * 4 + ["ArrowRight"] * 7:
        page.keyboard.press(key)
    check(root, explorer, pick=wait_for(root, r=8, linked="free"))
    expect(root.locator(".fl-message")).to_be_hidden()


def test_numbers_that_do_not_come_are_told(page: Page, watch: Watch, folder: Path, explorer: Explorer) -> None:
    with served(folder) as address:
        page.goto(address)
        root = page.locator(".fl-explorer")
        wait_for(root)
        page.route("**/toy.sheets/*", lambda route: route.fulfill(status=404, body="not here", content_type="text/javascript"))
        turn(root, "s", "keyboard")
        expect(root.locator(".fl-message")).to_contain_text("could not be loaded")
        page.unroute("**/toy.sheets/*")
        turn(root, "s", "keyboard")
        check(root, explorer, pick=wait_for(root, s=7))
        expect(root.locator(".fl-message")).to_be_hidden()
    watch.forgive("404")


@as_a_file
@pytest.mark.parametrize("width", [1440, 375])
def test_it_fits_and_axe_finds_nothing(page: Page, root: Locator, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    root.locator("select[name=linked]").select_option(index=1)
    wait_for(root, linked="free")
    assert_fits_and_clean(page)
