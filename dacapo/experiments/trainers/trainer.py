"""What every trainer offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch

    from dacapo.experiments.datasplits.datasets.dataset import Dataset
    from dacapo.experiments.model import Model
    from dacapo.experiments.tasks.task import Task
    from dacapo.experiments.training_stats import TrainingIterationStats

    from .configs import TrainerConfig


class Trainer(ABC):
    """Makes batches from datasets and trains a model on them.

    ``iteration`` is the next one to be done; whoever resumes a run sets it.  ``seed`` is what all
    that is random in its batches follows from.  Used as a context, it stops at the end whatever it
    started to make batches.
    """

    def __init__(self, config: TrainerConfig) -> None:
        self.batch_size: int = config.batch_size
        self.learning_rate: float = config.learning_rate
        self.iteration = 0
        self.seed = 0

    @abstractmethod
    def create_optimizer(self, model: Model) -> torch.optim.Optimizer:
        """Return an optimizer for the parameters of a model."""

    @abstractmethod
    def build_batch_provider(
        self, datasets: Sequence[Dataset], model: Model, task: Task, snapshot_container: Any = None
    ) -> None:
        """Prepare to make batches; whatever makes it impossible is raised here, before training.

        ``snapshot_container`` is the zarr container for snapshots, a path or something with one as
        its ``container``; without it none are kept.
        """

    @abstractmethod
    def iterate(
        self, num_iterations: int, model: Model, optimizer: torch.optim.Optimizer, device: Any
    ) -> Iterator[TrainingIterationStats]:
        """Train the model, which is on ``device``, and yield the stats of each iteration once it is done."""

    @abstractmethod
    def can_train(self, datasets: Sequence[Dataset]) -> bool:
        """Say whether there is something in these datasets that can be trained on."""

    def state_dict(self) -> dict[str, Any]:
        """Return, as plain data, what it takes to go on exactly from here, besides model and optimizer."""
        return {"iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where another trainer of this config was when it returned this state."""
        self.iteration = int(state.get("iteration", 0))

    def close(self) -> None:
        """Stop whatever makes batches; here nothing does."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
