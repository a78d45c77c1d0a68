"""The gate matrix and the two paths: the oracles of the gates' spec (section 4, numbers 1 to 6 and 15), and toys on paper."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toy_gates import CHANNELS, HEIGHT, WIDTH, C, K, cnn, gates, pictures
from torch import Tensor, nn

from filterlens import models
from filterlens.lenses.gates import (
    GatedClassifier,
    Schedule,
    density_bounds,
    fixed_gates,
    l1_density,
    owners,
    penalty,
    project_gates,
    split_filters,
)

torch.set_num_threads(1)
METHODS = ("rescale", "euclid")
matrices = hnp.arrays("float64", hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-2, 2, width=16)).map(
    torch.from_numpy
)


# the feasible set


@given(matrices, st.sampled_from(METHODS))
def test_projections_end_in_the_set_and_stay_there(G: Tensor, method: str) -> None:
    found = project_gates(G, method=method)
    assert found.min() >= 0 and found.max() <= 1
    assert torch.equal(found.max(0).values, torch.ones(G.shape[1], dtype=G.dtype))
    assert torch.equal(project_gates(found, method=method), found)


@given(matrices)
def test_euclid_is_no_farther_than_rescale(G: Tensor) -> None:
    near, far = ((project_gates(G, method=method) - G).norm() for method in ("euclid", "rescale"))
    assert near <= far + 1e-12


@given(matrices, st.integers(0, 2**31))
def test_no_feasible_point_is_nearer_than_euclid(G: Tensor, seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    found = project_gates(G, method="euclid")
    for row in range(len(G)):  # the best with the one in this row, and a random neighbour of it
        other = G.clamp(0, 1)
        other[row] = 1.0
        assert (found - G).norm() <= (other - G).norm() + 1e-12
        nudged = (other + 0.1 * torch.randn(G.shape, generator=noise, dtype=G.dtype)).clamp(0, 1)
        nudged[row] = 1.0
        assert (found - G).norm() <= (nudged - G).norm() + 1e-12


def test_projections_on_paper() -> None:
    G = torch.tensor([[0.2, 1.5, -0.1, 0.0], [0.4, 1.2, -0.3, 0.0], [-0.2, 0.5, -0.2, 0.0]])
    rescaled = torch.tensor([[0.5, 1.0, 1.0, 1.0], [1.0, 0.8, 0.0, 0.0], [0.0, 1 / 3, 0.0, 0.0]])
    nearest = torch.tensor([[0.2, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0]])
    torch.testing.assert_close(project_gates(G), rescaled)
    # 1.5 is the largest of its column and becomes 1; 1.2 is clamped. Clamping first would have lost which was larger.
    torch.testing.assert_close(project_gates(G, method="euclid"), nearest)


def test_projecting_leaves_the_callers_tensor_alone() -> None:
    G = torch.tensor([[0.2, 3.0], [0.4, 0.0]], requires_grad=True)
    before = G.detach().clone()
    assert not project_gates(G).requires_grad
    assert torch.equal(G.detach(), before)


# density


def test_density_on_paper() -> None:
    assert l1_density(fixed_gates(10, 6, 4)) == pytest.approx(0.15625, abs=1e-12)
    assert l1_density(fixed_gates(10, 25, 6)) == pytest.approx(310 / 2560, abs=1e-9)
    assert l1_density(torch.ones(C, K)) == 1.0
    assert l1_density(torch.eye(7)) == pytest.approx(1 / 7)
    assert density_bounds(10, 64, 128) == pytest.approx((0.1, 0.2))
    assert density_bounds(6, 20, 24) == pytest.approx((1 / 6, 0.2))
    assert density_bounds(10, 64, 64)[0] == pytest.approx(density_bounds(10, 64, 64)[1])


@given(matrices, st.sampled_from(METHODS))
def test_density_of_feasible_gates_has_its_lower_bound(G: Tensor, method: str) -> None:
    density = l1_density(project_gates(G, method=method))
    assert 1 / len(G) - 1e-12 <= density <= 1


@given(matrices, st.floats(0, 1))
def test_no_penalty_if_and_only_if_the_density_is_below_its_bound(G: Tensor, share: float) -> None:
    G = project_gates(G)
    C, K = G.shape
    g = K + share * (C * K - K)
    inside = l1_density(G) <= density_bounds(max(C, 1), K, g)[1]
    assert inside == (float(penalty(G, g)) == 0) or abs(float(G.sum()) - g) < 1e-9


def test_fixed_gates_on_paper() -> None:
    expected = [[1, 1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1, 1]]
    assert fixed_gates(3, 2, 1).tolist() == expected
    assert split_filters(10, 64, 4) == (6, 4) and split_filters(10, 256, 6) == (25, 6)
    assert split_filters(10, 67, 4) == (6, 7)  # the remainder is shared


def test_penalty_has_the_papers_gradient() -> None:
    G = torch.tensor([[0.5, 0.0, 1.0], [1.0, 1.0, 0.0]], requires_grad=True)
    penalty(G, 3.0).backward()
    assert G.grad.tolist() == [[1, 0, 1], [1, 1, 0]]  # the sign of 0 is 0
    G.grad = None
    penalty(G, 3.5).backward()
    assert not G.grad.any()


def test_owners_take_the_first_of_equal_classes() -> None:
    table = torch.tensor([[0.1, 1.0, 0.0, 2.0], [0.7, 1.0, 0.0, -1.0], [0.3, 0.2, 0.0, 1.0]])
    assert owners(table).tolist() == [1, 0, 0, 0]


def test_schedule() -> None:
    assert [Schedule()(epoch) for epoch in range(7)] == [False, False, True, False, False, True, False]
    assert [Schedule(3, 2)(epoch) for epoch in range(6)] == [epoch % 3 >= 1 for epoch in range(6)]
    assert [Schedule(3, 2, 4)(epoch) for epoch in range(8)] == [False] * 5 + [True, True, False]
    assert not any(Schedule(3, 0)(epoch) for epoch in range(9))


# two paths


def by_hand(model: nn.Sequential, G: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """The CSG path one image at a time, gates on the maps before pooling."""
    logits = []
    for image, label in zip(images, labels, strict=True):
        maps = model[:4](image[None])[0]
        gated = torch.stack([G[label, k] * maps[k] for k in range(K)])
        logits.append(model[6].weight @ gated.mean((1, 2)) + model[6].bias)
    return torch.stack(logits)


def test_csg_path_is_the_papers() -> None:
    images, labels = pictures()
    G = gates().double()
    model = cnn(dtype=torch.float64)
    gated = GatedClassifier(model, C, gates=G).train()
    torch.testing.assert_close(gated(images.double(), labels), by_hand(model, G, images.double(), labels), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", [None, "2", "3", "4", "5"])
def test_gating_before_and_after_pooling_is_the_same(layer: str | None) -> None:
    images, labels = pictures()
    expected = GatedClassifier(cnn(), C, gates=gates()).csg(images, labels)
    found = GatedClassifier(cnn(), C, layer=layer, gates=gates()).csg(images, labels)
    torch.testing.assert_close(found, expected)


def test_open_gates_give_the_plain_network_bit_for_bit() -> None:
    images, labels = pictures()
    model = models.load("resnet20", pretrained=False).train()
    big = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for net, x, y, n in ((cnn(), images, labels, C), (model, big, torch.tensor([9, 0, 3, 3]), 10)):
        plain = copy.deepcopy(net)
        gated = GatedClassifier(net, n).train()  # 0.5 everywhere, which the projection makes 1
        assert torch.equal(gated(x, y), plain(x))
        gated.gated = False
        assert torch.equal(gated(x, y), plain(x))  # after the same first call, which moves the statistics


def test_labels_are_ignored_in_eval_and_on_plain_steps() -> None:
    images, labels = pictures()
    gated = GatedClassifier(cnn(), C, gates=gates())
    plain = cnn()(images)
    assert torch.equal(gated.eval()(images), plain) and torch.equal(gated.eval()(images, labels), plain)
    gated.train().gated = False
    assert torch.equal(gated(images), plain) and torch.equal(gated(images, labels), plain)
    gated.gated = True
    assert not torch.allclose(gated(images, labels), plain)


def test_blocked_filters_get_no_gradient() -> None:
    """dL/da_k = G_yk * (W^T (p - onehot))_k, held against the features' own gradient."""
    images, labels = pictures(6)
    G = fixed_gates(C, 1, 2).double()
    gated = GatedClassifier(cnn(dtype=torch.float64), C, gates=G, learned=False).train()
    seen = {}
    gated.model[5].register_forward_hook(lambda module, args, output: seen.update(a=output) or output.retain_grad())
    logits = gated(images.double(), labels)
    F.cross_entropy(logits, labels, reduction="sum").backward()
    wrong = logits.detach().softmax(1) - F.one_hot(labels, C)
    torch.testing.assert_close(seen["a"].grad, G[labels] * (wrong @ gated.model[6].weight.detach()))
    assert not seen["a"].grad[labels == 0][:, 1:3].any()


def test_classes_outside_of_the_batch_get_no_gradient_for_their_gates() -> None:
    images, labels = pictures()
    gated = GatedClassifier(cnn(), C, gates=gates()).train()
    few = labels != 1
    F.cross_entropy(gated(images[few], labels[few]), labels[few]).backward()
    assert not gated.gates.grad[1].any() and gated.gates.grad[[0, 2]].any()


def test_wrapping_changes_nothing_and_leaves_no_hook() -> None:
    model = cnn().eval()
    before, names = copy.deepcopy(model.state_dict()), [name for name, _ in model.named_parameters()]
    gated = GatedClassifier(model, C)
    assert not gated.training and gated.model is model and gated.n_classes == C
    images, labels = pictures()
    gated.csg(images, labels)
    with pytest.raises(ValueError, match="labels"):
        gated.csg(images, labels + 1)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [name for name, _ in gated.named_parameters()] == ["gates", *(f"model.{name}" for name in names)]


def test_a_head_of_several_linear_layers_needs_a_layer() -> None:
    body = [nn.Conv2d(CHANNELS, K, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(K, 4), nn.ReLU(), nn.Linear(4, C)]
    model = nn.Sequential(*body)
    with pytest.raises(ValueError, match="linear layer"):
        GatedClassifier(model, C)
    images, labels = pictures()
    gated = GatedClassifier(model, C, layer="1", gates=gates())
    expected = torch.stack(
        [model[3:](gates()[y][None, :, None, None] * model[:3](x[None]))[0] for x, y in zip(images, labels, strict=True)]
    )
    torch.testing.assert_close(gated.csg(images, labels), expected)


def test_a_module_that_runs_twice_or_never_is_refused() -> None:
    images, labels = pictures()
    shared = nn.ReLU()
    model = nn.Sequential(
        nn.Conv2d(CHANNELS, K, 3), shared, nn.Conv2d(K, K, 2), shared, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(K, C)
    )
    with pytest.raises(RuntimeError, match="layer: '1' ran 2 times"):
        GatedClassifier(model, C, layer="1", gates=gates()).csg(images, labels)
    model.unused = nn.Linear(K, K)
    model.forward = lambda x: nn.Sequential.forward(model[:7], x)
    with pytest.raises(RuntimeError, match="layer: 'unused' ran 0 times"):
        GatedClassifier(model, C, layer="unused", gates=gates()).csg(images, labels)
    with pytest.raises(ValueError, match="layer: '0' gave .* K = 1"):
        gated = GatedClassifier(cnn(), C, layer="4", gates=torch.ones(C, 1))
        gated.layer = "0"
        gated.csg(images, labels)


def test_gates_follow_the_networks_precision() -> None:
    assert GatedClassifier(cnn(dtype=torch.float64), C, gates=gates()).gates.dtype == torch.float64
    assert GatedClassifier(cnn(), C, gates=gates().double()).gates.dtype == torch.float32
    assert pictures()[0].shape[1:] == (CHANNELS, HEIGHT, WIDTH)
