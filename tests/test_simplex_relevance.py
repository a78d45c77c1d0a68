"""Positional relevance: planted positions, the written tie order, equivariances, compensation, and every edge case of a layer."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_networks import normal, stirred

from filterlens.lenses.filter_ranking import FilterRanking
from filterlens.lenses.ranking import geometric_median, rank
from filterlens.lenses.simplex import (
    PositionalRanking,
    archetypal_analysis,
    positional_relevance,
    simplex_codes,
    tau_sensitivity,
)


def planted(d: int = 4, c: int = 3, side: int = 2, extra: int = 9, seed: int = 0) -> tuple[Tensor, list[list[int]]]:
    """d vertices, their centroid, all edge midpoints and mixtures of three, shuffled: filters (k, c, side, side), supports."""
    noise = torch.Generator().manual_seed(seed)
    V = torch.randn(d, c * side * side, generator=noise, dtype=torch.float64)
    supports = [[i] for i in range(d)] + [list(range(d))] + [[i, j] for i in range(d) for j in range(i)]
    supports += [sorted(torch.randperm(d, generator=noise)[:3].tolist()) for _ in range(extra)]
    rows = []
    for at, support in enumerate(supports):
        share = torch.full((len(support),), 1.0) if at < len(supports) - extra else 0.2 + torch.rand(3, generator=noise)
        rows.append((share.double() / share.sum().double()) @ V[support])
    order = torch.randperm(len(rows), generator=noise)
    return torch.stack(rows)[order].reshape(-1, c, side, side), [supports[i] for i in order.tolist()]


# What the score counts


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [3, 4, 6])
def test_vertices_score_1_edge_midpoints_2_the_centroid_d(d, dtype):
    weight, supports = planted(d=d)
    single = dtype == torch.float32  # where vertices come out to about 1e-4: codes too, so tau lies above
    found = positional_relevance(weight.to(dtype), d=d, restarts=10, tol=1e-14, tau=1e-2 if single else 1e-4)
    assert found.archetypes.residual < (1e-3 if single else 1e-5) and not found.degenerate
    assert found.l0.tolist() == [len(support) for support in supports]
    assert torch.equal(found.score, -found.l0) and found.l0.dtype == torch.int64
    assert len(supports[int(found.order[0])]) == max(map(len, supports)) and set(found.needed(d).tolist()) == {
        i for i, support in enumerate(supports) if len(support) == 1
    }


def test_what_is_told_of_every_filter():
    weight = normal(20, 2, 3, 2)
    found = positional_relevance(weight)
    X, D, A = weight.flatten(1).T, found.archetypes.D, found.codes
    assert isinstance(found, FilterRanking) and found.method == "positional" and found.tau == 1e-4
    assert found.d == 5 and found.fraction == 0.25 and positional_relevance(weight, d=7).fraction is None
    assert A.shape == (5, 20) and float((A.sum(0) - 1).abs().max()) < 1e-6
    assert torch.equal(found.l0, (A > 1e-4).sum(0)) and torch.equal(found.largest, A.max(0).values)
    logs = [[float(a) * float(a.log()) if a > 0 else 0.0 for a in A[:, k]] for k in range(20)]
    assert torch.allclose(found.entropy, -torch.tensor(logs, dtype=torch.float64).sum(1))
    nearest = [min(float((X[:, k] - D[:, j]).norm()) for j in range(5)) for k in range(20)]
    assert torch.allclose(found.to_archetype, torch.tensor(nearest, dtype=torch.float64))
    assert torch.allclose(found.to_median, (X - geometric_median(X)[:, None]).norm(dim=0))
    assert torch.equal(found.archetypes.A, A)


def slow_order(r: PositionalRanking) -> list[int]:
    """Spec 2.3: insert one filter after the other before the first one that is less redundant."""
    order: list[int] = []
    for k in range(len(r.l0)):
        place = len(order)
        for at, other in enumerate(order):
            differences = [
                int(r.l0[k] - r.l0[other]),
                float(r.entropy[k] - r.entropy[other]),
                float(r.largest[other] - r.largest[k]),
                float(r.to_median[other] - r.to_median[k]),
            ]
            if next((value for value in differences if value != 0), -1) > 0:
                place = at
                break
        order.insert(place, k)
    return order


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 24), st.integers(0, 10_000), st.booleans())
def test_ties_are_broken_as_written(k, seed, grid):
    weight = normal(k, 2, 1, 3, seed=seed)
    weight = weight.round() if grid else weight  # equal filters, entropies and distances occur
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = positional_relevance(weight, d=min(k - 1, 4), max_iter=40)
    assert found.order.tolist() == slow_order(found)
    needed = sorted(range(k), key=lambda i: (int(found.l0[i]), -float(found.largest[i]), float(found.to_archetype[i]), i))
    assert found.needed(k).tolist() == needed and found.needed(2).tolist() == needed[:2]
    assert found.redundant(3).tolist() == found.order.tolist()[:3]
    assert torch.equal(found.ties[found.order], found.ties.sort().values)
    assert [len(set(found.l0[found.ties == group].tolist())) for group in found.ties.unique()] == [1] * len(found.ties.unique())


def test_rank_gives_the_same_ranking():
    weight = normal(17, 3, 2, 2)
    a, b = (
        rank(weight, "positional", tau=1e-3, fraction=0.4, init="uniform", seed=3),
        positional_relevance(weight, tau=1e-3, fraction=0.4, init="uniform", seed=3),
    )
    assert isinstance(a, PositionalRanking) and torch.equal(a.order, b.order) and a.archetypes.init == "uniform" and a.archetypes.seed == 3


# Geometry


def test_moving_turning_scaling_and_shuffling_leave_the_ranking():
    weight = normal(24, 2, 2, 3)
    rows = weight.flatten(1)
    start = torch.tensor([3, 8, 11, 0, 20, 17])
    base = positional_relevance(weight, init=start)
    turn = torch.linalg.qr(normal(12, 12, seed=1))[0]
    shuffle = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    back = shuffle.argsort()
    layout = rows.reshape(24, 2, 2, 3).permute(0, 2, 3, 1)  # TensorFlow's (kh, kw, c) order of coordinates
    for changed, init in [
        (rows + normal(12, seed=5), start),
        (rows @ turn, start),
        (2.5 * rows, start),
        (layout, start),
        (rows[shuffle], back[start]),
    ]:
        found = positional_relevance(changed, init=init)
        again = found.l0[back] if init is not start else found.l0
        codes = found.codes[:, back] if init is not start else found.codes
        assert torch.equal(again, base.l0)
        assert torch.allclose(codes, base.codes, atol=1e-5)


def test_one_filter_more_that_is_a_mixture_changes_no_others_code():
    """With the archetypes where they are: the hull is the same."""
    weight, _ = planted(d=4)
    rows = weight.flatten(1)
    found = positional_relevance(rows, d=4, restarts=10, tol=1e-14)
    more = torch.cat([rows, (0.3 * rows[2] + 0.7 * rows[5])[None]])
    again = positional_relevance(more, d=4, restarts=10, tol=1e-14)
    assert again.archetypes.residual < 1e-5 and torch.equal(again.l0[:-1], found.l0)
    assert torch.allclose(simplex_codes(more.T, found.archetypes.D).A[:, :-1], found.codes, atol=1e-6)


def test_duplicates_have_equal_codes_and_a_zero_filter_is_one_like_others():
    weight = normal(26, 3, 2, 4).float()
    weight[[4, 17, 25]] = weight[9].clone()
    weight[13] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = positional_relevance(weight)
    for k in (4, 17, 25):
        assert torch.equal(found.codes[:, k], found.codes[:, 9])
    at = found.order.tolist().index(4)
    assert found.order[at : at + 4].tolist() == [4, 9, 17, 25]
    assert 1 <= int(found.l0[13]) <= found.d
    centred = weight.double().flatten(1) - weight.double().flatten(1).mean(0)
    corner = positional_relevance(torch.cat([centred.abs() + 0.5, torch.zeros(1, 24)]), d=7)
    assert int(corner.l0[26]) == 1  # all others lie to one side of it
    inner = positional_relevance(torch.cat([centred, torch.zeros(1, 24)]), d=7)
    assert int(inner.l0[26]) > 1


# Why mixtures can go


def test_the_response_of_a_mixture_is_the_mixture_of_responses():
    weight, images, a = normal(5, 3, 2, 4), normal(2, 3, 8, 9, seed=1), normal(5, seed=2)
    mixed = nn.functional.conv2d(images, (a[:, None, None, None] * weight).sum(0, keepdim=True))
    apart = nn.functional.conv2d(images, weight)
    assert torch.allclose(mixed[:, 0], torch.einsum("k,nkhw->nhw", a, apart), atol=1e-12)


@pytest.mark.parametrize(("between", "exact"), [(nn.Identity(), True), (nn.ReLU(), False)])
def test_compensation_is_exact_in_a_linear_network_and_not_through_relu(between, exact):
    """w_k = sum a_j w_j and b_k = sum a_j b_j: channel k goes, a_j V[:, k] is added to V[:, j]. ReLU is the counter-example."""
    first, second = stirred(nn.Conv2d(2, 6, (3, 2))), stirred(nn.Conv2d(6, 4, (2, 3)), seed=1)
    images, k = normal(3, 2, 9, 8, seed=2), 4
    a = torch.tensor([0.1, 0.4, 0.2, 0.0, 0.0, 0.3], dtype=torch.float64)
    with torch.no_grad():
        first.weight[k], first.bias[k] = torch.einsum("j,jchw->chw", a, first.weight), a @ first.bias
        before = second(between(first(images)))
        changed = copy.deepcopy(second)
        changed.weight += torch.einsum("j,ohw->ojhw", a, second.weight[:, k])
        changed.weight[:, k] = 0
        after = changed(between(first(images)))
        assert float((after - before).abs().max()) < 1e-12 if exact else float((after - before).abs().max()) > 0.1
        without = first.bias.clone()
        first.bias[k] += 1  # the weights alone do not make channel k the mixture
        if exact:
            assert float((changed(first(images)) - second(first(images))).abs().max()) > 0.1
        first.bias.copy_(without)


# tau


def test_other_thresholds_count_the_same_codes():
    found = positional_relevance(normal(22, 2, 3, 2))
    taus = [0.0, 1e-4, 0.05, 0.3, 0.999]
    counts = tau_sensitivity(found, taus)
    assert counts.shape == (5, 22) and counts.dtype == torch.int64
    assert counts.tolist() == [[sum(float(a) > tau for a in column) for column in found.codes.T] for tau in taus]
    assert torch.equal(counts[1], found.l0)
    assert torch.equal(positional_relevance(normal(22, 2, 3, 2), tau=0.05).l0, counts[2])
    assert tau_sensitivity(found, torch.tensor([0.25])).shape == (1, 22)
    grouped = positional_relevance(normal(24, 2, 3, 2), groups=3)
    assert torch.equal(tau_sensitivity(grouped, [grouped.tau])[0], grouped.l0)


def test_the_solver_is_given_what_was_asked():
    found = positional_relevance(normal(18, 2, 2, 3), d=4, method="nnls-ls", seed=3)
    direct = archetypal_analysis(normal(18, 2, 2, 3).flatten(1).T, 4, method="nnls-ls", seed=3)
    assert found.archetypes.method == "nnls-ls" and torch.equal(found.archetypes.D, direct.D)


def test_corners_lie_at_no_distance_from_their_archetypes():
    """Beyond 25 rows torch takes distances from a matrix product, which would put vertices 1e-7 away from themselves."""
    generator = torch.Generator().manual_seed(5)
    vertices = torch.randn(12, 27, generator=generator, dtype=torch.float64) + 3
    shares = torch.rand(52, 12, generator=generator, dtype=torch.float64)
    rows = torch.cat([vertices, shares / shares.sum(1, keepdim=True) @ vertices])[torch.randperm(64, generator=generator)]
    found = positional_relevance(rows.view(64, 3, 3, 3), d=12)
    corners = sorted(torch.cdist(vertices, rows, compute_mode="donot_use_mm_for_euclid_dist").argmin(1).tolist())
    assert found.archetypes.residual < 1e-9 and not found.to_archetype[corners].any()
    assert sorted(found.needed(12).tolist()) == corners
