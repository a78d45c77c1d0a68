"""A small network, images and the states of the isolation explorer for them: what its tests in Python and in the browser share."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import nn

from filterlens.explorer import IsolationStates, isolation_states
from filterlens.models import Normalization

TITLES = ["first", "second", "black"]
NORMALIZATION = Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
LAYERS = {"early": [1, 3, 4], "1": [0, 26, 7, 5], "late": 2}
SPOKEN = {"1": "the wide layer"}
METHODS = ("isolation", "guided", "deconvolution", "lrp", "gradient")
BETAS = (0.05, 0.2, 0.8)
OPTIONS = {"max_iter": 6}


def network() -> nn.Module:
    """Maps of 10 x 12, 10 x 12 (28 kernels) and 1 x 1; kernel 3 of ``early`` never answers, kernel 4 not to black."""
    draw = torch.Generator().manual_seed(3)
    model = nn.Sequential()
    model.add_module("early", nn.Conv2d(3, 5, 3, stride=2, padding=1))
    model.add_module("relu", nn.ReLU())
    model.add_module("1", nn.Conv2d(5, 28, (3, 1), padding=(1, 0)))
    model.add_module("act", nn.ReLU())
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("late", nn.Linear(28, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / 3)
        model.early.weight[3], model.early.bias[3] = 0, -1
        model.early.weight[4], model.early.bias[4] = model.early.weight[4].abs(), 0
        model.late.bias[2] = 9
    return model.eval()


def images() -> torch.Tensor:
    draw = torch.Generator().manual_seed(8)
    smooth = nn.functional.interpolate(torch.rand(2, 3, 5, 6, generator=draw), size=(20, 24), mode="bilinear")
    return torch.cat([smooth, torch.zeros(1, 3, 20, 24)])


@cache
def states(pixels: int = 12) -> IsolationStates:
    """Pictures of 10 x 12 of images of 20 x 24."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the last layer has no activation
        return isolation_states(
            network(),
            LAYERS,
            images(),
            NORMALIZATION,
            betas=BETAS,
            titles=TITLES,
            spoken=SPOKEN,
            pixels=pixels,
            methods=METHODS,
            options=OPTIONS,
        )


@cache
def networks() -> dict[str, IsolationStates]:
    """The same, and a second network: a layer of the same name called otherwise, fewer and smaller pictures, other betas and methods."""
    how = {"betas": (0.05, 0.4), "methods": ("isolation", "lrp"), "titles": ["black", "grainy"], "spoken": {"early": "the only layer"}}
    grainy = torch.rand(1, 3, 14, 10, generator=torch.Generator().manual_seed(5))
    shown = torch.cat([torch.zeros_like(grainy), grainy])
    second = isolation_states(network(), {"early": [2, 4]}, shown, NORMALIZATION, options=OPTIONS, **how)
    return {"large": states(), "small": second}
