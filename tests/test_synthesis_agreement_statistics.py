"""Rank correlations within layers: against scipy, by hand, against planted answers, and how often their intervals and p are right."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from toy_agreement import layer

from filterlens.synthesis import agreement
from filterlens.synthesis.agreement import SCORES

NAN = math.nan


def drawn(n: int, seed: int, r: float = 0.6) -> np.ndarray:
    """Two numbers (2, n), normal with Pearson's r."""
    draw = np.random.default_rng(seed)
    a, noise = draw.normal(size=(2, n))
    return np.stack([a, r * a + math.sqrt(1 - r * r) * noise])


def test_one_layer_is_scipys_spearman() -> None:
    a, b = drawn(23, 0)
    b = np.round(b)  # ties
    pair = agreement.agree([layer(l1=a, loss_rise=b)]).pair("loss_rise", "l1")
    wanted = scipy.stats.spearmanr(a, b)
    assert (pair.rho, pair.p, pair.n, pair.layers) == (pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue), 23, 1)
    width = 1.959963984540054 * math.sqrt((1 + pair.rho**2 / 2) / (23 - 3))
    assert (math.atanh(pair.low), math.atanh(pair.high)) == pytest.approx((math.atanh(pair.rho) - width, math.atanh(pair.rho) + width))
    assert pair.p_adjusted == pair.p and pair.where == "" and pair.note == ""


def test_layers_are_ranked_by_themselves() -> None:
    first, second = drawn(12, 1), drawn(31, 2)
    layers = [layer(name=name, l2=100 * at + x[0], votes=50 * at + x[1]) for at, (name, x) in enumerate((("p", first), ("q", second)))]
    pair = agreement.agree(layers).pair("l2", "votes")
    assert agreement.agree([layer(name="p", l2=first[0], votes=first[1]), layers[1]]).pair("l2", "votes") == pair  # whatever they have in common
    ranks = [np.stack([(scipy.stats.rankdata(y) - (len(y) + 1) / 2) / len(y) for y in x]) for x in (first, second)]
    rho, _ = scipy.stats.pearsonr(*np.concatenate(ranks, 1))
    df = 43 - 2 - 1
    assert (pair.rho, pair.n, pair.layers) == (pytest.approx(rho), 43, 2)
    assert pair.p == pytest.approx(2 * scipy.stats.t.sf(abs(rho) * math.sqrt(df / (1 - rho**2)), df))
    assert math.atanh(pair.high) - math.atanh(rho) == pytest.approx(1.959963984540054 * math.sqrt((1 + rho**2 / 2) / (df - 1)))
    reversed_in_one = [layers[0], replace(layers[1], values=dict(layers[1].values) | {"votes": -layers[1].values["votes"]})]
    assert agreement.agree(reversed_in_one).pair("l2", "votes").rho < 0 < rho


def test_filters_without_a_number_are_left_out_pair_by_pair() -> None:
    a, b = drawn(17, 3)
    c, kept = drawn(17, 4)[0], [i for i in range(17) if i not in (2, 5, 11)]
    holed = np.where(np.isin(np.arange(17), kept), b, NAN)
    result = agreement.agree([layer(l1=a, isolation=holed, fpgm=c)])
    pair = result.pair("l1", "isolation")
    assert (pair.rho, pair.n) == (pytest.approx(scipy.stats.spearmanr(a[kept], b[kept]).statistic), 14)
    assert result.pair("l1", "fpgm").n == 17 and (result.n_filters, result.n_layers) == (17, 1)
    few = np.where(np.arange(17) < 3, b, NAN)  # three filters are no layer
    pair = agreement.agree([layer(l1=a, isolation=few, fpgm=c)], names=["isolation", "l1"]).pairs[0]
    assert pair.verdict == "not measured" and pair.note == "no layer has 4 filters with both" and (pair.n, pair.layers) == (0, 0)


def test_constant_and_missing_scores_are_said_in_words() -> None:
    a, b = drawn(9, 5)
    flat, other = layer(name="p", l1=a, accuracy_drop=np.full(9, 0.25)), layer(name="q", l1=a, accuracy_drop=b)
    pair = agreement.agree([flat]).pair("l1", "accuracy_drop")
    assert pair.verdict == "not measured" and pair.note == "accuracy_drop is constant in every layer that has both"
    assert all(math.isnan(value) for value in (pair.rho, pair.low, pair.high, pair.p, pair.p_adjusted))
    pair = agreement.agree([flat, other]).pair("l1", "accuracy_drop")
    assert (pair.n, pair.layers, pair.note) == (9, 1, "accuracy_drop is constant in 1 of the layers, left out")
    assert pair.rho == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    told = layer(notes={"votes": "an inner layer"}, l1=a)
    assert agreement.agree([told], names=["votes", "l1"]).pairs[0].note == "votes: an inner layer"
    assert agreement.agree([layer(l1=a, l2=a)], names=["votes", "l1"]).pairs[0].note == "votes: no filter has it"
    same = agreement.agree([layer(l1=a, l2=2 * a)]).pairs[0]
    assert (same.rho, same.high, same.p, same.verdict) == (1, 1, pytest.approx(2 / math.factorial(9)), "agree") and 0.9 < same.low < 1


def test_a_perfect_order_of_few_filters_shows_nothing() -> None:
    few = np.arange(4.0)
    pair = agreement.agree([layer(l1=few, isolation=-few)]).pairs[0]
    assert (pair.rho, pair.p, pair.verdict) == (-1, pytest.approx(1 / 12), "not shown")
    assert pair.low == -1 and pair.high > 0.5
    pair = agreement.agree([layer(name=name, l1=few, isolation=few) for name in "pq"]).pairs[0]
    assert (pair.rho, pair.p, pair.verdict) == (1, pytest.approx(2 / 24**2), "agree")


def test_p_is_corrected_over_the_pairs_that_were_measured() -> None:
    columns = dict(zip(("l1", "l2", "votes", "ownership"), [*drawn(40, 6), *drawn(40, 7, 0.3)], strict=True))
    one = layer(**columns, accuracy_drop=np.zeros(40))
    for method in ("by", "bh"):
        result = agreement.agree([one], correction=method)
        assert result.names == ("l1", "l2", "accuracy_drop", "votes", "ownership") and len(result.pairs) == 10
        pairs = [pair for pair in result.pairs if pair.verdict != "not measured"]
        assert len(pairs) == 6 and result.correction == method
        wanted = scipy.stats.false_discovery_control([pair.p for pair in pairs], method=method)
        np.testing.assert_allclose([pair.p_adjusted for pair in pairs], wanted)
        for pair in pairs:
            assert (pair.verdict == "not shown") == (pair.p_adjusted > 0.05)


def test_what_does_not_agree_is_said_first() -> None:
    x = np.arange(30.0)
    wave = np.sin(x * 7)
    near = x + 9 * wave
    one = layer(l1=x, loss_rise=near, votes=-x + 2 * wave, class_entropy=-x + 12 * wave, isolation=wave, accuracy_drop=np.ones(30))
    result = agreement.agree([one], names=["isolation", "l1", "loss_rise", "votes", "class_entropy", "accuracy_drop"])
    verdicts = [pair.verdict for pair in result.pairs]
    assert verdicts == sorted(verdicts, key=agreement.VERDICTS.index) and {*verdicts} == {*agreement.VERDICTS}
    assert result.pair("votes", "l1").verdict == "opposite" and result.pair("l1", "loss_rise").verdict == "agree"
    entropy = result.pair("l1", "class_entropy")  # the lower the more specific
    assert entropy.rho < 0 and entropy.verdict == "agree"
    assert result.pair("votes", "class_entropy").rho > 0 and result.pair("votes", "class_entropy").verdict == "opposite"
    for verdict in agreement.VERDICTS[:3]:
        rhos = [SCORES[p.a].sense * SCORES[p.b].sense * p.rho for p in result.pairs if p.verdict == verdict]
        assert rhos == sorted(rhos)


def test_layer_by_layer() -> None:
    layers = [layer(model="m", name=f"c{at}", l1=x[0], loss_rise=x[1]) for at, x in enumerate((drawn(9, 8), drawn(21, 9), drawn(14, 10)))]
    layers.append(layer(model="m", name="c9", l1=np.ones(5), loss_rise=np.arange(5.0)))
    pairs = agreement.by_layer(layers, "loss_rise", "l1")
    assert [pair.where for pair in pairs] == ["m c0", "m c1", "m c2", "m c9"] and [pair.n for pair in pairs] == [9, 21, 14, 0]
    for one, pair in zip(layers[:3], pairs, strict=False):
        wanted = agreement.agree([one], names=["l1", "loss_rise"]).pairs[0]
        assert (pair.rho, pair.low, pair.high, pair.p) == (wanted.rho, wanted.low, wanted.high, wanted.p)
    np.testing.assert_allclose([pair.p_adjusted for pair in pairs[:3]], scipy.stats.false_discovery_control([p.p for p in pairs[:3]], method="by"))
    assert pairs[3].verdict == "not measured" and "l1 is constant" in pairs[3].note


def test_a_degenerate_positional_ranking_says_nothing() -> None:
    (a, b), (c, d) = drawn(15, 30), drawn(18, 31)
    plain = layer(name="p", positional=a, l1=b)
    degenerate = replace(layer(name="q", positional=c, l1=d, l2=d), degenerate=True)
    both = agreement.agree([plain, degenerate])
    pair = both.pair("positional", "l1")
    alone = agreement.agree([plain], names=["positional", "l1"]).pairs[0]
    assert (pair.rho, pair.n, pair.layers) == (alone.rho, 15, 1) and pair.note == "positional is degenerate in 1 of the layers, left out"
    assert both.pair("l1", "l2").n == 18 and both.pair("l1", "l2").note == ""
    assert both.pair("positional", "l2").note == "positional is degenerate in every layer that has both"


def test_network_by_network() -> None:
    x = [drawn(n, 40 + n) for n in (9, 21, 14)]
    layers = [layer(model=model, name=f"c{at}", l1=x[at][0], loss_rise=x[at][1]) for at, model in enumerate("bab")]
    pairs = agreement.by_network(layers, "loss_rise", ["l1", "votes"])
    assert [(pair.where, pair.a, pair.b, pair.n) for pair in pairs] == [
        ("b", "loss_rise", "l1", 23), ("b", "loss_rise", "votes", 0), ("a", "loss_rise", "l1", 21), ("a", "loss_rise", "votes", 0),
    ]  # fmt: skip
    wanted = agreement.agree([layers[0], layers[2]], names=["l1", "loss_rise"]).pairs[0]
    assert (pairs[0].rho, pairs[0].low, pairs[0].high, pairs[0].p) == (wanted.rho, wanted.low, wanted.high, wanted.p)
    p = [pairs[0].p, pairs[2].p]
    np.testing.assert_allclose([pairs[0].p_adjusted, pairs[2].p_adjusted], scipy.stats.false_discovery_control(p, method="by"))


def test_damage_against_itself() -> None:
    (a, b), (c, d) = drawn(12, 50), drawn(31, 51)
    halves = [torch.tensor(np.stack(x, 1)) for x in ((a, b), (c, d))]
    layers = [replace(layer(name=name, l1=a[:1].repeat(len(h))), halves=h) for name, h in zip("pq", halves, strict=True)]
    pair = agreement.repeatable(layers)
    wanted = agreement.agree([layer(name="p", l1=a, votes=b), layer(name="q", l1=c, votes=d)]).pairs[0]
    assert (pair.rho, pair.low, pair.high, pair.n, pair.layers) == (wanted.rho, wanted.low, wanted.high, 43, 2)
    assert (pair.a, pair.b, pair.verdict) == ("loss_rise", "loss_rise", "agree")
    flat = agreement.repeatable([replace(layers[0], halves=torch.ones(12, 2))])
    assert flat.verdict == "not measured" and flat.note == "loss_rise is constant in every layer that has both"


def test_layers_drawn_again() -> None:
    layers = [layer(name=str(at), l1=x[0], votes=x[1]) for at, x in enumerate(drawn(8 + 3 * at, 60 + at, 0.9 - 0.2 * at) for at in range(9))]
    result, pair = agreement.over_layers(layers, "votes", "l1", draws=99), agreement.agree(layers).pair("l1", "votes")
    assert (result.rho, result.layers) == (pytest.approx(pair.rho), 9)
    own = [p.rho for p in agreement.by_layer(layers, "l1", "votes")]
    assert result.same == pytest.approx(np.mean(np.sign(own) == np.sign(pair.rho))) and min(own) < 0 < max(own)
    draw = np.random.default_rng(0).integers(0, 9, (99, 9))
    again = [agreement.agree([replace(layers[k], layer=f"{at}") for at, k in enumerate(row)]).pairs[0].rho for row in draw]
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])))
    assert result.high - result.low > pair.high - pair.low  # the layers differ
    alike = [replace(layers[0], layer=str(at)) for at in range(8)]
    same = agreement.over_layers(alike, "l1", "votes")
    assert same.low == pytest.approx(same.rho) == same.high and same.same == 1
    few = agreement.over_layers(layers[:7], "l1", "votes")
    assert math.isnan(few.low) and math.isnan(few.high) and few.layers == 7
    assert agreement.over_layers(layers, "l1", "isolation").layers == 0


@pytest.mark.parametrize(("sizes", "r"), [((16,), 0.0), ((16,), 0.7), ((12, 20, 33), 0.5), ((8, 8, 8, 8), 0.5)])
def test_intervals_cover_and_p_errs_as_often_as_they_say(sizes: tuple[int, ...], r: float) -> None:
    truth, repeats = 6 / math.pi * math.asin(r / 2), 400  # Spearman's rho of a normal pair with Pearson's r (Kruskal 1958)
    inside = shown = 0
    for seed in range(repeats):
        found = [drawn(n, 1000 * seed + at, r) for at, n in enumerate(sizes)]
        pair = agreement.agree([layer(name=str(at), l1=x[0], votes=x[1]) for at, x in enumerate(found)], names=["l1", "votes"]).pairs[0]
        inside += pair.low <= truth <= pair.high
        shown += pair.p <= 0.05
    assert 0.92 <= inside / repeats <= 0.985  # 95 % would be within .92 and .98 in 99.5 % of such tests
    if r == 0:
        assert 0.02 <= shown / repeats <= 0.08


def test_level_widens_the_interval_and_moves_the_verdict() -> None:
    a, b = drawn(20, 21, 0.5)
    p = agreement.agree([layer(l1=a, votes=b)]).pairs[0].p
    narrow, wide = (agreement.agree([layer(l1=a, votes=b)], level=level).pairs[0] for level in (1 - 2 * p, 1 - p / 2))
    assert wide.low < narrow.low < narrow.rho == wide.rho < narrow.high < wide.high
    assert narrow.verdict == "agree" and wide.verdict == "not shown"


def test_rows_and_back_through_a_file() -> None:
    values = torch.tensor([0.123456789, NAN, -3.0e-9])
    given = [layer("a-net", "c.1", l1=values, votes=[1 / 3, 0, 1]), layer("b-net", "c.1", n=2, isolation=[0.5, NAN])]
    halves = torch.tensor([[0.25, 0.125], [1 / 3, NAN], [-1e-9, 2.0]], dtype=torch.float64)
    given[0] = replace(given[0], removal="share", filters=torch.tensor([4, 0, 2]), degenerate=True, n_images=500, halves=halves)
    rows = [row for one in given for row in agreement.to_rows(one)]
    assert rows[0]["l1"] == 0.123457 and rows[2]["l1"] == -3e-9 and [row["filter"] for row in rows] == [4, 0, 2, 0, 1]
    text = pd.DataFrame(rows).to_csv(index=False)
    for table in (pd.DataFrame(rows), pd.read_csv(io.StringIO(text))):
        back = agreement.from_rows(table)
        assert [(one.model, one.layer, one.removal, one.n_images, one.degenerate) for one in back] == [
            ("a-net", "c.1", "share", 500, True), ("b-net", "c.1", "channel", 9, False)
        ]  # fmt: skip
        torch.testing.assert_close(back[0].halves, halves, rtol=1e-5, atol=0, equal_nan=True)
        assert (back[0].accuracy, back[0].loss) == (0.75, 0.5) and back[0].filters.tolist() == [4, 0, 2]
        assert [row for one in back for row in map(str, agreement.to_rows(one))] == [*map(str, rows)]


TABLE = pd.DataFrame(agreement.to_rows(layer(l1=[1.0, 2.0, 3.0, 4.0])))
ONE = layer(l1=np.arange(5.0), l2=np.arange(5.0))
STATISTICS = [
    ("found", None, TypeError), ("found", 3, TypeError), ("found", "rows", TypeError), ("found", [], ValueError), ("found", [TABLE], TypeError),
    ("found", [ONE, ONE], ValueError), ("level", 0.0, ValueError), ("level", 1.0, ValueError), ("level", 95, ValueError), ("level", "95 %", TypeError),
    ("level", NAN, ValueError), ("correction", "holm", ValueError), ("correction", None, TypeError),
]  # fmt: skip
CASES: list[tuple[Callable, dict[str, Any], str, Any, type[Exception]]] = [
    *[(agreement.agree, {"found": [ONE]}, *case) for case in STATISTICS],
    *[(agreement.by_layer, {"found": [ONE], "a": "l1", "b": "l2"}, *case) for case in STATISTICS],
    *[
        (agreement.agree, {"found": [ONE]}, "names", value, error)
        for value, error in (("l1", TypeError), (3, TypeError), ([], ValueError), (["l1"], ValueError), (["l1", "l1"], ValueError),
                             (["l1", "l3"], ValueError), (["l1", 2], TypeError))
    ],
    *[
        (agreement.by_layer, {"found": [ONE], "a": "l1", "b": "l2"}, name, value, error)
        for name in ("a", "b") for value, error in (("l3", ValueError), (None, TypeError), ("l2" if name == "a" else "l1", ValueError))
        if (name, value) != ("a", "l2")
    ],
    *[(agreement.by_network, {"found": [ONE], "a": "l1", "others": ["l2"]}, *case) for case in STATISTICS],
    *[
        (agreement.by_network, {"found": [ONE], "a": "l1", "others": ["l2"]}, name, value, error)
        for name, value, error in (("a", "l3", ValueError), ("a", None, TypeError), ("others", "l2", TypeError), ("others", [], ValueError),
                                   ("others", ["l1"], ValueError), ("others", ["l2", "l2"], ValueError), ("others", ["l3"], ValueError))
    ],
    *[(agreement.over_layers, {"found": [ONE], "a": "l1", "b": "l2"}, *case) for case in STATISTICS if case[0] != "correction"],
    *[
        (agreement.over_layers, {"found": [ONE], "a": "l1", "b": "l2"}, name, value, error)
        for name, value, error in (("a", "l3", ValueError), ("b", "l1", ValueError), ("b", 3, TypeError), ("draws", 0, ValueError),
                                   ("draws", 1.5, TypeError), ("seed", -1, ValueError))
    ],
    *[(agreement.repeatable, {"found": [ONE]}, *case) for case in STATISTICS if case[0] != "correction"],
    *[
        (agreement.agree([ONE]).pair, {"a": "l1", "b": "l2"}, name, value, error)
        for name, value, error in (("a", "votes", ValueError), ("a", 1, TypeError), ("b", "l1", ValueError), ("b", None, TypeError))
    ],
    *[(agreement.to_rows, {}, "found", value, TypeError) for value in (None, [ONE], TABLE)],
    *[
        (agreement.from_rows, {}, "rows", value, error)
        for value, error in (
            (None, TypeError), ([{}], TypeError), (TABLE[:0], ValueError), (TABLE.drop(columns="votes"), ValueError),
            (TABLE.drop(columns="removal"), ValueError), (TABLE.astype({"l1": str}), TypeError), (pd.concat([TABLE, TABLE[:1]]), ValueError),
            (TABLE.assign(removal="weight"), ValueError),
        )
    ],
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("function", "given", "name", "value", "error"), CASES)
def test_bad_input(function: Callable, given: dict, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}\b"):
        function(**given | {name: value})
