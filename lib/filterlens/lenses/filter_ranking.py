"""What every ranking of a layer's filters looks like, whichever lens made it: the result type of ``ranking`` and ``simplex``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import checks


@dataclass(frozen=True, eq=False)
class FilterRanking:
    """A layer's k filters from the most redundant to the most needed one.

    ``score`` (k,): larger = keep longer, in the method's own units; ``order`` (k,) int64: indices, most redundant first. Filters
    of equal score are neighbours in ``order``; the method says what decides among them.
    """

    method: str
    score: Tensor
    order: Tensor

    @property
    def ties(self) -> Tensor:
        """(k,) int64: the number of the group of equal scores that each filter is in, 0 = the most redundant group."""
        return torch.unique(self.score, return_inverse=True)[1]

    def redundant(self, n: int) -> Tensor:
        """The n most redundant filters (n,), most redundant first. n in [0, k]. Raises TypeError or ValueError naming n."""
        return self.order[: checks.integer("n", n, 0, len(self.order))]

    def needed(self, n: int) -> Tensor:
        """The n least redundant filters (n,), most needed first. n in [0, k]. Raises TypeError or ValueError naming n."""
        return self.order.flip(0)[: checks.integer("n", n, 0, len(self.order))]


def lexicographic(*keys: Tensor) -> Tensor:
    """Indices (k,) that sort by the first key (k,), ascending, then by the second, ..., at last by index."""
    order = torch.arange(len(keys[0]), device=keys[0].device)
    for key in reversed(keys):
        order = order[torch.argsort(key[order], stable=True)]
    return order


def filters_of(name: str, weight: Tensor) -> Tensor:
    """Check a layer's weight (k, c, kh, kw), or (k, l) of a linear layer, and give its filters as rows (k, l), detached.

    Raises TypeError or ValueError naming the argument: wrong kind, rank or dtype (half precision too), empty, NaN or infinite.
    """
    if isinstance(weight, Tensor) and weight.ndim not in (2, 4):
        received = f"{name}: got {checks.describe(weight)}"
        raise ValueError(f"{received}, expected a layer's weight (k, c, kh, kw), or (k, l) of a linear layer")
    checks.tensor(name, weight, "k c kh kw" if getattr(weight, "ndim", 4) == 4 else "k l")
    if weight.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: got {checks.describe(weight)}, expected float32 or float64")
    return weight.detach().flatten(1)
