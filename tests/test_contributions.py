"""What a decoded filter is made of: shares, pictures and places of the units below."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_networks import build, relative, stirred

from filterlens.lenses.decoding import Contribution, contributions, decode

ALL = 10**9
TOYS = [
    *("strided", "padded", "dilated", "grouped", "last is depthwise", "bn after", "option A", "dense"),
    *("overlapping pool", "average pool", "chunk and split", "flatten"),
]


def by_hand() -> nn.Module:
    """Strokes [1, 1] and [1, -1]; above them 2 x the first at column 0 and 1 x the second at column 1."""
    model = nn.Sequential(nn.Conv2d(1, 2, (1, 2), bias=False), nn.ReLU(), nn.Conv2d(2, 1, (1, 2), bias=False))
    model[0].weight.data = torch.tensor([[[[1.0, 1.0]]], [[[1.0, -1.0]]]])
    model[2].weight.data = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])
    return model


def test_a_tree_by_hand():
    decoded = decode(by_hand(), "2", input_size=(3, 5))
    assert decoded.images.flatten().tolist() == [2, 3, -1]  # [2, 2, 0] + [0, 1, -1], squared length 14
    tree = contributions(decoded, 0)
    assert (tree.layer, tree.channel, tree.share, tree.weight) == ("2", 0, 1.0, 1.0)
    first, second = tree.parts
    assert (first.layer, first.channel, first.row, first.column, first.weight, first.offset) == ("0", 0, 0, 0, 2.0, (0, 0))
    assert (second.layer, second.channel, second.row, second.column, second.weight, second.offset) == ("0", 1, 0, 1, 1.0, (0, 1))
    assert (first.share, second.share) == (pytest.approx(10 / 14), pytest.approx(4 / 14))  # <[2,2,0], df> and <[0,1,-1], df>
    assert first.image.flatten().tolist() == [1, 1] and second.image.flatten().tolist() == [1, -1]
    assert tree.rest == pytest.approx(0, abs=1e-6)
    assert first.parts == () and first.rest == 1.0  # layer 1 is made of pixels
    only = contributions(decoded, 0, top=1)
    assert len(only.parts) == 1 and only.rest == pytest.approx(4 / 14)
    assert contributions(decoded, 0, depth=0).parts == ()


def rebuilt(tree: Contribution, corner: tuple[int, int]) -> torch.Tensor:
    """The sum of the parts' pictures, each at its offset, on the canvas of the picture above."""
    canvas = torch.zeros_like(tree.image)
    for part in tree.parts:
        y, x = part.offset[0] - corner[0], part.offset[1] - corner[1]
        h, w = part.image.shape[1:]
        canvas[:, y : y + h, x : x + w] += part.weight * part.image
    return canvas


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("scale", ["none", "sum"])
def test_all_parts_together_are_the_picture_and_their_shares_are_one(name, scale):
    model, layer, size = build(name)
    decoded = decode(model, layer, [2, 0], input_size=size[1:], scale=scale)
    tree = contributions(decoded, 2, top=ALL, depth=1)
    assert torch.equal(tree.image, decoded.images[0]) or relative(tree.image, decoded.images[0]) < 1e-12
    assert tree.offset == decoded.offset
    assert sum(part.share for part in tree.parts) == pytest.approx(1, abs=1e-10)
    assert tree.rest == pytest.approx(0, abs=1e-10)
    assert relative(rebuilt(tree, decoded.offset), tree.image) < 1e-12


def test_parts_are_listed_by_the_size_of_their_share():
    model, layer, size = build("dense")
    tree = contributions(decode(model, layer, input_size=size[1:]), 1, top=5)
    sizes = [abs(part.share) for part in tree.parts]
    assert len(sizes) == 5 and sizes == sorted(sizes, reverse=True)
    everything = contributions(decode(model, layer, input_size=size[1:]), 1, top=ALL, depth=1)
    assert sizes == pytest.approx([abs(part.share) for part in everything.parts[:5]])
    assert tree.rest == pytest.approx(1 - sum(part.share for part in tree.parts))


def test_the_tree_goes_down_to_the_first_layer():
    model = stirred(nn.Sequential(nn.Conv2d(2, 3, (3, 2)), nn.MaxPool2d(2), nn.Conv2d(3, 4, (2, 3)), nn.ReLU(), nn.Conv2d(4, 5, 2)))
    decoded = decode(model, "4", input_size=(14, 16))
    tree = contributions(decoded, 3, top=ALL)
    assert [tree.layer, tree.parts[0].layer, tree.parts[0].parts[0].layer] == ["4", "2", "0"]
    assert tree.parts[0].parts[0].parts == ()
    assert len(tree.parts) == 4 * 2 * 2 and len(tree.parts[0].parts) == 3 * 2 * 3
    for part in tree.parts:  # no padding: a part's own corner is that of its first unit
        assert part.offset == (2 * part.row, 2 * part.column)
        assert sum(below.share for below in part.parts) == pytest.approx(1, abs=1e-10)
        assert relative(rebuilt(part, (0, 0)), part.image) < 1e-12
    same = [p for p in tree.parts if p.channel == tree.parts[0].channel]
    assert all(torch.equal(p.image, same[0].image) for p in same)


def test_the_parts_of_a_flattened_layer_are_units_of_the_map_below():
    model, _, size = build("flatten")
    decoded = decode(model, "3", input_size=size[1:])
    tree = contributions(decoded, 2, top=ALL, depth=1)
    weight = model[3].weight[2].detach().reshape(3, 5, 4)
    assert {part.layer for part in tree.parts} == {"0"}
    assert len(tree.parts) == 3 * 5 * 4
    assert all(part.weight == pytest.approx(float(weight[part.channel, part.row, part.column])) for part in tree.parts)


@pytest.mark.parametrize("unpool", ["bilinear", "bicubic"])
def test_what_interpolation_does_at_borders_is_counted_in_the_rest(unpool):
    model, layer, size = build("overlapping pool")
    tree = contributions(decode(model, layer, [1], input_size=size[1:], unpool=unpool), 1, top=ALL, depth=1)
    assert tree.rest == pytest.approx(1 - sum(part.share for part in tree.parts))
