"""What the recorder must not take for a constant, and what must be as before when recording fails."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filterlens.lenses.decoding import compare, contributions, decode, error_table, respond


class Custom(nn.Module):
    """Three 3 x 3 convolutions (2 -> 4 -> 4 -> 3 channels) around a body given as a function."""

    def __init__(self, body) -> None:
        super().__init__()
        self.a, self.b, self.d = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 3, 3)
        self.body = body

    def forward(self, x):
        return self.d(self.body(self, self.a(x)))


def part_overwritten(net, h):
    h[:, :2] = 0
    return h


def part_copied(net, h):
    y = torch.zeros(h.shape)
    y[:, :2] = h[:, :2]
    return h + y


def changed_through_a_view(net, h):
    part = h[:, :2]
    part *= 3
    return h


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x)


REFUSED = {
    "a part overwritten": part_overwritten,
    "a part copied": part_copied,
    "changed through a view": changed_through_a_view,
    "a scripted branch": lambda net, h: h + net.b(scripted(h)),
    "a factor in a difference": lambda net, h: torch.sub(torch.ones(1), h, alpha=3),
    "a factor in a reversed difference": lambda net, h: torch.rsub(h, 1, alpha=3),
    "a factor in a sum": lambda net, h: torch.add(torch.ones(1), h, alpha=3),
    "a division that rounds": lambda net, h: torch.div(h, 2, rounding_mode="floor"),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_has_no_linear_part_here_is_refused(body):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="^model: cannot decode through"):
        decode(Custom(body), "d", input_size=14)


ACCEPTED = {  # body, the factor it puts between the two convolutions
    "a constant made on the way": (lambda net, h: h * torch.full((1, 4, 1, 1), 2.0), 2.0),
    "named operands": (lambda net, h: torch.mul(input=h, other=2.0), 2.0),
    "operands the other way round": (lambda net, h: torch.mul(torch.tensor(2.0), h), 2.0),
    "a minus": (lambda net, h: -h, -1.0),
    "constant minus": (lambda net, h: 1 - h, -1.0),
    "a written constant": (lambda net, h: h + net.b.weight.new_ones(4, 1, 1) * 3, 1.0),
}


@pytest.mark.parametrize(("body", "factor"), ACCEPTED.values(), ids=ACCEPTED)
def test_constants_are_seen_for_what_they_are(body, factor):
    torch.manual_seed(0)
    net = Custom(body)
    plain = nn.Sequential(net.a, net.d)
    assert torch.allclose(decode(net, "d", input_size=14).images, factor * decode(plain, "1", input_size=14).images, atol=1e-6)


def test_a_layer_called_twice_is_compared_at_its_first_call():
    torch.manual_seed(0)
    net = Custom(lambda net, h: net.b(net.b(h)))
    for conv in (net.a, net.b, net.d):
        conv.bias.data.zero_()
    images = torch.randn(3, 2, 14, 14)
    decoded = decode(net, "b", input_size=14)
    alone = compare(net, decoded, images, normalize="none").error
    table = error_table(net, ["b"], [images], unpools=("nearest",), normalizations=("none",), input_size=14)
    assert torch.allclose(table.errors["b", "nearest", "none"], alone)


def test_a_shared_layer_is_decoded_under_each_of_its_names():
    torch.manual_seed(0)
    net = Custom(lambda net, h: net.b(h))
    net.twin = net.b
    assert torch.equal(decode(net, "twin", input_size=14).images, decode(net, "b", input_size=14).images)


def test_a_result_does_not_change_with_the_network():
    torch.manual_seed(0)
    net = Custom(lambda net, h: torch.relu(net.b(h)))
    decoded = decode(net, "d", input_size=14)
    before = contributions(decoded, 1).image.clone()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(1)  # as a training step would, in place
    assert torch.equal(contributions(decoded, 1).image, before)
    assert torch.equal(before, decoded.images[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_ranks_and_correlates(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 16, 3, bias=False)).to(dtype)
    images = torch.randn(2, 2, 70, 66, dtype=dtype)  # 16 x 68 x 64 units: more ranks than half precision can count
    result = compare(net, decode(net, "0", input_size=(70, 66)), images)
    assert (result.rank_correlation > 0.999).all() and (result.correlation > 0.999).all() and result.mean < 1e-5


def test_no_hook_and_no_mode_is_left_when_recording_fails():
    def fails(net, h):
        raise TypeError("two inputs, please")

    for net, size in ((Custom(fails), 14), (Custom(lambda net, h: h), 10**6)):
        net.train()
        with pytest.raises(ValueError, match="^input_size: the network does not take"):
            decode(net, "d", input_size=size)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
        assert all(m.training for m in net.modules()) and torch.is_grad_enabled()


def test_weights_may_be_buffers():
    net = Custom(lambda net, h: h)
    expected = decode(net, "d", input_size=14).images
    for conv in (net.a, net.b, net.d):
        for name in ("weight", "bias"):
            value = getattr(conv, name).data
            delattr(conv, name)
            conv.register_buffer(name, value)
    assert torch.equal(decode(net, "d", input_size=14).images, expected)


@pytest.mark.parametrize("own", [28, (28, 28), (3, 28, 28), "28", (2, 28, 28)])
def test_a_networks_own_size_is_used_only_where_it_makes_sense(own):
    net = Custom(lambda net, h: h)
    net.input_size = own
    assert decode(net, "d").images.shape == (3, 2, 5, 5)


def test_channels_can_be_given_where_another_convolution_is_registered_first():
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.stem = nn.Conv2d(4, 3, 3), nn.Conv2d(2, 4, 3)

        def forward(self, x):
            return self.head(self.stem(x))

    assert decode(HeadFirst(), "head", input_size=(2, 12, 15)).images.shape == (3, 2, 5, 5)


@pytest.mark.bad_input
def test_another_network_than_the_decoded_one_is_refused():
    decoded = decode(Custom(lambda net, h: h), "d", input_size=14)
    images = torch.randn(2, 2, 14, 14)
    narrower, strided = Custom(lambda net, h: h), Custom(lambda net, h: h)
    narrower.d = nn.Conv2d(4, 2, 3)
    strided.a = nn.Conv2d(2, 4, 3, stride=2)
    for other in (narrower, strided, Custom(lambda net, h: h).half(), nn.Sequential(nn.Conv2d(2, 3, 3))):
        with pytest.raises(ValueError, match="^model: .*expected the network the filters were decoded from"):
            compare(other, decoded, images)
    assert respond(decoded, images).shape == (2, 3, 10, 10)


def test_compare_takes_larger_images_in_smaller_batches():
    torch.manual_seed(0)
    net = Custom(lambda net, h: torch.relu(h))
    decoded = decode(net, "d", input_size=8)
    images = torch.randn(5, 2, 40, 36)
    whole, pieces = compare(net, decoded, images), compare(net, decoded, images, max_bytes=400_000)
    assert torch.allclose(whole.error, pieces.error, atol=1e-7)


def test_the_short_form_of_a_result_is_short():
    text = repr(decode(Custom(lambda net, h: h), "d", input_size=14))
    assert text == "DecodedFilters('d': 3 pictures of 2 x 5 x 5, stride 1, offset (0, 0), unpool 'nearest', scale 'none')"
