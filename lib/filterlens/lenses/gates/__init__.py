"""The gates lens: filters that answer to one or few classes, by training (arXiv 2007.08194, ECCV 2020).

A matrix G of class-specific gates multiplies the final features by the row of the image's own class while some epochs are trained,
and is pushed to be sparse; at test time the gates are gone. The paper's main text was not at hand: this follows its appendix and
the authors' code for VOC, and every docstring says which, or that the choice is ours.

``matrix`` holds what G may be, ``classifier`` the two paths, ``train`` the training, ``similarity`` and ``clusters`` what is measured
of the features afterwards. Localisation and adversarial samples are lenses of their own.
"""

from .classifier import GatedClassifier
from .matrix import Schedule, density_bounds, fixed_gates, l1_density, owners, penalty, project_gates, split_filters
from .train import GateHistory, by_tenths, train_gated, two_sgds

__all__ = [
    "GateHistory",
    "GatedClassifier",
    "Schedule",
    "by_tenths",
    "density_bounds",
    "fixed_gates",
    "l1_density",
    "owners",
    "penalty",
    "project_gates",
    "split_filters",
    "train_gated",
    "two_sgds",
]
