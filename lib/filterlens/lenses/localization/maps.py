"""Three kinds of maps: where a filter's gradient is strong, where a filter is active, where the class is seen.

Appendix H of arXiv 2007.08194 (spec 004, 2.12). ``masks`` cuts them, ``localize`` runs them over a whole set.
The network is run in eval mode and left as it was. ``layer`` is what is pooled for the classifier, after its activation (in
ResNet-20 the last stage): any module's output (n, K, h, w) will do.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import checks, network


FEW = 8  # images that tell which layer is pooled


@torch.inference_mode(False)  # in which nothing has a gradient
def grad_maps(model: nn.Module, layer: str, filters: int | Sequence[int], images: Tensor, *, sigma: float = 5.0) -> Tensor:
    """GradMap: which pixels move a filter's mean activation. images (n, c, h, w) NORMALIZED -> (n, f, h, w).

    The gradient of a_k = mean of A_k with respect to the image; its Euclidean norm over the colours; divided by its root mean
    square over the image's pixels (the paper says second moment, the official code takes the root); blurred by ``blur``.
    sigma: of the blur in pixels, 5 in the paper, 30 in the official script; 0 leaves it out.
    A filter whose gradient vanishes gives a map of zeros. Peak memory: one forward pass with its graph, and the result.
    Raises TypeError or ValueError naming the argument.
    """
    checks.real("sigma", sigma, 0)
    maps, pixels = maps_with_graph(model, layer, images)
    chosen = checks.indices("filters", filters, maps.shape[1])
    return torch.stack([blur(found, sigma) for found in gradients(maps, pixels, chosen)], 1)


def maps_with_graph(model: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's maps (n, K, h, w) and the pixels they depend on (n, c, h, w)."""
    checks.tensor("images", images, "n c h w")
    pixels = images.detach().clone().requires_grad_()
    with network.mode_kept(checks.module("model", model)), torch.enable_grad():
        stopped = network.stop_at(model, layer)
        model.eval()
        with _blamed(images):
            maps = stopped(pixels)
    maps = _four_axes(maps, layer)
    _finite(maps.detach())
    return maps, pixels


def gradients(maps: Tensor, pixels: Tensor, chosen: Sequence[int]) -> Iterator[Tensor]:
    """The normalised gradient magnitude (n, h, w) of one filter after the other, see ``grad_maps``."""
    for kernel in chosen:
        if maps.requires_grad:
            with torch.enable_grad():
                # images do not mix in eval mode, so the gradient of the sum over images is each image's own
                (slope,) = torch.autograd.grad(maps[:, kernel].mean((1, 2)).sum(), pixels, retain_graph=True, allow_unused=True)
        else:
            slope = None
        slope = torch.zeros_like(pixels) if slope is None else slope
        size = slope.detach().square().sum(1).sqrt()
        rms = size.square().mean((1, 2), keepdim=True).sqrt()
        yield _finite(torch.where(rms > 0, size / rms, 0))


def blur(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of the last two axes, maps (..., h, w), sigma >= 0 in pixels; borders are mirrored, so that the mean stays.

    The window is SciPy's (``gaussian_filter1d``, cut at four sigma, mode "reflect"), applied as one matrix per axis, so that it
    runs on the maps' device. Raises TypeError or ValueError naming the argument.
    """
    sigma = checks.real("sigma", sigma, 0)
    axes = [f"axis{at}" for at in range(maps.ndim - 2)] if isinstance(maps, Tensor) else []
    checks.tensor("maps", maps, " ".join([*axes, "h", "w"]))
    if sigma == 0:
        return maps.clone()
    rows, columns = (_window(side, sigma).to(maps) for side in maps.shape[-2:])
    return rows @ maps @ columns.T


@functools.lru_cache(maxsize=16)
def _window(side: int, sigma: float) -> Tensor:
    """(side, side): row i says how much of each pixel the blurred pixel i takes."""
    from scipy.ndimage import gaussian_filter1d

    return torch.from_numpy(gaussian_filter1d(torch.eye(side, dtype=torch.float64).numpy(), sigma, axis=0, mode="reflect"))


def activation_maps(model: nn.Module, layer: str, images: Tensor, *, size: int | Sequence[int] | str | None = None) -> Tensor:
    """ActivMap: a layer's maps, resized to the image (bilinear). images (n, c, h, w) NORMALIZED -> (n, K, h, w).

    size: None for the sides of the images, one number or (h, w), or "own" for the layer's own small maps.
    Peak memory: one forward pass and the result; ``localize`` does a whole set in bounded memory.
    Raises TypeError or ValueError naming the argument.
    """
    size = _size(size)
    checks.tensor("images", images, "n c h w")
    with network.evaluating(model):
        stopped = network.stop_at(model, layer)
        with _blamed(images):
            maps = stopped(images)
    return resized(_finite(_four_axes(maps, layer)).clone(), images, size)


def class_maps(
    model: nn.Module, images: Tensor, labels: Tensor, *, layer: str | None = None, size: int | Sequence[int] | str | None = None
) -> Tensor:
    """CAM for the true class c: sum over k of W_ck A_k. images (n, c, h, w) NORMALIZED, labels (n,) -> (n, h, w).

    Class activation mapping (Zhou et al. 2016); before resizing, the mean over a map plus b_c is the logit of c.
    layer: what is pooled; None finds it by ``pooled_layer``. size: as in ``activation_maps``.
    Raises TypeError or ValueError naming the argument, also for a head other than global average pooling and one linear layer.
    """
    size = _size(size)
    checks.tensor("images", images, "n c h w")
    linear = classifier_of(model, images[:1])
    labels = checks.labels("labels", labels, len(images), linear.out_features)
    layer = pooled_layer(model, images[:FEW], layer=layer)
    with network.evaluating(model), network.capture(model, layer) as found, _blamed(images):
        model(images)
    weight = linear.weight.detach()[labels.to(linear.weight.device)]
    return resized(_finite(torch.einsum("nk,nkhw->nhw", weight, found[layer]))[:, None], images, size)[:, 0]


def pooled_layer(model: nn.Module, images: Tensor, *, layer: str | None = None) -> str:
    """The last layer whose maps' means are what the classifier receives. images (n, c, h, w) NORMALIZED; a few (8) are enough,
    of only one every unit might be active, and the maps before and after a ReLU look alike.

    layer: a name to be checked instead of found. Raises ValueError if the head is not global average pooling and one linear layer:
    several linear layers, maximum pooling, convolutions or activations between pooling and classifier.
    """
    checks.tensor("images", images, "n c h w")
    linear = classifier_of(model, images)
    means: dict[str, Tensor] = {}
    received: list[Tensor] = []

    def hook(name: str) -> Any:
        def keep(module: nn.Module, args: tuple, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                means.pop(name, None)  # a layer called again stands where it was called last
                means[name] = output.mean((2, 3))

        return keep

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(hook(name)).remove)
        stack.callback(linear.register_forward_pre_hook(lambda module, args: received.append(args[0].clone())).remove)
        stack.enter_context(network.evaluating(model))
        model(images)
    if layer is not None:
        network.stop_at(model, layer)  # refuses an unknown name
        means = {layer: means[layer]} if layer in means else {}
    for name, mean in reversed(means.items()):
        if mean.shape == received[-1].shape and torch.allclose(mean, received[-1], rtol=1e-4, atol=1e-5 * float(mean.abs().max())):
            return name
    what = (
        f"layer: the means of the maps of {layer!r}"
        if layer is not None
        else f"model: the means of no layer's maps in {type(model).__name__}"
    )
    raise ValueError(f"{what} are what its classifier receives, expected global average pooling and one linear layer after it")


def classifier_of(model: nn.Module, images: Tensor) -> nn.Linear:
    """``network.classifier``, whose complaint about its example names the images here."""
    try:
        return network.classifier(model, example=images)
    except ValueError as error:
        if not str(error).startswith("example:"):
            raise
        raise ValueError(str(error).replace("example:", "images:", 1)) from error


def resized(maps: Tensor, images: Tensor, size: tuple[int, int] | str | None) -> Tensor:
    """Maps (n, K, h, w) at the sides of the images, at other sides, or as they are ("own")."""
    if size == "own":
        return maps
    sides = tuple(images.shape[2:]) if size is None else size
    return torch.nn.functional.interpolate(maps, size=sides, mode="bilinear", align_corners=False)


def _size(size: object) -> tuple[int, int] | str | None:
    if size is None:
        return None
    if isinstance(size, str):
        return checks.choice("size", size, ["own"])
    if isinstance(size, Sequence):
        if len(size) != 2:
            raise ValueError(f"size: got {checks.describe(size)}, expected two numbers (h, w)")
        return checks.integer("size[0]", size[0], 1), checks.integer("size[1]", size[1], 1)
    return (checks.integer("size", size, 1),) * 2


def _four_axes(maps: object, layer: str) -> Tensor:
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise ValueError(f"layer: {layer!r} gave {checks.describe(maps)}, expected maps (n, k, h, w)")
    return maps


def _finite(maps: Tensor) -> Tensor:
    if not bool(torch.isfinite(maps).all()):
        raise ValueError(f"model: gave {checks.describe(maps)} with NaN or infinite entries, expected finite maps")
    return maps


@contextmanager
def _blamed(images: Tensor) -> Iterator[None]:
    """What a network's own code raises on the caller's images is a ValueError that names them."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"images: {checks.describe(images)} does not go through the model: {error}") from error
