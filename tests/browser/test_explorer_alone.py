"""One explorer in a bare page, baked: every control by mouse and keyboard, every kind of panel, from a server and from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from alone import as_a_file
from chromium import Watch
from explorers import check, wait_for
from playwright.sync_api import Locator, Page, expect
from regions import assert_fits_and_clean
from sites import served
from toy_explorers import toy

from filterlens.explorer import Explorer

TOY = toy


def test_the_first_pick_shows_what_python_answers_and_fetches_nothing(page: Page, watch: Watch, root: Locator, explorer: Explorer) -> None:
    assert check(root, explorer) == {"layer": "conv1", "filter": 0, "image": "first", "threshold": 0.0}
    assert page.locator(".fl-fallback").count() == 0
    assert watch.sheets() == []
    root.locator("select[name=filter]").select_option(index=1)
    wait_for(root, filter=1)
    assert watch.sheets() != []


def test_every_control_answers_to_the_mouse(page: Page, root: Locator, explorer: Explorer) -> None:
    root.locator("select[name=layer]").select_option(index=1)
    assert check(root, explorer, pick=wait_for(root, layer="conv2", filter=0))
    root.get_by_role("button", name="next filter").click()
    check(root, explorer, pick=wait_for(root, filter=1))
    root.get_by_role("button", name="previous filter").click()
    check(root, explorer, pick=wait_for(root, filter=0))
    root.locator("select[name=image]").select_option(index=1)
    check(root, explorer, pick=wait_for(root, image="second"))
    slider = root.locator("input[name=threshold]")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.99, box["y"] + box["height"] / 2)
    check(root, explorer, pick=wait_for(root, threshold=0.75))


def test_every_control_answers_to_the_keyboard(page: Page, root: Locator, explorer: Explorer) -> None:
    for name, expected in (("layer", "conv2"), ("filter", 1), ("image", "second"), ("threshold", 0.25)):
        root.locator(f"[name={name}]").focus()
        page.keyboard.press("ArrowRight" if name == "threshold" else "ArrowDown")
        check(root, explorer, pick=wait_for(root, **{name: expected}))
        expect(root.locator(f"[name={name}]")).to_be_focused()
    page.keyboard.press("End")
    check(root, explorer, pick=wait_for(root, threshold=0.75))


@as_a_file
def test_all_controls_are_reached_by_tab_in_the_order_they_stand(page: Page, root: Locator) -> None:
    page.locator("body").click(position={"x": 1, "y": 1})
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name"))
    assert [name for name in reached if name] == ["layer", "filter", "image", "threshold"]


@as_a_file
def test_pictures_and_bars_can_be_picked(page: Page, root: Locator, explorer: Explorer) -> None:
    root.get_by_role("button", name="small 2").first.click()
    check(root, explorer, pick=wait_for(root, filter=2))
    tree = root.locator(".fl-panel-tree").get_by_role("button")
    tree.nth(1).focus()
    page.keyboard.press("Enter")
    check(root, explorer, pick=wait_for(root, filter=1))
    bars = root.locator(".fl-panel-bars").get_by_role("button")
    assert bars.count() == 3
    bars.nth(0).click()
    check(root, explorer, pick=wait_for(root, filter=0))


def test_many_picks_at_once_end_with_the_last(page: Page, root: Locator, explorer: Explorer) -> None:
    root.locator("select[name=layer]").select_option(index=1)
    root.locator("select[name=filter]").focus()
    for _ in range(14):
        page.keyboard.press("ArrowDown")
    check(root, explorer, pick=wait_for(root, layer="conv2", filter=14))


@as_a_file
@pytest.mark.parametrize("width", [1440, 375])
def test_the_explorer_fits_and_axe_finds_nothing(page: Page, root: Locator, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert_fits_and_clean(page)


@as_a_file
def test_a_target_for_a_finger_is_24_pixels(page: Page, root: Locator) -> None:
    page.set_viewport_size({"width": 375, "height": 900})
    sizes = root.locator("button:visible, select:visible, input:visible").evaluate_all(
        "all => all.map(one => [one.ariaLabel || one.name || one.textContent, one.getBoundingClientRect().width, one.getBoundingClientRect().height])"
    )
    assert len(sizes) > 5 and [one for one in sizes if min(one[1:]) < 23.9] == []


@pytest.mark.parametrize(("status", "body"), [(404, "not here"), (200, "<!doctype html>"), (200, "")])
def test_a_sheet_that_does_not_come_is_told_and_the_rest_stays_alive(
    page: Page, watch: Watch, folder: Path, explorer: Explorer, status: int, body: str
) -> None:
    with served(folder) as address:
        page.goto(address)
        root, message = page.locator(".fl-explorer"), page.locator(".fl-message")
        page.route("**/toy.sheets/*", lambda route: route.fulfill(status=status, body=body, content_type="text/javascript"))
        root.locator("select[name=image]").select_option(index=1)
        expect(message).to_contain_text("could not be loaded")
        assert message.get_attribute("role") == "alert" and root.get_attribute("aria-busy") is None
        assert root.get_by_role("img", name="the image first in colour").count() == 0  # of another pick
        expect(root.get_by_role("img", name="filter 0 of conv1", exact=True).first).to_be_visible()
        root.locator("select[name=image]").select_option(index=0)  # embedded in the page
        expect(root.get_by_role("img", name="the image first in colour")).to_be_visible()
        expect(message).to_be_hidden()
        page.unroute("**/toy.sheets/*")
        root.locator("select[name=image]").select_option(index=1)  # the next pick tries again
        check(root, explorer, pick=wait_for(root, image="second"))
        expect(message).to_be_hidden()
    if status == 404:
        watch.forgive("404")
    elif body:
        watch.forgive("Unexpected token")
