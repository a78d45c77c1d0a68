"""Every local link, picture, script and fragment of the site exists; links to other hosts are listed, not followed."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


class Links(HTMLParser):
    """What a page points to, and the places in it that can be pointed to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places |= {given[name] or "" for name in ("id", "name") if name in given}
        self.targets += [given[name] or "" for name in ("href", "src", "poster") if name in given]
        self.targets += [part.split()[0] for part in (given.get("srcset") or "").split(",") if part.strip()]


def read(site: Path) -> dict[Path, Links]:
    return {path: Links(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def broken(pages: Mapping[Path, Links]) -> list[str]:
    """Each dead link, with the page it stands on."""
    out = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not file.is_file():
                out.append(f"{page.name}: {target}: no such file")
            elif file in pages and unquote(parts.fragment) not in pages[file].places:
                out.append(f"{page.name}: {target}: no such place")
    return out


def test_every_local_link_leads_somewhere(site: Path) -> None:
    pages = read(site)
    assert len(pages) > 8 and sum(len(links.targets) for links in pages.values()) > 500
    assert broken(pages) == []


def test_links_to_other_hosts_are_secure_and_name_a_host(site: Path) -> None:
    outward = sorted({target for links in read(site).values() for target in links.targets if urlsplit(target).netloc})
    print("links to other hosts:", *outward, sep="\n  ")
    assert [target for target in outward if not target.startswith("https://") or "." not in urlsplit(target).netloc] == []


@pytest.mark.parametrize("target", ["nowhere.html", "other.html#nowhere", "#nowhere", "_images/lost.png"])
def test_a_dead_link_is_found(tmp_path: Path, target: str) -> None:
    (tmp_path / "page.html").write_text(f'<h1 id="here">x</h1><a href="#here">a</a><a href="other.html#there">b</a><img src="{target}">')
    (tmp_path / "other.html").write_text('<p id="there">')
    (found,) = broken(read(tmp_path))
    assert found.startswith(f"page.html: {target}: no such")
