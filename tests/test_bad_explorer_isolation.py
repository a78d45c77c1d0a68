"""Wrong arguments of the isolation explorer, its states and its kinds of panel: the error names what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_isolation as toy

from filterlens.explorer import Axis, Cases, Compared, Explorer, IsolationStates, isolation_explorer, isolation_states, panels


def asked(**changes: Any) -> Callable[[], Any]:
    given = {"model": toy.network(), "layers": {"1": [0]}, "images": toy.images(), "options": {"max_iter": 1}, **changes}
    return lambda: isolation_states(**given)


IMAGES = toy.images()
PHOTO = panels.photo(torch.rand(3, 4, 5), alt="a picture")
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "model": (asked(model="resnet"), TypeError, "model"),
    "layers: a list": (asked(layers=["1"]), TypeError, "layers"),
    "layers: empty": (asked(layers={}), TypeError, "layers"),
    "layers: unknown": (asked(layers={"earl": [0]}), ValueError, "layers.*'early'"),
    "layers: kernel out of range": (asked(layers={"1": [0], "early": [5]}), ValueError, r"layers\['early'\]"),
    "layers: kernel twice": (asked(layers={"1": [3, 3]}), ValueError, r"layers\['1'\]"),
    "layers: no kernels": (asked(layers={"1": []}), ValueError, r"layers\['1'\]"),
    "layers: text as kernels": (asked(layers={"1": "all"}), TypeError, r"layers\['1'\]"),
    "images: rank": (asked(images=IMAGES[0]), ValueError, "images"),
    "images: dtype": (asked(images=(IMAGES * 255).byte()), TypeError, "images"),
    "images: range": (asked(images=IMAGES * 255), ValueError, "images"),
    "images: channels": (asked(images=torch.rand(2, 4, 20, 24)), ValueError, "images"),
    "images: empty": (asked(images=IMAGES[:0]), ValueError, "images"),
    "images: NaN": (asked(images=IMAGES * float("nan")), ValueError, "images"),
    "normalization": (asked(normalization=0.5), TypeError, "normalization"),
    "betas: one number": (asked(betas=0.1), TypeError, "betas"),
    "betas: empty": (asked(betas=[]), TypeError, "betas"),
    "betas: negative": (asked(betas=[-1, 1]), ValueError, "betas"),
    "betas: NaN": (asked(betas=[float("nan")]), ValueError, "betas"),
    "betas: falling": (asked(betas=[1, 0.1]), ValueError, "betas"),
    "methods: text": (asked(methods="isolation"), TypeError, "methods"),
    "methods: unknown": (asked(methods=["isolation", "guide"]), ValueError, "methods.*'guided'"),
    "methods: without isolation": (asked(methods=["lrp"]), ValueError, "methods"),
    "titles: too few": (asked(titles=["a"]), ValueError, "titles"),
    "titles: twice": (asked(titles=["a", "a", "b"]), ValueError, "titles"),
    "titles: numbers": (asked(titles=[1, 2, 3]), TypeError, "titles"),
    "spoken: unknown": (asked(spoken={"early": "x"}), ValueError, "spoken"),
    "spoken: number": (asked(spoken={"1": 1}), TypeError, "spoken"),
    "spoken: twice": (asked(layers={"1": 0, "early": 0}, spoken={"1": "early"}), ValueError, "spoken"),
    "scale": (asked(scale="peek"), ValueError, "scale.*'peak'"),
    "pixels": (asked(pixels=4), ValueError, "pixels"),
    "pixels: real": (asked(pixels=96.0), TypeError, "pixels"),
    "levels": (asked(levels=1), ValueError, "levels"),
    "options: a list": (asked(options=["max_iter"]), TypeError, "options"),
    "options: unknown": (asked(options={"maxiter": 3}), ValueError, "options.*'max_iter'"),
    "options: set here": (asked(options={"beta": 1.0}), ValueError, "options"),
    "options: a tensor": (asked(options={"start": IMAGES}), TypeError, "options"),
    "progress": (asked(progress=1), TypeError, "progress"),
    "states": (lambda: isolation_explorer({}), TypeError, "states"),
    "states: a list": (lambda: isolation_explorer([toy.states()]), TypeError, "states"),
    "states: of no name": (lambda: isolation_explorer({1: toy.states()}), TypeError, "states"),
    "states: of another kind": (lambda: isolation_explorer({"a": toy.states(), "b": None}), TypeError, r"states\['b'\]"),
    "network": (lambda: isolation_explorer(toy.states(), network=None), TypeError, "network"),
    "network: a dict for one": (lambda: isolation_explorer(toy.states(), network={"a": "text"}), TypeError, "network"),
    "network: a list for several": (lambda: isolation_explorer(toy.networks(), network=["text"]), TypeError, "network"),
    "network: no text": (lambda: isolation_explorer(toy.networks(), network={"large": 1}), TypeError, "network"),
    "network: unknown": (lambda: isolation_explorer(toy.networks(), network={"larg": "text"}), ValueError, "network.*'large'"),
    "start: unknown network": (lambda: isolation_explorer(toy.networks(), start={"network": "x"}), ValueError, "network"),
    "start: layer of another": (lambda: isolation_explorer(toy.networks(), start={"network": "small", "layer": "1"}), ValueError, "layer"),
    "start": (lambda: isolation_explorer(toy.states(), start={"kernel": 99}), ValueError, "kernel"),
    "start: a list": (lambda: isolation_explorer(toy.states(), start=["early"]), TypeError, "start"),
    "bake": (lambda: isolation_explorer(toy.states(), bake="all"), TypeError, "bake"),
    "name": (lambda: isolation_explorer(toy.states(), name="A b"), ValueError, "name"),
    "title": (lambda: isolation_explorer(toy.states(), title=3), TypeError, "title"),
    "labels: no text": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, labels={1: {2: 3}})}, [print]), TypeError, "labels"),
    "labels: two kinds": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, labels={1: {2: "x"}, 2: "x"})}, [print]), TypeError, "labels"),
    "labels: unknown": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, labels={1: {3: "x"}})}, [print]), ValueError, "labels"),
    "labels: unknown key": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, labels={2: {2: "x"}})}, [print]), ValueError, "labels"),
    "options: of no axis and of one": (lambda: Explorer({"a": [1], "b": Axis({(): [2], (1,): [2]})}, [print]), ValueError, "'b'"),
    "options: of no axis, empty": (lambda: Explorer({"a": Axis({(): []})}, [print]), ValueError, r"axes\['a'\]: got no options"),
    "marks: a list": (lambda: Explorer({"a": Axis([1], marks=[1])}, [print]), TypeError, "marks"),
    "marks: no dict": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, marks={1: "x"})}, [print]), TypeError, "marks"),
    "marks: no text": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, marks={1: {2: 3}})}, [print]), TypeError, "marks"),
    "marks: unknown": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, marks={1: {3: "x"}})}, [print]), ValueError, "marks"),
    "marks: unknown key": (lambda: Explorer({"a": [1], "b": Axis({1: [2]}, marks={2: {2: "x"}})}, [print]), ValueError, "marks"),
    "cases: empty": (lambda: Cases(cases=[]), ValueError, "cases"),
    "cases: a dict": (lambda: Cases(cases={}), TypeError, "cases"),
    "cases: no pick": (lambda: Cases(cases=[("a", [panels.Text(text="")])]), TypeError, "cases"),
    "cases: no panels": (lambda: Cases(cases=[({}, [])]), ValueError, "cases"),
    "cases: no panel": (lambda: Cases(cases=[({}, ["a"])]), TypeError, "cases"),
    "cases: unknown axis": (lambda: shown(Cases(cases=[({"b": 1}, [panels.Text(text="")])])), ValueError, "'b'"),
    "cases: unknown option": (lambda: shown(Cases(cases=[({"a": 3}, [panels.Text(text="")])])), ValueError, "pick"),
    "compared: three": (lambda: Compared(pictures=[PHOTO] * 3), ValueError, "pictures"),
    "compared: sizes": (lambda: Compared(pictures=[PHOTO, panels.photo(torch.rand(3, 5, 4), alt="b")]), ValueError, "pictures"),
    "compared: signed": (lambda: Compared(pictures=[panels.signed(torch.rand(4, 5), alt="b")] * 2), ValueError, "pictures"),
    "compared: label": (lambda: Compared(pictures=[PHOTO, PHOTO], label=None), TypeError, "label"),
    "compared: threshold": (lambda: Compared(pictures=[PHOTO, PHOTO], threshold=0.5), TypeError, "threshold"),
    "compared: unknown threshold": (
        lambda: shown(Cases(cases=[({}, [Compared(pictures=[PHOTO, PHOTO], threshold="q")])])),
        ValueError,
        "threshold",
    ),
}


def shown(panel: panels.Panel) -> None:
    """Draw a panel beside an axis ``a``; what goes wrong, raised."""

    def render(a: int) -> panels.Panel:
        return panel

    explorer = Explorer({"a": [1, 2]}, [render])
    explorer._calls[0].answer(explorer.picked, explorer._space)


@pytest.mark.bad_input
@pytest.mark.parametrize("case", BAD)
def test_wrong_arguments_are_named(case: str) -> None:
    call, error, match = BAD[case]
    with pytest.raises(error, match=match):
        call()


@pytest.mark.bad_input
@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind", b"PK\x03\x04", "other archive", "another version"])
def test_files_of_other_kinds_are_refused(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "states.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "other archive":
        np.savez(path, a=np.zeros(3))
    elif content == "another version":
        replace(toy.states(), layers={}).save(path)
        with np.load(path) as archive:
            held = dict(archive)
        held["said"] = np.frombuffer(held["said"].tobytes().replace(b'"version": 1', b'"version": 0'), np.uint8)
        np.savez(path, **held)
    with pytest.raises(FileNotFoundError if content is None else ValueError, match=r"states\.npz"):
        IsolationStates.load(path)
