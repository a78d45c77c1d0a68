"""Gated networks on disk: the weights that a training with class-specific gates ends in, and the gates after every epoch of it.

Such a checkpoint is that of the bare network, which ``models.load("resnet20", pretrained=path)`` reads too, with the gates beside the
weights. Three networks were trained under identical conditions: ``-std`` without gates, ``-csg`` with learned ones, ``-fixed`` with
gates set by hand. ``lenses.gates`` trains, ``recipes`` ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from filterlens import checks, models
from filterlens.lenses.gates import GatedClassifier, GateHistory
from filterlens.models import CheckpointError, Normalization, checkpoints

KINDS = {"std": "trained as usual", "csg": "trained with learned gates", "fixed": "trained with gates set by hand"}
NETWORKS = (*models.PUBLIC_RESNETS, "resnet8")  # those with a recipe; the last on composed pictures
PREFIX = models.GATES


@dataclass(frozen=True, eq=False)
class Gated:
    """A gated network as it was trained, in eval mode.

    gates: (E + 1, C, K), before the training and after each of E epochs; gated: (E,) bool, which epochs were; about: its story.
    """

    name: str
    model: GatedClassifier
    normalization: Normalization
    gates: Tensor
    gated: Tensor
    bounds: tuple[float, float]
    about: dict
    path: Path


def names() -> list[str]:
    """Every name ``load`` knows: the network's own with ``-std``, ``-csg`` or ``-fixed``."""
    return [f"{name}-{kind}" for name in NETWORKS for kind in KINDS]


def shipped() -> list[str]:
    """The names among them whose weights are in data/checkpoints."""
    return [stem for stem in checkpoints.shipped() if stem in names()]


def base(name: str) -> str:
    """The architecture: ``resnet20`` of ``resnet20-csg``."""
    return checks.choice("name", name, names()).rpartition("-")[0]


def load(name: str, *, pretrained: bool | str | Path = True) -> Gated:
    """A gated network by name, with the gates of every epoch of its training.

    pretrained: True for the weights in data/checkpoints, or the path of a checkpoint that ``recipes.train`` wrote.

    Raises TypeError or ValueError for a bad argument, CheckpointError for missing, damaged or other weights.
    """
    network, path = base(name), _path(name, pretrained)
    tensors, about = checkpoints.read(path)
    missing = [key for key in ("epochs", "gated", "bounds") if PREFIX + key not in tensors]
    if missing:
        raise CheckpointError(f"pretrained: {path} holds no {PREFIX}{missing[0]}, so it is no gated network; models.load reads the others")
    model, record = models.load(network, pretrained=path), tensors[PREFIX + "epochs"].float()
    gated_epochs = tensors[PREFIX + "gated"].bool()
    kind = "std" if not gated_epochs.any() else "fixed" if bool((record == record[0]).all()) else "csg"
    if kind != name.rpartition("-")[2]:
        raise CheckpointError(f"pretrained: {path} was {KINDS[kind]}, so it is no {name!r}")
    learned = kind != "fixed"
    return Gated(
        name=name,
        model=GatedClassifier(model, record.shape[1], gates=record[-1], learned=learned).eval(),
        normalization=models.normalization(network, pretrained=path),
        gates=record,
        gated=gated_epochs,
        bounds=tuple(tensors[PREFIX + "bounds"].double().tolist()),
        about=about,
        path=path,
    )


def packed(history: GateHistory) -> dict[str, Tensor]:
    """What a checkpoint holds beside the weights."""
    return {
        PREFIX + "epochs": history.gates,
        PREFIX + "gated": history.gated.to(torch.uint8),
        PREFIX + "bounds": torch.tensor(history.bounds, dtype=torch.float64),
    }


def _path(name: str, pretrained: bool | str | Path) -> Path:
    if pretrained is False or pretrained == "public" or not isinstance(pretrained, bool | str | Path):
        raise TypeError(f"pretrained: got {checks.describe(pretrained)}, expected True or the path of a .safetensors checkpoint")
    if pretrained is not True:
        return Path(pretrained).expanduser()
    path = checkpoints.folder() / f"{name}.safetensors"
    if not path.is_file():
        raise CheckpointError(f"pretrained: no weights ship for {name!r}. There are {shipped()}. Train it with: filterlens train {name}")
    return path
