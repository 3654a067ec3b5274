"""Deleting a run: everything goes, or the error names what stayed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dacapo.errors import LeaseHeld, NotFound, StoreError
from dacapo.experiments.architectures.configs import DummyArchitectureConfig
from dacapo.experiments.datasplits.configs import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.configs import DummyTaskConfig
from dacapo.experiments.trainers.configs import DummyTrainerConfig
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.names import RunKey
from dacapo.store.array_store import ArrayStore, LocalArrayStore
from dacapo.store.config_store import ConfigStore
from dacapo.store.deletion import delete_run, finish_erasing
from dacapo.store.files import FileBackend
from dacapo.store.intents import change_now, intend, unfinished
from dacapo.store.lease import take
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore


class Stores(NamedTuple):
    configs: ConfigStore
    stats: StatsStore
    weights: WeightsStore
    arrays: ArrayStore


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    backend = FileBackend(tmp_path / "runs")
    return Stores(
        ConfigStore(backend), StatsStore(backend), WeightsStore(backend), LocalArrayStore(tmp_path / "runs")
    )


def config(repetition: int = 0) -> RunConfig:
    return RunConfig(
        DummyTaskConfig("t", embedding_dims=1, detection_threshold=0.5),
        DummyArchitectureConfig("a", num_in_channels=1, num_out_channels=1),
        DummyTrainerConfig("t"),
        DummyDataSplitConfig("d"),
        name="run",
        repetition=repetition,
        num_iterations=10,
    )


def fill(stores: Stores, run: RunConfig) -> None:
    stores.configs.store_run_config(run)
    stores.stats.store_training_stats(run, TrainingStats([TrainingIterationStats(0, 1.0, 1.0)]))
    labels = ScoreLabels(("a",), ("p",), (Criterion("dice", True),))
    scores = ValidationScores.labelled(labels, [ValidationIterationScores(1, [[[0.5]]])])
    stores.stats.store_validation_iteration_scores(run, scores)
    stores.weights.store_weights(run, 1, Weights({"x": np.ones(1)}))
    stores.weights.store_best(run, 1, "a", "dice")
    snapshots = stores.arrays.snapshot_container(run).container
    snapshots.mkdir(parents=True)
    (snapshots / "0").touch()


def left(tmp_path: Path) -> list[str]:
    """Return all files but the records of who held the runs, and that names are noted at all."""
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    names = sorted(str(path.relative_to(tmp_path / "runs")) for path in files)
    return [
        name for name in names if not name.startswith("stats/leases/") and not name.endswith("/.complete")
    ]


def test_everything_of_a_run_goes(stores, tmp_path):
    fill(stores, config())
    assert delete_run("run", *stores) == ["arrays", "weights", "scores", "stats", "config"]
    assert left(tmp_path) == []
    assert not (tmp_path / "runs" / "run").exists()
    with pytest.raises(NotFound, match="run run: no such config"):
        delete_run("run", *stores)


def test_nothing_of_another_repetition_goes(stores, tmp_path):
    fill(stores, config(1))
    before = left(tmp_path)
    fill(stores, config())
    delete_run(config(), *stores)
    assert left(tmp_path) == before
    delete_run("run", *stores)
    assert left(tmp_path) == []


def test_a_new_run_of_the_name_begins_at_nothing(stores):
    fill(stores, config())
    delete_run("run", *stores)
    stores.configs.store_run_config(config())
    assert len(stores.stats.retrieve_training_stats(config())) == 0
    assert stores.stats.retrieve_validation_iteration_scores(config()) == []
    assert stores.weights.latest_iteration(config()) is None
    assert stores.weights.best(config()) == []
    fill(stores, config())


def test_what_stays_is_named_and_keeps_its_config(stores, tmp_path, monkeypatch):
    fill(stores, config())

    def refuse(run: object) -> bool:
        raise StoreError("the disk is away")

    monkeypatch.setattr(stores.weights, "delete", refuse)
    with pytest.raises(
        StoreError,
        match=r"What stayed: its config, weights \(the disk is away\)\. Deleted: arrays, scores, stats",
    ):
        delete_run("run", *stores)
    assert stores.configs.retrieve_run_config("run") == config()
    monkeypatch.undo()
    assert delete_run("run", *stores) == ["weights", "config"]
    assert left(tmp_path) == []


def test_what_is_left_of_a_run_without_config_goes_too(stores, tmp_path):
    fill(stores, config())
    stores.configs.delete_run_config("run")
    assert delete_run("run", *stores) == ["arrays", "weights", "scores", "stats"]
    assert left(tmp_path) == []


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("at", ["delete", "remove"])
def test_a_deletion_that_was_broken_off_is_finished(stores, tmp_path, monkeypatch, at: str):
    fill(stores, config())

    def die(*_: object) -> bool:
        raise Killed

    there = stores.configs if at == "delete" else stores.configs.backend
    monkeypatch.setattr(there, at, die)  # the last step of all, or the first that removes a document
    with pytest.raises(Killed):
        delete_run("run", *stores)
    monkeypatch.undo()
    assert [(change.what, change.run) for change in unfinished(stores.configs.backend)] == [("erase", "run")]
    for _ in range(2):  # the second time nothing but its record could be left
        finish_erasing(RunKey("run"), *stores)
        assert left(tmp_path) == []
        assert unfinished(stores.configs.backend) == []


def test_only_the_record_of_a_deletion_was_left(stores):
    intend(stores.configs.backend, change_now("erase", "run", "run", {}, None))
    finish_erasing(RunKey("run"), *stores)
    assert unfinished(stores.configs.backend) == []


def test_nothing_was_deleted_says_so(stores, monkeypatch):
    fill(stores, config())

    def refuse(*_: object) -> bool:
        raise StoreError("the disk is away")

    for store, step in (
        (stores.arrays, "delete"),
        (stores.weights, "delete"),
        (stores.stats, "delete_validation_scores"),
        (stores.stats, "delete_training_stats"),
    ):
        monkeypatch.setattr(store, step, refuse)
    with pytest.raises(StoreError) as refused:
        delete_run("run", *stores)
    away = "(the disk is away)"
    assert str(refused.value) == (
        f"run run could not be deleted wholly. What stayed: its config, arrays {away}, weights {away}, "
        f"scores {away}, stats {away}. Deleted: nothing. Delete it again once the reason is gone"
    )


def test_who_trains_a_run_keeps_it_from_being_deleted(stores):
    fill(stores, config())
    with (
        take(stores.stats.backend, "run", "train"),
        pytest.raises(LeaseHeld, match=r"^run run cannot be taken to delete it: it is held by"),
    ):
        delete_run("run", *stores)
    assert stores.configs.retrieve_run_config("run") == config()
    assert unfinished(stores.configs.backend) == []


@pytest.mark.parametrize("rest", ["stats", "weights", "best", "arrays"])
def test_whatever_is_left_of_a_run_can_be_deleted(stores, tmp_path, rest: str):
    if rest == "stats":
        stores.stats.store_training_stats("run", TrainingStats([TrainingIterationStats(0, 1.0, 1.0)]))
    if rest in ("weights", "best"):
        stores.weights.store_weights("run", 1, Weights({"x": np.ones(1)}))
    if rest == "best":
        stores.weights.store_best("run", 1, "a", "dice")
        stores.weights.backend.remove_blobs("run")
    if rest == "arrays":
        snapshots = stores.arrays.snapshot_container("run").container
        snapshots.mkdir(parents=True)
        (snapshots / "0").touch()
    assert delete_run("run", *stores) == ["weights" if rest == "best" else rest]
    assert left(tmp_path) == []
