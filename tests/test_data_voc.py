"""Objects of PASCAL VOC, on a small folder of the same layout: squares, masks, split, and errors for what is not VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filterlens import data
from filterlens.data import voc

PLACE = Path("VOCdevkit") / "VOC2012"
GREEN = (10, 200, 30)


def add(place: Path, name: str, shape: tuple[int, int], objects: list[tuple[str, tuple[int, int, int, int] | None]]) -> None:
    """One picture (h, w) with objects (class, (top, left, bottom, right)); None for an object without a pixel."""
    for part in ("Annotations", "JPEGImages", "SegmentationObject"):
        (place / part).mkdir(parents=True, exist_ok=True)
    pixels, numbers = np.full((*shape, 3), 100, np.uint8), np.zeros(shape, np.uint8)
    for at, (_, box) in enumerate(objects, 1):
        if box:
            top, left, bottom, right = box
            numbers[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = 255  # the void border
            numbers[top:bottom, left:right] = at
            pixels[top:bottom, left:right] = GREEN
    Image.fromarray(pixels).save(place / "JPEGImages" / f"{name}.jpg", quality=98, subsampling=0)
    picture = Image.fromarray(numbers)
    picture.putpalette([value for i in range(256) for value in (i, 255 - i, i)])  # VOC's masks are paletted
    picture.save(place / "SegmentationObject" / f"{name}.png")
    listed = "".join(f"<object><name>{label}</name><part><name>head</name></part></object>" for label, _ in objects)
    (place / "Annotations" / f"{name}.xml").write_text(f"<annotation>{listed}</annotation>")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / PLACE
    add(place, "2007_000001", (60, 90), [("cat", (10, 20, 40, 35)), ("person", (0, 60, 20, 80)), ("dog", (45, 50, 55, 80))])
    add(place, "2007_000002", (50, 70), [("bird", (0, 0, 10, 30))])
    add(place, "2007_000003", (50, 70), [("person", (5, 5, 20, 20))])
    for number in range(4, 12):
        add(place, f"2007_{number:06d}", (40, 55), [("sheep", (10, 10, 30, 30)), ("cow", (5, 35, 15, 45)), ("horse", None)])
    add(place, "2008_000001", (40, 55), [("cat", (3, 3, 9, 9))])
    (place / "SegmentationObject" / "2008_000001.png").unlink()  # most pictures of VOC have boxes, but no masks
    return tmp_path


def everything(root: Path, **options) -> dict[str, tuple]:
    sides = data.voc_objects(root, **options)
    return {
        title: (pixels, mask, int(label), side)
        for side in sides
        for title, pixels, mask, label in zip(side.titles, side.pixels, side.masks, side.labels, strict=True)
    }


def test_objects_of_the_asked_classes_with_their_labels(root):
    found = everything(root)
    labels = {title: label for title, (_, _, label, _) in found.items()}
    assert len(found) == 3 + 2 * 8
    assert {key: labels[key] for key in list(labels) if key < "2007_000004"} == {"2007_000001:1": 1, "2007_000001:3": 2, "2007_000002:1": 0}
    assert labels["2007_000005:1"] == 5
    assert labels["2007_000005:2"] == 3
    some = everything(root, classes=("person", "cow"))
    assert sorted({label for _, _, label, _ in some.values()}) == [0, 1]
    assert some["2007_000003:1"][2] == 0


def test_the_square_around_the_mask(root):
    pixels, mask, _, side = everything(root, size=60)["2007_000001:1"]  # 30 high, 15 wide: the square is 30
    assert pixels.shape == (3, 60, 60)
    assert mask.shape == (60, 60)
    assert mask.dtype == torch.bool
    columns = mask.any(0).nonzero()[:, 0]
    assert mask.any(1).all()
    assert len(columns) == 30  # half of the square, doubled
    assert abs(float(columns.double().mean()) - 29.5) <= 1
    inner = torch.zeros(60, 60, dtype=torch.bool)
    inner[3:-3, int(columns[0]) + 3 : int(columns[-1]) - 2] = True
    assert (pixels[:, inner].int() - torch.tensor(GREEN)[:, None]).abs().max() < 12
    assert (pixels[:, 30, 5].int() - 100).abs().max() < 12  # the ground stays
    assert side.images.shape[1:] == (3, 60, 60)


def test_outside_of_the_picture_is_black(root):
    pixels, mask, _, _ = everything(root, size=60)["2007_000002:1"]  # 10 x 30 at the upper border: 10 of 30 rows lie outside
    assert mask.all(1).nonzero()[:, 0].tolist() == list(range(20, 40))
    assert pixels[:, :18].eq(0).all()
    assert pixels[:, 45:].gt(80).all()


def test_the_split_is_by_picture_and_seeded(root):
    train, test = data.voc_objects(root)
    pictures = [{title.split(":")[0] for title in side.titles} for side in (train, test)]
    assert pictures[0].isdisjoint(pictures[1])
    assert [len(names) for names in pictures] == [7, 3]  # 70 % of ten
    again, other = data.voc_objects(root)[1], data.voc_objects(root, split_seed=1)[1]
    assert again.titles == test.titles
    assert other.titles != test.titles
    assert len(data.voc_objects(root, share=0.5)[1].titles) > len(test.titles) - 2
    assert train.classes == list(data.voc.ANIMALS)
    assert "PASCAL-Part" in train.note


@pytest.mark.parametrize("inner", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_three_places_to_point_at(root, inner):
    assert len(everything(root / inner)) == 19
    assert len(everything(str(root / inner))) == 19


T, V = TypeError, ValueError
numbers = [
    ("a fraction", 2.5, T),
    ("NaN", float("nan"), T),
    ("text", "2", T),
    ("a boolean", True, T),
    ("nothing", None, T),
    ("negative", -1, V),
]
BAD = {
    "root": [("a number", 3, T), ("no folder", "nowhere-at-all", V)],
    "year": [("a number", 2012, T), ("nothing", None, T), ("a word", "newest", V), ("empty", "", V), ("a path", "2012/..", V)],
    "classes": [("one name", "cat", T), ("nothing", None, T), ("numbers", [1], T), ("empty", [], V), ("twice", ["cat", "cat"], V),
                ("unknown", ["cat", "hors"], V)],
    "size": [*numbers, ("zero", 0, V)],
    "split_seed": numbers,
    "share": [("zero", 0.0, V), ("one", 1.0, V), ("above one", 1.5, V), ("NaN", float("nan"), V), ("text", "0.7", T), ("nothing", None, T)],
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "value", "error"), [pytest.param(name, *case[1:], id=f"{name}-{case[0]}") for name, cases in BAD.items() for case in cases]
)
def test_bad_input_is_refused_by_the_name_of_the_argument(root, argument, value, error):
    with pytest.raises(error, match=rf"^{argument}\b"):
        data.voc_objects(**{"root": root, argument: value})


def another_year(place):
    place.rename(place.parent / "VOC2007")


def no_masks(place):
    for file in (place / "SegmentationObject").glob("*.png"):
        file.unlink()


def no_annotation(place):
    (place / "Annotations" / "2007_000002.xml").unlink()


def broken_annotation(place):
    (place / "Annotations" / "2007_000002.xml").write_text("<annotation><object>")


def no_picture(place):
    (place / "JPEGImages" / "2007_000002.jpg").unlink()


def broken_picture(place):
    file = place / "JPEGImages" / "2007_000002.jpg"
    file.write_bytes(file.read_bytes()[:200])


def another_size(place):
    Image.new("RGB", (50, 70)).save(place / "JPEGImages" / "2007_000002.jpg")


def colours(place):
    file = place / "SegmentationObject" / "2007_000002.png"
    Image.open(file).convert("RGB").save(file)


def too_many_objects(place):
    add(place, "2007_000002", (50, 70), [("bird", (0, 0, 10, 30)), ("cat", (20, 20, 30, 30))])
    (place / "Annotations" / "2007_000002.xml").write_text("<annotation><object><name>bird</name></object></annotation>")


def no_folder_of_masks(place):
    (place / "SegmentationObject").rename(place / "SegmentationClass")


DAMAGES = [another_year, no_masks, no_annotation, broken_annotation, no_picture, broken_picture, another_size, colours, too_many_objects,
           no_folder_of_masks]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_is_not_voc_is_refused(root, damage):
    damage(root / PLACE)
    with pytest.raises(data.DataError, match=r"^root\b"):
        data.voc_objects(root)


def test_without_a_root_it_is_the_data_root_or_a_word_from_whom_to_get_it(root, monkeypatch):
    monkeypatch.setenv("FILTERLENS_DATA", str(root))
    assert data.voc_objects()[0].titles == data.voc_objects(root)[0].titles
    monkeypatch.delenv("FILTERLENS_DATA")
    with pytest.raises(data.DataError, match=r"root: FILTERLENS_DATA is not set.*host.robots.ox.ac.uk/pascal/VOC.*VOCdevkit/VOC2010"):
        data.voc_objects(year="2010")


def test_a_part_of_the_pictures_says_so(root, monkeypatch):
    assert data.voc_objects(root)[0].note.startswith("11 of the 2,913 pictures with masks; ")
    monkeypatch.setitem(voc.MASKED, "2012", 11)
    assert data.voc_objects(root)[0].note == voc.NOTE
