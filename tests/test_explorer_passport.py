"""The passport's explorer: what is kept of a filter is what its passport says, in a file and back, and every pick shows all five parts."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from toy_passport import LABELS, PLAIN, Network, deep, images, pictures

from filterlens import models, sources
from filterlens.explorer import ChosenFilters, PassportStates, passport_kept, passport_states
from filterlens.explorer.passport_reading import MOST
from filterlens.lenses.simplex import layer_relevance
from filterlens.models import CheckpointError, Normalization
from filterlens.synthesis.passport import PARTS, Passport, passport, words

torch.set_num_threads(1)
GATES = torch.tensor([[0.2, 0.4, 0.6, 1.0], [1.0, 0.1, 0.3, 0.5], [0.2, 1.0, 0.7, 0.4], [0.3, 0.6, 1.0, 0.9], [0.1, 0.2, 0.3, 0.4]])
COARSE = 0.5 / 9 + 0.5 / 127  # of a signed picture's largest value: half a level, and half a step of the page's
QUICK = {"steps": 3, "shown": 2}
SHIPPED = sources.project_home() / "data" / "states" / "passports.npz"


def toy(filter: int, **options) -> Passport:
    given = {"normalization": PLAIN, "name": "toy", "gates": GATES, "classes": ["sky", "sea", "sun", "soil", "snow"], **QUICK}
    return passport(Network(), "colour", filter, images(), LABELS, **{**given, **options})


def other(filter: int, layer: str = "2") -> Passport:
    return passport(deep(), layer, filter, pictures(), normalization=Normalization(mean=0.5, std=0.25), name="deep", **QUICK)


@pytest.fixture(scope="module")
def passports() -> list[Passport]:
    return [toy(0), toy(2), other(4), other(1), other(5, "4")]


@pytest.fixture(scope="module")
def states(passports: list[Passport]) -> PassportStates:
    return PassportStates.of(passports)


def titled(explorer, title: str) -> dict:
    (found,) = [panel for panel in explorer._answer_0["panels"] if panel["title"] == title]
    return found


def values_of(picture: dict) -> np.ndarray:
    found = picture["values"]
    return np.frombuffer(found["data"], found["dtype"]).reshape(found["shape"])


# --- what the panels say ---


def test_every_pick_says_what_the_passport_says(states: PassportStates, passports: list[Passport]) -> None:
    explorer, seen = states.explorer(), 0
    for one in passports:
        explorer.pick(network=one.name, layer=one.layer, filter=one.filter)
        first = explorer._answer_0["panels"][0]
        assert first["title"] == f"Filter {one.filter} of {one.layer}" and words.about(one) in first["text"] and one.name in first["text"]
        for part in PARTS:
            panel = titled(explorer, words.HEADINGS[part])
            missing = part in one.missing()
            assert (panel["kind"] == "text") == missing
            assert panel["text" if missing else "note"] == words.sentence(one, part)
            seen += missing
        warned = [panel["text"] for panel in explorer._answer_0["panels"] if panel["title"] == "What the lenses warned of"]
        assert bool(warned) == bool(one.notes) and all(note in warned[0] for notes in one.notes.values() for note in notes)
    assert seen, "a lens that does not apply"


def test_the_axes_are_networks_layers_and_filters(states: PassportStates, passports: list[Passport]) -> None:
    explorer = states.explorer()
    assert explorer.picked == {"network": "toy", "layer": "colour", "filter": 0}
    explorer.network = "deep"
    assert explorer.picked == {"network": "deep", "layer": "2", "filter": 1}, "ascending"
    assert len(list(explorer._space.picks())) == len(passports)
    alone = PassportStates.of(passports[:2]).explorer(start={"filter": 2})
    assert alone.picked == {"layer": "colour", "filter": 2} and alone._answer_0["panels"][0]["title"] == "Filter 2 of colour"


def test_the_cloud_is_the_place_and_filters_that_are_offered_can_be_picked(states: PassportStates, passports: list[Passport]) -> None:
    explorer = states.explorer(start={"filter": 2})
    panel, place = titled(explorer, words.HEADINGS["place"]), passports[1].place
    assert panel["x"] == pytest.approx(place.points[:, 0].tolist(), abs=1e-5) and panel["y"] == pytest.approx(
        place.points[:, 1].tolist(), abs=1e-5
    )
    assert [mark[:2] for mark in panel["marks"]] == [pytest.approx(corner, abs=1e-5) for corner in place.corners.tolist()]
    assert panel["highlight"] == 2 and panel["values"] == place.ranking.l0.tolist()
    assert panel["picks"] == [{"filter": 0}, None, {"filter": 2}, None]
    assert dict(panel["links"]) == {at: pytest.approx(float(place.code[at]), abs=1e-6) for at in words.shares(place, MOST)}
    explorer.pick(network="deep", layer="2", filter=4)
    grouped = titled(explorer, words.HEADINGS["place"])
    assert grouped["names"] == ["filter 3", "filter 4", "filter 5"] and grouped["highlight"] == 1, "its group alone"
    assert len(states.clouds) == 3, "toy's, and one for each group of the grouped layer"


def test_ranks_shares_classes_and_gates_are_the_passports(states: PassportStates, passports: list[Passport]) -> None:
    explorer, one = states.explorer(), passports[0]
    ranks = titled(explorer, "Its rank by every ranking")
    assert dict(zip(ranks["labels"], ranks["series"][0]["values"], strict=True)) == {
        words.RANKINGS[method]: rank for method, rank in one.place.ranks.items()
    }
    made = titled(explorer, "What it is made of")["series"][0]["values"]
    assert made == pytest.approx([100 * float(one.place.code[at]) for at in words.shares(one.place, MOST)], abs=1e-3)
    classes = titled(explorer, words.HEADINGS["classes"])
    order = one.classes.mean.argsort(descending=True)
    names = [["sky", "sea", "sun", "soil", "snow"][int(one.classes.classes[at])] for at in order]
    assert classes["labels"] == [f"{name}, rank {int(one.classes.ranks[at])}" for name, at in zip(names, order, strict=True)]
    assert classes["series"][0]["values"] == pytest.approx(one.classes.mean[order].tolist(), rel=1e-5)
    gates = titled(explorer, words.HEADINGS["gates"])
    assert gates["labels"] == ["sky", "soil", "sea", "sun", "snow"]
    assert gates["series"][0]["values"] == pytest.approx(sorted(one.gates.values.tolist(), reverse=True)) and gates["highlight"] == 0


def test_pictures_are_those_of_the_passport_each_with_its_numbers_and_words(states: PassportStates, passports: list[Passport]) -> None:
    explorer, one = states.explorer(), passports[2]
    explorer.pick(network="deep", layer="2", filter=4)
    decoded = titled(explorer, words.HEADINGS["picture"])["picture"]
    image = one.picture.decoded.images[0]
    shown = (values_of(decoded).astype(float) - 128) / 127 * decoded["high"]
    assert np.allclose(shown, image.permute(1, 2, 0).numpy(), atol=COARSE * decoded["high"]) and str(image.shape[1]) in decoded["alt"]
    panel, found = titled(explorer, words.HEADINGS["content"]), one.content
    n = len(found.chosen)
    rows = [panel, *(titled(explorer, f"And of image {number}") for number in found.chosen[1:].tolist())]
    assert [len(row["pictures"]) for row in rows] == [7] * n == [7, 7]
    for at, number in enumerate(found.chosen.tolist()):
        photo, activations, isolated, *rest = rows[at]["pictures"]
        assert np.abs(values_of(photo) - 255 * found.images[at].permute(1, 2, 0).numpy()).max() <= 0.51
        assert np.allclose(values_of(activations) / 255 * activations["high"], found.maps[at].numpy(), atol=activations["high"] / 500)
        own = one.normalization.invert(found.isolation.images)[at].clamp(0, 1).permute(1, 2, 0).numpy()
        assert np.abs(values_of(isolated) / 255 - own).max() <= 0.5 / 19 + 0.003
        assert isolated["label"] == f"isolation: {words.measured(found, 'isolation', at)}"
        for method, picture in zip(found.baselines, rest, strict=True):
            pattern = found.baselines[method][at].permute(1, 2, 0).numpy()
            assert picture["label"] == f"{words.METHOD_NAMES[method]}: {words.measured(found, method, at)}"
            shown = (values_of(picture).astype(float) - 128) / 127 * picture["high"]
            assert np.allclose(shown, pattern, atol=COARSE * picture["high"])
        assert all(f"image {number}" in picture["alt"] for picture in rows[at]["pictures"])


def test_a_method_that_fails_says_why_and_leaves_the_others(passports: list[Passport]) -> None:
    one = passports[0]
    content = dataclasses.replace(one.content, baselines={**one.content.baselines, "lrp": "it has no rule for Odd"})
    explorer = PassportStates.of([dataclasses.replace(one, content=content)]).explorer()
    panel = titled(explorer, words.HEADINGS["content"])
    assert len(panel["pictures"]) == 6 and not any(picture["label"].startswith("LRP") for picture in panel["pictures"])
    assert titled(explorer, "Methods without an answer")["text"] == "LRP: it has no rule for Odd."


def test_pictures_are_as_small_and_as_coarse_as_asked(passports: list[Passport]) -> None:
    (kept,) = PassportStates.of(passports[2:3], pixels=8, levels=5).filters
    made = [image for _, row in kept.rows for image in row]
    assert max(max(image.values.shape[:2]) for image in made) == 8
    assert all(len(np.unique(row[2].values)) <= 5 and len(np.unique(row[3].values)) <= 5 for _, row in kept.rows)
    assert {int(v) for _, row in kept.rows for v in np.unique(row[3].values)} <= {1, 64, 65, 128, 191, 192, 255}, "128 is zero"


# --- in a file and back ---


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, part.name), getattr(b, part.name)) for part in dataclasses.fields(a))
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_saved_and_loaded(states: PassportStates, tmp_path) -> None:
    path = states.save(tmp_path / "kept.npz", {"command": "by hand", "seed": 3})
    again = PassportStates.load(path)
    assert same(again.filters, states.filters) and same(again.clouds, states.clouds)
    assert again.story["command"] == "by hand" and again.story["seed"] == 3 and {"sha256", "date", "versions"} <= set(again.story)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kept.json", "kept.npz"]
    assert again.explorer()._answer_0 == states.explorer()._answer_0
    once_more = PassportStates.load(again.save(tmp_path / "more.npz")).story
    assert once_more["command"] == "by hand" and once_more["sha256"] == again.story["sha256"], "its own story goes on with it"


def test_a_damaged_missing_or_other_file_is_refused(states: PassportStates, tmp_path) -> None:
    path = states.save(tmp_path / "kept.npz", {"command": "by hand"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        PassportStates.load(path)
    with pytest.raises(CheckpointError, match="missing"):
        PassportStates.load(tmp_path / "nowhere.npz")
    with pytest.raises(CheckpointError, match="expected an .npz"):
        PassportStates.load(tmp_path / "kept.safetensors")


@pytest.mark.parametrize("what", ["not an archive", "other arrays", "a pickle", "lacks a field"])
def test_a_file_of_something_else_is_refused_though_its_hash_is_right(what: str, states: PassportStates, tmp_path) -> None:
    part, path = tmp_path / "part.npz", states.save(tmp_path / "kept.npz", {"command": "by hand"})
    with np.load(path) as archive:
        held = dict(archive)
    if what == "a pickle":
        held["said"] = np.array([{"filters": []}], dtype=object)
    elif what == "lacks a field":
        said = json.loads(held["said"].tobytes())
        del said["filters"][0]["said"]
        held["said"] = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
    np.savez(part, **({"images": np.zeros(3)} if what == "other arrays" else held))
    if what == "not an archive":
        part.write_bytes(b"words")
    passport_kept.checkpoints.keep(part, path, {})
    with pytest.raises(CheckpointError, match="holds no states"):
        PassportStates.load(path)


# --- the states of the book ---


def test_filters_are_chosen_evenly_over_the_ranks_and_asked_for_as_told(passports: list[Passport], monkeypatch) -> None:
    asked = []

    def of_network(name, layer, filter, **options):
        asked.append((name, layer, filter, options))
        return dataclasses.replace(passports[4], name=name, layer=layer, filter=filter)

    monkeypatch.setattr(passport_kept, "of_network", of_network)
    made = passport_states([ChosenFilters("lenet", "conv1", 3, data="mnist-5k", shown=1), ChosenFilters("resnet20-csg", "conv1")], steps=7)
    order = layer_relevance(models.load("lenet"), "conv1", seed=0).order.tolist()
    k = len(order)
    middle = order[round((k - 1) / 2)]
    some = [one for one in asked if one[0] == "lenet"]
    assert [one[2] for one in some] == sorted([order[0], middle, order[-1]])
    assert all(one[3] == {"data": "mnist-5k", "shown": 1, "steps": 7, "seed": 0, "root": None} for one in some)
    assert [one[2] for one in asked if one[0] == "resnet20-csg"] == list(range(16)) and len(made.filters) == 3 + 16
    assert made.story["filters"] == {"lenet, conv1": [one[2] for one in some], "resnet20-csg, conv1": list(range(16))}
    assert made.story["steps"] == 7 and made.story["seed"] == 0 and "passport_states()" in made.story["command"]


def test_the_shipped_file_loads_and_says_its_story() -> None:
    states = PassportStates.load(SHIPPED)
    assert SHIPPED.stat().st_size < 2_500_000
    story = states.story
    assert "passport_states()" in story["command"] and story["seed"] == 0 and story["steps"] == 100 and "torch" in story["versions"]
    assert {one.network for one in states.filters} == {one.network for one in passport_kept.CHOSEN}
    assert passport_kept.told(states, steps=100, seed=0)["filters"] == story["filters"]
    for one in passport_kept.CHOSEN:
        assert set(story["filters"][f"{one.network}, {one.layer}"]) == set(passport_kept.evenly_ranked(one.network, one.layer, one.n))
    assert max(max(image.values.shape[:2]) for one in states.filters for _, row in one.rows for image in row) <= 112
    explorer = states.explorer()
    for one in (states.filters[0], states.filters[-1]):
        explorer.pick(network=one.network, layer=one.layer, filter=one.filter)
        for part in PARTS:
            panel = titled(explorer, words.HEADINGS[part])
            assert panel["text" if part in one.lacking else "note"] == one.said[part]


# --- bad input ---

BAD_OF = [("passports", "toy", TypeError), ("passports", 3, TypeError), ("passports", [], ValueError), ("passports", ["toy"], TypeError),
          ("passports", None, TypeError), ("pixels", 7, ValueError), ("pixels", 513, ValueError), ("pixels", 9.5, TypeError),
          ("pixels", True, TypeError), ("levels", 2, ValueError), ("levels", 257, ValueError), ("levels", "8", TypeError)]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("name", "value", "error"), BAD_OF)
def test_states_of_something_else(name: str, value, error: type, passports: list[Passport]) -> None:
    given = {"passports": passports[:1]} | {name: value}
    with pytest.raises(error, match=f"^{name}: "):
        PassportStates.of(given.pop("passports"), **given)


@pytest.mark.bad_input
def test_a_filter_twice(passports: list[Passport]) -> None:
    with pytest.raises(ValueError, match="^passports: got 'toy, colour, filter 0' twice"):
        PassportStates.of([passports[0], passports[1], passports[0]])


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("path", "story", "name"),
    [("kept", "by hand", "story"), ("kept", ["by hand"], "story"), ("kept", {"seed": object()}, "story"), (3, {}, "path")],
)
def test_nothing_is_saved_without_a_story(path, story, name: str, states: PassportStates, tmp_path) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        states.save(tmp_path / path if isinstance(path, str) else path, story)
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
@pytest.mark.parametrize("story", [None, {}])
def test_states_without_a_story_ask_for_one(story, states: PassportStates, tmp_path) -> None:
    with pytest.raises(ValueError, match="^story: "):
        states.save(tmp_path / "kept", story)
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
def test_loading_wants_a_path() -> None:
    with pytest.raises(TypeError, match="^path: "):
        PassportStates.load(3)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("option", "value", "error"),
    [("start", {"filter": 1}, ValueError), ("start", 3, TypeError), ("name", "No Name", ValueError), ("title", 3, TypeError), ("bake", 1, TypeError), ("colour", 1, TypeError)],
)  # fmt: skip
def test_options_of_the_explorer(option: str, value, error: type, states: PassportStates) -> None:
    with pytest.raises(error, match="filter" if option == "start" and error is ValueError else option):
        states.explorer(**{option: value})


ONE = ChosenFilters("lenet", "conv1", 2)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "value", "error", "said"),
    [
        ("chosen", "lenet", TypeError, "chosen"), ("chosen", [], TypeError, "chosen"), ("chosen", [("lenet", "conv1", 2)], TypeError, "chosen"),
        ("chosen", None, TypeError, "chosen"), ("chosen", [ONE._replace(network="lenett")], ValueError, "name"),
        ("chosen", [ONE._replace(layer="conv9")], ValueError, "layer"), ("chosen", [ONE._replace(n=0)], ValueError, "n"),
        ("chosen", [ONE._replace(n=1000)], ValueError, "n"), ("chosen", [ONE._replace(n=1.5)], TypeError, "n"),
        ("steps", 0, ValueError, "steps"), ("steps", 1.5, TypeError, "steps"), ("seed", -1, ValueError, "seed"), ("seed", "0", TypeError, "seed"),
        ("pixels", 7, ValueError, "pixels"), ("levels", 2, ValueError, "levels"), ("progress", 1, TypeError, "progress"),
    ],
)  # fmt: skip
def test_states_of_networks_that_cannot_be(name: str, value, error: type, said: str, monkeypatch) -> None:
    monkeypatch.setattr(passport_kept, "of_network", lambda *a, **k: pytest.fail("a passport was made"))
    given = {"chosen": [ONE]} | {name: value}
    with pytest.raises(error, match=f"^{said}: "):
        passport_states(given.pop("chosen"), **given)
