"""Figure of the results page: every published number that was measured, at a glance, as ours minus the paper's."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import checks

COLUMNS = ("group", "paper", "ours", "std")
FAR = 5.0  # published standard deviations, beyond which a point stands at the edge
MOST = 1.0  # of the published number, likewise


def both(pairs: pd.DataFrame) -> Figure:
    """A figure of its own with all pairs: above those with a published standard deviation, below the others; see ``differences``."""
    checked(pairs)
    spread = pairs["std"].astype(float) > 0
    halves = [(by, some) for by, some in (("std", pairs[spread]), ("share", pairs[~spread])) if len(some)]
    heights = [0.9 + 0.09 * len(some) + 0.12 * some["group"].nunique() for _, some in halves]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    axes = figure.subplots(len(halves), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (by, some) in zip(axes, halves, strict=True):
        differences(some, ax, by=by)
    return figure


def checked(pairs: object) -> pd.DataFrame:
    """Refuse what is no table of pairs, naming ``pairs``."""
    if not isinstance(pairs, pd.DataFrame):
        raise TypeError(f"pairs: got {checks.describe(pairs)}, expected a pandas.DataFrame with the columns {list(COLUMNS)}")
    if missing := [name for name in COLUMNS if name not in pairs.columns]:
        raise ValueError(f"pairs: got the columns {list(pairs.columns)}, expected {missing[0]!r} among them")
    if pairs.empty:
        raise ValueError("pairs: got none, expected at least one")
    return pairs


def differences(pairs: pd.DataFrame, ax: Axes, *, by: str = "std") -> Axes:
    """Each pair as a point: which group of numbers it belongs to, and how far ours lies from the paper's.

    pairs: columns ``COLUMNS``: group (words), paper and ours (numbers), std (the published standard deviation, NaN where there is none).
    by: "std" shows the pairs that have one, in its units, with the band of one on either side; "share" the others, in shares of
        the published number. Points beyond ``FAR`` or ``MOST`` are triangles at the edge.
    Raises TypeError or ValueError naming the argument.
    """
    checked(pairs)
    checks.choice("by", by, ("std", "share"))
    spread = pairs["std"].astype(float)
    some = pairs[spread > 0] if by == "std" else pairs[~(spread > 0) & (pairs["paper"].astype(float) != 0)]
    if some.empty:
        raise ValueError(f"pairs: got none {'with' if by == 'std' else 'without'} a published standard deviation, expected at least one")
    unit, far = (some["std"].astype(float), FAR) if by == "std" else (some["paper"].astype(float).abs(), MOST)
    off = (some["ours"].astype(float) - some["paper"].astype(float)) / unit
    groups = list(dict.fromkeys(some["group"]))
    height = {group: at for at, group in enumerate(reversed(groups))}
    place = some["group"].map(height).astype(float)
    turn = some.groupby("group").cumcount()
    n = some["group"].map(some["group"].value_counts())
    place = place + (turn - (n - 1) / 2) / n * 0.7  # the numbers of a group stand one below the other, in their order
    inside = off.abs() <= far
    if by == "std":
        ax.axvspan(-1, 1, color="0.9", zorder=0)
    ax.axvline(0, color="0.5", linewidth=0.8, zorder=1)
    ax.scatter(off[inside], place[inside], s=12, color="C0", zorder=2)
    for side, marker in ((-1, "<"), (1, ">")):
        beyond = ~inside & (off * side > 0)
        ax.scatter([side * far] * int(beyond.sum()), place[beyond], s=22, marker=marker, color="C1", zorder=2, clip_on=False)
    said = "published standard deviations" if by == "std" else "shares of the published number"
    ax.set(yticks=range(len(groups)), yticklabels=list(reversed(groups)), xlim=(-1.05 * far, 1.05 * far), ylim=(-0.6, len(groups) - 0.4))
    ax.set_xlabel(f"ours minus the paper's, in {said}")
    ax.tick_params(axis="y", length=0, labelsize=8)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    return ax
