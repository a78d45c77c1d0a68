"""Figures of the isolation lens draw what the results say: pictures, places, labels and texts, never pixels of a whole figure."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn
import torch
from matplotlib.colors import to_hex
from read_figures import legend, texts, ticks
from torch import nn

from filterlens.figures import isolation as figures
from filterlens.lenses.isolation import isolate
from filterlens.models import Normalization

torch.set_num_threads(1)
NORMALIZATION = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
H, W, N = 14, 17, 5


class Toy(nn.Module):
    """Three kernels hear colours, one is dead, one looks for edges: maps (n, 5, 12, 15)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, N, 3), nn.ReLU()
        with torch.no_grad():
            self.conv.weight.copy_(torch.randn(self.conv.weight.shape, generator=torch.Generator().manual_seed(3)) / 3)
            self.conv.bias.zero_()
            self.conv.bias[3] = -1000

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(images))


IMAGES = torch.rand(2, 3, H, W, generator=torch.Generator().manual_seed(0))
FOUND = isolate(Toy(), "conv", [4, 3], NORMALIZATION.apply(IMAGES), beta=0.05, max_iter=12, on_inactive="skip")  # 2 x 2 problems
SIGNED = isolate(Toy(), "conv", 1, NORMALIZATION.apply(IMAGES), beta=0.05, max_iter=3, pre_activation=True)
METHODS = ("isolation", "guided", "lrp")
PICTURES = {name: IMAGES[0] * (at + 1) / 3 for at, name in enumerate(METHODS)}
MAPS = {name: torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(at)) * (at + 1) for at, name in enumerate(METHODS)}


def rows_of(n: int = 12) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"layer": layer, "method": method, "scale": scale, "mse_selected": draw.lognormal(), "mse_rest": draw.lognormal(1),
             "ssim": draw.uniform(-0.2, 1)}
            for layer in ("stem", "middle", "head")
            for method, scale in (("isolation", "peak"), ("guided", "peak"), ("guided", "fit"))
            for _ in range(n)
        ]
    )  # fmt: skip


ROWS = rows_of()


@pytest.fixture
def grid():
    """Axes (rows, columns), or one row of them."""
    made = []

    def axes(*shape: int) -> np.ndarray:
        figure, found = plt.subplots(*(shape if len(shape) == 2 else (1, *shape)), squeeze=False)
        made.append(figure)
        return found if len(shape) == 2 else found[0]

    yield axes
    for figure in made:
        plt.close(figure)


def picture(ax) -> torch.Tensor:
    """What an axis shows: (c, h, w) of a photograph without its opacity, (h, w) of a map."""
    values = torch.as_tensor(np.ma.getdata(ax.images[-1].get_array()).astype(float))
    return values[:, :, :3].permute(2, 0, 1) if values.ndim == 3 else values


def labels(axes) -> list[str]:
    return [ax.get_xlabel() for ax in axes]


# what a screen can show


def test_shown_inverts_the_normalization_and_counts_the_pixels_it_clamps():
    images = IMAGES.clone()
    images[0, 1, 2, 5] = 1.7
    images[0, 2, 2, 5] = -0.1  # the same pixel again
    images[0, 0, 3, 4] = -2.0
    images[1, 0, 0, 0] = 1.001  # no screen shows this
    found = figures.shown(NORMALIZATION.apply(images), NORMALIZATION)
    torch.testing.assert_close(found.images, images.clamp(0, 1), atol=1e-6, rtol=0)
    assert found.clamped.tolist() == pytest.approx([2 / (H * W), 0]) and found.note(1) == "" and found.note(0).startswith("under 1 %")
    assert float(found.images.min()) >= 0 and float(found.images.max()) <= 1
    half = figures.shown(NORMALIZATION.apply(torch.cat([IMAGES[:1], IMAGES[:1] + 2], 3)), NORMALIZATION)
    assert half.note(0) == "50 % of pixels clamped"


def test_shown_makes_skipped_problems_grey():
    found = figures.shown(torch.full((1, 3, 4, 5), torch.nan), NORMALIZATION)
    assert bool((found.images == 0.5).all()) and found.clamped.tolist() == [0]


def test_stretched_uses_the_full_contrast_of_each_image():
    images = torch.stack([torch.linspace(-3, 1, 30), torch.linspace(0, 0.1, 30), torch.full((30,), 4.0)]).reshape(3, 1, 5, 6)
    found = figures.stretched(images)
    assert found.amin((1, 2, 3)).tolist() == [0, 0, 0.5] and found.amax((1, 2, 3)).tolist() == [1, 1, 0.5]
    torch.testing.assert_close(found[0], (images[0] + 3) / 4)
    torch.testing.assert_close(figures.stretched(images, zero=True)[0], images[0] / 6 + 0.5)
    assert bool((figures.stretched(torch.zeros(1, 3, 2, 4), zero=True) == 0.5).all())


# one problem


def test_isolated_shows_the_image_what_is_left_the_difference_and_both_maps(grid):
    axes = figures.isolated(FOUND, IMAGES, NORMALIZATION, grid(5), problem=1)
    left = NORMALIZATION.invert(FOUND.images)[1]
    away = (IMAGES[1] - left).abs()
    for ax, expected in zip(
        axes, (IMAGES[1], left.clamp(0, 1), away / away.max(), FOUND.maps_before[1, 4], FOUND.maps_after[1, 4]), strict=True
    ):
        torch.testing.assert_close(picture(ax), expected.double(), atol=1e-5, rtol=0)
    assert axes[0].get_ylabel() == "relu\nkernel 4" and axes[2].get_xlabel() == f"contrast × {1 / float(away.max()):.3g}"
    assert axes[1].get_xlabel() == figures.shown(FOUND.images, NORMALIZATION).note(1)
    assert axes[4].get_title().endswith(f"SSIM {float(FOUND.measure().ssim[1]):.3f}") and "F_{4}" in axes[3].get_title()


def test_both_maps_share_a_colour_scale_from_zero_or_around_it(grid):
    axes = figures.isolated(FOUND, IMAGES, NORMALIZATION, grid(5))
    peak = max(float(FOUND.maps_before[0, 4].max()), float(FOUND.maps_after[0, 4].max()))
    assert [ax.images[0].get_clim() for ax in axes[3:]] == [(0, pytest.approx(peak))] * 2 and axes[3].images[0].get_cmap().name == "inferno"
    axes = figures.isolated(SIGNED, IMAGES, NORMALIZATION, grid(5))
    low, high = axes[4].images[0].get_clim()
    assert low == -high and axes[4].images[0].get_cmap().name == "RdBu_r" and axes[0].get_ylabel() == "conv\nkernel 1"


def test_isolated_does_not_stretch_rounding_into_a_picture(grid):
    same = isolate(Toy(), "conv", 4, NORMALIZATION.apply(IMAGES), alpha=0, beta=0, max_iter=1)
    axes = figures.isolated(same, IMAGES, NORMALIZATION, grid(5))
    assert axes[2].get_xlabel() == "no difference" and float(picture(axes[2]).max()) == 0 and axes[1].get_xlabel() == ""


def test_isolated_says_that_a_kernel_was_inactive(grid):
    axes = figures.isolated(FOUND, IMAGES, NORMALIZATION, grid(5), problem=2)
    assert [texts(ax) for ax in axes] == [[], ["inactive kernel"], ["inactive kernel"], [], ["inactive kernel"]]
    assert float(picture(axes[3]).abs().max()) == 0 and "kernel 3" in axes[0].get_ylabel()


def test_told_apart_has_a_row_per_image_with_both_kernels_isolated_images_and_maps(grid):
    both = isolate(Toy(), "relu", [4, 1], NORMALIZATION.apply(IMAGES), max_iter=3)
    axes = figures.told_apart(both, IMAGES, NORMALIZATION, grid(2, 6))
    plain = NORMALIZATION.invert(both.images)
    for row in range(2):
        away = (plain[row] - plain[2 + row]).abs()
        maps = both.maps_before[row, [4, 1]]
        expected = (IMAGES[row], plain[row].clamp(0, 1), plain[2 + row].clamp(0, 1), away / away.max(), *maps)
        for ax, values in zip(axes[row], expected, strict=True):
            torch.testing.assert_close(picture(ax), values.double(), atol=1e-5, rtol=0)
    assert [ax.get_title() for ax in axes[0, 1:3]] == ["isolated, 4", "isolated, 1"] and axes[0, 0].get_ylabel() == "relu"


def test_told_apart_says_which_kernel_was_inactive(grid):
    axes = figures.told_apart(FOUND, IMAGES, NORMALIZATION, grid(2, 6))
    assert [texts(ax) for ax in axes[0]] == [[], [], ["inactive kernel"], ["nothing to compare"], [], []]


# methods


def test_four_methods_has_a_column_per_method_and_a_row_per_kernel(grid):
    axes = figures.four_methods(PICTURES, MAPS, grid(3, 3), rows=["kernel 2", "kernel 7"], ssim={"guided": 0.25})
    assert [ax.get_title() for ax in axes[0]] == ["isolation", "guided backprop", "LRP"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["input", "kernel 2", "kernel 7"]
    for column, name in enumerate(METHODS):
        torch.testing.assert_close(picture(axes[0, column]), PICTURES[name].double())
        for row in (0, 1):
            torch.testing.assert_close(picture(axes[row + 1, column]), MAPS[name][row].double())
    for row in (0, 1):
        peak = max(float(maps[row].max()) for maps in MAPS.values())
        assert [ax.images[0].get_clim() for ax in axes[row + 1]] == [(0, pytest.approx(peak))] * 3
    peaks = [f"max {float(MAPS[name][0].max()):.3g}" for name in METHODS]
    assert labels(axes[1]) == [peaks[0], f"SSIM 0.25, {peaks[1]}", peaks[2]] and "SSIM" not in "".join(labels(axes[2]))


def test_four_methods_can_give_each_map_its_own_scale(grid):
    maps = {name: values[0] for name, values in MAPS.items()}
    axes = figures.four_methods(PICTURES, maps, grid(2, 3), each=True)
    assert [ax.images[0].get_clim()[1] for ax in axes[1]] == pytest.approx([float(values.max()) for values in maps.values()])
    assert axes[1, 0].get_ylabel() == "map"


def errors_of(ax) -> list[tuple[str, int]]:
    return [(label.split(" (")[0], int(label.split("(")[1][:-1])) for label in legend(ax)]


def test_errors_joint_draws_every_row_and_the_medians_on_log_scales():
    figure = plt.figure()
    axes = figures.joint_axes(figure)
    rows = ROWS.copy()
    rows["mse_rest"] *= 1e6  # the two errors do not overlap, so that a swap shows
    rows.loc[[0, 20], "mse_rest"] = [0, np.nan]
    joint, top, right = figures.errors_joint(rows, axes)
    assert joint is axes[0] and joint.get_xscale() == joint.get_yscale() == "log"
    assert errors_of(joint) == [("isolation", 35), ("guided backprop", 71)]  # in the order of the rows
    good = rows[rows["mse_rest"] > 0]
    for marks, middle, (_, part) in zip(joint.collections, joint.lines, good.groupby("method", sort=False), strict=True):
        assert np.allclose(marks.get_offsets(), part[["mse_selected", "mse_rest"]])
        assert (middle.get_xdata()[0], middle.get_ydata()[0]) == (part["mse_selected"].median(), part["mse_rest"].median())
    assert joint.lines[0].get_marker() != joint.lines[1].get_marker()
    assert "2 of 108 not drawn" in joint.get_xlabel() and "selected" in joint.get_xlabel() and "others" in joint.get_ylabel()
    assert len(top.collections) == len(right.collections) == 2 and top.get_xlim() == joint.get_xlim()
    # densities lie along their own error: at the top over mse_selected, at the right over mse_rest
    places = [collection.get_paths()[0].vertices for collection in (top.collections[0], right.collections[0])]
    first = good[good["method"] == "isolation"]
    for side, error in enumerate(("mse_selected", "mse_rest")):
        ends = places[side][:, side]
        assert first[error].min() / 1e3 < ends.min() < first[error].min() < first[error].max() < ends.max() < first[error].max() * 1e3
    plt.close(figure)


def test_errors_joint_takes_seaborns_joint_grid_and_few_rows():
    joint = seaborn.JointGrid()
    few = pd.DataFrame({"method": ["lrp", "other"], "mse_selected": [1.0, 2.0], "mse_rest": [3.0, 4.0]})
    figures.errors_joint(few, (joint.ax_joint, joint.ax_marg_x, joint.ax_marg_y))
    assert errors_of(joint.ax_joint) == [("LRP", 1), ("other", 1)] and not joint.ax_marg_x.collections
    plt.close(joint.figure)


def medians(ax) -> list[float]:
    return sorted(float(line.get_ydata()[0]) for line in ax.lines if line.get_linewidth() == 2 and len(line.get_ydata()) == 2)


@pytest.mark.parametrize("measure", ["ssim", "mse_rest"])
def test_method_boxes_have_the_medians_of_every_layer_method_and_scale(ax, measure):
    rows = ROWS.copy()
    rows.loc[3, measure] = np.nan
    figures.method_boxes(rows, ax, measure)
    expected = sorted(rows.groupby(["layer", "method", "scale"])[measure].median())
    assert medians(ax) == pytest.approx(expected) and len(expected) == 9
    assert ticks(ax.xaxis) == ["stem", "middle", "head"] and legend(ax) == ["isolation", "guided backprop, peak", "guided backprop, fit"]
    assert ax.get_yscale() == ("log" if measure == "mse_rest" else "linear") and "1 of 108 rows" in ax.get_xlabel()
    colours = [to_hex(patch.get_facecolor()) for patch in ax.get_legend().get_patches()]
    assert len(set(colours)) == 3 and colours[0] == "#d55e00"
    lines = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 2 and len(line.get_ydata()) == 2]
    middles = np.sort([np.mean(ends) for ends in lines]).reshape(3, 3)  # three boxes around each layer's tick, side by side
    assert np.allclose(middles.mean(1), [0, 1, 2]) and np.ptp(middles, 1).max() < 0.8 and np.diff(middles).min() > 0.2


def test_method_boxes_of_an_ablation_go_by_its_terms(ax):
    rows = pd.DataFrame({"layer": ["a", "a", "b"], "terms": ["Lp+Ls", "Lp+Lr", "Lp+Ls"], "ssim": [0.1, 0.5, 0.9]})
    figures.method_boxes(rows, ax, "ssim", by="terms")
    assert legend(ax) == ["Lp+Ls", "Lp+Lr"] and medians(ax) == [0.1, 0.5, 0.9] and "not drawn" not in ax.get_xlabel()


# beta, energies, losses


def test_beta_strip_shows_images_differences_to_the_first_and_maps(grid):
    images = torch.stack([IMAGES[0], IMAGES[0] * 0.75, IMAGES[0] * 0.5])
    maps = torch.stack([MAPS["lrp"][0] * (i + 1) for i in range(3)])
    axes = figures.beta_strip(images, [0.01, 0.1, 1], grid(3, 3), maps=maps, ssim=[0.9, 0.8, 0.7])
    assert [ax.get_title() for ax in axes[0]] == [r"$\beta$ = 0.01", r"$\beta$ = 0.1", r"$\beta$ = 1"]
    away = IMAGES[0] / IMAGES[0].max()
    for column, share in enumerate((0, 0.5, 1)):
        torch.testing.assert_close(picture(axes[0, column]), images[column].double())
        torch.testing.assert_close(picture(axes[1, column]), (away * share).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(picture(axes[2, column]), maps[column].double())
    assert axes[1, 0].get_ylabel().endswith(f"contrast × {2 / float(IMAGES[0].max()):.3g}")
    assert labels(axes[2]) == ["SSIM 0.900", "SSIM 0.800", "SSIM 0.700"]
    assert [ax.images[0].get_clim()[1] for ax in axes[2]] == pytest.approx([float(maps.max())] * 3)
    assert figures.beta_strip(images[:1], [1], grid(2, 1))[1, 0].get_ylabel().endswith("no difference")


def points(ax, label: str) -> list[tuple[float, float]]:
    line = next(line for line in ax.lines if str(line.get_label()).startswith(label))
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_energy_is_in_the_images_order_and_marks_the_kernel(ax):
    before, after = torch.tensor([1.0, 8.0, 4.0, 3.0]), torch.tensor([0.0, 2.0, 4e-9, 6.0])
    assert figures.energy(before, after, ax, 3) is ax
    assert points(ax, "image") == [(0, 8), (1, 4), (2, 3), (3, 1)] and points(ax, "isolated") == [(0, 2), (2, 6)]
    assert legend(ax) == ["image", "isolated (2 of 4 silent)"] and ax.get_yscale() == "log"
    marks = [line for line in ax.lines if line.get_markersize() == 8]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(2, 3), (2, 6)]
    assert ax.get_title() == "kernel 3: 19 % of the energy, isolated 75 %"


def test_energy_on_a_linear_axis_draws_zeros_and_silence_has_no_share(ax):
    figures.energy(torch.tensor([1.0, 3.0]), torch.zeros(2), ax, 0, log=False)
    assert points(ax, "isolated") == [(0, 0), (1, 0)] and ax.get_yscale() == "linear" and "isolated none" in ax.get_title()
    figure, other = plt.subplots()
    assert figures.energy(torch.zeros(3), torch.zeros(3), other, 1).get_yscale() == "linear"
    plt.close(figure)


def test_loss_curve_of_a_result_has_a_line_per_problem_and_a_dot_at_the_lowest(ax):
    figures.loss_curve(FOUND, ax)
    assert legend(ax) == ["kernel 4, image 0", "kernel 4, image 1", "kernel 3, image 0 (inactive)", "kernel 3, image 1 (inactive)"]
    curves = [line for line in ax.lines if len(line.get_xdata()) > 1]
    assert len(curves) == 2
    for i, line in enumerate(curves):
        there = FOUND.loss[i].isfinite()
        assert np.allclose(line.get_ydata(), FOUND.loss[i][there]) and list(line.get_xdata()) == there.nonzero()[:, 0].tolist()
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [line.get_ydata()[0] for line in dots] == pytest.approx(FOUND.best[:2].tolist())


def test_loss_curves_by_name_leave_nan_out_and_share_a_colour(ax):
    nan = float("nan")
    figures.loss_curve({"ours": torch.tensor([[4.0, 0.5, 2.0], [3.0, 2.0, nan]]), "paper": torch.tensor([5.0, 4.0])}, ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
    assert [list(line.get_ydata()) for line in lines] == [[4, 0.5, 2], [3, 2], [5, 4]] and legend(ax) == ["ours", "paper"]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color() and ax.get_yscale() == "log"
    ax.figure.canvas.draw()
    assert {"1", "2", "3"} <= set(ticks(ax.yaxis))  # not powers of ten alone
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1] == [(1, 0.5), (1, 2), (1, 4)]


def test_losses_of_a_narrow_range_have_a_linear_axis(ax):
    assert figures.loss_curve({"a": torch.tensor([2.0, 1.0])}, ax).get_yscale() == "linear"


def test_a_loss_of_zero_makes_the_axis_linear(ax):
    assert figures.loss_curve({"a": torch.tensor([1.0, 0.0])}, ax).get_yscale() == "linear"


def test_every_plot_of_numbers_labels_its_axes(ax):
    for draw in (lambda: figures.energy(torch.ones(3), torch.ones(3), ax, 1), lambda: figures.loss_curve(FOUND, ax),
                 lambda: figures.method_boxes(ROWS, ax, "ssim")):  # fmt: skip
        ax.clear()
        assert draw() is ax and ax.get_xlabel() and ax.get_ylabel() and ax.get_legend()
