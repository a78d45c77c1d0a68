"""Four methods' images fed back and measured alike: the rows are those of the lenses, pair by pair; bad input is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from toy_networks import normal
from torch import Tensor, nn

from filterlens.lenses import methods
from filterlens.lenses.attribution import explain
from filterlens.lenses.isolation import InactiveKernelError, isolate, selectivity
from filterlens.lenses.methods import MEASURES, METHODS, TERMS, MethodRow, TermRow

torch.set_num_threads(1)
FEW = {"max_iter": 6, "beta": 0.01}
NAN, T, V = float("nan"), TypeError, ValueError


def network() -> nn.Module:
    """Two convolutions with in-place activations; kernel 5 of the second never fires, kernel 3 only on bright images."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU6(True), nn.Conv2d(4, 7, (2, 3)), nn.ReLU(True)).double().eval()
    with torch.no_grad():
        model[2].bias[:5] = 0.3
        model[2].weight[5], model[2].bias[5] = 0.0, -1.0
        model[0].weight[3], model[0].bias[3] = 1.0, 0.0
        model[2].weight[3], model[2].bias[3] = 0.0, -1.0
        model[2].weight[3, 3] = 1.0
    return model


MODEL = network()
IMAGES = normal(3, 2, 12, 14)
IMAGES[1] = -3 * IMAGES[1].abs()  # dark: the fourth kernel is inactive on it


def maps(images: Tensor) -> Tensor:
    with torch.no_grad():
        return MODEL(images.clone())


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def alike(rows: list, others: list) -> bool:
    return len(rows) == len(others) and all(
        same(x, y) if isinstance(x, float) else x == y
        for row, other in zip(rows, others, strict=True)
        for x, y in zip(row, other, strict=True)
    )


# What the rows are


def test_the_fixture_has_active_and_inactive_pairs():
    active = maps(IMAGES).abs().sum((2, 3)) > 0
    assert active[:, 5].tolist() == [False] * 3 and active[:, 3].tolist() == [True, False, True] and active[:, 1].all()


def test_activity_is_the_mean_of_the_map():
    found = methods.activity(MODEL, "2", IMAGES)
    assert torch.allclose(found, maps(IMAGES).abs().mean((2, 3))) and found.shape == (3, 7)
    before = methods.activity(MODEL, "2", IMAGES, pre_activation=True)
    assert (before[:, 5] == 1).all() and (before >= found).all()
    many = IMAGES.repeat(7, 1, 1, 1)
    assert torch.allclose(methods.activity(MODEL, "2", many), found.repeat(7, 1))


def test_active_kernels_are_drawn_among_those_active_on_every_image():
    able = torch.nonzero((maps(IMAGES).abs().sum((2, 3)) > 0).all(0))[:, 0].tolist()
    assert 3 not in able and 5 not in able and len(able) >= 4
    draws = [methods.active_kernels(MODEL, "2", IMAGES, 2, seed=seed) for seed in range(40)]
    assert {kernel for draw in draws for kernel in draw} == set(able)
    assert all(draw == sorted(set(draw)) and len(draw) == 2 for draw in draws)
    assert draws[0] == methods.active_kernels(MODEL, "2", IMAGES, 2)
    assert methods.active_kernels(MODEL, "2", IMAGES, len(able)) == able
    assert 3 in methods.active_kernels(MODEL, "2", IMAGES[:1], len(able) + 1)
    with pytest.raises(ValueError, match=rf"n: got 7, expected at most {len(able)}: .* all 3 images"):
        methods.active_kernels(MODEL, "2", IMAGES, 7)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_those_of_the_lenses(method: str):
    found = methods.method_input(MODEL, "2", 1, IMAGES, method=method, scale="range", **FEW)
    if method == "isolation":
        expected = isolate(MODEL, "2", 1, IMAGES, **FEW).images
    else:
        expected = explain(MODEL, "2", 1, IMAGES, method=method, scale="range")
    assert torch.equal(found, expected) and found.shape == IMAGES.shape and not torch.equal(found, IMAGES)


def test_the_four_inputs_differ():
    found = [methods.method_input(MODEL, "2", 1, IMAGES, method=method, **FEW) for method in METHODS]
    assert all(not torch.allclose(a, b) for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize("method", METHODS)
def test_inactive_kernels_raise_or_are_nan(method: str):
    with pytest.raises(InactiveKernelError, match="kernel 3 on image 1"):
        methods.method_input(MODEL, "2", 3, IMAGES, method=method, **FEW)
    found = methods.method_input(MODEL, "2", 3, IMAGES, method=method, on_inactive="skip", **FEW)
    assert found.flatten(1).isnan().all(1).tolist() == found.flatten(1).isnan().any(1).tolist() == [False, True, False]


@pytest.mark.parametrize("scale", ["peak", "fit"])
def test_rows_are_the_measures_of_each_method_fed_back(scale: str):
    """By kernel and image, each problem by itself and measured by hand."""
    kernels = [4, 1]
    rows = methods.measure_methods(MODEL, "2", kernels, IMAGES, scale=scale, options=FEW)
    assert [(row.method, row.kernel, row.image) for row in rows] == [(m, k, i) for m in METHODS for k in kernels for i in range(3)]
    assert {(row.method, row.scale) for row in rows} == {(m, methods.OWN_SCALE if m == "isolation" else scale) for m in METHODS}
    for row in rows:
        image = IMAGES[row.image : row.image + 1]
        given = methods.method_input(MODEL, "2", row.kernel, image, method=row.method, scale=scale, **FEW)
        found = selectivity(maps(given), maps(image), torch.tensor([row.kernel]))
        assert all(same(getattr(row, name), float(getattr(found, name))) for name in MEASURES)
        assert row.layer == "2" and math.isnan(row.loss) == (row.method != "isolation")
        if row.method == "isolation":
            assert same(row.loss, float(isolate(MODEL, "2", row.kernel, image, **FEW).best))


def test_before_the_activation_the_maps_are_the_layers_own():
    before = {"options": FEW, "pre_activation": True}
    for row in methods.measure_methods(MODEL, "2", 1, IMAGES, **before):
        image = IMAGES[row.image : row.image + 1]
        given = methods.method_input(MODEL, "2", 1, image, method=row.method, pre_activation=True, **FEW)
        with torch.no_grad():
            found = selectivity(MODEL[:3](given), MODEL[:3](image), torch.tensor([1]))
        assert all(same(getattr(row, name), float(getattr(found, name))) for name in MEASURES)
    ablated = methods.ablate_terms(MODEL, "2", 1, IMAGES, terms="Lp+Ls+Lr", **before)
    own = isolate(MODEL, "2", 1, IMAGES, pre_activation=True, **FEW)
    assert all(same(row.mse_rest, rest) for row, rest in zip(ablated, own.measure().mse_rest.tolist(), strict=True))


def test_inactive_pairs_are_rows_of_nan_and_the_others_are_not_touched():
    rows = methods.measure_methods(MODEL, "2", [5, 3, 1], IMAGES, options=FEW)
    for row in rows:
        silent = row.kernel == 5 or (row.kernel == 3 and row.image == 1)
        assert all(math.isnan(getattr(row, name)) for name in MEASURES) == silent == math.isnan(row.mse_selected)
    alone = methods.measure_methods(MODEL, "2", 1, IMAGES, options=FEW)
    assert alike([row for row in rows if row.kernel == 1], alone)


def test_the_model_and_the_images_are_left_as_they_were():
    model, images = network().train(), IMAGES.clone()
    model[0].weight.requires_grad_(False)
    before = [(p.clone(), p.requires_grad, p.grad) for p in model.parameters()]
    methods.measure_methods(model, "2", [1, 4], images, options=FEW)
    with pytest.raises(InactiveKernelError):
        methods.method_input(model, "2", 5, images, method="guided")
    assert all(torch.equal(p, q) and p.requires_grad == r and p.grad is g for p, (q, r, g) in zip(model.parameters(), before, strict=True))
    assert model.training and torch.equal(images, IMAGES) and not any(m._forward_hooks or m._backward_hooks for m in model.modules())


# Going on from what is there


@pytest.mark.parametrize("kept", [slice(0, 1), slice(2, 9), slice(3, 20, 2), slice(0, 24)])
def test_rows_that_are_done_are_not_made_again(kept: slice):
    """Done rows are marked, so that one made anew would show."""
    whole = methods.measure_methods(MODEL, "2", [4, 1], IMAGES, options=FEW)
    marked = [row._replace(loss=123.0) for row in whole[kept]]
    fresh: list[MethodRow] = []
    rows = methods.measure_methods(MODEL, "2", [4, 1], IMAGES, options=FEW, done=marked, on_row=fresh.append)
    assert len(fresh) == len(whole) - len(marked) and rows[kept] == marked
    there = {row[:5]: row for row in marked}
    assert alike(rows, [there.get(row[:5], row) for row in whole])
    assert alike(sorted(fresh), sorted(row for row in whole if row[:5] not in there))


def test_rows_of_another_scale_are_not_taken():
    peak = methods.measure_methods(MODEL, "2", 1, IMAGES, methods=["lrp"], scale="peak")
    fresh: list[MethodRow] = []
    methods.measure_methods(MODEL, "2", 1, IMAGES, methods=["lrp"], scale="raw", done=peak, on_row=fresh.append)
    assert len(fresh) == 3 and not same(fresh[0].mse_selected, peak[0].mse_selected)


# Ablation


def test_terms_are_switched_off_one_by_one():
    options = {"max_iter": 40, "beta": 0.05, "alpha": 1.5}
    rows = methods.ablate_terms(MODEL, "2", [4, 1], IMAGES, options=options)
    assert [(row.terms, row.kernel, row.image) for row in rows] == [(t, k, i) for t in TERMS for k in (4, 1) for i in range(3)]
    off = {"Lp+Ls": {"beta": 0.0}, "Lp+Lr": {"alpha": 0.0}, "Lp+Ls+Lr": {}}
    assert list(TERMS) == list(off)
    for name, changed in off.items():
        found = isolate(MODEL, "2", [4, 1], IMAGES, **{**options, **changed})
        mine = [row for row in rows if row.terms == name]
        assert all(same(row.loss, best) for row, best in zip(mine, found.best.tolist(), strict=True))
        assert all(same(row.mse_rest, rest) for row, rest in zip(mine, found.measure().mse_rest.tolist(), strict=True))
    loud = {name: sum(row.mse_rest for row in rows if row.terms == name) for name in TERMS}
    assert loud["Lp+Lr"] > 1.2 * max(loud["Lp+Ls"], loud["Lp+Ls+Lr"]), "nothing suppressed"


def test_ablation_goes_on_from_what_is_there():
    whole = methods.ablate_terms(MODEL, "2", [1, 4], IMAGES, options=FEW)
    fresh: list[TermRow] = []
    rows = methods.ablate_terms(MODEL, "2", [1, 4], IMAGES, options=FEW, done=whole[4:9], on_row=fresh.append)
    assert alike(rows, whole) and len(fresh) == len(whole) - 5 and all(isinstance(row, TermRow) for row in fresh)
    only = methods.ablate_terms(MODEL, "2", 1, IMAGES, options=FEW, terms="Lp+Lr")
    assert alike(only, [row for row in whole if row.terms == "Lp+Lr" and row.kernel == 1])


# Summary


def test_summary_counts_what_has_no_number():
    table = pd.DataFrame({
        "method": ["b", "a", "b", "b", "a"], "depth": [2, 1, 2, 2, 1], "ssim": [1.0, 0.5, 3.0, NAN, 0.25], "mse_rest": [8.0, 1.0, 1.0, 2.0, 3.0],
    })  # fmt: skip
    found = methods.summary(table, ["method", "depth"])
    assert list(found) == ["mean", "std", "median", "n", "n_nan"] and list(found.index.names) == ["method", "depth", "measure"]
    assert list(found.index) == [("b", 2, "ssim"), ("a", 1, "ssim"), ("b", 2, "mse_rest"), ("a", 1, "mse_rest")]
    assert found.loc[("b", 2, "ssim")].tolist() == [2.0, math.sqrt(2), 2.0, 2, 1]
    assert found.loc[("b", 2, "mse_rest")].tolist()[2:] == [2.0, 3, 0]
    assert methods.summary(table, "method", measures=["ssim"]).loc[("a", "ssim"), "mean"] == 0.375
    assert found["n"].sum() + found["n_nan"].sum() == 2 * len(table)


def test_summary_of_rows():
    rows = methods.measure_methods(MODEL, "2", [3, 1], IMAGES, options=FEW)
    found = methods.summary(pd.DataFrame(rows), "method")
    assert list(found.index) == [(method, measure) for measure in MEASURES for method in METHODS]
    assert (found.loc[pd.IndexSlice[:, "mse_rest"], "n"] == 5).all() and (found["n"] + found["n_nan"] == 6).all()
    expected = [row.mse_rest for row in rows if row.method == "lrp" and not math.isnan(row.mse_rest)]
    assert found.loc[("lrp", "mse_rest"), "mean"] == pytest.approx(sum(expected) / len(expected))


# Bad input

bad_model = [("nothing", None, T), ("a name", "lenet", T), ("a class", nn.Conv2d, T)]
bad_layer = [("unknown", "conv7", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T)]
bad_images = [
    ("no tensor", IMAGES.tolist(), T), ("rank 3", IMAGES[0], V), ("rank 5", IMAGES[None], V), ("bytes", IMAGES.byte(), T),
    ("no image", IMAGES[:0], V), ("no pixels", IMAGES[..., :0], V), ("NaN", torch.full_like(IMAGES, NAN), V),
    ("another channel count", IMAGES[:, :1], V), ("too small", IMAGES[..., :2, :2], V), ("nothing", None, T),
]  # fmt: skip
bad_kernel = [("beyond", 7, V), ("negative", -1, V), ("a fraction", 0.5, T), ("NaN", NAN, T), ("text", "4", T), ("nothing", None, T)]
bad_kernels = [*bad_kernel, ("none", [], V), ("twice", [1, 1], V)]
bad_flag = [("a number", 1, T), ("text", "yes", T), ("nothing", None, T)]
bad_choice = [("unknown", "guidde", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T)]
bad_several = [("unknown", ["guidde"], V), ("none", [], V), ("a number", 2, T), ("nothing", None, T), ("numbers", [1], T)]
bad_options = [("a list", ["beta"], T), ("unknown", {"betta": 1}, T), ("text", "beta", T), ("another's", {"progress": True}, T)]
bad_done = [("text", "rows", T), ("a number", 2, T), ("numbers", [1], T), ("nothing", None, T), ("tuples", [("2", "lrp")], T)]
bad_function = [("text", "print", T), ("a number", 2, T)]
TABLE = pd.DataFrame({"method": ["a", "b"], "ssim": [0.5, 1.0], "text": ["x", "y"]})
SHARED = {"model": bad_model, "layer": bad_layer, "images": bad_images, "pre_activation": bad_flag}
RUN = {**SHARED, "kernels": bad_kernels, "options": bad_options, "on_row": bad_function, "done": bad_done, "progress": bad_flag}
GOOD = {"model": MODEL, "layer": "2", "images": IMAGES}
BAD: dict[Callable, tuple[dict, dict]] = {
    methods.activity: (GOOD, SHARED),
    methods.active_kernels: (
        {**GOOD, "n": 2},
        {**SHARED, "n": [("zero", 0, V), ("too many", 8, V), ("a fraction", 1.5, T), ("nothing", None, T)],
         "seed": [("negative", -1, V), ("a fraction", 0.5, T), ("nothing", None, T)]},
    ),
    methods.method_input: (
        {**GOOD, "kernel": 1, "method": "isolation"},
        {**SHARED, "kernel": bad_kernel, "method": bad_choice, "scale": bad_choice, "on_inactive": bad_choice,
         "options": [("unknown", 3, T)]},
    ),
    methods.measure_methods: ({**GOOD, "kernels": [1, 4]}, {**RUN, "methods": bad_several, "scale": bad_choice}),
    methods.ablate_terms: ({**GOOD, "kernels": [1, 4]}, {**RUN, "terms": bad_several}),
    methods.summary: (
        {"rows": TABLE, "by": "method"},
        {"rows": [("nothing", None, T), ("a list", [1], T), ("empty", TABLE[:0], V), ("no measures", TABLE[["method"]], V)],
         "by": [("unknown", "methode", V), ("none", [], V), ("a number", 2, T), ("nothing", None, T), ("twice", ["method", "method"], V),
                ("a measure", "ssim", V)],
         "measures": [("unknown", ["sim"], V), ("none", [], V), ("a number", 2, T), ("text", ["text"], T)]},
    ),
}  # fmt: skip
CASES = [
    pytest.param(function, argument, value, error, id=f"{function.__name__}-{argument}-{case}")
    for function, (_, arguments) in BAD.items() for argument, cases in arguments.items() for case, value, error in cases
    if not (argument == "measures" and value is None)
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("function", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_name(function, argument, value, error, monkeypatch: pytest.MonkeyPatch):
    def work(*_, **__):
        raise AssertionError("work was begun")

    if function in (methods.measure_methods, methods.ablate_terms):
        monkeypatch.setattr("filterlens.lenses.methods.compare.isolate", work)
        monkeypatch.setattr("filterlens.lenses.methods.compare.explain", work)
    with pytest.raises(error, match=rf"^{argument}\b"):
        function(**{**BAD[function][0], argument: value})


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "options", [{"beta": -1}, {"max_iter": 0}, {"balance": "men"}, {"optimizer": "sgd"}, {"lr": NAN}, {"start": "here"}]
)
def test_values_of_options_are_refused_by_the_lens(options: dict):
    with pytest.raises(ValueError, match=rf"^{next(iter(options))}\b"):
        methods.measure_methods(MODEL, "2", 1, IMAGES, options=options)
