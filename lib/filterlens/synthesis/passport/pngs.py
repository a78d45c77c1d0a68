"""Tensors as pictures inside of a page: PNG files as data URIs, in the colours of ``figures.pictures``."""

from __future__ import annotations

import base64
import io

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

MOST = 256  # pixels of a side: larger pictures are averaged down
# ColorBrewer's RdBu from blue (negative) to red, what matplotlib's RdBu_r runs through
_SIGNED = ["053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f"]
_ANCHORS = np.array([[int(colour[at : at + 2], 16) for at in (0, 2, 4)] for colour in _SIGNED], dtype=float)


def photograph(image: Tensor) -> str:
    """An image (1 or 3, h, w) in [0, 1], as it is; values outside are clamped, NaN is mid-grey. Other channels are averaged."""
    values = _few(image.detach().double().cpu().nan_to_num(0.5, 1, 0).clamp(0, 1))
    return _uri(np.rint(255 * values.numpy()))


def signed(pattern: Tensor) -> str:
    """A signed pattern (c, h, w) scaled to its largest magnitude. Three channels: zero is mid-grey; else red positive, blue negative."""
    values = _few(pattern.detach().double().cpu().nan_to_num(0.0))
    peak = float(values.abs().max()) or 1.0
    scaled = (values / peak).numpy()
    if len(scaled) == 3:
        return _uri(np.rint(255 * (scaled / 2 + 0.5)))
    at = (scaled[0] / 2 + 0.5) * (len(_ANCHORS) - 1)
    return _uri(np.rint(np.stack([np.interp(at, range(len(_ANCHORS)), _ANCHORS[:, channel]) for channel in range(3)])))


def activations(values: Tensor) -> str:
    """A map (h, w): black zero and white the largest, or as a signed pattern if any value is negative."""
    values = values.detach().double().cpu()[None]
    if bool((values < 0).any()):
        return signed(values)
    return photograph(values / (float(values.max()) or 1.0))


def channels(image: Tensor) -> Tensor:
    """An image (c, h, w) as one with one or three channels: any other number is averaged."""
    return image if len(image) in (1, 3) else image.mean(0, keepdim=True)


def _few(image: Tensor) -> Tensor:
    image = channels(image)
    factor = max(image.shape[1:]) / MOST
    if factor <= 1:
        return image
    size = [max(1, round(side / factor)) for side in image.shape[1:]]
    return interpolate(image[None], size=size, mode="area")[0]


def _uri(levels: np.ndarray) -> str:
    from PIL import Image

    shown = levels.astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(shown[0] if len(shown) == 1 else np.ascontiguousarray(shown.transpose(1, 2, 0))).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
