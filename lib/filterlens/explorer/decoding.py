"""The decoding lens as an explorer: pick a filter of any layer, see it drawn, taken apart, and held against its network.

``decoded`` computes; here are the axes, and the panels made of what it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets
from torch import Tensor, nn

from filterlens import checks, metrics
from filterlens.explorer import panels
from filterlens.explorer.axes import Axis
from filterlens.explorer.decoded import DEEPEST, Decodings, Network
from filterlens.explorer.explorer import Beside, Explorer
from filterlens.lenses.decoding import (
    Contribution,
    DecodedFilters,
    reconstruction_error,
)
from filterlens.lenses.decoding.compare import NORMALIZATIONS
from filterlens.linear.steps import SCALES

FINER = 3  # parts of a part that a tree shows
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
        raise TypeError(f"networks: got {checks.describe(networks)}, expected a CNN, a Network or a dict of them by name")
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
    axes["threshold"] = Axis(THRESHOLDS, control="slider")
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
        return [_drawn(decodings, layer, filter, unpool), _steps(decodings.decoded(layer, filter, unpool), filter)]

    def made_of(layer: str, filter: int, network: str = only) -> panels.Panel | None:
        chosen = {"network": network} if several else {}
        return _tree(subjects[network], layer, filter, chosen)

    def image_seen(image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else _seen(subjects[network].subject, at)

    def network_map(layer: str, filter: int, image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else _map("The network's map", "before any activation", subjects[network].maps(layer, at)[filter])

    def decoded_map(layer: str, filter: int, unpool: str, image: str | int, network: str = only) -> list[panels.Panel]:
        at = number(network, image)
        return [] if at is None else _answer(subjects[network], layer, filter, unpool, at)

    def every_filter(layer: str, unpool: str, image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else _bars(subjects[network], layer, unpool, at)

    def by_depth(unpool: str, image: str | int, network: str = only) -> panels.Panel | None:
        at = number(network, image)
        return None if at is None else _depth(subjects[network], unpool, at)

    def best_for_unit(layer: str, filter: int, network: str = only) -> panels.Panel | None:
        return _best(subjects[network], layer, filter, None)

    def best_for_picture(layer: str, filter: int, unpool: str, network: str = only) -> panels.Panel | None:
        return _best(subjects[network], layer, filter, unpool)

    answered = [image_seen, network_map, decoded_map, every_filter, by_depth] if with_images else []
    return [decoded_filter, *answered, *([best_for_unit, best_for_picture] if with_gallery else []), made_of]


def _drawn(decodings: Decodings, layer: str, kernel: int, unpool: str) -> panels.Panel:
    decoded, picture = decodings.decoded(layer, kernel, unpool), decodings.picture(layer, kernel, unpool)
    h, w = picture.shape[1:]
    peak = float(picture.abs().max())
    what = "red positive, blue negative, white zero" if len(picture) == 1 else "mid-grey is zero"
    image = panels.signed(shown_channels(picture), alt=f"filter {kernel} of {layer} decoded, a signed picture of {h} by {w} pixels")
    note = f"{h} × {w} pixels, strongest {peak:.3g}; {what}. Neighbouring units look {_pixels(decoded.stride)} apart."
    return panels.Picture(
        title=f"Filter {kernel} of {layer}, drawn in image space", note=note, picture=image, threshold="threshold", parts=True
    )


def shown_channels(picture: Tensor) -> Tensor:
    """A picture (c, h, w) as one that can be looked at: grey and colour as they are, of other channels the sum."""
    return picture if len(picture) in (1, 3) else picture.sum(0, keepdim=True)


def _pixels(n: int) -> str:
    return f"{n} pixel{'s' * (n != 1)}"


def _steps(decoded: DecodedFilters, kernel: int) -> panels.Panel:
    words = {"convolution": "substitute", "maxpool": "unpool", "averagepool": "unpool (mean)"}
    kept = [step for i, step in enumerate(decoded.steps) if step.kind in words or i == len(decoded.steps) - 1]
    row = decoded.kernels.index(kernel)
    images = []
    for i, step in enumerate(kept):
        c, h, w = step.shape
        field_ = step.images[row]
        channel = int((field_**2).sum((1, 2)).argmax())
        colour = c == 3 and step is decoded.steps[-1]  # three channels are red, green and blue in an image only
        shown = field_ if colour else field_[channel]
        label = f"{h} × {w}" + (", in colour" if colour else "" if c == 1 else f", channel {channel} of {c}")
        alt = f"step {i + 1}, {words.get(step.kind, step.kind)} {step.name}: {label}"
        images.append(panels.signed(shown, alt=alt, label=label))
    note = "Each step replaces every pixel by a filter of the layer below, or enlarges by a pool's stride. Of many channels the "
    note += "strongest is shown."
    return panels.Pictures(title="Decoding, step by step", note=note, pictures=images, arrows=True, size=96)


def _seen(subject: Network, image: int) -> panels.Panel:
    title = subject.titles[image] if subject.titles else f"image {image}"
    shown = panels.photo(shown_channels(subject.images[image]).clamp(0, 1), alt=f"the image shown to the network: {title}", label=title)
    return panels.Pictures(title="The image", pictures=[shown], size=168)


def _map(title: str, note: str, values: Tensor) -> panels.Panel | None:
    h, w = values.shape
    if h * w == 1:  # one unit is a number, not a picture
        return None
    alt = f"{title.lower()}, {h} by {w} units, from {float(values.min()):.3g} to {float(values.max()):.3g}"
    shown = panels.gray(values, alt=alt, label=f"{h} × {w} units")
    return panels.Pictures(title=title, note=note, pictures=[shown], size=168)


def _answer(decodings: Decodings, layer: str, kernel: int, unpool: str, image: int) -> list[panels.Panel]:
    maps, responses, kernels = decodings.beside(layer, kernel, unpool, image)
    row, how, many = kernels.index(kernel), decodings.settings["normalize"], maps[0].numel() > 1
    own = float(metrics.pearson_per_image(maps[row][None], responses[row][None])[0]) if many else float("nan")
    layerwide = float(metrics.pearson_per_image(maps[None], responses[None])[0]) if maps.numel() > 1 else float("nan")
    mapped = how == "map" and not many
    whole = len(kernels) == len(decodings.subject.filters(layer))
    count = f"all {len(kernels)} filters" if whole else "this filter alone"  # too large to be kept: see BANK
    error = float("nan") if mapped else float(reconstruction_error(maps[None], responses[None], how)[0])
    rows = [
        ("strongest answer, network", f"{float(maps[row].max()):.3g}"),
        (
            "strongest answer, picture",
            f"{float(responses[row].max()):.3g}",
            "its correlation with the image; without biases, and larger by what unpooling copies",
        ),
        ("correlation of the two maps", _number(own), "" if many else "a single unit has none"),
        (f"correlation, {count}", _number(layerwide)),
        (f"error (eq. 3), {count}", _number(error, 4), f"mean squared difference, contrast normalized: {how}"),
    ]
    shown = _map("The picture's answer", "the decoded filter correlated with the image", responses[row])
    return [*([shown] if shown else []), panels.Numbers(title="How well does the picture stand in?", rows=rows)]


def _number(value: float, digits: int = 3) -> str:
    return "–" if value != value else f"{value:.{digits}f}"


def _bars(decodings: Decodings, layer: str, unpool: str, image: int) -> panels.Panel | None:
    maps, responses, kernels = decodings.beside(layer, decodings.subject.filters(layer)[0], unpool, image)
    if len(kernels) < 2:
        return None
    peaks = {who: values.amax((1, 2)) for who, values in (("network", maps), ("decoded picture", responses))}
    scaled = {who: values / max(float(values.abs().max()), 1e-12) for who, values in peaks.items()}
    note = "The strongest answer of each filter to this image, each side scaled to its own largest. Click a bar to see its filter."
    picks = [{"filter": kernel} for kernel in kernels]
    return panels.Bars(title=f"Every filter of {layer}", note=note, labels=[str(kernel) for kernel in kernels], series=scaled, picks=picks)


def _depth(decodings: Decodings, unpool: str, image: int) -> panels.Panel | None:
    layers = decodings.subject.named_layers()
    if not 1 < len(layers) <= DEEPEST:
        return None
    found = [decodings.beside(layer, decodings.subject.filters(layer)[0], unpool, image) for layer in layers]
    if any(len(kernels) < len(decodings.subject.filters(layer)) for (_, _, kernels), layer in zip(found, layers, strict=True)):
        return None  # a layer too large to be decoded as a whole
    agreement = [float(metrics.pearson_per_image(maps[None], responses[None])[0]) for maps, responses, _ in found]
    text = {"title": "Agreement by depth", "x_label": "layer, from the image upwards", "y_label": "correlation with the network"}
    return panels.Curve(**text, note=", ".join(layers), x=list(range(1, len(layers) + 1)), series={"all filters of the layer": agreement})


def _best(decodings: Decodings, layer: str, kernel: int, unpool: str | None) -> panels.Panel | None:
    gallery = decodings.subject.gallery
    if gallery is None:
        return None
    found, values = decodings.best(layer, kernel, unpool)
    who = "unit" if unpool is None else "picture"
    images = [
        panels.photo(shown_channels(gallery[i]), alt=f"number {n} for the {who}, answer {value:.3g}", label=f"{value:.3g}",
                     frame="red" if unpool is None else "yellow")
        for n, (i, value) in enumerate(zip(found, values, strict=True), start=1)
    ]  # fmt: skip
    title = "Images that drive the unit most" if unpool is None else "Images that the picture likes best"
    return panels.Pictures(title=title, note=f"of {len(gallery):,}, best first", pictures=images, columns=len(images), size=72)


def _tree(decodings: Decodings, layer: str, kernel: int, chosen: Mapping[str, str]) -> panels.Panel | None:
    root = decodings.tree(layer, kernel)
    if root is None:
        text = f"Taking filters of {layer} apart needs a picture of every channel below, too many to be drawn at a pick."
        return panels.Text(title="Made of", text=f"{text} filterlens.lenses.decoding.contributions does it, if you have time.")
    if not root.parts:
        return panels.Text(
            title="Made of", text=f"Filters of {layer} lie on the image itself: they are made of pixels, not of other filters."
        )
    layers = decodings.subject.named_layers()
    nodes: dict[tuple[int, str, int], Contribution] = {}
    edges: dict[tuple[tuple, tuple], float] = {}

    def add(unit: Contribution, level: int) -> tuple[int, str, int]:
        key = (level, unit.layer, unit.channel)
        if key not in nodes:
            nodes[key] = unit
            for part in unit.parts if level == 0 else unit.parts[:FINER]:
                if part.image.numel() > part.image.shape[0]:  # a pixel is no picture
                    below = add(part, level + 1)
                    edges[key, below] = edges.get((key, below), 0.0) + part.share
        return key

    add(root, 0)
    if len(nodes) == 1:
        return None
    order = sorted(nodes, key=lambda key: key[0])
    pictures = []
    for level, name, channel in order:
        unit = nodes[level, name, channel]
        known = name in layers and channel in decodings.subject.filters(name)
        pick = {**chosen, "layer": name, "filter": channel} if known and level else None
        alt = f"filter {channel} of {name}, {unit.image.shape[1]} by {unit.image.shape[2]} pixels"
        pictures.append((panels.signed(shown_channels(unit.image), alt=alt, label=f"{name} {channel}", pick=pick), level))
    lines = [(order.index(parent), order.index(child), share) for (parent, child), share in edges.items()]
    rest = f"the rest adds {root.rest:.0%}" if abs(root.rest) >= 0.005 else "nothing is left out"
    note = f"The strongest parts by their share of the picture; {rest}. Click a part to go down to it."
    return panels.Tree(title="Made of", note=note, nodes=pictures, edges=lines)
