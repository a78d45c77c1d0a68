"""What training makes of a pruned network and of a fabricated one: tables 3 and 2 of Thakur, Abrol & Sharma (PMLR 197:111-121).

Filters are ranked and removed by ``ranking``, fabricated by ``simplex``; ``training.fit`` does the rest, with the paper's settings:
Adam, learning rate 1e-4 throughout, batches of 64. ``removal`` asks the same without training.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import checks, network, training
from ...training import arguments
from ..ranking import METHODS, n_removed, rank, remove_filters
from ..simplex import fabricate_network, reset_statistics
from ..simplex.reading import logits_layer, share
from .evaluation import checked
from .removal import removed_layers

STARTING_WEIGHTS = ("random", "trained", "fabricated")


@dataclass(frozen=True, eq=False)
class Retrained:
    """A network after training, in eval mode. Accuracies are shares of the test images.

    ``before``: of the whole network as it was given; ``start``: of the network that training began with; ``accuracy``: after every
    epoch. ``n_removed``: filters in all layers; ``parameters``: before and after pruning. ``history``: losses and rates as well.
    """

    model: nn.Module
    before: float
    start: float
    accuracy: tuple[float, ...]
    n_removed: int
    parameters: tuple[int, int]
    history: training.History


def prune_and_retrain(
    model: nn.Module,
    train: Any,
    test: Any,
    *,
    method: str,
    rate: float,
    epochs: int,
    seed: int = 0,
    lr: float = 1e-4,
    batch_size: int = 64,
    fraction: float = 0.25,
    layers: Sequence[str] | None = None,
    normalization: Any = None,
    example: Tensor | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> Retrained:
    """Remove the most redundant filters of every layer by a ranking, and train what is left (Table 3).

    train, test: ``data.Images``, or pairs of images (n, c, h, w) in [0, 1] and labels (n,).
    method: one of ``ranking.METHODS``; "positional" is the paper's, "fpgm" its GMFR; "random" is announced there and not printed.
    rate: share in [0, 1) of every layer; floor(rate k + 1/2) filters are really removed, and one always stays.
    seed: of the ranking (the start of the archetypal analysis, the random order, each layer from the same seed) and of the training.
    fraction: of the filters that are archetypes. layers: as for ``removal_curve``.
    normalization, checkpoint, checkpoint_every: as for ``training.fit``. example: as for ``removal_curve``.

    The caller's network is unchanged; frozen weights are trained too. Raises TypeError or ValueError naming the argument before
    anything is trained, CheckpointError for another run's file.
    """
    (train, test), _, first = checked(model, normalization, train=train, test=test)
    _settings(epochs, seed, lr, batch_size)
    checks.choice("method", method, METHODS)
    rate, fraction = checks.real("rate", rate, 0, 1 - 1e-9), share("fraction", fraction)
    example = first if example is None else example
    removed = {}
    for name in removed_layers(model, layers, example):
        weight = network.filters(model, name)
        options = {"fraction": fraction} if method == "positional" else {}
        if n := n_removed(rate, len(weight)):
            removed[name] = sorted(rank(weight, method, seed=seed, **options).redundant(n).tolist())
    pruned = remove_filters(model, removed, mode="prune", example=example) if removed else copy.deepcopy(model)
    options = {"normalization": normalization, "batch_size": batch_size, "checkpoint": checkpoint, "checkpoint_every": checkpoint_every}
    return _trained(model, pruned, train, test, epochs, seed, lr, sum(map(len, removed.values())), options)


def start_and_train(
    model: nn.Module,
    train: Any,
    test: Any,
    *,
    start: str,
    epochs: int,
    seed: int = 0,
    concentration: float | str | tuple = 1.0,
    lr: float = 1e-4,
    batch_size: int = 64,
    fraction: float = 0.25,
    normalization: Any = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> Retrained:
    """Train a network of this architecture from random weights, from its own, or from filters fabricated of its archetypes (Table 2).

    start: "random": every layer's own ``reset_parameters``; "trained": the weights of ``model``; "fabricated": every convolution's
        filters are mixtures of its archetypes, biases zero and batch normalisation reset, its statistics from one pass over
        ``train`` (``simplex.fabricate_network``).
    seed: of all that is drawn, and of the training. The layer that gives the logits is fresh in all three, and the same for a seed.
    concentration, fraction: of "fabricated" only, as for ``simplex.fabricate_network``.
    train, test, normalization, checkpoint, checkpoint_every: as for ``prune_and_retrain``.

    The paper's source and target differ: weights and archetypes come from ImageNet, training and test are CIFAR-10. Where ``model``
    was trained on ``train`` itself, as our LeNet on MNIST, they are the same, and "trained" only has its logits to learn again:
    this asks whether fabricated filters keep what the archetypes' network knew, not whether that transfers.

    The caller's network is unchanged. Raises TypeError or ValueError naming the argument before anything is trained, CheckpointError
    for another run's file.
    """
    (train, test), _, _ = checked(model, normalization, train=train, test=test)
    _settings(epochs, seed, lr, batch_size)
    checks.choice("start", start, STARTING_WEIGHTS)
    share("fraction", fraction)
    logits = logits_layer(model)
    if logits is None:
        raise ValueError(f"model: got {type(model).__name__}, expected a network with a convolution or linear layer that gives the logits")
    if start == "fabricated":
        begun = fabricate_network(model, fraction=fraction, concentration=concentration, seed=seed).model
    else:
        begun = copy.deepcopy(model)
        if start == "random":
            _reset(begun, seed)
    _reset(begun.get_submodule(logits), seed, 1)  # a stream of its own: else it would repeat the first layer's draws of "random"
    if start == "fabricated":
        begun = reset_statistics(begun, train.batches(batch_size), normalization=normalization)
    options = {"normalization": normalization, "batch_size": batch_size, "checkpoint": checkpoint, "checkpoint_every": checkpoint_every}
    return _trained(model, begun, train, test, epochs, seed, lr, 0, options)


def _settings(epochs: Any, seed: Any, lr: Any, batch_size: Any) -> None:
    checks.integer("epochs", epochs, 1), checks.integer("seed", seed, 0)
    checks.integer("batch_size", batch_size, 1)
    if checks.real("lr", lr, 0) == 0:
        raise ValueError("lr: got 0, expected a learning rate above 0: nothing would be trained")


def _reset(model: nn.Module, *seed: int) -> None:
    """Every layer's own ``reset_parameters``, which draws on the CPU as on any other device after the same seed."""
    place = arguments.device(model)
    with training.loop.randomness_kept(torch.device("cpu")):
        torch.default_generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        model.cpu()
        for module in model.modules():
            if callable(getattr(module, "reset_parameters", None)):
                module.reset_parameters()
        model.to(place)


def _trained(
    model: nn.Module, begun: nn.Module, train: Any, test: Any, epochs: int, seed: int, lr: float, n: int, options: dict
) -> Retrained:
    """Train ``begun``, which nobody else holds, and say what the network was worth before."""
    begun.requires_grad_()
    evaluated = {"normalization": options["normalization"]}
    before, start = (training.evaluate(each, test, **evaluated)[1] for each in (model, begun))
    parameters = tuple(sum(parameter.numel() for parameter in each.parameters()) for each in (model, begun))
    optimizer = torch.optim.Adam(begun.parameters(), lr=lr)
    history = training.fit(begun, train, test, epochs=epochs, seed=seed, optimizers=optimizer, **options)
    return Retrained(begun.eval(), before, start, history.test_accuracy, n, parameters, history)
