"""The picture of the front page says what the library measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from filterlens import data, models
from filterlens.book import front
from filterlens.explorer import sheets
from filterlens.lenses import decoding, ranking, simplex


@pytest.fixture(scope="module")
def lenet() -> Any:
    return models.load("lenet")


def test_accuracies_are_those_of_the_masked_network_in_both_orders(lenet: Any) -> None:
    digits = data.load("mnist-5k", n=60)
    inputs = models.normalization("lenet").apply(digits.images)
    with torch.no_grad():
        found = front.accuracies(lenet, inputs, digits.labels)
        order = simplex.layer_relevance(lenet, front.LAYER).order
        masked = ranking.remove_filters(lenet, {front.LAYER: order.flip(0)[:45]}, mode="mask", example=inputs[:1])
        last = float((masked(inputs).argmax(1) == digits.labels).float().mean())
    middle, corners = found["series"].values()
    assert found["x"] == list(range(0, 50, 5)) and middle[0] == corners[0] > 0.95
    assert corners[-1] == pytest.approx(last) and corners[-1] < middle[5]


def test_it_is_baked_beside_the_chapters_and_adds_up(lenet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "accuracies", lambda *given: {"x": [0, 5], "series": {"one": [1.0, 0.5]}})
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "intro.md").write_text("# Front\n")
    assert not front.wanted(tmp_path)
    (tmp_path / "book" / "intro.md").write_text("```{explorer} intro/question\n```\n")
    assert front.wanted(tmp_path)
    folder = front.write(tmp_path)
    assert folder == tmp_path / "book" / "notebooks" / "intro.sheets" and sheets.asked() is None
    assert (folder / "question.html").exists() and list(folder.glob("*.js"))
    shown = front.explorer()
    digits, norm = data.load("mnist-5k"), models.normalization("lenet")
    seven = norm.apply(digits.images[digits.labels == 7][:1])
    wanted = decoding.respond(decoding.decode(lenet, "conv4"), seven).flatten()
    shown.pick(digit=7, filter=2)
    bars = next(panel for i in range(4) for panel in getattr(shown, f"_answer_{i}")["panels"] if panel["kind"] == "bars")
    torch.testing.assert_close(torch.tensor(bars["series"][0]["values"]), wanted, rtol=1e-4, atol=1e-2)
    assert bars["highlight"] == 2
