"""The lenses that look at pooled features, as one number for each: influence, the damage without a feature, and who owns it by gates.

Only the layer that writes the pooled features has such numbers: in layers before it a filter reaches all of them.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from filterlens.lenses.influence import find_influential

from . import places
from .resumed import cross_entropies

VOTES = 5  # features of an image that vote; at most half of them, as votes for all say nothing


def written_features(model: nn.Module, layer: str, filters: list[int], example: Tensor) -> tuple[places.Head, list[int]]:
    """The head, and which pooled feature each filter writes. ValueError, in words, if the layer's filters do not write one each."""
    try:
        head = places.head_of(model, example)
    except ValueError as error:
        raise ValueError(f"the network has no pooled features ({str(error).removeprefix('model: ')})") from error
    found = []
    for filter in filters:
        read = places.readers(model, layer, filter, example)
        if list(read) != [head.name] or len(read[head.name]) != 1:
            raise ValueError(f"{layer!r} is an inner layer: its filters reach the pooled features through others")
        found += read[head.name]
    return head, found


def feature_numbers(head: places.Head, features: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Numbers (d,) for every pooled feature, from features (n, d), logits (n, C) and labels (n,).

    "feature_loss_rise", "feature_accuracy_drop": damage when the head reads zero there. "votes": the share of images in which it is
    among the ``VOTES`` largest, as the influence lens counts them. "contribution": mean over images of W[y, k] f_k, y the image's class.

    Raises ValueError, in words, where the logits are not the head's.
    """
    features, logits, weight, bias = (x.double().cpu() for x in (features, logits, head.weight, head.bias))
    own = features @ weight.T + bias
    if own.shape != logits.shape or not torch.allclose(own, logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max())):
        raise ValueError(f"the network does more to the output of {head.name!r}: features are no longer decisive one by one")
    n, d = features.shape
    present, classes = labels.unique(return_inverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes whose images are silent: nothing votes there, which the counts say
        voted = find_influential(features, classes, len(present), r=min(VOTES, max(1, d // 2)), s=1).counts
    loss, hits = cross_entropies(logits, labels).mean(), (logits.argmax(1) == labels).double().mean()
    rise, drop = torch.empty(d, dtype=torch.float64), torch.empty(d, dtype=torch.float64)
    for k in range(d):
        without = logits - features[:, k : k + 1] * weight[:, k]
        rise[k] = cross_entropies(without, labels).mean() - loss
        drop[k] = hits - (without.argmax(1) == labels).double().mean()
    return {
        "feature_loss_rise": rise,
        "feature_accuracy_drop": drop,
        "votes": voted.sum(0).double() / n,
        "contribution": (weight[labels] * features).mean(0),
    }


def ownership(gates: Tensor) -> Tensor:
    """The largest share of its gates that one class holds, (K,), from gates (C, K): 1 for one class alone, 1 / C where all are equal."""
    gates = gates.detach().double().cpu()
    return gates.amax(0) / gates.sum(0)
