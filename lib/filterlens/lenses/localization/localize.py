"""A whole set of images: maps, masks and overlaps batch by batch, one number per image and filter kept.

Joins ``maps``, ``masks`` and ``overlap``. Appendix H of arXiv 2007.08194 (spec 004, 2.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from filterlens import checks

from .maps import FEW, maps_with_graph, activation_maps, blur, class_maps, classifier_of, gradients, pooled_layer, resized
from .masks import mask_tensor, overlaps, share_of, top_mask, top_thresholds
from .overlap import REDUCTIONS, FilterOverlap, ImageOverlap, filter_overlap, image_overlap

METHODS = ("activation", "gradient", "cam")
TIES = ("drop", "keep")


@dataclass(frozen=True, eq=False)
class Localization:
    """How well maps hit the objects.

    ``ious`` (n, K) for the filters ``filters`` (K,), NaN for the excluded ones; (n,) with CAM, where filters and excluded are empty.
    ``overlap`` sums them up. ``excluded`` (K,) bool: filters that are 0 at every position of every image. ``thresholds`` (K,)
    of ActivMap, else None; ``n_tied`` filters whose threshold is their lowest value. ``n_empty`` overlaps set to 0 because
    both masks were empty.
    """

    method: str
    ious: Tensor
    overlap: FilterOverlap | ImageOverlap
    filters: Tensor
    excluded: Tensor
    thresholds: Tensor | None
    n_tied: int
    n_empty: int

    @property
    def n_excluded(self) -> int:
        return int(self.excluded.sum())


@torch.inference_mode(False)  # in which nothing has a gradient
def localize(
    model: nn.Module,
    layer: str | None,
    images: Tensor,
    masks: Tensor,
    labels: Tensor,
    *,
    method: str = "activation",
    sigma: float = 5.0,
    threshold: float = 1.0,
    share: float = 0.3,
    filters: int | Sequence[int] | None = None,
    n_classes: int | None = None,
    at: Sequence[int] = (20, 30),
    reduction: str = "mean",
    ties: str = "drop",
    batch: int = 32,
    max_bytes: int = 2**27,
    progress: bool = False,
) -> Localization:
    """Compare what filters (or CAM) point at with the true masks of objects.

    layer: what is pooled, see ``maps``; with method "cam" None finds it. images: (n, c, h, w) NORMALIZED. masks: (n, h, w) bool, the
    true objects. labels: (n,), their classes, ``n_classes`` of them (by default as many as the labels show, with CAM as the network has).
    method: "activation" (ActivMap: a filter's resized maps where they reach its own top ``share`` over all positions of the set),
    "gradient" (GradMap: where the blurred, normalised gradient is at least ``threshold``; blur ``sigma`` pixels), "cam" (the top
    ``share`` of each image's pixels, for its true class).
    filters: indices, by default all (the official script takes the 30 most active of an image's class for GradMap); not with CAM.
    at, reduction: as in ``filter_overlap``.
    ties: a filter active in less than ``share`` of the positions has its lowest value, 0, as its threshold, and would cover all of
    every image; "drop" (ours) leaves positions at the lowest value out, "keep" is literal.

    Peak memory: a forward pass of ``batch`` images (with its graph for gradients), ActivMap's small maps of the whole set, and resized
    maps of at most ``max_bytes`` (at least one map). Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    checks.tensor("images", images, "n c h w")
    _check_masks(masks, images)
    sigma, threshold, share = checks.real("sigma", sigma, 0), checks.real("threshold", threshold, 0), share_of("share", share)
    checks.choice("method", method, METHODS)
    checks.choice("ties", ties, TIES)
    checks.choice("reduction", reduction, REDUCTIONS)
    checks.integer("batch", batch, 1)
    checks.integer("max_bytes", max_bytes, 1)
    if n_classes is not None:
        checks.integer("n_classes", n_classes, 1)
    labels = checks.labels("labels", labels, len(images), n_classes or torch.iinfo(torch.int64).max)
    if not isinstance(progress, bool):
        raise TypeError(f"progress: got {checks.describe(progress)}, expected True or False")
    image_overlap(torch.zeros(1), torch.zeros(1, dtype=torch.int64), 1, at=at)  # refuses bad levels before any work
    parts = _Parts(images, masks.to(images.device), labels.to(images.device), batch, progress)
    classes = n_classes or int(labels.max()) + 1

    if method == "cam":
        if filters is not None:
            raise ValueError(f"filters: got {checks.describe(filters)}, expected None: CAM has one map per image")
        return _cam(model, layer, parts, share, n_classes, at)
    n_filters = activation_maps(model, layer, images[:1], size="own").shape[1]
    chosen = list(range(n_filters)) if filters is None else checks.indices("filters", filters, n_filters)
    if method == "gradient":
        found, empty, dead = _gradient(model, layer, parts, chosen, sigma, threshold)
        cuts, tied = None, 0
    else:
        found, empty, dead, cuts, tied = _activation(model, layer, parts, chosen, share, ties, max_bytes)
    found[:, dead] = torch.nan
    overlap = filter_overlap(found, parts.labels, classes, at=at, reduction=reduction)
    return Localization(method, found, overlap, torch.tensor(chosen), dead, cuts, tied, int(empty[:, ~dead].sum()))


class _Parts:
    """Batches of images with their masks and labels."""

    def __init__(self, images: Tensor, masks: Tensor, labels: Tensor, batch: int, progress: bool) -> None:
        self.images, self.masks, self.labels, self.batch, self.progress = images, masks, labels, batch, progress

    def __iter__(self):
        from tqdm import tqdm

        starts = range(0, len(self.images), self.batch)
        for at in tqdm(starts, disable=not self.progress, desc="localize", leave=False):
            rows = slice(at, at + self.batch)
            yield self.images[rows], self.masks[rows], self.labels[rows]


def _check_masks(masks: object, images: Tensor) -> None:
    mask_tensor("masks", masks, 3)
    wanted = (len(images), *images.shape[2:])
    if tuple(masks.shape) != wanted:
        raise ValueError(f"masks: got {checks.describe(masks)}, expected shape {wanted}, as the images have")


def _cam(model: nn.Module, layer: str | None, parts: _Parts, share: float, n_classes: int | None, at: Sequence[int]) -> Localization:
    n_outputs = classifier_of(model, parts.images[:1]).out_features
    checks.labels("labels", parts.labels, len(parts.images), n_outputs)
    layer = pooled_layer(model, parts.images[:FEW], layer=layer)
    rows = [overlaps(top_mask(class_maps(model, images, own, layer=layer), share), truth) for images, truth, own in parts]
    ious, empty = (torch.cat(column) for column in zip(*rows, strict=True))
    overlap = image_overlap(ious, parts.labels, n_classes or n_outputs, at=at)
    none = torch.empty(0, dtype=torch.int64)
    return Localization("cam", ious, overlap, none, none.bool(), None, 0, int(empty.sum()))


def _gradient(
    model: nn.Module, layer: str, parts: _Parts, chosen: list[int], sigma: float, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Overlaps (n, f), empty unions (n, f), filters that are never active (f,)."""
    rows, dead = [], torch.ones(len(chosen), dtype=torch.bool, device=parts.images.device)
    for images, truth, _ in parts:
        maps, pixels = maps_with_graph(model, layer, images)
        dead &= ~(maps.detach()[:, chosen] != 0).any(dim=3).any(dim=2).any(dim=0)
        each = [overlaps(blur(found, sigma) >= threshold, truth) for found in gradients(maps, pixels, chosen)]
        rows.append([torch.stack(column, 1) for column in zip(*each, strict=True)])
    ious, empty = (torch.cat(column) for column in zip(*rows, strict=True))
    return ious, empty, dead


def _activation(
    model: nn.Module, layer: str, parts: _Parts, chosen: list[int], share: float, ties: str, max_bytes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Overlaps (n, f), empty unions (n, f), filters that are never active (f,), thresholds (f,), how many of them are tied."""
    small = torch.cat([activation_maps(model, layer, images, size="own")[:, chosen] for images, _, _ in parts])
    cuts, lowest = top_thresholds(small, share=share), small.amin((0, 2, 3))
    dead = ~(small != 0).any(dim=3).any(dim=2).any(dim=0)
    tied = (cuts == lowest) & ~dead
    height, width = parts.images.shape[2:]
    ious = torch.empty(len(small), len(chosen), dtype=torch.float64, device=small.device)
    empty = torch.empty(len(small), len(chosen), dtype=torch.bool, device=small.device)
    step = max(1, max_bytes // (small.element_size() * height * width))  # maps at a time
    few = max(1, min(step, len(chosen)))
    many = max(1, step // few)
    for row in range(0, len(small), many):
        for column in range(0, len(chosen), few):
            at = slice(row, row + many), slice(column, column + few)
            maps = resized(small[at], parts.images, None)
            cut, low = cuts[at[1], None, None], lowest[at[1], None, None]
            mask = (maps >= cut) & (maps > low) if ties == "drop" else maps >= cut
            ious[at], empty[at] = overlaps(mask, parts.masks[at[0], None])
    return ious, empty, dead, cuts, int(tied.sum())
