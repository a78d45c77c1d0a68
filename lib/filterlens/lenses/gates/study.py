"""All that is measured of one trained network's final features, with or without gates, so that networks can be compared line by line.

Joins ``similarity`` and ``clusters``; runs no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import checks, metrics
from .clusters import ClassDistances, Clusters, MutualInformation, class_distances, find_clusters, mutual_information
from .matrix import l1_density, owners
from .similarity import FilterCosines, Similarity, filter_cosines, gate_similarity


@dataclass(frozen=True, eq=False)
class GateStudy:
    """What ``study`` finds. ``owner`` (K,): the class of each filter, from its gates, or without gates from its classes' mean features;
    ``similarity`` is None without gates; ``csg_accuracy``, which is told the label, NaN."""

    accuracy: float
    csg_accuracy: float
    owner: Tensor
    information: MutualInformation
    cosines: FilterCosines
    clusters: Clusters
    distances: ClassDistances
    similarity: Similarity | None
    density: float

    def row(self) -> dict[str, float]:
        """The numbers of a table of networks; NaN for what needs gates."""
        diagonal = {
            name: float("nan") if self.similarity is None else float(getattr(self.similarity, key).diagonal().nanmean())
            for name, key in (("S_TP diagonal", "correct"), ("S_FN diagonal", "wrong"))
        }
        return {
            "accuracy": self.accuracy,
            "CSG path (told)": self.csg_accuracy,
            "density": self.density,
            "information": self.information.score,
            "|cos| within": self.cosines.within,
            "|cos| between": self.cosines.between,
            "purity": self.clusters.purity,
            "NMI": self.clusters.nmi,
            "centre x gate": float(self.clusters.cosine.nanmean()) if self.similarity else float("nan"),
            "distance between / within": self.distances.ratio,
            **diagonal,
        }


def study(
    features: Tensor, labels: Tensor, linear: nn.Linear, weight: Tensor, *, gates: Tensor | None = None, sample: int = 2000, seed: int = 0
) -> GateStudy:
    """Measure a network by its pooled test features (n, K), labels (n,), final layer (K -> C) and last filters (K, c, kh, kw).

    gates: (C, K) of a gated network, None for another. sample: information and distances, which cost most, are taken of so many images at
    most, drawn at random. seed: of that draw, of the estimator and of the clusters.

    Source: spec of arXiv 2007.08194's appendix, 2.8 to 2.11. Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("features", features, "n K")
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear: got {checks.describe(linear)}, expected a torch.nn.Linear")
    C, K = linear.weight.shape
    checks.tensor("features", features, "n K", sizes={"K": K})
    labels = checks.labels("labels", labels, len(features), C)
    checks.tensor("weight", weight, "K c kh kw", sizes={"K": K})
    if gates is not None:
        checks.tensor("gates", gates, "C K", sizes={"C": C, "K": K})
    drawn = torch.Generator().manual_seed(checks.integer("seed", seed, 0))  # at random: labels may come in turns
    some = torch.randperm(len(features), generator=drawn)[: checks.integer("sample", sample, 10)].sort().values
    with torch.no_grad():
        logits = linear(features)
        told = float("nan") if gates is None else metrics.accuracy(linear(features * gates[labels]), labels)
    means = torch.stack([features[labels == c].mean(0) for c in range(C)]).nan_to_num(0.0)
    owner = owners(means if gates is None else gates)
    return GateStudy(
        accuracy=metrics.accuracy(logits, labels),
        csg_accuracy=told,
        owner=owner,
        information=mutual_information(features[some], labels[some], C, seed=seed),
        cosines=filter_cosines(weight, owner),
        clusters=find_clusters(features, labels, C, gates=gates, seed=seed),
        distances=class_distances(features[some], labels[some], C),
        similarity=None if gates is None else gate_similarity(features, labels, logits.argmax(1), gates),
        density=float("nan") if gates is None else l1_density(gates),
    )
