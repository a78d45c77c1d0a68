"""Sweeps of a second: a few random digits, and specs whose cells are experiments on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from filterlens import experiments
from filterlens.runs import sweeps


def digits(folder: Path, n: int = 45) -> str:
    """The name of n training and 23 test images of ten classes, in the shape of MNIST."""
    draw, arrays = np.random.default_rng(0), {}
    for split, count in (("train", n), ("test", 23)):
        arrays |= {f"x_{split}": draw.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8), f"y_{split}": np.arange(count) * 7 % 10}
    np.savez(folder / "digits.npz", **arrays)
    return f"npz:{folder / 'digits.npz'}"


def removal(folder: Path, **changes: object) -> Path:
    """A spec of six short cells: filters removed from a LeNet."""
    said = {
        "about": "a toy",
        "experiment": "removal",
        "settings": {"network": "lenet", "pretrained": True, "data": digits(folder), "rates": [0.0, 0.2]},
        "grid": {"seeds": [0, 1, 2], "sets": ["random", "l1"]},
        **changes,
    }
    return written(folder / "toy.yaml", said)


def training(folder: Path, cells: int, epochs: int = 4, n: int = 300) -> Path:
    """A spec of cells that take about a second each and can be gone on with inside: LeNets from random weights."""
    said = {
        "about": "a toy",
        "experiment": "starts",
        "settings": {"network": "lenet", "pretrained": True, "data": digits(folder, n), "epochs": epochs},
        "grid": {"starts": [["random", "random", 1.0]], "seeds": list(range(cells))},
    }
    return written(folder / "toy.yaml", said)


def bare(spec: Path | str) -> pd.DataFrame:
    """The rows of a spec's cells, one after another in this process, what they stand on loaded once."""
    read = sweeps.read(spec)
    given = experiments.measuring.ready(read.cells[0])
    return pd.DataFrame([row for one in read.cells for row in experiments.measuring.measure(one, None, given)])


def written(path: Path, said: dict) -> Path:
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return path
