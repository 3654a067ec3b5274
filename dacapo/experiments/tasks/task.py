"""What every task offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from .post_processors.parameters import swept

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
    # Values of post-processing parameters to try, by name, as the config says.
    sweep: Mapping[str, Sequence[Any]]

    def __new__(cls, config: Any = None, *arguments: Any, **named: Any) -> Self:
        task = super().__new__(cls)
        task.sweep = getattr(config, "sweep", {})  # here, since subclasses need not call an __init__ of ours
        return task

    @property
    @abstractmethod
    def channels(self) -> list[str]:
        """The name of each channel that a model of this task gives out."""

    @property
    def parameters(self) -> tuple[PostProcessorParameters, ...]:
        """The sets of post-processing parameters that validation tries: all combinations of the sweep."""
        return swept(self.post_processor.enumerate_parameters(), self.sweep)

    @property
    def evaluation_scores(self) -> EvaluationScores:
        """An empty set of the scores that the evaluator gives."""
        return self.evaluator.score

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with the head of this task."""
        return self.predictor.create_model(architecture)

    def create_blank_model(self, architecture: Architecture) -> Model:
        """Return the same model without weights that the task may bring: a checkpoint takes their place."""
        return self.create_model(architecture)
