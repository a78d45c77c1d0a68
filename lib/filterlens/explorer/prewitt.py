"""The smallest mixture of filters: two Prewitt operators, a slider between them, and what the mixture answers to an image.

A convolution is linear, so the mixture's map is the mixture of the maps, exactly; after a ReLU it no longer is. All is counted in
whole numbers, here and again in ``script/prewitt.js``, so that "exactly" can be shown. ``lenses.simplex.prewitt`` is the same in tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from filterlens import checks
from filterlens.explorer import panels
from filterlens.explorer.axes import Axis
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.influence_numbers import fill, said_percent
from filterlens.explorer.simplex_numbers import half_up, steps_of

PARTS = 20  # the slider's steps
LARGEST = 128  # pixels of the image's longer side
X = np.array([[-1, 0, 1]] * 3)
LABELS = ("x", "y", "z")

WORDS: dict[str, str] = {
    "filters": "Two filters and their mixture",
    "filters_note": "z = {x} x + {y} y. Red is 1, blue −1.",
    "filter_alt": "the filter {name}, 3 by 3 weights",
    "image": "image",
    "image_alt": "the image that the filters answer to, in grey",
    "maps": "What they answer",
    "maps_note": "x answers edges that stand, y edges that lie, z a mixture of both. One scale; no bias, no non-linearity.",
    "map": "map of {name}",
    "difference": "Does the mixture say anything new?",
    "difference_note": "The map of z minus the same mixture of the maps of x and y, on the scale of the maps.",
    "linear": "before a ReLU",
    "relu": "after a ReLU",
    "linear_note": "largest difference, of the largest answer; counted in whole numbers",
    "relu_note": "largest difference, of the largest answer; {pixels} of {n} pixels differ",
    "numbers": "The largest difference",
}


def prewitt_explorer(image: Tensor, *, title: str = "A mixture of two filters", name: str | None = None) -> Explorer:
    """Prewitt's x and y = x^T, z = mix x + (1 - mix) y, and the maps of all three for one image (section 1 of the paper, where mix = 1/2).

    image: (h, w), (1, h, w) or (3, h, w) in [0, 1], at least 3 x 3; colours are averaged, and an image of more than 128 pixels on its
    longer side is made smaller. Axis: ``mix`` (0 to 1 in steps of 0.05). The page computes it from the image's 8 bits; Python does, too.
    Raises TypeError or ValueError naming the argument.
    """
    steps = [k / PARTS for k in range(PARTS + 1)]
    axes = {"mix": Axis(steps, label="mix: share of x", labels={step: f"{step:.2f}" for step in steps}, control="slider")}
    return Explorer(axes, PrewittPanels(_gray(image)), start={"mix": 0.5}, title=title, name=name)


class PrewittPanels:
    """The render function: an image (h, w) uint8, in Python and, by ``computed``, in the page."""

    __name__ = "prewitt"

    def __init__(self, image: np.ndarray) -> None:
        self.image = image.astype(np.int64)
        self.x, self.y = (answer(self.image, kernel) for kernel in (X, X.T))
        self.peak = PARTS * int(max(np.abs(self.x).max(), np.abs(self.y).max(), 1))
        self.computed = ("prewitt", {"image": panels.encode(image), "words": WORDS, "parts": PARTS, "peak": self.peak})

    def __call__(self, mix: float) -> list[panels.Panel]:
        k = round(mix * PARTS)
        share = {"x": f"{k / PARTS:.2f}", "y": f"{(PARTS - k) / PARTS:.2f}"}
        kernels = PARTS * X, PARTS * X.T, k * X + (PARTS - k) * X.T
        maps = PARTS * self.x, PARTS * self.y, answer(self.image, kernels[2])
        relu = [np.maximum(one, 0) for one in (self.x, self.y, maps[2])]
        linear = maps[2] - (k * self.x + (PARTS - k) * self.y)
        after = relu[2] - (k * relu[0] + (PARTS - k) * relu[1])
        shown = [_signed(one, PARTS, 1.0, fill(WORDS["filter_alt"], name=name), name) for one, name in zip(kernels, LABELS, strict=True)]
        answers = [self._map(one, fill(WORDS["map"], name=name)) for one, name in zip(maps, LABELS, strict=True)]
        seen = panels.Image(self.image.astype(np.uint8), 0.0, 1.0, alt=WORDS["image_alt"], label=WORDS["image"])
        largest = [said_percent(int(np.abs(one).max()), self.peak) for one in (linear, after)]
        differing = fill(WORDS["relu_note"], pixels=int(np.count_nonzero(after)), n=after.size)
        return [
            panels.Pictures(title=WORDS["filters"], note=fill(WORDS["filters_note"], **share), pictures=shown, size=66),
            panels.Pictures(title=WORDS["maps"], note=WORDS["maps_note"], pictures=[seen, *answers], size=LARGEST),
            panels.Pictures(
                title=WORDS["difference"], note=WORDS["difference_note"], size=LARGEST,
                pictures=[self._map(linear, WORDS["linear"]), self._map(after, WORDS["relu"])],
            ),
            panels.Numbers(
                title=WORDS["numbers"], rows=[(WORDS["linear"], largest[0], WORDS["linear_note"]), (WORDS["relu"], largest[1], differing)]
            ),
        ]  # fmt: skip

    def _map(self, values: np.ndarray, label: str) -> panels.Image:
        return _signed(values, self.peak, self.peak / (PARTS * 255), label, label)


def answer(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What a 3 x 3 filter answers (h - 2, w - 2), in whole numbers."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    return np.einsum("hwij,ij->hw", windows, kernel)


def _signed(values: np.ndarray, peak: int, high: float, alt: str, label: str) -> panels.Image:
    return panels.Image(steps_of(values, peak), -high, high, alt, label)


def _gray(image: Any) -> np.ndarray:
    expected = "expected an image (h, w), (1, h, w) or (3, h, w) in [0, 1], at least 3 x 3"
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(f"image: got {checks.describe(image)}, {expected}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and len(image) not in (1, 3)) or min(image.shape[-2:]) < 3:
        raise ValueError(f"image: got {checks.describe(image)}, {expected}")
    if not bool((image >= 0).all() and (image <= 1).all()):
        raise ValueError(f"image: got {checks.describe(image)} with values outside [0, 1] or NaN, {expected}")
    grey = image.detach().cpu().double().reshape(-1, *image.shape[-2:]).mean(0)
    h, w = grey.shape
    if (longer := max(h, w)) > LARGEST:
        smaller = [max(3, int(half_up(np.int64(side * LARGEST), longer))) for side in (h, w)]
        grey = F.interpolate(grey[None, None], size=smaller, mode="area")[0, 0]
    return (grey * 255).round().byte().numpy()
