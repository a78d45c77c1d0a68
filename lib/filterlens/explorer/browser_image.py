"""The reader's own image, live: draw a digit, drop or take a photograph, and see what a network makes of it.

``own_image`` is the one call of a notebook. In Jupyter PyTorch answers; on the page the network itself does, once a button has loaded it
(see ``browser``). Both give the arrays of ``browser_answers``, and one script makes panels of them: maps of every filter, the match
of decoded filters, class scores; influential features, decomposed logits, class activation maps.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from filterlens import checks, features, models
from filterlens.explorer import browser, panels, script, sheets
from filterlens.explorer.axes import Axes, Axis
from filterlens.explorer.browser_answers import Answers
from filterlens.explorer.published import Published, embedded
from filterlens.lenses.decoding import decode
from filterlens.models import Normalization

SPOKEN = {"lenet": "LeNet", "resnet20": "ResNet-20", "resnet32": "ResNet-32", "resnet44": "ResNet-44", "resnet56": "ResNet-56"}
SEEN = {"lenet": "MNIST"}  # whose test images a network was measured on; all others: CIFAR-10
STRONGEST = -1  # the class with the largest logit, as an option of the axis ``target``


class OwnImage(Published):
    """A board and the panels that follow it; made by ``own_image``. ``image`` (c, h, w) in [0, 1] is what was last asked about, or None."""

    _esm = script.module(board=True)
    _css = script.style(board=True)
    title = traitlets.Unicode().tag(sync=True)
    _about = traitlets.Dict().tag(sync=True)

    def __init__(self, answers: Answers, about: dict[str, Any], *, title: str, name: str | None = None) -> None:
        folder = sheets.asked()
        super().__init__(title=title, **({} if folder else {"_about": about}))
        self.answers, self.image, self._html = answers, None, None
        self.on_msg(self._asked)
        if folder is not None:
            names, sizes = browser.files(folder, browser.exported(answers), about, whose=repr(title))
            self._html = self._page(f"{folder.name}/{browser.FOLDER}", about, names, sizes)
            if name is not None:
                sheets.Sheets(folder).keep(name, self._html)

    def _asked(self, _widget: object, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        """An image of the front end's -> all arrays, in the order of their names."""
        number = content.get("number")
        try:
            image = torch.from_numpy(np.frombuffer(buffers[0], "<f4").copy()).reshape(self.answers.size)
            found = self.answers.of(image)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:  # the reader sees it at the board
            self.send({"number": number, "error": f"{type(error).__name__}: {error}"})
            return
        self.image = image
        outputs = [{"name": name, "shape": list(value.shape)} for name, value in found.items()]
        self.send({"number": number, "outputs": outputs}, buffers=[panels.encode(value)["data"] for value in found.values()])

    def _page(self, folder: str, about: dict[str, Any], names: dict[str, str], sizes: dict[str, int]) -> str:
        does = "Draw a digit, or drop or take a photograph of one." if about["size"][0] == 1 else "Drop a photograph, choose one or take one."
        state = {"title": self.title, "network": about["network"], "knows": about["knows"], "bytes": sizes, "does": does, "files": names}
        shown = f'<p class="fl-fallback">{html.escape(f"{self.title}: this part of the page needs JavaScript.")}</p>'
        return embedded("data-filterlens-own-image", folder, shown, state)


def own_image(
    network: str | nn.Module, *, normalization: Normalization | None = None, classes: Sequence[str] | None = None,
    indices: Tensor | None = None, examples: Tensor | None = None, example_titles: Sequence[str] | None = None,
    r: int = 5, s: int = 5, start: Mapping[str, Any] | None = None, network_name: str | None = None, title: str | None = None,
    name: str | None = None,
) -> OwnImage:  # fmt: skip
    """Draw or drop an image and see maps, decoded filters, scores; of a network with influential features these, decomposed logits, CAM.

    network: "lenet", or a CIFAR ResNet whose pooled features ship ("resnet20"): normalization, classes and, of a ResNet, each class' ``s``
        influential features by ``r`` votes an image are found by its name. Or a module with ``input_size`` (c, h, w), c = 1 or 3; then
        give normalization, classes, and ``indices`` (C, s) where class activation maps and decomposed logits are wanted (which needs
        global average pooling and one linear layer). It is run in eval mode and not changed.
    examples: (n, c, h, w) in [0, 1] of the network's size, offered beside the board; the first is shown at the start. example_titles: what
        they show, in words. start: the first pick, such as {"layer": "conv2", "filter": 3}. network_name: what the page calls the network.
    name: with it other pages of the book can show the board.

    On the page nothing leaves the reader's machine, and nothing is loaded before a button is pressed that says how much.

    Raises TypeError or ValueError naming the argument, CheckpointError where a network's weights or features are missing, ImportError
    where a page is made without the package onnx.
    """
    if isinstance(network, str):
        checks.choice("network", network, list(SPOKEN))
        model, normalization = models.load(network), normalization or models.normalization(network)
        network_name, right = network_name or SPOKEN[network], models.about(network)["accuracy"]
        measured = f" Of {SEEN.get(network, 'CIFAR-10')}'s 10,000 test images it reads {100 * right:.2f} % right."
        if network == "lenet":
            classes = classes or [str(digit) for digit in range(10)]
        else:
            stored = features.load(network)
            classes = classes or stored.classes
            indices = stored.ranks.select(r, s, linear=stored.linear).indices if indices is None else indices
    elif isinstance(network, nn.Module):
        model, network_name, measured = network, network_name or type(network).__name__, ""
    else:
        raise TypeError(f"network: got {checks.describe(network)}, expected a module or one of {list(SPOKEN)}")
    if name is not None:
        sheets.check_name(name)
    for argument, text in (("title", title), ("network_name", network_name)):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{argument}: got {checks.describe(text)}, expected text")
    answers = Answers(model, normalization, indices=indices)
    about = about_of(answers, classes, network_name, start)
    about["knows"] += measured
    if indices is not None:
        linear = answers.linear
        about |= {"indices": indices.tolist(), "weight": _rounded(linear.weight), "bias": _rounded(_bias(linear))}
    if examples is not None:
        about |= _examples(examples, example_titles, answers.size)
    elif example_titles is not None:
        raise ValueError(f"example_titles: got {checks.describe(example_titles)} without examples, expected None")
    return OwnImage(answers, about, title=title or f"Your own image, read by {network_name}", name=name)


def about_of(
    answers: Answers, classes: Sequence[str] | None, network_name: str, start: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the script knows of a network before it answers; decoded pictures (k, h, w) in steps of 1/127 of their own peaks."""
    if classes is None or isinstance(classes, str) or len(classes) != answers.n_classes or not all(isinstance(one, str) for one in classes):
        raise ValueError(f"classes: got {checks.describe(classes)}, expected {answers.n_classes} names")
    kernels = {layer: range(answers.model.get_submodule(layer).out_channels) for layer in answers.layers}
    axes: dict[str, Any] = {"layer": Axis(answers.layers), "filter": Axis(kernels, by="layer")}
    if answers.linear is not None:
        named = {STRONGEST: "the strongest", **dict(enumerate(classes))}
        axes = {"target": Axis(list(named), label="class", labels=named), **axes}
    space, (_, h, w) = Axes(axes), answers.size
    if not (start is None or isinstance(start, Mapping)):
        raise TypeError(f"start: got {checks.describe(start)}, expected a dict of axes and values")
    about = {"network": network_name, "size": list(answers.size), "classes": list(classes)}
    about |= {"axes": space.encode(), "start": space.check(start or {})}
    few = f"{network_name} sees {h} × {w} pixels and knows {len(classes)} classes, nothing else"
    about["knows"] = f"{few}: whatever an image shows, it names one of them."
    if answers.chain:
        pictures = {layer: decode(answers.model, layer).images[:, 0] for layer in answers.layers}
        peaks = {layer: images.abs().amax((1, 2)) for layer, images in pictures.items()}
        steps = {layer: images / peaks[layer].clamp(min=1e-30)[:, None, None] * 127 for layer, images in pictures.items()}
        about["decoded"] = {layer: panels.encode(images.round().to(torch.int8)) for layer, images in steps.items()}
        about["peaks"] = {layer: _rounded(values) for layer, values in peaks.items()}
    return about


def _examples(examples: Tensor, titles: Sequence[str] | None, size: tuple[int, int, int]) -> dict[str, Any]:
    checks.tensor("examples", examples, "n c h w", sizes=dict(zip("chw", size, strict=True)))
    if not bool((examples >= 0).all() and (examples <= 1).all()):
        raise ValueError(f"examples: got {checks.describe(examples)} with values outside [0, 1], expected images in [0, 1]")
    if titles is not None and (isinstance(titles, str) or len(titles) != len(examples)):
        raise ValueError(f"example_titles: got {checks.describe(titles)}, expected one for each of the {len(examples)} examples")
    steps = (examples * 255).round().byte().permute(0, 2, 3, 1)
    steps = steps[..., 0] if size[0] == 1 else steps
    return {"examples": panels.encode(steps.contiguous()), "titles": list(titles or (f"image {i + 1}" for i in range(len(examples))))}


def _bias(linear: nn.Linear) -> Tensor:
    return torch.zeros(linear.out_features) if linear.bias is None else linear.bias


def _rounded(values: Tensor) -> list[Any]:
    """As lists of Python's numbers: those of float32, which JSON keeps to the last digit."""
    return values.detach().cpu().double().tolist()
