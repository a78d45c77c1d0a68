"""An image that holds nearly all colours, to see which of them a kernel answers to (the paper's Figures 1, 4 and 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import checks


def colour_chart(size: int = 224) -> Tensor:
    """Hue along x, value and saturation along y: (1, 3, size, size) in [0, 1], on the CPU.

    The upper half goes from black to the full colour (value 0 to 1 at saturation 1), the lower half from there to white
    (saturation 1 to 0 at value 1). The hue goes once around, red at the left edge; red does not come again at the right edge.
    The paper shows such an image without saying how it was made; this one is ours.

    size: pixels per side, at least 2. Raises TypeError or ValueError naming it.
    """
    checks.integer("size", size, 2)
    hue = (torch.arange(size, dtype=torch.float64) / size)[None, :]
    down = torch.linspace(0, 2, size, dtype=torch.float64)[:, None]
    value, saturation = down.clamp(max=1), (2 - down).clamp(max=1)
    # Each primary falls off linearly over 60 degrees: value (1 - saturation clamp(|...|)), the closed form of HSV to RGB.
    phases = torch.tensor([5.0, 3.0, 1.0], dtype=torch.float64)[:, None, None]
    turned = (phases + 6 * hue) % 6
    away = torch.minimum(turned, 4 - turned).clamp(0, 1)
    return (value - value * saturation * away).float()[None].clamp(0, 1)
