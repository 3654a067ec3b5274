"""Any task, with models that begin with the weights of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dacapo.config import build
from dacapo.experiments.state_dict import named_as_in, require_fit
from dacapo.experiments.weights_file import read_weights

from .configs import PretrainedTaskConfig
from .task import Task

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture
    from dacapo.experiments.model import Model


class PretrainedTask(Task):
    """The task that ``sub_task_config`` describes, in all but the weights that its models begin with."""

    def __init__(self, config: PretrainedTaskConfig) -> None:
        self.config = config
        self.sub_task: Task = build(config.sub_task_config)
        self.predictor, self.loss = self.sub_task.predictor, self.sub_task.loss
        self.post_processor, self.evaluator = self.sub_task.post_processor, self.sub_task.evaluator
        self.sweep = {**self.sub_task.sweep, **config.sweep}

    @property
    def channels(self) -> list[str]:
        """Those of the sub-task."""
        return self.sub_task.channels

    def create_model(self, architecture: Architecture) -> Model:
        """Return the model of the sub-task with the weights of the file.

        Raises ``ShapeError`` naming the tensors that do not fit it, and what ``read_weights`` raises.
        """
        model = self.sub_task.create_model(architecture)
        own = model.state_dict()
        weights = named_as_in(own, read_weights(self.config.weights))
        require_fit(f"the weights in {self.config.weights}", own, weights)
        model.load_state_dict(weights)
        return model

    def create_blank_model(self, architecture: Architecture) -> Model:
        """Return the model of the sub-task, without looking for the file."""
        return self.sub_task.create_blank_model(architecture)
