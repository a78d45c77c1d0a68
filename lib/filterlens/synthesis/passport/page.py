"""A passport as one page of HTML that needs nothing else: no script, no other file, no request."""

from __future__ import annotations

import os
import tempfile
from html import escape
from pathlib import Path

from filterlens import checks

from . import pngs
from .drawn import bars, cloud, table
from .parts import PARTS, Classes, Content, Gates, Passport, Picture, Place, in_order, named
from .style import STYLE
from .words import HEADINGS, METHOD_NAMES, RANKINGS, about, measured, sentence, shares

MOST_CLASSES, MOST_ARCHETYPES = 20, 8


def to_html(passport: Passport) -> str:
    """The whole page. Raises TypeError naming passport."""
    if not isinstance(passport, Passport):
        raise TypeError(f"passport: got {checks.describe(passport)}, expected a Passport")
    sections = "\n".join(_section(passport, part) for part in PARTS)
    heading = f"Filter {passport.filter} of {passport.layer}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(passport.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{escape(heading)}</h1>
<p><strong>{escape(passport.name)}</strong>, one of {passport.n_filters} filters. {escape(about(passport))}.</p>
</header>
{sections}
<footer>The passport of one filter through five lenses, made by Filter Lens.</footer>
</main>
</body>
</html>
"""


def write_html(passport: Passport, path: str | Path) -> Path:
    """Write the page; the file appears whole or not at all. Raises TypeError or ValueError naming the argument, OSError if it cannot be written."""
    target = checked_path(path)
    content = to_html(passport)
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(part, 0o644)
        os.replace(part, target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return target


def checked_path(path: str | Path, name: str = "path") -> Path:
    """Where a page can be written, known before it is made. Raises TypeError or ValueError under ``name``."""
    if not isinstance(path, str | Path):
        raise TypeError(f"{name}: got {checks.describe(path)}, expected the path of an .html file")
    target = Path(path).expanduser()
    if not str(path) or target.is_dir():
        raise ValueError(f"{name}: got {str(path)!r}, expected the path of an .html file")
    if not target.parent.is_dir():
        raise ValueError(f"{name}: got {str(path)!r}, but there is no folder {str(target.parent)!r}")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(f"{name}: got {str(path)!r}, expected a file in a folder that can be written ({error})") from error
    return target


def _section(passport: Passport, part: str) -> str:
    found, said = getattr(passport, part), escape(sentence(passport, part))
    if isinstance(found, str):
        body = f'<p class="missing">{said}</p>'
    else:
        draw = {"place": _place, "classes": _classes, "picture": _picture, "content": _content, "gates": _gates}[part]
        body = f"<p>{said}</p>\n{draw(passport, found)}"
    noted = "".join(f'\n<p class="note">{escape(note[:1].upper() + note[1:])}.</p>' for note in passport.notes.get(part, ()))
    return f'<section id="{part}">\n<h2>{escape(HEADINGS[part])}</h2>\n{body}{noted}\n</section>'


def _place(passport: Passport, found: Place) -> str:
    many = len(found.among)
    ranks = table(
        f"Its rank by every ranking, 1 = most redundant, {many} = most needed",
        ["ranking", "rank", ""],
        [[name, f"{found.ranks[method]}", bars(found.ranks[method] / many)] for method, name in RANKINGS.items()],
    )
    used = shares(found, MOST_ARCHETYPES)
    code = table(
        f"Its mixture: {'the largest of its ' if found.l0 > len(used) else 'its '}shares of {len(found.code)} archetypes",
        ["archetype", "share", ""],
        [[str(at), f"{100 * float(found.code[at]):.1f} %", bars(float(found.code[at]))] for at in used],
    )
    return f'<div class="beside">{cloud(passport, found)}<div>{ranks}</div><div>{code}</div></div>'


def _classes(passport: Passport, found: Classes) -> str:
    order = in_order(found.mean, min(MOST_CLASSES, len(found.classes)))
    top = float(found.mean.abs().max()) or 1.0
    decided = found.ranks is not None
    rows = []
    for at in order:
        label, mean = int(found.classes[at]), float(found.mean[at])
        row = [named(passport, label), str(int(found.n_images[at])), f"{mean:.3g}", bars(mean / top)]
        if decided:
            row += [str(int(found.ranks[at])), f"{float(found.weights[label]):+.2f}"]
        rows.append(row)
    rest = f", the {len(order)} largest of {len(found.classes)} classes" if len(order) < len(found.classes) else ""
    heads = ["class", "images", "mean response", ""] + ["rank", "weight"] * decided
    told = "; rank: of the feature among those that the class rests on; weight: of the final layer" * decided
    return table(f"Mean response by class{rest}{told}", heads, rows)


def _picture(passport: Passport, found: Picture) -> str:
    image = found.decoded.images[0]
    c, h, w = image.shape
    averaged = "" if c in (1, 3) else f", mean of {c} channels"
    colours = "mid-grey is zero" if c == 3 else "red positive, blue negative, white zero"
    alt = f"Decoded picture of filter {passport.filter}, {h} by {w} pixels, largest magnitude {float(image.abs().max()):.3g}"
    return f'<figure class="picture">{_img(pngs.signed(image), alt)}<figcaption>{colours}{averaged}</figcaption></figure>'


def _content(passport: Passport, found: Content) -> str:
    heads = ["image", "its map", *METHOD_NAMES.values()]
    rows = []
    for at, number in enumerate(found.chosen.tolist()):
        image = _cell(pngs.photograph(found.images[at]), f"What the network was shown, number {number}", f"image {number}")
        activations = pngs.activations(found.maps[at])
        cells = [_cell(activations, f"Map of filter {passport.filter} on image {number}", measured(found, "original", at))]
        cells += [_method(passport, found, method, name, at) for method, name in METHOD_NAMES.items()]
        rows.append(f'<tr><th scope="row">{image}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "\n".join(rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Images by method"><table class="images">'
        f"<caption>Each method's image of what drives filter {passport.filter}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _method(passport: Passport, found: Content, method: str, name: str, at: int) -> str:
    given = found.isolation if method == "isolation" else found.baselines[method]
    if isinstance(given, str):
        return f"<p>{escape(given)}</p>"
    numbers = measured(found, method, at)
    alt = f"{name}: what drives filter {passport.filter} in image {int(found.chosen[at])}"
    if method == "isolation":
        return _cell(pngs.photograph(passport.normalization.invert(given.images[at : at + 1])[0]), alt, numbers)
    return _cell(pngs.signed(given[at]), alt, numbers)


def _gates(passport: Passport, found: Gates) -> str:
    order = in_order(found.values, min(MOST_CLASSES, len(found.values)))
    rest = f", the {len(order)} largest of {len(found.values)}" if len(order) < len(found.values) else ""
    rows = [[named(passport, c), f"{float(found.values[c]):.2f}", bars(float(found.values[c]))] for c in order]
    return table(f"Its gate for each class{rest}", ["class", "gate", ""], rows)


def _cell(uri: str, alt: str, below: str) -> str:
    return _img(uri, alt) + (f"<p>{escape(below)}</p>" if below else "")


def _img(uri: str, alt: str) -> str:
    return f'<img src="{uri}" alt="{escape(alt)}">'
