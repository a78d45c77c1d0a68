"""Figures of the gates lens: the gate matrix, how it came about, and what it does to weights, filters and clusters.

Numbers in their names are those of arXiv 2007.08194's appendix. Scores of features and networks are drawn in ``gates_scores`` and named
here too; columns are filters, sorted by the class that owns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .. import checks
from ..lenses.gates import l1_density
from ..lenses.gates.clusters import Clusters
from ..lenses.gates.similarity import FilterCosines
from .gates_scores import NETWORKS, detection, leak, masks, mutual_information, similarity
from .tables import borders, class_names, heat, instance, row_of_axes, sorted_columns

__all__ = [
    "NETWORKS",
    "centres",
    "cosine_matrix",
    "density_curve",
    "detection",
    "gate_matrix",
    "gates_over_epochs",
    "leak",
    "masks",
    "mutual_information",
    "product",
    "similarity",
]

GATED, PLAIN = "#d55e00", "0.35"
SHARED = "shared"  # filters whose gates are largest for several classes


def gate_matrix(gates: Tensor, ax: Axes, *, title: str | None = None, classes: Sequence[str] | None = None) -> Axes:
    """Figure E.1: gates (C, K) in [0, 1], classes by filters sorted by owner, shared ones last; the density is in the title."""
    C = len(_gates(gates, "C K"))
    names, (order, who) = class_names(classes, C), sorted_columns(gates)
    heat(gates[:, order], ax, rows=names, low=0, high=1, label="gate $G_{ck}$")
    borders(who, ax, [*names, SHARED]).set_ylabel("class")
    density = f"density {l1_density(gates):.3f}"
    ax.set_title(density if title is None else f"{title}: {density}", fontsize=10)
    return ax


def gates_over_epochs(gates: Tensor, epochs: Sequence[int], axes: Any, *, classes: Sequence[str] | None = None) -> np.ndarray:
    """Gates (E, C, K) after some epochs, one heat map each: axes (epochs,).

    Entry e is the state after e epochs, as ``GateHistory.gates`` keeps them. Filters stand in one order everywhere, that of their
    last owners, so that a column can be followed.
    """
    E, C, _ = _gates(gates, "E C K").shape
    chosen = checks.indices("epochs", epochs, E)
    axes, names = row_of_axes(axes, len(chosen), "one for each epoch"), class_names(classes, C)
    order, who = sorted_columns(gates[-1])
    for ax, epoch in zip(axes, chosen, strict=True):
        heat(gates[epoch][:, order], ax, rows=names, low=0, high=1, label="gate $G_{ck}$")
        borders(who, ax, [*names, SHARED], what="filters, by last owner").set_ylabel("class")
        when = "at the start" if epoch == 0 else f"after epoch {epoch}"
        ax.set_title(f"{when}: density {l1_density(gates[epoch]):.3f}", fontsize=9)
    return axes


def density_curve(density: Tensor, bounds: tuple[float, float], gated: Tensor, ax: Axes) -> Axes:
    """The L1-density over epochs, gated ones as filled squares and plain ones as hollow circles, with its interval as a band.

    density: (E + 1,) with the state before the training, as ``GateHistory`` keeps it, or (E,) without; gated: (E,) bool;
    bounds: (1 / C, g / (C K)), ``density_bounds`` (appendix A).
    """
    if not isinstance(gated, Tensor) or gated.dtype != torch.bool:
        raise TypeError(f"gated: got {checks.describe(gated)}, expected a bool tensor (E,)")
    if gated.ndim != 1 or not len(gated):
        raise ValueError(f"gated: got {checks.describe(gated)}, expected a bool tensor (E,), E at least 1")
    values = checks.tensor("density", density, "E").detach().double().cpu().numpy()
    E = len(gated)
    if len(values) not in (E, E + 1):
        raise ValueError(f"density: got {len(values)} values, expected {E}, or {E + 1} with the start, for gated of {E} epochs")
    low, high = _bounds(bounds)
    start = len(values) == E + 1
    epochs, marked = np.arange(0 if start else 1, E + 1), np.array([False] * start + gated.tolist())
    ax.axhspan(low, high, color=GATED, alpha=0.15, linewidth=0, label=f"interval [{low:.3g}, {high:.3g}]")
    for edge in (low, high):
        ax.axhline(edge, color=GATED, linestyle=":", linewidth=1)
    ax.plot(epochs, values, color=PLAIN, linewidth=1)
    common = {"linestyle": "none", "markersize": 5}
    ax.plot(
        epochs[~marked], values[~marked], "o", color=PLAIN, markerfacecolor="white", label="plain epoch" + start * " and start", **common
    )
    ax.plot(epochs[marked], values[marked], "s", color=GATED, label="gated epoch", **common)
    inside = low - 1e-6 <= values[-1] <= high + 1e-6
    ax.set_title(f"at the end {values[-1]:.3f}, {'inside' if inside else 'outside'} the interval", fontsize=10)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=r"L1-density $\|G\|_1 / (C K)$", ylim=(0, max(1.0, float(values.max())) * 1.03))
    ax.legend(fontsize=8)
    return ax


def product(weight: Tensor, gates: Tensor, axes: Any, *, classes: Sequence[str] | None = None) -> np.ndarray:
    """W, G and W x G (entry by entry), all (C, K): what the final layer weighs, what the gates let through, what is left of it.

    axes (3,). W and W x G share one scale around zero; G has its own, from 0 to 1.
    """
    C, K = _gates(gates, "C K").shape
    weight = checks.tensor("weight", weight, "C K", sizes={"C": C, "K": K}).detach().cpu()
    axes, names, gates = row_of_axes(axes, 3, "W, G and their product"), class_names(classes, C), gates.detach().cpu()
    order, who = sorted_columns(gates)
    limit = float(weight.abs().max()) or 1.0
    left = 100 * float((weight * gates).abs().sum() / weight.abs().sum().clamp(min=1e-30))
    drawn = (
        (weight, -limit, limit, "weight $W_{ck}$", "final layer $W$"),
        (gates, 0.0, 1.0, "gate $G_{ck}$", "gates $G$"),
        (weight * gates, -limit, limit, "$W_{ck} G_{ck}$", f"$W \\times G$: {left:.0f} % of $\\|W\\|_1$"),
    )
    for ax, (table, low, high, label, title) in zip(axes, drawn, strict=True):
        heat(table[:, order], ax, rows=names, low=low, high=high, label=label)
        borders(who, ax, [*names, SHARED]).set_ylabel("class")
        ax.set_title(title, fontsize=10)
    return axes


def cosine_matrix(cosines: FilterCosines, ax: Axes, *, classes: Sequence[str] | None = None) -> Axes:
    """Cosines of all pairs of filters, sorted by owner; a frame around the filters of each class, the two means in the title."""
    instance("cosines", cosines, FilterCosines)
    names = class_names(classes, int(cosines.owners.max()) + 1)
    heat(cosines.matrix, ax, rows=[], low=-1, high=1, label="cosine of two filters")
    who = cosines.owners.cpu()
    for c in who.unique().tolist():
        first, size = int((who < c).sum()), int((who == c).sum())
        ax.add_patch(Rectangle((first, first), size, size, fill=False, edgecolor="black", linewidth=1.2))
    borders(who, ax, names).set_aspect("equal")
    for line in list(ax.lines):  # the frames say it
        line.remove()
    middles = ax.get_xticks()
    ax.set_yticks(middles, [text.get_text() for text in ax.get_xticklabels()], fontsize=ax.get_xticklabels()[0].get_fontsize())
    dead = f", {cosines.n_zero} of zero norm" if cosines.n_zero else ""
    ax.set_title(f"mean |cos| within {cosines.within:.3f}, between {cosines.between:.3f}{dead}", fontsize=10)
    ax.set_ylabel("filters, by owner class")
    return ax


def centres(
    found: Clusters, ax: Axes, *, order: Tensor | None = None, title: str | None = None, classes: Sequence[str] | None = None
) -> Axes:
    """Figure F.2: the k-means centres (C, K), rows matched to classes, with purity, NMI and the mean cosine with the gates.

    order: the filters (K,) as they are to stand, such as those of the gates in Figure E.1; by default by the cluster where
    they are largest, with lines between.
    """
    instance("found", found, Clusters)
    C, K = found.centres.shape
    names, table = class_names(classes, C), found.centres.detach().cpu()
    if order is None:
        chosen, who = sorted_columns(table)
    else:
        chosen, who = torch.tensor(checks.indices("order", order, K)), None
        if len(chosen) != K:
            raise ValueError(f"order: got {len(chosen)} indices, expected all {K} filters")
    top = float(table.abs().max()) or 1.0
    heat(table[:, chosen], ax, rows=names, low=-top if bool((table < 0).any()) else 0.0, high=top, label="centre, mean feature")
    ax.set(ylabel="cluster, matched to class", xlabel="filters, in the order given")
    if who is not None:
        borders(who, ax, [*names, "none"], what="filters, by their largest centre")
    cosine = float(found.cosine.nanmean())
    said = f"purity {found.purity:.3f}, NMI {found.nmi:.3f}" + ("" if np.isnan(cosine) else f", cosine with gates {cosine:.3f}")
    ax.set_title(said if title is None else f"{title}: {said}", fontsize=10)
    return ax


def _gates(gates: Tensor, axes: str) -> Tensor:
    checks.tensor("gates", gates, axes)
    if float(gates.min()) < 0 or float(gates.max()) > 1:
        raise ValueError(f"gates: got entries from {float(gates.min()):g} to {float(gates.max()):g}, expected entries in [0, 1]")
    return gates


def _bounds(bounds: object) -> tuple[float, float]:
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise TypeError(f"bounds: got {checks.describe(bounds)}, expected (low, high), as density_bounds gives them")
    low = checks.real("bounds", bounds[0], 0, 1)
    return low, checks.real("bounds", bounds[1], low, 1)
