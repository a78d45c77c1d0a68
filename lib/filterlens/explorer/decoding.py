"""The decoding lens as an explorer: pick a filter of any layer, see it drawn, taken apart, and held against its network.

``decoded`` computes; here are the axes, and the panels made of what it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets
from torch import Tensor, nn

from filterlens import checks
from filterlens.explorer import drawn, panels
from filterlens.explorer.axes import Axis
from filterlens.explorer.decoded import Decodings, Network
from filterlens.explorer.explorer import Beside, Explorer
from filterlens.lenses.decoding.compare import NORMALIZATIONS
from filterlens.linear.steps import SCALES

THRESHOLDS = tuple(round(i / 20, 2) for i in range(20))


class DecodingExplorer(Explorer):
    """The explorer of ``decoding_explorer``; ``controls`` are ipywidgets that change how it computes, for Jupyter."""

    def __init__(self, decodings: Mapping[str, Decodings], *arguments: Any, **options: Any) -> None:
        self._decodings = decodings
        for one in decodings.values():
            one.refresh()
        super().__init__(*arguments, **options)

    def recompute(self) -> None:
        """Compute every panel again, from the network as it is now."""
        for one in self._decodings.values():
            one.forget()
        super().recompute()

    def _answer_all(self, **how: Any) -> None:
        # A list, so that every network is looked at.
        if any([one.refresh() for one in self._decodings.values()]):
            self._asked = [None] * len(self._calls)
        super()._answer_all(**how)

    @property
    def controls(self) -> ipywidgets.VBox:
        """Controls for what the page does not offer: how unpooling scales, how eq. 3 normalises, how many parts a tree has."""
        settings = next(iter(self._decodings.values())).settings
        made = {
            "scale": ipywidgets.Dropdown(options=list(SCALES), value=settings["scale"], description="scale"),
            "normalize": ipywidgets.Dropdown(options=list(NORMALIZATIONS), value=settings["normalize"], description="eq. 3 in"),
            "parts": ipywidgets.IntSlider(min=1, max=12, value=settings["parts"], description="parts", continuous_update=False),
        }
        for name, control in made.items():
            control.observe(lambda change, name=name: self.set_up(**{name: change["new"]}), "value")
        return ipywidgets.VBox(list(made.values()))

    def with_controls(self) -> Beside:
        """The explorer with its controls above it."""
        return Beside(self.controls, explorer=self)

    def set_up(self, **settings: Any) -> None:
        """Change ``scale``, ``normalize`` or ``parts`` and compute the panels again."""
        for name, value in settings.items():
            checks.choice("settings", name, ("scale", "normalize", "parts"))
            if name == "parts":
                checks.integer(name, value, 1, 32)
            else:
                checks.choice(name, value, SCALES if name == "scale" else NORMALIZATIONS)
        for decodings in self._decodings.values():
            decodings.settings.update(settings)
        super().recompute()


def decoding_explorer(
    networks: nn.Module | Network | Mapping[str, Network], images: Tensor | None = None, *, normalization: Any = None,
    title: str = "What does this filter look for?", **options: Any,
) -> DecodingExplorer:  # fmt: skip
    """Explore the filters of one network or several: decoded, taken apart, beside the network's own maps.

    ``networks``: a CNN, a ``Network``, or several by name. ``images`` (n, c, h, w) in [0, 1] and ``normalization`` belong to a
    CNN given alone. ``options`` are those of ``Explorer``. A layer whose linear part is refused by ``decode`` shows its message.

    Every pick answers for the weights as they are then. Peak memory: what one pick needs, and up to 0.5 GB of remembered results per
    network. Raises TypeError or ValueError naming the argument.
    """
    if isinstance(networks, nn.Module):
        networks = {type(networks).__name__: Network(networks, images, normalization=normalization)}
    elif images is not None or normalization is not None:
        raise ValueError("images: expected with a single CNN; a Network brings its own images and normalization")
    elif isinstance(networks, Network):
        networks = {type(networks.model).__name__: networks}
    if not isinstance(networks, Mapping) or not networks or not all(isinstance(one, Network) for one in networks.values()):
        wrong = [f"[{name!r}] is {checks.describe(one)}" for name, one in networks.items() if not isinstance(one, Network)] if isinstance(
            networks, Mapping) else []  # fmt: skip
        found = wrong[0] if wrong else f": got {checks.describe(networks)}"
        raise TypeError(f"networks{found}, expected a CNN, a Network or a dict of Networks by name")
    subjects = {name: Decodings(one) for name, one in networks.items()}
    return DecodingExplorer(subjects, _axes(networks), _renderers(subjects), title=title, **options)


def _axes(networks: Mapping[str, Network]) -> dict[str, Any]:
    several, (first, only) = len(networks) > 1, next(iter(networks.items()))
    layers = {name: one.named_layers() for name, one in networks.items()}
    titles = {layer: {one[layer] for one in layers.values() if layer in one} for one in layers.values() for layer in one}
    called = {layer: "".join(given) for layer, given in titles.items() if len(given) == 1}  # the same in all networks, or its own name
    axes: dict[str, Any] = {"network": list(networks)} if several else {}
    axes["layer"] = Axis({name: list(one) for name, one in layers.items()}, by="network", labels=called) if several else Axis(
        list(layers[first]), labels=called)  # fmt: skip
    owners = ("network", "layer") if several else "layer"
    counts = {(name, layer) if several else layer: one.filters(layer) for name, one in networks.items() for layer in layers[name]}
    axes["filter"] = Axis(counts, by=owners)
    axes["unpool"] = Axis({name: one.unpools() for name, one in networks.items()}, by="network") if several else only.unpools()
    if any(one.images is not None for one in networks.values()):
        images = {name: one.names_of_images() for name, one in networks.items()}
        axes["image"] = Axis(images, by="network") if several else images[first]
    axes["threshold"] = Axis(THRESHOLDS, control="slider", label="hide pixels weaker than this share of the largest")
    return axes


def _renderers(subjects: Mapping[str, Decodings]) -> list[Any]:
    only = next(iter(subjects))
    with_images = any(one.subject.images is not None for one in subjects.values())
    with_gallery = any(one.subject.gallery is not None for one in subjects.values())
    several = len(subjects) > 1

    def number(network: str, image: str | int) -> int | None:
        """Which image of a network an option of the axis is; None if it has none."""
        subject = subjects[network].subject
        return None if subject.images is None else subject.names_of_images().index(image)

    def decoded_filter(layer: str, filter: int, unpool: str, network: str = only) -> list[panels.Panel]:
        decodings = subjects[network]
        refusal = decodings.refusal(layer, filter, unpool)
        if refusal:
            advice = "Arguments of decode, such as gain or max_bytes, are given to Network(model, options={...})."
            return [panels.Text(title=f"Filters of {layer} cannot be drawn", text=f"{refusal}\n\n{advice}")]
        return [drawn.picture(decodings, layer, filter, unpool), drawn.steps(decodings.decoded(layer, filter, unpool), filter)]

    def made_of(layer: str, filter: int, network: str = only) -> panels.Panel | None:
        chosen = {"network": network} if several else {}
        if subjects[network].refusal(layer, filter, "nearest"):
            return None
        return drawn.tree(subjects[network], layer, filter, chosen)

    def image_seen(image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else drawn.seen(subjects[network].subject, at)

    def network_map(layer: str, filter: int, image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else drawn.map_of("The network's map", "before any activation", subjects[network].maps(layer, at)[filter])

    def decoded_map(layer: str, filter: int, unpool: str, image: str | int, network: str = only) -> list[panels.Panel]:
        at = number(network, image)
        return (
            []
            if at is None or subjects[network].refusal(layer, filter, unpool)
            else drawn.answer(subjects[network], layer, filter, unpool, at)
        )

    def every_filter(layer: str, unpool: str, image: str | int, network: str = only) -> panels.Panel | None:
        at, first = number(network, image), subjects[network].subject.filters(layer)[0]
        return None if at is None or subjects[network].refusal(layer, first, unpool) else drawn.bars(subjects[network], layer, unpool, at)

    def by_depth(unpool: str, image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else drawn.depth(subjects[network], unpool, at)

    def best_for_unit(layer: str, filter: int, network: str = only) -> panels.Panel | None:
        return drawn.best(subjects[network], layer, filter, None)

    def best_for_picture(layer: str, filter: int, unpool: str, network: str = only) -> panels.Panel | None:
        return None if subjects[network].refusal(layer, filter, unpool) else drawn.best(subjects[network], layer, filter, unpool)

    answered = [image_seen, network_map, decoded_map, every_filter, by_depth] if with_images else []
    return [decoded_filter, *answered, *([best_for_unit, best_for_picture] if with_gallery else []), made_of]
