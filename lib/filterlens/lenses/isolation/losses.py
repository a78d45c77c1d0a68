"""The three terms of kernel isolation (arXiv 2108.11054, eqs. 1-4), per problem and in both balances.

    L_p = ||F^_i - F_i||_2 / (W H ||F_i||_2)                       the selected map is preserved
    L_s = sum_{j != i} ||F^_j||_1 / (W H sum_{j != i} ||F_j||_1)   the others are suppressed
    L_r = ||X^||_1 / (W0 H0)                                       the image is small, summed over colour channels

As printed, L_p and L_s shrink with the layer's size W H and L_r does not, so that at the paper's weights L_r decides alone
("printed"). "mean" leaves out that 1 / (W H): the terms are then comparable. ``isolate`` minimises their weighted sum.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ... import checks

BALANCES = ("mean", "printed")


class Goal(NamedTuple):
    """What of the original maps the loss needs, constants per problem: ``kernel`` (p,), ``selected`` = F_i (p, H, W), ``norm`` =
    ||F_i||_2 (p,), ``others`` = sum_{j != i} ||F_j||_1 (p,), ``share`` = 1 or 1 / (W H)."""

    kernel: Tensor
    selected: Tensor
    norm: Tensor
    others: Tensor
    share: float

    def take(self, rows: Tensor) -> Goal:
        return Goal(self.kernel[rows], self.selected[rows], self.norm[rows], self.others[rows], self.share)


def selected(maps: Tensor, kernel: Tensor) -> Tensor:
    """Each problem's own map: maps (p, N, H, W), kernel (p,) -> (p, H, W)."""
    return maps[torch.arange(len(maps), device=maps.device), kernel]


def others(per_kernel: Tensor, kernel: Tensor) -> Tensor:
    """The sum over all kernels but the selected one: (p, N), kernel (p,) -> (p,); nothing is subtracted, so that silence is 0."""
    return per_kernel.scatter(1, kernel[:, None], 0.0).sum(1)


def goal(target: Tensor, kernel: Tensor, balance: str) -> Goal:
    """The constants of the loss from the original maps (p, N, H, W)."""
    own = selected(target, kernel)
    share = 1.0 if balance == "mean" else 1.0 / (target.shape[2] * target.shape[3])
    return Goal(kernel, own, vector_norm(own, dim=(1, 2)), others(target.abs().sum((2, 3)), kernel), share)


def terms(maps: Tensor, images: Tensor, aim: Goal) -> Tensor:
    """L_p, L_s, L_r, unweighted, (p, 3); see ``losses``."""
    preserved = vector_norm(selected(maps, aim.kernel) - aim.selected, dim=(1, 2)) / aim.norm * aim.share
    loud = others(maps.abs().sum((2, 3)), aim.kernel)
    silent = aim.others == 0  # N = 1 too: there is nothing to suppress
    suppressed = torch.where(silent, loud * 0, loud / torch.where(silent, 1, aim.others)) * aim.share
    small = images.abs().sum((1, 2, 3)) / (images.shape[2] * images.shape[3])
    return torch.stack([preserved, suppressed, small], 1)


def losses(maps: Tensor, target: Tensor, kernel: Tensor, images: Tensor, *, balance: str = "mean") -> Tensor:
    """The three terms L_p, L_s, L_r (p, 3) of each problem by itself, unweighted and differentiable in maps and images.

    maps, target: the layer's maps (p, N, H, W) of the optimised and of the original images; target is held constant.
    kernel: (p,) integers in [0, N). images: the optimised images (p, c, h, w) in the network's input space.
    balance: "mean", or "printed" with the paper's 1 / (W H) before L_p and L_s (eqs. 1-3).

    L_s is 0 where the other kernels were silent, also for N = 1. Where F^_i = F_i the gradient of L_p is taken as 0.
    Raises TypeError or ValueError naming the argument, and ValueError for a selected map that is zero: L_p is undefined there.
    """
    p, n = checks.tensor("maps", maps, "p N H W").shape[:2]
    checks.tensor("target", target, "p N H W", sizes=dict(zip("pNHW", maps.shape, strict=True)))
    kernel = checks.labels("kernel", kernel, p, n)
    checks.tensor("images", images, "p c h w", sizes={"p": p})
    checks.choice("balance", balance, BALANCES)
    aim = goal(target.detach(), kernel.to(maps.device), balance)
    if bool((aim.norm == 0).any()):
        raise ValueError(
            f"target: the selected map of problems {torch.nonzero(aim.norm == 0)[:, 0].tolist()} is zero, expected active kernels"
        )
    return terms(maps, images, aim)
