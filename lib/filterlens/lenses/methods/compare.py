"""Isolation beside guided backpropagation, Deconvolution and LRP: each method's image goes through the network again.

What decides is the layer's maps of that image: is the kernel's map the one it was, are the others quiet (spec 2.3, 2.4).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ... import checks
from ..attribution import SCALES, explain
from ..isolation import Isolation, Tap, find_point, isolate
from ..isolation.point import frozen
from .activity import BATCH, shown
from .rows import measured, numbers

METHODS = ("isolation", "guided", "deconvolution", "lrp")
ON_INACTIVE = ("raise", "skip")
OWN_SCALE = "raw"  # an isolated image is one already: nothing is scaled
_OPTIONS = [
    name for name, given in inspect.signature(isolate).parameters.items()
    if given.kind is given.KEYWORD_ONLY and name not in ("pre_activation", "on_inactive", "progress")
]  # fmt: skip


class MethodRow(NamedTuple):
    """One image of one method shown to the network, measured as ``isolation.selectivity`` says; NaN where the kernel is inactive.

    ``scale``: what brought the pattern to the scale of an image, "raw" for isolation, whose result is an image. ``image``: index into the given
    images. ``loss``: the lowest loss of an isolation, NaN for the others, which minimise none.
    """

    layer: str
    method: str
    scale: str
    kernel: int
    image: int
    ssim: float
    mse_selected: float
    mse_rest: float
    mse_rest_ratio: float
    preservation: float
    selectivity: float
    loss: float


def method_input(
    model: nn.Module,
    layer: str,
    kernel: int,
    images: Tensor,
    *,
    method: str,
    scale: str = "peak",
    pre_activation: bool = False,
    on_inactive: str = "raise",
    **options: Any,
) -> Tensor:
    """What a method says drives a kernel, as images (n, c, h, w) in the network's normalized input space.

    images: (n, c, h, w), normalized. method: one of ``METHODS``. scale: of the attribution methods' patterns, which are no images by
        themselves, see ``attribution.explain``. options: those of ``isolate`` (beta, max_iter, seed, ...), the other methods have no use
        for them. on_inactive: an image on which the kernel's map is zero raises InactiveKernelError, or with "skip" is NaN.

    The model is left as it was. Raises TypeError or ValueError naming the argument.
    """
    checks.choice("method", method, METHODS)
    checks.choice("scale", scale, SCALES)
    _checked_options("options", options)
    checks.choice("on_inactive", on_inactive, ON_INACTIVE)
    checks.integer("kernel", kernel, 0, _n_kernels(model, layer, images, pre_activation) - 1)
    shared = {"pre_activation": pre_activation, "on_inactive": on_inactive}
    if method == "isolation":
        return isolate(model, layer, kernel, images, **shared, **options).images
    return explain(model, layer, kernel, images, method=method, scale=scale, **shared)


def measure_methods(
    model: nn.Module,
    layer: str,
    kernels: int | Sequence[int],
    images: Tensor,
    *,
    methods: Sequence[str] = METHODS,
    scale: str = "peak",
    pre_activation: bool = False,
    options: Mapping[str, Any] | None = None,
    on_row: Callable[[MethodRow], None] | None = None,
    done: Iterable[MethodRow] = (),
    progress: bool = False,
) -> list[MethodRow]:
    """Every method's image for every kernel and image, shown to the network and measured: rows by method, kernel, image.

    images: (n, c, h, w), normalized. scale: of the attribution methods' patterns. options: those of ``isolate``. Inactive pairs are
        rows of NaN. Isolation solves all kernels and images of a call together, in batches under its ``max_bytes``; the numbers of an
        image depend on what shares its batch in the last digits only.
    on_row: called with each row as soon as it is known. done: rows of an earlier call with these arguments, taken as they are.

    Memory: the layer's maps of all images, and those of the isolated images. The model is left as it was.
    Raises TypeError or ValueError naming the argument, before any work.
    """
    methods = several("methods", methods, METHODS)
    checks.choice("scale", scale, SCALES)
    options = {} if options is None else dict(_checked_options("options", options))
    kernels = _checked(model, layer, kernels, images, pre_activation, on_row, progress)
    known = {row[:5]: row for row in done_rows(done, MethodRow)}
    shared = {"pre_activation": pre_activation, "on_inactive": "skip"}

    def fresh(method: str) -> Iterator[MethodRow]:
        by = OWN_SCALE if method == "isolation" else scale
        left = {kernel: [i for i in range(len(images)) if (layer, method, by, kernel, i) not in known] for kernel in kernels}
        if method == "isolation":
            for found, chosen in _isolated(model, layer, left, images, {**options, **shared}):
                for row, kernel, image, loss in zip(
                    numbers(found.measure()), found.kernel.tolist(), found.image.tolist(), found.best.tolist(), strict=True
                ):
                    yield MethodRow(layer, method, by, kernel, chosen[image], *row, loss)
            return
        for kernel, chosen in left.items():
            if chosen:
                pattern = explain(model, layer, kernel, images[chosen], method=method, scale=scale, **shared)
                for row, image in zip(fed_back(model, layer, kernel, images[chosen], pattern, pre_activation), chosen, strict=True):
                    yield MethodRow(layer, method, by, kernel, image, *row, float("nan"))

    with tqdm(total=len(methods) * len(kernels) * len(images), disable=not progress, desc=f"methods at {layer}", unit="row") as bar:
        for method in methods:
            for row in fresh(method):
                known[row[:5]] = row
                bar.update()
                if on_row is not None:
                    on_row(row)
    keys = [(layer, m, OWN_SCALE if m == "isolation" else scale, k, i) for m in methods for k in kernels for i in range(len(images))]
    return [known[key] for key in keys]


def _isolated(
    model: nn.Module, layer: str, left: dict[int, list[int]], images: Tensor, options: dict
) -> Iterator[tuple[Isolation, list[int]]]:
    """Isolations of the pairs that are left, kernels with the same images together; and which images those were."""
    together: dict[tuple[int, ...], list[int]] = {}
    for kernel, chosen in left.items():
        if chosen:
            together.setdefault(tuple(chosen), []).append(kernel)
    for chosen, kernels in together.items():
        yield isolate(model, layer, kernels, images[list(chosen)], **options), list(chosen)


def fed_back(model: nn.Module, layer: str, kernel: int, images: Tensor, patterns: Tensor, pre_activation: bool) -> list[tuple[float, ...]]:
    """``MEASURES`` of the maps of patterns (n, c, h, w) against those of the images (n, c, h, w); patterns of NaN stay NaN."""
    tap = Tap(model, find_point(model, layer, example=images, pre_activation=pre_activation, argument="images"))
    found = []
    with frozen(model):
        for before, after in zip(images.split(BATCH), patterns.split(BATCH), strict=True):
            absent = after.flatten(1).isnan().any(1)
            maps = shown(tap, torch.where(absent[:, None, None, None], 0, after))
            maps[absent] = torch.nan  # some activations make numbers of NaN
            found += measured(maps, shown(tap, before), torch.full((len(before),), kernel))
    return found


def several(name: str, value: object, options: Sequence[str]) -> list[str]:
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, Sequence):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected some of {list(options)}")
    found = [checks.choice(name, one, options) for one in value]
    if not found or len({*found}) < len(found):
        raise ValueError(f"{name}: got {found}, expected one or several of {list(options)}, each once")
    return found


def done_rows(done: object, kind: type) -> list:
    if isinstance(done, str) or not isinstance(done, Iterable):
        raise TypeError(f"done: got {checks.describe(done)}, expected rows of an earlier call")
    rows = list(done)
    for row in rows:
        if not isinstance(row, kind):
            raise TypeError(f"done: got {checks.describe(row)}, expected {kind.__name__}s of an earlier call")
    return rows


def _checked(model: nn.Module, layer: str, kernels: Any, images: Tensor, pre_activation: bool, on_row: Any, progress: Any) -> list[int]:
    if on_row is not None and not callable(on_row):
        raise TypeError(f"on_row: got {checks.describe(on_row)}, expected a function of one row, or None")
    if not isinstance(progress, bool):
        raise TypeError(f"progress: got {checks.describe(progress)}, expected True or False")
    return checks.indices("kernels", kernels, _n_kernels(model, layer, images, pre_activation))


def _n_kernels(model: nn.Module, layer: str, images: Tensor, pre_activation: bool) -> int:
    """How many maps the layer gives; model, images and layer are checked on the way."""
    checks.module("model", model)
    checks.tensor("images", images, "n c h w")
    tap = Tap(model, find_point(model, layer, example=images, pre_activation=pre_activation, argument="images"))
    with frozen(model):
        return shown(tap, images[:1]).shape[1]


def _checked_options(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise TypeError(f"{name}: got {checks.describe(options)}, expected a dict of arguments of isolate")
    for key in options:
        if key not in _OPTIONS:
            raise TypeError(f"{name}: got {key!r}, expected some of {_OPTIONS}, the arguments of isolate")
    return options
