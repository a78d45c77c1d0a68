"""The results page: every number the papers print, beside what the ledger holds for it.

``page`` turns ``data/published.csv``, the ledger and the verdicts of ``claims`` into Markdown, ``pairs`` has the figure; ``book`` writes them
among the pages. Nothing is computed here but differences, and in which order numbers stand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filterlens.book import pairs
from filterlens.book.markdown import plain, table
from filterlens.book.papers import OURS, PAPERS
from filterlens.runs import records

if TYPE_CHECKING:  # with yaml, which the command line does without
    from filterlens.book.claims import Judged

_PM = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"  # a value and its deviation stay in one line
_UNIT = re.compile(r"SSIM|MSE|success|accuracy|ratio|reduction|MB|MIS|density")  # what a column counts
_NEEDS = {
    "gpu": " (needs a GPU)",
    "imagenet": " (needs ImageNet)",
    "tiny-imagenet": " (needs Tiny ImageNet)",
    "lost": " (what it needs is lost)",
}

_INTRODUCTION = """# Results: paper and ours

Every number the five papers print as a result, and what we measured for it. *Difference* is ours minus the paper's; in
brackets, in units of the standard deviation the paper gives, where it gives one. *Circumstances* say which profile of which
notebook or sweep measured it, how many things, on which data, with which seeds, and when. A row that says "not yet run" is just that. Where two
processors cannot do what a GPU did, *small* numbers may stand beside it, of another network or a shorter training, which the notes below the
table name: they count as not measured, and only their order is compared with the paper's.
Each paper begins with what it claims and our verdicts. A table, once opened, begins with what it comes to: how many numbers lie within one
published standard deviation, and of how many pairs of numbers of one network or method ours stand in the published order. The sweeps of
`notebooks/experiments` measure whole tables at the papers' own scale: `make paper`, or `filterlens sweep` with the name that stands with a number
that was not measured.
This page is generated from `data/published.csv` and the ledger in `data/results/`, which also holds versions and hardware."""
PICTURE = "results-pairs.svg"

_UNCOMPARED = {
    "setting": "Settings the papers state (followed, not compared)",
    "derived": "Numbers derived from what the authors published (not compared)",
    "second-hand": "Numbers others report for the paper (not compared)",
}
Measured = Mapping[str, Sequence[Mapping[str, Any]]]  # rows of the ledger by id


def page(
    published: Mapping[str, Mapping[str, str]],
    rows: Sequence[Mapping[str, Any]],
    pages: Sequence[str] = (),
    *,
    sweeps: Mapping[str, str] | None = None,
    figure: str = "",
    judged: Iterable[Judged] = (),
) -> str:
    """The results page in MyST Markdown.

    ``published`` as from ``records.published``, ``rows`` as from ``records.ledger``, those of its profile "small" too, ``pages`` the names
    of the notebooks that are pages of the book and can be linked to. Rows of the smoke profile are never shown. ``sweeps``: for ids, the
    sweep that would measure them, or why none does, in words (``by_sweep``). ``figure``: the file of the picture of all pairs, if there is
    one. ``judged``: claims with their verdicts, as from ``claims.judged``.
    """
    measured, small = (
        {name: list(group) for name, group in groupby(sorted(some, key=lambda row: row["id"]), key=lambda row: row["id"])}
        for some in (
            [row for row in rows if row["profile"] not in (records.SMOKE, records.SMALL)],
            [row for row in rows if row["profile"] == records.SMALL],
        )
    )
    parts = [_INTRODUCTION, _summary(published, measured, small), *([pairs.shown(figure, pairs.pairs(published, rows))] if figure else [])]
    papers = {doc: list(numbers) for doc, numbers in groupby(published.values(), key=lambda number: number["doc"])}
    of_lens = {lens: list(group) for lens, group in groupby(judged, key=lambda one: one.claim.chapter.partition("-")[2])}
    for doc in sorted(papers, key=lambda doc: not any(number["id"] in measured for number in papers[doc])):  # what was measured first
        lens, citation = PAPERS.get(doc, (doc, ""))
        parts += [f"## {lens}", *([f"{{cite:t}}`{citation}`"] if citation else []), *_claims(lens, of_lens.get(lens.lower(), []))]
        parts += _paper(doc, papers[doc], measured, small, pages, sweeps or {})
    for doc in OURS:
        parts += _ours(doc, measured, pages)
    return "\n\n".join(parts) + "\n"


def write(home: Path, target: Path, pages: Sequence[str] = ()) -> Path:
    """Write the page for a project's published numbers and ledger, with its picture beside it."""
    from filterlens.book import claims

    published, rows = records.published(home), records.ledger(home=home)
    figure = pairs.picture(pairs.pairs(published, rows), target.with_name(PICTURE))
    rows += records.ledger(records.SMALL, home=home)
    judged = claims.judged([claim for claim in claims.load(home) if claim.chapter in pages], claims.values(rows))
    draft = target.with_name(target.name + ".part")
    text = page(published, rows, pages, sweeps=by_sweep(home), figure=figure.name if figure else "", judged=judged)
    draft.write_text(text, encoding="utf-8")
    draft.replace(target)
    return target


def by_sweep(home: Path) -> dict[str, str]:
    """For every id that a spec in ``notebooks/experiments`` names at the paper's scale: how to measure it, or why it is left out, in Markdown."""
    import yaml

    told: dict[str, str] = {}
    for path in sorted((home / "notebooks" / "experiments").glob("*.yaml")):
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not said.get("scale"):
            told |= {record["id"]: f"`filterlens sweep {path.stem}`" for record in said.get("records") or []}
            told |= {name: plain(why) for name, why in (said.get("left_out") or {}).items()}
    return told


def _summary(published: Mapping[str, Mapping[str, str]], measured: Measured, small: Measured) -> str:
    lines = []
    for doc, group in groupby((number for number in published.values() if number["kind"] == "result"), key=lambda number: number["doc"]):
        numbers = [number["id"] for number in group]
        done = sum(name in measured for name in numbers)
        smaller = sum(name in small and name not in measured for name in numbers)
        lens, citation = PAPERS.get(doc, (doc, ""))
        lines.append([lens, f"{{cite:t}}`{citation}`" if citation else doc, len(numbers), done, smaller, len(numbers) - done - smaller])
    return table(["lens", "paper", "published results", "measured", "only at a small scale", "not yet run"], lines)


def _claims(lens: str, judged: Sequence[Judged]) -> list[str]:
    """What a paper claims and our verdicts, folded; the page of claims has the numbers and the comparisons behind them."""
    if not judged:
        return []
    from filterlens.book import claims

    counted = Counter(one.verdict for one in judged)
    title = "Claims: " + "; ".join(f"{verdict} {counted[verdict]}" for verdict in [*claims.VERDICTS, claims.WITHDRAWN] if counted[verdict])
    lines = [[one.claim.claim, f"**{one.verdict}**", one.why] for one in judged]
    return [_folded(title, f"[With the numbers of each](claims.md#{lens.lower()}).\n\n" + table(["claim", "verdict", "why"], lines))]


def _paper(
    doc: str, numbers: list[Mapping[str, str]], measured: Measured, small: Measured, pages: Sequence[str], sweeps: Mapping[str, str]
) -> list[str]:
    parts = []
    results = [number for number in numbers if number["kind"] == "result" or number["id"] in measured or number["id"] in small]
    for name, group in groupby(results, key=lambda number: number["table"]):
        parts.append(_folded(*_table(name, list(group), measured, small, pages, sweeps)))
    if own := [row for name, group in measured.items() if name.startswith(f"own-{doc}-") for row in group]:
        parts.append(_folded("Measured by us; the paper prints no number", _own_table(own, pages)))
    for kind, title in _UNCOMPARED.items():
        chosen = [number for number in numbers if number["kind"] == kind and number["id"] not in {**measured, **small}]
        lines = [[plain(number[name]) for name in ("row", "column", "value", "table", "note")] for number in chosen]
        if lines:
            parts.append(_folded(f"{title}: {len(lines)}", table(["what", "of it", "value", "where", "note"], lines)))
    return parts


def _table(
    name: str, compared: Sequence[Mapping[str, str]], measured: Measured, small: Measured, pages: Sequence[str], sweeps: Mapping[str, str]
) -> tuple[str, str]:
    """A table of a paper: its title, which says how much of it was measured, and its content."""
    only_small = {number["id"]: small[number["id"]] for number in compared if number["id"] in small and number["id"] not in measured}
    title = f"{name}: {sum(number['id'] in measured for number in compared)} of {len(compared)} measured"
    title += f", {len(only_small)} more at a small scale" if only_small else ""
    lines = [line for number in compared for line in _compared(number, measured.get(number["id"], []), only_small, pages, sweeps)]
    shown = [row for number in compared for row in (*measured.get(number["id"], ()), *only_small.get(number["id"], ()))]
    notes = dict.fromkeys(("*Small:* " if row["profile"] == records.SMALL else "") + plain(row["note"]) for row in shown if row["note"])
    said = _judged(compared, measured)
    for row, its in groupby(compared if only_small else [], key=lambda number: number["row"]):  # each row has a network of its own there
        said += [f"{plain(row)}, at a small scale: {words}" for words in _judged(list(its), only_small, deviations=False)]
    return title, "\n\n".join([*said, table(["what", "of it", "paper", "ours", "difference", "circumstances"], lines), *notes])


def _ours(doc: str, measured: Measured, pages: Sequence[str]) -> list[str]:
    """The section of what no paper measured, nothing without a row of it."""
    heading, what, titles = OURS[doc]
    groups: dict[str, list[Mapping[str, Any]]] = {title: [] for title in titles.values()}
    for name, rows in measured.items():
        if name.startswith(f"own-{doc}-"):
            rest = name.removeprefix(f"own-{doc}-")
            groups[next(title for start, title in titles.items() if not start or f"{rest}-".startswith(f"{start}-"))] += rows
    folded = [_folded(f"{title}: {len(rows)}", _own_table(rows, pages)) for title, rows in groups.items() if rows]
    return [f"## {heading}", what, *folded] if folded else []


def _own_table(rows: Sequence[Mapping[str, Any]], pages: Sequence[str]) -> str:
    lines = [[plain(row["note"]), _spread(row["value"], row["std"]), _circumstances(row, pages)] for row in rows]
    return table(["what", "ours", "circumstances"], lines)


def _judged(numbers: Sequence[Mapping[str, str]], measured: Measured, *, deviations: bool = True) -> list[str]:
    """What a table comes to, in a sentence: numbers within one published deviation, and pairs in the published order."""
    ours = {number["id"]: _preferred(measured[number["id"]])["value"] for number in numbers if number["id"] in measured}
    said = []
    spread = [(number, pairs.number_of(number["value"]), pairs.number_of(number["std"])) for number in numbers if number["id"] in ours]
    with_std = [(number, value, std) for number, value, std in spread if value is not None and std]
    if with_std and deviations:
        within = sum(abs(ours[number["id"]] - value) <= std for number, value, std in with_std)
        said.append(f"{within} of {len(with_std)} numbers within one published standard deviation")
    kept = compared = 0
    for _, group in groupby(sorted(spread, key=lambda one: _comparable(one[0])), key=lambda one: _comparable(one[0])):
        for (one, a, _), (other, b, _) in combinations([part for part in group if part[1] is not None], 2):
            if a != b:
                compared += 1
                kept += (ours[one["id"]] - ours[other["id"]]) * (a - b) > 0
    if compared:
        said.append(f"{kept} of {compared} pairs of numbers in the published order")
    return ["; ".join(said) + "."] if said else []


def _comparable(number: Mapping[str, str]) -> tuple[str, str]:
    """Numbers of one row in one unit."""
    unit = _UNIT.search(number["column"])
    return number["row"], unit.group() if unit else number["column"]


def _preferred(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of several profiles that measured a number, the paper's own set-up."""
    return next((row for row in rows if row["profile"] == "paper"), rows[0])


def _compared(
    number: Mapping[str, str], rows: Sequence[Mapping[str, Any]], small: Measured, pages: Sequence[str], sweeps: Mapping[str, str]
) -> list[list[str]]:
    name = [plain(number["row"]), plain(number["column"])]
    paper = plain(number["value"] + (f"{_PM}{number['std']}" if number["std"] else ""))
    if not rows:
        beside = small.get(number["id"], ())
        ours = [f"not yet run{_NEEDS.get(number['needs'], '')}", *(f"small: {_spread(row['value'], row['std'])}" for row in beside)]
        told = [sweeps.get(number["id"], ""), *(_circumstances(row, pages) for row in beside)]
        return [[*name, paper, "; ".join(ours), "", "; ".join(filter(None, told))]]
    lines: dict[tuple, list[str]] = {}  # what two measured alike stands once, with the circumstances of both
    for row in rows:
        its = (_spread(row["value"], row["std"]), _difference(number, row["value"]))
        lines.setdefault((*its, row["n"]), [*its]).append(_circumstances(row, pages))
    return [[*name, paper, *line[:2], "<br>".join(line[2:])] for line in lines.values()]


def _difference(number: Mapping[str, str], ours: float) -> str:
    try:
        off = ours - float(number["value"])
        spread = float(number["std"] or 0)
    except ValueError:  # a published value in words
        return ""
    return f"{off:+.2g}" + (f" ({off / spread:+.2f} s.d.)" if spread > 0 else "")


def _spread(value: float, std: float | None) -> str:
    return f"{value:.4g}" + ("" if std is None else f"{_PM}{std:.2g}")


def _circumstances(row: Mapping[str, Any], pages: Sequence[str]) -> str:
    notebook = row["notebook"]
    link = f"[{notebook}](notebooks/{notebook}.ipynb)" if notebook in pages else notebook
    n = "" if row["n"] is None else f"n = {row['n']:,}"
    seeds = f"seeds {row['seeds']}" if row["seeds"] else ""
    said = [row["profile"], n, row["data"], seeds, row["date"]]
    return ", ".join([link, *(plain(part) for part in said if part)])


def _folded(title: str, content: str) -> str:
    return f"::::{{dropdown}} {plain(title)}\n\n{content}\n::::"
