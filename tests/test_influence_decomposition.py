"""The decomposed final layer against its definition, written out in loops; retraining leaves the sets and the caller's model alone."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from filterlens import models, network, training
from filterlens.lenses.influence.decomposition import DecomposedLinear, decompose, decompose_model, retrain

torch.set_num_threads(1)
N, D, C, S = 11, 7, 5, 3


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(d: int = D, n_classes: int = C, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    linear = nn.Linear(d, n_classes, bias=bias).double()
    with torch.no_grad():
        for i, parameter in enumerate(linear.parameters()):
            parameter.copy_(drawn(seed + 50 + i, *parameter.shape))
    return linear


def sets(d: int = D, n_classes: int = C, s: int = S, seed: int = 0) -> Tensor:
    return torch.rand(n_classes, d, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :s]


def slow(linear: nn.Linear, features: Tensor, indices: Tensor) -> Tensor:
    """z_y = sum over i in I_y of W[y, i] f_i + b_y, term by term."""
    out = torch.zeros(len(features), len(indices), dtype=features.dtype)
    for image, f in enumerate(features):
        for y, chosen in enumerate(indices.tolist()):
            out[image, y] = sum(linear.weight[y, i] * f[i] for i in chosen) + (0 if linear.bias is None else linear.bias[y])
    return out.detach()


def cnn(*, dropout: bool = False) -> nn.Sequential:
    """Filters 3 -> 6 (stride 2) -> D -> C classes; batch normalisation, so that train and eval differ."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, D, 2), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5 * dropout), nn.Linear(D, C)).eval()


def pair(n: int = 23, seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 3, 9, 8, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % C


def state(model: nn.Module) -> list[tuple]:
    kept = [(name, value.clone()) for name, value in model.state_dict().items()]
    flags = [(name, value.requires_grad, value.grad is None) for name, value in model.named_parameters()]
    return [*kept, *flags, *((name, module.training) for name, module in model.named_modules())]


def same(a: list[tuple], b: list[tuple]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x[1], y[1]) if isinstance(x[1], Tensor) else x == y for x, y in zip(a, b, strict=True)
    )  # fmt: skip


# the layer


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.integers(1, 5), st.booleans(), st.data())
def test_gather_is_the_definition_and_the_masked_layer(seed: int, n: int, d: int, c: int, bias: bool, data) -> None:
    s = data.draw(st.integers(1, d))
    linear, features, indices = layer(d, c, bias=bias, seed=seed), drawn(seed, n, d), sets(d, c, s, seed)
    found = decompose(linear, indices)
    torch.testing.assert_close(found(features), slow(linear, features, indices))
    mask = torch.zeros(c, d, dtype=torch.float64).scatter(1, indices, 1.0)
    torch.testing.assert_close(found(features), nn.functional.linear(features, linear.weight * mask, linear.bias))
    torch.testing.assert_close(found.dense()(features), found(features))
    assert torch.equal(found.dense().weight, linear.weight * mask)


def test_all_features_give_the_full_layer_whatever_their_order() -> None:
    linear, features = layer(), drawn(1, N, D)
    found = decompose(linear, sets(s=D))
    torch.testing.assert_close(found(features), linear(features), atol=1e-5, rtol=0)
    assert torch.equal(found(features).argmax(1), linear(features).argmax(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    linear, features = layer().to(dtype), drawn(2, N, D).to(dtype)
    found = decompose(linear, sets())(features)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), slow(linear.double(), features.double(), sets()), atol=0.15, rtol=0.05)


def test_counts_of_numbers_and_operations() -> None:
    found = decompose(layer(), sets())
    assert sum(p.numel() for p in found.parameters()) == C * S + C and found.multiply_adds == C * S
    assert {name: tuple(p.shape) for name, p in found.named_parameters()} == {"weight": (C, S), "bias": (C,)}
    bare = decompose(layer(bias=False), sets())
    assert bare.bias is None and bare.dense().bias is None and sum(p.numel() for p in bare.parameters()) == C * S
    assert decompose(nn.Linear(64, 10), sets(64, 10, 5)).multiply_adds == 50
    assert decompose(nn.Linear(2048, 1000), sets(2048, 1000, 50)).multiply_adds == 50_000


def test_gradients_exist_for_what_is_used_and_reach_a_feature_from_the_classes_that_read_it() -> None:
    found, features, sent = decompose(layer(), sets()), drawn(3, N, D).requires_grad_(), drawn(4, N, C)
    found(features).backward(sent)
    expected = torch.zeros(N, D, dtype=torch.float64)
    weights = torch.zeros(C, S, dtype=torch.float64)
    for y, chosen in enumerate(sets().tolist()):
        for t, i in enumerate(chosen):
            expected[:, i] += sent[:, y] * found.weight[y, t].detach()
            weights[y, t] = (sent[:, y] * features[:, i].detach()).sum()
    torch.testing.assert_close(features.grad, expected)
    torch.testing.assert_close(found.weight.grad, weights)
    torch.testing.assert_close(found.bias.grad, sent.sum(0))
    unused = set(range(D)) - set(sets().flatten().tolist())
    one = decompose(layer(), sets(s=1))
    g = torch.autograd.grad(one(features).sum(), features)[0]
    assert all(bool((g[:, i] == 0).all()) for i in set(range(D)) - set(sets(s=1).flatten().tolist())) and len(unused) < D
    assert torch.autograd.gradcheck(found, drawn(5, 3, D).requires_grad_())


def test_positive_weights_and_features_lose_and_never_gain() -> None:
    linear, features = layer(), drawn(6, N, D).abs()
    with torch.no_grad():
        linear.weight.abs_()
    assert bool((decompose(linear, sets())(features) <= linear(features) + 1e-12).all())


def test_pooling_and_gathering_commute() -> None:
    """GAP, then the features of a class = the channels of a class, then GAP."""
    maps, linear, indices = drawn(7, N, D, 4, 3), layer(), sets()
    channels = maps[:, indices].mean((3, 4))  # (n, C, s)
    by_channels = (channels * linear.weight.gather(1, indices)).sum(2) + linear.bias
    torch.testing.assert_close(decompose(linear, indices)(maps.mean((2, 3))), by_channels.detach())


def test_the_layer_and_the_indices_are_copied() -> None:
    linear, indices = layer(), sets().to(torch.int32)
    before, kept = copy.deepcopy(linear.state_dict()), indices.clone()
    found = decompose(linear, indices)
    with torch.no_grad():
        found.weight.zero_(), found.bias.zero_(), found.indices.zero_()
    assert all(torch.equal(value, before[name]) for name, value in linear.state_dict().items()) and torch.equal(indices, kept)
    own = kept.long()  # needs no conversion, so only a copy keeps it
    again = decompose(linear, own)
    again.indices.zero_()
    assert torch.equal(own, kept.long())


def test_weights_and_sets_survive_a_state_dict() -> None:
    found, other = decompose(layer(), sets()), decompose(layer(seed=9), sets(seed=9))
    other.load_state_dict(found.state_dict())
    assert set(found.state_dict()) == {"weight", "bias", "indices"}
    assert torch.equal(other(drawn(8, N, D)), found(drawn(8, N, D))) and torch.equal(other.indices, found.indices)


# whole networks


def test_a_decomposed_network_is_the_network_with_another_last_layer() -> None:
    model, x = cnn(), pair()[0]
    before, indices = state(model), sets()
    found = decompose_model(model, indices)
    assert isinstance(found[-1], DecomposedLinear) and not isinstance(found[-1], nn.Linear)
    torch.testing.assert_close(found(x), slow(model[-1], model[:-1](x), indices), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found(x), decompose_model(model, indices, example=x)(x))
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    assert same(before, state(model))


def test_modes_are_kept_and_a_classifier_under_two_names_is_replaced_under_both() -> None:
    model = cnn().train()
    model[1].eval(), model[-1].eval()
    model.also = model[-1]
    found = decompose_model(model, sets())
    assert [m.training for m in found] == [m.training for m in model] and found.training
    assert found.also is found[8] and isinstance(found.also, DecomposedLinear)


def test_a_nested_classifier() -> None:
    model = models.load("resnet20", pretrained=False)
    found = decompose_model(model, sets(64, 10, 5))
    assert isinstance(network.classifier(model), nn.Linear)
    assert sum(isinstance(m, DecomposedLinear) for m in found.modules()) == 1
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in found.parameters()) == 10 * 64 - 10 * 5


def test_retraining_lowers_the_loss_keeps_the_sets_and_leaves_the_callers_network_alone() -> None:
    model = cnn(dropout=True)
    model[0].weight.requires_grad_(False)
    before, indices = state(model), sets()
    kept, generator = indices.clone(), torch.get_rng_state()
    found = retrain(model, indices, pair(60), pair(17, 1), epochs=12, lr=0.02, batch_size=9, augment=None)
    assert found.history.train_loss[-1] < found.history.train_loss[0] - 0.01 and len(found.history) == 12
    assert torch.equal(found.model[-1].indices, kept) and torch.equal(indices, kept)
    assert tuple(found.model[-1].weight.shape) == (C, S) and not any(m.training for m in found.model.modules())
    assert same(before, state(model)) and torch.equal(torch.get_rng_state(), generator)
    moved = {
        name for name, value in found.model.named_parameters() if not torch.equal(value, decompose_model(model, indices).state_dict()[name])
    }
    assert moved == {name for name, _ in found.model.named_parameters()}  # all of it is trained, the frozen layer too
    loss, accuracy = training.evaluate(found.model, pair(17, 1))
    assert (loss, accuracy) == pytest.approx((found.history.test_loss[-1], found.history.test_accuracy[-1]))


def test_retraining_is_adam_on_cross_entropy() -> None:
    """One step on one batch, by hand: every parameter moves by lr against the sign of its gradient."""
    model, (x, y) = cnn(), pair(8)
    found = retrain(model, sets(), (x, y), None, lr=1e-3, batch_size=8, augment=None).model
    hand = decompose_model(model, sets()).train()
    nn.functional.cross_entropy(hand(x), y).backward()
    for (name, a), b in zip(hand.named_parameters(), found.parameters(), strict=True):
        clear = a.grad.abs() > 1e-5  # Adam divides by |g| + 1e-8
        torch.testing.assert_close(b[clear], (a - 1e-3 * a.grad.sign())[clear], atol=2e-6, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


def test_retraining_flips_and_crops_and_normalizes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Halved:
        def apply(self, images: Tensor) -> Tensor:
            seen.append(images.shape)
            return images / 2

    options = {"lr": 1e-3, "normalization": Halved()}
    plain = retrain(cnn(), sets(), pair(), None, augment=None, **options)
    shifted = retrain(cnn(), sets(), pair(), None, **options)
    assert seen and plain.history.train_loss != shifted.history.train_loss
    assert retrain(cnn(), sets(), pair(), None, augment=training.flip_and_crop, **options).history.train_loss == shifted.history.train_loss
    assert retrain(cnn(), sets(), pair(), None, augment=None, lr=1e-3).history.train_loss != plain.history.train_loss


def test_retraining_goes_on_where_it_was_stopped(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"epochs": 3, "lr": 0.01, "batch_size": 6, "seed": 4}
    whole = retrain(cnn(), sets(), pair(), pair(9, 1), **options)
    epochs = []

    def broken(images: Tensor, generator: torch.Generator) -> Tensor:
        epochs.append(len(images))
        if len(epochs) > 6:  # in the second epoch, 4 batches each
            raise KeyboardInterrupt
        return training.flip_and_crop(images, generator)

    broken.__module__, broken.__qualname__ = training.flip_and_crop.__module__, training.flip_and_crop.__qualname__
    file = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        retrain(cnn(), sets(), pair(), pair(9, 1), checkpoint=file, augment=broken, **options)
    resumed = retrain(cnn(), sets(), pair(), pair(9, 1), checkpoint=file, **options)
    assert resumed.history.train_loss == whole.history.train_loss and resumed.history.test_accuracy == whole.history.test_accuracy
    for a, b in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(training.CheckpointError):  # other sets are another run
        retrain(cnn(), sets(seed=8), pair(), pair(9, 1), checkpoint=file, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [True, False])
def test_under_autocast_it_does_as_a_linear_layer_does(dtype: torch.dtype, bias: bool) -> None:
    reduced = decompose(layer(bias=bias).float(), sets())
    whole, features = reduced.dense(), drawn(4, N, D, dtype=torch.float32)
    for given in (features, features.to(dtype)):
        with torch.autocast("cpu", dtype=dtype):
            ours, theirs = reduced(given), whole(given)
        assert ours.dtype == theirs.dtype == dtype
        torch.testing.assert_close(ours, theirs, atol=5e-2, rtol=2e-2)
    ours.float().sum().backward()
    assert reduced.weight.grad.dtype == torch.float32 and reduced.weight.dtype == torch.float32
    expected = features[:, reduced.indices].sum(0)
    torch.testing.assert_close(reduced.weight.grad, expected, atol=5e-2, rtol=2e-2)
    with torch.autocast("cpu", enabled=False):
        assert reduced(features).dtype == torch.float32


# bad input

LINEAR, INDICES, MODEL, PAIR = layer(), sets(), cnn(), pair()
NAN_LINEAR = layer()
NAN_LINEAR.weight.data[1, 2] = float("nan")
TWICE, FAR, NEAR = INDICES.clone(), INDICES.clone(), INDICES.clone()
TWICE[2, 1], FAR[1, 0], NEAR[0, 0] = TWICE[2, 0], D, -1
BAD_INDICES = [
    (INDICES[0], ValueError), (INDICES[:, :0], ValueError), (INDICES[:-1], ValueError), (INDICES.double(), TypeError), (TWICE, ValueError),
    (FAR, ValueError), (NEAR, ValueError), (INDICES.tolist(), TypeError), (sets(s=D + 0).repeat(1, 2), ValueError), (INDICES > 0, TypeError),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize("value, error", BAD_INDICES)
@pytest.mark.parametrize(
    "function", [lambda i: decompose(LINEAR, i), lambda i: decompose_model(MODEL, i), lambda i: retrain(MODEL, i, PAIR, None)]
)
def test_bad_indices(function, value, error: type[Exception]) -> None:
    before = state(MODEL)
    with pytest.raises(error, match=r"^indices\b"):
        function(value)
    assert same(before, state(MODEL))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "name, call, error",
    [
        ("linear", lambda: decompose(LINEAR.weight, INDICES), TypeError),
        ("linear", lambda: decompose(nn.Conv2d(D, C, 1), INDICES), TypeError),
        ("linear", lambda: decompose(NAN_LINEAR, INDICES), ValueError),
        ("weight", lambda: DecomposedLinear(LINEAR.weight[0], None, INDICES, D), ValueError),
        ("weight", lambda: DecomposedLinear(LINEAR.weight[:, :0], None, INDICES, D), ValueError),
        ("weight", lambda: DecomposedLinear(INDICES, None, INDICES, D), TypeError),
        ("indices", lambda: DecomposedLinear(LINEAR.weight[:, :S], None, INDICES[:, :2], D), ValueError),
        ("indices", lambda: DecomposedLinear(LINEAR.weight[:, :S], None, TWICE, D), ValueError),
        ("bias", lambda: DecomposedLinear(LINEAR.weight[:, :S], LINEAR.bias[1:], INDICES, D), ValueError),
        ("bias", lambda: DecomposedLinear(LINEAR.weight[:, :S], LINEAR.bias * float("nan"), INDICES, D), ValueError),
        ("in_features", lambda: DecomposedLinear(LINEAR.weight[:, :S], None, INDICES, 2), ValueError),
        ("in_features", lambda: DecomposedLinear(LINEAR.weight[:, :S], None, INDICES, 7.0), TypeError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, D)), ValueError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, N, D + 1)), ValueError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, N, D, 1)), ValueError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, N, D).tolist()), TypeError),
        ("features", lambda: decompose(LINEAR, INDICES)(None), TypeError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, N, D).float()), TypeError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, N, D).half()), TypeError),
        ("features", lambda: decompose(LINEAR, INDICES)(drawn(0, N, D).long()), TypeError),
        ("features", lambda: torch.autocast("cpu", dtype=torch.bfloat16)(decompose(layer().float(), INDICES))(drawn(0, N, D)), TypeError),
        ("model", lambda: decompose_model("resnet20", INDICES), TypeError),
        ("model", lambda: decompose_model(nn.Sequential(nn.Linear(D, C)), INDICES), ValueError),
        ("example", lambda: decompose_model(MODEL, INDICES, example=PAIR[0][0]), ValueError),
        ("example", lambda: decompose_model(MODEL, INDICES, example=PAIR[0] * float("nan")), ValueError),
        ("model", lambda: retrain(None, INDICES, PAIR, None), TypeError),
        ("train", lambda: retrain(MODEL, INDICES, PAIR[0], None), TypeError),
        ("train", lambda: retrain(MODEL, INDICES, (PAIR[0], PAIR[1][1:]), None), ValueError),
        ("train", lambda: retrain(MODEL, INDICES, (PAIR[0], PAIR[1] + C), None), ValueError),
        ("train", lambda: retrain(MODEL, INDICES, (PAIR[0] * float("nan"), PAIR[1]), None), ValueError),
        ("test", lambda: retrain(MODEL, INDICES, PAIR, (PAIR[0][:0], PAIR[1][:0])), ValueError),
        ("epochs", lambda: retrain(MODEL, INDICES, PAIR, None, epochs=0), ValueError),
        ("lr", lambda: retrain(MODEL, INDICES, PAIR, None, lr=-1e-4), ValueError),
        ("lr", lambda: retrain(MODEL, INDICES, PAIR, None, lr="small"), TypeError),
        ("lr", lambda: retrain(MODEL, INDICES, PAIR, None, lr=float("nan")), ValueError),
        ("batch_size", lambda: retrain(MODEL, INDICES, PAIR, None, batch_size=0), ValueError),
        ("seed", lambda: retrain(MODEL, INDICES, PAIR, None, seed=-1), ValueError),
        ("augment", lambda: retrain(MODEL, INDICES, PAIR, None, augment="flip"), TypeError),
        ("normalization", lambda: retrain(MODEL, INDICES, PAIR, None, normalization=2.0), TypeError),
        ("device", lambda: retrain(MODEL, INDICES, PAIR, None, device="abacus"), ValueError),
        ("checkpoint", lambda: retrain(MODEL, INDICES, PAIR, None, checkpoint=3), TypeError),
    ],
)  # fmt: skip
def test_bad_input(name: str, call, error: type[Exception]) -> None:
    before = state(MODEL)
    with pytest.raises(error, match=rf"^{name}\b"):
        call()
    assert same(before, state(MODEL))


@pytest.mark.bad_input
@pytest.mark.parametrize("function", [decompose_model, lambda model, i: retrain(model, i, PAIR, None)])
def test_heads_of_several_layers_are_refused_by_the_name_of_the_network(function) -> None:
    class VGG(nn.Sequential):
        pass

    head = [nn.Flatten(), nn.Linear(D, D), nn.ReLU(), nn.Linear(D, C)]
    model = VGG(nn.Conv2d(3, D, 3), nn.AdaptiveAvgPool2d(1), *head)
    with pytest.raises(ValueError, match=r"^model: VGG has 2 linear layers"):
        function(model, INDICES)
