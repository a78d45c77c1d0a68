"""Adversarial samples: made by five attacks, told from clean ones by their pooled features (class-specific gates, appendices I and J).

``attack`` makes them: FGSM, PGD and Carlini-Wagner see gradients, one pixel and local search only class probabilities; all but the
last through the Adversarial Robustness Toolbox. ``detect`` trains a detector on pooled features. ``wilson`` gives the interval that
belongs to every rate.
"""

from .attack import BLACK_BOX, METHODS, WHITE_BOX, Attacked, attack
from .detection import DETECTORS, Detection, detect, wilson

__all__ = ["BLACK_BOX", "DETECTORS", "METHODS", "WHITE_BOX", "Attacked", "Detection", "attack", "detect", "wilson"]
