"""A run whose configs, stats, scores and checkpoints are all in MongoDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.experiments.run import Run
from dacapo.store import create_array_store, create_config_store, create_stats_store, create_weights_store
from dacapo.store.deletion import delete_run
from dacapo.testing import tiny_run
from dacapo.train import train_run
from mongo_places import MongoPlace


def test_a_run_is_trained_gone_on_with_and_deleted(
    mongo: MongoPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for key, value in (mongo.options | {"weights": "mongo"}).items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
    for iterations in (4, 6):
        config = tiny_run(tmp_path / "data", num_iterations=iterations, validation_interval=2)
        create_config_store().store_run_config(config, replace=True)
        train_run(Run(create_config_store().retrieve_run_config(config.name)), device="cpu")
        stats = create_stats_store().retrieve_training_stats(config.name)
        assert stats.iterations.tolist() == list(range(iterations))
    assert create_stats_store().retrieve_validation_scores(config.name).validated_until() == 7
    weights = create_weights_store()
    assert weights.latest_iteration(config.name) == 6
    assert weights.best(config.name)
    assert not list((tmp_path / "runs").rglob("*.safetensors"))
    stores = create_config_store(), create_stats_store(), weights, create_array_store()
    gone = delete_run(config.name, *stores)
    assert {"weights", "scores", "stats", "config"} <= set(gone)
    assert create_config_store().names("runs") == [] == weights.iterations(config.name)
