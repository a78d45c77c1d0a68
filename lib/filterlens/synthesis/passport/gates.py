"""The fifth part of a passport: the gates of the filter, one for each class, where the network was trained with some."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from filterlens import network
from filterlens.lenses.gates import l1_density

from .parts import Gates
from .response import Written, written


def gates_of(
    model: nn.Module, layer: str, filter: int, images: Tensor, found: Written | None, gates: Tensor | None, at: str | None
) -> Gates:
    """``Gates`` of a filter from the matrix (C, K); ValueError, in words, without gates or where they are not on this filter.

    images: normalized, two are used. found: the pooled features that it writes. at: the module whose output is gated, None for the
    features that are pooled.
    """
    if gates is None:
        raise ValueError("the network was not trained with gates")
    if at is not None:
        found = written(model, layer, filter, images[:2], lambda shown: _mean(model, at, shown))
    where = "the pooled features" if at is None else repr(at)
    if found is None or found.only is None:
        count = 0 if found is None else int(found.reached.sum())
        raise ValueError(f"the gates are on {where}: this filter reaches {count or 'none'} of them, so no gate is its own")
    values = gates[:, found.only].detach().cpu()
    largest = (values == values.max()).nonzero()[:, 0].tolist()
    return Gates(values, tuple(largest), int((values > 0.5).sum()), float(values.double().mean()), l1_density(gates))


def _mean(model: nn.Module, at: str, images: Tensor) -> Tensor:
    with network.evaluating(model):
        found = network.stop_at(model, at)(images.clone())
    return found if found.ndim == 2 else torch.flatten(found, 2).mean(2)
