"""The server from which a sweep's worker processes are forked: it imports what cells need once, while its parent does something else.

Nothing heavy is imported here, so that a command can begin with ``begin()``, before it imports torch itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from multiprocessing import connection
from multiprocessing.context import BaseContext

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} | {"TQDM_DISABLE": "1"}
# glibc's own thresholds adapt, so that some processes fetch the memory of activations from the system for each batch: a tenth of their time
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**29)}


def begin() -> BaseContext:
    """Start the server, unless it runs, and do not wait for it. It ends with this process, but not before its imports are done.

    A server that the program has started before stays as it is, without our imports, threads and memory. On systems that know none every
    worker imports for itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["filterlens.runs.preloaded"])
    with starting():
        forkserver.ensure_running()
    return context


def settle(environment: dict[str, str]) -> None:
    """What a worker does first: it takes its parent's environment of now, not of the server's start, and ends when its parent does."""
    os.environ.clear()
    os.environ.update(environment | ONE_THREAD)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """The environment in which a process has to start: libraries count their threads when they are imported, memory is set up even before.
    The user's own settings of memory hold; ours is as before afterwards."""
    values = ONE_THREAD | {name: os.environ.get(name, value) for name, value in MEMORY.items()}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
