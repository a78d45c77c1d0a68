"""The principal components of a cloud of filters, turned the same way wherever the cloud is shown: in figures and in the explorer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks


@dataclass(frozen=True, eq=False)
class Principal:
    """``centre`` (l,); ``axes`` (r, l), r = min(k, l) of length 1, that of largest variance first; ``shares`` (r,) of the variance."""

    centre: Tensor
    axes: Tensor
    shares: Tensor

    def places(self, points: Tensor) -> Tensor:
        """Where points (n, l) lie on the axes: (n, r)."""
        return (points.to(self.axes) - self.centre) @ self.axes.T


def principal_components(points: Tensor) -> Principal:
    """The principal components of points (k, l), in double precision on the CPU.

    A component's sign is open; here the largest entry of each axis in absolute value is positive. Points that are all equal have
    shares of zero. Raises TypeError or ValueError naming points.
    """
    points = checks.tensor("points", points, "k l").detach().double().cpu()
    centre = points.mean(0)
    _, sizes, axes = torch.linalg.svd(points - centre, full_matrices=False)
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return Principal(centre, axes, sizes.square() / sizes.square().sum().clamp(min=torch.finfo(torch.float64).tiny))
