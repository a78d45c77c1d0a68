"""The simplex and the Prewitt explorer in a bare page: what they draw is what Python answers, for every control and for every point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from alone import as_a_file
from chromium import Watch
from explorers import answers, check, pick_of, wait_for
from matplotlib import colormaps
from playwright.sync_api import Locator, Page, expect
from regions import assert_fits_and_clean, findings
from test_explorers import changed, names, turn
from toy_explorers import page_of, prewitt_toy, simplex_toy

from filterlens.explorer import Explorer

TOY = simplex_toy
POINTS = """root => [...root.querySelectorAll("[role=option]")].map(one =>
  [+one.getAttribute("cx"), +one.getAttribute("cy"), ...one.getAttribute("fill").match(/\\d+/g).map(Number)])"""


@pytest.fixture
def mixture(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Locator]:
    page.goto(page_of(tmp_path, monkeypatch, prewitt_toy).as_uri())
    found = page.locator(".fl-explorer")
    wait_for(found)
    yield found


def cloud(root: Locator) -> Locator:
    return root.get_by_role("listbox")


def in_cloud(root: Locator, filter: int) -> dict[str, float]:
    """The middle of a point, in pixels of the cloud."""
    point = cloud(root).locator("[role=option]").nth(filter).bounding_box()
    box = cloud(root).bounding_box()
    return {"x": point["x"] + point["width"] / 2 - box["x"], "y": point["y"] + point["height"] / 2 - box["y"]}


def test_the_filters_are_fetched_once_and_only_when_needed(watch: Watch, root: Locator, explorer: Explorer) -> None:
    start = {"layer": "grey", "fraction": 0.25, "filter": 0, "colour": "l0", "tested": "small network", "rate": 10, "concentration": 1}
    assert check(root, explorer) == start
    assert watch.sheets() == []
    turn(root, "filter", "keyboard")
    check(root, explorer, pick=wait_for(root, filter=1))
    assert len(watch.sheets()) == 1


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_every_control_leads_to_what_python_answers(root: Locator, explorer: Explorer, hand: str) -> None:
    assert names(root) == ["layer", "fraction", "filter", "colour", "tested", "rate", "concentration"]
    before = check(root, explorer)
    for axis in ("filter", "fraction", "colour", "concentration", "rate", "tested", "layer", "filter", "layer", "colour", "concentration"):
        turn(root, axis, hand)
        changed(root, axis, before)
        before = check(root, explorer)


@as_a_file
def test_points_lie_and_shine_as_python_says(root: Locator, explorer: Explorer) -> None:
    for colour in ("norm", "l0"):
        root.locator("select[name=layer]").select_option(label="deep")
        root.locator("select[name=colour]").select_option(index=["l0", "entropy", "norm"].index(colour))
        panel = answers(explorer, wait_for(root, layer="deep", colour=colour))[0]
        found = np.array(root.evaluate(POINTS))
        places = np.array([panel["x"], panel["y"]]).T
        scale = np.ptp(found[:, 0]) / np.ptp(places[:, 0])
        np.testing.assert_allclose(found[:, 0] - found[0, 0], scale * (places[:, 0] - places[0, 0]), atol=0.11)
        np.testing.assert_allclose(found[:, 1] - found[0, 1], -scale * (places[:, 1] - places[0, 1]), atol=0.11)
        values = np.array(panel["values"])
        wanted = colormaps["viridis"]((values - values.min()) / np.ptp(values))[:, :3] * 255
        assert np.abs(found[:, 2:] - wanted).max() <= 9  # straight lines between sixteen of its colours


@as_a_file
def test_the_nearest_point_to_a_click_is_picked(root: Locator, explorer: Explorer) -> None:
    root.locator("select[name=layer]").select_option(label="deep")
    wait_for(root, layer="deep")
    for filter in (17, 3):
        place = in_cloud(root, filter)
        cloud(root).click(position={"x": place["x"] + 1, "y": place["y"] - 1})
        check(root, explorer, pick=wait_for(root, filter=filter))
        chosen = cloud(root).locator("[aria-selected=true]")
        expect(chosen).to_have_count(1)
        assert chosen.get_attribute("aria-label").startswith(f"filter {filter}: ")


@as_a_file
def test_the_cloud_is_one_stop_of_tab_and_its_points_are_walked_by_arrows(page: Page, root: Locator, explorer: Explorer) -> None:
    box = cloud(root)
    root.locator("input[name=concentration]").focus()
    page.keyboard.press("Tab")
    expect(box).to_be_focused()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "End", "ArrowUp"):
        page.keyboard.press(key)
    active = root.locator(f"id={box.get_attribute('aria-activedescendant')}")
    assert active.get_attribute("aria-label").startswith("filter 7: l0 ")
    expect(root.locator(".fl-panel-scatter .fl-readout")).to_have_text(active.get_attribute("aria-label"))
    assert pick_of(root)["filter"] == 0
    page.keyboard.press("Enter")
    check(root, explorer, pick=wait_for(root, filter=7))
    expect(cloud(root)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    check(root, explorer, pick=wait_for(root, filter=0))
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('.fl-panel-scatter')")


@as_a_file
def test_archetypes_and_ranks_are_picked_by_click(root: Locator, explorer: Explorer) -> None:
    code, ranking = root.locator(".fl-panel-bars").nth(0), root.locator(".fl-panel-bars").nth(1)
    for panel, number in ((code, 3), (ranking, 4)):
        picks = answers(explorer, pick_of(root))[number]["picks"]
        panel.get_by_role("button").last.click()
        check(root, explorer, pick=wait_for(root, **picks[-1]))
    before = check(root, explorer)
    root.locator(".fl-panel-pictures").nth(1).get_by_role("button", pressed=False).first.click()
    changed(root, "filter", before)
    check(root, explorer)


@as_a_file
@pytest.mark.parametrize("width", [1440, 375])
def test_it_fits_and_axe_finds_nothing(page: Page, root: Locator, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    root.locator("select[name=layer]").select_option(label="deep")
    wait_for(root, layer="deep")
    assert_fits_and_clean(page)


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_two_filters_are_mixed_in_the_page(page: Page, mixture: Locator, hand: str) -> None:
    truth = prewitt_toy()
    before = check(mixture, truth)
    assert before == {"mix": 0.5}
    turn(mixture, "mix", hand)
    changed(mixture, "mix", before)
    assert check(mixture, truth)["mix"] > 0.5
    assert findings(page, within=".fl-explorer") == []
