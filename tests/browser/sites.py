"""The site under test and the server that hands it out; ``conftest`` makes fixtures of them.

The site is built in a copy of the project below ``_build``, so that a test touches neither the reader's pages nor the ledger, with
the profile that is published. What is current, there or in the project itself, is not done again.
"""

from __future__ import annotations

import gzip
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from filterlens import book, runs

HOME = Path(__file__).resolve().parents[2]
PARTS = ("_config.yml", "requirements.txt", "CITATION.cff", "book", "data", "notebooks")
MADE = ("notebooks", "results.md", "claims.md")  # in book/: not sources
PROFILE = "book"
PACKED = {".html", ".js", ".css", ".svg", ".json", ".ipynb", ".txt"}  # what any server compresses


def built(copy: Path = HOME / "_build" / "site-under-test") -> Path:
    """The folder of the built site. Several processes of one run may ask: the first builds, the others never touch what is being read."""
    copy.mkdir(parents=True, exist_ok=True)
    run, stamp = os.environ.get("PYTEST_XDIST_TESTRUNUID"), copy.with_suffix(".run")  # pytest-xdist's name for the run of all workers
    with FileLock(copy.with_suffix(".lock")):
        if run and stamp.exists() and stamp.read_text(encoding="utf-8") == run:
            return copy / "_build" / "html"
        for part in PARTS:
            _mirror(HOME / part, copy / part)
        executed = copy / "book" / "notebooks"
        if not _current(executed, copy) and (HOME / "book" / "notebooks").is_dir():
            shutil.rmtree(executed, ignore_errors=True)
            shutil.copytree(HOME / "book" / "notebooks", executed)
        site = book.build(PROFILE, home=copy, say=lambda _: None).parent
        stamp.write_text(run or "", encoding="utf-8")
        return site


def _mirror(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy(source, target)
        return
    kept = {target / name for name in MADE} if source.name == "book" else set()
    for path in target.iterdir() if target.is_dir() else []:
        if path not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    made = shutil.ignore_patterns(*MADE) if kept else None
    shutil.copytree(
        source, target, dirs_exist_ok=True, ignore=lambda folder, names: made(folder, names) if made and folder == str(source) else []
    )


def _current(executed: Path, home: Path) -> bool:
    return all(runs.is_current(path, profile=PROFILE, out=executed, home=home) for path in (home / "notebooks").glob("*.ipynb"))


@cache
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 6)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on a free port of this machine, compressed as servers do; the address, ending in '/'."""

    class Files(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = (folder / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
            path = path / "index.html" if path.is_dir() else path
            found = path.is_file() and folder.resolve() in path.parents
            packed = found and path.suffix in PACKED and "gzip" in self.headers.get("Accept-Encoding", "")
            body = (_packed(path) if packed else path.read_bytes()) if found else b"not here"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", guess_type(path.name)[0] or "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
