"""Passports kept on disk for their explorer: isolating and explaining takes its time, and a page needs words and small pictures only.

``PassportStates`` keeps as one compressed archive, with its story beside it, what ``passport_reading`` reads of passports;
``passport_states`` makes those of the book; ``passport_panels`` makes the explorer.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from tqdm.auto import tqdm

from filterlens import checks, gated, models
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.panels import Image
from filterlens.explorer.passport_panels import passport_explorer
from filterlens.explorer.passport_reading import KeptCloud, KeptFilter, kept_cloud, kept_filter
from filterlens.lenses.simplex import layer_relevance
from filterlens.models import CheckpointError, checkpoints
from filterlens.synthesis.passport import Passport, Place, of_network
from filterlens.synthesis.passport.make import checked_filter

COMMAND = "filterlens.explorer.passport_states()"
PIXELS, LEVELS = 80, 20  # of a kept picture's longer side; of a colour in computed ones
ADDED = ("versions", "date", "sha256")  # to a story by its file
NO_PASSPORTS = "holds no states of the passport's explorer"


class ChosenFilters(NamedTuple):
    """Filters of a layer: ``n`` of them evenly over its ranks by positional relevance, first and last among them, or all for None.

    network, layer, data: as ``synthesis.passport.of_network`` takes them; shown: images with isolated content.
    """

    network: str
    layer: str
    n: int | None = None
    data: str | None = None
    shown: int = 2


CHOSEN = (
    ChosenFilters("resnet20-csg", "layer3.2.conv2", data="cifar10-20"),
    ChosenFilters("efficientnet-lite0", "blocks.3.1.conv_pw", 8, data="photographs", shown=1),
    ChosenFilters("efficientnet-lite0", "conv_stem", 8, data="photographs", shown=1),
    ChosenFilters("lenet", "conv2", 10, data="mnist-5k"),
)


@dataclass(frozen=True, eq=False)
class PassportStates:
    """What the explorer shows of some filters, and the clouds of filters they lie in. story: of the file that they were read from."""

    filters: tuple[KeptFilter, ...]
    clouds: tuple[KeptCloud, ...]
    story: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, passports: Sequence[Passport], *, pixels: int = PIXELS, levels: int = LEVELS) -> PassportStates:
        """Those of passports, of one or several networks.

        pixels: of a picture's longer side at most, 8 to 512, larger ones are averaged down. levels: of a colour in computed pictures, 3 to
        256. Raises TypeError or ValueError naming the argument.
        """
        if isinstance(passports, str) or not isinstance(passports, Sequence):
            raise TypeError(f"passports: got {checks.describe(passports)}, expected a list of Passports")
        for passport in passports:
            if not isinstance(passport, Passport):
                raise TypeError(f"passports: got {checks.describe(passport)} among them, expected a list of Passports")
        return _gathered(passports, *_sizes(pixels, levels))

    def explorer(self, **options: Any) -> Explorer:
        """Pick a filter; see all five parts of its passport, each with its sentence, or why there is none.

        Axes: ``network`` (where there are several), ``layer``, ``filter``. options: start, title, name and bake, as ``Explorer`` takes them.
        """
        return passport_explorer(self.filters, self.clouds, **options)

    def save(self, path: str | Path, story: Mapping[str, Any] | None = None) -> Path:
        """Write an .npz file and its story, both whole or not at all; returns the path of the first.

        story: JSON types, how the passports were made, by default as ``passport_states`` tells it; versions, date and sha256 are added.
        Raises TypeError or ValueError naming path or story.
        """
        if not isinstance(path, str | Path):
            raise TypeError(f"path: got {checks.describe(path)}, expected the path of an .npz file")
        story = self.story if story is None else story
        if not isinstance(story, Mapping):
            raise TypeError(f"story: got {checks.describe(story)}, expected a dict")
        if not story:
            raise ValueError("story: got an empty one, expected how the passports were made")
        story = {key: value for key, value in story.items() if key not in ADDED}
        try:
            json.dumps(story)
        except (TypeError, ValueError) as error:
            raise TypeError(f"story: expected text, numbers, lists and dicts ({error})") from error
        pixels = _Pixels()
        said = {"filters": [_plain(one, pixels) for one in self.filters], "clouds": len(self.clouds)}
        arrays = {f"{at}.{part.name}": getattr(cloud, part.name) for at, cloud in enumerate(self.clouds) for part in fields(cloud)}
        arrays["said"] = np.frombuffer(json.dumps(said, allow_nan=False).encode(), dtype=np.uint8)
        arrays["pixels"] = np.frombuffer(bytes(pixels.block), dtype=np.uint8)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        target = Path(path).with_suffix(".npz")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".npz.part")
        try:
            part.write_bytes(file.getvalue())
            return checkpoints.keep(part, target, story)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> PassportStates:
        """Read what ``save`` has written; the hash is compared, nothing in the file can run. Raises CheckpointError for any other file."""
        if not isinstance(path, str | Path):
            raise TypeError(f"path: got {checks.describe(path)}, expected the path of an .npz file")
        path = Path(path)
        if path.suffix != ".npz":
            raise CheckpointError(f"path: {path}: expected an .npz file with a .json beside it")
        story = checkpoints.story(path, "git restore it, or make it again with the command in the .json beside it")
        try:
            with np.load(path, allow_pickle=False) as archive:
                held = {key: archive[key] for key in archive.files}
            said, block = json.loads(held["said"].tobytes()), held["pixels"].tobytes()
            filters = tuple(KeptFilter(**_read(one, block)) for one in said["filters"])
            clouds = tuple(
                KeptCloud(**{part.name: held[f"{at}.{part.name}"] for part in fields(KeptCloud)}) for at in range(said["clouds"])
            )
        except (OSError, EOFError, BadZipFile, zlib.error, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"path: {path} {NO_PASSPORTS} ({error})") from error
        return cls(filters, clouds, story)


def passport_states(
    chosen: Sequence[ChosenFilters] = CHOSEN, *, steps: int = 100, seed: int = 0, pixels: int = PIXELS, levels: int = LEVELS,
    root: str | Path | None = None, progress: bool = False,
) -> PassportStates:  # fmt: skip
    """The passports of some filters of some layers, one after the other; of the book's own by default, some 90 in about seven minutes.

    chosen: which layers, and how many filters of each; their ``story`` tells it. steps, seed, root: as for ``synthesis.passport.of_network``. pixels, levels: as for
    ``PassportStates.of``.

    Raises TypeError or ValueError naming the argument, before any passport is made, and what ``of_network`` raises.
    """
    if (
        isinstance(chosen, str)
        or not isinstance(chosen, Sequence)
        or not chosen
        or not all(isinstance(one, ChosenFilters) for one in chosen)
    ):
        raise TypeError(f"chosen: got {checks.describe(chosen)}, expected a list of ChosenFilters(network, layer, n), one at least")
    steps, seed = checks.integer("steps", steps, 1), checks.integer("seed", seed, 0)
    pixels, levels = _sizes(pixels, levels)
    if not isinstance(progress, bool):
        raise TypeError(f"progress: got {checks.describe(progress)}, expected True or False")
    asked = [(one, filter) for one in chosen for filter in evenly_ranked(one.network, one.layer, one.n, seed=seed)]
    options = {"steps": steps, "seed": seed, "root": root}
    bar = tqdm(asked, disable=not progress, desc="passports", unit="filter")
    made = (of_network(one.network, one.layer, filter, data=one.data, shown=one.shown, **options) for one, filter in bar)
    states = _gathered(made, pixels, levels)
    return replace(states, story=told(states, steps=steps, seed=seed))


def told(states: PassportStates, *, steps: int, seed: int) -> dict[str, Any]:
    """How states were made, as a story for their file: the command, its settings, and the filters by network and layer."""
    filters: dict[str, list[int]] = {}
    for one in states.filters:
        filters.setdefault(f"{one.network}, {one.layer}", []).append(one.filter)
    images = {one.network: one.about.partition("looked at with ")[2] for one in states.filters}
    return {"command": COMMAND, "seed": seed, "steps": steps, "filters": filters, "images": images}


def evenly_ranked(name: str, layer: str, n: int | None, *, seed: int = 0) -> list[int]:
    """Filters of a layer at n even distances over its ranks by positional relevance, from the most redundant to the most needed; ascending.

    name: as for ``synthesis.passport.of_network``. n: how many, all for None. seed: of the archetypes' start.
    Raises TypeError or ValueError naming the argument.
    """
    if isinstance(name, str) and name in gated.names():
        model = gated.load(name).model.model
    else:
        model = models.load(name)
    many = checked_filter(model, layer, 0)
    if n is None:
        return list(range(many))
    checks.integer("n", n, 1, many)
    order = layer_relevance(model, layer, seed=seed).order.tolist()
    return sorted(order[at] for at in torch.linspace(0, many - 1, n, dtype=torch.float64).round().long().tolist())


def _sizes(pixels: int, levels: int) -> tuple[int, int]:
    return checks.integer("pixels", pixels, 8, 512), checks.integer("levels", levels, 3, 256)


def _gathered(passports: Iterable[Passport], pixels: int, levels: int) -> PassportStates:
    """States of passports, one after the other, as each is long and what is kept of it short."""
    filters: dict[tuple[str, str, int], KeptFilter] = {}
    clouds: list[KeptCloud] = []
    places: dict[tuple[str, str, int], int] = {}
    for passport in passports:
        key = (passport.name, passport.layer, passport.filter)
        if key in filters:
            raise ValueError(f"passports: got {passport.title!r} twice, expected each filter once")
        at = None
        if isinstance(passport.place, Place):
            at = places.setdefault((*key[:2], int(passport.place.among[0])), len(clouds))
            if at == len(clouds):
                clouds.append(kept_cloud(passport.place))
        filters[key] = kept_filter(passport, at, pixels=pixels, levels=levels)
    if not filters:
        raise ValueError("passports: got none, expected at least one")
    return PassportStates(tuple(filters.values()), tuple(clouds))


class _Pixels:
    """The bytes of all pictures in one block, equal ones once, so that they are compressed together."""

    def __init__(self) -> None:
        self.block, self.places = bytearray(), {}

    def placed(self, image: Image) -> dict[str, Any]:
        data = np.ascontiguousarray(image.values).tobytes()
        at = self.places.setdefault(hashlib.sha256(data).digest(), len(self.block))
        if at == len(self.block):
            self.block += data
        rest = {name: getattr(image, name) for name in ("low", "high", "alt", "label")}
        return {"at": at, "dtype": image.values.dtype.name, "shape": image.values.shape, **rest}


def _plain(kept: KeptFilter, pixels: _Pixels) -> dict[str, Any]:
    said = {part.name: getattr(kept, part.name) for part in fields(kept)}
    said["picture"] = None if kept.picture is None else pixels.placed(kept.picture)
    said["rows"] = [(number, [pixels.placed(image) for image in row]) for number, row in kept.rows]
    return said


def _read(said: dict[str, Any], block: bytes) -> dict[str, Any]:
    def image(given: dict[str, Any]) -> Image:
        at, dtype, shape = given.pop("at"), np.dtype(given.pop("dtype")), given.pop("shape")
        return Image(np.frombuffer(block, dtype, int(np.prod(shape)), at).reshape(shape), **given)

    return {
        **said,
        "lacking": tuple(said["lacking"]),
        "noted": {part: tuple(notes) for part, notes in said["noted"].items()},
        **{name: tuple(map(tuple, said[name])) for name in ("code", "classes", "gates")},
        "picture": None if said["picture"] is None else image(said["picture"]),
        "rows": tuple((number, tuple(image(one) for one in row)) for number, row in said["rows"]),
    }
