"""Learning which voxels belong to the same object."""

from __future__ import annotations

from .configs import AffinitiesTaskConfig
from .evaluators import InstanceEvaluator
from .losses import AffinitiesLoss
from .post_processors import WatershedPostProcessor
from .predictors import AffinitiesPredictor
from .task import Task


class AffinitiesTask(Task):
    """Affinities, and shape descriptors beside them; parted by the mutex watershed, scored as instances."""

    predictor: AffinitiesPredictor

    def __init__(self, config: AffinitiesTaskConfig) -> None:
        self.predictor = AffinitiesPredictor(
            config.neighborhood,
            config.lsds,
            config.num_lsd_voxels,
            config.downsample_lsds,
            config.background_as_object,
            (config.affs_weight_clipmin, config.affs_weight_clipmax),
            (config.lsd_weight_clipmin, config.lsd_weight_clipmax),
        )
        self.loss = AffinitiesLoss(len(config.neighborhood), config.lsds_to_affs_weight_ratio)
        self.post_processor = WatershedPostProcessor(config.neighborhood, config.biases, config.min_size)
        self.evaluator = InstanceEvaluator(config.background_as_object)

    @property
    def channels(self) -> list[str]:
        """The affinities by their offsets, and then the shape descriptors if there are any."""
        return self.predictor.channels
