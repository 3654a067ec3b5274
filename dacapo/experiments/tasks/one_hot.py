"""Learning which of several classes each voxel belongs to."""

from __future__ import annotations

from dacapo.config import build

from .configs import OneHotTaskConfig
from .evaluators import OneHotEvaluator
from .post_processors import ArgmaxPostProcessor
from .predictors import OneHotPredictor
from .task import Task


class OneHotTask(Task):
    """Class probabilities, the most probable wins, each class is scored."""

    def __init__(self, config: OneHotTaskConfig) -> None:
        self._channels = tuple(config.classes)
        self.predictor = OneHotPredictor(
            config.classes, config.kernel_size, config.balance_classes, config.clipmin, config.clipmax,
            config.weights_by_class, config.ignore_label,
        )  # fmt: skip
        self.loss = build(config.loss_config)
        self.post_processor = ArgmaxPostProcessor()
        self.evaluator = OneHotEvaluator(
            config.classes, config.clip_distance, config.tol_distance, config.ignore_label
        )

    @property
    def channels(self) -> list[str]:
        """The classes."""
        return list(self._channels)
