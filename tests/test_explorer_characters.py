"""The character editor: its panels against the library, and the page's script against its panels, through Node."""

from __future__ import annotations

import base64
import json
import math
import random
import re
import shutil
import subprocess

import pytest
import torch
from torch.nn import functional as F

from filterlens.explorer import panels, script
from filterlens.explorer.characters import CELLS, POOLS, WORDS, YOURS, CharacterPanels, character_explorer
from filterlens.lenses.decoding import CHARACTERS, PARTS, CharacterNetwork, decode

C = {"top_left": 4, "top_right": 9, "bottom_left": 1, "bottom_right": 11}

HARNESS = """
const job = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if ("base64" in value) return { dtype: value.dtype, shape: value.shape, data: new Uint8Array(Buffer.from(value.base64, "base64")) };
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revive(item)]));
};
const plain = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
const answer = (call) => {
  try {
    return { value: call() };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
};
"""
PANELS = """
const data = revive(job.data);
process.stdout.write(JSON.stringify(job.picks.map((pick) => answer(() => COMPUTED.characters(data, pick))), plain));
"""
LAYERS = """
const functions = { conv2d, convTranspose2d, maxPool, avgPool, unpoolNearest };
const typed = (item) => (Array.isArray(item?.values) ? { shape: item.shape, values: Float32Array.from(item.values) } : item);
process.stdout.write(JSON.stringify(job.map(([name, ...given]) => answer(() => functions[name](...given.map(typed)))), plain));
"""


@pytest.fixture(scope="module")
def render():
    return CharacterPanels()


def node(program, job):
    if shutil.which("node") is None:
        pytest.skip("node is not installed; it runs the page's script here")
    sources = "\n".join((script.HERE / "script" / f"{part}.js").read_text() for part in ("arrays", "network", "characters"))
    text = json.dumps(job, default=lambda data: pytest.fail(f"{type(data)} in a job"))
    done = subprocess.run(["node", "-e", f"{sources}\n{HARNESS}\n{program}"], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def textual(value):
    """Protocol values with the bytes of arrays as base64."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), bytes):
            return {"dtype": value["dtype"], "shape": value["shape"], "base64": base64.b64encode(value["data"]).decode()}
        return {name: textual(item) for name, item in value.items()}
    return [textual(item) for item in value] if isinstance(value, list | tuple) else value


def layouts(n, seed=7):
    """Random layouts, some sparse and some full, each with both pools."""
    draw = random.Random(seed)
    found = []
    for i in range(n):
        cells = {cell: draw.randint(1, len(PARTS)) if draw.random() < (0.2, 0.5, 1.0)[i % 3] else 0 for cell in CELLS}
        if not any(cells.values()):
            cells[draw.choice(list(CELLS))] = draw.randint(1, len(PARTS))
        found += [{**cells, "pool": pool} for pool in POOLS]
    return found


def known(name):
    return {cell: CHARACTERS[name].get(place, 0) for cell, place in CELLS.items()}


def of(shown, title):
    (panel,) = [panel for panel in shown if panel.title == title]
    return panel


def answers(shown):
    network, decoded = (torch.tensor(list(values)) for values in of(shown, WORDS["answers"]).series.values())
    return network, decoded


# ------------------------------------------------------------------------------------------------ Python against the library


@pytest.mark.parametrize("pool", POOLS)
def test_answers_are_those_of_the_chapter_network(render, pool):
    cells = {"top": 5, "left": 3, "centre": 8, "bottom_right": 14}
    network, decoded = answers(render(pool=pool, **cells))
    layout = {**CHARACTERS, YOURS: {CELLS[cell]: part for cell, part in cells.items()}}
    chapter = CharacterNetwork(layout, pool=pool)
    image = decode(chapter, "characters", len(layout) - 1, input_size=14).images
    assert float(image.norm()) == pytest.approx(1, abs=1e-5)
    expected = chapter(image).flatten() * (4 if pool == "max" else 1)  # there a max pool's weights make up for unpooling without dividing
    torch.testing.assert_close(network, expected.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(decoded[-1], torch.tensor(1.0), atol=1e-5, rtol=0)
    pictures = decode(chapter, "characters", input_size=14).images.flatten(1)
    torch.testing.assert_close(decoded, pictures @ image.flatten(), atol=1e-5, rtol=0)


def test_exactness_appears_with_the_average_pool(render):
    for pick in layouts(6, seed=3):
        shown = render(**pick)
        network, decoded = answers(shown)
        rows = {row[0]: row[1] for row in of(shown, WORDS["numbers"]).rows}
        difference = float((network - decoded).abs().max())
        assert float(rows[WORDS["difference"]]) == pytest.approx(difference, abs=1e-6, rel=0.06)
        assert (difference < 1e-5) == (pick["pool"] == "average") == (rows[WORDS["exact"]] == "yes")
        assert difference < 1e-5 or difference > 1e-3


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", list(CHARACTERS))
def test_each_character_recognises_itself_and_its_parts(render, name, pool):
    shown = render(pool=pool, **known(name))
    bars = of(shown, WORDS["answers"])
    assert list(bars.labels) == list(CHARACTERS)
    assert bars.labels[bars.highlight] == name
    assert bars.picks[bars.highlight] == known(name)
    start = of(shown, WORDS["start"])
    assert [picture.label for picture in start.pictures if picture.frame] == [name]
    assert start.pictures[list(CHARACTERS).index(name)].pick == known(name)


def test_c_is_made_of_its_four_parts(render):
    parts = of(render(pool="max", **C), WORDS["parts"].format(pool="max"))
    assert [picture.label for picture in parts.pictures if picture.frame] == ["1", "4", "9", "11"]
    assert "1, 4, 9, 11; the strongest after the pool are framed: 1, 4, 9, 11" in parts.note


def test_maps_are_the_networks(render):
    shown = render(pool="max", **C)
    model = CharacterNetwork()
    image = decode(model, "characters", 0, input_size=14).images
    maps = model.parts(model.strokes(image))[0].detach()
    pictures = of(shown, WORDS["parts"].format(pool="max")).pictures
    assert [picture.values.shape for picture in pictures] == ([(9, 9)] * 7 + [(6, 6)] * 7 + [(3, 3)] * 7) * 2
    for part in range(14):
        column, half = part % 7, part // 7 * 21
        for shift, expected in ((7, maps[part]), (14, F.max_pool2d(maps[None], 2)[0, part])):
            picture = pictures[half + shift + column]
            values = torch.from_numpy(picture.values / 255.0) * (picture.high - picture.low) + picture.low
            torch.testing.assert_close(values, expected.double(), atol=(picture.high - picture.low) / 500, rtol=0)
    strokes = of(shown, WORDS["strokes"]).pictures
    assert [picture.values.shape for picture in strokes] == [(5, 5)] * 4 + [(10, 10)] * 4


def test_steps_lead_to_the_picture_that_is_fed_back(render):
    shown = render(pool="average", **C)
    steps, fed = of(shown, WORDS["steps"]), of(shown, WORDS["fed"])
    assert steps.arrows and [picture.values.shape for picture in steps.pictures] == [(29, 29), (59, 59), (59, 59), (14, 14)]
    assert (steps.pictures[-1].values == fed.picture.values).all()
    parts = decode(CharacterNetwork(), "parts", input_size=14).images
    layout = steps.pictures[0].values
    for cell, place in CELLS.items():
        drawn = layout[place[0] * 10 : place[0] * 10 + 9, place[1] * 10 : place[1] * 10 + 9]
        if cell in C:
            peak = max(float(parts[part - 1].abs().max()) for part in C.values())
            assert abs(drawn - (parts[C[cell] - 1, 0] / peak * 127).numpy()).max() < 0.51
        else:
            assert not drawn.any()
    picture = torch.from_numpy(fed.picture.values / 127.0) * fed.picture.high
    assert float(picture.norm()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("pool", POOLS)
def test_an_empty_layout_asks_for_a_part(render, pool):
    start, text = render(pool=pool)
    assert isinstance(text, panels.Text) and "Put a part" in text.text
    assert len(start.pictures) == 8 and not any(picture.frame for picture in start.pictures)


def test_one_part_alone_is_enough(render):
    for part in range(1, len(PARTS) + 1):
        shown = render(pool="max", **{list(CELLS)[part % 9]: part})
        assert all(math.isfinite(value) for values in of(shown, WORDS["answers"]).series.values() for value in values)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        ({"pool": "mean"}, ValueError, "pool"), ({"pool": 2}, TypeError, "pool"), ({"middle": 1}, ValueError, "cells"),
        ({"top": 15}, ValueError, "top"), ({"top": -1}, ValueError, "top"), ({"top": "5"}, TypeError, "top"),
        ({"left": 1.0}, TypeError, "left"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(render, wrong, error, named):
    with pytest.raises(error, match=f"^{named}"):
        render(**{"pool": "max", **wrong})


@pytest.mark.bad_input
@pytest.mark.parametrize(("wrong", "error"), [({"bake": 3}, TypeError), ({"bake": {"middle": [1]}}, ValueError), ({"title": 5}, TypeError)])
def test_the_explorer_names_wrong_arguments(wrong, error):
    with pytest.raises(error, match=f"^{next(iter(wrong))}"):
        character_explorer(**wrong)


def test_the_explorer_starts_with_c_and_takes_every_part():
    explorer = character_explorer()
    assert {cell: part for cell, part in explorer.picked.items() if part} == {**C, "pool": "max"}
    explorer.pick(**known("X"), pool="average")
    assert explorer.picked == {**known("X"), "pool": "average"}
    explorer.centre = 0
    shown = explorer._answer_0["panels"]
    assert [panel["kind"] for panel in shown] == ["pictures", "pictures", "picture", "pictures", "pictures", "bars", "numbers"]
    assert shown[5]["labels"][-1] == YOURS
    explorer.pick(**dict.fromkeys(CELLS, 0))
    assert [panel["kind"] for panel in explorer._answer_0["panels"]] == ["pictures", "text"]
    for axis, cell in zip(explorer._axes, CELLS, strict=False):
        assert (axis["name"], tuple(axis["cell"])) == (cell, CELLS[cell])
        assert axis["options"][0][1] == sorted(dict(axis["labels"][0][1])) == list(range(15))


# ------------------------------------------------------------------------------------------------ the script against Python

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")


def assert_same_text(found, expected, where):
    found, expected = found.replace("−", "-"), expected.replace("−", "-")
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected), where
    for one, other in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
        mantissa, _, exponent = other.partition("e")
        digits = len(mantissa.partition(".")[2])
        last = 1.01 * 10.0 ** (int(exponent or 0) - digits) if digits else 0  # rounding may fall on either side
        assert abs(float(one) - float(other)) <= max(last, 1e-5 if exponent else 0), where


def assert_same(found, expected, where="panels"):
    if isinstance(expected, dict) and isinstance(expected.get("data"), bytes):
        assert (found["dtype"], found["shape"]) == (expected["dtype"], expected["shape"]), where
        kind = torch.int8 if expected["dtype"] == "int8" else torch.uint8
        one, other = (torch.frombuffer(bytearray(data), dtype=kind).int() for data in (found["data"], expected["data"]))
        assert len(one) == len(other) and int((one - other).abs().max()) <= 1, where
    elif isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, value in enumerate(expected):
            assert_same(found[i], value, f"{where}[{i}]")
    elif isinstance(expected, str):
        assert_same_text(found, expected, where)
    elif isinstance(expected, float):
        assert isinstance(found, int | float) and abs(found - expected) <= 1e-5, where
    else:
        assert found == expected and type(found) is type(expected), where


def test_the_page_computes_the_same_panels(render):
    picks = [{**known(name), "pool": pool} for name in CHARACTERS for pool in POOLS]
    picks += [*layouts(30), {**dict.fromkeys(CELLS, 0), "pool": "max"}]
    found = node(PANELS, {"data": textual(render.computed[1]), "picks": picks})
    assert len(found) == len(picks)
    for pick, answer in zip(picks, found, strict=True):
        assert "value" in answer, (pick, answer)
        assert_same(answer["value"], [panel.encode() for panel in render(**pick)], f"{pick}")


def test_the_data_for_the_page_is_small(render):
    assert len(json.dumps(textual(render.computed[1]))) < 40_000


def given(*shape, seed=0):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values, {"shape": list(shape), "values": values.flatten().tolist()}


def test_the_pages_layers_are_those_of_torch():
    x, x_ = given(3, 11, 8)
    w, w_ = given(5, 3, 4, 2, seed=1)
    z, z_ = given(5, 6, 7, seed=2)
    bias = [0.5, -1.0, 2.0, 0.25, -3.0]
    calls = [
        (["conv2d", x_, w_], F.conv2d(x[None], w)),
        (["conv2d", x_, w_, bias, 1], F.conv2d(x[None], w, torch.tensor(bias))),
        (["conv2d", x_, w_, None, 3], F.conv2d(x[None], w, stride=3)),
        (["conv2d", x_, w_, bias, 2], F.conv2d(x[None], w, torch.tensor(bias), stride=2)),
        (["convTranspose2d", z_, w_], F.conv_transpose2d(z[None], w)),
        (["maxPool", x_, 3], F.max_pool2d(x[None], 3)),
        (["maxPool", x_, 1], x[None]),
        (["avgPool", x_, 3], F.avg_pool2d(x[None], 3)),
        (["avgPool", x_, 2], F.avg_pool2d(x[None], 2)),
        (["unpoolNearest", x_, 3], F.interpolate(x[None], scale_factor=3)),
    ]
    for (call, expected), answer in zip(calls, node(LAYERS, [call for call, _ in calls]), strict=True):
        assert "value" in answer, (call[0], answer)
        found = answer["value"]
        assert found["shape"] == list(expected.shape[1:]), call[0]
        values = torch.tensor(found["values"]).view(expected.shape)
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0, msg=lambda m, c=call: f"{c[0]}: {m}")


@pytest.mark.bad_input
def test_the_pages_layers_name_what_they_expected():
    _, x = given(3, 6, 8)
    _, w = given(5, 3, 4, 2)
    _, long = given(5, 3, 7, 2)
    calls = [
        (["conv2d", given(4, 6, 8)[1], w], r"w: got shape \[5,3,4,2\], expected \(k, c = 4, kh, kw\)"),
        (["conv2d", w, w], r"x: got shape \[5,3,4,2\], expected \(c, h, w\)"),
        (["conv2d", x, long], r"x: got 6 x 8, expected at least 7 x 2"),
        (["conv2d", x, w, [1.0]], r"bias: got 1 values, expected 5"),
        (["conv2d", x, w, None, 0], r"stride: got 0, expected a whole number"),
        (["conv2d", {"shape": [3, 6, 8], "values": [1.0]}, w], r"x: got 1 values, expected 144"),
        (["conv2d", None, w], r"x: got shape \[undefined\], expected \(c, h, w\)"),
        (["convTranspose2d", x, w], r"w: got shape \[5,3,4,2\], expected \(k = 3, c, kh, kw\)"),
        (["maxPool", x, 7], r"x: got 6 x 8, expected at least 7 x 7"),
        (["avgPool", x, 1.5], r"k: got 1.5, expected a whole number"),
        (["unpoolNearest", {"shape": [3, 0, 8], "values": []}, 2], r"x: got shape \[3,0,8\]"),
    ]
    for (call, message), answer in zip(calls, node(LAYERS, [call for call, _ in calls]), strict=True):
        assert re.search(message, answer.get("error", "no error")), (call[0], answer)
