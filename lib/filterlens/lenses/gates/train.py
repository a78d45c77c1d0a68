"""Training with gates: plain and gated epochs take turns, each kind with an optimizer of its own, and G is recorded after every epoch.

The loop, its checkpoints and its determinism are those of ``training.fit``; this file brings the step, the two optimizers, the
projection after every gated step and the record.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR

from ... import checks, network, training
from ...training import batching
from .classifier import GatedClassifier
from .matrix import Schedule, density_bounds, l1_density, penalty, project

Optimizers = tuple[Optimizer, Optimizer]


@dataclass(frozen=True, eq=False)
class GateHistory:
    """A training with gates.

    model: the gated network, in the mode it came in. gates: (E + 1, C, K), before the training and after each of E epochs.
    gated: (E,) bool. bounds: the interval of the density, ``density_bounds``; of fixed gates their own density, twice.
    training: losses and rates per epoch, and test loss and accuracy of the STD path. In gated epochs ``train_loss`` is the loss of
    the CSG path with its penalty.
    """

    model: GatedClassifier
    gates: Tensor
    gated: Tensor
    bounds: tuple[float, float]
    training: training.History

    @property
    def density(self) -> Tensor:
        """The L1-density (E + 1,) of the gates, before the training and after each epoch."""
        return torch.tensor([l1_density(G) for G in self.gates], dtype=torch.float64)


def two_sgds(
    model: GatedClassifier, *, lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 1e-4, nesterov: bool = False
) -> Optimizers:
    """SGD for the plain and SGD for the gated steps, as the appendix names it (lr 0.1, momentum 0.9); no weight decay on the gates (ours)."""
    weights = [p for p in model.model.parameters() if p.requires_grad]
    common = {"lr": lr, "momentum": momentum, "nesterov": nesterov}
    own = [{"params": [model.gates], "weight_decay": 0.0}] if model.learned else []
    return (
        SGD(weights, weight_decay=weight_decay, **common),
        SGD([{"params": weights, "weight_decay": weight_decay}, *own], **common),
    )


def by_tenths(optimizer: Optimizer, n_steps: int) -> LRScheduler:
    """lr x 0.1 after 40, 60 and 80 % of the steps of this path (official code, there for VOC and in epochs)."""
    return MultiStepLR(optimizer, sorted({max(1, n_steps * share // 100) for share in (40, 60, 80)}), 0.1)


def train_gated(
    model: nn.Module,
    train: Any,
    test: Any,
    *,
    epochs: int,
    period: int = 3,
    gated: int = 1,
    first: int = 0,
    g: float | None = None,
    lam: float = 1e-3,
    method: str = "rescale",
    seed: int = 0,
    batch_size: int = 256,
    optimizers: Callable[[GatedClassifier], Optimizers] = two_sgds,
    schedule: Callable[[Optimizer, int], LRScheduler] | None = by_tenths,
    normalization: Any = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    device: str | torch.device | None = None,
    example: Tensor | None = None,
) -> GateHistory:
    """Train a CNN IN PLACE with class-specific gates, L_STD in plain and L_CSG in gated epochs, and return what happened.

    L_STD = CE(STD(x), y); L_CSG = CE(CSG(x, y), y) + lam * max(||G||_1 - g, 0), and after every gated step G is projected.

    model: a CNN with one linear layer after pooling, or a ``GatedClassifier`` around any other, which says its own projection.
    epochs, period, gated, first: the last ``gated`` of every ``period`` epochs are gated, after ``first`` plain ones: one in three for
        CIFAR-10 and ImageNet (appendix). With gated = 0 the network is trained as usual, its STD twin.
    g: bound wanted for ||G||_1, in [K, C K]; by default 0.2 C K, as lam of the official code for VOC (those of CIFAR-10 are not
        known), and for fewer than its six classes the 1.2 K that this is there (ours).
    method: projection of new gates, see ``project_gates``.
    optimizers: from the gated network the pair (plain steps, gated steps); only the second has the gates.
    schedule: from an optimizer and the number of steps of its path, counted separately per path, a scheduler stepped every batch.
    train, test, seed, batch_size, normalization, augment, checkpoint, checkpoint_every, device: as in ``training.fit``, but that a
        finished run cannot be prolonged: the number of epochs is part of what its checkpoint knows it by.

    Source: spec of arXiv 2007.08194's appendix, 2.2 to 2.5. Raises TypeError or ValueError naming the argument before anything is
    changed, ``training.CheckpointError`` for another run's file.
    """
    checks.module("model", model)
    epochs = checks.integer("epochs", epochs, 1)
    plan = Schedule(period, gated, first)
    lam = checks.real("lam", lam, 0)
    train = batching.source("train", train)
    for name, given in {"optimizers": optimizers, "schedule": schedule}.items():
        if not callable(given) and not (name == "schedule" and given is None):
            raise TypeError(f"{name}: got {checks.describe(given)}, expected a function")
    checks.choice("method", method, ("rescale", "euclid"))
    if isinstance(model, GatedClassifier):
        wrapped = model
    else:
        head = network.classifier(model, example=example)
        wrapped = GatedClassifier(model, head.out_features, method=method, example=example)
    C, K = wrapped.gates.shape
    g = max(0.2 * C, 1.2) * K if g is None else checks.real("g", g)
    bounds = density_bounds(C, K, g) if wrapped.learned else (l1_density(wrapped.gates),) * 2
    checks.labels("train: labels", train.labels, len(train), C)
    pair = optimizers(wrapped)
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(one, Optimizer) for one in pair):
        raise TypeError(f"optimizers: returned {checks.describe(pair)}, expected a pair of optimizers, for plain and for gated steps")
    if wrapped.learned and gated:
        held = [{id(p) for group in optimizer.param_groups for p in group["params"]} for optimizer in pair]
        if id(wrapped.gates) in held[0] or id(wrapped.gates) not in held[1]:
            raise ValueError("optimizers: expected the model's gates in the second of the pair, that of gated steps, and not in the first")
    per_epoch = len(batching.epoch_sizes(wrapped, len(train), checks.integer("batch_size", batch_size, 1)))
    turns = [sum(plan(epoch) is kind for epoch in range(epochs)) for kind in (False, True)]
    schedules = [schedule(optimizer, max(1, n * per_epoch)) for optimizer, n in zip(pair, turns, strict=True) if n] if schedule else None
    record = wrapped.gates.detach().cpu().repeat(epochs + 1, 1, 1)

    def keep(epoch: int, model: nn.Module, history: training.History) -> None:
        record[epoch + 1] = model.gates.detach()

    settings, before = {"period": period, "gated": gated, "first": first}, wrapped.gated
    how = {"method": wrapped.method, "layer": wrapped.layer or ""}  # of the run's identity: a resume with others is refused
    handle = pair[1].register_step_post_hook(functools.partial(_project_after, wrapped))
    try:
        history = training.fit(
            wrapped,
            train,
            test,
            epochs=epochs,
            seed=seed,
            step=functools.partial(_step, **settings, **how, g=g, lam=lam),
            optimizers=list(pair),
            optimizer_of_epoch=functools.partial(_place, **settings),
            schedule=schedules,
            schedule_every="step",
            augment=augment,
            batch_size=batch_size,
            on_epoch=keep,
            state={"gates of every epoch": record},
            normalization=normalization,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            device=device,
        )
    finally:
        handle.remove()
        wrapped.gated = before
    return GateHistory(wrapped, record, torch.tensor([plan(epoch) for epoch in range(epochs)]), bounds, history)


def _step(
    model: GatedClassifier, images: Tensor, labels: Tensor, epoch: int, *, period: int, gated: int, first: int, g: float, lam: float,
    method: str, layer: str,
) -> Tensor:  # fmt: skip
    """L_STD or L_CSG of a batch, whichever the epoch asks for."""
    model.gated = Schedule(period, gated, first)(epoch)
    loss = F.cross_entropy(model(images, labels), labels)
    return loss + lam * penalty(model.gates, g) if model.gated and model.learned else loss


def _place(epoch: int, *, period: int, gated: int, first: int) -> int:
    """Which of the pair of optimizers steps in an epoch."""
    return int(Schedule(period, gated, first)(epoch))


def _project_after(model: GatedClassifier, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    """Back into the feasible set, as "projected gradient descent" asks after each step."""
    if model.learned:
        with torch.no_grad():
            model.gates.copy_(project(model.gates, model.method))
