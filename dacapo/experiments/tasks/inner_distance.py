"""Learning how far each voxel inside of a class is from its surface."""

from __future__ import annotations

from .configs import InnerDistanceTaskConfig
from .evaluators import BinarySegmentationEvaluator
from .losses import MSELoss
from .post_processors import ThresholdPostProcessor
from .predictors import InnerDistancePredictor
from .task import Task


class InnerDistanceTask(Task):
    """Distances inside, learned by squared error, cut at thresholds, scored class by class."""

    def __init__(self, config: InnerDistanceTaskConfig) -> None:
        self._channels = tuple(config.channels)
        self.predictor = InnerDistancePredictor(
            config.channels, config.scale_factor, config.mask_distances, config.clipmin, config.clipmax
        )
        self.loss = MSELoss()
        self.post_processor = ThresholdPostProcessor(config.thresholds)
        self.evaluator = BinarySegmentationEvaluator(
            config.clip_distance, config.tol_distance, config.channels
        )

    @property
    def channels(self) -> list[str]:
        """The classes."""
        return list(self._channels)
