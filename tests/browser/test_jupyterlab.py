"""The same widget live: JupyterLab is opened, a pick is made by keyboard, Python computes it, a failing function says so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from explorers import check, wait_for
from laboratory import Notebook, laboratory, write
from playwright.sync_api import Page, expect

from filterlens import models, sources
from filterlens.explorer import Explorer, IsolationStates, decoding_explorer, isolation_explorer

CELLS = (
    """import torch
from filterlens import models
from filterlens.explorer import decoding_explorer
images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
explorer = decoding_explorer(models.load("lenet"), images, normalization=models.normalization("lenet"))
explorer""",
    "print('picked', explorer.layer, explorer.filter)",
    "explorer.pick(layer='conv2', filter=7)",
    """from filterlens.explorer import Explorer, panels
def number(side):
    if side == 2:
        raise ValueError("no such side, on purpose")
    return panels.Text(text=f"side {side}")
Explorer({"side": [1, 2, 3]}, number)""",
    """from filterlens import sources
from filterlens.explorer import IsolationStates, isolation_explorer
kept = sources.project_home() / "data" / "states" / "isolation-resnet20.npz"
isolation_explorer(IsolationStates.load(kept))""",
    "from filterlens.explorer import own_image\nboard = own_image('lenet')\nboard",
    "print('ink in columns', *board.image[0].sum(0).nonzero().flatten().tolist())",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """JupyterLab with a notebook ``live.ipynb``."""
    folder = tmp_path_factory.mktemp("laboratory")
    write(folder / "live.ipynb", CELLS)
    with laboratory(folder) as address:
        yield address.format("live.ipynb")


@pytest.fixture
def page(page: Page) -> Page:
    """High enough that no cell is put away."""
    page.set_viewport_size({"width": 1440, "height": 3600})
    page.set_default_timeout(40_000)
    return page


@pytest.fixture(scope="module")
def truth() -> Explorer:
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return decoding_explorer(models.load("lenet"), images, normalization=models.normalization("lenet"))


def test_a_pick_is_computed_by_the_kernel_and_python_moves_the_widget(page: Page, address: str, truth: Explorer) -> None:
    notebook = Notebook(page, address)
    root = notebook.run(0).locator(".fl-explorer")
    first = check(root, truth, pick=wait_for(root))
    root.locator("select[name=filter]").focus()
    page.keyboard.press("ArrowDown")
    check(root, truth, pick=wait_for(root, layer=first["layer"], filter=1))
    expect(notebook.run(1)).to_contain_text(f"picked {first['layer']} 1")
    notebook.run(2)
    check(root, truth, pick=wait_for(root, layer="conv2", filter=7))
    expect(root.locator("select[name=layer]")).to_have_value("conv2")


def test_kept_states_of_isolation_are_answered_by_the_kernel(page: Page, address: str) -> None:
    root = Notebook(page, address).run(4).locator(".fl-explorer")
    truth = isolation_explorer(IsolationStates.load(sources.project_home() / "data" / "states" / "isolation-resnet20.npz"))
    wait_for(root, **truth.picked)
    root.locator("select[name=layer]").focus()
    page.keyboard.press("ArrowDown")
    check(root, truth, pick=wait_for(root, layer="layer2.0.conv1"))
    second = truth._space.options("kernel", truth.picked)[1]
    root.locator("select[name=kernel]").focus()
    page.keyboard.press("ArrowDown")
    check(root, truth, pick=wait_for(root, kernel=second))


def test_a_function_that_raises_says_so_in_its_place_and_the_widget_stays_alive(page: Page, address: str) -> None:
    root = Notebook(page, address).run(3).locator(".fl-explorer")
    wait_for(root, side=1)
    root.locator("select[name=side]").focus()
    page.keyboard.press("ArrowDown")
    wait_for(root, side=2)
    expect(root.get_by_role("alert").filter(visible=True)).to_have_text(re.compile("ValueError: no such side, on purpose"))
    page.keyboard.press("ArrowDown")
    wait_for(root, side=3)
    expect(root.locator(".fl-panel-text")).to_contain_text("side 3")
    expect(root.get_by_role("alert").filter(visible=True)).to_have_count(0)


def test_a_board_is_drawn_on_by_keys_and_the_kernel_answers(page: Page, address: str) -> None:
    """JupyterLab has uses of its own for arrows, space and Delete."""
    notebook = Notebook(page, address)
    root = notebook.run(5).locator(".fl-own")
    status = root.locator(".fl-own-status")
    expect(status).to_contain_text("Nothing is drawn. LeNet has no class for that")
    root.get_by_role("application").focus()
    for key in ("ArrowUp", "Space", "Shift+ArrowDown", "Shift+ArrowDown", "Space"):
        page.keyboard.press(key)
    expect(root.locator(".fl-panel-bars").first).to_contain_text("LeNet reads 1")
    expect(root.locator(".fl-own-down")).to_have_count(0)
    expect(notebook.run(6)).to_contain_text(re.compile(r"ink in columns 1[0-3]( 1\d){2,5}\s*$"))
    root.get_by_role("application").focus()
    page.keyboard.press("Delete")
    expect(root.locator(".fl-panel-bars").first).to_contain_text("Nothing is drawn")
