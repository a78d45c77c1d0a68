"""Responses of decoded filters beside the network's own maps: alignment, normalisations, Table 1."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from toy_networks import Linearised, build, forward_to, normal, relative, stirred

from filterlens.lenses.decoding import compare, decode, error_table, reconstruction_error, respond
from filterlens.linear import MODES

NORMALIZATIONS = ("tensor", "map", "zscore", "fit", "none")


def small(*, bias: bool = True) -> nn.Module:
    return stirred(nn.Sequential(nn.Conv2d(2, 3, 3, bias=bias), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(3, 4, (2, 3), bias=bias)))


# alignment


def conv(*arguments, **settings):
    return nn.Conv2d(*arguments, **settings, bias=False)


LINEAR = {  # exact up to the border: only the image itself is padded
    "strided, padded": (lambda: nn.Sequential(conv(2, 3, (5, 3), stride=2, padding=(2, 1)), conv(3, 4, 2, stride=2)), "1"),
    "dilated, grouped": (lambda: nn.Sequential(conv(2, 4, 3, dilation=2, padding=3, groups=2), conv(4, 5, 3)), "1"),
    "same, even": (lambda: nn.Sequential(conv(2, 3, 4, padding="same"), conv(3, 4, 2, stride=3)), "1"),
    "average pool": (lambda: nn.Sequential(conv(2, 3, 3, padding=1), nn.AvgPool2d(3, 2), conv(3, 4, 2)), "2"),
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("size", [(17, 20), (18, 23), (24, 19)])
def test_linear_networks_are_matched_exactly_up_to_the_border(name, size):
    make, layer = LINEAR[name]
    model = stirred(make())
    decoded, images = decode(model, layer, [3, 0, 2], input_size=(17, 20)), normal(2, 2, *size)
    maps = forward_to(model, layer, images)[:, [3, 0, 2]]
    assert relative(respond(decoded, images), maps) < 1e-12
    found = compare(model, decoded, images, normalize="none")
    assert float(found.error.max()) < 1e-20 * float(maps.detach().var())
    assert found.correlation.tolist() == pytest.approx([1, 1]) and found.rank_correlation.tolist() == pytest.approx([1, 1])
    assert found.agreement.all()


@pytest.mark.parametrize("name", ["padded", "residual", "projection", "dense", "asymmetric", "overlapping pool"])
def test_padding_inside_the_network_is_felt_at_the_border_alone(name):
    model, layer, size = build(name)
    for name, shift in model.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            shift.zero_()
    images = normal(1, size[0], size[1] + 16, size[2] + 16)
    with Linearised():
        maps = forward_to(model, layer, images)
    responses = respond(decode(model, layer, input_size=size[1:], scale="sum"), images)
    assert responses.shape == maps.shape
    edge = 4
    inner = (slice(None), slice(None), slice(edge, -edge), slice(edge, -edge))
    assert relative(responses[inner], maps[inner]) < 1e-12
    assert relative(responses, maps) > 1e-6


def test_a_network_with_fixed_positions_takes_its_own_size_only():
    for name in ("flatten", "global mean", "adaptive pool"):
        model, layer, size = build(name)
        decoded = decode(model, layer, input_size=size[1:], scale="sum")
        assert respond(decoded, normal(2, *size)).shape == forward_to(model, layer, normal(2, *size)).shape
        with pytest.raises(ValueError, match="images: they give a map of"):
            respond(decoded, normal(2, size[0], size[1] + 6, size[2] + 4))


def test_global_pooling_is_exact():
    model, layer, size = build("global mean")
    images = normal(3, *size)
    with Linearised():
        maps = forward_to(model, layer, images) - forward_to(model, layer, torch.zeros(1, *size, dtype=torch.float64))
    assert relative(respond(decode(model, layer, input_size=size[1:]), images), maps) < 1e-12


def test_batches_under_max_bytes_give_the_same_comparison():
    model, images = small(), normal(7, 2, 12, 15)
    decoded = decode(model, "3", input_size=(12, 15))
    whole, parts = (compare(model, decoded, images, max_bytes=b) for b in (2**30, 1))
    for name in ("error", "correlation", "rank_correlation"):
        assert torch.allclose(getattr(whole, name), getattr(parts, name))
        assert getattr(whole, name).shape == (7,)
    assert torch.equal(whole.agreement, parts.agreement)
    assert (whole.mean, whole.std) == (pytest.approx(float(whole.error.mean())), pytest.approx(float(whole.error.std(correction=0))))


def test_measures_by_hand():
    """A network and a decoded filter bank that are known: correlations and agreement of 2 x 1 x 2 maps."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1)).double()
    model[0].weight.data = torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    model[0].bias.data = torch.tensor([0.0, 5.0], dtype=torch.float64)
    images = torch.tensor([[[[1.0, 2.0]]], [[[9.0, 3.0]]]], dtype=torch.float64)
    found = compare(model, decode(model, "0", input_size=(1, 2)), images, normalize="none")
    # image 0: maps 1 2 | 4 3, responses 1 2 | -1 -2; image 1: maps 9 3 | -4 2, responses 9 3 | -9 -3
    assert found.error.tolist() == [12.5, 12.5]
    assert found.agreement.tolist() == [False, True]
    assert found.correlation.tolist() == pytest.approx([-5 / (5 * 10) ** 0.5, 120 / (85 * 180) ** 0.5])
    assert found.rank_correlation.tolist() == pytest.approx([-0.6, 1.0])  # ranks 0 1 3 2 | 2 3 1 0, and 3 2 0 1 twice


def test_rank_correlation_shares_ranks_among_equal_values():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False)).double()
    model[0].weight.data = torch.tensor([1.0, -0.5], dtype=torch.float64).reshape(2, 1, 1, 1)
    decoded = decode(model, "0", input_size=(2, 4))
    images = torch.randint(-2, 3, (3, 1, 2, 4), generator=torch.Generator().manual_seed(0)).double()
    model[0].weight.data[1] = 2
    found = compare(model, decoded, images).rank_correlation
    maps, responses = model(images).detach().flatten(1), respond(decoded, images).flatten(1)
    expected = [spearmanr(a, b).statistic for a, b in zip(maps.numpy(), responses.numpy(), strict=True)]
    assert found.tolist() == pytest.approx(expected)


# normalisations by hand

MAPS = torch.tensor([[[[0.0, 2.0]], [[4.0, 8.0]]]], dtype=torch.float64)  # one image, two maps of 1 x 2
RESPONSES = torch.tensor([[[[1.0, 3.0]], [[5.0, 3.0]]]], dtype=torch.float64)
EXPECTED = {
    # 0 1/4 1/2 1 against 0 1/2 1 1/2
    "tensor": (0 + 1 / 16 + 1 / 4 + 1 / 4) / 4,
    # 0 1 | 0 1 against 0 1 | 1 0
    "map": (0 + 0 + 1 + 1) / 4,
    # means 3.5 and 3, variances 8.75 and 2; covariance ((-3.5)(-2) + 0 + 0.5 * 2 + 0) / 4 = 2: error 2 - 2 r
    "zscore": 2 - 2 * 2 / (8.75 * 2) ** 0.5,
    # best gain 2 / 2 = 1: residual variance 8.75 - 2^2 / 2, in units of the range 8
    "fit": (8.75 - 2) / 64,
    "none": (1 + 1 + 1 + 25) / 4,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_reconstruction_error_by_hand(name):
    assert reconstruction_error(MAPS, RESPONSES, name).tolist() == pytest.approx([EXPECTED[name]])
    both = reconstruction_error(torch.cat([MAPS, MAPS]), torch.cat([RESPONSES, MAPS]), name)
    assert both.tolist() == pytest.approx([EXPECTED[name], 0], abs=1e-15)


def test_the_default_is_the_whole_tensors_range():
    assert torch.equal(reconstruction_error(MAPS, RESPONSES), reconstruction_error(MAPS, RESPONSES, "tensor"))


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_constant_maps_have_no_range_and_become_zero(name):
    flat = torch.full_like(MAPS, 3.0)
    found = reconstruction_error(flat, RESPONSES, name)
    assert torch.isfinite(found).all()
    expected = {"tensor": (0.25 + 1 + 0.25) / 4, "map": 0.5, "zscore": 1.0, "fit": 0.0, "none": (4 + 0 + 4 + 0) / 4}[name]
    assert found.tolist() == pytest.approx([expected])
    assert reconstruction_error(flat, flat + (name != "none"), name).tolist() == pytest.approx([0])


@pytest.mark.parametrize("name", ["tensor", "map", "zscore", "fit"])
def test_scale_and_contrast_of_the_decoded_filters_do_not_matter(name):
    maps, responses = normal(3, 4, 5, 6), normal(3, 4, 5, 6, seed=1)
    assert torch.allclose(reconstruction_error(maps, 7 * responses + 3, name), reconstruction_error(maps, responses, name))


def test_single_numbers_have_no_map_range():
    with pytest.raises(ValueError, match="normalize: got 'map'"):
        reconstruction_error(normal(2, 3, 1, 1), normal(2, 3, 1, 1), "map")


# Table 1


def test_every_cell_of_the_table_is_the_comparison():
    model, images = small(), normal(5, 2, 12, 15)
    table = error_table(model, ["0", "3"], images.split(2), input_size=(12, 15))
    assert table.n == 5
    assert table.errors.keys() == {(layer, mode, name) for layer in ("0", "3") for mode in MODES for name in NORMALIZATIONS}
    for (layer, mode, name), errors in table.errors.items():
        found = compare(model, decode(model, layer, unpool=mode, input_size=(12, 15)), images, normalize=name)
        assert torch.allclose(errors, found.error, rtol=1e-12)
        assert torch.allclose(table.correlations[layer, mode], found.correlation, rtol=1e-12)
        assert torch.equal(table.agreements[layer, mode], found.agreement)


def test_the_table_leaves_out_what_is_impossible():
    model, layer, size = build("flatten")
    table = error_table(model, [layer], [normal(3, *size)], unpools=("nearest",), normalizations=("map", "tensor"), input_size=size[1:])
    assert set(table.errors) == {(layer, "nearest", "tensor")}


def test_maps_are_taken_before_an_in_place_activation():
    model = stirred(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 2)))
    images = normal(3, 2, 9, 11)
    decoded = decode(model, "0", input_size=(9, 11))
    model[0].bias.data.zero_()
    assert float(compare(model, decoded, images, normalize="none").error.max()) < 1e-20
    assert float(error_table(model, ["0"], [images], input_size=(9, 11)).errors["0", "nearest", "none"].max()) < 1e-20
