"""A Sphinx extension for the pages: light icons, explorers and their script, the chapter's notebook to download.

It listens to Sphinx three times: the directive ``explorer`` puts an explorer or a board of a chapter into another page; before a
page is written, its figures are linked to their files, the script is added that it needs, if any, and the link to its notebook;
when all are written, the theme's icon script goes (see ``icons``). Used by ``_config.yml`` only.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from filterlens.book import icons
from filterlens.explorer import script

MARK, BOARD = "data-filterlens-explorer", "data-filterlens-own-image"  # what explorers and the reader's own image look like in a page
FOLDER = "notebooks"  # where chapters lie: their sources in the project, their executed copies in the book
_SCRIPT = re.compile(r'\s*(<!-- So that users can add custom icons -->\s*)?<script[^>]*/fontawesome\.js[^>]*></script>')
_SHEETS = re.compile(r'(\bdata-sheets=")([^"]*")')
_DOWNLOAD = re.compile(r'(<a href="[^"]+\.ipynb") target="_blank"(?=\s+class="btn btn-sm btn-download-notebook)')
_FIGURE = re.compile(r'<img [^>]*?src="([^"]*/_images/[^"]+)"[^>]*/>')
_log = logging.getLogger(__name__)


class Explorer(SphinxDirective):
    """An explorer of a chapter: ``{explorer} 3-decoding/first`` shows the one named "first" in the notebook 3-decoding."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        chapter, _, name = self.arguments[0].strip().partition("/")
        relative = f"{FOLDER}/{chapter}.sheets/{name}.html"
        path = Path(self.env.srcdir) / relative
        self.env.note_dependency(str(path))
        if not path.is_file():
            problem = f"there is no explorer {name!r} of the notebook {chapter!r}: {relative} does not exist"
            _log.warning(problem, location=self.get_location())
            return []
        return [nodes.raw("", moved(path.read_text(encoding="utf-8"), self.env.docname), format="html")]


def moved(html: str, page: str) -> str:
    """An explorer of a chapter as it must stand in another page: its states are still beside the chapter."""
    way = posixpath.relpath(FOLDER, posixpath.dirname(page) or ".")
    return _SHEETS.sub(lambda found: found[1] + ("" if way == "." else f"{way}/") + found[2], html)


def linked(html: str) -> str:
    """A page whose figures lead to their files: on a phone they are too small to read, and there they can be enlarged."""
    return _FIGURE.sub(lambda found: f'<a class="figure-link" href="{found[1]}">{found[0]}</a>', html)


def _before_page(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    if posixpath.dirname(pagename) == FOLDER:
        context["body"] = linked(context["body"])
    body = context.get("body", "")
    if MARK in body or BOARD in body:
        name = "board" if BOARD in body else "explorer"  # the former holds the latter
        app.add_css_file(f"{name}.css")
        app.add_js_file(f"{name}.js", loading_method="defer")
    if not app.env.get_domain("math").data["has_equations"].get(pagename):
        # Sphinx loads it on the front page too if any page below it has formulas.
        for file in [file for file in context["script_files"] if _is_math(app, file)]:
            context["script_files"].remove(file)
    source = _notebook(app, pagename)
    if source is not None:
        button = {"type": "link", "url": context["pathto"](f"_downloads/{source.name}", 1), "icon": "fas fa-download",
                  "text": "Download as a notebook", "label": "download-notebook"}  # fmt: skip
        context["header_buttons"].insert(0, button)


def _is_math(app: Any, file: Any) -> bool:
    """Whether a script of a page is MathJax or its settings."""
    settings = getattr(file, "attributes", {}).get("body") or ""
    return app.config.mathjax_path in str(getattr(file, "filename", None) or file) or settings.startswith("window.MathJax")


def _notebook(app: Any, pagename: str) -> Path | None:
    """The chapter's source, which has no outputs, or None if the page is no chapter."""
    path = Path(app.srcdir).parent / f"{pagename}.ipynb"
    return path if posixpath.dirname(pagename) == FOLDER and path.is_file() else None


def _after_pages(app: Any, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    downloads = [path for path in map(lambda page: _notebook(app, page), app.env.found_docs) if path is not None]
    for path in downloads:
        (out / "_downloads").mkdir(exist_ok=True)
        shutil.copyfile(path, out / "_downloads" / path.name)
    shown: set[icons.Used] = set()
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        lighter = _DOWNLOAD.sub(r"\1 download", _SCRIPT.sub("", text))
        if lighter != text:
            page.write_text(lighter, encoding="utf-8")
        shown |= icons.used(lighter)
    _lighten(out / "_static", shown)


def _lighten(static: Path, shown: set[icons.Used]) -> None:
    """Replace the icon script by a style sheet; remove what only it and debuggers need."""
    heavy = static / "scripts" / "fontawesome.js"
    theme = static / "styles" / "pydata-sphinx-theme.css"
    theme.write_text(icons.without_fonts(theme.read_text(encoding="utf-8")), encoding="utf-8")
    styles = "\n".join(path.read_text(encoding="utf-8") for path in sorted(static.rglob("*.css")))
    notice = heavy.with_name(heavy.name + ".LICENSE.txt").read_text(encoding="utf-8")
    css, missing = icons.sheet(shown, icons.lettered(styles), icons.outlines(heavy.read_text(encoding="utf-8")), notice)
    for name in missing:
        _log.warning("the pages show the icon '%s', which the theme's icons do not have", name)
    (static / "icons.css").write_text(css, encoding="utf-8")
    shutil.rmtree(static / "vendor" / "fontawesome", ignore_errors=True)
    for path in {*heavy.parent.glob("fontawesome.js*"), *static.rglob("*.js.map"), *static.rglob("*.css.map")}:
        path.unlink()


def _write_scripts(app: Any) -> None:
    """Before the pages, so that Sphinx can add the checksum of each to its address."""
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    for name, board in {"explorer": False, "board": True}.items():
        (static / f"{name}.js").write_text(script.classic(board=board), encoding="utf-8")
        (static / f"{name}.css").write_text(script.style(board=board), encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx. The theme makes its buttons with priority 501."""
    app.add_directive("explorer", Explorer)
    app.add_css_file("icons.css", priority=700)  # after the styles of theme and extensions, before our own
    app.connect("builder-inited", _write_scripts)
    app.connect("html-page-context", _before_page, priority=600)
    app.connect("build-finished", _after_pages, priority=900)  # other extensions copy their style sheets as late as this
    return {"parallel_read_safe": True, "parallel_write_safe": True}
