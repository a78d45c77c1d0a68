"""The results page: every number the papers print, beside what the ledger holds for it.

``page`` turns ``data/published.csv`` and the ledger into Markdown, ``picture`` into a figure of all pairs; ``book`` writes both among the
pages. Nothing is computed here but differences, and in which order numbers stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from filterlens.runs import records

PAPERS = {  # number of the paper -> its lens, and its key in references.bib
    "000": ("Simplex", "thakur2022geometric"),
    "001": ("Influence", "badola2021decomposing"),
    "002": ("Decoding", "rafegas2015decoding"),
    "003": ("Isolation", "zhuang2021understanding"),
    "004": ("Gates", "liang2020training"),
}
OURS = {  # what no paper measured: number -> heading, what it is, and the beginnings of its ids with a title for each
    "008": (
        "Synthesis",
        "All lenses on the same filters, and every method on planted worlds whose answer is known. No paper prints these numbers.",
        {
            "passport": "Passports of single filters",
            "agreement": "Whether the lenses agree",
            "truth-redundancy": "Planted worlds: which filters are redundant",
            "truth-influence": "Planted worlds: which features decide a class",
            "truth-decoding": "Planted worlds: what a unit looks for",
            "truth-isolation": "Planted worlds: which pixels made a kernel answer",
            "truth-gates": "Planted worlds: which class owns a filter",
            "": "Further",
        },
    ),
}
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
notebook measured it, how many things, on which data, with which seeds, and when. A row that says "not yet run" is just that.
Below the title of each table stands what it comes to: how many numbers lie within one published standard deviation, and of how many pairs
of numbers of one network or method ours stand in the published order. What the papers conclude from them, and whether that holds, is
judged sentence by sentence elsewhere. The sweeps of `notebooks/experiments` measure whole tables at the papers' own scale:
`make paper`, or `filterlens sweep` with the name that stands with a number that was not measured.
This page is generated from `data/published.csv` and the ledger in `data/results/`, which also holds versions and hardware."""
PICTURE = "results-pairs.svg"

_UNCOMPARED = {
    "setting": "Settings the papers state (followed, not compared)",
    "derived": "Numbers derived from what the authors published (not compared)",
    "second-hand": "Numbers others report for the paper (not compared)",
}


def page(
    published: Mapping[str, Mapping[str, str]],
    rows: Sequence[Mapping[str, Any]],
    pages: Sequence[str] = (),
    *,
    sweeps: Mapping[str, str] | None = None,
    figure: str = "",
) -> str:
    """The results page in MyST Markdown.

    ``published`` as from ``records.published``, ``rows`` as from ``records.ledger``, ``pages`` the names of the notebooks that
    are pages of the book and can be linked to. Rows of the smoke profile are never shown. ``sweeps``: for ids, the sweep that would
    measure them, or why none does, in words (``by_sweep``). ``figure``: the file of the picture of all pairs, if there is one.
    """
    rows = [row for row in rows if row["profile"] != "smoke"]
    measured = {name: list(group) for name, group in groupby(sorted(rows, key=lambda row: row["id"]), key=lambda row: row["id"])}
    parts = [_INTRODUCTION, _summary(published, measured), *([_shown(figure, pairs(published, rows))] if figure else [])]
    papers = {doc: list(numbers) for doc, numbers in groupby(published.values(), key=lambda number: number["doc"])}
    for doc in sorted(papers, key=lambda doc: not any(number["id"] in measured for number in papers[doc])):  # what was measured first
        parts += _paper(doc, papers[doc], measured, pages, sweeps or {})
    for doc in OURS:
        parts += _ours(doc, measured, pages)
    return "\n\n".join(parts) + "\n"


def write(home: Path, target: Path, pages: Sequence[str] = ()) -> Path:
    """Write the page for a project's published numbers and ledger, with its picture beside it."""
    published, rows = records.published(home), records.ledger(home=home)
    figure = picture(pairs(published, rows), target.with_name(PICTURE))
    draft = target.with_name(target.name + ".part")
    text = page(published, rows, pages, sweeps=by_sweep(home), figure=figure.name if figure else "")
    draft.write_text(text, encoding="utf-8")
    draft.replace(target)
    return target


def by_sweep(home: Path) -> dict[str, str]:
    """For every id that a spec in ``notebooks/experiments`` names: how to measure it, or why it is left out, in Markdown."""
    import yaml

    told: dict[str, str] = {}
    for path in sorted((home / "notebooks" / "experiments").glob("*.yaml")):
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        told |= {record["id"]: f"`filterlens sweep {path.stem}`" for record in said.get("records") or []}
        told |= {name: _text(why) for name, why in (said.get("left_out") or {}).items()}
    return told


def pairs(published: Mapping[str, Mapping[str, str]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every published result with a number of ours: group, paper, ours, std (NaN if none is published); of several profiles the paper's own,
    else the book's."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["profile"] != "smoke" and (row["id"] not in best or row["profile"] == "paper"):
            best[row["id"]] = row
    found = []
    for number in published.values():
        paper, std = _number(number["value"]), _number(number["std"])
        if number["kind"] == "result" and number["id"] in best and paper is not None:
            group = f"{PAPERS.get(number['doc'], (number['doc'], ''))[0]}, {number['table']}"
            spread = float("nan") if std is None else std
            found.append({"group": group, "paper": paper, "ours": best[number["id"]]["value"], "std": spread})
    return found


def picture(found: Sequence[Mapping[str, Any]], target: Path) -> Path | None:
    """Draw all pairs into an SVG file, the same bytes for the same pairs; None, and no file, if there are none."""
    target.unlink(missing_ok=True)
    if not found:
        return None
    import matplotlib
    import pandas as pd
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    from filterlens.figures.pairs import both

    draft = target.with_name(target.name + ".part")
    with matplotlib.rc_context({"svg.hashsalt": "filterlens", "svg.fonttype": "path"}):
        FigureCanvasSVG(both(pd.DataFrame(found))).print_svg(draft, metadata={"Date": None, "Creator": None})
    draft.replace(target)
    return target


def _shown(figure: str, found: Sequence[Mapping[str, Any]]) -> str:
    spread = [abs(one["ours"] - one["paper"]) / one["std"] for one in found if one["std"] > 0]
    within = sum(off <= 1 for off in spread)
    said = f"{len(found)} pairs of a published number and ours; {within} of the {len(spread)} with a published deviation lie within one"
    caption = "All pairs at a glance: above in published standard deviations (the band is one), below the numbers without, as shares of them."
    return f"```{{figure}} {figure}\n:alt: {said}\n:width: 100%\n\n{caption} {said[0].upper()}{said[1:]}.\n```"


def _summary(published: Mapping[str, Mapping[str, str]], measured: Mapping[str, Any]) -> str:
    lines = []
    for doc, group in groupby((number for number in published.values() if number["kind"] == "result"), key=lambda number: number["doc"]):
        numbers = list(group)
        done = sum(number["id"] in measured for number in numbers)
        lens, citation = PAPERS.get(doc, (doc, ""))
        lines.append([lens, f"{{cite:t}}`{citation}`" if citation else doc, len(numbers), done, len(numbers) - done])
    return table(["lens", "paper", "published results", "measured", "not yet run"], lines)


def _paper(
    doc: str, numbers: list[Mapping[str, str]], measured: Mapping[str, Any], pages: Sequence[str], sweeps: Mapping[str, str]
) -> list[str]:
    lens, citation = PAPERS.get(doc, (doc, ""))
    parts = [f"## {lens}", *([f"{{cite:t}}`{citation}`"] if citation else [])]
    results = [number for number in numbers if number["kind"] == "result" or number["id"] in measured]
    for name, group in groupby(results, key=lambda number: number["table"]):
        compared = list(group)
        done = sum(number["id"] in measured for number in compared)
        lines = [line for number in compared for line in _compared(number, measured.get(number["id"], []), pages, sweeps)]
        title = f"{name}: {done} of {len(compared)} measured"
        notes = dict.fromkeys(_text(row["note"]) for number in compared for row in measured.get(number["id"], []) if row["note"])
        content = "\n\n".join([*_judged(compared, measured), table(["what", "of it", "paper", "ours", "difference", "circumstances"], lines), *notes])
        parts.append(_folded(title, content, unfolded=done > 0))
    if own := [row for name, group in measured.items() if name.startswith(f"own-{doc}-") for row in group]:
        parts.append(_folded("Measured by us; the paper prints no number", _own_table(own, pages), unfolded=True))
    for kind, title in _UNCOMPARED.items():
        chosen = [number for number in numbers if number["kind"] == kind and number["id"] not in measured]
        lines = [[_text(number[name]) for name in ("row", "column", "value", "table", "note")] for number in chosen]
        if lines:
            parts.append(_folded(f"{title}: {len(lines)}", table(["what", "of it", "value", "where", "note"], lines)))
    return parts


def _ours(doc: str, measured: Mapping[str, Any], pages: Sequence[str]) -> list[str]:
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
    lines = [[_text(row["note"]), _spread(row["value"], row["std"]), _circumstances(row, pages)] for row in rows]
    return table(["what", "ours", "circumstances"], lines)


def _judged(numbers: Sequence[Mapping[str, str]], measured: Mapping[str, Any]) -> list[str]:
    """What a table comes to, in a sentence: numbers within one published deviation, and pairs in the published order."""
    ours = {number["id"]: _preferred(measured[number["id"]])["value"] for number in numbers if number["id"] in measured}
    said = []
    spread = [(number, _number(number["value"]), _number(number["std"])) for number in numbers if number["id"] in ours]
    with_std = [(number, value, std) for number, value, std in spread if value is not None and std]
    if with_std:
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


def _number(words: str) -> float | None:
    try:
        return float(words)
    except ValueError:  # nothing, or a published value in words
        return None


def _compared(
    number: Mapping[str, str], rows: Sequence[Mapping[str, Any]], pages: Sequence[str], sweeps: Mapping[str, str]
) -> list[list[str]]:
    name = [_text(number["row"]), _text(number["column"])]
    paper = _text(number["value"] + (f"{_PM}{number['std']}" if number["std"] else ""))
    if not rows:
        return [[*name, paper, "not yet run" + _NEEDS.get(number["needs"], ""), "", sweeps.get(number["id"], "")]]
    return [
        [*name, paper, _spread(row["value"], row["std"]), _difference(number, row["value"]), _circumstances(row, pages)] for row in rows
    ]


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
    return ", ".join([link, *(_text(part) for part in said if part)])


def _folded(title: str, content: str, *, unfolded: bool = False) -> str:
    return f"::::{{dropdown}} {_text(title)}\n" + (":open:\n" if unfolded else "") + f"\n{content}\n::::"


def table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A Markdown table; its cells are Markdown already."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def _text(words: str) -> str:
    """Plain words as Markdown that shows them as they are."""
    for sign in "\\`*_[]<>|${}":
        words = words.replace(sign, "\\" + sign)
    return words
