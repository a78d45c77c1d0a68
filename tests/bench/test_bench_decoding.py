"""All 500 filters of the third convolution of the paper's LeNet, decoded: ours, torch from the top down, literal loops.

The arithmetic floor is one product of 500 x 800 by 800 x 784 (500 filters of 50 x 4 x 4 weights, 28 x 28 pixels), at the
speed measured in the same run. Loops are run on a few filters and extrapolated; the table says so.
"""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from filterlens.lenses.decoding import decode
from filterlens.models.architectures import LeNet

LOOPED = 3  # filters of the 500 that the literal loops decode
OPERATIONS = 2 * 500 * 800 * 784


def substituted(z: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The paper's substitution, pixel by pixel: z (h, w), f (kh, kw)."""
    (h, w), (kh, kw) = z.shape, f.shape
    out = np.zeros((h + kh - 1, w + kw - 1), dtype=z.dtype)
    for y in range(h):
        for x in range(w):
            out[y : y + kh, x : x + kw] += z[y, x] * f
    return out


def by_paths(w1: np.ndarray, w2: np.ndarray, w3: np.ndarray, k: int) -> np.ndarray:
    """The paper's pseudo-code: one picture for each path of channels (i, j), summed at the end."""
    pictures = []
    for i in range(w3.shape[1]):
        pooled = np.kron(w3[k, i], np.ones((2, 2), dtype=w3.dtype))
        for j in range(w2.shape[1]):
            picture = np.kron(substituted(pooled, w2[i, j]), np.ones((2, 2), dtype=w3.dtype))
            pictures.append(substituted(picture, w1[j, 0]))
    return np.sum(pictures, axis=0)


def by_channels(w1: np.ndarray, w2: np.ndarray, w3: np.ndarray, k: int) -> np.ndarray:
    """The same loops over pixels and channels, but summed over channels at every layer."""
    middle = 0
    for i in range(w3.shape[1]):
        pooled = np.kron(w3[k, i], np.ones((2, 2), dtype=w3.dtype))
        middle = middle + np.stack([substituted(pooled, w2[i, j]) for j in range(w2.shape[1])])
    image = 0
    for j in range(w2.shape[1]):
        image = image + substituted(np.kron(middle[j], np.ones((2, 2), dtype=w3.dtype)), w1[j, 0])
    return image


@pytest.fixture(scope="module")
def contest(tables: list[str]) -> SimpleNamespace:
    torch.manual_seed(0)
    model = LeNet()
    w1, w2, w3 = (layer.weight.detach() for layer in (model.conv1, model.conv2, model.conv3))
    arrays = [w.numpy() for w in (w1, w2, w3)]
    a, b, square = torch.randn(500, 800), torch.randn(800, 784), torch.randn(1024, 1024)

    def top_down() -> torch.Tensor:
        z = F.conv_transpose2d(w3.repeat_interleave(2, 2).repeat_interleave(2, 3), w2)
        return F.conv_transpose2d(z.repeat_interleave(2, 2).repeat_interleave(2, 3), w1)

    def loops(decode_one) -> np.ndarray:
        return np.stack([decode_one(*arrays, k) for k in range(LOOPED)])

    runs = {
        "ours": lambda: decode(model, "conv3").images,
        "torch": top_down,
        "product": lambda: a @ b,
        "square": lambda: square @ square,
    }
    return SimpleNamespace(runs=runs, loops=loops, looped={}, tables=tables)


def timed(contest: SimpleNamespace, by) -> float:
    """Seconds for all 500 filters by literal loops, from ``LOOPED`` of them."""
    if by not in contest.looped:
        start = time.perf_counter()
        contest.loops(by)
        contest.looped[by] = (time.perf_counter() - start) / LOOPED * 500
    return contest.looped[by]


@pytest.mark.parametrize("by", [by_channels, by_paths], ids=["channels", "paths"])
def test_literal_loops(benchmark, contest, by):
    """A few filters of the 500, once."""
    benchmark.extra_info["filters"] = LOOPED
    benchmark.pedantic(timed, args=(contest, by), rounds=1, iterations=1)


def test_torch_from_the_top_down(benchmark, contest):
    benchmark(contest.runs["torch"])


def test_arithmetic_floor(benchmark, contest):
    benchmark(contest.runs["product"])


def test_decode_all_filters(benchmark, contest):
    """Ours, equal to the loops and to torch."""
    benchmark.extra_info["operations"] = OPERATIONS
    pictures = benchmark(contest.runs["ours"])
    assert pictures.shape == (500, 1, 28, 28)
    expected, whole = torch.from_numpy(contest.loops(by_channels)), contest.runs["torch"]()
    to_loops = float((pictures[:LOOPED, 0] - expected).abs().max() / expected.abs().max())
    to_torch = float((pictures - whole).abs().max() / whole.abs().max())
    assert to_loops < 1e-5 and to_torch < 1e-5
    contest.tables.append(f"decode(model, 'conv3'), largest difference, relative: {to_loops:.1e} to the loops, {to_torch:.1e} to torch")


@pytest.mark.parametrize("threads", sorted({1, os.cpu_count() or 1}))
def test_side_by_side(benchmark, contest, taking_turns, threads):
    """The table: everything in turns, in one run, with as many threads for one as for the other."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        took = benchmark.pedantic(taking_turns, args=(contest.runs, 20), rounds=1, iterations=1)
    finally:
        torch.set_num_threads(before)
    rate = {"product": OPERATIONS / took["product"], "square": 2 * 1024**3 / took["square"]}
    best, ours = max(rate.values()), took["ours"]
    rows = [
        ("ours: decode(model, 'conv3')", ours),
        ("torch: two batched conv_transpose2d, from the top down", took["torch"]),
        (f"numpy loops, summed over channels (from {LOOPED} filters)", timed(contest, by_channels)),
        (f"numpy loops, the paper's paths (from {LOOPED} filters)", timed(contest, by_paths)),
        (f"floor, at the product's own {rate['product'] / 1e9:.0f} GFLOP/s", took["product"]),
        (f"floor, at the better of it and 1024^3: {best / 1e9:.0f} GFLOP/s", OPERATIONS / best),
    ]
    lines = [f"500 filters of LeNet's conv3 in image space, {threads} torch thread(s) (default here: {before}), medians of 20 turns"]
    lines += [f"{'':66}{'ms':>14}{'x ours':>12}"]
    lines += [f"{name:66}{1e3 * seconds:14,.2f}{seconds / ours:12,.2f}" for name, seconds in rows]
    lines += [f"share of the measured matmul rate: {OPERATIONS / best / ours:.0%} (aim: at least 50 %)"]
    lines += [f"faster than the literal loops: {timed(contest, by_channels) / ours:,.0f} times (aim: at least 1,000)"]
    contest.tables.append("\n".join(lines))
