"""What a planted world is made of: what a method gets to see, and what is true.

``redundancy``, ``influence``, ``decoding``, ``causes`` and ``ownership`` plant the worlds of one question each, ``judging`` compares an
answer with the truth, ``answering`` holds who answers.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import checks

QUESTIONS = ("redundancy", "influence", "decoding", "isolation", "gates")
Method = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """Redundancy: a layer's ``weight`` (k, c, kh, kw), how many of its filters are redundant, and a seed for methods that draw.

    An answer is (k,), larger = more redundant, or a ``FilterRanking``.
    """

    weight: Tensor
    n_redundant: int
    seed: int


@dataclass(frozen=True, eq=False)
class Features:
    """Influence and gates: pooled ``features`` (n, d) >= 0, ``labels`` (n,), a ``linear`` layer d -> C fitted to them, ``size``, how many
    features each class has, and a seed.

    An answer about influence is (C, size) int64, distinct features of each class; one about gates (d,) int64, the class of each feature.
    """

    features: Tensor
    labels: Tensor
    linear: nn.Linear
    size: int
    seed: int

    @property
    def n_classes(self) -> int:
        """C."""
        return self.linear.out_features


@dataclass(frozen=True, eq=False)
class Units:
    """Decoding: a network whose ``layer`` has one unit per ``kernels`` (k,) that sees the whole image, ``images`` (n, c, h, w) of white
    noise for methods that need some, and a seed. An answer is (k, c, h, w): what each unit looks for, at any positive scale.
    """

    model: nn.Module
    layer: str
    kernels: tuple[int, ...]
    images: Tensor
    seed: int


@dataclass(frozen=True, eq=False)
class Seen:
    """Isolation: a network, one ``kernel`` of a ``layer`` of activations, an ``image`` (1, c, h, w) in normalized space (0 is the mean
    colour), how many of its pixels are the cause of the kernel's answer, and a seed. An answer is (h, w), larger = more of the cause.
    """

    model: nn.Module
    layer: str
    kernel: int
    image: Tensor
    n_pixels: int
    seed: int


@dataclass(frozen=True, eq=False)
class World:
    """A planted problem. ``given`` is all that methods see: ``Layer``, ``Features``, ``Units`` or ``Seen``; ``truth`` is

    redundancy: (k,) bool, True = redundant; influence: (C, size) int64, ascending; decoding: templates (k, c, h, w); isolation: (h, w)
    bool; gates: (d,) int64, the class that owns each feature, -1 for those that all classes share.
    """

    name: str
    question: str
    difficulty: float
    seed: int
    given: Layer | Features | Units | Seen
    truth: Tensor

    def tensors(self) -> list[Tensor]:
        """All numbers that the world is made of: the truth, then what is given and the weights of its network."""
        given = list(vars(self.given).values())
        networks = [number for one in given if isinstance(one, nn.Module) for number in one.state_dict().values()]
        return [self.truth, *(one for one in given if isinstance(one, Tensor)), *networks]


def begin(name: str, difficulty: float, seed: int) -> torch.Generator:
    """Check a world's arguments and start its own stream of random numbers: other worlds and the methods draw from others.

    The stream starts alike at every difficulty, so that a seed's worlds are one world, harder and harder, as far as the dial allows.
    """
    checks.real("difficulty", difficulty, 0, 1)
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {checks.integer('seed', seed, 0)}".encode()))


def apart(plant: Callable[[float, int], World]) -> Callable[[float, int], World]:
    """A world's function that leaves torch's global random numbers as they are, though new layers draw from them."""

    @functools.wraps(plant)
    def planted(difficulty: float, seed: int) -> World:
        with torch.random.fork_rng(devices=[]):
            return plant(difficulty, seed)

    return planted


def disturbed(weight: Tensor, amount: float, draw: torch.Generator) -> Tensor:
    """Filters (k, ...) with white noise added, whose Euclidean norm is ``amount`` times that of each filter."""
    noise = torch.randn(weight.shape, generator=draw)
    along = tuple(range(1, weight.ndim))
    return weight + noise * (amount * weight.square().sum(along, keepdim=True).sqrt() / noise.square().sum(along, keepdim=True).sqrt())


def fitted(features: Tensor, labels: Tensor, n_classes: int) -> nn.Linear:
    """The classifier that a world's features come with: ridge regression onto one-hot labels, penalty 0.1 per sample (ours).

    Convex and in closed form, so that a world is the same everywhere; the worlds' weights are no trained network's.
    """
    x, y = features.double(), nn.functional.one_hot(labels, n_classes).double()
    mean, target = x.mean(0), y.mean(0)
    x = x - mean
    weight = torch.linalg.solve(x.T @ x + 0.1 * len(x) * torch.eye(x.shape[1], dtype=x.dtype), x.T @ (y - target)).T
    linear = nn.Linear(*weight.shape[::-1])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(target - weight @ mean)
    return linear.requires_grad_(False)
