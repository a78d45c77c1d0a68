"""Oracle 11: the hand-built character network of the supplement recognises its own decoded characters."""

from __future__ import annotations

import pytest
import torch

from filterlens.lenses.decoding import CHARACTERS, PARTS, CharacterNetwork, contributions, decode

POOLS = {"max": "none", "average": "sum"}  # and the scale under which decoding is meant for it


@pytest.mark.parametrize(("pool", "scale"), POOLS.items())
def test_oracle_11_every_decoded_character_excites_its_own_unit_most(pool, scale):
    network = CharacterNetwork(pool=pool)
    with torch.no_grad():
        responses = network(decode(network, "characters", scale=scale).images).flatten(1)
    assert responses.shape == (8, 8)
    assert responses.argmax(1).tolist() == list(range(8))
    assert responses.argmax(0).tolist() == list(range(8))


@pytest.mark.parametrize("layer", ["strokes", "parts", "characters"])
def test_oracle_09_sizes_and_lengths_of_the_pictures(layer):
    network = CharacterNetwork()
    decoded = decode(network, layer)
    count, side = {"strokes": (4, 5), "parts": (14, 9), "characters": (8, 14)}[layer]
    assert decoded.images.shape == (count, 1, side, side)
    assert torch.allclose(decoded.images.flatten(1).norm(dim=1), torch.ones(count), atol=1e-5)


def test_oracle_11_c_is_made_of_parts_1_4_9_11():
    network = CharacterNetwork()
    assert {part for part in CHARACTERS["C"].values()} == {1, 4, 9, 11}
    used = network.characters.weight[network.names.index("C")].abs().amax((1, 2)).nonzero().flatten() + 1
    assert set(used.tolist()) == {1, 4, 9, 11}
    tree = contributions(decode(network, "characters"), network.names.index("C"), top=4)
    assert {(part.row, part.column): part.channel + 1 for part in tree.parts} == CHARACTERS["C"]
    assert tree.rest == pytest.approx(0, abs=1e-5)


def test_oracle_11_the_strongest_parts_inside_c_are_its_own_at_their_cells():
    network = CharacterNetwork()
    c = network.names.index("C")
    with torch.no_grad():
        pooled = network.pool(network.parts(network.strokes(decode(network, "characters", c).images)))[0]
    assert pooled.shape == (14, 3, 3)
    strongest = [(i // 9 + 1, (i % 9 // 3, i % 3)) for i in pooled.flatten().topk(4).indices.tolist()]
    assert {cell: part for part, cell in strongest} == CHARACTERS["C"]
    assert set((pooled.amax((1, 2)).topk(4).indices + 1).tolist()) == {1, 4, 9, 11}
    assert all(int(pooled[:, row, column].argmax()) + 1 == part for (row, column), part in CHARACTERS["C"].items())


def test_oracle_11_part_1_is_made_of_strokes_3_and_4():
    network = CharacterNetwork()
    assert {stroke for stroke, _, _ in PARTS[0][1]} == {3, 4}
    parts = contributions(decode(network, "parts"), 0, top=40).parts
    assert {part.channel + 1 for part in parts} == {3, 4}
    assert {(p.channel + 1, p.row, p.column) for p in parts} == set(PARTS[0][1])


def test_oracle_11_c_and_d_share_part_1_in_the_lower_left_cell():
    network = CharacterNetwork()
    decoded = decode(network, "characters")
    for name in ("C", "D"):
        tree = contributions(decoded, network.names.index(name), top=4)
        corner = [part.channel + 1 for part in tree.parts if (part.row, part.column) == (2, 0)]
        assert corner == [1]


def test_strokes_do_not_see_an_even_area():
    network = CharacterNetwork()
    with torch.no_grad():
        assert float(network(torch.full((1, 1, 14, 14), 3.0)).abs().max()) < 1e-4


def test_a_layout_of_ones_own():
    network = CharacterNetwork({"corner": {(1, 1): 2}, "C": CHARACTERS["C"], "dash": {(0, 1): 9, (2, 2): 12}}, pool="average")
    assert network.names == ("corner", "C", "dash")
    assert not network.training
    with torch.no_grad():
        responses = network(decode(network, "characters", scale="sum").images).flatten(1)
    assert responses.argmax(1).tolist() == [0, 1, 2]


BAD_LAYOUTS = {
    "not a dict": (["C"], TypeError, "layout"),
    "empty": ({}, TypeError, "layout"),
    "no cells": ({"C": {}}, ValueError, "layout.*'C'"),
    "cells as a list": ({"C": [1, 2]}, ValueError, "layout.*'C'"),
    "cell beyond the grid": ({"C": {(0, 3): 1}}, ValueError, r"layout.*\(0, 3\)"),
    "cell of one number": ({"C": {1: 1}}, ValueError, "layout.*the cell 1"),
    "part 0": ({"C": {(0, 0): 0}}, ValueError, "layout"),
    "part 15": ({"C": {(0, 0): 15}}, ValueError, "layout"),
    "part by name": ({"C": {(0, 0): "corner"}}, TypeError, "layout"),
    "part as a fraction": ({"C": {(0, 0): 1.5}}, TypeError, "layout"),
    "part NaN": ({"C": {(0, 0): float("nan")}}, TypeError, "layout"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("name", BAD_LAYOUTS)
def test_an_impossible_layout_is_refused(name):
    layout, error, message = BAD_LAYOUTS[name]
    with pytest.raises(error, match=message):
        CharacterNetwork(layout)


@pytest.mark.bad_input
@pytest.mark.parametrize(("pool", "error"), [("median", ValueError), (2, TypeError), (None, TypeError)])
def test_an_unknown_pool_is_refused(pool, error):
    with pytest.raises(error, match="pool"):
        CharacterNetwork(pool=pool)
