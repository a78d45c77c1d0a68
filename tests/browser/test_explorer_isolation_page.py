"""The isolation explorer in a bare page: every control leads to what Python answers, and a file is fetched only for another image."""

from __future__ import annotations

from typing import Any

import pytest
from alone import as_a_file
from chromium import Watch
from explorers import check, pick_of, wait_for
from playwright.sync_api import Locator, Page, expect
from regions import assert_fits_and_clean
from test_explorers import changed, names, turn
from toy_explorers import isolation_toy

from filterlens.explorer import Explorer

TOY = isolation_toy
START = {
    "network": "large", "layer": "early", "image": 0, "kernel": 4, "method": "isolation", "beta": 0.2, "other": "no other", "threshold": 0,
}  # fmt: skip


def panel(root: Locator, title: str) -> Locator:
    return root.locator("figure", has=root.page.locator(".fl-title", has_text=title))


def choose(root: Locator, axis: str, label: str, **expected: Any) -> dict[str, Any]:
    root.locator(f"select[name={axis}]").select_option(label=label)
    return wait_for(root, **expected)


def test_kernel_method_and_beta_fetch_nothing_another_image_does(watch: Watch, root: Locator, explorer: Explorer) -> None:
    assert check(root, explorer) == START
    for axis in ("kernel", "method", "beta", "other", "threshold"):
        if root.locator(f"[name={axis}]").is_visible():
            before = pick_of(root)
            root.locator(f"[name={axis}]").evaluate(
                "one => { if (one.type === 'range') one.value = +one.value + 1; else one.selectedIndex += 1;"
                " one.dispatchEvent(new Event(one.type === 'range' ? 'input' : 'change')); }"
            )
            changed(root, axis, before)
            check(root, explorer)
    assert watch.sheets() == []
    check(root, explorer, pick=choose(root, "image", "second", image=1))
    assert watch.sheets() != []


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_every_control_leads_to_what_python_answers(root: Locator, explorer: Explorer, hand: str) -> None:
    assert names(root) == list(START)
    before = check(root, explorer)
    moves = ("other", "threshold", "beta", "kernel", "layer", "other", "kernel", "image", "beta", "method", "kernel", "layer")
    for axis in (*moves, "network", "image", "method", "kernel", "network"):
        turn(root, axis, hand)
        changed(root, axis, before)
        before = check(root, explorer)


def test_each_network_has_its_own_layers_images_methods_and_betas(watch: Watch, root: Locator, explorer: Explorer) -> None:
    def offered(axis: str) -> list[str]:
        return root.locator(f"select[name={axis}] option").all_inner_texts()

    assert (offered("layer"), offered("image")) == (["early", "the wide layer", "late"], ["first", "second", "black"])
    choose(root, "layer", "the wide layer", layer="1")
    choose(root, "image", "black", image=2)
    check(root, explorer, pick=choose(root, "network", "small", network="small", layer="early", image=0))
    assert (offered("image"), offered("method")) == (["black", "grainy"], ["isolation", "LRP"])
    assert offered("kernel") == ["2", "4 (silent)"]
    expect(root.locator("select[name=layer]")).to_be_hidden()  # nothing to choose
    expect(panel(root, "What drives")).to_contain_text("of the only layer")
    seen = len(watch.sheets())
    check(root, explorer, pick=choose(root, "image", "grainy", image=1))
    assert len(watch.sheets()) >= seen > 0


@as_a_file
def test_methods_betas_and_kernels_are_picked_by_click(root: Locator, explorer: Explorer) -> None:
    choose(root, "layer", "the wide layer", layer="1")
    panel(root, "by five methods").get_by_role("button").nth(3).click()
    check(root, explorer, pick=wait_for(root, method="lrp"))
    expect(root.locator("[name=beta]")).to_be_hidden()
    expect(panel(root, "by five methods").get_by_role("button", pressed=True)).to_have_count(1)
    expect(panel(root, "Loss while")).to_have_count(0)
    panel(root, "more and less").get_by_role("button").last.click()
    check(root, explorer, pick=wait_for(root, method="isolation", beta=0.8))
    expect(panel(root, "Loss while")).to_have_count(1)
    row = panel(root, "on this image, most active first")
    expect(row.get_by_role("button")).to_have_count(4)
    row.get_by_role("button").last.click()
    last = check(root, explorer, pick=wait_for(root, beta=0.8))
    assert row.get_by_role("button").last.get_attribute("aria-pressed") == "true"
    bars = panel(root, "Energy of the kernels")
    bars.get_by_role("button").first.click()
    changed(root, "kernel", last)
    check(root, explorer)


@as_a_file
def test_a_silent_kernel_says_so(root: Locator, explorer: Explorer) -> None:
    choose(root, "image", "black", image=2)
    marked = root.locator("select[name=kernel] .fl-marked")
    expect(marked).to_have_text(["3 (silent)", "4 (silent)"])
    check(root, explorer, pick=choose(root, "kernel", "4 (silent)", kernel=4))
    expect(root.locator(".fl-panel-text")).to_contain_text("answers nothing to this image (black)")
    expect(panel(root, "most active first")).to_contain_text("4: silent")


@as_a_file
def test_a_focused_button_keeps_the_focus(page: Page, root: Locator) -> None:
    button = panel(root, "by five methods").get_by_role("button").nth(1)
    button.focus()
    page.keyboard.press("Enter")
    wait_for(root, method="guided")
    assert "guided" in page.evaluate("document.activeElement.textContent")


@as_a_file
@pytest.mark.parametrize("width", [1440, 375])
def test_it_fits_and_axe_finds_nothing(page: Page, root: Locator, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    choose(root, "layer", "the wide layer", layer="1")
    choose(root, "other", "5", other="5")
    assert_fits_and_clean(page)
