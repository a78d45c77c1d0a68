"""Disturbed features entry by entry; the oracles on planted features, and the identities that must hold."""

from __future__ import annotations

import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from filterlens.lenses.influence.decomposition import decompose
from filterlens.lenses.influence.essentiality import NOISES, FeatureStats, ablate, essentiality, feature_stats

torch.set_num_threads(1)
N, D, C, S = 13, 7, 4, 2


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sets(d: int = D, n_classes: int = C, s: int = S, seed: int = 0) -> Tensor:
    return torch.rand(n_classes, d, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :s]


FEATURES, LABELS, INDICES = drawn(0, N, D).abs(), (torch.arange(N) * 3) % C, sets()
STATS = feature_stats(drawn(1, 50, D).abs())
LINEAR = nn.Linear(D, C).double()
with torch.no_grad():
    LINEAR.weight.copy_(drawn(2, C, D)), LINEAR.bias.copy_(drawn(3, C))


def inside(indices: Tensor = INDICES, labels: Tensor = LABELS, d: int = D) -> Tensor:
    """Whether feature i is in the set of image x's class, one by one."""
    return torch.tensor([[i in indices[y].tolist() for i in range(d)] for y in labels.tolist()])


@pytest.mark.parametrize("which", ["influential", "other"])
@pytest.mark.parametrize("noise", NOISES)
def test_exactly_the_chosen_entries_are_replaced(which: str, noise: str) -> None:
    before = FEATURES.clone()
    found = ablate(FEATURES, INDICES, LABELS, which=which, noise=noise, stats=STATS, seed=3)
    chosen = inside() if which == "influential" else ~inside()
    assert torch.equal(found[~chosen], FEATURES[~chosen]) and bool((found != FEATURES)[chosen].all())
    unit = ablate(FEATURES, INDICES, LABELS, which=which, noise="unit", seed=3)
    expected = {
        "unit": unit,
        "matched": STATS.mean + STATS.std * unit,
        "zero": torch.zeros_like(found),
        "mean": STATS.mean.expand(N, D),
    }[noise]
    torch.testing.assert_close(found[chosen], expected[chosen])
    assert torch.equal(before, FEATURES) and found.dtype == FEATURES.dtype


def test_both_kinds_and_all_sets_share_one_table_of_draws() -> None:
    a = ablate(FEATURES, INDICES, LABELS, which="influential", seed=5)
    b = ablate(FEATURES, INDICES, LABELS, which="other", seed=5)
    table = torch.where(inside(), a, b)
    everything = torch.arange(D).repeat(C, 1)
    assert torch.equal(ablate(FEATURES, everything, LABELS, seed=5), table)
    assert not torch.equal(ablate(FEATURES, everything, LABELS, seed=6), table)
    assert len(set(table.flatten().tolist())) == N * D


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_a_draw_depends_on_the_seed_and_the_place_alone(n: int) -> None:
    """Not on how many images follow, on the precision, or on the caller's generator."""
    whole = ablate(FEATURES, INDICES, LABELS, seed=7)
    torch.randn(3)
    assert torch.equal(ablate(FEATURES[:n], INDICES, LABELS[:n], seed=7), whole[:n])
    single = ablate(FEATURES.float(), INDICES, LABELS, seed=7)
    assert torch.equal(single[inside()].double(), whole[inside()])


def test_unit_noise_is_standard_normal_and_matched_noise_has_the_features_moments() -> None:
    features, labels = drawn(8, 6000, D) * 3 + 1, torch.arange(6000) % C
    stats = FeatureStats(torch.arange(1.0, D + 1), torch.arange(1.0, D + 1) / 4)
    everything = torch.arange(D).repeat(C, 1)
    for noise, mean, std in (("unit", torch.zeros(D), torch.ones(D)), ("matched", stats.mean, stats.std)):
        found = feature_stats(ablate(features, everything, labels, noise=noise, stats=stats))
        assert bool(((found.mean - mean).abs() < 5 * std / 6000**0.5).all())
        assert bool(((found.std / std - 1).abs() < 0.05).all())


def test_matched_noise_without_spread_is_the_mean_and_of_constant_features_the_identity() -> None:
    still = FeatureStats(STATS.mean, torch.zeros(D))
    for which in ("influential", "other"):
        a = ablate(FEATURES, INDICES, LABELS, which=which, noise="matched", stats=still)
        assert torch.equal(a, ablate(FEATURES, INDICES, LABELS, which=which, noise="mean", stats=STATS))
    constant = FEATURES[:1].expand(N, D).contiguous()
    torch.testing.assert_close(ablate(constant, INDICES, LABELS, noise="matched", stats=feature_stats(constant)), constant)


@pytest.mark.parametrize("noise", NOISES)
def test_with_all_features_influential_the_others_are_none(noise: str) -> None:
    everything = sets(s=D)
    assert torch.equal(ablate(FEATURES, everything, LABELS, which="other", noise=noise, stats=STATS), FEATURES)
    found = essentiality(FEATURES, LABELS, LINEAR, everything, noise=noise, stats=STATS, seeds=[0, 1])
    assert found.other.tolist() == [found.original] * len(found.seeds)


def planted(per_class: int = 6) -> tuple[Tensor, Tensor, nn.Linear, Tensor]:
    """Class y's images are active on its own block of S features and nowhere else; W is positive on the block and <= 0 off it,
    the biases are equal. One feature belongs to nobody."""
    d, order = C * S + 1, torch.randperm(C * S + 1, generator=torch.Generator().manual_seed(4))
    blocks = order[: C * S].view(C, S)
    labels = torch.arange(C).repeat(per_class)
    features = torch.zeros(len(labels), d, dtype=torch.float64)
    features.scatter_(1, blocks[labels], 0.5 + drawn(5, len(labels), S).abs())
    linear = nn.Linear(d, C).double()
    with torch.no_grad():
        weight = -drawn(6, C, d).abs()
        linear.weight.copy_(weight.scatter(1, blocks, 0.1 + drawn(7, C, S).abs()))
        linear.bias.fill_(0.3)
    return features, labels, linear, blocks


def test_planted_blocks_decide_alone() -> None:
    features, labels, linear, blocks = planted()
    full, reduced = linear(features), decompose(linear, blocks)(features)
    assert torch.equal(full.argmax(1), labels) and torch.equal(reduced.argmax(1), labels)  # eta = 1
    assert not torch.allclose(full, reduced)


def test_noise_off_the_block_moves_the_logits_by_the_other_weights_times_the_noise() -> None:
    features, labels, linear, blocks = planted()
    found = ablate(features, blocks, labels, which="other", seed=11)
    for x, y in enumerate(labels.tolist()):
        rest = [i for i in range(features.shape[1]) if i not in blocks[y].tolist()]
        moved = linear.weight[:, rest] @ found[x, rest]
        torch.testing.assert_close(linear(found)[x] - linear(features)[x], moved)
    result = essentiality(features, labels, linear, blocks, noise="zero")
    assert (result.original, result.influential.tolist(), result.other.tolist()) == (
        1.0,
        [0.25],
        [1.0],
    )  # nothing left: of equals the first


@pytest.mark.parametrize("noise", NOISES)
def test_essentiality_is_the_accuracy_of_the_full_layer(noise: str) -> None:
    seeds = (4, 0, 9)
    found = essentiality(FEATURES, LABELS, LINEAR, INDICES, noise=noise, stats=STATS, seeds=seeds)
    kept = seeds if noise in ("unit", "matched") else seeds[:1]
    assert found.seeds == kept and found.noise == noise

    def accuracy(features: Tensor) -> float:
        logits = features @ LINEAR.weight.T + LINEAR.bias
        return sum(int(row.argmax()) == int(y) for row, y in zip(logits, LABELS, strict=True)) / N

    assert found.original == accuracy(FEATURES)
    for which in ("influential", "other"):
        expected = [accuracy(ablate(FEATURES, INDICES, LABELS, which=which, noise=noise, stats=STATS, seed=seed)) for seed in kept]
        assert getattr(found, which).tolist() == expected and getattr(found, which).dtype == torch.float64


def test_a_long_table_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stats = essentiality(FEATURES, LABELS, LINEAR, INDICES), feature_stats(FEATURES)
    # the package's attribute of that name is the function
    monkeypatch.setattr(importlib.import_module("filterlens.lenses.influence.essentiality"), "ROWS", 3)
    parts, again = essentiality(FEATURES, LABELS, LINEAR, INDICES), feature_stats(FEATURES)
    assert parts.original == whole.original and torch.equal(parts.influential, whole.influential) and torch.equal(parts.other, whole.other)
    torch.testing.assert_close(again.mean, stats.mean), torch.testing.assert_close(again.std, stats.std)


def test_half_precision_features_and_one_layer_in_single() -> None:
    linear = nn.Linear(D, C)
    found = essentiality(FEATURES.half(), LABELS.to(torch.uint8), linear, INDICES.to(torch.int32), seeds=[0])
    assert 0 <= found.original <= 1 and ablate(FEATURES.half(), INDICES, LABELS, noise="mean", stats=STATS).dtype == torch.float16


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 5), st.sampled_from([1e-6, 1.0, 1e6]))
def test_stats_are_numpys(seed: int, n: int, d: int, offset: float) -> None:
    features = drawn(seed, n, d) + offset
    found, table = feature_stats(features), features.numpy()
    assert found.mean.dtype == found.std.dtype == torch.float64
    assert found.mean.tolist() == pytest.approx(table.mean(0).tolist(), rel=1e-9, abs=1e-12)
    assert found.std.tolist() == pytest.approx(table.std(0).tolist(), rel=1e-9, abs=1e-9)


def test_stats_of_half_precision_are_summed_in_double() -> None:
    assert feature_stats(torch.full((70_000, 2), 3.0, dtype=torch.float16)).mean.tolist() == [3.0, 3.0]  # the sum overflows half


# bad input

NAN = float("nan")
GOOD = {
    "ablate": (ablate, {"features": FEATURES, "indices": INDICES, "labels": LABELS, "which": "other", "noise": "matched", "stats": STATS}),
    "essentiality": (
        essentiality,
        {"features": FEATURES, "labels": LABELS, "linear": LINEAR, "indices": INDICES, "noise": "mean", "stats": STATS, "seeds": [0]},
    ),
    "feature_stats": (feature_stats, {"features": FEATURES}),
}
TWICE = INDICES.clone()
TWICE[1, 0] = TWICE[1, 1]
BAD_TABLE = [(FEATURES[0], ValueError), (FEATURES[:0], ValueError), (FEATURES.long(), TypeError), (FEATURES * NAN, ValueError),
             (FEATURES.tolist(), TypeError)]  # fmt: skip
BAD_SETS = [(INDICES[0], ValueError), (INDICES[:, :0], ValueError), (INDICES.double(), TypeError), (INDICES + D, ValueError),
            (INDICES - D, ValueError), (TWICE, ValueError), (None, TypeError)]  # fmt: skip
BAD_LABELS = [(LABELS[1:], ValueError), (LABELS[:, None], ValueError), (LABELS.double(), TypeError), (LABELS + 1, ValueError),
              (LABELS - 1, ValueError), ("cat", TypeError)]  # fmt: skip
BAD_STATS = [(None, ValueError), ((STATS.mean, STATS.std), TypeError), (FeatureStats(STATS.mean[1:], STATS.std), ValueError),
             (FeatureStats(STATS.mean, STATS.std * NAN), ValueError)]  # fmt: skip
CASES = [
    *[(f, "features", *bad) for f in GOOD for bad in BAD_TABLE],
    *[(f, "indices", *bad) for f in ("ablate", "essentiality") for bad in BAD_SETS],
    ("essentiality", "indices", INDICES[1:], ValueError),
    *[(f, "labels", *bad) for f in ("ablate", "essentiality") for bad in BAD_LABELS],
    *[(f, "stats", *bad) for f in ("ablate", "essentiality") for bad in BAD_STATS],
    *[(f, "noise", *bad) for f in ("ablate", "essentiality") for bad in (("units", ValueError), (1.0, TypeError))],
    ("ablate", "which", "others", ValueError),
    ("ablate", "which", None, TypeError),
    ("ablate", "seed", -1, ValueError),
    ("ablate", "seed", 0.5, TypeError),
    ("essentiality", "features", FEATURES[:, 1:], ValueError),
    ("essentiality", "linear", LINEAR.weight, TypeError),
    ("essentiality", "seeds", [], ValueError),
    ("essentiality", "seeds", [-1], ValueError),
    ("essentiality", "seeds", 3, TypeError),
    ("essentiality", "seeds", "12", TypeError),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input(name: str, argument: str, value, error: type[Exception]) -> None:
    function, arguments = GOOD[name]
    function(**arguments)
    with pytest.raises(error, match=rf"^{argument}\b"):
        function(**{**arguments, argument: value})


@pytest.mark.bad_input
def test_a_slip_of_the_pen_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="noise: got 'match'.*did you mean 'matched'"):
        ablate(FEATURES, INDICES, LABELS, noise="match")
