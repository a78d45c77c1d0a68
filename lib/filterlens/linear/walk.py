"""Walk the recorded steps: from one unit of a layer down to its picture, or from the pixels up to every unit's picture.

Both orders sum the same products. Down costs per kernel, and carries wide fields through every lower layer; up decodes
each lower layer once and reuses its pictures. ``plan`` counts multiply-adds and memory of both from the geometry alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .. import checks
from . import steps
from .patches import Patch
from .steps import Rule
from .trace import Trace

Box = tuple[int, int, int, int]  # top, left, bottom, right (not included)


@dataclass(frozen=True)
class Plan:
    """What either order costs; ``fields`` and ``banks`` give the extent of every tensor's pictures."""

    fields: dict[int, Box]
    banks: dict[int, tuple[int, int]]
    flops_down: int
    flops_up: int
    bytes_down: int  # per kernel
    bytes_up: int


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _below(box: Box, step: steps.Step, rule: Rule) -> Box:
    (py, px), (sy, sx), (ky, kx) = step.pace, step.start(rule), step.window(rule)
    return box[0] * py + sy, box[1] * px + sx, (box[2] - 1) * py + sy + ky, (box[3] - 1) * px + sx + kx


def _meeting(waiting: dict[int, list[int]], node: int, whole: int) -> int:
    """Numbers held while the parts that wait at a tensor become one field of ``whole`` numbers."""
    parts = waiting[node]
    return sum(parts) + 2 * whole + (len(parts) * whole if len(parts) > 1 else 0)


def plan(recorded: Trace, kernels: int, rule: Rule) -> Plan:
    """Count both orders for ``kernels`` filters of the traced layer. Raises where the network has no linear part."""
    item = recorded.dtype.itemsize
    fields: dict[int, Box] = {recorded.target: (0, 0, 1, 1)}
    waiting: dict[int, list[int]] = {recorded.target: [recorded.channels[1]]}  # numbers in each part of a field, per kernel
    held_down = [0]
    for step in reversed(recorded.steps):
        low = _below(fields[step.output], step, rule)
        for node in step.inputs:
            old = fields.get(node, low)
            fields[node] = (min(old[0], low[0]), min(old[1], low[1]), max(old[2], low[2]), max(old[3], low[3]))
        made = [recorded.widths[node] * _area(low) for node in step.inputs]
        at_work = _meeting(waiting, step.output, recorded.widths[step.output] * _area(fields[step.output])) + 4 * sum(made)
        del waiting[step.output]
        held_down.append(at_work + sum(map(sum, waiting.values())))
        for node, size in zip(step.inputs, made, strict=True):
            waiting.setdefault(node, []).append(size)
    held_down.append(_meeting(waiting, 0, recorded.widths[0] * _area(fields[0])))
    banks, strides = {0: (1, 1)}, {0: (1, 1)}
    down = up = 0
    held_up = [0]
    image = recorded.channels[0]
    for step in recorded.steps:
        (ky, kx), (sy, sx) = step.window(rule), strides[step.inputs[0]]
        h, w = (max(banks[n][axis] for n in step.inputs) for axis in (0, 1))
        banks[step.output] = (h + sy * (ky - 1), w + sx * (kx - 1))
        strides[step.output] = step.stride((sy, sx))
        c, o = recorded.widths[step.inputs[0]], recorded.widths[step.output]
        last = step.output == recorded.target
        rows = kernels if last else o
        weight = step.weight.numel() if isinstance(step, steps.Convolution) else o
        taps = step.weight.shape[3] if isinstance(step, steps.Convolution) else kx
        down += kernels * weight * _area(fields[step.output])
        up += weight * rows * image * h * banks[step.output][1] // o
        held_up.append(image * ((1 + taps) * c * h * banks[step.output][1] + 2 * rows * banks[step.output][0] * banks[step.output][1]))
    return Plan(fields, banks, down, up, item * max(held_down), item * 2 * max(held_up))


def one_hot(recorded: Trace, node: int, channels: list[int]) -> Patch:
    """A field (k, c, 1, 1) that is one pixel of value 1, in channel ``channels[k]`` of a tensor."""
    seed = torch.zeros(len(channels), recorded.widths[node], 1, 1, dtype=recorded.dtype, device=recorded.device)
    seed[range(len(channels)), channels] = 1
    return Patch(seed)


def walk_down(
    recorded: Trace, node: int, field: Patch, rule: Rule, *, until: set[int] = frozenset(), keep: bool = False
) -> dict[int, Patch]:
    """Carry a field from a tensor downwards; returns it at the image (0) and at every tensor of ``until``, walked no further.

    ``keep``: at every tensor on the way as well.
    """
    waiting, reached = {node: [field]}, {}
    for step in reversed(recorded.steps):
        if step.output not in waiting or step.output in until:
            continue
        patch = steps.added(waiting.pop(step.output))
        if keep:
            reached[step.output] = patch
        for below, part in zip(step.inputs, step.down(patch, rule), strict=True):
            waiting.setdefault(below, []).append(part)
    return reached | {below: steps.added(parts) for below, parts in waiting.items()}


def walk_up(recorded: Trace, kernels: list[int], rule: Rule) -> Patch:
    """The pictures (k, i, h, w) of the chosen kernels; nearest unpooling only (interpolation depends on the patch's border)."""
    eye = torch.eye(recorded.channels[0], dtype=recorded.dtype, device=recorded.device)
    banks = {0: Patch(eye[:, :, None, None])}
    last_use = {node: step.output for step in recorded.steps for node in step.inputs}
    # all of them, in order, need no copy of the weights
    chosen: list[int] | slice = slice(None) if kernels == list(range(recorded.channels[1])) else kernels
    for step in recorded.steps:
        if step.output == recorded.target and isinstance(step, steps.Convolution) and step.groups == 1 and isinstance(chosen, list):
            step, chosen = replace(step, weight=step.weight[kernels]), slice(None)  # noqa: PLW2901 - the chosen filters alone
        banks[step.output] = step.up([banks[n] for n in step.inputs], rule)
        for node in {n for n in step.inputs if last_use[n] == step.output}:
            del banks[node]
    bank = banks[recorded.target]
    return replace(bank, values=bank.values[chosen])


def walk(recorded: Trace, kernels: list[int], rule: Rule, *, max_bytes: int) -> Patch:
    """The pictures of ``kernels``, by the cheaper order that fits in ``max_bytes`` of working memory.

    Raises ``TypeError``/``ValueError`` naming the argument; "model" where the network has no linear part on the way.
    """
    if not isinstance(recorded, Trace):
        raise TypeError(f"recorded: got {checks.describe(recorded)}, expected what trace(...) returns")
    kernels = checks.indices("kernels", kernels, recorded.channels[1])
    if not isinstance(rule, Rule):
        raise TypeError(f"rule: got {checks.describe(rule)}, expected a Rule")
    checks.integer("max_bytes", max_bytes, 1)
    costs = plan(recorded, len(kernels), rule)
    if rule.mode == "nearest" and costs.flops_up < costs.flops_down and costs.bytes_up <= max_bytes:
        return walk_up(recorded, kernels, rule)
    if costs.bytes_down > max_bytes:
        raise ValueError(f"max_bytes: got {max_bytes:,}, but decoding one kernel needs about {costs.bytes_down:,} bytes of working memory")
    size = max(1, max_bytes // costs.bytes_down)
    seeds = [one_hot(recorded, recorded.target, kernels[i : i + size]) for i in range(0, len(kernels), size)]
    parts = [walk_down(recorded, recorded.target, seed, rule)[0] for seed in seeds]
    return replace(parts[0], values=torch.cat([p.values for p in parts]) if len(parts) > 1 else parts[0].values)
