"""Small classifiers and plain re-implementations that the attacks are held against. Image channels 2, 6 x 5 pixels, 4 classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from filterlens.models import Normalization

CLASSES, SHAPE = 4, (2, 6, 5)
NORMALIZATION = Normalization(mean=[0.4, 0.6], std=[0.2, 0.3])


def network(seed: int = 0, gain: float = 1.0) -> nn.Module:
    """A small nonlinear classifier in float64, evaluation mode."""
    noise = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 3, (3, 2)), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 4, CLASSES))
    model = model.double().eval()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=noise, dtype=torch.float64) * (gain / parameter[0].numel() ** 0.5)
    model[1].weight.data = torch.tensor([1.0, 0.7, 1.4], dtype=torch.float64)
    return model


def pictures(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def logits(model: nn.Module, images: Tensor, normalization: Normalization | None = NORMALIZATION) -> Tensor:
    images = images.double()
    return model(images if normalization is None else normalization.apply(images))


def predicted(model: nn.Module, images: Tensor, normalization: Normalization | None = NORMALIZATION) -> Tensor:
    with torch.no_grad():
        return logits(model, images, normalization).argmax(1)


def literal_step(model: nn.Module, images: Tensor, classes: Tensor, length: float, targeted: bool) -> Tensor:
    """One step of the fast gradient sign method, image by image, not yet clipped."""
    found = []
    for image, label in zip(images, classes, strict=True):
        x = image[None].double().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits(model, x), label[None]), x)
        found.append((x + (-length if targeted else length) * gradient.sign()).detach()[0])
    return torch.stack(found)


def literal_pgd(model: nn.Module, images: Tensor, classes: Tensor, eps: float, step: float, steps: int, targeted: bool) -> Tensor:
    x = images.double()
    for _ in range(steps):
        x = literal_step(model, x, classes, step, targeted)
        x = torch.minimum(torch.maximum(x, images.double() - eps), images.double() + eps).clamp(0, 1)
    return x


def literal_local_search(model, image, label, *, p, r, d, t, R, k, exclude, adapt, seed):
    """LocSearchAdv (Narodytska and Kasiviswanathan 2016, algorithm 3) pixel by pixel; returns the image and the rounds it took."""
    channels, h, w = image.shape
    current = [[[float(image[b, y, x]) - 0.5 for x in range(w)] for y in range(h)] for b in range(channels)]

    def probability(values):
        with torch.no_grad():
            return logits(model, torch.tensor(values, dtype=torch.float64)[None] + 0.5).softmax(1)[0]

    def pert(y0, x0):
        copy = [[list(row) for row in plane] for plane in current]
        for b in range(channels):
            value = copy[b][y0][x0]
            copy[b][y0][x0] = p * ((value > 0) - (value < 0))
        return copy

    def cyclic(value):
        if r * value < -0.5:
            return r * value + 1
        if r * value > 0.5:
            return r * value - 1
        return r * value

    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))[: round(h * w / 10)].tolist()
    candidates = [divmod(i, w) for i in order]
    last = {}
    for i in range(1, R + 1):
        score = {place: float(probability(pert(*place))[label]) for place in candidates}
        best = sorted(candidates, key=score.get)[:t]
        for y, x in best:
            for b in range(channels):
                current[b][y][x] = cyclic(current[b][y][x])
            last[y, x] = i
        ranking = probability(current).argsort(descending=True).tolist()
        if label not in ranking[:k]:
            return torch.tensor(current) + 0.5, i
        mean = sum(score[place] for place in best) / len(best)
        if adapt and mean > 0.9:
            p *= 2
        elif adapt and mean < 0.3:
            p /= 2
        near = {(y + a, x + b) for y, x in best for a in range(-d, d + 1) for b in range(-d, d + 1)}
        near = {(y, x) for y, x in near if 0 <= y < h and 0 <= x < w}
        candidates = sorted(place for place in near if place not in last or i + 1 - last[place] > exclude)
        if not candidates:
            break
    return torch.tensor(current) + 0.5, i
