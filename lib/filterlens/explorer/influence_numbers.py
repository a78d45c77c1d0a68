"""A final layer in whole numbers, so that the page and Python count the same images as right, one by one.

Features are stored in eight bits, weights are scaled to whole numbers whose sums stay below 2^31. Every sum is then exact in
any order and in any language, and of equal logits the first class wins. ``script/influence_numbers.js`` is this file again, for the
page; ``influence`` makes panels of what is counted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

NOISES = ("zero", "mean", "unit")
ROOM = 2.0**29  # the largest logit: the difference of two stays below 2^31, with room for rounding
QUANTILES = 4096  # of the normal distribution: what unit noise is drawn from
PARTS = 256  # unit noise is counted in 1/256


class WholeLayer:
    """A linear layer and features in whole numbers, images sorted by class.

    ``features`` (d, n) int32, in steps of ``step`` (d,); ``stored`` is the eight-bit type that holds them: uint8, or int8 if some
    are negative. ``weight`` (C, d) and ``bias`` (C,) int32: a logit is a whole number of 1 / ``scale``. Class y has the images
    ``ends[y]`` to ``ends[y + 1]``; image k stands in row ``rows[k]`` of the features given. ``mean`` (d,) is what a feature is
    replaced by under the noise "mean".
    """

    def __init__(self, features: Tensor, labels: Tensor, linear: nn.Linear, mean: Tensor) -> None:
        self.rows = torch.argsort(labels, stable=True).numpy()
        values = features.double().numpy()[self.rows].T
        weight, means = linear.weight.detach().double().numpy(), mean.double().numpy()
        bias = np.zeros(len(weight)) if linear.bias is None else linear.bias.detach().double().numpy()
        self.ends = np.concatenate([[0], np.cumsum(np.bincount(labels.numpy(), minlength=len(weight)))])
        self.stored = np.int8 if values.min() < 0 else np.uint8
        peak = np.abs(values).max(axis=1)
        self.step = np.where(peak > 0, peak, 1.0) / np.iinfo(self.stored).max
        normal = torch.special.ndtri((torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES).numpy()
        reach = np.maximum(np.maximum(peak, np.abs(means)), normal.max())
        largest = float((np.abs(weight) @ reach + np.abs(bias)).max())
        self.scale = ROOM / largest if largest > 0 else 1.0
        self.exact = values, weight, bias  # in full precision: what the whole numbers are compared with
        self.features = _whole(values / self.step[:, None])
        self.weight, self.bias = _whole(weight * self.step * self.scale), _whole(bias * self.scale)
        self.mean_weight, self.noise_weight = _whole(weight * means * self.scale), _whole(weight * self.scale / PARTS)
        self.quantiles = _whole(normal * PARTS)

    @cached_property
    def full_logits(self) -> np.ndarray:
        """Of the full layer (C, n)."""
        return self.weight @ self.features + self.bias[:, None]

    @cached_property
    def full(self) -> np.ndarray:
        """The full layer's predictions (n,)."""
        return first_largest(self.full_logits)

    @cached_property
    def labels(self) -> np.ndarray:
        """The true classes (n,)."""
        return np.repeat(np.arange(len(self.weight)), np.diff(self.ends))

    @cached_property
    def draws(self) -> np.ndarray:
        """Unit noise (d, n) in 1/256: it depends on the places of feature and image alone."""
        return self.quantiles[places_of_draws(*self.features.shape)]

    def right(self, predictions: np.ndarray) -> np.ndarray:
        """How many images of each class (C,) are given their class."""
        return np.diff(np.concatenate([[0], np.cumsum(predictions == self.labels)])[self.ends])

    def by_size(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images that the decomposed layer gets right (d, C), by class, and on which it agrees with the full one (d,), for s = 1..d.

        ``order`` (C, d): each class' features, most influential first. One pass: every s adds one feature to every class.
        """
        classes, d = order.shape
        bits = classes.bit_length()  # a logit carries its class in its last bits, so that one maximum finds both
        wide, weight = self.features.astype(np.int64), self.weight.astype(np.int64) << bits
        logits = np.repeat(((self.bias.astype(np.int64) << bits) + np.arange(classes)[::-1])[:, None], wide.shape[1], axis=1)
        right, agree, term = np.zeros((d, classes), np.int64), np.zeros(d, np.int64), np.empty(wide.shape[1], np.int64)
        for s in range(d):
            for c, i in enumerate(order[:, s]):
                logits[c] += np.multiply(wide[i], weight[c, i], out=term)
            found = classes - 1 - (logits.max(axis=0) & ((1 << bits) - 1))
            right[s], agree[s] = self.right(found), np.count_nonzero(found == self.full)
        return right, agree

    def right_exactly(self, order: np.ndarray, ss: Iterable[int]) -> np.ndarray:
        """Images that the decomposed layer gets right in full precision (S,), for each s of ``ss``, which rise."""
        values, weight, bias = self.exact
        logits, found, sizes = np.repeat(bias[:, None], values.shape[1], axis=1), [], list(ss)
        for s in range(sizes[-1]):
            for c, i in enumerate(order[:, s]):
                logits[c] += weight[c, i] * values[i]
            if s + 1 in sizes:
                found.append(np.count_nonzero(first_largest(logits) == self.labels))
        return np.array(found)

    def replaced(self, noise: str, y: int) -> np.ndarray:
        """What each feature adds to each logit of class y's images (d, C, n of the class or 1) once it is replaced."""
        if noise == "unit":
            return self.noise_weight.T[:, :, None] * self.draws[:, None, self.ends[y] : self.ends[y + 1]]
        return (self.mean_weight if noise == "mean" else np.zeros_like(self.mean_weight)).T[:, :, None]

    def ablated(self, order: np.ndarray, noise: str) -> np.ndarray:
        """Images that the FULL layer gets right (2, d + 1) for s = 0..d: the s influential features of their true class replaced
        (row 0), all features but these replaced (row 1)."""
        classes, d = order.shape
        right = np.zeros((2, d + 1), np.int64)
        for y in range(classes):
            own = slice(self.ends[y], self.ends[y + 1])
            change = self.replaced(noise, y) - self.weight.T[:, :, None] * self.features[:, None, own]
            # Leads over the true class: the image is lost where one is above 0, or for an earlier class at 0.
            change -= change[:, y : y + 1].copy()
            few = self.full_logits[:, own] - self.full_logits[y, own] + (np.arange(classes) < y)[:, None]
            rest = few + change.sum(axis=0, dtype=np.int64)
            few[y] = rest[y] = 0
            right[:, 0] += _kept(few), _kept(rest)
            for s, i in enumerate(order[y], 1):
                few += change[i]
                rest -= change[i]
                right[:, s] += _kept(few), _kept(rest)
        return right

    def logits_of(self, k: int, order: np.ndarray | None = None) -> np.ndarray:
        """Image k's logits (C,) by the full layer, or with the features in ``order`` (C, s) alone."""
        if order is None:
            return self.full_logits[:, k]
        return (np.take_along_axis(self.weight, order, 1) * self.features[order, k]).sum(axis=1) + self.bias


def first_largest(logits: np.ndarray) -> np.ndarray:
    """The place (n,) of each column's largest entry in (C, n), the first of equals."""
    best, at = logits[0].copy(), np.zeros(logits.shape[1], np.int64)
    for c, row in enumerate(logits[1:], 1):
        at[row > best] = c
        np.maximum(best, row, out=best)
    return at


def places_of_draws(d: int, n: int) -> np.ndarray:
    """Which of the quantiles feature i of image k draws (d, n): a hash of both numbers, 32 bits mixed until none shows through.

    The two rounds of multiplication are those of Chris Wellons' "lowbias32".
    """
    h = np.arange(d, dtype=np.uint32)[:, None] * np.uint32(0x85EBCA6B) ^ np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h >> np.uint32(20)


def order_of(counts: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Each class' features (C, d) by votes, most first; equal ones by their place in ``tie`` (C, d)."""
    return np.argsort(tie - counts.astype(np.int64) * tie.shape[1], axis=1, kind="stable")


def ranks_in(order: np.ndarray) -> np.ndarray:
    """The place of each feature in an order (C, d)."""
    return np.argsort(order, axis=1, kind="stable")


def grid(d: int, present: Iterable[int] = ()) -> list[int]:
    """Up to twelve numbers from 1 to d, at about equal ratios, and the present ones."""
    if d <= 12:
        return list(range(1, d + 1))
    return sorted({round(d ** (k / 11)) for k in range(12)} | {2, 3, 4, 5} | set(present))


def said_percent(part: int, whole: int) -> str:
    """A share in percent with two digits, rounded by whole numbers: half up, wherever it is computed."""
    if not whole:
        return "–"
    hundredths = (20_000 * part + whole) // (2 * whole)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def said_ratio(part: int, whole: int) -> str:
    """A ratio with four digits, rounded likewise."""
    if not whole:
        return "–"
    parts = (20_000 * part + whole) // (2 * whole)
    return f"{parts // 10_000}.{parts % 10_000:04d}"


def fill(sentence: str, **values: object) -> str:
    """A sentence with its numbers, whole ones in groups of three digits."""
    return sentence.format(**{name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()})


def _whole(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.int32)


def _kept(leads: np.ndarray) -> int:
    """Of how many images (C, n) no class leads over the true one."""
    return int(np.count_nonzero(leads.max(axis=0) <= 0))
