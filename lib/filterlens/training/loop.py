"""The training loop itself, behind ``training.fit``: epochs, batches, and how far a run has come.

Every epoch draws its order, dropout and augmentation from seeds of its own, so it can be begun without those before it;
inside an epoch a snapshot carries the generators along. That is why a resumed run ends in the same weights.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from filterlens import checks
from filterlens.models.checkpoints import CheckpointError
from filterlens.training import snapshots
from filterlens.training.batching import Batched, Normalize, epoch_sizes, like
from filterlens.training.identity import identity

Step = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class History:
    """One entry per epoch. Losses are means per image (``test_*`` in eval mode, NaN without test images); ``lr`` holds, per
    epoch, the learning rate of every optimizer's first group; ``seconds`` counts training and evaluation."""

    train_loss: tuple[float, ...] = ()
    test_loss: tuple[float, ...] = ()
    test_accuracy: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    lr: tuple[tuple[float, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.train_loss)

    def extended(self, **entries: Any) -> History:
        """The same history with one more epoch."""
        return History(**{field.name: (*getattr(self, field.name), entries[field.name]) for field in fields(self)})


@contextmanager
def randomness_kept(device: torch.device) -> Iterator[None]:
    """The caller's generators, of the CPU and of this device, leave as they came; cuDNN is deterministic in between."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            cudnn.deterministic, cudnn.benchmark = True, False
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before


def evaluate(model: nn.Module, images: Batched, normalize: Normalize, device: torch.device, size: int) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of the logits; the model has to be in eval mode already."""
    loss, right = 0.0, 0
    with torch.no_grad():
        for batch, labels in images.batches(size):
            labels = labels.to(device, torch.int64)
            logits = model(normalize(like(batch, model, device)))
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
    return loss / len(images), right / len(images)


@dataclass(eq=False)
class Run:
    """The checked arguments of ``training.fit``, and how far it has come."""

    model: nn.Module
    train: Batched
    test: Batched | None
    epochs: int
    seed: int
    step: Step
    optimizers: list[Optimizer]
    schedules: list[LRScheduler]
    augment: Callable[[Tensor, torch.Generator], Tensor] | None
    batch_size: int
    on_epoch: Callable[[int, nn.Module, History], None] | None
    state: dict[str, Any]
    device: torch.device
    checkpoint: Path | None
    normalize: Normalize
    by_step: bool
    checkpoint_every: int | None
    optimizer_of_epoch: Callable[[int], int] | None = None

    epoch: int = 0
    done: int = 0  # batches of this epoch
    loss_sum: float = 0.0  # over the images of this epoch
    spent: float = 0.0  # seconds of this epoch, up to the snapshot it was resumed from
    history: History = History()

    def __post_init__(self) -> None:
        self.crop = torch.Generator()  # augmentation's own
        self.sizes = epoch_sizes(self.model, len(self.train), self.batch_size)
        self.identity: dict[str, str] = {}

    def go(self) -> History:
        from tqdm.auto import tqdm

        stored = None
        if self.checkpoint is not None:
            snapshots.check_writable(self.checkpoint)
            self.identity = identity(self)
            stored = snapshots.read(self.checkpoint) if self.checkpoint.is_file() else None
        if stored is not None:
            self._refuse_other(stored)
        self.model.to(self.device)
        if stored is not None:
            self._restore(stored)
        quiet = bool(os.environ.get("TQDM_DISABLE"))  # which tqdm's bars in notebooks do not ask for
        before = self.epoch * len(self.sizes) + self.done
        with tqdm(total=self.epochs * len(self.sizes), initial=before, unit="batch", disable=quiet) as bar:
            while self.epoch < self.epochs:
                bar.set_description(f"epoch {self.epoch + 1}/{self.epochs}", refresh=False)
                self._one_epoch(bar)
        self._clear_gradients()
        return self.history

    def _one_epoch(self, bar: Any) -> None:
        self.started = time.perf_counter()
        if self.done == 0:
            self._seed_epoch()
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(self._derived(0)))
        self.model.train()
        for rows in order.split(self.sizes)[self.done :]:
            loss = self._one_batch(rows)
            self.loss_sum += loss * len(rows)
            self.done += 1
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
            if self.checkpoint_every and self.done % self.checkpoint_every == 0 and self.done < len(self.sizes):
                self._save()
        self._close_epoch()

    def _one_batch(self, rows: Tensor) -> float:
        images, labels = next(iter(self.train[rows].batches(len(rows))))
        if self.augment is not None:
            images = self.augment(images, self.crop)
        images = self.normalize(like(images, self.model, self.device))
        self._clear_gradients()
        loss = self.step(self.model, images, labels.to(self.device, torch.int64), self.epoch)
        if not isinstance(loss, Tensor) or loss.ndim != 0 or not loss.requires_grad:
            raise TypeError(f"step: returned {checks.describe(loss)}, expected a loss: a tensor of shape () that requires a gradient")
        value = loss.item()
        if not np.isfinite(value):
            where = f"epoch {self.epoch} (counted from 0), step {self.done} of {len(self.sizes)}"
            raise FloatingPointError(f"step: the loss is {value} in {where}; try a smaller learning rate, and check the normalization")
        loss.backward()
        optimizers, schedules = self._stepping()
        for optimizer in optimizers:
            optimizer.step()
        if self.by_step:
            for schedule in schedules:
                schedule.step()
        return value

    def _stepping(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """The optimizers of this epoch and the schedules made for them."""
        if self.optimizer_of_epoch is None:
            return self.optimizers, self.schedules
        one = self.optimizers[self.optimizer_of_epoch(self.epoch)]
        return [one], [schedule for schedule in self.schedules if schedule.optimizer is one]

    def _close_epoch(self) -> None:
        """Evaluate, step the schedules, tell the caller, and only then write: the snapshot holds what they changed."""
        rates = tuple(float(optimizer.param_groups[0]["lr"]) for optimizer in self.optimizers)
        loss, accuracy = float("nan"), float("nan")
        self.model.eval()
        if self.test is not None:
            loss, accuracy = evaluate(self.model, self.test, self.normalize, self.device, max(self.batch_size, 256))
        if not self.by_step:
            for schedule in self._stepping()[1]:
                schedule.step(loss) if isinstance(schedule, ReduceLROnPlateau) else schedule.step()
        entries = {"train_loss": self.loss_sum / len(self.train), "test_loss": loss, "test_accuracy": accuracy}
        self.history = self.history.extended(**entries, seconds=self._seconds(), lr=rates)
        if self.on_epoch is not None:
            self.on_epoch(self.epoch, self.model, self.history)
        self.epoch, self.done, self.loss_sum, self.spent = self.epoch + 1, 0, 0.0, 0.0
        self.started = time.perf_counter()
        self._save()

    def _clear_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.model.zero_grad(set_to_none=True)  # parameters of no optimizer would gather gradients for ever

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.started

    def _derived(self, stream: int) -> int:
        """An independent seed for each (seed, epoch, stream)."""
        return int(np.random.SeedSequence((self.seed, self.epoch, stream)).generate_state(1)[0])

    def _seed_epoch(self) -> None:
        torch.default_generator.manual_seed(self._derived(1))
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(self._derived(1))
        self.crop.manual_seed(self._derived(2))

    # what a snapshot holds

    def stored_state(self) -> dict[str, Any]:
        return {name: value.detach() if isinstance(value, Tensor) else value.state_dict() for name, value in self.state.items()}

    def _values(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "state": self.stored_state(),
        }

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        contents = {
            "identity": self.identity,
            **self._values(),
            "history": {field.name: list(getattr(self.history, field.name)) for field in fields(History)},
            "progress": {"epoch": self.epoch, "done": self.done, "loss_sum": self.loss_sum, "spent": self._seconds() if self.done else 0.0},
            "generators": {
                "cpu": torch.default_generator.get_state(),
                "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
                "crop": self.crop.get_state(),
            },
        }
        snapshots.write(self.checkpoint, contents)

    def _refuse_other(self, stored: dict[str, Any]) -> None:
        snapshots.same_run(self.checkpoint, stored["identity"], self.identity)
        epoch, done = stored["progress"]["epoch"], stored["progress"]["done"]
        if (epoch, done) > (self.epochs, 0):
            raise CheckpointError(f"epochs: got {self.epochs}, expected at least {epoch + bool(done)}: {self.checkpoint} has come that far")

    def _load(self, values: dict[str, Any]) -> None:
        self.model.load_state_dict(values["model"])
        for kind in ("optimizers", "schedules"):
            for own, saved in zip(getattr(self, kind), values[kind], strict=True):
                own.load_state_dict(saved)
        with torch.no_grad():
            for name, value in self.state.items():
                value.copy_(values["state"][name]) if isinstance(value, Tensor) else value.load_state_dict(values["state"][name])

    def _restore(self, stored: dict[str, Any]) -> None:
        before = copy.deepcopy(self._values())
        try:
            self._load(stored)
        except Exception as error:  # of an optimizer or a state that we do not know: nothing may be half restored
            with suppress(Exception):
                self._load(before)
            raise CheckpointError(f"checkpoint: {self.checkpoint} cannot be taken up: {type(error).__name__}: {error}") from error
        self.history = History(**{name: tuple(entries) for name, entries in stored["history"].items()})
        for name, value in stored["progress"].items():
            setattr(self, name, value)
        generators = stored["generators"]
        torch.default_generator.set_state(generators["cpu"])
        if self.device.type == "cuda" and generators["cuda"] is not None:
            torch.cuda.set_rng_state(generators["cuda"], self.device)
        self.crop.set_state(generators["crop"])
