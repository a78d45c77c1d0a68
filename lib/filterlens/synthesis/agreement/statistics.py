"""How far the numbers of different lenses go together: Spearman's rank correlations within layers, with intervals and corrected p.

Filters are compared with filters of their own layer only: what the layers of a network have in common would make any two numbers
correlate. Intervals are Fisher's z with the variance of Bonett and Wright (2000, Psychometrika 65:23-28), which needs no
resampling: over dozens of pairs and layers a bootstrap takes minutes, and is no closer to its nominal .95 where filters are few (16 of
them, 200 draws of a normal pair: covered .965 of the time, by the BCa bootstrap of scipy .975, by percentiles .98).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from filterlens import checks

from .parts import SCORES, FilterScores

CORRECTIONS = ("by", "bh")
VERDICTS = ("opposite", "not shown", "agree", "not measured")  # in the order of a table: what does not agree is said first
FEWEST = 4  # filters of a layer that take part


class Pair(NamedTuple):
    """Two scores over ``n`` filters of ``layers`` layers.

    ``rho``: Spearman's, within layers; ``low``, ``high``: its interval; ``p``: two-sided, ``p_adjusted``: over all pairs of the table.
    NaN where there is nothing to measure, and ``note`` says why. ``verdict``: one of ``VERDICTS``; of two scores of opposite sense
    (``SCORES``) a negative rho is agreement. ``where``: "" for all layers together.
    """

    a: str
    b: str
    rho: float
    low: float
    high: float
    p: float
    p_adjusted: float
    n: int
    layers: int
    verdict: str
    note: str
    where: str


@dataclass(frozen=True, eq=False)
class Agreement:
    """All pairs of some scores: ``pairs``, those that do not agree first, ``names`` of the scores, ``level`` of the intervals,
    ``correction`` of p; ``n_filters`` and ``n_layers`` that were given."""

    pairs: tuple[Pair, ...]
    names: tuple[str, ...]
    level: float
    correction: str
    n_filters: int
    n_layers: int

    def pair(self, a: str, b: str) -> Pair:
        """The pair of two scores, in either order. Raises TypeError or ValueError naming a or b."""
        checks.choice("a", a, self.names)
        checks.choice("b", b, [name for name in self.names if name != a])
        return next(pair for pair in self.pairs if {pair.a, pair.b} == {a, b})


def agree(
    found: Sequence[FilterScores], *, names: Sequence[str] | None = None, level: float = 0.95, correction: str = "by"
) -> Agreement:  # fmt: skip
    """Spearman's rho of every two scores over the filters of some layers, of one network or several.

    found: one layer or more. Ranks are taken within each layer, in shares of its filters, ties share their mean; rho is the correlation
        of all of them together, so that a layer counts by its filters. A layer where one of the two is constant, or that has fewer than
        4 filters with both numbers, says nothing and is left out; so is, for positional relevance, a layer that allows several rankings
        (``degenerate``). The pair's note counts the layers left out.
    names: of scores, by default those of ``SCORES`` that any layer has.
    level: of the intervals, in (0, 1). They are about these layers, taken as given: other layers may differ more (``over_layers``).
    correction: of p over all pairs: "by" (Benjamini and Yekutieli 2001) holds the share of false findings under any dependence, and pairs
        do depend on each other; "bh" (Benjamini and Hochberg 1995) is less strict (``scipy.stats.false_discovery_control``).

    p is that of a partial correlation: with n filters in L layers, t on n - L - 1 degrees of freedom; the interval has n - L - 2. Under
    10 filters both are rough; p is never below what a permutation of the filters within layers could give, 1/12 for 4 filters. Order of
    the pairs: those that go against each other, those without evidence either way, those that agree; each by rho in the direction of
    agreement, the least first; those that cannot be measured come last.

    Raises TypeError or ValueError naming the argument.
    """
    found = _checked(found)
    if names is None:
        names = [name for name in SCORES if any(not bool(one.values[name].isnan().all()) for one in found)]
    names = _names("names", names)
    level, correction = _level(level), checks.choice("correction", correction, CORRECTIONS)
    measured = [_measured(found, a, b, level, "") for a, b in combinations(names, 2)]
    return Agreement(
        tuple(_ordered(_adjusted(measured, level, correction))), tuple(names), level, correction, sum(len(one.filters) for one in found),
        len(found),
    )  # fmt: skip


def by_layer(found: Sequence[FilterScores], a: str, b: str, *, level: float = 0.95, correction: str = "by") -> tuple[Pair, ...]:
    """The same for two scores in every layer by itself, in the order given; p is corrected over the layers.

    Raises TypeError or ValueError naming the argument.
    """
    found = _checked(found)
    checks.choice("a", a, SCORES)
    checks.choice("b", b, [name for name in SCORES if name != a])
    level, correction = _level(level), checks.choice("correction", correction, CORRECTIONS)
    measured = [_measured([one], a, b, level, f"{one.model} {one.layer}".strip()) for one in found]
    return tuple(_adjusted(measured, level, correction))


def by_network(
    found: Sequence[FilterScores], a: str, others: Sequence[str], *, level: float = 0.95, correction: str = "by"
) -> tuple[Pair, ...]:  # fmt: skip
    """One score with each of several others in every network by itself: for each network, in the order given, the pairs in the order of
    ``others``; ``where`` is its name. p is corrected over all of them.

    Raises TypeError or ValueError naming the argument.
    """
    found = _checked(found)
    checks.choice("a", a, SCORES)
    others = _names("others", others, 1)
    if a in others:
        raise ValueError(f"others: got {others}, expected scores other than {a!r}")
    level, correction = _level(level), checks.choice("correction", correction, CORRECTIONS)
    networks = {name: [one for one in found if one.model == name] for name in dict.fromkeys(one.model for one in found)}
    measured = [_measured(layers, a, b, level, name) for name, layers in networks.items() for b in others]
    return tuple(_adjusted(measured, level, correction))


def repeatable(found: Sequence[FilterScores], *, level: float = 0.95) -> Pair:
    """The rise of the loss on one half of the images with that on the other: how far damage agrees with itself, which bounds how far
    anything else can be expected to agree with it. A pair of "loss_rise" with itself; on all images it is more reliable than on halves,
    by about 2 rho / (1 + rho) (Spearman and Brown 1910).

    Raises TypeError or ValueError naming the argument.
    """
    found, level = _checked(found), _level(level)
    return _adjusted([_measured(found, "loss_rise", "loss_rise", level, "")], level, "by")[0]


def _measured(found: Sequence[FilterScores], a: str, b: str, level: float, where: str) -> Pair:
    """A pair before its p is corrected."""
    from scipy.stats import norm, t

    parts, silent = ranked(found, a, b)
    if not parts:
        return Pair(a, b, *[math.nan] * 5, 0, 0, "not measured", _why(found, a, b, silent), where)
    together = np.concatenate(parts, 1)
    n, layers = together.shape[1], len(parts)
    rho = float(np.clip((together[0] * together[1]).sum() / math.sqrt((together[0] ** 2).sum() * (together[1] ** 2).sum()), -1, 1))
    free = n - layers - 1
    p = float(2 * t.sf(abs(rho) * math.sqrt(free / (1 - rho * rho)), free)) if abs(rho) < 1 else 0.0
    p = max(p, 2 * math.exp(-sum(math.lgamma(part.shape[1] + 1) for part in parts)))  # no permutation of the filters can give less
    half = 1 - 6 / (n**3 - n)  # a perfect order counts as half a swap of neighbours away from it
    middle, width = math.atanh(min(half, max(-half, rho))), float(norm.ppf((1 + level) / 2)) * math.sqrt((1 + rho * rho / 2) / (free - 1))
    low, high = min(rho, math.tanh(middle - width)), max(rho, math.tanh(middle + width))
    said = [f"{what} in {len(layers_of)} of the layers, left out" for what, layers_of in silent.items() if layers_of]
    return Pair(a, b, rho, low, high, p, math.nan, n, layers, "", "; ".join(said), where)


def ranked(found: Sequence[FilterScores], a: str, b: str) -> tuple[list[np.ndarray], dict[str, set[int]]]:
    """The ranks of both numbers (2, m) in every layer that takes part; the layers left out, by their place, for each reason.

    Of a score with itself (a = b) its two halves.
    """
    parts, silent = [], {f"{name} is constant": set() for name in (a, b)} | {"positional is degenerate": set()}
    for at, one in enumerate(found):
        x, y = (values.numpy() for values in (one.halves.T if a == b else (one.values[a], one.values[b])))
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() < FEWEST:
            continue
        if one.degenerate and "positional" in (a, b):
            silent["positional is degenerate"].add(at)
            continue
        ranks = [_ranks(values[both]) for values in (x, y)]
        if all(part.any() for part in ranks):
            parts.append(np.stack(ranks))
        for name, part in zip((a, b), ranks, strict=True):
            if not part.any():
                silent[f"{name} is constant"].add(at)
    return parts, silent


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks around 0, in shares of their number; all 0 for constant values."""
    from scipy.stats import rankdata

    return (rankdata(values) - (len(values) + 1) / 2) / len(values)


def _why(found: Sequence[FilterScores], a: str, b: str, silent: dict[str, set[int]]) -> str:
    said = [f"{what} in every layer that has both" for what, layers_of in silent.items() if layers_of]
    for name in (a, b) if a != b else ():
        if all(bool(one.values[name].isnan().all()) for one in found):
            reasons = dict.fromkeys(one.notes[name] for one in found if name in one.notes)
            said.append(f"{name}: {next(iter(reasons), 'no filter has it')}")
    return "; ".join(said) or f"no layer has {FEWEST} filters with both"


def _adjusted(pairs: list[Pair], level: float, correction: str) -> list[Pair]:
    from scipy.stats import false_discovery_control

    at = [i for i, pair in enumerate(pairs) if pair.n]
    if at:
        for i, p in zip(at, false_discovery_control([pairs[i].p for i in at], method=correction), strict=True):
            same = SCORES[pairs[i].a].sense * SCORES[pairs[i].b].sense * pairs[i].rho > 0
            verdict = "not shown" if p > 1 - level else "agree" if same else "opposite"
            pairs[i] = pairs[i]._replace(p_adjusted=float(p), verdict=verdict)
    return pairs


def _ordered(pairs: Iterable[Pair]) -> list[Pair]:
    def key(pair: Pair) -> tuple[int, float]:
        oriented = SCORES[pair.a].sense * SCORES[pair.b].sense * pair.rho
        return VERDICTS.index(pair.verdict), 0.0 if math.isnan(oriented) else oriented

    return sorted(pairs, key=key)


def _checked(found: object) -> list[FilterScores]:
    if isinstance(found, FilterScores):
        return [found]
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise TypeError(f"found: got {checks.describe(found)}, expected FilterScores of one layer or more")
    layers = list(found)
    if not layers:
        raise ValueError("found: got none, expected FilterScores of at least one layer")
    for one in layers:
        if not isinstance(one, FilterScores):
            raise TypeError(f"found: got {checks.describe(one)} among them, expected FilterScores")
    if len({(one.model, one.layer) for one in layers}) < len(layers):
        raise ValueError("found: got a layer of a network twice, expected each once; name= of scores tells networks apart")
    return layers


def _names(argument: str, names: object, fewest: int = 2) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"{argument}: got {checks.describe(names)}, expected several of {list(SCORES)}")
    found = [checks.choice(argument, name, SCORES) for name in names]
    if len(found) < fewest or len(set(found)) < len(found):
        raise ValueError(f"{argument}: got {found}, expected {'two' if fewest > 1 else 'one'} or more different ones")
    return found


def _level(level: object) -> float:
    if not 0 < checks.real("level", level, 0, 1) < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1")
    return float(level)
