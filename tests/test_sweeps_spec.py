"""What a spec may say, and the error that names the key where it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy_sweeps

from filterlens import experiments
from filterlens.runs import records, sweeps
from filterlens.runs.sweeps import spec as specs

GOOD = {
    "about": "a toy", "experiment": "removal", "settings": {"network": "lenet", "pretrained": True, "data": "mnist-5k"},
    "grid": {"seeds": [0, 1], "sets": ["l1", "random"]},
}  # fmt: skip


def _read(folder: Path, said: object) -> sweeps.Spec:
    return sweeps.read(toy_sweeps.written(folder / "toy.yaml", said))


def test_cells_are_experiments_in_the_order_of_the_grid(tmp_path: Path) -> None:
    read = _read(tmp_path, {**GOOD, "each": [{"rates": 0.1}, {"rates": [0.0, 0.2]}]})
    assert [(one.rates, one.seeds, one.sets) for one in read.cells] == [
        (rates, (seed,), (name,)) for rates in ((0.1,), (0.0, 0.2)) for seed in (0, 1) for name in ("l1", "random")
    ]
    assert read.varied == ("rates", "seeds", "sets") and {type(one) for one in read.cells} == {experiments.Removal}
    assert {one.source for one in read.cells} == {"a toy"} and read.name == "toy"


def test_a_named_experiment_lends_its_settings(tmp_path: Path) -> None:
    read = _read(tmp_path, {"about": "a toy", "experiment": "retraining-lenet", "grid": {"rates": [0.5, 0.75]}})
    whole = experiments.EXPERIMENTS["retraining-lenet"]
    assert [one.rates for one in read.cells] == [(0.5,), (0.75,)]
    assert {(one.methods, one.longer, one.epochs) for one in read.cells} == {(whole.methods, whole.longer, whole.epochs)}


def test_a_tuple_of_tuples_may_be_given_one(tmp_path: Path) -> None:
    said = {"about": "a toy", "experiment": "starts-lenet", "grid": {"starts": [["a", "random", 1], ["b", "fabricated", "sparse"]]}}
    assert [one.starts for one in _read(tmp_path, said).cells] == [(("a", "random", 1.0),), (("b", "fabricated", "sparse"),)]


def test_the_projects_specs_are_sound_and_name_each_number_once() -> None:
    whole, small = {}, {}
    for name in sweeps.names():
        read = sweeps.read(name)
        named = small if read.scale else whole
        for one in [*(record.id for record in read.records), *read.left_out]:
            assert one not in named, f"{one} is in {named.get(one)} and in {name}"
            named[one] = name
    missing = [one["id"] for one in records.published().values() if one["kind"] == "result" and one["id"] not in whole]
    assert missing == ["001-159", "001-160"], "arithmetic, which the chapter records"


def test_every_result_that_needs_a_gpu_was_measured_at_some_scale_or_is_left_out_with_a_reason() -> None:
    left_out = {one for name in sweeps.names() for one in sweeps.read(name).left_out}
    at_hand = {row["id"] for row in [*records.ledger(), *records.ledger("small")]}
    needed = [one["id"] for one in records.published().values() if one["kind"] == "result" and one["needs"] in ("cpu", "gpu")]
    assert [one for one in needed if one not in at_hand | left_out] == []
    assert {one for one in needed if one not in at_hand} == {"001-064", "001-065"}


def test_the_ledger_holds_a_sweep_at_the_scale_that_its_spec_says() -> None:
    for name in sweeps.names():
        wrong = "paper" if sweeps.read(name).scale else "small"
        assert not records.file_of(specs.project_home(), name, wrong).exists()


def test_what_is_called_small_says_its_scale() -> None:
    assert {name for name in sweeps.names() if name.endswith("-small")} == {name for name in sweeps.names() if sweeps.read(name).scale}


def test_a_sweep_of_all_begins_with_what_a_processor_can_do() -> None:
    found = [(one.needs, one.name) for one in sweeps.every()]
    assert sorted(name for _, name in found) == [name for name in sweeps.names() if not name.endswith("-small")]
    assert [needs for needs, _ in found] == sorted((needs for needs, _ in found), key=specs.NEEDS.index)
    order = [name for _, name in found]
    for first, then in (("000-networks", "000-table-1"), ("000-networks-lenet", "000-table-1-lenet"), ("004-networks", "004-table-j1")):
        assert order.index(first) < order.index(then)


@pytest.mark.parametrize(
    ("name", "experiment", "keys"),
    [
        ("000-table-2-small", "starts-lenet", ("starts", "seeds")),
        ("000-table-3-small", "retraining-lenet", ("methods", "rates", "seeds")),
        ("003-table-1-small", "isolation-lite0", ("only",)),
        ("003-table-2-small", "isolation-ablation-lite0", ("only",)),
        ("004-table-j1-small", "black-box-resnet20-std", ("attacks",)),
    ],
)
def test_small_specs_are_the_named_experiments_in_parts(name: str, experiment: str, keys: tuple[str, ...]) -> None:
    whole, read = experiments.EXPERIMENTS[experiment], sweeps.read(name)
    for key in keys:
        parts = list(dict.fromkeys(value for one in read.cells for value in getattr(one, key)))
        assert sorted(map(str, parts)) == sorted(map(str, whole.layers if key == "only" else getattr(whole, key)))
        assert all(len(getattr(one, key)) == 1 for one in read.cells)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["a list"], "the file: got"),
        ({**GOOD, "grids": {}}, "grids: is not known.*did you mean 'grid'"),
        ({**GOOD, "about": ""}, "about: got ''"),
        ({**GOOD, "experiment": "removall"}, "experiment: got 'removall'.*did you mean 'removal'"),
        ({**GOOD, "experiment": None}, "experiment: got None"),
        ({**GOOD, "needs": "gpus"}, "needs: got 'gpus'.*did you mean 'gpu'"),
        ({**GOOD, "settings": {**GOOD["settings"], "trained_epochs": 2}}, "trained_epochs: got 2 without trained"),
        ({**GOOD, "scale": "less", "records": [{"id": "own-000-a", "value": "accuracy", "note": "a"}]}, "records: got 'own-000-a' in a spec with a scale"),
        ({**GOOD, "scale": 3}, "scale: got 3, expected a few words"),
        ({**GOOD, "scale": " "}, "scale: got ' ', expected a few words"),
        ({**GOOD, "settings": []}, "settings: got"),
        ({**GOOD, "settings": {"pretrained": True, "data": "mnist"}}, "network: is missing, expected text"),
        ({**GOOD, "settings": {**GOOD["settings"], "rate": 0.1}}, "rate: is not known.*did you mean 'rates'"),
        ({**GOOD, "settings": {**GOOD["settings"], "rates": "0.1"}}, "rates: got '0.1', expected a number"),
        ({**GOOD, "settings": {**GOOD["settings"], "rates": [0.1, 1.5]}}, "rates: got 1.5, expected 0 to 1"),
        ({**GOOD, "settings": {**GOOD["settings"], "n": 1.5}}, "n: got 1.5, expected a whole number or nothing"),
        ({**GOOD, "settings": {**GOOD["settings"], "n": True}}, "n: got True"),
        ({**GOOD, "settings": {**GOOD["settings"], "n": 0}}, "n: got 0, expected at least 1"),
        ({**GOOD, "settings": {**GOOD["settings"], "network": "lenett"}}, "network: got 'lenett'.*did you mean 'lenet'"),
        ({**GOOD, "settings": {**GOOD["settings"], "network": "torchvision/resnet5"}}, "network: got .*resnet5"),
        ({**GOOD, "settings": {**GOOD["settings"], "data": "mnists"}}, "data: got 'mnists'.*did you mean"),
        ({**GOOD, "grid": {"sets": ["l3"]}}, "sets: got 'l3', expected one of"),
        ({**GOOD, "grid": {"sets": []}}, "grid: sets: got .*, expected a list of at least one"),
        ({**GOOD, "grid": {"sets": "l1"}}, "grid: sets: got 'l1', expected a list"),
        ({**GOOD, "grid": {"seeds": [0, 0]}}, "grid: two cells have the same settings"),
        ({**GOOD, "grid": {"data": ["mnist"]}}, "grid: data: is one of the settings too"),
        ({**GOOD, "each": []}, "each: got .*at least one"),
        ({**GOOD, "each": [{"seeds": 3}]}, r"each\[0\]: seeds: is among"),
        ({**GOOD, "each": [{"rates": 0.1}, {"rates": -1}]}, r"each\[1\]: rates: got -1.0"),
        ({**GOOD, "records": {}}, "records: got"),
        ({**GOOD, "records": {"id": 1}}, "records: got"),
        ({**GOOD, "records": [{"id": "000-999", "value": "accuracy"}]}, r"records\[0\]: id: got '000-999'"),
        ({**GOOD, "records": [{"id": "000-020"}]}, r"records\[0\]: value: got None"),
        ({**GOOD, "records": [{"id": "000-020", "value": "accuracy", "times": "100"}]}, r"records\[0\]: times"),
        ({**GOOD, "records": [{"id": "000-020", "value": "accuracy", "when": {}}]}, r"records\[0\]: when: is not known.*did you mean 'where'"),
        ({**GOOD, "records": [{"id": "000-020", "value": "accuracy"}] * 2}, "records: '000-020' is there twice"),
        ({**GOOD, "left_out": {"000-028": ""}}, "left_out: 000-028: got ''"),
        ({**GOOD, "left_out": {"000-999": "why"}}, "left_out: got '000-999'"),
    ],
)
def test_a_spec_that_is_wrong_is_told_by_file_and_key(said: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(sweeps.SpecError, match=f"(?s)toy.yaml: .*{words}"):
        _read(tmp_path, said)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (3, TypeError, "spec"),
        ("", TypeError, "spec"),
        ("000-table-9", sweeps.SpecError, "did you mean '000-table-"),
        ("nowhere.yaml", sweeps.SpecError, "not a file"),
    ],
)
def test_a_spec_that_is_not_there_is_told(given: object, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        sweeps.read(given)


@pytest.mark.bad_input
def test_no_yaml_is_told(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text("about: [")
    with pytest.raises(sweeps.SpecError, match="toy.yaml: not YAML"):
        specs.read(tmp_path / "toy.yaml")
