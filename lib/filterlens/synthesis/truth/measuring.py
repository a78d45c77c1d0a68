"""Every method on every world of its question, at several difficulties and seeds, and the table of it.

``measure`` goes on from the rows that it is given; ``experiments.truth`` keeps the whole benchmark on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from ... import checks
from . import causes, decoding, influence, ownership, redundancy
from .answering import methods as methods_of
from .judging import score
from .world import QUESTIONS, World

DIFFICULTIES = (0.0, 0.3, 0.6, 0.9)
WORLDS: dict[str, dict[str, Callable[[float, int], World]]] = dict(
    zip(QUESTIONS, (module.WORLDS for module in (redundancy, influence, decoding, causes, ownership)), strict=True)
)


class TruthRow(NamedTuple):
    """One method's score on one planted world, see ``score``."""

    question: str
    world: str
    method: str
    difficulty: float
    seed: int
    score: float


class TruthCell(NamedTuple):
    """A method's scores on a world at one difficulty over ``n`` seeds: their mean and standard deviation (divisor n - 1; NaN for one)."""

    question: str
    world: str
    method: str
    difficulty: float
    mean: float
    std: float
    n: int


def worlds(question: str | None = None) -> list[str]:
    """The names of a question's planted worlds, or of all. Raises TypeError or ValueError naming question."""
    if question is not None:
        return list(WORLDS[checks.choice("question", question, QUESTIONS)])
    return [name for of_question in WORLDS.values() for name in of_question]


def build(world: str, difficulty: float, seed: int) -> World:
    """A planted world by name; its function's docstring says what the dial is and whom it favours.

    difficulty: in [0, 1]. The same arguments give the same world, and one seed's worlds are alike at all difficulties.
    Raises TypeError or ValueError naming the argument.
    """
    checks.choice("world", world, worlds())
    return next(of_question[world] for of_question in WORLDS.values() if world in of_question)(difficulty, seed)


def measure(
    worlds: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    difficulties: Sequence[float] = DIFFICULTIES,
    seeds: Iterable[int] = range(20),
    *,
    done: Iterable[TruthRow] = (),
    on_row: Callable[[TruthRow], None] | None = None,
    progress: bool = False,
) -> list[TruthRow]:
    """Score methods on planted worlds: rows by world, difficulty, seed, method.

    worlds, methods: names, all by default; a method takes part in the worlds whose question it answers, and each has to take part in one.
    difficulties: in [0, 1]. seeds: of the worlds; methods that draw take the same.
    on_row: called with each row as soon as it is known. done: rows of an earlier call, taken as they are.

    All of it takes less than 20 minutes on one core. Raises TypeError or ValueError naming the argument, before any work, and
    ValueError naming the method whose answer does not fit, or that changed its world in place.
    """
    plan = planned(worlds, methods)
    levels = checked_levels(difficulties)
    numbers = [checks.integer("seeds", seed, 0) for seed in _several("seeds", seeds)]
    known = _known(done)
    if on_row is not None and not callable(on_row):
        raise TypeError(f"on_row: got {checks.describe(on_row)}, expected a function of one row, or None")
    if not isinstance(progress, bool):
        raise TypeError(f"progress: got {checks.describe(progress)}, expected True or False")
    rows = []
    cells = [(name, level, seed) for name in plan for level in levels for seed in numbers]
    for name, level, seed in tqdm(cells, disable=not progress, desc="planted worlds", unit="world"):
        question, chosen = plan[name]
        world = None
        for method in chosen:
            key = (question, name, method, level, seed)
            if key not in known:
                world = world or build(name, level, seed)
                known[key] = TruthRow(*key, _scored(world, method))
                if on_row is not None:
                    on_row(known[key])
            rows.append(known[key])
    return rows


def table(rows: Iterable[TruthRow]) -> list[TruthCell]:
    """The rows' scores over seeds: a cell for each world, difficulty and method, in the rows' order.

    Raises TypeError or ValueError naming rows.
    """
    groups: dict[tuple, list[float]] = {}
    for row in _known(rows, "rows").values():
        groups.setdefault(row[:4], []).append(row.score)
    if not groups:
        raise ValueError("rows: got none, expected rows that measure gave")
    cells = []
    for key, scores in groups.items():
        values = torch.tensor(scores, dtype=torch.float64)
        spread = float(values.std()) if len(scores) > 1 else float("nan")
        cells.append(TruthCell(*key, float(values.mean()), spread, len(scores)))
    return cells


def planned(worlds_wanted: Sequence[str] | None, methods_wanted: Sequence[str] | None) -> dict[str, tuple[str, list[str]]]:
    """The chosen worlds, each with its question and the chosen methods that answer it. Raises TypeError or ValueError naming worlds or methods."""
    chosen = worlds() if worlds_wanted is None else _several("worlds", worlds_wanted)
    question_of = {name: question for question, of_question in WORLDS.items() for name in of_question}
    asked = {question_of[checks.choice("worlds", name, worlds())] for name in chosen}
    able = {question: list(methods_of(question)) for question in QUESTIONS if question in asked}
    every = list(dict.fromkeys(name for names in able.values() for name in names))
    wanted = every if methods_wanted is None else [checks.choice("methods", name, every) for name in _several("methods", methods_wanted)]
    return {name: (question_of[name], [method for method in able[question_of[name]] if method in wanted]) for name in chosen}


def checked_levels(difficulties: object) -> list[float]:
    """Difficulties in [0, 1], each once. Raises TypeError or ValueError naming difficulties."""
    return [checks.real("difficulties", level, 0, 1) for level in _several("difficulties", difficulties)]


def _scored(world: World, method: str) -> float:
    """The method's score, with torch's global random numbers started from the world's seed and then as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(world.seed)
        before = [numbers._version for numbers in world.tensors()]
        answer = methods_of(world.question)[method](world.given)
    if before != [numbers._version for numbers in world.tensors()]:
        said = f"methods: {method!r} changed what the world {world.name!r} gave it"
        raise ValueError(f"{said}, expected a function that leaves it to the others as it was")
    try:
        return score(world, answer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"methods: {method!r} in the world {world.name!r}: {error}") from error


def _several(name: str, value: object) -> list:
    """At least one thing, none twice."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected a list")
    found = list(value)
    if not found:
        raise ValueError(f"{name}: got an empty list, expected at least one")
    if any(one in found[:at] for at, one in enumerate(found)):
        raise ValueError(f"{name}: got {checks.describe(found)}, expected each once")
    return found


def _known(rows: object, name: str = "done") -> dict[tuple, TruthRow]:
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise TypeError(f"{name}: got {checks.describe(rows)}, expected rows that measure gave")
    known = {}
    for row in rows:
        if not isinstance(row, TruthRow):
            raise TypeError(f"{name}: got {checks.describe(row)}, expected TruthRows")
        known[row[:5]] = row
    return known
