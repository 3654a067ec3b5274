"""All scores of one binary volume against another, from four counts and two sets of distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import edt
import numpy as np

from .scores import BinarySegmentationEvaluationScores

NDArray = np.ndarray[Any, Any]


@attrs.frozen
class Comparison:
    """What two binary volumes have in common, and how far apart they are where they differ.

    ``missed`` and ``false`` hold the distances of the truth's false negatives to the nearest
    positive of the test, and of the test's false positives to the nearest of the truth.
    """

    true_positives: int
    voxels: int
    missed: NDArray
    false: NDArray

    @property
    def truth(self) -> int:
        """How many positives the truth has."""
        return self.true_positives + len(self.missed)

    @property
    def test(self) -> int:
        """How many positives the test has."""
        return self.true_positives + len(self.false)

    @property
    def union(self) -> int:
        """How many voxels are positive in at least one."""
        return self.test + len(self.missed)


def compare(
    truth: NDArray, test: NDArray, voxel_size: Sequence[float], mask: NDArray | None = None
) -> Comparison:
    """Compare two boolean volumes, only where the mask is true."""
    voxels = truth.size
    if mask is not None:
        truth, test, voxels = truth & mask, test & mask, int(np.count_nonzero(mask))
    # Whatever is positive lies in this box, and so does the nearest positive of anything that is.
    box = _bounding_box(truth | test)
    truth, test = truth[box], test[box]
    both = truth & test
    missed = _distances(truth & ~both, test, voxel_size)
    false = _distances(test & ~both, truth, voxel_size)
    return Comparison(int(np.count_nonzero(both)), voxels, missed, false)


def _bounding_box(volume: NDArray) -> tuple[slice, ...]:
    box = []
    for axis in range(volume.ndim):
        others = tuple(other for other in range(volume.ndim) if other != axis)
        (found,) = np.nonzero(volume.any(axis=others))
        box.append(slice(found[0], found[-1] + 1) if len(found) else slice(0, 0))
    return tuple(box)


def _distances(voxels: NDArray, goal: NDArray, voxel_size: Sequence[float]) -> NDArray:
    """Return the distance of each of some voxels to the nearest voxel of a goal."""
    if not voxels.any():
        return np.empty(0)
    if not goal.any():
        return np.full(np.count_nonzero(voxels), math.inf)
    distance = edt.edt(~goal, anisotropy=tuple(voxel_size), black_border=False, parallel=1)
    found: NDArray = distance[voxels].astype(np.float64)
    return found


def binary_scores(
    truth: NDArray,
    test: NDArray,
    voxel_size: Sequence[float],
    clip_distance: float,
    tol_distance: float,
    mask: NDArray | None = None,
) -> BinarySegmentationEvaluationScores:
    """Return all scores of a boolean volume; distances are in the units of ``voxel_size``."""
    found = compare(truth, test, voxel_size, mask)
    scores = BinarySegmentationEvaluationScores(
        dice=_ratio(2 * found.true_positives, found.truth + found.test),
        jaccard=_ratio(found.true_positives, found.union),
        false_discovery_rate=_ratio(len(found.false), found.test),
    )
    if not found.union:
        scores.hausdorff = 0.0
    if not found.truth or not found.test:
        return scores
    scores.hausdorff = float(max(found.missed.max(initial=0), found.false.max(initial=0)))
    scores.voi = _variation_of_information(found)
    _add_rates(scores, found)
    _add_tolerant(scores, found, tol_distance)
    _add_distances(scores, found, clip_distance)
    return scores


def _add_rates(scores: BinarySegmentationEvaluationScores, found: Comparison) -> None:
    scores.false_negative_rate = len(found.missed) / found.truth
    scores.false_positive_rate = _ratio(len(found.false), found.voxels - found.truth)
    scores.precision = found.true_positives / found.test
    scores.recall = found.true_positives / found.truth
    scores.f1_score = _harmonic_mean(scores.precision, scores.recall)


def _add_tolerant(scores: BinarySegmentationEvaluationScores, found: Comparison, tolerance: float) -> None:
    missed = int(np.count_nonzero(found.missed > tolerance))
    false = int(np.count_nonzero(found.false > tolerance))
    true = found.union - missed - false
    scores.false_negative_rate_with_tolerance = missed / found.truth
    scores.false_positive_rate_with_tolerance = _ratio(false, found.voxels - found.truth)
    scores.precision_with_tolerance = _ratio(true, true + false)
    scores.recall_with_tolerance = _ratio(true, true + missed)
    scores.f1_score_with_tolerance = _harmonic_mean(
        scores.precision_with_tolerance, scores.recall_with_tolerance
    )


def _add_distances(scores: BinarySegmentationEvaluationScores, found: Comparison, clip: float) -> None:
    missed, false = found.missed.sum() / found.truth, found.false.sum() / found.test
    scores.mean_false_negative_distance, scores.mean_false_positive_distance = float(missed), float(false)
    scores.mean_false_distance = float(missed + false) / 2
    missed = np.minimum(found.missed, clip).sum() / found.truth
    false = np.minimum(found.false, clip).sum() / found.test
    scores.mean_false_negative_distance_clipped = float(missed)
    scores.mean_false_positive_distance_clipped = float(false)
    scores.mean_false_distance_clipped = float(missed + false) / 2


def _variation_of_information(found: Comparison) -> float:
    """Return H(truth | test) + H(test | truth) in bits, background counting as a label."""
    joint = np.array(
        [[found.voxels - found.union, len(found.false)], [len(found.missed), found.true_positives]],
        np.float64,
    )
    both = 2 * _entropy(joint)
    return max(0.0, both - _entropy(joint.sum(axis=0)) - _entropy(joint.sum(axis=1)))


def _entropy(counts: NDArray) -> float:
    fractions = counts[counts > 0] / counts.sum()
    return float(-(fractions * np.log2(fractions)).sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _harmonic_mean(first: float, second: float) -> float:
    return _ratio(2 * first * second, first + second)
