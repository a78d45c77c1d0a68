"""Worlds of filters that classes own, as class-specific gates are to find them: 4 classes own 5 of 22 filters each, 2 are shared.

The planted matrix is ``gates.fixed_gates``, its columns shuffled; features are relu(noise + signal), the signal where the gate
of the image's class is open, on 40 images per class. No image is behind these features: they test how ownership is read, not a training of
convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...lenses.gates import fixed_gates, owners
from .world import Features, World, apart, begin, fitted

N_CLASSES, OWN, SHARED, PER_CLASS = 4, 5, 2, 40
LABELS = torch.arange(N_CLASSES).repeat_interleave(PER_CLASS)
K = N_CLASSES * OWN + SHARED


@apart
def overlap(difficulty: float, seed: int) -> World:
    """Every owned filter also answers to one other class; dial: how strongly, as a share of its own class's signal of 1.

    Favours: none. At 1 the rival is as good as the owner and only chance tells them apart.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("overlap", difficulty, seed)
    planted = _planted(draw)
    answer = torch.maximum(planted, difficulty * _rivals(planted, draw))
    return _features("overlap", difficulty, seed, planted, _shown(answer, draw), draw)


@apart
def outliers(difficulty: float, seed: int) -> World:
    """As ``overlap`` without rivals, but one in ten images of another class makes a filter shout; dial: by 30 times the dial.

    Favours: what counts images (votes, information). The mean of a class follows the few loud images, so that it is expected to lose,
    and with it the owner that ``gates.study`` names for a network without gates.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("outliers", difficulty, seed)
    planted = _planted(draw)
    rare = torch.rand(len(LABELS), K, generator=draw) < 0.1
    shouts = rare * _rivals(planted, draw)[LABELS] * 30 * difficulty * torch.rand(len(LABELS), K, generator=draw)
    return _features("outliers", difficulty, seed, planted, _shown(planted, draw) + shouts, draw)


@apart
def unequal(difficulty: float, seed: int) -> World:
    """As ``overlap`` at a share of 0.3, but filters have sizes of their own; dial: the spread of their logarithms, 2.5 times the dial.

    Favours: what compares classes within a filter (means, information), which a factor does not touch. Votes compare filters within an
    image and are expected to lose: the large filters win them all.
    Raises TypeError or ValueError naming difficulty, in [0, 1], or seed.
    """
    draw = begin("unequal", difficulty, seed)
    planted = _planted(draw)
    answer = torch.maximum(planted, 0.3 * _rivals(planted, draw))
    size = torch.exp(2.5 * difficulty * torch.randn(K, generator=draw))
    return _features("unequal", difficulty, seed, planted, _shown(answer, draw) * size, draw)


WORLDS = {"overlap": overlap, "outliers": outliers, "unequal": unequal}


def _planted(draw: torch.Generator) -> Tensor:
    """The true gates (C, K), their columns in random order."""
    return fixed_gates(N_CLASSES, OWN, SHARED)[:, torch.randperm(K, generator=draw)]


def _rivals(planted: Tensor, draw: torch.Generator) -> Tensor:
    """Gates (C, K) of one other class for each owned filter, none for shared ones."""
    other = (owners(planted) + torch.randint(1, N_CLASSES, (K,), generator=draw)) % N_CLASSES
    return torch.zeros_like(planted).scatter_(0, other[None], 1.0) * (planted.sum(0) == 1)


def _shown(answer: Tensor, draw: torch.Generator) -> Tensor:
    """Features (n, K): noise with, as strongly as the table (C, K) says, the signal; rectified."""
    signal = answer[LABELS] * (0.5 + torch.rand(len(LABELS), K, generator=draw))
    return (torch.randn(len(LABELS), K, generator=draw) + signal).relu()


def _features(name: str, difficulty: float, seed: int, planted: Tensor, features: Tensor, draw: torch.Generator) -> World:
    """The images in random order, with a classifier fitted to them."""
    order = torch.randperm(len(LABELS), generator=draw)
    features, labels = features[order], LABELS[order]
    given = Features(features, labels, fitted(features, labels, N_CLASSES), OWN, seed)
    return World(name, "gates", float(difficulty), seed, given, torch.where(planted.sum(0) == 1, owners(planted), -1))
