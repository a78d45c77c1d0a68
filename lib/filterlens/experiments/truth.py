"""The ground-truth benchmark as an experiment: every method of the library on every planted world of its question.

``synthesis.truth`` plants the worlds and scores the methods, and says what a score is; ``figures.truth`` draws the rows. A run goes on
from the methods and groups of seeds that it has, inside of a world and difficulty too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from filterlens import checks
from filterlens.synthesis import truth
from filterlens.synthesis.truth.measuring import checked_levels, planned
from filterlens.training import snapshots

from .begun import Begun


@dataclass(frozen=True)
class Truth:
    """Columns: question, world, method, difficulty, mean, std, n, those of ``synthesis.truth.TruthCell``: mean and standard deviation of
    a method's scores on the worlds of the first ``n_seeds`` seeds.

    worlds: names, None for all. group: seeds after which a method's scores are kept. No network and no images: a world brings its own.
    Raises TypeError or ValueError naming the argument.
    """

    source: str
    worlds: tuple[str, ...] | None = None
    difficulties: tuple[float, ...] = truth.DIFFICULTIES
    n_seeds: int = 20
    group: int = 5
    network = None
    judged = False
    packages = ("captum", "zennit", "scikit-learn", "scipy")
    loads = ()
    choices = {"worlds": tuple(name for worlds in truth.WORLDS.values() for name in worlds)}
    bounds = {"difficulties": (0, 1), "n_seeds": (1, None), "group": (1, None)}

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TypeError(f"source: got {checks.describe(self.source)}, expected words that say where the table comes from")
        if not self.source:
            raise ValueError("source: got '', expected words that say where the table comes from")
        planned(self.worlds, None)
        checked_levels(self.difficulties)
        checks.integer("n_seeds", self.n_seeds, 1)
        checks.integer("group", self.group, 1)

    def images(self) -> tuple[None, None]:
        """There are none, as there is no network."""
        return None, None

    def fingerprint(self) -> str:
        """The sha256 of the worlds of the first seed and of the methods' names, in hexadecimal: other rows are not to be gone on from."""
        found = hashlib.sha256()
        for world, methods in self._plan().items():
            found.update(" ".join([world, *methods]).encode())
            for level in self.difficulties:
                for numbers in truth.build(world, level, 0).tensors():
                    found.update(numbers.contiguous().numpy().tobytes())
        return found.hexdigest()

    def run(self, begun: Begun) -> None:
        have = {(row["world"], row["difficulty"]) for row in begun.rows}
        for world, methods in self._plan().items():
            for level in self.difficulties:
                file = None if begun.far is None else Path(begun.far) / f"{world}-{level:g}.run"
                if (world, level) not in have:
                    begun.keep([cell._asdict() for cell in truth.table(self._scored(world, level, methods, file))])
                if file is not None:
                    file.unlink(missing_ok=True)

    def _scored(self, world: str, level: float, methods: list[str], file: Path | None) -> list[truth.TruthRow]:
        """The scores of all seeds, method by method; they lie in the file until the last of them is known."""
        rows = []
        if file is not None and file.is_file():
            rows = [truth.TruthRow(*row) for row in snapshots.read(file)["rows"]]
        known = {(row.method, row.seed) for row in rows}
        for method in methods:
            for at in range(0, self.n_seeds, self.group):
                seeds = [seed for seed in range(at, min(at + self.group, self.n_seeds)) if (method, seed) not in known]
                if not seeds:
                    continue
                rows += truth.measure([world], [method], [level], seeds)
                if file is not None:
                    snapshots.write(file, {"rows": [list(row) for row in rows]})
        return rows

    def _plan(self) -> dict[str, list[str]]:
        """The worlds, each with the library's methods that answer its question; those that a reader added are none of the experiment's."""
        ours = {name: list(truth.METHODS[question]) for question, of_question in truth.WORLDS.items() for name in of_question}
        return ours if self.worlds is None else {name: ours[name] for name in self.worlds}


def in_words(rows: pd.DataFrame) -> str:
    """The rows as lines of text: under each world its methods, with mean and standard deviation at every difficulty."""
    seeds = " or ".join(str(n) for n in sorted(rows["n"].unique()))
    lines = [f"Mean score ± its standard deviation over {seeds} seeds; columns: difficulty"]
    wide = max(map(len, [*rows["method"], *(rows["question"] + ", " + rows["world"])]))
    for (question, world), some in rows.groupby(["question", "world"], sort=False):
        levels = sorted(some["difficulty"].unique())
        lines += ["", f"{question}, {world}".ljust(wide) + "".join(f"{level:>14g}" for level in levels)]
        for method, cells in some.groupby("method", sort=False):
            of = {cell.difficulty: f"{cell.mean:.2f} ± {cell.std:.2f}" for cell in cells.itertuples()}
            lines.append((str(method).ljust(wide) + "".join(f"{of.get(level, ''):>14}" for level in levels)).rstrip())
    return "\n".join(lines)
