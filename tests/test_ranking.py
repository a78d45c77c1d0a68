"""Rankings to compare with, the control of equal norms, and the geometric median, each against its definition in loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from filterlens.lenses.ranking import METHODS, FilterRanking, geometric_median, norm_matched, norm_mismatch, rank

NAN = float("nan")


def weights(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def subgradient(X: Tensor, y: Tensor) -> float:
    """The shortest mean subgradient of the sum of distances at y: 0 at the median."""
    away = y.double()[:, None] - X.double()
    distances = away.norm(dim=0)
    apart = distances > 0
    pull = float((away[:, apart] / distances[apart]).sum(1).norm())
    return max(0.0, pull - int((~apart).sum())) / X.shape[1]


# The geometric median


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 1e-6), (torch.float64, 1e-9)])
@pytest.mark.parametrize(("l", "n"), [(27, 16), (2, 50), (40, 7), (320, 90), (1, 9), (3, 2)])
def test_at_the_median_the_subgradient_vanishes(l, n, dtype, least):
    X = weights(l, n, dtype=dtype) + 0.5
    before = X.clone()
    y = geometric_median(X)
    assert y.shape == (l,) and y.dtype == dtype
    assert subgradient(X, y) <= least
    assert torch.equal(X, before)


def test_of_collinear_odd_points_it_is_the_middle_one():
    for seed in range(20):
        at = weights(9, seed=seed, dtype=torch.float64)
        X = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64) * at + 3
        assert torch.equal(geometric_median(X), X[:, int(at.argsort()[4])])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=8))
def test_columns_that_are_met_or_repeated_do_no_harm(points):
    X = torch.tensor(points, dtype=torch.float64).T
    y = geometric_median(X)
    # The dual norm bound: no candidate among the points or the mean has a smaller sum.
    total = float((X - y[:, None]).norm(dim=0).sum())
    others = torch.cat([X, X.mean(1, keepdim=True)], 1)
    assert total <= float(torch.cdist(others.T, X.T).sum(1).min()) * (1 + 1e-9)
    assert subgradient(X, y) <= 1e-8


def test_the_median_moves_scales_and_turns_with_the_cloud():
    X = weights(5, 31, dtype=torch.float64)
    turn = torch.linalg.qr(weights(5, 5, seed=1, dtype=torch.float64))[0]
    y = geometric_median(X)
    for found, expected in [
        (geometric_median(X + 7), y + 7),
        (geometric_median(1e-200 * X) * 1e200, y),
        (geometric_median(1e200 * X) * 1e-200, y),
        (geometric_median(turn @ X), turn @ y),
        (geometric_median(X[:, torch.randperm(31)]), y),
    ]:
        assert torch.allclose(found, expected, atol=1e-8, rtol=0)


def test_long_thin_clouds_and_half_of_all_points_in_one_place():
    X = weights(4, 60, dtype=torch.float64)
    X[0] *= 1000
    assert subgradient(X, geometric_median(X)) <= 1e-9
    heap = torch.cat([torch.ones(5, 30), weights(5, 29)], 1)
    assert torch.equal(geometric_median(heap), torch.ones(5))
    assert torch.equal(geometric_median(torch.zeros(3, 4)), torch.zeros(3))
    assert torch.equal(geometric_median(torch.full((3, 4), 0.1)), torch.full((3,), 0.1))


# rank


def literal(weight: Tensor, method: str) -> list[float]:
    rows = weight.double().flatten(1).tolist()
    if method == "l1":
        return [sum(abs(v) for v in row) for row in rows]
    if method == "l2":
        return [math.hypot(*row) for row in rows]
    if method == "geometric_median":
        return [math.dist(row, geometric_median(weight.double().flatten(1).T).tolist()) for row in rows]
    return [sum(math.dist(row, other) for other in rows) for row in rows]


@pytest.mark.parametrize("method", ["l1", "l2", "fpgm", "geometric_median"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(11, 3, 2, 4), (7, 5), (1, 2, 3, 3)])
def test_scores_equal_the_definitions_and_order_the_filters(method, dtype, shape):
    weight = weights(*shape, dtype=dtype)
    found = rank(weight, method)
    expected = literal(weight, method)
    assert isinstance(found, FilterRanking) and found.method == method
    assert torch.allclose(found.score, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
    assert found.order.tolist() == sorted(range(shape[0]), key=lambda i: (float(found.score[i]), i))


def test_the_smallest_sum_of_distances_is_the_same_without_the_self_term():
    rows = weights(13, 4, 3, 2).double().flatten(1)
    sums = [sum(math.dist(a, b) for j, b in enumerate(rows.tolist()) if j != i) for i, a in enumerate(rows.tolist())]
    assert int(rank(rows, "fpgm").order[0]) == sums.index(min(sums))


@pytest.mark.parametrize("method", ["l1", "l2", "fpgm", "geometric_median"])
def test_duplicates_tie_and_stand_by_index(method):
    weight = weights(23, 3, 5, 2)
    weight[[4, 17, 20]] = weight[9].clone()
    found = rank(weight, method)
    assert len({float(found.score[i]) for i in (4, 9, 17, 20)}) == 1
    at = found.order.tolist().index(4)
    assert found.order[at : at + 4].tolist() == [4, 9, 17, 20]
    assert found.ties.unique().numel() == 20
    assert torch.equal(found.ties[found.order], found.ties.sort().values)


def test_near_duplicates_far_from_the_origin_keep_their_distances():
    rows = weights(6, 40, dtype=torch.float64)
    rows[3] = rows[2] + 1e-9 * weights(40, seed=3, dtype=torch.float64)
    found = rank(1e3 + rows, "fpgm")
    assert torch.allclose(found.score, torch.tensor(literal(1e3 + rows, "fpgm"), dtype=torch.float64), rtol=1e-12)


def test_random_is_a_permutation_of_its_seed_alone():
    weight = weights(12, 2, 3, 3)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b, c = (rank(weight, "random", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(a.order, b.order) and not torch.equal(a.order, c.order)
    assert sorted(a.order.tolist()) == list(range(12))
    assert torch.equal(a.score[a.order], torch.arange(12.0, dtype=torch.float64))
    assert torch.equal(torch.get_rng_state(), state)


def test_both_ends_of_a_ranking():
    found = rank(torch.tensor([[3.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), "l1")
    assert found.order.tolist() == [3, 1, 2, 0] and found.ties.tolist() == [3, 1, 2, 0]
    assert found.redundant(2).tolist() == [3, 1] and found.needed(3).tolist() == [0, 2, 1]
    assert found.redundant(0).tolist() == [] and found.needed(4).tolist() == [0, 2, 1, 3]


def test_weights_stay_as_they_are():
    weight = weights(9, 2, 3, 4).requires_grad_()
    before = weight.detach().clone()
    for method in METHODS:
        found = rank(weight, method)
        assert not found.score.requires_grad
    norm_matched(weight, [1, 2])
    assert torch.equal(weight.detach(), before) and weight.grad is None


# The control of equal norms


def test_partners_are_others_distinct_and_near_in_norm():
    weight = (
        weights(40, 3, 3, 5)
        * torch.linspace(0.5, 2, 40)[torch.randperm(40, generator=torch.Generator().manual_seed(1))][:, None, None, None]
    )
    norms = weight.flatten(1).norm(dim=1)
    removed = rank(weight, "l2").order[1::4]
    found = norm_matched(weight, removed, seed=2)
    assert found.shape == (10,) and found.dtype == torch.int64
    assert not set(found.tolist()) & set(removed.tolist()) and len(set(found.tolist())) == 10
    mismatch = norm_mismatch(weight, removed, found)
    others = torch.tensor([i for i in range(40) if i not in removed.tolist()])
    noise = torch.Generator().manual_seed(4)
    chance = [norm_mismatch(weight, removed, others[torch.randperm(30, generator=noise)[:10]]) for _ in range(20)]
    assert mismatch < 0.3 * min(chance)
    pairs = [abs(float(norms[a] - norms[b])) / max(float(norms[a]), float(norms[b])) for a, b in zip(removed, found, strict=True)]
    assert mismatch == pytest.approx(sum(pairs) / 10, rel=1e-5)


def test_partners_follow_the_written_rule():
    """Removed filters of norms 1 and 10 and three others near each: every draw stays among the three."""
    norms = [1.0, 10.0, 0.9, 1.05, 1.2, 9.5, 10.1, 10.8, 100.0]
    weight = torch.tensor(norms)[:, None].repeat(1, 4) / 2
    seen = {tuple(norm_matched(weight, [1, 0], seed=seed).tolist()) for seed in range(60)}
    assert {first for first, _ in seen} == {5, 6, 7} and {second for _, second in seen} == {2, 3, 4}
    assert torch.equal(norm_matched(weight, [0, 1], seed=7), norm_matched(weight, torch.tensor([0, 1]), seed=7))


def test_partners_are_drawn_as_a_literal_loop_draws_them():
    weight = weights(61, 3, 2, 2).round()  # norms that are equal, and equally far
    norms = weight.double().flatten(1).norm(dim=1).tolist()
    for seed in range(5):
        removed = torch.randperm(61, generator=torch.Generator().manual_seed(seed))[:29].tolist()
        draw, left, expected = torch.Generator().manual_seed(seed), [i for i in range(61) if i not in removed], [0] * 29
        for at in torch.randperm(29, generator=draw).tolist():
            near = sorted(left, key=lambda i: (abs(norms[i] - norms[removed[at]]), i))[:3]
            expected[at] = near[int(torch.randint(len(near), (), generator=draw))]
            left.remove(expected[at])
        assert norm_matched(weight, removed, seed=seed).tolist() == expected


def test_half_of_all_filters_can_be_matched_and_zeros_differ_by_nothing():
    weight = weights(8, 2, 3, 3)
    assert sorted(norm_matched(weight, [0, 2, 4, 6]).tolist()) == [1, 3, 5, 7]
    zeros = torch.zeros(4, 3)
    assert norm_mismatch(zeros, [0, 1], [2, 3]) == 0
    zeros[2] = 1
    assert norm_mismatch(zeros, [0, 1], [2, 3]) == 0.5


# Bad input

GOOD = weights(6, 2, 3, 4)
BAD_WEIGHTS = [
    (GOOD.tolist(), TypeError),
    (GOOD[0], ValueError),
    (GOOD[None], ValueError),
    (GOOD.long(), TypeError),
    (GOOD.half(), TypeError),
    (GOOD.bfloat16(), TypeError),
    (GOOD[:0], ValueError),
    (GOOD[:, :0], ValueError),
    (GOOD * NAN, ValueError),
    (torch.full((3, 2), float("inf")), ValueError),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("weight", "error"), BAD_WEIGHTS, ids=range(len(BAD_WEIGHTS)))
@pytest.mark.parametrize("call", [lambda w: rank(w, "l1"), lambda w: norm_matched(w, [0]), lambda w: norm_mismatch(w, [0], [1])])
def test_bad_weights(call, weight, error):
    with pytest.raises(error, match="weight"):
        call(weight)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: rank(GOOD, "L1"), ValueError, "method"),
        (lambda: rank(GOOD, 1), TypeError, "method"),
        (lambda: rank(GOOD, "random", seed=-1), ValueError, "seed"),
        (lambda: rank(GOOD, "random", seed=0.5), TypeError, "seed"),
        (lambda: rank(GOOD, "l1", tau=0.1), TypeError, "tau"),
        (lambda: rank(GOOD, "geometric_median", fraction=0.5), TypeError, "fraction"),
        (lambda: rank(GOOD, "geometric_median", tol=0), ValueError, "tol"),
        (lambda: rank(GOOD, "positional", colour=3), TypeError, "colour"),
        (lambda: rank(GOOD, "positional", fraction=0), ValueError, "fraction"),
        (lambda: norm_matched(GOOD, [0, 1, 2, 3]), ValueError, "removed"),
        (lambda: norm_matched(GOOD, [0, 0]), ValueError, "removed"),
        (lambda: norm_matched(GOOD, [6]), ValueError, "removed"),
        (lambda: norm_matched(GOOD, [-1]), ValueError, "removed"),
        (lambda: norm_matched(GOOD, []), ValueError, "removed"),
        (lambda: norm_matched(GOOD, "all"), TypeError, "removed"),
        (lambda: norm_matched(GOOD, [0.5]), TypeError, "removed"),
        (lambda: norm_matched(GOOD, [0], seed=-3), ValueError, "seed"),
        (lambda: norm_mismatch(GOOD, [0, 1], [2]), ValueError, "matched"),
        (lambda: norm_mismatch(GOOD, [0], [9]), ValueError, "matched"),
        (lambda: norm_mismatch(GOOD, [9], [0]), ValueError, "removed"),
        (lambda: rank(GOOD, "l1").redundant(7), ValueError, "n: "),
        (lambda: rank(GOOD, "l1").redundant(-1), ValueError, "n: "),
        (lambda: rank(GOOD, "l1").needed(1.0), TypeError, "n: "),
        (lambda: geometric_median(GOOD), ValueError, "X"),
        (lambda: geometric_median([[1.0]]), TypeError, "X"),
        (lambda: geometric_median(torch.ones(3, 2).long()), TypeError, "X"),
        (lambda: geometric_median(torch.ones(3, 2).half()), TypeError, "X"),
        (lambda: geometric_median(torch.ones(3, 0)), ValueError, "X"),
        (lambda: geometric_median(torch.full((3, 2), NAN)), ValueError, "X"),
        (lambda: geometric_median(torch.ones(3, 2), tol=-1), ValueError, "tol"),
        (lambda: geometric_median(torch.ones(3, 2), tol=1), ValueError, "tol"),
        (lambda: geometric_median(torch.ones(3, 2), tol="small"), TypeError, "tol"),
    ],
    ids=range(32),
)
def test_bad_arguments(call, error, name):
    with pytest.raises(error, match=name):
        call()
