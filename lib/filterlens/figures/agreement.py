"""Figures of how far the lenses agree: every two scores at once, one with the others network by network, and two of them layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .. import checks
from ..synthesis.agreement import SCORES, Agreement, Pair
from .tables import heat, instance

WORDS = {
    "positional": "positional relevance",
    "l1": "ℓ₁ norm",
    "l2": "ℓ₂ norm",
    "fpgm": "FPGM",
    "geometric_median": "from geometric median",
    "loss_rise": "loss without filter",
    "accuracy_drop": "accuracy without filter",
    "feature_loss_rise": "loss without feature",
    "feature_accuracy_drop": "accuracy without feature",
    "votes": "votes for feature",
    "contribution": "contribution to logit",
    "class_entropy": "class entropy (−)",
    "isolation": "isolation selectivity",
    "ownership": "gate ownership",
}  # (-): the smaller the more specific, so that agreement with the others is a negative rho
COLOURS = {"opposite": "#d55e00", "not shown": "0.6", "agree": "#0072b2"}


def agreement_matrix(result: Agreement, ax: Axes, *, title: str | None = None) -> Axes:
    """Spearman's rho of every two scores: colours on both sides, its number below the diagonal, its interval above.

    In bold where it is shown (corrected p at most 1 - level), pale where it is not; framed where two scores go against each other. Grey:
    not measured. Raises TypeError naming result or title.
    """
    instance("result", result, Agreement)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title: got {checks.describe(title)}, expected words or None")
    names = list(result.names)
    values = torch.full((len(names), len(names)), torch.nan, dtype=torch.float64)
    for pair in result.pairs:
        i, j = names.index(pair.a), names.index(pair.b)
        values[i, j] = values[j, i] = pair.rho
    said = [WORDS[name] for name in names]
    heat(values, ax, rows=said, columns=said, low=-1.0, high=1.0, label="Spearman's ρ within layers")
    for pair in result.pairs:
        i, j = sorted((names.index(pair.a), names.index(pair.b)))
        _write(ax, i, j, pair)
    counted = f"{result.n_filters:,} filters of {result.n_layers} layer{'s' * (result.n_layers != 1)}"
    shown = f"bold: corrected p ≤ {1 - result.level:.2g}; above the diagonal {100 * result.level:g} % intervals"
    ax.set_title((f"{title}: " if title else "") + f"{counted}\n{shown}", fontsize=10)
    return ax


def _write(ax: Axes, i: int, j: int, pair: Pair) -> None:
    """The numbers of a pair, i < j; nothing where it was not measured."""
    if math.isnan(pair.rho):
        return
    style = _style(pair)
    ax.text(i + 0.5, j + 0.5, f"{pair.rho:.2f}", fontsize=7, **style)
    ax.text(j + 0.5, i + 0.5, f"{pair.low:.2f}\n{pair.high:.2f}", fontsize=5.5, **style)
    if pair.verdict == "opposite":
        for x, y in ((i, j), (j, i)):
            _frame(ax, x, y)


def _style(pair: Pair) -> dict:
    """Of a number on its colour."""
    shown = pair.verdict != "not shown"
    colour = "white" if abs(pair.rho) > 0.6 else "black" if shown else "0.45"
    return {"ha": "center", "va": "center", "fontweight": "bold" if shown else "normal", "color": colour}


def _frame(ax: Axes, x: int, y: int) -> None:
    ax.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, edgecolor="black", linewidth=1.4))


def _checked(pairs: object, maker: str) -> Sequence[Pair]:
    """Raises TypeError or ValueError naming pairs."""
    if isinstance(pairs, str | Pair) or not isinstance(pairs, Sequence):
        raise TypeError(f"pairs: got {checks.describe(pairs)}, expected the pairs that {maker} gives")
    if not pairs:
        raise ValueError(f"pairs: got none, expected the pairs that {maker} gives")
    for pair in pairs:
        instance("pairs", pair, Pair)
    return pairs


def networks(pairs: Sequence[Pair], ax: Axes) -> Axes:
    """One score with several others in every network (``by_network``): rho, a row for each network.

    In bold where it is shown, pale where it is not; framed where the two go against each other. Grey: not measured. Raises TypeError or
    ValueError naming pairs.
    """
    found = _checked(pairs, "by_network")
    if len({pair.a for pair in found}) > 1:
        raise ValueError("pairs: got several first scores, expected one with others, network by network")
    names, others = ([*dict.fromkeys(side)] for side in ([pair.where for pair in found], [pair.b for pair in found]))
    values = torch.full((len(names), len(others)), torch.nan, dtype=torch.float64)
    for pair in found:
        values[names.index(pair.where), others.index(pair.b)] = pair.rho
    heat(values, ax, rows=names, columns=[WORDS[name] for name in others], low=-1.0, high=1.0, label="Spearman's ρ within layers")
    for pair in found:
        if math.isnan(pair.rho):
            continue
        x, y = others.index(pair.b), names.index(pair.where)
        ax.text(x + 0.5, y + 0.5, f"{pair.rho:.2f}", fontsize=8, **_style(pair))
        if pair.verdict == "opposite":
            _frame(ax, x, y)
    ax.set_title(f"{WORDS[found[0].a]} and the lenses, network by network\nbold: corrected p shows it", fontsize=10)
    return ax


def layers(pairs: Sequence[Pair], ax: Axes) -> Axes:
    """Two scores layer by layer (``by_layer``): rho with its interval, from the first layer at the top; hollow where it is not shown.

    Layers that say nothing are named with a cross at 0. Raises TypeError or ValueError naming pairs.
    """
    pairs = _checked(pairs, "by_layer")
    if len({(pair.a, pair.b) for pair in pairs}) > 1:
        raise ValueError("pairs: got several pairs of scores, expected one, layer by layer")
    first = pairs[0]
    for at, pair in enumerate(pairs):
        if math.isnan(pair.rho):
            ax.plot(0, at, marker="x", color="0.6", linestyle="none")
            continue
        colour = COLOURS[pair.verdict]
        ax.plot([pair.low, pair.high], [at, at], color=colour, linewidth=1.4)
        ax.plot(pair.rho, at, marker="o", markersize=4, color=colour, markerfacecolor="white" if pair.verdict == "not shown" else colour)
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(np.arange(len(pairs)), [f"{pair.where} ({pair.n})" for pair in pairs], fontsize=7)
    ax.set(xlim=(-1, 1), ylim=(len(pairs) - 0.5, -0.5), xlabel="Spearman's ρ", ylabel="layer (filters)")
    side = "right" if SCORES[first.a].sense * SCORES[first.b].sense > 0 else "left"
    ax.set_title(f"{WORDS[first.a]} and\n{WORDS[first.b]}: agreement is {side} of 0", fontsize=10)
    return ax
