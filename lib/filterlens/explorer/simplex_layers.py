"""What the simplex explorer knows of a layer: its filters in whole numbers, and for each number of archetypes what the lens found.

The lens (``filterlens.lenses.simplex``) works here, once, in full precision; ``simplex_panels`` and the page only read.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from filterlens import checks
from filterlens.explorer.images import encode
from filterlens.explorer.simplex_numbers import Plane, Shares, WholeFilters, hull_of, shares_of
from filterlens.explorer.simplex_words import SPARSE
from filterlens.lenses.simplex import expected_variance_ratio, fabrication_weights, positional_relevance, variance_ratio

PARTS = 10_000  # shares, errors and the like are told in these
CONCENTRATIONS = (SPARSE, 0.05, 0.2, 1.0, 5.0)
ENDS = 5  # filters shown at either end of the ranking
FABRICATED = 6  # fabricated filters with a picture, or as many as the layer has
DRAWN = 1_000  # fabricated filters whose variance is measured


@dataclass(frozen=True, eq=False)
class Fabrications:
    """Shares (d, at most FABRICATED) of the fabricated filters that are shown; alpha, and the two ratios of variances, in words."""

    shares: Shares
    alpha: str
    measured: str
    expected: str


@dataclass(frozen=True, eq=False)
class Found:
    """One number of archetypes. ``made``: archetypes in filters, ``codes``: filters in archetypes; (k,) arrays in 1/PARTS, -1 where undefined."""

    d: int
    degenerate: bool
    tau: float
    residual: int
    made: Shares
    codes: Shares
    l0: np.ndarray
    entropy: np.ndarray
    error: np.ndarray
    nearest: np.ndarray
    far: np.ndarray
    order: np.ndarray
    needed: np.ndarray  # the first ENDS
    fabrications: list[Fabrications]
    whole: np.ndarray  # archetypes (d, l) in the filters' whole numbers
    places: np.ndarray  # (d, 2) in the plane
    hull: list[int]  # archetypes at the corners of their outline there

    @cached_property
    def position(self) -> np.ndarray:
        """The place (k,) of each filter in ``order``, from 0."""
        return np.argsort(self.order, kind="stable")


class Layer:
    """A layer's filters (k, c, kh, kw), analysed with each of the fractions."""

    def __init__(self, weight: Tensor, fractions: Sequence[float], seed: int) -> None:
        self.n, *shape = weight.shape
        self.shape: tuple[int, int, int] = (shape[0], shape[1], shape[2])
        self.l = math.prod(self.shape)
        self.filters = WholeFilters(weight)
        values = weight.detach().double().cpu().flatten(1)
        sizes = values.norm(dim=1).numpy()
        self.mean_norm = float(sizes.mean()) or 1.0
        self.norm = _parts(sizes / self.mean_norm)
        self.plane = Plane(values.numpy())
        self.points, self.variance = self.plane.places(values.numpy()), _parts(self.plane.shares).tolist()
        self.found = [self._analysed(weight, values.T, sizes, fraction, seed) for fraction in fractions]

    def _analysed(self, weight: Tensor, X: Tensor, sizes: np.ndarray, fraction: float, seed: int) -> Found:
        with warnings.catch_warnings():  # what they say of degenerate layers stands in the panels
            warnings.simplefilter("ignore", UserWarning)
            ranking = positional_relevance(weight, fraction=fraction, seed=seed)
        archetypes, codes = ranking.archetypes, ranking.codes.cpu().numpy()
        D = archetypes.D.cpu().double()
        off = np.linalg.norm((X - D @ torch.from_numpy(codes).double()).numpy(), axis=0)
        error = np.where(sizes > 0, off / np.where(sizes > 0, sizes, 1.0), -1.0)
        distance = torch.cdist(X.T, D.T).numpy()
        made = shares_of(archetypes.B.cpu().double().numpy(), 1 / PARTS)
        places = self.plane.places(D.T.numpy())
        return Found(
            d=ranking.d, degenerate=bool(ranking.degenerate), tau=float(ranking.tau), residual=int(_parts(archetypes.residual)),
            made=made, codes=shares_of(codes.astype(np.float64), ranking.tau), l0=ranking.l0.cpu().numpy().astype(np.int64),
            entropy=_parts(ranking.entropy.cpu().double().numpy()), error=np.where(error < 0, -1, _parts(error)),
            nearest=distance.argmin(axis=1), far=_parts(distance.min(axis=1) / self.mean_norm),
            order=_indices(ranking.order), needed=_indices(ranking.needed(min(ENDS, self.n))),
            fabrications=[_fabricated(D, one, seed, len(self.originals)) for one in CONCENTRATIONS],
            whole=made.mixed(self.filters.whole), places=places, hull=hull_of(places),
        )  # fmt: skip

    @property
    def originals(self) -> list[int]:
        """Some filters, spread over the layer: what fabricated ones stand beside."""
        return [k * self.n // min(FABRICATED, self.n) for k in range(min(FABRICATED, self.n))]

    def shipped(self) -> dict[str, Any]:
        """All of it as protocol arrays and lists."""
        whole = self.filters
        return {
            "shape": list(self.shape), "filters": encode(whole.stored), "units": encode(_small(whole.units)), "step": whole.step,
            "points": encode(self.points), "variance": self.variance, "norm": encode(_small(self.norm)), "originals": self.originals,
            "found": [
                {
                    "d": one.d, "degenerate": one.degenerate, "tau": f"{one.tau:g}", "most": f"{math.log(one.d):.4f}",
                    "residual": one.residual, "made": _shared(one.made), "codes": _shared(one.codes), "hull": one.hull,
                    **{name: encode(_small(getattr(one, name))) for name in ("l0", "entropy", "error", "nearest", "far", "order", "needed")},
                    "places": encode(one.places),
                    "fabrications": [
                        {"shares": _shared(made.shares), "alpha": made.alpha, "measured": made.measured, "expected": made.expected}
                        for made in one.fabrications
                    ],
                }
                for one in self.found
            ],
        }  # fmt: skip


class Layers(Mapping[str, Layer]):
    """Layers by name, each analysed when it is first asked for."""

    def __init__(self, weights: Mapping[str, Tensor], fractions: Sequence[float], seed: int) -> None:
        self._weights, self._fractions, self._seed = weights, fractions, seed
        self._made: dict[str, Layer] = {}

    def __getitem__(self, name: str) -> Layer:
        if name not in self._made:
            self._made[name] = Layer(self._weights[name], self._fractions, self._seed)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def checked_layers(layers: object, largest: int) -> dict[str, Tensor]:
    """Copies of weights by name, or TypeError or ValueError; ``largest``: numbers of all of them that a page holds."""
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers: got {checks.describe(layers)}, expected a dict from names to weights (k, c, kh, kw)")
    if not layers:
        raise ValueError("layers: got an empty dict, expected at least one layer's weight (k, c, kh, kw)")
    for name, weight in layers.items():
        if not isinstance(name, str):
            raise TypeError(f"layers: got the name {checks.describe(name)}, expected text")
        checks.tensor(f"layers[{name!r}]", weight, "k c kh kw")
        if weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"layers[{name!r}]: got {checks.describe(weight)}, expected float32 or float64")
        if len(weight) < 2:
            raise ValueError(f"layers[{name!r}]: got {checks.describe(weight)}, expected at least two filters")
    if (size := sum(weight.numel() for weight in layers.values())) > largest:
        raise ValueError(f"layers: got {size:,} weights in all, expected at most {largest:,}: they lie beside the page")
    return {name: weight.detach().clone() for name, weight in layers.items()}


def _fabricated(D: Tensor, concentration: float | str, seed: int, shown: int) -> Fabrications:
    d = D.shape[1]
    weights = fabrication_weights(d, DRAWN, concentration=concentration, seed=seed).double()
    alpha = 1 / d if concentration == SPARSE else float(concentration)
    measured = variance_ratio(D, D @ weights.T) if d > 1 else math.nan
    said = [f"{value:.3g}" if math.isfinite(value) else "–" for value in (alpha, measured, expected_variance_ratio(d, alpha))]
    return Fabrications(shares_of(weights[:shown].T.numpy(), 0.0), *said)


def _indices(found: Tensor) -> np.ndarray:
    return found.cpu().numpy().astype(np.int64)


def _parts(values: Any) -> np.ndarray:
    return np.rint(np.asarray(values, dtype=np.float64) * PARTS).astype(np.int64)


def _shared(shares: Shares) -> dict[str, Any]:
    return {"starts": encode(shares.starts.astype(np.int32)), "rows": encode(_small(shares.rows)), "parts": encode(_small(shares.parts))}


def _small(table: np.ndarray) -> np.ndarray:
    """Whole numbers in the narrowest type that the page reads."""
    return table.astype(np.uint16 if table.min() >= 0 and table.max() < 2**16 else np.int32)
