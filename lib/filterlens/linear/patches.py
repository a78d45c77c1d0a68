"""Pictures that know where they lie: added by position, and spread over the pixels of a filter.

``steps.py`` is made of these: a walk down carries fields, a walk up banks, and both are patches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Patch:
    """Values (a, b, h, w) whose corner lies at (top, left); ``stride``: image pixels per unit, kept on the way up."""

    values: Tensor
    top: int = 0
    left: int = 0
    stride: Pair = (1, 1)


def aligned(patches: list[Patch]) -> list[Patch]:
    """Pad patches with zeros to their common bounding box: branches may see windows of different sizes."""
    if len({p.stride for p in patches}) > 1:
        raise ValueError(f"model: branches of strides {[p.stride for p in patches]} meet, expected equal strides")
    top, left = min(p.top for p in patches), min(p.left for p in patches)
    bottom = max(p.top + p.values.shape[2] for p in patches)
    right = max(p.left + p.values.shape[3] for p in patches)

    def fill(p: Patch) -> Patch:
        h, w = p.values.shape[2:]
        sides = (p.left - left, right - p.left - w, p.top - top, bottom - p.top - h)
        return replace(p, values=F.pad(p.values, sides) if any(sides) else p.values, top=top, left=left)

    return [fill(p) for p in patches]


def added(patches: list[Patch]) -> Patch:
    """The sum of patches, aligned by position."""
    box = aligned(patches)
    values = box[0].values
    for other in box[1:]:
        values = values + other.values
    return replace(box[0], values=values)


def spread(values: Tensor, weight: Tensor, stride: Pair, groups: int = 1) -> Tensor:
    """Substitute decoded pictures for the pixels of filters: out_o = sum_{c,u,v} W_{o,c,u,v} shift(bank_c, stride (u, v)).

    values (c, i, h, w), weight (o, c / groups, kh, kw) -> (o, i, h + (kh - 1) sy, w + (kw - 1) sx). It equals
    ``conv_transpose2d(weight, values, stride)``. Shifts along a row are laid side by side, so that each of the kh rows
    is one matrix product of inner length c kw: long enough to run at full speed, and fewer operations than the product
    over all c kh kw shifts, most of whose entries are zero. Working memory: kw copies of the bank and one output.
    """
    o, cg, kh, kw = weight.shape
    c, i, h, w = values.shape
    (sy, sx), height, width = stride, h + (kh - 1) * stride[0], w + (kw - 1) * stride[1]
    # rows before image channels: then the h rows that one product adds to lie in one piece, and it adds in place
    shifted = values.new_zeros(c, kw, h, i, width)
    for v in range(kw):
        shifted[:, v, :, :, v * sx : v * sx + w] = values.transpose(1, 2)
    columns = shifted.reshape(groups, cg * kw, h * i * width)
    rows = weight.reshape(groups, o // groups, cg, kh, kw).permute(3, 0, 1, 2, 4).reshape(kh, groups, o // groups, cg * kw)
    out = values.new_zeros(groups, o // groups, height * i * width)
    for u in range(kh):
        part = out[:, :, u * sy * i * width : (u * sy + h) * i * width]
        if groups == 1:
            part[0].addmm_(rows[u, 0], columns[0])
        else:
            part += torch.bmm(rows[u], columns)
    return out.reshape(o, height, i, width).transpose(1, 2).contiguous()
