"""Archetypal analysis in scikit-learn's manner: points are rows, numpy arrays in and out, no import of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ... import checks
from .archetypes import archetypal_analysis
from .codes import simplex_codes


class ArchetypalAnalysis:
    """``fit``/``transform`` around ``archetypal_analysis``; options are its keyword arguments (seed, tol, init, restarts, ...).

    After ``fit``: ``archetypes_`` (n_archetypes, n_features), ``coefficients_`` (n_samples, n_archetypes), ``residual_``,
    ||X - coefficients archetypes||_F / ||X||_F, and ``result_``, the full ``Archetypes`` with points in columns.
    """

    def __init__(self, n_archetypes: int, **options: Any) -> None:
        self.n_archetypes, self.options = n_archetypes, options

    def fit(self, X: np.ndarray, y: object = None) -> ArchetypalAnalysis:
        """X (n_samples, n_features), float32 or float64. Raises TypeError or ValueError naming the argument."""
        columns = _columns(X)
        n = checks.integer("n_archetypes", self.n_archetypes, 1, columns.shape[1])
        self.result_ = archetypal_analysis(columns, n, **self.options)
        self.archetypes_ = self.result_.D.T.numpy()
        self.coefficients_ = self.result_.A.T.numpy()
        self.residual_ = self.result_.residual
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Codes (n_samples, n_archetypes) of other points for the archetypes found."""
        if not hasattr(self, "result_"):
            raise ValueError("X: got points to transform before fit was called, expected fit first")
        return simplex_codes(_columns(X), self.result_.D).A.T.numpy()

    def fit_transform(self, X: np.ndarray, y: object = None) -> np.ndarray:
        """Codes of the points the archetypes were found for."""
        return self.fit(X).coefficients_


def _columns(X: object) -> torch.Tensor:
    if not isinstance(X, np.ndarray):
        raise TypeError(f"X: got {checks.describe(X)}, expected a numpy array (n_samples, n_features)")
    if X.ndim != 2:
        raise ValueError(f"X: got an array of shape {X.shape}, expected (n_samples, n_features)")
    return torch.from_numpy(np.require(X, requirements=["C", "W"])).T  # a copy of read-only points, which torch warns of
