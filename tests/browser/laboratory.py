"""A JupyterLab of its own on a free port, with its settings, notebooks and traces in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect

NEWS = "@jupyterlab/apputils-extension:announcements"  # would ask other hosts
ATTEMPTS = 4
PATIENCE = 90  # seconds for the server to start


@contextmanager
def laboratory(folder: Path) -> Iterator[str]:
    """Start JupyterLab on the folder; the address of its tree, to which ``?token=`` is added by ``at``. It is stopped at the end, always."""
    settings, token = folder / ".settings", secrets.token_hex(16)
    page = settings / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps({"disabledExtensions": {NEWS: True}}))
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    environment = {**os.environ, **dict.fromkeys(names, str(settings)), "OMP_NUM_THREADS": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--LabApp.collaborative=False",
    ]  # fmt: skip
    server = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    running = threading.Event()

    def listen() -> None:
        for line in server.stderr or ():
            said.append(line)
            if f"127.0.0.1:{port}/lab" in line:
                running.set()
        running.set()  # it has ended

    threading.Thread(target=listen, daemon=True).start()
    try:
        if not running.wait(PATIENCE) or server.poll() is not None:
            raise RuntimeError("JupyterLab did not start:\n" + "".join(said[-20:]))
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def write(path: Path, cells: Sequence[str]) -> Path:
    """A notebook of these code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


class Notebook:
    """A notebook opened in JupyterLab, its cells by number."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        page.goto(address)
        self.cells = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")
        self.cells.first.wait_for(timeout=60_000)
        page.locator(".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)

    def run(self, number: int) -> Locator:
        """Run a cell and wait until the kernel is done with it; its output. A kernel that has just started may lose what it is asked."""
        cell = self.cells.nth(number)
        prompt = cell.locator(".jp-InputPrompt").first
        for attempt in range(ATTEMPTS):
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            try:
                expect(prompt).not_to_have_text(re.compile(r"\[ ?\]"), timeout=5_000)
                break
            except AssertionError:
                if attempt == ATTEMPTS - 1:
                    raise
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=60_000)
        return cell.locator(".jp-OutputArea").first
