"""The panels of the explorer of masks: one image, what three methods mark in it, how well that fits the true mask.

The page has no Python: ``script/masks.js`` makes the same panels there from ``shipped``, and the tests hold the two against each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from filterlens.explorer import panels
from filterlens.explorer.influence_numbers import fill, said_percent, said_ratio
from filterlens.explorer.masks_numbers import METHODS, SIGMAS, UNIT, WholeMaps, blurred, counts, cut_off, dimmed, kernel, shown_steps
from filterlens.explorer.masks_words import WORDS

LARGE, SMALL = 144, 112  # pixels on the screen


class MasksPanels:
    """Panels for pictures (n, h, w, 3) uint8, true masks (n, h, w) bool and maps by network."""

    def __init__(
        self, pictures: np.ndarray, truths: np.ndarray, labels: Sequence[int], classes: Sequence[str], maps: Mapping[str, WholeMaps]
    ) -> None:
        self.pictures, self.truths, self.labels, self.classes, self.maps = pictures, truths, list(labels), list(classes), dict(maps)

    def values(self, network: str, method: str, image: int, at: int, sigma: int) -> np.ndarray:
        """A map (h, w) in 1 / UNIT steps; only GradMap is blurred."""
        return blurred(self.maps[network].steps[method][image, at], sigma if method == "gradient" else 0)

    def mask(self, network: str, method: str, image: int, at: int, threshold: float, sigma: int) -> np.ndarray:
        cut = self.maps[network].cuts[method][image, at]
        return cut_off(self.values(network, method, image, at, sigma), cut, round(100 * threshold))

    def masks(self, network: str, image: int, filter: int, threshold: float, sigma: int) -> list[panels.Panel]:
        found, name, truth = self.maps[network], self.classes[self.labels[image]], self.truths[image]
        at = found.filters[image].tolist().index(filter)
        places = {method: 0 if method == "cam" else at for method in METHODS}
        cut = {method: self.mask(network, method, image, place, threshold, sigma) for method, place in places.items()}
        said = {"image": str(image), "name": name, "network": network}
        pictures = [self._map(network, method, image, place, sigma) for method, place in places.items()]
        pictures += [self._masked(method, image, cut[method]) for method in METHODS]
        note = fill(WORDS["maps_note"], threshold=f"{round(100 * threshold)} %", sigma=sigma)
        shown = [
            self._photo(self.pictures[image], fill(WORDS["image_alt"], **said), WORDS["picture"]),
            self._photo(dimmed(self.pictures[image], truth), fill(WORDS["truth_alt"], **said), WORDS["truth"]),
        ]
        covered = fill(WORDS["image_note"], share=said_percent(int(truth.sum()), truth.size))
        title = fill(WORDS["maps"], filter=str(filter), network=network)
        return [
            panels.Pictures(title=fill(WORDS["image"], image=said["image"], name=name), note=covered, pictures=shown, size=LARGE),
            panels.Pictures(title=title, note=note, pictures=pictures, columns=len(METHODS), size=SMALL),
            self._numbers(found, image, places, cut),
            self._filters(network, image, at, threshold, sigma),
        ]

    def _photo(self, values: np.ndarray, alt: str, label: str) -> panels.Image:
        return panels.Image(values, 0.0, 1.0, alt=alt, label=label)

    def _map(self, network: str, method: str, image: int, at: int, sigma: int) -> panels.Image:
        found = self.maps[network]
        steps, peak = shown_steps(self.values(network, method, image, at, sigma))
        low, high = float(found.lows[method][image, at]), float(found.highs[method][image, at])
        alt = fill(WORDS["map_alt"], method=WORDS[method], image=str(image))
        return panels.Image(steps, low, low + (high - low) * peak / (255 * UNIT), alt=alt, label=WORDS[method])

    def _masked(self, method: str, image: int, mask: np.ndarray) -> panels.Image:
        both, either = counts(mask, self.truths[image])
        label = fill(WORDS["mask_label"], method=WORDS[method], iou=said_ratio(both, max(1, either)))
        alt = fill(WORDS["mask_alt"], method=WORDS[method], image=str(image))
        return self._photo(dimmed(self.pictures[image], mask), alt, label)

    def _numbers(self, found: WholeMaps, image: int, places: Mapping[str, int], cut: Mapping[str, np.ndarray]) -> panels.Numbers:
        rows = []
        for method, place in places.items():
            both, either = counts(cut[method], self.truths[image])
            own_both, own_either = (int(one) for one in found.exact[method][image, place])
            exact = said_ratio(own_both, max(1, own_either))
            share = said_percent(int(cut[method].sum()), cut[method].size)
            name = fill(WORDS["iou"], method=WORDS[method])
            rows.append((name, said_ratio(both, max(1, either)), fill(WORDS["iou_note"], share=share, exact=exact)))
        return panels.Numbers(title=WORDS["numbers"], note=WORDS["numbers_note"], rows=rows)

    def _filters(self, network: str, image: int, at: int, threshold: float, sigma: int) -> panels.Bars:
        filters = self.maps[network].filters[image].tolist()
        series: dict[str, list[float]] = {}
        for method in METHODS[:2]:
            found = [counts(self.mask(network, method, image, i, threshold, sigma), self.truths[image]) for i in range(len(filters))]
            series[WORDS[method]] = [both / max(1, either) for both, either in found]
        title = fill(WORDS["filters"], name=self.classes[self.labels[image]], network=network)
        picks = [{"filter": k} for k in filters]
        labels = [str(k) for k in filters]
        return panels.Bars(title=title, note=WORDS["filters_note"], labels=labels, series=series, highlight=at, picks=picks)

    @functools.cached_property
    def shipped(self) -> dict[str, Any]:
        """All that the page draws from, one file."""
        networks = {
            name: {
                "filters": found.filters.tolist(),
                "steps": {method: panels.encode(found.steps[method]) for method in METHODS},
                **{
                    field: {method: getattr(found, field)[method].tolist() for method in METHODS}
                    for field in ("lows", "highs", "cuts", "exact")
                },
            }
            for name, found in self.maps.items()
        }
        return {
            "pictures": panels.encode(self.pictures), "truths": panels.encode(self.truths.astype(np.uint8)), "labels": self.labels,
            "classes": self.classes, "networks": networks, "kernels": {str(sigma): list(kernel(sigma)) for sigma in SIGMAS},
            "methods": list(METHODS), "words": WORDS, "large": LARGE, "small": SMALL,
        }  # fmt: skip

    def renderers(self) -> list[Callable]:
        call = functools.wraps(self.masks)(functools.partial(self.masks))
        call.computed, call.fetched = ("masks", lambda: self.shipped), True
        return [call]
