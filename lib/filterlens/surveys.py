"""Long runs over many networks: what a chapter asks of one network, asked of all that a paper's tables list.

Above the lenses, like ``recipes``: here names of networks and of images meet. Each network's pass is streamed, shows its progress
and is taken up where it was stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from filterlens import checks, data, network
from filterlens.lenses import influence
from filterlens.models import Normalization
from filterlens.sources import cache
from filterlens.training import arguments

# Tables 2-6 of arXiv 2112.07719, by the rows of data/published.csv; weights of the paper's time (torchvision's first ones).
IMAGENET = {
    "ResNet50": "resnet50",
    "ResNet101": "resnet101",
    "ResNet152": "resnet152",
    "Wide ResNet 50": "wide_resnet50_2",
    "Wide ResNet 101": "wide_resnet101_2",
    "DenseNet121": "densenet121",
    "DenseNet169": "densenet169",
    "DenseNet161": "densenet161",
    "DenseNet201": "densenet201",
    "EfficientNet_b0": "efficientnet_b0",
    "EfficientNet_b1": "efficientnet_b1",
    "EfficientNet_b2": "efficientnet_b2",
    "EfficientNet_b3": "efficientnet_b3",
}
WEIGHTS = "IMAGENET1K_V1"


def imagenet(
    names: Iterable[str] | None = None,
    *,
    r: int = 50,
    s: int = 50,
    signed: bool = False,
    images: str = "imagenet",
    pretrained: bool = True,
    batch_size: int = 64,
    device: str | None = None,
    checkpoints: str | Path | None = None,
) -> dict[str, influence.Study]:
    """Influential features and decomposed accuracy of the paper's ImageNet networks, by their names in its Tables 2 to 6.

    names: some of ``IMAGENET``, all by default.
    r, s: the votes of an image and the features of a class, at most the width of the narrowest network.
    signed: also vote by raw instead of absolute features.
    images: "imagenet" (``data.load``), or "folder:PATH" with PATH/train and PATH/val, in each one folder per class whose sorted
        names number the networks' 1000 outputs, as WordNet ids do. They are resized and cropped as torchvision's weights ask for.
    pretrained: False for random weights, always the same ones (nothing is downloaded).
    device: where to run; by default "cuda" if there is one, else "cpu".
    checkpoints: folder of the passes so far, by default in the user's cache; each combination of settings has its own file there.

    Peak memory: one batch's forward pass and C x d counts. Raises TypeError or ValueError naming the argument, before any pass
    starts, ``data.DataError`` for missing images.
    """
    chosen = list(IMAGENET) if names is None else [names] if isinstance(names, str) else names
    if not isinstance(chosen, Iterable):
        raise TypeError(f"names: got {checks.describe(names)}, expected some of {list(IMAGENET)}")
    chosen = [checks.choice("names", name, IMAGENET) for name in chosen]
    if not chosen:
        raise ValueError("names: got none, expected at least one")
    r, s, batch_size = checks.integer("r", r, 1), checks.integer("s", s, 1), checks.integer("batch_size", batch_size, 1)
    for option, value in {"signed": signed, "pretrained": pretrained}.items():
        if not isinstance(value, bool):
            raise TypeError(f"{option}: got {checks.describe(value)}, expected True or False")
    if checkpoints is not None and (not isinstance(checkpoints, str | Path) or not str(checkpoints)):
        raise TypeError(f"checkpoints: got {checks.describe(checkpoints)}, expected a folder")
    folder = cache() / "surveys" if checkpoints is None else Path(checkpoints).expanduser()
    place, classes = _device(device), len(_pictures(images, "train", 8).classes)
    _pictures(images, "test", 8)
    for name in chosen:
        head = _head(name)
        checks.integer("r", r, 1, head.in_features), checks.integer("s", s, 1, head.in_features)
        if head.out_features != classes:
            expected = f"expected the {head.out_features} that {name} tells apart"
            raise ValueError(f"images: got {classes} class folders in {images!r}, {expected}, in the order of its outputs")
    return {name: _study(name, images, pretrained, place, folder, r=r, s=s, signed=signed, batch_size=batch_size) for name in chosen}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network of the paper's tables with what its pass needs; ``train`` and ``test`` are read from disk batch by batch."""

    model: nn.Module
    train: data.Images
    test: data.Images
    normalization: Normalization


def prepare(name: str, *, images: str = "imagenet", pretrained: bool = True, device: str | torch.device | None = None) -> Prepared:
    """A network by its name in ``IMAGENET``, in eval mode, with the pictures resized and cropped as its weights ask for.

    Arguments as for ``imagenet``. Raises TypeError or ValueError naming the argument, ``data.DataError`` for missing images.
    """
    from torchvision.models import get_model, get_model_weights

    weights = get_model_weights(IMAGENET[checks.choice("name", name, IMAGENET)])[WEIGHTS]
    seen = weights.transforms()
    (resize,), (crop,) = seen.resize_size, seen.crop_size
    place, asked = _device(device), {"resize": resize, "interpolation": seen.interpolation.value}
    train, test = (_pictures(images, split, crop, **asked) for split in ("train", "test"))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # a stopped pass over random weights finds the same ones again
        model = get_model(IMAGENET[name], weights=weights if pretrained else None)
    return Prepared(model.eval().to(place), train, test, Normalization(mean=seen.mean, std=seen.std))


def _pictures(images: object, split: str, size: int, **asked: object) -> data.Images:
    if not isinstance(images, str):
        raise TypeError(f"images: got {checks.describe(images)}, expected 'imagenet' or 'folder:PATH'")
    if images != "imagenet" and not (images.startswith("folder:") and images != "folder:"):
        raise ValueError(f"images: got {images!r}, expected 'imagenet' or 'folder:PATH'")
    try:
        found = data.load(images, split, size=size, **asked)
    except data.DataError as error:
        raise data.DataError(f"images: {str(error).removeprefix('name: ')}") from error
    if not found.classes:
        raise ValueError(f"images: got {found.note} for the {split} pictures of {images!r}, expected one folder per class")
    return found


def _device(device: object) -> torch.device:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return arguments.device(nn.Module(), device)


def _head(name: str) -> nn.Linear:
    """The last layer by its shape alone: on the meta device a network takes no memory and no weights."""
    from torchvision.models import get_model

    with torch.device("meta"):
        return network.classifier(get_model(IMAGENET[name], weights=None))


def _study(name: str, images: str, pretrained: bool, device: torch.device, folder: Path, **options) -> influence.Study:
    its = prepare(name, images=images, pretrained=pretrained, device=device)
    kind = ("signed" if options["signed"] else "absolute") + ("" if pretrained else "-random")
    settings = "-".join(f"{key[0]}{options[key]}" for key in ("r", "s", "batch_size"))
    seen = hashlib.sha256(images.encode()).hexdigest()[:8]
    checkpoint = folder / f"{IMAGENET[name]}-{kind}-{settings}-{seen}.run"
    return influence.study(its.model, its.train, its.test, normalization=its.normalization, checkpoint=checkpoint, **options)
