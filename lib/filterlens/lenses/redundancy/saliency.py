"""Figure 3: Grad-CAM (Selvaraju et al. 2017) of a network, and of the same network without three quarters of a layer's filters.

What is lost with the filters near the median, near the archetypes, or drawn at random, is said in numbers: how alike each map still is
to the standard one. Rankings come from ``simplex`` and ``ranking``, the removal from ``ranking.remove_filters``, the maps from the
grad-cam package.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import checks, metrics, network
from ..filter_ranking import FilterRanking
from ..ranking import n_removed, remove_filters
from ..simplex import layer_relevance
from .removal import chosen

SETS = {"without_median": "median_gm", "without_archetypes": "archetypes", "without_random": "random"}  # as ``removal.chosen`` names them
WITHOUT_FILTERS = tuple(SETS)
TOP = 0.2  # share of the pixels that count as the most salient
SSIM = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}  # Wang et al. 2004
SMALLEST = 11  # pixels: the window of that SSIM


@dataclass(frozen=True, eq=False)
class SaliencyTriple:
    """Grad-CAM maps of one set of images, and how alike the three without filters are to the standard one.

    ``maps``, ``empty`` and ``probability`` have the keys "standard" and WITHOUT_FILTERS, the similarities and ``removed`` the latter
    alone. ``len`` is n, the number of images.

    ``empty`` marks maps that are zero everywhere: no channel speaks for the target (ReLU cuts all of it away), or the map has no
    contrast. Such a map resembles nothing: its similarities are 0 and ``mean`` counts them, so say how many there are beside a mean.
    """

    maps: dict[str, Tensor]  # (n, h, w), every map scaled to [0, 1] by itself
    empty: dict[str, Tensor]  # (n,) bool
    probability: dict[str, Tensor]  # (n,) softmax probability of the target
    targets: Tensor  # (n,) the class explained, the same for every variant
    pearson: dict[str, Tensor]  # (n,) Pearson's r over the pixels
    ssim: dict[str, Tensor]  # (n,) structural similarity
    iou: dict[str, Tensor]  # (n,) overlap of the top 20 % of the pixels
    removed: dict[str, Tensor]  # indices of the filters taken away
    layer: str
    rate: float

    def __len__(self) -> int:
        return len(self.targets)

    def mean(self, measure: str) -> dict[str, float]:
        """The mean over images of "pearson", "ssim", "iou" or "probability", by variant."""
        checks.choice("measure", measure, ["pearson", "ssim", "iou", "probability"])
        return {name: float(values.double().mean()) for name, values in getattr(self, measure).items()}


@torch.inference_mode(False)  # copies of the network that are made in that mode take no part in gradients
def grad_cam_triple(
    model: nn.Module,
    layer: str,
    images: Tensor,
    *,
    rate: float = 0.75,
    at: str | None = None,
    targets: Sequence[int] | Tensor | None = None,
    seed: int = 0,
    normalization: Any = None,
    ranking: FilterRanking | None = None,
    fraction: float = 0.25,
    batch_size: int = 16,
) -> SaliencyTriple:
    """Standard Grad-CAM of the images, and without ``rate`` of a layer's filters near the median, near the archetypes, or at random.

    A map is ReLU(sum_k w_k A_k), w_k the mean over the units of d(logit of the target) / dA_k; scaled to the image's size (bilinear)
    and to [0, 1], each by itself (Selvaraju et al. 2017, equations 1 and 2). Filters are taken away by ``remove_filters``, "mask".

    model: any classifier; it is copied, and neither its weights, gradients, modes nor hooks change. Works also where gradients
        are switched off (``torch.set_grad_enabled(False)``, ``torch.inference_mode``).
    layer: the convolution that loses filters (k, ...); n = floor(rate k + .5), at least one stays (960 of 1280, 384 of VGG16's 512).
    images: (n, c, h, w), in [0, 1] if a ``normalization`` is given, else as the network expects them; sides of 11 pixels or more.
    at: whose output A is, by default ``layer`` itself. The paper's layer includes its ReLU: name the module after the activation,
        such as "bn2" for EfficientNet-Lite0's "conv_head".
    targets: class of each image; by default the complete network's own first choice, kept for every variant.
    ranking: the layer's ``layer_relevance``, if at hand; else it is made, with ``fraction`` of the filters as archetypes. Near the
        archetypes are its n least redundant filters; near the median the n with the smallest sum of distances to all, as FPGM has it.
    seed: of the random set and of the ranking.

    An all-zero map (or one without any contrast) is "empty", and similar to nothing: 0. The top 20 % of a map are its brightest
    pixels that are not zero, as many as tie with the last. Peak memory: activations of ``batch_size`` images and their
    gradients, plus what ``remove_filters`` takes.
    Raises TypeError or ValueError naming the argument.
    """
    weight = network.filters(model, layer)
    k = len(weight)
    rate = checks.real("rate", rate, 0, 1)
    checks.integer("seed", seed, 0)
    checks.integer("batch_size", batch_size, 1)
    checks.real("fraction", fraction, 0, 1)
    at = layer if at is None else checks.choice("at", at, [name for name, _ in model.named_modules() if name])
    ready = _ready(images, normalization).to(weight)
    n = n_removed(rate, k)
    if n < 1:
        raise ValueError(f"rate: got {rate}, expected a share that takes at least one of the {k} filters of {layer!r}")
    whole = copy.deepcopy(model).eval()
    n_classes = _tried(whole, at, ready[:1])
    targets = None if targets is None else _classes(targets, len(ready), n_classes)
    ranking = layer_relevance(model, layer, seed=seed, fraction=fraction) if ranking is None else ranking
    removed = {name: chosen(weight, which, n, seed=seed, ranking=ranking) for name, which in SETS.items()}
    maps, probability = {}, {}
    maps["standard"], probability["standard"], targets = _grad_cam(whole, at, ready, targets, batch_size)
    for name, indices in removed.items():
        cut = remove_filters(model, {layer: indices}, mode="mask", example=ready[:1])
        maps[name], probability[name], _ = _grad_cam(cut, at, ready, targets, batch_size)
    standard = maps["standard"]
    return SaliencyTriple(
        maps=maps,
        empty={name: (found == 0).flatten(1).all(1) for name, found in maps.items()},
        probability=probability,
        targets=targets,
        pearson={name: metrics.pearson_per_image(maps[name], standard).nan_to_num(0.0) for name in WITHOUT_FILTERS},
        ssim={name: _ssim(maps[name], standard) for name in WITHOUT_FILTERS},
        iou={name: _overlap(maps[name], standard) for name in WITHOUT_FILTERS},
        removed=removed,
        layer=layer,
        rate=rate,
    )


def _grad_cam(model: nn.Module, at: str, images: Tensor, targets: Tensor | None, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (n, h, w), probabilities of the targets (n,) and the targets (n,) of a network that is ours to change."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    maps, probabilities, classes = [], [], []
    model.eval().requires_grad_(False)  # gradients of the maps are wanted, none of the weights
    module = model.get_submodule(at)
    with torch.enable_grad():
        cam = GradCAM(model, [module])
        # Registered after the package's hooks: what follows works on a copy, so an in-place activation leaves the maps kept alone.
        handle = module.register_forward_hook(lambda module, args, output: output.clone())
        try:
            for start in range(0, len(images), batch_size):
                part = slice(start, start + batch_size)
                wanted = None if targets is None else [ClassifierOutputTarget(int(y)) for y in targets[part]]
                found = cam(images[part].clone().requires_grad_(True).clone(), wanted)  # a copy: a leaf may not be changed in place
                logits = cam.outputs.detach()
                chosen = logits.argmax(1).cpu() if targets is None else targets[part]
                maps.append(torch.from_numpy(np.asarray(found)))
                probabilities.append(logits.double().softmax(1).cpu().gather(1, chosen[:, None])[:, 0])
                classes.append(chosen)
        finally:
            handle.remove()
            cam.activations_and_grads.release()
    return torch.cat(maps), torch.cat(probabilities), torch.cat(classes)


def _ready(images: Tensor, normalization: Any) -> Tensor:
    """The network's input, checked."""
    if normalization is not None and not callable(getattr(normalization, "apply", None)):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected None or an object with apply(images)")
    checks.tensor("images", images, "n c h w")
    if min(images.shape[2:]) < SMALLEST:
        raise ValueError(f"images: got {checks.describe(images)}, expected sides of at least {SMALLEST} pixels, the window of the SSIM")
    return images.detach() if normalization is None else normalization.apply(images.detach())


def _classes(targets: Sequence[int] | Tensor, n: int, n_classes: int) -> Tensor:
    if not isinstance(targets, Tensor):
        if isinstance(targets, str) or not isinstance(targets, Sequence):
            raise TypeError(f"targets: got {checks.describe(targets)}, expected a class for each of the {n} images")
        targets = torch.tensor([checks.integer("targets", y, 0, n_classes - 1) for y in targets], dtype=torch.int64)
    return checks.labels("targets", targets, n, n_classes).cpu()


def _tried(model: nn.Module, at: str, example: Tensor) -> int:
    """The number of classes, from one pass of one image, which must give maps at the layer and logits in the end."""
    with torch.no_grad(), network.capture(model, at) as found:
        try:
            logits = model(example)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"images: the model does not take {checks.describe(example)} ({said})") from error
    if at not in found or found[at].ndim != 4:
        got = checks.describe(found[at]) if at in found else "nothing: it did not run"
        raise ValueError(f"at: {at!r} gave {got}, expected maps (n, k, h, w)")
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(f"model: gave {checks.describe(logits)}, expected logits (n, classes)")
    return logits.shape[1]


def _ssim(maps: Tensor, standard: Tensor) -> Tensor:
    """Structural similarity of each two maps (n, h, w), with the options SSIM; 0 where either is empty."""
    from skimage.metrics import structural_similarity

    pairs = zip(maps.double().numpy(), standard.double().numpy(), strict=True)
    return torch.tensor([structural_similarity(a, b, **SSIM) if a.any() and b.any() else 0.0 for a, b in pairs], dtype=torch.float64)


def _overlap(maps: Tensor, standard: Tensor) -> Tensor:
    """Intersection over union of the most salient pixels of each two maps; 0 where both sets are empty."""
    a, b = _salient(maps), _salient(standard)
    union = (a | b).flatten(1).sum(1)
    return (a & b).flatten(1).sum(1).double() / union.clamp(min=1)


def _salient(maps: Tensor) -> Tensor:
    values = maps.flatten(1)
    count = int(TOP * values.shape[1] + 0.5)
    least = values.topk(count, dim=1).values[:, -1:]
    return ((values >= least) & (values > 0)).reshape(maps.shape)
