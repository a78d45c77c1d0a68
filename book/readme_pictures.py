"""Draw the README's three pictures again:  .venv/bin/python book/readme_pictures.py"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from filterlens import models
from filterlens.figures import decoding as figures
from filterlens.lenses.decoding import CHARACTERS, CharacterNetwork, contributions, decode

ASSETS = Path(__file__).parent / "_assets"


def draw(name: str, size: tuple[float, float], figure_of, dpi: int = 100) -> None:
    figure, ax = plt.subplots(figsize=size)
    figure_of(ax).set_title("")
    figure.savefig(ASSETS / f"readme-{name}.png", dpi=dpi, bbox_inches="tight", pad_inches=0.02)


digits = decode(models.load("lenet"), "conv4")
natural = decode(models.load("efficientnet-lite0"), "blocks.1.0.conv_dw", list(range(24)))
characters = decode(CharacterNetwork(), "characters")
trees = [contributions(characters, list(CHARACTERS).index(name), top=16, depth=2) for name in "CD"]

draw("digits", (8, 1.1), lambda ax: figures.bank(digits, ax))
draw("natural", (8, 1.9), lambda ax: figures.bank(natural, ax, columns=12))
draw("tree", (8, 5), lambda ax: figures.tree(trees, ax, names="CD"), dpi=80)
