"""Figure 1: two Prewitt operators, a convex mixture of them, and what the three answer to an image.

The smallest instance of the lens' argument: a convolution is linear, so the mixture of two filters answers with the same mixture of
their answers, and says nothing that the two have not said. Beside ``archetypes``, which finds such mixtures in a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from filterlens import checks


@dataclass(frozen=True, eq=False)
class PrewittResponse:
    """What ``prewitt_response`` found; the order is x, y, z throughout."""

    image: Tensor  # (h, w)
    filters: Tensor  # (3, 1, 3, 3)
    maps: Tensor  # (3, h - 2, w - 2), signed: no bias, no non-linearity
    mix: float

    @property
    def difference(self) -> float:
        """max |R_z - (mix R_x + (1 - mix) R_y)|, zero up to rounding."""
        x, y, z = self.maps
        return float((z - (self.mix * x + (1 - self.mix) * y)).abs().max())


def prewitt_filters(mix: float = 0.5) -> Tensor:
    """x, y and z = mix x + (1 - mix) y as a convolution's weight (3, 1, 3, 3), float32 (section 1 of the paper, where mix = 1/2).

    x differs from left to right and so answers vertical edges; y = x^T answers horizontal ones.
    mix: in [0, 1], so that z is a convex combination. Raises TypeError or ValueError naming it.
    """
    mix = checks.real("mix", mix, 0, 1)
    x = torch.tensor([[-1.0, 0.0, 1.0]] * 3, dtype=torch.float32)
    return torch.stack([x, x.T, mix * x + (1 - mix) * x.T])[:, None]


def prewitt_response(image: Tensor, mix: float = 0.5) -> PrewittResponse:
    """The three filters' maps of one grey image (h, w), h and w at least 3: no bias, no padding, linear.

    Raises TypeError or ValueError naming the argument.
    """
    filters = prewitt_filters(mix)
    checks.tensor("image", image, "h w")
    if min(image.shape) < 3:
        raise ValueError(f"image: got {checks.describe(image)}, expected at least 3 x 3 pixels, the size of the filters")
    filters = filters.to(image)
    return PrewittResponse(image, filters, F.conv2d(image[None, None], filters)[0], float(mix))
