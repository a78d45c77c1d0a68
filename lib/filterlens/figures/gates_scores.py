"""What a network with gates and one without score: similarity, information, detection, masks, and the label leak.

A part of the figures of the gates lens, see ``gates``. The two networks differ in colour, hatch and name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from torch import Tensor

from .. import checks
from ..lenses.gates.clusters import MutualInformation
from ..lenses.gates.leak import LabelLeak
from ..lenses.gates.similarity import Similarity
from ..lenses.localization import iou
from .pictures import bare, photograph
from .tables import FEW, borders, class_names, heat, instance, row_of_axes, sorted_columns

NETWORKS = {"STD": ("#9fb6cd", ""), "CSG": ("#d55e00", "//"), "fixed": ("#009e73", "xx")}  # colour and hatch; others follow the cycle
TRUTH, FOUND = "#ffd400", "#d55e00"


def similarity(result: Similarity, axes: Any, *, classes: Sequence[str] | None = None) -> np.ndarray:
    """Appendix C: S_TP of correct and S_FN of wrong samples, true classes by the classes of the gates; axes (2,).

    A class without such samples is a grey row that says so; rows name how many samples they average.
    """
    instance("result", result, Similarity)
    axes, C = row_of_axes(axes, 2, "correct and wrong samples"), len(result.correct)
    names = class_names(classes, C)
    tables = (result.correct, result.n_correct, "correct samples, $S_{TP}$"), (result.wrong, result.n_wrong, "wrong samples, $S_{FN}$")
    low = -1.0 if any(bool((table < 0).any()) for table, _, _ in tables) else 0.0
    for ax, (table, count, title) in zip(axes, tables, strict=True):
        rows = [f"{name} ({int(n):,})" for name, n in zip(names, count, strict=True)]
        heat(table, ax, rows=rows, columns=names, low=low, high=1, label="cosine", annot=".2f" if C <= FEW else "")
        for y in torch.nonzero(count.cpu() == 0).flatten().tolist():
            ax.text(C / 2, y + 0.5, "no samples", ha="center", va="center", fontsize=7, color="0.3")
        ax.set(xlabel="gates of class", ylabel="true class (samples)")
        said = "" if not bool((count > 0).any()) else f": diagonal {float(table.diagonal().nanmean()):.2f}, else {_rest(table):.2f}"
        ax.set_title(title + said, fontsize=10)
    return axes


def _rest(table: Tensor) -> float:
    """The mean of a table (C, C) off its diagonal, NaN left out."""
    return float(table[~torch.eye(len(table), dtype=torch.bool, device=table.device)].nanmean())


def mutual_information(
    found: MutualInformation, ax: Axes, *, title: str | None = None, classes: Sequence[str] | None = None, high: float | None = None
) -> Axes:
    """What each filter tells about each class, in nats, filters sorted by their best class; the score is in the title.

    ``high`` ends the colour scale, by default at the table's largest entry: pass one value to compare networks.
    """
    instance("found", found, MutualInformation)
    names, (order, who) = class_names(classes, len(found.table)), sorted_columns(found.table)
    high = float(found.table.max()) or 1.0 if high is None else checks.real("high", high, 1e-9)
    heat(found.table[:, order.to(found.table.device)], ax, rows=names, low=0, high=high, label="mutual information, nats")
    borders(who, ax, [*names, "none"], what="filters, by the class they tell most about").set_ylabel("class")
    dead = int(found.constant.sum())
    said = f"score {found.score:.4f}" + (f", {dead} constant" if dead else "")
    ax.set_title(said if title is None else f"{title}: {said}", fontsize=10)
    return ax


def detection(rows: pd.DataFrame, ax: Axes) -> Axes:
    """ROC-AUC of a detector of adversarial samples, a group of bars for each attack, a bar for each network.

    rows: columns attack, network ("STD", "CSG" or another name), auc in [0, 1]. Several rows of one attack and network, such as
    seeds, are averaged, with their s.d. as a line. 0.5 is chance.
    """
    rows = _detections(rows)
    attacks, networks = (list(dict.fromkeys(rows[name])) for name in ("attack", "network"))
    width = 0.8 / len(networks)
    for at, network in enumerate(networks):
        part = rows[rows["network"] == network].groupby("attack", sort=False)["auc"]
        mean, spread = part.mean(), part.std()
        places = np.array([attacks.index(name) for name in mean.index]) + (at - (len(networks) - 1) / 2) * width
        colour, hatch = NETWORKS.get(network, (f"C{at}", ".|-+"[at % 4] * 2))
        bars = ax.bar(places, mean, 0.94 * width, color=colour, hatch=hatch, edgecolor="0.25", linewidth=0.6, label=network)
        if spread.notna().any():
            ax.errorbar(places, mean, yerr=spread, fmt="none", color="black", capsize=2, linewidth=1)
        ax.bar_label(bars, [f"{value:.3f}" for value in mean], padding=3, fontsize=7)
    ax.axhline(0.5, color="black", linestyle="--", linewidth=1, label="chance")
    ax.set_xticks(range(len(attacks)), attacks, fontsize=8)
    runs = rows.groupby(["attack", "network"]).size()
    said = f" (mean ± s.d., {'' if runs.min() == runs.max() else 'up to '}{runs.max()} runs)" if runs.max() > 1 else ""
    ax.set(xlabel="attack", ylabel=f"ROC-AUC of the detector{said}", ylim=(0, 1.25))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(fontsize=8, ncols=len(networks) + 1, loc="upper center")
    return ax


def _detections(rows: pd.DataFrame) -> pd.DataFrame:
    wanted = ["attack", "network", "auc"]
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows: got {checks.describe(rows)}, expected a pandas.DataFrame with the columns {wanted}")
    missing = [name for name in wanted if name not in rows]
    if missing:
        raise ValueError(f"rows: got the columns {list(rows)}, expected {missing} too")
    if rows.empty:
        raise ValueError("rows: got none, expected at least one")
    if not pd.api.types.is_numeric_dtype(rows["auc"]) or not rows["auc"].between(0, 1).all():
        raise ValueError("rows: auc: expected numbers in [0, 1]")
    return rows


def masks(image: Tensor, truth: Tensor, maps: Mapping[str, Tensor], axes: Any) -> np.ndarray:
    """One image with the outline of its object (dashed yellow), and beside it one mask each, filled, over its grey copy, with the IoU.

    image (1 or 3, h, w) in [0, 1]; truth (h, w) bool; maps: name -> mask (h, w) bool; axes (1 + masks,).
    """
    checks.tensor("image", image, "c h w")
    if len(image) not in (1, 3) or float(image.min()) < 0 or float(image.max()) > 1:
        raise ValueError(f"image: got {checks.describe(image)}, expected 1 or 3 channels with values in [0, 1]")
    if not isinstance(maps, Mapping):
        raise TypeError(f"maps: got {checks.describe(maps)}, expected name -> mask (h, w)")
    for name, mask in (("truth", truth), *((f"maps[{key!r}]", value) for key, value in maps.items())):
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            raise TypeError(f"{name}: got {checks.describe(mask)}, expected a bool tensor (h, w)")
        if mask.shape != image.shape[1:]:
            raise ValueError(f"{name}: got {checks.describe(mask)}, expected shape {tuple(image.shape[1:])}, that of the image")
    axes = row_of_axes(axes, 1 + len(maps), "the image, and one for each mask")
    photograph(image, axes[0]).set_title("image, true object dashed", fontsize=9)
    for ax, (name, mask) in zip(axes[1:], maps.items(), strict=True):
        photograph(image.mean(0, keepdim=True), ax)
        filled = np.ma.masked_equal(mask.cpu().numpy(), False)
        ax.imshow(filled, cmap=ListedColormap([FOUND]), alpha=0.55, interpolation="nearest")
        ax.set_title(f"{name}: IoU {float(iou(mask, truth)):.2f}", fontsize=9)
    for ax in axes:
        _outline(truth, bare(ax))
    return axes


def _outline(mask: Tensor, ax: Axes) -> None:
    """A dashed line around the true pixels; nothing where all or none are true."""
    values = np.pad(mask.cpu().double().numpy(), 1)  # closes the line at the border of the image
    if values.any():
        at = [np.arange(-1, length - 1) for length in reversed(values.shape)]
        ax.contour(*at, values, levels=[0.5], colors=TRUTH, linestyles="dashed", linewidths=1.4)
        ax.set(xlim=(-0.5, values.shape[1] - 2.5), ylim=(values.shape[0] - 2.5, -0.5))


def leak(found: LabelLeak, ax: Axes, *, classes: Sequence[str] | None = None) -> Axes:
    """Share of answers (column) when the gates of each class are claimed (row); the last row is the STD path, which is told nothing.

    Framed: answers that repeat the claim. For images without information they should be no more than chance.
    """
    instance("found", found, LabelLeak)
    n, C, _ = found.logits.shape
    names = class_names(classes, C)
    answers = torch.cat([found.logits.argmax(2).cpu(), found.std_predicted[:, None].cpu()], 1)  # (n, C + 1)
    table = torch.nn.functional.one_hot(answers, C).double().mean(0)
    heat(table, ax, rows=[*names, "STD path"], columns=names, low=0, high=1, label="share of images", annot=".2g" if C <= FEW else "")
    for c in range(C):
        ax.add_patch(Rectangle((c, c), 1, 1, fill=False, edgecolor=FOUND, linewidth=1.4))
    ax.axhline(C, color="black", linewidth=1.5)
    ax.set(xlabel="answer", ylabel="label claimed by the gates")
    images = f"{n} image{'s' * (n > 1)}"
    ax.set_title(f"{100 * found.accuracy:.0f} % of answers repeat the claim (chance {100 / C:.0f} %), {images}", fontsize=10)
    return ax
