"""The page's tables with bars in them, and the cloud of filters as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import torch

from .parts import Passport, Place

SIDE, EDGE = 320, 16  # of the drawing, in its own units
MOST_POINTS = 1500


def bars(share: float) -> str:
    """A bar of a share in [-1, 1] of its cell's width; the number stands beside it, so readers are told nothing twice."""
    kind = "bar negative" if share < 0 else "bar"
    return f'<span class="{kind}" style="width:{100 * min(abs(share), 1):.1f}%" aria-hidden="true"></span>'


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names the rows; cells that begin with "<span" are bars, other text is escaped."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in heads)
    body = "\n".join("<tr>" + f'<th scope="row">{escape(row[0])}</th>' + "".join(_cell(text) for text in row[1:]) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    return f'<td class="track">{text}</td>' if text.startswith("<span") else f'<td class="number">{escape(text)}</td>'


def cloud(passport: Passport, found: Place) -> str:
    """The filters on their first two principal components, the archetypes among them, this filter marked."""
    at = int((found.among == passport.filter).nonzero()[0, 0])
    every = torch.cat([found.points, found.corners]).double()
    low, high = every.amin(0), every.amax(0)
    span = float((high - low).max()) or 1.0  # one scale for both, as distances mean something
    middle = (low + high) / 2

    def place(point: torch.Tensor) -> tuple[str, str]:
        x, y = ((point.double() - middle) / span * (SIDE - 2 * EDGE)).tolist()
        return f"{SIDE / 2 + x:.1f}", f"{SIDE / 2 - y:.1f}"

    step = -(-len(found.points) // MOST_POINTS)
    dots = "".join('<circle cx="{}" cy="{}" r="2.5"/>'.format(*place(point)) for point in found.points[::step])
    corners = "".join('<path d="M{} {}m0 -5l4.5 8h-9z"/>'.format(*place(point)) for point in found.corners)
    x, y = place(found.points[at])
    a, b = (f"{100 * float(share):.0f}\N{NO-BREAK SPACE}%" for share in found.shares)
    alt = (
        f"Cloud of {len(found.points)} filters and {len(found.corners)} archetypes on two principal components; "
        f"filter {passport.filter} is marked"
    )
    return (
        f'<figure><svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(alt)}">'
        f'<rect x="0.5" y="0.5" width="{SIDE - 1}" height="{SIDE - 1}" fill="none" stroke="var(--rule)"/>'
        f'<g fill="var(--point)" fill-opacity="0.65">{dots}</g><g fill="none" stroke="var(--mark)">{corners}</g>'
        f'<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="var(--text)" stroke-width="2"/>'
        f'<circle cx="{x}" cy="{y}" r="2.5" fill="var(--text)"/></svg>'
        f"<figcaption>Dots: filters, triangles: archetypes, ring: filter {passport.filter}. First two principal components, {a} and {b} "
        "of the variance.</figcaption></figure>"
    )
