"""The white-box attacks: bounds, plain re-implementations, the smallest distortion seen; what an attack leaves as it was."""

from __future__ import annotations

import subprocess
import sys

import adversarial_toys as toys
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from filterlens.lenses.adversarial import METHODS, WHITE_BOX, attack

QUICK = {
    "fgsm": {}, "pgd": {"steps": 3}, "cw": {"iterations": 8, "search_steps": 3, "initial_c": 1.0},
    "one_pixel": {"population": 12, "generations": 3}, "local_search": {"R": 4, "d": 1, "t": 2},
}  # fmt: skip


def run(method, *, model=None, images=None, labels=None, **options):
    model = toys.network() if model is None else model
    images = toys.pictures(7) if images is None else images
    labels = toys.predicted(model, images) if labels is None else labels
    return attack(model, images, labels, method=method, **{"normalization": toys.NORMALIZATION, **QUICK[method], **options})


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("eps", [0.031, 0.3])
def test_fgsm_is_its_formula(targeted, eps):
    images, model = toys.pictures(7), toys.network()
    found = run("fgsm", eps=eps, targeted=targeted)
    classes = found.targets if targeted else found.labels
    literal = toys.literal_step(model, images, classes, eps, targeted).clamp(0, 1)
    assert (found.images - literal).abs().max() < 1e-6
    assert found.distortion_linf.max() > eps - 1e-6


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize(("eps", "step", "steps"), [(0.031, None, 7), (0.2, 0.11, 4)])
def test_pgd_is_its_formula(targeted, eps, step, steps):
    images, model = toys.pictures(7), toys.network()
    found = run("pgd", eps=eps, step=step, steps=steps, targeted=targeted)
    classes = found.targets if targeted else found.labels
    literal = toys.literal_pgd(model, images, classes, eps, step or eps / 4, steps, targeted)
    assert (found.images - literal).abs().max() < 1e-6


@pytest.mark.parametrize("targeted", [True, False])
def test_pgd_with_one_full_step_is_fgsm(targeted):
    one = run("pgd", eps=0.05, step=0.05, steps=1, targeted=targeted)
    assert (one.images - run("fgsm", eps=0.05, targeted=targeted).images).abs().max() < 1e-6


@pytest.mark.parametrize("random_start", [True, False])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_bounds(method, random_start):
    images = toys.pictures(40).round(decimals=1)  # with exact zeros and ones
    images[:, :, 0] = torch.tensor([0.0, 1.0])[None, :, None]
    found = run(method, images=images, **({"random_start": random_start} if method == "pgd" else {}))
    assert (found.images - images).abs().max() <= 0.031 + 1e-6
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert torch.equal(found.distortion_linf, (found.images - images).abs().flatten(1).amax(1))
    torch.testing.assert_close(found.distortion_l2, (found.images - images).flatten(1).square().sum(1).sqrt())


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_loss_of_a_linear_model_moves_the_way_of_the_attack(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 4)).double()
    images = toys.pictures(9)
    labels = torch.arange(9) % 4

    def losses(x, classes):
        with torch.no_grad():
            return F.cross_entropy(toys.logits(model, x), classes, reduction="none")

    away = run(method, model=model, images=images, labels=labels, targeted=False)
    assert bool((losses(away.images, labels) > losses(images, labels)).all())
    towards = run(method, model=model, images=images, labels=labels, targeted=True)
    assert bool((losses(towards.images, towards.targets) < losses(images, towards.targets)).all())


class Watched(nn.Module):
    """Keeps every image it has been shown."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x):
        self.seen.append(toys.NORMALIZATION.invert(x.detach().float()))
        return self.model(x)


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_cw_returns_the_smallest_success_it_has_seen(targeted, seed):
    model, image = Watched(toys.network()), toys.pictures(1, seed=seed)
    label = toys.predicted(model.model, image)
    model.seen.clear()
    found = run("cw", model=model, images=image, labels=label, targeted=targeted, iterations=15, search_steps=3)
    seen = torch.cat(model.seen)
    said = toys.predicted(model.model, seen)
    good = said == found.targets if targeted else said != label
    distances = (seen - image).flatten(1).norm(dim=1)[good]
    assert len(distances) > 20 and bool(found.fooled.all())
    assert float(found.distortion_l2) == pytest.approx(float(distances.min()), abs=1e-5)


def test_cw_more_search_is_not_farther_and_failure_changes_nothing():
    short, long = run("cw", search_steps=1), run("cw", search_steps=5)
    assert bool(short.reached.any())
    assert bool((long.distortion_l2 <= short.distortion_l2 + 1e-6)[short.reached].all())
    hopeless = run("cw", initial_c=1e-6)
    assert not hopeless.fooled.any() and torch.equal(hopeless.images, toys.pictures(7))


def test_cw_keeps_the_margin_kappa():
    plain, sure = (run("cw", initial_c=10.0, iterations=25, search_steps=1, kappa=kappa) for kappa in (0.0, 0.8))
    with torch.no_grad():
        logits = toys.logits(toys.network(), sure.images)
    own = logits.gather(1, sure.targets[:, None])[:, 0]
    other = logits.scatter(1, sure.targets[:, None], float("-inf")).amax(1)
    assert bool(sure.reached.any()) and bool((own - other >= 0.8 - 1e-4)[sure.reached].all())
    both = sure.reached & plain.reached
    assert int(both.sum()) > 3 and sure.distortion_l2[both].sum() > plain.distortion_l2[both].sum()


def test_class_gradients_are_those_of_each_images_own_class():
    from filterlens.lenses.adversarial.pixels import Pixels
    from filterlens.lenses.adversarial.toolbox import Estimator

    model, images, classes = toys.network(), toys.pictures(7), torch.tensor([3, 0, 1, 1, 2, 3, 0])
    estimator = Estimator(Pixels(model, toys.NORMALIZATION), toys.SHAPE, 4, torch.device("cpu"), 3)
    found = estimator.class_gradient(images.numpy(), classes.numpy())
    x = images.double().requires_grad_()
    (literal,) = torch.autograd.grad(toys.logits(model, x).gather(1, classes[:, None]).sum(), x)
    assert found.shape == (7, 1, *toys.SHAPE) and np.abs(found[:, 0] - literal.numpy()).max() < 1e-6
    from art.estimators.classification import PyTorchClassifier

    assert np.abs(found - PyTorchClassifier.class_gradient(estimator, images.numpy(), classes.numpy())).max() < 1e-6


def test_targets_are_wrong_classes_drawn_evenly_and_by_seed():
    model, images = toys.network(), toys.pictures(900)
    labels = torch.arange(900) % 3
    a, b, c = (run("fgsm", model=model, images=images, labels=labels, seed=seed, batch=512).targets for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert not (a == labels).any()
    counts = torch.stack([(a[labels == y][:, None] == torch.arange(4)).sum(0) for y in range(3)])
    assert bool((counts[~torch.eye(4, dtype=torch.bool)[:3]] > 60).all()) and counts.sum() == 900
    assert run("fgsm", targeted=False).targets is None and run("fgsm", targeted=False).reached is None


def test_rates_count_images_that_were_right():
    model, images = toys.network(), toys.pictures(12)
    labels = toys.predicted(model, images)
    labels[:5] = (labels[:5] + 1) % 4
    found = run("fgsm", model=model, images=images, labels=labels, eps=0.2, targeted=False)
    right, wrong = toys.predicted(model, images) == labels, toys.predicted(model, found.images) != labels
    assert found.n_attacked == 7 and found.n_fooled == int((right & wrong).sum()) > 0
    assert found.success_rate == found.n_fooled / 7 and torch.equal(found.after != labels, wrong)
    nothing = run("fgsm", model=model, images=images, labels=(toys.predicted(model, images) + 1) % 4)
    assert nothing.n_attacked == 0 and np.isnan(nothing.success_rate)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_whatever_the_batch(method):
    whole, parts, again = run(method), run(method, batch=3), run(method, progress=True)
    assert (whole.images - parts.images).abs().max() < 1e-5 and torch.equal(whole.after, parts.after)
    assert torch.equal(whole.images, again.images)


@pytest.mark.parametrize("method", METHODS)
def test_normalization_happens_inside(method):
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = toys.network()

        def forward(self, x):
            return self.model(toys.NORMALIZATION.apply(x))

    assert torch.equal(run(method).images, run(method, model=Whole(), labels=run(method).labels, normalization=None).images)


class Breaks(nn.Module):
    def __init__(self, model, calls):
        super().__init__()
        self.model, self.calls = model, calls

    def forward(self, x):
        self.calls -= 1
        if self.calls < 0:
            raise RuntimeError("out of calls")
        return self.model(x)


@pytest.mark.parametrize("calls", [None, 3])
@pytest.mark.parametrize("method", METHODS)
def test_everything_of_the_callers_is_as_it_was(method, calls):
    inner = toys.network()
    model = Breaks(inner, 10**9 if calls is None else calls)
    labels = toys.predicted(inner, toys.pictures(7))
    model.train()
    inner[1].eval()
    inner[0].weight.requires_grad_(False)
    inner[4].weight.grad = torch.full_like(inner[4].weight, 0.5)
    seen = []
    inner[2].register_forward_hook(lambda *args: seen.append(0))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    modes, hooks = [m.training for m in model.modules()], [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()]
    needs, images = [p.requires_grad for p in model.parameters()], toys.pictures(7)
    np.random.seed(5)
    torch.manual_seed(5)
    if calls is None:
        run(method, model=model, images=images, labels=labels)
    else:
        with pytest.raises(RuntimeError, match="out of calls"):
            run(method, model=model, images=images, labels=labels)
    draws = np.random.rand(), torch.rand(())
    np.random.seed(5)
    torch.manual_seed(5)
    assert draws == (np.random.rand(), torch.rand(()))
    assert [m.training for m in model.modules()] == modes and [p.requires_grad for p in model.parameters()] == needs
    assert [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert bool((inner[4].weight.grad == 0.5).all()) and all(p.grad is None for p in model.parameters() if p is not inner[4].weight)
    assert torch.equal(images, toys.pictures(7)) and torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("method", ["pgd", "one_pixel", "local_search"])
def test_double_precision_pixels_that_did_not_move_keep_their_bits(method):
    images = toys.pictures(7).double() * 0.999 + 1e-11
    found = run(method, images=images)
    assert found.images.dtype == torch.float64
    if method != "pgd":
        moved = (found.images != images).any(1).flatten(1).sum(1)
        assert int(moved.max()) > 0 and int(moved.max()) <= (1 if method == "one_pixel" else 8)


def test_a_network_without_parameters_and_inference_mode():
    class First(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :4] * 5

    with torch.inference_mode():
        images = toys.pictures(5)
        found = run("fgsm", model=First(), images=images, labels=images.flatten(1)[:, :4].argmax(1), normalization=None, eps=0.5)
    assert found.n_attacked == 5 and found.n_fooled > 0


def test_the_settings_are_told_with_the_result():
    assert run("pgd").settings == {"eps": 0.031, "steps": 3, "step": 0.031 / 4, "random_start": False}
    assert run("pgd").method == "pgd" and run("fgsm").settings == {"eps": 0.031}
    assert set(WHITE_BOX) < set(METHODS)


def test_importing_the_lens_imports_no_attack_library():
    code = "import sys, filterlens.lenses.adversarial; sys.exit(any(name in sys.modules for name in ('art', 'sklearn', 'scipy.stats')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
