"""Labelled images that come with the true mask of their object: what ``composition`` and ``voc`` hand out.

The same face as ``Images`` of the package, with ``masks`` beside; small enough to be kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from filterlens import checks


@dataclass(frozen=True, eq=False)
class MaskedImages:
    """``pixels`` (n, 3, size, size) uint8, ``masks`` (n, size, size) bool, True on the object, ``labels`` (n,) int64, their ``classes``;
    ``note`` is said wherever a result rests on these images; ``titles`` say where each comes from."""

    pixels: Tensor
    masks: Tensor
    labels: Tensor
    classes: list[str]
    name: str
    note: str = ""
    titles: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> MaskedImages:
        """The images at these positions, with their masks; a single position gives n = 1."""
        rows = torch.arange(len(self))[index].reshape(-1)
        titles = [self.titles[row] for row in rows.tolist()] if self.titles else []
        return replace(self, pixels=self.pixels[rows], masks=self.masks[rows], labels=self.labels[rows], titles=titles)

    @property
    def images(self) -> Tensor:
        """All images as float32 (n, 3, size, size) in [0, 1]: four times the memory of ``pixels``."""
        return self.pixels.float().div_(255)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images (m, 3, h, w) in [0, 1] and labels (m,), in order, m <= size."""
        size = checks.integer("size", size, 1)
        parts = (slice(at, at + size) for at in range(0, len(self), size))
        return ((self.pixels[part].float().div_(255), self.labels[part]) for part in parts)
