"""The table of claims: each sentence that a paper claims, its numbers and ours, our verdict, and the section that tests it.

``book/claims.yml`` holds the sentences, verdicts and reasons. The numbers are read from the tables that end the executed chapters,
and a verdict stands only as long as the ledger bears it out: an entry's ``while`` lists comparisons of rows of the ledger, its
``unmeasured`` the rows that must be missing. A verdict that no longer follows is shown as withdrawn, a row of a chapter's table
without an entry as not yet judged; the tests fail on either. Nothing is computed here but those comparisons.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import yaml
from mdit_py_plugins.anchors.index import slugify

from filterlens.book.markdown import plain, table
from filterlens.runs import records

VERDICTS = {
    "holds": "as the paper says it, on what could be tried here",
    "in direction": "the same way, but less, or not everywhere",
    "does not hold": "the other way round, or no difference that could be seen",
    "cannot be tested here": "and why",
    "not claimed": "a question of ours, which the paper does not ask",
}
SMALL = f"{records.SMALL}:"  # before the id of a number that was measured at a small scale
WITHDRAWN = "withdrawn"  # a verdict that the ledger no longer bears out
SECTION = "What the paper says, what we see"  # of each chapter; the table of its claims follows
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_INTRODUCTION = """# What the papers claim, and what we see

Every sentence that one of the five papers claims and this book could try, and some that it could not. *Paper* and *here* are the numbers
of the table at the end of the chapter, read from its executed notebook when these pages are made. The verdict is ours; behind it
stand comparisons with the [ledger of results](results), and where these no longer come out the verdict is withdrawn by itself.
Each sentence leads to the section that tests it.
All verdicts are about the networks and data of this book, which are mostly smaller than the papers'."""


@dataclass(frozen=True)
class Claim:
    """One sentence, our verdict and reason, and what bears it out: see the module."""

    chapter: str
    claim: str
    section: str
    verdict: str
    why: str
    row: str = ""
    bounds: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)

    def broken(self, ledger: Mapping[str, float]) -> list[str]:
        """What the ledger no longer bears out, in words."""
        found = {bound: holds(bound, ledger) for bound in self.bounds}
        wrong = [f"{bound} is not so ({said})" for bound, (good, said) in found.items() if not good]
        return wrong + [f"{name} has been measured" for name in self.unmeasured if name in ledger]


def load(home: Path) -> list[Claim]:
    """The entries of a project's ``claims.yml``; none if there is no such file. ValueError naming the entry and the key."""
    file = home / "book" / "claims.yml"
    if not file.exists():
        return []
    out = []
    for chapter, entries in yaml.safe_load(file.read_text(encoding="utf-8")).items():
        for entry in entries:
            given = {{"while": "bounds"}.get(key, key): tuple(its) if isinstance(its, list) else its for key, its in entry.items()}
            try:
                claim = Claim(chapter=chapter, **given)
            except TypeError as error:
                raise ValueError(f"claims.yml: {chapter}: {entry.get('claim')!r}: {error}") from None
            if claim.verdict not in VERDICTS:
                wrong = f"verdict: got {claim.verdict!r}, expected one of {list(VERDICTS)}"
                raise ValueError(f"claims.yml: {chapter}: {claim.claim!r}: {wrong}")
            out.append(claim)
    return out


def values(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The ledger as one number per id; where several profiles measured it, that of the published pages. What was measured at a small
    scale has names of its own, ``small:000-011``."""
    named = ((f"{SMALL}{row['id']}" if row["profile"] == records.SMALL else row["id"], row) for row in rows)
    return {name: row["value"] for name, row in sorted(named, key=lambda one: one[1]["profile"] == "book")}


def holds(bound: str, ledger: Mapping[str, float]) -> tuple[bool, str]:
    """Whether a comparison such as ``own-a - own-b > 0.1`` comes out, and both its sides; a row that is missing never does.

    Sides are sums and differences of rows and numbers, all parted by blanks; ``a < b < c`` is allowed.
    ValueError if it is none.
    """
    words = bound.split()
    places = [at for at, word in enumerate(words) if word in _COMPARISONS]
    if not places:
        raise ValueError(f"{bound!r}: got no comparison, expected one of {' '.join(_COMPARISONS)} between blanks")
    starts, stops = [0, *(at + 1 for at in places)], [*places, len(words)]
    sides = [_sum(words[start:stop], ledger, bound) for start, stop in zip(starts, stops, strict=True)]
    said = ", ".join("not measured" if side is None else f"{side:.4g}" for side in sides)
    if None in sides:
        return False, said
    pairs = zip(places, sides[:-1], sides[1:], strict=True)
    return all(_COMPARISONS[words[at]](left, right) for at, left, right in pairs), said


def _sum(words: Sequence[str], ledger: Mapping[str, float], bound: str) -> float | None:
    total, signs = 0.0, ["+", *words[1::2]]
    if not len(words) % 2 or not {*signs} <= {"+", "-"}:
        raise ValueError(f"{bound!r}: got {' '.join(words)!r}, expected rows and numbers with + or - between them")
    for sign, word in zip(signs, words[::2], strict=True):
        value = float(word) if re.fullmatch(r"-?\d*\.?\d+", word) else ledger.get(word)
        if value is None:
            return None
        total += value if sign == "+" else -value
    return total


class _Table(HTMLParser):
    """The rows of the first table, each a list of its cells' texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._open = False
        self.feed(html.partition("</table>")[0])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if self.rows and tag in ("td", "th"):
            self.rows[-1].append("")
        self._open = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data


def measured(executed: Path) -> dict[str, dict[str, str]]:
    """The table of claims of an executed chapter: its rows by name, each cell by its column; empty if there is none."""
    seen = False
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"] if executed.exists() else []:
        seen = seen or SECTION in "".join(cell["source"])
        for output in cell.get("outputs", []) if seen else []:
            html = "".join(output.get("data", {}).get("text/html", ""))
            rows = _Table(html).rows if "<table" in html else []
            if rows and "paper" in rows[0]:
                body = [row for row in rows[1:] if len(row) == len(rows[0]) and any(row[1:])]
                return {row[0].strip(): dict(zip(rows[0][1:], row[1:], strict=True)) for row in body}
    return {}


class Judged(NamedTuple):
    """A claim, its verdict, which is ``WITHDRAWN`` where the ledger no longer bears it out, and why, in Markdown."""

    claim: Claim
    verdict: str
    why: str


def judged(claims: Iterable[Claim], ledger: Mapping[str, float]) -> list[Judged]:
    """Every claim with the verdict that the ledger allows."""
    found = []
    for claim in claims:
        why, broken = " ".join(claim.why.split()), claim.broken(ledger)
        found.append(Judged(claim, WITHDRAWN, f"{why} **But:** {plain('; '.join(broken))}.") if broken else Judged(claim, claim.verdict, why))
    return found


def unjudged(claims: Iterable[Claim], chapter: str, rows: Iterable[str]) -> list[str]:
    """The rows of a chapter's table that no entry names."""
    known = {claim.row for claim in claims if claim.chapter == chapter}
    return [row for row in rows if row not in known]


def headings(notebook: Path) -> set[str]:
    """The titles of the sections of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return {title.strip() for title in re.findall(r"^#{2,3} (.*)$", text, re.M)}


def page(claims: Sequence[Claim], tables: Mapping[str, Mapping[str, Mapping[str, str]]], ledger: Mapping[str, float],
         titles: Mapping[str, str], sections: Mapping[str, set[str]]) -> str:  # fmt: skip
    """The page in MyST Markdown.

    ``tables``: by chapter, as from ``measured``; ``ledger`` as from ``values``; ``titles``: what each chapter is called; ``sections``:
    the titles of its sections, as from ``headings``. Chapters that have no title are left out.
    """
    shown = [claim for claim in claims if claim.chapter in titles]
    verdicts = {id(one.claim): one.verdict for one in judged(shown, ledger)}
    counts = {name: Counter(verdicts[id(claim)] for claim in shown if claim.chapter == name) for name in titles}
    words = [*VERDICTS, *([WITHDRAWN] if WITHDRAWN in verdicts.values() else [])]
    links = {name: f"[{title}](#{slugify(title)})" for name, title in titles.items()}
    summary = [[links[name], *(count[word] or "" for word in words)] for name, count in counts.items() if count]
    summary.append(["all", *(sum(count[word] for count in counts.values()) or "" for word in words)])
    parts = [_INTRODUCTION, table(["lens", *words], summary)]
    parts.append("\n".join(f"- **{word}**: {meaning}" for word, meaning in VERDICTS.items()))
    for name, title in titles.items():
        its = [claim for claim in shown if claim.chapter == name]
        if its:
            rows = [_line(one, tables.get(name, {}), sections.get(name, set())) for one in judged(its, ledger)]
            rows += [[plain(row), "", plain(_here(cells)), "not yet judged", ""] for row, cells in tables.get(name, {}).items()
                     if row in unjudged(claims, name, [row])]  # fmt: skip
            parts += [f"## {title}", table(["claim", "paper", "here", "verdict", "why"], rows)]
    return "\n\n".join(parts) + "\n"


def _line(judged: Judged, rows: Mapping[str, Mapping[str, str]], sections: set[str]) -> list[str]:
    claim = judged.claim
    cells = rows.get(claim.row, {}) or claim.numbers
    anchor = f"#{slugify(claim.section)}" if claim.section in sections else ""
    return [
        f"[{claim.claim}](notebooks/{claim.chapter}.ipynb{anchor})", plain(cells.get("paper", "")), plain(_here(cells)),
        f"**{judged.verdict}**", judged.why,
    ]  # fmt: skip


def _here(cells: Mapping[str, str]) -> str:
    """Our numbers of a row, each with its column's name unless that is only "here"."""
    own = {name: its for name, its in cells.items() if name != "paper" and its not in ("", "-")}
    return "; ".join(its if name.startswith("here") else f"{name}: {its}" for name, its in own.items())


def write(home: Path, target: Path, titles: Mapping[str, str]) -> Path:
    """Write the page for a project's claims, executed chapters and ledger; nothing, and no page, without ``claims.yml``."""
    claims = load(home)
    if claims:
        tables = {name: measured(home / "book" / "notebooks" / f"{name}.ipynb") for name in titles}
        sections = {name: headings(home / "notebooks" / f"{name}.ipynb") for name in titles}
        draft = target.with_name(target.name + ".part")
        rows = [*records.ledger(home=home), *records.ledger(records.SMALL, home=home)]
        draft.write_text(page(claims, tables, values(rows), titles, sections), encoding="utf-8")
        draft.replace(target)
    return target
