"""The panels of the adversarial explorer: a picture before and after an attack, and how its pooled features moved over the gates.

Small states, so the page holds them as they are; ``adversarial`` has the axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from filterlens import checks
from filterlens.explorer import panels
from filterlens.explorer.gates_measures import number
from filterlens.explorer.influence_numbers import fill
from filterlens.lenses.adversarial import Attacked
from filterlens.lenses.gates import owners

SPOKEN = {
    "fgsm": "FGSM", "pgd": "PGD", "cw": "Carlini and Wagner", "one_pixel": "one pixel", "local_search": "local search",
}  # fmt: skip

WORDS: dict[str, str] = {
    "pictures": "Image {image} before and after {attack}, on {network}",
    "pictures_note": "The difference is drawn {times} times as large as it is; mid-grey is none.",
    "pictures_same": "The attack left the image as it was.",
    "before": "before: {name}",
    "after": "after: {name}",
    "before_alt": "image {image}, predicted as {name}",
    "after_alt": "image {image} after {attack}, predicted as {name}",
    "difference": "difference × {times}",
    "difference_alt": "what {attack} added to image {image}, {times} times as large",
    "numbers": "What the network says",
    "is": "true class",
    "predicted": "predicted",
    "fooled": "the attack fooled it",
    "stayed": "the attack did not fool it",
    "was_wrong": "wrong before, so there was nothing to fool",
    "target": "target",
    "reached": "reached",
    "missed": "missed",
    "linf": "largest change of a value",
    "linf_note": "|x' − x|, values from 0 to 1",
    "l2": "change as a whole",
    "l2_note": "‖x' − x‖ over all pixels and channels",
    "score": "detector, before and after",
    "score_note": "what it says of being adversarial: 0 clean, 1 adversarial",
    "cosine": "with the gates of {name}",
    "cosine_note": "cosine of the pooled features with this row of gates",
    "vector": "The pooled features before and after",
    "vector_note": "One pair of bars a filter, sorted by the class of the filter's largest gate.",
    "vector_plain": "One pair of bars a filter.",
    "rows": "The same over the gates",
    "rows_note": "Features as shares of the largest of both, gates as they are; columns in the order of the bars.",
    "features_before": "features before",
    "features_after": "features after",
    "gates_of": "gates of {name}",
    "by_class": "Whose filters answer?",
    "by_class_note": "Sums of pooled features over the filters of each class; the true class is marked.",
    "series_before": "before",
    "series_after": "after",
}


@dataclass(frozen=True, eq=False)
class AttackedNetwork:
    """One network under several attacks on the same n images.

    attacked: by attack, what ``lenses.adversarial.attack`` returned; clean (n, K) pooled features of the images, features by attack those
    of the attacked ones; gates (C, K) or None for a network without; scores by attack the detector's probabilities of being
    adversarial (before (n,), after (n,)), or None; for attacks without a detector leave them out.
    """

    attacked: Mapping[str, Attacked]
    clean: Tensor
    features: Mapping[str, Tensor]
    gates: Tensor | None = None
    scores: Mapping[str, tuple[Tensor, Tensor]] | None = None


class AdversarialPanels:
    """The render function ``attacked``."""

    def __init__(self, images: Tensor, classes: Sequence[str], networks: Mapping[str, AttackedNetwork]) -> None:
        self.images, self.classes, self.networks = images, list(classes), dict(networks)

    def attacked(self, network: str, image: int, attack: str) -> list[panels.Panel]:
        found = self.networks[network]
        result = found.attacked[attack]
        before, after = found.clean[image].double(), found.features[attack][image].double()
        rows = self._gate_rows(found, result, image)
        return [
            self._pictures(network, image, attack, result),
            self._numbers(found, attack, image, rows, (before, after)),
            *self._vector(found, rows, (before, after), int(result.labels[image])),
        ]

    def _gate_rows(self, found: AttackedNetwork, result: Attacked, image: int) -> dict[str, Tensor]:
        """The gates of the true class and of the predicted ones, by class, none twice."""
        if found.gates is None:
            return {}
        classes = dict.fromkeys(int(one[image]) for one in (result.labels, result.before, result.after))
        return {self.classes[c]: found.gates[c].detach().double().cpu() for c in classes}

    def _pictures(self, network: str, image: int, attack: str, result: Attacked) -> panels.Panel:
        before, after = self.images[image].double(), result.images[image].detach().double().cpu()
        difference = after - before
        peak = float(difference.abs().max())
        was, now = (self.classes[int(one[image])] for one in (result.before, result.after))
        said = {"image": str(image), "attack": SPOKEN.get(attack, attack), "network": network, "times": f"{1 / peak:.3g}" if peak else "1"}
        shown = [
            panels.photo(before, alt=fill(WORDS["before_alt"], **said, name=was), label=fill(WORDS["before"], name=was)),
            panels.photo(after, alt=fill(WORDS["after_alt"], **said, name=now), label=fill(WORDS["after"], name=now)),
        ]
        if peak:
            alt = fill(WORDS["difference_alt"], **said)
            shown.append(panels.signed(difference, alt=alt, label=fill(WORDS["difference"], **said)))
        note = fill(WORDS["pictures_note" if peak else "pictures_same"], **said)
        return panels.Pictures(title=fill(WORDS["pictures"], **said), note=note, pictures=shown, columns=len(shown), size=128)

    def _numbers(
        self, found: AttackedNetwork, attack: str, image: int, gates: Mapping[str, Tensor], features: tuple[Tensor, Tensor]
    ) -> panels.Numbers:
        result = found.attacked[attack]
        is_, was, now = (int(one[image]) for one in (result.labels, result.before, result.after))
        verdict = "was_wrong" if was != is_ else "fooled" if now != is_ else "stayed"
        rows = [
            (WORDS["is"], self.classes[is_]),
            (WORDS["predicted"], f"{self.classes[was]} → {self.classes[now]}", WORDS[verdict]),
        ]
        if result.targets is not None:
            target = int(result.targets[image])
            rows.append((WORDS["target"], self.classes[target], WORDS["reached" if now == target else "missed"]))
        rows.append((WORDS["linf"], _short(result.distortion_linf[image]), WORDS["linf_note"]))
        rows.append((WORDS["l2"], _short(result.distortion_l2[image]), WORDS["l2_note"]))
        if found.scores is not None and attack in found.scores:
            clean, changed = (number(float(score[image])) for score in found.scores[attack])
            rows.append((WORDS["score"], f"{clean} → {changed}", WORDS["score_note"]))
        for name, row in gates.items():
            clean, changed = (number(_cosine(one, row)) for one in features)
            rows.append((fill(WORDS["cosine"], name=name), f"{clean} → {changed}", WORDS["cosine_note"]))
        return panels.Numbers(title=WORDS["numbers"], rows=rows)

    def _vector(
        self, found: AttackedNetwork, gates: Mapping[str, Tensor], features: tuple[Tensor, Tensor], label: int
    ) -> list[panels.Panel]:
        before, after = features
        owner = None if found.gates is None else owners(found.gates.detach().cpu())
        order = torch.arange(len(before)) if owner is None else owner.argsort(stable=True)
        labels, note = [str(k) for k in order.tolist()], WORDS["vector_plain" if owner is None else "vector_note"]
        series = {WORDS["series_before"]: before[order], WORDS["series_after"]: after[order]}
        shown: list[panels.Panel] = [panels.Bars(title=WORDS["vector"], note=note, labels=labels, series=series)]
        if owner is None:
            return shown
        peak = max(float(before.abs().max()), float(after.abs().max())) or 1.0
        names = [WORDS["features_before"], WORDS["features_after"], *(fill(WORDS["gates_of"], name=name) for name in gates)]
        table = torch.stack([before / peak, after / peak, *gates.values()])[:, order].round(decimals=3)
        matrix = panels.Matrix(
            title=WORDS["rows"], note=WORDS["rows_note"], values=table, rows=names, columns=labels, signed=bool((table < 0).any())
        )
        sums = {name: torch.zeros(len(self.classes), dtype=torch.float64).index_add_(0, owner, one)
                for name, one in ((WORDS["series_before"], before), (WORDS["series_after"], after))}  # fmt: skip
        bars = panels.Bars(title=WORDS["by_class"], note=WORDS["by_class_note"], labels=self.classes, series=sums, highlight=label)
        return [*shown, matrix, bars]


def _cosine(a: Tensor, b: Tensor) -> float:
    """0 for a vector of zeros, as ``gate_similarity`` has it."""
    length = float(a.norm() * b.norm())
    return float(a @ b) / length if length else 0.0


def _short(value: Tensor) -> str:
    return f"{float(value):.3g}"


def checked(where: str, given: object, images: Tensor, n_classes: int) -> AttackedNetwork:
    """An attacked network whose parts fit the images (n, c, h, w); TypeError or ValueError naming ``where`` otherwise."""
    if not isinstance(given, AttackedNetwork):
        raise TypeError(f"{where}: got {checks.describe(given)}, expected an AttackedNetwork")
    n = len(images)
    K = checks.tensor(f"{where}.clean", given.clean, "n K", sizes={"n": n}).shape[1]
    for name in ("attacked", "features"):
        if not isinstance(getattr(given, name), Mapping) or not given.attacked:
            raise TypeError(f"{where}.{name}: got {checks.describe(getattr(given, name))}, expected a dict from attacks to what they did")
    if set(given.features) != set(given.attacked):
        raise ValueError(f"{where}.features: got {sorted(given.features)}, expected one for each of the attacks {sorted(given.attacked)}")
    if given.scores is not None and (not isinstance(given.scores, Mapping) or not set(given.scores) <= set(given.attacked)):
        raise ValueError(
            f"{where}.scores: got {checks.describe(given.scores)}, expected None or a dict from some of {list(given.attacked)}"
        )
    if given.gates is not None:
        gates = checks.tensor(f"{where}.gates", given.gates, "C K", sizes={"C": n_classes, "K": K})
        if float(gates.min()) < 0 or float(gates.max()) > 1:
            raise ValueError(
                f"{where}.gates: got entries from {float(gates.min()):g} to {float(gates.max()):g}, expected entries in [0, 1]"
            )
    for attack, result in given.attacked.items():
        _check_attack(where, attack, result, images, n_classes)
        checks.tensor(f"{where}.features[{attack!r}]", given.features[attack], "n K", sizes={"n": n, "K": K})
    for attack, pair in (given.scores or {}).items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"{where}.scores[{attack!r}]: got {checks.describe(pair)}, expected two tensors (n,), before and after")
        for one in pair:
            checks.tensor(f"{where}.scores[{attack!r}]", one, "n", sizes={"n": n})
    return given


def _check_attack(where: str, attack: object, result: object, images: Tensor, n_classes: int) -> None:
    argument = f"{where}.attacked[{attack!r}]"
    if not isinstance(attack, str) or not isinstance(result, Attacked):
        raise TypeError(f"{argument}: got {checks.describe(result)}, expected what filterlens.lenses.adversarial.attack returns")
    if result.images.shape != images.shape:
        raise ValueError(f"{argument}: got images {tuple(result.images.shape)}, expected {tuple(images.shape)}, those that were attacked")
    for name in ("labels", "before", "after", "targets"):
        if getattr(result, name) is not None:
            checks.labels(f"{argument}.{name}", getattr(result, name), len(images), n_classes)
