"""Networks so small that every part of a passport can be worked out on paper, and images of one colour each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from filterlens.models import Normalization

COLOURS, CHANNELS, CLASSES, HEIGHT, WIDTH = 3, 4, 5, 6, 7
PLAIN = Normalization()
# images 0 to 5: constant colours (red, green, blue); their classes are 1, 1, 4, 4, 2, 2
COLOUR = torch.tensor([[0.8, 0.1, 0.2], [0.6, 0.1, 0.4], [0.2, 0.9, 0.3], [0.0, 0.7, 0.1], [0.4, 0.2, 0.5], [0.2, 0.2, 0.7]])
LABELS = torch.tensor([1, 1, 4, 4, 2, 2])
WEIGHT = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, -4]])  # red, green, blue, and one that is silent but for yellow
FINAL = torch.arange(20.0).reshape(CLASSES, CHANNELS) / 10
MEAN = {1: 0.7, 4: 0.1, 2: 0.3}  # of red, by class


def images() -> Tensor:
    """(6, 3, 6, 7), the colours of ``COLOUR``."""
    return COLOUR[:, :, None, None].expand(-1, -1, HEIGHT, WIDTH).contiguous()


class Network(nn.Module):
    """Colours by a 1 x 1 convolution, a ReLU, the channels turned round, pooled, one linear layer: feature 3 - k is filter k."""

    def __init__(self, *, shortcut: bool = False) -> None:
        super().__init__()
        self.early = nn.Conv2d(COLOURS, COLOURS, 1, bias=False)
        self.colour = nn.Conv2d(COLOURS, CHANNELS, 1, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.final = nn.Linear(CHANNELS, CLASSES)
        self.shortcut = shortcut
        with torch.no_grad():
            self.early.weight.copy_(torch.eye(COLOURS)[:, :, None, None])
            self.colour.weight.copy_(WEIGHT[:, :, None, None])
            self.final.weight.copy_(FINAL)
            self.final.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = self.early(x)
        maps = self.colour(x)
        if self.shortcut:
            maps = maps + nn.functional.pad(x, (0, 0, 0, 0, 0, 1))
        return self.final(self.pool(self.relu(maps).flip(1)).flatten(1))


CORNERS = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])


def triangle() -> nn.Module:
    """Twelve 1 x 1 filters on two channels: filters 3, 7 and 11 are the corners of a triangle, 0 is its middle, 5 lies on an edge."""
    shares = torch.tensor(
        [[1, 1, 1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [1, 0, 0], [0.1, 0.2, 0.7], [0, 0.5, 0.5], [0.3, 0.3, 0.4], [0, 1, 0],
         [0.25, 0.5, 0.25], [0.4, 0.2, 0.4], [0.15, 0.6, 0.25], [0, 0, 1]]
    )  # fmt: skip
    layer = nn.Conv2d(2, 12, 1)
    with torch.no_grad():
        layer.weight.copy_((shares / shares.sum(1, keepdim=True) @ CORNERS)[:, :, None, None])
    return nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3))


def deep(activation: nn.Module | None = None) -> nn.Module:
    """Three convolutions, the second grouped, the third depthwise; random weights, all widths different."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        act = nn.ReLU() if activation is None else activation
        layers = [nn.Conv2d(3, 8, (3, 2)), act, nn.Conv2d(8, 6, 2, groups=2), nn.ReLU(), nn.Conv2d(6, 6, (2, 3), groups=6), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def pictures(n: int = 3) -> Tensor:
    """(n, 3, 12, 13) of smooth noise."""
    draw = torch.Generator().manual_seed(2)
    return nn.functional.interpolate(torch.rand(n, 3, 4, 5, generator=draw), size=(12, 13), mode="bilinear")
