"""The isolation explorer: what is kept against the lenses themselves, what its panels say, and what a page stores."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_isolation as toy
from explorer_pages import page_of
from explorers import chosen
from test_explorer_characters import textual
from test_explorer_influence import node
from torch.nn import functional as F

from filterlens.explorer import Cases, Explorer, IsolationStates, isolation_explorer, isolation_states, panels, sheets
from filterlens.explorer.cases import difference
from filterlens.explorer.isolation_panels import BARS, IsolationPanels
from filterlens.explorer.isolation_problems import MEASURES, stored
from filterlens.explorer.isolation_words import number, share
from filterlens.lenses.attribution import explain
from filterlens.lenses.isolation import isolate, selectivity

pytestmark = pytest.mark.filterwarnings("ignore:layer. no activation")


def states() -> IsolationStates:
    return toy.states()


def drawn(explorer: Explorer, **pick: Any) -> list[dict[str, Any]]:
    """The panels of a pick, in the protocol's form."""
    explorer.pick(**pick)
    return list(chosen(explorer._answer_0["panels"], explorer.picked))


def titled(found: list[dict[str, Any]], start: str) -> dict[str, Any]:
    (panel,) = [panel for panel in found if panel["title"].startswith(start)]
    return panel


# ------------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("beta", [0, 2])
def test_isolated_inputs_are_those_of_the_lens(beta: int) -> None:
    found, given = states().layers["1"], toy.NORMALIZATION.apply(toy.images())
    truth = isolate(toy.network(), "1", toy.LAYERS["1"], given, beta=toy.BETAS[beta], on_inactive="skip", **toy.OPTIONS)
    k, n = len(found.kernels), 3
    assert found.kernels == tuple(toy.LAYERS["1"]) and found.point == "act" and found.map_size == (10, 12)
    shown = stored(toy.NORMALIZATION.invert(truth.images), 12, 32).reshape(k, n, 10, 12, 3)
    np.testing.assert_array_equal(found.inputs[:, :, beta], shown)
    for at, name in enumerate(MEASURES):
        np.testing.assert_allclose(found.measures[:, :, beta, at].ravel(), getattr(truth.measure(), name), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.after[:, :, beta].reshape(k * n, -1), truth.maps_after.square().sum((2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.before, truth.maps_before.square().sum((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.terms[:, :, beta].reshape(-1, 3), truth.terms, rtol=1e-5)
    np.testing.assert_allclose(found.loss[:, :, beta, 0].ravel(), truth.loss[:, 0], rtol=1e-5)
    assert found.steps[:, :, beta].ravel().tolist() == truth.iterations.tolist()


def test_other_methods_are_fed_back_and_measured_alike() -> None:
    found, given = states().layers["1"], toy.NORMALIZATION.apply(toy.images())
    before = toy.network()[:4](given)
    for (at, kernel), (way, method) in product(enumerate(found.kernels), enumerate(toy.METHODS[1:], start=len(toy.BETAS))):
        patterns = explain(toy.network(), "1", kernel, given, method=method)
        np.testing.assert_array_equal(found.inputs[at, :, way], stored(toy.NORMALIZATION.invert(patterns), 12, 32))
        truth = selectivity(toy.network()[:4](patterns).detach(), before.detach(), torch.full((3,), kernel))
        np.testing.assert_allclose(found.measures[at, :, way, 4], truth.preservation, rtol=1e-4)
        np.testing.assert_allclose(found.measures[at, :, way, 3], truth.mse_rest_ratio, rtol=1e-4)


def test_pictures_are_means_in_few_levels() -> None:
    image = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    found = stored(image, 6, 32)
    small = F.avg_pool2d(image.clamp(0, 1), 2).permute(0, 2, 3, 1)
    assert found.shape == (2, 4, 6, 3) and len(np.unique(found)) <= 32
    assert np.abs(found / 255 - small.numpy()).max() <= 0.5 / 31 + 0.5 / 255
    assert stored(image, 12, 256).shape == (2, 8, 12, 3)


def test_silent_kernels_are_kept_as_such() -> None:
    found = states().layers["early"]
    assert found.silent.tolist() == [[False] * 3, [True] * 3, [False, False, True]]
    assert np.ptp(found.inputs[found.silent], axis=(2, 3)).max() == 0 and np.isnan(found.measures[found.silent]).all()
    assert np.isfinite(found.after).all() and np.isfinite(found.loss).all()


def test_likeness_is_pearsons() -> None:
    found, given = states().layers["1"], toy.NORMALIZATION.apply(toy.images())
    maps = toy.network()[:4](given).detach()[1, list(found.kernels)].flatten(1).double()
    np.testing.assert_allclose(found.alike_maps[1], np.corrcoef(maps), atol=1e-5)
    truth = isolate(toy.network(), "1", toy.LAYERS["1"], given, beta=0.2, on_inactive="skip", **toy.OPTIONS).images.reshape(4, 3, -1)
    np.testing.assert_allclose(found.alike_inputs[1], np.corrcoef(truth[:, 1].double()), atol=1e-5)


def test_the_network_leaves_as_it_came() -> None:
    model = toy.network().train()
    model.act.eval()
    model.early.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    isolation_states(model, {"1": [0]}, toy.images()[:1], betas=[0.1], methods=["isolation", "lrp"], options={"max_iter": 2})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in (model, model.early, model.act)] == [True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in model.parameters())


def test_they_are_kept_in_a_file(tmp_path: Path) -> None:
    path = states().save(tmp_path / "folder" / "states.npz")
    again = IsolationStates.load(path)
    for field in fields(IsolationStates):
        if field.name not in ("layers", "images"):
            assert getattr(again, field.name) == getattr(states(), field.name)
    np.testing.assert_array_equal(again.images, states().images)
    for name, layer in states().layers.items():
        for field in fields(layer):
            one, other = getattr(layer, field.name), getattr(again.layers[name], field.name)
            np.testing.assert_array_equal(one, other)
            assert type(one) is type(other)
    assert [file.name for file in path.parent.iterdir()] == ["states.npz"]
    assert isolation_explorer(again)._answer_0 == isolation_explorer(states())._answer_0


# ------------------------------------------------------------------------------------------------------------- panels


def test_axes_are_what_was_computed() -> None:
    explorer = isolation_explorer(states())
    start = {"layer": "early", "image": 0, "kernel": 4, "method": "isolation", "beta": 0.2, "other": "no other", "threshold": 0}
    assert explorer.picked == start
    space, active = explorer._space, states().layers["1"].activity
    for image in range(3):
        offered = space.options("kernel", {"layer": "1", "image": image})
        assert offered == [toy.LAYERS["1"][at] for at in np.argsort(-active[:, image], kind="stable")]
    marked = {tuple(key): dict(marks) for key, marks in space.encode()[2]["marks"]}
    assert {key: marks for key, marks in marked.items() if marks} == {
        ("early", 0): {3: "silent"}, ("early", 1): {3: "silent"}, ("early", 2): {3: "silent", 4: "silent"},
    }  # fmt: skip
    explorer.pick(method="lrp")
    assert explorer.beta == 0.2
    explorer.pick(method="isolation", beta=0.8)
    explorer.pick(layer="late")
    assert (explorer.kernel, explorer.method, explorer.beta) == (2, "isolation", 0.8)
    assert isolation_explorer(states(), start={"layer": "1", "kernel": 26, "method": "guided"}).kernel == 26


def test_several_networks_answer_as_each_does_alone() -> None:
    networks, said = toy.networks(), {"large": "Random weights.", "small": ""}
    explorer = isolation_explorer(networks, network={"large": "Random weights."})
    start = {"network": "large", **isolation_explorer(states()).picked}
    assert explorer.picked == start and list(explorer._space.axes) == list(start)
    for network, found in networks.items():
        alone = isolation_explorer(found, network=said[network])
        assert "network" not in alone.picked
        picks = [pick for pick in explorer._space.picks(["kernel", "method", "beta", "other"]) if pick.pop("network") == network]
        assert picks == list(alone._space.picks(["kernel", "method", "beta", "other"]))
        for pick in alone._space.picks(["layer", "image"]):
            explorer.pick(network=network, **pick)
            alone.pick(**pick)
            assert explorer._answer_0["panels"] == alone._answer_0["panels"]
    assert isolation_explorer({"large": networks["large"]}).picked == {axis: value for axis, value in start.items() if axis != "network"}
    assert isolation_explorer(networks, start={"network": "small"}).beta == networks["small"].beta == 0.4
    assert "Twice." in titled(drawn(isolation_explorer(networks, network="Twice."), network="small", image=1), "What drives")["note"]


def test_options_are_called_as_their_network_calls_them() -> None:
    explorer, program = isolation_explorer(toy.networks()), """
      return job.picks.map((pick) => job.axes.map((axis) => optionsOf(axis, pick).map((option) => nameOf(axis, option, pick))));"""
    picks = [{**explorer.picked, "image": 2}, {**isolation_explorer(toy.networks(), start={"network": "small"}).picked}]
    large, small = node(program, {"axes": explorer._axes, "picks": picks})
    assert large[:3] == [["large", "small"], ["early", "the wide layer", "late"], ["first", "second", "black"]]
    assert small[:5] == [["large", "small"], ["the only layer"], ["black", "grainy"], ["2", "4 (silent)"], ["isolation", "LRP"]]
    assert large[3] == ["1", "3 (silent)", "4 (silent)"] and large[4][2] == "Deconvolution"
    assert (large[5], small[5]) == (["0.05", "0.2", "0.8"], ["0.05", "0.4"])


def test_every_pick_is_answered() -> None:
    explorer = isolation_explorer(states())
    space, layers = explorer._space, states().layers
    for pick in space.picks(["kernel", "method", "beta", "other"]):
        if pick["image"] == 1 and pick["other"] not in ("no other", str(pick["kernel"]), "3"):
            continue  # the longest list, once is enough
        kinds = [panel["kind"] for panel in drawn(explorer, **pick)]
        found = layers[pick["layer"]]
        silent = bool(found.silent[found.kernels.index(pick["kernel"]), pick["image"]])
        maps = [] if found.map_size == (1, 1) else ["pictures"]
        own = ["pictures", "text"] if silent else ["compared", *maps, "numbers", "bars"]
        others = [] if silent else ["pictures", "pictures", *(["curve"] if pick["method"] == "isolation" else [])]
        two = [] if pick["other"] == "no other" else kinds[len(own) + len(others) + 1 :]
        assert kinds == [*own, *others, "pictures", *two], pick
        assert two in ([], ["text"], ["pictures", "numbers"]) and bool(two) == (pick["other"] != "no other")


def test_panels_say_what_was_picked() -> None:
    found, explorer = states().layers["1"], isolation_explorer(states(), network="Random weights.")
    shown = drawn(explorer, layer="1", image=1, kernel=26, method="guided")
    pair, maps = shown[0], shown[1]
    at, way = found.kernels.index(26), 3
    assert "kernel 26 of the wide layer" in pair["title"] and "Random weights." in pair["note"] and "“peak”" in pair["note"]
    values = np.frombuffer(pair["pictures"][1]["values"]["data"], np.uint8).reshape(10, 12, 3)
    np.testing.assert_array_equal(values, found.inputs[at, 1, way])
    np.testing.assert_array_equal(np.frombuffer(pair["pictures"][0]["values"]["data"], np.uint8), states().images[1].ravel())
    assert len({(one["low"], one["high"]) for one in maps["pictures"]}) == 1 and "one scale for both" in maps["note"]
    ssim, _, _, ratio, off, selective = found.measures[at, 1, way]
    rows = {label: text for label, text, _ in titled(shown, "Is it kernel")["rows"]}
    assert rows["SSIM of its map"] == f"{ssim:.3f}".replace("-", "−") and rows["others keep"] == share(ratio) and "loss" not in rows
    assert rows["its map is off by"] == share(off)
    assert rows["its share of the energy"] == f"{share(found.share_before[at, 1])} → {share(selective)}"
    methods = titled(shown, "Kernel 26 by five methods")["pictures"]
    assert [one["pick"].get("method") for one in methods] == list(toy.METHODS) and methods[0]["pick"]["beta"] == 0.2
    for one, place in zip(methods, (1, 3, 4, 5, 6), strict=True):
        assert f"SSIM {found.measures[at, 1, place, 0]:.2f}".replace("-", "−") in one["label"]
    strip = titled(shown, "Kernel 26 isolated with more and less β")["pictures"]
    assert [one["pick"] for one in strip] == [{"method": "isolation", "beta": beta} for beta in toy.BETAS]
    isolated = drawn(explorer, method="isolation", beta=0.8)
    curve = titled(isolated, "Loss")
    assert curve["x"] == list(range(7)) and curve["series"][0]["values"][0] == pytest.approx(found.loss[at, 1, 2, 0], rel=1e-5)
    rows = {label: text for label, text, _ in titled(isolated, "Is it kernel")["rows"]}
    assert rows["loss"] == number(found.terms[at, 1, 2].sum()) and rows["steps"] == "6"


def test_bars_and_their_note_are_all_the_energy() -> None:
    found, explorer = states().layers["1"], isolation_explorer(states())
    for kernel in found.kernels:
        bars = titled(drawn(explorer, layer="1", image=0, kernel=kernel, method="isolation", beta=0.05), "Energy")
        before, after = (one["values"] for one in bars["series"])
        at = found.kernels.index(kernel)
        assert len(bars["labels"]) == BARS and bars["labels"][bars["highlight"]] == str(kernel)
        whole = 100 * found.after[at, 0, 0].sum() / found.before[0].sum()
        assert sum(before) < 100 and sum(after) < whole  # those without a bar stand in the note
        told = (share(1 - sum(before) / 100), share((whole - sum(after)) / 100), share(whole / 100))
        assert "others together: {} of the image's energy before, {} after. All together after: {} of before".format(*told) in bars["note"]
        assert before[bars["highlight"]] == pytest.approx(100 * found.before[0, kernel] / found.before[0].sum(), rel=1e-4)
        assert [pick for pick in bars["picks"] if pick] == [{"kernel": int(j)} for j in bars["labels"] if int(j) in found.kernels]
    few = titled(drawn(explorer, layer="early", image=0, kernel=1), "Energy")
    assert sorted(few["labels"]) == [str(j) for j in range(5)]


@pytest.mark.parametrize(("preservation", "rest", "same"), [(0.0, 1.0, True), (0.0, 0.9, False), (0.1, 1.0, False)])
def test_an_input_that_is_the_image_is_said_to_be(preservation: float, rest: float, same: bool) -> None:
    found, measures = states(), states().layers["early"].measures.copy()
    measures[0, 0, 0, [MEASURES.index("preservation"), MEASURES.index("mse_rest_ratio")]] = preservation, rest
    changed = replace(found, layers={**found.layers, "early": replace(found.layers["early"], measures=measures)})
    pick = {"layer": "early", "image": 0, "kernel": changed.layers["early"].kernels[0], "method": "isolation", "beta": found.betas[0]}
    rows = {label: text for label, text, _ in titled(drawn(isolation_explorer(changed), **pick), "Is it kernel")["rows"]}
    assert (rows.get("what was found") == "the image itself") is same


def test_silent_kernels_are_marked_and_answered_with_a_sentence() -> None:
    explorer = isolation_explorer(states())
    shown = drawn(explorer, layer="early", image=2, kernel=4)
    assert "answers nothing to this image (black)" in titled(shown, "Kernel 4 is silent")["text"]
    row = titled(shown, "Kernels of early")["pictures"]
    assert [one["label"] for one in row][1:] == ["3: silent", "4: silent"] and row[0]["label"].startswith("1: ")
    assert "Kernel 4 is silent" in titled(drawn(explorer, image=2, kernel=1, other="4"), "Kernels 1 and 4")["text"]


def test_two_kernels_stand_beside_each_other() -> None:
    found, explorer = states().layers["1"], isolation_explorer(states())
    shown = drawn(explorer, layer="1", image=0, kernel=7, other="26")
    pictures = titled(shown, "Kernels 7 and 26")["pictures"]
    assert [one["label"] for one in pictures] == ["7: input", "26: input", "7: map", "26: map"]
    values = np.frombuffer(pictures[1]["values"]["data"], np.uint8).reshape(10, 12, 3)
    np.testing.assert_array_equal(values, found.inputs[1, 0, 1])
    rows = [text for _, text, _ in titled(shown, "How alike")["rows"]]
    assert rows == [f"{x[0, 2, 1]:.2f}".replace("-", "−") for x in (found.alike_maps, found.alike_inputs)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-2.0, "−2.00"), (0.0, "0"), (123.4, "123"), (1234.0, "1.23e+03"), (2e-5, "2.00e−05"), (float("nan"), "–")],
)
def test_numbers_are_said_in_three_digits(value: float, text: str) -> None:
    assert number(value) == text


# ----------------------------------------------------------------------------------------------------- cases and pages


def test_arrays_that_cases_share_are_sent_once() -> None:
    explorer = isolation_explorer(states(), start={"layer": "1"})
    (panel,) = explorer._answer_0["panels"]
    sizes = [len(array["data"]) for array in panel["arrays"]]
    assert len({(array["dtype"], *array["shape"], array["data"]) for array in panel["arrays"]}) == len(sizes)
    assert sizes.count(360) == 1 + 7 * 4  # the image, and four kernels in seven ways
    assert sizes.count(120) == len(sizes) - sizes.count(360) <= 4 * (1 + 2 * 7)  # maps, two beside each other by one scale


def test_a_page_fetches_a_file_for_each_layer_and_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sheets.FOLDER, str(tmp_path))
    monkeypatch.setattr(sheets, "SHEET", 1)
    text, state = page_of(isolation_explorer(states(), name="isolation"))
    (renderer,) = state["renderers"]
    assert renderer["axes"] == ["layer", "image"] and len(renderer["sheets"]) == 9
    assert "data:image/png" in text and (tmp_path / "isolation.html").exists()
    _, state = page_of(isolation_explorer(toy.networks()))
    (renderer,) = state["renderers"]
    assert renderer["axes"] == ["network", "layer", "image"] and renderer["starts"] == list(range(9 + 2))


def test_the_page_draws_the_same_cases() -> None:
    explorer = isolation_explorer(states())
    program = """
      const panels = revive(job.panels), names = [...axesIn(panels)];
      return [names, job.picks.map((pick) => chosenPanels(panels, pick))];"""
    explorer.pick(layer="early", image=2)
    picks = [
        {**pick, "threshold": 0}
        for pick in explorer._space.picks()
        if pick["layer"] == "early" and pick["image"] == 2 and pick["threshold"] == 0
    ]
    names, found = node(program, {"panels": textual(explorer._answer_0["panels"]), "picks": picks})
    assert set(names) == {"kernel", "method", "beta", "other", "threshold"}
    for pick, shown in zip(picks, found, strict=True):
        wanted = list(chosen(explorer._answer_0["panels"], pick))
        assert [(one["kind"], one["title"], one["note"]) for one in shown] == [(one["kind"], one["title"], one["note"]) for one in wanted]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
@pytest.mark.parametrize("shape", [(5, 7, 3), (4, 6)])
def test_the_page_draws_the_same_difference(shape: tuple[int, ...], share: float) -> None:
    draw = np.random.default_rng(3)
    a, b = (draw.integers(0, 256, shape, dtype=np.uint8) for _ in "ab")
    program = "return job.pairs.map(([a, b]) => differenceOf(Uint8Array.from(a), Uint8Array.from(b), job.channels, job.share));"
    pairs = [[a.ravel().tolist(), b.ravel().tolist()], [a.ravel().tolist(), a.ravel().tolist()]]
    apart, same = node(program, {"pairs": pairs, "channels": shape[2] if len(shape) == 3 else 1, "share": share})
    assert (
        list(apart["values"].values() if isinstance(apart["values"], dict) else apart["values"]) == difference(a, b, share).ravel().tolist()
    )
    assert (apart["peak"], same["peak"]) == (int(np.abs(a.astype(int) - b).max()), 0)
    assert difference(a, b, share).max() == 255 and not difference(a, a, share).any()


def test_a_threshold_hides_whole_pixels() -> None:
    a, b = np.zeros((1, 3, 3), np.uint8), np.array([[[100, 3, 0], [49, 49, 49], [50, 0, 1]]], np.uint8)
    assert difference(a, b, 0.5).tolist() == [[[255, 8, 0], [0, 0, 0], [128, 0, 3]]]


def test_the_picture_that_stands_for_cases_is_their_first() -> None:
    image = panels.photo(torch.rand(3, 2, 2), alt="one")
    held = Cases(cases=[({"a": 1}, [panels.Text(text="x")]), ({}, [panels.Pictures(pictures=[image])])])
    assert panels.picture_of([held]) is image


def test_panels_without_other_betas_or_methods() -> None:
    found = isolation_states(toy.network(), {"1": [0]}, toy.images()[:1], betas=[0.1], methods=["isolation"], options={"max_iter": 2})
    kinds = [panel["kind"] for panel in drawn(isolation_explorer(found))]
    assert kinds == ["compared", "pictures", "numbers", "bars", "curve", "pictures"]
    assert IsolationPanels(found, "").ways == [("isolation", 0.1)]
