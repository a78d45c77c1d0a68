"""Parameters are checked by name, type and range; nothing here starts a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_project import PARAMETERS, notebook, project

from filterlens.runs import parameters
from filterlens.runs.parameters import ParameterError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return project(tmp_path, {"2-toy": [], "3-other": []}, {"book": "2-toy: {n_images: 7}", "paper": "2-toy: {rate: 1}"})


def test_declarations_are_read_with_type_default_comment_and_bounds(home: Path) -> None:
    found = parameters.declared(home / "notebooks" / "2-toy.ipynb")
    assert list(found) == ["profile", "n_images", "rate", "unpool", "verbose"]
    n_images = found["n_images"]
    assert (n_images.kind, n_images.default, n_images.low, n_images.high) == (int, 3, 1, 10)
    assert n_images.comment == "how many images [1, 10]"
    assert found["unpool"].options == ("nearest", "bilinear")
    assert found["verbose"].kind is bool and found["rate"].kind is float


def test_check_fills_in_defaults_and_makes_whole_numbers_floats_where_declared(home: Path) -> None:
    values = parameters.check("2-toy", {"rate": 1, "n_images": 10}, home=home)
    assert values == {"profile": "book", "n_images": 10, "rate": 1.0, "unpool": "nearest", "verbose": False}
    assert isinstance(values["rate"], float)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_image": 3}, r"unknown parameter 'n_image'.*did you mean 'n_images'"),
        ({"n_images": 11}, r"n_images: got 11, expected int in \[1, 10\]"),
        ({"n_images": 0}, "n_images"),
        ({"n_images": 3.0}, "n_images: got float 3.0"),
        ({"n_images": "3"}, "n_images: got str '3'"),
        ({"n_images": True}, "n_images: got bool True"),
        ({"n_images": None}, "n_images"),
        ({"rate": 1.01}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"unpool": "neares"}, "unpool: .*did you mean 'nearest'"),
        ({"unpool": 1}, "unpool"),
        ({"verbose": 1}, "verbose"),
    ],
)
def test_check_refuses(home: Path, given: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        parameters.check("2-toy", given, home=home)


def test_parse_reads_words_as_the_declared_types(home: Path) -> None:
    words = ["n_images=4", "rate = 1e-1", "unpool=bilinear", "verbose=TRUE"]
    assert parameters.parse("2-toy", words, home=home) == {"n_images": 4, "rate": 0.1, "unpool": "bilinear", "verbose": True}


@pytest.mark.bad_input
@pytest.mark.parametrize("word", ["n_images", "n_images=4.5", "n_images=many", "n_images=99", "verbose=yes", "rate=nan", "rates=0.1"])
def test_parse_refuses(home: Path, word: str) -> None:
    with pytest.raises(ParameterError, match=word.partition("=")[0]):
        parameters.parse("2-toy", [word], home=home)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("n = 3  # how many [1, 5]", "name: type = value"),
        ("import os  # why", "name: type = value"),
        ("n: int = 3", "expected a comment"),
        ("n: int = 3  # how many", "range"),
        ("n: int = 3  # how many [1, x]", "range"),
        ("n: int = 9  # how many [1, 5]", "the default of: n"),
        ("n: list = []  # which [1, 5]", "expected the type"),
        ("n: int = 1 + len('ab')  # how many [1, 5]", "literal"),
        ("n: int = 3  # how many [1, 5]\nn: int = 4  # how many [1, 5]", "twice"),
        ("n: int = (", "not Python"),
    ],
)
def test_declarations_that_do_not_bound_a_parameter_are_refused(tmp_path: Path, cell: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        parameters.declared(notebook(tmp_path / "toy.ipynb", parameters=cell))


@pytest.mark.bad_input
def test_a_notebook_needs_exactly_one_parameters_cell(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="0 cells"):
        parameters.declared(notebook(tmp_path / "none.ipynb", parameters=None))
    with pytest.raises(ParameterError, match="2 cells"):
        parameters.declared(notebook(tmp_path / "two.ipynb", (PARAMETERS, {"tags": ["parameters"]})))
    (tmp_path / "no.ipynb").write_text("{")
    with pytest.raises(ParameterError, match="not a notebook"):
        parameters.declared(tmp_path / "no.ipynb")


@pytest.mark.bad_input
def test_unknown_notebooks_are_refused_with_the_nearest_name(home: Path) -> None:
    with pytest.raises(ParameterError, match="did you mean '2-toy'"):
        parameters.find("2-toi", home)
    with pytest.raises(TypeError, match="notebook"):
        parameters.find(3, home)  # type: ignore[arg-type]


def test_a_profile_sets_parameters_and_itself(home: Path) -> None:
    assert parameters.profile_parameters("2-toy", "book", home=home) == {"n_images": 7, "profile": "book"}
    assert parameters.profile_parameters("2-toy", "paper", home=home) == {"rate": 1.0, "profile": "paper"}
    assert parameters.profile_parameters("3-other", "smoke", home=home) == {"profile": "smoke"}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("2-toi: {n_images: 3}", "book.yaml: notebook: .*did you mean '2-toy'"),
        ("2-toy: {n_imagse: 3}", "unknown parameter 'n_imagse'.*did you mean"),
        ("2-toy: {n_images: 300}", "n_images"),
        ("- 2-toy", "mapping"),
        ("2-toy: [1]", "mapping"),
        ("2-toy: {", "not YAML"),
    ],
)
def test_a_profile_with_names_that_do_not_exist_is_refused(home: Path, yaml: str, said: str) -> None:
    (home / "notebooks" / "profiles" / "book.yaml").write_text(yaml)
    with pytest.raises(ParameterError, match=said):
        parameters.profile_parameters("2-toy", "book", home=home)


@pytest.mark.bad_input
def test_an_unknown_profile_is_refused(home: Path) -> None:
    with pytest.raises(ParameterError, match="profile: got 'boook'.*did you mean 'book'"):
        parameters.profile_parameters("2-toy", "boook", home=home)
