"""What each attack can be told, what it does untold, and which values make sense."""

from __future__ import annotations

from collections.abc import Callable

from ... import checks

Setting = tuple[object, Callable[[str, object], object]]


def _positive(high: float | None = None) -> Callable[[str, object], float]:
    def check(name: str, value: object) -> float:
        found = checks.real(name, value, 0.0, high)
        if found == 0:
            raise ValueError(f"{name}: got {value}, expected a number above 0")
        return found

    return check


def _real(low: float | None = None, high: float | None = None) -> Callable[[str, object], float]:
    return lambda name, value: checks.real(name, value, low, high)


def _integer(low: int) -> Callable[[str, object], int]:
    return lambda name, value: checks.integer(name, value, low)


def _or_none(check: Callable[[str, object], object]) -> Callable[[str, object], object]:
    return lambda name, value: None if value is None else check(name, value)


def flag(name: str, value: object) -> bool:
    """True or False and nothing else."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected True or False")
    return value


SETTINGS: dict[str, dict[str, Setting]] = {
    "fgsm": {"eps": (0.031, _positive(1.0))},
    "pgd": {
        "eps": (0.031, _positive(1.0)),
        "steps": (7, _integer(1)),
        "step": (None, _or_none(_positive(1.0))),
        "random_start": (False, flag),
    },
    "cw": {
        "iterations": (100, _integer(1)),
        "search_steps": (5, _integer(1)),
        "kappa": (0.0, _real(0.0)),
        "lr": (0.01, _positive()),
        "initial_c": (0.01, _positive()),
    },
    "one_pixel": {"population": (100, _integer(5)), "generations": (30, _integer(1)), "pixels": (1, _integer(1))},
    "local_search": {
        "p": (10.0, _positive()),
        "r": (1.5, _real(0.0, 2.0)),
        "d": (5, _integer(1)),
        "t": (5, _integer(1)),
        "R": (150, _integer(1)),
        "k": (1, _integer(1)),
        "exclude": (30, _integer(0)),
        "adapt": (True, flag),
        "candidates": (None, _or_none(_integer(1))),
    },
}


def complete(method: str, given: dict[str, object]) -> dict[str, object]:
    """The settings of a method: those given, checked, and the defaults for the rest; an unknown name is a TypeError."""
    known = SETTINGS[method]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: unknown settings of {method!r}, expected some of {list(known)}")
    found = {name: check(name, given[name]) if name in given else default for name, (default, check) in known.items()}
    if method == "pgd" and found["step"] is None:
        found["step"] = found["eps"] / 4
    return found
