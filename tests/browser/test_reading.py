"""What a reader does with the pages: search, switch the colours, skip to the text, take a chapter home. By mouse and by keyboard."""

from __future__ import annotations

import re

import nbformat
import pytest
from playwright.sync_api import Page, expect

CHAPTER = "notebooks/3-decoding.html"


@pytest.mark.parametrize("width", [1100, 375])
def test_the_front_page_shows_its_idea_on_the_first_screen_and_answers_the_keyboard(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}intro.html")
    root = page.locator(".fl-explorer")
    first = root.locator("figure.fl-panel").first
    expect(first).to_contain_text("What does the filter of the 4 do?")
    expect(first.locator("canvas").nth(1)).to_be_in_viewport(ratio=1)  # the filter, beside the digit
    root.get_by_role("button", name="a 7", exact=True).press("Enter")
    root.get_by_role("button", name="filter of the 2", exact=True).press("Enter")
    expect(first).to_contain_text("What does the filter of the 2 do?")
    expect(root).to_contain_text("The ten answers to this 7")


def test_a_word_is_found_and_the_first_result_opens_its_page(page: Page, address: str) -> None:
    page.goto(f"{address}intro.html")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input[type=search]").fill("unpooling")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"search\.html"))
    results = page.locator("#search-results li a")
    expect(results.first).to_be_visible()
    expect(page.locator("#search-results")).to_contain_text("What does a filter look for?")
    results.first.click()
    page.wait_for_url(re.compile(r"^(?!.*search\.html)"))
    expect(page.locator("article")).to_contain_text(re.compile("unpool", re.I))


def test_a_word_leads_to_the_glossary_and_a_function_there_and_back(page: Page, address: str) -> None:
    page.goto(f"{address}{CHAPTER}")
    page.locator("a.reference", has_text="linear part").first.click()
    page.wait_for_url("**/glossary.html#term-linear-part", wait_until="commit")
    expect(page.locator("dt#term-linear-part")).to_be_in_viewport()
    page.goto(f"{address}{CHAPTER}#functions-of-this-chapter")
    page.locator("section#functions-of-this-chapter a", has_text=re.compile("^decode$")).click()
    page.wait_for_url("**/api.html#filterlens.lenses.decoding.decode", wait_until="commit")
    entry = page.locator("dl", has=page.locator("dt[id='filterlens.lenses.decoding.decode']")).last
    entry.locator("a", has_text=re.compile("^Decoding$")).click()
    page.wait_for_url(f"**/{CHAPTER}", wait_until="commit")


def test_every_claim_is_judged_and_every_verdict_stands(page: Page, address: str) -> None:
    page.goto(f"{address}claims.html")
    rows = page.locator("article section section tbody tr")
    verdicts = rows.locator("td:nth-child(4)").all_inner_texts()
    assert len(verdicts) > 50 and not {"withdrawn", "not yet judged"} & set(verdicts)
    paper = rows.locator("td:nth-child(2)").all_inner_texts()
    assert sum(map(bool, paper)) > 40  # read from the chapters' tables


def test_the_weights_of_all_pages_are_listed(page: Page, address: str) -> None:
    page.goto(f"{address}about.html")
    listed = page.locator("table.page-weights tbody tr td:first-child a")
    assert listed.count() > 14
    listed.filter(has_text="What does a filter look for?").click()
    page.wait_for_url(f"**/{CHAPTER}", wait_until="commit")


def test_the_theme_is_switched_by_keyboard_and_remembered(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"{address}intro.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    light, seen = page.evaluate(ground), []
    switch = page.locator(".theme-switch-button").filter(visible=True).first
    while len(seen) < 3 or (seen[-1] != "dark" and len(seen) < 6):
        switch.focus()
        page.keyboard.press("Enter")
        seen.append(page.evaluate("document.documentElement.dataset.mode"))
    assert set(seen) == {"auto", "light", "dark"} and seen[-1] == "dark"
    assert page.evaluate(ground) != light
    page.goto(f"{address}{CHAPTER}")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_reader_with_a_dark_system_gets_dark_pages(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{address}intro.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_first_stop_of_the_keyboard_skips_to_the_text(page: Page, address: str) -> None:
    page.goto(f"{address}{CHAPTER}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText").strip() == "Skip to main content"
    expect(page.locator(":focus")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#main-content'")
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('#main-content')")


def test_a_chapter_downloads_as_a_notebook_without_outputs(page: Page, address: str) -> None:
    page.goto(f"{address}{CHAPTER}")
    link = page.locator("a[download]", has_text=re.compile("notebook", re.I)).or_(page.locator("a[download][href$='.ipynb']")).first
    with page.expect_download() as waiting:
        link.evaluate("link => link.click()")
    assert waiting.value.suggested_filename == "3-decoding.ipynb"
    notebook = nbformat.read(waiting.value.path(), as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 10 and not any(cell.outputs or cell.execution_count for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
