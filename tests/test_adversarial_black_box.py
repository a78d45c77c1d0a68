"""One pixel and local search: what they may change, what they ask of the network, the paper's algorithm pixel by pixel."""

from __future__ import annotations

import adversarial_toys as toys
import pytest
import torch
from torch import nn

from filterlens.lenses.adversarial import attack
from filterlens.lenses.adversarial.attack import _seed
from filterlens.lenses.adversarial.local_search import _cyclic

PAPER = {"p": 10.0, "r": 1.5, "d": 5, "t": 5, "R": 150, "k": 1, "exclude": 30, "adapt": True}


def run(method, model, images, labels=None, **options):
    labels = toys.predicted(model, images) if labels is None else labels
    return attack(model, images, labels, method=method, normalization=toys.NORMALIZATION, **options)


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"k": 2}, {"d": 1, "t": 2, "R": 9}, {"d": 1, "t": 2, "exclude": 2, "R": 12}, {"exclude": 0, "d": 2, "R": 6},
        {"p": 0.4, "adapt": False, "t": 1, "R": 20, "d": 1}, {"r": 0.2, "t": 3, "R": 5, "d": 1},
        {"p": 0.02, "t": 1, "d": 1, "exclude": 1, "R": 25},
    ],
)  # fmt: skip
@pytest.mark.parametrize("gain", [0.6, 2.0])
def test_local_search_is_the_papers_algorithm(settings, gain):
    model, images = toys.network(seed=4, gain=gain), toys.pictures(4, seed=2)
    labels = toys.predicted(model, images)
    chosen = {**PAPER, **settings}
    found = run("local_search", model, images, labels, **settings, seed=11)
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        literal, _ = toys.literal_local_search(model, image, label, **chosen, seed=_seed(11, i))
        assert (found.images[i] - literal).abs().max() < 1e-6
        assert bool((found.images[i] != image).any())


def test_the_comparison_covers_success_failure_and_several_rounds():
    model, images = toys.network(seed=4, gain=0.6), toys.pictures(12, seed=2)
    labels = toys.predicted(model, images)
    few = {**PAPER, "d": 1, "t": 2, "R": 9}
    pairs = enumerate(zip(images, labels.tolist(), strict=True))
    rounds = [toys.literal_local_search(model, image, label, **few, seed=i)[1] for i, (image, label) in pairs]
    found = run("local_search", model, images, labels, d=1, t=2, R=9)
    assert 0 < found.n_fooled < 12 and len(set(rounds)) > 2


def test_cyclic_stays_within_the_range():
    value = torch.linspace(-0.5, 0.5, 41)
    for r in (0.0, 0.5, 1.0, 1.5, 2.0):
        turned = _cyclic(r * value)
        assert turned.abs().max() <= 0.5 + 1e-7
        assert bool((((turned - r * value).round() - (turned - r * value)).abs() < 1e-6).all())


def test_local_search_bounds_rounds_pixels_and_queries():
    model, images = toys.network(gain=0.01), toys.pictures(3)
    shown = []
    model.register_forward_pre_hook(lambda module, args: shown.append(len(args[0])))
    labels = toys.predicted(model, images)
    shown.clear()
    found = run("local_search", model, images, labels, R=4, t=2, d=1, candidates=3, batch=2)
    moved = (found.images != images).any(1).flatten(1).sum(1)
    assert bool((moved <= 8).all()) and found.images.min() >= 0 and found.images.max() <= 1
    assert max(shown) <= 2 and sum(shown) <= 3 * 4 * (3 + 1) + 3 + 3 + 1


def test_excluded_pixels_end_the_search_when_none_is_left():
    class Constant(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :4] * 0 + torch.tensor([0.3, 0.1, 0.0, 0.2])

    images = toys.pictures(2)
    found = attack(Constant(), images, torch.zeros(2, dtype=torch.long), method="local_search", exclude=10**6)
    assert found.n_attacked == 2 and found.n_fooled == 0
    assert bool(((found.images != images).any(1).flatten(1).sum(1) <= 30).all())


def test_one_pixel_changes_one_pixel_to_a_value_in_255ths():
    model, images = toys.network(gain=2.0), toys.pictures(12)
    found = run("one_pixel", model, images, population=40, generations=10)
    moved = (found.images != images).any(1).flatten(1)
    assert bool((moved.sum(1) == found.fooled.long()).all()) and 0 < found.n_fooled < 12
    values = found.images.flatten(2).transpose(1, 2)[moved] * 255
    assert (values - values.round()).abs().max() < 1e-3 and values.min() >= 0 and values.max() <= 255
    two = run("one_pixel", model, images, population=40, generations=10, pixels=2)
    assert int((two.images != images).any(1).flatten(1).sum(1).max()) == 2


def test_one_pixel_asks_for_no_more_than_its_population_each_generation():
    model, images = toys.network(gain=0.01), toys.pictures(1)
    label, shown = toys.predicted(model, images), []
    model.register_forward_pre_hook(lambda module, args: shown.append(len(args[0])))
    assert run("one_pixel", model, images, label, population=23, generations=6).n_fooled == 0
    assert sum(n for n in shown if n > 1) == 20 * 7  # four unknowns: 23 is rounded to 20, the first population and six generations


@pytest.mark.parametrize("method", ["one_pixel", "local_search"])
def test_black_box_leaves_alone_what_is_wrong_already_and_sees_no_gradient(method):
    model, images = toys.network(), toys.pictures(6)
    labels = toys.predicted(model, images)
    labels[1] = (labels[1] + 1) % 4
    grads = []
    model.register_forward_hook(lambda module, args, output: grads.append(output.requires_grad or args[0].requires_grad))
    found = run(method, model, images, labels, **({"generations": 3} if method == "one_pixel" else {"R": 3}))
    assert torch.equal(found.images[1], images[1]) and found.n_attacked == 5 and found.targets is None
    assert not any(grads)


def test_one_pixel_depends_on_its_own_seed_alone():
    model, images = toys.network(gain=2.0), toys.pictures(5)
    a, b, c = (run("one_pixel", model, images, population=12, generations=3, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    found = run("local_search", model, images[:3], R=2, d=1)
    assert torch.equal(found.images, run("local_search", model, images, R=2, d=1).images[:3])
