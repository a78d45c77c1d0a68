"""Every lens's number for every filter of one layer: the lenses are asked one after the other, and where one has no answer it says why."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import checks
from filterlens.lenses import ranking
from filterlens.lenses.gates.similarity import gates_in_range

from . import final, places, responses
from .parts import OF_FEATURES, RANKINGS, SCORES, FilterScores
from .removing import checked, checked_filters, checked_removable, damage

STEPS = 100  # of an isolation


@torch.inference_mode(False)
def scores(
    model: nn.Module,
    layer: str,
    images: Tensor,
    labels: Tensor,
    *,
    name: str = "",
    normalization: Any = None,
    filters: Sequence[int] | Tensor | None = None,
    gates: Tensor | None = None,
    isolated: int = 0,
    isolation_images: int = 2,
    isolation_steps: int = STEPS,
    removable: Sequence[str] | None = None,
    batch_size: int = 100,
    seed: int = 0,
) -> FilterScores:
    """The numbers of ``SCORES`` for the filters of a layer.

    The rankings by redundancy see the weights of the whole layer. Damage is measured by removing each filter (``damage``). The class
    entropy is that of the mean positive response after the layer's own normalisation and activation; with one image of each class it would be one
    over images, and is left out. Influence, and the damage without a pooled feature, belong to pooled features: only the
    layer that writes them, one filter each, has those numbers. In a residual network others write into them too, so that to remove
    the last layer's filter and to remove the feature are two things, and there are two damages.

    model: any CNN with logits (n, C); unchanged, runs in eval mode on its device. layer: a convolution with one group that is not the
        logits' own. images: (n, c, h, w), in [0, 1] with a ``normalization``, normalized without. labels: (n,) in [0, C).
    name: of the network, for tables. filters: indices, all by default.
    gates: (C, K) in [0, 1] of a network trained with class-specific gates on its K pooled features.
    isolated: of how many filters images are isolated, drawn with ``seed`` among those active on the first ``isolation_images`` images;
        0 leaves it out. The others' number is NaN. Each costs ``isolation_steps`` forward and backward passes per image.
    removable: what ``ranking.removable`` gives for the model, if at hand. batch_size: images at once. seed: of the positional ranking
        and of the draw.

    Time: a forward pass from the layer to the end for every filter and image. Peak memory: as ``damage``. Raises TypeError or ValueError
    naming the argument, before any long work.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: got {checks.describe(name)}, expected words")
    shown, labels = checked(model, images, labels, normalization, batch_size)
    example = shown(slice(0, 1))
    module = places.checked_layer(model, layer, example)
    chosen = checked_filters(filters, module.out_channels)
    isolated, seed = checks.integer("isolated", isolated, 0), checks.integer("seed", seed, 0)
    isolation_images = checks.integer("isolation_images", isolation_images, 1)
    isolation_steps = checks.integer("isolation_steps", isolation_steps, 1)
    free = places.removable(model, example) if removable is None else checked_removable(removable, model)
    if gates is not None:
        gates = _checked_gates(model, gates, example)

    values = {score: torch.full((len(chosen),), torch.nan, dtype=torch.float64) for score in SCORES}
    notes: dict[str, str] = {}
    ranked, degenerate = _rankings(module.weight.detach(), seed)
    values |= {method: ranked[method][chosen] for method in RANKINGS}
    try:
        values |= _of_features(model, layer, chosen, shown, labels, batch_size, gates)
    except ValueError as error:
        notes |= dict.fromkeys((*OF_FEATURES, "ownership"), str(error))
    if gates is None:
        notes["ownership"] = "the network was not trained with gates"
    lost = damage(
        model, layer, images, labels, normalization=normalization, filters=chosen, removable=free, batch_size=batch_size
    )  # fmt: skip
    values |= {"loss_rise": lost.loss_rise, "accuracy_drop": lost.accuracy_drop}
    point = places.written_at(model, layer, example)
    seen = responses.mean_responses(model, point, shown, len(labels), batch_size)[:, chosen]
    values["class_entropy"] = responses.class_entropies(seen, labels)
    if len(labels.unique()) < responses.SMALLEST:
        notes["class_entropy"] = "all images are of one class"
    elif len(labels.unique()) == len(labels):
        values["class_entropy"].fill_(torch.nan)
        notes["class_entropy"] = "there is one image of each class, so that it would be an entropy over images"
    if isolated:
        try:
            few = shown(slice(0, isolation_images))
            shares = responses.isolation_shares(
                model, layer, point, layer not in free, few, chosen, n=isolated, steps=isolation_steps, seed=seed
            )
            values["isolation"] = torch.tensor([shares.get(k, float("nan")) for k in chosen], dtype=torch.float64)
        except ValueError as error:
            notes["isolation"] = str(error)
    else:
        notes["isolation"] = "no image was isolated"
    return FilterScores(
        model=name, layer=layer, filters=torch.tensor(chosen), values=values, notes=notes, removal=lost.removal, n_images=len(labels),
        accuracy=lost.accuracy, loss=lost.loss, degenerate=degenerate, halves=lost.halves,
    )  # fmt: skip


def _rankings(weight: Tensor, seed: int) -> tuple[dict[str, Tensor], bool]:
    """Scores (k,) by method, larger = keep longer; positional relevance by its places, since its order breaks the ties of its score."""
    found, degenerate = {}, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of degenerate layers: said by the flag
        for method in RANKINGS:
            ranked = ranking.rank(weight, method, **({"seed": seed} if method == "positional" else {}))
            found[method] = ranked.score.double().cpu()
            if method == "positional":
                found[method], degenerate = ranked.order.argsort().double().cpu(), ranked.degenerate
    return found, degenerate


def _of_features(
    model: nn.Module, layer: str, chosen: list[int], shown: Any, labels: Tensor, batch_size: int, gates: Tensor | None
) -> dict[str, Tensor]:
    """The numbers of the pooled features that the filters write; ValueError, in words, where they write none of their own."""
    head, where = final.written_features(model, layer, chosen, shown(slice(0, 1)))
    parts = [places.features_and_logits(model, head, shown(slice(at, at + batch_size))) for at in range(0, len(labels), batch_size)]
    features, logits = (torch.cat(side) for side in zip(*parts, strict=True))
    found = {name: numbers[where] for name, numbers in final.feature_numbers(head, features, logits, labels).items()}
    return found if gates is None else {**found, "ownership": final.ownership(gates)[where]}


def _checked_gates(model: nn.Module, gates: Tensor, example: Tensor) -> Tensor:
    """Gates (C, K) for the model's classes and pooled features. Raises TypeError or ValueError naming gates."""
    gates = gates_in_range(gates)
    try:
        weight = places.head_of(model, example).weight
    except ValueError as error:
        raise ValueError(f"gates: got {checks.describe(gates)} for a network without pooled features, expected None ({error})") from error
    if gates.shape != weight.shape:
        raise ValueError(f"gates: got {checks.describe(gates)}, expected (C, K) = {tuple(weight.shape)}, classes by pooled features")
    if bool((gates.sum(0) == 0).any()):
        raise ValueError("gates: got a column of zeros, expected a class for every feature")
    return gates
