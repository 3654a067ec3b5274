"""Predicting, inside of each class only, the distance to its surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray

from .distance_predictor import DistancePredictor

NDArray = np.ndarray[Any, Any]


class InnerDistancePredictor(DistancePredictor):
    """Predicts tanh(d / scale_factor) inside of each class, d the distance to its surface, and 0 outside.

    Otherwise as ``DistancePredictor``: with ``mask_distances`` voxels inside are left out if the surface
    may be nearer than is known; what lies outside is known by its label.
    """

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return tanh of the scaled distance where the label is 1, and 0 elsewhere."""
        target = super().create_target(gt, roi)
        np.maximum(target.data, 0, out=target.data)
        return target
