"""Two numbers for any segmentation: for tests of the parts around an evaluator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .evaluator import Evaluator
from .scores import DummyEvaluationScores


class DummyEvaluator(Evaluator):
    """Says how much of the output is set and how much of it differs from the truth."""

    def evaluate(self, output: Array, truth: Array, mask: Array | None = None) -> DummyEvaluationScores:
        """Return the same scores for the same volumes; the mask is not looked at."""
        found = shared = differing = 0
        for slab in self.slabs(output):
            common = slab.intersect(truth.roi)
            here, there = _first_channel(output, common), _first_channel(truth, common)
            shared, differing = shared + here.size, differing + int((here != there).sum())
            found += int(_first_channel(output, slab).sum())
        return DummyEvaluationScores(
            frizz_level=found / math.prod(output.spatial_shape), blipp_score=differing / shared
        )

    @property
    def score(self) -> DummyEvaluationScores:
        """Empty scores."""
        return DummyEvaluationScores()


def _first_channel(array: Array, roi: Roi) -> np.ndarray[Any, Any]:
    data: np.ndarray[Any, Any] = array[roi] != 0
    return data if array.num_channels is None else data[0]
