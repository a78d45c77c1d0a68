"""Explain one kernel's map in image space: what the isolation lens is compared with.

Zeiler and Fergus 2014 (Deconvolution), Springenberg et al. 2015 (guided backpropagation), Bach et al. 2015 (LRP), through
captum and zennit. ``routing`` brings the network into the form these ask for, ``scaling`` the pattern into that of an image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ... import checks
from ..isolation import InactiveKernelError
from ..isolation.point import Tap, find_point, frozen
from .routing import Activation, Addition, Affine, Routed
from .scaling import SCALES, scaled

METHODS = ("gradient", "deconvolution", "guided", "lrp")
SIGNALS = ("map", "peak")
EPSILON = 1e-9  # of the largest |z|: small enough that relevance is conserved to 1e-5, in float64


@torch.inference_mode(False)
def explain(
    model: nn.Module,
    layer: str,
    kernel: int,
    images: Tensor,
    *,
    method: str,
    signal: str = "map",
    scale: str = "peak",
    pre_activation: bool = False,
    on_inactive: str = "raise",
    batch_size: int = 8,
) -> Tensor:
    """What of the images drives a kernel, by a signal sent back from its map: (n, c, h, w), signed.

    layer: any module that gives maps (n, k, H, W) or vectors; of a convolution or normalisation the maps after the activation
        that follows it, see ``isolation.feature_point``; ``pre_activation`` takes them as they are.
    images: normalized images (n, c, h, w).
    method: how the signal R passes a ReLU (or ReLU6) with input a; max-pools hand it to the unit they took, all else is the gradient:
        "gradient" R * 1[a passes], "deconvolution" max(R, 0), "guided" max(R, 0) * 1[a passes];
        "lrp" the epsilon rule R_in = a * W^T (R / (z + eps sign z)), eps = 1e-9 max|z| of the image, in float64: for convolutions,
        linear layers, batch normalisations (each by itself; but for eps the same as merged into their convolution), average
        pools and residual additions alike. Biases absorb relevance; without any the pattern sums to the signal.
    signal: what is sent: "map" the map itself, "peak" a one at its largest value; zeros in all other channels.
    scale: the pattern as an image. "peak" times max|X| / max|pattern|; "raw" as it is; "range" its minimum and maximum to those of X;
        "fit" times the positive factor that keeps the map best, min ||F(s pattern) - F|| / ||F||, by a search with 27 forward passes.
        The paper does not say which it uses: state yours beside every number.
    on_inactive: a map of zeros has no signal. "raise" an ``InactiveKernelError`` that lists the images, or "skip" them: rows of NaN.
    batch_size: images at a time; memory is that of their activations and gradients, for "lrp" about four times as much.

    Functions of the network that have no rule for the method are refused (ValueError naming ``model``): activations other than
    ReLU and ReLU6, products of maps, normalisation by the image's own statistics, and what torch does not show (scripted functions).
    "gradient" takes any network. LRP of the signal "map" is X * d(sum of the map)/dX but for units with
    |z| near eps (0.1 % in L2 on EfficientNet-Lite0 at 224 pixels) and for ReLU6 at 6.

    The model is left as it was: weights, gradients, ``requires_grad``, hooks, modes; also after an error.
    Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    ready = _ready(model, images)
    checks.choice("method", method, METHODS)
    checks.choice("signal", signal, SIGNALS)
    checks.choice("scale", scale, SCALES)
    checks.choice("on_inactive", on_inactive, ["raise", "skip"])
    checks.integer("batch_size", batch_size, 1)
    checks.integer("kernel", kernel, 0)
    point = find_point(model, layer, example=ready, pre_activation=pre_activation, argument="images")
    tap = Tap(model, point)
    batches = ready.split(batch_size)
    with frozen(model):
        n_kernels = _maps(tap, ready[:1]).shape[1]
        checks.integer("kernel", kernel, 0, n_kernels - 1)
        own = [_maps(tap, batch)[:, kernel] for batch in batches]
        idle = [(found == 0).flatten(1).all(1) for found in own]
        inactive = torch.cat(idle).nonzero()[:, 0].tolist()
        if inactive and on_inactive == "raise":
            raise InactiveKernelError(layer, [(kernel, image) for image in inactive])
        shown = []
        for batch, wanted, skipped in zip(batches, own, idle, strict=True):
            send = partial(_signal, kernel=kernel, n_kernels=n_kernels, which=signal)
            patterns = _relevance(tap, batch, kernel, send) if method == "lrp" else _gradients(tap, batch, send(wanted), method)
            shown.append(scaled(patterns, batch, scale, partial(_distance, tap, kernel, wanted)))
            shown[-1][skipped] = float("nan")
    return torch.cat(shown).to(images)


def _ready(model: nn.Module, images: Tensor) -> Tensor:
    """The images, checked, in the precision and on the device of the network."""
    checks.tensor("images", images, "n c h w")
    own = next((value for value in [*model.parameters(), *model.buffers()] if value.is_floating_point()), images)
    return images.detach().clone().to(own)


def _maps(tap: Tap, images: Tensor) -> Tensor:
    with torch.no_grad():
        return tap(images.clone())


def _distance(tap: Tap, kernel: int, wanted: Tensor, candidates: Tensor) -> Tensor:
    """||F(candidate) - F|| of each image (n,); divided by ||F|| it is the preservation loss, with the same minimum."""
    return (_maps(tap, candidates)[:, kernel] - wanted).flatten(1).norm(dim=1)


def _signal(own: Tensor, kernel: int, n_kernels: int, which: str) -> Tensor:
    """What is sent back (n, k, H, W) for the kernel's maps (n, H, W): zero but for one channel."""
    if which == "peak":
        flat = own.flatten(1)
        own = torch.zeros_like(flat).scatter_(1, flat.argmax(1, keepdim=True), 1.0).reshape(own.shape)
    found = own.new_zeros(len(own), n_kernels, *own.shape[1:])
    found[:, kernel] = own
    return found


def _gradients(tap: Tap, images: Tensor, signal: Tensor, method: str) -> Tensor:
    """The unscaled patterns (n, c, h, w) of all methods but LRP, by captum."""
    from captum.attr import Deconvolution, GuidedBackprop, Saliency

    given = {"additional_forward_args": (signal,)}
    images = images.clone().requires_grad_(True)
    if method == "gradient":
        return Saliency(partial(_sent, tap)).attribute(images, abs=False, **given).detach()
    routed = _prepared(tap, images, method)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU activations")
        return (Deconvolution if method == "deconvolution" else GuidedBackprop)(routed).attribute(images, **given).detach()


def _sent(tap: Tap, images: Tensor, signal: Tensor) -> Tensor:
    """sum(signal * maps) of each image (n,), whose gradient at the maps is the signal."""
    maps = tap(images.clone())
    if not maps.requires_grad:
        raise ValueError(f"model: {tap.point.name!r} gives maps without a gradient with respect to the images")
    return (signal * maps).flatten(1).sum(1)


def _relevance(tap: Tap, images: Tensor, kernel: int, send: Callable[[Tensor], Tensor]) -> Tensor:
    """LRP by zennit, in float64; a rectifier passes all relevance, as its inactive units have none (and ReLU6's full ones keep it)."""
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon, Norm, Pass

    double = images.double().requires_grad_(True)
    routed = _prepared(tap, double, "lrp")
    rules = LayerMapComposite([(Affine, Epsilon(_stabilized)), (Addition, Norm(_stabilized)), (Activation, Pass())])
    with rules.context(routed):
        maps = routed(double)
        # The map in float64: in a unit that only float32 takes for active, the signal would be divided by something near zero.
        (found,) = torch.autograd.grad(maps, double, send(maps[:, kernel].detach()))
    return found.to(images)


def _prepared(tap: Tap, images: Tensor, method: str) -> Routed:
    """The network with a module for every call that needs a rule, known from one pass of one image."""
    routed = Routed(tap, method, sums=method == "lrp")
    routed(images[:1].detach().requires_grad_(True))
    return routed


def _stabilized(z: Tensor) -> Tensor:
    """z + eps sign z, with sign 0 = 1, eps relative to the largest |z| of each image; a z of zeros becomes ones."""
    shift = EPSILON * z.abs().amax(tuple(range(1, z.ndim)), keepdim=True)
    shift = torch.where(shift > 0, shift, 1)
    return torch.where(z < 0, z - shift, z + shift)
