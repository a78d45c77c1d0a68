"""The theme's icons as a few lines of CSS, in place of its script that draws two thousand.

The theme ships every icon of Font Awesome twice: in one script of 1.5 MB that is loaded on every page, and as fonts, whose letters
its style sheets put before titles. ``page`` drops both and writes the style sheet made here: the outlines of the icons that the
pages or the style sheets show, taken from that script when the book is built.
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
_ICON = re.compile(r'"?([\w-]+)"?:\[(\d+),(\d+),\[([^\]]*)\],"([0-9a-f]+)","([^"]+)"\]')
_FONTS = re.compile(r"@font-face\{[^}]*Font Awesome[^}]*\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_CONTENT = re.compile(r'(?:^|[;\s])content:\s*(var\(--[\w-]+\)|"[^"]*")')
_VARIABLE = re.compile(r'(--[\w-]+):\s*(var\(--[\w-]+\)|"[^"]*")')
_LETTERS = re.compile(r"\.fa-[\w-]+:before(,\.fa-[\w-]+:before)*\{content:[^}]*\}")

_DRAWN = (
    'content: ""; display: inline-block; background-color: currentColor; '
    "-webkit-mask: var(--icon) center / contain no-repeat; mask: var(--icon) center / contain no-repeat;"
)
_ANY = ":is(.fa, .fas, .far, .fab, .fa-solid, .fa-regular, .fa-brands)"
_RULES = f"""
/* The outline is a mask, the text's colour shows through it; a class such as fa-lg scales it like a letter. */
{_ANY} {{ font-family: inherit; }}
{_ANY}::before {{ {_DRAWN} height: 1em; vertical-align: -0.125em; }}
@media (forced-colors: active) {{ {_ANY}::before {{ background-color: CanvasText; }} }}
"""


class Outline(NamedTuple):
    """An icon: the size of its box and the path drawn in it, as in SVG, and its letter in Font Awesome's fonts."""

    width: int
    height: int
    path: str
    letter: str

    @property
    def style(self) -> str:
        """What draws it, as CSS."""
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"><path d="{self.path}"/></svg>'
        return f'width: {self.width / self.height:g}em; --icon: url("data:image/svg+xml,{quote(svg, safe=" =:/,.-")}");'


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
        for name, width, height, also, code, path in _ICON.findall(script, start, registered.start()):
            for known in (name, *re.findall(r'"([\w-]+)"', also)):
                icons.setdefault(known, Outline(int(width), int(height), path, chr(int(code, 16))))
    return found


def lettered(css: str) -> dict[str, str]:
    """The selectors that put a letter of Font Awesome's fonts into a page, and the letter."""
    css = _COMMENT.sub("", css)
    values = dict(_VARIABLE.findall(css))
    found = {}
    for selector, body in _RULE.findall(css):
        shown = _CONTENT.search(body)
        text = shown[1] if shown else ""
        while text.startswith("var("):
            text = values.get(text[4:-1], "")
        letter = re.sub(r"\\([0-9a-f]{4})\s?", lambda code: chr(int(code[1], 16)), text.strip('"'))
        if len(letter) == 1 and "\ue000" <= letter <= "\uf8ff":  # the fonts' private corner of Unicode
            found[" ".join(selector.split())] = letter
    return found


def sheet(
    wanted: Iterable[Used], letters: Mapping[str, str], known: Mapping[str, Mapping[str, Outline]], notice: str = ""
) -> tuple[str, list[str]]:
    """The style sheet for the icons of pages, ``used``, and of style sheets, ``lettered``; and what has no outline.

    ``known`` as from ``outlines``; ``notice`` is the licence, as a CSS comment.
    """
    missing, rules = [], []
    for family, name in sorted(wanted):
        outline = known.get(FAMILIES[family], {}).get(name.removeprefix("fa-"))
        if outline is None:
            missing.append(f"{family} {name}")
        else:
            rules.append(f".{family}.{name}::before {{ {outline.style} }}")
    by_letter = {outline.letter: outline for family in ("fab", "far", "fas") for outline in known.get(family, {}).values()}
    for selector, letter in letters.items():
        if letter in by_letter:
            rules.append(f'{selector} {{ {_DRAWN} height: 1em; {by_letter[letter].style} }}')
        else:
            missing.append(f"U+{ord(letter):04X} of {selector}")
    return f"{notice.strip()}\n{_RULES}\n" + "\n".join(rules) + "\n", missing


def without_fonts(css: str) -> str:
    """The theme's style sheet without Font Awesome's fonts and the letters in them, which nothing shows any more."""
    return _LETTERS.sub("", _FONTS.sub("", css))
