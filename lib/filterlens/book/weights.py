"""What a page costs its reader: the bytes that travel before anything is clicked.

``book`` prints the table after each build, puts it into the page that asks for it, and builds no page that is too heavy. Counted are
the page and all that it names as its scripts, style sheets and pictures, and what those style sheets name in turn,
each once and compressed as a server would; an upper bound, since a browser leaves out what it does not show. MathJax fetches its
fonts itself and is counted with all of them.
"""

from __future__ import annotations

import gzip
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LIMIT = 3_000_000  # bytes of a page, compressed
_COMPRESSED = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".woff", ".woff2", ".ico", ".gz", ".zip"}
_LOADED = {"stylesheet", "preload", "modulepreload", "icon"}
_NAMED = re.compile(r"""(?:url\(\s*|@import\s+(?!url\())(?:"([^"]*)"|'([^']*)'|([^"'()\s;]+))""")
_MATHJAX = "tex-chtml.js"
PLACE = '<div data-filterlens-weights></div>'  # in a page: where ``publish`` puts the table
_TITLE = re.compile(r"<title>(.*?)(?: (?:—|&#8212;|&mdash;) [^<]*)?</title>", re.S)

Weights = dict[str, dict[str, int]]  # page -> part -> bytes


class _Parts(HTMLParser):
    """The addresses that a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.found.append(given.get("src", ""))
            self.found += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        elif tag == "link" and _LOADED & set(given.get("rel", "").split()):
            self.found.append(given.get("href", ""))


def weights(site: Path) -> Weights:
    """For each page of a built site, the compressed bytes of each of its parts; both named by their path in the site.

    ValueError naming the page and the address if a page asks for a file that is not there, or for one of another host.
    """

    @cache
    def weight(part: str) -> int:
        content = (site / part).read_bytes()
        return len(content) if Path(part).suffix in _COMPRESSED else len(gzip.compress(content, 6, mtime=0))

    @cache
    def named(part: str) -> tuple[str, ...]:
        """What a file loads in its turn."""
        if part.endswith(".css"):
            addresses = ["".join(quoted) for quoted in _NAMED.findall((site / part).read_text(encoding="utf-8"))]
            return tuple(_paths(site, part, addresses))
        if part.endswith("/" + _MATHJAX):
            fonts = (site / part).parent.rglob("*.woff")
            return tuple(sorted(path.relative_to(site).as_posix() for path in fonts))
        return ()

    found: Weights = {}
    for path in sorted(site.rglob("*.html")):
        page = path.relative_to(site).as_posix()
        if page.startswith("_static/"):  # the theme's templates
            continue
        parser = _Parts()
        parser.feed(path.read_text(encoding="utf-8"))
        parts, waiting = dict.fromkeys([page]), list(_paths(site, page, parser.found))
        while waiting:
            part = waiting.pop(0)
            if part not in parts:
                parts[part] = None
                waiting += named(part)
        found[page] = {part: weight(part) for part in parts}
    return found


def _paths(site: Path, origin: str, addresses: list[str]) -> Iterator[str]:
    for address in addresses:
        split = urlsplit(address)
        if split.scheme == "data" or not split.path:
            continue
        if split.scheme or split.netloc:
            raise ValueError(f"{origin} asks another host for {address}")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), unquote(split.path)))
        if not (site / path).is_file():
            raise ValueError(f"{origin} asks for {address}, which is not there")
        yield path


def sheets(site: Path) -> dict[str, int]:
    """Bytes of what each chapter keeps beside its page: baked states, networks and what runs them; fetched when a reader asks for it."""
    folders = sorted(site.rglob("*.sheets"))
    return {folder.stem: sum(path.stat().st_size for path in folder.rglob("*.js")) for folder in folders}


def table(found: Mapping[str, Mapping[str, int]], states: Mapping[str, int]) -> str:
    """Both as text, the heaviest page first."""
    total = {page: sum(parts.values()) for page, parts in found.items()}
    lines = [("page", "kB", "files", "heaviest file")]
    for page in sorted(total, key=lambda page: -total[page]):
        part, size = _heaviest(found[page])[0]
        lines.append((page, _kb(total[page]), str(len(found[page])), f"{part} {_kb(size)}"))
    lines += [(f"explorers of {chapter}, on demand", _kb(size), "", "") for chapter, size in states.items()]
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    rows = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in lines]
    return "Bytes a page loads before anything is clicked, compressed (1 kB is 1000 bytes)\n" + "\n".join(rows) + "\n"


def publish(site: Path) -> Weights:
    """Weigh a site, and put the table of what its pages cost into the one that has a ``PLACE`` for it; the weights with that page's."""
    found = weights(site)
    for page in found:
        text = (site / page).read_text(encoding="utf-8")
        if PLACE in text:
            (site / page).write_text(text.replace(PLACE, html(site, page, found, sheets(site))), encoding="utf-8")
            found = weights(site)  # what is said of this page itself was true before
    return found


def html(site: Path, page: str, found: Mapping[str, Mapping[str, int]], states: Mapping[str, int]) -> str:
    """The table for readers, the heaviest page first, with links from ``page``."""
    total = {name: sum(parts.values()) for name, parts in found.items() if name != "index.html"}
    lines = []
    for name in sorted(total, key=lambda name: -total[name]):
        title = _TITLE.search((site / name).read_text(encoding="utf-8"))
        link = posixpath.relpath(name, posixpath.dirname(page) or ".")
        later = states.get(posixpath.splitext(posixpath.basename(name))[0])
        cells = [f'<a href="{link}">{title[1] if title else name}</a>', _kb(total[name]), "" if later is None else _kb(later)]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th scope=\"col\">{name}</th>" for name in ("page", "kB before a click", "kB of explorers, on demand"))
    return f'<table class="table page-weights"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def too_heavy(found: Mapping[str, Mapping[str, int]], limit: int) -> list[str]:
    """A line for each page above the limit, with its five heaviest parts."""
    return [
        f"{page} takes {_kb(sum(parts.values()))} kB, expected at most {_kb(limit)} kB; heaviest: "
        + ", ".join(f"{part} {_kb(size)} kB" for part, size in _heaviest(parts))
        for page, parts in found.items()
        if sum(parts.values()) > limit
    ]  # fmt: skip


def _heaviest(parts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(parts.items(), key=lambda item: -item[1])[:5]


def _kb(size: int) -> str:
    return f"{size / 1000:.0f}" if size >= 9950 else f"{size / 1000:.1f}"
