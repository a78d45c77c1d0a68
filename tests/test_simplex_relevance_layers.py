"""Positional relevance of every kind of layer: small, wide, grouped, depthwise, folded, read from networks, and bad input."""

from __future__ import annotations

import copy
import warnings
from dataclasses import fields

import pytest
import torch
from test_simplex_relevance import slow_order
from torch import Tensor, nn
from toy_networks import normal, stirred

from filterlens.lenses.ranking import rank
from filterlens.lenses.simplex import layer_relevance, positional_relevance, tau_sensitivity

NAN = float("nan")


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_cloud_of_low_rank_is_flagged_and_its_codes_are_basic(dtype):
    """40 filters of 18 weights in a plane of 3 dimensions: 10 archetypes, of which at most 4 are needed."""
    weight = (normal(40, 3) @ normal(3, 18, seed=1) + normal(18, seed=2)).reshape(40, 2, 3, 3).to(dtype)
    with pytest.warns(UserWarning, match="10 archetypes span no simplex in a cloud of 3 dimensions") as told:
        found = positional_relevance(weight)
    assert len(told) == 1 and found.degenerate and found.d == 10
    if dtype == torch.float64:  # in single precision the cloud is flat up to rounding only, where basic codes see no dependence
        assert int(found.l0.max()) <= 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one archetype more than dimensions is a simplex
        assert not positional_relevance(weight, d=4).degenerate


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
        (lambda: layer_relevance(NET, "linear", fold_bn="bn"), ValueError, "fold_bn: 'bn' has 16 channels, expected 12"),
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
