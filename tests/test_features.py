"""Pooled features on disk: what is kept is what the network gives, interrupted or not, and nothing else is taken for it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_process import killed

from filterlens import data, decomposed, features, metrics, models, network
from filterlens.lenses import influence
from filterlens.models import CheckpointError, checkpoints
from filterlens.training import snapshots

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """34 training and 23 test images of 3 x 32 x 32 in ten classes, and the weights of a ResNet-20 that are nobody else's."""
    draw, place = np.random.default_rng(0), tmp_path_factory.mktemp("toy")
    arrays = {}
    for split, n in (("train", 34), ("test", 23)):
        arrays |= {f"x_{split}": draw.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), f"y_{split}": np.arange(n) * 7 % 10}
    np.savez(place / "toy.npz", **arrays)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = models.load("resnet20", pretrained=False)
    about = {"command": "none", "seed": 1, "epochs": 0, "data": "none", "accuracy": 0.1}
    return f"npz:{place / 'toy.npz'}", models.save_checkpoint(place / "mine.safetensors", model, normalization=models.IMAGENET, about=about)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Batches and blocks that do not divide the images, and a project and a cache of its own."""
    monkeypatch.setattr(features, "BATCH", 3)
    monkeypatch.setattr(features, "BLOCK", 9)
    monkeypatch.setattr(features, "folder", lambda: tmp_path / "features")
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "checkpoints")
    monkeypatch.setattr(features, "cache", lambda: tmp_path / "cache")


def test_what_is_kept_is_what_the_network_gives(toy: tuple[str, Path], tmp_path: Path) -> None:
    name, weights = toy
    made = features.make("resnet20", pretrained=weights, data=name, out="mine", checkpoint=True)
    model, normalization = models.load("resnet20", pretrained=weights), models.normalization("resnet20", pretrained=weights)
    images = {split: data.load(name, split) for split in ("train", "test")}
    seen = {split: network.pooled(model, images[split].batches(50), normalization=normalization)[0] for split in images}
    kept = features.load("mine")
    for split, own in images.items():
        torch.testing.assert_close(getattr(kept, split)[0], seen[split].half().float(), atol=2e-3, rtol=2e-3)
        assert torch.equal(getattr(kept, split)[1], own.labels)
        assert getattr(kept, split)[0].dtype == torch.float32 and torch.equal(getattr(kept, split)[0], getattr(made, split)[0])
    exact = influence.count_ranks(seen["train"], images["train"].labels, 10)
    assert int((kept.ranks.ranks - exact.ranks).abs().sum()) <= 4  # another layout in memory: the last bits may swap a pair
    assert torch.equal(kept.ranks.n_images, exact.n_images) and torch.allclose(kept.ranks.mass, exact.mass, atol=1e-6)
    stats = influence.feature_stats(seen["train"])
    assert torch.allclose(kept.stats.mean, stats.mean, atol=1e-5) and torch.allclose(kept.stats.std, stats.std, atol=1e-5)
    assert torch.equal(kept.linear.weight, model.linear.weight) and not kept.linear.weight.requires_grad
    assert kept.classes == [str(label) for label in range(10)]
    assert features.names() == ["mine"] and kept.path == tmp_path / "features" / "mine.safetensors"
    assert not list((tmp_path / "cache" / "features").iterdir()), "the finished file stands elsewhere"


def test_the_story_states_both_accuracies_and_the_command(toy: tuple[str, Path], tmp_path: Path) -> None:
    name, weights = toy
    made = features.make("resnet20", pretrained=weights, data=name, train_features=False, out=tmp_path / "sum.safetensors")
    about = json.loads((tmp_path / "sum.json").read_text())
    assert (
        about["command"] == f"filterlens features resnet20 --pretrained {weights} --data {name} --summary --out {tmp_path}/sum.safetensors"
    )
    assert (about["n_train"], about["n_test"], about["d"], about["network"]) == (34, 23, 64, "resnet20")
    assert about["accuracy_half_precision"] == metrics.accuracy(made.linear(made.test[0]), made.test[1])
    whole = models.load("resnet20", pretrained=weights)
    logits = whole(models.normalization("resnet20", pretrained=weights).apply(data.load(name).images))
    assert about["accuracy"] == metrics.accuracy(logits.detach(), made.test[1])
    assert "34 training and 23 test images" in about["data"] and about["sha256"] == checkpoints.sha256(tmp_path / "sum.safetensors")
    assert made.train is None and features.load(tmp_path / "sum.safetensors").train is None


def test_a_summary_of_cifar10_stays_small() -> None:
    """10,000 x 64 in half precision and ranks in 16 bits, as the shipped ones."""
    stored = checkpoints.read(Path(features.__file__).parents[2] / "data" / "features" / "resnet20-public.safetensors")[0]
    assert stored["test_features"].dtype == torch.float16 and stored["ranks"].dtype == torch.int16
    assert stored["test_labels"].dtype == torch.uint8 and sum(value.nbytes for value in stored.values()) < 1.45e6


def test_default_names_say_what_differs() -> None:
    assert features.default_name("resnet20") == "resnet20" and features.default_name("resnet32", "public") == "resnet32-public"
    assert features.default_name("resnet20", "some/where/mine.safetensors") == "resnet20-from-mine"
    assert features.default_name("resnet32", "some/resnet20.safetensors") == "resnet32-from-resnet20"
    assert features.default_name("resnet20", Path("some/public.safetensors")) == "resnet20-from-public"
    assert features.default_name("timm/resnet18", True, "folder:pictures/own") == "timm-resnet18-folder-pictures-own"


def test_out_none_writes_nothing(toy: tuple[str, Path], tmp_path: Path) -> None:
    made = features.make("resnet20", pretrained=toy[1], data=toy[0], out=None)
    assert made.path is None and made.test[0].shape == (23, 64) and not list(tmp_path.iterdir())


def _twin(weights: Path, place: Path) -> Path:
    """The same network under another name, with weights that differ in one number."""
    tensors, about = checkpoints.read(weights)
    tensors["linear.bias"][0] += 1
    return checkpoints.save(place, tensors, about)


def test_what_ships_is_only_replaced_by_features_of_the_same_weights(toy: tuple[str, Path], tmp_path: Path, monkeypatch) -> None:
    name, weights = toy
    features.make("resnet20", pretrained=weights, data=name, out="ours")
    before = (tmp_path / "features" / "ours.safetensors").read_bytes()
    features.make("resnet20", pretrained=weights, data=name, out="ours", train_features=False)  # a summary of the same
    again = (tmp_path / "features" / "ours.safetensors").read_bytes()
    assert len(again) < len(before)
    other = _twin(weights, tmp_path / "twin.safetensors")
    features.make("resnet20", pretrained=other, data=name, out=tmp_path / "ours.safetensors")  # elsewhere one may do as one likes
    monkeypatch.setattr(network, "pooled", lambda *given, **options: pytest.fail("the network was run"))
    for out in ("ours", tmp_path / "features" / "ours.safetensors"):
        with pytest.raises(ValueError, match=r"^out: got 'ours', whose features were made by 'filterlens features resnet20 .*another name"):
            features.make("resnet20", pretrained=other, data=name, out=out)
    assert (tmp_path / "features" / "ours.safetensors").read_bytes() == again


def test_every_block_is_written_once(toy: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = snapshots.write, []
    monkeypatch.setattr(snapshots, "write", lambda path, contents: written.append(len(contents["features"])) or real(path, contents))
    features.make("resnet20", pretrained=toy[1], data=toy[0], out=None, checkpoint=tmp_path / "far")
    assert written == [9, 9, 9, 7, 9, 9, 5] and len(list((tmp_path / "far").iterdir())) == 7


def test_features_of_a_decomposed_network_come_with_its_layer_as_a_dense_one(toy: tuple[str, Path], tmp_path: Path) -> None:
    name, weights = toy
    plain = models.load("resnet20", pretrained=weights)
    indices = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(label))[:5] for label in range(10)])
    model = influence.decompose_model(plain, indices)
    about = {"command": "none", "seed": 0, "epochs": 1, "data": "none", "accuracy": 0.1}
    models.save_checkpoint("resnet20-decomposed", model, normalization=models.IMAGENET, about=about)
    again = decomposed.load("resnet20-decomposed")
    images = models.IMAGENET.apply(data.load(name).images)
    with torch.no_grad():
        assert torch.equal(again(images), model.eval()(images))
        made = features.make("resnet20-decomposed", data=name, train_features=False, out="resnet20-decomposed")
        torch.testing.assert_close(made.linear(made.test[0]), model(images), atol=5e-2, rtol=1e-2)
    assert ((made.linear.weight != 0).sum(1) == 5).all() and features.names() == ["resnet20-decomposed"]


@pytest.mark.parametrize("blocks", [2, 5])
def test_a_killed_run_goes_on_to_the_same_file(toy: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Killed in the training images (4 blocks of them) and in the test images."""
    common = {"pretrained": toy[1], "data": toy[0]}
    never = {"out": tmp_path / "never.safetensors", "checkpoint": tmp_path / "far.run"}
    assert killed(blocks, lambda: features.make("resnet20", **never, **common)) == signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far.run"]
    whole = features.make("resnet20", out=tmp_path / "whole.safetensors", **common)
    real, blocks_run = network.pooled, []
    monkeypatch.setattr(network, "pooled", lambda *given, **options: blocks_run.append(1) or real(*given, **options))
    resumed = features.make("resnet20", out=tmp_path / "resumed.safetensors", checkpoint=tmp_path / "far.run", **common)
    assert len(blocks_run) == 7 - blocks
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "resumed.safetensors").read_bytes()
    assert torch.equal(whole.ranks.ranks, resumed.ranks.ranks)


def test_another_runs_progress_is_refused(toy: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, weights = toy
    far = tmp_path / "far.run"
    features.make("resnet20", pretrained=weights, data=name, out=None, checkpoint=far)
    with monkeypatch.context() as changed, pytest.raises(CheckpointError, match="belongs to another run .batch: 3 there, 4 here"):
        changed.setattr(features, "BATCH", 4)
        features.make("resnet20", pretrained=weights, data=name, out=None, checkpoint=far)
    block = far / "test-18.run"
    block.write_bytes(block.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="test-18.run is damaged"):
        features.make("resnet20", pretrained=weights, data=name, out=None, checkpoint=far)


@pytest.fixture(scope="module")
def kept(toy: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kept") / "mine.safetensors"
    features.make("resnet20", pretrained=toy[1], data=toy[0], out=place, train_features=False)
    return place


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", ["bytes", "cut", "no story", "other story", "other tensors", "gone"])
def test_damaged_features_are_refused(kept: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "features" / "mine.safetensors"
    path.parent.mkdir()
    raw, story = kept.read_bytes(), kept.with_suffix(".json").read_text()
    path.write_bytes(raw[:5000] + b"?" + raw[5001:] if damage == "bytes" else raw[:-1] if damage == "cut" else raw)
    path.with_suffix(".json").write_text(story.replace('"sha256": "', '"sha256": "0') if damage == "other story" else story)
    said = "damaged or another file"
    if damage == "no story":
        path.with_suffix(".json").unlink()
        said = "mine.json is missing"
    if damage == "other tensors":
        checkpoints.save(path, {"weight": torch.ones(3)}, {})
        said = "holds no pooled features: .'test_features'"
    if damage == "gone":
        path.unlink()
        said = "^name: got 'mine', expected one of .*filterlens features"
    with pytest.raises(CheckpointError, match=said):
        features.load("mine")


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "error"), [(5, TypeError), ("", TypeError), (None, TypeError), ("resnet21", features.FeaturesError)])
def test_load_refuses_what_is_no_name_and_lists_what_exists(kept: Path, monkeypatch, name: object, error: type) -> None:
    monkeypatch.setattr(features, "folder", lambda: kept.parent)
    with pytest.raises(error, match=r"^name: got .*expected one of \['mine'\]"):
        features.load(name)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("named", "options", "error"),
    [
        ("name", {"name": "resnet21"}, ValueError),
        ("name", {"name": 5}, TypeError),
        ("name", {"name": "lenet", "pretrained": True, "data": "mnist-5k"}, ValueError),  # ends in a convolution
        ("pretrained", {"pretrained": False}, ValueError),
        ("pretrained", {"pretrained": 3}, TypeError),
        ("pretrained", {"pretrained": True}, CheckpointError),
        ("pretrained", {"name": "resnet20-decomposed", "pretrained": True}, CheckpointError),
        ("pretrained", {"name": "resnet20-decomposed"}, CheckpointError),  # weights of a network that is whole
        ("data", {"data": "cifar11"}, ValueError),
        ("data", {"data": 3}, TypeError),
        ("data", {"data": "mnist-5k"}, ValueError),  # one channel
        ("data", {"data": "eleven"}, ValueError),
        ("split", {"data": "photographs"}, ValueError),
        ("out", {"out": ""}, TypeError),
        ("out", {"out": 3}, TypeError),
        ("out", {"out": "file/in/a/file.safetensors"}, ValueError),
        ("train_features", {"train_features": "yes"}, TypeError),
        ("checkpoint", {"checkpoint": 3}, TypeError),
        ("checkpoint", {"checkpoint": "file/far.run"}, ValueError),
        ("checkpoint", {"checkpoint": "file"}, ValueError),
        ("data", {"data": "npz:nowhere.npz"}, data.DataError),
    ],
)
def test_make_refuses_before_it_runs(toy, tmp_path: Path, monkeypatch, named: str, options: dict, error: type) -> None:
    monkeypatch.setattr(network, "pooled", lambda *given, **options: pytest.fail("the network was run"))
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    if options.get("name") == "lenet":
        monkeypatch.undo()
    if options.get("data") == "eleven":
        x = np.zeros((2, 3, 32, 32), np.uint8)
        np.savez("eleven.npz", x_train=x, y_train=[0, 10], x_test=x, y_test=[0, 1])
        options = options | {"data": "npz:eleven.npz"}
    with pytest.raises(error, match=f"^{named}"):
        features.make(**({"name": "resnet20", "pretrained": toy[1], "data": toy[0], "out": None} | options))


@pytest.mark.bad_input
@pytest.mark.parametrize("given", [(5,), ("resnet20", True, 3)])
def test_default_name_refuses_what_is_no_name(given: tuple) -> None:
    with pytest.raises(TypeError, match="name"):
        features.default_name(*given)


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "pretrained", "error", "named"), [
    ("resnet20", True, ValueError, "name: got 'resnet20', expected one of .'resnet20-decomposed'"),
    (4, True, TypeError, "name"),
    ("resnet20-decomposed", False, TypeError, "pretrained"),
    ("resnet20-decomposed", 1.5, TypeError, "pretrained"),
    ("resnet20-decomposed", "public", ValueError, "^pretrained: got .public., .*expected True .of .*or the path of a checkpoint"),
    ("resnet20-decomposed", "missing.safetensors", CheckpointError, "missing.safetensors is missing"),
    ("resnet32-decomposed", True, CheckpointError, "pretrained: no weights ship .*filterlens train resnet32-decomposed"),
])  # fmt: skip
def test_decomposed_refuses_by_name(name: object, pretrained: object, error: type, named: str) -> None:
    for function in (decomposed.load, decomposed.normalization):
        with pytest.raises(error, match=named):
            function(name, pretrained=pretrained)
    with pytest.raises(TypeError, match="model"):
        decomposed.dense("resnet20")


def test_the_shipped_features_are_those_of_the_public_network(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first test images, which also come as cifar10-20."""
    monkeypatch.undo()
    monkeypatch.setenv("FILTERLENS_DATA", str(data_root))
    kept = features.load("resnet20-public")
    model, normalization = models.load("resnet20", pretrained="public"), models.normalization("resnet20", pretrained="public")
    seen, labels = network.pooled(model, data.load("cifar10-20").batches(20), normalization=normalization)
    torch.testing.assert_close(kept.test[0][:20], seen, atol=2e-3, rtol=1e-3)
    assert torch.equal(kept.test[1][:20], labels) and torch.equal(kept.linear.weight, model.linear.weight)


@pytest.mark.parametrize("name", features.names())
def test_shipped_features_read_the_test_images_as_their_story_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    kept = features.load(name)
    assert kept.test[0].shape == (10000, 64) and kept.test[1].bincount().tolist() == [1000] * 10 and kept.classes[6] == "frog"
    half = metrics.accuracy(kept.linear(kept.test[0]), kept.test[1])
    assert abs(half - kept.about["accuracy_half_precision"]) <= 1e-4 and abs(half - kept.about["accuracy"]) <= 4e-4 and half > 0.85
    assert kept.ranks.n_images.tolist() == [5000] * 10 and kept.ranks.ranks.sum(1).max() <= 5000  # no rank twice in an image
    assert (kept.train is None) == ("--summary" in kept.about["command"])
    if kept.train:
        assert kept.train[0].shape == (50000, 64) and kept.train[1].bincount().tolist() == [5000] * 10
        again = influence.count_ranks(*kept.train, 10).select(5, 5).indices
        assert int((again != kept.ranks.select(5, 5).indices).sum()) <= 2  # half precision makes ties
        assert kept.path.stat().st_size < 8e6
    else:
        assert kept.path.stat().st_size < 1.45e6


def test_the_public_networks_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert {"resnet20-public", "resnet32-public"} <= set(features.names())


def _own(n_classes: int = 10) -> torch.nn.Module:
    torch.manual_seed(5)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 7, 5), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(7, n_classes)
    )


def test_a_network_of_ones_own_is_collected_in_memory(toy: tuple[str, Path]) -> None:
    model, images = _own(), {split: data.load(toy[0], split) for split in ("train", "test")}
    found = features.collect(model.train(), images["train"], images["test"], normalization=models.IMAGENET)
    assert model.training and model[4].weight.requires_grad  # the caller's network is as it was
    for split, own in images.items():
        x, y = network.pooled(model, own.batches(8), normalization=models.IMAGENET)
        torch.testing.assert_close(getattr(found, split)[0], x)
        assert torch.equal(getattr(found, split)[1], y)
    x, y = found.train
    assert torch.equal(found.ranks.ranks, influence.count_ranks(x, y, 10).ranks) and torch.equal(found.stats.mean, x.double().mean(0))
    assert torch.equal(found.linear.weight, model[4].weight) and not found.linear.weight.requires_grad
    assert found.about["accuracy"] == metrics.accuracy(found.linear(found.test[0]), found.test[1]) and found.path is None


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "name, changes, error",
    [
        ("model", {"model": "resnet20"}, TypeError),
        ("model", {"model": torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten())}, ValueError),
        ("train", {"train": torch.rand(3, 3, 32, 32)}, TypeError),
        ("test", {"test": None}, TypeError),
        ("train: labels", {"model": _own(9)}, ValueError),
        ("max_bytes", {"max_bytes": 8 * 10 * 7**2 - 1}, ValueError),
        ("max_bytes", {"max_bytes": 1e9}, TypeError),
    ],
)
def test_bad_input_to_collect(name: str, changes: dict, error: type[Exception], toy: tuple[str, Path]) -> None:
    given = {"model": _own(), "train": data.load(toy[0], "train"), "test": data.load(toy[0], "test")} | changes
    with pytest.raises(error, match=f"^{name}"):
        features.collect(**given)
