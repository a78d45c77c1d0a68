"""The passport's explorer in a bare page, from the states that are shipped: every control and click leads to what Python answers, and axe finds nothing."""

from __future__ import annotations

import re

import pytest
from alone import as_a_file
from chromium import Watch
from explorers import check, pick_of, wait_for
from playwright.sync_api import Locator, Page, expect
from regions import assert_fits_and_clean
from test_explorers import changed, names, turn

from filterlens import sources
from filterlens.explorer import Explorer, PassportStates

STATES = sources.project_home() / "data" / "states" / "passports.npz"


def TOY() -> Explorer:
    """The shipped explorer, two filters of each layer."""
    states, some = PassportStates.load(STATES), {}
    for one in states.filters:
        some.setdefault((one.network, one.layer), []).append(one)
    return PassportStates(tuple(one for kept in some.values() for one in kept[:6:5]), states.clouds).explorer()


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_every_control_leads_to_what_python_answers(root: Locator, explorer: Explorer, hand: str) -> None:
    assert {"network", "filter"} <= set(names(root))
    before = check(root, explorer)
    for axis in ("filter", "network", "layer", "network"):
        turn(root, axis, hand)
        changed(root, axis, before)
        before = check(root, explorer)


def test_filters_are_picked_in_the_cloud_by_keys(page: Page, watch: Watch, root: Locator, explorer: Explorer) -> None:
    """The page's own pick counts: the Python explorer is every test's, and stands where the last one left it."""
    start = pick_of(root)
    first, second = explorer._space.options("filter", start)
    assert start["filter"] == first and watch.sheets() == []
    cloud, readout = root.get_by_role("listbox"), root.locator(".fl-panel-scatter .fl-readout")
    cloud.focus()
    for _ in range(second - first):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    check(root, explorer, pick=wait_for(root, filter=second))
    expect(cloud).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(readout).to_have_text(re.compile(rf"filter {second + 1}: .* \(not to be picked here\)"))
    page.keyboard.press("Enter")
    page.keyboard.press("PageUp")  # those that can be picked
    expect(readout).to_have_text(re.compile(rf"filter {second}: .* \(picked\)"))
    page.keyboard.press("PageDown")
    expect(readout).to_have_text(re.compile(rf"filter {second}: "))
    page.keyboard.press("PageUp")
    page.keyboard.press(" ")
    check(root, explorer, pick=wait_for(root, filter=first))
    options = cloud.get_by_role("option")
    assert [options.nth(i).get_attribute("aria-disabled") for i in (first, second, second + 1)] == [None, None, "true"]


@as_a_file
@pytest.mark.parametrize("width", [1280, 375])
def test_it_fits_and_axe_finds_nothing(page: Page, root: Locator, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for axis in ("filter", "network"):
        before = pick_of(root)
        turn(root, axis, "mouse")
        changed(root, axis, before)  # until then the panels are pale
        page.wait_for_function("[...document.querySelectorAll('.fl-panel')].every(one => getComputedStyle(one).opacity === '1')")
        assert_fits_and_clean(page)
