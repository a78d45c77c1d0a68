"""Archetypal analysis against its peers in Python: archetypes 0.12.2, SPAMS (spams-bin) and py-pcha, on layers' shapes at d = 25 %.

Contestants take turns, one round after the other, and each is timed to the end of its own run; the table gives medians, ratios and the
residual that each run ended with, ||X - D A||_F / ||X||_F, computed by us from the peer's own matrices. archetypes runs its
better method and start and float32; ours runs with its defaults from the same kind of start, codes polished and their duality gap
bounded: once to its own end, and once with max_iter set to the first turn whose residual is no worse than the peer's of that round.
SPAMS and py-pcha take minutes, so they run once, on the smallest layer.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from filterlens import models
from filterlens.lenses.simplex import archetypal_analysis

ROUNDS = 5
# Name, place, rounds, best method and start of archetypes there, and whether anything was tuned on it
LAYERS = [
    ("1152x192", "blocks.5.1.conv_pwl", ROUNDS, ("pseudo_pgd", "furthest_first")),
    ("1152x320", "blocks.6.0.conv_pwl", ROUNDS, ("pseudo_pgd", "furthest_first")),
    ("320x1280", "conv_head", 1, ("pgd", "uniform")),
    ("2048x512", (2048, 512), 3, ("pgd", "uniform")),
    ("4608x512", (4608, 512), 3, ("pgd", "uniform")),
    ("672x192, not tuned on", "blocks.5.0.conv_pwl", ROUNDS, ("pseudo_pgd", "furthest_first")),
    ("480x112, not tuned on", "blocks.4.0.conv_pwl", ROUNDS, ("pseudo_pgd", "furthest_first")),
]


def cloud(place: str | tuple[int, int]) -> Tensor:
    """A point-wise layer of EfficientNet-Lite0, or a synthetic cloud of VGG's shape: noisy mixtures of N / 4 generators."""
    if isinstance(place, str):
        layer = models.load("efficientnet-lite0").get_submodule(place)
        return layer.weight.detach().flatten(1).T.contiguous()
    l, n = place
    rng = np.random.default_rng(0)
    V, A = rng.standard_normal((l, n // 4)), rng.dirichlet(np.full(n // 4, 0.1), n).T
    return torch.from_numpy(0.02 * (V @ A + 0.1 * rng.standard_normal((l, n)))).float()


def residual(X: np.ndarray, D: np.ndarray, A: np.ndarray) -> float:
    return float(np.linalg.norm(X - D @ A) / np.linalg.norm(X))


def in_archetypes(X: np.ndarray, d: int, method: str, init: str, seed: int, max_iter: int = 300) -> float:
    from archetypes import AA

    found = AA(d, method=method, init=init, random_state=seed, max_iter=max_iter).fit(np.ascontiguousarray(X.T))
    return residual(X, found.archetypes_.T, found.coefficients_.T)


def in_spams(X: np.ndarray, d: int) -> float:
    import spams

    Z, A, _ = spams.archetypalAnalysis(np.asfortranarray(X.astype(np.float64)), p=d, returnAB=True, robust=False, numThreads=1)
    return residual(X, Z, A.toarray() if hasattr(A, "toarray") else A)


def in_pcha(X: np.ndarray, d: int) -> float:
    if not hasattr(np, "mat"):
        np.mat = np.asmatrix  # the package was written for NumPy 1
    from py_pcha import PCHA

    D, A, *_ = PCHA(X.astype(np.float64), noc=d)
    return residual(X, np.asarray(D), np.asarray(A))


def timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    out = run()
    return time.perf_counter() - start, out


def row(name: str, seconds: float, values: list[float]) -> str:
    return f"{name:56}{seconds:10.3f}{min(values):10.5f}{statistics.median(values):10.5f}{max(values):10.5f}"


@pytest.fixture(autouse=True)
def settings():
    before = torch.get_num_threads()
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "place", "rounds", "peer"), LAYERS, ids=[row[0] for row in LAYERS])
def test_archetypes(benchmark, tables, name, place, rounds, peer):
    """Whole runs in turns, from seed 0, ours on one thread: time, residual, gap."""
    pytest.importorskip("archetypes", reason="needs archetypes 0.12.2 (requirements of the benchmarks)")
    try:
        X = cloud(place)
    except (FileNotFoundError, ImportError, ValueError) as error:
        pytest.skip(f"needs EfficientNet-Lite0's public weights: {error}")
    d, points, method, init = X.shape[1] // 4, X.numpy(), *peer
    torch.set_num_threads(1)
    archetypal_analysis(X[:, :40], 10)

    def turns() -> tuple[list, list, list]:
        ours, theirs, equal = [], [], []
        for seed in range(rounds):
            ours.append(timed(lambda seed=seed: archetypal_analysis(X, d, seed=seed)))
            theirs.append(timed(lambda seed=seed: in_archetypes(points, d, method, init, seed)))
            reached = [turn for turn, value in enumerate(ours[-1][1].history) if value <= theirs[-1][1]]
            if reached:
                equal.append((timed(lambda seed=seed, n=reached[0]: archetypal_analysis(X, d, seed=seed, max_iter=max(n, 1))), theirs[-1]))
        return ours, theirs, equal

    ours, theirs, equal = benchmark.pedantic(turns, rounds=1, iterations=1)
    t, peer_t = (statistics.median(seconds for seconds, _ in each) for each in (ours, theirs))
    speedup = statistics.median(peer[0] / mine[0] for mine, peer in equal) if equal else float("nan")
    found = [result for _, result in ours]
    values, peer_values = [result.residual for result in found], [value for _, value in theirs]
    scatter = float((X - X.mean(1, keepdim=True)).square().sum())
    gap, memory = max(result.gap for result in found) / scatter, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    lines = [
        f"{name}, d = {d}: seeds 0-{rounds - 1}, in turns, 1 torch thread, OMP_NUM_THREADS = {threads}",
        f"{'':56}{'median s':>10}{'best':>10}{'median':>10}{'worst':>10}",
        row("ours, defaults, 1 start", t, values),
        row(f"archetypes, float32, {method}, {init}, 300 it", peer_t, peer_values),
        f"to the peer's residual: ratio {speedup:.1f}, median of the {len(equal)} of {rounds} rounds in which ours reached it",
        f"to our own end: ratio {peer_t / t:.1f}; largest gap of our codes {gap:.1e} of the scatter; peak of the process so far {memory:.0f} MiB",
    ]
    if name == "1152x192":
        for peer_name, run in (("SPAMS", in_spams), ("py-pcha", in_pcha)):
            try:
                seconds, value = timed(lambda run=run: run(points, d))
            except ImportError:
                lines.append(f"{peer_name}: not installed")
                continue
            lines.append(f"{f'{peer_name}, float64, one run':52}{seconds:10.3f}{value:10.5f}   ratio {seconds / t:.1f}")
    tables.append("\n".join(lines))
    assert all(result.gap <= 1e-6 * scatter for result in found)
    assert all(late <= early for result in found for early, late in zip(result.history, result.history[1:], strict=False))
