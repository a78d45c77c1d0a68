"""Networks trained by their recipes, seed by seed, as an experiment; other experiments take such a network by ``trained``, its seed.

``recipes`` trains. The weights stay in the user's cache: they are large, and the rows say with which seed they come again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from filterlens import checks, metrics, network, recipes
from filterlens.data import Images, train_and_test
from filterlens.lenses.gates import l1_density

from .begun import Begun, Row, left


@dataclass(frozen=True)
class Training:
    """Columns: model, seed, epoch (from 1), measure, n_images, value. Measures: accuracy and loss on the test images after every epoch;
    of gated networks the density of the gates too, and after the last epoch "accuracy, told the label", the CSG path.

    recipe: one of ``recipes.names()`` that begins with random weights. epochs, data, n: instead of the recipe's; the weights are kept
    where data and n are the recipe's own.
    """

    source: str
    recipe: str
    seeds: tuple[int, ...] = (0,)
    epochs: int | None = None
    data: str | None = None
    n: int | None = None
    network = None
    judged = False
    loads = ()
    packages = ("torchvision",)
    choices = {"recipe": tuple(name for name in recipes.names() if recipes.RECIPES[name].sets is None)}
    bounds = {"seeds": (0, None), "epochs": (1, None), "n": (1, None)}

    @property
    def measured_on(self) -> str:
        return self.data or recipes.RECIPES[self.recipe].data

    def images(self) -> tuple[None, None]:
        """There are none: a recipe loads its own."""
        return None, None

    def fingerprint(self) -> str:
        """The recipe in words: rows of another one are not to be gone on from."""
        told = recipes.RECIPES[checks.choice("recipe", self.recipe, recipes.names())]
        return f"{told.source}; {told.data}, {told.epochs} epochs, batches of {told.batch_size}, gates {told.gates} {told.shares} {told.lam}"

    def run(self, begun: Begun) -> None:
        for (seed,) in left([(seed,) for seed in self.seeds], begun.rows, ("seed",)):
            file = begun.far and begun.far / f"{self.recipe}-{seed}.run"
            kept = recipes.trained_path(self.recipe, seed, self.epochs) if self.data is None and self.n is None else None
            done = recipes.train(
                self.recipe, seed=seed, epochs=self.epochs, data=self.data, n=self.n, out=kept, checkpoint=file, device=begun.device
            )
            _, test = train_and_test(self.data or recipes.RECIPES[self.recipe].data)
            begun.keep(self._rows(done, seed, test))
            if file is not None:
                file.unlink(missing_ok=True)

    def _rows(self, done: recipes.Trained, seed: int, test: Images) -> list[Row]:
        told = {"model": self.recipe, "seed": seed}
        measures = {"accuracy": done.history.test_accuracy, "loss": done.history.test_loss}
        if done.gates is not None:
            measures["density"] = [l1_density(one) for one in done.gates.gates[1:]]
        rows = [
            {**told, "epoch": epoch + 1, "measure": name, "n_images": len(test), "value": float(values[epoch])}
            for epoch in range(len(done.history)) for name, values in measures.items()
        ]  # fmt: skip
        if done.gates is not None:
            features, labels = network.pooled(done.model, test.batches(250), normalization=done.normalization)
            head = network.classifier(done.model)
            with torch.no_grad():
                gated = features.to(head.weight) * done.gates.gates[-1].to(head.weight)[labels]
                told_label = metrics.accuracy(head(gated).cpu(), labels)
            last = {"epoch": len(done.history), "measure": "accuracy, told the label", "n_images": len(test), "value": told_label}
            rows.append({**told, **last})
        return rows


