"""Who answers: every method of the library, by question and name, and the readers' own.

A method is a function of a world's ``given`` alone, so that none can look at the truth; what it answers stands in ``world`` beside each
kind of ``given``. ``from_weights`` and ``from_features`` are the library's; ``add`` is all that a new method needs.
"""

from __future__ import annotations

from ... import checks
from .from_features import GATES, INFLUENCE
from .from_weights import DECODING, ISOLATION, REDUNDANCY
from .world import QUESTIONS, Method

METHODS: dict[str, dict[str, Method]] = dict(zip(QUESTIONS, (REDUNDANCY, INFLUENCE, DECODING, ISOLATION, GATES), strict=True))
_ADDED: dict[str, dict[str, Method]] = {question: {} for question in QUESTIONS}


def add(question: str, name: str, method: Method) -> Method:
    """Let a new method take part: ``method(given) -> answer``, see ``Layer``, ``Features``, ``Units`` and ``Seen``. Gives it back.

    Rank filters by their distance to the nearest other one, and see how that does on two worlds:

    >>> import torch
    >>> from filterlens.synthesis import truth
    >>> def nearest(given):
    ...     rows = given.weight.flatten(1)
    ...     return -torch.cdist(rows, rows).fill_diagonal_(torch.inf).amin(1)
    >>> _ = truth.add("redundancy", "nearest", nearest)
    >>> rows = truth.measure(["scaled", "long"], ["nearest", "l2"], difficulties=[0.0], seeds=range(3))
    >>> [round(cell.mean, 2) for cell in truth.table(rows) if cell.method == "nearest"]
    [1.0, 0.9]
    >>> truth.remove("redundancy", "nearest")

    A method of one's own of that name is replaced; the library's names are taken. torch's global random numbers start from the
    world's seed at every call. Raises TypeError or ValueError naming the argument.
    """
    checks.choice("question", question, QUESTIONS)
    if not isinstance(name, str):
        raise TypeError(f"name: got {checks.describe(name)}, expected a name for the method")
    if not name or name in METHODS[question]:
        raise ValueError(f"name: got {name!r}, expected a name other than those of the library's methods, {list(METHODS[question])}")
    if not callable(method):
        raise TypeError(f"method: got {checks.describe(method)}, expected a function of what a world gives")
    _ADDED[question][name] = method
    return method


def remove(question: str, name: str) -> None:
    """Forget a method that ``add`` added. Raises TypeError or ValueError naming the argument."""
    checks.choice("question", question, QUESTIONS)
    del _ADDED[question][checks.choice("name", name, _ADDED[question])]


def methods(question: str) -> dict[str, Method]:
    """Every method that answers a question, by name: the library's, then those added. Raises TypeError or ValueError naming question."""
    checks.choice("question", question, QUESTIONS)
    return {**METHODS[question], **_ADDED[question]}
