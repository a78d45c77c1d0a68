"""Positional relevance: how redundant a filter is by where it lies in the cloud of its layer's filters.

A filter that is a mixture of many archetypes lies inside and can go, one that is its own archetype must stay (section 4 of the
paper, see the package). ``archetypes`` does the work, ``filter_ranking`` says what every ranking has, ``ranking`` holds the
rankings to compare with.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ... import checks
from ..filter_ranking import FilterRanking, filters_of, lexicographic
from ..median import geometric_median
from .archetypes import Archetypes, archetypal_analysis
from .codes import simplex_codes
from .reading import archetype_count, filters_and_groups, module_named, share


@dataclass(frozen=True, eq=False)
class PositionalRanking(FilterRanking):
    """A layer's k filters, those that mix most archetypes first. ``score`` = -l0, int64.

    l0 (k,) int64: how many entries of the filter's code exceed ``tau``: 1 for an archetype, at most d. entropy (k,): of the code, in
    nats. largest (k,): the code's largest entry. to_archetype (k,): distance to the nearest archetype; to_median (k,): to the
    geometric median of the filters. Those three in double precision. codes (d, k), None if there are groups.
    archetypes: ``Archetypes``, or one per group. d: archetypes (of each group). fraction: of the filters, None if d was given.
    degenerate: codes are not unique, the ranking is one of several that the weights allow (a warning said so).

    ``order``: larger l0 first; of equal ones larger entropy, then smaller largest entry, then nearer the median, then lower index.
    """

    l0: Tensor
    entropy: Tensor
    largest: Tensor
    to_archetype: Tensor
    to_median: Tensor
    codes: Tensor | None
    archetypes: Archetypes | tuple[Archetypes, ...]
    tau: float
    d: int
    degenerate: bool
    fraction: float | None

    def needed(self, n: int) -> Tensor:
        """The n filters nearest archetypes (n,): smallest l0 first, then largest entry, then distance to the nearest archetype, index.

        These ties are its own: it is not ``order`` read backwards.
        """
        n = checks.integer("n", n, 0, len(self.order))
        return lexicographic(self.l0, -self.largest, self.to_archetype)[:n]


def positional_relevance(
    weight: Tensor,
    *,
    fraction: float = 0.25,
    d: int | None = None,
    tau: float = 1e-4,
    seed: int = 0,
    fold: tuple[Tensor, Tensor, float] | None = None,
    depthwise: bool = False,
    groups: int = 1,
    **solver: Any,
) -> PositionalRanking:
    """Rank the filters of a weight (k, c, kh, kw), or the rows (k, l) of a linear layer; float32 or float64, on its device.

    fraction: d = min(N, max(2, floor(fraction N + 1/2))) archetypes of N filters; ``d`` itself, in [1, N], goes before it.
    tau: entries of a code above it count, in [0, 1). The solver's zeros are exact, so few layers feel it (``tau_sensitivity``).
    fold: (gamma (k,), var (k,), eps) of the batch normalisation that follows: filters are scaled by gamma / sqrt(var + eps), which
        changes the cloud. None, as in the paper, takes the raw weights.
    groups: of a grouped convolution, filter k in group k * groups // len(weight). Each group is analysed alone, since its filters
        see inputs of their own; N is the filters of one group, and scores compare filters of one group. As all groups have
        the same d, ``order`` puts them together by l0.
    depthwise: a depthwise layer (as many groups as filters) is refused: its filters act on different channels, none can stand in
        for another. True ranks them all the same as one cloud, with a warning.
    seed, solver: of ``archetypal_analysis`` (tol, max_iter, init, restarts, method, coreset).

    UserWarnings: d = N, every score is 1 and the ranking says nothing; more archetypes than a simplex has room for (d - 1 > l, as
    in wide 1 x 1 layers on few channels, or above the rank r of the centred filters, as after a low-rank factorisation) or fewer
    different filters than archetypes, codes are not unique (basic ones are taken, with at most l + 1 entries; r + 1 up to
    rounding). Equal filters have equal codes.

    Peak memory: that of ``archetypal_analysis`` for one group. Raises TypeError or ValueError naming the argument; a name that
    the solver does not know is a TypeError.
    """
    options = {"fraction": fraction, "d": d, "tau": tau, "seed": seed, "fold": fold, "depthwise": depthwise, "groups": groups}
    return _ranked("weight", weight, solver, **options)


def layer_relevance(model: nn.Module, layer: str, *, fold_bn: str | None = None, **options: Any) -> PositionalRanking:
    """``positional_relevance`` of one layer of a network: a convolution, transposed convolution or linear layer by its dotted name.

    Groups and orientation are read from the layer. fold_bn: dotted name of the batch normalisation that follows it, to be folded
    into the filters. options: those of ``positional_relevance``. The model is unchanged. Raises as it does, and for unknown layers.
    """
    weight, groups = filters_and_groups(f"layer: {layer!r}", module_named("layer", model, layer))
    for name in {"groups", "fold"} & set(options):
        raise TypeError(f"{name}: is read from the model here, expected options of positional_relevance other than groups and fold")
    options = {"fraction": 0.25, "d": None, "tau": 1e-4, "seed": 0, "depthwise": False, **options}
    named = {name: options.pop(name) for name in ("fraction", "d", "tau", "seed", "depthwise")}
    fold = None
    if fold_bn is not None:
        bn = module_named("fold_bn", model, fold_bn)
        if not isinstance(bn, nn.modules.batchnorm._BatchNorm) or bn.running_var is None:
            raise ValueError(f"fold_bn: {fold_bn!r} is a {type(bn).__name__}, expected a batch normalisation with running statistics")
        if bn.num_features != len(weight):
            raise ValueError(f"fold_bn: {fold_bn!r} has {bn.num_features} channels, expected {len(weight)}, the filters of {layer!r}")
        gamma = torch.ones_like(bn.running_var) if bn.weight is None else bn.weight.detach()
        fold = (gamma, bn.running_var, bn.eps)
    return _ranked(f"layer {layer!r}", weight, options, fold=fold, groups=groups, **named)


def tau_sensitivity(ranking: PositionalRanking, taus: Iterable[float]) -> Tensor:
    """l0 (T, k), int64, of every filter for each threshold in [0, 1): what the ranking would count there.

    Raises TypeError or ValueError naming ranking or taus.
    """
    if not isinstance(ranking, PositionalRanking):
        raise TypeError(f"ranking: got {checks.describe(ranking)}, expected a PositionalRanking")
    if isinstance(taus, str) or not isinstance(taus, Iterable):
        raise TypeError(f"taus: got {checks.describe(taus)}, expected numbers in [0, 1)")
    taus = [_threshold("taus", float(tau) if isinstance(tau, Tensor) else tau) for tau in taus]
    if not taus:
        raise ValueError("taus: got none, expected at least one number in [0, 1)")
    groups = ranking.archetypes if isinstance(ranking.archetypes, tuple) else (ranking.archetypes,)
    return torch.stack([torch.cat([(group.A > tau).sum(0) for group in groups]) for tau in taus])


def _ranked(
    name: str,
    weight: Tensor,
    solver: dict,
    *,
    fraction: float,
    d: int | None,
    tau: float,
    seed: int,
    fold: tuple[Tensor, Tensor, float] | None,
    depthwise: bool,
    groups: int,
) -> PositionalRanking:
    """``name`` says in warnings which weight is meant."""
    known = set(inspect.signature(archetypal_analysis).parameters) - {"X", "d", "seed"}
    if unknown := sorted(set(solver) - known):
        raise TypeError(f"{unknown[0]}: is no option, expected those of positional_relevance or one of {sorted(known)}")
    rows = filters_of("weight", weight)
    k = len(rows)
    fraction, tau, seed = share("fraction", fraction), _threshold("tau", tau), checks.integer("seed", seed, 0)
    if not isinstance(depthwise, bool):
        raise TypeError(f"depthwise: got {checks.describe(depthwise)}, expected True or False")
    if k % checks.integer("groups", groups, 1, k):
        raise ValueError(f"groups: got {groups}, expected a divisor of the {k} filters")
    if groups == k > 1:
        if not depthwise:
            said = f"groups: {name} is depthwise ({k} filters in {k} groups), expected filters that share inputs"
            raise ValueError(f"{said}: none of these can stand in for another; depthwise=True ranks them as one cloud all the same")
        _warn(f"{name} is depthwise: its {k} filters act on different channels, so none can stand in for another whatever its score")
        groups = 1
    n = k // groups
    count = archetype_count(n, fraction) if d is None else checks.integer("d", d, 1, n)
    if fold is not None:
        rows = rows * _gains(fold, k).to(rows)[:, None]
    if count == n:
        _warn(f"{name}: {count} archetypes for {n} filters: each is its own archetype with score 1, the ranking carries no information")
    found, distances, degenerate, room = [], [], False, rows.shape[1]
    for part in rows.split(n):
        kinds = torch.unique(part, dim=0, return_inverse=True)[1]
        analysed = archetypal_analysis(part.T, count, seed=seed, **solver)
        few = int(kinds.max()) + 1 < count
        flat = not few and not analysed.degenerate and count < n and count - 1 > (rank := _affine_rank(part))
        if flat:
            room = min(room, rank)
        if (few or flat) and count < n:
            analysed = replace(analysed, A=simplex_codes(part.T, analysed.D, basic=True).A)
        degenerate |= few or flat or analysed.degenerate
        found.append(replace(analysed, A=analysed.A[:, _first(kinds)]))
        distances.append((part.T.double() - geometric_median(part.T.double())[:, None]).norm(dim=0))
    if degenerate and count < n:
        length = rows.shape[1]
        if count - 1 > length:
            why = f"span no simplex in {length} dimensions (d - 1 > l)"
        elif count - 1 > room:
            why = f"span no simplex in a cloud of {room} dimensions (d - 1 > rank of the centred filters)"
        else:
            why = "are more than there are different filters"
        _warn(f"{name}: {count} archetypes {why}: codes are not unique, and the ranking (of basic codes) is one of several")
    columns = torch.cat([group.A.double() for group in found], 1)
    l0 = torch.cat([(group.A > tau).sum(0) for group in found])
    entropy, largest, to_median = torch.special.entr(columns).sum(0), columns.amax(0), torch.cat(distances)
    near = [_to_nearest(part, group.D.T) for part, group in zip(rows.split(n), found, strict=True)]
    return PositionalRanking(
        method="positional",
        score=-l0,
        order=lexicographic(-l0, -entropy, largest, to_median),
        l0=l0,
        entropy=entropy,
        largest=largest,
        to_archetype=torch.cat(near),
        to_median=to_median,
        codes=found[0].A if groups == 1 else None,
        archetypes=found[0] if groups == 1 else tuple(found),
        tau=tau,
        d=count,
        degenerate=degenerate,
        fraction=fraction if d is None else None,
    )


def _to_nearest(rows: Tensor, archetypes: Tensor) -> Tensor:
    """Distance (n,) from each row to its nearest archetype (d, l); 0 where that is rounding, which must not order filters."""
    distances = torch.cdist(rows.double(), archetypes.double(), compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    return torch.where(distances <= 64 * torch.finfo(rows.dtype).eps * rows.double().norm(dim=1), 0, distances)


def _affine_rank(rows: Tensor) -> int:
    """Dimensions of the cloud of rows (n, l), up to the rounding of its precision: 64 eps of its Frobenius norm."""
    exact = rows.double()
    least = 64 * torch.finfo(rows.dtype).eps * float(exact.norm())
    return int((torch.linalg.svdvals(exact - exact.mean(0)) > least).sum())


def _first(kinds: Tensor) -> Tensor:
    """For every filter the first one that equals it, so that duplicates share one code."""
    at = torch.arange(len(kinds), device=kinds.device)
    return torch.full_like(kinds, len(kinds)).scatter_reduce(0, kinds, at, "amin")[kinds]


def _gains(fold: object, k: int) -> Tensor:
    """gamma / sqrt(var + eps), checked, in double precision."""
    if not isinstance(fold, tuple | list) or len(fold) != 3:
        raise TypeError(f"fold: got {checks.describe(fold)}, expected (gamma (k,), var (k,), eps) of a batch normalisation")
    gamma, var = (checks.tensor(f"fold: {name}", fold[i], "k", sizes={"k": k}).detach().double() for i, name in enumerate(("gamma", "var")))
    eps = checks.real("fold: eps", fold[2], 0)
    if bool((var < 0).any()) or bool((var + eps == 0).any()):
        raise ValueError("fold: got a variance below 0, or 0 without eps, expected var + eps above 0")
    return gamma / (var + eps).sqrt()


def _threshold(name: str, value: object) -> float:
    if checks.real(name, value, 0) >= 1:
        raise ValueError(f"{name}: got {value}, expected a number in [0, 1): no entry of a code is above 1")
    return float(value)


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)
