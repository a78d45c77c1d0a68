"""From a click to the painted frame, on the published page and live in JupyterLab, measured inside of the browser.

The clock starts when the page receives the click; the explorer then says which pick it has drawn (``data-pick``), and the second
animation frame after that is the one in which it can be seen.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from chromium import address, browser_context_args, browser_type_launch_args, chromium, page, site, watch  # noqa: F401
from laboratory import Notebook, laboratory, write
from playwright.sync_api import Locator, Page
from test_jupyterlab import CELLS
from toy_explorers import page_of

from filterlens import features
from filterlens.explorer import influence_explorer

PICKS = 48
CLOCK = """root => {
  const times = (root.ownerDocument.defaultView.picked = []);
  let start = null;
  for (const kind of ["pointerup", "change"]) root.addEventListener(kind, () => (start ??= performance.now()), true);
  new MutationObserver(() => {
    if (start === null) return;
    const from = start;
    start = null;
    requestAnimationFrame(() => requestAnimationFrame(() => times.push(performance.now() - from)));
  }).observe(root, { attributeFilter: ["data-pick"] });
}"""


def milliseconds(root: Locator, axis: str, benchmark: Any) -> list[float]:
    """Step through an axis, forwards and back, by its buttons if it has any; each pick's milliseconds to the painted frame."""
    page = root.page
    root.evaluate(CLOCK)
    control = root.locator(f"[name={axis}]")
    steps = control.locator("xpath=..").locator("button.fl-step")
    last = control.locator("option").count() - 1
    start = control.evaluate("one => one.selectedIndex")
    walk = iter([abs((start + i + last) % (2 * last) - last) for i in range(1, PICKS + 1)])  # to and fro between the ends

    def pick() -> None:
        now, then = control.evaluate("one => one.selectedIndex"), next(walk)
        before = page.evaluate("picked.length")
        if steps.count():
            steps.nth(int(then > now)).click()
        else:
            control.select_option(index=then)
        page.wait_for_function("before => picked.length > before", arg=before)

    benchmark.pedantic(pick, rounds=PICKS, iterations=1)
    times = page.evaluate("picked")
    assert len(times) == PICKS
    return times


def row(name: str, times: list[float]) -> str:
    first, *rest = times  # nothing is there yet: the states it needs are fetched and unpacked, the script has not run before
    of = f"of {len(rest)} picks   first pick after loading {first:5.1f} ms"
    return f"{name:<48} median {statistics.median(rest):5.1f} ms   worst {max(rest):5.1f} ms   {of}"


@pytest.mark.parametrize(("title", "axis"), [("What does this filter look for?", "filter"), ("A character from parts", "top_left")])
def test_a_pick_on_the_page(page: Page, address: str, benchmark: Any, tables: list[str], title: str, axis: str) -> None:  # noqa: F811
    page.goto(f"{address}notebooks/3-decoding.html")
    root = page.locator(f'.fl-explorer[aria-label="{title}"][data-pick]')
    root.wait_for()
    tables.append(row(f"page, {title} ({axis})", milliseconds(root, axis, benchmark)))


ACCURACY = """root => {
  const times = (root.ownerDocument.defaultView.counted = []);
  let start = null;
  root.addEventListener("input", () => (start = performance.now()), true);
  new MutationObserver(() => {
    if (start === null) return;
    const from = start;
    start = null;
    requestAnimationFrame(() => requestAnimationFrame(() => times.push(performance.now() - from)));
  }).observe(root.querySelector(".fl-group"), { childList: true });
}"""


@pytest.mark.parametrize("linked", [True, False], ids=["r = s", "free"])
def test_accuracy_over_ten_thousand_images_on_the_page(page: Page, benchmark: Any, tables: list[str], tmp_path: Path, linked: bool) -> None:  # noqa: F811
    """Each step of s (or r) is one that the page has not counted before: no answer is remembered."""
    pooled = features.load("resnet20-public")
    with pytest.MonkeyPatch.context() as patch:
        address = page_of(tmp_path, patch, lambda: influence_explorer(pooled)).as_uri()
    page.goto(address)
    root, axis = page.locator(".fl-explorer[data-pick]"), "s" if linked else "r"
    root.wait_for()
    if not linked:
        root.locator("select[name=linked]").select_option(index=1)
    root.locator(f"input[name={axis}]").focus()
    page.wait_for_timeout(3000)  # the surface's own values of r are counted meanwhile
    root.evaluate(ACCURACY)

    def pick() -> None:
        before = page.evaluate("counted.length")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("before => counted.length > before", arg=before)
        page.wait_for_function("root => !root.hasAttribute('aria-busy')", arg=root.element_handle())

    benchmark.pedantic(pick, rounds=PICKS, iterations=1)
    tables.append(row(f"page, accuracy of 10,000 images ({axis})", page.evaluate("counted")))


def test_a_pick_in_jupyterlab(page: Page, benchmark: Any, tables: list[str], tmp_path: Path) -> None:  # noqa: F811
    page.set_viewport_size({"width": 1440, "height": 3600})
    write(tmp_path / "live.ipynb", CELLS)
    with laboratory(tmp_path) as address:  # noqa: F811
        root = Notebook(page, address.format("live.ipynb")).run(0).locator(".fl-explorer[data-pick]")
        tables.append(row("JupyterLab, LeNet, one image (filter)", milliseconds(root, "filter", benchmark)))
        page.goto("about:blank")
