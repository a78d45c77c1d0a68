"""The study of agreement at a tiny scale: rows of every layer that takes part, gone on from layer by layer, read back as they were."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from killed_process import killed
from typer.testing import CliRunner
from toy_agreement import CLASSES, NORMALIZATION, Plain, Residual, images, layer, toy

from filterlens import __main__, experiments
from filterlens.experiments import agreement as study
from filterlens.experiments import series
from filterlens.experiments.begun import Begun, Row
from filterlens.synthesis import agreement
from filterlens.training.batching import Pair

torch.set_num_threads(1)
SETTINGS = study.AgreementStudy("a toy", "toy", True, "none", isolated=2, isolation_steps=2, batch_size=6)


def begun(model: torch.nn.Module, rows: list[Row]) -> Begun:
    return Begun(model, NORMALIZATION, None, Pair(*images()), list(rows), rows.extend, None)


def made(settings: study.AgreementStudy, model: torch.nn.Module, rows: list[Row] | None = None) -> list[Row]:
    rows = [] if rows is None else rows
    settings.run(begun(model, rows))
    return rows


def test_rows_are_the_scores_of_every_layer_in_order() -> None:
    model, (pixels, labels) = toy(Residual), images()
    rows = made(SETTINGS, model)
    assert list(rows[0]) == ["model", "layer", "removal", "degenerate", "n", "accuracy", "loss", "filter", *agreement.SCORES, *agreement.HALVES]
    assert [(row["layer"], row["filter"]) for row in rows] == [(name, k) for name, n in (("stem", 4), ("a", 7), ("b", 4)) for k in range(n)]
    own = agreement.scores(
        model, "b", pixels, labels, name="toy", normalization=NORMALIZATION, isolated=2, isolation_steps=2, batch_size=6, removable=["a"]
    )
    assert [*map(str, rows[11:])] == [*map(str, agreement.to_rows(own))]


def test_layers_and_filters_that_take_part() -> None:
    rows = made(replace(SETTINGS, stages=("a", "ste"), isolated=0), toy(Residual))
    assert {row["layer"] for row in rows} == {"stem", "a"}
    rows = made(replace(SETTINGS, most=5, isolated=0, seed=3), toy(Residual))
    chosen = {name: [row["filter"] for row in rows if row["layer"] == name] for name in ("stem", "a", "b")}
    assert chosen["stem"] == chosen["b"] == [0, 1, 2, 3]
    assert len(chosen["a"]) == 5 and chosen["a"] == sorted({*chosen["a"]}) and max(chosen["a"]) < 7
    rows = made(replace(SETTINGS, most=2, isolated=0, stages=("a", "b")), toy(Residual))
    assert [row["layer"] for row in rows] == ["a"] * 2 + ["b"] * 4  # all of the last


def test_logits_of_a_convolution_and_depthwise_layers_take_no_part() -> None:
    torch.manual_seed(0)
    parts = torch.nn.Conv2d(2, 4, 3), torch.nn.Conv2d(4, 4, 3, groups=4), torch.nn.Conv2d(4, 5, 3), torch.nn.Conv2d(5, CLASSES, (3, 5))
    model = torch.nn.Sequential(*parts, torch.nn.Flatten()).double().eval()
    model.input_size = (2, 9, 11)
    assert {row["layer"] for row in made(replace(SETTINGS, isolated=0), model)} == {"0", "2"}
    assert {row["layer"] for row in made(replace(SETTINGS, isolated=0), toy(Plain))} == {"0", "2"}


def test_an_interrupted_run_ends_in_the_same_rows() -> None:
    whole = made(SETTINGS, toy(Residual))
    rows: list[Row] = []

    def stop(more: list[Row]) -> None:
        if rows:
            raise KeyboardInterrupt
        rows.extend(more)

    with pytest.raises(KeyboardInterrupt):
        SETTINGS.run(replace(begun(toy(Residual), rows), keep=stop))
    assert len(rows) == 4
    assert [*map(str, made(SETTINGS, toy(Residual), rows))] == [*map(str, whole)]
    kept: list[Row] = []
    SETTINGS.run(replace(begun(toy(Residual), whole), keep=kept.extend))
    assert not kept


def test_names_and_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replace(SETTINGS, network="resnet20", pretrained="public").name == "resnet20-public" and SETTINGS.name == "toy"
    monkeypatch.setattr(study.gated, "names", lambda: ["toy"])
    gates = torch.stack([torch.ones(3, 4), torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]])])
    for gated_at_all in (True, False):
        monkeypatch.setattr(study.gated, "load", lambda name, so=gated_at_all: SimpleNamespace(gates=gates, gated=torch.tensor([False, so])))
        rows = made(replace(SETTINGS, stages=("b",), isolated=0), toy(Residual))
        assert [row["ownership"] for row in rows] == pytest.approx([1, 1, 0.333333, 1] if gated_at_all else [np.nan] * 4, nan_ok=True)


def test_from_the_command_to_the_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = study.AgreementStudy("LeNet", "lenet", True, "mnist-5k", ("conv1",), n=30, isolated=3, isolation_steps=2)
    monkeypatch.setitem(experiments.EXPERIMENTS, "agreement-tiny", tiny)
    out, far = tmp_path / "rows.csv", tmp_path / "far"
    assert killed(2, lambda: experiments.make("agreement-tiny", out=out, checkpoint=far)) == signal.SIGKILL
    assert not out.exists()
    monkeypatch.setattr(study, "scores", None)  # the only layer has its rows
    result = experiments.make("agreement-tiny", out=out, checkpoint=far)
    assert len(result.rows) == 20 and result.about["n"] == 30 and set(result.rows["model"]) == {"lenet"}
    assert result.rows["isolation"].notna().sum() == 3 and result.rows["ownership"].isna().all()
    halves = result.rows[list(agreement.HALVES)].mean(axis=1)  # of 15 images each
    np.testing.assert_allclose(halves, result.rows["loss_rise"], atol=1e-5 * result.rows["loss_rise"].abs().max())
    assert result.rows["accuracy"].unique().tolist() == pytest.approx([result.about["baseline"]], rel=1e-5)
    read = experiments.load(out)
    pd.testing.assert_frame_equal(read.rows, result.rows)
    (layer,) = agreement.from_rows(read.rows)
    found = agreement.agree([layer])
    assert found.names == ("positional", "l1", "l2", "fpgm", "geometric_median", "loss_rise", "accuracy_drop", "class_entropy", "isolation")
    assert found.pair("l1", "l2").rho > 0.8 and found.pair("isolation", "l1").note == "no layer has 4 filters with both"


def test_real_settings_are_the_issues() -> None:
    assert {name: experiments.EXPERIMENTS[f"agreement-{name}"] for name in study.STUDIES} == study.STUDIES
    assert len({one.name for one in study.STUDIES.values()}) == 9
    assert {name: one.n for name, one in study.STUDIES.items() if one.n != 500} == {"lenet": 4000} and {one.isolation_steps for one in study.STUDIES.values()} == {50}
    whole = [name for name, one in study.STUDIES.items() if one.stages is None and one.most is None]
    assert whole == ["lenet", "resnet20", "resnet20-std", "resnet20-csg", "resnet20-public"]
    assert study.STUDIES["resnet56-public"].stages == ("layer2", "layer3") and study.STUDIES["lite0"].most == 16


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two experiments on a layer of LeNet each, and a project and a cache of their own."""
    tiny = {
        f"agreement-{name}": study.AgreementStudy("LeNet", "lenet", True, "mnist-5k", stages, n=20, isolated=0)
        for name, stages in (("one", ("conv1",)), ("two", ("conv2",)))
    }
    monkeypatch.setattr(experiments, "EXPERIMENTS", tiny)
    monkeypatch.setattr(study, "STUDIES", {"one": None, "two": None})
    monkeypatch.setattr(experiments, "folder", lambda: tmp_path / "experiments")
    monkeypatch.setattr(experiments, "cache", lambda: tmp_path / "cache")


def test_one_command_runs_them_all_and_goes_on(two: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = study.scores, []
    monkeypatch.setattr(study, "scores", lambda model, layer, *what, **how: asked.append(layer) or real(model, layer, *what, **how))

    def stop(made: experiments.Experiment) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        series.make_all("agreement", ["one", "two"], on_made=stop)
    done = CliRunner().invoke(__main__.app, ["agreement"])
    assert done.exit_code == 0, done.output
    assert asked == ["conv1", "conv2"]  # the first was not measured again
    rows = [experiments.load(f"agreement-{name}").rows for name in ("one", "two")]
    assert [len(table) for table in rows] == [20, 50] and not list((tmp_path / "cache" / "experiments" / "agreement").iterdir())
    told = done.stdout.splitlines()
    assert told[0].startswith(f"{tmp_path / 'experiments' / 'agreement-one.csv'}: 20 rows, ") and len([*filter(str.strip, told)]) > 10
    assert done.stdout.endswith(f"\n\n{study.in_words([rows[0].assign(model='a'), rows[1].assign(model='b')])}\n")


def test_the_words_hold_every_pair_that_was_measured() -> None:
    x = np.arange(20.0)
    scored = layer(l1=x, loss_rise=x + 6 * np.sin(7 * x), votes=-x, accuracy_drop=np.ones(20))
    told = study.in_words([pd.DataFrame(agreement.to_rows(scored))]).splitlines()
    assert told[0].startswith("Spearman's rho within layers: 20 filters, layers: 1, networks: 1; 95 % intervals")
    assert "by 1.00 [" in told[1] and [line for line in told if ", pairs: " in line] == ["opposite, pairs: 2", "not shown, pairs: 0", "agree, pairs: 1"]
    assert [line.split()[:3] for line in told if " n = " in line][0] == ["l1", "votes", "-1.00"]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("kind", 3, TypeError), ("kind", "agreements", ValueError), ("names", "one", TypeError), ("names", None, TypeError),
        ("names", ["three"], ValueError), ("names", [1], TypeError), ("out", 3, TypeError), ("out", "", TypeError), ("out", False, TypeError),
    ],
)  # fmt: skip
def test_series_refuses(two: None, name: str, value: object, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "make", lambda *_, **__: pytest.fail("an experiment was started"))
    with pytest.raises(error, match=f"^{name}"):
        series.make_all(**{"kind": "agreement", "names": ["one"], name: value})


@pytest.mark.bad_input
def test_the_command_refuses_in_a_line(two: None) -> None:
    done = CliRunner().invoke(__main__.app, ["agreement", "ones"])
    assert done.exit_code == 2 and "did you mean" in done.output
