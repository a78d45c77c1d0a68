"""Filter Lens: what does this filter of a convolutional network do, and would anyone miss it?

Importing the package costs nothing: its rooms load when they are first named (``filterlens.models`` imports torch,
``import filterlens`` does not). It also lets a CUDA-built torchvision import beside a CPU-only torch, see ``_torchvision``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from filterlens import _torchvision

__version__ = "0.1.0"

_ROOMS = (
    "book", "checks", "costs", "data", "decomposed", "experiments", "explorer", "features", "figures", "lenses", "linear", "metrics", "models",
    "network", "recipes", "runs", "surveys", "synthesis", "training",
)  # fmt: skip
__all__ = [*_ROOMS, "__version__"]

_torchvision.install()


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"filterlens.{name}")
    raise AttributeError(f"module 'filterlens' has no attribute {name!r}; it has {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
