"""Learning which classes are at each voxel, and how far it is from their surfaces."""

from __future__ import annotations

from .configs import HotDistanceTaskConfig
from .losses import HotDistanceLoss
from .post_processors import HotDistancePostProcessor
from .predictors import HotDistancePredictor
from .predictors.hot_distance_predictor import distance_channel
from .segmenting_distances import finds_objects, segment_and_score
from .task import Task


class HotDistanceTask(Task):
    """Presence by cross-entropy and signed distances by squared error; cut where their mean says so."""

    def __init__(self, config: HotDistanceTaskConfig) -> None:
        self._classes = tuple(config.channels)
        self.predictor = HotDistancePredictor(
            config.channels, config.scale_factor, config.mask_distances, config.kernel_size,
            config.clipmin, config.clipmax, finds_objects(config),
        )  # fmt: skip
        self.loss = HotDistanceLoss()
        segment_and_score(self, config, HotDistancePostProcessor)

    @property
    def channels(self) -> list[str]:
        """The classes, and then the distances to the surface of each."""
        return [*self._classes, *map(distance_channel, self._classes)]
