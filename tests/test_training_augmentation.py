"""Flips and crops: each output is one of the shifts and flips of the image padded with zeros, drawn image by image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from filterlens.training import flip_and_crop

H, W, CHANNELS = 6, 5, 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int) -> Tensor:
    """No two pixels alike, none zero: every shift and flip differs from every other."""
    count = n * CHANNELS * H * W
    return ((torch.arange(count) + 1.0) / count).view(n, CHANNELS, H, W)


def views(image: Tensor, pad: int) -> list[Tensor]:
    """All windows of the padded image, plain and mirrored, by slicing."""
    padded = F.pad(image, (pad,) * 4)
    windows = [padded[:, y : y + H, x : x + W] for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
    return [*windows, *(window.flip(2) for window in windows)]


def which(output: Tensor, image: Tensor, pad: int) -> list[int]:
    return [i for i, view in enumerate(views(image, pad)) if torch.equal(view, output)]


@pytest.mark.parametrize("pad", [1, 2, 4])
def test_each_output_is_exactly_one_view_of_its_own_image(pad: int) -> None:
    given = images(30)
    before = given.clone()
    found = flip_and_crop(given, generator(), pad=pad)
    assert found.shape == given.shape and torch.equal(given, before)
    assert [len(which(out, image, pad)) for out, image in zip(found, given, strict=True)] == [1] * 30


def test_every_view_comes_up_about_equally_often() -> None:
    """18 views for pad 1; 9000 images of one kind, 500 each on average, s.d. 22."""
    image, pad = images(1), 1
    found = flip_and_crop(image.expand(9000, -1, -1, -1), generator(3), pad=pad)
    hits = torch.stack([(found == view).all((1, 2, 3)) for view in views(image[0], pad)])
    assert torch.equal(hits.sum(0), torch.ones(9000, dtype=torch.int64))
    assert bool(((hits.sum(1) - 500).abs() < 110).all())


def test_images_draw_for_themselves() -> None:
    """Neighbours agree in flip, row or column no more often than chance has it."""
    image, pad, n = images(1), 2, 4000
    found = flip_and_crop(image.expand(n, -1, -1, -1), generator(5), pad=pad)
    chosen = torch.stack([(found == view).all((1, 2, 3)) for view in views(image[0], pad)]).long().argmax(0)
    flip, row, column = chosen // 25, chosen % 25 // 5, chosen % 5
    for drawn, share in ((flip, 1 / 2), (row, 1 / 5), (column, 1 / 5)):
        agree = (drawn[1:] == drawn[:-1]).double().mean()
        assert abs(float(agree) - share) < 5 * (share * (1 - share) / n) ** 0.5
    assert abs(float((row == column).double().mean()) - 0.2) < 5 * (0.16 / n) ** 0.5


def test_all_channels_of_an_image_move_alike() -> None:
    found = flip_and_crop(images(9)[:, :1].expand(-1, 3, -1, -1), generator(), pad=3)
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 1], found[:, 2])


def test_seeded_by_the_generator_alone() -> None:
    given, state = images(12), torch.get_rng_state()
    first = flip_and_crop(given, generator(1))
    torch.rand(5)
    again = generator(1)
    assert torch.equal(first, flip_and_crop(given, again)) and not torch.equal(first, flip_and_crop(given, generator(2)))
    assert not torch.equal(first, flip_and_crop(given, again))  # the generator has moved on
    torch.set_rng_state(state)
    flip_and_crop(given, generator(1))
    assert torch.equal(state, torch.get_rng_state())


def test_without_padding_images_are_mirrored_or_left() -> None:
    given = images(40)
    found = flip_and_crop(given, generator(), pad=0)
    flipped = (found == given.flip(3)).all(3).all(2).all(1)
    assert torch.equal(found, torch.where(flipped[:, None, None, None], given.flip(3), given)) and 8 < int(flipped.sum()) < 32


def test_four_pixels_by_default_and_any_precision() -> None:
    given = images(8).double()
    assert torch.equal(flip_and_crop(given, generator()), flip_and_crop(given, generator(), pad=4))
    assert flip_and_crop(given, generator()).dtype == torch.float64
    torch.testing.assert_close(flip_and_crop(given.half(), generator()), flip_and_crop(given, generator()).half())


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("images", {"images": images(2)[0]}, ValueError),
        ("images", {"images": images(2)[:0]}, ValueError),
        ("images", {"images": (images(2) * 255).to(torch.uint8)}, TypeError),
        ("images", {"images": images(2) * float("nan")}, ValueError),
        ("images", {"images": [[0.5]]}, TypeError),
        ("pad", {"pad": -1}, ValueError),
        ("pad", {"pad": 1.5}, TypeError),
        ("pad", {"pad": True}, TypeError),
    ],
)
def test_bad_input(name: str, arguments: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}:"):
        flip_and_crop(**{"images": images(2), "generator": generator(), **arguments})
