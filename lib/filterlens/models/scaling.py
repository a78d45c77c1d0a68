"""What a network expects of its input, as one small invertible object; ``models`` says which network expects what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from filterlens import checks


@dataclass(frozen=True, eq=False)
class Normalization:
    """What a network expects of its input: ``(images * scale - mean) / std`` for images (n, c, h, w) in [0, 1].

    ``mean`` and ``std`` are a number, c numbers, or a tensor (c, h, w) such as LeNet's mean image; ``scale`` is 255 for
    networks that were trained on raw pixels.
    """

    scale: float = 1.0
    mean: float | Sequence[float] | Tensor = 0.0
    std: float | Sequence[float] | Tensor = 1.0

    def __post_init__(self) -> None:
        checks.real("scale", self.scale, 1e-12)
        for name in ("mean", "std"):
            try:
                value = torch.as_tensor(getattr(self, name), dtype=torch.float32).detach().clone()
            except (TypeError, ValueError, RuntimeError) as error:
                received = checks.describe(getattr(self, name))
                raise TypeError(f"{name}: got {received}, expected a number, c numbers or a tensor (c, h, w)") from error
            if value.ndim not in (0, 1, 3) or value.numel() == 0 or not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name}: got {checks.describe(value)}, expected a finite number, c numbers or a tensor (c, h, w)")
            if name == "std" and bool((value <= 0).any()):
                raise ValueError(f"std: got {checks.describe(getattr(self, name))}, expected numbers above 0")
            object.__setattr__(self, name, value[:, None, None] if value.ndim == 1 else value)

    def apply(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1] -> the network's input, same device and dtype."""
        mean, std = self._parts("images", images)
        return (images * self.scale - mean) / std

    def invert(self, normalized: Tensor) -> Tensor:
        """The network's input (n, c, h, w) -> images in [0, 1] (not clamped)."""
        mean, std = self._parts("normalized", normalized)
        return (normalized * std + mean) / self.scale

    def _parts(self, name: str, given: Tensor) -> tuple[Tensor, Tensor]:
        checks.tensor(name, given, "n c h w", finite=False)
        for part in (self.mean, self.std):
            if part.ndim and any(own not in (1, got) for own, got in zip(part.shape, given.shape[1:], strict=True)):
                fits = f"expected (n, c, h, w) that fits a mean and std of shape {tuple(part.shape)}"
                raise ValueError(f"{name}: got {checks.describe(given)}, {fits}")
        return self.mean.to(given), self.std.to(given)
