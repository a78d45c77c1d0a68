"""Small pictures as numbers: integers and the range they stand for, so that the page can tell values, thresholds and parts itself.

``signed``, ``gray`` and ``photo`` make them from tensors. Zero is exact: a signed picture has 127 steps on either side of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from filterlens import checks

Pick = Mapping[str, object]
FRAMES = (None, "red", "yellow", "accent")


def encode(values: np.ndarray | Tensor) -> dict[str, Any]:
    """An array as the script receives it: ``dtype`` (int8, uint8, uint16, int32 or float32), ``shape``, and ``data`` in C order, little endian."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype not in (np.int8, np.uint8):
        array = array.astype({"uint16": "<u2", "int32": "<i4"}.get(array.dtype.name, "<f4"))
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": np.ascontiguousarray(array).tobytes()}


@dataclass(frozen=True, eq=False)
class Image:
    """One small picture: ``values`` int8 (h, w), or uint8 (h, w) or (h, w, 3), that stand for numbers from low to high.

    Made by ``signed``, ``gray`` or ``photo``. ``alt`` says in words what is to be seen, ``label`` stands beneath; clicking it
    sets the axes of ``pick``; ``frame`` draws attention.
    """

    values: np.ndarray
    low: float
    high: float
    alt: str
    label: str = ""
    pick: Pick | None = None
    frame: str | None = None

    def __post_init__(self) -> None:
        words("alt", self.alt)
        if not self.alt.strip():
            raise ValueError(f"alt: got {self.alt!r}, expected what the picture shows, in words")
        words("label", self.label)
        if self.pick is not None and not isinstance(self.pick, Mapping):
            raise TypeError(f"pick: got {checks.describe(self.pick)}, expected a dict of axes and their values, or None")
        if self.frame not in FRAMES:
            raise ValueError(f"frame: got {self.frame!r}, expected one of {FRAMES}")

    def encode(self) -> dict[str, Any]:
        return {
            "values": encode(self.values), "low": self.low, "high": self.high, "alt": self.alt, "label": self.label,
            "pick": plain(self.pick), "frame": self.frame,
        }  # fmt: skip

    def colours(self) -> np.ndarray:
        """The colours (h, w, 3) uint8 that the script paints: for the picture that stands in for it, and for tests."""
        if self.values.dtype == np.int8:
            from matplotlib import colormaps

            from filterlens.figures.pictures import SIGNED

            return (colormaps[SIGNED](self.values / 127.0 / 2 + 0.5)[..., :3] * 255).round().astype(np.uint8)
        return self.values if self.values.ndim == 3 else np.repeat(self.values[:, :, None], 3, 2)


def signed(
    values: Tensor, *, alt: str, label: str = "", pick: Pick | None = None, frame: str | None = None, limit: float | None = None
) -> Image:
    """A signed picture (h, w), (1, h, w) or (3, h, w), scaled to its largest magnitude or to ``limit``.

    One channel: red positive, blue negative, white zero; three: mid-grey is zero. Raises TypeError or ValueError naming the argument.
    """
    plane = _plane(values)
    limit = float(np.abs(plane).max()) if limit is None else checks.real("limit", limit, 0)
    scaled = np.clip(plane / limit, -1, 1) if limit > 0 else np.zeros_like(plane)
    steps = np.rint(scaled * 127).astype(np.int8)
    if steps.ndim == 3:  # colour has no room for a sign: -127..127 becomes 1..255, zero is 128
        return Image((steps.astype(np.int16) + 128).astype(np.uint8), -limit * 128 / 127, limit, alt, label, pick, frame)
    return Image(steps, -limit, limit, alt, label, pick, frame)


def gray(
    values: Tensor, *, alt: str, label: str = "", pick: Pick | None = None, frame: str | None = None,
    low: float | None = None, high: float | None = None,
) -> Image:  # fmt: skip
    """A map (h, w) or (1, h, w), black the lowest and white the highest, or with a range that several maps share."""
    plane = _plane(values)
    if plane.ndim == 3:
        raise ValueError(f"values: got {checks.describe(values)}, expected one channel; use `photo` for colours")
    low = float(plane.min()) if low is None else checks.real("low", low)
    high = float(plane.max()) if high is None else checks.real("high", high)
    if high < low:
        raise ValueError(f"high: got {high}, expected at least low = {low}")
    scaled = np.clip((plane - low) / (high - low), 0, 1) if high > low else np.zeros_like(plane)
    return Image(np.rint(scaled * 255).astype(np.uint8), low, high, alt, label, pick, frame)


def photo(values: Tensor, *, alt: str, label: str = "", pick: Pick | None = None, frame: str | None = None) -> Image:
    """An image in [0, 1], (h, w), (1, h, w) or (3, h, w), as it is."""
    plane = _plane(values)
    return Image(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8), 0.0, 1.0, alt, label, pick, frame)


def plain(pick: Pick | None) -> dict[str, Any] | None:
    """A pick whose whole numbers are Python's own: those of NumPy could not be sent."""
    if pick is None:
        return None
    return {axis: int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value for axis, value in pick.items()}


def _plane(values: object) -> np.ndarray:
    expected = "expected a floating-point tensor (h, w), (1, h, w) or (3, h, w)"
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise TypeError(f"values: got {checks.describe(values)}, {expected}")
    if values.ndim not in (2, 3) or 0 in values.shape or (values.ndim == 3 and len(values) not in (1, 3)):
        raise ValueError(f"values: got {checks.describe(values)}, {expected}")
    plane = values.detach().cpu().double()
    if not bool(torch.isfinite(plane).all()):
        raise ValueError(f"values: got {checks.describe(values)} with NaN or infinite entries, expected finite numbers")
    plane = plane[0] if plane.ndim == 3 and len(plane) == 1 else plane
    return (plane.permute(1, 2, 0) if plane.ndim == 3 else plane).numpy()


def png(image: Image, *, pixels: int = 224) -> bytes:
    """A picture as a PNG file, each of its pixels a square, about ``pixels`` wide."""
    from PIL import Image as Pillow

    colours = image.colours()
    factor = max(1, pixels // max(colours.shape[:2]))
    file = io.BytesIO()
    Pillow.fromarray(np.repeat(np.repeat(colours, factor, 0), factor, 1)).save(file, "PNG", optimize=True)
    return file.getvalue()


def words(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected text")
