"""Every notebook is committed empty, says what its parameters are, and runs to its end with the smoke profile."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from filterlens import runs
from filterlens.runs import parameters, records, sweeps

HOME = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((HOME / "notebooks").glob("*.ipynb"))
LONGEST_FUNCTION = 5  # longer ones belong into the library

each = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def _code(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks_and_each_is_a_page() -> None:
    assert NOTEBOOKS
    toc = yaml.safe_load((HOME / "book" / "_toc.yml").read_text())
    files = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert {file for file in files if file.startswith("notebooks/")} == {f"notebooks/{path.stem}" for path in NOTEBOOKS}
    for file in (file for file in files | {toc["root"]} if not file.startswith("notebooks/") and file not in ("results", "claims")):
        assert (HOME / "book" / f"{file}.md").exists(), file


@each
def test_committed_without_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert "widgets" not in content["metadata"] and "papermill" not in content["metadata"]
    for cell in _code(notebook):
        assert cell["outputs"] == [] and cell["execution_count"] is None


@each
def test_parameters_are_declared_and_every_profile_fits(notebook: Path) -> None:
    assert parameters.declared(notebook)["profile"].options == parameters.PROFILES
    for profile in parameters.PROFILES:
        runs.prepare(notebook, profile)


@each
def test_no_long_functions(notebook: Path) -> None:
    for cell in _code(notebook):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, f"{node.name} has more than {LONGEST_FUNCTION} lines"


@each
def test_exercises_have_folded_solutions(notebook: Path) -> None:
    text = "\n".join("".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "markdown")
    asked = re.findall(r"^:::\{exercise\}\n:label: (\S+)$", text, re.M)
    assert len(asked) >= 3 and asked == re.findall(r"^:::\{solution\} (\S+)\n:class: dropdown$", text, re.M)


@each
def test_no_path_of_a_machine(notebook: Path) -> None:
    source = notebook.read_text()
    for folder in ("home", "root", "tmp", "Users"):
        assert f"/{folder}/" not in source
    assert "C:\\\\" not in source


@each
def test_runs_with_the_smoke_profile(notebook: Path, tmp_path: Path) -> None:
    executed = runs.run(notebook, profile="smoke", out=tmp_path)
    assert executed == tmp_path / notebook.name
    said = ["".join(output.get("text", "")) for cell in _code(executed) for output in cell["outputs"] if output.get("name") == "stderr"]
    assert not [text for text in said if "constrained_layout" in text], "a figure's parts do not fit into it"
    counts = [cell["execution_count"] for cell in _code(executed)]
    assert counts == list(range(1, len(counts) + 1))
    published = records.published()
    rows = records.ledger("smoke")
    assert [row for row in rows if row["notebook"] == notebook.stem], "it records no number"
    assert all(row["id"] in published or row["id"].startswith("own-") for row in rows)


def test_profiles_name_only_what_exists() -> None:
    for profile in parameters.PROFILES:
        settings = yaml.safe_load((HOME / "notebooks" / "profiles" / f"{profile}.yaml").read_text()) or {}
        assert set(settings) <= {path.stem for path in NOTEBOOKS}


def test_the_ledger_holds_only_known_numbers_of_existing_notebooks_and_sweeps() -> None:
    published, chapters = records.published(), {path.stem for path in NOTEBOOKS}
    for row in [*records.ledger(), *records.ledger(records.SMALL)]:
        assert row["id"] in published or row["id"].startswith("own-")
        assert row["profile"] in (("book", "paper") if row["notebook"] in chapters else ("paper", "small"))
        assert row["notebook"] in {*chapters, *sweeps.names()}
