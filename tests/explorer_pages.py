"""What an explorer leaves in a page: the state that its script reads, and the files beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from filterlens.explorer import Explorer, sheets


def page_of(explorer: Explorer) -> tuple[str, dict[str, Any]]:
    """Its HTML, and the state in it."""
    data, _ = explorer._repr_mimebundle_()
    return data["text/html"], json.loads(re.search(r'<script type="application/json">(.*)</script>', data["text/html"], re.S).group(1))


def page_and_its_file(make: Callable[[], Explorer], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """The same of one made where the runner wants states in ``folder``: asserts that its page fetches one file for all renderers."""
    monkeypatch.setenv(sheets.FOLDER, str(folder))
    text, state = page_of(make())
    (file,) = folder.glob("*.js")
    assert {renderer["sheet"] for renderer in state["renderers"]} == {file.stem}
    return text, state
