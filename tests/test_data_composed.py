"""Composed pictures: masks that are the object's, nothing shared between the splits, the same for a seed, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from filterlens import data
from filterlens.data import composition


@pytest.fixture(scope="module")
def fifteen() -> data.MaskedImages:
    return data.composed(15, size=40, seed=3)


def test_shapes_labels_and_words(fifteen):
    assert fifteen.pixels.shape == (15, 3, 40, 40)
    assert fifteen.pixels.dtype == torch.uint8
    assert fifteen.masks.shape == (15, 40, 40)
    assert fifteen.masks.dtype == torch.bool
    assert fifteen.labels.tolist() == [i % 10 for i in range(15)]
    assert fifteen.labels.dtype == torch.int64
    assert fifteen.classes == [str(digit) for digit in range(10)]
    assert "composed" in fifteen.note
    assert len(fifteen) == 15


def test_fewer_pictures_are_the_first_of_more_and_a_seed_decides(fifteen):
    few = data.composed(4, size=40, seed=3)
    assert torch.equal(few.pixels, fifteen.pixels[:4])
    assert torch.equal(few.masks, fifteen.masks[:4])
    for other in (data.composed(4, size=40, seed=4), data.composed(4, size=40, seed=3, split="train")):
        assert (other.pixels != few.pixels).any(dim=3).any(dim=2).any(dim=1).all()
        assert (other.masks != few.masks).any(dim=2).any(dim=1).all()


def test_the_callers_random_numbers_are_untouched():
    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    data.composed(2, size=20)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def flat_ground(monkeypatch, source=None) -> None:
    """Nothing but one object on a grey ground; ``source`` replaces the digits by these arrays."""
    monkeypatch.setattr(composition, "N_CLUTTER", (0, 0))
    monkeypatch.setattr(composition, "_grounds", lambda split, size: np.full((1, 3, size, size), 90, np.uint8))
    if source is not None:
        for name in composition.SOURCES:
            monkeypatch.setitem(composition.SOURCES, name, lambda *_: source)


def test_the_mask_is_where_the_object_was_painted(monkeypatch):
    flat_ground(monkeypatch)
    found = data.composed(30, size=48)
    change = (found.pixels.double() - 90).abs().amax(1)
    for moved, mask in zip(change, found.masks, strict=True):
        assert bool(mask.any())
        assert not mask[moved == 0].any()  # no true pixel where nothing was painted
        # coverage is change over its greatest: half of it, up to rounding of eight bits
        assert (mask == (moved >= 0.5 * moved.max())).double().mean() > 0.99
        assert float(moved.max()) > 40


def test_the_object_is_whole_at_random_scales_and_places(monkeypatch):
    square = np.zeros((2, 1, 28, 28), np.uint8)
    square[:, :, 9:19, 7:17] = 255
    flat_ground(monkeypatch, (square, np.array([0, 1]), ["a", "b"], ""))
    found = data.composed(40, size=60)
    sides, corners = [], []
    for mask in found.masks:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        height, width = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
        assert height == width
        assert int(mask.sum()) == height * width  # nothing cut off at the border
        sides.append(height)
        corners.append((int(rows[0]), int(columns[0])))
    assert min(sides) >= 0.5 * 60 - 1
    assert max(sides) <= 0.85 * 60 + 1
    assert max(sides) - min(sides) > 10
    assert len(set(corners)) > 20


def test_a_garment_is_a_silhouette_with_shades(monkeypatch):
    garment = np.zeros((2, 1, 28, 28), np.uint8)
    garment[:, :, 4:24, 6:20] = 10  # dark, yet part of it
    garment[:, :, 4:14, 6:20] = 255
    flat_ground(monkeypatch, (garment, np.array([0, 1]), ["a", "b"], ""))
    found = data.composed(6, size=50, source="fashion-mnist")
    for mask, pixels in zip(found.masks, found.pixels, strict=True):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        height, width = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
        assert int(mask.sum()) == height * width
        assert height / width == pytest.approx(20 / 14, rel=0.1)
        middle = int(columns[0]) + width // 2
        assert (pixels[:, rows[0] + 3, middle].int() != pixels[:, rows[-1] - 3, middle].int()).any()


def test_the_hull_holds_the_object_in_the_same_picture(fifteen):
    hull = data.composed(15, size=40, seed=3, truth="hull")
    assert torch.equal(hull.pixels, fifteen.pixels)
    assert not (fifteen.masks & ~hull.masks).any()
    assert (hull.masks.sum((1, 2)) > fifteen.masks.sum((1, 2))).double().mean() > 0.9


def test_clutter_and_textures_are_there(fifteen, monkeypatch):
    monkeypatch.setattr(composition, "N_CLUTTER", (0, 0))
    bare = data.composed(15, size=40, seed=3)
    differs = (bare.pixels != fifteen.pixels).any(dim=3).any(dim=2).any(dim=1)
    assert differs.all()
    outside = torch.stack([picture[:, ~mask].double().std() for picture, mask in zip(bare.pixels, bare.masks, strict=True)])
    assert float(outside.median()) > 10


def test_the_splits_share_neither_texture_nor_object(monkeypatch):
    train, test = (composition._grounds(split, 40) for split in ("train", "test"))
    assert train.shape[2] + test.shape[2] == 224
    whole = np.concatenate([train, test], axis=2)
    assert np.array_equal(whole, composition.pictures.Photographs(composition.pictures.photographs("test", None)[0], 224).read().numpy())
    asked = []
    real = composition.SOURCES["mnist-5k"]
    monkeypatch.setitem(composition.SOURCES, "mnist-5k", lambda name, split, root: asked.append(split) or real(name, split, root))
    data.composed(1, size=20, split="train")
    data.composed(1, size=20, split="test")
    assert asked == ["train", "test"]
    assert composition._grounds("test", 200).shape[2] >= 200


def test_masked_images_are_taken_like_images(fifteen):
    some = fifteen[[4, 1]]
    assert torch.equal(some.masks, fifteen.masks[[4, 1]])
    assert torch.equal(some.pixels, fifteen.pixels[[4, 1]])
    assert some.labels.tolist() == [4, 1]
    assert len(fifteen[2]) == 1
    assert len(fifteen[3:9]) == 6
    assert fifteen.images.dtype == torch.float32
    assert torch.equal((fifteen.images * 255).round().to(torch.uint8), fifteen.pixels)
    parts = list(fifteen.batches(4))
    assert [len(labels) for _, labels in parts] == [4, 4, 4, 3]
    assert torch.equal(torch.cat([images for images, _ in parts]), fifteen.images)
    assert torch.equal(torch.cat([labels for _, labels in parts]), fifteen.labels)


T, V = TypeError, ValueError
bad_number = [
    ("a fraction", 2.5, T),
    ("NaN", float("nan"), T),
    ("text", "2", T),
    ("a boolean", True, T),
    ("nothing", None, T),
    ("negative", -1, V),
]
bad_choice = [("unknown", "tets", V), ("empty", "", V), ("a number", 1, T), ("nothing", None, T)]
BAD = {
    "n": [*bad_number, ("zero", 0, V)], "size": [*bad_number, ("too small", 15, V)], "seed": bad_number, "split": bad_choice,
    "source": [*bad_choice, ("another set", "cifar10", V)], "truth": bad_choice, "root": [("a number", 3, T), ("a list", ["here"], T)],
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "value", "error"), [pytest.param(name, *case[1:], id=f"{name}-{case[0]}") for name, cases in BAD.items() for case in cases]
)
def test_bad_input_is_refused_by_the_name_of_the_argument(argument, value, error):
    with pytest.raises(error, match=rf"^{argument}\b"):
        data.composed(**{"n": 1, argument: value})


@pytest.mark.bad_input
@pytest.mark.parametrize(("value", "error"), [(0, V), (2.5, T), (None, T)])
def test_a_bad_batch_size_is_refused(fifteen, value, error):
    with pytest.raises(error, match="^size"):
        fifteen.batches(value)


@pytest.mark.bad_input
def test_a_missing_source_says_where_it_was_looked_for(no_data: Path):
    with pytest.raises(data.DataError, match="mnist"):
        data.composed(1, source="mnist", root=no_data)
