"""The page of one explorer alone, opened from a server and as a file: fixtures for test files that say which ``folder`` it lies in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from explorers import wait_for
from playwright.sync_api import Locator, Page
from sites import served


@pytest.fixture(scope="module", params=["http", "file"])
def start(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The address of the page, from a server and as a file."""
    if request.param == "file":
        yield (folder / "index.html").as_uri()
    else:
        with served(folder) as address:
            yield address


@pytest.fixture
def root(page: Page, start: str) -> Locator:
    """The explorer, with its first pick drawn."""
    page.goto(start)
    found = page.locator(".fl-explorer")
    wait_for(found)
    return found
