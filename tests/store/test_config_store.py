"""The config store: one name, one content; nothing unreadable is lost."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

from dacapo import registry
from dacapo.config import UnknownConfig, field
from dacapo.documents import documents
from dacapo.errors import (
    CorruptData,
    DuplicateNameError,
    InvalidDocument,
    InvalidName,
    InvalidRequest,
    MissingPlugin,
    NotFound,
)
from dacapo.experiments.architectures.configs import DummyArchitectureConfig
from dacapo.experiments.datasplits.configs import DummyDataSplitConfig, TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets.arrays.configs import ConstantArrayConfig, DummyArrayConfig
from dacapo.experiments.datasplits.datasets.configs import DummyDatasetConfig, RawGTDatasetConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks.configs import DistanceTaskConfig, DummyTaskConfig, TaskConfig
from dacapo.experiments.trainers.configs import DummyTrainerConfig
from dacapo.store.config_store import ConfigStore
from dacapo.store.differences import differences
from dacapo.store.file_config_store import FileConfigStore
from dacapo.store.files import FileBackend

TASK = DistanceTaskConfig("task", channels=["a"], clip_distance=5, tol_distance=1)
MINIMAL = {
    "tasks": TASK,
    "architectures": DummyArchitectureConfig("thing", num_in_channels=1, num_out_channels=2),
    "trainers": DummyTrainerConfig("thing"),
    "datasplits": DummyDataSplitConfig("thing"),
    "datasets": DummyDatasetConfig("thing"),
    "arrays": DummyArrayConfig("thing"),
}
SINGULAR = {kind: kind.removesuffix("s") for kind in MINIMAL}


def run_config(name: str = "run", repetition: int = 0, **changes) -> RunConfig:
    values = {
        "task_config": TASK,
        "architecture_config": MINIMAL["architectures"],
        "trainer_config": MINIMAL["trainers"],
        "datasplit_config": MINIMAL["datasplits"],
        "num_iterations": 10,
    }
    return RunConfig(name=name, repetition=repetition, **values | changes)


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    return ConfigStore(FileBackend(tmp_path / "runs"))


def file_of(store: ConfigStore, kind: str, name: str) -> Path:
    return store.backend.configs / kind / f"{name}.yaml"


@pytest.mark.parametrize("kind", MINIMAL)
def test_each_kind_is_stored_listed_and_deleted(store, kind: str):
    config, one = MINIMAL[kind], SINGULAR[kind]
    names = getattr(store, f"retrieve_{one}_config_names")
    assert names() == []
    getattr(store, f"store_{one}_config")(config)
    assert getattr(store, f"retrieve_{one}_config")(config.name) == config
    assert names() == store.names(kind) == [config.name]
    getattr(store, f"delete_{one}_config")(config.name)
    assert names() == []
    with pytest.raises(
        NotFound, match=f"{kind[:-1]} {config.name}: no such config in .*; it holds no {kind} yet"
    ):
        getattr(store, f"retrieve_{one}_config")(config.name)
    with pytest.raises(NotFound):
        getattr(store, f"delete_{one}_config")(config.name)


def test_runs_come_back_with_their_parts(store):
    config = run_config()
    store.store_run_config(config)
    assert store.retrieve_run_config("run") == config
    assert store.retrieve_run_config(config) == config
    store.delete_run_config("run")
    assert store.retrieve_run_config_names() == []


def test_repetitions_are_runs_of_their_own(store):
    # Existing DaCapo overwrote one repetition with the other, or refused the second.
    for repetition in (0, 2):
        store.store_run_config(run_config(repetition=repetition, num_iterations=repetition + 1))
    assert store.retrieve_run_config_names() == ["run", "run:2"]
    assert store.retrieve_run_config("run:2").num_iterations == 3
    assert store.retrieve_run_config("run:0").num_iterations == 1
    with pytest.raises(InvalidRequest, match="several repetitions of run run: run:0, run:2"):
        store.retrieve_run_config("run")
    listed = [store.retrieve_run_config(key).repetition for key in store.retrieve_run_config_names()]
    assert listed == [0, 2]
    store.delete_run_config(store.find("runs", "run:0"))
    assert store.retrieve_run_config("run").repetition == 2


def test_equal_content_is_accepted(store):
    store.store_task_config(TASK)
    before = file_of(store, "tasks", "task").read_bytes()
    store.store_task_config(TASK.replace())
    assert file_of(store, "tasks", "task").read_bytes() == before


def test_different_content_is_refused_field_by_field(store):
    store.store_run_config(run_config())
    task = TASK.replace(clip_distance=6.0, channels=["a", "b"])
    with pytest.raises(DuplicateNameError) as raised:
        store.store_run_config(run_config(task_config=task, num_iterations=20))
    message = str(raised.value)
    assert "task_config.clip_distance: 5.0 -> 6.0" in message
    assert "task_config.channels: ['a'] -> ['a', 'b']" in message
    assert "num_iterations: 10 -> 20" in message
    assert "tol_distance" not in message and "__meta__" not in message
    assert store.retrieve_run_config("run") == run_config()


def test_fields_may_be_ignored(store):
    store.store_task_config(TASK)
    other = TASK.replace(clip_distance=6.0)
    store.store_task_config(other, ignore=["clip_distance"])
    assert store.retrieve_task_config("task") == TASK
    with pytest.raises(DuplicateNameError):
        store.store_task_config(other, ignore=["tol_distance"])


def test_replacing_is_asked_for(store, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    store.store_run_config(run_config())
    before = store.retrieve_document("runs", "run")["__meta__"]
    monkeypatch.setenv("LOGNAME", "bob")
    store.store_run_config(run_config(num_iterations=20), replace=True)
    assert store.retrieve_run_config("run").num_iterations == 20
    after = store.retrieve_document("runs", "run")["__meta__"]
    assert after["owner"] == "ada" and after["created"] == before["created"]


def test_sameness_is_asked_of_configs_not_of_documents(store):
    # Existing DaCapo compared bytes: another order of keys, or a default that was not written, differed.
    document = documents.write(TASK)
    shuffled = {key: document[key] for key in reversed(document)} | {"channels": ["a"]}
    del shuffled["clipmin"]
    store.backend.put("tasks", "task", shuffled)
    store.store_task_config(TASK)
    store.backend.put("tasks", "other", {**shuffled, "name": "other", "clipmin": 0.25})
    with pytest.raises(DuplicateNameError, match=r"clipmin: 0\.25 -> 0\.05"):
        store.store_task_config(TASK.replace(name="other"))


def test_nan_equals_itself(store, session_types):
    @registry.add
    @attrs.define(kw_only=True)
    class NanTaskConfig(TaskConfig):
        value: float = field("x", default=math.nan)

    store.store_task_config(NanTaskConfig("task"))
    store.store_task_config(NanTaskConfig("task"))


def test_who_when_and_with_what_is_kept(store, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    store.store_task_config(TASK)
    meta = store.retrieve_document("tasks", "task")["__meta__"]
    assert meta["owner"] == "ada"
    assert {"dacapo", "torch"} <= meta["versions"].keys()


@pytest.mark.parametrize(
    "document",
    [
        {
            "__type__": "gone.TaskConfig",
            "__from__": "gone==1.0",
            "name": "x",
            "deep": {"a": [1, None, {"b": 2.5}]},
        },
        {
            "__type__": "DistanceTaskConfig",
            "name": "x",
            "channels": ["a"],
            "clip_distance": 1.0,
            "tol_distance": 1.0,
            "news": 1,
        },
        {"__type__": "gone.TaskConfig", "name": "x", "__meta__": {"owner": "eve"}},
    ],
)
def test_what_cannot_be_read_is_stored_back_word_for_word(store, tmp_path, document):
    store.backend.put("tasks", "x", document)
    config = store.retrieve_task_config("x")
    assert isinstance(config, UnknownConfig)
    store.store_task_config(config)
    other = ConfigStore(FileBackend(tmp_path / "other"))
    other.store_task_config(config)
    copied = other.retrieve_document("tasks", "x")
    assert {**copied, "__meta__": None} == {**document, "__meta__": None}
    assert document.get("__meta__", copied["__meta__"]) == copied["__meta__"]
    changed = UnknownConfig(document={**document, "name": "x", "more": 1}, reason=config.reason)
    with pytest.raises(DuplicateNameError, match="more: absent -> 1"):
        other.store_task_config(changed)


def test_a_missing_plugin_inside_a_run_leaves_the_rest_readable(store):
    document = documents.write(run_config())
    document["trainer_config"] = {"__type__": "gone.TrainerConfig", "name": "t"}
    store.backend.put("runs", "run", document)
    config = store.retrieve_run_config("run")
    assert config.task_config == TASK
    assert isinstance(config.trainer_config.reason, MissingPlugin)
    assert store.retrieve_run_config_names(trainer_names=["t"]) == ["run"]


def test_runs_are_found_by_their_parts(store):
    store.store_run_config(run_config("a"))
    store.store_run_config(run_config("b", task_config=TASK.replace(name="other")))
    store.store_run_config(run_config("c", 1, task_config=TASK.replace(name="third")))
    names = store.retrieve_run_config_names
    assert names() == ["a", "b", "c:1"]
    assert names(task_names=["other", "third"]) == ["b", "c:1"]
    assert names(task_names=["other"], trainer_names=["thing"]) == ["b"]
    assert names(architecture_names=["nothing"]) == []
    assert names(datasplit_names=["thing"]) == ["a", "b", "c:1"]
    assert names(task_names=[]) == []


def test_a_damaged_run_does_not_spoil_the_list(store, caplog):
    store.store_run_config(run_config("a"))
    store.store_run_config(run_config("b"))
    file_of(store, "runs", "a").write_text("a: [")
    caplog.set_level(logging.WARNING)
    assert store.retrieve_run_config_names() == ["a", "b"]
    assert store.retrieve_run_config_names(task_names=["task"]) == ["b"]
    assert "run a is left out of the list" in caplog.text
    with pytest.raises(CorruptData, match=r"runs/a\.yaml, line 2"):
        store.retrieve_run_config("a")


def test_values_that_no_longer_fit_are_named(store):
    document = documents.write(TASK) | {"clip_distance": -1.0}
    store.backend.put("tasks", "task", document)
    with pytest.raises(InvalidDocument, match=r"task task in the files below .*clip_distance"):
        store.retrieve_task_config("task")
    with pytest.raises(DuplicateNameError, match=r"clip_distance: -1\.0 -> 5\.0"):
        store.store_task_config(TASK)


@pytest.mark.parametrize("name", ["../task", "a/b", "..", ".x", "a\0", "", "a:1", "x" * 300])
def test_names_cannot_escape(store, tmp_path, name: str):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidName):
        store.store_task_config(TASK.replace(name=name))
    for act in (store.retrieve_task_config, store.delete_task_config):
        with pytest.raises(InvalidName):
            act(name)
    with pytest.raises(InvalidName):
        store.store_run_config(run_config(name))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [{"$ne": None}, ["a"], 3, None, b"a"])
def test_names_are_texts(store, name):
    with pytest.raises(InvalidName):
        store.retrieve_task_config(name)
    with pytest.raises(InvalidName):
        store.retrieve_run_config(name)


def test_a_document_cannot_bring_a_bad_name_in(store):
    for name in ("../x", 7, None):
        unknown = documents.read({"__type__": "gone.X", "name": name}, TaskConfig)
        with pytest.raises(InvalidName):
            store.store_task_config(unknown)


def test_only_what_belongs_there_is_stored(store):
    with pytest.raises(
        InvalidRequest, match="among the tasks only a TaskConfig can be stored, and not DummyArrayConfig"
    ):
        store.store_task_config(MINIMAL["arrays"])
    with pytest.raises(
        InvalidRequest, match="'users' is no kind of config that is stored; there are runs, tasks"
    ):
        store.names("users")


def test_what_is_not_there_is_told_with_what_may_have_been_meant(store):
    for number in range(22):
        store.store_task_config(TASK.replace(name=f"mito-{number:02}"))
    with pytest.raises(NotFound, match="in .*; did you mean mito-21 or "):
        store.retrieve_task_config("meto21")
    with pytest.raises(NotFound, match="there are mito-00, .*mito-19 and 2 more$"):
        store.delete_task_config("xyz")


def test_a_name_that_becomes_free_meanwhile_is_taken(store):
    store.store_task_config(TASK)
    get = store.backend.get

    def deleted_before_it_is_read(collection: str, key: str):
        store.backend.remove(collection, key)
        return get(collection, key)

    store.backend.get = deleted_before_it_is_read  # type: ignore[method-assign]
    store.store_task_config(TASK.replace(clip_distance=9.0))
    del store.backend.get
    assert store.retrieve_task_config("task").clip_distance == 9.0


def test_many_who_store_one_name_at_once_agree(tmp_path):
    # P7: of all that store different things under one name, exactly one wins.
    def wins(number: int) -> int:
        mine = ConfigStore(FileBackend(tmp_path / "shared"))
        won = 0
        for name in range(25):
            task = DummyTaskConfig(f"n{name}", embedding_dims=number, detection_threshold=0.5)
            with suppress(DuplicateNameError):
                mine.store_task_config(task)
                won += 1
        return won

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(wins, range(1, 5))) == 25
    assert len(ConfigStore(FileBackend(tmp_path / "shared")).names("tasks")) == 25


def test_the_file_store_has_a_folder_for_each_kind(tmp_path):
    store = FileConfigStore(tmp_path / "runs" / "configs")
    store.store_task_config(TASK)
    assert (store.tasks / "task.yaml").is_file()
    assert store.path.parent == tmp_path / "runs"
    assert store.arrays == store.path / "arrays" and store.runs == store.path / "runs"


def test_differences_are_told_at_every_depth():
    stored = {"a": 1, "b": [1, 2], "c": {"d": math.nan, "e": [{"f": 1}]}, "g": True, "__from__": "x==1"}
    given = {"a": 1, "b": [1], "c": {"d": math.nan, "e": [{"f": 2}]}, "g": 1, "h": None, "__from__": "x==2"}
    assert list(differences(stored, given)) == [
        "b: [1, 2] -> [1]",
        "c.e[0].f: 1 -> 2",
        "g: True -> 1",
        "h: absent -> None",
    ]
    assert list(differences({"a": {}}, {"a": []})) == ["a: {} -> []"]


ARRAY = DummyArrayConfig("array")
DATASET = RawGTDatasetConfig("thing", raw_config=ARRAY, gt_config=ARRAY)
FIRST = {
    "tasks": TASK,
    "architectures": MINIMAL["architectures"],
    "trainers": MINIMAL["trainers"],
    "datasplits": TrainValidateDataSplitConfig("thing", train_configs=[DATASET], validate_configs=[DATASET]),
    "datasets": DATASET,
    "arrays": ConstantArrayConfig("thing", source_array_config=ARRAY, constant=1),
}
CHANGES = {
    "tasks": {"clip_distance": 7},
    "architectures": {"num_out_channels": 3},
    "trainers": {"batch_size": 7},
    "datasplits": {"validate_configs": []},
    "datasets": {"weight": 7},
    "arrays": {"constant": 7},
}


@pytest.mark.parametrize("kind", FIRST)
def test_what_may_differ_of_a_kind_is_given_by_field(store, kind: str):
    put, first = getattr(store, f"store_{SINGULAR[kind]}_config"), FIRST[kind]
    put(first)
    other, [field] = first.replace(**CHANGES[kind]), CHANGES[kind]
    with pytest.raises(DuplicateNameError) as refused:
        put(other)
    said = str(refused.value)
    assert said.startswith(
        f"{SINGULAR[kind]} {first.name} is already stored, and different (stored -> given): {field}"
    )
    assert said.endswith(". Choose another name, or delete the stored one first")
    put(other, ignore=[field])
    assert getattr(store, f"retrieve_{SINGULAR[kind]}_config")(first.name) == first


def test_what_does_not_belong_is_refused_by_kind_and_type(store):
    with pytest.raises(
        InvalidRequest, match="^among the tasks only a TaskConfig can be stored, and not DummyTrainerConfig$"
    ):
        store.store("tasks", MINIMAL["trainers"])
    with pytest.raises(InvalidName, match=r"^the name of the task config 'a/b' cannot be used"):
        store.store_task_config(TASK.replace(name="a/b"))


def test_who_asks_for_what_is_not_there_is_told_what_is(store):
    for name in ("one", "two"):
        store.store_task_config(TASK.replace(name=name))
    for attempt in (store.retrieve_task_config, store.delete_task_config):
        with pytest.raises(NotFound) as refused:
            attempt("three")
        assert str(refused.value) == f"task three: no such config in {store.backend!r}; there are one, two"
    with pytest.raises(NotFound, match="^task three: no such config"):
        store.tag("tasks", "three", ["good"])


def test_a_stored_config_says_who_stored_it_and_with_what(store):
    store.store_task_config(TASK)
    document = store.retrieve_document("tasks", "task")
    assert document["name"] == "task" and {"owner", "host", "created"} <= set(document["__meta__"])
