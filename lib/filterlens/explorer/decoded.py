"""What the decoding explorer shows, computed when first asked for and kept as long as the weights stay what they are.

``Network`` says what is to be explored; ``Decodings`` answers for it with the lens' own functions. No panel is made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import checks, metrics, network
from filterlens.lenses.decoding import (
    Contribution,
    DecodedFilters,
    contributions,
    decode,
    reconstruction_error,
    respond,
)
from filterlens.lenses.decoding.compare import one_unit
from filterlens.linear import MODES
from filterlens.linear.trace import first_channels

KEPT = 2**29  # bytes of results that are remembered for one network, the latest used ones
OPTIONS = ("input_size", "gain", "max_bytes")  # of `decode`; unpooling and scaling are picked in the explorer
BANK = 2**28  # bytes up to which all filters of a layer are decoded at once and kept
TREE = 2**25  # bytes that the pictures of all channels below may take for a tree: some seconds of work
DEEPEST = 8  # layers up to which all of them are decoded for one pick: trees of two levels, agreement by depth


@dataclass(frozen=True, eq=False)
class Network:
    """A network to explore, with what it is shown.

    ``images`` (n, c, h, w) in [0, 1], normalized by ``normalization.apply`` where there is one; ``titles`` names them. ``layers``:
    names, or names and what to call them; default every convolution. ``kernels``: how many filters of each layer are to be picked
    (default all). ``gallery`` (m, c, h, w): images among which the best for a filter are looked for. ``options`` go to ``decode``.
    """

    model: nn.Module
    images: Tensor | None = None
    titles: Sequence[str] = ()
    normalization: Any = None
    layers: Sequence[str] | Mapping[str, str] | None = None
    kernels: int | None = None
    gallery: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.module("model", self.model)
        known = network.conv_layers(self.model)
        if not known:
            raise ValueError(f"model: {type(self.model).__name__} has no 2-D convolution, expected a CNN")
        if isinstance(self.layers, str):
            raise TypeError(f"layers: got {self.layers!r}, expected a list of names")
        for layer in self.layers or ():
            checks.choice("layers", layer, known)
        if isinstance(self.layers, Mapping):
            _check_texts("layers", self.layers.values())
        channels: dict[str, int] = {}
        if not isinstance(self.options, Mapping):
            raise TypeError(f"options: got {checks.describe(self.options)}, expected a dict of arguments of `decode`")
        for option in self.options:
            checks.choice("options", option, OPTIONS)
        for name in ("images", "gallery"):
            if getattr(self, name) is not None:
                images = checks.tensor(name, getattr(self, name), "n c h w", sizes=channels)
                channels = {"c": images.shape[1]}
                if images.min() < 0 or images.max() > 1:
                    raise ValueError(f"{name}: got values in [{images.min():.3g}, {images.max():.3g}], expected images in [0, 1]; "
                                     "`normalization` turns them into the network's input")  # fmt: skip
                wanted = _channels(self)
                if channels["c"] != wanted:
                    raise ValueError(f"{name}: got {channels['c']} channels, expected {wanted}, those of the image the network sees")
        _check_texts("titles", self.titles)
        if self.titles and len(self.titles) != len(self.images if self.images is not None else ()):
            raise ValueError(f"titles: got {len(self.titles)}, expected one for each image")
        if len(set(self.titles)) < len(self.titles):
            raise ValueError(f"titles: got one of {list(self.titles)[:8]} twice, expected different ones")
        if self.kernels is not None:
            checks.integer("kernels", self.kernels, 1)
        if self.normalization is not None and not callable(getattr(self.normalization, "apply", None)):
            raise TypeError(f"normalization: got {checks.describe(self.normalization)}, expected None or an object with apply(images)")

    def named_layers(self) -> dict[str, str]:
        """The layers to pick from and what they are called."""
        layers = self.layers if self.layers else list(network.conv_layers(self.model))
        return dict(layers) if isinstance(layers, Mapping) else {layer: layer for layer in layers}

    def filters(self, layer: str) -> list[int]:
        """Indices of the filters to pick from."""
        count = self.model.get_submodule(layer).weight.shape[0]
        return list(range(count if self.kernels is None else min(count, self.kernels)))

    def names_of_images(self) -> list[str] | list[int]:
        """What its images are called: their titles, or their numbers."""
        return ["none"] if self.images is None else list(self.titles) or list(range(len(self.images)))

    def unpools(self) -> list[str]:
        """The ways to undo a max-pool, if there is one to undo."""
        return list(MODES) if any(isinstance(module, nn.MaxPool2d) for module in self.model.modules()) else ["nearest"]


class Decodings:
    """What the panels of one network show, computed when first asked for and kept as long as its weights stay what they are."""

    def __init__(self, subject: Network) -> None:
        self.subject, self._of = subject, None
        self._kept: dict[tuple, tuple[Any, int]] = {}  # with their bytes
        self._size = 0
        self.settings = {"scale": "none", "normalize": "tensor", "parts": 5}

    def refresh(self) -> bool:
        """Forget everything that was computed with other weights, another structure or other images; whether there was any."""
        known = _fingerprint(self.subject)
        changed = known != self._of
        if changed:
            self.forget()
            self._of = known
        return changed

    def forget(self) -> None:
        """Forget everything."""
        self._kept, self._size, self._of = {}, 0, None

    def _remember(self, *key: Any, make: Any) -> Any:
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)  # at the end: the latest used
            return self._kept[key][0]
        value = make()
        self._kept[key] = value, _bytes(value)
        self._size += self._kept[key][1]
        while self._size > KEPT and len(self._kept) > 1:
            self._size -= self._kept.pop(next(iter(self._kept)))[1]
        return value

    def decoded(self, layer: str, kernel: int, unpool: str) -> DecodedFilters:
        """One filter with its steps, or all of its layer if those are small enough to be kept."""
        scale, model, kernels = self.settings["scale"], self.subject.model, self.subject.filters(layer)
        options = {"unpool": unpool, "scale": scale, "keep_steps": True, **self.subject.options}

        def make() -> DecodedFilters:
            one = decode(model, layer, [kernel], **options)
            size = sum(step.images.nbytes for step in one.steps) + one.images.nbytes
            return decode(model, layer, kernels, **options) if size * len(kernels) <= BANK else one

        bank = self._remember("bank", layer, unpool, scale, make=make)
        if kernel in bank.kernels:
            return bank
        return self._remember("one", layer, kernel, unpool, scale, make=lambda: decode(model, layer, [kernel], **options))

    def refusal(self, layer: str, kernel: int, unpool: str) -> str:
        """Why `decode` refuses the filter, or nothing."""

        def make() -> str:
            try:
                self.decoded(layer, kernel, unpool)
            except (TypeError, ValueError) as error:
                return str(error)
            return ""

        return self._remember("refusal", layer, unpool, self.settings["scale"], make=make)

    def picture(self, layer: str, kernel: int, unpool: str) -> Tensor:
        """(c, h, w)"""
        decoded = self.decoded(layer, kernel, unpool)
        return decoded.images[decoded.kernels.index(kernel)]

    def tree(self, layer: str, kernel: int) -> Contribution | None:
        """What the picture is made of, by nearest unpooling, with which shares are exact; None where that would take long.

        It needs the picture of every channel below, none larger than this one.
        """
        top, decoded = self.settings["parts"], self.decoded(layer, kernel, "nearest")
        if max(decoded.trace.widths.values()) * decoded.images[0].nbytes > TREE:
            return None
        depth = 2 if len(self.subject.named_layers()) <= DEEPEST else 1
        return self._remember(
            "tree", layer, kernel, top, self.settings["scale"], make=lambda: contributions(decoded, kernel, top=top, depth=depth)
        )

    def inputs(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the network expects them, where its weights are."""
        like = next(self.subject.model.parameters())
        images = images.to(like)
        return images if self.subject.normalization is None else self.subject.normalization.apply(images)

    def maps(self, layer: str, image: int) -> Tensor:
        """The network's map of every filter of a layer (k, h, w): one forward pass for all layers of an image."""
        layers = list(self.subject.named_layers())

        def make() -> dict[str, Tensor]:
            with network.evaluating(self.subject.model), network.capture(self.subject.model, layers) as found:
                self.subject.model(self.inputs(self.subject.images[image : image + 1]))
            return {name: one_unit(value)[0] for name, value in found.items()}

        found = self._remember("maps", image, make=make)
        if layer not in found:
            raise ValueError(f"layer: {layer!r} did not run when the network saw the image")
        return found[layer]

    def beside(self, layer: str, kernel: int, unpool: str, image: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """The network's maps and the decoded filters' responses (k, h, w) for one image, and which filters they are of."""
        decoded = self.decoded(layer, kernel, unpool)

        def make() -> Tensor:
            return respond(decoded, self.inputs(self.subject.images[image : image + 1]))[0]

        responses = self._remember("responses", layer, unpool, image, decoded.kernels, self.settings["scale"], make=make)
        return self.maps(layer, image)[list(decoded.kernels)], responses, decoded.kernels

    def agreement(self, layer: str, kernel: int, unpool: str, image: int) -> tuple[float, float]:
        """Error (eq. 3) and correlation of all filters that ``beside`` gives; NaN where there is none."""
        maps, responses, kernels = self.beside(layer, kernel, unpool, image)
        how = self.settings["normalize"]

        def make() -> tuple[float, float]:
            alone = how == "map" and maps[0].numel() == 1
            error = float("nan") if alone else float(reconstruction_error(maps[None], responses[None], how)[0])
            return error, float(metrics.pearson_per_image(maps[None], responses[None])[0]) if maps.numel() > 1 else float("nan")

        return self._remember("agreement", layer, unpool, image, kernels, how, self.settings["scale"], make=make)

    def best(self, layer: str, kernel: int, unpool: str | None, n: int = 4) -> tuple[list[int], list[float]]:
        """The gallery's images with the largest answer of the unit (``unpool`` None) or of the picture, and those answers."""

        subject = self.subject
        batches = subject.gallery.split(250 if subject.gallery.shape[-1] <= 64 else 16)

        def units() -> dict[str, Tensor]:  # one pass for all layers
            peaks: dict[str, list[Tensor]] = {}
            for batch in batches:
                with network.evaluating(subject.model), network.capture(subject.model, list(subject.named_layers())) as found:
                    subject.model(self.inputs(batch))
                for name, maps in found.items():
                    peaks.setdefault(name, []).append(one_unit(maps).amax((2, 3)))
            return {name: torch.cat(some) for name, some in peaks.items()}

        if unpool is None:
            answers, row = self._remember("units", make=units)[layer], kernel
        else:
            decoded = self.decoded(layer, kernel, unpool)

            def correlated() -> Tensor:
                return torch.cat([respond(decoded, self.inputs(batch)).amax((2, 3)) for batch in batches])

            answers = self._remember("best", layer, unpool, decoded.kernels, self.settings["scale"], make=correlated)
            row = decoded.kernels.index(kernel)
        values, found = answers[:, row].topk(min(n, len(answers)))
        return found.tolist(), values.tolist()


def _channels(subject: Network) -> int:
    """Of the image: those of the first convolution, unless the options say otherwise."""
    size = subject.options.get("input_size")
    return size[0] if isinstance(size, tuple) and len(size) == 3 else first_channels(subject.model)


def _check_texts(name: str, values: Iterable[object]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name}: got {checks.describe(value)}, expected text")


def _bytes(value: Any) -> int:
    """Of all tensors in a result."""
    if isinstance(value, Tensor):
        return value.untyped_storage().nbytes()  # a view keeps all of what it is a view of
    if isinstance(value, DecodedFilters):
        return _bytes([value.images, *(step.images for step in value.steps)])
    if isinstance(value, Contribution):
        return _bytes([value.image, *value.parts])
    if isinstance(value, Mapping):
        return _bytes(list(value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


def _fingerprint(subject: Network) -> tuple:
    """Changes with training, pruning, moving or rebuilding the network, and with other images; cheap beside a forward pass."""
    tensors = [tensor.detach() for tensor in (*subject.model.parameters(), *subject.model.buffers())]
    floating = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    # Two sums per tensor: through `.data` one can change without a trace in `_version`, and a norm does not see signs.
    sums = [*torch._foreach_norm(floating), *(tensor.sum() for tensor in floating)]
    numbers = torch.stack([one.cpu().double() for one in sums]).tolist() if sums else []
    shown = [tensor for tensor in (subject.images, subject.gallery) if tensor is not None]
    seen = [
        (tensor.data_ptr(), None if tensor.is_inference() else tensor._version, tensor.device, tensor.dtype)
        for tensor in (*tensors, *shown)
    ]
    return str(subject.model), tuple(seen), tuple(numbers)
