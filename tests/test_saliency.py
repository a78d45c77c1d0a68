"""Grad-CAM with and without filters, against the formula written out; what it leaves alone, and what it refuses."""

from __future__ import annotations

import copy
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn import functional as F

from filterlens import network
from filterlens.lenses.ranking import remove_filters
from filterlens.lenses.redundancy.saliency import SETS, WITHOUT_FILTERS, grad_cam_triple
from filterlens.lenses.simplex import layer_relevance

torch.set_num_threads(1)
N, K, CLASSES = 3, 8, 4
IMAGES = torch.rand(N, 2, 22, 26, generator=torch.Generator().manual_seed(1))
NAMES = ("standard", *WITHOUT_FILTERS)


class Net(nn.Module):
    """Two convolutions with normalisation and an activation in place, then means and a linear layer; everything random."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 5, 3, stride=2)
        self.conv = nn.Conv2d(5, K, (3, 2), bias=False)
        self.bn = nn.BatchNorm2d(K)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(K, CLASSES)
        noise = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=noise)
        self.bn.running_mean.normal_(generator=noise)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.bn(self.conv(F.relu(self.stem(x))))).mean((2, 3)))


NET = Net().eval()


def literal(model: nn.Module, at: str, images: Tensor, targets: Tensor) -> Tensor:
    """Selvaraju et al. 2017, equations 1 and 2, one image at a time in double precision; then resized and scaled to [0, 1]."""
    model, maps = copy.deepcopy(model).double(), []
    for image, target in zip(images.double(), targets.tolist(), strict=True):
        with network.capture(model, at, detach=False) as found:
            logit = model(image[None])[0, target]
        (gradient,) = torch.autograd.grad(logit, found[at])
        total = torch.zeros(gradient.shape[2:], dtype=torch.float64)
        for k in range(gradient.shape[1]):
            total += gradient[0, k].mean() * found[at][0, k].detach()
        raised = F.interpolate(total.clamp(min=0)[None, None], size=image.shape[1:], mode="bilinear", align_corners=False)[0, 0]
        raised = raised - raised.min()
        maps.append(raised / raised.max() if raised.max() > 0 else raised)
    return torch.stack(maps)


@pytest.mark.parametrize("at", ["stem", "conv", "bn", "relu"])
def test_maps_are_the_formula_written_out(at):
    found = grad_cam_triple(NET, "conv", IMAGES, at=at, rate=0.5)
    assert torch.equal(found.targets, NET(IMAGES).argmax(1)) and tuple(found.maps) == NAMES
    expected = {"standard": NET} | {
        name: remove_filters(NET, {"conv": found.removed[name]}, example=IMAGES[:1]) for name in WITHOUT_FILTERS
    }
    for name, model in expected.items():
        assert found.maps[name].shape == (N, 22, 26) and found.maps[name].min() >= 0 and found.maps[name].max() <= 1
        assert torch.allclose(found.maps[name].double(), literal(model, at, IMAGES, found.targets), atol=2e-5), name
        probability = model(IMAGES).softmax(1).gather(1, found.targets[:, None])[:, 0]
        assert torch.allclose(found.probability[name], probability.double(), atol=1e-6)


def paper() -> nn.Module:
    """1 x 1 filters 1, -1, 2, 3 and a linear layer: on an image x > 0 channels are x, 0, 2x, 3x and w_k the weights of the class."""
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1, 2, 3]).view(4, 1, 1, 1))
        net[4].weight.copy_(torch.tensor([[5.0, 9, -2, 0], [0, 0, 0, 1]]))
        net[4].bias.copy_(torch.tensor([1000.0, 0]))
    return net.eval()


def test_a_network_whose_maps_fit_on_paper():
    image = torch.arange(1, 12 * 13 + 1).float().view(1, 1, 12, 13)
    scaled = ((image - 1) / 155)[0, 0]  # class 0: (5 - 2 * 2) x / 156, which scaled is x itself
    found = grad_cam_triple(paper(), "0", image, at="1", rate=0.25, fraction=0.5)
    assert found.targets.tolist() == [0] and torch.allclose(found.maps["standard"][0], scaled, atol=1e-6)
    for name in WITHOUT_FILTERS:
        (gone,) = found.removed[name].tolist()
        left = {0: -4, 1: 1, 2: 5, 3: 1}[gone]  # sum of w_k A_k / x without that channel
        assert torch.allclose(found.maps[name][0], scaled if left > 0 else 0 * scaled, atol=1e-6)
        assert bool(found.empty[name]) == (left < 0) and float(found.pearson[name]) == pytest.approx(float(left > 0), abs=1e-6)


def test_a_map_that_is_zero_everywhere_is_empty_and_resembles_nothing():
    image = torch.rand(1, 1, 14, 12, generator=torch.Generator().manual_seed(2)) + 0.1
    seen = {}
    for seed in range(20):  # until chance has taken filter 0, the only one with a positive part in class 0
        found = grad_cam_triple(paper(), "0", image, at="1", rate=0.25, fraction=0.5, seed=seed)
        gone = int(found.removed["without_random"])
        seen[gone] = [bool(found.empty["without_random"])] + [
            float(getattr(found, m)["without_random"]) for m in ("pearson", "ssim", "iou")
        ]
        if {0, 1} <= seen.keys():
            break
    assert seen[0] == [True, 0, 0, 0] and seen[1] == pytest.approx([False, 1, 1, 1])


def test_likeness_by_its_definitions():
    found = grad_cam_triple(NET, "conv", IMAGES, at="relu", rate=0.5)
    for name in WITHOUT_FILTERS:
        for i in range(N):
            a, b = found.maps[name][i].double().numpy(), found.maps["standard"][i].double().numpy()
            assert float(found.pearson[name][i]) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
            expected = structural_similarity(a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
            assert float(found.ssim[name][i]) == pytest.approx(expected)
            tops = [(m >= np.sort(m.ravel())[-114]) & (m > 0) for m in (a, b)]  # 20 % of 22 x 26 pixels are 114.4
            assert float(found.iou[name][i]) == pytest.approx((tops[0] & tops[1]).sum() / (tops[0] | tops[1]).sum())
    assert found.mean("iou")["without_random"] == pytest.approx(float(found.iou["without_random"].mean()))
    assert set(found.mean("probability")) == set(NAMES) and len(found) == len(found.targets) == len(found.maps["standard"])


def test_which_filters_go():
    ranking = layer_relevance(NET, "conv")
    found = grad_cam_triple(NET, "conv", IMAGES, rate=0.75, ranking=ranking, seed=3)
    rows = NET.conv.weight.detach().double().flatten(1)
    assert {name: len(gone) for name, gone in found.removed.items()} == dict.fromkeys(WITHOUT_FILTERS, 6)
    assert torch.equal(found.removed["without_archetypes"], ranking.needed(6))
    assert set(found.removed["without_median"].tolist()) == set(torch.cdist(rows, rows).sum(1).argsort()[:6].tolist())
    assert set(SETS.values()) == {"median_gm", "archetypes", "random"} and (found.layer, found.rate) == ("conv", 0.75)


def test_targets_normalization_and_batches():
    wanted = [3, 0, 2]
    found = grad_cam_triple(NET, "conv", IMAGES, at="relu", rate=0.5, targets=wanted, batch_size=2)
    assert found.targets.tolist() == wanted
    assert torch.allclose(found.maps["standard"].double(), literal(NET, "relu", IMAGES, torch.tensor(wanted)), atol=2e-5)
    halved = SimpleNamespace(apply=lambda images: images * 0.5)
    a = grad_cam_triple(NET, "conv", IMAGES, rate=0.5, targets=torch.tensor(wanted), normalization=halved)
    b = grad_cam_triple(NET, "conv", IMAGES * 0.5, rate=0.5, targets=wanted)
    assert all(torch.equal(a.maps[name], b.maps[name]) for name in NAMES)


def test_the_model_the_images_and_the_grad_mode_stay_as_they_are_and_nothing_warns():
    net, images = Net(), IMAGES.clone()
    net.train()
    net.stem.weight.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    torch.set_grad_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = grad_cam_triple(net, "conv", images, at="relu", rate=0.5)
        assert not torch.is_grad_enabled()
        with torch.inference_mode():
            again = grad_cam_triple(net, "conv", images, at="relu", rate=0.5)
    finally:
        torch.set_grad_enabled(True)
    assert all(torch.equal(found.maps[name], again.maps[name]) for name in NAMES)
    assert not any(maps.requires_grad for maps in found.maps.values())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items()) and torch.equal(images, IMAGES)
    assert all(module.training and not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())
    assert all(p.grad is None for p in net.parameters()) and not net.stem.weight.requires_grad and net.conv.weight.requires_grad


class Odd(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, None]


RANKING = layer_relevance(NET, "stem")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "error", "name"),
    [
        ({"model": NET.state_dict()}, TypeError, "model"),
        ({"model": Odd().eval()}, ValueError, "model"),
        ({"layer": "convv"}, ValueError, "layer"),
        ({"layer": "head"}, ValueError, "layer"),
        ({"layer": 3}, TypeError, "layer"),
        ({"images": IMAGES[0]}, ValueError, "images"),
        ({"images": IMAGES[:0]}, ValueError, "images"),
        ({"images": IMAGES[:, :1]}, ValueError, "images"),
        ({"images": IMAGES[..., :10]}, ValueError, "images"),
        ({"images": IMAGES * torch.nan}, ValueError, "images"),
        ({"images": (IMAGES * 255).byte()}, TypeError, "images"),
        ({"images": IMAGES.numpy()}, TypeError, "images"),
        ({"rate": 1.5}, ValueError, "rate"),
        ({"rate": 0.01}, ValueError, "rate"),
        ({"rate": "half"}, TypeError, "rate"),
        ({"rate": float("nan")}, ValueError, "rate"),
        ({"at": "bn3"}, ValueError, "at"),
        ({"at": "head"}, ValueError, "at"),
        ({"at": 2}, TypeError, "at"),
        ({"targets": [0, 1]}, ValueError, "targets"),
        ({"targets": [0, 1, CLASSES]}, ValueError, "targets"),
        ({"targets": torch.tensor([0, 1, -1])}, ValueError, "targets"),
        ({"targets": torch.tensor([0.0, 1, 2])}, TypeError, "targets"),
        ({"targets": "cat"}, TypeError, "targets"),
        ({"targets": [0, 1, "cat"]}, TypeError, "targets"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"normalization": "imagenet"}, TypeError, "normalization"),
        ({"ranking": [0, 1]}, TypeError, "ranking"),
        ({"ranking": RANKING}, ValueError, "ranking"),
        ({"fraction": 2.0}, ValueError, "fraction"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_bad_input(given, error, name):
    with pytest.raises(error, match=f"^{name}"):
        grad_cam_triple(**({"model": NET, "layer": "conv", "images": IMAGES, "rate": 0.5} | given))


@pytest.mark.bad_input
def test_an_unknown_measure():
    found = grad_cam_triple(NET, "conv", IMAGES[:1], rate=0.5)
    with pytest.raises(ValueError, match="measure"):
        found.mean("spearman")
