"""The figure of the ground-truth benchmark shows the table's means where their method, world and difficulty stand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from filterlens.figures import truth


def table() -> pd.DataFrame:
    cells = [
        (question, world, method, level, 0.1 * at + 0.2 * level + (0.05 if world == "long" else 0), 0.01, 3)
        for question, worlds, methods in (("redundancy", ("scaled", "long"), ("l2", "fpgm", "random")), ("gates", ("overlap",), ("gates",)))
        for world in worlds for level in (0.6, 0.0) for at, method in enumerate(methods)
    ]  # fmt: skip
    return pd.DataFrame(cells, columns=truth.COLUMNS)


def shown(ax: Axes) -> np.ndarray:
    (mesh,) = (found for found in ax.collections if found.get_array() is not None)
    return np.ma.filled(mesh.get_array(), math.nan).reshape(3, -1)


def test_cells_stand_by_method_world_and_difficulty(ax: Axes) -> None:
    assert truth.scores(table(), "redundancy", ax) is ax
    wanted = [[0.1 * at + 0.2 * level + more for more in (0, 0.05) for level in (0.0, 0.6)] for at in range(3)]
    np.testing.assert_allclose(shown(ax), wanted)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["l2", "fpgm", "random"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["scaled", "long"] and list(ax.get_xticks()) == [1, 3]
    assert ax.get_xlabel() == "planted world; difficulty within each, left to right: 0, 0.6"
    assert ax.get_title() == "redundancy: 3 seeds in each cell"
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for row in wanted for value in row]


def test_cells_that_are_missing_are_grey(ax: Axes) -> None:
    rows = table()
    rows = rows[~((rows["method"] == "fpgm") & (rows["world"] == "long") & (rows["difficulty"] == 0.6))]
    truth.scores(rows, "redundancy", ax)
    assert np.argwhere(np.isnan(shown(ax))).tolist() == [[1, 3]]


def test_worlds_may_have_difficulties_of_their_own(ax: Axes) -> None:
    rows = table()
    truth.scores(rows[(rows["world"] != "long") | (rows["difficulty"] == 0.6)], "redundancy", ax)
    assert shown(ax).shape == (3, 3) and ax.get_xlabel() == "planted world; difficulty grows from left to right"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("rows", None, TypeError), ("rows", [(1, 2)], TypeError), ("rows", table().drop(columns="mean"), ValueError),
        ("rows", table()[:0], ValueError), ("rows", pd.concat([table(), table()[:1]]), ValueError), ("question", None, TypeError),
        ("question", "decoding", ValueError), ("question", "redundant", ValueError),
    ],
)  # fmt: skip
def test_bad_input(ax: Axes, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        truth.scores(**{"rows": table(), "question": "redundancy", name: value}, ax=ax)
