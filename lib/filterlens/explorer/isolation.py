"""The isolation lens as an explorer: what drives a kernel, how silent the others become, what other methods say.

``isolation_kept`` computes beforehand, ``isolation_panels`` draws; here are the axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from filterlens import checks
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.isolation_kept import IsolationStates
from filterlens.explorer.isolation_panels import IsolationPanels
from filterlens.explorer.isolation_words import NAMES

NOBODY = "no other"
THRESHOLDS = tuple(round(i / 20, 2) for i in range(20))


def isolation_explorer(
    states: IsolationStates, *, network: str = "", start: Mapping[str, Option] | None = None, title: str = "What drives this kernel?",
    name: str | None = None, bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """Pick a kernel and an image; see the input that drives the kernel alone, by isolation or another method, with its numbers.

    states: as ``isolation_states`` computes them or ``IsolationStates.load`` reads them. network: a sentence about the network, shown
    under the pictures. start, name, bake: as ``Explorer`` takes them.

    Axes: ``layer``, ``image`` (a number), ``kernel`` (an index; the most active on the image first), ``method``, ``beta`` (of isolation),
    ``other`` ("no other", or as text a second kernel to compare with), ``threshold`` (hides small differences to the image).

    A page fetches one file per layer and image, when somebody reaches for a control; kernel, method and beta follow at once.
    Raises TypeError or ValueError naming the argument.
    """
    if not isinstance(states, IsolationStates):
        raise TypeError(f"states: got {checks.describe(states)}, expected what isolation_states returns")
    if not isinstance(network, str):
        raise TypeError(f"network: got {checks.describe(network)}, expected text")
    made = IsolationPanels(states, network)
    images = list(range(len(states.images)))
    kernels = {
        (layer, image): [found.kernels[at] for at in made.order(layer, image)] for layer, found in states.layers.items() for image in images
    }
    marks = {
        (layer, image): {kernel: "silent" for kernel, silent in zip(found.kernels, found.silent[:, image], strict=True) if silent}
        for layer, found in states.layers.items() for image in images
    }  # fmt: skip
    others = {layer: [NOBODY, *(str(kernel) for kernel in found.kernels)] for layer, found in states.layers.items()}
    # The other methods have no beta: just one option, so that coming back from them leads to the middle one.
    betas = {method: list(states.betas) if method == "isolation" else [states.beta] for method in states.methods}
    axes = {
        "layer": Axis(list(states.layers), labels={layer: found.spoken for layer, found in states.layers.items()}),
        "image": Axis(images, labels=dict(enumerate(states.titles))),
        "kernel": Axis(kernels, by=("layer", "image"), label="kernel, most active first", marks=marks),
        "method": Axis(list(states.methods), labels={**{method: NAMES[method] for method in states.methods}, "isolation": "isolation"}),
        "beta": Axis(betas, by="method", label="β, weight of size", control="slider", when={"method": ["isolation"]}),
        "other": Axis(others, by="layer", label="compare with kernel"),
        "threshold": Axis(THRESHOLDS, control="slider", label="hide changes below this share"),
    }
    first = {"beta": states.beta, **(start or {})} if start is None or isinstance(start, Mapping) else start
    return Explorer(axes, [made.isolation], start=first, bake=bake, title=title, name=name)
