"""What makes a page light and complete: its icons as CSS, its weight, explorers moved between pages; and how the site is published."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
import yaml

from filterlens.book import icons, page, weights

HOME = Path(__file__).resolve().parents[1]
# Font Awesome's script in miniature: every family is a table of names, registered under its two names.
SCRIPT = (
    'x={moon:[640,512,[],"f186","M9 9z"]};'
    'q={moon:[384,512,[127769,"crescent"],"f186","M1 2c0-.5 3 4z"],"arrow-up":[320,512,[],"f062","M5 6z"]};'
    'k(function(){d("fas",q),d("fa-solid",q)});'
    'r={moon:[512,256,[],"f186","M7 8z"]};k(function(){d("far",r),d("fa-regular",r)});'
    's={github:[496,512,[],"f09b","M0 0z"]};k(function(){d("fab",s),d("fa-brands",s)})'
)


def test_icons_are_found_in_the_pages_with_their_family_and_without_sizes() -> None:
    html = '<i class="fas fa-moon fa-lg"></i><span class="theme fa-solid fa-arrow-up fa-2x"></span><p class="sofa-bed">far fa-sun</p>'
    assert icons.used(html) == {("fas", "fa-moon"), ("fa-solid", "fa-arrow-up")}


def test_outlines_are_read_from_the_script_family_by_family_old_names_included() -> None:
    found = icons.outlines(SCRIPT)
    assert {family: set(names) for family, names in found.items()} == {
        "fas": {"moon", "crescent", "arrow-up"}, "far": {"moon"}, "fab": {"github"},
    }  # fmt: skip
    assert found["fas"]["crescent"] == found["fas"]["moon"] == (384, 512, "M1 2c0-.5 3 4z", "\uf186")
    assert found["far"]["moon"].path == "M7 8z"


def test_the_themes_own_script_can_be_read() -> None:
    import pydata_sphinx_theme

    root = Path(pydata_sphinx_theme.__file__).parent
    found = icons.outlines((root / "theme" / "pydata_sphinx_theme" / "static" / "scripts" / "fontawesome.js").read_text(encoding="utf-8"))
    assert len(found["fas"]) > 1300 and len(found["far"]) > 150 and len(found["fab"]) > 400
    assert found["fas"]["moon"] != found["far"]["moon"] and found["fas"]["search"] == found["fas"]["magnifying-glass"]


@pytest.mark.bad_input
@pytest.mark.parametrize("script", ["", SCRIPT.replace('d("far"', 'd("other"')])
def test_another_script_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="^script: no icons are registered as 'fa[bsr]'"):
        icons.outlines(script)


def test_letters_of_the_icon_fonts_are_found_in_style_sheets_through_variables() -> None:
    css = """/* a.no:before { content: "\\f186" } */ html { --one: var(--two); --two: "\uf186"; }
    .note > p:after, div.note:after{color:red;content:var(--one)} .pen::after { content: "\\f062" }
    q:before { content: "+" } b:after { content: none }
    .lost:before { content: var(--nothing); }"""
    assert icons.lettered(css) == {".note > p:after, div.note:after": "\uf186", ".pen::after": "\uf062"}


def test_the_style_sheet_draws_what_is_wanted_and_names_what_it_cannot() -> None:
    wanted = {("fas", "fa-moon"), ("far", "fa-ghost"), ("fa-solid", "fa-arrow-up")}
    letters = {".note:after": "\uf186", ".x:after": "\uf999"}
    css, missing = icons.sheet(wanted, letters, icons.outlines(SCRIPT), "/*! licence */")
    assert missing == ["far fa-ghost", "U+F999 of .x:after"]
    assert css.startswith("/*! licence */\n") and "ghost" not in css and css.count("{") == css.count("}")
    (moon,) = re.findall(r"^\.fas\.fa-moon::before \{ (.*) \}$", css, re.M)
    svg = "%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 384 512%22%3E%3Cpath d=%22M1 2c0-.5 3 4z%22/%3E%3C/svg%3E"
    assert moon == f'width: 0.75em; --icon: url("data:image/svg+xml,{svg}");'
    assert ".fa-solid.fa-arrow-up::before { width: 0.625em;" in css
    (note,) = re.findall(r"^\.note:after \{ (.*) \}$", css, re.M)
    assert 'content: ""' in note and "mask: var(--icon)" in note and moon in note  # the solid moon, not the others


def test_the_themes_style_sheet_loses_the_icon_fonts_and_nothing_else() -> None:
    fonts = '@font-face{font-family:Font Awesome\\ 6 Free;src:url(a.woff2)}.fa-x:before,.fa-y-2:before{content:"\\f00d"}'
    rest = '@font-face{font-family:Own;src:url(b.woff2)}.fa-lg{font-size:1.25em}.note:before{content:"\\f00d"}'
    assert icons.without_fonts(fonts + rest + fonts) == rest


@pytest.mark.parametrize(
    ("where", "folder"),
    [("intro", "notebooks/3-x.sheets/"), ("notebooks/1-y", "3-x.sheets/"), ("more/deep/page", "../../notebooks/3-x.sheets/")],
)
def test_an_explorer_finds_its_states_from_any_page(where: str, folder: str) -> None:
    html = '<div data-filterlens-explorer data-sheets="3-x.sheets/"><img alt="3-x.sheets/"></div><div data-sheets="3-x.sheets/"></div>'
    assert page.moved(html, where) == html.replace('data-sheets="3-x.sheets/"', f'data-sheets="{folder}"')


@pytest.fixture
def site(tmp_path: Path) -> Path:
    noise = os.urandom
    files: dict[str, bytes] = {
        "a.html": b'<link rel="stylesheet" href="_s/a.css?v=1"><link rel="next" href="b.html"><script src="_s/a.js"></script>'
        b'<img src="_s/p%20q.png"><img src="_s/p%20q.png#x"><img src="data:image/png;base64,AAAA"><a href="https://example.org/">far</a>',
        "sub/b.html": b'<script src="../_s/math/tex-chtml.js" defer></script>'
        b'<img src="../_s/s.png" srcset="../_s/s.png 1x, ../_s/t.png 2x">',
        "_static/template.html": b'<script src="{{ nowhere }}"></script>',
        "_s/a.css": b'@import "b.css"; i { background: url(data:image/png;base64,BBBB), url("p q.png") } ' + b"/* long */" * 1000,
        "_s/b.css": b"@font-face { src: url('f.woff2') format('woff2') } @import url(a.css); @import url(c.css);",
        "_s/c.css": b"@import 'a.css'; i { background: url('data:image/svg+xml,(x)') }",
        "_s/a.js": noise(700), "_s/p q.png": noise(3000), "_s/f.woff2": b"0" * 2000, "_s/s.png": noise(11), "_s/t.png": noise(13),
        "_s/math/tex-chtml.js": b"1", "_s/math/out/x.woff": noise(17), "_s/math/out/y.woff": noise(19), "_s/other.js": noise(9999),
        "sub/3-x.sheets/one.js": noise(1500), "sub/3-x.sheets/two.js": noise(500),
        "sub/3-x.sheets/own-image/three.js": noise(7000),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_figures_of_a_page_lead_to_their_files_and_other_pictures_do_not() -> None:
    figure = '<img alt="A &lt;curve&gt;" src="../_images/6c48.jpg" />'
    html = f'<p>{figure}</p><img src="../_static/logo.svg" alt="" /><img alt="b" src="../_images/x.png" />'
    found = page.linked(html)
    assert f'<p><a class="figure-link" href="../_images/6c48.jpg">{figure}</a></p><img src="../_static/logo.svg" alt="" />' in found
    assert found.count("<a ") == 2 and found.endswith('<a class="figure-link" href="../_images/x.png"><img alt="b" src="../_images/x.png" /></a>')


def test_a_page_weighs_itself_and_all_it_loads_each_once_and_compressed(site: Path) -> None:
    found = weights.weights(site)
    assert set(found) == {"a.html", "sub/b.html"}
    assert set(found["a.html"]) == {"a.html", "_s/a.css", "_s/b.css", "_s/c.css", "_s/a.js", "_s/p q.png", "_s/f.woff2"}
    parts = found["a.html"]
    assert parts["_s/p q.png"] == 3000 and parts["_s/f.woff2"] == 2000  # no server compresses them again
    assert parts["_s/a.css"] == len(gzip.compress((site / "_s/a.css").read_bytes(), 6, mtime=0)) < 400
    fonts = {"_s/math/out/x.woff", "_s/math/out/y.woff"}
    assert set(found["sub/b.html"]) == {"sub/b.html", "_s/math/tex-chtml.js", "_s/s.png", "_s/t.png"} | fonts
    assert weights.sheets(site) == {"3-x": 9000}


def test_the_table_of_a_site_stands_where_a_page_wants_it(site: Path) -> None:
    page = site / "sub" / "3-x.html"
    page.write_text(f"<title>What &amp; why &#8212; Filter Lens</title><p>{weights.PLACE}</p>")
    (site / "index.html").write_text("<p>to a.html")
    found = weights.publish(site)
    text = page.read_text()
    links = re.findall(r'<tr><td><a href="([^"]+)">([^<]*)</a></td><td>([\d.]+)</td><td>([\d.]*)</td></tr>', text)
    assert {link: title for link, title, *_ in links} == {"../a.html": "a.html", "b.html": "sub/b.html", "3-x.html": "What &amp; why"}
    assert {link: states for link, _, _, states in links} == {"../a.html": "", "b.html": "", "3-x.html": "9.0"}
    assert found["sub/3-x.html"]["sub/3-x.html"] == len(gzip.compress(page.read_bytes(), 6, mtime=0))
    assert weights.publish(site) == found  # nothing is left to fill


def test_the_table_begins_with_the_heaviest_page_and_ends_with_the_states() -> None:
    text = weights.table({"light.html": {"light.html": 1100}, "heavy.html": {"heavy.html": 20_000, "p.png": 1_480_000}}, {"3-x": 2_100_000})
    lines = text.splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["page", "kB", "files", "heaviest", "file"],
        ["heavy.html", "1500", "2", "p.png", "1480"],
        ["light.html", "1.1", "1", "light.html", "1.1"],
        ["explorers", "of", "3-x,", "on", "demand", "2100"],
    ]


def test_only_a_page_above_the_limit_is_too_heavy_and_its_five_heaviest_parts_are_named() -> None:
    parts = {f"{n}.png": 10_000 * n for n in range(1, 8)}
    (line,) = weights.too_heavy({"a.html": parts, "b.html": {"b.html": 279_999}, "c.html": {"c.html": 279_000, "x": 1000 - 1}}, 279_999)
    assert line == "a.html takes 280 kB, expected at most 280 kB; heaviest: 7.png 70 kB, 6.png 60 kB, 5.png 50 kB, 4.png 40 kB, 3.png 30 kB"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("added", "message"),
    [
        ('<img src="gone.png">', "a.html asks for gone.png, which is not there"),
        ('<script src="https://example.org/x.js"></script>', "a.html asks another host for https://example.org/x.js"),
        ('<link rel="icon" href="//example.org/x.ico">', "a.html asks another host for //example.org/x.ico"),
    ],
)
def test_a_page_that_asks_for_what_is_not_there_is_named(site: Path, added: str, message: str) -> None:
    (site / "a.html").write_text(added)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        weights.weights(site)


WORKFLOWS = sorted((HOME / ".github" / "workflows").glob("*.yml"))


def test_there_is_a_workflow_for_the_tests_and_one_for_the_pages() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "pages.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_only_what_exists_with_no_more_rights_than_it_needs(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert set(content["permissions"].values()) <= {"read"}  # jobs ask for more themselves
    targets = set(re.findall(r"^([a-z]+):", (HOME / "Makefile").read_text(), re.M))
    called = []
    for job in content["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 45
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))
            called += [line for line in step.get("run", "").splitlines() if line]
            python = step.get("with", {}).get("python-version")
            assert python in (None, "3.11")  # a string: 3.10 as a number is 3.1
    assert called
    for line in called:
        program, *arguments = line.split()
        if program == "make":
            assert arguments and set(arguments) <= targets
        elif program == "test":
            assert arguments == ["-x", "/usr/bin/chromium"]
        else:
            script = HOME / program
            assert script.is_file() and os.access(script, os.X_OK), line


def test_the_tests_run_on_push_and_pull_request_and_the_pages_are_published_from_main() -> None:
    ci, pages = (yaml.load(path.read_text(), yaml.BaseLoader) for path in WORKFLOWS)  # YAML 1.1 reads the key "on" as true
    assert {"push", "pull_request"} <= set(ci["on"]) and ".ci/run" in str(ci["jobs"])
    assert pages["on"]["push"]["branches"] == ["main"] and "concurrency" in pages
    (upload,) = [step for step in pages["jobs"]["build"]["steps"] if step.get("uses", "").startswith("actions/upload-pages-artifact")]
    assert upload["with"]["path"] == "_build/html"
    publish = pages["jobs"]["publish"]
    assert publish["permissions"] == {"pages": "write", "id-token": "write"} and publish["needs"] == "build"
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == ["actions/deploy-pages"]
