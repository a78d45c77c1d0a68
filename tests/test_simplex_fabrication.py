"""Fabricated filters lie in the hull and keep the variance that their law says; fabricated networks keep what they must."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from toy_networks import Custom, normal, stirred

from filterlens.lenses.simplex import (
    archetypal_analysis,
    expected_variance_ratio,
    fabricate,
    fabricate_network,
    fabrication_weights,
    reset_statistics,
    simplex_codes,
    variance_ratio,
)

LAWS = [1.0, 0.05, 7, "sparse", ("k-sparse", 3), ("k-sparse", 1), ("k-sparse", 11)]


# The law


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_weights_are_in_the_simplex_and_follow_their_seed_alone(law):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    a, b, c = (fabrication_weights(11, 30, concentration=law, seed=seed) for seed in (5, 5, 6))
    assert a.shape == (30, 11) and a.dtype == torch.float64
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert bool((a >= 0).all()) and float((a.sum(1) - 1).abs().max()) < 1e-12
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_variance_that_is_left_is_the_one_that_is_expected(law):
    D = normal(4, 11) + 3
    made = fabricate(D, 40_000, concentration=law, seed=1)
    assert variance_ratio(D, made) == pytest.approx(expected_variance_ratio(11, law), rel=0.03)
    assert torch.allclose(made.mean(1), D.mean(1), atol=0.03)
    # not only the trace: the whole covariance is that of the archetypes, smaller
    assert torch.allclose(made.cov(), expected_variance_ratio(11, law) * D.cov(correction=0), atol=0.05)


def test_expected_ratios_by_hand():
    assert expected_variance_ratio(128, 1.0) == pytest.approx(1 / 129)
    assert expected_variance_ratio(512, "sparse") == 0.5
    assert expected_variance_ratio(9, ("k-sparse", 1)) == 1
    assert expected_variance_ratio(9, ("k-sparse", 9)) == pytest.approx(1 / 10)
    # E y^2 = 2 / (d (k + 1)), so Var y = 2 / (4 * 3) - 1 / 16, and Cov(c) = Var y d^2 / (d - 1) Cov(D)
    assert expected_variance_ratio(4, ("k-sparse", 2)) == pytest.approx((2 / 12 - 1 / 16) * 16 / 3)


def test_small_concentrations_do_not_underflow_even_for_single_precision_archetypes():
    D = torch.randn(3, 512, generator=torch.Generator().manual_seed(0))
    for law in (1e-6, 1e-3, "sparse"):
        made = fabricate(D, 200, concentration=law)
        assert made.dtype == torch.float32 and bool(torch.isfinite(made).all())
        assert float((fabrication_weights(512, 200, concentration=law).sum(1) - 1).abs().max()) < 1e-12


def test_k_sparse_mixes_k_archetypes_each_as_often():
    weights = fabrication_weights(6, 6000, concentration=("k-sparse", 2), seed=2)
    assert bool(((weights > 0).sum(1) == 2).all())
    assert torch.allclose((weights > 0).double().mean(0), torch.full((6,), 1 / 3, dtype=torch.float64), atol=0.03)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_fabricated_filters_lie_in_the_hull_of_the_filters(law):
    X = normal(5, 44)
    found = archetypal_analysis(X, 11)
    made = fabricate(found, 17, concentration=law)
    assert made.shape == (5, 17) and torch.equal(made, fabricate(found.D, 17, concentration=law))
    again = X @ simplex_codes(made, X).A
    assert float((made - again).norm(dim=0).max()) < 1e-6


def test_equal_archetypes_have_no_ratio():
    D = torch.ones(3, 4, dtype=torch.float64)
    assert math.isnan(variance_ratio(D, fabricate(D, 5)))


# Networks


def network() -> nn.Module:
    layers = {
        "conv1": nn.Conv2d(2, 9, 3, padding=1),
        "bn1": nn.BatchNorm2d(9),
        "depth": nn.Conv2d(9, 9, 3, groups=9, padding=1),
        "grouped": nn.Conv2d(9, 12, (1, 2), groups=3),
        "bn2": nn.BatchNorm2d(12),
        "up": nn.ConvTranspose2d(12, 10, (2, 3), groups=2),
        "linear": nn.Linear(10, 7),
    }
    return stirred(Custom(_through, **layers))


def _through(m: nn.Module, x: Tensor) -> Tensor:
    x = m.bn2(m.grouped(m.depth(m.bn1(m.conv1(x)).relu())))
    return m.linear(m.up(x.relu()).mean((2, 3)))


def test_every_convolution_is_fabricated_group_by_group_and_the_rest_is_as_documented():
    model = network()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(1)
    state = torch.get_rng_state()
    found = fabricate_network(model, concentration="sparse", seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert (found.fabricated, found.kept, found.fresh) == (["conv1", "grouped", "up"], ["depth"], ["linear"])
    made = found.model
    assert torch.equal(made.depth.weight, model.depth.weight) and torch.equal(made.depth.bias, model.depth.bias)
    for name, groups in (("conv1", 1), ("grouped", 3), ("up", 2)):
        new, old = made.get_submodule(name).weight.detach(), model.get_submodule(name).weight.detach()
        assert new.shape == old.shape and not torch.allclose(new, old) and not made.get_submodule(name).bias.any()
        if name == "up":  # (c_in, k / groups, kh, kw): each group's filters are columns of its rows
            new, old = (w.reshape(2, 6, 5, 2, 3).transpose(1, 2).reshape(10, 6, 2, 3) for w in (new, old))
        for own, others in zip(new.flatten(1).chunk(groups), old.flatten(1).chunk(groups), strict=True):
            again = others.T @ simplex_codes(own.T, others.T).A
            assert float((own.T - again).abs().max()) < 1e-6
    for bn in (made.bn1, made.bn2):
        assert torch.equal(bn.weight, torch.ones_like(bn.weight)) and not bn.bias.any()
        assert not bn.running_mean.any() and torch.equal(bn.running_var, torch.ones_like(bn.running_var))
    assert not torch.equal(made.linear.weight, model.linear.weight)
    assert made(normal(2, 2, 6, 8)).shape == (2, 7)


def test_accelerators_keep_their_generators(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the generators of all accelerators were seeded"))
    assert fabricate_network(network()).fresh == ["linear"]


def test_a_seed_gives_one_network_and_layers_differ():
    twins = nn.Sequential(nn.Conv2d(3, 8, 2), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(8, 3)).double()
    twins[2].load_state_dict(twins[1].state_dict())
    a, b, c = (fabricate_network(twins, seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["0.weight"], c["0.weight"]) and not torch.equal(a["4.weight"], c["4.weight"])
    assert not torch.equal(a["1.weight"], a["2.weight"])


def test_without_a_linear_layer_the_last_convolution_gives_the_classes_and_starts_afresh():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 2), nn.Conv2d(6, 5, 1)).double()
    found = fabricate_network(model)
    assert (found.fabricated, found.kept, found.fresh) == (["0", "2"], [], ["3"])
    for at, inside in ((2, True), (3, False)):
        fresh, old = (each[at].weight.detach().flatten(1).T for each in (found.model, model))
        away = (fresh - old @ simplex_codes(fresh, old).A).norm(dim=0)
        assert bool((away < 1e-6).all() if inside else (away > 0.05).all()), "the classes' filters are no mixtures of the old ones"
    assert fabricate_network(model, layers=["0"]).kept == ["2"]
    asked = fabricate_network(model, layers=["3", "2"])
    assert (asked.fabricated, asked.kept, asked.fresh) == (["2", "3"], ["0"], [])


def test_statistics_are_means_over_batches_of_each_batchs_own():
    model = network()
    bare = fabricate_network(model).model
    batches = [(normal(5, 2, 6, 8, seed=seed), torch.zeros(5)) for seed in (1, 2, 3)]
    before = copy.deepcopy(bare.state_dict())
    found = reset_statistics(bare, batches)
    assert all(torch.equal(value, before[key]) for key, value in bare.state_dict().items())
    inputs = [bare.conv1(images) for images, _ in batches]
    assert torch.allclose(found.bn1.running_mean, torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0))
    assert torch.allclose(found.bn1.running_var, torch.stack([x.var((0, 2, 3)) for x in inputs]).mean(0))
    assert found.bn1.momentum == bare.bn1.momentum == 0.1 and not found.bn1.training
    for key, value in found.state_dict().items():
        if "running" not in key and "tracked" not in key:
            assert torch.equal(value, before[key])

    class Doubled:
        def apply(self, images: Tensor) -> Tensor:
            return 2 * images

    other = reset_statistics(bare, [(images / 2, labels) for images, labels in batches], normalization=Doubled())
    assert torch.equal(other.bn2.running_var, found.bn2.running_var)
    assert reset_statistics(nn.Conv2d(2, 3, 1), []).training


# Bad input


def spoiled() -> nn.Module:
    model = network()
    with torch.no_grad():
        model.grouped.weight[2, 1, 0, 0] = torch.nan
    return model


D = normal(3, 5)
NET = network()
PAIR = (torch.randn(2, 2, 6, 8), torch.zeros(2))
NAN = float("nan")


@pytest.mark.bad_input
@pytest.mark.parametrize("call", [lambda a: fabricate(a, 2), lambda a: variance_ratio(a, torch.ones(3, 2))], ids=["fabricate", "ratio"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (D[0], ValueError),
        (D[None], ValueError),
        (D.long(), TypeError),
        (D.half(), TypeError),
        (D[:, :0], ValueError),
        (D * NAN, ValueError),
        (D.tolist(), TypeError),
        (None, TypeError),
    ],
    ids=range(8),
)
def test_bad_archetypes(call, value, error):
    with pytest.raises(error, match="archetypes"):
        call(value)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "call",
    [
        lambda law: fabricate(D, 2, concentration=law),
        lambda law: fabrication_weights(5, 2, concentration=law),
        lambda law: expected_variance_ratio(5, law),
        lambda law: fabricate_network(NET, concentration=law),
    ],
    ids=["fabricate", "weights", "expected", "network"],
)
@pytest.mark.parametrize(
    ("law", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (NAN, ValueError),
        (1e9, ValueError),
        ("spare", ValueError),
        (None, TypeError),
        (True, TypeError),
        (("k-sparse", 0), ValueError),
        (("k-sparse", 6), ValueError),
        (("k-sparse", 1.5), TypeError),
        (("sparse", 2), ValueError),
        (("k-sparse",), ValueError),
    ],
    ids=range(12),
)
def test_bad_concentrations(call, law, error):
    with pytest.raises(error, match="concentration"):
        call(law)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: fabricate(D, 0), ValueError, "n: "),
        (lambda: fabricate(D, 2.0), TypeError, "n: "),
        (lambda: fabricate(D, 2, seed=-1), ValueError, "seed"),
        (lambda: fabrication_weights(0, 2), ValueError, "d: "),
        (lambda: fabrication_weights(3, 2, seed=None), TypeError, "seed"),
        (lambda: expected_variance_ratio(1, 1.0), ValueError, "d: "),
        (lambda: variance_ratio(D, torch.ones(4, 2)), ValueError, "fabricated"),
        (lambda: variance_ratio(D, torch.ones(3, 1)), ValueError, "fabricated"),
        (lambda: variance_ratio(D, torch.ones(3)), ValueError, "fabricated"),
        (lambda: variance_ratio(D, torch.full((3, 2), NAN)), ValueError, "fabricated"),
        (lambda: variance_ratio(D, [1.0]), TypeError, "fabricated"),
        (lambda: fabricate_network("lenet"), TypeError, "model"),
        (lambda: fabricate_network(nn.Linear(3, 2)), ValueError, "model"),
        (lambda: fabricate_network(spoiled()), ValueError, "model: weight of 'grouped'.*NaN"),
        (lambda: fabricate_network(NET, fraction=0), ValueError, "fraction"),
        (lambda: fabricate_network(NET, fraction=1.1), ValueError, "fraction"),
        (lambda: fabricate_network(NET, seed=-1), ValueError, "seed"),
        (lambda: fabricate_network(NET, layers="conv1"), TypeError, "layers"),
        (lambda: fabricate_network(NET, layers=[]), ValueError, "layers"),
        (lambda: fabricate_network(NET, layers=["bn1"]), ValueError, "layers"),
        (lambda: fabricate_network(NET, layers=["conv9"]), ValueError, "layers"),
        (lambda: fabricate_network(NET, layers=[3]), TypeError, "layers"),
        (lambda: fabricate_network(NET, colour=3), TypeError, "colour"),
        (lambda: reset_statistics(None, [PAIR]), TypeError, "model"),
        (lambda: reset_statistics(NET, []), ValueError, "batches"),
        (lambda: reset_statistics(NET, PAIR[0]), TypeError, "batches"),
        (lambda: reset_statistics(NET, [PAIR[0]]), TypeError, "batches"),
        (lambda: reset_statistics(NET, [(PAIR[0][0], PAIR[1])]), ValueError, "batches"),
        (lambda: reset_statistics(NET, [(PAIR[0][:, :1], PAIR[1])]), ValueError, "batches"),
        (lambda: reset_statistics(NET, [(PAIR[0] * NAN, PAIR[1])]), ValueError, "batches"),
        (lambda: reset_statistics(NET, [PAIR], normalization="imagenet"), TypeError, "normalization"),
    ],
    ids=range(31),
)
def test_bad_arguments(call, error, name):
    with pytest.raises(error, match=name):
        call()
