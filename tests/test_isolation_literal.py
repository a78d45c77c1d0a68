"""``isolate`` beside the paper's procedure word for word, problem by problem; batches, ends, restarts, the network afterwards."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from toy_networks import Custom, normal, stirred
from torch import nn

from filterlens.lenses.isolation import BALANCES, OPTIMIZERS, STARTS, InactiveKernelError, isolate, isolate_literally

solving = importlib.import_module("filterlens.lenses.isolation.solve")
C, R = nn.Conv2d, nn.ReLU
IMAGES = normal(3, 2, 11, 13)


def toy(seed: int = 0) -> nn.Module:
    layers = [C(2, 3, 3), nn.BatchNorm2d(3), R(inplace=True), C(3, 5, (3, 2), stride=2), R(inplace=True), C(5, 4, 2), nn.Flatten()]
    return stirred(nn.Sequential(*layers, nn.Linear(4 * 3 * 4, 6)), seed)


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("layer", "kernel", "lr"), [("3", 2, 0.5), ("0", 0, 10.0)])
def test_descent_is_the_literal_procedure(balance, momentum, layer, kernel, lr):
    options = {"alpha": 0.7, "beta": 0.3, "preserve": 1.3, "balance": balance, "lr": lr, "max_iter": 30, "start": "noise", "seed": 4}
    result = isolate(toy(), layer, kernel, IMAGES, optimizer="momentum" if momentum else "descent", on_inactive="skip", **options)
    shown = 0
    for p in torch.nonzero(~result.skipped)[:, 0].tolist():
        k, i = int(result.kernel[p]), int(result.image[p])
        noisy = {**options, "start": noise(i)}
        slow = isolate_literally(toy(), layer, k, IMAGES[i : i + 1], momentum=momentum, **noisy)
        torch.testing.assert_close(result.loss[p], slow.loss, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(result.images[p], slow.image, atol=1e-7, rtol=1e-6)
        torch.testing.assert_close(result.terms[p], slow.terms[slow.loss.argmin()], atol=1e-9, rtol=1e-7)
        shown += 1
    assert shown >= 2


def noise(i: int) -> torch.Tensor:
    drawn = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return (IMAGES + 0.1 * drawn)[i : i + 1]


def test_the_schedule_halves_and_ends_where_torch_s_does():
    """A smooth problem with one kernel and no regulariser: rounding cannot grow, so that the halvings fall on the same steps."""
    model = stirred(nn.Sequential(C(2, 1, 1), nn.Softplus()))
    image, options = IMAGES[:1, :, :3, :2], {"lr": 0.02, "balance": "mean", "max_iter": 400, "beta": 0.0, "start": "zeros"}
    slow = isolate_literally(model, "0", 0, image, **options)
    fast = isolate(model, "0", 0, image, optimizer="descent", **options)
    torch.testing.assert_close(fast.loss[0], slow.loss, atol=1e-9, rtol=1e-9)
    assert slow.converged == bool(fast.converged[0])
    assert int(fast.iterations[0]) == len(slow.loss) - 1


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_steps_are_torch_s_on_any_losses(momentum):
    """The same gradients and losses given to torch's SGD and ReduceLROnPlateau, for two problems with unlike plateaus."""
    optimizers = importlib.import_module("filterlens.lenses.isolation.optimizers")
    falls = torch.stack([torch.linspace(1, 0.9, 400).clamp(min=0.93), torch.linspace(1, 0.2, 400).clamp(min=0.7)], 1).double()
    losses = falls + 1e-3 * normal(400, 2).abs()
    gradients = normal(400, 2, 1, 2, 3)
    x = y = normal(2, 1, 2, 3, seed=1)
    ours, theirs = optimizers.Descent(x, 40.0, momentum), [p.clone().requires_grad_(True) for p in y]
    sgd = [torch.optim.SGD([p], lr=40.0, momentum=momentum) for p in theirs]
    plateau = [torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=50, eps=0.0) for o in sgd]
    for gradient, loss in zip(gradients, losses, strict=True):
        x = ours.step(x, gradient, loss)
        for p in range(2):
            theirs[p].grad = gradient[p]
            sgd[p].step()
            plateau[p].step(float(loss[p]))
    torch.testing.assert_close(x, torch.stack([p.detach() for p in theirs]))
    assert ours.lr.tolist() == [o.param_groups[0]["lr"] for o in sgd] and ours.lr[0] != ours.lr[1] and float(ours.lr.max()) < 40


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_problem_is_the_one_it_would_be_alone(optimizer):
    model, options = toy(), {"optimizer": optimizer, "max_iter": 25, "on_inactive": "skip"}
    together = isolate(model, "3", [4, 1], IMAGES, **options)
    for p in range(6):
        k, i = (4, 1)[p // 3], p % 3
        assert (int(together.kernel[p]), int(together.image[p])) == (k, i)  # kernel-major
        alone = isolate(model, "3", k, IMAGES[i : i + 1], **options)
        torch.testing.assert_close(together.images[p], alone.images[0], equal_nan=True)
        torch.testing.assert_close(together.loss[p], alone.loss[0] if not alone.skipped[0] else together.loss[p] * math.nan, equal_nan=True)
        torch.testing.assert_close(together.maps_after[p], alone.maps_after[0], equal_nan=True)


def test_chunks_change_nothing():
    whole, one = (isolate(toy(), "3", range(5), IMAGES, max_iter=12, on_inactive="skip", max_bytes=b) for b in (2**31, 1))
    for name in ("images", "loss", "terms", "maps_after"):
        torch.testing.assert_close(getattr(whole, name), getattr(one, name), equal_nan=True)


def test_a_problem_that_ends_leaves_the_others_running():
    model = stirred(nn.Sequential(C(2, 2, 1), R()))
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.copy_(torch.tensor([0.0, 3.0]))
    x = torch.stack([IMAGES[0].abs(), torch.zeros_like(IMAGES[0])])
    result = isolate(model, "0", 1, x, max_iter=60, alpha=0)  # black already is what it tends to
    assert int(result.iterations[1]) < 60 == int(result.iterations[0]) and bool(result.converged[1])
    assert result.loss[1, int(result.iterations[1]) + 1 :].isnan().all() and not result.loss[0].isnan().any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("start", [*STARTS, "given"])
def test_oracle_9_the_best_iterate_is_the_best_and_no_worse_than_the_start(optimizer, start):
    first = normal(3, 2, 11, 13, seed=8) if start == "given" else start
    result = isolate(toy(), "3", [1, 4], IMAGES, optimizer=optimizer, max_iter=15, start=first, on_inactive="skip")
    done = ~result.skipped
    assert result.start == start and bool(done.any())
    torch.testing.assert_close(result.best[done], torch.stack([row[~row.isnan()].min() for row in result.loss[done]]))
    torch.testing.assert_close(result.loss[done, 0], result.terms_start[done].sum(1))
    assert bool((result.best[done] <= result.loss[done, 0]).all())
    assert bool((torch.cummin(result.loss[done], 1).values.diff(dim=1) <= 0).all())
    again = isolate(toy(), "3", [1, 4], IMAGES, optimizer=optimizer, max_iter=1, start=result.images.nan_to_num(0)[3:], on_inactive="skip")
    torch.testing.assert_close(again.loss[3:, 0][done[3:]], result.best[3:][done[3:]])


def test_starts_are_what_they_are_called():
    first = {
        start: isolate(toy(), "3", 1, IMAGES, start=start, max_iter=1, lr=1e-12, seed=4, on_inactive="skip").images for start in STARTS
    }
    done = ~isolate(toy(), "3", 1, IMAGES, max_iter=1, on_inactive="skip").skipped
    expected = {
        "image": IMAGES,
        "zeros": IMAGES * 0,
        "grey": IMAGES.mean((2, 3), keepdim=True).expand_as(IMAGES),
        "noise": torch.cat([noise(i) for i in range(3)]),
    }
    for start in STARTS:
        torch.testing.assert_close(first[start][done], expected[start][done], atol=1e-9, rtol=0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_box_holds_channel_by_channel(optimizer):
    low, high = torch.tensor([-0.3, 0.1]).double(), torch.tensor([0.2, 0.4]).double()
    result = isolate(toy(), "3", [1, 4], IMAGES, optimizer=optimizer, max_iter=8, clamp=(low, high), on_inactive="skip")
    found = result.images[~result.skipped]
    assert bool((found >= low[:, None, None]).all() and (found <= high[:, None, None]).all())
    both = isolate(toy(), "3", [1, 4], IMAGES, optimizer=optimizer, max_iter=8, clamp=(-0.2, 0.3), on_inactive="skip").images[
        ~result.skipped
    ]
    assert float(both.min()) >= -0.2 and float(both.max()) <= 0.3


def test_the_proximal_step_leaves_exact_zeros_and_a_lower_loss_than_descent():
    fast = isolate(toy(), "3", [1, 4], IMAGES, on_inactive="skip")
    slow = isolate(toy(), "3", [1, 4], IMAGES, on_inactive="skip", optimizer="descent", max_iter=200)
    done = ~fast.skipped
    assert float((fast.images[done] == 0).double().mean()) > 0.2
    assert bool((fast.best[done] < slow.best[done]).all())


def test_an_inactive_kernel_is_named_or_skipped():
    model = toy()
    with torch.no_grad():
        model[3].bias[2] = -1e6
    with pytest.raises(InactiveKernelError, match="kernels: the map at '3' is zero for kernel 2 on image 0, kernel 2 on image 1") as caught:
        isolate(model, "3", [2], IMAGES)
    assert caught.value.pairs == [(2, 0), (2, 1), (2, 2)] and isinstance(caught.value, ValueError)
    result = isolate(model, "3", 2, IMAGES, on_inactive="skip", max_iter=3)
    assert bool(result.skipped.all()) and result.iterations.tolist() == [0, 0, 0] and not bool(result.converged.any())
    for name in ("images", "loss", "best", "terms", "terms_start", "maps_after"):
        assert getattr(result, name).isnan().all(), name
    assert result.measure().selectivity.isnan().all()


def spiky() -> nn.Module:
    """A network whose maps are not finite where the image's mean has left a band."""

    def forward(m, x):
        y = m.relu(m.conv(x))
        return y + torch.where(x.mean((1, 2, 3), keepdim=True).abs() > m.band, torch.inf, 0.0)

    model = Custom(forward, conv=C(2, 3, 3), relu=R())
    model.band = 1.0
    return stirred(Custom(lambda m, x: m.body(x), body=model))


def test_what_is_not_finite_goes_back_with_half_the_step():
    model = spiky()
    x = IMAGES[:1].abs()
    model.body.band = float(x.mean()) * 1.02
    options = {"optimizer": "descent", "start": "image", "max_iter": 10, "beta": 0.0}
    steep = isolate(model, "body", 0, x, lr=1.0, **options)
    probe = steep.loss[0]
    assert bool(probe.isfinite().all()) and not bool(steep.diverged[0])
    for lr, given_up in ((3e3, True), (3e1, None)):
        result = isolate(model, "body", 0, x, lr=lr, **options)
        lost = ~result.loss[0, : int(result.iterations[0]) + 1].isfinite()
        assert bool(result.images.isfinite().all()) and bool(result.best.isfinite().all())
        assert bool(result.diverged[0]) == (int(lost.sum()) > solving.RESTARTS)
        if given_up is not None:
            assert bool(result.diverged[0]) == given_up and int(lost.sum()) == solving.RESTARTS + 1


def state(model: nn.Module) -> list:
    tensors = [(t.data_ptr(), t._version, t.requires_grad, None if t.grad is None else t.grad.data_ptr()) for t in model.parameters()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    return [tensors, [b.clone().flatten().tolist() for b in model.buffers()], [m.training for m in model.modules()], hooks]


@pytest.mark.parametrize("ending", ["result", "inactive", "error inside"])
@pytest.mark.parametrize("how", ["fast", "literal"])
def test_oracle_12_the_network_leaves_as_it_came(ending, how):
    model = toy().train()
    model[1].eval()
    model[5].weight.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    images = IMAGES.clone()
    if ending == "inactive":
        with torch.no_grad():
            model[3].bias[1] = -1e6
    before = state(model)

    def run():
        if how == "fast":
            return isolate(model, "3", 1, images[:1], max_iter=3)
        return isolate_literally(model, "3", 1, images[:1], max_iter=3)

    if ending == "result":
        run()
    elif ending == "inactive":
        with pytest.raises(ValueError, match="kernels?: "):
            run()
    else:
        count = [0]

        def burst(module, args):
            count[0] += 1
            if count[0] == 5:
                raise ArithmeticError

        handle = model[0].register_forward_pre_hook(burst)
        with pytest.raises(ArithmeticError):
            run()
        handle.remove()
    assert state(model) == before and torch.equal(images, IMAGES)


def test_progress_does_not_change_the_result(capsys):
    quiet, loud = (isolate(toy(), "3", 1, IMAGES, max_iter=5, on_inactive="skip", progress=p) for p in (False, True))
    torch.testing.assert_close(quiet.images, loud.images, equal_nan=True)
    assert "isolating at 4" in capsys.readouterr().err


def test_half_of_the_memory_estimate_is_within_a_factor_of_what_the_forward_pass_keeps():
    isolating = importlib.import_module("filterlens.lenses.isolation.isolate")
    from filterlens.lenses.isolation import Point, Tap

    cost, maps = isolating._cost(Tap(toy().eval(), Point("4")), IMAGES[:1])
    kept = (2 * 11 * 13 + 2 * 3 * 9 * 11 + 5 * 4 * 5) * 8  # the image, what two layers and the ReLUs keep
    assert maps.shape == (1, 5, 4, 5) and 2 * kept < cost < 6 * kept + 14 * 8 * (2 * 11 * 13 + 5 * 4 * 5)
