"""Isolation with and without its suppression and its regulariser (arXiv 2108.11054, Table 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from .compare import MethodRow, done_rows, measure_methods, several
from .rows import MEASURES

# name -> what is switched off: preservation is in all of them, without it nothing holds the kernel
TERMS = {"Lp+Ls": {"beta": 0.0}, "Lp+Lr": {"alpha": 0.0}, "Lp+Ls+Lr": {}}


class TermRow(NamedTuple):
    """One isolated image, its loss the sum of ``terms``, measured as ``isolation.selectivity`` says; ``loss``: the lowest of that sum."""

    layer: str
    terms: str
    kernel: int
    image: int
    ssim: float
    mse_selected: float
    mse_rest: float
    mse_rest_ratio: float
    preservation: float
    selectivity: float
    loss: float


def ablate_terms(
    model: nn.Module,
    layer: str,
    kernels: int | Sequence[int],
    images: Tensor,
    *,
    terms: Sequence[str] = tuple(TERMS),
    pre_activation: bool = False,
    options: Mapping[str, Any] | None = None,
    on_row: Callable[[TermRow], None] | None = None,
    done: Iterable[TermRow] = (),
    progress: bool = False,
) -> list[TermRow]:
    """Isolation for every choice of terms, kernel and image: rows by terms, kernel, image.

    terms: some of ``TERMS``; options: arguments of ``isolate``, whose alpha and beta are the weights of the terms that stay on.
    The rest is as in ``measure_methods``. Raises TypeError or ValueError naming the argument, before any work.
    """
    terms = several("terms", terms, tuple(TERMS))
    known = done_rows(done, TermRow)
    rows: list[TermRow] = []
    for name in terms:

        def told(row: MethodRow, name: str = name) -> TermRow:
            return TermRow(layer, name, row.kernel, row.image, *(getattr(row, key) for key in MEASURES), row.loss)

        def tell(row: MethodRow, told: Callable = told) -> None:
            on_row(told(row))

        earlier = [MethodRow(row.layer, "isolation", "raw", *row[2:]) for row in known if row.terms == name]
        found = measure_methods(
            model, layer, kernels, images, methods=["isolation"], pre_activation=pre_activation, done=earlier, progress=progress,
            options={**(options or {}), **TERMS[name]} if options is None or isinstance(options, Mapping) else options,
            on_row=tell if callable(on_row) else on_row,
        )  # fmt: skip
        rows += [told(row) for row in found]
    return rows
