"""A widget that is HTML on the published page, where no Python would answer it: what all widgets of the book have in common."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import anywidget


def embedded(mark: str, folder: str, shown: str, state: dict[str, Any]) -> str:
    """The element that the page's script finds by the attribute ``mark``: its state, and HTML for a reader without JavaScript.

    folder: where its sheets lie, seen from the page. state: anything of JSON's; NaN raises ValueError.
    """
    data = json.dumps(state, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    data = data.replace("</", "<\\/").replace("<!--", "<\\u0021--")  # nothing in it ends the script element, or begins a comment
    return f'<div {mark} data-sheets="{quote(folder)}/">{shown}<script type="application/json">{data}</script></div>'


class Published(anywidget.AnyWidget):
    """``_html``: what the page shows; None where the runner did not ask for a page."""

    _html: str | None = None

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        if self._html is None or bundle is None:
            return bundle
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/html": self._html}, metadata
