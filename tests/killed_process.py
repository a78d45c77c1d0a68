"""A process that is killed while it works, for the tests of what goes on afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from filterlens.training import snapshots


def killed(writes: int, work: Callable[[], object]) -> int:
    """Do this work in another process that is killed right after it wrote so many snapshots; returns the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            real, written = snapshots.write, []

            def write(path: Path, contents: dict) -> None:
                real(path, contents)
                written.append(path)
                if len(written) == writes:
                    os.kill(os.getpid(), signal.SIGKILL)

            snapshots.write = write
            work()
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])
