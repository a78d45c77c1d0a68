"""The third and fourth part of a passport: the filter's picture, and what of some images drives it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from filterlens import metrics, network
from filterlens.lenses import decoding
from filterlens.lenses.attribution import explain
from filterlens.lenses.decoding.decode import decodable
from filterlens.lenses.isolation import Isolation, isolate
from filterlens.lenses.methods import MEASURES
from filterlens.lenses.methods.compare import fed_back

from .parts import BASELINES, Content, Picture, in_order
from .response import Response, own_maps
from .tried import Notes, tried

FIELD = 2**30  # bytes beside the result: a field in the middle of a deep network is wide and many channels high
SSIM, SHARE = MEASURES.index("ssim"), MEASURES.index("selectivity")


def picture_of(model: nn.Module, layer: str, filter: int, images: Tensor) -> Picture:
    """``Picture`` of a filter, and how far it stands for it on normalized images (n, c, h, w). Raises what ``decode`` raises."""
    if layer not in decodable(model):
        raise ValueError(f"{layer!r} is a {type(model.get_submodule(layer)).__name__}, and only convolutions and linear layers are decoded")
    decoded = decoding.decode(model, layer, [filter], input_size=tuple(images.shape[1:]), max_bytes=FIELD)
    stopped = network.stop_at(model, layer)
    maps, answers = [], []
    with network.evaluating(model):
        for part in images.split(4):
            maps.append(stopped(part.clone())[:, filter].flatten())
            answers.append(decoding.respond(decoded, part).flatten())
    maps, answers = torch.cat(maps), torch.cat(answers)
    return Picture(decoded, metrics.pearson(maps, answers) if len(maps) > 1 else float("nan"), len(images))


def content_of(
    model: nn.Module,
    layer: str,
    filter: int,
    images: Tensor,
    normalized: Tensor,
    response: Response,
    notes: Notes,
    *,
    shown: int,
    steps: int,
    seed: int,
) -> Content:
    """``Content`` of at most ``shown`` of the images (n, c, h, w), those with the strongest response; ValueError where all are silent."""
    chosen = [at for at in in_order(response.strength, shown) if float(response.strength[at]) > 0]
    if not chosen:
        many = f"all {len(images)} images" if len(images) > 1 else "the image"
        raise ValueError(f"its map is zero on {many}: there is no content to isolate")
    inputs = normalized[chosen]
    maps = own_maps(model, response.point, filter, inputs).cpu()
    options = {"max_iter": steps, "on_inactive": "skip", "seed": seed}
    isolated = tried(notes, "content", isolate, model, layer, filter, inputs, **options)
    baselines, ssim, share = {}, {}, {}
    if isinstance(isolated, Isolation):
        found = isolated.measure()
        ssim["isolation"], share["isolation"], share["original"] = found.ssim, found.selectivity, found.selectivity_before
    for method in BASELINES:
        pattern = baselines[method] = tried(
            notes, "content", explain, model, layer, filter, inputs, method=method, on_inactive="skip", batch_size=2
        )
        if isinstance(pattern, str):
            continue
        rows = fed_back(model, layer, filter, inputs, pattern, False)
        table = torch.tensor(rows, dtype=torch.float64)
        ssim[method], share[method] = table[:, SSIM], table[:, SHARE]
    return Content(
        images=images[chosen].cpu(), chosen=torch.tensor(chosen), maps=maps, isolation=isolated, baselines=baselines, ssim=ssim,
        selectivity=share,
    )  # fmt: skip
