"""What pooled features tell of their classes without asking a network: information, clusters, distances.

For a network with gates and one without alike (appendices F and J, and the authors' ``mutualinfo.py``); estimates are scikit-learn's.
``similarity`` compares with the gates themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks
from . import information
from .similarity import gates_in_range, unit_rows


@dataclass(frozen=True, eq=False)
class MutualInformation:
    """What each filter tells about each class: ``table`` (C, K), I(a_k ; [y = c]) in nats, estimated; ``constant`` (K,) bool: filters
    whose feature never changes (dead ones), 0 in the table."""

    table: Tensor
    constant: Tensor

    @property
    def score(self) -> float:
        """The mutual information score: the mean over filters of what each tells about its best class, in nats."""
        return float(self.table.amax(0).mean())


def mutual_information(features: Tensor, labels: Tensor, n_classes: int, *, neighbors: int = 3, seed: int = 0) -> MutualInformation:
    """Mutual information of every feature with every class's indicator (spec 2.10; official code ``mutualinfo.py``).

    features: (n, K) pooled, n >= 3.
    labels: (n,) integers in [0, n_classes). A class without samples has a row of zeros.
    neighbors: of the estimator; a class of no more samples than that uses all it has.
    seed: of the noise, 1e-10 of a feature's mean, that breaks ties.

    The numbers of ``sklearn.feature_selection.mutual_info_classif``: the nearest-neighbour estimator of Ross (2014), negative estimates set
    to 0; no class balancing, no normalisation. Information cannot exceed the entropy of the indicator, 0.3251 for one of ten balanced
    classes; its estimate can, a little. Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("features", features, "n K")
    n, K = features.shape
    if n < 3:
        raise ValueError(f"features: got {checks.describe(features)}, expected n of at least 3 samples")
    C = checks.integer("n_classes", n_classes, 2)
    labels = checks.labels("labels", labels, n, C).cpu()
    neighbors, seed = checks.integer("neighbors", neighbors, 1), checks.integer("seed", seed, 0, 2**32 - 1)
    values = features.detach().cpu().double()
    constant = (values == values[0]).all(0)
    table = torch.zeros(C, K, dtype=torch.float64)
    if not bool(constant.all()):
        varied = information.noisy(values[:, ~constant].numpy(), seed)
        for c in labels.unique().tolist():
            table[c, ~constant] = torch.from_numpy(information.of_indicator(varied, (labels == c).numpy(), neighbors))
    return MutualInformation(table.to(features.device), constant.to(features.device))


@dataclass(frozen=True, eq=False)
class Clusters:
    """As many clusters as classes, each given to one class.

    ``centres`` (C, K): row c is the cluster given to class c; ``assigned`` (n,) int64: the class whose cluster each sample is in;
    ``contingency`` (C, C) int64: samples by cluster (row) and true class (column), its trace as large as any matching makes it;
    ``purity``: share of samples whose class is the most frequent of their cluster; ``nmi``: mutual information of clusters and classes
    divided by the mean of their entropies; ``cosine`` (C,): of each centre and its class's gates, NaN without gates.
    """

    centres: Tensor
    assigned: Tensor
    contingency: Tensor
    purity: float
    nmi: float
    cosine: Tensor


def find_clusters(
    features: Tensor, labels: Tensor, n_classes: int, *, gates: Tensor | None = None, restarts: int = 10, seed: int = 0
) -> Clusters:
    """Does k-means find the classes, and do its centres look like the gates (appendix F, spec 2.11)?

    features: (n, K) pooled, at least n_classes distinct rows.
    labels: (n,) integers in [0, n_classes).
    gates: (C, K) in [0, 1], or None.
    restarts, seed: the best of ``restarts`` starts of scikit-learn's KMeans with k = n_classes, seeded.

    Clusters are matched to classes so that most samples agree (Hungarian algorithm on the contingency table). Matching and scores are
    ours: the appendix shows a picture. Centres are proportional to gate rows at best, hence the cosine.
    Raises TypeError or ValueError naming the argument.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    checks.tensor("features", features, "n K")
    C = checks.integer("n_classes", n_classes, 2)
    labels = checks.labels("labels", labels, len(features), C).cpu()
    wanted = None if gates is None else _rows_for(gates, C, features.shape[1]).cpu()
    restarts, seed = checks.integer("restarts", restarts, 1), checks.integer("seed", seed, 0, 2**32 - 1)
    values = features.detach().cpu().double()
    distinct = len(values.unique(dim=0))
    if distinct < C:
        raise ValueError(
            f"features: got {distinct} distinct rows in {checks.describe(features)}, expected at least one for each of {C} clusters"
        )
    found = KMeans(C, n_init=restarts, random_state=seed).fit(values.numpy())
    cluster = torch.from_numpy(found.labels_).long()
    table = torch.zeros(C, C, dtype=torch.int64).index_put_((cluster, labels), torch.ones(()).long(), accumulate=True)
    given = torch.from_numpy(linear_sum_assignment(table.numpy(), maximize=True)[1])  # cluster -> class
    order = given.argsort()
    centres = torch.from_numpy(found.cluster_centers_)[order]
    cosine = torch.full((C,), torch.nan, dtype=torch.float64)
    if wanted is not None:
        cosine = (unit_rows(centres) * unit_rows(wanted)).sum(1).clamp(-1, 1)
    return Clusters(
        centres=centres.to(features.device),
        assigned=given[cluster].to(features.device),
        contingency=table[order].to(features.device),
        purity=int(table.amax(1).sum()) / len(labels),
        nmi=float(normalized_mutual_info_score(labels.numpy(), cluster.numpy())),
        cosine=cosine.to(features.device),
    )


def _rows_for(gates: Tensor, n_classes: int, n_filters: int) -> Tensor:
    checks.tensor("gates", gates, "C K", sizes={"C": n_classes, "K": n_filters})
    return gates_in_range(gates)


@dataclass(frozen=True, eq=False)
class ClassDistances:
    """Mean Euclidean distances in feature space: ``within`` (C,) of two samples of one class, NaN for a class of fewer than two;
    ``between`` (C, C) of a sample of each of two classes, NaN on the diagonal and for a class without samples."""

    within: Tensor
    between: Tensor

    @property
    def ratio(self) -> float:
        """Mean of ``between`` over mean of ``within`` (NaN left out), free of the features' scale, which differs between networks."""
        return float(self.between.nanmean() / self.within.nanmean())


def class_distances(features: Tensor, labels: Tensor, n_classes: int, *, max_bytes: int = 2**26) -> ClassDistances:
    """How far apart are samples of one class, and of two?

    features: (n, K).
    labels: (n,) integers in [0, n_classes).
    max_bytes: for distances held at a time, at least 8 for each sample of the largest class; the features in double precision come on top.

    Every pair counts, none is sampled. Why it is measured: appendix J explains robustness by a larger within-class and a smaller
    between-class distance, which looks swapped (ours). Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("features", features, "n K")
    C = checks.integer("n_classes", n_classes, 1)
    labels = checks.labels("labels", labels, len(features), C).to(features.device)
    largest = int(labels.bincount().max())
    if checks.integer("max_bytes", max_bytes, 1) < 8 * largest:
        raise ValueError(f"max_bytes: got {max_bytes}, expected at least {8 * largest}, the distances of one sample to the largest class")
    groups = [features.detach()[labels == c].double() for c in range(C)]
    totals = features.new_zeros(C, C, dtype=torch.float64)
    for a in range(C):
        for b in range(a, C):
            totals[a, b] = totals[b, a] = _total(groups[a], groups[b], max_bytes)
    count = torch.tensor([len(group) for group in groups], dtype=torch.float64, device=features.device)
    within = totals.diagonal() / (count * (count - 1))  # 0 / 0 is NaN
    between = (totals / torch.outer(count, count)).fill_diagonal_(torch.nan)
    return ClassDistances(within, between)


def _total(a: Tensor, b: Tensor, max_bytes: int) -> Tensor:
    """The sum of all distances between rows of a (m, K) and of b (n, K)."""
    rows = max_bytes // (8 * max(1, len(b)))
    exact = "donot_use_mm_for_euclid_dist"  # the other way loses digits of close pairs
    return sum((torch.cdist(part, b, compute_mode=exact).sum() for part in a.split(rows) if len(part)), a.new_zeros(()))
