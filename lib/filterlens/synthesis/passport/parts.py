"""What a passport holds: one result for each lens, all about the same filter.

Plain records; ``make`` fills them, ``figures.passport`` and ``page`` show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from filterlens.lenses.decoding import DecodedFilters
from filterlens.lenses.influence import InfluentialFeatures
from filterlens.lenses.isolation import Isolation
from filterlens.lenses.simplex import PositionalRanking
from filterlens.models import Normalization

PARTS = ("place", "classes", "picture", "content", "gates")
BASELINES = ("gradient", "deconvolution", "guided", "lrp")


@dataclass(frozen=True, eq=False)
class Place:
    """Where the filter lies among those it can be compared with: its layer's, or its group's in a grouped convolution.

    ranking: of the whole layer. among (m,) int64: the filters compared with, ascending, itself included. ranks: for each method its rank
    among them, 1 = most redundant. ties: how many of them have its l0, itself included. l0: archetypes in its code; code (d,): its shares of
    them. nearest: the archetype nearest to it, in [0, d); distance: to that one, as a share of the filter's own norm (NaN for a zero
    filter); made_of: the filter with the largest share in that archetype.
    points (m, 2), corners (d, 2): filters and archetypes on the first two principal components; shares (2,): of the variance.
    """

    ranking: PositionalRanking
    among: Tensor
    ranks: dict[str, int]
    ties: int
    l0: int
    code: Tensor
    nearest: int
    distance: float
    made_of: int
    points: Tensor
    corners: Tensor
    shares: Tensor


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes the filter answers to and, where it can be said, decides.

    feature: the pooled feature that the filter writes, None where it writes none by itself; alone: nothing else writes that feature, False
    where a shortcut adds to it; said: what is known of it, in words. labelled: whose word the labels are, "the labels" or "the network".
    classes (m,) int64: those with images, ascending; n_images (m,) int64.
    mean (m,): of its response over a class's images, the feature itself or else its map's mean. entropy: of the positive means as shares,
    divided by log m: 0 answers to one class, 1 to all alike; NaN without a positive mean, and for one class.
    influential: rows are those of ``classes``; ranks (m,): the feature's place in each, 1 = most influential; weights (C,): of the final
    layer for this feature. All three None without a feature.
    """

    feature: int | None
    alone: bool | None
    said: str
    labelled: str
    classes: Tensor
    n_images: Tensor
    mean: Tensor
    entropy: float
    influential: InfluentialFeatures | None
    ranks: Tensor | None
    weights: Tensor | None


@dataclass(frozen=True, eq=False)
class Picture:
    """The filter in image space. correlation: Pearson's r of that picture's responses and the layer's own maps, over all units of n images."""

    decoded: DecodedFilters
    correlation: float
    n: int


@dataclass(frozen=True, eq=False)
class Content:
    """What of some images drives the filter, by isolation and by the attribution methods it is compared with.

    images (m, c, h, w) in [0, 1]; chosen (m,): which of the given ones, those with the strongest response.
    maps (m, H, W): the filter's own, after its activation. isolation: ``Isolation`` of the m images; inactive ones are NaN.
    baselines: by method the patterns (m, c, h, w), or why there is none. ssim, selectivity: by method (m,), measured as ``isolation.selectivity``
    says, of each method's image shown to the network again; "original" has the share before.
    """

    images: Tensor
    chosen: Tensor
    maps: Tensor
    isolation: Isolation | str
    baselines: dict[str, Tensor | str]
    ssim: dict[str, Tensor]
    selectivity: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Gates:
    """The filter's gates. values (C,) in [0, 1], one for each class; owners: classes whose gate is the largest; open: gates above 1/2;
    density: mean of ``values``; layer_density: of the whole matrix."""

    values: Tensor
    owners: tuple[int, ...]
    open: int
    density: float
    layer_density: float


@dataclass(frozen=True, eq=False)
class Passport:
    """One filter, five lenses. A part that does not apply is the reason why, in words.

    name: of the network; kind: the layer in words; weight: the filter (c, kh, kw), or (l,) of a linear layer; n_filters: in its layer.
    n_images: that were looked at; source: what they are, in words; class_names: (C,) names, or None where the network gives no logits; normalization: of the
    network. notes: by part what the lenses warned of.
    """

    name: str
    layer: str
    filter: int
    n_filters: int
    kind: str
    weight: Tensor
    n_images: int
    source: str
    class_names: tuple[str, ...] | None
    normalization: Normalization
    place: Place | str
    classes: Classes | str
    picture: Picture | str
    content: Content | str
    gates: Gates | str
    notes: dict[str, tuple[str, ...]]

    @property
    def title(self) -> str:
        """The filter's name in words."""
        return f"{self.name}, {self.layer}, filter {self.filter}"

    def missing(self) -> dict[str, str]:
        """The parts that do not apply, each with its reason."""
        return {part: value for part in PARTS if isinstance(value := getattr(self, part), str)}

    def __repr__(self) -> str:
        there = [part for part in PARTS if part not in self.missing()]
        return (
            f"Passport({self.title!r}: {', '.join(there) or 'no part'}" + f"; not {', '.join(self.missing())}" * bool(self.missing()) + ")"
        )


def named(passport: Passport, label: int) -> str:
    """The name of a class, its number where it has none."""
    names: Sequence[str] = passport.class_names or ()
    return names[label] if label < len(names) else str(label)


def in_order(values: Tensor, n: int) -> list[int]:
    """Places of the n largest of values (m,), largest first, of equal ones the first."""
    return torch.argsort(values, descending=True, stable=True)[:n].tolist()
