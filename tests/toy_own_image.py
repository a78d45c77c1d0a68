"""Two small networks that read a reader's own image: a grey chain whose filters can be decoded, a colour one with influential features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from filterlens.explorer.browser_answers import Answers
from filterlens.models import Normalization

INDICES = torch.tensor([[4, 0], [6, 2], [1, 3], [5, 0]])  # 4 classes, 2 of 7 features each
GREY, COLOUR = Normalization(scale=255.0, mean=33.0), Normalization(mean=(0.2, 0.4, 0.6), std=(0.5, 0.25, 0.75))


class Chain(nn.Sequential):
    """Images (1, 23, 17) -> 3 logits: 4 filters of 4 x 2, a pool, 5 of 3 x 2, a pool, 6 of 4 x 3, 3 of 1 x 1."""

    input_size = (1, 23, 17)

    def __init__(self) -> None:
        torch.manual_seed(0)
        last = [nn.Conv2d(5, 6, (4, 3)), nn.ReLU(), nn.Conv2d(6, 3, 1)]
        super().__init__(nn.Conv2d(1, 4, (4, 2)), nn.MaxPool2d(2), nn.Conv2d(4, 5, (3, 2)), nn.MaxPool2d(2), *last)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten(1)


class Colour(nn.Module):
    """Images (3, 12, 10) -> 4 logits: 5 filters, batch normalisation, 7 filters with a stride, their means, one linear layer."""

    input_size = (3, 12, 10)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.bn, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Conv2d(5, 7, 3, stride=2)
        self.relu, self.linear = nn.ReLU(), nn.Linear(7, 4)
        self.bn.running_mean.normal_()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.relu(self.second(torch.relu(self.bn(self.first(x))))).mean((2, 3)))


def grey_answers() -> Answers:
    return Answers(Chain(), GREY)


def colour_answers() -> Answers:
    return Answers(Colour(), COLOUR, indices=INDICES)


def image_for(answers: Answers, seed: int = 2) -> Tensor:
    """An image (c, h, w) in [0, 1]."""
    return torch.rand(answers.size, generator=torch.Generator().manual_seed(seed))
