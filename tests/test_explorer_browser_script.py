"""The board's script without a browser: node runs it, Python knows what must come out."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from filterlens.explorer import script

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node (apt install nodejs) to run the board's script")
RANDOM = np.random.default_rng(0)


def run(body: str, given: Any = None) -> Any:
    """What ``body``, an asynchronous function's, returns beside the script's own names; ``given`` is what it is given."""
    text = f"{script.source(board=True)}\nconst given = {json.dumps(given)};\n(async () => {{ {body} }})().then((out) => console.log(JSON.stringify(out)));"
    done = subprocess.run([NODE, "-"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_both_forms_are_sound_javascript_and_the_styles_are_one_sheet() -> None:
    for flags, text in (["--input-type=module"], script.module(board=True)), ([], script.classic(board=True)):
        done = subprocess.run([NODE, "--check", *flags, "-"], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert ".fl-explorer {" in script.style(board=True) and ".fl-own-board {" in script.style(board=True)


def shares(before: int, after: int) -> np.ndarray:
    """(after, before): how much of each pixel lies under each new one, by counting 1/1000 of pixels."""
    fine = np.arange(before * after * 1000)
    table = np.zeros((after, before))
    np.add.at(table, (fine // (before * 1000), fine // (after * 1000)), 1)
    return table / table.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [(6, 5), (4, 3), (12, 10), (17, 23), (1, 1)])
def test_pixels_are_averaged_by_area(size: tuple[int, int]) -> None:
    values = RANDOM.random((2, 12, 10)).astype(np.float32)
    found = run("return [...areaAverage(new Float32Array(given[0]), [2, 12, 10], given[1])];", [values.ravel().tolist(), size])
    expected = np.einsum("yh,chw,xw->cyx", shares(12, size[0]), values, shares(10, size[1]))
    np.testing.assert_allclose(np.reshape(found, (2, *size)), expected, atol=1e-6)


def centred(drawing: np.ndarray) -> np.ndarray:
    found = run("return [...centredDigit(new Float32Array(given[0]), given[1], [28, 28])];", [drawing.ravel().tolist(), drawing.shape])
    return np.reshape(found, (28, 28))


def test_a_drawing_is_put_into_the_middle_as_mnists_digits_are() -> None:
    drawing = np.zeros((280, 280))
    drawing[5:105, 150:200] = 1.0  # a bar of 100 by 50 in a corner: 20 by 10 in the middle
    expected = np.zeros((28, 28))
    expected[4:24, 9:19] = 1.0
    np.testing.assert_allclose(centred(drawing), expected, atol=1e-6)
    assert not centred(np.zeros((30, 40))).any()


def test_a_digit_of_mnists_size_stays_what_it_is() -> None:
    digit = np.zeros((28, 28))
    digit[4:24, 7:21] = RANDOM.random((20, 14)).round(2)
    digit[4, 7] = digit[23, 20] = 1.0  # the box ends here
    mass = digit.sum()
    middle = np.array([(digit.sum(1) @ np.arange(28)) / mass, (digit.sum(0) @ np.arange(28)) / mass])
    assert (np.abs(middle - 13.5) < 0.5).all()  # so that nothing moves
    np.testing.assert_allclose(centred(np.kron(digit, np.ones((10, 10)))), digit, atol=1e-6)


def test_ink_is_told_from_paper_as_otsu_does() -> None:
    levels = np.concatenate([RANDOM.normal(90, 30, 900), RANDOM.normal(170, 25, 1700)]).clip(0, 255).round().astype(np.uint8)
    limit = run("const counts = new Float64Array(256); for (const v of given) counts[v] += 1; return otsu(counts);", levels.tolist())
    assert abs(limit - threshold_otsu(levels)) <= 0.5


def test_ink_comes_out_white_be_it_dark_or_light() -> None:
    levels = np.concatenate([RANDOM.normal(60, 9, 300), RANDOM.normal(190, 15, 1700)]).clip(0, 255).round().astype(int)
    dark, light = run(
        "return given.map((values) => [...inkOf(new Float32Array(values))]);", [(levels / 255).tolist(), ((255 - levels) / 255).tolist()]
    )
    np.testing.assert_allclose(dark, light, atol=1e-5)
    ink, paper = np.array(dark)[:300], np.array(dark)[300:]
    assert ink.max() == 1 and ink.mean() > 0.85 and not paper.any()
    assert not any(run("return [...inkOf(new Float32Array(9).fill(0.5))];"))


def test_pixels_become_planes() -> None:
    pixels = [10, 20, 30, 255, 40, 40, 40, 255]
    found = run("return [1, 3].map((channels) => [...planesOf(given, channels, 2)]);", pixels)
    np.testing.assert_allclose(found[0], [(0.299 * 10 + 0.587 * 20 + 0.114 * 30) / 255, 40 / 255], atol=1e-7)
    np.testing.assert_allclose(found[1], np.array([10, 40, 20, 40, 30, 40]) / 255, atol=1e-7)


def test_examples_are_the_planes_that_python_gave() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    body = """
      const examples = { dtype: "uint8", shape: [2, 4, 5, 3], data: new Uint8Array(given) };
      return [...exampleAt({ size: [3, 4, 5], examples }, 1)];
    """
    np.testing.assert_allclose(run(body, images.permute(0, 2, 3, 1).flatten().tolist()), images[1].flatten() / 255, atol=1e-7)


def test_numbers_of_a_class_add_up_and_the_strongest_is_found() -> None:
    about = {"indices": [[2, 0], [1, 2]], "weight": [[1.0, 2.0, -3.0], [0.5, -1.0, 4.0]], "bias": [0.25, -0.5], "classes": ["a", "b"], "size": [3, 2, 2], "network": "N"}  # fmt: skip
    features = [2.0, 3.0, 0.5]
    logits = [
        sum(w * f for w, f in zip(row, features, strict=True)) + bias for row, bias in zip(about["weight"], about["bias"], strict=True)
    ]
    arrays = {"logits": [[2], logits], "features": [[3], features], "decomposed": [[2], [0.75, -1.5]], "cam": [[2, 2, 2], list(range(8))]}
    body = """
      const outputs = Object.fromEntries(Object.entries(given[1]).map(([name, [shape, values]]) => [name, { shape, values: new Float32Array(values) }]));
      const at = (target) => ({ image: new Float32Array(12), outputs, about: given[0], pick: { target } });
      return [classPanels(at(-1)), classPanels(at(1)), scoresPanel(at(-1))];
    """
    strongest, other, scores = run(body, [about, arrays])
    assert strongest[0]["title"] == "Where a is seen" and other[0]["title"] == "Where b is seen"
    assert (
        strongest[1]["labels"] == ["2", "0", "1"] and strongest[1]["series"][0]["values"] == [-1.5, 2.0, 6.0] and strongest[1]["cut"] == 2
    )
    assert [row[1] for row in strongest[2]["rows"]] == ["6.750", "0.750", "0.500", "6.000", "0.250"]
    assert [row[1] for row in other[2]["rows"]] == ["−0.500", "−1.500", "−1.000", "1.000", "−0.500"]
    assert scores["highlight"] == 0 and [one["values"] for one in scores["series"]] == [logits, [0.75, -1.5]]
    softmax = 100 * np.exp(logits[0]) / np.exp(logits).sum()
    assert f"N reads a: logit 6.750, softmax {softmax:.1f} %." in scores["note"]
