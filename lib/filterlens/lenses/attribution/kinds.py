"""Which functions of torch need a rule of their own, by name; ``routing`` refuses those that are not listed here."""

from __future__ import annotations

OPERATORS = {f"__{prefix}{name}__": name for prefix in ("", "i", "r") for name in ("add", "sub", "mul", "truediv", "matmul")}
OPERATORS |= {"__rsub__": "rsub", "__rtruediv__": "a division by the image", "__neg__": "neg", "__getitem__": "getitem"}
OPERATORS |= {"multiply": "mul", "divide": "div", "true_divide": "div", "truediv": "div", "subtract": "sub", "concat": "cat"}
OPERATORS |= {"negative": "neg", "clip": "clamp", "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d"}
# rectifiers, if their lower limit is 0
ACTIVATIONS = set("relu relu6 hardtanh clamp clamp_min".split())
# linear in the image, up to a constant: the epsilon rule
AFFINE = set(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear matmul batch_norm mul div neg mean sum "
    "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d interpolate upsample rsub".split()
)
# with the sign of the second summand
SUMS = {"add": 1, "sub": -1}
# move values, or choose the largest: the gradient hands all of the signal to where the value came from
MOVES = set(
    "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax cat stack reshape reshape_as "
    "view view_as flatten unflatten ravel permute transpose swapaxes movedim t contiguous clone pad getitem chunk split "
    "split_with_sizes tensor_split unbind narrow select index_select squeeze unsqueeze expand expand_as dropout dropout1d dropout2d "
    "dropout3d alpha_dropout feature_dropout feature_alpha_dropout channel_shuffle pixel_shuffle pixel_unshuffle flip roll to float "
    "double type type_as cpu cuda requires_grad zeros_like ones_like new_zeros new_ones".split()
)


def named(raw: str) -> str:
    """The one name under which a function, a method, an operator and their in-place forms are listed."""
    if raw in OPERATORS or raw.endswith("__"):
        return OPERATORS.get(raw, raw)
    return OPERATORS.get(raw.removesuffix("_"), raw.removesuffix("_"))


def works_in_place(raw: str, args: tuple, kwargs: dict) -> bool:
    """Whether a call overwrites its first argument."""
    at = {"relu": 1, "relu6": 1, "hardtanh": 3}.get(raw)
    asked = kwargs.get("inplace") or (at is not None and len(args) > at and args[at])
    return bool(asked) or raw.startswith("__i") or (raw.endswith("_") and not raw.endswith("__"))


def bounds(name: str, given: tuple, settings: dict) -> tuple[object, object]:
    """The lower and upper limit of a call, None for no limit."""
    if name == "relu":
        return 0, None
    if name == "relu6":
        return 0, 6.0
    low, high = {"hardtanh": ("min_val", "max_val"), "clamp": ("min", "max"), "clamp_min": ("min", "max")}[name]
    default = (-1.0, 1.0) if name == "hardtanh" else (None, None)
    return (
        given[0] if given else settings.get(low, default[0]),
        given[1] if len(given) > 1 else settings.get(high, default[1]),
    )
