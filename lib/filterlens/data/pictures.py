"""Pictures on disk: the reader's folders, ImageNet samples, scikit-image's photographs.

Each finder returns files and labels for ``data``; ``Photographs`` decodes them when they are needed, not before.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
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

Pictures = tuple[list[Path], np.ndarray, list[str], str]  # files, labels (n,), class names, a note


class Photographs:
    """A stack of pictures on disk that stands for a uint8 tensor (n, 3, size, size): indexed as paths, decoded by ``read``.

    Each picture is turned upright as its EXIF data say, scaled so that its shorter side is ``size`` pixels, then cropped to the
    central square.
    """

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths, self.size = [Path(path) for path in paths], size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), 3, self.size, self.size

    def __getitem__(self, rows: slice | Tensor) -> Photographs:
        chosen = self.paths[rows] if isinstance(rows, slice) else [self.paths[row] for row in rows.tolist()]
        return Photographs(chosen, self.size)

    def read(self) -> Tensor:
        """All of them, (n, 3, size, size) uint8."""
        return torch.stack([self._one(path) for path in self.paths])

    def _one(self, path: Path) -> Tensor:
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as file:
                square = ImageOps.fit(ImageOps.exif_transpose(file).convert("RGB"), (self.size, self.size), Image.Resampling.BICUBIC)
        except (OSError, SyntaxError) as error:
            raise DataError(f"{path}: not a readable picture ({error})") from error
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def folder(name: str, path: str, split: str) -> Pictures:
    """The reader's pictures: one folder per class, or pictures directly inside (labels -1)."""
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import has_file_allowed_extension

    place = Path(path).expanduser()
    if not place.is_dir():
        raise DataError(f"name: {place} of {name!r} is not a folder")
    if (place / split).is_dir():
        place = place / split
    elif split == "train":
        raise DataError(f"split: {place} has no folder 'train'; a folder without splits is all 'test'")
    loose = sorted(file for file in place.iterdir() if file.is_file() and has_file_allowed_extension(file.name, PICTURE_ENDINGS))
    if loose:
        return loose, np.full(len(loose), -1), [], "no labels"
    try:
        found = ImageFolder(str(place))
    except OSError as error:
        raise DataError(f"name: {place} holds neither pictures nor one folder of pictures per class ({error})") from error
    return [Path(file) for file, _ in found.samples], np.array(found.targets), found.classes, ""


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
    lines = (place / "labels" / "synset_words.txt").read_text(encoding="utf-8").splitlines()
    synsets, words = zip(*(line.split(" ", 1) for line in lines if line.strip()), strict=True)
    order = {synset: target for target, synset in enumerate(synsets)}
    files = sorted(file for file in (place / "imagenet-samples").glob("*/*") if file.is_file() and file.suffix.lower() in PICTURE_ENDINGS)
    strange = [file.parent.name for file in files if file.parent.name not in order]
    if strange or not files:
        raise DataError(f"imagenet-samples: {strange[:3] or 'no pictures'} under {place}, expected {layout}")
    files.sort(key=lambda file: (order[file.parent.name], file.name))
    labels = np.array([order[file.parent.name] for file in files])
    return files, labels, list(words), "probably training images: for maps and filters, not for accuracy"


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
