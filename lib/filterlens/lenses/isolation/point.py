"""Where a kernel's maps are taken: after the activation that follows the named layer, found by running the network once.

The paper looks at maps after the ReLU. In a network's code that ReLU may be the next module (VGG), stand behind a batch
normalisation (ResNet), inside of it (timm's BatchNormAct2d), or be one shared module that is called several times.
``feature_point`` says its name, ``find_point`` the call too, ``Tap`` is the network that ends there; ``isolate`` and the
attribution lens build on them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ... import checks, network

_LINEAR = (nn.modules.conv._ConvNd, nn.Linear)
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
_PASSING = (nn.Identity, nn.modules.dropout._DropoutNd)
_NOT_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin)


class Point(NamedTuple):
    """A place in a forward pass: the output of call number ``call`` (from 0) of the module ``name``."""

    name: str
    call: int = 0


class _Seen(NamedTuple):
    """One finished call; the tensors are held, so that no other can get their identity."""

    point: Point
    module: nn.Module
    received: Tensor | None
    received_version: int
    gave: Tensor | None
    gave_version: int


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an elementwise activation, torch's own or timm's."""
    home = type(module).__module__
    named = home == "torch.nn.modules.activation" or (home.startswith("timm.layers.") and "activations" in home)
    return named and not isinstance(module, _NOT_ACTIVATIONS)


def feature_point(model: nn.Module, layer: str, *, example: Tensor, pre_activation: bool = False) -> str:
    """The dotted name of the module whose output are the maps of ``layer`` after the activation that follows it.

    layer: a convolution, linear layer or normalisation is followed through normalisations, dropout and identities to the next
        activation module; a module that ends in an activation (a block, timm's BatchNormAct2d) and any other module stands for itself.
    example: normalized images (n, c, h, w); the first is run through the model, in eval mode and without gradients.
    pre_activation: True returns the layer itself.

    Where no activation module consumes the output (a linear bottleneck, a residual addition, a functional relu) the layer itself
    is returned, with a UserWarning. Where the activation is a module shared by several places, ``find_point`` says which call.
    Raises TypeError or ValueError naming the argument, also where the layer is not run.
    """
    return find_point(model, layer, example=example, pre_activation=pre_activation).name


def find_point(model: nn.Module, layer: str, *, example: Tensor, pre_activation: bool = False, argument: str = "example") -> Point:
    """``feature_point`` with the number of the module's call, 0 unless the module is used in several places.

    argument: what errors call the example.
    """
    named = network._find("layer", model, layer)
    checks.tensor(argument, example, "n c h w")
    if not isinstance(pre_activation, bool):
        raise TypeError(f"pre_activation: got {checks.describe(pre_activation)}, expected True or False")
    seen = _run(model, example[:1], argument)
    at = next((i for i, call in enumerate(seen) if call.module is named), None)
    if at is None:
        raise ValueError(f"layer: {layer!r} is not run when the model is, expected a layer of its forward pass")
    if pre_activation or not isinstance(named, _LINEAR + _NORMS) or _activated(seen, at):
        return Point(layer)
    reached = _follow(seen, at)
    if reached is None:
        said = f"layer: no activation module takes the output of {layer!r} ({type(named).__name__}); its maps are taken as they are"
        warnings.warn(f"{said} (pre_activation=True says so without this warning)", stacklevel=3)
        return Point(layer)
    return reached


def _follow(seen: list[_Seen], at: int) -> Point | None:
    """From one call to the activation that its output reaches; None if something else takes it, or changes it in place."""
    call, after = seen[at], at
    while True:
        taken = [
            i for i in range(after + 1, len(seen))
            if seen[i].received is call.gave and call.gave is not None and _steps(seen[i].module)
        ]  # fmt: skip
        if not taken:
            return None
        after = taken[0]
        following = seen[after]
        if following.received_version != call.gave_version:  # `out += shortcut` keeps the tensor and changes what is in it
            return None
        if is_activation(following.module) or _activated(seen, after):
            return following.point
        if not isinstance(following.module, _NORMS + _PASSING):
            return None
        call = following


def _steps(module: nn.Module) -> bool:
    """A container hands its input on to its parts, so only these are asked; a normalisation may have parts and is asked itself."""
    return isinstance(module, _NORMS) or next(module.children(), None) is None


def _activated(seen: list[_Seen], at: int) -> bool:
    """Whether a call gave what an activation inside of it gave."""
    inside = {id(module) for module in seen[at].module.modules()}
    return any(id(call.module) in inside and is_activation(call.module) and call.gave is seen[at].gave for call in seen[:at])


def _run(model: nn.Module, image: Tensor, argument: str) -> list[_Seen]:
    """Every call of a named module in one forward pass, in the order in which they end."""
    seen: list[_Seen] = []
    entered: dict[str, list[tuple[Tensor | None, int]]] = {}
    counts: dict[str, int] = {}

    def enter(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple) -> None:
            first = args[0] if args and isinstance(args[0], Tensor) else None
            entered.setdefault(name, []).append((first, -1 if first is None else first._version))

        return hook

    def leave(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, output: object) -> None:
            received, version = entered[name].pop()
            gave = output if isinstance(output, Tensor) else None
            point = Point(name, counts.get(name, 0))
            counts[name] = point.call + 1
            seen.append(_Seen(point, module, received, version, gave, -1 if gave is None else gave._version))

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(enter(name)).remove)
                stack.callback(module.register_forward_hook(leave(name)).remove)
        with network.evaluating(model), network._blamed(argument, image):
            model(image.clone())
    return seen


class Tap(nn.Module):
    """The caller's network that ends at a point and returns its maps (n, k, H, W); vectors (n, k) are maps of 1 x 1.

    Weights are shared, nothing after the point is computed. Raises ValueError naming ``layer`` in the forward pass if the
    output is neither, RuntimeError if the point is not reached.
    """

    def __init__(self, model: nn.Module, point: Point) -> None:
        super().__init__()
        self.point = point
        self.training = model.training
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        token, left = object(), [self.point.call]

        def stop(module: nn.Module, inputs: tuple, output: Any) -> None:
            if left[0] == 0:
                raise network._Reached(token, output)
            left[0] -= 1

        handle = self.model.get_submodule(self.point.name).register_forward_hook(stop)
        try:
            self.model(images)
        except network._Reached as reached:
            if reached.by is not token:
                raise
            return checked_maps(reached.value, self.point.name)
        finally:
            handle.remove()
        raise RuntimeError(f"layer: the forward pass ended without call {self.point.call} of {self.point.name!r}")


def checked_maps(output: Any, layer: str) -> Tensor:
    """A module's output as maps (n, k, H, W), vectors (n, k) as 1 x 1; a ValueError naming ``layer`` for anything else."""
    if not isinstance(output, Tensor) or output.ndim not in (2, 4) or not output.is_floating_point():
        found = checks.describe(output)
        raise ValueError(f"layer: {layer!r} gives {found}, expected a layer that gives maps (n, k, h, w) or vectors (n, k)")
    return output if output.ndim == 4 else output[:, :, None, None]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients of parameters; afterwards, also after an error, every mode and ``requires_grad`` as it was."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with network.mode_kept(model), torch.enable_grad():
        model.eval()
        try:
            for parameter in wanted:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)
