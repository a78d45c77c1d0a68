"""What a layer's maps say of its filters: how they spread over the classes, and how well an image can be found for one filter alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from filterlens.lenses.isolation import Point, Tap, isolate
from filterlens.lenses.isolation.point import frozen

SMALLEST = 2  # images: a spread over classes needs two of them


def mean_responses(model: nn.Module, point: Point, shown: Callable[[slice], Tensor], n: int, batch_size: int) -> Tensor:
    """The mean over positions of the positive part of every channel's map at a point, on each of n images: (n, k) in double precision."""
    tap = Tap(model, point)
    with frozen(model), torch.no_grad():
        parts = [tap(shown(slice(at, at + batch_size))).clamp(min=0).double().mean((2, 3)) for at in range(0, n, batch_size)]
    return torch.cat(parts).cpu()


def class_entropies(responses: Tensor, labels: Tensor) -> Tensor:
    """Entropy of each filter's mean responses by class, as shares, over the log of the number of classes: (k,) in [0, 1].

    responses: (n, k), none below 0. labels: (n,) integers. 0: one class has all of the response, 1: all classes have the same. NaN for a
    filter that is silent on all images, and for all filters where the images are of one class.
    """
    present, own = labels.unique(return_inverse=True)
    count = own.bincount(minlength=len(present)).double()
    mean = torch.zeros(len(present), responses.shape[1], dtype=torch.float64).index_add_(0, own, responses.double()) / count[:, None]
    shares = mean / mean.sum(0)  # 0 / 0 is NaN
    if len(present) < SMALLEST:
        return torch.full_like(shares[0], torch.nan)
    return torch.special.entr(shares).sum(0) / math.log(len(present))


def isolation_shares(
    model: nn.Module, layer: str, point: Point, shared: bool, images: Tensor, filters: list[int], *, n: int, steps: int, seed: int
) -> dict[int, float]:
    """For n of the filters, drawn with ``seed`` among those that are active on all of the images (all of them if there are fewer): the mean
    over the images of ||F_i||^2 / sum_j ||F_j||^2 on the isolated image.

    images: normalized (m, c, h, w). shared: the layer writes into a stream that others write too, and ends at ``point``.
    Raises ValueError, in words, if no filter is active on all images.
    """
    with frozen(model), torch.no_grad():
        active = (Tap(model, point)(images.clone())[:, filters].flatten(2) != 0).any(2).all(0).cpu()
    able = torch.tensor(filters)[active]
    if not len(able):
        raise ValueError(f"no filter of {layer!r} is active on all {len(images)} images that are isolated")
    order = torch.randperm(len(able), generator=torch.Generator().manual_seed(seed))
    chosen = sorted(able[order[:n]].tolist())
    where = point.name if shared and point.call == 0 else layer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no activation stands before a sum, which is known here
        found = isolate(model, where, chosen, images, max_iter=steps, on_inactive="skip", seed=seed)
    share = found.measure().selectivity.cpu()
    return {kernel: float(share[found.kernel.cpu() == kernel].nanmean()) for kernel in chosen}
