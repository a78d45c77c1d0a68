"""The passport: each part by hand or beside a direct call of its lens, the reasons where one does not apply, nothing changed."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch
from torch import nn
from toy_passport import CLASSES, COLOUR, CORNERS, FINAL, LABELS, MEAN, PLAIN, WEIGHT, Network, deep, images, pictures, triangle

from filterlens.lenses import decoding, ranking
from filterlens.lenses.attribution import explain
from filterlens.lenses.gates import GatedClassifier
from filterlens.lenses.influence import find_influential
from filterlens.lenses.isolation import isolate
from filterlens.lenses.simplex import layer_relevance
from filterlens.models import Normalization
from filterlens.network import stop_at
from filterlens.synthesis import passport as room
from filterlens.synthesis.passport import classes, response, words
from filterlens.synthesis.passport.place import place_of

QUICK = {"steps": 3, "shown": 1, "normalization": PLAIN}
ENTROPY = -sum(p * math.log(p) for p in (0.7 / 1.1, 0.1 / 1.1, 0.3 / 1.1)) / math.log(3)


def of(model: nn.Module, layer: str, filter: int, x: torch.Tensor | None = None, labels: torch.Tensor | None = None, **options):
    return room.passport(model, layer, filter, images() if x is None else x, labels, **{**QUICK, **options})


@pytest.fixture(scope="module")
def red():
    return of(Network(), "colour", 0, labels=LABELS)


@pytest.fixture(scope="module")
def inner():
    """A filter of the first layer of the deep network, with two images shown."""
    scaled = Normalization(mean=0.5, std=0.25)
    return of(deep(), "0", 2, pictures(), normalization=scaled, shown=2, steps=4, seed=3), scaled


# --- its place ---


@pytest.mark.parametrize("filter, l0, rank", [(0, 3, 1), (5, 2, 9), (7, 1, None)])
def test_a_filter_inside_the_triangle_is_redundant_and_a_corner_is_not(filter: int, l0: int, rank: int | None):
    place = place_of(triangle(), "0", filter, seed=0)
    assert place.l0 == l0 and len(place.code) == 3 and place.among.tolist() == list(range(12))
    assert place.ranks["positional"] == (rank or place.ranks["positional"]) and (rank or place.ranks["positional"] >= 10)
    assert sorted(place.code.tolist(), reverse=True) == pytest.approx([1 / l0] * l0 + [0] * (3 - l0), abs=1e-3)
    assert place.ties == {1: 3, 2: 1, 3: 8}[l0]


@pytest.mark.parametrize("filter, at, corner, made_of", [(10, (3.6, 1.5), 1, 7), (4, (1.2, 4.2), 2, 11), (1, (1.8, 0.6), 0, 3)])
def test_its_nearest_archetype_is_told_by_its_filter_and_the_distance_by_the_own_norm(filter: int, at: tuple, corner: int, made_of: int):
    place, own = place_of(triangle(), "0", filter, seed=0), torch.tensor(at)
    assert place.made_of == made_of
    assert place.distance == pytest.approx(float((own - CORNERS[corner]).norm() / own.norm()), abs=0.02)
    assert place.ranking.archetypes.D[:, place.nearest].tolist() == pytest.approx(CORNERS[corner].tolist(), abs=0.05)


def test_ranks_are_those_of_every_ranking_and_the_norm_is_counted_by_hand():
    model = triangle()
    weight = model[0].weight.detach()
    for filter in (1, 3, 11):
        found = place_of(model, "0", filter, seed=0).ranks
        assert list(found) == ["positional", "l1", "l2", "fpgm", "geometric_median"]
        for method, rank in found.items():
            assert ranking.rank(weight, method).order.tolist().index(filter) == rank - 1
        norms = weight.flatten(1).abs().sum(1)
        assert found["l1"] == 1 + int((norms < norms[filter]).sum()) + int((norms[:filter] == norms[filter]).sum())


def test_the_cloud_keeps_distances_of_a_plane():
    place = place_of(triangle(), "0", 0, seed=0)
    weight = triangle()[0].weight.detach().flatten(1).double()
    assert place.points.shape == (12, 2) and place.corners.shape == (3, 2) and float(place.shares.sum()) == pytest.approx(1)
    assert torch.allclose(torch.cdist(place.points, place.points), torch.cdist(weight, weight), atol=1e-5)
    near = torch.cdist(place.points, place.corners).amin(1)
    assert near[[3, 7, 11]].max() < 0.05 < near[[0, 1, 2]].min()


def test_a_grouped_layer_compares_a_filter_with_its_group_alone():
    model = deep()
    found, whole = place_of(model, "2", 4, seed=0), layer_relevance(model, "2")
    group = model[2].weight.detach()[3:]
    assert found.among.tolist() == [3, 4, 5] and found.points.shape == (3, 2)
    assert found.ranks["l2"] == 1 + ranking.rank(group, "l2").order.tolist().index(1)
    assert found.ranks["positional"] == 1 + [f for f in whole.order.tolist() if f >= 3].index(4)
    assert found.code.tolist() == whole.archetypes[1].A[:, 1].tolist() and found.l0 == int(whole.l0[4])


def test_a_depthwise_layer_and_an_only_filter_have_no_place_and_say_why():
    assert "depthwise" in of(deep(), "4", 1, pictures()).place
    lonely = nn.Sequential(nn.Conv2d(3, 1, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3))
    assert "only filter" in of(lonely, "0", 0).place


def test_a_layer_of_one_number_per_filter_lies_on_a_line():
    model = nn.Sequential(nn.Conv2d(1, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    place = place_of(model, "0", 2, seed=0)
    assert place.points.shape == (5, 2) and bool((place.points[:, 1] == 0).all()) and place.shares[1] == 0


def test_a_warning_of_a_lens_is_kept_and_not_raised():
    wide = nn.Sequential(nn.Conv2d(1, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 2))
    found = of(wide, "0", 2, torch.rand(2, 1, 4, 5))
    assert any("codes are not unique" in note for note in found.notes["place"])


# --- the classes it decides ---


def test_the_feature_is_found_where_the_channels_are_turned_round(red):
    assert red.classes.feature == 3 and red.classes.alone is True
    assert of(Network(), "colour", 1).classes.feature == 2


def test_class_means_weights_and_entropy_by_hand(red):
    found = red.classes
    assert found.classes.tolist() == [1, 2, 4] and found.n_images.tolist() == [2, 2, 2]
    assert found.mean.tolist() == pytest.approx([MEAN[1], MEAN[2], MEAN[4]])
    assert found.weights.tolist() == FINAL[:, 3].tolist()
    assert found.entropy == pytest.approx(ENTROPY) and found.labelled == "the labels"


def test_its_rank_in_each_class_is_that_of_find_influential(red):
    features = (COLOUR @ WEIGHT.T).relu().flip(1)  # feature 3 is red
    direct = find_influential(features, torch.tensor([0, 0, 2, 2, 1, 1]), 3, r=2, s=2)
    assert torch.equal(red.classes.influential.order, direct.order)
    assert red.classes.ranks.tolist() == [direct.order[c].tolist().index(3) + 1 for c in range(3)]
    assert red.classes.ranks.tolist()[0] == 1 and red.classes.influential.s == 2


def test_a_shortcut_into_the_feature_is_noticed():
    found = of(Network(shortcut=True), "colour", 0).classes
    assert found.feature == 3 and found.alone is False and "shortcut" in found.said
    assert of(Network(shortcut=True), "colour", 3).classes.alone is True  # nothing is added to the fourth channel


def test_an_inner_filter_decides_nothing_by_itself_and_has_its_maps_mean():
    found = of(Network(), "early", 2, labels=LABELS).classes
    assert found.feature is None and found.ranks is None and found.weights is None and found.influential is None
    assert "inner layer" in found.said and "2 of the 4" in found.said  # blue reaches the blue filter and the fourth
    assert found.mean.tolist() == pytest.approx([0.3, 0.6, 0.2])


def test_a_filter_that_nothing_listens_to_says_so():
    model = Network()
    model.colour.weight.data[:, 0] = 0
    assert of(model, "early", 0).classes.said == "it reaches no pooled feature"


def test_without_one_linear_layer_after_pooling_the_reason_is_given_and_a_logit_recognised():
    model = nn.Sequential(nn.Conv2d(3, 6, 2), nn.ReLU(), nn.Conv2d(6, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert "no linear layer" in of(model, "0", 4).classes.said
    assert of(model, "2", 4).classes.said == "it is the logit of class 4"
    assert of(model, "2", 4).classes.feature is None


def test_without_labels_the_network_is_asked():
    model = Network()
    found = of(model, "colour", 0).classes
    asked = model(images()).argmax(1).unique()
    assert found.labelled == "the network" and found.classes.tolist() == asked.tolist()


def test_without_labels_or_logits_there_are_no_classes():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    found = of(model, "0", 1)
    assert "no labels" in found.classes and found.class_names is None
    told = of(model, "0", 1, labels=LABELS).classes
    assert told.classes.tolist() == [1, 2, 4] and told.feature is None


@pytest.mark.parametrize("mean, entropy", [([0.2, 0.2, 0.2], 1.0), ([0.0, 3.0, 0.0], 0.0), ([1.0, 1.0, -5.0, 0.0], 0.5)])
def test_class_entropy_by_hand(mean: list[float], entropy: float):
    assert classes.class_entropy(torch.tensor(mean)) == pytest.approx(entropy)


@pytest.mark.parametrize("mean", [[0.4], [-1.0, 0.0], [0.0, 0.0]])
def test_class_entropy_of_nothing_is_nan(mean: list[float]):
    assert math.isnan(classes.class_entropy(torch.tensor(mean)))


# --- its picture ---


def test_the_picture_is_that_of_decode_and_answers_like_the_filter(inner):
    found, _ = inner
    direct = decoding.decode(deep(), "0", [2], input_size=(3, 12, 13))
    assert torch.equal(found.picture.decoded.images, direct.images) and found.picture.n == 3
    assert found.picture.correlation == pytest.approx(1.0, abs=1e-6)  # a first layer is linear


def test_the_correlation_is_over_all_units_of_all_images():
    model, x = deep(), pictures()
    found = of(model, "2", 3, x).picture
    with torch.no_grad():
        maps = stop_at(model, "2")(x)[:, 3]
    answers = decoding.respond(decoding.decode(model, "2", [3], input_size=(3, 12, 13)), x)[:, 0]
    direct = float(torch.corrcoef(torch.stack([maps.flatten(), answers.flatten()]))[0, 1])
    assert found.correlation == pytest.approx(direct, abs=1e-5) and abs(direct) < 0.999


def test_a_network_that_cannot_be_decoded_says_why_and_the_rest_is_there():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.last = nn.Conv2d(3, 6, 2), nn.Conv2d(6, 5, 2)
            self.head = nn.Linear(5, CLASSES)

        def forward(self, x):
            x = self.stem(x)
            x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
            return self.head(self.last(x).relu().mean((2, 3)))

    torch.manual_seed(0)
    found = of(Gated(), "last", 1)
    assert "depends on the image" in found.picture and set(found.missing()) == {"picture", "gates"}
    assert isinstance(of(Gated(), "stem", 1).picture, room.Picture)


# --- what drives it ---


def test_the_images_it_answers_to_most_are_shown(red, inner):
    assert red.content.chosen.tolist() == [0]  # the reddest
    assert torch.equal(red.content.images, images()[:1])
    found, scaled = inner
    with torch.no_grad():
        strength = deep()[:2](scaled.apply(pictures()))[:, 2].abs().mean((1, 2))
    assert found.content.chosen.tolist() == strength.argsort(descending=True)[:2].tolist()
    assert torch.equal(found.content.images, pictures()[found.content.chosen])  # as given, not as the network sees them


def test_isolation_and_baselines_are_those_of_the_lenses(inner):
    found, scaled = inner
    x = scaled.apply(pictures())[found.content.chosen]
    direct = isolate(deep(), "0", 2, x, max_iter=4, seed=3)
    assert torch.equal(found.content.isolation.images, direct.images)
    assert list(found.content.baselines) == ["gradient", "deconvolution", "guided", "lrp"]
    for method, pattern in found.content.baselines.items():
        assert torch.equal(pattern, explain(deep(), "0", 2, x, method=method))
    assert torch.equal(found.content.ssim["isolation"], direct.measure().ssim)
    assert torch.equal(found.content.selectivity["original"], direct.measure().selectivity_before)
    with torch.no_grad():
        assert torch.allclose(found.content.maps, deep()[:2](x)[:, 2])


def test_a_baseline_is_measured_on_its_own_image(inner):
    found, _ = inner
    with torch.no_grad():
        energy = deep()[:2](found.content.baselines["guided"]).square().sum((2, 3))
    assert found.content.selectivity["guided"].tolist() == pytest.approx((energy[:, 2] / energy.sum(1)).tolist(), rel=1e-5)


def test_a_silent_filter_has_no_content_and_says_so():
    found = of(Network(), "colour", 3)  # red + green - 4 blue is negative everywhere but on image 2 and 3
    assert found.content.chosen.tolist() in ([2], [3])
    assert "zero on all 2 images" in of(Network(), "colour", 3, images()[4:]).content


def test_a_method_without_a_rule_says_so_and_the_others_stay():
    content = of(deep(nn.SiLU()), "2", 0, pictures()).content
    assert not isinstance(content.isolation, str) and not isinstance(content.baselines["gradient"], str)
    for method in ("deconvolution", "guided", "lrp"):
        assert "silu" in content.baselines[method].lower() and method not in content.ssim


def test_fewer_images_than_asked_for_are_shown():
    assert len(of(Network(), "colour", 1, images()[:2], shown=5).content.chosen) == 2


# --- its gates ---


def table() -> torch.Tensor:
    found = torch.zeros(CLASSES, 4)
    found[:, 3] = torch.tensor([0.0, 1.0, 0.25, 0.75, 1.0])
    found[0, :3] = 1
    return found


def test_the_gates_are_those_of_the_feature_that_the_filter_writes():
    found = of(Network(), "colour", 0, gates=table()).gates
    assert found.values.tolist() == [0.0, 1.0, 0.25, 0.75, 1.0] and found.owners == (1, 4) and found.open == 3
    assert found.density == pytest.approx(0.6) and found.layer_density == pytest.approx(6 / 20)


def test_a_gated_classifier_brings_its_own_gates_and_names_layers_as_inside():
    model = GatedClassifier(Network(), CLASSES, gates=table(), learned=False)
    found = of(model, "colour", 0)
    assert found.gates.values.tolist() == table()[:, 3].tolist() and found.classes.feature == 3 and found.name == "Network"


def test_gates_on_a_named_layer_are_those_of_its_channel():
    rows = torch.zeros(CLASSES, 4)
    rows[0] = 1
    rows[:, 1] = torch.tensor([0.5, 0.0, 1.0, 0.0, 0.0])
    model = GatedClassifier(Network(), CLASSES, layer="relu", gates=rows, learned=False)
    assert of(model, "colour", 1).gates.values.tolist() == rows[:, 1].tolist()
    assert "'relu'" in of(model, "early", 2).gates


def test_no_gates_and_gates_elsewhere_are_told_apart():
    assert of(Network(), "colour", 0).gates == "the network was not trained with gates"
    assert "pooled features" in of(Network(), "early", 0, gates=table()).gates


# --- the whole ---


def test_nothing_of_the_model_or_the_images_is_changed():
    model, x, labels, gates = deep().train(), pictures(), torch.tensor([0, 3, 1]), torch.rand(4, 6)
    model[2].eval()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept, rng = (x.clone(), labels.clone(), gates.clone()), torch.random.get_rng_state()
    of(model, "4", 1, x, labels, gates=gates)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [True, True, False, True, True, True, True, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 7 and all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert all(torch.equal(a, b) for a, b in zip((x, labels, gates), kept, strict=True))
    assert torch.equal(torch.random.get_rng_state(), rng)


def test_a_lens_that_breaks_leaves_its_words_and_the_other_parts(monkeypatch: pytest.MonkeyPatch):
    def broken(*args, **options):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(decoding, "decode", broken)
    found = of(Network(), "colour", 0)
    assert found.picture == "RuntimeError: out of luck" and set(found.missing()) == {"picture", "gates"}
    assert "picture, gates" in repr(found)


def test_the_same_seed_gives_the_same_passport():
    first, second = (of(deep(), "2", 0, pictures(), seed=4) for _ in range(2))
    assert torch.equal(first.content.isolation.images, second.content.isolation.images)
    assert torch.equal(first.place.code, second.place.code) and torch.equal(first.classes.mean, second.classes.mean)


def test_it_works_in_double_precision_on_a_linear_layer_and_on_a_transposed_convolution():
    found = of(Network().double(), "final", 2)
    assert found.n_filters == CLASSES and found.weight.shape == (4,) and found.kind == "Linear, 4 → 5" and not isinstance(found.place, str)
    up = [nn.Conv2d(3, 3, 1), nn.ConvTranspose2d(3, 4, 2, stride=2, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    raised = of(nn.Sequential(*up, nn.Linear(4, 2)), "1", 3)
    assert raised.weight.shape == (3, 2, 2) and "only convolutions" in raised.picture and raised.classes.feature == 3
    assert raised.kind == "ConvTranspose2d, 3 → 4 channels, 2 × 2, stride 2, no bias"


def test_a_channel_is_shifted_and_silenced_without_a_trace():
    model = Network()
    found = response.written(model, "colour", 1, images()[:2], lambda x: response.pooled(model, x))
    assert found.reached.tolist() == [False, False, True, False] and found.only == 2 and found.alone
    both = response.written(model, "early", 2, images()[:2], lambda x: response.pooled(model, x))
    assert both.reached.tolist() == [True, True, False, False] and both.only is None
    assert not model.colour._forward_hooks


# --- in words ---


def test_every_part_has_a_sentence_and_every_missing_one_its_reason(red, inner):
    for found in (red, inner[0], of(deep(), "4", 1, pictures())):
        for part in room.PARTS:
            said = words.sentence(found, part)
            assert re.fullmatch(r"[A-Z0-9].*\.", said, flags=re.DOTALL)
            if part in found.missing():
                assert found.missing()[part] in said and said.startswith("Not for this filter: ")


def test_the_sentences_hold_the_numbers(red):
    named = of(Network(), "colour", 0, labels=LABELS, classes=["zero", "one", "two", "three", "four"], gates=table())
    assert "writes the pooled feature 3." in words.sentence(named, "classes") and "one, two, four" in words.sentence(named, "classes")
    assert f"Class entropy {ENTROPY:.2f}" in words.sentence(named, "classes")
    assert "Shared by one, four; 3 of 5 gates" in words.sentence(named, "gates")
    assert "r = 1.00" in words.sentence(named, "picture")
    place = words.sentence(of(triangle(), "0", 0, torch.rand(2, 2, 4, 5)), "place")
    assert "mixes 3 of 3 archetypes: rank 1 of the 12 filters of its layer (1 = most redundant), a score that 8 of them have" in place
    assert words.measured(named.content, "original", 0).startswith("share\xa0")
    tiny = dataclasses.replace(named, place=dataclasses.replace(of(triangle(), "0", 0, torch.rand(2, 2, 4, 5)).place, distance=4e7))
    assert "next to nothing" in words.sentence(tiny, "place") and "40000000" not in words.sentence(tiny, "place")
