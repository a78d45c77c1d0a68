"""What ``decode`` promises beside the oracles: kernels, chunks, kept steps, folding, refusals, and a model left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_networks import Custom, build, normal, relative, stirred, tiny

from filterlens.lenses.decoding import compare, contributions, decode, substitute, thresholded
from filterlens.linear import MODES, unpool

EXACT = 1e-12


def test_kernels_come_in_the_order_asked_for():
    model = tiny()
    everything = decode(model, "4", input_size=(14, 16)).images
    some = decode(model, "4", [3, 0, 4], input_size=(14, 16))
    assert some.kernels == (3, 0, 4)
    assert relative(some.images, everything[[3, 0, 4]]) < EXACT
    one = decode(model, "4", 2, input_size=(14, 16))
    assert one.kernels == (2,) and relative(one.images, everything[2:3]) < EXACT


@pytest.mark.parametrize("mode", MODES)
def test_chunks_equal_the_whole(mode):
    model, layer, size = build("dense")
    whole = decode(model, layer, input_size=size[1:], unpool=mode, max_bytes=2**30)
    parts = decode(model, layer, input_size=size[1:], unpool=mode, max_bytes=60_000)
    assert relative(parts.images, whole.images) < EXACT
    with pytest.raises(ValueError, match="max_bytes: got 1,000.*needs about"):
        decode(model, layer, input_size=size[1:], unpool=mode, max_bytes=1000)


def test_kept_steps_are_the_fields_of_the_walk():
    model = tiny()
    decoded = decode(model, "4", [4, 1], input_size=(14, 16), keep_steps=True)
    w1, w2, w3 = (model[i].weight.detach() for i in (0, 2, 4))
    third = w3[[4, 1]]
    second = substitute(third, w2)
    pooled = unpool(second, 2)
    expected = [third, second, pooled, substitute(pooled, w1)]
    assert [step.kind for step in decoded.steps] == ["convolution", "convolution", "maxpool", "convolution"]
    for step, field in zip(decoded.steps, expected, strict=True):
        assert step.shape == field.shape[1:]
        assert relative(step.images, field) < EXACT
    assert relative(decoded.steps[-1].images, decoded.images) < EXACT
    assert all(step.images is None for step in decode(model, "4", [4, 1], input_size=(14, 16)).steps)


def test_batch_normalisation_is_folded_by_its_gain_alone():
    model, layer, size = build("bn after")
    gain = model[1].weight / torch.sqrt(model[1].running_var + model[1].eps)
    folded = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 5, 2)).double()
    folded[0].weight.data, folded[1].weight.data = model[0].weight.detach() * gain.detach()[:, None, None, None], model[3].weight.detach()
    found = decode(model, "3", input_size=size[1:]).images
    assert relative(found, decode(folded, "1", input_size=size[1:]).images) < EXACT
    model[1].running_mean.add_(5)
    model[1].bias.data.add_(7)
    assert torch.equal(decode(model, "3", input_size=size[1:]).images, found)


def test_a_zero_filter_is_a_zero_picture():
    model = tiny()
    model[4].weight.data[2] = 0
    decoded = decode(model, "4", input_size=(14, 16))
    assert torch.equal(decoded.images[2], torch.zeros_like(decoded.images[2]))
    assert torch.equal(thresholded(decoded.images)[2], decoded.images[2])
    tree = contributions(decoded, 2)
    assert tree.parts == () and tree.rest == 1.0


def test_padding_moves_the_picture_but_never_cuts_it():
    padded, bare = (stirred(nn.Sequential(nn.Conv2d(2, 3, 3, padding=p), nn.Conv2d(3, 4, 5, stride=2, padding=p))) for p in (1, 0))
    found, expected = (decode(m, "1", input_size=(15, 18)) for m in (padded, bare))
    assert torch.equal(found.images, expected.images)
    assert (found.offset, expected.offset) == ((-2, -2), (0, 0))


def test_a_gain_that_depends_on_the_image_is_refused_or_one_with_a_warning():
    def forward(m, x):
        x = m.first(x)
        return m.last(x * torch.sigmoid(m.squeeze(x.mean((2, 3), keepdim=True))))

    model = stirred(Custom(forward, first=nn.Conv2d(2, 3, 3), squeeze=nn.Conv2d(3, 3, 1), last=nn.Conv2d(3, 4, 2)))
    with pytest.raises(ValueError, match="model: cannot decode.*squeeze-excite.*gain='one'"):
        decode(model, "last", input_size=(12, 14))
    with pytest.warns(UserWarning, match="decode: gains"):
        found = decode(model, "last", input_size=(12, 14), gain="one").images
    assert relative(found, decode(nn.Sequential(model.first, model.last), "1", input_size=(12, 14)).images) < EXACT


def test_thresholding_keeps_the_strongest_parts_of_each_picture():
    images = torch.tensor([[[[1.0, -4.0], [2.0, 1.9]]], [[[0.1, 0.0], [-0.2, 0.05]]]])
    assert thresholded(images).flatten(1).tolist() == [[0, -4, 2, 0], pytest.approx([0.1, 0, -0.2, 0])]
    assert torch.equal(thresholded(images, 0), images)
    assert (thresholded(images, 1) != 0).flatten(1).sum(1).tolist() == [1, 1]


# the model is left as it was


def fingerprint(model):
    state = {name: (t.clone(), t.requires_grad) for name, t in model.state_dict(keep_vars=True).items()}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()]
    return state, [m.training for m in model.modules()], hooks


def unchanged(before, model):
    state, training, hooks = fingerprint(model)
    same = all(torch.equal(state[n][0], t) and state[n][1] == grad for n, (t, grad) in before[0].items())
    return same and state.keys() == before[0].keys() and training == before[1] and hooks == before[2]


def test_the_model_is_left_as_it_was():
    model, layer, size = build("projection")
    model.train()
    model.bn.eval()
    model.a.weight.requires_grad_(False)
    before, images = fingerprint(model), normal(4, *size)
    decoded = decode(model, layer, input_size=size[1:], keep_steps=True)
    compare(model, decoded, images)
    contributions(decoded, 1, top=3)
    assert unchanged(before, model)


def test_the_model_is_left_as_it_was_after_an_error():
    def forward(m, x):
        y = m.first(x)
        if x.abs().sum() > 0 or x.shape[2] < 5:
            raise RuntimeError("no such image")
        return m.last(m.bn(y))

    model = stirred(Custom(forward, first=nn.Conv2d(2, 3, 3), bn=nn.BatchNorm2d(3), last=nn.Conv2d(3, 4, 2))).train()
    before = fingerprint(model)
    with pytest.raises(ValueError, match="input_size.*no such image"):
        decode(model, "last", input_size=(4, 7))
    assert unchanged(before, model)
    decoded = decode(model, "last", input_size=(9, 11))
    with pytest.raises(RuntimeError, match="no such image"):
        compare(model, decoded, normal(2, 2, 9, 11))
    assert unchanged(before, model)
