"""Decomposed networks on disk: the weights that a retraining of only s features per class ends in, and which features those are.

A checkpoint of such a network is the state dict of its module, indices included, beside its story, like every other one.
``models`` gives the network it was made from, ``lenses.influence`` takes its final layer apart; ``recipes`` retrains and ships.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from filterlens import checks, models, network
from filterlens.lenses.influence import DecomposedLinear, decompose_model
from filterlens.models import CheckpointError, Normalization, checkpoints

SUFFIX = "-decomposed"
NETWORKS = tuple(models.PUBLIC_RESNETS)  # those with a recipe; data/checkpoints holds the ones that were retrained


def names() -> list[str]:
    """Every name ``load`` knows: the network's own, ``-decomposed``."""
    return [name + SUFFIX for name in NETWORKS]


def whole(name: str) -> str:
    """The network that a decomposed one was made from: ``resnet20`` of ``resnet20-decomposed``."""
    return checks.choice("name", name, names()).removesuffix(SUFFIX)


def load(name: str, *, pretrained: bool | str | Path = True) -> nn.Module:
    """A network whose final layer keeps only its own features for each class, retrained so, in eval mode.

    pretrained: True for the weights in data/checkpoints, or the path of a checkpoint that ``recipes.train`` wrote.

    Raises TypeError or ValueError for a bad argument, CheckpointError for missing, damaged or other weights.
    """
    base, path = whole(name), _path(name, pretrained)
    stored = {key: value for key, value in checkpoints.read(path)[0].items() if not key.startswith("normalization.")}
    plain = models.load(base, pretrained=False)
    head = _dotted(plain, network.classifier(plain))
    if f"{head}.indices" not in stored:
        raise CheckpointError(f"pretrained: {path} holds no {head}.indices, so it is no decomposed network; models.load reads the others")
    try:
        model = decompose_model(plain, stored[f"{head}.indices"])
        model.load_state_dict(stored)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"pretrained: the weights of {path} are not those of {name!r}: {error}") from error
    return model.eval()


def normalization(name: str, *, pretrained: bool | str | Path = True) -> Normalization:
    """How this network's input is made from images in [0, 1]; arguments and errors as ``load``."""
    return models.normalization(whole(name), pretrained=_path(name, pretrained))


def dense(model: nn.Module) -> nn.Module:
    """The same function with every decomposed layer as an ordinary linear one, zero at what it leaves out; changes ``model``."""
    for name, module in list(checks.module("model", model).named_modules()):
        if isinstance(module, DecomposedLinear):
            model.set_submodule(name, module.dense())
    return model.eval()


def _dotted(model: nn.Module, wanted: nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is wanted)


def _shipped() -> list[str]:
    return [stem for stem in checkpoints.shipped() if stem.endswith(SUFFIX)]


def _path(name: str, pretrained: bool | str | Path) -> Path:
    if pretrained is False or not isinstance(pretrained, bool | str | Path):
        raise TypeError(f"pretrained: got {checks.describe(pretrained)}, expected True or the path of a .safetensors checkpoint")
    if pretrained == "public":
        exists = f"expected True (of {_shipped()}) or the path of a checkpoint that recipes.train wrote"
        raise ValueError(f"pretrained: got 'public', but nobody published decomposed networks, {exists}")
    if pretrained is not True:
        return Path(pretrained).expanduser()
    path = checkpoints.folder() / f"{name}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"pretrained: no weights ship for {name!r} ({path.name} is not in data/checkpoints). There are "
            f"{_shipped()}. Retrain it with: filterlens train {name}"
        )
    return path
