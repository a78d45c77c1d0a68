"""What every public function asks of its arguments, before any work starts.

Each check names the argument, what was received and what was expected. A wrong kind of thing is a
``TypeError``, a wrong value of the right kind a ``ValueError``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor, nn


def describe(value: object) -> str:
    """Say in a few words what was received: the shape and dtype of a tensor, else type and value."""
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def tensor(
    name: str, value: object, axes: str, *, sizes: dict[str, int] | None = None, floating: bool = True, finite: bool = True
) -> Tensor:
    """Check a tensor against named axes, e.g. ``"k c kh kw"``; ``sizes`` fixes some of them."""
    letters = axes.split()
    expected = f"expected {'a floating-point' if floating else 'an integer'} tensor ({', '.join(letters)})"
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {describe(value)}, {expected}")
    if value.ndim != len(letters):
        raise ValueError(f"{name}: got {describe(value)}, {expected}, that is {len(letters)} axes")
    if floating != value.is_floating_point() or value.dtype == torch.bool or value.is_complex():
        raise TypeError(f"{name}: got {describe(value)}, {expected}")
    for letter, length in zip(letters, value.shape, strict=True):
        wanted = (sizes or {}).get(letter)
        if wanted is not None and length != wanted:
            raise ValueError(f"{name}: got {describe(value)}, expected {letter} = {wanted} on axis '{letter}' of ({', '.join(letters)})")
        if length == 0:
            raise ValueError(f"{name}: got {describe(value)}, which is empty on axis '{letter}', {expected}")
    if floating and finite and not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name}: got {describe(value)} with NaN or infinite entries, expected finite numbers")
    return value


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """Check a name against the names that exist, and suggest the nearest one."""
    options = list(options)
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {describe(value)}, expected one of {options}")
    if value not in options:
        near = difflib.get_close_matches(value, options, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name}: got {value!r}, expected one of {options}{hint}")
    return value


def integer(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Check a whole number with inclusive bounds (bool is not a number here)."""
    span = f"an integer in [{'-inf' if low is None else low}, {'inf' if high is None else high}]"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: got {describe(value)}, expected {span}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name}: got {value}, expected {span}")
    return int(value)


def real(name: str, value: object, low: float | None = None, high: float | None = None) -> float:
    """Check a finite real number with inclusive bounds."""
    span = f"a number in [{'-inf' if low is None else low}, {'inf' if high is None else high}]"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: got {describe(value)}, expected {span}")
    if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name}: got {value}, expected {span}")
    return float(value)


def indices(name: str, value: object, n: int) -> list[int]:
    """Check one index or several, all in [0, n), none twice; negative ones are refused."""
    if hasattr(value, "tolist"):  # tensors and numpy arrays
        value = value.tolist()
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, Sequence | range) or isinstance(value, str):
        raise TypeError(f"{name}: got {describe(value)}, expected an index or a list of indices in [0, {n - 1}]")
    if all(type(v) is int and 0 <= v < n for v in value):  # hundreds of filters are checked on every call
        found = list(value)
    else:
        found = [integer(f"{name}[{i}]", v, 0, n - 1) for i, v in enumerate(value)]
    if not found:
        raise ValueError(f"{name}: got an empty list, expected at least one index in [0, {n - 1}]")
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: got an index twice in {describe(value)}, expected distinct indices")
    return found


def index_rows(name: str, value: object, n: int, *, rows: int | None = None) -> Tensor:
    """Check a table (rows, s) of indices in [0, n), none twice in a row; as int64, a copy only if it was of another dtype."""
    tensor(name, value, "rows s", sizes={} if rows is None else {"rows": rows}, floating=False)
    low, high = int(value.min()), int(value.max())
    if low < 0 or high >= n:
        raise ValueError(f"{name}: got {low if low < 0 else high} in {describe(value)}, expected indices in [0, {n - 1}]")
    ordered = value.sort(1).values
    if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
        raise ValueError(f"{name}: got an index twice in one row of {describe(value)}, expected distinct indices")
    return value.long()


def labels(name: str, value: object, n: int, n_classes: int) -> Tensor:
    """Check labels (n,), integers in [0, n_classes); as int64, a copy only if they were of another dtype."""
    tensor(name, value, "n", sizes={"n": n}, floating=False)
    low, high = int(value.min()), int(value.max())
    if low < 0 or high >= n_classes:
        raise ValueError(f"{name}: got {low} to {high} in {describe(value)}, expected integers in [0, {n_classes - 1}]")
    return value.long()


def module(name: str, value: object) -> nn.Module:
    """Check that a network is a ``torch.nn.Module``."""
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name}: got {describe(value)}, expected a torch.nn.Module")
    return value
