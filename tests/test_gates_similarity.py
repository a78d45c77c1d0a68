"""Gates against features, filters and classes: planted cases with known answers, and the definitions written out as loops."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif
from torch import Tensor, nn
from toy_networks import normal

from filterlens.lenses.gates import clusters, leak, similarity
from filterlens.lenses.gates.classifier import GatedClassifier
from filterlens.lenses.gates.matrix import fixed_gates, owners, project_gates

torch.set_num_threads(1)
C, OWN, SHARED = 4, 3, 2
GATES = fixed_gates(C, OWN, SHARED)
K = GATES.shape[1]  # 14


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b) -> float:
    """The definition, number by number."""
    a, b = [float(v) for v in a], [float(v) for v in b]
    lengths = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / lengths if lengths else 0.0


# similarity of features and gates: oracle 7


def test_features_that_follow_their_gates_have_a_unit_diagonal_and_the_shared_block_as_constant():
    labels = torch.arange(30) % C
    features = GATES[labels].double() * (0.5 + uniform(30, 1))
    found = similarity.gate_similarity(features, labels, labels, GATES)
    shared = SHARED / (OWN + SHARED)
    expected = torch.full((C, C), shared, dtype=torch.float64).fill_diagonal_(1)
    assert torch.allclose(found.correct, expected, atol=1e-12)
    assert found.n_correct.tolist() == [8, 8, 7, 7] and found.n_wrong.tolist() == [0] * C and found.wrong.isnan().all()


def test_one_hot_blocks_give_the_identity():
    gates = fixed_gates(C, OWN, 0)
    labels = torch.arange(11) % C
    found = similarity.gate_similarity(gates[labels], labels, labels, gates)
    assert torch.allclose(found.correct, torch.eye(C, dtype=torch.float64), atol=1e-12)


def test_wrong_samples_that_follow_the_gates_of_another_class_show_the_permutation():
    shown_as = torch.tensor([2, 0, 3, 1])  # what class y looks like, when it is taken for something else
    labels = torch.arange(40) % C
    mistaken = torch.arange(40) % 3 == 0
    looks = torch.where(mistaken, shown_as[labels], labels)
    found = similarity.gate_similarity(fixed_gates(C, OWN, 0)[looks].double(), labels, looks, fixed_gates(C, OWN, 0))
    assert torch.equal(found.wrong.argmax(1), shown_as) and torch.allclose(found.wrong.amax(1), torch.ones(C).double())
    assert torch.allclose(found.correct, torch.eye(C).double()) and int(found.n_wrong.sum()) == int(mistaken.sum())


def test_similarity_is_the_cosine_of_the_class_mean():
    n = 37
    features, gates = uniform(n, K).float() - 0.3, uniform(C, K, seed=1).float()
    labels, predicted = (uniform(2, n, seed=2) * C).long()
    labels[labels == 2] = 1  # class 2 has no sample
    predicted[labels == 3] = 3  # class 3 no wrong one
    found = similarity.gate_similarity(features, labels, predicted, gates)
    for table, count, chosen in ((found.correct, found.n_correct, labels == predicted), (found.wrong, found.n_wrong, labels != predicted)):
        for y in range(C):
            rows = [features[i].double().numpy() for i in range(n) if labels[i] == y and chosen[i]]
            assert int(count[y]) == len(rows)
            for c in range(C):
                expected = cosine(np.mean(rows, 0), gates[c]) if rows else math.nan
                assert float(table[y, c]) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert found.correct[2].isnan().all() and found.wrong[3].isnan().all() and found.correct.dtype == torch.float64


def test_zero_means_and_zero_gates_have_cosine_zero():
    gates = GATES.clone()
    gates[1] = 0
    labels = torch.tensor([0, 0, 1, 2, 3])
    features = GATES[labels].clone()
    features[:2] = torch.stack([GATES[1], -GATES[1]])  # signed features whose mean is zero
    found = similarity.gate_similarity(features, labels, labels, gates)
    assert found.correct[0].tolist() == [0] * C and found.correct[:, 1].tolist() == [0] * C and float(found.correct[3, 3]) > 0.99


# orthogonality: oracle 14


def test_block_diagonal_filters_are_orthogonal_between_classes():
    n_channels, kh, kw = 8, 3, 2
    weight = torch.zeros(6, n_channels, kh, kw)
    who = torch.tensor([2, 0, 1, 0, 2, 1])
    for k, c in enumerate(who.tolist()):
        weight[k, 2 * c : 2 * c + 2] = uniform(2, kh, kw, seed=k).float() + 0.1
    found = similarity.filter_cosines(weight, who)
    assert found.between == 0 and 0.5 < found.within < 1 and found.n_zero == 0
    assert found.owners.tolist() == [0, 0, 1, 1, 2, 2] and found.order.tolist() == [1, 3, 2, 5, 0, 4]


def test_cosines_are_those_of_the_flattened_filters_in_order():
    weight, who = normal(7, 2, 3, 4), torch.tensor([5, 1, 1, 0, 5, 1, 0])
    weight[3] = 0
    weight[4] *= 1e200  # whose square no double holds
    found = similarity.filter_cosines(weight, who)
    flat = (weight / weight.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-300)).flatten(1)
    pairs = {True: [], False: []}
    for i, a in enumerate(found.order.tolist()):
        assert int(found.owners[i]) == int(who[a])
        for j, b in enumerate(found.order.tolist()):
            expected = cosine(flat[a], flat[b])
            assert float(found.matrix[i, j]) == pytest.approx(expected, abs=1e-12)
            if i < j:
                pairs[bool(who[a] == who[b])].append(abs(expected))
    assert found.order.tolist() == [3, 6, 1, 2, 5, 0, 4] and found.n_zero == 1
    assert found.within == pytest.approx(np.mean(pairs[True])) and found.between == pytest.approx(np.mean(pairs[False]))


def test_means_without_pairs_are_nan():
    weight = normal(3, 2, 2, 1)
    assert math.isnan(similarity.filter_cosines(weight, torch.tensor([1, 1, 1])).between)
    assert math.isnan(similarity.filter_cosines(weight, torch.tensor([2, 0, 1])).within)


def test_the_owners_of_gates_are_the_owners_taken():
    found = similarity.filter_cosines(normal(K, 3, 1, 2), owners(GATES))
    assert found.owners.tolist() == [0] * (OWN + SHARED) + [1] * OWN + [2] * OWN + [3] * OWN  # ties: the first class


# monopolised filters


def test_fixed_gates_are_monopolised_as_they_were_made():
    found = similarity.monopolised(GATES)
    assert (
        found.own.tolist() == [OWN] * C and found.shared == SHARED and found.n_classes_per_filter.tolist() == [1] * C * OWN + [C] * SHARED
    )


def test_a_gate_at_the_threshold_counts_and_a_column_below_it_is_neither():
    gates = torch.tensor([[1.0, 0.7, 0.2, 0.1, 1.0], [0.7, 0.1, 0.1, 1.0, 0.0], [0.0, 0.0, 0.6, 0.69, 0.0]])
    found = similarity.monopolised(gates, threshold=float(gates[0, 1]))
    assert found.own.tolist() == [2, 1, 0] and found.shared == 1 and found.n_classes_per_filter.tolist() == [2, 1, 0, 1, 1]
    assert similarity.monopolised(gates).own.tolist() == [2, 0, 1]


# mutual information: oracle 8

LABELS = torch.arange(1000) % 10
ENTROPY = -0.1 * math.log(0.1) - 0.9 * math.log(0.9)


@pytest.fixture(scope="module")
def information() -> clusters.MutualInformation:
    indicator, noise = (LABELS == 3).double(), uniform(1000, seed=5)
    graded = (LABELS == 7) * 1.5 + 0.4 * normal(1000, seed=6)
    columns = [indicator, noise, torch.zeros(1000), graded, graded.exp(), graded**3, 5 * indicator + noise]
    return clusters.mutual_information(torch.stack(columns, 1), LABELS, 10)


def test_an_indicator_reaches_the_entropy_and_nothing_exceeds_it(information):
    assert pytest.approx(0.3251, abs=5e-5) == ENTROPY
    assert float(information.table[3, 0]) == pytest.approx(ENTROPY, abs=1e-3)
    assert float(information.table[3, 6]) == pytest.approx(ENTROPY, abs=1e-3)
    assert float(information.table.max()) <= ENTROPY + 1e-3 and float(information.table.min()) >= 0
    assert information.score <= ENTROPY + 1e-3


def test_noise_tells_nothing_and_a_constant_is_exactly_zero(information):
    assert float(information.table[:, 1].max()) < 0.02
    assert information.table[:, 2].tolist() == [0] * 10 and information.constant.tolist() == [False] * 2 + [True] + [False] * 4


def test_information_survives_a_monotone_rescaling(information):
    graded, exponential, cube = (float(information.table[7, k]) for k in (3, 4, 5))
    assert 0.1 < graded < ENTROPY and exponential == pytest.approx(graded, abs=0.015) and cube == pytest.approx(graded, abs=0.015)


def test_the_score_is_the_mean_over_filters_of_their_best_class(information):
    best = [max(information.table[c, k].item() for c in range(10)) for k in range(7)]
    assert information.score == pytest.approx(sum(best) / 7)


def test_the_table_is_the_estimator_of_ross_written_out():
    n, k = 60, 2
    features, labels = normal(n, 2, seed=3), torch.arange(n) % 4  # class 4 has no sample
    features[labels == 1, 0] += 1.5
    found = clusters.mutual_information(features.float(), labels, 5, neighbors=k, seed=1)
    for c in range(4):
        for f in range(2):
            x, y = features[:, f].float().tolist(), (labels == c).tolist()
            near, size = [], []
            for i in range(n):
                own = sorted(abs(x[i] - x[j]) for j in range(n) if y[j] == y[i])  # the first is the sample itself
                near.append(sum(abs(x[i] - x[j]) <= own[k] * (1 - 1e-7) for j in range(n)))
                size.append(len(own))
            expected = digamma(n) + digamma(k) - np.mean(digamma(size)) - np.mean(digamma(near))
            assert float(found.table[c, f]) == pytest.approx(max(0, expected), abs=1e-9)
    assert found.table[4].tolist() == [0, 0]


@pytest.mark.parametrize(("n", "classes", "neighbors", "seed"), [(3, 2, 1, 0), (40, 4, 3, 1), (157, 5, 7, 2), (400, 10, 3, 3)])
def test_the_table_is_scikit_learns(n: int, classes: int, neighbors: int, seed: int):
    """With ties, rectified zeros, a large offset, whole numbers, a class of one sample and one of fewer than the neighbours."""
    labels = torch.arange(n) % (classes - 1)
    labels[-1] = classes - 1
    noise = normal(n, 5, seed=seed)
    columns = [noise[:, 0].relu(), 1e3 + 1e-9 * noise[:, 1], (2 * noise[:, 2]).round(), noise[:, 3] + labels, torch.arange(n) % 2, noise[:, 4].float()]
    features = torch.stack([column.double() for column in columns], 1)
    found = clusters.mutual_information(features, labels, classes, neighbors=neighbors, seed=seed)
    assert not found.constant.any()
    for c in range(classes):
        options = {"discrete_features": False, "n_neighbors": neighbors, "random_state": seed}
        expected = mutual_info_classif(features.numpy(), (labels == c).numpy(), **options)
        np.testing.assert_allclose(found.table[c].numpy(), expected, rtol=0, atol=1e-12)


def test_the_order_of_classes_and_filters_and_the_seed():
    features, labels = normal(90, 3, seed=2), torch.arange(90) % 4
    features[:, 2] += labels
    found = clusters.mutual_information(features, labels, 4)
    mixed = clusters.mutual_information(features[:, [2, 0, 1]], torch.tensor([3, 2, 0, 1])[labels], 4)
    assert torch.allclose(mixed.table[[3, 2, 0, 1]], found.table[:, [2, 0, 1]], atol=1e-9)
    assert torch.equal(clusters.mutual_information(features, labels, 4).table, found.table)


# clusters: oracle 13


def planted(n: int, seed: int = 0, noise: float = 0.02) -> tuple[Tensor, Tensor]:
    labels = (uniform(n, seed=seed) * C).long()
    return 3 * GATES[labels].double() + noise * normal(n, K, seed=seed + 1), labels


def test_planted_blocks_are_recovered():
    features, labels = planted(80)
    found = clusters.find_clusters(features, labels, C, gates=GATES)
    assert found.purity == 1 and found.nmi == pytest.approx(1) and torch.equal(found.assigned, labels)
    assert torch.allclose(found.centres, 3 * GATES.double(), atol=0.03) and torch.all(found.cosine > 0.9999)
    assert torch.equal(found.contingency, labels.bincount().diag())
    without = clusters.find_clusters(features, labels, C)
    assert without.cosine.shape == (C,) and without.cosine.isnan().all() and torch.equal(without.centres, found.centres)


def test_matching_and_scores_are_those_of_all_permutations():
    n_classes = 5
    features, labels = normal(70, 3, seed=4), (uniform(70, seed=9) * n_classes).long()
    features[:, 0] += labels
    gates = uniform(n_classes, 3, seed=8)
    found = clusters.find_clusters(features, labels, n_classes, gates=gates, restarts=2)
    table = [[sum(1 for a, y in zip(found.assigned, labels, strict=True) if a == r and y == c) for c in range(5)] for r in range(5)]
    assert found.contingency.tolist() == table
    assert sum(table[c][c] for c in range(5)) == max(sum(table[r][p[r]] for r in range(5)) for p in permutations(range(5)))
    assert found.purity == pytest.approx(sum(map(max, table)) / 70)
    p = np.array(table) / 70
    a, b = p.sum(1), p.sum(0)
    mutual = sum(p[r, c] * math.log(p[r, c] / a[r] / b[c]) for r in range(5) for c in range(5) if p[r, c])
    assert found.nmi == pytest.approx(mutual / ((-(a * np.log(a)).sum() - (b * np.log(b)).sum()) / 2))
    for c in range(5):
        assert torch.allclose(found.centres[c], features[found.assigned == c].mean(0), atol=1e-9)
        assert float(found.cosine[c]) == pytest.approx(cosine(found.centres[c], gates[c]))


def test_clusters_follow_their_seed_and_leave_the_global_generators_alone():
    features, labels = normal(60, 4, seed=1), torch.arange(60) % C
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()
    a, b = (clusters.find_clusters(features, labels, C, restarts=1, seed=7) for _ in range(2))
    others = [clusters.find_clusters(features, labels, C, restarts=1, seed=seed) for seed in range(6)]
    assert torch.equal(a.centres, b.centres) and any(not torch.equal(a.assigned, o.assigned) for o in others)
    assert np.random.get_state()[1].tolist() == before[0] and torch.equal(torch.get_rng_state(), before[1])


# distances


@pytest.mark.parametrize("max_bytes", [2**26, 8 * 9, 8 * 9 * 2 + 1])
def test_distances_are_means_over_all_pairs(max_bytes):
    features, labels = normal(23, 3).float(), torch.tensor([0] * 9 + [1] * 1 + [2] * 6 + [4] * 7)  # class 3 has no sample
    order = uniform(23).argsort()
    found = clusters.class_distances(features[order], labels[order], 5, max_bytes=max_bytes)
    x = features.double().tolist()
    for a in range(5):
        own = [math.dist(x[i], x[j]) for i, j in combinations(range(23), 2) if labels[i] == labels[j] == a]
        assert float(found.within[a]) == pytest.approx(np.mean(own) if own else math.nan, nan_ok=True)
        for b in range(5):
            both = [math.dist(x[i], x[j]) for i in range(23) for j in range(23) if labels[i] == a and labels[j] == b and a != b]
            assert float(found.between[a, b]) == pytest.approx(np.mean(both) if both else math.nan, nan_ok=True)
    known = [a for a in (0, 1, 2, 4)]
    between = np.mean([float(found.between[a, b]) for a in known for b in known if a != b])
    assert found.ratio == pytest.approx(between / np.mean([float(found.within[a]) for a in (0, 2, 4)]))


def test_close_samples_far_from_zero_keep_their_distance_and_the_ratio_has_no_scale():
    features = torch.full((4, 3), 1e8, dtype=torch.float64)
    features[1, 2] += 0.5
    assert clusters.class_distances(features, torch.tensor([0, 0, 1, 1]), 2).within.tolist() == [0.5, 0]
    features, labels = normal(20, 3), torch.arange(20) % 2
    a, b = (clusters.class_distances(scale * features, labels, 2).ratio for scale in (1, 250))
    assert a == pytest.approx(b)


# the label leak


class Planted(nn.Module):
    """A network whose features do not depend on the class: 1x1 convolution, mean, linear."""

    def __init__(self, linear: Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, linear.shape[1], 1)
        self.norm = nn.BatchNorm2d(linear.shape[1])
        self.linear = nn.Linear(linear.shape[1], linear.shape[0])
        with torch.no_grad():
            self.conv.weight.fill_(0.5)
            self.conv.bias.zero_()
            self.linear.weight.copy_(linear)
            self.linear.bias.copy_(torch.tensor([0.0, 0.0, 0.1, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(self.conv(x)).relu().mean((2, 3)))


def test_a_constant_image_gets_whatever_label_is_claimed():
    classifier = GatedClassifier(Planted(GATES), C, gates=GATES).train()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    images = torch.full((5, 2, 4, 3), 0.7)
    found = leak.label_leak(classifier, images, torch.tensor([2, 0, 1, 2, 3]))
    assert found.accuracy == 1 and found.per_label.tolist() == [1] * C and found.logits.shape == (5, C, C)
    assert found.std_predicted.tolist() == [2] * 5 and found.std_accuracy == pytest.approx(0.4)
    assert classifier.training and all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert not found.logits.requires_grad


@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_claimed_logits_are_those_of_gated_features(batch_size):
    torch.manual_seed(0)
    model = Planted(normal(C, K).float())
    nn.init.normal_(model.conv.weight)
    classifier = GatedClassifier(model, C, gates=project_gates(uniform(C, K, seed=3).float())).eval()
    images = normal(6, 2, 4, 3).float()
    found = leak.label_leak(classifier, images, batch_size=batch_size)
    features = model.norm(model.conv(images)).relu().mean((2, 3))
    for i in range(6):
        for c in range(C):
            expected = model.linear.weight @ (classifier.gates[c] * features[i]) + model.linear.bias
            assert torch.allclose(found.logits[i, c], expected, atol=1e-5)
    hits = [[int(found.logits[i, c].argmax()) == c for c in range(C)] for i in range(6)]
    assert found.accuracy == pytest.approx(np.mean(hits)) and found.per_label.tolist() == pytest.approx(np.mean(hits, 0).tolist())
    assert torch.equal(found.std_predicted, model(images).argmax(1)) and math.isnan(found.std_accuracy) and not classifier.training


def test_open_gates_leak_nothing():
    torch.manual_seed(0)
    classifier = GatedClassifier(Planted(normal(C, K).float()), C, gates=torch.ones(C, K)).eval()
    found = leak.label_leak(classifier, normal(7, 2, 4, 3).float())
    assert found.accuracy == 1 / C and torch.equal(found.logits[:, 0], found.logits[:, 3])
