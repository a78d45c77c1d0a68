"""Overlaps of a whole set: against loops over images, filters and classes, and the identities of spec 004, oracle 9."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from filterlens.lenses import localization
from filterlens.lenses.localization import filter_overlap, image_overlap, localize
from toy_localization import IMAGES, LABELS, LAYER, MASKS, literal_iou, network


def literal_overlap(ious, labels, n_classes, n, reduction):
    """c*, IoU and APn of each filter; loops only. ious: list of n lists of K."""
    reduce = max if reduction == "max" else lambda values: sum(values) / len(values)
    found = []
    for k in range(len(ious[0])):
        table = []
        for c in range(n_classes):
            own = [row[k] for row, label in zip(ious, labels, strict=True) if label == c]
            if own:
                table.append((reduce([float(v >= n / 100) for v in own]), reduce(own), -c))
        ap, iou, minus = max(table)
        found.append((-minus if ap > 0 else -1, iou, ap))
    return found


tables = st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31), st.sampled_from(["mean", "max"]))


@given(tables)
@settings(max_examples=80, deadline=None)
def test_the_overlap_of_filters_is_the_literal_one(drawn):
    n, k, classes, seed, reduction = drawn
    generator = torch.Generator().manual_seed(seed)
    ious = torch.randint(0, 11, (n, k), generator=generator).double() / 20  # ties and exact levels
    labels = torch.randint(0, classes, (n,), generator=generator)
    found = filter_overlap(ious, labels, classes, at=(20, 30), reduction=reduction)
    for level in (20, 30):
        expected = literal_overlap(ious.tolist(), labels.tolist(), classes, level, reduction)
        assert found.best_at(level).tolist() == [row[0] for row in expected]
        assert torch.allclose(found.per_filter[f"ap{level}"], torch.tensor([row[2] for row in expected], dtype=torch.float64))
    expected = literal_overlap(ious.tolist(), labels.tolist(), classes, 20, reduction)
    assert torch.allclose(found.per_filter["iou"], torch.tensor([row[1] for row in expected], dtype=torch.float64))
    assert found.n_unfocused == sum(row[0] == -1 for row in expected)
    for c in range(classes):
        own = [row for row in expected if row[0] == c]
        assert int(found.focused[c]) == len(own)
        if own:
            assert float(found.per_class["iou"][c]) == pytest.approx(sum(row[1] for row in own) / len(own))
            assert float(found.per_class["ap20"][c]) == pytest.approx(sum(row[2] for row in own) / len(own))
        else:
            assert found.per_class["iou"][c].isnan()


@given(tables)
@settings(max_examples=60, deadline=None)
def test_identities_of_overlaps(drawn):
    n, k, classes, seed, _ = drawn
    generator = torch.Generator().manual_seed(seed)
    ious, labels = torch.rand(n, k, generator=generator).double(), torch.randint(0, classes, (n,), generator=generator)
    levels = (10, 20, 30, 50, 100)
    mean, high = (filter_overlap(ious, labels, classes, at=levels, reduction=reduction) for reduction in ("mean", "max"))
    seen = ~mean.iou[:, 0].isnan()
    assert seen.tolist() == [bool((labels == c).any()) for c in range(classes)]
    assert bool((mean.iou[seen] <= high.iou[seen] + 1e-12).all())
    for found in (mean, high):
        stack = torch.stack([found.ap[level][seen] for level in levels])
        assert bool(((stack >= 0) & (stack <= 1)).all() and (stack.diff(dim=0) <= 0).all())  # falls with n
        overall = [found.overall[f"ap{level}"] for level in levels]
        assert overall == sorted(overall, reverse=True)
    for key, level in (("iou", 10), ("ap10", 10), ("ap30", 30)):  # the weighted mean of classes, and the filters of no class
        best = mean.best_at(level)
        focused = torch.bincount(best[best >= 0], minlength=classes)
        total = float((mean.per_class[key].nan_to_num(0) * focused).sum() + mean.per_filter[key][best < 0].sum())
        assert mean.overall[key] == pytest.approx(total / k)


def test_excluded_filters_are_in_no_mean_and_unfocused_ones_in_no_class():
    nan = float("nan")
    ious = torch.tensor([[0.5, nan, 0.1, 0.1], [0.3, nan, 0.0, 0.4], [0.1, nan, 0.15, 0.6]])
    found = filter_overlap(ious, torch.tensor([0, 2, 2]), 3)
    assert found.excluded.tolist() == [False, True, False, False]
    assert found.best.tolist() == [0, -1, -1, 2]
    assert found.focused.tolist() == [1, 0, 1]
    assert found.n_unfocused == 1
    assert found.overall["ap20"] == pytest.approx(2 / 3)
    assert found.overall["iou"] == pytest.approx((0.5 + 0.1 + 0.5) / 3)  # the third: its best class is 0 with 0.1


def test_max_passes_as_soon_as_one_image_does():
    ious = torch.tensor([[0.0], [0.9], [0.1], [0.05]])
    found = filter_overlap(ious, torch.tensor([0, 0, 0, 1]), 2, reduction="max")
    assert found.ap[20].tolist() == [[1.0], [0.0]]
    assert filter_overlap(ious, torch.tensor([0, 0, 0, 1]), 2).ap[20][0, 0] == pytest.approx(1 / 3)


def test_the_overlap_of_images_is_a_plain_mean():
    ious, labels = torch.tensor([0.2, 0.3, 0.1, 0.9]), torch.tensor([0, 0, 2, 0])
    found = image_overlap(ious.double(), labels, 3)
    assert found.overall["iou"] == pytest.approx(0.375)
    assert found.per_class["iou"].nan_to_num(-1).tolist() == pytest.approx([1.4 / 3, -1, 0.1])
    assert found.overall["ap30"] == pytest.approx(0.5)
    assert found.count.tolist() == [3, 0, 1]


def literal_localize(method, model, ties="drop"):
    """One image and one filter at a time; lists of lists of IoU."""
    model = model.eval()
    own = model[:4](IMAGES).detach()
    rows = []
    for at, image in enumerate(IMAGES):
        row = []
        for k in range(own.shape[1]):
            if method == "activation":
                values = own[:, k].flatten().sort(descending=True).values
                cut = values[-int(-(0.3 * len(values)) // 1) - 1]  # the value of rank ceil(0.3 N)
                whole = torch.nn.functional.interpolate(own[at, k][None, None], size=(11, 13), mode="bilinear")[0, 0]
                mask = whole >= cut
                mask = mask & (whole > own[:, k].min()) if ties == "drop" else mask
            else:
                pixels = image[None].clone().requires_grad_()
                model[:4](pixels)[0, k].mean().backward()
                size = pixels.grad[0].norm(dim=0)
                rms = size.square().mean().sqrt()
                mask = torch.from_numpy(gaussian_filter((size / rms).double().numpy(), 2.0)) >= 1 if rms > 0 else size > 0
            row.append(literal_iou(mask, MASKS[at]))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(("method", "ties"), [("activation", "drop"), ("activation", "keep"), ("gradient", "drop")])
@pytest.mark.parametrize("batch", [3, 50])
def test_localize_is_the_literal_loop(method, ties, batch):
    model = network(dead=1)
    model[2].bias.data[3] -= 0.75  # active in few positions
    found = localize(model, LAYER, IMAGES, MASKS, LABELS, method=method, sigma=2.0, ties=ties, batch=batch, max_bytes=3 * 4 * 11 * 13)
    expected = literal_localize(method, model, ties)
    assert found.excluded.tolist() == [False, True, False, False, False]
    assert found.n_excluded == 1
    assert found.ious[:, 1].isnan().all()
    alive = [0, 2, 3, 4]
    assert torch.equal(found.ious[:, alive], expected[:, alive])
    assert float(expected[:, alive].std()) > 0.02
    assert found.overlap.iou.shape == (4, 5)
    assert found.n_tied == (method == "activation")
    by_hand = filter_overlap(found.ious, LABELS, 4)
    assert torch.equal(by_hand.best, found.overlap.best)


def test_ties_kept_cover_everything():
    model = network()
    model[2].bias.data[3] -= 0.75
    kept, dropped = (localize(model, LAYER, IMAGES, MASKS, LABELS, ties=ties) for ties in ("keep", "drop"))
    assert kept.thresholds[3] == 0
    assert torch.equal(kept.ious[:, 3], MASKS.double().mean((1, 2)))
    assert not torch.equal(dropped.ious[:, 3], kept.ious[:, 3])
    assert torch.equal(dropped.ious[:, 0], kept.ious[:, 0])


@pytest.mark.parametrize("method", ["activation", "gradient"])
def test_some_filters_are_those_columns_of_all(method):
    model = network(dead=2)
    every = localize(model, LAYER, IMAGES, MASKS, LABELS, method=method, n_classes=6)
    some = localize(model, LAYER, IMAGES, MASKS, LABELS, method=method, n_classes=6, filters=[4, 2, 0])
    assert torch.equal(some.ious.nan_to_num(-1), every.ious[:, [4, 2, 0]].nan_to_num(-1))
    assert some.filters.tolist() == [4, 2, 0]
    assert some.excluded.tolist() == [False, True, False]
    assert some.overlap.iou.shape == (6, 3)


def test_localize_with_cam_is_the_literal_loop():
    model = network().eval()
    found = localize(model, None, IMAGES, MASKS, LABELS, method="cam", share=0.4, batch=4)
    maps = localization.class_maps(model, IMAGES, LABELS)
    for at in range(7):
        values = maps[at].flatten().sort(descending=True).values
        cut = values[58 - 1]  # 0.4 * 143 = 57.2
        assert float(found.ious[at]) == literal_iou(maps[at] >= cut, MASKS[at])
    assert found.overlap.overall["iou"] == pytest.approx(float(found.ious.mean()))
    assert found.excluded.numel() == found.filters.numel() == 0
    assert len(found.overlap.count) == 4


def test_a_planted_filter_finds_its_object():
    """A network whose filter k answers to colour k: the mask of ActivMap is the coloured square, IoU near 1."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.ReLU())
    model[0].weight.data = torch.eye(3)[:, :, None, None]
    images, masks = torch.zeros(6, 3, 20, 22), torch.zeros(6, 20, 22, dtype=torch.bool)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    for at, c in enumerate(labels.tolist()):
        masks[at, 3 + at : 11 + at, 5 : 12 + at] = True
        images[at, c][masks[at]] = 1.0 + at
    found = localize(model, "1", images, masks, labels)
    assert found.overlap.best.tolist() == [0, 1, 2]
    assert torch.allclose(found.overlap.per_filter["iou"], torch.ones(3).double())
    assert found.n_empty == 0


def test_two_empty_masks_count_as_zero():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.ReLU())
    model[0].weight.data[:] = 1
    images = torch.rand(3, 1, 6, 7) + 0.1
    images[1] = 0
    masks = torch.zeros(3, 6, 7, dtype=torch.bool)
    found = localize(model, "1", images, masks, torch.tensor([0, 1, 0]))
    assert found.n_empty == 2  # image 1 with both filters
    assert found.ious.eq(0).all()
    assert found.overlap.best.tolist() == [-1, -1]
