"""Scoring the segmentation of one or several classes, voxel by voxel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array

from ..labels import BINARY_REMEDY, of_channel, read_channels, read_mask, require_labels
from .evaluator import Evaluator
from .scores import (
    BinarySegmentationEvaluationScores,
    EvaluationScores,
    MultiChannelBinarySegmentationEvaluationScores,
)
from .slabs import longest_axis, sizes_in_slices

NDArray = np.ndarray[Any, Any]


class BinarySegmentationEvaluator(Evaluator):
    """Scores the binary segmentation of each channel.

    ``clip_distance`` and ``tol_distance`` are in world units.  Without ``channels`` it compares
    single volumes, and its criteria are the plain names of the scores.
    """

    def __init__(
        self, clip_distance: float, tol_distance: float, channels: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.clip_distance = clip_distance
        self.tol_distance = tol_distance
        self.channels = list(channels or [])

    @property
    def score(self) -> EvaluationScores:
        """Empty scores, of each channel if the evaluator has channels."""
        single = BinarySegmentationEvaluationScores()
        return self._named([single] * len(self.channels)) if self.channels else single

    def evaluate(self, output: Array, truth: Array, mask: Array | None = None) -> EvaluationScores:
        """Score a segmentation, not 0 where a class is, against a truth of 0 and 1.

        Raises ``InvalidArray`` if the two cannot be laid over each other, ``InvalidLabels`` if
        the truth is not binary where it counts.
        """
        # Imported here, so that the names and directions of scores are known without compiling.
        from .binary_scores import Comparison, Slab, compare_slabs, masked, scores_of

        require_same_grid(output, truth)
        names, axis = self.channels or ["foreground"], longest_axis(output.spatial_shape)

        def read(slab: Roi) -> Iterator[Slab]:
            known = read_mask(mask, slab, len(names))
            for truth_test_known in self._read(output, truth, names, known, slab):
                yield masked(*truth_test_known, axis)

        sizes, shape = (sizes_in_slices(one, axis) for one in (output.voxel_size, output.spatial_shape))
        found = [Comparison.empty(sizes, self.clip_distance, self.tol_distance) for _ in names]
        compare_slabs(found, self.slabs(output), read, shape[1:])
        scores = [scores_of(one) for one in found]
        return self._named(scores) if self.channels else scores[0]

    def _read(
        self, output: Array, truth: Array, names: list[str], known: NDArray | None, slab: Roi
    ) -> Iterator[tuple[NDArray, NDArray, NDArray | None]]:
        """Yield truth and test of each channel, as booleans, and where they count (None: everywhere)."""
        tests, truths = (read_channels(array, names, slab) for array in (output, truth))
        for i, name in enumerate(names):
            whose, counted = f"channel {name!r} of {truth.name}", of_channel(known, i)
            require_labels(truths[i], 2, counted, whose, BINARY_REMEDY)
            yield truths[i] == 1, tests[i] != 0, counted

    def _named(
        self, scores: list[BinarySegmentationEvaluationScores]
    ) -> MultiChannelBinarySegmentationEvaluationScores:
        pairs = list(zip(self.channels, scores, strict=True))
        return MultiChannelBinarySegmentationEvaluationScores(channel_scores=pairs)


def require_same_grid(output: Array, truth: Array) -> None:
    """Raise ``InvalidArray`` unless the truth has the voxels of the output, and covers it."""
    if output.voxel_size != truth.voxel_size or not truth.roi.contains(output.roi):
        raise InvalidArray(
            f"{output.name} with voxel size {tuple(output.voxel_size)} over {output.roi} cannot be "
            f"compared with {truth.name}, voxel size {tuple(truth.voxel_size)} over {truth.roi}: predict on "
            "the grid of the ground truth, or bring the truth there with a ResampledArrayConfig"
        )
