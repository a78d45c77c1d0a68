"""Images by name: found, verified, balanced, kept small, and refused with one clear error."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filterlens import data, sources
from filterlens.data import archives, pictures


def write_idx(path: Path, array: np.ndarray) -> str:
    """Write an IDX archive; returns its md5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def small_mnist(no_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root whose four archives are tiny and whose hashes torchvision's class is told to expect."""
    from torchvision.datasets import MNIST

    rng, root, resources = np.random.default_rng(0), no_data / "root", []
    for part, n in (("train", 40), ("t10k", 23)):
        for kind, array in (("images-idx3", rng.integers(0, 256, (n, 28, 28))), ("labels-idx1", np.arange(n) % 10)):
            file = f"{part}-{kind}-ubyte.gz"
            resources.append((file, write_idx(root / "MNIST" / "raw" / file, array)))
    monkeypatch.setattr(MNIST, "resources", resources)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of 4, 2 and 3 pictures of different sizes; each picture's red value is its number."""
    number = 0
    for label, count in (("ant", 4), ("bee", 2), ("cat", 3)):
        (tmp_path / "own" / label).mkdir(parents=True)
        for _ in range(count):
            Image.new("RGB", (30 + number, 50 - number), (10 * number, 0, 255)).save(tmp_path / "own" / label / f"{number}.png")
            number += 1
    return tmp_path / "own"


def save_npz(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return f"npz:{path}"


# What is loaded


def test_mnist_5k_is_balanced_and_its_splits_share_nothing():
    test, train = data.load("mnist-5k"), data.load("mnist-5k", "train")
    assert (test.shape, train.shape) == ((1000, 1, 28, 28), (4000, 1, 28, 28))
    assert test.labels.bincount().tolist() == [100] * 10 and train.labels.bincount().tolist() == [400] * 10
    assert test.pixels.dtype == torch.uint8 and int(test.pixels.max()) == 255 and test.labels.dtype == torch.int64
    assert not {row.tobytes() for row in test.pixels.numpy()} & {row.tobytes() for row in train.pixels.numpy()}
    assert test.classes == list("0123456789") and "training set" in test.note


def test_mnist_5k_labels_belong_to_their_images():
    """A nearest-mean classifier knows the digits; shuffled labels would give 10 %."""
    train, test = data.load("mnist-5k", "train"), data.load("mnist-5k")
    means = torch.stack([train.images[train.labels == digit].mean(0).flatten() for digit in range(10)])
    right = (torch.cdist(test.images.flatten(1), means).argmin(1) == test.labels).float().mean()
    assert right > 0.75


def test_mnist_from_a_data_root_reads_the_archives_as_they_are(small_mnist: Path):
    before = sorted(small_mnist.rglob("*"))
    train, test = data.load("mnist", "train", root=small_mnist), data.load("mnist", root=small_mnist)
    assert train.shape == (40, 1, 28, 28) and test.shape == (23, 1, 28, 28)
    assert test.labels.tolist() == [i % 10 for i in range(23)]
    expected = np.random.default_rng(0).integers(0, 256, (40, 28, 28))
    assert np.array_equal(train.pixels[:, 0].numpy(), expected)
    assert sorted(small_mnist.rglob("*")) == before, "a data root is never written to"


def test_the_environment_names_the_data_root_and_the_argument_wins(small_mnist: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("FILTERLENS_DATA", str(small_mnist))
    assert len(data.load("mnist")) == 23
    (tmp_path / "empty").mkdir()
    with pytest.raises(data.DataError, match="not found"):
        data.load("mnist", root=tmp_path / "empty")


def test_the_cache_is_looked_at_after_the_root(small_mnist: Path):
    small_mnist.rename(small_mnist.parent / "cache")
    assert len(data.load("mnist")) == 23


def test_a_download_is_checked_and_lands_in_the_cache(small_mnist: Path, monkeypatch: pytest.MonkeyPatch):
    def fetch(url: str, folder: str, filename: str, md5: str) -> None:
        shutil.copy(small_mnist / "MNIST" / "raw" / filename, folder)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    assert len(data.load("mnist")) == 23
    assert sorted(path.name for path in (small_mnist.parent / "cache").rglob("*") if path.is_file()) == [
        "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
    ]  # fmt: skip


def test_fashion_mnist_is_found_where_debian_puts_it(no_data: Path, monkeypatch: pytest.MonkeyPatch):
    place = no_data / "debian"
    known = {
        file: write_idx(place / file, array)
        for file, array in (("t10k-images-idx3-ubyte.gz", np.zeros((7, 28, 28))), ("t10k-labels-idx1-ubyte.gz", np.arange(7)))
    }
    monkeypatch.setattr(archives, "DEBIAN_FASHION", place)
    with pytest.raises(data.DataError, match="another file"):  # right place, wrong hash
        data.load("fashion-mnist")
    monkeypatch.setattr(archives, "DEBIAN_MD5", known)
    images = data.load("fashion-mnist")
    assert len(images) == 7 and images.classes[9] == "Ankle boot"


def test_the_rebuilt_cifar10_says_so(no_data: Path):
    labels = np.repeat(np.arange(10), 1000)
    pixels = np.zeros((10000, 32, 32, 3), np.uint8)
    pixels[3, 4, 5] = (1, 2, 3)
    np.savez(no_data / "cifar10.npz", x_test=pixels, y_test=labels)
    images = data.load("cifar10", root=no_data)
    assert images.shape == (10000, 3, 32, 32) and images.pixels[3, :, 4, 5].tolist() == [1, 2, 3]
    assert images.note == "rebuilt from cifar10.npz, an archive in which 111 images are JPEG copies" and images.classes[6] == "frog"
    assert images[:5].note == images.note


def test_cifar10_prefers_originals_of_the_root_then_the_npz_then_the_cache(no_data: Path, monkeypatch: pytest.MonkeyPatch):
    from torchvision.datasets import CIFAR10

    class Original:
        """What the archive would hold, were it not 170 MB."""

        def __init__(self, place: str, train: bool) -> None:
            assert (Path(place) / CIFAR10.base_folder / "told").is_file()
            self.data, self.targets = np.full((1, 32, 32, 3), 7, np.uint8), [3]

    for name in ("base_folder", "filename", "url", "tgz_md5"):
        setattr(Original, name, getattr(CIFAR10, name))
    (root := no_data / "root").mkdir()
    np.savez(root / "cifar10.npz", x_test=np.zeros((10000, 32, 32, 3), np.uint8), y_test=np.repeat(np.arange(10), 1000))
    inside = no_data / CIFAR10.base_folder
    inside.mkdir()
    (inside / "told").touch()
    with tarfile.open(no_data / "batches.tar.gz", "w:gz") as archive:
        archive.add(inside, CIFAR10.base_folder)
    Original.tgz_md5 = hashlib.md5((no_data / "batches.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Original)

    shutil.copytree(inside, no_data / "cache" / CIFAR10.base_folder)
    assert len(data.load("cifar10", root=root)) == 10000  # the npz before the cache
    shutil.rmtree(no_data / "cache")
    shutil.copy(no_data / "batches.tar.gz", root / CIFAR10.filename)
    assert (images := data.load("cifar10", root=root)).pixels.unique().tolist() == [7] and images.note == ""
    assert sorted(path.name for path in root.iterdir()) == [CIFAR10.filename, "cifar10.npz"]
    shutil.rmtree(no_data / "cache")
    (root / CIFAR10.filename).unlink()
    shutil.copytree(inside, root / CIFAR10.base_folder)
    assert data.load("cifar10", root=root).labels.tolist() == [3]


def test_the_twenty_images_of_foolbox_are_verified(monkeypatch: pytest.MonkeyPatch, no_data: Path):
    images = data.load("cifar10-20")
    assert images.shape == (20, 3, 32, 32) and images.pixels.dtype == torch.uint8
    assert images.labels.tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8, 5, 7, 8, 6]
    assert images.classes[3] == "cat" and "test images number 0 to 19" in images.note
    monkeypatch.setattr(archives, "CIFAR10_20_SHA256", "another")
    with pytest.raises(data.DataError, match="not the known ones; pip install"):
        data.load("cifar10-20")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(data.DataError, match="pip install foolbox"):
        data.load("cifar10-20")


def test_the_twenty_pictures_of_imagenet_are_verified(monkeypatch: pytest.MonkeyPatch, no_data: Path):
    images = data.load("imagenet-20", size=40)
    assert images.shape == (20, 3, 40, 40) and data.load("imagenet-20", n=1).shape == (1, 3, 224, 224)
    assert images.labels[[0, 1, 19]].tolist() == [243, 559, 305] and images.titles[0] == "imagenet_00_243"
    assert len(images.classes) == 1000 and images.classes[243] == "bull mastiff" and "not for accuracy" in images.note
    assert images.images.std() > 0.05 and len({tuple(row.flatten().tolist()) for row in images.pixels.read()}) == 20
    monkeypatch.setattr(pictures, "IMAGENET_20_SHA256", "another")
    with pytest.raises(data.DataError, match="imagenet-20: the 20 pictures.*not the known ones; pip install"):
        data.load("imagenet-20")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(data.DataError, match="pip install foolbox"):
        data.load("imagenet-20")


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A data root with two classes of ImageNet, listed as numbers 1 and 3 of four; 5 training and 3 validation pictures."""
    number = 0
    for split, counts in (("train", {"n00000004": 3, "n00000002": 2}), ("val", {"n00000002": 1, "n00000004": 2})):
        for synset, count in counts.items():
            (tmp_path / "imagenet" / split / synset).mkdir(parents=True)
            for _ in range(count):
                Image.new("RGB", (40, 30), (0, 10 * number, 0)).save(tmp_path / "imagenet" / split / synset / f"{number}.JPEG", quality=100)
                number += 1
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "synset_words.txt").write_text("".join(f"n0000000{i} kind {i}\n" for i in range(1, 5)))
    return tmp_path


def test_imagenet_is_read_from_disk_with_the_numbers_of_its_classes(imagenet: Path):
    train, test = data.load("imagenet", "train", root=imagenet, size=16), data.load("imagenet", root=imagenet)
    assert train.labels.tolist() == [1, 1, 3, 3, 3] and test.labels.tolist() == [1, 3, 3]
    assert train.classes == ["kind 1", "kind 2", "kind 3", "kind 4"] and test.shape == (3, 3, 224, 224)
    assert isinstance(train.pixels, pictures.Photographs) and train.titles == list("34012")
    assert torch.allclose(train.images[:, 1, 5, 9] * 255, torch.tensor([30.0, 40, 0, 10, 20]), atol=3)
    assert data.load("imagenet", root=imagenet, n=2).labels.sort().values.tolist() == [1, 3]
    assert "of the 50,000 pictures, 2 of the 1,000 classes" in test.note and "of the 1,281,167 pictures" in train.note


def test_imagenet_without_a_list_wants_all_thousand_classes(imagenet: Path):
    (imagenet / "labels" / "synset_words.txt").unlink()
    with pytest.raises(data.DataError, match="holds 2 classes, expected 1000"):
        data.load("imagenet", root=imagenet)
    for i in range(1000):
        (imagenet / "imagenet" / "val" / f"n{i:08d}").mkdir(exist_ok=True)
    images = data.load("imagenet", root=imagenet)
    assert images.labels.tolist() == [2, 4, 4] and images.classes[4] == "n00000004"


@pytest.mark.bad_input
def test_an_imagenet_laid_out_otherwise_is_refused_with_the_layout(imagenet: Path, no_data: Path):
    with pytest.raises(data.DataError, match="FILTERLENS_DATA.*imagenet/val/<WordNet id>"):
        data.load("imagenet")
    (imagenet / "imagenet" / "val" / "n00000009").mkdir()
    with pytest.raises(data.DataError, match="n00000009.*does not list"):
        data.load("imagenet", root=imagenet)
    (imagenet / "imagenet" / "val" / "abacus").mkdir()
    with pytest.raises(data.DataError, match="holds .'abacus'.*one folder per class"):
        data.load("imagenet", root=imagenet)
    shutil.rmtree(imagenet / "imagenet" / "train")
    with pytest.raises(data.DataError, match="imagenet/train.*is no folder"):
        data.load("imagenet", "train", root=imagenet)
    shutil.rmtree(imagenet / "imagenet" / "val")
    (imagenet / "imagenet" / "val" / "n00000002").mkdir(parents=True)
    with pytest.raises(data.DataError, match="holds no pictures"):
        data.load("imagenet", root=imagenet)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("size", "resize", "shape"), [(8, 16, (41, 23)), (24, 30, (33, 61)), (9, 9, (50, 20))])
def test_resize_is_what_torchvision_does_before_its_central_crop(tmp_path: Path, size: int, resize: int, shape: tuple, interpolation: str):
    from torchvision.transforms import v2

    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    mode = v2.InterpolationMode(interpolation)
    steps = v2.Compose([v2.Resize(resize, interpolation=mode), v2.CenterCrop(size), v2.PILToTensor()])
    images = data.load(f"folder:{tmp_path}", size=size, resize=resize, interpolation=interpolation)
    assert torch.equal(images.pixels.read()[0], steps(Image.fromarray(pixels)))
    assert torch.equal(images[:1].pixels.read(), images.pixels.read())


def test_pictures_come_in_order_whoever_decodes_them_first(tmp_path: Path):
    """The first picture is by far the largest, so it is done last."""
    for number in range(12):
        side = 900 if number == 0 else 16
        Image.new("RGB", (side, side), (20 * number, 0, 0)).save(tmp_path / f"{number:02d}.png")
    images = data.load(f"folder:{tmp_path}", size=16)
    assert images.pixels.read()[:, 0, 3, 5].tolist() == [20 * number for number in range(12)]


def test_val_stands_in_for_a_test_folder_that_is_not_there(tmp_path: Path):
    for split, count in (("train", 3), ("val", 2)):
        (tmp_path / split / "a").mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 12)).save(tmp_path / split / "a" / f"{i}.png")
    assert len(data.load(f"folder:{tmp_path}")) == 2 and len(data.load(f"folder:{tmp_path}", "train")) == 3
    (tmp_path / "test" / "a").mkdir(parents=True)
    Image.new("RGB", (12, 12)).save(tmp_path / "test" / "a" / "0.png")
    assert len(data.load(f"folder:{tmp_path}")) == 1


def _pictures(place: Path, *names: str) -> None:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12)).save(place / name)


def test_the_training_folder_numbers_the_classes_of_both_splits(tmp_path: Path):
    _pictures(tmp_path, "train/a/0.png", "train/b/1.png", "train/c/2.png", "val/a/3.png", "val/c/4.png", "val/c/5.png")
    images = data.load(f"folder:{tmp_path}")
    assert images.classes == ["a", "b", "c"] == data.load(f"folder:{tmp_path}", "train").classes
    assert images.labels.tolist() == [0, 2, 2] and images.titles == list("345")
    _pictures(tmp_path, "test/d/6.png", "test/b/7.png")
    with pytest.raises(data.DataError, match=r"^name: .*test holds the classes \['d'\], which .*train lacks, expected some of \['a'"):
        data.load(f"folder:{tmp_path}")


def test_classes_stand_alone_where_the_training_pictures_have_none(tmp_path: Path):
    _pictures(tmp_path, "train/0.png", "test/a/1.png", "test/b/2.png")
    assert data.load(f"folder:{tmp_path}").labels.tolist() == [0, 1] and data.load(f"folder:{tmp_path}", "train").labels.tolist() == [-1]


def test_training_pictures_are_never_taken_for_test_pictures(tmp_path: Path):
    _pictures(tmp_path, "train/a/0.png", "valid/a/1.png")
    with pytest.raises(data.DataError, match=r"^split: .*holds \['train', 'valid'\], expected a folder 'test' or 'val'"):
        data.load(f"folder:{tmp_path}")
    assert len(data.load(f"folder:{tmp_path}", "train")) == 1


def test_photographs_need_no_download(no_data: Path):
    images = data.load("photographs", size=32)
    assert images.shape == (len(pictures.PHOTOGRAPHS), 3, 32, 32) and set(images.labels.tolist()) == {-1}
    cat = images[[images.titles.index("chelsea")]]
    assert cat.titles == ["chelsea"] and cat.images.std() > 0.05
    assert data.load("photographs", n=2).shape == (2, 3, 224, 224)


def test_a_folder_is_read_when_needed_and_cut_to_the_centre(folder: Path):
    images = data.load(f"folder:{folder}", size=20)
    assert images.shape == (9, 3, 20, 20) and images.classes == ["ant", "bee", "cat"]
    assert images.labels.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2] and images.titles == list("012345678")
    assert isinstance(images.pixels, pictures.Photographs)
    assert torch.allclose(images.images[:, 0, 7, 11] * 255, torch.arange(9.0) * 10, atol=1e-4)
    one = images[torch.tensor([7, 1])]
    assert one.titles == ["7", "1"] and one.labels.tolist() == [2, 0] and abs(float(one.images[0, 0, 0, 0]) * 255 - 70) < 1e-3


def test_the_crop_is_central_and_keeps_the_aspect(tmp_path: Path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    images = data.load(f"folder:{tmp_path}", size=20)
    assert images.labels.tolist() == [-1] and images.note == "no labels"
    assert torch.equal(images.images * 255, torch.full((1, 3, 20, 20), 200.0))


def test_a_photograph_is_turned_upright(tmp_path: Path):
    """Cameras store how they were held: orientation 6 means that the stored top is the right side."""
    stored = np.zeros((16, 16, 3), np.uint8)
    stored[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "held.png", exif=exif)
    upright = data.load(f"folder:{tmp_path}").images[0, 0]
    assert bool((upright[:, -3:] > 0.7).all()) and bool((upright[:, :-5] < 0.1).all())


def test_a_folder_named_like_a_picture_is_none(tmp_path: Path):
    (tmp_path / "own" / "x.png").mkdir(parents=True)
    Image.new("RGB", (12, 12), (50, 0, 0)).save(tmp_path / "own" / "x.png" / "a.jpg")
    images = data.load(f"folder:{tmp_path / 'own'}", size=8)
    assert images.classes == ["x.png"] and images.images.shape == (1, 3, 8, 8)


def test_a_folder_with_splits_and_one_size_keeps_them(tmp_path: Path):
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / split / "a").mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 12)).save(tmp_path / split / "a" / f"{i}.png")
    assert data.load(f"folder:{tmp_path}").shape == (2, 3, 12, 12)
    assert data.load(f"folder:{tmp_path}", "train").shape == (3, 3, 12, 12)


@pytest.mark.parametrize("shape", [(6, 8, 9), (6, 8, 9, 3), (6, 3, 8, 9), (6, 8, 9, 1)])
def test_npz_reads_every_usual_layout(tmp_path: Path, shape: tuple[int, ...]):
    x = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    images = data.load(save_npz(tmp_path / "own.npz", x=x, y=np.array([0, 1, 2, 0, 1, 2])))
    channels = 3 if 3 in shape else 1
    assert images.shape == (6, channels, 8, 9) and images.classes == ["0", "1", "2"]
    one = x[2] if shape[1] == 3 else np.atleast_3d(x[2]).transpose(2, 0, 1)
    assert np.array_equal(images.pixels[2].numpy(), one)


# Choosing and converting


def test_n_is_balanced_seeded_and_nested():
    few, same, other, more = (data.load("mnist-5k", n=n, seed=seed) for n, seed in ((25, 3), (25, 3), (25, 4), (60, 3)))
    assert sorted(few.labels.bincount(minlength=10).tolist()) == [2] * 5 + [3] * 5
    assert torch.equal(few.pixels, same.pixels) and not torch.equal(few.pixels, other.pixels)
    assert torch.equal(more.pixels[:25], few.pixels)


def test_n_takes_all_of_a_small_class(folder: Path):
    images = data.load(f"folder:{folder}", n=8, size=8)
    assert sorted(images.labels.bincount().tolist()) == [2, 3, 3] or images.labels.bincount().tolist() == [4, 2, 2]
    assert len(set(images.titles)) == 8


def test_size_resizes_arrays_and_keeps_bytes():
    images = data.load("mnist-5k", n=10, size=14)
    assert images.shape == (10, 1, 14, 14) and images.pixels.dtype == torch.uint8
    whole = data.load("mnist-5k", n=10)
    assert abs(float(images.images.mean() - whole.images.mean())) < 0.01


def test_batches_cover_everything_in_order():
    images = data.load("mnist-5k", n=25)
    parts = list(images.batches(10))
    assert [len(x) for x, _ in parts] == [10, 10, 5]
    x, y = (torch.cat(column) for column in zip(*parts, strict=True))
    assert x.dtype == torch.float32 and torch.equal((x * 255).round().to(torch.uint8), images.pixels) and torch.equal(y, images.labels)
    assert float(x.max()) <= 1.0 and torch.equal(x, images.images)


def test_materialising_more_than_a_gigabyte_is_refused_before_it_happens():
    pixels = torch.zeros(1, dtype=torch.uint8).expand(2000, 3, 250, 250)
    images = data.Images(pixels, torch.zeros(2000, dtype=torch.int64), ["a"], "big")
    with pytest.raises(MemoryError, match=r"1\.5 GB.*batches"):
        _ = images.images
    assert next(iter(images.batches(3)))[0].shape == (3, 3, 250, 250)


# Refusals

BAD_ARGUMENTS = [
    (dict(name=5), TypeError, "name"),
    (dict(name="mnist5k"), ValueError, "name: .*did you mean 'mnist-5k'"),
    (dict(name="folder:"), ValueError, "name"),
    (dict(name="mnist-5k", split="validation"), ValueError, "split"),
    (dict(name="mnist-5k", split=1), TypeError, "split"),
    (dict(name="photographs", split="train"), ValueError, "split"),
    (dict(name="imagenet-samples", split="train"), ValueError, "split"),
    (dict(name="imagenet-20", split="train"), ValueError, "split"),
    (dict(name="mnist-5k", n=0), ValueError, "n: "),
    (dict(name="mnist-5k", n=2.5), TypeError, "n: "),
    (dict(name="mnist-5k", n=True), TypeError, "n: "),
    (dict(name="mnist-5k", n=1001), ValueError, "n: got 1001, expected at most 1000"),
    (dict(name="mnist-5k", size=0), ValueError, "size"),
    (dict(name="mnist-5k", size="32"), TypeError, "size"),
    (dict(name="mnist-5k", seed=-1), ValueError, "seed"),
    (dict(name="mnist-5k", seed=None), TypeError, "seed"),
    (dict(name="cifar10-20", split="train"), ValueError, "split"),
    (dict(name="photographs", size=20, resize=19), ValueError, "resize: got 19"),
    (dict(name="photographs", resize=223), ValueError, "resize: got 223"),
    (dict(name="photographs", resize=0), ValueError, "resize"),
    (dict(name="photographs", resize="256"), TypeError, "resize"),
    (dict(name="mnist-5k", size=20, resize=24), ValueError, "resize: got 24, expected None"),
    (dict(name="photographs", interpolation="nearest"), ValueError, "interpolation: got 'nearest'"),
    (dict(name="photographs", interpolation=3), TypeError, "interpolation"),
    (dict(name="mnist-5k", size=20, interpolation="bilinear"), ValueError, "interpolation: .*left out"),
    (dict(name="mnist", root=7), TypeError, "root"),
    (dict(name="mnist", root="no-such-folder"), ValueError, "root"),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("arguments", "error", "match"), BAD_ARGUMENTS)
def test_bad_arguments(no_data: Path, arguments: dict, error: type, match: str):
    with pytest.raises(error, match=match):
        data.load(**arguments)


@pytest.mark.bad_input
@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (1.0, TypeError)])
def test_bad_batch_size_is_refused_at_once(size: object, error: type):
    with pytest.raises(error, match="size"):
        data.load("mnist-5k", n=2).batches(size)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_missing_data_ends_in_one_error_with_the_three_ways(no_data: Path, name: str):
    with pytest.raises(data.DataError, match=rf"(?s){name}.*not found.*FILTERLENS_DATA.*cache.*downloaded") as caught:
        data.load(name)
    assert isinstance(caught.value, FileNotFoundError) and isinstance(caught.value, ValueError)
    assert not [path for path in no_data.rglob("*") if path.is_file()], "nothing half written"


@pytest.mark.bad_input
def test_imagenet_samples_without_a_root_says_how(no_data: Path):
    with pytest.raises(data.DataError, match="FILTERLENS_DATA"):
        data.load("imagenet-samples")


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", ["truncated", "other"])
def test_damaged_archives_are_refused(small_mnist: Path, damage: str):
    path = small_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] if damage == "truncated" else raw[:-9] + b"\x00" + raw[-8:])
    with pytest.raises(data.DataError, match=r"(?s)t10k-images.*damaged.*Three ways"):
        data.load("mnist", root=small_mnist)
    assert len(data.load("mnist", "train", root=small_mnist)) == 40


@pytest.mark.bad_input
@pytest.mark.parametrize("content", [b"", b"\x00\x00\x0d\x01abcd", b"\x00\x00\x08\x02\x00\x00\x00\x05\x00\x00\x00\x05too short"])
def test_what_is_not_idx_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError):
        archives.read_idx(tmp_path / "x")


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", ["shape", "dtype", "counts", "range", "key", "truncated"])
def test_a_wrong_rebuilt_cifar10_is_refused(no_data: Path, damage: str):
    x, y = np.zeros((10000, 32, 32, 3), np.uint8), np.repeat(np.arange(10), 1000)
    if damage == "shape":
        x = x[:, :, :, :1]
    if damage == "dtype":
        y = y.astype(np.float32)
    if damage == "counts":
        y[0] = 9
    if damage == "range":
        y[y == 9] = 10
    path = no_data / "cifar10.npz"
    np.savez(path, **{"x_test": x, "labels" if damage == "key" else "y_test": y})
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(data.DataError, match=r"(?s)cifar10\.npz.*Three ways"):
        data.load("cifar10", root=no_data)


@pytest.mark.bad_input
def test_a_damaged_original_cifar10_is_refused(no_data: Path):
    (no_data / "cifar-10-batches-py").mkdir()
    (no_data / "cifar-10-batches-py" / "test_batch").write_bytes(b"nothing")
    with pytest.raises(data.DataError, match=r"(?s)cifar-10-batches-py.*damaged.*Three ways"):
        data.load("cifar10", root=no_data)
    shutil.rmtree(no_data / "cifar-10-batches-py")
    (no_data / "cifar-10-python.tar.gz").write_bytes(b"nothing")
    with pytest.raises(data.DataError, match=r"(?s)cifar-10-python.*damaged.*Three ways"):
        data.load("cifar10", root=no_data)


X, Y = np.zeros((4, 6, 5), np.uint8), np.arange(4)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "arrays",
    [
        dict(x=X.astype(np.float32), y=Y), dict(x=X[0], y=Y), dict(x=X[:0], y=Y[:0]), dict(x=np.zeros((4, 6, 5, 2), np.uint8), y=Y),
        dict(x=X, y=Y[:3]), dict(x=X, y=Y - 1), dict(x=X, y=Y.astype(float)), dict(images=X, labels=Y), dict(x_train=X, y_train=Y),
        dict(x=np.array([None, X], dtype=object), y=Y),
    ],
)  # fmt: skip
def test_wrong_npz_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]):
    with pytest.raises(data.DataError, match=r"name: .*own\.npz"):
        data.load(save_npz(tmp_path / "own.npz", **arrays))


@pytest.mark.bad_input
def test_unreadable_files_are_refused_by_name(tmp_path: Path, folder: Path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 broken")
    for name in (f"npz:{tmp_path}/bad.npz", f"npz:{tmp_path}/none.npz", f"folder:{tmp_path}/none"):
        with pytest.raises(data.DataError, match="name: "):
            data.load(name)
    (tmp_path / "hollow" / "class").mkdir(parents=True)
    with pytest.raises(data.DataError, match="name: .*hollow"):
        data.load(f"folder:{tmp_path}/hollow")
    with pytest.raises(data.DataError, match="split"):
        data.load(f"folder:{folder}", "train")
    (folder / "bee" / "4.png").write_bytes((folder / "bee" / "4.png").read_bytes()[:40])
    with pytest.raises(data.DataError, match=r"4\.png: not a readable picture"):
        _ = data.load(f"folder:{folder}", size=8).images


def test_the_project_is_found_beside_the_install_or_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "site" / "filterlens" / "sources.py"))
    monkeypatch.delenv("FILTERLENS_HOME", raising=False)
    with pytest.raises(FileNotFoundError, match=r"(?s)editable install.*FILTERLENS_HOME"):
        data.project_home()
    (tmp_path / "home" / "data").mkdir(parents=True)
    monkeypatch.setenv("FILTERLENS_HOME", str(tmp_path / "home"))
    assert data.project_home() == (tmp_path / "home").resolve()
    (tmp_path / "a" / "lib" / "filterlens").mkdir(parents=True)
    (tmp_path / "a" / "data").mkdir()
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "a" / "lib" / "filterlens" / "sources.py"))
    assert data.project_home() == (tmp_path / "a").resolve()


# With the real thing


@pytest.mark.parametrize(("name", "size", "mean"), [("mnist", 28, 0.1325), ("cifar10", 32, 0.4766)])
def test_real_data(data_root: Path, name: str, size: int, mean: float):
    images = data.load(name, root=data_root)
    assert images.shape[0] == 10000 and images.shape[2:] == (size, size)
    assert abs(float(images.images.mean()) - mean) < 5e-4


def test_real_imagenet_samples_keep_class_order(data_root: Path):
    images = data.load("imagenet-samples", root=data_root)
    assert images.labels.tolist() == list(range(1000)) and images.classes[0].startswith("tench")


def test_the_twenty_are_the_first_test_images_of_the_real_cifar10(data_root: Path):
    twenty, first = data.load("cifar10-20"), data.load("cifar10", root=data_root)[:20]
    assert torch.equal(twenty.pixels, first.pixels) and torch.equal(twenty.labels, first.labels)
