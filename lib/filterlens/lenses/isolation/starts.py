"""Where the optimisation starts, and the box it may be kept in."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import checks

STARTS = ("image", "zeros", "grey", "noise")
NOISE = 0.1  # standard deviation around the image, in normalized units


def starting(start: object, images: Tensor, seed: int) -> Tensor:
    """Start images (n, c, h, w) by name, or checked as given: "image", "zeros", "grey" (mean colour), "noise" (image + N(0, 0.1))."""
    if isinstance(start, Tensor):
        checks.tensor("start", start, "n c h w", sizes=dict(zip("nchw", images.shape, strict=True)))
        return start.detach().to(images)
    checks.choice("start", start, STARTS)
    if start == "zeros":
        return torch.zeros_like(images)
    if start == "grey":
        return images.mean((2, 3), keepdim=True).expand_as(images).contiguous()
    if start == "noise":
        drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return images + NOISE * drawn.to(images)
    return images


def checked_box(clamp: object, images: Tensor) -> tuple[Tensor, Tensor] | None:
    """(low, high), each a number or one per channel (c,), as tensors (c or 1, 1, 1) like the images; None stays None."""
    if clamp is None:
        return None
    if not isinstance(clamp, tuple | list):
        raise TypeError(f"clamp: got {checks.describe(clamp)}, expected None or (low, high)")
    if len(clamp) != 2:
        raise ValueError(f"clamp: got {len(clamp)} entries, expected (low, high)")
    low, high = (_bound(f"clamp[{at}]", value, images) for at, value in enumerate(clamp))
    if bool((low > high).any()):
        raise ValueError(f"clamp: got low {low.flatten().tolist()} above high {high.flatten().tolist()}, expected low <= high")
    return low, high


def _bound(name: str, value: object, images: Tensor) -> Tensor:
    if isinstance(value, Tensor) and value.ndim > 0:
        checks.tensor(name, value, "c", sizes={"c": images.shape[1]})
        return value.detach().to(images)[:, None, None]
    if isinstance(value, Tensor):
        value = value.item()
    return torch.full((1, 1, 1), checks.real(name, value), dtype=images.dtype, device=images.device)
