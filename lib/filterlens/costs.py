"""What a study of paper scale costs before it is begun: multiply-adds, bytes read, hours on a machine of a given speed.

Multiply-adds are counted on shapes alone (torch's own counter on the meta device), so nothing is downloaded and nothing computed.
``book/paper-scale.md`` shows the tables; ``speed`` measures a small slice that they can be checked against.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from filterlens import checks
from filterlens.surveys import IMAGENET, WEIGHTS

# ILSVRC 2012 as image-net.org hands it out: pictures, and bytes of the two archives (whose tar headers are under 1 % of them)
TRAINING, VALIDATION = 1_281_167, 50_000
TRAINING_BYTES, VALIDATION_BYTES = 147_897_477_120, 6_744_924_160
BACKWARD = 3  # a step of training is a forward pass, and a backward pass of twice its multiply-adds: by weights and by inputs


# Multiply-adds per second that the page reckons with; what was measured, and what is assumed, stands there.
SPEEDS = {"two cores": 60e9, "one GPU": 10e12}


@dataclass(frozen=True)
class Cost:
    """``images`` that go through a network, ``passes`` forward passes each (3 for a step of training), ``multiply_adds`` of one pass of one
    image at ``size`` pixels, ``bytes_read`` in all."""

    name: str
    size: int
    images: int
    multiply_adds: int
    bytes_read: int
    passes: float = 1.0

    @property
    def total(self) -> float:
        """Multiply-adds in all."""
        return self.images * self.passes * self.multiply_adds

    def hours(self, per_second: float) -> float:
        """On a machine that does so many multiply-adds per second, if reading keeps up. Raises TypeError or ValueError naming it."""
        if checks.real("per_second", per_second, 0) == 0:
            raise ValueError("per_second: got 0, expected a number above 0")
        return self.total / per_second / 3600

    def read_rate(self, per_second: float) -> float:
        """Bytes per second that have to be read meanwhile, so that reading keeps up."""
        return self.bytes_read / (3600 * self.hours(per_second))


def multiply_adds(model: nn.Module, size: tuple[int, int, int]) -> int:
    """Multiply-adds of one forward pass of one image (c, h, w) through convolutions and linear layers; other operations are not counted.

    The model may live on the meta device. It runs in eval mode, without gradients, and is left as it was.
    Raises TypeError or ValueError naming the argument.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from filterlens import network

    checks.module("model", model)
    if not isinstance(size, tuple) or len(size) != 3:
        raise TypeError(f"size: got {checks.describe(size)}, expected (channels, height, width)")
    for value in size:
        checks.integer("size", value, 1)
    like = next(iter(model.parameters()), torch.empty(0))
    with network.evaluating(model), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, *size, device=like.device, dtype=like.dtype))
    return counter.get_total_flops() // 2  # it counts a multiply-add as two


def imagenet_study(names: Iterable[str] = tuple(IMAGENET)) -> list[Cost]:
    """The cost of ``surveys.imagenet`` for each network: every training and validation picture once, at its weights' own size.

    Raises ValueError naming ``names``.
    """
    from torchvision.models import get_model, get_model_weights

    found = []
    for name in names:
        inner = IMAGENET[checks.choice("names", name, IMAGENET)]
        (crop,) = get_model_weights(inner)[WEIGHTS].transforms().crop_size
        with torch.device("meta"):
            each = multiply_adds(get_model(inner, weights=None), (3, crop, crop))
        found.append(Cost(name, crop, TRAINING + VALIDATION, each, TRAINING_BYTES + VALIDATION_BYTES))
    return found


def imagenet_training(name: str, epochs: int, *, size: int = 224) -> Cost:
    """The cost of training one of torchvision's networks on ImageNet, with a look at the validation pictures after every epoch.

    Gates add a multiplication for each of the last maps, which is nothing beside the rest. name: of torchvision, "resnet18".
    Raises TypeError or ValueError naming the argument.
    """
    from torchvision.models import get_model, list_models

    checks.choice("name", name, list_models())
    epochs, size = checks.integer("epochs", epochs, 1), checks.integer("size", size, 1)
    with torch.device("meta"):
        each = multiply_adds(get_model(name, weights=None), (3, size, size))
    images = epochs * (TRAINING + VALIDATION)
    passes = (BACKWARD * TRAINING + VALIDATION) / (TRAINING + VALIDATION)
    return Cost(name, size, images, each, epochs * (TRAINING_BYTES + VALIDATION_BYTES), passes)


def speed(name: str, *, n: int = 8, rounds: int = 3, device: str | None = None) -> float:
    """Multiply-adds per second that one network of ``IMAGENET`` reaches here on n random pictures at once: the fastest of some rounds.

    Random weights do as well. On a processor it is of one core: seconds are those that the process was at work, so that a busy machine tells
    the same as an idle one. Raises TypeError or ValueError naming the argument.
    """
    from torchvision.models import get_model, get_model_weights

    inner = IMAGENET[checks.choice("name", name, IMAGENET)]
    n, rounds = checks.integer("n", n, 1), checks.integer("rounds", rounds, 1)
    (crop,) = get_model_weights(inner)[WEIGHTS].transforms().crop_size
    model = get_model(inner, weights=None).eval().to(device)
    images, seconds = torch.rand(n, 3, crop, crop, device=device), []
    clock = time.process_time if images.device.type == "cpu" else time.perf_counter
    with torch.no_grad():
        for _ in range(rounds + 1):  # the first one warms up
            start = clock()
            float(model(images).sum())  # waits for a graphics card
            seconds.append(clock() - start)
    return n * multiply_adds(model, (3, crop, crop)) / min(seconds[1:])


def in_words(costs: Iterable[Cost], speeds: dict[str, float]) -> str:
    """A Markdown table of costs, with the hours for each of some speeds (multiply-adds per second) and their sum."""
    costs = list(costs)
    header = ["network", "pixels", "images", "multiply-adds per image", "in all", "read", *(f"hours, {name}" for name in speeds)]
    rows = [
        [c.name, c.size, f"{c.images:,}", f"{c.multiply_adds / 1e9:.2f} G", f"{c.total / 1e15:.1f} P", f"{c.bytes_read / 1e9:,.0f} GB",
         *(_hours(c.hours(per_second)) for per_second in speeds.values())]
        for c in costs
    ]  # fmt: skip
    if len(costs) > 1:
        total = [f"{sum(c.total for c in costs) / 1e15:.1f} P", f"{sum(c.bytes_read for c in costs) / 1e9:,.0f} GB"]
        hours = [_hours(sum(c.hours(per_second) for c in costs)) for per_second in speeds.values()]
        rows.append(["all", "", f"{sum(c.images for c in costs):,}", "", *total, *hours])
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}"


def layout(costs: Iterable[Cost], workers: int, per_second: float) -> float:
    """Hours until the last of some cells is done, if each goes to whichever of equal workers is free first, the longest first.

    Raises TypeError or ValueError naming the argument.
    """
    busy = [0.0] * checks.integer("workers", workers, 1)
    for hours in sorted((cost.hours(per_second) for cost in costs), reverse=True):
        busy[busy.index(min(busy))] += hours
    return max(busy)


def tables() -> list[str]:
    """The tables of ``book/paper-scale.md``, in order: the study of thirteen networks, its layouts on GPUs, and a gated training."""
    study, gpu = imagenet_study(), SPEEDS["one GPU"]
    header = "| GPUs | hours | bytes to read per second |\n| ---: | ---: | ---: |"
    total = sum(cost.bytes_read for cost in study)
    rows = [(n, layout(study, n, gpu)) for n in (1, 2, 4, 8, 13)]
    lines = [header, *(f"| {n} | {_hours(hours)} | {total / 3600 / hours / 1e6:,.0f} MB |" for n, hours in rows)]
    return [in_words(study, SPEEDS), "\n".join(lines), in_words([imagenet_training("resnet18", 120)], SPEEDS)]
