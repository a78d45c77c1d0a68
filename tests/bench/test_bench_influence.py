"""What voting costs beside the forward pass that makes the features, and what the decomposed layer costs beside the dense one.

The decomposed layer needs C s multiply-adds where the dense one needs C d, but it gathers its numbers, while a dense product
runs at the machine's full rate: the table shows both, multiply-adds and time.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filterlens import models, network
from filterlens.lenses.influence import InfluenceCounter, count_ranks, decompose

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH = 256
LAYERS = [(64, 10), (2048, 1000)]


def test_selection_beside_the_forward_pass(benchmark, tables, taking_turns):
    """ResNet-20 on 256 images: the plain pass; votes for five features; the ranks of all 64, which serve every r."""
    torch.manual_seed(0)
    model = models.load("resnet20", pretrained=False).eval()
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    features, _ = network.pooled(model, [(images, labels)])
    counter = InfluenceCounter(10, 64, 5)
    runs = {
        "forward": lambda: model(images),
        "votes": lambda: counter.update(features, labels),
        "ranks": lambda: count_ranks(features, labels, 10),
    }
    took = benchmark.pedantic(taking_turns, args=(runs, 15), rounds=1, iterations=1)
    assert counter.n == BATCH * 17
    rows = [
        ("plain forward pass of ResNet-20", took["forward"]),
        ("InfluenceCounter.update, r = 5", took["votes"]),
        ("count_ranks, every r", took["ranks"]),
    ]
    lines = [f"a batch of {BATCH} images, 1 torch thread, medians of 15 turns", f"{'':44}{'ms':>10}{'of the pass':>14}"]
    lines += [f"{name:44}{1e3 * seconds:10.2f}{seconds / took['forward']:14.2%}" for name, seconds in rows]
    lines += [f"the selection pass adds {took['votes'] / took['forward']:.2%} (aim: below 2 %)"]
    tables.append("\n".join(lines))


def test_decomposed_beside_dense(benchmark, tables, taking_turns):
    """Batch 256, s = 5 and 50: the module, the literal gather of the formula, and the full nn.Linear."""
    runs, widths = {}, {}
    for d, n_classes in LAYERS:
        torch.manual_seed(0)
        linear, features = nn.Linear(d, n_classes), torch.randn(BATCH, d).relu()
        runs[d, n_classes, 0, "nn.Linear, dense"] = lambda linear=linear, features=features: linear(features)
        widths[d, n_classes, 0, "nn.Linear, dense"] = d
        for s in (5, 50):
            layer = decompose(linear, torch.rand(n_classes, d).argsort(1)[:, :s])
            masked = layer.dense()
            gathered = (features[:, layer.indices] * layer.weight).sum(-1) + layer.bias
            for found in (layer(features), gathered):
                assert float((found - masked(features)).abs().max()) < 1e-4
            runs[d, n_classes, s, "decomposed"] = lambda layer=layer, features=features: layer(features)
            runs[d, n_classes, s, "decomposed, literal gather"] = lambda layer=layer, features=features: (
                (features[:, layer.indices] * layer.weight).sum(-1) + layer.bias
            )
            widths |= {(d, n_classes, s, name): s for name in ("decomposed", "decomposed, literal gather")}
            assert layer.multiply_adds == n_classes * s
    took = benchmark.pedantic(taking_turns, args=(runs, 15), rounds=1, iterations=1)
    lines = [f"the last layer, a batch of {BATCH}, 1 torch thread, medians of 15 turns; ratios to the dense layer, below 1 is less"]
    lines += [f"{'':48}{'multiply-adds':>16}{'ratio':>9}{'ms':>10}{'ratio':>9}"]
    for (d, n_classes, s, name), seconds in took.items():
        dense = took[d, n_classes, 0, "nn.Linear, dense"]
        title = f"{d} -> {n_classes}, {name}" + (f", s = {s}" if s else "")
        width = widths[d, n_classes, s, name]
        lines += [f"{title:48}{n_classes * width:16,}{width / d:9.3f}{1e3 * seconds:10.3f}{seconds / dense:9.2f}"]
    slower = [
        f"{d} -> {c}, s = {s}" for (d, c, s, name), t in took.items() if name == "decomposed" and t > took[d, c, 0, "nn.Linear, dense"]
    ]
    lines += [f"slower than the dense layer although it multiplies less: {'; '.join(slower) or 'none'}"]
    tables.append("\n".join(lines))
