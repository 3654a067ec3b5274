"""All scores of one binary volume against another, from sums that are added up slab by slab."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import numpy as np
from funlib.geometry import Roi

from .scores import BinarySegmentationEvaluationScores
from .slabs import in_slices, with_what_follows
from .surface_distances import NOWHERE, SurfaceDistances, first_positives

NDArray = np.ndarray[Any, Any]

Slab = tuple[NDArray, NDArray, int]  # truth and test, as booleans in slices, and how many voxels exist


@attrs.define
class Comparison:
    """What two binary volumes have in common, and how far apart they are where they differ.

    ``missed`` sums the distances of the truth's false negatives to the nearest positive of the
    test, ``false`` those of the test's false positives to the nearest of the truth.
    """

    missed: SurfaceDistances
    false: SurfaceDistances
    true_positives: int = 0
    voxels: int = 0

    @classmethod
    def empty(cls, voxel_size: Sequence[float], clip_distance: float, tol_distance: float) -> Comparison:
        """Begin a comparison; voxel sizes are those of slices, rows and columns."""
        missed, false = (SurfaceDistances(voxel_size, tol_distance, clip_distance) for _ in range(2))
        return cls(missed, false)

    def add(self, truth: NDArray, test: NDArray, voxels: int, following: NDArray) -> None:
        """Add the next slab; ``following`` tells where behind it truth and test have their next positives."""
        both = truth & test
        self.true_positives += int(np.count_nonzero(both))
        self.voxels += voxels
        self.missed.add(truth & ~both, test, following[1])
        self.false.add(test & ~both, truth, following[0])

    @property
    def truth(self) -> int:
        """How many positives the truth has."""
        return self.true_positives + self.missed.count

    @property
    def test(self) -> int:
        """How many positives the test has."""
        return self.true_positives + self.false.count

    @property
    def union(self) -> int:
        """How many voxels are positive in at least one."""
        return self.test + self.missed.count


def compare_slabs(
    found: Sequence[Comparison],
    slabs: Sequence[Roi],
    read: Callable[[Roi], Iterable[Slab]],
    plane: Sequence[int],
) -> None:
    """Add all slabs to the comparison of each channel; slices have the shape ``plane``."""

    def step_back(following: NDArray, slab: Roi) -> NDArray:
        pairs = zip(read(slab), following, strict=True)
        return np.array(
            [
                (first_positives(truth, of_truth), first_positives(test, of_test))
                for (truth, test, _), (of_truth, of_test) in pairs
            ]
        )

    nothing = np.full((len(found), 2, *plane), NOWHERE, np.int32)
    for slab, following in with_what_follows(slabs, step_back, nothing):
        for comparison, pair, behind in zip(found, read(slab), following, strict=True):
            comparison.add(*pair, behind)


def masked(truth: NDArray, test: NDArray, mask: NDArray | None, axis: int) -> Slab:
    """Return in slices what a mask leaves of two boolean volumes, and of how many voxels."""
    if mask is None:
        return in_slices(truth, axis), in_slices(test, axis), truth.size
    return in_slices(truth & mask, axis), in_slices(test & mask, axis), int(np.count_nonzero(mask))


def scores_of(found: Comparison) -> BinarySegmentationEvaluationScores:
    """Return all scores of volumes that were compared."""
    scores = BinarySegmentationEvaluationScores(
        dice=_ratio(2 * found.true_positives, found.truth + found.test),
        jaccard=_ratio(found.true_positives, found.union),
        false_discovery_rate=_ratio(found.false.count, found.test),
    )
    if not found.union:
        scores.hausdorff = 0.0
    if not found.truth or not found.test:
        return scores
    scores.hausdorff = max(found.missed.largest, found.false.largest)
    scores.voi = _variation_of_information(found)
    _add_rates(scores, found)
    _add_tolerant(scores, found)
    _add_distances(scores, found)
    return scores


def _add_rates(scores: BinarySegmentationEvaluationScores, found: Comparison) -> None:
    scores.false_negative_rate = found.missed.count / found.truth
    scores.false_positive_rate = _ratio(found.false.count, found.voxels - found.truth)
    scores.precision = found.true_positives / found.test
    scores.recall = found.true_positives / found.truth
    scores.f1_score = _harmonic_mean(scores.precision, scores.recall)


def _add_tolerant(scores: BinarySegmentationEvaluationScores, found: Comparison) -> None:
    missed, false = found.missed.beyond, found.false.beyond
    true = found.union - missed - false
    scores.false_negative_rate_with_tolerance = missed / found.truth
    scores.false_positive_rate_with_tolerance = _ratio(false, found.voxels - found.truth)
    scores.precision_with_tolerance = _ratio(true, true + false)
    scores.recall_with_tolerance = _ratio(true, true + missed)
    scores.f1_score_with_tolerance = _harmonic_mean(
        scores.precision_with_tolerance, scores.recall_with_tolerance
    )


def _add_distances(scores: BinarySegmentationEvaluationScores, found: Comparison) -> None:
    missed, false = found.missed.total / found.truth, found.false.total / found.test
    scores.mean_false_negative_distance, scores.mean_false_positive_distance = missed, false
    scores.mean_false_distance = (missed + false) / 2
    missed, false = found.missed.clipped / found.truth, found.false.clipped / found.test
    scores.mean_false_negative_distance_clipped, scores.mean_false_positive_distance_clipped = missed, false
    scores.mean_false_distance_clipped = (missed + false) / 2


def _variation_of_information(found: Comparison) -> float:
    """Return H(truth | test) + H(test | truth) in bits, background counting as a label."""
    joint = np.array(
        [[found.voxels - found.union, found.false.count], [found.missed.count, found.true_positives]],
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
