"""What the masks and the adversarial explorer of a pair of small networks show, kept on disk: attacks and gradients take their time.

``gate_states`` computes it with the lenses, ``GateStates`` keeps it as one safetensors file with its story; ``masks`` and ``adversarial``
make the explorers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from filterlens import checks, network
from filterlens.explorer.adversarial import adversarial_explorer
from filterlens.explorer.adversarial_panels import AttackedNetwork
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.masks import masks_explorer
from filterlens.explorer.masks_numbers import PointingMaps
from filterlens.lenses import adversarial, localization
from filterlens.lenses.adversarial import Attacked
from filterlens.lenses.gates import GatedClassifier
from filterlens.models import checkpoints

NARROW = ("gradient", "activation", "cam", "images")  # kept in half precision: pictures and maps


@dataclass(frozen=True, eq=False)
class GateStates:
    """Pictures (n, 3, h, w) in [0, 1] with masks (n, h, w) and labels (n,), and by network their maps and attacks."""

    pictures: Tensor
    masks: Tensor
    labels: Tensor
    classes: list[str]
    maps: dict[str, PointingMaps]
    attacked: dict[str, AttackedNetwork]

    def masks_explorer(self, **options: Any) -> Explorer:
        """``masks_explorer`` of these pictures; options go on to it."""
        return masks_explorer(self.pictures, self.masks, self.labels, self.maps, classes=self.classes, **options)

    def adversarial_explorer(self, **options: Any) -> Explorer:
        """``adversarial_explorer`` of these pictures; options go on to it."""
        return adversarial_explorer(self.pictures, self.attacked, classes=self.classes, **options)

    def save(self, path: str | Path, about: Mapping[str, Any]) -> Path:
        """Write a .safetensors file and its story, both whole or not at all; ``about`` tells how the networks were made (JSON types)."""
        if not isinstance(about, Mapping):
            raise TypeError(f"about: got {checks.describe(about)}, expected a dict")
        held: dict[str, Tensor] = {"pictures": (self.pictures * 255).round().to(torch.uint8), "masks": self.masks, "labels": self.labels}
        settings: dict[str, dict[str, Any]] = {}
        for name, maps in self.maps.items():
            held |= _flat(f"maps/{name}", maps)
        for name, one in self.attacked.items():
            held |= {f"attacked/{name}/clean": one.clean} | ({} if one.gates is None else {f"attacked/{name}/gates": one.gates})
            for method, result in one.attacked.items():
                held |= _flat(f"attacked/{name}/{method}", result) | {f"attacked/{name}/{method}/features": one.features[method]}
                settings.setdefault(name, {})[method] = dict(result.settings)
                if one.scores and method in one.scores:
                    held |= {f"attacked/{name}/{method}/scores": torch.stack([score.float() for score in one.scores[method]])}
        return checkpoints.save(path, held, {**about, "classes": list(self.classes), "networks": list(self.maps), "settings": settings})

    @classmethod
    def load(cls, path: str | Path) -> GateStates:
        """Read what ``save`` has written; the hash is compared. Raises CheckpointError for any other file."""
        held, about = checkpoints.read(path)
        missing = [key for key in ("classes", "networks", "settings") if key not in about]
        if missing or "pictures" not in held:
            raise checkpoints.CheckpointError(f"path: {path} holds no states of the gates explorers: {missing or ['pictures']} are missing")
        held = {key: value.float() if value.dtype == torch.float16 else value for key, value in held.items()}
        try:
            maps = {name: PointingMaps(**_under(held, f"maps/{name}")) for name in about["networks"]}
            attacked = {name: _attacked_network(held, name, settings) for name, settings in about["settings"].items()}
        except (KeyError, TypeError) as error:
            raise checkpoints.CheckpointError(f"path: {path} holds no whole states of the gates explorers ({error})") from error
        return cls(held["pictures"].float() / 255, held["masks"], held["labels"], about["classes"], maps, attacked)


def gate_states(
    networks: Mapping[str, GatedClassifier], pictures: Any, fit: Any, layer: str, *, normalization: Any = None, n_filters: int = 3,
    attacks: Mapping[str, Mapping[str, Any]] | None = None, seed: int = 0,
) -> GateStates:  # fmt: skip
    """Point and attack: for every network the maps of the filters that speak most for each picture's class, and each attack's result.

    networks: by the name to be shown; their gates are shown where they are not all open. pictures: to be shown; fit: a larger set, of which
    ActivMap's thresholds and the detectors of the white-box attacks are made: both with ``images`` in [0, 1], ``masks``, ``labels`` and ``classes``, as
    ``data.composed`` gives them. layer: what is pooled. attacks: name -> settings; by default FGSM and PGD.

    Takes minutes with the black-box attacks. Raises TypeError or ValueError naming the argument.
    """
    if not isinstance(networks, Mapping) or not networks or not all(isinstance(one, GatedClassifier) for one in networks.values()):
        raise TypeError(f"networks: got {checks.describe(networks)}, expected a dict from names to GatedClassifier")
    for name, given in {"pictures": pictures, "fit": fit}.items():
        if not all(hasattr(given, part) for part in ("images", "masks", "labels", "classes")):
            raise TypeError(f"{name}: got {checks.describe(given)}, expected images with masks and labels, as data.composed gives them")
    checks.integer("n_filters", n_filters, 1)
    attacks = {"fgsm": {}, "pgd": {}} if attacks is None else attacks
    if not isinstance(attacks, Mapping) or not attacks:
        raise TypeError(f"attacks: got {checks.describe(attacks)}, expected a dict from attacks to their settings")
    for method in attacks:
        checks.choice("attacks", method, adversarial.METHODS)
    shown, many = ((given.images if normalization is None else normalization.apply(given.images)) for given in (pictures, fit))
    maps, attacked = {}, {}
    for name, gated in networks.items():
        if "/" in name or n_filters > gated.gates.shape[1]:
            wrong = f"networks: got the name {name!r}, expected one without '/'" if "/" in name else (
                f"n_filters: got {n_filters}, expected at most {gated.gates.shape[1]}, the filters of {name!r}"
            )  # fmt: skip
            raise ValueError(wrong)
        maps[name] = _pointing(gated.model, layer, shown, many, pictures.labels, n_filters)
        results = {
            method: adversarial.attack(
                gated.model, pictures.images, pictures.labels, method=method, normalization=normalization, seed=seed, **settings
            )
            for method, settings in attacks.items()
        }
        attacked[name] = _measured(gated, pictures, fit, results, normalization, seed)
    return GateStates(pictures.images, pictures.masks, pictures.labels, list(pictures.classes), maps, attacked)


def _pointing(model: nn.Module, layer: str, shown: Tensor, many: Tensor, labels: Tensor, n_filters: int) -> PointingMaps:
    """The filters of largest contribution W_yk a_k to each picture's own class, and their maps."""
    weight = network.classifier(model, example=shown[:1]).weight.detach()
    small = localization.activation_maps(model, layer, shown, size="own")
    top = (weight[labels] * small.mean((2, 3))).topk(n_filters).indices
    rows = torch.arange(len(shown))[:, None]
    with torch.enable_grad():
        slopes = localization.grad_maps(model, layer, list(range(weight.shape[1])), shown, sigma=0)
    return PointingMaps(
        filters=top,
        gradient=slopes[rows, top],
        activation=localization.activation_maps(model, layer, shown)[rows, top],
        cam=localization.class_maps(model, shown, labels, layer=layer),
        cuts=localization.top_thresholds(localization.activation_maps(model, layer, many, size="own")),
    )


def _measured(
    gated: GatedClassifier, pictures: Any, fit: Any, results: dict[str, Attacked], normalization: Any, seed: int
) -> AttackedNetwork:
    """Features before and after, and what a forest says of them that has seen other pictures attacked in the same way."""

    def pooled(images: Tensor) -> Tensor:
        return network.pooled(gated.model, [(images, torch.zeros(len(images), dtype=torch.int64))], normalization=normalization)[0]

    clean, features, scores = pooled(pictures.images), {}, {}
    for method, result in results.items():
        features[method] = pooled(result.images)
        if method in adversarial.WHITE_BOX:
            more = adversarial.attack(
                gated.model, fit.images, fit.labels, method=method, normalization=normalization, seed=seed + 1, **result.settings
            )
            told = adversarial.detect(pooled(fit.images), pooled(more.images), clean, features[method], seed=seed).scores
            scores[method] = told[: len(clean)].float(), told[len(clean) :].float()
    open_ones = bool((gated.gates == 1).all())
    return AttackedNetwork(results, clean, features, None if open_ones else gated.gates.detach().clone(), scores)


def _flat(prefix: str, record: Any) -> dict[str, Tensor]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
    return {f"{prefix}/{key}": value.half() if key in NARROW else value for key, value in tensors.items()}


def _under(held: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{prefix}/"): value for key, value in held.items() if key.startswith(f"{prefix}/")}


def _attacked_network(held: Mapping[str, Tensor], name: str, settings: Mapping[str, Mapping[str, Any]]) -> AttackedNetwork:
    results, features, scores = {}, {}, {}
    parts = [field.name for field in fields(Attacked)]
    for method, own in settings.items():
        found = _under(held, f"attacked/{name}/{method}")
        own_parts = {key: value for key, value in found.items() if key in parts}
        results[method] = Attacked(**{"targets": None, "method": method, "settings": dict(own), **own_parts})
        features[method] = found["features"]
        if "scores" in found:
            scores[method] = tuple(found["scores"])
    return AttackedNetwork(results, held[f"attacked/{name}/clean"], features, held.get(f"attacked/{name}/gates"), scores)
