"""What a network loses when one filter is really removed: the yardstick of the synthesis.

``places`` says where a filter is removed, ``resumed`` saves the forward pass up to there. What removal means is the rankings' own
(``lenses.ranking.remove_filters``), for one filter after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import checks, network
from filterlens.training import arguments, batching

from . import places
from .resumed import Edit, Resumed, cross_entropies, deaf, mute


@dataclass(frozen=True, eq=False)
class Damage:
    """Leave-one-out of m filters: what the network gets worse by without each.

    ``filters`` (m,) int64; ``loss_rise`` (m,): rise of the mean cross-entropy, in nats; ``accuracy_drop`` (m,): loss of accuracy, in
    steps of 1 / n_images; both in double precision and below 0 where the network is better off. ``loss``, ``accuracy``: of the whole
    network. ``halves`` (m, 2): the rise on every second image of each class, and on the others. ``removal``: a key of ``REMOVALS``.
    """

    layer: str
    filters: Tensor
    loss_rise: Tensor
    accuracy_drop: Tensor
    loss: float
    accuracy: float
    n_images: int
    removal: str
    halves: Tensor


@torch.inference_mode(False)
def damage(
    model: nn.Module,
    layer: str,
    images: Tensor,
    labels: Tensor,
    *,
    normalization: Any = None,
    filters: Sequence[int] | Tensor | None = None,
    removable: Sequence[str] | None = None,
    batch_size: int = 100,
) -> Damage:
    """Remove the filters of a layer one at a time and measure what the network gets worse by.

    A filter of a layer whose filters can be removed by themselves (``ranking.removable``) is removed as ``ranking.remove_filters`` does
    it: whoever reads its channel reads zero ("channel"). Where a shortcut adds the layer's channels to those of other layers no
    filter has a channel to itself: then what this layer writes, after its own normalisation, is zero, and what others write
    into the same channel stays ("share").

    model: any CNN with logits (n, C); unchanged, runs in eval mode on its device, without the caller's hooks.
    layer: a convolution with one group that is not the logits' own.
    images: (n, c, h, w), in [0, 1] with a ``normalization`` (an object with ``apply``), normalized without. labels: (n,) in [0, C).
    filters: indices, all by default. removable: what ``ranking.removable`` gives for the model, if at hand.
    batch_size: images at once. What the network computes before the layer is remembered, for one batch at a time, so that each
        filter costs the rest of a forward pass.

    Peak memory: a copy of the network, one batch's forward pass, and what the modules before the layer gave for it.
    Raises TypeError or ValueError naming the argument, before any long work.
    """
    shown, labels = checked(model, images, labels, normalization, batch_size)
    example = shown(slice(0, 1))
    chosen = checked_filters(filters, places.checked_layer(model, layer, example).out_channels)
    free = places.removable(model, example) if removable is None else checked_removable(removable, model)
    if layer in free:
        readers = [places.readers(model, layer, k, example) for k in chosen]
        edits: list[list[Edit]] = [[deaf(name, where) for name, where in found.items()] for found in readers]
        resumed = Resumed(model, example, before=sorted({name for found in readers for name in found}))
    else:
        point = places.written_at(model, layer, example)
        edits = [[mute(point, k)] for k in chosen]
        resumed = Resumed(model, example, until=point)
    half = halved(labels)
    worse = torch.zeros(len(chosen), 3, dtype=torch.float64)  # sums of losses, of those on the first half, and of hits
    whole = torch.zeros(3, dtype=torch.float64)
    for at in range(0, len(labels), batch_size):
        part = slice(at, at + batch_size)
        whole += _judged(resumed.remember(shown(part)), labels[part], half[part])
        for row, edit in enumerate(edits):
            worse[row] += _judged(resumed.rerun(edit), labels[part], half[part])
    n, rise = len(labels), worse - whole
    first, second = int(half.sum()), n - int(half.sum())
    return Damage(
        layer=layer, filters=torch.tensor(chosen), loss_rise=rise[:, 0] / n, accuracy_drop=-rise[:, 2] / n, loss=float(whole[0] / n),
        accuracy=float(whole[2] / n), n_images=n, removal="channel" if layer in free else "share",
        halves=torch.stack([rise[:, 1] / first, (rise[:, 0] - rise[:, 1]) / second], 1),
    )  # fmt: skip


def halved(labels: Tensor) -> Tensor:
    """Every second image of each class, (n,) bool, so that both halves hold the classes alike; classes take turns in who gets the odd one."""
    order = labels.argsort(stable=True)
    first = torch.empty(len(labels), dtype=torch.bool)
    first[order] = torch.arange(len(labels)) % 2 == 0
    return first


def _judged(logits: Tensor, labels: Tensor, half: Tensor) -> Tensor:
    labels, half = labels.to(logits.device), half.to(logits.device)
    losses = cross_entropies(logits, labels)
    return torch.stack([losses.sum(), losses[half].sum(), (logits.argmax(1) == labels).sum().double()]).cpu()


def checked(model: nn.Module, images: Tensor, labels: Tensor, normalization: Any, batch_size: int) -> tuple[Any, Tensor]:
    """How to get normalized images of a slice, and the labels (n,), after one image has gone through the model.

    Raises TypeError or ValueError naming model, images, labels, normalization or batch_size.
    """
    checks.module("model", model)
    checks.tensor("images", images, "n c h w")
    normalize = batching.normalize(normalization)
    checks.integer("batch_size", batch_size, 1)
    device = arguments.device(model)

    def shown(part: slice) -> Tensor:
        return batching.like(normalize(batching.like(images[part].detach(), model, device)), model, device)

    with network.evaluating(model), network._blamed("images", images):
        logits = model(shown(slice(0, 1)).clone())
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(f"model: gave {checks.describe(logits)}, expected logits (n, C)")
    return shown, checks.labels("labels", labels, len(images), logits.shape[1]).cpu()


def checked_filters(filters: Any, k: int) -> list[int]:
    """Indices of filters of a layer with k of them, all by default. Raises TypeError or ValueError naming filters."""
    return list(range(k)) if filters is None else checks.indices("filters", filters, k)


def checked_removable(removable: Any, model: nn.Module) -> list[str]:
    """Names of convolutions. Raises TypeError or ValueError naming removable."""
    if isinstance(removable, str) or not isinstance(removable, Sequence):
        raise TypeError(f"removable: got {checks.describe(removable)}, expected names of layers as ranking.removable gives them")
    return [checks.choice("removable", name, network.conv_layers(model)) for name in removable]
