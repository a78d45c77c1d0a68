"""What the lenses say of the filters of one layer, as numbers that can be held against each other: the result of ``scores``.

``SCORES`` names the numbers and says which way they point; ``statistics`` compares them, ``rows`` takes them through a table on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Score(NamedTuple):
    """``lens``: whose number it is; ``said``: what it is; ``sense``: +1 if larger means more needed or more specific, else -1."""

    lens: str
    said: str
    sense: int


SCORES: dict[str, Score] = {
    "positional": Score("redundancy", "place by positional relevance, 0 = most redundant", 1),
    "l1": Score("redundancy", "sum of absolute weights", 1),
    "l2": Score("redundancy", "Euclidean norm of the weights", 1),
    "fpgm": Score("redundancy", "summed distance to all filters of the layer", 1),
    "geometric_median": Score("redundancy", "distance to the layer's geometric median", 1),
    "loss_rise": Score("damage", "rise of the mean cross-entropy without the filter", 1),
    "accuracy_drop": Score("damage", "loss of accuracy without the filter", 1),
    "feature_loss_rise": Score("damage", "rise of the mean cross-entropy without the pooled feature", 1),
    "feature_accuracy_drop": Score("damage", "loss of accuracy without the pooled feature", 1),
    "votes": Score("influence", "share of the images that vote for the pooled feature", 1),
    "contribution": Score("influence", "mean contribution of the pooled feature to the logit of an image's class", 1),
    "class_entropy": Score("response", "entropy of the mean response by class, 1 = all classes alike", -1),
    "isolation": Score("isolation", "share of the layer's energy that is the filter's, on images isolated for it", 1),
    "ownership": Score("gates", "largest share of the filter's gates that one class holds", 1),
}
RANKINGS = tuple(name for name, score in SCORES.items() if score.lens == "redundancy")
OF_FEATURES = ("feature_loss_rise", "feature_accuracy_drop", "votes", "contribution")

REMOVALS = {
    "channel": "whoever reads its channel reads zero",
    "share": "what it writes into a sum is zero, what others write there stays",
}


@dataclass(frozen=True, eq=False)
class FilterScores:
    """Numbers for m filters of one layer of one network.

    ``filters`` (m,) int64: their indices; ``values``: the names of ``SCORES``, each with a tensor (m,) in double precision, NaN where
    there is no such number; ``notes``: why, for the names without any. ``removal``: a key of ``REMOVALS``, what removing a filter means
    in this layer. ``accuracy``, ``loss``: of the whole network on the ``n_images`` images, in [0, 1] and in nats. ``degenerate``: the
    layer's positional ranking is one of several that its weights allow. ``halves`` (m, 2): "loss_rise" on either half of the images
    (``damage``), which says how far it can be relied on.
    """

    model: str
    layer: str
    filters: Tensor
    values: Mapping[str, Tensor]
    notes: Mapping[str, str]
    removal: str
    n_images: int
    accuracy: float
    loss: float
    degenerate: bool
    halves: Tensor
