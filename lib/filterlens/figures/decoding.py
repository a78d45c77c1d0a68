"""Figures of the decoding lens; the numbers in their names are those of Rafegas and Vanrell (2015)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn.functional import interpolate

from ..lenses.decoding import Comparison, Contribution, DecodedFilters, ErrorTable, thresholded
from .pictures import SIGNED, bare, gray_mosaic, signed, signed_mosaic

RED, YELLOW = "#d62728", "#e6b800"
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}  # keeps text readable on lines


def bank(decoded: DecodedFilters, ax: Axes, *, kernels: Sequence[int] | None = None, columns: int = 10, q: float | None = None) -> Axes:
    """Decoded filters of a layer side by side (Figure 4), each scaled to its own maximum; ``q`` draws the thresholded view."""
    images = decoded.images if kernels is None else decoded.images[[decoded.kernels.index(k) for k in kernels]]
    signed_mosaic(images if q is None else thresholded(images, q), ax, columns=columns)
    h, w = images.shape[2:]
    what = f"{len(images)} filters of '{decoded.layer}', {h} x {w}"
    ax.set_title(what if q is None else f"{what}, |df| ≥ {q:g} max", fontsize=9)
    return ax


def steps(decoded: DecodedFilters, axes: Sequence[Axes], *, channel: int = 0) -> Sequence[Axes]:
    """The first kernel on its way down, one axis per step with its size (Figure 2); needs ``decode(..., keep_steps=True)``."""
    if any(step.images is None for step in decoded.steps):
        raise ValueError("decoded: got steps without images, expected decode(..., keep_steps=True)")
    if len(axes) < len(decoded.steps):
        raise ValueError(f"axes: got {len(axes)}, expected one for each of the {len(decoded.steps)} steps")
    words = {"convolution": "substitute", "maxpool": "unpool", "averagepool": "unpool (mean)"}
    for ax, step in zip(axes, decoded.steps, strict=False):
        c, h, w = step.shape
        signed(step.images[0, min(channel, c - 1)], ax)
        where = f" '{step.name}'" if step.name else ""
        ax.set_title(f"{words.get(step.kind, step.kind)}{where}\n{h} x {w}" + (f" ({c} channels)" if c > 1 else ""), fontsize=9)
    return axes


def response_matrix(matrix: Tensor, ax: Axes) -> Axes:
    """Figure 1: scalar responses (k filters, k images); bold where largest in the row, framed where largest in the column."""
    import seaborn

    limit = float(matrix.abs().max())
    order = 10 ** int(np.floor(np.log10(limit))) if limit > 0 else 1
    text = {"annot": (matrix / order).numpy(), "fmt": ".1f", "annot_kws": {"fontsize": 7}}
    seaborn.heatmap((matrix / order).numpy(), ax=ax, cmap=SIGNED, center=0, cbar_kws={"label": f"response / {order:.0e}"}, **text)
    k = matrix.shape[1]
    for label, (row, column) in zip(ax.texts, itertools.product(range(matrix.shape[0]), range(k)), strict=True):
        if column == int(matrix[row].argmax()):
            label.set_fontweight("bold")
    for column in range(k):
        ax.add_patch(Rectangle((column, int(matrix[:, column].argmax())), 1, 1, fill=False, edgecolor="black", linewidth=1.5))
    ax.set(xlabel="image that drives filter ... most", ylabel="decoded filter")
    return ax


def maps_beside(maps: Tensor, responses: Tensor, axes: Sequence[Axes], *, columns: int = 5, title: str = "") -> Sequence[Axes]:
    """Figure 3: one image's maps (k, h, w) from the network, left, and from decoded filters, right; one grey range each."""
    for ax, values, who in zip(axes, (maps, responses), ("network", "decoded"), strict=True):
        low, high = float(values.min()), float(values.max())
        shown = (values[:, None] - low) / max(high - low, 1e-12)
        gray_mosaic(shown, ax, columns=columns).set_title(f"{title} {who}".strip(), fontsize=9)
    return axes


def best_images(
    decoded: DecodedFilters, images: Tensor, by_network: Sequence[int], by_decoded: Sequence[int], axes: np.ndarray, *, q: float = 0.5
) -> np.ndarray:
    """Figure 4 (d): decoded filters over the image that drives each most, in the network (red) and by correlation (yellow).

    axes (2, k). Filters must be as large as the images (n, 1, h, w), in [0, 1].
    """
    for row, (best, colour) in enumerate(((by_network, RED), (by_decoded, YELLOW))):
        for ax, kernel, image in zip(axes[row], decoded.images, best, strict=True):
            tint = np.ones((*images.shape[2:], 3)) - images[image, 0].numpy()[:, :, None] * (1 - np.array(to_rgb(colour)))
            ax.imshow(tint, interpolation="nearest")
            positive = (thresholded(kernel[None], q)[0, 0] > 0).float().numpy()
            ax.contour(positive, levels=[0.5], colors="black", linewidths=0.8)
            bare(ax)
    for ax, k in zip(axes[0], decoded.kernels, strict=True):
        ax.set_title(f"{k}", fontsize=8)
    axes[0, 0].set_ylabel("network", fontsize=8)
    axes[1, 0].set_ylabel("decoded", fontsize=8)
    return axes


def error_by_depth(
    table: ErrorTable, ax: Axes, *, normalize: str = "tensor", published: dict[tuple[str, str], float] | None = None
) -> Axes:
    """Table 1 as a picture: mean error (line) and standard deviation over images (bars) by layer and unpooling.

    ``published``: the paper's means by (layer, unpooling), drawn as crosses.
    """
    import seaborn

    rows = [(layer, unpool, float(e.mean()), float(e.std())) for (layer, unpool, name), e in table.errors.items() if name == normalize]
    frame = pd.DataFrame(rows, columns=["layer", "unpooling", "error", "std"])
    kinds = list(dict.fromkeys(frame["unpooling"]))
    seaborn.pointplot(frame, x="layer", y="error", hue="unpooling", ax=ax, dodge=0.3, linestyle="none", markersize=4)
    layers = list(dict.fromkeys(frame["layer"]))
    for i, unpool in enumerate(kinds):
        places = np.arange(len(layers)) + (i - (len(kinds) - 1) / 2) * 0.3 / max(len(kinds) - 1, 1)
        part = frame[frame["unpooling"] == unpool]
        ax.errorbar(places, part["error"], yerr=part["std"], fmt="none", color=f"C{i}", capsize=2, linewidth=1)
        if published:
            points = [published.get((layer, unpool), np.nan) for layer in layers]
            ax.plot(places, points, "x", color="black", label="paper" if i == 0 else None)
    ax.set(xlabel=f"layer (n = {table.n:,} images, normalization '{normalize}')", ylabel="mean squared error", ylim=(0, None))
    ax.legend(fontsize=8)
    return ax


def correlation(groups: dict[str, dict[str, Comparison]], ax: Axes) -> Axes:
    """Mean correlation (bars) and standard deviation over images (lines) of network and decoded maps, one colour per group."""
    rows = [(group, f"{group} {name}", result.correlation) for group, results in groups.items() for name, result in results.items()]
    colours = {group: f"C{i}" for i, group in enumerate(groups)}
    labels, values = [label for _, label, _ in rows], [r for _, _, r in rows]
    means, spreads = [float(r.mean()) for r in values], [float(r.std(correction=0)) for r in values]
    ax.barh(labels, means, xerr=spreads, color=[colours[group] for group, _, _ in rows])
    ax.invert_yaxis()
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set(xlabel="correlation with the network's maps (mean ± s.d. over images)")
    return ax


def activations(maps: dict[str, Tensor], decoded: dict[str, DecodedFilters], axes: Sequence[Axes]) -> Sequence[Axes]:
    """Figure 7: every layer's maps for one image, white the largest of its layer, under the decoded filter of each map."""
    for ax, (layer, values) in zip(axes, maps.items(), strict=True):
        pictures, shown = decoded[layer].images, values.clamp(min=0) / values.max().clamp(min=1e-12)
        pictures = pictures / pictures.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / 2 + 0.5
        above, below = (interpolate(x, size=(70, 70), mode="nearest") for x in (pictures, shown[:, None]))
        pairs = torch.cat([above, torch.full((len(above), 1, 3, 70), 0.6), below], 2)
        rows = -(-len(pairs) // 8)
        gray_mosaic(pairs, ax, columns=-(-len(pairs) // rows))
        ax.set_title(f"{layer}: decoded filter above, its map ({values.shape[1]} x {values.shape[2]}) below", fontsize=9)
    return axes


def tree(roots: Sequence[Contribution], ax: Axes, *, names: Sequence[str] = (), zoom: float = 3.0) -> Axes:
    """Figure 6: each root's parts and their parts as pictures joined by lines; a unit that several share is drawn once."""
    levels = _levels(roots)
    height = len(levels) - 1
    place = {}
    for depth, level in enumerate(levels):
        for i, key in enumerate(level):
            place[key] = ((i + 0.5) / len(level), 1 - depth / max(height, 1))
    for parent, child, share in _links(roots):
        (x0, y0), (x1, y1) = place[parent], place[child]
        ax.plot([x0, x1], [y0, y1], color="0.6", linewidth=0.5 + 4 * abs(share), zorder=0)
        along = 0.7  # near the part: lines lie closest to each other at the root
        ax.text(x0 + along * (x1 - x0), y0 + along * (y1 - y0), f"{share:.0%}", fontsize=6, ha="center", va="center", bbox=LABEL)
    for level in levels:
        for key, unit in level.items():
            picture = unit.image.mean(0)
            peak = max(float(picture.abs().max()), 1e-12)
            box = OffsetImage((picture / peak).numpy(), zoom=zoom, cmap="gray", norm=_norm())
            ax.add_artist(AnnotationBbox(box, place[key], frameon=True, pad=0.1))
            root = key[2]
            label = names[root] if root is not None and names else f"{unit.layer} {unit.channel + 1}"
            below = (0, -zoom * unit.image.shape[1] * 0.62 - 8)
            ax.annotate(label, place[key], xytext=below, textcoords="offset points", ha="center", fontsize=8, bbox=LABEL)
    ax.set(xlim=(-0.05, 1.05), ylim=(-0.35, 1.25))
    ax.axis("off")
    return ax


Key = tuple[str, int, int | None]  # layer, channel, which root (roots are kept apart)


def _levels(roots: Sequence[Contribution]) -> list[dict[Key, Contribution]]:
    levels, units = [], [((r.layer, r.channel, i), r) for i, r in enumerate(roots)]
    while units:
        levels.append(dict(sorted(units, key=lambda u: (u[0][2] or 0, u[0][1]))))
        units = [((p.layer, p.channel, None), p) for _, unit in levels[-1].items() for p in unit.parts]
    return levels


def _links(roots: Sequence[Contribution]) -> list[tuple[Key, Key, float]]:
    links, units = [], [((r.layer, r.channel, i), r) for i, r in enumerate(roots)]
    while units:
        below = [(key, (p.layer, p.channel, None), p) for key, unit in units for p in unit.parts]
        links += [(key, child, part.share) for key, child, part in below]
        units = [(child, part) for _, child, part in below]
    return links


def _norm() -> Normalize:
    return Normalize(-1, 1)
