"""The words of a figure, as a reader sees them: for the tests of figures."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import Axis


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def ticks(axis: Axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def legend(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]
