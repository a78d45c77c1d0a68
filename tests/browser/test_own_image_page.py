"""The reader's own image on the published pages: each of its boards answers as PyTorch does, from a server and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from chromium import Watch
from own_images import answered, check_last, drop, loaded, noise, png, wait_for_answer
from playwright.sync_api import Page
from regions import assert_fits_and_clean

from filterlens.book.page import BOARD, MARK
from filterlens.explorer import own_image

CHAPTER = "notebooks/6-one-filter"
SPOKEN = {"LeNet": "lenet", "ResNet-20": "resnet20"}


@pytest.fixture(scope="module")
def boards(site: Path) -> dict[str, int]:
    """How many boards each page shows, of those that show any."""
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    counts = {path.relative_to(site).with_suffix("").as_posix(): path.read_text(encoding="utf-8").count(f"<div {BOARD}") for path in pages}
    return {page: count for page, count in counts.items() if count}


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    torch.set_num_threads(1)
    return {spoken: own_image(name) for spoken, name in SPOKEN.items()}


def test_only_pages_with_a_board_carry_its_script(site: Path, boards: dict[str, int]) -> None:
    assert boards[CHAPTER] == 2
    for path in site.rglob("*.html"):
        text, page = path.read_text(encoding="utf-8"), path.relative_to(site).with_suffix("").as_posix()
        assert ("_static/board.js" in text) == (page in boards), page
        assert ("_static/explorer.js" in text) == (f"<div {MARK}" in text and page not in boards), page


@pytest.mark.parametrize("place", ["http", "file"])
def test_published_boards_answer_as_pytorch_does(
    page: Page, watch: Watch, site: Path, address: str, boards: dict[str, int], truth: dict[str, Any], place: str
) -> None:
    for name, count in boards.items():
        page.goto(f"{address}{name}.html" if place == "http" else (site / f"{name}.html").as_uri())
        assert [url for url in watch.sheets() if "/own-image/" in url] == [], "loaded before it was asked for"
        offered = [text.split(" (")[0].removeprefix("Load ") for text in page.get_by_role("button", name="Load ").all_inner_texts()]
        assert len(offered) == count
        for spoken in offered:
            python = truth[spoken]
            root, image = loaded(page, spoken), noise(python.answers.size)
            check_last(page, python)  # the example that it starts with
            before = answered(page)
            drop(root, png(image))
            wait_for_answer(page, before)
            found = check_last(page, python)
            torch.testing.assert_close(found["image"], image, rtol=0, atol=1e-7)
            print(f"{name}, {place}, {spoken}: answered and drawn in {found['whole']:.0f} ms, apart {found['apart']:.1e}")
        watch.requests.clear()
        if place == "http":
            assert_fits_and_clean(page)
