"""Planted worlds: each is what its docstring claims, the same again for the same seed, and a perfect answer to it scores 1."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from filterlens.lenses.filter_ranking import FilterRanking
from filterlens.lenses.simplex import simplex_codes
from filterlens.synthesis import truth

torch.set_num_threads(1)
ALL = truth.worlds()
LEVELS = (0.0, 0.5, 1.0)


def perfect(world: truth.World) -> Tensor:
    if world.question in ("redundancy", "isolation"):
        return world.truth.float()
    return world.truth.clamp(min=0) if world.question == "gates" else world.truth


def unexplained(filters: Tensor, by: Tensor) -> Tensor:
    """The distance of each filter (n, ...) to the convex hull of others (m, ...), over its norm."""
    X, D = filters.flatten(1).double().T, by.flatten(1).double().T
    return (X - D @ simplex_codes(X, D).A).norm(dim=0) / X.norm(dim=0)


def split(world: truth.World) -> tuple[Tensor, Tensor]:
    """The redundant filters and the needed ones, (n, l) each."""
    rows = world.given.weight.flatten(1)
    assert world.given.n_redundant == int(world.truth.sum())
    return rows[world.truth], rows[~world.truth]


def answers(world: truth.World, image: Tensor) -> Tensor:
    with torch.no_grad():
        return world.given.model(image)[0]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", LEVELS)
def test_a_seed_makes_one_world_and_a_perfect_answer_scores_one(name: str, level: float) -> None:
    state = torch.get_rng_state()
    world, again, other = truth.build(name, level, 3), truth.build(name, level, 3), truth.build(name, level, 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert (world.name, world.difficulty, world.seed, world.given.seed) == (name, level, 3, 3)
    assert name in truth.worlds(world.question)
    assert all(torch.equal(a, b) for a, b in zip(world.tensors(), again.tensors(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(world.tensors()[1:], other.tensors()[1:], strict=True))
    assert truth.score(world, perfect(world)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_every_world_says_whom_it_favours(name: str) -> None:
    said = next(of[name] for of in truth.WORLDS.values() if name in of).__doc__
    assert "Favours: " in said and "ial: " in said and "Raises TypeError or ValueError" in said


def test_a_worlds_tensors_are_all_that_it_is_made_of() -> None:
    world = truth.scaled(0.5, 0)
    assert [id(one) for one in world.tensors()] == [id(world.truth), id(world.given.weight)]
    world = truth.flags(0.5, 0)
    assert [tuple(one.shape) for one in world.tensors()] == [(5, 3, 8, 10), (512, 3, 8, 10), (6, 3, 3, 3), (5, 6, 3, 4)]


def test_every_question_has_worlds_methods_and_a_score() -> None:
    assert tuple(truth.WORLDS) == tuple(truth.METHODS) == tuple(truth.SCORES) == truth.QUESTIONS
    assert len(ALL) == len(set(ALL)) == 18
    assert all("random" in truth.methods(question) for question in truth.QUESTIONS)


@pytest.mark.parametrize(("level", "parents"), [(0.0, 8), (0.5, 5), (1.0, 2)])
def test_mixtures_are_mixtures_of_so_many_needed_filters(level: float, parents: int) -> None:
    sizes = set()
    for seed in range(3):
        redundant, needed = split(truth.mixtures(level, seed))
        codes = simplex_codes(redundant.double().T, needed.double().T).A
        assert ((codes > 1e-4).sum(0) <= parents).all() and (codes > 1e-4).sum(0).double().mean() > parents - 0.2
        assert unexplained(redundant, needed).max() < 1e-5
        assert unexplained(needed[:1], needed[1:]) > 0.5
        assert 8 <= len(needed) <= 24 and len(needed) + len(redundant) == 48
        sizes.add(len(needed))
    assert len(sizes) > 1
    assert truth.mixtures(level, 0).given.weight.shape == (48, 6, 3, 5)


def test_noise_on_mixtures_is_as_large_as_the_dial_says() -> None:
    exact, half, full = (split(truth.noisy(level, 1)) for level in LEVELS)
    assert torch.equal(exact[1], half[1]) and torch.equal(exact[1], full[1])
    assert unexplained(*exact).max() < 1e-5
    for level, found in ((0.5, half), (1.0, full)):
        noise = (found[0] - exact[0]).norm(dim=1) / exact[0].norm(dim=1)
        torch.testing.assert_close(noise, torch.full_like(noise, level))


def test_bystanders_are_needed_and_as_near_the_middle_as_mixtures() -> None:
    for level, n in ((0.0, 0), (0.5, 9), (1.0, 18)):
        redundant, needed = split(truth.bystanders(level, 2))
        assert len(needed) == 28 and unexplained(redundant, needed).max() < 1e-5
        far, near = ((rows - redundant.mean(0)).norm(dim=1) for rows in (needed, redundant))
        twins = (far[:, None] - near).abs().amin(1) < 1e-6
        assert int(twins.sum()) == n
        parents = needed[~twins]
        assert unexplained(redundant, parents).max() < 1e-5
        if n:
            assert unexplained(needed[twins], parents).min() > 0.5


def test_scaled_copies_have_a_twin_and_the_others_none() -> None:
    for level in LEVELS:
        redundant, needed = split(truth.scaled(level, 0))
        unit = redundant / redundant.norm(dim=1, keepdim=True)
        cosines = (unit @ unit.T).fill_diagonal_(0)
        torch.testing.assert_close(cosines.amax(1), torch.ones(24))
        lengths = redundant.norm(dim=1)
        ratio = (lengths / lengths[cosines.argmax(1)]).log().abs()
        assert ratio.max() <= math.log(3) * level + 1e-5 and ratio.max() >= math.log(3) * level / 2
        other = needed / needed.norm(dim=1, keepdim=True)
        assert (other @ other.T).fill_diagonal_(0).max() < 0.6 and (other @ unit.T).max() < 0.6


def test_long_filters_are_redundant_and_short_ones_are_not() -> None:
    redundant, needed = split(truth.long(1.0, 0))
    assert unexplained(redundant, needed).max() < 1e-5
    family = needed[needed.norm(dim=1) > 2.5]
    assert len(family) == 8 and unexplained(redundant, family).max() < 1e-5
    assert redundant.norm(dim=1).min() > needed.norm(dim=1).sort().values[23]
    redundant, needed = split(truth.long(0.0, 0))
    assert redundant.norm(dim=1).mean() < 1.1 * needed.norm(dim=1).mean()


def test_a_class_is_stronger_in_its_own_features() -> None:
    for name in truth.worlds("influence"):
        world = truth.build(name, 0.0, 0)
        x, y = world.given.features, world.given.labels
        assert x.shape == (120, 40) and x.min() == 0 and y.bincount().tolist() == [24] * 5 and not torch.equal(y, y.sort().values)
        for c, chosen in enumerate(world.truth):
            rise = x[y == c].mean(0) - x[y != c].mean(0)
            assert set(rise.topk(4).indices.tolist()) == set(chosen.tolist())
        assert (world.given.linear(x).argmax(1) == y).double().mean() > 0.9


def test_the_classifier_of_a_world_is_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    given = truth.blocks(0.5, 1).given
    target = nn.functional.one_hot(given.labels, 5).double()
    wanted = Ridge(alpha=0.1 * 120).fit(given.features.double().numpy(), target.numpy())
    torch.testing.assert_close(given.linear.weight.double(), torch.tensor(wanted.coef_), atol=1e-6, rtol=0)
    torch.testing.assert_close(given.linear.bias.double(), torch.tensor(wanted.intercept_), atol=1e-6, rtol=0)


def test_a_drowned_signal_is_none_at_the_dials_end() -> None:
    world = truth.blocks(1.0, 0)
    member = torch.zeros(5, 40).scatter_(1, world.truth, 1.0)[world.given.labels].bool()
    assert abs(float(world.given.features[member].mean() - world.given.features[~member].mean())) < 0.1


def test_loud_features_are_largest_in_every_class_and_in_no_set() -> None:
    world = truth.loud(1.0, 0)
    means = torch.stack([world.given.features[world.given.labels == c].mean(0) for c in range(5)])
    loudest = {frozenset(row.tolist()) for row in means.topk(8).indices}
    assert len(loudest) == 1 and not next(iter(loudest)) & set(world.truth.flatten().tolist())
    assert float(truth.loud(0.0, 0).given.features.max()) < 8 < float(world.given.features.max())


@pytest.mark.parametrize(("level", "n"), [(0.0, 0), (0.3, 1), (0.6, 2), (1.0, 3)])
def test_neighbours_share_so_many_features(level: float, n: int) -> None:
    sets = [set(row.tolist()) for row in truth.shared(level, 0).truth]
    assert [len(sets[c] & sets[(c + 1) % 5]) for c in range(5)] == [n] * 5 and all(len(one) == 4 for one in sets)


def test_owned_filters_answer_to_their_class_and_shared_ones_to_all() -> None:
    for name in truth.worlds("gates"):
        world = truth.build(name, 0.0, 1)
        x, y, owner = world.given.features, world.given.labels, world.truth
        assert owner.bincount(minlength=4).tolist() == [5] * 4 if (owner >= 0).all() else owner[owner >= 0].bincount().tolist() == [5] * 4
        assert int((owner == -1).sum()) == 2 and x.shape == (160, 22)
        means = torch.stack([x[y == c].mean(0) for c in range(4)])
        assert torch.equal(means.argmax(0)[owner >= 0], owner[owner >= 0])
        assert (means[:, owner < 0].amin(0) > 0.7).all()


def test_rivals_outliers_and_sizes_grow_with_the_dial() -> None:
    rival = truth.overlap(1.0, 0)
    means = torch.stack([rival.given.features[rival.given.labels == c].mean(0) for c in range(4)])[:, rival.truth >= 0].sort(0).values
    assert (means[2] - means[1]).mean() > 2 * (means[3] - means[2]).mean()  # owner and rival stand out alike
    quiet, loud = truth.outliers(0.0, 0).given.features, truth.outliers(1.0, 0).given.features
    changed = loud != quiet
    assert 0.01 < changed.double().mean() < 0.04 and float((loud - quiet).max()) > 20  # a tenth of a quarter of the images
    assert not changed[:, truth.outliers(0.0, 0).truth < 0].any()
    even, uneven = truth.unequal(0.0, 0).given.features, truth.unequal(1.0, 0).given.features
    size = uneven.sum(0) / even.sum(0)
    torch.testing.assert_close(uneven, even * size) and size.log().std() > 1.5


def test_characters_are_drawn_as_the_network_reads_them() -> None:
    world = truth.characters(0.0, 0)
    assert world.truth.shape == (8, 1, 14, 14) and set(world.truth.unique().tolist()) == {0.0, 1.0}
    with torch.no_grad():
        table = world.given.model(world.truth).flatten(1)
    assert table.argmax(1).tolist() == list(range(8))
    upright = world.truth[2, 0]  # the letter L: a bar on the left, two pixels wide, a foot, and nothing above on the right
    assert upright[2:10, 2:4].all() and upright[12:14, 5:10].sum() >= 0 and not upright[:8, 6:].any()


def test_noise_in_upper_weights_is_as_large_as_the_dial_says() -> None:
    clean, noisy = truth.characters(0.0, 0).given.model, truth.characters(0.5, 0).given.model
    assert torch.equal(clean.strokes.weight, noisy.strokes.weight)
    for a, b in ((clean.parts.weight, noisy.parts.weight), (clean.characters.weight, noisy.characters.weight)):
        torch.testing.assert_close((b - a).flatten(1).norm(dim=1), a.flatten(1).norm(dim=1))


def test_flags_are_answered_by_their_own_unit() -> None:
    world = truth.flags(0.0, 0)
    with torch.no_grad():
        table = world.given.model(world.truth).flatten(1)
    assert table.argmax(1).tolist() == list(range(5)) and world.truth.shape == (5, 3, 8, 10)
    assert not world.truth[:, :, 0].any() and not world.truth[:, :, -1].any() and world.truth[:, :, 1:-1, 1:-1].abs().sum(1).min() == 2


def test_the_template_of_two_paths_is_the_linear_network_with_a_mean_over_places() -> None:
    world = truth.paths(0.0, 0)
    model = world.given.model
    model.pool = nn.AvgPool2d(2)
    image = torch.zeros(1, 1, 12, 14, requires_grad=True)
    slopes = [torch.autograd.grad(model(image)[0, k, 0, 0], image)[0][0] for k in range(6)]
    torch.testing.assert_close(torch.stack(slopes), world.truth, atol=1e-5, rtol=0)


def test_rectified_units_answer_to_the_negative_as_the_dial_says() -> None:
    for level in (0.0, 1.0):
        world = truth.rectified(level, 0)
        ratio = torch.cat([answers(world, -image[None])[k] / answers(world, image[None])[k] for k, image in enumerate(world.truth)])
        assert ratio.mean() == pytest.approx(level, abs=0.35)
    weight = truth.rectified(0.4, 0).given.model.patterns.weight
    assert torch.equal(weight[:6], -weight[6:])


@pytest.mark.parametrize("name", truth.worlds("isolation"))
def test_the_cause_makes_the_kernel_answer(name: str) -> None:
    for seed in range(4):
        world = truth.build(name, 0.3, seed)
        image = world.given.image
        assert image.shape[2:] == (24, 31) and int(world.truth.sum()) == world.given.n_pixels and 0 < world.truth.double().mean() < 0.05
        without = torch.where(world.truth, 0, image)
        before, after = answers(world, image)[0], answers(world, without)[0]
        at = divmod(int(before.argmax()), before.shape[1])
        step = 24 // before.shape[0]
        assert world.truth[at[0] * step : (at[0] + 1) * step, at[1] * step : (at[1] + 1) * step].any()
        assert after[at] < 0.35 * before[at]


def test_patches_have_six_hues_and_red_is_the_cause() -> None:
    world = truth.patches(0.0, 0)
    image = world.given.image[0]
    assert (image.abs().sum(0) > 0).sum() == 6 * 30 and world.given.n_pixels == 30
    assert (image[:, world.truth] == torch.tensor([1.0, -0.5, -0.5])[:, None]).all()
    assert truth.patches(1.0, 0).given.image.sub(world.given.image).std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("level", "n"), [(0.0, 0), (0.5, 6), (1.0, 11)])
def test_lone_bars_stand_beside_the_plus(level: float, n: int) -> None:
    world = truth.shapes(level, 0)
    ink = world.given.image[0, 0] > 0.5 if level == 0 else truth.shapes(level, 0).given.image[0, 0] > 0.4
    rows, columns = world.truth.nonzero().T
    assert rows.unique().numel() == columns.unique().numel() == 5 and int(world.truth.sum()) == 9
    assert (int(ink.sum()) - 9) / 5 == pytest.approx(n, abs=0 if level == 0 else 8)
    if level == 0:
        assert torch.equal(ink, world.truth)


def test_lone_bars_move_kernels_of_their_own_and_not_that_of_the_plus() -> None:
    world = truth.shapes(0.4, 0)
    ink = (world.given.image > 0.5).float()
    alone = torch.where(world.truth, ink, 0)
    assert int(ink.sum()) == 9 + 4 * 5
    with_bars, plus, bars = (answers(world, image) for image in (ink, alone, ink - alone))
    assert plus[0].max() == pytest.approx(0.4, abs=1e-5) and not bars[0].any()
    torch.testing.assert_close(with_bars[0], plus[0])
    y, x = divmod(int(plus[0].argmax()), plus.shape[2])
    assert not plus[3:, y, x].any() and plus[3:].max() < 0.6 * bars[3:].max()  # only the ends of its arms look like bars


def test_detectors_are_as_alike_as_the_dial_says() -> None:
    for level in LEVELS:
        weight = truth.correlated(level, 0).given.model.hues.weight.flatten(1)
        cosines = weight @ weight[0] / (weight.norm(dim=1) * weight[0].norm())
        torch.testing.assert_close(cosines[1:], torch.full((7,), level), atol=1e-5, rtol=0)


def test_random_answers_score_what_chance_gives() -> None:
    draw = torch.Generator().manual_seed(0)
    found = {question: [] for question in truth.QUESTIONS}
    worlds = {question: [truth.build(name, 0.3, 0) for name in truth.worlds(question)] for question in truth.QUESTIONS}
    for _ in range(100):
        for question, some in worlds.items():
            for world in some:
                if question == "influence":
                    answer = torch.rand(5, 40, generator=draw).topk(4).indices
                elif question == "gates":
                    answer = torch.randint(4, (22,), generator=draw)
                else:
                    answer = torch.rand(world.truth.shape, generator=draw)
                found[question].append(truth.score(world, answer))
    chance = {question: sum(scores) / len(scores) for question, scores in found.items()}
    wanted = {"redundancy": 0.5, "influence": 0.1, "decoding": 0.0, "isolation": 0.0, "gates": 0.25}
    assert chance == pytest.approx(wanted, abs=0.03)


def test_the_worst_answers_score_least() -> None:
    world = truth.mixtures(0.5, 0)
    assert truth.score(world, -world.truth.float()) == 0 and truth.score(world, torch.zeros(48)) == 0.5
    world = truth.flags(0.5, 0)
    assert truth.score(world, -world.truth) == pytest.approx(-1) and truth.score(world, torch.ones_like(world.truth)) == 0
    world = truth.blocks(0.5, 0)
    assert truth.score(world, (world.truth + 1) % 40) < 0.5
    world = truth.overlap(0.5, 0)
    assert truth.score(world, (world.truth + 1) % 4) == 0
    world = truth.patches(0.5, 0)
    assert truth.score(world, 1 - world.truth.float()) == 0 == truth.score(world, torch.zeros(24, 31))


def test_scores_count_what_they_say() -> None:
    world = truth.mixtures(0.5, 0)
    order = torch.cat([world.truth.nonzero()[:, 0], (~world.truth).nonzero()[:, 0]])
    assert truth.score(world, FilterRanking("mine", torch.zeros(48), order)) == 1
    assert truth.score(world, FilterRanking("mine", torch.zeros(48), order.flip(0))) == 0
    swapped = world.truth.float()
    swapped[world.truth.nonzero()[0]] = -1  # one of the redundant filters below all others
    assert truth.score(world, swapped) == pytest.approx(1 - 1 / world.given.n_redundant)

    world = truth.blocks(0.5, 0)
    three = world.truth.flip(1).clone()  # the order within a class does not matter
    three[0, 0] = next(i for i in range(40) if i not in world.truth[0])
    assert truth.score(world, three) == pytest.approx(19 / 20)

    world = truth.overlap(0.5, 0)
    guess = world.truth.clamp(min=0)
    guess[world.truth < 0] = 3  # shared filters do not count
    guess[(world.truth == 0).nonzero()[0]] = 1
    assert truth.score(world, guess) == pytest.approx(19 / 20)

    world = truth.patches(0.5, 0)
    half = world.truth.float()
    half[tuple(world.truth.nonzero()[:15].T)] = 0
    assert truth.score(world, half) == 0.5  # pixels of 0 are not taken, though 15 more may be
    wrong = half.clone()
    wrong[tuple((~world.truth).nonzero()[:15].T)] = 0.5
    assert truth.score(world, wrong) == pytest.approx(15 / 45)
    assert truth.score(world, half + 1e-3) < 0.6  # now 15 are drawn among equals
    assert truth.score(world, half + 1e-3) == truth.score(world, half + 1e-3)

    world = truth.flags(0.5, 0)
    one = world.truth.clone()
    one[0] = -one[0]
    assert truth.score(world, 3 * one + 5) == pytest.approx(3 / 5)
