"""Storage by hand and for the networks of the paper's table, whose shapes alone are needed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filterlens.lenses.simplex import storage
from filterlens.lenses.simplex.reading import archetype_count


@pytest.mark.parametrize(("n", "fraction", "d"), [(90, 0.35, 32), (10, 0.25, 3), (9, 0.25, 2), (3, 0.1, 2), (1, 0.5, 1), (500, 0.25, 125)])
def test_halves_of_an_archetype_go_up(n, fraction, d):
    assert archetype_count(n, fraction) == d  # .35 * 90 is 31.499999999999996 in double precision


@pytest.mark.parametrize(
    ("name", "convolutions", "total", "mebibytes"),
    [("resnet50", 23_454_912, 25_557_032, 30.39), ("vgg16", 14_710_464, 138_357_544, 485.71)],
)
def test_the_papers_networks(name, convolutions, total, mebibytes):
    from torchvision import models

    with torch.device("meta"):
        model = getattr(models, name)()
    found = storage(model)
    assert found.full == total and sum(row.full for row in found.rows if len(row.shape) == 4) == convolutions
    assert found.archetypes == convolutions // 4 + total - convolutions  # all widths divide by four
    assert found.bytes == 4 * found.archetypes and found.megabytes == found.bytes / 1e6
    assert found.mebibytes == pytest.approx(mebibytes, abs=0.01)
    assert found.saved == pytest.approx(1 - found.bytes / (4 * total))
    assert found.full_bytes == 4 * total and found.full_mebibytes == 4 * total / 2**20 and found.full_megabytes == 4 * total / 1e6


def test_resnet_50_as_keras_counts_it():
    """Keras' ResNet-50 has biases in its convolutions and counts running statistics: 25,636,712 numbers, 32.2 MB of archetypes."""
    from torchvision import models

    with torch.device("meta"):
        model = models.resnet50()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.bias = nn.Parameter(torch.empty(module.out_channels))
    found = storage(model, statistics=True)
    assert (
        found.full == 25_636_712 and found.megabytes == pytest.approx(32.2, abs=0.05) and found.mebibytes == pytest.approx(30.7, abs=0.05)
    )


def toy() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 10, (2, 5)),  # l = 30, d = floor(2.5 + .5) = 3
        nn.BatchNorm2d(10),
        nn.Conv2d(10, 10, 3, groups=10, bias=False),  # depthwise: whole
        nn.Conv2d(10, 12, 1, groups=2),  # 6 in a group: d = 2, l = 5
        nn.ConvTranspose2d(12, 9, 2, groups=3),  # 3 in a group: d = 2, l = 4 * 4
        nn.Linear(9, 4),
    )


def test_by_hand():
    found = storage(toy())
    kept = [3 * 30, 90, 2 * 2 * 5, 3 * 2 * 16, 36]
    assert [row.kept for row in found.rows] == kept
    assert [row.full for row in found.rows] == [300, 90, 60, 144, 36]
    assert [row.d for row in found.rows] == [3, None, 2, 2, None]
    assert [row.layer for row in found.rows] == ["0", "2", "3", "4", "5"]
    assert found.other == 10 + 20 + 12 + 9 + 4
    assert found.archetypes == sum(kept) + found.other and found.full == sum(p.numel() for p in toy().parameters())
    assert storage(toy(), statistics=True).archetypes == found.archetypes + 20
    assert storage(toy(), fraction=1.0).saved == 0
    assert storage(toy(), fraction=0.5).rows[0].d == 5


def test_shapes_alone_and_networks_without_a_linear_layer():
    found = storage({"a": (10, 3, 2, 5), "b": (4, 9)})
    assert (found.full, found.archetypes, found.other) == (336, 3 * 30 + 36, 0) and found.fraction == 0.25
    heads = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 5, 1))
    assert [row.d for row in storage(heads).rows] == [2, None]


def test_shared_weights_are_counted_once():
    layer = nn.Conv2d(8, 8, 3)
    found = storage(nn.Sequential(layer, layer, nn.Flatten(), nn.Linear(8, 2)))
    assert found.full == 8 * 8 * 9 + 8 + 18 and len(found.rows) == 2
    tied = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    tied[1].weight = tied[0].weight
    assert storage(tied).archetypes == 2 * 8 * 9 + 16 + 18


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: storage("resnet50"), TypeError, "model_or_shapes"),
        (lambda: storage(nn.ReLU()), ValueError, "model_or_shapes"),
        (lambda: storage({}), ValueError, "model_or_shapes"),
        (lambda: storage({"a": (3, 4, 5)}), ValueError, "model_or_shapes"),
        (lambda: storage({"a": 3}), ValueError, "model_or_shapes"),
        (lambda: storage({"a": (3, 0)}), ValueError, "model_or_shapes"),
        (lambda: storage({"a": (3, 1.5)}), TypeError, "model_or_shapes"),
        (lambda: storage(toy(), fraction=0), ValueError, "fraction"),
        (lambda: storage(toy(), fraction=float("nan")), ValueError, "fraction"),
        (lambda: storage(toy(), fraction="all"), TypeError, "fraction"),
        (lambda: storage(toy(), statistics=1), TypeError, "statistics"),
    ],
    ids=range(11),
)
def test_bad_arguments(call, error, name):
    with pytest.raises(error, match=name):
        call()
