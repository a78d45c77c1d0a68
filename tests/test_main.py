"""The command line answers at once, refuses in one line, and does what the functions do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy_project import project
from typer.testing import CliRunner

from filterlens import __main__, book, runs


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "filterlens", *arguments], capture_output=True, text=True, check=False)


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    started = time.perf_counter()
    done = _run("--help")
    print(f"filterlens --help: {1000 * (time.perf_counter() - started):.0f} ms")
    assert done.returncode == 0
    listed = done.stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "] == [
        "run", "book", "train", "features", "experiment", "sweep", "truth", "agreement", "passport", "bench",
    ]  # fmt: skip
    heavy = "[m for m in ('torch', 'numpy', 'papermill', 'sphinx', 'yaml') if m in sys.modules]"
    loaded = f"import sys, filterlens.__main__, filterlens.runs, filterlens.book; print({heavy})"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "3-decodin"], "notebook: got '3-decodin'.*did you mean '3-decoding'"),
        (["run", "3-decoding", "-p", "treshold=0.5"], "unknown parameter 'treshold'.*did you mean 'threshold'"),
        (["run", "3-decoding", "-p", "threshold=2"], "threshold: got 2.0"),
        (["run", "3-decoding", "-p", "threshold"], "expected name=value"),
        (["book", "--profile", "boook"], "profile: got 'boook'"),
    ],
)
def test_a_mistake_is_told_in_a_line_without_a_traceback(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_execute", lambda *_: pytest.fail("a kernel was started"))
    monkeypatch.setattr(book, "render", lambda *_, **__: pytest.fail("pages were built"))
    monkeypatch.setattr(sys, "argv", ["filterlens", *arguments])
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: pytest.fail("the site was removed"))
    with pytest.raises(SystemExit, match=f"filterlens: .*{said}"):
        __main__.main()


@pytest.mark.bad_input
def test_an_unknown_command_or_option_is_refused() -> None:
    for arguments in (["fly"], ["book", "--profil", "book"], ["book", "--workers", "0"]):
        assert CliRunner().invoke(__main__.app, arguments).exit_code == 2


def test_run_executes_a_notebook_by_path_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = project(tmp_path, {"2-toy": ["print(n_images, rate)"]})
    monkeypatch.setattr(runs, "project_home", lambda: home)
    monkeypatch.setattr("filterlens.runs.parameters.project_home", lambda: home)
    toy, out = str(home / "notebooks" / "2-toy.ipynb"), str(tmp_path / "out")
    done = CliRunner().invoke(__main__.app, ["run", toy, "-p", "n_images=9", "-p", "rate=0.25", "--out", out, "--profile", "smoke"])
    assert done.exit_code == 0, done.output
    assert "not entered into the ledger" in done.output and str(tmp_path / "out" / "2-toy.ipynb") in done.output
    assert "9 0.25" in (tmp_path / "out" / "2-toy.ipynb").read_text()


def test_book_hands_on_its_options_and_ends_with_the_page_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(book, "build", lambda profile, **options: seen.update(options, profile=profile) or Path("html/index.html"))
    done = CliRunner().invoke(__main__.app, ["book", "--profile", "smoke", "--workers", "3", "--force"])
    assert done.exit_code == 0 and done.output.strip().splitlines()[-1] == "Open html/index.html"
    assert (seen["profile"], seen["workers"], seen["force"]) == ("smoke", 3, True)


def test_train_hands_on_its_options_and_says_where_the_weights_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from filterlens import recipes

    seen = {}
    history = SimpleNamespace(test_accuracy=[0.5, 0.987])

    def trained(name: str, **options: object) -> SimpleNamespace:
        seen.update(options, name=name)
        return SimpleNamespace(path=tmp_path / "lenet.safetensors", history=history, before=None)

    monkeypatch.setattr(recipes, "train", trained)
    done = CliRunner().invoke(__main__.app, ["train", "lenet", "--seed", "3", "--n", "100", "--data", "mnist-5k"])
    assert done.output.strip() == f"{tmp_path / 'lenet.safetensors'}: 98.70 % of the test images"
    assert seen == {"name": "lenet", "seed": 3, "epochs": None, "data": "mnist-5k", "n": 100, "out": True, "checkpoint": True}
    assert CliRunner().invoke(__main__.app, ["train", "lenett"]).exit_code == 2


@pytest.mark.parametrize(("options", "out"), [([], None), (["--out", "mine"], "mine")])
def test_train_of_public_weights_tells_before_and_after_and_ships_only_on_request(
    monkeypatch: pytest.MonkeyPatch, options: list[str], out: str | None
) -> None:
    seen = {}
    history = SimpleNamespace(test_accuracy=[0.913])

    def trained(name: str, **given: object) -> SimpleNamespace:
        seen.update(given, name=name)
        return SimpleNamespace(path=None, history=history, before=(0.917, 0.8859))

    monkeypatch.setattr("filterlens.recipes.train", trained)
    done = CliRunner().invoke(__main__.app, ["train", "resnet20-decomposed", "--pretrained", "public", *options])
    assert done.output.strip().splitlines() == [
        "91.70 % of the test images with the whole layer, 88.59 % decomposed",
        "resnet20-decomposed: 91.30 % of the test images",
    ]
    assert (seen["name"], seen["pretrained"], seen["out"]) == ("resnet20-decomposed", "public", out)


def test_features_hands_on_its_options_and_says_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}

    def made(name: str, **options: object) -> SimpleNamespace:
        seen.update(options, name=name)
        return SimpleNamespace(path=tmp_path / "some.safetensors", about={"accuracy": 0.9173, "accuracy_half_precision": 0.9171})

    monkeypatch.setattr("filterlens.features.make", made)
    done = CliRunner().invoke(__main__.app, ["features", "resnet20", "--pretrained", "public", "--summary"])
    assert done.output.strip() == f"{tmp_path / 'some.safetensors'}: 91.73 % of the test images, 91.71 % from features in half precision"
    expected = {"name": "resnet20", "pretrained": "public", "data": "cifar10", "out": True, "train_features": False, "checkpoint": True}
    assert seen == expected
    CliRunner().invoke(__main__.app, ["features", "resnet20", "--data", "npz:own.npz", "--out", "own"])
    assert seen == expected | {"pretrained": True, "data": "npz:own.npz", "out": "own", "train_features": True}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["features", "resnet21"], "name: got 'resnet21', expected one of"),
        (["features", "resnet20", "--data", "cifar11", "--pretrained", "PATH"], "data: got 'cifar11', expected one of"),
        (["features", "lenet", "--data", "mnist-5k"], "name: LeNet has no linear layer"),
        (["train", "lenet", "--pretrained", "public"], "pretrained: got 'public', expected True"),
    ],
)
def test_features_and_train_refuse_in_a_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    from filterlens import models

    about = {"command": "none", "seed": 5, "epochs": 0, "data": "none", "accuracy": 0.1}
    path = models.save_checkpoint(tmp_path / "own.safetensors", models.load("resnet20", pretrained=False), about=about)
    done = CliRunner().invoke(__main__.app, [str(path) if argument == "PATH" else argument for argument in arguments])
    words = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2 and said in words and "Traceback" not in done.output


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nonsense"], "data: got 'nonsense', expected one of"),
        (["--data", "npz:toy.npz", "--n", "99999"], "n: got 99999, expected at most 6"),
        (["--data", "photographs"], "split: got 'train', expected 'test'"),
    ],
)
def test_train_refuses_in_a_line(options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = np.zeros((6, 28, 28), np.uint8), np.arange(6) % 2
    np.savez("toy.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    done = CliRunner().invoke(__main__.app, ["train", "lenet", *options])
    assert done.exit_code == 2 and said in done.output and "Traceback" not in done.output


def test_train_hides_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, **options: object) -> None:
        raise ValueError("Expected more than 1 value per channel when training")

    monkeypatch.setattr("filterlens.recipes.train", broken)
    assert isinstance(CliRunner().invoke(__main__.app, ["train", "lenet"]).exception, ValueError)


def test_bench_ends_with_pytests_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: seen.append(command) or subprocess.CompletedProcess(command, 3))
    assert CliRunner().invoke(__main__.app, ["bench", "--", "-k", "decode"]).exit_code == 3
    assert "tests/bench" in seen[0] and seen[0][-2:] == ["-k", "decode"]
