"""The figure of the results page: a point for every pair, where its difference says, and what lies far out at the edge."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from matplotlib.axes import Axes

from filterlens.figures import pairs

NAN = math.nan
TABLE = pd.DataFrame(
    [("A", 10.0, 11.0, 2.0), ("A", 10.0, 40.0, 2.0), ("B", 4.0, 3.0, 1.0), ("B", 4.0, 5.0, NAN), ("C", 2.0, 1.0, NAN), ("C", 1.0, 9.0, NAN)],
    columns=["group", "paper", "ours", "std"],
)


def _points(ax: Axes) -> list[list[float]]:
    return [sorted(float(x) for x, _ in part.get_offsets()) for part in ax.collections]


def test_points_stand_where_their_differences_say(ax: Axes) -> None:
    pairs.differences(TABLE, ax)
    inside, left, right = _points(ax)
    assert inside == [-1.0, 0.5] and left == [] and right == [pairs.FAR]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B", "A"] and "standard deviations" in ax.get_xlabel()


def test_numbers_without_a_deviation_are_shares(ax: Axes) -> None:
    pairs.differences(TABLE, ax, by="share")
    assert _points(ax) == [[-0.5, 0.25], [], [pairs.MOST]] and "shares" in ax.get_xlabel()


def test_both_halves_stand_in_one_figure_or_the_one_there_is() -> None:
    assert [len(pairs.both(some).axes) for some in (TABLE, TABLE[:3], TABLE[3:])] == [2, 1, 1]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "by", "error", "said"),
    [
        ([1], "std", TypeError, "pairs"),
        (TABLE.drop(columns="ours"), "std", ValueError, "pairs.*'ours'"),
        (TABLE[:0], "std", ValueError, "pairs: got none"),
        (TABLE[3:], "std", ValueError, "pairs: got none with"),
        (TABLE[:3], "share", ValueError, "pairs: got none without"),
        (TABLE, "ratio", ValueError, "by"),
    ],
)
def test_pairs_refuse(given: object, by: str, error: type, said: str, ax: Axes) -> None:
    with pytest.raises(error, match=said):
        pairs.differences(given, ax, by=by)
