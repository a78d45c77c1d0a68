"""What removing half of the filters is worth: the network as it is, masked and pruned take turns in one run.

A mask keeps the structure, so it saves nothing and costs a fill of each reader's input; pruning leaves smaller layers. All
layers that may be pruned one at a time lose half of their filters. Equal logits are asserted, times only reported.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from filterlens import models, network
from filterlens.lenses.ranking.removal import n_removed, removable, remove_filters

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH = 32


def multiply_adds(model: nn.Module, image: torch.Tensor) -> int:
    """Of convolutions and linear layers, for one image."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    found = []

    def count(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
        found.append(module.weight[0].numel() * output.numel())

    handles = [layer.register_forward_hook(count) for layer in layers]
    model(image)
    for handle in handles:
        handle.remove()
    return sum(found)


def test_pruned_beside_masked(benchmark, tables, taking_turns):
    runs, work = {}, {}
    for name, title in (("lenet", "LeNet"), ("resnet20", "ResNet-20"), ("vgg16-cifar", "VGG-16, CIFAR size")):
        torch.manual_seed(0)
        model = models.load(name, pretrained=False).eval()
        images = torch.randn(BATCH, *model.input_size)
        widths = {layer: network.filters(model, layer).shape[0] for layer in removable(model)}
        chosen = {layer: torch.randperm(n)[: n_removed(0.5, n)] for layer, n in widths.items()}
        nets = {"as it is": model} | {mode: remove_filters(model, chosen, mode=mode) for mode in ("mask", "prune")}
        masked, pruned = nets["mask"](images), nets["prune"](images)
        assert float((masked - pruned).abs().max()) < 1e-5 * float(masked.abs().max())
        for kind, net in nets.items():
            runs[title, kind] = lambda net=net, images=images: net(images)
            work[title, kind] = multiply_adds(net, images[:1]), sum(parameter.numel() for parameter in net.parameters())
    took = benchmark.pedantic(taking_turns, args=(runs, 9), rounds=1, iterations=1)
    lines = [f"half of the filters of every layer that may lose them alone, a batch of {BATCH}, 1 torch thread, medians of 9 turns"]
    lines += [f"{'':20}{'':10}{'parameters':>12}{'multiply-adds':>15}{'ms':>10}{'faster than masked':>20}{'than as it is':>15}"]
    for (title, kind), seconds in took.items():
        adds, parameters = work[title, kind]
        masked, whole = took[title, "mask"] / seconds, took[title, "as it is"] / seconds
        lines.append(f"{title:20}{kind:10}{parameters:12,}{adds / 1e6:13.1f} M{1e3 * seconds:10.2f}{masked:19.2f}x{whole:14.2f}x")
    tables.append("\n".join(lines))
