"""A small explorer with every kind of panel and of axis, and a page around it without a book: what the site's explorers are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from toy_isolation import networks

from filterlens.explorer import Axis, Explorer, influence_explorer, isolation_explorer, panels, prewitt_explorer, script, simplex_explorer
from filterlens.lenses.influence import count_ranks

SIZES = {"conv1": (3, 5, 7), "conv2": (15, 6, 4)}  # layer -> filters, height, width of its pictures


def values(layer: str, filter: int) -> torch.Tensor:
    _, h, w = SIZES[layer]
    return torch.randn(h, w, generator=torch.Generator().manual_seed(100 * h + filter))


def decoded(layer: str, filter: int) -> list[panels.Panel]:
    picture = panels.signed(values(layer, filter), alt=f"filter {filter} of {layer}")
    rows = [("filter", str(filter), "its place in the layer"), ("largest", f"{values(layer, filter).max():.3f}")]
    return [
        panels.Picture(title="Decoded", note=f"{layer}, {filter}", picture=picture, threshold="threshold", parts=True),
        panels.Numbers(title="In numbers", rows=rows),
    ]


def image_shown(image: str) -> panels.Panel:
    hue = torch.linspace(0, 1, 3 * 8 * 6).reshape(3, 8, 6).roll(len(image), 1)
    colour = panels.photo(hue, alt=f"the image {image} in colour")
    grey = panels.gray(hue.mean(0).flip(1), alt=f"the image {image} in grey", label="grey")
    return panels.Pictures(title="Image", pictures=[colour, grey], arrows=True)


def overview(layer: str) -> list[panels.Panel]:
    n, _, _ = SIZES[layer]
    picks = [{"filter": i} for i in range(n)]
    means = torch.tensor([float(values(layer, i).mean()) for i in range(n)])
    neighbours = [panels.signed(values(layer, i), alt=f"small {i}", label=f"no. {i}", pick=picks[i]) for i in range(3)]
    table = torch.stack([means[:3], means[:3].abs()])
    return [
        panels.Bars(title="Means", labels=[str(i) for i in range(n)], series={"mean": means}, picks=picks),
        panels.Pictures(title="Some", pictures=neighbours, columns=3),
        panels.Tree(title="Tree", nodes=[(neighbours[0], 0), (neighbours[1], 1), (neighbours[2], 1)], edges=[(0, 1, 0.7), (0, 2, -0.3)]),
        panels.Matrix(title="Table", values=table, rows=["mean", "size"], columns=["a", "b", "c"]),
        panels.Curve(title="Line", x=[1, 2, 3], series={"mean": means[:3]}, x_label="filter", y_label="mean"),
        panels.Text(title="Words", text=f"All of {layer}.\n\nThat is all."),
    ]


def toy(**options: object) -> Explorer:
    """Layer, filters of the layer (few, or so many that there are step buttons), an image, a threshold."""
    axes = {
        "layer": list(SIZES), "filter": {layer: range(n) for layer, (n, _, _) in SIZES.items()},
        "image": ["first", "second"], "threshold": Axis([0.0, 0.25, 0.5, 0.75], control="slider"),
    }  # fmt: skip
    return Explorer(axes, [decoded, image_shown, overview], title="A toy", **options)


def influence_toy() -> Explorer:
    """Four classes, nine features, 240 test images; so much noise that the layers differ, so few numbers that ties occur."""
    draw = torch.Generator().manual_seed(4)
    prototypes = (torch.rand(4, 9, generator=draw) < 0.4).float()

    def table(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(0, 4, (n,), generator=draw)
        return (prototypes[labels] * 3 + torch.randint(-2, 4, (n, 9), generator=draw)).relu() / 2, labels

    train, test, linear = table(300), table(240), torch.nn.Linear(9, 4)
    with torch.no_grad():
        linear.weight.copy_(prototypes - prototypes.mean(0) + torch.randint(-1, 2, (4, 9), generator=draw) / 4)
        linear.bias.zero_()
    pooled = SimpleNamespace(
        name="toy", train=train, test=test, linear=linear, ranks=count_ranks(*train, 4), classes=["ant", "bee", "cow", "dog"]
    )
    return influence_explorer(pooled, images=torch.rand(3, 3, 5, 6, generator=draw), title="A toy's features")


def simplex_toy() -> Explorer:
    """Layers of one, three and many channels, few and many filters; two tested networks with different rates."""
    draw = torch.Generator().manual_seed(6)
    layers = {"grey": (9, 1, 3, 4), "colour": (14, 3, 4, 3), "deep": (40, 6, 3, 3)}
    weights = {name: torch.randn(*shape, generator=draw) for name, shape in layers.items()}
    weights["grey"][5] = (weights["grey"][0] + weights["grey"][1]) / 2

    def rows(rates: tuple[float, ...]) -> pd.DataFrame:
        sets = ("archetypes", "median_gm", "random", "l1")
        found = [
            (which, rate, seed, 0.9 - rate * (i + 1) - 0.01 * seed) for i, which in enumerate(sets) for rate in rates for seed in (0, 1)
        ]
        return pd.DataFrame(found, columns=["which", "rate", "seed", "accuracy"]).assign(n_images=300)

    curves = {"small network": rows((0.0, 0.05, 0.1)), "large network": rows((0.0, 0.2))}
    return simplex_explorer(weights, curves=curves, fractions=(0.25, 0.5), network="a toy", title="A toy's filters")


def isolation_toy() -> Explorer:
    """Two networks; layers of several kernels, of many and of one; silent kernels; maps of one unit; five ways to an input."""
    return isolation_explorer(networks(), network={"large": "A toy."}, title="A toy's kernels")


def prewitt_toy() -> Explorer:
    return prewitt_explorer(torch.rand(3, 12, 17, generator=torch.Generator().manual_seed(7)), title="A toy's mixture")


def page_of(folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Explorer] = toy) -> Path:
    """Write ``index.html`` with a toy, baked as the runner does it; its path."""
    monkeypatch.setenv("FILTERLENS_SHEETS", str(folder / "toy.sheets"))
    bundle, _ = make()._repr_mimebundle_()
    monkeypatch.delenv("FILTERLENS_SHEETS")
    (folder / "explorer.js").write_text(script.classic(), encoding="utf-8")
    (folder / "explorer.css").write_text(script.style(), encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Toy</title><link rel="stylesheet" href="explorer.css">'
    frame = f'<html lang="en" data-theme="light"><head>{head}<script src="explorer.js" defer></script></head>'
    (folder / "index.html").write_text(
        f"<!doctype html>{frame}<body><main><h1>Toy</h1>{bundle['text/html']}</main></body></html>", encoding="utf-8"
    )
    return folder / "index.html"
