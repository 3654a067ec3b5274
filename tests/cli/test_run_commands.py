"""``dacapo run create | list | show | delete``, and the errors of what people write."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from dacapo import documents
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.store.backend import Claim
from dacapo.store.create_store import create_array_store, create_config_store, create_stats_store, take_lease
from dacapo.store.holder import Holder
from dacapo.testing import tiny_run


@pytest.fixture
def document(tmp_path):
    return documents.write(tiny_run(tmp_path / "data"))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a run file."""

    def write(content: object, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def nothing_is_stored() -> bool:
    store = create_config_store()
    return not any(store.names(kind) for kind in ("runs", "tasks", "architectures", "trainers", "datasplits"))


def test_a_run_file_is_stored_listed_and_shown(dacapo, write, document, tmp_path):
    called = dacapo("run", "create", write(document))
    assert (called.exit_code, called.stdout) == (0, "tiny\n")
    assert create_config_store().retrieve_run_config("tiny") == tiny_run(tmp_path / "data")
    shown = dacapo("run", "show", "tiny", "--json").json
    meta = shown["__meta__"]
    assert dacapo("run", "list", "--json").json == [
        {"run": "tiny", "task": "balls", "architecture": "small", "trainer": "patches",
         "datasplit": "volumes", "trained": 0, "of": 8, "owner": meta["owner"], "stored": meta["created"],
         "held": None, "tags": [], "note": None}
    ]  # fmt: skip
    assert shown["task_config"] == document["task_config"]
    assert shown["__meta__"]


def test_who_has_a_run_is_told_and_everybody_else_is_refused(dacapo, write, document):
    dacapo("run", "create", write(document))
    with take_lease("tiny", "train") as lease:
        assert f"train: {lease.holder}" in dacapo("run", "list").stdout
        (row,) = dacapo("run", "list", "--json").json
        assert (row["held"]["state"], row["held"]["pid"]) == ("held", lease.holder.pid)
        (shown,) = dacapo("run", "show", "tiny", "--json").json["__meta__"]["held"]
        assert (shown["doing"], shown["host"]) == ("train", lease.holder.host)
        verbs = {"train": "train", "validate -i 4": "validate", "run delete --yes": "delete"}
        for command, doing in verbs.items():
            called = dacapo(*command.split(), "tiny")
            assert called.exit_code == 6, called
            assert f"cannot be taken to {doing} it: it is held by {lease.holder}" in called.stderr
    assert "held" not in dacapo("run", "list").stdout
    assert "held" not in dacapo("run", "show", "tiny", "--json").json["__meta__"]


def test_who_died_with_a_run_is_told_to_be_lost(dacapo, write, document):
    dacapo("run", "create", write(document))
    dead = Holder(user="ann", host="gpu7", pid=41, doing="train", seconds=0.01)
    backend = create_stats_store().backend
    assert backend.claim("tiny", Claim(0, dead.write()))
    time.sleep(0.1)
    assert "lost: ann on gpu7 (pid 41), last sign of life 0 s ago" in dacapo("run", "list").stdout
    (row,) = dacapo("run", "list", "--json").json
    assert row["held"]["state"] == "lost" and row["held"]["host"] == "gpu7"


def test_what_is_shown_can_be_created_again(dacapo, write, document):
    dacapo("run", "create", write(document))
    shown = dacapo("run", "show", "tiny").stdout
    assert dacapo("run", "create", write(shown, "again.yaml")).exit_code == 0
    assert dacapo("run", "delete", "tiny", "--yes").exit_code == 0
    assert dacapo("run", "create", write(shown, "again.yaml")).exit_code == 0


def test_json_is_read_too(dacapo, write, document):
    assert dacapo("run", "create", write(json.dumps(document), "run.json")).exit_code == 0


def test_parts_may_be_named_if_they_are_stored(dacapo, write, document, tmp_path):
    config = tiny_run(tmp_path / "data")
    store = create_config_store()
    store.store_task_config(config.task_config)
    store.store_datasplit_config(config.datasplit_config)
    named = document | {"task_config": "balls", "datasplit_config": "volumes"}
    assert dacapo("run", "create", write(named)).exit_code == 0
    assert store.retrieve_run_config("tiny") == config


def test_runs_are_listed_by_their_parts_with_how_far_they_are(dacapo, tmp_path):
    config = tiny_run(tmp_path / "data")
    store = create_config_store()
    for repetition in (0, 1):
        store.store_run_config(config.replace(repetition=repetition))
    stats = TrainingStats([TrainingIterationStats(i, 1.0, 0.1) for i in range(5)])
    create_stats_store().store_training_stats("tiny:1", stats)
    rows = dacapo("run", "list", "--task", "balls", "--json").json
    assert [(row["run"], row["trained"]) for row in rows] == [("tiny", 0), ("tiny:1", 5)]
    called = dacapo("run", "list", "--task", "cubes")
    assert (called.stdout, called.exit_code) == ("", 0)
    assert called.stderr == "none of the 2 runs fits; list all with  dacapo run list --archived\n"


def test_a_store_without_runs_says_how_to_store_one(dacapo):
    called = dacapo("run", "list", "--task", "cubes")
    assert called.stderr == "there are no runs yet; store one with  dacapo run create FILE\n"


def test_deleting_says_what_goes_before_it_asks(dacapo, tmp_path):
    config = tiny_run(tmp_path / "data")
    create_config_store().store_run_config(config)
    stats = TrainingStats([TrainingIterationStats(i, 1.0, 0.1) for i in range(5)])
    create_stats_store().store_training_stats(config, stats)
    container = create_array_store().validation_container(config).container
    container.mkdir(parents=True)
    called = dacapo("run", "delete", "tiny")
    assert called.exit_code == 2
    assert "training stats of 5 iterations" in called.stderr
    assert str(container) in called.stderr
    assert "--yes" in called.stderr
    assert create_config_store().names("runs") == ["tiny"]
    called = dacapo("run", "delete", "tiny", "--yes")
    assert (called.exit_code, called.stdout) == (0, "")
    assert create_config_store().names("runs") == []
    assert not container.exists()
    assert not len(create_stats_store().retrieve_training_stats("tiny"))


def test_who_says_no_deletes_nothing(dacapo, tmp_path, monkeypatch):
    create_config_store().store_run_config(tiny_run(tmp_path / "data"))
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    assert dacapo("run", "delete", "tiny", input="n\n").exit_code == 0
    assert create_config_store().names("runs") == ["tiny"]
    assert dacapo("run", "delete", "tiny", input="y\n").exit_code == 0
    assert create_config_store().names("runs") == []


WRONG = {
    "no YAML": ("a: [1,", 1, "is no YAML"),
    "two things": ("a: 1\n---\nb: 2\n", 1, "is no YAML"),
    "a tag": ("!!python/object/apply:os.system ['touch hacked']", 1, "is no YAML"),
    "a list": ("- 1\n- 2\n", 1, "should hold the fields of the run"),
    "nothing": ("", 1, "should hold the fields of the run"),
    "bytes": (b"\xff\xfe\x00", 1, "is no YAML"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_holds_no_run_is_one_error(dacapo, tmp_path, kind):
    content, code, said = WRONG[kind]
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    called = dacapo("run", "create", path)
    assert (called.exit_code, called.stdout) == (code, "")
    assert said in called.stderr
    assert called.stderr.startswith("error: ")
    assert called.stderr.count("\n") == 1
    assert nothing_is_stored()
    assert not (tmp_path / "hacked").exists()


CHANGES = {
    "unknown type": ({"task_config": {"__type__": "DistanceTaskConfg", "name": "t"}}, 1,
                     "did you mean DistanceTaskConfig?"),
    "a type of another kind": ({"task_config": {"__type__": "StartConfig", "name": "t"}}, 1,
                               "it is among the starts"),
    "a type nobody offers": ({"task_config": {"__type__": "acme.T", "__from__": "acme==1", "name": "t"}}, 1,
                             "pip install 'acme==1'"),
    "no type": ({"task_config": {"name": "t"}}, 1, "__type__"),
    "a misspelt field": ({"num_iteratons": 5}, 1, "did you mean num_iterations?"),
    "an unheard-of field": ({"xyzzy": 5}, 1, "has no field xyzzy: its fields are task_config"),
    "a missing field": ({"num_iterations": ...}, 1, "num_iterations"),
    "a wrong value": ({"num_iterations": "many"}, 1, "num_iterations = 'many'"),
    "a wrong inner value": ({"validation_interval": 0}, 1, "should be at least 1"),
    "a wrong name": ({"name": "../evil"}, 2, "'../evil'"),
    "a part that is not stored": ({"task_config": "nowhere"}, 3, "task nowhere"),
    "a part that is no text": ({"task_config": 5}, 1, "should be a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_wrong_run_is_one_error_and_leaves_nothing(dacapo, write, document, kind):
    changes, code, said = CHANGES[kind]
    changed = {key: value for key, value in (document | changes).items() if value is not ...}
    called = dacapo("run", "create", write(changed))
    assert said in called.stderr
    assert (called.exit_code, called.stdout) == (code, "")
    assert "Traceback" not in called.stderr
    assert nothing_is_stored()


def test_a_file_that_is_not_there_is_one_error(dacapo):
    called = dacapo("run", "create", "nowhere.yaml")
    assert (called.exit_code, called.stderr) == (3, "error: there is no file nowhere.yaml\n")


def test_a_name_that_is_taken_by_something_else_is_a_conflict(dacapo, write, document):
    dacapo("run", "create", write(document))
    called = dacapo("run", "create", write(document | {"num_iterations": 9}))
    assert called.exit_code == 4
    assert "num_iterations" in called.stderr
    assert create_config_store().retrieve_run_config("tiny").num_iterations == 8


@pytest.mark.parametrize(
    "words", [("run", "show"), ("run", "delete", "--yes"), ("best",), ("stats",), ("train",)]
)
def test_an_unknown_run_is_not_found(dacapo, tmp_path, words):
    create_config_store().store_run_config(tiny_run(tmp_path / "data"))
    called = dacapo(*words[:2], "nobody", *words[2:])
    assert (called.exit_code, called.stdout) == (3, "")
    assert "nobody" in called.stderr
    assert "Traceback" not in called.stderr
    assert not (tmp_path / "runs" / "nobody").exists()


def test_a_run_with_a_part_of_an_absent_plugin_is_listed_and_shown(dacapo, document):
    document["task_config"] = {"__type__": "acme.T", "__from__": "acme==1", "name": "theirs"}
    create_config_store().store_run_config(documents.read(document, RunConfig))
    assert dacapo("run", "list", "--json").json[0]["task"] == "theirs"
    assert dacapo("run", "show", "tiny", "--json").json["task_config"]["__from__"] == "acme==1"
    called = dacapo("train", "tiny")
    assert called.exit_code == 1
    assert "pip install 'acme==1'" in called.stderr
