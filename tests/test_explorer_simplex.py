"""The simplex and the Prewitt explorer: whole numbers against the lens, and the page's script against Python, through Node."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from explorer_pages import page_and_its_file
from test_explorer_characters import textual
from test_explorer_influence import PANELS, assert_same, node
from torch import Tensor
from torch.nn import functional as F

from filterlens.explorer import Explorer, Scatter, panels, prewitt_explorer, simplex_explorer
from filterlens.explorer.prewitt import PARTS as TWENTIETHS
from filterlens.explorer.prewitt import PrewittPanels
from filterlens.explorer.simplex_layers import CONCENTRATIONS, Layer
from filterlens.explorer.simplex_numbers import WHOLE, Plane, WholeFilters, half_up, hull_of, mosaic, shares_of, steps_of
from filterlens.explorer.simplex_panels import SimplexPanels
from filterlens.explorer.simplex_removal import Curves
from filterlens.explorer.simplex_words import COLOURS
from filterlens.lenses.redundancy import SETS as CHOSEN
from filterlens.lenses.redundancy.wording import SAID
from filterlens.lenses.simplex import positional_relevance
from filterlens.lenses.simplex.prewitt import prewitt_response

FRACTIONS = [0.25, 0.6]


def layers() -> dict[str, Tensor]:
    """One channel, three, and seven; a duplicate, a mixture, a filter of zeros and a tiny one among them."""
    draw = torch.Generator().manual_seed(5)
    grey = torch.randn(11, 1, 3, 4, generator=draw)
    grey[4], grey[7], grey[8] = grey[2], (grey[0] + grey[1]) / 2, 0
    deep = torch.randn(23, 7, 3, 2, generator=draw) / 50
    deep[3] /= 10_000
    return {"grey": grey, "colour": torch.randn(6, 3, 5, 2, generator=draw), "deep": deep}


def rows(rates: tuple[float, ...] = (0.0, 0.05, 0.2), sets: tuple[str, ...] = tuple(SAID)) -> pd.DataFrame:
    found = [
        {"which": which, "rate": rate, "seed": seed, "accuracy": 0.99 - rate * (i + 1) / 10 - (0.01 * seed if rate else 0), "n_images": 500}
        for i, which in enumerate(sets)
        for rate in rates
        for seed in range(1 if which == "archetypes" else 3)
    ]
    return pd.DataFrame(found)


@cache
def shown() -> SimplexPanels:
    curves = Curves({"one": rows(), "other": rows((0.0, 0.125), ("random", "archetypes"))})
    return SimplexPanels({name: Layer(weight, FRACTIONS, 0) for name, weight in layers().items()}, FRACTIONS, "a toy", curves)


# ------------------------------------------------------------------------------------------------------ whole numbers


def test_filters_are_eight_bits_each_in_its_own_unit() -> None:
    for weight in layers().values():
        values, whole = weight.double().flatten(1).numpy(), WholeFilters(weight)
        assert whole.stored.dtype == np.int8 and whole.units.min() >= 1 and whole.units.max() <= 2**15
        off = np.abs(whole.whole * whole.step - values).max(axis=1)
        assert (off <= whole.units * whole.step / 2 + 1e-12).all()
        peaks = np.abs(values).max(axis=1)
        assert (off <= peaks / 254 + whole.step).all()  # fine for weak filters, too
    assert (WholeFilters(torch.zeros(3, 1, 2, 2)).whole == 0).all()


def test_shares_sum_to_the_whole_and_keep_every_entry() -> None:
    draw = np.random.default_rng(1)
    columns = draw.dirichlet(np.full(9, 0.2), size=40).T
    shares = shares_of(columns, 1e-4)
    for j in range(40):
        kept, parts = shares.column(j)
        assert kept.tolist() == np.flatnonzero(columns[:, j] > 1e-4).tolist()
        assert parts.sum() == WHOLE and parts.min() >= 1
        assert np.abs(parts / WHOLE - columns[kept, j]).max() < 2 / WHOLE + 1e-3
    assert shares_of(np.array([[0.0], [0.3]]), 0.1).column(0)[1].tolist() == [WHOLE]
    many = shares_of(
        np.array([[0.24, 0.5], [0.28, 0.1], [0.26, 0.4], [0.22, 0.0]]), 0.3
    )  # a column without an entry above keeps its largest
    assert [many.column(j)[0].tolist() for j in (0, 1)] == [[1], [0, 2]] and many.column(0)[1].tolist() == [WHOLE]


def test_rounding_is_half_up() -> None:
    assert half_up(np.array([-3, -2, -1, 0, 1, 2, 3, 5]), 2).tolist() == [-1, -1, 0, 0, 1, 1, 2, 3]
    assert steps_of(np.array([-7, 0, 7]), 7).tolist() == [-127, 0, 127] and steps_of(np.array([0]), 0).tolist() == [0]


def test_channels_stand_side_by_side() -> None:
    field = np.arange(1, 1 + 5 * 2 * 3)
    out = mosaic(field, (5, 2, 3))
    assert out.shape == (5, 11) and (out[2] == 0).all() and (out[:, 3] == 0).all() and (out[3:, 8:] == 0).all()
    assert out[:2, 4:7].tolist() == [[7, 8, 9], [10, 11, 12]] and out[3:, 4:7].tolist() == [[25, 26, 27], [28, 29, 30]]
    assert mosaic(np.arange(6), (1, 2, 3)).shape == (2, 3) and mosaic(np.arange(6), (6, 1, 1)).shape == (2, 3)
    assert mosaic(np.arange(12), (3, 2, 2))[0, 1].tolist() == [1, 5, 9]


def test_the_plane_holds_the_principal_components() -> None:
    points = np.random.default_rng(2).normal(size=(30, 5)) * [5, 1, 3, 0.5, 0.1] + 7
    plane = Plane(points)
    variances = np.sort(np.linalg.eigvalsh(np.cov(points.T, bias=True)))[::-1]
    places = plane.places(points)
    np.testing.assert_allclose(places.var(axis=0), variances[:2], rtol=1e-5)
    np.testing.assert_allclose(plane.shares, variances[:2] / variances.sum(), rtol=1e-6)
    assert (plane.axes[[0, 1], np.abs(plane.axes).argmax(axis=1)] > 0).all()
    assert (Plane(np.ones((4, 1))).shares == 0).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_cloud_lies_as_in_the_figure() -> None:
    from matplotlib.figure import Figure

    from filterlens.figures.simplex import cloud

    for name, weight in layers().items():
        ax = Figure().subplots()
        cloud(positional_relevance(weight, fraction=0.25), ax, weight=weight, colourbar=False)
        np.testing.assert_allclose(ax.collections[0].get_offsets(), shown().layers[name].points, atol=1e-5)


def test_sets_have_the_names_of_the_figures() -> None:
    from filterlens.figures.redundancy import SETS as DRAWN

    assert {which: said for which, (said, *_) in DRAWN.items()} == SAID and set(SAID) == set(CHOSEN)
    assert shown().curves.tested["one"]["sets"] == list(SAID.values())


def test_the_outline_goes_round_all_places() -> None:
    places = np.random.default_rng(3).normal(size=(40, 2))
    hull = hull_of(places)

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    turns = [
        cross(places[b] - places[a], places[c] - places[b]) for a, b, c in zip(hull, hull[1:] + hull[:1], hull[2:] + hull[:2], strict=True)
    ]
    assert min(turns) > 0
    for a, b in zip(hull, hull[1:] + hull[:1], strict=True):
        assert (cross(places[b] - places[a], places - places[a]) >= -1e-12).all()
    assert hull_of(np.zeros((1, 2))) == [0] and len(hull_of(np.array([[0.0, 0], [1, 1]]))) == 2


# ------------------------------------------------------------------------------------------------------------- the lens


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_shown_is_what_the_lens_finds() -> None:
    for (name, weight), (at, fraction) in product(layers().items(), enumerate(FRACTIONS)):
        found, lens = shown().layers[name].found[at], positional_relevance(weight, fraction=fraction)
        archetypes, X = lens.archetypes, weight.flatten(1).T
        assert found.l0.tolist() == lens.l0.tolist() and found.order.tolist() == lens.order.tolist()
        assert [len(found.codes.column(k)[0]) for k in range(len(weight))] == lens.l0.tolist()
        for k in range(len(weight)):
            size = float(X[:, k].norm())
            off = float((X[:, k] - archetypes.D @ lens.codes[:, k]).norm())
            assert found.error[k] == (-1 if size == 0 else pytest.approx(off / size * 10_000, abs=1 + 1e-3 * off / size * 10_000))
            apart = (archetypes.D - X[:, k : k + 1]).norm(dim=0)
            assert float(apart[found.nearest[k]]) == pytest.approx(float(apart.min()), rel=1e-5, abs=1e-6)
        layer = shown().layers[name]
        step = layer.filters.step
        limit = float(X.abs().max()) / 64  # eight bits
        np.testing.assert_allclose(found.whole * step, archetypes.D.T.numpy(), atol=limit)
        np.testing.assert_allclose(found.codes.mixed(found.whole) * step, (archetypes.D @ lens.codes).T.numpy(), atol=limit)
        np.testing.assert_allclose(layer.norm / 10_000, X.norm(dim=0) / X.norm(dim=0).mean(), atol=1e-4)


def test_panels_say_what_was_picked() -> None:
    layer, found = shown().layers["grey"], shown().layers["grey"].found[0]
    cloud = shown().cloud("grey", 0.25, "norm", 7)
    assert isinstance(cloud, Scatter) and cloud.highlight == 7 and cloud.picks[3] == {"filter": 3}
    assert [share for _, share in cloud.links] and sum(share for _, share in cloud.links) == pytest.approx(1)
    assert cloud.values.tolist() == (layer.norm / 10_000).tolist() and len(cloud.marks) == found.d == 3
    pictures, numbers, code = shown().one("grey", 0.25, 7)
    said = {label: text for label, text, _ in numbers.rows}
    assert said["l0"] == f"{found.l0[7]} of 3" and said["place"] == f"{found.order.tolist().index(7) + 1} of 11"
    assert len({(image.low, image.high) for image in pictures.pictures}) == 1  # one scale
    assert pictures.pictures[0].values.shape == (3, 4) and sum(code.series["share, %"]) == pytest.approx(100)
    bars, first, last = shown().ranking("grey", 0.25, 7)
    assert sum(bars.series["filters"]) == 11 and bars.labels[bars.highlight] == str(found.l0[7])
    assert [image.pick["filter"] for image in first.pictures] == found.order[:5].tolist()
    assert "needed" in last.title and "backwards" in last.note
    assert {label: text for label, text, _ in shown().one("grey", 0.25, 8)[1].rows}["relative error"] == "–"  # a filter of zeros


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_most_needed_are_those_that_the_removal_calls_near_archetypes() -> None:
    reversed_too = []
    for (name, weight), fraction in product(layers().items(), FRACTIONS):
        ranking, last = positional_relevance(weight, fraction=fraction), shown().ranking(name, fraction, 0)[2]
        found = [image.pick["filter"] for image in last.pictures]
        assert found == ranking.needed(5).tolist()
        reversed_too.append(found == ranking.order.flip(0)[:5].tolist())
    assert not all(reversed_too)  # or it could not be told from the ranking read backwards


def test_a_layer_of_few_filters_has_as_many_fabricated_ones() -> None:
    weight = torch.randn(4, 2, 3, 2, generator=torch.Generator().manual_seed(2))
    small = SimplexPanels({"small": Layer(weight, [0.5], 0)}, [0.5], "", Curves(None))
    pictures = small.fabrication("small", 0.5, 1.0)[0]
    labels = [image.label for image in pictures.pictures]
    assert labels == [*(f"filter {i}" for i in range(4)), *(f"new {i}" for i in range(1, 5))] and pictures.columns == 4
    assert "4 of 4 filters; below, 4 fabricated" in pictures.note
    assert len(small.ranking("small", 0.5, 0)[1].pictures) == len(small.ranking("small", 0.5, 0)[2].pictures) == 4


def test_fabricated_filters_lie_within_the_archetypes() -> None:
    for name, concentration in product(layers(), CONCENTRATIONS):
        at, found = shown().layers[name], shown().layers[name].found[1]
        pictures, numbers = shown().fabrication(name, 0.6, concentration)
        made = found.fabrications[CONCENTRATIONS.index(concentration)]
        values = made.shares.mixed(found.whole)
        assert (values <= found.whole.max(axis=0) + 1).all() and (values >= found.whole.min(axis=0) - 1).all()
        assert len(pictures.pictures) == len(at.originals) + 6 and len(at.originals) == 6
        said = {label: text for label, text, _ in numbers.rows}
        alpha = 1 / found.d if concentration == "sparse" else concentration
        assert float(said["variance, expected"]) == pytest.approx(1 / (found.d * alpha + 1), rel=0.01)
        assert float(said["variance, measured"]) == pytest.approx(float(said["variance, expected"]), rel=0.25)
        assert said["the layer"] == f"{4 * at.n * at.l:,} bytes" and said["its archetypes alone"] == f"{4 * found.d * at.l:,} bytes"


def test_curves_are_means_over_seeds() -> None:
    curve, bars = shown().removal("grey", "one", 20)
    assert curve.x == [0, 5, 20] and curve.highlight == 2 and list(curve.series) == list(SAID.values())
    assert curve.series["near archetypes"] == pytest.approx([99.0, 98.5, 97.0])
    assert curve.series["random"] == pytest.approx([99.0, 99 - 0.05 * 60 - 1, 99 - 0.2 * 60 - 1], abs=0.01)
    assert bars.labels == list(SAID.values()) and bars.series["accuracy lost"][0] == pytest.approx(2.0)
    assert "Intact: 99.00 %" in bars.note and "Best: near archetypes, 97.00 %" in bars.note and "500 test images" in curve.note
    assert shown().removal("grey", "other", 12.5)[0].x == [0, 12.5]
    intact, nothing = shown().removal("grey", "other", 0)
    assert list(intact.series) == ["near archetypes", "random"]
    assert "Best" not in nothing.note and nothing.note.startswith("Intact: 99.00 %. Nothing is removed")


def test_curves_are_of_whole_networks_and_say_whose_are_missing() -> None:
    curves = Curves({"LeNet": rows(), "ResNet-20 (ours)": rows()})
    assert curves.uncurved("LeNet conv1") == curves.uncurved("ResNet-20 layer1.0.conv1") == ""
    assert curves.uncurved("Lite0 conv_head") == "; of Lite0 there is no curve"
    for layer in ("LeNet conv1", "Lite0 conv_head"):
        curve, _ = curves.panels(layer, "LeNet", 5)
        assert "the whole network" in curve.title and f"whatever layer is chosen above{curves.uncurved(layer)}. From" in curve.note


@pytest.mark.parametrize(("fraction", "d", "place"), [(0.25, 3, 3), (1.0, 11, 2), (0.1, 2, 3)])
def test_concentrations_rise_along_their_slider(fraction: float, d: int, place: int) -> None:
    explorer = simplex_explorer({"grey": layers()["grey"]}, fractions=[fraction])
    options = explorer._space.options("concentration", explorer.picked)
    values = [1 / d if one == "sparse" else one for one in options]
    assert values == sorted(values) and options.index("sparse") == place - 1 and len(options) == 5


# ------------------------------------------------------------------------------------------- the script against Python


def picks() -> list[dict[str, Any]]:
    out = []
    for name, weight in layers().items():
        for i, (fraction, filter) in enumerate(product(FRACTIONS, range(len(weight)))):
            pick = {"layer": name, "fraction": fraction, "filter": filter, "colour": list(COLOURS)[i % 3]}
            out.append({**pick, "tested": "one", "rate": (0, 5, 20)[i % 3], "concentration": CONCENTRATIONS[i % 5]})
    return [*out, {**out[0], "tested": "other", "rate": 12.5}]


def test_the_page_makes_the_same_panels() -> None:
    calls = shown().renderers()
    asked = [(call, pick) for pick in picks() for call in calls]
    axes = {name: list(dict.fromkeys(pick[name] for pick in picks())) for name in picks()[0]}
    wanted = {renderer.name: renderer for renderer in Explorer(axes, calls)._calls}
    found = node(PANELS, {"data": textual(shown().shipped), "picks": [(call.computed[0], pick) for call, pick in asked]})
    for (call, pick), one in zip(asked, found, strict=True):
        given = {name: pick[name] for name in wanted[call.__name__].arguments}
        assert_same(one, [panel.encode() for panel in panels.shown(call(**given))], f"{call.__name__} {pick}")


def test_the_page_mixes_large_layers_alike() -> None:
    weight = torch.randn(120, 40, 3, 3, generator=torch.Generator().manual_seed(0))
    large = SimplexPanels({"large": Layer(weight, [0.5], 0)}, [0.5], "", Curves(None))
    program = """
      const data = revive(job.data), [layer, found] = simplexLayer(data, { layer: "large", fraction: 0.5 });
      return job.filters.map((i) => [...rebuiltFilter(layer, found, i)]);"""
    found = node(program, {"data": textual(large.shipped), "filters": [0, 57, 119]})
    layer = large.layers["large"]
    for i, values in zip((0, 57, 119), found, strict=True):
        assert values == layer.found[0].codes.mixture(i, layer.found[0].whole).tolist()
    assert len(large.renderers()) == 4  # no curves, no panel of them


@pytest.mark.parametrize("image", [torch.rand(9, 14, generator=torch.Generator().manual_seed(1)), torch.zeros(3, 4), torch.ones(5, 3)])
def test_the_page_mixes_prewitt_alike(image: Tensor) -> None:
    made = PrewittPanels((image * 255).round().byte().numpy())
    found = node(PANELS, {"data": textual(made.computed[1]), "picks": [("prewitt", {"mix": k / 20}) for k in range(21)]})
    for k, one in enumerate(found):
        assert_same(one, [panel.encode() for panel in made(k / TWENTIETHS)], str(k))


def test_prewitt_is_the_lens_and_its_difference_zero() -> None:
    image = (torch.rand(9, 14, generator=torch.Generator().manual_seed(1)) * 255).round() / 255
    explorer = prewitt_explorer(image)
    made = explorer._calls[0].call
    for mix in (0.0, 0.35, 1.0):
        lens = prewitt_response(image.double(), mix)
        filters, maps, difference, numbers = made(mix)
        assert [picture.label for picture in maps.pictures] == ["image", "map of x", "map of y", "map of z"]
        for picture, expected in zip(maps.pictures[1:], lens.maps, strict=True):
            np.testing.assert_allclose(picture.values / 127 * picture.high, expected.numpy(), atol=picture.high / 250)
        np.testing.assert_allclose(filters.pictures[2].values / 127, lens.filters[2, 0].numpy(), atol=1 / 250)
        assert (difference.pictures[0].values == 0).all() and numbers.rows[0][1] == "0.00 %"
    x, y, z = prewitt_response(image.double(), 0.5).maps.relu()
    after = (z - (x + y) / 2).abs().max() / max(float(lens.maps[0].abs().max()), float(lens.maps[1].abs().max()))
    assert float(made(0.5)[3].rows[1][1].split()[0]) == pytest.approx(100 * float(after), abs=0.01) and after > 0.05


def test_a_large_image_is_made_smaller() -> None:
    picture = torch.rand(3, 300, 200, generator=torch.Generator().manual_seed(1))
    maps = prewitt_explorer(picture)._answer_0["panels"][1]["pictures"]
    assert maps[0]["values"]["shape"] == [128, 85] and maps[1]["values"]["shape"] == [126, 83]
    small = F.interpolate(picture.double().mean(0)[None, None], size=(128, 85), mode="area")[0, 0]
    assert np.frombuffer(maps[0]["values"]["data"], np.uint8).tolist() == (small * 255).round().flatten().int().tolist()


# ------------------------------------------------------------------------------------------------ the explorer and its page


def test_it_starts_with_a_quarter_and_filters_follow_the_layer() -> None:
    explorer = simplex_explorer(layers(), curves={"one": rows()}, fractions=(0.5, 0.25), network="weights of a toy")
    start = {"layer": "grey", "fraction": 0.25, "filter": 0, "colour": "l0", "tested": "one", "rate": 0, "concentration": 1.0}
    assert {**explorer.picked, "rate": 0} == start and explorer.rate == 20
    assert "weights of a toy" in explorer._answer_0["panels"][0]["note"]
    explorer.pick(layer="deep", filter=22)
    explorer.layer = "colour"
    assert explorer.filter == 0 and explorer._answer_1["panels"][0]["pictures"][0]["values"]["shape"] == [5, 2, 3]
    without = simplex_explorer({"grey": layers()["grey"]}, fractions=[0.5])
    assert set(without.picked) == {"layer", "fraction", "filter", "colour", "concentration"} and len(without._calls) == 4
    assert simplex_explorer(layers(), curves={"one": rows((0.0, 0.1, 0.2))}).rate == 10


def test_the_page_fetches_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text, _ = page_and_its_file(lambda: simplex_explorer(layers()), tmp_path / "toy.sheets", monkeypatch)
    assert "fl-fallback" in text


def scatter(**changes: Any) -> Scatter:
    given = {
        "x": [0.0, 1.0],
        "y": [2.0, 3.0],
        "names": ["a", "b"],
        "values": [1, 2],
        "marks": [(0.5, 2.0, "m")],
        "highlight": 1,
        "links": [(0, 0.5)],
    }
    return Scatter(**{**given, "outline": [(0.0, 0.0)], "picks": [None, {"filter": 1}], **changes})


def test_a_scatter_in_the_protocol() -> None:
    sent = scatter(x=torch.tensor([0.5, math.pi]), title="Cloud").encode()
    assert sent["kind"] == "scatter" and sent["x"] == [0.5, 3.14159] and sent["links"] == [[0, 0.5]] and sent["marks"] == [[0.5, 2.0, "m"]]
    assert sent["picks"] == [None, {"filter": 1}] and sent["outline"] == [[0.0, 0.0]]


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "changes", "error"), [
    ("names", {"names": []}, ValueError), ("names", {"names": "ab"}, TypeError), ("x", {"x": [1.0]}, ValueError), ("y", {"y": 3}, TypeError),
    ("values", {"values": [1.0]}, ValueError), ("series", {"y": [1.0, math.nan]}, ValueError), ("value_label", {"value_label": 3}, TypeError),
    ("highlight", {"highlight": 2}, ValueError), ("picks", {"picks": [None]}, ValueError), ("marks: x", {"marks": [("a", 1.0, "m")]}, TypeError),
    ("outline: y", {"outline": [(1.0, math.inf)]}, ValueError), ("links", {"highlight": None}, ValueError),
    ("links: mark", {"links": [(1, 0.5)]}, ValueError), ("links: share", {"links": [(0, 1.5)]}, ValueError),
])  # fmt: skip
def test_a_scatter_that_cannot_be(argument: str, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{argument}"):
        scatter(**changes)


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "given", "error"), [
    ("layers", {"layers": torch.rand(3, 1, 2, 2)}, TypeError), ("layers", {"layers": {}}, ValueError), ("layers", {"layers": {3: torch.rand(3, 1, 2, 2)}}, TypeError),
    ("layers", {"layers": {"a": torch.rand(1_000, 2_001, 1, 1)}}, ValueError),
    (r"layers\['a'\]", {"layers": {"a": torch.rand(3, 4)}}, ValueError), (r"layers\['a'\]", {"layers": {"a": torch.ones(3, 1, 2, 2).long()}}, TypeError),
    (r"layers\['a'\]", {"layers": {"a": torch.rand(1, 1, 2, 2)}}, ValueError), (r"layers\['a'\]", {"layers": {"a": torch.rand(3, 1, 2, 2) * torch.nan}}, ValueError),
    ("fractions", {"fractions": 0.5}, TypeError), ("fractions", {"fractions": []}, TypeError), ("fractions", {"fractions": [0]}, ValueError),
    ("fractions", {"fractions": [0.5, 0.5]}, ValueError), (r"fractions\[0\]", {"fractions": [1.5]}, ValueError), ("network", {"network": 3}, TypeError),
    ("curves", {"curves": rows()}, TypeError), (r"curves\['a'\]", {"curves": {"a": 3}}, TypeError),
    (r"curves\['a'\]", {"curves": {"a": rows().assign(accuracy=95.0)}}, ValueError), (r"curves\['a'\]", {"curves": {"a": rows((0.1, 0.2))}}, ValueError),
    (r"curves\['a'\]", {"curves": {"a": rows().iloc[:-4]}}, ValueError), (r"curves\['a'\]", {"curves": {"a": rows().drop(columns="which")}}, TypeError),
    ("bake", {"bake": 3}, TypeError), ("title", {"title": 3}, TypeError), ("name", {"name": "A B"}, ValueError), ("seed", {"seed": -1}, ValueError),
])  # fmt: skip
def test_wrong_arguments_are_named(argument: str, given: Any, error: type[Exception]) -> None:
    arguments = {"layers": {"a": layers()["grey"]}, **given}
    with pytest.raises(error, match=f"^{argument}:"):
        simplex_explorer(arguments.pop("layers"), **arguments)


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "given", "error"), [
    ("title", {"title": 3}, TypeError), ("name", {"name": "A B"}, ValueError), ("bake", {"bake": 3}, TypeError), ("bake", {"bake": {"colour": ["x"]}}, ValueError),
    ("seed", {"seed": -1}, ValueError), ("seed", {"seed": 0.5}, TypeError), (r"layers\['half'\]", {"half": torch.rand(4, 2, 3, 3).half()}, TypeError),
])  # fmt: skip
def test_nothing_is_analysed_before_all_is_checked(
    monkeypatch: pytest.MonkeyPatch, argument: str, given: Any, error: type[Exception]
) -> None:
    analysed = []
    monkeypatch.setattr("filterlens.explorer.simplex_layers.positional_relevance", lambda *_, **__: analysed.append(1) or 1 / 0)
    more = {"half": given.pop("half")} if "half" in given else {}
    with pytest.raises(error, match=f"^{argument}"):
        simplex_explorer({"grey": layers()["grey"], **more}, **given)
    assert not analysed


def test_a_layer_is_analysed_when_it_is_shown_with_the_weights_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    from filterlens.explorer import simplex_layers

    analysed = []
    monkeypatch.setattr(
        simplex_layers,
        "positional_relevance",
        lambda weight, **options: analysed.append(len(weight)) or positional_relevance(weight, **options),
    )
    given = layers()
    explorer = simplex_explorer(given, fractions=[0.25])
    assert analysed == [11]
    given["colour"].zero_()
    explorer.layer = "colour"
    assert analysed == [11, 6] and np.frombuffer(explorer._answer_1["panels"][0]["pictures"][0]["values"]["data"], np.uint8).std() > 10
    explorer.layer = "grey"
    assert analysed == [11, 6]


@pytest.mark.bad_input
@pytest.mark.parametrize(("image", "error"), [
    (3, TypeError), (torch.ones(4, 4).long(), TypeError), (torch.rand(2, 4, 4), ValueError), (torch.rand(4), ValueError), (torch.rand(2, 9), ValueError),
    (torch.rand(4, 4) + 1, ValueError), (torch.full((4, 4), torch.nan), ValueError), (torch.rand(1, 3, 4, 4), ValueError), (torch.rand(0, 4), ValueError),
])  # fmt: skip
def test_images_for_prewitt_are_checked(image: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="^image:"):
        prewitt_explorer(image)
