"""Isolation to the loss that the paper's procedure and a tuned descent reach, end to end; attribution beside the libraries called plainly.

The literal procedure runs one problem at a time through the whole network: its time is that of ``TIMED`` iterations, scaled to
``ITERATIONS``, and its loss that of ``isolate(optimizer="descent")``, which takes the same steps (tests/test_isolation_literal.py).
Ours is the time of the shortest run, of 1, 2, 4, ... iterations with their own schedule, whose loss is as low: nothing is scaled there.
FILTERLENS_BENCH_IMAGES=5 takes five images on EfficientNet-Lite0, and on VGG-16 two and the deep layer too; without it one and the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from filterlens import data, models
from filterlens.lenses.attribution import explain
from filterlens.lenses.isolation import Isolation, Tap, feature_point, find_point, isolate, isolate_literally
from filterlens.lenses.methods import active_kernels

ITERATIONS, TIMED, SIZE = 300, 6, 224
TUNED = {"optimizer": "momentum", "lr": 1e4}  # the best of steps 1 to 1e5 by tens and momentum 0, .9, on other layers of EfficientNet-Lite0
# None of these layers served to tune anything.
LITE0, VGG16 = ("blocks.1.0.bn1", "blocks.3.1.bn2", "blocks.5.0.bn2"), ("features.14", "features.28")


def cases() -> Iterator[tuple[str, nn.Module, Tensor, str]]:
    """Network, its name, normalized photographs, layer; VGG-16 has random weights."""
    n = int(os.environ.get("FILTERLENS_BENCH_IMAGES", "1"))
    photographs = data.load("photographs", size=SIZE)
    few = n < 5
    for name, pretrained, layers, some in (
        ("efficientnet-lite0", True, LITE0, n),
        ("torchvision/vgg16", False, VGG16[:1] if few else VGG16, 1 if few else 2),
    ):
        torch.manual_seed(0)
        model = models.load(name, pretrained=pretrained)
        images = models.normalization(name).apply(photographs[list(range(some))].images)
        for layer in layers:
            yield name, model, images, layer


def timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def shortest(model: nn.Module, layer: str, kernel: int, image: Tensor, target: float) -> tuple[float, int, float]:
    """Seconds, iterations and loss of the first of ours, of 1, 2, 4, ... iterations, that is as low as the target."""
    for iterations in (1, 2, 4, 8, 16, 32, 64, 128, 200):
        seconds, found = timed(lambda iterations=iterations: isolate(model, layer, kernel, image, max_iter=iterations))
        if float(found.best) <= target:
            break
    return seconds, iterations, float(found.best)


def test_time_to_the_same_loss(benchmark, tables):
    lines = [
        f"seconds to the loss after {ITERATIONS} iterations, {SIZE} px, one problem at a time, {torch.get_num_threads()} torch threads",
        f"{'':60}{'loss':>8}{'theirs':>9}{'ours':>8}{'iter.':>7}{'ratio':>8}",
    ]
    ratios: dict[str, list[float]] = {"the paper's descent": [], "tuned descent": []}

    def all_cases() -> None:
        for name, model, images, layer in cases():
            (kernel,) = active_kernels(model, layer, images, 1)
            isolate(model, layer, kernel, images[:1], max_iter=1)  # warm
            for number, image in enumerate(images.split(1)):
                literal = timed(
                    lambda m=model, at=layer, k=kernel, x=image: isolate_literally(m, at, k, x, balance="mean", max_iter=TIMED)
                )[0]
                paper = isolate(model, layer, kernel, image, optimizer="descent", max_iter=ITERATIONS)
                seconds, tuned = timed(lambda m=model, at=layer, k=kernel, x=image: isolate(m, at, k, x, max_iter=ITERATIONS, **TUNED))
                theirs: dict[str, tuple[float, Isolation]] = {
                    "the paper's descent": (literal * (ITERATIONS + 1) / (TIMED + 1), paper), "tuned descent": (seconds, tuned)
                }  # fmt: skip
                for who, (long, reached) in theirs.items():
                    short, steps, loss = shortest(model, layer, kernel, image, float(reached.best))
                    assert loss <= float(reached.best) * 1.01, f"{who} is lower: {float(reached.best)} against {loss}"
                    ratios[who].append(long / short)
                    title = f"{name.rpartition('/')[2]} {layer} {number}, {who}"
                    lines.append(f"{title:60}{float(reached.best):8.3f}{long:9.1f}{short:8.2f}{steps:7}{long / short:8.1f}")

    benchmark.pedantic(all_cases, rounds=1, iterations=1)
    lines += [
        f"{who}: ratio {min(found):.1f} at least, {sorted(found)[len(found) // 2]:.1f} in the middle" for who, found in ratios.items()
    ]
    lines.append("aims: 50 against the paper's descent (whole network, weights' gradients, loop over kernels), 1.5 against the tuned one")
    lines.append("(which has our network stopped at the layer, so that only the steps differ)")
    tables.append("\n".join(lines))


def test_attribution_beside_the_libraries(benchmark, tables, taking_turns):
    """VGG-16 in random weights, in-place ReLU: captum's neuron methods on the whole network, zennit's epsilon rule on the stopped one."""
    captum = pytest.importorskip("captum.attr")
    zennit = pytest.importorskip("zennit.composites")
    from zennit.rules import Epsilon, Pass
    from zennit.types import Activation, AvgPool, Convolution, Linear

    torch.manual_seed(0)
    model, layer = models.load("torchvision/vgg16", pretrained=False), "features.14"
    image = models.normalization("torchvision/vgg16").apply(data.load("photographs", size=SIZE)[[0]].images)
    kernel = active_kernels(model, layer, image, 1)[0]
    place = model.get_submodule(feature_point(model, layer, example=image))
    tap = Tap(model, find_point(model, layer, example=image))
    own = torch.zeros_like(tap(image.clone()).detach())
    own[:, kernel] = tap(image.clone()).detach()[:, kernel]
    composite = zennit.LayerMapComposite([(Activation, Pass()), (Convolution, Epsilon()), (Linear, Epsilon()), (AvgPool, Epsilon())])

    def plain_captum(kind: type) -> Tensor:
        signal = own[0, kernel]
        return (
            kind(model, place).attribute(image.clone().requires_grad_(True), lambda maps: (maps[:, kernel] * signal).sum((1, 2))).detach()
        )

    def plain_zennit() -> Tensor:
        x = image.clone().requires_grad_(True)
        with composite.context(tap):
            return torch.autograd.grad(tap(x), x, own)[0]

    runs = {}
    for method, plain in (
        ("guided", lambda: plain_captum(captum.NeuronGuidedBackprop)),
        ("deconvolution", lambda: plain_captum(captum.NeuronDeconvolution)),
        ("lrp", plain_zennit),
    ):
        runs[method, "library"] = plain
        runs[method, "ours"] = lambda method=method: explain(model, layer, kernel, image, method=method, scale="raw")
    difference = {method: float((runs[method, "ours"]() - runs[method, "library"]()).norm() / runs[method, "library"]().norm())
                  for method in ("guided", "deconvolution", "lrp")}  # fmt: skip
    took = benchmark.pedantic(taking_turns, args=(runs, 3), rounds=1, iterations=1)
    lines = [f"VGG-16, {layer}, one image of {SIZE} px, medians of 3 turns; difference: ||ours - library|| / ||library||"]
    lines += [f"{'':20}{'library s':>12}{'ours s':>10}{'ratio':>8}{'difference':>14}"]
    for method, gap in difference.items():
        theirs, ours = took[method, "library"], took[method, "ours"]
        lines.append(f"{method:20}{theirs:12.2f}{ours:10.2f}{theirs / ours:8.2f}{gap:14.1e}")
        assert method == "lrp" or gap < 1e-4
    lines.append("ours searches the layer's activation, checks the kernel and, for LRP, works in float64 with a smaller epsilon")
    tables.append("\n".join(lines))
