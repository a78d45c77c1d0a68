"""Bad input to what is measured of gates, features and filters: an error that names the argument, nothing changed."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from filterlens.lenses.gates import clusters, leak, similarity
from filterlens.lenses.gates.classifier import GatedClassifier

torch.set_num_threads(1)
NAN, INF = float("nan"), float("inf")
N, C, K = 12, 3, 4
FEATURES = torch.rand(N, K, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(N) % C
GATES = torch.tensor([[1.0, 0.5, 0.0, 1.0], [0.0, 1.0, 0.2, 0.0], [0.0, 0.0, 1.0, 0.0]])
WEIGHT, OWNERS = torch.rand(K, 2, 3, 5), torch.tensor([0, 1, 2, 0])
IMAGES = torch.rand(2, 2, 6, 7)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, K, (3, 4)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(K, C))


CLASSIFIER = GatedClassifier(network(), C, gates=GATES)
SAMPLES = {"features": FEATURES, "labels": LABELS}

# every function with arguments it accepts
GOOD = {
    "gate_similarity": (similarity.gate_similarity, {**SAMPLES, "predicted": LABELS.flip(0), "gates": GATES}),
    "filter_cosines": (similarity.filter_cosines, {"weight": WEIGHT, "owners": OWNERS}),
    "monopolised": (similarity.monopolised, {"gates": GATES, "threshold": 0.5}),
    "mutual_information": (clusters.mutual_information, {**SAMPLES, "n_classes": C, "neighbors": 2, "seed": 0}),
    "find_clusters": (clusters.find_clusters, {**SAMPLES, "n_classes": C, "gates": GATES, "restarts": 1, "seed": 0}),
    "class_distances": (clusters.class_distances, {**SAMPLES, "n_classes": C, "max_bytes": 2**20}),
    "label_leak": (leak.label_leak, {"classifier": CLASSIFIER, "images": IMAGES, "labels": LABELS[:2], "batch_size": 2}),
}

T, V = TypeError, ValueError


def bad_tensor(good: Tensor) -> list[tuple]:
    return [
        ("no tensor", good.tolist(), T), ("one axis less", good[0], V), ("one axis more", good[None], V), ("integers", good.long(), T),
        ("booleans", good > 0.5, T), ("complex", good.to(torch.complex64), T), ("none", good[:0], V), ("nothing in them", good[..., :0], V),
        ("nothing", None, T), ("NaN", good * NAN, V), ("infinite", good * INF + INF, V),
    ]  # fmt: skip


def bad_labels(good: Tensor, beyond: int | None = None) -> list[tuple]:
    cases = [
        ("no tensor", good.tolist(), T), ("rank 2", good[None], V), ("fractions", good.float(), T), ("none", good[:0], V),
        ("negative", good - 1, V), ("one too few", good[1:], V), ("booleans", good > 0, T),
    ]  # fmt: skip
    return [*cases, ("beyond", good + beyond, V)] if beyond else cases


bad_gates = [
    *bad_tensor(GATES), ("negative", GATES - 0.1, V), ("above 1", GATES * 1.5, V), ("transposed", GATES.T, V), ("one filter less", GATES[:, 1:], V),
]  # fmt: skip
bad_count = [
    ("zero", 0, V),
    ("negative", -3, V),
    ("a fraction", 2.5, T),
    ("NaN", NAN, T),
    ("text", "2", T),
    ("a boolean", True, T),
    ("nothing", None, T),
]
bad_seed = [("negative", -1, V), ("too large", 2**32, V), ("a fraction", 0.5, T), ("text", "0", T), ("nothing", None, T)]
bad_features = bad_tensor(FEATURES)
few = torch.ones(N, K)
few[0] = 2
bad_classifier = [("a bare network", network(), T), ("nothing", None, T), ("a name", "resnet20", T), ("a class", GatedClassifier, T)]
bad_images = [
    *bad_tensor(IMAGES),
    ("another channel count", IMAGES[:, :1], V),
    ("too small", IMAGES[:, :, :2], V),
    ("double", IMAGES.double(), V),
]
no_nothing = [case for case in bad_gates if case[0] != "nothing"]
# labels beyond the rows of the gates, not gates with too few rows, are at fault: so these are not cases of gates
own_rows = [case for case in bad_gates if case[0] != "transposed"]

BAD = {
    ("gate_similarity", "features"): bad_features,
    ("gate_similarity", "labels"): bad_labels(LABELS, 1),
    ("gate_similarity", "predicted"): bad_labels(LABELS, 1),
    ("gate_similarity", "gates"): own_rows + [("transposed", GATES.T.contiguous(), V)],
    ("filter_cosines", "weight"): bad_tensor(WEIGHT),
    ("filter_cosines", "owners"): [*bad_labels(OWNERS), ("nothing", None, T), ("one too many", torch.tensor([0, 1, 2, 0, 1]), V)],
    ("monopolised", "gates"): [case for case in bad_gates if case[0] not in ("transposed", "one filter less")],
    ("monopolised", "threshold"): [
        ("zero", 0.0, V), ("negative", -0.5, V), ("above 1", 1.01, V), ("NaN", NAN, V), ("infinite", INF, V), ("text", "half", T), ("a boolean", True, T),
        ("nothing", None, T),
    ],
    ("mutual_information", "features"): [*bad_features, ("two samples", FEATURES[:2], V)],
    ("mutual_information", "labels"): bad_labels(LABELS, 1),
    ("mutual_information", "n_classes"): [*bad_count, ("one", 1, V)],
    ("mutual_information", "neighbors"): bad_count,
    ("mutual_information", "seed"): bad_seed,
    ("find_clusters", "features"): [*bad_features, ("two distinct rows", few, V)],
    ("find_clusters", "labels"): bad_labels(LABELS, 1),
    ("find_clusters", "n_classes"): [*bad_count, ("one", 1, V)],
    ("find_clusters", "gates"): [*no_nothing, ("one class less", GATES[1:], V)],
    ("find_clusters", "restarts"): bad_count,
    ("find_clusters", "seed"): bad_seed,
    ("class_distances", "features"): bad_features,
    ("class_distances", "labels"): bad_labels(LABELS, 1),
    ("class_distances", "n_classes"): bad_count,
    ("class_distances", "max_bytes"): [*bad_count, ("less than a row takes", 8 * N // C - 1, V)],
    ("label_leak", "classifier"): bad_classifier,
    ("label_leak", "images"): bad_images,
    ("label_leak", "labels"): [*bad_labels(LABELS[:2], 3), ("another number", LABELS[:3], V)],
    ("label_leak", "batch_size"): bad_count,
}  # fmt: skip
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


def state(model: nn.Module) -> list:
    tensors = [(t.data_ptr(), t._version, t.requires_grad) for t in model.state_dict(keep_vars=True).values()]
    return [tensors, [m.training for m in model.modules()], [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]]


@pytest.mark.parametrize("name", GOOD)
def test_the_good_arguments_are_good(name):
    function, arguments = GOOD[name]
    function(**arguments)


def test_every_argument_is_tried():
    tried = {name: {argument for function, argument in BAD if function == name} for name in GOOD}
    assert all(tried[name] == set(arguments) for name, (_, arguments) in GOOD.items())


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(name, argument, value, error):
    function, arguments = GOOD[name]
    CLASSIFIER.train()
    before = state(CLASSIFIER), torch.get_rng_state()
    with pytest.raises(error, match=rf"^{argument}\b"):
        partial(function, **{**arguments, argument: value})()
    assert state(CLASSIFIER) == before[0] and torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.bad_input
def test_gates_out_of_range_are_told_where_to_go():
    with pytest.raises(ValueError, match=r"gates: got entries from 0 to 1\.5, expected entries in \[0, 1\]; see project_gates"):
        similarity.monopolised(GATES * 1.5)
