"""What a set of features looks at: the mean of its channels, drawn over the image (Table 7 of arXiv 2112.07719).

The sets come from ``selection``; ``others`` draws sets to compare them with. Taking the maps is ``network.capture``'s work,
drawing them that of the figures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import checks

SUBTRACT = ("set_mean", "per_channel", "none")


def set_maps(maps: Tensor, indices: Tensor, *, size: int | tuple[int, int] | None = None, subtract: str = "set_mean") -> Tensor:
    """The mean over a set's channels, one signed map per image: maps (n, k, h, w) -> (n, H, W).

    indices: (s,), one set for all images, or (n, s), one for each.
    size: bilinear upsampling to the image's size H or (H, W), corners not aligned; None leaves h x w.
    subtract: the paper's sentence on what is subtracted is garbled, so both readings have a name. "set_mean" takes the spatial
        mean of the mean map off it, "per_channel" that of every channel before they are averaged; as a mean is linear, the two
        are one and the same map up to rounding. "none" subtracts nothing.

    Raises TypeError or ValueError naming the argument.
    """
    n, k = checks.tensor("maps", maps, "n k h w").shape[:2]
    if isinstance(indices, Tensor) and indices.ndim == 1:
        sets = checks.index_rows("indices", indices[None], k).expand(n, -1)
    else:
        sets = checks.index_rows("indices", indices, k, rows=n)
    checks.choice("subtract", subtract, SUBTRACT)
    if size is not None:
        sides = size if isinstance(size, tuple | list) else (size, size)
        if len(sides) != 2:
            raise ValueError(f"size: got {checks.describe(size)}, expected a side or (H, W)")
        size = tuple(checks.integer("size", side, 1) for side in sides)
    channels = maps[torch.arange(n)[:, None], sets.cpu()]
    channels = channels.float() if channels.dtype.itemsize < 4 else channels  # half precision sums badly
    if subtract == "per_channel":
        channels = channels - channels.mean((2, 3), keepdim=True)
    out = channels.mean(1, keepdim=True)
    if subtract == "set_mean":
        out = out - out.mean((2, 3), keepdim=True)
    if size is not None:
        out = F.interpolate(out, size=size, mode="bilinear", align_corners=False)
    return out[:, 0]


def others(indices: Tensor, d: int, *, n: int | None = None, seed: int = 0) -> Tensor:
    """For every set (C, s) distinct features outside of it, drawn at random from [0, d): (C, n), by default n = s.

    The draw depends on C, d and the seed: fewer are the first of more. Raises TypeError or ValueError naming the argument, also
    where d - s < n.
    """
    checks.integer("d", d, 1)
    indices = checks.index_rows("indices", indices, d)
    n_classes, s = indices.shape
    n = s if n is None else checks.integer("n", n, 1)
    checks.integer("seed", seed, 0)
    if n > d - s:
        raise ValueError(f"n: got {n}, expected at most {d - s}: {s} of {d} features are in each set")
    drawn = torch.rand(n_classes, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.scatter(1, indices.cpu(), 2.0).argsort(dim=1)[:, :n].to(indices.device)
