"""The explorer of masks: one image, the filters of its class, three ways to say where they look, and the true mask.

``lenses.localization`` makes the maps; ``masks_numbers`` stores them, ``masks_panels`` draws. Part of the gates lens (appendix H).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from filterlens import checks
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.masks_numbers import SIGMAS, PointingMaps, whole_maps
from filterlens.explorer.masks_panels import MasksPanels

THRESHOLDS = tuple(k / 10 for k in range(31))


def masks_explorer(
    pictures: Tensor, masks: Tensor, labels: Tensor, maps: Mapping[str, PointingMaps], *, classes: Sequence[str], share: float = 0.3,
    start: Mapping[str, Option] | None = None, title: str = "Where do the filters of a class look?", name: str | None = None,
    bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """GradMap, ActivMap and CAM of one image, cut to masks by thresholds and a blur that can be moved, beside the true mask.

    pictures: (n, 1 or 3, h, w) in [0, 1], not normalized; masks: (n, h, w) bool, the true objects; labels: (n,) into ``classes``.
    maps: by network, of the same images, for the filters offered with each of them (those of its class, say).
    share: of CAM's own threshold, the top share of each image's pixels (appendix H: 0.3).
    start, name, bake: as ``Explorer`` takes them.

    Axes: ``network``, ``image``, ``filter``, ``threshold`` (0 to 3, in units of each method's own: GradMap 1 after normalisation and blur,
    ActivMap the filter's own top share over the set, CAM the image's), ``sigma`` (of GradMap's blur in pixels). It starts with 1 and 5,
    the paper's; beside every IoU stands that of the method's own settings in full precision, as all else is of maps in 8 bits.
    Counted from a map's lowest number (CAM) or from 0; pixels there are never marked.

    The page fetches pictures and maps when somebody reaches for a control, and blurs and cuts them itself.
    Raises TypeError or ValueError naming the argument.
    """
    checks.tensor("pictures", pictures, "n c h w")
    n, c, h, w = pictures.shape
    if c not in (1, 3) or float(pictures.min()) < 0 or float(pictures.max()) > 1:
        raise ValueError(f"pictures: got {checks.describe(pictures)}, expected 1 or 3 channels with entries in [0, 1]")
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        raise TypeError(f"masks: got {checks.describe(masks)}, expected a bool tensor ({n}, {h}, {w})")
    if masks.shape != (n, h, w):
        raise ValueError(f"masks: got {checks.describe(masks)}, expected a bool tensor ({n}, {h}, {w})")
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(one, str) for one in classes):
        raise TypeError(f"classes: got {checks.describe(classes)}, expected a list of names")
    if not classes:
        raise ValueError("classes: got an empty list, expected at least one name")
    labels = checks.labels("labels", labels, n, len(classes))
    if not isinstance(maps, Mapping) or not maps or not all(isinstance(one, str) for one in maps):
        raise TypeError(f"maps: got {checks.describe(maps)}, expected a dict from names of networks to PointingMaps")
    if checks.real("share", share, 0, 1) == 0:
        raise ValueError("share: got 0, expected a number in (0, 1]")
    truths = masks.cpu()
    found = {network: whole_maps(f"maps[{network!r}]", one, truths, share) for network, one in maps.items()}
    shown = (pictures.detach().cpu().double().expand(n, 3, h, w) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    made = MasksPanels(shown, truths.numpy(), labels.tolist(), classes, found)
    filters = {(network, image): one.filters[image].tolist() for network, one in found.items() for image in range(n)}
    axes = {
        "network": Axis(list(found)),
        "image": Axis(range(n), labels={i: f"{i}: {classes[label]}" for i, label in enumerate(labels.tolist())}),
        "filter": Axis(filters, by=("network", "image"), label="filter, best first"),
        "threshold": Axis(THRESHOLDS, control="slider", label="threshold, 1 is the method's own"),
        "sigma": Axis(SIGMAS, control="slider", label="blur of GradMap, pixels"),
    }
    if start is None or isinstance(start, Mapping):
        start = {"threshold": 1.0, "sigma": 5, **(start or {})}
    return Explorer(axes, made.renderers(), start=start, bake=bake, title=title, name=name)
