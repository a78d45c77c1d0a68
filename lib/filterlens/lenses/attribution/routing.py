"""Give every call of a network that needs a rule of its own a module of its own, on which captum and zennit can put it.

Both libraries attach their rules to modules, and know few kinds. A ReLU written as a function, a ReLU6, a batch normalisation
with the activation inside or a residual addition would silently keep the plain gradient; a module called twice, or one whose
input others use too, would get the wrong one. ``Routed`` therefore runs the caller's network, which stays as it is, under a
``Router`` that sees every function of torch: the n-th call that needs a rule goes through the n-th of its modules. A function
that is neither known to need a rule nor known to need none is refused; so is what torch does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .kinds import ACTIVATIONS, AFFINE, MOVES, SUMS, bounds, named, works_in_place

_SEEN = "_filterlens_seen"


class Activation(nn.ReLU):
    """A rectifier; captum looks for ``nn.ReLU``, so that is what it is, also with a ceiling (ReLU6)."""

    def __init__(self) -> None:
        super().__init__()
        self.ceiling: float | None = None

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.ceiling is None else F.hardtanh(x, 0.0, self.ceiling)  # clamp would pass the signal at 0


class Affine(nn.Module):
    """One call that is affine in its input; the constants of the call are in ``function``."""

    function: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Addition(nn.Module):
    """The sum over the last axis, on which the summands are stacked."""

    def forward(self, stacked: Tensor) -> Tensor:
        return stacked.sum(-1)


class Routed(nn.Module):
    """A network (n, c, h, w) -> maps (n, k, H, W) run call by call; ``calls`` are its rectifiers, and with ``sums`` the affine calls too.

    ``calls`` is filled by the first forward pass and used by the later ones, which must be the same sequence of calls. With a
    ``signal`` (n, k, H, W) the result is sum(signal * maps) of each image (n,), whose gradient at the maps is the signal.
    Raises ValueError naming ``model``, the function and the module, for a function without a rule for ``method``.
    """

    def __init__(self, tap: nn.Module, method: str, *, sums: bool) -> None:
        super().__init__()
        self.calls = nn.ModuleList()
        self._tap = (tap,)  # in a tuple: the libraries must not find the network's own modules
        self.method, self.sums = method, sums

    def forward(self, images: Tensor, signal: Tensor | None = None) -> Tensor:
        tap = self._tap[0]
        router = Router(self)
        with ExitStack() as stack:
            for name, module in tap.model.named_modules():
                stack.callback(module.register_forward_pre_hook(router.enter(name)).remove)
                stack.callback(module.register_forward_hook(router.leave).remove)
            start = images.clone()
            setattr(start, _SEEN, True)
            with router:
                maps = tap(start)
        router.check(maps, "the maps")
        if not maps.requires_grad:
            raise ValueError(f"model: {tap.point.name!r} gives maps without a gradient with respect to the images")
        return maps if signal is None else (signal * maps).flatten(1).sum(1)


class Router(TorchFunctionMode):
    """Sends the calls of one forward pass through the modules of a ``Routed``. What comes from the image requires a gradient."""

    def __init__(self, routed: Routed) -> None:
        super().__init__()
        self.routed, self.used = routed, 0
        self.inside: list[str] = []

    def enter(self, name: str) -> Callable:
        return lambda module, args: self.inside.append(name)

    def leave(self, module: nn.Module, args: tuple, output: object) -> None:
        self.inside.pop()

    def refuse(self, what: str) -> ValueError:
        place = f"in {self.inside[-1]!r}" if self.inside and self.inside[-1] else "in its own forward"
        advice = "method 'gradient' takes any network"
        return ValueError(f"model: {what} {place} has no rule for method {self.routed.method!r} here; {advice}")

    def check(self, value: Tensor, what: str) -> None:
        """A tensor that nobody saw being made was made by something with an unknown derivative."""
        if value.requires_grad and not hasattr(value, _SEEN):
            raise self.refuse(f"a call that torch does not show (such as a scripted function), which made {what},")

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = dict(kwargs or {})
        if not args and "input" in kwargs:
            args = (kwargs.pop("input"),)
        sources = [value for value in _tensors([*args, *kwargs.values()]) if value.requires_grad]
        if not sources:
            return func(*args, **kwargs)
        raw = getattr(func, "__name__", str(func))
        name = named(raw)
        for value in sources:
            self.check(value, f"what {name!r} takes")
        if not torch.is_grad_enabled():
            return self._hidden(name, func, args, kwargs)
        if name in ACTIVATIONS:
            result = self._rectified(name, *args, **kwargs)
        elif name in SUMS and self.routed.sums:
            result = self._summed(SUMS[name], *args, **kwargs)
        elif name in AFFINE or name in SUMS:
            result = self._affine(name, func, args, kwargs, sources)
        else:
            return self._moved(name, func, args, kwargs)
        if works_in_place(raw, args, kwargs):
            args[0].copy_(result)  # whoever holds the tensor sees what is in it now
            result = args[0]
        return _marked(result)

    def _next(self, kind: type[nn.Module]) -> nn.Module:
        calls = self.routed.calls
        if self.used == len(calls):
            calls.append(kind())
        self.used += 1
        module = calls[self.used - 1]
        if type(module) is not kind:
            raise RuntimeError(f"model: its forward pass is not the same twice, {kind.__name__} instead of {type(module).__name__}")
        return module

    def _rectified(self, name: str, x: Tensor, *given: object, **settings: object) -> Tensor:
        low, high = bounds(name, given, settings)
        if low != 0 or isinstance(high, Tensor) or (high is not None and high <= 0):
            raise self.refuse(f"{name} to [{low}, {high}]")
        module = self._next(Activation)
        module.ceiling = high
        # A tensor of its own: captum hooks what comes in, which other branches (a skip connection) may use as well.
        return module(x.clone())

    def _affine(self, name: str, func: Callable, args: tuple, kwargs: dict, sources: list[Tensor]) -> Tensor:
        if len(sources) > 1 and name not in SUMS:
            raise self.refuse(f"{name} of two maps")
        if name == "batch_norm" and (args[5] if len(args) > 5 else kwargs.get("training", False)):
            raise self.refuse("batch_norm by the statistics of the batch")
        if not self.routed.sums:
            return _plain(func)(*args, **kwargs)
        source = sources[0]
        module = self._next(Affine)

        def function(x: Tensor) -> Tensor:
            return _plain(func)(*[_put(v, source, x) for v in args], **{k: _put(v, source, x) for k, v in kwargs.items()})

        module.function = function
        return module(source.clone())

    def _summed(self, sign: int, a: object, b: object = None, *, alpha: float = 1, other: object = None, **rest: object) -> Tensor:
        values = (a, other if b is None else b)
        like = next(value for value in values if isinstance(value, Tensor))
        a, b = (value if isinstance(value, Tensor) else torch.tensor(value, dtype=like.dtype, device=like.device) for value in values)
        if sign * alpha != 1:  # a rule of its own: relevance does not change its sign with the value
            b = self._scaled(b, sign * alpha)
        kind = torch.result_type(a, b)
        both = torch.broadcast_tensors(a, b)
        return self._next(Addition)(torch.stack([value.to(kind) for value in both], -1))

    def _scaled(self, x: Tensor, factor: float) -> Tensor:
        if not x.requires_grad:
            return factor * x
        module = self._next(Affine)
        module.function = lambda value: factor * value
        return module(x.clone())

    def _hidden(self, name: str, func: Callable, args: tuple, kwargs: dict) -> object:
        result = func(*args, **kwargs)
        if any(value.is_floating_point() for value in _tensors([result])):
            raise self.refuse(f"{name!r} without gradients (inside of torch.no_grad or an autograd.Function)")
        return result

    def _moved(self, name: str, func: Callable, args: tuple, kwargs: dict) -> object:
        try:
            result = func(*args, **kwargs)
        except (RuntimeError, TypeError) as error:  # float64 beside the network's own precision
            if name in MOVES or name == "__get__":
                raise
            raise self.refuse(repr(name)) from error
        made = [value for value in _tensors([result]) if value.is_floating_point()]
        if made and name not in MOVES and not (name == "__get__" and all(value.requires_grad for value in made)):
            raise self.refuse("an attribute such as .data" if name == "__get__" else repr(name))
        return _marked(result)


def _plain(func: Callable) -> Callable:
    """``x += y`` and the like as functions that leave x alone."""
    name = getattr(func, "__name__", "")
    if name.startswith("__i"):
        return getattr(Tensor, "__" + name[3:])
    return getattr(torch, name[:-1]) if name.endswith("_") and not name.endswith("__") else func


def _put(value: object, source: Tensor, x: Tensor) -> object:
    """An argument of a call, with ``x`` for the image's tensor and constants in the precision of the image's."""
    if value is source:
        return x
    return value.to(x.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _tensors(values: object) -> list[Tensor]:
    flat = []
    for value in values if isinstance(values, list | tuple) else [values]:
        flat += [value] if isinstance(value, Tensor) else _tensors(value) if isinstance(value, list | tuple) else []
    return flat


def _marked(result: object) -> object:
    for value in _tensors([result]):
        setattr(value, _SEEN, True)
    return result
