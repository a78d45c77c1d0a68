"""What accuracy a network keeps when filters near the archetypes, near the median or others are removed, without retraining.

Table 1 of Thakur, Abrol & Sharma (PMLR 197:111-121) and its controls. ``ranking`` chooses and removes the filters, ``evaluation``
counts the hits, ``retraining`` goes on from such networks; ``experiments`` keeps the rows on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import checks, network
from ...training import arguments
from ..filter_ranking import FilterRanking, filters_of
from ..ranking import n_removed, norm_matched, rank, removable, remove_filters
from ..simplex import positional_relevance
from ..simplex.reading import share
from .curve import RATES, SETS, RemovalCurve, RemovalRow
from .evaluation import Inputs, checked

SEEDED = ("archetypes", "median_l0", "matched_archetypes", "matched_median", "random")  # sets that another seed may change
_POSITIONAL = ("archetypes", "median_l0", "matched_archetypes")


def chosen(weight: Tensor, which: str, n: int, *, seed: int = 0, ranking: FilterRanking | None = None, fraction: float = 0.25) -> Tensor:
    """Indices (n,) of the filters that a set of Table 1 removes from a layer, all in [0, k) and distinct.

    weight: (k, c, kh, kw) of a convolution with one group, or (k, l) of a linear layer. which: one of ``SETS``:
        "archetypes" the n least redundant by positional relevance; "median_l0" its n most redundant, the paper's own ranking;
        "median_gm" the n of smallest summed distance to all others (FPGM, arXiv 1811.00250);
        "matched_archetypes", "matched_median" as many others of about the norms of "archetypes" and of "median_gm", drawn at
        random: the controls for the norm; "random" a seeded draw; "l1", "l2" the n of smallest norm.
    n: in [0, k - 1]; for the matched sets at most k / 2, so that there are enough others.
    seed: of the draws, and of the archetypal analysis unless ``ranking``, a result of ``positional_relevance``, is given.
    fraction: of the filters that are archetypes, if the ranking has to be made.

    For one seed and any set but the matched ones the choice for n holds that for n - 1. Raises TypeError or ValueError naming the
    argument.
    """
    k = len(filters_of("weight", weight))
    checks.choice("which", which, SETS)
    n, seed = checks.integer("n", n, 0, k - 1), checks.integer("seed", seed, 0)
    if ranking is not None and not isinstance(ranking, FilterRanking):
        raise TypeError(f"ranking: got {checks.describe(ranking)}, expected a ranking as positional_relevance gives it")
    if ranking is not None and len(ranking.order) != k:
        raise ValueError(f"ranking: got one of {len(ranking.order)} filters, expected {k}, those of weight")
    share("fraction", fraction)
    if n == 0:
        return torch.empty(0, dtype=torch.int64, device=weight.device)
    if which.startswith("matched") and 2 * n > k:
        raise ValueError(f"n: got {n}, expected at most {k // 2}: {which!r} needs as many other filters of the {k}")
    if which in _POSITIONAL:
        ranking = positional_relevance(weight, fraction=fraction, seed=seed) if ranking is None else ranking
        found = ranking.redundant(n) if which == "median_l0" else ranking.needed(n)
    else:
        method = {"median_gm": "fpgm", "matched_median": "fpgm"}.get(which, which)
        found = rank(weight, method, **({"seed": seed} if method == "random" else {})).redundant(n)
    return norm_matched(weight, found, seed=seed) if which.startswith("matched") else found


def removal_curve(
    model: nn.Module,
    images: Any,
    *,
    sets: Sequence[str] = SETS,
    rates: Sequence[float] = RATES,
    seeds: Iterable[int] = range(10),
    layers: Sequence[str] | None = None,
    fraction: float = 0.25,
    normalization: Any = None,
    batch_size: int = 100,
    example: Tensor | None = None,
    mode: str = "prune",
    on_row: Callable[[RemovalRow], None] | None = None,
    done: Iterable[RemovalRow] = (),
) -> RemovalCurve:
    """Accuracy after removing a share of every layer's filters, for every set, rate and seed; nothing is retrained.

    images: ``data.Images``, or images (n, c, h, w) in [0, 1] with labels (n,). sets, fraction: as ``chosen``.
    rates: shares in [0, 1) of each layer, in any order; floor(rate k + 1/2) filters go, and one always stays.
    seeds: of what is random: the start of the archetypal analysis and the draws, those of each layer from a seed of its own. Sets
        that no seed changes are evaluated once, under the first seed.
    layers: dotted names of convolutions with one group, by default all of them that ``ranking.removable`` lists; all lose filters
        at once. Filters of different groups see different channels and are no one cloud.
    normalization: an object with ``apply(images)``; None hands images on as they are.
    batch_size: images at once; small batches stay in the processor's cache.
    example: normalized image (1, c, h, w) that the network is traced with, by default the first of ``images``.
    mode: "prune" or "mask", as for ``ranking.remove_filters``; the logits are the same.
    on_row: called with each ``RemovalRow`` as soon as it is known. done: rows of an earlier run with these very arguments, which
        are taken as they are: so an interrupted run goes on row by row.

    The model is unchanged and runs in eval mode, on its device. Peak memory: the normalized images, if they take less than 1 GB,
    one copy of the network, and one batch's forward pass. Time: one pass over the images for every different choice of filters.

    Raises TypeError or ValueError naming the argument, before any pass over all images.
    """
    (images,), normalize, first = checked(model, normalization, images=images)
    sets = [checks.choice("sets", name, SETS) for name in _several("sets", sets)]
    rates = [checks.real("rates", rate, 0, 1 - 1e-9) for rate in _several("rates", rates)]
    seeds = [checks.integer("seeds", seed, 0) for seed in _several("seeds", seeds)]
    batch_size, fraction = checks.integer("batch_size", batch_size, 1), share("fraction", fraction)
    checks.choice("mode", mode, ["mask", "prune"])
    arguments.function("on_row", on_row)
    known = {row[:3]: row for row in _rows(done)}
    example = first if example is None else example
    weights = {name: network.filters(model, name) for name in removed_layers(model, layers, example)}
    for rate in rates if any(name.startswith("matched") for name in sets) else ():
        for name, weight in weights.items():
            if 2 * n_removed(rate, len(weight)) > len(weight):
                raise ValueError(f"rates: got {rate}, which takes more than half of {name!r}, expected at most .5 with the matched sets")
    _try_one(model, {name: n_removed(max(rates), len(weight)) for name, weight in weights.items()}, mode, example)
    choice = _Choice(weights, fraction)
    inputs = Inputs(images, normalize, model, batch_size)
    whole = [row.accuracy for row in known.values() if row.n_removed == 0]
    seen: dict[tuple, float] = {(): whole[0] if whole else inputs.accuracy(model)}
    rows = []
    for which, rate, seed in _progress([key for key in _keys(sets, rates, seeds)], known):
        row = known.get((which, rate, seed))
        if row is None:
            removed = choice(which, rate, seed)
            if (what := tuple(removed.items())) not in seen:
                left = remove_filters(model, {name: list(indices) for name, indices in what}, mode=mode, example=example)
                seen[what] = inputs.accuracy(left)
            row = RemovalRow(which, rate, seed, seen[what], sum(map(len, removed.values())))
            if on_row is not None:
                on_row(row)
        rows.append(row)
    return RemovalCurve(tuple(rows), seen[()], len(images))


class _Choice:
    """The filters of all layers that a set, a rate and a seed stand for; of each layer one ranking per seed, made when it is asked for."""

    def __init__(self, weights: dict[str, Tensor], fraction: float) -> None:
        self.weights, self.fraction = weights, fraction
        self.rankings: dict[tuple[str, int], FilterRanking] = {}

    def __call__(self, which: str, rate: float, seed: int) -> dict[str, tuple[int, ...]]:
        found = {}
        for at, (name, weight) in enumerate(self.weights.items()):
            if not (n := n_removed(rate, len(weight))):
                continue
            ranking = self._ranking(name, seed) if which in _POSITIONAL else None
            drawn = int(np.random.SeedSequence((seed, at)).generate_state(1)[0])
            # in order, so that the same filters are known for the same
            found[name] = tuple(sorted(chosen(weight, which, n, seed=drawn, ranking=ranking).tolist()))
        return found

    def _ranking(self, name: str, seed: int) -> FilterRanking:
        if (name, seed) not in self.rankings:
            self.rankings = {key: value for key, value in self.rankings.items() if key[1] == seed}  # of one seed at a time
            self.rankings[name, seed] = positional_relevance(self.weights[name], fraction=self.fraction, seed=seed)
        return self.rankings[name, seed]


def _try_one(model: nn.Module, counts: dict[str, int], mode: str, example: Tensor) -> None:
    """Remove the first filters of every layer, so that a network that cannot be cut shows before any pass."""
    first = {name: list(range(n)) for name, n in counts.items() if n}
    try:
        if first:
            remove_filters(model, first, mode=mode, example=example)
    except ValueError as error:
        said = f"mode: {mode!r} does not take {sum(map(len, first.values()))} filters out of {list(first)[:8]} ({error})"
        raise ValueError(f"{said}; expected other layers" + " or 'mask'" * (mode == "prune")) from error


def _keys(sets: list[str], rates: list[float], seeds: list[int]) -> Iterator[tuple[str, float, int]]:
    """Seed by seed, so that every ranking is made once."""
    for seed in seeds:
        for which in sets:
            if which in SEEDED or seed == seeds[0]:
                yield from ((which, rate, seed) for rate in rates)


def _progress(keys: list[tuple[str, float, int]], known: dict) -> Iterator[tuple[str, float, int]]:
    from tqdm.auto import tqdm

    with tqdm(total=len(keys), unit="row", disable=bool(os.environ.get("TQDM_DISABLE"))) as bar:
        for key in keys:
            yield key
            bar.update()


def _several(name: str, given: Any) -> list:
    if isinstance(given, str | Tensor) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: got {checks.describe(given)}, expected a list")
    found = list(given)
    if not found:
        raise ValueError(f"{name}: got none, expected at least one")
    if len(set(map(repr, found))) != len(found):
        raise ValueError(f"{name}: got one twice in {checks.describe(given)}, expected different ones")
    return found


def _rows(done: Any) -> list[RemovalRow]:
    if isinstance(done, str | Tensor) or not isinstance(done, Iterable):
        raise TypeError(f"done: got {checks.describe(done)}, expected rows of an earlier run")
    found = list(done)
    for row in found:
        if not isinstance(row, tuple) or len(row) != len(RemovalRow._fields):
            raise TypeError(f"done: got {checks.describe(row)}, expected rows {RemovalRow._fields}")
    return [RemovalRow(*row) for row in found]


def removed_layers(model: nn.Module, layers: Sequence[str] | None, example: Tensor) -> list[str]:
    """The named layers, or all with one group whose filters can be removed by themselves.

    Raises TypeError or ValueError naming layers or model, also for a named layer with groups, whose filters are no one cloud.
    """
    options = removable(model, example=example)
    groups = {name: model.get_submodule(name).groups for name in options}
    if layers is None:
        if not (plain := [name for name in options if groups[name] == 1]):
            raise ValueError(f"model: {type(model).__name__} has no layer with one group whose filters can be removed by itself")
        return plain
    named = [checks.choice("layers", name, options) for name in _several("layers", layers)]
    for name in named:
        if groups[name] > 1:
            raise ValueError(f"layers: {name!r} has {groups[name]} groups, whose filters see different channels, expected layers with one")
    return named
