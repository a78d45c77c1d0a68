"""Notebooks as jobs: executed when something changed, entered when finished, and without a trace when they fail."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_project import ALT, PICTURE, project

import filterlens
from filterlens import runs
from filterlens.runs import records

SAY = "import os\nprint(n_images, profile, os.environ['OMP_NUM_THREADS'], os.environ['TQDM_DISABLE'], os.environ['FILTERLENS_RUN'])"
RECORD = "from filterlens import runs\nrow = runs.record('002-186', 0.25 * n_images, std=0.125, n=n_images, seeds=[0], data='toy')"
FAILS = "first = 1\nsecond = 2\nraise RuntimeError('on purpose')"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    cells = {"2-says": [SAY], "3-records": [RECORD], "4-fails": [RECORD, FAILS], "8-stops": [SAY, FAILS]}
    return project(tmp_path / "project", cells, {"book": "2-says: {n_images: 7}"})


def _printed(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_run_executes_with_the_profiles_parameters_and_is_then_reused(home: Path) -> None:
    ticks: list[int] = []
    environment = dict(os.environ)
    path = runs.run("2-says", home=home, on_cell=lambda: ticks.append(1))
    assert path == home / "_build" / "runs" / "book" / "2-says.ipynb"
    assert _printed(path).split() == ["7", "book", "1", "1", "2-says:book"]
    assert dict(os.environ) == environment
    assert len(ticks) == 3  # the parameters, the ones that papermill adds, the one cell
    executed = json.loads(path.read_text())
    assert "widgets" not in executed["metadata"] and str(home) not in path.read_text()
    before = path.stat().st_mtime_ns
    assert runs.run("2-says", home=home) == path and path.stat().st_mtime_ns == before
    assert runs.is_current("2-says", profile="book", out=path.parent, home=home)
    assert _files(path.parent) == ["2-says.ipynb", "2-says.key"]


def test_a_parameter_or_force_executes_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat

    executions = []

    def execute(source: Path, values: dict[str, object], on_cell: Callable[[], object]) -> object:
        executions.append(values["n_images"])
        return nbformat.read(source, as_version=4)

    monkeypatch.setattr(runs, "_execute", execute)
    for parameters, force in [({}, False), ({}, False), ({"n_images": 2}, False), ({"n_images": 2}, False), ({"n_images": 2}, True)]:
        runs.run("2-says", parameters=parameters, force=force, home=home)
    assert executions == [7, 2, 2]
    (home / "notebooks" / "profiles" / "book.yaml").write_text("2-says: {n_images: 2}")
    runs.run("2-says", home=home)
    assert executions == [7, 2, 2]  # the same values by another way


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"parameters": {"n_image": 1}}, "n_image"),
        ({"parameters": {"n_images": 0}}, "n_images"),
        ({"parameters": {"unpool": "cubic"}}, "unpool"),
        ({"parameters": {"profile": "smoke"}}, "profile"),
        ({"profile": "papers"}, "profile"),
        ({"notebook": "9-none"}, "notebook"),
    ],
)
def test_nothing_starts_with_a_wrong_argument(home: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], said: str) -> None:
    monkeypatch.setattr(runs, "_execute", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(runs.ParameterError, match=said):
        runs.run(**{"notebook": "2-says", "home": home, **arguments})
    assert not (home / "_build").exists()


def test_a_finished_run_enters_its_rows_and_an_own_one_does_not(home: Path) -> None:
    target = records.file_of(home, "3-records", "book")
    runs.run("3-records", home=home)
    (row,) = records.read(target)
    assert (row["id"], row["value"], row["n"], row["profile"]) == ("002-186", 0.75, 3, "book")
    before = target.read_bytes()
    runs.run("3-records", parameters={"n_images": 9}, home=home)
    assert target.read_bytes() == before and _files(target.parent) == [target.name]


def test_a_failed_run_says_which_cell_and_leaves_nothing_that_looks_finished(home: Path) -> None:
    earlier = home / "_build" / "runs" / "book"
    earlier.mkdir(parents=True)
    (earlier / "4-fails.ipynb").write_text("an earlier copy")
    records.enter([], records.file_of(home, "4-fails", "book"))
    with pytest.raises(runs.RunError) as error:
        runs.run("4-fails", home=home)
    said = str(error.value)
    assert "4-fails.ipynb: cell 4 failed" in said  # a title, the parameters, RECORD, FAILS
    assert "    first = 1\n" in said and "RuntimeError: on purpose" in said
    assert _files(earlier) == [] and _files(home / "data" / "results") == []


def test_a_failed_cell_is_counted_as_in_the_notebook_when_papermill_adds_one(home: Path) -> None:
    with pytest.raises(runs.RunError, match="cell 4 failed"):
        runs.run("8-stops", parameters={"n_images": 9}, home=home)


def test_a_picture_without_alternative_text_is_refused(home: Path) -> None:
    project(home, {"5-mute": [PICTURE], "6-told": [(PICTURE, ALT)], "7-blank": [(PICTURE, {"mystnb": {"image": {"alt": " "}}})]})
    with pytest.raises(runs.RunError, match=r"(?s)5-mute.ipynb: cell 3 shows a picture \(image/png\) without.*import base64.*mystnb"):
        runs.run("5-mute", home=home)
    with pytest.raises(runs.RunError, match="7-blank.ipynb: cell 3"):
        runs.run("7-blank", home=home)
    assert runs.run("6-told", home=home).exists()
    assert _files(home / "_build") == ["6-told.ipynb", "6-told.key", "book", "runs"]


def test_several_run_at_a_time_and_the_others_finish_when_one_fails(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = home / "out"
    with pytest.raises(runs.RunError, match="8-stops.ipynb: cell 4 failed") as error:
        runs.run_all(["2-says", "8-stops"], profile="smoke", out=out, workers=2, home=home)
    assert "2-says" not in str(error.value)
    assert _files(out) == ["2-says.ipynb", "2-says.key"]
    assert "cells executed" in capfd.readouterr().err
    assert runs.run_all(["2-says"], profile="smoke", out=out, home=home) == [out / "2-says.ipynb"]


@pytest.mark.bad_input
@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_wrong_number_of_workers_is_refused(home: Path, workers: object) -> None:
    with pytest.raises(ValueError, match="workers"):
        runs.run_all(["2-says"], workers=workers, home=home)  # type: ignore[arg-type]


@pytest.fixture
def keyed(home: Path) -> tuple[Path, Callable[..., str]]:
    for name in ("data/checkpoints/lenet.safetensors", "data/samples/a/b.png", "requirements.txt", "data/results/9-other.paper.csv"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("before")
    values = {"n_images": 7}

    def key(values: dict[str, object] = values, profile: str = "book", notebook: str = "2-says") -> str:
        return runs.key(home / f"notebooks/{notebook}.ipynb", values, profile, home=home)

    return home, key


@pytest.mark.parametrize(
    "name",
    [
        "notebooks/2-says.ipynb",
        "data/checkpoints/lenet.safetensors",
        "data/samples/a/b.png",
        "data/published.csv",
        "requirements.txt",
        "data/results/9-other.paper.csv",
        "data/checkpoints/new.safetensors",
    ],
)
def test_the_key_changes_with_what_a_run_depends_on(keyed: tuple[Path, Callable[..., str]], name: str) -> None:
    home, key = keyed
    before = key()
    (home / name).write_text("after")
    assert key() != before


def test_the_key_changes_with_parameters_profile_and_notebook(keyed: tuple[Path, Callable[..., str]]) -> None:
    _, key = keyed
    assert len({key(), key({"n_images": 8}), key({"rate": 7}), key(profile="paper"), key(notebook="3-records")}) == 5


@pytest.mark.parametrize(
    "name", ["data/results/2-says.book.csv", "data/results/2-says.smoke.csv", "data/results/9-a.small.csv", "notebooks/3-records.ipynb", "README.md", "data/a.part"]
)
def test_the_key_stays_with_what_it_does_not_depend_on(keyed: tuple[Path, Callable[..., str]], name: str) -> None:
    home, key = keyed
    before = key()
    (home / name).write_text("after")
    os.utime(home / "requirements.txt", (1, 1))
    assert key() == before


def test_the_key_changes_with_the_library_and_not_with_where_the_project_lies(tmp_path: Path) -> None:
    folders = []
    for name in ("here", "there"):
        library = tmp_path / name / "lib"
        (library / "rooms" / "__pycache__").mkdir(parents=True)
        (library / "rooms" / "a.py").write_text("a = 1")
        folders.append(library)
    here, there = folders
    assert runs.fingerprint([here], here.parent) == runs.fingerprint([there], there.parent)
    (here / "rooms" / "__pycache__" / "a.pyc").write_text("compiled")
    assert runs.fingerprint([here], here.parent) == runs.fingerprint([there], there.parent)
    (here / "rooms" / "a.py").write_text("a = 2")
    changed = runs.fingerprint([here], here.parent)
    assert changed != runs.fingerprint([there], there.parent)
    (here / "rooms" / "a.py").rename(here / "rooms" / "b.py")
    assert runs.fingerprint([here], here.parent) != changed


@pytest.mark.parametrize("package", ["python", "torch", "torchvision", "timm", "numpy", "matplotlib"])
def test_the_key_changes_with_the_versions_of_python_and_packages(
    keyed: tuple[Path, Callable[..., str]], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    _, key = keyed
    before, version = key(), records.metadata.version
    if package == "python":
        monkeypatch.setattr(records.platform, "python_version", lambda: "9.9")
    monkeypatch.setattr(records.metadata, "version", lambda name: "9.9" if name == package else version(name))
    assert key() != before


def test_the_key_does_without_a_package_that_is_not_installed(
    keyed: tuple[Path, Callable[..., str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = keyed
    before, version = key(), records.metadata.version

    def missing(name: str) -> str:
        if name == "timm":
            raise records.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(records.metadata, "version", missing)
    assert key() != before


def test_the_key_covers_every_file_of_the_library(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(runs, "fingerprint", lambda files, home, *, start, also: seen.update(also))
    runs.key(home / "notebooks" / "2-says.ipynb", {}, "book", home=home)
    assert seen["library"] == Path(filterlens.__file__).parent
