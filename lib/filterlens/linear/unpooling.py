"""Upsampling by a whole factor: the paper's ``unpool`` (no switches, no rescaling), spec 002 section 2.2."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .. import checks

MODES = ("nearest", "bilinear", "bicubic")


def cubic(t: Tensor, a: float = -0.5) -> Tensor:
    """Keys' cubic convolution kernel (Keys 1981, eq. 4); a = -0.5 is MATLAB's, a = -0.75 that of ``F.interpolate``."""
    t = t.abs()
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))


@lru_cache(maxsize=256)
def upsampling_matrix(n: int, factor: int, mode: str, a: float = -0.5) -> Tensor:
    """(n factor, n) float64: row i holds the weights of the old pixels in new pixel i.

    Pixels are areas (align_corners=False): new pixel i looks at old coordinate (i + 1/2) / factor - 1/2.
    Beyond the border the outermost pixel is repeated, so that every row sums to one.
    """
    x = (torch.arange(n * factor, dtype=torch.float64) + 0.5) / factor - 0.5
    reach = {"nearest": 0, "bilinear": 1, "bicubic": 2}[mode]
    base = x.floor().long() if reach else torch.arange(n * factor) // factor
    matrix = torch.zeros(n * factor, n, dtype=torch.float64)
    for tap in range(1 - reach, 1 + reach) if reach else [0]:
        t = x - (base + tap)
        weight = {"nearest": torch.ones_like(t), "bilinear": 1 - t.abs(), "bicubic": cubic(t, a)}[mode]
        matrix.scatter_add_(1, (base + tap).clamp(0, n - 1)[:, None], weight[:, None])
    return matrix


def unpool(z: Tensor, factor: int | tuple[int, int], mode: str = "nearest", *, a: float = -0.5) -> Tensor:
    """Enlarge (n, c, h, w) to (n, c, h fy, w fx); values are interpolated, not rescaled, so sums grow by fy fx.

    Raises ``ValueError`` for an unknown mode, a factor below 1 or a tensor that is not 4-D.
    """
    checks.tensor("z", z, "n c h w", finite=False)
    checks.choice("mode", mode, MODES)
    factors = factor if isinstance(factor, tuple) and len(factor) == 2 else (factor, factor)
    fy, fx = (checks.integer("factor", f, 1) for f in factors)
    checks.real("a", a)
    if mode == "nearest":
        return z.repeat_interleave(fy, 2).repeat_interleave(fx, 3)
    # separable: rows, then columns
    rows = upsampling_matrix(z.shape[2], fy, mode, a).to(z)
    columns = upsampling_matrix(z.shape[3], fx, mode, a).to(z)
    return rows @ z @ columns.T
