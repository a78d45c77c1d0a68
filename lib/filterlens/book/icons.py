"""The theme's icons as a few lines of CSS, in place of its script that draws two thousand.

The theme ships every icon of Font Awesome in one script of 1.5 MB and loads it on every page. ``page`` drops the script and
writes the style sheet made here: the outlines of the icons that the pages show, taken from that script when the book is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

Used = tuple[str, str]  # how a page names an icon: the class of its family and its own, such as ("fas", "fa-download")

# What a page may call a family of icons -> what the script calls it.
FAMILIES = {"fa": "fas", "fas": "fas", "fa-solid": "fas", "far": "far", "fa-regular": "far", "fab": "fab", "fa-brands": "fab"}
# Font Awesome's classes that change an icon and draw none. The theme's style sheet holds their rules.
_MANNERS = re.compile(r"fa-(xs|sm|lg|\d?xl|\d+x|fw|spin|pulse|inverse|rotate-\w+|flip-\w+|pull-\w+)")
_CLASSES = re.compile(r'class="([^"]*\bfa[srb]?[ -][^"]*)"')
_ICON = re.compile(r'"?([\w-]+)"?:\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]+)"\]')
_FONTS = re.compile(r"@font-face\{[^}]*Font Awesome[^}]*\}")
_LETTERS = re.compile(r"\.fa-[\w-]+:before(,\.fa-[\w-]+:before)*\{content:[^}]*\}")

_RULES = """
/* The outline is a mask, the text's colour shows through it; a class such as fa-lg scales it like a letter. */
:is(.fa, .fas, .far, .fab, .fa-solid, .fa-regular, .fa-brands) { font-family: inherit; }
:is(.fa, .fas, .far, .fab, .fa-solid, .fa-regular, .fa-brands)::before {
  content: ""; display: inline-block; height: 1em; vertical-align: -0.125em;
  background-color: currentColor; mask: var(--icon) center / contain no-repeat;
}
@media (forced-colors: active) {
  :is(.fa, .fas, .far, .fab, .fa-solid, .fa-regular, .fa-brands)::before { background-color: CanvasText; }
}
"""


class Outline(NamedTuple):
    """An icon: the size of its box and the path drawn in it, as in SVG."""

    width: int
    height: int
    path: str


def used(html: str) -> set[Used]:
    """The icons that a page shows."""
    found: set[Used] = set()
    for classes in _CLASSES.findall(html):
        words = classes.split()
        names = [word for word in words if word.startswith("fa-") and word not in FAMILIES and not _MANNERS.fullmatch(word)]
        found |= {(family, name) for family in words if family in FAMILIES for name in names}
    return found


def outlines(script: str) -> dict[str, dict[str, Outline]]:
    """All outlines in Font Awesome's script, by family ("fas", "far", "fab") and by name, old names included.

    ValueError if the script is not built as that of Font Awesome 6.
    """
    found: dict[str, dict[str, Outline]] = {}
    for family in sorted(set(FAMILIES.values())):
        registered = re.search(rf'\w\("{family}",(\w+)\),\w\("fa-\w+",\1\)', script)
        start = script.rfind(f"{registered[1]}={{", 0, registered.start()) if registered else -1
        if registered is None or start < 0:
            raise ValueError(f"script: no icons are registered as {family!r}, expected the script of Font Awesome 6")
        icons = found.setdefault(family, {})
        for name, width, height, also, path in _ICON.findall(script, start, registered.start()):
            for known in (name, *re.findall(r'"([\w-]+)"', also)):
                icons.setdefault(known, Outline(int(width), int(height), path))
    return found


def sheet(wanted: Iterable[Used], known: Mapping[str, Mapping[str, Outline]], notice: str = "") -> tuple[str, list[Used]]:
    """The style sheet for these icons, and those of them that have no outline. ``notice``: the licence, a CSS comment."""
    rules, missing = [], []
    for family, name in sorted(wanted):
        outline = known.get(FAMILIES[family], {}).get(name.removeprefix("fa-"))
        if outline is None:
            missing.append((family, name))
            continue
        width, height, path = outline
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><path d="{path}"/></svg>'
        picture = f'url("data:image/svg+xml,{quote(svg, safe=" =:/,.-")}")'
        rules.append(f".{family}.{name}::before {{ width: {width / height:g}em; --icon: {picture}; }}")
    return f"{notice.strip()}\n{_RULES}\n" + "\n".join(rules) + "\n", missing


def without_fonts(css: str) -> str:
    """The theme's style sheet without Font Awesome's fonts and the letters in them, which nothing shows any more."""
    return _LETTERS.sub("", _FONTS.sub("", css))
