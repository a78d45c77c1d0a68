"""The autograd oracle on real architectures, in double precision: a decoded filter is the gradient of an interior unit.

The oracle's network has identity activations, average pools instead of maximum pools and no biases; the decoded one is
left as it is, and decoded with ``unpool="nearest", scale="sum"``. Two layers each, receptive fields up to 300 pixels.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from toy_networks import forward_to

from filterlens.lenses.decoding import DecodedFilters, decode
from filterlens.models import architectures

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish)
TOLERANCE = 1e-12  # the specification asks for 1e-6


def torchvision_network(name: str) -> nn.Module:
    from torchvision import models

    with torch.device("meta"):  # VGG's linear layers hold a gigabyte, above every layer that is asked for
        model = getattr(models, name)(weights=None)
    model.classifier = nn.Identity()
    model.to_empty(device="cpu")
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.reset_parameters()
    return model


def timm_network(name: str) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, pretrained=False)


NETWORKS = {
    "lenet": (lambda: architectures.LeNet(), ("conv2", "conv3")),
    "resnet20": (lambda: architectures.CifarResNet(3), ("layer2.0.conv2", "layer3.2.conv2")),
    "vgg16": (lambda: torchvision_network("vgg16"), ("features.7", "features.21")),
    "resnet50": (lambda: torchvision_network("resnet50"), ("layer1.1.conv2", "layer3.3.conv2")),
    "densenet121": (
        lambda: torchvision_network("densenet121"),
        ("features.denseblock1.denselayer3.conv2", "features.denseblock3.denselayer1.conv2"),
    ),
    "efficientnet-lite0": (lambda: timm_network("tf_efficientnet_lite0"), ("blocks.1.1.conv_dw", "blocks.4.1.conv_pwl")),
}


def stirred_statistics(model: nn.Module) -> nn.Module:
    """Double precision, and batch normalisation that does something: random statistics, gains and shifts."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model.double().eval()


def linearised(model: nn.Module) -> nn.Module:
    """A copy with identity activations, average pools and zero biases."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        for name, child in module.named_children():
            if isinstance(child, ACTIVATIONS):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    for name, parameter in copied.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return copied


def interior_gradients(model: nn.Module, decoded: DecodedFilters) -> tuple[Tensor, Tensor]:
    """For each decoded kernel the gradient of one interior unit: inside its receptive field, and the whole of it.

    The image is larger than the field by the padding of every layer below, so that no border is felt.
    """
    (top, left), s, (c, h, w) = decoded.offset, decoded.stride, decoded.images.shape[1:]
    unit = (-(top // s) + 1, -(left // s) + 2)  # a row and a column whose field begins inside the image
    y, x = unit[0] * s + top, unit[1] * s + left
    sides = (y + h - top + s, x + w - left + 2 * s)  # at the far end as much room as padding took at the near end
    # even multiples: TensorFlow-style padding then lies where it lies at the size the network was recorded at
    image = torch.zeros(1, c, *(-(-side // 32) * 32 for side in sides), dtype=torch.float64, requires_grad=True)
    maps = forward_to(model, decoded.layer, image)
    wholes = torch.stack([torch.autograd.grad(maps[0, k, unit[0], unit[1]], image, retain_graph=True)[0][0] for k in decoded.kernels])
    return wholes[:, :, y : y + h, x : x + w], wholes


def error_of(model: nn.Module, layer: str, kernels: list[int]) -> tuple[float, int]:
    """Largest difference inside the receptive field or anything outside it, relative to max |df|; and the field's side."""
    own = getattr(model, "input_size", (3, 64, 64))[1:]
    decoded = decode(model, layer, kernels, unpool="nearest", scale="sum", input_size=tuple(own))
    inside, whole = interior_gradients(linearised(model), decoded)
    assert inside.shape == decoded.images.shape
    peak = whole.abs().amax((1, 2, 3))
    assert float(peak.min()) > 0
    assert (whole != 0).sum() == (inside != 0).sum()  # nothing of the gradient lies outside the patch
    difference = (inside - decoded.images).abs().amax((1, 2, 3)) / peak
    return float(difference.max()), decoded.images.shape[2]


@pytest.mark.parametrize("name", NETWORKS)
def test_oracle_07_decoding_is_the_gradient_of_an_interior_unit(name, record_property):
    torch.manual_seed(0)
    make, layers = NETWORKS[name]
    model = stirred_statistics(make())
    for layer in layers:
        error, side = error_of(model, layer, [3, 0])
        record_property(layer, f"{error:.1e}, receptive field {side} px")
        assert side <= 300
        assert error < TOLERANCE, f"{name} {layer}: {error:.1e} of max |df|"
