"""A segmentation of no use: for tests of the parts around a post-processor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .parameters import DummyPostProcessorParameters
from .post_processor import PostProcessor

NDArray = np.ndarray[Any, Any]


class DummyPostProcessor(PostProcessor):
    """Sets the voxels that enough channels detect."""

    def __init__(self, detection_threshold: float) -> None:
        self.detection_threshold = detection_threshold

    def enumerate_parameters(self) -> Iterable[DummyPostProcessorParameters]:
        """Return sizes of 1 to 10."""
        return [DummyPostProcessorParameters(i, min_size=i + 1) for i in range(10)]

    def segment(self, prediction: NDArray, parameters: DummyPostProcessorParameters) -> NDArray:
        """Return 1 where at least ``min_size`` channels are above the detection threshold."""
        detected = np.count_nonzero(prediction > self.detection_threshold, axis=0)
        set_voxels: NDArray = detected >= parameters.min_size
        return set_voxels.astype(np.uint8)
