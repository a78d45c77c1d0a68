"""An experiment's rows, measured here and now: its network and images are loaded, and what they are is said with the rows.

``experiments.make`` measures a whole experiment, a cell of a sweep a part of one: both end up here, so that there is one way to run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from filterlens import data, gated, models, recipes
from filterlens.models import Normalization, checkpoints
from filterlens.training import batching, snapshots
from filterlens.training.identity import digest

from .begun import Begun, Row


@dataclass(frozen=True, eq=False)
class Ready:
    """A network and images in hand, None of an experiment that needs none; ``identity`` says by digests which ones they are."""

    model: nn.Module | None
    normalization: Normalization | None
    train: data.Images | None
    test: data.Images | None
    identity: dict[str, str]


def ready(settings: Any, *, device: str | None = None) -> Ready:
    """Load what an experiment needs; the network goes to ``device``.

    Raises ``data.DataError`` and CheckpointError for missing images and weights, ValueError for a device that is not here.
    """
    model, normalization = (None, None) if settings.network is None else network(settings)
    train, test = settings.images()
    identity = {
        "weights": settings.fingerprint() if model is None else digest(model.state_dict()),
        **{key: batching.fingerprint(images, normalization.apply) for key, images in (("train", train), ("test", test)) if images},
    }
    return Ready(model if model is None or device is None else model.to(device), normalization, train, test, identity)


def measure(settings: Any, far: Path | None, given: Ready, *, device: str | None = None) -> list[Row]:
    """The rows of an experiment, in order, going on from those in the folder ``far``; CheckpointError if they are another one's."""
    identity = {**{key: str(value) for key, value in asdict(settings).items() if key != "source"}, **given.identity}
    identity |= {} if device is None else {"device": device}
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

    if kept is not None and not kept.is_file():
        keep([])  # whose files those in the folder are is known before the first of them is written
    settings.run(Begun(given.model, given.normalization, given.train, given.test, list(rows), keep, far, device))
    return rows


def network(settings: Any) -> tuple[nn.Module, Normalization]:
    """The network of an experiment; of a gated one its STD path, the only one there is when a label is not known."""
    name, pretrained = settings.network, weights(settings)
    if name in gated.names():
        found = gated.load(name) if pretrained is True else gated.load(name, pretrained=pretrained)
        return found.model.model, found.normalization
    return models.load(name, pretrained=pretrained), models.normalization(name, pretrained=pretrained)


def weights(settings: Any) -> bool | str | Path:
    """What ``models.load`` is asked for: the experiment's ``pretrained``, or the checkpoint that training with a seed left in the cache."""
    seed = getattr(settings, "trained", None)
    return settings.pretrained if seed is None else recipes.trained(settings.network, seed, getattr(settings, "trained_epochs", None))


def told(settings: Any) -> str:
    """Which weights an experiment stands on, in words: whose, and the sha256 of the file where there is one."""
    name, pretrained = settings.network, weights(settings)
    if not isinstance(pretrained, bool) and pretrained != "public":
        seed = getattr(settings, "trained", None)
        whose = f"{pretrained}" if seed is None else f"trained with seed {seed}"
        return f"{whose}, sha256 {checkpoints.story(Path(pretrained), 'train it again')['sha256']}"
    if name in gated.names():
        return f"our own, sha256 {gated.load(name).about['sha256']}"
    known = {"efficientnet-lite0": models.LITE0_SHA256} | {name: sha256 for name, (_, sha256, _) in models.PUBLIC.items()}
    if pretrained == "public" and name in known or name == "efficientnet-lite0" and pretrained is True:
        return f"public, sha256 {known[name]}"
    if "/" in name:
        return "random" if pretrained is False else f"{name.partition('/')[0]}'s own"
    return f"our own, sha256 {models.about(name)['sha256']}" if pretrained is True else "random"
