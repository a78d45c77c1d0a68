"""Decoding by substitution: the oracles of the specification, eleven of twelve here.

Oracle 7 on whole networks stands in ``test_decoding_oracles.py``, oracle 11 in ``test_characters.py``; what ``decode``
promises beside the oracles in ``test_decode.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from toy_networks import build, gradient, normal, placed, relative, stirred, tiny

from filterlens.lenses.decoding import compare, decode, respond, substitute
from filterlens.linear import MODES, unpool
from filterlens.models.architectures import LeNet

EXACT = 1e-12
few = settings(max_examples=20, deadline=None)
small, seeds = st.integers(1, 4), st.integers(0, 2**31 - 1)


def linear_only(pool: nn.Module | None) -> nn.Module:
    middle = [pool] if pool else []
    return stirred(nn.Sequential(nn.Conv2d(2, 3, (3, 2), bias=False), *middle, nn.Conv2d(3, 4, (2, 3), bias=False)))


def substitute_by_loops(z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Replace every pixel by a scaled copy of the filter, and add: z (k, h, w), weight (k, c, kh, kw)."""
    (k, h, w), (_, c, kh, kw) = z.shape, weight.shape
    out = np.zeros((c, h + kh - 1, w + kw - 1))
    for j in range(k):
        for y in range(h):
            for x in range(w):
                for i in range(c):
                    out[i, y : y + kh, x : x + kw] += z[j, y, x] * weight[j, i]
    return out


def decode_by_paths(weights: dict[int, np.ndarray], pools: set[int], layer: int, kernel: int) -> np.ndarray:
    """The paper's ``filter_decoding``: one picture for each path of channels, summed over paths at the very end."""
    paths = [((c,), weights[layer][kernel, c]) for c in range(weights[layer].shape[1])]
    for below in range(layer - 1, 0, -1):
        if below in pools:
            paths = [(path, np.kron(picture, np.ones((2, 2)))) for path, picture in paths]
        elif below in weights:
            longer = []
            for path, picture in paths:
                f = weights[below][path[-1]]
                for c in range(f.shape[0]):
                    longer.append(((*path, c), substitute_by_loops(picture[None], f[None, c : c + 1])[0]))
            paths = longer
    image = np.zeros((weights[1].shape[1], *paths[0][1].shape))
    for path, picture in paths:
        image[path[-1]] += picture
    return image


# the twelve oracles


@given(n=small, k=small, c=small, h=small, w=small, kh=small, kw=small, seed=seeds)
@few
def test_oracle_01_substitution_is_the_transposed_convolution(n, k, c, h, w, kh, kw, seed):
    z, weight = normal(n, k, h, w, seed=seed), normal(k, c, kh, kw, seed=seed + 1)
    found = substitute(z, weight)
    assert found.shape == (n, c, h + kh - 1, w + kw - 1)
    by_loops = np.stack([substitute_by_loops(one.numpy(), weight.numpy()) for one in z])
    assert np.allclose(found.numpy(), by_loops, rtol=0, atol=1e-12)
    assert torch.allclose(found, F.conv_transpose2d(z, weight))


@given(stride=small, k=small, c=small, kh=small, kw=small, seed=seeds)
@few
def test_oracle_02_substitution_is_the_adjoint_of_the_convolution(stride, k, c, kh, kw, seed):
    weight = normal(k, c, kh, kw, seed=seed)
    z = normal(2, k, 3, 4, seed=seed + 1)
    x = normal(2, c, 2 * stride + kh, 3 * stride + kw, seed=seed + 2)
    assert torch.allclose((F.conv2d(x, weight, stride=stride) * z).sum(), (x * substitute(z, weight, stride)).sum(), rtol=1e-10, atol=1e-10)


@given(seed=seeds, a=st.floats(-3, 3), b=st.floats(-3, 3))
@few
def test_oracle_03_substitution_is_linear_in_both_arguments(seed, a, b):
    (z, y), (v, w) = normal(2, 2, 3, 4, 5, seed=seed), normal(2, 3, 2, 2, 3, seed=seed + 1)
    assert torch.allclose(substitute(a * z + b * y, w), a * substitute(z, w) + b * substitute(y, w), atol=1e-10)
    assert torch.allclose(substitute(z, a * v + b * w), a * substitute(z, v) + b * substitute(z, w), atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_oracle_03_decoding_is_linear_in_every_layers_weights(mode, layer):
    pictures = {}
    first = tiny().get_submodule(layer).weight.detach().clone()
    second = normal(*first.shape, seed=9)
    for name, weight in {"first": first, "second": second, "both": 2 * first - 3 * second}.items():
        model = tiny()
        model.get_submodule(layer).weight.data = weight
        pictures[name] = decode(model, "4", input_size=(14, 16), unpool=mode).images
    assert relative(2 * pictures["first"] - 3 * pictures["second"], pictures["both"]) < EXACT


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", ["none", "sum"])
def test_oracle_04_decoding_is_the_whole_stack_on_one_pixel(mode, scale):
    model = tiny()
    w1, w2, w3 = (model[i].weight for i in (0, 2, 4))
    z = substitute(substitute(torch.eye(5, dtype=torch.float64)[:, :, None, None], w3), w2)
    z = substitute(unpool(z, 2, mode) / (4 if scale == "sum" else 1), w1)
    assert relative(decode(model, "4", input_size=(14, 16), unpool=mode, scale=scale).images, z) < EXACT


def test_oracle_05_a_linear_network_is_its_decoded_filters():
    model, images = linear_only(None), normal(3, 2, 9, 11)
    decoded = decode(model, "1", input_size=(9, 11))
    maps = model(images)
    assert relative(F.conv2d(images, decoded.images), maps) < EXACT
    assert relative(respond(decoded, images), maps) < EXACT
    found = compare(model, decoded, images, normalize="none")
    assert float((found.error / maps.detach().var((1, 2, 3))).max()) < 1e-20


@pytest.mark.parametrize("height", [12, 13])
def test_oracle_06_average_pools_are_exact_with_nearest_and_sum(height):
    model, images = linear_only(nn.AvgPool2d(2)), normal(3, 2, height, 15)
    decoded = decode(model, "2", input_size=(12, 15), scale="sum")
    maps = model(images)
    rows, columns = maps.shape[2:]
    assert decoded.stride == 2
    assert relative(F.conv2d(images, decoded.images)[:, :, ::2, ::2][:, :, :rows, :columns], maps) < EXACT
    assert relative(respond(decoded, images), maps) < EXACT


def test_oracle_06_maximum_pools_are_not_exact():
    model, images = linear_only(nn.MaxPool2d(2)), normal(3, 2, 12, 15)
    assert relative(respond(decode(model, "2", input_size=(12, 15), scale="sum"), images), model(images)) > 0.1


@pytest.mark.parametrize("name", ["dense", "overlapping pool", "projection", "asymmetric"])
def test_oracle_07_a_decoded_filter_is_the_gradient_of_an_interior_unit(name):
    model, layer, size = build(name)
    decoded = decode(model, layer, [3, 1], scale="sum", input_size=size[1:])
    rows, columns = decoded.trace.size(*size[1:])
    unit = (rows // 2, columns // 2)
    corner = tuple(u * decoded.stride + o for u, o in zip(unit, decoded.offset, strict=True))
    for picture, kernel in zip(decoded.images, decoded.kernels, strict=True):
        assert relative(placed(picture, corner, size), gradient(model, layer, kernel, size, unit)) < EXACT


@pytest.mark.parametrize(("layer", "number"), [("0", 1), ("2", 3), ("4", 5)])
def test_oracle_08_path_by_path_is_the_same_as_summing_channels_at_once(layer, number):
    model = tiny()
    weights = {n: model[i].weight.detach().numpy() for n, i in ((1, 0), (3, 2), (5, 4))}
    found = decode(model, layer, input_size=(14, 16)).images
    assert found.shape[0] == {"0": 3, "2": 4, "4": 5}[layer]
    for k, picture in enumerate(found):
        expected = decode_by_paths(weights, {2}, number, k)
        assert picture.shape == expected.shape
        assert np.allclose(picture.detach().numpy(), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("layer", "k", "side", "stride"), [("conv1", 20, 5, 1), ("conv2", 50, 14, 2), ("conv3", 500, 28, 4), ("conv4", 10, 28, 4)]
)
def test_oracle_09_sizes_of_the_papers_lenet(layer, k, side, stride):
    decoded = decode(LeNet(), layer)
    assert decoded.images.shape == (k, 1, side, side)
    assert (decoded.stride, decoded.offset, decoded.kernels) == (stride, (0, 0), tuple(range(k)))
    assert decoded.images.dtype == torch.float32 and not decoded.images.requires_grad


def test_oracle_09_sizes_on_the_way_down():
    steps = decode(LeNet(), "conv3", [0, 1]).steps
    sizes = [(step.name, step.kind, step.shape) for step in steps]
    assert sizes == [
        ("conv3", "convolution", (50, 4, 4)),
        ("pool2", "maxpool", (50, 8, 8)),
        ("conv2", "convolution", (20, 12, 12)),
        ("pool1", "maxpool", (20, 24, 24)),
        ("conv1", "convolution", (1, 28, 28)),
    ]


def test_oracle_10_a_bias_shifts_each_map_by_a_constant():
    model, images = linear_only(nn.AvgPool2d(2)), normal(3, 2, 12, 15)
    decoded = decode(model, "2", input_size=(12, 15), scale="sum")
    plain = model(images)
    model[0].bias, model[2].bias = nn.Parameter(normal(3, seed=1)), nn.Parameter(normal(4, seed=2))
    shift = model(images) - plain
    assert relative(shift, shift.mean((2, 3), keepdim=True).expand_as(shift)) < 1e-10
    assert relative(decode(model, "2", input_size=(12, 15), scale="sum").images, decoded.images) == 0
    assert float(compare(model, decoded, images, normalize="map").error.max()) < 1e-20  # removed map by map
    assert float(compare(model, decoded, images, normalize="tensor").error.min()) > 1e-4  # not by the whole bank's range


@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_oracle_12_a_delta_leaves_pictures_unchanged_but_for_a_shift(place):
    model = linear_only(None)
    below = decode(model, "1", input_size=(9, 11))
    delta = nn.Conv2d(4, 4, 3, bias=False).double()
    delta.weight.data.zero_()
    delta.weight.data[range(4), range(4), place[0], place[1]] = 1
    above = decode(nn.Sequential(*model, delta), "2", input_size=(9, 11))
    shifted = torch.stack([placed(picture, place, above.images.shape[1:]) for picture in below.images])
    assert above.images.shape == (4, 2, 6, 6) and relative(above.images, shifted) < EXACT
