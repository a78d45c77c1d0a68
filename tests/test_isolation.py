"""Isolation against oracles that need no optimiser: closed forms, identities of the loss, finite differences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_networks import normal, stirred
from torch import Tensor, nn

from filterlens.lenses.isolation import BALANCES, Tap, find_point, isolate, losses, selectivity

C, R = nn.Conv2d, nn.ReLU


def toy(bias: bool = True, seed: int = 0) -> nn.Module:
    """Two convolutions of unlike sizes, the second ReLU in place: images (2, 11, 13), maps (5, 4, 5) after it."""
    return stirred(nn.Sequential(C(2, 3, 3, bias=bias), R(), C(3, 5, (3, 2), stride=2, bias=bias), R(inplace=True), C(5, 4, 2)), seed)


def maps_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    return Tap(model, find_point(model, layer, example=images))(images)


IMAGES = normal(3, 2, 11, 13)


def by_loops(after: Tensor, before: Tensor, kernel: list[int], images: Tensor, balance: str) -> Tensor:
    """The three terms as eqs. 1-3 read, in Python."""
    rows = []
    for a, b, i, x in zip(after, before, kernel, images, strict=True):
        area = a.shape[1] * a.shape[2] if balance == "printed" else 1
        preserved = ((a[i] - b[i]) ** 2).sum().sqrt() / (area * (b[i] ** 2).sum().sqrt())
        rest = [j for j in range(len(a)) if j != i]
        below = sum(float(b[j].abs().sum()) for j in rest)
        suppressed = sum(float(a[j].abs().sum()) for j in rest) / (area * below) if below else 0.0
        rows.append([float(preserved), suppressed, float(x.abs().sum()) / (x.shape[1] * x.shape[2])])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("balance", BALANCES)
def test_the_terms_are_the_equations(balance):
    after, before, x, kernel = normal(3, 4, 5, 6), normal(3, 4, 5, 6, seed=1), normal(3, 2, 7, 8), torch.tensor([3, 0, 2])
    torch.testing.assert_close(losses(after, before, kernel, x, balance=balance), by_loops(after, before, [3, 0, 2], x, balance))


def test_oracle_1_nothing_to_do_leaves_the_image_alone():
    result = isolate(toy(), "2", [1, 3], IMAGES, alpha=0, beta=0, on_inactive="skip")
    active = ~result.skipped
    assert int(active.sum()) >= 4
    assert torch.equal(result.images[active], IMAGES[result.image[active]])
    assert result.best[active].tolist() == [0.0] * int(active.sum()) and bool(result.converged[active].all())
    measured = result.measure()
    torch.testing.assert_close(measured.ssim[active], torch.ones_like(measured.ssim[active]))
    assert measured.mse_selected[active].tolist() == [0.0] * int(active.sum())


@pytest.mark.parametrize("balance", BALANCES)
def test_oracle_2_the_terms_of_the_image_itself_and_of_black(balance):
    model = toy(bias=False)
    before = maps_of(model, "2", IMAGES)
    kernel = before.sum((2, 3)).argmax(1)
    share = 1 / (4 * 5) if balance == "printed" else 1.0
    same = losses(before, before, kernel, IMAGES, balance=balance)
    size = IMAGES.abs().sum((1, 2, 3)) / (11 * 13)
    torch.testing.assert_close(same, torch.stack([torch.zeros(3).double(), torch.full((3,), share).double(), size], 1))
    black = losses(maps_of(model, "2", IMAGES * 0), before, kernel, IMAGES * 0, balance=balance)
    torch.testing.assert_close(black, torch.tensor([[share, 0, 0]] * 3, dtype=torch.float64))


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 10_000), st.sampled_from(BALANCES))
def test_oracle_3_the_scale_of_the_activations_does_not_matter(c, seed, balance):
    after, before, x, kernel = normal(2, 3, 4, 5, seed=seed), normal(2, 3, 4, 5, seed=seed + 1), normal(2, 1, 6, 7), torch.tensor([2, 0])
    torch.testing.assert_close(losses(c * after, c * before, kernel, x, balance=balance), losses(after, before, kernel, x, balance=balance))


@pytest.mark.parametrize("c", [0.25, 7.0])
def test_oracle_3_without_biases_image_and_result_scale_together(c):
    model, x = toy(bias=False), normal(3, 2, 11, 13, seed=5)
    before = maps_of(model, "2", IMAGES)
    kernel = before.sum((2, 3)).argmax(1)
    once = losses(maps_of(model, "2", x), before, kernel, x)
    scaled = losses(maps_of(model, "2", c * x), maps_of(model, "2", c * IMAGES), kernel, c * x)
    torch.testing.assert_close(scaled, once * torch.tensor([1, 1, c], dtype=torch.float64))


def test_oracle_5_one_by_one_orthonormal_kernels_give_the_projection():
    directions = torch.linalg.qr(normal(3, 3)).Q.T.contiguous()
    model = nn.Sequential(C(3, 3, 1, bias=False)).double()
    model[0].weight.data = directions[:, :, None, None]
    x = normal(2, 3, 5, 6)
    result = isolate(model, "0", [0, 2], x, beta=0, pre_activation=True, max_iter=500, lr=0.02)
    for p, (k, i) in enumerate(zip(result.kernel.tolist(), result.image.tolist(), strict=True)):
        projection = directions[k][:, None, None] * torch.einsum("c,chw->hw", directions[k], x[i])
        assert float((result.images[p] - projection).abs().max()) < 2e-3
        aim = losses(maps_of_all(model, projection[None]), maps_of_all(model, x[i : i + 1]), torch.tensor([k]), projection[None])
        assert float(aim[0, :2].max()) < 1e-12  # the oracle is a minimiser: both terms vanish


def maps_of_all(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).detach()


def primaries() -> nn.Module:
    model = nn.Sequential(C(3, 3, 1, bias=False), R()).double()
    model[0].weight.data = torch.eye(3).double()[:, :, None, None]
    return model


def test_oracle_6_isolating_green_gives_green():
    x = 0.2 + 0.5 * torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = isolate(primaries(), "0", 1, x, max_iter=300)
    red, green, blue = result.images[0]
    assert torch.equal(red, torch.zeros_like(red)) and torch.equal(blue, torch.zeros_like(blue))  # the soft threshold: exactly
    assert float((green - x[0, 1]).norm() / x[0, 1].norm()) < 0.02


@pytest.mark.parametrize(("rms", "kept"), [(0.56, True), (1.45, False)])
def test_oracle_6_preservation_holds_while_beta_times_rms_is_below_one(rms, kept):
    x = 0.5 + torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x * (rms / x[:, 1].square().mean().sqrt())
    result = isolate(primaries(), "0", 1, x, max_iter=300)
    assert (float(result.measure().preservation) < 0.05) == kept
    assert kept or float(result.measure().preservation) > 0.5


def test_oracle_7_a_twin_cannot_be_silenced():
    model = stirred(nn.Sequential(C(2, 3, 3, bias=False), R()))
    with torch.no_grad():
        model[0].weight[2] = model[0].weight[0]
    before = model(IMAGES).detach()
    result = isolate(model, "0", 0, IMAGES, beta=0)
    bound = before[:, 0].sum((1, 2)) / before[:, 1:].sum((1, 2, 3))
    preserved, suppressed = result.terms[:, 0], result.terms[:, 1]
    # ||F^_0||_1 >= ||F_0||_1 - sqrt(WH) ||F^_0 - F_0||_2, and the twin has the same map
    slack = preserved * before[:, 0].flatten(1).norm(dim=1) * (9 * 11) ** 0.5 / before[:, 1:].sum((1, 2, 3))
    assert bool((suppressed >= bound - slack - 1e-9).all()) and float((preserved).max()) < 1
    exact = losses(before * torch.tensor([1.0, 0, 1])[:, None, None], before, torch.zeros(3, dtype=torch.long), IMAGES)
    torch.testing.assert_close(exact[:, 1], bound)


@pytest.mark.parametrize("balance", BALANCES)
def test_oracle_8_gradients_are_those_of_finite_differences(balance):
    before, after, x, kernel = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1), normal(2, 2, 3, 4, seed=2), torch.tensor([2, 0])
    inputs = after.requires_grad_(True), x.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a, y: losses(a, before, kernel, y, balance=balance), inputs, eps=1e-7, atol=1e-5)


def test_oracle_8_through_a_network():
    model, image = toy(), IMAGES[:1, :, :7, :8]
    before = maps_of(model, "2", image).detach()
    kernel = before.sum((2, 3)).argmax(1)
    x = (image + 0.3 * normal(1, 2, 7, 8, seed=9)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda y: losses(maps_of(model, "2", y), before, kernel, y).sum(), (x,), eps=1e-7, atol=1e-4)


def test_the_gradient_of_an_exactly_kept_map_is_zero():
    maps = normal(1, 3, 4, 5).requires_grad_(True)
    preserved = losses(maps, maps.detach().clone(), torch.tensor([1]), normal(1, 2, 3, 3))[0, 0]
    assert torch.equal(torch.autograd.grad(preserved, maps)[0], torch.zeros_like(maps))


def test_a_silent_rest_and_a_single_kernel_cost_nothing():
    before = torch.zeros(2, 3, 4, 5).double()
    before[:, 1] = normal(2, 4, 5).abs()
    loud = before + 1
    assert losses(loud, before, torch.tensor([1, 1]), normal(2, 1, 3, 3))[:, 1].tolist() == [0, 0]
    single = normal(2, 1, 4, 5)
    assert losses(single + 1, single, torch.tensor([0, 0]), normal(2, 1, 3, 3))[:, 1].tolist() == [0, 0]
    model = stirred(nn.Sequential(C(2, 1, 3), R()))
    result = isolate(model, "0", 0, IMAGES, on_inactive="skip", max_iter=40)
    done = ~result.skipped
    assert result.terms[done, 1].tolist() == [0.0] * int(done.sum()) and bool((result.best[done] <= result.terms_start[done].sum(1)).all())


@pytest.mark.parametrize("model", [nn.Sequential(C(2, 4, 3, groups=2), R()), nn.Sequential(C(2, 2, (3, 2), groups=2), R())])
def test_in_grouped_and_depthwise_layers_the_others_are_all_other_channels(model):
    model = stirred(model)
    before = model(IMAGES).detach()
    kernel = torch.full((3,), int((before.sum((2, 3)) > 0).all(0).nonzero()[0]))
    result = isolate(model, "0", int(kernel[0]), IMAGES, beta=0.01, max_iter=60)
    expected = by_loops(model(result.images).detach(), before, kernel.tolist(), result.images, "mean")
    torch.testing.assert_close(result.terms, expected * torch.tensor([1, 1, 0.01], dtype=torch.float64))
    assert selectivity(result.maps_after, before, kernel).selectivity.mean() > result.measure().selectivity_before.mean()


def test_a_linear_layer_is_maps_of_one_unit():
    model = stirred(nn.Sequential(C(2, 3, 3), R(), nn.Flatten(), nn.Linear(3 * 9 * 11, 5), R()))
    result = isolate(model, "3", range(5), IMAGES, on_inactive="skip", max_iter=30)
    assert result.maps_before.shape == (3, 5, 1, 1) and result.selected_after.shape == (15, 1, 1)
    done = ~result.skipped
    assert 0 < int(done.sum()) and bool(result.measure().ssim.isnan().all())
    start = result.terms_start[done].sum(1)
    assert bool((result.best[done] <= start).all()) and bool((result.best[done] < start).any())
