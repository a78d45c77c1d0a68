"""The second part of a passport: the classes a filter answers to, and decides where it writes one of the features that are pooled."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from filterlens import network
from filterlens.lenses.influence import find_influential

from .parts import Classes
from .response import Response, Written, logits, pooled, written

VOTES = 5  # features of an image that vote, and that a class keeps; at most half of them, as with all of them votes say nothing


def reach(model: nn.Module, layer: str, filter: int, images: Tensor) -> tuple[Written | None, str]:
    """Which pooled features the filter writes, and that in words; None where the network has no such features.

    images: normalized (n, c, h, w), of which two are used.
    """
    few = images[:2]
    try:
        found = written(model, layer, filter, few, lambda shown: pooled(model, shown))
    except ValueError as error:
        return None, _answered(model, layer, filter, few, f"no pooled features ({str(error).removeprefix('model: ')})")
    count = int(found.reached.sum())
    if found.only is not None:
        shared = "" if found.alone else "; a shortcut or another layer writes into it too"
        return found, f"it writes the pooled feature {found.only}{shared}"
    if count == 0:
        return found, _answered(model, layer, filter, few, "it reaches no pooled feature")
    return found, f"it is an inner layer: its map reaches {count} of the {len(found.reached)} pooled features"


def classes_of(
    model: nn.Module, images: Tensor, labels: Tensor, labelled: str, response: Response, found: Written | None, said: str
) -> Classes:
    """``Classes`` from normalized images (n, c, h, w) with labels (n,)."""
    present, own = labels.unique(return_inverse=True)
    count = own.bincount(minlength=len(present))
    values, influential, ranks, weights, feature = response.mean.cpu(), None, None, None, None if found is None else found.only
    if feature is not None:
        features = pooled(model, images)
        values, width = features[:, feature].double(), features.shape[1]
        few = min(VOTES, max(1, width // 2))
        influential = find_influential(features, own, len(present), r=few, s=few)
        ranks = 1 + (influential.order == feature).to(torch.uint8).argmax(1)
        weights = network.classifier(model, example=images[:1]).weight[:, feature].detach().cpu()
    mean = torch.zeros(len(present), dtype=torch.float64).index_add_(0, own, values) / count
    return Classes(
        feature=feature, alone=None if feature is None else found.alone, said=said, labelled=labelled, classes=present, n_images=count,
        mean=mean, entropy=class_entropy(mean), influential=influential, ranks=ranks, weights=weights,
    )  # fmt: skip


def class_entropy(mean: Tensor) -> float:
    """Entropy of the positive mean responses (m,) as shares, divided by log m; NaN for one class, or without a positive one."""
    positive = mean.double().clamp(min=0)
    total = float(positive.sum())
    if len(mean) < 2 or total == 0:
        return float("nan")
    return float(torch.special.entr(positive / total).sum()) / math.log(len(mean))


def _answered(model: nn.Module, layer: str, filter: int, images: Tensor, otherwise: str) -> str:
    """Whether the filter is one of the logits, in words."""

    def read(shown: Tensor) -> Tensor:
        found = logits(model, shown)
        if found is None:
            raise ValueError("no logits")
        return found

    try:
        found = written(model, layer, filter, images, read)
    except ValueError:
        return otherwise
    return f"it is the logit of class {found.only}" if found.only is not None and found.alone else otherwise
