"""The explorer's script without a browser: node runs it, Python knows what must come out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

from filterlens.explorer import Axis, panels, script, sheets
from filterlens.explorer.axes import Axes

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node (apt install nodejs) to run the explorer's script")


def run(body: str, given: Any = None) -> Any:
    """What ``body``, an asynchronous function's, returns beside the script's own names; ``given`` is what it is given."""
    text = f"{script.source()}\nconst given = {json.dumps(given)};\n(async () => {{ {body} }})().then((out) => console.log(JSON.stringify(out)));"
    done = subprocess.run([NODE, "-"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def packed(*states: Any) -> str:
    return sheets.text_of(states)


def test_both_forms_are_sound_javascript() -> None:
    for flags, text in (["--input-type=module"], script.module()), ([], script.classic()):
        done = subprocess.run([NODE, "--check", *flags, "-"], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_nothing_but_where_the_sheets_lie_depends_on_the_pages_address() -> None:
    """So a server and a folder show the same once a sheet has come; browser tests of layout and clicks open the file alone."""
    code = re.sub(r"(?:^|\s)//[^\n]*|/\*.*?\*/", "", script.source(), flags=re.S)
    assert re.findall(r"\b(?:location|baseURI|URL|origin|protocol|referrer|fetch|XMLHttpRequest|import)\b", code) == ["URL", "baseURI"]


def test_signed_colours_are_those_of_matplotlib() -> None:
    steps = np.arange(-127, 128, dtype=np.int8)
    found = np.array(run("return [...Array(255).keys()].map((i) => signedColour(i - 127));"))
    table = matplotlib.colormaps["RdBu_r"]
    np.testing.assert_array_equal(found, (table(steps / 127.0 / 2 + 0.5)[:, :3] * 255).round())
    drawn = table(matplotlib.colors.Normalize(-3.7, 3.7)(steps / 127 * 3.7), bytes=True)[:, :3].astype(int)
    assert np.abs(found - drawn).max() <= 1  # `bytes` cuts fractions off


def test_colours_without_sign_are_close_to_viridis() -> None:
    found = np.array(run("return [...Array(256).keys()].map((i) => levelColour((i + 0.5) / 256));"))
    expected = (matplotlib.colormaps["viridis"](np.arange(256))[:, :3] * 255).round()
    assert np.abs(found - expected).max() <= 8  # straight lines between sixteen of its colours


def test_packed_arrays_arrive_at_any_offset() -> None:
    bytes_, floats = torch.arange(-3, 4, dtype=torch.int8).reshape(1, 7), torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    state = [{"odd": panels.encode(bytes_), "words": "größer – 中"}, {"deep": [{"values": panels.encode(floats)}], "none": None}]
    body = """
      const { states: [[first, second]] } = await unpack(given);
      const values = second.deep[0].values;
      return { offset: values.data.byteOffset % 4, words: first.words, none: second.none, shapes: [first.odd.shape, values.shape],
               odd: [...numbersOf(first.odd)], floats: [...numbersOf(values)] };"""
    found = run(body, packed(state))
    shifted = run("return (await unpack(given)).states[0].map((one) => [...numbersOf(one)]);", packed([panels.encode(bytes_), panels.encode(floats)]))
    assert found["words"] == "größer – 中" and found["none"] is None and found["shapes"] == [[1, 7], [3, 5]]
    assert found["odd"] == shifted[0] == list(range(-3, 4))
    np.testing.assert_array_equal(np.float32(found["floats"]), floats.flatten().numpy())
    np.testing.assert_array_equal(np.float32(shifted[1]), floats.flatten().numpy())


def test_numbers_of_an_unaligned_view() -> None:
    body = """
      const block = new ArrayBuffer(13);
      const view = new DataView(block, 1);
      [0.5, -2, 8].forEach((value, i) => view.setFloat32(4 * i, value, true));
      return [...numbersOf({ dtype: "float32", shape: [3, 1], data: view })];"""
    assert run(body) == [0.5, -2, 8]


@pytest.mark.bad_input
@pytest.mark.parametrize(("array", "said"), [
    ('{ dtype: "int16", shape: [2], data: new Uint8Array(4) }', "array dtype: got int16, expected int8, uint8, uint16, int32, float32"),
    ('{ dtype: "float32", shape: [2, 3], data: new Uint8Array(23) }', "array data: got 23 bytes, expected 24 for float32 of shape [2,3]"),
])  # fmt: skip
def test_arrays_that_cannot_be(array: str, said: str) -> None:
    assert run(f"try {{ numbersOf({array}); }} catch (error) {{ return error.message; }}") == said


def painted(image: panels.Image, options: dict[str, Any]) -> np.ndarray:
    body = "const { states: [picture] } = await unpack(given.text); return [...pixelsOf(picture, given.options)];"
    pixels = np.array(run(body, {"text": packed(image.encode()), "options": options}))
    h, w = image.values.shape[:2]
    return pixels.reshape(h, w, 4)


@pytest.mark.parametrize("image", [
    panels.signed(torch.linspace(-0.3, 0.9, 15).reshape(3, 5), alt="signed"),
    panels.signed(torch.linspace(-1, 0.5, 45).reshape(3, 3, 5), alt="signed colour"),
    panels.gray(torch.linspace(-2, 7, 15).reshape(3, 5), alt="grey"),
    panels.photo(torch.linspace(0, 1, 45).reshape(3, 3, 5), alt="photo"),
], ids=lambda image: image.alt)  # fmt: skip
def test_pictures_are_painted_as_python_would(image: panels.Image) -> None:
    found = painted(image, {})
    np.testing.assert_array_equal(found[..., :3], image.colours())
    assert (found[..., 3] == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_threshold_and_parts(channels: int) -> None:
    values = torch.randn(channels, 4, 6, generator=torch.Generator().manual_seed(2))
    image = panels.signed(values, alt="x")
    zero = 0 if channels == 1 else 128
    steps = image.values.astype(int) - zero
    for part, threshold in ("whole", 0.4), ("whole", 1), ("positive", 0), ("negative", 0.2):
        keep = np.abs(steps) >= threshold * 127
        keep &= {"whole": steps == steps, "positive": steps >= 0, "negative": steps <= 0}[part]
        expected = panels.Image(np.where(keep, steps + zero, zero).astype(image.values.dtype), image.low, image.high, alt="x").colours()
        np.testing.assert_array_equal(painted(image, {"part": part, "threshold": threshold})[..., :3], expected)


def test_a_pixel_in_words() -> None:
    image = panels.signed(torch.tensor([[0.5, -0.02, 0.0], [0.1, 0.25, -1.0]]), alt="x")
    body = """const { states: [picture] } = await unpack(given);
      return [pixelWords(picture, 1, 2), pixelWords(picture, 0, 0), pixelWords(picture, 0, 1, { threshold: 0.5 })];"""
    assert run(body, packed(image.encode())) == [
        "row 1, column 2: −1", "row 0, column 0: 0.504", "row 0, column 1: −0.0236 (not drawn here)"
    ]  # fmt: skip


def test_numbers_and_shares_in_words() -> None:
    found = run("return [0, -0.0213, 1234.6, 2.5e-7, -3e9, 0.5, NaN, -0].map(words).concat([0.374, -0.051, -0.001, 1].map(percent));")
    assert found == ["0", "−0.0213", "1235", "2.5e−7", "−3.0e9", "0.5", "not a number", "0", "37 %", "−5 %", "0 %", "100 %"]


def test_ticks_are_round_and_within() -> None:
    assert run("return [roundTicks(0, 0.66, 4), roundTicks(-13, 4, 4), roundTicks(0, 199, 5)];") == [
        [0, 0.2, 0.4, 0.6], [-10, -5, 0], [0, 50, 100, 150]
    ]  # fmt: skip


def test_spread_is_the_nearest_with_room() -> None:
    np.testing.assert_allclose(run("return spread([0, 0, 0, 10]);"), [-1, 0, 1, 10])
    np.testing.assert_allclose(run("return spread([5, 2.5, 9]);"), [3.25, 4.25, 9])


def test_tree_keeps_nodes_apart_and_parents_over_children() -> None:
    levels = [0, 1, 1, 1, 2, 2, 2]
    edges = [[0, 1, 0.5], [0, 2, 0.3], [0, 3, 0.2], [3, 4, 0.6], [3, 5, 0.3], [1, 6, 1.0]]
    places = np.array(run("return placeNodes(...given);", [levels, edges]))
    for level in set(levels):
        row = np.sort(places[np.array(levels) == level])
        assert (np.diff(row) >= 1 - 1e-9).all()
    assert places.min() == 0
    assert places[1] < places[2] < places[3]  # siblings in their order
    assert places[6] < places[4] < places[5]  # children under their own parents: lines do not cross
    assert abs(places[0] - places[1:4].mean()) < 0.2


AXES = Axes({
    "net": ["n", "m"], "layer": {"n": ["a", "b"], "m": ["c", "d", "e"]}, "seed": [3, 1, 2],
    "filter": Axis({("n", "a"): [0, 1], ("n", "b"): [5], ("m", "c"): range(4), ("m", "d"): [9, 7], ("m", "e"): [0]}, by=("net", "layer")),
    "image": {3: ["x"], 1: ["x", "y"], 2: ["y", "z", "x"]}, "q": [0.0, 0.5],
})  # fmt: skip


@pytest.mark.parametrize("names", [["filter"], ["layer", "image"], ["net", "q"], ["filter", "image", "q"], ["image"], []])
def test_the_page_finds_each_state_where_python_put_it(names: list[str]) -> None:
    picks = list(AXES.picks(names))
    body = "return given.picks.map((pick) => numberOf({ axes: given.names }, pick, given.axes));"
    found = run(body, {"picks": picks, "names": list(AXES.needed(names)), "axes": AXES.encode()})
    assert found == list(range(len(picks)))


def test_the_page_settles_picks_as_python_does() -> None:
    picks = [{**AXES.check({}), **one} for one in ({"net": "m"}, {"net": "m", "layer": "d"}, {"seed": 2, "image": "z"}, {"filter": 5}, {"seed": 9})]
    assert run("return given.picks.map((pick) => settle(given.axes, pick));", {"picks": picks, "axes": AXES.encode()}) == [
        AXES.settled(pick) for pick in picks
    ]


def test_clicks_that_a_page_cannot_answer_are_taken_away() -> None:
    picks = [{"filter": 1}, {"filter": 5}, {"layer": "b", "filter": 5}, {"layer": "c"}, None]
    body = "return withPossiblePicks({ picks: given.picks, pictures: [{ pick: given.picks[1] }] }, given.axes, given.pick);"
    found = run(body, {"picks": picks, "axes": AXES.encode(), "pick": AXES.check({})})
    assert found["picks"] == [{"filter": 1}, None, {"layer": "b", "filter": 5}, None, None] and found["pictures"] == [{"pick": None}]
