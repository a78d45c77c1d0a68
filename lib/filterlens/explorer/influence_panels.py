"""The panels of the influence explorer, from whole numbers (``influence_numbers``) and sentences (``influence_words``).

The page has no Python: ``script/influence.js`` makes the same panels there, and the tests hold the two against each other.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from filterlens import checks
from filterlens.explorer import panels
from filterlens.explorer.axes import Option
from filterlens.explorer.influence_numbers import WholeLayer, fill, grid, order_of, ranks_in, said_percent, said_ratio
from filterlens.explorer.influence_words import FREE, LINKED, NOISE_WORDS, RULE_WORDS, WORDS
from filterlens.lenses.influence import find_influential

START = 5  # r and s at first: the paper's for CIFAR-10
SHOWN = 24  # bars of a histogram
LISTED = 12  # features whose other classes are listed
DIFFERING = 12  # images offered because the two layers differ there
LARGEST = 2**24  # votes of all classes, features and ranks, and numbers of all images: beyond, no page holds them


class InfluencePanels:
    """Panels for one layer and its pooled test features; see ``influence_explorer``. ``shipped``: what the page needs for the same."""

    def __init__(self, pooled: Any, images: Tensor | None, titles: Sequence[str] | None, network: str) -> None:
        self.features, self.labels = checked_table(pooled)
        self.linear: nn.Linear = pooled.linear
        (self.n, self.d), self.classes, self.network = self.features.shape, list(pooled.classes), network
        voters, voting = pooled.train if pooled.train is not None else (None, None)
        self.source, mean = _mean(pooled)
        self.layer = WholeLayer(self.features, self.labels, self.linear, mean)
        self.votes = pooled.ranks.ranks.cumsum(2).numpy()
        self.voting = pooled.ranks.n_images.tolist()
        self.rules = [rule for rule in RULE_WORDS if voters is not None or rule not in ("coverage", "contribution")]
        with warnings.catch_warnings():  # of classes without votes, once is enough: ``pooled.ranks`` was made with that warning
            warnings.simplefilter("ignore", UserWarning)
            asked = (self.features, self.labels) if voters is None else (voters, voting)
            ranked = {rule: find_influential(*asked, len(self.classes), s=1, rule=rule, linear=self.linear) for rule in self.rules[1:]}
            by_mass = pooled.ranks.select(1, 1, linear=self.linear)
        self.orders = {rule: found.order.numpy() for rule, found in ranked.items()}
        self.scores = {rule: found.score.float().numpy() for rule, found in ranked.items()}
        silent = (pooled.ranks.n_images == pooled.ranks.n_silent).numpy()
        tie = np.argsort(-pooled.ranks.mass.numpy(), axis=1, kind="stable")
        tie[silent] = by_mass.order.numpy()[silent]  # without votes the signed weights decide
        self.tie = ranks_in(tie)
        self._rows: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
        self._ablated: dict[tuple[str, int, str], np.ndarray] = {}
        self.full = int(self.layer.right(self.layer.full).sum())
        everything = np.tile(np.arange(self.d), (len(self.classes), 1))
        self.full_exact = int(self.layer.right_exactly(everything, [self.d])[0])
        self.places = ranks_in(self.layer.rows[None])[0]
        self._images(images, titles)

    # ------------------------------------------------------------------------------------------- selections and counts

    def order(self, rule: str, r: int) -> np.ndarray:
        """The features (C, d) of every class, most influential first."""
        return order_of(self.votes[..., r - 1], self.tie) if rule == "count" else self.orders[rule]

    def counted(self, rule: str, r: int) -> tuple[np.ndarray, np.ndarray]:
        """Images right by s and class (d, C), and alike (d,); kept, as the surface asks again and again."""
        key = (rule, r if rule == "count" else 0)
        if key not in self._rows:
            self._rows[key] = self.layer.by_size(self.order(rule, r))
        return self._rows[key]

    def exact(self, rule: str, r: int, ss: Sequence[int]) -> np.ndarray:
        """Images (S,) that the decomposed layer gets right in full precision, for each s of ``ss``."""
        return self.layer.right_exactly(self.order(rule, r), ss)

    def ablated(self, rule: str, r: int, noise: str) -> np.ndarray:
        key = (rule, r if rule == "count" else 0, noise)
        if key not in self._ablated:
            self._ablated[key] = self.layer.ablated(self.order(rule, r), noise)
        return self._ablated[key]

    def _images(self, images: Tensor | None, titles: Sequence[str] | None) -> None:
        """The rows of the test features that can be picked, with their names: those with pictures, then some where the layers differ."""
        pictured = 0 if images is None else len(images)
        self.pictures = (
            None if images is None else (images.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        )
        size = min(START, self.d)
        order = self.order("count", size)
        terms = np.take_along_axis(self.layer.weight, order[:, :size], 1)[:, :, None] * self.layer.features[order[:, :size]]
        found = (terms.sum(axis=1) + self.layer.bias[:, None]).argmax(axis=0)
        differing = np.sort(self.layer.rows[found != self.layer.full])
        first = list(range(pictured)) or list(range(min(SHOWN // 2, self.n)))
        rows = first + [int(row) for row in differing if row not in first][:DIFFERING]
        named = [self.classes[int(self.labels[row])] for row in rows]
        self.titles = {
            row: titles[row] if titles is not None and row < len(titles) else name for row, name in zip(rows, named, strict=True)
        }
        differ = set(differing.tolist())
        self.image_labels = {row: f"{row}: {title}{f' (the layers differ at r = s = {size})' if row in differ else ''}" for row, title in self.titles.items()}

    # --------------------------------------------------------------------------------------------------------- panels

    def accuracy(self, target: int, rule: str, linked: str, r: int, s: int) -> list[panels.Panel]:
        r = s if linked == LINKED else r
        right, agree = self.counted(rule, r)
        few, own, name = int(right[s - 1].sum()), int(right[s - 1, target]), self.classes[target]
        everyone = np.diff(self.layer.ends)
        by_class = self.layer.right(self.layer.full)
        of, share = int(everyone[target]), functools.partial(said_percent, whole=self.n)
        exact, n_classes = int(self.exact(rule, r, [s])[0]), len(self.classes)
        less, more = said_percent(int(by_class[target]), of), said_percent(own, of)
        apart = {"few": _apart(exact - few), "full": _apart(self.full_exact - self.full), "exact": share(self.full_exact)}
        rows = [
            (WORDS["decomposed"], share(few), fill(WORDS["right"], right=few, n=self.n)),
            (WORDS["full"], share(self.full), fill(WORDS["right"], right=self.full, n=self.n)),
            (WORDS["eta"], said_ratio(few, self.full), WORDS["eta_note"]),
            (WORDS["agreement"], share(int(agree[s - 1])), WORDS["agreement_note"]),
            (WORDS["cost"], fill(WORDS["cost_text"], full=n_classes * self.d, few=n_classes * s),
             fill(WORDS["cost_note"], classes=n_classes, d=self.d, s=s)),
            (fill(WORDS["of_class"], name=name), fill(WORDS["of_class_text"], full=less, few=more), fill(WORDS["of_class_note"], n=of)),
            (WORDS["exact"], share(exact), fill(WORDS["exact_note"], **apart)),
        ]  # fmt: skip
        percents = {WORDS["full"]: _percents(by_class, everyone), WORDS["decomposed"]: _percents(right[s - 1], everyone)}
        chosen = fill(RULE_WORDS[rule]["chosen"], r=r, s=s)
        return [
            panels.Numbers(
                title=fill(WORDS["accuracy"], n=self.n), note=fill(WORDS["accuracy_note"], network=self.network, chosen=chosen), rows=rows
            ),
            panels.Bars(title=WORDS["by_class"], labels=self.classes, series=percents, highlight=target, picks=self._targets()),
        ]

    def histogram(self, target: int, rule: str, linked: str, r: int, s: int) -> list[panels.Panel]:
        r = s if linked == LINKED else r
        order, said = self.order(rule, r), RULE_WORDS[rule]
        own, shown, name = order[target], min(SHOWN, self.d), self.classes[target]
        score = (self.votes[target, :, r - 1] if rule == "count" else self.scores[rule][target])[own[:shown]]
        note = f"{fill(said['scored'], images=self.voting[target], r=r)} {fill(WORDS['cut'], shown=shown, d=self.d)}"
        users = {
            int(i): [c for c, kept in zip(self.classes, order[:, :s], strict=True) if i in kept and c != name]
            for i in own[: min(s, LISTED)]
        }
        rows = [(fill(WORDS["feature"], i=str(i)), ", ".join(others) or WORDS["nobody"]) for i, others in users.items()]
        return [
            panels.Bars(title=fill(said["histogram"], name=name), note=note, labels=[str(i) for i in own[:shown]],
                        series={said["series"]: score.tolist()}, cut=min(s, shown)),
            panels.Numbers(title=fill(WORDS["users"], name=name), note=fill(WORDS["users_note"], shown=len(rows), s=s), rows=rows),
        ]  # fmt: skip

    def curve(self, rule: str, linked: str, r: int, s: int) -> panels.Panel:
        r = s if linked == LINKED else r
        right = self.counted(rule, r)[0].sum(axis=1)
        series = {WORDS["decomposed"]: _percents(right, self.n), WORDS["full"]: _percents(np.full(self.d, self.full), self.n)}
        said = {"s": s, "r": r, "few": said_percent(int(right[s - 1]), self.n), "full": said_percent(self.full, self.n)}
        note = fill(WORDS["curve_note_r" if rule == "count" else "curve_note"], **said)
        x = list(range(1, self.d + 1))
        return panels.Curve(title=WORDS["curve"], note=note, x=x, series=series, x_label="s", y_label=WORDS["curve_y"], highlight=s - 1)

    def image(self, image: int, rule: str, linked: str, r: int, s: int) -> list[panels.Panel]:
        r = s if linked == LINKED else r
        k, title, w = int(self.places[image]), self.titles[image], self.layer
        full, few = w.logits_of(k), w.logits_of(k, self.order(rule, r)[:, :s])
        true, one, other = int(w.labels[k]), int(full.argmax()), int(few.argmax())
        values = w.features[:, k] * w.step
        top = np.argsort(-np.abs(values), kind="stable")[: min(SHOWN, self.d)]
        rows = [
            (WORDS["is"], self.classes[true]), (WORDS["says_full"], self.classes[one]), (WORDS["says_few"], self.classes[other]),
            (WORDS["agree"], WORDS["yes" if one == other else "no"], WORDS[_verdict(true, one, other)]),
        ]  # fmt: skip
        logits = {WORDS["full"]: (full / w.scale).tolist(), WORDS["decomposed"]: (few / w.scale).tolist()}
        note, cut = (fill(WORDS["top_count"], r=r), min(r, len(top))) if rule == "count" else (WORDS["top_other"], None)
        shown: list[panels.Panel] = []
        if self.pictures is not None and image < len(self.pictures):
            said = fill(WORDS["image_alt"], row=str(image), title=title)
            picture = panels.Image(self.pictures[image], 0.0, 1.0, alt=said)
            shown.append(panels.Picture(title=fill(WORDS["image"], title=title), picture=picture))
        return [
            *shown,
            panels.Numbers(title=fill(WORDS["one"], row=str(image)), rows=rows),
            panels.Bars(
                title=WORDS["logits"],
                note=fill(WORDS["logits_note"], name=self.classes[true], s=s),
                labels=self.classes,
                series=logits,
                highlight=true,
            ),
            panels.Bars(
                title=WORDS["top"], note=note, labels=[str(i) for i in top], series={WORDS["top_series"]: values[top].tolist()}, cut=cut
            ),
        ]

    def overlap(self, rule: str, linked: str, r: int, s: int) -> panels.Panel:
        r = s if linked == LINKED else r
        kept = np.zeros((len(self.classes), self.d), np.int64)
        np.put_along_axis(kept, self.order(rule, r)[:, :s], 1, axis=1)
        shared = kept @ kept.T
        pairs = len(shared) * (len(shared) - 1)
        mean = said_ratio(int(shared.sum() - np.trace(shared)), pairs)
        note = fill(WORDS["overlap_note"], s=s, mean=mean, union=int(kept.any(axis=0).sum()), d=self.d)
        picks = [[pick] * len(shared) for pick in self._targets()]
        values = torch.from_numpy(shared).float()
        return panels.Matrix(
            title=WORDS["overlap"], note=note, values=values, rows=self.classes, columns=self.classes, signed=False, picks=picks
        )

    def surface(self, rule: str, linked: str, r: int, s: int) -> panels.Panel:
        r = s if linked == LINKED else r
        rs, ss = grid(self.d, [r]) if rule == "count" else [0], grid(self.d, [s])
        values = torch.tensor([_percents(self.counted(rule, row)[0].sum(axis=1), self.n) for row in rs])[:, [column - 1 for column in ss]]
        picks = [[_cell(rule, linked, row, column) for column in ss] for row in rs]
        rows = [fill(WORDS["row"], r=row) for row in rs] if rule == "count" else [WORDS["any_r"]]
        note = fill(WORDS["surface_note"], n=self.n) if rule == "count" else WORDS["surface_other"]
        columns = [fill(WORDS["column"], s=column) for column in ss]
        return panels.Matrix(title=WORDS["surface"], note=note, values=values, rows=rows, columns=columns, signed=False, picks=picks)

    def ablation(self, rule: str, linked: str, r: int, s: int, noise: str) -> panels.Panel:
        r = s if linked == LINKED else r
        few, rest = self.ablated(rule, r, noise)
        said = {"few": said_percent(int(few[s]), self.n), "rest": said_percent(int(rest[s]), self.n)}
        note = fill(WORDS["ablation_note"], noise=fill(NOISE_WORDS[noise], source=self.source), s=s, **said)
        series = {WORDS["ablation_few"]: _percents(few, self.n), WORDS["ablation_rest"]: _percents(rest, self.n)}
        x = list(range(self.d + 1))
        return panels.Curve(title=WORDS["ablation"], note=note, x=x, series=series, x_label="s", y_label=WORDS["curve_y"], highlight=s)

    def _targets(self) -> list[dict[str, int]]:
        return [{"target": c} for c in range(len(self.classes))]

    # --------------------------------------------------------------------------------------------------------- the page

    @functools.cached_property
    def shipped(self) -> dict[str, Any]:
        """All that the page counts with, as protocol arrays and lists: one dict, and so one file, for all renderers."""
        w, keys = self.layer, [("count", r) for r in range(1, self.d + 1)] + [(rule, 0) for rule in self.rules[1:]]
        apart = np.stack([self.exact(*key, range(1, self.d + 1)) - self.counted(*key)[0].sum(axis=1) for key in keys])
        tables = {
            "features": w.features.astype(w.stored), "ends": w.ends, "weight": w.weight, "bias": w.bias, "mean_weight": w.mean_weight,
            "noise_weight": w.noise_weight, "quantiles": w.quantiles, "tie": self.tie, "apart": apart,
            "ranks": np.diff(self.votes, axis=2, prepend=0),
        }  # fmt: skip
        whole = {name: panels.encode(table if table.dtype.itemsize == 1 else _small(table)) for name, table in tables.items()}
        pictures = {} if self.pictures is None else {"pictures": panels.encode(self.pictures)}
        return {
            **whole, **pictures, "orders": {rule: panels.encode(_small(order)) for rule, order in self.orders.items()},
            "scores": {rule: panels.encode(score) for rule, score in self.scores.items()},
            "rules": self.rules, "scale": w.scale, "step": w.step.tolist(), "classes": self.classes, "network": self.network,
            "voting": self.voting, "source": self.source, "full_exact": self.full_exact, "grid": grid(self.d),
            "places": {str(row): int(self.places[row]) for row in self.titles}, "titles": {str(row): title for row, title in self.titles.items()},
            "linked": LINKED, "free": FREE, "shown": SHOWN, "listed": LISTED, "words": WORDS, "rule_words": RULE_WORDS, "noise_words": NOISE_WORDS,
        }  # fmt: skip

    def renderers(self) -> list[Callable]:
        """The panels' functions, what answers fastest first."""
        made = []
        for method in (self.accuracy, self.histogram, self.curve, self.image, self.overlap, self.surface, self.ablation):
            call = functools.wraps(method)(functools.partial(method))
            call.computed, call.fetched = (f"influence_{method.__name__}", lambda: self.shipped), True
            made.append(call)
        return made


def _mean(pooled: Any) -> tuple[str, Tensor]:
    """Each feature's mean (d,), and over which images: training images, where something is known of them."""
    stats = getattr(pooled, "stats", None)
    if stats is not None:
        return "training", stats.mean.detach().cpu()
    if pooled.train is not None:
        return "training", pooled.train[0].double().mean(0)
    return "test", pooled.test[0].double().mean(0)


def _cell(rule: str, linked: str, r: int, s: int) -> dict[str, Option]:
    """What a click on the surface sets."""
    if rule != "count" or (linked == LINKED and r == s):
        return {"s": s}
    return {"r": r, "s": s} if linked == FREE else {"linked": FREE, "r": r, "s": s}


def _percents(parts: np.ndarray, whole: np.ndarray | int) -> list[float]:
    return (100 * parts / np.maximum(whole, 1)).tolist()


def _verdict(true: int, full: int, few: int) -> str:
    if full == few:
        return "both_right" if full == true else "both_wrong"
    return "only_full" if full == true else "only_few" if few == true else "none"


def _apart(images: int) -> str:
    if images == 0:
        return WORDS["same"]
    name = "more" if images > 0 else "fewer"
    return WORDS[f"one_{name}"] if abs(images) == 1 else fill(WORDS[name], n=abs(images))


def _small(table: np.ndarray) -> np.ndarray:
    """Whole numbers in the narrowest type that the page reads."""
    return table.astype(np.uint16 if table.min() >= 0 and table.max() < 2**16 else np.int32)


def checked_table(pooled: Any) -> tuple[Tensor, Tensor]:
    """The test features (n, d) and labels, with everything else checked against them."""
    wanted = ("name", "test", "linear", "ranks", "classes", "train")
    missing = [name for name in wanted if not hasattr(pooled, name)]
    if missing:
        raise TypeError(f"pooled: got {checks.describe(pooled)} without {', '.join(missing)}, expected what filterlens.features.load gives")
    features, labels = pooled.test
    checks.tensor("pooled.test", features, "n d")
    checks.tensor("pooled.test", labels, "n", sizes={"n": len(features)}, floating=False)
    n, d = features.shape
    if not isinstance(pooled.linear, nn.Linear) or pooled.linear.in_features != d:
        raise ValueError(f"pooled.linear: got {checks.describe(pooled.linear)}, expected a torch.nn.Linear of {d} features")
    c = pooled.linear.out_features
    if len(pooled.classes) != c or int(labels.min()) < 0 or int(labels.max()) >= c:
        raise ValueError(
            f"pooled.classes: got {len(pooled.classes)} names, expected one for each of the layer's {c} classes, and labels below {c}"
        )
    if tuple(pooled.ranks.ranks.shape) != (c, d, d):
        raise ValueError(f"pooled.ranks: got {checks.describe(pooled.ranks.ranks)}, expected ranks ({c}, {d}, {d})")
    if max(c * d * d, n * d * c) > LARGEST:
        raise ValueError(
            f"pooled: got {n} images, {d} features, {c} classes; expected C * d * d and n * d * C below {LARGEST:,}: they lie in the page"
        )
    return features.detach().float().cpu(), labels.cpu().long()
