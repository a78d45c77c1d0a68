"""Figures of the simplex lens: one layer's filters as a cloud, its archetypes, its codes and its scores.

What follows from them is drawn in ``redundancy`` (accuracy without filters), ``fabrication`` and ``saliency``, re-exported here. Numbers
in the names are those of Thakur, Abrol and Sharma (PMLR 197, 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from .. import checks
from ..lenses.simplex.plane import principal_components
from .classifiers import MARKERS
from .fabrication import fabricated_grid, fabricated_maps, variance_collapse
from .pictures import photograph, signed
from .redundancy import channel_order, removal_curves, removal_legend, retraining, stability_matrix, starts, verdict
from .saliency import saliency, similarity

__all__ = [
    "channel_order",
    "cloud",
    "code_bars",
    "fabricated_grid",
    "fabricated_maps",
    "prewitt",
    "removal_curves",
    "removal_legend",
    "residual_by_fraction",
    "retraining",
    "saliency",
    "scores",
    "similarity",
    "simplex_sketch",
    "stability_matrix",
    "starts",
    "tau_sensitivity",
    "variance_collapse",
    "verdict",
]

POINT, ARCHETYPE, SPAN = "#0072b2", "#d55e00", "#f6dcc9"  # apart also for the colour-blind
COLOURS = {"l0": "archetypes in the code, $\\ell_0$", "entropy": "entropy of the code, nats", "norm": "norm of the filter, $\\ell_2$"}


def simplex_sketch(X: Tensor, archetypes: Any, ax: Axes) -> Axes:
    """Figure 2: points of the plane X (2, N), the archetypes found among them, and, shaded, all that these can be mixed to."""
    n = checks.tensor("X", X, "l N", sizes={"l": 2}).shape[1]
    D = checks.tensor("archetypes.D", getattr(archetypes, "D", archetypes), "l d", sizes={"l": 2})
    corners = D.T.double().cpu().numpy()
    around = _outline(corners)
    ax.fill(*corners[around].T, facecolor=SPAN, edgecolor=ARCHETYPE, linewidth=1.2, label="their convex mixtures", zorder=1)
    ax.scatter(*X.double().cpu().numpy(), s=14, color=POINT, alpha=0.7, linewidths=0, label=f"{n} points", zorder=2)
    ax.scatter(
        *corners.T, s=70, marker="^", color=ARCHETYPE, edgecolors="black", linewidths=0.8, label=f"{len(corners)} archetypes", zorder=3
    )
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.set_title(f"{len(corners)} archetypes of {n} points", fontsize=9)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[1:] + handles[:1], labels[1:] + labels[:1], fontsize=8, loc="best")
    return ax


def prewitt(response: Any, axes: np.ndarray) -> np.ndarray:
    """Figure 1: the image, then the maps of x, y and their mixture z, in one scale; each operator is drawn in the corner. axes (4,)."""
    axes = _axes(axes, (4,), "one for the image and one for each of x, y and z")
    photograph(response.image, axes[0]).set_title("image", fontsize=9)
    limit = float(np.quantile(response.maps.abs().double().cpu().numpy(), 0.995))  # a few strong edges would leave the rest pale
    names = ("x: from left to right", "y: from top to bottom", f"z = {response.mix:g} x + {1 - response.mix:g} y")
    for ax, kernel, values, name in zip(axes[1:], response.filters, response.maps, names, strict=True):
        signed(values, ax, limit=limit).set_title(name, fontsize=9)
        signed(kernel, ax.inset_axes((0.02, 0.02, 0.2, 0.2)), limit=1.0)
    return axes


def cloud(
    ranking: Any, ax: Axes, *, weight: Tensor, colour: str = "l0", components: tuple[int, int] = (0, 1), colourbar: bool = True,
    legend: bool = True,
) -> Axes:  # fmt: skip
    """A layer's filters on two of their principal components, with the archetypes and the outline of those.

    ranking: a ``PositionalRanking`` of ``weight`` (k, c, kh, kw) or (k, l), or the ``Archetypes`` alone (then ``colour="norm"``).
    legend: below the axes, wider than a narrow panel; several panels do better with one for the figure.
    The axes say which share of the variance they show; what looks near in the plane may be far apart in the other dimensions.
    """
    X = checks.tensor("weight", weight.flatten(1) if isinstance(weight, Tensor) and weight.ndim == 4 else weight, "k l").double().cpu()
    checks.choice("colour", colour, list(COLOURS))
    found = getattr(ranking, "archetypes", ranking)
    if not hasattr(found, "D"):
        raise ValueError("ranking: got one with archetypes for each group, expected a layer without groups")
    D = checks.tensor("archetypes.D", found.D, "l d", sizes={"l": X.shape[1]}).T.double().cpu()
    shown = list(checks.indices("components", components, min(X.shape)))
    if len(shown) != 2:
        raise ValueError(f"components: got {shown}, expected two")
    values = X.norm(dim=1) if colour == "norm" else _scores(ranking, colour, len(X))
    principal = principal_components(X)
    points, corners = (principal.places(Y)[:, shown] for Y in (X, D))
    dots = ax.scatter(*points.numpy().T, c=values.double().cpu().numpy(), cmap="viridis", s=16, linewidths=0, zorder=2, label="filters")
    around = corners.numpy()[_outline(corners.numpy(), closed=True)]
    ax.scatter(*corners.numpy().T, marker="^", s=28, facecolors="none", edgecolors=ARCHETYPE, linewidths=0.9, zorder=3, label="archetypes")
    ax.plot(*around.T, color=ARCHETYPE, linewidth=1, zorder=1, label="outline of the archetypes")
    if colourbar:
        whole = MaxNLocator(integer=True) if colour == "l0" else None
        ax.figure.colorbar(dots, ax=ax, label=COLOURS[colour], ticks=whole)
    a, b = (100 * float(principal.shares[at]) for at in shown)
    ax.set(xlabel=f"component {shown[0] + 1} ({a:.1f} %)", ylabel=f"component {shown[1] + 1} ({b:.1f} %)")
    ax.set_title(f"{len(X)} filters, {len(D)} archetypes; {a + b:.1f} % of the variance", fontsize=9)
    if legend:
        ax.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False, columnspacing=1, handletextpad=0.4)
    return ax


def code_bars(ranking: Any, ax: Axes, filter: int, *, top: int = 20) -> Axes:
    """One filter's code: its shares of the archetypes, largest first, at most ``top`` of those that are not zero."""
    codes = _codes(ranking)
    d, k = codes.shape
    filter, top = checks.integer("filter", filter, 0, k - 1), checks.integer("top", top, 1)
    code = codes[:, filter].double().cpu()
    order = torch.argsort(code, descending=True, stable=True)
    used = int((code > 0).sum())
    order = order[: min(used, top)]
    ax.bar(range(len(order)), code[order].numpy(), color=POINT, width=0.8)
    ax.set_xticks(range(len(order)), order.tolist(), fontsize=8 if len(order) <= 12 else 6, rotation=0 if len(order) <= 12 else 90)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlabel="archetype", ylabel="share of the mixture", xlim=(-0.6, max(len(order), 6) - 0.4))
    rest = f", {top} largest" if used > top else ""
    ax.set_title(f"filter {filter}: {int(ranking.l0[filter])} of {d} archetypes{rest}", fontsize=9)
    return ax


def scores(ranking: Any, ax: Axes) -> Axes:
    """How many filters have each score: ties are the rule, and the title counts the filters that are alone with theirs."""
    l0 = checks.tensor("ranking.l0", ranking.l0, "k", floating=False).cpu()
    values, counts = l0.unique(return_counts=True)
    ax.bar(values.numpy(), counts.numpy(), color=POINT, width=0.85)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    alone = int((counts == 1).sum())
    ax.set(xlabel=COLOURS["l0"], ylabel="filters")
    ax.set_title(f"{len(l0)} filters, {len(values)} different scores, {alone} without a tie", fontsize=9)
    return ax


def tau_sensitivity(
    taus: Sequence[float], l0: Tensor, ax: Axes, *, tau: float | None = None, title: str = "Scores of one layer, by threshold"
) -> Axes:
    """How the scores of a layer move with the threshold that counts as zero: taus (T,), l0 (T, k); median, quartiles, range, and ``tau``.

    Thresholds are above 0, for the logarithmic axis. The legend stands below the axes, the title above. Raises TypeError or ValueError naming taus, l0 or tau.
    """
    for name, value in [*(("taus", one) for one in taus), *([] if tau is None else [("tau", tau)])]:
        if checks.real(name, float(value) if isinstance(value, Tensor) else value, 0) == 0:
            raise ValueError(f"{name}: got 0, which a logarithmic axis does not show, expected thresholds above 0")
    l0 = checks.tensor("l0", l0, "T k", sizes={"T": len(taus)}, floating=False).double().cpu().numpy()
    low, first, middle, third, high = np.quantile(l0, [0, 0.25, 0.5, 0.75, 1], axis=1)
    ax.fill_between(taus, low, high, color=POINT, alpha=0.15, linewidth=0, label="all filters")
    ax.fill_between(taus, first, third, color=POINT, alpha=0.35, linewidth=0, label="middle half")
    ax.plot(taus, middle, color=POINT, marker="o", markersize=3, linewidth=1.2, label="median")
    if tau is not None:
        ax.axvline(tau, color="black", linestyle="--", linewidth=1, label=f"τ = {tau:g}")
    ax.set_xscale("log")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="threshold τ: smaller shares count as zero", ylabel="archetypes in the code, $\\ell_0$", ylim=(0, None))
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False, columnspacing=1, handlelength=1.4)
    return ax


def residual_by_fraction(
    fractions: Sequence[float],
    residuals: Mapping[str, Sequence[float] | Tensor],
    ax: Axes,
    *,
    fraction: float | None = 0.25,
    title: str = "What archetypes leave of the filters",
) -> Axes:
    """What the archetypes leave unexplained, ||X - DA|| / ||X||, over their number as a share of the filters; a line per layer.

    residuals: {label: one for each fraction}; ``fraction`` marks the paper's, None leaves the mark out.
    """
    if not residuals:
        raise ValueError("residuals: got none, expected at least one, label -> residuals")
    if fraction is not None:
        ax.axvline(fraction, color="0.5", linestyle="--", linewidth=1, label=f"{100 * fraction:g} % (paper)")
    for at, (label, values) in enumerate(residuals.items()):
        values = torch.as_tensor(values).double().cpu()
        if values.shape != (len(fractions),):
            raise ValueError(
                f"residuals[{label!r}]: got {checks.describe(values)}, expected one for each of the {len(fractions)} fractions"
            )
        ax.plot(fractions, values.numpy(), marker=MARKERS[at % 10], markersize=4, linewidth=1.2, label=label)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlabel="archetypes, share of the filters", ylabel="relative residual ‖X − DA‖ / ‖X‖", ylim=(0, 1.02))
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=8)
    return ax


def _codes(ranking: Any) -> Tensor:
    if ranking.codes is None:
        raise ValueError("ranking: got one of a layer with groups, which has no common codes, expected a layer without groups")
    return ranking.codes


def _scores(ranking: Any, colour: str, k: int) -> Tensor:
    if not hasattr(ranking, colour):
        raise ValueError(f"colour: got {colour!r} of {type(ranking).__name__}, expected 'norm': only a positional ranking has scores")
    return checks.tensor(f"ranking.{colour}", getattr(ranking, colour), "k", sizes={"k": k}, floating=colour == "entropy")


def _outline(points: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """Indices of the convex hull's corners in order; of points on one line, or fewer than three, all along the line."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        around = ConvexHull(points).vertices
    except (QhullError, ValueError):
        spread = points - points.mean(0)
        return np.argsort(spread @ spread[np.abs(spread).sum(1).argmax()], kind="stable")
    return np.append(around, around[0]) if closed else around


def _axes(axes: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    axes = np.asarray(axes)
    if axes.shape != shape:
        raise ValueError(f"axes: got shape {axes.shape}, expected {shape}: {what}")
    return axes
