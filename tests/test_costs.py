"""Costs counted on shapes: against torchvision's own numbers, arithmetic by hand, and a measured slice."""

from __future__ import annotations

import re

import pytest
from torch import nn

from filterlens import costs, surveys
from filterlens.sources import project_home


def test_multiply_adds_of_layers_are_counted_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    assert costs.multiply_adds(model, (4, 8, 10)) == 8 * 10 * 6 * 2 * 9 + 6 * 5
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_the_thirteen_networks_agree_with_torchvisions_own_counts() -> None:
    from torchvision.models import get_model_weights

    found = costs.imagenet_study()
    assert [one.name for one in found] == list(surveys.IMAGENET) and {one.images for one in found} == {1_331_167}
    for one in found:
        told = get_model_weights(surveys.IMAGENET[one.name])[surveys.WEIGHTS].meta["_ops"]
        assert one.multiply_adds / 1e9 == pytest.approx(told, rel=0.01), one.name
    assert {one.size for one in found} == {224, 240, 288, 300}


def test_hours_and_reading_are_arithmetic() -> None:
    cost = costs.Cost("toy", 8, 1000, 3_600_000, 5_000, passes=2.0)
    assert cost.total == 7.2e9 and cost.hours(2e6) == 1.0 and cost.read_rate(2e6) == pytest.approx(5_000 / 3600)
    training = costs.imagenet_training("resnet18", 120)
    assert training.total == 120 * (3 * 1_281_167 + 50_000) * training.multiply_adds
    assert training.bytes_read == 120 * (147_897_477_120 + 6_744_924_160)


def test_a_layout_gives_the_longest_first_to_whoever_is_free() -> None:
    cells = [costs.Cost(str(hours), 8, 1, 3600 * hours, 0) for hours in (1, 2, 3, 4, 6)]
    assert [costs.layout(cells, n, 1.0) for n in (1, 2, 3, 9)] == [16, 8, 6, 6]


def test_a_measured_slice_has_a_speed() -> None:
    """How fast is no question for a test: the page says what was measured, and where."""
    assert costs.speed("ResNet50", n=1, rounds=1) > 0


def test_the_page_shows_what_the_functions_say() -> None:
    page = (project_home() / "book" / "paper-scale.md").read_text()
    shown = [part.strip() for part in re.findall(r"<!-- costs -->(.*?)<!-- end -->", page, re.S)]
    assert shown == costs.tables()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: costs.multiply_adds(3, (3, 8, 8)), TypeError, "model"),
        (lambda: costs.multiply_adds(nn.Identity(), 8), TypeError, "size"),
        (lambda: costs.multiply_adds(nn.Identity(), (3, 0, 8)), ValueError, "size"),
        (lambda: costs.imagenet_study(["ResNet5"]), ValueError, "names.*did you mean"),
        (lambda: costs.imagenet_training("resnet1", 3), ValueError, "name"),
        (lambda: costs.imagenet_training("resnet18", 0), ValueError, "epochs"),
        (lambda: costs.speed("ResNet50", n=0), ValueError, "n:"),
        (lambda: costs.Cost("toy", 8, 1, 1, 1).hours(0), ValueError, "per_second"),
        (lambda: costs.layout([], 0, 1.0), ValueError, "workers"),
    ],
)
def test_costs_refuse(call, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        call()
