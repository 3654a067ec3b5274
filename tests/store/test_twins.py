"""Names that many file systems take for one are not stored beside each other, on any backend."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pymongo
import pytest

from dacapo.errors import DuplicateNameError, InvalidRequest
from dacapo.experiments.tasks.configs import DummyTaskConfig
from dacapo.names import RunKey, folded, twins_of
from dacapo.store.changes import rename_run, restore_run, trash_run
from dacapo.store.check import check
from dacapo.store.config_store import CLASSES, ConfigStore
from dacapo.store.copying import copy, copy_run, refused
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.place import Place
from dacapo.store.run_content import StoredRun
from dacapo.store.twins import NAMED, put_without_twin
from stored_runs import PLACES, fill, place_of, run_config, stores_of


@pytest.fixture(params=PLACES)
def backend(request, tmp_path):
    return place_of(request.param, request, tmp_path / "store")()


def both(backend: Any) -> None:
    """Store twins as earlier versions let one do."""
    for name in ("Run1", "run1"):
        backend.put("runs", name, {"name": name, "repetition": 0})


def test_what_is_folded_alike():
    assert folded("Run1") == folded("rUN1") != folded("run2")
    assert folded("Ä") == folded("a\u0308") == "ä"
    assert folded("\u1e9e") == folded("SS")
    assert twins_of("b", ["B", "b", "c", "a"]) == ["B"]
    assert tuple(CLASSES) == NAMED


def test_a_twin_is_refused_and_the_first_one_named(backend):
    store = ConfigStore(backend)
    store.store_run_config(run_config("Run1"))
    with pytest.raises(
        DuplicateNameError, match=r"run run1 cannot be stored .*run Run1 is there.*run rename Run1 NEW"
    ):
        store.store_run_config(run_config("run1"))
    store.store_run_config(run_config("Run1"))
    store.store_run_config(run_config("run1", 1))
    assert store.names("runs") == ["Run1", "run1:1"]
    store.store_task_config(DummyTaskConfig("ÄRZTE", embedding_dims=1, detection_threshold=0.5))
    with pytest.raises(
        DuplicateNameError, match=r"task ärzte cannot .*task ÄRZTE is there.*delete that one first"
    ):
        store.store_task_config(DummyTaskConfig("ärzte", embedding_dims=1, detection_threshold=0.5))
    store.delete_run_config("Run1")
    store.store_run_config(run_config("run1"))
    assert store.names("runs") == ["run1", "run1:1"]


def test_of_two_that_store_twins_at_once_at_most_one_stays(backend):
    for number in range(10):
        names = [f"Run{number}", f"rUN{number}", f"ruN{number}"]
        begin, told = threading.Barrier(len(names)), []

        def store(name: str, begin: Any = begin, told: list[str] = told) -> None:
            begin.wait()
            try:
                assert put_without_twin(backend, "runs", name, {"name": name})
                told.append(name)
            except DuplicateNameError:
                pass

        threads = [threading.Thread(target=store, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert backend.keys("runs", "") == sorted([*backend.keys("runs", "")]) and len(told) <= 1
        assert [name for name in names if backend.get("runs", name)] == told


def test_a_twin_that_comes_in_between_is_seen(backend, monkeypatch):
    """On MongoDB too where the database was prepared before an index kept twins apart."""
    if isinstance(backend, MongoBackend):
        backend._connection.collection("dacapo.documents.runs").drop_index("alone_1")
    put = type(backend).put

    def meanwhile(self: Any, collection: str, key: str, document: Any, *, replace: bool = False) -> bool:
        if key == "run1":
            put(self, collection, "Run1", {"name": "Run1"})
        return put(self, collection, key, document, replace=replace)

    monkeypatch.setattr(type(backend), "put", meanwhile)
    with pytest.raises(DuplicateNameError, match="run Run1 is there"):
        put_without_twin(backend, "runs", "run1", {"name": "run1"})
    assert backend.keys("runs") == ["Run1"]


def test_twins_of_earlier_versions_go_on_being_used_and_are_told(backend, tmp_path):
    both(backend)
    stores = stores_of(backend, tmp_path / "arrays")
    stores.configs.store_run_config(run_config("run1"), replace=True)
    stores.configs.store_run_config(run_config("Run1"), replace=True)
    assert stores.configs.retrieve_run_config("run1") == run_config("run1")
    with pytest.raises(DuplicateNameError, match="run Run1 is there"):
        stores.configs.store_run_config(run_config("RUN1"))
    (found,) = check(stores)
    assert found.about == "runs Run1 and run1" and "dacapo run rename" in found.remedy
    rename_run("run1", "other", stores)
    assert list(check(stores)) == []
    assert stores.configs.names("runs") == ["Run1", "other"]


def test_renaming_restoring_and_importing_refuse_twins(backend, tmp_path):
    stores = stores_of(backend, tmp_path / "arrays")
    fill(stores, run_config("Run1"))
    fill(stores, run_config("other"))
    with pytest.raises(DuplicateNameError, match="run RUN1 cannot .*run Run1 is there"):
        rename_run("other", "RUN1", stores)
    with pytest.raises(InvalidRequest, match="rename the run twice"):
        rename_run("Run1", "run1", stores)
    trash_run("Run1", stores)
    stores.configs.store_run_config(run_config("run1"))
    with pytest.raises(DuplicateNameError, match="run Run1 cannot .*run run1 is there"):
        restore_run("Run1", stores)
    place = Place(backend, backend)
    with pytest.raises(DuplicateNameError, match="run RUN1 cannot .*run run1 is there"):
        raise refused([copy_run(StoredRun(place, RunKey("other")), place, RunKey("RUN1"))]) or AssertionError
    assert stores.configs.names("runs") == ["other", "run1"]


def test_a_copy_of_twins_says_what_to_do(backend, tmp_path):
    source = MemoryBackend(str(tmp_path / "source"))
    both(source)
    source.put("runs", "third", {"name": "third"})
    rows = list(copy(Place(source, source), Place(backend, backend)))
    error = refused(rows)
    assert isinstance(error, DuplicateNameError)
    assert "run run1 cannot be stored" in str(error) and "dacapo run rename" in str(error)
    assert backend.keys("runs") == ["Run1", "third"]
    assert refused(list(copy(Place(source, source), Place(backend, backend)))) is not None


def test_names_stored_before_names_were_noted_are_found_in_files(tmp_path):
    backend = FileBackend(tmp_path)
    backend.put("runs", "Run1", {})
    for path in sorted((tmp_path / "configs/runs/.names").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert FileBackend(tmp_path).twins("runs", "run1") == ["Run1"]
    backend.put("runs", "other", {})
    assert FileBackend(tmp_path).twins("runs", "run1") == ["Run1"]
    noted = {path.name for path in (tmp_path / "configs/runs/.names").glob("??/*")}
    assert noted == {"Run1", "other"}


def test_a_name_that_is_noted_and_not_stored_is_no_twin(tmp_path):
    backend = FileBackend(tmp_path)
    backend.put("runs", "Run1", {})
    (tmp_path / "configs/runs/Run1.yaml").unlink()
    assert backend.twins("runs", "run1") == []
    assert put_without_twin(backend, "runs", "run1", {})


def test_a_name_stored_again_while_it_is_forgotten_stays_noted(tmp_path, monkeypatch):
    backend, unlink = FileBackend(tmp_path), Path.unlink
    backend.put("runs", "Run1", {})

    def and_again(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        if path.parent.parent.name == ".names":
            (tmp_path / "configs/runs/Run1.yaml").write_text("name: Run1\n")

    monkeypatch.setattr(Path, "unlink", and_again)
    backend.remove("runs", "Run1")
    assert FileBackend(tmp_path).twins("runs", "run1") == ["Run1"]


def test_names_stored_before_names_were_folded_are_found_in_mongo(mongo):
    backend = MongoBackend(mongo.uri, mongo.name)
    backend.put("runs", "Run1", {})
    with pymongo.MongoClient(mongo.uri) as client:
        there = client[mongo.name]["dacapo.documents.runs"]
        there.update_many({}, {"$unset": {"folded": ""}})
        assert backend.twins("runs", "run1") == ["Run1"]
        backend.prepare()
        assert [entry["folded"] for entry in there.find()] == ["run1"]
        plan = there.find({"folded": {"$in": ["run1", None]}}, {"_id": 1}).explain()
        assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
    assert backend.twins("runs", "run1") == ["Run1"]
