"""Objects of PASCAL VOC, each cropped with its mask: the localisation data of arXiv 2007.08194 (spec 004, 2.5).

Reads the reader's own copy; VOC may not be handed on. ``composition`` makes pictures with masks that need no copy of anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch

from filterlens import checks
from filterlens.data.images import MaskedImages
from filterlens.sources import DataError, data_root

ANIMALS = ("bird", "cat", "dog", "cow", "horse", "sheep")
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
PARTS = ("Annotations", "JPEGImages", "SegmentationObject")
VOID = 255  # the border around objects
MASKED = {"2010": 1928, "2011": 2223, "2012": 2913}  # pictures with masks of objects, as the organisers count them
NOTE = (
    "objects of SegmentationObject; the authors' loader takes its masks from PASCAL-Part (5,344 objects, 3,644 and 1,700), which "
    "covers more pictures, and its own shuffling, so that neither the counts nor the split are theirs"
)

Found = tuple[np.ndarray, np.ndarray, int, str]  # picture (3, size, size), mask (size, size), label, title


def voc_objects(
    root: str | Path | None = None,
    *,
    year: str = "2012",
    classes: Sequence[str] = ANIMALS,
    size: int = 128,
    split_seed: int = 0,
    share: float = 0.7,
) -> tuple[MaskedImages, MaskedImages]:
    """Training and test objects of PASCAL VOC: pictures (n, 3, size, size) and masks (n, size, size).

    root: the folder VOC<year>, or one that holds it or VOCdevkit/VOC<year>, by default FILTERLENS_DATA, with ``Annotations/*.xml``, ``JPEGImages/*.jpg`` and
    ``SegmentationObject/*.png``. In the latter, pixel value i is the i-th object of the annotation, 0 the ground, 255 the void border.
    classes: whose objects are taken; their order numbers the labels. share: of the pictures that go to training; all objects of
    a picture stay on one side. split_seed: of the shuffling.

    Each object: the smallest square centred on the box around its mask, zeros where that leaves the picture, resized (bilinear,
    antialiased; the mask to the nearest pixel). The ground inside the square stays visible. Objects without a pixel are left out.
    Not reproducible here: the official masks (PASCAL-Part), counts and split, see ``note`` of the result.
    Memory: 4 n size^2 bytes. Raises TypeError or ValueError naming the argument, DataError for a folder that is not VOC.
    """
    if root is not None and not isinstance(root, str | Path):
        raise TypeError(f"root: got {checks.describe(root)}, expected a folder or None")
    if not isinstance(year, str):
        raise TypeError(f"year: got {checks.describe(year)}, expected text such as '2012'")
    if not (year.isdigit() and len(year) == 4):
        raise ValueError(f"year: got {year!r}, expected four digits such as '2012'")
    names = _class_names(classes)
    size, seed = checks.integer("size", size, 2), checks.integer("split_seed", split_seed, 0)
    share = checks.real("share", share, 0, 1)
    if share in (0, 1):
        raise ValueError(f"share: got {share}, expected a number between 0 and 1, so that both sides get pictures")
    place = _place(_root(root, year), year)
    masks = sorted((place / "SegmentationObject").glob("*.png"))
    found = [objects for mask in masks if (objects := _objects(place, mask, names, size))]
    if len(found) < 2:
        raise DataError(f"root: {place} has {len(found)} pictures with masks of {names}, expected at least two, one for each side")
    cut = min(max(round(share * len(found)), 1), len(found) - 1)
    order = np.random.default_rng(seed).permutation(len(found))
    sides = sorted(order[:cut].tolist()), sorted(order[cut:].tolist())
    note = NOTE if len(masks) == MASKED.get(year, len(masks)) else f"{len(masks):,} of the {MASKED[year]:,} pictures with masks; {NOTE}"
    return tuple(_gathered([one for at in side for one in found[at]], names, f"voc{year}", note) for side in sides)


def _root(root: str | Path | None, year: str) -> Path:
    """The given folder, or the data root."""
    if root is not None:
        return Path(root).expanduser()
    if (found := data_root()) is None:
        got = "PASCAL VOC cannot be downloaded from here: get its archive of training and validation data from host.robots.ox.ac.uk/pascal/VOC"
        raise DataError(f"root: FILTERLENS_DATA is not set. {got} and set FILTERLENS_DATA to the folder with VOCdevkit/VOC{year}")
    return found


def _class_names(classes: object) -> list[str]:
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"classes: got {checks.describe(classes)}, expected a list of names such as {list(ANIMALS[:2])}")
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"classes: got {checks.describe(classes)}, expected at least one name, none twice")
    for at, name in enumerate(classes):
        checks.choice(f"classes[{at}]", name, VOC_CLASSES)
    return list(classes)


def _place(root: Path, year: str) -> Path:
    """The folder VOC<year>."""
    layout = f"{', '.join(PARTS)} inside of it, of VOC{year} or of VOCdevkit/VOC{year}"
    if not root.is_dir():
        raise DataError(f"root: {root} is no folder, expected {layout}; PASCAL VOC is at host.robots.ox.ac.uk/pascal/VOC")
    for place in (root / "VOCdevkit" / f"VOC{year}", root / f"VOC{year}", root):
        if all((place / part).is_dir() for part in PARTS):
            return place
    holds = f"{root} holds {sorted(entry.name for entry in root.iterdir())[:5]}"
    raise DataError(f"root: {holds}, expected {layout}; PASCAL VOC is at host.robots.ox.ac.uk/pascal/VOC")


def _objects(place: Path, mask_file: Path, names: list[str], size: int) -> list[Found]:
    """The objects of one picture whose class was asked for."""
    from PIL import Image

    annotation, picture_file = place / "Annotations" / f"{mask_file.stem}.xml", place / "JPEGImages" / f"{mask_file.stem}.jpg"
    try:
        listed = [(entry.findtext("name") or "").strip() for entry in ElementTree.parse(annotation).getroot().findall("object")]
        if not set(listed) & set(names):
            return []
        with Image.open(mask_file) as file:
            numbers = np.array(file)
        with Image.open(picture_file) as file:
            picture = np.array(file.convert("RGB"))
    except (OSError, SyntaxError, ElementTree.ParseError) as error:
        raise DataError(f"root: {mask_file.stem} in {place} is incomplete or damaged ({error})") from error
    if numbers.ndim != 2 or numbers.shape != picture.shape[:2]:
        raise DataError(f"root: {mask_file} has shape {numbers.shape}, expected the picture's {picture.shape[:2]}, one number per pixel")
    if strange := sorted(set(np.unique(numbers).tolist()) - set(range(len(listed) + 1)) - {VOID}):
        raise DataError(f"root: {mask_file} holds the object numbers {strange[:3]}, but {annotation.name} lists {len(listed)} objects")
    wanted = [(at, name) for at, name in enumerate(listed, 1) if name in names and bool((numbers == at).any())]
    return [(*_cut(picture, numbers == at, size), names.index(name), f"{mask_file.stem}:{at}") for at, name in wanted]


def _cut(picture: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The square around a mask: picture (h, w, 3) and mask (h, w) -> (3, size, size) uint8 and (size, size) bool."""
    from PIL import Image

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    side = max(height, width)
    top, left = rows[0] - (side - height) // 2, columns[0] - (side - width) // 2
    box = (int(left), int(top), int(left + side), int(top + side))  # crop fills what is outside with zeros
    square = Image.fromarray(picture).crop(box).resize((size, size), Image.Resampling.BILINEAR)
    own = Image.fromarray(mask.astype(np.uint8)).crop(box).resize((size, size), Image.Resampling.NEAREST)
    return np.array(square).transpose(2, 0, 1), np.array(own).astype(bool)


def _gathered(objects: list[Found], names: list[str], name: str, note: str) -> MaskedImages:
    pictures, masks, labels, titles = zip(*objects, strict=True)
    pixels, shapes = torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(masks))
    return MaskedImages(pixels, torch.tensor(labels), names, name, note, list(titles), masks=shapes)
