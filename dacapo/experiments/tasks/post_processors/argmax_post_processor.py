"""Giving every voxel its most probable class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .parameters import ArgmaxPostProcessorParameters
from .post_processor import PostProcessor

NDArray = np.ndarray[Any, Any]


class ArgmaxPostProcessor(PostProcessor):
    """Labels each voxel with the number of its largest channel, the first of equal ones."""

    def enumerate_parameters(self) -> Iterable[ArgmaxPostProcessorParameters]:
        """Return the only parameter set there is, but for how to tidy up."""
        return [ArgmaxPostProcessorParameters(1)]

    def context(self, parameters: ArgmaxPostProcessorParameters) -> float:
        """Return as far as smoothing looks; infinite where holes are filled, or pieces measured."""
        return max(super().context(parameters), parameters.context)

    def segment(self, prediction: NDArray, parameters: ArgmaxPostProcessorParameters) -> NDArray:
        """Return the ids, uint8 for up to 256 classes, without a channel axis; class 0 is background."""
        # Imported here, so that parameters can be read without scipy.
        from .cleaning import tidied_classes

        ids = self.smoothed(prediction, parameters.smoothing).argmax(axis=0)
        return tidied_classes(ids.astype(np.min_scalar_type(len(prediction) - 1)), parameters)
