"""Bad input to the localization lens: an error that names the argument, before any work, the model unchanged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filterlens.lenses import localization
from toy_localization import IMAGES, LABELS, LAYER, MASKS, network, state

NAN, INF = float("nan"), float("inf")
MODEL = network()
POISONED = network()
POISONED[2].weight.data.view(-1)[1] = NAN
FLAT = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Flatten(2))
MAXIMUM = nn.Sequential(*network()[:4], nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 4))
DEEP = nn.Sequential(*network()[:4], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 6), nn.Linear(6, 4))
MAPS, IOUS = torch.rand(3, 4, 5, 6), torch.rand(7, 5)

LOCALIZE = {
    "model": MODEL, "layer": LAYER, "images": IMAGES, "masks": MASKS, "labels": LABELS, "method": "activation", "sigma": 5.0,
    "threshold": 1.0, "share": 0.3, "filters": [1, 0], "n_classes": 4, "at": (20, 30), "reduction": "mean", "ties": "drop",
    "batch": 4, "max_bytes": 10**6, "progress": False,
}  # fmt: skip
GOOD = {
    "grad_maps": (localization.grad_maps, {"model": MODEL, "layer": LAYER, "filters": [0, 2], "images": IMAGES, "sigma": 2.0}),
    "activation_maps": (localization.activation_maps, {"model": MODEL, "layer": LAYER, "images": IMAGES, "size": 7}),
    "class_maps": (localization.class_maps, {"model": MODEL, "images": IMAGES, "labels": LABELS, "layer": None, "size": (7, 8)}),
    "pooled_layer": (localization.pooled_layer, {"model": MODEL, "images": IMAGES, "layer": None}),
    "blur": (localization.blur, {"maps": MAPS, "sigma": 1.0}),
    "top_thresholds": (localization.top_thresholds, {"maps": MAPS, "share": 0.3}),
    "top_mask": (localization.top_mask, {"maps": MAPS, "share": 0.3}),
    "iou": (localization.iou, {"mask": MASKS, "truth": MASKS}),
    "filter_overlap": (
        localization.filter_overlap, {"ious": IOUS, "labels": LABELS, "n_classes": 4, "at": (20, 30), "reduction": "mean"},
    ),
    "image_overlap": (localization.image_overlap, {"ious": IOUS[:, 0], "labels": LABELS, "n_classes": 4, "at": (20, 30)}),
    "localize": (localization.localize, LOCALIZE),
}  # fmt: skip

T, V = TypeError, ValueError
not_a_model = [("nothing", None, T), ("a name", "lenet", T), ("a tensor", IMAGES, T), ("a class", nn.Conv2d, T)]
no_finite_maps = [*not_a_model, ("NaN in a weight", POISONED, V)]
no_pooled_head = [*not_a_model, ("maximum pooling", MAXIMUM, V), ("two linear layers", DEEP, V), ("no linear layer", FLAT, V)]
bad_layer = [
    ("unknown", "conv7", V),
    ("empty", "", V),
    ("a number", 3, T),
    ("a module", MODEL[3], T),
    ("no maps", "5", V),
    ("nothing", None, T),
]
bad_head = [("unknown", "conv7", V), ("empty", "", V), ("a number", 3, T), ("not pooled", "2", V), ("no maps", "5", V)]
bad_choice = [("unknown", "men", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T)]
bad_count = [("zero", 0, V), ("negative", -3, V), ("a fraction", 2.5, T), ("NaN", NAN, T), ("text", "2", T), ("a boolean", True, T)]
bad_weight = [("negative", -0.1, V), ("NaN", NAN, V), ("infinite", INF, V), ("text", "1", T), ("a boolean", True, T), ("nothing", None, T)]
bad_share = [*bad_weight, ("zero", 0.0, V), ("above one", 1.1, V)]
bad_size = [*bad_count, ("one side", (3,), V), ("three sides", (3, 4, 5), V), ("a zero side", (0, 3), V), ("fractions", (2.0, 3), T)]
bad_levels = [("empty", (), V), ("zero", (0,), V), ("above 100", (20, 101), V), ("twice", (20, 20), V), ("a fraction", (0.2,), T),
              ("a number", 20, T), ("text", "20", T), ("nothing", None, T), ("NaN", (NAN,), T)]  # fmt: skip
bad_filters = [
    ("beyond", 5, V), ("negative", -1, V), ("a fraction", 0.5, T), ("text", "all", T), ("a boolean", True, T), ("twice", [1, 1], V),
    ("empty", [], V), ("one beyond", [0, 5], V), ("a tensor of fractions", torch.tensor([0.5]), T), ("NaN", [NAN], T),
]  # fmt: skip


def bad_tensor(good: torch.Tensor, *, ranks: bool = True, finite: bool = True, empty: bool = True) -> list[tuple]:
    cases = [("no tensor", good.tolist(), T), ("integers", good.long(), T), ("booleans", good > 0.5, T), ("nothing", None, T)]
    cases += [("complex", good.to(torch.complex64), T)]
    cases += [("one axis less", good[0], V), ("one axis more", good[None], V)] if ranks else []
    cases += [("none", good[:0], V), ("no pixels", good[..., :0], V)] if empty else []
    return cases + [("NaN", good * NAN, V), ("infinite", good * INF, V)] if finite else cases


images = [*bad_tensor(IMAGES), ("another channel count", IMAGES[:, :1], V), ("too small", IMAGES[:, :, :3], V)]
set_images = images[:-1]  # smaller ones do not fit the masks, which is said of those
labels = [
    ("no tensor", LABELS.tolist(), T), ("rank 2", LABELS[None], V), ("fractions", LABELS.float(), T), ("none", LABELS[:0], V),
    ("beyond", LABELS + 2, V), ("negative", LABELS - 1, V), ("one too few", LABELS[1:], V), ("booleans", LABELS > 0, T), ("nothing", None, T),
]  # fmt: skip
bad_mask = [("no tensor", MASKS.tolist(), T), ("fractions", MASKS.float(), T), ("integers", MASKS.long(), T), ("nothing", None, T),
            ("rank 1", MASKS[0, 0], V), ("none", MASKS[:0], V), ("no pixels", MASKS[..., :0], V), ("NaN", MASKS * NAN, T)]  # fmt: skip
other_masks = [("fewer images", MASKS[:6], V), ("fewer rows", MASKS[:, 1:], V), ("turned", MASKS.mT, V)]
ious = [("above one", IOUS + 1, V), ("negative", IOUS - 1, V), ("partly NaN", IOUS.clone(), V)]
ious[2][1][3, 2] = NAN

BAD = {
    ("grad_maps", "model"): no_finite_maps,
    ("grad_maps", "layer"): bad_layer,
    ("grad_maps", "filters"): [*bad_filters, ("nothing", None, T)],
    ("grad_maps", "images"): images,
    ("grad_maps", "sigma"): bad_weight,
    ("activation_maps", "model"): no_finite_maps,
    ("activation_maps", "layer"): bad_layer,
    ("activation_maps", "images"): images,
    ("activation_maps", "size"): [case if case[0] != "text" else ("text", "2", V) for case in bad_size],
    ("class_maps", "model"): no_pooled_head,
    ("class_maps", "images"): images,
    ("class_maps", "labels"): labels,
    ("class_maps", "layer"): bad_head,
    ("class_maps", "size"): [case if case[0] != "text" else ("text", "2", V) for case in bad_size],
    ("pooled_layer", "model"): no_pooled_head,
    ("pooled_layer", "images"): images,
    ("pooled_layer", "layer"): bad_head,
    ("blur", "maps"): [*bad_tensor(MAPS, ranks=False), ("one axis", MAPS[0, 0, 0], V)],
    ("blur", "sigma"): bad_weight,
    ("top_thresholds", "maps"): bad_tensor(MAPS),
    ("top_thresholds", "share"): bad_share,
    ("top_mask", "maps"): [*bad_tensor(MAPS, ranks=False), ("two axes", MAPS[0, 0], V), ("five axes", MAPS[None], V)],
    ("top_mask", "share"): bad_share,
    ("iou", "mask"): bad_mask,
    ("iou", "truth"): [*bad_mask, *other_masks],
    ("filter_overlap", "ious"): [*bad_tensor(IOUS, finite=False), *ious],
    ("filter_overlap", "labels"): labels,
    ("filter_overlap", "n_classes"): [*bad_count, ("nothing", None, T)],
    ("filter_overlap", "at"): bad_levels,
    ("filter_overlap", "reduction"): bad_choice,
    ("image_overlap", "ious"): [*bad_tensor(IOUS[:, 0], empty=False), ("above one", IOUS[:, 0] + 1, V), ("negative", -IOUS[:, 0], V), ("none", IOUS[:0, 0], V)],
    ("image_overlap", "labels"): labels,
    ("image_overlap", "n_classes"): [*bad_count, ("nothing", None, T)],
    ("image_overlap", "at"): bad_levels,
    ("localize", "model"): no_finite_maps,
    ("localize", "layer"): bad_layer,
    ("localize", "images"): set_images,
    ("localize", "masks"): [*bad_mask, *other_masks, ("rank 4", MASKS[None], V)],
    ("localize", "labels"): labels,
    ("localize", "method"): bad_choice,
    ("localize", "sigma"): bad_weight,
    ("localize", "threshold"): bad_weight,
    ("localize", "share"): bad_share,
    ("localize", "filters"): bad_filters,
    ("localize", "n_classes"): bad_count,
    ("localize", "at"): bad_levels,
    ("localize", "reduction"): bad_choice,
    ("localize", "ties"): bad_choice,
    ("localize", "batch"): [*bad_count, ("nothing", None, T)],
    ("localize", "max_bytes"): [*bad_count, ("nothing", None, T)],
    ("localize", "progress"): [("a number", 1, T), ("text", "yes", T), ("nothing", None, T)],
}  # fmt: skip
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


@pytest.mark.parametrize("name", GOOD)
def test_the_good_arguments_are_good(name):
    function, arguments = GOOD[name]
    function(**arguments)


def test_every_public_function_and_every_argument_is_tried():
    functions = {name for name in localization.__all__ if name[0].islower()}
    assert functions == set(GOOD)
    tried = {name: {argument for function, argument in BAD if function == name} for name in GOOD}
    assert all(tried[name] == set(arguments) for name, (_, arguments) in GOOD.items())


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(name, argument, value, error):
    function, arguments = GOOD[name]
    before = state(MODEL)
    with pytest.raises(error, match=rf"^{argument}\b"):
        function(**{**arguments, argument: value})
    assert state(MODEL) == before


CAM = {**LOCALIZE, "method": "cam", "filters": None, "layer": None, "n_classes": None}
CAM_BAD = {
    "model": no_pooled_head, "images": set_images, "labels": labels, "layer": bad_head, "filters": [("given", [1], V)],
    "n_classes": [("fewer than the labels", 2, V)],
}  # fmt: skip
GRADIENT_BAD = {"model": no_finite_maps, "images": set_images, "labels": labels, "layer": bad_layer, "filters": bad_filters}
OTHER_WAYS = [("cam", CAM, CAM_BAD), ("gradient", {**LOCALIZE, "method": "gradient"}, GRADIENT_BAD)]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("good", "argument", "value", "error"),
    [
        pytest.param(good, argument, *case[1:], id=f"{way}-{argument}-{case[0]}")
        for way, good, bad in OTHER_WAYS
        for argument, cases in bad.items()
        for case in cases
    ],
)
def test_bad_input_is_refused_by_the_other_methods_too(good, argument, value, error):
    before = state(MODEL)
    named = "labels|n_classes" if argument == "n_classes" else argument
    with pytest.raises(error, match=rf"^({named})\b"):
        localization.localize(**{**good, argument: value})
    assert state(MODEL) == before
