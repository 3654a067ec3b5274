"""Parting objects by the affinities between their voxels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from funlib.geometry import Coordinate

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .parameters import WatershedPostProcessorParameters
from .post_processor import PostProcessor, require_floats

if TYPE_CHECKING:
    from .mutex_watershed import Edges

NDArray = np.ndarray[Any, Any]
BIASES = (0.1, 0.25, 0.5, 0.75, 0.9)


class WatershedPostProcessor(PostProcessor):
    """Parts a volume by the mutex watershed (Wolf et al., ECCV 2018) on its affinities.

    The affinities along ``offsets``, in voxels, are taken from the strongest to the weakest: those above the
    bias join what they connect, those below forbid that it is ever joined.  Channels behind
    the affinities are not looked at.  What belongs together is not known block by block, so the
    whole volume is held in memory, with 2 bytes for each affinity, and up to 12 while it is parted.
    """

    is_blockwise = False

    def __init__(
        self, offsets: Sequence[Coordinate], biases: Sequence[float] = BIASES, min_size: int = 0
    ) -> None:
        self.offsets = [Coordinate(offset) for offset in offsets]
        self.biases = tuple(biases)
        self.min_size = min_size

    def enumerate_parameters(self) -> Iterable[WatershedPostProcessorParameters]:
        """Return one parameter set per bias, numbered from 0."""
        return [
            WatershedPostProcessorParameters(i, bias=bias, min_size=self.min_size)
            for i, bias in enumerate(self.biases)
        ]

    def set_prediction(self, prediction: Array) -> None:
        """Say which prediction to segment; raises ``InvalidArray`` unless it holds real numbers."""
        require_floats(prediction, "affinities are between 0 and 1")
        super().set_prediction(prediction)

    def segment(self, prediction: NDArray, parameters: WatershedPostProcessorParameters) -> NDArray:
        """Return ids of objects, counted from 1, and 0 where a voxel holds on to no other; uint64."""
        # Imported here, so that parameters can be read without scipy.
        from .cleaning import tidied, without_small

        parted = self.shared(self._edges, prediction).parted(parameters.bias)
        return tidied(without_small(parted + 1, 2), parameters)

    def _edges(self, prediction: NDArray) -> Edges:
        # Imported here, because it is compiled.
        from .mutex_watershed import Edges

        return Edges.of(prediction[: len(self.offsets)], self.offsets)
