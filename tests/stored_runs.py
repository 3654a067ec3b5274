"""Runs with something in every store, on any backend, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.experiments.architectures.configs import DummyArchitectureConfig
from dacapo.experiments.datasplits.configs import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.configs import DummyTaskConfig
from dacapo.experiments.trainers.configs import DummyTrainerConfig
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.names import RunKey
from dacapo.store.array_store import LocalArrayStore
from dacapo.store.backend import StoreBackend
from dacapo.store.changes import Stores
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore

Place = Callable[[], StoreBackend]
PLACES = ("memory", "files", "mongo")


def place_of(which: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    """Return the function that opens one and the same new place of a sort."""
    if which == "mongo":
        mongo = request.getfixturevalue("mongo")
        return lambda: MongoBackend(mongo.uri, mongo.name)
    return {"memory": lambda: MemoryBackend(str(folder)), "files": lambda: FileBackend(folder)}[which]


def stores_of(backend: Any, folder: Path) -> Stores:
    """Return the four stores on a backend, arrays in files."""
    return Stores(ConfigStore(backend), StatsStore(backend), WeightsStore(backend), LocalArrayStore(folder))


def run_config(name: str = "run", repetition: int = 0, task: str = "mito") -> RunConfig:
    """Return a small run config."""
    return RunConfig(
        DummyTaskConfig(task, embedding_dims=1, detection_threshold=0.5),
        DummyArchitectureConfig("a", num_in_channels=1, num_out_channels=1),
        DummyTrainerConfig("t"),
        DummyDataSplitConfig("d"),
        name=name,
        repetition=repetition,
        num_iterations=10,
    )


def scored(*values: float, dataset: str = "a") -> ValidationScores:
    """Return scores by a criterion of which more is better and one of which less is, an iteration a value."""
    labels = ScoreLabels((dataset,), ("p", "q"), (Criterion("dice", True), Criterion("voi", False)))
    given = [
        ValidationIterationScores(number + 1, [[[value, value], [value / 2, value]]])
        for number, value in enumerate(values)
    ]
    return ValidationScores.labelled(labels, given)


def fill(stores: Stores, run: RunConfig, *values: float) -> None:
    """Put something of a run into every store, its loss told by the first value."""
    values = values or (0.5,)
    stores.configs.store_run_config(run)
    stats = TrainingStats([TrainingIterationStats(i, values[0], 1.0) for i in range(3)])
    stores.stats.store_training_stats(run, stats)
    stores.stats.store_validation_iteration_scores(run, scored(*values))
    for iteration in range(1, len(values) + 1):
        stores.weights.store_weights(run, iteration, Weights({"x": np.full(2, values[iteration - 1])}))
    stores.weights.store_best(run, 1, "a", "dice", value=values[0])
    snapshots = Path(stores.arrays.snapshot_container(run).container)
    snapshots.mkdir(parents=True)
    (snapshots / "0").write_text(str(values[0]))
    stores.configs.tag("runs", run, ["good"])
    stores.configs.note("runs", run, "looks fine")


def content(stores: Stores, key: str) -> dict[str, Any]:
    """Return what is kept under a key, in words that can be compared; empty if there is nothing."""
    exact = RunKey(key)
    found = {
        "config": stores.configs.backend.get("runs", key) is not None,
        "loss": stores.stats.retrieve_training_stats(exact).columns.get("loss", np.empty(0)).tolist(),
        "scores": stores.stats.retrieve_validation_scores(exact).iterations,
        "weights": [stores.weights.retrieve_weights(exact, one).model["x"].tolist()
                    for one in stores.weights.iterations(exact)],
        "best": [(one.dataset, one.criterion, one.iteration) for one in stores.weights.best(exact)],
        "arrays": [Path(one.container, "0").read_text() for one in stores.arrays.containers(exact)],
        "tags": [one.text for one in stores.configs.remarks.tags("runs", key)],
        "notes": [one.text for one in stores.configs.remarks.notes("runs", key)],
    }  # fmt: skip
    return {what: there for what, there in found.items() if there}
