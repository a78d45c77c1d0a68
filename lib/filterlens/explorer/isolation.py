"""The isolation lens as an explorer: what drives a kernel, how silent the others become, what other methods say.

``isolation_kept`` computes beforehand, ``isolation_panels`` draws; here are the axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from filterlens import checks
from filterlens.explorer import panels
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.isolation_kept import IsolationStates
from filterlens.explorer.isolation_panels import IsolationPanels
from filterlens.explorer.isolation_words import NAMES

NOBODY = "no other"
THRESHOLDS = tuple(round(i / 20, 2) for i in range(20))


def isolation_explorer(
    states: IsolationStates | Mapping[str, IsolationStates], *, network: str | Mapping[str, str] = "",
    start: Mapping[str, Option] | None = None, title: str = "What drives this kernel?", name: str | None = None,
    bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """Pick a kernel and an image; see the input that drives the kernel alone, by isolation or another method, with its numbers.

    states: as ``isolation_states`` computes them or ``IsolationStates.load`` reads them, or those of several networks by the name to be
    shown. network: a sentence about the network, shown under the pictures; of several a dict from their names, or one for all.
    start, name, bake: as ``Explorer`` takes them; it starts with the middle beta.

    Axes: ``network`` (of several), ``layer``, ``image`` (a number), ``kernel`` (an index; the most active on the image first), ``method``,
    ``beta`` (of isolation), ``other`` ("no other", or as text a second kernel to compare with), ``threshold`` (hides small differences to
    the image). Layers, images, kernels, methods and betas are those of the network.

    A page fetches a file for the network, layer and image, when somebody reaches for a control (what is small shares one); kernel, method
    and beta follow at once. Raises TypeError or ValueError naming the argument.
    """
    made = _panels(states, network)
    if start is None or isinstance(start, Mapping):
        first = made.get((start or {}).get("network"), next(iter(made.values())))
        start = {"beta": first.states.beta, **(start or {})}

    def isolation(layer: str, image: int, network: str = next(iter(made))) -> panels.Panel:
        return made[network].isolation(layer, image)

    return Explorer(_axes(made), [isolation], start=start, bake=bake, title=title, name=name)


def _axes(made: Mapping[str, IsolationPanels]) -> dict[str, Axis]:
    """One network is nothing to choose: it has no axis, and the others do not depend on it."""
    by = ("network",) if len(made) > 1 else ()
    layers, images, kernels, marks, methods, betas, others = ({} for _ in range(7))
    for network, its in made.items():
        at, states = (network,) if by else (), its.states
        layers[at] = {layer: found.spoken for layer, found in states.layers.items()}
        images[at] = dict(enumerate(states.titles))
        methods[at] = {**{method: NAMES[method] for method in states.methods}, "isolation": "isolation"}
        for method in states.methods:  # the others have no beta: just one option, so that coming back from them leads to the middle one
            betas[*at, method] = states.betas if method == "isolation" else [states.beta]
        for layer, found in states.layers.items():
            others[*at, layer] = [NOBODY, *map(str, found.kernels)]
            for image in images[at]:
                silent = found.silent[:, image]
                kernels[*at, layer, image] = [found.kernels[i] for i in its.order(layer, image)]
                marks[*at, layer, image] = {kernel: "silent" for kernel, never in zip(found.kernels, silent, strict=True) if never}
    return {
        **{axis: Axis(list(made)) for axis in by},
        "layer": Axis(layers, by=by, labels=layers),
        "image": Axis(images, by=by, labels=images),
        "kernel": Axis(kernels, by=(*by, "layer", "image"), label="kernel, most active first", marks=marks),
        "method": Axis(methods, by=by, labels=methods),
        "beta": Axis(betas, by=(*by, "method"), label="β, weight of size", control="slider", when={"method": ["isolation"]}),
        "other": Axis(others, by=(*by, "layer"), label="compare with kernel"),
        "threshold": Axis(THRESHOLDS, control="slider", label="hide changes below this share"),
    }


def _panels(states: object, network: object) -> dict[str, IsolationPanels]:
    """What draws each network, by its name; one that comes without a name is called nothing."""
    if isinstance(states, IsolationStates):
        if not isinstance(network, str):
            raise TypeError(f"network: got {checks.describe(network)}, expected text")
        states = {"": states}
    if not isinstance(states, Mapping) or not states or not all(isinstance(one, str) for one in states):
        raise TypeError(f"states: got {checks.describe(states)}, expected what isolation_states returns, or a dict of it by network")
    for one, its in states.items():
        if not isinstance(its, IsolationStates):
            raise TypeError(f"states[{one!r}]: got {checks.describe(its)}, expected what isolation_states returns")
    said = dict.fromkeys(states, network) if isinstance(network, str) else network
    if not isinstance(said, Mapping) or not all(isinstance(text, str) for text in said.values()):
        raise TypeError(f"network: got {checks.describe(network)}, expected text, or a dict from names of networks to text")
    for one in said:
        checks.choice("network", one, states)
    return {one: IsolationPanels(its, said.get(one, "")) for one, its in states.items()}
