"""What the library's methods answer from pooled features and their classifier: which features decide a class, which class owns a feature;
``answering`` lists them by question.

Both questions are asked of the same tables (C, d): a class takes its largest features, a feature its largest class.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from ...lenses.gates import mutual_information, owners, train_gated
from ...lenses.influence import RULES, find_influential
from .world import Features, Method


def _influential(rule: str, given: Features) -> Tensor:
    r = given.size if rule == "count" else None
    options = {"r": r, "s": given.size, "rule": rule, "linear": given.linear}
    return find_influential(given.features, given.labels, given.n_classes, **options).indices


def _class_means(given: Features) -> Tensor:
    """(C, d)."""
    return torch.stack([given.features[given.labels == c].mean(0) for c in range(given.n_classes)])


def _information(given: Features) -> Tensor:
    """(C, d)."""
    return mutual_information(given.features, given.labels, given.n_classes, seed=given.seed).table


def _largest(table: Callable[[Features], Tensor], given: Features) -> Tensor:
    return table(given).topk(given.size, dim=1).indices


def _random_sets(given: Features) -> Tensor:
    return torch.rand(given.n_classes, given.features.shape[1]).topk(given.size, dim=1).indices


class _OnFeatures(nn.Module):
    """A network whose pooled features are the given ones: images (n, d, 1, 1), a frozen convolution that hands them on, a linear layer."""

    def __init__(self, given: Features) -> None:
        super().__init__()
        d = given.features.shape[1]
        self.last = nn.Conv2d(d, d, 1, bias=False).requires_grad_(False)
        self.linear = nn.Linear(d, given.n_classes)
        with torch.no_grad():
            self.last.weight.copy_(torch.eye(d)[:, :, None, None])
            self.linear.weight.copy_(given.linear.weight)
            self.linear.bias.copy_(given.linear.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.last(images).mean((2, 3)))


def _gates(given: Features) -> Tensor:
    """The classes of gates trained on the features for 9 epochs, one in three gated, by ``train_gated`` as it comes."""
    top = float(given.features.max())
    images = given.features[:, :, None, None] / top  # a network takes images in [0, 1]
    pair = (images, given.labels)
    with _without_bars():
        found = train_gated(_OnFeatures(given), pair, pair, epochs=9, batch_size=20, seed=given.seed)
    return owners(found.model.gates.detach().cpu())


@contextmanager
def _without_bars() -> Iterator[None]:
    """Trainings of a fifth of a second show no progress."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before


def _counts(given: Features) -> Tensor:
    """Votes of a class's images over their number."""
    found = find_influential(given.features, given.labels, given.n_classes, r=given.size, s=given.size)
    return found.counts / found.n_images[:, None]


def _owner(table: Callable[[Features], Tensor], given: Features) -> Tensor:
    return owners(table(given))


def _weights(given: Features) -> Tensor:
    return given.linear.weight.detach()


def _random_owners(given: Features) -> Tensor:
    return torch.randint(given.n_classes, (given.features.shape[1],))


INFLUENCE: dict[str, Method] = {
    **{rule: partial(_influential, rule) for rule in RULES},
    "class mean": partial(_largest, _class_means),
    "information": partial(_largest, _information),
    "random": _random_sets,
}
GATES: dict[str, Method] = {
    "gates": _gates,
    "class mean": partial(_owner, _class_means),
    "information": partial(_owner, _information),
    "votes": partial(_owner, _counts),
    "weights": partial(_owner, _weights),
    "random": _random_owners,
}
