"""Statistics of index sets: by formula, by hand, against scikit-learn; and the arithmetic of the paper's Tables 2-6."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from filterlens.lenses.influence import set_statistics, shared

NAN = float("nan")


def entropy(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1 - p) if q)


@st.composite
def selections(draw):
    d = draw(st.integers(2, 9))
    n_classes, s = draw(st.integers(1, 4)), draw(st.integers(1, d))
    return [draw(st.permutations(range(d)))[:s] for _ in range(n_classes)], d


def planted(n_classes: int, s: int, d: int, seed: int = 0) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(d, generator=noise)[:s] for _ in range(n_classes)])


@pytest.mark.parametrize(("s", "expected"), [(5, 0.2741), (10, 0.4334), (20, 0.6211)])
def test_a_set_tells_about_itself_its_entropy(s, expected):
    """Oracle 10 by formula (errata 3): the diagonal is H(s/n)."""
    found = set_statistics(planted(10, s, 64, s), 64)
    diagonal = found.mutual_information.diagonal()
    assert torch.allclose(diagonal, torch.full((10,), entropy(s / 64), dtype=torch.float64), atol=1e-12)
    assert float(diagonal[0]) == pytest.approx(expected, abs=1e-4)
    off = found.mutual_information.sum() - diagonal.sum()
    assert found.mi_off_diagonal == pytest.approx(float(off) / 90) and found.mi_mean == pytest.approx(float(off + diagonal.sum()) / 100)


def test_by_hand():
    """Four features: equal sets, sets apart, and sets that tell nothing about each other."""
    found = set_statistics(torch.tensor([[0, 1], [1, 0], [2, 3], [1, 2]]), 4)
    assert found.overlap.tolist() == [[2, 2, 0, 1], [2, 2, 0, 1], [0, 0, 2, 1], [1, 1, 1, 2]] and found.overlap.dtype == torch.int64
    third, bit = 1 / 3, math.log(2)
    assert torch.allclose(
        found.jaccard, torch.tensor([[1, 1, 0, third], [1, 1, 0, third], [0, 0, 1, third], [third, third, third, 1]], dtype=torch.float64)
    )
    expected = [[bit, bit, bit, 0], [bit, bit, bit, 0], [bit, bit, bit, 0], [0, 0, 0, bit]]  # a complement tells all
    assert torch.allclose(found.mutual_information, torch.tensor(expected, dtype=torch.float64), atol=1e-15)
    assert found.classes_per_feature.tolist() == [2, 3, 2, 1] and found.union == 4
    assert found.mean_overlap == pytest.approx(2 * (2 + 0 + 1 + 0 + 1 + 1) / 12)
    assert found.mi_mean == pytest.approx(10 * bit / 16) and found.mi_off_diagonal == pytest.approx(6 * bit / 12)


def test_sets_apart_by_formula():
    """Blocks of s of d features: the off-diagonal is 2 s/d ln(d/(d-s)) + (1 - 2s/d) ln((d-2s)d/(d-s)^2)."""
    s, d = 5, 64
    found = set_statistics(torch.arange(50).view(10, s), d)
    expected = 2 * s / d * math.log(d / (d - s)) + (1 - 2 * s / d) * math.log((d - 2 * s) * d / (d - s) ** 2)
    assert found.mi_off_diagonal == pytest.approx(expected, abs=1e-12)
    assert (found.union, found.mean_overlap) == (50, 0) and int(found.classes_per_feature.max()) == 1


@settings(max_examples=40, deadline=None)
@given(selections())
def test_against_scikit_learn_and_sets(case):
    from sklearn.metrics import mutual_info_score

    rows, d = case
    found = set_statistics(torch.tensor(rows), d)
    for a, mine in enumerate(rows):
        for b, theirs in enumerate(rows):
            both, either = set(mine) & set(theirs), set(mine) | set(theirs)
            vectors = [[int(i in chosen) for i in range(d)] for chosen in (mine, theirs)]
            assert found.overlap[a, b] == len(both) and float(found.jaccard[a, b]) == pytest.approx(len(both) / len(either))
            assert float(found.mutual_information[a, b]) == pytest.approx(mutual_info_score(*vectors), abs=1e-12)
    assert found.classes_per_feature.tolist() == [sum(i in row for row in rows) for i in range(d)]
    assert found.union == len({i for row in rows for i in row})
    assert math.isnan(found.mean_overlap) == math.isnan(found.mi_off_diagonal) == (len(rows) == 1)


@settings(max_examples=40, deadline=None)
@given(selections(), st.randoms(use_true_random=False))
def test_what_two_selections_share(case, moments):
    rows, d = case
    others = [moments.sample(range(d), moments.randint(1, d)) for _ in rows]
    t = min(map(len, others))
    others = [row[:t] for row in others]
    expected = [len(set(a) & set(b)) for a, b in zip(rows, others, strict=True)]
    assert shared(torch.tensor(rows), torch.tensor(others)).tolist() == expected
    assert shared(torch.tensor(others, dtype=torch.int32), torch.tensor(rows)).tolist() == expected


def test_a_set_shares_all_with_itself_in_any_order():
    sets = planted(7, 5, 64)
    assert shared(sets, sets.flip(1)).tolist() == [5] * 7 and shared(sets, sets + 64).tolist() == [0] * 7


def test_arithmetic_of_tables_2_to_6():
    """Oracle 10: the ratio row is decomposed / full to 6 digits and s/n is 50/n for the width of all 13 networks."""
    widths = dict.fromkeys(["ResNet50", "ResNet101", "ResNet152", "Wide ResNet 50", "Wide ResNet 101"], 2048)
    widths |= {"DenseNet121": 1024, "DenseNet169": 1664, "DenseNet161": 2208, "DenseNet201": 1920}
    widths |= {"EfficientNet_b0": 1280, "EfficientNet_b1": 1280, "EfficientNet_b2": 1408, "EfficientNet_b3": 1536}
    printed: dict[str, dict[str, float]] = defaultdict(dict)
    with open(Path(__file__).parents[1] / "data" / "published.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["doc"] == "001" and row["table"] in {f"Table {k}" for k in range(2, 7)}:
                printed[row["row"]][row["column"]] = float(row["value"])
    assert set(printed) == set(widths)
    for network, row in printed.items():
        assert f"{row['decomposed accuracy'] / row['full accuracy']:.6g}" == f"{row['ratio decomposed/full']:.6g}", network
        assert f"{50 / widths[network]:.6g}" == f"{row['s/n']:.6g}" and row["s/C"] == 50 / 1000, network
        misprinted = network.startswith("DenseNet")
        assert (row["final dim as printed"] != widths[network]) == misprinted


# bad input

SETS = torch.tensor([[0, 1, 2], [4, 3, 1]])
T, V = TypeError, ValueError
bad_sets = [
    ("a list", SETS.tolist(), T), ("rank 1", SETS[0], V), ("rank 3", SETS[None], V), ("floats", SETS.float(), T), ("booleans", SETS > 1, T),
    ("NaN", SETS * NAN, T), ("no class", SETS[:0], V), ("no feature", SETS[:, :0], V), ("negative", SETS - 1, V), ("twice", SETS * 0, V), ("nothing", None, T),
]  # fmt: skip
GOOD = {"set_statistics": (set_statistics, {"indices": SETS, "d": 5}), "shared": (shared, {"a": SETS, "b": SETS + 1})}
BAD = {
    ("set_statistics", "indices"): [*bad_sets, ("beyond", SETS + 1, V)],
    ("set_statistics", "d"): [("zero", 0, V), ("negative", -5, V), ("a fraction", 5.5, T), ("NaN", NAN, T), ("text", "5", T), ("nothing", None, T)],
    ("shared", "a"): bad_sets,
    ("shared", "b"): [*bad_sets, ("fewer classes", SETS[:1], V)],
}  # fmt: skip
CASES = [pytest.param(*where, *case[1:], id=f"{where[0]}-{where[1]}-{case[0]}") for where, cases in BAD.items() for case in cases]


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "argument", "value", "error"), CASES)
def test_bad_input_is_refused_by_the_name_of_the_argument(name, argument, value, error):
    function, arguments = GOOD[name]
    function(**arguments)
    with pytest.raises(error, match=rf"^{argument}\b"):
        function(**{**arguments, argument: value})


@pytest.mark.bad_input
def test_fewer_features_than_the_sets_name():
    with pytest.raises(ValueError, match="^indices: got 4"):
        set_statistics(SETS, 4)
