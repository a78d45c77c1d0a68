"""How well one kernel was isolated: numbers per problem from the layer's maps before and after (spec of Table 1 and Figure 3).

``Isolation.measure`` calls this on its own maps; attribution patterns fed back into the network are measured the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ... import checks, metrics
from .losses import others, selected


@dataclass(frozen=True, eq=False)
class Selectivity:
    """Numbers (p,) in double precision, one per problem; i is the selected kernel, F the map before, F^ the map after.

    ``ssim``: of F^_i against F_i (``metrics.map_ssim``; NaN for maps under 3 x 3 and constant F_i);
    ``mse_selected``: mean over positions of (F^_i - F_i)^2; ``mse_rest``: mean over j != i and positions of F^_j^2, NaN for N = 1;
    ``mse_rest_ratio``: mse_rest over the same of the original maps, comparable between layers; NaN where the others were silent;
    ``preservation``: the error ||F^_i - F_i||_2 / ||F_i||_2; ``selectivity``: ||F^_i||^2 / sum_j ||F^_j||^2, NaN where all is
    silent; ``selectivity_before``: the same of the original maps.
    """

    ssim: Tensor
    mse_selected: Tensor
    mse_rest: Tensor
    mse_rest_ratio: Tensor
    preservation: Tensor
    selectivity: Tensor
    selectivity_before: Tensor


def selectivity(maps_after: Tensor, maps_before: Tensor, kernel: Tensor) -> Selectivity:
    """Measure maps (p, N, H, W) after against before, each problem for its own kernel: kernel (p,) integers in [0, N).

    Rows of NaN in maps_after (problems skipped as inactive) give NaN. MSE is in squared raw activations: it compares within one
    network only. Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("maps_before", maps_before, "p N H W")
    p, n, h, w = maps_before.shape
    checks.tensor("maps_after", maps_after, "p N H W", sizes=dict(zip("pNHW", maps_before.shape, strict=True)), finite=False)
    kernel = checks.labels("kernel", kernel, p, n).to(maps_after.device)
    skipped = ~maps_after.flatten(1).isfinite().all(1)
    if bool((skipped & ~maps_after.flatten(1).isnan().all(1)).any()):
        raise ValueError(f"maps_after: got {checks.describe(maps_after)} with some NaN or infinite entries, expected finite numbers, "
                         "or NaN throughout a problem that was skipped")  # fmt: skip
    own_after, own_before = (selected(maps, kernel).double() for maps in (maps_after, maps_before.to(maps_after.device)))
    energy, energy_before = (maps.to(maps_after.device).double().square().sum((2, 3)) for maps in (maps_after, maps_before))
    rest, rest_before = others(energy, kernel), others(energy_before, kernel)
    error = vector_norm(own_after - own_before, dim=(1, 2))
    ssim = torch.full((p,), torch.nan, dtype=torch.float64, device=maps_after.device)
    if not bool(skipped.all()):
        ssim[~skipped] = metrics.map_ssim(own_after[~skipped], own_before[~skipped]).to(ssim)
    return Selectivity(
        ssim=ssim,
        mse_selected=error.square() / (h * w),
        mse_rest=torch.where(skipped, torch.nan, rest / ((n - 1) * h * w)) if n > 1 else torch.full_like(rest, torch.nan),
        mse_rest_ratio=torch.where(rest_before > 0, rest / rest_before, torch.nan),
        preservation=error / vector_norm(own_before, dim=(1, 2)),
        selectivity=selected(energy[:, :, None], kernel)[:, 0] / energy.sum(1),
        selectivity_before=selected(energy_before[:, :, None], kernel)[:, 0] / energy_before.sum(1),
    )
