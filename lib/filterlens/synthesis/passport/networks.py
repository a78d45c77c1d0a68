"""The passport of a network by name: where names of networks and of images meet, as in ``surveys``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from filterlens import checks, data, gated, models
from filterlens.lenses.gates import GatedClassifier
from filterlens.models import Normalization

from .make import SHOWN, STEPS, checked_filter, passport
from .parts import Passport

IMAGES = {
    "lenet": "mnist-5k",
    "resnet8": "composed",
    "vgg16-cifar": "cifar10-20",
    **dict.fromkeys(models.PUBLIC_RESNETS, "cifar10-20"),
}
OTHERS = "imagenet-20"
MOST = 200  # images by default


def of_network(
    name: str,
    layer: str,
    filter: int,
    *,
    data: str | None = None,
    n: int | None = None,
    size: int | None = None,
    pretrained: bool | str | Path = True,
    steps: int = STEPS,
    shown: int = SHOWN,
    seed: int = 0,
    root: str | Path | None = None,
) -> Passport:
    """The passport of a filter of a network by name.

    name: as for ``models.load``, or one of ``gated.names()``, "resnet20-csg" say, whose gates come with it.
    layer, filter: dotted name of a convolution or linear layer, and index of its filter.
    data: name of the test images (``data.load``), by default digits for lenet, cifar10-20 for the networks of that size, imagenet-20 for all
        others. Where the images' classes are not the network's, its own answers are taken for labels; the 1,000 classes of published
        weights are called by ImageNet's names.
    n: how many, class by class; by default all, 200 at most. size: pixels of a side, by default the photographs' as the network is
        evaluated, other images as they are.
    pretrained: as for ``models.load``; False draws the weights with ``seed``. steps, shown, seed: as for ``passport``. root: the data root.

    Raises TypeError or ValueError naming the argument, ``models.CheckpointError`` for missing weights and ``data.DataError`` for missing
    images, before any lens.
    """
    n, size = (None if value is None else checks.integer(key, value, 1) for key, value in (("n", n), ("size", size)))
    steps, shown, seed = checks.integer("steps", steps, 1), checks.integer("shown", shown, 1), checks.integer("seed", seed, 0)
    if data is not None and not isinstance(data, str):
        raise TypeError(f"data: got {checks.describe(data)}, expected the name of images, such as 'cifar10-20'")
    model, normalization = _network(name, pretrained, seed)
    inner = model.model if isinstance(model, GatedClassifier) else model
    checked_filter(inner, layer, filter)
    images = _images(_base(name), data, n, size, root, seed)
    seen = f"{len(images)} images of {images.name}"
    pixels = images.images
    try:
        with torch.no_grad():
            answer = inner(normalization.apply(pixels[:1]))
    except Exception as error:
        raise ValueError(f"data: {images.name}, {tuple(pixels.shape[1:])}, does not go through {name!r}: {error}") from error
    n_classes = answer.shape[1] if isinstance(answer, torch.Tensor) and answer.ndim == 2 else None
    known = n_classes == len(images.classes)
    labelled = known and int(images.labels.min()) >= 0
    return passport(
        model, layer, filter, pixels, images.labels if labelled else None, normalization=normalization,
        classes=images.classes if known else _names(n_classes, pretrained), name=name, source=f"{seen} ({images.note})" if images.note else seen, steps=steps,
        shown=shown, seed=seed,
    )  # fmt: skip


def _base(name: str) -> str:
    return gated.base(name) if name in gated.names() else name


def _network(name: str, pretrained: bool | str | Path, seed: int) -> tuple[nn.Module, Normalization]:
    """The network in eval mode, with its gates if it was trained with some, and what it expects of images."""
    if isinstance(name, str) and "/" not in name:
        checks.choice("name", name, [*models.names(), *gated.names()])
    if isinstance(name, str) and name in gated.names():
        found = gated.load(name, pretrained=pretrained)
        return found.model if bool(found.gated.any()) else found.model.model, found.normalization
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # random weights that can be drawn again
        model = models.load(name, pretrained=pretrained)
    return model, models.normalization(name, pretrained=pretrained)


def _images(name: str, chosen: str | None, n: int | None, size: int | None, root: str | Path | None, seed: int) -> data.Images:
    """The images for a network; errors call their name ``data``."""
    wanted = IMAGES.get(name, OTHERS) if chosen is None else chosen
    options = {"root": root, "seed": seed, "size": size}
    try:
        if _photographs(wanted):
            resize, crop = models.evaluation_size(name)
            options["size"] = size or crop
            options["resize"] = round(options["size"] * resize / crop)
        return _loaded(wanted, n, options)
    except (TypeError, ValueError) as error:
        if not str(error).startswith("name: "):
            raise
        raise type(error)(str(error).replace("name:", "data:", 1)) from error


def _loaded(wanted: str, n: int | None, options: dict) -> data.Images:
    if n is not None:
        return data.load(wanted, n=n, **options)
    try:
        return data.load(wanted, n=MOST, **options)
    except ValueError as error:
        if not str(error).startswith("n: "):
            raise
        return data.load(wanted, **options)  # fewer than that


def _names(n_classes: int | None, pretrained: bool | str | Path) -> list[str] | None:
    """Of classes that no image names: a number says nothing to a reader, and published weights of 1,000 classes are ImageNet's."""
    if n_classes != 1000 or pretrained not in (True, "public"):
        return None
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.DEFAULT.meta["categories"])


def _photographs(name: str) -> bool:
    return name.startswith(("imagenet", "folder:")) or name == "photographs"
