"""Pooled features on disk: what a network's final layer sees of a whole data set, so that a notebook need not run the network.

``filterlens features NAME`` makes one file of ``data/features``: test features in half precision, the final layer, and of the
training features the ranks, means and spreads (with ``--summary``) or also the features themselves. ``network.pooled`` runs the
network, ``lenses.influence`` counts the ranks, ``checkpoints`` keeps the file with its story and compares its hash.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from filterlens import checks, data, decomposed, gated, metrics, models, network
from filterlens.data import train_and_test
from filterlens.lenses.influence import FeatureStats, RankCounts, count_ranks, feature_stats
from filterlens.models import CheckpointError, Normalization, checkpoints
from filterlens.sources import cache, project_home
from filterlens.training import batching, snapshots
from filterlens.training.identity import digest

BATCH, BLOCK = 250, 2000  # images through the network at once, and between two writings of how far it has come
MAX_RANKS = 2**30  # bytes
_NEEDED = ("test_features", "test_labels", "linear.weight", "ranks", "mass", "n_images", "n_silent", "mean", "std")


class FeaturesError(CheckpointError):
    """Features that are missing, damaged or not the ones they claim to be."""


@dataclass(frozen=True, eq=False)
class PooledFeatures:
    """Features (n, d) float32 as far as half precision keeps them, labels (n,) int64, and the final layer that reads them.

    ``train`` is None in a summary. ``ranks`` and ``stats`` are of the training features in full precision.
    """

    name: str
    train: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor]
    linear: nn.Linear
    ranks: RankCounts
    stats: FeatureStats
    classes: list[str]
    about: dict
    path: Path | None


def folder() -> Path:
    """Where our own features live: ``data/features`` of the project."""
    return project_home() / "data" / "features"


def names() -> list[str]:
    """Every name that ``load`` finds in data/features, sorted."""
    return sorted(path.stem for path in folder().glob("*.safetensors") if path.with_suffix(".json").is_file())


def default_name(name: str, pretrained: bool | str | Path = True, data: str = "cifar10") -> str:
    """What ``make`` calls the features of a network by default: resnet20, resnet20-public, resnet20-from-mine for mine.safetensors."""
    if not all(isinstance(value, str) for value in (name, data)):
        raise TypeError(f"name, data: got {checks.describe(name)} and {checks.describe(data)}, expected names")
    weights = "" if isinstance(pretrained, bool) else "-public" if pretrained == "public" else f"-from-{Path(pretrained).stem}"
    first = name + weights
    return re.sub(r"[^\w.]+", "-", first if data == "cifar10" else f"{first}-{data}")


def load(name: str | Path) -> PooledFeatures:
    """Features by name, or by the path of a .safetensors file that ``make`` wrote; the hash is compared.

    Raises TypeError for something else than a name, FeaturesError (which says what exists) for an unknown one, CheckpointError
    for a damaged file.
    """
    if not isinstance(name, str | Path) or not str(name):
        raise TypeError(f"name: got {checks.describe(name)}, expected one of {names()} or the path of a .safetensors file")
    path = Path(name).expanduser() if str(name).endswith(".safetensors") else folder() / f"{name}.safetensors"
    if not path.is_file():
        raise FeaturesError(
            f"name: got {str(name)!r}, expected one of {names()} or the path of a .safetensors file; "
            f"make them with: filterlens features NETWORK [--pretrained public] [--summary]"
        )
    tensors, about = checkpoints.read(path)
    missing = [key for key in _NEEDED if key not in tensors] + [key for key in ("classes",) if key not in about]
    if missing:
        raise FeaturesError(f"name: {path} holds no pooled features: {missing} are missing; make them again with: filterlens features")
    return _unpacked(path.stem, tensors, about, path)


def make(
    name: str,
    *,
    pretrained: bool | str | Path = True,
    data: str = "cifar10",
    out: str | Path | bool | None = True,
    train_features: bool = True,
    checkpoint: str | Path | bool | None = None,
) -> PooledFeatures:
    """Run a network over the training and the test images of ``data`` and keep what reaches its final layer.

    name, pretrained: as for ``models.load``, ``gated.load`` (the features before the gates) or ``decomposed.load``; the final layer of
        a decomposed network is kept as an ordinary one that is zero at what it leaves out.
    out: a name in data/features, or a path ending in .safetensors; True for a name that says what was asked (resnet20,
        resnet20-public); None writes nothing. A file of data/features is only replaced by features of the same network, weights
        and images.
    train_features: also keep the training features themselves, not only their ranks, means and spreads.
    checkpoint: the folder that a run interrupted at any moment goes on from; True for one in the user's cache.

    ``about`` states the final layer's accuracy on the test features in full and in half precision. Memory: all features in single
    precision, and one batch's forward pass.

    Raises TypeError or ValueError for a bad argument, DataError and CheckpointError for missing images and weights.
    """
    if pretrained is False:
        raise ValueError("pretrained: got False, expected weights: features of a random network are not worth a file")
    model, normalization = _network(name, pretrained)
    train, test = train_and_test(data)
    far, target = _blocks(name, pretrained, data, checkpoint), _target(name, pretrained, data, out)
    if not isinstance(train_features, bool):
        raise TypeError(f"train_features: got {checks.describe(train_features)}, expected True or False")
    head = _head(model, train, normalization, name)
    for split, images in (("train", train), ("test", test)):
        least, most = int(images.labels.min()), int(images.labels.max())
        if least < 0 or most >= head.out_features:
            raise ValueError(
                f"data: the {split} labels of {data!r} are {least} to {most}, expected 0 to {head.out_features - 1}, as {name}"
            )
    if 8 * head.out_features * head.in_features**2 > MAX_RANKS:
        said = f"the ranks of {head.in_features} features in {head.out_features} classes are too many to keep"
        raise ValueError(f"name: {said}, expected a narrower network; lenses.influence.study needs no ranks")
    if target is not None:
        snapshots.check_writable(target, "out")
        _try_place(target, _command(name, pretrained, data, None, True))
    seen = _stream(model.to(memory_format=torch.channels_last), {"train": train, "test": test}, normalization, far)
    tensors, about = _packed(head, seen, train_features)
    about = {
        "command": _command(name, pretrained, data, out, train_features),
        "network": name,
        "weights": "public" if pretrained == "public" else Path(pretrained).name if not isinstance(pretrained, bool) else "our own",
        "data": f"{train.name}: {len(train)} training and {len(test)} test images" + (f" ({train.note})" if train.note else ""),
        "classes": train.classes,
        **about,
    }
    if target is None:
        return _unpacked(name, tensors, about, None)
    path = checkpoints.save(target, tensors, about)
    if checkpoint is True:
        shutil.rmtree(far, ignore_errors=True)  # the finished features stand elsewhere now
    return load(path)


def collect(
    model: nn.Module, train: data.Images, test: data.Images, *, normalization: Normalization | None = None, max_bytes: int = 2**30
) -> PooledFeatures:
    """The same of a network of your own, in memory and in full precision: for the influence lens and its explorer.

    train, test: images as ``data.load`` gives them, with labels that are classes of the network. max_bytes: of the table of
    ranks, 8 C d^2. Memory: that table, all features in single precision, and one batch's forward pass.

    Raises TypeError or ValueError naming the argument, before the pass; ValueError for a network whose head is not one linear layer after pooling.
    """
    checks.module("model", model)
    for name, images in {"train": train, "test": test}.items():
        if not isinstance(images, data.Images):
            raise TypeError(f"{name}: got {checks.describe(images)}, expected data.Images, as data.load returns them")
    one, _ = next(train[:1].batches(1))
    head = network.classifier(model, example=one if normalization is None else normalization.apply(one))
    for name, images in {"train": train, "test": test}.items():
        checks.labels(f"{name}: labels", images.labels, len(images), head.out_features)
    if (needed := 8 * head.out_features * head.in_features**2) > checks.integer("max_bytes", max_bytes, 1):
        of = f"{head.out_features} classes of {head.in_features} features"
        raise ValueError(f"max_bytes: got {max_bytes:,}, but the ranks of {of} take {needed:,} bytes; pass more, or use influence.study")
    seen = [network.pooled(model, images.batches(BATCH), normalization=normalization) for images in (train, test)]
    linear = copy.deepcopy(head).cpu().float().requires_grad_(False).eval()
    (x, y), (x_test, y_test) = ((features.float(), labels) for features, labels in seen)
    said = {"n_train": len(y), "n_test": len(y_test), "d": head.in_features, "accuracy": metrics.accuracy(linear(x_test), y_test)}
    return PooledFeatures(
        name=type(model).__name__,
        train=(x, y),
        test=(x_test, y_test),
        linear=linear,
        ranks=count_ranks(x, y, head.out_features, max_bytes=max_bytes),
        stats=feature_stats(x),
        classes=train.classes if len(train.classes) == head.out_features else [str(c) for c in range(head.out_features)],
        about={"data": f"{train.name}: {len(y)} training and {len(y_test)} test images", **said},
        path=None,
    )


def _network(name: str, pretrained: bool | str | Path) -> tuple[nn.Module, Normalization]:
    if name in gated.names():
        found = gated.load(name, pretrained=pretrained)
        return found.model.model, found.normalization  # the STD path, the one there is without labels
    source = decomposed if name in decomposed.names() else models
    model, normalization = source.load(name, pretrained=pretrained), source.normalization(name, pretrained=pretrained)
    return (decomposed.dense(model) if source is decomposed else model), normalization


def _head(model: nn.Module, images: data.Images, normalization: Normalization, name: str) -> nn.Linear:
    """The one linear layer after pooling, judged with an image of the data, before anything long begins."""
    one, _ = next(images[:1].batches(1))
    try:
        return network.classifier(model, example=normalization.apply(one))
    except ValueError as error:
        if str(error).startswith("model:"):
            raise ValueError(str(error).replace("model:", "name:", 1)) from error
        raise ValueError(f"data: the images of {images.name!r}, {tuple(one.shape[1:])}, do not go through {name!r} ({error})") from error


def _stream(model: nn.Module, splits: dict, normalization: Normalization, far: Path | None) -> dict[str, tuple[Tensor, Tensor]]:
    """Features and labels per split, block by block; every block has its file in ``far`` before the next begins."""
    from tqdm.auto import tqdm

    identity = {"weights": digest(model.state_dict()), "batch": str(BATCH), "block": str(BLOCK)}
    identity |= {split: batching.fingerprint(images, normalization.apply) for split, images in splits.items()}
    if far is not None:
        snapshots.check_writable(far / "block")

    def block(images: data.Images, at: int, file: Path | None) -> Tensor:
        if file is not None and file.is_file():
            stored = snapshots.read(file)
            snapshots.same_run(file, stored.get("identity", {}), identity)
            return stored["features"]
        found, _ = network.pooled(model, images[at : at + BLOCK].batches(BATCH), normalization=normalization)
        if file is not None:
            snapshots.write(file, {"identity": identity, "features": found})
        return found

    whole: dict[str, Tensor] = {}
    with tqdm(total=sum(map(len, splits.values())), unit="image") as bar:
        for split, images in splits.items():
            bar.set_description(split, refresh=False)
            for at in range(0, len(images), BLOCK):
                found = block(images, at, far and far / f"{split}-{at}.run")
                table = whole.setdefault(split, torch.empty(len(images), found.shape[1]))
                table[at : at + len(found)] = found
                bar.update(len(found))
    return {split: (whole[split], images.labels) for split, images in splits.items()}


def _packed(head: nn.Linear, seen: dict[str, tuple[Tensor, Tensor]], train_features: bool) -> tuple[dict[str, Tensor], dict]:
    """What goes to disk, as narrow as it may be, and what is said about it."""
    (features, labels), (tests, test_labels) = seen["train"], seen["test"]
    linear, n_classes = head.cpu().float(), head.out_features
    ranks, stats = count_ranks(features, labels, n_classes), feature_stats(features)
    narrow = torch.uint8 if n_classes <= 256 else torch.int16 if n_classes <= 2**15 else torch.int32
    kept = {
        "test_features": tests.half(),
        "test_labels": test_labels.to(narrow),
        "linear.weight": linear.weight,
        "ranks": ranks.ranks.to(torch.int16 if int(ranks.ranks.max()) < 2**15 else torch.int32),
        **{key: getattr(ranks, key) for key in ("mass", "n_images", "n_silent")},
        **{key: getattr(stats, key) for key in ("mean", "std")},
    }
    kept |= {} if linear.bias is None else {"linear.bias": linear.bias}
    kept |= {"train_features": features.half(), "train_labels": labels.to(narrow)} if train_features else {}
    with torch.no_grad():
        about = {
            "n_train": len(labels),
            "n_test": len(test_labels),
            "d": head.in_features,
            "precision": "features are kept in half precision; ranks, mass, mean and std are of the features in single precision",
            "accuracy": metrics.accuracy(linear(tests), test_labels),
            "accuracy_half_precision": metrics.accuracy(linear(tests.half().float()), test_labels),
            "train_accuracy": metrics.accuracy(linear(features), labels),
        }
    return kept, about


def _unpacked(name: str, tensors: dict[str, Tensor], about: dict, path: Path | None) -> PooledFeatures:
    weight, bias = tensors["linear.weight"], tensors.get("linear.bias")
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))

    def pair(split: str) -> tuple[Tensor, Tensor]:
        return tensors[f"{split}_features"].float(), tensors[f"{split}_labels"].long()

    return PooledFeatures(
        name=name,
        train=pair("train") if "train_features" in tensors else None,
        test=pair("test"),
        linear=linear.requires_grad_(False).eval(),
        ranks=RankCounts(ranks=tensors["ranks"].long(), **{key: tensors[key] for key in ("mass", "n_images", "n_silent")}),
        stats=FeatureStats(mean=tensors["mean"], std=tensors["std"]),
        classes=list(about["classes"]),
        about=about,
        path=path,
    )


def _try_place(target: Path, command: str) -> None:
    """What ships keeps its name: features of another network, of other weights or other images do not replace it."""
    side = target.with_suffix(".json")
    if target.parent.resolve() != folder().resolve() or not (target.is_file() and side.is_file()):
        return
    try:
        there = re.sub(r" --summary| --out .*", "", str(json.loads(side.read_text(encoding="utf-8"))["command"]))
    except (ValueError, KeyError, TypeError):
        return  # a damaged story stands for nothing
    if there != command:
        raise ValueError(f"out: got {target.stem!r}, whose features were made by '{there}', expected another name for '{command}'")


def _target(name: str, pretrained: bool | str | Path, data: str, out: str | Path | bool | None) -> Path | None:
    if out is not None and (not isinstance(out, str | Path | bool) or not str(out)):
        raise TypeError(f"out: got {checks.describe(out)}, expected a name, a path or True")
    if out is None or out is False:
        return None
    if out is True:
        out = default_name(name, pretrained, data)
    bare = isinstance(out, str) and Path(out).name == out and not out.endswith(".safetensors")
    return folder() / f"{out}.safetensors" if bare else Path(out).expanduser()


def _blocks(name: str, pretrained: bool | str | Path, data: str, checkpoint: str | Path | bool | None) -> Path | None:
    if checkpoint is not None and (not isinstance(checkpoint, str | Path | bool) or not str(checkpoint)):
        raise TypeError(f"checkpoint: got {checks.describe(checkpoint)}, expected a path or True")
    if checkpoint is True:
        return cache() / "features" / default_name(name, pretrained, data)
    if checkpoint and Path(checkpoint).expanduser().is_file():
        raise ValueError(f"checkpoint: got {str(checkpoint)!r}, which is a file, expected the path of a folder")
    return Path(checkpoint).expanduser() if checkpoint else None


def _command(name: str, pretrained: bool | str | Path, data: str, out: str | Path | bool | None, train_features: bool) -> str:
    """The command line that makes this very file."""
    parts = ["filterlens features", name]
    parts += [f"--pretrained {pretrained}"] if not isinstance(pretrained, bool) else []
    parts += [f"--data {data}"] if data != "cifar10" else []
    parts += ["--summary"] if not train_features else []
    parts += [f"--out {out}"] if isinstance(out, str | Path) else []
    return " ".join(parts)
