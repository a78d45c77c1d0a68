"""See every call of torch that touches the image's tensors, and write down its linear part as a step.

``trace.py`` runs a network under the ``Recorder``. Each operation that has a linear part has one method here; whatever has
none becomes a ``Refused`` step, which matters only if a walk has to pass it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from . import steps

# elementwise functions whose linear part is the identity, and calls that change no value
IDENTITY = set(
    "relu relu_ relu6 relu6_ hardtanh hardtanh_ leaky_relu leaky_relu_ prelu rrelu rrelu_ elu elu_ celu celu_ selu selu_ gelu silu "
    "silu_ mish hardswish hardsigmoid sigmoid sigmoid_ tanh tanh_ softplus softsign threshold threshold_ clamp clamp_ softmax log_softmax "
    "dropout dropout_ dropout2d dropout2d_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout "
    "contiguous clone detach to float double half type type_as cpu cuda requires_grad_".split()
)
OPERATORS = {f"__{prefix}{name}__": name for prefix in ("", "i", "r") for name in ("add", "sub", "mul", "truediv")}
OPERATORS |= {"__rsub__": "rsub", "__rtruediv__": "a division by the image", "__getitem__": "getitem"}
NORMALISES_BY_INPUT = set("group_norm layer_norm instance_norm local_response_norm normalize rms_norm".split())


class Reached(BaseException):  # noqa: N818 - not an error, and no network's `except` may swallow it: the layer has been computed
    pass


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    value = tuple(value) if isinstance(value, list | tuple) else (value,)
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


class Recorder(TorchFunctionMode):
    """Numbers every tensor that comes from the image and keeps the steps between them.

    What torch functions do not show (a scripted function, a write into part of a tensor) must not pass for a constant: a tensor
    is one only if it belongs to the model or was seen being made from such.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        own = [*model.parameters(), *model.buffers(), *(v for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor))]
        self.constants = {id(tensor): tensor for tensor in own}
        self.steps: list[steps.Step] = []
        self.tensors: list[Tensor] = []  # kept alive: a freed tensor's id could be given to another
        self.ids: dict[int, int] = {}
        self.shapes: dict[int, torch.Size] = {}
        self.modules: list[str] = []
        self.target: int | None = None

    def number(self, tensor: Tensor) -> int:
        node = len(self.shapes)
        self.tensors.append(tensor)
        self.ids[id(tensor)], self.shapes[node] = node, tensor.shape
        return node

    def alias(self, tensor: Tensor, node: int) -> None:
        self.tensors.append(tensor)
        self.ids[id(tensor)] = node

    def enter(self, name: str) -> Callable:
        return lambda module, args: self.modules.append(name)

    def leave(self, wanted: bool) -> Callable:
        def hook(module: nn.Module, args: tuple, output: object) -> None:
            self.modules.pop()
            if wanted and self.target is None and isinstance(output, Tensor):
                self.target = self.ids.get(id(output))
                if self.target is not None:
                    raise Reached

        return hook

    def known(self, value: object) -> int | None:
        return self.ids.get(id(value)) if isinstance(value, Tensor) else None

    def add(self, kind: type[steps.Step], inputs: list[int], result: Tensor, **settings: object) -> Tensor:
        step = kind(tuple(inputs), self.number(result), self.modules[-1] if self.modules else "", **settings)
        self.steps.append(step)
        return result

    def overwritten(self, tensor: Tensor, inputs: list[int], reason: str) -> None:
        """Whoever shares memory with a tensor that is written to has no linear part any more; the writer records the tensor itself."""
        place = tensor.untyped_storage().data_ptr()
        sharing = [t for t in self.tensors if t is not tensor and t.untyped_storage().data_ptr() == place]
        whole = [tensor] if "overwritten" in reason else []
        for other in {id(t): t for t in [*sharing, *whole]}.values():
            self.add(steps.Refused, inputs or [0], other, reason=reason)

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = kwargs or {}
        flat = [*args, *kwargs.values()]
        flat += [v for value in flat if isinstance(value, list | tuple) for v in value]
        inputs = [n for n in map(self.known, flat) if n is not None]
        shapes = {self.known(v): v.shape for v in flat if self.known(v) is not None}
        result = func(*args, **kwargs)
        several = isinstance(result, list | tuple) and any(isinstance(r, Tensor) for r in result)
        name = getattr(func, "__name__", str(func))
        unseen = [v for v in flat if isinstance(v, Tensor) and self.known(v) is None and id(v) not in self.constants]
        if name == "__setitem__" and (inputs or unseen):
            self.overwritten(args[0], inputs, "a part of it is overwritten")
        if not inputs and not unseen:
            self.constants.update((id(r), r) for r in (result if several else [result]) if isinstance(r, Tensor))
        if not inputs or not (isinstance(result, Tensor) or several):
            return result  # shapes, numbers, and whatever does not come from the image
        if name == "__get__":  # attributes: .data is the tensor, .T and the like are not followed
            name = "detach" if result.shape == shapes[inputs[0]] else "an attribute of a tensor"
        name = OPERATORS.get(name, name)
        if name in IDENTITY:
            self.alias(result, inputs[0])
            return result
        handler = getattr(self, "_" + name.removesuffix("_"), None)
        if isinstance(result, Tensor) and any(result is v for v in flat):  # in place
            self.overwritten(result, inputs, "it is changed in place through a view")
        try:
            if unseen:
                raise _NoLinearPart(f"torch's '{name}' takes a tensor made by code that torch functions do not show (a scripted function?)")
            if handler is None:
                known = "normalises by the input's own statistics" if name in NORMALISES_BY_INPUT else "is not linear, or not supported"
                raise _NoLinearPart(f"torch's '{name}' {known}")
            handler(result, inputs, shapes, args, kwargs)
        except _NoLinearPart as why:
            for part in result if several else [result]:
                if isinstance(part, Tensor):
                    self.add(steps.Refused, inputs, part, reason=str(why))
        return result

    # one handler per operation: (result, inputs, shapes of the inputs, args, kwargs) -> a recorded step

    def _conv2d(self, result, inputs, shapes, args, kwargs):
        a = _named("input weight bias stride padding dilation groups", args, kwargs, bias=None, stride=1, padding=0, dilation=1, groups=1)
        if inputs != [self.known(a["input"])]:
            raise _NoLinearPart("its filters depend on the image")
        weight, dilation, extra = a["weight"].detach().clone(), _pair(a["dilation"]), (0, 0)
        if isinstance(a["padding"], str):
            total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)] if a["padding"] == "same" else [0, 0]
            padding, extra = (total[0] // 2, total[1] // 2), (total[0] % 2, total[1] % 2)
        else:
            padding = _pair(a["padding"])
        settings = {"pace": _pair(a["stride"]), "padding": padding, "dilation": dilation, "groups": a["groups"], "extra": extra}
        self.add(steps.Convolution, inputs, result, weight=weight, **settings)

    def _linear(self, result, inputs, shapes, args, kwargs):
        a = _named("input weight bias", args, kwargs, bias=None)
        if inputs != [self.known(a["input"])]:
            raise _NoLinearPart("its weights depend on the image")
        if len(shapes[inputs[0]]) != 2:
            raise _NoLinearPart(f"a linear layer on a tensor of shape {tuple(shapes[inputs[0]])}, expected (n, d)")
        self.add(steps.Convolution, inputs, result, weight=a["weight"].detach().clone()[:, :, None, None])

    def _batch_norm(self, result, inputs, shapes, args, kwargs):
        names = "input running_mean running_var weight bias training momentum eps"
        a = _named(names, args, kwargs, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5)
        if a["training"] or a["running_var"] is None:
            raise _NoLinearPart("batch normalisation without running statistics normalises by the input's own")
        factor = 1 / torch.sqrt(a["running_var"] + a["eps"])
        self.add(steps.Scale, inputs, result, factor=(factor if a["weight"] is None else factor * a["weight"]).detach())

    def _max_pool2d(self, result, inputs, shapes, args, kwargs):
        names = "input kernel_size stride padding dilation ceil_mode return_indices"
        a = _named(names, args, kwargs, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False)
        if _pair(a["dilation"]) != (1, 1) or not isinstance(result, Tensor):
            raise _NoLinearPart("max-pooling with dilation or returned indices")
        self._pool(steps.MaxPool, a, inputs, result)

    def _avg_pool2d(self, result, inputs, shapes, args, kwargs):
        names = "input kernel_size stride padding ceil_mode count_include_pad divisor_override"
        a = _named(names, args, kwargs, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None)
        if a["divisor_override"] is not None:
            raise _NoLinearPart("average pooling with divisor_override")
        self._pool(steps.AveragePool, a, inputs, result)

    def _pool(self, kind, a, inputs, result):
        kernel = _pair(a["kernel_size"])
        stride = _pair(a["stride"]) if a["stride"] not in (None, [], ()) else kernel
        self.add(kind, inputs, result, kernel=kernel, pace=stride, padding=_pair(a["padding"]), ceil=bool(a["ceil_mode"]))

    def _adaptive(self, kind, result, inputs, shapes):
        (h, w), (oh, ow) = shapes[inputs[0]][2:], result.shape[2:]
        if h % oh or w % ow:
            raise _NoLinearPart(f"adaptive pooling from {h} x {w} to {oh} x {ow}: windows of different sizes")
        window = (h // oh, w // ow)
        self.add(kind, inputs, result, kernel=window, pace=window, fixed=(h, w))

    def _adaptive_avg_pool2d(self, result, inputs, shapes, args, kwargs):
        self._adaptive(steps.AveragePool, result, inputs, shapes)

    def _adaptive_max_pool2d(self, result, inputs, shapes, args, kwargs):
        self._adaptive(steps.MaxPool, result, inputs, shapes)

    def _mean(self, result, inputs, shapes, args, kwargs):
        a = _named("input dim keepdim dtype", args, kwargs, dim=None, keepdim=False, dtype=None)
        shape, dims = shapes[inputs[0]], a["dim"]
        if len(shape) != 4 or dims is None or {d % 4 for d in ([dims] if isinstance(dims, int) else dims)} != {2, 3}:
            raise _NoLinearPart("a mean over other axes than height and width")
        whole = tuple(shape[2:])
        self.add(steps.AveragePool, inputs, result, kernel=whole, pace=whole, fixed=whole)

    def _add(self, result, inputs, shapes, args, kwargs):
        alpha = _operands(args, kwargs, alpha=1)["alpha"]
        if len(inputs) > 2 or alpha != 1 or any(shapes[n] != result.shape for n in inputs):
            raise _NoLinearPart(f"a sum of tensors of shapes {[tuple(shapes[n]) for n in inputs]}" + f", times {alpha}" * (alpha != 1))
        if len(inputs) == 1:  # a constant: a bias, which decoding drops (x + x is seen as two inputs)
            self._times(1.0, result, inputs)
        else:
            self.add(steps.Add, inputs, result)

    def _sub(self, result, inputs, shapes, args, kwargs):
        a = _operands(args, kwargs, alpha=1)
        if len(inputs) > 1 or a["alpha"] != 1 or result.shape != shapes[inputs[0]]:
            raise _NoLinearPart("a difference of two tensors that depend on the image, or one with a factor")
        self._times(1.0 if self.known(a["input"]) is not None else -1.0, result, inputs)

    def _rsub(self, result, inputs, shapes, args, kwargs):  # constant - x
        self._sub(result, inputs, shapes, args[::-1], kwargs)

    def _neg(self, result, inputs, shapes, args, kwargs):
        self._times(-1.0, result, inputs)

    def _times(self, number, result, inputs):
        self.add(steps.Scale, inputs, result, factor=torch.tensor([number], dtype=result.dtype, device=result.device))

    def _mul(self, result, inputs, shapes, args, kwargs):
        if len(inputs) > 1:  # the gated tensor has the shape of the result, its factors fewer units
            gated = [n for n in inputs if shapes[n] == result.shape]
            if len(gated) != 1 or len(inputs) != 2:
                raise _NoLinearPart("a product of two tensors that both depend on the image")
            self.add(steps.Gain, gated, result)
            return
        a = _operands(args, kwargs)
        self._factor(result, inputs, shapes, a["other"] if self.known(a["input"]) is not None else a["input"], lambda f: f)

    def _div(self, result, inputs, shapes, args, kwargs):
        a = _operands(args, kwargs, rounding_mode=None)
        if len(inputs) > 1 or self.known(a["input"]) is None or a["rounding_mode"]:
            raise _NoLinearPart("a division by a tensor that depends on the image, or one that rounds")
        self._factor(result, inputs, shapes, a["other"], lambda f: 1 / f)

    def _factor(self, result, inputs, shapes, value, turn):
        factor = (
            value.detach().clone() if isinstance(value, Tensor) else torch.tensor(float(value), dtype=result.dtype, device=result.device)
        )
        shape = shapes[inputs[0]]
        per_channel = factor.ndim <= len(shape) and all(
            n == 1 or axis == 1 for n, axis in zip(factor.shape, range(len(shape) - factor.ndim, len(shape)), strict=True)
        )
        if result.shape != shape or not per_channel:
            raise _NoLinearPart("a product with a constant that is not one factor per channel")
        self.add(steps.Scale, inputs, result, factor=turn(factor.reshape(-1)))

    _truediv = _div

    def _cat(self, result, inputs, shapes, args, kwargs):
        a = _named("tensors dim", args, kwargs, dim=0)
        if a["dim"] % result.ndim != 1 or len(inputs) != len(a["tensors"]):
            raise _NoLinearPart("a concatenation along another axis than the channels, or with a constant")
        self.add(steps.Concatenate, inputs, result, channels=tuple(shapes[n][1] for n in inputs))

    _concat = _concatenate = _cat

    def _flatten(self, result, inputs, shapes, args, kwargs):
        before = shapes[inputs[0]]
        if tuple(before) == tuple(result.shape) or (result.numel() == before[1] and result.shape[1] == before[1] and len(before) < 4):
            self.alias(result, inputs[0])  # the same numbers in the same order: (n, d), (n, d, 1, 1)
        elif len(before) == 4 and result.ndim == 2 and result.shape[0] == before[0]:
            self.add(steps.Flatten, inputs, result, shape=tuple(before[1:]))
        elif len(before) == 4 and before[2] == before[3] == 1 and result.numel() == before[1]:
            self.add(steps.Flatten, inputs, result, shape=tuple(before[1:]))
        else:
            raise _NoLinearPart(f"a reshape from {tuple(before)} to {tuple(result.shape)}")

    _view = _reshape = _squeeze = _unsqueeze = _flatten

    def _pad(self, result, inputs, shapes, args, kwargs):
        a = _named("input pad mode value", args, kwargs, mode="constant", value=None)
        pad = [*a["pad"], 0, 0, 0, 0, 0, 0][:6]
        if len(shapes[inputs[0]]) != 4 or len(a["pad"]) > 6 or min(pad[4:]) < 0 or (a["mode"] == "circular"):
            raise _NoLinearPart(f"padding {a['pad']} of a tensor of shape {tuple(shapes[inputs[0]])}")
        self.add(steps.Pad, inputs, result, sides=tuple(pad[:4]), channels=tuple(pad[4:]))

    def _getitem(self, result, inputs, shapes, args, kwargs):
        shape, index = shapes[inputs[0]], args[1] if isinstance(args[1], tuple) else (args[1],)
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index = (*index[:at], *[slice(None)] * (len(shape) - len(index) + 1), *index[at + 1 :])
        index = (*index, *[slice(None)] * (len(shape) - len(index)))
        if len(shape) != 4 or not all(isinstance(i, slice) for i in index) or index[0] != slice(None) or (index[1].step or 1) < 1:
            raise _NoLinearPart(f"indexing by {args[1]!r}")
        spans = [i.indices(n) for i, n in zip(index[2:], shape[2:], strict=True)]
        first, pace = tuple(s[0] for s in spans), tuple(s[2] for s in spans)
        self.add(steps.Select, inputs, result, channels=index[1].indices(shape[1]), total=shape[1], first=first, pace=pace)

    def _chunk(self, result, inputs, shapes, args, kwargs):
        a = _named(
            "input size dim",
            args,
            {("size" if k in ("chunks", "split_size_or_sections", "split_size") else k): v for k, v in kwargs.items()},
            dim=0,
        )
        if a["dim"] % len(shapes[inputs[0]]) != 1:
            raise _NoLinearPart("a split along another axis than the channels")
        at = 0
        for part in result:
            self.add(steps.Select, inputs, part, channels=(at, at + part.shape[1], 1), total=shapes[inputs[0]][1])
            at += part.shape[1]

    _split = _chunk


class _NoLinearPart(Exception):  # noqa: N818
    pass


def _named(names: str, args: tuple, kwargs: dict, **defaults: object) -> dict:
    return {**defaults, **dict(zip(names.split(), args, strict=False)), **kwargs}


def _operands(args: tuple, kwargs: dict, **defaults: object) -> dict:
    """The two sides of an arithmetic operation and its known options; any other option could change what it computes."""
    a = _named("input other", args, kwargs, **defaults)
    if set(a) != {"input", "other", *defaults}:
        raise _NoLinearPart(f"arithmetic with {sorted(set(a) - {'input', 'other', *defaults})}")
    return a
