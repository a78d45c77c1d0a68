"""Which few features a class rests on: Algorithm 1 of the paper, other rules to hold beside it, and the same for streams.

Every image votes for its r largest features; the s features with the most votes are its class's influential set. How votes
are cast and ordered stands in ``votes``; ``decomposition`` builds layers of the sets, ``surface`` tries all (r, s).
Importance is |f_i|, the L1 norm of one pooled number (the first title of arXiv 2112.07719 names that norm).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ... import checks
from . import votes

RULES = ("count", "coverage", "weight", "abs_weight", "contribution")


@dataclass(frozen=True, eq=False)
class InfluentialFeatures:
    """The features of each class in the order of their influence, and what that order rests on.

    ``order`` (C, d) int64: all features, most influential first. ``counts`` (C, d) int64: the images of the class that vote for
    the feature (0 with rules that take no votes). ``mass`` (C, d) float64: mean of |f_i| / sum_j |f_j| over the class's voting
    images, those with a feature that is not zero (rounded to 2^-38 in each image). ``score`` (C, d) float64: what the rule
    orders by; for a class without votes that fell back on the weights, these. ``n_images`` (C,) int64: images of the class,
    ``n_silent`` (C,) of them with nothing but zeros.
    """

    order: Tensor
    counts: Tensor
    mass: Tensor
    score: Tensor
    n_images: Tensor
    n_silent: Tensor
    rule: str
    r: int | None
    s: int

    @property
    def indices(self) -> Tensor:
        """The influential sets (C, s), most influential first."""
        return self.order[:, : self.s]

    def at(self, s: int) -> InfluentialFeatures:
        """The same ranking, cut at another s in [1, d]."""
        return replace(self, s=checks.integer("s", s, 1, self.order.shape[1]))


def find_influential(
    features: Tensor,
    labels: Tensor,
    n_classes: int,
    *,
    r: int | None = None,
    s: int,
    rule: str = "count",
    linear: nn.Linear | None = None,
    coverage: float = 0.5,
    signed: bool = False,
) -> InfluentialFeatures:
    """The s most influential features of each class.

    features (n, d), half, single or double precision; labels (n,), integers in [0, n_classes): the true ones, of training images.

    rule: ``count`` (Algorithm 1): each image votes for its r largest |f_i| (for its r largest f_i with ``signed``, as the authors'
        code does); zeros never vote, of equal features at the border the lower index does. A class is ordered by votes, then
        by mean mass, then by index; so features without votes follow by their mass.
        ``coverage``: each image votes for the smallest set of features that holds this share, in (0, 1], of its L1 norm.
        ``weight``: W[y, i], largest first; ``abs_weight``: |W[y, i]|; ``contribution``: mean of W[y, i] f_i over the class's
        images. Those three need ``linear``, the layer d -> n_classes, and break ties by index.
    r: in [1, d], for ``count`` alone, as ``coverage`` is for its rule; other rules ignore them. With r = d every image votes for
        everything, which is warned of. ``signed`` is refused with other rules: they order by signs of their own, or by shares.

    A class without a voting image takes the order of ``linear``'s signed weights, with a UserWarning. Without ``linear``, a class
    without images is a ValueError that names labels, one of silent images is ordered by index, with a UserWarning.

    Peak memory beside the features: some tables of (n_classes, d) and of 4 million entries, whatever n. Raises TypeError
    or ValueError for a wrong argument, by its name.
    """
    checks.choice("rule", rule, RULES)
    n_classes = checks.integer("n_classes", n_classes, 1)
    if _flag("signed", signed) and rule != "count":
        raise ValueError(f"signed: got True with the rule {rule!r}, expected False: only votes by count have a signed form")
    features, labels = votes.checked(features, labels, n_classes)
    d = features.shape[1]
    s = checks.integer("s", s, 1, d)
    if rule == "count" or r is not None:
        r = checks.integer("r", r, 1, d)
    if checks.real("coverage", coverage, 0, 1) == 0:
        raise ValueError("coverage: got 0, expected a share of the L1 norm in (0, 1]")
    if linear is None and rule in RULES[2:]:
        raise ValueError(f"linear: got None, expected the layer {d} -> {n_classes} whose weights the rule {rule!r} orders by")
    weight = None if linear is None else votes.weight_of(linear, n_classes, d).to(features.device)
    tally = _Tally(n_classes, d, features.device)
    sums = torch.zeros(n_classes, d, dtype=torch.float64, device=features.device)
    for some, of in votes.parts(features, labels):
        voted = None
        if rule == "count":
            voted = votes.top(some if signed else some.abs(), r)
        elif rule == "coverage":
            voted = votes.covering(some, coverage)
        elif rule == "contribution":
            sums.index_add_(0, of, some.double())
        tally.add(some, of, voted)
    if rule in ("count", "coverage"):
        return tally.elected(rule, r if rule == "count" else None, s, weight)
    score = weight.abs() if rule == "abs_weight" else weight
    if rule == "contribution":
        votes.tell_without_votes(tally.n_images, tally.n_images, weight)
        score = torch.where(tally.n_images[:, None] > 0, weight * sums / tally.n_images.clamp(min=1)[:, None], weight)
    return tally.ranked(votes.descending(score), score, rule, None, s)


class InfluenceCounter:
    """``find_influential(rule="count")`` for streams: features come batch by batch, and only tables (n_classes, d) are kept.

    ``result(s)`` is bit for bit what ``find_influential`` gives for all batches together, in whatever batches they came.
    """

    def __init__(self, n_classes: int, d: int, r: int, *, signed: bool = False) -> None:
        self.n_classes = checks.integer("n_classes", n_classes, 1)
        self.d = checks.integer("d", d, 1)
        self.r = checks.integer("r", r, 1, self.d)
        self.signed = _flag("signed", signed)
        self._tally = _Tally(self.n_classes, self.d, torch.device("cpu"))

    @property
    def n(self) -> int:
        """How many images were counted."""
        return int(self._tally.n_images.sum())

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Count a batch: features (m, d), labels (m,) in [0, n_classes). A batch that is refused leaves nothing behind."""
        features, labels = votes.checked(features, labels, self.n_classes, self.d)
        self._tally.to(features.device)
        for some, of in votes.parts(features, labels):
            self._tally.add(some, of, votes.top(some if self.signed else some.abs(), self.r))

    def result(self, s: int, *, linear: nn.Linear | None = None) -> InfluentialFeatures:
        """The s most influential features of each class so far; ``linear`` as for ``find_influential``."""
        s = checks.integer("s", s, 1, self.d)
        weight = None if linear is None else votes.weight_of(linear, self.n_classes, self.d)
        return self._tally.elected("count", self.r, s, weight)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of all that was counted, and of the settings."""
        settings = torch.tensor([self.n_classes, self.d, self.r, int(self.signed)])
        return {"settings": settings, **{name: getattr(self._tally, name).clone() for name in _TABLES}}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state_dict`` gave, of a counter of the same settings; ValueError for any other."""
        own = self.state_dict()
        if not isinstance(state, dict):
            raise TypeError(f"state: got {checks.describe(state)}, expected what state_dict() gave")
        for name, table in own.items():
            given = state.get(name)
            if not isinstance(given, Tensor) or given.shape != table.shape or given.dtype != table.dtype:
                raise ValueError(f"state: got {checks.describe(given)} as {name!r}, expected {checks.describe(table)}")
        if not torch.equal(own["settings"], state["settings"].cpu()):
            theirs, ours = state["settings"].tolist(), own["settings"].tolist()
            raise ValueError(f"state: got the counts of (n_classes, d, r, signed) = {theirs}, expected those of {ours}")
        for name in _TABLES:
            setattr(self._tally, name, state[name].to(self._tally.counts.device).clone())


@dataclass(frozen=True, eq=False)
class RankCounts:
    """How often each feature of each class has which rank within an image: the votes for every r at once.

    ``ranks`` (C, d, d) int64: [y, i, k] images of class y in which feature i is the (k + 1)-largest; zeros have no rank.
    ``mass`` (C, d), ``n_images`` (C,), ``n_silent`` (C,) as in ``InfluentialFeatures``.
    """

    ranks: Tensor
    mass: Tensor
    n_images: Tensor
    n_silent: Tensor

    def counts(self, r: int) -> Tensor:
        """The votes (C, d) int64 if every image votes for its r largest features, r in [1, d]."""
        return self.ranks[..., : checks.integer("r", r, 1, self.ranks.shape[2])].sum(-1)

    def select(self, r: int, s: int, *, linear: nn.Linear | None = None) -> InfluentialFeatures:
        """What ``find_influential(rule="count", r=r, s=s, linear=linear)`` gives for the same images."""
        counts = self.counts(r)
        s = checks.integer("s", s, 1, counts.shape[1])
        weight = None if linear is None else votes.weight_of(linear, *counts.shape)
        return _elected(counts, self.mass, self.n_images, self.n_silent, "count", r, s, weight)


def count_ranks(features: Tensor, labels: Tensor, n_classes: int, *, signed: bool = False, max_bytes: int = 2**30) -> RankCounts:
    """Count the ranks of all features (n, d) in their images, by class; labels (n,) in [0, n_classes). Ties as in ``find_influential``.

    The table takes 8 n_classes d^2 bytes, whatever n: 327 kB for 10 classes of 64 features. ValueError if that is more than ``max_bytes``.
    """
    n_classes = checks.integer("n_classes", n_classes, 1)
    features, labels = votes.checked(features, labels, n_classes)
    signed, d = _flag("signed", signed), features.shape[1]
    if 8 * n_classes * d * d > checks.integer("max_bytes", max_bytes, 1):
        needed = f"the ranks of {d} features in {n_classes} classes take {8 * n_classes * d * d:,} bytes"
        raise ValueError(f"max_bytes: got {max_bytes:,}, but {needed}; InfluenceCounter counts for a single r")
    tally, place = _Tally(n_classes, d, features.device), torch.arange(d, device=features.device)
    ranks = torch.zeros(n_classes * d * d, dtype=torch.int64, device=features.device)
    for some, of in votes.parts(features, labels):
        ordered, order = (some if signed else some.abs()).sort(dim=1, descending=True, stable=True)
        ranks.scatter_add_(0, ((of[:, None] * d + order) * d + place).flatten(), (ordered != 0).long().flatten())
        tally.add(some, of, None)
    return RankCounts(ranks.view(n_classes, d, d), tally.mass, tally.n_images, tally.n_silent)


_TABLES = ("counts", "shares", "n_images", "n_silent")


class _Tally:
    """Running sums by class, all of them whole numbers."""

    def __init__(self, n_classes: int, d: int, device: torch.device) -> None:
        self.counts = torch.zeros(n_classes, d, dtype=torch.int64, device=device)
        self.shares = torch.zeros_like(self.counts)
        self.n_images = torch.zeros(n_classes, dtype=torch.int64, device=device)
        self.n_silent = torch.zeros_like(self.n_images)

    def to(self, device: torch.device) -> None:
        for name in _TABLES:
            setattr(self, name, getattr(self, name).to(device))

    def add(self, features: Tensor, labels: Tensor, voted: Tensor | None) -> None:
        if voted is not None:
            self.counts.index_add_(0, labels, voted.long())
        self.shares.index_add_(0, labels, votes.shares(features))
        self.n_images.index_add_(0, labels, torch.ones_like(labels))
        self.n_silent.index_add_(0, labels, (features == 0).all(1).long())

    @property
    def mass(self) -> Tensor:
        return votes.mean_share(self.shares, self.n_images - self.n_silent)

    def elected(self, rule: str, r: int | None, s: int, weight: Tensor | None) -> InfluentialFeatures:
        return _elected(self.counts.clone(), self.mass, self.n_images.clone(), self.n_silent.clone(), rule, r, s, weight)

    def ranked(self, order: Tensor, score: Tensor, rule: str, r: int | None, s: int) -> InfluentialFeatures:
        return InfluentialFeatures(order, self.counts, self.mass, score, self.n_images, self.n_silent, rule, r, s)


def _elected(
    counts: Tensor, mass: Tensor, n_images: Tensor, n_silent: Tensor, rule: str, r: int | None, s: int, weight: Tensor | None
) -> InfluentialFeatures:
    """The ranking that votes make, and a word about those that rest on none."""
    if r == counts.shape[1]:
        message = f"r = {r} is the full width: every image votes for every feature that is not zero, and the mean mass decides"
        votes.warn(message)
    votes.tell_without_votes(n_images - n_silent, n_images, weight)
    order, score = votes.elect(counts, mass, n_images - n_silent, weight)
    return InfluentialFeatures(order, counts, mass, score, n_images, n_silent, rule, r, s)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected True or False")
    return value
