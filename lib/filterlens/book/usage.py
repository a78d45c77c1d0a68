"""Which public function stands on which page: read from the code of the pages, never typed.

``called`` finds the names of the library in a piece of Python, ``code`` the Python of a page, ``Library`` what the API page
documents. ``Usage`` puts them together in both directions: the functions of a chapter, and the chapters of a function. A lens's
function that no page calls belongs to the chapter that calls most of its room.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LENSES = "filterlens.lenses."
_FENCE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
_DIRECTIVE = re.compile(r"^\.\. auto(module|class|function|data|exception):: (\S+)\n((?:   :.*\n?)*)", re.M)
_MEMBERS = re.compile(r"^   :members:(.*)$", re.M)


def code(page: Path) -> str:
    """The Python of a page: the code cells of a notebook, and all fences marked ``python`` in its text."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return "\n".join(_FENCE.findall(text))
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts += [source] if cell["cell_type"] == "code" else _FENCE.findall(source)
    return "\n".join(parts)


def called(source: str, package: str = "filterlens") -> set[str]:
    """The dotted names below ``package`` that a piece of Python uses, as it could write them without its imports.

    Every import counts wherever it stands, and a name that is bound anew still counts as the imported one.
    """
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            own = [alias for alias in node.names if alias.name.split(".")[0] == package]
            known |= {alias.asname or package: alias.name if alias.asname else package for alias in own}
    found: set[str] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in known:
            found.add(".".join([known[node.id], *names]))
    return found


@dataclass(frozen=True)
class Library:
    """What the API page documents: the full name of each class, function and exception, and what it is."""

    members: Mapping[str, object]

    @classmethod
    def of(cls, page: str) -> Library:
        """Read from the directives of the API page's source."""
        members: dict[str, object] = {}
        for kind, name, options in _DIRECTIVE.findall(page):
            if kind != "module":
                room, _, own = name.rpartition(".")
                members[name] = getattr(importlib.import_module(room), own)
            elif wanted := _MEMBERS.search(options):
                module = importlib.import_module(name)
                chosen = [part.strip() for part in wanted[1].split(",") if part.strip()] or _public(module)
                members |= {f"{name}.{own}": getattr(module, own) for own in chosen}
        return cls({name: its for name, its in members.items() if inspect.isclass(its) or inspect.isroutine(its)})

    @cached_property
    def _by_home(self) -> dict[str, str]:
        """Where each member was defined -> the name under which it is documented."""
        return {f"{its.__module__}.{its.__qualname__}": name for name, its in self.members.items()}

    def name(self, used: str) -> str | None:
        """The documented name of what a page calls ``used``, methods counting as their class; None if there is none."""
        parts = used.split(".")
        for stop in range(len(parts), 1, -1):
            start = ".".join(parts[:stop])
            if start in self.members:
                return start
            its = _found(start)
            home = f"{its.__module__}.{its.__qualname__}" if inspect.isclass(its) or inspect.isroutine(its) else ""
            if home in self._by_home:
                return self._by_home[home]
        return None

    def summary(self, name: str) -> str:
        """The first sentence of a member's docstring."""
        text = " ".join((inspect.getdoc(self.members[name]) or "").split("\n\n")[0].split())
        return re.split(r"(?<=[^.\s]{2}[.;:]) (?=[A-Z(`])", text, maxsplit=1)[0].rstrip(".;:")


@dataclass(frozen=True)
class Usage:
    """Pages and the documented names that each calls, in the order of the pages."""

    library: Library
    pages: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, library: Library, pages: Mapping[str, Path]) -> Usage:
        """``pages``: the name of each page and the file it is made of."""
        found = {}
        for page, path in pages.items():
            names = map(library.name, called(code(path)))
            found[page] = frozenset(name for name in names if name)
        return cls(library, found)

    def of_page(self, page: str) -> list[str]:
        """What a page calls, in the order of the API page."""
        return [name for name in self.library.members if name in self.pages.get(page, ())]

    def of_name(self, name: str) -> list[str]:
        """The pages that call it."""
        return [page for page, names in self.pages.items() if name in names]

    @cached_property
    def homes(self) -> dict[str, str]:
        """Each room that a page calls -> the page that calls most of it, the earlier one if two call as much."""
        counts = {page: Counter(map(room, names)) for page, names in self.pages.items()}
        rooms = dict.fromkeys(room(name) for name in self.library.members)
        found = {its: max(counts, key=lambda page: counts[page][its]) for its in rooms if any(count[its] for count in counts.values())}
        for its in rooms:  # a lens that only another lens calls
            users = [found[other] for other in found if its.startswith(LENSES) and its not in found and _imports(other, its)]
            found |= {its: page for page in users[:1]}
        return found

    def home(self, name: str) -> str | None:
        """The page that a name belongs to even if no page calls it."""
        return self.homes.get(room(name))


def room(name: str) -> str:
    """The module under which a name is documented."""
    return name.rpartition(".")[0]


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by their room, the lenses' rooms first."""
    rooms: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: not name.startswith(LENSES)):
        rooms.setdefault(room(name), []).append(name)
    return rooms


def _imports(room: str, other: str) -> bool:
    """Whether the source of one lens names another."""
    if not room.startswith(LENSES):
        return False
    named = re.compile(rf"^from \.+{other.removeprefix(LENSES)}\b", re.M)
    folder = Path(importlib.import_module(room).__file__ or "").parent
    return any(named.search(path.read_text(encoding="utf-8")) for path in folder.glob("*.py"))


def _public(module: object) -> list[str]:
    """What autodoc takes for a module's members."""
    if (names := getattr(module, "__all__", None)) is not None:
        return list(names)
    own = vars(module).items()
    return [name for name, its in own if not name.startswith("_") and getattr(its, "__module__", None) == module.__name__]


def _found(name: str) -> object | None:
    """The object of a dotted name, or None."""
    parts = name.split(".")
    try:
        its: object = importlib.import_module(parts[0])
    except ImportError:
        return None
    for stop, part in enumerate(parts[1:], 2):
        try:
            its = getattr(its, part)
        except AttributeError:
            try:
                its = importlib.import_module(".".join(parts[:stop]))
            except ImportError:
                return None
    return its
