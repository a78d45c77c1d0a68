"""The hand-built character network of the supplement: strokes, parts, characters.

The paper shows its weights only in pictures, so this is a re-design that obeys what the text says: 4 filters of 5x5,
14 of 5x5, a 2x2 pool, 8 of 3x3; the character C is made of parts 1, 4, 9 and 11, part 1 of strokes 3 and 4, and C and D
share part 1, the corner in the lower left cell. Numbers in names count from 1, as the paper's do; channels from 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ... import checks
from .decode import decode

STROKES = ("/", "\\", "|", "-")
# each part: strokes (1-4, see STROKES) with the row and column of their 5x5 window on the part's 9x9 canvas
PARTS: tuple[tuple[str, tuple[tuple[int, int, int], ...]], ...] = (
    ("lower left corner", ((3, 2, 0), (4, 4, 2))),
    ("lower right corner", ((3, 2, 4), (4, 4, 2))),
    ("upper right corner", ((3, 2, 4), (4, 0, 2))),
    ("upper left corner", ((3, 2, 0), (4, 0, 2))),
    ("T", ((4, 0, 1), (4, 0, 3), (3, 2, 2))),
    ("inverted T", ((4, 4, 1), (4, 4, 3), (3, 2, 2))),
    ("T to the right", ((3, 1, 0), (3, 3, 0), (4, 2, 2))),
    ("cross", ((1, 2, 2), (2, 2, 2))),
    ("upper right end", ((4, 0, 2),)),
    ("upper left end", ((3, 0, 0),)),
    ("lower right end", ((4, 4, 2),)),
    ("lower end", ((3, 4, 2),)),
    ("rising diagonal", ((1, 2, 2),)),
    ("falling diagonal", ((2, 2, 2),)),
)
# each character: which part (1-14) lies in which cell (row, column) of the 3x3 grid
CHARACTERS: dict[str, dict[tuple[int, int], int]] = {
    "C": {(0, 0): 4, (0, 2): 9, (2, 0): 1, (2, 2): 11},
    "D": {(0, 0): 4, (0, 2): 14, (2, 0): 1, (2, 2): 13},
    "L": {(0, 0): 10, (2, 0): 1, (2, 2): 11},
    "O": {(0, 0): 4, (0, 2): 3, (2, 0): 1, (2, 2): 2},
    "Y": {(0, 0): 14, (0, 2): 13, (2, 1): 12},
    "T": {(0, 1): 5, (2, 1): 12},
    "X": {(0, 0): 14, (0, 2): 13, (1, 1): 8, (2, 0): 13, (2, 2): 14},
    "K": {(1, 0): 7, (0, 2): 13, (2, 2): 14},
}


def strokes() -> Tensor:
    """The four 5x5 strokes (4, 1, 5, 5): mean zero, so that a blank or even area is silent, and unit length."""
    eye = torch.eye(5)
    bars = torch.stack([eye.flip(1), eye, torch.eye(5)[2].expand(5, 5), torch.eye(5)[2].expand(5, 5).T])[:, None]
    bars = bars - bars.mean((1, 2, 3), keepdim=True)
    return bars / bars.flatten(1).norm(dim=1)[:, None, None, None]


class CharacterNetwork(nn.Module):
    """Convolutions ``strokes`` (4), ``parts`` (14) and ``characters`` (one per character) with a pool between the last two.

    forward: images (n, 1, h, w) -> (n, characters, ...); a 14 x 14 image gives one unit per character. ``layout`` maps a
    name to {(row, column): part}, parts 1-14; ``pool`` is "max" or "average". Parts and characters are scaled so that all
    decoded pictures of a layer have unit length: by Cauchy-Schwarz the response <df_j, df_i> of the linear network to the
    picture of i is then largest at j = i. Raises ``ValueError``/``TypeError`` naming the argument for an impossible layout.
    """

    input_size = (1, 14, 14)

    def __init__(self, layout: dict[str, dict[tuple[int, int], int]] | None = None, *, pool: str = "max") -> None:
        super().__init__()
        layout = CHARACTERS if layout is None else layout
        checks.choice("pool", pool, ("max", "average"))
        _check_layout(layout)
        self.names = tuple(layout)
        self.strokes = nn.Conv2d(1, 4, 5, bias=False)
        self.parts = nn.Conv2d(4, len(PARTS), 5, bias=False)
        self.pool = nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2)
        self.characters = nn.Conv2d(len(PARTS), len(layout), 3, bias=False)
        with torch.no_grad():
            self.strokes.weight.copy_(strokes())
            self.parts.weight.zero_()
            for part, (_, places) in enumerate(PARTS):
                for stroke, row, column in places:
                    self.parts.weight[part, stroke - 1, row, column] = 1
            self.characters.weight.zero_()
            for i, cells in enumerate(layout.values()):
                for (row, column), part in cells.items():
                    self.characters.weight[i, part - 1, row, column] = 1
            for name in ("parts", "characters"):  # unit pictures, lowest layer first
                layer = getattr(self, name)
                length = decode(self, name, input_size=14).images.flatten(1).norm(dim=1)
                layer.weight /= length[:, None, None, None]
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.characters(self.pool(self.parts(self.strokes(images))))


def _check_layout(layout: object) -> None:
    if not isinstance(layout, dict) or not layout:
        raise TypeError(f"layout: got {checks.describe(layout)}, expected a dict of characters, name -> {{(row, column): part}}")
    for name, cells in layout.items():
        if not isinstance(cells, dict) or not cells:
            raise ValueError(f"layout: got {checks.describe(cells)} for {name!r}, expected at least one cell {{(row, column): part}}")
        for place, part in cells.items():
            if not (isinstance(place, tuple) and len(place) == 2 and all(i in (0, 1, 2) for i in place)):
                raise ValueError(f"layout: got the cell {place!r} in {name!r}, expected (row, column) with both in 0, 1, 2")
            checks.integer(f"layout[{name!r}][{place}]", part, 1, len(PARTS))
