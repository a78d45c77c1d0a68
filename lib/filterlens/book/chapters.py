"""A Sphinx extension for what pages say of each other: cards, functions, numbers of the ledger, how to cite.

The directive ``chapters`` is the table of all chapters, ``citation`` how to cite the project, ``page-weights`` the place of a table
that ``filterlens.book`` fills when the pages are built; the role ``ledger`` is a measured number. Each chapter gets its card on
top and its functions at the end, and each documented function the chapters that use it. Used by ``_config.yml`` only.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from filterlens.book import cards, claims, weights
from filterlens.book.usage import LENSES, Library, Usage, grouped, room
from filterlens.runs import records

OWN_PAGE = "your-own-network"  # a page with code that is no chapter
_API = "api"
_NUMBER = re.compile(r"(\S+)(?: ([.\d]*[a-z%]))?")
_log = logging.getLogger(__name__)


@cache
def titles(home: Path) -> dict[str, str]:
    """The pages that use functions and what they are called in a link: the chapters, and that on the reader's own network."""
    own = {OWN_PAGE: "Your own network"} if (home / "book" / f"{OWN_PAGE}.md").exists() else {}
    return {**cards.names(cards.load(home)), **own}


@cache
def usage(home: Path) -> Usage | None:
    """Which page uses what; None in a project without an API page."""
    page = home / "book" / f"{_API}.md"
    if not page.exists():
        return None
    files = {name: home / f"{name}.ipynb" if name.startswith("notebooks/") else home / "book" / f"{name}.md" for name in titles(home)}
    return Usage.of(Library.of(page.read_text(encoding="utf-8")), files)


def used_in(found: Usage, name: str, spoken: dict[str, str]) -> list[str]:
    """The lines of reStructuredText that tell the chapters of a documented function; none if it has none."""
    pages = found.of_name(name)
    if pages:
        return ["", "Used in " + ", ".join(f":doc:`{spoken[page]} </{page}>`" for page in pages) + "."]
    home = found.home(name)
    return ["", f"Its chapter: :doc:`{spoken[home]} </{home}>`."] if home and name.startswith(LENSES) else []


def functions(found: Usage, page: str) -> str:
    """The section of a chapter that lists what it calls, in MyST Markdown: the lenses' functions with a sentence each, others by name."""
    parts = [f"## Functions of this chapter\n\nWhat the code above calls, each linked to its entry in [the library](../{_API})."]
    others = []
    for its, names in grouped(found.of_page(page)).items():
        if its.startswith(LENSES):
            lines = [f"- {_link(name)}: {_sentence(found.library.summary(name))}" for name in names]
            parts += [f"**`{its}`**", "\n".join(lines)]
        else:
            others.append(f"- `{its.removeprefix('filterlens.')}`: " + ", ".join(map(_link, names)))
    return "\n\n".join([*parts, "**Around the lens**", "\n".join(others)] if others else parts)


def _link(name: str) -> str:
    return f"{{py:obj}}`{name.removeprefix(room(name) + '.')} <{name}>`"


def _sentence(words: str) -> str:
    """A sentence of a docstring as Markdown."""
    parts = re.split(r"``(.*?)``|:\w+:`~?(.*?)`", words)
    return "".join(claims.plain(part or "") if at % 3 == 0 else f"`{part}`" if part else "" for at, part in enumerate(parts))


def bibtex(citation: dict[str, Any]) -> str:
    """The software of a ``CITATION.cff`` as an entry for BibTeX."""
    groups = [f"{{{its['name']}}}" if "name" in its else f"{its['family-names']}, {its['given-names']}" for its in citation["authors"]]
    lines = {"title": f"{{{citation['title']}}}", "author": " and ".join(groups), "version": citation["version"]}
    lines["note"] = f"{citation['license']} licence"
    return "@software{filterlens,\n" + ",\n".join(f"  {key} = {{{its}}}" for key, its in lines.items()) + "\n}"


class Chapters(SphinxDirective):
    """The table of all chapters."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(_home(self.env) / "book" / "chapters.yml"))
        return self.parse_text_to_nodes(cards.table(cards.load(_home(self.env))))


class Citation(SphinxDirective):
    """How to cite the project: an entry for BibTeX, made of CITATION.cff."""

    def run(self) -> list[nodes.Node]:
        file = _home(self.env) / "CITATION.cff"
        self.env.note_dependency(str(file))
        text = bibtex(yaml.safe_load(file.read_text(encoding="utf-8")))
        return [nodes.literal_block(text, text, language="bibtex")]


class PageWeights(SphinxDirective):
    """The place of the table that says what each page costs."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", weights.PLACE, format="html")]


class Ledger(SphinxRole):
    """A measured number by its id and, after a blank, its format: ``own-000-residual-lenet-conv3 .2f``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        found = _NUMBER.fullmatch(self.text.strip())
        value = claims.values(records.ledger(home=_home(self.env))).get(found[1] if found else "")
        if found is None or value is None:
            _log.warning(f"the ledger holds no row {self.text!r}", location=self.get_location())
            return [], []
        return [nodes.inline("", format(value, found[2] or ".3g"), classes=["ledger"])], []


def _home(env: Any) -> Path:
    return Path(env.srcdir).parent


def _complete(app: Any, docname: str, source: list[str]) -> None:
    """Put a chapter's card and its functions into the source that Sphinx reads."""
    home = _home(app.env)
    found = {f"notebooks/{chapter.name}": chapter for chapter in cards.load(home)}.get(docname)
    if found is None:
        return
    source[0] = cards.with_card(source[0], cards.card(found))
    if (its := usage(home)) is not None:
        source[0] = cards.with_section(source[0], functions(its, docname))


def _document(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    home = _home(app.env)
    found = usage(home)
    if found is not None and name in found.library.members:
        lines += used_in(found, name, titles(home))


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx. The lines are added before ``docstrings`` and Napoleon read them."""
    for name, its in {"chapters": Chapters, "citation": Citation, "page-weights": PageWeights}.items():
        app.add_directive(name, its)
    app.add_role("ledger", Ledger())
    app.connect("source-read", _complete)
    app.connect("autodoc-process-docstring", _document, priority=300)
    return {"parallel_read_safe": True}
