"""Learning which classes are at each voxel, and how far it is from their surfaces."""

from __future__ import annotations

from .configs import HotDistanceTaskConfig
from .evaluators import BinarySegmentationEvaluator
from .losses import HotDistanceLoss
from .post_processors import HotDistancePostProcessor
from .predictors import HotDistancePredictor
from .predictors.hot_distance_predictor import distance_channel
from .task import Task


class HotDistanceTask(Task):
    """Presence by cross-entropy and signed distances by squared error; cut where their mean says so."""

    def __init__(self, config: HotDistanceTaskConfig) -> None:
        self._classes = tuple(config.channels)
        self.predictor = HotDistancePredictor(
            config.channels, config.scale_factor, config.mask_distances, config.kernel_size,
            config.clipmin, config.clipmax,
        )  # fmt: skip
        self.loss = HotDistanceLoss()
        self.post_processor = HotDistancePostProcessor(config.thresholds)
        self.evaluator = BinarySegmentationEvaluator(
            config.clip_distance, config.tol_distance, config.channels
        )

    @property
    def channels(self) -> list[str]:
        """The classes, and then the distances to the surface of each."""
        return [*self._classes, *map(distance_channel, self._classes)]
