"""A gated step beside a plain one, in time and memory; attacks and localisation in images a second. ResNet-20, random weights."""

from __future__ import annotations

import resource

import torch
import torch.nn.functional as F
from torch import Tensor

from filterlens import models
from filterlens.lenses import adversarial, localization
from filterlens.lenses.gates import GatedClassifier, penalty, two_sgds
from filterlens.lenses.gates.matrix import project

BATCH, ROUNDS = 256, 30


def steps() -> dict[str, object]:
    """The three ways to spend a step on a batch: plain, gated, and both paths as two passes."""
    torch.manual_seed(0)
    images, labels = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last), torch.arange(BATCH) % 10
    model = GatedClassifier(models.load("resnet20", pretrained=False).to(memory_format=torch.channels_last), 10).train()
    plain_steps, gated_steps = two_sgds(model, lr=1e-3)

    def loss_of(gated: bool) -> Tensor:
        model.gated = gated
        loss = F.cross_entropy(model(images, labels), labels)
        return loss + 1e-3 * penalty(model.gates, 128.0) if gated else loss

    def one(gated: bool) -> None:
        optimizer = gated_steps if gated else plain_steps
        optimizer.zero_grad()
        loss_of(gated).backward()
        optimizer.step()
        if gated:
            with torch.no_grad():
                model.gates.copy_(project(model.gates, "rescale"))

    def two() -> None:
        gated_steps.zero_grad()
        (loss_of(False) + loss_of(True)).backward()
        gated_steps.step()

    return {"plain": lambda: one(False), "gated": lambda: one(True), "both paths, two passes": two}


def test_gated_step_beside_plain_step(benchmark, tables, taking_turns):
    ways = steps()
    for way in ways.values():
        way()
    took = benchmark.pedantic(taking_turns, args=(ways, ROUNDS), rounds=1, iterations=1)
    lines = [f"one training step of ResNet-20, batch {BATCH}, {torch.get_num_threads()} torch threads, medians of {ROUNDS} turns"]
    lines += [f"{name:28}{seconds:8.3f} s{seconds / took['plain']:8.3f} times a plain step" for name, seconds in took.items()]
    lines.append(f"aim: at most 1.05; peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    tables.append("\n".join(lines))


def test_throughput_of_attacks_and_of_localisation(benchmark, tables, taking_turns):
    torch.manual_seed(0)
    model = models.load("resnet20", pretrained=False)
    images, labels = torch.rand(64, 3, 32, 32), torch.arange(64) % 10
    masks = torch.zeros(64, 32, 32, dtype=torch.bool)
    masks[:, 8:20, 10:22] = True
    seen = {"masks": masks, "labels": labels, "n_classes": 10}
    runs = {
        ("FGSM", 64): lambda: adversarial.attack(model, images, labels, method="fgsm"),
        ("PGD, 7 steps", 64): lambda: adversarial.attack(model, images, labels, method="pgd"),
        ("ActivMap, 64 filters", 64): lambda: localization.localize(model, "layer3", images, method="activation", **seen),
        ("CAM", 64): lambda: localization.localize(model, None, images, method="cam", **seen),
        ("GradMap, 4 filters", 64): lambda: localization.localize(model, "layer3", images, method="gradient", filters=range(4), **seen),
    }
    took = benchmark.pedantic(taking_turns, args=(runs, 3), rounds=1, iterations=1)
    lines = [f"ResNet-20 on 32 x 32, {torch.get_num_threads()} torch threads, medians of 3 turns, images a second"]
    lines += [f"{name:28}{n / took[name, n]:8.0f}" for name, n in runs]
    tables.append("\n".join(lines))
