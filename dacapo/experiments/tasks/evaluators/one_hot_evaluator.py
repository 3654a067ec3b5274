"""Scoring a segmentation into classes, each class by itself and all together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from ..labels import IDS_REMEDY, of_channel, read_ids, read_mask, require_labels, without
from .binary_segmentation_evaluator import BinarySegmentationEvaluator, require_same_grid
from .scores import (
    BinarySegmentationEvaluationScores,
    MultiChannelBinarySegmentationEvaluationScores,
    OneHotEvaluationScores,
)

NDArray = np.ndarray[Any, Any]


class OneHotEvaluator(BinarySegmentationEvaluator):
    """Scores volumes of class ids: each class against all others, their means, which are taken for which.

    Criteria are called ``<class>__<score>``, ``mean_<score>`` and ``<class>__as_<class>``; see
    ``OneHotEvaluationScores``.  Voxels that have the ``ignore_label`` in the truth do not count.
    """

    def __init__(
        self,
        classes: Sequence[str],
        clip_distance: float,
        tol_distance: float,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__(clip_distance, tol_distance, classes)
        self.ignore_label = ignore_label

    @property
    def score(self) -> OneHotEvaluationScores:
        """Empty scores."""
        nothing = [(name, BinarySegmentationEvaluationScores()) for name in self.channels]
        return OneHotEvaluationScores(channel_scores=nothing)

    def evaluate(self, output: Array, truth: Array, mask: Array | None = None) -> OneHotEvaluationScores:
        """Score a segmentation over its own region.

        Raises ``InvalidLabels`` for ids, of either, that stand for no class where voxels count.
        """
        require_same_grid(output, truth)
        confused = np.zeros((len(self.channels),) * 2, np.int64)
        for slab in self.slabs(output):
            confused += confusion(*self._ids(output, truth, read_mask(mask, slab), slab))
        single = super().evaluate(output, truth, mask)
        assert isinstance(single, MultiChannelBinarySegmentationEvaluationScores)
        scores = [one for _, one in single.channel_scores]
        return OneHotEvaluationScores(
            channel_scores=single.channel_scores,
            confusion=confused.tolist(),
            mean_dice=_mean([one.dice for one in scores]),
            mean_iou=_mean([one.jaccard for one in scores]),
        )

    def _read(
        self, output: Array, truth: Array, names: list[str], known: NDArray | None, slab: Roi
    ) -> Iterator[tuple[NDArray, NDArray, NDArray | None]]:
        true, test, _, counted = self._ids(output, truth, known, slab)
        for label in range(len(names)):
            yield true == label, test == label, counted

    def _ids(
        self, output: Array, truth: Array, known: NDArray | None, slab: Roi
    ) -> tuple[NDArray, NDArray, int, NDArray | None]:
        """Return truth and test of a slab, how many classes there are, and where they count."""
        test, true, number = read_ids(output, slab), read_ids(truth, slab), len(self.channels)
        counted = without(self.ignore_label, true, of_channel(known, 0))
        require_labels(true, number, counted, truth.name, IDS_REMEDY)
        require_labels(test, number, counted, output.name, "score what was segmented by this task")
        return true, test, number, counted


def confusion(truth: NDArray, test: NDArray, num_classes: int, mask: NDArray | None = None) -> NDArray:
    """Return how many voxels of each class (rows) are said to be of each (columns); blocks may be added up.

    Ids are 0 ... num_classes - 1 wherever the mask, if any, is true.
    """
    if mask is not None:
        truth, test = truth[mask], test[mask]
    wide = np.min_scalar_type(num_classes**2)
    pairs = truth.astype(wide).ravel() * wide.type(num_classes) + test.astype(wide).ravel()
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _mean(values: list[float]) -> float:
    """Return the mean over the classes that truth or test has: for those without it is NaN."""
    there = [value for value in values if not math.isnan(value)]
    return float(np.mean(there)) if there else math.nan
