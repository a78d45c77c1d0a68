"""Figures of the simplex lens draw what the results say: heights, places, labels and texts, never pixels of a whole picture."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from read_figures import legend, texts, ticks

from filterlens.figures import simplex as figures
from filterlens.lenses.simplex import archetypal_analysis
from filterlens.lenses.simplex.prewitt import prewitt_response

torch.set_num_threads(1)
K, D, C = 12, 4, 3
WEIGHT = torch.randn(K, C, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FOUND = archetypal_analysis(WEIGHT.flatten(1).T, D)
L0 = (FOUND.A > 1e-4).sum(0)
RANKING = SimpleNamespace(archetypes=FOUND, codes=FOUND.A, l0=L0, entropy=torch.linspace(0, 1, K).double(), tau=1e-4, d=D)
GROUPED = SimpleNamespace(archetypes=(FOUND, FOUND), codes=None, l0=L0)
PLANE = torch.tensor([[0.0, 4, 1, 1.5, 2], [0, 0.5, 3, 1, 1]], dtype=torch.float64)
PHOTOGRAPHS = torch.rand(2, 3, 12, 14, generator=torch.Generator().manual_seed(1))
WITHOUT_FILTERS = ("without_median", "without_archetypes", "without_random")


@pytest.fixture
def row():
    """Makes a row, or a table, of axes."""
    made = []

    def make(*shape: int) -> np.ndarray:
        figure, axes = plt.subplots(*(shape if len(shape) == 2 else (1, *shape)), squeeze=False)
        made.append(figure)
        return axes if len(shape) == 2 else axes[0]

    yield make
    for figure in made:
        plt.close(figure)


def lines(ax) -> dict:
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


# one layer


def test_simplex_sketch_shades_the_span_of_the_archetypes(ax):
    found = archetypal_analysis(PLANE, 3, restarts=3)
    assert figures.simplex_sketch(PLANE, found, ax) is ax
    corners = {tuple(np.round(corner, 6)) for corner in found.D.T.numpy()}
    assert {tuple(np.round(corner, 6)) for corner in ax.patches[0].get_xy()} == corners
    points, marked = ax.collections
    assert np.allclose(points.get_offsets(), PLANE.T) and np.allclose(marked.get_offsets(), found.D.T)
    assert legend(ax) == ["5 points", "3 archetypes", "their convex mixtures"] and ax.get_title() == "3 archetypes of 5 points"


def test_simplex_sketch_of_archetypes_on_one_line(ax):
    figures.simplex_sketch(PLANE, torch.tensor([[2.0, 0, 1], [2, 0, 1]]), ax)
    assert {tuple(corner) for corner in ax.patches[0].get_xy()} == {(0, 0), (1, 1), (2, 2)}


def test_prewitt_draws_the_maps_in_one_scale_with_their_operators(row):
    image = torch.rand(9, 8, generator=torch.Generator().manual_seed(2))
    response, axes = prewitt_response(image, 0.25), row(4)
    figures.prewitt(response, axes)
    assert [ax.get_title() for ax in axes] == ["image", "x: from left to right", "y: from top to bottom", "z = 0.25 x + 0.75 y"]
    assert np.allclose(axes[0].images[0].get_array(), image)
    for ax, values, kernel in zip(axes[1:], response.maps, response.filters, strict=True):
        assert np.allclose(ax.images[0].get_array(), values) and np.allclose(ax.child_axes[0].images[0].get_array(), kernel[0])
    assert len({ax.images[0].get_clim() for ax in axes[1:]}) == 1


@pytest.mark.parametrize("colour", ["l0", "entropy", "norm"])
def test_cloud_shows_the_filters_on_their_principal_components(ax, colour):
    figures.cloud(RANKING, ax, weight=WEIGHT, colour=colour, components=(1, 3))
    X = WEIGHT.flatten(1).numpy()
    centred = X - X.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    chosen = vectors[:, [-2, -4]]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(0), [0, 1]])
    filters, corners = ax.collections[:2]
    assert np.allclose(filters.get_offsets(), centred @ chosen) and np.allclose(
        corners.get_offsets(), (FOUND.D.T.numpy() - X.mean(0)) @ chosen
    )
    expected = {"l0": L0, "entropy": RANKING.entropy, "norm": WEIGHT.flatten(1).norm(dim=1)}[colour]
    assert np.allclose(filters.get_array(), expected)
    share = 100 * values / values.sum()
    assert ax.get_xlabel() == f"component 2 ({share[-2]:.1f} %)" and ax.get_ylabel() == f"component 4 ({share[-4]:.1f} %)"
    assert ax.get_title() == f"12 filters, 4 archetypes; {share[-2] + share[-4]:.1f} % of the variance"
    assert legend(ax) == ["filters", "archetypes", "outline of the archetypes"]
    outline = np.stack(lines(ax)["outline of the archetypes"].get_data(), 1)
    assert np.allclose(outline[0], outline[-1]) and all(np.isclose(corners.get_offsets(), at).all(1).any() for at in outline)


def test_cloud_of_archetypes_alone_and_of_duplicates(ax):
    figures.cloud(FOUND, ax, weight=WEIGHT.flatten(1), colour="norm", colourbar=False)
    assert len(ax.figure.axes) == 1
    same = torch.ones(5, 2, 1, 3)
    figures.cloud(archetypal_analysis(same.flatten(1).T, 2), ax, weight=same, colour="norm", colourbar=False)
    assert ax.get_title().endswith("0.0 % of the variance")


def test_code_bars_are_the_shares_largest_first(ax):
    filter = int(L0.argmax())
    figures.code_bars(RANKING, ax, filter)
    code = FOUND.A[:, filter]
    used = code[code > 0].sort(descending=True).values
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(used.tolist())
    assert ticks(ax.xaxis) == [str(int(j)) for j in code.argsort(descending=True)[: len(used)]]
    assert ax.get_title() == f"filter {filter}: {int(L0[filter])} of 4 archetypes"
    ax.clear()
    figures.code_bars(RANKING, ax, filter, top=1)
    assert len(ax.patches) == 1 and ax.get_title().endswith("of 4 archetypes, 1 largest")


def test_scores_count_the_filters_of_each_and_the_ties(ax):
    figures.scores(SimpleNamespace(l0=torch.tensor([3, 1, 1, 2, 1, 3])), ax)
    assert np.allclose([(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches], [(1, 3), (2, 1), (3, 2)])
    assert ax.get_title() == "6 filters, 3 different scores, 1 without a tie"


def test_tau_sensitivity(ax):
    l0 = torch.tensor([[5, 4, 4, 1], [2, 2, 1, 1], [1, 1, 0, 0]])
    figures.tau_sensitivity([1e-6, 1e-4, 1e-2], l0, ax, tau=1e-3)
    drawn = lines(ax)
    assert np.allclose(drawn["median"].get_ydata(), [4, 1.5, 0.5]) and ax.get_xscale() == "log"
    assert list(drawn["τ = 0.001"].get_xdata()) == [1e-3] * 2
    outer = ax.collections[0].get_paths()[0].vertices
    assert outer[:, 1].max() == 5 and outer[:, 1].min() == 0


def test_residual_by_fraction(ax):
    figures.residual_by_fraction([0.1, 0.25, 1], {"conv1": [0.9, 0.6, 0], "conv2": torch.tensor([0.8, 0.5, 0])}, ax)
    drawn = lines(ax)
    assert list(drawn) == ["25 % (paper)", "conv1", "conv2"] and np.allclose(drawn["conv2"].get_ydata(), [0.8, 0.5, 0])
    assert drawn["conv1"].get_marker() != drawn["conv2"].get_marker()


# experiments

ROWS = [("archetypes", 0.0, 0, 0.9, 0), ("archetypes", 0.1, 0, 0.5, 3), ("archetypes", 0.1, 1, 0.7, 3), ("median_gm", 0.0, 0, 0.9, 0),
        ("median_gm", 0.1, 0, 0.8, 3), ("own", 0.1, 0, 0.4, 3)]  # fmt: skip


def test_removal_curves_draw_means_and_spread_in_a_fixed_order(ax):
    figures.removal_curves(SimpleNamespace(rows=tuple(ROWS), baseline=0.9), ax)
    drawn = lines(ax)
    assert legend(ax) == list(drawn) == ["all filters", "near archetypes", "near the median (distances)", "own"]
    assert np.allclose(drawn["near archetypes"].get_data(), [[0, 0.1], [0.9, 0.6]])
    band = ax.collections[0].get_paths()[0].vertices
    assert len(ax.collections) == 1 and band[:, 1].min() == pytest.approx(0.6 - 0.02**0.5) and band[:, 1].max() == pytest.approx(0.9)
    assert drawn["near archetypes"].get_color() != drawn["near the median (distances)"].get_color() and "2 seeds" in ax.get_ylabel()


def test_removal_curves_of_a_table_and_some_sets(ax):
    table = pd.DataFrame(ROWS, columns=["which", "rate", "seed", "accuracy", "n_removed"])
    figures.removal_curves(table, ax, sets=["median_gm"])
    assert list(lines(ax)) == ["near the median (distances)"] and np.allclose(ax.get_xticks(), [0, 0.1])


def test_removal_legend_holds_each_set_of_all_panels_once(row):
    first, second = row(2)
    figures.removal_curves(ROWS[:3], first, legend=False)
    figures.removal_curves(ROWS, second, legend=False, baseline=0.9)
    assert first.get_legend() is None and second.get_legend() is None
    made = figures.removal_legend(first.figure, np.array([[first, second]]))
    assert first.figure.legends == [made] and min(text.get_fontsize() for text in made.get_texts()) >= 9
    assert [text.get_text() for text in made.get_texts()] == ["near archetypes", "all filters", "near the median (distances)", "own"]


VERDICT = pd.DataFrame(
    [(0.1, "median_gm", "archetypes", 0.05, 0.01), (0.1, "matched_median", "matched_archetypes", -0.02, 0.03), (0.2, "median_gm", "archetypes", 0.1, 0)],
    columns=["rate", "more", "less", "difference", "std"],
)  # fmt: skip


def test_verdict_draws_differences_in_points_around_zero(ax):
    figures.verdict(VERDICT, ax)
    first, second = ax.containers
    assert np.allclose(first.lines[0].get_ydata(), [5, 10]) and np.allclose(second.lines[0].get_ydata(), [-2])
    assert np.allclose(second.lines[2][0].get_segments()[0][:, 1], [-5, 1]) and ticks(ax.xaxis) == ["10 %", "20 %"]
    assert legend(ax) == [
        "near the median (distances) − near archetypes",
        "norm-matched to near the median − norm-matched to near archetypes",
    ]
    assert np.round(first.lines[0].get_xdata()).tolist() == [0, 1] and first.lines[0].get_xdata()[0] != second.lines[0].get_xdata()[0]


TRAINED = pd.DataFrame(
    [(m, r, s, e, 1 - (0.5 if e == 0 else 0.01 * (s + 1) * (1 + (m == "l1")))) for m in ("l1", "positional") for r in (0.5, 0.75)
     for s in (0, 1) for e in (0, 1)], columns=["method", "rate", "seed", "epoch", "accuracy"],
)  # fmt: skip


def test_retraining_draws_the_test_error_of_one_rate(ax):
    figures.retraining(TRAINED, ax, rate=0.75, baseline=0.99)
    assert legend(ax) == ["as trained", "positional", "ℓ₁ norm"] and ax.get_yscale() == "log" and "75 %" in ax.get_title()
    first, second = (container.lines[0] for container in ax.containers)
    assert np.allclose(first.get_ydata(), [0.5, 0.015]) and np.allclose(second.get_ydata(), [0.5, 0.03])
    assert np.allclose(lines(ax)["as trained"].get_ydata(), 0.01)
    bar = ax.containers[0].lines[2][0].get_segments()[1]
    assert np.allclose(bar[:, 1], [0.015 - 0.00005**0.5, 0.015 + 0.00005**0.5])


def test_retraining_as_far_as_all_runs_went_or_those_that_went_further(ax):
    longer = pd.DataFrame([("positional", 0.5, 0, e, 1 - 0.5 / (e + 1)) for e in (2, 3)], columns=list(TRAINED.columns))
    rows = pd.concat([TRAINED, longer])
    figures.retraining(rows, ax, rate=0.5)
    assert [len(container.lines[0].get_xdata()) for container in ax.containers] == [2, 2]
    ax.clear()
    figures.retraining(rows, ax, rate=0.5, epochs=3)
    (only,) = (container.lines[0] for container in ax.containers)  # one ranking, one seed
    assert (
        legend(ax) == ["positional"]
        and np.allclose(only.get_data(), [[0, 1, 2, 3], [0.5, 0.01, 0.5 / 3, 0.125]])
        and "seeds" not in ax.get_ylabel()
    )


def test_starts(ax):
    rows = TRAINED[TRAINED["rate"] == 0.5].rename(columns={"method": "start"}).replace({"l1": "random", "positional": "fabricated"})
    figures.starts(rows, ax)
    assert legend(ax) == ["random", "fabricated, Dirichlet(1)"] and "2 seeds" in ax.get_ylabel()


AGREEMENT = torch.tensor([[1, 0.5, torch.nan], [0.5, 1, -0.25], [torch.nan, -0.25, 1]], dtype=torch.float64)
SHARED = torch.tensor([[7, 5, 2], [5, 7, 4], [2, 4, 7]])
STABILITY = SimpleNamespace(
    names=("shipped", "seed 1", "uniform"), spearman=AGREEMENT, common=SHARED, common_needed=SHARED - 1, n=7, chance=1.96
)


def test_stability_matrix(ax):
    figures.stability_matrix(STABILITY, ax)
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    assert texts(ax) == ["0.50", "0.50", "-0.25", "-0.25"] and mesh.get_clim() == (-0.25, 1)
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["shipped", "seed 1", "uniform"] and "Spearman" in mesh.colorbar.ax.get_ylabel()
    figure, other = plt.subplots()
    figures.stability_matrix(STABILITY, other, measure="common")
    assert other.collections[0].colorbar.ax.get_ylabel() == "shared of the 7 most redundant (by chance 2.0)"
    assert texts(other) == ["5", "2", "5", "4", "2", "4"] and other.collections[0].get_clim() == (0, 7)
    plt.close(figure)


def test_channel_order_of_one_and_of_several_seeds(ax):
    one = SimpleNamespace(original=0.9, permuted=0.2, fabricated=0.1, matched=0.4)
    figures.channel_order(one, ax)
    assert [bar.get_width() for bar in ax.patches] == [0.9, 0.2, 0.1, 0.4] and texts(ax) == ["90.0 %", "20.0 %", "10.0 %", "40.0 %"]
    figure, other = plt.subplots()
    figures.channel_order([one, SimpleNamespace(original=0.9, permuted=0.4, fabricated=0.1, matched=0.6)], other)
    assert [bar.get_width() for bar in other.patches] == pytest.approx([0.9, 0.3, 0.1, 0.5]) and "2 seeds" in other.get_xlabel()
    assert np.allclose(other.collections[0].get_segments()[1][:, 0], [0.3 - 0.02**0.5, 0.3 + 0.02**0.5])
    plt.close(figure)


# fabrication


def test_variance_collapse_shows_marks_and_the_law(ax):
    figures.variance_collapse([4, 16], {"literal": [0.21, 0.06], "sparse": [0.5, 0.5]}, ax, expected={"literal": [0.2, 1 / 17]})
    drawn = lines(ax)
    assert list(drawn) == ["literal: 1 / (dα + 1)", "literal: measured", "sparse: measured"]
    assert np.allclose(drawn["literal: 1 / (dα + 1)"].get_ydata(), [0.2, 1 / 17]) and drawn["literal: measured"].get_linestyle() == "None"
    assert drawn["literal: 1 / (dα + 1)"].get_color() == drawn["literal: measured"].get_color() != drawn["sparse: measured"].get_color()


def test_fabricated_grid_keeps_one_scale(row):
    axes = row(2)
    figures.fabricated_grid({"originals": WEIGHT, "fabricated": WEIGHT[:5] / 100}, axes)
    assert [ax.get_title() for ax in axes] == ["originals", "fabricated"]
    strong, pale = (
        np.abs(np.asarray(ax.images[0].get_array())[..., :3] - 0.5)[np.asarray(ax.images[0].get_array())[..., 3] > 0].max() for ax in axes
    )
    assert strong == pytest.approx(0.5) and pale < 0.006
    single = row(1)
    figures.fabricated_grid({"gray": WEIGHT[:, :1]}, single)
    values = single[0].images[0].get_array()
    assert single[0].images[0].get_clim() == (-float(WEIGHT[:, :1].abs().max()), float(WEIGHT[:, :1].abs().max())) and values.ndim == 2


def test_fabricated_maps_stand_beside_the_image(row):
    axes, maps = row(3), torch.randn(5, 12, 14)
    figures.fabricated_maps(PHOTOGRAPHS[0], {"original": maps, "fabricated": maps[:3] / 50}, axes)
    assert [ax.get_title() for ax in axes] == ["image", "original: 5 maps", "fabricated: 3 maps"]
    for ax in axes[1:]:
        assert np.nanmax(np.abs(np.ma.filled(ax.images[0].get_array(), np.nan))) == pytest.approx(1)  # each in its own scale


# saliency


def triple() -> SimpleNamespace:
    maps = {name: torch.rand(2, 12, 14) for name in ("standard", *WITHOUT_FILTERS)}
    maps["without_random"][1] = 0
    likeness = {name: torch.tensor([0.2 * i + 0.1, 0.2 * i + 0.2]) for i, name in enumerate(WITHOUT_FILTERS)}
    empty = {name: (found == 0).flatten(1).all(1) for name, found in maps.items()}
    return SimpleNamespace(maps=maps, empty=empty, pearson=likeness, ssim=likeness, iou=likeness, targets=torch.tensor([1, 2]), layer="conv_head",
                           removed=dict.fromkeys(WITHOUT_FILTERS, torch.arange(6)))  # fmt: skip


def test_saliency_lays_each_map_over_its_grey_photograph(row):
    found, axes = triple(), row(2, 5)
    assert figures.saliency(found, PHOTOGRAPHS, axes, titles=["a cat", "a rocket"]).shape == (2, 5)
    assert [ax.get_title() for ax in axes[0]] == [
        "photograph", "all filters", "without 6\nnear the median", "without 6\nnear archetypes", "without 6\nat random"]  # fmt: skip
    for i in range(2):
        assert axes[i, 0].get_ylabel() == ["a cat", "a rocket"][i]
        for ax, name in zip(axes[i, 1:], found.maps, strict=True):
            grey, over = ax.images
            assert np.allclose(grey.get_array(), PHOTOGRAPHS[i].mean(0)) and np.allclose(over.get_array(), found.maps[name][i])
            assert over.get_clim() == (0, 1) and over.get_extent() == [-0.5, 13.5, 11.5, -0.5]
    assert [texts(ax) for ax in axes[1]] == [[], [], ["r = 0.20"], ["r = 0.40"], ["empty"]]


def test_similarity_shows_every_image_and_the_mean(ax):
    figures.similarity(triple(), ax)
    small, large = ax.collections[0], ax.collections[1]
    assert np.allclose(small.get_offsets()[:, 1], [0.1, 0.2]) and np.allclose(large.get_offsets()[:, 1], [0.15])
    assert ticks(ax.xaxis) == ["Pearson r", "SSIM", "IoU of the top 20 %"] and texts(ax) == ["0.15", "0.35", "0.55"] * 3
    assert (
        legend(ax) == ["near the median", "near archetypes", "at random"] and ax.get_legend().get_title().get_text() == "without 6 filters"
    )
    assert len({to_hex(ax.collections[at].get_facecolor()[0]) for at in (1, 3, 5)}) == 3


# bad input


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda ax, row: figures.simplex_sketch(PLANE.T, FOUND, ax), ValueError, "X"),
        (lambda ax, row: figures.simplex_sketch(PLANE.long(), FOUND, ax), TypeError, "X"),
        (lambda ax, row: figures.simplex_sketch(PLANE, FOUND, ax), ValueError, "archetypes"),
        (lambda ax, row: figures.prewitt(prewitt_response(torch.rand(5, 4)), row(3)), ValueError, "axes"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT[:, :2]), ValueError, "archetypes"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT * torch.nan), ValueError, "weight"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT[0]), ValueError, "weight"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT[:5]), ValueError, "ranking.l0"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT, colour="l1"), ValueError, "colour"),
        (lambda ax, row: figures.cloud(FOUND, ax, weight=WEIGHT), ValueError, "colour"),
        (lambda ax, row: figures.cloud(GROUPED, ax, weight=WEIGHT), ValueError, "ranking"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT, components=(0, 99)), ValueError, "components"),
        (lambda ax, row: figures.cloud(RANKING, ax, weight=WEIGHT, components=(0, 1, 2)), ValueError, "components"),
        (lambda ax, row: figures.code_bars(RANKING, ax, K), ValueError, "filter"),
        (lambda ax, row: figures.code_bars(RANKING, ax, 0, top=0), ValueError, "top"),
        (lambda ax, row: figures.code_bars(GROUPED, ax, 0), ValueError, "ranking"),
        (lambda ax, row: figures.scores(SimpleNamespace(l0=L0.double()), ax), TypeError, "ranking.l0"),
        (lambda ax, row: figures.tau_sensitivity([0.1], L0.expand(2, -1), ax), ValueError, "l0"),
        (lambda ax, row: figures.tau_sensitivity([0, 0.1], L0.expand(2, -1), ax), ValueError, "taus: got 0"),
        (lambda ax, row: figures.tau_sensitivity([0.1, 0.2], L0.expand(2, -1), ax, tau=0.0), ValueError, "tau: got 0"),
        (lambda ax, row: figures.residual_by_fraction([0.1, 0.2], {"a": [0.5]}, ax), ValueError, "residuals"),
        (lambda ax, row: figures.residual_by_fraction([0.1, 0.2], {}, ax), ValueError, "residuals"),
        (lambda ax, row: figures.removal_curves("rows", ax), TypeError, "curve"),
        (lambda ax, row: figures.removal_curves([], ax), ValueError, "curve"),
        (lambda ax, row: figures.removal_curves(TRAINED, ax), ValueError, "curve"),
        (lambda ax, row: figures.removal_curves(ROWS, ax, sets=["median"]), ValueError, "sets"),
        (lambda ax, row: figures.removal_curves(ROWS, ax, baseline=90.0), ValueError, "baseline"),
        (lambda ax, row: figures.verdict(TRAINED, ax), ValueError, "table"),
        (lambda ax, row: figures.verdict(VERDICT[:0], ax), ValueError, "table"),
        (lambda ax, row: figures.verdict(None, ax), TypeError, "table"),
        (lambda ax, row: figures.retraining(TRAINED, ax), ValueError, "rate"),
        (lambda ax, row: figures.retraining(TRAINED, ax, rate=0.6), ValueError, "rate"),
        (lambda ax, row: figures.retraining(TRAINED.drop(columns="epoch"), ax), ValueError, "rows"),
        (lambda ax, row: figures.retraining(3, ax), TypeError, "rows"),
        (lambda ax, row: figures.retraining(TRAINED, ax, rate=0.5, epochs=2), ValueError, "epochs"),
        (lambda ax, row: figures.starts(TRAINED, ax), ValueError, "rows"),
        (lambda ax, row: figures.removal_legend(ax.figure, ax), ValueError, "axes"),
        (lambda ax, row: figures.removal_legend(ax.figure, ["one"]), TypeError, "axes"),
        (lambda ax, row: figures.removal_legend(ax.figure, ax, columns=0), ValueError, "columns"),
        (lambda ax, row: figures.stability_matrix(STABILITY, ax, measure="kendall"), ValueError, "measure"),
        (lambda ax, row: figures.channel_order([], ax), ValueError, "results"),
        (lambda ax, row: figures.variance_collapse([4, 8], {"a": [0.5]}, ax), ValueError, "measured"),
        (lambda ax, row: figures.variance_collapse([4, 8], {}, ax), ValueError, "measured"),
        (lambda ax, row: figures.variance_collapse([4], {"a": [0.5]}, ax, expected={"a": [1, 2]}), ValueError, "expected"),
        (lambda ax, row: figures.fabricated_grid({"a": WEIGHT[:, :2]}, row(1)), ValueError, "sets"),
        (lambda ax, row: figures.fabricated_grid({"a": WEIGHT}, row(2)), ValueError, "axes"),
        (lambda ax, row: figures.fabricated_grid({}, row(1)), ValueError, "sets"),
        (lambda ax, row: figures.fabricated_maps(PHOTOGRAPHS, {"a": PHOTOGRAPHS[0]}, row(2)), ValueError, "image"),
        (lambda ax, row: figures.fabricated_maps(PHOTOGRAPHS[0], {"a": PHOTOGRAPHS}, row(2)), ValueError, "maps"),
        (lambda ax, row: figures.fabricated_maps(PHOTOGRAPHS[0], {"a": PHOTOGRAPHS[0]}, row(3)), ValueError, "axes"),
        (lambda ax, row: figures.saliency(triple(), PHOTOGRAPHS[:1], row(1, 5)), ValueError, "photographs"),
        (lambda ax, row: figures.saliency(triple(), PHOTOGRAPHS, row(2, 4)), ValueError, "axes"),
        (lambda ax, row: figures.saliency(triple(), PHOTOGRAPHS, row(2, 5), titles=["one"]), ValueError, "titles"),
    ],
)
def test_bad_input(ax, row, call, error, name):
    with pytest.raises(error, match=f"^{name}"):
        call(ax, row)
