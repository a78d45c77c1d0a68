"""A passport as its explorer keeps it: words, a few numbers and small pictures, no network and no long tensors.

``kept_filter`` reads a ``synthesis.passport.Passport``; ``passport_kept`` gathers several and files them, ``passport_panels`` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from filterlens.explorer import panels
from filterlens.synthesis.passport import PARTS, Classes, Content, Gates, Passport, Picture, Place
from filterlens.synthesis.passport.parts import in_order, named
from filterlens.synthesis.passport.pngs import channels
from filterlens.synthesis.passport.words import METHOD_NAMES, RANKINGS, about, measured, sentence, shares

DECODED = 112  # pixels of a side: fine gratings, which averaging would wipe out
MOST = 12  # classes, archetypes or gates with a bar, as on the sheet


@dataclass(frozen=True, eq=False)
class KeptCloud:
    """Filters that can be compared with each other: a layer's, or those of one of its groups.

    among (m,): their numbers; l0 (m,): archetypes in the code of each; points (m, 2) and corners (d, 2): filters and archetypes on the
    first two principal components; shares (2,): of the variance.
    """

    among: np.ndarray
    l0: np.ndarray
    points: np.ndarray
    corners: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True, eq=False)
class KeptFilter:
    """What is shown of one passport.

    about: layer and images in words. said: by part its sentence, or why there is none; lacking: the parts without one; noted: by part what
    the lenses warned of. cloud: which of the clouds it lies in, None without a place. ranks: by ranking, 1 = most redundant; code:
    (archetype, share), largest first; l0: how many there are.
    classes: (name, mean response, rank of its feature or None), largest mean first, of n_classes; gates: (name, gate), largest first, of
    n_gates. picture: the decoded one. rows: (number of the image, pictures of it); failed: by method why there is no picture.
    """

    network: str
    layer: str
    filter: int
    n_filters: int
    about: str
    said: dict[str, str]
    lacking: tuple[str, ...]
    noted: dict[str, tuple[str, ...]]
    cloud: int | None
    ranks: dict[str, int]
    code: tuple[tuple[int, float], ...]
    l0: int
    classes: tuple[tuple[str, float, int | None], ...]
    n_classes: int
    gates: tuple[tuple[str, float], ...]
    n_gates: int
    picture: panels.Image | None
    rows: tuple[tuple[int, tuple[panels.Image, ...]], ...]
    failed: dict[str, str]


def kept_cloud(place: Place) -> KeptCloud:
    """The cloud that a place lies in, in single precision."""
    found = [values.detach().cpu().float().numpy() for values in (place.points, place.corners, place.shares)]
    among = place.among.cpu()
    return KeptCloud(among.numpy(), place.ranking.l0.cpu()[among].numpy(), *found)


def kept_filter(passport: Passport, cloud: int | None, *, pixels: int, levels: int) -> KeptFilter:
    """A passport's words, numbers and pictures.

    cloud: number of its ``kept_cloud``. pixels: of the longer side of a picture at most; larger ones are averaged down, the decoded
    picture from 112 on. levels: of colour in computed pictures.
    """
    place, classes, picture, content, gates = (getattr(passport, part) for part in PARTS)
    placed, decided, gated = isinstance(place, Place), isinstance(classes, Classes), isinstance(gates, Gates)
    made = _Pictures(passport, pixels, levels)
    return KeptFilter(
        network=passport.name,
        layer=passport.layer,
        filter=passport.filter,
        n_filters=passport.n_filters,
        about=about(passport),
        said={part: sentence(passport, part) for part in PARTS},
        lacking=tuple(passport.missing()),
        noted={part: tuple(said) for part, said in passport.notes.items()},
        cloud=cloud,
        ranks={name: int(place.ranks[method]) for method, name in RANKINGS.items()} if placed else {},
        code=tuple((at, float(place.code[at])) for at in shares(place, MOST)) if placed else (),
        l0=place.l0 if placed else 0,
        classes=_classes(passport, classes) if decided else (),
        n_classes=len(classes.classes) if decided else 0,
        gates=tuple((named(passport, c), float(gates.values[c])) for c in in_order(gates.values, MOST)) if gated else (),
        n_gates=len(gates.values) if gated else 0,
        picture=made.decoded(picture) if isinstance(picture, Picture) else None,
        rows=made.rows(content) if isinstance(content, Content) else (),
        failed=_failed(content) if isinstance(content, Content) else {},
    )


def _classes(passport: Passport, found: Classes) -> tuple[tuple[str, float, int | None], ...]:
    return tuple(
        (named(passport, int(found.classes[at])), float(found.mean[at]), None if found.ranks is None else int(found.ranks[at]))
        for at in in_order(found.mean, MOST)
    )


def _failed(found: Content) -> dict[str, str]:
    given = {"isolation": found.isolation, **found.baselines}
    return {name: given[method] for method, name in METHOD_NAMES.items() if isinstance(given[method], str)}


class _Pictures:
    """The pictures of a passport: small, and in few levels where they are computed, as those look like noise and hardly compress."""

    def __init__(self, passport: Passport, pixels: int, levels: int) -> None:
        self.passport, self.pixels, self.levels = passport, pixels, levels

    def decoded(self, found: Picture) -> panels.Image:
        image = found.decoded.images[0]
        h, w = image.shape[1:]
        alt = f"Decoded picture of filter {self.passport.filter}, {h} by {w} pixels, largest magnitude {float(image.abs().max()):.3g}"
        return self._signed(image, alt=alt, pixels=max(DECODED, self.pixels))

    def rows(self, found: Content) -> tuple[tuple[int, tuple[panels.Image, ...]], ...]:
        return tuple((number, tuple(self._row(found, at, number))) for at, number in enumerate(found.chosen.tolist()))

    def _row(self, found: Content, at: int, number: int) -> list[panels.Image]:
        whose = f"filter {self.passport.filter}"
        image = panels.photo(self._small(found.images[at]), alt=f"image {number}, as the network was shown it", label=f"image {number}")
        said = _labelled("its map", measured(found, "original", at))
        values, alt = found.maps[at].detach().cpu().double()[None], f"{said}; the map of {whose} on image {number}"
        negative = bool((values < 0).any())
        activations = (
            self._signed(values, alt=alt, label=said) if negative else panels.gray(self._small(values), alt=alt, label=said, low=0)
        )
        made = [image, activations]
        for method, name in METHOD_NAMES.items():
            given = found.isolation if method == "isolation" else found.baselines[method]
            if isinstance(given, str):
                continue
            said = _labelled(name, measured(found, method, at))
            alt = f"{said}; what drives {whose} in image {number}"
            if method == "isolation":
                shown = self.passport.normalization.invert(given.images[at : at + 1])[0]
                photo = panels.photo(self._small(shown.nan_to_num(0.5).clamp(0, 1)), alt=alt, label=said)
                made.append(replace(photo, values=_photo_levels(photo.values, self.levels)))
            else:
                made.append(self._signed(given[at], alt=alt, label=said))
        return made

    def _signed(self, values: Tensor, *, alt: str, label: str = "", pixels: int | None = None) -> panels.Image:
        shown = panels.signed(self._small(values.nan_to_num(0), pixels), alt=alt, label=label)
        return replace(shown, values=_signed_levels(shown.values, self.levels))

    def _small(self, image: Tensor, pixels: int | None = None) -> Tensor:
        """(1 or 3, h, w), of so many pixels a side at most."""
        image = channels(image.detach().cpu().double())
        factor = max(image.shape[1:]) / (pixels or self.pixels)
        if factor <= 1:
            return image
        return interpolate(image[None], size=[max(1, round(side / factor)) for side in image.shape[1:]], mode="area")[0]


def _labelled(name: str, numbers: str) -> str:
    return f"{name}: {numbers}" if numbers else name


def _photo_levels(values: np.ndarray, levels: int) -> np.ndarray:
    """uint8 in so many levels from 0 to 255."""
    return np.rint(np.rint(values / 255 * (levels - 1)) / (levels - 1) * 255).astype(np.uint8)


def _signed_levels(values: np.ndarray, levels: int) -> np.ndarray:
    """Steps of a signed picture, int8 around 0 or uint8 around 128, in about so many levels, zero among them."""
    zero, side = (0 if values.dtype == np.int8 else 128), max(1, (levels - 1) // 2)
    return (np.rint(np.rint((values.astype(float) - zero) / 127 * side) / side * 127) + zero).astype(values.dtype)
