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

    def context(self, parameters: ThresholdPostProcessorParameters) -> float:
        """Return as far as smoothing looks; infinite where holes are filled, or pieces measured."""
        return max(super().context(parameters), parameters.context)

    def segment(self, prediction: NDArray, parameters: ThresholdPostProcessorParameters) -> NDArray:
        """Return 1 above the threshold and 0 elsewhere, in as many channels."""
        # Imported here, so that parameters can be read without scipy.
        from .cleaning import tidied_classes

        above: NDArray = self.smoothed(prediction, parameters.smoothing) > parameters.threshold
        return np.stack([tidied_classes(one, parameters) for one in above.view(np.uint8)])


def mean_of_halves(prediction: NDArray) -> NDArray:
    """Return ((2 p - 1) + d) / 2, one channel per class: first come their probabilities, then distances.

    Both put the surface at 0 once the probability p is brought to 2 p - 1.
    """
    half = len(prediction) // 2
    mean: NDArray = prediction[:half] - 0.5 + prediction[half:] / 2
    return mean


class HotDistancePostProcessor(ThresholdPostProcessor):
    """Calls everything foreground of which presence and distance together say so."""

    evidence = staticmethod(mean_of_halves)
