"""The influence explorer: which few features decide a class, and how accurate a network is that has only these.

``influence_panels`` makes what it shows, in Jupyter; on the page ``script/influence.js`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from filterlens import checks
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.influence_numbers import NOISES
from filterlens.explorer.influence_panels import START, InfluencePanels, checked_table
from filterlens.explorer.influence_words import FREE, LINKED, RULE_WORDS


def influence_explorer(
    pooled: Any, *, images: Tensor | None = None, titles: Sequence[str] | None = None, network: str | None = None,
    title: str = "Which features decide?", name: str | None = None, bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """Which few features decide each class, and how accurate the layer is that has only these: for every r, s and rule.

    pooled: as ``filterlens.features.load`` gives it: ``test`` (features (n, d) float, labels (n,)), ``linear`` d -> C, ``ranks`` (of the
    training features), ``classes``, ``train`` (features, labels) or None: then without the rules coverage and contribution;
    ``stats`` or None, for the means. images: (m, 3, h, w) in [0, 1], of the first m test rows; titles: their m names. network:
    what it is called in words, by default ``pooled.name``.

    Axes: ``target`` (the class), ``rule``, ``linked`` ("r = s": r follows s; or "free"), ``s`` and ``r`` (1..d), ``image`` (the rows with
    pictures and some on which the two layers differ at r = s = 5), ``noise`` (zero, mean, unit). It starts with r = s = 5.

    All counts are of features stored in 8 bits, alike in Jupyter and on the page, which computes them itself; how many images full
    precision decides otherwise stands beside them. The page fetches the numbers when somebody reaches for a control.
    Raises TypeError or ValueError naming the argument.
    """
    features, _ = checked_table(pooled)
    if images is not None:
        checks.tensor("images", images, "m c h w", sizes={"c": 3})
        if len(images) > len(features):
            raise ValueError(f"images: got {len(images)}, expected at most one for each of the {len(features)} test rows")
    if titles is not None and (isinstance(titles, str) or len(titles) != (0 if images is None else len(images))):
        raise ValueError(f"titles: got {checks.describe(titles)}, expected one for each image")
    network = str(pooled.name) if network is None else network
    if not isinstance(network, str):
        raise TypeError(f"network: got {checks.describe(network)}, expected text")
    made = InfluencePanels(pooled, images, titles, network)
    sizes = list(range(1, made.d + 1))
    votes = {"rule": ["count"]}
    axes = {
        "target": Axis(range(len(made.classes)), label="class", labels=dict(enumerate(made.classes))),
        "rule": Axis(made.rules, label="features are chosen by", labels={rule: RULE_WORDS[rule]["label"] for rule in made.rules}),
        "linked": Axis([LINKED, FREE], label="r and s", when=votes),
        "s": Axis(sizes, label="s, features a class keeps", control="slider"),
        "r": Axis(sizes, label="r, features an image votes for", control="slider", when={**votes, "linked": [FREE]}),
        "image": Axis(list(made.image_labels), labels=made.image_labels),
        "noise": Axis(NOISES, label="replaced by", labels={"mean": "the mean", "unit": "unit noise"}),
    }
    size = min(START, made.d)
    return Explorer(axes, made.renderers(), start={"r": size, "s": size}, bake=bake, title=title, name=name)
