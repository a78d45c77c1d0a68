"""The final layer taken apart: every class reads only its own influential features (Figure 5 of arXiv 2112.07719).

Which features those are is found in ``selection``; here they are given, as indices (C, s), and never change again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import checks, network, training
from .votes import checked_linear


class DecomposedLinear(nn.Module):
    """z_y = sum over i in I_y of W[y, i] f_i + b_y: features (n, d) -> logits (n, C), each class in its own s features.

    Parameters: ``weight`` (C, s), where weight[y, t] belongs to feature indices[y, t], and ``bias`` (C,) or None. ``indices``
    (C, s) is a buffer: saved with the weights, moved with them, never trained. The other entries of W do not exist. The
    softmax of these logits is the paper's decomposed softmax. Made by ``decompose``. Under ``torch.autocast`` it computes in
    autocast's precision, as ``nn.Linear`` does; otherwise features come in the precision of the weights. Raises TypeError or
    ValueError naming features.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, indices: Tensor, in_features: int) -> None:
        super().__init__()
        checks.tensor("weight", weight, "C s")
        n_classes, s = weight.shape
        self.in_features, self.out_features = checks.integer("in_features", in_features, s), n_classes
        checks.index_rows("indices", indices, in_features, rows=n_classes)
        if indices.shape != weight.shape:
            raise ValueError(f"indices: got {checks.describe(indices)}, expected the shape of weight, {tuple(weight.shape)}")
        if bias is not None:
            checks.tensor("bias", bias, "C", sizes={"C": n_classes})
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.register_buffer("indices", indices.to(weight.device, torch.int64, copy=True))

    @property
    def multiply_adds(self) -> int:
        """Per image: C s, where the full layer needs C d."""
        return self.weight.numel()

    def forward(self, features: Tensor) -> Tensor:
        if not isinstance(features, Tensor):
            raise TypeError(f"features: got {checks.describe(features)}, expected a tensor (n, {self.in_features})")
        if features.ndim != 2 or features.shape[1] != self.in_features:
            raise ValueError(f"features: got {checks.describe(features)}, expected (n, {self.in_features})")
        weight, bias, place = self.weight, self.bias, features.device.type
        if torch.amp.is_autocast_available(place) and torch.is_autocast_enabled(place):
            features, weight, bias = (_cast(given, torch.get_autocast_dtype(place)) for given in (features, weight, bias))
        if features.dtype != weight.dtype:
            expected = f"expected {str(weight.dtype).removeprefix('torch.')} as the weights"
            raise TypeError(f"features: got {checks.describe(features)}, {expected}; convert them with .to(weight.dtype)")
        # Each class is a bag of s rows of the table (d, n): the gathered numbers (n, C, s) are summed as they are read
        logits = F.embedding_bag(self.indices, features.T.contiguous(), mode="sum", per_sample_weights=weight).T
        return logits if bias is None else logits + bias

    def dense(self) -> nn.Linear:
        """The same function as a full layer (d -> C) whose weights outside of the sets are zero."""
        n_classes, d = self.out_features, self.in_features
        linear = nn.Linear(d, n_classes, bias=self.bias is not None, device=self.weight.device, dtype=self.weight.dtype)
        with torch.no_grad():
            linear.weight.zero_().scatter_(1, self.indices, self.weight)
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, s={self.weight.shape[1]}, bias={self.bias is not None}"


def _cast(given: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """As autocast casts the arguments of a linear layer: numbers with a point, but for double precision."""
    if given is None or not given.is_floating_point() or given.dtype == torch.float64:
        return given
    return given.to(dtype)


def decompose(linear: nn.Linear, indices: Tensor) -> DecomposedLinear:
    """Keep, for every class of a final layer (d -> C), the weights of its own features and the bias; the layer itself is unchanged.

    indices: (C, s) integers in [0, d), distinct in each row, such as ``find_influential(...).indices``.
    Raises TypeError or ValueError naming the argument.
    """
    linear = checked_linear(linear)
    indices = checks.index_rows("indices", indices, linear.in_features, rows=linear.out_features).to(linear.weight.device)
    return DecomposedLinear(linear.weight.detach().gather(1, indices), linear.bias, indices, linear.in_features)


def decompose_model(model: nn.Module, indices: Tensor, *, example: Tensor | None = None) -> nn.Module:
    """A copy of the network whose one linear layer after pooling is decomposed; everything else is as it was, modes included.

    ``example``: normalized images (n, c, h, w), for networks whose classifier registration alone does not tell
    (``network.classifier``). Raises TypeError or ValueError naming the argument, also for a head with several linear layers.
    """
    head = network.classifier(model, example=example)
    places = [name for name, module in model.named_modules(remove_duplicate=False) if module is head]
    reduced = decompose(head, indices).train(head.training)
    out = copy.deepcopy(model)
    for place in places:
        parent, _, name = place.rpartition(".")
        setattr(out.get_submodule(parent), name, reduced)
    return out


@dataclass(frozen=True, eq=False)
class Retrained:
    """A decomposed network after training, in eval mode, and the loss and accuracy of every epoch."""

    model: nn.Module
    history: training.History


def retrain(
    model: nn.Module,
    indices: Tensor,
    train: Any,
    test: Any,
    *,
    epochs: int = 1,
    lr: float = 1e-4,
    batch_size: int = 64,
    seed: int = 0,
    normalization: Any = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = training.flip_and_crop,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    example: Tensor | None = None,
) -> Retrained:
    """Decompose a copy of the network and train all of it by cross-entropy; the indices stay. The caller's network is unchanged.

    The settings are those of the authors' README for ResNet-20 (github.com/akshaybadola/decomposing-the-deep): Adam, lr 1e-4,
    batches of 64, one epoch, flips and crops. Weights that were frozen in the caller's network are trained too.

    train, test, normalization, augment, checkpoint (resumed if it exists), device: as in ``training.fit``; example: as in
    ``decompose_model``. Raises TypeError or ValueError naming the argument, ``training.CheckpointError`` for another run's file.
    """
    rate = checks.real("lr", lr, 0)
    out = decompose_model(model, indices, example=example).requires_grad_()
    history = training.fit(
        out,
        train,
        test,
        epochs=epochs,
        seed=seed,
        optimizers=torch.optim.Adam(out.parameters(), lr=rate),
        augment=augment,
        batch_size=batch_size,
        device=device,
        checkpoint=checkpoint,
        normalization=normalization,
    )
    return Retrained(out.eval(), history)
