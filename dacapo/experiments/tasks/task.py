"""What every task offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture
    from dacapo.experiments.model import Model

    from .evaluators import EvaluationScores, Evaluator
    from .losses import Loss
    from .post_processors import PostProcessor, PostProcessorParameters
    from .predictors import Predictor


class Task(ABC):
    """What a network predicts, how it learns that, and how it becomes a segmentation with scores.

    A subclass is made from its config, which it never changes, and sets the four parts.
    """

    predictor: Predictor
    loss: Loss
    post_processor: PostProcessor
    evaluator: Evaluator

    @property
    @abstractmethod
    def channels(self) -> list[str]:
        """The name of each channel that a model of this task gives out."""

    @property
    def parameters(self) -> tuple[PostProcessorParameters, ...]:
        """The sets of post-processing parameters that validation tries."""
        return tuple(self.post_processor.enumerate_parameters())

    @property
    def evaluation_scores(self) -> EvaluationScores:
        """An empty set of the scores that the evaluator gives."""
        return self.evaluator.score

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with the head of this task."""
        return self.predictor.create_model(architecture)
