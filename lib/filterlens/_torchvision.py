"""Lets a CUDA-built torchvision import beside a CPU-only torch.

A registry may pair the two so that torchvision's compiled library cannot be loaded; ``import torchvision`` then stops with
"operator torchvision::nms does not exist" (pytorch/vision issues 9077, 9085), although models, transforms and data sets
need no compiled operator. Declaring the two missing operators is enough. ``install`` puts a finder in front of the import
system that does so when torchvision is first imported, and only if its operators are really missing; nothing is imported
before that. The detection operators themselves stay unavailable in such a pair.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[object] = []  # torch forgets a Library's operators when the object dies


class TorchvisionFinder(MetaPathFinder):
    """Finds torchvision as usual, and mends its operators just before its first line runs."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return None  # not installed: the import system says so itself
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del spec.loader.exec_module
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            mend(spec)
            run(module)

        # Only asking for the spec must stay free of side effects, so the work waits for the import itself.
        spec.loader.exec_module = exec_module
        return spec


def install() -> None:
    """Put the finder in place, once, unless torchvision is imported already."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionFinder())


def mend(spec: ModuleSpec) -> bool:
    """Declare torchvision's operators if its compiled library does not provide them; True if that was needed."""
    try:
        import torch
    except ImportError:
        return False  # torchvision's own import of torch says so better
    for folder in spec.submodule_search_locations or ():
        for library in sorted(path for path in Path(folder).glob("_C*") if path.suffix in {".so", ".pyd", ".dylib"}):
            try:
                torch.ops.load_library(library)  # loading it twice is harmless; torchvision does it again
            except (OSError, ImportError):
                continue
    missing = [name for name in ("nms", "qnms") if not hasattr(torch.ops.torchvision, name)]
    if "nms" not in missing:
        return False
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        declared.define(name + _SCHEMA)
    _kept.append(declared)
    return True
