"""Decode filters into image space, and correlate images with the pictures (Rafegas and Vanrell 2015, sections 3 and 4).

``filterlens.linear`` records the network and walks it; here are the paper's own words for that walk.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ... import checks
from ...linear import MODES, Rule, Trace, trace, walk
from ...linear.steps import GAINS, SCALES, Convolution, Gain, Scale
from ...linear.trace import first_channels
from ...linear.walk import one_hot, plan, walk_down


@dataclass(frozen=True)
class DecodingStep:
    """One stop on the way down: the field (k, c, h, w) in the channels of the tensor that ``name``'s input is."""

    name: str
    kind: str
    shape: tuple[int, int, int]  # (c, h, w)
    images: Tensor | None = field(default=None, repr=False)  # (k, c, h, w), only with keep_steps


@dataclass(frozen=True, eq=False)
class DecodedFilters:
    """Filters of one layer in image space.

    images (k, c, h, w), raw units, as large as the unit's receptive field (which may exceed the image); ``kernels`` (k,)
    their indices in the layer; ``stride``: image pixels between two neighbouring units of the layer; ``offset``: row and
    column of the picture's corner for the unit at (0, 0), negative under padding; ``steps``: the sizes on the way down;
    ``trace``: the recorded network.
    """

    images: Tensor = field(repr=False)
    layer: str
    kernels: tuple[int, ...]
    unpool: str
    scale: str
    stride: int
    offset: tuple[int, int]
    steps: tuple[DecodingStep, ...]
    rule: Rule = field(repr=False)
    trace: Trace = field(repr=False)

    def __repr__(self) -> str:
        k, c, h, w = self.images.shape
        where = f"stride {self.stride}, offset {self.offset}, unpool {self.unpool!r}, scale {self.scale!r}"
        return f"DecodedFilters({self.layer!r}: {k} pictures of {c} x {h} x {w}, {where})"


def substitute(z: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Replace each pixel of ``z`` by a copy of the filter scaled by the pixel, adding where copies overlap (eq. 1).

    z (n, k, h, w), weight (k, c, kh, kw) -> (n, c, (h - 1) stride + kh, (w - 1) stride + kw):
    out_c[s x + u, s y + v] += sum_k z_k[x, y] W_{k,c}[u, v]. This *is* the transposed (adjoint) convolution.
    Raises ``TypeError`` or ``ValueError`` naming the argument for tensors that do not fit.
    """
    checks.tensor("z", z, "n k h w")
    checks.tensor("weight", weight, "k c kh kw", sizes={"k": z.shape[1]})
    checks.integer("stride", stride, 1)
    if z.dtype != weight.dtype:
        raise TypeError(f"weight: got {weight.dtype}, expected {z.dtype}, that of z")
    return F.conv_transpose2d(z, weight, stride=stride)


def decode(
    model: nn.Module,
    layer: str,
    kernels: int | list[int] | None = None,
    *,
    unpool: str = "nearest",
    scale: str = "none",
    input_size: int | tuple[int, ...] | None = None,
    gain: str = "refuse",
    keep_steps: bool = False,
    max_bytes: int = 2**30,
) -> DecodedFilters:
    """Decode filters of a layer into image space (section 3 of the paper, ``filter_decoding``), for any CNN.

    Activations are the identity, biases and BN shifts are dropped, BN's gain is kept; max-pools are undone by ``unpool``
    ("nearest", "bilinear", "bicubic" with a = -0.5), average pools by their exact adjoint. With ``scale="sum"`` max-pools
    are undone as if they averaged: each unpooled picture is divided by the window's size, and with "nearest" the result
    is the exact linear part of the network with average pools. Residual branches are added, concatenations split;
    padding is ignored (the unit is an interior one). Image channels are kept apart, where the paper sums them.

    ``kernels``: indices, default all. ``input_size``: image height and width the network is recorded at, which matters
    only where positions are fixed (a linear layer, global pooling); default: the network's own, else 224; (channels, height,
    width) where the first registered convolution is not the one that sees the image.
    ``gain="one"`` takes factors that depend on the image (squeeze-excite) to be 1, with a warning.
    ``keep_steps`` keeps the field (k, c, h, w) of every step as part of the result. Peak memory: the result, a copy of the
    recorded weights, and at most ``max_bytes`` beside them; where one kernel needs more, an error says how much.

    Raises ``TypeError``/``ValueError`` naming the argument: unknown layer, indices out of range, NaN weights, and
    networks whose gain depends on the image on the way (squeeze-excite, attention, normalisation by the input).
    """
    checks.module("model", model)
    module = decodable(model)[checks.choice("layer", layer, decodable(model))]
    checks.choice("unpool", unpool, MODES)
    checks.choice("scale", scale, SCALES)
    checks.choice("gain", gain, GAINS)
    checks.integer("max_bytes", max_bytes, 1)
    size = image_size(model, input_size)
    total = module.weight.shape[0]
    chosen = list(range(total)) if kernels is None else checks.indices("kernels", kernels, total)
    recorded, rule = trace(model, layer, size), Rule(unpool, scale, gain)
    stride = recorded.stride  # refuses unequal strides before any work
    for step in recorded.steps:
        numbers = step.weight if isinstance(step, Convolution) else step.factor if isinstance(step, Scale) else None
        if numbers is not None and not (numbers.sum().isfinite() or numbers.isfinite().all()):  # one sum costs next to nothing
            raise ValueError(f"model: the weight of '{step.name}' has NaN or infinite entries, expected finite numbers")
    gated = [step.name for step in recorded.steps if isinstance(step, Gain)]
    if gated and gain == "one":
        warnings.warn(f"decode: gains that depend on the image are taken to be 1 in {gated}", stacklevel=2)
    with torch.no_grad():
        patch = walk(recorded, chosen, rule, max_bytes=max_bytes)
        steps = _steps(recorded, chosen, rule, keep_steps)
    offset = (patch.top, patch.left)
    return DecodedFilters(patch.values, layer, tuple(chosen), unpool, scale, stride, offset, steps, rule, recorded)


def decodable(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with filters, convolutions and linear layers, by name (a shared one under each of its names)."""
    return {name: module for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, nn.Conv2d | nn.Linear)}


def image_size(model: nn.Module, input_size: int | tuple[int, ...] | None) -> tuple[int, int, int]:
    """(c, h, w) to record the network at: what was asked for, else what the network says of itself, else 224 x 224."""
    if input_size is None:
        own = getattr(model, "input_size", None) or (getattr(model, "pretrained_cfg", None) or {}).get("input_size")
        fits = isinstance(own, tuple | list) and len(own) == 3 and all(isinstance(n, int) and n > 0 for n in own)
        return first_channels(model), *(own[1:] if fits else (224, 224))
    sides = tuple(input_size) if isinstance(input_size, tuple | list) else (input_size, input_size)
    if len(sides) not in (2, 3):
        raise ValueError(
            f"input_size: got {checks.describe(input_size)}, expected a number of pixels, (height, width) or (channels, height, width)"
        )
    sides = sides if len(sides) == 3 else (first_channels(model), *sides)
    return checks.integer("input_size", sides[0], 1), checks.integer("input_size", sides[1], 1), checks.integer("input_size", sides[2], 1)


def _steps(recorded: Trace, chosen: list[int], rule: Rule, keep: bool) -> tuple[DecodingStep, ...]:
    fields = plan(recorded, len(chosen), rule).fields
    shape = {n: (recorded.widths[n], b[2] - b[0], b[3] - b[1]) for n, b in fields.items()}
    stops = [(step.name, step.kind, node) for step in reversed(recorded.steps) for node in step.inputs]
    kept = {}
    if keep:
        found = walk_down(recorded, recorded.target, one_hot(recorded, recorded.target, chosen), rule, keep=True)
        kept = {n: patch.values for n, patch in found.items()}
    return tuple(DecodingStep(name, kind, shape[n], kept.get(n)) for name, kind, n in stops)


def thresholded(images: Tensor, q: float = 0.5) -> Tensor:
    """Keep |df| >= q max|df| of each picture, zero elsewhere: the strongest positive and negative parts (Figures 1, 4).

    images (k, c, h, w) -> the same shape; a zero picture stays zero. Raises ``ValueError`` unless q is in [0, 1].
    """
    checks.tensor("images", images, "k c h w")
    checks.real("q", q, 0, 1)
    peak = images.abs().amax((1, 2, 3), keepdim=True)
    return torch.where(images.abs() >= q * peak, images, torch.zeros_like(images))


def respond(decoded: DecodedFilters, images: Tensor) -> Tensor:
    """Correlate images with decoded filters at the places of the layer's units: R_k = I * df_k, every ``stride`` pixels.

    images (n, c, h, w), normalized as the network expects -> (n, k, H, W), the size of the layer's own map for such
    images, padded with zeros where the network pads. Peak memory: one padded copy of the images and the result.
    Raises ``ValueError`` if the images do not fit the decoded filters or the network.
    """
    checked_images(decoded, images)
    h, w = images.shape[2:]
    rows, columns = decoded.trace.size(h, w)
    (top, left), s, (dh, dw) = decoded.offset, decoded.stride, decoded.images.shape[2:]
    # unit y reads pixels s y + top ... s y + top + dh - 1: pad (or crop, where negative) to exactly those of all units
    sides = (-left, (columns - 1) * s + left + dw - w, -top, (rows - 1) * s + top + dh - h)
    return F.conv2d(F.pad(images, sides), decoded.images, stride=s)


def checked_images(decoded: DecodedFilters, images: Tensor, name: str = "images") -> Tensor:
    """Images that fit decoded filters and the network they come from, or an error with the argument's name."""
    if not isinstance(decoded, DecodedFilters):
        raise TypeError(f"decoded: got {checks.describe(decoded)}, expected what decode(...) returns")
    checks.tensor(name, images, "n c h w", sizes={"c": decoded.images.shape[1]})
    if images.dtype != decoded.images.dtype:
        raise TypeError(f"{name}: got {images.dtype}, expected {decoded.images.dtype}, that of the decoded filters")
    if min(decoded.trace.size(*images.shape[2:])) < 1:
        raise ValueError(f"{name}: got {images.shape[2]} x {images.shape[3]} pixels, too few for a unit of '{decoded.layer}'")
    return images
