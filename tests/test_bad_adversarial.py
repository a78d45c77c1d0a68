"""Bad input to the adversarial lens: an error that names the argument, before any work, the model unchanged."""

from __future__ import annotations

import adversarial_toys as toys
import pytest
import torch
from torch import nn

from filterlens.lenses import adversarial

NAN, INF = float("nan"), float("inf")
T, V = TypeError, ValueError


class Says(nn.Module):
    """A model whose answer is given."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


MODEL, IMAGES, LABELS = toys.network(), toys.pictures(3), torch.tensor([2, 0, 3])
FEATURES = torch.rand(6, 5)
ATTACK = {
    "model": MODEL, "images": IMAGES, "labels": LABELS, "normalization": toys.NORMALIZATION, "n_classes": 4, "targeted": False,
    "seed": 0, "batch": 2, "progress": False,
}  # fmt: skip
SETTINGS = {
    "fgsm": {"eps": 0.031},
    "pgd": {"eps": 0.031, "steps": 1, "step": 0.01, "random_start": False},
    "cw": {"iterations": 1, "search_steps": 1, "kappa": 0.0, "lr": 0.01, "initial_c": 1.0},
    "one_pixel": {"population": 8, "generations": 1, "pixels": 1},
    "local_search": {"p": 10.0, "r": 1.5, "d": 1, "t": 1, "R": 1, "k": 1, "exclude": 1, "adapt": True, "candidates": 4},
}
GOOD = {f"attack {method}": (adversarial.attack, {**ATTACK, "method": method, **settings}) for method, settings in SETTINGS.items()} | {
    "detect": (
        adversarial.detect,
        {"clean": FEATURES, "adversarial": FEATURES + 1, "clean_test": FEATURES, "adversarial_test": FEATURES, "detector": "logistic",
        "seed": 0},
    ),
    "wilson": (adversarial.wilson, {"successes": 3, "n": 7, "level": 0.95}),
}  # fmt: skip

not_a_model = [
    ("nothing", None, T), ("a name", "resnet20", T), ("a tensor", IMAGES, T), ("a class", nn.Conv2d, T),
    ("maps", Says(lambda x: x), V), ("one logit", Says(lambda x: x.flatten(1)[:, :1]), V), ("a list", Says(lambda x: [x]), V),
    ("no images", Says(lambda x: x.flatten()), V), ("NaN", Says(lambda x: x.flatten(1) * NAN), V),
    ("other channels", nn.Conv2d(5, 3, 2), V),
]  # fmt: skip
bad_images = [
    ("rank 3", IMAGES[0], V), ("rank 5", IMAGES[None], V), ("integers", (IMAGES * 255).to(torch.uint8), T), ("half", IMAGES.half(), T),
    ("bool", IMAGES > 0.5, T), ("below 0", IMAGES - 0.5, V), ("0 to 255", IMAGES * 255, V), ("NaN", IMAGES * NAN, V),
    ("infinite", IMAGES / 0, V),
    ("no images", IMAGES[:0], V), ("no pixels", IMAGES[..., :0], V), ("an array", IMAGES.numpy(), T), ("nothing", None, T),
]  # fmt: skip
bad_labels = [
    ("too few", LABELS[:2], V), ("rank 2", LABELS[:, None], V), ("floats", LABELS.float(), T), ("bool", LABELS > 1, T),
    ("beyond", LABELS + 2, V),
    ("negative", LABELS - 1, V), ("empty", LABELS[:0], V), ("a list", [2, 0, 3], T), ("nothing", None, T),
]  # fmt: skip
bad_flag = [("a number", 1, T), ("text", "yes", T)]
bad_count = [
    ("zero", 0, V),
    ("negative", -3, V),
    ("a fraction", 2.5, T),
    ("NaN", NAN, T),
    ("text", "2", T),
    ("a boolean", True, T),
    ("nothing", None, T),
]
bad_seed = [("negative", -1, V), ("a fraction", 0.5, T), ("text", "0", T), ("nothing", None, T)]
bad_size = [("zero", 0.0, V), ("negative", -0.1, V), ("NaN", NAN, V), ("infinite", INF, V), ("text", "1", T), ("a boolean", True, T)]
bad_choice = [("unknown", "fgms", V), ("empty", "", V), ("a number", 2, T), ("nothing", None, T)]
bad_features = [
    ("rank 1", FEATURES[0], V), ("rank 4", FEATURES[..., None, None], V), ("integers", FEATURES.long(), T), ("NaN", FEATURES * NAN, V),
    ("infinite", FEATURES / 0, V), ("empty", FEATURES[:0], V), ("a list", FEATURES.tolist(), T), ("nothing", None, T),
]  # fmt: skip
other_width = [("other width", FEATURES[:, 1:], V)]
no_none = [case for case in bad_count if case[0] != "nothing"]

BAD = {
    "attack fgsm": {
        "model": not_a_model, "images": bad_images, "labels": bad_labels, "method": bad_choice,
        "normalization": [("text", "imagenet", T), ("a number", 0.5, T), ("a pair", (0.5, 0.2), T)],
        "n_classes": [("three", 3, V), ("five", 5, V), ("one", 1, V), ("a fraction", 4.0, T), ("text", "4", T), ("a boolean", True, T)],
        "targeted": bad_flag, "seed": bad_seed, "batch": bad_count, "progress": [*bad_flag, ("nothing", None, T)],
        "eps": [*bad_size, ("255ths", 8.0, V), ("nothing", None, T)],
    },
    "attack pgd": {"eps": [*bad_size, ("255ths", 8.0, V)], "steps": bad_count, "step": bad_size, "random_start": [*bad_flag,
    ("nothing", None, T)]},
    "attack cw": {
        "iterations": bad_count, "search_steps": bad_count, "lr": bad_size, "initial_c": bad_size,
        "kappa": [("negative", -1.0, V), ("NaN", NAN, V), ("text", "0", T), ("nothing", None, T)],
    },
    "attack one_pixel": {
        "targeted": [("True", True, V)], "population": [*bad_count, ("four", 4, V)], "generations": bad_count, "pixels": bad_count,
    },
    "attack local_search": {
        "targeted": [("True", True, V)], "p": bad_size, "r": [("negative", -0.1, V), ("above 2", 2.1, V), ("NaN", NAN, V),
        ("text", "1", T)],
        "d": bad_count, "t": bad_count, "R": bad_count, "k": [*bad_count, ("all classes", 4, V)],
        "exclude": [("negative", -1, V), ("a fraction", 2.5, T), ("nothing", None, T)], "adapt": [*bad_flag, ("nothing", None, T)],
        "candidates": no_none,
    },
    "detect": {
        "clean": bad_features, "adversarial": bad_features + other_width, "clean_test": bad_features + other_width,
        "adversarial_test": bad_features + other_width, "detector": bad_choice, "seed": [*bad_seed, ("too large", 2**32, V)],
    },
    "wilson": {
        "successes": [("more than n", 8, V), ("negative", -1, V), ("a fraction", 2.5, T), ("a boolean", True, T), ("nothing", None, T)],
        "n": bad_count, "level": [("zero", 0.0, V), ("one", 1.0, V), ("per cent", 95.0, V), ("NaN", NAN, V), ("text", "95 %", T),
        ("nothing", None, T)],
    },
}  # fmt: skip
CASES = [
    pytest.param(function, argument, value, error, id=f"{function}-{argument}-{what}")
    for function, arguments in BAD.items()
    for argument, cases in arguments.items()
    for what, value, error in cases
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("function", "argument", "value", "error"), CASES)
def test_the_error_names_the_argument(function, argument, value, error):
    call, good = GOOD[function]
    before = {name: tensor.clone() for name, tensor in MODEL.state_dict().items()}
    with pytest.raises(error, match=rf"^{argument}(\[\d+\])?:"):
        call(**{**good, argument: value})
    assert all(torch.equal(tensor, before[name]) for name, tensor in MODEL.state_dict().items()) and not MODEL.training


FOREIGN = [(method, name) for method in SETTINGS for name in ("epsilon", "n_iter", "R", "steps") if name not in SETTINGS[method]]


@pytest.mark.bad_input
@pytest.mark.parametrize(("method", "name"), FOREIGN)
def test_unknown_settings_are_named(method, name):
    with pytest.raises(TypeError, match=rf"^{name}: unknown settings of '{method}', expected some of"):
        adversarial.attack(**{**ATTACK, "method": method, **SETTINGS[method], name: 1})


@pytest.mark.bad_input
@pytest.mark.parametrize("function", list(GOOD))
def test_a_normal_call_and_an_unknown_argument(function):
    call, good = GOOD[function]
    call(**good)
    with pytest.raises(TypeError, match="colour"):
        call(**good, colour=1)


@pytest.mark.bad_input
def test_images_of_another_channel_count_than_the_normalization():
    with pytest.raises(ValueError, match="^(images|model):"):
        adversarial.attack(**{**ATTACK, "method": "fgsm", "images": torch.rand(3, 3, 6, 5)})
