"""Removing filters on toys: silent means zero for every reader, whatever stands between; what is refused, and what is kept."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toy_networks import Custom, normal, relative, stirred

from filterlens.lenses.ranking.removal import n_removed, removable, remove_filters

C, BN = nn.Conv2d, nn.BatchNorm2d
IMAGES = normal(4, 2, 9, 10, seed=7)


def plain(activation: nn.Module | None = None) -> nn.Module:
    """conv, norm, activation, pooling and fully connected layers behind a flatten: 7, 5 and 6 channels."""
    layers = [C(2, 7, 3), BN(7), activation or nn.ReLU(), C(7, 5, (3, 2), bias=False), BN(5), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return stirred(nn.Sequential(*layers, C(5, 6, 1), nn.Flatten(), nn.Linear(6 * 2 * 3, 4)))


def residual() -> nn.Module:
    def forward(m, x):
        x = m.stem(x)
        x = F.relu(m.bn2(m.b(F.relu(m.bn1(m.a(x))))) + x)
        return m.last(x).mean((2, 3))

    return stirred(Custom(forward, stem=C(2, 3, 3), a=C(3, 5, 3, padding=1), bn1=BN(5), b=C(5, 3, 1), bn2=BN(3), last=C(3, 6, 2)))


def separable() -> nn.Module:
    """Expansion, depthwise convolution, squeeze-and-excitation, projection: the block of MobileNets and EfficientNets."""

    def forward(m, x):
        x = F.hardswish(m.bn(m.depthwise(F.silu(m.expand(x)))))
        x = x * torch.sigmoid(m.gate(F.relu(m.squeeze(x.mean((2, 3), keepdim=True)))))
        return m.last(F.relu6(m.project(x))).mean((2, 3))

    layers = {"expand": C(2, 8, 3), "depthwise": C(8, 8, 3, groups=8), "bn": BN(8), "squeeze": C(8, 3, 1), "gate": C(3, 8, 1)}
    return stirred(Custom(forward, **layers, project=C(8, 5, 1), last=C(5, 4, 1)))


def grouped() -> nn.Module:
    layers = [C(2, 8, 3), BN(8), nn.ReLU(), C(8, 12, 3, groups=4), BN(12), nn.ReLU(), C(12, 6, (1, 2), groups=2), nn.ReLU(), C(6, 5, 2)]
    return stirred(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def both(model: nn.Module, indices: dict, **options) -> tuple[nn.Module, nn.Module]:
    """The masked and the pruned network, after a check that they agree on images that are not the example."""
    masked = remove_filters(model, indices, example=IMAGES[:1], **options)
    pruned = remove_filters(model, indices, mode="prune", example=IMAGES[:1], **options)
    with torch.no_grad():
        assert relative(pruned(IMAGES), masked(IMAGES)) < 1e-12
        assert relative(masked(IMAGES), model(IMAGES)) > 1e-3
    return masked, pruned


def test_logits_that_are_off_by_little_are_refused_too():
    """The scale of this network's logits counts its channels: 6e-5 less of it after a removal of two."""

    def forward(m, x):
        x = F.relu(m.a(x))
        return m.b(x).mean((2, 3)) * (1 + 3e-5 * x.shape[1])

    model = stirred(Custom(forward, a=C(2, 7, 3), b=C(7, 4, 1))).float()
    assert remove_filters(model, {"a": [1, 4]}, example=IMAGES[:1].float()).a.out_channels == 7
    with pytest.raises(ValueError, match="mode: 'prune' would change the logits by"):
        remove_filters(model, {"a": [1, 4]}, mode="prune", example=IMAGES[:1].float())


@pytest.mark.parametrize(
    ("p", "n", "expected"),
    [(0, 6, 0), (0.05, 6, 0), (0.05, 10, 1), (0.25, 10, 3), (0.5, 5, 3), (0.75, 1280, 960), (1, 9, 8), (0.9, 1, 0), (0.35, 90, 32)],
)
def test_halves_go_up_and_one_filter_stays(p, n, expected):
    assert n_removed(p, n) == expected


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU, nn.ReLU6, nn.Hardswish, nn.GELU, nn.Sigmoid, nn.ELU, nn.Mish, nn.Softplus])
def test_silent_after_normalisation_and_activation(activation):
    """By hand: the reader's weights on the removed channels are gone. Zero filters alone are something else."""
    model = plain(activation())
    masked, pruned = both(model, {"0": [1, 4], "3": [0]})
    by_hand, naive = copy.deepcopy(model), copy.deepcopy(model)
    by_hand.get_submodule("3").weight.data[:, [1, 4]] = 0
    by_hand.get_submodule("7").weight.data[:, [0]] = 0
    for layer, where in (("0", [1, 4]), ("3", [0])):
        naive.get_submodule(layer).weight.data[where] = 0
    naive.get_submodule("0").bias.data[[1, 4]] = 0
    with torch.no_grad():
        assert relative(masked(IMAGES), by_hand(IMAGES)) < 1e-12
        assert relative(naive(IMAGES), by_hand(IMAGES)) > 1e-3
    assert [pruned[at].weight.shape for at in (0, 3, 7)] == [(5, 2, 3, 3), (4, 5, 3, 2), (6, 4, 1, 1)]
    assert [pruned[1].num_features, pruned[4].num_features] == [5, 4]


@pytest.mark.parametrize("seed", range(6))
def test_any_sets_on_any_toy(seed):
    noise = torch.Generator().manual_seed(seed)
    for make in (plain, residual, separable, grouped):
        model = make()
        groups = {"0": 4, "6": 2} if make is grouped else {}  # as those who make or read the channels want it
        chosen = {}
        for layer in removable(model, example=IMAGES[:1]):
            if make is grouped and layer not in groups:
                continue  # twelve outputs in four groups, read in two
            n = groups.get(layer, 1)
            size = model.get_submodule(layer).out_channels // n
            gone = int(torch.randint(1, size, (), generator=noise))
            chosen[layer] = [group * size + int(at) for group in range(n) for at in torch.randperm(size, generator=noise)[:gone]]
        both(model, chosen)


def test_flattened_channels_are_blocks_of_features():
    masked, pruned = both(plain(), {"7": [2, 5]})
    silent = masked[9].input_mask.logical_not().nonzero().flatten().tolist()
    assert silent == [*range(12, 18), *range(30, 36)]
    assert pruned[9].in_features == 24


def test_nothing_the_removed_filter_does_is_heard():
    """Bit for bit the same logits with a filter of huge numbers, of infinities and of NaN, on other images as well."""
    masked = remove_filters(separable(), {"expand": [3], "project": [0]}, example=IMAGES[:1])
    with torch.no_grad():
        before = masked(IMAGES)
        for value in (1e30, torch.inf, torch.nan):
            masked.expand.weight[3], masked.expand.bias[3], masked.project.bias[0] = value, value, value
            assert torch.equal(masked(IMAGES), before)
        masked.expand.weight[2] += 1
        assert not torch.equal(masked(IMAGES), before)


def test_multipliers_go_with_the_channel_they_multiply():
    model = separable()
    assert removable(model, example=IMAGES[:1]) == ["expand", "squeeze", "project"]
    _, pruned = both(model, {"expand": [0, 6], "squeeze": [1]})
    widths = [pruned.get_submodule(name).out_channels for name in ("expand", "depthwise", "squeeze", "gate", "project")]
    assert widths == [6, 6, 2, 6, 5] and pruned.depthwise.groups == 6
    with pytest.raises(ValueError, match=r"'gate'.*shared with \['expand'\]"):
        remove_filters(model, {"gate": [0]}, example=IMAGES[:1])
    both(model, {"gate": [0]}, coupled=True)


def test_two_layers_that_are_only_multiplied_go_together():
    def forward(m, x):
        return m.last(torch.tanh(m.value(x)) * torch.sigmoid(m.gate(x))).mean((2, 3))

    model = stirred(Custom(forward, value=C(2, 6, 3), gate=C(2, 6, 3), last=C(6, 4, 2)))
    assert removable(model, example=IMAGES[:1]) == ["value", "gate"]
    for indices in ({"value": [1, 4]}, {"gate": [1, 4]}):
        _, pruned = both(model, indices)
        assert pruned.value.out_channels == pruned.gate.out_channels == pruned.last.in_channels == 4
    with pytest.raises(ValueError, match="indices: all 6 filters of"):
        remove_filters(model, {"value": [0, 1, 2], "gate": [3, 4, 5]}, example=IMAGES[:1])


def test_grouped_convolutions_lose_equally_many_of_each_group():
    model = grouped()
    _, pruned = both(model, {"0": [0, 3, 4, 7], "6": [1, 3]})
    assert pruned[3].weight.shape == (12, 1, 3, 3) and pruned[6].weight.shape == (4, 6, 1, 2)
    assert pruned[3].groups == 4 and pruned[3].in_channels == 4
    uneven = {"0": [0, 3]}
    remove_filters(model, uneven, example=IMAGES[:1])
    with pytest.raises(ValueError, match=r"'3' has 4 groups of 2 input channels.*\[1, 1, 0, 0\].*equally many"):
        remove_filters(model, uneven, mode="prune", example=IMAGES[:1])


def test_a_stream_is_refused_by_name_and_goes_as_a_whole_when_coupled():
    model = residual()
    assert removable(model, example=IMAGES[:1]) == ["a"]
    for layer, other in (("stem", "b"), ("b", "stem")):
        with pytest.raises(ValueError, match=rf"indices: .*'{layer}'.*shared with \['{other}'\].*coupled=True"):
            remove_filters(model, {layer: [1]}, example=IMAGES[:1])
        masked, pruned = both(model, {layer: [1], "a": [4]}, coupled=True)
        assert pruned.stem.out_channels == pruned.b.out_channels == pruned.last.in_channels == pruned.bn2.num_features == 2
        assert masked.a.input_mask.tolist() == masked.last.input_mask.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="all 3 filters of"):
        remove_filters(model, {"stem": [0, 1], "b": [2]}, example=IMAGES[:1], coupled=True)


def shuffled(m, x):
    x = m.stem(x)
    return m.last(F.relu(x.view(len(x), 2, 3, *x.shape[2:]).transpose(1, 2).flatten(1, 2))).mean((2, 3))


@pytest.mark.parametrize(
    ("forward", "layers"),
    [
        (shuffled, {"stem": C(2, 6, 3)}),
        (lambda m, x: m.last(F.relu(m.norm(m.stem(x)))).mean((2, 3)), {"stem": C(2, 6, 3), "norm": nn.GroupNorm(2, 6)}),
        (lambda m, x: m.last(m.stem(x).softmax(1)).mean((2, 3)), {"stem": C(2, 6, 3)}),
        (lambda m, x: m.last(torch.cat([x, x, x], 1) + m.stem(x)).mean((2, 3)), {"stem": C(2, 6, 3, padding=1)}),
        (lambda m, x: m.last(F.pad(m.stem(x), (0, 0, 0, 0, 1, 2))).mean((2, 3)), {"stem": C(2, 3, 3)}),
    ],
    ids=["shuffle", "group norm", "softmax", "sum with the image", "padded channels"],
)
@pytest.mark.parametrize("mode", ["mask", "prune"])
def test_what_cannot_be_followed_is_refused_not_guessed(forward, layers, mode):
    model = stirred(Custom(forward, **layers, last=C(6, 4, 2)))
    with pytest.raises(ValueError, match="indices: .*'stem'|model: .*cannot be followed"):
        remove_filters(model, {"stem": [1]}, mode=mode, example=IMAGES[:1])


def test_code_that_counts_channels_is_masked_but_not_pruned():
    def forward(m, x):
        x = m.stem(x)
        return m.last(F.relu(x) * torch.arange(1, 7, dtype=x.dtype).view(6, 1, 1)).mean((2, 3))

    model = stirred(Custom(forward, stem=C(2, 6, 3), last=C(6, 4, 2)))
    remove_filters(model, {"stem": [1]}, example=IMAGES[:1])
    with pytest.raises(ValueError, match="mode: 'prune' leaves a network that does not run"):
        remove_filters(model, {"stem": [1]}, mode="prune", example=IMAGES[:1])


def test_a_masked_channel_stays_silent_through_training_copies_and_files():
    model = plain().train()
    masked = remove_filters(model, {"0": [1, 4]}, example=IMAGES[:1])
    optimizer = torch.optim.SGD(masked.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        masked(IMAGES).square().mean().backward()
        assert not bool(masked[0].weight.grad[[1, 4]].any()) and bool(masked[0].weight.grad[[0, 2, 3, 5, 6]].any())
        optimizer.step()
    masked.eval()
    file = io.BytesIO()
    torch.save(masked, file)
    file.seek(0)
    again = remove_filters(model, {"0": [1, 4]}, example=IMAGES[:1]).eval()
    again.load_state_dict(masked.state_dict())
    with torch.no_grad():
        expected = masked(IMAGES)
        for copied in (copy.deepcopy(masked), torch.load(file, weights_only=False), again):
            assert torch.equal(copied(IMAGES), expected)
            copied[0].weight[[1, 4]] += 100.0
            assert torch.equal(copied(IMAGES), expected)


def test_removal_goes_on_from_a_masked_and_from_a_pruned_network():
    model = plain()
    at_once = remove_filters(model, {"0": [1, 4], "3": [2]}, example=IMAGES[:1])
    masked = remove_filters(model, {"0": [4]}, example=IMAGES[:1])
    for indices in ({"0": [1], "3": [2]}, {"0": [1, 4], "3": [2]}):
        further = remove_filters(masked, indices, example=IMAGES[:1])
        assert torch.equal(further(IMAGES), at_once(IMAGES)) and len(further[3]._forward_pre_hooks) == 1
    cut = remove_filters(masked, {"0": [1], "3": [2]}, mode="prune", example=IMAGES[:1])
    assert relative(cut(IMAGES), at_once(IMAGES)) < 1e-12 and cut[3].input_mask.tolist() == [True, True, True, False, True, True]
    pruned = remove_filters(model, {"0": [1]}, mode="prune", example=IMAGES[:1])
    twice = remove_filters(pruned, {"0": [3], "3": [2]}, mode="prune", example=IMAGES[:1])
    assert relative(twice(IMAGES), at_once(IMAGES)) < 1e-12


@pytest.mark.parametrize("mode", ["mask", "prune"])
@pytest.mark.parametrize("within", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("training", [True, False])
def test_the_callers_model_is_untouched(mode, within, training):
    model, seen = plain().train(training), []
    model[4].eval()
    model[3].weight.requires_grad_(False)
    handle = model[0].register_forward_hook(lambda *call: seen.append(call))
    before, modes = {key: value.clone() for key, value in model.state_dict().items()}, [m.training for m in model.modules()]
    with within():
        result = remove_filters(model, {"0": [1, 4]}, mode=mode, example=IMAGES[:1])
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[key], before[key]) for key in before)
    assert not seen and list(model[0]._forward_hooks) == [handle.id] and not model[3]._forward_pre_hooks
    for one in (model, result):
        assert [m.training for m in one.modules()] == modes
        assert [key for key, p in one.named_parameters() if not p.requires_grad] == ["3.weight"]
        assert all(p.grad is None and not p.is_inference() for p in one.parameters())
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in result.parameters()}


def test_a_pruned_network_is_an_ordinary_one():
    """Nothing of the library that cut it is left: no hooks, no buffers, no attributes that an ordinary layer lacks."""
    pruned = remove_filters(plain(), {"0": [1], "3": [0]}, mode="prune", example=IMAGES[:1])
    for module, ordinary in zip(pruned.modules(), plain().modules(), strict=True):
        assert type(module) is type(ordinary) and set(vars(module)) == set(vars(ordinary))
        assert not module._forward_hooks and not module._forward_pre_hooks
    file = io.BytesIO()
    torch.save(pruned, file)
    assert b"torch_pruning" not in file.getvalue()
    fresh = nn.Sequential(*(C(2, 6, 3), BN(6), nn.ReLU(), C(6, 4, (3, 2), bias=False), BN(4)), *plain()[5:]).double()
    fresh[7] = C(4, 6, 1).double()
    fresh.load_state_dict(pruned.state_dict())
    pruned.train()
    optimizer = torch.optim.Adam(pruned.parameters())
    pruned(IMAGES).square().mean().backward()
    assert all(bool(p.grad.any()) for key, p in pruned.named_parameters() if key not in ("0.bias",))
    optimizer.step()


def test_input_size_stands_in_for_an_example():
    model = plain()
    model.input_size = (2, 9, 10)
    assert removable(model) == ["0", "3", "7"]
    assert torch.equal(remove_filters(model, {"0": [1]})(IMAGES), remove_filters(model, {"0": [1]}, example=IMAGES)(IMAGES))


def unused() -> nn.Module:
    return stirred(Custom(lambda m, x: m.last(m.stem(x)).mean((2, 3)), stem=C(2, 3, 3), idle=C(2, 3, 3), last=C(3, 4, 2)))


NAN = IMAGES[:1] * torch.nan
BAD = [
    (lambda: n_removed("half", 4), TypeError, "p: "),
    (lambda: n_removed(1.1, 4), ValueError, "p: "),
    (lambda: n_removed(float("nan"), 4), ValueError, "p: "),
    (lambda: n_removed(0.5, 0), ValueError, "n: "),
    (lambda: n_removed(0.5, 4.0), TypeError, "n: "),
    (lambda: removable("resnet20"), TypeError, "model: "),
    (lambda: removable(plain()), ValueError, "example: .*input_size"),
    (lambda: removable(plain(), example=IMAGES[0]), ValueError, "example: "),
    (lambda: removable(plain(), example=IMAGES[:0]), ValueError, "example: "),
    (lambda: removable(plain(), example=IMAGES.long()), TypeError, "example: "),
    (lambda: removable(plain(), example=NAN), ValueError, "example: "),
    (lambda: removable(plain(), example=normal(1, 3, 9, 10)), ValueError, "example: .*does not go through"),
    (lambda: remove_filters("resnet20", {"0": [1]}, example=IMAGES), TypeError, "model: "),
    (lambda: remove_filters(plain(), {"0": [1]}), ValueError, "example: .*input_size"),
    (lambda: remove_filters(plain(), {"0": [1]}, example=[0.0]), TypeError, "example: "),
    (lambda: remove_filters(plain(), {"0": [1]}, example=NAN), ValueError, "example: "),
    (lambda: remove_filters(plain(), {"0": [1]}, example=normal(1, 2, 3, 3)), ValueError, "example: .*does not go through"),
    (lambda: remove_filters(plain(), [("0", [1])], example=IMAGES), TypeError, "indices: "),
    (lambda: remove_filters(plain(), {}, example=IMAGES), ValueError, "indices: .*empty"),
    (lambda: remove_filters(plain(), {0: [1]}, example=IMAGES), TypeError, "indices: "),
    (lambda: remove_filters(separable(), {"expnd": [1]}, example=IMAGES), ValueError, "indices: got 'expnd'.*'expand'"),
    (lambda: remove_filters(plain(), {"9": [1]}, example=IMAGES), ValueError, "indices: got '9', expected .*convolutions"),
    (lambda: remove_filters(plain(), {"0": []}, example=IMAGES), ValueError, r"indices\['0'\]: .*empty"),
    (lambda: remove_filters(plain(), {"0": [7]}, example=IMAGES), ValueError, r"indices\['0'\].*\[0, 6\]"),
    (lambda: remove_filters(plain(), {"0": [-1]}, example=IMAGES), ValueError, r"indices\['0'\]"),
    (lambda: remove_filters(plain(), {"0": [1, 1]}, example=IMAGES), ValueError, r"indices\['0'\].*twice"),
    (lambda: remove_filters(plain(), {"0": [1.5]}, example=IMAGES), TypeError, r"indices\['0'\]"),
    (lambda: remove_filters(plain(), {"0": torch.tensor([[1]])}, example=IMAGES), TypeError, r"indices\['0'\]"),
    (lambda: remove_filters(plain(), {"0": torch.tensor([0.5])}, example=IMAGES), TypeError, r"indices\['0'\]"),
    (lambda: remove_filters(plain(), {"0": range(7)}, example=IMAGES), ValueError, r"indices\['0'\]: .*all 7.*at least one"),
    (lambda: remove_filters(residual(), {"last": [0]}, example=IMAGES), ValueError, "indices: .*'last' are the model's output"),
    (lambda: remove_filters(separable(), {"depthwise": [0]}, example=IMAGES), ValueError, "indices: 'depthwise' is depthwise.*'expand'"),
    (lambda: remove_filters(unused(), {"idle": [0]}, example=IMAGES), ValueError, "indices: 'idle' does not run"),
    (lambda: remove_filters(plain(), {"0": [1]}, mode="zero", example=IMAGES), ValueError, "mode: "),
    (lambda: remove_filters(plain(), {"0": [1]}, mode=None, example=IMAGES), TypeError, "mode: "),
    (lambda: remove_filters(plain(), {"0": [1]}, coupled=1, example=IMAGES), TypeError, "coupled: "),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("call", "error", "said"), BAD, ids=range(len(BAD)))
def test_bad_input_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()
