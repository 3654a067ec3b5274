"""Scores of objects against scikit-image, against a slow way, and where nothing is left to compare."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.evaluators import InstanceEvaluationScores, InstanceEvaluator
from dacapo.experiments.tasks.evaluators.instance_scores import THRESHOLDS, Overlaps, instance_scores


def volumes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two volumes of large ids that have something in common."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 14, 3))
    coarse = rng.integers(0, rng.integers(1, 9), shape)
    other = np.where(rng.random(shape) < rng.random(), coarse, rng.integers(0, rng.integers(1, 9), shape))
    return (coarse * 7919).astype(np.uint64), (other * 104729).astype(np.int64)


def slowly(truth: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Match objects one by one."""
    true, found = (set(np.unique(ids).tolist()) - {0} for ids in (truth, test))
    if not true and not found:
        return {}
    ious = [
        np.sum((truth == t) & (test == f)) / np.sum((truth == t) | (test == f)) for t in true for f in found
    ]
    hits = {threshold: sum(iou > threshold for iou in ious) for threshold in THRESHOLDS}
    count = len(true) + len(found)
    return {
        "precision": hits[0.5] / len(found) if found else math.nan,
        "recall": hits[0.5] / len(true) if true else math.nan,
        "f1_score": 2 * hits[0.5] / count,
        "f1_score_75": 2 * hits[0.75] / count,
        "average_precision_50": hits[0.5] / (count - hits[0.5]),
        "average_precision": float(np.mean([hits[t] / (count - hits[t]) for t in THRESHOLDS])),
        "panoptic_quality": 2 * sum(iou for iou in ious if iou > 0.5) / count,
    }


@pytest.mark.parametrize("seed", range(200))
def test_scores_equal_independent_computations(seed: int) -> None:
    truth, test = volumes(seed)
    scores = instance_scores(Overlaps.of(truth, test))
    for name, value in slowly(truth, test).items():
        assert getattr(scores, name) == pytest.approx(value, nan_ok=True), name
    inside = truth != 0
    if not inside.any():
        assert math.isnan(scores.voi) and math.isnan(scores.adapted_rand_error)
        return
    pair = truth[inside].astype(int), test[inside]
    split, merge = variation_of_information(*pair)
    assert (scores.voi_split, scores.voi_merge) == pytest.approx((split, merge), abs=1e-9)
    assert scores.voi == pytest.approx(split + merge, abs=1e-9)
    if inside.sum() > 1:
        with np.errstate(invalid="ignore", divide="ignore"):
            error = adapted_rand_error(truth.astype(int), test, ignore_labels=(0,))[0]
        assert scores.adapted_rand_error == pytest.approx(error, nan_ok=True, abs=1e-9)


def test_background_may_count_as_an_object() -> None:
    truth, test = volumes(3)
    scores = instance_scores(Overlaps.of(truth, test), background_as_object=True)
    assert (scores.voi_split, scores.voi_merge) == pytest.approx(
        tuple(variation_of_information(truth.astype(int), test)), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(5))
def test_tables_of_blocks_add_up_to_that_of_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, test = rng.integers(0, 9, (12, 10, 8)), rng.integers(0, 9, (12, 10, 8))
    blocks = [(slice(a, a + 5), slice(b, b + 4)) for a in range(0, 12, 5) for b in range(0, 10, 4)]
    added = Overlaps.added(Overlaps.of(truth[block], test[block]) for block in blocks)
    whole, parts = instance_scores(Overlaps.of(truth, test)), instance_scores(added)
    for name in whole.criteria:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_which_id_an_object_has_does_not_matter() -> None:
    truth = np.kron(np.arange(1, 9).reshape(2, 2, 2), np.ones((4, 4, 4), int))
    scores = instance_scores(Overlaps.of(truth, (9 - truth) * 10**12))
    assert (scores.voi, scores.f1_score, scores.average_precision, scores.panoptic_quality) == (0, 1, 1, 1)
    assert scores.adapted_rand_error == 0


def test_cutting_and_joining_are_told_apart() -> None:
    truth = np.ones((8, 8), int)
    cut = np.kron([[1, 2]], np.ones((8, 4), int))
    split, merged = instance_scores(Overlaps.of(truth, cut)), instance_scores(Overlaps.of(cut, truth))
    assert (split.voi_split, split.voi_merge) == (1, 0) and (merged.voi_split, merged.voi_merge) == (0, 1)


def test_only_what_the_mask_shows_exists() -> None:
    truth, test, mask = np.ones((4, 4), int), np.ones((4, 4), int), np.ones((4, 4), int)
    test[2:], mask[2:] = 2, 0
    evaluator = InstanceEvaluator()
    arrays = [NumpyArray(data, (2, 2)) for data in (test, truth, mask)]
    assert evaluator.evaluate(arrays[0], arrays[1]).voi == 1
    assert evaluator.evaluate(*arrays).voi == 0 and evaluator.evaluate(*arrays).f1_score == 1
    nothing = evaluator.evaluate(arrays[0], arrays[1], NumpyArray(mask * 0, (2, 2)))
    assert all(math.isnan(getattr(nothing, name)) for name in nothing.criteria)


def test_found_where_nothing_is_and_nothing_found_where_something_is() -> None:
    some, none = np.ones((4, 4), int), np.zeros((4, 4), int)
    false = instance_scores(Overlaps.of(none, some))
    assert (false.precision, false.f1_score, false.panoptic_quality) == (0, 0, 0)
    assert math.isnan(false.recall) and math.isnan(false.voi)
    missed = instance_scores(Overlaps.of(some, none))
    assert (missed.recall, missed.f1_score, missed.voi) == (0, 0, 0) and math.isnan(missed.precision)


def test_scores_say_how_they_are_read() -> None:
    scores = InstanceEvaluationScores
    assert scores.criteria[:3] == ["voi_split", "voi_merge", "voi"]  # as existing DaCapo stored them
    assert not scores.higher_is_better("voi") and scores.higher_is_better("f1_score")
    assert scores.bounds("voi") == (0, math.inf) and scores.store_best("f1_score")
    assert InstanceEvaluator().criteria == scores.criteria


def test_what_are_no_ids_is_refused() -> None:
    ids, numbers = NumpyArray(np.ones((4, 4), int), (1, 1)), NumpyArray(np.ones((4, 4)), (1, 1))
    for pair in ((ids, numbers), (numbers, ids)):
        with pytest.raises(InvalidArray, match="of type float64, but objects are told apart"):
            InstanceEvaluator().evaluate(*pair)
