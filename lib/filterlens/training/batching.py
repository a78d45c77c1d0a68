"""What training needs of images: batches of any rows, from ``data.Images`` or from a pair of tensors, checked alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from filterlens import checks

Normalize = Callable[[Tensor], Tensor]


class Batched(Protocol):
    """The part of ``data.Images`` that training uses."""

    labels: Tensor

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Tensor | slice) -> Batched: ...
    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True, eq=False)
class Pair:
    """Tensors that behave like ``data.Images``: images (n, c, h, w) in [0, 1], or features (n, d), and labels (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> Pair:
        return Pair(self.images[rows], self.labels[rows])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.images.split(size), self.labels.split(size), strict=True)


def source(name: str, given: Any) -> Batched:
    """Check images with labels, or a pair of tensors, and hand out what has rows and batches."""
    expected = "expected data.Images, or a pair of images (n, c, h, w) in [0, 1] or features (n, d) and labels (n,)"
    if isinstance(given, tuple | list):
        if len(given) != 2 or not all(isinstance(part, Tensor) for part in given):
            raise TypeError(f"{name}: got {type(given).__name__} of {[checks.describe(part) for part in given]}, {expected}")
        if given[0].ndim not in (2, 4):
            raise ValueError(f"{name}: got images, {checks.describe(given[0])}, {expected}")
        checks.tensor(f"{name}: images", given[0], "n d" if given[0].ndim == 2 else "n c h w")
        if given[0].ndim == 4 and not (0 <= float(given[0].min()) and float(given[0].max()) <= 1):
            raise ValueError(f"{name}: got images in [{float(given[0].min()):.3g}, {float(given[0].max()):.3g}], {expected}")
        given = Pair(*given)
        counted = {"n": len(given.images)}
    elif all(hasattr(given, part) for part in ("labels", "batches", "__len__", "__getitem__")):
        counted = {"n": len(given)}
    else:
        raise TypeError(f"{name}: got {checks.describe(given)}, {expected}")
    checks.tensor(f"{name}: labels", given.labels, "n", sizes=counted, floating=False)
    least = int(given.labels.long().min())
    if least < 0:
        raise ValueError(f"{name}: got labels down to {least}, expected 0 or more (-1 means that an image has none)")
    return given


def normalize(normalization: Any) -> Normalize:
    """The function that makes a network's input of images in [0, 1]."""
    if normalization is None:
        return lambda images: images
    if not callable(getattr(normalization, "apply", None)):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected None or an object with apply(images)")
    return normalization.apply


def like(images: Tensor, model: nn.Module, device: torch.device) -> Tensor:
    """The images on a device, in the model's precision."""
    return images.to(device, next((p.dtype for p in model.parameters() if p.is_floating_point()), images.dtype))


def sizes(n: int, batch_size: int, *, single: bool) -> list[int]:
    """Of the batches of an epoch; a last image that would be alone joins the batch before it, unless ``single`` is allowed."""
    whole, rest = divmod(n, batch_size)
    if rest == 1 and whole and batch_size > 1 and not single:
        return [batch_size] * (whole - 1) + [batch_size + 1]
    return [batch_size] * whole + [rest] * bool(rest)


def epoch_sizes(model: nn.Module, n: int, batch_size: int) -> list[int]:
    """The batches of an epoch of n images of this model: only without batch normalisation may an image be alone."""
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    return sizes(n, batch_size, single=not normalised)


def raw_bytes(tensor: Tensor) -> memoryview:
    """The numbers of a tensor as they stand in memory, of any dtype."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def fingerprint(images: Batched, normalize: Normalize) -> str:
    """Count, size and a digest of all labels, all images and some normalized ones: other data, or another order, differ here.

    Of images that are read from disk batch by batch, 1000 to 2000 evenly spread ones stand for all.
    """
    head, _ = next(iter(images[:32].batches(32)))
    digest = hashlib.sha256(raw_bytes(images.labels.long()))
    digest.update(raw_bytes(normalize(head).double()))
    stored = images.images if isinstance(images, Pair) else getattr(images, "pixels", None)
    if isinstance(stored, Tensor):
        parts = iter(stored.split(1000))
    else:
        parts = (part for part, _ in images[torch.arange(0, len(images), max(1, len(images) // 1000))].batches(100))
    for part in parts:
        digest.update(raw_bytes(part))
    return f"{len(images)} of {tuple(head.shape[1:])}, digest {digest.hexdigest()[:12]}"
