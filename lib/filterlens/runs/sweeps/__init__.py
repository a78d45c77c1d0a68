"""A published table as many small cells, measured here or on a cluster, stopped at any moment and gone on with.

``spec`` reads and checks the YAML file, ``cells`` measures one cell and keeps it, ``places`` are the executors, ``ledger`` turns finished
cells into rows of the ledger. There is no engine here: ``concurrent.futures`` hands out the cells, ``experiments`` measures them, and an
experiment that ``experiments.make`` runs alone is one cell. A cell's file holds finished rows, with their hash, or is not there.

Torch is imported only where it is needed: by then the processes of ``runs.forks`` import it, too.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filterlens.runs.sweeps import cells as _cells
from filterlens.runs.sweeps import ledger
from filterlens.runs.sweeps.cells import Cell
from filterlens.runs.sweeps.places import Cluster, PlaceError, Processes, say
from filterlens.runs.sweeps.spec import Spec, SpecError, every, find, names, read
from filterlens.sources import cache

__all__ = ["PlaceError", "Spec", "SpecError", "SweepError", "every", "find", "names", "read", "sweep"]

PATIENCE = 1.0  # seconds between two looks whether the place is still there


class SweepError(RuntimeError):
    """Cells that could not be measured, with what each of them said; the others are finished and kept."""


def sweep(
    spec: str | Path | Spec,
    *,
    workers: int = 2,
    scheduler: str | None = None,
    device: str | None = None,
    folder: str | Path | None = None,
    out: str | Path | bool | None = True,
    retries: int = 3,
    force: bool = False,
    on_cell: Callable[[Cell], object] = lambda cell: None,
) -> Any:
    """Measure every cell of a spec that is not finished yet, and return the whole table, an ``experiments.Experiment``.

    spec: a name in ``notebooks/experiments``, the path of a .yaml file, or what ``read`` made of it.
    workers: processes of this machine, each with one thread and one cell at a time.
    scheduler: ``tcp://HOST:PORT`` of a Dask cluster that runs already, instead of processes: its workers have one thread each, this version of
        the library and the same data; where they also see ``folder``, a cell that was half done on a lost worker goes on.
    device: "cuda", say: where the networks go. Numbers of another device are other cells.
    folder: of finished cells, logs and what is half done; by default the spec's own in the user's cache.
    out: the path of the finished table, a .csv; True for data/experiments/NAME.csv (a spec of the reader's own: beside it); None writes none.
    retries: how often a cell is handed out again after its worker was lost.
    force: forget finished cells.
    on_cell: called with each cell as soon as it is kept.

    The table does not depend on workers, cluster or interruptions, to the last bit (on processors of one kind, with one version of torch).
    With ``out`` True, finished cells of a project's spec are entered into the ledger, as ``NAME`` with the profile "paper" (with a scale: "small"), also if others
    failed. Raises SpecError before anything is measured, TypeError or ValueError naming another argument, CheckpointError for missing weights,
    PlaceError for a cluster that is not or no longer there, SweepError when all cells that can be measured are and others failed.
    """
    from filterlens import checks

    spec = spec if isinstance(spec, Spec) else read(spec)
    target = _target(spec, out)
    if device is not None:
        device = _device(device)
    workers, retries = checks.integer("workers", workers, 1), checks.integer("retries", retries, 0)
    if scheduler is not None and (not isinstance(scheduler, str) or not scheduler):
        raise TypeError(f"scheduler: got {checks.describe(scheduler)}, expected an address such as 'tcp://localhost:8786'")
    if folder is not None and (not isinstance(folder, str | Path) or not str(folder)):
        raise TypeError(f"folder: got {checks.describe(folder)}, expected a folder")
    plan = _cells.plan(spec, device)
    place = Path(folder).expanduser().resolve() if folder is not None else cache() / "sweeps" / spec.name
    with _alone(place):
        if force:
            for cell in plan:
                _file(place, cell).unlink(missing_ok=True)
        found = {cell.at: kept for cell in plan if (kept := _cells.read(_file(place, cell))) is not None}
        missing = [cell for cell in plan if cell.at not in found]
        failed: dict[int, str] = {}
        entered = out is True and ledger.is_ours(spec)
        try:
            if missing:
                executor = Cluster(scheduler) if scheduler else Processes(min(workers, len(missing)))
                _go(spec, plan, missing, executor, place, retries, found, failed, on_cell)
        finally:
            if entered and found:
                ledger.enter(spec, plan, found)
    if failed:
        raise SweepError(_failures(spec, plan, failed, place))
    return _finished(spec, plan, found, target, device)


def _go(
    spec: Spec, plan: list[Cell], missing: list[Cell], executor: Any, place: Path, retries: int, found: dict[int, Any],
    failed: dict[int, str], on_cell: Callable[[Cell], object],
) -> None:  # fmt: skip
    """Hand out the cells and keep each result; a worker that is lost gives its cell back."""
    from tqdm import tqdm

    from filterlens.training import snapshots

    waiting, running, lost = deque(missing), dict[Future, Cell](), Counter[int]()
    snapshots.check_writable(place / "cells" / "any", "folder")
    try:
        with tqdm(total=len(plan), initial=len(found), unit="cell", desc=spec.name, smoothing=0.1) as bar:
            while waiting or running:
                while waiting and len(running) < executor.slots:
                    cell = waiting.popleft()
                    running[executor.submit(_cells.measure, cell, str(place))] = cell
                done, _ = wait(running, timeout=PATIENCE, return_when=FIRST_COMPLETED)
                executor.check()
                for future in done:
                    cell = running.pop(future)
                    executor.collect(future)
                    error = future.exception()
                    if isinstance(error, executor.lost):
                        lost[cell.at] += 1
                        if lost[cell.at] <= retries:
                            say(f"{cell.name}: lost its worker, try {lost[cell.at] + 1} of {retries + 1}")
                            waiting.appendleft(cell)
                            continue
                        result = {"error": f"lost its worker {lost[cell.at]} times; did it run out of memory?"}
                    elif error is not None:
                        result = {"error": f"{type(error).__name__}: {error}"}
                    else:
                        result = future.result()
                    if "error" in result:
                        failed[cell.at] = result["error"]
                        say(f"{cell.name}: {result['error'].partition(chr(10))[0]}")
                    else:
                        _keep(place, cell, result)
                        found[cell.at] = result
                        on_cell(cell)
                    bar.update()
    finally:
        executor.close()


def _keep(place: Path, cell: Cell, result: dict[str, Any]) -> None:
    import shutil

    from filterlens.training import snapshots

    told = {"kind": cell.kind, "settings": str(cell.settings), "name": cell.name, "finished": time.strftime("%Y-%m-%d %H:%M:%S")}
    snapshots.write(_file(place, cell), {**told, **result})
    shutil.rmtree(place / "work" / cell.name, ignore_errors=True)


def _file(place: Path, cell: Cell) -> Path:
    return place / "cells" / (cell.name + _cells.SUFFIX)


def _finished(spec: Spec, plan: Sequence[Cell], found: dict[int, Any], target: Path | None, device: str | None) -> Any:
    """The table of all cells in their order, with its story."""
    import pandas as pd

    from filterlens import experiments

    _check_alike(spec, plan, found)
    rows = pd.DataFrame([row for cell in plan for row in found[cell.at]["rows"]])
    packages = {name for cell in plan for name in cell.settings.packages}
    about = {
        "command": f"filterlens sweep {spec.name}" + ("" if device is None else f" --device {device}"),
        "source": spec.about,
        **({"scale": spec.scale} if spec.scale else {}),
        "cells": len(plan),
        "seconds": round(sum(found[cell.at]["seconds"] for cell in plan), 1),
        "measured_with": sorted({found[cell.at]["versions"] for cell in plan}),
        "measured_on": sorted({found[cell.at]["hardware"] for cell in plan}),
        "versions": experiments.package_versions(tuple(sorted(packages))),
    }
    if target is None:
        return experiments.Experiment(spec.name, rows, about, None)
    return experiments.load(experiments.keep(rows, target, about))


def _check_alike(spec: Spec, plan: Sequence[Cell], found: dict[int, Any]) -> None:
    """Cells that say they stand on the same network and images do: not on those of two data roots, say."""
    from filterlens import experiments

    first: dict[str, tuple[str, dict]] = {}
    for cell in plan:
        loads = experiments.KINDS[cell.kind].loads
        if not loads:
            continue
        key = str([cell.kind, *(getattr(cell.settings, name) for name in loads)])
        name, identity = first.setdefault(key, (cell.name, found[cell.at]["identity"]))
        if differing := [part for part in identity if identity[part] != found[cell.at]["identity"].get(part)]:
            where = f"{spec.name}: the cells {name} and {cell.name} were measured with different {' and '.join(differing)}"
            raise SweepError(f"{where} ({identity[differing[0]]}; {found[cell.at]['identity'].get(differing[0])}); measure again with --force")


def _failures(spec: Spec, plan: Sequence[Cell], failed: dict[int, str], place: Path) -> str:
    """One message of all that failed, the same words once."""
    by_words: dict[str, list[str]] = {}
    for at, words in sorted(failed.items()):
        by_words.setdefault(words, []).append(plan[at].name)
    parts = [f"{spec.name}: {len(failed)} of {len(plan)} cells failed; the others are kept. Logs: {place / 'logs'}"]
    for words, cells in by_words.items():
        parts.append(f"{', '.join(cells[:3])}{f' and {len(cells) - 3} more' if len(cells) > 3 else ''}: {words}")
    return "\n".join(parts)


def _target(spec: Spec, out: Any) -> Path | None:
    from filterlens import experiments

    if out is True and not ledger.is_ours(spec):
        return spec.path.with_suffix(".csv")
    return experiments.table_path(spec.name, out)


def _device(device: Any) -> str:
    import torch
    from torch import nn

    from filterlens import checks
    from filterlens.training import arguments

    if not isinstance(device, str):
        raise TypeError(f"device: got {checks.describe(device)}, expected the name of a device, such as 'cuda'")
    try:
        torch.device(device)
    except RuntimeError:
        arguments.device(nn.Module(), device)
    return device


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One sweep at a time in a folder; the lock goes with the process, however it ends."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        file = open(place / "lock", "w")
    except OSError as error:
        raise ValueError(f"folder: got {str(place)!r}, expected a folder that can be written ({error})") from error
    with file:
        if not _cells.locked(file):
            raise SweepError(f"folder: another sweep is at work in {place}; wait for it, or name another folder")
        yield
