"""Debian's Chromium, the site behind a local server, and pages that are watched: another host or an error fails the test.

Fixtures for the tests here (``conftest``) and for the benchmark of the page.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request
from sites import built, served

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip
OWN = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")
INSTALL = "needs Debian's Chromium: apt-get install --no-install-recommends chromium"


@dataclass
class Watch:
    """What the pages of a test asked for and complained of."""

    requests: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith(OWN):
            self.foreign.append(request.url)

    def message(self, message: ConsoleMessage) -> None:
        where = str(message.location.get("url"))
        if message.type == "error" and not where.endswith("/favicon.ico"):  # what browsers ask of their own accord
            self.complaints.append(f"{message.text} ({where})")

    def sheets(self) -> list[str]:
        """The files of explorers' states that were fetched."""
        return [url for url in self.requests if ".sheets/" in url]

    def forgive(self, words: str) -> None:
        """Drop a complaint that the test expected; it is an error if there was none."""
        kept = [complaint for complaint in self.complaints if words not in complaint]
        assert len(kept) < len(self.complaints), f"no complaint of {words!r} among {self.complaints}"
        self.complaints = kept


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; without it these tests are skipped, but never where FILTERLENS_BROWSER=required."""
    path = shutil.which("chromium")
    if path is None and os.environ.get("FILTERLENS_BROWSER") == "required":
        pytest.fail(INSTALL)
    if path is None:
        pytest.skip(INSTALL)
    return path


@pytest.fixture(scope="session")
def browser_type_launch_args(chromium: str) -> dict[str, Any]:
    """How pytest-playwright starts the browser: no name but this machine's is resolved."""
    return {"executable_path": chromium, "args": ARGUMENTS}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    """A quiet reader: nothing moves, so that a picture of the page is one moment's."""
    return {"reduced_motion": "reduce", "viewport": {"width": 1440, "height": 900}, "locale": "en-GB"}


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site; FILTERLENS_SITE names one that lies there already."""
    given = os.environ.get("FILTERLENS_SITE")
    return Path(given).resolve() if given else built()


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, ending in '/'."""
    with served(site) as address:
        yield address


@pytest.fixture
def watch(context: BrowserContext) -> Iterator[Watch]:
    """All that the test's pages ask for. Afterwards: nothing of another host, no error in the console."""
    watch = Watch()
    context.on("request", watch.request)
    context.on("console", watch.message)
    context.on("weberror", lambda error: watch.complaints.append(str(error.error)))
    yield watch
    assert watch.foreign == [], "asked another host"
    assert watch.complaints == [], "errors in the page"


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    """A watched page."""
    context.set_default_timeout(15_000)
    return context.new_page()
