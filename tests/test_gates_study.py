"""One network's final features measured as a whole: each number is its part's, and networks without gates have none of theirs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from filterlens.lenses import gates

torch.set_num_threads(1)
C, K, N = 3, 7, 60
NAN = float("nan")


def planted() -> dict:
    """Class c answers with filters 2c and 2c + 1 (the last is shared), and the final layer reads them."""
    draw = torch.Generator().manual_seed(0)
    G = gates.fixed_gates(C, 2, 1)
    labels = torch.arange(N) % C
    features = 0.1 * torch.rand(N, K, generator=draw) + G[labels] * (1 + 0.2 * torch.rand(N, K, generator=draw))
    linear = nn.Linear(K, C)
    with torch.no_grad():
        linear.weight.copy_(G - 0.5)
        linear.bias.zero_()
    return {"features": features, "labels": labels, "linear": linear, "weight": torch.randn(K, 2, 3, 4, generator=draw)}, G


def test_each_number_is_its_parts() -> None:
    given, G = planted()
    found = gates.study(**given, gates=G)
    x, y = given["features"], given["labels"]
    logits = given["linear"](x)
    assert found.accuracy == float((logits.argmax(1) == y).double().mean())
    assert found.csg_accuracy == float((given["linear"](x * G[y]).argmax(1) == y).double().mean())
    assert found.density == gates.l1_density(G) and torch.equal(found.owner, gates.owners(G))
    assert torch.equal(found.information.table, gates.mutual_information(x, y, C).table)
    assert found.cosines.within == gates.filter_cosines(given["weight"], gates.owners(G)).within
    assert torch.equal(found.clusters.centres, gates.find_clusters(x, y, C, gates=G).centres) and found.clusters.purity == 1.0
    assert found.distances.ratio == gates.class_distances(x, y, C).ratio
    right = gates.gate_similarity(x, y, logits.argmax(1), G)
    torch.testing.assert_close(found.similarity.correct, right.correct, equal_nan=True)
    row = found.row()
    assert row["S_TP diagonal"] == pytest.approx(float(right.correct.diagonal().mean())) and row["information"] == found.information.score


def test_gates_that_contradict_the_features_are_taken_at_their_word() -> None:
    given, G = planted()
    other = G.roll(1, 0)  # the next class's gates
    found, (x, y) = gates.study(**given, gates=other), (given["features"], given["labels"])
    assert torch.equal(found.owner, gates.owners(other)) and not torch.equal(found.owner, gates.owners(G))
    assert found.csg_accuracy == float((given["linear"](x * other[y]).argmax(1) == y).double().mean()) != found.accuracy


def test_a_network_without_gates_has_none_of_their_numbers() -> None:
    given, G = planted()
    found = gates.study(**given)
    means = torch.stack([given["features"][given["labels"] == c].mean(0) for c in range(C)])
    assert torch.equal(found.owner, gates.owners(means)) and found.similarity is None
    missing = {name for name, value in found.row().items() if math.isnan(value)}
    assert missing == {"CSG path (told)", "density", "centre x gate", "S_TP diagonal", "S_FN diagonal"}
    assert found.row().keys() == gates.study(**given, gates=G).row().keys()


def test_a_sample_has_all_classes_though_labels_come_in_turns() -> None:
    given, G = planted()
    found = gates.study(**given, gates=G, sample=20)
    some = torch.randperm(N, generator=torch.Generator().manual_seed(0))[:20].sort().values
    assert set(given["labels"][some].tolist()) == set(range(C))
    assert torch.equal(found.information.table, gates.mutual_information(given["features"][some], given["labels"][some], C).table)
    assert found.information.score > 0.3 and found.distances.ratio > 1
    assert found.accuracy == gates.study(**given, gates=G).accuracy


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("features", None, TypeError), ("features", torch.rand(N), ValueError), ("features", torch.rand(N, K + 1), ValueError),
        ("features", torch.rand(0, K), ValueError), ("features", torch.full((N, K), NAN), ValueError),
        ("features", torch.ones(N, K, dtype=torch.int64), TypeError), ("labels", torch.zeros(N), TypeError),
        ("labels", torch.zeros(N - 1, dtype=torch.int64), ValueError), ("labels", torch.full((N,), C), ValueError), ("labels", None, TypeError),
        ("linear", None, TypeError), ("linear", nn.Conv2d(1, 1, 1), TypeError), ("weight", torch.rand(K + 1, 2, 3, 4), ValueError),
        ("weight", torch.rand(K, 2), ValueError), ("weight", torch.full((K, 2, 3, 4), NAN), ValueError), ("weight", "layer", TypeError),
        ("gates", torch.ones(K, C), ValueError), ("gates", "learned", TypeError), ("gates", torch.full((C, K), NAN), ValueError),
        ("sample", 9, ValueError), ("sample", 20.0, TypeError), ("seed", -1, ValueError), ("seed", "0", TypeError),
    ],
)  # fmt: skip
def test_bad_arguments(name: str, value, error: type) -> None:
    given, G = planted()
    with pytest.raises(error, match=f"^{name}: "):
        gates.study(**({**given, "gates": G} | {name: value}))
