"""The passport's explorer in a bare page, from the states that are shipped: every control leads to what Python answers, and axe finds nothing."""

from __future__ import annotations

import pytest
from alone import as_a_file
from explorers import check
from playwright.sync_api import Locator, Page
from regions import assert_fits_and_clean
from test_explorers import changed, names, turn

from filterlens import sources
from filterlens.explorer import Explorer, PassportStates

STATES = sources.project_home() / "data" / "states" / "passports.npz"


def TOY() -> Explorer:
    """The shipped explorer, two filters of each layer."""
    states, some = PassportStates.load(STATES), {}
    for one in states.filters:
        some.setdefault((one.network, one.layer), []).append(one)
    return PassportStates(tuple(one for kept in some.values() for one in kept[:2]), states.clouds).explorer()


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_every_control_leads_to_what_python_answers(root: Locator, explorer: Explorer, hand: str) -> None:
    assert {"network", "filter"} <= set(names(root))
    before = check(root, explorer)
    for axis in ("filter", "network", "layer", "network"):
        turn(root, axis, hand)
        changed(root, axis, before)
        before = check(root, explorer)


@as_a_file
@pytest.mark.parametrize("width", [1280, 375])
def test_it_fits_and_axe_finds_nothing(page: Page, root: Locator, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for axis in ("filter", "network"):
        turn(root, axis, "mouse")
        assert_fits_and_clean(page)
