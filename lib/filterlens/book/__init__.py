"""The site: executed notebooks, the results page, and the HTML made of them.

``build`` puts ``runs`` (executed copies into ``book/notebooks/``), ``results`` and ``claims`` (two pages in ``book/``) and Jupyter Book
in a row; ``page`` and ``chapters`` are what Sphinx does for us meanwhile, ``weights`` says what each page costs its reader. Anything
that goes wrong, a cell that raises, a warning of Sphinx or a page that is too heavy, fails the build and leaves no site behind.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filterlens import runs
from filterlens.book import results, weights
from filterlens.sources import project_home

_TROUBLE = ("WARNING", "ERROR", "SEVERE", "Error")


class BookError(RuntimeError):
    """Pages that could not be built, with what the builder said."""


def build(
    profile: str = "book", *, workers: int = 2, force: bool = False, home: Path | None = None, say: Callable[[str], object] = print
) -> Path:
    """Execute all notebooks with a profile, make the results page, build the HTML; the path of the page to open.

    What has not changed is not done again. Raises ParameterError before anything starts, RunError for a notebook, BookError for the pages.
    """
    from filterlens.book import cards, claims, front  # with torch and yaml, which the command line does without

    home = (home or project_home()).resolve()
    site = home / "_build" / "html"
    notebooks = sorted((home / "notebooks").glob("*.ipynb"))
    try:
        for notebook in notebooks:
            runs.prepare(notebook, profile, home=home)
        say(f"Executing {len(notebooks)} notebook{'s' * (len(notebooks) != 1)}, profile '{profile}', {workers} at a time")
        executed = execute(notebooks, profile, workers=workers, force=force, home=home, say=say)
        say("Writing the pages of results and claims, and the picture of the front page")
        results.write(home, home / "book" / "results.md", [path.stem for path in executed])
        if front.wanted(home):
            front.write(home)
        claims.write(home, home / "book" / "claims.md", {chapter.name: chapter.lens for chapter in cards.load(home)})
        render(home, say=say)
    except BaseException:
        shutil.rmtree(site, ignore_errors=True)  # an old site would look like the new one
        raise
    return site / "index.html"


def execute(
    notebooks: list[Path], profile: str, *, workers: int = 2, force: bool = False, home: Path, say: Callable[[str], object] = print
) -> list[Path]:
    """The executed copies in ``book/notebooks``; copies and baked states of notebooks that no longer exist are removed."""
    from filterlens.book import front

    folder = home / "book" / "notebooks"
    names = {notebook.stem for notebook in notebooks}
    for path in folder.glob("*.ipynb"):
        if path.stem not in names:
            path.unlink()
            path.with_suffix(".key").unlink(missing_ok=True)
    for sheets in folder.glob("*.sheets"):
        if sheets.stem not in {*names, front.PAGE}:
            shutil.rmtree(sheets)
    options = {"profile": profile, "out": folder, "home": home, "bake": True}
    fresh = [] if force else [path for path in notebooks if runs.is_current(path, **options)]
    stale = [path for path in notebooks if path not in fresh]
    if fresh:
        say(f"  unchanged: {', '.join(path.stem for path in fresh)}")
    if stale:
        runs.run_all(stale, workers=workers, force=force, **options)
    return [folder / path.name for path in notebooks]


def render(home: Path, *, say: Callable[[str], object] = print) -> Path:
    """Build the HTML from ``book/`` with every warning an error.

    Then put the explorers' baked states beside the pages and weigh each page; the table is said and kept in
    ``_build/page-weights.txt``. Nothing is done if neither the pages nor the library they document have changed. Otherwise the site
    is built anew: an incremental build keeps old navigation in unchanged pages, and forgets the warnings of a build that failed.
    """
    site, doctrees = home / "_build" / "html", home / "_build" / ".doctrees"
    inputs = [*(home / name for name in ("book", "_config.yml", "requirements.txt", "CITATION.cff")), *(home / "notebooks").glob("*.ipynb")]
    key, wanted = home / "_build" / "html.key", runs.fingerprint(inputs, home, also={"library": Path(__file__).parents[1]})
    listing = home / "_build" / "page-weights.txt"
    if (site / "index.html").exists() and listing.exists() and key.exists() and key.read_text(encoding="utf-8") == wanted:
        say("The pages are up to date")
        say(listing.read_text(encoding="utf-8"))
        return site
    say("Building the pages (about ten seconds)")
    key.unlink(missing_ok=True)
    for folder in (site, doctrees):
        shutil.rmtree(folder, ignore_errors=True)
    arguments = ["build", "book", "--config", "_config.yml", "--path-output", ".", "-W", "-n", "--keep-going"]
    start = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]  # this interpreter's, wherever its scripts lie
    done = subprocess.run(
        [*start, *arguments], cwd=home, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode or not (site / "index.html").exists():
        shutil.rmtree(site, ignore_errors=True)
        raise BookError(f"the pages could not be built:\n{_complaints(done.stdout)}")
    try:
        _finish(home, site)
        said = _weigh(site)
    except BaseException:
        shutil.rmtree(site, ignore_errors=True)
        raise
    listing.write_text(said, encoding="utf-8")
    say(said)
    key.write_text(wanted, encoding="utf-8")
    return site


def _finish(home: Path, site: Path) -> None:
    """Put the baked states of the chapters' explorers beside their pages; Sphinx knows nothing of them."""
    for sheets in (home / "book" / "notebooks").glob("*.sheets"):
        shutil.copytree(sheets, site / "notebooks" / sheets.name, ignore=shutil.ignore_patterns("*.html", "*.part"))


def _weigh(site: Path) -> str:
    """The table of page weights, which also goes into the site; BookError if a page is too heavy or asks for what is not there."""
    try:
        found = weights.publish(site)
    except ValueError as error:
        raise BookError(f"the pages are not complete: {error}") from None
    if heavy := weights.too_heavy(found, weights.LIMIT):
        raise BookError("\n".join(["pages are too heavy:", *heavy]))
    return weights.table(found, weights.sheets(site))


def _complaints(output: str) -> str:
    lines = re.sub(r"\x1b\[[\d;]*m", "", output).splitlines()  # Sphinx colours its words whatever it is told
    chosen = [f"{line}\n    {after}" if "exception was raised" in line else line
              for line, after in zip(lines, [*lines[1:], ""], strict=True) if any(word in line for word in _TROUBLE)]  # fmt: skip
    return "\n".join(chosen or lines[-30:])
