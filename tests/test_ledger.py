"""The ledger takes checked rows only, whole, and does not change when a measurement has not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from filterlens.runs import records
from filterlens.runs.records import record


def _row(**changes: Any) -> dict[str, Any]:
    row = {"id": "002-186", "value": 0.25, "std": 0.125, "n": 7, "seeds": "0 1", "profile": "book", "data": "toy", "note": ""}
    return {**row, "versions": "v", "hardware": "h", "date": "2026-01-02", **changes}


@pytest.fixture
def sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(records.RUN, "3-toy:paper")
    monkeypatch.setenv(records.SHEET, str(tmp_path / "rows.csv"))
    return tmp_path / "rows.csv"


def test_a_row_is_written_to_the_runs_sheet_and_read_back(sheet: Path) -> None:
    returned = record("002-187", 0.5, std=0.1, n=3, seeds=[0, 5], data="toy,  with a comma", note='a "note"')
    record("own-002-toy-number", 2, data="toy", note="a number of our own")
    first, second = records.read(sheet)
    assert first == returned
    assert (first["value"], first["std"], first["n"], first["seeds"], first["profile"]) == (0.5, 0.1, 3, "0 5", "paper")
    assert first["data"] == "toy, with a comma" and first["note"] == 'a "note"'
    assert (second["value"], second["std"], second["n"], second["seeds"]) == (2.0, None, None, "")
    assert "torch" in first["versions"] and "cores" in first["hardware"] and len(first["date"]) == 10


def test_outside_of_a_run_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(records.RUN, raising=False)
    monkeypatch.delenv(records.SHEET, raising=False)
    monkeypatch.chdir(tmp_path)
    assert record("002-186", 1.0, data="toy")["value"] == 1.0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"published_id": "002-999"}, ValueError),
        ({"published_id": "own-2-x"}, ValueError),
        ({"published_id": "own-002-Upper"}, ValueError),
        ({"published_id": 186}, TypeError),
        ({"value": math.nan}, ValueError),
        ({"value": math.inf}, ValueError),
        ({"value": "0.5"}, TypeError),
        ({"value": True}, TypeError),
        ({"std": -0.1}, ValueError),
        ({"std": math.nan}, ValueError),
        ({"n": 0}, ValueError),
        ({"n": 2.5}, TypeError),
        ({"seeds": "01"}, TypeError),
        ({"seeds": [-1]}, ValueError),
        ({"seeds": 3}, TypeError),
        ({"data": " "}, ValueError),
        ({"data": None}, TypeError),
        ({"note": 3}, TypeError),
    ],
)
def test_record_refuses(sheet: Path, wrong: dict[str, Any], error: type[Exception]) -> None:
    good = {"published_id": "002-186", "value": 0.5, "data": "toy", "note": "a note"}
    with pytest.raises(error, match=next(iter(wrong))):
        record(**{**good, **wrong})
    assert not sheet.exists()


@pytest.mark.bad_input
def test_record_refuses_an_own_number_without_a_note_and_an_id_twice(sheet: Path) -> None:
    with pytest.raises(ValueError, match="note"):
        record("own-002-toy", 0.5, data="toy")
    with pytest.raises(ValueError, match="did you mean '002-186'"):
        record("02-186", 0.5, data="toy")
    record("002-186", 0.5, data="toy")
    with pytest.raises(ValueError, match="published_id: '002-186' is recorded twice"):
        record("002-186", 0.6, data="toy")
    assert len(records.read(sheet)) == 1


def test_an_unchanged_measurement_keeps_its_line(tmp_path: Path) -> None:
    target = tmp_path / "3-toy.book.csv"
    records.enter([_row(), _row(id="002-187")], target)
    before = target.read_bytes()
    today = {"date": "2026-03-04", "hardware": "other", "versions": "newer"}
    records.enter([_row(value=0.25 * (1 + 1e-8), **today), _row(id="002-187", **today)], target)
    assert target.read_bytes() == before


@pytest.mark.parametrize("change", [{"value": 0.2501}, {"std": None}, {"n": 8}, {"seeds": "0"}, {"data": "toys"}])
def test_a_changed_measurement_gets_a_new_line(tmp_path: Path, change: dict[str, Any]) -> None:
    target = tmp_path / "3-toy.book.csv"
    records.enter([_row()], target)
    records.enter([_row(**change, date="2026-03-04")], target)
    (row,) = records.read(target)
    assert row["date"] == "2026-03-04" and row == _row(**change, date="2026-03-04")


def test_rows_of_a_run_replace_the_earlier_ones(tmp_path: Path) -> None:
    target = tmp_path / "3-toy.book.csv"
    records.enter([_row(), _row(id="002-187")], target)
    records.enter([_row(id="002-188")], target)
    assert [row["id"] for row in records.read(target)] == ["002-188"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "3-toy.book.csv"
    records.enter([_row()], target)
    before = target.read_bytes()
    with pytest.raises(KeyError):
        records.write(target, [_row(), {"id": "002-187"}])
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]


def test_the_ledger_of_all_profiles_leaves_smoke_and_small_out(tmp_path: Path) -> None:
    for notebook, profile in [("3-toy", "book"), ("3-toy", "smoke"), ("3-toy", "small"), ("4-toy.v2", "paper")]:
        records.enter([_row(profile=profile)], records.file_of(tmp_path, notebook, profile))
    assert [(row["notebook"], row["profile"]) for row in records.ledger(home=tmp_path)] == [("3-toy", "book"), ("4-toy.v2", "paper")]
    assert [row["profile"] for row in records.ledger("smoke", home=tmp_path)] == ["smoke"]
    assert records.ledger("nothing", home=tmp_path) == []
    with pytest.raises(TypeError, match="profile"):
        records.ledger(3, home=tmp_path)  # type: ignore[arg-type]


def test_a_file_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("id,value\n1,2\n")
    with pytest.raises(ValueError, match="broken.csv"):
        records.read(tmp_path / "broken.csv")


def test_published_numbers_have_unique_ids_and_all_five_papers() -> None:
    rows = records.published()
    assert len(rows) == 344 and {row["doc"] for row in rows.values()} == {"000", "001", "002", "003", "004"}
    assert rows["002-186"]["value"] == "0.002"
