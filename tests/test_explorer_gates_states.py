"""What the explorers of masks and attacks show, kept on disk: saved and loaded it is the same, and it is what the lenses say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from toy_gates import C, cnn, gates, pictures

from filterlens.explorer import GateStates, gate_states
from filterlens.lenses import adversarial, localization
from filterlens.lenses.gates import GatedClassifier
from filterlens.models import CheckpointError

torch.set_num_threads(1)


def some(n: int, seed: int = 0) -> SimpleNamespace:
    images, labels = pictures(n, seed)
    images = torch.cat([images, images[:, :1]], 1)[:, :3]  # the explorers show one or three channels
    masks = torch.zeros(n, *images.shape[2:], dtype=torch.bool)
    masks[torch.arange(n), :, 2 * labels] = True
    return SimpleNamespace(images=(images * 255).round() / 255, masks=masks, labels=labels, classes=["left", "middle", "right"])


def networks() -> dict[str, GatedClassifier]:
    def own(seed: int):
        model = cnn(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model[0] = torch.nn.Conv2d(3, 4, 3)
        return model

    return {"STD": GatedClassifier(own(1), C), "CSG": GatedClassifier(own(2), C, gates=gates())}


@pytest.fixture(scope="module")
def states() -> GateStates:
    attacks = {"fgsm": {"eps": 0.1}, "one_pixel": {"population": 10, "generations": 1}}
    return gate_states(networks(), some(4), some(12, 1), "3", n_filters=2, attacks=attacks)


def test_states_are_what_the_lenses_say(states: GateStates) -> None:
    shown, gated = some(4), networks()["CSG"]
    attack = adversarial.attack(gated.model, shown.images, shown.labels, method="fgsm", eps=0.1)
    assert torch.equal(states.attacked["CSG"].attacked["fgsm"].images, attack.images)
    assert torch.equal(states.attacked["CSG"].gates, gates()) and states.attacked["STD"].gates is None
    assert set(states.attacked["CSG"].scores) == {"fgsm"}, "a detector is trained for the quick attacks"
    maps = states.maps["CSG"]
    own = localization.activation_maps(gated.model, "3", shown.images, size="own").mean((2, 3))
    expected = (gated.model[6].weight[shown.labels] * own).topk(2).indices
    assert torch.equal(maps.filters, expected)
    slopes = localization.grad_maps(gated.model, "3", maps.filters[1].tolist(), shown.images[1:2], sigma=0)
    torch.testing.assert_close(maps.gradient[1], slopes[0])


def test_saved_and_loaded(states: GateStates, tmp_path) -> None:
    again = GateStates.load(states.save(tmp_path / "kept.safetensors", {"command": "none"}))
    assert torch.equal(again.pictures, states.pictures) and torch.equal(again.masks, states.masks) and again.classes == states.classes
    for name, maps in states.maps.items():
        assert torch.equal(again.maps[name].filters, maps.filters) and torch.equal(again.maps[name].cuts, maps.cuts)
        torch.testing.assert_close(again.maps[name].gradient, maps.gradient, rtol=1e-3, atol=1e-6)
        one, other = again.attacked[name], states.attacked[name]
        assert list(one.attacked) == list(other.attacked)
        for method, result in other.attacked.items():
            assert one.attacked[method].settings == result.settings and torch.equal(one.attacked[method].after, result.after)
            assert (one.attacked[method].targets is None) == (result.targets is None)
            assert torch.equal(one.features[method], other.features[method])
            torch.testing.assert_close(one.attacked[method].images, result.images, rtol=0, atol=5e-4)
        assert all(torch.equal(a, b) for a, b in zip(one.scores["fgsm"], other.scores["fgsm"], strict=True))
    kinds = [panel for explorer in (again.masks_explorer(), again.adversarial_explorer()) for panel in explorer.picked]
    assert {"network", "image"} <= set(kinds)


def test_a_damaged_file_is_refused(states: GateStates, tmp_path) -> None:
    path = states.save(tmp_path / "kept.safetensors", {"command": "none"})
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="damaged"):
        GateStates.load(path)
    with pytest.raises(CheckpointError, match="missing"):
        GateStates.load(tmp_path / "nowhere.safetensors")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("networks", {}, TypeError), ("networks", None, TypeError), ("networks", {"STD": cnn()}, TypeError), ("pictures", None, TypeError),
        ("pictures", torch.rand(4, 3, 7, 6), TypeError), ("fit", None, TypeError), ("n_filters", 0, ValueError), ("n_filters", 2.0, TypeError), ("n_filters", 6, ValueError),
        ("networks", {"a/b": next(iter(networks().values()))}, ValueError),
        ("attacks", {}, TypeError), ("attacks", ["fgsm"], TypeError), ("attacks", {"fgsn": {}}, ValueError), ("layer", "conv9", ValueError),
        ("layer", 3, TypeError), ("seed", -1, ValueError),
    ],
)  # fmt: skip
def test_bad_arguments(name: str, value, error: type) -> None:
    given = {"networks": networks(), "pictures": some(4), "fit": some(6, 1), "layer": "3", "n_filters": 2} | {name: value}
    with pytest.raises(error, match=f"^{name}"):
        gate_states(given.pop("networks"), given.pop("pictures"), given.pop("fit"), given.pop("layer"), **given)


@pytest.mark.bad_input
def test_a_story_is_a_dict(states: GateStates, tmp_path) -> None:
    with pytest.raises(TypeError, match="^about: "):
        states.save(tmp_path / "kept.safetensors", "by hand")
    assert not list(tmp_path.iterdir())
