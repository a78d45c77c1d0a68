"""``passport``: checks its arguments, then asks one lens after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from filterlens import checks
from filterlens.lenses.gates import GatedClassifier
from filterlens.lenses.simplex.reading import filters_and_groups, module_named
from filterlens.models import Normalization

from .classes import classes_of, reach
from .content import content_of, picture_of
from .gates import gates_of
from .parts import Passport
from .place import place_of
from .response import logits, respond
from .tried import tried

STEPS, SHOWN = 100, 2


def passport(
    model: nn.Module,
    layer: str,
    filter: int,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    normalization: Normalization,
    classes: Sequence[str] | None = None,
    gates: Tensor | None = None,
    name: str | None = None,
    source: str = "",
    steps: int = STEPS,
    shown: int = SHOWN,
    seed: int = 0,
) -> Passport:
    """All five lenses on one filter. A lens that does not apply to it says why and leaves the others.

    model: any CNN that takes normalized images; a ``GatedClassifier`` brings its own gates, and layers are named as in the network inside.
    layer: dotted name of a Conv2d, ConvTranspose2d or Linear layer. filter: index of one of its filters.
    images: (n, c, h, w) in [0, 1], in any precision. All are used for the classes and for the picture's correlation, the ``shown`` that the
        filter answers most to for the isolation.
    labels: (n,) integers in [0, C); None takes the network's own answers, and says so.
    normalization: the network's. classes: C names. gates: (C, K) in [0, 1] on the K pooled features.
    name: the network's, by default that of its class. source: what the images are, in words. steps: of the isolation. seed: of the archetypes'
        start, and of the isolation.

    Peak memory: the lenses' own, each by itself; that of isolation and of decoding is bounded (2 GiB and 1 GiB beside the result).
    The model and the images are left as they were. Raises TypeError or ValueError naming the argument, before any lens.
    """
    checks.module("model", model)
    at = None
    if isinstance(model, GatedClassifier):
        if gates is not None:
            raise ValueError(f"gates: got {checks.describe(gates)}, expected None: the model is a GatedClassifier with gates of its own")
        model, gates, at = model.model, model.gates.detach(), model.layer
    n_filters = checked_filter(model, layer, filter)
    normalized = checked_images(model, images, normalization)
    steps, seed = checks.integer("steps", steps, 1), checks.integer("seed", seed, 0)
    shown = checks.integer("shown", shown, 1)
    name = type(model).__name__ if name is None else _text("name", name, least=1)
    source = _text("source", source)
    names = _names(classes)
    if labels is not None:
        checks.tensor("labels", labels, "n", sizes={"n": len(images)}, floating=False)
    answer = logits(model, normalized)
    n_classes = None if answer is None else answer.shape[1]
    if n_classes is not None and names is not None and len(names) != n_classes:
        raise ValueError(f"classes: got {len(names)} names, expected {n_classes}, one for each logit of the model")
    if labels is not None:
        limit = n_classes or (len(names) if names else int(labels.max()) + 1)
        labels = checks.labels("labels", labels, len(images), max(1, limit)).cpu()
    if gates is not None:
        checks.tensor("gates", gates, "C K", sizes={} if n_classes is None else {"C": n_classes})
        if float(gates.min()) < 0 or float(gates.max()) > 1:
            low, high = float(gates.min()), float(gates.max())
            raise ValueError(f"gates: got entries from {low:g} to {high:g}, expected entries in [0, 1]")

    module, notes = model.get_submodule(layer), {}
    response = tried(notes, "content", respond, model, layer, filter, normalized)
    found = tried(notes, "classes", reach, model, layer, filter, normalized)
    written, said = (None, found) if isinstance(found, str) else found
    if gates is not None and at is None and written is not None and gates.shape[1] != len(written.reached):
        raise ValueError(f"gates: got {checks.describe(gates)}, expected K = {len(written.reached)}, the pooled features of the model")
    labelled = "the network" if labels is None else "the labels"
    if labels is None and answer is not None:
        labels = answer.argmax(1)

    if isinstance(response, str):
        decided = content = response
    else:
        decided = "there are no labels, and the network gives no logits to take them from"
        if labels is not None:
            decided = tried(notes, "classes", classes_of, model, normalized, labels, labelled, response, written, said)
        content = tried(
            notes, "content", content_of, model, layer, filter, images, normalized, response, notes, shown=shown, steps=steps, seed=seed
        )
    return Passport(
        name=name,
        layer=layer,
        filter=int(filter),
        n_filters=n_filters,
        kind=in_words(module),
        weight=filters_and_groups("layer", module)[0][filter].detach().clone().cpu(),
        n_images=len(images),
        source=source,
        class_names=names if names is not None or n_classes is None else tuple(str(c) for c in range(n_classes)),
        normalization=normalization,
        place=tried(notes, "place", place_of, model, layer, filter, seed=seed),
        classes=decided,
        picture=tried(notes, "picture", picture_of, model, layer, filter, normalized),
        content=content,
        gates=tried(notes, "gates", gates_of, model, layer, filter, normalized, written, gates, at),
        notes=notes,
    )


def checked_filter(model: nn.Module, layer: str, filter: int) -> int:
    """How many filters the layer has. Raises TypeError or ValueError naming layer or filter."""
    module = module_named("layer", model, layer)
    weight = filters_and_groups(f"layer: {layer!r}", module)[0]
    checks.integer("filter", filter, 0, len(weight) - 1)
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(f"model: the weight of {layer!r} has NaN or infinite entries, expected finite numbers")
    return len(weight)


def checked_images(model: nn.Module, images: Tensor, normalization: Normalization) -> Tensor:
    """The images as the network's input, in its precision and on its device. Raises TypeError or ValueError naming the argument."""
    checks.tensor("images", images, "n c h w")
    low, high = float(images.min()), float(images.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise ValueError(f"images: got values from {low:.3g} to {high:.3g}, expected images in [0, 1], not normalized")
    if not isinstance(normalization, Normalization):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected a models.Normalization")
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.empty(0))
    return normalization.apply(images.detach()).to(like)


def in_words(module: nn.Module) -> str:
    """A layer in words: its kind, width, kernel and what is unusual about it."""
    if isinstance(module, nn.Linear):
        return f"Linear, {module.in_features} → {module.out_features}" + ", no bias" * (module.bias is None)
    c, k, (h, w) = module.in_channels, module.out_channels, module.kernel_size
    said = [f"{type(module).__name__}, {c} → {k} channels", f"{h} × {w}"]
    if set(module.stride) != {1}:
        said.append("stride " + " × ".join(map(str, sorted(set(module.stride)))))
    if set(module.dilation) != {1}:
        said.append("dilation " + " × ".join(map(str, sorted(set(module.dilation)))))
    if module.groups == k == c:
        said.append("depthwise")
    elif module.groups > 1:
        said.append(f"{module.groups} groups")
    return ", ".join(said + ["no bias"] * (module.bias is None))


def _names(classes: object) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(one, str) for one in classes):
        raise TypeError(f"classes: got {checks.describe(classes)}, expected a list of names, or None")
    if not classes:
        raise ValueError("classes: got an empty list, expected one name for each logit of the model, or None")
    return tuple(classes)


def _text(name: str, value: object, *, least: int = 0) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {checks.describe(value)}, expected text")
    if len(value.strip()) < least:
        raise ValueError(f"{name}: got {value!r}, expected words")
    return value
