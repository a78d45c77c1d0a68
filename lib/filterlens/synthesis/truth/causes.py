"""Worlds of known causes: which pixels of a picture of 24 x 31 make a kernel answer? Colour patches and crossed bars among clutter.

The cause is what was drawn for the kernel: taken away, the kernel's strongest answer goes. Clutter may move the kernel's map
elsewhere; a method that shows all of the map shows more than the cause.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .decoding import HUES
from .world import Seen, World, apart, begin

H, W = 24, 31
_FIELDS = [(8 * row, 8 * column) for row in range(3) for column in range(4)]  # of 8 x 7 pixels, none touches another
_BLUR = (torch.tensor([1.0, 2.0, 1.0])[:, None] * torch.tensor([1.0, 2.0, 1.0]) / 16)[None, None]


@apart
def patches(difficulty: float, seed: int) -> World:
    """One 5 x 6 patch of each of six hues, six detectors of these hues; the cause of the detector of red is the red patch.

    Dial: the standard deviation of noise over the whole picture, the patches being 1. Magenta and yellow, the opposites of green
    and blue, are patches too and move the detector of red half as much at all levels.

    Favours: the map itself and what is sent back from it, as one layer is hardly more than a colour filter; GradMap, which knows whether
    but not how much a kernel is active, cannot tell red from magenta.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("patches", difficulty, seed)
    image, cause = _picture(list(HUES), draw)
    image = image + difficulty * torch.randn(image.shape, generator=draw)
    return _seen("patches", difficulty, seed, _detectors(HUES[:, :, None, None] * _BLUR), image, cause)


@apart
def shapes(difficulty: float, seed: int) -> World:
    """A plus sign among lone bars: four detectors of strokes, a max-pool, and a kernel that answers to both bars at one place only.

    The cause is the plus's 9 pixels of ink. Dial: how many of the 11 other fields hold a lone bar, which kernels of their own answer to,
    and noise with a standard deviation of a quarter of the dial, the ink being 1.

    Favours: what goes back through the network from the kernel, whose weights are ink and rim of that very plus. The map is too coarse
    for ink; the image is as bright at every bar. Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("shapes", difficulty, seed)
    image, cause = torch.zeros(1, H, W), torch.zeros(H, W, dtype=torch.bool)
    lone = round(11 * difficulty)
    upright = torch.rand(11, generator=draw) < 0.5
    for at, (y, x) in enumerate(_places(12, 5, 5, draw)[: lone + 1]):
        if at == 0:
            cause[y : y + 5, x + 2] = cause[y + 2, x : x + 5] = True
        elif upright[at - 1]:
            image[0, y : y + 5, x + 2] = 1
        else:
            image[0, y + 2, x : x + 5] = 1
    image[0][cause] = 1
    image = image + difficulty / 4 * torch.randn(image.shape, generator=draw)
    bars = torch.stack([torch.eye(5).flip(1), torch.eye(5), torch.eye(5)[2].expand(5, 5), torch.eye(5)[2].expand(5, 5).T])[:, None]
    bars = bars - bars.mean((2, 3), keepdim=True)
    parts = torch.zeros(5, 4, 3, 3)
    parts[0, 2:, 1, 1] = 1  # plus: upright and level
    parts[[1, 2, 3, 4], [0, 1, 2, 3], 1, 1] = 1
    parts[[3, 4], [3, 2], 1, 1] = -1  # lone bars, not those that cross: what the cause itself drives could hardly be silenced
    model = nn.Sequential()
    model.add_module("strokes", nn.Conv2d(1, 4, 5, padding=2, bias=False))
    model.add_module("edges", nn.ReLU())
    model.add_module("pool", nn.MaxPool2d(2))
    model.add_module("parts", nn.Conv2d(4, 5, 3, padding=1))
    model.add_module("answers", nn.ReLU())
    with torch.no_grad():
        model.strokes.weight.copy_(bars / 4)  # 1 on a lone bar, 0.8 for each of a plus
        model.parts.weight.copy_(parts)
        model.parts.bias.copy_(torch.tensor([-1.2, -0.2, -0.2, -0.2, -0.2]))
    return _seen("shapes", difficulty, seed, model, image[None], cause)


@apart
def correlated(difficulty: float, seed: int) -> World:
    """As ``patches`` with noise of 0.3, but the seven other detectors are near copies of that of red; dial: their correlation with it.

    Favours: whoever ignores the other kernels. Isolation has to silence detectors that the cause itself drives, so that it was expected to
    lose; what it gives up is the cause's brightness more than its place. Raises TypeError or ValueError naming difficulty, in [0, 1],
    or seed.
    """
    draw = begin("correlated", difficulty, seed)
    red = HUES[:1] / HUES[0].norm()
    other = torch.randn(7, 3, generator=draw)
    other = other - other @ red.T * red
    other = other / other.norm(dim=1, keepdim=True)
    hues = torch.cat([red, difficulty * red + (1 - difficulty**2) ** 0.5 * other])
    image, cause = _picture(list(HUES[:3]), draw)
    image = image + 0.3 * torch.randn(image.shape, generator=draw)
    return _seen("correlated", difficulty, seed, _detectors(hues[:, :, None, None] * _BLUR), image, cause)


WORLDS = {"patches": patches, "shapes": shapes, "correlated": correlated}


def _places(n: int, height: int, width: int, draw: torch.Generator) -> list[tuple[int, int]]:
    """The corners of n things of this size, each anywhere in a field of its own."""
    fields = torch.randperm(len(_FIELDS), generator=draw)[:n].tolist()
    move = torch.rand(n, 2, generator=draw)
    free = (8 - height, 7 - width)
    return [
        tuple(corner + int(share * (room + 1)) for corner, share, room in zip(_FIELDS[field], move[at].tolist(), free, strict=True))
        for at, field in enumerate(fields)
    ]


def _picture(hues: list[Tensor], draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W), grey (0) with a patch of each hue; and where the first one is (H, W)."""
    image, cause = torch.zeros(1, 3, H, W), torch.zeros(H, W, dtype=torch.bool)
    for at, (y, x) in enumerate(_places(len(hues), 5, 6, draw)):
        image[0, :, y : y + 5, x : x + 6] = hues[at][:, None, None]
        if at == 0:
            cause[y : y + 5, x : x + 6] = True
    return image, cause


def _detectors(weight: Tensor) -> nn.Module:
    """One layer of detectors, rectified."""
    model = nn.Sequential()
    model.add_module("hues", nn.Conv2d(3, len(weight), 3, padding=1, bias=False))
    model.add_module("answers", nn.ReLU())
    with torch.no_grad():
        model.hues.weight.copy_(weight)
    return model


def _seen(name: str, difficulty: float, seed: int, model: nn.Module, image: Tensor, cause: Tensor) -> World:
    model.eval().requires_grad_(False)
    return World(name, "isolation", float(difficulty), seed, Seen(model, "answers", 0, image, int(cause.sum()), seed), cause)
