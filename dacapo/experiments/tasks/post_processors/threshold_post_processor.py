"""Cutting a prediction in two at a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .parameters import ThresholdPostProcessorParameters
from .post_processor import PostProcessor, require_floats

NDArray = np.ndarray[Any, Any]

# In the space of tanh(distance / scale): 0 is the surface; 0.5 is 0.55 scales inside of it.
THRESHOLDS = (-0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5)


class ThresholdPostProcessor(PostProcessor):
    """Calls everything above a threshold foreground, each channel by itself."""

    def __init__(self, thresholds: Sequence[float] = THRESHOLDS) -> None:
        self.thresholds = tuple(thresholds)

    def enumerate_parameters(self) -> Iterable[ThresholdPostProcessorParameters]:
        """Return one parameter set per threshold, numbered from 0."""
        return [ThresholdPostProcessorParameters(i, threshold=t) for i, t in enumerate(self.thresholds)]

    def set_prediction(self, prediction: Array) -> None:
        """Say which prediction to segment; raises ``InvalidArray`` unless it holds real numbers."""
        require_floats(prediction, "thresholds are for distances between -1 and 1")
        super().set_prediction(prediction)

    def segment(self, prediction: NDArray, parameters: ThresholdPostProcessorParameters) -> NDArray:
        """Return 1 above the threshold and 0 elsewhere, in as many channels."""
        above: NDArray = prediction > parameters.threshold
        return above.view(np.uint8)
