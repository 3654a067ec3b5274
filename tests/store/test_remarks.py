"""Tags, notes and lists of configs, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dacapo import provenance
from dacapo.errors import InvalidName, InvalidRequest, NotFound
from dacapo.experiments.architectures.configs import DummyArchitectureConfig
from dacapo.experiments.datasplits.configs import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks.configs import DummyTaskConfig
from dacapo.experiments.trainers.configs import DummyTrainerConfig
from dacapo.store.backend import StoreBackend
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.listing import Query
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend

Place = Callable[[], StoreBackend]


@pytest.fixture(params=["memory", "files", "mongo"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "mongo":
        mongo = request.getfixturevalue("mongo")
        return lambda: MongoBackend(mongo.uri, mongo.name)
    return {"memory": lambda: MemoryBackend(str(tmp_path)), "files": lambda: FileBackend(tmp_path)}[
        request.param
    ]


def run_config(name: str, repetition: int = 0, task: str = "mito") -> RunConfig:
    return RunConfig(
        DummyTaskConfig(task, embedding_dims=1, detection_threshold=0.5),
        DummyArchitectureConfig("a", num_in_channels=1, num_out_channels=1),
        DummyTrainerConfig("t"),
        DummyDataSplitConfig("d"),
        name=name,
        repetition=repetition,
        num_iterations=10,
    )


def names(store: ConfigStore, *args: object, **asked: object) -> list[str]:
    return [one.key for one in store.listed("runs", *args, **asked)]


def test_tags_and_notes_lie_beside_the_document(place: Place, monkeypatch):
    store, other = ConfigStore(place()), ConfigStore(place())
    store.store_run_config(run_config("a"))
    store.store_run_config(run_config("a~b", 1))
    before = place().get("runs", "a")
    monkeypatch.setattr("dacapo.store.remarks.user", lambda: "ben")
    assert other.tag("runs", "a", ["Good", "crop-7"]) == ["crop-7", "good"]
    other.tag("runs", "a~b:1", ["good"])
    store.note("runs", "a", " looks\nfine ")
    store.note("runs", "a", "second")
    assert place().get("runs", "a") == before
    store.store_run_config(run_config("a"))  # still the same config
    tag = store.tags("runs", "a")[1]
    age = datetime.now(UTC) - datetime.fromisoformat(tag.at)
    assert (tag.text, tag.by) == ("good", "ben") and age < timedelta(minutes=10)
    assert [(note.text, note.by) for note in other.notes("runs", "a")] == [
        ("looks\nfine", "ben"),
        ("second", "ben"),
    ]
    monkeypatch.undo()
    assert other.tag("runs", "a", ["good"], ["crop-7", "absent"]) == ["good"]
    assert store.tags("runs", "a")[0].by == "ben"
    assert store.tags("runs", "a~b")[0].text == "good" and store.notes("runs", "a~b:1") == []


def test_remarks_are_for_every_kind_and_go_with_the_config(place: Place):
    store = ConfigStore(place())
    task = run_config("a").task_config
    store.store_task_config(task)
    store.tag("tasks", "mito", ["good"])
    store.note("tasks", "mito", "text")
    [listed] = store.listed("tasks", tags=["good"])
    assert (listed.key, listed.tags, listed.note) == ("mito", ("good",), "text")
    assert listed.fields["type"] == "DummyTaskConfig" and listed.fields["owner"] == provenance.user()
    store.delete_task_config("mito")
    store.store_task_config(task)
    [listed] = store.listed("tasks")
    assert (listed.tags, listed.note) == ((), None)


def test_nobodys_tag_is_lost(place: Place):
    store = ConfigStore(place())
    store.store_run_config(run_config("a"))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: ConfigStore(place()).tag("runs", "a", [f"t{n}"]), range(12)))
    assert sorted(tag.text for tag in store.tags("runs", "a")) == sorted(f"t{n}" for n in range(12))


def test_runs_are_listed_by_what_they_say(place: Place):
    store = ConfigStore(place())
    for name, task in (("a", "mito"), ("b", "er"), ("c", "mito")):
        store.store_run_config(run_config(name, task=task))
    store.tag("runs", "a", ["good", "new"])
    store.tag("runs", "b", ["good"])
    store.tag("runs", "c", ["archived"])
    assert names(store) == ["a", "b"]
    assert names(store, archived=True) == ["a", "b", "c"]
    assert names(store, tags=["archived"]) == ["c"]
    assert names(store, tags=["good"]) == ["a", "b"] and names(store, tags=["good", "NEW"]) == ["a"]
    assert names(store, Query({"task": ["mito"]}), archived=True) == ["a", "c"]
    assert names(store, Query(match="?", since="1h", until=datetime.now(UTC) + timedelta(hours=1))) == [
        "a",
        "b",
    ]
    assert names(store, Query(until="1h")) == []
    store.tag("runs", "c", remove=["archived"])
    assert names(store) == ["a", "b", "c"]
    assert store.retrieve_run_config_names(task_names=["mito"]) == ["a", "c"]


def test_what_cannot_be_tagged_or_asked_says_so(place: Place):
    store = ConfigStore(place())
    store.store_run_config(run_config("a"))
    for tag in ("", "-x", "a b", "a~b", "a/b", "a.", "$ne"):
        with pytest.raises(InvalidName, match="cannot be a tag"):
            store.tag("runs", "a", [tag])
    with pytest.raises(InvalidName, match="longer than 24 bytes; write it as a note"):
        store.tag("runs", "a", ["ä" * 13])
    with pytest.raises(InvalidRequest, match="the tag x cannot be given and taken away at once"):
        store.tag("runs", "a", ["x"], ["X"])
    for note in (" ", "x" * 10_001):
        with pytest.raises(InvalidRequest, match="1 to 10000 characters"):
            store.note("runs", "a", note)
    for ask in (store.tags, store.notes):
        with pytest.raises(NotFound, match="run b: no such config"):
            ask("runs", "b")
    with pytest.raises(InvalidRequest, match="the runs cannot be listed by 'colour'; they can by task"):
        store.listed("runs", Query({"colour": ["red"]}))
    assert store.tags("runs", "a") == []


def test_names_that_contain_the_mark_of_remarks_keep_theirs_apart(place: Place):
    remarks = ConfigStore(place()).remarks
    for key in ("a", "a~b", "b"):
        remarks.tag("runs", key, [f"of-{key[-1]}", "x"])
        remarks.note("runs", key, f"first of {key}")
        remarks.note("runs", key, f"last of {key}")
    assert remarks.all_tags("runs") == {"a": ["of-a", "x"], "a~b": ["of-b", "x"], "b": ["of-b", "x"]}
    last = remarks.last_notes("runs")
    assert {key: note.text for key, note in last.items()} == {
        key: f"last of {key}" for key in ("a", "a~b", "b")
    }
    [first, second] = remarks.notes("runs", "a~b")
    assert (first.text, second) == ("first of a~b", last["a~b"])
    assert second.by == provenance.user() and datetime.fromisoformat(second.at).tzinfo is not None
    assert [tag.text for tag in remarks.tags("runs", "a")] == ["of-a", "x"]
    remarks.move("runs", "a", "c~d")
    assert [tag.text for tag in remarks.tags("runs", "c~d")] == ["of-a", "x"]
    assert [note.text for note in remarks.notes("runs", "c~d")] == ["first of a", "last of a"]
    assert remarks.delete("runs", "a~b") and not remarks.delete("runs", "a~b")
    assert sorted(remarks.all_tags("runs")) == ["b", "c~d"]
    given = remarks.documents("runs", "b")
    remarks.give("runs", "e", given)
    assert remarks.documents("runs", "e") == given and remarks.notes("runs", "e") == remarks.notes(
        "runs", "b"
    )
