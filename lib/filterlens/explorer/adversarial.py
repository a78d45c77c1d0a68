"""The adversarial explorer: an image before and after an attack, and its pooled features over the gates of its classes.

``adversarial_panels`` draws; here are the axes. Part of the gates lens (appendices I and J).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from filterlens import checks
from filterlens.explorer.adversarial_panels import SPOKEN, AdversarialPanels, AttackedNetwork, checked
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer


def adversarial_explorer(
    images: Tensor, networks: Mapping[str, AttackedNetwork], *, classes: Sequence[str],
    start: Mapping[str, Option] | None = None, title: str = "What an attack does to the features", name: str | None = None,
    bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """Pick a network, an image and an attack; see the picture, the predictions, the detector's score and the pooled features.

    images: (n, 1 or 3, h, w) in [0, 1], before the attacks; networks: by the name to be shown, each attacked on these images.
    classes: C names. start, name, bake: as ``Explorer`` takes them.

    Axes: ``network``, ``image``, ``attack`` (those of the network). About 8 kB a state for images of 32 x 32 in colour.
    Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("images", images, "n c h w")
    if images.shape[1] not in (1, 3) or float(images.min()) < 0 or float(images.max()) > 1:
        raise ValueError(f"images: got {checks.describe(images)}, expected 1 or 3 channels with entries in [0, 1]")
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(one, str) for one in classes):
        raise TypeError(f"classes: got {checks.describe(classes)}, expected a list of names")
    if not classes:
        raise ValueError("classes: got an empty list, expected at least one name")
    if not isinstance(networks, Mapping) or not networks or not all(isinstance(one, str) for one in networks):
        raise TypeError(f"networks: got {checks.describe(networks)}, expected a dict from names of networks to AttackedNetwork")
    found = {network: checked(f"networks[{network!r}]", one, images, len(classes)) for network, one in networks.items()}
    attacks = {network: list(one.attacked) for network, one in found.items()}
    labels = next(iter(next(iter(found.values())).attacked.values())).labels.tolist()
    axes = {
        "network": Axis(list(found)),
        "image": Axis(range(len(images)), labels={i: f"{i}: {classes[label]}" for i, label in enumerate(labels)}),
        "attack": Axis(attacks, by="network", labels=SPOKEN),
    }
    made = AdversarialPanels(images.detach().cpu(), classes, found)
    return Explorer(axes, made.attacked, start=start, bake=bake, title=title, name=name)
