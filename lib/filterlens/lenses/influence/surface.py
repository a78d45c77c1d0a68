"""Accuracy of the decomposed layer for every (r, s) at once (Figure 3): votes from ``selection``, layers as in ``decomposition``.

A set of s features is the set of s - 1 and one more, so the logits of all s for one r cost a single pass: each class adds one
column at a time. All of it is in double precision, so sums do not depend on how images are grouped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import checks
from . import votes
from .selection import RankCounts


@dataclass(frozen=True, eq=False)
class Surface:
    """``accuracy`` (R, S) float64, a fraction: of the layer decomposed by the votes for ``rs[i]`` features, cut at ``ss[j]``; ``full``:
    of the full layer."""

    rs: list[int]
    ss: list[int]
    accuracy: Tensor
    full: float

    @property
    def eta(self) -> Tensor:
        """The paper's efficacy (R, S): decomposed over full accuracy."""
        return self.accuracy / self.full


def accuracy_surface(
    features: Tensor,
    labels: Tensor,
    linear: nn.Linear,
    ranked: RankCounts,
    *,
    rs: Iterable[int],
    ss: Iterable[int],
    max_bytes: int = 2**28,
) -> Surface:
    """Decompose ``linear`` by Algorithm 1 for every r of ``rs`` and s of ``ss``, and classify the features.

    features (n, d) and labels (n,) in [0, C): test images; ranked: ``count_ranks`` of the training images; rs, ss: in [1, d]. Classes
    without voting images take the order of the signed weights, with a UserWarning. Peak memory beside the features:
    about ``max_bytes``. Raises TypeError or ValueError for a wrong argument, by its name.
    """
    if not isinstance(ranked, RankCounts):
        raise TypeError(f"ranked: got {checks.describe(ranked)}, expected count_ranks(training features, labels, n_classes)")
    n_classes, d = ranked.mass.shape
    rs, ss = _sizes("rs", rs, d), _sizes("ss", ss, d)
    scored = _Scored(features, labels, linear, n_classes, d, max_bytes)
    voting = ranked.n_images - ranked.n_silent
    votes.tell_without_votes(voting, ranked.n_images, scored.weight)
    counts = ranked.ranks.cumsum(2)
    orders = [votes.elect(counts[..., r - 1], ranked.mass, voting, scored.weight)[0] for r in rs]
    right, full = scored.right(orders, ss)
    return Surface(rs, ss, right.double() / len(labels), full / len(labels))


def accuracy_by_size(
    features: Tensor, labels: Tensor, linear: nn.Linear, order: Tensor, *, ss: Iterable[int], max_bytes: int = 2**28
) -> Tensor:
    """The accuracy (S,) float64 of one ranking cut at every s of ``ss``: order (C, m), most influential first, of any rule.

    Otherwise as ``accuracy_surface``; the largest s must be at most m.
    """
    votes.checked_linear(linear)
    order = checks.index_rows("order", order, linear.in_features, rows=linear.out_features)
    ss = _sizes("ss", ss, order.shape[1])
    scored = _Scored(features, labels, linear, linear.out_features, linear.in_features, max_bytes)
    return scored.right([order], ss)[0][0].double() / len(labels)


class _Scored:
    """Checked features with their labels and the layer, a few images at a time."""

    def __init__(self, features: Tensor, labels: Tensor, linear: nn.Linear, n_classes: int, d: int, max_bytes: int) -> None:
        self.features, self.labels = votes.checked(features, labels, n_classes, d)
        self.weight = votes.weight_of(linear, n_classes, d).to(features.device)
        self.bias = (torch.zeros(n_classes) if linear.bias is None else linear.bias.detach()).to(self.weight)
        each = 8 * (2 * d + 3 * n_classes)  # bytes: an image's features twice, its logits, one column and what is in between
        if checks.integer("max_bytes", max_bytes, 1) < each:
            raise ValueError(f"max_bytes: got {max_bytes}, expected at least {each}, what a single image takes")
        self.size = max_bytes // each

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Features (d, m) in double precision, one row per feature, and labels (m,)."""
        for some, of in zip(self.features.split(self.size), self.labels.split(self.size), strict=True):
            yield some.double().T.contiguous(), of

    def right(self, orders: Sequence[Tensor], ss: Sequence[int]) -> tuple[Tensor, int]:
        """How many images are classified rightly (R, S) by each order cut at each s, and how many by the full layer."""
        right, full = torch.zeros(len(orders), len(ss), dtype=torch.int64), 0
        columns = {s: at for at, s in enumerate(ss)}
        plans = [(order, self.weight.gather(1, order)) for order in (order.to(self.weight.device) for order in orders)]
        for some, of in self.parts():
            full += int((torch.addmm(self.bias[:, None], self.weight, some).argmax(0) == of).sum())
            for row, (order, weight) in enumerate(plans):
                logits = self.bias[:, None].repeat(1, some.shape[1])
                for s in range(1, max(ss) + 1):
                    logits.addcmul_(some[order[:, s - 1]], weight[:, s - 1, None])
                    if s in columns:
                        right[row, columns[s]] += int((logits.argmax(0) == of).sum())
        return right, full


def _sizes(name: str, given: Iterable[int], high: int) -> list[int]:
    """Distinct sizes in [1, high], in any order."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: got {checks.describe(given)}, expected integers in [1, {high}]")
    given = given.tolist() if hasattr(given, "tolist") else list(given)
    sizes = [checks.integer(f"{name}[{at}]", size, 1, high) for at, size in enumerate(given)]
    if not sizes or len(set(sizes)) != len(sizes):
        raise ValueError(f"{name}: got {checks.describe(given)}, expected at least one integer in [1, {high}], none twice")
    return sizes
