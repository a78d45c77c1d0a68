"""Where cells are measured: processes of this machine, or the workers of a Dask cluster. Both are executors of ``concurrent.futures``.

``sweep`` submits and collects; a place says how many cells it takes at once, which errors mean that a worker was lost, and whether it
is still there itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from filterlens.runs import forks


class PlaceError(RuntimeError):
    """A cluster that is not there, is no longer there, or has workers that cannot be used."""


class Processes:
    """``n`` processes of this machine, one cell at a time in each: a pool of one for each, so that a lost one leaves the others alone."""

    lost = (BrokenProcessPool,)

    def __init__(self, n: int) -> None:
        self.slots, self.context = n, forks.begin()
        self.idle: list[ProcessPoolExecutor] = []
        self.busy: dict[Future, ProcessPoolExecutor] = {}

    def submit(self, work: Callable, *arguments: Any) -> Future:
        pool = self.idle.pop() if self.idle else self._new()
        with forks.starting():  # of a process that is not forked
            future = pool.submit(work, *arguments)
        self.busy[future] = pool
        return future

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=self.context, initializer=forks.settle, initargs=(dict(os.environ),))

    def collect(self, future: Future) -> None:
        """The future is done: its process takes the next cell, unless it is gone."""
        pool = self.busy.pop(future)
        if isinstance(future.exception(), self.lost):
            pool.shutdown(wait=False)
        else:
            self.idle.append(pool)

    def check(self) -> None:
        """This machine is there."""

    def close(self) -> None:
        """End the processes, also in the middle of a cell: what is half done is taken up by the next run."""
        for pool in self.busy.values():
            for process in list((pool._processes or {}).values()):
                process.kill()
        for pool in [*self.idle, *self.busy.values()]:
            pool.shutdown(wait=True, cancel_futures=True)
        self.idle, self.busy = [], {}


class Cluster:
    """The workers of a Dask cluster that runs already, by its scheduler's address; each of them with one thread.

    A worker that dies is no concern of ours: the scheduler gives its cell to another one, and only when it gives up the cell is submitted again.
    """

    def __init__(self, address: str, patience: float = 10) -> None:
        try:
            from distributed import Client
            from distributed.scheduler import KilledWorker
        except ImportError:
            raise PlaceError("scheduler: needs Dask; install it with: pip install 'distributed==2026.8.0'") from None
        self.address, self.lost, self.hush = address, (KilledWorker,), contextlib.ExitStack()
        self.hush.enter_context(_quiet())
        try:
            self.client = Client(address, timeout=patience, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            self.hush.close()
            raise PlaceError(f"scheduler: there is none at {address} ({error}); start one with: dask scheduler") from None
        threads = self.client.nthreads()
        if not threads or any(n != 1 for n in threads.values()):
            self.close()
            got = f"workers with {sorted(set(threads.values()))} threads" if threads else "no workers"
            raise PlaceError(f"scheduler: {address} has {got}, expected workers with one: dask worker {address} --nthreads 1")
        self.executor = self.client.get_executor(pure=False, retries=0)
        self.slots = 2 * len(threads)

    def submit(self, work: Callable, *arguments: Any) -> Future:
        return self.executor.submit(work, *arguments)

    def collect(self, future: Future) -> None:
        """The future is done. A cancelled one was not cancelled by us: the scheduler is gone, and what it knew with it."""
        if future.cancelled():
            raise self._gone()

    def check(self) -> None:
        """Raise PlaceError if the scheduler is gone."""
        if self.client.status not in ("running", "connecting"):
            raise self._gone()

    def _gone(self) -> PlaceError:
        return PlaceError(f"scheduler: {self.address} is gone; what is finished is kept: start a scheduler and run the same command again")

    def close(self) -> None:
        """Leave the cluster, which goes on."""
        with self.hush, contextlib.suppress(Exception):
            self.client.close(timeout=2)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs every lost connection; the error that we raise says it once."""
    import logging

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.comm", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def say(line: str) -> None:
    """A line above the progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
