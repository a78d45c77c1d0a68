"""Figures of the isolation lens refuse what they cannot draw, by the argument's name and before anything is drawn."""

from __future__ import annotations

import pytest
import torch
from test_figures_isolation import FOUND, IMAGES, MAPS, NORMALIZATION, PICTURES, ROWS, Toy, grid  # noqa: F401

from filterlens.figures import isolation as figures
from filterlens.lenses.isolation import isolate

IMAGE, MAP, NAN = IMAGES[0], torch.rand(4, 5), float("nan")
ONE = isolate(Toy(), "relu", 4, NORMALIZATION.apply(IMAGES), max_iter=1)
BAD = [
    ("images", lambda a, g: figures.shown(IMAGE, NORMALIZATION), ValueError),
    ("images", lambda a, g: figures.shown(IMAGES.numpy(), NORMALIZATION), TypeError),
    ("images", lambda a, g: figures.shown(IMAGES.int(), NORMALIZATION), TypeError),
    ("images", lambda a, g: figures.shown(IMAGES[:0], NORMALIZATION), ValueError),
    ("normalization", lambda a, g: figures.shown(IMAGES, None), TypeError),
    ("images", lambda a, g: figures.stretched(IMAGE), ValueError),
    ("images", lambda a, g: figures.stretched(IMAGES * NAN), ValueError),
    ("images", lambda a, g: figures.stretched(IMAGES.long()), TypeError),
    ("isolation", lambda a, g: figures.isolated(FOUND.images, IMAGES, NORMALIZATION, g(5)), TypeError),
    ("images", lambda a, g: figures.isolated(FOUND, IMAGES[:1], NORMALIZATION, g(5)), ValueError),
    ("images", lambda a, g: figures.isolated(FOUND, IMAGES[:, :, 1:], NORMALIZATION, g(5)), ValueError),
    ("images", lambda a, g: figures.isolated(FOUND, NORMALIZATION.apply(IMAGES), NORMALIZATION, g(5)), ValueError),
    ("images", lambda a, g: figures.isolated(FOUND, IMAGES * NAN, NORMALIZATION, g(5)), ValueError),
    ("normalization", lambda a, g: figures.isolated(FOUND, IMAGES, "imagenet", g(5)), TypeError),
    ("axes", lambda a, g: figures.isolated(FOUND, IMAGES, NORMALIZATION, g(4)), ValueError),
    ("axes", lambda a, g: figures.isolated(FOUND, IMAGES, NORMALIZATION, a), ValueError),
    ("problem", lambda a, g: figures.isolated(FOUND, IMAGES, NORMALIZATION, g(5), problem=4), ValueError),
    ("problem", lambda a, g: figures.isolated(FOUND, IMAGES, NORMALIZATION, g(5), problem=0.5), TypeError),
    ("inputs", lambda a, g: figures.four_methods(IMAGES, MAPS, g(2, 1)), TypeError),
    ("maps", lambda a, g: figures.four_methods(PICTURES, MAP, g(2, 1)), TypeError),
    ("maps", lambda a, g: figures.four_methods({}, {}, g(2, 1)), ValueError),
    ("maps", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"guided": MAP}, g(2, 1)), ValueError),
    ("maps", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"lrp": MAP[0]}, g(2, 1)), ValueError),
    ("maps", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"lrp": MAP * NAN}, g(2, 1)), ValueError),
    ("maps", lambda a, g: figures.four_methods({"lrp": IMAGE, "a": IMAGE}, {"lrp": MAP, "a": MAP.T}, g(2, 2)), ValueError),
    ("maps", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"lrp": None}, g(2, 1)), TypeError),
    ("inputs", lambda a, g: figures.four_methods({"lrp": IMAGE - 1}, {"lrp": MAP}, g(2, 1)), ValueError),
    ("inputs", lambda a, g: figures.four_methods({"lrp": IMAGES}, {"lrp": MAP}, g(2, 1)), ValueError),
    ("rows", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"lrp": MAP}, g(2, 1), rows=["a", "b"]), ValueError),
    ("ssim", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"lrp": MAP}, g(2, 1), ssim={"lpr": 1}), ValueError),
    ("axes", lambda a, g: figures.four_methods({"lrp": IMAGE}, {"lrp": MAP}, g(1, 2)), ValueError),
    ("images", lambda a, g: figures.beta_strip(IMAGE, [1], g(2, 1)), ValueError),
    ("images", lambda a, g: figures.beta_strip(IMAGES * 3, [1, 2], g(2, 2)), ValueError),
    ("images", lambda a, g: figures.beta_strip(IMAGES.tolist(), [1, 2], g(2, 2)), TypeError),
    ("betas", lambda a, g: figures.beta_strip(IMAGES, [1], g(2, 2)), ValueError),
    ("betas", lambda a, g: figures.beta_strip(IMAGES, [1, -1], g(2, 2)), ValueError),
    ("betas", lambda a, g: figures.beta_strip(IMAGES, [1, NAN], g(2, 2)), ValueError),
    ("maps", lambda a, g: figures.beta_strip(IMAGES, [1, 2], g(3, 2), maps=torch.rand(3, 4, 5)), ValueError),
    ("ssim", lambda a, g: figures.beta_strip(IMAGES, [1, 2], g(2, 2), ssim=[1, 1]), ValueError),
    ("axes", lambda a, g: figures.beta_strip(IMAGES, [1, 2], g(3, 2)), ValueError),
    ("isolation", lambda a, g: figures.told_apart(FOUND.images, IMAGES, NORMALIZATION, g(2, 6)), TypeError),
    ("isolation", lambda a, g: figures.told_apart(ONE, IMAGES, NORMALIZATION, g(2, 6)), ValueError),
    ("images", lambda a, g: figures.told_apart(FOUND, IMAGES[:1], NORMALIZATION, g(1, 6)), ValueError),
    ("images", lambda a, g: figures.told_apart(FOUND, IMAGES * 3, NORMALIZATION, g(2, 6)), ValueError),
    ("images", lambda a, g: figures.told_apart(FOUND, IMAGES * NAN, NORMALIZATION, g(2, 6)), ValueError),
    ("normalization", lambda a, g: figures.told_apart(FOUND, IMAGES, None, g(2, 6)), TypeError),
    ("axes", lambda a, g: figures.told_apart(FOUND, IMAGES, NORMALIZATION, g(2, 5)), ValueError),
    ("before", lambda a, g: figures.energy(MAP, MAP[0], a, 0), ValueError),
    ("before", lambda a, g: figures.energy(-torch.ones(3), torch.ones(3), a, 0), ValueError),
    ("before", lambda a, g: figures.energy([1, 2], torch.ones(2), a, 0), TypeError),
    ("after", lambda a, g: figures.energy(torch.ones(3), torch.ones(4), a, 0), ValueError),
    ("after", lambda a, g: figures.energy(torch.ones(3), torch.ones(3) * NAN, a, 0), ValueError),
    ("kernel", lambda a, g: figures.energy(torch.ones(3), torch.ones(3), a, 3), ValueError),
    ("kernel", lambda a, g: figures.energy(torch.ones(3), torch.ones(3), a, "3"), TypeError),
    ("losses", lambda a, g: figures.loss_curve([1, 2], a), TypeError),
    ("losses", lambda a, g: figures.loss_curve({}, a), ValueError),
    ("losses", lambda a, g: figures.loss_curve({"a": [1, 2]}, a), TypeError),
    ("losses", lambda a, g: figures.loss_curve({"a": torch.rand(2, 3, 4)}, a), ValueError),
    ("losses", lambda a, g: figures.loss_curve({"a": torch.arange(3)}, a), TypeError),
    ("rows", lambda a, g: figures.errors_joint(ROWS.to_dict(), g(3)), TypeError),
    ("rows", lambda a, g: figures.errors_joint(ROWS.drop(columns="mse_rest"), g(3)), ValueError),
    ("rows", lambda a, g: figures.errors_joint(ROWS[:0], g(3)), ValueError),
    ("rows", lambda a, g: figures.errors_joint(ROWS.assign(mse_rest=0.0), g(3)), ValueError),
    ("rows", lambda a, g: figures.errors_joint(ROWS.assign(mse_rest="much"), g(3)), TypeError),
    ("axes", lambda a, g: figures.errors_joint(ROWS, g(2)), ValueError),
    ("measure", lambda a, g: figures.method_boxes(ROWS, a, "sim"), ValueError),
    ("measure", lambda a, g: figures.method_boxes(ROWS, a, 3), TypeError),
    ("rows", lambda a, g: figures.method_boxes(ROWS, a, "loss"), ValueError),
    ("rows", lambda a, g: figures.method_boxes(ROWS, a, "ssim", by="terms"), ValueError),
    ("rows", lambda a, g: figures.method_boxes(ROWS.assign(ssim=NAN), a, "ssim"), ValueError),
    ("rows", lambda a, g: figures.method_boxes(None, a, "ssim"), TypeError),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(("argument", "call", "error"), BAD)
def test_bad_input(argument: str, call, error: type[Exception], ax, grid) -> None:  # noqa: F811
    with pytest.raises(error, match=rf"^{argument}\b"):
        call(ax, grid)
    assert not ax.lines and not ax.images  # nothing drawn before the refusal
