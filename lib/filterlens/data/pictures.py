"""Pictures on disk: the reader's folders, ImageNet and samples of it, photographs inside of packages.

Each finder returns files and labels for ``data``; ``Photographs`` decodes them when they are needed, not before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from filterlens.sources import DataError, data_root

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff")
PHOTOGRAPHS = (
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "coins.png",
    "hubble_deep_field.jpg", "motorcycle_left.png", "brick.png", "grass.png", "gravel.png",
)  # fmt: skip

# Of the 20 files' names and bytes, in the order of their names.
IMAGENET_20_SHA256 = "6103fb0bc78e595c2306f95f501f1ee0675678c114369758cf7aaf4962c5603f"

INTERPOLATIONS = ("bicubic", "bilinear")

Pictures = tuple[list[Path], np.ndarray, list[str], str]  # files, labels (n,), class names, a note


ILSVRC = {"train": 1_281_167, "test": 50_000}  # pictures of ILSVRC 2012; "test" is its validation part


class Photographs:
    """A stack of pictures on disk that stands for a uint8 tensor (n, 3, size, size): indexed as paths, decoded by ``read``.

    Each picture is turned upright as its EXIF data say, scaled (``interpolation``, one of ``INTERPOLATIONS``, antialiased) so that
    its shorter side is ``resize`` pixels, ``size`` if that is None, then cropped to the central square of ``size`` pixels.
    """

    def __init__(self, paths: Sequence[Path], size: int, resize: int | None = None, interpolation: str = "bicubic") -> None:
        self.paths, self.size, self.resize, self.interpolation = [Path(path) for path in paths], size, resize, interpolation

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), 3, self.size, self.size

    def __getitem__(self, rows: slice | Tensor) -> Photographs:
        chosen = self.paths[rows] if isinstance(rows, slice) else [self.paths[row] for row in rows.tolist()]
        return Photographs(chosen, self.size, self.resize, self.interpolation)

    def read(self) -> Tensor:
        """All of them, (n, 3, size, size) uint8, decoded side by side: pillow lets other threads run meanwhile."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return torch.stack(list(pool.map(self._one, self.paths)))

    def _one(self, path: Path) -> Tensor:
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as file:
                whole = ImageOps.exif_transpose(file).convert("RGB")
        except (OSError, SyntaxError) as error:
            raise DataError(f"{path}: not a readable picture ({error})") from error
        if self.resize is None:
            square = ImageOps.fit(whole, (self.size, self.size), Image.Resampling[self.interpolation.upper()])
        else:  # as torchvision's Resize and CenterCrop do it
            short = min(whole.size)
            sides = [self.resize * side // short for side in whole.size]
            scaled = whole.resize(sides, Image.Resampling[self.interpolation.upper()])
            left, top = (round((side - self.size) / 2) for side in scaled.size)
            square = scaled.crop((left, top, left + self.size, top + self.size))
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def folder(name: str, path: str, split: str) -> Pictures:
    """The reader's pictures: one folder per class, or pictures directly inside (labels -1).

    PATH/train and PATH/test, or else PATH/val, are the splits; the class folders of PATH/train then number the classes of both.
    """
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import has_file_allowed_extension

    place = Path(path).expanduser()
    if not place.is_dir():
        raise DataError(f"name: {place} of {name!r} is not a folder")
    train, tests = place / "train", [place / part for part in ("test", "val") if (place / part).is_dir()]
    if split == "train" and not train.is_dir():
        raise DataError(f"split: {place} has no folder 'train'; a folder without splits is all 'test'")
    if split == "test" and train.is_dir() and not tests:
        found = sorted(entry.name for entry in place.iterdir())
        raise DataError(f"split: {place} holds {found[:5]}, expected a folder 'test' or 'val' beside 'train' for the test images")
    place = train if split == "train" else tests[0] if tests else place

    def loose(at: Path) -> list[Path]:
        return sorted(file for file in at.iterdir() if file.is_file() and has_file_allowed_extension(file.name, PICTURE_ENDINGS))

    if files := loose(place):
        return files, np.full(len(files), -1), [], "no labels"
    try:
        found = ImageFolder(str(place))
    except OSError as error:
        raise DataError(f"name: {place} holds neither pictures nor one folder of pictures per class ({error})") from error
    classes = found.classes
    if place != train and train.is_dir() and not loose(train):
        classes = sorted(entry.name for entry in train.iterdir() if entry.is_dir())
        if unknown := [own for own in found.classes if own not in classes]:
            raise DataError(f"name: {place} holds the classes {unknown[:3]}, which {train} lacks, expected some of {classes[:10]}")
    number = np.array([classes.index(own) for own in found.classes])
    return [Path(file) for file, _ in found.samples], number[found.targets], classes, ""


def common_size(name: str, paths: list[Path]) -> int:
    """224, unless all pictures of a reader's folder have one and the same square size."""
    from PIL import Image

    if not name.startswith("folder:"):
        return 224
    sizes = set()
    for path in paths:
        try:
            with Image.open(path) as file:
                sizes.add(file.size)
        except OSError as error:
            raise DataError(f"{path}: not a readable picture ({error})") from error
        if len(sizes) > 1:
            return 224
    width, height = sizes.pop()
    return width if width == height else 224


def imagenet_samples(split: str, root: str | Path | None) -> Pictures:
    """One picture per ImageNet class from a data root, folders named by WordNet id, labels in the order of synset_words.txt."""
    layout = "imagenet-samples/<WordNet id>/*.JPEG and labels/synset_words.txt"
    place = data_root(root)
    if split == "train":
        raise ValueError("split: got 'train', expected 'test': imagenet-samples has no splits")
    if place is None or not (place / "imagenet-samples").is_dir() or not (place / "labels" / "synset_words.txt").is_file():
        raise DataError(
            f"imagenet-samples: not found under {place or 'FILTERLENS_DATA (not set)'}. These pictures cannot be downloaded or cached "
            f"(their licences differ): set FILTERLENS_DATA (or pass root=) to a folder with {layout}"
        )
    words = _synset_words(place)
    order = {synset: target for target, synset in enumerate(words)}
    files = sorted(file for file in (place / "imagenet-samples").glob("*/*") if file.is_file() and file.suffix.lower() in PICTURE_ENDINGS)
    strange = [file.parent.name for file in files if file.parent.name not in order]
    if strange or not files:
        raise DataError(f"imagenet-samples: {strange[:3] or 'no pictures'} under {place}, expected {layout}")
    files.sort(key=lambda file: (order[file.parent.name], file.name))
    labels = np.array([order[file.parent.name] for file in files])
    return files, labels, list(words.values()), "probably training images: for maps and filters, not for accuracy"


def imagenet(split: str, root: str | Path | None) -> Pictures:
    """The reader's ImageNet (ILSVRC 2012) from a data root; "test" is its validation part. Labels follow sorted WordNet ids.

    A part of the classes is taken with labels/synset_words.txt in the data root, which tells the number and the name of each id; the note
    says how many pictures there are where they are not all.
    """
    layout = "imagenet/train/<WordNet id>/*.JPEG and imagenet/val/<WordNet id>/*.JPEG, such as imagenet/val/n01440764/some.JPEG"
    root = data_root(root)
    place = root and root / "imagenet" / ("train" if split == "train" else "val")
    if place is None or not place.is_dir():
        raise DataError(
            f"imagenet: {place or 'FILTERLENS_DATA (not set)'} is no folder. ImageNet cannot be downloaded from here: get it from "
            f"image-net.org and set FILTERLENS_DATA (or pass root=) to a folder with {layout}"
        )
    found = sorted(entry.name for entry in place.iterdir() if entry.is_dir())
    strange = [name for name in found if not re.fullmatch(r"n\d{8}", name)]
    if strange or not found:
        raise DataError(f"imagenet: {place} holds {strange[:3] or 'no folders'}, expected one folder per class, {layout}")
    listed = (root / "labels" / "synset_words.txt").is_file()
    if not listed and len(found) != 1000:
        raise DataError(
            f"imagenet: {place} holds {len(found)} classes, expected 1000: the number of each class in a network's output is only "
            f"known for all of them, or with labels/synset_words.txt in the data root (for pictures of your own: folder:PATH)"
        )
    words = _synset_words(root) if listed else {synset: synset for synset in found}
    order = {synset: target for target, synset in enumerate(words)}
    if unknown := [name for name in found if name not in order]:
        raise DataError(f"imagenet: {place} holds {unknown[:3]}, which labels/synset_words.txt does not list")
    files, labels = [], []
    for synset in found:
        own = sorted(file for file in (place / synset).iterdir() if file.suffix.lower() in PICTURE_ENDINGS)
        files += own
        labels += [order[synset]] * len(own)
    if not files:
        raise DataError(f"imagenet: {place} holds no pictures, expected {layout}")
    whole = ILSVRC[split]
    note = "" if len(files) == whole else f"{len(files):,} of the {whole:,} pictures, {len(found):,} of the 1,000 classes"
    return files, np.array(labels), list(words.values()), note


def _synset_words(root: Path) -> dict[str, str]:
    """WordNet id -> words, in the order of the networks' outputs."""
    lines = (root / "labels" / "synset_words.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line.strip())


def photographs(split: str, root: str | Path | None) -> Pictures:
    """Natural images that come with scikit-image, no download; without labels (-1), ``titles`` name them."""
    if split == "train":
        raise ValueError("split: got 'train', expected 'test': photographs has no splits")
    place = importlib.util.find_spec("skimage")
    if place is None:
        raise DataError("photographs: scikit-image was not found; install it with: pip install scikit-image")
    inside = Path(next(iter(place.submodule_search_locations))) / "data"
    files = [inside / file for file in PHOTOGRAPHS if (inside / file).is_file()]
    if not files:
        raise DataError(f"photographs: none of {PHOTOGRAPHS} in {inside}; pip install --force-reinstall scikit-image")
    return files, np.full(len(files), -1), [], "no labels"


def imagenet_20(split: str, root: str | Path | None) -> Pictures:
    """Twenty labelled pictures of ImageNet that come with foolbox: files imagenet_NN_L.jpg, number NN, class L of the 1,000.

    The files are read without importing foolbox; the names of the classes are torchvision's.
    """
    if split == "train":
        raise ValueError("split: got 'train', expected 'test': imagenet-20 has no splits")
    place = importlib.util.find_spec("foolbox")
    inside = Path(next(iter(place.submodule_search_locations))) / "data" if place else Path()
    files = sorted(inside.glob("imagenet_??_*.jpg")) if place else []
    if not files:
        raise DataError("imagenet-20: foolbox's imagenet_*.jpg were not found; install them with: pip install foolbox")
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.name.encode() + file.read_bytes())
    if whole.hexdigest() != IMAGENET_20_SHA256:
        raise DataError(f"imagenet-20: the {len(files)} pictures in {inside} are not the known ones; pip install --force-reinstall foolbox")
    from torchvision.models import ResNet18_Weights

    labels = np.array([int(file.stem.rpartition("_")[2]) for file in files])
    return files, labels, list(ResNet18_Weights.DEFAULT.meta["categories"]), "20 pictures: for maps and filters, not for accuracy"
