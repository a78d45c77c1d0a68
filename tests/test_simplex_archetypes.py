"""Archetypal analysis against a slow literal solver and against what is known exactly: d = N, d = 1, planted simplices, symmetries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from filterlens.lenses import simplex
from filterlens.lenses.simplex import gram

torch.set_num_threads(1)


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mixtures(seed: int, d: int, n: int, concentration: float = 1.0) -> Tensor:
    """n columns of Dirichlet(concentration) weights over d vertices."""
    gamma = np.random.default_rng(seed).dirichlet(np.full(d, concentration), n)
    return torch.from_numpy(gamma).T


def planted(seed: int, *, stretched: bool) -> tuple[Tensor, int]:
    """A cloud whose first d columns are the vertices of a simplex in R^l and whose others lie inside; d, l, N vary."""
    d, n = 3 + seed % 4, 25 + seed % 17
    l = d + seed % 3
    V = drawn(seed, l, d)
    if stretched:
        V = V * torch.logspace(0, 1.5, l, dtype=V.dtype)[:, None]
    return torch.cat([V, V @ mixtures(seed, d, n - d)], 1), d


def literal_projection(v: Tensor) -> Tensor:
    """Sort-based, as printed."""
    u = sorted(v.tolist(), reverse=True)
    rho = max(j for j in range(1, len(u) + 1) if u[j - 1] + (1 - sum(u[:j])) / j > 0)
    return (v - (sum(u[:rho]) - 1) / rho).clamp(min=0)


def literal_codes(x: Tensor, D: Tensor, a: Tensor, steps: int = 150) -> Tensor:
    """Projected accelerated gradient on ||x - D a||^2, one column."""
    G, c = D.T @ D, D.T @ x
    rate, ahead, t = 1 / float(torch.linalg.eigvalsh(G)[-1]), a, 1.0
    for _ in range(steps):
        new = literal_projection(ahead - rate * (G @ ahead - c))
        if float((ahead - new) @ (new - a)) > 0:
            t = 1.0
        after = (1 + (1 + 4 * t * t) ** 0.5) / 2
        ahead, a, t = new + (t - 1) / after * (new - a), new, after
    return a


def literal_turn(X: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor, list[float]]:
    """One turn of the block-coordinate solver: codes column by column, then archetypes one at a time; the residual after each block."""
    D = X @ B
    A = torch.stack([literal_codes(x, D, a) for x, a in zip(X.T, A.T, strict=True)], 1)
    rss = [float((X - D @ A).square().sum())]
    B = B.clone()
    for j in range(D.shape[1]):
        alpha = A[j]
        s = float(alpha.square().sum())
        if s < 1e-12:
            continue
        target = D[:, j] + (X - D @ A) @ alpha / s
        B[:, j] = literal_codes(target, X, B[:, j])
        D = X @ B
        rss.append(float((X - D @ A).square().sum()))
    return A, B, rss


@pytest.mark.parametrize("seed", range(2))
def test_the_slow_solver_cannot_improve_what_the_fast_one_found(seed):
    """And from the same start it does not end lower by much: both are local searches of one problem."""
    l, n, d = 4, 9, 3
    X = drawn(seed, l, n)
    found = simplex.archetypal_analysis(X, d, seed=seed, tol=1e-11, max_iter=3000)
    assert found.converged
    _, _, rss = literal_turn(X, found.A, found.B)
    assert found.rss - rss[-1] <= 1e-5 * found.rss and rss[0] <= found.rss * (1 + 1e-9)
    B = torch.zeros(n, d, dtype=X.dtype)
    B[found.starts, torch.arange(d)] = 1
    A, before = torch.full((d, n), 1 / d, dtype=X.dtype), torch.inf
    for _ in range(4):
        A, B, rss = literal_turn(X, A, B)
        assert all(late <= early * (1 + 1e-9) for early, late in zip([before, *rss], rss, strict=False)), "the oracle itself never rises"
        before = rss[-1]
    assert found.rss <= before * 1.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["gram", "nnls-ls"])
def test_the_result_is_what_it_says(method, dtype):
    """Simplices, D = X B, residual, gap as defined, history that never rises, true zeros; the same again for the same seed."""
    X = drawn(3, 9, 40, dtype=dtype) + 2
    kept = X.clone()
    found = simplex.archetypal_analysis(X, 7, seed=5, method=method)
    assert torch.equal(X, kept) and found.D.shape == (9, 7) and found.A.shape == (7, 40) and found.B.shape == (40, 7)
    for weights in (found.A, found.B):
        assert weights.dtype == dtype and (weights >= 0).all() and (weights == 0).any()
        torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.D, X @ found.B, rtol=0, atol=1e-5)
    Y, D, A = X.double(), found.D.double(), found.A.double()
    assert found.rss == pytest.approx(float((Y - D @ A).square().sum()), rel=1e-4)
    assert found.residual == pytest.approx(float((Y - D @ A).norm() / Y.norm()), rel=1e-4)
    g = D.T @ (D @ A - Y)
    gap = float((g * A).sum() - g.min(0).values.sum())
    assert found.gap == pytest.approx(gap, rel=0.2, abs=1e-4) and found.gap <= 2e-6 * float((Y - Y.mean(1, keepdim=True)).square().sum())
    assert all(late <= early for early, late in zip(found.history, found.history[1:], strict=False))
    assert found.history[-1] == pytest.approx(found.residual, rel=1e-5)
    assert found.converged and not found.degenerate and (found.method, found.seed, found.init) == (method, 5, "furthest_first")
    again = simplex.archetypal_analysis(X, 7, seed=5, method=method)
    assert torch.equal(again.A, found.A) and torch.equal(again.B, found.B) and again.history == found.history


def test_every_turn_lowers_the_residual_or_is_rejected(monkeypatch):
    """Also with steps so long that most of them fail."""
    X = drawn(4, 30, 50)
    points = gram.Points(X - X.mean(1, keepdim=True))
    monkeypatch.setattr(gram, "LONG", 40.0)
    descent = gram.Descent(points, torch.eye(50, dtype=X.dtype)[:9])
    accepted = [descent.turn() for _ in range(60)]
    assert not all(accepted) and any(accepted)
    assert all(late <= early for early, late in zip(descent.rss, descent.rss[1:], strict=False))
    assert descent.rss[-1] == pytest.approx(float((points.F - points.F @ descent.b.T @ descent.a.T).square().sum()), rel=1e-9)


@pytest.mark.parametrize(("l", "n"), [(30, 20), (6, 40)])
def test_gram_matrix_and_factor_are_the_same_cloud(l, n):
    points, b = gram.Points(drawn(1, l, n)), drawn(2, 5, n)
    assert (points.K is None) == (n > 2 * l)
    torch.testing.assert_close(points.times(b), b @ (points.F.T @ points.F))


def test_as_many_archetypes_as_filters_is_exact():
    X = drawn(5, 6, 9, dtype=torch.float32)
    found = simplex.archetypal_analysis(X, 9)
    assert torch.equal(found.D, X) and torch.equal(found.A, torch.eye(9)) and found.residual == 0 and found.converged


@pytest.mark.parametrize("method", ["gram", "nnls-ls"])
def test_one_archetype_is_the_mean_filter_and_leaves_the_scatter(method):
    X = drawn(6, 5, 12) + 1
    found = simplex.archetypal_analysis(X, 1, method=method)
    torch.testing.assert_close(found.D, X.mean(1, keepdim=True))
    assert found.rss == pytest.approx(12 * float(X.var(1, correction=0).sum())) and (found.A == 1).all()


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("block", range(5))
def test_planted_simplices_are_recovered(block, stretched):
    """Generators in the cloud, float64, up to ten starts: 2 x 5 x 10 clouds, every vertex to 1e-6, and what their codes must be."""
    for seed in range(10 * block, 10 * block + 10):
        X, d = planted(seed, stretched=stretched)
        for init, restarts in (("furthest_sum", 2), ("uniform", 4), ("furthest_first", 4)):
            found = simplex.archetypal_analysis(X, d, init=init, restarts=restarts, tol=1e-10)
            if found.residual <= 1e-6:
                break
        distance = torch.cdist(X[:, :d].T, found.D.T, compute_mode="donot_use_mm_for_euclid_dist")
        assert float(distance.min(1).values.max()) <= 1e-6, (seed, stretched)
        assert sorted(distance.argmin(1).tolist()) == list(range(d)) and found.residual <= 1e-6
        assert ((found.A[:, :d] > 1e-4).sum(0) == 1).all(), "a vertex is its own code"
    ends = torch.stack([X[:, 0], (X[:, 0] + X[:, 1]) / 2, X[:, :d].mean(1)], 1)
    assert (simplex.simplex_codes(ends, found.D).A > 1e-4).sum(0).tolist() == [1, 2, d]


def test_distance_to_the_hull_is_at_most_that_to_the_nearest_archetype():
    """Lemma 1 of Mair & Brefeld: the residual is at most the quantisation error of the same D."""
    for seed in range(5):
        X = drawn(seed, 8, 30)
        found = simplex.archetypal_analysis(X, 6, seed=seed, max_iter=30)
        squared = (X - found.D @ found.A).square().sum(0)
        nearest = torch.cdist(X.T, found.D.T).square().min(1).values
        assert (squared <= nearest + 1e-9).all() and found.rss < float(nearest.sum())


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-30, 30))
def test_shift_rotation_scale_and_order_change_nothing(seed, scale, shift):
    """With a fixed start and a fixed number of turns A and B stay; permuting filters permutes them."""
    X = drawn(seed, 5, 14)
    start, options = torch.tensor([3, 0, 9, 12]), {"max_iter": 12, "tol": 0.0}
    first = simplex.archetypal_analysis(X, 4, init=start, **options)
    Q = torch.linalg.qr(drawn(seed + 1, 5, 5)).Q
    for Y in (X * scale, X + shift, Q @ X):
        other = simplex.archetypal_analysis(Y, 4, init=start, **options)
        torch.testing.assert_close(other.A, first.A, rtol=0, atol=1e-5)
        torch.testing.assert_close(other.B, first.B, rtol=0, atol=1e-5)
    order = torch.randperm(14, generator=torch.Generator().manual_seed(seed))
    other = simplex.archetypal_analysis(X[:, order], 4, init=torch.argsort(order)[start], **options)
    torch.testing.assert_close(other.A, first.A[:, order], rtol=0, atol=1e-5)
    torch.testing.assert_close(other.B, first.B[order], rtol=0, atol=1e-5)


def test_a_mixture_of_filters_does_not_change_the_hull():
    X, d = planted(7, stretched=False)
    more = torch.cat([X, X @ mixtures(1, X.shape[1], 3)], 1)
    D = [simplex.archetypal_analysis(cloud, d, restarts=10, tol=1e-10).D for cloud in (X, more)]
    assert float(torch.cdist(D[0].T, D[1].T).min(1).values.max()) <= 1e-6


def test_duplicate_and_zero_filters_are_points_like_others():
    X = drawn(8, 6, 20)
    X = torch.cat([X, X[:, 4:8], torch.zeros(6, 1, dtype=X.dtype)], 1)
    found = simplex.archetypal_analysis(X, 6)
    torch.testing.assert_close(found.A[:, 20:24], found.A[:, 4:8], rtol=0, atol=1e-9)
    constant = simplex.archetypal_analysis(torch.full((6, 9), 0.3), 3)
    assert constant.residual <= 1e-6 and constant.starts.unique().numel() == 3 and torch.isfinite(constant.A).all()
    zero = simplex.archetypal_analysis(torch.zeros(6, 9), 3)
    assert zero.residual == 0 and torch.isfinite(zero.A).all()


def test_a_degenerate_simplex_is_flagged_and_coded_basically():
    """9 archetypes of points in R^3: no code needs more than 4."""
    found = simplex.archetypal_analysis(drawn(2, 3, 30), 9)
    assert found.degenerate and ((found.A > 0).sum(0) <= 4).all()
    assert found.gap <= 1e-6 * found.rss + 1e-9


def test_restarts_keep_the_best_and_starts_say_which():
    X = drawn(1, 20, 60)
    one = simplex.archetypal_analysis(X, 12, init="uniform", seed=3)
    many = simplex.archetypal_analysis(X, 12, init="uniform", seed=3, restarts=6)
    assert many.residual <= one.residual and many.restarts == 6
    assert any(torch.equal(many.starts, simplex.uniform(X, 12, seed=3 + i)) for i in range(6))
    fixed = simplex.archetypal_analysis(X, 12, init=one.starts)
    assert fixed.init == "given" and fixed.residual == pytest.approx(one.residual)


def test_starts_follow_their_definitions():
    X = drawn(11, 4, 17)
    far = torch.cdist(X.T, X.T)
    chosen = simplex.furthest_first(X, 6, seed=2).tolist()
    for i in range(1, 6):
        assert chosen[i] == int(far[chosen[:i]].min(0).values.argmax())
    chosen = simplex.furthest_sum(X, 6, seed=2).tolist()
    assert chosen[0] == int(far[int(far[int(simplex.uniform(X, 1, seed=2))].argmax())].argmax())
    for i in range(1, 6):
        total = far[chosen[:i]].sum(0)
        total[chosen[:i]] = -1
        assert chosen[i] == int(total.argmax())
    for start in (simplex.furthest_first, simplex.furthest_sum, simplex.uniform):
        assert start(X, 17, seed=1).sort().values.tolist() == list(range(17))
        assert len(set(start(torch.cat([X, X], 1), 30).tolist())) == 30
        assert start(torch.ones(4, 9), 5).unique().numel() == 5
    doubled = simplex.furthest_first(torch.cat([X, X], 1), 17, seed=0)
    assert (doubled % 17).unique().numel() == 17, "copies of chosen filters come last"


def test_the_wrapper_speaks_in_rows():
    X = drawn(12, 4, 25).T.contiguous().numpy()
    wrapper = simplex.ArchetypalAnalysis(5, seed=1)
    codes = wrapper.fit_transform(X)
    assert codes.shape == (25, 5) and wrapper.archetypes_.shape == (5, 4)
    assert wrapper.residual_ == pytest.approx(np.linalg.norm(X - codes @ wrapper.archetypes_) / np.linalg.norm(X))
    np.testing.assert_allclose(wrapper.transform(X), codes, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-18, 1e-12, 1e9, 1e15])
def test_float32_clouds_of_any_scale_have_the_same_archetypes(scale):
    X = drawn(3, 7, 20, dtype=torch.float32)
    plain, scaled = (simplex.archetypal_analysis(cloud, 4) for cloud in (X, X * scale))
    assert scaled.residual == pytest.approx(plain.residual, rel=1e-4) and scaled.rss == pytest.approx(scale**2 * plain.rss, rel=1e-3)
    torch.testing.assert_close(scaled.D / scale, plain.D, rtol=1e-2, atol=1e-2)
