"""A streamed study: the same numbers as in memory, little held, killed and resumed to the same bits; wrong arguments refused.

Run as a script, this file is killed on purpose: ``python test_influence_study.py FOLDER`` prints one line of JSON.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from filterlens import metrics, network, training
from filterlens.lenses.influence import Study, decompose, find_influential, study
from filterlens.models.checkpoints import CheckpointError
from filterlens.models.scaling import Normalization

C, D, EVERY = 4, 7, 2


def toy(seed: int = 0) -> nn.Module:
    """A SiLU network: some pooled features are negative."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, D, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(D, C))


class Drawn:
    """Images that are made when they are asked for, row by row of a seed; ``on_batch`` is told of every batch handed out."""

    def __init__(self, n: int, seed: int, on_batch=None, rows: range | None = None, shape: tuple[int, ...] = (2, 6, 5)) -> None:
        self.n, self.seed, self.on_batch, self.shape = n, seed, on_batch, shape
        self.rows = range(n) if rows is None else rows
        self.labels = torch.tensor(self.rows) % C

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | Tensor) -> Drawn:
        picked = self.rows[rows] if isinstance(rows, slice) else [self.rows[row] for row in rows.tolist()]
        return Drawn(self.n, self.seed, self.on_batch, picked, self.shape)

    def batches(self, size: int):
        for at in range(0, len(self), size):
            images = torch.empty(len(self.rows[at : at + size]), *self.shape)
            for image, row in zip(images, self.rows[at : at + size], strict=True):
                image.uniform_(generator=torch.Generator().manual_seed(self.seed * 10**6 + row))
                image[row % C % 2, : row % C + 1] *= 0.3  # something to see
            if self.on_batch is not None:
                self.on_batch(images)
            yield images, self.labels[at : at + size]


def run(on_batch=None, n: int = 45, **options) -> Study:
    settings = {
        "r": 2,
        "s": 3,
        "batch_size": 5,
        "checkpoint_every": EVERY,
        "signed": True,
        "normalization": Normalization(mean=(0.4, 0.6), std=(0.2, 0.3)),
    }
    return study(toy(), Drawn(n, 1, on_batch), Drawn(33, 2, on_batch), **{**settings, **options})


def told(found: Study) -> str:
    """Everything a study says, to the last bit."""
    tensors = [
        (k, v.double().tolist())
        for one in (found.influential, found.influential_signed)
        for k, v in vars(one).items()
        if isinstance(v, Tensor)
    ]
    return repr([tensors, {k: v for k, v in vars(found).items() if not k.startswith("influential")}])


@pytest.fixture(scope="module")
def whole() -> Study:
    return run()


def test_the_same_numbers_as_in_memory(whole):
    model, scaling = toy(), Normalization(mean=(0.4, 0.6), std=(0.2, 0.3))
    features, labels = network.pooled(model, Drawn(45, 1).batches(5), normalization=scaling)
    unseen, truth = network.pooled(model, Drawn(33, 2).batches(5), normalization=scaling)
    head = model[-1].requires_grad_(False)
    assert bool((features < 0).any())
    for signed, found, accuracy in (
        (False, whole.influential, whole.decomposed),
        (True, whole.influential_signed, whole.decomposed_signed),
    ):
        expected = find_influential(features, labels, C, r=2, s=3, signed=signed)
        assert all(torch.equal(getattr(found, name), getattr(expected, name)) for name in ("order", "counts", "mass", "n_images"))
        assert accuracy == metrics.accuracy(decompose(head, expected.indices)(unseen), truth)
    assert whole.full == metrics.accuracy(head(unseen), truth) and whole.eta == whole.decomposed / whole.full
    weights = find_influential(features, labels, C, s=3, rule="weight", linear=head).indices
    assert whole.decomposed_weights == metrics.accuracy(decompose(head, weights)(unseen), truth)
    assert whole.agreement == metrics.top1_agreement(head(unseen), decompose(head, whole.influential.indices)(unseen))
    assert (whole.d, whole.n_classes, whole.r, whole.s, whole.n_train, whole.n_test) == (D, C, 2, 3, 45, 33)


def test_pairs_of_tensors_other_batches_and_one_ranking_only(whole):
    train, test = (next(Drawn(n, seed).batches(n)) for n, seed in ((45, 1), (33, 2)))
    found = study(toy(), train, test, r=2, s=3, batch_size=11, normalization=Normalization(mean=(0.4, 0.6), std=(0.2, 0.3)))
    assert found.influential_signed is None and found.decomposed_signed is None
    assert torch.equal(found.influential.counts, whole.influential.counts) and torch.allclose(
        found.influential.mass, whole.influential.mass
    )
    assert (found.full, found.decomposed, found.agreement) == (whole.full, whole.decomposed, whole.agreement)


def test_all_features_of_each_class_are_the_full_layer():
    found = run(s=D)
    assert found.decomposed == found.full == found.decomposed_weights and found.agreement == 1 and found.eta == 1


def test_the_model_is_left_as_it_was_and_runs_in_eval_mode():
    model = toy().train()
    model[0].eval()
    modes, values = [m.training for m in model.modules()], [v.clone() for v in model.state_dict().values()]
    seen = []
    handle = model[4].register_forward_hook(lambda module, args, output: seen.append(module.training))
    study(model, Drawn(10, 1), Drawn(9, 2), r=2, s=3)
    handle.remove()
    assert seen and not any(seen) and [m.training for m in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(values, model.state_dict().values(), strict=True))
    assert not any(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_at_most_two_batches_are_held_at_any_time(monkeypatch):
    """Of 1,200 images, batch by batch: earlier batches and their features are gone when the next one comes."""
    alive: list[weakref.ref] = []
    most = [0]

    def follow(tensor: Tensor) -> None:
        alive[:] = [ref for ref in alive if ref() is not None]
        alive.append(weakref.ref(tensor))
        most[0] = max(most[0], len(alive))

    model, features = toy(), [0]

    def reached(module, inputs):
        follow(inputs[0])
        features[0] += len(inputs[0])

    handle = model[-1].register_forward_pre_hook(reached)
    study(model, Drawn(800, 1, follow), Drawn(400, 2, follow), r=2, s=3, batch_size=20)
    handle.remove()
    assert features[0] >= 1200 and most[0] <= 4  # images and features of the batch in work and of the one before


def test_a_class_without_training_images():
    train = Drawn(40, 1)
    train = train[torch.arange(40)[train.labels != 2]]
    with pytest.warns(UserWarning, match="no image votes for class 2"):
        found = study(toy(), train, Drawn(33, 2), r=2, s=3)
    assert torch.equal(found.influential.indices[2], toy()[-1].weight[2].argsort(descending=True)[:3])


# interruptions


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 4, 9, 11, 15])
def test_interrupted_anywhere_and_resumed_to_the_same_bits(tmp_path, whole, stop_after):
    """9 batches of train, 7 of test; a snapshot every second one."""
    path, seen = tmp_path / "study.run", [0]

    def count(images: Tensor) -> None:
        if len(images) > 1 and images.shape[0] <= 5:  # neither the example nor the fingerprint
            seen[0] += 1
            if seen[0] > stop_after:
                raise Interrupted

    with pytest.raises(Interrupted):
        run(count, checkpoint=path)
    done, seen[0], stop_after = stop_after, 0, math.inf
    assert told(run(count, checkpoint=path)) == told(whole)
    kept = done - done % EVERY if done < 9 else 9 + (done - 9) // EVERY * EVERY
    assert seen[0] == 16 - kept
    seen[0] = 0
    assert told(run(count, checkpoint=path)) == told(whole) and seen[0] == 0  # a finished study reads its numbers
    assert sorted(tmp_path.iterdir()) == [path]


def test_killed_and_resumed_in_other_processes(tmp_path, whole):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, timeout=900, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["signals"] == [signal.SIGKILL] * 3 and found["codes"] == [0] and found["told"] == told(whole)
    assert 16 <= found["batches"] <= 16 + 3 * (EVERY - 1)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"r": 3}, "r: 2 there, 3 here"), ({"s": 2}, "s: 3 there, 2 here"), ({"batch_size": 6}, "batch_size: 5 there, 6 here"),
        ({"signed": False}, "signed: True there, False here"), ({"n": 44}, "train: 45 of"), ({"normalization": None}, "train: 45 of"),
    ],
)  # fmt: skip
def test_another_runs_checkpoint_is_refused(tmp_path, options, what):
    path = tmp_path / "study.run"
    run(checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=what):
        run(checkpoint=path, **options)
    assert path.read_bytes() == before


def test_another_models_a_training_runs_and_a_damaged_checkpoint_are_refused(tmp_path):
    path, images = tmp_path / "study.run", (Drawn(10, 1), Drawn(9, 2))
    study(toy(), *images, r=2, s=3, checkpoint=path)
    with pytest.raises(CheckpointError, match="model's values: digest"):
        study(toy(1), *images, r=2, s=3, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="damaged"):
        study(toy(), *images, r=2, s=3, checkpoint=path)
    training.fit(toy(), Drawn(10, 1), None, epochs=1, seed=0, checkpoint=tmp_path / "training.run")
    with pytest.raises(CheckpointError, match="is a training run"):
        study(toy(), *images, r=2, s=3, checkpoint=tmp_path / "training.run")


# bad input

NAN = float("nan")
PAIR = next(Drawn(8, 1).batches(8))
GOOD = {
    "model": toy(),
    "train": PAIR,
    "test": PAIR,
    "r": 2,
    "s": 3,
    "normalization": None,
    "batch_size": 4,
    "checkpoint": None,
    "checkpoint_every": 3,
    "signed": False,
}
vgg = nn.Sequential(nn.Conv2d(2, D, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(D, 5), nn.ReLU(), nn.Linear(5, C))
flat = nn.Sequential(nn.Conv2d(2, D, 3), nn.ReLU(), nn.Flatten(), nn.Linear(D * 12, C))
T, V = TypeError, ValueError
count = [
    ("zero", 0, V),
    ("negative", -1, V),
    ("a fraction", 2.5, T),
    ("NaN", NAN, T),
    ("text", "2", T),
    ("a boolean", True, T),
    ("nothing", None, T),
]
images = [
    ("nothing", None, T), ("a name", "cifar10", T), ("images alone", PAIR[0], T), ("rank 3", (PAIR[0][0], PAIR[1]), V), ("fewer labels", (PAIR[0], PAIR[1][1:]), V),
    ("labels above", (PAIR[0], PAIR[1] + 1), V), ("labels below", (PAIR[0], PAIR[1] - 1), V), ("float labels", (PAIR[0], PAIR[1].float()), T), ("bytes", (PAIR[0].byte(), PAIR[1]), T),
    ("empty", (PAIR[0][:0], PAIR[1][:0]), V), ("NaN", (PAIR[0] * NAN, PAIR[1]), V), ("0 to 255", (PAIR[0] * 255, PAIR[1]), V),
    ("other channels", (PAIR[0][:, :1], PAIR[1]), V),
]  # fmt: skip
BAD = {
    "model": [("nothing", None, T), ("a name", "resnet20", T), ("a VGG's head", vgg, V), ("a flattened map", flat, V), ("no convolution", nn.Sequential(nn.Flatten(), nn.Linear(60, C)), V)],
    "train": images,
    "test": images,
    "r": [*count, ("above the width", D + 1, V)],
    "s": [*count, ("above the width", D + 1, V)],
    "normalization": [("text", "imagenet", T), ("a function", torch.relu, T)],
    "batch_size": count,
    "checkpoint": [("a number", 3, T), ("empty", "", T), ("a folder", ".", V), ("under a file", __file__ + "/study.run", V)],
    "checkpoint_every": count,
    "signed": [("a number", 1, T), ("nothing", None, T), ("text", "yes", T)],
}  # fmt: skip


def test_every_argument_is_tried():
    study(**GOOD)
    assert set(BAD) == set(GOOD)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "value", "error"), [pytest.param(name, *case[1:], id=f"{name}-{case[0]}") for name, cases in BAD.items() for case in cases]
)
def test_bad_input_is_refused_before_the_pass_by_the_name_of_the_argument(argument, value, error):
    passes, model = [], value if argument == "model" else GOOD["model"]
    handle = model.register_forward_hook(lambda module, args, output: passes.append(len(output))) if isinstance(model, nn.Module) else None
    with pytest.raises(error, match=rf"^{argument}\b"):
        study(**{**GOOD, argument: value})
    if handle is not None:
        handle.remove()
        assert all(size == 1 for size in passes)  # one image, to judge the head


def killed(folder: Path) -> dict:
    """Three children killed in the midst of a batch, one that finishes; each goes on where the last snapshot stands."""
    import tqdm.auto  # noqa: F401

    torch.set_num_threads(1)
    tally = folder / "batches"

    def child(die_at: int | None) -> int:
        pid = os.fork()
        if pid:
            return os.waitpid(pid, 0)[1]
        seen = [0]

        def on_batch(images: Tensor) -> None:
            if 1 < len(images) <= 5:
                seen[0] += 1
                if seen[0] == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                with open(tally, "ab") as file:
                    file.write(b".")

        code = 1
        try:
            (folder / "told").write_text(told(run(on_batch, checkpoint=folder / "study.run")))
            code = 0
        finally:
            os._exit(code)

    ends = [child(die_at) for die_at in (4, 5, 6, None)]
    return {
        "signals": [os.WTERMSIG(end) for end in ends if os.WIFSIGNALED(end)],
        "codes": [os.WEXITSTATUS(end) for end in ends if os.WIFEXITED(end)],
        "batches": tally.stat().st_size,
        "told": (folder / "told").read_text(),
    }


if __name__ == "__main__":
    print(json.dumps(killed(Path(sys.argv[1]))))
