"""Training with gates: projected after each gated step, recorded every epoch, resumable, with a literal loop of the paper's to hold it against."""

from __future__ import annotations

import functools
import random

import pytest
import torch
import torch.nn.functional as F
from killed_process import killed
from toy_gates import C, K, cnn, gates, pictures

from filterlens import gated as shipped
from filterlens import models, training
from filterlens.lenses.gates import GatedClassifier, GateHistory, density_bounds, fixed_gates, project_gates, train_gated, two_sgds

torch.set_num_threads(1)


def trained(model=None, **options) -> GateHistory:
    settings = {"epochs": 6, "batch_size": 8, "seed": 2, "g": 7.0, "lam": 0.2, "optimizers": functools.partial(two_sgds, lr=0.05)} | options
    return train_gated(cnn() if model is None else model, pictures(), pictures(9, 1), **settings)


def weights(history: GateHistory) -> list[torch.Tensor]:
    return [*(value.clone() for value in history.model.state_dict().values()), history.gates]


def same(a: list, b: list) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_literal_loop_ends_in_the_same_weights_and_gates() -> None:
    """The paper's procedure written out: an epoch of CE on one path, an epoch of CE + penalty on the other, a projection after each step."""
    model, G = cnn(), torch.ones(C, K, requires_grad=True)
    images, labels = pictures()
    plain = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    gated = torch.optim.SGD(
        [{"params": model.parameters(), "weight_decay": 1e-4}, {"params": [G], "weight_decay": 0.0}], lr=0.05, momentum=0.9
    )
    orders: list = []

    def seen(model, batch, labels, epoch):
        orders.append((epoch, [int((images - one).abs().sum((1, 2, 3)).argmin()) for one in batch]))
        return F.cross_entropy(model(batch), labels)

    training.fit(cnn(), pictures(), None, epochs=5, seed=2, step=seen, batch_size=8)  # only to learn the order of its images
    record = []
    for epoch in range(5):
        for rows in (rows for at, rows in orders if at == epoch):
            optimizer = gated if epoch % 3 == 2 else plain
            optimizer.zero_grad()
            features = model[:6](images[rows])
            if epoch % 3 == 2:
                features = features * torch.stack([G[y] for y in labels[rows]])
                loss = F.cross_entropy(model[6](features), labels[rows]) + 0.2 * max(G.abs().sum() - 7.0, torch.zeros(()))
            else:
                loss = F.cross_entropy(model[6](features), labels[rows])
            loss.backward()
            optimizer.step()
            if epoch % 3 == 2:
                with torch.no_grad():
                    for k in range(K):
                        G[:, k] = (G[:, k] / G[:, k].max()).clamp(0, 1)
        record.append(G.detach().clone())
    found = trained(epochs=5, schedule=None)
    torch.testing.assert_close(found.gates[1:], torch.stack(record))
    for ours, theirs in zip(found.model.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("method", ["rescale", "euclid"])
def test_gates_move_in_gated_epochs_only_and_stay_feasible(method: str) -> None:
    history = trained(method=method)
    assert history.gated.tolist() == [False, False, True] * 2
    assert history.gates.shape == (7, C, K)
    moved = (history.gates[1:] != history.gates[:-1]).flatten(1).any(1)
    assert torch.equal(moved, history.gated)
    assert torch.equal(history.gates.max(1).values, torch.ones(7, K)) and history.gates.min() >= 0
    assert torch.equal(history.gates[-1], history.model.gates.detach())
    assert history.bounds == density_bounds(C, K, 7.0)
    assert history.density[0] == pytest.approx(1.0 if method == "rescale" else (K + 0.5 * (C - 1) * K) / (C * K))
    long = trained(method=method, epochs=15, lam=1.0, schedule=None)
    # What the penalty takes from equal entries, rescaling gives back: only differences grow, so it comes slower into the interval.
    assert long.density[-1] <= (long.bounds[1] + 0.05 if method == "euclid" else 0.9)


def test_history_tells_the_std_path_on_the_test_images() -> None:
    history = trained()
    loss, accuracy = training.evaluate(history.model.model, pictures(9, 1))
    assert history.training.test_accuracy[-1] == accuracy and history.training.test_loss[-1] == pytest.approx(loss)
    assert len(history.training) == 6
    assert history.training.lr[0] == (0.05, 0.05) and history.training.lr[-1][0] < 0.05


def test_the_model_gates_as_before_afterwards() -> None:
    for epochs in (3, 4):
        history = trained(epochs=epochs)
        assert history.model.gated and history.density.dtype == torch.float64
    model = GatedClassifier(cnn(), C)
    model.gated = False
    assert not trained(model, epochs=3).model.gated


def test_the_last_image_alone_counts_as_a_step_without_batch_normalisation() -> None:
    told, steps = [], []

    def schedule(optimizer, n):
        told.append(n)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: steps.append(step) or 1.0)

    train_gated(cnn(), pictures(25), None, epochs=4, batch_size=8, schedule=schedule)
    assert told == [3 * 4, 1 * 4] and max(steps) == 3 * 4


def test_gates_do_not_decay_and_belong_to_gated_steps_only() -> None:
    model = GatedClassifier(cnn(), C)
    plain, gated = two_sgds(model, weight_decay=0.3)
    assert [group["weight_decay"] for group in gated.param_groups] == [0.3, 0.0] and gated.param_groups[1]["params"] == [model.gates]
    assert [group["weight_decay"] for group in plain.param_groups] == [0.3]
    assert all(p is not model.gates for p in plain.param_groups[0]["params"])


def test_rates_are_counted_separately_per_path() -> None:
    lr = torch.tensor(trained(epochs=15, schedule=lambda o, n: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, n)).training.lr)
    plain, gated = lr.T.diff()  # from the end of one epoch to the end of the next
    turns = torch.tensor([epoch % 3 == 2 for epoch in range(1, 15)])
    assert torch.equal(plain < 0, ~turns) and torch.equal(plain == 0, turns)
    assert torch.equal(gated < 0, turns) and torch.equal(gated == 0, ~turns)
    assert lr[-1].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_without_gated_epochs_it_is_plain_training() -> None:
    twin = trained(gated=0, schedule=None)
    model = cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    training.fit(model, pictures(), pictures(9, 1), epochs=6, seed=2, batch_size=8, optimizers=optimizer)
    assert all(torch.equal(a, b) for a, b in zip(twin.model.model.state_dict().values(), model.state_dict().values(), strict=True))
    assert torch.equal(twin.gates, torch.ones(7, C, K))


def test_fixed_gates_stay_and_are_not_penalised() -> None:
    G = fixed_gates(C, 1, 2)
    history = trained(GatedClassifier(cnn(), C, gates=G, learned=False), g=None)
    assert torch.equal(history.gates, G.expand(7, -1, -1))
    assert history.bounds == (pytest.approx(9 / 15),) * 2
    other = trained(GatedClassifier(cnn(), C, gates=G, learned=False), g=None, lam=5.0)
    assert history.training.train_loss == other.training.train_loss
    assert not same(weights(history)[1:-1], weights(trained(gated=0))[1:-1])


def test_the_same_seed_gives_the_same_gates_and_another_others() -> None:
    first = weights(trained())
    torch.manual_seed(77)
    assert same(first, weights(trained())) and not same(first, weights(trained(seed=3)))


def test_20_kills_end_in_the_same_weights_and_gates(tmp_path) -> None:
    whole = weights(trained(epochs=9))
    moments, file = random.Random(0), tmp_path / "gates.run"
    run = functools.partial(trained, epochs=9, checkpoint=file, checkpoint_every=1)
    kills = 0
    while kills < 20:
        kills += killed(moments.randint(1, 3), run) == 9
        if kills % 7 == 0:  # a fresh run now and then: 27 snapshots are soon written
            run()
            assert same(whole, weights(run()))
            file.unlink()
    assert same(whole, weights(run()))


@pytest.mark.parametrize("change", [{"method": "euclid"}, {"layer": "2"}])
def test_a_run_with_another_projection_or_other_gates_is_refused(tmp_path, change: dict) -> None:
    trained(GatedClassifier(cnn(), C, gates=gates()), checkpoint=tmp_path / "a.run")
    with pytest.raises(training.CheckpointError, match="belongs to another run"):
        trained(GatedClassifier(cnn(), C, gates=gates(), **change), checkpoint=tmp_path / "a.run")


@pytest.mark.parametrize("change", [{"lam": 0.1}, {"g": 8.0}, {"period": 2}, {"first": 1}, {"seed": 5}])
def test_another_runs_checkpoint_is_refused(tmp_path, change: dict) -> None:
    trained(checkpoint=tmp_path / "a.run")
    with pytest.raises(training.CheckpointError, match="belongs to another run"):
        trained(checkpoint=tmp_path / "a.run", **change)


def test_the_projection_ends_with_the_training() -> None:
    pair = []

    def kept(model):
        pair.extend(two_sgds(model))
        return tuple(pair)

    history = trained(optimizers=kept)
    with torch.no_grad():
        history.model.gates.mul_(0.5)
    history.model.gates.grad = torch.zeros(C, K)
    pair[1].step()
    assert history.model.gates.max() < 1
    with pytest.raises(FloatingPointError):
        trained(normalization=type("Huge", (), {"apply": staticmethod(lambda images: images * float("inf"))})())


def test_a_checkpoint_holds_the_gates_of_every_epoch(tmp_path) -> None:
    model = models.load("resnet20", pretrained=False)
    wrapped = GatedClassifier(model, 10, gates=project_gates(torch.rand(10, 64, generator=torch.Generator().manual_seed(1))))
    record = torch.stack([torch.ones(10, 64), wrapped.gates.detach()])
    history = GateHistory(wrapped, record, torch.tensor([True]), (0.1, 0.2), training.History())
    about = {"command": "none", "seed": 0, "epochs": 1, "data": "none", "accuracy": 0.1}
    path = models.save_checkpoint(tmp_path / "net.safetensors", model, about=about, gates=shipped.packed(history))
    found = shipped.load("resnet20-csg", pretrained=path)
    assert torch.equal(found.gates, record) and found.gated.tolist() == [True] and found.bounds == (0.1, 0.2)
    assert torch.equal(found.model.gates, record[-1]) and found.model.learned and not found.model.training
    plain = models.load("resnet20", pretrained=path)  # the gates beside the weights are passed over
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), model.state_dict().values(), strict=True))
    fixed = models.save_checkpoint(tmp_path / "fixed.safetensors", model, about=about, gates=shipped.packed(
        GateHistory(wrapped, fixed_gates(10, 6, 4).expand(2, -1, -1), torch.tensor([True]), (0.15625,) * 2, training.History())
    ))  # fmt: skip
    assert not shipped.load("resnet20-fixed", pretrained=fixed).model.learned
    for name, other in (("resnet20-std", path), ("resnet20-fixed", path), ("resnet20-csg", fixed)):
        with pytest.raises(models.CheckpointError, match="pretrained: .* so it is no"):
            shipped.load(name, pretrained=other)
    bare = models.save_checkpoint(tmp_path / "bare.safetensors", model, about=about)
    with pytest.raises(models.CheckpointError, match="pretrained.*no gated network"):
        shipped.load("resnet20-csg", pretrained=bare)
    assert gates().shape == (C, K) and found.name == "resnet20-csg"
