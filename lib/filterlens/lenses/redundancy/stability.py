"""How much of a positional ranking is the layer's, and how much the analysis': agreement over solvers, seeds, starts and thresholds.

Also whether filters may change places: fabricated ones have lost the order in which the next layer expects its channels.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import checks, metrics, network
from ..filter_ranking import filters_of
from ..ranking import n_removed
from ..simplex import archetypal_analysis, fabrication_weights, positional_relevance
from ..simplex.reading import archetype_count, share
from .evaluation import Inputs, checked

# name -> options of positional_relevance; each differs from the first in one thing
VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "seed 1": {"seed": 1},
    "seed 2": {"seed": 2},
    "4 restarts": {"restarts": 4},
    "furthest-sum": {"init": "furthest_sum"},
    "uniform start": {"init": "uniform"},
    "NNLS and LS": {"method": "nnls-ls"},
    "tau .001": {"tau": 1e-3},
    "tau .01": {"tau": 1e-2},
    "12.5 % archetypes": {"fraction": 0.125},
    "50 % archetypes": {"fraction": 0.5},
}


@dataclass(frozen=True, eq=False)
class Stability:
    """Agreement of v rankings of one layer, every two of them, in tables (v, v), and how well each analysis fits the layer.

    ``common``, ``common_needed``, int64: how many of the n most redundant, and of the n most needed, filters two rankings share; n on
    the diagonal. ``chance``: how many two random sets of n filters share on average, n^2 / k of k filters.
    ``spearman``, float64: of l0, equal values sharing their mean rank; NaN against a ranking that calls all filters equal; 1 on the
    diagonal. By variant (v,): ``l0``, its mean; ``residual``, ||X - D A||_F / ||X||_F of its analysis (of the worst group, if it has
    groups); ``converged``, whether that (all groups) came to its end below max_iter. ``rankings``: as they were found.
    """

    names: tuple[str, ...]
    spearman: Tensor
    common: Tensor
    common_needed: Tensor
    chance: float
    n: int
    l0: Tensor
    residual: Tensor
    converged: Tensor
    rankings: tuple


def stability(weight: Tensor, *, variants: Mapping[str, Mapping[str, Any]] | None = None, rate: float = 0.2) -> Stability:
    """Rank the filters of a weight (k, c, kh, kw), or (k, l), in several ways and compare the rankings pairwise.

    variants: name -> options of ``simplex.positional_relevance``, at least two; by default ``VARIANTS``.
    rate: how many filters count as the most redundant and the most needed ones, as a share of k; at least one.

    Raises TypeError or ValueError naming the argument, an option among them.
    """
    k = len(filters_of("weight", weight))
    variants = VARIANTS if variants is None else variants
    if not isinstance(variants, Mapping) or not all(isinstance(name, str) and isinstance(told, Mapping) for name, told in variants.items()):
        raise TypeError(f"variants: got {checks.describe(variants)}, expected name -> options of positional_relevance")
    if len(variants) < 2:
        raise ValueError(f"variants: got {len(variants)}, expected at least two to compare")
    n = max(1, n_removed(checks.real("rate", rate, 0, 1), k))
    _try_options(k, variants)
    found = [positional_relevance(weight, **told) for told in variants.values()]
    groups = [one.archetypes if isinstance(one.archetypes, tuple) else (one.archetypes,) for one in found]
    return Stability(
        names=tuple(variants),
        spearman=_spearman(found),
        common=_common([ranking.redundant(n) for ranking in found], k),
        common_needed=_common([ranking.needed(n) for ranking in found], k),
        chance=n * n / k,
        n=n,
        l0=torch.stack([ranking.l0.double().mean() for ranking in found]),
        residual=torch.tensor([max(part.residual for part in parts) for parts in groups], dtype=torch.float64),
        converged=torch.tensor([all(part.converged for part in parts) for parts in groups]),
        rankings=tuple(found),
    )


def _try_options(k: int, variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Every variant on k equal filters, which take no analysis: a wrong option shows before the first ranking is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for told in variants.values():
            positional_relevance(torch.zeros(k, 1), **told)


def _spearman(found: list) -> Tensor:
    table = torch.eye(len(found), dtype=torch.float64)
    for i, a in enumerate(found):
        for j, b in enumerate(found[:i]):
            table[i, j] = table[j, i] = metrics.spearman(a.l0.double(), b.l0.double())
    return table


def _common(sets: list[Tensor], k: int) -> Tensor:
    """How many of k filters every two of v sets (n,) share (v, v)."""
    member = torch.stack([torch.zeros(k, dtype=torch.int64).index_fill_(0, one.cpu(), 1) for one in sets])
    return member @ member.T


@dataclass(frozen=True, eq=False)
class ChannelOrder:
    """Accuracy with one layer's filters replaced: its own in another order, fabricated ones as they are drawn, and the same
    fabricated ones each at the place of an original near it. ``distance``: mean distance of a fabricated filter from the one whose
    place it takes, drawn and matched, over the mean norm of the originals."""

    original: float
    permuted: float
    fabricated: float
    matched: float
    distance: tuple[float, float]


def channel_order(
    model: nn.Module,
    images: Any,
    layer: str,
    *,
    seed: int = 0,
    concentration: float | str | tuple = 1.0,
    fraction: float = 0.25,
    normalization: Any = None,
    batch_size: int = 100,
) -> ChannelOrder:
    """What becomes of a network when the filters of one layer change places or are fabricated, and nobody tells the next layer.

    Biases go with their filters: permuted alike, and mixed with the weights that mix the filters. Batch normalisation belongs to
    what follows and stays. "Matched": the one-to-one assignment of fabricated to original filters with the smallest sum of
    distances (Hungarian method, ``scipy.optimize.linear_sum_assignment``).

    images: ``data.Images``, or images (n, c, h, w) in [0, 1] with labels (n,). layer: a 2-D convolution with one group. seed: of the
    permutation, the archetypal analysis and the mixtures. concentration: as for ``simplex.fabricate``.

    The model is unchanged. Raises TypeError or ValueError naming the argument.
    """
    from scipy.optimize import linear_sum_assignment

    (images,), normalize, _ = checked(model, normalization, images=images)
    weight, module = network.filters(model, layer), model.get_submodule(layer)
    if module.groups != 1:
        raise ValueError(
            f"layer: {layer!r} has {module.groups} groups, whose filters see different channels; expected a convolution with one"
        )
    seed, batch_size = checks.integer("seed", seed, 0), checks.integer("batch_size", batch_size, 1)
    k = len(weight)
    d = archetype_count(k, share("fraction", fraction))
    bias = torch.zeros_like(weight[:, 0, 0, 0]) if module.bias is None else module.bias.detach()
    drawn = fabrication_weights(d, k, concentration=concentration, seed=seed)  # first, as it checks the concentration
    found = archetypal_analysis(weight.flatten(1).T, d, seed=seed)
    mixed = drawn.to(weight) @ found.B.T.to(weight)  # (k, k), of the originals
    made, made_bias = (mixed @ weight.flatten(1)).view_as(weight), mixed @ bias
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed)).to(weight.device)
    distances = torch.cdist(weight.flatten(1).double(), made.flatten(1).double())
    place = torch.as_tensor(linear_sum_assignment(distances.cpu().numpy())[1], device=weight.device)
    inputs = Inputs(images, normalize, model, batch_size)

    def accuracy(filters: Tensor, biases: Tensor) -> float:
        changed = copy.deepcopy(model)
        its = changed.get_submodule(layer)
        with torch.no_grad():
            its.weight.copy_(filters)
            if its.bias is not None:
                its.bias.copy_(biases)
        return inputs.accuracy(changed)

    size = weight.flatten(1).double().norm(dim=1).mean()
    return ChannelOrder(
        original=inputs.accuracy(model),
        permuted=accuracy(weight[order], bias[order]),
        fabricated=accuracy(made, made_bias),
        matched=accuracy(made[place], made_bias[place]),
        distance=tuple(float(distances.gather(1, to[:, None]).mean() / size) for to in (torch.arange(k, device=weight.device), place)),
    )
