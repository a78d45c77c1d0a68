"""How images vote for features, and how votes make an order: the arithmetic behind ``selection``, on checked tensors.

Everything that is summed over images is a whole number: votes are counts, and the share that a feature has in an image is
rounded to a multiple of 2^-38. Whole numbers add up to the same in every order, so a stream gives bit for bit what the
whole table gives, whatever the batches, and features with the same shares, in whichever images, are seen to be equal.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ... import checks

UNIT = 2.0**38  # parts of an image's mass: 33 million images of a class fit into 64 bits, the rounding is below 2e-12
_ENTRIES = 2**22  # of the table that is taken at a time; in double precision 32 MiB


def checked(features: Tensor, labels: Tensor, n_classes: int, d: int | None = None) -> tuple[Tensor, Tensor]:
    """Features (n, d) and labels (n,) in [0, n_classes), as int64 beside the features."""
    checks.tensor("features", features, "n d", sizes={} if d is None else {"d": d})
    return features.detach(), checks.labels("labels", labels, len(features), n_classes).to(features.device)


def checked_linear(linear: object, n_classes: int | None = None, d: int | None = None) -> nn.Linear:
    """A linear layer d -> n_classes, of any size where None is given, all of its numbers finite."""
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear: got {checks.describe(linear)}, expected a torch.nn.Linear of {d or 'd'} -> {n_classes or 'C'}")
    sizes = {axis: size for axis, size in {"C": n_classes, "d": d}.items() if size is not None}
    checks.tensor("linear: weight", linear.weight.detach(), "C d", sizes=sizes)
    if linear.bias is not None:
        checks.tensor("linear: bias", linear.bias.detach(), "C", sizes={"C": len(linear.weight)})
    return linear


def weight_of(linear: nn.Linear, n_classes: int, d: int) -> Tensor:
    """The weight (n_classes, d) of a linear layer, in double precision."""
    return checked_linear(linear, n_classes, d).weight.detach().double()


def parts(features: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A few thousand images at a time."""
    size = max(1, min(4096, _ENTRIES // features.shape[1]))
    return zip(features.split(size), labels.split(size), strict=True)


def shares(features: Tensor) -> Tensor:
    """What each feature has of its image's L1 norm, |f_i| / sum_j |f_j|, in whole parts of ``1 / UNIT``: (n, d) int64.

    An image whose features are all zero has nothing to share.
    """
    size = _sizes(features)
    total = size.sum(1, keepdim=True)
    return (size / torch.where(total > 0, total, 1)).mul_(UNIT).round_().long()


def top(values: Tensor, r: int) -> Tensor:
    """Which features are among the r largest of their image (n, d) bool; at the border the lower index comes first, zeros never."""
    if r == values.shape[1]:
        return values != 0
    least = values.topk(r, dim=1).values[:, -1:]
    above, border = values > least, values == least
    room = r - above.sum(1, keepdim=True)
    return (above | (border & (border.cumsum(1) <= room))) & (values != 0)


def covering(features: Tensor, coverage: float) -> Tensor:
    """Which features make up the smallest set that reaches this share of its image's L1 norm: (n, d) bool, zeros never."""
    if coverage == 1:  # by a running sum, a feature too small to change it would be left out
        return features != 0
    size = _sizes(features)
    ordered, order = size.sort(dim=1, descending=True, stable=True)
    reached = ordered.cumsum(1)
    wanted = (reached - ordered < coverage * reached[:, -1:]) & (ordered != 0)
    return torch.zeros_like(wanted).scatter_(1, order, wanted)


def _sizes(features: Tensor) -> Tensor:
    """|f_i| in double precision; images whose sum could overflow or lose bits are scaled by a power of two, which changes no share."""
    size = features.double().abs()
    if features.dtype != torch.float64:
        return size
    largest = size.amax(1, keepdim=True)
    return torch.where(largest > 1e150, size * 2.0**-512, torch.where(largest < 1e-150, size * 2.0**512, size))


def descending(score: Tensor, then: Tensor | None = None) -> Tensor:
    """The order (C, d) of each row's entries: by score, then by the second table, then by index."""
    if then is None:
        return score.sort(dim=1, descending=True, stable=True).indices
    order = descending(then)
    return order.gather(1, descending(score.gather(1, order)))


def mean_share(parts_of_class: Tensor, voting: Tensor) -> Tensor:
    """The mean share (C, d) over each class's voting images, of sums (C, d) in parts and counts (C,); zero without any."""
    return parts_of_class.double() / UNIT / voting.clamp(min=1)[:, None]


def elect(counts: Tensor, mass: Tensor, voting: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Order (C, d) and score (C, d): by votes, mass and index; a class without voting images by its weights, if there are any."""
    score, order = counts.double(), descending(counts, mass)
    if weight is not None and bool((voting == 0).any()):
        silent = (voting == 0)[:, None]
        weight = weight.to(counts.device)
        score, order = torch.where(silent, weight, score), torch.where(silent, descending(weight), order)
    return order, score


def tell_without_votes(voting: Tensor, n_images: Tensor, weight: Tensor | None) -> None:
    """Say which classes no image votes in; without images and without weights to order by, refuse."""
    missing, empty = ((count == 0).nonzero().flatten().tolist() for count in (voting, n_images))
    if missing and weight is not None:
        warn(f"no image votes for class {_few(missing)}: ordered by the layer's signed weights instead")
    elif empty:
        raise ValueError(f"labels: got no image of class {_few(empty)}, expected some of each class, or linear= to order by its weights")
    elif missing:
        warn(f"all features of all images of class {_few(missing)} are zero: ordered by index")


def warn(message: str) -> None:
    """Warn at the line that called this package, by whatever way it came here."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _few(classes: list[int]) -> str:
    return f"{', '.join(map(str, classes[:10]))}{f' and {len(classes) - 10} more' if len(classes) > 10 else ''}"
