"""The named experiments at a tiny scale: the rows are the lens', an interrupted run ends in the same file, nothing is taken for another."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from killed_process import killed
from typer.testing import CliRunner

from filterlens import __main__, data, experiments, models, training
from filterlens.experiments import adversarial, isolation
from filterlens.experiments.agreement import STUDIES
from filterlens.lenses import adversarial as lens
from filterlens.lenses import methods, redundancy
from filterlens.lenses.isolation import isolate, solve
from filterlens.models import CheckpointError, checkpoints
from filterlens.runs import sweeps
from filterlens.synthesis import agreement
from filterlens.training import snapshots

torch.set_num_threads(1)
REAL, FOLDER = dict(experiments.EXPERIMENTS), experiments.folder()
TINY = {
    "removal-lenet": {"sets": ("random", "l1"), "rates": (0.0, 0.2), "seeds": (0, 1)},
    "removal-resnet20": {"sets": ("random", "l1"), "rates": (0.0, 0.2), "seeds": (0,), "n": None},
    "removal-resnet20-public": {"sets": ("l2",), "rates": (0.0,), "seeds": (0,), "pretrained": True},
    "removal-resnet56-public": {"sets": ("random", "median_gm"), "rates": (0.0, 0.1), "seeds": (0,), "n": 3, "network": "resnet20", "pretrained": True},
    "retraining-lenet": {"methods": ("l1", "random"), "rates": (0.5,), "seeds": (0, 1), "epochs": 2, "longer": (("random", 0.5, 1, 3),)},
    "starts-lenet": {"starts": (("random", "random", 1.0), ("trained", "trained", 1.0)), "seeds": (0,), "epochs": 1},
    "isolation-lite0": {"layers": ("blocks.1.0.bn1", "conv_stem"), "n": 3, "size": 40, "n_kernels": 1, "max_iter": 3, "group": 2, "scales": ("raw",)},
    "isolation-ablation-lite0": {"layers": ("conv_stem",), "n": 2, "size": 40, "n_kernels": 1, "max_iter": 3, "group": 1},
    "isolation-grid-lite0": {"layers": ("conv_stem",), "n": 2, "size": 40, "n_kernels": 1, "max_iter": 3, "betas": (0.1, 10.0)},
    "isolation-paths-lite0": {"layers": ("conv_stem",), "n": 2, "size": 40, "n_kernels": 1, "max_iter": 3, "ways": ("default", "from zeros", "momentum, step 10,000")},
    "isolation-descent-lite0": {"layers": ("conv_stem",), "n": 2, "size": 40, "max_iter": 3, "points": (2, 5)},
    "isolation-squeezenet": {"network": "efficientnet-lite0", "pretrained": True, "layers": ("conv_stem",), "n": 2, "size": 40, "n_kernels": 1, "max_iter": 2, "scales": ()},
    "isolation-vgg16": {"network": "efficientnet-lite0", "data": "imagenet-20", "layers": ("conv_stem",), "n": 2, "size": 40, "n_kernels": 1, "max_iter": 2, "scales": ()},
    "isolation-vgg16-blocks": {"network": "efficientnet-lite0", "pretrained": True, "layers": ("conv_stem",), "n": 2, "size": 40, "n_kernels": 1, "max_iter": 2, "scales": ()},
    **{f"adversarial-resnet20-{kind}": {"per_class": (1, 3), "n_test": 2, "n_slow": 1, "attacks": ("fgsm", "local_search"), "group": 8, "options": {"local_search": {"R": 1, "candidates": 2, "d": 1, "t": 2}}}
       for kind in ("std", "csg", "fixed")},
    **{f"carlini-wagner-resnet20-{kind}": {"n_slow": 1, "n_test": 1, "options": {"cw": {"search_steps": 1, "iterations": 2}}}
       for kind in ("std", "csg", "fixed")},
    **{f"black-box-resnet20-{kind}": {"n_slow": 1, "n_test": 2, "attacks": ("local_search",), "options": {"local_search": {"R": 1, "candidates": 2, "d": 1, "t": 2}}}
       for kind in ("std", "csg", "fixed")},
    "truth": {"worlds": ("paths",), "difficulties": (0.3,), "n_seeds": 1},
    **{f"agreement-{name}": {"n": 4, "isolated": 0, "stages": ("conv1",)} for name in STUDIES},
}  # fmt: skip
ISOLATION = [name for name in TINY if name.startswith("isolation")]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """45 training and 23 test images of ten classes, in the shapes of MNIST and of CIFAR-10."""
    draw, place, found = np.random.default_rng(0), tmp_path_factory.mktemp("images"), {}
    for name, shape in (("lenet", (1, 28, 28)), ("resnet20", (3, 32, 32))):
        arrays = {}
        for split, n in (("train", 45), ("test", 23)):
            arrays |= {f"x_{split}": draw.integers(0, 256, (n, *shape), dtype=np.uint8), f"y_{split}": np.arange(n) * 7 % 10}
        np.savez(place / f"{name}.npz", **arrays)
        found[name] = f"npz:{place / name}.npz"
    return found | {f"resnet20-{kind}": found["resnet20"] for kind in ("std", "csg", "fixed")}


def gated_network(name: str) -> SimpleNamespace:
    """What ``gated.load`` gives, with the weights of another network."""
    normalization = models.normalization("resnet20")
    return SimpleNamespace(
        model=SimpleNamespace(model=models.load("resnet20")), normalization=normalization, about=models.about("resnet20")
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: dict[str, str]) -> None:
    """The same experiments on a few images, and a project and a cache of their own."""
    small = {name: replace(settings, **TINY[name]) for name, settings in experiments.EXPERIMENTS.items()}
    there = {name: settings for name, settings in small.items() if settings.network is not None}
    small |= {name: replace(settings, data=images.get(settings.network, settings.data)) for name, settings in there.items()}
    monkeypatch.setattr(experiments, "EXPERIMENTS", small)
    monkeypatch.setattr(experiments, "folder", lambda: tmp_path / "experiments")
    monkeypatch.setattr(experiments, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(experiments.gated, "load", gated_network)


def test_rows_of_removal_are_those_of_the_lens(images: dict[str, str], tmp_path: Path) -> None:
    made = experiments.make("removal-lenet", checkpoint=True)
    model, normalization = models.load("lenet"), models.normalization("lenet")
    options = {"sets": ("random", "l1"), "rates": (0.0, 0.2), "seeds": (0, 1)}
    curve = redundancy.removal_curve(model, data.load(images["lenet"]), normalization=normalization, **options)
    assert list(made.rows) == ["model", "n_images", "which", "rate", "seed", "accuracy", "n_removed"]
    again = redundancy.RemovalCurve.of(experiments.load("removal-lenet").rows)
    assert again.rows == curve.rows and again.baseline == curve.baseline == made.about["baseline"] and again.n_images == 23
    assert set(made.rows["n_removed"]) == {0, 4 + 10 + 100} and set(made.rows["model"]) == {"lenet"}
    assert made.path == tmp_path / "experiments" / "removal-lenet.csv"
    assert not (tmp_path / "cache" / "experiments" / "removal-lenet").exists(), "the finished rows stand elsewhere"


@pytest.mark.parametrize("name", ["removal-resnet20", "removal-resnet56-public"])
def test_residual_networks_lose_the_inner_filters_of_their_blocks(name: str) -> None:
    made = experiments.make(name, out=None)
    rate = float(made.rows["rate"].max())
    widths = {0.2: 3 * (3 + 6 + 13), 0.1: 3 * (2 + 3 + 6)}
    assert set(made.rows["n_removed"]) == {0, widths[rate]} and made.path is None
    assert set(made.rows["n_images"]) == {3 if name == "removal-resnet56-public" else 23}
    assert len(made.rows) == 4


def test_rows_of_training_are_those_of_the_lens(images: dict[str, str]) -> None:
    made = experiments.make("retraining-lenet")
    rows = made.rows
    assert list(rows) == ["model", "method", "rate", "seed", "epoch", "n_images", "accuracy", "n_removed"]
    cells = {cell: list(part["accuracy"]) for cell, part in rows.groupby(["method", "rate", "seed"])}
    assert {cell: len(part) for cell, part in cells.items()} == {
        ("l1", 0.5, 0): 3, ("l1", 0.5, 1): 3, ("random", 0.5, 0): 3, ("random", 0.5, 1): 4,
    }  # fmt: skip
    train, test = data.train_and_test(images["lenet"])
    own = redundancy.prune_and_retrain(
        models.load("lenet"), train, test, method="random", rate=0.5, epochs=3, seed=1, normalization=models.normalization("lenet")
    )
    assert cells["random", 0.5, 1] == [own.start, *own.accuracy]
    assert set(rows["n_removed"]) == {own.n_removed} == {10 + 25 + 250} and made.about["baseline"] == own.before


def test_rows_of_starts_are_those_of_the_lens(images: dict[str, str]) -> None:
    rows = experiments.make("starts-lenet").rows
    assert list(rows) == ["model", "start", "seed", "epoch", "n_images", "accuracy"] and len(rows) == 4
    train, test = data.train_and_test(images["lenet"])
    own = redundancy.start_and_train(
        models.load("lenet"), train, test, start="trained", epochs=1, normalization=models.normalization("lenet")
    )
    assert list(rows[rows["start"] == "trained"]["accuracy"]) == [own.start, *own.accuracy]


def _isolation(name: str) -> tuple[pd.DataFrame, object, torch.nn.Module, torch.Tensor]:
    """The rows of an experiment, its settings, its network and its images, normalized."""
    settings = experiments.EXPERIMENTS[name]
    model, normalization = models.load("efficientnet-lite0"), models.normalization("efficientnet-lite0")
    return experiments.make(name).rows, settings, model, normalization.apply(data.load("imagenet-20", size=40)[: settings.n].images)


def test_rows_of_table_1_are_those_of_the_lens() -> None:
    rows, settings, model, images = _isolation("isolation-lite0")
    assert list(rows) == ["model", "size", "depth", *methods.MethodRow._fields] and len(rows) == 2 * 3 * 4
    assert dict(zip(rows["layer"], rows["depth"], strict=True)) == {"blocks.1.0.bn1": 1, "conv_stem": 2}
    for layer in settings.layers:
        kernels = methods.active_kernels(model, layer, images, 1)
        options = {"beta": settings.beta, "max_iter": 3}
        own = pd.DataFrame(methods.measure_methods(model, layer, kernels, images, scale="raw", options=options))
        both = rows[rows["layer"] == layer].merge(own, on=["method", "scale", "kernel", "image"])
        assert len(both) == len(own) == 3 * 4
        for name in (*methods.MEASURES, "loss"):
            np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=2e-2, atol=2e-3)  # groups of images round differently


def test_a_network_without_classes_has_no_baseline(tmp_path: Path) -> None:
    made = experiments.make("isolation-vgg16-blocks")
    assert made.about["baseline"] is None and len(made.rows) == 2 and set(made.rows["method"]) == {"isolation"}
    done = CliRunner().invoke(__main__.app, ["experiment", "isolation-vgg16-blocks", "--out", str(tmp_path / "mine.csv")])
    assert done.exit_code == 0 and done.stdout.strip().splitlines()[-1] == f"{tmp_path / 'mine.csv'}: 2 rows"


def test_rows_of_table_2_and_of_the_grid_are_those_of_the_lens() -> None:
    rows, settings, model, images = _isolation("isolation-ablation-lite0")
    kernels = methods.active_kernels(model, "conv_stem", images, 1)
    own = methods.ablate_terms(model, "conv_stem", kernels, images[1:], options={"beta": settings.beta, "max_iter": 3})
    assert list(rows["terms"]) == [name for name in methods.TERMS for _ in range(2)] and list(rows["image"]) == [0, 1] * 3
    np.testing.assert_allclose(rows[rows["image"] == 1]["loss"], [row.loss for row in own], rtol=1e-5)

    rows, settings, *_ = _isolation("isolation-grid-lite0")
    assert len(rows) == 2 * 2 * 2 * 2 and list(rows)[-3:] == ["balance", "beta", "input_scale"]
    for (balance, beta, scale), cell in rows.groupby(["balance", "beta", "input_scale"]):
        found = isolate(model, "conv_stem", kernels, images, balance=balance, beta=beta / scale, max_iter=3)
        np.testing.assert_allclose(cell["loss"], found.best, rtol=1e-5)
    assert rows.groupby(["balance", "beta", "input_scale"])["loss"].sum().nunique() == 8


def test_images_of_the_papers_table_are_spread_over_the_classes() -> None:
    settings = REAL["isolation-vgg16"]
    assert settings.lr == solve.DEFAULTS["proximal"][0]
    assert settings.spread and (settings.size, settings.n_kernels, settings.max_iter) == (224, 4, 200) and len(settings.layers) == 5
    labels = replace(settings, data="imagenet-20", n=7, size=40).images()[1].labels
    assert labels.tolist() == data.load("imagenet-20", n=7, seed=settings.seed).labels.tolist() and len(labels.unique()) == 7


def test_ways_to_an_image_are_held_against_the_first() -> None:
    rows, settings, model, images = _isolation("isolation-paths-lite0")
    (kernel,) = methods.active_kernels(model, "conv_stem", images, 1)
    assert list(rows) == ["model", "size", "depth", *isolation.PathRow._fields]
    assert list(rows["way"]) == [way for way in settings.ways for _ in range(2)] and list(rows["image"]) == [0, 1] * 3
    first, other = (isolate(model, "conv_stem", kernel, images, beta=settings.beta, max_iter=3, start=start) for start in ("image", "zeros"))
    np.testing.assert_allclose(rows["loss"][2:4], other.best, rtol=1e-5)
    np.testing.assert_allclose(rows["ssim"][2:4], other.measure().ssim, rtol=1e-5)
    np.testing.assert_allclose(rows["alike"][:2], 1, rtol=1e-6)
    for i, r in enumerate(rows["alike"][2:4]):
        assert r == pytest.approx(np.corrcoef(first.images[i].flatten(), other.images[i].flatten())[0, 1], abs=1e-5) and r < 0.99


def test_rows_of_attacks_and_detectors_are_those_of_the_lens(images: dict[str, str], tmp_path: Path) -> None:
    made = experiments.make("adversarial-resnet20-csg", checkpoint=True)
    assert list(made.rows) == [
        "model", "attack", "targeted", "detector", "per_class", "n", "n_fooled", "n_reached", "rate", "linf", "l2", "accuracy", "auc",
    ]  # fmt: skip
    rows = made.rows.fillna({"detector": ""})
    of_attacks, of_detectors = rows[rows["detector"] == ""], rows[rows["detector"] != ""]
    assert list(zip(of_attacks["attack"], of_attacks["targeted"], strict=True)) == [
        ("fgsm", True),
        ("fgsm", False),
        ("local_search", False),
    ]
    assert len(of_detectors) == 2 * 2 and of_detectors["targeted"].all() and set(of_detectors["per_class"]) == {1, 3} and set(of_detectors["n"]) == {2 * 20}
    train, test = data.train_and_test(images["resnet20"])
    chosen = adversarial._first(test, 2)
    assert chosen.labels.tolist() == [*range(10), *range(10)]
    first = adversarial._first(train, 1)
    assert torch.equal(first.images, adversarial._first(train, 3)[:10].images)  # fewer stand before more
    model, norm = models.load("resnet20"), models.normalization("resnet20")
    parts = [(at, chosen[at : at + 8]) for at in (0, 8, 16)]
    hits = [lens.attack(model, part.images, part.labels, method="fgsm", normalization=norm, seed=at) for at, part in parts]
    told = of_attacks.iloc[0]
    assert (told["n"], told["n_fooled"]) == (sum(hit.n_attacked for hit in hits), sum(hit.n_fooled for hit in hits))
    assert told["n_reached"] == sum(int(hit.reached.sum()) for hit in hits)
    assert told["rate"] == told["n_fooled"] / told["n"] and told["linf"] <= 0.031 + 1e-6
    assert not (tmp_path / "cache" / "experiments" / "adversarial-resnet20-csg").exists()


def test_black_box_attacks_need_no_training_images() -> None:
    made = experiments.make("black-box-resnet20-std", out=None)
    assert made.rows[["attack", "detector", "n_reached"]].values.tolist() == [["local_search", "", 0]]
    assert 0 <= made.rows["rate"].item() <= 1 and "training" not in made.about["data"]


def test_the_story_says_how_the_rows_were_made(tmp_path: Path) -> None:
    made = experiments.make("removal-lenet", out=tmp_path / "mine.csv")
    about = json.loads((tmp_path / "mine.json").read_text())
    assert about == made.about and about["command"] == "filterlens experiment removal-lenet --out mine.csv"
    assert about["sha256"] == checkpoints.sha256(tmp_path / "mine.csv") and about["n"] == 23 and about["network"] == "lenet"
    assert checkpoints.read(checkpoints.folder() / "lenet.safetensors")[1]["sha256"] in about["weights"]
    assert about["settings"]["seeds"] == [0, 1] and "Table 1" in about["source"] and "torch" in about["versions"]
    assert "23 test images" in about["data"] and about["date"]
    assert experiments.load(tmp_path / "mine.csv").rows.equals(made.rows)


def test_real_settings_are_the_issues() -> None:
    attacked = [one for one in REAL.values() if isinstance(one, adversarial.Adversarial)]
    assert {one.network for one in attacked} == {"resnet20-std", "resnet20-csg", "resnet20-fixed"}
    for kind, attacks, per_class in (
        ("adversarial", ("fgsm", "pgd"), (500, 1000, 2000)),
        ("carlini-wagner", ("cw",), ()),
        ("black-box", ("one_pixel", "local_search"), ()),
    ):
        of_kind = [one for name, one in REAL.items() if name.startswith(kind)]
        assert len(of_kind) == 3 and all((one.attacks, one.per_class, one.n_test) == (attacks, per_class, 100) for one in of_kind)
    others = {name: one for name, one in REAL.items() if one not in attacked and one.network and not name.startswith("agreement")}
    assert {name: (one.network, one.pretrained, one.data, one.n) for name, one in others.items()} == {
        "removal-lenet": ("lenet", True, "mnist", None),
        "removal-resnet20": ("resnet20", True, "cifar10", 2000),
        "removal-resnet20-public": ("resnet20", "public", "cifar10", 2000),
        "removal-resnet56-public": ("resnet56", "public", "cifar10", 1000),
        "retraining-lenet": ("lenet", True, "mnist", None),
        "starts-lenet": ("lenet", True, "mnist", None),
        "isolation-lite0": ("efficientnet-lite0", True, "imagenet-20", 20),
        "isolation-ablation-lite0": ("efficientnet-lite0", True, "imagenet-20", 10),
        "isolation-descent-lite0": ("efficientnet-lite0", True, "imagenet-20", 1),
        "isolation-grid-lite0": ("efficientnet-lite0", True, "imagenet-20", 3),
        "isolation-paths-lite0": ("efficientnet-lite0", True, "imagenet-20", 3),
        "isolation-squeezenet": ("torchvision/squeezenet1_1", "public", "imagenet-20", 20),
        "isolation-vgg16": ("torchvision/vgg16", True, "imagenet", 180),
        "isolation-vgg16-blocks": ("vgg16-blocks", "public", "imagenet-20", 5),
    }
    blocks = REAL["isolation-vgg16-blocks"]
    assert (
        blocks.beta == pytest.approx(0.1 / 58)
        and blocks.lr == pytest.approx(0.05 * 58)
        and not blocks.judged
        and len(blocks.layers) == 2
        and len(REAL["isolation-squeezenet"].layers) == 5
    )
    table1, table2, grid = (REAL[f"isolation-{name}lite0"] for name in ("", "ablation-", "grid-"))
    assert len(table1.layers) == 5 and table1.layers == table2.layers and (table1.n_kernels, table2.n_kernels) == (4, 2)
    assert table1.scales == ("peak", "fit") and table1.beta == table2.beta and {table1.seed, table2.seed, grid.seed} == {0}
    assert (grid.betas, grid.balances, grid.input_scales) == (
        (0.01, 0.1, 1, 10),
        ("mean", "printed"),
        (1, 58),
    ) and grid.n_kernels == 2
    assert REAL["removal-lenet"].sets == redundancy.SETS and len(REAL["removal-lenet"].seeds) == 10
    assert REAL["removal-lenet"].rates == (0, 0.05, 0.1, 0.15, 0.2)
    table3 = REAL["retraining-lenet"]
    assert (len(table3.methods), table3.rates, len(table3.seeds), table3.epochs) == (5, (0.5, 0.75), 3, 5)
    assert table3.longer == (("positional", 0.75, 0, 50), ("fpgm", 0.75, 0, 50))
    assert [name for name, _, _ in REAL["starts-lenet"].starts] == ["random", "trained", "fabricated", "fabricated-sparse"]


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("removal-lenet", 1),
        ("removal-lenet", 4),
        ("retraining-lenet", 2),
        ("retraining-lenet", 8),
        ("isolation-ablation-lite0", 1),
        ("isolation-ablation-lite0", 5),
        ("adversarial-resnet20-std", 2),
        ("adversarial-resnet20-std", 5),
    ],
)
def test_a_killed_experiment_goes_on_to_the_same_file(name: str, writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between rows, after the first epoch of a training, in the third training, and between groups of images."""
    far = tmp_path / "far"
    assert killed(writes, lambda: experiments.make(name, out=tmp_path / "never.csv", checkpoint=far)) == signal.SIGKILL
    assert not (tmp_path / "never.csv").exists()
    experiments.make(name, out=tmp_path / "whole.csv")
    real, seen = snapshots.write, []
    monkeypatch.setattr(snapshots, "write", lambda path, contents: (seen.append(path), real(path, contents)))
    experiments.make(name, out=tmp_path / "resumed.csv", checkpoint=far)
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "resumed.csv").read_bytes()
    # rows; epochs and trainings; groups of images, choices of terms
    # groups of test images, and of the training images of one and of three per class beyond those; of test images again, untargeted; of the slow attack; three sets of rows
    adversaries = (3 + 2 + 3) + 3 + 2 + 3
    of_all = {"removal-lenet": 6, "retraining-lenet": 9 + 4, "isolation-ablation-lite0": 2 * 3, "adversarial-resnet20-std": adversaries}[
        name
    ]
    assert len(seen) == of_all + 1 - writes  # whose run it is is written first
    assert {path.name for path in far.iterdir() if not name.startswith("adv")} <= {"rows.run"}


def test_another_runs_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = tmp_path / "far"
    experiments.make("removal-lenet", out=None, checkpoint=far)
    changed = {**experiments.EXPERIMENTS, "removal-lenet": replace(experiments.EXPERIMENTS["removal-lenet"], seeds=(0, 2))}
    monkeypatch.setattr(experiments, "EXPERIMENTS", changed)
    with pytest.raises(CheckpointError, match=r"belongs to another run \(seeds: \(0, 1\) there, \(0, 2\) here"):
        experiments.make("removal-lenet", out=None, checkpoint=far)


def test_damaged_rows_are_refused(tmp_path: Path) -> None:
    experiments.make("starts-lenet", out=tmp_path / "mine.csv")
    text = (tmp_path / "mine.csv").read_text()
    (tmp_path / "mine.csv").write_text(text.replace("random", "trained"))
    with pytest.raises(experiments.ExperimentError, match="damaged or another file"):
        experiments.load(tmp_path / "mine.csv")
    (tmp_path / "mine.json").unlink()
    with pytest.raises(experiments.ExperimentError, match="mine.json is missing"):
        experiments.load(tmp_path / "mine.csv")


def test_what_ships_loads() -> None:
    """Whatever stands in the project's data/experiments is whole and fits the columns of its kind."""
    shipped = sorted(FOLDER.glob("*.csv"))
    if not shipped:
        pytest.skip("no rows of experiments in data/experiments yet: make them with filterlens experiment NAME --out")
    for path in shipped:
        rows = experiments.load(path).rows
        if path.stem in sweeps.names():
            assert len(rows) and not rows.duplicated().any()
            continue
        assert path.stem in REAL and len(rows) and not rows.duplicated().any()
        if path.stem in ISOLATION:
            _check_isolation(REAL[path.stem], rows)
            continue
        if path.stem == "truth":
            assert rows["mean"].between(-1, 1).all() and rows["n"].eq(REAL["truth"].n_seeds).all()
            continue
        assert rows["accuracy"].dropna().between(0, 1).all()
        if path.stem.startswith("agreement"):
            assert {one.model for one in agreement.from_rows(rows)} == {REAL[path.stem].name} and set(rows["n"]) == {REAL[path.stem].n}
        if path.stem.startswith("removal"):
            assert isinstance(redundancy.verdict(redundancy.RemovalCurve.of(rows)), pd.DataFrame)


def _check_isolation(settings, rows: pd.DataFrame) -> None:
    if "optimizer" in rows:
        assert sorted(rows["iterations"].unique()) == sorted({settings.max_iter, *settings.points}) and rows["loss"].gt(0).all()
        return
    assert set(rows["layer"]) == set(settings.layers) and set(rows["image"]) == set(range(settings.n))
    assert (
        rows["selectivity"].dropna().between(0, 1).all() and (rows[["mse_selected", "mse_rest", "preservation"]].dropna() >= 0).all().all()
    )
    assert rows.groupby("layer")["kernel"].nunique().eq(settings.n_kernels).all()
    cells = [name for name in ("layer", "kernel", "method", "scale", "terms", "balance", "beta", "input_scale", "way") if name in rows]
    assert rows.groupby(cells).size().eq(settings.n).all(), "every image once in each cell"


def test_rows_of_the_descent_are_the_lowest_losses_so_far() -> None:
    settings = experiments.EXPERIMENTS["isolation-descent-lite0"]
    rows = experiments.make("isolation-descent-lite0", out=None, checkpoint=True).rows
    assert rows[["optimizer", "iterations"]].values.tolist() == [["proximal", 3]] * 2 + [["descent", 2], ["descent", 5]] * 2
    images = models.normalization("efficientnet-lite0").apply(data.load(settings.data, size=40)[:2].images)
    kernel = int(rows["kernel"].iloc[0])
    for optimizer, steps, found in (("proximal", 3, rows["loss"][:2]), ("descent", 5, rows["loss"][[3, 5]])):
        again = isolate(models.load("efficientnet-lite0"), "conv_stem", kernel, images, optimizer=optimizer, max_iter=steps)
        assert found.tolist() == again.best.tolist()
    assert (rows["loss"].to_numpy()[[2, 4]] >= rows["loss"].to_numpy()[[3, 5]]).all()


def test_the_command_says_where_the_rows_are(tmp_path: Path) -> None:
    done = CliRunner().invoke(__main__.app, ["experiment", "starts-lenet", "--out", str(tmp_path / "mine.csv")])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().splitlines()[-1].startswith(f"{tmp_path / 'mine.csv'}: 4 rows, ")
    assert not list((tmp_path / "cache" / "experiments").iterdir())


@pytest.mark.bad_input
def test_the_command_refuses_in_a_line() -> None:
    done = CliRunner().invoke(__main__.app, ["experiment", "removal-lenett"])
    assert done.exit_code == 2 and "did you mean" in done.output


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("removal-lenett", {}, ValueError, "name.*did you mean 'removal-lenet'"),
        (3, {}, TypeError, "name"),
        ("removal-lenet", {"out": 3}, TypeError, "out"),
        ("removal-lenet", {"out": ""}, TypeError, "out"),
        ("removal-lenet", {"out": "rows.txt"}, ValueError, "out.*csv"),
        ("removal-lenet", {"checkpoint": 3}, TypeError, "checkpoint"),
        ("removal-lenet", {"checkpoint": __file__}, ValueError, "checkpoint.*which is a file"),
        ("removal-lenet", {"out": "/proc/nowhere/rows.csv"}, ValueError, "out"),
    ],
)
def test_make_refuses_before_any_pass(name, options, error, said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redundancy, "removal_curve", lambda *_, **__: pytest.fail("an experiment was started"))
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: pytest.fail("an experiment was started"))
    with pytest.raises(error, match=said):
        experiments.make(name, **options)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("removal-lenett", ValueError, "name.*did you mean"),
        (None, TypeError, "name"),
        ("", TypeError, "name"),
        ("removal-lenet", experiments.ExperimentError, "filterlens experiment removal-lenet"),
        ("nowhere/mine.csv", experiments.ExperimentError, "missing"),
    ],
)
def test_load_refuses(name, error, said) -> None:
    with pytest.raises(error, match=said):
        experiments.load(name)


def test_a_network_trained_for_the_purpose_is_taken_by_its_seed(images: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments.measuring.recipes, "cache", lambda: tmp_path)
    settings = experiments.Training("toy", "lenet", seeds=(3,), epochs=1, data=images["lenet"])
    given = experiments.measuring.ready(settings)
    rows = experiments.measuring.measure(settings, tmp_path / "far", given)
    assert [(row["seed"], row["epoch"], row["measure"]) for row in rows] == [(3, 1, "accuracy"), (3, 1, "loss")]
    assert not (tmp_path / "networks").exists(), "weights of other data are not kept"
    settings = experiments.Removal("toy", "lenet", True, images["lenet"], sets=("l1",), rates=(0.0,), trained=3)
    with pytest.raises(CheckpointError, match="filterlens train lenet --seed 3 --out"):
        experiments.measuring.ready(settings)
    recipe = replace(experiments.measuring.recipes.RECIPES["lenet"], data=images["lenet"], epochs=1)
    monkeypatch.setitem(experiments.measuring.recipes.RECIPES, "lenet", recipe)
    whole = experiments.Training("toy", "lenet", seeds=(3,))
    (accuracy, _) = experiments.measuring.measure(whole, None, experiments.measuring.ready(whole))
    (row,) = experiments.measuring.measure(settings, None, experiments.measuring.ready(settings))
    assert (row["trained"], row["accuracy"]) == (3, accuracy["value"]) and "trained with seed 3" in experiments.measuring.told(settings)


def test_a_gated_training_tells_density_and_what_the_label_brings(images: dict[str, str]) -> None:
    settings = experiments.Training("toy", "resnet20-csg", seeds=(0,), epochs=3, data=images["resnet20"])
    rows = experiments.measuring.measure(settings, None, experiments.measuring.ready(settings))
    assert {row["measure"] for row in rows} == {"accuracy", "loss", "density", "accuracy, told the label"}
    assert [row["epoch"] for row in rows if row["measure"] == "density"] == [1, 2, 3] and all(row["n_images"] == 23 for row in rows)


def test_rows_of_the_other_tables_are_those_of_their_functions() -> None:
    from filterlens import features
    from filterlens.lenses import decoding, influence

    kept = features.load("resnet20-public")
    settings = experiments.Noise("toy", "resnet20-public", seeds=(2, 0))
    rows = pd.DataFrame(experiments.measuring.measure(settings, None, experiments.measuring.ready(settings)))
    own = influence.essentiality(*kept.test, kept.linear, kept.ranks.select(5, 5).indices, seeds=(2, 0))
    assert list(rows[rows["measure"] == "influential replaced"]["value"]) == own.influential.tolist()
    assert list(rows[rows["measure"] == "others replaced"]["value"]) == own.other.tolist()
    assert rows["measure"].tolist()[2:4] == ["original", "decomposed"] and rows["value"][2] == own.original
    parts = [replace(settings, seeds=(seed,)) for seed in (2, 0)]
    again = [row for part in parts for row in experiments.measuring.measure(part, None, experiments.measuring.ready(part))]
    pd.testing.assert_frame_equal(pd.DataFrame(again), rows, check_exact=True)
    settings = experiments.Errors("toy", "lenet", True, "mnist-5k", layers=("conv2",), unpools=("nearest",), n=20, split="train", batch=7)
    (row,) = experiments.measuring.measure(settings, None, experiments.measuring.ready(settings))
    inputs = models.normalization("lenet").apply(data.load("mnist-5k", "train", n=20).images)
    table = decoding.error_table(models.load("lenet"), ["conv2"], [inputs], unpools=("nearest",), normalizations=("tensor",))
    assert row["mean"] == pytest.approx(table.mean("conv2"), rel=1e-6) and row["std"] == pytest.approx(table.std("conv2"), rel=1e-5)
    settings = experiments.Storage("toy", "vgg16")
    rows = experiments.measuring.measure(settings, None, experiments.measuring.ready(settings))
    assert {row["measure"]: round(row["value"], 2) for row in rows} == {"full": 527.79, "archetypes": 485.71, "saved": 0.08}


def test_images_are_the_first_ones_or_drawn_over_the_classes() -> None:
    settings = experiments.EXPERIMENTS["isolation-lite0"]
    settings = replace(settings, data="mnist-5k", n=20, size=28)
    first, drawn = settings.images()[1], replace(settings, spread=True).images()[1]
    assert first.labels.tolist() == data.load("mnist-5k").labels[:20].tolist() and sorted(drawn.labels.tolist()) == sorted([*range(10)] * 2)


def test_a_study_is_that_of_the_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def imagenet(names, **options):
        seen.update(options, names=names)
        return {names[0]: SimpleNamespace(full=0.75, decomposed=0.6, decomposed_weights=0.5, decomposed_signed=None, agreement=0.7, eta=0.8, d=2048, n_test=9)}  # fmt: skip

    monkeypatch.setattr(experiments.tables.surveys, "imagenet", imagenet)
    settings = experiments.Study("toy", "DenseNet121", r=4, s=3, signed=False)
    rows = experiments.measuring.measure(settings, tmp_path, experiments.measuring.ready(settings))
    assert {row["measure"]: row["value"] for row in rows} == {
        "full": 0.75, "decomposed": 0.6, "decomposed_weights": 0.5, "agreement": 0.7, "ratio": 0.8, "d": 2048.0,
    }  # fmt: skip
    assert seen["names"] == ["DenseNet121"] and (seen["r"], seen["s"], seen["checkpoints"]) == (4, 3, tmp_path)
