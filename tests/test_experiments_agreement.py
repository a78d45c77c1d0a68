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
from toy_agreement import CLASSES, NORMALIZATION, Plain, Residual, images, toy

from filterlens import experiments
from filterlens.experiments import agreement as study
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
    assert list(rows[0]) == ["model", "layer", "removal", "degenerate", "n", "accuracy", "loss", "filter", *agreement.SCORES]
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
    monkeypatch.setattr(experiments, "FRACTIONS", (*experiments.FRACTIONS, *study.MEASURED))
    out, far = tmp_path / "rows.csv", tmp_path / "far"
    assert killed(2, lambda: experiments.make("agreement-tiny", out=out, checkpoint=far)) == signal.SIGKILL
    assert not out.exists()
    monkeypatch.setattr(study, "scores", None)  # the only layer has its rows
    result = experiments.make("agreement-tiny", out=out, checkpoint=far)
    assert len(result.rows) == 20 and result.about["n"] == 30 and set(result.rows["model"]) == {"lenet"}
    assert result.rows["isolation"].notna().sum() == 3 and result.rows["ownership"].isna().all()
    assert result.rows["accuracy"].unique().tolist() == pytest.approx([result.about["baseline"]], rel=1e-5)
    read = experiments.load(out)
    pd.testing.assert_frame_equal(read.rows, result.rows)
    (layer,) = agreement.from_rows(read.rows)
    found = agreement.agree([layer])
    assert found.names == ("positional", "l1", "l2", "fpgm", "geometric_median", "loss_rise", "accuracy_drop", "class_entropy", "isolation")
    assert found.pair("l1", "l2").rho > 0.8 and found.pair("isolation", "l1").note == "no layer has 4 filters with both"
