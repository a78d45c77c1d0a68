"""The axes of an explorer: what can be picked, and how one choice bounds the next.

An axis has a list of options, or one list for each option of axes before it (the filters of the chosen layer). ``Axes`` says
which options a pick leaves, mends a pick whose layer has changed, and walks through all picks in a fixed order, the one in
which the page finds their states.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from filterlens import checks

Option = str | int | float | bool
CONTROLS = ("select", "slider")


@dataclass(frozen=True)
class Axis:
    """One thing to pick. ``options``: values, or a dict from an option of the axis ``by`` to values.

    ``by``: name of the earlier axis the keys belong to (a tuple of names, if the keys are tuples; none, if the only key is ``()``); found
    by itself if just one earlier axis has these options. ``label``: what to call the axis; ``labels``: what to call an option (its own
    value, unless given), or keys as in the dict of options -> what to call options there.
    ``control``: "select", or "slider" for ordered numbers; ``cell``: row and column, for axes that form a grid.
    ``when``: other axes and their options beside which this one matters; beside others its control is hidden, its value stays.
    ``marks``: keys as in the dict of options -> what is said of some of them there ("silent"); they are greyed in a list.
    """

    options: Iterable[Option] | Mapping[Any, Iterable[Option]]
    by: str | tuple[str, ...] = ()
    label: str = ""
    labels: Mapping[Option, str] | Mapping[Any, Mapping[Option, str]] = field(default_factory=dict)
    control: str = "select"
    cell: tuple[int, int] | None = None
    when: Mapping[str, Iterable[Option]] = field(default_factory=dict)
    marks: Mapping[Any, Mapping[Option, str]] = field(default_factory=dict)


class Axes:
    """Checked axes by name, in order."""

    def __init__(self, axes: object) -> None:
        if not isinstance(axes, Mapping) or not axes:
            raise TypeError(f"axes: got {checks.describe(axes)}, expected a dict of axes, name -> options")
        self.axes: dict[str, Axis] = {}
        self.by: dict[str, tuple[str, ...]] = {}
        self._lists: dict[str, dict[tuple, list[Option]]] = {}
        self._texts: dict[str, dict[str, dict[tuple, Mapping[Option, str]]]] = {}
        for name, given in axes.items():
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
                raise ValueError(f"axes: got the name {name!r}, expected a Python name that does not begin with '_'")
            axis = given if isinstance(given, Axis) else Axis(given)
            _check_words(f"axes[{name!r}]", axis)
            self._add(name, axis)
        for name, axis in self.axes.items():
            self._check_when(f"axes[{name!r}].when", axis.when)
            same = all(isinstance(text, str) for text in axis.labels.values())  # whatever the axis depends on
            labels = dict.fromkeys(self._lists[name], axis.labels) if same else self._keyed(name, "labels", axis.labels)
            self._texts[name] = {"labels": labels, "marks": self._keyed(name, "marks", axis.marks)}

    def _check_when(self, argument: str, when: object) -> None:
        if not isinstance(when, Mapping):
            raise TypeError(f"{argument}: got {checks.describe(when)}, expected a dict of axes and options")
        for other, options in when.items():
            every = self.every(self.known(other, argument))
            unknown = [option for option in _listed(f"{argument}[{other!r}]", options) if not among(option, every)]
            if unknown:
                raise ValueError(f"{argument}[{other!r}]: got {unknown[:3]}, expected some of {_some(every)}")

    def _keyed(self, name: str, kind: str, given: object) -> dict[tuple, Mapping[Option, str]]:
        """What is said of options beside those of the axes that theirs depends on, checked."""
        argument = f"axes[{name!r}].{kind}"
        if not isinstance(given, Mapping):
            raise TypeError(f"{argument}: got {checks.describe(given)}, expected a dict of dicts from options to text")
        keyed = {key if isinstance(key, tuple) else (key,): texts for key, texts in given.items()}
        for key, texts in keyed.items():
            options = self._lists[name].get(key, [])
            if not isinstance(texts, Mapping) or not all(isinstance(text, str) for text in texts.values()):
                raise TypeError(f"{argument}[{key!r}]: got {checks.describe(texts)}, expected a dict from options to text")
            if unknown := [option for option in texts if not among(option, options)]:
                raise ValueError(f"{argument}[{key!r}]: got {unknown[:3]}, expected some of {_some(options)}")
        return keyed

    def _add(self, name: str, axis: Axis) -> None:
        if isinstance(axis.options, Mapping):
            by = self._owners(name, axis)
            keys = [key if isinstance(key, tuple) else (key,) for key in axis.options]
            given = zip(keys, axis.options.values(), strict=True)
            lists = {key: _listed(f"axes[{name!r}]{list(key[-1:]) or ''}", values) for key, values in given}
            wanted = {tuple(pick[owner] for owner in by) for pick in self.picks(by)}
            if set(lists) != wanted:
                lost = sorted(map(str, wanted - set(lists))) or sorted(map(str, set(lists) - wanted))
                raise ValueError(f"axes[{name!r}]: expected options for every option of {_said(by)} and no other; look at {lost[:3]}")
        elif axis.by:
            raise ValueError(
                f"axes[{name!r}].by: got {axis.by!r} with one list of options, expected a dict with one for each of its options"
            )
        else:
            by, lists = (), {(): _listed(f"axes[{name!r}]", axis.options)}
        self.axes[name], self.by[name], self._lists[name] = axis, by, lists

    def _owners(self, name: str, axis: Axis) -> tuple[str, ...]:
        by = (axis.by,) if isinstance(axis.by, str) else tuple(axis.by)
        for owner in by:
            self.known(owner, f"axes[{name!r}].by")
        keys = list(axis.options)
        if by or keys == [()]:
            return by
        fitting = [other for other in self.axes if set(keys) == {option for values in self._lists[other].values() for option in values}]
        if len(fitting) != 1:
            found = f"{_said(fitting)} have" if fitting else "no axis before it has"
            raise ValueError(f"axes[{name!r}]: {found} the options {keys[:4]}, expected just one; name it: Axis({{...}}, by=...)")
        return tuple(fitting)

    def known(self, name: object, argument: str = "axis") -> str:
        """A name of an axis, or a ValueError that suggests one."""
        if name not in self.axes:
            near = difflib.get_close_matches(str(name), self.axes, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{argument}: got the unknown axis {name!r}, expected one of {list(self.axes)}{hint}")
        return str(name)

    def options(self, name: str, pick: Mapping[str, Option]) -> list[Option]:
        """What the axis may be, given the axes it depends on."""
        return self._lists[name][tuple(pick[owner] for owner in self.by[name])]

    def needed(self, names: Iterable[str]) -> tuple[str, ...]:
        """These axes with all they depend on, in order."""
        found = set(names)
        for name in reversed(self.axes):
            if name in found:
                found.update(self.by[name])
        return tuple(name for name in self.axes if name in found)

    def picks(self, names: Iterable[str] | None = None) -> Iterator[dict[str, Option]]:
        """Every pick of the named axes (default all) and those they depend on, the last axis running fastest."""
        order = self.needed(self.axes if names is None else names)

        def walk(pick: dict[str, Option], rest: tuple[str, ...]) -> Iterator[dict[str, Option]]:
            if not rest:
                yield pick
                return
            for option in self.options(rest[0], pick):
                yield from walk({**pick, rest[0]: option}, rest[1:])

        return walk({}, order)

    def settled(self, pick: Mapping[str, Option]) -> dict[str, Option]:
        """The pick with each value that its axis does not allow (any more) replaced by the first that it does."""
        out: dict[str, Option] = {}
        for name in self.axes:
            allowed = self.options(name, out)
            out[name] = pick[name] if name in pick and among(pick[name], allowed) else allowed[0]
        return out

    def allow(self, name: str, value: object, pick: Mapping[str, Option]) -> Option:
        """The option an axis is set to, or a ValueError that names the axis, what was received and what was expected."""
        allowed = self.options(self.known(name), pick)
        if not among(value, allowed):
            given = "".join(f" for {owner} {pick[owner]!r}" for owner in self.by[name])
            raise ValueError(f"{name}: got {checks.describe(value)}, expected one of {_some(allowed)}{given}")
        return next(option for option in allowed if among(value, [option]))

    def check(self, changes: Mapping[str, object], pick: Mapping[str, Option] | None = None) -> dict[str, Option]:
        """A pick with some axes set, the others as they are if they still may be; else as ``allow``."""
        for name in changes:
            self.known(name)
        out: dict[str, Option] = {}
        for name in self.axes:
            if name in changes:
                out[name] = self.allow(name, changes[name], out)
            else:
                allowed, before = self.options(name, out), (pick or {}).get(name)
                out[name] = before if before is not None and among(before, allowed) else allowed[0]
        return out

    def every(self, name: str) -> list[Option]:
        """All options an axis can have, whatever the others are."""
        return list(dict.fromkeys(itertools.chain(*self._lists[name].values())))

    def restricted(self, kept: Mapping[str, Iterable[Option]]) -> Axes:
        """The same axes with only these options (in their own order); an axis that is left with none for a layer keeps its first."""
        kept = {self.known(name, "bake"): _listed(f"bake[{name!r}]", options) for name, options in kept.items()}
        for name, options in kept.items():
            unknown = [option for option in options if not among(option, self.every(name))]
            if unknown:
                raise ValueError(f"bake[{name!r}]: got {unknown[:3]}, expected some of {_some(self.every(name))}")
        out = Axes.__new__(Axes)
        out.axes, out.by, out._lists, out._texts = {}, {}, {}, self._texts
        for name, lists in self._lists.items():
            out.axes[name], out.by[name] = self.axes[name], self.by[name]
            if name not in kept:
                chosen = {key: list(options) for key, options in lists.items()}
            else:
                chosen = {key: [o for o in options if among(o, kept[name])] or options[:1] for key, options in lists.items()}
            reached = {tuple(pick[owner] for owner in out.by[name]) for pick in out.picks(out.by[name])} if out.by[name] else {()}
            out._lists[name] = {key: options for key, options in chosen.items() if key in reached}
        return out

    def encode(self) -> list[dict[str, Any]]:
        """What the script needs to know."""
        return [
            {
                "name": name, "label": axis.label or name.replace("_", " "), "by": list(self.by[name]),
                "options": [[list(key), values] for key, values in self._lists[name].items()],
                "labels": self._said_of(name, "labels"), "marks": self._said_of(name, "marks"),
                "control": axis.control, "cell": None if axis.cell is None else list(axis.cell),
                "when": [[other, _listed(other, options)] for other, options in axis.when.items()],
            }
            for name, axis in self.axes.items()
        ]  # fmt: skip

    def _said_of(self, name: str, kind: str) -> list[list[Any]]:
        texts = [(key, options, self._texts[name][kind].get(key)) for key, options in self._lists[name].items()]
        return [[list(key), [[one, said[one]] for one in options if one in said]] for key, options, said in texts if said]


def among(value: object, options: Sequence[Option]) -> bool:
    """Membership that keeps 1, 1.0 and True apart from each other as a reader would: bool only with bool, numbers by value."""
    return any(option == value and isinstance(option, bool) == isinstance(value, bool) for option in options)


def _check_words(name: str, axis: Axis) -> None:
    checks.choice(f"{name}.control", axis.control, CONTROLS)
    if not isinstance(axis.label, str):
        raise TypeError(f"{name}.label: got {checks.describe(axis.label)}, expected text")
    if not isinstance(axis.labels, Mapping) or not all(isinstance(text, str | Mapping) for text in axis.labels.values()):
        raise TypeError(f"{name}.labels: got {checks.describe(axis.labels)}, expected a dict from options to text")
    if not isinstance(axis.by, str) and not (isinstance(axis.by, tuple) and all(isinstance(owner, str) for owner in axis.by)):
        raise TypeError(f"{name}.by: got {checks.describe(axis.by)}, expected the name of an axis, or several in a tuple")
    cell = axis.cell
    if cell is not None and not (isinstance(cell, tuple) and len(cell) == 2 and all(isinstance(at, int) and at >= 0 for at in cell)):
        raise ValueError(f"{name}.cell: got {cell!r}, expected (row, column)")


def _listed(name: str, values: object) -> list[Option]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name}: got {checks.describe(values)}, expected a list of options")
    listed = list(values)
    if not listed:
        raise ValueError(f"{name}: got no options, expected at least one")
    for value in listed:
        if not isinstance(value, str | int | float | bool):
            raise TypeError(f"{name}: got the option {checks.describe(value)}, expected text or numbers")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: got the option {value}, expected finite numbers")
    if len({(isinstance(value, bool), value) for value in listed}) < len(listed):  # 1 and 1.0 are one number in the page
        raise ValueError(f"{name}: got an option twice, expected each once")
    return listed


def _some(options: Sequence[Option], n: int = 8) -> str:
    return str(list(options)) if len(options) <= n else f"{str(list(options[:n]))[:-1]}, ... {options[-1]!r}]"


def _said(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))
