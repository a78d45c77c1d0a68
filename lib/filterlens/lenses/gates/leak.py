"""The label leak: the row of gates itself tells the classifier the label, so that the CSG path's accuracy proves nothing.

Shown on inputs that carry no information, such as one constant image: whatever the CSG path still "recognises" there it was told.
Uses ``classifier`` and no training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import checks, network
from .classifier import GatedClassifier


@dataclass(frozen=True, eq=False)
class LabelLeak:
    """What the CSG path answers when it is told each label in turn.

    ``logits`` (n, C, C): image, claimed label, class; ``accuracy``: share of the n C answers that are the claimed label, by chance
    1 / C; ``per_label`` (C,): the same for each claimed label; ``std_predicted`` (n,) int64: the answer of the STD path, which is told
    nothing; ``std_accuracy``: how often that is the true label, NaN if none were given.
    """

    logits: Tensor
    accuracy: float
    per_label: Tensor
    std_predicted: Tensor
    std_accuracy: float


def label_leak(classifier: GatedClassifier, images: Tensor, labels: Tensor | None = None, *, batch_size: int = 256) -> LabelLeak:
    """Run every image through the CSG path once for each label that could be claimed, with that label's gates (spec section 5; ours).

    images: (n, c, h, w) NORMALIZED, better such as carry no information: one constant image, or noise.
    labels: (n,) true ones, for ``std_accuracy`` alone.
    batch_size: images at a time.

    Evaluation mode, no gradients, C + 1 forward passes; the classifier leaves in the mode it came in. Of equal logits the first
    counts. Peak memory: one batch's forward pass and the logits. Raises TypeError or ValueError naming the argument.
    """
    if not isinstance(classifier, GatedClassifier):
        raise TypeError(f"classifier: got {checks.describe(classifier)}, expected a GatedClassifier")
    checks.tensor("images", images, "n c h w")
    n, C = len(images), classifier.n_classes
    if labels is not None:
        labels = checks.labels("labels", labels, n, C)
    batch_size = checks.integer("batch_size", batch_size, 1)
    plain, claimed = [], []
    with network.evaluating(classifier), network._blamed("images", images):
        for part in images.split(batch_size):
            plain.append(classifier(part))
            claimed.append(torch.stack([classifier.csg(part, torch.full((len(part),), c)) for c in range(C)], 1))
    logits, std_predicted = torch.cat(claimed), torch.cat(plain).argmax(1)
    followed = (logits.argmax(2) == torch.arange(C, device=logits.device)).double()
    std_accuracy = float("nan") if labels is None else float((std_predicted == labels.to(std_predicted.device)).double().mean())
    return LabelLeak(logits, float(followed.mean()), followed.mean(0), std_predicted, std_accuracy)
