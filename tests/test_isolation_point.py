"""Where a kernel's maps are taken: after the right activation, in every construction; the network as it was."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_networks import Custom, stirred

from filterlens.lenses.isolation import Point, Tap, feature_point, find_point
from filterlens.lenses.isolation.point import frozen

C, BN, R = nn.Conv2d, nn.BatchNorm2d, nn.ReLU


def images(n: int = 2) -> Tensor:
    return torch.randn(n, 2, 9, 11, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def _shared(m, x):
    x = m.relu(m.bn1(m.conv1(x)))
    y = m.relu(m.bn2(m.conv2(x)))
    y = m.bn3(m.conv3(y))
    y += x
    return m.relu(y)


def shared(inplace: bool) -> nn.Module:
    layers = {"conv1": C(2, 3, 3), "bn1": BN(3), "conv2": C(3, 4, 3, padding=1), "bn2": BN(4), "conv3": C(4, 3, 1), "bn3": BN(3)}
    return stirred(Custom(_shared, relu=R(inplace=inplace), **layers))


class Twice(nn.BatchNorm2d):
    """A normalisation that ends in its own activation, as timm's BatchNormAct2d does."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.drop, self.act = nn.Identity(), nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(("layer", "call"), [("conv1", 0), ("bn1", 0), ("conv2", 1), ("bn2", 1)])
def test_a_shared_relu_is_stopped_at_the_right_call(inplace, layer, call):
    model, x = shared(inplace), images()
    assert find_point(model, layer, example=x) == Point("relu", call)
    assert feature_point(model, layer, example=x) == "relu"
    maps = Tap(model, Point("relu", call))(x)
    first = F.relu(model.bn1(model.conv1(x)))
    expected = first if call == 0 else F.relu(model.bn2(model.conv2(first)))
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize("layer", ["conv3", "bn3"])
@pytest.mark.parametrize("inplace", [False, True])
def test_a_residual_addition_is_no_activation_also_in_place(layer, inplace):
    with pytest.warns(UserWarning, match=f"layer: no activation module takes the output of '{layer}'"):
        assert find_point(shared(inplace), layer, example=images()) == Point(layer)


def test_the_module_s_own_output_on_demand_and_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert feature_point(shared(False), "conv3", example=images(), pre_activation=True) == "conv3"
        assert feature_point(shared(False), "conv1", example=images(), pre_activation=True) == "conv1"
        assert feature_point(shared(False), "relu", example=images()) == "relu"


@pytest.mark.parametrize(
    ("model", "layer", "expected"),
    [
        (nn.Sequential(C(2, 3, 3), R(), C(3, 4, 2)), "0", "1"),
        (nn.Sequential(C(2, 3, 3), BN(3), nn.Dropout(), nn.Identity(), nn.SiLU(inplace=True)), "0", "4"),
        (nn.Sequential(C(2, 3, 3), Twice(3), C(3, 4, 2)), "0", "1"),
        (nn.Sequential(C(2, 3, 3), Twice(3), C(3, 4, 2)), "1", "1"),
        (nn.Sequential(nn.Sequential(C(2, 3, 3), BN(3), R(inplace=True)), C(3, 4, 2)), "0", "0"),
        (nn.Sequential(nn.Sequential(C(2, 3, 3)), nn.Sequential(nn.Sequential(R()), C(3, 4, 2))), "0.0", "1.0.0"),
        (nn.Sequential(C(2, 3, 3), nn.MaxPool2d(2), C(3, 4, 2)), "1", "1"),
        (nn.Sequential(C(2, 3, 3), nn.Flatten(), nn.Linear(3 * 7 * 9, 5), nn.ReLU()), "2", "3"),
    ],
)
def test_the_next_activation_is_found(model, layer, expected):
    assert feature_point(stirred(model), layer, example=images()) == expected


@pytest.mark.parametrize(
    "forward",
    [lambda m, x: F.relu(m.conv(x)), lambda m, x: m.act(m.pool(m.conv(x))), lambda m, x: m.conv(x), lambda m, x: m.act(m.conv(x) + 1)],
)
def test_without_an_activation_module_the_layer_stands_for_itself(forward):
    model = stirred(Custom(forward, conv=C(2, 3, 3), act=R(), pool=nn.MaxPool2d(2)))
    with pytest.warns(UserWarning, match="layer"):
        assert feature_point(model, "conv", example=images()) == "conv"


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet50", "squeezenet1_1", "densenet121", "mobilenet_v2", "efficientnet-lite0"])
def test_the_first_convolution_of_real_networks(name):
    if name == "efficientnet-lite0":
        from filterlens import models

        model, layer, expected = models.load(name, pretrained=False), "conv_stem", "bn1"
    else:
        import torchvision

        model = torchvision.models.get_model(name, weights=None).eval()
        layer, expected = {
            "vgg11": ("features.3", "features.4"),
            "resnet18": ("conv1", "relu"),
            "resnet50": ("layer1.0.conv2", "layer1.0.relu"),
            "squeezenet1_1": ("features.3.expand3x3", "features.3.expand3x3_activation"),
            "densenet121": ("features.conv0", "features.relu0"),
            "mobilenet_v2": ("features.1.conv.0.0", "features.1.conv.0.2"),
        }[name]
    example = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    point = find_point(model, layer, example=example)
    assert point == Point(expected, 1 if name == "resnet50" else 0)
    assert float(Tap(model, point)(example).detach().min()) == 0


def test_vectors_are_maps_of_one_unit():
    model = stirred(nn.Sequential(C(2, 3, 3), nn.Flatten(), nn.Linear(3 * 7 * 9, 5)))
    assert Tap(model, Point("2"))(images()).shape == (2, 5, 1, 1)


def test_frozen_gives_everything_back_also_after_an_error():
    model = shared(True).train()
    model.bn2.eval()
    model.conv2.weight.requires_grad_(False)
    before = [p.requires_grad for p in model.parameters()], [m.training for m in model.modules()]
    with pytest.raises(KeyError), frozen(model):
        assert not any(p.requires_grad for p in model.parameters()) and not any(m.training for m in model.modules())
        raise KeyError
    assert before == ([p.requires_grad for p in model.parameters()], [m.training for m in model.modules()])


def test_looking_for_the_point_leaves_no_hooks_and_the_statistics_alone():
    model = shared(True).train()
    statistics = model.bn1.running_mean.clone()
    find_point(model, "conv1", example=images())
    Tap(model, Point("relu", 1)).eval()(images())
    assert torch.equal(model.bn1.running_mean, statistics)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
