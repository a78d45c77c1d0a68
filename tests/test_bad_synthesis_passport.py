"""Bad input to the passport and its page: an error that names the argument, before any lens is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_passport import CLASSES, LABELS, PLAIN, Network, images

from filterlens.lenses.gates import GatedClassifier
from filterlens.synthesis.passport import make, passport, to_html, write_html

NAN, INF = float("nan"), float("inf")
T, V = TypeError, ValueError
MODEL, IMAGES = Network(), images()
GATES = torch.rand(CLASSES, 4, generator=torch.Generator().manual_seed(0))
NAMES = ["a", "b", "c", "d", "e"]
GOOD = {
    "model": MODEL, "layer": "colour", "filter": 1, "images": IMAGES, "labels": LABELS, "normalization": PLAIN, "classes": NAMES,
    "gates": GATES, "name": "net", "source": "", "steps": 1, "shown": 1, "seed": 0,
}  # fmt: skip


def poisoned() -> torch.nn.Module:
    model = Network()
    model.colour.weight.data[2, 1] = NAN
    return model


count = [("zero", 0, V), ("negative", -3, V), ("a fraction", 2.5, T), ("text", "2", T), ("a boolean", True, T), ("nothing", None, T)]
BAD = {
    "model": [("nothing", None, T), ("a name", "lenet", T), ("a class", Network, T), ("NaN in the layer", poisoned(), V)],
    "layer": [
        ("unknown", "colours", V), ("empty", "", V), ("a number", 1, T), ("a module", MODEL.colour, T), ("an activation", "relu", V),
        ("nothing", None, T),
    ],
    "filter": [
        ("beyond", 4, V), ("negative", -1, V), ("a fraction", 1.0, T), ("a list", [1], T), ("text", "1", T), ("a boolean", True, T),
        ("nothing", None, T),
    ],
    "images": [
        ("no tensor", IMAGES.tolist(), T), ("one axis less", IMAGES[0], V), ("integers", IMAGES.long(), T), ("none", IMAGES[:0], V),
        ("NaN", IMAGES * NAN, V), ("infinite", IMAGES * INF + INF, V), ("normalized", IMAGES - 0.5, V), ("bytes", IMAGES * 255, V),
        ("another channel count", IMAGES[:, :2], V), ("no pixels", IMAGES[..., :0], V), ("booleans", IMAGES > 0.5, T),
        ("nothing", None, T),
    ],
    "labels": [
        ("no tensor", LABELS.tolist(), T), ("rank 2", LABELS[None], V), ("fractions", LABELS.float(), T), ("one too few", LABELS[1:], V),
        ("beyond", LABELS + 1, V), ("negative", LABELS - 2, V), ("booleans", LABELS > 1, T), ("none", LABELS[:0], V),
    ],
    "normalization": [("nothing", None, T), ("a number", 0.5, T), ("a pair", (0.5, 0.5), T)],
    "classes": [("text", "abcde", T), ("too few", NAMES[1:], V), ("too many", [*NAMES, "f"], V), ("numbers", [0, 1, 2, 3, 4], T), ("empty", [], V)],
    "gates": [
        ("no tensor", GATES.tolist(), T), ("rank 1", GATES[0], V), ("fewer classes", GATES[1:], V), ("fewer features", GATES[:, 1:], V),
        ("above one", GATES + 1, V), ("negative", GATES - 1, V), ("NaN", GATES * NAN, V), ("integers", GATES.long(), T),
    ],
    "name": [("a number", 3, T), ("empty", "", V), ("blank", " ", V)],
    "source": [("a number", 3, T), ("nothing", None, T)],
    "steps": count,
    "shown": count,
    "seed": [case for case in count if case[0] != "zero"],
}  # fmt: skip
CASES = [(argument, *case) for argument, cases in BAD.items() for case in cases]


@pytest.mark.bad_input
@pytest.mark.parametrize("argument, said, value, error", CASES, ids=[f"{argument}-{said}" for argument, said, *_ in CASES])
def test_passport(argument: str, said: str, value, error: type[Exception], monkeypatch: pytest.MonkeyPatch):
    for lens in ("place_of", "classes_of", "picture_of", "content_of", "gates_of"):
        monkeypatch.setattr(make, lens, lambda *args, **options: pytest.fail("a lens was asked"))
    with pytest.raises(error, match=rf"^{argument}\b"):
        passport(**{**GOOD, argument: value})


@pytest.mark.bad_input
def test_gates_beside_those_of_a_gated_classifier_are_refused():
    with pytest.raises(ValueError, match="^gates: .*GatedClassifier"):
        passport(**{**GOOD, "model": GatedClassifier(Network(), CLASSES)})


@pytest.mark.bad_input
@pytest.mark.parametrize("value", [None, "net", {"title": "net"}, MODEL], ids=["nothing", "a name", "a dict", "a model"])
def test_a_page_of_something_else_is_refused(value, tmp_path: Path):
    with pytest.raises(TypeError, match="passport"):
        to_html(value)
    with pytest.raises(TypeError, match="passport"):
        write_html(value, tmp_path / "sheet.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
@pytest.mark.parametrize("value, error", [(None, T), (3, T), ("", V), (".", V), ("no/such/folder/sheet.html", V)])
def test_a_path_that_cannot_be_is_refused_before_the_page_is_made(value, error, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("filterlens.synthesis.passport.page.to_html", lambda found: pytest.fail("the page was made"))
    with pytest.raises(error, match="^path: "):
        write_html(object(), value)


def test_the_good_arguments_are_good():
    assert passport(**GOOD).missing() == {}
