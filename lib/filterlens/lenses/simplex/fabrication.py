"""Fabricated filters: random mixtures of a layer's archetypes, C = D Y^T with the rows of Y in the simplex (section 4.2).

The law of Y is not given. With Dirichlet(alpha) weights Cov(c) = Cov(D) / (d alpha + 1), Cov(D) with divisor d: mixtures of 128
archetypes at alpha = 1 keep 1/129 of their variance, nearly copies of the mean filter. Hence "sparse" and ``variance_ratio``.
``fabricated_networks`` does it for all layers of a network.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ... import checks
from .archetypes import Archetypes
from .codes import points

SMALLEST, LARGEST = 1e-6, 1e6  # of the concentration; beyond, single precision sees one archetype or the mean


def fabricate(archetypes: Archetypes | Tensor, n: int, *, concentration: float | str | tuple[str, int] = 1.0, seed: int = 0) -> Tensor:
    """n fabricated filters (l, n), one per column, from archetypes D (l, d) or the result of ``archetypal_analysis``.

    ``.T.reshape(n, c, kh, kw)`` makes them a convolution's weight. concentration and seed: see ``fabrication_weights``. In D's
    dtype and on its device; every column lies in the convex hull of the archetypes. Raises TypeError or ValueError naming
    the argument.
    """
    D = _archetypes(archetypes)
    weights = fabrication_weights(D.shape[1], n, concentration=concentration, seed=seed)
    return D @ weights.T.to(D)


def fabrication_weights(d: int, n: int, *, concentration: float | str | tuple[str, int] = 1.0, seed: int = 0) -> Tensor:
    """Y (n, d), float64, rows in the simplex: how much of each of d archetypes is in each of n fabricated filters.

    concentration: alpha in [1e-6, 1e6], rows are Dirichlet(alpha, ..., alpha), 1 being uniform on the simplex; "sparse", alpha = 1/d,
        which keeps half of the archetypes' variance for every d; ("k-sparse", k), Dirichlet(1) on k archetypes drawn for each row.
    seed: of NumPy's default generator, in double precision, where small alpha does not underflow; no other generator is touched.

    Raises TypeError or ValueError naming the argument.
    """
    d, n = checks.integer("d", d, 1), checks.integer("n", n, 1)
    alpha, k = law(concentration, d)
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    weights = np.zeros((n, d))
    if k < d:
        support = generator.permuted(np.tile(np.arange(d), (n, 1)), axis=1)[:, :k]
        np.put_along_axis(weights, support, generator.dirichlet(np.full(k, alpha), size=n), axis=1)
    else:
        weights = generator.dirichlet(np.full(d, alpha), size=n)
    return torch.from_numpy(weights / weights.sum(1, keepdims=True))


def variance_ratio(archetypes: Archetypes | Tensor, fabricated: Tensor) -> float:
    """tr Cov(c) / tr Cov(D): the share of the archetypes' variance that fabricated filters (l, n) kept.

    Cov(c) has divisor n - 1, without bias for the law's; Cov(D) has divisor d, as the formula asks. NaN if all archetypes are equal.
    Raises TypeError or ValueError naming the argument, also for fewer than two fabricated filters.
    """
    D = _archetypes(archetypes).double()
    checks.tensor("fabricated", fabricated, "l n", sizes={"l": len(D)})
    if fabricated.shape[1] < 2:
        raise ValueError(f"fabricated: got {checks.describe(fabricated)}, expected at least two filters")
    whole = float(D.var(1, correction=0).sum())
    return float(fabricated.detach().double().var(1).sum()) / whole if whole else float("nan")


def expected_variance_ratio(d: int, concentration: float | str | tuple[str, int]) -> float:
    """What ``variance_ratio`` tends to: 1 / (d alpha + 1), so 1/2 for "sparse"; (2 d / (k + 1) - 1) / (d - 1) for ("k-sparse", k).

    d: at least 2, since one archetype has no variance. Raises TypeError or ValueError naming the argument.
    """
    d = checks.integer("d", d, 2)
    alpha, k = law(concentration, d)
    return 1 / (d * alpha + 1) if k == d else (2 * d / (k + 1) - 1) / (d - 1)


def law(concentration: object, d: int) -> tuple[float, int]:
    """alpha of a concentration, and how many of d archetypes a row mixes; TypeError or ValueError if it is none."""
    known = f"a number in [{SMALLEST}, {LARGEST:.0e}], 'sparse' or ('k-sparse', k)"
    if isinstance(concentration, str):
        if concentration != "sparse":
            raise ValueError(f"concentration: got {concentration!r}, expected {known}")
        return 1 / d, d
    if isinstance(concentration, tuple | list):
        if len(concentration) != 2 or concentration[0] != "k-sparse":
            raise ValueError(f"concentration: got {concentration!r}, expected {known}")
        return 1.0, checks.integer("concentration: k", concentration[1], 1, d)
    return checks.real("concentration", concentration, SMALLEST, LARGEST), d


def _archetypes(archetypes: object) -> Tensor:
    return points("archetypes", archetypes.D if isinstance(archetypes, Archetypes) else archetypes, "l d")
