"""Two numbers for any segmentation: for tests of the parts around an evaluator."""

from __future__ import annotations

import numpy as np

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .evaluator import Evaluator
from .scores import DummyEvaluationScores


class DummyEvaluator(Evaluator):
    """Says how much of the output is set and how much of it differs from the truth."""

    def evaluate(self, output: Array, truth: Array, mask: Array | None = None) -> DummyEvaluationScores:
        """Return the same scores for the same volumes; the mask is not looked at."""
        found, true = (a.data.reshape(-1, *a.spatial_shape)[0] != 0 for a in (output, truth))
        shared = tuple(slice(min(sizes)) for sizes in zip(found.shape, true.shape, strict=True))
        differing = float(np.mean(found[shared] != true[shared]))
        return DummyEvaluationScores(frizz_level=float(found.mean()), blipp_score=differing)

    @property
    def score(self) -> DummyEvaluationScores:
        """Empty scores."""
        return DummyEvaluationScores()
