"""One network, two paths: the standard one, and the one whose final features pass through the gates of the image's own class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ... import checks, network
from .matrix import project


class GatedClassifier(nn.Module):
    """Any CNN (n, c, h, w) -> logits (n, C) with gates G (C, K) on its K final features.

    STD path: logits = W a(x) + b. CSG path: logits = W (G_y * a(x)) + b, y the TRUE label. The gate multiplies what enters the
    final linear layer; the same gate on the maps before average pooling gives the same, since it is constant in space.

    ``forward(images, labels=None)``: in training mode with ``gated`` True the CSG path, otherwise the STD path. The official code
    does the same: at test time there are no gates, and labels are ignored.

    model: trained in place through this wrapper, never copied. Its parameters keep their names under ``model.``.
    layer: by default the input of the one linear layer after pooling (``network.classifier``). For a head of several linear
        layers name a module whose output (n, K, h, w) or (n, K) is gated instead: that of the last stage, AFTER its normalisation,
        activation and residual sum, or a normalisation would undo the gates and a shortcut lead round them.
    gates: the first gates (C, K), projected; by default 0.5 everywhere as in the official code, which the projection makes 1. An
        integer is the number K, for a ``layer`` that does not tell (neither a convolution nor a normalisation).
    learned: False keeps the gates as they are given (appendix E); then they are not projected but must be feasible.
    example: normalized images that decide which layer is the classifier, see ``network.classifier``.

    On one device. Raises TypeError or ValueError naming the argument; in forward ValueError for missing labels, RuntimeError if the
    gated module did not run exactly once.
    """

    def __init__(
        self,
        model: nn.Module,
        n_classes: int,
        *,
        layer: str | None = None,
        gates: Tensor | int | None = None,
        learned: bool = True,
        method: str = "rescale",
        example: Tensor | None = None,
    ) -> None:
        super().__init__()
        checks.module("model", model)
        C = checks.integer("n_classes", n_classes, 2)
        checks.choice("method", method, ("rescale", "euclid"))
        if not isinstance(learned, bool):
            raise TypeError(f"learned: got {checks.describe(learned)}, expected True or False")
        if gates is not None and not isinstance(gates, Tensor | int):
            raise TypeError(f"gates: got {checks.describe(gates)}, expected a tensor (C, K), or with layer= the number K")
        point, K = _point(model, C, layer, gates, example)
        like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        if not isinstance(gates, Tensor):
            if not learned:
                raise ValueError(f"learned: got False, expected gates ({C}, {K}) with it, such as fixed_gates makes")
            gates = torch.full((C, K), 0.5)
        checks.tensor("gates", gates, "C K", sizes={"C": C, "K": K})
        feasible = project(gates.detach(), "euclid") if not learned else project(gates.detach(), method)
        if not learned and not torch.equal(feasible, gates.detach()):
            raise ValueError("gates: expected entries in [0, 1] and a 1 in every column, as learned=False keeps them; see project_gates")
        self.layer, self.method, self.gated, self._point = layer, method, True, point
        self.training = model.training
        self.model = model
        self.gates = nn.Parameter(feasible.to(like, copy=True), requires_grad=learned)

    @property
    def n_classes(self) -> int:
        """C."""
        return self.gates.shape[0]

    @property
    def learned(self) -> bool:
        """Do the gates follow a gradient?"""
        return self.gates.requires_grad

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n, C) of images (n, c, h, w); labels (n,) integers, needed on a gated step only."""
        if not (self.training and self.gated):
            return self.model(images)
        return self.csg(images, labels)

    def csg(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """The CSG path in whatever mode the network is: logits (n, C). It is told the label, so its accuracy proves nothing."""
        if labels is None:
            raise ValueError("labels: got None, expected the true labels (n,), which a gated step needs")
        checks.labels("labels", labels, len(images), self.n_classes)
        with self._gating(self.gates[labels.to(self.gates.device)]):
            return self.model(images)

    @contextmanager
    def _gating(self, rows: Tensor) -> Iterator[None]:
        """Within the block the features of image i are multiplied by rows[i] (K,)."""
        calls = []

        def enters(module: nn.Module, args: tuple) -> tuple:
            calls.append(module)
            return (args[0] * rows.to(args[0].dtype), *args[1:])

        def leaves(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            calls.append(module)
            if output.ndim < 2 or output.shape[1] != rows.shape[1]:
                raise ValueError(
                    f"layer: {self.layer!r} gave {checks.describe(output)}, expected K = {rows.shape[1]} channels, as the gates"
                )
            return output * rows.to(output.dtype).reshape(*rows.shape, *[1] * (output.ndim - 2))

        module = self.model.get_submodule(self._point)
        handle = module.register_forward_pre_hook(enters) if self.layer is None else module.register_forward_hook(leaves)
        try:
            yield
        finally:
            handle.remove()
        if len(calls) != 1:
            raise RuntimeError(f"layer: {self._point!r} ran {len(calls)} times in a forward pass, expected a module that runs once")

    def extra_repr(self) -> str:
        how = "learned" if self.learned else "fixed"
        return f"gates={tuple(self.gates.shape)} ({how}), at={self.layer or 'the input of ' + self._point!r}"


def _point(model: nn.Module, C: int, layer: str | None, gates: Tensor | int | None, example: Tensor | None) -> tuple[str, int]:
    """The dotted name of the module at which the gates stand, and the number of features K there."""
    if layer is None:
        if isinstance(gates, int):
            raise TypeError(f"gates: got {checks.describe(gates)}, expected a tensor (C, K) or None; a number goes with layer=")
        head = network.classifier(model, example=example)
        if head.out_features != C:
            raise ValueError(f"n_classes: got {C}, expected {head.out_features}, the logits of the model")
        return next(name for name, module in model.named_modules() if module is head), head.in_features
    if not isinstance(layer, str):
        raise TypeError(f"layer: got {checks.describe(layer)}, expected the dotted name of a layer")
    network.stop_at(model, layer)  # says which near names there are
    module = model.get_submodule(layer)
    width = getattr(module, "out_channels", getattr(module, "num_features", getattr(module, "out_features", None)))
    given = gates if isinstance(gates, int) else gates.shape[-1] if isinstance(gates, Tensor) else None
    if None not in (width, given) and given != width:
        raise ValueError(f"gates: got {checks.describe(gates)}, expected K = {width}, the channels of {layer!r}")
    if isinstance(gates, int) and not isinstance(gates, bool):
        width = checks.integer("gates", gates, 1)
    elif isinstance(gates, Tensor) and gates.ndim == 2:
        width = gates.shape[1]
    if width is None:
        raise ValueError(f"gates: got {checks.describe(gates)}, expected the number K of channels of {layer!r}, a {type(module).__name__}")
    return layer, width
