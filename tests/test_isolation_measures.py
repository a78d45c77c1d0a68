"""Measures of isolation: SSIM against scikit-image and by hand, errors and energies by loops, the colour chart."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from toy_networks import normal

from filterlens import metrics
from filterlens.lenses.isolation import colour_chart, selectivity


def by_hand(x: np.ndarray, y: np.ndarray, span: float) -> float:
    """SSIM by a loop over windows: Gaussian weights in the largest odd window up to 11 that fits."""
    window = min(11, *(side if side % 2 else side - 1 for side in x.shape))
    point = np.zeros((window, window))
    point[window // 2, window // 2] = 1
    weights = ndimage.gaussian_filter(point, 1.5, radius=window // 2, mode="constant")
    weights /= weights.sum()
    c1, c2, found = (0.01 * span) ** 2, (0.03 * span) ** 2, []
    for i in range(x.shape[0] - window + 1):
        for j in range(x.shape[1] - window + 1):
            a, b = x[i : i + window, j : j + window], y[i : i + window, j : j + window]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            found.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(found))


@pytest.mark.parametrize("size", [(3, 3), (3, 8), (4, 5), (9, 14), (10, 10), (11, 11), (12, 17), (23, 12)])
def test_ssim_is_the_mean_over_windows(size):
    a, b = normal(3, *size), normal(3, *size, seed=1) * 0.3 + normal(3, *size)
    expected = [by_hand(x, y, float(y.max() - y.min())) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert metrics.map_ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)


def test_ssim_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity

    a, b = normal(2, 31, 27).float(), normal(2, 31, 27, seed=1).float()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        structural_similarity(x.numpy(), y.numpy(), data_range=float(y.max() - y.min()), **options) for x, y in zip(a, b, strict=True)
    ]
    assert metrics.map_ssim(a, b).tolist() == pytest.approx(expected, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 16), st.integers(3, 16), st.floats(0.01, 100), st.integers(0, 1000))
def test_ssim_of_a_map_with_itself_is_one_at_any_scale_and_never_above(h, w, scale, seed):
    a, b = normal(2, h, w, seed=seed), normal(2, h, w, seed=seed + 1)
    torch.testing.assert_close(metrics.map_ssim(scale * b, scale * b), torch.ones(2).double())
    found = metrics.map_ssim(a, b)
    assert bool((found <= 1 + 1e-12).all() and (found >= -1 - 1e-12).all())
    torch.testing.assert_close(metrics.map_ssim(scale * a, scale * b), found, atol=1e-8, rtol=1e-6)


def test_ssim_is_symmetric_for_a_shared_range():
    a = normal(1, 13, 15)
    b = a.flip(1)
    torch.testing.assert_close(metrics.map_ssim(a, b), metrics.map_ssim(b, a))


def test_ssim_is_undefined_for_tiny_and_constant_maps():
    assert metrics.map_ssim(normal(2, 2, 9), normal(2, 2, 9, seed=1)).isnan().all()
    mixed = torch.stack([torch.ones(7, 6).double(), normal(7, 6)])
    assert metrics.map_ssim(normal(2, 7, 6, seed=1), mixed).isnan().tolist() == [True, False]


def loops(after, before, kernel):
    rows = []
    for a, b, k in zip(after, before, kernel.tolist(), strict=True):
        rest = [j for j in range(len(a)) if j != k]
        mse = sum(float((a[j] ** 2).mean()) for j in rest) / len(rest)
        mse_before = sum(float((b[j] ** 2).mean()) for j in rest) / len(rest)
        energy, energy_before = (sum(float((x[j] ** 2).sum()) for j in range(len(x))) for x in (a, b))
        rows.append(
            [
                float(((a[k] - b[k]) ** 2).mean()), mse, mse / mse_before,
                math.sqrt(float(((a[k] - b[k]) ** 2).sum()) / float((b[k] ** 2).sum())),
                float((a[k] ** 2).sum()) / energy, float((b[k] ** 2).sum()) / energy_before,
            ]
        )  # fmt: skip
    return rows


NAMES = ("mse_selected", "mse_rest", "mse_rest_ratio", "preservation", "selectivity", "selectivity_before")


def test_selectivity_is_what_loops_say():
    after, before, kernel = normal(3, 5, 6, 7), normal(3, 5, 6, 7, seed=1), torch.tensor([4, 0, 2])
    found = selectivity(after, before, kernel)
    table = torch.stack([getattr(found, name) for name in NAMES], 1)
    torch.testing.assert_close(table, torch.tensor(loops(after, before, kernel), dtype=torch.float64))
    torch.testing.assert_close(found.ssim, metrics.map_ssim(after[range(3), kernel], before[range(3), kernel]))


def test_perfect_isolation_and_none_at_all():
    before, kernel = normal(2, 4, 5, 6).abs(), torch.tensor([3, 1])
    alone = torch.zeros_like(before)
    alone[range(2), kernel] = before[range(2), kernel]
    found = selectivity(alone, before, kernel)
    assert found.selectivity.tolist() == [1, 1] and found.mse_rest.tolist() == [0, 0] and found.preservation.tolist() == [0, 0]
    same = selectivity(before, before, kernel)
    assert same.mse_rest_ratio.tolist() == [1, 1] and torch.equal(same.selectivity, same.selectivity_before)


def test_what_is_undefined_is_nan():
    before, kernel = normal(2, 1, 5, 6).abs(), torch.tensor([0, 0])
    single = selectivity(before, before, kernel)
    assert single.mse_rest.isnan().all() and single.mse_rest_ratio.isnan().all() and single.selectivity.tolist() == [1, 1]
    after = normal(2, 3, 5, 6)
    after[1] = torch.nan
    skipped = selectivity(after, normal(2, 3, 5, 6, seed=1), torch.tensor([2, 1]))
    for name in ("ssim", *NAMES[:-1]):
        assert getattr(skipped, name).isnan().tolist() == [False, True], name


def test_the_colour_chart_is_the_hsv_sweep():
    chart = colour_chart(9)
    assert chart.shape == (1, 3, 9, 9) and float(chart.min()) == 0 and float(chart.max()) == 1
    for y in range(9):
        for x in range(9):
            down = 2 * y / 8
            assert chart[0, :, y, x].tolist() == pytest.approx(colorsys.hsv_to_rgb(x / 9, min(2 - down, 1), min(down, 1)), abs=1e-6)


def test_the_colour_chart_holds_nearly_all_colours_of_the_hue_circle():
    pixels = (colour_chart(224)[0] * 255).round().long().flatten(1)
    assert len(torch.unique(pixels[0] * 65536 + pixels[1] * 256 + pixels[2])) > 40_000
    assert colour_chart().shape == (1, 3, 224, 224)
