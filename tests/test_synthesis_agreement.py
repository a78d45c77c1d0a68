"""Damage is that of the whole network with weights set to zero; every score is the lens's own; what has no number says why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_agreement import CLASSES, INNER, NORMALIZATION, STREAM, ByConvolution, N, Plain, Residual, images, judged, toy, zeroed
from toy_networks import stirred

from filterlens import models
from filterlens.lenses import ranking
from filterlens.lenses.isolation import isolate
from filterlens.synthesis import agreement
from filterlens.synthesis.agreement import SCORES, measuring, removing, responses
from filterlens.synthesis.agreement.resumed import Resumed

torch.set_num_threads(1)
# network and layer -> where zeros in the weights remove filter k: at all readers, or where the layer's own share of a stream ends
REMOVED: dict[tuple[type[nn.Module], str], Callable[[int], list[tuple[str, int, int]]]] = {
    (Residual, "stem"): lambda k: [("bn0.weight", 0, k), ("bn0.bias", 0, k)],
    (Residual, "a"): lambda k: [("b.weight", 1, k)],
    (Residual, "b"): lambda k: [("bn2.weight", 0, k), ("bn2.bias", 0, k)],
    (Plain, "0"): lambda k: [("2.weight", 1, k)],
    (Plain, "2"): lambda k: [("6.weight", 1, k)],
    (ByConvolution, "0"): lambda k: [("1.weight", 1, k)],
    (ByConvolution, "1"): lambda k: [("3.weight", 1, k)],
}


def literal(model: nn.Module, normalized: Tensor, labels: Tensor, place: Callable, filters: Iterable[int]) -> Tensor:
    """Rise of the loss and loss of accuracy (m, 2): the whole network, once for every filter."""
    whole = judged(model, normalized, labels)
    rows = [judged(zeroed(model, *place(k)), normalized, labels) for k in filters]
    return torch.tensor([[loss - whole[0], whole[1] - accuracy] for loss, accuracy in rows], dtype=torch.float64)


def found(result: agreement.Damage) -> Tensor:
    return torch.stack([result.loss_rise, result.accuracy_drop], 1)


@pytest.mark.parametrize(("kind", "layer"), REMOVED)
def test_damage_is_that_of_the_network_with_weights_set_to_zero(kind: type[nn.Module], layer: str) -> None:
    model, (pixels, labels) = toy(kind), images()
    normalized = NORMALIZATION.apply(pixels)
    k = model.get_submodule(layer).out_channels
    wanted = literal(model, normalized, labels, REMOVED[kind, layer], list(range(k)))
    result = agreement.damage(model, layer, pixels, labels, normalization=NORMALIZATION, batch_size=5)
    torch.testing.assert_close(found(result), wanted, rtol=1e-9, atol=1e-9)
    assert (wanted[:, 0].abs() > 1e-4).sum() > k / 2 and result.filters.tolist() == list(range(k)) and result.n_images == N
    assert (result.loss, result.accuracy) == pytest.approx(judged(model, normalized, labels))
    assert result.removal == ("share" if layer in ("stem", "b") else "channel")
    some = agreement.damage(model, layer, normalized, labels, filters=[2, 0])
    torch.testing.assert_close(found(some), wanted[[2, 0]], rtol=1e-9, atol=1e-9)
    assert some.filters.tolist() == [2, 0]
    first = removing.halved(labels)
    for at, part in enumerate((first, ~first)):
        torch.testing.assert_close(result.halves[:, at], literal(model, normalized[part], labels[part], REMOVED[kind, layer], range(k))[:, 0])


def test_halves_hold_the_classes_alike() -> None:
    first = removing.halved(torch.tensor([2, 2, 0, 2, 1, 0, 2, 1, 1, 7]))
    assert first.tolist() == [False, True, True, False, True, False, True, False, True, False]
    assert removing.halved(torch.tensor([3])).tolist() == [True]


@pytest.mark.parametrize(
    ("name", "layer", "place", "size"),
    [
        ("resnet20", "conv1", lambda k: [("bn1.weight", 0, k), ("bn1.bias", 0, k)], 32),
        ("resnet20", "layer2.0.conv1", lambda k: [("layer2.0.conv2.weight", 1, k)], 32),
        ("resnet20", "layer3.2.conv2", lambda k: [("layer3.2.bn2.weight", 0, k), ("layer3.2.bn2.bias", 0, k)], 32),
        ("efficientnet-lite0", "blocks.5.0.conv_pw", lambda k: [("blocks.5.0.conv_pwl.weight", 1, k)], 64),
        ("efficientnet-lite0", "blocks.5.1.conv_pwl", lambda k: [("blocks.5.1.bn3.weight", 0, k), ("blocks.5.1.bn3.bias", 0, k)], 64),
        ("efficientnet-lite0", "conv_head", lambda k: [("classifier.weight", 1, k)], 64),
    ],
)
def test_damage_in_real_networks(name: str, layer: str, place: Callable, size: int) -> None:
    model, pixels = models.load(name), torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = model(pixels).argmax(1)
    labels[2] = 7
    k = model.get_submodule(layer).out_channels
    filters = [1, k // 3, 808 % k, k - 2]
    wanted = literal(model, pixels, labels, place, filters)
    removable = [layer] if len(place(0)) == 1 else []
    result = agreement.damage(model, layer, pixels, labels, filters=filters, removable=removable, batch_size=2)
    torch.testing.assert_close(found(result), wanted, rtol=0, atol=1e-5)
    assert wanted[:, 0].abs().max() > 1e-5


def test_a_channel_is_removed_as_the_rankings_remove_it() -> None:
    model, (pixels, labels) = toy(Residual), images()
    masked = ranking.remove_filters(model, {"a": [3]}, mode="mask")
    loss, accuracy = judged(masked, pixels, labels)
    result = agreement.damage(model, "a", pixels, labels, filters=3)
    assert (result.loss + float(result.loss_rise), result.accuracy - float(result.accuracy_drop)) == pytest.approx((loss, accuracy))


def test_what_comes_before_the_layer_is_computed_once_for_all_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = nn.Conv2d.forward, []
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: (calls.append((self.in_channels, self.out_channels)), plain(self, x))[1])
    counts = {}
    for filters in ([1], [0, 1, 2, 3]):
        calls.clear()
        agreement.damage(toy(Residual), "b", *images(), filters=filters, removable=["a"], batch_size=5)
        counts[len(filters)] = {pair: calls.count(pair) for pair in set(calls)}
    assert counts[1] == counts[4]  # of the layer's own convolution too: its output is remembered
    calls.clear()
    agreement.damage(toy(Residual), "a", *images(), filters=[0, 1, 2, 3], removable=["a"], batch_size=5)
    assert calls.count((INNER, STREAM)) >= 4 * math.ceil(N / 5)


class InPlace(nn.Module):
    """Doubles a map in place between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.pool = nn.Conv2d(2, 4, 3), nn.Conv2d(4, CLASSES, 3), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        x.mul_(2)
        return self.pool(self.two(x)).flatten(1)


def test_what_is_remembered_stays_as_it_was() -> None:
    model, (pixels, _) = stirred(InPlace()), images()
    resumed = Resumed(model, pixels[:1], before=["two"])
    assert resumed.names == ["one"]
    logits = resumed.remember(pixels)
    torch.testing.assert_close(logits, model(pixels))
    for _ in range(3):
        torch.testing.assert_close(resumed.rerun(), logits)


def test_the_model_is_left_as_it_was_and_its_hooks_do_not_run() -> None:
    model, (pixels, labels) = toy(Residual), images()
    wanted = found(agreement.damage(model, "a", pixels, labels))
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ran = []
    model.bn1.register_forward_hook(lambda module, args, output: (ran.append(1), 3 * output)[1])
    seen = len(ran)
    torch.testing.assert_close(found(agreement.damage(model, "a", pixels, labels, removable=["a"])), wanted)
    assert seen == 0 and model.training and all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert len(model.bn1._forward_hooks) == 1 and "forward" not in vars(model.stem) and all(p.requires_grad for p in model.parameters())


def test_scores_of_an_inner_layer() -> None:
    model, (pixels, labels) = toy(Residual), images()
    result = agreement.scores(model, "a", pixels, labels, name="toy", normalization=NORMALIZATION, filters=[5, 0, 2], batch_size=4)
    assert list(result.values) == list(SCORES) and (result.model, result.layer, result.removal) == ("toy", "a", "channel")
    assert result.filters.tolist() == [5, 0, 2] and all(len(value) == 3 for value in result.values.values())
    weight = model.a.weight.detach()
    for method in ("l1", "l2", "fpgm", "geometric_median"):
        torch.testing.assert_close(result.values[method], ranking.rank(weight, method).score[[5, 0, 2]])
    order = ranking.rank(weight, "positional").order.tolist()
    assert result.values["positional"].tolist() == [order.index(k) for k in (5, 0, 2)]
    lost = agreement.damage(model, "a", pixels, labels, normalization=NORMALIZATION, filters=[5, 0, 2])
    torch.testing.assert_close(result.values["loss_rise"], lost.loss_rise)
    torch.testing.assert_close(result.values["accuracy_drop"], lost.accuracy_drop)
    with torch.no_grad():
        maps = model.bn1(model.a(model.bn0(model.stem(NORMALIZATION.apply(pixels))).relu())).relu().mean((2, 3))
    by_class = torch.stack([maps[labels == c].mean(0) for c in range(CLASSES)])
    shares = by_class / by_class.sum(0)
    entropy = -(shares * shares.log()).nan_to_num(0).sum(0) / math.log(CLASSES)
    torch.testing.assert_close(result.values["class_entropy"], entropy[[5, 0, 2]])
    for name in ("feature_loss_rise", "feature_accuracy_drop", "votes", "contribution", "ownership", "isolation"):
        assert result.values[name].isnan().all() and result.notes[name], name
    assert "inner layer" in result.notes["votes"] and "without" not in result.notes["votes"]


@pytest.mark.parametrize(("kind", "layer"), [(Residual, "b"), (Plain, "2"), (ByConvolution, "1")])
def test_scores_of_the_layer_that_writes_the_features(kind: type[nn.Module], layer: str) -> None:
    model, (pixels, labels) = toy(kind), images()
    result = agreement.scores(model, layer, pixels, labels, batch_size=6)
    head = {Residual: "final", Plain: "6", ByConvolution: "3"}[kind]
    kept = []
    handle = model.get_submodule(head).register_forward_pre_hook(lambda module, args: kept.append(args[0].flatten(1)))
    whole = judged(model, pixels, labels)
    handle.remove()
    features, weight = kept[0], model.get_submodule(head).weight.detach().flatten(1)
    d = features.shape[1]
    wanted = torch.tensor([judged(zeroed(model, (f"{head}.weight", 1, k)), pixels, labels) for k in range(d)], dtype=torch.float64)
    torch.testing.assert_close(result.values["feature_loss_rise"], wanted[:, 0] - whole[0])
    torch.testing.assert_close(result.values["feature_accuracy_drop"], whole[1] - wanted[:, 1])
    torch.testing.assert_close(result.values["contribution"], torch.stack([weight[y] * f for y, f in zip(labels, features, strict=True)]).mean(0))
    largest = [{k for k in row.argsort(descending=True)[: d // 2].tolist() if row[k] > 0} for row in features.abs()]  # half of few features vote
    assert result.values["votes"].tolist() == pytest.approx([sum(k in row for row in largest) / N for k in range(d)])
    alone = torch.allclose(result.values["loss_rise"], result.values["feature_loss_rise"])
    assert alone == (kind is not Residual)  # there the shortcut writes into the features too
    assert set(result.notes) == {"ownership", "isolation"}


def test_gates_are_those_of_the_feature_that_a_filter_writes() -> None:
    gates = torch.tensor([[1.0, 0.0, 0.2, 1.0], [0.5, 1.0, 1.0, 1.0], [0.5, 0.0, 0.3, 1.0]])
    result = agreement.scores(toy(Residual), "b", *images(), gates=gates, filters=[3, 0, 2])
    torch.testing.assert_close(result.values["ownership"], torch.tensor([1 / 3, 1 / 2, 1 / 1.5], dtype=torch.float64))
    assert "ownership" not in result.notes
    assert "inner layer" in agreement.scores(toy(Residual), "a", *images(), gates=gates, filters=[1]).notes["ownership"]


@pytest.mark.parametrize(("layer", "where", "options"), [("a", "a", {}), ("b", "bn2", {"pre_activation": True})])
def test_isolation_is_that_of_the_lens_on_a_few_active_filters(layer: str, where: str, options: dict) -> None:
    model, (pixels, labels) = toy(Residual), images()
    result = agreement.scores(model, layer, pixels, labels, isolated=2, isolation_images=3, isolation_steps=4, seed=5)
    values = result.values["isolation"]
    chosen = result.filters[~values.isnan()].tolist()
    assert len(chosen) == 2 and "isolation" not in result.notes
    other = agreement.scores(model, layer, pixels, labels, isolated=99, isolation_images=3, isolation_steps=4).values["isolation"]
    assert (~other.isnan()).sum() > 2
    shares = isolate(model, where, chosen, pixels[:3], max_iter=4, seed=5, **options).measure().selectivity.reshape(2, 3).mean(1)
    torch.testing.assert_close(values[chosen], shares.double(), rtol=1e-4, atol=1e-6)


def test_a_layer_that_is_silent_has_no_isolation_and_no_entropy() -> None:
    model, (pixels, labels) = toy(Plain), images()
    with torch.no_grad():
        model[2].bias.fill_(-1e3)
    result = agreement.scores(model, "2", pixels, labels, isolated=2)
    assert "active" in result.notes["isolation"] and result.values["class_entropy"].isnan().all()
    assert result.values["loss_rise"].abs().max() == 0


def test_class_entropy_by_hand() -> None:
    responses_of = torch.tensor([[1.0, 0.0, 2.0, 0.0], [3.0, 0.0, 2.0, 0.0], [0.0, 5.0, 2.0, 0.0]], dtype=torch.float64)
    got = responses.class_entropies(responses_of, torch.tensor([4, 4, 9]))
    torch.testing.assert_close(got[:3], torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert got[3].isnan() and responses.class_entropies(responses_of, torch.tensor([2, 2, 2])).isnan().all()


def test_one_class_is_said_and_one_image_of_each() -> None:
    pixels, _ = images()
    assert "one class" in agreement.scores(toy(Plain), "0", pixels, torch.ones(N, dtype=torch.int64), filters=[1]).notes["class_entropy"]
    twice = agreement.scores(toy(Plain), "0", pixels[:4], torch.tensor([2, 0, 1, 1]))
    single = agreement.scores(toy(Plain), "0", pixels[:3], torch.tensor([2, 0, 1]))
    assert not twice.values["class_entropy"].isnan().all()
    assert single.values["class_entropy"].isnan().all() and "one image of each class" in single.notes["class_entropy"]


class TwoHeads(nn.Module):
    """Logits that a head's output is added to something else to make."""

    input_size = (2, 9, 11)

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.final = nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.final(self.pool(self.conv(x)).flatten(1)) * 3 + x.mean((1, 2, 3))[:, None]


def test_a_head_whose_output_is_not_the_logits_is_told() -> None:
    pixels, labels = images()
    result = agreement.scores(TwoHeads().double().eval(), "conv", pixels, labels)
    assert "no longer decisive" in result.notes["votes"] and not result.values["loss_rise"].isnan().any()


NAN, PIXELS, LABELS = torch.full((N, 2, 9, 11), torch.nan), *images()
DEPTHWISE = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 1, 1), nn.Conv2d(1, 3, (5, 7)), nn.Flatten())
SHARED = [
    ("model", "lenet", TypeError), ("model", nn.Sequential(nn.Conv2d(2, 3, 3)), ValueError), ("layer", 3, TypeError), ("layer", "c", ValueError),
    ("layer", "bn1", ValueError), ("images", None, TypeError), ("images", PIXELS[0], ValueError), ("images", PIXELS[:0], ValueError),
    ("images", PIXELS.long(), TypeError), ("images", NAN, ValueError), ("images", PIXELS[:, :1], ValueError), ("labels", None, TypeError),
    ("labels", LABELS[:5], ValueError), ("labels", LABELS.double(), TypeError), ("labels", LABELS + 1, ValueError), ("labels", LABELS - 1, ValueError),
    ("labels", LABELS[:, None], ValueError), ("normalization", 0.5, TypeError), ("filters", [], ValueError), ("filters", [INNER], ValueError),
    ("filters", [-1], ValueError), ("filters", [1, 1], ValueError), ("filters", "all", TypeError), ("filters", 0.5, TypeError),
    ("removable", "a", TypeError), ("removable", 3, TypeError), ("removable", ["bn1"], ValueError), ("batch_size", 0, ValueError),
    ("batch_size", 2.5, TypeError),
]  # fmt: skip
OWN = [
    ("name", 3, TypeError), ("gates", [[1.0]], TypeError), ("gates", torch.ones(3), ValueError), ("gates", torch.ones(3, 4).long(), TypeError),
    ("gates", torch.ones(3, 5), ValueError), ("gates", torch.ones(4, 4), ValueError), ("gates", 2 * torch.ones(3, 4), ValueError),
    ("gates", torch.full((3, 4), torch.nan), ValueError), ("gates", torch.zeros(3, 4), ValueError), ("gates", torch.ones(3, 0), ValueError),
    ("isolated", -1, ValueError), ("isolated", 1.5, TypeError), ("isolation_images", 0, ValueError), ("isolation_images", True, TypeError),
    ("isolation_steps", 0, ValueError), ("isolation_steps", "many", TypeError), ("seed", -1, ValueError), ("seed", None, TypeError),
]  # fmt: skip


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("function", "name", "value", "error"),
    [(function, *case) for function in ("damage", "scores") for case in SHARED] + [("scores", *case) for case in OWN],
)
def test_bad_input(function: str, name: str, value: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (measuring, removing):
        monkeypatch.setattr(module.places, "removable", lambda model, example: ["a"])
    given = {"model": toy(Residual), "layer": "a", "images": PIXELS, "labels": LABELS, name: value}
    with pytest.raises(error, match=rf"^{name}\b"):
        getattr(agreement, function)(**given)


@pytest.mark.bad_input
@pytest.mark.parametrize(("layer", "said"), [("0", "depthwise"), ("1", "groups"), ("2", "one filter"), ("3", "output")])
@pytest.mark.parametrize("function", ["damage", "scores"])
def test_layers_that_cannot_be_compared(function: str, layer: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^layer: .*{said}"):
        getattr(agreement, function)(DEPTHWISE.double(), layer, PIXELS, LABELS)


@pytest.mark.bad_input
@pytest.mark.parametrize("function", ["damage", "scores"])
def test_a_layer_that_does_not_run(function: str) -> None:
    model = toy(Plain)
    model.add_module("spare", nn.Conv2d(2, 3, 1).double())
    model.forward = lambda x: nn.Sequential(*list(model)[:7])(x)
    with pytest.raises(ValueError, match="^layer: .*not run"):
        getattr(agreement, function)(model, "spare", PIXELS, LABELS)


@pytest.mark.bad_input
def test_gates_for_a_network_without_pooled_features() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 7 * 9, CLASSES)).double()
    with pytest.raises(ValueError, match="^gates: .*pooled features"):
        agreement.scores(model, "0", PIXELS, LABELS, gates=torch.ones(3, 3))
    told = agreement.scores(model, "0", PIXELS, LABELS, filters=[1])
    assert "no pooled features" in told.notes["votes"] and told.removal == "channel"
