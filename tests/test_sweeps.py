"""Sweeps of toy cells: the table is the bare loop's to the last bit, wherever it was measured and whoever was killed meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toy_sweeps
from sweep_processes import Cluster, alive, at_work, client, finished, kill, until
from toy_sweeps import bare
from typer.testing import CliRunner

from filterlens import __main__, experiments
from filterlens.models import CheckpointError
from filterlens.runs import forks, records, sweeps
from filterlens.runs.sweeps import cells, ledger, places


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


class Here:
    """A place in this very process, which loses its worker at some submissions."""

    lost = (ConnectionError,)
    slots = 2

    def __init__(self, loses: tuple[int, ...] = ()) -> None:
        self.loses, self.n = loses, 0

    def submit(self, work, *arguments):
        from concurrent.futures import Future

        future, self.n = Future(), self.n + 1
        if self.n - 1 in self.loses:
            future.set_exception(ConnectionError())
        else:
            future.set_result(work(*arguments))
        return future

    def collect(self, future) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Here]:
    """Sweeps run in this process."""
    made = [Here()]
    monkeypatch.setattr(sweeps, "Processes", lambda n: made[-1])
    return made


def test_two_processes_give_the_bare_loops_table_to_the_last_bit(tmp_path: Path) -> None:
    spec = toy_sweeps.removal(tmp_path)
    seen: list[str] = []
    made = sweeps.sweep(spec, workers=2, folder=tmp_path / "cells", on_cell=lambda cell: seen.append(cell.name))
    assert made.path == tmp_path / "toy.csv" and len(seen) == 6 and len(made.rows) == 12
    pd.testing.assert_frame_equal(made.rows, bare(spec), check_exact=True)
    assert made.about["command"] == "filterlens sweep toy" and made.about["cells"] == 6
    again = sweeps.sweep(spec, folder=tmp_path / "cells", out=None, on_cell=lambda cell: pytest.fail("a finished cell was measured"))
    pd.testing.assert_frame_equal(again.rows, made.rows, check_exact=True)
    log = next((tmp_path / "cells" / "logs").glob("0-l1-*.log")).read_text()
    assert "sets=('l1',)" in log and "finished: 2 rows" in log
    assert not list((tmp_path / "cells" / "work").iterdir())


def test_a_named_experiment_and_its_cells_give_the_same_rows(tmp_path: Path, here: list[Here], monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"rates": (0.0, 0.2), "sets": ("random", "l1"), "seeds": (0, 1), "data": toy_sweeps.digits(tmp_path)}
    monkeypatch.setitem(experiments.EXPERIMENTS, "removal-lenet", replace(experiments.EXPERIMENTS["removal-lenet"], **small))
    whole = experiments.make("removal-lenet", out=None)
    said = {"about": "a toy", "experiment": "removal-lenet", "grid": {"sets": ["random", "l1"]}}
    parts = sweeps.sweep(toy_sweeps.written(tmp_path / "toy.yaml", said), folder=tmp_path / "cells", out=None)
    ordered = [rows.sort_values(["which", "rate", "seed"], ignore_index=True) for rows in (parts.rows, whole.rows)]
    pd.testing.assert_frame_equal(*ordered, check_exact=True)


def test_a_lost_worker_gives_its_cell_back_and_a_cell_that_loses_all_is_told(tmp_path: Path, here: list[Here]) -> None:
    spec = toy_sweeps.removal(tmp_path)
    here.append(Here(loses=(0, 3)))
    made = sweeps.sweep(spec, folder=tmp_path / "cells", out=None)
    assert here[-1].n == 8
    pd.testing.assert_frame_equal(made.rows, bare(spec), check_exact=True)
    here.append(Here(loses=tuple(range(100))))
    with pytest.raises(sweeps.SweepError, match=r"6 of 6 cells failed(.|\n)*lost its worker 2 times"):
        sweeps.sweep(spec, folder=tmp_path / "others", out=None, retries=1)


def test_what_fails_is_said_once_and_the_rest_is_kept(tmp_path: Path, here: list[Here]) -> None:
    grid = {"network": ["lenet", "resnet20"], "sets": ["l1", "l2"]}
    spec = toy_sweeps.removal(tmp_path, grid=grid, settings={"pretrained": True, "data": toy_sweeps.digits(tmp_path), "rates": [0.0]})
    with pytest.raises(sweeps.SweepError, match="2 of 4 cells failed") as error:
        sweeps.sweep(spec, folder=tmp_path / "cells")
    assert str(error.value).count("expected") <= 1 and "resnet20-l1" in str(error.value)
    assert len(list((tmp_path / "cells" / "cells").iterdir())) == 2 and not (tmp_path / "toy.csv").exists()
    assert "Traceback" in next((tmp_path / "cells" / "logs").glob("resnet20-l1-*.log")).read_text()


def test_damaged_cells_and_forgotten_ones_are_measured_again(tmp_path: Path, here: list[Here]) -> None:
    spec = toy_sweeps.removal(tmp_path)
    first = sweeps.sweep(spec, folder=tmp_path / "cells", out=None)
    file = next((tmp_path / "cells" / "cells").glob("1-l1-*.cell"))
    file.write_bytes(file.read_bytes()[:-1])
    for force, expected in ((False, 1), (True, 6)):
        here.append(Here())
        again = sweeps.sweep(spec, folder=tmp_path / "cells", out=None, force=force)
        assert here[-1].n == expected
        pd.testing.assert_frame_equal(again.rows, first.rows, check_exact=True)


def test_cells_of_other_data_are_not_mixed(tmp_path: Path, here: list[Here]) -> None:
    spec = toy_sweeps.removal(tmp_path)
    sweeps.sweep(spec, folder=tmp_path / "cells", out=None)
    cells._LOADED.clear()
    (next((tmp_path / "cells" / "cells").glob("1-l1-*.cell"))).unlink()
    arrays = dict(np.load(tmp_path / "digits.npz"))
    arrays["x_test"] = 255 - arrays["x_test"]
    np.savez(tmp_path / "digits.npz", **arrays)
    with pytest.raises(sweeps.SweepError, match="were measured with different test .*--force"):
        sweeps.sweep(spec, folder=tmp_path / "cells", out=None)


def test_a_folder_has_one_sweep_at_a_time(tmp_path: Path, here: list[Here]) -> None:
    spec = toy_sweeps.removal(tmp_path)
    with sweeps._alone(tmp_path / "cells"), pytest.raises(sweeps.SweepError, match="another sweep is at work"):
        sweeps.sweep(spec, folder=tmp_path / "cells")


def test_a_cell_that_another_process_measures_starts_anew(tmp_path: Path) -> None:
    with cells._mine(tmp_path) as first, cells._mine(tmp_path) as second:
        assert first == tmp_path and second is None


def test_a_cell_never_raises_not_even_an_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cells.plan(sweeps.read(toy_sweeps.removal(tmp_path)), None)[0]

    def leave(*_: object, **__: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(experiments.measuring, "measure", leave)
    assert cells.measure(cell, str(tmp_path))["error"] == "SystemExit: 3"


def test_finished_cells_enter_the_ledger_also_of_half_a_sweep(tmp_path: Path, here: list[Here], monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"id": "000-020", "value": "accuracy", "where": {"which": "random", "rate": 0.2}, "times": 100, "note": "a toy"}
    spec = toy_sweeps.removal(tmp_path, records=[record])
    monkeypatch.setattr(ledger, "folder", lambda: tmp_path)
    monkeypatch.setattr(ledger, "project_home", lambda: tmp_path)
    monkeypatch.setattr(experiments, "folder", lambda: tmp_path / "tables")
    whole = sweeps.sweep(spec, folder=tmp_path / "cells")
    assert whole.path == tmp_path / "tables" / "toy.csv"
    values = 100 * whole.rows[(whole.rows["which"] == "random") & (whole.rows["rate"] == 0.2)]["accuracy"]
    (row,) = records.read(tmp_path / "data" / "results" / "toy.paper.csv")
    assert row["value"] == pytest.approx(values.mean()) and row["std"] == pytest.approx(values.std()) and row["n"] == 3
    assert (row["seeds"], row["profile"], row["note"]) == ("0 1 2", "paper", "a toy") and "23 images" in row["data"]
    smaller = sweeps.sweep(toy_sweeps.removal(tmp_path, records=[record], scale="a tenth"), folder=tmp_path / "cells")
    (row,) = records.read(tmp_path / "data" / "results" / "toy.small.csv")
    assert (row["profile"], row["note"]) == ("small", "a toy; a tenth") and smaller.rows.equals(whole.rows)
    assert smaller.about["scale"] == "a tenth" and "scale" not in whole.about
    assert not (tmp_path / "data" / "results" / "toy.paper.csv").exists()  # the same sweep's, which no longer says it is the paper's scale
    read = sweeps.read(toy_sweeps.removal(tmp_path, records=[record]))
    plan = cells.plan(read, None)
    half = {cell.at: cells.read(sweeps._file(tmp_path / "cells", cell)) for cell in plan[:3]}
    (row,) = ledger.rows(read, plan, half)
    assert row["n"] == 2 and row["note"] == "a toy; 3 of 6 cells so far"
    assert ledger.rows(read, plan, {}) == []


def test_the_command_checks_every_spec_first(tmp_path: Path) -> None:
    good, bad = toy_sweeps.removal(tmp_path), tmp_path / "bad.yaml"
    bad.write_text("about: a toy\nexperiment: removall\n")
    done = CliRunner().invoke(__main__.app, ["sweep", str(good), str(bad), "--folder", str(tmp_path / "cells")])
    assert isinstance(done.exception, sweeps.SpecError) and not (tmp_path / "cells").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("001-table-8", "features resnet20-public"), ("000-networks-small", "cifar10"), ("000-table-1-lenet", "mnist"),
     ("001-tables-2-to-6", "imagenet"), ("000-storage", None)],
)  # fmt: skip
def test_the_ledger_says_what_a_cell_was_measured_on(name: str, said: str | None) -> None:
    assert {ledger._data(settings) for settings in sweeps.read(name).cells} == {said}


@pytest.mark.parametrize(("epochs", "longer"), [(None, " --out"), (3, " --epochs 3 --out")])
@pytest.mark.parametrize("kind", ["removal", "retraining"])
def test_networks_that_were_not_trained_yet_are_named_before_any_cell(tmp_path: Path, kind: str, epochs: int | None, longer: str) -> None:
    settings = {"network": "vgg16-cifar", "pretrained": True, "data": "cifar10", "trained": 987_654, "trained_epochs": epochs}
    spec = toy_sweeps.removal(tmp_path, experiment=kind, settings=settings, grid={"seeds": [0]})
    with pytest.raises(CheckpointError, match=f"filterlens train vgg16-cifar --seed 987654{longer}"):
        sweeps.sweep(spec, folder=tmp_path / "cells")


FORKED = "forkserver" in multiprocessing.get_all_start_methods() and Path("/proc/self/environ").exists()


@pytest.mark.skipif(not FORKED, reason="no server to fork from, or no way to ask what it started with")
def test_workers_begin_with_their_imports_done_one_thread_memory_kept_and_the_environment_of_now() -> None:
    """Also the second time, from a server that has long been running. In a process of its own, whose server is not there yet."""
    script = """
import json, os
from filterlens.runs.sweeps.places import Processes
def ask(question):
    place = Processes(1)
    try:
        return place.submit(eval, question).result(timeout=120)
    finally:
        place.close()
if __name__ == "__main__":
    got = [ask("open('/proc/self/environ').read()"), ask("sorted(__import__('sys').modules)"), ask("__import__('torch').get_num_threads()")]
    os.environ["TOY"] = "new"
    del os.environ["TOY_GONE"]
    got += [ask("dict(__import__('os').environ)"), os.environ.get("OMP_NUM_THREADS")]
    print(json.dumps(got))
"""
    ours = {"OMP_NUM_THREADS": "2", "TOY": "old", "TOY_GONE": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = {name: value for name, value in os.environ.items() if name not in forks.MEMORY} | ours
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    started, modules, threads, now, after = json.loads(done.stdout)
    told = dict(line.split("=", 1) for line in started.split("\0") if "=" in line)
    assert told["OMP_NUM_THREADS"] == "1" and told["MALLOC_MMAP_THRESHOLD_"] == forks.MEMORY["MALLOC_MMAP_THRESHOLD_"]
    assert told["MALLOC_TRIM_THRESHOLD_"] == "65536"  # the user's own
    assert {"filterlens.experiments", "torch._dynamo"} <= set(modules) and threads == 1
    assert now["TOY"] == "new" and "TOY_GONE" not in now and now["OMP_NUM_THREADS"] == "1" and after == "2"


def test_the_command_starts_its_workers_imports_before_its_own_and_only_if_there_is_such_a_spec(tmp_path: Path) -> None:
    """Nothing heavy may be imported on the way to ``forks.begin``, or the two would follow one another again."""
    script = """
import sys, multiprocessing.forkserver as server
from filterlens import __main__
def begin():
    print([name for name in ("torch", "numpy", "pandas") if name in sys.modules])
    sys.exit()
server.ensure_running = begin
__main__.app(["sweep", *sys.argv[1:]])
"""
    spec = str(toy_sweeps.removal(tmp_path))
    for arguments, said in (([spec], "[]"), ([spec, "no-such-spec"], ""), ([spec, "--scheduler", "tcp://127.0.0.1:1"], ""), ([spec, spec, "--out", "x.csv"], "")):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == said, done.stderr[-2000:]


def test_a_killed_worker_and_a_killed_client_of_a_pool_cost_nothing_but_time(tmp_path: Path) -> None:
    spec, folder = toy_sweeps.training(tmp_path, cells=5, epochs=2), tmp_path / "cells"
    first = client(spec, folder, "--workers", "2")
    until(lambda: finished(folder) >= 1)
    until(lambda: bool(at_work(folder)))
    os.kill(at_work(folder)[0], signal.SIGKILL)
    until(lambda: finished(folder) >= 3)
    kill(first)
    until(lambda: not [pid for pid in at_work(folder) if alive(pid)])  # workers do not outlive their client
    before = finished(folder)
    assert before < 5
    made = sweeps.sweep(spec, workers=1, folder=folder / "toy")
    assert "lost its worker, try 2 of 4" in (tmp_path / "client.log").read_text()
    pd.testing.assert_frame_equal(made.rows, bare(spec), check_exact=True)


def test_a_dask_cluster_survives_kills_of_worker_and_client_and_a_lost_scheduler_is_told(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    spec, folder = toy_sweeps.training(tmp_path, cells=8, epochs=2), tmp_path / "cells"
    cluster = Cluster(tmp_path / "dask", 3)
    try:
        first = client(spec, folder, "--scheduler", cluster.address)
        until(lambda: finished(folder) >= 1)
        cluster.kill_one()
        until(lambda: finished(folder) >= 3)
        kill(first)
        left = finished(folder)
        second = client(spec, folder, "--scheduler", cluster.address)
        until(lambda: finished(folder) > left)
        kill(cluster.scheduler)
        assert second.wait(timeout=600) != 0
        assert "is gone; what is finished is kept" in (tmp_path / "client.log").read_text()
    finally:
        cluster.close()
    assert 3 < finished(folder) < 8
    made = sweeps.sweep(spec, workers=1, folder=folder / "toy")
    pd.testing.assert_frame_equal(made.rows, bare(spec), check_exact=True)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"workers": 0}, ValueError, "workers"),
        ({"workers": 1.5}, TypeError, "workers"),
        ({"retries": -1}, ValueError, "retries"),
        ({"scheduler": 8786}, TypeError, "scheduler"),
        ({"folder": ""}, TypeError, "folder"),
        ({"folder": "/proc/nowhere"}, ValueError, "folder"),
        ({"device": 0}, TypeError, "device"),
        ({"device": "gpu"}, ValueError, "device"),
        ({"out": "rows.txt"}, ValueError, "out"),
        ({"out": 3}, TypeError, "out"),
    ],
)
def test_sweep_refuses(options: dict, error: type, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.Processes, "submit", lambda *_: pytest.fail("a cell was handed out"))
    with pytest.raises(error, match=said):
        sweeps.sweep(toy_sweeps.removal(tmp_path), **{"folder": tmp_path / "cells", **options})


@pytest.mark.bad_input
def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(sweeps.PlaceError, match="there is none at tcp://127.0.0.1:9"):
        places.Cluster("tcp://127.0.0.1:9", patience=0.2)
