"""The attribution lens against slow literal versions, on every construction that the libraries alone would get wrong."""

from __future__ import annotations

import copy

import pytest
import torch
from literal_attribution import input_times_gradient, layerwise, literal, maps_at
from torch import nn
from torch.nn import functional as F
from toy_networks import Custom, normal, relative, stirred

from filterlens.lenses.attribution import METHODS, explain
from filterlens.lenses.isolation import InactiveKernelError

C, R, P = nn.Conv2d, nn.ReLU, nn.MaxPool2d
BACK = ["gradient", "deconvolution", "guided"]
pytestmark = pytest.mark.filterwarnings("error")


class NormAct(nn.BatchNorm2d):
    """Batch normalisation with the activation inside, as timm has it."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x):
        return self.act(F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps))


def vgg() -> nn.Module:
    return nn.Sequential(
        C(2, 3, 3, padding=1), R(True), C(3, 4, (2, 3)), R(True), P(2), C(4, 5, 2), R(True), P(3, 2, 1), C(5, 6, 2), R(True)
    )


def relu6() -> nn.Module:
    return nn.Sequential(C(2, 3, 3), nn.ReLU6(True), C(3, 6, (2, 3), groups=3), nn.ReLU6(), C(6, 5, 2), nn.ReLU6(True))


def _resnet(m, x):
    x = m.pool(m.relu(m.bn(m.stem(x))))
    y = m.b(m.relu(m.a(x)))
    y += x
    x = m.relu(y)
    y = m.d(m.relu(m.c(x))) + m.down(x)
    return m.relu(y)


def resnet(relu: type[nn.Module] = R) -> nn.Module:
    """One in-place rectifier for all of five places, two additions, one of them in place."""
    layers = {"a": C(3, 4, 3, padding=1), "b": C(4, 3, 3, padding=1), "c": C(3, 5, 2, 2), "d": C(5, 6, 1), "down": C(3, 6, 2, 2)}
    return Custom(_resnet, stem=C(2, 3, 3), bn=nn.BatchNorm2d(3), relu=relu(inplace=True), pool=P(2), **layers)


def _fork(m, x):
    x = m.stem(x)
    x = x + m.b(m.r2(m.a(m.r1(x))))
    return m.out(m.last(m.r3(x)))


def fork() -> nn.Module:
    """Pre-activation: what the rectifier takes is also what the skip connection takes."""
    return Custom(_fork, stem=C(2, 3, 3), r1=R(), a=C(3, 4, 3, padding=1), r2=R(), b=C(4, 3, 1), r3=R(), last=C(3, 5, (2, 3)), out=R())


def _aliased(m, x):
    kept = m.stem(x)
    x = m.a(m.r1(kept))  # works in place: from here on `kept` is rectified too
    return m.r2(m.last(x + kept))


def aliased() -> nn.Module:
    return Custom(_aliased, stem=C(2, 3, 3), r1=R(inplace=True), a=C(3, 3, 3, padding=1), r2=nn.ReLU6(), last=C(3, 5, (2, 3)))


def normed() -> nn.Module:
    return nn.Sequential(C(2, 4, 3, bias=False), NormAct(4), C(4, 4, 2, groups=4), NormAct(4), nn.AvgPool2d(2), C(4, 5, 1), NormAct(5))


# name -> (network, module whose output are the maps, number of its call)
NETWORKS = {
    "vgg": (vgg, "9", 0), "relu6": (relu6, "5", 0), "resnet": (resnet, "relu", 4),
    "resnet with relu6": (lambda: resnet(nn.ReLU6), "relu", 4),
    "fork": (fork, "out", 0), "aliased": (aliased, "r2", 0), "normed": (normed, "6.act", 0),
}  # fmt: skip
# what the caller names: the same maps; the whole of a network that ends in its last rectifier has no name, so its last layer
LAYER = {"vgg": "8", "relu6": "4", "fork": "last", "aliased": "last", "normed": "6"}
N = {"vgg": 6, "relu6": 5, "resnet": 6, "resnet with relu6": 6, "fork": 5, "aliased": 5, "normed": 5}


def made(name: str) -> tuple[nn.Module, str, int, torch.Tensor, str]:
    """A network, the name and call of its maps, images on which kernel 2 is active, and the layer to name."""
    make, point, call = NETWORKS[name]
    model = stirred(make(), seed=3)
    for p in model.parameters():
        p.data *= 0.6
    if name.startswith("resnet"):  # the sum at the end has no module of its own: the network as a part
        model = nn.Sequential(model)
        return model, f"0.{point}", call, normal(3, 2, 19, 22), "0"
    return model, point, call, normal(3, 2, 19, 22), LAYER[name]


def kernel_of(name: str, model: nn.Module, point: str, call: int, images: torch.Tensor) -> int:
    with torch.no_grad():
        maps = maps_at(model, point, call, images.clone())
    assert maps.shape[1] == N[name]
    return int(maps.flatten(2).amax(2).amin(0).argmax())


@pytest.mark.parametrize("method", BACK)
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_literal_version(name, method):
    model, point, call, images, layer = made(name)
    kernel = kernel_of(name, model, point, call, images)
    expected = literal(model, point, kernel, images, method, call=call)
    assert float(expected.abs().max()) > 0
    assert relative(explain(model, layer, kernel, images, method=method, scale="raw"), expected) < 1e-12


@pytest.mark.parametrize("name", ["relu6", "resnet", "fork", "aliased", "normed"])
def test_the_methods_differ_from_the_gradient(name):
    """Where a library falls back to the plain gradient, it does so silently: the three must not be the same."""
    model, point, call, images, layer = made(name)
    kernel = kernel_of(name, model, point, call, images)
    found = {method: explain(model, layer, kernel, images, method=method, scale="raw") for method in BACK}
    assert relative(found["guided"], found["gradient"]) > 1e-2
    assert relative(found["deconvolution"], found["gradient"]) > 1e-2
    assert relative(found["deconvolution"], found["guided"]) > 1e-2


@pytest.mark.parametrize("name", NETWORKS)
def test_lrp_is_input_times_gradient_of_the_map(name):
    model, point, call, images, layer = made(name)
    kernel = kernel_of(name, model, point, call, images)
    found = explain(model, layer, kernel, images, method="lrp", scale="raw")
    assert relative(found, input_times_gradient(model, point, kernel, images, call=call)) < 1e-4


@pytest.mark.parametrize("make", [vgg, relu6])
def test_lrp_equals_the_rule_layer_by_layer(make):
    model = stirred(make(), seed=5)
    images = normal(2, 2, 15, 14, seed=1)
    kernel = int(model(images.clone()).flatten(2).amax(2).amin(0).argmax())
    steps = [type(m)() if isinstance(m, nn.ReLU | nn.ReLU6) else m for m in model]  # none in place
    found = explain(model, str(len(steps) - 1), kernel, images, method="lrp", scale="raw")
    expected = torch.cat([layerwise(steps, kernel, image[None], 1e-9) for image in images])
    assert relative(found, expected.detach()) < 1e-9


@pytest.mark.parametrize("name", NETWORKS)
def test_lrp_conserves_without_biases(name):
    model, point, call, images, layer = made(name)
    for module in model.modules():
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
    kernel = kernel_of(name, model, point, call, images)
    signal = maps_at(model, point, call, images.clone())[:, kernel].flatten(1).sum(1).detach()
    assert bool((signal > 0).all())
    relevance = explain(model, layer, kernel, images, method="lrp", scale="raw").flatten(1).sum(1)
    torch.testing.assert_close(relevance, signal, rtol=1e-5, atol=0)


def test_deconvolution_is_the_gradient_without_rectifiers():
    model = stirred(nn.Sequential(C(2, 3, 3), P(2), C(3, 5, (2, 3)), nn.BatchNorm2d(5)))
    images = normal(3, 2, 12, 15)
    found = {m: explain(model, "2", 4, images, method=m, pre_activation=True, scale="raw") for m in BACK}
    assert torch.equal(found["deconvolution"], found["gradient"])
    assert torch.equal(found["guided"], found["gradient"])


def test_the_three_agree_on_positive_signals():
    """Positive weights, biases and images: every input of a rectifier and every signal is positive."""
    model = stirred(vgg())
    for parameter in model.parameters():
        parameter.data.abs_()
    found = {m: explain(model, "8", 4, normal(3, 2, 19, 22).abs(), method=m, scale="raw") for m in BACK}
    torch.testing.assert_close(found["deconvolution"], found["gradient"], rtol=1e-12, atol=0)
    torch.testing.assert_close(found["guided"], found["gradient"], rtol=1e-12, atol=0)


def test_guided_is_deconvolution_masked_by_the_forward_pass():
    model = stirred(nn.Sequential(C(2, 3, 3), R(), C(3, 5, 1)))
    images = normal(2, 2, 9, 11)
    before = model[0](images)
    images.requires_grad_(True)
    signal = model(images)[:, 3].detach()
    sent = torch.einsum("nhw,c->nchw", signal, model[2].weight[3, :, 0, 0]).clamp(min=0).detach()
    for method, mask in {"deconvolution": torch.ones_like(before), "guided": (before > 0).double()}.items():
        expected = torch.autograd.grad(model[0](images), images, sent * mask)[0]
        assert relative(explain(model, "2", 3, images, method=method, pre_activation=True, scale="raw"), expected) < 1e-12


def test_a_relu_written_as_a_function_is_one():
    modules = stirred(vgg())
    layers = [m for m in modules if not isinstance(m, R)]
    rectified = [(isinstance(after, R)) for m, after in zip(modules, [*modules][1:] + [None], strict=True) if not isinstance(m, R)]

    def forward(m, x):
        for i, (layer, relu) in enumerate(zip(m.layers, rectified, strict=True)):
            x = layer(x)
            x = [F.relu, torch.relu, lambda v: v.clamp(min=0), lambda v: F.relu(v, True)][i % 4](x) if relu and i < 6 else x
        return m.end(x)

    written = Custom(forward, layers=nn.ModuleList(layers), end=R()).eval()
    images = normal(2, 2, 19, 22)
    kernel = int(modules(images.clone()).flatten(2).amax(2).amin(0).argmax())
    for method in METHODS:
        expected = explain(modules, "8", kernel, images, method=method)
        assert relative(explain(written, "end", kernel, images, method=method), expected) < 1e-12


def test_a_peak_is_one_unit():
    model, point, _, images, layer = made("vgg")
    kernel = kernel_of("vgg", model, point, 0, images)
    for i, image in enumerate(images):
        x = image[None].clone().requires_grad_(True)
        unit = model(x.clone())[0, kernel].max()
        expected = torch.autograd.grad(unit, x)[0]
        found = explain(model, layer, kernel, images, method="gradient", signal="peak", scale="raw")[i : i + 1]
        assert relative(found, expected) < 1e-12
        relevance = explain(model, layer, kernel, images, method="lrp", signal="peak", scale="raw")[i : i + 1]
        assert relative(relevance, x.detach() * expected / float(unit.detach())) < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_an_image_does_not_depend_on_its_batch(method):
    model, point, call, images, layer = made("resnet")
    kernel = kernel_of("resnet", model, point, call, images)
    whole = explain(model, layer, kernel, images, method=method)
    parts = torch.cat([explain(model, layer, kernel, image[None], method=method) for image in images])
    assert relative(whole, parts) < 1e-9
    assert relative(explain(model, layer, kernel, images, method=method, batch_size=2), parts) < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_vectors_are_maps_of_one_pixel(method):
    model = stirred(nn.Sequential(C(2, 3, 3), R(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5), R()))
    images = normal(4, 2, 9, 11)
    kernel = int(model(images.clone()).amin(0).argmax())
    found = explain(model, "4", kernel, images, method=method, scale="raw")
    if method == "lrp":
        expected = input_times_gradient(model, "5", kernel, images)
    else:
        expected = literal(model, "5", kernel, images, method)
    assert relative(found, expected) < 1e-6


def test_an_inactive_kernel_is_refused_or_skipped():
    model = nn.Sequential(C(1, 2, 1, bias=False), R()).double()
    model[0].weight.data = torch.tensor([[[[1.0]]], [[[-1.0]]]]).double()
    images = torch.stack([torch.full((1, 3, 4), value).double() for value in (1.0, -1.0, 2.0, -2.0)])
    for batch_size in (1, 8):
        with pytest.raises(InactiveKernelError, match="kernel 0 on image 1, kernel 0 on image 3") as caught:
            explain(model, "0", 0, images, method="guided", batch_size=batch_size)
        assert caught.value.pairs == [(0, 1), (0, 3)]
    for method in METHODS:
        found = explain(model, "0", 0, images, method=method, on_inactive="skip", batch_size=3)
        assert found.flatten(1).isnan().all(1).tolist() == [False, True, False, True]
        torch.testing.assert_close(found[[0, 2]], images[[0, 2]])


def snapshot(model: nn.Module) -> tuple:
    return (
        [(name, value.clone(), value.requires_grad, value.grad) for name, value in model.named_parameters()],
        {name: value.clone() for name, value in model.named_buffers()},
        [m.training for m in model.modules()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        [type(m) for m in model.modules()],
    )


def same(a: tuple, b: tuple) -> bool:
    parameters = all(x[0] == y[0] and torch.equal(x[1], y[1]) and x[2:] == y[2:] for x, y in zip(a[0], b[0], strict=True))
    return parameters and all(torch.equal(a[1][name], b[1][name]) for name in a[1]) and a[2:] == b[2:]


@pytest.mark.parametrize("method", METHODS)
def test_the_model_and_the_images_stay_as_they_were(method):
    model, _, _, images, layer = made("resnet")
    model.train()[0].bn.eval()
    model[0].a.weight.requires_grad_(False)
    before, kept = snapshot(model), images.clone()
    explain(model, layer, 3, images, method=method, scale="fit", on_inactive="skip")
    assert same(before, snapshot(model))
    assert torch.equal(images, kept) and not images.requires_grad


def test_the_model_stays_as_it_was_after_an_error():
    model = stirred(nn.Sequential(C(2, 3, 3), nn.SiLU(), C(3, 5, 3), R()))
    model.train()
    before = snapshot(model)
    with pytest.raises(ValueError, match="silu"):
        explain(model, "2", 1, normal(2, 2, 9, 11), method="lrp")
    assert same(before, snapshot(model))


def test_works_where_gradients_are_switched_off():
    model, _, _, images, layer = made("vgg")
    for method in METHODS:
        expected = explain(model, layer, 4, images, method=method, on_inactive="skip")
        with torch.no_grad():
            assert torch.equal(explain(model, layer, 4, images, method=method, on_inactive="skip").nan_to_num(), expected.nan_to_num())
        with torch.inference_mode():
            assert torch.equal(explain(model, layer, 4, images, method=method, on_inactive="skip").nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_agrees_with_double(method):
    """The same weights in both; LRP computes in double precision either way, so that only the result is rounded."""
    model, point, call, images, layer = made("resnet")
    kernel = kernel_of("resnet", model, point, call, images)
    single, images = model.float(), images.float()
    found = explain(single, layer, kernel, images, method=method, scale="raw")
    assert found.dtype == torch.float32
    expected = explain(copy.deepcopy(single).double(), layer, kernel, images.double(), method=method, scale="raw")
    assert relative(found.double(), expected) < (1e-6 if method == "lrp" else 1e-4)


CONSTANT = normal(3, 1, 1, seed=8)
WRITTEN = {
    "a difference": lambda m, x: m.a(x) - m.b(x),
    "a multiple in a sum": lambda m, x: torch.add(m.a(x), m.b(x), alpha=-0.5),
    "reversed": lambda m, x: 0.3 - m.a(x),
    "a constant": lambda m, x: m.a(x) + CONSTANT.float() - 0.7,
    "scaled": lambda m, x: (m.a(x) - CONSTANT) / CONSTANT.abs() * 1.5,
    "broadcast": lambda m, x: m.a(x) + m.b(x).mean((2, 3), keepdim=True),
    "in place": lambda m, x: m.a(x).mul_(1.5).sub_(m.b(x)).add_(1).div_(2),
    "upsampled": lambda m, x: F.interpolate(m.a(x)[:, :, ::2, 1::2], scale_factor=2, mode="bilinear"),
    "shuffled": lambda m, x: torch.cat([m.b(x)[:, 1:], F.pad(m.a(x), (1, 0, 0, 1))[:, :1, 1:, :-1]], 1).flip(2),
    "a matrix": lambda m, x: (m.a(x).permute(0, 2, 3, 1) @ normal(3, 3, seed=2)).permute(0, 3, 1, 2),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", WRITTEN)
def test_affine_calls_written_out(name, method):
    """Whatever is affine in the image keeps the gradient, and has the epsilon rule."""
    between, layers = WRITTEN[name], {"a": C(2, 3, 3), "b": C(2, 3, 3), "r": R(), "last": C(3, 5, (2, 3)), "out": R()}
    model = stirred(Custom(lambda m, x: m.out(m.last(m.r(between(m, x)))), **layers))
    images = normal(2, 2, 11, 14)
    kernel = int(model(images.clone()).flatten(2).amax(2).amin(0).argmax())
    found = explain(model, "out", kernel, images, method=method, scale="raw")
    if method == "lrp":
        assert relative(found, input_times_gradient(model, "out", kernel, images)) < 1e-4
    else:
        assert relative(found, literal(model, "out", kernel, images, method)) < 1e-12
