"""How an answer is held against the truth: one number per question, 1 for a perfect answer."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import checks, metrics
from ...lenses.filter_ranking import FilterRanking
from .world import World

SCORES = {
    "redundancy": "area under the ROC curve of telling redundant filters from needed ones; chance 0.5",
    "influence": "share of a class's features that were found, mean over classes; chance size / d",
    "decoding": "Pearson correlation of picture and template, mean over units; chance 0",
    "isolation": "intersection over union of the cause and as many pixels, those of the largest answers above 0; chance below 0.05",
    "gates": "share of the owned features whose class is right; chance 1 / C",
}


def score(world: World, answer: Tensor | FilterRanking) -> float:
    """How right an answer about a world is, see ``SCORES``; 1 is perfect. What an answer looks like stands with the worlds' ``given``.

    Redundancy: equal values count half; a ``FilterRanking`` is taken in its ``order``, without ties. Decoding: a unit whose picture
    is constant has correlation 0. Isolation: of equal values the world's seed draws, and pixels of 0 or less are never taken, so that an
    answer may name fewer.

    Raises TypeError or ValueError naming world or answer.
    """
    if not isinstance(world, World):
        raise TypeError(f"world: got {checks.describe(world)}, expected a World")
    return float(_JUDGES[world.question](world, answer))


def _redundancy(world: World, answer: Tensor | FilterRanking) -> float:
    truth = world.truth
    if isinstance(answer, FilterRanking):
        checks.tensor("answer", answer.order, "k", sizes={"k": len(truth)}, floating=False)
        answer = -answer.order.argsort().double()
    checks.tensor("answer", answer, "k", sizes={"k": len(truth)})
    above = answer[truth][:, None].double() - answer[~truth].double()
    return float(((above > 0).double() + (above == 0).double() / 2).mean())


def _influence(world: World, answer: Tensor) -> float:
    n_classes, size = world.truth.shape
    checks.index_rows("answer", answer, world.given.features.shape[1], rows=n_classes)
    checks.tensor("answer", answer, "C s", sizes={"s": size}, floating=False)
    return float((answer[:, :, None] == world.truth[:, None]).any(2).double().mean())


def _decoding(world: World, answer: Tensor) -> float:
    checks.tensor("answer", answer, "k c h w", sizes=dict(zip("kchw", world.truth.shape, strict=True)))
    return float(metrics.pearson_per_image(answer, world.truth).nan_to_num(0.0).mean())


def _isolation(world: World, answer: Tensor) -> float:
    checks.tensor("answer", answer, "h w", sizes=dict(zip("hw", world.truth.shape, strict=True)))
    lot = torch.randperm(answer.numel(), generator=torch.Generator().manual_seed(world.seed))  # among equal values
    flat, cause = answer.flatten()[lot], world.truth.flatten()[lot]
    chosen = torch.zeros_like(cause)
    chosen[flat.sort(descending=True, stable=True).indices[: int(cause.sum())]] = True
    chosen &= flat > 0
    return float((chosen & cause).sum() / (chosen | cause).sum())


def _gates(world: World, answer: Tensor) -> float:
    checks.labels("answer", answer, len(world.truth), world.given.n_classes)
    owned = world.truth >= 0
    return float((answer[owned] == world.truth[owned]).double().mean())


_JUDGES = {"redundancy": _redundancy, "influence": _influence, "decoding": _decoding, "isolation": _isolation, "gates": _gates}
