"""A project in miniature: notebooks without networks, a few published numbers, the real configuration of the book."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
PICTURE = f"import base64\nfrom IPython.display import Image\nImage(base64.b64decode({PIXEL!r}))"
ALT = {"mystnb": {"image": {"alt": "a single white pixel"}}}
PARAMETERS = """profile: str = "book"  # one of: smoke, book, paper
n_images: int = 3  # how many images [1, 10]
rate: float = 0.5  # a part of them [0.0, 1.0]
unpool: str = "nearest"  # one of: nearest, bilinear
verbose: bool = False  # say more
"""
Cell = str | tuple[str, Mapping[str, object]]


def notebook(path: Path, *cells: Cell, parameters: str | None = PARAMETERS) -> Path:
    """Write a notebook of code cells (source, or source and metadata), the first of them its parameters."""
    head = [] if parameters is None else [(parameters, {"tags": ["parameters"]})]
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# The notebook {path.stem}"}
    made: list[dict[str, object]] = [title]
    for number, cell in enumerate([*head, *cells]):
        source, metadata = cell if isinstance(cell, tuple) else (cell, {})
        kind = {"cell_type": "code", "id": f"cell{number}", "outputs": [], "execution_count": None}
        made.append({**kind, "source": source, "metadata": metadata})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return path


def project(home: Path, notebooks: Mapping[str, Sequence[Cell]], profiles: Mapping[str, str] | None = None) -> Path:
    """Write a project with these notebooks and profiles (YAML by name)."""
    for name, cells in notebooks.items():
        notebook(home / "notebooks" / f"{name}.ipynb", *cells)
    for name in ("smoke", "book", "paper"):
        file = home / "notebooks" / "profiles" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((profiles or {}).get(name, ""), encoding="utf-8")
    (home / "data" / "results").mkdir(parents=True, exist_ok=True)
    shutil.copy(HOME / "data" / "published.csv", home / "data")
    return home


def pages(home: Path, chapters: Sequence[str], front: str = "# Front\n\nA formula, $x^2$.\n") -> Path:
    """Add a small book with these notebooks as chapters, under the project's real configuration and assets."""
    book = home / "book"
    book.mkdir()
    for file in ("_config.yml", "CITATION.cff"):
        shutil.copy(HOME / file, home)
    shutil.copy(HOME / "requirements.txt", home)
    shutil.copy(HOME / "book" / "references.bib", book)
    shutil.copytree(HOME / "book" / "_assets", book / "_assets")
    (book / "intro.md").write_text(front, encoding="utf-8")
    (book / "bibliography.md").write_text("# Bibliography\n\n```{bibliography}\n```\n", encoding="utf-8")
    files = [*(f"notebooks/{chapter}" for chapter in chapters), "results", "bibliography"]
    toc = "format: jb-book\nroot: intro\nchapters:\n" + "".join(f"  - file: {file}\n" for file in files)
    (book / "_toc.yml").write_text(toc, encoding="utf-8")
    return home
