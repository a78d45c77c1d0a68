"""Localisation: the three maps against slow literal ones, their invariants (spec 004, oracles 9 to 11), overlaps by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from filterlens.lenses import localization
from toy_localization import IMAGES, LABELS, LAYER, MASKS, OnePixel, literal_iou, network, state


def literal_grad_map(model, kernel, image, sigma):
    """App. H word by word, one image, one filter, float64, SciPy's own blur."""
    from scipy.ndimage import gaussian_filter

    pixels = image[None].clone().requires_grad_()
    maps = model[:4](pixels)
    maps[0, kernel].mean().backward()
    n, h, w = image.shape
    size = torch.zeros(h, w, dtype=torch.float64)
    for row in range(h):
        for column in range(w):
            size[row, column] = sum(float(pixels.grad[0, c, row, column]) ** 2 for c in range(n)) ** 0.5
    rms = (sum(float(v) ** 2 for v in size.flatten()) / (h * w)) ** 0.5
    return gaussian_filter((size / rms).numpy(), sigma) if sigma else (size / rms).numpy()


@pytest.mark.parametrize("sigma", [0.0, 1.3, 5.0, 30.0])
def test_a_grad_map_is_the_literal_one(sigma):
    model = network().double()
    found = localization.grad_maps(model, LAYER, [3, 1], IMAGES.double(), sigma=sigma)
    assert found.shape == (7, 2, 11, 13)
    for image, maps in zip(IMAGES.double(), found, strict=True):
        for kernel, own in zip([3, 1], maps, strict=True):
            assert torch.allclose(own, torch.from_numpy(literal_grad_map(model, kernel, image, sigma)), atol=1e-10)


def test_the_grad_map_before_blur_has_rms_one_and_blur_keeps_the_mean():
    found = localization.grad_maps(network(), LAYER, range(5), IMAGES, sigma=0)
    assert torch.allclose(found.square().mean((2, 3)), torch.ones(7, 5), atol=1e-5)
    wide = localization.grad_maps(network(), LAYER, range(5), IMAGES, sigma=500.0)
    assert torch.allclose(wide, found.mean((2, 3), keepdim=True).expand_as(wide), atol=1e-3)
    assert float(wide.max()) <= 1 + 1e-5  # Jensen: the mean is at most the RMS


def test_the_grad_map_of_one_pixel_fields_is_uniform():
    found = localization.grad_maps(OnePixel(), "conv", [0, 2], IMAGES, sigma=2.5)
    assert torch.allclose(found, torch.ones_like(found), atol=1e-5)


def test_a_filter_without_gradient_gives_zeros():
    found = localization.grad_maps(network(dead=2), LAYER, [2, 0], IMAGES, sigma=0)
    assert found[:, 0].eq(0).all()
    assert found[:, 1].gt(0).any()


def test_blur_keeps_what_it_got_and_mirrors_small_maps():
    maps = torch.rand(2, 3, 4, 5)
    assert torch.equal(localization.blur(maps, 0.0), maps)
    assert torch.allclose(localization.blur(maps, 9.0).mean((2, 3)), maps.mean((2, 3)), atol=1e-5)
    assert localization.blur(maps.double(), 1.0).dtype == torch.float64


def test_activation_maps_at_three_sizes():
    model = network().eval()
    own = localization.activation_maps(model, LAYER, IMAGES, size="own")
    assert torch.equal(own, model[:4](IMAGES))
    assert not own.requires_grad
    for size, sides in ((None, (11, 13)), (9, (9, 9)), ((10, 17), (10, 17))):
        expected = nn.functional.interpolate(own, size=sides, mode="bilinear", align_corners=False)
        assert torch.equal(localization.activation_maps(model, LAYER, IMAGES, size=size), expected)


def test_the_mean_of_a_class_map_and_the_bias_are_the_logit():
    model = network().double().eval()
    maps = localization.class_maps(model, IMAGES.double(), LABELS, size="own")
    logits = model(IMAGES.double())
    linear = model[-1]
    expected = logits[torch.arange(7), LABELS]
    assert torch.allclose(maps.mean((1, 2)) + linear.bias[LABELS], expected, atol=1e-12)
    literal = [sum(linear.weight[c, k] * model[:4](x[None])[0, k] for k in range(5)) for x, c in zip(IMAGES.double(), LABELS, strict=True)]
    assert torch.allclose(maps, torch.stack(literal), atol=1e-12)
    assert localization.class_maps(model, IMAGES.double(), LABELS).shape == (7, 11, 13)


def test_the_pooled_layer_is_found_and_heads_without_pooling_are_refused():
    model = network()
    assert localization.pooled_layer(model, IMAGES) == LAYER  # behind it comes an in-place ReLU, so it is not the convolution
    assert localization.pooled_layer(model, IMAGES, layer=LAYER) == LAYER
    with pytest.raises(ValueError, match=r"^layer\b.*'2'"):
        localization.pooled_layer(model, IMAGES, layer="2")
    maximum = nn.Sequential(*model[:4], nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    with pytest.raises(ValueError, match=r"^model\b.*no layer's maps"):
        localization.class_maps(maximum, IMAGES, LABELS)
    two = nn.Sequential(*model[:4], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 6), nn.Linear(6, 4))
    with pytest.raises(ValueError, match=r"^model\b.*2 linear layers"):
        localization.localize(two, None, IMAGES, MASKS, LABELS, method="cam")


@given(st.integers(1, 6), st.integers(1, 7), st.integers(1, 8), st.floats(0.01, 1), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_thresholds_cut_the_asked_share(n, h, w, share, seed):
    maps = torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    cuts = localization.top_thresholds(maps, share=share)
    reached = (maps >= cuts[:, None, None]).sum((0, 2, 3))
    assert bool((reached >= share * n * h * w - 1e-6).all())
    assert bool((reached - 1 < share * n * h * w).all())  # and no smaller set would do
    mask = localization.top_mask(maps, share)
    assert bool((mask.sum((2, 3)) - 1 < share * h * w).all() & (mask.sum((2, 3)) >= share * h * w - 1e-6).all())
    assert torch.equal(localization.top_mask(maps[:, 1], share), mask[:, 1])


def test_a_share_that_binary_fractions_miss_is_exact():
    assert int(localization.top_mask(torch.arange(100.0).view(1, 10, 10), 0.3).sum()) == 30
    assert float(localization.top_thresholds(torch.arange(30.0).view(1, 1, 5, 6), share=0.1)) == 27
    assert localization.top_mask(torch.ones(2, 3, 4)).all()


@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_iou_is_symmetric_in_its_interval_and_literal(seed, a, b):
    generator = torch.Generator().manual_seed(seed)
    mask, truth = torch.rand(3, 4, 5, generator=generator) < a, torch.rand(3, 4, 5, generator=generator) < b
    found = localization.iou(mask, truth)
    assert torch.equal(found, localization.iou(truth, mask))
    assert found.tolist() == [literal_iou(x, y) for x, y in zip(mask, truth, strict=True)]
    assert bool(((found >= 0) & (found <= 1)).all())
    own = localization.iou(mask, mask)
    assert own.tolist() == [float(one.any()) for one in mask]  # an empty union counts 0
    assert localization.iou(mask[:, None], truth).shape == (3, 3)


def test_the_callers_model_is_as_before():
    model = network()
    model[0].eval()
    before, images = state(model), IMAGES.clone()
    for method in ("activation", "gradient", "cam"):
        localization.localize(model, LAYER, images, MASKS, LABELS, method=method)
    localization.grad_maps(model, LAYER, [0], images)
    localization.class_maps(model, images, LABELS)
    with pytest.raises(ValueError, match="images"):
        localization.grad_maps(model, LAYER, [0], images[:, :1])
    assert state(model) == before
    assert torch.equal(images, IMAGES)
