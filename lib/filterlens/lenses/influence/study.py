"""A network's whole experiment in one streamed pass: influential features of its training images, accuracy on its test images.

For data that no memory holds (Tables 2-6 of arXiv 2112.07719 are ImageNet): votes go through ``selection.InfluenceCounter`` and
hits are counted, batch by batch, and a checkpoint lets a killed run go on. ``features`` on disk and ``surface`` are for what fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ... import checks, network
from ...training import CheckpointError, arguments, batching, snapshots
from ...training.identity import digest
from . import votes
from .decomposition import decompose
from .selection import InfluenceCounter, InfluentialFeatures


@dataclass(frozen=True, eq=False)
class Study:
    """One row of Tables 2-6. Accuracies are fractions of the test images.

    ``full``: of the network; ``decomposed``: of its last layer decomposed by Algorithm 1, without retraining; ``decomposed_weights``:
    by the s largest signed weights of each class, a baseline that needs no images; ``decomposed_signed``: by votes for the
    largest f_i instead of |f_i|, None unless asked for. ``agreement``: full and decomposed layer name the same class.
    ``influential`` (and ``influential_signed``): the rankings, over the training images.
    """

    full: float
    decomposed: float
    decomposed_weights: float
    decomposed_signed: float | None
    agreement: float
    influential: InfluentialFeatures
    influential_signed: InfluentialFeatures | None
    d: int
    n_classes: int
    r: int
    s: int
    n_train: int
    n_test: int

    @property
    def eta(self) -> float:
        """The paper's efficacy: decomposed over full accuracy."""
        return self.decomposed / self.full if self.full else float("nan")


def study(
    model: nn.Module,
    train: Any,
    test: Any,
    *,
    r: int,
    s: int,
    normalization: Any = None,
    batch_size: int = 256,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 50,
    signed: bool = False,
) -> Study:
    """Find the influential features on ``train``, decompose the last layer, and classify ``test`` with both layers.

    train, test: ``data.Images``, or anything with ``labels``, ``len``, ``[rows]`` and ``batches(size)``, or a pair of images (n, c, h, w)
        in [0, 1] and labels (n,); taken batch by batch.
    r, s: the votes of an image and the features of a class, both in [1, d].
    normalization: an object with ``apply(images)``; None hands images on as they are.
    checkpoint: a file, written every ``checkpoint_every`` batches and read if it exists: a run that was killed goes on from there to
        the same numbers; of a finished one no pass is left to do (one image of each part goes through the network, and the
        data are compared). It must come from the same network, data and settings.
    signed: also vote by f_i, for networks whose last activation lets negative numbers through (SiLU).

    The model runs in eval mode, on its device, and is unchanged. Peak memory: one batch's forward pass and a few tables
    (C, d), however many images. A class without voting images takes the order of its weights, with a UserWarning. Raises
    TypeError or ValueError for a wrong argument before the pass, also for a head that ``network.classifier`` refuses;
    CheckpointError for a checkpoint that is damaged or another run's.
    """
    checks.module("model", model)
    train, test = batching.source("train", train), batching.source("test", test)
    normalize = batching.normalize(normalization)
    batch_size, every = checks.integer("batch_size", batch_size, 1), checks.integer("checkpoint_every", checkpoint_every, 1)
    path = arguments.file(checkpoint)
    for name, images in (("train", train), ("test", test)):
        arguments.try_one(name, images, model, normalize)
    example, _ = next(iter(train[:1].batches(1)))
    head = network.classifier(model, example=batching.like(normalize(example), model, arguments.device(model)))
    n_classes, d = head.out_features, head.in_features
    checks.labels("train: labels", train.labels, len(train), n_classes)
    checks.labels("test: labels", test.labels, len(test), n_classes)
    counters = {"absolute": InfluenceCounter(n_classes, d, r)}
    s = checks.integer("s", s, 1, d)
    if not isinstance(signed, bool):
        raise TypeError(f"signed: got {checks.describe(signed)}, expected True or False")
    if signed:
        counters["signed"] = InfluenceCounter(n_classes, d, r, signed=True)
    run = _Run(model, head, normalize, batch_size, counters, path, every)
    if path is not None:
        run.take_up(
            {
                "model": type(model).__name__,
                "model's values": f"digest {digest(model.state_dict())}",
                "train": batching.fingerprint(train, normalize),
                "test": batching.fingerprint(test, normalize),
                **{name: str(value) for name, value in {"r": r, "s": s, "batch_size": batch_size, "signed": signed}.items()},
            }
        )
    run.over("train", train, run.vote)
    found = {name: counter.result(s, linear=head) for name, counter in counters.items()}
    weights = votes.descending(votes.weight_of(head, n_classes, d))[:, :s]
    sets = {"decomposed": found["absolute"].indices, "weights": weights}
    if signed:
        sets["signed"] = found["signed"].indices
    run.layers = {name: decompose(head, indices) for name, indices in sets.items()}
    run.over("test", test, run.classify)
    share = {name: right / len(test) for name, right in run.right.items()}
    return Study(
        full=share["full"],
        decomposed=share["decomposed"],
        decomposed_weights=share["weights"],
        decomposed_signed=share.get("signed"),
        agreement=share["agreement"],
        influential=found["absolute"],
        influential_signed=found.get("signed"),
        d=d,
        n_classes=n_classes,
        r=r,
        s=s,
        n_train=len(train),
        n_test=len(test),
    )


class _Run:
    """How far a study has come: batches done of each part, votes, and hits."""

    def __init__(
        self,
        model: nn.Module,
        head: nn.Linear,
        normalize: batching.Normalize,
        batch_size: int,
        counters: dict[str, InfluenceCounter],
        path: Path | None,
        every: int,
    ) -> None:
        self.model, self.head, self.normalize, self.batch_size = model, head, normalize, batch_size
        self.counters, self.path, self.every = counters, path, every
        self.layers: dict[str, nn.Module] = {}
        self.done = {"train": 0, "test": 0}
        self.right = dict.fromkeys(["full", "decomposed", "weights", "agreement", *(["signed"] if "signed" in counters else [])], 0)
        self.identity: dict[str, str] = {}

    def vote(self, features: Tensor, labels: Tensor) -> None:
        for counter in self.counters.values():
            counter.update(features, labels)

    def classify(self, features: Tensor, labels: Tensor) -> None:
        labels = labels.to(features.device)
        full = self.head(features).argmax(1)
        self.right["full"] += int((full == labels).sum())
        for name, layer in self.layers.items():
            named = layer(features).argmax(1)
            self.right[name] += int((named == labels).sum())
            if name == "decomposed":
                self.right["agreement"] += int((named == full).sum())

    def over(self, part: str, images: batching.Batched, take: Callable[[Tensor, Tensor], None]) -> None:
        """Every batch of a part that is not done yet, with a snapshot now and then and at the end."""
        from tqdm.auto import tqdm

        starts = range(0, len(images), self.batch_size)
        if self.done[part] == len(starts):
            return
        for start in tqdm(starts[self.done[part] :], desc=part, total=len(starts), initial=self.done[part], unit="batch"):
            rows = images[start : start + self.batch_size]
            batch, labels = next(iter(rows.batches(self.batch_size)))
            with network.evaluating(self.model):
                take(self._features(batch), labels)
            self.done[part] += 1
            if self.done[part] % self.every == 0 or self.done[part] == len(starts):
                self._save()

    def _features(self, images: Tensor) -> Tensor:
        """What reaches the head, (m, d)."""
        reached: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda module, inputs: reached.append(inputs[0].detach()))
        try:
            self.model(batching.like(self.normalize(images), self.model, self.head.weight.device))
        finally:
            handle.remove()
        return reached[-1]

    def _save(self) -> None:
        if self.path is not None:
            counted = {name: counter.state_dict() for name, counter in self.counters.items()}
            snapshots.write(self.path, {"identity": self.identity, "study": counted, "done": self.done, "right": self.right})

    def take_up(self, identity: dict[str, str]) -> None:
        """Go on from the checkpoint, if there is one of the same run."""
        self.identity = identity
        snapshots.check_writable(self.path)
        if not self.path.is_file():
            return
        stored = snapshots.read(self.path)
        if "study" not in stored:
            raise CheckpointError(f"checkpoint: {self.path} is a training run, expected a study of influential features")
        snapshots.same_run(self.path, stored["identity"], identity)
        for name, counter in self.counters.items():
            counter.load_state_dict(stored["study"][name])
        self.done, self.right = stored["done"], stored["right"]
