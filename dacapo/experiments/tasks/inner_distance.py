"""Learning how far each voxel inside of a class is from its surface."""

from __future__ import annotations

from .configs import InnerDistanceTaskConfig
from .losses import MSELoss
from .post_processors import ThresholdPostProcessor
from .predictors import InnerDistancePredictor
from .segmenting_distances import finds_objects, segment_and_score
from .task import Task


class InnerDistanceTask(Task):
    """Distances inside, learned by squared error, cut at thresholds, scored class by class."""

    def __init__(self, config: InnerDistanceTaskConfig) -> None:
        self._channels = tuple(config.channels)
        self.predictor = InnerDistancePredictor(
            config.channels, config.scale_factor, config.mask_distances, config.clipmin, config.clipmax,
            finds_objects(config),
        )  # fmt: skip
        self.loss = MSELoss()
        segment_and_score(self, config, ThresholdPostProcessor)

    @property
    def channels(self) -> list[str]:
        """The classes."""
        return list(self._channels)
