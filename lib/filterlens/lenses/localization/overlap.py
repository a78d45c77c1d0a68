"""What overlaps mean for filters and classes: which class a filter looks at, mean IoU, and AP at a level.

Pure tables of numbers; ``localize`` fills them. Appendix H.1 of arXiv 2007.08194 (spec 004, 2.12 with errata 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from filterlens import checks

REDUCTIONS = ("mean", "max")


@dataclass(frozen=True, eq=False)
class FilterOverlap:
    """Overlap of every filter with the objects of every class.

    ``iou`` (C, K): over the images of a class, by ``reduction``; NaN for a class without images and for an excluded filter.
    ``ap`` {n: (C, K)}: share of the class's images with IoU >= n / 100. ``at`` the n, the first decides ``best``.
    A class c* of every filter is the one with the highest APn, of several the one with the highest IoU among them (ours).
    Keys of ``per_filter``, ``per_class`` and ``overall``: "iou" at c* of the first n, and "ap20" etc., each at its own c*.
    Means over filters leave out the excluded ones.
    """

    iou: Tensor
    ap: dict[int, Tensor]
    at: tuple[int, ...]
    reduction: str
    excluded: Tensor  # (K,) bool

    @cached_property
    def best(self) -> Tensor:
        """(K,) the class a filter focuses on, c* of the first n; -1 where AP is 0 for every class, and for excluded filters."""
        return self.best_at(self.at[0])

    @property
    def focused(self) -> Tensor:
        """(C,) how many filters focus on each class, |F_c|."""
        return torch.bincount(self.best[self.best >= 0], minlength=len(self.iou))

    @property
    def n_unfocused(self) -> int:
        """Filters that focus on no class, without the excluded ones."""
        return int(((self.best < 0) & ~self.excluded).sum())

    def best_at(self, n: int) -> Tensor:
        """(K,) as ``best``, for one of ``at``."""
        ap = self.ap[n].nan_to_num(0)
        return torch.where(self.excluded | (ap.amax(0) == 0), -1, self._nearest(n))

    def _nearest(self, n: int) -> Tensor:
        """(K,) c* also for filters whose AP is 0 everywhere: then the class of the highest IoU."""
        ap = self.ap[n].nan_to_num(-1)
        return torch.where(ap == ap.amax(0), self.iou.nan_to_num(-1), -2).argmax(0)

    def _tables(self) -> dict[str, tuple[int, Tensor]]:
        return {"iou": (self.at[0], self.iou)} | {f"ap{n}": (n, self.ap[n]) for n in self.at}

    @cached_property
    def per_filter(self) -> dict[str, Tensor]:
        """Each value (K,) at the filter's c*; NaN for excluded filters."""
        return {key: table.gather(0, self._nearest(n)[None])[0] for key, (n, table) in self._tables().items()}

    @cached_property
    def per_class(self) -> dict[str, Tensor]:
        """Each value (C,), the mean over the filters that focus on the class; NaN where there is none."""
        found = {}
        for key, (n, _) in self._tables().items():
            best = self.best_at(n)
            own = best[None] == torch.arange(len(self.iou), device=best.device)[:, None]
            found[key] = torch.where(own, self.per_filter[key].nan_to_num(0), 0).sum(1) / own.sum(1)  # 0 / 0 is NaN
        return found

    @cached_property
    def overall(self) -> dict[str, float]:
        """The mean over all filters that were not excluded, with unfocused ones (whose AP is 0) too; NaN if there is none."""
        return {key: float(values[~self.excluded].mean()) for key, values in self.per_filter.items()}


@dataclass(frozen=True, eq=False)
class ImageOverlap:
    """Overlap of one map per image (CAM): keys "iou", "ap20" etc. ``per_class`` (C,) means over a class's images, NaN without any;
    ``overall`` plain means over all images; ``count`` (C,) of images."""

    per_class: dict[str, Tensor]
    overall: dict[str, float]
    count: Tensor


def filter_overlap(ious: Tensor, labels: Tensor, n_classes: int, *, at: Sequence[int] = (20, 30), reduction: str = "mean") -> FilterOverlap:
    """Sum up overlaps per filter and class.

    ious: (n, K) in [0, 1], of each image's true mask with each filter's; a column that is NaN throughout is an excluded filter.
    labels: (n,) in [0, n_classes). at: the n of APn, whole numbers in [1, 100].
    reduction: "mean" over a class's images, as the official code and the paper's words have it, or "max", as H.1 prints; with
    "max", APn of a class is 1 as soon as one image passes.
    Raises TypeError or ValueError naming the argument.
    """
    checks.integer("n_classes", n_classes, 1)
    checks.tensor("ious", ious, "n K", finite=False)
    excluded = ious.isnan().all(0)
    _in_range("ious", ious[:, ~excluded])
    labels = checks.labels("labels", labels, len(ious), n_classes).to(ious.device)
    at = _levels(at)
    checks.choice("reduction", reduction, REDUCTIONS)
    ious = ious.double()
    passed = {n: (ious >= n / 100).double() for n in at}
    reduce = (lambda values: values.mean(0)) if reduction == "mean" else (lambda values: values.amax(0))

    def table(values: Tensor) -> Tensor:
        found = torch.full((n_classes, values.shape[1]), torch.nan, dtype=torch.float64, device=values.device)
        for target in labels.unique().tolist():
            found[target] = reduce(values[labels == target])
        found[:, excluded] = torch.nan
        return found

    return FilterOverlap(table(ious), {n: table(values) for n, values in passed.items()}, at, reduction, excluded)


def image_overlap(ious: Tensor, labels: Tensor, n_classes: int, *, at: Sequence[int] = (20, 30)) -> ImageOverlap:
    """Sum up one overlap per image, as for CAM: ious (n,) in [0, 1], labels (n,) in [0, n_classes), at as in ``filter_overlap``.

    Raises TypeError or ValueError naming the argument.
    """
    checks.integer("n_classes", n_classes, 1)
    checks.tensor("ious", ious, "n")
    _in_range("ious", ious)
    labels = checks.labels("labels", labels, len(ious), n_classes).to(ious.device)
    ious = ious.double()
    values = {"iou": ious} | {f"ap{n}": (ious >= n / 100).double() for n in _levels(at)}
    count = labels.bincount(minlength=n_classes)
    per_class = {key: torch.bincount(labels, value, minlength=n_classes) / count for key, value in values.items()}
    return ImageOverlap(per_class, {key: float(value.mean()) for key, value in values.items()}, count)


def _in_range(name: str, ious: Tensor) -> None:
    if not bool(((ious >= 0) & (ious <= 1)).all()):
        raise ValueError(f"{name}: got {checks.describe(ious)} with NaN or values outside of [0, 1], expected overlaps in [0, 1]")


def _levels(at: object) -> tuple[int, ...]:
    if not isinstance(at, Sequence) or isinstance(at, str):
        raise TypeError(f"at: got {checks.describe(at)}, expected a list of whole numbers in [1, 100]")
    if not at:
        raise ValueError("at: got an empty list, expected at least one whole number in [1, 100]")
    found = tuple(checks.integer(f"at[{i}]", n, 1, 100) for i, n in enumerate(at))
    if len(set(found)) != len(found):
        raise ValueError(f"at: got {checks.describe(at)}, expected distinct numbers")
    return found
