"""Figures of the influence lens draw what the results say: heights, places, labels and texts, never pixels of a whole picture."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_hex
from read_figures import legend, texts, ticks
from torch import nn

from filterlens import metrics
from filterlens.figures import influence as figures
from filterlens.lenses import influence
from filterlens.training import History

torch.set_num_threads(1)
N, D, C, S = 60, 9, 4, 3
CLASSES = ["cat", "dog", "frog", "ship"]
FEATURES = torch.rand(N, D, generator=torch.Generator().manual_seed(0)) ** 3
LABELS = torch.arange(N) % C
FOUND = influence.find_influential(FEATURES, LABELS, C, r=2, s=S)
STATS = influence.set_statistics(FOUND.indices, D)
ACCURACY = torch.tensor([[0.2, 0.5, 0.8], [0.4, 0.45, 0.8]], dtype=torch.float64)
SURFACE = influence.Surface([1, 4], [1, 2, 4], ACCURACY, 0.8)
MODELS = pd.DataFrame(
    [("Deep", 2048, 0.75, 0.6, 0.8, "published"), ("Deeper", 2048, 0.77, 0.7, 0.909, "published"), ("Small", 64, 0.9, 0.87, 0.967, "measured"),
     ("Deep", 2048, 0.76, 0.62, 0.816, "measured")],
    columns=["model", "d", "full", "decomposed", "eta", "source"],
)  # fmt: skip


def heights(ax) -> list[float]:
    return [patch.get_height() for patch in ax.patches]


# sketches


def test_network_sketch_links_every_feature_to_every_class(ax):
    assert figures.network_sketch(ax, d=7, n_classes=3) is ax
    assert (
        len(ax.lines) == 7 * 3
        and "W: 3 x 7 weights" in texts(ax)
        and "features f\n(7)" in texts(ax)
        and "logits z\n(3 classes)" in texts(ax)
    )
    figures.network_sketch(ax, d=7, n_classes=3, s=2)
    assert sum(line.get_linewidth() > 1 for line in ax.lines) == 2


def test_decomposed_sketch_gives_every_class_its_own_s_features(ax):
    figures.decomposed_sketch(ax, d=8, n_classes=3, s=2)
    links = [line for line in ax.lines if line.get_xdata()[0] < 0.5]
    assert len(links) == 3 * 2 and "softmax" in texts(ax) and any("3 x 2 weights" in text for text in texts(ax))
    by_class = {}
    for line in links:
        by_class.setdefault((line.get_color(), line.get_ydata()[1]), set()).add(float(line.get_ydata()[0]))
    assert len(by_class) == 3 and all(len(read) == 2 for read in by_class.values())


# sets


def test_histogram_draws_votes_in_order_and_the_cut_at_s(ax):
    figures.histogram(FOUND, ax, target=2, classes=CLASSES, top=6)
    order = FOUND.order[2, :6]
    assert heights(ax) == FOUND.counts[2, order].tolist() and heights(ax) == sorted(heights(ax), reverse=True)
    assert ticks(ax.xaxis) == [str(i) for i in order.tolist()]
    assert list(ax.lines[0].get_xdata()) == [S - 0.5] * 2 and "s = 3" in texts(ax)
    assert len({to_hex(p.get_facecolor()) for p in ax.patches[:S]}) == 1 == len({to_hex(p.get_facecolor()) for p in ax.patches[S:]})
    assert to_hex(ax.patches[0].get_facecolor()) != to_hex(ax.patches[S].get_facecolor())
    assert "frog" in ax.get_xlabel() and "of 15 images" in ax.get_ylabel()


def test_histogram_of_another_rule_draws_its_score_and_of_all_features_without_names(ax):
    linear = nn.Linear(D, C)
    found = influence.find_influential(FEATURES, LABELS, C, s=2, rule="weight", linear=linear)
    figures.histogram(found, ax, target=1)
    assert heights(ax) == pytest.approx(linear.weight[1].sort(descending=True).values.tolist()) and len(ax.patches) == D
    assert "W_{y,i}" in ax.get_ylabel() and "images" not in ax.get_ylabel() and "class 1" in ax.get_xlabel()


def test_overlap_writes_what_two_classes_share_and_leaves_the_diagonal_out(ax):
    figures.overlap(STATS, ax, CLASSES)
    values = ax.collections[0].get_array()
    assert values.shape == (C, C) and np.ma.getmaskarray(values).diagonal().all()
    off = [str(int(STATS.overlap[a, b])) for a in range(C) for b in range(C) if a != b]
    assert texts(ax) == off and ticks(ax.xaxis) == CLASSES == ticks(ax.yaxis) and "s = 3" in ax.get_ylabel()


def test_classes_per_feature_is_sorted_and_counts_the_unused(ax):
    stats = influence.set_statistics(torch.tensor([[0, 5], [5, 3], [3, 5]]), 7)
    figures.classes_per_feature(stats, ax)
    assert heights(ax) == [3, 2, 1] and ticks(ax.xaxis) == ["5", "3", "0"] and texts(ax) == ["4 of 7 features in no set"]


# surface


def test_surface_shows_efficacy_with_r_upwards_and_frames_the_best_r_of_each_s(ax):
    figures.surface(SURFACE, ax)
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    assert np.allclose(np.asarray(mesh.get_array()).reshape(2, 3), 100 * ACCURACY / 0.8)
    assert texts(ax) == ["25.0", "62.5", "100.0", "50.0", "56.2", "100.0"]
    assert sorted((int(p.get_x()), int(p.get_y())) for p in ax.patches) == [(0, 1), (1, 0), (2, 0), (2, 1)]  # a tie: both
    assert ticks(ax.xaxis) == ["1", "2", "4"] and ticks(ax.yaxis) == ["1", "4"] and ax.get_ylim() == (0, 2)
    assert ax.get_xlabel().startswith("s,") and ax.get_ylabel().startswith("r,")


def test_surface_can_show_accuracy_and_writes_nothing_into_many_cells(ax):
    figures.surface(SURFACE, ax, relative=False)
    assert texts(ax)[0] == "20.0" and "accuracy" in ax.collections[0].colorbar.ax.get_ylabel()
    figure, other = plt.subplots()
    many = list(range(1, 16))
    figures.surface(influence.Surface(many, many, torch.rand(15, 15).double(), 0.9), other)
    assert not texts(other)
    plt.close(figure)


def test_surface_lines_one_per_r_with_a_dot_where_s_is_r(ax):
    mixed = influence.Surface([1, 4], [4, 1, 2], ACCURACY[:, [2, 0, 1]], 0.8)
    figures.surface_lines(mixed, ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
    assert [list(line.get_xdata()) for line in lines] == [[1, 2, 4]] * 2
    assert np.allclose([line.get_ydata() for line in lines], ACCURACY / 0.8)
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    assert np.allclose(dots, [(1, 0.25), (4, 1.0)]) and legend(ax) == ["1", "4"]


# networks


def test_models_summary_has_a_row_per_model_and_tells_sources_apart(ax):
    figures.models_summary(MODELS, ax)
    by_source = {line.get_label(): line for line in ax.lines}
    assert set(by_source) == {"published", "measured"} == set(legend(ax))
    published, measured = by_source["published"], by_source["measured"]
    assert list(zip(published.get_xdata(), published.get_ydata(), strict=True)) == [(0.8, 0), (0.909, 1)]
    assert list(zip(measured.get_xdata(), measured.get_ydata(), strict=True)) == [(0.967, 2), (0.816, 0)]
    assert published.get_marker() != measured.get_marker() and published.get_markerfacecolor() != published.get_color()
    assert texts(ax) == ["0.800", "0.909", "0.967", "0.816"] and ticks(ax.yaxis) == ["Deep (2048)", "Deeper (2048)", "Small (64)"]
    placed = {text.get_text(): text.xyann[1] for text in ax.texts}
    assert placed["0.800"] > placed["0.909"] == 0 > placed["0.816"]  # two of one model do not cover each other
    assert any(isinstance(c, LineCollection) for c in ax.collections) and ax.get_ylim()[0] > ax.get_ylim()[1]


def test_depth_scatter_names_every_point(ax):
    figures.depth_scatter(MODELS, ax)
    points = {tuple(p) for line in ax.lines for p in zip(line.get_xdata(), line.get_ydata(), strict=True)}
    assert points == set(zip(MODELS["full"], MODELS["eta"], strict=True))
    assert [(text.get_text(), *text.xy) for text in ax.texts] == list(MODELS[["model", "full", "eta"]].itertuples(index=False, name=None))
    assert "full" in ax.get_xlabel() and "η" in ax.get_ylabel()


def test_names_of_crowded_points_do_not_cover_each_other(ax):
    near = pd.DataFrame([(f"network {i}", 8, 0.8 + i / 1000, 0.7, 0.9, "measured") for i in range(3)] + [("far", 8, 0.5, 0.3, 0.6, "published")],
                        columns=list(MODELS.columns))  # fmt: skip
    figures.depth_scatter(near, ax)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[:at])


# maps


def test_map_grid_shows_the_image_and_signed_maps_over_its_grey_copy():
    images = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    maps = {"all": torch.randn(2, 6, 5), "influential": torch.stack([torch.zeros(3, 4), torch.full((3, 4), -2.0)])}
    figure, axes = plt.subplots(2, 3)
    assert figures.map_grid(images, maps, axes, ["a cat", "a dog"]).shape == (2, 3)
    assert [ax.get_title() for ax in axes[0]] == ["image", "all", "influential"] and [row[0].get_ylabel() for row in axes] == [
        "a cat",
        "a dog",
    ]
    grey, over = axes[1, 1].images
    assert np.allclose(grey.get_array(), images[1].mean(0)) and np.allclose(over.get_array(), maps["all"][1])
    limit = float(maps["all"][1].abs().max())
    assert over.get_clim() == (-limit, limit) and over.get_cmap().name == "RdBu_r" and grey.get_cmap().name == "gray"
    alpha = over.get_alpha()
    assert alpha.max() < 0.8 and np.unravel_index(alpha.argmax(), alpha.shape) == divmod(int(maps["all"][1].abs().argmax()), 5)
    assert axes[0, 2].images[1].get_clim() == (-1, 1)  # a map of zeros
    assert axes[1, 2].images[1].get_extent() == [-0.5, 4.5, 5.5, -0.5]  # smaller maps cover the whole image
    plt.close(figure)


# what features are worth


def essentiality(original: float, influential: list[float], other: list[float]) -> influence.Essentiality:
    values = (torch.tensor(v, dtype=torch.float64) for v in (influential, other))
    return influence.Essentiality(original, *values, "unit", tuple(range(len(influential))))


def test_ablation_draws_means_and_spread_over_seeds(ax):
    figures.ablation({"unit": essentiality(0.9, [0.4, 0.6], [0.8, 0.8]), "zero": essentiality(0.9, [0.3], [1.0])}, ax)
    assert heights(ax) == pytest.approx([0.9, 0.9, 0.5, 0.3, 0.8, 1.0])
    assert texts(ax)[:6] == ["90.0", "90.0", "50.0", "30.0", "80.0", "100.0"] and ticks(ax.xaxis) == ["unit", "zero"]
    assert legend(ax) == ["original", "influential disturbed", "others disturbed"] and "2 seeds" in ax.get_ylabel()
    spread = [c for c in ax.collections if isinstance(c, LineCollection)][1].get_segments()[0]
    assert spread[:, 1] == pytest.approx([0.5 - 0.02**0.5, 0.5 + 0.02**0.5])
    middles = [p.get_x() + p.get_width() / 2 for p in ax.patches]
    assert middles[0] < middles[2] < middles[4] < middles[1]  # in groups


def test_ablation_curves(ax):
    figures.ablation_curves([1, 2, 4], {"count": torch.tensor([0.1, 0.5, 0.9]), "weight": [0.2, 0.4, 0.8]}, ax)
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 2, 4]] * 2 and legend(ax) == ["count", "weight"]
    assert np.allclose([line.get_ydata() for line in ax.lines], [[0.1, 0.5, 0.9], [0.2, 0.4, 0.8]])
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker() and ax.get_xlabel() and ax.get_ylabel()


def test_reliability_draws_bins_that_hold_images_beside_the_diagonal(ax):
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], dtype=torch.float64)
    found = metrics.reliability(p.log(), torch.tensor([0, 1, 1]), bins=5)
    figures.reliability({"full": found}, ax)
    diagonal, line = ax.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert np.allclose(line.get_xdata(), [0.6, 0.9]) and np.allclose(line.get_ydata(), [1, 0.5])
    assert legend(ax) == ["calibrated", "full: ECE 40.0 %"] and "5 bins" in ax.get_xlabel()
    assert np.allclose(ax.collections[0].get_sizes(), [200 / 3, 400 / 3])


def test_logits_stand_side_by_side_with_a_star_over_each_largest(ax):
    figures.logits(torch.tensor([1.0, 3.0, -2.0, 0.0]), torch.tensor([0.5, 1.0, 2.0, 0.0]), ax, CLASSES)
    assert heights(ax) == [1, 3, -2, 0, 0.5, 1, 2, 0] and ticks(ax.xaxis) == CLASSES
    stars = [text.xy for text in ax.texts if text.get_text() == "★"]
    assert np.allclose(stars, [(0.8, 3), (2.2, 2)]) and "another class" in ax.get_legend().get_title().get_text()
    figure, other = plt.subplots()
    figures.logits(torch.tensor([1.0, 3.0]), torch.tensor([-5.0, -1.0]), other)
    assert "the same class" in other.get_legend().get_title().get_text() and ticks(other.xaxis) == ["0", "1"]
    plt.close(figure)


def test_history_draws_what_was_measured(ax):
    figures.history(History((0.9, 0.4), (0.8, 0.5), (0.6, 0.7), (1, 1), ((0.1,),) * 2), ax)
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.9, 0.4], [0.8, 0.5]] and list(ax.lines[0].get_xdata()) == [1, 2]
    assert legend(ax) == ["training loss", "test loss", "test accuracy"]
    right = ax.figure.axes[-1]
    assert list(right.lines[0].get_ydata()) == [0.6, 0.7] and right.get_ylabel() == "test accuracy"
    figure, other = plt.subplots()
    nan = float("nan")
    figures.history(History((0.9,), (nan,), (nan,), (1,), ((0.1,),)), other)
    assert legend(other) == ["training loss"] and len(figure.axes) == 1
    plt.close(figure)


def test_every_figure_labels_its_axes(ax):
    draw = {
        "histogram": lambda ax: figures.histogram(FOUND, ax, target=0),
        "overlap": lambda ax: figures.overlap(STATS, ax),
        "classes_per_feature": lambda ax: figures.classes_per_feature(STATS, ax),
        "surface": lambda ax: figures.surface(SURFACE, ax),
        "surface_lines": lambda ax: figures.surface_lines(SURFACE, ax),
        "models_summary": lambda ax: figures.models_summary(MODELS, ax),
        "depth_scatter": lambda ax: figures.depth_scatter(MODELS, ax),
        "ablation": lambda ax: figures.ablation({"a": essentiality(0.9, [0.4], [0.8])}, ax),
        "ablation_curves": lambda ax: figures.ablation_curves([1], {"a": [0.5]}, ax),
        "reliability": lambda ax: figures.reliability({"a": metrics.reliability(torch.rand(5, 3), torch.tensor([0, 1, 2, 0, 1]))}, ax),
        "logits": lambda ax: figures.logits(torch.rand(3), torch.rand(3), ax),
        "history": lambda ax: figures.history(History((1.0,), (1.0,), (0.5,), (1,), ((0.1,),)), ax),
    }
    assert set(draw) | {"map_grid", "network_sketch", "decomposed_sketch"} == set(figures.__all__)
    for name, function in draw.items():
        figure, ax = plt.subplots()
        assert function(ax) is ax and ax.get_xlabel() and ax.get_ylabel(), name
        plt.close(figure)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "call", "error"),
    [
        ("d", lambda ax: figures.network_sketch(ax, d=1, n_classes=3), ValueError),
        ("n_classes", lambda ax: figures.network_sketch(ax, d=4, n_classes=1000), ValueError),
        ("s", lambda ax: figures.decomposed_sketch(ax, d=4, n_classes=3, s=5), ValueError),
        ("target", lambda ax: figures.histogram(FOUND, ax, target=C), ValueError),
        ("target", lambda ax: figures.histogram(FOUND, ax, target="cat"), TypeError),
        ("top", lambda ax: figures.histogram(FOUND, ax, target=0, top=D + 1), ValueError),
        ("classes", lambda ax: figures.histogram(FOUND, ax, target=0, classes=CLASSES[1:]), ValueError),
        ("classes", lambda ax: figures.overlap(STATS, ax, CLASSES[1:]), ValueError),
        ("rows", lambda ax: figures.models_summary(MODELS.to_dict(), ax), TypeError),
        ("rows", lambda ax: figures.models_summary(MODELS.drop(columns="eta"), ax), ValueError),
        ("rows", lambda ax: figures.depth_scatter(MODELS[:0], ax), ValueError),
        ("rows: source", lambda ax: figures.depth_scatter(MODELS.assign(source="guessed"), ax), ValueError),
        ("results", lambda ax: figures.ablation({}, ax), ValueError),
        ("results", lambda ax: figures.reliability({}, ax), ValueError),
        ("curves", lambda ax: figures.ablation_curves([1, 2], {"a": [0.5]}, ax), ValueError),
        ("full", lambda ax: figures.logits(torch.rand(1, 3), torch.rand(3), ax), ValueError),
        ("decomposed", lambda ax: figures.logits(torch.rand(3), torch.rand(4), ax), ValueError),
        ("decomposed", lambda ax: figures.logits(torch.rand(3), torch.rand(3) * float("nan"), ax), ValueError),
        ("classes", lambda ax: figures.logits(torch.rand(3), torch.rand(3), ax, CLASSES), ValueError),
        ("history", lambda ax: figures.history(History(), ax), ValueError),
        ("images", lambda ax: figures.map_grid(torch.rand(3, 4, 5), {}, np.array([[ax]]), ["a"]), ValueError),
        ("axes", lambda ax: figures.map_grid(torch.rand(1, 3, 4, 5), {"a": torch.rand(1, 4, 5)}, np.array([[ax]]), ["a"]), ValueError),
        ("overlays", lambda ax: figures.map_grid(torch.rand(1, 3, 4, 5), {"a": torch.rand(2, 4, 5)}, np.array([[ax, ax]]), ["a"]), ValueError),
        ("titles", lambda ax: figures.map_grid(torch.rand(1, 3, 4, 5), {"a": torch.rand(1, 4, 5)}, np.array([[ax, ax]]), []), ValueError),
    ],
)  # fmt: skip
def test_bad_input(argument: str, call, error: type[Exception], ax) -> None:
    with pytest.raises(error, match=rf"^{argument}\b"):
        call(ax)
