"""The figures show the numbers of their result where they belong, and say what is shown and what is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from toy_agreement import layer

from filterlens.figures import agreement as figures
from filterlens.synthesis import agreement

X = np.arange(20.0)
WAVE = np.sin(7 * X)


def result() -> agreement.Agreement:
    one = layer(l1=X, loss_rise=X + 6 * WAVE, votes=3 * WAVE - X, isolation=WAVE, accuracy_drop=np.ones(20))
    return agreement.agree([one], names=["l1", "loss_rise", "accuracy_drop", "votes", "isolation"])


def test_every_score_has_words() -> None:
    assert list(figures.WORDS) == list(agreement.SCORES) and len({*figures.WORDS.values()}) == len(figures.WORDS)


def test_matrix_shows_rho_below_and_intervals_above_the_diagonal(ax: Axes) -> None:
    found = result()
    assert figures.agreement_matrix(found, ax, title="toy") is ax
    names = list(found.names)
    mesh = next(part for part in ax.collections if part.get_array() is not None)
    shown = np.ma.filled(mesh.get_array(), math.nan).reshape(5, 5)
    texts = {text.get_position(): text for text in ax.texts}
    for pair in found.pairs:
        i, j = sorted((names.index(pair.a), names.index(pair.b)))
        assert [shown[i, j], shown[j, i]] == pytest.approx([pair.rho, pair.rho], nan_ok=True)
        places = (i + 0.5, j + 0.5), (j + 0.5, i + 0.5)
        if pair.verdict == "not measured":
            assert not any(place in texts for place in places)
            continue
        assert [texts[place].get_text() for place in places] == [f"{pair.rho:.2f}", f"{pair.low:.2f}\n{pair.high:.2f}"]
        assert {texts[place].get_fontweight() for place in places} == {"normal" if pair.verdict == "not shown" else "bold"}
    assert np.isnan(np.diag(shown)).all()
    framed = {(round(patch.get_x()), round(patch.get_y())) for patch in ax.patches if isinstance(patch, Rectangle)}
    against = {tuple(sorted((names.index(p.a), names.index(p.b)))) for p in found.pairs if p.verdict == "opposite"}
    assert against and framed == against | {(j, i) for i, j in against}
    assert [label.get_text() for label in ax.get_yticklabels()] == [figures.WORDS[name] for name in names]
    assert ax.get_title().startswith("toy: 20 filters of 1 layer\nbold: corrected p ≤ 0.05; above the diagonal 95 % intervals")


def test_layers_from_top_to_bottom(ax: Axes) -> None:
    given = [layer(name="p", l1=X, class_entropy=-X + 6 * WAVE), layer(name="q", l1=X, class_entropy=WAVE), layer(name="r", l1=X, class_entropy=0 * X)]
    pairs = agreement.by_layer(given, "l1", "class_entropy")
    figures.layers(pairs, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["net p (20)", "net q (20)", "net r (0)"] and ax.yaxis_inverted()
    points = {float(line.get_ydata()[0]): line for line in ax.lines if line.get_marker() == "o"}
    assert {y: float(line.get_xdata()[0]) for y, line in points.items()} == pytest.approx({0: pairs[0].rho, 1: pairs[1].rho})
    assert to_hex(points[0].get_markerfacecolor()) == figures.COLOURS["agree"] and to_hex(points[1].get_markerfacecolor()) == "#ffffff"
    bars = [line.get_xdata() for line in ax.lines if line.get_marker() == "None" and len(set(line.get_ydata())) == 1]
    np.testing.assert_allclose(bars, [(pair.low, pair.high) for pair in pairs[:2]])
    assert [float(line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "x"] == [2] and "left of 0" in ax.get_title()


def test_networks_are_rows(ax: Axes) -> None:
    given = [layer(model="m", l1=X, loss_rise=X + 6 * WAVE, votes=-X), layer(model="k", l1=WAVE, loss_rise=X)]
    pairs = agreement.by_network(given, "loss_rise", ["votes", "l1"])
    assert figures.networks(pairs, ax) is ax
    mesh = next(part for part in ax.collections if part.get_array() is not None)
    shown = np.ma.filled(mesh.get_array(), math.nan).reshape(2, 2)
    np.testing.assert_allclose(shown, [[pairs[0].rho, pairs[1].rho], [math.nan, pairs[3].rho]])
    texts = {text.get_position(): (text.get_text(), text.get_fontweight()) for text in ax.texts}
    assert texts == {
        (0.5, 0.5): (f"{pairs[0].rho:.2f}", "bold"), (1.5, 0.5): (f"{pairs[1].rho:.2f}", "bold"), (1.5, 1.5): (f"{pairs[3].rho:.2f}", "normal")
    }  # fmt: skip
    assert [(round(patch.get_x()), round(patch.get_y())) for patch in ax.patches if isinstance(patch, Rectangle)] == [(0, 0)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["m", "k"] and "loss without filter" in ax.get_title()
    assert [label.get_text() for label in ax.get_xticklabels()] == [figures.WORDS["votes"], figures.WORDS["l1"]]


PAIRS = agreement.by_layer([layer(l1=X, l2=WAVE)], "l1", "l2")
CASES: list[tuple[Callable, str, Any, type[Exception]]] = [
    *[(figures.agreement_matrix, "result", value, TypeError) for value in (None, PAIRS, {"l1": 1})],
    (figures.agreement_matrix, "title", 3, TypeError),
    *[(function, "pairs", value, TypeError) for function in (figures.layers, figures.networks) for value in (None, "l1", PAIRS[0], [3])],
    *[(function, "pairs", [], ValueError) for function in (figures.layers, figures.networks)],
    (figures.networks, "pairs", [*PAIRS, *agreement.by_layer([layer(l2=X, votes=WAVE)], "l2", "votes")], ValueError),
    (figures.layers, "pairs", [*PAIRS, *agreement.by_layer([layer(l1=X, votes=WAVE)], "l1", "votes")], ValueError),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("function", "name", "value", "error"), CASES)
def test_bad_input(ax: Axes, function: Callable, name: str, value: Any, error: type[Exception]) -> None:
    given = {"result": result()} if function is figures.agreement_matrix else {}
    with pytest.raises(error, match=f"^{name}"):
        function(**given | {name: value}, ax=ax)
