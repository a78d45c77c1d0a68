"""Maps in whole numbers, so that the page and Python blur them and cut masks from them alike, pixel by pixel.

A map is kept in 255 steps from its lowest to its highest number; a blurred one is a whole number of 1 / ``UNIT`` step. ``script/masks.js``
is the second half of this file again, for the page; ``masks_panels`` makes panels of it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from filterlens import checks
from filterlens.lenses.localization import blur, top_mask

METHODS = ("gradient", "activation", "cam")
SIGMAS = (0, 1, 2, 3, 5, 8, 12, 20, 30)  # pixels; 5 is the paper's, 30 the official script's
PAPER_SIGMA, PAPER_CUT = 5, 1.0  # of GradMap
UNIT = 2**16  # parts of a step
WHOLE = 2**14  # the weights of a blur along one axis sum to this
LARGEST = 2**13 * UNIT  # a cut so far above a map that no threshold of the slider reaches it


@dataclass(frozen=True, eq=False)
class PointingMaps:
    """What one network points at in n images, for some filters of each image's class.

    filters: (n, F) int64, the same F for all, best first, none twice in a row; gradient: (n, F, h, w), GradMap not yet blurred, as
    ``grad_maps(..., sigma=0)`` gives it; activation: (n, F, h, w), ActivMap at the image's size, as ``activation_maps`` gives it;
    cam: (n, h, w), ``class_maps``; cuts: (K,), each filter's own threshold, ``top_thresholds``.
    """

    filters: Tensor
    gradient: Tensor
    activation: Tensor
    cam: Tensor
    cuts: Tensor


@dataclass(frozen=True, eq=False)
class WholeMaps:
    """Checked maps of one network by method: ``steps`` (n, F or 1, h, w) uint8, ``lows``, ``highs`` (n, F or 1) what 0 and 255 stand for,
    ``cuts`` (n, F or 1) the method's own threshold in 1 / UNIT steps, ``exact`` (n, F or 1, 2) pixels in both masks and in either, by the
    method's own settings in full precision. ``filters`` (n, F)."""

    filters: Tensor
    steps: dict[str, np.ndarray]
    lows: dict[str, np.ndarray]
    highs: dict[str, np.ndarray]
    cuts: dict[str, np.ndarray]
    exact: dict[str, np.ndarray]


def whole_maps(where: str, given: Any, truths: Tensor, share: float) -> WholeMaps:
    """Check maps against the true masks (n, h, w) and store them in steps. TypeError or ValueError naming ``where``."""
    if not isinstance(given, PointingMaps):
        raise TypeError(f"{where}: got {checks.describe(given)}, expected PointingMaps")
    n, h, w = truths.shape
    K = len(checks.tensor(f"{where}.cuts", given.cuts, "K"))
    filters = checks.index_rows(f"{where}.filters", given.filters, K, rows=n).cpu()
    sizes = {"n": n, "F": filters.shape[1], "h": h, "w": w}
    maps = {name: checks.tensor(f"{where}.{name}", getattr(given, name), "n F h w", sizes=sizes) for name in METHODS[:2]}
    maps["cam"] = checks.tensor(f"{where}.cam", given.cam, "n h w", sizes=sizes)[:, None]
    maps = {name: one.detach().cpu().double() for name, one in maps.items()}
    top = top_mask(maps["cam"], share)
    cuts = {
        "gradient": torch.full(filters.shape, PAPER_CUT, dtype=torch.float64),
        "activation": given.cuts.detach().cpu().double()[filters],
        "cam": torch.where(top, maps["cam"], torch.inf).amin((2, 3)),
    }
    lows = {name: one.amin((2, 3)).clamp(max=torch.inf if name == "cam" else 0) for name, one in maps.items()}
    highs = {name: one.amax((2, 3)).maximum(lows[name]) for name, one in maps.items()}
    masks = {
        "gradient": blur(maps["gradient"], PAPER_SIGMA) >= PAPER_CUT,
        "activation": (maps["activation"] >= cuts["activation"][..., None, None])
        & (maps["activation"] > lows["activation"][..., None, None]),
        "cam": top,
    }
    return WholeMaps(
        filters,
        {name: _steps(one, lows[name], highs[name]) for name, one in maps.items()},
        {name: one.numpy() for name, one in lows.items()},
        {name: one.numpy() for name, one in highs.items()},
        {name: _cuts(cuts[name], lows[name], highs[name]) for name in maps},
        {name: _counts(mask, truths[:, None]) for name, mask in masks.items()},
    )


def _steps(maps: Tensor, low: Tensor, high: Tensor) -> np.ndarray:
    span = torch.where(high > low, high - low, 1)[..., None, None]
    return ((maps - low[..., None, None]) / span * 255).round().to(torch.uint8).numpy()


def _cuts(cuts: Tensor, low: Tensor, high: Tensor) -> np.ndarray:
    span = torch.where(high > low, high - low, 1)
    return ((cuts - low) / span * 255 * UNIT).round().clamp(0, LARGEST).long().numpy()


def _counts(masks: Tensor, truths: Tensor) -> np.ndarray:
    both, either = (masks & truths).sum((2, 3)), (masks | truths).sum((2, 3))
    return torch.stack([both, either], -1).numpy()


# ------------------------------------------------------------------------------------------- what the page computes, too


@functools.cache
def kernel(sigma: int) -> tuple[int, ...]:
    """The weights of a Gaussian blur at distance 0, 1, ... pixels: SciPy's window, cut at four sigma, in whole numbers of 1 / WHOLE."""
    if sigma == 0:
        return (WHOLE,)
    distances = np.arange(int(4 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (distances / sigma) ** 2)
    whole = np.rint(weights / (2 * weights.sum() - 1) * WHOLE).astype(int)
    whole[0] += WHOLE - (2 * whole.sum() - whole[0])
    return tuple(whole.tolist())


@functools.cache
def window(side: int, sigma: int) -> np.ndarray:
    """(side, side): row i says how many parts of each pixel the blurred pixel i takes; borders are mirrored."""
    found = np.zeros((side, side), np.int64)
    for i in range(side):
        for distance, weight in enumerate(kernel(sigma)):
            for at in {i - distance, i + distance}:
                place = at % (2 * side)
                found[i, place if place < side else 2 * side - 1 - place] += weight
    return found


def blurred(steps: np.ndarray, sigma: int) -> np.ndarray:
    """A map (h, w) uint8 blurred by ``sigma`` pixels, int64 in 1 / UNIT steps, cut off below."""
    h, w = steps.shape
    return window(h, sigma) @ steps.astype(np.int64) @ window(w, sigma).T // (WHOLE * WHOLE // UNIT)


def cut_off(values: np.ndarray, cut: int, percent: int) -> np.ndarray:
    """The mask (h, w) bool of what is above the lowest number and at least ``percent`` of the method's own threshold."""
    return (values > 0) & (100 * values >= percent * int(cut))


def shown_steps(values: np.ndarray) -> tuple[np.ndarray, int]:
    """A map in 1 / UNIT steps as uint8 whose largest is 255, rounded half up, and that largest value."""
    peak = int(values.max())
    return ((510 * values + peak) // max(1, 2 * peak)).astype(np.uint8), peak


def dimmed(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture (h, w, 3) uint8, dark outside the mask (h, w)."""
    return np.where(mask[..., None], picture, picture // 4)


def counts(mask: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Pixels in both masks, and in either."""
    return int(np.count_nonzero(mask & truth)), int(np.count_nonzero(mask | truth))
