"""Worlds of redundant filters: which of a layer's 48 filters (6 channels, 3 x 5) could be made of the others?

A filter is redundant here if it was made as a mixture or copy of other filters; the others are drawn at random, and 90 numbers per
filter are enough for none of them to be a mixture by accident. Real filters are smoother than these, and less clear-cut.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .world import Layer, World, begin, disturbed

K, SHAPE = 48, (6, 3, 5)
LENGTH = math.prod(SHAPE)
SPREAD = 0.3  # of the logarithm of the norms


def mixtures(difficulty: float, seed: int) -> World:
    """Exact convex mixtures; dial: from mixtures of 8 needed filters to mixtures of 2, which lie on the hull's edges.

    8 to 24 of the filters are needed, drawn with the seed: a method that assumes a quarter is right by luck alone.

    Favours: whoever looks for the middle. Mixing shortens filters and brings them inward, so that norms and distances to the middle
    separate well though they know nothing of mixtures; positional relevance, whose very definition this is, is at home.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("mixtures", difficulty, seed)
    needed = _needed(_drawn_count(draw), draw)
    return _layer("mixtures", difficulty, seed, needed, _mixed(needed, K - len(needed), round(8 - 6 * difficulty), draw), draw)


def noisy(difficulty: float, seed: int) -> World:
    """Mixtures of 3 needed filters with noise added; dial: the noise's norm over the mixture's, 0 to 1.

    Favours: rankings by norm or distance to the middle at little noise; at 1 the redundant filters are as long as the others and only
    half of each is explained. Positional relevance codes nearest points, so it should stand some noise.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("noisy", difficulty, seed)
    needed = _needed(_drawn_count(draw), draw)
    return _layer("noisy", difficulty, seed, needed, disturbed(_mixed(needed, K - len(needed), 3, draw), difficulty, draw), draw)


def bystanders(difficulty: float, seed: int) -> World:
    """Mixtures beside needed filters as near the middle; dial: how many of the 28 needed filters, 18 times the dial, are such bystanders.

    20 filters mix 6 of the needed ones that are no bystanders. A bystander is as far from the
    mixtures' mean as one of them, in a direction of its own.

    Favours: none that looks at norms or the middle, and our own lens is expected to lose here: a filter just outside of the hull
    of few archetypes is coded as if it were deep inside. The distance to the hull of all others is at home.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("bystanders", difficulty, seed)
    directions = _needed(28, draw)
    beside = round(18 * difficulty)
    mixed = _mixed(directions[beside:], K - 28, 6, draw)
    middle = mixed.mean(0)
    far = (mixed - middle).norm(dim=1)[torch.randint(len(mixed), (18,), generator=draw)][:beside, None]
    near = middle + far * directions[:beside] / directions[:beside].norm(dim=1, keepdim=True)
    return _layer("bystanders", difficulty, seed, torch.cat([near, directions[beside:]]), mixed, draw)


def scaled(difficulty: float, seed: int) -> World:
    """12 filters with a scaled copy each, beside 24 without; dial: the copy's scale, from 1 to anything between 1/3 and 3.

    Both of a pair count as redundant, since either can stand for the other with one more factor in the next layer.

    Favours: cosines between filters. Our own lens is expected to lose: a longer copy is a corner of the hull, and a shorter one is
    inside only where the hull holds the origin. Norms know nothing of copies; the distance to the hull of the others stays small for
    copies of nearly the same length.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("scaled", difficulty, seed)
    needed = _needed(36, draw)
    scale = torch.exp(math.log(3) * difficulty * (2 * torch.rand(12, 1, generator=draw) - 1))
    return _layer("scaled", difficulty, seed, needed[12:], torch.cat([needed[:12], needed[:12] * scale]), draw)


def long(difficulty: float, seed: int) -> World:
    """16 mixtures of 8 filters that point the same way, beside 24 other ones; dial: how much longer those 8 are, 1 to 4 times.

    The family shares four fifths of its squared length, so that its mixtures stay as long as it is.

    Favours: no ranking of the library by design. "The shortest go first" is wrong here, ever more with the dial; so is "the middle
    goes first" once the family drags the middle along. The distance to the hull of all others is at home.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("long", difficulty, seed)
    short, common = _needed(24, draw), torch.randn(1, LENGTH, generator=draw) / LENGTH**0.5
    own = torch.randn(8, LENGTH, generator=draw) / LENGTH**0.5
    family = (1 + 3 * difficulty) * (0.8**0.5 * common + 0.2**0.5 * own)
    return _layer("long", difficulty, seed, torch.cat([short, family]), _mixed(family, 16, 3, draw), draw)


WORLDS = {"mixtures": mixtures, "noisy": noisy, "bystanders": bystanders, "scaled": scaled, "long": long}


def _drawn_count(draw: torch.Generator) -> int:
    return int(torch.randint(8, 25, (), generator=draw))


def _needed(n: int, draw: torch.Generator) -> Tensor:
    """Filters (n, LENGTH) of random directions, whose norms spread around 1."""
    lengths = torch.exp(SPREAD * torch.randn(n, 1, generator=draw))
    return torch.randn(n, LENGTH, generator=draw) / LENGTH**0.5 * lengths


def _mixed(filters: Tensor, n: int, parents: int, draw: torch.Generator) -> Tensor:
    """n convex mixtures of so many of the filters each, their shares uniform on the simplex."""
    chosen = torch.rand(n, len(filters), generator=draw).argsort(1) < parents
    shares = -torch.log1p(-torch.rand(n, len(filters), generator=draw)) * chosen
    return shares / shares.sum(1, keepdim=True) @ filters


def _layer(name: str, difficulty: float, seed: int, needed: Tensor, redundant: Tensor, draw: torch.Generator) -> World:
    """The filters in random order, as a layer's weight."""
    order = torch.randperm(K, generator=draw)
    weight = torch.cat([needed, redundant])[order].reshape(K, *SHAPE)
    truth = (torch.arange(K) >= len(needed))[order]
    return World(name, "redundancy", float(difficulty), seed, Layer(weight, len(redundant), seed), truth)
