"""The projection onto the simplex and simplex least squares, against brute force; bad input of every function of the solver."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from filterlens.lenses import simplex
from filterlens.lenses.simplex.projection import project_near, project_rows

torch.set_num_threads(1)


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.filterwarnings("error")
def test_the_wrapper_takes_read_only_points() -> None:
    points = drawn(1, 9, 4).numpy()
    fixed = points.copy()
    fixed.flags.writeable = False
    found = simplex.ArchetypalAnalysis(3).fit(fixed)
    assert np.array_equal(found.coefficients_, simplex.ArchetypalAnalysis(3).fit(points).coefficients_)
    assert found.transform(fixed).shape == (9, 3) and not fixed.flags.writeable


def brute_force(G: Tensor, c: Tensor) -> Tensor:
    """min 1/2 a G a - c a over the simplex by trying every support: the best feasible point of all affine hulls."""
    d, best, value = len(c), None, torch.inf
    for size in range(1, d + 1):
        for support in itertools.combinations(range(d), size):
            P = list(support)
            M = torch.zeros(size + 1, size + 1, dtype=G.dtype)
            M[:size, :size], M[:size, size], M[size, :size] = G[P][:, P], 1, 1
            z = torch.linalg.lstsq(M, torch.cat([c[P], torch.ones(1, dtype=G.dtype)])).solution[:size]
            if (z >= -1e-12).all():
                a = torch.zeros(d, dtype=G.dtype)
                a[P] = z.clamp(min=0)
                f = float(a @ G @ a / 2 - c @ a)
                if f < value:
                    best, value = a, f
    return best


@pytest.mark.parametrize("seed", range(8))
def test_projection_is_the_nearest_point_by_brute_force(seed):
    v = drawn(seed, 6) * (0.2 + seed)
    torch.testing.assert_close(simplex.project_simplex(v), brute_force(torch.eye(6, dtype=torch.float64), v), rtol=0, atol=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.booleans())
@settings(max_examples=150, deadline=None)
def test_projection_meets_its_optimality_conditions(values, single):
    """Feasible, idempotent, and v - p is constant on the support and no larger off it: that is the projection."""
    v = torch.tensor(values, dtype=torch.float32 if single else torch.float64)
    eps = torch.finfo(v.dtype).eps
    p = simplex.project_simplex(v)
    assert (p >= 0).all() and abs(float(p.sum()) - 1) <= 16 * eps
    torch.testing.assert_close(simplex.project_simplex(p), p, rtol=0, atol=16 * eps)
    rest = v - p
    room = 32 * eps * max(1.0, float(v.abs().max()))
    assert (rest <= rest[p > 0].min() + room).all() and float(rest[p > 0].max() - rest[p > 0].min()) <= room


def test_projection_along_any_axis_leaves_exact_zeros_and_the_argument():
    v = drawn(1, 3, 5, 4, dtype=torch.float32)
    kept = v.clone()
    for dim in (0, 1, 2, -1):
        p = simplex.project_simplex(v, dim)
        torch.testing.assert_close(p.sum(dim), torch.ones_like(p.sum(dim)))
        each = p.movedim(dim, -1).reshape(-1, v.shape[dim])
        rows = [simplex.project_simplex(row) for row in v.movedim(dim, -1).reshape(-1, v.shape[dim])]
        torch.testing.assert_close(each, torch.stack(rows))
    assert torch.equal(v, kept) and (simplex.project_simplex(v, 1) == 0).any()
    inside = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    torch.testing.assert_close(simplex.project_simplex(inside), inside, rtol=0, atol=1e-15)


def test_near_projection_is_in_the_simplex_from_any_guess_and_exact_from_a_good_one():
    v = drawn(2, 40, 9)
    exact = project_rows(v)
    tau = (v - exact).masked_fill(exact == 0, -torch.inf).amax(1, keepdim=True)
    torch.testing.assert_close(project_near(v, tau + 1e-3)[0], exact, rtol=0, atol=1e-12)
    for guess in (-50.0, 0.0, 50.0):
        p, _ = project_near(v, torch.full_like(tau, guess))
        assert (p >= 0).all()
        torch.testing.assert_close(p.sum(1), torch.ones(40, dtype=v.dtype))


@pytest.mark.parametrize("seed", range(6))
def test_codes_are_the_simplex_least_squares_solution_by_brute_force(seed):
    X, D = drawn(seed, 7, 9), drawn(seed + 100, 7, 5)
    codes = simplex.simplex_codes(X, D, tol=1e-12)
    expected = torch.stack([brute_force(D.T @ D, D.T @ x) for x in X.T], 1)
    torch.testing.assert_close(codes.A, expected, rtol=0, atol=1e-9)
    assert codes.converged and torch.equal(codes.A == 0, expected == 0)
    g = D.T @ (D @ codes.A - X)
    torch.testing.assert_close(codes.gap, (g * codes.A).sum(0) - g.min(0).values, rtol=0, atol=1e-12)
    assert (codes.gap <= 1e-12 * (X - D.mean(1, keepdim=True)).square().sum(0) + 1e-11).all()


def test_codes_in_single_precision_have_true_zeros_and_a_bounded_gap():
    X, D = drawn(3, 20, 31, dtype=torch.float32), drawn(4, 20, 8, dtype=torch.float32)
    codes, exact = simplex.simplex_codes(X, D), simplex.simplex_codes(X.double(), D.double())
    assert codes.A.dtype == torch.float32 and codes.converged and (codes.A == 0).any()
    torch.testing.assert_close(codes.A.double(), exact.A, rtol=0, atol=1e-5)
    torch.testing.assert_close((codes.A > 0).sum(0), (exact.A > 0).sum(0))


def test_basic_codes_give_the_same_mixture_from_affinely_independent_archetypes():
    """12 archetypes in R^3, points inside: at most 4 of them are needed, and those that are used are independent."""
    D = drawn(5, 3, 12)
    X = D @ torch.distributions.Dirichlet(torch.ones(12, dtype=torch.float64)).sample((17,)).T
    basic, any_ = simplex.simplex_codes(X, D, tol=1e-12, basic=True), simplex.simplex_codes(X, D, tol=1e-12)
    torch.testing.assert_close(D @ basic.A, X, rtol=0, atol=1e-6)
    torch.testing.assert_close(D @ basic.A, D @ any_.A, rtol=0, atol=1e-6)
    assert ((basic.A > 0).sum(0) <= 4).all() and basic.converged
    lifted = torch.cat([D, torch.ones(1, 12, dtype=torch.float64)])
    for a in basic.A.T:
        assert torch.linalg.matrix_rank(lifted[:, a > 0]) == (a > 0).sum()


def test_duplicate_filters_get_equal_codes():
    X = torch.cat([drawn(6, 6, 15), drawn(6, 6, 15)[:, 3:7]], 1)
    A = simplex.simplex_codes(X, X[:, :5].contiguous()).A
    torch.testing.assert_close(A[:, 15:], A[:, 3:7], rtol=0, atol=1e-12)


X0 = drawn(9, 6, 11)
CALLS = {
    "project_simplex": (lambda v: simplex.project_simplex(v), "v"),
    "simplex_codes X": (lambda X: simplex.simplex_codes(X, X0[:, :3]), "X"),
    "simplex_codes D": (lambda D: simplex.simplex_codes(X0, D), "D"),
    "furthest_first": (lambda X: simplex.furthest_first(X, 2), "X"),
    "furthest_sum": (lambda X: simplex.furthest_sum(X, 2), "X"),
    "uniform": (lambda X: simplex.uniform(X, 2), "X"),
    "archetypal_analysis": (lambda X: simplex.archetypal_analysis(X, 2), "X"),
    "coreset": (lambda X: simplex.coreset(X, 2), "X"),
    "fit": (lambda X: simplex.ArchetypalAnalysis(2).fit(X.numpy() if isinstance(X, Tensor) else X), "X"),
}
MATRICES = {
    "a list": ([[1.0, 2.0]], TypeError),
    "rank 0": (torch.tensor(1.0), ValueError),
    "integers": (torch.ones(6, 11, dtype=torch.int64), TypeError),
    "half": (torch.ones(6, 11, dtype=torch.float16), TypeError),
    "empty": (torch.ones(6, 0), ValueError),
    "NaN": (torch.full((6, 11), torch.nan), ValueError),
    "infinite": (torch.full((6, 11), torch.inf), ValueError),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("given_", MATRICES)
@pytest.mark.parametrize("call", CALLS)
def test_bad_matrices_are_named(call, given_):
    run, name = CALLS[call]
    value, error = MATRICES[given_]
    with pytest.raises(error, match=rf"^{name}\b"):
        run(value)


ARGUMENTS = [
    ("v", lambda: simplex.project_simplex(np.ones(3)), TypeError),
    ("dim", lambda: simplex.project_simplex(X0, 2), ValueError),
    ("dim", lambda: simplex.project_simplex(X0, 0.5), TypeError),
    ("X", lambda: simplex.simplex_codes(X0[0], X0), ValueError),
    ("D", lambda: simplex.simplex_codes(X0, X0[:5, :3]), ValueError),
    ("D", lambda: simplex.simplex_codes(X0, X0[:, :3].float()), ValueError),
    ("tol", lambda: simplex.simplex_codes(X0, X0[:, :3], tol=-1), ValueError),
    ("tol", lambda: simplex.simplex_codes(X0, X0[:, :3], tol="small"), TypeError),
    ("max_iter", lambda: simplex.simplex_codes(X0, X0[:, :3], max_iter=0), ValueError),
    ("basic", lambda: simplex.simplex_codes(X0, X0[:, :3], basic=1), TypeError),
    *[
        pair
        for start in (simplex.furthest_first, simplex.furthest_sum, simplex.uniform)
        for pair in (
            ("d", lambda start=start: start(X0, 12), ValueError),
            ("d", lambda start=start: start(X0, 0), ValueError),
            ("d", lambda start=start: start(X0, 2.0), TypeError),
            ("seed", lambda start=start: start(X0, 2, seed=-1), ValueError),
            ("seed", lambda start=start: start(X0, 2, seed=None), TypeError),
        )
    ],
    ("d", lambda: simplex.archetypal_analysis(X0, 12), ValueError),
    ("d", lambda: simplex.archetypal_analysis(X0, True), TypeError),
    ("seed", lambda: simplex.archetypal_analysis(X0, 2, seed=-1), ValueError),
    ("tol", lambda: simplex.archetypal_analysis(X0, 2, tol=float("nan")), ValueError),
    ("max_iter", lambda: simplex.archetypal_analysis(X0, 2, max_iter=0), ValueError),
    ("restarts", lambda: simplex.archetypal_analysis(X0, 2, restarts=0), ValueError),
    ("method", lambda: simplex.archetypal_analysis(X0, 2, method="gramm"), ValueError),
    ("method", lambda: simplex.archetypal_analysis(X0, 2, method=None), TypeError),
    ("init", lambda: simplex.archetypal_analysis(X0, 2, init="furthest"), ValueError),
    ("init", lambda: simplex.archetypal_analysis(X0, 2, init=torch.tensor([1, 1])), ValueError),
    ("init", lambda: simplex.archetypal_analysis(X0, 2, init=torch.tensor([1, 11])), ValueError),
    ("init", lambda: simplex.archetypal_analysis(X0, 2, init=torch.tensor([1, 2, 3])), ValueError),
    ("init", lambda: simplex.archetypal_analysis(X0, 2, init=torch.tensor([1.0, 2.0])), TypeError),
    ("init", lambda: simplex.archetypal_analysis(X0, 2, init=torch.tensor([1, 2]), restarts=2), ValueError),
    ("coreset", lambda: simplex.archetypal_analysis(X0, 2, coreset=0), ValueError),
    ("coreset", lambda: simplex.archetypal_analysis(X0, 5, coreset=2), ValueError),
    ("m", lambda: simplex.coreset(X0, 0), ValueError),
    ("m", lambda: simplex.coreset(X0, "all"), TypeError),
    ("seed", lambda: simplex.coreset(X0, 2, seed=1.5), TypeError),
    ("n_archetypes", lambda: simplex.ArchetypalAnalysis(0).fit(X0.numpy()), ValueError),
    ("n_archetypes", lambda: simplex.ArchetypalAnalysis(50).fit(X0.numpy()), ValueError),
    ("X", lambda: simplex.ArchetypalAnalysis(2).fit(X0[0].numpy()), ValueError),
    ("X", lambda: simplex.ArchetypalAnalysis(2).transform(X0.numpy()), ValueError),
    ("method", lambda: simplex.ArchetypalAnalysis(2, method="pgd").fit(X0.numpy()), ValueError),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "run", "error"), ARGUMENTS)
def test_bad_arguments_are_named(name, run, error):
    with pytest.raises(error, match=rf"^{name}\b"):
        run()
