"""Panels of the decoding explorer, each made of what ``Decodings`` answers to a pick."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from filterlens import metrics
from filterlens.explorer import panels
from filterlens.explorer.decoded import DEEPEST, Decodings, Network
from filterlens.lenses.decoding import (
    Contribution,
    DecodedFilters,
)

FINER = 2  # parts of a part that a tree shows


def picture(decodings: Decodings, layer: str, kernel: int, unpool: str) -> panels.Panel:
    decoded, picture = decodings.decoded(layer, kernel, unpool), decodings.picture(layer, kernel, unpool)
    h, w = picture.shape[1:]
    peak = float(picture.abs().max())
    what = "red positive, blue negative, white zero" if len(picture) == 1 else "mid-grey is zero"
    image = panels.signed(shown_channels(picture), alt=f"filter {kernel} of {layer} decoded, a signed picture of {h} by {w} pixels")
    alone = decoded.trace.size(*decoded.trace.input_size) == (1, 1)
    apart = "The layer has a single unit." if alone else f"Neighbouring units look {_pixels(decoded.stride)} apart."
    note = f"{h} × {w} pixels, strongest {peak:.3g}; {what}. {apart}"
    return panels.Picture(
        title=f"Filter {kernel} of {layer}, drawn in image space", note=note, picture=image, threshold="threshold", parts=True
    )


def shown_channels(picture: Tensor) -> Tensor:
    """A picture (c, h, w) as one that can be looked at: grey and colour as they are, of other channels the sum."""
    return picture if len(picture) in (1, 3) else picture.sum(0, keepdim=True)


def _pixels(n: int) -> str:
    return f"{n} pixel{'s' * (n != 1)}"


def steps(decoded: DecodedFilters, kernel: int) -> panels.Panel:
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


def seen(subject: Network, image: int) -> panels.Panel:
    title = subject.titles[image] if subject.titles else f"image {image}"
    shown = panels.photo(shown_channels(subject.images[image]).clamp(0, 1), alt=f"the image shown to the network: {title}", label=title)
    return panels.Pictures(title="The image", pictures=[shown], size=168)


def map_of(title: str, note: str, values: Tensor) -> panels.Panel | None:
    h, w = values.shape
    if h * w == 1:  # one unit is a number, not a picture
        return None
    alt = f"{title.lower()}, {h} by {w} units, from {float(values.min()):.3g} to {float(values.max()):.3g}"
    shown = panels.gray(values, alt=alt, label=f"{h} × {w} units")
    return panels.Pictures(title=title, note=note, pictures=[shown], size=168)


def answer(decodings: Decodings, layer: str, kernel: int, unpool: str, image: int) -> list[panels.Panel]:
    maps, responses, kernels = decodings.beside(layer, kernel, unpool, image)
    row, how, many = kernels.index(kernel), decodings.settings["normalize"], maps[0].numel() > 1
    own = float(metrics.pearson_per_image(maps[row][None], responses[row][None])[0]) if many else float("nan")
    error, layerwide = decodings.agreement(layer, kernel, unpool, image)
    whole = len(kernels) == len(decodings.subject.filters(layer))
    count = f"all {len(kernels)} filters" if whole else "this filter alone"  # too large to be kept: see BANK
    rows = [
        ("strongest answer, network", _short(maps[row].max())),
        (
            "strongest answer, picture",
            _short(responses[row].max()),
            "its correlation with the image; without biases, and larger by what unpooling copies",
        ),
        ("correlation of the two maps", _number(own), "" if many else "a single unit has none"),
        (f"correlation, {count}", _number(layerwide)),
        (f"error (eq. 3), {count}", _number(error, 4), f"mean squared difference, contrast normalized: {how}"),
    ]
    shown = map_of("The picture's answer", "the decoded filter correlated with the image", responses[row])
    return [*([shown] if shown else []), panels.Numbers(title="How well does the picture stand in?", rows=rows)]


def _short(value: Tensor) -> str:
    return f"{float(value):.3g}".replace("-", "−")


def _number(value: float, digits: int = 3) -> str:
    return "–" if value != value else f"{value:.{digits}f}".replace("-", "−")


def bars(decodings: Decodings, layer: str, unpool: str, image: int) -> panels.Panel | None:
    maps, responses, kernels = decodings.beside(layer, decodings.subject.filters(layer)[0], unpool, image)
    if len(kernels) < 2:
        return None
    peaks = {who: values.amax((1, 2)) for who, values in (("network", maps), ("decoded picture", responses))}
    scaled = {who: values / max(float(values.abs().max()), 1e-12) for who, values in peaks.items()}
    note = "The strongest answer of each filter to this image, each side scaled to its own largest. Click a bar to see its filter."
    picks = [{"filter": kernel} for kernel in kernels]
    return panels.Bars(title=f"Every filter of {layer}", note=note, labels=[str(kernel) for kernel in kernels], series=scaled, picks=picks)


def depth(decodings: Decodings, unpool: str, image: int) -> panels.Panel | None:
    layers = decodings.subject.named_layers()
    if not 1 < len(layers) <= DEEPEST:
        return None
    if any(decodings.refusal(layer, decodings.subject.filters(layer)[0], unpool) for layer in layers):
        return None
    found = [decodings.beside(layer, decodings.subject.filters(layer)[0], unpool, image) for layer in layers]
    if any(len(kernels) < len(decodings.subject.filters(layer)) for (_, _, kernels), layer in zip(found, layers, strict=True)):
        return None  # a layer too large to be decoded as a whole
    agreement = [float(metrics.pearson_per_image(maps[None], responses[None])[0]) for maps, responses, _ in found]
    told = [(place, value) for place, value in enumerate(agreement, start=1) if value == value]
    if len(told) < 2:
        return None
    silent = [layer for layer, value in zip(layers, agreement, strict=True) if value != value]
    note = "; ".join([", ".join(layers), *([f"none where all answers are equal: {', '.join(silent)}"] if silent else [])])
    text = {"title": "Agreement by depth", "x_label": "layer, from the image upwards", "y_label": "correlation with the network"}
    places, values = zip(*told, strict=True)
    return panels.Curve(**text, note=note, x=places, series={"all filters of the layer": values})


def best(decodings: Decodings, layer: str, kernel: int, unpool: str | None) -> panels.Panel | None:
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


def tree(decodings: Decodings, layer: str, kernel: int, chosen: Mapping[str, str]) -> panels.Panel | None:
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
    note = f"The strongest parts by their share of the picture; {rest}."
    if any(image.pick for image, _ in pictures):
        note += " Click a part to go down to it."
    return panels.Tree(title="Made of", note=note, nodes=pictures, edges=lines)
