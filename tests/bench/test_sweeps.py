"""Sweeps as their issue asks: what they cost over a bare loop, what a second process brings, and ten kills of each kind.

Not in the suite: minutes on an idle machine of two cores.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import toy_sweeps  # noqa: E402
from sweep_processes import Cluster, at_work, client, finished, kill, until  # noqa: E402
from toy_sweeps import bare  # noqa: E402

from filterlens.runs import forks, sweeps  # noqa: E402

KILLS = 10


BARE = """
import sys
sys.path.insert(0, sys.argv[1])
from toy_sweeps import bare
bare(sys.argv[2]).to_csv(sys.argv[3], index=False)
"""


def seconds_of(*command: str) -> float:
    """What a command takes, as a process of its own: the loop pays for its imports as the sweep does, and has a sweep's threads and memory."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=os.environ | forks.ONE_THREAD | forks.MEMORY)
    assert done.returncode == 0, done.stderr[-2000:]
    return time.perf_counter() - start


def test_overhead_and_a_second_process(tmp_path: Path, tables: list[str], benchmark) -> None:
    """Ten cells of about five seconds, measured by three commands in turns, there and back, since a machine's pace drifts by the minute."""
    spec, tests, rounds, made = toy_sweeps.training(tmp_path, cells=10, epochs=6, n=1500), Path(__file__).parents[1], [], {}
    for turn in range(4):
        out = {name: tmp_path / f"{turn}-{name}.csv" for name in ("loop", "1", "2")}
        commands = {"loop": ["-c", BARE, str(tests), str(spec), str(out["loop"])]}
        for n in ("1", "2"):
            commands[n] = ["-m", "filterlens", "sweep", str(spec), "--workers", n, "--folder", f"{out[n]}-cells", "--out", str(out[n])]
        order = list(commands) if turn % 2 == 0 else list(reversed(commands))
        rounds.append({name: seconds_of(*commands[name]) for name in order})
        made = {name: pd.read_csv(path) for name, path in out.items()}
        for n in ("1", "2"):
            pd.testing.assert_frame_equal(made[n][made["loop"].columns], made["loop"], check_exact=True)
    ratios = sorted(one["1"] / one["loop"] - 1 for one in rounds)
    overhead, gain = statistics.median(ratios), statistics.median(one["1"] / one["2"] for one in rounds)
    seconds = ", ".join(f"{statistics.median(one[name] for one in rounds):.1f} s" for name in ("loop", "1", "2"))
    tables.append(f"Sweep of 10 cells, medians of {len(rounds)} rounds: a loop, one process and two take {seconds}")
    tables.append(f"  overhead {overhead:.1%}, from {ratios[0]:.1%} to {ratios[-1]:.1%} (asked: under 5 %); two processes {gain:.2f}x one (asked: 1.7x)")
    benchmark.pedantic(lambda: None)
    assert overhead < 0.05 and gain >= 1.7


def test_two_cold_runs_agree_to_the_last_digit(tmp_path: Path, tables: list[str], benchmark) -> None:
    spec = toy_sweeps.training(tmp_path, cells=20, epochs=1)
    first, second = (sweeps.sweep(spec, workers=2, folder=tmp_path / name, out=tmp_path / f"{name}.csv") for name in "ab")
    assert first.path.read_bytes() == second.path.read_bytes()
    tables.append(f"Two cold runs of {len(first.rows)} rows in 20 cells: the same bytes")
    benchmark.pedantic(lambda: None)


@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_ten_kills_of_a_worker_and_ten_of_the_client(where: str, tmp_path: Path, tables: list[str], benchmark) -> None:
    """At random moments, over as many cells as it takes; in the end the bare loop's table."""
    draw, cells = random.Random(0), 140
    spec, folder = toy_sweeps.training(tmp_path, cells=cells, epochs=2), tmp_path / "cells"
    cluster = Cluster(tmp_path / "dask", 3) if where == "cluster" else None
    options = ["--retries", str(KILLS), *(["--scheduler", cluster.address] if cluster else ["--workers", "2"])]
    kills = ["worker", "client"] * KILLS
    running, survived = client(spec, folder, *options), {"worker": 0, "client": 0}
    try:
        for victim in kills:
            before = finished(folder)
            until(lambda before=before: finished(folder) > before or finished(folder) == cells)
            if finished(folder) == cells:
                break
            time.sleep(draw.uniform(0, 1.5))
            if victim == "client":
                kill(running)
                running = client(spec, folder, *options)
            elif cluster:
                cluster.kill_one(draw.randrange(3))
            else:
                until(lambda: bool(at_work(folder)))
                os.kill(at_work(folder)[0], signal.SIGKILL)
            survived[victim] += 1
        assert running.wait(timeout=1200) == 0, (tmp_path / "client.log").read_text()[-2000:]
    finally:
        kill(running)
        if cluster:
            cluster.close()
    made = sweeps.sweep(spec, folder=folder / "toy", out=None)
    pd.testing.assert_frame_equal(made.rows, bare(spec), check_exact=True)
    tables.append(f"{where}: survived {survived['worker']} kills of a worker and {survived['client']} of the client, the same table")
    benchmark.pedantic(lambda: None)
    assert survived == {"worker": KILLS, "client": KILLS}
