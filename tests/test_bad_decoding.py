"""Bad input to the linear part and the decoding lens: an error that names the argument, before any work, model unchanged."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from filterlens.lenses import decoding
from filterlens.linear import Rule, trace, unpool, walk

NAN, INF = float("nan"), float("inf")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, (2, 3)))


def poisoned(layer: int, name: str, value: float) -> nn.Module:
    model = network()
    getattr(model[layer], name).data.view(-1)[1] = value
    return model


MODEL = network()
IMAGES = torch.rand(5, 2, 12, 15)
DECODED = decoding.decode(MODEL, "4", [2, 0], input_size=(12, 15))
RECORDED = trace(MODEL, "4", (2, 12, 15))
MAPS = torch.rand(2, 3, 4, 5)

# every function with arguments it accepts
GOOD = {
    "unpool": (unpool, {"z": MAPS, "factor": 2, "mode": "nearest", "a": -0.5}),
    "Rule": (Rule, {"mode": "nearest", "scale": "none", "gain": "refuse"}),
    "trace": (trace, {"model": MODEL, "layer": "4", "input_size": (2, 12, 15)}),
    "walk": (walk, {"recorded": RECORDED, "kernels": [1, 0], "rule": Rule(), "max_bytes": 10**8}),
    "substitute": (decoding.substitute, {"z": MAPS, "weight": torch.rand(3, 2, 4, 6), "stride": 1}),
    "decode": (
        decoding.decode,
        {
            "model": MODEL, "layer": "4", "kernels": [1, 0], "unpool": "nearest", "scale": "none", "input_size": (12, 15),
            "gain": "refuse", "max_bytes": 10**8,
        },
    ),
    "thresholded": (decoding.thresholded, {"images": IMAGES, "q": 0.5}),
    "respond": (decoding.respond, {"decoded": DECODED, "images": IMAGES}),
    "compare": (
        decoding.compare,
        {"model": MODEL, "decoded": DECODED, "images": IMAGES, "normalize": "tensor", "max_bytes": 10**8},
    ),
    "error_table": (
        decoding.error_table,
        {
            "model": MODEL, "layers": ["0", "4"], "batches": [IMAGES], "unpools": ("nearest",), "normalizations": ("tensor",),
            "input_size": (12, 15),
        },
    ),
    "reconstruction_error": (decoding.reconstruction_error, {"maps": MAPS, "responses": MAPS + 1, "normalize": "tensor"}),
    "contributions": (decoding.contributions, {"decoded": DECODED, "kernel": 2, "top": 3, "depth": 1, "max_bytes": 10**8}),
}  # fmt: skip

T, V = TypeError, ValueError
not_a_model = [("nothing", None, T), ("a name", "lenet", T), ("a tensor", IMAGES, T), ("a class", nn.Conv2d, T)]
bad_images = [
    ("no tensor", IMAGES.tolist(), T), ("rank 3", IMAGES[0], V), ("rank 5", IMAGES[None], V), ("integers", (255 * IMAGES).byte(), T),
    ("booleans", IMAGES > 0.5, T), ("complex", IMAGES.to(torch.complex64), T), ("no image", IMAGES[:0], V),
    ("no pixels", IMAGES[..., :0], V),
    ("NaN", torch.full_like(IMAGES, NAN), V), ("infinite", torch.full_like(IMAGES, INF), V),
]  # fmt: skip
fitting = [*bad_images, ("another channel count", IMAGES[:, :1], V)]
bad_choice = [("unknown", "trilinear", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T)]
bad_count = [("zero", 0, V), ("negative", -3, V), ("a fraction", 2.5, T), ("NaN", NAN, T), ("text", "2", T), ("a boolean", True, T)]
bad_bytes = [*bad_count, ("nothing", None, T), ("too few", 10, V)]
bad_layer = [("unknown", "conv7", V), ("empty", "", V), ("a number", 4, T), ("a module", MODEL[4], T)]
bad_kernels = [
    ("beyond", [0, 4], V), ("negative", -1, V), ("twice", [1, 1], V), ("empty", [], V), ("a fraction", [0.5], T), ("NaN", [NAN], T),
    ("text", "all", T), ("a boolean", True, T), ("a tensor of fractions", torch.tensor([0.5]), T),
]  # fmt: skip
bad_decoded = [("nothing", None, T), ("the pictures alone", DECODED.images, T), ("a model", MODEL, T)]
bad_size = [
    ("zero", 0, V), ("negative", (12, -15), V), ("a fraction", 12.5, T), ("NaN", NAN, T), ("text", "big", T),
    ("four sides", (1, 2, 12, 15), V),
    ("no sides", (), V), ("too small", 3, V),
]  # fmt: skip

BAD = {
    ("unpool", "z"): [case for case in bad_images if case[0] not in ("NaN", "infinite")],  # fields may grow large
    ("unpool", "factor"): [*bad_count, ("three", (2, 2, 2), T), ("one of two", (2, 0), V), ("a list", [2, 2], T), ("nothing", None, T)],
    ("unpool", "mode"): bad_choice,
    ("unpool", "a"): [("text", "keys", T), ("NaN", NAN, V), ("nothing", None, T)],
    ("Rule", "mode"): bad_choice,
    ("Rule", "scale"): bad_choice,
    ("Rule", "gain"): bad_choice,
    ("trace", "model"): not_a_model,
    ("trace", "layer"): bad_layer,
    ("trace", "input_size"): [
        ("two sides", (12, 15), T), ("a number", 12, T), ("nothing", None, T), ("zero", (2, 0, 15), V), ("a fraction", (2, 12.5, 15), T),
        ("NaN", (2, NAN, 15), T), ("another channel count", (3, 12, 15), V), ("too small", (2, 3, 3), V),
    ],
    ("walk", "recorded"): [("nothing", None, T), ("a model", MODEL, T), ("steps alone", RECORDED.steps, T)],
    ("walk", "kernels"): bad_kernels,
    ("walk", "rule"): [("a name", "nearest", T), ("nothing", None, T)],
    ("walk", "max_bytes"): bad_bytes,
    ("substitute", "z"): bad_images,
    ("substitute", "weight"): [
        ("filters for other channels", torch.rand(2, 3, 4, 6), V),
        ("no tensor", [[1.0]], T), ("rank 3", torch.rand(3, 2, 4), V), ("integers", torch.ones(3, 2, 4, 6, dtype=torch.long), T),
        ("empty", torch.rand(3, 2, 0, 6), V), ("NaN", torch.full((3, 2, 4, 6), NAN), V),
        ("other precision", torch.rand(3, 2, 4, 6).double(), T),
    ],
    ("substitute", "stride"): [*bad_count, ("a pair", (1, 2), T)],
    ("decode", "model"): [
        *not_a_model, ("NaN in the layer", poisoned(4, "weight", NAN), V), ("NaN below it", poisoned(0, "weight", NAN), V),
        ("an infinite gain", poisoned(1, "weight", INF), V), ("a NaN variance", poisoned(1, "running_var", NAN), V),
    ],
    ("decode", "layer"): [*bad_layer, ("an activation", "2", V), ("a pool", "3", V)],
    ("decode", "kernels"): bad_kernels,
    ("decode", "unpool"): bad_choice,
    ("decode", "scale"): bad_choice,
    ("decode", "gain"): bad_choice,
    ("decode", "input_size"): bad_size,
    ("decode", "max_bytes"): bad_bytes,
    ("thresholded", "images"): bad_images,
    ("thresholded", "q"): [("negative", -0.1, V), ("above one", 1.1, V), ("NaN", NAN, V), ("infinite", INF, V), ("text", "half", T)],
    ("respond", "decoded"): bad_decoded,
    ("respond", "images"): [*fitting, ("other precision", IMAGES.double(), T), ("too small", IMAGES[:, :, :4], V)],
    ("compare", "model"): not_a_model,
    ("compare", "decoded"): bad_decoded,
    ("compare", "images"): [*fitting, ("other precision", IMAGES.double(), T), ("too small", IMAGES[:, :, :4], V)],
    ("compare", "normalize"): bad_choice,
    ("compare", "max_bytes"): bad_count,
    ("error_table", "model"): not_a_model,
    ("error_table", "layers"): [
        ("unknown", ["0", "conv7"], V), ("a name alone", "0", T), ("empty", [], T), ("a number", [4], T),
        ("nothing", None, T), ("a pool", ["3"], V),
    ],
    ("error_table", "batches"): [
        ("no tensor in it", [[1.0]], T), ("a tensor", IMAGES, T), ("a number", 5, T), ("empty", [], V), ("integers", [IMAGES.long()], T),
        ("rank 3", [IMAGES[0]], V), ("an empty batch", [IMAGES[:0]], V), ("NaN", [IMAGES * NAN], V),
        ("another channel count", [IMAGES[:, :1]], V),
        ("other precision", [IMAGES.double()], T), ("too small", [IMAGES[:, :, :4]], V),
    ],
    ("error_table", "unpools"): [("unknown", ("trilinear",), V), ("a name alone", "nearest", T), ("empty", (), T), ("a number", (2,), T)],
    ("error_table", "normalizations"): [("unknown", ("minmax",), V), ("a name alone", "map", T), ("empty", (), T), ("a number", (2,), T)],
    ("error_table", "input_size"): bad_size,
    ("reconstruction_error", "maps"): [
        ("no tensor", [1.0], T), ("rank 3", MAPS[0], V), ("integers", MAPS.long(), T), ("empty", MAPS[:0], V), ("NaN", MAPS * NAN, V),
    ],
    ("reconstruction_error", "responses"): [
        ("no tensor", [1.0], T), ("rank 3", MAPS[0], V), ("integers", MAPS.long(), T), ("NaN", MAPS * NAN, V),
        ("fewer units", MAPS[..., :-1], V),
        ("fewer maps", MAPS[:, :2], V), ("fewer images", MAPS[:1], V),
    ],
    ("reconstruction_error", "normalize"): bad_choice,
    ("contributions", "decoded"): bad_decoded,
    ("contributions", "kernel"): [
        ("not decoded", 1, V), ("negative", -1, V), ("beyond", 9, V), ("a fraction", 0.5, T), ("NaN", NAN, T), ("a list", [2], T),
        ("nothing", None, T),
    ],
    ("contributions", "top"): [*bad_count, ("nothing", None, T)],
    ("contributions", "depth"): [("negative", -1, V), ("a fraction", 1.5, T), ("NaN", NAN, T), ("text", "all", T), ("a boolean", True, T)],
    ("contributions", "max_bytes"): bad_bytes,
}  # fmt: skip
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


def state(model: nn.Module) -> list:
    tensors = [(t.data_ptr(), t._version, t.requires_grad) for t in model.state_dict(keep_vars=True).values()]
    return [tensors, [m.training for m in model.modules()], [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]]


@pytest.mark.parametrize("name", GOOD)
def test_the_good_arguments_are_good(name):
    function, arguments = GOOD[name]
    function(**arguments)


def test_every_public_function_and_every_argument_is_tried():
    from filterlens import linear

    functions = {name for room in (linear, decoding) for name in room.__all__ if callable(getattr(room, name)) and name[0].islower()}
    assert functions <= set(GOOD)
    tried = {name: {argument for function, argument in BAD if function == name} for name in GOOD}
    assert all(tried[name] == set(arguments) for name, (_, arguments) in GOOD.items())


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(name, argument, value, error):
    function, arguments = GOOD[name]
    MODEL.train()
    before = state(MODEL)
    with pytest.raises(error, match=rf"^{argument}\b"):
        partial(function, **{**arguments, argument: value})()
    assert state(MODEL) == before


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "value", "hint"),
    [
        ("unpool", "bilinar", "did you mean 'bilinear'"),
        ("layer", "classifer", "did you mean 'classifier'"),
        ("scale", "sun", "did you mean 'sum'"),
    ],
)
def test_a_slip_of_the_pen_gets_a_suggestion(argument, value, hint):
    model = nn.Sequential()
    model.classifier = nn.Conv2d(2, 3, 3)
    with pytest.raises(ValueError, match=f"{argument}: got '{value}'.*{hint}"):
        decoding.decode(model, **{"layer": "classifier", argument: value})


@pytest.mark.bad_input
@pytest.mark.parametrize("model", [nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), nn.Sequential(nn.ReLU())])
def test_a_network_without_convolutions_is_refused(model):
    with pytest.raises(ValueError, match="model: got a network without a Conv2d|layer"):
        decoding.decode(model, "1")


@pytest.mark.bad_input
def test_a_layer_that_is_never_called_is_refused():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 2)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="layer: 'idle' is not called"):
        decoding.decode(Idle(), "idle")
