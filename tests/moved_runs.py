"""Runs worth moving: several epochs, odd numbers, scores, checkpoints; and all that a place holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dacapo.experiments.architectures.configs import DummyArchitectureConfig
from dacapo.experiments.datasplits.configs import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.configs import DummyTaskConfig
from dacapo.experiments.tasks.post_processors.parameters import ThresholdPostProcessorParameters
from dacapo.experiments.trainers.configs import DummyTrainerConfig
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.backend import Block
from dacapo.store.blocks import encode_scores
from dacapo.store.config_store import CLASSES, ConfigStore
from dacapo.store.history import write_epoch
from dacapo.store.lease import take
from dacapo.store.place import Place
from dacapo.store.remarks import Remarks
from dacapo.store.run_content import StoredRun
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore


def run_config(name: str = "first", repetition: int = 0, iterations: int = 100) -> RunConfig:
    return RunConfig(
        DummyTaskConfig("task", embedding_dims=1, detection_threshold=0.5),
        DummyArchitectureConfig("net", num_in_channels=1, num_out_channels=1),
        DummyTrainerConfig("trainer"),
        DummyDataSplitConfig("split"),
        name=name,
        repetition=repetition,
        num_iterations=iterations,
    )


def stats_of(begin: int, end: int, loss: float) -> TrainingStats:
    count = end - begin
    columns = {"loss": np.full(count, loss), "time": np.ones(count)}
    columns["loss"][0], columns["loss"][-1] = math.nan, -0.0
    return TrainingStats.of(np.arange(begin, end), columns)


def fill_run(place: Place, config: RunConfig, seed: float = 0.0) -> None:
    """Keep a run with all there is: what a later epoch cut is there too."""
    ConfigStore(place.documents).store_run_config(config)
    remarks = Remarks(place.documents)
    remarks.tag("runs", config.key, ["good"])
    remarks.note("runs", config.key, "ünusual")
    stats = StatsStore(place.documents)
    trained = stats_of(0, 40, 0.5 + seed)
    stats.store_training_stats(config, trained)
    trained.append(np.arange(40, 60), {"loss": np.full(20, 0.25), "gradient": np.full(20, math.inf)})
    stats.store_training_stats(config, trained)
    parameters = (ThresholdPostProcessorParameters(1, threshold=0.1), ThresholdPostProcessorParameters(2))
    labels = ScoreLabels(("crop a/b", "c"), parameters, (Criterion("dice", True), Criterion("voi", False)))
    scores = ValidationScores.labelled(labels)
    for iteration in (20, 40):
        matrix = [[iteration + seed, math.nan], [1.0, 0.5]]
        scores.add_iteration_scores(ValidationIterationScores(iteration, [matrix, matrix]))
        stats.store_validation_iteration_scores(config, scores)
    stats.begin_epoch(config, 50)
    trained.delete_after(50)
    trained.append(*stats_of(50, 55, 7.0).since(0))
    stats.store_training_stats(config, trained)
    weights = WeightsStore(place.weights, place.documents)
    weights.store_weights(config, 10, Weights({"layer": np.zeros(3)}))
    weights.store_best(config, 10, "crop a/b", "voi", value=0.25)
    lease = take(place.documents, config.key, "train")
    weights.write_under(lease)
    for iteration in (20, 40):
        model = {"layer": np.full((3, 4), iteration + seed), "empty": np.zeros((0, 2))}
        weights.store_weights(config, iteration, Weights(model, {"state": {0: {"step": iteration}}}))
    for dataset, criterion, best in (("crop a/b", "dice", 40), ("c", "voi", 20)):
        weights.store_best(config, best, dataset, criterion, value=0.5, parameters=parameters[0])
    lease.release()


def fill(place: Place) -> None:
    """Keep two runs and a config of some other kinds."""
    configs = ConfigStore(place.documents)
    configs.store_task_config(DummyTaskConfig("task", embedding_dims=1, detection_threshold=0.5))
    configs.store_trainer_config(DummyTrainerConfig("trainer"))
    Remarks(place.documents).note("trainers", "trainer", "slow")
    fill_run(place, run_config())
    fill_run(place, run_config(repetition=1), seed=1.0)


def everything(place: Place) -> dict[str, Any]:
    """Return all that can be read from a place, in a form that compares to the bit."""
    documents = {
        kind: {key: place.documents.get(kind, key) for key in place.documents.keys(kind)} for kind in CLASSES
    }
    notes = Remarks(place.documents).notes("trainers", "trainer")
    return {
        "documents": documents,
        "notes": notes,
        "runs": {str(key): run_of(place, key) for key in place.runs()},
    }


def run_of(place: Place, key: Any) -> dict[str, Any]:
    """Return all that can be read of a run."""
    content = StoredRun(place, key)
    stats, weights = StatsStore(place.documents), WeightsStore(place.weights, place.documents)
    checkpoints = {}
    for iteration in weights.iterations(key):
        read = weights.retrieve_weights(key, iteration)
        model = {name: (array.dtype, array.tobytes()) for name, array in read.model.items()}
        checkpoints[iteration] = model, read.optimizer
    read = stats.retrieve_training_stats(key)
    return {
        "epochs": list(map(write_epoch, content.epochs())),
        "stats": {epoch.number: rows(content.blocks(epoch.number)) for epoch in content.epochs()},
        "scores": {epoch.number: [encode_scores(one) for one in content.scores(epoch.number)]
                   for epoch in content.epochs()},
        "read": (read.iterations.tolist(), {name: column.tobytes() for name, column in read.columns.items()}),
        "validated": repr(stats.retrieve_validation_scores(key).array.tolist()),
        "checkpoints": checkpoints,
        "best": weights.best(key),
        "tags": Remarks(place.documents).tags("runs", key),
        "notes": Remarks(place.documents).notes("runs", key),
    }  # fmt: skip


def rows(blocks: list[Block]) -> list[tuple[Any, ...]]:
    """Return stats row by row, however they are cut into blocks."""
    return [
        (int(iteration), {name: column[at].tobytes() for name, column in block.columns.items()})
        for block in blocks
        for at, iteration in enumerate(block.iterations)
    ]
