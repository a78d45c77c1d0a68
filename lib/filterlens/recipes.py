"""How our own checkpoints are made: each recipe is a name, a network, its data and the settings it is trained with.

``filterlens train NAME`` runs one and ships the result in ``data/checkpoints``; a notebook runs the same one on less data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from filterlens import checks, data, decomposed, features, gated, metrics, models, network, training
from filterlens.data import train_and_test
from filterlens.lenses.gates import GatedClassifier, GateHistory, fixed_gates, train_gated
from filterlens.lenses.influence import decompose, decompose_model
from filterlens.models import CheckpointError, Normalization
from filterlens.sources import cache
from filterlens.training import arguments, batching


@dataclass(frozen=True, eq=False)
class Trained:
    """A network fresh from its recipe, in eval mode; ``path`` is the checkpoint, if one was asked for.

    ``before`` is only of a decomposed network: the test accuracy before training, of the whole final layer and decomposed.
    ``gates`` is only of a gated one: the gates after every epoch; ``model`` is then the bare network, its STD path.
    """

    model: nn.Module
    history: training.History
    normalization: Normalization
    path: Path | None
    before: tuple[float, float] | None = None
    gates: GateHistory | None = None


@dataclass(frozen=True)
class Recipe:
    """The settings of one network; ``source`` says where they come from.

    ``schedule`` is given the optimizer and the number of batches of the whole run, and is stepped after each batch.
    ``layout`` is how tensors lie in memory: it decides the speed, and the last bits of the weights. With ``sets``, (r, s), a
    trained network is decomposed and trained further, and it keeps its own normalization. With ``gates``, how many of every three
    epochs are gated, two optimizers take turns; ``lam`` weighs the gates' penalty, ``shares``, (own, shared), sets the gates by hand.
    """

    source: str
    data: str
    epochs: int
    batch_size: int
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    normalization: Callable[[data.Images], Normalization]
    schedule: Callable[[torch.optim.Optimizer, int], LRScheduler] | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    layout: torch.memory_format = torch.contiguous_format
    sets: tuple[int, int] | None = None
    gates: int | None = None
    shares: tuple[int, int] | None = None
    lam: float = 1e-3


def raw_minus_mean(train: data.Images) -> Normalization:
    """MatConvNet's: raw 0-255 pixels minus the mean image (c, h, w) of the training set."""
    total = sum(images.double().sum(0) for images, _ in train.batches(1000))
    return Normalization(scale=255.0, mean=(total * 255 / len(train)).float())


def one_cycle(optimizer: torch.optim.Optimizer, n_batches: int) -> LRScheduler:
    """Up to lr 0.2 over the first fifth, down to nearly zero over the rest, both in a straight line."""
    return OneCycleLR(optimizer, 0.2, n_batches, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False)


# As short as one dares: a processor without a graphics card does an epoch of ResNet-20 in two or three minutes. The weight
# decay is that of common CIFAR-10 recipes. Nothing here was tuned.
CIFAR = Recipe(
    source="one cycle (Smith & Topin, arXiv 1708.07120), flips and crops (He et al., arXiv 1512.03385); the papers train 200 epochs",
    data="cifar10",
    epochs=24,
    batch_size=128,
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4),
    normalization=lambda images: models.IMAGENET,  # as the public checkpoints of these networks
    schedule=one_cycle,
    augment=training.flip_and_crop,
    layout=torch.channels_last,  # a fifth faster
)

# The networks of Tables 1 and 3 of PMLR 197:111-121: its settings of training; augmentation and normalization are not stated there.
THAKUR = Recipe(
    source="PMLR 197:111-121 (Adam, lr 1e-4, batches of 64, 50 epochs), with flips and crops, which it does not mention",
    data="cifar10",
    epochs=50,
    batch_size=64,
    optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-4),
    normalization=lambda images: models.IMAGENET,
    augment=training.flip_and_crop,
    layout=torch.channels_last,
)

# With these settings ``lenses.influence.retrain`` ends in the same weights.
DECOMPOSED = Recipe(
    source="arXiv 2112.07719 and its authors' README for ResNet-20: Adam, lr 1e-4, batches of 64, one epoch, r = s = 5",
    data="cifar10",
    epochs=1,
    batch_size=64,
    optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-4),
    normalization=lambda images: models.IMAGENET,
    augment=training.flip_and_crop,
    sets=(5, 5),
)

# The schedule of CIFAR with fewer epochs, and as many for all three. The appendix trains 200, of which the last two are plain (every
# third is gated), and so are the last two of 14: a gated epoch at the end would leave the STD path as the gates bent it. Which g and
# lambda it took for CIFAR-10 is not known: those of the official code for VOC, defaults of train_gated.
GATED = replace(
    CIFAR,
    source="arXiv 2007.08194, appendix (one epoch in three is gated; it trains 200) on the one-cycle schedule of this project's resnet20",
    epochs=14,
)


def _gated_recipe(name: str) -> Recipe:
    """Without gates, with learned ones, or with the appendix's Figure E.1: six filters for each class and four shared."""
    own = {"std": {"gates": 0}, "csg": {"gates": 1}, "fixed": {"gates": 1, "shares": (6, 4)}}
    network, _, kind = name.rpartition("-")
    return replace(COMPOSED if network == "resnet8" else GATED, **own[kind])


# On pictures composed by us, whose object masks are exact: 20 epochs, of which again the last two are plain; digits are not flipped. An
# epoch has a fifth of CIFAR's steps: with lambda = 1e-3 the density ended at 0.32, above its bound of 0.2.
COMPOSED = replace(GATED, data="composed", epochs=20, augment=None, lam=5e-3)

RECIPES = {
    "lenet": Recipe(
        source="MatConvNet's cnn_mnist, as in arXiv 1511.05084",
        data="mnist",
        epochs=20,
        batch_size=100,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4),
        normalization=raw_minus_mean,
    ),
    **{name: CIFAR for name in ("resnet20", "resnet32", "resnet44", "resnet56")},
    **{name: THAKUR for name in ("vgg16-cifar", "resnet50-cifar")},
    **{name: DECOMPOSED for name in decomposed.names()},
    **{name: _gated_recipe(name) for name in gated.names()},
}


def names() -> list[str]:
    """Every name ``train`` knows."""
    return list(RECIPES)


def train(
    name: str,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    data: str | None = None,
    out: str | Path | bool | None = None,
    n: int | None = None,
    checkpoint: str | Path | bool | None = None,
    pretrained: bool | str | Path = True,
    device: str | torch.device | None = None,
) -> Trained:
    """Train a network as its recipe says; what is given replaces the recipe's setting.

    A decomposed network (resnet20-decomposed) begins as the trained one; which features its classes keep is read from the
    features in data/features that were made with the same weights.

    seed: of the first weights and of the training; 0 by default.
    data: name of the images, "train" and "test" are both used; ``n`` takes that many training images, balanced.
    out: where the finished weights go: a name in data/checkpoints, or a path ending in .safetensors; True for a name that says
        what differs from the recipe (lenet, lenet-seed-1), so that no other run takes the recipe's own place. None writes nothing.
    checkpoint: the file to resume from after an interruption; True for one in the user's cache that is named by the settings.
    pretrained: the weights that a decomposed network begins with: True for our own, "public" for the published ones, or a path.
    device: where to train; by default on the CPU.

    Raises TypeError or ValueError for a bad argument, ``data.DataError`` for missing images, ``models.CheckpointError`` for
    missing weights or features.
    """
    recipe = RECIPES[checks.choice("name", name, names())]
    seed = 0 if seed is None else checks.integer("seed", seed, 0)
    epochs = recipe.epochs if epochs is None else checks.integer("epochs", epochs, 1)
    n = None if n is None else checks.integer("n", n, 1)
    if out is not None and (not isinstance(out, str | Path | bool) or not str(out)):
        raise TypeError(f"out: got {checks.describe(out)}, expected a name, a path or True")
    if checkpoint is not None and not isinstance(checkpoint, str | Path | bool):
        raise TypeError(f"checkpoint: got {checks.describe(checkpoint)}, expected a path or True")
    if recipe.sets is None and pretrained is not True:
        raise ValueError(f"pretrained: got {pretrained!r}, expected True: {name} is trained from random weights")
    if not isinstance(pretrained, str | Path) and pretrained is not True:
        raise TypeError(f"pretrained: got {checks.describe(pretrained)}, expected True, 'public' or a path")
    images, tests = train_and_test(recipe.data if data is None else data, n=n)
    before, weights = None, "" if pretrained is True else str(pretrained)
    file = checkpoint or None
    if checkpoint is True:
        told = "-".join([name, *([weights] if weights else []), images.name, *map(str, (len(images), seed, epochs))])
        file = cache() / "training" / f"{re.sub('[:/]', '-', told)}.run"
    if recipe.sets:
        model, normalization, before = _taken_apart(name, pretrained, recipe.sets, tests)
    else:
        model, normalization = _fresh(name, seed), recipe.normalization(images)
    model, record = model.to(arguments.device(model, device), memory_format=recipe.layout), None
    settings = {"seed": seed, "augment": recipe.augment, "batch_size": recipe.batch_size, "normalization": normalization}
    settings |= {"epochs": epochs, "checkpoint": file, "checkpoint_every": 100 if file else None, "device": device}
    if recipe.gates is None:
        optimizer = recipe.optimizer(model)
        n_batches = epochs * len(batching.epoch_sizes(model, len(images), recipe.batch_size))
        schedule = recipe.schedule and recipe.schedule(optimizer, n_batches)
        history = training.fit(model, images, tests, optimizers=optimizer, schedule=schedule, schedule_every="step", **settings)
    else:
        record = train_gated(
            _gated(model, recipe),
            images,
            tests,
            gated=recipe.gates,
            lam=recipe.lam,
            schedule=recipe.schedule,
            optimizers=_in_turns,
            **settings,
        )
        history = record.training
    path, command = None, _command(name, recipe, seed, epochs, images.name, n, weights)
    if out is True:
        out = re.sub(r"[^\w.]+", "-", command.removeprefix("filterlens train "))
    if out:
        about = {
            "command": command,
            "recipe": recipe.source,
            "seed": seed,
            "epochs": epochs,
            "data": f"{images.name}: {len(images)} training and {len(tests)} test images" + (f" ({images.note})" if images.note else ""),
            "accuracy": history.test_accuracy[-1],
            "test_loss": history.test_loss[-1],
            "threads": torch.get_num_threads(),
        }
        if before:
            about |= dict(zip(("r", "s"), recipe.sets, strict=True))
            about |= {"accuracy_whole_layer": before[0], "accuracy_before_training": before[1]}
        if record:
            about |= {"density": float(record.density[-1]), "gated_epochs": int(record.gated.sum())}
            about |= {"accuracy_by_epoch": list(history.test_accuracy)}
        beside = gated.packed(record) if record else None
        path = models.save_checkpoint(out, model, normalization=normalization, about=about, gates=beside)
    if checkpoint is True and out:
        file.unlink(missing_ok=True)  # the finished weights stand elsewhere now
    return Trained(model, history, normalization, path, before, record)


def trained_path(name: str, seed: int, epochs: int | None = None) -> Path:
    """Where the weights of a network that was trained for an experiment lie: in the user's cache, by its seed (and epochs, if not the
    recipe's)."""
    return cache() / "networks" / (f"{name}-seed-{seed}" + ("" if epochs is None else f"-epochs-{epochs}") + ".safetensors")


def trained(name: str, seed: int, epochs: int | None = None) -> Path:
    """The path of those weights; CheckpointError that says how to train them if they are not there."""
    path = trained_path(name, seed, epochs)
    if not path.is_file():
        longer = "" if epochs is None else f" --epochs {epochs}"
        command = f"filterlens train {name} --seed {seed}{longer} --out {path}"
        whole = "or all of an experiment's: filterlens sweep 000-networks, 000-networks-lenet, 000-networks-small, 004-networks"
        raise CheckpointError(f"trained: {path.name} is not in {path.parent}; make it with: {command} ({whole})")
    return path


def _fresh(name: str, seed: int) -> nn.Module:
    """A network with random weights that the seed alone decides."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return models.load(gated.base(name) if name in gated.names() else name, pretrained=False)


def _gated(model: nn.Module, recipe: Recipe) -> GatedClassifier:
    """The network with its gates: open ones to be learned, or those set by hand."""
    n_classes = network.classifier(model).out_features
    gates = None if recipe.shares is None else fixed_gates(n_classes, *recipe.shares)
    return GatedClassifier(model, n_classes, gates=gates, learned=gates is None)


def _in_turns(model: GatedClassifier) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """The optimizer of CIFAR twice, for plain and for gated steps; gates do not decay."""
    plain, gates = CIFAR.optimizer(model.model), CIFAR.optimizer(model.model)
    if model.learned:
        gates.add_param_group({"params": [model.gates], "weight_decay": 0.0})
    return plain, gates


def _taken_apart(
    name: str, pretrained: bool | str | Path, sets: tuple[int, int], tests: data.Images
) -> tuple[nn.Module, Normalization, tuple[float, float]]:
    """A trained network with its final layer decomposed, and its accuracy before and after that."""
    base, (r, s) = decomposed.whole(name), sets
    kept = features.load(features.default_name(base, pretrained))
    model, normalization = models.load(base, pretrained=pretrained), models.normalization(base, pretrained=pretrained)
    head, indices = network.classifier(model), kept.ranks.select(r, s).indices
    if head.weight.shape != kept.linear.weight.shape or not torch.equal(head.weight, kept.linear.weight):
        raise CheckpointError(
            f"pretrained: the features {kept.name!r} were made with other weights; make them again: {kept.about['command']}"
        )
    seen, labels = network.pooled(model, tests.batches(250), normalization=normalization)
    with torch.no_grad():
        before = metrics.accuracy(head(seen), labels), metrics.accuracy(decompose(head, indices)(seen), labels)
    return decompose_model(model, indices).requires_grad_(), normalization, before


def _command(name: str, recipe: Recipe, seed: int, epochs: int, images: str, n: int | None, weights: str) -> str:
    """The command line that makes this very checkpoint; settings that are the recipe's go without saying."""
    parts = ["filterlens train", name]
    parts += [f"--pretrained {weights}"] if weights else []
    parts += [f"--seed {seed}"] if seed else []
    parts += [f"--epochs {epochs}"] if epochs != recipe.epochs else []
    parts += [f"--data {images}"] if images != recipe.data else []
    parts += [f"--n {n}"] if n is not None else []
    return " ".join(parts)
