"""One filter's passport on one sheet: what all five lenses say of it, each with its sentence, or why it says nothing.

The same numbers and words as the page that ``synthesis.passport.to_html`` makes.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from .. import checks
from ..synthesis.passport import BASELINES, Passport
from ..synthesis.passport.parts import Classes, Content, Gates, Picture, Place, in_order, named
from ..synthesis.passport.words import HEADINGS, METHOD_NAMES, RANKINGS, about, measured, sentence, shares, short
from .isolation import shown
from .pictures import bare, photograph, signed
from .simplex import ARCHETYPE, POINT

__all__ = ["classes", "cloud", "code", "content", "gates", "picture", "ranks", "sheet"]

THIS = "black"
MOST = 12  # classes or archetypes with a bar
WIDTH, PLOT, ROW = 10.0, 2.0, 1.55  # inches: of a sheet, of a plot's height, of a row of images


def sheet(passport: Passport, figure: Figure | None = None) -> Figure:
    """All five parts on one sheet. figure: an empty one to draw on, by default a new one, 10 inches wide and as high as the parts need.

    Raises TypeError naming passport or figure.
    """
    _checked(passport)
    if figure is not None and not isinstance(figure, Figure):
        raise TypeError(f"figure: got {checks.describe(figure)}, expected a matplotlib Figure, or None")
    rows = len(passport.content.chosen) if isinstance(passport.content, Content) else 0
    drawn = any(not isinstance(getattr(passport, part), str) for part in MIDDLE)
    middle = 1.65 + PLOT if drawn else 1.1
    top = 2.75 + PLOT if isinstance(passport.place, Place) else 1.75
    height = top + middle + 1.35 + (ROW * rows if rows else 0)
    figure = Figure(figsize=(WIDTH, height)) if figure is None else figure
    page = _Page(figure, passport, height)
    page.text(0.3, 0.3, passport.title, fontsize=14, fontweight="bold", va="center")
    page.text(0.3, 0.5, _wrapped(about(passport), 150, 2), fontsize=8, color="0.35", va="top", linespacing=1.3)
    page.headed("place", 0.3, 1.05, 150, 2)
    if isinstance(passport.place, Place):
        for left, width, draw in ((0.75, 2.5, cloud), (4.35, 2.0, ranks), (7.25, 2.5, code)):
            draw(passport, page.axes(left, 1.8, width, PLOT))
    for (part, draw), left, inset, width in zip(MIDDLE.items(), (0.3, 3.7, 6.7), (0.8, 0.2, 0.75), (2.2, 2.4, 2.1), strict=True):
        page.headed(part, left, top, 46 if part != "classes" else 52, 6)
        if not isinstance(getattr(passport, part), str):
            draw(passport, page.axes(left + inset, top + 1.0, width, PLOT))
    page.headed("content", 0.3, top + middle + 0.2, 150, 2)
    if rows:
        columns = 2 + len(METHOD_NAMES)
        side = 9.3 / columns
        first = top + middle + 0.9
        content(
            passport,
            np.array([[page.axes(0.5 + side * j, first + ROW * i, side - 0.12, side - 0.12) for j in range(columns)] for i in range(rows)]),
        )
    return figure


class _Page:
    """A figure measured in inches from its upper left corner, as if it were ``height`` high and ``WIDTH`` wide."""

    def __init__(self, figure: Figure, passport: Passport, height: float) -> None:
        self.figure, self.passport, self.height = figure, passport, height

    def text(self, left: float, top: float, said: str, **options: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self.height, said, **options)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        return self.figure.add_axes((left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height))

    def headed(self, part: str, left: float, top: float, letters: int, lines: int) -> None:
        """Heading and sentence of a part, from there down; a wide one has its result in the heading."""
        result = short(self.passport, part) if letters > 100 else ""
        self.text(left, top, HEADINGS[part] + f": {result}" * bool(result), fontsize=10, fontweight="bold", va="bottom")
        said = _wrapped(sentence(self.passport, part), letters, lines)
        self.text(left, top + 0.06, said, fontsize=7.5, color="0.25", va="top", linespacing=1.3)


def cloud(passport: Passport, ax: Axes) -> Axes:
    """The filters on their first two principal components, the archetypes among them, this filter ringed."""
    found: Place = _part(passport, "place", Place)
    at = int((found.among == passport.filter).nonzero()[0, 0])
    points, corners = (values.double().cpu().numpy() for values in (found.points, found.corners))
    ax.scatter(*points.T, s=12, color=POINT, alpha=0.65, linewidths=0, label="filters", rasterized=len(points) > 500)
    ax.scatter(*corners.T, s=22, marker="^", facecolors="none", edgecolors=ARCHETYPE, linewidths=0.8, label="archetypes")
    ax.scatter(*points[at], s=90, facecolors="none", edgecolors=THIS, linewidths=1.6, label=f"filter {passport.filter}")
    ax.scatter(*points[at], s=12, color=THIS, linewidths=0)
    ax.set_aspect("equal", adjustable="datalim")
    ax.tick_params(labelsize=7)
    a, b = (100 * float(share) for share in found.shares)
    ax.set_xlabel(f"component 1 ({a:.0f} % of the variance)", fontsize=8)
    ax.set_ylabel(f"component 2 ({b:.0f} %)", fontsize=8)
    ax.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.15), ncols=3, frameon=False, columnspacing=0.8, handletextpad=0.2)
    return ax


def ranks(passport: Passport, ax: Axes) -> Axes:
    """Its rank by every ranking, as dots between the most redundant and the most needed filter."""
    found: Place = _part(passport, "place", Place)
    many, values = len(found.among), [found.ranks[method] for method in RANKINGS]
    ax.hlines(range(len(values)), 1, many, color="0.85", linewidth=3)
    ax.scatter(values, range(len(values)), s=30, color=POINT, zorder=2)
    for y, value in enumerate(values):
        ax.annotate(str(value), (value, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=7)
    ax.set_yticks(range(len(values)), [name.replace(" ", "\n") for name in RANKINGS.values()], fontsize=7)
    ax.set(ylim=(len(values) - 0.5, -0.7), xlim=(1 - 0.04 * many, many + 0.04 * many))
    ax.set_xticks([1, many], ["1: most\nredundant", f"{many}: most\nneeded"], fontsize=7)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def code(passport: Passport, ax: Axes) -> Axes:
    """Its shares of the archetypes, largest first."""
    found: Place = _part(passport, "place", Place)
    values = found.code.double().cpu()
    order = shares(found, MOST)
    ax.bar(range(len(order)), values[order].numpy(), color=ARCHETYPE, width=0.8)
    ax.set_xticks(range(len(order)), order, fontsize=7)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="y", labelsize=7)
    ax.set(xlim=(-0.6, max(len(order), 6) - 0.4))
    rest = f", the {len(order)} largest" if found.l0 > len(order) else ""
    ax.set_xlabel(f"archetype, of {len(values)}{rest}", fontsize=8)
    ax.set_ylabel("share of its mixture", fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def classes(passport: Passport, ax: Axes) -> Axes:
    """Mean response by class, largest first; where the filter writes a pooled feature, its rank among each class's influential ones."""
    found: Classes = _part(passport, "classes", Classes)
    order = in_order(found.mean, min(MOST, len(found.classes)))
    values = found.mean[order].double().cpu().numpy()
    sets = 0 if found.influential is None else found.influential.s
    held = [found.ranks is not None and int(found.ranks[at]) <= sets for at in order]
    ax.barh(range(len(order)), values, color=[POINT if one else "0.7" for one in held], height=0.75)
    labels = [_clipped(named(passport, int(found.classes[at]))) for at in order]
    ax.set_yticks(range(len(order)), labels, fontsize=7)
    ax.axvline(0, color="0.3", linewidth=0.8)
    top = max(float(np.abs(values).max()), 1e-12)
    for y, at in enumerate(order):
        if found.ranks is not None:
            x = max(float(values[y]), 0.0) + 0.02 * top
            ax.text(x, y, f"rank {int(found.ranks[at])}", va="center", fontsize=6.5, color="black" if held[y] else "0.45")
    ax.set(ylim=(len(order) - 0.4, -0.6), xlim=(min(0.0, 1.05 * float(values.min())), (1.28 if found.ranks is not None else 1.05) * top))
    ax.tick_params(axis="x", labelsize=7)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    rest = f", {len(order)} of {len(found.classes)} classes" if len(order) < len(found.classes) else ""
    ax.set_xlabel(f"mean response{rest}", fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def picture(passport: Passport, ax: Axes) -> Axes:
    """The decoded filter, around zero; channels that are neither one nor three are averaged."""
    image = _part(passport, "picture", Picture).decoded.images[0]
    signed(_visible(image).float(), ax)
    c, h, w = image.shape
    zero = "mid-grey is zero" if c == 3 else "red positive, blue negative"
    return _labelled(ax, f"{h} × {w} pixels, {zero}")


def gates(passport: Passport, ax: Axes) -> Axes:
    """The filter's gate for each class, largest first."""
    found: Gates = _part(passport, "gates", Gates)
    order = in_order(found.values, min(MOST, len(found.values)))
    ax.barh(
        range(len(order)),
        found.values[order].double().numpy(),
        color=[ARCHETYPE if c in found.owners else "0.7" for c in order],
        height=0.75,
    )
    ax.set_yticks(range(len(order)), [_clipped(named(passport, c)) for c in order], fontsize=7)
    ax.set(xlim=(0, 1), ylim=(len(order) - 0.4, -0.6))
    ax.tick_params(axis="x", labelsize=7)
    rest = f", {len(order)} of {len(found.values)} classes" if len(order) < len(found.values) else ""
    ax.set_xlabel(f"gate{rest}", fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def content(passport: Passport, axes: np.ndarray) -> np.ndarray:
    """Image, map, isolated image and the baselines' patterns: axes (m, 7), a row for each of the m images.

    Patterns are shown around zero, each at its own full contrast. Under each: SSIM of the filter's map and the filter's share of the
    layer's energy, of that image shown to the network.
    """
    found: Content = _part(passport, "content", Content)
    m = len(found.chosen)
    axes = np.asarray(axes)
    if axes.shape != (m, 2 + len(METHOD_NAMES)):
        raise ValueError(f"axes: got shape {axes.shape}, expected {(m, 2 + len(METHOD_NAMES))}: image, map and {len(METHOD_NAMES)} methods")
    for row, number in enumerate(found.chosen.tolist()):
        photograph(_visible(found.images[row]).float(), axes[row, 0]).set_ylabel(f"image {number}", fontsize=8)
        values = found.maps[row].float()
        if bool((values < 0).any()):
            signed(values, axes[row, 1])
        else:
            axes[row, 1].imshow(values.numpy(), cmap="inferno", vmin=0, interpolation="nearest")
        _labelled(bare(axes[row, 1]), measured(found, "original", row))
        for column, method in enumerate(METHOD_NAMES, start=2):
            _method(passport, found, method, row, axes[row, column])
    for ax, name in zip(axes[0], ["image", "its map", *METHOD_NAMES.values()], strict=True):
        ax.set_title(name, fontsize=8)
    return axes


def _method(passport: Passport, found: Content, method: str, row: int, ax: Axes) -> None:
    given = found.isolation if method not in BASELINES else found.baselines[method]
    if isinstance(given, str):
        _absent(ax, given)
        return
    if method in BASELINES:
        pattern = _visible(given[row].cpu()).float()
        signed(pattern, ax)
    else:
        photograph(_visible(shown(given.images[row : row + 1], passport.normalization).images[0]).float(), ax)
    _labelled(ax, measured(found, method, row))


def _visible(image: Tensor) -> Tensor:
    """(c, h, w) with one or three channels."""
    return image if len(image) in (1, 3) else image.mean(0, keepdim=True)


def _labelled(ax: Axes, below: str) -> Axes:
    ax.set_xlabel(below, fontsize=7)
    return ax


def _absent(ax: Axes, why: str) -> None:
    """An axis with the reason in it instead of a picture."""
    ax.axis("off")
    ax.text(0.5, 0.5, textwrap.fill(why, 26, max_lines=7), transform=ax.transAxes, ha="center", va="center", fontsize=6)


def _wrapped(text: str, width: int, lines: int) -> str:
    return textwrap.fill(text, width, max_lines=lines)


def _clipped(name: str, longest: int = 16) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _checked(passport: object) -> Passport:
    if not isinstance(passport, Passport):
        raise TypeError(f"passport: got {checks.describe(passport)}, expected a Passport")
    return passport


def _part(passport: object, part: str, kind: type) -> object:
    """A part of a passport. Raises TypeError for another thing, ValueError with the reason where the part does not apply."""
    found = getattr(_checked(passport), part)
    if not isinstance(found, kind):
        raise ValueError(f"passport: it has no {part}: {found}")
    return found


MIDDLE = {"classes": classes, "picture": picture, "gates": gates}
