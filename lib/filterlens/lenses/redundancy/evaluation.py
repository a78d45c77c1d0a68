"""Accuracy of many networks on the same images: the images are normalized once and kept as the networks take them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ... import checks, network
from ...training import arguments, batching

MAX_BYTES = 2**30  # of normalized images; more of them are normalized anew for every network


def checked(model: Any, normalization: Any, **images: Any) -> tuple[list[batching.Batched], batching.Normalize, Tensor]:
    """Images that go through the network, by the name of their argument; the normalization; the first image (1, c, h, w) normalized.

    Raises TypeError or ValueError naming the argument.
    """
    checks.module("model", model)
    sources = {name: batching.source(name, given) for name, given in images.items()}
    normalize = batching.normalize(normalization)
    for name, source in sources.items():
        arguments.try_one(name, source, model, normalize)
    one, _ = next(iter(next(iter(sources.values()))[:1].batches(1)))
    return list(sources.values()), normalize, batching.like(normalize(one), model, arguments.device(model))


class Inputs:
    """Normalized images in batches of (m, c, h, w), on the device and in the precision of ``model``; channels last, which is faster."""

    def __init__(self, images: batching.Batched, normalize: batching.Normalize, model: nn.Module, batch_size: int) -> None:
        self.images, self.normalize, self.model, self.size = images, normalize, model, batch_size
        self.device = arguments.device(model)
        first, _ = self._made(next(iter(images[:1].batches(1))))
        self.kept: list[tuple[Tensor, Tensor]] | None = None
        if first.nbytes * len(images) <= MAX_BYTES:
            self.kept = [self._made(batch) for batch in images.batches(batch_size)]

    def _made(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        images, labels = batch
        images = self.normalize(batching.like(images, self.model, self.device))
        return images.contiguous(memory_format=torch.channels_last), labels.to(self.device, torch.int64)

    def accuracy(self, model: nn.Module) -> float:
        """The share of images whose largest logit (n, C) is their label; the model is copied, not changed."""
        model, right = copy.deepcopy(model).to(memory_format=torch.channels_last), 0
        with network.evaluating(model):
            for images, labels in self.kept or map(self._made, self.images.batches(self.size)):
                right += int((model(images).argmax(1) == labels).sum())
        return right / len(self.images)
