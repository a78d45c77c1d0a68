"""The geometric median beside geom-median (its torch backend), on the filters of wide layers, at equal or smaller sums of distances."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from filterlens.lenses.ranking import geometric_median

peer = pytest.importorskip("geom_median.torch", reason="pip install geom-median")

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = [(4608, 512), (1152, 192), (320, 1280), (27, 64)]


def total(X: Tensor, y: Tensor) -> float:
    """The objective, in double precision."""
    return float((X.double() - y.double()[:, None]).norm(dim=0).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_geometric_median_beside_geom_median(benchmark, tables, taking_turns, dtype):
    """geom-median by default, and stopped where its sum of distances changes by less than 1e-7 of itself."""
    lines = [f"geometric median, {str(dtype).removeprefix('torch.')}, 1 torch thread, medians of 5 turns"]
    lines += [f"{'':14}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}{'at 1e-7 ms':>12}{'ratio':>8}{'ours - peer, of the sum':>26}"]

    def measure() -> None:
        for l, n in SHAPES:
            noise = torch.Generator().manual_seed(l)
            X = torch.randn(l, n, generator=noise, dtype=dtype) * (0.2 + torch.rand(n, generator=noise, dtype=dtype))
            points = list(X.T.contiguous())
            found, default, loose = geometric_median(X), peer.compute_geometric_median(points).median, None
            loose = peer.compute_geometric_median(points, ftol=1e-7).median
            ours = total(X, found)
            assert ours <= total(X, default) * (1 + 1e-7) and ours <= total(X, loose) * (1 + 1e-7)
            took = taking_turns(
                {
                    "ours": lambda X=X: geometric_median(X),
                    "peer": lambda points=points: peer.compute_geometric_median(points),
                    "loose": lambda points=points: peer.compute_geometric_median(points, ftol=1e-7),
                },
                5,
            )
            ms = {name: 1e3 * seconds for name, seconds in took.items()}
            lines.append(
                f"{f'{l} x {n}':14}{ms['ours']:10.2f}{ms['peer']:10.1f}{ms['peer'] / ms['ours']:8.1f}{ms['loose']:12.1f}"
                f"{ms['loose'] / ms['ours']:8.1f}{ours / total(X, default) - 1:26.1e}"
            )

    benchmark.pedantic(measure, rounds=1, iterations=1)
    tables.append("\n".join(lines))
