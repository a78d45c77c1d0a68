"""Processes for the tests of sweeps: a client, a Dask scheduler and its workers, each to be killed at any moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def python(*arguments: str, log: Path) -> subprocess.Popen:
    """A Python process of its own, one thread, what it says in a file."""
    with open(log, "ab") as file:
        return subprocess.Popen([sys.executable, *arguments], stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"})


def client(spec: Path, folder: Path, *options: str) -> subprocess.Popen:
    """``filterlens sweep``, finished cells and logs in ``folder``/toy."""
    return python("-m", "filterlens", "sweep", str(spec), "--folder", str(folder), *options, log=folder.parent / "client.log")


def finished(folder: Path) -> int:
    """How many cells are kept."""
    return len(list((folder / "toy" / "cells").glob("*.cell")))


def at_work(folder: Path) -> list[int]:
    """The processes that measured cells lately and are still there, the latest first."""
    logs = sorted((folder / "toy" / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    found = [int(pid) for path in logs for pid in re.findall(r"process (\d+) on", path.read_text())[-1:]]
    return [pid for pid in dict.fromkeys(found) if alive(pid)]


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(true: Callable[[], bool], seconds: float = 600) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.02)


class Cluster:
    """A Dask scheduler and workers of one thread, processes of this machine."""

    def __init__(self, folder: Path, n: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.log, self.folder = folder / "scheduler.json", folder / "dask.log", folder
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", str(self.file)]
        self.scheduler = python("-m", "distributed.cli.dask_scheduler", *options, log=self.log)
        until(lambda: self.file.is_file() and self.file.read_text().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = [self.worker() for _ in range(n)]
        self.wait(n)

    def worker(self) -> subprocess.Popen:
        """One more worker, without a nanny: what is killed stays dead."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder)]
        return python("-m", "distributed.cli.dask_worker", self.address, *options, log=self.log)

    def wait(self, n: int) -> None:
        """Until so many workers have registered."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(n, timeout=600)

    def kill_one(self, chosen: int = 0) -> None:
        """Kill a worker, and start another one."""
        kill(self.workers.pop(chosen))
        self.workers.append(self.worker())

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            kill(process)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
