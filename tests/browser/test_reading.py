"""What a reader does with the pages: search, switch the colours, skip to the text, take a chapter home. By mouse and by keyboard."""

from __future__ import annotations

import re

import nbformat
from playwright.sync_api import Page, expect

CHAPTER = "notebooks/3-decoding.html"


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
