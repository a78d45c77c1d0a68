"""Side-by-side tables, printed after pytest-benchmark's own: contestants take turns in one run, so that ratios are fair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

TABLES: list[str] = []


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Benchmarks run when they are asked for by path, not as a part of the suite."""
    here, asked = Path(__file__).parent, [Path(argument.split("::")[0]).resolve() for argument in config.args]
    return None if any(path == here or here in path.parents for path in asked) else True


def medians(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each: one round runs all of them once, so that a busy moment hits all alike. Warmed up before."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 2):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


@pytest.fixture(scope="session")
def taking_turns() -> Callable[[dict[str, Callable[[], object]], int], dict[str, float]]:
    return medians


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread and without gradients."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tables() -> list[str]:
    """Texts to print at the end of the run."""
    return TABLES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for table in TABLES:
        terminalreporter.section("side by side")
        terminalreporter.write_line(table)
