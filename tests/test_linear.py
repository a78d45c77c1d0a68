"""The linear part of a network: unpooling, recording, and the two walks, against each other and against autograd."""

from __future__ import annotations

import sys
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toy_networks import ZOO, Custom, build, forward_to, gradient, normal, placed, relative

from filterlens.linear import MODES, Rule, trace, unpool, walk
from filterlens.linear import steps as linear_steps
from filterlens.linear.patches import Patch, added, spread
from filterlens.linear.walk import one_hot, plan, walk_down, walk_up

EXACT = 1e-12
few = settings(max_examples=25, deadline=None)
sides, factors, seeds = st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**31 - 1)


# unpooling


@pytest.mark.parametrize("mode", MODES)
@given(h=sides, w=sides, fy=factors, fx=factors, value=st.floats(-100, 100))
@few
def test_unpooling_keeps_a_constant_picture(mode, h, w, fy, fx, value):
    enlarged = unpool(torch.full((2, 3, h, w), value, dtype=torch.float64), (fy, fx), mode)
    assert enlarged.shape == (2, 3, h * fy, w * fx)
    assert torch.allclose(enlarged, torch.full_like(enlarged, value), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@given(h=sides, w=sides, fy=factors, fx=factors, seed=seeds)
@few
def test_unpooling_is_linear(mode, h, w, fy, fx, seed):
    a, b = normal(2, 2, 3, h, w, seed=seed)
    both = unpool(2 * a - 3 * b, (fy, fx), mode)
    assert torch.allclose(both, 2 * unpool(a, (fy, fx), mode) - 3 * unpool(b, (fy, fx), mode), atol=1e-12)


@given(h=sides, w=sides, fy=factors, fx=factors, seed=seeds)
@few
def test_nearest_unpooling_repeats_values_and_multiplies_sums(h, w, fy, fx, seed):
    z = normal(2, 3, h, w, seed=seed)
    enlarged = unpool(z, (fy, fx), "nearest")
    for y in range(h * fy):
        for x in range(w * fx):
            assert torch.equal(enlarged[:, :, y, x], z[:, :, y // fy, x // fx])
    assert torch.allclose(enlarged.sum((2, 3)), fy * fx * z.sum((2, 3)), atol=1e-12)


@given(h=sides, w=sides, fy=factors, fx=factors, seed=seeds)
@few
def test_interpolation_equals_torch_where_torch_has_it(h, w, fy, fx, seed):
    z, size = normal(2, 3, h, w, seed=seed), (h * fy, w * fx)
    assert torch.allclose(unpool(z, (fy, fx), "nearest"), F.interpolate(z, size, mode="nearest"))
    assert torch.allclose(unpool(z, (fy, fx), "bilinear"), F.interpolate(z, size, mode="bilinear", align_corners=False), atol=1e-12)
    theirs = F.interpolate(z, size, mode="bicubic", align_corners=False)
    assert torch.allclose(unpool(z, (fy, fx), "bicubic", a=-0.75), theirs, atol=1e-10)


def test_bicubic_by_hand():
    """Factor 2 looks at +-1/4 of a pixel: Keys' kernel with a = -1/2 gives (-9, 111, 29, -3) / 128 at -5/4 ... 7/4."""
    row = torch.tensor([[[[1.0, 0, 0, 0, 4, 0, 0, 0]]]], dtype=torch.float64)
    enlarged = unpool(row, (1, 2), "bicubic")[0, 0, 0] * 128
    # the 4 at pixel 4 lies 1.75, 1.25, 0.75, 0.25 pixels away from new pixels 5 ... 8, and the same mirrored
    assert torch.allclose(enlarged[5:13], 4 * torch.tensor([-3.0, -9, 29, 111, 111, 29, -9, -3], dtype=torch.float64))
    # left of the border the first pixel is repeated: it gathers the shares of pixels -1 and -2 as well
    assert torch.allclose(enlarged[:4], torch.tensor([111.0 + 29 - 3, 111 - 9, 29 - 3, -9], dtype=torch.float64))
    assert torch.allclose(enlarged[4], torch.tensor(-3.0, dtype=torch.float64))


# spreading, patches


@pytest.mark.parametrize(("groups", "stride"), [(1, (1, 1)), (1, (2, 3)), (2, (3, 1)), (4, (1, 2))])
def test_spread_is_the_transposed_convolution(groups, stride):
    c, o, i, h, w, kh, kw = 4, 12, 2, 5, 6, 3, 2
    bank, weight = normal(c, i, h, w), normal(o, c // groups, kh, kw, seed=1)
    found = spread(bank, weight, stride, groups)
    assert found.shape == (o, i, h + (kh - 1) * stride[0], w + (kw - 1) * stride[1])
    for k in range(o):
        first = k // (o // groups) * (c // groups)
        expected = F.conv_transpose2d(bank[first : first + c // groups].transpose(0, 1), weight[k][:, None], stride=1, dilation=stride)
        assert torch.allclose(found[k], expected[:, 0], atol=1e-12)


def test_patches_are_added_where_they_lie():
    total = added([Patch(torch.ones(1, 1, 2, 3), top=-1, left=2), Patch(10 * torch.ones(1, 1, 1, 2), top=1, left=1)])
    assert (total.top, total.left) == (-1, 1)
    assert total.values[0, 0].tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [10, 10, 0, 0]]


def test_patches_of_different_strides_do_not_meet():
    with pytest.raises(ValueError, match="strides"):
        added([Patch(torch.ones(1, 1, 1, 1), stride=(1, 1)), Patch(torch.ones(1, 1, 1, 1), stride=(2, 2))])


# the two walks and autograd


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("scale", ["none", "sum"])
def test_walking_up_and_down_agree(name, scale):
    model, layer, size = build(name)
    recorded, rule = trace(model, layer, size), Rule("nearest", scale)
    kernels = [recorded.channels[1] - 1, 0, 2]
    up, down = walk_up(recorded, kernels, rule), walk_down(recorded, recorded.target, one_hot(recorded, recorded.target, kernels), rule)[0]
    assert (up.top, up.left, up.values.shape) == (down.top, down.left, down.values.shape)
    assert relative(up.values, down.values) < EXACT


@pytest.mark.parametrize("name", ZOO)
def test_the_walk_is_the_gradient_of_the_linearised_network(name):
    model, layer, size = build(name)
    recorded = trace(model, layer, size)
    kernels = [1, 3, 0]
    patch = walk(recorded, kernels, Rule("nearest", "sum"), max_bytes=2**28)
    rows, columns = recorded.size(*size[1:])
    unit = (rows // 2, columns // 2)  # far from the border wherever positions are not fixed
    s = recorded.stride
    corner = (unit[0] * s + patch.top, unit[1] * s + patch.left)
    for picture, kernel in zip(patch.values, kernels, strict=True):
        found = gradient(model, layer, kernel, size, unit)
        assert relative(placed(picture, corner, size), found) < EXACT


@pytest.mark.parametrize("name", ZOO)
def test_the_record_knows_the_size_of_the_map(name):
    model, layer, size = build(name)
    recorded = trace(model, layer, size)
    images = normal(1, *size)
    assert recorded.size(*size[1:]) == tuple(forward_to(model, layer, images).shape[2:])


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("mode", MODES)
def test_the_plan_knows_the_extent_of_every_field(name, mode):
    model, layer, size = build(name)
    recorded, rule = trace(model, layer, size), Rule(mode, "none")
    fields = plan(recorded, 2, rule).fields
    kept = walk_down(recorded, recorded.target, one_hot(recorded, recorded.target, [0, 1]), rule, keep=True)
    for node, patch in kept.items():
        top, left, bottom, right = fields[node]
        assert (patch.top, patch.left) == (top, left)
        assert patch.values.shape == (2, recorded.widths[node], bottom - top, right - left)


def test_chunks_of_kernels_give_the_same_pictures():
    model, layer, size = build("dense")
    recorded = trace(model, layer, size)
    for rule in (Rule("nearest"), Rule("bilinear", "sum")):
        one = plan(recorded, 1, rule).bytes_down
        whole, parts = (walk(recorded, [5, 0, 3, 1], rule, max_bytes=b) for b in (2**28, 2 * one))
        assert relative(parts.values, whole.values) < EXACT


def test_the_budget_decides_the_order(monkeypatch):
    model, layer, size = build("overlapping pool")
    recorded, kernels = trace(model, layer, size), [0, 1, 2, 3]
    costs = plan(recorded, 4, Rule())
    assert costs.flops_up < costs.flops_down and costs.bytes_up > 1000
    room = sys.modules["filterlens.linear.walk"]  # the package has a function of that name
    monkeypatch.setattr(room, "plan", lambda *a: replace(costs, bytes_up=costs.bytes_down + 1))
    expected = walk(recorded, kernels, Rule(), max_bytes=2**28).values  # upwards
    monkeypatch.setattr(room, "walk_up", None)
    assert relative(walk(recorded, kernels, Rule(), max_bytes=costs.bytes_down).values, expected) < EXACT


class Held(TorchDispatchMode):
    """The most bytes that results of operations inside hold at one time."""

    now = peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage.nbytes() and storage not in self.seen:
                self.seen.add(storage)
                weakref.finalize(storage, self.free, storage.nbytes())
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
        return result

    def __enter__(self):
        self.seen = weakref.WeakSet()
        return super().__enter__()

    def free(self, size):
        self.now -= size


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("rule", [Rule("nearest"), Rule("nearest", "sum"), Rule("bicubic")], ids=["nearest", "sum", "bicubic"])
def test_working_memory_stays_within_the_plan(name, rule):
    model, layer, size = build(name)
    recorded = trace(model, layer, size)
    kernels = list(range(recorded.channels[1]))
    costs = plan(recorded, len(kernels), rule)
    with Held() as down, torch.no_grad():
        walk_down(recorded, recorded.target, one_hot(recorded, recorded.target, kernels), rule)
    assert down.peak <= costs.bytes_down * len(kernels)
    if rule.mode == "nearest":
        with Held() as up, torch.no_grad():
            walk_up(recorded, kernels, rule)
        assert up.peak <= costs.bytes_up


def test_overlapping_pools_are_undone_in_the_middle_of_their_windows():
    model = nn.Sequential(nn.MaxPool2d((5, 4), 2, padding=(1, 0)), nn.Conv2d(1, 1, (1, 2), bias=False)).double()
    model[1].weight.data[:] = torch.tensor([1.0, 3.0])
    patch = walk(trace(model, "1", (1, 20, 20)), [0], Rule(), max_bytes=2**20)
    # rows -1 ... 3 are seen, of which 0 and 1 lie in the middle; columns 0 ... 3 and 2 ... 5, of which 1, 2 and 3, 4
    assert (patch.top, patch.left) == (0, 1)
    assert patch.values[0, 0].tolist() == [[1, 1, 3, 3], [1, 1, 3, 3]]


# recording


def test_a_record_stops_at_the_layer_and_leaves_the_model_alone():
    def forward(m, x):
        return m.never(m.relu(m.first(x)))

    model = Custom(forward, first=nn.Conv2d(2, 3, 3), relu=nn.ReLU(), never=nn.Conv2d(99, 1, 1))  # would fail if it were run
    model.train()
    model.relu.eval()
    recorded = trace(model, "first", (2, 7, 9))
    assert [s.kind for s in recorded.steps] == ["convolution"]
    assert (recorded.channels, recorded.stride, recorded.size(7, 9)) == ((2, 3), 1, (5, 7))
    assert (model.training, model.first.training, model.relu.training) == (True, True, False)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_work_beside_the_path_is_left_out():
    model, layer, size = build("inception")
    recorded = trace(model, "three", size)
    assert [s.name for s in recorded.steps] == ["three"]


def refusing(forward, **layers):
    return Custom(forward, first=nn.Conv2d(2, 4, 3), last=nn.Conv2d(4, 5, 2), **layers)


def _gated(m, x):
    x = m.first(x)
    return m.last(x * torch.sigmoid(m.squeeze(x.mean((2, 3), keepdim=True))))


def _attention(m, x):
    x = m.first(x)
    q = x.flatten(2)
    return m.last((torch.softmax(q @ q.transpose(1, 2), -1) @ q).reshape(x.shape))


REFUSED = {
    "squeeze-excite": (lambda: refusing(_gated, squeeze=nn.Conv2d(4, 4, 1)), "squeeze-excite"),
    "attention": (lambda: refusing(_attention), "reshape"),
    "group norm": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 5, 2)), "'1'.*group_norm"),
    "layer norm": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.LayerNorm([4, 10, 12]), nn.Conv2d(4, 5, 2)), "'1'.*layer_norm"),
    "instance norm": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 5, 2)), "'1'.*instance_norm"),
    "bn by batch": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 5, 2)),
        "'1'.*running statistics",
    ),
    "dilated max-pool": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2, dilation=2), nn.Conv2d(4, 5, 2)), "'1'.*dilation"),
    "uneven adaptive pool": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(7), nn.Conv2d(4, 5, 2)), "'1'.*adaptive"),
    "square": (lambda: refusing(lambda m, x: m.last(m.first(x) ** 2)), "pow"),
    "product with itself": (lambda: refusing(lambda m, x: m.last(m.first(x) * m.first(x))), "product"),
    "product with a picture": (lambda: refusing(lambda m, x: m.last(m.first(x) * torch.ones(10, 12))), "per channel"),
    "pixel shuffle": (lambda: refusing(lambda m, x: m.last(F.pixel_shuffle(m.first(x), 2).repeat(1, 4, 1, 1))), "pixel_shuffle|repeat"),
    "mean over channels": (lambda: refusing(lambda m, x: m.last(m.first(x).mean(1, keepdim=True).expand(1, 4, 10, 12))), "mean|expand"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_linear_part_is_refused_by_name(name):
    make, message = REFUSED[name]
    recorded = trace(make().eval(), "2" if "2" in dict(make().named_modules()) else "last", (2, 12, 14))
    with pytest.raises(ValueError, match="model: cannot decode through.*" + message):
        walk(recorded, [0], Rule(), max_bytes=2**28)


def test_what_is_refused_does_not_matter_above_the_layer():
    model = refusing(_gated, squeeze=nn.Conv2d(4, 4, 1))
    assert walk(trace(model, "first", (2, 12, 14)), [0], Rule(), max_bytes=2**28).values.shape == (1, 2, 3, 3)


def test_a_gain_is_taken_to_be_one_on_request():
    model = refusing(_gated, squeeze=nn.Conv2d(4, 4, 1)).double()
    plain = nn.Sequential(model.first, model.last)
    found, expected = (
        walk(trace(m, name, (2, 12, 14)), [2, 0], Rule(gain="one"), max_bytes=2**28).values for m, name in ((model, "last"), (plain, "1"))
    )
    assert torch.equal(found, expected)


def test_strides_that_differ_by_axis_are_refused():
    model = nn.Sequential(nn.Conv2d(2, 3, 3, stride=(1, 2)))
    with pytest.raises(ValueError, match="stride"):
        _ = trace(model, "0", (2, 9, 9)).stride


def test_every_step_is_met_by_some_toy():
    """The zoo stands for all of ``steps.py``."""
    kinds = {type(s) for name in ZOO for s in (lambda m, layer, size: trace(m, layer, size).steps)(*build(name))}
    concrete = {
        linear_steps.Add, linear_steps.Scale, linear_steps.Convolution, linear_steps.AveragePool, linear_steps.MaxPool,
        linear_steps.Concatenate, linear_steps.Select, linear_steps.Pad, linear_steps.Flatten,
    }  # fmt: skip
    assert kinds == concrete
