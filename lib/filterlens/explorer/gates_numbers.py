"""What the gates explorer knows of a network: gates of every epoch in 8 bits, final weights, the order of the filters, counts.

``gates_panels`` draws it in Jupyter and ``script/gates.js`` in the page, both from these numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from filterlens import checks
from filterlens.explorer import panels
from filterlens.lenses.gates import owners

PARTS = 1_000_000  # densities are whole numbers of 1 / PARTS
OPEN = 0.5  # a gate from which on a filter counts as answering to a class: ``monopolised``, ours


@dataclass(frozen=True, eq=False)
class Record:
    """One network: gates (E + 1, C, K) as they are, gated (E,) bool, bounds of the density, features (n, K), labels (n,), the final
    layer, classes, and the weights (K, c, kh, kw) whose cosines are shown."""

    name: str
    gates: Tensor
    gated: tuple[bool, ...]
    bounds: tuple[float, float]
    features: Tensor
    labels: Tensor
    linear: nn.Linear
    classes: list[str]
    convolution: Tensor
    by_hand: bool  # gates set before the training and kept

    @property
    def learned(self) -> bool:
        """Was any epoch gated? A network without gates keeps open ones."""
        return any(self.gated)

    @property
    def last(self) -> int:
        return len(self.gates) - 1

    @functools.cached_property
    def owner(self) -> Tensor:
        """The class (K,) of each filter: by the last gates, or without gates by the classes' mean features."""
        if self.learned:
            return owners(self.gates[-1].float())
        sums = torch.zeros(len(self.classes), self.features.shape[1], dtype=torch.float64).index_add_(
            0, self.labels, self.features.double()
        )
        return owners(sums / self.labels.bincount(minlength=len(self.classes)).clamp(min=1)[:, None])

    @functools.cached_property
    def order(self) -> Tensor:
        """Filters (K,) by their class, then by their number."""
        return self.owner.argsort(stable=True)

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """Gates (E + 1, C, K) uint8, 255 for an open one."""
        return (self.gates.double() * 255).round().to(torch.uint8).numpy()

    @functools.cached_property
    def weight(self) -> np.ndarray:
        """Final weights (C, K) float32."""
        return self.linear.weight.detach().float().cpu().numpy()

    @functools.cached_property
    def predicted(self) -> Tensor:
        """What the STD path says of each test image (n,)."""
        with torch.no_grad():
            return self.linear(self.features).argmax(1)

    @functools.cached_property
    def shipped(self) -> dict[str, Any]:
        """What the page needs, and ``GatesPanels`` too: arrays by ``panels.encode``, everything else whole numbers and text."""
        reached = self.gates >= OPEN
        single = reached & (reached.sum(1, keepdim=True) == 1)
        owned = torch.stack([owners(table.float()).bincount(minlength=len(self.classes)) for table in self.gates])
        return {
            "gates": panels.encode(self.steps), "weight": panels.encode(self.weight), "classes": self.classes,
            "order": self.order.tolist(), "gated": [int(one) for one in self.gated], "learned": int(self.learned), "by_hand": int(self.by_hand),
            "density": [round(PARTS * float(table.double().mean())) for table in self.gates],
            "bounds": [round(PARTS * bound) for bound in self.bounds],
            "owned": owned.tolist(), "alone": single.sum(2).tolist(), "shared": (reached.sum(1) > 1).sum(1).tolist(),
            "right": int((self.predicted == self.labels).sum()), "n": len(self.labels),
        }  # fmt: skip


def records(networks: object, features: object, weights: object) -> dict[str, Record]:
    """The checked networks by name; TypeError or ValueError naming ``networks``, ``features`` or ``weights`` otherwise."""
    for argument, given in (("networks", networks), ("features", features)):
        if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) for name in given):
            raise TypeError(f"{argument}: got {checks.describe(given)}, expected a dict from names of networks to what belongs to them")
    if set(networks) != set(features):
        raise ValueError(f"features: got {sorted(features)}, expected one for each of the networks {sorted(networks)}")
    if weights is not None and not isinstance(weights, Mapping):
        raise TypeError(f"weights: got {checks.describe(weights)}, expected a dict from names of networks to weights, or None")
    if not set(weights or {}) <= set(networks):
        raise ValueError(f"weights: got {sorted(weights)}, expected none but the networks {sorted(networks)}")
    return {name: _record(name, one, features[name], (weights or {}).get(name)) for name, one in networks.items()}


def _record(name: str, gated: Any, pooled: Any, weight: Any) -> Record:
    where = f"networks[{name!r}]"
    _has(where, gated, ("model", "gates", "gated", "bounds"), "a filterlens.gated.Gated")
    gates = checks.tensor(f"{where}.gates", gated.gates, "e C K").detach().cpu()
    if float(gates.min()) < 0 or float(gates.max()) > 1:
        raise ValueError(f"{where}.gates: got entries from {float(gates.min()):g} to {float(gates.max()):g}, expected entries in [0, 1]")
    C, K = gates.shape[1:]
    if not isinstance(gated.gated, Tensor) or gated.gated.dtype != torch.bool or gated.gated.shape != (len(gates) - 1,):
        raise ValueError(f"{where}.gated: got {checks.describe(gated.gated)}, expected a bool tensor ({len(gates) - 1},), one epoch each")
    low, high = (checks.real(f"{where}.bounds", bound, 0, 1) for bound in gated.bounds)
    by_hand = not getattr(gated.model, "learned", True)
    features, labels, linear, classes = _pooled(f"features[{name!r}]", pooled, C, K)
    found = _last_convolution(where, gated.model, K) if weight is None else weight
    checks.tensor(f"weights[{name!r}]", found, "K c kh kw", sizes={"K": K})
    return Record(
        name, gates, tuple(gated.gated.tolist()), (low, high), features, labels, linear, classes, found.detach().cpu(), by_hand
    )  # fmt: skip


def _pooled(where: str, pooled: Any, n_classes: int, n_filters: int) -> tuple[Tensor, Tensor, nn.Linear, list[str]]:
    _has(where, pooled, ("test", "linear", "classes"), "what filterlens.features.load gives")
    features, labels = pooled.test
    checks.tensor(f"{where}.test", features, "n K", sizes={"K": n_filters})
    labels = checks.labels(f"{where}.test", labels, len(features), n_classes).cpu()
    linear, classes = pooled.linear, list(pooled.classes)
    if not isinstance(linear, nn.Linear) or (linear.in_features, linear.out_features) != (n_filters, n_classes):
        raise ValueError(f"{where}.linear: got {checks.describe(linear)}, expected a torch.nn.Linear from {n_filters} to {n_classes}")
    if len(classes) != n_classes:
        raise ValueError(f"{where}.classes: got {len(classes)} names, expected one for each of the {n_classes} classes")
    return features.detach().float().cpu(), labels, linear, classes


def _has(where: str, value: Any, names: tuple[str, ...], expected: str) -> None:
    missing = [name for name in names if not hasattr(value, name)]
    if missing:
        raise TypeError(f"{where}: got {checks.describe(value)} without {', '.join(missing)}, expected {expected}")


def _last_convolution(where: str, model: Any, n_filters: int) -> Tensor:
    """The weight of the last convolution of so many filters, in the order of the network's modules."""
    modules = list(checks.module(f"{where}.model", model).modules())
    found = [module.weight for module in modules if isinstance(module, nn.Conv2d) and module.out_channels == n_filters]
    if not found:
        raise ValueError(f"weights: {where} has no convolution of {n_filters} filters; expected weights[...] (K, c, kh, kw) in its place")
    return found[-1]
