"""The scales of a pattern: what each promises, and that the search for the best factor finds it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy_networks import normal, relative, stirred

from filterlens.lenses.attribution import METHODS, SCALES, explain
from filterlens.lenses.attribution.scaling import fitted, scaled


def network() -> nn.Module:
    return stirred(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 5, (2, 3)), nn.ReLU()), seed=1)


IMAGES = normal(4, 2, 9, 11)
PER_IMAGE = (1, 2, 3)


@pytest.mark.parametrize("method", METHODS)
def test_every_scale_is_a_map_of_the_raw_pattern(method):
    found = {scale: explain(network(), "2", 3, IMAGES, method=method, scale=scale) for scale in SCALES}
    raw, peak, fit, ranged = found["raw"], found["peak"], found["fit"], found["range"]
    torch.testing.assert_close(peak.abs().amax(PER_IMAGE), IMAGES.abs().amax(PER_IMAGE))
    torch.testing.assert_close(ranged.amax(PER_IMAGE), IMAGES.amax(PER_IMAGE))
    torch.testing.assert_close(ranged.amin(PER_IMAGE), IMAGES.amin(PER_IMAGE))
    for i in range(len(IMAGES)):
        for other in (peak[i], fit[i], ranged[i]):
            assert torch.corrcoef(torch.stack([raw[i].flatten(), other.flatten()]))[0, 1] > 1 - 1e-9
        for other in (peak[i], fit[i]):
            assert relative(other / other.abs().max(), raw[i] / raw[i].abs().max()) < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_no_other_factor_keeps_the_map_better_than_fit(method):
    model = network()
    fit = explain(model, "2", 3, IMAGES, method=method, scale="fit")
    wanted = model(IMAGES.clone())[:, 3]

    def loss(candidates: torch.Tensor) -> torch.Tensor:
        return (model(candidates.clone())[:, 3] - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)

    with torch.no_grad():
        best = loss(fit)
        peak = loss(explain(model, "2", 3, IMAGES, method=method, scale="peak"))
        nearby = [loss(fit * factor) for factor in (0.8, 0.9, 1.1, 1.25)]
    assert bool((best <= peak).all())
    assert all(bool((best <= other + 1e-9).all()) for other in nearby)


def test_fit_finds_the_image_where_the_pattern_is_a_multiple_of_it():
    model = stirred(nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.ReLU()))
    model[0].weight.data.copy_(torch.tensor([0.3, -1.0, 2.5]).reshape(3, 1, 1, 1))
    images = normal(3, 1, 5, 7).abs()
    found = explain(model, "0", 2, images, method="gradient", scale="fit")
    torch.testing.assert_close(found, images, rtol=4e-3, atol=0)


@given(st.lists(st.floats(-5.5, 5.5), min_size=1, max_size=5))
def test_the_search_finds_a_single_minimum(exponents):
    wanted = torch.tensor(exponents, dtype=torch.float64)
    patterns = torch.ones(len(wanted), 1, 2, 3, dtype=torch.float64)
    calls = []

    def loss(candidates: torch.Tensor) -> torch.Tensor:
        calls.append(len(candidates))
        return (candidates[:, 0, 0, 0].log2() - wanted).abs()

    found = fitted(patterns, loss)[:, 0, 1, 2].log2()
    assert float((found - wanted).abs().max()) < 0.004  # of an octave: 0.3 %
    assert calls == [len(wanted)] * 27


@pytest.mark.parametrize("scale", SCALES)
def test_a_pattern_of_zeros_stays_zero(scale):
    patterns = torch.stack([torch.zeros(2, 5, 7), torch.rand(2, 5, 7)])
    found = scaled(patterns, torch.rand(2, 2, 5, 7), scale, lambda candidates: candidates.flatten(1).norm(dim=1))
    assert bool((found[0] == 0).all()) and bool((found[1] != 0).any())
    assert bool(torch.isfinite(found).all())
