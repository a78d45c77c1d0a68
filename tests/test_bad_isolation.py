"""Bad input to the isolation lens and to map_ssim: an error that names the argument, before any work, the model unchanged."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from filterlens import metrics
from filterlens.lenses import isolation

NAN, INF = float("nan"), float("inf")


def network() -> nn.Module:
    torch.manual_seed(0)
    tail = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 4 * 5, 6)]
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Conv2d(3, 4, (3, 2)), nn.ReLU(), *tail)


def poisoned(layer: int, name: str, value: float) -> nn.Module:
    model = network()
    getattr(model[layer], name).data.view(-1)[1] = value
    return model


class Tokens(nn.Module):
    def forward(self, x):
        return x.flatten(2)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


MODEL = network()
ODD = nn.Sequential(nn.Conv2d(2, 3, 3), Tokens())
TWO = nn.Sequential(nn.Conv2d(2, 3, 3), Pair())
IMAGES = torch.rand(2, 2, 12, 13)
MAPS, BEFORE, KERNEL = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5) + 0.1, torch.tensor([2, 0])
ISOLATE = {
    "model": MODEL, "layer": "3", "kernels": [1, 0], "images": IMAGES, "alpha": 1.0, "beta": 1.0, "preserve": 1.0, "balance": "mean",
    "optimizer": "proximal", "start": "image", "max_iter": 2, "lr": 0.1, "pre_activation": False, "clamp": None,
    "on_inactive": "skip", "seed": 0, "max_bytes": 10**8, "progress": False,
}  # fmt: skip
LITERALLY = {
    "model": MODEL, "layer": "3", "kernel": 1, "image": IMAGES[:1], "alpha": 1.0, "beta": 1.0, "preserve": 1.0, "balance": "printed",
    "lr": 10.0, "momentum": 0.0, "max_iter": 2, "start": "image", "pre_activation": True, "seed": 0,
}  # fmt: skip

# every function with arguments it accepts
GOOD = {
    "isolate": (isolation.isolate, ISOLATE),
    "isolate_literally": (isolation.isolate_literally, LITERALLY),
    "losses": (isolation.losses, {"maps": MAPS, "target": BEFORE, "kernel": KERNEL, "images": IMAGES, "balance": "mean"}),
    "selectivity": (isolation.selectivity, {"maps_after": MAPS, "maps_before": BEFORE, "kernel": KERNEL}),
    "feature_point": (isolation.feature_point, {"model": MODEL, "layer": "3", "example": IMAGES, "pre_activation": False}),
    "find_point": (isolation.find_point, {"model": MODEL, "layer": "3", "example": IMAGES, "pre_activation": False}),
    "colour_chart": (isolation.colour_chart, {"size": 9}),
    "map_ssim": (metrics.map_ssim, {"a": MAPS[0], "b": BEFORE[0]}),
}

T, V = TypeError, ValueError
not_a_model = [("nothing", None, T), ("a name", "lenet", T), ("a tensor", IMAGES, T), ("a class", nn.Conv2d, T)]
bad_layer = [("unknown", "conv7", V), ("empty", "", V), ("a number", 3, T), ("a module", MODEL[3], T), ("nothing", None, T)]
bad_flag = [("a number", 1, T), ("text", "yes", T), ("nothing", None, T)]
bad_choice = [("unknown", "men", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T)]
bad_weight = [("negative", -0.1, V), ("NaN", NAN, V), ("infinite", INF, V), ("text", "1", T), ("a boolean", True, T), ("nothing", None, T)]
bad_count = [("zero", 0, V), ("negative", -3, V), ("a fraction", 2.5, T), ("NaN", NAN, T), ("text", "2", T), ("a boolean", True, T)]
bad_seed = [("negative", -1, V), ("a fraction", 0.5, T), ("text", "0", T), ("nothing", None, T)]
bad_step = [("zero", 0.0, V), ("negative", -1.0, V), ("NaN", NAN, V), ("infinite", INF, V), ("text", "fast", T), ("a boolean", True, T)]
bad_index = [("beyond", 4, V), ("negative", -1, V), ("a fraction", 0.5, T), ("NaN", NAN, T), ("text", "all", T), ("a boolean", True, T)]
bad_start = [
    ("unknown", "imag", V), ("empty", "", V), ("a number", 0, T), ("nothing", None, T), ("rank 3", IMAGES[0], V),
    ("integers", IMAGES.long(), T), ("another size", IMAGES[..., 1:], V), ("another channel count", IMAGES[:, :1], V),
    ("NaN", IMAGES * NAN, V), ("no images", IMAGES[:0], V),
]  # fmt: skip


def bad_tensor(good: torch.Tensor, *, finite: bool = True) -> list[tuple]:
    cases = [
        ("no tensor", good.tolist(), T), ("one axis less", good[0], V), ("one axis more", good[None], V), ("integers", good.long(), T),
        ("booleans", good > 0.5, T), ("complex", good.to(torch.complex64), T), ("none", good[:0], V), ("no pixels", good[..., :0], V),
        ("nothing", None, T),
    ]  # fmt: skip
    return cases + [("NaN", good * NAN, V), ("infinite", good * INF + INF, V)] if finite else cases


def bad_labels(n: int) -> list[tuple]:
    return [
        ("no tensor", KERNEL.tolist(), T), ("rank 2", KERNEL[None], V), ("fractions", KERNEL.float(), T), ("none", KERNEL[:0], V),
        ("beyond", torch.tensor([0, n]), V), ("negative", torch.tensor([0, -1]), V), ("one too many", torch.tensor([0, 1, 0]), V),
        ("booleans", KERNEL > 0, T),
    ]  # fmt: skip


fitting = [*bad_tensor(IMAGES), ("another channel count", IMAGES[:, :1], V), ("too small", IMAGES[:, :, :3], V)]
other_maps = [("fewer kernels", MAPS[:, :2], V), ("fewer units", MAPS[..., :4], V), ("fewer problems", MAPS[:1], V)]
only_one = [case for case in fitting if case[0] != "one axis less"] + [("two images", IMAGES, V), ("rank 3", IMAGES[0], V)]
bad_network = [*not_a_model, ("NaN at the layer", poisoned(3, "weight", NAN), V), ("NaN below it", poisoned(0, "weight", NAN), V)]

BAD = {
    ("isolate", "model"): not_a_model,
    ("isolate", "layer"): bad_layer,
    ("isolate", "kernels"): [
        *bad_index, ("one beyond", [0, 4], V), ("twice", [1, 1], V), ("empty", [], V), ("a fraction in it", [0.5], T), ("nothing", None, T),
        ("a tensor of fractions", torch.tensor([0.5]), T), ("a table", torch.tensor([[0, 1]]), T),
    ],
    ("isolate", "images"): [*fitting, ("other precision", IMAGES.double(), T)],
    ("isolate", "alpha"): bad_weight,
    ("isolate", "beta"): bad_weight,
    ("isolate", "preserve"): bad_weight,
    ("isolate", "balance"): bad_choice,
    ("isolate", "optimizer"): bad_choice,
    ("isolate", "start"): bad_start,
    ("isolate", "max_iter"): bad_count,
    ("isolate", "lr"): bad_step,
    ("isolate", "pre_activation"): bad_flag,
    ("isolate", "clamp"): [
        ("a number", 1.0, T), ("text", "valid", T), ("three", (0, 1, 2), V), ("the wrong way round", (1, 0), V), ("NaN", (NAN, 1), V),
        ("half of it", (0, None), T), ("another channel count", (torch.zeros(3), torch.ones(3)), V),
        ("a map", (torch.zeros(2, 1, 1), 1.0), V), ("integers", (torch.zeros(2).long(), 1.0), T), ("empty", (), V),
    ],
    ("isolate", "on_inactive"): bad_choice,
    ("isolate", "seed"): bad_seed,
    ("isolate", "max_bytes"): [*bad_count, ("nothing", None, T)],
    ("isolate", "progress"): bad_flag,
    ("isolate_literally", "model"): not_a_model,
    ("isolate_literally", "layer"): bad_layer,
    ("isolate_literally", "kernel"): [*bad_index, ("a list", [1], T), ("nothing", None, T)],
    ("isolate_literally", "image"): only_one,
    ("isolate_literally", "alpha"): bad_weight,
    ("isolate_literally", "beta"): bad_weight,
    ("isolate_literally", "preserve"): bad_weight,
    ("isolate_literally", "balance"): bad_choice,
    ("isolate_literally", "lr"): [*bad_step, ("nothing", None, T)],
    ("isolate_literally", "momentum"): [*bad_weight, ("above one", 1.5, V)],
    ("isolate_literally", "max_iter"): [*bad_count, ("nothing", None, T)],
    ("isolate_literally", "start"): bad_start,
    ("isolate_literally", "pre_activation"): bad_flag,
    ("isolate_literally", "seed"): bad_seed,
    ("losses", "maps"): bad_tensor(MAPS),
    ("losses", "target"): [*bad_tensor(BEFORE), *other_maps, ("a selected map of zeros", BEFORE * 0, V)],
    ("losses", "kernel"): bad_labels(3),
    ("losses", "images"): [*bad_tensor(IMAGES), ("fewer problems", IMAGES[:1], V)],
    ("losses", "balance"): bad_choice,
    ("selectivity", "maps_after"): [*bad_tensor(MAPS, finite=False), *other_maps, ("infinite", MAPS * INF, V), ("some NaN", MAPS.clone(), V)],
    ("selectivity", "maps_before"): bad_tensor(BEFORE),
    ("selectivity", "kernel"): bad_labels(3),
    ("feature_point", "model"): not_a_model,
    ("feature_point", "layer"): bad_layer,
    ("feature_point", "example"): fitting,
    ("feature_point", "pre_activation"): bad_flag,
    ("find_point", "model"): not_a_model,
    ("find_point", "layer"): bad_layer,
    ("find_point", "example"): fitting,
    ("find_point", "pre_activation"): bad_flag,
    ("colour_chart", "size"): [("one", 1, V), *bad_count, ("nothing", None, T)],
    ("map_ssim", "a"): bad_tensor(MAPS[0]),
    ("map_ssim", "b"): [*bad_tensor(BEFORE[0]), ("fewer maps", BEFORE[0, :2], V), ("fewer units", BEFORE[0, :, 1:], V)],
}  # fmt: skip
next(case for case in BAD["selectivity", "maps_after"] if case[0] == "some NaN")[1][1, 2, 3, 4] = NAN
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


def state(model: nn.Module) -> list:
    tensors = [(t.data_ptr(), t._version, t.requires_grad) for t in model.state_dict(keep_vars=True).values()]
    return [tensors, [m.training for m in model.modules()], [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]]


@pytest.mark.parametrize("name", GOOD)
def test_the_good_arguments_are_good(name):
    function, arguments = GOOD[name]
    function(**arguments)


def test_every_public_function_and_every_argument_is_tried():
    functions = {name for name in isolation.__all__ if callable(getattr(isolation, name)) and name[0].islower()}
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
@pytest.mark.parametrize(("model", "found"), [(ODD, "tensor of shape"), (TWO, "tuple")])
@pytest.mark.parametrize("call", [isolation.isolate, isolation.isolate_literally])
def test_a_layer_that_gives_no_maps_is_refused(model, found, call):
    with pytest.raises(ValueError, match=f"layer: '1' gives .*{found}.*expected a layer that gives maps"):
        call(model, "1", 0, IMAGES[:1])


@pytest.mark.bad_input
@pytest.mark.parametrize("model", bad_network[len(not_a_model) :], ids=lambda case: case[0])
def test_maps_that_are_not_finite_are_refused_before_any_step(model):
    with pytest.raises(ValueError, match="images: the maps at '4' have NaN or infinite entries"):
        isolation.isolate(model[1], "3", 0, IMAGES)


@pytest.mark.bad_input
def test_a_layer_that_is_never_run_is_refused():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 2)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="layer: 'idle' is not run"):
        isolation.isolate(Idle(), "idle", 0, IMAGES)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "value", "hint"),
    [("optimizer", "descend", "descent"), ("balance", "printd", "printed"), ("start", "gray", "grey"), ("on_inactive", "skp", "skip")],
)
def test_a_slip_of_the_pen_gets_a_suggestion(argument, value, hint):
    with pytest.raises(ValueError, match=f"{argument}: got '{value}'.*did you mean '{hint}'"):
        isolation.isolate(**{**ISOLATE, argument: value})
