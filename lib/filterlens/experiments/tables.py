"""Experiments whose library function gives a whole table at once: decoding errors, influential features of one network, storage.

Their rows are long, a measure and its value in each, so that one table holds what different questions measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from filterlens import data, features, network, surveys
from filterlens.lenses import decoding, influence, simplex

from .begun import Begun, Row, left, with_seed

TEN = tuple(range(10))
OF_NOISE = {"influential": "influential replaced", "other": "others replaced"}


@dataclass(frozen=True)
class Errors:
    """Table 1 of arXiv 1511.05084: how far decoded filters answer from the network's own. Columns: model, [trained], layer, unpool, split,
    n_images, mean, std, of the errors of the images (divisor n).

    split: "train", "test" or "both", whose images are measured. batch: images at once.
    """

    source: str
    network: str
    pretrained: bool | str
    data: str
    layers: tuple[str, ...] = ("conv2", "conv3", "conv4")
    unpools: tuple[str, ...] = ("bicubic", "nearest", "bilinear")
    split: str = "both"
    n: int | None = None
    batch: int = 500
    trained: int | None = None
    judged = False
    loads = ("network", "pretrained", "trained", "data", "n")
    packages = ()
    choices = {"split": ("train", "test", "both"), "unpools": ("nearest", "bilinear", "bicubic")}
    bounds = {"n": (1, None), "batch": (1, None), "trained": (0, None)}

    def images(self) -> tuple[data.Images, data.Images]:
        return data.train_and_test(self.data, n=self.n)

    def run(self, begun: Begun) -> None:
        parts = {"train": (begun.train,), "test": (begun.test,), "both": (begun.train, begun.test)}[self.split]
        for layer, unpool in left([(a, b) for a in self.layers for b in self.unpools], begun.rows, ("layer", "unpool")):
            found = decoding.ErrorTable.join(self._table(begun, layer, unpool, images) for images in parts)
            told = {"model": self.network, **with_seed(self), "layer": layer, "unpool": unpool, "split": self.split}
            mean, std = found.mean(layer, unpool), found.std(layer, unpool)
            begun.keep([{**told, "n_images": found.n, "mean": mean, "std": std}])

    def _table(self, begun: Begun, layer: str, unpool: str, images: data.Images) -> decoding.ErrorTable:
        normal = (begun.normalization.apply(batch) for batch, _ in images.batches(self.batch))
        inputs = (batch if begun.device is None else batch.to(begun.device) for batch in normal)
        return decoding.error_table(begun.model, [layer], inputs, unpools=(unpool,), normalizations=("tensor",))


@dataclass(frozen=True)
class Noise:
    """Table 8 of arXiv 2112.07719 on pooled features that are on disk. Columns: model, r, s, n_images, measure, noise, seed, value.

    features: a name in data/features. Measures: "original", "decomposed" (accuracies of the whole and of the decomposed final layer,
    with seed 0 alone, as no seed changes them), "influential replaced" and "others replaced" by noise, for every seed.
    """

    source: str
    features: str
    r: int = 5
    s: int = 5
    noise: str = "unit"
    seeds: tuple[int, ...] = TEN
    network = None
    judged = False
    loads = ()
    packages = ()
    choices = {"noise": ("unit", "matched"), "features": tuple(features.names())}
    bounds = {"r": (1, None), "s": (1, None), "seeds": (0, None)}

    @property
    def measured_on(self) -> str:
        return f"features {self.features}"

    def images(self) -> tuple[None, None]:
        """There are none: their features are on disk."""
        return None, None

    def fingerprint(self) -> str:
        """The sha256 of the features."""
        return str(features.load(self.features).about["sha256"])

    def run(self, begun: Begun) -> None:
        kept = features.load(self.features)
        indices = kept.ranks.select(self.r, self.s).indices
        told = {"model": self.features, "r": self.r, "s": self.s, "n_images": len(kept.test[1])}
        for (seed,) in left([(seed,) for seed in self.seeds], begun.rows, ("seed",)):
            found = influence.essentiality(
                *kept.test, kept.linear, indices, noise=self.noise, stats=kept.stats, seeds=[seed]
            )
            rows = noise_rows(told, self.noise, [seed], found)
            if seed == 0:  # what no seed changes stands once, however the seeds are parted
                with torch.no_grad():
                    small = influence.decompose(kept.linear, indices)(kept.test[0]).argmax(1)
                decomposed = float((small == kept.test[1]).float().mean())
                rows = [_long(told, "original", found.original), _long(told, "decomposed", decomposed), *rows]
            begun.keep(rows)


@dataclass(frozen=True)
class Study:
    """One network of Tables 2 to 6 of arXiv 2112.07719 on ImageNet, streamed. Columns as of ``Noise``, n_images those of the test.

    name: one of ``surveys.IMAGENET``. Measures: full, decomposed, ratio, decomposed_weights, decomposed_signed, agreement; with
    noise_seeds also those of Table 8, which keep the pooled test features in memory (50,000 x d in single precision).
    """

    source: str
    name: str
    images_of: str = "imagenet"
    pretrained: bool = True
    r: int = 50
    s: int = 50
    signed: bool = True
    batch_size: int = 64
    noise_seeds: tuple[int, ...] = ()
    network = None
    judged = False
    loads = ()
    packages = ("torchvision",)
    choices = {"name": tuple(surveys.IMAGENET)}
    bounds = {"r": (1, None), "s": (1, None), "batch_size": (1, None), "noise_seeds": (0, None)}

    @property
    def measured_on(self) -> str:
        return self.images_of

    def images(self) -> tuple[None, None]:
        """There are none in hand: they are read from disk batch by batch."""
        return None, None

    def fingerprint(self) -> str:
        """Nothing but names: the pass itself compares network and images with those of its checkpoint."""
        return f"{surveys.WEIGHTS} of {surveys.IMAGENET[self.name]}"

    def run(self, begun: Begun) -> None:
        if begun.rows:
            return
        found = surveys.imagenet(
            [self.name], r=self.r, s=self.s, signed=self.signed, images=self.images_of, pretrained=self.pretrained,
            batch_size=self.batch_size, device=begun.device or "cpu", checkpoints=begun.far,
        )[self.name]  # fmt: skip
        told = {"model": self.name, "r": self.r, "s": self.s, "n_images": found.n_test}
        names = ("full", "decomposed", "decomposed_weights", "decomposed_signed", "agreement")
        values = {name: getattr(found, name) for name in names} | {"ratio": found.eta, "d": float(found.d)}
        rows = [_long(told, name, float(value)) for name, value in values.items() if value is not None]
        if self.noise_seeds:
            its = surveys.prepare(self.name, images=self.images_of, pretrained=self.pretrained, device=begun.device or "cpu")
            x, y = network.pooled(its.model, its.test.batches(self.batch_size), normalization=its.normalization)
            head = network.classifier(its.model, example=its.normalization.apply(its.test[:1].images).to(begun.device or "cpu")).cpu()
            missed = influence.essentiality(x, y, head, found.influential.indices.cpu(), seeds=self.noise_seeds)
            rows += [_long(told, "original", missed.original), *noise_rows(told, "unit", self.noise_seeds, missed)]
        begun.keep(rows)


@dataclass(frozen=True)
class Storage:
    """Section 4.2 of PMLR 197:111-121: what a network of torchvision takes to store. Columns: model, fraction, measure, value; measures: full
    and archetypes (MiB of parameters at 4 bytes), saved (share)."""

    source: str
    name: str
    fraction: float = 0.25
    network = None
    judged = False
    loads = ()
    packages = ("torchvision",)
    choices = {"name": ("resnet50", "vgg16")}
    bounds = {"fraction": (0, 1)}

    def images(self) -> tuple[None, None]:
        """There are none: shapes are all it takes."""
        return None, None

    def fingerprint(self) -> str:
        """Shapes are no weights."""
        return f"shapes of torchvision's {self.name}"

    def run(self, begun: Begun) -> None:
        if begun.rows:
            return
        from torchvision import models as zoo

        with torch.device("meta"):
            found = simplex.storage(zoo.get_model(self.name, weights=None), fraction=self.fraction)
        values = {"full": found.full_mebibytes, "archetypes": found.mebibytes, "saved": found.saved}
        begun.keep([{"model": self.name, "fraction": self.fraction, "measure": name, "value": value} for name, value in values.items()])


def noise_rows(told: Row, noise: str, seeds: Iterable[int], found: influence.Essentiality) -> list[Row]:
    """A row for what is replaced and each seed."""
    return [
        _long(told, name, float(value), noise=noise, seed=seed)
        for which, name in OF_NOISE.items() for seed, value in zip(seeds, getattr(found, which).tolist(), strict=True)
    ]  # fmt: skip


def _long(told: Row, measure: str, value: float, *, noise: str = "none", seed: int = 0) -> Row:
    return {**told, "measure": measure, "noise": noise, "seed": seed, "value": value}
