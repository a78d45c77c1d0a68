"""A network for the reader's page: its answers are the lenses' own, its export answers alike, and the page holds what it needs."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_own_image import COLOUR, GREY, INDICES, Chain, Colour, colour_answers, grey_answers, image_for

from filterlens import features, models, network
from filterlens.explorer import browser, sheets
from filterlens.explorer.browser_answers import Answers, is_chain, responses
from filterlens.explorer.browser_image import OwnImage, about_of, own_image
from filterlens.lenses.decoding import decode, respond
from filterlens.lenses.influence import decompose
from filterlens.lenses.localization import class_maps

torch.set_num_threads(1)
CLOSE = {"rtol": 0, "atol": 1e-4}


def the_lenses(answers: Answers, image: torch.Tensor, model: nn.Module, normalization: Any) -> dict[str, torch.Tensor]:
    """All outputs by the book's other functions."""
    x = normalization.apply(image[None])
    with torch.no_grad(), network.capture(model, answers.layers) as found:
        expected = {"logits": model(x)[0]}
    expected |= {f"maps.{layer}": found[layer][0] for layer in answers.layers}
    return expected | {f"responses.{layer}": respond(decode(model, layer), x)[0] for layer in answers.layers if answers.chain}


def test_a_chain_answers_with_its_maps_and_with_those_of_its_decoded_filters() -> None:
    answers, model = grey_answers(), Chain().eval()
    image = image_for(answers)
    found, expected = answers.of(image), the_lenses(answers, image, model, GREY)
    assert list(found) == answers.names == list(expected) == [f"{kind}{layer}" for kind, layers in (("logits", [""]), ("maps.", "024"), ("responses.", "024")) for layer in layers]  # fmt: skip
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-2 if name.startswith("responses") else 1e-4)
    assert [tuple(found[f"maps.{layer}"].shape) for layer in "024"] == [(4, 20, 16), (5, 8, 7), (6, 1, 1)]
    assert not torch.allclose(found["maps.2"], found["responses.2"], atol=1.0)


def test_influential_features_decomposed_logits_and_class_maps_are_the_lenses() -> None:
    answers, model = colour_answers(), Colour().eval()
    image = image_for(answers)
    found, x = answers.of(image), COLOUR.apply(image[None])
    assert answers.names == ["logits", "maps.first", "maps.second", "features", "decomposed", "cam"]
    for name, value in the_lenses(answers, image, model, COLOUR).items():
        torch.testing.assert_close(found[name], value.detach(), **CLOSE)
    pooled, _ = network.pooled(model, [(x, torch.tensor([0]))])
    torch.testing.assert_close(found["features"], pooled[0].detach(), **CLOSE)
    torch.testing.assert_close(found["decomposed"], decompose(model.linear, INDICES)(pooled)[0].detach(), **CLOSE)
    for c in range(4):
        torch.testing.assert_close(found["cam"][c], class_maps(model, x, torch.tensor([c]))[0], **CLOSE)
    assert not torch.allclose(found["decomposed"], found["logits"], atol=1e-2)


def test_lenet_and_resnet_answer_as_the_book_has_them() -> None:
    lenet = Answers(models.load("lenet"), models.normalization("lenet"))
    assert lenet.layers == ["conv1", "conv2", "conv3"] and lenet.chain  # conv4 gives the logits
    image = image_for(lenet)
    for layer in lenet.layers:
        expected = respond(decode(lenet.model, layer), models.normalization("lenet").apply(image[None]))[0]
        torch.testing.assert_close(lenet.of(image)[f"responses.{layer}"], expected, rtol=1e-4, atol=1e-2)
    stored = features.load("resnet20")
    resnet = Answers(models.load("resnet20"), models.normalization("resnet20"), indices=stored.ranks.select(5, 5).indices)
    assert len(resnet.layers) == 19 and resnet.pooled == "layer3" and not resnet.chain
    assert resnet.of(image_for(resnet))["cam"].shape == (10, 32, 32)


def test_the_callers_network_is_left_as_it_was() -> None:
    model = Colour().train()
    before = copy.deepcopy(model.state_dict())
    Answers(model, COLOUR, indices=INDICES).of(torch.rand(3, 12, 10))
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_only_plain_chains_have_decoded_filters_here() -> None:
    assert is_chain(Chain()) and not is_chain(Colour())
    pools = (
        nn.AvgPool2d(2),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(3, ceil_mode=True),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d((2, 3)),
    )
    for odd in (*pools, nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 3, stride=(1, 2)), nn.Sigmoid()):
        assert not is_chain(nn.Sequential(nn.Conv2d(1, 2, 3), odd)), odd
    assert is_chain(nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d((3, 3), (3, 3)), nn.Conv2d(2, 3, (2, 1), stride=2)))
    found = responses(nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d((3, 2)), nn.Conv2d(2, 3, 1)), torch.ones(1, 1, 6, 6))
    assert found["2"].shape == (1, 3, 2, 3)


# ------------------------------------------------------------------------------------------------------------ the export


@pytest.mark.parametrize("make", [grey_answers, colour_answers])
def test_the_exported_network_answers_alike_and_is_the_same_each_time(make: Any) -> None:
    pytest.importorskip("onnx", reason="needs the package onnx (pip install onnx)")
    from onnx.reference import ReferenceEvaluator

    answers = make()
    content, image = browser.exported(answers), image_for(answers)
    assert content == browser.exported(make())
    outputs = ReferenceEvaluator(content).run(None, {"image": image[None].numpy()})
    for name, value in zip(answers.names, outputs, strict=True):
        np.testing.assert_allclose(value[0], answers.of(image)[name].numpy(), rtol=1e-4, atol=1e-3, err_msg=name)


def test_the_runtime_is_the_one_that_its_readme_names() -> None:
    readme = (browser.VENDOR / "README.md").read_text(encoding="utf-8")
    stored = {browser.MODULE: (browser.VENDOR / browser.MODULE).read_bytes()}
    stored["ort-wasm-simd-threaded.wasm`, unpacked"] = gzip.decompress((browser.VENDOR / browser.WASM).read_bytes())
    for name, content in stored.items():
        line = next(line for line in readme.splitlines() if line.startswith(f"| `{name}"))
        assert hashlib.sha256(content).hexdigest() in line, name
    assert "MIT License" in (browser.VENDOR / "LICENSE").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in browser.VENDOR.iterdir()) < 4_000_000


# -------------------------------------------------------------------------------------------------------- on a page, live


def content_of(path: Path) -> dict[str, Any]:
    """The JSON of a sheet; arrays as {dtype, shape, at}."""
    block = zlib.decompress(base64.b64decode(re.fullmatch(r'filterlensSheet\("\w+", "(.*)"\);\n', path.read_text())[1]))
    (length,) = struct.unpack("<I", block[:4])
    return json.loads(block[4 : 4 + length])["states"][0]


def test_a_page_offers_what_lies_beside_it_and_two_networks_share_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sheets.FOLDER, str(tmp_path / "toy.sheets"))
    monkeypatch.setattr(browser, "runtime", lambda: {"module": browser._bytes(b"module"), "wasm": browser._bytes(b"wasm")})
    monkeypatch.setattr(browser, "exported", lambda answers: f"network of {len(answers.names)}".encode())
    pages = []
    for model, given in ((Chain(), {"normalization": GREY, "classes": list("abc")}), (Colour(), {"normalization": COLOUR, "classes": list("abcd"), "indices": INDICES})):  # fmt: skip
        made = own_image(model, **given, title="</script> & more", name=type(model).__name__.lower())
        pages.append(made._repr_mimebundle_()[0]["text/html"])
        assert made._about == {}  # a page holds it in a file
    states = [json.loads(re.search(r'<script type="application/json">(.*)</script>', page).group(1)) for page in pages]
    folder = tmp_path / "toy.sheets" / "own-image"
    assert states[0]["files"]["runtime"] == states[1]["files"]["runtime"] and len(list(folder.glob("*.js"))) == 3
    assert "MIT License" in (folder / "onnxruntime-web.LICENSE").read_text(encoding="utf-8") and list(folder.glob("*.txt.gz"))
    assert states[0]["title"] == "</script> & more" and "&lt;/script&gt; &amp; more" in pages[0]
    for page, state in zip(pages, states, strict=True):
        assert 'data-filterlens-own-image data-sheets="toy.sheets/own-image/"' in page and "data-filterlens-explorer" not in page
        assert state["bytes"] == {part: (folder / f"{name}.js").stat().st_size for part, name in state["files"].items()}
    about = content_of(folder / f"{states[1]['files']['network']}.js")["about"]
    assert about["indices"] == INDICES.tolist() and about["classes"] == list("abcd") and about["network"] == "Colour"
    assert states[1]["knows"] == about["knows"] == "Colour sees 12 × 10 pixels and knows 4 classes, nothing else: whatever an image shows, it names one of them."  # fmt: skip
    assert (tmp_path / "toy.sheets" / "chain.html").read_text() == pages[0]


def test_in_jupyter_an_image_goes_to_python_and_its_arrays_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made = own_image(Colour(), normalization=COLOUR, classes=list("abcd"), indices=INDICES)
    assert made._html is None and made._about["network"] == "Colour"
    sent: list[Any] = []
    monkeypatch.setattr(OwnImage, "send", lambda self, content, buffers=None: sent.append((content, buffers)))
    image = image_for(made.answers)
    made._asked(made, {"number": 7}, [memoryview(image.numpy().tobytes())])
    content, buffers = sent.pop()
    assert content["number"] == 7 and torch.equal(made.image, image)
    for one, data, (name, value) in zip(content["outputs"], buffers, made.answers.of(image).items(), strict=True):
        assert one == {"name": name, "shape": list(value.shape)}
        assert np.array_equal(np.frombuffer(data, "<f4").reshape(one["shape"]), value.numpy())
    made._asked(made, {"number": 8}, [b"1234"])
    assert sent[0][0]["number"] == 8 and "RuntimeError" in sent[0][0]["error"] and torch.equal(made.image, image)


def test_decoded_pictures_and_axes_tell_the_layers_apart() -> None:
    about = about_of(grey_answers(), list("abc"), "toy")
    assert [axis["name"] for axis in about["axes"]] == ["layer", "filter"]
    assert about["axes"][1]["options"] == [[["0"], [0, 1, 2, 3]], [["2"], [0, 1, 2, 3, 4]], [["4"], [0, 1, 2, 3, 4, 5]]]
    picture = decode(Chain(), "2").images
    assert about["decoded"]["2"]["shape"] == [5, *picture.shape[2:]]
    steps = np.frombuffer(about["decoded"]["2"]["data"], np.int8).reshape(about["decoded"]["2"]["shape"])
    peaks = torch.tensor(about["peaks"]["2"])[:, None, None]
    assert (torch.from_numpy(steps.copy()) / 127 * peaks - picture[:, 0]).abs().max() <= (peaks / 254).max() * 1.001
    assert "decoded" not in about_of(colour_answers(), list("abcd"), "toy")


def test_a_board_starts_with_the_pick_it_is_given_and_says_how_good_the_network_is() -> None:
    about = own_image(Colour(), **OWN, indices=INDICES, start={"layer": "second", "filter": 6})._about
    assert about["start"] == {"target": -1, "layer": "second", "filter": 6}
    lenet = own_image("lenet")._about
    assert lenet["start"] == {"layer": "conv1", "filter": 0}
    assert lenet["knows"].endswith(f"Of MNIST's 10,000 test images it reads {100 * models.about('lenet')['accuracy']:.2f} % right.")


def test_a_network_in_double_precision_answers_in_single() -> None:
    found = Answers(Colour().double(), COLOUR, indices=INDICES).of(image_for(colour_answers()))
    torch.testing.assert_close(found["cam"], colour_answers().of(image_for(colour_answers()))["cam"], **CLOSE)


def test_examples_are_stored_pixel_by_pixel() -> None:
    images = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(3))
    about = own_image(Colour(), normalization=COLOUR, classes=list("abcd"), examples=images, example_titles=["a cat", "a dog"])._about
    stored = np.frombuffer(about["examples"]["data"], np.uint8).reshape(2, 12, 10, 3)
    assert np.array_equal(stored, (images * 255).round().byte().permute(0, 2, 3, 1).numpy()) and about["titles"] == ["a cat", "a dog"]


# -------------------------------------------------------------------------------------------------------------- bad input

OWN = {"normalization": COLOUR, "classes": list("abcd")}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Answers("lenet", GREY), TypeError, "model"),
        (lambda: Answers(Chain(), None), TypeError, "normalization"),
        (lambda: Answers(nn.Conv2d(1, 2, 3), GREY), ValueError, "model"),
        (lambda: Answers(Colour(), COLOUR, indices=INDICES[:3]), ValueError, "indices"),
        (lambda: Answers(Colour(), COLOUR, indices=INDICES + 3), ValueError, "indices"),
        (lambda: Answers(Chain(), GREY, indices=INDICES), ValueError, "model"),
        (lambda: grey_answers().of(torch.rand(1, 23, 16)), ValueError, "image"),
        (lambda: grey_answers().of(torch.full((1, 23, 17), torch.nan)), ValueError, "image"),
        (lambda: browser.exported(Chain()), TypeError, "answers"),
        (lambda: about_of(grey_answers(), None, "toy"), ValueError, "classes"),
        (lambda: own_image(3), TypeError, "network"),
        (lambda: own_image("lenett"), ValueError, "network.*lenet"),
        (lambda: own_image(Colour(), classes=list("abcd")), TypeError, "normalization"),
        (lambda: own_image(Colour(), normalization=COLOUR, classes="abcd"), ValueError, "classes"),
        (lambda: own_image(Colour(), normalization=COLOUR, classes=list("abc")), ValueError, "classes"),
        (lambda: own_image(Colour(), **OWN, examples=torch.rand(2, 3, 10, 12)), ValueError, "examples"),
        (lambda: own_image(Colour(), **OWN, examples=torch.rand(2, 3, 12, 10) + 1), ValueError, "examples"),
        (lambda: own_image(Colour(), **OWN, examples=torch.zeros(2, 3, 12, 10), example_titles=["one"]), ValueError, "example_titles"),
        (lambda: own_image(Colour(), **OWN, example_titles=["one"]), ValueError, "example_titles"),
        (lambda: own_image(Colour(), **OWN, start={"layer": "third"}), ValueError, "layer"),
        (lambda: own_image(Colour(), **OWN, start=["second"]), TypeError, "start"),
        (lambda: own_image(Colour(), **OWN, title=3), TypeError, "title"),
        (lambda: own_image(Colour(), **OWN, network_name=3), TypeError, "network_name"),
        (lambda: own_image(Colour(), **OWN, name="No Good"), ValueError, "name"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        call()
