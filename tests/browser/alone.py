"""The page of one explorer alone, opened from a server and as a file: fixtures for test files whose ``TOY`` makes the explorer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from explorers import wait_for
from playwright.sync_api import Locator, Page
from sites import served
from toy_explorers import page_of

from filterlens.explorer import Explorer


# For tests of what stands once it is loaded: size, colours, focus, clicks. The script never asks for its page's address (a test in
# test_explorer_script says so), and a file is the place where browsers allow least.
as_a_file = pytest.mark.parametrize("start", ["file"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page lies."""
    with pytest.MonkeyPatch.context() as patch:
        return page_of(tmp_path_factory.mktemp("toy"), patch, request.module.TOY).parent


@pytest.fixture(scope="module")
def explorer(request: pytest.FixtureRequest) -> Explorer:
    """Python's own, for the truth."""
    return request.module.TOY()


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
