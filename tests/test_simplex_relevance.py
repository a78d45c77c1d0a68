"""Positional relevance: planted positions, the written tie order, equivariances, compensation, and every edge case of a layer."""

from __future__ import annotations

import copy
import warnings
from dataclasses import fields

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
    layer_relevance,
    positional_relevance,
    simplex_codes,
    tau_sensitivity,
)

NAN = float("nan")


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


# Small, wide, grouped and depthwise layers


@pytest.mark.parametrize(("k", "d", "empty"), [(1, 1, True), (2, 2, True), (3, 2, False), (4, 2, False), (6, 2, False), (10, 3, False)])
def test_the_number_of_archetypes_of_small_layers(k, d, empty):
    weight = normal(k, 3, 4, 2)
    if empty:
        with pytest.warns(UserWarning, match="carries no information"):
            found = positional_relevance(weight)
        assert found.l0.tolist() == [1] * k and not found.degenerate
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = positional_relevance(weight)
    assert found.d == d and sorted(found.order.tolist()) == list(range(k))


def test_as_many_archetypes_as_filters_say_nothing():
    weight = normal(9, 1, 2, 2)
    with pytest.warns(UserWarning, match="9 archetypes for 9 filters") as told:
        found = positional_relevance(weight, d=9)
    assert len(told) == 1 and told[0].filename == __file__
    assert torch.equal(found.codes, torch.eye(9, dtype=torch.float64)) and torch.equal(found.archetypes.D, weight.flatten(1).T)
    assert found.l0.tolist() == [1] * 9 and len(found.ties.unique()) == 1
    with pytest.raises(ValueError, match="d: "):
        positional_relevance(weight, d=10)


def test_a_simplex_without_room_is_flagged_once_and_its_codes_are_basic():
    """As the expansion layers of EfficientNet-Lite0: six times as many filters as channels, d = 1.5 channels."""
    weight = normal(48, 8, 1, 1).float()
    with pytest.warns(UserWarning, match="codes are not unique") as told:
        found = positional_relevance(weight)
    assert len(told) == 1 and "12 archetypes" in str(told[0].message) and "8 dimensions" in str(told[0].message)
    assert found.degenerate and found.d == 12 and int(found.l0.max()) <= 9
    for k in range(48):  # affinely independent archetypes
        used = found.archetypes.D[:, found.codes[:, k] > 0].double()
        lifted = torch.cat([used, torch.ones_like(used[:1])])
        assert int(torch.linalg.matrix_rank(lifted, rtol=1e-5)) == used.shape[1]


@pytest.mark.parametrize("kinds", [1, 3])
def test_fewer_different_filters_than_archetypes_are_flagged(kinds):
    weight = normal(kinds, 2, 3, 3)[torch.arange(20) % kinds]
    with pytest.warns(UserWarning, match="more than there are different filters"):
        found = positional_relevance(weight)
    assert found.degenerate and found.d == 5 and sorted(found.order.tolist()) == list(range(20))
    for k in range(20):
        assert torch.equal(found.codes[:, k], found.codes[:, k % kinds])
    assert found.l0.tolist() == [1] * 20  # each is an archetype


def test_groups_are_analysed_each_on_its_own():
    weight = normal(24, 2, 3, 2)
    found = positional_relevance(weight, groups=3)
    parts = [positional_relevance(part) for part in weight.chunk(3)]
    assert found.codes is None and isinstance(found.archetypes, tuple) and len(found.archetypes) == 3 and found.d == 2
    for name in ("l0", "entropy", "largest", "to_archetype", "to_median"):
        assert torch.equal(getattr(found, name), torch.cat([getattr(part, name) for part in parts]))
    for own, part in zip(found.archetypes, parts, strict=True):
        assert torch.equal(own.A, part.codes)
    assert found.order.tolist() == slow_order(found)


def test_depthwise_layers_are_refused_unless_asked_for():
    weight = normal(20, 1, 3, 2)
    with pytest.raises(ValueError, match="depthwise"):
        positional_relevance(weight, groups=20)
    with pytest.warns(UserWarning, match="depthwise"):
        found = positional_relevance(weight, groups=20, depthwise=True)
    assert torch.equal(found.order, positional_relevance(weight).order)


def test_batch_normalisation_folded_into_the_filters():
    weight, gamma, var = normal(16, 2, 3, 2), normal(16, seed=1), normal(16, seed=2).abs()
    found = positional_relevance(weight, fold=(gamma, var, 1e-3))
    scaled = weight * (gamma / (var + 1e-3).sqrt())[:, None, None, None]
    assert torch.equal(found.l0, positional_relevance(scaled).l0)
    assert torch.allclose(found.codes, positional_relevance(scaled).codes, atol=1e-6)
    assert not torch.equal(found.order, positional_relevance(weight).order)


# Layers of networks


def layers() -> nn.ModuleDict:
    return stirred(
        nn.ModuleDict(
            {
                "conv": nn.Conv2d(3, 16, (3, 2)),
                "bn": nn.BatchNorm2d(16),
                "plain": nn.BatchNorm2d(16, affine=False),
                "grouped": nn.Conv2d(6, 16, 2, groups=2),
                "up": nn.ConvTranspose2d(5, 12, (2, 3)),
                "grouped_up": nn.ConvTranspose2d(6, 16, 2, groups=2),
                "depthwise": nn.Conv2d(9, 9, 3, groups=9),
                "linear": nn.Linear(7, 12),
                "one": nn.Conv1d(3, 8, 2),
            }
        )
    )


def test_layers_are_read_as_they_are():
    model = layers()
    before = copy.deepcopy(model.state_dict())
    for name, weight, groups in [
        ("conv", model["conv"].weight, 1),
        ("grouped", model["grouped"].weight, 2),
        ("up", model["up"].weight.transpose(0, 1), 1),
        ("grouped_up", torch.cat([half.transpose(0, 1) for half in model["grouped_up"].weight.chunk(2)]), 2),
        ("linear", model["linear"].weight, 1),
    ]:
        found, expected = layer_relevance(model, name, seed=2, tau=1e-3), positional_relevance(weight, groups=groups, seed=2, tau=1e-3)
        assert torch.equal(found.order, expected.order) and torch.equal(found.to_archetype, expected.to_archetype)
    folded = layer_relevance(model, "conv", fold_bn="bn")
    bn = model["bn"]
    assert torch.equal(folded.order, positional_relevance(model["conv"].weight, fold=(bn.weight, bn.running_var, bn.eps)).order)
    plain = layer_relevance(model, "conv", fold_bn="plain")
    fold = (torch.ones(16), model["plain"].running_var, 1e-5)
    assert torch.equal(plain.order, positional_relevance(model["conv"].weight, fold=fold).order)
    with pytest.raises(ValueError, match="'depthwise' is depthwise"):
        layer_relevance(model, "depthwise")
    with pytest.warns(UserWarning, match="layer 'depthwise' is depthwise") as told:
        layer_relevance(model, "depthwise", depthwise=True)
    assert told[0].filename == __file__
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "layer"), [("lenet", "conv2"), ("resnet20", "layer1.0.conv1"), ("resnet20", "layer3.2.conv1")])
def test_trained_layers_rank_the_same_for_the_same_seed(name, layer):
    from filterlens import models

    model = models.load(name)
    torch.manual_seed(0)
    a = layer_relevance(model, layer, seed=1)
    torch.manual_seed(1)
    b = layer_relevance(model, layer, seed=1)
    assert torch.equal(a.order, b.order) and torch.equal(a.codes, b.codes)
    assert not a.degenerate and len(a.ties.unique()) < len(a.l0)
    # the certificate that the zeros rest on: A's own optimality
    X = model.get_submodule(layer).weight.detach().flatten(1)
    assert a.archetypes.gap <= 1e-6 * float((X - X.mean(0)).square().sum())
    counts = tau_sensitivity(a, [0, 1e-4]).double()
    assert float((counts[0] - counts[1]).abs().mean()) < 0.1


def test_lenets_third_layer_has_the_documented_number_of_archetypes_and_repeats_itself():
    from filterlens import models

    weight = models.load("lenet").conv3.weight[:120]  # a part of its 500 filters, to be quick
    a, b = positional_relevance(weight, max_iter=60), positional_relevance(weight, max_iter=60)
    assert a.d == 30 and torch.equal(a.order, b.order) and a.order.tolist() == slow_order(a)


def test_an_expansion_layer_is_flagged_by_name():
    """blocks.1.0.conv_pw of EfficientNet-Lite0: 16 channels, 96 filters."""
    model = nn.ModuleDict({"conv_pw": stirred(nn.Conv2d(16, 96, 1))})
    with pytest.warns(UserWarning, match="layer 'conv_pw': 24 archetypes span no simplex in 16 dimensions") as told:
        found = layer_relevance(model, "conv_pw", max_iter=50)
    assert len(told) == 1 and found.degenerate and int(found.l0.max()) <= 17


def test_weights_stay_as_they_are_and_precision_is_the_weights_own():
    weight = normal(14, 2, 3, 2).float().requires_grad_()
    before = weight.detach().clone()
    found = positional_relevance(weight)
    assert torch.equal(weight.detach(), before) and found.codes.dtype == torch.float32
    for field in fields(found):
        value = getattr(found, field.name)
        assert not isinstance(value, Tensor) or not value.requires_grad


# Bad input

GOOD = normal(8, 2, 3, 2)
FOLD = (torch.ones(8), torch.ones(8), 1e-5)
NET = layers()
RANKED = positional_relevance(GOOD)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (GOOD.tolist(), TypeError),
        (None, TypeError),
        (GOOD[0], ValueError),
        (GOOD[None], ValueError),
        (GOOD.long(), TypeError),
        (GOOD.half(), TypeError),
        (GOOD[:0], ValueError),
        (GOOD[:, :0], ValueError),
        (GOOD * NAN, ValueError),
        (GOOD / 0, ValueError),
    ],
    ids=range(10),
)
def test_bad_weights(value, error):
    with pytest.raises(error, match="weight"):
        positional_relevance(value)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"fraction": 0}, ValueError, "fraction"),
        ({"fraction": 1.5}, ValueError, "fraction"),
        ({"fraction": NAN}, ValueError, "fraction"),
        ({"fraction": "all"}, TypeError, "fraction"),
        ({"d": 0}, ValueError, "d: "),
        ({"d": 9}, ValueError, "d: "),
        ({"d": 2.0}, TypeError, "d: "),
        ({"tau": -1e-3}, ValueError, "tau"),
        ({"tau": 1}, ValueError, "tau"),
        ({"tau": None}, TypeError, "tau"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"groups": 3}, ValueError, "groups"),
        ({"groups": 0}, ValueError, "groups"),
        ({"groups": 8}, ValueError, "groups"),
        ({"depthwise": 1}, TypeError, "depthwise"),
        ({"fold": "bn"}, TypeError, "fold"),
        ({"fold": FOLD[:2]}, TypeError, "fold"),
        ({"fold": (torch.ones(7), *FOLD[1:])}, ValueError, "fold"),
        ({"fold": (FOLD[0], -FOLD[1], 1e-5)}, ValueError, "fold"),
        ({"fold": (FOLD[0], 0 * FOLD[1], 0)}, ValueError, "fold"),
        ({"fold": (*FOLD[:2], "small")}, TypeError, "fold"),
        ({"method": "pgd"}, ValueError, "method"),
        ({"init": "random"}, ValueError, "init"),
        ({"restarts": 0}, ValueError, "restarts"),
        ({"colour": 1}, TypeError, "colour"),
    ],
    ids=range(26),
)
def test_bad_options(options, error, name):
    with pytest.raises(error, match=name):
        positional_relevance(GOOD, **options)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: layer_relevance("net", "conv"), TypeError, "model"),
        (lambda: layer_relevance(NET, 3), TypeError, "layer"),
        (lambda: layer_relevance(NET, "conc"), ValueError, "layer.*conv"),
        (lambda: layer_relevance(NET, ""), ValueError, "layer"),
        (lambda: layer_relevance(NET, "bn"), ValueError, "layer"),
        (lambda: layer_relevance(NET, "one"), ValueError, "layer"),
        (lambda: layer_relevance(NET, "conv", fold_bn="linear"), ValueError, "fold_bn"),
        (lambda: layer_relevance(NET, "conv", fold_bn="bn7"), ValueError, "fold_bn"),
        (lambda: layer_relevance(NET, "conv", fold_bn=True), TypeError, "fold_bn"),
        (lambda: layer_relevance(NET, "linear", fold_bn="bn"), ValueError, "fold"),
        (lambda: layer_relevance(NET, "conv", groups=2), TypeError, "groups"),
        (lambda: layer_relevance(NET, "conv", colour=2), TypeError, "colour"),
        (lambda: layer_relevance(NET, "conv", fraction=0), ValueError, "fraction"),
        (lambda: tau_sensitivity(RANKED, []), ValueError, "taus"),
        (lambda: tau_sensitivity(RANKED, [1.0]), ValueError, "taus"),
        (lambda: tau_sensitivity(RANKED, [NAN]), ValueError, "taus"),
        (lambda: tau_sensitivity(RANKED, 0.1), TypeError, "taus"),
        (lambda: tau_sensitivity(RANKED, ["low"]), TypeError, "taus"),
        (lambda: tau_sensitivity(rank(GOOD, "l1"), [0.1]), TypeError, "ranking"),
        (lambda: RANKED.needed(9), ValueError, "n: "),
        (lambda: RANKED.redundant(9), ValueError, "n: "),
    ],
    ids=range(21),
)
def test_bad_arguments(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_the_solver_is_given_what_was_asked():
    found = positional_relevance(normal(18, 2, 2, 3), d=4, method="nnls-ls", seed=3)
    direct = archetypal_analysis(normal(18, 2, 2, 3).flatten(1).T, 4, method="nnls-ls", seed=3)
    assert found.archetypes.method == "nnls-ls" and torch.equal(found.archetypes.D, direct.D)
