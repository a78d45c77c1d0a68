"""``isolate``: many kernels and many images at once, from the caller's arguments to a result (arXiv 2108.11054).

Checks everything first, stops the network at the layer's maps (``point``), takes the original maps once, splits the problems
into batches that fit the memory and hands each to ``solve``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ... import checks, network
from .kept import Kept
from .losses import BALANCES, goal
from .point import Tap, find_point, frozen
from .result import InactiveKernelError, Isolation
from .solve import DEFAULTS, OPTIMIZERS, Plan, Solved, solve
from .starts import checked_box, starting

ON_INACTIVE = ("raise", "skip")


def isolate(
    model: nn.Module,
    layer: str,
    kernels: int | Sequence[int],
    images: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    preserve: float = 1.0,
    balance: str = "mean",
    optimizer: str = "proximal",
    start: str | Tensor = "image",
    max_iter: int | None = None,
    lr: float | None = None,
    pre_activation: bool = False,
    clamp: tuple[float | Tensor, float | Tensor] | None = None,
    on_inactive: str = "raise",
    seed: int = 0,
    max_bytes: int = 2**31,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> Isolation:
    """The image that keeps a kernel's map and silences every other kernel of its layer, for every kernel and every image.

    Minimises preserve L_p + alpha L_s + beta L_r over the image (``losses``), each problem by itself.

    model: any CNN; it runs in eval mode and frozen, and leaves as it came: parameters, ``requires_grad``, gradients, hooks, modes.
    layer: any module that gives maps (n, N, H, W) or vectors (n, N), taken as N maps of 1 x 1. Maps are taken after the activation
        that follows a convolution, linear layer or normalisation (``feature_point``; a UserWarning where there is none);
        ``pre_activation`` takes the module's own output.
    kernels: one output channel of the layer or several; in a grouped layer "the others" are all its other channels.
    images: (n, c, h, w), normalized as the network expects. Best iterates are not clamped unless ``clamp`` says so, and L_r pulls
        to 0, which is the data set's mean colour.
    preserve, alpha, beta: weights of the three terms, 0 switches one off. balance: "mean", or "printed" for the paper's own.
    optimizer: "proximal", Adam on L_p and L_s with a soft threshold for L_r and a cosine schedule, which leaves exact zeros;
        "adam", on all three terms; "descent", the paper's gradient descent with step 10, halved when the loss has not fallen for 50
        iterations; "momentum", the same with momentum 0.9. The two last end when the step is 1e-5 of the first (1e-4 at 10) or the
        loss has changed by less than 1e-6 of itself over 200 iterations; the others after 20 such iterations.
    start: "image"; "zeros"; "grey", the image's mean colour; "noise", the image and Gaussian noise of 0.1, drawn with ``seed``; or
        images (n, c, h, w) to start from. The problem is not convex: the answer depends on it.
    max_iter: steps at most; by default 200, and 10,000 for "descent" and "momentum". lr: the first step; by default 0.05 or 10.
    clamp: (low, high) numbers or one per channel (c,), in normalized space; the start is clamped too.
    on_inactive: a kernel whose map is zero on an image raises InactiveKernelError before any work, or with "skip" is a row of NaN.
    max_bytes: problems are solved in batches estimated to stay below this: per problem twice what the forward pass keeps for the
        backward pass, four copies of the maps and ten of the image; at least one problem at a time. The result's own maps_after
        come on top, p N H W numbers.
    checkpoint: a file that a run killed at any moment goes on from, written every 50 steps; the finished run's result lies in it too.

    A problem whose loss or gradient is not finite returns to its best iterate with half the step, three times at most, then is
    marked diverged. Raises TypeError or ValueError naming the argument, CheckpointError for the checkpoint of another run, before any work.
    """
    checks.module("model", model)
    _checked_images(model, images)
    weights = tuple(checks.real(name, value, 0) for name, value in (("preserve", preserve), ("alpha", alpha), ("beta", beta)))
    checks.choice("balance", balance, BALANCES)
    checks.choice("optimizer", optimizer, OPTIMIZERS)
    checks.choice("on_inactive", on_inactive, ON_INACTIVE)
    checks.integer("seed", seed, 0)
    checks.integer("max_bytes", max_bytes, 1)
    lr, max_iter = _steps(optimizer, lr, max_iter)
    box = checked_box(clamp, images)
    first = starting(start, images, seed)
    if not isinstance(progress, bool):
        raise TypeError(f"progress: got {checks.describe(progress)}, expected True or False")
    kept = Kept(checkpoint)
    point = find_point(model, layer, example=images, pre_activation=pre_activation, argument="images")
    tap = Tap(model, point)
    with frozen(model):
        cost, like = _cost(tap, images[:1])
        kernels = checks.indices("kernels", kernels, like.shape[1])
        batch = max(1, int(max_bytes // cost))
        before = _maps(tap, images, batch)
        if not bool(before.isfinite().all()):
            raise ValueError(
                f"images: the maps at {point.name!r} have NaN or infinite entries, expected images and weights that give finite maps"
            )
        kernel = torch.tensor(kernels, device=images.device).repeat_interleave(len(images))
        image = torch.arange(len(images), device=images.device).repeat(len(kernels))
        inactive = before[image, kernel].abs().amax((1, 2)) == 0
        if on_inactive == "raise" and bool(inactive.any()):
            raise InactiveKernelError(layer, [(int(k), int(i)) for k, i in zip(kernel[inactive], image[inactive], strict=True)])
        plan = Plan(weights, optimizer, lr, max_iter, box)
        first = first if box is None else first.clamp(*box)
        rows = torch.nonzero(~inactive)[:, 0]
        kept.begin(model, images, first, kernels, layer, point, plan, balance, batch)
        parts = []
        with tqdm(total=len(rows) * max_iter, disable=not progress, desc=f"isolating at {point.name}", unit="step") as bar:
            for chunk in rows.split(batch):
                aim = goal(before[image[chunk]], kernel[chunk], balance)
                run = functools.partial(solve, tap, first[image[chunk]], aim, plan, bar.update)
                parts.append(kept.solved(len(parts), run))
        solved = _spread(parts, rows, len(kernel), images, max_iter)
        after = torch.full((len(kernel), *before.shape[1:]), torch.nan, dtype=before.dtype, device=before.device)
        if len(rows):
            after[rows] = _maps(tap, solved.images[rows], batch)
    best = solved.terms.sum(1)
    shown = {"balance": balance, "optimizer": optimizer, "preserve": weights[0], "alpha": weights[1], "beta": weights[2], "lr": lr}
    return Isolation(
        images=solved.images, kernel=kernel, image=image, loss=solved.loss[:, : int(solved.iterations.max()) + 1], best=best,
        terms=solved.terms, terms_start=solved.terms_start, maps_before=before, maps_after=after, iterations=solved.iterations,
        converged=solved.converged, diverged=solved.diverged, skipped=inactive, layer=layer, point=point.name,
        start=start if isinstance(start, str) else "given", **shown,
    )  # fmt: skip


def _checked_images(model: nn.Module, images: Tensor) -> None:
    checks.tensor("images", images, "n c h w")
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), images)
    if images.dtype != like.dtype:
        raise TypeError(f"images: got {checks.describe(images)}, expected the model's {str(like.dtype).removeprefix('torch.')}")
    if images.device != like.device:
        raise ValueError(f"images: got {checks.describe(images)} on {images.device}, expected the model's device, {like.device}")


def _steps(optimizer: str, lr: float | None, max_iter: int | None) -> tuple[float, int]:
    usual_lr, usual_iter, _ = DEFAULTS[optimizer]
    lr = usual_lr if lr is None else checks.real("lr", lr, 0)
    if lr == 0:
        raise ValueError("lr: got 0, expected a number above 0")
    return lr, usual_iter if max_iter is None else checks.integer("max_iter", max_iter, 1)


def _cost(tap: Tap, image: Tensor) -> tuple[float, Tensor]:
    """Bytes that one problem needs at its peak, counted in one forward pass of one image (1, c, h, w); and its maps."""
    owned = {tensor.untyped_storage().data_ptr() for tensor in (*tap.parameters(), *tap.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        maps = tap(image.clone().requires_grad_(True) * 1)
    size = 4 * maps.numel() * maps.element_size() + 10 * image.numel() * image.element_size()
    return 2 * sum(kept.values()) + size, maps.detach()


def _maps(tap: Tap, images: Tensor, batch: int) -> Tensor:
    with torch.no_grad(), network._blamed("images", images):
        return torch.cat([tap(part.clone()) for part in images.split(batch)])


def _spread(parts: list[Solved], rows: Tensor, p: int, images: Tensor, max_iter: int) -> Solved:
    """The batches' solutions in all p rows; rows that were skipped are NaN, 0 steps, False."""
    nan = {"fill_value": torch.nan, "dtype": images.dtype, "device": images.device}
    no, zero = torch.zeros(p, dtype=torch.bool, device=images.device), torch.zeros(p, dtype=torch.long, device=images.device)
    whole = Solved(
        torch.full((p, *images.shape[1:]), **nan), torch.full((p, max_iter + 1), **nan), torch.full((p, 3), **nan),
        torch.full((p, 3), **nan), zero, no, no.clone(),
    )  # fmt: skip
    if parts:
        for into, found in zip(whole, zip(*parts, strict=True), strict=True):
            into[rows] = torch.cat(found)
    return whole
