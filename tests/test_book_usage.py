"""Functions know their pages and pages their functions: read from the code, for the toy below and for the real book."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from filterlens.book import cards, chapters, usage

HOME = Path(__file__).resolve().parents[1]
CODE = """import filterlens as fl
import torch
from filterlens import models
from filterlens.lenses import gates as g
from filterlens.lenses.decoding import decode, respond as answer

model = models.load("lenet")
g.study(torch.ones(3), decode(model, "conv1").images)
fl.network.capture
"""
CALLED = {
    "filterlens.models.load", "filterlens.lenses.gates.study", "filterlens.lenses.decoding.decode", "filterlens.network.capture",
}  # fmt: skip


@pytest.fixture(scope="module")
def real() -> usage.Usage:
    found = chapters.usage(HOME)
    assert found is not None
    return found


def test_names_are_followed_through_imports_and_their_new_names() -> None:
    assert usage.called(CODE) >= CALLED
    assert not any("torch" in name or "respond" in name or name.endswith("images") for name in usage.called(CODE))


def test_code_is_found_in_cells_and_in_fences_but_not_in_words(tmp_path: Path) -> None:
    fenced = f"Say `models.save` aloud.\n\n```python\n{CODE}```\n\n```bash\nmake\n```\n"
    (tmp_path / "page.md").write_text(fenced)
    cells = [{"cell_type": "markdown", "source": [fenced]}, {"cell_type": "code", "source": ["from filterlens import data\n", "data.load"]}]
    (tmp_path / "page.ipynb").write_text(json.dumps({"cells": cells}))
    assert usage.called(usage.code(tmp_path / "page.md")) >= CALLED
    assert usage.called(usage.code(tmp_path / "page.ipynb")) >= CALLED | {"filterlens.data.load"}
    assert "filterlens.models.save" not in usage.called(usage.code(tmp_path / "page.ipynb"))


def test_a_name_is_documented_where_the_api_page_has_it_and_methods_count_as_their_class(real: usage.Usage) -> None:
    its = real.library
    assert its.name("filterlens.figures.simplex.removal_curves") == "filterlens.figures.simplex.removal_curves"
    assert its.name("filterlens.explorer.isolation.isolation_explorer") == "filterlens.explorer.isolation_explorer"
    assert its.name("filterlens.lenses.decoding.ErrorTable.join") == "filterlens.lenses.decoding.ErrorTable"
    assert its.name("filterlens.lenses.gates.no_such_thing") is None and its.name("filterlens.lenses.decoding.CHARACTERS") is None


def test_no_public_function_of_a_lens_is_without_a_page(real: usage.Usage) -> None:
    lenses = [name for name in real.library.members if name.startswith(usage.LENSES)]
    rooms = {path.parent.name for path in (HOME / "lib/filterlens/lenses").glob("*/__init__.py")}
    assert {usage.room(name).removeprefix(usage.LENSES) for name in lenses} == rooms  # all of them are on the API page
    assert [name for name in lenses if not chapters.used_in(real, name, chapters.titles(HOME))] == []


def test_no_chapter_is_without_functions_of_a_lens(real: usage.Usage) -> None:
    notebooks = {f"notebooks/{path.stem}" for path in (HOME / "notebooks").glob("*.ipynb")}
    assert notebooks == set(real.pages) - {chapters.OWN_PAGE}
    for page in notebooks:
        names = real.of_page(page)
        assert len(names) > 10 and any(name.startswith((usage.LENSES, "filterlens.synthesis.")) for name in names), page


def test_what_no_page_calls_belongs_to_the_chapter_of_its_room(real: usage.Usage) -> None:
    literal = "filterlens.lenses.isolation.isolate_literally"
    assert real.of_name(literal) == [] and real.home(literal) == "notebooks/4-isolation"
    assert real.home("filterlens.lenses.attribution.explain") == "notebooks/4-isolation"  # called by another lens only


def test_a_function_tells_its_pages_and_a_page_its_functions(real: usage.Usage) -> None:
    spoken = chapters.titles(HOME)
    (_, line) = chapters.used_in(real, "filterlens.lenses.decoding.decode", spoken)
    assert line.startswith("Used in ") and ":doc:`Decoding </notebooks/3-decoding>`" in line
    section = chapters.functions(real, "notebooks/3-decoding")
    assert "- {py:obj}`decode <filterlens.lenses.decoding.decode>`: " in section and "isolate_literally" not in section
    assert section.index("filterlens.lenses.decoding") < section.index("Around the lens")


def test_the_card_and_the_functions_stand_in_the_chapter_and_nothing_else_changes() -> None:
    source = json.dumps({"cells": [{"cell_type": "markdown", "source": ["# T\n", "\n", "*after*\n", "\n", "Text."]}], "nbformat": 4})
    made = json.loads(cards.with_section(cards.with_card(source, "CARD"), "## F"))
    assert made["cells"][0]["source"] == "# T\n\n*after*\n\nCARD\n\nText." and made["cells"][1]["source"] == "## F"
    assert made["nbformat"] == 4 and "id" not in made["cells"][1]


def test_every_chapter_has_a_card_with_what_it_needs_and_gives() -> None:
    found = cards.load(HOME)
    assert {chapter.name for chapter in found} == {path.stem for path in (HOME / "notebooks").glob("*.ipynb")}
    for chapter in found:
        text = cards.card(chapter)
        assert f"{chapter.reading} minutes to read" in text and chapter.before in text and len(chapter.afterwards) >= 2
        assert 5 <= chapter.reading <= 40
    assert cards.table(found).count("](notebooks/") == len(found)


def test_reading_time_counts_words_and_pictures_and_no_code(tmp_path: Path) -> None:
    def minutes(*cells: dict[str, object]) -> int:
        (tmp_path / "n.ipynb").write_text(json.dumps({"cells": [{"metadata": {}, **cell} for cell in cells]}))
        return cards.reading_minutes(tmp_path / "n.ipynb")

    words = {"cell_type": "markdown", "source": ["word " * 1000]}
    code = {"cell_type": "code", "source": ["name " * 1000]}
    picture = {**code, "metadata": {"mystnb": {"image": {"alt": "x"}}}}
    assert minutes(words) == 5 and minutes(code) == 1 and minutes(words, code, *[picture] * 8) == 7
    assert minutes({**words, "source": ["```python\n" + "name " * 1000 + "\n```\n" + "[word](a-link-of-many-words-and-more) " * 400]}) == 2


def test_the_citation_is_that_of_the_file_and_names_all_five_papers() -> None:
    citation = yaml.safe_load((HOME / "CITATION.cff").read_text())
    text = chapters.bibtex(citation)
    assert f"title = {{{{{citation['title']}}}}}" in text and f"version = {{{citation['version']}}}" in text and text.count("{") == text.count("}")
    papers = {chapter.paper for chapter in cards.load(HOME)} - {None}
    cited = {f"{its['authors'][0]['family-names'].lower()}" for its in citation["references"]}
    assert len(papers) == len(cited) == 5 and all(any(paper.startswith(name) for name in cited) for paper in papers)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("lens: A", r"chapters.yml: 1-a: got the keys \['lens'\], expected"),
        ("{lens: A, question: B, difficulty: 4, before: C, afterwards: [D]}", "chapters.yml: 1-a: difficulty: got 4, expected one of"),
        ("{lens: A, question: B, difficulty: 1, before: C, afterwards: [D], time: 3}", "look at .'time'."),
    ],
)
def test_an_entry_that_is_not_whole_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "chapters.yml").write_text(f"1-a: {entry}" if entry[0] == "{" else f"1-a:\n  {entry}\n")
    with pytest.raises(ValueError, match=message):
        cards.load(tmp_path)
