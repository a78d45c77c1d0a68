"""The explorer: axes that bound each other, panels that are checked, answers from Python, states baked for the page."""

from __future__ import annotations

import base64
import html
import inspect
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
import traitlets
from explorer_pages import page_of
from filterlens.explorer import Axis, Beside, BudgetError, Explorer, panels, sheets
from filterlens.explorer.axes import Axes
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps

LAYERS = {"layer": ["a", "b"], "filter": {"a": range(3), "b": [5, 2]}, "image": ["x", "y"]}


def picture(layer: str, filter: int) -> panels.Panel:
    values = torch.arange(6.0).reshape(2, 3) * (filter + 1) - {"a": 0, "b": 7}[layer]
    return panels.Picture(title=f"{layer} {filter}", picture=panels.signed(values, alt=f"filter {filter} of {layer}"))


def number(image: str) -> panels.Panel:
    return panels.Numbers(rows=[("image", image)])


def answer(explorer: Explorer, i: int) -> dict[str, Any]:
    return getattr(explorer, f"_answer_{i}")


def titles(explorer: Explorer, i: int = 0) -> list[str]:
    return [panel["title"] for panel in answer(explorer, i)["panels"]]


# ------------------------------------------------------------------------------------------------------------------ axes


def test_picks_run_with_the_last_axis_fastest_and_only_over_what_fits_together() -> None:
    space = Axes(LAYERS)
    assert list(space.picks(["filter"])) == [
        {"layer": "a", "filter": 0}, {"layer": "a", "filter": 1}, {"layer": "a", "filter": 2},
        {"layer": "b", "filter": 5}, {"layer": "b", "filter": 2},
    ]  # fmt: skip
    assert len(list(space.picks())) == 10 and len(list(space.picks(["image"]))) == 2
    assert space.needed(["filter"]) == ("layer", "filter")


def test_a_value_that_still_fits_is_kept_and_another_becomes_the_first() -> None:
    space = Axes(LAYERS)
    assert space.settled({"layer": "b", "filter": 2, "image": "y"}) == {"layer": "b", "filter": 2, "image": "y"}
    assert space.settled({"layer": "b", "filter": 1, "image": "z"}) == {"layer": "b", "filter": 5, "image": "x"}


def test_an_axis_may_depend_on_two() -> None:
    filters = {("n", "a"): [0], ("n", "b"): [0, 1], ("m", "a"): [7]}
    space = Axes({"net": ["n", "m"], "layer": {"n": ["a", "b"], "m": ["a"]}, "filter": Axis(filters, by=("net", "layer"))})
    assert len(list(space.picks())) == 4
    assert space.settled({"net": "m", "layer": "b", "filter": 1}) == {"net": "m", "layer": "a", "filter": 7}


def test_an_axis_that_depends_on_none_may_be_written_like_one_that_does() -> None:
    plain, keyed = Axis([3, 4], labels={3: "three"}), Axis({(): [3, 4]}, labels={(): {3: "three"}})
    assert Axes({"a": keyed}).encode() == Axes({"a": plain}).encode()
    assert Axes({"a": plain}).encode()[0]["labels"] == [[[], [[3, "three"]]]]


def test_labels_may_depend_on_other_axes() -> None:
    axes = {"net": ["n", "m"], "image": Axis({"n": [0, 1], "m": [0]}, labels={"n": {0: "cat", 1: "dog"}, "m": {0: "ship"}})}
    assert Axes(axes).encode()[1]["labels"] == [[["n"], [[0, "cat"], [1, "dog"]]], [["m"], [[0, "ship"]]]]
    assert Axes(axes).restricted({"net": ["n"], "image": [1]}).encode()[1]["labels"] == [[["n"], [[1, "dog"]]]]
    everywhere = {**axes, "image": Axis({"n": [0, 1], "m": [0]}, labels={0: "cat", 7: "nothing"})}
    assert Axes(everywhere).encode()[1]["labels"] == [[["n"], [[0, "cat"]]], [["m"], [[0, "cat"]]]]


def test_one_and_true_and_text_are_different_options() -> None:
    space = Axes({"on": [True, False], "n": [1, 0]})
    assert space.check({"on": False, "n": 0}) == {"on": False, "n": 0}
    with pytest.raises(ValueError, match="^on: got int 1"):
        space.check({"on": 1})
    with pytest.raises(ValueError, match="^n: got str '1'"):
        space.check({"n": "1"})


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True), min_size=1), st.data())
def test_restricted_axes_offer_some_of_the_picks_in_the_same_order(lists: dict[str, list[int]], data: st.DataObject) -> None:
    space = Axes({"layer": list(lists), "filter": lists, "image": ["x", "y", "z"]})
    kept = data.draw(st.lists(st.sampled_from(list(lists)), min_size=1, unique=True))
    fewer = space.restricted({"layer": kept, "image": ["y"]})
    whole = list(space.picks())
    assert list(fewer.picks()) == [pick for pick in whole if pick["layer"] in kept and pick["image"] == "y"]
    assert all({key for (key,), _ in axis["options"]} <= set(kept) for axis in fewer.encode() if axis["by"])


AXES = [
    ({}, "axes: got dict {}"), ([1], "axes: got list"), ({"2nd": [1]}, "axes: got the name '2nd'"), ({"_a": [1]}, "axes: got the name '_a'"),
    ({"a": []}, r"axes\['a'\]: got no options"), ({"a": "xy"}, r"axes\['a'\]: got str 'xy'"), ({"a": [None]}, r"axes\['a'\]: got the option"),
    ({"a": [1, 1]}, r"axes\['a'\]: got an option twice"), ({"a": Axis([1], control="knob")}, r"axes\['a'\].control: got 'knob'"),
    ({"a": [1, 1.0]}, r"axes\['a'\]: got an option twice"), ({"a": [float("inf")]}, r"axes\['a'\]: got the option inf"),
    ({"a": Axis([1], by="b")}, r"axes\['a'\].by: got 'b' with one list"), ({"a": Axis({"x": [1]}, by=3)}, r"axes\['a'\].by: got int 3"),
    ({"a": Axis([1], label=3)}, r"axes\['a'\].label: got int 3"), ({"a": Axis([1], labels=["b"])}, r"axes\['a'\].labels: got list"),
    ({"a": Axis([1], cell=(0,))}, r"axes\['a'\].cell: got \(0,\)"),
    ({"a": Axis([1], when=3)}, r"axes\['a'\].when: got int 3"), ({"a": Axis([1], when={"b": [2]})}, r"axes\['a'\].when: got the unknown axis 'b'"),
    ({"a": [1], "b": Axis([1], when={"a": [2]})}, r"axes\['b'\].when\['a'\]: got \[2\]"),
    ({"a": ["x"], "b": {"y": [1]}}, r"axes\['b'\]: no axis before it has the options \['y'\]"),
    ({"a": ["x"], "b": ["x"], "c": {"x": [1]}}, r"axes\['c'\]: 'a' and 'b' have the options"),
    ({"a": ["x", "y"], "b": Axis({"x": [1]}, by="a")}, r"axes\['b'\]: expected options for every option of 'a'"),
    ({"a": ["x"], "b": Axis({"x": [1]}, by="c")}, r"axes\['b'\].by: got the unknown axis 'c'"),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("axes", "message"), AXES)
def test_wrong_axes_are_named(axes: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        Axes(axes)


# ---------------------------------------------------------------------------------------------------------------- panels


def test_signed_pictures_keep_their_zero_and_their_range() -> None:
    values = torch.tensor([[-0.5, 0.0, 0.25], [0.1, -2.0, 1.0]])
    image = panels.signed(values, alt="six numbers")
    assert image.values.dtype == np.int8 and image.high == 2.0 == -image.low
    assert np.abs(image.values / 127 * image.high - values.numpy()).max() <= 1 / 127
    assert image.values[0, 1] == 0 and image.values[1, 1] == -127
    assert panels.signed(torch.zeros(2, 3), alt="nothing").values.any() == False  # noqa: E712


def test_signed_colour_has_mid_grey_at_zero() -> None:
    values = torch.zeros(3, 2, 5)
    values[1, 0, 4] = -3.0
    image = panels.signed(values, alt="green missing")
    shown = image.low + image.values / 255 * (image.high - image.low)
    assert image.values.shape == (2, 5, 3) and np.abs(shown - values.permute(1, 2, 0).numpy()).max() < 1e-6


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=6, max_size=6))
def test_grey_maps_span_their_range(numbers: list[float]) -> None:
    values = torch.tensor(numbers).reshape(3, 2)
    image = panels.gray(values, alt="a map")
    shown = image.low + image.values / 255 * (image.high - image.low)
    assert np.abs(shown - values.double().numpy()).max() <= (image.high - image.low) / 255 * 0.501 + 1e-9


def test_a_picture_has_matplotlibs_colours() -> None:
    image = panels.signed(torch.linspace(-1, 1, 255)[None], alt="every step")
    expected = colormaps["RdBu_r"](image.values / 127 / 2 + 0.5)[..., :3] * 255
    assert np.abs(image.colours().astype(float) - expected).max() <= 0.5


PICTURE = panels.signed(torch.ones(2, 3), alt="ones")
NAN = torch.tensor([[1.0, float("nan")]])
WRONG: list[tuple[str, Any]] = [
    ("values", lambda: panels.signed([[1.0]], alt="x")), ("values", lambda: panels.signed(torch.ones(2, 2, 2, 2), alt="x")),
    ("values", lambda: panels.signed(torch.ones(2, 4, 4), alt="x")), ("values", lambda: panels.signed(torch.ones(2, 3, dtype=torch.int32), alt="x")),
    ("values", lambda: panels.signed(NAN, alt="x")), ("values", lambda: panels.gray(torch.ones(3, 2, 2), alt="x")),
    ("values", lambda: panels.photo(torch.ones(0, 2), alt="x")), ("high", lambda: panels.gray(torch.ones(2, 2), alt="x", low=2.0, high=1.0)),
    ("alt", lambda: panels.signed(torch.ones(2, 3), alt=" ")), ("alt", lambda: panels.signed(torch.ones(2, 3), alt=3)),
    ("frame", lambda: panels.signed(torch.ones(2, 3), alt="x", frame="pink")), ("pick", lambda: panels.signed(torch.ones(2, 3), alt="x", pick=3)),
    ("picture", lambda: panels.Picture(picture=torch.ones(2, 3))), ("threshold", lambda: panels.Picture(picture=PICTURE, threshold=0.5)),
    ("pictures", lambda: panels.Pictures(pictures=[])), ("pictures", lambda: panels.Pictures(pictures=torch.ones(2, 3))),
    ("pictures", lambda: panels.Pictures(pictures=[3])), ("columns", lambda: panels.Pictures(pictures=[PICTURE], columns=0)),
    ("size", lambda: panels.Pictures(pictures=[PICTURE], size=5000)), ("title", lambda: panels.Text(text="x", title=3)),
    ("series", lambda: panels.Bars(labels=["a"], series={})), ("series", lambda: panels.Bars(labels=["a"], series={"s": [1, 2]})),
    ("series", lambda: panels.Bars(labels=["a"], series={"s": [float("nan")]})), ("labels", lambda: panels.Bars(labels=[1], series={"s": [1]})),
    ("highlight", lambda: panels.Bars(labels=["a"], series={"s": [1]}, highlight=1)),
    ("cut", lambda: panels.Bars(labels=["a"], series={"s": [1]}, cut=2)),
    ("picks", lambda: panels.Bars(labels=["a"], series={"s": [1]}, picks=[{}, {}])),
    ("x", lambda: panels.Curve(x=[], series={"s": []})), ("x", lambda: panels.Curve(x=3, series={"s": []})),
    ("picks", lambda: panels.Bars(labels=["a"], series={"s": [1]}, picks=[3])), ("picks", lambda: panels.Bars(labels=["a"], series={"s": [1]}, picks=3)),
    ("picks", lambda: panels.Matrix(values=torch.ones(1, 1), rows=["a"], columns=["b"], picks=[[3]])), ("series", lambda: panels.Curve(x=[1], series={"s": [1, 2]})),
    ("values", lambda: panels.Matrix(values=torch.ones(2, 3), rows=["a"], columns=["b"])),
    ("picks", lambda: panels.Matrix(values=torch.ones(1, 2), rows=["a"], columns=["b", "c"], picks=[[None]])),
    ("rows", lambda: panels.Numbers(rows=[("a",)])), ("rows", lambda: panels.Numbers(rows=[("a", 3)])), ("text", lambda: panels.Text(text=None)),
    ("edges", lambda: panels.Tree(nodes=[(PICTURE, 0)], edges=[(0, 1, 0.5)])), ("nodes", lambda: panels.Tree(nodes=[(PICTURE, -1)], edges=[])),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "make"), WRONG)
def test_panels_refuse_what_cannot_be_drawn(argument: str, make: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{argument}"):
        make()


# -------------------------------------------------------------------------------------------------------- answers, traits


def test_each_axis_is_a_trait_and_only_the_functions_it_concerns_are_called() -> None:
    called: list[str] = []

    def of_filter(layer: str, filter: int) -> panels.Panel:
        called.append("filter")
        return picture(layer, filter)

    def of_image(image: str) -> panels.Panel:
        called.append("image")
        return number(image)

    explorer = Explorer(LAYERS, [of_filter, of_image], title="Toy")
    assert explorer.picked == {"layer": "a", "filter": 0, "image": "x"} and called == ["filter", "image"]
    explorer.filter = 2
    assert called == ["filter", "image", "filter"] and titles(explorer) == ["a 2"]
    explorer.image = "y"
    assert called[3:] == ["image"] and answer(explorer, 1)["pick"] == {"image": "y"}
    explorer.layer = "b"  # which has a filter 2
    assert explorer.picked == {"layer": "b", "filter": 2, "image": "y"} and called[4:] == ["filter"]
    explorer.layer = "b"
    assert len(called) == 5


def test_several_axes_are_set_at_once_and_answered_once() -> None:
    seen: list[tuple[str, int]] = []
    explorer = Explorer(LAYERS, lambda layer, filter: seen.append((layer, filter)))
    explorer.pick(layer="b", filter=5)
    assert seen == [("a", 0), ("b", 5)]


def test_a_pick_from_the_front_end_is_answered_like_any_other() -> None:
    explorer = Explorer(LAYERS, [picture, number])
    explorer.set_state({"layer": "b", "filter": 5})
    assert titles(explorer) == ["b 5"] and answer(explorer, 0)["pick"] == {"layer": "b", "filter": 5}
    explorer.set_state({"layer": "a"})
    assert explorer.filter == 0 and titles(explorer) == ["a 0"]


def test_axes_compose_with_ipywidgets() -> None:
    explorer, slider = Explorer({"n": range(5)}, lambda n: panels.Text(text=str(n))), ipywidgets.IntSlider(max=4)
    ipywidgets.link((explorer, "n"), (slider, "value"))
    slider.value = 3
    assert explorer.n == 3 and answer(explorer, 0)["panels"][0]["text"] == "3"
    explorer.n = 1
    assert slider.value == 1
    assert Beside(slider, explorer=explorer).children == (slider, explorer)


def test_the_synced_traits_are_what_the_script_reads() -> None:
    explorer = Explorer(LAYERS, [picture, number], title="Toy")
    synced = set(explorer.keys)
    assert {"title", "_axes", "_renderers", "layer", "filter", "image", "_answer_0", "_answer_1"} <= synced
    assert explorer._renderers == [{"axes": ["layer", "filter"]}, {"axes": ["image"]}]
    assert explorer._axes[1]["options"] == [[["a"], [0, 1, 2]], [["b"], [5, 2]]]


def test_a_first_pick_may_be_chosen_and_settles_what_it_leaves_open() -> None:
    assert Explorer(LAYERS, number, start={"layer": "b"}).picked == {"layer": "b", "filter": 5, "image": "x"}


def test_functions_take_some_axes_all_or_none() -> None:
    def none() -> panels.Panel:
        return panels.Text(text="always")

    def everything(**pick: Any) -> panels.Panel:
        return panels.Text(text=repr(pick))

    def optional(image: str, network: str = "only") -> panels.Panel:
        return panels.Text(text=f"{image} {network}")

    explorer = Explorer(LAYERS, [none, everything, optional])
    assert [renderer["axes"] for renderer in explorer._renderers] == [[], ["layer", "filter", "image"], ["image"]]
    assert answer(explorer, 2)["panels"][0]["text"] == "x only"


def test_recompute_calls_again() -> None:
    values = [1]
    explorer = Explorer({"n": [1, 2]}, lambda n: panels.Text(text=str(values[0])))
    values[0] = 2
    explorer.recompute()
    assert answer(explorer, 0)["panels"][0]["text"] == "2"


def test_a_function_that_raises_shows_its_message_and_the_others_go_on() -> None:
    def fragile(filter: int) -> panels.Panel:
        if filter == 1:
            raise RuntimeError("no filter 1 today")
        return panels.Text(text="fine")

    explorer = Explorer(LAYERS, [fragile, number])
    explorer.filter = 1
    (shown,) = answer(explorer, 0)["panels"]
    assert shown["kind"] == "error" and shown["text"] == "RuntimeError: no filter 1 today" and "fragile" in shown["title"]
    explorer.image = "y"
    assert answer(explorer, 1)["pick"] == {"image": "y"}
    explorer.filter = 2
    assert answer(explorer, 0)["panels"][0]["text"] == "fine"


@pytest.mark.parametrize("returned", [3, "text", [3], torch.ones(2, 2), {"kind": "text"}])
def test_a_function_that_returns_something_else_says_what_was_expected(returned: object) -> None:
    explorer = Explorer({"n": [1]}, lambda n: returned)
    (shown,) = answer(explorer, 0)["panels"]
    assert shown["kind"] == "error" and re.match(r"TypeError: render: got .*expected a panel \(Picture, ", shown["text"])


def test_panels_may_only_name_axes_that_exist() -> None:
    image = panels.signed(torch.ones(2, 2), alt="x", pick={"kernel": 1})
    cases = [panels.Picture(picture=PICTURE, threshold="q"), panels.Pictures(pictures=[image]), panels.Tree(nodes=[(image, 0)], edges=[]),
             panels.Bars(labels=["a"], series={"s": [1]}, picks=[{"kernel": 1}]),
             panels.Matrix(values=torch.ones(1, 1), rows=["a"], columns=["b"], picks=[[{"kernel": 1}]])]  # fmt: skip
    for panel in cases:
        explorer = Explorer({"n": [1]}, lambda n, panel=panel: panel)
        assert "got the unknown axis" in answer(explorer, 0)["panels"][0]["text"]


def test_panels_take_numbers_of_numpy_and_torch_and_send_plain_ones() -> None:
    pick = {"n": np.int64(1)}
    cases = [
        panels.Curve(x=np.arange(3.0, dtype=np.float32), series={"s": torch.arange(3)}, highlight=np.int64(1)),
        panels.Curve(x=torch.arange(2.0), series={"s": np.ones(2)}),
        panels.Bars(labels=["a"], series={"s": np.ones(1)}, picks=[pick], highlight=np.int32(0)),
        panels.Pictures(pictures=[panels.signed(torch.ones(2, 3), alt="x", pick=pick)], size=np.int64(50)),
        panels.Matrix(values=torch.ones(1, 1), rows=["a"], columns=["b"], picks=[[pick]]),
    ]
    for panel in cases:
        explorer = Explorer({"n": [0, 1]}, lambda panel=panel: panel)
        (shown,) = answer(explorer, 0)["panels"]
        assert shown["kind"] != "error" and sheets.pack([shown])


def test_a_click_may_only_set_what_an_axis_has() -> None:
    explorer = Explorer(LAYERS, lambda: panels.Bars(labels=["a"], series={"s": [1]}, picks=[{"filter": 99}]))
    assert "pick: got int 99 for 'filter', which is none of its 4 options" in answer(explorer, 0)["panels"][0]["text"]


def test_an_interrupted_answer_is_asked_for_again() -> None:
    interrupted = [False]

    def patient(image: str) -> panels.Panel:
        if image == "y" and not interrupted[0]:
            interrupted[0] = True
            raise KeyboardInterrupt
        return number(image)

    explorer = Explorer(LAYERS, patient)
    with pytest.raises(KeyboardInterrupt):
        explorer.image = "y"
    explorer.pick(image="y")
    assert answer(explorer, 0)["pick"] == {"image": "y"} and answer(explorer, 0)["panels"][0]["rows"][0][1] == "y"


def test_an_observer_that_raises_does_not_leave_an_old_answer() -> None:
    explorer = Explorer(LAYERS, [picture])

    def fail(change: Any) -> None:
        raise RuntimeError("the user's own")

    explorer.observe(fail, "layer")
    with pytest.raises(RuntimeError, match="the user's own"):
        explorer.pick(layer="b", filter=5)
    assert answer(explorer, 0)["pick"] == {axis: explorer.picked[axis] for axis in ("layer", "filter")}


def test_a_limit_may_be_any_iterable(folder: Path) -> None:
    _, page = page_of(Explorer(LAYERS, [picture], bake={"filter": (k for k in (2, 1))}))
    assert page["axes"][1]["options"] == [[["a"], [1, 2]], [["b"], [2]]]


@pytest.mark.bad_input
def test_wrong_picks_are_named() -> None:
    explorer = Explorer(LAYERS, [picture, number])
    for wrong, message in (
        (lambda: explorer.pick(kernel=1), "got the unknown axis 'kernel'"),
        (lambda: explorer.pick(filtr=1), "did you mean 'filter'"),
        (lambda: setattr(explorer, "kernel", 1), "got the unknown axis 'kernel'"),
        (lambda: setattr(explorer, "filter", 5), r"filter: got int 5, expected one of \[0, 1, 2\] for layer 'a'"),
        (lambda: explorer.pick(layer="b", filter=0), r"filter: got int 0, expected one of \[5, 2\] for layer 'b'"),
        (lambda: setattr(explorer, "layer", "c"), "layer: got str 'c'"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(traitlets.TraitError, match="filter: got int 9"):
        explorer.set_state({"filter": 9})
    assert explorer.picked == {"layer": "a", "filter": 0, "image": "x"} and titles(explorer) == ["a 0"]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"layout": [1]}, number), "axes: got the name 'layout'"),
        ((LAYERS, number, {"strat": {"filter": 1}}), "strat: an unknown argument"),
        ((LAYERS, number, {"name": "A b"}), "name: got 'A b'"),
        ((LAYERS, number, {"name": 3}), "name: got 3"),
        ((LAYERS, []), "render: got an empty list"),
        ((LAYERS, 3), "render: got int 3"),
        ((LAYERS, lambda kernel: None), "render: '<lambda>': got the unknown axis 'kernel'"),
        ((LAYERS, lambda *image: None), r"render: '<lambda>' takes \*image"),
        ((LAYERS, number, {"bake": 3}), "bake: got int 3"),
        ((LAYERS, number, {"bake": {"filtre": [1]}}), "bake: got the unknown axis 'filtre'.*did you mean 'filter'"),
        ((LAYERS, number, {"bake": {"filter": [99]}}), r"bake\['filter'\]: got \[99\]"),
        ((LAYERS, number, {"title": 3}), "title: got int 3"),
        ((LAYERS, number, {"start": 3}), "start: got int 3"),
        ((LAYERS, number, {"start": {"filter": 5}}), r"filter: got int 5, expected one of \[0, 1, 2\]"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple, message: str) -> None:
    axes, render, options = (*arguments, {})[:3]
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        Explorer(axes, render, **options)


# ---------------------------------------------------------------------------------------------------------------- baking


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the runner does before a notebook starts when it wants states."""
    monkeypatch.setenv(sheets.FOLDER, str(tmp_path / "3-toy.sheets"))
    return tmp_path / "3-toy.sheets"


def unpacked(text: str) -> list[Any]:
    """What the script's `unpack` does, literally."""
    block = zlib.decompress(base64.b64decode(text))
    (length,) = struct.unpack("<I", block[:4])
    arrays = block[4 + length :]

    def filled(value: Any) -> Any:
        if isinstance(value, dict) and "at" in value:
            size = int(np.prod(value["shape"])) * np.dtype(value["dtype"]).itemsize
            return {"dtype": value["dtype"], "shape": value["shape"], "data": arrays[value["at"] : value["at"] + size]}
        if isinstance(value, dict):
            return {name: filled(item) for name, item in value.items()}
        return [filled(item) for item in value] if isinstance(value, list) else value

    return filled(json.loads(block[4 : 4 + length]))["states"]


def states_of(about: dict[str, Any], folder: Path) -> list[Any]:
    states: list[Any] = []
    for name, start in zip(about["sheets"], about["starts"], strict=True):
        assert len(states) == start
        called, text = re.fullmatch(r'filterlensSheet\("(\w+)", "(.*)"\);\n', (folder / f"{name}.js").read_text()).groups()
        assert called == name
        states += unpacked(text)
    return states


def test_nothing_is_baked_unless_the_runner_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sheets.FOLDER, raising=False)
    calls: list[int] = []
    explorer = Explorer({"n": range(9)}, lambda n: calls.append(n))
    bundle = explorer._repr_mimebundle_()
    assert calls == [0] and "text/html" not in (bundle[0] if isinstance(bundle, tuple) else bundle)


def test_the_sheets_hold_for_every_pick_what_python_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "SHEET", 400)  # so that there are several
    explorer = Explorer(LAYERS, [picture, number])
    _, page = page_of(explorer)
    about = page["renderers"][0]
    assert len(about["sheets"]) > 1 and about["axes"] == ["layer", "filter"]
    space = Axes(LAYERS)
    assert states_of(about, folder) == [[picture(**pick).encode()] for pick in space.picks(["filter"])]
    assert states_of(page["renderers"][1], folder) == [[number("x").encode()], [number("y").encode()]]
    assert unpacked(about["first"]) == [[picture("a", 0).encode()]]
    assert page["pick"] == {"layer": "a", "filter": 0, "image": "x"}


def test_baking_can_be_limited_and_starts_where_it_should(folder: Path) -> None:
    explorer = Explorer(LAYERS, [picture, number], start={"layer": "b", "filter": 2}, bake={"layer": ["b"], "filter": [2]})
    _, page = page_of(explorer)
    assert states_of(page["renderers"][0], folder) == [[picture("b", 2).encode()]]
    assert page["axes"][0]["options"] == [[[], ["b"]]] and page["pick"]["filter"] == 2
    assert explorer.picked["layer"] == "b"  # and in Jupyter everything is there
    explorer.pick(layer="a", filter=1)


def test_a_click_may_lead_out_of_what_is_baked(folder: Path) -> None:
    def bars(layer: str) -> panels.Panel:
        return panels.Bars(labels=["a", "b"], series={"s": [1, 2]}, picks=[{"filter": 0}, {"filter": 2}])

    Explorer(LAYERS, [picture, bars], bake={"filter": [0]})  # the page makes no buttons of the others


def test_without_baking_the_page_shows_the_first_pick(folder: Path) -> None:
    _, page = page_of(Explorer(LAYERS, [picture, number], bake=False))
    assert not list(folder.glob("*.js")) and all("sheets" not in about for about in page["renderers"])
    assert [options for axis in page["axes"] for _, options in axis["options"]] == [["a"], [0], ["x"]]


def test_what_the_page_computes_is_not_baked(folder: Path) -> None:
    class Computed:
        computed = ("toy", {"weights": panels.encode(np.arange(6, dtype="f4").reshape(2, 3)), "names": ["a"]})

        def __call__(self, image: str) -> panels.Panel:
            return number(image)

    _, page = page_of(Explorer(LAYERS, Computed()))
    kind, text = page["renderers"][0]["computed"]
    (data,) = unpacked(text)
    assert kind == "toy" and data["names"] == ["a"] and np.frombuffer(data["weights"]["data"], "<f4").tolist() == [0, 1, 2, 3, 4, 5]
    assert not list(folder.glob("*.js"))


def test_a_page_without_scripts_shows_a_picture_in_words_and_pixels(folder: Path) -> None:
    text, _ = page_of(Explorer(LAYERS, [number, picture], title="</script><b>"))
    shown = re.search(r'<img class="fl-fallback" src="data:image/png;base64,([^"]+)" alt="([^"]+)">', text)
    assert shown and base64.b64decode(shown.group(1)).startswith(b"\x89PNG") and shown.group(2) == "filter 0 of a"
    assert text.count("</script>") == 1 and 'data-sheets="3-toy.sheets/"' in text


def test_an_explorer_with_a_name_is_kept_for_other_pages(folder: Path) -> None:
    text, _ = page_of(Explorer(LAYERS, [picture], name="first-one"))
    assert (folder / "first-one.html").read_text() == text
    with pytest.raises(ValueError, match="name: 'first-one' is taken"):
        Explorer(LAYERS, [picture], name="first-one")
    with pytest.raises(ValueError, match=r"name: got '\.\./x'"):
        Explorer(LAYERS, [picture], name="../x")


def test_a_function_that_raises_fails_the_baking(folder: Path) -> None:
    def fragile(filter: int) -> panels.Panel:
        raise RuntimeError(f"no filter {filter}")

    with pytest.raises(RuntimeError, match="no filter 0"):
        Explorer(LAYERS, fragile)


def test_too_many_states_are_refused_with_the_explorers_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets.Sheets.__init__, "__kwdefaults__", {"budget": 20_000})
    torch.manual_seed(0)
    with pytest.raises(BudgetError, match=r"'noise' in 'Large'.*take 0.\d MB, expected at most 0.0 MB; bake fewer"):
        Explorer({"n": range(9)}, noise, title="Large")
    assert not list(folder.glob("*.part"))


def noise(n: int) -> panels.Panel:
    return panels.Picture(picture=panels.signed(torch.randn(99, 101), alt=f"noise {n}"))


def test_equal_arrays_are_packed_once() -> None:
    image = panels.signed(torch.randn(60, 61), alt="noise").encode()
    once, twice = len(sheets.pack([[image]])), len(sheets.pack([[image], [image]]))
    assert twice < once * 1.1


def test_the_widget_beside_its_controls_is_alone_on_the_page(folder: Path) -> None:
    explorer = Explorer(LAYERS, [picture])
    data = Beside(ipywidgets.Label("only live"), explorer=explorer)._repr_mimebundle_()
    assert data["text/html"] == page_of(explorer)[0] and "application/vnd.jupyter.widget-view+json" in data


def test_the_script_is_one_source_for_two_places() -> None:
    from filterlens.explorer import script

    source = script.source()
    assert "import " not in re.sub(r"//.*|/\*.*?\*/|\"[^\"]*\"|`[^`]*`", "", source, flags=re.S) and "export " not in source
    assert source in script.module() and source in script.classic()
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", source, re.M)
    assert len(names) == len(set(names))
    assert Explorer._esm == script.module() or script.module() in str(Explorer._esm)
    assert inspect.getdoc(Explorer) and html.escape(script.style())
