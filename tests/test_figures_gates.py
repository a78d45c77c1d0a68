"""Figures of the gates lens draw what the results say: cells, places, labels and texts, never pixels of a whole picture."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from read_figures import legend, texts, ticks

from filterlens.figures import gates as figures
from filterlens.lenses.gates import density_bounds, fixed_gates, l1_density, project_gates
from filterlens.lenses.gates.clusters import Clusters, MutualInformation
from filterlens.lenses.gates.leak import LabelLeak
from filterlens.lenses.gates.similarity import FilterCosines, Similarity, filter_cosines

torch.set_num_threads(1)
C, K, NAN = 3, 7, float("nan")
CLASSES = ["cat", "dog", "frog"]


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


WHO = torch.tensor([2, 0, 1, 1, 0, 2, 0])
ORDER = [1, 4, 6, 2, 3, 0, 5]
GATES = torch.where(torch.nn.functional.one_hot(WHO, C).T.bool(), 1.0, 0.9 * uniform(C, K))
WEIGHT = uniform(C, K, seed=1) - 0.5
TABLE = torch.tensor([[0.9, 0.2, 0.1], [0.3, 0.8, 0.4], [NAN] * 3], dtype=torch.float64)
SIMILAR = Similarity(TABLE, TABLE.flip(0), torch.tensor([1200, 5, 0]), torch.tensor([0, 3, 4]))
COSINES = filter_cosines(WEIGHT.T.reshape(K, C, 1, 1), WHO)
FOUND = Clusters(3 * GATES.double(), torch.arange(C), torch.eye(C).long(), 0.75, 0.5, torch.tensor([0.9, 0.8, 1.0]))
INFORMATION = MutualInformation(GATES.double() * torch.tensor([1, 1, 1, 1, 1, 1, 0.0]), torch.arange(K) == 6)
ROWS = pd.DataFrame(
    [("FGSM", "STD", 0.5), ("FGSM", "CSG", 0.75), ("PGD", "STD", 0.6), ("PGD", "CSG", 0.95), ("FGSM", "CSG", 0.85)],
    columns=["attack", "network", "auc"],
)
LOGITS = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2], [0, 2, 2]]), C).float()  # answers: image, claim
LEAK = LabelLeak(LOGITS, 5 / 6, torch.tensor([1.0, 0.5, 1.0]), torch.tensor([2, 2]), NAN)
IMAGE, TRUTH = uniform(3, 9, 11), torch.zeros(9, 11, dtype=torch.bool)
TRUTH[2:6, 3:8] = True
MASK = TRUTH.roll(2, 1)


@pytest.fixture
def grid():
    figures = []

    def make(*shape: int) -> np.ndarray:
        figure, axes = plt.subplots(*shape, squeeze=False)
        figures.append(figure)
        return axes[0] if shape[0] == 1 else axes

    yield make
    for figure in figures:
        plt.close(figure)


def cells(ax) -> np.ndarray:
    return next(c for c in ax.collections if isinstance(c, QuadMesh)).get_array()


def limits(ax) -> tuple[float, float]:
    return next(c for c in ax.collections if isinstance(c, QuadMesh)).get_clim()


# gates


def test_gate_matrix_sorts_filters_by_owner_and_says_its_density(ax):
    assert figures.gate_matrix(GATES, ax, title="learned", classes=CLASSES) is ax
    assert np.allclose(cells(ax), GATES[:, ORDER]) and limits(ax) == (0, 1)
    assert ticks(ax.yaxis) == CLASSES == ticks(ax.xaxis) and list(ax.get_xticks()) == [1.5, 4, 6]
    assert [line.get_xdata()[0] for line in ax.lines] == [3, 5]
    assert ax.get_title() == f"learned: density {l1_density(GATES):.3f}"
    assert ax.figure.axes[-1].get_ylabel() == "gate $G_{ck}$"


def test_shared_filters_stand_last_under_a_name_of_their_own(ax):
    figures.gate_matrix(fixed_gates(C, 2, 1)[:, [6, 5, 4, 3, 2, 1, 0]], ax)
    assert np.allclose(cells(ax), fixed_gates(C, 2, 1)) and ticks(ax.xaxis) == ["0", "1", "2", "shared"]
    assert ax.get_title() == "density 0.429"


def test_gates_over_epochs_keep_the_order_of_the_last(grid):
    states = torch.stack([torch.ones(C, K), project_gates(uniform(C, K, seed=2)), GATES])
    axes = figures.gates_over_epochs(states, [0, 1], grid(1, 2), classes=CLASSES)
    assert np.allclose(cells(axes[1]), states[1][:, ORDER]) and ticks(axes[1].xaxis) == CLASSES
    assert [ax.get_title() for ax in axes] == ["at the start: density 1.000", f"after epoch 1: density {l1_density(states[1]):.3f}"]


def test_density_curve_marks_gated_epochs_and_the_interval(ax):
    density, gated = torch.tensor([1.0, 0.9, 0.8, 0.5, 0.4]), torch.tensor([False, True, False, True])
    figures.density_curve(density, density_bounds(C, K, 9.0), gated, ax)
    whole, plain, marked = ax.lines[2:]
    assert list(whole.get_xdata()) == [0, 1, 2, 3, 4] and np.allclose(whole.get_ydata(), density)
    assert list(plain.get_xdata()) == [0, 1, 3] and list(marked.get_xdata()) == [2, 4] and plain.get_marker() != marked.get_marker()
    band = ax.patches[0]
    assert band.get_y() == pytest.approx(1 / C) and band.get_y() + band.get_height() == pytest.approx(9 / (C * K))
    assert legend(ax) == ["interval [0.333, 0.429]", "plain epoch and start", "gated epoch"]
    assert ax.get_title() == "at the end 0.400, inside the interval" and ax.get_xlabel() == "epoch"


def test_density_curve_without_the_start_and_outside(ax):
    figures.density_curve(torch.tensor([1.0, 0.5]), (0.3, 0.4), torch.tensor([False, True]), ax)
    assert list(ax.lines[2].get_xdata()) == [1, 2] and "outside" in ax.get_title() and "plain epoch" in legend(ax)


def test_product_shares_the_scale_of_weights(grid):
    axes = figures.product(WEIGHT, GATES, grid(1, 3), classes=CLASSES)
    top = float(WEIGHT.abs().max())
    for ax, table, scale in zip(axes, (WEIGHT, GATES, WEIGHT * GATES), ((-top, top), (0, 1), (-top, top)), strict=True):
        assert np.allclose(cells(ax), table[:, ORDER]) and limits(ax) == pytest.approx(scale) and ticks(ax.xaxis) == CLASSES
    share = 100 * float((WEIGHT * GATES).abs().sum() / WEIGHT.abs().sum())
    assert f"{share:.0f} %" in axes[2].get_title()


# filters and clusters


def test_cosine_matrix_frames_the_filters_of_each_class(ax):
    figures.cosine_matrix(COSINES, ax, classes=CLASSES)
    assert np.allclose(cells(ax), COSINES.matrix) and limits(ax) == (-1, 1)
    frames = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in ax.patches]
    assert frames == [(0, 0, 3, 3), (3, 3, 2, 2), (5, 5, 2, 2)]
    assert ticks(ax.xaxis) == CLASSES == ticks(ax.yaxis)
    assert ax.get_title() == f"mean |cos| within {COSINES.within:.3f}, between {COSINES.between:.3f}"


def test_cosine_matrix_names_only_classes_that_own_a_filter_and_counts_dead_ones(ax):
    figures.cosine_matrix(FilterCosines(torch.eye(3), torch.arange(3), torch.tensor([0, 0, 2]), 0.0, 0.0, 2), ax, classes=CLASSES)
    assert ticks(ax.xaxis) == ["cat", "frog"] and len(ax.patches) == 2 and ax.get_title().endswith("2 of zero norm")


def test_centres_stand_in_the_order_given_or_by_their_largest(ax, grid):
    figures.centres(FOUND, ax, title="CSG", classes=CLASSES)
    assert np.allclose(cells(ax), 3 * GATES[:, ORDER]) and limits(ax) == pytest.approx((0, 3)) and ticks(ax.xaxis) == CLASSES
    assert ax.get_title() == "CSG: purity 0.750, NMI 0.500, cosine with gates 0.900"
    other = grid(1, 1)[0]
    bare = Clusters(FOUND.centres - 2, FOUND.assigned, FOUND.contingency, 1.0, 1.0, torch.full((C,), NAN))
    figures.centres(bare, other, order=torch.arange(K).flip(0))
    assert np.allclose(cells(other), bare.centres.flip(1)) and limits(other)[0] == -limits(other)[1]
    assert other.get_title() == "purity 1.000, NMI 1.000" and "order given" in other.get_xlabel()


# scores


def test_similarity_writes_its_cosines_and_says_where_there_are_no_samples(grid):
    right, wrong = figures.similarity(SIMILAR, grid(1, 2), classes=CLASSES)
    assert np.allclose(cells(right).filled(NAN), TABLE, equal_nan=True) and limits(right) == (0, 1)
    assert texts(right) == ["0.90", "0.20", "0.10", "0.30", "0.80", "0.40", "no samples"]
    assert right.texts[-1].get_position() == (1.5, 2.5) and wrong.texts[-1].get_position() == (1.5, 0.5)
    assert ticks(right.yaxis) == ["cat (1,200)", "dog (5)", "frog (0)"] and ticks(right.xaxis) == CLASSES
    assert right.get_title() == "correct samples, $S_{TP}$: diagonal 0.85, else 0.25"
    assert wrong.get_title().startswith("wrong samples, $S_{FN}$: diagonal 0.45")


def test_similarity_of_signed_features_shows_signs_and_a_perfect_network_has_no_wrong_table(grid):
    none = Similarity(-TABLE, TABLE * NAN, torch.tensor([1, 2, 0]), torch.zeros(3).long())
    right, wrong = figures.similarity(none, grid(1, 2))
    assert limits(right) == (-1, 1) == limits(wrong) and wrong.get_title() == "wrong samples, $S_{FN}$"
    assert texts(wrong) == ["no samples"] * 3


def test_mutual_information_sorts_by_best_class_and_says_its_score(ax):
    figures.mutual_information(INFORMATION, ax, title="CSG", classes=CLASSES, high=2)
    assert np.allclose(cells(ax), INFORMATION.table[:, [1, 4, 2, 3, 0, 5, 6]]) and limits(ax) == (0, 2)
    assert ticks(ax.xaxis) == [*CLASSES, "none"] and ax.get_title() == "CSG: score 0.8571, 1 constant"


def test_detection_puts_networks_side_by_side_for_each_attack(ax):
    figures.detection(ROWS, ax)
    bars = {c.get_label(): c for c in ax.containers if hasattr(c, "patches") and c.get_label() in ("STD", "CSG")}
    assert [p.get_height() for p in bars["STD"]] == pytest.approx([0.5, 0.6])
    assert [p.get_height() for p in bars["CSG"]] == pytest.approx([0.8, 0.95])
    middles = {name: [p.get_x() + p.get_width() / 2 for p in c] for name, c in bars.items()}
    assert middles["STD"] == pytest.approx([-0.2, 0.8]) and middles["CSG"] == pytest.approx([0.2, 1.2])
    (std, csg) = (bars[name][0] for name in ("STD", "CSG"))
    assert to_hex(std.get_facecolor()) != to_hex(csg.get_facecolor()) and std.get_hatch() != csg.get_hatch()
    assert texts(ax) == ["0.500", "0.600", "0.800", "0.950"] and ticks(ax.xaxis) == ["FGSM", "PGD"]
    assert set(legend(ax)) == {"STD", "CSG", "chance"} and "up to 2 runs" in ax.get_ylabel()
    assert list(next(line for line in ax.lines if line.get_label() == "chance").get_ydata()) == [0.5, 0.5]


def test_masks_are_filled_over_the_outline_of_the_truth(grid):
    axes = figures.masks(IMAGE, TRUTH, {"CAM": MASK, "ActivMap": TRUTH}, grid(1, 3))
    assert [ax.get_title() for ax in axes] == ["image, true object dashed", "CAM: IoU 0.43", "ActivMap: IoU 1.00"]
    assert np.array_equal(axes[1].images[1].get_array().filled(False), MASK) and len(axes[0].images) == 1
    for ax in axes:
        corners = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
        assert corners.min(0).tolist() == [2.5, 1.5] and corners.max(0).tolist() == [7.5, 5.5]
        assert ax.get_xlim() == (-0.5, 10.5) and ax.get_ylim() == (8.5, -0.5)


def test_masks_of_an_image_without_or_full_of_object(grid):
    nothing = TRUTH & False
    axes = figures.masks(IMAGE[:1], nothing, {"CAM": MASK}, grid(1, 2))
    assert "IoU 0.00" in axes[1].get_title() and not axes[0].collections
    axes = figures.masks(IMAGE, ~nothing, {"CAM": ~nothing}, grid(1, 2))
    corners = axes[0].collections[0].get_paths()[0].vertices
    assert corners.min(0).tolist() == [-0.5, -0.5] and corners.max(0).tolist() == [10.5, 8.5]


def test_leak_shows_what_is_answered_to_each_claim(ax):
    figures.leak(LEAK, ax, classes=CLASSES)
    assert np.allclose(cells(ax), [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]])
    assert ticks(ax.yaxis) == [*CLASSES, "STD path"] and ticks(ax.xaxis) == CLASSES
    assert [p.get_xy() for p in ax.patches] == [(0, 0), (1, 1), (2, 2)] and list(ax.lines[0].get_ydata()) == [3, 3]
    assert ax.get_title() == "83 % of answers repeat the claim (chance 33 %), 2 images"


def test_every_figure_gives_back_its_axes_and_labels_them(grid):
    one = {
        "gate_matrix": lambda ax: figures.gate_matrix(GATES, ax),
        "density_curve": lambda ax: figures.density_curve(torch.ones(2), (0.3, 0.4), torch.tensor([True, False]), ax),
        "cosine_matrix": lambda ax: figures.cosine_matrix(COSINES, ax),
        "centres": lambda ax: figures.centres(FOUND, ax),
        "mutual_information": lambda ax: figures.mutual_information(INFORMATION, ax),
        "detection": lambda ax: figures.detection(ROWS, ax),
        "leak": lambda ax: figures.leak(LEAK, ax),
    }
    several = {
        "gates_over_epochs": (2, lambda axes: figures.gates_over_epochs(GATES[None].repeat(2, 1, 1), [0, 1], axes)),
        "product": (3, lambda axes: figures.product(WEIGHT, GATES, axes)),
        "similarity": (2, lambda axes: figures.similarity(SIMILAR, axes)),
    }
    assert set(one) | set(several) | {"masks", "NETWORKS"} == set(figures.__all__)
    for name, draw in one.items():
        ax = grid(1, 1)[0]
        assert draw(ax) is ax and ax.get_xlabel() and ax.get_ylabel() and (ax.get_title() or name == "detection"), name
    for name, (n, draw) in several.items():
        axes = draw(grid(1, n))
        assert len(axes) == n and all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title() for ax in axes), name


STATES = torch.stack([GATES, GATES])
GATED = torch.tensor([True, False])
BAD = [
    ("gates", lambda a, g: figures.gate_matrix(GATES[0], a), ValueError),
    ("gates", lambda a, g: figures.gate_matrix(GATES * 1.1, a), ValueError),
    ("gates", lambda a, g: figures.gate_matrix(GATES * NAN, a), ValueError),
    ("gates", lambda a, g: figures.gate_matrix(GATES.long(), a), TypeError),
    ("gates", lambda a, g: figures.gate_matrix(GATES.tolist(), a), TypeError),
    ("classes", lambda a, g: figures.gate_matrix(GATES, a, classes=CLASSES[1:]), ValueError),
    ("gates", lambda a, g: figures.gates_over_epochs(GATES, [0], g(1, 1)), ValueError),
    ("epochs", lambda a, g: figures.gates_over_epochs(STATES, [2], g(1, 1)), ValueError),
    ("epochs", lambda a, g: figures.gates_over_epochs(STATES, [], g(1, 1)), ValueError),
    ("epochs", lambda a, g: figures.gates_over_epochs(STATES, "01", g(1, 1)), TypeError),
    ("axes", lambda a, g: figures.gates_over_epochs(STATES, [0, 1], g(1, 3)), ValueError),
    ("density", lambda a, g: figures.density_curve(torch.ones(4), (0.3, 0.4), GATED, a), ValueError),
    ("density", lambda a, g: figures.density_curve(torch.ones(2) * NAN, (0.3, 0.4), GATED, a), ValueError),
    ("density", lambda a, g: figures.density_curve([1.0, 0.5], (0.3, 0.4), GATED, a), TypeError),
    ("bounds", lambda a, g: figures.density_curve(torch.ones(2), (0.5, 0.4), GATED, a), ValueError),
    ("bounds", lambda a, g: figures.density_curve(torch.ones(2), 0.4, GATED, a), TypeError),
    ("bounds", lambda a, g: figures.density_curve(torch.ones(2), (0.1, NAN), GATED, a), ValueError),
    ("gated", lambda a, g: figures.density_curve(torch.ones(2), (0.3, 0.4), GATED.long(), a), TypeError),
    ("gated", lambda a, g: figures.density_curve(torch.ones(2), (0.3, 0.4), GATED[:0], a), ValueError),
    ("weight", lambda a, g: figures.product(WEIGHT.T, GATES, g(1, 3)), ValueError),
    ("weight", lambda a, g: figures.product(WEIGHT * NAN, GATES, g(1, 3)), ValueError),
    ("gates", lambda a, g: figures.product(WEIGHT, -GATES, g(1, 3)), ValueError),
    ("axes", lambda a, g: figures.product(WEIGHT, GATES, g(1, 2)), ValueError),
    ("cosines", lambda a, g: figures.cosine_matrix(COSINES.matrix, a), TypeError),
    ("classes", lambda a, g: figures.cosine_matrix(COSINES, a, classes=CLASSES[1:]), ValueError),
    ("found", lambda a, g: figures.centres(INFORMATION, a), TypeError),
    ("order", lambda a, g: figures.centres(FOUND, a, order=[0, 1]), ValueError),
    ("order", lambda a, g: figures.centres(FOUND, a, order=[0] * K), ValueError),
    ("result", lambda a, g: figures.similarity(TABLE, g(1, 2)), TypeError),
    ("axes", lambda a, g: figures.similarity(SIMILAR, a), ValueError),
    ("classes", lambda a, g: figures.similarity(SIMILAR, g(1, 2), classes=["a"]), ValueError),
    ("found", lambda a, g: figures.mutual_information(INFORMATION.table, a), TypeError),
    ("high", lambda a, g: figures.mutual_information(INFORMATION, a, high=0), ValueError),
    ("high", lambda a, g: figures.mutual_information(INFORMATION, a, high="all"), TypeError),
    ("rows", lambda a, g: figures.detection(ROWS.to_dict(), a), TypeError),
    ("rows", lambda a, g: figures.detection(ROWS.drop(columns="auc"), a), ValueError),
    ("rows", lambda a, g: figures.detection(ROWS[:0], a), ValueError),
    ("rows: auc", lambda a, g: figures.detection(ROWS.assign(auc=NAN), a), ValueError),
    ("rows: auc", lambda a, g: figures.detection(ROWS.assign(auc=90), a), ValueError),
    ("rows: auc", lambda a, g: figures.detection(ROWS.assign(auc="high"), a), ValueError),
    ("image", lambda a, g: figures.masks(IMAGE[0], TRUTH, {}, a), ValueError),
    ("image", lambda a, g: figures.masks(IMAGE[:2], TRUTH, {}, a), ValueError),
    ("image", lambda a, g: figures.masks(IMAGE * 3, TRUTH, {}, a), ValueError),
    ("truth", lambda a, g: figures.masks(IMAGE, TRUTH.float(), {}, a), TypeError),
    ("truth", lambda a, g: figures.masks(IMAGE, TRUTH.T, {}, a), ValueError),
    ("maps", lambda a, g: figures.masks(IMAGE, TRUTH, [MASK], g(1, 2)), TypeError),
    ("maps", lambda a, g: figures.masks(IMAGE, TRUTH, {"CAM": MASK[1:]}, g(1, 2)), ValueError),
    ("maps", lambda a, g: figures.masks(IMAGE, TRUTH, {"CAM": IMAGE[0]}, g(1, 2)), TypeError),
    ("axes", lambda a, g: figures.masks(IMAGE, TRUTH, {"CAM": MASK}, a), ValueError),
    ("found", lambda a, g: figures.leak(LOGITS, a), TypeError),
    ("classes", lambda a, g: figures.leak(LEAK, a, classes=CLASSES[1:]), ValueError),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "call", "error"), BAD)
def test_bad_input(argument: str, call, error: type[Exception], ax, grid) -> None:
    with pytest.raises(error, match=rf"^{argument}\b"):
        call(ax, grid)
    assert not ax.collections and not ax.lines and not ax.images and not ax.patches
