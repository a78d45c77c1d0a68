"""Wrong arguments of the three explorers of the gates lens: the error names what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import toy_explorer_gates as toy
import torch
from torch import nn

from filterlens.explorer import adversarial_explorer, gates_explorer, masks_explorer

NAN = float("nan")
NETS, POOLED = toy.networks()
PLAIN, FEATURES = NETS["plain"], POOLED["plain"]


def gates(**changes: Any) -> Callable[[], Any]:
    given = {"networks": {"plain": PLAIN}, "features": {"plain": FEATURES}, **changes}
    return lambda: gates_explorer(**given)


def net(**changes: Any) -> Callable[[], Any]:
    return gates(networks={"plain": replace(PLAIN, **changes)})


def table(**changes: Any) -> Callable[[], Any]:
    return gates(features={"plain": replace(FEATURES, **changes)})


VALUES, LABELS = FEATURES.test
GATES = {
    "networks: one": (gates(networks=PLAIN), TypeError, "networks"),
    "networks: empty": (gates(networks={}), TypeError, "networks"),
    "networks: names": (gates(networks={1: PLAIN}), TypeError, "networks"),
    "networks: not gated": (gates(networks={"plain": nn.Linear(2, 3)}), TypeError, r"networks\['plain'\].*gates"),
    "features: one": (gates(features=FEATURES), TypeError, "features"),
    "features: empty": (gates(features={}), TypeError, "features"),
    "features: of another network": (gates(features={"gated": FEATURES}), ValueError, "features.*plain"),
    "features: a tensor": (gates(features={"plain": VALUES}), TypeError, r"features\['plain'\].*linear"),
    "gates: rank": (net(gates=PLAIN.gates[0]), ValueError, r"networks\['plain'\].gates"),
    "gates: dtype": (net(gates=PLAIN.gates.long()), TypeError, r"networks\['plain'\].gates"),
    "gates: range": (net(gates=PLAIN.gates * 2), ValueError, r"networks\['plain'\].gates.*\[0, 1\]"),
    "gates: empty": (net(gates=PLAIN.gates[:0]), ValueError, r"networks\['plain'\].gates"),
    "gates: NaN": (net(gates=PLAIN.gates * NAN), ValueError, r"networks\['plain'\].gates"),
    "gated: too few": (net(gated=PLAIN.gated[1:]), ValueError, r"networks\['plain'\].gated"),
    "gated: dtype": (net(gated=PLAIN.gated.long()), ValueError, r"networks\['plain'\].gated"),
    "bounds: range": (net(bounds=(0.1, 1.5)), ValueError, r"networks\['plain'\].bounds"),
    "bounds: NaN": (net(bounds=(NAN, 0.5)), ValueError, r"networks\['plain'\].bounds"),
    "model": (net(model="resnet20"), TypeError, r"networks\['plain'\].model"),
    "model: no such convolution": (net(model=nn.Linear(2, 3)), ValueError, "weights"),
    "test: rank": (table(test=(VALUES[0], LABELS)), ValueError, r"features\['plain'\].test"),
    "test: filters": (table(test=(VALUES[:, 1:], LABELS)), ValueError, r"features\['plain'\].test"),
    "test: dtype": (table(test=(VALUES.long(), LABELS)), TypeError, r"features\['plain'\].test"),
    "test: NaN": (table(test=(VALUES * NAN, LABELS)), ValueError, r"features\['plain'\].test"),
    "test: empty": (table(test=(VALUES[:0], LABELS[:0])), ValueError, r"features\['plain'\].test"),
    "test: labels": (table(test=(VALUES, LABELS + 1)), ValueError, r"features\['plain'\].test"),
    "linear": (table(linear=nn.Linear(toy.C, toy.K)), ValueError, r"features\['plain'\].linear"),
    "classes: too few": (table(classes=["ant", "bee"]), ValueError, r"features\['plain'\].classes"),
    "weights: a tensor": (gates(weights=torch.rand(toy.K, 2, 3, 1)), TypeError, "weights"),
    "weights: unknown": (gates(weights={"gated": torch.rand(toy.K, 2, 3, 1)}), ValueError, "weights"),
    "weights: rank": (gates(weights={"plain": torch.rand(toy.K, 6)}), ValueError, r"weights\['plain'\]"),
    "weights: filters": (gates(weights={"plain": torch.rand(toy.K + 1, 2, 3, 1)}), ValueError, r"weights\['plain'\]"),
    "information: real": (gates(information=200.0), TypeError, "information"),
    "information: few": (gates(information=2), ValueError, "information"),
    "start: epoch": (gates(start={"epoch": 99}), ValueError, "epoch"),
    "start: unknown": (gates(start={"epocs": 1}), ValueError, "epocs.*'epoch'"),
    "start: network": (gates(start={"network": "plane"}), ValueError, "network"),
    "start: a list": (gates(start=["plain"]), TypeError, "start"),
    "name": (gates(name="Gates"), ValueError, "name"),
    "title": (gates(title=3), TypeError, "title"),
    "bake": (gates(bake="all"), TypeError, "bake"),
}


def masks(**changes: Any) -> Callable[[], Any]:
    given = {"pictures": toy.pictures(), "masks": toy.truths(), "labels": toy.labels(), "maps": {"one": toy.maps()}, "classes": toy.CLASSES}
    return lambda: masks_explorer(**{**given, **changes})


def maps(**changes: Any) -> Callable[[], Any]:
    return masks(maps={"one": replace(toy.maps(), **changes)})


GIVEN = toy.maps()
MASKS = {
    "pictures: rank": (masks(pictures=toy.pictures()[0]), ValueError, "pictures"),
    "pictures: dtype": (masks(pictures=(toy.pictures() * 255).byte()), TypeError, "pictures"),
    "pictures: range": (masks(pictures=toy.pictures() * 255), ValueError, "pictures"),
    "pictures: channels": (masks(pictures=toy.pictures()[:, :2]), ValueError, "pictures"),
    "pictures: empty": (masks(pictures=toy.pictures()[:0]), ValueError, "pictures"),
    "pictures: NaN": (masks(pictures=toy.pictures() * NAN), ValueError, "pictures"),
    "masks: dtype": (masks(masks=toy.truths().float()), TypeError, "masks"),
    "masks: rank": (masks(masks=toy.truths()[0]), ValueError, "masks"),
    "masks: turned": (masks(masks=toy.truths().mT), ValueError, "masks"),
    "labels: dtype": (masks(labels=toy.labels().float()), TypeError, "labels"),
    "labels: range": (masks(labels=toy.labels() + 1), ValueError, "labels"),
    "labels: too few": (masks(labels=toy.labels()[1:]), ValueError, "labels"),
    "classes: text": (masks(classes="ant"), TypeError, "classes"),
    "classes: numbers": (masks(classes=[1, 2, 3]), TypeError, "classes"),
    "classes: empty": (masks(classes=[]), ValueError, "classes"),
    "maps: not by network": (masks(maps=GIVEN), TypeError, "maps"),
    "maps: empty": (masks(maps={}), TypeError, "maps"),
    "maps: tensors": (masks(maps={"one": torch.rand(3)}), TypeError, r"maps\['one'\]"),
    "filters: dtype": (maps(filters=GIVEN.filters.float()), TypeError, r"maps\['one'\].filters"),
    "filters: range": (maps(filters=GIVEN.filters + 1), ValueError, r"maps\['one'\].filters"),
    "filters: twice": (maps(filters=torch.zeros_like(GIVEN.filters)), ValueError, r"maps\['one'\].filters"),
    "filters: images": (maps(filters=GIVEN.filters[1:]), ValueError, r"maps\['one'\].filters"),
    "gradient: rank": (maps(gradient=GIVEN.gradient[:, 0]), ValueError, r"maps\['one'\].gradient"),
    "gradient: filters": (maps(gradient=GIVEN.gradient[:, 1:]), ValueError, r"maps\['one'\].gradient"),
    "activation: small": (maps(activation=GIVEN.activation[..., ::2]), ValueError, r"maps\['one'\].activation"),
    "activation: NaN": (maps(activation=GIVEN.activation * NAN), ValueError, r"maps\['one'\].activation"),
    "cam: rank": (maps(cam=GIVEN.cam[:, None]), ValueError, r"maps\['one'\].cam"),
    "cuts: rank": (maps(cuts=GIVEN.cuts[None]), ValueError, r"maps\['one'\].cuts"),
    "cuts: empty": (maps(cuts=GIVEN.cuts[:0]), ValueError, r"maps\['one'\].cuts"),
    "share: 0": (masks(share=0), ValueError, "share"),
    "share: percent": (masks(share=30), ValueError, "share"),
    "start: threshold": (masks(start={"threshold": 0.55}), ValueError, "threshold"),
    "start: a list": (masks(start=[1]), TypeError, "start"),
}


def attacked(**changes: Any) -> Callable[[], Any]:
    given = {"images": toy.pictures(), "networks": toy.attacked_networks(), "classes": toy.CLASSES, **changes}
    return lambda: adversarial_explorer(**given)


def one(**changes: Any) -> Callable[[], Any]:
    return attacked(networks={"gated": replace(WHOLE, **changes)})


WHOLE = toy.attacked_networks()["gated"]
PGD = WHOLE.attacked["pgd"]
AFTER, SCORES = WHOLE.features["pgd"], WHOLE.scores["pgd"]
ADVERSARIAL = {
    "images: rank": (attacked(images=toy.pictures()[0]), ValueError, "images"),
    "images: dtype": (attacked(images=toy.labels()), (TypeError, ValueError), "images"),
    "images: range": (attacked(images=toy.pictures() - 1), ValueError, "images"),
    "images: channels": (attacked(images=toy.pictures()[:, :2]), ValueError, "images"),
    "images: NaN": (attacked(images=toy.pictures() * NAN), ValueError, "images"),
    "images: others": (attacked(images=toy.pictures()[..., 1:]), ValueError, r"attacked\['pgd'\]"),
    "classes: text": (attacked(classes="ant"), TypeError, "classes"),
    "classes: empty": (attacked(classes=[]), ValueError, "classes"),
    "classes: too few": (attacked(classes=["ant", "bee"]), ValueError, "gates"),
    "networks: one": (attacked(networks=WHOLE), TypeError, "networks"),
    "networks: empty": (attacked(networks={}), TypeError, "networks"),
    "networks: results": (attacked(networks={"gated": PGD}), TypeError, r"networks\['gated'\]"),
    "attacked: one": (one(attacked=PGD), TypeError, r"networks\['gated'\].attacked"),
    "attacked: empty": (one(attacked={}), TypeError, r"networks\['gated'\].attacked"),
    "attacked: images": (one(attacked={"pgd": toy.pictures()}, features={"pgd": AFTER}, scores=None), TypeError, r"attacked\['pgd'\]"),
    "attacked: labels": (
        one(attacked={"pgd": replace(PGD, after=PGD.after + 2)}, features={"pgd": AFTER}, scores=None), ValueError, r"attacked\['pgd'\].after"
    ),
    "clean: rank": (one(clean=WHOLE.clean[0]), ValueError, r"networks\['gated'\].clean"),
    "clean: rows": (one(clean=WHOLE.clean[1:]), ValueError, r"networks\['gated'\].clean"),
    "clean: NaN": (one(clean=WHOLE.clean * NAN), ValueError, r"networks\['gated'\].clean"),
    "features: missing": (one(features={"pgd": AFTER}), ValueError, r"networks\['gated'\].features"),
    "features: a tensor": (one(features=AFTER), TypeError, r"networks\['gated'\].features"),
    "features: filters": (one(features={**WHOLE.features, "pgd": AFTER[:, 1:]}), ValueError, r"features\['pgd'\]"),
    "gates: turned": (one(gates=WHOLE.gates.T), ValueError, r"networks\['gated'\].gates"),
    "gates: range": (one(gates=WHOLE.gates * 2), ValueError, r"networks\['gated'\].gates"),
    "scores: unknown": (one(scores={"pdg": SCORES}), ValueError, r"networks\['gated'\].scores"),
    "scores: one": (one(scores={"pgd": SCORES[0]}), TypeError, r"scores\['pgd'\]"),
    "scores: too few": (one(scores={"pgd": (SCORES[0], SCORES[1][1:])}), ValueError, r"scores\['pgd'\]"),
    "start: attack": (attacked(start={"attack": "pdg"}), ValueError, "attack"),
}  # fmt: skip

BAD = {
    f"{kind}, {name}": case
    for kind, cases in (("gates", GATES), ("masks", MASKS), ("attacks", ADVERSARIAL))
    for name, case in cases.items()
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_wrong_arguments_are_named(case: tuple[Callable[[], Any], type[Exception], str]) -> None:
    make, error, said = case
    with pytest.raises(error, match=said):
        make()
