"""Labelled images, as everything that reads them hands them out; with the true masks of their objects where these are known.

Kept as unsigned bytes, or as ``Photographs`` that stay on disk until they are used; floats in [0, 1] when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from filterlens import checks
from filterlens.data.pictures import Photographs

MAX_BYTES = 10**9  # what .images may materialise


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, kept as unsigned bytes.

    ``labels`` (n,) int64, -1 where there is none; ``classes`` names them; ``note`` is said wherever a result rests on these
    images (e.g. that a copy was rebuilt); ``titles`` names single images where they have names.
    """

    pixels: Tensor | Photographs  # (n, c, h, w) uint8
    labels: Tensor
    classes: list[str]
    name: str
    note: str = ""
    titles: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        return tuple(self.pixels.shape)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Self:
        """The images at these positions, again as Images; a single position gives n = 1."""
        return self._at(torch.arange(len(self))[index].reshape(-1))

    def _at(self, rows: Tensor) -> Self:
        titles = [self.titles[row] for row in rows.tolist()] if self.titles else []
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows], titles=titles)

    @property
    def images(self) -> Tensor:
        """All images as float32 (n, c, h, w) in [0, 1]; MemoryError above 1 GB."""
        needed = 4 * int(np.prod(self.shape))
        if needed > MAX_BYTES:
            raise MemoryError(
                f"images: {self.name} as float32 {self.shape} takes {needed / 1e9:.1f} GB, more than {MAX_BYTES / 1e9:.0f} GB; "
                f"use .batches(size), or load fewer with n= or smaller ones with size="
            )
        return self._floats(slice(None))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images (m, c, h, w) in [0, 1] and labels (m,), in order, m <= size."""
        size = checks.integer("size", size, 1)
        parts = (slice(at, at + size) for at in range(0, len(self), size))
        return ((self._floats(part), self.labels[part]) for part in parts)

    def _floats(self, rows: slice) -> Tensor:
        pixels = self.pixels[rows]
        return (pixels.read() if isinstance(pixels, Photographs) else pixels).float().div_(255)


@dataclass(frozen=True, eq=False)
class MaskedImages(Images):
    """Images with ``masks`` (n, h, w) bool, True on the object: what ``composed`` and ``voc_objects`` hand out."""

    masks: Tensor = field(kw_only=True)

    def _at(self, rows: Tensor) -> Self:
        return replace(super()._at(rows), masks=self.masks[rows])
