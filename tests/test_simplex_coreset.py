"""Coresets estimate sums without bias, and an analysis of one codes every filter."""

from __future__ import annotations

import pytest
import torch

from filterlens.lenses import simplex
from filterlens.lenses.simplex import gram

torch.set_num_threads(1)


def cloud(seed: int = 0, l: int = 4, n: int = 30) -> torch.Tensor:
    return torch.randn(l, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weighted_sums_are_unbiased():
    """E[sum w_i f(x_i)] = sum f(x_i): the mean of 800 coresets within four standard errors, for three functions."""
    X = cloud()
    drawn = [simplex.coreset(X, 12, seed=seed) for seed in range(800)]
    for f in (torch.ones(30, dtype=X.dtype), X[0], X.square().sum(0).sqrt()):
        sums = torch.stack([each.weights @ f[each.indices] for each in drawn])
        assert abs(sums.mean() - f.sum()) <= 4 * sums.std() / len(sums) ** 0.5
        assert sums.std() > 0


def test_weights_are_those_of_the_drawn_probabilities():
    X = cloud(1)
    q = (X - X.mean(1, keepdim=True)).square().sum(0)
    q /= q.sum()
    drawn = simplex.coreset(X, 9, seed=3)
    torch.testing.assert_close(drawn.weights, 1 / (9 * q[drawn.indices]))
    again = simplex.coreset(X, 9, seed=3)
    assert torch.equal(drawn.indices, again.indices) and not torch.equal(drawn.indices, simplex.coreset(X, 9, seed=4).indices)


def test_a_constant_cloud_is_drawn_uniformly():
    drawn = simplex.coreset(torch.full((5, 8), 0.1), 6)
    torch.testing.assert_close(drawn.weights, torch.full((6,), 8 / 6))


def test_analysis_of_a_coreset_codes_all_filters_and_mixes_sampled_ones():
    X = cloud(2, 5, 60)
    kept = X.clone()
    found, full = simplex.archetypal_analysis(X, 6, coreset=40, seed=1), simplex.archetypal_analysis(X, 6, seed=1)
    sampled = simplex.coreset(X, 40, seed=1).indices
    outside = torch.ones(60, dtype=torch.bool)
    outside[sampled] = False
    assert found.A.shape == (6, 60) and found.B.shape == (60, 6) and (found.B[outside] == 0).all()
    torch.testing.assert_close(found.D, X @ found.B)
    torch.testing.assert_close(found.A, simplex.simplex_codes(X, found.D, tol=1e-10).A, rtol=0, atol=1e-5)
    assert full.residual < found.residual < 1.2 * full.residual
    assert set(found.starts.tolist()) <= set(sampled.tolist()) and torch.equal(X, kept)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_equal_weights_change_nothing(weight):
    X = cloud(3)
    points = gram.Points(X - X.mean(1, keepdim=True))
    b = torch.eye(30, dtype=X.dtype)[:4]
    plain, _ = gram.best_of(points, [b], tol=1e-8, max_iter=60)
    weighted, _ = gram.best_of(points, [b], torch.full((30,), weight, dtype=X.dtype), tol=1e-8, max_iter=60)
    torch.testing.assert_close(weighted.b, plain.b, rtol=0, atol=1e-8)
    assert weighted.rss[-1] == pytest.approx(weight * plain.rss[-1])
