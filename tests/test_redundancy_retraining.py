"""Tables 2 and 3: what is trained is the network that was asked for, and nothing of the caller's changes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_classes import four_classes

from filterlens import training
from filterlens.lenses import ranking, redundancy, simplex
from filterlens.models import CheckpointError, Normalization

torch.set_num_threads(1)
HALF = Normalization(mean=0.5, std=0.25)


@pytest.fixture(scope="module")
def toy() -> tuple[nn.Module, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Convolutions of 11 and 13 filters, one with a bias and one with batch normalisation, and four classes in 60 + 32 images."""
    images, labels = four_classes()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = nn.Sequential(
            nn.Conv2d(2, 11, 3), nn.ReLU(), nn.Conv2d(11, 13, (3, 2), bias=False), nn.BatchNorm2d(13), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(13, 4),
        )  # fmt: skip
    train, test = (images[:60], labels[:60]), (images[60:], labels[60:])
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    training.fit(model, train, None, epochs=3, seed=0, optimizers=adam, batch_size=20, normalization=HALF)
    return model.eval(), train, test


def accuracy(model: nn.Module, test: tuple[Tensor, Tensor]) -> float:
    with torch.no_grad():
        return float((model(HALF.apply(test[0])).argmax(1) == test[1]).double().mean())


@pytest.mark.parametrize("method", ranking.METHODS)
def test_what_is_retrained_is_the_pruned_network(toy, method: str) -> None:
    model, train, test = toy
    before = copy.deepcopy(model.state_dict())
    done = redundancy.prune_and_retrain(
        model, train, test, method=method, rate=0.5, epochs=2, seed=3, lr=0.003, batch_size=16, normalization=HALF
    )
    assert done.n_removed == 6 + 7 and [m.out_channels for m in done.model.modules() if isinstance(m, nn.Conv2d)] == [5, 6]
    removed = {name: ranking.rank(model[int(name)].weight, method, seed=3).redundant(n).tolist() for name, n in (("0", 6), ("2", 7))}
    masked = ranking.remove_filters(model, removed, example=train[0][:1])
    assert (done.before, done.start) == (accuracy(model, test), accuracy(masked, test))
    assert len(done.accuracy) == 2 and done.accuracy[-1] == accuracy(done.model, test) == done.history.test_accuracy[-1]
    assert done.parameters == tuple(sum(p.numel() for p in each.parameters()) for each in (model, done.model))
    assert done.history.lr == ((0.003,), (0.003,)) and not done.model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and not model.training


def test_the_seed_decides_and_frozen_weights_are_trained_too(toy) -> None:
    model, train, test = toy
    frozen = copy.deepcopy(model).requires_grad_(False)
    options = {"method": "l1", "rate": 0.25, "epochs": 1, "lr": 0.01, "normalization": HALF}
    first, again, other = (redundancy.prune_and_retrain(frozen, train, test, seed=seed, **options).model for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first[7].weight, other[7].weight) and not torch.equal(first[7].weight, model[7].weight)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_nothing_removed_is_only_training(toy) -> None:
    model, train, test = toy
    done = redundancy.prune_and_retrain(model, train, test, method="l2", rate=0.0, epochs=1, normalization=HALF)
    assert (done.n_removed, done.start) == (0, done.before) and done.parameters[0] == done.parameters[1]


def test_an_interrupted_retraining_goes_on(toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, train, test = toy
    options = {"method": "fpgm", "rate": 0.5, "epochs": 3, "seed": 1, "lr": 0.01, "batch_size": 20, "normalization": HALF}
    whole = redundancy.prune_and_retrain(model, train, test, **options)
    real, calls = training.loop.evaluate, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:  # before, start, first epoch
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training.loop, "evaluate", interrupted)
        redundancy.prune_and_retrain(model, train, test, checkpoint=tmp_path / "far.run", **options)
    resumed = redundancy.prune_and_retrain(model, train, test, checkpoint=tmp_path / "far.run", **options)
    assert resumed.accuracy == whole.accuracy and torch.equal(resumed.model[0].weight, whole.model[0].weight)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        redundancy.prune_and_retrain(model, train, test, checkpoint=tmp_path / "far.run", **{**options, "method": "l1"})


def starting(toy, **options) -> redundancy.Retrained:
    """At a learning rate that single precision takes for zero the network stays what training began with."""
    model, train, test = toy
    return redundancy.start_and_train(model, train, test, **{"epochs": 1, "lr": 1e-300, "seed": 5, "normalization": HALF, **options})


def test_all_starts_have_the_same_fresh_logits_for_a_seed(toy) -> None:
    model, _, test = toy
    before = copy.deepcopy(model.state_dict())
    found = {start: starting(toy, start=start) for start in redundancy.STARTING_WEIGHTS}
    for done in found.values():
        assert torch.equal(done.model[7].weight, found["random"].model[7].weight)
        assert torch.equal(done.model[7].bias, found["random"].model[7].bias)
        assert done.before == accuracy(model, test) and done.n_removed == 0
    assert not torch.equal(found["random"].model[7].weight, model[7].weight)
    assert not torch.equal(found["random"].model[7].weight, starting(toy, start="random", seed=6).model[7].weight)
    assert torch.equal(found["trained"].model[0].weight, model[0].weight) and torch.equal(found["trained"].model[3].weight, model[3].weight)
    for at in (0, 2):
        kinds = [found[start].model[at].weight for start in redundancy.STARTING_WEIGHTS]
        assert not any(torch.equal(a, b) for a, b in zip(kinds, kinds[1:] + kinds[:1], strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("seed", [0, 5])
def test_the_logits_draws_are_not_the_first_layers(toy, seed: int) -> None:
    """Both layers draw uniformly within 1 / sqrt(fan in); from one stream the logits would be the first filters, scaled."""
    model = starting(toy, start="random", seed=seed).model
    first, logits = (model[at].weight.flatten() * model[at].weight[0].numel() ** 0.5 for at in (0, 7))
    n = min(len(first), len(logits))
    assert float(torch.corrcoef(torch.stack([first[:n], logits[:n]]))[0, 1].abs()) < 0.5
    assert float((first[:n] - logits[:n]).abs().mean()) > 0.2


def test_fabricated_filters_are_mixtures_of_the_archetypes(toy) -> None:
    model, _, _ = toy
    literal, sparse = (starting(toy, start="fabricated", concentration=concentration).model for concentration in (1.0, "sparse"))
    for at in (0, 2):
        hull = model[at].weight.detach().flatten(1).T.double()
        for made in (literal, sparse):
            codes = simplex.simplex_codes(made[at].weight.detach().flatten(1).T.double(), hull)
            assert (made[at].weight.flatten(1).T - hull @ codes.A).norm() < 1e-4 * hull.norm()
        assert literal[at].weight.var(0).sum() < sparse[at].weight.var(0).sum()
    assert (literal[0].bias == 0).all()


def test_training_starts_where_it_is_said_to(toy) -> None:
    model, train, test = toy
    for start in redundancy.STARTING_WEIGHTS:
        one, two = (
            redundancy.start_and_train(model, train, test, start=start, epochs=2, seed=1, lr=0.01, normalization=HALF) for _ in range(2)
        )
        assert one.accuracy == two.accuracy and len(one.accuracy) == 2 and one.accuracy[-1] == accuracy(one.model, test)
        assert torch.equal(one.model[0].weight, two.model[0].weight)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (redundancy.prune_and_retrain, {"method": "l1", "rate": 0.5, "epochs": 1}),
        (redundancy.start_and_train, {"start": "random", "epochs": 1}),
    ],
)
@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"model": None}, TypeError, "model"),
        ({"train": "mnist"}, TypeError, "train"),
        ({"train": (torch.zeros(3, 5, 9, 8), torch.zeros(3, dtype=torch.int64))}, ValueError, "train"),
        ({"train": (torch.zeros(0, 2, 9, 8), torch.zeros(0, dtype=torch.int64))}, ValueError, "train"),
        ({"test": (torch.zeros(3, 2, 9, 8), torch.full((3,), 9))}, ValueError, "test"),
        ({"test": (torch.full((3, 2, 9, 8), torch.nan), torch.zeros(3, dtype=torch.int64))}, ValueError, "test"),
        ({"test": None}, TypeError, "test"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": 1.5}, TypeError, "epochs"),
        ({"seed": -1}, ValueError, "seed"),
        ({"lr": -0.1}, ValueError, "lr"),
        ({"lr": 0}, ValueError, "lr: got 0"),
        ({"lr": float("nan")}, ValueError, "lr"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"fraction": 0}, ValueError, "fraction"),
        ({"normalization": 2}, TypeError, "normalization"),
        ({"checkpoint": 3}, TypeError, "checkpoint"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every"),
    ],
)
def test_training_refuses(toy, monkeypatch, function, options, changed, error, said) -> None:
    monkeypatch.setattr(training.loop.Run, "go", lambda *_: pytest.fail("a training was started"))
    model, train, test = toy
    given = {"model": model, "train": train, "test": test, **options, **changed}
    with pytest.raises(error, match=said):
        function(given.pop("model"), given.pop("train"), given.pop("test"), **given)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("function", "options", "error", "said"),
    [
        (redundancy.prune_and_retrain, {"method": "L1", "rate": 0.5}, ValueError, "method.*did you mean|method"),
        (redundancy.prune_and_retrain, {"method": 1, "rate": 0.5}, TypeError, "method"),
        (redundancy.prune_and_retrain, {"method": "l1", "rate": 1.0}, ValueError, "rate"),
        (redundancy.prune_and_retrain, {"method": "l1", "rate": "half"}, TypeError, "rate"),
        (redundancy.prune_and_retrain, {"method": "l1", "rate": 0.5, "layers": ["7"]}, ValueError, "layers"),
        (redundancy.prune_and_retrain, {"method": "l1", "rate": 0.5, "layers": ["2"], "groups": 2}, ValueError, "layers: '2' has 2 groups"),
        (redundancy.prune_and_retrain, {"method": "l1", "rate": 0.5, "example": torch.zeros(1, 3, 9, 8)}, ValueError, "example"),
        (redundancy.start_and_train, {"start": "imagenet"}, ValueError, "start"),
        (redundancy.start_and_train, {"start": None}, TypeError, "start"),
        (redundancy.start_and_train, {"start": "fabricated", "concentration": 0.0}, ValueError, "concentration"),
        (redundancy.start_and_train, {"start": "fabricated", "concentration": "dense"}, ValueError, "concentration"),
    ],
)
def test_each_refuses_what_it_does_not_know(toy, monkeypatch, function, options, error, said) -> None:
    monkeypatch.setattr(training.loop.Run, "go", lambda *_: pytest.fail("a training was started"))
    model, train, test = toy
    if options.get("groups"):
        options = {name: value for name, value in options.items() if name != "groups"}
        model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 2, groups=2), nn.Flatten(), nn.LazyLinear(4))
        model(train[0][:1])
    with pytest.raises(error, match=said):
        function(model, train, test, epochs=1, **options)
