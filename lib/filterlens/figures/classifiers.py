"""How a classifier does: its logits, how far its confidence can be trusted, how its training went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from .. import checks
from ..metrics import Reliability
from ..training import History

MARKERS = "osD^vP*X<>"
PLAIN, REDUCED = "0.45", "#d55e00"


def reliability(results: dict[str, Reliability], ax: Axes) -> Axes:
    """Accuracy over confidence, one line per classifier, larger dots for more images; on the diagonal confidence is right."""
    if not results:
        raise ValueError("results: got none, expected at least one, label -> Reliability")
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="calibrated")
    for at, (name, found) in enumerate(results.items()):
        filled = (found.count > 0).cpu()
        x, y, count = (v.cpu()[filled].numpy() for v in (found.confidence, found.accuracy, found.count))
        label = f"{name}: ECE {100 * found.ece:.1f} %"
        ax.plot(x, y, color=f"C{at}", marker=MARKERS[at % 10], markersize=3, linewidth=1.2, label=label)
        ax.scatter(x, y, s=200 * count / count.sum(), color=f"C{at}", marker=MARKERS[at % 10], alpha=0.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    bins = len(next(iter(results.values())).count)
    ax.set(xlabel=f"confidence ({bins} bins)", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    ax.legend(fontsize=8, loc="upper left")
    return ax


def logits(full: Tensor, decomposed: Tensor, ax: Axes, classes: Sequence[str] | None = None) -> Axes:
    """One image's logits (C,) from the full and from the decomposed layer, side by side; a star over the largest of each."""
    checks.tensor("full", full, "C")
    checks.tensor("decomposed", decomposed, "C", sizes={"C": len(full)})
    n = len(full)
    names = [str(y) for y in range(n)] if classes is None else names_of("classes", classes, n)
    for shift, values, colour, label in ((-0.2, full, PLAIN, "full"), (0.2, decomposed, REDUCED, "decomposed")):
        values = values.detach().double().cpu()
        ax.bar(np.arange(n) + shift, values.numpy(), 0.38, color=colour, label=label)
        best = int(values.argmax())
        ax.annotate("★", (best + shift, max(float(values[best]), 0)), ha="center", va="bottom", fontsize=9, color=colour)
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.margins(y=0.12)
    ax.set_xticks(range(n), names, rotation=0 if max(map(len, names)) < 4 else 90, fontsize=8)
    agree = int(full.argmax()) == int(decomposed.argmax())
    ax.set(xlabel="class", ylabel="logit")
    ax.legend(title=f"★ largest: {'the same' if agree else 'another'} class", fontsize=8, title_fontsize=8)
    return ax


def history(history: History, ax: Axes) -> Axes:
    """Losses of every epoch on the left axis, the test accuracy on a right one (``ax.figure``'s last axis), as far as measured."""
    if not len(history):
        raise ValueError("history: got none, expected at least one epoch")
    epochs = np.arange(1, len(history) + 1)
    for name, values, style in (("training loss", history.train_loss, "o-"), ("test loss", history.test_loss, "s--")):
        if np.isfinite(values).any():
            ax.plot(epochs, values, style, markersize=3, linewidth=1.2, label=name)
    ax.set(xlabel="epoch", ylabel="loss (mean cross-entropy)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines = list(ax.lines)
    if np.isfinite(history.test_accuracy).any():
        right = ax.twinx()
        lines += right.plot(epochs, history.test_accuracy, "D:", color="C2", markersize=3, linewidth=1.2, label="test accuracy")
        right.set_ylabel("test accuracy")
        right.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(lines, [line.get_label() for line in lines], fontsize=8, loc="center right")
    return ax


def names_of(argument: str, names: Sequence[str], n: int) -> list[str]:
    if len(names) != n:
        raise ValueError(f"{argument}: got {len(names)} names, expected {n}")
    return [str(name) for name in names]
