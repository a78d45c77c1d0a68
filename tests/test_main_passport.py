"""``filterlens passport``: what it writes is what the functions write, and a mistake is told in a line before any work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from toy_passport import LABELS, PLAIN, Network, images
from typer.testing import CliRunner

from filterlens import __main__, models
from filterlens.synthesis import passport as room
from filterlens.synthesis.passport import make, page

torch.set_num_threads(1)
QUICK = ["--n", "3", "--steps", "1", "--shown", "1"]


def invoke(*arguments: str):
    return CliRunner().invoke(__main__.app, ["passport", *arguments])


def plain(text: str) -> str:
    """Without the frame that errors are printed in."""
    return " ".join(text.replace("│", " ").split())


def small() -> room.Passport:
    """That of a filter of a network that can be worked out on paper."""
    return room.passport(Network(), "colour", 1, images(), LABELS, normalization=PLAIN, steps=1, shown=1)


def test_the_sheet_is_that_of_the_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FILTERLENS_DATA", raising=False)
    out = tmp_path / "sheet.html"
    done = invoke("lenet", "conv2", "5", "--out", str(out), *QUICK)
    assert done.exit_code == 0, done.output
    own = room.of_network("lenet", "conv2", 5, n=3, steps=1, shown=1)
    assert out.read_text(encoding="utf-8") == room.to_html(own)
    told = done.output.strip().splitlines()
    assert told[0] == f"{out}: lenet, conv2, filter 5"
    assert told[1:] == [f"  no {part}: {why}" for part, why in own.missing().items()] and "  no gates: " in done.output
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.html"]


@pytest.mark.parametrize(
    ("given", "handed"),
    [
        ([], {"pretrained": True, "seed": 0, "data": None, "n": None, "size": None}),
        (["--pretrained", "random", "--seed", "3"], {"pretrained": False, "seed": 3, "data": None, "n": None, "size": None}),
        (
            ["--pretrained", "public", "--data", "folder:mine", "--n", "7", "--size", "96", "--steps", "11", "--shown", "4"],
            {"pretrained": "public", "seed": 0, "data": "folder:mine", "n": 7, "size": 96, "steps": 11, "shown": 4},
        ),
    ],
)
def test_options_are_handed_on_and_the_file_has_the_filters_name(
    given: list[str], handed: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, seen = small(), {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "of_network", lambda *what, **options: seen.update(options, what=what) or card)
    done = invoke("timm/some.net", "a.b", "12", *given)
    assert done.exit_code == 0 and seen == {**handed, "what": ("timm/some.net", "a.b", 12)}
    assert [file.name for file in tmp_path.iterdir()] == ["timm-some.net-a.b-12.html"]


def test_weights_of_ones_own_are_those_on_the_sheet(tmp_path: Path) -> None:
    model, about = models.load("resnet8", pretrained=False), {"command": "none", "seed": 5, "epochs": 0, "data": "none", "accuracy": 0.1}
    path, seen = models.save_checkpoint(tmp_path / "own.safetensors", model, about=about), tmp_path / "sheet.html"
    assert invoke("resnet8", "conv1", "1", "--pretrained", str(path), "--data", "cifar10-20", "--out", str(seen), *QUICK).exit_code == 0
    again = room.of_network("resnet8", "conv1", 1, pretrained=path, data="cifar10-20", n=3, steps=1, shown=1)
    assert torch.equal(again.weight, model.conv1.weight[1]) and seen.read_text(encoding="utf-8") == room.to_html(again)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet21", "conv1", "0"], "name: got 'resnet21', expected one of"),
        (["resnet20", "conv9", "0"], "layer: got 'conv9', expected the name of one of the model's layers, such as ['conv1'"),
        (["resnet20", "bn1", "0"], "layer: 'bn1' is a BatchNorm2d, expected a Conv2d, ConvTranspose2d or Linear layer"),
        (["resnet20", "conv1", "16"], "filter: got 16, expected an integer in [0, 15]"),
        (["resnet20", "conv1", "one"], "Invalid value for 'filter'"),
        (["resnet20", "conv1"], "Missing argument"),
        (["resnet20", "conv1", "0", "--data", "cifar11"], "data: got 'cifar11', expected one of"),
        (["resnet20", "conv1", "0", "--data", "mnist-5k", "--n", "2"], "data: mnist-5k, (1, 28, 28), does not go through 'resnet20'"),
        (["resnet20", "conv1", "0", "--n", "0"], "Invalid value for '--n'"),
        (["resnet20", "conv1", "0", "--steps", "0"], "Invalid value for '--steps'"),
        (["resnet20", "conv1", "0", "--seed", "-1"], "Invalid value for '--seed'"),
        (["resnet20", "conv1", "0", "--out", "."], "out: got '.', expected the path of an .html file"),
        (["resnet20", "conv1", "0", "--out", ""], "out: got '', expected the path of an .html file"),
        (["resnet20", "conv1", "0", "--out", "nowhere/sheet.html"], "out: got 'nowhere/sheet.html', but there is no folder 'nowhere'"),
        (["resnet20", "conv1", "0", "--out", "/proc/sheet.html"], "out: got '/proc/sheet.html', expected a file in a folder that can be"),
    ],
)
def test_a_mistake_is_told_in_a_line_before_any_work(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lens in ("place_of", "classes_of", "picture_of", "content_of", "gates_of"):
        monkeypatch.setattr(make, lens, lambda *_, **__: pytest.fail("a lens was asked"))
    monkeypatch.chdir(tmp_path)
    done = invoke(*arguments)
    assert done.exit_code == 2 and said in plain(done.output) and "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
def test_missing_weights_are_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["filterlens", "passport", "resnet20", "conv1", "0", "--pretrained", "mine.safetensors"])
    with pytest.raises(SystemExit, match="^filterlens: .*mine.safetensors"):
        __main__.main()


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, card = tmp_path / "sheet.html", small()
    out.write_text("old")
    monkeypatch.setattr(room, "of_network", lambda *_, **__: card)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(page.os, "replace", full)
    assert isinstance(invoke("lenet", "conv1", "2", "--out", str(out)).exception, OSError)
    assert out.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["sheet.html"]
