"""Table 1's experiment removes what it says, measures what a literal loop measures, and goes on where it was stopped."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from toy_classes import four_classes

from filterlens import training
from filterlens.lenses import ranking, redundancy, simplex
from filterlens.lenses.redundancy import RemovalCurve, RemovalRow, evaluation
from filterlens.models import Normalization

torch.set_num_threads(1)
DETERMINISTIC = {"median_gm", "l1", "l2"}


def weights(k: int = 13, c: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(k, c, 3, 2, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def toy() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Two convolutions of 11 and 13 filters with batch normalisation, trained on four classes."""
    images, labels = four_classes()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = nn.Sequential(
            nn.Conv2d(2, 11, 3), nn.BatchNorm2d(11), nn.ReLU(), nn.Conv2d(11, 13, (3, 2)), nn.BatchNorm2d(13), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(13, 4),
        )  # fmt: skip
    training.fit(model, (images, labels), None, epochs=3, seed=0, optimizers=torch.optim.Adam(model.parameters(), lr=0.01), batch_size=23)
    return model.eval(), (images, labels)


def literal(model: nn.Sequential, images: Tensor, labels: Tensor, removed: dict[str, list[int]]) -> float:
    """Accuracy with channels multiplied by zero after normalisation and activation, image by image."""
    right = 0
    with torch.no_grad():
        for image, label in zip(images, labels, strict=True):
            x, gone = image[None], []
            for name, layer in model.named_children():
                x, gone = layer(x), removed.get(name, gone)
                if isinstance(layer, nn.ReLU):
                    x[:, gone] = 0
            right += int(x.argmax() == label)
    return right / len(images)


def test_sets_are_what_their_definitions_say() -> None:
    weight = weights()
    flat = weight.flatten(1).double()
    found = simplex.positional_relevance(weight, seed=3)
    assert torch.equal(redundancy.chosen(weight, "archetypes", 4, seed=3), found.needed(4))
    assert torch.equal(redundancy.chosen(weight, "median_l0", 4, seed=3), found.redundant(4))
    sums = torch.stack([torch.stack([(a - b).norm() for b in flat]).sum() for a in flat])
    assert redundancy.chosen(weight, "median_gm", 4).tolist() == sums.argsort()[:4].tolist()
    assert redundancy.chosen(weight, "l1", 5).tolist() == flat.abs().sum(1).argsort()[:5].tolist()
    assert redundancy.chosen(weight, "l2", 5).tolist() == flat.square().sum(1).argsort()[:5].tolist()
    drawn = [redundancy.chosen(weight, "random", 5, seed=seed).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for which, of in (("matched_archetypes", "archetypes"), ("matched_median", "median_gm")):
        there, control = (redundancy.chosen(weight, name, 4, seed=3) for name in (of, which))
        assert not set(there.tolist()) & set(control.tolist()) and len(set(control.tolist())) == 4
        assert torch.equal(control, ranking.norm_matched(weight, there, seed=3))


def test_archetypes_of_a_planted_cloud_are_its_vertices() -> None:
    draw = torch.Generator().manual_seed(5)
    vertices = torch.randn(4, 18, generator=draw, dtype=torch.float64)
    codes = torch.distributions.Dirichlet(torch.ones(4, dtype=torch.float64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        inside = codes.sample((12,)) @ vertices
    cloud = torch.cat([inside[:7], vertices, inside[7:]])
    assert sorted(redundancy.chosen(cloud, "archetypes", 4).tolist()) == [7, 8, 9, 10]
    assert not set(redundancy.chosen(cloud, "median_l0", 8).tolist()) & {7, 8, 9, 10}


@pytest.mark.parametrize("which", sorted(set(redundancy.SETS) - {"matched_archetypes", "matched_median"}))
def test_a_larger_choice_holds_the_smaller(which: str) -> None:
    weight = weights()
    small, large = (set(redundancy.chosen(weight, which, n).tolist()) for n in (3, 7))
    assert small < large and len(small) == 3
    assert redundancy.chosen(weight, which, 0).shape == (0,)


@pytest.mark.parametrize("mode", ["prune", "mask"])
def test_rows_are_what_a_literal_loop_measures(toy, mode: str) -> None:
    model, (images, labels) = toy
    before = copy.deepcopy(model.state_dict())
    curve = redundancy.removal_curve(model, (images, labels), rates=(0.0, 0.1, 0.4), seeds=[4, 2], batch_size=30, mode=mode)
    assert curve.baseline == literal(model, images, labels, {}) and curve.n_images == 92
    kinds = {which: {row.seed for row in curve.rows if row.which == which} for which in redundancy.SETS}
    assert all(seeds == ({4} if which in DETERMINISTIC else {2, 4}) for which, seeds in kinds.items())
    assert all(row.accuracy == curve.baseline and row.n_removed == 0 for row in curve.rows if row.rate == 0)
    assert {row.n_removed for row in curve.rows if row.rate == 0.1} == {1 + 1} and 0.4 in curve.rates
    accuracies = {row[:3]: row.accuracy for row in curve.rows}
    for which in ("archetypes", "median_l0", "median_gm", "l1"):
        removed = {name: redundancy.chosen(model[int(name)].weight, which, n, seed=4).tolist() for name, n in (("0", 4), ("3", 5))}
        assert accuracies[which, 0.4, 4] == literal(model, images, labels, removed)
    assert len({row.accuracy for row in curve.rows}) > 4, "a toy on which nothing matters proves nothing"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


def test_draws_differ_between_layers_of_one_size() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 2), nn.Flatten(), nn.Linear(12, 3)
    )
    from filterlens.lenses.redundancy import removal

    found = removal._Choice({name: model[int(name)].weight.detach() for name in ("0", "2", "4")}, 0.25)("random", 0.5, 0)
    assert len(set(found.values())) == 3


def test_an_interrupted_curve_goes_on_and_evaluates_only_what_is_missing(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = toy
    options = {"sets": ("random", "archetypes", "l2"), "rates": (0.0, 0.3), "seeds": (0, 1, 2)}
    whole = redundancy.removal_curve(model, images, **options)
    rows: list[RemovalRow] = []

    def stop(row: RemovalRow) -> None:
        rows.append(row)
        if len(rows) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redundancy.removal_curve(model, images, on_row=stop, **options)
    assert tuple(rows) == whole.rows[:5]
    real, passes = evaluation.Inputs.accuracy, []
    monkeypatch.setattr(evaluation.Inputs, "accuracy", lambda self, left: passes.append(1) or real(self, left))
    more: list[RemovalRow] = []
    resumed = redundancy.removal_curve(model, images, on_row=more.append, done=rows, **options)
    assert resumed.rows == whole.rows and resumed.baseline == whole.baseline and more == list(whole.rows[5:])
    assert len(passes) <= sum(row.rate > 0 for row in more)
    passes.clear()
    redundancy.removal_curve(model, images, done=whole.rows, **options)
    assert not passes


def test_the_same_filters_are_evaluated_once(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = toy
    real, passes = evaluation.Inputs.accuracy, []
    monkeypatch.setattr(evaluation.Inputs, "accuracy", lambda self, left: passes.append(1) or real(self, left))
    redundancy.removal_curve(model, images, sets=("l2", "median_gm"), rates=(0.0, 0.01, 0.02, 0.2, 0.201), seeds=[0])
    assert len(passes) <= 1 + 2  # nothing goes at 1 and 2 %, and as many at 20.1 as at 20 %


def test_images_are_normalized_once_and_as_asked(toy) -> None:
    model, (images, labels) = toy
    own = Normalization(mean=(0.4, 0.6), std=0.25)
    curve = redundancy.removal_curve(model, (images, labels), sets=["l2"], rates=[0.0, 0.4], seeds=[0], normalization=own, batch_size=17)
    removed = {name: redundancy.chosen(model[int(name)].weight, "l2", n).tolist() for name, n in (("0", 4), ("3", 5))}
    expected = [literal(model, own.apply(images), labels, {}), literal(model, own.apply(images), labels, removed)]
    assert [row.accuracy for row in curve.rows] == expected != [literal(model, images, labels, {}), literal(model, images, labels, removed)]


def test_images_that_do_not_fit_are_normalized_anew(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = toy
    options = {"sets": ("l2", "random"), "rates": (0.0, 0.3), "seeds": [0]}
    kept = redundancy.removal_curve(model, images, **options)
    monkeypatch.setattr(evaluation, "MAX_BYTES", 100)
    assert redundancy.removal_curve(model, images, batch_size=7, **options).rows == kept.rows


def test_named_layers_alone_lose_filters(toy) -> None:
    model, (images, labels) = toy
    curve = redundancy.removal_curve(model, (images, labels), sets=["l1"], rates=[0.4], seeds=[0], layers=["3"])
    (row,) = curve.rows
    assert row.n_removed == 5
    assert row.accuracy == literal(model, images, labels, {"3": redundancy.chosen(model[3].weight, "l1", 5).tolist()})


def grouped() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A convolution with two groups between two without."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 3, groups=2), nn.ReLU(), nn.Conv2d(10, 7, 2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 4),
        )  # fmt: skip
    return model.eval(), four_classes()


def test_layers_with_groups_are_left_out() -> None:
    model, images = grouped()
    curve = redundancy.removal_curve(model, images, sets=["l1"], rates=[0.5], seeds=[0], mode="mask")
    assert ranking.removable(model, example=images[0][:1]) == ["0", "2", "4"] and [row.n_removed for row in curve.rows] == [4 + 4]


def made_up() -> RemovalCurve:
    rows = [RemovalRow("archetypes", 0.0, seed, 0.9, 0) for seed in range(3)] + [RemovalRow("median_gm", 0.0, 0, 0.9, 0)]
    rows += [RemovalRow("archetypes", 0.1, seed, accuracy, 3) for seed, accuracy in enumerate((0.5, 0.6, 0.8))]
    rows += [RemovalRow("median_gm", 0.1, 0, 0.7, 3)]
    rows += [RemovalRow("matched_archetypes", rate, seed, 0.6, 3) for rate in (0.0, 0.1) for seed in range(3)]
    return RemovalCurve(tuple(rows), 0.9, 50)


def test_mean_and_spread_are_over_seeds() -> None:
    curve = made_up()
    assert curve.rates == (0.0, 0.1) and curve.sets == ("archetypes", "median_gm", "matched_archetypes")
    assert curve.mean("archetypes").tolist() == pytest.approx([0.9, 1.9 / 3])
    assert curve.std("archetypes").tolist() == pytest.approx([0, 0.15275252], abs=1e-8)
    assert curve.std("median_gm").tolist() == [0, 0]
    last = curve.table.iloc[1]
    assert (last["which"], last["rate"], last["runs"], last["n_removed"]) == ("archetypes", 0.1, 3, 3)


def test_the_verdict_is_the_difference_seed_by_seed() -> None:
    told = redundancy.verdict(made_up())
    assert list(told["rate"]) == [0.1, 0.1]
    first, second = (told.iloc[at] for at in range(2))
    assert (first["more"], first["less"], first["runs"]) == ("median_gm", "archetypes", 3)
    assert first["difference"] == pytest.approx(0.2 / 3) and first["std"] == pytest.approx(0.15275252)
    assert first["share"] == pytest.approx(2 / 3) and first["holds"]
    assert (second["more"], second["less"]) == ("matched_archetypes", "archetypes") and not second["holds"]


def test_where_nothing_was_removed_nothing_is_said() -> None:
    rows = [RemovalRow(*row[:4], 0 if row.rate == 0.1 else row.n_removed) for row in made_up().rows]
    rows += [RemovalRow(which, 0.5, 0, 0.5, 6) for which in ("archetypes", "median_gm", "matched_archetypes")]
    told = redundancy.verdict(RemovalCurve(tuple(rows), 0.9, 50))
    assert list(told["n_removed"]) == [0, 0, 6, 6]
    assert list(told["holds"].isna()) == [True, True, False, False] and told["holds"][2:].all()


def test_a_table_of_rows_is_read_as_the_same_curve() -> None:
    curve = made_up()
    frame = pd.DataFrame(curve.rows).assign(model="toy", n_images=50)
    again = RemovalCurve.of(frame)
    assert again.rows == curve.rows and (again.baseline, again.n_images) == (0.9, 50)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (([1.0], "l1", 1), {}, TypeError, "weight"),
        ((torch.zeros(3, 2, 2), "l1", 1), {}, ValueError, "weight"),
        ((torch.zeros(4, 2, dtype=torch.int64), "l1", 1), {}, TypeError, "weight"),
        ((torch.full((4, 2), torch.nan), "l1", 1), {}, ValueError, "weight"),
        ((torch.empty(0, 2), "l1", 1), {}, ValueError, "weight"),
        ((weights(), "L1", 1), {}, ValueError, "which.*did you mean|which"),
        ((weights(), 1, 1), {}, TypeError, "which"),
        ((weights(), "l1", 13), {}, ValueError, "n: got 13"),
        ((weights(), "l1", -1), {}, ValueError, "n: got -1"),
        ((weights(), "l1", 1.0), {}, TypeError, "n: got"),
        ((weights(), "matched_median", 7), {}, ValueError, "n: got 7, expected at most 6"),
        ((weights(), "random", 1), {"seed": -1}, ValueError, "seed"),
        ((weights(), "archetypes", 1), {"fraction": 0}, ValueError, "fraction"),
        ((weights(), "archetypes", 1), {"fraction": "all"}, TypeError, "fraction"),
        ((weights(), "archetypes", 1), {"ranking": "positional"}, TypeError, "ranking"),
        ((weights(), "archetypes", 1), {"ranking": ranking.rank(weights(9), "l1")}, ValueError, "ranking: got one of 9"),
    ],
)
def test_chosen_refuses(arguments, options, error, said) -> None:
    with pytest.raises(error, match=said):
        redundancy.chosen(*arguments, **options)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"model": "lenet"}, TypeError, "model"),
        ({"images": torch.zeros(3, 2, 9, 8)}, TypeError, "images"),
        ({"images": (torch.zeros(3, 2, 9), torch.zeros(3, dtype=torch.int64))}, ValueError, "images"),
        ({"images": (torch.full((3, 2, 9, 8), torch.nan), torch.zeros(3, dtype=torch.int64))}, ValueError, "images"),
        ({"images": (torch.zeros(3, 2, 9, 8), torch.zeros(3))}, TypeError, "images: labels"),
        ({"images": (torch.zeros(3, 2, 9, 8), torch.full((3,), 4))}, ValueError, "images: got labels up to 4"),
        ({"images": (torch.zeros(3, 5, 9, 8), torch.zeros(3, dtype=torch.int64))}, ValueError, "images"),
        ({"images": (torch.zeros(0, 2, 9, 8), torch.zeros(0, dtype=torch.int64))}, ValueError, "images"),
        ({"sets": ("archetype",)}, ValueError, "sets.*did you mean 'archetypes'"),
        ({"sets": "random"}, TypeError, "sets"),
        ({"sets": ()}, ValueError, "sets: got none"),
        ({"sets": ("l1", "l1")}, ValueError, "sets: got one twice"),
        ({"rates": (1.0,)}, ValueError, "rates"),
        ({"rates": (-0.1,)}, ValueError, "rates"),
        ({"rates": ("half",)}, TypeError, "rates"),
        ({"rates": 0.1}, TypeError, "rates"),
        ({"rates": (float("nan"),)}, ValueError, "rates"),
        ({"rates": (0.6,)}, ValueError, "rates: got 0.6, which takes more than half"),
        ({"seeds": ()}, ValueError, "seeds"),
        ({"seeds": (0.5,)}, TypeError, "seeds"),
        ({"seeds": (-1,)}, ValueError, "seeds"),
        ({"layers": ["1"]}, ValueError, "layers"),
        ({"layers": ["7"]}, ValueError, "layers"),
        ({"layers": []}, ValueError, "layers"),
        ({"layers": "0"}, TypeError, "layers"),
        ({"fraction": 0.0}, ValueError, "fraction"),
        ({"fraction": 1.5}, ValueError, "fraction"),
        ({"normalization": 255}, TypeError, "normalization"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"example": torch.zeros(2, 9, 8)}, ValueError, "example"),
        ({"example": torch.zeros(1, 7, 9, 8)}, ValueError, "example"),
        ({"mode": "cut"}, ValueError, "mode"),
        ({"on_row": "print"}, TypeError, "on_row"),
        ({"done": 3}, TypeError, "done"),
        ({"done": [("l1", 0.1)]}, TypeError, "done"),
        ({"model": grouped()[0], "layers": ["4", "2"], "mode": "mask"}, ValueError, "layers: '2' has 2 groups"),
        ({"model": grouped()[0], "rates": (0.0, 0.2, 0.4)}, ValueError, "mode: 'prune' does not take.*expected other layers or 'mask'"),
    ],
)
def test_removal_curve_refuses_before_any_pass(toy, monkeypatch, options, error, said) -> None:
    monkeypatch.setattr(evaluation.Inputs, "accuracy", lambda *_: pytest.fail("a pass was started"))
    model, images = toy
    with pytest.raises(error, match=said):
        redundancy.removal_curve(**{"model": model, "images": images, **options})


@pytest.mark.bad_input
def test_results_refuse_what_was_not_measured() -> None:
    curve = made_up()
    for call, error, said in (
        (lambda: curve.mean("l1"), ValueError, "which"),
        (lambda: curve.std(3), TypeError, "which"),
        (lambda: curve.accuracies("archetypes", 0.3), ValueError, "rate"),
        (lambda: redundancy.verdict(curve.rows), TypeError, "curve"),
        (lambda: redundancy.verdict(RemovalCurve(curve.rows[:1], 0.9, 50)), ValueError, "curve"),
        (lambda: RemovalCurve.of(curve.rows), TypeError, "rows"),
        (lambda: RemovalCurve.of(pd.DataFrame(curve.rows)), ValueError, r"rows: got a table without \['n_images'\]"),
        (lambda: RemovalCurve.of(pd.DataFrame(curve.rows[4:8]).assign(n_images=5)), ValueError, "rows: got none in which nothing"),
        (lambda: RemovalCurve.of(pd.DataFrame(curve.rows[:7]).assign(n_images=5)), ValueError, "'median_gm' at the rate 0.1 with"),
        (lambda: RemovalCurve.of(pd.DataFrame(curve.rows[:-1]).assign(n_images=5)), ValueError, r"seeds \[0, 1\], expected \[0, 1, 2\]"),
    ):
        with pytest.raises(error, match=said):
            call()
