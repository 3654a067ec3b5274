"""What one experiment consists of, as people write it down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from dacapo.config import Config, field
from dacapo.experiments.architectures.configs import ArchitectureConfig
from dacapo.experiments.datasplits.configs import DataSplitConfig
from dacapo.experiments.starts.configs import InitialWeightsConfig
from dacapo.experiments.tasks.configs import TaskConfig
from dacapo.experiments.trainers.configs import TrainerConfig
from dacapo.names import run_key


@attrs.define
class RunConfig(Config):
    """One experiment: a task, an architecture, a trainer and a datasplit.

    A run is told from all others by its name and its repetition together.
    """

    task_config: TaskConfig = field("What to predict.")
    architecture_config: ArchitectureConfig = field("The network to train.")
    trainer_config: TrainerConfig = field("How to train it.")
    datasplit_config: DataSplitConfig = field("What to train and validate on.")
    name: str = field("The name of the run.")
    repetition: int = field("Which repetition of the run this is, counting from 0.")
    num_iterations: int = field("How many iterations to train.")
    validation_interval: int = field(
        "Validate, and keep a checkpoint, every so many iterations.", default=1000
    )
    start_config: InitialWeightsConfig | None = field(
        "Whose weights to begin with; None begins anew.", default=None
    )
    checkpoint_interval: int | None = field(
        "Keep a checkpoint every so many iterations; None keeps them at validations only.", default=None
    )
    seed: int = field("Everything random in the run follows from it and the repetition.", default=0)
    freeze: list[str] = field(
        "Parameters to leave as they are, by patterns of their names, each of which has to fit something: "
        "'chain.0.*' is the backbone, 'chain.1.*' the head.",
        factory=list,
    )

    def check(self) -> None:
        if self.repetition < 0:
            self.refuse("repetition", "should be 0 or more")
        if self.num_iterations < 0:
            self.refuse("num_iterations", "should be 0 or more")
        if self.validation_interval < 1:
            self.refuse("validation_interval", "should be at least 1")
        if self.checkpoint_interval is not None and self.checkpoint_interval < 1:
            self.refuse("checkpoint_interval", "should be at least 1, or None")

    @property
    def key(self) -> str:
        """The text that tells this run from all others: ``name``, or ``name:repetition``."""
        return run_key(self)


def parts(config: Any) -> Iterator[Config]:
    """Yield a config and all configs inside it, at any depth."""
    if isinstance(config, Config):
        yield config
        values: list[Any] = [getattr(config, f.name) for f in attrs.fields(type(config))]
    elif isinstance(config, dict):
        values = list(config.values())
    elif isinstance(config, list | tuple):
        values = list(config)
    else:
        return
    for value in values:
        yield from parts(value)
