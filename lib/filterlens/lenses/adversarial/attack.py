"""Make adversarial samples of a network: five attacks, one result. The attacks are in ``toolbox`` and ``local_search``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ... import checks
from ..isolation.point import frozen
from .local_search import local_search
from .pixels import Pixels, in_batches, random_kept
from .settings import complete, flag

WHITE_BOX = ("fgsm", "pgd", "cw")
BLACK_BOX = ("one_pixel", "local_search")
METHODS = WHITE_BOX + BLACK_BOX


@dataclass(frozen=True, eq=False)
class Attacked:
    """Images after an attack.

    ``images`` (n, c, h, w) in [0, 1]; ``labels`` (n,); ``targets`` (n,) or None; ``before`` and ``after`` (n,) the predicted classes;
    ``distortion_linf`` (n,) and ``distortion_l2`` (n,): the largest and the Euclidean norm of the change, pixels in [0, 1];
    ``method`` and all its ``settings``, defaults too.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor | None
    before: Tensor
    after: Tensor
    distortion_linf: Tensor
    distortion_l2: Tensor
    method: str
    settings: dict[str, object]

    @property
    def attacked(self) -> Tensor:
        """(n,) bool: predicted right before, so that there is something to fool."""
        return self.before == self.labels

    @property
    def fooled(self) -> Tensor:
        """(n,) bool: right before and wrong after."""
        return self.attacked & (self.after != self.labels)

    @property
    def reached(self) -> Tensor | None:
        """(n,) bool: right before and the target after; None without targets."""
        return None if self.targets is None else self.attacked & (self.after == self.targets)

    @property
    def n_attacked(self) -> int:
        """How many images were predicted right before: what ``success_rate`` is a share of."""
        return int(self.attacked.sum())

    @property
    def n_fooled(self) -> int:
        """How many of them are predicted wrong after."""
        return int(self.fooled.sum())

    @property
    def success_rate(self) -> float:
        """n_fooled / n_attacked, NaN if there was nothing to fool; ``wilson(n_fooled, n_attacked)`` is its interval."""
        return self.n_fooled / self.n_attacked if self.n_attacked else float("nan")


@torch.inference_mode(False)
def attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    method: str,
    normalization: object | None = None,
    n_classes: int | None = None,
    targeted: bool | None = None,
    seed: int = 0,
    batch: int = 64,
    progress: bool = False,
    **settings: object,
) -> Attacked:
    """Change images so that the network is wrong about them (class-specific gates, appendices I and J; spec 004, 2.13 and 2.14).

    model: (n, c, h, w) -> logits (n, C), C >= 2; attacked in eval mode.
    images: float32 or float64 (n, c, h, w) in [0, 1]: attacks are in pixel space.
    labels: (n,) integers in [0, C).
    normalization: what the model expects, such as ``models.normalization(name)``; applied inside. None: the model takes pixels.
    n_classes: C if it should be checked against the model.
    targeted: by default True for the white-box methods: a wrong class per image, drawn at random, as the appendix words it in detail
        though it says "non-targeted". False: any wrong class. The black-box methods are always untargeted.
    seed: of targets and of the searches; same seed, same result, whatever ``batch``, but for ``random_start``.
    batch: images (black-box: candidates) per forward pass. Peak memory: their activations, for the white-box methods with gradients.

    White-box, through ART; gradients of the logits' cross-entropy (Carlini-Wagner: of its own loss); every image is attacked:
        "fgsm" (Goodfellow et al. 2015; printed FGDM): x' = x -+ eps sign(gradient), in [0, 1]. ``eps`` 0.031.
        "pgd" (Madry et al. 2018): ``steps`` 7 of size ``step`` (None: eps / 4, ours), projected to ``|x' - x| <= eps``, ``eps`` 0.031;
        ``random_start`` False.
        "cw" (Carlini and Wagner 2017, L2): ``iterations`` 100 at each of ``search_steps`` 5 values of c, from ``initial_c`` 0.01
        doubled until it succeeds and then halved towards the last failure; ``kappa`` 0; first step size ``lr`` 0.01 (all but the 100
        ours). The smallest successful distortion seen; the image itself where nothing succeeded.
    Black-box: class probabilities only; an image that is predicted wrong already is left as it is:
        "one_pixel" (Su et al. 2019), through ART: differential evolution on (row, column, c values in 255ths), ``population`` 100,
        rounded down to a multiple of the unknowns, ``generations`` 30 (ours), ``pixels`` 1. The image itself if it fails.
        "local_search" (Narodytska and Kasiviswanathan 2016): ``p`` 10 (ours), ``r`` 1.5, ``d`` 5, ``t`` 5, ``R`` 150, ``k`` 1, ``exclude``
        30 (the paper's), ``adapt`` True, ``candidates`` None, see ``local_search.local_search``. The last state if it fails.

    The model (weights, gradients, modes, hooks) and numpy's and torch's generators are left as they were, also after an error.
    Raises TypeError (also for unknown settings, by name) or ValueError naming the argument.
    """
    checks.module("model", model)
    checks.choice("method", method, METHODS)
    chosen = complete(method, settings)
    _check_images(images)
    checks.tensor("labels", labels, "n", sizes={"n": len(images)}, floating=False)
    if normalization is not None and not callable(getattr(normalization, "apply", None)):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected a models.Normalization or None")
    aims = method in WHITE_BOX if targeted is None else flag("targeted", targeted)
    if aims and method in BLACK_BOX:
        raise ValueError(f"targeted: got True, expected False or None: {method!r} is untargeted")
    checks.integer("seed", seed, 0)
    checks.integer("batch", batch, 1)
    flag("progress", progress)
    pixels = Pixels(model, normalization, probabilities=method in BLACK_BOX)
    with frozen(model), random_kept(seed, images.device):
        C = _classes(pixels, images, n_classes)
        labels = checks.labels("labels", labels, len(images), C).to(images.device)
        if method == "local_search" and chosen["k"] >= C:
            raise ValueError(f"k: got {chosen['k']}, expected at most {C - 1}, one less than the classes of the model")
        return _attacked(pixels, images.detach().clone(), labels, C, method, aims, seed, batch, progress, chosen)


def _check_images(images: object) -> None:
    checks.tensor("images", images, "n c h w")
    if images.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"images: got {checks.describe(images)}, expected float32 or float64")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"images: got values from {low:.4g} to {high:.4g}, expected [0, 1]; give ``normalization`` for what the model wants"
        )


def _classes(pixels: Pixels, images: Tensor, n_classes: int | None) -> int:
    """C, from what the network says of the first image."""
    try:
        logits = in_batches(pixels, images[:1].float(), 1)
    except (RuntimeError, TypeError, AttributeError, IndexError) as error:
        received = checks.describe(images)
        raise ValueError(
            f"model: expected a network of images (n, c, h, w) that gives logits (n, C), got from {received}: {error}"
        ) from error
    if logits.ndim != 2 or len(logits) != 1 or logits.shape[1] < 2:
        raise ValueError(f"model: got {checks.describe(logits)} for one image, expected logits (1, C) of at least 2 classes")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("model: got NaN or infinite logits for the first image, expected finite numbers")
    C = logits.shape[1]
    if n_classes is not None and checks.integer("n_classes", n_classes, 2) != C:
        raise ValueError(f"n_classes: got {n_classes}, expected {C}, the logits of the model")
    return C


def _attacked(
    pixels: Pixels, images: Tensor, labels: Tensor, C: int, method: str, aims: bool, seed: int, batch: int, progress: bool, settings: dict
) -> Attacked:
    given = images.float()
    before = in_batches(pixels, given, batch).argmax(1)
    targets = _wrong_classes(labels, C, seed) if aims else None
    with tqdm(total=len(images), desc=method, disable=not progress) as bar:
        if method in WHITE_BOX:
            found = _white_box(pixels, given, labels if targets is None else targets, C, method, aims, batch, settings, bar)
        else:
            one = _black_box(pixels, given, C, method, batch, settings)
            found = given.clone()
            for i in range(len(given)):
                if before[i] == labels[i]:
                    found[i] = one(given[i], int(labels[i]), seed=_seed(seed, i))
                bar.update()
    after = in_batches(pixels, found, batch).argmax(1)
    changed = torch.where(found == given, images, found.to(images))  # what is as it was stays so to the last bit of a float64
    distance = (changed - images).flatten(1)
    return Attacked(changed, labels, targets, before, after, distance.abs().amax(1), distance.norm(dim=1), method, settings)


def _white_box(
    pixels: Pixels, images: Tensor, classes: Tensor, C: int, method: str, aims: bool, batch: int, settings: dict, bar: tqdm
) -> Tensor:
    from .toolbox import white_box

    found = []
    for part, wanted in zip(images.split(batch), classes.split(batch), strict=True):
        found.append(white_box(pixels, part, wanted, C, method, aims, settings))
        bar.update(len(part))
    return torch.cat(found)


def _black_box(pixels: Pixels, images: Tensor, C: int, method: str, batch: int, settings: dict) -> Callable[..., Tensor]:
    """A function (image (c, h, w), label, seed=...) -> image."""
    if method == "one_pixel":
        from .toolbox import OnePixel

        return OnePixel(pixels, tuple(images.shape[1:]), C, images.device, batch, settings)
    return functools.partial(local_search, functools.partial(in_batches, pixels, batch=batch), batch=batch, **settings)


def _seed(seed: int, i: int) -> int:
    """A seed of image i's own, so that its search does not depend on the images before it."""
    import numpy as np

    return int(np.random.SeedSequence([seed, i]).generate_state(1)[0])


def _wrong_classes(labels: Tensor, C: int, seed: int) -> Tensor:
    """A class per image, uniform over all but its own: (n,)."""
    shift = torch.randint(1, C, labels.shape, generator=torch.Generator().manual_seed(seed))
    return (labels + shift.to(labels.device)) % C
