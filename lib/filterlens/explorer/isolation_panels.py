"""The panels of the isolation explorer, from what ``isolation_states`` has computed.

All kernels, methods and values of beta of one layer and image are answered at once (``Cases``), so that a page follows them without
fetching; ``isolation_words`` says in sentences what they show.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from filterlens.explorer import isolation_words as said
from filterlens.explorer import panels
from filterlens.explorer.cases import Cases, Compared
from filterlens.explorer.isolation_kept import IsolationStates
from filterlens.explorer.isolation_problems import MEASURES, PLACES, LayerStates

LARGE, SMALL, MAP = 192, 96, 168  # pixels on the screen
BARS = 24  # kernels whose energy has a bar
SAME = 1e-3  # map and others this close to those of the image: it is the image
Case = tuple[dict[str, object], list[panels.Panel]]


class IsolationPanels:
    """Panels for each layer and image of the states, all further picks as cases. ``network``: what is said of the weights' origin."""

    def __init__(self, states: IsolationStates, network: str) -> None:
        self.states, self.network = states, network
        self.ways = states.ways
        self.main = self.ways.index(("isolation", states.beta))

    def isolation(self, layer: str, image: int) -> panels.Panel:
        """Everything about one layer and one image."""
        found = self.states.layers[layer]
        order = self.order(layer, image)
        cases: list[Case] = [case for at in order for case in self._inputs(found, image, at)]
        for at in order:
            if not found.silent[at, image]:
                cases += self._compared(found, image, at)
        cases.append(({}, [self._kernels(found, image, order)]))
        cases += [case for a in order for b in order for case in self._two(found, image, a, b)]
        return Cases(cases=cases)

    def order(self, layer: str, image: int) -> list[int]:
        """Places of the layer's kernels, the most active on the image first."""
        return np.argsort(-self.states.layers[layer].activity[:, image], kind="stable").tolist()

    def pick(self, way: int) -> dict[str, object]:
        """Axes and values that lead to a way."""
        method, beta = self.ways[way]
        return {"method": method, "beta": beta} if method == "isolation" else {"method": method}

    # ---------------------------------------------------------------------------------------------- one kernel, one input

    def _inputs(self, found: LayerStates, image: int, at: int) -> Iterator[Case]:
        kernel = found.kernels[at]
        if found.silent[at, image]:
            text = said.silent(kernel, found.spoken, self.states.titles[image])
            shown = panels.Pictures(title=f"The image: {self.states.titles[image]}", pictures=[self._image(image)], size=LARGE)
            yield {"kernel": kernel}, [shown, panels.Text(title=f"Kernel {kernel} is silent", text=text)]
            return
        for way in range(len(self.ways)):
            made = [self._pair(found, image, at, way), *self._maps(found, image, at, way), self._numbers(found, image, at, way)]
            yield {"kernel": kernel, **self.pick(way)}, [*made, self._energy(found, image, at, way)]

    def _image(self, image: int) -> panels.Image:
        title = self.states.titles[image]
        return panels.photo(_photo(self.states.images[image]), alt=f"the image: {title}", label=title)

    def _input(self, found: LayerStates, image: int, at: int, way: int, *, alt: str, **how: object) -> panels.Image:
        return panels.photo(_photo(found.inputs[at, image, way]), alt=alt, **how)

    def _pair(self, found: LayerStates, image: int, at: int, way: int) -> panels.Panel:
        method, beta = self.ways[way]
        kernel, title = found.kernels[at], self.states.titles[image]
        name = said.way(method, beta)
        alt = f"what {name} leaves of {title} for kernel {kernel} of {found.spoken}"
        after = self._input(found, image, at, way, alt=alt, label=said.NAMES[method])
        how = said.kept_colours(float(found.clamped[at, image, way]), self.states.scale if method != "isolation" else "")
        note = " ".join(text for text in (said.MEANS[method], how, self.network) if text)
        return Compared(title=f"What drives kernel {kernel} of {found.spoken}", note=note, pictures=[self._image(image), after], size=LARGE,
                        threshold="threshold", label="what it changed")  # fmt: skip

    def _maps(self, found: LayerStates, image: int, at: int, way: int) -> Iterator[panels.Panel]:
        if found.map_size == (1, 1):
            return
        before = _values(found.maps_before[at, image], found.low_before[at, image], found.high_before[at, image])
        after = _values(found.maps[at, image, way], found.low[at, image, way], found.high[at, image, way])
        low, high = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
        h, w = found.map_size
        shown = [
            panels.gray(
                values, alt=f"{what}, from {said.number(values.min())} to {said.number(values.max())}", label=what, low=low, high=high
            )
            for values, what in ((before, "map of the image"), (after, "map of the input"))
        ]
        note = said.maps(float(found.measures[at, image, way, 0]), h, w, low, high)
        yield panels.Pictures(title=f"The map of kernel {found.kernels[at]}", note=note, pictures=shown, size=MAP)

    def _numbers(self, found: LayerStates, image: int, at: int, way: int) -> panels.Panel:
        measures = dict(zip(MEASURES, found.measures[at, image, way].tolist(), strict=True))
        rows = said.measured(measures, float(found.share_before[at, image]), found.before.shape[1])
        if self.ways[way][0] == "isolation":
            place = (at, image, way)
            rows += said.solution(found.terms[place].tolist(), int(found.steps[place]), int(found.ended[place]), self.ways[way][1])
            if measures["preservation"] < SAME and abs(measures["mse_rest_ratio"] - 1) < SAME:
                rows.append(said.NOTHING_BETTER)
        return panels.Numbers(title=f"Is it kernel {found.kernels[at]} alone?", rows=rows)

    def _energy(self, found: LayerStates, image: int, at: int, way: int) -> panels.Panel:
        before, after, own = found.before[image].astype(float), found.after[at, image, way].astype(float), found.kernels[at]
        n, whole = len(before), max(float(before.sum()), 1e-30)
        order = np.argsort(-before, kind="stable").tolist()
        if n > BARS:  # the others together would dwarf them: the note has them as a number
            order = order[:BARS] if own in order[:BARS] else [*order[: BARS - 1], own]
        rest = sorted(set(range(n)) - set(order))
        series = {
            name: [100 * float(v) / whole for v in values[order]] for name, values in (("of the image", before), ("of the input", after))
        }
        picks = [{"kernel": j} if j in found.kernels else None for j in order]
        shares = tuple(100 * float(values[rest].sum()) / whole for values in (before, after)) if rest else None
        note = said.energy(len(order), n, 100 * float(after.sum()) / whole, len(found.kernels), shares)
        labels = [str(j) for j in order]
        return panels.Bars(title=f"Energy of the kernels of {found.spoken}, % of the image's", note=note, labels=labels, series=series,
                           highlight=order.index(own), picks=picks)  # fmt: skip

    def _loss(self, found: LayerStates, image: int, at: int, way: int) -> Iterator[panels.Panel]:
        steps, losses = int(found.steps[at, image, way]), found.loss[at, image, way]
        places = np.rint(np.linspace(0, 1, PLACES) * max(steps, 1)).astype(int)
        places, kept = np.unique(places, return_index=True)
        if len(places) > 1 and steps > 0:
            yield panels.Curve(title="Loss while isolating", note=said.LOSS, x=places.tolist(), series={"loss": losses[kept].tolist()},
                               x_label="step", y_label="loss")  # fmt: skip

    # -------------------------------------------------------------------------------------------------- several side by side

    def _compared(self, found: LayerStates, image: int, at: int) -> Iterator[Case]:
        """The same kernel by the other methods and for each beta, and how each was found."""
        wanted = {"kernel": found.kernels[at]}
        methods = [self.main, *range(len(self.states.betas), len(self.ways))]
        if len(methods) > 1:
            title = f"Kernel {found.kernels[at]} by {said.COUNTS.get(len(methods), len(methods))} methods"
            note = said.methods(self.states.beta, self.states.scale)
            yield wanted, [self._row(title, note, found, image, at, {way: said.NAMES[self.ways[way][0]] for way in methods})]
        if len(self.states.betas) > 1:
            betas = {way: f"β = {beta:g}" for way, beta in enumerate(self.states.betas)}
            yield wanted, [self._row(f"Kernel {found.kernels[at]} isolated with more and less β", said.BETA, found, image, at, betas)]
        for way in range(len(self.states.betas)):
            loss = list(self._loss(found, image, at, way))
            if loss:
                yield {**wanted, **self.pick(way)}, loss

    def _row(self, title: str, note: str, found: LayerStates, image: int, at: int, called: dict[int, str]) -> panels.Panel:
        shown = []
        for way, name in called.items():
            ssim, _, _, ratio, *_ = found.measures[at, image, way].tolist()
            label = f"{name}: SSIM {said.fixed(ssim, 2)}, others {said.share(ratio)}"
            shown.append(self._input(found, image, at, way, alt=label, label=label, pick=self.pick(way)))
        return panels.Pictures(title=title, note=note, pictures=shown, columns=len(shown), size=SMALL)

    def _kernels(self, found: LayerStates, image: int, order: list[int]) -> panels.Panel:
        shown = []
        for at in order:
            kernel, silent = found.kernels[at], bool(found.silent[at, image])
            share = float(found.share_before[at, image])
            label = f"{kernel}: silent" if silent else f"{kernel}: {said.share(share)}"
            alt = f"kernel {kernel}, silent on this image" if silent else f"what drives kernel {kernel}, {said.share(share)} of the energy"
            shown.append(self._input(found, image, at, self.main, alt=alt, label=label, pick={"kernel": kernel}))
        return panels.Pictures(
            title=f"Kernels of {found.spoken} on this image, most active first", note=said.KERNELS, pictures=shown, size=SMALL
        )

    def _two(self, found: LayerStates, image: int, a: int, b: int) -> Iterator[Case]:
        first, second = found.kernels[a], found.kernels[b]
        wanted = {"kernel": first, "other": str(second)}
        title = f"Kernels {first} and {second} on this image"
        if a == b:
            yield wanted, [panels.Text(title=f"Kernel {first} twice", text="Pick another kernel to compare it with.")]
            return
        silent = [found.kernels[at] for at in (a, b) if found.silent[at, image]]
        if silent:
            yield wanted, [panels.Text(title=title, text=said.none_to_compare(silent))]
            return
        shown = [
            self._input(found, image, at, self.main, alt=f"what drives kernel {found.kernels[at]}", label=f"{found.kernels[at]}: input")
            for at in (a, b)
        ]
        if found.map_size != (1, 1):
            for at in (a, b):
                label = f"{found.kernels[at]}: map"
                values = _values(found.maps_before[at, image], found.low_before[at, image], found.high_before[at, image])
                shown.append(panels.gray(values, alt=f"map of kernel {found.kernels[at]} on the image, its own scale", label=label))
        maps, inputs = float(found.alike_maps[image, a, b]), float(found.alike_inputs[image, a, b])
        rows = said.alike(maps, inputs)
        yield (
            wanted,
            [
                panels.Pictures(title=title, note=said.two(self.states.beta), pictures=shown, columns=2, size=SMALL),
                panels.Numbers(title="How alike are the two?", rows=rows),
            ],
        )


def _photo(values: np.ndarray) -> Tensor:
    """Kept pixels (h, w, c) uint8 as an image (c, h, w) in [0, 1]."""
    return torch.from_numpy(values).permute(2, 0, 1).double() / 255


def _values(levels: np.ndarray, low: float, high: float) -> Tensor:
    """A kept map in its own numbers."""
    return torch.from_numpy(levels).double() / 255 * (float(high) - float(low)) + float(low)
