"""The scores of two binary volumes, each alone in its array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.evaluators import BinarySegmentationEvaluator, EvaluationScores


def binary_scores(
    truth: np.ndarray,
    test: np.ndarray,
    voxel_size: Sequence[int],
    clip_distance: float,
    tol_distance: float,
    mask: np.ndarray | None = None,
) -> EvaluationScores:
    """Return all scores of one class, of booleans; distances are in the units of ``voxel_size``."""
    output, gt = (NumpyArray(volume, voxel_size) for volume in (test, truth))
    known = None if mask is None else NumpyArray(mask, voxel_size)
    return BinarySegmentationEvaluator(clip_distance, tol_distance).evaluate(output, gt, known)
