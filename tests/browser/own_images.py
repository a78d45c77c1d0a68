"""The page of two boards, LeNet's and ResNet-20's, and how a test hands images to them and reads what the page computed."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Locator, Page
from torch import Tensor

from filterlens.explorer import script
from filterlens.explorer.browser_image import OwnImage, own_image

LISTEN = "document.addEventListener('filterlens-answer', (event) => { (window.answers ??= []).push(event.detail); })"
LAST = """() => {
  const { image, outputs, milliseconds, said, whole } = window.answers.at(-1);
  const text = (values) => { let out = ""; for (const byte of new Uint8Array(Float32Array.from(values).buffer)) out += String.fromCharCode(byte); return btoa(out); };
  const arrays = Object.fromEntries(Object.entries(outputs).map(([name, { shape, values }]) => [name, [shape, text(values)]]));
  return { image: text(image), arrays, milliseconds, said, whole };
}"""
LIVE = """async ([source, title, about]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const revive = (_, value) => (typeof value?.data === "string" ? { ...value, data: new DataView(bytes(value.data).buffer) } : value);
  const state = { title, _about: JSON.parse(about, revive) };
  const hearing = [];
  const send = async (content, _, [buffer]) => {
    const text = [...new Uint8Array(buffer)].map((byte) => String.fromCharCode(byte)).join("");
    const [reply, buffers] = await window.askPython(content, btoa(text));
    for (const hear of hearing) hear(reply, buffers.map((one) => new DataView(bytes(one).buffer)));
  };
  const model = { get: (name) => state[name], on: (event, hear) => event === "msg:custom" && hearing.push(hear), send };
  const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  widget.render({ model, el: document.querySelector("main") });
}"""
DROP = """([target, content, name]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: name.endsWith("png") ? "image/png" : "text/plain" }));
  for (const kind of ["dragenter", "dragover", "drop"]) target.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def boards_page(folder: Path) -> dict[str, OwnImage]:
    """Write ``index.html`` with both boards, as the runner would have them baked; Python's own, by name."""
    pytest.importorskip("onnx", reason="needs the package onnx (pip install onnx)")
    torch.set_num_threads(1)
    examples = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILTERLENS_SHEETS", str(folder / "toy.sheets"))
        made = {"lenet": own_image("lenet"), "resnet20": own_image("resnet20", examples=examples, example_titles=["noise", "more noise"])}
    bodies = "".join(one._repr_mimebundle_()[0]["text/html"] for one in made.values())
    (folder / "explorer.js").write_text(script.classic(board=True), encoding="utf-8")
    (folder / "explorer.css").write_text(script.style(board=True), encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Toy</title><link rel="stylesheet" href="explorer.css">'
    frame = f'<html lang="en" data-theme="light"><head>{head}<script src="explorer.js" defer></script></head>'
    (folder / "index.html").write_text(f"<!doctype html>{frame}<body><main><h1>Toy</h1>{bodies}</main></body></html>", encoding="utf-8")
    return made


def live(page: Page, board: OwnImage) -> Locator:
    """Show a board as Jupyter does, its module and a model whose messages are answered by Python; the explorer."""
    said: list[Any] = []

    def ask(content: dict[str, Any], text: str) -> Any:
        board._asked(board, content, [memoryview(base64.b64decode(text))])
        return said.pop()

    def send(content: dict[str, Any], buffers: Any = ()) -> None:
        said.append([content, [base64.b64encode(one).decode() for one in buffers]])

    board.send = send
    page.expose_function("askPython", ask)
    page.evaluate(LISTEN)
    about = json.dumps(board._about, default=lambda data: base64.b64encode(data).decode())
    page.evaluate(LIVE, [script.module(board=True), board.title, about])
    wait_for_answer(page, 0)
    return page.get_by_role("group", name=board.title).last


def loaded(page: Page, name: str) -> Locator:
    """Press the button of a board; the explorer, once it has answered for the first time."""
    page.evaluate(LISTEN)
    before = answered(page)
    page.get_by_role("button", name=f"Load {name}").click()
    wait_for_answer(page, before)
    return page.get_by_role("group", name=f"Your own image, read by {name}")


def answered(page: Page) -> int:
    return page.evaluate("window.answers?.length ?? 0")


def wait_for_answer(page: Page, before: int) -> None:
    """Until there is an answer more than before, and no other follows at once."""
    page.wait_for_function("(before) => (window.answers?.length ?? 0) > before", arg=before, timeout=60_000)
    page.wait_for_function(
        "() => { const now = window.answers.length, same = now === window.seen; window.seen = now; return same; }", polling=300
    )


def last(page: Page) -> dict[str, Any]:
    """The last answer: the image and every array, as NumPy arrays."""
    found = page.evaluate(LAST)
    array = lambda shape, text: np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)  # noqa: E731
    return {**found, "image": array(-1, found["image"]), "arrays": {name: array(*one) for name, one in found["arrays"].items()}}


def check_last(page: Page, truth: OwnImage) -> dict[str, Any]:
    """Assert that the last answer is PyTorch's to 1e-3 for the very image it was given to; the answer, with the largest difference."""
    found = last(page)
    image = torch.from_numpy(found["image"].copy()).reshape(truth.answers.size)
    expected = truth.answers.of(image)
    assert list(found["arrays"]) == truth.answers.names
    for name, value in expected.items():
        assert found["arrays"][name].shape == tuple(value.shape), name
        np.testing.assert_allclose(found["arrays"][name], value.numpy(), rtol=0, atol=1e-3, err_msg=name)
    apart = max(float(np.abs(found["arrays"][name] - value.numpy()).max()) for name, value in expected.items())
    return {**found, "image": image, "apart": apart}


def noise(size: tuple[int, int, int], seed: int = 5) -> Tensor:
    """An image (c, h, w) in [0, 1] that a file of 8 bits keeps as it is."""
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)).mul(255).round() / 255


def png(image: Tensor) -> bytes:
    """An image (c, h, w) in [0, 1] as a file."""
    steps = (image * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(steps[..., 0] if steps.shape[2] == 1 else steps).save(file, "PNG")
    return file.getvalue()


def drop(root: Locator, content: bytes, name: str = "own.png") -> None:
    """Drop a file on the explorer."""
    root.page.evaluate(DROP, [root.element_handle(), base64.b64encode(content).decode(), name])
