"""Toy networks, maps and attacks for the three explorers of the gates lens; all sizes differ, so that a transposition shows."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from filterlens.explorer import AttackedNetwork, PointingMaps
from filterlens.features import PooledFeatures
from filterlens.gated import Gated
from filterlens.lenses.adversarial import Attacked
from filterlens.lenses.gates import GatedClassifier, l1_density, project_gates
from filterlens.lenses.localization import top_thresholds
from filterlens.models import Normalization

C, K, E, N = 3, 5, 4, 61  # classes, filters, epochs, test images
CLASSES = ["ant", "bee", "cow"]
PIXELS = 4, 3, 12, 10  # pictures, channels, height, width
FILTERS = 2  # offered with each picture


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cnn(n_filters: int = K, n_classes: int = C) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, n_filters, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(n_filters, n_classes))


def gated(name: str, *, learned: bool, by_hand: bool = False, n_filters: int = K, n_classes: int = C, epochs: int = E) -> Gated:
    gates = torch.ones(epochs + 1, n_classes, n_filters)
    if learned:
        noise = torch.rand(epochs, n_classes, n_filters, generator=draws(5))
        gates[1:] = torch.stack([project_gates(noise[i] ** (i + 1)) for i in range(epochs)])
    if by_hand:
        gates[:] = gates[-1].clone()
    model = GatedClassifier(cnn(n_filters, n_classes), n_classes, gates=gates[-1], learned=not by_hand).eval()
    marked = torch.arange(epochs) % 3 == 2 if learned else torch.zeros(epochs, dtype=torch.bool)
    normalization = Normalization(mean=[0.5, 0.5], std=[0.2, 0.2])
    bounds = (l1_density(gates[-1]),) * 2 if by_hand else (1 / n_classes, 0.5)
    return Gated(name, model, normalization, gates, marked, bounds, {}, Path(f"{name}.safetensors"))


def pooled(seed: int, *, n: int = N, n_filters: int = K, classes: list[str] = CLASSES) -> PooledFeatures:
    """Features that tell the classes apart, mostly; one class is never wrong if ``seed`` is 1."""
    n_classes = len(classes)
    labels = torch.arange(n) % n_classes
    features = torch.rand(n, n_filters, generator=draws(seed))
    features[torch.arange(n), labels] += 0.7
    linear = nn.Linear(n_filters, n_classes)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(n_classes, n_filters) + torch.rand(n_classes, n_filters, generator=draws(seed + 1)) / 3)
        linear.bias.zero_()
        if seed == 1:
            features[labels == 0, 0] += 3
    return PooledFeatures(f"toy-{seed}", None, (features, labels), linear, None, None, list(classes), {}, None)


@functools.cache
def networks() -> tuple[dict[str, Gated], dict[str, PooledFeatures]]:
    return (
        {
            "plain": gated("plain", learned=False),
            "gated": gated("gated", learned=True),
            "hand": gated("hand", learned=True, by_hand=True),
        },
        {"plain": pooled(4), "gated": pooled(1), "hand": pooled(6)},
    )


# ---------------------------------------------------------------------------------------------------------- pictures and masks


def pictures() -> Tensor:
    return torch.rand(PIXELS, generator=draws(7))


def truths() -> Tensor:
    n, _, h, w = PIXELS
    found = torch.zeros(n, h, w, dtype=torch.bool)
    for i in range(n):
        found[i, 1 + i : 7 + i, 2 : 6 + i] = True
    return found


def labels() -> Tensor:
    return torch.tensor([2, 0, 1, 0])


def maps(seed: int = 0) -> PointingMaps:
    """Maps that are strong where the object is; of picture 1 the second filter is dead."""
    n, _, h, w = PIXELS
    there = truths()[:, None].float()
    gradient = torch.rand(n, FILTERS, h, w, generator=draws(seed)) + 1.5 * there
    gradient = gradient / gradient.square().mean((2, 3), keepdim=True).sqrt()
    small = torch.rand(n, K, h // 2, w // 2, generator=draws(seed + 1)) - 0.2
    small = small.relu() + torch.nn.functional.avg_pool2d(there, 2)
    filters = torch.tensor([[4, 1], [0, 3], [2, 0], [1, 4]])
    picked = small[torch.arange(n)[:, None], filters]
    activation = torch.nn.functional.interpolate(picked, size=(h, w), mode="bilinear", align_corners=False)
    gradient[1, 1], activation[1, 1] = 0, 0
    cam = torch.randn(n, h, w, generator=draws(seed + 2)) + 2 * there[:, 0] - 1
    return PointingMaps(filters, gradient, activation, cam, top_thresholds(small))


# -------------------------------------------------------------------------------------------------------------------- attacks


def attacked(images: Tensor, seed: int, method: str, *, targeted: bool, n_classes: int = C) -> Attacked:
    n = len(images)
    truth = torch.arange(n) % n_classes
    before = truth.clone()
    before[1] = (before[1] + 1) % n_classes
    after = (truth + torch.randint(0, 2, (n,), generator=draws(seed))) % n_classes
    noise = 0.06 * torch.rand(images.shape, generator=draws(seed)) - 0.03
    noise[0] = 0  # left as it was
    changed = (images + noise).clamp(0, 1)
    apart = (changed - images).flatten(1)
    targets = (truth + 1) % n_classes if targeted else None
    return Attacked(changed, truth, targets, before, after, apart.abs().amax(1), apart.norm(dim=1), method, {"eps": 0.03})


def attacked_networks(images: Tensor | None = None, *, n_filters: int = K, n_classes: int = C) -> dict[str, AttackedNetwork]:
    images = pictures() if images is None else images
    n = len(images)
    attacks = {"pgd": attacked(images, 1, "pgd", targeted=True, n_classes=n_classes),
               "one_pixel": attacked(images, 2, "one_pixel", targeted=False, n_classes=n_classes)}  # fmt: skip
    features = {name: torch.rand(n, n_filters, generator=draws(i)) for i, name in enumerate(attacks)}
    gates = project_gates(torch.rand(n_classes, n_filters, generator=draws(9)))
    scores = {"pgd": (torch.rand(n, generator=draws(3)) / 2, torch.rand(n, generator=draws(4)).double())}
    whole = AttackedNetwork(attacks, torch.rand(n, n_filters, generator=draws(8)), features, gates, scores)
    return {
        "gated": whole,
        "plain": replace(whole, gates=None, scores=None, attacked={"pgd": attacks["pgd"]}, features={"pgd": features["pgd"]}),
    }
