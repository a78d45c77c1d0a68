"""A run of ``isolate`` on disk: batch by batch, and inside of a batch every few steps, so that ten thousand iterations survive a kill.

``solve`` says what it needs to go on, ``training.snapshots`` writes and reads it; here is which run it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ... import checks
from ...training import snapshots
from ...training.identity import digest
from .point import Point
from .solve import Plan, Solved


class Kept:
    """The file of a run, or none: ``begin`` says which run it is, ``solved`` solves a batch or takes up where it was."""

    def __init__(self, checkpoint: object) -> None:
        if checkpoint is not None and (not isinstance(checkpoint, str | Path) or not str(checkpoint)):
            raise TypeError(f"checkpoint: got {checks.describe(checkpoint)}, expected the path of a file or None")
        self.path = None if checkpoint is None else Path(checkpoint).expanduser()
        self.identity: dict[str, str] = {}
        self.parts: list[dict[str, Tensor]] = []
        self.running: dict[str, Any] | None = None

    def begin(
        self, model: nn.Module, images: Tensor, first: Tensor, kernels: Sequence[int], layer: str, point: Point,
        plan: Plan, balance: str, batch: int,
    ) -> None:  # fmt: skip
        """Raises CheckpointError for a file that is damaged or another run's, ValueError for one that cannot be written."""
        if self.path is None:
            return
        snapshots.check_writable(self.path)
        box = None if plan.clamp is None else {"low": plan.clamp[0], "high": plan.clamp[1]}
        self.identity = {
            "model's values": f"digest {digest(model.state_dict())}",
            "images": f"digest {digest({'images': images})}",
            "start": f"digest {digest({'start': first})}",
            "kernels": str(list(kernels)),
            "layer": f"{layer} at {point.name}",
            "balance": balance,
            "clamp": "none" if box is None else f"digest {digest(box)}",
            "batch": str(batch),
            **{name: str(getattr(plan, name)) for name in ("weights", "optimizer", "lr", "max_iter")},
        }
        if self.path.is_file():
            stored = snapshots.read(self.path)
            snapshots.same_run(self.path, stored["identity"], self.identity)
            self.parts, self.running = stored["parts"], stored["running"]
        self.device = images.device

    def solved(self, number: int, run: Callable[..., Solved]) -> Solved:
        """The batch of this number: as it lies on disk if it is done, else ``run(contents=..., hold=...)``."""
        if self.path is None:
            return run()
        if number < len(self.parts):
            return Solved(**self._moved(self.parts[number]))
        contents, self.running = self.running, None
        found = run(contents=None if contents is None else {key: self._moved(its) for key, its in contents.items()}, hold=self._hold)
        self.parts.append(found._asdict())
        self._hold(None)
        return found

    def _hold(self, contents: dict[str, Any] | None) -> None:
        assert self.path is not None
        snapshots.write(self.path, {"identity": self.identity, "parts": self.parts, "running": contents})

    def _moved(self, values: dict[str, Any]) -> dict[str, Any]:
        return {key: value.to(self.device) if isinstance(value, Tensor) else value for key, value in values.items()}
