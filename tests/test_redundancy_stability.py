"""Agreement of rankings, held against scipy and chance, and what a network loses when its channels change places."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from filterlens.lenses import redundancy, simplex


torch.set_num_threads(1)
module = importlib.import_module("filterlens.lenses.redundancy.stability")  # the package has a function of that name


@pytest.fixture(scope="module")
def weight() -> Tensor:
    return torch.randn(26, 5, 3, 2, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def result(weight: Tensor) -> redundancy.Stability:
    return redundancy.stability(weight)


def test_rankings_are_those_of_their_options(weight: Tensor, result: redundancy.Stability) -> None:
    assert result.names == tuple(redundancy.VARIANTS) and len(result.rankings) == 11
    for at in (2, 6, 8):
        options = list(redundancy.VARIANTS.values())[at]
        assert torch.equal(result.rankings[at].order, simplex.positional_relevance(weight, **options).order)
    assert result.rankings[9].d == 3 and result.rankings[10].d == 13
    assert result.l0.tolist() == pytest.approx([float(found.l0.double().mean()) for found in result.rankings])


def test_agreement_is_scipys_and_the_sets(result: redundancy.Stability) -> None:
    assert result.n == 5
    tables = ((result.spearman, 1, torch.float64), (result.common, 5, torch.int64), (result.common_needed, 5, torch.int64))
    for table, own, dtype in tables:
        assert table.shape == (11, 11) and table.dtype == dtype and torch.equal(table, table.T)
        assert table.diagonal().tolist() == [own] * 11
    for i, j in ((0, 3), (2, 7), (9, 10)):
        a, b = result.rankings[i], result.rankings[j]
        assert float(result.spearman[i, j]) == pytest.approx(stats.spearmanr(a.l0, b.l0).statistic)
        for table, pick in ((result.common, "redundant"), (result.common_needed, "needed")):
            one, two = (set(getattr(found, pick)(5).tolist()) for found in (a, b))
            assert int(table[i, j]) == len(one & two)
    assert int(result.common.min()) < 5 and not torch.equal(result.common, result.common_needed)
    assert float(result.spearman.min()) < 0.9, "variants that all agree test nothing"


@pytest.mark.parametrize(("k", "rate", "n"), [(26, 0.2, 5), (7, 0.9, 6), (4, 0.0, 1)])
def test_chance_is_what_random_sets_share(k: int, rate: float, n: int) -> None:
    result = redundancy.stability(torch.randn(k, 3, generator=torch.Generator().manual_seed(8)), variants={"a": {}, "b": {}}, rate=rate)
    draw = np.random.default_rng(0)
    found = [len(set(draw.permutation(k)[:n]) & set(draw.permutation(k)[:n])) for _ in range(4000)]
    assert result.n == n and result.chance == pytest.approx(np.mean(found), abs=1e-9 + 4 * np.std(found) / 4000**0.5)


def test_residual_and_convergence_are_the_analyses(weight: Tensor, result: redundancy.Stability) -> None:
    assert result.residual.tolist() == [found.archetypes.residual for found in result.rankings]
    assert result.converged.tolist() == [found.archetypes.converged for found in result.rankings] and result.converged.dtype == torch.bool
    assert float(result.residual[9]) > float(result.residual[0]) > float(result.residual[10]) > 0, "more archetypes fit better"
    short = redundancy.stability(weight, variants={"full": {}, "cut off": {"max_iter": 1}, "groups": {"groups": 2}})
    assert short.converged.tolist()[:2] == [True, False] and float(short.residual[1]) > float(short.residual[0])
    assert float(short.residual[2]) == max(part.residual for part in short.rankings[2].archetypes)


def test_own_variants_and_rate(weight: Tensor) -> None:
    result = redundancy.stability(weight, variants={"a": {}, "b": {}}, rate=0.5)
    assert result.n == 13 and int(result.common[0, 1]) == 13 and float(result.spearman[0, 1]) == pytest.approx(1)


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A random network and labels that it gives itself, so that every change costs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = nn.Sequential(
            nn.Conv2d(2, 14, 3), nn.ReLU(), nn.Conv2d(14, 6, (2, 3), bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
        )
        nn.init.normal_(model[0].weight)
        nn.init.normal_(model[5].weight)
    images = torch.rand(150, 2, 7, 8, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        return model.eval(), (images, model(images).argmax(1))


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).double().mean())


@pytest.mark.parametrize("layer", ["0", "2"])
def test_channels_that_change_places_cost(network, layer: str) -> None:
    model, (images, labels) = network
    before = copy.deepcopy(model.state_dict())
    found = redundancy.channel_order(model, (images, labels), layer, seed=1, concentration="sparse")
    assert found.original == 1.0 and found.permuted < 0.9
    at, moved = int(layer), copy.deepcopy(model)
    order = torch.randperm(len(model[at].weight), generator=torch.Generator().manual_seed(1))
    moved[at].weight.data = model[at].weight.data[order]
    if moved[at].bias is not None:
        moved[at].bias.data = model[at].bias.data[order]
    assert found.permuted == accuracy(moved, images, labels)
    assert 0 < found.distance[1] <= found.distance[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fabricated_filters_are_the_lenses_and_biases_go_with_them(network) -> None:
    model, (images, labels) = network
    found = redundancy.channel_order(model, (images, labels), "0", seed=2, concentration=0.5, fraction=0.5)
    flat = model[0].weight.detach().flatten(1).T
    archetypes = simplex.archetypal_analysis(flat, 7, seed=2)
    made = simplex.fabricate(archetypes, 14, concentration=0.5, seed=2).T
    weights = simplex.fabrication_weights(7, 14, concentration=0.5, seed=2)
    changed = copy.deepcopy(model)
    changed[0].weight.data = made.reshape(14, 2, 3, 3)
    changed[0].bias.data = (weights.to(flat) @ (archetypes.B.T @ model[0].bias.detach())).to(flat)
    assert found.fabricated == pytest.approx(accuracy(changed, images, labels), abs=1 / 150)
    distances = torch.cdist(flat.T.double(), made.double())
    drawn = float(distances.diagonal().mean() / flat.double().norm(dim=0).mean())
    assert found.distance[0] == pytest.approx(drawn, rel=1e-4)


def test_filters_put_back_at_their_own_places_are_the_network_again(network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabricated filters that are the originals in another order: the assignment has to find every one of them."""
    model, images = network
    k = 14
    shuffle = torch.eye(k, dtype=torch.float64)[torch.randperm(k, generator=torch.Generator().manual_seed(9))]
    monkeypatch.setattr(module, "fabrication_weights", lambda d, n, **_: shuffle)
    found = redundancy.channel_order(model, images, "0", fraction=1.0)  # every filter is an archetype
    assert found.matched == 1.0 and found.distance[1] < 1e-6
    assert found.fabricated < 0.9 and found.distance[0] > 0.5


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "options", "error", "said"),
    [
        ("conv1", {}, TypeError, "weight"),
        (torch.zeros(4, 3, 3), {}, ValueError, "weight"),
        (torch.zeros(4, 3, dtype=torch.int32), {}, TypeError, "weight"),
        (torch.full((4, 3), torch.inf), {}, ValueError, "weight"),
        (torch.empty(0, 3), {}, ValueError, "weight"),
        (torch.randn(8, 5), {"variants": ["gram"]}, TypeError, "variants"),
        (torch.randn(8, 5), {"variants": {"one": {}}}, ValueError, "variants: got 1"),
        (torch.randn(8, 5), {"variants": {"one": {}, "two": {"tau": -1.0}}}, ValueError, "tau"),
        (torch.randn(8, 5), {"variants": {"one": {}, "two": {"sead": 1}}}, TypeError, "sead"),
        (torch.randn(8, 5), {"rate": 1.5}, ValueError, "rate"),
        (torch.randn(8, 5), {"rate": None}, TypeError, "rate"),
    ],
)
def test_stability_refuses(given, options, error, said) -> None:
    with pytest.raises(error, match=said):
        redundancy.stability(given, **options)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "told", [{"tau": 2.0}, {"max_iter": 0}, {"init": "furthest"}, {"method": "pgd"}, {"d": 27}, {"colour": 1}], ids=str
)
def test_stability_refuses_before_any_ranking(weight: Tensor, monkeypatch: pytest.MonkeyPatch, told: dict) -> None:
    real = module.positional_relevance
    monkeypatch.setattr(module, "positional_relevance", lambda w, **o: pytest.fail("a ranking was made") if w.any() else real(w, **o))
    with pytest.raises((TypeError, ValueError), match=next(iter(told))):
        redundancy.stability(weight, variants={"one": {}, "two": told})


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"model": 3}, TypeError, "model"),
        ({"images": torch.zeros(2, 2, 7, 8)}, TypeError, "images"),
        ({"images": (torch.zeros(2, 3, 7, 8), torch.zeros(2, dtype=torch.int64))}, ValueError, "images"),
        ({"images": (torch.full((2, 2, 7, 8), torch.nan), torch.zeros(2, dtype=torch.int64))}, ValueError, "images"),
        ({"layer": "1"}, ValueError, "layer"),
        ({"layer": "conv"}, ValueError, "layer"),
        ({"layer": 0}, TypeError, "layer"),
        ({"seed": -2}, ValueError, "seed"),
        ({"concentration": -1.0}, ValueError, "concentration"),
        ({"concentration": "dense"}, ValueError, "concentration"),
        ({"fraction": 0.0}, ValueError, "fraction"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"normalization": "z"}, TypeError, "normalization"),
    ],
)
def test_channel_order_refuses(network, monkeypatch, changed, error, said) -> None:
    monkeypatch.setattr(module, "archetypal_analysis", lambda *_, **__: pytest.fail("an analysis was started"))
    given = {"model": network[0], "images": network[1], "layer": "0", **changed}
    with pytest.raises(error, match=said):
        redundancy.channel_order(given.pop("model"), given.pop("images"), given.pop("layer"), **given)


@pytest.mark.bad_input
def test_channel_order_refuses_groups() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(24, 3))
    with pytest.raises(ValueError, match="layer: '0' has 2 groups"):
        redundancy.channel_order(model, (torch.rand(2, 4, 4, 4), torch.zeros(2, dtype=torch.int64)), "0")
