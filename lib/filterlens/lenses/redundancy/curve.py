"""Accuracy against the share of filters removed, as ``removal`` measures it: the rows, their means, and what they say about the claim."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ... import checks

if TYPE_CHECKING:
    import pandas as pd

SETS = ("archetypes", "median_l0", "median_gm", "matched_archetypes", "matched_median", "random", "l1", "l2")
RATES = (0.0, 0.05, 0.1, 0.15, 0.2)  # Table 1 of PMLR 197:111-121, and nothing removed
# More is expected of the first than of the second: Table 1, its control, and each side of Table 1 against its own control.
COMPARISONS = (
    ("median_gm", "archetypes"),
    ("median_l0", "archetypes"),
    ("matched_median", "matched_archetypes"),
    ("matched_archetypes", "archetypes"),
    ("median_gm", "matched_median"),
)


class RemovalRow(NamedTuple):
    """One network evaluated once: ``which`` filters, ``rate`` of each layer, ``accuracy`` in [0, 1], filters removed in all layers."""

    which: str
    rate: float
    seed: int
    accuracy: float
    n_removed: int


@dataclass(frozen=True, eq=False)
class RemovalCurve:
    """``rows``: one per set, rate and seed; ``baseline``: accuracy of the whole network; ``n_images``: on how many images.

    Accuracies are shares of the images.
    """

    rows: tuple[RemovalRow, ...]
    baseline: float
    n_images: int

    @classmethod
    def of(cls, rows: pd.DataFrame) -> RemovalCurve:
        """From a table with the columns which, rate, seed, accuracy, n_removed and n_images, as ``experiments.load`` gives it.

        Raises TypeError for something else, ValueError for missing columns, no rows, or none in which nothing is removed, and for
        a part of an experiment: a set that was not measured at every rate, with one seed or with all.
        """
        import pandas as pd

        if not isinstance(rows, pd.DataFrame):
            raise TypeError(f"rows: got {checks.describe(rows)}, expected a table, as experiments.load(...).rows")
        wanted = ["which", "rate", "seed", "accuracy", "n_removed"]
        if missing := [name for name in [*wanted, "n_images"] if name not in rows]:
            raise ValueError(f"rows: got a table without {missing}, expected the rows of a removal experiment")
        whole = rows[rows["n_removed"] == 0]
        if whole.empty:
            raise ValueError("rows: got none in which nothing is removed, expected at least one, for the baseline")
        found = [RemovalRow(str(w), float(r), int(s), float(a), int(n)) for w, r, s, a, n in rows[wanted].itertuples(index=False)]
        _check_whole(found)
        return cls(tuple(found), float(whole["accuracy"].iloc[0]), int(rows["n_images"].iloc[0]))

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets that were removed, in order."""
        return tuple(dict.fromkeys(row.which for row in self.rows))

    @property
    def rates(self) -> tuple[float, ...]:
        """The R rates, in order."""
        return tuple(dict.fromkeys(row.rate for row in self.rows))

    def accuracies(self, which: str, rate: float) -> dict[int, float]:
        """Accuracy by seed. Raises TypeError or ValueError for a set or a rate that was not measured."""
        checks.choice("which", which, self.sets)
        if checks.real("rate", rate) not in self.rates:
            raise ValueError(f"rate: got {rate}, expected one of {self.rates}")
        return {row.seed: row.accuracy for row in self.rows if (row.which, row.rate) == (which, rate)}

    def mean(self, which: str) -> Tensor:
        """Mean accuracy over the seeds at every rate, (R,) float64."""
        return torch.tensor([_mean(self.accuracies(which, rate).values()) for rate in self.rates], dtype=torch.float64)

    def std(self, which: str) -> Tensor:
        """Standard deviation over the seeds (n - 1 in the denominator) at every rate, (R,) float64; 0 where one run is all there is."""
        return torch.tensor([_std(self.accuracies(which, rate).values()) for rate in self.rates], dtype=torch.float64)

    @property
    def table(self) -> pd.DataFrame:
        """One row per set and rate: which, rate, accuracy (mean), std, runs, n_removed."""
        import pandas as pd

        rows = []
        for which in self.sets:
            for rate, mean, std in zip(self.rates, self.mean(which).tolist(), self.std(which).tolist(), strict=True):
                n = next(row.n_removed for row in self.rows if (row.which, row.rate) == (which, rate))
                runs = len(self.accuracies(which, rate))
                rows.append({"which": which, "rate": rate, "accuracy": mean, "std": std, "runs": runs, "n_removed": n})
        return pd.DataFrame(rows)


def verdict(curve: RemovalCurve) -> pd.DataFrame:
    """Whether removing ``more`` costs less than removing ``less``, at every rate above 0 and for every pair of ``COMPARISONS``.

    ``holds`` is the claim at its weakest: the mean difference is not negative. It asks for no margin, so a difference of nothing, or of
    less than chance moves it, holds too. ``std`` is the standard deviation of the differences from seed to seed (n - 1 in the
    denominator): how far one run may lie from the mean, not the error of the mean, which is std / sqrt(runs); 0 where neither set
    depends on a seed, which is no certainty. Seeds change which filters are drawn, not the network or its images.

    Columns: rate, more, less, difference (mean accuracy of ``more`` minus that of ``less``), std (of the differences seed by seed;
    a set that no seed changes is compared with every run of the other), runs, share (of the runs in which the difference is not
    negative), n_removed (filters in all layers), holds (the mean difference is not negative; NA where nothing was removed, which
    says nothing; pandas' "boolean"). The first two pairs are Table 1 in both readings of the median, the
    third is Table 1 with other filters of the same norms, the last two set each side against its own control.

    Raises TypeError for something else than a RemovalCurve, ValueError for one that holds none of the pairs.
    """
    import pandas as pd

    if not isinstance(curve, RemovalCurve):
        raise TypeError(f"curve: got {checks.describe(curve)}, expected a RemovalCurve; RemovalCurve.of reads an experiment's rows")
    pairs = [pair for pair in COMPARISONS if set(pair) <= set(curve.sets)]
    if not pairs:
        raise ValueError(f"curve: got the sets {list(curve.sets)}, expected at least one pair of {list(COMPARISONS)}")
    rows = []
    for rate in (rate for rate in curve.rates if rate > 0):
        for more, less in pairs:
            found = _differences(curve.accuracies(more, rate), curve.accuracies(less, rate))
            share = sum(value >= 0 for value in found) / len(found)
            n = next(row.n_removed for row in curve.rows if (row.which, row.rate) == (more, rate))
            told = {"difference": _mean(found), "std": _std(found), "runs": len(found), "share": share, "n_removed": n}
            rows.append({"rate": rate, "more": more, "less": less, **told, "holds": _mean(found) >= 0 if n else None})
    table = pd.DataFrame(rows)
    return table.astype({"holds": "boolean"}) if len(table) else table


def _check_whole(rows: list[RemovalRow]) -> None:
    seeds: dict[tuple[str, float], set[int]] = {(row.which, rate): set() for row in rows for rate in {row.rate for row in rows}}
    for row in rows:
        seeds[row.which, row.rate].add(row.seed)
    known = {which: set().union(*(found for (name, _), found in seeds.items() if name == which)) for which, _ in seeds}
    every = set().union(*known.values())
    for (which, rate), found in sorted(seeds.items()):
        if found != (expected := known[which] if len(known[which]) == 1 else every):
            said = f"rows: got {which!r} at the rate {rate:g} with the seeds {sorted(found)}, expected {sorted(expected)}"
            raise ValueError(f"{said}: these are a part of an experiment")


def _differences(more: dict[int, float], less: dict[int, float]) -> list[float]:
    """Seed by seed; a single run stands for every seed of the other side."""
    seeds = sorted(set(more) & set(less) if min(len(more), len(less)) > 1 else set(more) | set(less))
    either = [dict.fromkeys(seeds, next(iter(side.values()))) if len(side) == 1 else side for side in (more, less)]
    seeds = [seed for seed in seeds if all(seed in side for side in either)]
    return [either[0][seed] - either[1][seed] for seed in seeds]


def _mean(values) -> float:
    return math.fsum(values) / len(values)


def _std(values) -> float:
    values = list(values)
    middle = _mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else 0.0
