"""Greedy local search over pixels: algorithm LocSearchAdv of Narodytska and Kasiviswanathan 2016 (arXiv 1612.06299), black-box."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

HIGH, LOW, FACTOR = 0.9, 0.3, 2.0  # p grows above HIGH, shrinks below LOW, by FACTOR: ours but for LOW


def local_search(
    probabilities: Callable[[Tensor], Tensor],
    image: Tensor,
    label: int,
    *,
    p: float,
    r: float,
    d: int,
    t: int,
    R: int,
    k: int,
    exclude: int,
    adapt: bool,
    candidates: int | None,
    batch: int,
    seed: int,
) -> Tensor:
    """One image (c, h, w) in [0, 1], changed pixel by pixel until its label is not among the k most probable: (c, h, w).

    Values are centred, v = x - 1/2, so that LB = -1/2 and UB = 1/2 as the paper's LB <= 0 <= UB asks. Each round
    1. probes every candidate pixel by itself: its v becomes p * sign(v) in every channel (equation 1), which may lie far outside the
       range, and the probability of the label is read;
    2. takes the t pixels that lower it most and sets v to r * v there, wrapped once into [LB, UB] (CYCLIC), for good;
    3. makes the candidates of the next round: all pixels at most d rows and d columns from those t.
    The first candidates are 10 % of all pixels, at random. A pixel that was changed is no candidate for ``exclude`` rounds.

    The pseudocode sorts by descending probability, the text wants the largest decrease: the text is followed. It names the
    neighbours of round i - 1: read as those just changed. ``adapt``: p doubles if the mean probability of the t probes is above 0.9
    and halves if it is below 0.3; the paper says "close to one" and "below 0.3" and neither start nor factor. ``candidates`` keeps
    a random subset of so many a round (ours; the paper keeps all, up to (2d + 1)^2 t).
    The search also ends when no candidate is left.
    """
    c, h, w = image.shape
    draw = torch.Generator().manual_seed(seed)
    v = (image - 0.5).flatten(1)
    pixels = torch.randperm(h * w, generator=draw)[: max(1, round(0.1 * h * w))]
    changed_in = torch.full((h * w,), -exclude - 1)  # the round a pixel was changed in
    touched = torch.zeros(h * w, dtype=torch.bool)
    found = image
    for i in range(1, R + 1):
        if candidates is not None and len(pixels) > candidates:
            pixels = pixels[torch.randperm(len(pixels), generator=draw)[:candidates]]
        scores = _probe(probabilities, v, pixels, p, label, image.shape, batch)
        best = scores.argsort(stable=True)[:t]
        chosen = pixels[best]
        v[:, chosen] = _cyclic(r * v[:, chosen])
        changed_in[chosen], touched[chosen] = i, True
        found = torch.where(touched.to(image.device), (v + 0.5).clamp(0, 1), image.flatten(1)).reshape(c, h, w)
        if label not in probabilities(found[None])[0].topk(k).indices:
            break
        if adapt:
            mean = float(scores[best].mean())
            p = p * FACTOR if mean > HIGH else p / FACTOR if mean < LOW else p
        pixels = _neighbours(chosen, d, h, w)
        pixels = pixels[i + 1 - changed_in[pixels] > exclude]
        if not len(pixels):
            break
    return found


def _probe(
    probabilities: Callable[[Tensor], Tensor], v: Tensor, pixels: Tensor, p: float, label: int, shape: torch.Size, batch: int
) -> Tensor:
    """The probability of the label for every pixel pushed to p * sign(v) by itself: (m,) on the CPU."""
    found = []
    for part in pixels.split(batch):
        probes = v.expand(len(part), *v.shape).clone()
        probes[torch.arange(len(part)), :, part] = p * v[:, part].sign().T
        found.append(probabilities(probes.reshape(-1, *shape) + 0.5)[:, label].cpu())
    return torch.cat(found)


def _cyclic(value: Tensor) -> Tensor:
    """Algorithm CYCLIC: one turn of UB - LB = 1 for what left [-1/2, 1/2]."""
    return value + (value < -0.5).to(value) - (value > 0.5).to(value)


def _neighbours(chosen: Tensor, d: int, h: int, w: int) -> Tensor:
    """All pixels (flat, ascending, none twice) at most d rows and d columns from one of the chosen."""
    offsets = torch.arange(-d, d + 1)
    rows = (chosen // w)[:, None, None] + offsets[:, None]
    columns = (chosen % w)[:, None, None] + offsets
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    return (rows * w + columns)[inside].unique()
