"""Stores of earlier versions, opened as they are by the ordinary stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.config import UnknownConfig
from dacapo.errors import DuplicateNameError, NotFound, StoreError
from dacapo.experiments.training_stats import TrainingIterationStats
from dacapo.store import ranking
from dacapo.store.changes import rename_run, trash_run
from dacapo.store.create_store import (
    create_config_store,
    create_stats_store,
    create_stores,
    create_weights_store,
)
from dacapo.store.files import FileBackend
from dacapo.store.intents import unfinished
from dacapo.store.legacy.reading import WithOldData, with_old_data
from dacapo.store.legacy.upgrade import upgrade
from dacapo.store.place import place_of
from dacapo.store.reached import reached
from mongo_places import MongoPlace
from old_stores import (
    NAME,
    OldFileStore,
    OldMongoStore,
    array_document,
    fill,
    run_document,
    scores_of,
    stats_of,
)

COUNTS = {"runs": 1, "tasks": 1, "architectures": 1, "trainers": 1, "datasplits": 1, "arrays": 1}


@pytest.fixture
def old_mongo(mongo: MongoPlace, monkeypatch) -> OldMongoStore:
    for key, value in mongo.options.items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
    store = OldMongoStore(mongo)
    yield store
    store.client.close()


@pytest.fixture
def old_files(tmp_path: Path) -> OldFileStore:
    return OldFileStore(tmp_path / "runs")


@pytest.fixture(params=["mongo", "files"])
def old(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"old_{request.param}")


def test_configs_of_every_kind_are_listed_and_read(old, tmp_path):
    run = fill(old, tmp_path / "data")
    store = create_config_store()
    assert {kind: len(store.names(kind)) for kind in COUNTS} == COUNTS
    config = store.retrieve_run_config(NAME)
    assert config.architecture_config.input_shape == (24, 24, 24)
    assert config.architecture_config.eval_shape_increase == (8, 8, 8)
    assert config.trainer_config.augments[1].scale == (0.8, 1.2)
    assert config.datasplit_config.train_configs[0].sample_points == [(80, 80, 80)]
    assert config.datasplit_config.validate_configs[0].gt_config.groupings == [("ball", [1])]
    assert store.retrieve_task_config("balls") == config.task_config
    assert store.retrieve_architecture_config("small") == config.architecture_config
    assert store.retrieve_trainer_config("patches") == config.trainer_config
    assert store.retrieve_datasplit_config("volumes") == config.datasplit_config
    assert store.retrieve_array_config("train_raw").source_array_config.dataset == "raw"
    assert store.retrieve_run_config_names(task_names=["balls"]) == [NAME]
    assert store.retrieve_run_config_names(task_names=["others"]) == []
    assert config.name == run["name"]


def test_a_new_name_that_is_an_old_one_in_another_case_is_refused(old, tmp_path):
    fill(old, tmp_path / "data")
    store = create_config_store()
    config = store.retrieve_run_config(NAME)
    with pytest.raises(DuplicateNameError, match=f"run {NAME} is there"):
        store.store_run_config(config.replace(name=NAME.upper()))
    store.store_run_config(config)
    assert store.names("runs") == [NAME]


def test_storing_the_same_again_does_nothing_and_something_else_is_refused(old, tmp_path):
    fill(old, tmp_path / "data")
    store = create_config_store()
    config = store.retrieve_run_config(NAME)
    store.store_run_config(config)
    with pytest.raises(DuplicateNameError, match=r"num_iterations: 8 -> 9"):
        store.store_run_config(config.replace(num_iterations=9))
    store.store_run_config(config.replace(num_iterations=9), replace=True)
    assert create_config_store().retrieve_run_config(NAME).num_iterations == 9
    assert create_config_store().names("runs") == [NAME]


def test_a_start_without_a_type_and_an_unknown_type_are_read(old, tmp_path):
    run = run_document(tmp_path / "data")
    old.config("runs", {**run, "start_config": {"run": "other", "criterion": "20000"}})
    task = {"__type__": "AffinitiesTaskOfSomebody", "name": "strange", "neighborhood": [[1, 0, 0]]}
    old.config("tasks", task)
    store = create_config_store()
    start = store.retrieve_run_config(NAME).start_config
    assert (start.run, start.criterion) == ("other", "20000")
    strange = store.retrieve_task_config("strange")
    assert isinstance(strange, UnknownConfig)
    assert strange.document == task


def test_repetitions_are_told_apart_and_share_no_stats(old_mongo, tmp_path):
    for repetition in (2, 1):
        old_mongo.config("runs", run_document(tmp_path / "data", NAME, repetition))
    old_mongo.stats(NAME, stats_of(NAME, 3))
    store, stats = create_config_store(), create_stats_store()
    assert store.names("runs") == [f"{NAME}:1", f"{NAME}:2"]
    assert store.retrieve_run_config(f"{NAME}:2").repetition == 2
    assert len(stats.retrieve_training_stats(f"{NAME}:1")) == 3
    assert len(stats.retrieve_training_stats(f"{NAME}:2")) == 0
    assert stats.backend.logged_runs() == [f"{NAME}:1"]
    store.delete_run_config(f"{NAME}:1")
    assert create_config_store().names("runs") == [f"{NAME}:2"]


def test_a_file_that_holds_another_repetition_is_found_under_its_own(old_files, tmp_path):
    fill(old_files, tmp_path / "data", repetition=3)
    store = create_config_store()
    assert store.names("runs") == [f"{NAME}:3"]
    assert store.retrieve_run_config(NAME).repetition == 3
    with pytest.raises(NotFound):
        store.retrieve_run_config(f"{NAME}:0")
    with pytest.raises(NotFound):
        store.delete_run_config(f"{NAME}:0")
    store.delete_run_config(NAME)
    assert create_config_store().names("runs") == []


@pytest.mark.parametrize("name", ["50% glia, #2", "a:b", "..x"])
def test_names_that_no_store_takes_today_are_found_under_others(old_mongo, tmp_path, name):
    fill(old_mongo, tmp_path / "data", name)
    store, stats = create_config_store(), create_stats_store()
    (found,) = store.retrieve_run_config_names()
    assert store.retrieve_run_config(found).name == found.removesuffix(":0") != name
    assert store.retrieve_document("runs", found)["__meta__"] == {"former_name": name}
    assert len(stats.retrieve_training_stats(found)) == 6
    assert stats.retrieve_validation_scores(found).iterations == [4]
    store.delete_run_config(found)
    assert create_config_store().names("runs") == []


def test_stats_are_read_whole_last_and_sampled(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    store = create_stats_store()
    stats = store.retrieve_training_stats(NAME)
    assert stats.iterations.tolist() == list(range(6))
    assert stats.columns["loss"].tolist() == [1 / (i + 1) for i in range(6)]
    assert stats.columns["time"].tolist() == [0.5 + i for i in range(6)]
    assert store.retrieve_last_training_stats(NAME) == TrainingIterationStats(5, 1 / 6, 5.5)
    assert reached(store, [NAME, "other"]) == {NAME: 6, "other": 0}
    assert store.retrieve_training_stats(NAME, subsample=2).iterations.tolist() == [0, 5]
    envelope = store.retrieve_envelope(NAME, points=2)
    assert (envelope.maximum.max(), envelope.minimum.min()) == (1.0, 1 / 6)


def test_scores_are_labelled_by_the_config_of_the_run(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    scores = create_stats_store().retrieve_validation_scores(NAME)
    assert scores.dataset_names == ["validate"]
    assert scores.parameter_names == ["threshold_127.0"]
    assert (scores.criteria[0], scores.criteria[20]) == ("ball__dice", "ball__f1_score")
    assert scores.labels.criteria[2].higher_is_better is False
    values = np.array([np.nan, *(4 + i / 100 for i in range(1, 21))])
    assert np.array_equal(scores.array.ravel(), values, equal_nan=True)
    assert scores.best("validate", "ball__f1_score").iteration == 4


def test_a_run_goes_on_and_its_stats_are_one_series(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    store = create_stats_store()
    stats, scores = store.retrieve_training_stats(NAME), store.retrieve_validation_scores(NAME)
    stats.add_iteration_stats(TrainingIterationStats(6, 0.1, 1.0))
    scores.add_iteration_scores(scores.of_iteration(4))
    store.store_training_stats(NAME, stats)
    store.store_validation_iteration_scores(NAME, scores)
    found = create_stats_store()
    assert found.retrieve_training_stats(NAME).iterations.tolist() == list(range(7))
    assert found.retrieve_last_training_stats(NAME).iteration == 6
    assert found.retrieve_validation_scores(NAME).iterations == [4]
    assert old_mongo.database.training_stats.count_documents({}) == 6


def test_old_scores_are_compared_when_asked_and_as_the_run_goes_on(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    store = create_stats_store()
    scores = store.retrieve_validation_scores(NAME)
    assert ranking.complete(store.backend) == 1 and ranking.complete(create_stats_store().backend) == 0
    [found] = create_stats_store().best_runs("ball__f1_score", "validate")
    assert (found.run, found.iteration) == (NAME, 4)
    better = scores.of_iteration(4).array(scores.labels) + 1
    scores.add_iteration_scores(type(scores.of_iteration(4))(6, better.tolist()))
    store.store_validation_iteration_scores(NAME, scores)
    [now] = create_stats_store().best_runs("f1_score")
    assert (now.iteration, now.value) == (6, found.value + 1)
    list(upgrade(place_of()))
    assert [one.value for one in create_stats_store().best_runs("f1_score")] == [now.value]


def test_going_on_from_an_earlier_iteration_cuts_the_old_stats(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    store = create_stats_store()
    stats = store.retrieve_training_stats(NAME)
    stats.delete_after(2)
    stats.add_iteration_stats(TrainingIterationStats(2, 9.0, 1.0))
    store.store_training_stats(NAME, stats)
    found = create_stats_store().retrieve_training_stats(NAME)
    assert found.columns["loss"].tolist() == [1.0, 0.5, 9.0]


def test_scores_alone_do_not_cut_stats(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    store = create_stats_store()
    scores = store.retrieve_validation_scores(NAME)
    again = scores.of_iteration(4).array(scores.labels) + 1
    scores.add_iteration_scores(type(scores.of_iteration(4))(2, again.tolist()))
    store.store_validation_iteration_scores(NAME, scores)
    found = create_stats_store()
    assert len(found.retrieve_training_stats(NAME)) == 6
    assert found.retrieve_validation_scores(NAME).iterations == [2, 4]


def test_deleting_deletes_what_is_old_too(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    stats = create_stats_store()
    assert stats.delete_training_stats(NAME) and stats.delete_validation_scores(NAME)
    create_config_store().delete_run_config(NAME)
    assert not create_stats_store().delete_training_stats(NAME)
    assert old_mongo.database.training_stats.count_documents({}) == 0
    assert old_mongo.database.validation_scores.count_documents({}) == 0
    assert old_mongo.database.runs.count_documents({}) == 0


def test_what_an_old_run_left_is_not_picked_up_by_a_new_one_of_its_name(old_mongo, tmp_path):
    fill(old_mongo, tmp_path / "data")
    store = create_config_store()
    config = store.retrieve_run_config(NAME)
    store.delete_run_config(NAME)
    assert len(create_stats_store().retrieve_training_stats(NAME)) == 6  # nobody else's, so still to be seen
    store.store_run_config(config)
    assert len(create_stats_store().retrieve_training_stats(NAME)) == 0


def test_stats_in_pickles_are_not_read_and_the_command_is_named(old_files, tmp_path, caplog):
    fill(old_files, tmp_path / "data")
    store = create_stats_store()
    assert len(store.retrieve_training_stats(NAME)) == 0
    assert store.retrieve_validation_scores(NAME).iterations == []
    told = [record.message for record in caplog.records if "import-legacy --trust-pickles" in record.message]
    assert len(told) == 1
    assert "1 runs" in told[0]


def test_a_new_store_is_not_wrapped_and_an_old_one_is(tmp_path, mongo):
    backend = FileBackend(tmp_path / "new")
    assert with_old_data(backend) is backend
    backend.put("tasks", "a", {"name": "a"})
    assert with_old_data(backend) is backend
    assert create_config_store(**mongo.options).backend.old_data() is None
    OldFileStore(tmp_path / "new")
    assert isinstance(with_old_data(backend), WithOldData)


def test_short_rows_and_odd_counts_of_scores_lose_no_value(old_mongo, tmp_path):
    run = run_document(tmp_path / "data")
    old_mongo.config("runs", run)
    rows = [[[0.5] * 21, [0.25] * 20], [[0.125] * 21]]
    old_mongo.scores(NAME, [{"iteration": 1, "scores": rows, "run_name": NAME}])
    scores = create_stats_store().retrieve_validation_scores(NAME)
    assert scores.dataset_names == ["validate", "dataset 1"]
    assert scores.parameter_names == ["parameters_0", "parameters_1"]
    assert np.nansum(scores.array) == 0.5 * 21 + 0.25 * 20 + 0.125 * 21


@pytest.mark.parametrize(
    ("task", "count", "parameters", "criteria"),
    [
        ({"__type__": "AffinitiesTaskConfig"}, 5, "bias_0.1", "voi_split"),
        ({"__type__": "OneHotTaskConfig", "classes": ["a", "b"]}, 1, "argmax", "frizz_level"),
        ({"__type__": "DummyTaskConfig", "embedding_dims": 1, "detection_threshold": 0.5}, 10,
         "min_size_1", "frizz_level"),
        ({"__type__": "PretrainedTaskConfig", "sub_task_config": {"__type__": "AffinitiesTaskConfig"}}, 5,
         "bias_0.1", "voi_split"),
        ({"__type__": "TaskOfSomebody"}, 2, "parameters_0", "score_0"),
    ],
)  # fmt: skip
def test_scores_of_other_tasks_are_labelled(old_mongo, tmp_path, task, count, parameters, criteria):
    size = 3 if "voi" in criteria else 2
    run = run_document(tmp_path / "data")
    old_mongo.config("runs", {**run, "task_config": {"name": "t", **task}})
    rows = np.arange(count * size, dtype=float).reshape(1, count, size)
    old_mongo.scores(NAME, [{"iteration": 1, "scores": rows.tolist(), "run_name": NAME}])
    scores = create_stats_store().retrieve_validation_scores(NAME)
    assert scores.parameter_names[0] == parameters
    assert scores.criteria[0] == criteria
    assert np.array_equal(scores.array[0], rows)


def test_anchors_are_read_and_cannot_blow_up(old_files, tmp_path):
    shared = array_document("a", tmp_path / "a.zarr", "raw")
    old_files.config(
        "arrays", {"__type__": "SumArrayConfig", "name": "sum", "source_array_configs": [shared] * 2}
    )
    assert "&id001" in (old_files.root / "configs" / "arrays" / "sum.yaml").read_text()
    first, second = create_config_store().retrieve_array_config("sum").source_array_configs
    assert first == second and first is not second


def test_scores_of_an_unfound_datasplit_are_numbered(old_mongo, tmp_path):
    run = run_document(tmp_path / "data")
    datasplit = {"__type__": "SimpleDataSplitConfig", "name": "s", "path": str(tmp_path / "nowhere")}
    old_mongo.config("runs", {**run, "datasplit_config": datasplit})
    old_mongo.scores(NAME, scores_of(NAME, 1))
    assert create_stats_store().retrieve_validation_scores(NAME).dataset_names == ["dataset 0"]


def test_weights_of_a_mixed_store_are_those_of_the_runs_in_the_database(old_mongo, tmp_path):
    assert isinstance(create_weights_store().backend, WithOldData)


def test_what_is_kept_in_the_old_way_is_not_moved_half(old, tmp_path):
    fill(old, tmp_path / "data")
    with pytest.raises(StoreError, match=r"kept as an earlier DaCapo wrote it.*dacapo store upgrade"):
        rename_run(NAME, "other", create_stores())
    with pytest.raises(StoreError, match="dacapo store upgrade"):
        trash_run(NAME, create_stores())
    assert create_config_store().names("runs") == [NAME]
    assert unfinished(create_config_store().backend) == []
