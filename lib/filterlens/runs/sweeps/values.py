"""Values of a spec as settings of an experiment: of the right type, among the options, within the bounds, naming what exists.

An experiment's annotations say the types, its ``choices`` and ``bounds`` the rest.
"""

from __future__ import annotations

import contextlib
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "nothing"}


def fitting(name: str, value: Any, hint: Any) -> Any:
    """A value from YAML as a setting of this type: lists become tuples, and one value may stand for several.

    Raises TypeError naming the setting.
    """
    wrong = TypeError(f"{name}: got {value!r}, expected {in_words(hint)}")
    if isinstance(hint, types.UnionType):
        for kind in typing.get_args(hint):
            with contextlib.suppress(TypeError):
                return fitting(name, value, kind)
        raise wrong
    if hint is type(None):
        if value is not None:
            raise wrong
        return None
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and inner[-1] is Ellipsis:
        several = value if isinstance(value, list | tuple) else [value]
        if typing.get_origin(inner[0]) is tuple and several and not isinstance(several[0], list | tuple):
            several = [several]
        return tuple(fitting(name, one, inner[0]) for one in several)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(inner):
            raise wrong
        return tuple(fitting(name, one, kind) for one, kind in zip(value, inner, strict=True))
    if hint is tuple or typing.get_origin(hint) is dict:
        if not isinstance(value, list | tuple if hint is tuple else Mapping):
            raise wrong
        return tuple(value) if hint is tuple else dict(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise wrong
    return value


def checked(kind: type, settings: Mapping[str, Any]) -> Any:
    """The experiment of these settings. Raises TypeError or ValueError naming the setting."""
    from filterlens import checks, data, gated, models

    for name, options in kind.choices.items():
        for one in _several(settings.get(name)):
            if one not in options:
                raise ValueError(f"{name}: got {one!r}, expected one of {', '.join(map(str, options))}{nearest(one, options)}")
    for name, (low, high) in kind.bounds.items():
        for one in _several(settings.get(name)):
            if one < low or (high is not None and one > high):
                raise ValueError(f"{name}: got {one!r}, expected " + (f"at least {low}" if high is None else f"{low} to {high}"))
    made = kind(**settings)
    network, images = getattr(made, "network", None), getattr(made, "data", None)
    if network is not None and network not in gated.names():
        models.check_name(network, "network")
    if images is not None and images.partition(":")[0] not in ("folder", "npz"):
        checks.choice("data", images, data.names())
    return made


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, tuple) else [value]


def in_words(hint: Any) -> str:
    """A type as it is asked for."""
    if isinstance(hint, types.UnionType):
        return " or ".join(map(in_words, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        return f"a list of {in_words(inner[0])}" if inner[-1] is Ellipsis else f"a list ({', '.join(map(in_words, inner))})"
    if hint is tuple or typing.get_origin(hint) is dict:
        return "a list" if hint is tuple else "a mapping"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def nearest(name: Any, names: Iterable[Any]) -> str:
    """A hint at the name that was perhaps meant."""
    near = difflib.get_close_matches(str(name), [str(one) for one in names], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
