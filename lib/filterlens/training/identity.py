"""What makes two runs the same, in words that an error can quote: a resume of anything else is refused.

``loop`` asks for it before it trains or restores, so the values of the model and of the state are those a run begins with.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from filterlens.training.batching import fingerprint, raw_bytes

if TYPE_CHECKING:
    from filterlens.training.loop import Run

_MOVING = {"last_epoch", "best", "num_bad_epochs", "cooldown_counter", "T_cur", "T_i"}  # of schedules, as they go


def identity(run: Run) -> dict[str, str]:
    """A description of a run by keys; everything that decides the weights it ends in, but the number of epochs."""
    parameters = dict(run.model.named_parameters())
    still = [name for name, parameter in parameters.items() if not parameter.requires_grad]
    said = {
        "seed": str(run.seed),
        "batch_size": str(run.batch_size),
        "model": type(run.model).__name__,
        "train": fingerprint(run.train, run.normalize),
        "test": "none" if run.test is None else fingerprint(run.test, run.normalize),
        "step": called(run.step),
        "augment": called(run.augment),
        "optimizers": ", ".join(f"{type(o).__name__} {_settings(o.defaults)}" for o in run.optimizers),
        "parameter groups": _groups(run),
        "frozen": f"{len(still)} of {len(parameters)}, digest {digest(still)}" if still else "none",
        "schedule": ", ".join(f"{type(s).__name__} {_settings(s.state_dict())}" for s in run.schedules) or "none",
        "schedule_every": "step" if run.by_step else "epoch",
        "model's first values": f"digest {digest(run.model.state_dict())}",
        "state's first values": f"digest {digest(run.stored_state())}",
    }
    if run.optimizer_of_epoch is not None:
        said["optimizer_of_epoch"] = called(run.optimizer_of_epoch)
    for owner, values in (("model", run.model.state_dict()), ("state", run.state)):
        for name, value in values.items():
            said[f"{owner}'s {name}"] = str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
    return said


def called(function: Callable | None) -> str:
    """The qualified name of a function, or of the class of an object that is called like one; not what stands in it."""
    if function is None:
        return "none"
    if isinstance(function, functools.partial):
        return f"{called(function.func)} with {_settings(function.keywords)}"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def digest(value: Any) -> str:
    """Twelve hexadecimal digits of tensors and plain values, however nested; of other things only the class counts."""
    sha = hashlib.sha256()
    _add(sha, value)
    return sha.hexdigest()[:12]


def _add(sha: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        sha.update(f"{value.dtype} {tuple(value.shape)}".encode())
        sha.update(raw_bytes(value))
    elif isinstance(value, dict):
        sha.update(f"dict of {len(value)}".encode())
        for key, entry in value.items():
            _add(sha, key)
            _add(sha, entry)
    elif isinstance(value, list | tuple):
        sha.update(f"list of {len(value)}".encode())
        for entry in value:
            _add(sha, entry)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype):
        sha.update(f"{type(value).__name__} {value!r};".encode())
    else:
        sha.update(f"{type(value).__name__};".encode())


def _groups(run: Run) -> str:
    """How many parameters each group of each optimizer has, and a digest of their names and of the group's settings."""
    names = {id(value): f"state's {name}" for name, value in run.state.items()}
    for name, value in run.state.items():
        if isinstance(value, nn.Module):
            names |= {id(parameter): f"state's {name}.{inner}" for inner, parameter in value.named_parameters()}
    names |= {id(parameter): name for name, parameter in run.model.named_parameters()}
    groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
    told = [([names[id(parameter)] for parameter in group["params"]], _settings(group, but=("params",))) for group in groups]
    return f"{[len(members) for members, _ in told]}, digest {digest(told)}"


def _settings(values: dict[str, Any], but: tuple[str, ...] = ()) -> str:
    """The plain settings of an optimizer or a schedule, without what changes while it runs."""
    fixed = {name: value for name, value in values.items() if not name.startswith("_") and name not in _MOVING and name not in but}
    return str({name: value for name, value in fixed.items() if isinstance(value, bool | int | float | str | list | tuple | dict)})
