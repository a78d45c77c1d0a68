"""Clean or adversarial? A detector on pooled features (class-specific gates, appendix I), and the interval of a rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks

DETECTORS = ("forest", "logistic")


@dataclass(frozen=True, eq=False)
class Detection:
    """What a detector says of features it was not trained on.

    ``scores`` (n_test,) float64, the probability of being adversarial, clean samples first; ``truth`` (n_test,) bool;
    ``accuracy`` at 1/2: the mean of the shares of clean and of adversarial samples told right; ``auc``: area under the ROC curve;
    ``n_train``, ``n_test`` of both kinds together; ``detector``.
    """

    accuracy: float
    auc: float
    n_train: int
    n_test: int
    scores: Tensor
    truth: Tensor
    detector: str


def detect(
    clean: Tensor, adversarial: Tensor, clean_test: Tensor, adversarial_test: Tensor, *, detector: str = "forest", seed: int = 0
) -> Detection:
    """Train a detector on ``clean`` (n, K) and ``adversarial`` (m, K) features, test it on ``clean_test`` and ``adversarial_test``.

    The appendix names neither detector nor feature (spec 004 section 2.13); pooled features and both detectors are ours.

    detector: "forest" a random forest of 200 trees, "logistic" logistic regression on features standardised by the training set.
    Both kinds weigh the same in training and in ``accuracy``, also when their numbers differ.
    seed: of the forest.

    Raises TypeError or ValueError naming the argument.
    """
    K = {"K": checks.tensor("clean", clean, "n K").shape[1]}
    checks.tensor("adversarial", adversarial, "n K", sizes=K)
    checks.tensor("clean_test", clean_test, "n K", sizes=K)
    checks.tensor("adversarial_test", adversarial_test, "n K", sizes=K)
    checks.choice("detector", detector, DETECTORS)
    checks.integer("seed", seed, 0, 2**32 - 1)
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    train, kinds = _together(clean, adversarial)
    test, truth = _together(clean_test, adversarial_test)
    scores = _detector(detector, seed).fit(train, kinds).predict_proba(test)[:, 1]
    accuracy, auc = balanced_accuracy_score(truth, scores > 0.5), roc_auc_score(truth, scores)
    return Detection(
        float(accuracy), float(auc), len(train), len(test), torch.from_numpy(scores), torch.from_numpy(truth), detector
    )  # fmt: skip


def _together(clean: Tensor, adversarial: Tensor) -> tuple:
    """Features (n + m, K) float64 and whether each row is adversarial (n + m,), as numpy arrays."""
    features = torch.cat([part.detach().double().cpu() for part in (clean, adversarial)])
    return features.numpy(), (torch.arange(len(features)) >= len(clean)).numpy()


def _detector(name: str, seed: int) -> object:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "forest":
        return RandomForestClassifier(200, class_weight="balanced", random_state=seed)
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5000))


def wilson(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a rate of ``successes`` out of ``n`` at a confidence ``level``: (low, high).

    Raises TypeError or ValueError naming the argument.
    """
    checks.integer("n", n, 1)
    checks.integer("successes", successes, 0, n)
    if not 0 < checks.real("level", level, 0.0, 1.0) < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1, neither of them")
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)
