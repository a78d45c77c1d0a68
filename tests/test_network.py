"""Looking inside a network: true values, right gradients, and nothing left behind on any of the networks we name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from toy_networks import Custom, stirred

from filterlens import data, models, network
from filterlens.models.scaling import Normalization

torch.set_num_threads(1)

# name -> (channels, pixels, convolutions, one late layer, d of the classifier or None)
ZOO = {
    "lenet": (1, 28, 4, "conv3", None),
    "resnet20": (3, 32, 19, "layer3.2.conv2", 64),
    "vgg16-cifar": (3, 32, 13, "features.40", 512),
    "efficientnet-lite0": (3, 64, 49, "conv_head", 1280),
    "torchvision/vgg16": (3, 64, 13, "features.28", None),
    "torchvision/resnet50": (3, 64, 53, "layer4.2.conv3", 2048),
    "torchvision/densenet121": (3, 64, 120, "features.denseblock4.denselayer16.conv2", 1024),
    "timm/regnetx_002": (3, 64, 44, "s4.b7.conv3.conv", 368),
    "timm/mobilenetv3_small_050": (3, 64, 53, "conv_head", 1024),
}
_built: dict[str, nn.Module] = {}


def build(name: str) -> tuple[nn.Module, Tensor]:
    if name.startswith("timm/") or name == "efficientnet-lite0":
        pytest.importorskip("timm")
    channels, pixels = ZOO[name][:2]
    if name not in _built:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            _built[name] = models.load(name, pretrained=False)
    return _built[name], torch.randn(2, channels, pixels, pixels, generator=torch.Generator().manual_seed(0))


def hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def condition(model: nn.Module) -> tuple:
    return (
        hooks(model),
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [value.double().sum().item() for value in model.state_dict().values()],
    )


@pytest.fixture
def toy() -> nn.Module:
    """conv (3) -> in-place ReLU -> conv (5) -> in-place ReLU6 -> conv (4), a mean and a linear layer."""
    layers = [nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 5, (3, 2)), nn.ReLU6(inplace=True), nn.Conv2d(5, 4, 2)]
    return stirred(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 2, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


# on every network


@pytest.mark.parametrize("name", ZOO)
def test_on_real_networks(name: str) -> None:
    """Names, filters, captured maps, early ends and pooled features, and the model as it was before."""
    model, x = build(name)
    _, _, n_convolutions, late, d = ZOO[name]
    parameter = next(model.parameters())
    parameter.requires_grad_(False)
    next(model.children()).train()  # a mixed condition, so that a blanket eval() or train() would show
    before = condition(model)

    layers = network.conv_layers(model)
    ordered = network.conv_layers(model, example=x)
    assert len(layers) == n_convolutions and set(ordered) == set(layers) and all(ordered[key] is layers[key] for key in layers)
    weight = network.filters(model, late)
    assert weight.shape == (layers[late].out_channels, layers[late].in_channels // layers[late].groups, *layers[late].kernel_size)
    assert condition(model) == before

    model.eval()
    names = [next(iter(layers)), late]
    with torch.no_grad():
        plain = model(x)
        inputs: dict[str, Tensor] = {}
        handles = [
            layers[key].register_forward_pre_hook(lambda module, args, key=key: inputs.__setitem__(key, args[0].clone())) for key in names
        ]
        model(x)
        for handle in handles:
            handle.remove()
        for detach in (True, False):
            with network.capture(model, names, detach=detach) as found:
                assert torch.equal(model(x), plain)
            assert list(found) == names
            for key in names:  # the convolution of what really went in, before any activation touched it
                assert torch.equal(found[key], layers[key](inputs[key]))
        early = network.stop_at(model, late)
        assert torch.equal(early(x), found[late])
        assert sum(p.numel() for p in early.parameters()) == sum(p.numel() for p in model.parameters())

    if d is None:
        with pytest.raises(ValueError, match="^model: "):
            network.classifier(model)
    else:
        head = network.classifier(model)
        assert head is network.classifier(model, example=x) and head.in_features == d
        labels = torch.tensor([3, 1])
        features, out = network.pooled(model, [(x[:1], labels[:1]), (x[1:], labels[1:])])
        assert features.shape == (2, d) and torch.equal(out, labels) and not features.requires_grad
        torch.testing.assert_close(head(features), plain, atol=1e-4, rtol=1e-4)
    model.requires_grad_(True)
    assert hooks(model) == 0


def test_heads_that_are_refused_say_what_was_found() -> None:
    with pytest.raises(ValueError, match=r"VGG has 3 linear layers \['classifier.0: 25088 -> 4096', 'classifier.3: 4096 -> 4096'"):
        network.classifier(build("torchvision/vgg16")[0])
    with pytest.raises(ValueError, match="LeNet has no linear layer after 'conv4'"):
        network.classifier(build("lenet")[0])
    flat = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 5 * 4, 6))
    for example in (None, torch.rand(2, 2, 7, 6)):
        with pytest.raises(ValueError, match="2: 60 -> 6, which is not one number per channel"):
            network.classifier(flat, example=example)
    with pytest.raises(ValueError, match="no 2-D convolution"):
        network.classifier(nn.Sequential(nn.Linear(3, 4)))


def test_an_auxiliary_head_is_told_apart_by_an_example() -> None:
    """GoogLeNet registers auxiliary classifiers that do not run in eval mode."""

    def forward(m, x):
        x = m.stem(x)
        return m.fc(torch.cat([x, m.more(x)], 1).mean((2, 3)))

    model = Custom(forward, stem=nn.Conv2d(2, 3, 3), more=nn.Conv2d(3, 4, 1), aux=nn.Linear(3, 6), fc=nn.Linear(7, 6))
    model.eval()
    with pytest.raises(ValueError, match="2 linear layers .*pass example="):
        network.classifier(model)
    with pytest.raises(ValueError, match="not one number per channel"):  # 7 channels exist only in a function
        network.classifier(model, example=torch.rand(1, 2, 5, 6))
    model.join = nn.Identity()
    model.written = lambda m, x: m.fc(m.join(torch.cat([m.stem(x), m.more(m.stem(x))], 1)).mean((2, 3)))
    assert network.classifier(model, example=torch.rand(1, 2, 5, 6)) is model.fc


class Excited(nn.Module):
    """A convolution and squeeze-and-excitation with linear layers, as in the last block of many networks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.squeeze, self.excite = nn.Conv2d(channels, 5, 2), nn.Linear(5, 3), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]


def test_squeeze_and_excitation_in_the_last_block_is_no_head(images: Tensor) -> None:
    model = stirred(nn.Sequential(nn.Conv2d(2, 3, 3), Excited(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)))
    assert network.classifier(model, example=images) is model[4]
    assert torch.equal(network.pooled(model, [(images, torch.tensor([0, 1]))])[0], model[:4](images).detach())
    with pytest.raises(ValueError, match="3 linear layers .*pass example="):
        network.classifier(model)

    def forward(m, x):  # the product is no module's output; the pooling's input tells
        x = m.conv(x)
        return m.fc(m.flat(m.pool(x * m.excite(x.mean((2, 3)))[:, :, None, None])))

    parts = dict(conv=nn.Conv2d(2, 3, 3), excite=nn.Linear(3, 3), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(3, 4))
    model = stirred(Custom(forward, **parts))
    assert network.classifier(model, example=images) is model.fc


def test_a_head_inside_of_a_container_that_receives_the_map(images: Tensor) -> None:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    model = stirred(nn.Sequential(nn.Conv2d(2, 3, 3), head))
    assert network.classifier(model, example=images) is head[2]


def test_a_map_of_one_pixel_needs_no_pooling(images: Tensor) -> None:
    layers = [nn.Conv2d(2, 3, (9, 10)), nn.MaxPool2d((1, 2)), nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)]
    model = stirred(nn.Sequential(*layers))
    assert network.classifier(model, example=images) is model[5]


def test_a_vision_transformer_is_refused_in_a_few_words() -> None:
    model = models.load("torchvision/vit_b_16", pretrained=False)
    with pytest.raises(ValueError, match=r"^model: VisionTransformer has \d+ linear layers \[.*, \.\.\.\]; expected") as without:
        network.classifier(model)
    with pytest.raises(ValueError, match=r"^model: VisionTransformer has \d+ linear layers .* on tokens") as within:
        network.classifier(model, example=torch.rand(1, 3, 224, 224))
    assert len(str(without.value)) < 400 and len(str(within.value)) < 400


def test_pooled_takes_the_models_precision(toy: nn.Module) -> None:
    images = torch.randn(3, 2, 9, 11)
    features, _ = network.pooled(toy.double(), [(images, torch.tensor([0, 1, 2]))])
    assert torch.equal(features, toy[:7](images.double()).detach())


@pytest.mark.bad_input
def test_an_example_that_the_networks_own_code_refuses_is_named(images: Tensor) -> None:
    """Whatever the exception: a two-input forward, an assert, a missing key."""

    def asserting(m, x):
        assert x.shape[1] == 7, "seven channels"
        return m.a(x)

    for forward, said in [
        (asserting, "seven channels"),
        (lambda m, x: m.a(x, x), "TypeError"),
        (lambda m, x: {}["left"], "KeyError: 'left'"),
    ]:
        model = stirred(Custom(forward, a=nn.Conv2d(2, 3, 3)))
        for call in (network.conv_layers, network.classifier):
            with pytest.raises(ValueError, match=f"^example: .*{said}"):
                call(model, example=images)
        with pytest.raises(ValueError, match=f"^batches: images of number 0: .*{said}"):
            network.pooled(model, [(images, torch.tensor([0, 1]))])
        assert hooks(model) == 0 and not model.training


# true values and right gradients


def test_true_values_before_an_in_place_activation(toy: nn.Module, images: Tensor) -> None:
    with network.capture(toy, ["0", "2"]) as found:
        toy(images)
    first = toy[0](images)
    assert float(found["0"].min().detach()) < 0 and torch.equal(found["0"], first.detach())
    assert torch.equal(found["2"], toy[2](F.relu(first)).detach())
    assert float(found["2"].max()) > 6 and not found["2"].requires_grad


@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4"])
def test_gradients_with_respect_to_captured_outputs(toy: nn.Module, images: Tensor, layer: str) -> None:
    images.requires_grad_()
    with network.capture(toy, layer, detach=False) as found:
        logits = toy(images)
    weight = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    by_capture = torch.autograd.grad((logits * weight).sum(), [found[layer], images])
    split = int(layer) + 1
    pure = nn.Sequential(*[nn.ReLU() if isinstance(m, nn.ReLU) else nn.ReLU6() if isinstance(m, nn.ReLU6) else m for m in toy])
    middle = pure[:split](images)
    by_hand = torch.autograd.grad((pure[split:](middle) * weight).sum(), [middle, images])
    torch.testing.assert_close(by_capture, by_hand, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[layer], middle)


@pytest.mark.parametrize("detach", [True, False])
def test_a_layer_that_returns_its_input_is_safe_too(images: Tensor, detach: bool) -> None:
    """A residual sum in place, on what an Identity passed through."""

    def forward(m, x):
        x = m.stem(x)
        y = m.same(x)
        x += 100
        return m.last(y)

    model = stirred(Custom(forward, stem=nn.Conv2d(2, 3, 3), same=nn.Identity(), last=nn.Conv2d(3, 4, 2)))
    with torch.no_grad(), network.capture(model, ["same"], detach=detach) as found:
        model(images)
    assert torch.equal(found["same"], model.stem(images).detach())


def test_capture_holds_the_last_forward_pass(toy: nn.Module, images: Tensor) -> None:
    """And nothing of the one before, even if a layer is not reached any more."""

    def forward(m, x):
        x = m.stem(x)
        return m.side(x) if len(x) > 1 else x

    model = stirred(Custom(forward, stem=nn.Conv2d(2, 3, 3), side=nn.Conv2d(3, 4, 1)))
    with network.capture(model, ["side", "stem"]) as found:
        model(images)
        assert sorted(found) == ["side", "stem"] and len(found["stem"]) == 2
        model(images[:1])
        assert list(found) == ["stem"] and len(found["stem"]) == 1
    model(images)
    assert len(found["stem"]) == 1  # closed, yet readable


def test_stop_at_computes_nothing_after_the_layer_and_lets_gradients_flow(toy: nn.Module, images: Tensor) -> None:
    ran = []
    handles = [module.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, module in toy.named_children()]
    images.requires_grad_()
    early = network.stop_at(toy, "2")
    for _ in range(2):
        maps = early(images)
        assert ran == ["0", "1", "2"]
        ran.clear()
    assert torch.equal(maps, toy[2](F.relu(toy[0](images)))) and float(maps.detach().max()) > 6
    gradient = torch.autograd.grad(maps.square().sum(), images)[0]
    expected = torch.autograd.grad(toy[2](F.relu(toy[0](images))).square().sum(), images)[0]
    torch.testing.assert_close(gradient, expected)
    assert hooks(toy) == len(handles)
    early.model[0].weight.data.mul_(2)
    assert torch.equal(early(images), network.stop_at(toy, "2")(images))  # the same weights, not a copy


def test_stop_at_can_be_nested_and_captured(toy: nn.Module, images: Tensor) -> None:
    inner = network.stop_at(network.stop_at(toy, "4"), "model.2")
    assert torch.equal(inner(images), network.stop_at(toy, "2")(images))
    swapped = network.stop_at(network.stop_at(toy, "2"), "model.4")  # never reached: the inner one ends first
    with pytest.raises(RuntimeError, match="layer: .*'model.4'"):
        swapped(images)
    with network.capture(toy, ["0", "4"]) as found:
        network.stop_at(toy, "2")(images)
    assert list(found) == ["0"]
    assert hooks(toy) == 0


def test_stop_at_gets_past_a_network_that_catches_exceptions(images: Tensor) -> None:
    def forward(m, x):
        try:
            return m.b(m.a(x))
        except Exception:
            return None

    model = stirred(Custom(forward, a=nn.Conv2d(2, 3, 3), b=nn.Conv2d(3, 4, 2)))
    assert torch.equal(network.stop_at(model, "a")(images), model.a(images))


def test_stop_at_takes_the_mode_it_finds(toy: nn.Module) -> None:
    toy[3].train()
    early = network.stop_at(toy, "2")
    assert early.training is toy.training is False and toy[3].training
    early.train()
    assert toy.training and toy[0].training


# order and shared layers


class Backwards(nn.Module):
    """Registered in the order third, first, shared, idle; runs first, shared, third, shared."""

    def __init__(self) -> None:
        super().__init__()
        self.third, self.first, self.shared = nn.Conv2d(3, 3, 1), nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, (1, 2))
        self.idle, self.alias = nn.Conv2d(3, 7, 1), self.shared

    def forward(self, x: Tensor) -> Tensor:
        return self.alias(self.third(self.shared(self.first(x))))


def test_order_of_execution_and_shared_layers(images: Tensor) -> None:
    model = stirred(Backwards())
    assert list(network.conv_layers(model)) == ["third", "first", "shared", "idle"]
    assert list(network.conv_layers(model, example=images)) == ["first", "shared", "third", "idle"]
    assert torch.equal(network.filters(model, "alias"), network.filters(model, "shared"))
    with network.capture(model, ["shared", "alias"]) as found:
        out = model(images)
    assert torch.equal(found["shared"], out) and torch.equal(found["alias"], out)  # the last call
    assert torch.equal(network.stop_at(model, "alias")(images), model.shared(model.first(images)))  # the first


def test_filters_is_a_copy(toy: nn.Module) -> None:
    weight = network.filters(toy, "2")
    assert weight.shape == (5, 3, 3, 2) and not weight.requires_grad
    before = toy[2].weight.detach().clone()
    weight.zero_()
    assert torch.equal(toy[2].weight, before)


def test_pooled_takes_batches_one_by_one_and_normalizes(toy: nn.Module) -> None:
    pixels = torch.randint(0, 256, (7, 2, 9, 11), dtype=torch.uint8)
    images = data.Images(pixels, torch.arange(7), [str(i) for i in range(7)], "toy")
    model, normalization = toy.float(), Normalization(mean=(0.5, 0.2), std=0.25)
    model[4].train()
    model[7].weight.requires_grad_(False)
    before = condition(model)
    ran = []
    handle = model[7].register_forward_hook(lambda *_: ran.append(1))
    features, labels = network.pooled(model, images.batches(3), normalization=normalization)
    assert len(ran) == 1  # once to find the classifier; the batches end before it
    handle.remove()
    expected = model[:7](normalization.apply(images.images))
    torch.testing.assert_close(features, expected.detach(), atol=1e-5, rtol=1e-5)
    assert torch.equal(labels, torch.arange(7)) and condition(model) == before


# nothing left behind, also after an exception


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("in the middle")


def test_nothing_is_left_after_an_exception(images: Tensor) -> None:
    model = stirred(nn.Sequential(nn.Conv2d(2, 3, 3), Fails(), nn.Conv2d(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)))
    model[2].train()
    before = condition(model)
    with pytest.raises(RuntimeError, match="in the middle"), network.capture(model, ["0", "2"]):
        model(images)
    with pytest.raises(RuntimeError, match="in the middle"):
        network.stop_at(model, "2")(images)
    with pytest.raises(ValueError, match="example: .*in the middle"):
        network.conv_layers(model, example=images)
    with pytest.raises(ValueError, match="^batches: .*in the middle"):
        network.pooled(model, [(images, torch.tensor([0, 1]))])
    with pytest.raises(KeyError), network.evaluating(model):
        raise KeyError
    assert condition(model) == before


def test_pooled_leaves_nothing_when_a_later_batch_fails(toy: nn.Module, images: Tensor) -> None:
    before, labels = condition(toy), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="^batches: images of number 1: .* does not go through the model"):
        network.pooled(toy, [(images, labels), (images[:, :1], labels)])
    with pytest.raises(ZeroDivisionError):
        network.pooled(toy, ((images, labels) if i else 1 / 0 for i in (1, 0)))
    assert condition(toy) == before


def test_a_layer_without_one_tensor_as_output_is_named(images: Tensor) -> None:
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    model = stirred(Custom(lambda m, x: m.two(m.a(x))[0], a=nn.Conv2d(2, 3, 3), two=Two()))
    with pytest.raises(TypeError, match="layers: 'two' gave tuple"), network.capture(model, ["two"]):
        model(images)
    assert hooks(model) == 0


# bad input

NET = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
X, Y = torch.rand(2, 2, 5, 6), torch.tensor([0, 1])
BAD = [
    *[
        ("example", lambda example=example, call=call: call(NET, example=example), error)
        for call in (network.conv_layers, network.classifier)
        for example, error in [
            ("x", TypeError), (X[0], ValueError), (X.long(), TypeError), (X[:0], ValueError), (X / 0, ValueError), (X[:, :1], ValueError),
        ]  # fmt: skip
    ],
    *[
        ("model", lambda call=call, model=model: call(model), error)
        for model, error in [("lenet", TypeError), (None, TypeError)]
        for call in (
            network.conv_layers,
            network.classifier,
            lambda m: network.filters(m, "0"),
            lambda m: network.capture(m, ["0"]),
            lambda m: network.stop_at(m, "0"),
            lambda m: network.pooled(m, [(X, Y)]),
            lambda m: network.evaluating(m).__enter__(),
        )
    ],
    *[
        ("layer", lambda call=call, layer=layer: call(NET, layer), error)
        for call in (network.filters, network.stop_at)
        for layer, error in [("conv9", ValueError), ("", ValueError), (0, TypeError), (None, TypeError)]
    ],
    ("layer", lambda: network.filters(NET, "1"), ValueError),
    ("layers", lambda: network.capture(NET, ["0", "conv9"]), ValueError),
    ("layers", lambda: network.capture(NET, []), ValueError),
    ("layers", lambda: network.capture(NET, 3), TypeError),
    ("layers", lambda: network.capture(NET, [3]), TypeError),
    ("detach", lambda: network.capture(NET, "0", detach="no"), TypeError),
    ("batches", lambda: network.pooled(NET, []), ValueError),
    ("batches", lambda: network.pooled(NET, 3), TypeError),
    ("batches", lambda: network.pooled(NET, X), TypeError),
    ("batches", lambda: network.pooled(NET, [X]), TypeError),
    ("batches", lambda: network.pooled(NET, [(X[0], Y)]), ValueError),
    ("batches", lambda: network.pooled(NET, [(X.byte(), Y)]), TypeError),
    ("batches", lambda: network.pooled(NET, [(X * float("nan"), Y)]), ValueError),
    ("batches", lambda: network.pooled(NET, [(X[:0], Y[:0])]), ValueError),
    ("batches", lambda: network.pooled(NET, [(X, Y[:1])]), ValueError),
    ("batches", lambda: network.pooled(NET, [(X, Y.float())]), TypeError),
    ("normalization", lambda: network.pooled(NET, [(X, Y)], normalization=0.5), TypeError),
]


@pytest.mark.bad_input
@pytest.mark.parametrize("name, call, error", BAD)
def test_bad_input(name: str, call, error: type[Exception]) -> None:
    before = condition(NET)
    with pytest.raises(error, match=f"^{name}"):
        call()
    assert condition(NET) == before


@pytest.mark.bad_input
def test_an_unknown_layer_gets_near_names_and_their_number() -> None:
    model = build("resnet20")[0]
    n = len(list(model.named_modules())) - 1
    near = rf"layer: got 'layer2.0.conv7', expected .* one of the model's {n} layers, such as .*'layer2.0.conv1'"
    with pytest.raises(ValueError, match=near):
        network.stop_at(model, "layer2.0.conv7")
    with pytest.raises(ValueError, match="layer: 'layer2.0.bn1' is a BatchNorm2d, expected a 2-D convolution; the model has 19"):
        network.filters(model, "layer2.0.bn1")
