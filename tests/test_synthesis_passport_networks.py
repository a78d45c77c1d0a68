"""Passports by name: which images go with which network, whose labels count, gates from a checkpoint."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from filterlens import data, gated, models
from filterlens.figures.passport import sheet
from filterlens.lenses.gates import GatedClassifier, GateHistory
from filterlens.models import architectures
from filterlens.synthesis import passport as room
from filterlens.synthesis.passport import networks

ABOUT = {"command": "none", "seed": 0, "epochs": 1, "data": "none", "accuracy": 0.0}


def test_lenet_is_looked_at_with_digits_and_keeps_its_layer():
    found = room.of_network("lenet", "conv2", 7, n=12, steps=2, shown=1)
    assert found.name == "lenet" and found.n_filters == 50 and found.weight.shape == (20, 5, 5)
    assert "12 images of mnist-5k" in found.source and found.class_names[3] == "3"
    assert found.classes.labelled == "the labels" and int(found.classes.n_images.sum()) == 12
    assert torch.equal(found.weight, models.load("lenet").conv2.weight[7])
    assert set(found.missing()) == {"gates"}


def test_cifar_networks_are_looked_at_with_the_twenty_pictures_of_the_package():
    found = room.of_network("resnet20", "conv1", 3, n=4, steps=2, shown=1)
    direct = data.load("cifar10-20", n=4)
    assert found.n_images == 4 and "cifar10-20" in found.source and found.class_names == tuple(direct.classes)
    assert torch.equal(found.content.images[0], direct.images[found.content.chosen[0]])
    assert "Conv2d, 3 → 16 channels, 3 × 3, no bias" == found.kind and "inner layer" in found.classes.said


def test_random_weights_are_drawn_with_the_seed():
    first, same, other = (
        room.of_network("resnet8", "conv1", 3, data="cifar10-20", pretrained=False, n=3, steps=1, shown=1, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first.weight, same.weight) and not torch.equal(first.weight, other.weight)


def test_images_of_other_classes_take_the_networks_own_answers(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(len(name) + ord(name[0])).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    found = room.of_network("resnet20", "layer3.2.conv2", 12, data=f"folder:{tmp_path}", size=32, steps=1, shown=1)
    assert found.n_images == 2 and found.classes.labelled == "the network"
    assert found.class_names == tuple(str(c) for c in range(10))
    assert found.classes.feature == 12 and found.classes.alone is False


def test_classes_that_no_image_names_are_imagenets_where_the_weights_are_published():
    found = room.of_network("efficientnet-lite0", "conv_stem", 3, data="photographs", n=2, size=32, steps=1, shown=1)
    assert found.classes.labelled == "the network" and len(found.class_names) == 1000 and found.class_names[281] == "tabby"
    assert networks._names(1000, False) is networks._names(10, True) is networks._names(1000, "own.safetensors") is None


def test_a_gated_network_comes_with_its_gates(tmp_path):
    torch.manual_seed(0)
    record = torch.rand(3, 10, 64) * 0.9
    record[:, torch.arange(64) % 10, torch.arange(64)] = 1.0
    record[0] = 1.0
    history = GateHistory.__new__(GateHistory)
    for key, value in {"gates": record, "gated": torch.tensor([False, True]), "bounds": (0.1, 0.2)}.items():
        object.__setattr__(history, key, value)
    path = models.save_checkpoint(tmp_path / "net", architectures.CifarResNet(1), about=ABOUT, gates=gated.packed(history))
    found = room.of_network("resnet8-csg", "layer3.0.conv2", 23, data="cifar10-20", pretrained=path, n=3, steps=1, shown=1)
    assert found.gates.values.tolist() == pytest.approx(record[-1][:, 23].tolist()) and 3 in found.gates.owners
    assert networks.IMAGES[networks._base("resnet8-csg")] == "composed" and found.name == "resnet8-csg"
    sheet(found)


def test_a_network_trained_without_gates_has_none_whatever_its_checkpoint_holds(monkeypatch: pytest.MonkeyPatch):
    inner, wrapped = architectures.CifarResNet(1), object()
    for gated_epochs, expected in (([False, False], inner), ([False, True], None)):
        model = GatedClassifier(inner, 10)
        found = SimpleNamespace(model=model, gated=torch.tensor(gated_epochs), normalization=wrapped)
        monkeypatch.setattr(gated, "load", lambda name, pretrained, found=found: found)
        assert networks._network("resnet8-std", True, 0) == (expected or model, wrapped)


def test_sizes_of_photographs_follow_the_networks_evaluation():
    small = networks._images("efficientnet-lite0", None, 2, 112, None, 0)
    assert small.shape == (2, 3, 112, 112) and small.name == "imagenet-20"
    assert networks._images("timm/resnet18", "imagenet-20", 1, None, None, 0).shape == (1, 3, 224, 224)
    assert len(networks._images("resnet32", None, None, None, None, 0)) == 20
    assert len(networks._images("lenet", None, None, None, None, 0)) == networks.MOST


T, V = TypeError, ValueError
GOOD = {"name": "resnet20", "layer": "conv1", "filter": 3}
BAD = [
    ("name", {"name": "resnet21"}, V), ("name", {"name": 3}, T), ("name", {"name": "timm/nothing_like_it"}, V), ("name", {"name": ""}, V),
    ("layer", {"layer": "conv9"}, V), ("layer", {"layer": 1}, T), ("layer", {"layer": "bn1"}, V),
    ("filter", {"filter": 16}, V), ("filter", {"filter": -1}, V), ("filter", {"filter": 1.5}, T), ("filter", {"filter": True}, T),
    ("data", {"data": "cifar11"}, V), ("data", {"data": 3}, T), ("data", {"data": "mnist-5k"}, V), ("data", {"data": "folder:/nowhere"}, V),
    ("n", {"n": 0}, V), ("n", {"n": 21}, V), ("n", {"n": 2.5}, T),
    ("size", {"size": 0}, V), ("size", {"size": "32"}, T),
    ("pretrained", {"pretrained": 3}, T), ("pretrained", {"pretrained": "nowhere.safetensors"}, V),
    ("steps", {"steps": 0}, V), ("shown", {"shown": 0}, V), ("seed", {"seed": -1}, V),
    ("root", {"root": 3}, T),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("argument, change, error", BAD, ids=[f"{name}-{next(iter(change.values()))}" for name, change, _ in BAD])
def test_bad_input(argument: str, change: dict, error: type[Exception], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(networks, "passport", lambda *args, **options: pytest.fail("work began"))
    with pytest.raises(error, match=argument if argument != "pretrained" else "pretrained|nowhere"):
        room.of_network(**{**GOOD, **change})


@pytest.mark.bad_input
def test_a_gated_network_has_no_random_weights():
    with pytest.raises(TypeError, match="pretrained"):
        room.of_network("resnet56-fixed", "conv1", 0, pretrained=False)


@pytest.mark.bad_input
@pytest.mark.parametrize("slip", ["resnet20_csg", "resnet20-cgs"])
def test_a_slip_in_a_gated_networks_name_is_recognised(slip: str):
    with pytest.raises(ValueError, match="did you mean 'resnet20-csg'"):
        room.of_network(slip, "conv1", 0)
