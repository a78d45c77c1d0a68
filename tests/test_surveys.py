"""Long runs over the paper's ImageNet networks, here with toy pictures and random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from filterlens import surveys
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
    """Every network of the tables is a tiny one with eleven features and three classes; returns the names that were built."""
    import torchvision.models

    built: list[str] = []

    def get_model(name: str, weights: object = None) -> nn.Module:
        built.append(name)
        torch.manual_seed(len(name))
        return nn.Sequential(nn.Conv2d(3, 11, 5, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(11, 3))

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


def test_signed_and_absolute_passes_do_not_share_a_checkpoint(pictures: str, small: list[str], tmp_path: Path) -> None:
    for signed in (False, True):
        surveys.imagenet("DenseNet121", r=2, s=2, signed=signed, images=pictures, pretrained=False, checkpoints=tmp_path)


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
        ("signed", {"signed": 1}, TypeError),
        ("pretrained", {"pretrained": "yes"}, TypeError),
        ("batch_size", {"batch_size": 0}, ValueError),
        ("checkpoints", {"checkpoints": 3}, TypeError),
    ],
)
def test_bad_input(name: str, options: dict, error: type[Exception], pictures: str, small: list[str]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        surveys.imagenet(**({"names": ["ResNet50"], "images": pictures, "pretrained": False} | options))
    assert small == []


@pytest.mark.bad_input
@pytest.mark.parametrize("name, error", [("ResNet51", ValueError), (5, TypeError)])
def test_bad_name_of_a_network(name: object, error: type[Exception], small: list[str]) -> None:
    with pytest.raises(error, match="^name"):
        surveys.prepare(name)
    assert small == []
