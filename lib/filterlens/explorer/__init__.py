"""The explorer: one widget that answers in Jupyter from Python and on the published page from what was baked."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Axis": "axes", "Explorer": "explorer", "Beside": "explorer", "BudgetError": "sheets", "Network": "decoded",
    "decoding_explorer": "decoding", "character_explorer": "characters",
    "influence_explorer": "influence",
    "simplex_explorer": "simplex", "prewitt_explorer": "prewitt", "Scatter": "scatter", "Cases": "cases", "Compared": "cases",
    "isolation_explorer": "isolation", "isolation_states": "isolation_kept", "IsolationStates": "isolation_kept",
    "gates_explorer": "gates", "masks_explorer": "masks", "PointingMaps": "masks_numbers",
    "adversarial_explorer": "adversarial", "AttackedNetwork": "adversarial_panels",
    "gate_states": "gates_states", "GateStates": "gates_states",
    "passport_states": "passport_kept", "PassportStates": "passport_kept", "ChosenFilters": "passport_kept",
    "own_image": "browser_image",
}  # fmt: skip
__all__ = [*_HOMES, "panels"]


def __getattr__(name: str) -> Any:
    if name in ("panels", "sheets", "script"):
        return importlib.import_module(f"filterlens.explorer.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"filterlens.explorer.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'filterlens.explorer' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
