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


def test_curves_are_the_means_with_bands_of_the_lens_its_best_rival_and_chance(ax: Axes) -> None:
    rows = table()  # means of "scaled" at 0 and 0.6: l2 0 and 0.12, fpgm 0.1 and 0.22, random 0.2 and 0.32
    rows = pd.concat([rows, rows[rows["method"] == "l2"].assign(method="weak", mean=lambda some: some["mean"] - 0.05)])
    assert truth.curves(rows, "scaled", ax, lens="l2") is ax
    drawn = {line.get_label(): line for line in ax.lines}
    assert [name for name in drawn if not name.startswith("_")] == ["random", "fpgm", "l2"] and len(drawn) == 4
    for name, wanted in {"l2": [0, 0.12], "fpgm": [0.1, 0.22], "random": [0.2, 0.32]}.items():
        np.testing.assert_allclose(drawn[name].get_xydata(), np.array([[0, 0.6], wanted]).T, atol=1e-12)
    bands = [band.get_paths()[0].vertices for band in ax.collections]
    assert len(bands) == 3 and {round(float(np.ptp(band[band[:, 0] == 0.6, 1])), 6) for band in bands} == {0.02}
    assert ax.get_title() == "scaled" and [text.get_text() for text in ax.get_legend().get_texts()] == ["random", "fpgm", "l2"]


def test_a_question_has_a_panel_for_each_world_and_its_table() -> None:
    figure = truth.question(table(), "redundancy", lens="l2")
    above, below = figure.subfigs
    assert [ax.get_title() for ax in above.axes] == ["scaled", "long"] and [ax.get_ylabel() for ax in above.axes] == ["mean score", ""]
    assert {"l2", "random", "fpgm"} == {text.get_text() for text in above.axes[1].get_legend().get_texts()}
    np.testing.assert_allclose(shown(below.axes[0])[0], [0, 0.12, 0.05, 0.17], atol=1e-12)
    figure.canvas.draw()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("rows", None, TypeError), ("rows", table().drop(columns="std"), ValueError), ("rows", pd.concat([table(), table()[:1]]), ValueError),
        ("world", "longer", ValueError), ("world", 3, TypeError), ("lens", "l3", ValueError), ("lens", None, TypeError),
        ("chance", "l2", ValueError),
    ],
)  # fmt: skip
def test_bad_input_of_curves(ax: Axes, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        truth.curves(**{"rows": table(), "world": "scaled", "lens": "l2", name: value}, ax=ax)
    if name != "world":
        with pytest.raises(error, match=f"^{name}"):
            truth.question(**{"rows": table(), "question": "redundancy", "lens": "l2", name: value})


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
