"""Every page, wide and narrow, light and dark: it asks no other host, raises nothing, fits, and can be read by all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect
from regions import findings
from sites import HOME

WIDTHS = (1440, 375)
# What travels, compressed, until a page stands; nothing has been clicked.
WEIGHT = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""
SPHINX = ("genindex", "py-modindex", "search")


def listed() -> list[str]:
    """The pages of the table of contents and those that Sphinx adds."""
    toc = yaml.safe_load((HOME / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters, *SPHINX]


def show(page: Page, theme: str) -> None:
    """Set the theme's colours as its switch does."""
    page.evaluate("theme => Object.assign(document.documentElement.dataset, {mode: theme, theme})", theme)


def test_these_are_all_pages_of_the_site(site: Path) -> None:
    found = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html") if "_static" not in path.parts}
    assert found - {"index"} == set(listed())


def test_the_front_door_leads_to_the_first_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_url(f"{address}intro.html")
    expect(page.locator("article h1")).to_be_visible()


@pytest.mark.parametrize("name", listed())
def test_a_page_is_whole_at_any_width_and_no_heavier_than_three_megabytes(page: Page, address: str, name: str) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{address}{name}.html")
        weight = page.evaluate(WEIGHT)
        print(f"{weight / 1e6:6.2f} MB  {name}")
        assert 10_000 < weight < 3_000_000
        titles = page.locator("h1").filter(visible=True)
        assert titles.count() == 1, titles.all_inner_texts()
        assert page.evaluate("[...document.images].filter(image => !image.alt.trim()).map(image => image.src)") == []
        page.evaluate("[...document.images].forEach(image => { image.loading = 'eager'; })")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)") == []
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sideways <= 0, f"{sideways} px too wide at {width}"


@pytest.mark.parametrize("name", listed())
def test_axe_finds_nothing_but_what_the_theme_is_known_for(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}{name}.html")
    show(page, "light")
    assert findings(page) == []
    show(page, "dark")
    assert findings(page, rules=["color-contrast"]) == []


def test_formulas_are_set_in_the_chapter(page: Page, address: str) -> None:
    page.goto(f"{address}notebooks/3-decoding.html")
    page.wait_for_function("window.MathJax?.startup?.promise")
    page.evaluate("MathJax.startup.promise.then(() => true)")
    formulas = page.locator(".math")
    assert formulas.count() > 10
    assert page.locator(".math mjx-container").count() >= formulas.count()
    assert page.locator("mjx-merror").count() == 0
    assert not re.search(r"\\\(|\\\[|\$\$", page.locator("article").inner_text())
