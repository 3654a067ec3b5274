"""A session with the stores, command by command, and all that a reader may see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dacapo.experiments.architectures.configs import DummyArchitectureConfig
from dacapo.experiments.datasplits.configs import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.configs import DummyTaskConfig
from dacapo.experiments.trainers.configs import DummyTrainerConfig
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.array_store import LocalArrayStore
from dacapo.store.backend import StoreBackend
from dacapo.store.config_store import CLASSES, ConfigStore
from dacapo.store.deletion import delete_run
from dacapo.store.files import FileBackend
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore

RUN = "run"
Seen = dict[tuple[Any, ...], Any]
Command = Callable[[], object]


def task(embedding_dims: int, name: str = "task") -> DummyTaskConfig:
    return DummyTaskConfig(name, embedding_dims=embedding_dims, detection_threshold=0.5)


def run_config(name: str = RUN, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "task_config": task(1),
        "architecture_config": DummyArchitectureConfig("thing", num_in_channels=1, num_out_channels=2),
        "trainer_config": DummyTrainerConfig("thing"),
        "datasplit_config": DummyDataSplitConfig("thing"),
        "num_iterations": 10,
        "repetition": 0,
    }
    return RunConfig(name=name, **values | changes)


def stats_of(begin: int, end: int, loss: float = 1.0) -> TrainingStats:
    stats = TrainingStats()
    at = np.arange(begin, end)
    if len(at):
        stats.append(at, {"loss": at * loss, "time": at * 0.5})
    return stats


def scores_at(*iterations: int, value: float = 0.5) -> ValidationScores:
    scores = ValidationScores.labelled(ScoreLabels(("crop",), ("p",), (Criterion("dice", True),)))
    for iteration in iterations:
        scores.add_iteration_scores(ValidationIterationScores(iteration, [[[value + iteration]]]))
    return scores


def weights_of(value: float, size: int = 40) -> Weights:
    return Weights({"x": np.full(size, value)}, {"step": value, "m": np.full(3, value)})


class Session:
    """One process that works with the stores of a backend; its commands build on each other."""

    def __init__(self, backend: StoreBackend) -> None:
        self.configs, self.stats = ConfigStore(backend), StatsStore(backend)
        self.weights = WeightsStore(backend)
        self.arrays = LocalArrayStore(backend.root if isinstance(backend, FileBackend) else "nowhere")
        self.numbers, self.scores = TrainingStats(), scores_at(5)

    def train(self, until: int) -> None:
        """Append stats up to an iteration."""
        at = np.arange(self.numbers.trained_until(), until)
        self.numbers.append(at, {"loss": at * 1.0, "time": at * 0.5})
        self.stats.store_training_stats(RUN, self.numbers)

    def rewind(self, to: int) -> None:
        self.numbers.delete_after(to)
        self.stats.store_training_stats(RUN, self.numbers)

    def score(self, iteration: int) -> None:
        self.scores.add_iteration_scores(ValidationIterationScores(iteration, [[[0.5 + iteration]]]))
        self.stats.store_validation_iteration_scores(RUN, self.scores)

    def commands(self) -> Iterator[tuple[str, Command]]:
        """Yield the commands in the order they have to be given in."""
        run = run_config()
        yield "a task", lambda: self.configs.store("tasks", task(3))
        yield "a run", lambda: self.configs.store_run_config(run)
        yield "stats", lambda: self.train(5)
        yield "scores", lambda: self.stats.store_validation_iteration_scores(RUN, self.scores)
        yield "a checkpoint", lambda: self.weights.store_weights(RUN, 5, weights_of(5.0))
        yield "the best", lambda: self.weights.store_best(RUN, 5, "crop", "dice", 0.5)
        yield "more stats", lambda: self.train(10)
        yield "another checkpoint", lambda: self.weights.store_weights(RUN, 10, weights_of(10.0))
        yield "another best", lambda: self.weights.store_best(RUN, 10, "crop", "dice", 0.7)
        yield "more scores", lambda: self.score(10)
        yield "the checkpoint again", lambda: self.weights.store_weights(RUN, 10, weights_of(11.0))
        yield "going back", lambda: self.rewind(6)
        yield "going on", lambda: self.train(9)
        yield "the task again", lambda: self.configs.store("tasks", task(4), replace=True)
        yield "pruning", lambda: self.weights.prune(RUN)
        yield "removing", lambda: self.weights.remove(RUN, 10)
        yield "a third checkpoint", lambda: self.weights.store_weights(RUN, 15, weights_of(15.0))
        yield "deleting the run", self.delete
        yield "the run once more", lambda: self.configs.store_run_config(run)
        yield "deleting the task", lambda: self.configs.delete("tasks", "task")

    def delete(self) -> None:
        delete_run(RUN, self.configs, self.stats, self.weights, self.arrays)
        self.numbers = TrainingStats()


def observe(backend: StoreBackend) -> Seen:
    """Read all there is, as somebody who comes new would; whatever cannot be read raises."""
    configs, stats, weights = ConfigStore(backend), StatsStore(backend), WeightsStore(backend)
    seen: Seen = {}
    for kind in CLASSES:
        for name in configs.names(kind):
            config = configs.retrieve(kind, name)
            seen["config", kind, str(name)] = config.embedding_dims if kind == "tasks" else config
    read = stats.retrieve_training_stats(RUN)
    assert read.iterations.tolist() == list(range(len(read))), "stats have gaps"
    seen |= {("stats", int(i)): float(loss) for i, loss in zip(read.iterations, _losses(read), strict=True)}
    for one in stats.retrieve_validation_iteration_scores(RUN):
        seen["scores", one.iteration] = one.scores
    for iteration in weights.iterations(RUN):
        assert weights.is_whole(RUN, iteration), f"checkpoint {iteration} is not whole"
        kept = weights.retrieve_weights(RUN, iteration)
        assert kept.optimizer is not None
        values = {*kept.model["x"].tolist(), kept.optimizer["step"], *kept.optimizer["m"].tolist()}
        assert len(values) == 1, f"checkpoint {iteration} is mixed"
        seen["checkpoint", iteration] = values.pop()
    for record in weights.best(RUN):
        assert ("checkpoint", record.iteration) in seen, "what is called best is not there"
        seen["best", record.dataset, record.criterion] = record.iteration, record.value
    return seen


def is_between(found: Seen, before: Seen, after: Seen) -> bool:
    """Say whether everything found is as it was before a command, or as it was after it."""
    keys = found.keys() | before.keys() | after.keys()
    return all(found.get(key) in (before.get(key), after.get(key)) for key in keys)


def go_on(backend: StoreBackend) -> None:
    """Do what somebody does who comes after a crash: train on, checkpoint, store a config."""
    session = Session(backend)
    session.numbers = session.stats.retrieve_training_stats(RUN)
    until = session.numbers.trained_until() + 3
    session.train(until)
    session.weights.store_weights(RUN, until, weights_of(float(until)))
    session.configs.store("tasks", task(1, "new"))
    seen = observe(backend)
    assert ("stats", until - 1) in seen and ("config", "tasks", "new") in seen
    assert seen["checkpoint", until] == until


def _losses(stats: TrainingStats) -> Any:
    return stats.columns["loss"] if len(stats) else []
