"""Look inside any CNN: its convolutions, their filters, what they answer, and what reaches the classifier.

Works on every ``torch.nn.Module`` whose forward pass is Python: layers are found by their dotted names and watched with
hooks that never outlive the call or the ``with`` block, also when it ends in an exception. Weights, training modes and
``requires_grad`` stay as they are. The lenses build on this file; it knows none of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from filterlens import checks


class _Reached(BaseException):
    """Ends a forward pass that need not go on; no Exception, so that no network's ``except`` can swallow it."""

    def __init__(self, by: object, value: Any) -> None:
        super().__init__("a forward pass was stopped")
        self.by, self.value = by, value


class _Call(NamedTuple):
    name: str
    module: nn.Module
    received: tuple[int, ...]  # shape of the first input, () if that is no tensor
    gave: tuple[int, ...]


def conv_layers(model: nn.Module, *, example: Tensor | None = None) -> dict[str, nn.Module]:
    """Every 2-D convolution by its dotted name; a shared one stands under its first name.

    Without an example they come in order of registration. With one, normalized images (n, c, h, w), the model is run once
    (eval mode, no gradients): then in order of first execution, those that did not run at the end.
    """
    layers = {name: module for name, module in checks.module("model", model).named_modules() if name and isinstance(module, nn.Conv2d)}
    if example is None:
        return layers
    order = dict.fromkeys(call.name for call in _calls(model, example) if call.name in layers)
    return {name: layers[name] for name in [*order, *(name for name in layers if name not in order)]}


def filters(model: nn.Module, layer: str) -> Tensor:
    """A copy of a convolution's weight (k, c, kh, kw), where c counts the channels of one group.

    Raises ValueError for an unknown layer (with near names) or one that is no convolution.
    """
    module = _find("layer", model, layer)
    if not isinstance(module, nn.Conv2d):
        names = list(conv_layers(model))
        raise ValueError(
            f"layer: {layer!r} is a {type(module).__name__}, expected a 2-D convolution; the model has {len(names)}{_such_as(layer, names)}"
        )
    return module.weight.detach().clone()


def capture(model: nn.Module, layers: str | Sequence[str], *, detach: bool = True) -> AbstractContextManager[dict[str, Tensor]]:
    """``with capture(model, ["conv1"]) as found: model(x)`` fills ``found["conv1"]`` with that layer's output (n, k, h, w).

    The dict holds the last forward pass of the model, and the true outputs: an in-place activation that follows works on
    another copy. With ``detach=False`` they stay on the path to the model's output, so gradients with respect to them are
    right. A layer that is called several times leaves its last output. Peak memory: one copy of each output, two without detach.

    Raises TypeError or ValueError for wrong or unknown layers; TypeError in the forward pass if an output is not one tensor.
    """
    names = [layers] if isinstance(layers, str) else layers
    if not isinstance(names, Sequence):
        raise TypeError(f"layers: got {checks.describe(layers)}, expected a name or a list of names")
    if not names:
        raise ValueError("layers: got an empty list, expected at least one name")
    if not isinstance(detach, bool):
        raise TypeError(f"detach: got {checks.describe(detach)}, expected True or False")
    return _captured(model, {name: _find("layers", model, name) for name in names}, detach)


@contextmanager
def _captured(model: nn.Module, modules: dict[str, nn.Module], detach: bool) -> Iterator[dict[str, Tensor]]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, output: object) -> Tensor | None:
            if not isinstance(output, Tensor):
                raise TypeError(f"layers: {name!r} gave {checks.describe(output)}, expected a layer with one tensor as output")
            if detach:
                found[name] = output.detach().clone()
                return None
            # The copy kept stays on the path, so that gradients reach it; the copy handed on may be overwritten in place.
            # (Keeping the output itself would fail for a layer that returns its input, which others may overwrite.)
            found[name] = output.clone()
            return found[name].clone()

        return hook

    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(lambda module, args: found.clear()).remove)
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        yield found


class Stopped(nn.Module):
    """A network that ends early, see ``stop_at``; ``model`` is the caller's own."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.layer = layer
        self.training = model.training
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        token = object()

        def stop(module: nn.Module, inputs: tuple, output: Any) -> None:
            raise _Reached(token, output)

        handle = self.model.get_submodule(self.layer).register_forward_hook(stop)
        try:
            self.model(*args, **kwargs)
        except _Reached as reached:
            if reached.by is not token:
                raise
            return reached.value
        finally:
            handle.remove()
        raise RuntimeError(f"layer: the forward pass ended without running {self.layer!r}")


def stop_at(model: nn.Module, layer: str) -> nn.Module:
    """The same network, weights shared, whose forward pass ends at a layer and returns its output (n, k, h, w).

    Nothing after the layer is computed, so no later in-place activation touches the output; gradients flow to the input.
    The layer may be any module; one that is called several times stops at its first call. Calling ``eval()`` or ``train()``
    on the result does so on the model. Raises TypeError or ValueError for an unknown layer.
    """
    _find("layer", model, layer)
    return Stopped(model, layer)


def classifier(model: nn.Module, *, example: Tensor | None = None) -> nn.Linear:
    """The one linear layer after pooling, whose input is one number per channel.

    Judged by registration: one linear layer after the last convolution, as wide as a convolution or batch normalisation of
    the model. With an example, normalized images (n, c, h, w), judged by what happens in a forward pass: one linear layer
    after the last map of more than one pixel, so that squeeze-and-excitation inside of a block does not count.

    Convolutions of what pooling left and activations may stand before that layer (MobileNetV3, timm's VGG): then the numbers
    are the channels of the last of them. Raises ValueError for any other head, saying what was found, and for an example that does
    not go through the model.
    """
    checks.module("model", model)
    if example is not None:
        return _judged(model, _calls(model, example))
    calls = [_Call(name, module, (), ()) for name, module in model.named_modules() if name]
    widths = {m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)}
    widths |= {m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    return _judged(model, calls, widths)


def _judged(model: nn.Module, calls: list[_Call], widths: set[int] | None = None) -> nn.Linear:
    """The classifier among calls in order; ``widths`` are those that channels can have, None for the ones the calls show."""
    name = type(model).__name__
    expected = "expected exactly one linear layer after pooling"
    hint = "" if widths is None else "; pass example= to judge by a forward pass instead of registration"
    convolutions = [at for at, call in enumerate(calls) if isinstance(call.module, nn.Conv2d)]
    if not convolutions:
        raise ValueError(f"model: {name} has no 2-D convolution, expected a CNN with one linear layer after pooling")
    # A container receives a map before its parts run and ends after them, so only for a leaf what it receives tells when.
    maps = [
        at for at, call in enumerate(calls)
        if _is_map(call.gave) or (_is_map(call.received) and next(call.module.children(), None) is None)
    ]  # fmt: skip
    tail = [call for call in calls[max(convolutions[-1:] + maps[-1:]) :] if isinstance(call.module, nn.Linear)]
    said = [f"{call.name}: {call.module.in_features} -> {call.module.out_features}" for call in tail]
    if tokens := [text for text, call in zip(said, tail, strict=True) if len(call.received) == 3]:
        raise ValueError(f"model: {name} has {_few('linear layer', tokens)} on tokens instead of pooled maps; {expected}")
    if len(tail) != 1:
        last = calls[convolutions[-1]]
        found = _few("linear layer", said) if tail else f"no linear layer after {last.name!r}, its last convolution"
        raise ValueError(f"model: {name} has {found}; {expected}{hint}")
    if widths is None:
        widths = {call.gave[1] for call in calls if len(call.gave) == 4}
    if tail[0].module.in_features not in widths or len(tail[0].received) not in (0, 2):
        raise ValueError(f"model: {name} ends in {said[0]}, which is not one number per channel; {expected}{hint}")
    return tail[0].module


def _is_map(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[2] * shape[3] > 1


def _few(what: str, said: list[str]) -> str:
    return f"{len(said)} {what}{'s' * (len(said) != 1)} [{', '.join(map(repr, said[:3]))}{', ...' * (len(said) > 3)}]"


def pooled(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, normalization: Any = None) -> tuple[Tensor, Tensor]:
    """What reaches the classifier: features (n, d) and labels (n,), both on the CPU.

    batches: pairs of normalized images (m, c, h, w) and labels (m,), taken one by one; with ``normalization`` (an object with
    ``apply``) images in [0, 1], such as ``data.load(...).batches(256)`` yields. Runs in eval mode without gradients, on the
    model's device and in its precision. Peak memory: one batch's forward pass and the features.

    Raises TypeError or ValueError for wrong batches and for a head that ``classifier`` refuses.
    """
    checks.module("model", model)
    if not isinstance(batches, Iterable) or isinstance(batches, str | Tensor):
        raise TypeError(f"batches: got {checks.describe(batches)}, expected pairs of images (m, c, h, w) and labels (m,)")
    if normalization is not None and not callable(getattr(normalization, "apply", None)):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected None or an object with apply(images)")
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.empty(0))
    features, labels, head = [], [], None
    token = object()

    def stop(module: nn.Module, args: tuple) -> None:
        raise _Reached(token, args[0])

    for at, batch in enumerate(batches):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(f"batches: number {at} is {checks.describe(batch)}, expected images (m, c, h, w) and labels (m,)")
        name = f"batches: images of number {at}"
        images = checks.tensor(name, batch[0], "m c h w")
        labels.append(checks.tensor(f"batches: labels of number {at}", batch[1], "m", sizes={"m": len(images)}, floating=False).cpu())
        images = (images if normalization is None else normalization.apply(images)).to(like)
        head = _judged(model, _calls(model, images[:1], name)) if head is None else head
        handle = head.register_forward_pre_hook(stop)
        try:
            with evaluating(model), _blamed(name, images):
                model(images)
        except _Reached as reached:
            if reached.by is not token:
                raise
            features.append(reached.value.cpu().clone())
        finally:
            handle.remove()
    if not features:
        raise ValueError("batches: got none, expected at least one pair of images and labels")
    return torch.cat(features), torch.cat(labels)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``with evaluating(model): ...``: eval mode without gradients; afterwards, also after an error, every module's own mode."""
    with mode_kept(checks.module("model", model)), torch.no_grad():
        model.eval()
        yield


@contextmanager
def mode_kept(model: nn.Module) -> Iterator[None]:
    """Every module leaves in the training or evaluation mode it came in, also after an error."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def _blamed(name: str, images: Tensor) -> Iterator[None]:
    """Whatever a network's own code raises on the caller's images is a ValueError that names the argument they came in."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name}: {checks.describe(images)} does not go through the model: {said}") from error


def _calls(model: nn.Module, example: Tensor, argument: str = "example") -> list[_Call]:
    """Every call of a named module during one forward pass, in the order in which they end."""
    checks.tensor(argument, example, "n c h w")
    calls: list[_Call] = []

    def note(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, output: object) -> None:
            shapes = (tuple(value.shape) if isinstance(value, Tensor) else () for value in (args[0] if args else None, output))
            calls.append(_Call(name, module, *shapes))

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(note(name)).remove)
        with evaluating(model), _blamed(argument, example):
            model(example)
    return calls


def _find(argument: str, model: nn.Module, layer: object) -> nn.Module:
    modules = dict(checks.module("model", model).named_modules(remove_duplicate=False))
    modules.pop("", None)
    if not isinstance(layer, str):
        raise TypeError(f"{argument}: got {checks.describe(layer)}, expected the dotted name of a layer")
    if layer not in modules:
        near = _such_as(layer, list(modules))
        raise ValueError(f"{argument}: got {layer!r}, expected the name of one of the model's {len(modules)} layers{near}")
    return modules[layer]


def _such_as(layer: str, names: list[str]) -> str:
    near = difflib.get_close_matches(layer, names, n=3, cutoff=0.5) or names[:3]
    return f", such as {near}" if near else ""
