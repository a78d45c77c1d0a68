"""The decoding explorer shows what the lens computes, for the weights as they are at the time of the pick."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from filterlens import models, network
from filterlens.explorer import Network, decoding_explorer
from filterlens.explorer import decoded as room
from filterlens.lenses.decoding import compare, contributions, decode, respond

NORM = models.normalization("lenet")


class Halved:
    """A normalization with a shape of its own."""

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        return images / 2 - 0.1


@pytest.fixture(autouse=True)
def _no_grad() -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def toy() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, (3, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5)
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 1, 14, 15)


@pytest.fixture
def model(images: torch.Tensor) -> nn.Module:
    made = toy()
    made(images)
    return made


def shown(explorer: Any, title: str) -> dict[str, Any]:
    """The panel whose title begins so."""
    found = [panel for panel in everything(explorer) if panel["title"].startswith(title)]
    assert len(found) == 1, [panel["title"] for panel in everything(explorer)]
    return found[0]


def everything(explorer: Any) -> list[dict[str, Any]]:
    return [panel for i in range(len(explorer._calls)) for panel in getattr(explorer, f"_answer_{i}")["panels"]]


def values(picture: dict[str, Any]) -> np.ndarray:
    """The numbers that a picture stands for."""
    array = picture["values"]
    steps = np.frombuffer(array["data"], array["dtype"]).reshape(array["shape"]).astype(float)
    return steps / 127 * picture["high"] if array["dtype"] == "int8" else picture["low"] + steps / 255 * (picture["high"] - picture["low"])


def assert_shows(picture: dict[str, Any], expected: torch.Tensor) -> None:
    expected = expected.double().numpy()
    assert np.abs(values(picture) - expected).max() <= (np.abs(expected).max() + np.ptp(expected)) / 127


def test_every_pick_shows_the_decoded_filter_and_both_answers(model: nn.Module, images: torch.Tensor) -> None:
    explorer = decoding_explorer(model, images, normalization=Halved())
    x = Halved().apply(images)
    for layer, kernel, unpool, image in (("0", 2, "nearest", 1), ("3", 3, "bilinear", 5), ("3", 0, "bicubic", 0)):
        explorer.pick(layer=layer, filter=kernel, unpool=unpool, image=image)
        decoded = decode(model, layer, unpool=unpool)
        assert_shows(shown(explorer, f"Filter {kernel} of {layer}")["picture"], decoded.images[kernel, 0])
        assert_shows(shown(explorer, "The network's map")["pictures"][0], network.stop_at(model, layer)(x)[image, kernel])
        assert_shows(shown(explorer, "The picture's answer")["pictures"][0], respond(decoded, x)[image, kernel])
        assert_shows(shown(explorer, "The image")["pictures"][0], images[image, 0])
        rows = {row[0]: row[1] for row in shown(explorer, "How well")["rows"]}
        expected = compare(model, decoded, x[image : image + 1])
        assert rows[f"error (eq. 3), all {len(decoded.kernels)} filters"] == f"{expected.mean:.4f}"
        assert rows[f"correlation, all {len(decoded.kernels)} filters"] == f"{float(expected.correlation):.3f}"


def test_steps_are_those_of_the_lens_with_their_sizes(model: nn.Module) -> None:
    explorer = decoding_explorer(model)
    explorer.pick(layer="3", filter=1)
    steps = decode(model, "3", [1], keep_steps=True).steps
    labels = [picture["label"] for picture in shown(explorer, "Decoding")["pictures"]]
    assert len(labels) == len([step for step in steps if step.kind != "scale"])
    assert (
        labels[0].startswith("3 × 3, channel ") and labels[0].endswith("of 3") and labels[1].startswith("6 × 6") and labels[-1] == "8 × 7"
    )
    strongest = int((steps[0].images[0] ** 2).sum((1, 2)).argmax())
    assert f"channel {strongest} of 3" in labels[0]


def test_best_images_are_those_of_a_literal_search(model: nn.Module, images: torch.Tensor) -> None:
    explorer = decoding_explorer(Network(model, gallery=images, normalization=Halved()))
    explorer.pick(layer="3", filter=2)
    by_unit, by_picture = [], []
    for image in images:
        x = Halved().apply(image[None])
        by_unit.append(float(network.stop_at(model, "3")(x)[0, 2].max()))
        by_picture.append(float(respond(decode(model, "3", [2]), x).max()))
    for title, answers in (("Images that drive", by_unit), ("Images that the picture", by_picture)):
        order = np.argsort(answers)[::-1][:4]
        for picture, i in zip(shown(explorer, title)["pictures"], order, strict=True):
            assert_shows(picture, images[i, 0])
            assert picture["label"] == f"{answers[i]:.3g}"


def test_the_tree_is_clickable_down_to_the_first_layer(model: nn.Module) -> None:
    explorer = decoding_explorer(model)
    explorer.pick(layer="3", filter=1)
    tree = shown(explorer, "Made of")
    expected = contributions(decode(model, "3"), 1, top=5, depth=2)
    assert tree["nodes"][0]["picture"]["pick"] is None
    picks = [node["picture"]["pick"] for node in tree["nodes"][1:]]
    assert {pick["filter"] for pick in picks} == {part.channel for part in expected.parts} and {pick["layer"] for pick in picks} == {"0"}
    assert sum(share for _, _, share in tree["edges"]) == pytest.approx(1 - expected.rest, abs=1e-5)
    explorer.pick(**picks[0])
    assert explorer.layer == "0" and shown(explorer, "Made of")["kind"] == "text"


def test_retrained_pruned_and_converted_weights_are_noticed(model: nn.Module, images: torch.Tensor) -> None:
    explorer = decoding_explorer(model, images)

    def peak() -> float:
        explorer.filter, explorer.filter = 1, 0
        return shown(explorer, "Filter 0")["picture"]["high"]

    before = peak()
    model[0].weight.mul_(2)  # a step of training
    assert peak() == pytest.approx(2 * before)
    model[0].weight.data[0] = 0  # pruned behind autograd's back
    assert peak() == 0
    model[0].weight = nn.Parameter(torch.ones_like(model[0].weight))
    assert peak() == 1
    model.double()
    assert peak() == 1 and not [panel for panel in everything(explorer) if panel["kind"] == "error"]
    model.load_state_dict({name: 3 * value for name, value in model.state_dict().items()})
    assert peak() == 3
    model[0].weight.data.neg_()  # the same norm
    assert values(shown(explorer, "Filter 0")["picture"]).min() == 3  # of before,
    peak()
    assert values(shown(explorer, "Filter 0")["picture"]).max() == -3  # and of now


def test_another_structure_and_other_images_are_noticed(model: nn.Module, images: torch.Tensor) -> None:
    images = images.clone()
    explorer = decoding_explorer(model, images)
    explorer.pick(layer="3", filter=1, image=2)
    images[2] = 1 - images[2]
    explorer.threshold = 0.5  # no function takes it, and yet all of them look again
    assert_shows(shown(explorer, "The image")["pictures"][0], images[2, 0])
    assert_shows(shown(explorer, "The network's map")["pictures"][0], network.stop_at(model, "3")(images)[2, 1])
    model[2] = nn.AvgPool2d(2)
    explorer.threshold = 0.0
    assert_shows(shown(explorer, "Filter 1 of 3")["picture"], decode(model, "3", [1]).images[0, 0])


def test_a_layer_too_large_to_be_kept_is_not_summed_up(model: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(panel["title"] == "Agreement by depth" for panel in everything(decoding_explorer(model, images)))
    monkeypatch.setattr(room, "BANK", 10)
    assert not any(panel["title"] == "Agreement by depth" for panel in everything(decoding_explorer(model, images)))
    monkeypatch.setattr(room, "TREE", 10)
    assert "contributions" in shown(decoding_explorer(Network(model, layers=["3"])), "Made of")["text"]


def test_the_network_is_left_as_it_was(model: nn.Module, images: torch.Tensor) -> None:
    model.train()
    before = copy.deepcopy(model.state_dict())
    decoding_explorer(Network(model, images, gallery=images)).pick(layer="3", filter=3, image=2)
    assert model.training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]


def test_the_network_runs_once_per_image(model: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = decoding_explorer(model, images)
    runs: list[int] = []
    model.register_forward_pre_hook(lambda module, args: runs.append(len(args[0])))
    monkeypatch.setattr(room, "decode", lambda *arguments, **options: decode(copy.deepcopy(model), *arguments[1:], **options))
    for layer, kernel in (("0", 1), ("3", 2), ("3", 3), ("0", 0)):
        for image in (1, 2, 3):
            explorer.pick(layer=layer, filter=kernel, image=image)
    traced = [n for n in runs if n != 1]
    assert len(runs) - len(traced) <= 3 + 2  # three images, and what recording the two layers takes


def test_large_layers_are_decoded_filter_by_filter(model: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BANK", 100)
    explorer = decoding_explorer(model, images)
    explorer.pick(layer="3", filter=2)
    assert_shows(shown(explorer, "Filter 2 of 3")["picture"], decode(model, "3", [2]).images[0, 0])
    assert "correlation, this filter alone" in {row[0] for row in shown(explorer, "How well")["rows"]}


def test_what_is_remembered_stays_within_its_bytes(model: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEPT", 20_000)
    explorer = decoding_explorer(model, images)
    for layer, kernel, image in itertools.product(("0", "3"), range(3), range(6)):
        explorer.pick(layer=layer, filter=kernel, image=image)
        decodings = next(iter(explorer._decodings.values()))
        held = sum(room._bytes(value) for value, _ in decodings._kept.values())
        assert held == decodings._size and (held <= 20_000 or len(decodings._kept) == 1)
        assert_shows(shown(explorer, f"Filter {kernel} of")["picture"], decode(model, layer, [kernel]).images[0, 0])


def test_several_networks_have_their_own_layers_images_and_unpoolings(model: nn.Module, images: torch.Tensor) -> None:
    other = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AvgPool2d(2), nn.Conv2d(2, 5, 2)).eval()
    networks = {
        "toy": Network(model, images[:2], ["one", "two"], layers={"0": "first", "3": "second"}),
        "colour": Network(other, torch.rand(1, 3, 12, 12), ["noise"], kernels=3),
    }
    explorer = decoding_explorer(networks)
    explorer.pick(network="colour", layer="2", filter=2)
    assert explorer.picked["unpool"] == "nearest" and explorer.image == "noise"
    array = shown(explorer, "Filter 2 of 2")["picture"]["values"]
    assert array["dtype"] == "uint8" and array["shape"][2] == 3
    explorer.network = "toy"
    assert explorer.picked == {"network": "toy", "layer": "0", "filter": 2, "unpool": "nearest", "image": "one", "threshold": 0.0}
    with pytest.raises(ValueError, match="^filter"):
        explorer.pick(network="colour", layer="0", filter=2)
    assert not [panel for panel in everything(explorer) if panel["kind"] == "error"]


def test_a_refused_layer_says_why_and_the_others_work() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.gate, self.last = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.last(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))

    explorer = decoding_explorer(Network(Gated().eval(), torch.rand(2, 1, 12, 13), gallery=torch.rand(3, 1, 12, 13)))
    explorer.layer = "last"
    (refused,) = [panel for panel in everything(explorer) if panel["kind"] == "text"]
    assert refused["title"] == "Filters of last cannot be drawn" and "gain" in refused["text"] and "options" in refused["text"]
    # What the network itself says is still there, what would need a picture is not.
    assert {panel["title"] for panel in everything(explorer) if panel["kind"] != "text"} == {
        "The image", "The network's map", "Images that drive the unit most"
    }  # fmt: skip
    explorer.layer = "first"
    assert "picture" in {panel["kind"] for panel in everything(explorer)} and "error" not in {panel["kind"] for panel in everything(explorer)}


def test_a_silent_layer_leaves_a_gap(model: nn.Module, images: torch.Tensor) -> None:
    model[3].weight.zero_()
    model[3].bias.zero_()
    three = nn.Sequential(model[0], model[1], nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 2), nn.Conv2d(2, 3, 2))
    three[3].weight.zero_()
    three[3].bias.zero_()
    explorer = decoding_explorer(three, images)
    curve = shown(explorer, "Agreement by depth")
    assert curve["x"] == [1.0, 2.0] and "none where all answers are equal: 3, 4" in curve["note"]
    assert not [panel for panel in everything(explorer) if panel["kind"] == "error"]
    assert not any(panel["title"] == "Agreement by depth" for panel in everything(decoding_explorer(model, images)))


def test_live_controls_change_how_it_is_computed(model: nn.Module, images: torch.Tensor) -> None:
    explorer = decoding_explorer(model, images)
    explorer.layer = "3"
    peak = shown(explorer, "Filter 0")["picture"]["high"]
    scale, normalize, parts = explorer.controls.children
    scale.value = "sum"
    assert shown(explorer, "Filter 0")["picture"]["high"] == pytest.approx(peak / 4)
    normalize.value = "zscore"
    assert any("zscore" in row[2] for row in shown(explorer, "How well")["rows"])
    parts.value = 2
    assert len({child for parent, child, _ in shown(explorer, "Made of")["edges"] if parent == 0}) <= 2
    assert explorer.with_controls().children[1] is explorer


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m, x: decoding_explorer(3), "networks: got int 3"),
        (lambda m, x: decoding_explorer({}), "networks: got dict"),
        (lambda m, x: decoding_explorer({"a": Network(m), "b": m}), r"networks\['b'\] is Sequential"),
        (lambda m, x: decoding_explorer(m, x.expand(6, 3, 14, 15)), "images: got 3 channels, expected 1"),
        (lambda m, x: decoding_explorer(Network(m), x), "images: expected with a single CNN"),
        (lambda m, x: decoding_explorer(nn.Linear(2, 3)), "model: Linear has no 2-D convolution"),
        (lambda m, x: decoding_explorer(m, x * 255), r"images: got values in \[.*expected images in \[0, 1\]"),
        (lambda m, x: decoding_explorer(m, x[0]), "images: got a float32 tensor"),
        (lambda m, x: Network(m, gallery=x - 1), "gallery: got values"),
        (lambda m, x: Network(m, layers=["9"]), "layers: got '9'"),
        (lambda m, x: Network(m, x, titles=["one"]), "titles: got 1, expected one for each image"),
        (lambda m, x: Network(m, kernels=0), "kernels: got 0"),
        (lambda m, x: Network("lenet"), "model: got str"),
        (lambda m, x: decoding_explorer(m).set_up(gain="one"), "settings: got 'gain'"),
        (lambda m, x: decoding_explorer(m).set_up(scale="foo"), "scale: got 'foo'"),
        (lambda m, x: decoding_explorer(m).set_up(normalize="foo"), "normalize: got 'foo'"),
        (lambda m, x: decoding_explorer(m).set_up(parts=0), "parts: got 0"),
        (lambda m, x: Network(m, normalization=(0.1, 0.3)), "normalization: got tuple"),
        (lambda m, x: Network(m, options={"input_sze": 3}), "options: got 'input_sze'.*did you mean 'input_size'"),
        (lambda m, x: Network(m, options={"unpool": "nearest"}), "options: got 'unpool'"),
        (lambda m, x: Network(m, options=[1]), "options: got list"),
        (lambda m, x: Network(m, x[:2], titles=["one", "one"]), "titles: got one of"),
        (lambda m, x: Network(m, x[:2], titles=[1, 2]), "titles: got int 1, expected text"),
        (lambda m, x: Network(m, layers="0"), "layers: got '0', expected a list"),
        (lambda m, x: Network(m, layers={"0": 1}), "layers: got int 1, expected text"),
        (lambda m, x: Network(m, x, gallery=torch.rand(2, 3, 14, 15)), "gallery: got a float32 tensor of shape \\(2, 3"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str, model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        make(model, images)
