"""What is done to CIFAR-sized training images on the way into the network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from filterlens import checks


def flip_and_crop(images: Tensor, generator: torch.Generator, *, pad: int = 4) -> Tensor:
    """Mirror every second image, on average, and shift each by up to ``pad`` pixels both ways; what is shifted in is zero.

    images: (n, c, h, w) in [0, 1]; the result has the same shape, dtype and device. Each image draws its own flip and shift
    from ``generator`` (of the CPU). He et al. (arXiv 1512.03385, section 4.2), in whose terms this is padding by 4 and a
    random crop; there, too, the images are padded with zeros. For ``augment`` of ``training.fit``.

    Raises TypeError or ValueError for a bad argument.
    """
    checks.tensor("images", images, "n c h w")
    pad = checks.integer("pad", pad, 0)
    n, c, h, w = images.shape
    flipped = torch.rand(n, generator=generator) < 0.5
    down, right = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    rows, columns = torch.arange(h) + down, torch.arange(w) + right  # (n, h), (n, w): pixels of the padded image
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    n_th = torch.arange(n)[:, None, None]
    padded = F.pad(images, (pad,) * 4).permute(0, 2, 3, 1)  # channels last, so that one index picks whole pixels
    place = images.device
    return padded[n_th.to(place), rows[:, :, None].to(place), columns[:, None, :].to(place)].permute(0, 3, 1, 2)
