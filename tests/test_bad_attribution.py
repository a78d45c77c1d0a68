"""Bad input to the attribution lens: an error that names the argument, the model unchanged; networks without rules are refused."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toy_networks import Custom, normal, stirred

from filterlens.lenses import attribution
from filterlens.lenses.attribution import METHODS, explain

NAN, INF = float("nan"), float("inf")
C, R = nn.Conv2d, nn.ReLU


def network() -> nn.Module:
    return stirred(nn.Sequential(C(2, 3, 3), R(True), C(3, 5, (2, 3)), nn.ReLU6(True), nn.Unflatten(1, (1, 5))))


MODEL = network()
IMAGES = normal(3, 2, 9, 11)
GOOD = {
    "model": MODEL, "layer": "2", "kernel": 4, "images": IMAGES, "method": "guided", "signal": "map", "scale": "peak",
    "pre_activation": False, "on_inactive": "skip", "batch_size": 2,
}  # fmt: skip
T, V = TypeError, ValueError
bad_choice = [("unknown", "guidde", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T), ("a list", ["map"], T)]
BAD = {
    "model": [("nothing", None, T), ("a name", "lenet", T), ("a tensor", IMAGES, T), ("a class", C, T), ("a function", MODEL.forward, T)],
    "layer": [
        ("unknown", "conv7", V), ("empty", "", V), ("a number", 2, T), ("a module", MODEL[2], T), ("nothing", None, T),
        ("five axes", "4", V),
    ],
    "kernel": [
        ("beyond", 5, V), ("far beyond", 10**9, V), ("negative", -1, V), ("a fraction", 0.5, T), ("NaN", NAN, T), ("text", "4", T),
        ("a boolean", True, T), ("a list", [4], T), ("nothing", None, T), ("a tensor", torch.tensor([4]), T),
    ],
    "images": [
        ("no tensor", IMAGES.tolist(), T), ("rank 3", IMAGES[0], V), ("rank 5", IMAGES[None], V), ("bytes", IMAGES.byte(), T),
        ("booleans", IMAGES > 0.5, T), ("complex", IMAGES.to(torch.complex64), T), ("no image", IMAGES[:0], V),
        ("no pixels", IMAGES[..., :0], V), ("NaN", torch.full_like(IMAGES, NAN), V),
        ("one NaN", IMAGES.masked_fill(IMAGES == IMAGES.max(), NAN), V),
        ("infinite", torch.full_like(IMAGES, INF), V), ("another channel count", IMAGES[:, :1], V), ("too small", IMAGES[..., :2, :2], V),
        ("nothing", None, T),
    ],
    "method": bad_choice, "signal": bad_choice, "scale": bad_choice, "on_inactive": bad_choice,
    "pre_activation": [("a number", 1, T), ("text", "yes", T), ("nothing", None, T)],
    "batch_size": [("zero", 0, V), ("negative", -3, V), ("a fraction", 2.5, T), ("NaN", NAN, T), ("text", "2", T), ("a boolean", True, T)],
}  # fmt: skip
CASES = [pytest.param(argument, *case[1:], id=f"{argument}-{case[0]}") for argument, cases in BAD.items() for case in cases]


def state(model: nn.Module) -> list:
    tensors = [(t.data_ptr(), t._version, t.requires_grad, t.grad) for t in model.state_dict(keep_vars=True).values()]
    return [tensors, [m.training for m in model.modules()], [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]]


def test_the_good_arguments_are_good_and_all_are_tried():
    explain(**GOOD)
    assert set(BAD) == set(GOOD)
    assert [name for name in attribution.__all__ if callable(getattr(attribution, name))] == ["explain"]


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(argument, value, error):
    MODEL.train()
    before = state(MODEL)
    with pytest.raises(error, match=rf"^{argument}\b"):
        explain(**{**GOOD, argument: value})
    assert state(MODEL) == before


@pytest.mark.bad_input
def test_a_slip_of_the_pen_gets_a_suggestion():
    with pytest.raises(ValueError, match="method: got 'guidde'.*did you mean 'guided'"):
        explain(**{**GOOD, "method": "guidde"})


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, sent):
        return 2 * sent


def gated(x: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(x) * x


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return between(torch.jit.script(gated))


def between(function) -> nn.Module:
    """A network with something unusual in the middle."""
    return stirred(Custom(lambda m, x: m.end(m.b(function(m.a(x)))), a=C(2, 3, 3), b=C(3, 5, (2, 3)), end=R()))


# what stands in the network -> (the network, what the error says)
WITHOUT_RULE = {
    "SiLU": (lambda: nn.Sequential(C(2, 3, 3), nn.SiLU(True), C(3, 5, 2), R()), r"'silu' in '1'"),
    "GELU": (lambda: nn.Sequential(C(2, 3, 3), nn.GELU(), C(3, 5, 2), R()), r"'gelu' in '1'"),
    "leaky": (lambda: nn.Sequential(C(2, 3, 3), nn.LeakyReLU(), C(3, 5, 2), R()), r"'leaky_relu' in '1'"),
    "PReLU": (lambda: nn.Sequential(C(2, 3, 3), nn.PReLU(), C(3, 5, 2), R()), r"'prelu' in '1'"),
    "hardswish": (lambda: nn.Sequential(C(2, 3, 3), nn.Hardswish(), C(3, 5, 2), R()), r"'hardswish' in '1'"),
    "tanh": (lambda: nn.Sequential(C(2, 3, 3), nn.Tanh(), C(3, 5, 2), R()), r"'tanh' in '1'"),
    "hardtanh": (lambda: nn.Sequential(C(2, 3, 3), nn.Hardtanh(), C(3, 5, 2), R()), r"hardtanh to \[-1.0, 1.0\] in '1'"),
    "GroupNorm": (lambda: nn.Sequential(C(2, 4, 3), nn.GroupNorm(2, 4), C(4, 5, 2), R()), r"'group_norm' in '1'"),
    "InstanceNorm": (
        lambda: nn.Sequential(C(2, 3, 3), nn.InstanceNorm2d(3), C(3, 5, 2), R()), "'instance_norm' in '1'",
    ),
    "batch statistics": (
        lambda: between(lambda x: F.batch_norm(x, None, None, training=True)), "batch_norm by the statistics of the batch",
    ),
    "sigmoid as a function": (lambda: between(torch.sigmoid), "'sigmoid' in its own forward"),
    "a gate": (lambda: between(lambda x: x * x.mean((2, 3), keepdim=True)), "mul of two maps"),
    "clamped": (lambda: between(lambda x: x.clamp(-1, 1)), r"clamp to \[-1, 1\]"),
    "where": (lambda: between(lambda x: torch.where(x > 0, x, 0.5 * x)), "'where'"),
    "maximum": (lambda: between(lambda x: torch.maximum(x, torch.zeros(1).double())), "'maximum'"),
    "softplus": (lambda: between(F.softplus), "'softplus'"),
    "cut off": (lambda: between(lambda x: x + x.data), "such as .data"),
    "without gradients": (lambda: between(torch.no_grad()(lambda x: x + 1)), "torch.no_grad"),
    "detached": (lambda: between(lambda x: x + x.detach()), "'detach'"),
    "an autograd function": (lambda: between(Twice.apply), "autograd.Function"),
    "a scripted function": (scripted, "torch does not show"),
}  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("method", ["deconvolution", "guided", "lrp"])
@pytest.mark.parametrize("name", WITHOUT_RULE)
def test_what_has_no_rule_is_refused_by_name(name, method):
    make, said = WITHOUT_RULE[name]
    model = stirred(make())
    before = state(model)
    with pytest.raises(ValueError, match=f"^model: .*{said}.* no rule for method '{method}'.*'gradient'"):
        explain(model, "end" if hasattr(model, "end") else "2", 1, IMAGES, method=method, on_inactive="skip")
    assert state(model) == before


@pytest.mark.bad_input
def test_what_has_no_rule_is_refused_by_name_in_single_precision():
    """LRP runs in float64, which a layer normalisation in float32 would not take."""
    model = nn.Sequential(C(2, 3, 3), nn.LayerNorm(9), C(3, 5, 2), R()).eval()
    with pytest.raises(ValueError, match="^model: 'layer_norm' in '1' has no rule for method 'lrp'"):
        explain(model, "2", 1, IMAGES.float(), method="lrp", on_inactive="skip")


@pytest.mark.parametrize("name", [name for name in WITHOUT_RULE if name != "without gradients"])
def test_the_gradient_takes_any_network(name):
    model = stirred(WITHOUT_RULE[name][0]())
    layer = "end" if hasattr(model, "end") else "3"
    found = explain(model, layer, 1, IMAGES, method="gradient", scale="raw", on_inactive="skip")
    images = IMAGES.clone().requires_grad_(True)
    (model(images)[:, 1] ** 2 / 2).sum().backward()
    active = ~found.flatten(1).isnan().any(1)
    assert bool(active.any())
    torch.testing.assert_close(found[active], images.grad[active])


@pytest.mark.bad_input
@pytest.mark.parametrize("method", METHODS)
def test_a_layer_that_is_never_run_is_refused(method):
    model = stirred(Custom(lambda m, x: m.used(x), used=C(2, 3, 3), idle=C(3, 4, 2)))
    with pytest.raises(ValueError, match="^layer: 'idle' is not run"):
        explain(model, "idle", 1, IMAGES, method=method)


@pytest.mark.bad_input
@pytest.mark.parametrize("method", METHODS)
def test_a_layer_that_gives_several_tensors_is_refused(method):
    class Both(nn.Module):
        def forward(self, x):
            return x, x

    model = stirred(Custom(lambda m, x: m.both(m.a(x))[0], a=C(2, 3, 3), both=Both()))
    with pytest.raises(ValueError, match="^layer: 'both' gives"):
        explain(model, "both", 1, IMAGES, method=method)


@pytest.mark.bad_input
@pytest.mark.parametrize("function", [torch.no_grad()(lambda x: x + 1), torch.detach, torch.zeros_like, lambda x: x.new_ones(x.shape)])
@pytest.mark.parametrize("method", METHODS)
def test_maps_that_do_not_hang_on_the_images_are_refused(function, method):
    with pytest.raises(ValueError, match="^model: "):
        explain(between(function), "end", 1, IMAGES, method=method, on_inactive="skip")
