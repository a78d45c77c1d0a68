"""Prewitt's operators (figure 1 of the simplex paper): a convolution of a mixture is the mixture of the convolutions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from filterlens.lenses.simplex.prewitt import prewitt_filters, prewitt_response

torch.set_num_threads(1)
IMAGE = torch.rand(9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_three_operators_of_the_paper():
    x, y, z = prewitt_filters()[:, 0]
    assert x.tolist() == [[-1, 0, 1]] * 3 and y.tolist() == [[-1] * 3, [0] * 3, [1] * 3]
    assert z.tolist() == [[-1, -0.5, 0], [-0.5, 0, 0.5], [0, 0.5, 1]]
    assert torch.equal(prewitt_filters(1.0)[2], prewitt_filters()[0]) and torch.equal(prewitt_filters(0)[2, 0], y)


def test_they_are_single_precision_whatever_the_default_is():
    torch.set_default_dtype(torch.float64)
    try:
        assert prewitt_filters().dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_x_answers_vertical_edges_and_y_horizontal_ones():
    image = torch.zeros(6, 5)
    image[:, 3:] = 1  # one vertical edge between columns 2 and 3
    maps = prewitt_response(image).maps
    assert maps[0].tolist() == [[0, 3, 3]] * 4 and not maps[1].any() and maps[2].tolist() == [[0, 1.5, 1.5]] * 4
    turned = prewitt_response(image.T).maps
    assert not turned[0].any() and torch.equal(turned[1], maps[0].T)


@given(mix=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_mixture_answers_with_the_mixture(mix, seed):
    image = torch.rand(8, 11, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = prewitt_response(image, mix)
    x, y, z = (F.conv2d(image[None, None], w[None].double())[0, 0] for w in prewitt_filters(mix))
    assert torch.allclose(found.maps, torch.stack([x, y, z]), atol=1e-12)
    assert found.difference < 1e-5 and found.maps.shape == (3, 6, 9)  # the filters are float32


def test_difference_sees_what_is_not_the_mixture():
    found = prewitt_response(IMAGE, 0.3)
    found.maps[2, 1, 2] += 0.25
    assert found.difference == pytest.approx(0.25, abs=1e-6)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: prewitt_filters(1.5), ValueError, "mix"),
        (lambda: prewitt_filters(float("nan")), ValueError, "mix"),
        (lambda: prewitt_filters("half"), TypeError, "mix"),
        (lambda: prewitt_filters(True), TypeError, "mix"),
        (lambda: prewitt_response(IMAGE, -0.1), ValueError, "mix"),
        (lambda: prewitt_response(IMAGE[None]), ValueError, "image"),
        (lambda: prewitt_response(IMAGE[:2]), ValueError, "image"),
        (lambda: prewitt_response(IMAGE[:0]), ValueError, "image"),
        (lambda: prewitt_response((255 * IMAGE).byte()), TypeError, "image"),
        (lambda: prewitt_response(IMAGE * torch.nan), ValueError, "image"),
        (lambda: prewitt_response(IMAGE.tolist()), TypeError, "image"),
    ],
)
def test_bad_input(call, error, name):
    with pytest.raises(error, match=f"^{name}"):
        call()
