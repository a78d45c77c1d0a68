"""Numbers that compare: each function says its definition; all take tensors and return a float, ``..._per_image`` a tensor (n,),
``reliability`` a table.

On the ground floor: lenses and notebooks use these, so that the same word means the same number everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from filterlens import checks


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of images whose largest logit is their label: mean of [argmax_c logits[i, c] = labels[i]].

    logits (n, C), labels (n,) integer in [0, C). Of equal logits the first counts.
    """
    checks.tensor("logits", logits, "n C")
    checks.labels("labels", labels, *logits.shape)
    return float((logits.argmax(1) == labels.to(logits.device)).double().mean())


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of confidence: ``edges`` (bins + 1,), mean ``confidence`` and ``accuracy`` of each bin (bins,), NaN where it is empty,
    ``count`` (bins,) of images in it, and ``ece``, the expected calibration error."""

    edges: Tensor
    confidence: Tensor
    accuracy: Tensor
    count: Tensor
    ece: float


def reliability(logits: Tensor, labels: Tensor, *, bins: int = 15) -> Reliability:
    """How far the confidence max_c softmax(logits)[i, c] can be trusted: accuracy per bin of confidence, over ``bins`` equal bins.

    logits (n, C), labels (n,) integer in [0, C). Bin m holds the images with confidence in ((m - 1) / bins, m / bins];
    ece = sum over m of count_m / n |accuracy_m - confidence_m| (Guo et al. 2017, arXiv 1706.04599, eq. 3; their bins are 15).
    """
    checks.tensor("logits", logits, "n C")
    checks.labels("labels", labels, *logits.shape)
    checks.integer("bins", bins, 1)
    found, guess = logits.detach().cpu().double().softmax(1).max(1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    place = torch.bucketize(found, edges[1:-1])
    count = place.bincount(minlength=bins)
    confidence, accuracy = (
        torch.zeros(bins, dtype=torch.float64).index_add(0, place, values) / count  # 0 / 0 is NaN
        for values in (found, (guess == labels.cpu()).double())
    )
    gaps = (accuracy - confidence).abs().nan_to_num(0.0)
    return Reliability(edges, confidence, accuracy, count, float((gaps * count).sum() / len(logits)))


def top1_agreement(a: Tensor, b: Tensor) -> float:
    """The share of rows where two tables of scores have their maximum in the same column: a, b (n, C). Of equal scores the first counts."""
    return float(top1_agreement_per_image(a, b).double().mean())


def top1_agreement_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Whether each row of two tables of scores has its maximum in the same column: a, b (n, C) -> (n,) bool, on a's device."""
    checks.tensor("a", a, "n C")
    checks.tensor("b", b, "n C", sizes={"n": a.shape[0], "C": a.shape[1]})
    return a.argmax(1) == b.to(a.device).argmax(1)


def mean_squared_error(a: Tensor, b: Tensor) -> float:
    """mean((a - b)^2) over all entries of two tensors of one shape, summed in double precision."""
    _same_shape(a, b)
    return float((a.double() - b.to(a.device).double()).square().mean())


def pearson(a: Tensor, b: Tensor) -> float:
    """Pearson's r over all entries: sum(a' b') / sqrt(sum(a'^2) sum(b'^2)), where a' = a - mean(a).

    a, b: one shape, at least two entries. NaN if either is constant, where r is not defined.
    """
    _same_shape(a, b, least=2)
    return float(_correlation(_rows(a[None]), _rows(b[None]).to(a.device)))


def pearson_per_image(a: Tensor, b: Tensor) -> Tensor:
    """``pearson`` of each image by itself: a, b (n, ...) -> (n,) in double precision, on a's device.

    At least two entries per image. NaN where either is constant.
    """
    _same_shape(a, b, least=2, per_image=True)
    return _correlation(_rows(a), _rows(b).to(a.device))


def spearman(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation over all entries: Pearson's r of the ranks, equal entries sharing their mean rank.

    a, b: one shape, at least two entries. NaN if either is constant.
    """
    _same_shape(a, b, least=2)
    return float(_correlation(_ranks(a[None]), _ranks(b[None]).to(a.device)))


def spearman_per_image(a: Tensor, b: Tensor) -> Tensor:
    """``spearman`` of each image by itself: a, b (n, ...) -> (n,) in double precision, on a's device.

    At least two entries per image. NaN where either is constant.
    """
    _same_shape(a, b, least=2, per_image=True)
    return _correlation(_ranks(a), _ranks(b).to(a.device))


def map_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity of maps a (p, H, W) to reference maps b (p, H, W): (p,) in double precision, on a's device.

    Wang et al. 2004 (IEEE TIP 13:4): Gaussian window of 11, sigma 1.5, K1 = .01, K2 = .03, biased covariances, the mean over the
    places where the window fits; data range = max - min of the reference, so that it is symmetric only for a shared range.
    By scikit-image where the window fits; it knows no smaller Gaussian window, so that maps under 11 get the same formula here with
    the largest odd window that fits. NaN for maps under 3 x 3 and where the reference is constant.
    Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("a", a, "p H W")
    checks.tensor("b", b, "p H W", sizes=dict(zip("pHW", a.shape, strict=True)))
    window = min(11, *(side - 1 + side % 2 for side in a.shape[1:]))
    ranges = (b.amax((1, 2)).double() - b.amin((1, 2)).double()).tolist()
    found = torch.full((len(a),), math.nan, dtype=torch.float64)
    pairs = zip(*(x.detach().cpu().double() for x in (a, b)), ranges, strict=True)
    for at, (x, y, span) in enumerate(pairs):
        if span > 0 and window >= 3:
            found[at] = _ssim(x, y, span, window)
    return found.to(a.device)


def _ssim(x: Tensor, y: Tensor, span: float, window: int) -> float:
    """SSIM of two maps (H, W) in double precision, see ``map_ssim``."""
    if window == 11:
        from skimage.metrics import structural_similarity

        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": span}
        return float(structural_similarity(x.numpy(), y.numpy(), **options))
    line = torch.exp(-0.5 * (torch.arange(window, dtype=torch.float64) - window // 2).square() / 1.5**2)
    line = line / line.sum()
    means = torch.nn.functional.conv2d(torch.stack([x, y, x * x, y * y, x * y])[:, None], (line[:, None] * line)[None, None])[:, 0]
    mean_x, mean_y, xx, yy, xy = means
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return float((luminance * structure).mean())


def _rows(x: Tensor) -> Tensor:
    return x.detach().double().flatten(1)


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 1 along each row, equal entries sharing their mean."""
    x = _rows(x).contiguous()
    ordered = x.sort(1).values
    return (torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True) + 1).double() / 2


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's r of each row."""
    defined = (a != a[:, :1]).any(1) & (b != b[:, :1]).any(1)  # rounding in the mean would make noise of 0 / 0
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    a, b = (x / x.abs().amax(1, keepdim=True) for x in (a, b))  # r knows no scale; the squares of tiny or huge numbers would
    r = ((a * b).sum(1) / torch.sqrt((a * a).sum(1) * (b * b).sum(1))).clamp(-1, 1)
    return torch.where(defined, r, math.nan)


def _same_shape(a: Tensor, b: Tensor, least: int = 1, *, per_image: bool = False) -> None:
    for name, value in (("a", a), ("b", b)):
        axes = " ".join(f"axis{at}" for at in range(value.ndim)) if isinstance(value, Tensor) else "n"
        checks.tensor(name, value, axes)
        if per_image and value.ndim < 2:
            raise ValueError(f"{name}: got {checks.describe(value)}, expected images along the first axis, (n, ...)")
        if value.numel() < least * (len(value) if per_image else 1):
            raise ValueError(f"{name}: got {checks.describe(value)}, expected at least {least} entries{' per image' * per_image}")
    if a.shape != b.shape:
        raise ValueError(f"b: got {checks.describe(b)}, expected the shape of a, {tuple(a.shape)}")
