"""The experiment of the synthesis on one network: every filter's number by every lens, with what the network loses without it.

``synthesis.agreement`` measures; a run goes on from the layers that it has. Correlations are not kept: they follow from the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from filterlens import data, gated, network
from filterlens.lenses import ranking
from filterlens.lenses.ranking.masking import is_depthwise
from filterlens.synthesis.agreement import SCORES, scores, to_rows

from .begun import Begun

MEASURED = ("accuracy", "loss", *SCORES)  # columns of numbers that are not whole


@dataclass(frozen=True)
class AgreementStudy:
    """The filters of a network by every lens. Columns: model, layer, removal, degenerate, n, accuracy, loss, filter and those of
    ``SCORES``.

    stages: beginnings of the names of the layers that take part, by default all; depthwise layers and the logits' own never do.
    n: images, class-balanced, which all numbers but the weights' are about; size, resize: of photographs, in pixels.
    most: filters of a layer, the widest are drawn with ``seed``. isolated: filters of a layer of which ``isolation_images`` images are
        isolated.
    """

    source: str
    network: str
    pretrained: bool | str
    data: str
    stages: tuple[str, ...] | None = None
    n: int = 500
    size: int | None = None
    resize: int | None = None
    most: int | None = None
    isolated: int = 8
    isolation_images: int = 2
    isolation_steps: int = 100
    batch_size: int = 100
    seed: int = 0
    packages = ("torch-pruning", "scipy", "timm")
    loads = ("network", "pretrained", "data", "n", "size", "resize", "seed")
    choices = {}
    bounds = {name: (1, None) for name in ("n", "size", "resize", "most", "isolated", "isolation_images", "isolation_steps", "batch_size")}

    @property
    def name(self) -> str:
        """The network's, in tables: with ``-public`` for published weights."""
        return f"{self.network}-public" if self.pretrained == "public" else self.network

    def images(self) -> tuple[None, data.Images]:
        return None, data.load(self.data, n=self.n, size=self.size, resize=self.resize, seed=self.seed)

    def run(self, begun: Begun) -> None:
        images, labels = begun.test.images, begun.test.labels
        example = begun.normalization.apply(images[:1])
        free = ranking.removable(begun.model, example=example)
        known = {row["layer"] for row in begun.rows}
        for layer in self._layers(begun, example):
            if layer in known:
                continue
            found = scores(
                begun.model, layer, images, labels, name=self.name, normalization=begun.normalization, filters=self._chosen(begun, layer),
                gates=self._gates(), isolated=self.isolated, isolation_images=self.isolation_images, isolation_steps=self.isolation_steps,
                removable=free, batch_size=self.batch_size, seed=self.seed,
            )  # fmt: skip
            begun.keep(to_rows(found))

    def _layers(self, begun: Begun, example: torch.Tensor) -> list[str]:
        """In the order of execution: convolutions whose filters share inputs, up to the one before the logits."""
        running = network.conv_layers(begun.model, example=example)
        able = [
            name for name, module in running.items()
            if module.groups == 1 and module.out_channels > 1 and not is_depthwise(module)
        ]  # fmt: skip
        last = network.stop_at(begun.model, able[-1])
        with network.evaluating(begun.model):
            if torch.equal(last(example).flatten(), begun.model(example).flatten()):  # LeNet's logits come from a convolution
                able = able[:-1]
        return [name for name in able if self.stages is None or name.startswith(self.stages)]

    def _chosen(self, begun: Begun, layer: str) -> list[int] | None:
        k = begun.model.get_submodule(layer).out_channels
        if self.most is None or k <= self.most:
            return None
        return sorted(torch.randperm(k, generator=torch.Generator().manual_seed(self.seed))[: self.most].tolist())

    def _gates(self) -> torch.Tensor | None:
        """The gates that the network ends up with; None for one that was trained without."""
        if self.network not in gated.names():
            return None
        found = gated.load(self.network)
        return found.gates[-1] if bool(found.gated.any()) else None
