"""Which kernels of a layer answer to which images, and a fair draw among those that answer to all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ... import checks, network
from ..isolation import Tap, find_point
from ..isolation.point import frozen

BATCH = 8


def activity(model: nn.Module, layer: str, images: Tensor, *, pre_activation: bool = False) -> Tensor:
    """Mean absolute value of every kernel's map on every image, (n_images, N); 0 where a kernel is inactive, and only there.

    images: (n, c, h, w), normalized. Maps are taken where ``isolate`` takes them: after the activation that follows the layer.
    The model is left as it was. Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    checks.tensor("images", images, "n c h w")
    tap = Tap(model, find_point(model, layer, example=images, pre_activation=pre_activation, argument="images"))
    with frozen(model):
        return torch.cat([shown(tap, part).abs().mean((2, 3)) for part in images.split(BATCH)])


def active_kernels(model: nn.Module, layer: str, images: Tensor, n: int, *, seed: int = 0, pre_activation: bool = False) -> list[int]:
    """n kernels, in ascending order, drawn with ``seed`` among those whose map is not zero on any of the images (m, c, h, w).

    Raises ValueError naming n if there are fewer, and TypeError or ValueError as ``activity`` does.
    """
    n, seed = checks.integer("n", n, 1), checks.integer("seed", seed, 0)
    able = torch.nonzero((activity(model, layer, images, pre_activation=pre_activation) > 0).all(0))[:, 0].cpu()
    if len(able) < n:
        raise ValueError(f"n: got {n}, expected at most {len(able)}: no more kernels of {layer!r} are active on all {len(images)} images")
    order = torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))
    return sorted(able[order[:n]].tolist())


def shown(tap: Tap, images: Tensor) -> Tensor:
    """The maps (n, N, H, W) of images, without gradients; an image that does not fit the network is blamed on ``images``."""
    with torch.no_grad(), network._blamed("images", images):
        return tap(images.clone())
