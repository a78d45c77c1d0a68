"""Worlds of class-specific features: which 4 of 40 pooled features are a class's own? 5 classes of 24 images.

A feature is relu(noise + signal), the noise N(0, 1), the signal of a feature of the image's class half to one and a half times the world's
strength. The true set of a class is the features with its signal, whatever a classifier makes of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .world import Features, World, apart, begin, fitted

N_CLASSES, D, SIZE, PER_CLASS = 5, 40, 4, 24
LABELS = torch.arange(N_CLASSES).repeat_interleave(PER_CLASS)


@apart
def blocks(difficulty: float, seed: int) -> World:
    """Each class has 4 features of its own; dial: how far the signal is drowned, its strength is 2 (1 - dial).

    Favours: votes for the largest features, as the signal adds to noise of one size for all; with means and weights it is a contest of
    statistics, not of ideas. Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("blocks", difficulty, seed)
    sets = _sets(4, draw)
    return _features("blocks", difficulty, seed, sets, _signal(sets, 2 * (1 - difficulty), draw), draw)


@apart
def loud(difficulty: float, seed: int) -> World:
    """As ``blocks`` at strength 1.5, and 8 features that are loud in every image; dial: how loud, 6 times the dial.

    Favours: what compares classes (weights, information). Our own lens, the count of votes, is expected to lose: it looks at one class
    at a time, and there the loud features are the largest. That they are influential in the paper's sense (they are large) is true;
    that a class rests on them is not. Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("loud", difficulty, seed)
    sets = _sets(4, draw)
    features = _signal(sets, 1.5, draw)
    others = torch.tensor(sorted({*range(D)} - set(sets.flatten().tolist())))
    eight = others[torch.randperm(len(others), generator=draw)[:8]]
    features[:, eight] += 6 * difficulty * (0.5 + torch.rand(len(LABELS), 8, generator=draw))
    return _features("loud", difficulty, seed, sets, features, draw)


@apart
def shared(difficulty: float, seed: int) -> World:
    """Neighbouring classes share features; dial: how many of a class's 4, 3 times the dial, rounded, are also the next class's.

    The classes stand in a ring and their sets slide along it; at 1 each feature serves four of the five. Strength 1.5.

    Favours: votes and means, which look at one class at a time: to them a shared feature is as good as an own one. What compares classes
    (weights, information) counts it less, and is expected to lose. Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("shared", difficulty, seed)
    sets = _sets(4 - round(3 * difficulty), draw)
    return _features("shared", difficulty, seed, sets, _signal(sets, 1.5, draw), draw)


WORLDS = {"blocks": blocks, "loud": loud, "shared": shared}


def _sets(step: int, draw: torch.Generator) -> Tensor:
    """The features of each class (C, 4): windows on a ring of randomly chosen features, each ``step`` further."""
    ring = torch.randperm(D, generator=draw)[: N_CLASSES * step]
    places = torch.arange(N_CLASSES)[:, None] * step + torch.arange(SIZE)
    return ring[places % len(ring)]


def _signal(sets: Tensor, strength: float, draw: torch.Generator) -> Tensor:
    """Features (n, D): noise with the signal of each image's class, rectified."""
    member = torch.zeros(N_CLASSES, D).scatter_(1, sets, 1.0)
    signal = strength * (0.5 + torch.rand(len(LABELS), D, generator=draw)) * member[LABELS]
    return (torch.randn(len(LABELS), D, generator=draw) + signal).relu()  # a signal after the relu would show in the zeros alone


def _features(name: str, difficulty: float, seed: int, sets: Tensor, features: Tensor, draw: torch.Generator) -> World:
    """The images in random order, with a classifier fitted to them."""
    order = torch.randperm(len(LABELS), generator=draw)
    features, labels = features[order], LABELS[order]
    given = Features(features, labels, fitted(features, labels, N_CLASSES), SIZE, seed)
    return World(name, "influence", float(difficulty), seed, given, sets.sort(1).values)
