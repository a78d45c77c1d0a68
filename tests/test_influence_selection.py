"""Algorithm 1 against a literal re-implementation in loops, and what must hold of every rule, stream and table of ranks."""

from __future__ import annotations

import warnings
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from filterlens.lenses.influence import (
    RULES,
    InfluenceCounter,
    InfluentialFeatures,
    accuracy_surface,
    count_ranks,
    decompose,
    find_influential,
)
from filterlens.lenses.influence import votes as arithmetic

pytestmark = pytest.mark.filterwarnings("ignore:r = .* is the full width", "ignore:all features of all images", "ignore:no image votes")
FIELDS = ("order", "counts", "mass", "score", "n_images", "n_silent", "rule", "r", "s")
NAN, INF = float("nan"), float("inf")


def same(a: InfluentialFeatures, b: InfluentialFeatures) -> bool:
    """Bit for bit."""
    pairs = [(getattr(a, name), getattr(b, name)) for name in FIELDS]
    return all(x.dtype == y.dtype and torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


def literal(features: list[list[int]], labels: list[int], n_classes: int, r: int, signed: bool) -> tuple[list, list, list]:
    """Algorithm 1 in loops and exact fractions: order, counts and mass of each class; a share is rounded as the docstring says."""
    d = len(features[0])
    counts = [[0] * d for _ in range(n_classes)]
    mass, voting = [[Fraction(0)] * d for _ in range(n_classes)], [0] * n_classes
    for f, y in zip(features, labels, strict=True):
        ranked = sorted(range(d), key=lambda i: (-(f[i] if signed else abs(f[i])), i))
        for i in ranked[:r]:
            if f[i] != 0:
                counts[y][i] += 1
        total = sum(abs(v) for v in f)
        if total:
            voting[y] += 1
            for i in range(d):
                mass[y][i] += Fraction(round(Fraction(abs(f[i]), total) * 2**38), 2**38)
    mass = [[m / max(n, 1) for m in row] for row, n in zip(mass, voting, strict=True)]
    order = [sorted(range(d), key=lambda i: (-counts[y][i], -mass[y][i], i)) for y in range(n_classes)]
    return order, counts, mass


@st.composite
def tables(draw, least: int = -3):
    """Small integers, so that ties and zeros occur; every class has an image."""
    d, n_classes = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    n = draw(st.integers(n_classes, 12))
    rows = draw(st.lists(st.lists(st.integers(least, 3), min_size=d, max_size=d), min_size=n, max_size=n))
    labels = [*range(n_classes), *draw(st.lists(st.integers(0, n_classes - 1), min_size=n - n_classes, max_size=n - n_classes))]
    return rows, labels, n_classes, draw(st.integers(1, d)), draw(st.integers(1, d))


def relu(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).relu()


# Algorithm 1


NINTHS = [[0] * 7, [0] * 7, [1, 0, 0, 0, 2, 3, 3], [1, 0, 0, 2, 0, 3, 3]]  # 1/9 + 1/9 and 2/9, which are rounded differently


@example((NINTHS, [0, 1, 0, 0], 2, 1, 1), False, torch.float32)
@settings(max_examples=100, deadline=None)
@given(tables(), st.booleans(), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_votes_and_order_equal_the_literal_loops(table, signed, dtype):
    rows, labels, n_classes, r, s = table
    found = find_influential(torch.tensor(rows, dtype=dtype), torch.tensor(labels), n_classes, r=r, s=s, signed=signed)
    order, counts, mass = literal(rows, labels, n_classes, r, signed)
    assert found.counts.tolist() == counts and found.order.tolist() == order
    assert found.indices.tolist() == [row[:s] for row in order]
    assert torch.allclose(found.mass, torch.tensor([[float(m) for m in row] for row in mass], dtype=torch.float64), rtol=0, atol=4e-12)
    assert torch.equal(found.score, found.counts.double()) and (found.rule, found.r, found.s) == ("count", r, s)
    silent = [sum(not any(row) for row, y in zip(rows, labels, strict=True) if y == of) for of in range(n_classes)]
    assert found.n_silent.tolist() == silent and found.n_images.tolist() == [labels.count(of) for of in range(n_classes)]


def test_a_case_by_hand():
    features = torch.tensor([[4.0, 4, 2, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 3, 1]])
    found = find_influential(features, torch.tensor([0, 0, 0, 1]), 2, r=2, s=3)
    assert found.counts.tolist() == [[1, 2, 1, 0], [0, 0, 1, 1]]
    assert found.order.tolist() == [[1, 2, 0, 3], [2, 3, 0, 1]]  # 2 before 0: masses .35 and .2
    assert torch.allclose(found.mass, torch.tensor([[0.2, 0.45, 0.35, 0], [0, 0, 0.75, 0.25]], dtype=torch.float64), atol=1e-11)
    assert found.n_images.tolist() == [3, 1] and found.n_silent.tolist() == [1, 0]


def test_ties_at_the_border_go_to_the_lower_index_and_zeros_never_vote():
    features = torch.tensor([[1.0, 2, 1, 1, 0, 0]])
    assert find_influential(features, torch.tensor([0]), 1, r=2, s=1).counts.tolist() == [[1, 1, 0, 0, 0, 0]]
    assert find_influential(features, torch.tensor([0]), 1, r=6, s=1).counts.tolist() == [[1, 1, 1, 1, 0, 0]]
    assert find_influential(features, torch.tensor([0]), 1, r=5, s=1).counts.sum() == 4


def test_features_that_are_equally_strong_over_the_class_are_ordered_by_index():
    features = torch.tensor([[1.0, 0, 0, 2], [0, 0, 7, 14], [0, 0.1, 0, 0.2]])  # thirds do not add up alike in floating point
    rows = torch.cat([features[[i, j, k]].sum(0)[None] * 0 + features[[i, j, k]] for i, j, k in ((0, 1, 2), (2, 0, 1))])
    found = find_influential(rows, torch.zeros(6, dtype=torch.long), 1, r=2, s=4)
    assert found.order.tolist() == [[3, 0, 1, 2]]


@settings(max_examples=30, deadline=None)
@given(tables(), st.integers(0, 10**6))
def test_bounds_of_votes(table, seed):
    """Oracle 2, with errata 1: sum_i H_y[i] <= r n_y; equality without zeros, and r = d counts every image everywhere."""
    rows, labels, n_classes, r, s = table
    features, labels = torch.tensor(rows, dtype=torch.float64), torch.tensor(labels)
    found = find_influential(features, labels, n_classes, r=r, s=s)
    assert bool((found.counts.sum(1) <= r * (found.n_images - found.n_silent)).all())
    assert bool((found.counts >= 0).all()) and bool((found.counts <= found.n_images[:, None]).all())
    full = torch.rand(features.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    found = find_influential(full, labels, n_classes, r=r, s=s)
    assert torch.equal(found.counts.sum(1), r * found.n_images)
    with pytest.warns(UserWarning, match="is the full width"):
        everything = find_influential(full, labels, n_classes, r=full.shape[1], s=s)
    assert torch.equal(everything.counts, found.n_images[:, None].expand_as(everything.counts))
    assert torch.equal(everything.order, everything.mass.argsort(dim=1, descending=True, stable=True))


@settings(max_examples=40, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_images_scale_of_images_and_order_of_features(table, moments):
    """Oracle 3."""
    rows, labels, n_classes, r, s = table
    features, labels = torch.tensor(rows, dtype=torch.float64), torch.tensor(labels)
    found = find_influential(features, labels, n_classes, r=r, s=s)
    shuffled = torch.tensor(moments.sample(range(len(rows)), len(rows)))
    assert same(found, find_influential(features[shuffled], labels[shuffled], n_classes, r=r, s=s))
    scales = torch.tensor([2.0 ** moments.randint(-30, 30) for _ in rows])[:, None]
    assert same(found, find_influential(features * scales, labels, n_classes, r=r, s=s))
    total = features.abs().sum(1, keepdim=True)
    divided = find_influential(features / torch.where(total > 0, total, 1), labels, n_classes, r=r, s=s)
    assert torch.equal(divided.order, found.order) and torch.equal(divided.counts, found.counts)
    moved = torch.tensor(moments.sample(range(features.shape[1]), features.shape[1]))
    again = find_influential(features[:, moved], labels, n_classes, r=features.shape[1], s=s)
    assert torch.equal(again.mass, found.mass[:, moved])


def test_permuted_features_give_permuted_sets():
    features, labels = torch.rand(90, 13, generator=torch.Generator().manual_seed(4)), torch.arange(90) % 4
    moved = torch.randperm(13, generator=torch.Generator().manual_seed(5))
    for rule in ("count", "coverage"):
        found = find_influential(features, labels, 4, r=3, s=5, rule=rule)
        again = find_influential(features[:, moved], labels, 4, r=3, s=5, rule=rule)
        assert torch.equal(moved[again.order], found.order) and torch.equal(again.counts, found.counts[:, moved])


@pytest.mark.parametrize("s", [2, 5])
def test_planted_blocks_are_found_exactly(s):
    """Oracle 4: class-specific blocks; equal biases and no positive weight off the block keep every prediction."""
    n_classes, d, n = 3, 17, 60
    noise = torch.Generator().manual_seed(s)
    blocks = torch.randperm(d, generator=noise)[: n_classes * s].view(n_classes, s)
    labels = torch.arange(n) % n_classes
    features = torch.zeros(n, d).scatter_(1, blocks[labels], torch.rand(n, s, generator=noise) + 0.1)
    linear = nn.Linear(d, n_classes)
    with torch.no_grad():
        linear.bias.fill_(0.3)
        linear.weight.copy_(-torch.rand(n_classes, d, generator=noise))
        linear.weight.scatter_(1, blocks, torch.rand(n_classes, s, generator=noise) + 0.1)
    for rule in ("count", "coverage", "weight", "contribution"):
        found = find_influential(features, labels, n_classes, r=s, s=s, rule=rule, linear=linear, coverage=1.0)
        assert torch.equal(found.indices.sort(1).values, blocks.sort(1).values), rule
    assert bool((linear(features).argmax(1) == labels).all()) and bool(
        (decompose(linear, found.indices)(features).argmax(1) == labels).all()
    )


# the other rules


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 16))
def test_coverage_takes_the_smallest_set_that_reaches_its_share(table, sixteenths):
    """Against loops; sixteenths and small integers are exact in binary, so borders are met exactly."""
    rows, labels, n_classes, _, s = table
    counts, share = [[0] * len(rows[0]) for _ in range(n_classes)], sixteenths / 16
    for f, y in zip(rows, labels, strict=True):
        total, reached = sum(map(abs, f)), 0
        for i in sorted(range(len(f)), key=lambda i: (-abs(f[i]), i)):
            if reached < share * total:
                counts[y][i] += 1
                reached += abs(f[i])
    found = find_influential(torch.tensor(rows).float(), torch.tensor(labels), n_classes, s=s, rule="coverage", coverage=share)
    assert found.counts.tolist() == counts and found.r is None and found.rule == "coverage"


def test_huge_and_tiny_features_have_shares():
    features = torch.tensor([[1e308, 1.5e308, 0], [3e-320, 1e-320, 0]], dtype=torch.float64)
    found = find_influential(features, torch.tensor([0, 1]), 2, r=1, s=1)
    assert torch.allclose(found.mass, torch.tensor([[0.4, 0.6, 0], [0.75, 0.25, 0]], dtype=torch.float64), atol=1e-3)
    covered = find_influential(features, torch.tensor([0, 1]), 2, s=1, rule="coverage", coverage=0.7)
    assert covered.counts.tolist() == [[1, 1, 0], [1, 0, 0]]


def test_full_coverage_takes_every_feature_that_is_not_zero():
    """Oracle 12, also for features that vanish beside the others in double precision."""
    features = torch.tensor([[1.0, 1e-30, 0, -1e-18], [0, 3, 0, 0]], dtype=torch.float64)
    found = find_influential(features, torch.tensor([0, 0]), 1, s=1, rule="coverage", coverage=1.0)
    assert found.counts.tolist() == [[1, 2, 0, 1]]
    half = find_influential(features, torch.tensor([0, 0]), 1, s=1, rule="coverage")
    assert half.counts.tolist() == [[1, 1, 0, 0]]
    features = relu(500, 29).double()
    found = find_influential(features, torch.arange(500) % 3, 3, s=4, rule="coverage", coverage=1.0)
    assert torch.equal(found.counts, torch.stack([(features[c::3] != 0).sum(0) for c in range(3)]))


def test_rules_of_weights():
    torch.manual_seed(0)
    linear, features, labels = nn.Linear(7, 3), relu(40, 7), torch.arange(40) % 3
    with torch.no_grad():
        linear.weight[1, 2] = linear.weight[1, 5] = 0.25  # a tie
        linear.weight[2] = -linear.weight[2].abs()
    weight = linear.weight.detach().double()
    mean = torch.stack([features[labels == c].double().mean(0) for c in range(3)])
    for rule, score in {"weight": weight, "abs_weight": weight.abs(), "contribution": weight * mean}.items():
        found = find_influential(features, labels, 3, s=4, rule=rule, linear=linear)
        assert torch.allclose(found.score, score, atol=1e-12) and found.rule == rule and found.r is None
        expected = [sorted(range(7), key=lambda i, row=row: (-row[i], i)) for row in found.score.tolist()]
        assert found.order.tolist() == expected
        assert int(found.counts.sum()) == 0 and found.n_images.tolist() == [14, 13, 13]
        assert torch.equal(found.mass, find_influential(features, labels, 3, r=2, s=4).mass)


def test_signed_votes_are_for_the_largest_values():
    features = torch.tensor([[-5.0, 1, 2, 0, 0.5]])
    assert find_influential(features, torch.tensor([0]), 1, r=2, s=2).indices.tolist() == [[0, 2]]
    assert find_influential(features, torch.tensor([0]), 1, r=2, s=2, signed=True).counts.tolist() == [[0, 1, 1, 0, 0]]
    assert find_influential(features, torch.tensor([0]), 1, r=4, s=2, signed=True).counts.tolist() == [[0, 1, 1, 0, 1]]


def test_another_cut_of_the_same_ranking():
    found = find_influential(relu(60, 9), torch.arange(60) % 4, 4, r=3, s=5)
    assert torch.equal(found.at(2).indices, found.order[:, :2]) and found.at(9).indices.shape == (4, 9) and found.s == 5
    assert same(found.at(5), found)


# streams and ranks


@settings(max_examples=40, deadline=None)
@given(tables(), st.lists(st.integers(1, 5), min_size=12, max_size=12), st.booleans())
def test_a_stream_equals_the_whole_bit_for_bit(table, sizes, signed):
    rows, labels, n_classes, r, s = table
    features, labels = torch.tensor(rows, dtype=torch.float32) * 0.1, torch.tensor(labels)  # 0.1: sums that round
    counter, at = InfluenceCounter(n_classes, features.shape[1], r, signed=signed), 0
    for size in sizes:
        if at < len(rows):
            counter.update(features[at : at + size], labels[at : at + size])
            state, at = counter.state_dict(), at + size
            counter = InfluenceCounter(n_classes, features.shape[1], r, signed=signed)
            counter.load_state_dict(state)
    assert counter.n == len(rows)
    assert same(counter.result(s), find_influential(features, labels, n_classes, r=r, s=s, signed=signed))


def test_more_images_than_are_taken_at_a_time():
    features, labels = relu(10_000, 11), torch.arange(10_000) % 7
    counter = InfluenceCounter(7, 11, 3)
    for at in range(0, 10_000, 256):
        counter.update(features[at : at + 256].half(), labels[at : at + 256].to(torch.uint8))
    whole = find_influential(features.half(), labels, 7, r=3, s=4)
    assert same(counter.result(4), whole) and same(count_ranks(features.half(), labels, 7).select(3, 4), whole)
    manual = torch.zeros(7, 11, dtype=torch.long)
    for row, label in zip(features.half().topk(3).indices, labels, strict=True):
        manual[label, row] += 1
    zeros = int((features.topk(3).values == 0).sum())
    assert int((manual - whole.counts).abs().sum()) <= zeros + 20  # ties of half precision


def test_memory_of_a_stream_does_not_grow():
    """What is kept after 2 images and after 40,000 takes the same bytes; the stream itself is made on the fly."""
    counter, noise = InfluenceCounter(3, 13, 2), torch.Generator().manual_seed(0)
    held = []
    for size in (2, *[1000] * 40):
        counter.update(torch.rand(size, 13, generator=noise), torch.randint(3, (size,), generator=noise))
        held.append(sum(t.untyped_storage().nbytes() for t in counter.state_dict().values()))
    assert counter.n == 40_002 and set(held) == {held[0]} and held[0] == 8 * (4 + 2 * 3 * 13 + 2 * 3)


def test_images_are_taken_a_few_thousand_at_a_time(monkeypatch):
    seen, shares = [], arithmetic.shares
    monkeypatch.setattr(arithmetic, "shares", lambda some: seen.append(some.numel()) or shares(some))
    find_influential(torch.ones(1, 1).expand(9000, 3), torch.zeros(9000, dtype=torch.long), 1, r=1, s=1)
    find_influential(torch.ones(1, 1).expand(300, 2**14), torch.zeros(300, dtype=torch.long), 1, r=1, s=1)
    assert sum(seen) == 27_000 + 300 * 2**14 and max(seen) <= 2**22 and seen[:3] == [3 * 4096, 3 * 4096, 3 * 808]


@settings(max_examples=25, deadline=None)
@given(tables(), st.booleans())
def test_ranks_give_every_r_and_s(table, signed):
    rows, labels, n_classes, _, _ = table
    features, labels = torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)
    ranked, d = count_ranks(features, labels, n_classes, signed=signed), features.shape[1]
    assert ranked.ranks.shape == (n_classes, d, d) and int(ranked.ranks.sum()) == int((features != 0).sum())
    for r in range(1, d + 1):
        whole = find_influential(features, labels, n_classes, r=r, s=1, signed=signed)
        assert torch.equal(ranked.counts(r), whole.counts)
        for s in range(1, d + 1):
            assert same(ranked.select(r, s), whole.at(s))


def test_the_callers_tensors_are_untouched_and_results_are_frozen():
    features, labels = relu(30, 5).requires_grad_(), torch.arange(30) % 2
    before = features.detach().clone()
    counter = InfluenceCounter(2, 5, 2)
    counter.update(features, labels)
    found = counter.result(3)
    kept = [t.clone() for t in (found.counts, found.mass, found.n_images, found.n_silent)]
    state = counter.state_dict()
    counter.update(features, labels)  # goes on without touching what was handed out
    assert all(torch.equal(a, b) for a, b in zip(kept, (found.counts, found.mass, found.n_images, found.n_silent), strict=True))
    assert int(state["n_images"].sum()) == 30 and counter.n == 60
    assert torch.equal(features.detach(), before) and not found.mass.requires_grad
    with pytest.raises(AttributeError):
        found.s = 2


# classes without evidence


def test_a_class_without_images_takes_the_order_of_its_signed_weights():
    torch.manual_seed(0)
    linear, features, labels = nn.Linear(6, 4), relu(20, 6) + 0.01, torch.arange(20) % 2 * 2
    expected = linear.weight.detach().double()[[1, 3]].argsort(dim=1, descending=True)
    counter = InfluenceCounter(4, 6, 2)
    counter.update(features, labels)
    ranked = count_ranks(features, labels, 4)
    for make in (
        lambda **o: find_influential(features, labels, 4, r=2, s=3, **o),
        lambda **o: counter.result(3, **o),
        lambda **o: ranked.select(2, 3, **o),
        lambda **o: find_influential(features, labels, 4, s=3, rule="coverage", **o),
    ):
        with pytest.warns(UserWarning, match="no image votes for class 1, 3: ordered by the layer's signed weights"):
            found = make(linear=linear)
        assert torch.equal(found.order[[1, 3]], expected) and torch.equal(found.score[[1, 3]], linear.weight.detach().double()[[1, 3]])
        assert int(found.counts[[1, 3]].sum()) == 0 and found.n_images.tolist() == [10, 0, 10, 0] and float(found.mass[[1, 3]].sum()) == 0
        with pytest.raises(ValueError, match="^labels: got no image of class 1, 3"):
            make()
    with pytest.warns(UserWarning, match="no image votes for class 1, 3"):
        found = find_influential(features, labels, 4, s=3, rule="contribution", linear=linear)
    assert torch.equal(found.order[[1, 3]], expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_influential(features, labels, 4, s=3, rule="weight", linear=linear)  # needs no images


def test_a_class_of_silent_images_is_told():
    features, labels = torch.tensor([[0.0, 0, 0], [1, 2, 3]]), torch.tensor([0, 1])
    with pytest.warns(UserWarning, match="all features of all images of class 0 are zero"):
        found = find_influential(features, labels, 2, r=1, s=2)
    assert found.order.tolist() == [[0, 1, 2], [2, 1, 0]] and found.n_silent.tolist() == [1, 0]
    with pytest.warns(UserWarning, match="no image votes for class 0"):
        found = find_influential(features, labels, 2, r=1, s=2, linear=nn.Linear(3, 2))
    assert float(found.mass[0].sum()) == 0


def test_warnings_point_at_the_line_that_called() -> None:
    features, labels, linear = torch.tensor([[0.0, 0, 0], [1, 2, 3]]), torch.tensor([0, 1]), nn.Linear(3, 3)
    counter = InfluenceCounter(3, 3, 3)
    counter.update(features, labels)
    ranked = count_ranks(features, labels, 3)
    for call in (
        lambda: find_influential(features, labels, 3, r=3, s=2, linear=linear),
        lambda: find_influential(features, labels, 3, s=2, rule="contribution", linear=linear),
        lambda: counter.result(2, linear=linear),
        lambda: ranked.select(3, 2, linear=linear),
        lambda: accuracy_surface(features, labels, linear, ranked, rs=[1], ss=[2]),
    ):
        with pytest.warns(UserWarning) as told:
            call()
        assert {(one.filename, one.lineno) for one in told} == {(__file__, call.__code__.co_firstlineno)}


# bad input

F, L, HEAD = relu(12, 5) + 0.01, torch.arange(12) % 3, nn.Linear(5, 3)
COUNTER = InfluenceCounter(3, 5, 2)
COUNTER.update(F, L)
RANKED, FOUND = count_ranks(F, L, 3), find_influential(F, L, 3, r=2, s=2)
OTHER = InfluenceCounter(3, 5, 3).state_dict()
GOOD = {
    "find": (find_influential, {"features": F, "labels": L, "n_classes": 3, "r": 2, "s": 2, "rule": "count", "linear": HEAD, "coverage": 0.5, "signed": False}),
    "counter": (InfluenceCounter, {"n_classes": 3, "d": 5, "r": 2, "signed": False}),
    "update": (COUNTER.update, {"features": F, "labels": L}),
    "result": (COUNTER.result, {"s": 2, "linear": HEAD}),
    "load": (COUNTER.load_state_dict, {"state": COUNTER.state_dict()}),
    "ranks": (count_ranks, {"features": F, "labels": L, "n_classes": 3, "signed": False, "max_bytes": 10**6}),
    "votes": (RANKED.counts, {"r": 2}),
    "select": (RANKED.select, {"r": 2, "s": 2, "linear": HEAD}),
    "at": (FOUND.at, {"s": 2}),
}  # fmt: skip
T, V = TypeError, ValueError
count = [("zero", 0, V), ("negative", -1, V), ("a fraction", 1.5, T), ("NaN", NAN, T), ("text", "2", T), ("a boolean", True, T)]
width = [*count, ("above the width", 6, V), ("nothing", None, T)]
flag = [("a number", 1, T), ("text", "yes", T), ("nothing", None, T)]
poisoned = nn.Linear(5, 3)
poisoned.weight.data[1, 2] = NAN
layer = [("a tensor", HEAD.weight, T), ("a convolution", nn.Conv2d(5, 3, 1), T), ("another width", nn.Linear(4, 3), V), ("another count", nn.Linear(5, 2), V), ("NaN", poisoned, V)]  # fmt: skip
table = [
    ("a list", F.tolist(), T), ("rank 1", F[0], V), ("rank 3", F[None], V), ("integers", F.long(), T), ("booleans", F > 0, T),
    ("complex", F.to(torch.complex64), T), ("no images", F[:0], V), ("no features", F[:, :0], V), ("NaN", F * NAN, V), ("infinite", F * INF, V),
]  # fmt: skip
truth = [
    ("a list", L.tolist(), T), ("rank 2", L[:, None], V), ("floats", L.float(), T), ("booleans", L > 0, T), ("fewer", L[:-1], V), ("more", torch.cat([L, L]), V),
    ("none", L[:0], V), ("above", L + 1, V), ("negative", L - 1, V),
]  # fmt: skip
state = COUNTER.state_dict()
BAD = {
    ("find", "features"): table,
    ("find", "labels"): truth,
    ("find", "n_classes"): [*count, ("fewer than labels", 2, V)],
    ("find", "r"): width,
    ("find", "s"): width,
    ("find", "rule"): [("unknown", "counts", V), ("empty", "", V), ("a number", 1, T), ("nothing", None, T)],
    ("find", "linear"): layer,
    ("find", "coverage"): [("zero", 0, V), ("negative", -0.1, V), ("above one", 1.01, V), ("NaN", NAN, V), ("text", "half", T), ("nothing", None, T)],
    ("find", "signed"): flag,
    ("counter", "n_classes"): count,
    ("counter", "d"): count,
    ("counter", "r"): width,
    ("counter", "signed"): flag,
    ("update", "features"): [*table, ("another width", F[:, :4], V)],
    ("update", "labels"): truth,
    ("result", "s"): width,
    ("result", "linear"): layer,
    ("load", "state"): [
        ("nothing", None, T), ("empty", {}, V), ("other r", OTHER, V), ("another shape", InfluenceCounter(3, 4, 2).state_dict(), V), ("floats", {**state, "counts": state["counts"].float()}, V),
        ("signed", InfluenceCounter(3, 5, 2, signed=True).state_dict(), V),
    ],
    ("ranks", "features"): table,
    ("ranks", "labels"): truth,
    ("ranks", "n_classes"): count,
    ("ranks", "signed"): flag,
    ("ranks", "max_bytes"): [*count, ("too few", 599, V), ("nothing", None, T)],
    ("votes", "r"): width,
    ("select", "r"): width,
    ("select", "s"): width,
    ("select", "linear"): layer,
    ("at", "s"): width,
}  # fmt: skip
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


def test_good_arguments_are_good_and_every_argument_is_tried():
    for name, (function, arguments) in GOOD.items():
        function(**arguments)
        assert {argument for tried, argument in BAD if tried == name} == set(arguments)


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(name, argument, value, error):
    function, arguments = GOOD[name]
    before = COUNTER.state_dict()
    swapped = "labels" if (argument, value) == ("n_classes", 2) else argument  # labels above the classes that were promised
    with pytest.raises(error, match=rf"^{swapped}\b"):
        function(**{**arguments, argument: value})
    assert all(torch.equal(a, b) for a, b in zip(before.values(), COUNTER.state_dict().values(), strict=True))


@pytest.mark.bad_input
@pytest.mark.parametrize("rule", RULES[1:])
def test_only_counted_votes_have_a_signed_form(rule):
    with pytest.raises(ValueError, match=f"^signed: got True with the rule '{rule}'"):
        find_influential(F, L, 3, s=2, rule=rule, linear=HEAD, signed=True)
    ignored = {"r": 3} | ({} if rule == "coverage" else {"coverage": 0.2})
    assert same(find_influential(F, L, 3, s=2, rule=rule, linear=HEAD, **ignored), find_influential(F, L, 3, s=2, rule=rule, linear=HEAD))


@pytest.mark.bad_input
@pytest.mark.parametrize("rule", RULES[2:])
def test_rules_of_weights_ask_for_the_layer(rule):
    with pytest.raises(ValueError, match=f"^linear: got None.*'{rule}'"):
        find_influential(F, L, 3, s=2, rule=rule)


@pytest.mark.bad_input
def test_count_asks_for_r_and_a_slip_of_the_pen_gets_a_suggestion():
    with pytest.raises(TypeError, match="^r: got NoneType"):
        find_influential(F, L, 3, s=2)
    with pytest.raises(ValueError, match="did you mean 'coverage'"):
        find_influential(F, L, 3, s=2, rule="coverge")
