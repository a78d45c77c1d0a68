"""What the library's methods answer from a layer's weights or a whole network: which filters are redundant, what a unit looks for, which
pixels made it answer; ``answering`` lists them by question.

Beside the lenses stand plain rivals, which no lens claims: a lens that they beat has something to explain.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...lenses import ranking
from ...lenses.attribution import explain
from ...lenses.decoding import decode
from ...lenses.filter_ranking import FilterRanking
from ...lenses.gates import filter_cosines
from ...lenses.isolation import isolate
from ...lenses.localization import activation_maps, grad_maps
from .world import Layer, Method, Seen, Units


def _ranked(method: str, given: Layer) -> FilterRanking:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # copies may leave fewer kinds of filters than archetypes
        return ranking.rank(given.weight, method, seed=given.seed)


def _positional_told(given: Layer) -> FilterRanking:
    """Positional relevance that knows how many filters are needed and takes as many archetypes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ranking.rank(given.weight, "positional", seed=given.seed, d=len(given.weight) - given.n_redundant)


def _hull(given: Layer) -> Tensor:
    """Minus each filter's distance to the convex hull of all others, over its norm: the definition of a mixture, without archetypes.

    Shares of sum 1 by a heavy row of ones below the filters, which leaves them 1e-6 off; ``simplex_codes`` takes a hundred times as long
    for one filter after the other.
    """
    from scipy.optimize import nnls

    columns = given.weight.flatten(1).double().T
    heavy = 1e3 * columns.norm(dim=0).mean()
    bound = torch.cat([columns, heavy.expand(1, columns.shape[1])]).numpy()
    far = [nnls(np.delete(bound, at, 1), bound[:, at])[1] for at in range(bound.shape[1])]
    return -torch.tensor(far) / columns.norm(dim=0)


def _cosine(given: Layer) -> Tensor:
    """Each filter's largest cosine with another."""
    k = len(given.weight)
    return filter_cosines(given.weight, torch.zeros(k, dtype=torch.int64)).matrix.fill_diagonal_(-1).amax(1)


def _picture(given: Units, **options: Any) -> Tensor:
    images = given.images
    return decode(given.model, given.layer, list(given.kernels), input_size=tuple(images.shape[1:]), **options).images


def _gradient(given: Units) -> Tensor:
    """The gradient of each unit at the image that it answers to most."""
    with torch.no_grad():
        best = given.model(given.images).flatten(1).argmax(0)
    found = [
        explain(
            given.model, given.layer, k, given.images[best[k]][None], method="gradient", signal="peak", scale="raw", pre_activation=True
        )
        for k in given.kernels
    ]
    return torch.cat(found)


def _reverse_correlation(given: Units) -> Tensor:
    """The mean image, each weighted by the unit's answer to it (de Boer and Kuyper 1968): no lens of the library, and no weights seen."""
    with torch.no_grad():
        answers = given.model(given.images).flatten(1)
    return torch.einsum("nk,nchw->kchw", answers - answers.mean(0), given.images) / len(given.images)


def _noise_pictures(given: Units) -> Tensor:
    return torch.randn(len(given.kernels), *given.images.shape[1:])


def _isolated(beta: float, given: Seen) -> Tensor:
    """How far each pixel of the isolated image is from grey."""
    return isolate(given.model, given.layer, given.kernel, given.image, beta=beta, seed=given.seed).images[0].abs().sum(0)


def _explained(method: str, given: Seen) -> Tensor:
    return explain(given.model, given.layer, given.kernel, given.image, method=method)[0].abs().sum(0)


def _map(given: Seen) -> Tensor:
    return activation_maps(given.model, given.layer, given.image)[0, given.kernel]


def _grad_map(given: Seen) -> Tensor:
    return grad_maps(given.model, given.layer, given.kernel, given.image, sigma=0)[0, 0]


def _image(given: Seen) -> Tensor:
    """The image itself, without any network."""
    return given.image[0].abs().sum(0)


def _noise(given: Seen) -> Tensor:
    return torch.rand(given.image.shape[2:])


REDUNDANCY: dict[str, Method] = {
    **{name: partial(_ranked, name) for name in ranking.METHODS},
    "positional, told d": _positional_told,
    "hull of the others": _hull,
    "largest cosine": _cosine,
}
DECODING: dict[str, Method] = {
    **{mode: partial(_picture, unpool=mode) for mode in ("nearest", "bilinear", "bicubic")},
    **{f"{mode}, sum": partial(_picture, unpool=mode, scale="sum") for mode in ("nearest", "bilinear", "bicubic")},
    "gradient": _gradient,
    "reverse correlation": _reverse_correlation,
    "random": _noise_pictures,
}
ISOLATION: dict[str, Method] = {
    "isolation": partial(_isolated, 0.1),
    "isolation, beta 1": partial(_isolated, 1.0),
    **{method: partial(_explained, method) for method in ("gradient", "deconvolution", "guided", "lrp")},
    "GradMap": _grad_map,
    "map": _map,
    "image": _image,
    "random": _noise,
}
