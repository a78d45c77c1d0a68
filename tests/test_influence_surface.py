"""The accuracy surface is what decomposing the layer for each (r, s), one by one, gives; whatever the memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from filterlens import metrics
from filterlens.lenses.influence import accuracy_by_size, accuracy_surface, count_ranks, decompose, find_influential
from filterlens.lenses.influence import surface as room

pytestmark = pytest.mark.filterwarnings("ignore:r = .* is the full width", "ignore:no image votes", "ignore:all features of all")
D, C = 7, 4
NAN, INF = float("nan"), float("inf")


def drawn(n: int, seed: int, d: int = D) -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse small integers with a lean towards the class: ties, zeros, and something to learn."""
    noise = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % C
    features = torch.randint(-2, 4, (n, d), generator=noise).clamp(min=0).float()
    features[torch.arange(n), labels] += 1
    return features, labels


def layer(seed: int = 0, bias: bool = True) -> nn.Linear:
    """Weights in eighths: sums are exact in every order, so that equal logits are equal everywhere."""
    torch.manual_seed(seed)
    linear = nn.Linear(D, C, bias=bias)
    for parameter in linear.parameters():
        parameter.data.copy_((parameter.data * 8).round() / 8)
    linear.weight.data[:, :C] += torch.eye(C) / 2
    return linear


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([10**3, 10**5, 2**28]))
def test_every_cell_equals_one_decomposition(seed, bias, max_bytes):
    linear, (features, labels), (unseen, truth) = layer(seed % 7, bias), drawn(30, seed), drawn(41, seed + 1)
    rs, ss = [1, 3, 7, 2], [5, 1, 7]
    found = accuracy_surface(unseen, truth, linear, count_ranks(features, labels, C), rs=rs, ss=ss, max_bytes=max_bytes)
    assert found.accuracy.shape == (4, 3) and found.accuracy.dtype == torch.float64 and (found.rs, found.ss) == (rs, ss)
    assert found.full == metrics.accuracy(linear(unseen), truth)
    for i, r in enumerate(rs):
        for j, s in enumerate(ss):
            indices = find_influential(features, labels, C, r=r, s=s).indices
            assert float(found.accuracy[i, j]) == metrics.accuracy(decompose(linear, indices)(unseen), truth)
    assert torch.equal(found.accuracy[:, 2], torch.full((4,), found.full, dtype=torch.float64))  # oracle 1: s = d is the full layer
    assert torch.allclose(found.eta, found.accuracy / found.full) if found.full else bool(found.eta.isnan().any() | found.eta.isinf().any())


def test_random_weights_and_half_precision():
    """Against masked dense layers in double precision (oracles 1 and 5)."""
    torch.manual_seed(0)
    linear, features, labels = nn.Linear(13, 5), torch.randn(300, 13).relu().half(), torch.randint(5, (300,))
    ranked = count_ranks(features, labels, 5)
    found = accuracy_surface(features, labels.to(torch.uint8), linear, ranked, rs=range(1, 14), ss=torch.arange(1, 14))
    double = nn.Linear(13, 5).double()
    double.load_state_dict(linear.state_dict())
    assert found.full == metrics.accuracy(double(features.double()), labels)
    for r in (1, 4, 13):
        for s in (1, 6, 12):
            chosen = ranked.select(r, s).indices
            mask = torch.zeros(5, 13).scatter_(1, chosen, 1)
            double.load_state_dict({"weight": linear.weight * mask, "bias": linear.bias})
            assert float(found.accuracy[r - 1, s - 1]) == metrics.accuracy(double(features.double()), labels)
    assert torch.allclose(found.eta[:, -1], torch.ones(13, dtype=torch.float64))


@pytest.mark.parametrize("rule", ["coverage", "weight", "abs_weight", "contribution"])
def test_one_ranking_by_size(rule):
    linear, (features, labels), (unseen, truth) = layer(), drawn(60, 1), drawn(53, 2)
    found = find_influential(features, labels, C, s=1, rule=rule, linear=linear)
    ss = [2, 7, 1, 4]
    accuracy = accuracy_by_size(unseen, truth, linear, found.order, ss=ss)
    expected = [metrics.accuracy(decompose(linear, found.at(s).indices)(unseen), truth) for s in ss]
    assert accuracy.tolist() == expected and accuracy.dtype == torch.float64
    assert accuracy_by_size(unseen, truth, linear, found.order[:, :4], ss=[4, 2], max_bytes=300).tolist() == [expected[3], expected[0]]


def test_a_class_without_training_images_is_told_once_and_takes_its_weights():
    linear, (features, labels) = layer(), drawn(60, 1)
    ranked = count_ranks(features[labels != 2], labels[labels != 2], C)
    with pytest.warns(UserWarning, match="no image votes for class 2") as told:
        found = accuracy_surface(features, labels, linear, ranked, rs=[1, 2, 3], ss=[2])
    assert len(told) == 1
    expected = [metrics.accuracy(decompose(linear, ranked.select(r, 2, linear=linear).indices)(features), labels) for r in (1, 2, 3)]
    assert found.accuracy[:, 0].tolist() == expected


def test_images_are_taken_as_memory_allows(monkeypatch):
    sizes, parts = [], room._Scored.parts
    monkeypatch.setattr(room._Scored, "parts", lambda self: (sizes.append(f.shape[1]) or (f, y) for f, y in parts(self)))
    (features, labels), each = drawn(100, 3), 8 * (2 * D + 3 * C)
    accuracy_by_size(features, labels, layer(), torch.arange(D).expand(C, D), ss=[3], max_bytes=7 * each)
    assert max(sizes) == 7 and sum(sizes) == 100


# bad input

F, L = drawn(12, 0)
HEAD, RANKED, ORDER = layer(), count_ranks(*drawn(12, 0), C), torch.arange(D).repeat(C, 1)
poisoned, unbiased = layer(), layer()
poisoned.weight.data[1, 2] = NAN
unbiased.bias.data[1] = INF
T, V = TypeError, ValueError
sizes = [
    ("above the width", [8], V), ("zero", [0, 1], V), ("negative", [-1], V), ("twice", [2, 2], V), ("empty", [], V), ("a number", 3, T), ("text", "12", T),
    ("fractions", [1.5], T), ("NaN", [NAN], T), ("nothing", None, T),
]  # fmt: skip
common = {
    "features": [
        ("a list", F.tolist(), T), ("rank 1", F[0], V), ("rank 3", F[None], V), ("integers", F.long(), T), ("none", F[:0], V), ("another width", F[:, 1:], V),
        ("NaN", F * NAN, V), ("infinite", F + INF, V),
    ],
    "labels": [
        ("a list", L.tolist(), T), ("rank 2", L[None], V), ("floats", L.float(), T), ("booleans", L > 0, T), ("fewer", L[1:], V), ("none", L[:0], V),
        ("above", L + 1, V), ("negative", L - 1, V),
    ],
    "linear": [
        ("a tensor", HEAD.weight, T), ("nothing", None, T), ("another count", nn.Linear(D, 3), V), ("NaN", poisoned, V),
        ("an infinite bias", unbiased, V),
    ],
    "ss": sizes,
    "max_bytes": [("zero", 0, V), ("too few", 8 * (2 * D + 3 * C) - 1, V), ("a fraction", 1e6, T), ("NaN", NAN, T), ("text", "1 GB", T), ("nothing", None, T)],
}  # fmt: skip
GOOD = {
    "surface": (accuracy_surface, {"features": F, "labels": L, "linear": HEAD, "ranked": RANKED, "rs": [1, 2], "ss": [3], "max_bytes": 10**6}),
    "size": (accuracy_by_size, {"features": F, "labels": L, "linear": HEAD, "order": ORDER, "ss": [3], "max_bytes": 10**6}),
}  # fmt: skip
BAD = {(name, argument): cases for name in GOOD for argument, cases in common.items()}
BAD[("surface", "rs")] = sizes
BAD[("surface", "ranked")] = [("nothing", None, T), ("counts", RANKED.ranks, T), ("one ranking", find_influential(F, L, C, r=2, s=2), T)]
BAD[("size", "order")] = [
    ("a list", ORDER.tolist(), T), ("floats", ORDER.float(), T), ("rank 1", ORDER[0], V), ("fewer classes", ORDER[1:], V), ("beyond", ORDER + 1, V),
    ("negative", ORDER - 1, V), ("twice", ORDER * 0, V), ("empty", ORDER[:, :0], V),
]  # fmt: skip
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


def test_every_argument_is_tried():
    for name, (function, arguments) in GOOD.items():
        function(**arguments)
        assert {argument for tried, argument in BAD if tried == name} == set(arguments)


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(name, argument, value, error):
    function, arguments = GOOD[name]
    blamed = "order" if (name, argument) == ("size", "linear") and isinstance(value, nn.Linear) and value.out_features == 3 else argument
    with pytest.raises(error, match=rf"^{blamed}\b"):
        function(**{**arguments, argument: value})
