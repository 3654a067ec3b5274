"""Scores of objects against scikit-image, against a slow way, and where nothing is left to compare."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from skimage.metrics import adapted_rand_error, contingency_table, variation_of_information

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.evaluators import InstanceEvaluationScores, InstanceEvaluator
from dacapo.experiments.tasks.evaluators.instance_scores import THRESHOLDS, Overlaps, instance_scores

LAST = np.uint64(2**64 - 1)
ODD = {
    "background only": lambda rng, shape: np.zeros(shape),
    "one object": lambda rng, shape: np.ones(shape),
    "one voxel": lambda rng, shape: np.arange(np.prod(shape)).reshape(shape) == rng.integers(np.prod(shape)),
    "each voxel an object": lambda rng, shape: np.arange(np.prod(shape)).reshape(shape),
    "at the border": lambda rng, shape: np.arange(shape[0]).reshape(-1, 1, 1) == np.zeros(shape),
}


def volumes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two volumes of ids, as odd as they may be, that often have something in common."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(1, 14, 3))
    if seed % 6 == 0:
        shape = (1, *shape[1:]) if seed % 12 else (1, 1, 1)
    size = int(rng.integers(1, 5))
    coarse = rng.integers(0, rng.integers(1, 9), [-(-n // size) for n in shape])
    coarse = np.kron(coarse, np.ones((size,) * 3, int))[tuple(slice(n) for n in shape)]
    strange = rng.integers(0, rng.integers(1, 9), shape)
    other = np.where(rng.random(shape) < rng.choice([0.2, 0.6, 0.9, 0.97]), coarse, strange)
    pair = [coarse, other]
    if seed % 4 == 0:
        pair[rng.integers(2)] = list(ODD.values())[rng.integers(len(ODD))](rng, shape)
    truth, test = (ids.astype(np.uint64) for ids in pair)
    # Ids of any size: of 64 bits, of 32, and signed.
    return np.where(truth, LAST - truth, truth), (test.astype(np.uint32) * 104729, test.astype(np.int64))[
        seed % 2
    ]


def few(ids: np.ndarray) -> np.ndarray:
    """Return ids as other libraries can count them, background staying 0."""
    return np.searchsorted(np.unique(np.append(ids.ravel(), ids.dtype.type(0))), ids)


def matched(truth: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Match objects by the table of scikit-image and the assignment of scipy."""
    table = contingency_table(few(truth), few(test)).toarray()
    sizes = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    ious = (table / np.maximum(sizes, 1))[1:, 1:]
    true, found = ious.shape
    if not true + found:
        return dict.fromkeys(MATCHED, math.nan)
    shared = {t: ious[linear_sum_assignment(np.where(ious > t, ious, 0), maximize=True)] for t in THRESHOLDS}
    hits = {t: int((of_pairs > t).sum()) for t, of_pairs in shared.items()}
    count = true + found
    return {
        "precision": hits[0.5] / found if found else math.nan,
        "recall": hits[0.5] / true if true else math.nan,
        "f1_score": 2 * hits[0.5] / count,
        "f1_score_75": 2 * hits[0.75] / count,
        "average_precision_50": hits[0.5] / (count - hits[0.5]),
        "average_precision": float(np.mean([hits[t] / (count - hits[t]) for t in THRESHOLDS])),
        "panoptic_quality": shared[0.5][shared[0.5] > 0.5].sum() / (hits[0.5] + (count - 2 * hits[0.5]) / 2),
    }


MATCHED = InstanceEvaluationScores.criteria[4:]


def by_pairs_of_voxels(truth: np.ndarray, test: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Compare voxels by scikit-image."""
    if not inside.any():
        return dict.fromkeys(("voi_split", "voi_merge", "voi", "adapted_rand_error"), math.nan)
    pair = few(truth)[inside], few(test)[inside]
    split, merge = variation_of_information(*pair)
    error = math.nan  # of pairs of different voxels that lie in one object, where there are none
    if any((np.bincount(ids) > 1).any() for ids in pair):
        error = adapted_rand_error(pair[0] + 1, pair[1] + 1, ignore_labels=())[0]
    return {"voi_split": split, "voi_merge": merge, "voi": split + merge, "adapted_rand_error": error}


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("seed", range(240))
def test_scores_equal_those_of_other_libraries(seed: int, background: bool) -> None:
    truth, test = volumes(seed)
    scores = instance_scores(Overlaps.of(truth, test), background)
    inside = np.ones(truth.shape, bool) if background else truth != 0
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = matched(truth, test) | by_pairs_of_voxels(truth, test, inside)
    assert set(expected) == set(scores.criteria)
    for name, value in expected.items():
        assert getattr(scores, name) == pytest.approx(value, nan_ok=True, abs=1e-9), name


def test_the_volumes_are_of_every_sort() -> None:
    pairs = [volumes(seed) for seed in range(240)]
    assert sum(not truth.any() for truth, _ in pairs) > 10 and sum(not test.any() for _, test in pairs) > 10
    assert sum(not (truth.any() or test.any()) for truth, test in pairs) > 3
    assert sum(truth.size == 1 for truth, _ in pairs) > 10
    assert sum(truth.shape[0] == 1 for truth, _ in pairs) > 30
    matches = [instance_scores(Overlaps.of(*pair)).f1_score for pair in pairs]
    assert sum(0 < f1 < 1 for f1 in matches) > 60
    assert max(truth.max() for truth, _ in pairs) > 2**63


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
