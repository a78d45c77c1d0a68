"""The gates explorer: the matrix of gates epoch by epoch, and what the networks that were trained with it and without it have become.

``gates_panels`` draws what follows the epoch, ``gates_measures`` the rest; here are the axes. ``masks`` and ``adversarial`` are the two
other explorers of this lens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from filterlens import checks
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.gates_measures import GateMeasures
from filterlens.explorer.gates_numbers import records
from filterlens.explorer.gates_panels import GatesPanels
from filterlens.explorer.gates_words import MEASURES, NOBODY, VIEWS


def gates_explorer(
    networks: Mapping[str, Any], features: Mapping[str, Any], *, weights: Mapping[str, Tensor] | None = None, information: int = 2000,
    start: Mapping[str, Option] | None = None, title: str = "Gates sharpen", name: str | None = None,
    bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """The gates (C, K) of each epoch sorted by owner, their density, and four measures of two networks side by side.

    networks: by the name to be shown, as ``filterlens.gated.load`` gives them; features: by the same names, as
    ``filterlens.features.load`` gives them: ``test`` (features (n, K), labels (n,)), ``linear`` K -> C, ``classes``.
    weights: (K, c, kh, kw) by name, whose cosines are shown; by default of the network's last convolution with K filters.
    information: the mutual information is estimated on so many of the test images, evenly spread (all of 10,000 take a minute).
    start, name, bake: as ``Explorer`` takes them; it starts with the first network after its last epoch, beside the second.

    Axes: ``network``, ``epoch`` (0 before the training; those with gates are marked), ``view`` ("G", "W", "WG" for W x G), ``beside``
    (another network, or "no other"), ``measure`` ("similarity", "cosines", "clusters", "information"; measured when first asked for).

    The page fetches gates of 8 bits and the weights when somebody reaches for a control and draws them itself; measures are kept as
    tables. Raises TypeError or ValueError naming the argument.
    """
    found = records(networks, features, weights)
    rows = checks.integer("information", information, 3)
    shown, measures = GatesPanels(found), GateMeasures(found, rows)
    names = list(found)
    epochs = {one: list(range(record.last + 1)) for one, record in found.items()}
    marks = {one: {i: "gated" for i, gated in enumerate(record.gated, start=1) if gated} for one, record in found.items()}
    others = {one: [*(other for other in names if other != one), NOBODY] for one in names}
    axes = {
        "network": Axis(names),
        "epoch": Axis(epochs, by="network", control="slider", marks=marks),
        "view": Axis(list(VIEWS), label="matrix", labels=VIEWS),
        "measure": Axis(list(MEASURES), labels=MEASURES),
        "beside": Axis(others, by="network", label="beside"),
    }
    if start is None or isinstance(start, Mapping):
        first = names[0] if start is None else start.get("network", names[0])
        start = {"epoch": found[first].last if first in found else 0, **(start or {})}
    return Explorer(axes, [*shown.renderers(), measures.measured], start=start, bake=bake, title=title, name=name)
