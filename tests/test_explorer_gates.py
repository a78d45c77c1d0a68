"""The gates explorer: panels against the lens, the page's script against Python, through Node; what all three explorers of the lens weigh."""

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
from filterlens.lenses.gates import clusters, l1_density, owners, similarity


@cache
def known() -> dict[str, Record]:
    return records(*toy.networks(), None)


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


def test_gates_set_by_hand_have_no_interval() -> None:
    curve, numbers, _ = GatesPanels(known()).density("hand", 1)
    density = f"{l1_density(known()['hand'].gates[0]):.4f}"
    assert (
        list(curve.series) == ["density", "gated epochs (raised)"]
        and f"set by hand before the training and kept, at {density}" in curve.note
    )
    assert rows_of(numbers)["density"] == (density, "set by hand")


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


# --------------------------------------------------------------------------------------------------------------- pages


def test_the_explorer_starts_after_the_last_epoch() -> None:
    explorer = gates_explorer(*toy.networks(), information=30)
    assert explorer.picked == {"network": "plain", "epoch": toy.E, "view": "G", "measure": "similarity", "beside": "gated"}
    explorer.pick(network="gated")
    assert explorer.beside == "plain" and explorer.epoch == toy.E
    marks = next(axis for axis in explorer._axes if axis["name"] == "epoch")["marks"]
    assert [[tuple(key), dict(some)] for key, some in marks if some] == [[("gated",), {3: "gated"}], [("hand",), {3: "gated"}]]
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
