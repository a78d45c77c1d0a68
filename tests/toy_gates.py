"""A small CNN with one linear layer after pooling, and images of three classes that it can tell apart: for the gates lens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

C, K, CHANNELS, HEIGHT, WIDTH = 3, 5, 2, 7, 6


def cnn(seed: int = 3, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """(n, 2, 7, 6) -> logits (n, 3), five final features; no batch normalisation, so images do not know of each other."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(CHANNELS, 4, 3), nn.ReLU(), nn.Conv2d(4, K, 2), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(K, C)).to(dtype)


def pictures(n: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with one bright column per class."""
    labels = torch.arange(n) % C
    images = 0.4 * torch.rand(n, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    images[torch.arange(n), :, :, 2 * labels] += 0.6
    return images, labels


def gates(seed: int = 1) -> Tensor:
    """Feasible gates (3, 5), no two entries alike but the ones."""
    table = 0.9 * torch.rand(C, K, generator=torch.Generator().manual_seed(seed))
    table[torch.arange(K) % C, torch.arange(K)] = 1.0
    return table
