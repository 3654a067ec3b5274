"""Learning how far each voxel is from the surface of each class."""

from __future__ import annotations

from dacapo.config import build

from .configs import DistanceTaskConfig
from .post_processors import ThresholdPostProcessor
from .predictors import DistancePredictor
from .segmenting_distances import finds_objects, segment_and_score
from .task import Task


class DistanceTask(Task):
    """Signed distances, learned by squared error as a rule, cut at thresholds, scored class by class."""

    def __init__(self, config: DistanceTaskConfig) -> None:
        self._channels = tuple(config.channels)
        self.predictor = DistancePredictor(
            config.channels, config.scale_factor, config.mask_distances, config.clipmin, config.clipmax,
            finds_objects(config),
        )  # fmt: skip
        self.loss = build(config.loss_config)
        segment_and_score(self, config, ThresholdPostProcessor)

    @property
    def channels(self) -> list[str]:
        """The classes."""
        return list(self._channels)
