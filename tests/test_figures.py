"""Figures draw what the result says: Axes are tested, never pixels of a whole picture."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from filterlens.figures import decoding as figures
from filterlens.figures import pictures
from filterlens.lenses.decoding import CHARACTERS, CharacterNetwork, contributions, decode, error_table


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)).eval()


def test_signed_keeps_zero_in_the_middle_of_the_colours(ax):
    pictures.signed(torch.tensor([[-1.0, 0.0, 0.5]]), ax)
    image = ax.images[0]
    assert image.get_clim() == (-1.0, 1.0)
    assert np.allclose(image.to_rgba(image.get_array())[0, 1, :3], [0.97, 0.97, 0.97], atol=0.03)  # zero is (nearly) white
    red, _, blue, _ = image.to_rgba(np.array([[1.0]]))[0, 0]
    assert red > blue  # positive is red


def test_signed_takes_a_common_limit_and_survives_a_zero_picture(ax):
    pictures.signed(torch.zeros(1, 3, 4), ax)
    assert ax.images[0].get_clim() == (-1.0, 1.0)
    pictures.signed(torch.ones(3, 4), ax, limit=5.0)
    assert ax.images[1].get_clim() == (-5.0, 5.0)


def test_mosaic_lays_pictures_out_row_by_row():
    images = torch.arange(1.0, 6)[:, None, None, None].expand(5, 1, 2, 3).clone()
    out = pictures.mosaic(images, columns=3, each=False)
    assert out.shape == (1, 2 * 2 + 1, 3 * 3 + 2)
    assert out[0, 0, 0] == 1 and out[0, 1, 10] == 3 and out[0, 3, 4] == 5
    assert out[0, 2].isnan().all() and out[0, :, 3].isnan().all() and out[0, 3:, 8:].isnan().all()


def test_mosaic_scales_each_picture_by_its_own_largest_magnitude_and_leaves_the_input_alone():
    images = torch.tensor([[[[-4.0, 2.0]]], [[[0.0, 0.0]]]])
    before = images.clone()
    out = pictures.mosaic(images, columns=2)
    assert out[0, 0, :2].tolist() == [-1.0, 0.5] and out[0, 0, 3:].tolist() == [0.0, 0.0]
    assert torch.equal(images, before)


def test_bank_draws_the_chosen_kernels_and_says_which_layer(ax, net):
    decoded = decode(net, "2", [5, 1, 3], input_size=12)
    assert figures.bank(decoded, ax, kernels=[3], columns=2) is ax
    assert "'2'" in ax.get_title() and "8 x 8" in ax.get_title()
    shown = ax.images[0].get_array()[::3, ::3]  # 8 x 8 pixels are drawn three times as large
    picture = decoded.images[2, 0]
    assert np.allclose(shown, picture / picture.abs().max(), atol=1e-6)


def test_steps_names_every_size(net):
    figure, axes = plt.subplots(1, 3)
    figures.steps(decode(net, "2", [0], input_size=12, keep_steps=True), axes)
    assert [ax.get_title().splitlines()[-1] for ax in axes] == ["3 x 3 (4 channels)", "6 x 6 (4 channels)", "8 x 8"]
    plt.close(figure)


def test_steps_refuses_a_result_without_them(net, ax):
    with pytest.raises(ValueError, match="keep_steps"):
        figures.steps(decode(net, "2", [0], input_size=12), [ax] * 3)
    with pytest.raises(ValueError, match="axes"):
        figures.steps(decode(net, "2", [0], input_size=12, keep_steps=True), [ax])


def test_response_matrix_marks_row_and_column_maxima(ax):
    matrix = torch.tensor([[3.0, 1.0, 9.0], [0.0, 2.0, 1.0]])
    figures.response_matrix(matrix, ax)
    bold = [i for i, text in enumerate(ax.texts) if text.get_fontweight() == "bold"]
    assert bold == [2, 4]  # row maxima: (0, 2), (1, 1)
    assert sorted((int(p.get_x()), int(p.get_y())) for p in ax.patches) == [(0, 0), (1, 1), (2, 0)]
    assert [t.get_text() for t in ax.texts] == ["3.0", "1.0", "9.0", "0.0", "2.0", "1.0"]


def test_maps_beside_shows_each_side_in_its_own_range():
    figure, axes = plt.subplots(1, 2)
    maps = torch.tensor([[[0.0, 10.0]], [[5.0, 5.0]]])
    figures.maps_beside(maps, -maps, axes, columns=2)
    assert np.nanmax(axes[0].images[0].get_array()) == 1 and np.nanmin(axes[1].images[0].get_array()) == 0
    plt.close(figure)


def test_best_images_are_tinted_and_outlined(net):
    images = torch.rand(5, 1, 8, 8)
    decoded = decode(net, "2", [4, 2], input_size=12)
    figure, axes = plt.subplots(2, 2)
    figures.best_images(decoded, images, [0, 1], [2, 3], axes)
    bright = axes[0, 0].images[0].get_array()
    assert bright.shape == (8, 8, 3)
    y, x = divmod(int(images[0, 0].argmax()), 8)
    assert bright[y, x, 0] > bright[y, x, 2]  # red, not blue, where the digit is bright
    assert axes[0, 1].get_title() == "2"
    plt.close(figure)


def test_error_by_depth_states_n_and_draws_the_papers_points(net, ax):
    table = error_table(
        net, ["0", "2"], [torch.rand(7, 1, 12, 12)], unpools=("nearest", "bilinear"), normalizations=("tensor",), input_size=12
    )
    figures.error_by_depth(table, ax, published={("2", "nearest"): 0.01})
    assert "n = 7" in ax.get_xlabel()
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert any(np.nansum(line.get_ydata()) == pytest.approx(0.01) for line in crosses)


def test_activations_needs_one_axis_per_layer(net):
    hand = CharacterNetwork()
    family = {"strokes": decode(hand, "strokes", input_size=14)}
    figure, axes = plt.subplots(1, 1, squeeze=False)
    figures.activations({"strokes": torch.rand(4, 10, 10)}, family, axes[0])
    assert "10 x 10" in axes[0, 0].get_title()
    plt.close(figure)


def test_tree_draws_a_shared_part_once(ax):
    hand = CharacterNetwork()
    family = decode(hand, "characters", input_size=14)
    trees = [contributions(family, list(CHARACTERS).index(name), top=16, depth=1) for name in "CD"]
    figures.tree(trees, ax, names="CD")
    labels = [text.get_text() for text in ax.texts]
    assert labels.count("parts 1") == 1 and "C" in labels and "D" in labels
    assert len(ax.lines) == 8  # four parts each


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda ax: pictures.signed(torch.rand(2, 3, 4), ax), "image"),
        (lambda ax: pictures.signed(torch.rand(1, 1, 3, 4), ax), "image"),
        (lambda ax: pictures.photograph(torch.rand(4), ax), "image"),
        (lambda ax: pictures.mosaic(torch.rand(3, 4), columns=2), "images"),
        (lambda ax: pictures.mosaic(torch.rand(0, 1, 3, 4), columns=2), "images"),
        (lambda ax: pictures.mosaic(torch.rand(2, 1, 3, 4), columns=0), "columns"),
        (lambda ax: pictures.mosaic([[1.0]], columns=1), "images"),
        (lambda ax: pictures.signed_mosaic(torch.full((1, 1, 2, 3), torch.nan), ax, columns=1), "images"),
    ],
)
def test_bad_pictures_are_refused_by_name(call, name, ax):
    with pytest.raises((TypeError, ValueError), match=name):
        call(ax)
