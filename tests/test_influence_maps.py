"""Maps of a set, pixel by pixel, and random sets to compare with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from filterlens.lenses.influence.maps import SUBTRACT, others, set_maps

torch.set_num_threads(1)
N, K, H, W, S = 3, 8, 5, 4, 2


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MAPS, INDICES = drawn(0, N, K, H, W), torch.tensor([[7, 1], [0, 3], [5, 2]])


def slow(maps: Tensor, rows: list[list[int]], subtract: str) -> Tensor:
    out = torch.zeros(len(maps), *maps.shape[2:], dtype=maps.dtype)
    for n, chosen in enumerate(rows):
        for k in chosen:
            out[n] += (maps[n, k] - (maps[n, k].mean() if subtract == "per_channel" else 0)) / len(chosen)
        if subtract == "set_mean":
            out[n] -= out[n].mean()
    return out


@pytest.mark.parametrize("subtract", SUBTRACT)
def test_the_mean_over_each_images_own_set(subtract: str) -> None:
    before = MAPS.clone()
    torch.testing.assert_close(set_maps(MAPS, INDICES, subtract=subtract), slow(MAPS, INDICES.tolist(), subtract))
    torch.testing.assert_close(set_maps(MAPS, INDICES[0].int(), subtract=subtract), slow(MAPS, [[7, 1]] * N, subtract))
    assert torch.equal(before, MAPS)


def test_both_readings_of_the_mean_give_one_map_and_it_sums_to_zero() -> None:
    a, b, plain = (set_maps(MAPS, INDICES, subtract=name) for name in ("set_mean", "per_channel", "none"))
    torch.testing.assert_close(a, b, atol=1e-14, rtol=0)
    torch.testing.assert_close(a.sum((1, 2)), torch.zeros(N, dtype=torch.float64), atol=1e-12, rtol=0)
    assert bool(((plain - a).std((1, 2)) < 1e-14).all()) and not torch.allclose(plain, a)


def test_of_one_channel_and_of_all() -> None:
    assert torch.equal(set_maps(MAPS, torch.tensor([4]), subtract="none"), MAPS[:, 4])
    torch.testing.assert_close(set_maps(MAPS, torch.arange(K), subtract="none"), MAPS.mean(1))
    assert torch.equal(set_maps(MAPS[..., :1, :1], INDICES), torch.zeros(N, 1, 1, dtype=torch.float64))


def test_upsampling_is_bilinear_between_pixel_centres() -> None:
    found = set_maps(torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([0]), size=(3, 4), subtract="none")
    assert torch.equal(found, torch.tensor([[[0.0, 1.0, 3.0, 4.0]] * 3]))
    assert set_maps(MAPS, INDICES, size=11).shape == (N, 11, 11) and set_maps(MAPS, INDICES, size=(9, 6)).shape == (N, 9, 6)
    torch.testing.assert_close(set_maps(MAPS, INDICES, size=(H, W)), set_maps(MAPS, INDICES))


def test_half_precision_is_averaged_in_single() -> None:
    big = torch.full((1, 3, 2, 2), 40_000.0, dtype=torch.float16)  # the sum of two overflows
    found = set_maps(big, torch.tensor([0, 2]), subtract="none")
    assert found.dtype == torch.float32 and bool((found == 40_000).all())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 12), st.data())
def test_others_are_distinct_and_outside_of_the_set(seed: int, c: int, d: int, data) -> None:
    s = data.draw(st.integers(1, d - 1))
    n = data.draw(st.integers(1, d - s))
    indices = torch.rand(c, d, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :s]
    found = others(indices, d, n=n, seed=seed)
    assert found.shape == (c, n) and found.dtype == torch.int64
    for own, drawn_ones in zip(indices.tolist(), found.tolist(), strict=True):
        assert len(set(drawn_ones)) == n and not set(own) & set(drawn_ones) and set(drawn_ones) <= set(range(d))
    assert torch.equal(found, others(indices, d, n=d - s, seed=seed)[:, :n])  # fewer are the first of more


def test_others_are_seeded_as_many_as_the_set_and_every_one_equally_likely() -> None:
    state = torch.get_rng_state()
    assert torch.equal(others(INDICES, K, seed=1), others(INDICES, K, seed=1)) and others(INDICES, K).shape == INDICES.shape
    assert not torch.equal(others(INDICES, K, seed=1), others(INDICES, K, seed=2)) and torch.equal(state, torch.get_rng_state())
    counts = others(INDICES[:1].repeat(6000, 1), K, n=1).flatten().bincount(minlength=K)
    assert counts[[7, 1]].tolist() == [0, 0] and bool(((counts[[0, 2, 3, 4, 5, 6]] - 1000).abs() < 150).all())


NAN = float("nan")
TWICE = torch.tensor([[1, 1], [0, 3], [5, 2]])
BAD = [
    *[("maps", lambda m=m: set_maps(m, INDICES), error) for m, error in (
        (MAPS[0], ValueError), (MAPS[:0], ValueError), (MAPS.long(), TypeError), (MAPS * NAN, ValueError), ("a cat", TypeError))],
    *[("indices", lambda i=i: set_maps(MAPS, i), error) for i, error in (
        (INDICES[1:], ValueError), (INDICES[None], ValueError), (INDICES[:, :0], ValueError), (INDICES.double(), TypeError),
        (INDICES + 1, ValueError), (INDICES - 1, ValueError), (TWICE, ValueError), ([1, 2], TypeError), (TWICE[0], ValueError),
        (torch.tensor([], dtype=torch.int64), ValueError))],
    *[("size", lambda v=v: set_maps(MAPS, INDICES, size=v), error) for v, error in (
        (0, ValueError), ((4, 0), ValueError), ((1, 2, 3), ValueError), (2.5, TypeError), ("large", TypeError))],
    ("subtract", lambda: set_maps(MAPS, INDICES, subtract="mean"), ValueError),
    ("subtract", lambda: set_maps(MAPS, INDICES, subtract=None), TypeError),
    *[("indices", lambda i=i: others(i, K), error) for i, error in (
        (INDICES[0], ValueError), (INDICES.double(), TypeError), (INDICES + 1, ValueError), (INDICES - 1, ValueError), (TWICE, ValueError),
        (INDICES[:0], ValueError), (INDICES.tolist(), TypeError))],
    *[("d", lambda d=d: others(INDICES, d), error) for d, error in ((0, ValueError), (8.0, TypeError))],
    *[("n", lambda n=n: others(INDICES, K, n=n), error) for n, error in ((0, ValueError), (7, ValueError), ("2", TypeError))],
    ("seed", lambda: others(INDICES, K, seed=-1), ValueError),
    ("seed", lambda: others(INDICES, K, seed=None), TypeError),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "call", "error"), BAD)
def test_bad_input(argument: str, call, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{argument}\b"):
        call()
