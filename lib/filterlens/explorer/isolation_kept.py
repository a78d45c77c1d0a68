"""Everything the isolation explorer shows, computed once: ``isolation_states`` solves, measures and keeps what a page has room for.

Pictures are kept small and in few levels of colour, because isolated images look like noise and hardly compress; all numbers are of the
images at full size. ``isolation_problems`` takes one layer's measures; ``isolation_panels`` draws what is kept here.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from torch import Tensor, nn
from tqdm.auto import tqdm

from filterlens import checks
from filterlens.explorer.isolation_problems import BASELINES, Asked, LayerStates, n_kernels, solved, stored
from filterlens.lenses.attribution import SCALES
from filterlens.lenses.isolation import isolate

METHODS = ("isolation", "guided", "deconvolution", "lrp")
KNOWN = ("isolation", *BASELINES)
SET_HERE = ("beta", "on_inactive", "progress")  # arguments of ``isolate`` that are no options here
VERSION = 1


@dataclass(frozen=True, eq=False)
class IsolationStates:
    """What ``isolation_states`` found. ``layers``: name -> ``LayerStates``; ``images`` (n, h, w, 3) uint8 and their ``titles``.

    ``ways``: (method, beta) of every computed input, the isolated ones first; beta is NaN for the others. ``scale``: of the baselines;
    ``options``: of ``isolate``, where they are not its own. ``save`` and ``load`` keep them in a file.
    """

    layers: Mapping[str, LayerStates]
    images: np.ndarray
    titles: tuple[str, ...]
    betas: tuple[float, ...]
    methods: tuple[str, ...]
    scale: str
    options: Mapping[str, Any]

    @property
    def ways(self) -> list[tuple[str, float]]:
        return [("isolation", beta) for beta in self.betas] + [(method, float("nan")) for method in self.methods[1:]]

    @property
    def beta(self) -> float:
        """The beta that stands for isolation where the methods are compared: the middle one."""
        return self.betas[len(self.betas) // 2]

    def save(self, path: str | Path) -> Path:
        """Write everything to a file (NumPy's compressed archive, nothing in it can run); the old file stays until the new one is whole."""
        target = Path(path)
        arrays, meta = {"images": self.images}, {}
        for at, (name, layer) in enumerate(self.layers.items()):
            held = {field.name: getattr(layer, field.name) for field in fields(layer)}
            arrays |= {f"{at}.{key}": value for key, value in held.items() if isinstance(value, np.ndarray)}
            meta[name] = {key: value for key, value in held.items() if not isinstance(value, np.ndarray)}
        own = {key: getattr(self, key) for key in ("titles", "betas", "methods", "scale", "options")}
        said = json.dumps({"version": VERSION, "layers": meta, **own}, allow_nan=False)
        file = io.BytesIO()
        np.savez_compressed(file, said=np.frombuffer(said.encode(), dtype=np.uint8), **arrays)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.write_bytes(file.getvalue())
        os.replace(part, target)
        return target

    @classmethod
    def load(cls, path: str | Path) -> IsolationStates:
        """Read what ``save`` has written. Raises FileNotFoundError, or ValueError naming ``path`` for any other file."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                held = {key: archive[key] for key in archive.files}
            said = json.loads(held.pop("said").tobytes().decode())
            if said.pop("version") != VERSION:
                raise ValueError("another version")
            layers = {}
            for at, (name, meta) in enumerate(said.pop("layers").items()):
                meta = {key: tuple(value) if isinstance(value, list) else value for key, value in meta.items()}
                layers[name] = LayerStates(**meta, **{k.partition(".")[2]: v for k, v in held.items() if k.startswith(f"{at}.")})
            lists = {key: tuple(said.pop(key)) for key in ("titles", "betas", "methods")}
            return cls(layers=layers, images=held["images"], **lists, **said)
        except FileNotFoundError:
            raise
        except (OSError, EOFError, BadZipFile, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"path: got {str(path)!r}, expected a file that IsolationStates.save of this version has written") from error


def isolation_states(
    model: nn.Module, layers: Mapping[str, int | Sequence[int]], images: Tensor, normalization: Any = None, *,
    betas: Sequence[float] = (0.01, 0.1, 1.0), methods: Sequence[str] = METHODS, titles: Sequence[str] | None = None,
    spoken: Mapping[str, str] | None = None, scale: str = "peak", pixels: int = 96, levels: int = 32,
    options: Mapping[str, Any] | None = None, progress: bool = False,
) -> IsolationStates:  # fmt: skip
    """Isolate every kernel on every image for each beta, explain it by the other methods, feed all back and measure them.

    layers: name of a layer -> its kernels; spoken: name -> what to call it. images (n, 1 or 3, h, w) in [0, 1], a colour chart among
    them if you like, with their titles; ``normalization.apply`` makes the network's input of them, ``invert`` pictures of inputs.
    betas: rising, of ``isolate``; its other arguments are ``options``, such as max_iter or pre_activation. methods: "isolation" and any of
    "guided", "deconvolution", "lrp", "gradient" (``explain``), whose patterns are given the scale of the image by ``scale``.
    pixels: longer side of the kept pictures; levels: of a colour channel in computed ones, 2 to 256.

    A kernel that is silent on an image is kept as such. The time is that of ``isolate``: len(betas) times all problems. A page takes
    about 20 kB for each isolated picture of 96 pixels in colour and 32 levels, 8 kB for each of another method. Raises TypeError or
    ValueError naming the argument, before any work.
    """
    checks.module("model", model)
    checks.tensor("images", images, "n c h w")
    if images.shape[1] not in (1, 3) or images.min() < 0 or images.max() > 1:
        span = f"with values in [{float(images.min()):.3g}, {float(images.max()):.3g}]"
        raise ValueError(f"images: got {checks.describe(images)} {span}, expected 1 or 3 channels in [0, 1]; `normalization` does the rest")
    if normalization is not None and not all(callable(getattr(normalization, name, None)) for name in ("apply", "invert")):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected None or an object with apply and invert")
    asked = Asked(
        betas=_betas(betas), methods=_methods(methods), scale=checks.choice("scale", scale, SCALES),
        pixels=checks.integer("pixels", pixels, 8, 512), levels=checks.integer("levels", levels, 2, 256), options=_options(options),
    )  # fmt: skip
    called = _titles(titles, len(images))
    given = images if normalization is None else normalization.apply(images)
    chosen = _layers(model, layers, given, asked.options)
    for name, text in (spoken or {}).items():
        checks.choice("spoken", name, chosen)
        if not isinstance(text, str):
            raise TypeError(f"spoken[{name!r}]: got {checks.describe(text)}, expected text")
    if len(set(named := [(spoken or {}).get(name, name) for name in chosen])) < len(named):
        raise ValueError(f"spoken: got {named}, expected different names")
    if not isinstance(progress, bool):
        raise TypeError(f"progress: got {checks.describe(progress)}, expected True or False")
    steps = sum(len(asked.betas) + len(kernels) * (len(asked.methods) - 1) for kernels in chosen.values())
    found = {}
    with tqdm(total=steps, disable=not progress, desc="isolating and explaining", unit="part") as bar:
        for (name, kernels), text in zip(chosen.items(), named, strict=True):
            found[name] = solved(model, name, kernels, images, normalization, asked, text, bar.update)
    return IsolationStates(found, stored(images, asked.pixels, 256), called, asked.betas, asked.methods, asked.scale, {**asked.options})


def _betas(betas: object) -> tuple[float, ...]:
    if isinstance(betas, str) or not isinstance(betas, Sequence) or not betas:
        raise TypeError(f"betas: got {checks.describe(betas)}, expected a list of numbers from 0 up, rising")
    found = tuple(checks.real(f"betas[{i}]", beta, 0) for i, beta in enumerate(betas))
    if any(b <= a for a, b in pairwise(found)):
        raise ValueError(f"betas: got {list(betas)}, expected rising numbers")
    return found


def _methods(methods: object) -> tuple[str, ...]:
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise TypeError(f"methods: got {checks.describe(methods)}, expected a list of {list(KNOWN)}")
    for method in methods:
        checks.choice("methods", method, KNOWN)
    if "isolation" not in methods or len(set(methods)) < len(methods):
        raise ValueError(f"methods: got {list(methods)}, expected 'isolation' and any others, each once")
    return ("isolation", *(method for method in methods if method != "isolation"))


def _options(options: object) -> dict[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options: got {checks.describe(options)}, expected a dict of arguments of `isolate`")
    given = [one.name for one in inspect.signature(isolate).parameters.values() if one.kind is one.KEYWORD_ONLY]
    for option, value in (options or {}).items():
        checks.choice("options", option, [name for name in given if name not in SET_HERE])
        if not isinstance(value, str | int | float | bool | None):
            raise TypeError(f"options[{option!r}]: got {checks.describe(value)}, expected a number, text, True, False or None")
    return dict(options or {})


def _titles(titles: object, n: int) -> tuple[str, ...]:
    found = tuple(f"image {i}" for i in range(n)) if titles is None else titles
    if isinstance(found, str) or not isinstance(found, Sequence) or not all(isinstance(title, str) for title in found):
        raise TypeError(f"titles: got {checks.describe(titles)}, expected a list of text")
    if len(found) != n or len(set(found)) < n:
        raise ValueError(f"titles: got {checks.describe(titles)}, expected {n} different ones, one for each image")
    return tuple(found)


def _layers(model: nn.Module, layers: object, given: Tensor, options: Mapping[str, Any]) -> dict[str, list[int]]:
    if not isinstance(layers, Mapping) or not layers:
        raise TypeError(f"layers: got {checks.describe(layers)}, expected a dict, name of a layer -> its kernels")
    known = [name for name, _ in model.named_modules() if name]
    found = {}
    for name, kernels in layers.items():
        n = n_kernels(model, checks.choice("layers", name, known), given, options.get("pre_activation", False))
        found[name] = checks.indices(f"layers[{name!r}]", kernels, n)
    return found
