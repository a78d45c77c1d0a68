"""The gates lens: filters that answer to one or few classes, by training (arXiv 2007.08194, ECCV 2020).

A matrix G of class-specific gates multiplies the final features by the row of the image's own class while some epochs are trained,
and is pushed to be sparse; at test time the gates are gone. The paper's main text was not at hand: this follows its appendix and
the authors' code for VOC, and every docstring says which, or that the choice is ours.

``matrix`` holds what G may be, ``classifier`` the two paths, ``train`` the training; ``similarity``, ``clusters`` and ``leak`` what is
measured afterwards, ``study`` all of it for one network. Localisation and adversarial samples are lenses of their own.
"""

from .classifier import GatedClassifier
from .clusters import ClassDistances, Clusters, MutualInformation, class_distances, find_clusters, mutual_information
from .leak import LabelLeak, label_leak
from .matrix import Schedule, density_bounds, fixed_gates, l1_density, owners, penalty, project_gates, split_filters
from .similarity import FilterCosines, Monopolised, Similarity, filter_cosines, gate_similarity, monopolised
from .study import GateStudy, study
from .train import GateHistory, by_tenths, train_gated, two_sgds

__all__ = [
    "ClassDistances",
    "Clusters",
    "FilterCosines",
    "GateHistory",
    "GateStudy",
    "GatedClassifier",
    "LabelLeak",
    "Monopolised",
    "MutualInformation",
    "Schedule",
    "Similarity",
    "by_tenths",
    "class_distances",
    "density_bounds",
    "filter_cosines",
    "find_clusters",
    "fixed_gates",
    "gate_similarity",
    "l1_density",
    "label_leak",
    "monopolised",
    "mutual_information",
    "owners",
    "penalty",
    "project_gates",
    "split_filters",
    "study",
    "train_gated",
    "two_sgds",
]
