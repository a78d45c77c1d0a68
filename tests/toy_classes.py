"""Images that a small network learns in seconds, but not perfectly, so that what is taken from it shows."""

from __future__ import annotations

import torch
from torch import Tensor


def four_classes() -> tuple[Tensor, Tensor]:
    """92 images of 2 x 9 x 8 in [0, 1], and their labels: four patterns half hidden in noise."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(92) % 4
    return (torch.rand(4, 2, 9, 8, generator=draw)[labels] * 0.5 + torch.rand(92, 2, 9, 8, generator=draw) * 0.5).clamp(0, 1), labels
