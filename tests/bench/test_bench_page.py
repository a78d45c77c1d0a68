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
    """Step through an axis with its buttons, forwards and back; each pick's milliseconds to the painted frame."""
    page = root.page
    root.evaluate(CLOCK)
    box = root.locator(f"[name={axis}]").locator("xpath=..")
    back, forth = box.locator("button.fl-step").all()
    one = {"way": forth}

    def pick() -> None:
        if one["way"].is_disabled():
            one["way"] = back if one["way"] is forth else forth
        before = page.evaluate("picked.length")
        one["way"].click()
        page.wait_for_function("before => picked.length > before", arg=before)

    benchmark.pedantic(pick, rounds=PICKS, iterations=1)
    times = page.evaluate("picked")
    assert len(times) == PICKS
    return times


def row(name: str, times: list[float]) -> str:
    return f"{name:<48} median {statistics.median(times):5.1f} ms   worst {max(times):5.1f} ms   of {len(times)} picks"


@pytest.mark.parametrize(("title", "axis"), [("What does this filter look for?", "filter"), ("A character from parts", "part_0")])
def test_a_pick_on_the_page(page: Page, address: str, benchmark: Any, tables: list[str], title: str, axis: str) -> None:  # noqa: F811
    page.goto(f"{address}notebooks/3-decoding.html")
    root = page.locator(f'.fl-explorer[aria-label="{title}"][data-pick]')
    root.wait_for()
    found = root.locator("[name]").evaluate_all("all => all.map(one => one.name)")
    axis = axis if axis in found else found[0]
    tables.append(row(f"page, {title} ({axis})", milliseconds(root, axis, benchmark)))


def test_a_pick_in_jupyterlab(page: Page, benchmark: Any, tables: list[str], tmp_path: Path) -> None:  # noqa: F811
    page.set_viewport_size({"width": 1440, "height": 3600})
    write(tmp_path / "live.ipynb", CELLS)
    with laboratory(tmp_path) as address:  # noqa: F811
        root = Notebook(page, address.format("live.ipynb")).run(0).locator(".fl-explorer[data-pick]")
        tables.append(row("JupyterLab, LeNet, one image (filter)", milliseconds(root, "filter", benchmark)))
        page.goto("about:blank")
