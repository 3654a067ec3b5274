"""Objects from how far inside of one each voxel is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .parameters import ThresholdPostProcessorParameters
from .post_processor import PostProcessor, require_floats

NDArray = np.ndarray[Any, Any]


class ConnectedComponentsPostProcessor(PostProcessor):
    """Takes each piece of foreground that is connected by faces for an object.

    Which pieces are connected is not known block by block: the whole volume is held in memory.
    """

    is_blockwise = False

    def __init__(self, parameters: ThresholdPostProcessorParameters) -> None:
        self.parameters = parameters

    def enumerate_parameters(self) -> Iterable[ThresholdPostProcessorParameters]:
        """Return the set it was made from; tasks sweep its values."""
        return [self.parameters]

    def set_prediction(self, prediction: Array) -> None:
        """Say which prediction to segment; raises ``InvalidArray`` unless it is real numbers of one class."""
        require_floats(prediction, "thresholds are for distances between -1 and 1")
        super().set_prediction(prediction)

    def segment(self, prediction: NDArray, parameters: Any) -> NDArray:
        """Return ids of objects, counted from 1, and 0 where there is none; uint64, without channels."""
        # Imported here, as below: parameters are read without scipy, and known without compiling.
        from .cleaning import components, tidied

        return tidied(components(self._depth(prediction, parameters) > parameters.threshold), parameters)

    def _depth(self, prediction: NDArray, parameters: ThresholdPostProcessorParameters) -> NDArray:
        """Return the prediction, smoothed if it should be, without a channel axis."""
        if len(prediction) != 1:
            raise InvalidArray(
                f"objects are found in the prediction of one class, and this is of {len(prediction)}"
            )
        depth: NDArray = self.smoothed(prediction, parameters.smoothing)[0]
        return depth


class SeededWatershedPostProcessor(ConnectedComponentsPostProcessor):
    """Floods the foreground from seeds deep inside of it, the deepest voxels first (Meyer 1991).

    A piece of foreground without any seed is an object, too.
    """

    def segment(self, prediction: NDArray, parameters: Any) -> NDArray:
        """Return ids of objects, counted from 1, and 0 where there is none; uint64, without channels."""
        from .cleaning import components, tidied
        from .flooding import flooded

        depth = self._depth(prediction, parameters)
        foreground = depth > parameters.threshold
        seeds = components(foreground & (depth > parameters.seed_threshold))
        pieces = components(foreground)
        has_seed = np.zeros(int(pieces.max(initial=0)) + 1, bool)
        has_seed[pieces[seeds > 0]] = True
        rest = np.where(has_seed[pieces], 0, pieces)
        seeds = np.where(rest > 0, rest + seeds.max(initial=0), seeds)
        return tidied(flooded(depth, seeds, foreground), parameters)
