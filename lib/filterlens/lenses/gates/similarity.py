"""What the gates say about the network they were trained with: do features, filters and gates tell of the same classes?

``gate_similarity`` holds the mean features of a class against every row of gates (appendix C), ``filter_cosines`` the filters of
one class against those of others (appendix D), ``monopolised`` counts filters by how many classes they answer to (what appendix E
takes from 20 runs). Knows tensors alone: gates come from ``matrix`` and ``train``, features from ``network.pooled``; what needs only
features and labels is in ``clusters``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks


@dataclass(frozen=True, eq=False)
class Similarity:
    """Mean features of a class against the gates of every class.

    ``correct`` (C, C): S_TP, from the samples predicted as what they are; ``wrong`` (C, C): S_FN, from the others. Rows: the TRUE class
    y; columns: the class c of the gates; rows of classes without such samples are NaN. ``n_correct``, ``n_wrong`` (C,) int64: samples
    behind each row. "True positive" and "false negative" are the appendix's words for correct and wrong samples of class y.
    """

    correct: Tensor
    wrong: Tensor
    n_correct: Tensor
    n_wrong: Tensor


def gate_similarity(features: Tensor, labels: Tensor, predicted: Tensor, gates: Tensor) -> Similarity:
    """S_yc = cos(a_y, G_c), a_y the mean features of class y, once over correct and once over wrong samples (appendix C, spec 2.8).

    features: (n, K) pooled, without gates. Those of a ReLU give S in [0, 1], signed ones S in [-1, 1].
    labels, predicted: (n,) integers in [0, C).
    gates: (C, K) in [0, 1].

    A mean or a row of gates that is zero has cosine 0 with everything (ours). Results are in double precision on the features'
    device. Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("features", features, "n K")
    n, K = features.shape
    gates = gates_in_range(gates, K).to(features.device)
    labels = checks.labels("labels", labels, n, len(gates)).to(features.device)
    right = checks.labels("predicted", predicted, n, len(gates)).to(features.device) == labels
    correct, n_correct = _against(features[right], labels[right], gates)
    wrong, n_wrong = _against(features[~right], labels[~right], gates)
    return Similarity(correct, wrong, n_correct, n_wrong)


def gates_in_range(gates: Tensor, n_filters: int | None = None) -> Tensor:
    """Check gates (C, K), K as many as ``n_filters`` if given, entries in [0, 1]; in double precision, detached."""
    checks.tensor("gates", gates, "C K", sizes={} if n_filters is None else {"K": n_filters})
    low, high = float(gates.min()), float(gates.max())
    if low < 0 or high > 1:
        raise ValueError(f"gates: got entries from {low:g} to {high:g}, expected entries in [0, 1]; see project_gates")
    return gates.detach().double()


def _against(features: Tensor, labels: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines (C, C) of class means with gates, NaN rows where a class has no sample, and the samples per class (C,)."""
    sums = torch.zeros_like(gates).index_add_(0, labels, features.detach().double())
    count = labels.bincount(minlength=len(gates))
    table = unit_rows(sums) @ unit_rows(gates).T
    return torch.where(count[:, None] > 0, table.clamp(-1, 1), torch.nan), count


def unit_rows(x: Tensor) -> Tensor:
    """Every row of x (m, d) divided by its Euclidean length; rows of zeros stay zeros. Scaled first, so that no square overflows."""
    peak = x.abs().amax(1, keepdim=True)
    scaled = x / torch.where(peak > 0, peak, 1)
    length = scaled.norm(dim=1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1)


@dataclass(frozen=True, eq=False)
class FilterCosines:
    """Cosines of filters, sorted by the class they belong to.

    ``matrix`` (K, K): cosine of the filters ``order[i]`` and ``order[j]``; ``order`` (K,): filters by owner, then by index; ``owners``
    (K,): their classes, ascending; ``within``, ``between``: mean |cos| over pairs of two filters of one class, and of two classes,
    NaN if there is no such pair; ``n_zero``: filters of zero norm, whose cosines are 0 (their own entry on the diagonal too) and
    are averaged as such.
    """

    matrix: Tensor
    order: Tensor
    owners: Tensor
    within: float
    between: float
    n_zero: int


def filter_cosines(weight: Tensor, owners: Tensor) -> FilterCosines:
    """Are filters of different classes orthogonal? Cosines of all pairs of flattened filters (appendix D, spec 2.9).

    weight: (K, c, kh, kw) of the last convolution, at any scale.
    owners: (K,) the class of each filter, an integer from 0, such as ``owners(gates)`` of ``matrix`` finds.

    The appendix gives the intuition only: a filter blocked for class c is pushed to be inactive on c; the two means are ours.
    Results are in double precision on the weight's device. Peak memory: some tables (K, K). Raises TypeError or ValueError naming the
    argument.
    """
    checks.tensor("weight", weight, "K c kh kw")
    classes = checks.labels("owners", owners, len(weight), 2**31).to(weight.device)
    classes, order = classes.sort(stable=True)
    flat = unit_rows(weight.detach().double().flatten(1))[order]
    matrix = (flat @ flat.T).clamp(-1, 1)
    pair = torch.ones_like(matrix, dtype=torch.bool).triu(1)
    same = classes[:, None] == classes[None]
    within, between = (float(matrix[pair & kind].abs().mean()) for kind in (same, ~same))
    return FilterCosines(matrix, order, classes, within, between, int((flat == 0).all(1).sum()))


@dataclass(frozen=True, eq=False)
class Monopolised:
    """Filters by the classes that they answer to, that is whose gate is at least the threshold.

    ``own`` (C,) int64: filters that answer to this class alone, the m1 of appendix E; ``shared``: filters that answer to two classes or
    more, its m2; ``n_classes_per_filter`` (K,) int64.
    """

    own: Tensor
    shared: int
    n_classes_per_filter: Tensor


def monopolised(gates: Tensor, *, threshold: float = 0.5) -> Monopolised:
    """How many filters does each class have for itself, and how many are shared?

    gates (C, K) in [0, 1]; threshold in (0, 1]. The appendix takes its m1 and m2 from 20 runs and gives no threshold: 0.5 is ours.
    In feasible gates every filter answers to some class; a column below the threshold counts as neither.
    Raises TypeError or ValueError naming the argument.
    """
    gates = gates_in_range(gates)
    if checks.real("threshold", threshold, 0, 1) == 0:
        raise ValueError("threshold: got 0, expected a number in (0, 1]: every gate is at least 0")
    open_to = gates >= threshold
    classes = open_to.sum(0)
    return Monopolised(open_to[:, classes == 1].sum(1), int((classes > 1).sum()), classes)
