"""The spec of a sweep: one YAML file, checked to the last value before anything is measured.

A spec says which kind of experiment it is, which settings all cells share and which make the grid::

    about: Table 1 of ...                    # what is measured again, in words
    needs: gpu                               # or imagenet, or cpu, which goes without saying: what it cannot do without in a bearable time
    scale: 3 of 50 epochs                    # what is smaller than the paper's, if anything: its numbers stand beside the paper's as that
    experiment: removal                      # a kind of ``experiments.KINDS``, or the name of an experiment, whose settings it takes
    settings: {rates: [0.0, 0.05]}           # of every cell
    each: [{network: lenet}, {network: resnet20}]    # instead: blocks of settings that belong together
    grid: {seeds: [0, 1, 2]}                 # a cell for every combination, in each block
    records:                                 # which published number which rows are: their mean, times a factor
      - {id: 000-020, value: accuracy, where: {which: archetypes, rate: 0.05}, times: 100}
    left_out: {000-028: needs a GPU}         # published numbers that it does not measure, and why

A cell is a small experiment of that kind. A setting that takes several values may be given one in the grid.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from filterlens.runs import records
from filterlens.runs.sweeps import values
from filterlens.sources import project_home

KEYS = ("about", "needs", "scale", "experiment", "settings", "each", "grid", "records", "left_out")
NEEDS = ("cpu", "imagenet", "gpu")  # in the order in which a sweep of all goes
RECORD_KEYS = ("id", "value", "std", "where", "times", "note")


class SpecError(ValueError):
    """A spec that says something unknown, of the wrong type or out of range; names the file and the key."""


@dataclass(frozen=True)
class Record:
    """Which rows are a published number: those where the columns have these values; the mean of ``value`` times ``times`` is ours.

    ``std``: the column that holds a deviation already, over images, say; by default it is that of the rows."""

    id: str
    value: str
    where: Mapping[str, Any]
    std: str | None = None
    times: float = 1.0
    note: str = ""


@dataclass(frozen=True, eq=False)
class Spec:
    """A checked spec. ``cells``: settings of small experiments, in the order of the finished table; ``varied``: what tells them apart.
    ``scale``: in words, what is smaller than the paper's; "" of a spec at the paper's own scale."""

    name: str
    about: str
    kind: str
    cells: tuple[Any, ...]
    varied: tuple[str, ...]
    records: tuple[Record, ...]
    left_out: Mapping[str, str]
    path: Path
    needs: str = "cpu"
    scale: str = ""


def folder() -> Path:
    """Where the project's specs live: ``notebooks/experiments``."""
    return project_home() / "notebooks" / "experiments"


def names() -> list[str]:
    """The project's specs by name, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def read(spec: str | Path) -> Spec:
    """A spec by its name in ``notebooks/experiments`` or by the path of a .yaml file.

    Raises TypeError for something else, SpecError for a spec that cannot be read, naming the file and the key.
    """
    import yaml

    path = find(spec)
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path.name}: not YAML ({error})") from None
    return _Reader(path.name).spec(said, path)


def every() -> list[Spec]:
    """All of the project's specs at the papers' own scale, checked: first what a processor can do, then what needs ImageNet or a GPU; by name
    within these."""
    return sorted((one for name in names() if not (one := read(name)).scale), key=lambda one: NEEDS.index(one.needs))


def find(spec: str | Path) -> Path:
    """The file of a spec. Raises TypeError or SpecError naming what exists."""
    if not isinstance(spec, str | Path) or not str(spec):
        raise TypeError(f"spec: got {spec!r}, expected the name or the path of a .yaml file")
    if Path(spec).suffix in (".yaml", ".yml"):
        if not Path(spec).expanduser().is_file():
            raise SpecError(f"spec: {spec} is not a file; the project's specs are {names()}")
        return Path(spec).expanduser().resolve()
    if str(spec) not in names():
        raise SpecError(f"spec: got {str(spec)!r}, expected the path of a .yaml file or one of {names()}{values.nearest(spec, names())}")
    return folder() / f"{spec}.yaml"


class _Reader:
    """Checks one file; every complaint begins with its name and says which key it is about."""

    def __init__(self, file: str) -> None:
        self.file = file

    def spec(self, said: Any, path: Path) -> Spec:
        said = self._mapping("the file", said, "a mapping with the keys " + ", ".join(KEYS))
        self._known("", said, KEYS)
        for key in ("about", "experiment"):
            if not isinstance(said.get(key), str) or not said[key].strip():
                raise self.error(key, f"got {said.get(key)!r}, expected a few words" if key == "about" else self._experiments(said.get(key)))
        needs = said.get("needs", "cpu")
        if needs not in NEEDS:
            raise self.error("needs", f"got {needs!r}, expected one of {', '.join(NEEDS)}{values.nearest(needs, NEEDS)}")
        scale = _given(said, "scale", "")
        if not isinstance(scale, str) or (said.get("scale") is not None and not scale.strip()):
            raise self.error("scale", f"got {scale!r}, expected a few words")
        kind, common = self._kind(said["experiment"])
        cells, varied = [], {}
        for at, (settings, grid) in enumerate(self._blocks(said)):
            for chosen in itertools.product(*grid.values()):
                own = {**common, **settings, **dict(zip(grid, chosen, strict=True)), "source": said["about"]}
                cells.append(self._cell(kind, own, "" if "each" not in said else f"each[{at}]"))
            varied |= dict.fromkeys([*said.get("each", [{}])[at], *grid])
        if len({str(cell) for cell in cells}) < len(cells):
            raise self.error("grid", "two cells have the same settings, expected every value once")
        found = tuple(self._record(f"records[{at}]", one) for at, one in enumerate(self._list("records", _given(said, "records", []))))
        if scale and (own := [one.id for one in found if one.id.startswith("own-")]):
            raise self.error("records", f"got {own[0]!r} in a spec with a scale, expected published numbers: these stand beside the paper's")
        ids = [one.id for one in found]
        if twice := {one for one in ids if ids.count(one) > 1}:
            raise self.error("records", f"{sorted(twice)[0]!r} is there twice, expected every id once")
        left_out = self._mapping("left_out", _given(said, "left_out", {}), "a mapping, id -> why")
        for name, why in left_out.items():
            self._id("left_out", name)
            if not isinstance(why, str) or not why.strip():
                raise self.error(f"left_out: {name}", f"got {why!r}, expected a few words that say why")
        about, rest = said["about"].strip(), (dict(left_out), path, needs, scale.strip())
        return Spec(path.stem, about, said["experiment"], tuple(cells), tuple(varied), found, *rest)

    def _kind(self, name: str) -> tuple[type, dict[str, Any]]:
        """The class of the cells, and the settings that they begin with."""
        from filterlens import experiments

        if name in experiments.KINDS:
            return experiments.KINDS[name], {}
        if name not in experiments.EXPERIMENTS:
            raise self.error("experiment", self._experiments(name))
        whole = experiments.EXPERIMENTS[name]
        return type(whole), {field.name: getattr(whole, field.name) for field in fields(whole)}

    @staticmethod
    def _experiments(name: Any) -> str:
        from filterlens import experiments

        known = [*experiments.KINDS, *experiments.EXPERIMENTS]
        return f"got {name!r}, expected a kind ({', '.join(experiments.KINDS)}) or the name of an experiment{values.nearest(name, known)}"

    def _blocks(self, said: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, list]]]:
        settings = self._mapping("settings", _given(said, "settings", {}), "a mapping, setting -> value")
        grid = self._mapping("grid", _given(said, "grid", {}), "a mapping, setting -> list of values")
        for name, several in grid.items():
            self._list(f"grid: {name}", several, empty=False)
            if name in settings:
                raise self.error(f"grid: {name}", "is one of the settings too, expected it in one place")
        for at, block in enumerate(self._list("each", said.get("each", [{}]), empty=False)):
            block = self._mapping(f"each[{at}]", block, "a mapping, setting -> value")
            if both := set(block) & {*settings, *grid}:
                raise self.error(f"each[{at}]: {sorted(both)[0]}", "is among the settings or the grid too, expected it in one place")
            yield {**settings, **block}, dict(grid)

    def _cell(self, kind: type, own: dict[str, Any], where: str) -> Any:
        """The settings of one cell, every one of them checked."""
        hints, known = typing.get_type_hints(kind), {field.name: field for field in fields(kind)}
        where = f"{where}: " if where else ""
        self._known(where, own, known)
        for name, field in known.items():
            if name not in own and field.default is MISSING and field.default_factory is MISSING:
                raise self.error(where + name, f"is missing, expected {values.in_words(hints[name])}")
        try:
            return values.checked(kind, {name: values.fitting(name, value, hints[name]) for name, value in own.items()})
        except (TypeError, ValueError) as error:
            raise SpecError(f"{self.file}: {where}{error}") from None

    def _record(self, key: str, said: Any) -> Record:
        said = self._mapping(key, said, "a mapping with the keys " + ", ".join(RECORD_KEYS))
        self._known(f"{key}: ", said, RECORD_KEYS)
        for name, kind in (("id", str), ("value", str)):
            if not isinstance(said.get(name), kind):
                raise self.error(f"{key}: {name}", f"got {said.get(name)!r}, expected a {kind.__name__}")
        self._id(f"{key}: id", said["id"], note=said.get("note"))
        times = said.get("times", 1.0)
        if isinstance(times, bool) or not isinstance(times, int | float):
            raise self.error(f"{key}: times", f"got {times!r}, expected a number")
        where = self._mapping(f"{key}: where", _given(said, "where", {}), "a mapping, column -> value")
        std = said.get("std")
        if std is not None and not isinstance(std, str):
            raise self.error(f"{key}: std", f"got {std!r}, expected the name of a column")
        return Record(said["id"], said["value"], dict(where), std, float(times), str(said.get("note", "")))

    def _id(self, key: str, name: Any, note: Any = "note") -> None:
        try:
            records.check_id(name, note)
        except (TypeError, ValueError) as error:
            raise self.error(key, str(error).removeprefix("published_id: ")) from None

    def _mapping(self, key: str, value: Any, expected: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self.error(key, f"got {value!r}, expected {expected}")
        return value

    def _list(self, key: str, value: Any, *, empty: bool = True) -> list[Any]:
        if not isinstance(value, list) or not (value or empty):
            raise self.error(key, f"got {value!r}, expected a list" + ("" if empty else " of at least one"))
        return value

    def _known(self, where: str, given: Iterable[str], known: Iterable[str]) -> None:
        for name in given:
            if name not in known:
                raise self.error(where + name, f"is not known, expected some of {', '.join(known)}{values.nearest(name, known)}")

    def error(self, key: str, problem: str) -> SpecError:
        return SpecError(f"{self.file}: {key}: {problem}")


def _given(said: Mapping[str, Any], key: str, default: Any) -> Any:
    """What stands behind a key; nothing at all is the default."""
    return default if said.get(key) is None else said[key]
