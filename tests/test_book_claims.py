"""The table of claims: every verdict has its section, its numbers and its evidence, and falls with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filterlens.book import cards, claims
from filterlens.runs import records

HOME = Path(__file__).resolve().parents[1]
REAL = claims.load(HOME)
LEDGER = {"own-000-a": 2.0, "own-000-b": 1.5, "000-001": 10.0}
TABLE = """<style>td {}</style><table><thead><tr><th>claim</th><th>paper</th><th>here</th></tr></thead><tbody>
<tr><th>it &lt; that</th><td>yes</td><td>0.5 * 2</td></tr><tr><th>other</th><td>no</td><td></td></tr></tbody></table>"""


def _claim(**changes: object) -> claims.Claim:
    given = {"chapter": "1-a", "claim": "It is so.", "section": "The proof", "verdict": "holds", "why": "Seen.", "row": "it < that"}
    return claims.Claim(**{**given, **changes})  # type: ignore[arg-type]


def _page(*entries: claims.Claim) -> str:
    rows = {"it < that": {"paper": "yes", "here": "0.5 * 2"}, "other": {"paper": "no", "STD": "-", "CSG": "3"}}
    return claims.page(entries, {"1-a": rows}, LEDGER, {"1-a": "Simplex"}, {"1-a": {"The proof"}})


def _line(page: str, part: str) -> str:
    (line,) = [line for line in page.splitlines() if part in line and line.startswith("| [")]
    return line


@pytest.mark.parametrize(
    ("bound", "wanted"),
    [
        ("own-000-a > own-000-b", True), ("own-000-a - own-000-b > 0.5", False), ("own-000-a - own-000-b >= 0.5", True),
        ("-0.1 < own-000-a - own-000-b - 0.5 < 0.1", True), ("1 < own-000-a < 2", False), ("own-000-a + 8 <= 000-001", True),
        ("own-000-lost > 0", False), ("own-000-lost < 0", False),
    ],
)  # fmt: skip
def test_a_bound_is_a_comparison_of_sums_of_rows(bound: str, wanted: bool) -> None:
    assert claims.holds(bound, LEDGER)[0] is wanted


@pytest.mark.bad_input
@pytest.mark.parametrize("bound", ["own-000-a", "own-000-a > own-000-b own-000-b", "own-000-a * 2 > 1", "own-000-a >", ""])
def test_another_bound_is_refused(bound: str) -> None:
    with pytest.raises(ValueError, match=r"got .*, expected"):
        claims.holds(bound, LEDGER)


def test_a_claim_quotes_its_row_and_leads_to_its_section() -> None:
    line = _line(_page(_claim()), "It is so.")
    assert line == "| [It is so.](notebooks/1-a.ipynb#the-proof) | yes | 0.5 \\* 2 | **holds** | Seen. |"
    assert "](notebooks/1-a.ipynb) |" in _line(_page(_claim(section="Gone")), "It is so.")


def test_a_verdict_falls_with_its_evidence() -> None:
    good, bad = _claim(bounds=("own-000-a > 1",)), _claim(claim="Not so.", bounds=("own-000-a < 1",), row="other")
    page = _page(good, bad, _claim(claim="Too late.", unmeasured=("000-001",)))
    assert "**holds**" in _line(page, "It is so.")
    fallen = _line(page, "Not so.")
    assert "**withdrawn**" in fallen and "**But:** own-000-a \\< 1 is not so (2, 1)." in fallen
    assert "CSG: 3" in fallen and "STD" not in fallen
    assert "000-001 has been measured" in _line(page, "Too late.")
    assert "| all | 1 |  |  |  |  | 2 |" in page


def test_numbers_of_a_small_scale_never_stand_for_the_papers() -> None:
    rows = [{"id": "000-011", "value": value, "profile": profile} for value, profile in ((1.0, "paper"), (2.0, "small"), (3.0, "book"))]
    assert claims.values(rows) == {"000-011": 3.0, "small:000-011": 2.0}
    assert claims.holds("small:000-011 < 000-011", claims.values(rows))[0]


def test_a_row_without_an_entry_is_shown_as_not_yet_judged() -> None:
    assert "| other |  | CSG: 3 | not yet judged |  |" in _page(_claim())


def test_the_table_of_claims_is_read_from_the_executed_chapter(tmp_path: Path) -> None:
    shown = {"data": {"text/html": [TABLE]}}
    earlier = {"cell_type": "code", "source": [], "outputs": [shown]}
    title = {"cell_type": "markdown", "source": [f"## {claims.SECTION}"]}
    other = {"cell_type": "code", "source": [], "outputs": [{"data": {"text/html": ["<table><tr><th>x</th></tr></table>"]}}, {"text": "a"}]}
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [earlier, title, other, earlier]}))
    assert claims.measured(path) == {"it < that": {"paper": "yes", "here": "0.5 * 2"}, "other": {"paper": "no", "here": ""}}
    path.write_text(json.dumps({"cells": [earlier, title]}))
    assert claims.measured(path) == {} == claims.measured(tmp_path / "none.ipynb")


@pytest.mark.parametrize("claim", REAL, ids=lambda claim: f"{claim.chapter}: {claim.claim[:40]}")
def test_a_verdict_of_the_book_has_its_evidence_its_section_and_its_row(claim: claims.Claim) -> None:
    assert claim.broken(claims.values([*records.ledger(), *records.ledger("small")])) == []
    notebook = HOME / "notebooks" / f"{claim.chapter}.ipynb"
    assert claim.section in claims.headings(notebook)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert claim.row in "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert bool(claim.row) != bool(claim.numbers) or claim.verdict == "cannot be tested here"
    assert claim.why.strip().endswith((".", "`"))


def test_every_chapter_of_a_paper_has_claims() -> None:
    assert {claim.chapter for claim in REAL} == {chapter.name for chapter in cards.load(HOME) if chapter.paper}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{claim: A, section: B, verdict: maybe, why: C}", r"1-a: 'A': verdict: got 'maybe', expected one of"),
        ("{claim: A, section: B, verdict: holds}", "1-a: 'A': .*why"),
        ("{claim: A, section: B, verdict: holds, why: C, if: D}", "1-a: 'A': .*'if'"),
    ],
)
def test_an_entry_that_is_not_whole_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "claims.yml").write_text(f"1-a:\n  - {entry}\n")
    with pytest.raises(ValueError, match=message):
        claims.load(tmp_path)
