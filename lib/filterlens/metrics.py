"""Numbers that compare: each function says its definition; all take tensors and return a float.

On the ground floor: lenses and notebooks use these, so that the same word means the same number everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from filterlens import checks


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of images whose largest logit is their label: mean of [argmax_c logits[i, c] = labels[i]].

    logits (n, C), labels (n,) integer in [0, C). Of equal logits the first counts.
    """
    checks.tensor("logits", logits, "n C")
    checks.tensor("labels", labels, "n", sizes={"n": len(logits)}, floating=False)
    if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
        raise ValueError(f"labels: got {int(labels.min())} to {int(labels.max())}, expected integers in [0, {logits.shape[1] - 1}]")
    return float((logits.argmax(1) == labels.to(logits.device)).double().mean())


def top1_agreement(a: Tensor, b: Tensor) -> float:
    """The share of rows where two tables of scores have their maximum in the same column: a, b (n, C). Of equal scores the first counts."""
    checks.tensor("a", a, "n C")
    checks.tensor("b", b, "n C", sizes={"n": a.shape[0], "C": a.shape[1]})
    return float((a.argmax(1) == b.to(a.device).argmax(1)).double().mean())


def mean_squared_error(a: Tensor, b: Tensor) -> float:
    """mean((a - b)^2) over all entries of two tensors of one shape, summed in double precision."""
    _same_shape(a, b)
    return float((a.double() - b.to(a.device).double()).square().mean())


def pearson(a: Tensor, b: Tensor) -> float:
    """Pearson's r over all entries: sum(a' b') / sqrt(sum(a'^2) sum(b'^2)), where a' = a - mean(a).

    a, b: one shape, at least two entries. NaN if either is constant, where r is not defined.
    """
    _same_shape(a, b, least=2)
    a, b = (value.detach().cpu().double().flatten() for value in (a, b))
    if bool((a == a[0]).all()) or bool((b == b[0]).all()):
        return math.nan  # rounding in the mean would make noise of 0 / 0
    a, b = a - a.mean(), b - b.mean()
    a, b = a / a.abs().max(), b / b.abs().max()  # r knows no scale; the squares of tiny or huge numbers would
    return float((a @ b / torch.sqrt((a @ a) * (b @ b))).clamp(-1, 1))


def spearman(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation over all entries: Pearson's r of the ranks, equal entries sharing their mean rank.

    a, b: one shape, at least two entries. NaN if either is constant. Ranks are scipy's (``scipy.stats.rankdata``).
    """
    from scipy.stats import rankdata

    _same_shape(a, b, least=2)
    ranks = (torch.from_numpy(rankdata(value.detach().cpu().double().numpy().ravel())) for value in (a, b))
    return pearson(*ranks)


def _same_shape(a: Tensor, b: Tensor, least: int = 1) -> None:
    for name, value in (("a", a), ("b", b)):
        axes = " ".join(f"axis{at}" for at in range(value.ndim)) if isinstance(value, Tensor) else "n"
        checks.tensor(name, value, axes)
        if value.numel() < least:
            raise ValueError(f"{name}: got {checks.describe(value)}, expected at least {least} entries")
    if a.shape != b.shape:
        raise ValueError(f"b: got {checks.describe(b)}, expected the shape of a, {tuple(a.shape)}")
