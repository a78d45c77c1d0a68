"""A small network with a pooled head, seven images with masks, and word-by-word counts: for the tests of localisation."""

from __future__ import annotations

import torch
from torch import nn

LAYER = "3"  # what is pooled
LABELS = torch.tensor([2, 0, 3, 0, 2, 3, 0])  # class 1 has no image
IMAGES = torch.randn(7, 2, 11, 13, generator=torch.Generator().manual_seed(5))
MASKS = torch.rand(7, 11, 13, generator=torch.Generator().manual_seed(6)) > 0.6


def network(dead: int | None = None) -> nn.Sequential:
    """Images (n, 2, 11, 13), 5 filters, 4 classes; ``dead`` is a filter whose ReLU never opens."""
    torch.manual_seed(1)
    body = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 5, (3, 2), stride=2), nn.ReLU(inplace=True)]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    model[2].bias.data += 0.4
    if dead is not None:
        model[2].bias.data[dead] = -1e3
    return model


class OnePixel(nn.Module):
    """Every unit sees one pixel, linearly."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(2, 5, 1)

    def forward(self, x):
        return self.conv(x)


def literal_iou(mask, truth) -> float:
    """Counted pixel by pixel."""
    both = sum(bool(a and b) for a, b in zip(mask.flatten(), truth.flatten(), strict=True))
    either = sum(bool(a or b) for a, b in zip(mask.flatten(), truth.flatten(), strict=True))
    return both / either if either else 0.0


def state(model: nn.Module) -> list:
    """What must not change: tensors, gradients, modes, hooks."""
    tensors = [(t.data_ptr(), t._version, t.requires_grad, t.grad) for t in model.state_dict(keep_vars=True).values()]
    return [tensors, [m.training for m in model.modules()], [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]]
