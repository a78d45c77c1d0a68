"""A layer's filters in whole numbers, so that the page and Python mix the same filters and draw the same pictures.

Each filter is stored in eight bits of its own unit; shares, of a filter in archetypes and of an archetype in filters, are counted in
1/32,768 and sum to one. Every sum is then below 2^53, exact in any order and in any language. ``script/simplex_numbers.js`` is
this file again, for the page; ``simplex_panels`` makes panels of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from filterlens.lenses.simplex.plane import principal_components

STEPS = 127  # of a filter's largest weight
UNITS = 2**15  # the largest filter's unit
WHOLE = 2**15  # what shares are counted in


class WholeFilters:
    """Filters (k, c, kh, kw) as ``stored`` (k, l) int8, each in its own ``units`` (k,), whole numbers of ``step``: ``whole`` is their product."""

    def __init__(self, weight: Tensor) -> None:
        values = weight.detach().double().cpu().flatten(1).numpy()
        peak = np.abs(values).max(axis=1)
        largest = float(peak.max())
        self.step = largest / (STEPS * UNITS) if largest > 0 else 1.0
        self.units = np.maximum(np.ceil(peak / (STEPS * self.step) - 1e-9), 1).astype(np.int64)
        self.stored = np.clip(np.rint(values / (self.units * self.step)[:, None]), -STEPS, STEPS).astype(np.int8)
        self.whole = self.stored.astype(np.int64) * self.units[:, None]


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares in 1/WHOLE: column j has ``parts[starts[j]:starts[j + 1]]`` of the rows ``rows[...]``, in ascending order, WHOLE in all."""

    starts: np.ndarray
    rows: np.ndarray
    parts: np.ndarray

    def column(self, j: int) -> tuple[np.ndarray, np.ndarray]:
        own = slice(self.starts[j], self.starts[j + 1])
        return self.rows[own], self.parts[own]

    def mixed(self, whole: np.ndarray) -> np.ndarray:
        """Each column's mixture (n, l) of whole numbers (rows, l), rounded half up."""
        return np.stack([self.mixture(j, whole) for j in range(len(self.starts) - 1)])

    def mixture(self, j: int, whole: np.ndarray) -> np.ndarray:
        """One column's mixture (l,)."""
        rows, parts = self.column(j)
        return half_up((parts.astype(np.float64) @ whole[rows].astype(np.float64)).astype(np.int64), WHOLE)  # below 2^53: exact


def shares_of(columns: np.ndarray, least: float) -> Shares:
    """The entries above ``least`` of every column (rows, n), or its largest if none is, scaled to WHOLE in all by largest remainders."""
    starts, rows, parts = [0], [], []
    for column in columns.T:
        kept = np.flatnonzero(column > min(least, np.nextafter(column.max(), -1)))
        wanted = column[kept] / column[kept].sum() * WHOLE
        counted = np.floor(wanted).astype(np.int64)
        for i in np.argsort(counted - wanted, kind="stable")[: WHOLE - int(counted.sum())]:
            counted[i] += 1
        rows.append(kept)
        parts.append(counted)
        starts.append(starts[-1] + len(kept))
    return Shares(np.array(starts), np.concatenate(rows), np.concatenate(parts))


def half_up(values: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers divided by n and rounded, halves upwards."""
    return (2 * values + n) // (2 * n)


def steps_of(values: np.ndarray, peak: int) -> np.ndarray:
    """Whole numbers as steps of a picture (-127..127) whose largest is ``peak``."""
    return half_up(STEPS * values, peak).astype(np.int8) if peak > 0 else np.zeros(values.shape, np.int8)


def mosaic(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A filter's numbers (c * kh * kw,) as a picture: one channel (kh, kw), three (kh, kw, 3), more side by side in rows, zeros between."""
    c, kh, kw = shape
    field = values.reshape(shape)
    if c in (1, 3):
        return field[0] if c == 1 else field.transpose(1, 2, 0)
    gap, columns = int(kh * kw > 1), math.ceil(math.sqrt(c))
    out = np.zeros((math.ceil(c / columns) * (kh + gap) - gap, columns * (kw + gap) - gap), values.dtype)
    for channel in range(c):
        row, column = divmod(channel, columns)
        out[row * (kh + gap) : row * (kh + gap) + kh, column * (kw + gap) : column * (kw + gap) + kw] = field[channel]
    return out


class Plane:
    """The first two principal components of points (n, l), as the figures turn them; ``shares`` (2,): of the points' variance."""

    def __init__(self, points: np.ndarray) -> None:
        found = principal_components(torch.from_numpy(points))
        self.centre = found.centre.numpy()
        self.axes = np.concatenate([found.axes.numpy(), np.zeros((2, points.shape[1]))])[:2]
        self.shares = np.concatenate([found.shares.numpy(), [0.0, 0.0]])[:2]

    def places(self, points: np.ndarray) -> np.ndarray:
        """Where points (n, l) lie in the plane (n, 2), in the single precision that a page is given."""
        return ((points - self.centre) @ self.axes.T).astype(np.float32)


def hull_of(places: np.ndarray) -> list[int]:
    """The corners of the convex hull of places (n, 2), in order around it (Andrew's monotone chain)."""
    order = sorted(range(len(places)), key=lambda i: (places[i, 0], places[i, 1]))

    def chain(indices: list[int]) -> list[int]:
        found: list[int] = []
        for i in indices:
            while len(found) > 1 and _turn(places[found[-2]], places[found[-1]], places[i]) <= 0:
                found.pop()
            found.append(i)
        return found[:-1]

    return chain(order) + chain(order[::-1]) if len(order) > 1 else order


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
