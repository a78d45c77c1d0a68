"""Worlds of planted detectors whose picture is known: what does a unit that sees the whole image look for?

Networks are built by hand around templates, then noise is added to the upper weights. Templates are drawn here pixel by pixel, never
by ``decode``. A unit behind a max-pool answers to its parts at any of four places; its template shows all four, each as likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor, nn

from ...lenses.decoding import CHARACTERS, PARTS, CharacterNetwork
from .world import Units, World, apart, begin, disturbed

N_IMAGES = 512
HUES = torch.tensor([[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1], [-1, 0.5, 0.5], [0.5, -1, 0.5], [0.5, 0.5, -1]])
_BUMP = torch.tensor([1.0, 2.0, 1.0])[:, None] * torch.tensor([1.0, 2.0, 1.0]) / 16


@apart
def characters(difficulty: float, seed: int) -> World:
    """The character network of the paper's supplement; templates are its 8 characters in black ink, 14 x 14.

    Dial: the norm of the noise in the filters of parts and characters over their own, 2 times the dial.

    Favours: decoding by upsampling, for which the network was invented. No method reaches 1, not even without noise: strokes have
    bright rims (mean 0), ink has none. Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("characters", difficulty, seed)
    model = CharacterNetwork()
    with torch.no_grad():
        for layer in (model.parts, model.characters):
            layer.weight.copy_(disturbed(layer.weight, 2 * difficulty, draw))
    truth = torch.stack([_ink(cells) for cells in CHARACTERS.values()])[:, None]
    return _units("characters", difficulty, seed, model, "characters", (1, 14, 14), truth, draw)


@apart
def flags(difficulty: float, seed: int) -> World:
    """A colour network: 6 detectors of hues, a max-pool, 5 units for flags of 3 x 4 coloured fields; templates are the flags, 3 x 8 x 10.

    Dial: the norm of random weights from competing detectors over the unit's own, 3 times the dial.

    Favours: nearest unpooling a little, since fields are flat and sharp; the detectors blur enough. Opposite hues are detectors of their
    own; decoding takes their difference, which is right here. Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("flags", difficulty, seed)
    model = nn.Sequential()
    model.add_module("hues", nn.Conv2d(3, 6, 3, bias=False))
    model.add_module("relu", nn.ReLU())
    model.add_module("pool", nn.MaxPool2d(2))
    model.add_module("flags", nn.Conv2d(6, 5, (3, 4), bias=False))
    hue = torch.randint(6, (5, 3, 4), generator=draw)
    wanted = nn.functional.one_hot(hue, 6).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        model.hues.weight.copy_(HUES[:, :, None, None] * _BUMP)
        model.flags.weight.copy_(disturbed(wanted, 3 * difficulty, draw))
    truth = torch.zeros(5, 3, 8, 10)
    for k, row, column in product(range(5), range(3), range(4)):
        truth[k, :, 1 + 2 * row : 3 + 2 * row, 1 + 2 * column : 3 + 2 * column] = HUES[hue[k, row, column], :, None, None]
    return _units("flags", difficulty, seed, model, "flags", (3, 8, 10), truth, draw)


class TwoPaths(nn.Module):
    """Units that add a coarse path (4 small filters, a max-pool, where they lie) and a fine one: (n, 1, 12, 14) -> (n, 6, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.small = nn.Conv2d(1, 4, (3, 5), bias=False)
        self.pool = nn.MaxPool2d(2)
        self.coarse = nn.Conv2d(4, 6, 5, bias=False)
        self.fine = nn.Conv2d(1, 6, (12, 14), bias=False)
        self.units = nn.Conv2d(6, 6, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.units(self.coarse(self.pool(self.small(images))) + self.fine(images))


@apart
def paths(difficulty: float, seed: int) -> World:
    """Two paths to a unit, one of them through a max-pool, each with half of the template's energy; templates 12 x 14.

    Dial: the norm of the noise in the filters of both paths over their own.

    Favours: ``scale="sum"`` by construction, and says so. A pooled part counts once, at one of four places, so its template is the mean
    over the four; unpooling without scale draws it four times as strong. Raises TypeError or ValueError naming difficulty, in
    [0, 1], or seed.
    """
    draw = begin("paths", difficulty, seed)
    small = torch.randn(4, 1, 3, 5, generator=draw)
    coarse = torch.rand(6, 4, 5, 5, generator=draw) * (torch.rand(6, 4, 5, 5, generator=draw) < 0.1)
    coarse[:, 0, 2, 2] = 1
    pooled = torch.zeros(6, 1, 12, 14)
    for channel, row, column, (dy, dx) in product(range(4), range(5), range(5), _four()):
        y, x = 2 * row + dy, 2 * column + dx
        pooled[:, 0, y : y + 3, x : x + 5] += coarse[:, channel, row, column, None, None] * small[channel, 0] / 4
    length = pooled.flatten(1).norm(dim=1)[:, None, None, None]
    fine = torch.randn(6, 1, 12, 14, generator=draw)
    fine = fine / fine.flatten(1).norm(dim=1)[:, None, None, None]
    model = TwoPaths()
    with torch.no_grad():
        model.small.weight.copy_(small)
        model.coarse.weight.copy_(disturbed(coarse / length, difficulty, draw))
        model.fine.weight.copy_(disturbed(fine, difficulty, draw))
        model.units.weight.copy_(torch.eye(6)[:, :, None, None])
    return _units("paths", difficulty, seed, model, "units", (1, 12, 14), pooled / length + fine, draw)


@apart
def rectified(difficulty: float, seed: int) -> World:
    """Units that answer to a pattern and to its negative: relu(a) + dial relu(-a) at six places; templates, the positive one, 9 x 11.

    Dial: how strong the answer to the negative is. At all levels the upper weights carry noise of 0.3 times their norm.

    Favours: decoding at small dials, where all is nearly linear. At 1 our own lens is expected to lose: it takes activations for the
    identity, so that pattern and negative cancel and nothing but the noise is left; the mean of the images that excite such a unit
    (reverse correlation) is 0 too. The gradient at one image shows what excites the unit there, and what else that image holds.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("rectified", difficulty, seed)
    pattern = torch.randn(6, 1, 4, 5, generator=draw)
    pattern = pattern / pattern.flatten(1).norm(dim=1)[:, None, None, None]
    weight, truth = torch.zeros(4, 12, 6, 7), torch.zeros(4, 1, 9, 11)
    for unit in range(4):
        places = torch.randperm(6 * 7, generator=draw)[:6].tolist()
        for which, place in enumerate(places):
            y, x = divmod(place, 7)
            weight[unit, which, y, x], weight[unit, which + 6, y, x] = 1, difficulty
            truth[unit, 0, y : y + 4, x : x + 5] += pattern[which, 0]
    model = nn.Sequential()
    model.add_module("patterns", nn.Conv2d(1, 12, (4, 5), bias=False))
    model.add_module("relu", nn.ReLU())
    model.add_module("units", nn.Conv2d(12, 4, (6, 7), bias=False))
    with torch.no_grad():
        model.patterns.weight.copy_(torch.cat([pattern, -pattern]))
        model.units.weight.copy_(disturbed(weight, 0.3, draw))
    return _units("rectified", difficulty, seed, model, "units", (1, 9, 11), truth, draw)


WORLDS = {"characters": characters, "flags": flags, "paths": paths, "rectified": rectified}


def _four() -> Iterator[tuple[int, int]]:
    """The places that a 2 x 2 max-pool takes for one."""
    return product((0, 1), repeat=2)


def _ink(cells: dict[tuple[int, int], int]) -> Tensor:
    """A character (14, 14) drawn with black strokes: each of its parts at the four places that the pool takes for one."""
    bar = torch.zeros(5, 5)
    bar[:, 2] = 1
    strokes = {1: torch.eye(5).flip(1), 2: torch.eye(5), 3: bar, 4: bar.T}
    picture = torch.zeros(14, 14)
    for (row, column), part in cells.items():
        for (stroke, top, left), (dy, dx) in product(PARTS[part - 1][1], _four()):
            field = picture[2 * row + top + dy :, 2 * column + left + dx :][:5, :5]
            field.copy_(torch.maximum(field, strokes[stroke]))
    return picture


def _units(
    name: str, difficulty: float, seed: int, model: nn.Module, layer: str, size: tuple[int, int, int], truth: Tensor, draw: torch.Generator
) -> World:
    model.eval().requires_grad_(False)
    images = torch.randn(N_IMAGES, *size, generator=draw)
    return World(name, "decoding", float(difficulty), seed, Units(model, layer, tuple(range(len(truth))), images, seed), truth)
