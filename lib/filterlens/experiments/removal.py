"""The experiments of the simplex lens (Thakur, Abrol and Sharma, PMLR 197:111-121): their settings, and their rows in order.

``lenses.redundancy`` does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from filterlens import data
from filterlens.lenses import ranking, redundancy

from .begun import Begun, Row, check_trained, left, with_seed

TEN, THREE = tuple(range(10)), tuple(range(3))


@dataclass(frozen=True)
class Removal:
    """Table 1: accuracy after removing a share of every layer. Columns: model, which, rate, seed, n_images, accuracy, n_removed."""

    source: str
    network: str
    pretrained: bool | str
    data: str
    n: int | None = None  # test images, class-balanced; None: all
    sets: tuple[str, ...] = redundancy.SETS
    rates: tuple[float, ...] = redundancy.RATES
    seeds: tuple[int, ...] = TEN
    fraction: float = 0.25
    trained: int | None = None  # the seed of a network that was trained for the purpose, instead of ``pretrained``
    trained_epochs: int | None = None  # its epochs, if not the recipe's
    packages = ("torch-pruning",)
    loads = ("network", "pretrained", "trained", "trained_epochs", "data", "n")
    choices = {"sets": redundancy.SETS}
    bounds = {"n": (1, None), "rates": (0, 1), "seeds": (0, None), "fraction": (0, 1), "trained": (0, None), "trained_epochs": (1, None)}

    def __post_init__(self) -> None:
        check_trained(self)

    def images(self) -> tuple[None, data.Images]:
        return None, data.load(self.data, n=self.n)

    def run(self, begun: Begun) -> None:
        fixed = {"model": self.network, **with_seed(self), "n_images": len(begun.test)}
        redundancy.removal_curve(
            begun.model,
            begun.test,
            sets=self.sets,
            rates=self.rates,
            seeds=self.seeds,
            fraction=self.fraction,
            normalization=begun.normalization,
            on_row=lambda row: begun.keep([{**fixed, **row._asdict()}]),
            done=[redundancy.RemovalRow(*(row[name] for name in redundancy.RemovalRow._fields)) for row in begun.rows],
        )


@dataclass(frozen=True)
class Retraining:
    """Table 3: prune, then train. Columns: model, method, rate, seed, epoch, n_images, accuracy, n_removed; epoch 0 is before training.

    ``longer``: (method, rate, seed, epochs) of the runs that go on; their first epochs are those of the others.
    """

    source: str
    network: str
    pretrained: bool | str
    data: str
    methods: tuple[str, ...] = ("positional", "l1", "fpgm", "l2", "random")
    rates: tuple[float, ...] = (0.5, 0.75)
    seeds: tuple[int, ...] = THREE
    epochs: int = 5
    longer: tuple[tuple[str, float, int, int], ...] = (("positional", 0.75, 0, 50), ("fpgm", 0.75, 0, 50))
    n: int | None = None  # training images, class-balanced; None: all
    trained: int | None = None
    trained_epochs: int | None = None
    packages = ("torch-pruning",)
    loads = ("network", "pretrained", "trained", "trained_epochs", "data", "n")
    choices = {"methods": ranking.METHODS}
    bounds = {"n": (1, None), "rates": (0, 1), "seeds": (0, None), "epochs": (1, None), "trained": (0, None), "trained_epochs": (1, None)}

    def __post_init__(self) -> None:
        check_trained(self)

    def images(self) -> tuple[data.Images, data.Images]:
        return data.train_and_test(self.data, n=self.n)

    def run(self, begun: Begun) -> None:
        longer = {cell[:3]: cell[3] for cell in self.longer}
        cells = [(method, rate, seed) for seed in self.seeds for rate in self.rates for method in self.methods]
        for cell in left(cells, begun.rows, ("method", "rate", "seed")):
            told = dict(zip(("method", "rate", "seed"), cell, strict=True))
            work = partial(redundancy.prune_and_retrain, **told, epochs=longer.get(cell, self.epochs))
            _train(begun, {"model": self.network, **with_seed(self), **told}, work, counted=True)


@dataclass(frozen=True)
class Starts:
    """Table 2: train from three kinds of weights. Columns: model, start, seed, epoch, n_images, accuracy; epoch 0 is before training.

    ``starts``: name, start and concentration of the mixtures. Source and target are the same data here: the paper's are not.
    """

    source: str
    network: str
    pretrained: bool | str
    data: str
    starts: tuple[tuple[str, str, float | str], ...] = (
        ("random", "random", 1.0),
        ("trained", "trained", 1.0),
        ("fabricated", "fabricated", 1.0),
        ("fabricated-sparse", "fabricated", "sparse"),
    )
    seeds: tuple[int, ...] = THREE
    epochs: int = 3
    n: int | None = None  # training images, class-balanced; None: all
    size: int | None = None  # of the images in pixels; None: their own
    trained: int | None = None
    packages = ("torch-pruning",)
    loads = ("network", "pretrained", "trained", "data", "n", "size")
    choices = {}
    bounds = {"n": (1, None), "size": (1, None), "seeds": (0, None), "epochs": (1, None), "trained": (0, None)}

    def images(self) -> tuple[data.Images, data.Images]:
        if self.size is None:
            return data.train_and_test(self.data, n=self.n)
        return data.load(self.data, "train", n=self.n, size=self.size), data.load(self.data, size=self.size)

    def run(self, begun: Begun) -> None:
        how = {name: {"start": start, "concentration": concentration} for name, start, concentration in self.starts}
        for name, seed in left([(name, seed) for seed in self.seeds for name in how], begun.rows, ("start", "seed")):
            work = partial(redundancy.start_and_train, **how[name], seed=seed, epochs=self.epochs)
            _train(begun, {"model": self.network, **with_seed(self), "start": name, "seed": seed}, work)


def _train(begun: Begun, told: Row, work: Callable[..., redundancy.Retrained], *, counted: bool = False) -> None:
    """One training, which goes on from its own checkpoint; its rows are those before training and after every epoch."""
    half = begun.far and begun.far / f"{'-'.join(str(value) for value in told.values())}.run"
    each = {"normalization": begun.normalization, "checkpoint": half, "checkpoint_every": 100 if half else None}
    done = work(begun.model, begun.train, begun.test, **each)
    measured = enumerate((done.start, *done.accuracy))
    more = {"n_removed": done.n_removed} if counted else {}
    begun.keep([{**told, "epoch": epoch, "n_images": len(begun.test), "accuracy": value, **more} for epoch, value in measured])
    if half is not None:
        half.unlink(missing_ok=True)
