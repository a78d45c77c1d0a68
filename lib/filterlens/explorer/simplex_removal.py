"""Accuracy after filters are removed, as the simplex explorer shows it: rows of an experiment, means over seeds, one line for each set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from filterlens import checks
from filterlens.explorer import panels
from filterlens.explorer.influence_numbers import fill, said_percent
from filterlens.explorer.simplex_words import WORDS
from filterlens.lenses.redundancy.wording import SAID

COLUMNS = ("which", "rate", "seed", "accuracy", "n_images")
PARTS = 10_000


class Curves:
    """``tested``: by name, ``rates`` in percent, ``sets`` (their names), ``accuracy`` (sets, rates) in 1/PARTS, ``seeds``, ``images``.

    curves: by name, a DataFrame with columns which, rate, seed, accuracy (in [0, 1]) and n_images, or None. Raises TypeError or ValueError.
    """

    def __init__(self, curves: object) -> None:
        if curves is not None and not isinstance(curves, Mapping):
            raise TypeError(f"curves: got {checks.describe(curves)}, expected a dict from names to tables, or None")
        self.tested: dict[str, dict[str, Any]] = {str(name): _tested(f"curves[{name!r}]", rows) for name, rows in (curves or {}).items()}

    def uncurved(self, layer: str) -> str:
        """What is said beside a layer of a network without a curve, or "". A network is the first word of its layers' and curves' names."""
        network = layer.split(maxsplit=1)[:1]
        if not self.tested or any(name.split(maxsplit=1)[:1] == network for name in self.tested):
            return ""
        return fill(WORDS["uncurved"], network=" ".join(network))

    def panels(self, layer: str, tested: str, rate: float) -> list[panels.Panel]:
        """A curve of each set with the rate marked, and what is lost at the rate; of whole networks, ``layer`` is only named."""
        known = self.tested[tested]
        at, names = known["rates"].index(rate), known["sets"]
        here = [row[at] for row in known["accuracy"]]
        series = {name: [part / 100 for part in row] for name, row in zip(names, known["accuracy"], strict=True)}
        best, worst = here.index(max(here)), here.index(min(here))
        note = fill(
            WORDS["rate_note" if rate else "rate_none"], baseline=said_percent(known["baseline"], PARTS),
            best=f"{names[best]}, {said_percent(here[best], PARTS)}", worst=f"{names[worst]}, {said_percent(here[worst], PARTS)}",
        )  # fmt: skip
        return [
            panels.Curve(
                title=fill(WORDS["removal"], tested=tested), x=known["rates"],
                note=fill(WORDS["removal_note"], seeds=known["seeds"], images=known["images"], uncurved=self.uncurved(layer)), series=series, x_label=WORDS["removal_x"], y_label=WORDS["removal_y"], highlight=at,
            ),
            panels.Bars(
                title=fill(WORDS["rate"], tested=tested, rate=f"{rate:g}"), note=note, labels=names,
                series={WORDS["lost"]: [(known["baseline"] - part) / 100 for part in here]},
            ),
        ]  # fmt: skip


def _tested(name: str, rows: Any) -> dict[str, Any]:
    missing = [column for column in COLUMNS if column not in getattr(rows, "columns", ())]
    if missing:
        raise TypeError(
            f"{name}: got {checks.describe(rows)} without {', '.join(missing)}, expected a table with columns {', '.join(COLUMNS)}"
        )
    if not len(rows) or not rows["accuracy"].between(0, 1).all():
        raise ValueError(f"{name}: expected rows with accuracies in [0, 1], got {len(rows)} rows")
    means = rows.groupby(["which", "rate"])["accuracy"].mean().unstack("rate")
    if 0.0 not in means:
        raise ValueError(f"{name}: got the rates {[float(rate) for rate in means]}, expected 0 among them: nothing removed")
    baseline = float(means[0.0].mean())
    means[0.0] = means[0.0].fillna(baseline)  # nothing removed is the same for all
    means = means.drop(index=[which for which in means.index if means.loc[which].drop(0.0).isna().all()])
    if means.isna().any().any() or not len(means):
        raise ValueError(f"{name}: got sets that were not measured at some rates, expected every set at every rate")
    order = [which for which in SAID if which in means.index] + [which for which in means.index if which not in SAID]
    percents = [round(100 * float(rate), 2) for rate in means.columns]
    accuracy = [[round(PARTS * float(value)) for value in means.loc[which]] for which in order]
    return {
        "rates": [int(rate) if rate == int(rate) else rate for rate in percents], "sets": [SAID.get(which, str(which)) for which in order],
        "accuracy": accuracy, "seeds": int(rows["seed"].nunique()), "images": int(rows["n_images"].max()), "baseline": round(PARTS * baseline),
    }  # fmt: skip
