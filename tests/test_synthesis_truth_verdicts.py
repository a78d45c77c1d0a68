"""What the table of the benchmark says in words is counted from its cells, written slowly here."""

from __future__ import annotations

import math
from typing import Any

import pytest

from filterlens.synthesis import truth
from filterlens.synthesis.truth import TruthCell


def cells(**scores: dict[str, list[tuple[float, float]]]) -> list[TruthCell]:
    """world -> method -> (mean, std) at the difficulties 0 and 0.5, over 4 seeds; all of them about redundancy."""
    return [
        TruthCell("redundancy", world, method, level, mean, std, 4)
        for world, methods in scores.items() for method, some in methods.items() for level, (mean, std) in zip((0.0, 0.5), some, strict=False)
    ]  # fmt: skip


TABLE = cells(
    easy={"l2": [(1.0, 0.0), (0.9, 0.1)], "positional": [(1.0, 0.0), (0.78, 0.06)], "random": [(0.5, 0.1), (0.5, 0.1)]},
    hard={"l2": [(0.7, 0.2), (0.6, 0.2)], "positional": [(0.85, 0.1), (0.4, 0.1)], "random": [(0.5, 0.02), (0.5, 0.1)], "cosine": [(0.86, 0.1)]},
)


def found(name: str, table: list[TruthCell] = TABLE) -> truth.Verdict:
    return next(one for one in truth.verdicts(table) if one.method == name)


def test_a_difference_counts_from_two_standard_errors_on() -> None:
    # easy at 0.5: 0.12 against 2 sqrt(0.1^2 / 4 + 0.06^2 / 4) = 0.117
    assert 0.12 > 2 * math.sqrt(0.1**2 / 4 + 0.06**2 / 4) > 0.11
    positional, l2 = found("positional"), found("l2")
    assert (positional.cells, positional.best) == (4, 3), "behind in easy at 0.5, but 0.2 in hard is within two of 0.11"
    assert l2.best == 4, "0.16 in hard at 0 is, too"
    again = [cell._replace(std=0.07) if (cell.world, cell.method, cell.difficulty) == ("easy", "positional", 0.5) else cell for cell in TABLE]
    assert found("positional", again).best == 4


def test_where_a_method_is_no_better_than_chance_and_where_it_leads() -> None:
    positional, l2, cosine = found("positional"), found("l2"), found("cosine")
    assert positional.chance == (("hard", 0.5),) and l2.chance == (("hard", 0.0), ("hard", 0.5)) and cosine.chance == ()
    assert l2.leads == ("easy", "hard"), "0.7 + 0.6 is more than 0.85 + 0.4"
    assert positional.leads == () and (cosine.cells, cosine.best) == (1, 1)
    assert truth.in_words(l2) == "l2: among the best in 4 of 4 cells; no better than chance in hard (0, 0.5)"
    assert truth.as_row(l2) == {
        "method": "l2", "among the best in": "4 of 4", "leads in": "easy, hard", "no better than chance in": "hard (0, 0.5)"
    }  # fmt: skip
    assert truth.in_words(cosine) == "cosine: among the best in 1 of 1 cells"


def test_order_and_which_one_is_the_lens() -> None:
    made = truth.verdicts(TABLE)
    assert [one.method for one in made] == ["l2", "cosine", "positional"] and [one.lens for one in made] == [False, False, True]
    assert all(truth.LENSES[question] in truth.METHODS[question] and "random" in truth.METHODS[question] for question in truth.QUESTIONS)
    other = [cell._replace(question="gates", world="overlap") for cell in cells(easy={"gates": [(1.0, 0.1)], "random": [(0.2, 0.1)]})]
    assert [(one.question, one.lens) for one in truth.verdicts([*other, *TABLE])][-1] == ("gates", True), "in the order of the questions"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("l2", TypeError), (None, TypeError), ([("redundancy", "easy")], TypeError), ([], ValueError),
        ([cell for cell in TABLE if cell.method != "random"], ValueError), ([TABLE[0]._replace(std=math.nan, n=1)], ValueError),
    ],
)  # fmt: skip
def test_bad_input(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="^cells: "):
        truth.verdicts(given)
    with pytest.raises(TypeError, match="^verdict: "):
        truth.in_words(given)
