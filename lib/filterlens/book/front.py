"""The live picture of the front page: a digit seen through ten filters, and what is left of the network without some others.

``write`` bakes it beside the executed chapters, where the directive ``{explorer} intro/question`` finds it. It holds nothing that the
chapters on decoding and on the simplex do not show at length; here both halves of the book's question stand on one screen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from filterlens.explorer import sheets

PAGE, NAME = "intro", "question"
LAYER, STEP = "conv2", 5  # whose filters are silenced, and how many more each time
SIZE, LARGE = 48, 130  # pixels of pictures on the screen


def wanted(home: Path) -> bool:
    """Whether a project's front page shows it."""
    page = home / "book" / f"{PAGE}.md"
    return page.exists() and f"{{explorer}} {PAGE}/{NAME}" in page.read_text(encoding="utf-8")


def write(home: Path) -> Path:
    """Bake the explorer into ``book/notebooks/intro.sheets``; the folder."""
    folder = home / "book" / "notebooks" / f"{PAGE}.sheets"
    shutil.rmtree(folder, ignore_errors=True)
    before = os.environ.get(sheets.FOLDER)
    os.environ[sheets.FOLDER] = str(folder)
    try:
        explorer()
    finally:
        os.environ.pop(sheets.FOLDER) if before is None else os.environ.update({sheets.FOLDER: before})
    return folder


@torch.no_grad()
def explorer() -> Any:
    """The explorer: pick a digit and a filter, see their product, all ten answers, and accuracy without filters of the second layer."""
    from filterlens import data, models
    from filterlens.explorer import Axis, Explorer, panels
    from filterlens.lenses import decoding

    model, norm, digits = models.load("lenet"), models.normalization("lenet"), data.load("mnist-5k")
    ten = torch.stack([digits.images[digits.labels == digit][0] for digit in range(10)])
    seen, filters = norm.apply(ten), decoding.decode(model, "conv4").images
    products = seen[:, None] * filters[None]
    answers = products.flatten(2).sum(2)  # of each digit (row) by each filter
    kept = accuracies(model, norm.apply(digits.images), digits.labels)

    def rows() -> list[panels.Panel]:
        pictures = [panels.photo(its, alt=f"a {k}", pick={"digit": k}) for k, its in enumerate(ten)]
        drawn = [panels.signed(its, alt=f"filter of the {k}", pick={"filter": k}) for k, its in enumerate(filters)]
        titles = {"Pick a digit": pictures, "Pick a filter": drawn}
        return [panels.Pictures(title=title, pictures=its, size=SIZE) for title, its in titles.items()]

    def meeting(digit: int, filter: int) -> panels.Panel:
        parts = [
            panels.photo(ten[digit], alt=f"a {digit}", label="the digit"),
            panels.signed(filters[filter], alt=f"filter of the {filter}", label="the filter"),
            panels.signed(products[digit, filter], alt=f"a {digit} times the filter of the {filter}", label="multiplied"),
        ]
        note = f"Red minus blue is the filter's answer: {float(answers[digit, filter]):,.0f}."
        return panels.Pictures(title=f"What does the filter of the {filter} do?", pictures=parts, arrows=True, size=LARGE, note=note)

    def all_answers(digit: int, filter: int) -> panels.Panel:
        picks = [{"filter": k} for k in range(10)]
        best = int(answers[digit].argmax())
        wrong = f"The filter of the {best} answers most: ten pictures are not a network."
        note = "The filter of its own class answers most." if best == digit else wrong
        return panels.Bars(
            title=f"The ten answers to this {digit}", labels=list("0123456789"), series={"answer": answers[digit]}, picks=picks,
            highlight=filter, note=note,
        )  # fmt: skip

    def missed() -> panels.Panel:
        which = f"Accuracy over {len(digits):,} digits without some of the second layer's 50 filters, nothing trained again."
        return panels.Curve(title="Would anyone miss it?", **kept, x_label="filters silenced", y_label="accuracy", note=which)

    start = int((answers.argmax(1) == torch.arange(10)).nonzero()[3])
    return Explorer(
        {"digit": Axis(range(10)), "filter": Axis(range(10))}, [meeting, rows, all_answers, missed],
        title="What does this filter do?", start={"digit": start, "filter": start}, name=NAME,
    )  # fmt: skip


def accuracies(model: Any, inputs: Tensor, labels: Tensor) -> Mapping[str, Any]:
    """Accuracy with more and more of the layer's filters silenced, the most redundant first and the most needed first: x and series."""
    from filterlens import metrics
    from filterlens.lenses import ranking, simplex

    order = simplex.layer_relevance(model, LAYER).order
    places = list(range(0, len(order), STEP))

    def without(gone: Tensor) -> float:
        rest = ranking.remove_filters(model, {LAYER: gone}, mode="prune", example=inputs[:1]) if len(gone) else model
        return metrics.accuracy(rest(inputs), labels)

    series = {"from the middle of the cloud": order, "from its corners": order.flip(0)}
    return {"x": places, "series": {name: [without(its[:n]) for n in places] for name, its in series.items()}}
