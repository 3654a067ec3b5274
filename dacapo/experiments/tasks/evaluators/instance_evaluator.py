"""Scoring a segmentation into objects."""

from __future__ import annotations

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array

from ..labels import of_channel, read_ids, read_mask
from .binary_segmentation_evaluator import require_same_grid
from .evaluator import Evaluator
from .scores import InstanceEvaluationScores


class InstanceEvaluator(Evaluator):
    """Compares the ids of a segmentation with those of the truth; which id an object has does not matter.

    With ``background_as_object`` the voxels of id 0 count as one more object of the truth in the
    scores that compare voxels: variation of information and adapted Rand error.
    """

    def __init__(self, background_as_object: bool = False) -> None:
        super().__init__()
        self.background_as_object = background_as_object

    @property
    def score(self) -> InstanceEvaluationScores:
        """Empty scores."""
        return InstanceEvaluationScores()

    def evaluate(self, output: Array, truth: Array, mask: Array | None = None) -> InstanceEvaluationScores:
        """Score a segmentation over its own region; raises ``InvalidArray`` for what are no ids there."""
        # Imported here, so that the names and directions of scores are known without compiling.
        from .instance_scores import Overlaps, instance_scores

        require_same_grid(output, truth)
        for array in (output, truth):
            if array.dtype.kind not in "iub":
                raise InvalidArray(
                    f"{array.name} is of type {array.dtype}, but objects are told apart by whole numbers"
                )
        tables = (
            Overlaps.of(read_ids(truth, slab), read_ids(output, slab), of_channel(read_mask(mask, slab), 0))
            for slab in self.slabs(output)
        )
        return instance_scores(Overlaps.added(tables), self.background_as_object)
