"""The explorers of masks and of attacks: masks against the localization lens, the page's script against Python, pictures and numbers."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import toy_explorer_gates as toy
import torch
from test_explorer_gates import rows_of, same_in_the_page

from filterlens.explorer import PointingMaps, adversarial_explorer, masks_explorer
from filterlens.explorer.masks_numbers import METHODS, SIGMAS, UNIT, blurred, kernel, whole_maps
from filterlens.explorer.masks_panels import MasksPanels
from filterlens.lenses.gates import owners
from filterlens.lenses.localization import activation_maps, blur, class_maps, grad_maps, iou, localize, top_mask, top_thresholds


@cache
def shown_maps() -> MasksPanels:
    pictures = (toy.pictures() * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    found = {name: whole_maps(name, toy.maps(seed), toy.truths(), 0.3) for name, seed in (("one", 0), ("two", 10))}
    return MasksPanels(pictures, toy.truths().numpy(), toy.labels().tolist(), toy.CLASSES, found)


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


def test_numbers_beside_are_those_of_the_whole_lens() -> None:
    model, images, truth, labels = toy.cnn().eval(), torch.randn(4, 2, 12, 10, generator=toy.draws(2)), toy.truths(), toy.labels()
    filters = torch.tensor([[4, 1], [0, 3], [2, 0], [1, 4]])
    rows = torch.arange(4)[:, None]
    everything = list(range(toy.K))
    given = PointingMaps(
        filters=filters,
        gradient=grad_maps(model, "3", everything, images, sigma=0)[rows, filters],
        activation=activation_maps(model, "3", images)[rows, filters],
        cam=class_maps(model, images, labels),
        cuts=top_thresholds(activation_maps(model, "3", images, size="own")),
    )
    found = whole_maps("toy", given, truth, 0.3)
    for method in METHODS:
        ious = localize(model, "3", images, truth, labels, method=method).ious
        wanted = ious[:, None] if method == "cam" else ious[rows, filters]
        both, either = np.moveaxis(found.exact[method], -1, 0)
        alive = ~wanted.isnan().numpy()
        assert alive.sum() >= 4
        np.testing.assert_allclose((both / np.maximum(either, 1))[alive], wanted.numpy()[alive])


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
