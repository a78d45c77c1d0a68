"""The detector on planted features, and Wilson's interval against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from filterlens.lenses.adversarial import DETECTORS, detect, wilson


def planted(n, shift, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, 7, generator=draw) + shift * torch.tensor([1.0, 0, -1, 0, 0, 2, 0])


@pytest.mark.parametrize("detector", DETECTORS)
def test_far_kinds_are_told_apart_and_the_same_kind_is_not(detector):
    far = detect(planted(60, 0, 0), planted(50, 4, 1), planted(30, 0, 2), planted(20, 4, 3), detector=detector)
    assert far.accuracy == 1 and far.auc == 1 and far.detector == detector
    same = detect(planted(200, 0, 0), planted(200, 0, 1), planted(300, 0, 2), planted(300, 0, 3), detector=detector)
    assert 0.42 < same.accuracy < 0.58 and 0.42 < same.auc < 0.58


@pytest.mark.parametrize("detector", DETECTORS)
def test_numbers_follow_from_the_scores(detector):
    found = detect(planted(90, 0, 0), planted(70, 0.5, 1), planted(40, 0, 2), planted(11, 0.5, 3), detector=detector)
    assert (found.n_train, found.n_test) == (160, 51) and found.scores.shape == found.truth.shape == (51,)
    assert int(found.truth.sum()) == 11 and not found.truth[:40].any()
    clean, bad = found.scores[~found.truth], found.scores[found.truth]
    assert found.accuracy == pytest.approx(((clean <= 0.5).double().mean() + (bad > 0.5).double().mean()).item() / 2)
    above = (bad[:, None] > clean).double() + 0.5 * (bad[:, None] == clean).double()
    assert found.auc == pytest.approx(above.mean().item()) and 0.5 < found.auc < 1


def test_kinds_weigh_the_same_however_many_there_are():
    few = detect(planted(400, 0, 0), planted(40, 1, 1), planted(300, 0, 2), planted(300, 1, 3), detector="logistic")
    called = (few.scores > 0.5).double()
    assert abs(called[few.truth].mean() + called[~few.truth].mean() - 1) < 0.15  # errors of both kinds alike


def test_logistic_regression_does_not_feel_the_units_and_the_forest_follows_its_seed():
    parts = [planted(60, 0, 0), planted(60, 1, 1), planted(30, 0, 2), planted(30, 1, 3)]
    scaled = [part * torch.logspace(-3, 3, 7) + 5 for part in parts]
    a, b = detect(*parts, detector="logistic"), detect(*scaled, detector="logistic")
    assert (a.scores - b.scores).abs().max() < 1e-3
    c, d, e = (detect(*parts, seed=seed).scores for seed in (0, 0, 1))
    assert torch.equal(c, d) and not torch.equal(c, e)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 10), (10, 10), (250, 1000)])
@pytest.mark.parametrize(("level", "z"), [(0.95, 1.959964), (0.9, 1.644854)])
def test_wilson_is_its_formula(successes, n, level, z):
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = wilson(successes, n, level=level)
    assert (low, high) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-6)
    assert low <= share <= high
