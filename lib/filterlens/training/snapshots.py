"""A training run on disk: written whole or not at all, read without running code from it, refused if it is another run's.

``training`` decides what goes in and when; this file only writes, reads and compares. (Finished weights are another
matter: those are safetensors, see ``checkpoints``.)
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tempfile
from pathlib import Path

import torch

from filterlens.models.checkpoints import CheckpointError

_MARK = b"filterlens run 1\n"


def check_writable(path: Path, name: str = "checkpoint") -> None:
    """Make the folder and try it, so that a run learns at its beginning, not after an epoch, that it cannot be kept.

    Raises ValueError naming the argument that the path came in.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"{name}: got {str(path)!r}, expected a file in a folder that can be written ({error})") from error


def write(path: Path, contents: dict) -> None:
    """Put the run's state under ``path``: to a temporary name beside it, to the disk, then renamed.

    A kill at any moment leaves the previous snapshot or the new one, and at most a ``.part`` file that the next write replaces.
    """
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    payload = buffer.getbuffer()
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        file.write(_MARK + hashlib.sha256(payload).digest())
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    _settle(path.parent)


def read(path: Path) -> dict:
    """Read a run's state, on the CPU; CheckpointError if it is damaged or no run of ours."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint: {path} cannot be read ({error})") from error
    start = len(_MARK) + hashlib.sha256().digest_size
    remedy = "delete it to train from the start, or name another file"
    if not raw.startswith(_MARK):
        raise CheckpointError(f"checkpoint: {path} is not a training run of filterlens, or its beginning is damaged; {remedy}")
    payload = memoryview(raw)[start:]
    if hashlib.sha256(payload).digest() != raw[len(_MARK) : start]:
        raise CheckpointError(f"checkpoint: {path} is damaged or cut short ({len(raw)} bytes, its sha256 does not fit); {remedy}")
    return unpack(payload)


def unpack(payload: bytes | memoryview) -> dict:
    """What ``torch.save`` packed, from tensors and plain containers only: nothing in a file gets to run."""
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"checkpoint: holds something else than tensors and plain values ({str(error).splitlines()[0]})") from error


def same_run(path: Path, stored: dict[str, object], ours: dict[str, object]) -> None:
    """CheckpointError unless two descriptions of a run agree; it names what differs."""
    differing = [key for key in {**stored, **ours} if stored.get(key) != ours.get(key)]
    if differing:
        said = "; ".join(f"{key}: {stored.get(key, 'nothing')} there, {ours.get(key, 'nothing')} here" for key in differing[:6])
        more = f"; and {len(differing) - 6} more" if len(differing) > 6 else ""
        remedy = "begin with the same settings and a model built afresh, delete it, or name another file"
        raise CheckpointError(f"checkpoint: {path} belongs to another run ({said}{more}); {remedy}")


def _settle(folder: Path) -> None:
    """A renamed file survives a power cut only when its folder has reached the disk too."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # a system on which folders cannot be opened renames durably by itself
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
