"""All pairs of a published number and ours, and their figure for the results page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filterlens.book.papers import PAPERS
from filterlens.runs import records


def pairs(published: Mapping[str, Mapping[str, str]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every published result with a number of ours: group, paper, ours, std (NaN if none is published); of several profiles the paper's own,
    else the book's."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["profile"] not in (records.SMOKE, records.SMALL) and (row["id"] not in best or row["profile"] == "paper"):
            best[row["id"]] = row
    found = []
    for number in published.values():
        paper, std = number_of(number["value"]), number_of(number["std"])
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


def shown(figure: str, found: Sequence[Mapping[str, Any]]) -> str:
    spread = [abs(one["ours"] - one["paper"]) / one["std"] for one in found if one["std"] > 0]
    within = sum(off <= 1 for off in spread)
    said = f"{len(found)} pairs of a published number and ours; {within} of the {len(spread)} with a published deviation lie within one"
    caption = "All pairs at a glance: above in published standard deviations (the band is one), below the numbers without, as shares of them."
    return f"```{{figure}} {figure}\n:alt: {said}\n:width: 100%\n\n{caption} {said[0].upper()}{said[1:]}.\n```"


def number_of(words: str) -> float | None:
    try:
        return float(words)
    except ValueError:  # nothing, or a published value in words
        return None
