"""The passport as an explorer: one filter, and what all five lenses say of it, each with its sentence, or why it says nothing.

``passport_reading`` says what is kept of a filter, ``passport_kept`` keeps it; here are the axes and the panels, with the headings and
sentences of ``synthesis.passport``, so that sheet, page and explorer say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from filterlens.explorer import panels
from filterlens.explorer.axes import Axis, Option
from filterlens.explorer.explorer import Explorer
from filterlens.explorer.passport_reading import KeptCloud, KeptFilter
from filterlens.explorer.scatter import Scatter
from filterlens.synthesis.passport.words import HEADINGS

SIZE = 80  # pixels on the screen of a picture among others
TITLE = "One filter, five lenses"


class PassportPanels:
    """Panels for filters and the clouds they lie in."""

    def __init__(self, filters: Sequence[KeptFilter], clouds: Sequence[KeptCloud]) -> None:
        self.clouds = list(clouds)
        self.filters: dict[str, dict[str, dict[int, KeptFilter]]] = {}
        for one in filters:
            self.filters.setdefault(one.network, {}).setdefault(one.layer, {})[one.filter] = one
        for layers in self.filters.values():
            for layer, some in layers.items():
                layers[layer] = dict(sorted(some.items()))

    def axes(self) -> dict[str, Axis]:
        """``network``, where there are several, ``layer`` and ``filter``."""
        label = "filter"
        if len(self.filters) == 1:
            (layers,) = self.filters.values()
            offered = {layer: list(some) for layer, some in layers.items()}
            return {"layer": Axis(list(layers)), "filter": Axis(offered, by="layer", label=label)}
        offered = {(name, layer): list(some) for name, layers in self.filters.items() for layer, some in layers.items()}
        return {
            "network": Axis(list(self.filters)),
            "layer": Axis({name: list(layers) for name, layers in self.filters.items()}, by="network"),
            "filter": Axis(offered, by=("network", "layer"), label=label),
        }

    def passport(self, layer: str, filter: int, network: str | None = None) -> list[panels.Panel]:
        """All about one filter. network: None where there is just one."""
        network = next(iter(self.filters)) if network is None else network
        found = self.filters[network][layer][filter]
        head = f"{found.network}, one of {found.n_filters} filters. {found.about}."
        made: list[panels.Panel] = [panels.Text(title=f"Filter {filter} of {layer}", text=head)]
        draw = {"place": self._place, "classes": _classes, "picture": _picture, "content": _content, "gates": _gates}
        for part, heading in HEADINGS.items():
            if part in found.lacking:
                made.append(panels.Text(title=heading, text=found.said[part]))
            else:
                made += draw[part](found, heading, found.said[part])
        noted = [f"{HEADINGS[part]}: {note}." for part, notes in found.noted.items() for note in notes]
        return made + ([panels.Text(title="What the lenses warned of", text="\n\n".join(noted))] if noted else [])

    def _place(self, found: KeptFilter, heading: str, said: str) -> Iterator[panels.Panel]:
        cloud = self.clouds[found.cloud]
        offered, among = self.filters[found.network][found.layer], cloud.among.tolist()
        many, d = len(among), len(cloud.corners)
        first, second = (f"component {i} ({100 * float(share):.0f} % of the variance)" for i, share in enumerate(cloud.shares, start=1))
        yield Scatter(
            title=heading, note=said, x=cloud.points[:, 0], y=cloud.points[:, 1], names=[f"filter {i}" for i in among], values=cloud.l0,
            value_label="archetypes in its code", x_label=first, y_label=second, highlight=among.index(found.filter),
            picks=[{"filter": i} if i in offered else None for i in among],
            marks=[(float(x), float(y), f"archetype {j}") for j, (x, y) in enumerate(cloud.corners)], mark_label="archetypes",
            links=[(at, min(1.0, max(0.0, share))) for at, share in found.code], link_label="what it is made of, as wide as its share",
        )  # fmt: skip
        yield panels.Bars(
            title="Its rank by every ranking", note=f"1: the most redundant filter, {many}: the most needed one.",
            labels=list(found.ranks), series={f"rank of {many}": list(found.ranks.values())},
        )  # fmt: skip
        rest = f", the {len(found.code)} largest of {found.l0}" if found.l0 > len(found.code) else ""
        yield panels.Bars(
            title="What it is made of", note=f"Percent of its mixture of {d} archetypes{rest}.",
            labels=[f"archetype {at}" for at, _ in found.code], series={"share in percent": [100 * share for _, share in found.code]},
        )  # fmt: skip


def passport_explorer(
    filters: Sequence[KeptFilter], clouds: Sequence[KeptCloud], *, start: Mapping[str, Option] | None = None, title: str = TITLE,
    name: str | None = None, bake: Mapping[str, Iterable[Option]] | bool | None = None,
) -> Explorer:  # fmt: skip
    """Pick a filter; see all five parts of its passport. ``PassportStates.explorer`` calls it; start, title, name, bake: as ``Explorer`` takes them."""
    made = PassportPanels(filters, clouds)
    return Explorer(made.axes(), [made.passport], start=start, title=title, name=name, bake=bake)


def _classes(found: KeptFilter, heading: str, said: str) -> Iterator[panels.Panel]:
    labels = [name if rank is None else f"{name}, rank {rank}" for name, _, rank in found.classes]
    yield panels.Bars(title=heading, note=said, labels=labels, series={"mean response": [mean for _, mean, _ in found.classes]})


def _picture(found: KeptFilter, heading: str, said: str) -> Iterator[panels.Panel]:
    yield panels.Picture(title=heading, note=said, picture=found.picture)


def _content(found: KeptFilter, heading: str, said: str) -> Iterator[panels.Panel]:
    for at, (number, row) in enumerate(found.rows):
        yield panels.Pictures(title=f"And of image {number}" if at else heading, note="" if at else said, pictures=row, size=SIZE)
    if found.failed:
        reasons = [f"{name}: {why}." for name, why in found.failed.items()]
        yield panels.Text(title="Methods without an answer", text="\n\n".join(reasons))


def _gates(found: KeptFilter, heading: str, said: str) -> Iterator[panels.Panel]:
    owners = [at for at, (_, value) in enumerate(found.gates) if value == found.gates[0][1]]
    yield panels.Bars(
        title=heading, note=said, labels=[name for name, _ in found.gates], series={"gate": [value for _, value in found.gates]},
        highlight=0 if len(owners) == 1 else None,
    )  # fmt: skip
