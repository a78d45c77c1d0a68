"""What ``isolate`` gives back, and the error it raises for kernels that say nothing about an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from .losses import selected
from .measures import Selectivity, selectivity


class InactiveKernelError(ValueError):
    """A kernel's map is zero on an image, so that there is nothing to preserve; ``pairs`` lists (kernel, image) indices."""

    def __init__(self, layer: str, pairs: list[tuple[int, int]]) -> None:
        shown = ", ".join(f"kernel {kernel} on image {image}" for kernel, image in pairs[:6]) + ", ..." * (len(pairs) > 6)
        super().__init__(
            f'kernels: the map at {layer!r} is zero for {shown}, expected active kernels; on_inactive="skip" gives NaN rows instead'
        )
        self.layer, self.pairs = layer, pairs


@dataclass(frozen=True, eq=False)
class Isolation:
    """Isolated images of p = kernels x images problems, kernel-major: problem = (place of the kernel) * n_images + image.

    ``images`` (p, c, h, w): best iterates, in the network's normalized input space;
    ``kernel`` ``image`` (p,): which kernel and which of the given images;
    ``loss`` (p, t + 1): the total at every iterate from the start on, NaN after a problem's end; ``best`` (p,): the lowest;
    ``terms`` (p, 3): weighted L_p, L_s, L_r at the best iterate, ``terms_start`` (p, 3) at the start;
    ``maps_before`` (n_images, N, H, W), ``maps_after`` (p, N, H, W): the layer's maps of the given and the isolated images;
    ``iterations`` (p,): steps taken; ``converged`` (p,): the stopping rule was met; ``diverged`` (p,): given up after three restarts;
    ``skipped`` (p,): inactive, NaN everywhere; ``layer`` as given, ``point``: the module whose output the maps are;
    ``balance``, ``optimizer``, ``preserve``, ``alpha``, ``beta``, ``lr``, ``start``: as used ("given" for a tensor as start).
    """

    images: Tensor
    kernel: Tensor
    image: Tensor
    loss: Tensor
    best: Tensor
    terms: Tensor
    terms_start: Tensor
    maps_before: Tensor
    maps_after: Tensor
    iterations: Tensor
    converged: Tensor
    diverged: Tensor
    skipped: Tensor
    layer: str
    point: str
    balance: str
    optimizer: str
    preserve: float
    alpha: float
    beta: float
    lr: float
    start: str

    def __len__(self) -> int:
        return len(self.kernel)

    @property
    def selected_before(self) -> Tensor:
        """F_i, (p, H, W)."""
        return self.maps_before[self.image, self.kernel]

    @property
    def selected_after(self) -> Tensor:
        """F^_i, (p, H, W)."""
        return selected(self.maps_after, self.kernel)

    def measure(self) -> Selectivity:
        """SSIM, MSE of the selected and of the rest, preservation and selectivity of every problem; computed once."""
        return self._measured

    @cached_property
    def _measured(self) -> Selectivity:
        return selectivity(self.maps_after, self.maps_before[self.image], self.kernel)
