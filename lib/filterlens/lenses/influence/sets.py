"""How the influential sets of different classes relate: what they share, and how much one tells about another.

Takes index sets (C, s) as ``selection`` finds them; knows nothing of how they were found.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks


@dataclass(frozen=True, eq=False)
class SetStatistics:
    """Of the sets I_y of C classes among d features.

    ``overlap`` (C, C) int64: |I_a and I_b|; ``jaccard`` (C, C): |I_a and I_b| / |I_a or I_b|; ``mutual_information`` (C, C): in nats,
    of the two 0/1 vectors that say for each of the d features whether it is in the set; ``classes_per_feature`` (d,) int64;
    ``union``: features used by any class; ``mean_overlap``: over pairs of two different classes; ``mi_mean``: over all C^2
    ordered pairs, those of a class with itself included (as the authors' script does); ``mi_off_diagonal``: without those.
    Means over two different classes are NaN for C = 1.
    """

    overlap: Tensor
    jaccard: Tensor
    mutual_information: Tensor
    classes_per_feature: Tensor
    union: int
    mean_overlap: float
    mi_mean: float
    mi_off_diagonal: float


def set_statistics(indices: Tensor, d: int) -> SetStatistics:
    """Compare the sets of all classes: indices (C, s), distinct in each row, in [0, d).

    The mutual information of a set with itself is its entropy, H(s/d) = -(s/d) ln(s/d) - (1 - s/d) ln(1 - s/d), and depends on
    its size alone: means that include it say more about s than about the classes. Peak memory: some tables (C, C), one (C, d).
    """
    d = checks.integer("d", d, 1)
    indices = checks.index_rows("indices", indices, d)
    n_classes, s = indices.shape
    member = torch.zeros(n_classes, d, dtype=torch.float64, device=indices.device).scatter_(1, indices, 1)
    both = member @ member.T
    information = sum(
        _cell(joint / d, a / d, b / d)
        for joint, a, b in ((both, s, s), (s - both, s, d - s), (s - both, d - s, s), (d - 2 * s + both, d - s, d - s))
    )
    used = member.sum(0).long()
    return SetStatistics(
        overlap=both.long(),
        jaccard=both / (2 * s - both),
        mutual_information=information,
        classes_per_feature=used,
        union=int((used > 0).sum()),
        mean_overlap=_off_diagonal(both),
        mi_mean=float(information.mean()),
        mi_off_diagonal=_off_diagonal(information),
    )


def shared(a: Tensor, b: Tensor) -> Tensor:
    """How many indices two selections have in common: a (C, s), b (C, t), distinct in each row -> (C,) int64."""
    a = checks.index_rows("a", a, 2**62)  # any width
    b = checks.index_rows("b", b, 2**62, rows=len(a)).to(a.device)
    ordered = a.sort(dim=1).values
    at = torch.searchsorted(ordered, b.contiguous()).clamp(max=a.shape[1] - 1)
    return (ordered.gather(1, at) == b).sum(1)


def _cell(joint: Tensor, a: float, b: float) -> Tensor:
    """p ln(p / (p_a p_b)), where 0 ln 0 = 0."""
    return torch.where(joint > 0, joint * torch.log(joint.clamp(min=1e-300) / max(a * b, 1e-300)), 0)


def _off_diagonal(table: Tensor) -> float:
    n = len(table)
    return float((table.sum() - table.diagonal().sum()) / (n * (n - 1))) if n > 1 else float("nan")
