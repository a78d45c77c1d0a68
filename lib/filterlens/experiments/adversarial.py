"""The experiment of appendices I and J of arXiv 2007.08194 on one network: attacks, and detectors of what they leave in the features.

``lenses.adversarial`` attacks and detects, ``network.pooled`` gives the features. A run goes on from the groups of images that it has:
their features, clean and adversarial, lie in the folder of what is half done until a detector has seen them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from filterlens import data, network
from filterlens.lenses import adversarial
from filterlens.training import snapshots

from .begun import Begun, Row, check_trained, with_seed

WHOLE = ("fgsm", "pgd")  # quick enough for every image that a detector is trained with
BLACK_BOX = ("one_pixel", "local_search")
# The rest takes seconds to minutes per image: a shorter search for Carlini and Wagner's c, fewer rounds and candidates of the local search.
SHORTER = {"cw": {"search_steps": 3, "initial_c": 1.0}, "local_search": {"R": 40, "candidates": 100}}


@dataclass(frozen=True)
class Adversarial:
    """The detection of appendix I, or Table J.1, whose attacks see class probabilities only (``BLACK_BOX``, no detector). Columns: model, attack, targeted, detector, per_class, n, n_fooled, n_reached, rate, linf, l2, accuracy, auc.

    A row without a detector tells how many of the n images predicted right (of the test set, ``n_test`` per class) an attack turned, and the
    medians of its distortions; one with a detector its accuracy and ROC-AUC on those test images and their adversarial twins, trained with
    ``per_class`` images of each class and theirs; images that an attack left as they were are no adversarial ones. Detectors see the
    targeted samples of FGSM and PGD, which the appendix words in detail. The slow attacks take ``n_slow`` images per class, and no
    detector.
    """

    source: str
    network: str
    data: str
    per_class: tuple[int, ...] = (500, 1000, 2000)
    n_test: int = 100
    n_slow: int = 5
    options: dict[str, dict] = field(default_factory=lambda: dict(SHORTER))
    attacks: tuple[str, ...] = ("fgsm", "pgd")
    seed: int = 0
    group: int = 500
    trained: int | None = None  # the seed of a network trained for the purpose, instead of the shipped one
    trained_epochs: int | None = None  # its epochs, if not the recipe's
    pretrained = True
    packages = ("adversarial-robustness-toolbox", "scikit-learn", "torchvision")
    loads = ("network", "trained", "trained_epochs", "data", "per_class", "n_test")
    choices = {"attacks": adversarial.METHODS}
    bounds = {"per_class": (1, None), "n_test": (1, None), "n_slow": (1, None), "seed": (0, None), "group": (1, None), "trained": (0, None)}

    def __post_init__(self) -> None:
        check_trained(self)

    def images(self) -> tuple[data.Images | None, data.Images]:
        train, test = data.train_and_test(self.data)
        return _first(train, max(self.per_class)) if self.per_class else None, _first(test, self.n_test)

    def run(self, begun: Begun) -> None:
        begun.model.to(memory_format=torch.channels_last)  # a fifth quicker on a processor
        done = {(row["attack"], row["targeted"]) for row in begun.rows}
        for name in self.attacks:
            for targeted in (True, False) if name in WHOLE else (False,):
                if (name, targeted) not in done:
                    begun.keep(self._rows(begun, name, targeted))

    def _rows(self, begun: Begun, name: str, targeted: bool) -> list[Row]:
        slow = name not in WHOLE
        test = _first(begun.test, self.n_slow) if slow else begun.test
        found = self._attacked(begun, name, targeted, test, "test")
        right, turned = int(found["right"].sum()), int(found["turned"].sum())
        fixed = {"model": self.network, **with_seed(self), "attack": name, "targeted": targeted}
        moved, reached = found["turned"].bool(), int(found["reached"].sum())
        rows: list[Row] = [
            {**fixed, "detector": "", "per_class": 0, "n": right, "n_fooled": turned, "n_reached": reached if targeted else 0, "rate": turned / max(right, 1),
             **{key: float(found[key][moved].median()) if turned else float("nan") for key in ("linf", "l2")},
             "accuracy": float("nan"), "auc": float("nan")}
        ]  # fmt: skip
        for per_class in self.per_class if targeted else ():
            train = _first(begun.train, per_class)
            seen = self._attacked(begun, name, targeted, train, "train")
            for detector in adversarial.DETECTORS:
                told = adversarial.detect(seen["clean"], _changed(seen), found["clean"], _changed(found), detector=detector, seed=self.seed)
                nothing = dict.fromkeys(("rate", "linf", "l2"), float("nan"))
                counted = {"detector": detector, "per_class": per_class, "n": told.n_test, "n_fooled": 0, "n_reached": 0}
                rows.append({**fixed, **counted, **nothing, "accuracy": told.accuracy, "auc": told.auc})
        return rows

    def _attacked(self, begun: Begun, name: str, targeted: bool, images: data.Images, split: str) -> dict[str, Tensor]:
        """Features (n, K) of the images as they are and attacked, and what the attack did to each; group by group, kept as they are made.

        The images of fewer per class stand first among those of more, so their groups are the same.
        """
        parts = []
        for at in range(0, len(images), self.group):
            some = images[at : at + self.group]
            file = begun.far and Path(begun.far) / f"{name}-{'targeted' if targeted else 'any'}-{split}-{at}-{len(some)}.run"
            if file is not None and file.is_file():
                parts.append(snapshots.read(file))
                continue
            settings = self.options.get(name, {})
            result = adversarial.attack(
                begun.model, placed(begun, some.images), some.labels, method=name, normalization=begun.normalization, targeted=targeted,
                seed=self.seed + at, batch=250, progress=True, **settings,
            )  # fmt: skip
            parts.append(
                {
                    "clean": self._pooled(begun, some.images),
                    "adversarial": self._pooled(begun, result.images),
                    "right": result.attacked.cpu(),
                    "turned": result.fooled.cpu(),
                    "reached": (result.fooled if result.reached is None else result.reached).cpu(),
                    "linf": result.distortion_linf.cpu(),
                    "l2": result.distortion_l2.cpu(),
                }
            )
            if file is not None:
                snapshots.write(file, parts[-1])
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def _pooled(self, begun: Begun, images: Tensor) -> Tensor:
        batches = [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(250)]
        return network.pooled(begun.model, batches, normalization=begun.normalization)[0]


def placed(begun: Begun, images: Tensor) -> Tensor:
    """The images (n, c, h, w) where the network is."""
    return images if begun.device is None else images.to(begun.device)


def _changed(found: dict[str, Tensor]) -> Tensor:
    """Adversarial features of the images that the attack changed at all; all of them where it changed none."""
    moved = found["linf"] > 0
    return found["adversarial"][moved] if moved.any() else found["adversarial"]


def _first(images: data.Images, per_class: int) -> data.Images:
    """The first so many images of each class, class after class in turns: those of fewer per class stand before the others."""
    rank = torch.empty(len(images), dtype=torch.int64)
    for c in images.labels.unique():
        at = (images.labels == c).nonzero()[:, 0]
        rank[at] = torch.arange(len(at))
    chosen = (rank < per_class).nonzero()[:, 0]
    order: Sequence[int] = chosen[torch.argsort(rank[chosen] * 1000 + images.labels[chosen], stable=True)].tolist()
    return images[order]
