"""What the benchmark's table says in words: where a method is among the best, and where it does no better than chance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from ... import checks
from .measuring import TruthCell
from .world import QUESTIONS

LENSES = {"redundancy": "positional", "influence": "count", "decoding": "nearest", "isolation": "isolation", "gates": "gates"}
CHANCE = "random"  # the method of every question that looks at nothing
STEPS = 2.0  # standard errors that a difference needs to count


class Verdict(NamedTuple):
    """One method over all worlds and difficulties of its question, ``cells`` of them.

    lens: whether it is the one that the question's lens stands for. best: cells in which no method is better; leads: worlds in which its
    mean over the difficulties is the highest. chance: (world, difficulty) in which it is not better than ``random``.
    A difference counts from two standard errors on, those of two independent means; as all methods see the same worlds, that is strict.
    """

    question: str
    method: str
    lens: bool
    cells: int
    best: int
    leads: tuple[str, ...]
    chance: tuple[tuple[str, float], ...]


def verdicts(cells: Iterable[TruthCell]) -> list[Verdict]:
    """A verdict for every method but ``random``: by question, those among the best in the largest share of their cells first.

    cells: as ``table`` gives them, of two seeds at least, ``random`` among the methods of every world and difficulty.
    Raises TypeError or ValueError naming cells.
    """
    of_place: dict[tuple[str, str, float], dict[str, TruthCell]] = {}
    for cell in _checked(cells):
        of_place.setdefault((cell.question, cell.world, cell.difficulty), {})[cell.method] = cell
    for (_, world, level), methods in of_place.items():
        if CHANCE not in methods:
            raise ValueError(f"cells: got {world!r} at {level:g} without {CHANCE!r}, expected it among the methods, to know what chance is")
    leaders = _leaders(of_place)
    found = []
    for question in QUESTIONS:
        places = {place: methods for place, methods in of_place.items() if place[0] == question}
        names = dict.fromkeys(name for methods in places.values() for name in methods if name != CHANCE)
        found += sorted((_verdict(question, name, places, leaders) for name in names), key=lambda one: -one.best / one.cells)
    return found


def _verdict(question: str, name: str, places: dict, leaders: dict[str, str]) -> Verdict:
    own = {place: methods for place, methods in places.items() if name in methods}
    best = sum(not any(better(other, methods[name]) for other in methods.values()) for methods in own.values())
    chance = tuple((world, level) for (_, world, level), methods in own.items() if not better(methods[name], methods[CHANCE]))
    leads = tuple(world for world, leader in leaders.items() if leader == name and any(place[1] == world for place in own))
    return Verdict(question, name, LENSES[question] == name, len(own), best, leads, chance)


def better(one: TruthCell, other: TruthCell) -> bool:
    """Whether one mean is above another by two standard errors of their difference, or at all where neither varies."""
    error = math.sqrt(one.std**2 / one.n + other.std**2 / other.n)
    return one.mean - other.mean > STEPS * error


def _leaders(of_place: dict) -> dict[str, str]:
    """By world the method whose scores sum to most, of equal ones the first."""
    sums: dict[str, dict[str, float]] = {}
    for (_, world, _), methods in of_place.items():
        of_world = sums.setdefault(world, {})
        for name, cell in methods.items():
            of_world[name] = of_world.get(name, 0.0) + cell.mean
    return {world: max(of_world, key=of_world.__getitem__) for world, of_world in sums.items()}


def _checked(cells: object) -> list[TruthCell]:
    if isinstance(cells, str) or not isinstance(cells, Iterable):
        raise TypeError(f"cells: got {checks.describe(cells)}, expected cells that table gave")
    found = list(cells)
    for cell in found:
        if not isinstance(cell, TruthCell):
            raise TypeError(f"cells: got {checks.describe(cell)} among them, expected TruthCells")
        if math.isnan(cell.std):
            raise ValueError(f"cells: got {cell.method!r} in {cell.world!r} over {cell.n} seed, expected two at least, to know the spread")
    if not found:
        raise ValueError("cells: got none, expected cells that table gave")
    return found


def as_row(verdict: Verdict) -> dict[str, str]:
    """A verdict as a row of a table, in words. Raises TypeError naming verdict."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"verdict: got {checks.describe(verdict)}, expected a Verdict")
    levels: dict[str, list[str]] = {}
    for world, level in verdict.chance:
        levels.setdefault(world, []).append(f"{level:g}")
    return {
        "method": verdict.method,
        "among the best in": f"{verdict.best} of {verdict.cells}",
        "leads in": ", ".join(verdict.leads),
        "no better than chance in": "; ".join(f"{world} ({', '.join(some)})" for world, some in levels.items()),
    }


def in_words(verdict: Verdict) -> str:
    """A verdict as a sentence. Raises TypeError naming verdict."""
    row = as_row(verdict)
    lost = row["no better than chance in"]
    return f"{row['method']}: among the best in {row['among the best in']} cells" + (f"; no better than chance in {lost}" if lost else "")
