"""One layer for the isolation explorer: every kernel on every image, every way to an input, and what is kept of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from filterlens.lenses.attribution import explain
from filterlens.lenses.isolation import Isolation, Tap, find_point, isolate, selectivity
from filterlens.lenses.isolation.point import frozen

BASELINES = ("guided", "deconvolution", "lrp", "gradient")
MEASURES = ("ssim", "mse_selected", "mse_rest", "mse_rest_ratio", "preservation", "selectivity")
MAP_PIXELS = 48  # longer side of a kept map
PLACES = 41  # of a kept loss curve


class Asked(NamedTuple):
    """The checked arguments of ``isolation_states``."""

    betas: tuple[float, ...]
    methods: tuple[str, ...]
    scale: str
    pixels: int
    levels: int
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class LayerStates:
    """What is kept of a layer with N kernels, of which k were asked for, on n images, by w ways (``IsolationStates.ways``), b betas.

    ``spoken``; ``point``: where the maps are taken; ``map_size``: (H, W) of the maps; ``kernels``: k indices; ``silent`` (k, n): no map;
    then inputs are the network's zero, measures NaN, the rest zeros; ``activity`` (k, n): mean |F|; ``before`` (n, N): sum F_j^2 of the image, ``after`` (k, n, w, N) of the input.
    ``inputs`` (k, n, w, h, w, 3 or 1) uint8 in [0, 1]; ``clamped`` (k, n, w): share of their values that lay outside.
    ``maps_before`` (k, n, h', w') and ``maps`` (k, n, w, h', w') uint8, from ``low_before`` to ``high_before``, ``low`` to ``high``.
    ``measures`` (k, n, w, 6) as in MEASURES, ``share_before`` (k, n): selectivity of the image. Of isolation: ``terms`` (k, n, b, 3),
    ``steps`` (k, n, b), ``ended`` (k, n, b): 0 out of steps, 1 converged, 2 diverged, ``loss`` (k, n, b, places) at even distances.
    ``alike_maps`` ``alike_inputs`` (n, k, k): Pearson's r between kernels, the inputs isolated with the middle beta.
    """

    spoken: str
    point: str
    map_size: tuple[int, int]
    kernels: tuple[int, ...]
    silent: np.ndarray
    activity: np.ndarray
    before: np.ndarray
    after: np.ndarray
    inputs: np.ndarray
    clamped: np.ndarray
    maps_before: np.ndarray
    low_before: np.ndarray
    high_before: np.ndarray
    maps: np.ndarray
    low: np.ndarray
    high: np.ndarray
    measures: np.ndarray
    share_before: np.ndarray
    terms: np.ndarray
    steps: np.ndarray
    ended: np.ndarray
    loss: np.ndarray
    alike_maps: np.ndarray
    alike_inputs: np.ndarray


def stored(images: Tensor, pixels: int, levels: int) -> np.ndarray:
    """Images (p, c, h, w) as uint8 (p, h', w', c): means over areas where they are larger, clamped to [0, 1], in so many levels."""
    small = _smaller(images.clamp(0, 1), pixels)
    steps = (small * (levels - 1)).round() * (255 / (levels - 1))
    return steps.round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _smaller(images: Tensor, pixels: int) -> Tensor:
    h, w = images.shape[-2:]
    if max(h, w) <= pixels:
        return images
    size = tuple(max(1, round(side * pixels / max(h, w))) for side in (h, w))
    return F.interpolate(images, size=size, mode="area")


def solved(
    model: nn.Module, layer: str, kernels: list[int], images: Tensor, normalization: Any, asked: Asked, spoken: str,
    update: Callable[[], Any],
) -> LayerStates:  # fmt: skip
    """Solve and measure everything about one layer. ``update`` is called after each beta and each kernel of a method."""
    given = images if normalization is None else normalization.apply(images)
    invert = (lambda x: x) if normalization is None else normalization.invert
    k, n = len(kernels), len(images)
    isolations: list[Isolation] = []
    for beta in asked.betas:
        isolations.append(isolate(model, layer, kernels, given, beta=beta, on_inactive="skip", **asked.options))
        update()
    first = isolations[0]
    kept = [_kept(found.images, found.maps_after, first, invert, asked) for found in isolations]
    point = {"pre_activation": asked.options.get("pre_activation", False)}
    for method in asked.methods[1:]:
        patterns = []
        for kernel in kernels:
            how = {"method": method, "scale": asked.scale, "on_inactive": "skip", **point}
            patterns.append(explain(model, layer, kernel, given, **how))
            update()
        inputs = torch.cat(patterns)
        kept.append(_kept(inputs, _maps(model, layer, given, inputs, point), first, invert, asked))
    own, silent = first.selected_before, first.skipped
    small, low, high = _levels(_smaller(own[:, None], MAP_PIXELS)[:, 0])
    ways = {name: np.stack([one[name] for one in kept], 1) for name in kept[0]}
    middle = isolations[len(isolations) // 2].images.nan_to_num(0)
    arrays = {
        "silent": silent, "activity": own.abs().mean((1, 2)), "maps_before": small, "low_before": low, "high_before": high,
        "share_before": first.measure().selectivity_before.nan_to_num(0), **ways,
        "terms": torch.stack([found.terms for found in isolations], 1).nan_to_num(0),
        "steps": torch.stack([found.iterations for found in isolations], 1).int(),
        "ended": torch.stack([torch.where(found.diverged, 2, found.converged.int()) for found in isolations], 1).to(torch.uint8),
        "loss": torch.stack([_curve(found) for found in isolations], 1),
    }  # fmt: skip
    split = {name: np.asarray(value.cpu() if isinstance(value, Tensor) else value) for name, value in arrays.items()}
    split = {name: (v.astype(np.float32) if v.dtype == np.float64 else v).reshape(k, n, *v.shape[1:]) for name, v in split.items()}
    return LayerStates(
        spoken=spoken, point=first.point, map_size=tuple(own.shape[1:]), kernels=tuple(kernels),
        before=first.maps_before.double().square().sum((2, 3)).float().cpu().numpy(),
        alike_maps=_alike(own, k, n), alike_inputs=_alike(middle, k, n), **split,
    )  # fmt: skip


def n_kernels(model: nn.Module, layer: str, given: Tensor, pre_activation: bool) -> int:
    """How many kernels a layer has, from one image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ``isolate`` will say it
        return _maps(model, layer, given, given[:1], {"pre_activation": pre_activation}).shape[1]


def _maps(model: nn.Module, layer: str, given: Tensor, inputs: Tensor, point: Mapping[str, bool]) -> Tensor:
    """The layer's maps (p, N, H, W) of inputs (p, c, h, w); NaN where an input is, because its kernel was silent."""
    tap = Tap(model, find_point(model, layer, example=given, **point, argument="images"))
    with frozen(model), torch.no_grad():
        maps = torch.cat([tap(part.clone()) for part in inputs.nan_to_num(0).split(8)])
    maps[inputs.flatten(1).isnan().any(1)] = torch.nan
    return maps


def _kept(inputs: Tensor, maps: Tensor, first: Isolation, invert: Callable[[Tensor], Tensor], asked: Asked) -> dict[str, np.ndarray]:
    """What is kept of all problems solved in one way: inputs (p, c, h, w), maps (p, N, H, W); zeros where the kernel was silent."""
    before = first.maps_before[first.image]
    found = selectivity(maps, before, first.kernel)
    shown = invert(inputs.nan_to_num(0))
    outside = ((shown < -1 / 510) | (shown > 1 + 1 / 510)).flatten(1).double().mean(1)  # by more than screens can tell
    own = maps[torch.arange(len(maps)), first.kernel.to(maps.device)].nan_to_num(0)
    small, low, high = _levels(_smaller(own[:, None], MAP_PIXELS)[:, 0])
    return {
        "inputs": stored(shown, asked.pixels, asked.levels), "clamped": outside.float().cpu().numpy(), "maps": small, "low": low, "high": high,
        "after": maps.double().square().sum((2, 3)).nan_to_num(0).float().cpu().numpy(),
        "measures": torch.stack([getattr(found, name) for name in MEASURES], 1).float().cpu().numpy(),
    }  # fmt: skip


def _levels(maps: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps (p, h, w) in 256 levels between their own smallest and largest value: uint8, low (p,), high (p,)."""
    low, high = maps.amin((1, 2)).float(), maps.amax((1, 2)).float()
    span = torch.where(high > low, high - low, 1)
    steps = ((maps - low[:, None, None]) / span[:, None, None] * 255).round().clamp(0, 255).byte()
    return steps.cpu().numpy(), low.cpu().numpy(), high.cpu().numpy()


def _curve(found: Isolation) -> Tensor:
    """The losses (p, PLACES) at even distances from the start to each problem's last step."""
    last = found.iterations.clamp(min=1).double()
    at = (torch.linspace(0, 1, PLACES, dtype=torch.float64, device=last.device) * last[:, None]).round().long()
    return found.loss.gather(1, at.clamp(max=found.loss.shape[1] - 1)).nan_to_num(0)


def _alike(values: Tensor, k: int, n: int) -> np.ndarray:
    """Pearson's r between kernels on each image, (n, k, k): of values (k n, ...); NaN where one is constant."""
    flat = values.double().reshape(k, n, -1).transpose(0, 1)
    flat = flat - flat.mean(2, keepdim=True)
    sizes = flat.norm(dim=2)
    found = flat @ flat.transpose(1, 2) / (sizes[:, :, None] * sizes[:, None, :])
    return found.float().cpu().numpy()
