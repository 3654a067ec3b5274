"""A trainer for tests of the parts around it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dacapo.errors import InvalidRequest
from dacapo.experiments.training_stats import TrainingIterationStats

from .configs import DummyTrainerConfig
from .trainer import Trainer

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets.dataset import Dataset
    from dacapo.experiments.model import Model
    from dacapo.experiments.tasks.task import Task


class DummyTrainer(Trainer):
    """Trains on noise towards zero; the loss it reports in iteration i is 1 / (i + 1)."""

    def __init__(self, config: DummyTrainerConfig) -> None:
        super().__init__(config)
        self.config = config
        self._task: Task | None = None

    def create_optimizer(self, model: Model) -> torch.optim.Optimizer:
        """Return RAdam."""
        return torch.optim.RAdam(model.parameters(), lr=self.learning_rate)

    def build_batch_provider(
        self, datasets: Sequence[Dataset], model: Model, task: Task, snapshot_container: Any = None
    ) -> None:
        """Remember the task; the datasets are not looked at."""
        self._task = task

    def iterate(
        self, num_iterations: int, model: Model, optimizer: torch.optim.Optimizer, device: Any
    ) -> Iterator[TrainingIterationStats]:
        """Train the model and yield stats."""
        if self._task is None:
            raise InvalidRequest(
                f"trainer {self.config.name!r} has no task yet; "
                "call build_batch_provider(datasets, model, task) first"
            )
        for _ in range(num_iterations):
            begun = time.perf_counter()
            predictions = model(self._noise(model).to(device))
            prediction = predictions[0] if isinstance(predictions, tuple) else predictions
            loss = self._task.loss.compute_all(predictions, torch.zeros_like(prediction))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            iteration, self.iteration = self.iteration, self.iteration + 1
            yield TrainingIterationStats(
                iteration=iteration, loss=1 / (iteration + 1), time=time.perf_counter() - begun
            )

    def can_train(self, datasets: Sequence[Dataset]) -> bool:
        """Say yes: noise is always there."""
        return True

    def _noise(self, model: Model) -> torch.Tensor:
        random = np.random.default_rng([self.seed, self.iteration])
        shape = self.batch_size, model.num_in_channels, *model.input_shape
        noise = random.standard_normal(shape, np.float32)
        if self.config.mirror_augment and random.random() < 0.5:
            noise = np.ascontiguousarray(noise[..., ::-1])
        return torch.from_numpy(noise)
