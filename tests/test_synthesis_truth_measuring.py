"""Methods on planted worlds: rows are what the methods score, new methods take part, an interrupted measurement goes on."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import Tensor

from filterlens.lenses import ranking
from filterlens.synthesis import truth
from filterlens.synthesis.truth import answering

torch.set_num_threads(1)
QUICK = {"worlds": ["scaled", "paths"], "methods": ["l1", "largest cosine", "nearest", "random"], "difficulties": [0.0, 0.6]}


@pytest.fixture
def mine():
    """Names added in a test are forgotten after it."""
    yield
    for question in truth.QUESTIONS:
        for name in set(truth.methods(question)) - set(truth.METHODS[question]):
            truth.remove(question, name)


def mean(world: str, method: str, level: float, seeds: range = range(2)) -> float:
    (cell,) = truth.table(truth.measure([world], [method], [level], seeds))
    return cell.mean


def test_rows_are_what_each_method_scores_on_each_world() -> None:
    rows = truth.measure(**QUICK, seeds=[5, 2])
    wanted = (("redundancy", "scaled", ["l1", "random", "largest cosine"]), ("decoding", "paths", ["nearest", "random"]))
    keys = [
        (question, world, method, level, seed)
        for question, world, methods in wanted for level in (0.0, 0.6) for seed in (5, 2) for method in methods
    ]  # fmt: skip
    assert [row[:5] for row in rows] == keys
    world = truth.scaled(0.6, 2)
    l1, lot = (truth.score(world, ranking.rank(world.given.weight, method, seed=2)) for method in ("l1", "random"))
    found = {row.method: row.score for row in rows if row.world == "scaled" and (row.difficulty, row.seed) == (0.6, 2)}
    assert found["l1"] == l1 and found["random"] == lot and found["largest cosine"] == 1


@pytest.mark.parametrize("world", ["noisy", "shared", "flags", "shapes", "overlap"])
def test_every_method_of_a_question_answers(world: str) -> None:
    question = next(question for question, of in truth.WORLDS.items() if world in of)
    rows = truth.measure([world], None, [0.0], [0])
    assert [row.method for row in rows] == list(truth.methods(question)) == list(truth.METHODS[question])
    best = max(row.score for row in rows)
    (chance,) = (row.score for row in rows if row.method == "random")
    assert all(-1 <= row.score <= 1 for row in rows) and best > 0.85 and chance < best - 0.2


def test_the_library_is_scored_as_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = answering.METHODS["redundancy"]["positional"]
    monkeypatch.setitem(answering.METHODS["redundancy"], "positional", lambda given: asked.append(given) or real(given))
    truth.measure(["mixtures"], ["positional"], [0.0], [4])
    (given,) = asked
    assert vars(given).keys() == {"weight", "n_redundant", "seed"} and given.seed == 4  # no truth among it


def test_planted_worlds_tell_methods_apart_as_their_docstrings_say() -> None:
    assert mean("mixtures", "hull of the others", 1.0) == 1.0 > mean("mixtures", "l2", 1.0)
    assert mean("mixtures", "positional, told d", 0.0) > 0.95
    assert mean("long", "l1", 1.0) < 0.3 and mean("long", "hull of the others", 1.0) == 1.0
    assert mean("bystanders", "fpgm", 0.0, range(8)) > mean("bystanders", "fpgm", 1.0, range(8)) + 0.1
    assert mean("loud", "count", 0.0) == 1.0 and mean("loud", "count", 1.0) < 0.1 and mean("loud", "weight", 1.0) > 0.7
    assert mean("shared", "count", 1.0) > 0.9 and mean("shared", "weight", 1.0) < 0.5
    assert mean("paths", "nearest, sum", 0.0) > 0.999 and mean("paths", "nearest", 0.0) < 0.9
    assert mean("rectified", "nearest", 0.0) > 0.9 and abs(mean("rectified", "nearest", 1.0)) < 0.5
    assert mean("patches", "map", 0.0) > 0.9 and mean("patches", "image", 0.0) < 0.3
    assert mean("outliers", "class mean", 1.0) < 0.5 < mean("outliers", "votes", 1.0)
    assert mean("unequal", "votes", 0.0) > mean("unequal", "votes", 1.0) + 0.1 and mean("unequal", "class mean", 1.0) == 1.0
    assert mean("overlap", "gates", 0.0) == 1.0


def test_a_new_method_takes_part_with_one_function(mine: None) -> None:
    def told(given: truth.Layer) -> Tensor:
        return -given.weight.flatten(1).norm(dim=1)

    assert truth.add("redundancy", "mine", told) is told and truth.methods("redundancy")["mine"] is told
    a, b = truth.measure(["mixtures"], ["mine", "l2"], [0.3], [0])
    assert (a.method, b.method) == ("l2", "mine") and a.score == pytest.approx(b.score)
    assert [row.method for row in truth.measure(["scaled"], ["mine"], [0.3], [0])] == ["mine"]
    truth.add("redundancy", "mine", lambda given: -told(given))  # one's own is replaced
    (turned,) = truth.measure(["mixtures"], ["mine"], [0.3], [0])
    assert turned.score == pytest.approx(1 - a.score)
    assert "mine" not in truth.methods("influence") and "mine" not in truth.METHODS["redundancy"]
    truth.remove("redundancy", "mine")
    with pytest.raises(ValueError, match="methods"):
        truth.measure(["mixtures"], ["mine"], [0.3], [0])


def test_the_example_of_add_works() -> None:
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    (example,) = finder.find(truth.add, "add", globs={})
    assert runner.run(example).failed == 0 and runner.tries == 7
    assert "nearest" not in truth.methods("redundancy")


def test_random_numbers_of_a_method_are_the_worlds_own(mine: None) -> None:
    truth.add("redundancy", "drawn", lambda given: torch.rand(len(given.weight)))
    before = torch.get_rng_state()
    alone = truth.measure(["scaled"], ["drawn"], [0.3], [1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert truth.measure(["scaled"], ["random", "drawn"], [0.3], [0, 1])[-1:] == alone


def test_a_wrong_answer_is_told_with_method_and_world(mine: None) -> None:
    truth.add("redundancy", "short", lambda given: torch.rand(47))
    with pytest.raises(ValueError, match=r"methods: 'short' in the world 'scaled': answer: got .*\(47,\), expected k = 48"):
        truth.measure(["scaled"], ["short"], [0.3], [1])


def test_a_method_that_changes_its_world_is_told(mine: None) -> None:
    truth.add("redundancy", "careless", lambda given: given.weight.mul_(2).flatten(1).norm(dim=1))
    with pytest.raises(ValueError, match="methods: 'careless' changed what the world 'scaled' gave it"):
        truth.measure(["scaled"], ["careless", "random"], [0.3], [1])


def test_an_interrupted_measurement_goes_on() -> None:
    whole = truth.measure(**QUICK, seeds=range(3))
    kept: list[truth.TruthRow] = []

    def stop_after(n: int):
        def on_row(row: truth.TruthRow) -> None:
            kept.append(row)
            if len(kept) == n:
                raise KeyboardInterrupt

        return on_row

    for n in (4, 11):
        with pytest.raises(KeyboardInterrupt):
            truth.measure(**QUICK, seeds=range(3), done=list(kept), on_row=stop_after(n))
    fresh: list[truth.TruthRow] = []
    assert truth.measure(**QUICK, seeds=range(3), done=kept, on_row=fresh.append) == whole
    assert len(kept) == 11 and kept + fresh == whole
    assert truth.measure(**QUICK, seeds=[1], done=[row._replace(score=9.0) for row in whole])[0].score == 9  # taken as they are


def test_the_table_has_mean_and_spread_over_seeds() -> None:
    rows = [truth.TruthRow("redundancy", "scaled", "l1", 0.3, seed, score) for seed, score in enumerate((0.2, 0.5, 0.8))]
    rows.insert(1, truth.TruthRow("redundancy", "scaled", "l2", 0.3, 0, 0.4))
    first, second = truth.table(rows)
    assert first[:4] == ("redundancy", "scaled", "l1", 0.3) and first[4:] == pytest.approx((0.5, 0.3, 3))
    assert second[:5] == ("redundancy", "scaled", "l2", 0.3, pytest.approx(0.4)) and math.isnan(second.std) and second.n == 1
