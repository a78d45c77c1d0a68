"""The training loop: same seed, same weights; kills of any kind change nothing; the caller's things are left alone."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import tqdm.auto
from torch import nn

from filterlens import data, training
from filterlens.models.scaling import Normalization
from filterlens.training import batching, loop, snapshots

torch.set_num_threads(1)
N, C = 23, 4


def network(seed: int = 5) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, C)]
        return nn.Sequential(*layers)


def pair(n: int = N, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(n, 3, 9, 7, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % C


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def fitted(model: nn.Module | None = None, **options) -> tuple[list[torch.Tensor], training.History]:
    model = network() if model is None else model
    settings = {"train": pair(), "test": pair(11, 1), "epochs": 3, "seed": 2, "batch_size": 6} | options
    history = training.fit(model, settings.pop("train"), settings.pop("test"), **settings)
    return weights(model), history


# kills


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork: children are killed by the dozen")
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(Path(__file__).with_name("killed_training.py")), str(folder), "20"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=500, env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar with TQDM_DISABLE
    return json.loads(done.stdout)


def test_20_kills_at_random_moments_always_resumed_to_identical_weights(killed: dict) -> None:
    found = killed["random"]
    assert found["kills"] == 20 and found["results"]
    assert set(found["results"]) == {killed["whole"]}  # weights, buffers, optimizers, state and history, bit for bit
    assert found["resumed"] >= 15  # most kills came after a snapshot, or this would test nothing
    assert all(0 <= lost <= 3 for lost in found["lost"]), "a resume must go on from the last snapshot, three batches ago at most"


@pytest.mark.parametrize("point", ["half written", "before renaming", "after renaming"])
def test_kills_while_a_snapshot_is_written(killed: dict, point: str) -> None:
    found = killed["points"][point]
    assert found["ends"] == ["killed by 9"] * 3 + ["exit 0"]
    assert ("toy.run.part" in found["left"]) == (point != "after renaming")
    assert found["then"] == ["done", "toy.run"]  # the leftover is gone
    assert found["result"] == killed["whole"]


def test_two_processes_agree_and_a_checkpoint_changes_nothing(killed: dict) -> None:
    assert killed["whole"] == killed["again"] == killed["without"]
    assert killed["whole"].split()[1:] == ["6", str(6 * 590)]


# determinism


def test_same_seed_same_weights_other_seed_others() -> None:
    first, history = fitted()
    torch.manual_seed(99)  # the caller's randomness must not matter
    again, other_history = fitted()
    assert same(first, again) and history.train_loss == other_history.train_loss
    assert not same(first, fitted(seed=3)[0])


def test_the_callers_generators_are_untouched() -> None:
    before = torch.get_rng_state()
    fitted()
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(FloatingPointError):
        fitted(step=lambda *_: torch.tensor(float("nan"), requires_grad=True))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("every", [None, 1, 3])
def test_interrupted_anywhere_and_resumed(tmp_path: Path, every: int | None) -> None:
    whole, history = fitted()
    for stop in (1, 5, 8, 12):  # 4 batches an epoch
        calls, file = [], tmp_path / f"{every}-{stop}.run"

        def step(model, images, labels, epoch, calls=calls, stop=stop):
            calls.append(epoch)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return training.cross_entropy(model, images, labels, epoch)

        with pytest.raises(KeyboardInterrupt):
            fitted(step=step, checkpoint=file, checkpoint_every=every)
        resumed, resumed_history = fitted(step=step, checkpoint=file, checkpoint_every=every)
        assert same(whole, resumed)
        assert resumed_history.train_loss == history.train_loss and len(resumed_history.seconds) == 3


def test_a_finished_run_returns_at_once_and_can_be_prolonged(tmp_path: Path) -> None:
    calls = []

    def step(model, images, labels, epoch):
        calls.append(epoch)
        return training.cross_entropy(model, images, labels, epoch)

    run = {"checkpoint": tmp_path / "a.run", "step": step}
    short, history = fitted(epochs=2, **run)
    again, again_history = fitted(epochs=2, **run)
    assert same(short, again) and again_history == history and calls == [0] * 4 + [1] * 4
    assert same(fitted(epochs=3)[0], fitted(epochs=3, **run)[0]) and calls[8:] == [2] * 4
    with pytest.raises(ValueError, match="epochs: got 2, expected at least 3"):
        fitted(epochs=2, **run)


# what one epoch does


def test_against_a_plain_loop() -> None:
    """SGD with momentum and decay, mean cross-entropy, every image once per epoch, the last batch smaller."""
    images, labels = pair()
    seen = []

    def step(model, x, y, epoch):
        seen.append((epoch, x.clone(), y.clone()))
        return F.cross_entropy(model(x), y)

    model, plain = network().eval(), network()
    plain[3] = model[3] = nn.Identity()  # dropout draws from a generator this loop does not have
    history = training.fit(model, (images, labels), None, epochs=2, seed=2, batch_size=6, step=step)
    assert [len(y) for _, _, y in seen] == [6, 6, 6, 5] * 2 and [epoch for epoch, _, _ in seen] == [0] * 4 + [1] * 4
    orders = []
    for epoch in (0, 1):
        every = torch.cat([x for e, x, _ in seen if e == epoch])
        rows = [int((every[i] == images).flatten(1).all(1).nonzero()) for i in range(N)]
        assert sorted(rows) == list(range(N)) and rows != list(range(N))
        orders.append(rows)
    assert orders[0] != orders[1]
    optimizer, losses = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4), []
    plain.train()
    for _, x, y in seen:
        optimizer.zero_grad()
        loss = F.cross_entropy(plain(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()) * len(y))
    assert same(weights(model), weights(plain))
    assert history.train_loss == pytest.approx([sum(losses[:4]) / N, sum(losses[4:]) / N])
    assert math.isnan(history.test_loss[0]) and history.lr == ((0.01,), (0.01,))


def test_history_tells_loss_and_accuracy_of_the_test_images() -> None:
    model = network()
    _, history = fitted(model, epochs=1)
    images, labels = pair(11, 1)
    with torch.no_grad():
        logits = model.eval()(images)
    assert history.test_accuracy[0] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert history.test_loss[0] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    told = history.test_loss[0], history.test_accuracy[0]
    assert training.evaluate(model, (images, labels), batch_size=4) == pytest.approx(told, rel=1e-5)
    assert len(history) == 1 and history.seconds[0] > 0


def test_modes_and_gradients_afterwards() -> None:
    model = network().eval()
    model[3].train()
    model[0].weight.requires_grad_(False)
    modes, frozen = [m.training for m in model.modules()], model[0].weight.clone()
    inside = []
    fitted(
        model,
        epochs=1,
        step=lambda m, x, y, e: inside.append(m.training) or F.cross_entropy(m(x), y),
        on_epoch=lambda e, m, h: inside.append(m.training),
    )
    assert inside == [True] * 4 + [False]
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(frozen, model[0].weight) and not model[0].weight.requires_grad
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(RuntimeError, match="mine"):
        fitted(model, on_epoch=lambda *_: (_ for _ in ()).throw(RuntimeError("mine")))
    assert [m.training for m in model.modules()] == modes


def test_parameters_of_no_optimizer_gather_no_gradients() -> None:
    model, gradients = network(), []

    def step(model, images, labels, epoch):
        gradients.append(model[0].weight.grad)
        return F.cross_entropy(model(images), labels)

    fitted(model, step=step, optimizers=torch.optim.SGD(model[6].parameters(), lr=0.1), epochs=1)
    assert gradients == [None] * 4


def test_augment_sees_unit_images_and_step_normalized_ones() -> None:
    spans = {"augment": [], "step": []}

    def augment(images, generator):
        spans["augment"].append((float(images.min()), float(images.max())))
        return images + torch.rand(1, generator=generator) * 0

    def step(model, images, labels, epoch):
        spans["step"].append(float(images.mean()))
        return F.cross_entropy(model(images), labels)

    fitted(augment=augment, step=step, normalization=Normalization(scale=255.0, mean=(1000.0, 1000.0, 1000.0)), epochs=1)
    assert all(0 <= low and high <= 1 for low, high in spans["augment"]) and len(spans["augment"]) == 4
    assert all(-1000 < mean < -745 for mean in spans["step"])


def test_two_optimizers_state_and_a_projection() -> None:
    """The way of the gates: a matrix of its own, trained by its own optimizer every other epoch, projected after each step."""
    gates = torch.full((C, 5), 0.5, requires_grad=True)
    model = network()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1), torch.optim.SGD([gates], lr=5.0)]

    def project(*_):
        with torch.no_grad():
            gates.clamp_(0, 1).div_(gates.max(0).values)

    optimizers[1].register_step_post_hook(project)
    moved = []

    def step(model, images, labels, epoch):
        features = model[:6](images)
        return F.cross_entropy(model[6](features * gates[labels] if epoch % 2 else features), labels)

    def note(epoch, model, history):
        moved.append(gates.detach().clone())

    fitted(model, step=step, optimizers=optimizers, state={"gates": gates}, on_epoch=note, epochs=4)
    assert torch.equal(moved[0], torch.ones(C, 5)) and torch.equal(moved[1], moved[2]) and not torch.equal(moved[2], moved[3])
    assert torch.allclose(moved[3].max(0).values, torch.ones(5))


@pytest.mark.parametrize("every, expected", [("epoch", [0.1, 0.05, 0.025]), ("step", [0.1 / 2**4, 0.1 / 2**8, 0.1 / 2**12])])
def test_schedules(every: str, expected: list[float]) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    _, history = fitted(model, optimizers=optimizer, schedule=torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), schedule_every=every)
    assert [rate for (rate,) in history.lr] == pytest.approx(expected)


def test_a_plateau_is_judged_by_the_test_loss(tmp_path: Path) -> None:
    def run(**options):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=100.0, threshold_mode="abs")
        return fitted(model, optimizers=optimizer, schedule=schedule, **options)[1].lr

    assert run(epochs=4) == ((1e-3,), (1e-3,), (5e-4,), (2.5e-4,))
    run(epochs=2, checkpoint=tmp_path / "a.run")
    assert run(epochs=4, checkpoint=tmp_path / "a.run") == ((1e-3,), (1e-3,), (5e-4,), (2.5e-4,))


def test_images_from_data_and_features_train_alike() -> None:
    pixels = torch.randint(0, 256, (N, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(N) % C
    images = data.Images(pixels, labels, list("abcd"), "toy")
    assert same(fitted(train=images)[0], fitted(train=(pixels.float() / 255, labels))[0])
    linear = nn.Linear(5, C).double()
    before = linear.weight.detach().clone()
    features = torch.randn(N, 5) * 10
    training.fit(linear, (features, labels), (features, labels), epochs=1, seed=0)
    assert linear.weight.dtype == torch.float64 and not torch.equal(before, linear.weight)


def test_progress_goes_on_where_a_resumed_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, **options):
            super().__init__(**(options | {"file": io.StringIO(), "disable": False}))
            bars.append(self)

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    fitted(epochs=1, checkpoint=tmp_path / "a.run")
    fitted(epochs=3, checkpoint=tmp_path / "a.run")
    assert [(bar.initial, bar.n, bar.total, bar.desc) for bar in bars] == [(0, 4, 4, "epoch 1/1: "), (4, 12, 12, "epoch 3/3: ")]


# refusals


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step() -> None:
    model, count = network(), []

    def step(model, images, labels, epoch):
        count.append(epoch)
        return F.cross_entropy(model(images), labels) * (float("inf") if len(count) == 7 else 1)

    with pytest.raises(FloatingPointError, match=r"epoch 1 \(counted from 0\), step 2 of 4"):
        fitted(model, step=step)
    assert all(torch.isfinite(value.float()).all() for value in weights(model))


def frozen() -> nn.Sequential:
    model = network()
    model[0].weight.requires_grad_(False)
    return model


class Half:
    """An augmentation that is an object."""

    def __call__(self, images, generator):
        return images / 2


LATER = pair(70)[0]
LATER[55, 1, 2, 3] = 0.5  # one pixel of one image, far from the beginning

OTHER_RUNS = {
    "model's first values": {"model": network(6)},
    "state's first values": {"state": {"gates": torch.ones(2)}},
    "augment: none there, .*Half here": {"augment": Half()},
    "step: .*cross_entropy there, .*lambda.* here": {"step": lambda *given: training.cross_entropy(*given)},
    "frozen: none there, 1 of 6": {"model": frozen()},
    "train: 70 of": {"train": (LATER, torch.arange(70) % C)},
    "seed": {"seed": 9},
    "batch_size": {"batch_size": 7},
    "train": {"train": pair(N, 4)},
    "train: 23 of": {"train": pair(22)},
    "test": {"test": None},
    "train: .*digest": {"normalization": Normalization(mean=0.5)},
    "model's 6.weight": {"model": nn.Sequential(*network()[:6], nn.Linear(5, C + 1))},
    "model": {"model": type("Other", (nn.Sequential,), {})(*network())},
    "state's extra": {"state": {"extra": torch.zeros(2)}},
    "schedule_every": {"schedule_every": "step"},
}


@pytest.mark.parametrize("named", OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path: Path, named: str) -> None:
    first = {"state": {"gates": torch.zeros(2)}} if named == "state's first values" else {}
    first |= {"train": pair(70)} if named == "train: 70 of" else {}
    fitted(epochs=1, checkpoint=tmp_path / "a.run", **first)
    before = (tmp_path / "a.run").read_bytes()
    other = {"epochs": 1} | first | OTHER_RUNS[named]
    model = other.pop("model", None) or network()
    start = weights(model)
    with pytest.raises(training.CheckpointError, match=f"checkpoint: .*another run.*{named}"):
        fitted(model, checkpoint=tmp_path / "a.run", **other)
    assert same(start, weights(model)) and (tmp_path / "a.run").read_bytes() == before


def test_another_optimizer_or_schedule_is_another_run(tmp_path: Path) -> None:
    def run(lr: float, gamma: float) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
        fitted(model, epochs=2, optimizers=optimizer, schedule=schedule, checkpoint=tmp_path / "a.run")

    run(0.1, 0.5)
    run(0.1, 0.5)
    with pytest.raises(training.CheckpointError, match="optimizers: SGD .*'lr': 0.1.* there, .*'lr': 0.2"):
        run(0.2, 0.5)
    with pytest.raises(training.CheckpointError, match="schedule: ExponentialLR"):
        run(0.1, 0.6)


def test_other_parameter_groups_are_another_run_and_leave_the_model_alone(tmp_path: Path) -> None:
    def run(groups) -> tuple[nn.Module, list[torch.Tensor]]:
        model = network()
        start = weights(model)
        optimizer = torch.optim.SGD(groups(model), lr=0.1)
        try:
            fitted(model, epochs=1, optimizers=optimizer, checkpoint=tmp_path / "a.run")
        except training.CheckpointError as error:
            assert "parameter groups: [6], digest" in str(error) and same(start, weights(model))
            raise

    run(lambda model: model.parameters())
    run(lambda model: model.parameters())  # the same groups: resumed
    for groups in (
        lambda model: model[0].parameters(),
        lambda model: [{"params": model[0].parameters()}, {"params": model[1:].parameters()}],
        lambda model: reversed(list(model.parameters())),
        lambda model: [{"params": model.parameters(), "weight_decay": 0.5}],
    ):
        with pytest.raises(training.CheckpointError, match="another run"):
            run(groups)


def test_a_resume_that_fails_half_way_is_undone(tmp_path: Path) -> None:
    """A state whose own loading fails is the last thing that can: the model must not keep what was loaded before it."""

    class Picky:
        def state_dict(self):
            return {"seen": 1}

        def load_state_dict(self, values):
            raise KeyError("seen")

    fitted(epochs=1, state={"picky": Picky()}, checkpoint=tmp_path / "a.run")
    model = network()
    start = weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    with pytest.raises(training.CheckpointError, match="^checkpoint: .*a.run.*cannot be taken up.*seen"):
        fitted(model, epochs=1, optimizers=optimizer, state={"picky": Picky()}, checkpoint=tmp_path / "a.run")
    assert same(start, weights(model)) and not optimizer.state


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "a.run"
    fitted(epochs=1, checkpoint=file)
    raw = bytearray(file.read_bytes())
    if damage == "flipped":
        raw[len(raw) // 2] ^= 1
    file.write_bytes({"cut": raw[:-100], "empty": b"", "flipped": raw, "foreign": b"PK\x03\x04" + raw}[damage])
    model = network()
    start = weights(model)
    with pytest.raises(training.CheckpointError, match=f"checkpoint: .*{file.name}.*delete it"):
        fitted(model, epochs=1, checkpoint=file)
    assert same(start, weights(model))


def test_nothing_in_a_checkpoint_gets_to_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "went off",))

    snapshots.write(tmp_path / "a.run", {"identity": Bomb()})
    with pytest.raises(training.CheckpointError, match="checkpoint: holds something else"):
        snapshots.read(tmp_path / "a.run")
    assert not (tmp_path / "went off").exists()


IMAGES, LABELS = pair()
ELSEWHERE = network(6)
BAD = {
    "model": [({"model": "resnet"}, TypeError), ({"model": nn.Flatten()}, ValueError), ({"model": network()[:3]}, ValueError)],
    "train": [
        ({"train": IMAGES}, TypeError),
        ({"train": (IMAGES,)}, TypeError),
        ({"train": (IMAGES.numpy(), LABELS)}, TypeError),
        ({"train": (IMAGES[0], LABELS)}, ValueError),
        ({"train": (IMAGES * 255, LABELS)}, ValueError),
        ({"train": ((IMAGES * 255).byte(), LABELS)}, TypeError),
        ({"train": (IMAGES * float("nan"), LABELS)}, ValueError),
        ({"train": (IMAGES[:0], LABELS[:0])}, ValueError),
        ({"train": (IMAGES, LABELS[:-1])}, ValueError),
        ({"train": (IMAGES, LABELS.float())}, TypeError),
        ({"train": (IMAGES, LABELS[:, None])}, ValueError),
        ({"train": (IMAGES, LABELS - 1)}, ValueError),
        ({"train": (IMAGES, LABELS + 1)}, ValueError),
        ({"train": (IMAGES[:, :2], LABELS)}, ValueError),
    ],
    "test": [({"test": 5}, TypeError), ({"test": (IMAGES[:, :1], LABELS)}, ValueError), ({"test": (IMAGES, LABELS + C)}, ValueError)],
    "epochs": [({"epochs": 0}, ValueError), ({"epochs": 1.5}, TypeError), ({"epochs": True}, TypeError)],
    "seed": [({"seed": -1}, ValueError), ({"seed": None}, TypeError)],
    "step": [({"step": "loss"}, TypeError)],
    "optimizers": [
        ({"optimizers": "adam"}, TypeError),
        ({"optimizers": [0.1]}, TypeError),
        ({"optimizers": []}, ValueError),
        ({"optimizers": torch.optim.SGD(ELSEWHERE.parameters(), lr=0.1)}, ValueError),
    ],
    "schedule": [
        ({"schedule": "cosine"}, TypeError),
        ({"schedule": torch.optim.lr_scheduler.ConstantLR(torch.optim.SGD(ELSEWHERE.parameters(), lr=0.1))}, ValueError),
    ],
    "schedule_every": [({"schedule_every": "batch"}, ValueError), ({"schedule_every": 2}, TypeError)],
    "augment": [({"augment": 3}, TypeError)],
    "batch_size": [({"batch_size": 0}, ValueError), ({"batch_size": 2.0}, TypeError)],
    "on_epoch": [({"on_epoch": "print"}, TypeError)],
    "state": [
        ({"state": [1]}, TypeError),
        ({"state": {1: IMAGES}}, TypeError),
        ({"state": {"gates": 0.5}}, TypeError),
    ],
    "device": [({"device": "abacus"}, ValueError), ({"device": 3.5}, ValueError)],
    "checkpoint": [({"checkpoint": 3}, TypeError), ({"checkpoint": "."}, ValueError), ({"checkpoint": ""}, TypeError)],
    "checkpoint_every": [({"checkpoint_every": 0}, ValueError), ({"checkpoint_every": "1"}, TypeError)],
    "normalization": [({"normalization": 0.5}, TypeError)],
}


@pytest.mark.bad_input
@pytest.mark.parametrize("name, options, error", [(name, *case) for name, cases in BAD.items() for case in cases])
def test_bad_input_of_fit(name: str, options: dict, error: type[Exception]) -> None:
    model = options.get("model", network())
    start = weights(model) if isinstance(model, nn.Module) else []
    with pytest.raises(error, match=f"^{name}"):
        fitted(**({"model": model} | options))
    assert not isinstance(model, nn.Module) or same(start, weights(model))


@pytest.mark.bad_input
def test_an_optimizer_that_evaluates_the_loss_itself_is_refused() -> None:
    model = network()
    with pytest.raises(ValueError, match="^optimizers: got LBFGS, .*closure"):
        fitted(model, optimizers=torch.optim.LBFGS(model.parameters()))


@pytest.mark.bad_input
def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments):
        raise AssertionError("training has begun")

    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="^checkpoint: got .*a.run"):
        fitted(step=never, checkpoint=tmp_path / "file" / "a.run")
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: (_ for _ in ()).throw(PermissionError("read-only")))
    with pytest.raises(ValueError, match="^checkpoint: got .*a.run.*read-only"):
        fitted(step=never, checkpoint=tmp_path / "a.run")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16])
def test_labels_of_any_integer_dtype(dtype: torch.dtype, tmp_path: Path) -> None:
    expected, history = fitted()
    (images, labels), (others, other_labels) = pair(), pair(11, 1)
    given = {"train": (images, labels.to(dtype)), "test": (others, other_labels.to(dtype))}
    found, found_history = fitted(**given, checkpoint=tmp_path / "a.run")
    assert same(expected, found) and found_history.test_accuracy == history.test_accuracy
    model = network()
    assert training.evaluate(model, given["test"]) == training.evaluate(model, (others, other_labels))

    class Rows(batching.Pair):  # images of another library, whose labels nobody has converted
        pass

    assert same(expected, fitted(train=Rows(*given["train"]), test=Rows(*given["test"]))[0])


def flat() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, 5), nn.BatchNorm1d(5), nn.Linear(5, C))


def test_batch_normalisation_never_gets_a_single_last_image(tmp_path: Path) -> None:
    sizes: list[int] = []

    def step(model, images, labels, epoch):
        sizes.append(len(images))
        if len(sizes) == 6 and stop:
            raise KeyboardInterrupt
        return training.cross_entropy(model, images, labels, epoch)

    run, stop = {"train": pair(19), "step": step, "epochs": 2}, False
    whole, history = fitted(flat(), **run)
    assert sizes == [6, 6, 7] * 2 and history.train_loss[0] > 0
    sizes, stop = [], True
    with pytest.raises(KeyboardInterrupt):
        fitted(flat(), **run, checkpoint=tmp_path / "a.run", checkpoint_every=1)
    sizes, stop = [], False
    assert same(whole, fitted(flat(), **run, checkpoint=tmp_path / "a.run", checkpoint_every=1)[0]) and sizes == [7]
    sizes = []
    fitted(nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, C)), **run | {"epochs": 1})
    assert sizes == [6, 6, 6, 1]  # nobody minds without batch normalisation
    sizes = []
    fitted(network(), **run | {"epochs": 1, "batch_size": 1})
    assert sizes == [1] * 19


def test_a_model_without_logits_trains_with_a_step_of_its_own() -> None:
    model = nn.Conv2d(3, 3, 3, padding=1)
    before = weights(model)
    history = training.fit(model, pair(), None, epochs=2, seed=0, step=lambda m, x, y, e: F.mse_loss(m(x), x))
    assert history.train_loss[1] < history.train_loss[0] and not same(before, weights(model))
    pieces = nn.ModuleDict({"encoder": nn.Linear(189, 2), "decoder": nn.Linear(2, 189)})  # has no forward at all
    step = lambda m, x, y, e: F.mse_loss(m["decoder"](m["encoder"](x.flatten(1))), x.flatten(1))  # noqa: E731
    assert len(training.fit(pieces, pair(), None, epochs=1, seed=0, step=step)) == 1
    with pytest.raises(ValueError, match="^model: gives .*logits.*test=None"):
        training.fit(model, pair(), pair(), epochs=1, seed=0, step=lambda m, x, y, e: F.mse_loss(m(x), x))


def test_the_whole_model_is_trained_in_train_mode() -> None:
    model = network()
    model[1].eval()
    mean = model[1].running_mean.clone()
    fitted(model, epochs=1)
    assert not torch.equal(mean, model[1].running_mean) and not model[1].training


@pytest.mark.bad_input
def test_a_state_that_no_checkpoint_can_keep_is_refused_before_training(tmp_path: Path) -> None:
    class Odd:
        def state_dict(self):
            return {"path": Path("x")}

        def load_state_dict(self, values):
            raise AssertionError

    with pytest.raises(TypeError, match="^state"):
        fitted(state={"odd": Odd()}, checkpoint=tmp_path / "a.run")
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "name, options, error",
    [
        ("model", {"model": 1}, TypeError),
        ("images", {"images": IMAGES}, TypeError),
        ("images", {"images": (IMAGES[:, :2], LABELS)}, ValueError),
        ("images", {"images": (IMAGES, LABELS + 1)}, ValueError),
        ("batch_size", {"batch_size": 0}, ValueError),
        ("normalization", {"normalization": "mean"}, TypeError),
    ],
)
def test_bad_input_of_evaluate(name: str, options: dict, error: type[Exception]) -> None:
    settings = {"model": network(), "images": (IMAGES, LABELS)} | options
    with pytest.raises(error, match=f"^{name}"):
        training.evaluate(settings.pop("model"), settings.pop("images"), **settings)


@pytest.mark.parametrize("loss", [3.0, torch.ones(2, requires_grad=True), torch.tensor(1.0)])
def test_a_step_that_returns_no_loss_is_named(loss: object) -> None:
    with pytest.raises(TypeError, match="^step: returned"):
        fitted(step=lambda *_: loss)


class Unpacked:
    """Images that are only handed out in batches, as those of a folder are."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        self.kept, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows):
        return Unpacked(self.kept[rows], self.labels[rows])

    def batches(self, size: int):
        return zip(self.kept.float().div(255).split(size), self.labels.split(size), strict=True)


def test_the_fingerprint_sees_labels_order_and_normalization() -> None:
    images, labels = pair(40)
    plain = batching.fingerprint(batching.Pair(images, labels), batching.normalize(None))
    assert plain == batching.fingerprint(batching.Pair(images.clone(), labels.int()), batching.normalize(None))
    others = [(images.flip(0), labels), (images, labels.flip(0)), (images.flip(3), labels)]
    assert plain not in [batching.fingerprint(batching.Pair(*other), batching.normalize(None)) for other in others]
    pixels = (images * 255).byte()
    late = pixels.clone()
    late[39, 2, 8, 6] += 1
    for wrap in (lambda x: data.Images(x, labels, list("abcd"), "toy"), lambda x: Unpacked(x, labels)):
        seen = [batching.fingerprint(wrap(x), batching.normalize(None)) for x in (pixels, pixels.clone(), late)]
        assert seen[0] == seen[1] != seen[2]
    assert loop.History() == training.History()
