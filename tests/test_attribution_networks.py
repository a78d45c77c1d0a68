"""Guided backpropagation, Deconvolution and LRP on real architectures with random weights, against the literal versions."""

from __future__ import annotations

import pytest
import torch
from literal_attribution import input_times_gradient, literal, maps_at
from torch import nn
from toy_networks import relative

from filterlens import models
from filterlens.lenses.attribution import METHODS, explain


def vgg16() -> nn.Module:
    from torchvision.models import vgg

    return vgg.make_layers(vgg.cfgs["D"])  # without the wide linear layers, which take seconds to draw


NETWORKS = {
    "efficientnet-lite0": lambda: models.load("efficientnet-lite0", pretrained=False),
    "squeezenet": lambda: models.load("torchvision/squeezenet1_1", pretrained=False),
    "resnet50": lambda: models.load("torchvision/resnet50", pretrained=False),
    "densenet121": lambda: models.load("torchvision/densenet121", pretrained=False),
    "resnet20": lambda: models.load("resnet20", pretrained=False),
    "vgg16": vgg16,
}
# network, layer as the caller names it, module whose output are the maps and the number of its call
CASES = [
    ("efficientnet-lite0", "blocks.1.1.conv_pw", "blocks.1.1.bn1.act", 0), ("efficientnet-lite0", "blocks.2.1", "blocks.2.1", 0),
    ("squeezenet", "features.4.expand3x3", "features.4.expand3x3_activation", 0), ("squeezenet", "features.6", "features.6", 0),
    ("resnet50", "layer1.1.conv2", "layer1.1.relu", 1), ("resnet50", "layer2.1", "layer2.1", 0),
    ("densenet121", "features.denseblock1.denselayer3.conv1", "features.denseblock1.denselayer3.relu2", 0),
    ("densenet121", "features.denseblock2", "features.denseblock2", 0),
    ("resnet20", "layer2.1.conv1", "layer2.1.relu1", 0), ("resnet20", "layer3.1", "layer3.1", 0),
    ("vgg16", "21", "22", 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def built():
    made = {}

    def build(name: str) -> nn.Module:
        if name not in made:
            torch.manual_seed(0)
            made[name] = NETWORKS[name]().double().eval()
            for module in made[name].modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.data.uniform_(0.5, 1.5)
                    module.running_var.uniform_(0.5, 1.5)
        return made[name]

    return build


@pytest.mark.parametrize(("name", "layer", "point", "call"), CASES)
def test_agrees_with_the_literal_versions(built, name, layer, point, call):
    model = built(name)
    images = torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        maps = maps_at(model, point, call, images.clone())
    kernel = int(maps.flatten(2).amax(2).amin(0).argmax())
    for method in METHODS:
        found = explain(model, layer, kernel, images, method=method, scale="raw")
        if method == "lrp":
            expected = input_times_gradient(model, point, kernel, images, call=call)
        else:
            expected = literal(model, point, kernel, images, method, call=call)
        assert relative(found, expected) < (1e-3 if method == "lrp" else 1e-10), method
    if name != "squeezenet" and name != "vgg16":  # the biases of these two are not zero
        relevance = found.flatten(1).sum(1)
        torch.testing.assert_close(relevance, maps[:, kernel].flatten(1).sum(1), rtol=1e-5, atol=0)


def test_captum_alone_agrees_where_it_can(built):
    """VGG-16 with rectifiers as modules, the only kind captum knows: its own call on the whole network up to the layer."""
    from captum.attr import Deconvolution, GuidedBackprop

    cut = built("vgg16")[:16]
    images = torch.randn(1, 3, 48, 56, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    maps = cut(images.clone()).detach()
    row, column = divmod(int(maps[0, 7].argmax()), maps.shape[3])
    for method, library in {"guided": GuidedBackprop, "deconvolution": Deconvolution}.items():
        with pytest.warns(UserWarning, match="hooks"):
            expected = library(cut).attribute(images.clone().requires_grad_(True), target=(7, row, column))
        found = explain(built("vgg16"), "14", 7, images, method=method, signal="peak", scale="raw")
        assert relative(found, expected.detach()) < 1e-12


def test_lrp_of_a_network_in_single_precision(built):
    """Units that are active in one precision only must not count: relevance is divided by their values, which are near zero."""
    single = models.load("efficientnet-lite0", pretrained=False)
    single.load_state_dict(built("efficientnet-lite0").state_dict())
    images = torch.randn(2, 3, 64, 72, generator=torch.Generator().manual_seed(1))
    found = explain(single, "blocks.1.1.conv_pw", 5, images, method="lrp", scale="raw")
    expected = explain(single.double(), "blocks.1.1.conv_pw", 5, images.double(), method="lrp", scale="raw")
    assert relative(found.double(), expected) < 1e-6
