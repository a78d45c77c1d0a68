"""The page of a passport: well-formed, nothing from elsewhere, every picture in words; and the file is written whole or not at all."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_passport import CLASSES, LABELS, PLAIN, Network, deep, images, pictures

from filterlens.figures.pictures import SIGNED
from filterlens.synthesis.passport import page, passport, pngs, to_html, write_html, words

VOID = {"meta", "img"}


class Read(HTMLParser):
    """Elements in order with their attributes and text; fails on tags that do not close as they opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict, list[str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append((tag, self.found[-1][2]))

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        for _, text in self.open:
            text.append(data)

    def all(self, tag: str) -> list[tuple[dict, str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.found if name == tag]


@pytest.fixture(scope="module")
def full():
    """All five parts, names that must be escaped."""
    gates = torch.zeros(CLASSES, 4)
    gates[0], gates[:, 3] = 1, torch.tensor([0.0, 1.0, 0.25, 0.75, 1.0])
    names = ["a & b", "<one>", "two", '"three"', "four"]
    options = {"normalization": PLAIN, "gates": gates, "classes": names, "name": "net <x>", "source": "six & colours", "steps": 2}
    return passport(Network(), "colour", 0, images(), LABELS, **options)


@pytest.fixture(scope="module")
def html(full) -> str:
    return to_html(full)


def test_the_page_is_well_formed_and_says_what_it_is(html: str):
    read = Read(html)
    assert html.startswith("<!doctype html>") and read.all("html")[0][0] == {"lang": "en"}
    assert [text for _, text in read.all("title")] == ["net <x>, colour, filter 0"]
    assert [text for _, text in read.all("h1")] == ["Filter 0 of colour"]
    assert [text for _, text in read.all("h2")] == list(words.HEADINGS.values())
    assert [attrs["id"] for attrs, _ in read.all("section")] == ["place", "classes", "picture", "content", "gates"]
    metas = [attrs for attrs, _ in read.all("meta")]
    assert {"charset": "utf-8"} in metas and any("width=device-width" in attrs.get("content", "") for attrs in metas)
    assert "prefers-color-scheme: dark" in html


def test_nothing_is_asked_for_elsewhere(html: str):
    read = Read(html)
    assert "http" not in html.lower() and "//" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", html)
    assert not any(read.all(tag) for tag in ("script", "link", "iframe", "object", "base", "form"))
    assert "url(" not in html and "@import" not in html
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs, _ in read.all("img"))


def test_every_picture_and_every_table_is_said_in_words(html: str, full):
    read = Read(html)
    alts = [attrs["alt"] for attrs, _ in read.all("img")]
    shown = len(full.content.chosen)
    assert len(alts) == 1 + shown * (2 + len(words.METHOD_NAMES)) and all(alt.strip() for alt in alts) and len({*alts}) == len(alts)
    assert read.all("svg")[0][0]["role"] == "img" and "filter 0 is marked" in read.all("svg")[0][0]["aria-label"]
    assert len(read.all("table")) == len(read.all("caption")) == 5
    assert all(attrs["scope"] in ("col", "row") for attrs, _ in read.all("th"))
    regions = [attrs for attrs, _ in read.all("div") if attrs.get("class") == "scroll"]
    assert len(regions) == 5 and all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in regions)


def test_the_numbers_of_the_page_are_those_of_the_passport(html: str, full):
    rows = [text for _, text in Read(html).all("tr")]
    assert "<one>20.7" + str(int(full.classes.ranks[0])) + f"{float(full.classes.weights[1]):+.2f}" in rows
    assert "<one>1.00" in rows and "two0.25" in rows and "L2 norm" + str(full.place.ranks["l2"]) in rows
    widths = [float(width) for width in re.findall(r'class="bar" style="width:([\d.]+)%"', html)]
    assert widths[-CLASSES:] == [100.0, 100.0, 75.0, 25.0, 0.0]
    for part in words.HEADINGS:
        assert page.escape(words.sentence(full, part)) in html


def test_parts_that_do_not_apply_say_why_on_the_page():
    found = passport(deep(), "4", 1, pictures(), normalization=PLAIN, steps=2, shown=1)
    html = to_html(found)
    missing = [text for attrs, text in Read(html).all("p") if attrs.get("class") == "missing"]
    assert missing == [f"Not for this filter: {reason}." for reason in found.missing().values()] and len(missing) == 2


def test_a_method_without_a_rule_has_its_reason_in_its_cell_and_a_note_is_shown():
    found = passport(deep(torch.nn.SiLU()), "2", 0, pictures(), normalization=PLAIN, steps=2, shown=1)
    cells = [text for _, text in Read(to_html(found)).all("td")]
    assert sum("silu" in cell.lower() for cell in cells) == 3
    noted = passport(Network(shortcut=True), "colour", 0, images(), normalization=PLAIN, steps=2)
    assert any("o activation module" in text and text[0].isupper() for attrs, text in Read(to_html(noted)).all("p") if attrs.get("class") == "note")


def _pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def test_a_photograph_is_shown_as_it_is_and_a_signed_pattern_around_grey():
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(_pixels(pngs.photograph(image)), np.rint(255 * image.double().numpy().transpose(1, 2, 0)))
    assert _pixels(pngs.photograph(torch.tensor([[[-1.0, 2.0, float("nan")]]]))).tolist() == [[0, 255, 128]]
    pattern = torch.tensor([[[0.0, 3.0]], [[-3.0, 0.0]], [[1.5, -1.5]]])
    assert _pixels(pngs.signed(pattern)).tolist() == [[[128, 0, 191], [255, 128, 64]]]


def test_signed_colours_are_those_of_the_figures():
    from matplotlib import colormaps

    values = torch.linspace(-2, 2, 101)[None, None]
    theirs = colormaps[SIGNED](values[0].numpy() / 4 + 0.5)[..., :3] * 255
    assert np.abs(_pixels(pngs.signed(values)).astype(float) - theirs).max() <= 3  # matplotlib rounds to 256 colours


def test_maps_are_black_at_zero_and_signed_ones_blue_below():
    assert _pixels(pngs.activations(torch.tensor([[0.0, 1.0, 4.0]]))).tolist() == [[0, 64, 255]]
    red, white, blue = _pixels(pngs.activations(torch.tensor([[2.0, 0.0, -2.0]])))[0].astype(int)
    assert red[0] > red[2] and blue[2] > blue[0] and min(white) > 240


def test_large_pictures_are_averaged_down_and_odd_channels_averaged():
    assert _pixels(pngs.photograph(torch.rand(3, 300, 600))).shape == (128, 256, 3)
    assert _pixels(pngs.photograph(torch.stack([torch.zeros(2, 2), torch.ones(2, 2)]))).tolist() == [[128, 128]] * 2


def test_the_file_is_the_page(full, html: str, tmp_path: Path):
    path = tmp_path / "sheet.html"
    path.write_text("old")
    assert write_html(full, path) == path and path.read_text(encoding="utf-8") == html
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.html"]
    assert write_html(full, str(tmp_path / "other.html")).is_file()


def test_a_file_that_cannot_be_finished_leaves_the_old_one(full, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "sheet.html"
    path.write_text("old")

    def refuse(*args):
        raise OSError("full")

    monkeypatch.setattr(page.os, "replace", refuse)
    with pytest.raises(OSError, match="full"):
        write_html(full, path)
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["sheet.html"]
