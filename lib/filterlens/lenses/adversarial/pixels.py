"""The network as an attack sees it: pixels in [0, 1] in, logits or probabilities out, and nothing of the caller's touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """Images (n, c, h, w) in [0, 1] -> logits (n, C) float32, or probabilities float64; the normalization happens inside.

    A sure network's probabilities differ from 1 by less than float32 can tell, and a search needs their order.

    The network is kept out of reach of ``parameters()``, ``train()`` and ``zero_grad()``, which attack libraries call: it belongs
    to the caller.
    """

    def __init__(self, model: nn.Module, normalization: object | None, *, probabilities: bool = False) -> None:
        super().__init__()
        self._kept = (model, normalization)
        parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
        self.dtype = None if parameter is None else parameter.dtype
        self.probabilities = probabilities

    def forward(self, images: Tensor) -> Tensor:
        model, normalization = self._kept
        given = images if self.dtype is None else images.to(self.dtype)
        logits = model(given if normalization is None else normalization.apply(given))
        return logits.double().softmax(1) if self.probabilities else logits.float()


def in_batches(network: nn.Module, images: Tensor, batch: int) -> Tensor:
    """What the network says of images (n, c, h, w), ``batch`` at a time and without gradients: (n, C)."""
    with torch.no_grad():
        return torch.cat([network(part) for part in images.split(batch)])


@contextmanager
def random_kept(seed: int, device: torch.device) -> Iterator[None]:
    """Within the block numpy's and torch's global generators start at ``seed``; afterwards they are as they were.

    Attack libraries draw from the global generators.
    """
    import numpy as np

    state = np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            np.random.seed(seed % 2**32)
            torch.random.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            yield
        finally:
            np.random.set_state(state)
