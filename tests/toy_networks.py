"""Small networks with every construction that decoding has to pass, and the gradient oracle they are held against.

All widths and kernel sizes differ, so that a transposition shows. Weights are float64 and random, as are the statistics
and gains of batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Custom(nn.Module):
    """Layers by name and a forward pass written out: ``forward(self, x)`` as a plain function."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.written = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


def stirred(model: nn.Module, seed: int = 0) -> nn.Module:
    """Double precision, random weights, biases, statistics and gains, evaluation mode."""
    noise = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise, dtype=torch.float64))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=noise))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=noise))
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tiny() -> nn.Module:
    """The paper's construction, all dimensions different: image channels 2, 3 filters of 3x2, a pool, 4 of 2x3, 5 of 2x2."""
    return stirred(nn.Sequential(nn.Conv2d(2, 3, (3, 2)), nn.MaxPool2d(2), nn.Conv2d(3, 4, (2, 3)), nn.ReLU(), nn.Conv2d(4, 5, 2)))


def _residual(m, x):
    x = m.stem(x)
    return m.last(F.relu(m.b(F.relu(m.a(x))) + x))


def _projection(m, x):
    x = m.stem(x)
    return m.last(F.relu(m.bn(m.b(F.relu(m.a(x)))) + m.shortcut(x)))


def _option_a(m, x):
    x = m.stem(x)
    return m.last(F.relu(m.b(F.relu(m.a(x))) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 3))))


def _dense(m, x):
    x = m.stem(x)
    for layer in (m.a, m.b):
        x = torch.cat([x, layer(F.relu(x))], 1)
    return m.last(x)


def _inception(m, x):
    return m.last(torch.cat([m.one(x), m.three(x), F.max_pool2d(x, 3, 1, 1)], 1))


def _chunks(m, x):
    a, b = m.stem(x).chunk(2, 1)
    first, second = torch.split(m.a(a), [2, 3], dim=1)
    return m.last(torch.cat([second, m.b(b), first], 1))


def _in_place(m, x):
    x = m.relu(m.stem(x))
    y = m.a(x)
    y += x
    return m.last(m.relu(y))


def _functional(m, x):
    x = F.max_pool2d(F.relu(m.stem(x), inplace=True), 2)
    return m.last(torch.cat((F.relu6(m.a(x)), torch.relu(x)), dim=1))


def _manual_affine(m, x):
    x = m.stem(x) * m.gamma + m.beta
    x = 2.5 - F.dropout(x, 0.5, training=False) / 3.0
    return m.last(x.clamp(-1, 1))


def _asymmetric(m, x):
    return m.last(F.pad(m.stem(F.pad(x, (0, 1, 1, 2))), (2, 0, 0, 1)))


def _global_mean(m, x):
    return m.last(F.relu(m.a(x)).mean((2, 3)))


def _select(m, x):
    x = m.stem(x)
    return m.last(x[:, 1:6:2, 1::2, 2::2] + x[..., 4:, :, :][:, :, 1::2, 2::2])


def _manual_layers(forward, **layers):
    model = Custom(forward, **layers)
    model.gamma = nn.Parameter(torch.ones(1, 3, 1, 1))
    model.beta = nn.Parameter(torch.ones(3, 1, 1))
    return model


C, P, R = nn.Conv2d, nn.MaxPool2d, nn.ReLU

# name -> (how to build it, the layer to decode, image (c, h, w))
ZOO: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, int, int]]] = {
    "strided": (lambda: nn.Sequential(C(2, 3, (3, 2), stride=2), R(), C(3, 5, (2, 4), stride=3)), "2", (2, 34, 37)),
    "padded": (lambda: nn.Sequential(C(2, 3, 5, padding=2), R(), C(3, 4, 3, padding=(1, 0)), C(4, 5, 2, padding=1)), "3", (2, 21, 24)),
    "dilated": (
        lambda: nn.Sequential(C(2, 3, 3, dilation=2, padding=2), C(3, 5, (3, 2), dilation=(2, 3)), P(2), C(5, 4, 2, dilation=2)),
        "3",
        (2, 34, 37),
    ),
    "grouped": (lambda: nn.Sequential(C(4, 6, 3, groups=2), R(), C(6, 9, 2, groups=3)), "2", (4, 15, 17)),
    "depthwise": (lambda: nn.Sequential(C(2, 4, 3, groups=2, stride=2), C(4, 4, (3, 2), groups=4), C(4, 7, 1)), "2", (2, 25, 28)),
    "last is depthwise": (lambda: nn.Sequential(C(2, 4, 3), C(4, 8, (3, 2), groups=4, stride=2)), "1", (2, 25, 28)),
    "bn after": (
        lambda: nn.Sequential(C(2, 3, 3, bias=False), nn.BatchNorm2d(3), R(), C(3, 5, 2), nn.BatchNorm2d(5, affine=False), C(5, 4, 3)),
        "5",
        (2, 15, 18),
    ),
    "bn before": (lambda: nn.Sequential(nn.BatchNorm2d(2), C(2, 3, 3), nn.BatchNorm2d(3), R(inplace=True), C(3, 5, 2)), "4", (2, 15, 18)),
    "residual": (
        lambda: Custom(_residual, stem=C(2, 3, 3), a=C(3, 4, 3, padding=1), b=C(4, 3, (5, 3), padding=(2, 1)), last=C(3, 5, 2)),
        "last",
        (2, 25, 28),
    ),
    "projection": (
        lambda: Custom(
            _projection,
            stem=C(2, 3, 3),
            a=C(3, 4, 3, stride=2, padding=1),
            b=C(4, 6, 3, padding=1),
            bn=nn.BatchNorm2d(6),
            shortcut=nn.Sequential(C(3, 6, 1, stride=2), nn.BatchNorm2d(6)),
            last=C(6, 5, 2),
        ),
        "last",
        (2, 33, 36),
    ),
    "option A": (
        lambda: Custom(_option_a, stem=C(2, 3, 3), a=C(3, 4, 3, stride=2, padding=1), b=C(4, 7, 3, padding=1), last=C(7, 5, 2)),
        "last",
        (2, 33, 36),
    ),
    "dense": (
        lambda: Custom(_dense, stem=C(2, 3, 3), a=C(3, 4, 3, padding=1), b=C(7, 5, (1, 3), padding=(0, 1)), last=C(12, 6, 2)),
        "last",
        (2, 25, 28),
    ),
    "inception": (lambda: Custom(_inception, one=C(2, 3, 1), three=C(2, 4, 3, padding=1), last=C(9, 5, 2)), "last", (2, 15, 18)),
    "overlapping pool": (lambda: nn.Sequential(C(2, 3, 3), P(3, 2, 1), C(3, 5, (2, 3)), P(3, 2), C(5, 4, 2)), "4", (2, 51, 54)),
    "ceil pool": (lambda: nn.Sequential(C(2, 3, 3), P(3, 2, ceil_mode=True), C(3, 5, (2, 3))), "2", (2, 31, 34)),
    "average pool": (
        lambda: nn.Sequential(C(2, 3, 3), nn.AvgPool2d(2), C(3, 5, 2), nn.AvgPool2d(3, 2, 1), C(5, 4, (2, 3))),
        "4",
        (2, 51, 54),
    ),
    "adaptive pool": (lambda: nn.Sequential(C(2, 3, 3), R(), nn.AdaptiveAvgPool2d((4, 3)), C(3, 5, (3, 2))), "3", (2, 10, 8)),
    "adaptive max": (lambda: nn.Sequential(C(2, 3, 3), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(12, 5)), "3", (2, 10, 14)),
    "flatten": (
        lambda: nn.Sequential(C(2, 3, 3, padding=1), P(2), nn.Flatten(), nn.Linear(3 * 5 * 4, 6), R(), nn.Linear(6, 5)),
        "5",
        (2, 10, 8),
    ),
    "global mean": (lambda: Custom(_global_mean, a=C(2, 3, (3, 4)), last=nn.Linear(3, 5)), "last", (2, 9, 11)),
    "same, even": (
        lambda: nn.Sequential(C(2, 3, 4, padding="same"), C(3, 5, (2, 3), padding="same", dilation=(3, 1)), C(5, 4, 2, padding="valid")),
        "2",
        (2, 25, 28),
    ),
    "asymmetric": (lambda: Custom(_asymmetric, stem=C(2, 3, (5, 4), stride=2), last=C(3, 5, 3, stride=2)), "last", (2, 37, 40)),
    "chunk and split": (lambda: Custom(_chunks, stem=C(2, 6, 3), a=C(3, 5, 3), b=C(3, 4, 3), last=C(9, 7, 2)), "last", (2, 15, 18)),
    "in place": (
        lambda: Custom(_in_place, stem=C(2, 3, 3), relu=R(inplace=True), a=C(3, 3, (5, 3), padding=(2, 1)), last=C(3, 5, 2)),
        "last",
        (2, 25, 28),
    ),
    "functional": (lambda: Custom(_functional, stem=C(2, 3, 3), a=C(3, 4, (1, 3), padding=(0, 1)), last=C(7, 5, 2)), "last", (2, 25, 28)),
    "manual affine": (lambda: _manual_layers(_manual_affine, stem=C(2, 3, 3), last=C(3, 5, (2, 3))), "last", (2, 15, 18)),
    "select": (lambda: Custom(_select, stem=C(2, 7, 3), last=C(3, 5, (2, 3))), "last", (2, 25, 28)),
}


def build(name: str) -> tuple[nn.Module, str, tuple[int, int, int]]:
    make, layer, size = ZOO[name]
    return stirred(make()), layer, size


class Linearised(TorchFunctionMode):
    """Inside, activations do nothing and maximum pools average: what is left is the network's linear part and biases."""

    identities = {"relu", "relu_", "relu6", "clamp", "hardtanh"}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in self.identities:
            return args[0]
        if name == "max_pool2d":
            names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
            a = dict(zip(names, args, strict=False)) | kwargs
            stride = a.get("stride") or a["kernel_size"]
            return F.avg_pool2d(a["input"], a["kernel_size"], stride, a.get("padding", 0), a.get("ceil_mode", False))
        if name == "adaptive_max_pool2d":
            return F.adaptive_avg_pool2d(*args[:2])
        return func(*args, **kwargs)


def forward_to(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """The output of a layer, (n, k, h, w); the rest of the network is not run."""

    class Reached(Exception):
        pass

    def stop(module, args, output):
        found.append(output)
        raise Reached

    found: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(stop)
    try:
        model(images)
    except Reached:
        pass
    finally:
        handle.remove()
    return found[0] if found[0].ndim == 4 else found[0][:, :, None, None]


def gradient(model: nn.Module, layer: str, kernel: int, size: tuple[int, int, int], unit: tuple[int, int]) -> Tensor:
    """The image gradient (c, h, w) of one unit of the linearised network."""
    image = torch.zeros(1, *size, dtype=next(model.parameters()).dtype, requires_grad=True)
    with Linearised():
        maps = forward_to(model, layer, image)
    return torch.autograd.grad(maps[0, kernel, unit[0], unit[1]], image)[0][0]


def placed(picture: Tensor, corner: tuple[int, int], size: tuple[int, int, int]) -> Tensor:
    """A picture (c, h, w) on an empty image of ``size``, cut where it reaches beyond the border."""
    (top, left), (_, h, w) = corner, size
    return F.pad(picture, (left, w - left - picture.shape[2], top, h - top - picture.shape[1]))


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest value of the second."""
    return float(((a - b).abs().max() / b.abs().max()).detach())
