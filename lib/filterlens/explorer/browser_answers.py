"""What a network answers to one image, all of it in a single forward pass: maps, responses, logits, decomposed logits, CAM.

``Answers`` is that pass as a module, so that it can be run here and, exported by ``browser``, in a reader's page: both know the
same outputs by the same names. ``browser_image`` shows them. The lenses' own functions are the truth it is tested against.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from filterlens import checks, network
from filterlens.lenses.influence import decompose
from filterlens.lenses.localization import pooled_layer
from filterlens.models import Normalization

FEW = 8  # images of noise that tell which layer is pooled


class Answers(nn.Module):
    """One image (1, c, h, w) in [0, 1] -> a tuple of tensors, called ``names``.

    ``logits`` (1, C); ``maps.LAYER`` (1, k, h', w') for every convolution but the classifier's, before anything that follows it. Of a
    plain chain on grey images (``is_chain``) also ``responses.LAYER`` (1, k, h', w'): what the layer's decoded filters (nearest unpooling,
    no scale) answer to the image; see ``responses``. With ``indices`` (C, s), the influential features of each class, of a network with
    global average pooling and one linear layer: ``features`` (1, d), ``decomposed`` (1, C), its logits from these features alone, and
    ``cam`` (1, C, h, w), the class activation maps at the image's size.

    model: a copy of it is run in eval mode, in float32 on the CPU as in the page; itself is not changed. Raises TypeError or ValueError
    naming the argument.
    Source: decoding arXiv 1511.05084, influence arXiv 2112.07719, CAM Zhou et al. 2016.
    """

    def __init__(self, model: nn.Module, normalization: Normalization, *, indices: Tensor | None = None) -> None:
        super().__init__()
        checks.module("model", model)
        if not isinstance(normalization, Normalization):
            raise TypeError(f"normalization: got {checks.describe(normalization)}, expected what models.normalization(name) gives")
        size = getattr(model, "input_size", None)
        if not isinstance(size, tuple) or len(size) != 3 or size[0] not in (1, 3):
            raise ValueError(f"model: got input_size {size!r}, expected a network for images of (1, h, w) or (3, h, w)")
        self.model, self.size = copy.deepcopy(model).eval().to("cpu", torch.float32), size
        model = self.model
        example = normalization.apply(torch.rand(FEW, *size, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("mean", normalization.mean.expand(1, *size).clone() if normalization.mean.ndim else normalization.mean)
        self.register_buffer("std", normalization.std)
        self.scale = normalization.scale
        with torch.no_grad():
            logits = model(example)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ValueError(f"model: gave {checks.describe(logits)}, expected logits (n, C)")
        self.n_classes = logits.shape[1]
        self.layers = _layers(model, example[:1])
        self.chain = size[0] == 1 and is_chain(model)
        self.names = ["logits", *(f"maps.{layer}" for layer in self.layers)]
        if self.chain:
            self.names += [f"responses.{layer}" for layer in self.layers]
        self.linear: nn.Linear | None = None
        if indices is not None:
            self.linear = network.classifier(model, example=example)
            checks.index_rows("indices", indices, self.linear.in_features, rows=self.n_classes)
            self.few = decompose(self.linear, indices).dense()
            self.pooled = pooled_layer(model, example)
            self.names += ["features", "decomposed", "cam"]
        self.eval()  # as a whole: the exporter puts back the mode that it finds here, into every part

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = (image * self.scale - self.mean) / self.std
        wanted = [*self.layers, *([self.pooled] if self.linear is not None else [])]
        with network.capture(self.model, wanted, detach=False) as found:
            logits = self.model(x)
        given = [logits, *(found[layer] for layer in self.layers)]
        if self.chain:
            answered = responses(self.model, x)
            given += [answered[layer] for layer in self.layers]
        if self.linear is not None:
            last = found[self.pooled]
            features = last.mean((2, 3))
            seen = torch.einsum("ck,nkhw->nchw", self.linear.weight, last)
            given += [features, self.few(features), F.interpolate(seen, size=self.size[1:], mode="bilinear", align_corners=False)]
        return tuple(given)

    @torch.no_grad()
    def of(self, image: Tensor) -> dict[str, Tensor]:
        """The outputs by name, each without its first axis; image (c, h, w) in [0, 1]."""
        c, h, w = self.size
        checks.tensor("image", image, "c h w", sizes={"c": c, "h": h, "w": w})
        return {name: value[0] for name, value in zip(self.names, self(image[None]), strict=True)}


def is_chain(model: nn.Module) -> bool:
    """Whether a network is convolutions without padding, max-pools side by side and ReLUs, one after the other, with equal strides."""
    return isinstance(model, nn.Sequential) and all(_is_link(module) for module in model)


def _is_link(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.padding in ((0, 0), "valid") and module.stride[0] == module.stride[1]
    if isinstance(module, nn.MaxPool2d):
        sides = {*_pair(module.kernel_size), *_pair(module.stride)}
        return len(sides) == 1 and module.padding == 0 and module.dilation == 1 and not module.ceil_mode
    return isinstance(module, nn.ReLU)


def responses(model: nn.Sequential, x: Tensor) -> dict[str, Tensor]:
    """What decoded filters answer to normalized images (n, c, h, w), layer by layer (n, k, h', w'), without their pictures.

    A picture is the filter sent down through all layers, pools undone by copying, so its answer is the image sent up through the
    convolutions without biases and activations, pools summing: the same numbers as ``lenses.decoding.respond``, in another order.
    """
    found = {}
    for name, module in model.named_children():
        if isinstance(module, nn.Conv2d):
            x = F.conv2d(x, module.weight, None, module.stride, module.padding, module.dilation, module.groups)
            found[name] = x
        elif isinstance(module, nn.MaxPool2d):
            # The mean times the window is exported as it is; a divisor of 1 would be left out, silently.
            x = F.avg_pool2d(x, module.kernel_size, module.stride) * math.prod(_pair(module.kernel_size))
    return found


def _pair(side: int | tuple[int, int]) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else side


def _layers(model: nn.Module, example: Tensor) -> list[str]:
    """The convolutions in the order in which they run; one whose output are the logits is the classifier."""
    names = list(network.conv_layers(model, example=example))
    with torch.no_grad(), network.capture(model, names) as found:
        logits = model(example)
    return [name for name in names if name in found and found[name].flatten(1).shape != logits.shape]
