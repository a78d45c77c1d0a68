"""The experiments of the isolation lens (arXiv 2108.11054): their settings, and their rows in order.

``lenses.methods`` does the work. A run goes on from the kernels and groups of images that it has; groups are always solved alike,
so that an interrupted run ends in the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from filterlens import data
from filterlens.lenses import methods
from filterlens.lenses.attribution import SCALES
from filterlens.lenses.isolation import BALANCES, isolate

from .begun import Begun

# Full convolutions at strides 2, 4, 8, 16 and 32, their maps after the activation; no tuning looked at any of them.
DEPTHS = ("conv_stem", "blocks.1.1.bn1", "blocks.2.1.bn1", "blocks.4.2.bn1", "blocks.6.0.bn1")
BETA = 0.1  # chosen by preservation: at 1 a kernel's map changes with its size, see the grid
STEP = 0.05  # the default of ``isolate``, for inputs whose standard deviation is about 1
SQUEEZENET = tuple(f"features.{k}" for k in (1, 4, 7, 10, 12))  # the first activation, and a Fire module of each width
VGG16 = tuple(f"features.{k}" for k in (3, 8, 15, 22, 29))  # where the paper looks: after the last convolution of each block
BLOCKS = VGG16[:2]  # those of the first two blocks


class PathRow(NamedTuple):
    """One isolated image found in one way, as ``Paths`` says."""

    layer: str
    kernel: int
    image: int
    ssim: float
    mse_selected: float
    mse_rest: float
    mse_rest_ratio: float
    preservation: float
    selectivity: float
    loss: float
    way: str
    alike: float


@dataclass(frozen=True)
class _Measured:
    """What they have in common. n: the first images of the data, or, with ``spread``, drawn from all of it, balanced over the classes;
    size: their pixels; n_kernels: drawn with ``seed`` among those active on all of the images; group: images that are solved together;
    judged: does the network name classes? only: those of the layers that are measured, None for all of them."""

    source: str
    network: str
    pretrained: bool | str
    data: str
    layers: tuple[str, ...] = DEPTHS
    n: int = 20
    size: int = 112
    n_kernels: int = 4
    seed: int = 0
    max_iter: int = 200
    group: int = 10
    judged: bool = True
    spread: bool = False
    only: tuple[str, ...] | None = None
    packages = ("captum", "zennit", "timm")
    loads = ("network", "pretrained", "data", "n", "size", "spread", "seed")
    choices = {"scales": SCALES, "balances": BALANCES}
    bounds = {"n": (1, None), "size": (1, None), "n_kernels": (1, None), "seed": (0, None), "max_iter": (1, None), "group": (1, None)}

    def images(self) -> tuple[None, data.Images]:
        if self.spread:
            return None, data.load(self.data, n=self.n, size=self.size, seed=self.seed)
        return None, data.load(self.data, size=self.size)[: self.n]

    def _measure(self, begun: Begun, settings: Sequence[dict[str, Any]], work: Callable[..., list], columns: dict[str, Any]) -> None:
        """``work(model, layer, kernel, images, **setting)`` for every layer, kernel, setting and group of images; columns of the setting
        that are none of the rows' own go before them."""
        images = begun.inputs()
        known = {(row["layer"], row["kernel"], row["image"], *(row[name] for name in columns)) for row in begun.rows}
        for layer, kernels in self._kernels(begun, images):
            for kernel in kernels:
                for setting in settings:
                    told = {name: value(setting) for name, value in columns.items()}
                    for at in range(0, len(images), self.group):
                        if (layer, kernel, at, *told.values()) in known:
                            continue
                        rows = [row._asdict() for row in work(begun.model, layer, kernel, images[at : at + self.group], **setting)]
                        fixed = {"model": self.network, "size": self.size, "depth": self.layers.index(layer) + 1}
                        begun.keep([{**fixed, **row, **told, "image": at + row["image"]} for row in rows])

    def _kernels(self, begun: Begun, images: Tensor) -> Iterator[tuple[str, list[int]]]:
        for layer in self.layers if self.only is None else [layer for layer in self.layers if layer in self.only]:
            yield layer, methods.active_kernels(begun.model, layer, images, self.n_kernels, seed=self.seed)


@dataclass(frozen=True)
class Comparison(_Measured):
    """Table 1: each method's image shown to the network. Columns: model, size, depth and those of ``methods.MethodRow``.

    scales: of the attribution methods, which are measured with each of them. lr: of isolation, in the units of the network's input.
    """

    beta: float = BETA
    lr: float = STEP
    scales: tuple[str, ...] = ("peak", "fit")

    def run(self, begun: Begun) -> None:
        own = [{"methods": ["isolation"], "options": {"beta": self.beta, "lr": self.lr, "max_iter": self.max_iter}}]
        others = [{"methods": [name], "scale": scale} for scale in self.scales for name in methods.METHODS if name != "isolation"]
        told = {"method": lambda setting: setting["methods"][0], "scale": lambda setting: setting.get("scale", methods.OWN_SCALE)}
        self._measure(begun, own + others, methods.measure_methods, told)


@dataclass(frozen=True)
class Ablation(_Measured):
    """Table 2: isolation without one of its terms. Columns: model, size, depth and those of ``methods.TermRow``."""

    n: int = 10
    n_kernels: int = 2
    beta: float = BETA

    def run(self, begun: Begun) -> None:
        settings = [{"terms": [name], "options": {"beta": self.beta, "max_iter": self.max_iter}} for name in methods.TERMS]
        self._measure(begun, settings, methods.ablate_terms, {"terms": lambda setting: setting["terms"][0]})


@dataclass(frozen=True)
class Grid(_Measured):
    """How the weights decide: columns model, size, depth, those of ``methods.MethodRow``, balance, beta, input_scale.

    L_r is divided by input_scale: 58 is what Oxford's VGG, fed with 0 to 255, has in its standard deviations where others have 1.
    """

    layers: tuple[str, ...] = (DEPTHS[2], DEPTHS[3])
    n: int = 3
    n_kernels: int = 2
    betas: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    balances: tuple[str, ...] = ("mean", "printed")
    input_scales: tuple[float, ...] = (1.0, 58.0)

    def run(self, begun: Begun) -> None:
        def work(model: Any, layer: str, kernel: int, images: Tensor, *, beta: float, balance: str, input_scale: float) -> list:
            options = {"beta": beta / input_scale, "balance": balance, "max_iter": self.max_iter}
            return methods.measure_methods(model, layer, kernel, images, methods=["isolation"], options=options)

        settings = [
            {"balance": balance, "beta": beta, "input_scale": scale}
            for balance in self.balances for scale in self.input_scales for beta in self.betas
        ]  # fmt: skip
        told = {name: lambda setting, name=name: setting[name] for name in ("balance", "beta", "input_scale")}
        self._measure(begun, settings, work, told)


# Ways to an isolated image: where the search begins, and how it goes. The first is what the others are held against.
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "from zeros": {"start": "zeros"},
    "from grey": {"start": "grey"},
    "from noise": {"start": "noise"},
    "Adam": {"optimizer": "adam"},
    "descent": {"optimizer": "descent", "max_iter": 500},
    "momentum, step 10,000": {"optimizer": "momentum", "lr": 1e4},
}


@dataclass(frozen=True)
class Paths(_Measured):
    """Do other starts and optimizers come to the same image? Columns model, size, depth, those of ``PathRow``: way (a name of
    ``WAYS``), alike: the correlation of the image found with that of the first way, over all its numbers.
    """

    layers: tuple[str, ...] = (DEPTHS[2], DEPTHS[3])
    n: int = 3
    n_kernels: int = 2
    beta: float = BETA
    ways: tuple[str, ...] = tuple(WAYS)

    def run(self, begun: Begun) -> None:
        def work(model: Any, layer: str, kernel: int, images: Tensor, *, ways: tuple[str, ...]) -> list[PathRow]:
            found: list[PathRow] = []
            first = None
            for way in ways:
                its = isolate(model, layer, kernel, images, **{"beta": self.beta, "max_iter": self.max_iter} | WAYS[way])
                first = its.images.flatten(1) if first is None else first
                alike = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(its.images.flatten(1), first, strict=True)]
                numbers = zip(*(getattr(its.measure(), name).tolist() for name in methods.MEASURES), strict=True)
                found += [
                    PathRow(layer, kernel, i, *measured, loss, way, r)
                    for i, (measured, loss, r) in enumerate(zip(numbers, its.best.tolist(), alike, strict=True))
                ]
            return found

        self._measure(begun, [{"ways": self.ways}], work, {})


@dataclass(frozen=True)
class Descent(_Measured):
    """How low the paper's own descent comes in its ten thousand steps, beside the default: columns model, size, depth, layer, kernel,
    image, optimizer, iterations, loss (the lowest up to there).

    ``points``: iterations of the descent at which its loss is written down, the last one those that it takes.
    """

    layers: tuple[str, ...] = ("blocks.3.1.bn2",)  # served to tune nothing
    n: int = 1
    size: int = 224
    n_kernels: int = 1
    beta: float = 1.0
    points: tuple[int, ...] = (300, 1000, 3000, 10_000)

    def run(self, begun: Begun) -> None:
        images = begun.inputs()
        known = {(row["layer"], row["kernel"], row["optimizer"]) for row in begun.rows}
        for layer, kernels in self._kernels(begun, images):
            for kernel in kernels:
                for optimizer, points in (("proximal", (self.max_iter,)), ("descent", self.points)):
                    if (layer, kernel, optimizer) in known:
                        continue
                    kept = None if begun.far is None else begun.far / f"{layer}-{kernel}-{optimizer}.run"
                    options = {"beta": self.beta, "optimizer": optimizer, "max_iter": points[-1]}
                    loss = isolate(begun.model, layer, kernel, images, progress=True, checkpoint=kept, **options).loss
                    fixed = {
                        "model": self.network,
                        "size": self.size,
                        "depth": self.layers.index(layer) + 1,
                        "layer": layer,
                        "kernel": kernel,
                    }
                    lowest = loss.nan_to_num(float("inf")).cummin(1).values
                    begun.keep(
                        [
                            {**fixed, "image": i, "optimizer": optimizer, "iterations": at, "loss": float(row[min(at, len(row) - 1)])}
                            for i, row in enumerate(lowest) for at in points
                        ]
                    )  # fmt: skip
