"""The ledger: what the notebooks measured, one CSV per notebook and profile in ``data/results/``.

A notebook calls ``record`` with the id of the published number it re-measures (``data/published.csv``) or with an id of
its own. ``runs`` opens a sheet before the notebook starts and enters it into the ledger only when the notebook has
finished, so that a failed run leaves the ledger as it was. ``book`` reads it for the results page.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import difflib
import functools
import os
import platform
import re
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from filterlens.sources import project_home

COLUMNS = ("id", "value", "std", "n", "seeds", "profile", "data", "note", "versions", "hardware", "date")
RUN, SHEET = "FILTERLENS_RUN", "FILTERLENS_SHEET"  # which run a kernel belongs to, and where its rows are collected
SMOKE, SMALL = "smoke", "small"  # profiles that do not stand for a published number: a quick run, and another scale or network
_OWN = re.compile(r"own-\d{3}-[a-z0-9]+(-[a-z0-9]+)*")


def published(home: Path | None = None) -> dict[str, dict[str, str]]:
    """The published numbers by id, in the order of the file; the columns are those of ``data/published.csv``."""
    with open((home or project_home()) / "data" / "published.csv", encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def record(
    published_id: str, value: float, *, std: float | None = None, n: int | None = None, seeds: Iterable[int] = (), data: str, note: str = ""
) -> dict[str, Any]:
    """Enter one measured number into the ledger and return its row.

    ``published_id`` is an id of ``data/published.csv``, or ``own-002-some-words`` (then with a ``note`` that says what it
    is). ``std`` is the standard deviation over the ``n`` things measured, ``data`` names them. Outside of a run (in
    JupyterLab, say, or with parameters other than the profile's) the row is returned and nothing is written.

    Raises ValueError or TypeError naming the argument; an id may be recorded once in a run.
    """
    from filterlens import checks

    check_id(published_id, note)
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(id=published_id, value=checks.real("value", value))
    row["std"] = None if std is None else checks.real("std", std, 0)
    row["n"] = None if n is None else checks.integer("n", n, 1)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise TypeError(f"seeds: got {seeds!r}, expected a list of whole numbers")
    row["seeds"] = " ".join(str(checks.integer("seeds", seed, 0)) for seed in seeds)
    for name, text in {"data": data, "note": note}.items():
        if not isinstance(text, str) or (name == "data" and not text.strip()):
            raise (ValueError if isinstance(text, str) else TypeError)(f"{name}: got {text!r}, expected a few words")
        row[name] = " ".join(text.split())
    run, sheet = os.environ.get(RUN, ""), os.environ.get(SHEET, "")
    row.update(profile=run.partition(":")[2], versions=versions(), hardware=hardware(), date=_today())
    if run and sheet:
        rows = read(Path(sheet))
        if any(published_id == other["id"] for other in rows):
            raise ValueError(f"published_id: {published_id!r} is recorded twice in this run")
        write(Path(sheet), [*rows, row])
    return row


def check_id(published_id: object, note: object) -> None:
    """Refuse what is neither an id of ``data/published.csv`` nor one of our own with a note; TypeError or ValueError naming it."""
    if not isinstance(published_id, str):
        raise TypeError(f"published_id: got {type(published_id).__name__} {published_id!r}, expected an id such as '002-186'")
    if published_id.startswith("own-"):
        if not _OWN.fullmatch(published_id):
            raise ValueError(f"published_id: got {published_id!r}, expected an id of our own to look like 'own-002-lenet-accuracy'")
        if not note:
            raise ValueError(f"note: got {note!r}, expected a few words that say what {published_id!r} is")
    elif published_id not in (known := published()):
        near = difflib.get_close_matches(published_id, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"published_id: got {published_id!r}, expected an id of data/published.csv or 'own-...'{hint}")


def ledger(profile: str | None = None, *, home: Path | None = None) -> list[dict[str, Any]]:
    """The rows of one profile, or of all that may stand for a published number: smoke and small do not. ``value`` and ``std`` are
    floats, ``n`` an int.

    Each row also says which ``notebook`` it comes from.
    """
    if profile is not None and not isinstance(profile, str):
        raise TypeError(f"profile: got {profile!r}, expected the name of a profile or None")
    rows = []
    for path in sorted(((home or project_home()) / "data" / "results").glob("*.csv")):
        notebook, _, of = path.stem.rpartition(".")
        if of == profile or (profile is None and of not in (SMOKE, SMALL)):
            rows += [{**row, "notebook": notebook} for row in read(path)]
    return rows


def file_of(home: Path, notebook: str, profile: str) -> Path:
    """Where the rows of a notebook and profile stand."""
    return home / "data" / "results" / f"{notebook}.{profile}.csv"


def enter(rows: list[dict[str, Any]], target: Path) -> None:
    """Replace a notebook's rows by those of a finished run; unchanged measurements keep their date and circumstances."""
    old = {row["id"]: row for row in read(target)}
    kept = [
        {**row, **{name: old[row["id"]][name] for name in ("value", "std", "versions", "hardware", "date")}}
        if row["id"] in old and _same(row, old[row["id"]])
        else row
        for row in rows
    ]
    if kept or target.exists():
        write(target, kept)


def _same(row: dict[str, Any], old: dict[str, Any]) -> bool:
    def close(a: float | None, b: float | None) -> bool:
        return a == b if a is None or b is None else abs(a - b) <= 1e-6 * max(abs(a), abs(b))

    return all(row[name] == old[name] for name in ("n", "seeds", "data")) and all(close(row[name], old[name]) for name in ("value", "std"))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of one file, or none; ValueError naming the file if its columns are not the ledger's."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name}: got the columns {reader.fieldnames}, expected {list(COLUMNS)}")
        kinds = {"value": float, "std": float, "n": int}
        return [{name: kinds.get(name, str)(text) if text or name not in kinds else None for name, text in row.items()} for row in reader]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one file of the ledger, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
            out.writeheader()
            for row in rows:
                out.writerow({name: f"{row[name]:.10g}" if isinstance(row[name], float) else row[name] for name in COLUMNS})
        os.chmod(part, 0o644)  # mkstemp keeps its files private, a ledger is not
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def versions(packages: Iterable[str] = ("filterlens", "torch", "numpy")) -> str:
    """The versions of Python and of these packages, those that are not installed left out: "python 3.11.2, torch 2.7.1"."""
    said = [f"python {platform.python_version()}"]
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            said.append(f"{name} {metadata.version(name)}")
    return ", ".join(said)


@functools.cache
def hardware() -> str:
    """The processor, its cores and the graphics card of this machine, in words."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu}, {os.cpu_count()} cores{gpu}"
