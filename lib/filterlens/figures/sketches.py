"""Sketches of a classifier's end: which class reads which features. No data in them; used by the influence figures."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from .. import checks

LINE, FEATURE, SHADE = "0.6", "0.35", "#dfe6ee"
FEATURES_AT, CLASSES_AT = 0.46, 0.86  # columns of the sketch


def network_sketch(ax: Axes, *, d: int, n_classes: int, s: int | None = None) -> Axes:
    """Figure 1: the last maps, their means (one feature per channel), and the full linear layer.

    With ``s`` the lines of the first class from s features are drawn strong: its influential ones.
    """
    _sizes(d, n_classes, 1 if s is None else s)
    features, classes = _columns(ax, d, n_classes)
    width, reach = 0.1, min(0.045, 0.6 / d)
    for i, y in enumerate(features):
        side = min(0.75 / d, width)
        for back in (2, 1, 0):  # a few sheets behind each other
            shift = back * reach / 3
            ax.add_patch(Rectangle((0.06 + shift, y - side / 2 + shift), width, side, facecolor=SHADE, edgecolor=LINE, linewidth=0.5))
        _arrow(ax, (0.06 + width + reach, y), (FEATURES_AT - 0.03, y), str(i) if i else "global mean")
    for a, y in enumerate(classes):
        for i, x in enumerate(features):
            strong = s is not None and a == 0 and i < s
            _link(ax, x, y, colour="C0" if strong else LINE, width=1.8 if strong else 0.5, above=strong)
    ax.text(0.13, 1.08, f"last maps\n{d} channels", ha="center", va="bottom", fontsize=8)
    ax.text(0.66, 1.04, f"W: {n_classes} x {d} weights", ha="center", va="bottom", fontsize=8)
    return ax


def decomposed_sketch(ax: Axes, *, d: int, n_classes: int, s: int) -> Axes:
    """Figure 5: every class reads its own s features (drawn at random here, so they may be shared), and one softmax joins them."""
    _sizes(d, n_classes, s)
    features, classes = _columns(ax, d, n_classes)
    draw = np.random.default_rng(2)
    for a, y in enumerate(classes):
        for i in sorted(draw.permutation(d)[:s]):
            _link(ax, features[i], y, colour=f"C{a % 10}", width=1.4)
        ax.plot([CLASSES_AT, 1.02], [y, y], color=f"C{a % 10}", linewidth=1.2, zorder=1)
    box = {"boxstyle": "round,pad=0.01", "facecolor": "white", "edgecolor": FEATURE, "linewidth": 0.8}
    ax.add_patch(FancyBboxPatch((1.03, classes[-1] - 0.05), 0.07, classes[0] - classes[-1] + 0.1, **box))
    ax.text(1.065, float(np.mean(classes)), "softmax", rotation=90, ha="center", va="center", fontsize=8)
    ax.text(0.66, 1.04, f"{n_classes} x {s} weights,\neach class its own {s} features", ha="center", va="bottom", fontsize=8)
    ax.set_xlim(0.32, 1.14)
    return ax


def _columns(ax: Axes, d: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of circles, features and classes, with their names; their heights from top to bottom."""
    features, classes = (0.5 + 0.47 * np.linspace(1, -1, n) * (min(1.0, n / max(d, n_classes) + 0.15)) for n in (d, n_classes))
    ax.scatter([FEATURES_AT] * d, features, s=40, color="white", edgecolors=FEATURE, linewidths=1, zorder=3)
    ax.scatter([CLASSES_AT] * n_classes, classes, s=90, color=[f"C{a % 10}" for a in range(n_classes)], zorder=3)
    ax.text(FEATURES_AT, -0.06, f"features f\n({d})", ha="center", va="top", fontsize=8)
    ax.text(CLASSES_AT, -0.06, f"logits z\n({n_classes} classes)", ha="center", va="top", fontsize=8)
    ax.set(xlim=(0, 1), ylim=(-0.22, 1.25))
    ax.axis("off")
    return features, classes


def _link(ax: Axes, feature: float, logit: float, *, colour: str, width: float, above: bool = False) -> None:
    ax.plot([FEATURES_AT, CLASSES_AT], [feature, logit], color=colour, linewidth=width, zorder=2 if above else 1)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=7, linewidth=0.7, color=LINE))
    if label == "global mean":
        ax.text((start[0] + end[0]) / 2, start[1] + 0.03, label, ha="center", va="bottom", fontsize=8)


def _sizes(d: int, n_classes: int, s: int) -> None:
    checks.integer("d", d, 2, 64)
    checks.integer("n_classes", n_classes, 2, 64)
    checks.integer("s", s, 1, d)
