"""One way to train everything: deterministic for a seed, resumable after a kill at any moment.

The lenses bring what is theirs (a ``step`` that returns the loss, optimizers, tensors of their own). This file holds what
one calls; the checks stand in ``arguments``, the loop in ``loop``, its state on disk in ``snapshots``, what tells one run
from another in ``identity``, its batches in ``batching``, what is done to images on the way in ``augmentation``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from filterlens import checks
from filterlens.models.checkpoints import CheckpointError
from filterlens.network import mode_kept
from filterlens.training import arguments, batching, loop
from filterlens.training.augmentation import flip_and_crop
from filterlens.training.batching import Batched
from filterlens.training.loop import History, Step

__all__ = ["CheckpointError", "History", "cross_entropy", "evaluate", "fit", "flip_and_crop"]


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor, epoch: int) -> Tensor:
    """The default step: the mean cross-entropy of the model's logits (n, C)."""
    return F.cross_entropy(model(images), labels)


def fit(
    model: nn.Module,
    train: Batched | tuple[Tensor, Tensor],
    test: Batched | tuple[Tensor, Tensor] | None,
    *,
    epochs: int,
    seed: int,
    step: Step | None = None,
    optimizers: Optimizer | Sequence[Optimizer] | None = None,
    schedule: LRScheduler | Sequence[LRScheduler] | None = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    batch_size: int = 128,
    on_epoch: Callable[[int, nn.Module, History], None] | None = None,
    state: dict[str, Any] | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    normalization: Any = None,
    schedule_every: str = "epoch",
    checkpoint_every: int | None = None,
    optimizer_of_epoch: Callable[[int], int] | None = None,
) -> History:
    """Train ``model`` IN PLACE and return what happened; afterwards every module is in the mode it was found in.

    The whole model is trained in train mode, modules that came in eval mode too. To keep the statistics of a batch
    normalisation, call its ``eval()`` in ``step``; to keep weights, set their ``requires_grad`` to False.

    train, test: ``data.Images``, or images (n, c, h, w) in [0, 1] (or features (n, d)) with integer labels (n,). ``test`` may
        be None. The model has to give logits (n, C) where they are used: with ``test``, or without a ``step`` of its own.
    epochs: how many in all, those of a resumed checkpoint included. Epochs are counted from 0 everywhere.
    seed: decides order, dropout and augmentation, epoch by epoch; the caller's generators are left as they were. The same
        seed gives the same weights on one machine with one number of threads (on the CPU; cuDNN is asked for the same).
    step: ``step(model, images, labels, epoch) -> loss``, on normalized images; by default ``cross_entropy``.
    optimizers: all of them step after each backward pass (so none that needs a closure, as LBFGS does); one whose parameters
        got no gradient does nothing. To project parameters after a step use torch's ``optimizer.register_step_post_hook``. By
        default SGD with lr 0.01, momentum 0.9 and weight decay 5e-4. Their parameters must belong to the model or to
        ``state``, or a resume would lose them.
    optimizer_of_epoch: ``optimizer_of_epoch(epoch) -> place``: only this one of the optimizers steps in the epoch, and only the
        schedules made for it; so two kinds of epochs may train the same weights, each with a momentum and a rate of its own.
    schedule: stepped after each epoch, or after each batch with ``schedule_every="step"`` (ReduceLROnPlateau is given the
        test loss, so it goes by epochs).
    augment: ``augment(images, generator) -> images``, on training images in [0, 1] before normalization; all its
        randomness must come from the generator (of the CPU).
    on_epoch: ``on_epoch(epoch, model, history)`` after each epoch, model in eval mode. It runs before the checkpoint is
        written: what it changes in ``state`` is kept; after a kill it may see an epoch for the second time.
    state: name -> tensor, or object with ``state_dict`` and ``load_state_dict``: checkpointed, restored in place, and left
        on the device where it is.
    device: where to train; by default where the model is. The model stays there.
    batch_size: with batch normalisation, a last image that would be alone in its batch joins the one before.
    checkpoint: a file, written after each epoch (and every ``checkpoint_every`` batches) and read if it exists. A run that
        was killed goes on from there to the same weights as one that was not; a finished one returns at once. To resume, call
        with the model and the state as first built (same seed, not half trained): their first values, the data, the settings
        and the names of ``step`` and ``augment`` tell whose checkpoint it is. What stands inside those two is not compared.
    normalization: an object with ``apply(images)``, applied to every batch; None hands the images on as they are.

    Raises TypeError or ValueError for a bad argument before anything is changed, CheckpointError for a checkpoint that is
    damaged or another run's, FloatingPointError when a loss is not finite.
    """
    run = loop.Run(
        model=checks.module("model", model),
        train=batching.source("train", train),
        test=None if test is None else batching.source("test", test),
        epochs=checks.integer("epochs", epochs, 1),
        seed=checks.integer("seed", seed, 0),
        step=arguments.function("step", step) or cross_entropy,
        optimizers=arguments.optimizers(optimizers, model),
        schedules=arguments.several("schedule", schedule, LRScheduler),
        augment=arguments.function("augment", augment),
        batch_size=checks.integer("batch_size", batch_size, 1),
        on_epoch=arguments.function("on_epoch", on_epoch),
        state=arguments.state(state),
        device=arguments.device(model, device),
        checkpoint=arguments.file(checkpoint),
        normalize=batching.normalize(normalization),
        by_step=checks.choice("schedule_every", schedule_every, ["epoch", "step"]) == "step",
        checkpoint_every=None if checkpoint_every is None else checks.integer("checkpoint_every", checkpoint_every, 1),
        optimizer_of_epoch=arguments.function("optimizer_of_epoch", optimizer_of_epoch),
    )
    arguments.check_together(run, logits=run.step is cross_entropy or run.test is not None)
    with mode_kept(model), loop.randomness_kept(run.device):
        return run.go()


def evaluate(
    model: nn.Module, images: Batched | tuple[Tensor, Tensor], *, normalization: Any = None, batch_size: int = 256
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of the model's logits (n, C), in eval mode on the model's device; the model is unchanged.

    ``images`` as ``test`` of ``fit``. Raises TypeError or ValueError for a bad argument.
    """
    device = arguments.device(checks.module("model", model))
    source, normalize = batching.source("images", images), batching.normalize(normalization)
    size = checks.integer("batch_size", batch_size, 1)
    arguments.try_one("images", source, model, normalize)
    with mode_kept(model):
        return loop.evaluate(model.eval(), source, normalize, device, size)
