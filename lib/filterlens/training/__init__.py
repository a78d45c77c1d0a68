"""One way to train everything: deterministic for a seed, resumable after a kill at any moment.

The lenses bring what is theirs (a ``step`` that returns the loss, optimizers, tensors of their own). This file holds what
one calls, and the checks; the loop itself stands in ``loop``, its state on disk in ``snapshots``, its batches in ``batching``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from filterlens import checks
from filterlens.models.checkpoints import CheckpointError
from filterlens.network import mode_kept
from filterlens.training import batching, loop, snapshots
from filterlens.training.batching import Batched
from filterlens.training.loop import History, Step

__all__ = ["CheckpointError", "History", "cross_entropy", "evaluate", "fit"]


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
) -> History:
    """Train ``model`` IN PLACE and return what happened; afterwards every module is in the mode it was found in.

    train, test: ``data.Images``, or images (n, c, h, w) in [0, 1] (or features (n, d)) with labels (n,). ``test`` may be None.
    epochs: how many in all, those of a resumed checkpoint included. Epochs are counted from 0 everywhere.
    seed: decides order, dropout and augmentation, epoch by epoch; the caller's generators are left as they were. The same
        seed gives the same weights on one machine with one number of threads (on the CPU; cuDNN is asked for the same).
    step: ``step(model, images, labels, epoch) -> loss``, on normalized images; by default ``cross_entropy``.
    optimizers: all of them step after each backward pass; one whose parameters got no gradient does nothing. To project
        parameters after a step use torch's ``optimizer.register_step_post_hook``. By default SGD with lr 0.01, momentum 0.9
        and weight decay 5e-4. Their parameters must belong to the model or to ``state``, or a resume would lose them.
    schedule: stepped after each epoch, or after each batch with ``schedule_every="step"`` (ReduceLROnPlateau is given the
        test loss, so it goes by epochs).
    augment: ``augment(images, generator) -> images``, on training images in [0, 1] before normalization; all its
        randomness must come from the generator (of the CPU).
    on_epoch: ``on_epoch(epoch, model, history)`` after each epoch, model in eval mode. It runs before the checkpoint is
        written: what it changes in ``state`` is kept; after a kill it may see an epoch for the second time.
    state: name -> tensor, or object with ``state_dict`` and ``load_state_dict``: checkpointed, restored in place, and left
        on the device where it is.
    device: where to train; by default where the model is. The model stays there.
    checkpoint: a file, written after each epoch (and every ``checkpoint_every`` batches) and read if it exists. A run that
        was killed goes on from there to the same weights as one that was not; a finished one returns at once.
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
        step=_callable("step", step) or cross_entropy,
        optimizers=_several("optimizers", optimizers, Optimizer) or _default_optimizer(model),
        schedules=_several("schedule", schedule, LRScheduler),
        augment=_callable("augment", augment),
        batch_size=checks.integer("batch_size", batch_size, 1),
        on_epoch=_callable("on_epoch", on_epoch),
        state=_state(state),
        device=_device(model, device),
        checkpoint=_file(checkpoint),
        normalize=batching.normalize(normalization),
        by_step=checks.choice("schedule_every", schedule_every, ["epoch", "step"]) == "step",
        checkpoint_every=None if checkpoint_every is None else checks.integer("checkpoint_every", checkpoint_every, 1),
    )
    _check_together(run)
    with mode_kept(model), loop.randomness_kept(run.device):
        return run.go()


def evaluate(
    model: nn.Module, images: Batched | tuple[Tensor, Tensor], *, normalization: Any = None, batch_size: int = 256
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of the model's logits (n, C), in eval mode on the model's device; the model is unchanged.

    ``images`` as ``test`` of ``fit``. Raises TypeError or ValueError for a bad argument.
    """
    device = _device(checks.module("model", model), None)
    source, normalize = batching.source("images", images), batching.normalize(normalization)
    size = checks.integer("batch_size", batch_size, 1)
    _try_one("images", source, model, normalize)
    with mode_kept(model):
        return loop.evaluate(model.eval(), source, normalize, device, size)


def _check_together(run: loop.Run) -> None:
    """What only several arguments together can tell."""
    kept = {id(parameter) for parameter in run.model.parameters()} | {id(value) for value in run.state.values()}
    kept |= {id(parameter) for value in run.state.values() if isinstance(value, nn.Module) for parameter in value.parameters()}
    for optimizer in run.optimizers:
        strange = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in kept]
        if strange:
            raise ValueError(f"optimizers: got one with {checks.describe(strange[0].data)} that is neither the model's nor in state")
    for schedule in run.schedules:
        if not any(schedule.optimizer is optimizer for optimizer in run.optimizers):
            raise ValueError("schedule: got one whose optimizer is not in optimizers, expected the very object it was made for")
        if isinstance(schedule, ReduceLROnPlateau) and (run.by_step or run.test is None):
            raise ValueError("schedule: got ReduceLROnPlateau, expected test images and schedule_every='epoch' with it")
    _try_one("train", run.train, run.model, run.normalize)
    if run.test is not None:
        _try_one("test", run.test, run.model, run.normalize)
    if run.checkpoint is not None and run.state:
        buffer = io.BytesIO()
        try:
            torch.save(run.stored_state(), buffer)
            snapshots.unpack(buffer.getbuffer())
        except (CheckpointError, AttributeError, TypeError, RuntimeError, ValueError) as error:
            raise TypeError(f"state: expected tensors and plain values, which a checkpoint can keep: {error}") from error


def _try_one(name: str, source: Batched, model: nn.Module, normalize: batching.Normalize) -> None:
    """One image through the network, so that a wrong size or a wrong label shows before anything is changed."""
    images, _ = next(iter(source[:1].batches(1)))
    place = _device(model, None)
    with mode_kept(model), loop.randomness_kept(place), torch.no_grad():
        try:
            logits = model.eval()(normalize(batching.like(images, model, place)))
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{name}: an image of shape {tuple(images.shape)} does not go through the model: {error}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(f"model: gives {checks.describe(logits)} for an image of shape {tuple(images.shape)}, expected logits (n, C)")
    top = int(source.labels.max())
    if top >= logits.shape[1]:
        raise ValueError(f"{name}: got labels up to {top}, expected at most {logits.shape[1] - 1}, the model's last class")


def _default_optimizer(model: nn.Module) -> list[Optimizer]:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("model: got one without a parameter that requires a gradient, expected something to train")
    return [torch.optim.SGD(trainable, lr=0.01, momentum=0.9, weight_decay=5e-4)]


def _callable(name: str, given: Any) -> Any:
    if given is not None and not callable(given):
        raise TypeError(f"{name}: got {checks.describe(given)}, expected a function")
    return given


def _several(name: str, given: Any, kind: type) -> list[Any]:
    found = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for value in found:
        if not isinstance(value, kind):
            raise TypeError(f"{name}: got {checks.describe(value)}, expected a torch {kind.__name__} or a list of them")
    return found


def _state(given: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise TypeError(f"state: got {checks.describe(given)}, expected a dict of names")
    for name, value in (given or {}).items():
        if not isinstance(name, str):
            raise TypeError(f"state: got the key {checks.describe(name)}, expected a name")
        if not isinstance(value, Tensor) and not (hasattr(value, "state_dict") and hasattr(value, "load_state_dict")):
            expected = "expected a tensor or an object with state_dict and load_state_dict"
            raise TypeError(f"state[{name!r}]: got {checks.describe(value)}, {expected}")
    return dict(given or {})


def _device(model: nn.Module, given: Any) -> torch.device:
    if given is None:
        return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        return torch.empty(0, device=given).device
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(f"device: got {checks.describe(given)}, expected a device of this machine such as 'cpu' ({error})") from error


def _file(given: Any) -> Path | None:
    if given is None:
        return None
    if not isinstance(given, str | Path) or not str(given):
        raise TypeError(f"checkpoint: got {checks.describe(given)}, expected the path of a file")
    path = Path(given).expanduser()
    if path.is_dir():
        raise ValueError(f"checkpoint: got {str(given)!r}, which is a folder, expected the path of a file")
    return path
