"""Bad input to the gate matrix, the two paths and the training: clear errors that name the argument, before any work starts."""

from __future__ import annotations

import pytest
import torch
from toy_gates import C, K, cnn, gates, pictures
from torch import nn

from filterlens import gated, models
from filterlens.lenses.gates import (
    GatedClassifier,
    Schedule,
    density_bounds,
    fixed_gates,
    l1_density,
    owners,
    project_gates,
    split_filters,
    train_gated,
    two_sgds,
)

pytestmark = pytest.mark.bad_input
NAN, INF = float("nan"), float("inf")
TABLES = [
    (None, TypeError), ([[1.0]], TypeError), ("gates", TypeError), (torch.ones(3), ValueError), (torch.ones(2, 3, 4), ValueError),
    (torch.tensor(1.0), ValueError), (torch.ones(2, 3, dtype=torch.int64), TypeError), (torch.ones(2, 3, dtype=torch.bool), TypeError),
    (torch.ones(2, 3, dtype=torch.complex64), TypeError), (torch.ones(0, 3), ValueError), (torch.ones(3, 0), ValueError),
    (torch.tensor([[1.0, NAN]]), ValueError), (torch.tensor([[1.0, INF]]), ValueError),
]  # fmt: skip
COUNTS = [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("3", TypeError), (None, TypeError), (True, TypeError), (NAN, TypeError)]


@pytest.mark.parametrize("function, name", [(project_gates, "G"), (l1_density, "G"), (owners, "table")])
@pytest.mark.parametrize("value, error", TABLES)
def test_tables(function, name: str, value, error: type) -> None:
    with pytest.raises(error, match=f"^{name}: "):
        function(value)


@pytest.mark.parametrize("method, error", [("rescal", ValueError), ("", ValueError), (None, TypeError), (1, TypeError)])
def test_projections(method, error: type) -> None:
    with pytest.raises(error, match="^method: "):
        project_gates(torch.ones(2, 3), method=method)
    with pytest.raises(error, match="^method: "):
        GatedClassifier(cnn(), C, method=method)
    with pytest.raises(error, match="^method: "):
        train_gated(cnn(), pictures(), None, epochs=1, method=method)


@pytest.mark.parametrize("value, error", COUNTS)
@pytest.mark.parametrize(
    "function, name, at",
    [(fixed_gates, "n_classes", 0), (fixed_gates, "own", 1), (split_filters, "n_classes", 0), (split_filters, "n_filters", 1),
     (density_bounds, "n_classes", 0), (density_bounds, "n_filters", 1)],
)  # fmt: skip
def test_counts(function, name: str, at: int, value, error: type) -> None:
    arguments = [3, 7, 9]
    arguments[at] = value
    with pytest.raises(error, match=f"^{name}: "):
        function(*arguments)


@pytest.mark.parametrize("value, error", [(-1, ValueError), (1.0, TypeError), (None, TypeError), ("4", TypeError)])
def test_shared_filters(value, error: type) -> None:
    for function in (fixed_gates, split_filters):
        with pytest.raises(error, match="^shared: "):
            function(3, 7, value)


def test_classes_without_a_filter() -> None:
    with pytest.raises(ValueError, match="^shared: "):
        split_filters(10, 64, 65)
    with pytest.raises(ValueError, match="^n_filters: got 9 with 0 .* at least 10"):
        split_filters(10, 9, 0)
    with pytest.raises(ValueError, match="^n_filters: .* at least 60"):
        split_filters(10, 54, 50)


@pytest.mark.parametrize("g, error", [(63.9, ValueError), (641, ValueError), (0, ValueError), (-5, ValueError), (NAN, ValueError),
                                      (INF, ValueError), ("128", TypeError), (None, TypeError), (True, TypeError)])  # fmt: skip
def test_bounds_that_cross(g, error: type) -> None:
    with pytest.raises(error, match="^g: "):
        density_bounds(10, 64, g)


@pytest.mark.parametrize("g, error", [(4.9, ValueError), (15.1, ValueError), (NAN, ValueError), ("8", TypeError), ([8], TypeError)])
def test_bounds_that_cross_are_refused_before_the_training(g, error: type) -> None:
    model = cnn()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(error, match="^g: "):
        train_gated(model, pictures(), None, epochs=1, g=g)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


SCHEDULES = [
    ("period", 0),
    ("period", -1),
    ("period", 2.0),
    ("period", None),
    ("gated", -1),
    ("gated", 4),
    ("gated", "1"),
    ("first", -1),
    ("first", 1.5),
]


@pytest.mark.parametrize("name, value", SCHEDULES)
def test_schedules(name: str, value) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        Schedule(**{name: value})
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        train_gated(cnn(), pictures(), None, epochs=1, **{name: value})


OTHER_GATES = [
    (torch.ones(C), ValueError), (torch.ones(K, C), ValueError), (torch.ones(C, K + 1), ValueError), (torch.ones(C, K, dtype=torch.int32), TypeError),
    (torch.full((C, K), NAN), ValueError), ([[1.0] * K] * C, TypeError), ("ones", TypeError), (5, TypeError), (True, TypeError),
]  # fmt: skip


@pytest.mark.parametrize("value, error", OTHER_GATES)
def test_first_gates(value, error: type) -> None:
    with pytest.raises(error, match="^gates: "):
        GatedClassifier(cnn(), C, gates=value)


@pytest.mark.parametrize("value", [torch.zeros(C, K), 0.5 * torch.ones(C, K), 2 * torch.ones(C, K), -torch.ones(C, K), None])
def test_fixed_gates_must_be_feasible(value) -> None:
    with pytest.raises(ValueError, match="^(gates|learned): "):
        GatedClassifier(cnn(), C, gates=value, learned=False)


@pytest.mark.parametrize(
    "value, error", [(C + 1, ValueError), (1, ValueError), (0, ValueError), ("3", TypeError), (None, TypeError), (3.0, TypeError)]
)
def test_number_of_classes(value, error: type) -> None:
    with pytest.raises(error, match="^n_classes: "):
        GatedClassifier(cnn(), value)


@pytest.mark.parametrize("value", [None, "resnet20", 3, torch.ones(2)])
def test_models(value) -> None:
    with pytest.raises(TypeError, match="^model: "):
        GatedClassifier(value, C)
    with pytest.raises(TypeError, match="^model: "):
        train_gated(value, pictures(), None, epochs=1)


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Conv2d(2, 3, 3))])
def test_models_without_one_linear_layer_after_pooling(model) -> None:
    with pytest.raises(ValueError, match="^model: "):
        GatedClassifier(model, C)
    with pytest.raises(ValueError, match="^model: "):
        train_gated(model, pictures(), None, epochs=1)


@pytest.mark.parametrize("value, error", [("conv9", ValueError), ("", ValueError), (2, TypeError)])
def test_layers(value, error: type) -> None:
    with pytest.raises(error, match="^layer: "):
        GatedClassifier(cnn(), C, layer=value)


def test_a_layer_that_does_not_tell_its_width() -> None:
    with pytest.raises(ValueError, match="^gates: got NoneType None, expected the number K"):
        GatedClassifier(cnn(), C, layer="1")
    with pytest.raises(ValueError, match="^gates: "):
        GatedClassifier(cnn(), C, layer="1", gates=0)
    assert GatedClassifier(cnn(), C, layer="1", gates=4).gates.shape == (C, 4)


@pytest.mark.parametrize("value", [None, "yes", 1, 0])
def test_learned(value) -> None:
    with pytest.raises(TypeError, match="^learned: "):
        GatedClassifier(cnn(), C, gates=gates(), learned=value)


BAD_LABELS = [
    (None, ValueError), (torch.zeros(4), TypeError), (torch.zeros(3, dtype=torch.int64), ValueError), (torch.zeros(4, 1, dtype=torch.int64), ValueError),
    (torch.full((4,), C), ValueError), (torch.full((4,), -1), ValueError), ([0, 1, 2, 0], TypeError), (torch.ones(4, dtype=torch.bool), TypeError),
]  # fmt: skip


@pytest.mark.parametrize("value, error", BAD_LABELS)
def test_labels_on_a_gated_step(value, error: type) -> None:
    model = GatedClassifier(cnn(), C, gates=gates()).train()
    images = pictures(4)[0]
    for path in (model, model.csg):
        with pytest.raises(error, match="^labels: "):
            path(images, value)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.eval()(images, value).shape == (4, C)  # where labels are ignored


@pytest.mark.parametrize(
    "name, value",
    [("epochs", 0), ("epochs", 1.5), ("lam", -1e-9), ("lam", NAN), ("lam", "1e-3"), ("lam", None), ("seed", -1), ("seed", None), ("batch_size", 0),
     ("batch_size", "8"), ("optimizers", None), ("optimizers", "sgd"), ("schedule", "cosine"), ("augment", 3), ("checkpoint", 5),
     ("checkpoint_every", 0), ("device", "gpu7"), ("normalization", "imagenet")],
)  # fmt: skip
def test_settings_of_a_training(name: str, value) -> None:
    model = cnn()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        train_gated(model, pictures(), None, **({"epochs": 1} | {name: value}))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_gates_that_no_gated_step_moves() -> None:
    def of(model, *, first: bool, second: bool):
        weights = list(model.model.parameters())
        return tuple(torch.optim.SGD([*weights, *([model.gates] if has else [])], lr=0.1) for has in (first, second))

    for first, second in ((False, False), (True, True), (True, False)):
        with pytest.raises(ValueError, match="^optimizers: "):
            train_gated(cnn(), pictures(), None, epochs=3, optimizers=lambda m, a=first, b=second: of(m, first=a, second=b))


@pytest.mark.parametrize("g", ["many", NAN, [3]])
def test_bounds_of_fixed_gates(g) -> None:
    model = GatedClassifier(cnn(), C, gates=fixed_gates(C, 1, 2), learned=False)
    with pytest.raises((TypeError, ValueError), match="^g: "):
        train_gated(model, pictures(), None, epochs=1, g=g)


def test_gates_of_another_width_than_the_layers() -> None:
    for given in (torch.ones(C, 1), torch.ones(C, K + 1), 4):
        with pytest.raises(ValueError, match="^gates: .* expected K = 5"):
            GatedClassifier(cnn(), C, layer="2", gates=given)


@pytest.mark.parametrize(
    "pair", [lambda m: two_sgds(m)[0], lambda m: [], lambda m: (*two_sgds(m), two_sgds(m)[0]), lambda m: None, lambda m: ("sgd", "sgd")]
)
def test_optimizers_are_a_pair(pair) -> None:
    with pytest.raises(TypeError, match="^optimizers: "):
        train_gated(cnn(), pictures(), None, epochs=1, optimizers=pair)


IMAGES = pictures()[0]
SETS = [
    None, IMAGES, (IMAGES,), (IMAGES, torch.arange(24)), (IMAGES, torch.zeros(24)), (IMAGES[:0], torch.zeros(0, dtype=torch.int64)),
    (IMAGES * NAN, torch.zeros(24, dtype=torch.int64)), (IMAGES + 3, torch.zeros(24, dtype=torch.int64)), (IMAGES[:, :1], torch.zeros(24, dtype=torch.int64)),
]  # fmt: skip


@pytest.mark.parametrize("train", SETS)
def test_training_images(train) -> None:
    with pytest.raises((TypeError, ValueError), match="^train"):
        train_gated(cnn(), train, pictures(), epochs=1)


@pytest.mark.parametrize("name, error", [("resnet20", ValueError), ("resnet20-cgs", ValueError), (None, TypeError), (3, TypeError)])
def test_names_of_gated_networks(name, error: type) -> None:
    with pytest.raises(error, match="^name: "):
        gated.load(name)


@pytest.mark.parametrize("value, error", [(False, TypeError), ("public", TypeError), (None, TypeError), (4, TypeError), ("nowhere.safetensors", models.CheckpointError)])  # fmt: skip
def test_weights_of_gated_networks(value, error: type) -> None:
    with pytest.raises(error, match="pretrained: |nowhere"):
        gated.load("resnet56-csg", pretrained=value)


@pytest.mark.parametrize("value", [{"weights": torch.ones(1)}, {"gatesepochs": torch.ones(1)}])
def test_names_beside_the_weights(value, tmp_path) -> None:
    about = {"command": "none", "seed": 0, "epochs": 1, "data": "none", "accuracy": 0.1}
    with pytest.raises(ValueError, match="^gates: "):
        models.save_checkpoint(tmp_path / "net.safetensors", cnn(), about=about, gates=value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chosen", [lambda epoch: 2, lambda epoch: -1, lambda epoch: "0", lambda epoch: None, "first"])
def test_which_optimizer_steps(chosen) -> None:
    from filterlens import training

    model = cnn()
    pair = [torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2)]
    with pytest.raises((TypeError, ValueError), match="^optimizer_of_epoch"):
        training.fit(model, pictures(), None, epochs=1, seed=0, optimizers=pair, optimizer_of_epoch=chosen)
