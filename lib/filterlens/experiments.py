"""The long experiments of the simplex lens by name, on disk: their rows, how they were made, and the way to make them again.

``filterlens experiment NAME`` fills ``data/experiments/NAME.csv`` with the story beside it; a notebook reads the rows with ``load``.
``lenses.redundancy`` does the work, ``checkpoints`` writes the story and compares the hash. Settings stand here, like ``recipes``.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from filterlens import checks, data, models, training
from filterlens.lenses import redundancy
from filterlens.models import CheckpointError, Normalization, checkpoints
from filterlens.sources import cache, project_home
from filterlens.training import batching, snapshots
from filterlens.training.identity import digest

Row = dict[str, Any]
TEN, THREE = tuple(range(10)), tuple(range(3))


class ExperimentError(CheckpointError):
    """Rows that are missing, damaged or not the ones they claim to be."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """``rows``: one network, evaluated once, in each; accuracies are shares of ``n_images`` test images. ``about``: command, network,
    weights, data, settings, baseline (the accuracy of the whole network), versions, date, sha256. ``path``: of the .csv."""

    name: str
    rows: pd.DataFrame
    about: dict
    path: Path | None


@dataclass(frozen=True)
class Begun:
    """What an experiment has in hand: a network, images, the rows so far, a way to keep more, and a folder for what is half done."""

    model: nn.Module
    normalization: Normalization
    train: data.Images | None
    test: data.Images
    rows: list[Row]
    keep: Callable[[list[Row]], None]
    far: Path | None


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
    trains = False

    def run(self, begun: Begun) -> None:
        fixed = {"model": self.network, "n_images": len(begun.test)}
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
    trains = True

    def run(self, begun: Begun) -> None:
        longer = {cell[:3]: cell[3] for cell in self.longer}
        cells = [(method, rate, seed) for seed in self.seeds for rate in self.rates for method in self.methods]
        for cell in _open(cells, begun.rows, ("method", "rate", "seed")):
            told = dict(zip(("method", "rate", "seed"), cell, strict=True))
            work = partial(redundancy.prune_and_retrain, **told, epochs=longer.get(cell, self.epochs))
            _train(begun, {"model": self.network, **told}, work, counted=True)


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
    trains = True

    def run(self, begun: Begun) -> None:
        how = {name: {"start": start, "concentration": concentration} for name, start, concentration in self.starts}
        for name, seed in _open([(name, seed) for seed in self.seeds for name in how], begun.rows, ("start", "seed")):
            work = partial(redundancy.start_and_train, **how[name], seed=seed, epochs=self.epochs)
            _train(begun, {"model": self.network, "start": name, "seed": seed}, work)


_PAPER = "Thakur, Abrol & Sharma, PMLR 197:111-121"
EXPERIMENTS: dict[str, Removal | Retraining | Starts] = {
    "removal-lenet": Removal(f"Table 1 of {_PAPER}", "lenet", True, "mnist"),
    "removal-resnet20": Removal(f"Table 1 of {_PAPER}, on a network that it has not", "resnet20", True, "cifar10", n=2000),
    "removal-resnet20-public": Removal(f"Table 1 of {_PAPER}, on a network that it has not", "resnet20", "public", "cifar10", n=2000),
    "removal-resnet56-public": Removal(f"Table 1 of {_PAPER}, on a network that it has not", "resnet56", "public", "cifar10", n=1000),
    "retraining-lenet": Retraining(f"Table 3 of {_PAPER}, on a network and data that it has not", "lenet", True, "mnist"),
    "starts-lenet": Starts(f"Table 2 of {_PAPER}, on a network that it has not; source and target are the same", "lenet", True, "mnist"),
}


def folder() -> Path:
    """Where the rows live: ``data/experiments`` of the project."""
    return project_home() / "data" / "experiments"


def names() -> list[str]:
    """Every name that ``make`` knows."""
    return list(EXPERIMENTS)


def load(name: str | Path) -> Experiment:
    """An experiment by name, or by the path of a .csv that ``make`` wrote; the hash is compared.

    Raises TypeError for something else than a name, ValueError for an unknown one, ExperimentError for rows that were not made
    yet or are damaged.
    """
    if not isinstance(name, str | Path) or not str(name):
        raise TypeError(f"name: got {checks.describe(name)}, expected one of {names()} or the path of a .csv file")
    if str(name).endswith(".csv"):
        path = Path(name).expanduser()
    else:
        path = folder() / f"{checks.choice('name', str(name), names())}.csv"
    if not path.is_file():
        raise ExperimentError(f"name: {path} is missing; make it with: filterlens experiment {path.stem}")
    try:
        about = checkpoints.story(path, "git restore it, or make it again with the command in the .json beside it")
        exact = dict.fromkeys(("rate", "accuracy"), float)  # pandas' own reading may miss the last bit
        return Experiment(path.stem, pd.read_csv(path, converters=exact), about, path)
    except (CheckpointError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ExperimentError(f"name: {error}") from error


def make(name: str, *, out: str | Path | bool | None = True, checkpoint: str | Path | bool | None = None) -> Experiment:
    """Run an experiment as ``EXPERIMENTS`` says and keep its rows, which appear whole or not at all.

    out: the path of a .csv; True for data/experiments/NAME.csv; None writes nothing.
    checkpoint: the folder that a run interrupted at any moment goes on from, row by row (and inside of a training every hundred
        batches); True for one in the user's cache. It must be of the same network, images and settings.

    Uses all the threads that torch may. Raises TypeError or ValueError for a bad argument, ``data.DataError`` and CheckpointError for
    missing images and weights, before anything long begins.
    """
    settings = EXPERIMENTS[checks.choice("name", name, names())]
    target, far = _target(name, out), _far(name, checkpoint)
    model = models.load(settings.network, pretrained=settings.pretrained)
    normalization = models.normalization(settings.network, pretrained=settings.pretrained)
    train, test = data.train_and_test(settings.data, n=settings.n) if settings.trains else (None, data.load(settings.data, n=settings.n))
    identity = {
        **{key: str(value) for key, value in asdict(settings).items() if key != "source"},
        "weights": digest(model.state_dict()),
        **{key: batching.fingerprint(images, normalization.apply) for key, images in (("train", train), ("test", test)) if images},
    }
    if target is not None:
        snapshots.check_writable(target, "out")
    rows, kept = [], far and far / "rows.run"
    if kept is not None:
        snapshots.check_writable(kept)
        if kept.is_file():
            stored = snapshots.read(kept)
            snapshots.same_run(kept, stored.get("identity", {}), identity)
            rows = stored["rows"]

    def keep(more: list[Row]) -> None:
        rows.extend(more)
        if kept is not None:
            snapshots.write(kept, {"identity": identity, "rows": rows})

    settings.run(Begun(model, normalization, train, test, list(rows), keep, far))
    baseline = training.evaluate(model, test, normalization=normalization)[1]
    about = _about(name, settings, out, train, test, baseline)
    made = Experiment(name, pd.DataFrame(rows), about, None)
    if target is None:
        return made
    part = target.with_suffix(".csv.part")
    made.rows.to_csv(part, index=False)
    path = checkpoints.keep(part, target, about)
    if checkpoint is True:
        shutil.rmtree(far, ignore_errors=True)  # the finished rows stand elsewhere now
    return load(path)


def _open(cells: Iterable[tuple], rows: list[Row], columns: tuple[str, ...]) -> list[tuple]:
    """The cells without rows so far; a training gives all of its rows at once."""
    known = {tuple(row[name] for name in columns) for row in rows}
    return [cell for cell in cells if cell not in known]


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


def _about(name: str, settings: Any, out: Any, train: data.Images | None, test: data.Images, baseline: float) -> dict:
    """The story of the rows; versions, date and sha256 are added where it is written."""
    public = settings.pretrained == "public"
    sha256 = models.PUBLIC_RESNETS[settings.network][1] if public else models.about(settings.network)["sha256"]
    seen = (f"{len(train)} training and " if train else "") + f"{len(test)} test images"
    try:
        versions = {"torch-pruning": importlib.metadata.version("torch-pruning")}
    except importlib.metadata.PackageNotFoundError:
        versions = {}
    return {
        "command": f"filterlens experiment {name}" + (f" --out {Path(out).name}" if isinstance(out, str | Path) else ""),
        "source": settings.source,
        "network": settings.network,
        "weights": f"{'public' if public else 'our own'}, sha256 {sha256}",
        "data": f"{test.name}: {seen}" + (f" ({test.note})" if test.note else ""),
        "n": len(test),
        "settings": {key: value for key, value in asdict(settings).items() if key not in ("source", "network", "pretrained", "data")},
        "baseline": baseline,
        "versions": versions,
    }


def _target(name: str, out: str | Path | bool | None) -> Path | None:
    if out is not None and (not isinstance(out, str | Path | bool) or not str(out)):
        raise TypeError(f"out: got {checks.describe(out)}, expected the path of a .csv file, True or None")
    if out is None or out is False:
        return None
    target = folder() / f"{name}.csv" if out is True else Path(out).expanduser()
    if target.suffix != ".csv" or target.is_dir():
        raise ValueError(f"out: got {str(out)!r}, expected the path of a .csv file")
    return target


def _far(name: str, checkpoint: str | Path | bool | None) -> Path | None:
    if checkpoint is not None and (not isinstance(checkpoint, str | Path | bool) or not str(checkpoint)):
        raise TypeError(f"checkpoint: got {checks.describe(checkpoint)}, expected a folder or True")
    if checkpoint is None or checkpoint is False:
        return None
    far = cache() / "experiments" / name if checkpoint is True else Path(checkpoint).expanduser()
    if far.is_file():
        raise ValueError(f"checkpoint: got {str(checkpoint)!r}, which is a file, expected the path of a folder")
    return far
