"""The results page says what was measured and what was not; the site is built of executed notebooks, or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from toy_project import ALT, PICTURE, pages, project

from filterlens import book, runs
from filterlens.book import claims, docstrings, icons, pairs, results, weights
from filterlens.explorer import script
from filterlens.runs import records

NUMBERS = [
    ("002-001", "002", "Table 1", "L3", "MSE", "0.002", "0.001", "result", "cpu"),
    ("002-002", "002", "Table 1", "L5", "MSE", "0.012", "", "result", "gpu"),
    ("002-003", "002", "Table 2", "a | b", "$x$", "3", "", "result", "lost"),
    ("002-004", "002", "settings", "filters", "value", "20 of 5x5", "", "setting", ""),
    ("003-005", "003", "Table 1", "B1", "SSIM", "0.77", "", "result", "imagenet"),
]
NAMES = ("id", "doc", "table", "row", "column", "value", "std", "kind", "needs")
PM = "\u00a0±\u00a0"
PUBLISHED = {number[0]: {**dict(zip(NAMES, number, strict=True)), "source": "S", "note": ""} for number in NUMBERS}


def _row(**changes: Any) -> dict[str, Any]:
    row = {"id": "002-001", "value": 0.0035, "std": 0.0004, "n": 70000, "seeds": "0 1", "profile": "paper", "data": "mnist"}
    return {**row, "note": "our LeNet", "date": "2026-01-02", "notebook": "3-toy", "versions": "v", "hardware": "h", **changes}


def _line(page: str, start: str) -> str:
    (line,) = [line for line in page.splitlines() if line.startswith(start)]
    return line


def test_a_measured_number_stands_beside_the_papers_with_difference_and_circumstances() -> None:
    page = results.page(PUBLISHED, [_row()], ["3-toy"])
    circumstances = "[3-toy](notebooks/3-toy.ipynb), paper, n = 70,000, mnist, seeds 0 1, 2026-01-02"
    assert _line(page, "| L3") == f"| L3 | MSE | 0.002{PM}0.001 | 0.0035{PM}0.0004 | +0.0015 (+1.50 s.d.) | {circumstances} |"
    assert "Table 1: 1 of 2 measured" in page
    assert page.splitlines().count("our LeNet") == 1  # the note stands once, below the table


def test_what_was_measured_comes_first_under_plain_headings() -> None:
    page = results.page(PUBLISHED, [_row(id="003-005")], [])
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## Isolation", "## Decoding"]
    assert "{cite:t}`rafegas2015decoding`" in page.splitlines()


def test_what_was_not_run_says_so_and_what_it_needs() -> None:
    page = results.page(PUBLISHED, [_row()], [])
    assert "not yet run (needs a GPU)" in _line(page, "| L5")
    assert "not yet run (what it needs is lost)" in page and "not yet run (needs ImageNet)" in _line(page, "| B1")
    assert _line(page, "| Decoding").endswith("| 3 | 1 | 0 | 2 |") and _line(page, "| Isolation").endswith("| 1 | 0 | 0 | 1 |")
    assert "](notebooks/" not in page  # no link to a page that is not there


def test_a_small_number_stands_beside_what_was_not_run_and_is_not_compared() -> None:
    small = [_row(id="002-002", value=0.02, std=None, profile="small", note="2 of 50 epochs", notebook="002-small"), _row(profile="small", value=9.0)]
    page = results.page(PUBLISHED, [*small, _row()], [], sweeps={"002-002": "`filterlens sweep 002-table`"}, figure="a.svg")
    said = "`filterlens sweep 002-table`; 002-small, small, n = 70,000, mnist, seeds 0 1, 2026-01-02"
    assert _line(page, "| L5") == f"| L5 | MSE | 0.012 | not yet run (needs a GPU); small: 0.02 |  | {said} |"
    assert _line(page, "| Decoding").endswith("| 3 | 1 | 1 | 1 |") and "Table 1: 1 of 2 measured, 1 more at a small scale" in page
    assert "*Small:* 2 of 50 epochs" in page.splitlines() and "9" not in _line(page, "| L3")  # measured at the paper's scale already
    assert ":alt: 1 pairs" in page  # of the figure


def test_the_order_of_small_numbers_is_told_without_deviations() -> None:
    names = ("doc", "table", "row", "column", "value", "std", "kind", "needs", "source", "note")
    lines = {f"002-00{at}": ("002", "T", "net", f"{at}, accuracy %", value, "1", "result", "gpu", "S", "") for at, value in enumerate("975")}
    published = {name: {"id": name, **dict(zip(names, line, strict=True))} for name, line in lines.items()}
    small = [_row(id=name, value=value, profile="small") for name, value in zip(published, (3.0, 1.0, 2.0), strict=True)]
    page = results.page(published, small, [])
    assert "net, at a small scale: 2 of 3 pairs of numbers in the published order." in page and "within one published standard deviation." not in page


def test_the_claims_of_a_paper_stand_with_their_verdicts() -> None:
    its = claims.Claim(chapter="3-decoding", claim="It decodes.", section="s", verdict="holds", why="Seen\nhere.", bounds=("own-a < 1",))
    other = claims.Claim(chapter="4-isolation", claim="It isolates.", section="s", verdict="in direction", why="Nearly.")
    page = results.page(PUBLISHED, [], [], judged=claims.judged([its, its, other], {"own-a": 2.0}))
    assert "::::{dropdown} Claims: withdrawn 2" in page
    assert "| It decodes. | **withdrawn** | Seen here. **But:** own-a < 1 is not so (2, 1). |" in page.replace("\\", "")
    assert "::::{dropdown} Claims: in direction 1" in page.partition("## Isolation")[2] and "(claims.md#isolation)" in page


def test_profiles_stand_below_each_other_and_smoke_nowhere() -> None:
    smoke = [_row(profile="smoke", value=0.9), _row(id="002-002", value=0.02, std=None, profile="smoke")]
    rows = [_row(profile="book", value=0.004), _row(), *smoke]
    page = results.page(PUBLISHED, rows, [])
    assert len(re.findall(r"^\| L3 ", page, re.M)) == 2 and "0.9" not in page and "smoke" not in page
    assert "not yet run" in _line(page, "| L5")


def test_what_two_runs_measured_alike_stands_once_with_both_circumstances() -> None:
    page = results.page(PUBLISHED, [_row(profile="book"), _row(notebook="002-table")], [])
    assert _line(page, "| L3").endswith("3-toy, book, n = 70,000, mnist, seeds 0 1, 2026-01-02<br>002-table, paper, n = 70,000, mnist, seeds 0 1, 2026-01-02 |")
    assert len(re.findall(r"^\| L3 ", results.page(PUBLISHED, [_row(profile="book"), _row(n=5)], []), re.M)) == 2


def test_a_difference_is_given_without_deviations_where_the_paper_prints_none() -> None:
    page = results.page(PUBLISHED, [_row(id="002-002", value=0.0155, std=None)], [])
    assert "| 0.012 | 0.0155 | +0.0035 |" in _line(page, "| L5")


def test_own_numbers_and_settings_are_shown_apart_and_words_are_escaped() -> None:
    page = results.page(PUBLISHED, [_row(id="own-002-accuracy", value=98.5, std=None, n=None, note="percent, a_b")], [])
    assert _line(page, "| percent").startswith("| percent, a\\_b | 98.5 | 3-toy, paper, mnist, seeds 0 1, 2026-01-02 |")
    assert "| filters | value | 20 of 5x5 | settings |  |" in page and "(followed, not compared): 1" in page
    assert r"| a \| b | \$x\$ | 3 |" in page


def test_what_no_paper_measured_has_a_section_of_its_own() -> None:
    names = ("truth-gates-a", "agreement-b", "agreements", "truth-gates-c")
    rows = [_row(id=f"own-008-{name}", note=f"about {name}", notebook="6-all") for name in names]
    page = results.page(PUBLISHED, [*rows, _row()], ["6-all"])
    assert [line for line in page.splitlines() if line.startswith("## ")][-1] == "## Synthesis"
    section = page[page.index("## Synthesis") :]
    titles = [line.partition("} ")[2] for line in section.splitlines() if line.startswith("::::{dropdown}")]
    assert titles == ["Whether the lenses agree: 1", "Planted worlds: which class owns a filter: 2", "Further: 1"]
    assert _line(section, "| about agreement-b").startswith(f"| about agreement-b | 0.0035{PM}0.0004 | [6-all](notebooks/6-all.ipynb), paper")
    assert section.index("about truth-gates-c") < section.index("about agreements") and page.count("about ") == 4
    assert "Synthesis" not in results.page(PUBLISHED, [_row(id="own-002-x")], [])


def test_bars_and_argument_lists_of_docstrings_are_what_they_look_like() -> None:
    lines = ["Do it.", "", "name: of |df|", "    at ``a | b``", "n, m: sizes", "", "note: this is", "prose", "", "Raises: ValueError"]
    marked = ["Do it.", "", "Args:", "    name: of |df|", "        at ``a | b``", "    n, m: sizes", *lines[5:]]
    assert docstrings.mark_arguments(lines) == marked
    assert docstrings.escape_bars("at |df| and ``a | b``, |x|") == "at \\|df\\| and ``a | b``, \\|x\\|"


EXPLORER = f"""from filterlens.explorer import Explorer, panels

def said(side, column):
    return panels.Numbers(rows=[['column', f'{{column}} of {{side}}', '']])

Explorer({{'side': [2, 3], 'column': {{2: range(2), 3: range(3)}}}}, said, title='Columns', name='first')"""
NO_SUCH_THINGS = "```{explorer} 2-good/last\n```\n\n<i class=\"fa-solid fa-no-such-icon fa-lg\"></i>\n"
FRONT = """# Front

```{explorer} 2-good/first
```

:::{note}
So it is: {ledger}`002-186 .1%` or {ledger}`002-186`, in a {term}`box`.
:::

```{chapters}
```

```{citation}
```

```{page-weights}
```

```{glossary}
box
  A word with a meaning.
```
"""
CARD = """2-good:
  lens: Goodness
  question: Is it good?
  paper: rafegas2015decoding
  difficulty: 2
  before: nothing
  afterwards: [say so]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = "from filterlens import runs\nrow = runs.record('002-186', 0.25, n=3, data='toy data')"
    home = project(tmp_path_factory.mktemp("site"), {"2-good": [(PICTURE, ALT), record, EXPLORER]})
    pages(home, ["2-good"], FRONT)
    (home / "book" / "chapters.yml").write_text(CARD)
    with open(home / "book" / "bibliography.md", "a") as file:
        file.write("\nA formula, $x^2$, on this page only.\n\n<div data-filterlens-own-image></div>\n")
    said: list[str] = []
    index = book.build("book", home=home, workers=1, say=said.append)
    assert index == home / "_build" / "html" / "index.html" and index.exists()
    assert any("Executing 1 notebook" in line for line in said)
    listing = (home / "_build" / "page-weights.txt").read_text()
    assert listing in said and re.search(r"^notebooks/2-good.html +\d+ +\d+ ", listing, re.M)
    assert re.search(r"^explorers of 2-good, on demand +\d", listing, re.M)
    return home


def test_the_site_shows_executed_notebooks_results_and_alternative_texts(site: Path) -> None:
    html = site / "_build" / "html"
    chapter = (html / "notebooks" / "2-good.html").read_text()
    assert 'alt="a single white pixel"' in chapter
    assert "toy data" in (html / "results.html").read_text()
    assert "_static/vendor/mathjax/tex-chtml.js" in (html / "bibliography.html").read_text()
    assert (html / "_static" / "vendor" / "mathjax" / "tex-chtml.js").stat().st_size > 10**6


def test_the_front_page_shows_chapters_numbers_the_citation_and_what_pages_weigh(site: Path) -> None:
    html = site / "_build" / "html"
    front, chapter = ((html / name).read_text() for name in ("intro.html", "notebooks/2-good.html"))
    assert "So it is: <span class=\"ledger\">25.0%</span> or <span class=\"ledger\">0.25</span>" in front and 'href="#term-box"' in front
    assert re.search('href="notebooks/2-good.html"><span class="doc[^>]*>Goodness', front) and "Rafegas" in front and "@software" in front
    listing = dict(re.findall(r"^(\S+\.html) +(\S+) ", (site / "_build" / "page-weights.txt").read_text(), re.M))
    row = r'<tr><td><a href="notebooks/2-good.html">[^<]*2-good</a></td><td>([\d.]+)</td><td>[\d.]+</td></tr>'
    assert re.search(row, front)[1] == listing["notebooks/2-good.html"] and weights.PLACE not in front
    card = re.search(r'<div class="chapter-card[^>]*>(.*?)</div>', chapter, re.S)[1]
    assert re.search(r"a minute to read · runs in \d+ seconds · middling", card) and "say so" in card


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    found = list((site / "_build" / "html").rglob("*.html"))
    assert len(found) > 4
    loaded = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?(?:src|href)\s*=\s*[\"']((?:https?:)?//[^\"']+)")
    imported = re.compile(r"(?:@import|url\(|import\()\s*[\"']?((?:https?:)?//[^\"')]+)")
    foreign = {str(path): hits for path in found if (hits := loaded.findall(path.read_text()) + imported.findall(path.read_text()))}
    assert foreign == {}
    sheets = list((site / "_build" / "html" / "_static").rglob("*.css"))
    assert sheets and not [path for path in sheets if imported.search(path.read_text(errors="replace"))]


def test_an_explorer_stands_on_any_page_and_its_states_beside_the_chapter(site: Path) -> None:
    html = site / "_build" / "html"
    made = {path.name for path in (site / "book" / "notebooks" / "2-good.sheets").iterdir()}
    states = {path.name for path in (html / "notebooks" / "2-good.sheets").iterdir()}
    assert made == states | {"first.html"} and states and all(name.endswith(".js") for name in states)
    for page, folder in {"intro.html": "notebooks/2-good.sheets/", "notebooks/2-good.html": "2-good.sheets/"}.items():
        text = (html / page).read_text()
        assert f'data-filterlens-explorer data-sheets="{folder}"' in text
        assert re.search(r'<script defer="defer" src="[./]*_static/explorer.js\?v=\w+"', text) and "_static/explorer.css?v=" in text
    assert not [page for page in html.rglob("*.html") if "_static/explorer." in page.read_text() and page.stem not in ("intro", "2-good")]
    assert (html / "_static" / "explorer.js").read_text() == script.classic()


def test_only_a_page_with_a_board_carries_the_boards_script(site: Path) -> None:
    html = site / "_build" / "html"
    assert [page.name for page in html.rglob("*.html") if "_static/board." in page.read_text()] == ["bibliography.html"]
    text = (html / "bibliography.html").read_text()
    assert re.search(r'<script defer="defer" src="_static/board.js\?v=\w+"', text) and "_static/board.css?v=" in text
    for name, made in {"board.js": script.classic(board=True), "board.css": script.style(board=True)}.items():
        assert (html / "_static" / name).read_text() == made
    assert "mountOwn" in script.classic(board=True) and "mountOwn" not in script.classic()


def test_no_page_loads_what_it_does_not_need(site: Path) -> None:
    html = site / "_build" / "html"
    found = weights.weights(html)  # a page that asks for a missing file raises here
    assert not [part for parts in found.values() for part in parts if "fontawesome" in part or part.endswith((".ttf", ".woff2"))]
    assert not list(html.rglob("fontawesome*")) and not list(html.rglob("*.map"))
    assert {page for page, parts in found.items() if "_static/vendor/mathjax/tex-chtml.js" in parts} == {"bibliography.html"}
    assert "window.MathJax" in (html / "bibliography.html").read_text() and "window.MathJax" not in (html / "intro.html").read_text()
    assert max(sum(parts.values()) for page, parts in found.items() if page != "bibliography.html") < 200_000


def test_every_icon_of_a_page_is_drawn_by_the_small_style_sheet(site: Path) -> None:
    html = site / "_build" / "html"
    shown = set().union(*(icons.used(page.read_text()) for page in html.rglob("*.html")))
    assert {("fa-solid", "fa-moon"), ("fas", "fa-download"), ("fas", "fa-expand"), ("fa-solid", "fa-bars")} <= shown
    css = (html / "_static" / "icons.css").read_text()
    assert not [name for name in shown if f".{name[0]}.{name[1]}::before {{ width: " not in css]
    assert "Font Awesome Free" in css and "CC BY 4.0" in css and len(css) < 50_000
    assert re.search(r"\.admonition\.note>\.admonition-title:after\S* \{ content: \"\"", css)  # drawn by style sheets
    assert "div.exercise p.admonition-title::after { content" in css  # its style sheet is copied last
    assert not icons._FONTS.search((html / "_static/styles/pydata-sphinx-theme.css").read_text())


def test_each_chapter_offers_its_notebook_without_outputs(site: Path) -> None:
    html = site / "_build" / "html"
    chapter = (html / "notebooks" / "2-good.html").read_text()
    (link,) = re.findall(r'<a href="([^"]+)" download\s+class="btn [^"]*"', chapter)
    offered = (html / "notebooks" / link).resolve()
    assert offered.read_bytes() == (site / "notebooks" / "2-good.ipynb").read_bytes()
    assert not [cell for cell in json.loads(offered.read_text())["cells"] if cell.get("outputs")]
    assert "Download as a notebook" in chapter
    assert "Download as a notebook" not in (html / "results.html").read_text()
    assert not [page for page in html.rglob("*.html") if "window.print()" in page.read_text()]


def test_a_page_that_is_too_heavy_or_not_complete_is_not_published(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html = site / "_build" / "html"
    monkeypatch.setattr(weights, "LIMIT", 150_000)
    limit = r"bibliography.html takes \d+ kB, expected at most 150 kB; heaviest: "
    with pytest.raises(book.BookError, match=limit + r"\S+tex-chtml.js \d+ kB(, \S+ \S+ kB){4}\n"):
        book._weigh(html)
    icon = html / "_static" / "favicon.svg"
    content = icon.read_bytes()
    icon.unlink()
    try:
        with pytest.raises(book.BookError, match=r"html asks for \S*_static/favicon.svg, which is not there"):
            book._weigh(html)
    finally:
        icon.write_bytes(content)


def test_a_second_build_does_nothing_and_a_changed_page_is_built_anew(site: Path) -> None:
    index, said = site / "_build" / "html" / "index.html", []
    before = index.stat().st_mtime_ns
    book.build("book", home=site, say=said.append)
    assert (site / "_build" / "page-weights.txt").read_text() in said
    assert index.stat().st_mtime_ns == before and "The pages are up to date" in said and "  unchanged: 2-good" in said


def test_a_cell_that_raises_fails_the_build_and_leaves_no_site(site: Path) -> None:
    project(site, {"3-raises": ["raise ValueError('on purpose')"]})
    with pytest.raises(runs.RunError, match=r"(?s)3-raises.ipynb: cell 3 failed.*on purpose"):
        book.build("book", home=site, say=lambda _: None)
    assert not (site / "_build" / "html").exists()
    assert not (site / "book" / "notebooks" / "3-raises.ipynb").exists()
    (site / "notebooks" / "3-raises.ipynb").unlink()


@pytest.mark.bad_input
def test_a_wrong_parameter_fails_the_build_and_leaves_no_site(tmp_path: Path) -> None:
    home = project(tmp_path, {"2-good": ["1"]}, {"book": "2-good: {n_image: 3}"})
    index = home / "_build" / "html" / "index.html"
    index.parent.mkdir(parents=True)
    index.write_text("an old site")
    with pytest.raises(runs.ParameterError, match="n_image"):
        book.build("book", home=home, say=lambda _: None)
    assert not index.parent.exists()


def test_a_warning_fails_the_build_and_leaves_nothing_to_be_reused(site: Path) -> None:
    front = site / "book" / "intro.md"
    good = front.read_text()
    front.write_text(good + "\n[nowhere](no-such-page.md)\n\n{cite:t}`nobody2020nothing`\n\n" + NO_SUCH_THINGS)
    try:
        with pytest.raises(book.BookError) as error:
            book.render(site, say=lambda _: None)
        assert "there is no explorer 'last' of the notebook '2-good': notebooks/2-good.sheets/last.html does not exist" in str(error.value)
        assert "the icon 'fa-solid fa-no-such-icon', which the theme's icons do not have" in str(error.value)
        assert "nobody2020nothing" in str(error.value) and "no-such-page" in str(error.value)
        assert not (site / "_build" / "html").exists() and not (site / "_build" / "html.key").exists()
    finally:
        front.write_text(good)


def test_copies_of_notebooks_that_are_gone_are_removed(tmp_path: Path) -> None:
    project(tmp_path, {})
    folder = tmp_path / "book" / "notebooks"
    (folder / "1-gone.sheets").mkdir(parents=True)
    for name in ("1-gone.ipynb", "1-gone.key", "1-gone.sheets/first.html"):
        (folder / name).write_text("old")
    assert book.execute([], "book", home=tmp_path, say=lambda _: None) == []
    assert list(folder.iterdir()) == []


def test_the_page_of_the_real_numbers_counts_every_result() -> None:
    published = records.published()
    page = results.page(published, [], [])
    assert page.count("not yet run (") + page.count("not yet run |") - 1 == sum(number["kind"] == "result" for number in published.values())


def test_a_table_says_how_many_are_within_a_deviation_and_in_the_published_order() -> None:
    numbers = {"002-006": ("002", "Table 3", "net", "first, accuracy %", "90", "2"), "002-007": ("002", "Table 3", "net", "second, accuracy %", "80", "1"),
               "002-008": ("002", "Table 3", "net", "third, accuracy %", "70", "1"), "002-009": ("002", "Table 3", "net", "size, MB", "5", "")}  # fmt: skip
    names = ("doc", "table", "row", "column", "value", "std")
    published = {
        key: {**dict(zip(names, one, strict=True)), "id": key, "kind": "result", "needs": "", "source": "S", "note": ""}
        for key, one in numbers.items()
    }
    rows = [_row(id="002-006", value=88.5), _row(id="002-007", value=75.0), _row(id="002-008", value=76.0), _row(id="002-009", value=1.0)]
    page = results.page(published, rows, [])
    assert "1 of 3 numbers within one published standard deviation; 2 of 3 pairs of numbers in the published order." in page


def test_what_is_not_measured_says_which_sweep_would_or_why_none(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks" / "experiments"
    folder.mkdir(parents=True)
    (folder / "002-table.yaml").write_text("records: [{id: 002-002, value: mean}]\nleft_out: {002-003: lost a_b}\n")
    (folder / "002-table-small.yaml").write_text("scale: less\nrecords: [{id: 002-002, value: mean}, {id: 002-001, value: mean}]\n")
    told = results.by_sweep(tmp_path)
    assert told == {"002-002": "`filterlens sweep 002-table`", "002-003": "lost a\\_b"}
    page = results.page(PUBLISHED, [], [], sweeps=told)
    assert "| not yet run (needs a GPU) |  | `filterlens sweep 002-table` |" in _line(page, "| L5")


def test_the_picture_of_all_pairs_is_the_same_for_the_same_numbers(tmp_path: Path) -> None:
    rows = [_row(), _row(id="002-002", value=0.01), _row(id="002-001", value=0.9, profile="smoke"), _row(id="002-001", value=0.004, profile="book")]
    found = pairs.pairs(PUBLISHED, rows)
    assert [(one["group"], one["paper"], one["ours"], one["std"] > 0) for one in found] == [
        ("Decoding, Table 1", 0.002, 0.0035, True), ("Decoding, Table 1", 0.012, 0.01, False),
    ]  # fmt: skip
    first, second = (pairs.picture(found, tmp_path / name) for name in ("a.svg", "b.svg"))
    assert first.read_bytes() == second.read_bytes() and first.read_text().startswith("<?xml")
    assert pairs.picture([], tmp_path / "a.svg") is None and not first.exists()
    page = results.page(PUBLISHED, rows, [], figure="a.svg")
    assert ":alt: 2 pairs of a published number and ours; 0 of the 1 with a published deviation lie within one" in page
