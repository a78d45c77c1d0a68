"""The package is lazy, and a CPU torch beside a CUDA-built torchvision simply works after importing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import filterlens


def run(code: str, *paths: Path) -> subprocess.CompletedProcess:
    """Run a program in a fresh interpreter, with these folders before the installed packages."""
    front = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    return subprocess.run([sys.executable, "-c", front + code], capture_output=True, text=True, check=False)


def succeeds(code: str, *paths: Path) -> list[str]:
    done = run(code, *paths)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def pair_matches() -> bool:
    """Does torchvision import here without our help?"""
    done = run("import torchvision")
    assert done.returncode == 0 or "torchvision::nms" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.fixture
def fake_torchvision(tmp_path: Path) -> Path:
    """A torchvision with a compiled library that no torch can load, and a first line that tells what it sees."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "_C.so").write_bytes(b"not a library")
    (package / "__init__.py").write_text("import torch\nseen = hasattr(torch.ops.torchvision, 'nms')\n")
    return tmp_path


def test_import_loads_neither_torch_nor_torchvision_nor_numpy():
    code = "import filterlens, sys\nprint([m for m in ('torch', 'torchvision', 'numpy', 'matplotlib') if m in sys.modules])"
    assert succeeds(code) == ["[]"]


def test_rooms_are_listed_and_load_on_first_use():
    ask = "print('filterlens.checks' in sys.modules)\n"
    assert succeeds("import filterlens, sys\n" + ask + "filterlens.checks.choice\n" + ask) == ["False", "True"]
    assert {"models", "data", "network", "lenses", "__version__"} <= set(dir(filterlens))
    assert filterlens.__version__.count(".") == 2


@pytest.mark.bad_input
def test_unknown_room_is_an_attribute_error_with_its_name():
    with pytest.raises(AttributeError, match="'kitchen'"):
        _ = filterlens.kitchen


def test_torchvision_imports_whatever_the_pair(pair_matches: bool):
    code = (
        "import filterlens\nfrom filterlens import _torchvision\nimport sys, torchvision, torchvision.models\n"
        "print(len(_torchvision._kept))\n"
        "print([f for f in sys.meta_path if isinstance(f, _torchvision.TorchvisionFinder)])\n"
        "print(tuple(torchvision.models.resnet18(weights=None).conv1.weight.shape))"
    )
    assert succeeds(code) == ["0" if pair_matches else "1", "[]", "(64, 3, 7, 7)"]


def test_without_filterlens_a_mismatched_pair_fails(pair_matches: bool):
    if pair_matches:
        pytest.skip("torch and torchvision match on this machine")
    done = run("import torchvision")
    assert done.returncode != 0 and "torchvision::nms does not exist" in done.stderr


def test_missing_operators_are_declared_before_the_first_line_and_once(fake_torchvision: Path):
    code = (
        "import filterlens, importlib\nfilterlens._torchvision.install()\nimport torchvision\nprint(torchvision.seen)\n"
        "importlib.reload(torchvision)\nfilterlens._torchvision.install()\nprint(len(filterlens._torchvision._kept))\nimport gc, torch\n"
        "gc.collect()\nprint(torch.ops.torchvision.nms.default._schema)"
    )
    assert succeeds(code, fake_torchvision) == [
        "True", "1", "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ]  # fmt: skip


def test_a_matching_pair_is_left_alone(fake_torchvision: Path):
    code = (
        "import filterlens, torch\nloaded = []\n"
        "def load_library(path):\n"  # what a loadable library does: it registers its own operators
        "    lib = torch.library.Library('torchvision', 'DEF')\n"
        "    lib.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "    loaded.append((lib, str(path)))\n"
        "torch.ops.load_library = load_library\nimport torchvision\n"
        "print(torchvision.seen, len(loaded), loaded[0][1].endswith('_C.so'), len(filterlens._torchvision._kept))"
    )
    assert succeeds(code, fake_torchvision) == ["True 1 True 0"]


def test_a_torchvision_without_any_compiled_library_is_mended(fake_torchvision: Path):
    (fake_torchvision / "torchvision" / "_C.so").unlink()
    assert succeeds("import filterlens, torchvision\nprint(torchvision.seen)", fake_torchvision) == ["True"]


def test_asking_whether_torchvision_exists_imports_nothing(fake_torchvision: Path):
    code = (
        "import filterlens, importlib.util, sys\n"
        "print(importlib.util.find_spec('torchvision') is not None, 'torch' in sys.modules)\n"
        "import torchvision\nprint(torchvision.seen)"
    )
    assert succeeds(code, fake_torchvision) == ["True False", "True"]


def test_nothing_is_installed_after_torchvision(fake_torchvision: Path):
    finder = "any(type(f).__name__ == 'TorchvisionFinder' for f in sys.meta_path)"
    code = f"import torchvision, filterlens, sys\nprint(torchvision.seen, {finder})"
    assert succeeds(code, fake_torchvision) == ["False False"]


@pytest.mark.parametrize("missing", ["torchvision", "torch"])
def test_a_missing_package_is_reported_as_missing(missing: str, fake_torchvision: Path):
    block = (
        "import sys\nclass Absent:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {missing!r}: raise ModuleNotFoundError('No module named ' + repr(name), name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    done = run(block + "import filterlens\nimport torchvision", fake_torchvision)
    assert done.returncode != 0 and done.stderr.strip().endswith(f"ModuleNotFoundError: No module named '{missing}'")
