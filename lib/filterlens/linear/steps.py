"""The linear part of a network, as a list of steps one can walk down or up.

``trace.py`` records a network as steps (``Convolution``, ``MaxPool``, ``Add`` ...). Each can be walked in two directions:

* ``down``, the adjoint: a *field* (k, c, h, w) at the step's output, one picture per decoded kernel in the channels of
  that tensor, becomes a field at its input.
* ``up``, the same sums in the other order: a *bank* (c, i, h, w) holds, for every channel of the input, that unit's
  picture in the i image channels; the bank of the output is a matrix product over shifted pictures.

Positions are relative to the unit at (0, 0) of its map, on an unbounded plane: padding never cuts a receptive field, and
branches meet where they should. A unit at y reads the inputs ``pace y + start`` to ``pace y + start + window - 1``; these
three numbers per axis are all the geometry there is. Activations are the identity, biases and BN shifts are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import checks
from .patches import Pair, Patch, added, aligned, spread
from .unpooling import MODES, unpool

SCALES = ("none", "sum")
GAINS = ("refuse", "one")


@dataclass(frozen=True)
class Rule:
    """How maximum pools are undone: ``mode`` of interpolation; ``scale="sum"`` as if they averaged.

    ``gain``: "refuse" networks that multiply by a factor computed from the image, or take that factor to be "one".
    """

    mode: str = "nearest"
    scale: str = "none"
    gain: str = "refuse"

    def __post_init__(self) -> None:
        checks.choice("mode", self.mode, MODES)
        checks.choice("scale", self.scale, SCALES)
        checks.choice("gain", self.gain, GAINS)

    @property
    def averages(self) -> bool:
        return self.mode == "nearest" and self.scale == "sum"


@dataclass(frozen=True, eq=False)
class Step:
    """One operation between tensors numbered ``inputs`` and ``output`` (0 is the image); by itself the identity."""

    inputs: tuple[int, ...]
    output: int
    name: str  # dotted name of the module it happened in

    pace: Pair = field(default=(1, 1), kw_only=True)

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    @property
    def lone(self) -> bool:
        """Whether one unit is left, so that from here on no step leads to a neighbour."""
        return False

    def start(self, rule: Rule) -> Pair:
        return 0, 0

    def window(self, rule: Rule) -> Pair:
        return 1, 1

    def stride(self, below: Pair) -> Pair:
        """Image pixels between neighbouring units, given those of the input."""
        return (1, 1) if self.lone else (below[0] * self.pace[0], below[1] * self.pace[1])

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        """Adjoint: the values of a field at the output -> at every input."""
        return [values for _ in self.inputs]

    def push(self, bank: Patch, rule: Rule) -> Tensor:
        """The values of the bank at the input -> at the output."""
        return bank.values

    def join(self, banks: list[Patch]) -> Patch:
        return added(banks)

    def down(self, patch: Patch, rule: Rule) -> list[Patch]:
        (py, px), (sy, sx) = self.pace, self.start(rule)
        return [Patch(values, patch.top * py + sy, patch.left * px + sx) for values in self.pull(patch.values, rule)]

    def up(self, banks: list[Patch], rule: Rule) -> Patch:
        bank, (sy, sx) = self.join(banks), self.start(rule)
        iy, ix = bank.stride
        return Patch(self.push(bank, rule), bank.top + iy * sy, bank.left + ix * sx, self.stride(bank.stride))

    def size(self, h: int, w: int) -> Pair:
        """Rows and columns of units for an input of h x w."""
        return h, w


class Add(Step):
    """A residual sum: every branch is decoded, the pictures are added."""


@dataclass(frozen=True, eq=False)
class Scale(Step):
    """One factor per channel: BN's gamma / sqrt(var + eps), a layer scale, a number."""

    factor: Tensor = field(repr=False)  # (c,) or (1,)

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        return [values * self.factor.reshape(1, -1, 1, 1)]

    def push(self, bank: Patch, rule: Rule) -> Tensor:
        return bank.values * self.factor.reshape(-1, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class Convolution(Step):
    """conv2d; also a linear layer, as a 1 x 1 convolution of a (n, d, 1, 1) tensor. Its pace is its stride."""

    weight: Tensor = field(repr=False)  # (o, c / groups, kh, kw)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    extra: Pair = (0, 0)  # one more row or column of zeros at the end, as padding="same" needs for even kernels

    def start(self, rule: Rule) -> Pair:
        return -self.padding[0], -self.padding[1]

    def window(self, rule: Rule) -> Pair:
        (dy, dx), (ky, kx) = self.dilation, self.weight.shape[2:]
        return dy * (ky - 1) + 1, dx * (kx - 1) + 1

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        # unit y reads inputs s y - p + d u: the transposed convolution puts W at s y, ``start`` moves it by -p
        return [F.conv_transpose2d(values, self.weight, stride=self.pace, dilation=self.dilation, groups=self.groups)]

    def push(self, bank: Patch, rule: Rule) -> Tensor:
        stride = bank.stride[0] * self.dilation[0], bank.stride[1] * self.dilation[1]
        return spread(bank.values, self.weight, stride, self.groups)

    def size(self, h: int, w: int) -> Pair:
        spans = zip((h, w), self.window(Rule()), self.pace, self.padding, self.extra, strict=True)
        h, w = ((n + 2 * p + e - k) // s + 1 for n, k, s, p, e in spans)
        return h, w


@dataclass(frozen=True, eq=False)
class Pool(Step):
    """What average and maximum pooling share: windows of ``kernel`` pixels; the pace is the stride."""

    kernel: Pair = (2, 2)
    padding: Pair = (0, 0)
    ceil: bool = False
    fixed: Pair | None = None  # rows and columns of the map it was recorded on, where the windows follow from them

    @property
    def lone(self) -> bool:
        return self.kernel == self.fixed

    def averages(self, rule: Rule) -> bool:
        return True

    def start(self, rule: Rule) -> Pair:
        # undone by upsampling, the s pixels lie in the middle of the k pixels of an overlapping window
        slack = (0, 0) if self.averages(rule) else [max(k - s, 0) // 2 for k, s in zip(self.kernel, self.pace, strict=True)]
        return slack[0] - self.padding[0], slack[1] - self.padding[1]

    def window(self, rule: Rule) -> Pair:
        return self.kernel if self.averages(rule) else self.pace

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        if self.averages(rule):  # each unit is spread evenly over its window: the adjoint of the mean
            c, (ky, kx) = values.shape[1], self.kernel
            return [F.conv_transpose2d(values, values.new_full((c, 1, ky, kx), 1 / (ky * kx)), stride=self.pace, groups=c)]
        values = unpool(values, self.pace, rule.mode)
        return [values / (self.pace[0] * self.pace[1]) if rule.scale == "sum" else values]

    def push(self, bank: Patch, rule: Rule) -> Tensor:
        (ky, kx), c = self.window(rule), bank.values.shape[0]
        gain = 1 / (ky * kx) if self.averages(rule) else 1.0
        return spread(bank.values, bank.values.new_full((c, 1, ky, kx), gain), bank.stride, groups=c)

    def size(self, h: int, w: int) -> Pair:
        if self.fixed not in (None, (h, w)):
            raise ValueError(
                f"images: they give a map of {h} x {w} where '{self.name or 'the network'}' pools {self.fixed[0]} x {self.fixed[1]}"
            )
        sizes = []
        for n, k, s, p in zip((h, w), self.kernel, self.pace, self.padding, strict=True):
            count = (n + 2 * p - k + (s - 1 if self.ceil else 0)) // s + 1
            sizes.append(count - 1 if self.ceil and (count - 1) * s >= n + p else count)  # no window begins in the padding
        return sizes[0], sizes[1]


class AveragePool(Pool):
    """Linear already: its exact adjoint is used, whatever the rule says."""


class MaxPool(Pool):
    """Undone by upsampling (the paper's unpool), or as if it averaged (``scale="sum"``)."""

    def averages(self, rule: Rule) -> bool:
        return rule.averages


@dataclass(frozen=True, eq=False)
class Concatenate(Step):
    """Channels side by side (DenseNet): a field is split, banks are joined."""

    channels: tuple[int, ...] = ()

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        return list(values.split(self.channels, dim=1))

    def join(self, banks: list[Patch]) -> Patch:
        box = aligned(banks)
        return replace(box[0], values=torch.cat([p.values for p in box]))


@dataclass(frozen=True, eq=False)
class Select(Step):
    """Indexing ``x[:, channels, y0::sy, x0::sx]``, as in chunk, split and the strided shortcuts of small ResNets."""

    channels: tuple[int, int, int] = (0, 0, 1)  # first, end, step
    total: int = 0  # channels before
    first: Pair = (0, 0)

    def start(self, rule: Rule) -> Pair:
        return self.first

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        (k, _, h, w), (sy, sx) = values.shape, self.pace
        out = values.new_zeros(k, self.total, (h - 1) * sy + 1, (w - 1) * sx + 1)
        out[:, slice(*self.channels), ::sy, ::sx] = values
        return [out]

    def push(self, bank: Patch, rule: Rule) -> Tensor:
        return bank.values[slice(*self.channels)]

    def size(self, h: int, w: int) -> Pair:
        return len(range(self.first[0], h, self.pace[0])), len(range(self.first[1], w, self.pace[1]))


@dataclass(frozen=True, eq=False)
class Pad(Step):
    """Padding as a step of its own: positions move, new channels are dropped. The border itself is not decoded."""

    sides: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, right, top, bottom
    channels: Pair = (0, 0)

    def start(self, rule: Rule) -> Pair:
        return -self.sides[2], -self.sides[0]

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        return [values[:, self.channels[0] : values.shape[1] - self.channels[1]]]

    def push(self, bank: Patch, rule: Rule) -> Tensor:
        return F.pad(bank.values, (0, 0, 0, 0, 0, 0, *self.channels))

    def size(self, h: int, w: int) -> Pair:
        return h + self.sides[2] + self.sides[3], w + self.sides[0] + self.sides[1]


@dataclass(frozen=True, eq=False)
class Flatten(Step):
    """(n, c, h, w) -> (n, c h w): from here on positions are fixed, and there is one unit only."""

    shape: tuple[int, int, int] = (1, 1, 1)

    @property
    def lone(self) -> bool:
        return True

    def window(self, rule: Rule) -> Pair:
        return self.shape[1:]

    def pull(self, values: Tensor, rule: Rule) -> list[Tensor]:
        return [values.reshape(values.shape[0], *self.shape)]

    def up(self, banks: list[Patch], rule: Rule) -> Patch:
        bank, (_, h, w) = banks[0], self.shape
        # every position of every channel becomes a channel of its own: the same picture, moved
        (sy, sx), places = bank.stride, [(y, x) for y in range(h) for x in range(w)]
        box = aligned([replace(bank, top=bank.top + sy * y, left=bank.left + sx * x) for y, x in places])
        return replace(box[0], values=torch.stack([p.values for p in box], 1).flatten(0, 1), stride=(1, 1))

    def size(self, h: int, w: int) -> Pair:
        if (h, w) != self.shape[1:]:
            here = self.name or "the network"
            raise ValueError(f"images: they give a map of {h} x {w} where '{here}' flattens {self.shape[1]} x {self.shape[2]}")
        return 1, 1


class Gain(Step):
    """Channels multiplied by factors computed from the image (squeeze-excite): no fixed linear part, unless taken to be 1."""

    def window(self, rule: Rule) -> Pair:
        if rule.gain == "refuse":
            why = "it multiplies by a factor that depends on the image (squeeze-excite, attention); gain='one' takes that factor to be 1"
            raise ValueError(f"model: cannot decode through '{self.name or 'the network'}': {why}")
        return 1, 1


@dataclass(frozen=True, eq=False)
class Refused(Step):
    """An operation without a fixed linear part: an error, but only if the walk has to pass here."""

    reason: str = ""

    def window(self, rule: Rule) -> Pair:
        raise ValueError(f"model: cannot decode through '{self.name or 'the network'}': {self.reason}")
