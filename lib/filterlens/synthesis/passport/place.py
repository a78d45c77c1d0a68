"""The first part of a passport: where a filter lies among its layer's, by the simplex lens and by the rankings it is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from filterlens.lenses import ranking
from filterlens.lenses.simplex import PositionalRanking, layer_relevance
from filterlens.lenses.simplex.plane import principal_components
from filterlens.lenses.simplex.reading import filters_and_groups

from .parts import Place

METHODS = tuple(method for method in ranking.METHODS if method != "random")  # a permutation says nothing of a filter


def place_of(model: nn.Module, layer: str, filter: int, *, seed: int) -> Place:
    """``Place`` of a filter; ValueError, in words, where its layer has no cloud of filters to lie in."""
    weight, groups = filters_and_groups(f"layer: {layer!r}", model.get_submodule(layer))
    k = len(weight)
    if k == 1:
        raise ValueError(f"it is the only filter of {layer!r}: there is no other to compare it with")
    if groups == k:
        raise ValueError(
            f"{layer!r} is depthwise: each of its {k} filters sees a channel of its own, so none can stand in for another and there is no "
            "cloud of filters for it to lie in"
        )
    found = layer_relevance(model, layer, seed=seed)
    size = k // groups
    group = filter // size
    among = torch.arange(group * size, (group + 1) * size, device=weight.device)
    rows, at = weight[among].flatten(1), filter - group * size
    analysed = found.archetypes[group] if isinstance(found.archetypes, tuple) else found.archetypes
    corners, norm = analysed.D.T.double(), float(rows[at].double().norm())
    away = torch.cdist(rows[at : at + 1].double(), corners, compute_mode="donot_use_mm_for_euclid_dist")[0]
    nearest = int(away.argmin())
    principal = principal_components(rows)
    return Place(
        ranking=found,
        among=among,
        ranks={method: _rank(_order(method, found, weight[among], among, seed), at) for method in METHODS},
        ties=int((found.l0[among] == found.l0[filter]).sum()),
        l0=int(found.l0[filter]),
        code=analysed.A[:, at],
        nearest=nearest,
        distance=float(found.to_archetype[filter]) / norm if norm else float("nan"),
        made_of=int(among[analysed.B[:, nearest].argmax()]),
        points=_plane(principal.places(rows.cpu())),
        corners=_plane(principal.places(corners.cpu())),
        shares=_plane(principal.shares[None])[0],
    )


def _order(method: str, found: PositionalRanking, weight: Tensor, among: Tensor, seed: int) -> Tensor:
    """Places in ``among``, most redundant first."""
    if method != "positional":
        return ranking.rank(weight, method, seed=seed).order
    return found.order[torch.isin(found.order, among)] - among[0]


def _rank(order: Tensor, at: int) -> int:
    return 1 + int((order == at).nonzero()[0, 0])


def _plane(places: Tensor) -> Tensor:
    """The first two columns (n, 2); a line has a second one of zeros."""
    return torch.cat([places, places.new_zeros(len(places), 2)], 1)[:, :2]
