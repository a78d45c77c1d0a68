"""Planted worlds given wrong arguments answer with an error that names them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from filterlens.lenses.filter_ranking import FilterRanking
from filterlens.synthesis import truth

torch.set_num_threads(1)
NAN, TWO = float("nan"), torch.rand(2)
ROW = truth.TruthRow("redundancy", "scaled", "l1", 0.3, 0, 0.5)


def unused(given: Any) -> None:
    raise AssertionError("work began before the arguments were checked")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> truth.World:
    return truth.build(request.param, 0.5, 0)


@pytest.mark.bad_input
@pytest.mark.parametrize("plant", [f for of in truth.WORLDS.values() for f in of.values()], ids=truth.worlds())
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("difficulty", None, TypeError), ("difficulty", "0.5", TypeError), ("difficulty", True, TypeError), ("difficulty", NAN, ValueError),
        ("difficulty", -0.1, ValueError), ("difficulty", 1.1, ValueError), ("seed", None, TypeError), ("seed", 1.0, TypeError),
        ("seed", True, TypeError), ("seed", -1, ValueError),
    ],
)  # fmt: skip
def test_worlds(plant: Any, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        plant(**{"difficulty": 0.5, "seed": 0, name: value})


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("world", None, TypeError), ("world", 3, TypeError), ("world", "mixture", ValueError), ("world", "redundancy", ValueError),
        ("difficulty", "easy", TypeError), ("difficulty", 2, ValueError), ("seed", 0.5, TypeError), ("seed", -3, ValueError),
    ],
)  # fmt: skip
def test_build(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        truth.build(**{"world": "scaled", "difficulty": 0.5, "seed": 0, name: value})


@pytest.mark.bad_input
@pytest.mark.parametrize("function", [truth.worlds, truth.methods])
@pytest.mark.parametrize(("value", "error"), [(3, TypeError), (["gates"], TypeError), ("gate", ValueError), ("mixtures", ValueError)])
def test_questions(function: Any, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^question"):
        function(value)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("question", None, TypeError), ("question", "decode", ValueError), ("name", None, TypeError), ("name", 3, TypeError),
        ("name", "", ValueError), ("name", "l1", ValueError), ("method", None, TypeError), ("method", "l1", TypeError),
    ],
)  # fmt: skip
def test_add(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        truth.add(**{"question": "redundancy", "name": "mine", "method": unused, name: value})
    assert "mine" not in truth.methods("redundancy")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("question", 1, TypeError),
        ("question", "all", ValueError),
        ("name", None, TypeError),
        ("name", "l1", ValueError),
        ("name", "mine", ValueError),
    ],
)
def test_remove(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        truth.remove(**{"question": "redundancy", "name": "unknown", name: value})


@pytest.mark.bad_input
@pytest.mark.parametrize("value", [None, "scaled", {"truth": TWO}, TWO])
def test_score_of_no_world(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^world"):
        truth.score(value, torch.rand(48))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("world", "answer", "error"),
    [
        *(("scaled", value, error) for value, error in [
            (None, TypeError), ([0.0] * 48, TypeError), (torch.rand(47), ValueError), (torch.rand(48, 1), ValueError),
            (torch.full((48,), NAN), ValueError), (torch.arange(48), TypeError), (FilterRanking("mine", TWO, torch.arange(47)), ValueError),
        ]),
        *(("blocks", value, error) for value, error in [
            (None, TypeError), (torch.rand(5, 4), TypeError), (torch.arange(20).reshape(4, 5), ValueError), (torch.arange(4), ValueError),
            (torch.arange(15).reshape(5, 3), ValueError), (torch.zeros(5, 4, dtype=torch.int64), ValueError),
            (torch.arange(21, 41).reshape(5, 4), ValueError), (torch.arange(-1, 19).reshape(5, 4), ValueError),
        ]),
        *(("flags", value, error) for value, error in [
            (None, TypeError), (torch.rand(5, 3, 10, 8), ValueError), (torch.rand(3, 8, 10), ValueError),
            (torch.rand(4, 3, 8, 10), ValueError),
            (torch.full((5, 3, 8, 10), NAN), ValueError), (torch.zeros(5, 3, 8, 10, dtype=torch.int64), TypeError),
        ]),
        *(("patches", value, error) for value, error in [
            (None, TypeError), (torch.rand(31, 24), ValueError), (torch.rand(1, 24, 31), ValueError),
            (torch.full((24, 31), NAN), ValueError),
            (torch.ones(24, 31, dtype=torch.bool), TypeError),
        ]),
        *(("overlap", value, error) for value, error in [
            (None, TypeError), (torch.zeros(22), TypeError), (torch.zeros(21, dtype=torch.int64), ValueError),
            (torch.full((22,), 4), ValueError), (torch.full((22,), -1), ValueError), (torch.zeros(22, 1, dtype=torch.int64), ValueError),
        ]),
    ],
    indirect=["world"],
)  # fmt: skip
def test_score(world: truth.World, answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^answer"):
        truth.score(world, answer)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("worlds", "scaled", TypeError), ("worlds", 3, TypeError), ("worlds", [], ValueError), ("worlds", ["scale"], ValueError),
        ("worlds", ["scaled", "scaled"], ValueError), ("worlds", [None], TypeError), ("methods", "l1", TypeError),
        ("methods", [], ValueError),
        ("methods", ["l3"], ValueError), ("methods", ["nearest"], ValueError), ("methods", ["l1", "l1"], ValueError),
        ("methods", [1], TypeError),
        ("difficulties", 0.5, TypeError), ("difficulties", [], ValueError), ("difficulties", [2.0], ValueError),
        ("difficulties", ["hard"], TypeError), ("difficulties", [0.5, 0.5], ValueError), ("difficulties", [NAN], ValueError),
        ("seeds", 3, TypeError), ("seeds", [], ValueError), ("seeds", [-1], ValueError), ("seeds", [0.0], TypeError),
        ("seeds", [1, 1], ValueError),
        ("done", None, TypeError), ("done", "rows", TypeError), ("done", [tuple(ROW)], TypeError), ("done", [ROW._asdict()], TypeError),
        ("on_row", "print", TypeError), ("progress", 1, TypeError), ("progress", None, TypeError),
    ],
)  # fmt: skip
def test_measure(name: str, value: Any, error: type[Exception]) -> None:
    truth.add("redundancy", "mine", unused)
    try:
        with pytest.raises(error, match=f"^{name}"):
            truth.measure(**{"worlds": ["scaled"], "methods": ["mine"], "difficulties": [0.5], "seeds": [0], name: value})
    finally:
        truth.remove("redundancy", "mine")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("value", "error"),
    [(None, TypeError), ("rows", TypeError), (3, TypeError), ([], ValueError), ([tuple(ROW)], TypeError), ([None], TypeError)],
)
def test_table(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^rows"):
        truth.table(value)
