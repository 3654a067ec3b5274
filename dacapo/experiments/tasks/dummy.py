"""A task of no use: for tests of the parts around a task."""

from __future__ import annotations

from .configs import DummyTaskConfig
from .evaluators import DummyEvaluator
from .losses import DummyLoss
from .post_processors import DummyPostProcessor
from .predictors import DummyPredictor
from .task import Task


class DummyTask(Task):
    """Zeros, learned by absolute error; scores that depend on nothing but the volumes."""

    def __init__(self, config: DummyTaskConfig) -> None:
        self._embedding_dims = config.embedding_dims
        self.predictor = DummyPredictor(config.embedding_dims)
        self.loss = DummyLoss()
        self.post_processor = DummyPostProcessor(config.detection_threshold)
        self.evaluator = DummyEvaluator()

    @property
    def channels(self) -> list[str]:
        """e0, e1, ... for each dimension."""
        return [f"e{i}" for i in range(self._embedding_dims)]
