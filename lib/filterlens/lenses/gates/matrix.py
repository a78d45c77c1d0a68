"""The gate matrix G (C, K) by itself: its feasible set and the projections onto it, its density and the density's interval.

Row G_c holds the gates of class c, column G^k those of filter k. The feasible set of arXiv 2007.08194 is
V_G = {G in [0, 1]^(C x K), max over c of G_ck = 1 for every k}: every filter answers fully to at least one class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks

PROJECTIONS = ("rescale", "euclid")


def project_gates(G: Tensor, *, method: str = "rescale") -> Tensor:
    """Bring gates (C, K) into the feasible set: entries in [0, 1], every column's maximum 1. A new tensor; without gradients.

    method: "rescale" divides each column by its maximum, then clamps to [0, 1] (the official code); a column whose maximum is
    not positive would divide by zero or flip its signs, so it goes the other way. "euclid" is the nearest feasible point: the
    column's largest entry (ties: the lowest class) becomes 1 and the rest is clamped.

    Why the largest: setting entry c to 1 and clamping the others costs (1 - G_c)^2 - d(G_c)^2 more than clamping all, d the
    distance of G_c to [0, 1]; that falls with G_c.

    Source: spec of the appendix, section 2.3. Raises TypeError or ValueError naming G or method.
    """
    checks.tensor("G", G, "C K")
    return project(G.detach(), checks.choice("method", method, PROJECTIONS))


def project(G: Tensor, method: str) -> Tensor:
    """``project_gates`` of what is known to be a finite matrix."""
    top, first = G.max(0)  # the first of equal maxima, on every device: asked for below
    first = (G == top).to(torch.uint8).argmax(0) if G.device.type != "cpu" else first
    nearest = G.clamp(0, 1).scatter(0, first[None], 1.0)
    if method == "euclid":
        return nearest
    return torch.where(top > 0, (G / top).clamp(0, 1), nearest)


def fixed_gates(n_classes: int, own: int, shared: int) -> Tensor:
    """Gates (C, C * own + shared) set by hand: ``own`` filters for each class, one-hot, in the order of the classes, then shared ones.

    ResNet-20: (10, 6, 4); AlexNet: (10, 25, 6) (appendix E, from the statistics of 20 runs). Raises TypeError or ValueError
    naming the argument; own = 0 leaves classes without a filter of their own and is refused.
    """
    C = checks.integer("n_classes", n_classes, 1)
    own, shared = checks.integer("own", own, 1), checks.integer("shared", shared, 0)
    return torch.cat([torch.eye(C).repeat_interleave(own, 1), torch.ones(C, shared)], 1)


def split_filters(n_classes: int, n_filters: int, shared: int) -> tuple[int, int]:
    """How many filters each class owns and how many are shared, when at least ``shared`` of n_filters are to be: (own, shared).

    What does not divide by the classes goes to the shared ones. Raises ValueError if no filter is left for each class to own.
    """
    C, K = checks.integer("n_classes", n_classes, 1), checks.integer("n_filters", n_filters, 1)
    own = (K - checks.integer("shared", shared, 0, K)) // C
    if own < 1:
        raise ValueError(f"n_filters: got {K} with {shared} of them shared, expected at least {C + shared} for {C} classes to own one each")
    return own, K - C * own


def l1_density(G: Tensor) -> float:
    """||G||_1 / (C K), the mean of |G|: 1 / C for gates of one class each, 1 for open ones. Raises TypeError or ValueError naming G."""
    return float(checks.tensor("G", G, "C K").detach().abs().mean(dtype=torch.float64))


def density_bounds(n_classes: int, n_filters: int, g: float) -> tuple[float, float]:
    """Where the density ends up if the penalty succeeds: [1 / C, g / (C K)] (appendix A).

    Each of the K columns has an entry 1, so ||G||_1 >= K. g: the upper bound wanted for ||G||_1.
    Raises TypeError or ValueError naming the argument: for g < K the bounds cross, and g > C K bounds nothing.
    """
    C, K = checks.integer("n_classes", n_classes, 1), checks.integer("n_filters", n_filters, 1)
    g = checks.real("g", g)
    if not K <= g <= C * K:
        raise ValueError(f"g: got {g:g}, expected a number in [K, C K] = [{K}, {C * K}]: every one of the {K} columns has an entry 1")
    return 1 / C, g / (C * K)


def owners(table: Tensor) -> Tensor:
    """The class (K,) that each filter answers to most: argmax over c of a table (C, K), the lowest class on ties.

    A table of gates for a gated network; for another one its classes' mean features, say. Raises TypeError or ValueError naming table.
    """
    checks.tensor("table", table, "C K")
    return (table == table.max(0).values).to(torch.uint8).argmax(0)


def penalty(G: Tensor, g: float) -> Tensor:
    """d(||G||_1, g) = max(||G||_1 - g, 0), the excess over g; differentiable, its gradient sign(G) above g and 0 below (official code)."""
    return (G.abs().sum() - g).relu()


@dataclass(frozen=True)
class Schedule:
    """Which epochs are gated: the last ``gated`` of every ``period`` after ``first`` plain ones.

    (3, 1, 0) for CIFAR-10 and ImageNet (appendix). VOC: the appendix says 10 plain epochs and then two in three, the official run
    file ``epoch % 3 >= 2``, one in three.
    """

    period: int = 3
    gated: int = 1
    first: int = 0

    def __post_init__(self) -> None:
        checks.integer("period", self.period, 1)
        checks.integer("gated", self.gated, 0, self.period)
        checks.integer("first", self.first, 0)

    def __call__(self, epoch: int) -> bool:
        """Is this epoch, counted from 0, gated?"""
        return epoch >= self.first and (epoch - self.first) % self.period >= self.period - self.gated
