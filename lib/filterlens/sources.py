"""Where data lies and how it is fetched: the ground under ``archives``, ``pictures`` and ``checkpoints``.

Everything is looked for in the caller's root or FILTERLENS_DATA, then in the user's cache; only then is it downloaded into
the cache. Nothing is ever written outside the cache.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn


class DataError(FileNotFoundError, ValueError):
    """Images that are missing, damaged or not the ones their name promises."""


def project_home() -> Path:
    """The project folder that contains ``data/``: beside the editable install, else named by FILTERLENS_HOME.

    Raises FileNotFoundError naming both if neither exists.
    """
    beside = Path(__file__).resolve().parents[2]
    if (beside / "data").is_dir() and (beside / "lib" / "filterlens").is_dir():
        return beside
    named = os.environ.get("FILTERLENS_HOME", "")
    if named and (Path(named).expanduser() / "data").is_dir():
        return Path(named).expanduser().resolve()
    raise FileNotFoundError(
        f"the project's data folder was not found: neither {beside / 'data'} (beside an editable install, pip install -e ./lib) "
        f"nor FILTERLENS_HOME ({named or 'not set'}; expected the folder that contains data/)"
    )


def cache() -> Path:
    """The user's cache folder, where downloads go."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("filterlens"))


def data_root(root: str | Path | None = None) -> Path | None:
    """The folder the user keeps data in: ``root``, else FILTERLENS_DATA, else None."""
    named = root if root is not None else os.environ.get("FILTERLENS_DATA") or None
    if named is None:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{'root' if root is not None else 'FILTERLENS_DATA'}: {folder} is not a folder")
    return folder


def refuse(name: str, problem: str, layout: str) -> NoReturn:
    """Raise the one error for missing or damaged data, with the three ways to get it."""
    raise DataError(
        f"{name}: {problem}\nThree ways to get it:\n"
        f"  1. put it under a data root and set FILTERLENS_DATA (or pass root=): {layout}\n"
        f"  2. put the same files into the cache: {cache()}\n"
        f"  3. be online: what is neither here nor there is downloaded into the cache and checked"
    )


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """A dead connection must end in an error, not in silence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def download(name: str, urls: list[str], target: Path, md5: str, layout: str) -> Path:
    """Fetch one file with progress, check its md5, and only then give it its name."""
    from torchvision.datasets.utils import download_url

    problems = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(name, f"the cache cannot be written ({error})", layout)
    for url in urls:
        with tempfile.TemporaryDirectory(dir=target.parent, suffix=".part") as part, _patience(30):
            try:
                download_url(url, part, filename=target.name, md5=md5)
                os.replace(Path(part) / target.name, target)
                return target
            except (OSError, RuntimeError, HTTPException) as error:  # URLError is an OSError; a wrong hash a RuntimeError
                problems.append(f"{url}: {error}")
    refuse(name, "not found, and the download failed (" + "; ".join(problems) + ")", layout)
