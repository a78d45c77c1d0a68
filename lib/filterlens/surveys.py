"""Long runs over many networks: what a chapter asks of one network, asked of all that a paper's tables list.

Above the lenses, like ``recipes``: here names of networks and of images meet. Each network's pass is streamed, shows its progress
and is taken up where it was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from filterlens import checks, data
from filterlens.lenses import influence
from filterlens.models import Normalization
from filterlens.sources import cache

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

    names: some of ``IMAGENET``, all by default. images: "imagenet" (``data.load``) or "folder:PATH" with PATH/train and PATH/val.
    Pictures are resized and cropped as torchvision's weights ask for. pretrained: False for random weights (nothing is downloaded).
    signed: rank raw instead of absolute features. checkpoints: folder of the unfinished passes, by default in the user's cache.

    Peak memory: one batch's forward pass and C x d counts. Raises TypeError or ValueError naming the argument, before any pass
    starts, ``data.DataError`` for missing images.
    """
    chosen = list(IMAGENET) if names is None else [names] if isinstance(names, str) else list(names)
    if not chosen:
        raise ValueError("names: got none, expected at least one")
    for name in chosen:
        checks.choice("names", name, IMAGENET)
    r, s, batch_size = checks.integer("r", r, 1), checks.integer("s", s, 1), checks.integer("batch_size", batch_size, 1)
    for option, value in {"signed": signed, "pretrained": pretrained}.items():
        if not isinstance(value, bool):
            raise TypeError(f"{option}: got {checks.describe(value)}, expected True or False")
    if checkpoints is not None and (not isinstance(checkpoints, str | Path) or not str(checkpoints)):
        raise TypeError(f"checkpoints: got {checks.describe(checkpoints)}, expected a folder")
    folder = cache() / "surveys" if checkpoints is None else Path(checkpoints)
    data.load(images, "train", n=1), data.load(images, "test", n=1)  # missing pictures should show before the first network is loaded
    return {name: _study(name, images, pretrained, device, folder, r=r, s=s, signed=signed, batch_size=batch_size) for name in chosen}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network of the paper's tables with what its pass needs; ``train`` and ``test`` are read from disk batch by batch."""

    model: nn.Module
    train: data.Images
    test: data.Images
    normalization: Normalization


def prepare(name: str, *, images: str = "imagenet", pretrained: bool = True, device: str | None = None) -> Prepared:
    """A network by its name in ``IMAGENET``, with the pictures resized and cropped as its weights ask for (bicubic for all).

    Raises ValueError for an unknown name, ``data.DataError`` for missing images.
    """
    from torchvision.models import get_model, get_model_weights

    weights = get_model_weights(IMAGENET[checks.choice("name", name, IMAGENET)])[WEIGHTS]
    seen = weights.transforms()
    (resize,), (crop,) = seen.resize_size, seen.crop_size
    train, test = (data.load(images, split, size=crop, resize=resize) for split in ("train", "test"))
    model = get_model(IMAGENET[name], weights=weights if pretrained else None).eval()
    return Prepared(model if device is None else model.to(device), train, test, Normalization(mean=seen.mean, std=seen.std))


def _study(name: str, images: str, pretrained: bool, device: str | None, folder: Path, **options) -> influence.Study:
    its = prepare(name, images=images, pretrained=pretrained, device=device)
    kind = ("signed" if options["signed"] else "absolute") + ("" if pretrained else "-random")
    checkpoint = folder / f"{IMAGENET[name]}-{kind}-r{options['r']}.run"
    return influence.study(its.model, its.train, its.test, normalization=its.normalization, checkpoint=checkpoint, **options)
