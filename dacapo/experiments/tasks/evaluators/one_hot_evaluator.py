"""Scoring a segmentation into classes, each class by itself and all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from ..labels import IDS_REMEDY, of_channel, read_ids, read_mask, require_labels, without
from .binary_segmentation_evaluator import BinarySegmentationEvaluator, require_same_grid
from .scores import BinarySegmentationEvaluationScores, OneHotEvaluationScores

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
        number, test, true = len(self.channels), read_ids(output), read_ids(truth, output.roi)
        known = without(self.ignore_label, true, of_channel(read_mask(mask, output.roi), 0))
        require_labels(true, number, known, truth.name, IDS_REMEDY)
        require_labels(test, number, known, output.name, "score what was segmented by this task")
        scores = [
            self._compare(true == label, test == label, output.voxel_size, known) for label in range(number)
        ]
        return OneHotEvaluationScores(
            channel_scores=list(zip(self.channels, scores, strict=True)),
            confusion=confusion(true, test, number, known).tolist(),
            mean_dice=_mean([one.dice for one in scores]),
            mean_iou=_mean([one.jaccard for one in scores]),
        )


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
