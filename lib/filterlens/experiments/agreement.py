"""The experiment of the synthesis on one network: every filter's number by every lens, with what the network loses without it.

``synthesis.agreement`` measures; a run goes on from the layers that it has. Correlations are not kept: they follow from the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from filterlens import data, gated, network
from filterlens.lenses import ranking
from filterlens.lenses.ranking.masking import is_depthwise
from filterlens.synthesis.agreement import HALVES, SCORES, VERDICTS, agree, from_rows, repeatable, scores, to_rows

from .begun import Begun

MEASURED = ("accuracy", "loss", *SCORES, *HALVES)  # columns of numbers that are not whole


@dataclass(frozen=True)
class AgreementStudy:
    """The filters of a network by every lens. Columns: model, layer, removal, degenerate, n, accuracy, loss, filter, those of
    ``SCORES`` and of ``HALVES``.

    stages: beginnings of the names of the layers that take part, by default all; depthwise layers and the logits' own never do.
    n: images, class-balanced, which all numbers but the weights' are about; size, resize: of photographs, in pixels.
    most: filters of a layer, the widest are drawn with ``seed``; but all of the last layer, which alone has influence. isolated: filters of a layer of which ``isolation_images`` images are
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
    isolation_steps: int = 50
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
        layers = self._layers(begun, example)
        for layer in layers:
            if layer in known:
                continue
            chosen = None if layer == layers[-1] else self._chosen(begun, layer)
            found = scores(
                begun.model, layer, images, labels, name=self.name, normalization=begun.normalization, filters=chosen,
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


_OURS = "a question of our own, which none of the papers asks"
_DEEP = {"stages": ("layer2", "layer3"), "isolation_images": 1}  # the last two stages of a deeper network
STUDIES: dict[str, AgreementStudy] = {
    # of 500 images six are misread, and these alone make the loss; it is a small network, and eight times as many take a minute
    "lenet": AgreementStudy(_OURS, "lenet", True, "mnist", n=4000),
    **{name: AgreementStudy(_OURS, name, True, "cifar10") for name in ("resnet20", "resnet20-std", "resnet20-csg")},
    "resnet20-public": AgreementStudy(_OURS, "resnet20", "public", "cifar10"),
    "resnet32-public": AgreementStudy(_OURS, "resnet32", "public", "cifar10", **_DEEP),
    # one picture per class, which no data set of a package has; 128 pixels take a third of the time of the 224 it is evaluated at
    "lite0": AgreementStudy(
        _OURS, "efficientnet-lite0", True, "imagenet-samples", ("blocks.5", "blocks.6", "conv_head"), size=128, resize=146, most=16,
        isolation_images=1, batch_size=50,
    ),
    "resnet44-public": AgreementStudy(_OURS, "resnet44", "public", "cifar10", **_DEEP, most=16),
    "resnet56-public": AgreementStudy(_OURS, "resnet56", "public", "cifar10", **_DEEP, most=16),
}  # fmt: skip


def in_words(tables: Sequence[pd.DataFrame]) -> str:
    """The agreement over the rows of several networks as lines of text, what does not agree first, and how far the damage can be relied on."""
    layers = from_rows(pd.concat(tables, ignore_index=True))
    found, again = agree(layers), repeatable(layers)
    lines = [
        f"Spearman's rho within layers: {found.n_filters} filters, layers: {found.n_layers}, networks: {len(tables)}; "
        f"{100 * found.level:g} % intervals; p corrected over all pairs",
        f"The rise of the loss on one half of the images goes with that on the other by {again.rho:.2f} [{again.low:.2f}, {again.high:.2f}].",
    ]
    for verdict in VERDICTS[:3]:
        pairs = [pair for pair in found.pairs if pair.verdict == verdict]
        lines += ["", f"{verdict}, pairs: {len(pairs)}"]
        lines += [
            f"{pair.a:>21} {pair.b:<21} {pair.rho:6.2f} [{pair.low:5.2f}, {pair.high:5.2f}]  n = {pair.n:<5} p = {pair.p_adjusted:.2g}"
            for pair in pairs
        ]
    return "\n".join(lines)
