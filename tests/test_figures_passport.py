"""The sheet of a passport: the numbers that are drawn, every part there or its reason, on a figure of any size."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from toy_passport import CLASSES, LABELS, PLAIN, Network, deep, images, pictures

from filterlens.figures import passport as figures
from filterlens.synthesis.passport import PARTS, passport
from filterlens.synthesis.passport.words import HEADINGS, METHOD_NAMES


@pytest.fixture(scope="module")
def full():
    gates = torch.zeros(CLASSES, 4)
    gates[0], gates[:, 3] = 1, torch.tensor([0.0, 1.0, 0.25, 0.75, 1.0])
    names = ["zero", "one", "two", "three", "a name that is far too long"]
    return passport(
        Network(), "colour", 0, images(), LABELS, normalization=PLAIN, gates=gates, classes=names, name="net", source="colours", steps=2
    )


@pytest.fixture(scope="module")
def partly():
    """A depthwise layer in a network without gates: two parts are missing."""
    return passport(deep(), "4", 1, pictures(), normalization=PLAIN, steps=2, shown=1)


def texts(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def test_the_sheet_has_all_parts_and_their_sentences(full):
    figure = figures.sheet(full)
    said = texts(figure)
    assert figure.texts[0].get_text() == "net, colour, filter 0" and "looked at with colours" in said
    assert all(heading in said for heading in HEADINGS.values()) and "writes the pooled feature 3" in said
    assert len(figure.axes) == 3 + 3 + len(full.content.chosen) * (2 + len(METHOD_NAMES))
    figure.canvas.draw()


def test_parts_that_do_not_apply_leave_their_reason_and_no_axes(partly):
    figure = figures.sheet(partly)
    assert set(partly.missing()) == {"place", "gates"} and len(figure.axes) == 2 + 7
    assert "is depthwise" in texts(figure) and "was not trained with gates" in texts(figure)
    dead = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2), torch.nn.ReLU())
    dead[0].weight.data[1], dead[0].bias.data[1] = 0, 0
    nothing = figures.sheet(passport(dead, "0", 1, images(), normalization=PLAIN, steps=2))
    assert "Its map is zero" in texts(nothing).replace("its map", "Its map") and len(nothing.axes) <= 4


def test_a_given_figure_is_drawn_on_whatever_its_size(full):
    given = plt.figure(figsize=(6, 9))
    assert figures.sheet(full, given) is given and len(given.axes) > 6
    for ax in given.axes:
        box = ax.get_position()
        assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
    plt.close(given)


def test_no_text_of_the_sheet_lies_on_another(full, partly):
    for found in (full, partly):
        figure = figures.sheet(found)
        figure.canvas.draw()
        boxes = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
        boxes += [(ax.get_title() + ax.get_xlabel(), ax.get_tightbbox()) for ax in figure.axes]
        for i, (first, a) in enumerate(boxes):
            for second, b in boxes[i + 1 :]:
                width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
                assert min(width, height) <= 2, (first, second)


def test_the_cloud_marks_the_filter_among_the_others(full, ax):
    figures.cloud(full, ax)
    filters, corners, ring, _ = ax.collections
    assert np.allclose(filters.get_offsets(), full.place.points) and np.allclose(corners.get_offsets(), full.place.corners)
    assert np.allclose(ring.get_offsets(), full.place.points[0])


def test_ranks_and_shares_are_drawn_as_they_are(full, ax):
    figures.ranks(full, ax)
    assert ax.collections[1].get_offsets()[:, 0].tolist() == list(full.place.ranks.values())
    ax.clear()
    figures.code(full, ax)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(sorted(full.place.code.tolist(), reverse=True)[: full.place.l0])


def test_class_bars_are_the_means_largest_first_and_say_the_ranks(full, ax):
    figures.classes(full, ax)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.7, 0.3, 0.1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two", "a name that is …"]
    order = [0, 1, 2]
    assert [text.get_text() for text in ax.texts] == [f"rank {int(full.classes.ranks[at])}" for at in order]
    held = [int(full.classes.ranks[at]) <= full.classes.influential.s for at in order]
    blue = [bar.get_facecolor()[2] > bar.get_facecolor()[0] for bar in ax.patches]
    assert blue == held


def test_gate_bars_are_the_gates_largest_first(full, ax):
    figures.gates(full, ax)
    assert [bar.get_width() for bar in ax.patches] == [1.0, 1.0, 0.75, 0.25, 0.0]
    assert [label.get_text() for label in ax.get_yticklabels()][:3] == ["one", "a name that is …", "three"]


def test_the_picture_is_drawn_around_grey(partly, ax):
    figures.picture(partly, ax)
    image = partly.picture.decoded.images[0]
    drawn = ax.images[0].get_array()[..., :3]
    assert np.allclose(drawn, (image / image.abs().max() / 2 + 0.5).permute(1, 2, 0), atol=1e-5)


def test_content_stands_in_rows_with_its_numbers(full):
    figure, axes = plt.subplots(2, 7)
    figures.content(full, axes)
    assert np.allclose(axes[0, 0].images[0].get_array()[..., :3], full.content.images[0].permute(1, 2, 0))
    assert [ax.get_title() for ax in axes[0]] == ["image", "its map", *METHOD_NAMES.values()]
    assert axes[1, 0].get_ylabel() == f"image {int(full.content.chosen[1])}"
    assert axes[0, 2].get_xlabel().replace("\xa0", " ").endswith(f"share {100 * float(full.content.selectivity['isolation'][0]):.1f} %")
    plt.close(figure)


DRAW = {"place": (figures.cloud, figures.ranks, figures.code), "classes": (figures.classes,), "picture": (figures.picture,)}
DRAW |= {"content": (figures.content,), "gates": (figures.gates,)}


@pytest.mark.bad_input
@pytest.mark.parametrize("draw", [figures.sheet, *(draw for each in DRAW.values() for draw in each)], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("value", [None, "net", {"place": 1}], ids=["nothing", "a name", "a dict"])
def test_what_is_no_passport_is_refused(draw, value, ax):
    with pytest.raises(TypeError, match="passport"):
        draw(value, *([] if draw is figures.sheet else [ax]))


@pytest.mark.bad_input
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_missing_is_refused_with_its_reason(part: str, ax):
    import dataclasses

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2), torch.nn.ReLU())
    gone = passport(model, "0", 1, images(), normalization=PLAIN, steps=1, shown=1)
    gone = dataclasses.replace(gone, **dict.fromkeys(PARTS, "it rained"))
    for draw in DRAW[part]:
        with pytest.raises(ValueError, match="passport: .*it rained"):
            draw(gone, ax)


@pytest.mark.bad_input
@pytest.mark.parametrize("value", ["figure", 3, object()], ids=["text", "a number", "an object"])
def test_what_is_no_figure_is_refused(full, value):
    with pytest.raises(TypeError, match="figure"):
        figures.sheet(full, value)


@pytest.mark.bad_input
@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 6), (3, 7)])
def test_axes_of_another_shape_are_refused(full, shape):
    with pytest.raises(ValueError, match="axes"):
        figures.content(full, np.empty(shape, dtype=object))
