"""Weights on disk: our own safetensors checkpoints with their story beside them, and the hash checks of everyone else's.

A checkpoint is ``<name>.safetensors`` (the state dict, and ``normalization.*`` if the network has one of its own) with
``<name>.json``: command, seed, epochs, data, versions, accuracy, date, sha256. ``models`` decides which file belongs
to which name; this file only reads, writes and verifies.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import pickle
import platform
from pathlib import Path

import torch
from torch import Tensor

from filterlens.sources import project_home


class CheckpointError(FileNotFoundError, ValueError):
    """Weights that are missing, damaged or not the ones they claim to be."""


def folder() -> Path:
    """Where our own checkpoints live: ``data/checkpoints`` of the project."""
    return project_home() / "data" / "checkpoints"


def shipped() -> list[str]:
    """Names of the checkpoints we trained ourselves, sorted."""
    return sorted(path.stem for path in folder().glob("*.safetensors") if path.with_suffix(".json").is_file())


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verify(path: Path, expected: str, origin: str) -> None:
    """Compare a file's SHA-256 with the known one; ``origin`` tells the reader where to get it again."""
    found = sha256(path)
    if found != expected:
        raise CheckpointError(
            f"{path} is damaged or another file: sha256 is {found[:16]}..., expected {expected[:16]}... Get it again: {origin}"
        )


def save(path: str | Path, tensors: dict[str, Tensor], about: dict) -> Path:
    """Write tensors and their story, both atomically; returns the path of the safetensors file.

    ``about`` (JSON types) says command, seed, epochs, data and accuracy; sha256, date and versions are added here.
    """
    from safetensors.torch import save_file

    path = Path(path).with_suffix(".safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".safetensors.part")
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, part)
    return keep(part, path, about)


def keep(part: Path, path: Path, about: dict) -> Path:
    """Give a finished file its name, with its story in a .json beside it: ``about``, versions, date and the file's sha256."""
    told = {
        **about,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, **about.get("versions", {})},
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "sha256": sha256(part),
    }
    story_part = path.with_suffix(".json.part")
    story_part.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    # The file itself goes first: a kill in between leaves a pair that refuses to load, never one that lies.
    os.replace(part, path)
    os.replace(story_part, path.with_suffix(".json"))
    return path


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read one of our checkpoints and its story; the sha256 in the story must be the file's.

    Raises CheckpointError if either file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: expected a .safetensors file with a .json beside it")
    told = story(path, "git restore it, or train it again with the command in the .json beside it")
    try:
        return load_file(path), told
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def story(path: Path, remedy: str) -> dict:
    """The story of a file that ``keep`` named; the sha256 in it must be the file's. ``remedy``: how to get a damaged file again.

    Raises CheckpointError if either file is missing or damaged.
    """
    side = path.with_suffix(".json")
    for file in (path, side):
        if not file.is_file():
            raise CheckpointError(f"{file} is missing: expected a {path.suffix} file with a .json beside it")
    try:
        told = json.loads(side.read_text(encoding="utf-8"))
        expected = str(told["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{side} is damaged: expected a JSON object with the key 'sha256' ({error})") from error
    verify(path, expected, remedy)
    return told


def read_pickled(path: Path, expected: str, origin: str) -> dict[str, Tensor]:
    """Read someone else's torch checkpoint after checking its SHA-256, without running code from it.

    Unpacks a ``state_dict`` entry and drops the ``module.`` that DataParallel leaves before every name.
    """
    verify(path, expected, origin)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return {name.removeprefix("module."): value for name, value in stored.get("state_dict", stored).items()}
