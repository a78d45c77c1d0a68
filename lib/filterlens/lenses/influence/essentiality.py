"""What happens when features are disturbed: those of the image's own class, or all the others (Table 8 of arXiv 2112.07719).

An oracle protocol: the TRUE label of an image says which features are disturbed, so no classifier could run it on an image
of unknown class. The disturbed features go through the FULL final layer; ``decomposition`` takes that layer apart instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import checks
from .votes import checked_linear

WHICH = ("influential", "other")
NOISES = ("unit", "matched", "zero", "mean")
ROWS = 4096  # at a time, in double precision or as logits


@dataclass(frozen=True, eq=False)
class FeatureStats:
    """Mean and standard deviation (divisor n) of every feature over the training images: (d,), double precision."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, eq=False)
class Essentiality:
    """Accuracies, as fractions, of the full layer: undisturbed, and with either kind of feature disturbed, one per seed."""

    original: float
    influential: Tensor
    other: Tensor
    noise: str
    seeds: tuple[int, ...]


def feature_stats(features: Tensor) -> FeatureStats:
    """What ``noise="matched"`` and ``"mean"`` need, of training features (n, d). Raises TypeError or ValueError naming them."""
    checks.tensor("features", features, "n d")
    parts = features.split(ROWS)
    mean = sum(part.double().sum(0) for part in parts) / len(features)
    square = sum((part.double() - mean).square().sum(0) for part in parts) / len(features)
    return FeatureStats(mean, square.sqrt())


def ablate(
    features: Tensor,
    indices: Tensor,
    labels: Tensor,
    *,
    which: str = "influential",
    noise: str = "unit",
    stats: FeatureStats | None = None,
    seed: int = 0,
) -> Tensor:
    """A copy of features (n, d) in which the features of each image's class, or all others, are replaced.

    indices: (C, s), the sets of the classes; labels: (n,), the true ones, choose the set (an oracle protocol).
    which: "influential" replaces the features in the set, "other" those outside.
    noise: "unit" N(0, 1), the authors' (torch.randn in their code; the paper says "Gaussian"); "matched" N(mean_i, std_i^2);
        "zero"; "mean" mean_i. The second and the last take ``stats`` of the training features.
    seed: one table of draws for all images and features, the same for either ``which`` and in any precision, so that two
        calls disturb an entry alike.

    Peak memory: three tables like the features. Raises TypeError or ValueError naming the argument.
    """
    n, d = checks.tensor("features", features, "n d").shape
    indices = checks.index_rows("indices", indices, d)
    labels = checks.labels("labels", labels, n, len(indices))
    checks.choice("which", which, WHICH)
    checks.choice("noise", noise, NOISES)
    checks.integer("seed", seed, 0)
    if noise in ("matched", "mean"):
        stats = _checked_stats(stats, noise, d)
        mean, std = (x.to(features) for x in (stats.mean, stats.std))
    chosen = torch.zeros(len(indices), d, dtype=torch.bool).scatter(1, indices.cpu(), True)[labels.cpu()].to(features.device)
    if noise == "zero":
        values = features.new_zeros(())
    elif noise == "mean":
        values = mean
    else:
        values = _draws(n, d, seed).to(features)
        values = values if noise == "unit" else mean + std * values
    return torch.where(chosen if which == "influential" else ~chosen, values, features)


def essentiality(
    features: Tensor,
    labels: Tensor,
    linear: nn.Linear,
    indices: Tensor,
    *,
    noise: str = "unit",
    stats: FeatureStats | None = None,
    seeds: Iterable[int] = range(10),
) -> Essentiality:
    """Accuracy of the full layer on features (n, d) as they are, with the influential ones, and with the others disturbed.

    Arguments as for ``ablate``; linear: the full final layer (d -> C). "zero" and "mean" draw nothing: one seed, the first,
    stands for all. Peak memory: four tables like the features. Raises TypeError or ValueError naming the argument.
    """
    linear = checked_linear(linear)
    n, d = checks.tensor("features", features, "n d", sizes={"d": linear.in_features}).shape
    labels = checks.labels("labels", labels, n, linear.out_features)
    checks.index_rows("indices", indices, d, rows=linear.out_features)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise TypeError(f"seeds: got {checks.describe(seeds)}, expected integers")
    drawn = tuple(checks.integer("seeds", seed, 0) for seed in seeds)
    if not drawn:
        raise ValueError("seeds: got none, expected at least one")
    if checks.choice("noise", noise, NOISES) in ("zero", "mean"):
        drawn = drawn[:1]
    found = {
        which: [
            _accuracy(linear, ablate(features, indices, labels, which=which, noise=noise, stats=stats, seed=seed), labels)
            for seed in drawn
        ]
        for which in WHICH
    }  # fmt: skip
    influential, other = (torch.tensor(found[which], dtype=torch.float64) for which in WHICH)
    return Essentiality(_accuracy(linear, features, labels), influential, other, noise, drawn)


def _draws(n: int, d: int, seed: int) -> Tensor:
    """N(0, 1) in single precision; torch draws in blocks of 16, so whole blocks keep an entry from depending on n."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(-(-n * d // 16) * 16, generator=generator)[: n * d].view(n, d)


def _accuracy(linear: nn.Linear, features: Tensor, labels: Tensor) -> float:
    """In the layer's precision, some rows at a time: for many classes the logits are larger than the features."""
    right = 0
    with torch.no_grad():
        for part, truth in zip(features.split(ROWS), labels.split(ROWS), strict=True):
            right += int((linear(part.to(linear.weight)).argmax(1) == truth.to(linear.weight.device)).sum())
    return right / len(labels)


def _checked_stats(stats: object, noise: str, d: int) -> FeatureStats:
    if stats is None:
        raise ValueError(f"stats: got None with noise={noise!r}, expected feature_stats(training features)")
    if not isinstance(stats, FeatureStats):
        raise TypeError(f"stats: got {checks.describe(stats)}, expected feature_stats(training features)")
    for name in ("mean", "std"):
        checks.tensor(f"stats: {name}", getattr(stats, name), "d", sizes={"d": d})
    return stats
