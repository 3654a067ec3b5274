"""One-hot targets and weights, and those of the dummy."""

from __future__ import annotations

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, InvalidLabels
from dacapo.experiments.arraytypes import EmbeddingArray, ProbabilityArray
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.predictors import DummyPredictor, OneHotPredictor, Predictor

CLASSES = ["background", "mito", "er"]


def array(data: np.ndarray) -> NumpyArray:
    return NumpyArray(data, (8, 4, 4), (80, 0, 4))


def ids(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(3, (4, 5, 6), p=[0.6, 0.3, 0.1]).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_target_has_a_one_for_each_voxel(dtype: type) -> None:
    labels = ids()
    for data in (labels, labels[np.newaxis]):
        target = OneHotPredictor(CLASSES).create_target(array(data.astype(dtype)))
        assert (target.dtype, target.shape, target.offset) == (np.float32, (3, 4, 5, 6), Coordinate(80, 0, 4))
        np.testing.assert_array_equal(target.data.sum(axis=0), 1)
        np.testing.assert_array_equal(target.data.argmax(axis=0), labels)


def test_weights_balance_classes_and_leave_out_what_is_masked() -> None:
    labels, mask = ids(), (ids(1) > 0).astype(np.uint8)
    predictor, gt = OneHotPredictor(CLASSES), array(ids())
    weight, counts = predictor.create_weight(gt, predictor.create_target(gt), array(mask))
    assert counts.tolist() == [((labels == c) & (mask == 1)).sum() for c in range(3)]
    assert (weight.data[:, mask == 0] == 0).all()
    sums = [weight.data[0][labels == c].sum() for c in range(3)]
    assert sums == pytest.approx([mask.sum() / 3] * 3, rel=1e-5)
    np.testing.assert_array_equal(weight.data[0], weight.data[2])


def test_given_counts_take_the_place_of_those_of_the_block() -> None:
    predictor, gt = OneHotPredictor(CLASSES), array(ids())
    weight, counts = predictor.create_weight(gt, predictor.create_target(gt), None, np.array([1, 1, 2]))
    assert counts.tolist() == [1, 1, 2]
    for label, expected in enumerate([4 / 3, 4 / 3, 2 / 3]):
        assert weight.data[0][gt.data == label] == pytest.approx(expected)


def test_balancing_can_be_left_out() -> None:
    predictor, gt, mask = OneHotPredictor(CLASSES, balance_classes=False), array(ids()), ids(1) > 0
    weight, _ = predictor.create_weight(gt, predictor.create_target(gt), array(mask))
    np.testing.assert_array_equal(weight.data[1], mask.astype(np.float32))


def test_weights_of_classes_take_the_place_of_balancing() -> None:
    predictor, gt, mask = OneHotPredictor(CLASSES, weights=[0.5, 1, 4]), array(ids()), ids(1) > 0
    weight, _ = predictor.create_weight(gt, predictor.create_target(gt), array(mask), np.array([1, 1, 1]))
    np.testing.assert_array_equal(weight.data[1], np.array([0.5, 1, 4])[gt.data] * mask)


@pytest.mark.parametrize("label", [255, 1])
def test_the_label_to_ignore_is_as_good_as_masked_out(label: int) -> None:
    labels = ids()
    labels[0, :2] = label
    predictor, gt, mask = OneHotPredictor(CLASSES, ignore_label=label), array(labels), ids(1) > 0
    known = mask & (labels != label)
    for given, counted in ((None, labels != label), (array(mask), known)):
        weight, counts = predictor.create_weight(gt, predictor.create_target(gt), given)
        assert (weight.data[:, ~counted] == 0).all() and (weight.data[:, counted] > 0).all()
        assert counts.tolist() == [((labels == c) & counted).sum() for c in range(3)]
        np.testing.assert_array_equal(counts, predictor.class_counts(gt, given))


def test_ids_of_no_class_are_refused_unless_masked_out() -> None:
    labels = ids().astype(np.int64)
    labels[0, 0, :2] = -1, 9
    predictor, gt = OneHotPredictor(CLASSES), array(labels)
    target = predictor.create_target(gt)
    assert target.data[:, 0, 0, :2].sum() == 0
    with pytest.raises(InvalidLabels, match=r"labels -1, 9, but only 0 to 2 stand for the 3 classes"):
        predictor.create_weight(gt, target)
    mask = array((labels >= 0) & (labels < 3))
    weight, counts = predictor.create_weight(gt, target, mask)
    assert (weight.data[:, 0, 0, :2] == 0).all()
    assert counts.sum() == predictor.class_counts(gt, mask).sum() == labels.size - 2


def test_one_volume_of_ids_is_needed() -> None:
    with pytest.raises(InvalidArray, match="has 2 channels, but this task needs one volume of class ids"):
        OneHotPredictor(CLASSES).create_target(array(np.stack([ids(), ids()])))


def test_no_more_ground_truth_is_needed_than_there_is_target() -> None:
    roi = Roi((80, 0, 4), (16, 8, 8))
    assert OneHotPredictor(CLASSES).gt_region_for_roi(roi, Coordinate(8, 4, 4)) == roi


@pytest.mark.parametrize("predictor", [OneHotPredictor(CLASSES), DummyPredictor(2)], ids=["one-hot", "dummy"])
def test_a_region_alone_is_the_same_as_cut_from_the_whole(predictor: Predictor) -> None:
    gt, mask, roi = array(ids()), array(ids(1) > 0), Roi((88, 4, 4), (16, 12, 8))
    whole, part = predictor.create_target(gt), predictor.create_target(gt, roi)
    assert part.roi == roi
    np.testing.assert_array_equal(part.data, whole[roi])
    counts = predictor.class_counts(gt, mask)
    weight, _ = predictor.create_weight(gt, part, mask, counts)
    assert weight.roi == roi
    np.testing.assert_array_equal(weight.data, predictor.create_weight(gt, whole, mask, counts)[0][roi])
    assert (weight.data == 0).any()


def test_predictions_are_probabilities() -> None:
    assert OneHotPredictor(CLASSES).output_array_type == ProbabilityArray(CLASSES)


def test_dummy_wants_zeros_where_the_mask_lets_it() -> None:
    predictor, gt, mask = DummyPredictor(5), array(ids()), array(ids(1) > 0)
    target = predictor.create_target(gt)
    weight, counts = predictor.create_weight(gt, target, mask)
    assert target.shape == weight.shape == (5, 4, 5, 6)
    assert not target.data.any()
    np.testing.assert_array_equal(weight.data[3], mask.data)
    assert counts.tolist() == [mask.data.sum()]
    free, counts = predictor.create_weight(gt, target)
    assert free.data.all()
    assert counts.tolist() == [gt.data.size]
    assert predictor.output_array_type == EmbeddingArray(5)
