"""What ``fit`` and ``evaluate`` ask of their arguments, one by one and together, before anything is changed.

Each function names the argument in its error; those of images and labels stand in ``batching``.
"""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from filterlens import checks
from filterlens.models.checkpoints import CheckpointError
from filterlens.network import mode_kept
from filterlens.training import batching, loop, snapshots
from filterlens.training.batching import Batched


def function(name: str, given: Any) -> Any:
    """A function, or None."""
    if given is not None and not callable(given):
        raise TypeError(f"{name}: got {checks.describe(given)}, expected a function")
    return given


def several(name: str, given: Any, kind: type) -> list[Any]:
    """One or a list of them, as a list; None is none."""
    found = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for value in found:
        if not isinstance(value, kind):
            raise TypeError(f"{name}: got {checks.describe(value)}, expected a torch {kind.__name__} or a list of them")
    return found


def optimizers(given: Any, model: nn.Module) -> list[Optimizer]:
    """Optimizers that step after one backward pass; by default one for all that is trainable."""
    if given is None:
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trainable:
            raise ValueError("model: got one without a parameter that requires a gradient, expected something to train")
        return [torch.optim.SGD(trainable, lr=0.01, momentum=0.9, weight_decay=5e-4)]
    found = several("optimizers", given, Optimizer)
    if not found:
        raise ValueError("optimizers: got an empty list, expected at least one, or None for the default")
    for optimizer in found:
        closure = inspect.signature(type(optimizer).step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            name = type(optimizer).__name__
            raise ValueError(f"optimizers: got {name}, which wants a closure, expected one that steps after a single backward pass")
    return found


def state(given: Any) -> dict[str, Any]:
    """Names with tensors, or with objects that hand out their state."""
    if given is not None and not isinstance(given, dict):
        raise TypeError(f"state: got {checks.describe(given)}, expected a dict of names")
    for name, value in (given or {}).items():
        if not isinstance(name, str):
            raise TypeError(f"state: got the key {checks.describe(name)}, expected a name")
        if not isinstance(value, Tensor) and not (hasattr(value, "state_dict") and hasattr(value, "load_state_dict")):
            expected = "expected a tensor or an object with state_dict and load_state_dict"
            raise TypeError(f"state[{name!r}]: got {checks.describe(value)}, {expected}")
    return dict(given or {})


def device(model: nn.Module, given: Any = None) -> torch.device:
    """A device of this machine; by default the model's."""
    if given is None:
        return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        return torch.empty(0, device=given).device
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(f"device: got {checks.describe(given)}, expected a device of this machine such as 'cpu' ({error})") from error


def file(given: Any) -> Path | None:
    """The path of a checkpoint, or None."""
    if given is None:
        return None
    if not isinstance(given, str | Path) or not str(given):
        raise TypeError(f"checkpoint: got {checks.describe(given)}, expected the path of a file")
    path = Path(given).expanduser()
    if path.is_dir():
        raise ValueError(f"checkpoint: got {str(given)!r}, which is a folder, expected the path of a file")
    return path


def check_together(run: loop.Run, *, logits: bool) -> None:
    """What only several arguments together can tell; ``logits``: the loss or the accuracy is that of the model's own output."""
    kept = {id(parameter) for parameter in run.model.parameters()} | {id(value) for value in run.state.values()}
    kept |= {id(parameter) for value in run.state.values() if isinstance(value, nn.Module) for parameter in value.parameters()}
    for optimizer in run.optimizers:
        strange = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in kept]
        if strange:
            raise ValueError(f"optimizers: got one with {checks.describe(strange[0].data)} that is neither the model's nor in state")
    if run.optimizer_of_epoch is not None:
        for epoch in range(run.epochs):
            checks.integer(f"optimizer_of_epoch({epoch})", run.optimizer_of_epoch(epoch), 0, len(run.optimizers) - 1)
    for schedule in run.schedules:
        if not any(schedule.optimizer is optimizer for optimizer in run.optimizers):
            raise ValueError("schedule: got one whose optimizer is not in optimizers, expected the very object it was made for")
        if isinstance(schedule, ReduceLROnPlateau) and (run.by_step or run.test is None):
            raise ValueError("schedule: got ReduceLROnPlateau, expected test images and schedule_every='epoch' with it")
    if logits:
        try_one("train", run.train, run.model, run.normalize)
        if run.test is not None:
            try_one("test", run.test, run.model, run.normalize)
    if run.checkpoint is not None and run.state:
        buffer = io.BytesIO()
        try:
            torch.save(run.stored_state(), buffer)
            snapshots.unpack(buffer.getbuffer())
        except (CheckpointError, AttributeError, TypeError, RuntimeError, ValueError) as error:
            raise TypeError(f"state: expected tensors and plain values, which a checkpoint can keep: {error}") from error


def try_one(name: str, source: Batched, model: nn.Module, normalize: batching.Normalize) -> None:
    """One image through the network, so that a wrong size or a wrong label shows before anything is changed."""
    images, _ = next(iter(source[:1].batches(1)))
    place, shape = device(model), tuple(images.shape)
    with mode_kept(model), loop.randomness_kept(place), torch.no_grad():
        try:
            logits = model.eval()(normalize(batching.like(images, model, place)))
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{name}: an image of shape {shape} does not go through the model: {error}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        expected = "expected logits (n, C), or for another output a step of its own and test=None"
        raise ValueError(f"model: gives {checks.describe(logits)} for an image of shape {shape}, {expected}")
    top = int(source.labels.long().max())
    if top >= logits.shape[1]:
        raise ValueError(f"{name}: got labels up to {top}, expected at most {logits.shape[1] - 1}, the model's last class")
