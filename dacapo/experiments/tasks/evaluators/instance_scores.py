"""How well objects were told apart, from how many voxels each two of them share.

The table of shared voxels is all that is needed, so tables of blocks may be added up first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs
import fastremap
import numpy as np

from dacapo.experiments.compiled import compiled

from .scores import InstanceEvaluationScores

NDArray = np.ndarray[Any, Any]

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@attrs.frozen(eq=False)
class Overlaps:
    """How many voxels each two ids share: rows of truth, test and number; 0 is background."""

    truth: NDArray
    test: NDArray
    counts: NDArray

    @classmethod
    def of(cls, truth: NDArray, test: NDArray, mask: NDArray | None = None) -> Overlaps:
        """Count the voxels of two volumes of ids of one shape; only those of ``mask`` exist."""
        if mask is not None:
            truth, test = truth[mask], test[mask]
        truth, test = (np.ascontiguousarray(one).reshape(-1).view() for one in (truth, test))
        begins = np.empty(_count_runs(truth, test), np.int64)
        _find_runs(truth, test, begins)
        lengths = np.diff(begins, append=truth.size)
        return cls._summed(truth[begins].astype(np.uint64), test[begins].astype(np.uint64), lengths)

    @classmethod
    def added(cls, tables: Iterable[Overlaps]) -> Overlaps:
        """Add up the tables of blocks."""
        rows = [(one.truth, one.test, one.counts) for one in tables]
        return cls._summed(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    @classmethod
    def _summed(cls, truth: NDArray, test: NDArray, counts: NDArray) -> Overlaps:
        """Return each pair of ids once."""
        if not counts.size:
            return cls(truth, test, counts)
        (few_truth, back_truth), (few_test, back_test) = _renumbered(truth), _renumbered(test)
        width = np.uint64(len(back_test))
        pairs, back = _renumbered(few_truth.astype(np.uint64) * width + few_test)
        total = np.bincount(pairs, weights=counts)[1:]
        of_truth, of_test = np.divmod(back[1:], width)
        return cls(back_truth[of_truth], back_test[of_test], np.rint(total).astype(np.int64))


def instance_scores(overlaps: Overlaps, background_as_object: bool = False) -> InstanceEvaluationScores:
    """Return all scores of a segmentation into objects; see ``InstanceEvaluationScores``."""
    scores = InstanceEvaluationScores()
    kept = slice(None) if background_as_object else overlaps.truth != 0
    _add_information(scores, overlaps.truth[kept], overlaps.test[kept], overlaps.counts[kept])
    _add_matches(scores, overlaps)
    return scores


def _add_information(
    scores: InstanceEvaluationScores, truth: NDArray, test: NDArray, counts: NDArray
) -> None:
    """Set the scores that compare voxels by pairs."""
    total = counts.sum()
    if not total:
        return
    (of_truth, in_truth), (of_test, in_test) = _sizes(truth, counts), _sizes(test, counts)
    scores.voi_split = _information(counts, in_truth) / float(total)
    scores.voi_merge = _information(counts, in_test) / float(total)
    scores.voi = scores.voi_split + scores.voi_merge
    together, true, found = (_pairs(one) for one in (counts, of_truth, of_test))
    if true + found:
        scores.adapted_rand_error = 1 - 2 * together / (true + found)


def _sizes(ids: NDArray, counts: NDArray) -> tuple[NDArray, NDArray]:
    """Return the voxels of each id, in the order of the ids, and in each row those of its own."""
    at = np.unique(ids, return_inverse=True)[1]
    sizes = np.bincount(at, weights=counts)
    return sizes, sizes[at]


def _information(counts: NDArray, whole: NDArray) -> float:
    """Return the sum over voxels of the bits that tell a part within its whole."""
    return float((counts * np.log2(whole / counts)).sum())


def _pairs(counts: NDArray) -> float:
    """Return how many ordered pairs of different voxels lie in the same object."""
    return float((np.square(counts, dtype=np.float64) - counts).sum())


def _add_matches(scores: InstanceEvaluationScores, overlaps: Overlaps) -> None:
    """Set the scores that match objects: one above half of whose union is shared has but one match."""
    truth, test, counts = overlaps.truth, overlaps.test, overlaps.counts
    true, found = (len(np.setdiff1d(ids, [0])) for ids in (truth, test))
    both = (truth != 0) & (test != 0)
    (_, in_truth), (_, in_test) = _sizes(truth, counts), _sizes(test, counts)
    shared = counts[both] / (in_truth[both] + in_test[both] - counts[both])
    if not true and not found:
        return
    matches = [int((shared > threshold).sum()) for threshold in THRESHOLDS]
    precisions = [hits / (true + found - hits) for hits in matches]
    scores.average_precision_50, scores.average_precision = precisions[0], float(np.mean(precisions))
    scores.f1_score = 2 * matches[0] / (true + found)
    scores.f1_score_75 = 2 * matches[THRESHOLDS.index(0.75)] / (true + found)
    scores.precision = matches[0] / found if found else math.nan
    scores.recall = matches[0] / true if true else math.nan
    scores.panoptic_quality = 2 * float(shared[shared > 0.5].sum()) / (true + found)


def _renumbered(ids: NDArray) -> tuple[NDArray, NDArray]:
    """Return ids of 64 bits as 1, 2, 3, ... and the id behind each of these numbers."""
    few, names = fastremap.renumber(ids, preserve_zero=False, in_place=False)
    back = np.zeros(len(names) + 1, np.uint64)
    back[list(names.values())] = list(names.keys())
    return few, back


@compiled()
def _count_runs(truth: NDArray, test: NDArray) -> int:
    """Return how many runs of voxels with the same two ids there are."""
    runs = min(1, len(truth))
    for at in range(1, len(truth)):
        runs += (truth[at] != truth[at - 1]) | (test[at] != test[at - 1])
    return runs


@compiled()
def _find_runs(truth: NDArray, test: NDArray, begins: NDArray) -> None:
    """Write where each run begins."""
    begins[:1] = 0
    run = 1
    for at in range(1, len(truth)):
        if truth[at] != truth[at - 1] or test[at] != test[at - 1]:
            begins[run] = at
            run += 1
