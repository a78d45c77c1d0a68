"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy networks are slower on several threads than on one


# Modules that take a minute or more, in the order in which they are begun: the first builds the site, the others give it the time.
# `make test` hands out whole modules in this order (--dist loadscope --no-loadscope-reorder), the short ones last, so that two workers end together.
LONG = (
    "browser/test_explorers.py", "test_notebooks.py", "test_book.py", "browser/test_own_image.py", "test_runs.py", "browser/test_explorer_simplex_page.py",
    "browser/test_explorer_isolation_page.py", "browser/test_explorer_alone.py", "browser/test_explorer_influence_page.py", "browser/test_pages.py",
)  # fmt: skip


@pytest.hookimpl(trylast=True)  # after pytest has put together what shares a browser
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long modules first, everything else in the order in which it was found."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The reader's data root; tests on full MNIST, CIFAR-10 or public weights are skipped without it."""
    root = os.environ.get("FILTERLENS_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs FILTERLENS_DATA, a folder with MNIST, CIFAR-10 and public weights (data/README.md)")
    return Path(root)


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data root, an empty cache, no network: every download fails at once. Returns the cache's parent."""

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.delenv("FILTERLENS_DATA", raising=False)
    monkeypatch.setattr("filterlens.sources.cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("filterlens.data.archives.cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("filterlens.data.archives.DEBIAN_FASHION", tmp_path / "nowhere")
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path


@pytest.fixture
def ax() -> Iterator[Axes]:
    """Axes of a figure of their own."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)
