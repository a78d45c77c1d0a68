"""The long experiments by name, on disk: their rows, how they were made, and the way to make them again.

``filterlens experiment NAME`` fills ``data/experiments/NAME.csv`` with the story beside it; a notebook reads the rows with ``load``.
``removal`` (the simplex lens), ``isolation``, ``adversarial`` (of the gates lens), ``truth`` (planted worlds, for all) and ``agreement`` (of
all lenses) say what each kind does, ``checkpoints`` writes the story and compares the hash. Settings stand here, like ``recipes``.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from filterlens import checks, data, gated, training
from filterlens.lenses import methods
from filterlens.models import CheckpointError, checkpoints
from filterlens.sources import cache, project_home
from filterlens.training import snapshots

from . import measuring
from .adversarial import BLACK_BOX, Adversarial
from .agreement import MEASURED, STUDIES, AgreementStudy
from .isolation import BETA, BLOCKS, SQUEEZENET, STEP, VGG16, Ablation, Comparison, Descent, Grid, Paths
from .removal import Removal, Retraining, Starts
from .tables import Errors, Noise, Storage, Study
from .trainings import Training
from .truth import Truth

FRACTIONS = (
    "rate",
    "accuracy",
    *methods.MEASURES,
    "loss",
    "alike",
    "beta",
    "input_scale",
    "auc",
    "linf",
    "l2",
    "difficulty",
    "mean",
    "std",
    "value",
    "fraction",
    *MEASURED,
)  # columns of numbers that are not whole


class ExperimentError(CheckpointError):
    """Rows that are missing, damaged or not the ones they claim to be."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """``rows``: one network, evaluated once, in each, accuracies as shares of ``n_images`` test images; of the isolation lens one kernel
    and image in each, of the ground truth one method, world and difficulty, of the agreement one filter. ``about``: command, network, weights, data, settings, baseline
    (the accuracy of the whole network on those images; None of one without classes), versions, date, sha256; of an experiment without a
    network nothing about it and its images. ``path``: of the .csv."""

    name: str
    rows: pd.DataFrame
    about: dict
    path: Path | None


_PAPER = "Thakur, Abrol & Sharma, PMLR 197:111-121"
_ISOLATION = "of arXiv 2108.11054, on a network and images that it has not"
_LITE0 = ("efficientnet-lite0", True, "imagenet-20")
_GATES = "of arXiv 2007.08194, whose training is longer and whose detector is not known"
EXPERIMENTS: dict[
    str, Removal | Retraining | Starts | Comparison | Ablation | Grid | Paths | Descent | Adversarial | Truth | AgreementStudy
] = {
    "removal-lenet": Removal(f"Table 1 of {_PAPER}", "lenet", True, "mnist"),
    "removal-resnet20": Removal(f"Table 1 of {_PAPER}, on a network that it has not", "resnet20", True, "cifar10", n=2000),
    "removal-resnet20-public": Removal(f"Table 1 of {_PAPER}, on a network that it has not", "resnet20", "public", "cifar10", n=2000),
    "removal-resnet56-public": Removal(f"Table 1 of {_PAPER}, on a network that it has not", "resnet56", "public", "cifar10", n=1000),
    "retraining-lenet": Retraining(f"Table 3 of {_PAPER}, on a network and data that it has not", "lenet", True, "mnist"),
    "starts-lenet": Starts(f"Table 2 of {_PAPER}, on a network that it has not; source and target are the same", "lenet", True, "mnist"),
    "isolation-lite0": Comparison(f"Table 1 {_ISOLATION}", *_LITE0),
    "isolation-ablation-lite0": Ablation(f"Table 2 {_ISOLATION}", *_LITE0),
    "isolation-grid-lite0": Grid(f"the weights {_ISOLATION}", *_LITE0),
    "isolation-paths-lite0": Paths(f"the freedom of the answer {_ISOLATION}", *_LITE0),
    "isolation-descent-lite0": Descent(f"section 4.1's ten thousand iterations {_ISOLATION}", *_LITE0),
    "isolation-squeezenet": Comparison(f"Table 1 {_ISOLATION}", "torchvision/squeezenet1_1", "public", "imagenet-20", SQUEEZENET),
    "isolation-vgg16": Comparison(
        "Table 1 of arXiv 2108.11054, on images drawn from all classes", "torchvision/vgg16", True, "imagenet", VGG16, n=180, size=224, spread=True
    ),
    # Oxford's networks read raw pixels, whose standard deviation is 58 where others have 1
    "isolation-vgg16-blocks": Comparison(
        "Table 1 of arXiv 2108.11054, Blocks 1 and 2 of its network",
        "vgg16-blocks",
        "public",
        "imagenet-20",
        BLOCKS,
        n=5,
        judged=False,
        beta=BETA / 58,
        lr=STEP * 58,
    ),
    **{f"adversarial-resnet20-{kind}": Adversarial(f"appendix I {_GATES}", f"resnet20-{kind}", "cifar10") for kind in gated.KINDS},
    **{  # seconds per image: no detector, which would need thousands
        f"carlini-wagner-resnet20-{kind}": Adversarial(f"appendix I {_GATES}", f"resnet20-{kind}", "cifar10", per_class=(), attacks=("cw",))
        for kind in gated.KINDS
    },
    **{
        f"black-box-resnet20-{kind}": Adversarial(f"Table J.1 {_GATES}", f"resnet20-{kind}", "cifar10", per_class=(), attacks=BLACK_BOX)
        for kind in gated.KINDS
    },
    "truth": Truth("planted worlds of our own, whose answers are known"),
    **{f"agreement-{name}": study for name, study in STUDIES.items()},
}


# What an experiment can be: a kind of question, whose settings make one. A sweep's cells are experiments of these kinds.
KINDS: dict[str, type] = {
    "removal": Removal, "retraining": Retraining, "starts": Starts, "storage": Storage,
    "study": Study, "noise": Noise, "errors": Errors,
    "comparison": Comparison, "ablation": Ablation, "grid": Grid, "paths": Paths, "descent": Descent,
    "adversarial": Adversarial, "training": Training, "agreement": AgreementStudy, "truth": Truth,
}  # fmt: skip


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
        there = sorted(path.stem for path in folder().glob("*.csv"))  # tables of sweeps too
        path = folder() / f"{checks.choice('name', str(name), list(dict.fromkeys([*names(), *there])))}.csv"
    if not path.is_file():
        raise ExperimentError(f"name: {path} is missing; make it with: filterlens experiment {path.stem}")
    try:
        about = checkpoints.story(path, "git restore it, or make it again with the command in the .json beside it")
        exact = dict.fromkeys(FRACTIONS, lambda text: float(text or "nan"))  # pandas' own reading may miss the last bit
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
    target, far = table_path(name, out), _far(name, checkpoint)
    given = measuring.ready(settings)
    if target is not None:
        snapshots.check_writable(target, "out")
    rows = measuring.measure(settings, far, given)
    judged = getattr(settings, "judged", True)
    baseline = training.evaluate(given.model, given.test, normalization=given.normalization)[1] if judged else None
    about = _about(name, settings, out, given.train, given.test, baseline)
    made = Experiment(name, pd.DataFrame(rows), about, None)
    if target is None:
        return made
    keep(made.rows, target, about)
    if checkpoint is True:
        shutil.rmtree(far, ignore_errors=True)  # the finished rows stand elsewhere now
    return load(target)


def keep(rows: pd.DataFrame, target: Path, about: dict) -> Path:
    """Write rows and their story, which appear whole or not at all; numbers are written so that they are read back to the last bit."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".csv.part")
    rows.to_csv(part, index=False)
    return checkpoints.keep(part, target, about)


def _about(name: str, settings: Any, out: Any, train: data.Images | None, test: data.Images | None, baseline: float | None) -> dict:
    """The story of the rows; versions, date and sha256 are added where it is written."""
    versions = package_versions(settings.packages)
    told = {
        "command": f"filterlens experiment {name}" + (f" --out {Path(out).name}" if isinstance(out, str | Path) else ""),
        "source": settings.source,
    }
    chosen = {key: value for key, value in asdict(settings).items() if key not in ("source", "network", "pretrained", "data")}
    chosen = {key: value for key, value in chosen.items() if not (key.startswith("trained") and value is None)}
    if settings.network is None:
        return {**told, "settings": chosen, "baseline": None, "versions": versions}
    seen = (f"{len(train)} training and " if train else "") + f"{len(test)} test images"
    return {
        **told,
        "network": settings.network,
        "weights": measuring.told(settings),
        "data": f"{test.name}: {seen}" + (f" ({test.note})" if test.note else ""),
        "n": len(test),
        "settings": chosen,
        "baseline": baseline,
        "versions": versions,
    }


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def table_path(name: str, out: str | Path | bool | None) -> Path | None:
    """Where rows go: True stands for data/experiments/NAME.csv. Raises TypeError or ValueError naming ``out``."""
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
