"""The nearest-neighbour estimator of mutual information of Ross (2014) for a number and a yes or no, on sorted values.

The same estimates as scikit-learn's ``mutual_info_classif``, noise and all. That one builds three trees for every filter and class; on a
line sorting is enough, and ten times as fast.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma


def noisy(values: np.ndarray, seed: int) -> np.ndarray:
    """Values (n, K) over their standard deviations, with noise of 1e-10 of a feature's mean that breaks ties: scikit-learn's preparation."""
    from sklearn.preprocessing import scale

    scaled = scale(values, with_mean=False)
    means = np.maximum(1, np.abs(scaled).mean(axis=0))
    return scaled + 1e-10 * means * np.random.RandomState(seed).standard_normal(size=scaled.shape)


def of_indicator(values: np.ndarray, members: np.ndarray, neighbors: int) -> np.ndarray:
    """Estimates (K,) in nats of what each column of values (n, K) tells about membership (n,) bool; a group of one sample is left out."""
    groups = [np.sort(values[rows], axis=0) for rows in (members, ~members) if rows.sum() > 1]
    everything = np.sort(np.concatenate(groups), axis=0)
    total = np.zeros(values.shape[1])
    for own in groups:
        k = min(neighbors, len(own) - 1)
        counts = _within(everything, own, np.nextafter(_to_neighbor(own, k), 0))
        total += len(own) * (digamma(k) - digamma(len(own))) - digamma(counts).sum(axis=0)
    return np.maximum(0, digamma(len(everything)) + total / len(everything))


def _to_neighbor(own: np.ndarray, k: int) -> np.ndarray:
    """The distance of each of sorted values (m, K) to its k-th neighbour among them: the shortest of the k + 1 stretches of k steps around it."""
    m = len(own)
    low, high, found = own[: m - k], own[k:], np.full(own.shape, np.inf)
    for j in range(k + 1):  # the value is the j-th of its stretch
        at = slice(j, m - k + j)
        found[at] = np.minimum(found[at], np.maximum(own[at] - low, high - own[at]))
    return found


def _within(everything: np.ndarray, own: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How many of all sorted values (n, K) lie at most that far from each of these (m, K), itself included."""
    counts = np.empty(own.shape)
    for column, (line, middle, far) in enumerate(zip(everything.T, own.T, reach.T, strict=True)):
        counts[:, column] = _reached(line, middle, far) + _reached(-line[::-1], -middle, far) - len(line)
    return counts


def _reached(line: np.ndarray, middle: np.ndarray, far: np.ndarray) -> np.ndarray:
    """How many values of a sorted line lie below middle + far. The sum is rounded, the difference decides: a neighbour is that close."""
    edged = np.append(line, np.inf)
    end = np.searchsorted(line, middle + far, side="right")
    while (more := edged[end] - middle <= far).any():
        end += more
    while (fewer := line[end - 1] - middle > far).any():
        end -= fewer
    return end
