"""Distance targets and weights: exact where they count, and nothing counts that is not known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from scipy.ndimage import gaussian_filter

from dacapo.errors import InvalidArray, InvalidLabels
from dacapo.experiments.arraytypes import DistanceArray
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.predictors import DistancePredictor
from dacapo.experiments.tasks.predictors.boundary_distance import signed_distance

VOXEL = (12, 4, 4)
OFFSET = (120, 40, -8)
SCALE = 10.0


def blobs(shape: tuple[int, ...], seed: int = 0, fraction: float = 0.3) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    return (field > np.quantile(field, 1 - fraction)).astype(np.uint8)


def array(data: np.ndarray, voxel_size: tuple[int, ...] = VOXEL) -> NumpyArray:
    return NumpyArray(data, voxel_size, OFFSET[-len(voxel_size) :])


def predictor(*channels: str, mask_distances: bool = True) -> DistancePredictor:
    return DistancePredictor(channels or ("mito",), SCALE, mask_distances)


def test_target_is_the_squashed_distance_where_the_labels_are() -> None:
    labels = np.stack([blobs((6, 14, 15), seed) for seed in range(2)])
    target = predictor("mito", "er").create_target(array(labels))
    assert (target.dtype, target.shape) == (np.float32, labels.shape)
    assert (target.voxel_size, target.offset) == (Coordinate(VOXEL), Coordinate(OFFSET))
    assert target.axis_names == ["c^", "z", "y", "x"]
    expected = np.stack([np.tanh(signed_distance(channel == 1, VOXEL) / SCALE) for channel in labels])
    np.testing.assert_allclose(target.data, expected, rtol=1e-6)
    assert ((target.data > 0) == (labels == 1)).all()


def test_one_class_needs_no_channel_axis() -> None:
    labels = blobs((14, 15))
    flat, stacked = (predictor().create_target(array(data, (4, 4))) for data in (labels, labels[np.newaxis]))
    np.testing.assert_array_equal(flat.data, stacked.data)
    assert flat.axis_names == ["c^", "y", "x"]


@pytest.mark.parametrize("label", [0, 1])
def test_target_without_a_surface_in_sight_is_saturated(label: int) -> None:
    target = predictor().create_target(array(np.full((4, 4, 4), label, np.uint8)))
    np.testing.assert_array_equal(target.data, 1.0 if label else -1.0)


def test_binary_labels_of_any_type_give_the_same_target() -> None:
    labels = blobs((6, 14, 15))
    targets = [
        predictor().create_target(array(labels.astype(t))).data
        for t in (np.uint8, bool, np.float32, np.uint64)
    ]
    for target in targets[1:]:
        np.testing.assert_array_equal(target, targets[0])


@pytest.mark.parametrize("seed", range(3))
def test_what_counts_stays_right_whatever_lies_beyond_the_block(seed: int) -> None:
    world = blobs((20, 50, 50), seed)
    inside = (slice(5, 13), slice(14, 34), slice(12, 36))
    truth = np.tanh(signed_distance(world == 1, VOXEL) / SCALE)[inside]
    gt = array(world[inside])
    target = predictor().create_target(gt)
    weight, _ = predictor().create_weight(gt, target)
    counts = weight.data[0] > 0
    assert 0.2 < counts.mean() < 1
    assert np.abs(target.data[0] - truth)[counts].max() <= 0.05
    assert np.abs(target.data[0] - truth).max() > 0.1  # so leaving out was needed
    free, _ = predictor(mask_distances=False).create_weight(gt, target)
    assert (free.data > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_what_counts_stays_right_whatever_a_mask_hides(seed: int) -> None:
    labels, mask = blobs((8, 24, 24), seed), blobs((8, 24, 24), seed + 50, 0.85)
    other = np.where(mask == 1, labels, 1 - labels)
    targets = [predictor().create_target(array(one)) for one in (labels, other)]
    weights = [
        predictor().create_weight(array(one), target, array(mask))[0].data
        for one, target in zip((labels, other), targets, strict=True)
    ]
    apart = np.abs(targets[0].data - targets[1].data)
    for weight in weights:
        assert (weight > 0).mean() > 0.1
        assert not (weight[:, mask == 0] > 0).any()
        assert apart[weight > 0].max() <= 0.05
    assert apart[:, mask == 1].max() > 0.1  # so leaving out was needed


def test_with_its_region_of_ground_truth_every_voxel_counts_and_is_right() -> None:
    world = array(blobs((20, 50, 50), 4))
    whole = np.tanh(signed_distance(world.data == 1, VOXEL) / SCALE)
    roi = Roi(Coordinate(OFFSET) + Coordinate(VOXEL) * 8, Coordinate(VOXEL) * 5)
    region = predictor().gt_region_for_roi(roi, Coordinate(VOXEL))
    assert region.contains(roi)
    assert (region.offset - world.offset).is_multiple_of(world.voxel_size)
    gt = NumpyArray(world[region], VOXEL, region.offset)
    target = predictor().create_target(gt)
    weight, _ = predictor().create_weight(gt, target)
    assert (weight[roi] > 0).all()
    assert np.abs(target[roi][0] - whole[world.slices(roi)]).max() <= 0.05


@pytest.mark.parametrize("hidden", [0.0, 0.005])
def test_a_region_alone_is_the_same_as_cut_from_the_whole(hidden: float) -> None:
    gt = array(np.stack([blobs((12, 30, 31), seed) for seed in range(2)]))
    mask = array((np.random.default_rng(0).random((12, 30, 31)) >= hidden).astype(np.uint8))
    both, roi = predictor("mito", "er"), Roi((156, 80, 16), (72, 60, 72))
    counts = np.array([[1, 3], [2, 2]])
    whole = both.create_target(gt)
    part = both.create_target(gt, roi)
    assert part.roi == roi
    np.testing.assert_array_equal(part.data, whole[roi])
    weight, _ = both.create_weight(gt, part, mask, counts)
    expected, _ = both.create_weight(gt, whole, mask, counts)
    assert weight.roi == roi
    np.testing.assert_array_equal(weight.data, expected[roi])
    assert ((weight.data == 0).any()) == (hidden > 0)
    _, own = both.create_weight(gt, part, mask)
    assert own.sum() == 2 * np.count_nonzero(mask[roi])


@pytest.mark.parametrize("masked", [False, True])
def test_without_a_surface_only_what_is_far_from_the_unknown_counts(masked: bool) -> None:
    gt = array(np.ones((9, 24, 24), np.uint8))
    mask = np.ones(gt.shape, np.uint8)
    mask[0, 0, 0] = not masked
    weight, _ = predictor().create_weight(gt, predictor().create_target(gt), array(mask))
    # Saturation is 18.3 away: beyond voxel 1 along z (12 wide), beyond voxel 4 along y and x (4 wide).
    expected = np.zeros(gt.shape, bool)
    expected[2:-2, 5:-5, 5:-5] = True
    np.testing.assert_array_equal(weight.data[0] > 0, expected)


def test_padding_reaches_to_where_the_target_saturates() -> None:
    padding = predictor().padding(Coordinate(VOXEL))
    reach = predictor().saturation_distance
    assert math.tanh(reach / SCALE) == pytest.approx(0.95)
    for step, grown in zip(VOXEL, padding, strict=True):
        assert grown % step == 0
        assert reach <= grown < reach + step


def test_weights_balance_inside_and_outside() -> None:
    labels = np.zeros((1, 4, 10), np.uint8)
    labels[..., 0] = 1  # a tenth
    gt = array(labels)
    plain = predictor(mask_distances=False)
    weight, counts = plain.create_weight(gt, plain.create_target(gt))
    np.testing.assert_array_equal(counts, [[36, 4]])
    np.testing.assert_allclose(weight.data[0, 0, 0], [5.0] + [1 / 1.8] * 9, rtol=1e-6)
    assert weight.data.dtype == np.float32
    given = np.array([[50, 50]])
    weight, counts = plain.create_weight(gt, plain.create_target(gt), None, given)
    np.testing.assert_allclose(weight.data, 1)
    np.testing.assert_array_equal(counts, given)


def test_counts_of_blocks_add_up_and_leave_out_what_is_masked() -> None:
    labels, mask = np.stack([blobs((4, 8, 8), seed) for seed in range(2)]), blobs((4, 8, 8), 9, 0.6)
    counts = predictor("a", "b").class_counts(array(labels), array(mask))
    for channel in range(2):
        inside = labels[channel][mask == 1]
        assert counts[channel].tolist() == [(inside == 0).sum(), inside.sum()]
    plain = predictor("a", "b", mask_distances=False)
    weight, own = plain.create_weight(array(labels), plain.create_target(array(labels)), array(mask))
    np.testing.assert_array_equal(own, counts)
    assert (weight.data[:, mask == 0] == 0).all()
    # Inside and outside together weigh the same, as long as no fraction is clipped.
    for channel in range(2):
        sums = [weight.data[channel][labels[channel] == value].sum() for value in (0, 1)]
        assert sums[0] == pytest.approx(sums[1], rel=1e-4)


def test_a_mask_may_have_a_channel_for_each_class() -> None:
    labels = np.stack([blobs((4, 8, 8), seed) for seed in range(2)])
    mask = np.stack([np.zeros((4, 8, 8), np.uint8), np.ones((4, 8, 8), np.uint8)])
    plain = predictor("a", "b", mask_distances=False)
    weight, counts = plain.create_weight(array(labels), plain.create_target(array(labels)), array(mask))
    assert (weight.data[0] == 0).all()
    assert (weight.data[1] > 0).all()
    assert counts[0].sum() == 0
    with pytest.raises(InvalidArray, match="3 channels, but should have one for all classes or 2"):
        plain.class_counts(array(labels), array(np.ones((3, 4, 8, 8), np.uint8)))


def test_labels_that_are_not_binary_are_refused_unless_masked_out() -> None:
    labels = blobs((4, 8, 8))
    labels[0, 0, :3] = 2, 7, 255
    gt = array(labels)
    target = predictor().create_target(gt)
    with pytest.raises(
        InvalidLabels, match=r"'mito' of .* labels 2, 7, 255, but only 0 to 1 .* BinarizeArrayConfig"
    ):
        predictor().create_weight(gt, target)
    with pytest.raises(InvalidLabels):
        predictor().class_counts(gt)
    mask = array((labels < 2).astype(np.uint8))
    assert predictor().class_counts(gt, mask).sum() == labels.size - 3
    weight, _ = predictor().create_weight(gt, target, mask)
    assert (weight.data[0, 0, 0, :3] == 0).all()


def test_fractions_are_no_labels() -> None:
    with pytest.raises(InvalidLabels, match=r"0\.5"):
        predictor().class_counts(array(np.full((2, 2, 2), 0.5, np.float32)))


def test_a_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(InvalidArray, match=r"1 channel\(s\), but the task predicts 2 \(mito, er\)"):
        predictor("mito", "er").create_target(array(blobs((4, 8, 8))))


def test_predictions_are_distances() -> None:
    assert predictor("mito").output_array_type == DistanceArray(["mito"])
