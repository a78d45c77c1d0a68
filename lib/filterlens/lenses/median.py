"""The point with the smallest sum of Euclidean distances to all points of a cloud: where FPGM and the simplex lens see its middle."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from .. import checks

MAX_ITERATIONS = 10_000


def geometric_median(X: Tensor, *, tol: float = 1e-9) -> Tensor:
    """argmin_y sum_i ||x_i - y|| over the columns of X (l, N): a tensor (l,) of X's dtype (float32 or float64) and device.

    Weiszfeld's iteration from the mean, with momentum that starts anew whenever the sum of distances rises, and the correction
    of Vardi & Zhang (PNAS 97, 2000) where it meets a column. A column that is the median is returned exactly.

    tol: stop when the mean of the unit vectors from y to the columns is at most this long, or as short as the dtype can
        tell (about 1e-6 in float32). It has no unit, so scaling or moving the cloud changes nothing.

    Where the median is not unique (an even number of columns on a line) one of the minimisers is returned. Peak memory: one
    table like X. Raises TypeError or ValueError naming the argument; warns when 10,000 iterations do not reach ``tol``.
    """
    checks.tensor("X", X, "l N")
    if X.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"X: got {checks.describe(X)}, expected float32 or float64")
    if not 0 < checks.real("tol", tol) < 1:
        raise ValueError(f"tol: got {tol}, expected a number in (0, 1)")
    X = X.detach()
    size = float(torch.stack(X.aminmax()).abs().max())
    if not size:
        return torch.zeros_like(X[:, 0])
    unit = 1.0 if 1e-9 < size < 1e9 else size  # keeps squares of very large and very small numbers finite
    cloud = X if unit == 1.0 else X / unit
    centre = cloud.mean(1)
    point = _weiszfeld(cloud - centre[:, None], max(tol, 4 * torch.finfo(X.dtype).eps))
    return X[:, point].clone() if isinstance(point, int) else (centre + point) * unit


def _weiszfeld(cloud: Tensor, tol: float) -> Tensor | int:
    """The median of a centred cloud, or the number of the column that it is."""
    n = cloud.shape[1]
    squares = torch.linalg.vector_norm(cloud, dim=0).square()
    slack = 1 + 4 * torch.finfo(cloud.dtype).eps
    here = ahead = cloud.new_zeros(len(cloud))  # the last step's end, and the point that momentum carries it to
    blurred = 64 * torch.finfo(cloud.dtype).eps  # below, rounding may keep the length from falling any further
    momentum, least, best, stalled = 1.0, math.inf, (math.inf, here), 0
    for turn in range(MAX_ITERATIONS):
        distances = _distances(cloud, squares, ahead)
        total = float(distances.sum())
        if total > least * slack and momentum > 1:
            ahead, momentum = here, 1.0
            continue
        least = min(least, total)
        nearest = int(distances.argmin())
        if (turn % 16 == 4 or distances[nearest] == 0) and _is_median(cloud, squares, nearest):
            return nearest
        apart = distances > 0
        inverse = torch.where(apart, 1 / distances, 0)
        pull = cloud @ inverse - ahead * inverse.sum()
        length, met = float(pull.norm()), n - int(apart.sum())
        if met:
            pull = pull * (1 - met / length)  # Vardi & Zhang: the column that was met holds back with force 1
        elif length / n < best[0]:
            stalled = 0 if length / n < 0.9 * best[0] else stalled
            best = (length / n, ahead)
        stalled += 1
        if best[0] <= tol or (best[0] <= blurred and stalled > 50):
            return best[1]
        end = ahead + pull / inverse.sum()
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = end + (momentum - 1) / following * (end - here)
        here, momentum = end, following
    warnings.warn(
        f"geometric_median: after {MAX_ITERATIONS} iterations the mean unit vector has length {best[0]:.1e}, above tol = {tol:.1e}",
        stacklevel=3,
    )
    return best[1]


def _distances(cloud: Tensor, squares: Tensor, point: Tensor) -> Tensor:
    """Distances of all columns from a point: one product, and the near ones, where that cancels, by their differences."""
    sizes = squares + point.square().sum()
    squared = sizes - 2 * (point @ cloud)
    near = (squared < 0.01 * sizes).nonzero()[:, 0]
    distances = squared.clamp(min=0).sqrt()
    if len(near):
        distances[near] = (cloud[:, near] - point[:, None]).norm(dim=0)
    return distances


def _is_median(cloud: Tensor, squares: Tensor, column: int) -> bool:
    """Whether the unit vectors to all other columns are no longer together than the column's own multiplicity."""
    distances = _distances(cloud, squares, cloud[:, column])
    apart = distances > 0
    inverse = torch.where(apart, 1 / distances, 0)
    return float((cloud @ inverse - cloud[:, column] * inverse.sum()).norm()) <= len(distances) - int(apart.sum())
