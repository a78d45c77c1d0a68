"""One cell of a sweep: what it is called, how it is measured, and its file, which holds finished rows or is not there.

``measure`` is what a worker runs, in any process on any machine; it never raises, so that no executor has to carry an exception.
``snapshots`` writes the files: to a temporary name, with a hash, renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import re
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filterlens.runs import records
from filterlens.runs.sweeps.spec import Spec

SUFFIX = ".cell"
_LOADED: dict[str, Any] = {}  # of this worker: the network and the images of the last cells, which are often the next one's
_KEPT = 2


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell's place in the table, its settings (of a kind of ``experiments``), and its name: words and a digest of what decides its rows."""

    at: int
    kind: str
    settings: Any
    name: str
    device: str | None


def plan(spec: Spec, device: str | None) -> list[Cell]:
    """The cells of a spec in order. Raises CheckpointError for weights that are not there."""
    from filterlens import experiments
    from filterlens.experiments import measuring

    kinds = {kind: name for name, kind in experiments.KINDS.items()}
    weights: dict[tuple, str] = {}
    cells = []
    for at, settings in enumerate(spec.cells):
        kind, told = kinds[type(settings)], None
        if settings.network is not None:
            key = tuple(str(getattr(settings, part, "")) for part in ("network", "pretrained", "trained", "trained_epochs"))
            told = weights[key] = weights.get(key) or measuring.told(settings)
        own = {key: value for key, value in asdict(settings).items() if key != "source"}
        decides = json.dumps([kind, own, told, device], sort_keys=True, default=str)
        words = "-".join(_words(own[name]) for name in spec.varied if own[name] is not None)
        digest = hashlib.sha256(decides.encode()).hexdigest()[:12]
        cells.append(Cell(at, kind, settings, "-".join(filter(None, [words[:80].strip("-"), digest])), device))
    return cells


def _words(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "-".join(map(_words, value))
    return re.sub(r"[^A-Za-z0-9.]+", "-", str(value)).strip("-")


def read(path: Path) -> dict[str, Any] | None:
    """The finished cell in a file; None if there is none, or one that is damaged, which is as good as none."""
    from filterlens.models import CheckpointError
    from filterlens.training import snapshots

    try:
        return snapshots.read(path) if path.is_file() else None
    except CheckpointError:
        return None


def measure(cell: Cell, folder: str) -> dict[str, Any]:
    """Measure one cell: its rows, what they were measured of, seconds, versions and hardware, or the error in words.

    One thread. In ``folder`` lie its log and what is half done, which the next try goes on from. Never raises: a SystemExit in a task
    would take a Dask worker with it.
    """
    began = time.perf_counter()
    place = Path(folder).expanduser()
    told = {"versions": records.versions(("filterlens", "torch", "numpy")), "hardware": records.hardware(), "host": platform.node()}
    try:
        with _logged(place / "logs" / f"{cell.name}.log"):
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()} on {platform.node()}: {cell.settings}", flush=True)
            try:
                rows, identity = _measured(cell, place / "work" / cell.name)
            except BaseException:
                traceback.print_exc()
                raise
            seconds = time.perf_counter() - began
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} finished: {len(rows)} rows in {seconds:.1f} s", flush=True)
        return {"rows": rows, "identity": identity, "seconds": seconds, **told}
    except BaseException as error:  # noqa: BLE001 - whatever it is, the client says it
        words = str(error) or "no words"
        return {"error": words if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {words}", **told}


def _measured(cell: Cell, work: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    import torch

    from filterlens import experiments
    from filterlens.experiments import measuring

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    kind = experiments.KINDS[cell.kind]
    key = json.dumps([cell.kind, cell.device, {name: getattr(cell.settings, name) for name in kind.loads}], default=str)
    key = key if kind.loads else f"{key} {cell.name}"
    try:
        if key not in _LOADED:
            while len(_LOADED) >= _KEPT:
                del _LOADED[next(iter(_LOADED))]
            _LOADED[key] = measuring.ready(cell.settings, device=cell.device)
        given = _LOADED[key]
        with _mine(work) as far:
            return measuring.measure(cell.settings, far, given, device=cell.device), dict(given.identity)
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _mine(work: Path) -> Iterator[Path | None]:
    """The folder of what is half done, which a second process that measures the same cell must not touch: it gets None, and starts anew.

    That happens when a client dies and its cluster has not noticed before the next one asks for the cell again.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as file:
        yield work if locked(file) else None


def locked(file: Any) -> bool:
    """Take the lock of an open file, which goes with the process, however it ends; False if another one has it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What the cell says goes into its log, behind what earlier tries said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", buffering=1) as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield
