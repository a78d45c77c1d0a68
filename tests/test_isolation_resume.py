"""A run of isolate that is killed and taken up again ends as one that never stopped; another run's file is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filterlens.lenses.isolation import isolate, solve
from filterlens.training import CheckpointError

STOP = 61  # steps; the file is of the fiftieth


class Killed(Exception):
    pass


def toy() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 2), nn.ReLU())


IMAGES = torch.rand(3, 2, 9, 8, generator=torch.Generator().manual_seed(4))
FIELDS = ("images", "loss", "best", "terms", "iterations", "converged", "diverged", "maps_after")


def same(ours, theirs) -> bool:
    """To the last bit, inactive kernels' NaN included."""
    return all(torch.equal(getattr(ours, name).nan_to_num(7), getattr(theirs, name).nan_to_num(7)) for name in FIELDS)


def run(**options) -> object:
    settings = {"beta": 0.1, "max_iter": 130, "on_inactive": "skip"} | options
    return isolate(toy(), "2", [3, 1], IMAGES, **settings)


def kill_at(monkeypatch, step: int) -> None:
    """Die when the optimizer has made so many steps, all batches counted."""
    real, count = solve._evaluate, [0]

    def evaluate(*arguments):
        count[0] += 1
        if count[0] > step:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(solve, "_evaluate", evaluate)


@pytest.mark.parametrize("optimizer", ["proximal", "adam", "descent", "momentum"])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, monkeypatch, optimizer):
    options = {"optimizer": optimizer} | ({"lr": 300.0} if optimizer in ("descent", "momentum") else {})
    whole, file = run(**options), tmp_path / "deep" / "run.ckpt"
    n_killed = 0
    while True:
        with monkeypatch.context() as patch:
            kill_at(patch, STOP)
            try:
                resumed = run(**options, checkpoint=file)
                break
            except Killed:
                n_killed += 1
    assert n_killed >= 2 and same(resumed, whole)


def test_batches_that_are_done_are_not_solved_again(tmp_path, monkeypatch):
    file = tmp_path / "run.ckpt"
    small = {"max_bytes": 1, "max_iter": 70}  # one problem at a time
    whole = run(**small)
    with monkeypatch.context() as patch:
        kill_at(patch, 71 * 3 + 10)  # in the fourth of six problems
        with pytest.raises(Killed):
            run(**small, checkpoint=file)
    with monkeypatch.context() as patch:
        kill_at(patch, 71 * 3)
        resumed = run(**small, checkpoint=file)  # would die in the fourth if it began anew
    assert same(resumed, whole)
    with monkeypatch.context() as patch:
        kill_at(patch, 0)
        again = run(**small, checkpoint=file)
    assert same(again, whole)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"beta": 0.2}, "weights"), ({"max_iter": 60}, "max_iter"), ({"optimizer": "adam"}, "optimizer"), ({"lr": 0.01}, "lr"),
        ({"start": "zeros"}, "start"), ({"balance": "printed"}, "balance"), ({"clamp": (0.0, 1.0)}, "clamp"), ({"max_bytes": 1}, "batch"),
    ],
)  # fmt: skip
@pytest.mark.bad_input
def test_another_runs_file_is_refused_and_says_why(tmp_path, other, named):
    file = tmp_path / "run.ckpt"
    run(max_iter=55, checkpoint=file)
    with pytest.raises(CheckpointError, match=f"checkpoint.*{named}"):
        run(**{"max_iter": 55, **other}, checkpoint=file)


@pytest.mark.bad_input
def test_another_network_other_images_and_kernels_are_refused(tmp_path):
    file = tmp_path / "run.ckpt"
    run(max_iter=55, checkpoint=file)
    options = {"beta": 0.1, "max_iter": 55, "on_inactive": "skip", "checkpoint": file}
    changed = toy()
    changed[0].weight.data[0, 0, 0, 0] += 1
    for said, arguments in {
        "model's values": (changed, "2", [3, 1], IMAGES), "images": (toy(), "2", [3, 1], IMAGES + 1),
        "kernels": (toy(), "2", [1, 3], IMAGES), "layer": (toy(), "0", [3, 1], IMAGES),
    }.items():  # fmt: skip
        with pytest.raises(CheckpointError, match=f"checkpoint.*{said}"):
            isolate(*arguments, **options)


@pytest.mark.bad_input
def test_a_damaged_file_and_no_path_are_refused(tmp_path):
    file = tmp_path / "run.ckpt"
    run(max_iter=55, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match="checkpoint"):
        run(max_iter=55, checkpoint=file)
    for wrong in (3, "", True, ["a"]):
        with pytest.raises(TypeError, match="checkpoint"):
            run(checkpoint=wrong)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="checkpoint"):
        run(checkpoint=tmp_path / "file" / "run.ckpt")
