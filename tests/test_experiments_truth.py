"""The ground-truth benchmark on disk: its rows are those of ``synthesis.truth``, a run goes on inside of a cell, and the command tells the table."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from killed_process import killed
from typer.testing import CliRunner

from filterlens import __main__, data, experiments, models
from filterlens.experiments.truth import Truth, in_words
from filterlens.models import CheckpointError
from filterlens.synthesis import truth
from filterlens.training import snapshots

torch.set_num_threads(1)
REAL = experiments.EXPERIMENTS["truth"]
DECODERS = list(truth.METHODS["decoding"])


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The benchmark on two worlds at two difficulties and two seeds, and a project and a cache of its own."""
    small = replace(REAL, worlds=("rectified", "flags"), difficulties=(0.0, 0.9), n_seeds=2, group=1)
    monkeypatch.setattr(experiments, "EXPERIMENTS", {**experiments.EXPERIMENTS, "truth": small})
    monkeypatch.setattr(experiments, "folder", lambda: tmp_path / "experiments")
    monkeypatch.setattr(experiments, "cache", lambda: tmp_path / "cache")


def set_up(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    changed = replace(experiments.EXPERIMENTS["truth"], **settings)
    monkeypatch.setattr(experiments, "EXPERIMENTS", {**experiments.EXPERIMENTS, "truth": changed})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """World, method, difficulty and seeds of every call of ``measure``."""
    asked, real = [], truth.measure
    monkeypatch.setattr(truth, "measure", lambda *what: asked.append((what[0][0], what[1][0], what[2][0], what[3])) or real(*what))
    return asked


def test_rows_are_those_of_the_benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_up(monkeypatch, difficulties=(0.9,), n_seeds=3, group=2)
    for room, name in ((data, "load"), (models, "load"), (experiments.measuring, "network")):
        monkeypatch.setattr(room, name, lambda *_, **__: pytest.fail("no network and no images are needed"))
    truth.add("decoding", "not the library's", lambda given: given.images[:6])
    try:
        made = experiments.make("truth", checkpoint=True)
    finally:
        truth.remove("decoding", "not the library's")
    assert list(made.rows) == list(truth.TruthCell._fields) and made.path == tmp_path / "experiments" / "truth.csv"
    own = truth.table(truth.measure(["rectified", "flags"], DECODERS, [0.9], range(3)))
    assert [truth.TruthCell(*row) for row in made.rows.itertuples(index=False)] == own and len(own) == 2 * len(DECODERS)
    assert not (tmp_path / "cache" / "experiments" / "truth").exists(), "the finished rows stand elsewhere"


def test_the_story_tells_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, worlds=("flags",), difficulties=(0.3,), n_seeds=1)
    made = experiments.make("truth")
    about = json.loads(made.path.with_suffix(".json").read_text())
    assert about == made.about and about["command"] == "filterlens experiment truth" and about["baseline"] is None
    assert about["settings"] == {"worlds": ["flags"], "difficulties": [0.3], "n_seeds": 1, "group": 1}
    assert {"captum", "zennit", "torch"} <= about["versions"].keys() and not {"network", "weights", "data", "n"} & about.keys()


@pytest.mark.parametrize("writes", [1, 2, 2 * 9 + 1, 2 * 9 + 2, 2 * 9 + 3])
def test_a_killed_run_goes_on_to_the_same_file(writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[tuple]) -> None:
    """Killed before the first method, between groups of a method's seeds, before a cell is kept, after it, and in the next."""
    set_up(monkeypatch, worlds=("rectified",))
    far = tmp_path / "far"
    assert len(DECODERS) == 9
    assert killed(writes, lambda: experiments.make("truth", out=tmp_path / "never.csv", checkpoint=far)) == signal.SIGKILL
    assert not (tmp_path / "never.csv").exists()
    resumed = experiments.make("truth", out=tmp_path / "resumed.csv", checkpoint=far)
    went_on = list(counted)
    experiments.make("truth", out=tmp_path / "whole.csv")
    assert resumed.path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    every = counted[len(went_on) :]
    assert len(every) == 2 * 9 * 2  # difficulties, methods, groups of seeds
    known = writes - 1 - (writes >= 2 * 9 + 2)  # whose run it is, and the rows of the first cell, are written too
    assert went_on == every[known:]
    assert [path.name for path in far.iterdir()] == ["rows.run"]


def test_a_run_that_fails_to_keep_goes_on_from_what_it_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, worlds=("flags",), difficulties=(0.0, 0.3, 0.6), n_seeds=1)
    whole = experiments.make("truth", out=None).rows
    far, real = tmp_path / "far", snapshots.write
    for limit in (1, 2):

        def write(path: Path, contents: dict, limit: int = limit) -> None:
            if len(contents["rows"]) > limit * len(DECODERS) and path.name == "rows.run":
                raise OSError("no space left")
            real(path, contents)

        monkeypatch.setattr(snapshots, "write", write)
        with pytest.raises(OSError, match="no space"):
            experiments.make("truth", out=None, checkpoint=far)
        assert len(snapshots.read(far / "rows.run")["rows"]) == limit * len(DECODERS)
    monkeypatch.setattr(snapshots, "write", real)
    pd.testing.assert_frame_equal(experiments.make("truth", out=None, checkpoint=far).rows, whole, check_exact=True)


def test_other_worlds_and_other_methods_are_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, worlds=("rectified",), difficulties=(0.3,), n_seeds=1)
    experiments.make("truth", out=None, checkpoint=tmp_path)
    set_up(monkeypatch, difficulties=(0.4,))
    with pytest.raises(CheckpointError, match="belongs to another run .*difficulties"):
        experiments.make("truth", out=None, checkpoint=tmp_path)
    set_up(monkeypatch, difficulties=(0.3,))
    monkeypatch.setitem(truth.METHODS["decoding"], "a new one", truth.METHODS["decoding"]["nearest"])
    with pytest.raises(CheckpointError, match=r"belongs to another run \(weights"):
        experiments.make("truth", out=None, checkpoint=tmp_path)


def test_worlds_have_a_fingerprint() -> None:
    settings = {"source": "ours", "difficulties": (0.3,)}
    one, same, other = (
        Truth(worlds=worlds, **settings).fingerprint() for worlds in (("scaled", "flags"), ("scaled", "flags"), ("scaled",))
    )
    assert one == same != other and len(one) == 64
    assert other != Truth("ours", worlds=("scaled",), difficulties=(0.4,)).fingerprint()


def test_real_settings_are_the_issues() -> None:
    assert REAL.worlds is None and REAL.n_seeds == 20 and REAL.difficulties == truth.DIFFICULTIES and len(REAL.difficulties) == 4
    assert REAL.network is None and REAL.images() == (None, None)


def test_the_table_in_words_has_every_cell() -> None:
    cells = [("redundancy", "scaled", "l1", 0.3, 0.25, 0.125, 2), ("redundancy", "scaled", "fpgm", 0.0, 1.0, 0.0, 2), ("gates", "overlap", "votes", 0.6, -0.5, math.nan, 1)]  # fmt: skip
    told = in_words(pd.DataFrame(cells, columns=truth.TruthCell._fields)).splitlines()
    assert told == [
        "Mean score ± its standard deviation over 1 or 2 seeds; columns: difficulty", "",
        "redundancy, scaled             0           0.3",
        "l1                                 0.25 ± 0.12",
        "fpgm                 1.00 ± 0.00", "",
        "gates, overlap               0.6",
        "votes                -0.50 ± nan",
    ]  # fmt: skip


def test_the_command_runs_it_and_prints_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, difficulties=(0.6,))
    done = CliRunner().invoke(__main__.app, ["truth", "--out", str(tmp_path / "mine.csv")])
    assert done.exit_code == 0, done.output
    rows = experiments.load(tmp_path / "mine.csv").rows
    assert done.stdout == f"{in_words(rows)}\n\n{tmp_path / 'mine.csv'}: {len(rows)} rows\n"
    assert CliRunner().invoke(__main__.app, ["experiment", "truth", "--out", str(tmp_path / "same.csv")]).exit_code == 0
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "mine.csv").read_bytes()


@pytest.mark.bad_input
def test_the_command_refuses_in_a_line() -> None:
    done = CliRunner().invoke(__main__.app, ["truth", "--out", "rows.txt"])
    assert done.exit_code == 2 and "out: got 'rows.txt', expected the path of a .csv" in " ".join(done.output.replace("│", " ").split())


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("source", None, TypeError), ("source", "", ValueError), ("worlds", "scaled", TypeError), ("worlds", (), ValueError),
        ("worlds", ("scale",), ValueError), ("difficulties", 0.3, TypeError), ("difficulties", (), ValueError),
        ("difficulties", (1.5,), ValueError), ("difficulties", (float("nan"),), ValueError), ("n_seeds", 0, ValueError),
        ("n_seeds", 2.0, TypeError), ("group", 0, ValueError), ("group", None, TypeError),
    ],
)  # fmt: skip
def test_settings_are_checked(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}"):
        Truth(**{"source": "ours", name: value})
