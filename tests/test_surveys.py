"""Long runs over the paper's ImageNet networks, here with toy pictures and random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from filterlens import data, surveys
from filterlens.data import DataError
from filterlens.lenses import influence
from filterlens.network import pooled
from filterlens.runs import records

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three classes of 40 x 50 pictures: five for training, two for validation in each, laid out as ImageNet is."""
    draw, place = np.random.default_rng(0), tmp_path_factory.mktemp("imagenet")
    for split, n in (("train", 5), ("val", 2)):
        for name in ("n01", "n02", "n03"):
            folder = place / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return f"folder:{place}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every network of the tables is a tiny one with eleven features and three classes; returns those that were given weights."""
    import torchvision.models

    built: list[str] = []

    def get_model(name: str, weights: object = None) -> nn.Module:
        width = 7 if name == "densenet121" else 11
        model = nn.Sequential(nn.Conv2d(3, width, 5, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
        if not model[0].weight.is_meta:  # asked for its shape alone
            built.append(name)
        return model

    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    return built


def test_every_network_of_the_tables_has_its_torchvision_name_and_weights() -> None:
    from torchvision.models import get_model_weights

    rows = {
        row["row"] for row in records.published().values() if row["doc"] == "001" and row["table"] in {f"Table {k}" for k in range(2, 7)}
    }
    assert rows == set(surveys.IMAGENET)
    for name in surveys.IMAGENET.values():
        seen = get_model_weights(name)[surveys.WEIGHTS].transforms()
        assert len(seen.resize_size) == len(seen.crop_size) == 1
        assert seen.interpolation.value == ("bicubic" if name.startswith("efficientnet") else "bilinear")


def test_a_survey_is_the_study_of_each_network(pictures: str, small: list[str], tmp_path: Path) -> None:
    names = ["ResNet50", "EfficientNet_b1"]
    found = surveys.imagenet(names, r=2, s=3, images=pictures, pretrained=False, batch_size=4, checkpoints=tmp_path)
    assert list(found) == names and small == ["resnet50", "efficientnet_b1"]
    its = surveys.prepare("EfficientNet_b1", images=pictures, pretrained=False)
    assert its.train.shape == (15, 3, 240, 240) and its.test.shape == (6, 3, 240, 240)
    x, y = pooled(its.model, its.train.batches(4), normalization=its.normalization)
    indices = influence.find_influential(x, y, 3, r=2, s=3).indices
    assert torch.equal(found["EfficientNet_b1"].influential.indices, indices)
    x, y = pooled(its.model, its.test.batches(4), normalization=its.normalization)
    kept = influence.decompose(its.model[4], indices)(x).argmax(1)
    assert found["EfficientNet_b1"].decomposed == pytest.approx(float((kept == y).double().mean()))
    assert found["EfficientNet_b1"].n_train == 15 and found["EfficientNet_b1"].n_test == 6


def test_no_two_settings_share_a_checkpoint(pictures: str, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(pictures.removeprefix("folder:"))
    common = {"r": 2, "s": 2, "signed": False, "images": pictures, "batch_size": 4}
    others = [{}, {"signed": True}, {"s": 3}, {"r": 3}, {"batch_size": 5}, {"images": f"folder:{tmp_path}/other"}]
    for changed in [*others, {}]:  # the same settings once more find their own file
        surveys.imagenet("DenseNet121", pretrained=False, checkpoints=tmp_path / "passes", **(common | changed))
    assert len(list((tmp_path / "passes").iterdir())) == len(others)


def test_random_weights_are_the_same_ones_every_time(pictures: str, small: list[str]) -> None:
    before = torch.get_rng_state()
    one = surveys.prepare("ResNet50", images=pictures, pretrained=False).model
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(one[0].weight, surveys.prepare("ResNet50", images=pictures, pretrained=False).model[0].weight)
    assert next(one.parameters()).device.type == ("cuda" if torch.cuda.is_available() else "cpu") and not one.training


@pytest.mark.parametrize(("name", "interpolation"), [("ResNet50", "bilinear"), ("EfficientNet_b0", "bicubic")])
def test_pictures_are_scaled_as_the_weights_ask_for(pictures: str, small: list[str], name: str, interpolation: str) -> None:
    its = surveys.prepare(name, images=pictures, pretrained=False)
    plain = data.load(pictures, "train", size=224, resize=256, interpolation=interpolation)
    other = data.load(pictures, "train", size=224, resize=256, interpolation={"bilinear": "bicubic"}.get(interpolation, "bilinear"))
    assert torch.equal(its.train[:1].pixels.read(), plain[:1].pixels.read())
    assert not torch.equal(plain[:1].pixels.read(), other[:1].pixels.read())


def test_the_device_is_a_graphics_card_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys.arguments, "device", lambda model, given: given)
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert surveys._device(None) == expected


def test_missing_imagenet_is_told_before_a_network_is_built(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERLENS_DATA", str(tmp_path))
    with pytest.raises(DataError, match="imagenet"):
        surveys.imagenet(pretrained=False)
    assert small == []


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "name, options, error",
    [
        ("names", {"names": ["ResNet51"]}, ValueError),
        ("names", {"names": []}, ValueError),
        ("names", {"names": [5]}, TypeError),
        ("r", {"r": 0}, ValueError),
        ("r", {"r": 2.0}, TypeError),
        ("s", {"s": -1}, ValueError),
        ("r", {"names": ["ResNet50", "DenseNet121"], "r": 8}, ValueError),
        ("s", {"names": ["ResNet50", "DenseNet121"], "s": 8}, ValueError),
        ("s", {"s": 12}, ValueError),
        ("names", {"names": 5}, TypeError),
        ("images", {"images": "cifar10"}, ValueError),
        ("images", {"images": "folder:"}, ValueError),
        ("images", {"images": Path("pictures")}, TypeError),
        ("images", {"images": "folder:nowhere"}, DataError),
        ("device", {"device": "tpu:99"}, ValueError),
        ("device", {"device": 2.5}, ValueError),
        ("signed", {"signed": 1}, TypeError),
        ("pretrained", {"pretrained": "yes"}, TypeError),
        ("batch_size", {"batch_size": 0}, ValueError),
        ("checkpoints", {"checkpoints": 3}, TypeError),
    ],
)
def test_bad_input(name: str, options: dict, error: type[Exception], pictures: str, small: list[str]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        surveys.imagenet(**({"names": ["ResNet50"], "r": 2, "s": 3, "images": pictures, "pretrained": False} | options))
    assert small == []


@pytest.mark.bad_input
def test_pictures_of_other_classes_than_the_networks_are_refused(pictures: str, small: list[str], tmp_path: Path) -> None:
    place = Path(pictures.removeprefix("folder:"))
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for name in ("n01", "n02"):
            (tmp_path / split / name).symlink_to(place / split / name)
    with pytest.raises(ValueError, match="^images: got 2 class folders .*expected the 3 that ResNet50 tells apart"):
        surveys.imagenet("ResNet50", r=2, s=2, images=f"folder:{tmp_path}", pretrained=False)
    loose = tmp_path / "loose"
    for split in ("train", "val"):
        (loose / split).mkdir(parents=True)
        (loose / split / "0.png").symlink_to(place / "train" / "n01" / "0.png")
    with pytest.raises(ValueError, match="^images: got no labels for the train pictures"):
        surveys.imagenet("ResNet50", r=2, s=2, images=f"folder:{loose}", pretrained=False)
    assert small == []


@pytest.mark.bad_input
def test_the_true_networks_want_a_thousand_classes(pictures: str) -> None:
    with pytest.raises(ValueError, match="^images: got 3 class folders .*expected the 1000 that ResNet50"):
        surveys.imagenet("ResNet50", images=pictures, pretrained=False)
    with pytest.raises(ValueError, match=r"^r: got 1025, expected an integer in \[1, 1024\]"):
        surveys.imagenet("DenseNet121", r=1025, images=pictures, pretrained=False)


@pytest.mark.bad_input
@pytest.mark.parametrize("name, error", [("ResNet51", ValueError), (5, TypeError)])
def test_bad_name_of_a_network(name: object, error: type[Exception], small: list[str]) -> None:
    with pytest.raises(error, match="^name"):
        surveys.prepare(name)
    assert small == []
