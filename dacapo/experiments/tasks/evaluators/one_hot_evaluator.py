"""Scoring a segmentation into classes, each class by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from ..labels import IDS_REMEDY, of_channel, read_ids, require_labels
from .binary_segmentation_evaluator import BinarySegmentationEvaluator

NDArray = np.ndarray[Any, Any]


class OneHotEvaluator(BinarySegmentationEvaluator):
    """Scores volumes of class ids: the voxels of each class against all others.

    Criteria are called ``<class>__<score>``.
    """

    def __init__(self, classes: Sequence[str], clip_distance: float, tol_distance: float) -> None:
        super().__init__(clip_distance, tol_distance, classes)

    def _read(
        self, output: Array, truth: Array, names: list[str], known: NDArray | None, slab: Roi
    ) -> Iterator[tuple[NDArray, NDArray]]:
        test, true = read_ids(output, slab), read_ids(truth, slab)
        require_labels(true, len(names), of_channel(known, 0), truth.name, IDS_REMEDY)
        for label in range(len(names)):
            yield true == label, test == label
