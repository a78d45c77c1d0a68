"""What a decoded filter is made of: the units of the layer below that its picture sums, and theirs, down to layer 1.

The picture of a unit is df = sum_{c,y,x} z_c[y,x] shift(df_c, S (y, x)), a sum over units of the layer below. The part
of one unit in it is its projection, share = <z_c[y,x] shift(df_c), df> / ||df||^2; shares of all units sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ... import checks
from ...linear import Patch, Rule, Trace, walk
from ...linear import steps as linear_steps
from ...linear.walk import one_hot, walk_down
from .decode import DecodedFilters


@dataclass(frozen=True, eq=False)
class Contribution:
    """One unit in the tree: channel ``channel`` of ``layer``, at (row, column) of its map, counted from the unit above.

    ``weight``: the coefficient it enters with; ``share`` of the picture above (all units of a layer sum to 1);
    ``image`` (c, h, w): its own picture; ``offset``: where that lies, in pixels, in the coordinates of the picture above
    (the unit above being at 0, 0); ``parts``: its strongest parts; ``rest``: the share of the parts not listed.
    """

    layer: str
    channel: int
    row: int
    column: int
    weight: float
    share: float
    image: Tensor = field(repr=False)
    offset: tuple[int, int]
    parts: tuple[Contribution, ...] = field(repr=False)
    rest: float


def contributions(decoded: DecodedFilters, kernel: int, *, top: int = 8, depth: int | None = None, max_bytes: int = 2**30) -> Contribution:
    """The tree of a decoded kernel: its ``top`` parts by |share|, their parts, and so on for ``depth`` layers (default all).

    Shares are exact with nearest unpooling; interpolation depends on a patch's border, and what the shares then miss of
    the picture is counted in ``rest``. On residual networks the units are those of the tensor that enters the convolution.
    Peak memory: the pictures of every channel of every tensor that enters a convolution on the way; for a deep layer of a large
    network limit ``depth``. Raises ``ValueError``/``TypeError`` naming the argument, e.g. for a kernel that was not decoded.
    """
    if not isinstance(decoded, DecodedFilters):
        raise TypeError(f"decoded: got {checks.describe(decoded)}, expected what decode(...) returns")
    checks.integer("kernel", kernel, 0)
    if kernel not in decoded.kernels:
        raise ValueError(f"kernel: got {kernel}, expected one of the decoded kernels {list(decoded.kernels)[:20]}")
    checks.integer("top", top, 1)
    checks.integer("max_bytes", max_bytes, 1)
    depth = len(decoded.trace.steps) if depth is None else checks.integer("depth", depth, 0)
    tree = _Tree(decoded.trace, decoded.rule, top, max_bytes)
    with torch.no_grad():
        return tree.unit(decoded.trace.target, kernel, depth)


class _Tree:
    def __init__(self, recorded: Trace, rule: Rule, top: int, max_bytes: int) -> None:
        self.recorded, self.rule, self.top, self.max_bytes = recorded, rule, top, max_bytes
        self.made_by = {step.output: step for step in recorded.steps}
        self.banks: dict[int, Patch] = {}
        self.known: dict[tuple[int, int, int], Contribution] = {}

    def bank(self, node: int) -> Patch:
        """The pictures of every channel of a tensor."""
        if node not in self.banks:
            channels = list(range(self.recorded.widths[node]))
            self.banks[node] = walk(self.recorded.upto(node), channels, self.rule, max_bytes=self.max_bytes)
        return self.banks[node]

    def frontier(self, node: int) -> set[int]:
        """The tensors that enter the first convolutions met on the way down from a tensor; maps, where those are flattened."""
        inside, entered = {node}, set()
        for step in reversed(self.recorded.steps):
            if step.output in inside and step.output not in entered:
                flattened = isinstance(step, linear_steps.Convolution) and isinstance(
                    self.made_by.get(step.inputs[0]), linear_steps.Flatten
                )
                below = self.made_by[step.inputs[0]].inputs if flattened else step.inputs
                (entered if isinstance(step, linear_steps.Convolution) else inside).update(below)
        return entered

    def unit(self, node: int, channel: int, depth: int) -> Contribution:
        key = (node, channel, depth)
        if key not in self.known:
            bank = self.bank(node)
            picture = replace(bank, values=bank.values[channel][None])
            parts, rest = self.parts(node, channel, picture, depth) if depth else ((), 1.0)
            offset = (picture.top, picture.left)
            self.known[key] = Contribution(self.recorded.name(node), channel, 0, 0, 1.0, 1.0, picture.values[0].clone(), offset, parts, rest)
        return self.known[key]

    def parts(self, node: int, channel: int, picture: Patch, depth: int) -> tuple[tuple[Contribution, ...], float]:
        entered = self.frontier(node) - {0}
        energy = float((picture.values**2).sum())
        if not entered or energy == 0:  # layer 1 is made of pixels, a zero filter of nothing
            return (), 1.0
        fields = walk_down(self.recorded, node, one_hot(self.recorded, node, [channel]), self.rule, until=entered)
        found = [(float(share), below, index) for below in entered for share, index in self.shares(fields[below], below, picture, energy)]
        listed = sorted(found, key=lambda f: -abs(f[0]))[: self.top]
        made = []
        for share, below, (c, y, x) in listed:
            z, unit, (sy, sx) = fields[below], self.unit(below, c, depth - 1), self.strides(below)
            row, column = z.top + y, z.left + x
            offset = (unit.offset[0] + row * sy, unit.offset[1] + column * sx)
            weight = float(z.values[0, c, y, x])
            made.append(replace(unit, row=row, column=column, weight=weight, share=share, offset=offset))
        return tuple(made), 1.0 - sum(share for share, _, _ in listed)

    def strides(self, node: int) -> tuple[int, int]:
        stride = self.recorded.upto(node).stride
        return stride, stride

    def shares(self, z: Patch, node: int, picture: Patch, energy: float) -> list[tuple[Tensor, tuple[int, int, int]]]:
        """The strongest shares of one tensor's units: z times the correlation of its pictures with the picture above."""
        bank, (sy, sx) = self.bank(node), self.strides(node)
        (h, w), (bh, bw), (ph, pw) = z.values.shape[2:], bank.values.shape[2:], picture.values.shape[2:]
        y0, x0 = z.top * sy + bank.top - picture.top, z.left * sx + bank.left - picture.left  # first unit's corner in the picture
        sides = (-x0, x0 + (w - 1) * sx + bw - pw, -y0, y0 + (h - 1) * sy + bh - ph)
        response = F.conv2d(F.pad(picture.values, sides), bank.values, stride=(sy, sx))
        share = (z.values * response / energy)[0]
        best = share.abs().flatten().topk(min(self.top, share.numel())).indices
        places = torch.stack(torch.unravel_index(best, share.shape), 1).tolist()
        return [(share[c, y, x], (c, y, x)) for c, y, x in places if share[c, y, x] != 0]
