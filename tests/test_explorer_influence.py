"""The influence explorer: whole numbers against the lens and against brute force, and the page's script against Python, through Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from explorer_pages import page_and_its_file
from test_explorer_characters import HARNESS, textual
from torch import Tensor, nn

from filterlens.explorer import Explorer, influence_explorer, panels, script, sheets
from filterlens.explorer.influence_numbers import (
    NOISES,
    PARTS,
    QUANTILES,
    WholeLayer,
    grid,
    places_of_draws,
    said_percent,
    said_ratio,
)
from filterlens.explorer.influence_panels import InfluencePanels
from filterlens.explorer.influence_words import FREE, LINKED, RULE_WORDS
from filterlens.lenses.influence import RankCounts, accuracy_by_size, count_ranks, decompose, find_influential

C, D, N = 4, 7, 157  # classes, features, test images


@dataclass(frozen=True)
class Pooled:
    """What ``filterlens.features.load`` gives, as far as the explorer needs it."""

    name: str
    train: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor]
    linear: nn.Linear
    ranks: RankCounts
    classes: list[str]


@cache
def pooled(signed: bool = False) -> Pooled:
    """Few and coarse features, so that ties and zeros abound; two classes of the same weights; a dead feature; an image of zeros."""
    draw = torch.Generator().manual_seed(3)

    def table(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(0, C, (n,), generator=draw)
        features = torch.randint(-2 if signed else 0, 4, (n, D), generator=draw).float() * torch.tensor([0.5, 1, 0.25, 2, 1, 0, 0.1])
        features[torch.arange(n), labels] += 1.0
        features[5] = 0
        return features, labels

    train, test = table(211), table(N)
    linear = nn.Linear(D, C)
    with torch.no_grad():
        linear.weight.copy_(torch.randint(-3, 4, (C, D), generator=draw) / 4 + torch.eye(C, D))
        linear.bias.copy_(torch.rand(C, generator=draw) / 10)
        linear.weight[2], linear.bias[2] = linear.weight[1], linear.bias[1]
    return Pooled("toy", train, test, linear, count_ranks(*train, C), ["ant", "bee", "cow", "dog"])


@cache
def panels_of(signed: bool = False) -> InfluencePanels:
    images = torch.rand(5, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    return InfluencePanels(pooled(signed), images, None, "a toy network")


@cache
def more_pooled() -> Pooled:
    """More images, without ties."""
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 3, (2500,), generator=draw)
    features, linear = torch.rand(2500, 6, generator=draw) + torch.eye(3, 6)[labels] / 2, nn.Linear(6, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(3, 6) + torch.rand(3, 6, generator=draw))
        linear.bias.copy_(torch.rand(3, generator=draw) / 4)
    return Pooled("more", None, (features, labels), linear, count_ranks(features, labels, 3), ["a", "b", "c"])


@cache
def more() -> InfluencePanels:
    return InfluencePanels(more_pooled(), None, None, "")


def node(program: str, job: Any) -> Any:
    if shutil.which("node") is None:
        pytest.skip("node is not installed; it runs the page's script here")
    text = f"{script.source()}\n{HARNESS}\n(async () => {{ {program} }})().then((out) => process.stdout.write(JSON.stringify(out, plain)));"
    with TemporaryDirectory() as folder:  # an argument may be no longer than 128 kB
        path = Path(folder, "program.cjs")
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(["node", path], input=json.dumps(job), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ------------------------------------------------------------------------------------------------------ whole numbers


@pytest.mark.parametrize("signed", [False, True])
def test_features_are_eight_bits_and_sums_stay_below_31(signed: bool) -> None:
    layer = panels_of(signed).layer
    features, labels = pooled(signed).test
    assert layer.stored == (np.int8 if signed else np.uint8)
    np.testing.assert_array_equal(layer.features.astype(layer.stored), layer.features)
    values = features.double().numpy()[layer.rows].T
    assert np.abs(layer.features * layer.step[:, None] - values).max() <= layer.step.max() / 2
    assert (labels.numpy()[layer.rows] == layer.labels).all()
    reach = np.abs(layer.weight.astype(np.int64)) @ np.abs(layer.features).max(axis=1) + np.abs(layer.bias)
    noisy = np.abs(layer.noise_weight.astype(np.int64)).sum(axis=1) * np.abs(layer.quantiles).max() + np.abs(layer.bias)
    assert 2**27 < max(reach.max(), noisy.max()) < 2**29 + 2**20  # the difference of two fits into 31 bits, and little is given away


@pytest.mark.parametrize("signed", [False, True])
def test_one_pass_counts_what_every_layer_alone_would(signed: bool) -> None:
    layer = panels_of(signed).layer
    for order in (panels_of(signed).order("count", 3), panels_of(signed).order("weight", 0), np.tile(np.arange(D)[::-1], (C, 1))):
        right, agree = layer.by_size(order)
        for s in range(1, D + 1):
            mask = np.zeros((C, D), np.int64)
            np.put_along_axis(mask, order[:, :s], 1, axis=1)
            logits = (layer.weight.astype(np.int64) * mask) @ layer.features + layer.bias[:, None]
            found = logits.argmax(axis=0)  # the first of equals
            assert right[s - 1].tolist() == [int(((found == y) & (layer.labels == y)).sum()) for y in range(C)]
            assert agree[s - 1] == (found == layer.full).sum()
    assert agree[-1] == N and (layer.full != 2).all()  # class 2 ties with class 1, which comes first


@pytest.mark.parametrize("noise", NOISES)
def test_ablation_counts_what_replacing_would(noise: str) -> None:
    layer = panels_of().layer
    order = panels_of().order("count", 3)
    few, rest = layer.ablated(order, noise)
    mean = pooled().train[0].double().mean(0).numpy()
    weight = pooled().linear.weight.detach().double().numpy() * layer.scale
    stand_in = {"zero": np.zeros((D, 1)), "mean": mean[:, None], "unit": layer.quantiles[places_of_draws(D, N)] / PARTS}[noise]
    for s in range(D + 1):
        kept = {False: np.ones((D, N), bool), True: np.zeros((D, N), bool)}
        for k, y in enumerate(layer.labels):
            kept[False][order[y, :s], k] = False
            kept[True][order[y, :s], k] = True
        for counts, own in ((few, kept[False]), (rest, kept[True])):
            logits = layer.weight @ np.where(own, layer.features, 0) + weight @ np.where(own, 0, stand_in) + layer.bias[:, None]
            lead = np.sort(logits, axis=0)
            sure = lead[-1] - lead[-2] > 2_000  # far above the rounding of whole weights
            wins = logits.argmax(axis=0) == layer.labels
            assert (wins & sure).sum() <= counts[s] <= (wins | ~sure).sum()
    assert few[0] == rest[D] == layer.right(layer.full).sum()


def test_every_image_and_feature_draws_its_own_noise() -> None:
    layer = WholeLayer(torch.rand(3000, 64), torch.arange(3000) % 3, nn.Linear(64, 3), torch.zeros(64))
    draws = layer.draws / PARTS
    assert draws.shape == (64, 3000) and len(layer.quantiles) == QUANTILES
    assert abs(draws.mean()) < 0.01 and abs(draws.std() - 1) < 0.01
    assert np.abs(draws.mean(axis=0)).max() < 0.6 and np.abs(draws.mean(axis=1)).max() < 0.1
    for one, other in ((draws[:, 1:], draws[:, :-1]), (draws[1:], draws[:-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01


def test_rounding_is_half_up_in_whole_numbers() -> None:
    assert [said_percent(*pair) for pair in ((1, 32), (3, 32), (2, 3), (157, 157), (0, 9), (0, 0))] == [
        "3.13 %", "9.38 %", "66.67 %", "100.00 %", "0.00 %", "–"
    ]  # fmt: skip
    assert [said_ratio(*pair) for pair in ((2, 3), (1, 1), (3, 2), (1, 0))] == ["0.6667", "1.0000", "1.5000", "–"]


def test_the_grid_begins_at_one_and_ends_at_the_width() -> None:
    assert grid(64) == [1, 2, 3, 4, 5, 7, 10, 14, 21, 30, 44, 64] and grid(64, [6, 7]).count(6) == 1
    assert grid(7) == list(range(1, 8)) and grid(512)[-1] == 512


# ------------------------------------------------------------------------------------------------------------- the lens


@pytest.mark.parametrize("signed", [False, True])
def test_orders_are_those_of_the_lens(signed: bool) -> None:
    shown, one = panels_of(signed), pooled(signed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for r in range(1, D + 1):
            np.testing.assert_array_equal(shown.order("count", r), one.ranks.select(r, 1, linear=one.linear).order)
        for rule in list(RULE_WORDS)[1:]:
            found = find_influential(*one.train, C, s=1, rule=rule, linear=one.linear)
            np.testing.assert_array_equal(shown.order(rule, 0), found.order)


def test_a_class_without_votes_is_ordered_by_its_weights() -> None:
    one = pooled()
    kept = one.train[1] != 3
    ranks = count_ranks(one.train[0][kept], one.train[1][kept], C)
    shown = InfluencePanels(replace(one, train=None, ranks=ranks), None, None, "")
    with pytest.warns(UserWarning, match="class 3"):
        np.testing.assert_array_equal(shown.order("count", 2), ranks.select(2, 1, linear=one.linear).order)
    assert shown.order("count", 2)[3].tolist() == one.linear.weight[3].argsort(descending=True, stable=True).tolist()
    assert shown.rules == ["count", "weight", "abs_weight"]


def test_full_precision_is_the_lens_and_stands_beside_the_counts() -> None:
    shown, one = more(), more_pooled()
    order = torch.from_numpy(shown.order("count", 3))
    lens = accuracy_by_size(*one.test, one.linear, order, ss=range(1, 7)) * 2500
    assert shown.exact("count", 3, range(1, 7)).tolist() == lens.round().long().tolist()
    rows = {row[0]: row for row in shown.accuracy(1, "count", FREE, 3, 2)[0].rows}
    right, agree = (counts[1] for counts in shown.counted("count", 3))
    assert rows["in full precision"][1] == said_percent(round(float(lens[1])), 2500)
    assert rows["decomposed layer"][1:] == (said_percent(right.sum(), 2500), f"{right.sum():,} of 2,500 images")
    assert rows["agreement"][1] == said_percent(agree, 2500) and rows["multiply-adds"][1] == "18 → 6"
    own = (one.test[1] == 1).sum().item()
    assert rows["b"][1] == " → ".join(said_percent(int(k[1]), own) for k in (shown.layer.right(shown.layer.full), right))
    near = (decompose(one.linear, order[:, :2])(one.test[0]).topk(2, dim=1).values.diff().abs() < 2e-2).sum().item()
    apart = shown.exact("count", 3, [2])[0] - right.sum()
    assert 0 < abs(apart) <= near < 200
    said = {1: "1 image more", -1: "1 image fewer"}.get(apart, f"{abs(apart)} images {'more' if apart > 0 else 'fewer'}")
    assert f"the decomposed layer: {said} than here" in rows["in full precision"][2]


def test_what_is_picked_is_what_the_panels_say() -> None:
    shown = panels_of()
    bars, users = shown.histogram(2, "count", LINKED, 6, 3)
    found = pooled().ranks.select(3, 3)
    assert bars.labels == [str(i) for i in found.order[2].tolist()] and bars.cut == 3
    assert bars.series["votes"] == found.counts[2][found.order[2]].tolist()
    sets = [set(row.tolist()) for row in found.indices]
    for i, (label, text, *_) in zip(found.indices[2].tolist(), users.rows, strict=True):
        others = [name for c, name in enumerate(pooled().classes) if c != 2 and i in sets[c]]
        assert (label, text) == (f"feature {i}", ", ".join(others) or "no other class")
    overlap = shown.overlap("count", LINKED, 6, 3)
    assert overlap.values.tolist() == [[float(len(a & b)) for b in sets] for a in sets]
    assert overlap.picks[1] == [{"target": 1}] * C
    surface = shown.surface("count", FREE, 2, 5)
    assert surface.values[3, 1] == pytest.approx(100 * shown.counted("count", 4)[0][1].sum() / N) and surface.picks[3][1] == {
        "r": 4,
        "s": 2,
    }
    assert shown.surface("count", LINKED, 2, 5).picks[3][1] == {"linked": FREE, "r": 4, "s": 2}
    assert shown.surface("count", LINKED, 2, 5).picks[3][3] == {"s": 4} == shown.surface("weight", LINKED, 2, 5).picks[0][3]


def test_an_image_shows_its_two_predictions() -> None:
    shown, one = panels_of(), pooled()
    assert set(range(5)) <= set(shown.titles)
    layer = shown.layer
    differing = set(
        layer.rows[[k for k in range(N) if layer.logits_of(k, shown.order("count", 5)[:, :5]).argmax() != layer.full[k]]].tolist()
    )
    assert set(shown.titles) - set(range(5)) <= differing and len(differing) > 0
    for row in shown.titles:
        *picture, said, logits, top = shown.image(row, "count", LINKED, 1, 5)
        texts = {cells[0]: cells[1] for cells in said.rows}
        assert texts["its class"] == one.classes[int(one.test[1][row])]
        assert (texts["agreement"] == "no") == (row in differing) == (texts["the full layer says"] != texts["the decomposed layer says"])
        assert ("differ" in shown.image_labels[row]) == (row in differing)
        torch.testing.assert_close(torch.tensor(logits.series["full layer"]), one.linear(one.test[0][row]).detach(), atol=0.1, rtol=0)
        assert len(picture) == (row < 5) and top.cut == 5


# ------------------------------------------------------------------------------------------- the script against Python

COUNTS = """
const data = revive(job.data), layer = wholeLayer(data), out = [];
for (const [rule, r] of job.orders) {
  const { order, right, agree } = countsBySize(layer, rule, r), ablated = [];
  for (const noise of job.noises) {
    const { few, rest } = await ablationCounts(layer, rule, r, noise, async () => {});
    ablated.push([[...few], [...rest]]);
  }
  out.push({ order, right, agree, ablated });
}
return { full: layer.full, out, draws: drawsOf(layer) };
"""
PANELS = """
const data = revive(job.data), out = [];
for (const [kind, pick] of job.picks) out.push(await COMPUTED[kind](data, pick, async () => {}));
return out;
"""


@pytest.mark.parametrize("signed", [False, True])
def test_the_page_counts_the_same_images(signed: bool) -> None:
    shown = panels_of(signed)
    orders = [("count", r) for r in range(1, D + 1)] + [(rule, 0) for rule in shown.rules[1:]]
    found = node(COUNTS, {"data": textual(shown.shipped), "orders": orders, "noises": NOISES})
    assert found["full"] == shown.layer.full.tolist() and found["draws"] == shown.layer.draws.ravel().tolist()
    for key, one in zip(orders, found["out"], strict=True):
        right, agree = shown.counted(*key)
        assert one["order"] == shown.order(*key).ravel().tolist(), key
        assert (one["right"], one["agree"]) == (right.ravel().tolist(), agree.tolist()), key
        assert one["ablated"] == [shown.ablated(*key, noise).tolist() for noise in NOISES], key


def test_the_page_counts_thousands_of_images_alike() -> None:
    found = node(COUNTS, {"data": textual(more().shipped), "orders": [("count", 2)], "noises": ["unit"]})["out"][0]
    right, agree = more().counted("count", 2)
    assert (found["right"], found["agree"]) == (right.ravel().tolist(), agree.tolist())
    assert found["ablated"] == [more().ablated("count", 2, "unit").tolist()]


def assert_same(found: Any, expected: Any, where: str) -> None:
    """Words and whole numbers alike, other numbers to the six digits that Python sends."""
    if isinstance(expected, dict) and isinstance(expected.get("data"), bytes):
        assert (found["dtype"], found["shape"], bytes(found["data"])) == (expected["dtype"], expected["shape"], expected["data"]), where
    elif isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, value in enumerate(expected):
            assert_same(found[i], value, f"{where}[{i}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-9), where
    else:
        assert found == expected, where


def picks() -> list[dict[str, Any]]:
    shown = panels_of()
    every = product(shown.rules, (LINKED, FREE), ((1, 1), (3, 2), (2, 7), (7, 5)))
    images = list(shown.titles)
    return [
        {"rule": rule, "linked": linked, "r": r, "s": s, "target": i % C, "image": images[i % len(images)], "noise": NOISES[i % 3]}
        for i, (rule, linked, (r, s)) in enumerate(every)
    ]


def test_the_page_makes_the_same_panels() -> None:
    shown = panels_of()
    asked = [(call, pick) for pick in picks() for call in shown.renderers()]
    explorer = Explorer({name: sorted({pick[name] for pick in picks()}, key=str) for name in picks()[0]}, shown.renderers())
    wanted = {renderer.name: renderer for renderer in explorer._calls}
    found = node(PANELS, {"data": textual(shown.shipped), "picks": [(call.computed[0], pick) for call, pick in asked]})
    for (call, pick), one in zip(asked, found, strict=True):
        given = {name: pick[name] for name in wanted[call.__name__].arguments}
        assert_same(one, [panel.encode() for panel in panels.shown(call(**given))], f"{call.__name__} {pick}")


def test_the_page_rounds_alike() -> None:
    pairs = [(k, n) for n in (0, 1, 7, 32, 157, 10_000) for k in range(0, n + 1, max(1, n // 50))]
    found = node("return job.map(([k, n]) => [saidPercent(k, n), saidRatio(k, n), fillIn('{n}', { n: 1000 * k })]);", pairs)
    assert found == [[said_percent(k, n), said_ratio(k, n), f"{1000 * k:,}"] for k, n in pairs]


# ------------------------------------------------------------------------------------------------ the explorer and its page


def test_it_starts_with_five_and_hides_r_where_it_does_not_matter() -> None:
    images = torch.rand(2, 3, 4, 5)
    explorer = influence_explorer(pooled(), images=images, titles=["first", "second"], network="the network's name")
    assert explorer.picked == {"target": 0, "rule": "count", "linked": LINKED, "s": 5, "r": 5, "image": 0, "noise": "zero"}
    assert "the network's name" in explorer._answer_0["panels"][0]["note"]
    axes = {axis["name"]: axis for axis in explorer._axes}
    assert axes["r"]["when"] == [["rule", ["count"]], ["linked", [FREE]]] and axes["linked"]["when"] == [["rule", ["count"]]]
    assert dict(axes["image"]["labels"][0][1])[1].startswith("1: second")
    linked = explorer._answer_2["panels"]
    explorer.linked = FREE
    assert explorer._answer_2["panels"] == linked
    explorer.r = 2
    assert explorer._answer_2["panels"] != linked


def test_the_page_holds_the_first_pick_and_one_file_beside_it_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, state = page_and_its_file(lambda: influence_explorer(pooled()), tmp_path / "toy.sheets", monkeypatch)
    assert all(renderer["computed"][1] == "" and renderer["first"] for renderer in state["renderers"])
    with pytest.raises(sheets.BudgetError, match="the toy"):
        sheets.Sheets(tmp_path / "toy.sheets", budget=100).write_one({}, whose="the toy")


def wrong(**changes: Any) -> Pooled:
    return replace(pooled(), **changes)


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "given", "error"), [
    ("pooled", lambda: {"pooled": 3}, TypeError),
    ("pooled.test", lambda: {"pooled": wrong(test=(torch.rand(4, 3, 2), torch.zeros(4).long()))}, ValueError),
    ("pooled.test", lambda: {"pooled": wrong(test=(pooled().test[0], torch.zeros(N - 1).long()))}, ValueError),
    ("pooled.test", lambda: {"pooled": wrong(test=(pooled().test[0] * torch.nan, pooled().test[1]))}, ValueError),
    ("pooled.linear", lambda: {"pooled": wrong(linear=nn.Linear(D + 1, C))}, ValueError),
    ("pooled.classes", lambda: {"pooled": wrong(classes=["a", "b"])}, ValueError),
    ("pooled.classes", lambda: {"pooled": wrong(test=(pooled().test[0], pooled().test[1] + 1))}, ValueError),
    ("pooled.ranks", lambda: {"pooled": wrong(ranks=count_ranks(torch.rand(9, D + 2), torch.arange(9) % C, C))}, ValueError),
    ("pooled", lambda: {"pooled": wrong(test=(torch.rand(10**6, D), torch.zeros(10**6).long()))}, ValueError),
    ("images", lambda: {"images": torch.rand(2, 1, 4, 5)}, ValueError),
    ("images", lambda: {"images": torch.randint(0, 9, (2, 3, 4, 5))}, TypeError),
    ("images", lambda: {"images": torch.rand(N + 1, 3, 2, 2)}, ValueError),
    ("titles", lambda: {"titles": ["a"]}, ValueError), ("network", lambda: {"network": 5}, TypeError), ("bake", lambda: {"bake": 3}, TypeError),
])  # fmt: skip
def test_wrong_arguments_are_named(argument: str, given: Any, error: type[Exception]) -> None:
    arguments = {"pooled": pooled(), **given()}
    with pytest.raises(error, match=f"^{argument}:"):
        influence_explorer(arguments.pop("pooled"), **arguments)
