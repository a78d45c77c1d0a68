"""What an experiment has in hand while it runs; ``removal``, ``isolation``, ``adversarial`` and ``truth`` say what they do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from filterlens import data
from filterlens.models import Normalization

Row = dict[str, Any]


@dataclass(frozen=True)
class Begun:
    """What an experiment has in hand: a network and images (None if it needs none), the rows so far, a way to keep more, and a
    folder for what is half done. ``device``: where the network is; None for where it was loaded."""

    model: nn.Module | None
    normalization: Normalization | None
    train: data.Images | None
    test: data.Images | None
    rows: list[Row]
    keep: Callable[[list[Row]], None]
    far: Path | None
    device: str | None = None

    def inputs(self) -> Tensor:
        """All test images (n, c, h, w), normalized, where the network is."""
        images = self.normalization.apply(self.test.images)
        return images if self.device is None else images.to(self.device)


def left(cells: Iterable[tuple], rows: list[Row], columns: tuple[str, ...]) -> list[tuple]:
    """The cells without rows so far; a cell gives all of its rows at once."""
    known = {tuple(row[name] for name in columns) for row in rows}
    return [cell for cell in cells if cell not in known]


def with_seed(settings: Any) -> Row:
    """The column that says which network was trained for the purpose; none for one of the shipped or published networks."""
    return {} if settings.trained is None else {"trained": settings.trained}


def check_trained(settings: Any) -> None:
    """Refuse epochs of a network that was trained for the purpose without its seed: the weights would be others."""
    if settings.trained_epochs is not None and settings.trained is None:
        raise ValueError(f"trained_epochs: got {settings.trained_epochs} without trained, expected the seed of that network too")
