"""Small networks for the agreement of the lenses, where a filter can be removed by setting weights to zero, and scores of made-up layers."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from toy_networks import stirred

from filterlens.models import Normalization
from filterlens.synthesis.agreement import SCORES, FilterScores

C, STREAM, INNER, CLASSES, HEIGHT, WIDTH, N = 2, 4, 7, 3, 9, 11, 13
NORMALIZATION = Normalization(mean=0.4, std=0.5)


class Residual(nn.Module):
    """A stem, one block with a shortcut, pooling and a linear layer: ``stem`` and ``b`` write into the stream, ``a`` has its own channels.

    The ReLU is one in-place module for all places, and the sum is in place.
    """

    input_size = (C, HEIGHT, WIDTH)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn0 = nn.Conv2d(C, STREAM, 3, bias=False), nn.BatchNorm2d(STREAM)
        self.a, self.bn1 = nn.Conv2d(STREAM, INNER, (3, 1), padding=(1, 0), bias=False), nn.BatchNorm2d(INNER)
        self.b, self.bn2 = nn.Conv2d(INNER, STREAM, (1, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(STREAM)
        self.relu, self.pool, self.final = nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Linear(STREAM, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn0(self.stem(x)))
        y = self.bn2(self.b(self.relu(self.bn1(self.a(x)))))
        y += x
        return self.final(self.pool(self.relu(y)).flatten(1))


class Plain(nn.Sequential):
    """Two convolutions with pooling between: every filter has its channel to itself, and ``2`` writes the pooled features."""

    input_size = (C, HEIGHT, WIDTH)

    def __init__(self) -> None:
        pooled = [nn.Conv2d(5, 6, (3, 2)), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)]
        super().__init__(nn.Conv2d(C, 5, 3), nn.MaxPool2d(2), *pooled)


class ByConvolution(nn.Sequential):
    """As LeNet: the logits come from a 1 x 1 convolution on one pixel."""

    input_size = (C, HEIGHT, WIDTH)

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(C, 5, 3), nn.Conv2d(5, 6, (7, 9)), nn.ReLU(), nn.Conv2d(6, CLASSES, 1), nn.Flatten())


def toy(kind: type[nn.Module]) -> nn.Module:
    """In double precision with random weights and statistics, scaled so that no image is certain."""
    model = stirred(kind(), seed=9)
    with torch.no_grad():
        list(model.parameters())[-2].mul_(0.3)  # of the logits
    return model


def images(n: int = N) -> tuple[Tensor, Tensor]:
    """Images (n, 2, 9, 11) in [0, 1] and labels (n,), three classes of different size."""
    draw = torch.Generator().manual_seed(1)
    return torch.rand(n, C, HEIGHT, WIDTH, generator=draw, dtype=torch.float64), torch.arange(n) ** 2 % CLASSES + (torch.arange(n) % 5 == 4)


def zeroed(model: nn.Module, *places: tuple[str, int, int]) -> nn.Module:
    """A copy with zeros in weights: (parameter, axis, index)."""
    model = copy.deepcopy(model)
    for name, axis, index in places:
        with torch.no_grad():
            model.get_parameter(name).movedim(axis, 0)[index] = 0
    return model


def judged(model: nn.Module, normalized: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of the whole network, from all images at once."""
    with torch.no_grad():
        logits = model.eval()(normalized)
    loss = -logits.double().log_softmax(1)[range(len(labels)), labels].mean()
    return float(loss), float((logits.argmax(1) == labels).double().mean())


def layer(model: str = "net", name: str = "conv", n: int = 0, notes: dict[str, str] | None = None, **values: object) -> FilterScores:
    """A layer with the given numbers; the others are NaN."""
    given = {key: torch.as_tensor(value, dtype=torch.float64) for key, value in values.items()}
    n = n or len(next(iter(given.values())))
    empty = {key: torch.full((n,), torch.nan, dtype=torch.float64) for key in SCORES}
    halves = torch.stack([given.get("loss_rise", empty["l1"])] * 2, 1)
    return FilterScores(model, name, torch.arange(n), empty | given, notes or {}, "channel", 9, 0.75, 0.5, False, halves)
