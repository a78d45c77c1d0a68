"""Masked and pruned networks give equal logits on the networks people use, with statistics that make naive masking fail."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from filterlens import models, network
from filterlens.lenses.ranking.removal import n_removed, removable, remove_filters

# name -> (input (c, h, w), removable convolutions, all convolutions)
NETWORKS = {
    "lenet": ((1, 28, 28), 3, 4),
    "resnet20": ((3, 32, 32), 9, 19),
    "vgg16-cifar": ((3, 32, 32), 13, 13),
    "torchvision/resnet50": ((3, 48, 48), 33, 53),
    "torchvision/densenet121": ((3, 64, 64), 120, 120),
    "efficientnet-lite0": ((3, 48, 48), 19, 49),
    "torchvision/resnext50_32x4d": ((3, 48, 48), 33, 53),
    "torchvision/efficientnet_b0": ((3, 48, 48), 35, 81),
    "torchvision/mobilenet_v2": ((3, 48, 48), 20, 52),
    "torchvision/mobilenet_v3_small": ((3, 48, 48), 22, 52),
    "torchvision/squeezenet1_1": ((3, 64, 64), 25, 26),
}


def stirred(model: nn.Module) -> nn.Module:
    """Statistics and affine parameters of batch normalisation such that a zero comes out of it far from zero."""
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=noise))
                module.bias.copy_(0.5 * torch.randn(module.bias.shape, generator=noise))
                module.running_mean.copy_(0.5 * torch.randn(module.bias.shape, generator=noise))
                module.running_var.copy_(0.5 + torch.rand(module.bias.shape, generator=noise))
    return model


def half(layer: nn.Conv2d, groups: int, seed: int) -> Tensor:
    """Half of the filters of a layer at random; with groups, equally many of each."""
    size = layer.out_channels // groups
    noise = torch.Generator().manual_seed(seed)
    gone = n_removed(0.5, size)
    return torch.cat([group * size + torch.randperm(size, generator=noise)[:gone] for group in range(groups)])


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_masked_and_pruned_give_equal_logits(name):
    torch.manual_seed(0)
    size, free, convolutions = NETWORKS[name]
    model = stirred(models.load(name, pretrained=False)).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randn(3, *size)
    layers = removable(model, example=images[:1])
    every = network.conv_layers(model)
    assert (len(layers), len(every)) == (free, convolutions)
    assert layers == [layer for layer in every if layer in layers]
    wide = 32 if "resnext" in name else 1
    chosen = {layer: half(every[layer], wide if every[layer].out_channels > 64 else 1, seed) for seed, layer in enumerate(layers)}
    if wide > 1:
        chosen.pop("conv1")  # its 64 channels are a stream of their own, read by a convolution without groups
        chosen = {layer: where for layer, where in chosen.items() if every[layer].out_channels > 64}
    if len(chosen) > 100:
        chosen = {layer: chosen[layer] for layer in list(chosen)[::5]}  # each of them is read by all later ones of its block
    masked = remove_filters(model, chosen, example=images[:1])
    pruned = remove_filters(model, chosen, mode="prune", example=images[:1])
    with torch.no_grad():
        full, expected, found = model(images), masked(images), pruned(images)
    assert off(found, expected) < 1e-5
    assert off(expected, full) > 0.1  # it is another network
    for layer, where in chosen.items():
        assert network.filters(pruned, layer).shape[0] == every[layer].out_channels - len(where)
        assert torch.equal(network.filters(masked, layer), every[layer].weight)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[key], before[key]) for key in before)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in [*model.modules(), *pruned.modules()])
    gained = set(masked.state_dict()) - set(before)
    assert gained and all(key.endswith(".input_mask") for key in gained) and list(pruned.state_dict()) == list(before)
    pruned.train()(images).square().sum().backward()
    assert all(parameter.grad is not None for key, parameter in pruned.named_parameters() if "aux" not in key)
    loaded = copy.deepcopy(pruned).eval()
    loaded.load_state_dict(pruned.state_dict())


def test_naive_masking_fails_on_densenet():
    """A zeroed filter comes back through the next block's normalisation; every reader is silenced instead, after its own ReLU."""
    from torchvision.models import DenseNet

    torch.manual_seed(0)
    model = stirred(DenseNet(growth_rate=5, block_config=(3, 2), num_init_features=6, bn_size=2, num_classes=7)).eval()
    images = torch.randn(2, 3, 48, 48)
    layer, where = "features.denseblock1.denselayer1.conv2", [1, 3]
    naive = copy.deepcopy(model)
    naive.get_submodule(layer).weight.data[where] = 0
    masked = remove_filters(model, {layer: where}, example=images[:1])
    pruned = remove_filters(model, {layer: where}, mode="prune", example=images[:1])
    by_hand = copy.deepcopy(model)
    # its 5 channels stand behind the 6 of the stem in all that the first block's later layers and the transition read
    for reader in ("denseblock1.denselayer2.norm1", "denseblock1.denselayer3.norm1", "transition1.norm"):
        by_hand.get_submodule(f"features.{reader}").weight.data[[7, 9]] = 0
        by_hand.get_submodule(f"features.{reader}").bias.data[[7, 9]] = 0
    with torch.no_grad():
        expected = by_hand(images)
        assert off(naive(images), expected) > 1e-2
        assert off(masked(images), expected) < 1e-5
        assert off(pruned(images), expected) < 1e-5
    positions = {
        name: m.input_mask.logical_not().nonzero().flatten().tolist() for name, m in masked.named_modules() if hasattr(m, "input_mask")
    }
    assert positions == {
        "features.denseblock1.denselayer2.conv1": [7, 9],
        "features.denseblock1.denselayer3.conv1": [7, 9],
        "features.transition1.conv": [7, 9],
    }


def test_shared_streams_are_refused_by_name_unless_coupled():
    torch.manual_seed(0)
    model = stirred(models.load("torchvision/resnet50", pretrained=False)).eval()
    images = torch.randn(2, 3, 48, 48)
    with pytest.raises(ValueError, match=r"'layer1.1.conv3'.*shared with.*'layer1.0.conv3'.*coupled=True"):
        remove_filters(model, {"layer1.1.conv3": [0]}, example=images)
    chosen = {"layer1.1.conv3": [0, 5, 255], "layer3.0.downsample.0": [7], "layer2.0.conv1": [1, 2]}
    masked = remove_filters(model, chosen, example=images[:1], coupled=True)
    pruned = remove_filters(model, chosen, mode="prune", example=images[:1], coupled=True)
    with torch.no_grad():
        assert off(pruned(images), masked(images)) < 1e-5
        assert off(masked(images), model(images)) > 1e-3
    for bound in ("layer1.0.conv3", "layer1.0.downsample.0", "layer1.1.conv3", "layer1.2.conv3"):
        assert pruned.get_submodule(bound).out_channels == 253
    assert pruned.layer3[5].conv3.out_channels == 1023 and pruned.layer2[0].conv1.out_channels == 126


def test_public_resnet20_keeps_most_of_what_it_knows(data_root):
    """On real weights the two modes agree as well."""
    model = models.load("resnet20", pretrained="public")
    chosen = {
        layer: range(n_removed(0.1, module.out_channels))
        for layer, module in network.conv_layers(model).items()
        if layer in removable(model)
    }
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert off(remove_filters(model, chosen, mode="prune")(images), remove_filters(model, chosen)(images)) < 1e-5
