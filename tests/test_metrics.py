"""Each metric against its definition, written out slowly."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filterlens import metrics

LOGITS = torch.tensor([[0.1, 0.7, 0.2], [3.0, -1.0, 2.0], [0.0, 0.0, 5.0], [1.0, 1.0, 0.5]])


def test_accuracy() -> None:
    assert metrics.accuracy(LOGITS, torch.tensor([1, 2, 2, 1])) == 0.5  # of equal logits the first counts: row 3 says 0
    assert metrics.accuracy(LOGITS, torch.tensor([1, 0, 2, 0], dtype=torch.uint8)) == 1.0


def test_top1_agreement() -> None:
    other = torch.tensor([[0.0, 9.0, 0.0], [5.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert metrics.top1_agreement(LOGITS, other) == 0.5
    assert metrics.top1_agreement(LOGITS, 7 * LOGITS - 3) == 1.0


def test_mean_squared_error_sums_in_double_precision() -> None:
    a, b = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[1.0, 0.0, 7.0]])
    assert metrics.mean_squared_error(a, b) == pytest.approx(13 / 3)
    ones = torch.ones(2**17, dtype=torch.float16)  # their sum overflows half precision
    assert metrics.mean_squared_error(ones, -ones) == 4.0


def test_pearson_and_spearman_on_paper() -> None:
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 4.0, 9.0, 16.0])
    assert metrics.spearman(a, b) == pytest.approx(1) and metrics.spearman(a, -b) == pytest.approx(-1)
    assert metrics.pearson(a, b) == pytest.approx(25 / math.sqrt(5 * 129))
    assert metrics.spearman(torch.tensor([1.0, 1.0, 3.0]), torch.tensor([2.0, 1.0, 3.0])) == pytest.approx(math.sqrt(3) / 2)  # ties share


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(2,), (3, 5), (2, 3, 4)]), st.sampled_from([1e-30, 1.0, 1e30]))
def test_correlations_agree_with_scipy(seed: int, shape: tuple[int, ...], scale: float) -> None:
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=shape), draw.normal(size=shape).round(1)
    if len(np.unique(b)) == 1:
        return
    x, y = torch.from_numpy(a * scale), torch.from_numpy(b)
    assert metrics.pearson(x, y) == pytest.approx(scipy.stats.pearsonr(a.ravel(), b.ravel()).statistic, abs=1e-9)
    assert metrics.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-9)


def test_a_constant_has_no_correlation() -> None:
    a, b = torch.full((7,), 0.1), torch.arange(7.0)
    assert all(math.isnan(value) for f in (metrics.pearson, metrics.spearman) for value in (f(a, b), f(b, a)))


@pytest.mark.parametrize("name", ["pearson", "spearman", "top1_agreement"])
def test_per_image_is_each_image_by_itself(name: str) -> None:
    """Of different scale and offset, so that a mean or a maximum over all images would show."""
    draw = torch.Generator().manual_seed(4)
    shape = (5, 6) if name == "top1_agreement" else (5, 2, 3, 4)
    a, b = torch.randn(shape, generator=draw), torch.randn(shape, generator=draw).round()
    scale = torch.logspace(-12, 12, 5).reshape(-1, *[1] * (len(shape) - 1))
    a = a * scale + scale
    b[2] = a[2]
    found = getattr(metrics, f"{name}_per_image")(a, b)
    alone = [getattr(metrics, name)(*((x[None], y[None]) if name == "top1_agreement" else (x, y))) for x, y in zip(a, b, strict=True)]
    assert found.shape == (5,) and found.tolist() == pytest.approx(alone, abs=1e-12) and alone[2] == pytest.approx(1)
    assert found.dtype == (torch.bool if name == "top1_agreement" else torch.float64) and len(set(found.tolist())) > 1


def test_a_constant_image_has_no_correlation_and_leaves_the_others_theirs() -> None:
    a, b = torch.arange(12.0).reshape(3, 4), torch.arange(12.0).flip(0).reshape(3, 4)
    a[1] = 0.1
    for f in (metrics.pearson_per_image, metrics.spearman_per_image):
        for found in (f(a, b).tolist(), f(b, a).tolist()):
            assert math.isnan(found[1]) and found[::2] == pytest.approx([-1, -1])


def test_reliability_on_paper() -> None:
    """Logits whose softmax is known; 4 bins. Confidences .6 .7 .3 .74 1."""
    p = torch.tensor([[0.6, 0.2, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.25, 0.25, 0.2, 0.3], [0.74, 0.26, 0, 0], [0, 0, 1.0, 0]]).double()
    found = metrics.reliability(p.log().clamp(min=-1e4), torch.tensor([0, 0, 3, 0, 1]), bins=4)
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1] and found.count.tolist() == [0, 1, 3, 1]
    assert found.confidence.tolist() == pytest.approx([math.nan, 0.3, (0.6 + 0.7 + 0.74) / 3, 1], nan_ok=True)
    assert found.accuracy.tolist() == pytest.approx([math.nan, 1, 2 / 3, 0], nan_ok=True)
    assert found.ece == pytest.approx((0.7 * 1 + 3 * abs(2 / 3 - 2.04 / 3) + 1) / 5)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    """Two equal logits and a hopeless third are confidences of exactly 1/2; alone, a logit is one of 1."""
    found = metrics.reliability(torch.tensor([[0.0, 0.0, -1e4], [0.0, -1e4, -1e4]]), torch.tensor([0, 1]), bins=4)
    assert found.count.tolist() == [0, 1, 0, 1] and found.accuracy[[1, 3]].tolist() == [1, 0] and found.ece == 0.75


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 6), st.integers(1, 20))
def test_reliability_bin_by_bin(seed: int, n: int, c: int, bins: int) -> None:
    draw = np.random.default_rng(seed)
    logits, labels = draw.normal(size=(n, c)) * 3, draw.integers(0, c, n)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found, ece = metrics.reliability(torch.from_numpy(logits), torch.from_numpy(labels), bins=bins), 0.0
    for m in range(bins):
        rows = [i for i in range(n) if m / bins < p[i].max() <= (m + 1) / bins]
        assert int(found.count[m]) == len(rows)
        if rows:
            right, sure = np.mean([p[i].argmax() == labels[i] for i in rows]), np.mean([p[i].max() for i in rows])
            assert (float(found.accuracy[m]), float(found.confidence[m])) == pytest.approx((right, sure))
            ece += len(rows) / n * abs(right - sure)
        else:
            assert found.accuracy[m].isnan() and found.confidence[m].isnan()
    assert found.ece == pytest.approx(ece, abs=1e-12) and int(found.count.sum()) == n


def test_reliability_of_a_calibrated_and_of_an_overconfident_classifier() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 3, generator=draw)
    labels = torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
    assert metrics.reliability(logits, labels).ece < 0.02 and metrics.reliability(9 * logits, labels).ece > 0.2
    assert len(metrics.reliability(logits, labels).count) == 15 and metrics.reliability(logits.half(), labels).ece < 0.02


@pytest.mark.bad_input
def test_what_is_expected_is_said_in_good_english() -> None:
    with pytest.raises(TypeError, match="expected an integer tensor"):
        metrics.accuracy(LOGITS, torch.rand(4))
    with pytest.raises(TypeError, match="expected a floating-point tensor"):
        metrics.accuracy(LOGITS.long(), torch.tensor([0, 1, 2, 0]))


A = torch.rand(4, 3)
LABELS = torch.tensor([0, 1, 2, 0])
BAD = [
    ("logits", metrics.accuracy, (A[0], LABELS), ValueError),
    ("logits", metrics.accuracy, (A.long(), LABELS), TypeError),
    ("logits", metrics.accuracy, (A / 0, LABELS), ValueError),
    ("logits", metrics.accuracy, (A[:0], LABELS[:0]), ValueError),
    ("logits", metrics.accuracy, ("a", LABELS), TypeError),
    ("labels", metrics.accuracy, (A, LABELS[:3]), ValueError),
    ("labels", metrics.accuracy, (A, LABELS.float()), TypeError),
    ("labels", metrics.accuracy, (A, LABELS + 1), ValueError),
    ("labels", metrics.accuracy, (A, LABELS - 1), ValueError),
    ("labels", metrics.accuracy, (A, LABELS[:, None]), ValueError),
    ("logits", metrics.reliability, (A[0], LABELS), ValueError),
    ("logits", metrics.reliability, (A.long(), LABELS), TypeError),
    ("logits", metrics.reliability, (A * float("nan"), LABELS), ValueError),
    ("logits", metrics.reliability, (A[:0], LABELS[:0]), ValueError),
    ("labels", metrics.reliability, (A, LABELS[:3]), ValueError),
    ("labels", metrics.reliability, (A, LABELS.float()), TypeError),
    ("labels", metrics.reliability, (A, LABELS + 1), ValueError),
    ("labels", metrics.reliability, (A, LABELS - 1), ValueError),
    ("bins", partial(metrics.reliability, bins=0), (A, LABELS), ValueError),
    ("bins", partial(metrics.reliability, bins=1.5), (A, LABELS), TypeError),
    ("a", metrics.top1_agreement, (A[0], A), ValueError),
    ("a", metrics.top1_agreement, (None, A), TypeError),
    ("b", metrics.top1_agreement, (A, A[:2]), ValueError),
    ("b", metrics.top1_agreement, (A, A * float("nan")), ValueError),
    ("b", metrics.top1_agreement, (A, A.int()), TypeError),
    *[
        case
        for f in (metrics.mean_squared_error, metrics.pearson, metrics.spearman, metrics.pearson_per_image, metrics.spearman_per_image)
        for case in [
            ("a", f, (1.0, A), TypeError),
            ("a", f, (A[:0], A[:0]), ValueError),
            ("a", f, (A.long(), A), TypeError),
            ("b", f, (A, A[:2]), ValueError),
            ("b", f, (A, A.T), ValueError),
            ("b", f, (A, A * float("nan")), ValueError),
        ]
    ],
    ("a", metrics.top1_agreement_per_image, (A[0], A), ValueError),
    ("b", metrics.top1_agreement_per_image, (A, A[:, :2]), ValueError),
    *[("a", f, (bad, bad), ValueError) for f in (metrics.pearson_per_image, metrics.spearman_per_image) for bad in (A[0], A[:, :1])],
    ("a", metrics.pearson, (A[:1, 0], A[:1, 0]), ValueError),
    ("a", metrics.spearman, (A[:1, 0], A[:1, 0]), ValueError),
]


@pytest.mark.bad_input
@pytest.mark.parametrize("name, function, arguments, error", BAD)
def test_bad_input(name: str, function, arguments: tuple, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}:"):
        function(*arguments)
