"""The parameters of a notebook: declared once in the notebook, checked before a kernel starts.

A notebook has one code cell tagged ``parameters`` that holds annotated assignments of literals, each with a comment that
explains and bounds it::

    n_images: int = 10000  # images in Table 1 [10, 70000]
    unpool: str = "nearest"  # one of: nearest, bilinear, bicubic

``runs`` asks here before it executes anything. Nothing in this file starts a kernel or imports a notebook's code.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import math
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filterlens.sources import project_home

PROFILES = ("smoke", "book", "paper")
_KINDS = {"int": int, "float": float, "str": str, "bool": bool}
_RANGE = re.compile(r"\[\s*([^,\[\]]+?)\s*,\s*([^,\[\]]+?)\s*\]\s*$")


class ParameterError(ValueError):
    """A name that does not exist, a value of the wrong type or out of range, or a declaration that cannot be read."""


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: its type, default, what its comment says, and the values it may take."""

    name: str
    kind: type
    default: Any
    comment: str
    low: float | None = None
    high: float | None = None
    options: tuple[str, ...] = ()

    def check(self, value: object, where: str) -> Any:
        """The value, as this parameter's type; ParameterError if it is of another type or out of range."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = {int: number and isinstance(value, int), float: number, str: isinstance(value, str), bool: isinstance(value, bool)}
        if not fits[self.kind] or (self.kind is float and not math.isfinite(value)):
            raise ParameterError(f"{where}: {self.name}: got {type(value).__name__} {value!r}, expected {self.expected()}")
        if self.options and value not in self.options:
            raise ParameterError(f"{where}: {self.name}: got {value!r}, expected {self.expected()}{_nearest(value, self.options)}")
        if self.low is not None and not self.low <= value <= self.high:
            raise ParameterError(f"{where}: {self.name}: got {value!r}, expected {self.expected()}")
        return self.kind(value)

    def expected(self) -> str:
        """The type and range in words."""
        if self.options:
            return f"one of {', '.join(self.options)}"
        return self.kind.__name__ + (f" in [{self.low:g}, {self.high:g}]" if self.low is not None else "")

    def parse(self, text: str, where: str) -> Any:
        """The value that a word of the command line stands for."""
        try:
            value = {int: int, float: float, str: str, bool: lambda t: {"true": True, "false": False}[t.lower()]}[self.kind](text)
        except (ValueError, KeyError):
            raise ParameterError(f"{where}: {self.name}: got {text!r}, expected {self.expected()}") from None
        return self.check(value, where)


def find(notebook: str | Path, home: Path | None = None) -> Path:
    """The file of a notebook given by path, or by name (``3-decoding``) in the project's ``notebooks/``."""
    if not isinstance(notebook, str | Path) or not str(notebook):
        raise TypeError(f"notebook: got {notebook!r}, expected the name or the path of a notebook")
    if Path(notebook).suffix == ".ipynb" and Path(notebook).is_file():
        return Path(notebook).resolve()
    folder = (home or project_home()) / "notebooks"
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    stem = str(notebook).removesuffix(".ipynb")
    if stem not in names:
        raise ParameterError(f"notebook: got {str(notebook)!r}, expected a path or one of {names}{_nearest(stem, names)}")
    return folder / f"{stem}.ipynb"


def declared(notebook: Path) -> dict[str, Parameter]:
    """What a notebook declares, by name; ParameterError if there is not exactly one readable parameters cell."""
    where = Path(notebook).name
    try:
        content = json.loads(Path(notebook).read_text(encoding="utf-8"))
        cells = [cell for cell in content["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(f"{where}: not a notebook ({error!r})") from None
    if len(cells) != 1 or cells[0]["cell_type"] != "code":
        raise ParameterError(f"{where}: {len(cells)} cells are tagged 'parameters', expected exactly one code cell")
    source = "".join(cells[0]["source"])
    try:
        lines = ast.parse(source).body
        words = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = {word.start[0]: word.string.lstrip("# ").strip() for word in words if word.type == tokenize.COMMENT}
    except (SyntaxError, tokenize.TokenError) as error:
        raise ParameterError(f"{where}: the parameters cell is not Python ({error})") from None
    found = [_read(line, comments.get(line.end_lineno, ""), where) for line in lines]
    if len({parameter.name for parameter in found}) != len(found):
        raise ParameterError(f"{where}: a parameter is declared twice in {[parameter.name for parameter in found]}")
    return {parameter.name: parameter for parameter in found}


def _read(line: ast.stmt, comment: str, where: str) -> Parameter:
    text = ast.unparse(line)
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None):
        raise ParameterError(f"{where}: the parameters cell has {text!r}, expected only 'name: type = value  # what it is'")
    kind = _KINDS.get(ast.unparse(line.annotation))
    if kind is None:
        raise ParameterError(f"{where}: {text!r}: expected the type int, float, str or bool")
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        raise ParameterError(f"{where}: {text!r}: expected a literal value") from None
    if not comment:
        raise ParameterError(f"{where}: {text!r}: expected a comment on the same line that says what it is")
    low = high = None
    options: tuple[str, ...] = ()
    bounds = _RANGE.search(comment)
    if kind in (int, float):
        try:
            low, high = (float(bound) for bound in bounds.groups())
        except (AttributeError, ValueError):
            raise ParameterError(f"{where}: {text!r}: expected its comment to end with the range [low, high]") from None
    elif kind is str and "one of:" in comment:
        options = tuple(option.strip() for option in comment.split("one of:")[1].split(","))
    parameter = Parameter(line.target.id, kind, default, comment, low, high, options)
    parameter.check(default, f"{where}: the default of")
    return parameter


def check(notebook: str | Path, parameters: Mapping[str, object] | None = None, *, home: Path | None = None) -> dict[str, Any]:
    """All parameters of a notebook: its defaults, replaced by the ones given.

    Raises ParameterError, before any kernel starts, naming the notebook and the parameter that is unknown (with the
    nearest name that exists), of the wrong type or out of range.
    """
    path = find(notebook, home)
    known = declared(path)
    given = dict(parameters or {})
    for name in given:
        _known(name, known, path.name)
    return {name: parameter.check(given.get(name, parameter.default), path.name) for name, parameter in known.items()}


def parse(notebook: str | Path, assignments: Iterable[str], *, home: Path | None = None) -> dict[str, Any]:
    """The parameters written as ``name=value`` on a command line, as their declared types."""
    path = find(notebook, home)
    known, given = declared(path), {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ParameterError(f"{path.name}: got {assignment!r}, expected name=value")
        parameter = known[_known(name.strip(), known, path.name)]
        given[parameter.name] = parameter.parse(value.strip(), path.name)
    return given


def profile_parameters(notebook: str | Path, profile: str, *, home: Path | None = None) -> dict[str, Any]:
    """What a profile (``notebooks/profiles/PROFILE.yaml``, notebook name -> parameters) sets for one notebook, checked.

    ``profile`` itself is set too. A notebook name or a parameter in the file that does not exist is an error.
    """
    import yaml

    if profile not in PROFILES:
        raise ParameterError(f"profile: got {profile!r}, expected one of {', '.join(PROFILES)}{_nearest(str(profile), PROFILES)}")
    home = home or project_home()
    file = home / "notebooks" / "profiles" / f"{profile}.yaml"
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"{file.name}: not YAML ({error})") from None
    if not isinstance(settings, dict) or not all(isinstance(value, dict | None) for value in settings.values()):
        raise ParameterError(f"{file.name}: expected a mapping, notebook name -> parameters")
    for name in settings:
        try:
            find(str(name), home)
        except ParameterError as error:
            raise ParameterError(f"{file.name}: {error}") from None
    path = find(notebook, home)
    chosen = {**(settings.get(path.stem) or {}), "profile": profile}
    checked = check(path, chosen, home=home)
    return {name: checked[name] for name in chosen}


def _known(name: str, known: Mapping[str, Parameter], where: str) -> str:
    if name not in known:
        raise ParameterError(f"{where}: unknown parameter {name!r}, it has {', '.join(known) or 'none'}{_nearest(name, known)}")
    return name


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
