"""Learning how far each voxel is from the surface of each class."""

from __future__ import annotations

from dacapo.config import build

from .configs import DistanceTaskConfig
from .evaluators import BinarySegmentationEvaluator
from .post_processors import ThresholdPostProcessor
from .predictors import DistancePredictor
from .task import Task


class DistanceTask(Task):
    """Signed distances, learned by squared error as a rule, cut at thresholds, scored class by class."""

    def __init__(self, config: DistanceTaskConfig) -> None:
        self._channels = tuple(config.channels)
        self.predictor = DistancePredictor(
            config.channels, config.scale_factor, config.mask_distances, config.clipmin, config.clipmax
        )
        self.loss = build(config.loss_config)
        self.post_processor = ThresholdPostProcessor(config.thresholds)
        self.evaluator = BinarySegmentationEvaluator(
            config.clip_distance, config.tol_distance, config.channels
        )

    @property
    def channels(self) -> list[str]:
        """The classes."""
        return list(self._channels)
