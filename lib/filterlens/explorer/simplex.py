"""The simplex explorer: a layer's filters as a cloud with its archetypes, each filter's code, the ranking, removal, fabrication.

``simplex_panels`` makes what it shows, in Jupyter; on the page ``script/simplex.js`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from filterlens import checks
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.simplex_layers import CONCENTRATIONS, Layers, checked_layers
from filterlens.explorer.simplex_panels import SimplexPanels
from filterlens.explorer.simplex_removal import Curves
from filterlens.explorer.simplex_words import COLOURS, SPARSE
from filterlens.lenses.simplex.reading import archetype_count

LARGEST = 2_000_000  # weights of all layers: their file beside the page stays below 3 MB


def simplex_explorer(
    layers: Mapping[str, Tensor], *, curves: Mapping[str, Any] | None = None, fractions: Sequence[float] = (0.125, 0.25, 0.5),
    title: str = "Which filters can be spared?", network: str = "", seed: int = 0, name: str | None = None,
    bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """A layer's filters, how each is a mixture of archetypes, and what follows from it, for several layers and numbers of archetypes.

    layers: spoken name -> weight (k, c, kh, kw), k at least 2, of ungrouped convolutions; all together at most 2,000,000 numbers.
    curves: name -> table of ``filterlens.experiments.load("removal-...").rows`` (which, rate, seed, accuracy); without it nothing
    is said of removal. fractions: archetypes as shares of a layer's filters. network: what is said of the weights' origin.
    A layer is analysed with each fraction (``positional_relevance``, seed ``seed``) when it is first shown: seconds for 500 filters.
    Weights are copied, later changes of theirs are not seen.

    Axes: ``layer``, ``fraction``, ``colour`` (of the cloud: l0, entropy, norm), ``filter``, ``concentration`` (of fabricated filters),
    and with curves ``tested`` (a name of theirs) and ``rate`` (percent removed). It starts with a quarter, if that is among them.
    The concentration 1/d has its place among the others by its value. Where no curve's name begins with the first word of a layer's
    ("LeNet" of "LeNet conv1"), the panel of removal says that the layer's network has none.

    All numbers are of full precision; pictures are mixed from weights of 8 bits and shares of 15, alike in Jupyter and on the page,
    which fetches them when somebody reaches for a control. Raises TypeError or ValueError naming the argument.
    """
    weights = checked_layers(layers, LARGEST)
    if isinstance(fractions, str) or not isinstance(fractions, Sequence) or not fractions:
        raise TypeError(f"fractions: got {checks.describe(fractions)}, expected a list of numbers above 0, up to 1")
    shares = [checks.real(f"fractions[{i}]", fraction, 0, 1) for i, fraction in enumerate(fractions)]
    if 0 in shares or len(set(shares)) < len(shares):
        raise ValueError(f"fractions: got {list(fractions)}, expected different numbers above 0, up to 1")
    if not isinstance(network, str):
        raise TypeError(f"network: got {checks.describe(network)}, expected text")
    seed, removal = checks.integer("seed", seed, 0), Curves(curves)
    made = SimplexPanels(Layers(weights, shares, seed), shares, network, removal)
    axes = {
        "layer": Axis(list(weights)),
        "fraction": Axis(shares, label="archetypes", labels={share: f"{100 * share:g} % of the filters" for share in shares}),
        "filter": Axis({spoken: range(len(weight)) for spoken, weight in weights.items()}, by="layer"),
        "colour": Axis(list(COLOURS), label="coloured by", labels={one: said["label"] for one, said in COLOURS.items()}),
    }
    if removal.tested:
        rates = {tested: known["rates"] for tested, known in removal.tested.items()}
        every = {rate: f"{rate:g} %" for known in rates.values() for rate in known}
        axes["tested"] = Axis(list(rates), label="accuracy of")
        axes["rate"] = Axis(rates, by="tested", label="filters removed", labels=every, control="slider")
    named = {SPARSE: "1/d (sparse)", 1.0: "1, as in the paper"}
    rising = {(spoken, share): _rising(archetype_count(len(weight), share)) for spoken, weight in weights.items() for share in shares}
    alpha = "concentration α of fabricated filters"
    axes["concentration"] = Axis(rising, by=("layer", "fraction"), label=alpha, labels=named, control="slider")
    start: dict[str, Option] = {"fraction": 0.25 if 0.25 in shares else shares[0], "concentration": 1.0}
    if removal.tested:
        offered = next(iter(rates.values()))
        start["rate"] = 10 if 10 in offered else offered[-1]
    return Explorer(axes, made.renderers(), start=start, bake=bake, title=title, name=name)


def _rising(d: int) -> list[Option]:
    """The concentrations by their value, where 1/d has its place."""
    return sorted(CONCENTRATIONS, key=lambda one: 1 / d if one == SPARSE else one)
