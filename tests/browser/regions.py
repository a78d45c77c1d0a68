"""Axe on a page: what it finds in markup that is ours, and what it may find in markup that is the theme's.

A finding of the theme is listed here with its reason; one that is not listed fails the test, wherever it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

AXE = Axe()
RUN = "([context, options]) => axe.run(context, options).then(found => JSON.stringify(found.violations))"  # what passed is long, and nobody reads it


@dataclass(frozen=True)
class Known:
    """A rule that markup others write breaks, at places with this selector, and why it stays."""

    rule: str
    within: str
    reason: str


THEME = (
    Known("region", ".bd-sidebar-primary", "the sidebar's logo stands outside of the theme's landmarks"),
    Known("aria-allowed-role", ".citation-list", "docutils gives a citation role=doc-biblioentry, which no list item may have"),
    Known("aria-deprecated-role", ".citation-list", "doc-biblioentry is what docutils writes"),
    Known("aria-required-children", ".citation-list", "docutils wraps citations in role=list without list items"),
    Known("empty-table-header", "table.dataframe", "pandas leaves the corner above an index empty"),
)

FOREIGN = ("mjx-container", "div.highlight pre", "dt.sig")  # MathJax's, Pygments' and autodoc's own markup, thousands of elements each


def findings(page: Page, *, rules: Sequence[str] = (), within: str | None = None) -> list[str]:
    """Axe's findings that are not the theme's listed ones, in a line each: rule, place, what is wrong.

    ``rules`` restricts to these rules, ``within`` to elements of this selector.
    """
    context = {"exclude": [[selector] for selector in FOREIGN], **({"include": [[within]]} if within else {})}
    options = {"preload": False, "resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    out = []
    for violation in _violations(page, context, options):
        for node in violation["nodes"]:
            place = node["target"][-1]
            if not any(known.rule == violation["id"] and _inside(page, place, known.within) for known in THEME):
                out.append(f"{violation['id']} at {place}: {violation['help']}")
    return out


def assert_fits_and_clean(page: Page) -> None:
    """Nothing reaches beyond the page's width, and axe finds nothing in its explorer, in the light and in the dark theme."""
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    for theme, ground in (("light", "#ffffff"), ("dark", "#121212")):
        page.evaluate("([theme, ground]) => { document.documentElement.dataset.theme = theme; document.body.style.background = ground; }", [theme, ground])
        found = findings(page, within=".fl-explorer")
        assert found == [], f"{theme}: {found}"  # said here, as pytest explains the assertions of tests only


def _violations(page: Page, context: dict[str, Any], options: dict[str, Any]) -> list[dict[str, Any]]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.axe_script)
    return json.loads(page.evaluate(RUN, [context, options]))


def _inside(page: Page, place: str, selector: str) -> bool:
    return bool(page.evaluate("([place, selector]) => !!document.querySelector(place)?.closest(selector)", [place, selector]))
