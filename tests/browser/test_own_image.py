"""The reader's own image on a page: what Chromium computes is what PyTorch does, drawn, dropped, chosen or by keys; nothing leaves the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import Watch
from explorers import read, wait_for
from matplotlib import colormaps
from own_images import answered, boards_page, check_last, drop, last, live, loaded, noise, png, wait_for_answer
from playwright.sync_api import Locator, Page, expect
from regions import assert_fits_and_clean
from sites import served

from filterlens.explorer import panels
from filterlens.explorer.browser_image import own_image

SPOKEN = {"lenet": "LeNet", "resnet20": "ResNet-20"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Any]:
    """Python's boards by name; their page lies in the folder."""
    return boards_page(folder)


@pytest.fixture(scope="module")
def address(folder: Path, truth: dict[str, Any]) -> Iterator[str]:
    with served(folder) as address:
        yield address


@pytest.mark.parametrize("place", ["http", "file"])
def test_nothing_is_loaded_before_it_is_asked_for_and_every_array_is_pytorchs(
    page: Page, watch: Watch, folder: Path, address: str, truth: dict[str, Any], place: str
) -> None:
    page.goto(address if place == "http" else (folder / "index.html").as_uri())
    offers = page.get_by_role("button", name="Load").all_inner_texts()
    assert [offer.split(" (")[0] for offer in offers] == ["Load LeNet", "Load ResNet-20"]
    assert watch.sheets() == []
    for i, (name, spoken) in enumerate(SPOKEN.items()):
        root = loaded(page, spoken)
        files = [folder / "toy.sheets" / "own-image" / url.split("/")[-1] for url in watch.sheets()]
        assert len(files) == i + 2, "the runtime once, and each network"
        assert offers[i].endswith(f"({(files[0].stat().st_size + files[-1].stat().st_size) / 1e6:.1f} MB)")
        others = page.get_by_role("button", name="Load").all_inner_texts()
        assert others == [f"Load ResNet-20 ({resnet_alone(folder, truth):.1f} MB)"][i:], "what runs it is here already"
        image, before = noise(truth[name].answers.size), answered(page)
        drop(root, png(image))
        wait_for_answer(page, before)
        found = check_last(page, truth[name])
        torch.testing.assert_close(found["image"], image, rtol=0, atol=1e-7)  # of the network's own size: pixel by pixel
        print(
            f"{spoken}, {place}: network {found['milliseconds']:.0f} ms, said after {found['said']:.0f} ms, with panels {found['whole']:.0f} ms, apart {found['apart']:.1e}"
        )


def resnet_alone(folder: Path, truth: dict[str, Any]) -> float:
    """Megabytes of the network's file."""
    (text,) = [one for one in re.findall(r'"files":{[^}]*}', truth["resnet20"]._html)]
    return (folder / "toy.sheets" / "own-image" / f"{json.loads(text[8:])['network']}.js").stat().st_size / 1e6


def strokes(page: Page, canvas: Locator, points: list[tuple[float, float]]) -> None:
    """Draw through places given as fractions of the board."""
    box = canvas.bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def test_a_drawn_digit_is_read_and_the_panels_follow(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    root = loaded(page, "LeNet")
    canvas = root.get_by_role("application", name="drawing board")
    expect(canvas).to_be_focused()
    drop(root, png(noise((1, 28, 28))))  # the first stroke replaces what was given
    wait_for_answer(page, 1)
    before = answered(page)
    strokes(page, canvas, [(0.1, 0.1), (0.5, 0.1), (0.3, 0.6)])  # a seven in a corner
    wait_for_answer(page, before)
    found = check_last(page, truth["lenet"])
    rows, columns = np.nonzero(found["image"][0].numpy() > 0.05)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20) and abs(rows.mean() - 13.5) < 2.5 and abs(columns.mean() - 13.5) < 2.5
    logits = found["arrays"]["logits"]
    assert logits.argmax() == 7
    expect(root.locator(".fl-own-status")).to_contain_text(f"LeNet reads 7: logit {logits[7]:.3f}")
    before = answered(page)  # strokes are answered while they are drawn, on a busy machine more than once
    root.get_by_label("centre it").uncheck()
    wait_for_answer(page, before)
    assert np.nonzero(check_last(page, truth["lenet"])["image"][0].numpy())[0].max() < 20  # as it was drawn
    before = answered(page)
    root.get_by_role("button", name="Clear").click()
    wait_for_answer(page, before)
    expect(root.locator(".fl-own-status")).to_contain_text("Nothing is drawn. LeNet has no class for that and reads")
    assert not last(page)["image"].any()


def test_maps_and_decoded_pictures_are_painted_as_python_paints_them(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    root = loaded(page, "LeNet")
    image, before, python = noise((1, 28, 28)), answered(page), truth["lenet"]
    drop(root, png(image))
    wait_for_answer(page, before)
    root.locator("select[name=layer]").select_option(label="conv2")
    root.get_by_role("button", name="map of filter 7 of conv2").click()
    wait_for(root, layer="conv2", filter=7)
    outputs, shown = python.answers.of(image), {one["text"][:20]: one for one in read(root)}
    maps = outputs["maps.conv2"]
    limit = float(maps.abs().max())
    grid = next(one for text, one in shown.items() if text.startswith("Maps of every filter"))["pictures"]
    assert len(grid) == 50
    same_colours(grid, [panels.signed(one, alt="map", limit=limit) for one in maps])
    own = next(one for text, one in shown.items() if text.startswith("Filter 7 of conv2"))["pictures"]
    decoded = torch.from_numpy(np.frombuffer(python_about(python)["decoded"]["conv2"]["data"], np.int8).copy()).reshape(50, 14, 14)[7] / 127
    same_colours(own, [panels.signed(one, alt="one") for one in (decoded, maps[7], outputs["responses.conv2"][7])])


def python_about(board: Any) -> dict[str, Any]:
    from filterlens.explorer.browser_image import about_of

    return about_of(board.answers, [str(digit) for digit in range(10)], "LeNet")


def same_colours(seen: list[dict[str, Any]], expected: list[panels.Image]) -> None:
    """Canvases show pictures' colours; a step may round the other way."""
    for one, picture in zip(seen, expected, strict=True):
        drawn = one["pixels"][..., :3].astype(int)
        steps = picture.values.astype(int)
        near = [colormaps["RdBu_r"](np.clip(steps + by, -127, 127) / 254 + 0.5, bytes=True)[..., :3].astype(int) for by in (-1, 0, 1)]
        assert (np.min([np.abs(drawn - colours).max(axis=2) for colours in near], axis=0) <= 1).all(), one["alt"]


def test_keys_draw_lift_and_clear(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    page.get_by_role("button", name="Load LeNet").focus()
    root = loaded(page, "LeNet")
    before = answered(page)
    for key in ("ArrowUp", "Space", *["Shift+ArrowDown"] * 2, "Space", "ArrowRight", "ArrowRight"):  # a one of eight pixels
        page.keyboard.press(key)
    wait_for_answer(page, before)
    expect(root.locator(".fl-own-tip")).to_be_visible()
    found = check_last(page, truth["lenet"])
    rows, columns = np.nonzero(found["image"][0].numpy() > 0.05)
    assert np.ptp(rows) + 1 == 20 and 3 <= np.ptp(columns) + 1 <= 6
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.type || document.activeElement.tagName"))
    assert reached[:5] == ["button", "checkbox", "file", "layer", "filter"], reached
    root.get_by_role("application").focus()
    before = answered(page)
    page.keyboard.press("Delete")
    wait_for_answer(page, before)
    assert not last(page)["image"].any()


def test_a_photograph_is_cut_to_its_middle_and_made_small(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    root = loaded(page, "ResNet-20")
    torch.testing.assert_close(check_last(page, truth["resnet20"])["image"], noise((3, 32, 32), 0), rtol=0, atol=1e-7)  # the first example
    photo = torch.zeros(3, 320, 480)
    photo[0], photo[1, :, 80:240], photo[2, 160:, 80:400] = 0.2, 0.6, 0.4  # the central square is columns 80 to 400
    before = answered(page)
    root.locator("input[type=file]").first.set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": png(photo)})
    wait_for_answer(page, before)
    found = check_last(page, truth["resnet20"])
    expected = photo[:, :, 80:400].reshape(3, 32, 10, 32, 10).mean((2, 4))
    torch.testing.assert_close(found["image"], expected, rtol=0, atol=0.004)
    assert root.locator("input[capture]").get_attribute("capture") == "environment"
    root.get_by_role("button", name="example: more noise").click()
    wait_for_answer(page, before + 1)
    check_last(page, truth["resnet20"])


def test_a_class_is_taken_apart_and_its_map_painted(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    root = loaded(page, "ResNet-20")
    root.locator("select[name=target]").select_option(label="horse")
    wait_for(root, target=7)
    arrays, shown = last(page)["arrays"], read(root)
    numbers = next(one["text"] for one in shown if one["kind"] == "numbers")
    for name in ("logits", "decomposed"):
        assert f"{arrays[name][7]:.3f}".replace("-", "−") in numbers
    seen = next(one for one in shown if one["text"].startswith("Where horse is seen"))["pictures"]
    same_colours(seen[1:], [panels.signed(torch.from_numpy(arrays["cam"][7].copy()), alt="CAM")])
    root.locator("select[name=layer]").select_option(label="layer2.0.conv2")
    wait_for(root, layer="layer2.0.conv2")
    expect(root.get_by_role("button", name="map of filter 31 of layer2.0.conv2")).to_be_visible()


def test_in_jupyter_python_answers_the_same_board(page: Page, address: str) -> None:
    page.goto(address)
    board = own_image("lenet", title="Live")
    root = live(page, board)
    image, before = noise((1, 28, 28), 6), answered(page)
    drop(root, png(image))
    wait_for_answer(page, before)
    assert check_last(page, board)["apart"] == 0 and torch.equal(board.image, image)
    expect(root.locator(".fl-own-status")).to_contain_text("by Python")
    root.locator("select[name=layer]").select_option(label="conv3")
    wait_for(root, layer="conv3")
    expect(root.locator(".fl-panel-bars").last).to_contain_text("Every filter of conv3")


HUGE = """root => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([new Uint8Array(50_000_001)], "huge.png", { type: "image/png" }));
  root.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_what_is_no_image_is_told_and_the_board_stays_as_it_is(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    root = loaded(page, "LeNet")
    drop(root, png(noise((1, 28, 28))))
    wait_for_answer(page, 1)
    before, message = answered(page), root.locator(".fl-own-tools .fl-message")
    for name, content in {"words.txt": b"only words", "empty.png": b"", "torn.png": png(noise((1, 28, 28)))[:200]}.items():
        drop(root, content, name)
        expect(message).to_contain_text(f"{name} cannot be read as an image; expected one that")
    root.evaluate(HUGE)
    expect(message).to_have_text("huge.png has 50.0 MB; expected an image of at most 50.0 MB.")
    assert answered(page) == before
    drop(root, png(noise((1, 28, 28), 6)))
    expect(message).to_be_hidden()


@pytest.mark.browser_context_args(has_touch=True, is_mobile=True, viewport={"width": 375, "height": 800})
def test_a_finger_draws_and_the_page_stays_where_it_is(page: Page, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    root = loaded(page, "LeNet")
    expect(root.locator("input[capture]")).to_be_visible()  # a phone has a camera
    canvas, before = root.get_by_role("application"), answered(page)
    canvas.scroll_into_view_if_needed()
    box, at = canvas.bounding_box(), page.evaluate("scrollY")
    session = page.context.new_cdp_session(page)
    way = [(0.3 + i / 20, 0.2) for i in range(9)] + [(0.7 - i / 40, 0.2 + i / 16) for i in range(10)]  # a seven
    for i, (x, y) in enumerate(way):
        place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove" if i else "touchStart", "touchPoints": [place]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for_answer(page, before)
    assert check_last(page, truth["lenet"])["arrays"]["logits"].argmax() == 7
    assert page.evaluate("scrollY") == at


def test_a_load_that_fails_is_told_and_can_be_tried_again(page: Page, watch: Watch, address: str, truth: dict[str, Any]) -> None:
    page.goto(address)
    page.route("**/own-image/*.js", lambda route: route.fulfill(status=404, body="not here"))
    button = page.get_by_role("button", name="Load LeNet")
    button.click()
    expect(page.locator(".fl-message:visible")).to_contain_text("LeNet could not be loaded")
    expect(button).to_be_focused()
    page.unroute("**/own-image/*.js")
    loaded(page, "LeNet")
    check_last(page, truth["lenet"])
    watch.forgive("404")


@pytest.mark.parametrize("width", [1440, 375])
def test_boards_fit_and_axe_finds_nothing_in_either_theme(page: Page, address: str, truth: dict[str, Any], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address)
    if width == 1440:
        assert_fits_and_clean(page)  # before anything is loaded; narrow: test_pages
    root = loaded(page, "LeNet")
    loaded(page, "ResNet-20")
    assert_fits_and_clean(page)
    sizes = root.locator("button:visible, select:visible, input:visible, canvas[tabindex]").evaluate_all(
        "all => all.map(one => [one.ariaLabel || one.name || one.textContent, one.type === 'checkbox' ? one.parentElement : one]).map(([name, one]) =>"
        " [name, one.getBoundingClientRect().width, one.getBoundingClientRect().height])"
    )
    assert len(sizes) > 5 and [one for one in sizes if min(one[1:]) < 23.9] == []
