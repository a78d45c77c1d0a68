"""The explorers of the gates lens: panels against the lens, the page's script against Python, through Node, and what pages weigh."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_explorer_gates as toy
import torch
from explorer_pages import page_of
from test_explorer_characters import textual
from test_explorer_influence import PANELS, assert_same, node

from filterlens.explorer import Explorer, adversarial_explorer, gates_explorer, masks_explorer, panels, sheets
from filterlens.explorer.gates_measures import GateMeasures
from filterlens.explorer.gates_numbers import Record, records
from filterlens.explorer.gates_panels import GatesPanels, spans
from filterlens.explorer.gates_words import VIEWS
from filterlens.explorer.masks_numbers import METHODS, SIGMAS, UNIT, blurred, kernel, whole_maps
from filterlens.explorer.masks_panels import MasksPanels
from filterlens.lenses.gates import clusters, l1_density, owners, similarity
from filterlens.lenses.localization import blur, iou, top_mask


@cache
def known() -> dict[str, Record]:
    return records(*toy.networks(), None)


@cache
def shown_maps() -> MasksPanels:
    pictures = (toy.pictures() * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    found = {name: whole_maps(name, toy.maps(seed), toy.truths(), 0.3) for name, seed in (("one", 0), ("two", 10))}
    return MasksPanels(pictures, toy.truths().numpy(), toy.labels().tolist(), toy.CLASSES, found)


def rows_of(panel: panels.Panel) -> dict[str, tuple[str, ...]]:
    return {row[0]: tuple(row[1:]) for row in panel.rows}


def same_in_the_page(shown: Any, picks: list[dict[str, Any]]) -> None:
    """Every renderer answers these picks alike in Python and through Node."""
    calls = shown.renderers()
    wanted = {call.__name__: list(call.__wrapped__.__annotations__) for call in calls}
    asked = [(call, pick) for pick in picks for call in calls]
    found = node(PANELS, {"data": textual(shown.shipped), "picks": [(call.computed[0], pick) for call, pick in asked]})
    for (call, pick), one in zip(asked, found, strict=True):
        given = {name: pick[name] for name in wanted[call.__name__] if name in pick}
        assert_same(one, [panel.encode() for panel in panels.shown(call(**given))], f"{call.__name__} {pick}")


# --------------------------------------------------------------------------------------------------- the matrix of gates


@pytest.mark.parametrize("view", VIEWS)
def test_the_matrix_is_sorted_by_owner(view: str) -> None:
    record, epoch = known()["gated"], 2
    panel = GatesPanels(known()).matrix("gated", epoch, view)
    order = owners(record.gates[-1]).argsort(stable=True)
    weight = record.linear.weight.detach()
    truth = {"G": record.gates[epoch], "W": weight, "WG": weight * record.gates[epoch]}[view][:, order]
    np.testing.assert_allclose(panel.values, truth, atol=(0 if view == "W" else 0.5 / 255 * 2) + 1e-7)
    assert list(panel.columns) == [str(k) for k in order.tolist()] and panel.rows == toy.CLASSES and panel.signed == (view != "G")
    assert f"after epoch {epoch} of {toy.E}" in panel.title or view == "W"


def test_without_gates_filters_are_sorted_by_mean_features() -> None:
    features, labels = toy.networks()[1]["plain"].test
    means = torch.stack([features[labels == c].mean(0) for c in range(toy.C)])
    assert known()["plain"].owner.tolist() == means.argmax(0).tolist()


def test_densities_and_owners_are_those_of_the_lens() -> None:
    record = known()["gated"]
    curve, numbers, bars = GatesPanels(known()).density("gated", 3)
    series = list(curve.series.values())
    np.testing.assert_allclose(series[0], [l1_density(one) for one in record.gates], atol=1e-6)
    assert curve.highlight == 3 and set(series[1]) == {round(1e6 / toy.C) / 1e6} and set(series[2]) == {0.5}
    assert [value > 0 for value in series[3]] == [False, False, False, True, False] and "Gated epochs: 3." in curve.note
    told = similarity.monopolised(record.gates[3])
    own, alone = bars.series.values()
    assert alone == told.own.tolist() and own == owners(record.gates[3]).bincount(minlength=toy.C).tolist()
    said = rows_of(numbers)
    assert said["density"][0] == f"{l1_density(record.gates[3]):.4f}" and said["this epoch was"][0] == "gated"
    assert f"{told.shared} more" in said["filters of one class alone"][1]
    features, labels = toy.networks()[1]["gated"].test
    right = int((toy.networks()[1]["gated"].linear(features).argmax(1) == labels).sum())
    assert said["accuracy, STD path"] == (
        f"{100 * right / toy.N:.2f} %", f"{right} of {toy.N} test images, by the trained network without gates, whichever epoch is picked"
    )  # fmt: skip


def test_a_network_without_gates_says_so() -> None:
    curve, numbers, bars = GatesPanels(known()).density("plain", 0)
    assert list(curve.series) == ["density"] and "trained without gates" in curve.note and "All gates are open" in bars.note
    assert rows_of(numbers)["density"] == ("1.0000", "no interval: trained without gates")


SPANS = [([], ""), ([3], "3"), ([1, 2, 5], "1–2, 5"), (list(range(0, 60, 3)), "0, 3, 6, 9, 12, 15, …, 54, 57")]


@pytest.mark.parametrize(("numbers", "said"), SPANS)
def test_epochs_are_said_in_spans(numbers: list[int], said: str) -> None:
    assert spans(numbers) == said


def test_the_page_says_the_same_spans() -> None:
    assert node("return job.map(saidSpans);", [numbers for numbers, _ in SPANS]) == [said for _, said in SPANS]


def test_the_page_draws_the_same_gates() -> None:
    picks = product(known(), range(toy.E + 1), VIEWS)
    same_in_the_page(GatesPanels(known()), [{"network": one, "epoch": epoch, "view": view} for one, epoch, view in picks])


# --------------------------------------------------------------------------------------------------------------- measures


def measured(network: str, beside: str, measure: str) -> list[panels.Panel]:
    return GateMeasures(known(), 40).measured(network, beside, measure)


def test_similarity_leaves_out_classes_without_such_images() -> None:
    record = known()["gated"]
    truth = similarity.gate_similarity(record.features, record.labels, record.predicted, record.gates[-1])
    assert truth.n_wrong[0] == 0 and truth.n_wrong.sum() > 0  # or the toy shows nothing
    right, wrong, text, numbers = measured("gated", "plain", "similarity")
    there = ~truth.wrong.isnan().any(1)
    np.testing.assert_allclose(right.values, truth.correct, atol=6e-4)
    np.testing.assert_allclose(wrong.values, truth.wrong[there], atol=6e-4)
    assert wrong.rows == [name for name, one in zip(toy.CLASSES, there.tolist(), strict=True) if one] and "images of: ant" in wrong.note
    assert "trained without gates" in text.text
    assert rows_of(numbers)["gated: own gates"][0].startswith(f"{float(truth.correct.diagonal().mean()):.3f} right")


def test_cosines_are_of_the_last_convolution() -> None:
    record, model = known()["gated"], toy.networks()[0]["gated"].model.model
    truth = similarity.filter_cosines(model[2].weight.detach(), record.owner)
    one, other, numbers = measured("gated", "plain", "cosines")
    np.testing.assert_allclose(one.values, truth.matrix, atol=6e-4)
    first = int(truth.order[0])
    assert one.rows[0] == f"{toy.CLASSES[int(record.owner[first])]} {first}" and "plain" in other.title
    assert rows_of(numbers)["gated: within classes"][0] == f"{truth.within:.3f}"


def test_other_weights_may_be_given() -> None:
    weight = torch.randn(toy.K, 2, 3, 1, generator=toy.draws(1))
    found = records(*toy.networks(), {"plain": weight})
    assert torch.equal(found["plain"].convolution, weight) and not torch.equal(found["gated"].convolution, weight)


def test_clusters_stand_beside_gates() -> None:
    record = known()["gated"]
    truth = clusters.find_clusters(record.features, record.labels, toy.C, gates=record.gates[-1])
    centres, gates, numbers = measured("gated", "no other", "clusters")
    np.testing.assert_allclose(centres.values, truth.centres[:, record.order], atol=6e-4)
    np.testing.assert_allclose(gates.values, record.gates[-1][:, record.order], atol=6e-4)
    said = rows_of(numbers)
    assert said["gated: purity"][0] == f"{truth.purity:.3f}" and said["gated: centres and gates"][0] == f"{float(truth.cosine.mean()):.3f}"
    assert len(measured("plain", "no other", "clusters")) == 2


def test_information_is_that_of_evenly_spread_images() -> None:
    record = known()["plain"]
    some = torch.linspace(0, toy.N - 1, 40).round().long()
    truth = clusters.mutual_information(record.features[some], record.labels[some], toy.C)
    one, other, numbers = measured("plain", "gated", "information")
    np.testing.assert_allclose(one.values, truth.table[:, record.order], atol=6e-4)
    assert "on 40 test images" in one.note and "gated" in other.title
    assert list(rows_of(numbers)) == ["plain: MIS", "gated: MIS"] and rows_of(numbers)["plain: MIS"][0] == f"{truth.score:.3f}"


# -------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("sigma", SIGMAS)
def test_blur_is_the_lens_blur(sigma: int) -> None:
    steps = np.random.default_rng(1).integers(0, 256, (12, 10)).astype(np.uint8)
    assert kernel(sigma)[0] + 2 * sum(kernel(sigma)[1:]) == 2**14
    found = blurred(steps, sigma) / UNIT
    assert np.abs(found - blur(torch.from_numpy(steps).double(), sigma).numpy()).max() < 0.6


@pytest.mark.parametrize("network", ["one", "two"])
def test_masks_are_those_of_the_methods(network: str) -> None:
    given, shown = toy.maps({"one": 0, "two": 10}[network]), shown_maps()
    truth = toy.truths()
    own = {
        "gradient": blur(given.gradient, 5) >= 1,
        "activation": (given.activation >= given.cuts[given.filters][..., None, None]) & (given.activation > 0),
        "cam": top_mask(given.cam, 0.3)[:, None],
    }
    for method, masks in own.items():
        exact = iou(masks, truth[:, None]).numpy()
        both, either = np.moveaxis(shown.maps[network].exact[method], -1, 0)
        np.testing.assert_allclose(both / np.maximum(either, 1), exact)
        for image, at in product(range(len(truth)), range(masks.shape[1])):
            found = shown.mask(network, method, image, at, 1.0, 5)
            assert np.count_nonzero(found != masks[image, at].numpy()) <= 3, (method, image, at)  # of 120 pixels, by 8 bits


def test_thresholds_shrink_masks_and_dead_filters_mark_nothing() -> None:
    shown = shown_maps()
    sizes = [int(shown.mask("one", "activation", 0, 0, threshold, 5).sum()) for threshold in (0, 0.5, 1, 2, 3)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert not shown.mask("one", "gradient", 1, 1, 0.0, 5).any() and not shown.mask("one", "activation", 1, 1, 0.0, 5).any()


def test_panels_of_masks() -> None:
    shown = shown_maps()
    photos, maps, numbers, bars = shown.masks("one", 2, 0, 1.0, 5)
    picture, truth = shown.pictures[2], toy.truths()[2].numpy()
    np.testing.assert_array_equal(photos.pictures[0].values, picture)
    np.testing.assert_array_equal(photos.pictures[1].values, np.where(truth[..., None], picture, picture // 4))
    assert "cover" in photos.note and f"{100 * truth.mean():.2f} %" in photos.note
    assert len(maps.pictures) == 6 and maps.columns == 3
    raw = toy.maps().activation[2, 1].numpy()
    image = maps.pictures[1]
    np.testing.assert_allclose(image.low + image.values / 255 * (image.high - image.low), raw, atol=(raw.max() - raw.min()) / 255)
    mask = shown.mask("one", "cam", 2, 0, 1.0, 5)
    np.testing.assert_array_equal(maps.pictures[5].values, np.where(mask[..., None], picture, picture // 4))
    both, either = int((mask & truth).sum()), int((mask | truth).sum())
    assert rows_of(numbers)["IoU, CAM"][0] == f"{both / either:.4f}" and f"{100 * mask.mean():.2f} %" in rows_of(numbers)["IoU, CAM"][1]
    assert bars.labels == ["2", "0"] and bars.highlight == 1 and bars.picks == [{"filter": 2}, {"filter": 0}]
    counted = shown.mask("one", "gradient", 2, 0, 1.0, 5)
    assert bars.series["GradMap"][0] == pytest.approx((counted & truth).sum() / (counted | truth).sum())


def test_the_page_cuts_the_same_masks() -> None:
    shown = shown_maps()
    every = product(shown.maps, range(len(shown.pictures)), range(toy.FILTERS), (0.0, 0.4, 1.0, 2.9), SIGMAS)
    picks = [
        {"network": network, "image": image, "filter": int(shown.maps[network].filters[image, at]), "threshold": threshold, "sigma": sigma}
        for i, (network, image, at, threshold, sigma) in enumerate(every)
        if i % 5 == 0
    ]
    assert {pick["sigma"] for pick in picks} == set(SIGMAS)
    same_in_the_page(shown, picks)


def test_axes_of_masks() -> None:
    explorer = masks_explorer(toy.pictures(), toy.truths(), toy.labels(), {"one": toy.maps()}, classes=toy.CLASSES)
    assert explorer.picked == {"network": "one", "image": 0, "filter": 4, "threshold": 1.0, "sigma": 5}
    explorer.pick(image=3)
    assert explorer.filter == 4  # offered there too, so it stays
    explorer.pick(image=2)
    assert explorer.filter == 2 and len(METHODS) == 3


# ------------------------------------------------------------------------------------------------------------- attacks


def attacked(**pick: Any) -> list[dict[str, Any]]:
    explorer = adversarial_explorer(toy.pictures(), toy.attacked_networks(), classes=toy.CLASSES)
    explorer.pick(**pick)
    return explorer._answer_0["panels"]


def test_a_picture_before_and_after() -> None:
    pictures, numbers, vector, matrix, bars = attacked(network="gated", image=2, attack="pgd")
    result = toy.attacked_networks()["gated"].attacked["pgd"]
    difference = (result.images[2] - toy.pictures()[2]).numpy()
    one = pictures["pictures"][2]
    steps = np.frombuffer(one["values"]["data"], np.uint8).reshape(one["values"]["shape"]).astype(float)
    np.testing.assert_allclose(
        (steps - 128) / 127 * np.abs(difference).max(), difference.transpose(1, 2, 0), atol=np.abs(difference).max() / 127
    )
    assert one["label"] == f"difference × {1 / np.abs(difference).max():.3g}"
    rows = {label: (text, note) for label, text, note in numbers["rows"]}
    after = toy.CLASSES[int(result.after[2])]
    assert rows["predicted"][0] == f"cow → {after}" and rows["target"][0] == "ant"
    found = toy.attacked_networks()["gated"]
    cosine = torch.nn.functional.cosine_similarity(found.features["pgd"][2], found.gates[2], dim=0)
    assert rows["with the gates of cow"][0].endswith(f"→ {cosine:.3f}")
    assert rows["detector, before and after"][0] == " → ".join(f"{float(score[2]):.3f}" for score in found.scores["pgd"])
    owner = owners(found.gates)
    order = owner.argsort(stable=True)
    assert vector["labels"] == matrix["columns"] == [str(k) for k in order.tolist()]
    np.testing.assert_allclose(vector["series"][1]["values"], found.features["pgd"][2][order], rtol=1e-5)
    table = np.frombuffer(matrix["values"]["data"], np.float32).reshape(matrix["values"]["shape"])
    assert matrix["rows"][2] == "gates of cow"
    np.testing.assert_allclose(table[2], found.gates[2][order], atol=6e-4)
    sums = [float(found.clean[2][owner == c].sum()) for c in range(toy.C)]
    np.testing.assert_allclose(bars["series"][0]["values"], sums, rtol=1e-5, atol=1e-6)
    assert bars["highlight"] == 2


def test_what_an_attack_left_alone_is_said_so() -> None:
    shown = attacked(network="gated", image=0, attack="one_pixel")
    assert len(shown[0]["pictures"]) == 2 and shown[0]["note"] == "The attack left the image as it was."
    rows = {label: (text, note) for label, text, note in shown[1]["rows"]}
    assert "target" not in rows and not any(label.startswith("detector") for label in rows)
    wrong = {label: note for label, _, note in attacked(image=1)[1]["rows"]}
    assert wrong["predicted"] == "wrong before, so there was nothing to fool"


def test_a_network_without_gates_shows_features_alone() -> None:
    shown = attacked(network="plain", image=3, attack="pgd")
    assert [panel["kind"] for panel in shown] == ["pictures", "numbers", "bars"] and shown[2]["labels"] == [str(k) for k in range(toy.K)]


# --------------------------------------------------------------------------------------------------------------- pages


def test_the_explorer_starts_after_the_last_epoch() -> None:
    explorer = gates_explorer(*toy.networks(), information=30)
    assert explorer.picked == {"network": "plain", "epoch": toy.E, "view": "G", "measure": "similarity", "beside": "gated"}
    explorer.pick(network="gated")
    assert explorer.beside == "plain" and explorer.epoch == toy.E
    marks = next(axis for axis in explorer._axes if axis["name"] == "epoch")["marks"]
    assert [[tuple(key), dict(some)] for key, some in marks if some] == [[("gated",), {3: "gated"}]]
    assert all(panel["kind"] != "error" for i in range(3) for panel in getattr(explorer, f"_answer_{i}")["panels"])


def test_pages_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten classes, 64 filters, 13 epochs with the start, twelve images of 48 x 48 and of 32 x 32, two networks."""
    monkeypatch.setenv(sheets.FOLDER, str(tmp_path))
    classes = [f"class {c}" for c in range(10)]
    sizes = {"n_filters": 64, "n_classes": 10}
    nets = {name: toy.gated(name, learned=name == "csg", epochs=12, **sizes) for name in ("std", "csg")}
    features = {name: toy.pooled(i, n=120, n_filters=64, classes=classes) for i, name in enumerate(nets)}
    smooth = torch.nn.functional.interpolate(torch.rand(2, 12, 4, 12, 12, generator=toy.draws(0))[0], size=(48, 48), mode="bilinear")
    truth = smooth[:, 0] > 0.6
    numbers = torch.arange(12)[:, None] + torch.arange(3)
    given = {
        name: type(toy.maps())(
            numbers, torch.rand(12, 3, 48, 48, generator=toy.draws(i)), smooth[:, 1:], smooth[:, 0], torch.full((64,), 0.7)
        )
        for i, name in enumerate(nets)
    }
    images = torch.rand(12, 3, 32, 32, generator=toy.draws(1))
    attacks = toy.attacked_networks(images, **sizes)
    made = {
        "gates": lambda: gates_explorer(nets, features, information=30),
        "masks": lambda: masks_explorer(torch.rand(12, 3, 48, 48), truth, torch.arange(12) % 10, given, classes=classes),
        "adversarial": lambda: adversarial_explorer(images, attacks, classes=classes),
    }
    found: dict[str, tuple[int, int]] = {}
    for name, make in made.items():
        before = sum(path.stat().st_size for path in tmp_path.glob("*.js"))
        text, state = page_of(make())
        found[name] = len(text), sum(path.stat().st_size for path in tmp_path.glob("*.js")) - before
        computed = [renderer for renderer in state["renderers"] if "computed" in renderer]
        assert len({renderer["sheet"] for renderer in computed}) == (name != "adversarial")
    assert sum(page for page, _ in found.values()) < 600_000 and sum(states for _, states in found.values()) < 3_000_000


def test_every_pick_is_answered() -> None:
    for explorer in (
        gates_explorer(*toy.networks(), information=30),
        masks_explorer(toy.pictures(), toy.truths(), toy.labels(), {"one": toy.maps()}, classes=toy.CLASSES),
        adversarial_explorer(toy.pictures()[:, :1], toy.attacked_networks(toy.pictures()[:, :1]), classes=toy.CLASSES),
    ):
        assert isinstance(explorer, Explorer)
        for renderer in explorer._calls:
            for i, pick in enumerate(explorer._space.picks(renderer.axes)):
                if i % 7 == 0:
                    assert renderer.answer({**explorer.picked, **pick}, explorer._space)
