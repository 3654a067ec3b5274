"""Checks for trainers: the batches they make, what they tell, and that they go on where they left off."""

from __future__ import annotations

import copy
import math
import multiprocessing
import threading
from typing import Any

import attrs
import torch
from torch import nn

from dacapo.config import Config, build
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.tasks.task import Task
from dacapo.experiments.trainers import Trainer
from dacapo.experiments.training_stats import TrainingIterationStats

from .checks import check, demand
from .volumes import dataset, small_architecture


def task_and_model(dims: int = 3) -> tuple[Task, Model]:
    """Return a task for the ground truth of ``dataset``, and a model, whose weights are always the same."""
    task_config = DistanceTaskConfig(
        "objects", channels=["object"], clip_distance=40, tol_distance=8, scale_factor=16
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        task: Task = build(task_config)
        return task, task.create_model(small_architecture(dims))


@attrs.define(eq=False)
class Training:
    """A trainer with a volume, a task and a model, which notes the images that the model is given."""

    trainer: Trainer
    task: Task
    model: Model
    optimizer: torch.optim.Optimizer
    volume: Dataset
    seen: list[torch.Tensor] = attrs.field(factory=list)

    @classmethod
    def of(cls, config: Config, seed: int = 0) -> Training:
        """Begin a training with a seed; the initial weights are always the same."""
        trainer = build(config)
        trainer.seed = seed
        task, model = task_and_model()
        made = cls(trainer, task, model, trainer.create_optimizer(model), dataset())
        model.register_forward_pre_hook(lambda _, inputs: made.seen.append(inputs[0].detach().clone()))
        trainer.build_batch_provider([made.volume], model, task)
        return made

    def go_on(self, iterations: int) -> list[TrainingIterationStats]:
        """Train for some iterations, and close the trainer, as a run does."""
        with self.trainer as trainer:
            return list(trainer.iterate(iterations, self.model, self.optimizer, "cpu"))


@check("trainers")
def a_trainer_can_train(config: Config) -> None:
    """``can_train`` says yes to an image with ground truth."""
    demand(
        build(config).can_train([dataset()]) is True,
        "can_train should be True for a volume with ground truth",
    )


@check("trainers")
def iterations_are_reported_one_by_one(config: Config) -> None:
    """Each iteration gives its stats: its number, from where the trainer is, a finite loss, and seconds."""
    training = Training.of(config)
    stats = training.go_on(3)
    fine = all(isinstance(each, TrainingIterationStats) for each in stats)
    demand(fine, "iterate should yield TrainingIterationStats, one for each iteration")
    numbers = [each.iteration for each in stats]
    demand(numbers == [0, 1, 2], f"3 iterations from the beginning are numbered {numbers}, not 0, 1, 2")
    done = training.trainer.iteration
    demand(done == 3, f"after 3 iterations the next one is {done}; count trainer.iteration up")
    for each in stats:
        values = {"loss": each.loss, "time": each.time, **each.metrics}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        demand(not bad, f"iteration {each.iteration}: {', '.join(bad)} should be finite")
        demand(each.time >= 0, f"iteration {each.iteration} took {each.time} seconds")


@check("trainers")
def batches_are_what_the_model_takes(config: Config) -> None:
    """The model is given float32 of (batch_size, channels, input shape), all finite."""
    training = Training.of(config)
    training.go_on(1)
    demand(bool(training.seen), "in one iteration the model was not called")
    wanted = (training.trainer.batch_size, training.model.num_in_channels, *training.model.input_shape)
    for batch in training.seen:
        demand(tuple(batch.shape) == wanted, f"the model was given {tuple(batch.shape)}, not {wanted}")
        demand(batch.dtype == torch.float32, f"the model was given {batch.dtype}, not float32")
        demand(bool(batch.isfinite().all()), "the model was given values that are not finite")


@check("trainers")
def training_changes_the_model(config: Config) -> None:
    """The weights of the model move."""
    training = Training.of(config)
    before = copy.deepcopy(training.model.state_dict())
    training.go_on(3)
    demand(_differ(before, training.model), "in 3 iterations no weight changed; call the optimizer's step")


@check("trainers")
def the_same_seed_makes_the_same_batches(config: Config) -> None:
    """With the same seed a second training sees the same images, and ends with the same weights."""
    one, other = Training.of(config, 7), Training.of(config, 7)
    one.go_on(2)
    other.go_on(2)
    demand(
        _same(one.seen, other.seen),
        "with the same seed the images differ; draw from a generator made of seed and iteration",
    )
    demand(
        not _differ(one.model.state_dict(), other.model), "with the same seed the weights come out otherwise"
    )


@check("trainers")
def another_seed_makes_other_batches(config: Config) -> None:
    """With another seed a training sees other images."""
    one, other = Training.of(config, 7), Training.of(config, 8)
    one.go_on(2)
    other.go_on(2)
    demand(
        not _same(one.seen, other.seen),
        "with another seed the images are the same; draw them by trainer.seed",
    )


@check("trainers")
def training_goes_on_where_it_left_off(config: Config) -> None:
    """Two iterations and two more, by another trainer with the state of the first, are like four."""
    straight, first = Training.of(config), Training.of(config)
    straight.go_on(4)
    first.go_on(2)
    second = Training.of(config)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    second.trainer.load_state_dict(first.trainer.state_dict())
    stats = second.go_on(2)
    numbers = [each.iteration for each in stats]
    demand(numbers == [2, 3], f"after 2 iterations it goes on with {numbers}; keep iteration in state_dict")
    demand(
        _same(straight.seen, first.seen + second.seen),
        "after a pause it goes on with other images; let batch i follow from seed and i alone",
    )
    demand(
        not _differ(straight.model.state_dict(), second.model),
        "after a pause the weights come out otherwise; keep in state_dict what steps depend on",
    )


@check("trainers")
def nothing_goes_on_after_the_end(config: Config) -> None:
    """Closed, a trainer leaves no thread and no process behind."""
    before = set(threading.enumerate()), len(multiprocessing.active_children())
    Training.of(config).go_on(1)
    left = [thread.name for thread in set(threading.enumerate()) - before[0]]
    demand(not left, f"the threads {', '.join(left)} run on after close(); end them there")
    demand(
        len(multiprocessing.active_children()) <= before[1],
        "processes run on after close(); end them there",
    )


def _same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def _differ(state: dict[str, Any], model: nn.Module) -> bool:
    return any(not torch.allclose(value, state[key], atol=1e-7) for key, value in model.state_dict().items())
