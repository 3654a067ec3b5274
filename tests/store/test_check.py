"""``dacapo store check``: everything that can go wrong is found, and what is safe is repaired."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pymongo
import pytest

from dacapo.store import changes
from dacapo.store.changes import Stores, empty_trash, rename_run, trash_run
from dacapo.store.check import Finding, check
from dacapo.store.create_store import create_stores
from dacapo.store.mongo import MongoBackend, blobs
from stored_runs import PLACES, content, fill, place_of, run_config, stores_of


@pytest.fixture(params=PLACES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Stores]:
    place = place_of(request.param, request, tmp_path / "runs")
    return lambda: stores_of(place(), tmp_path / "runs")


def findings(stores: Stores, deep: bool = True) -> list[Finding]:
    return list(check(stores, deep=deep))


def test_of_a_healthy_store_nothing_is_said(opened):
    for name in ("a", "b", "c"):
        fill(opened(), run_config(name))
    trash_run("b", opened())
    rename_run("c", "d", opened())
    assert findings(opened()) == []


def test_what_was_broken_off_is_found_and_finished(opened, monkeypatch):
    fill(opened(), run_config())
    before = content(opened(), "run")
    with monkeypatch.context() as patch:
        patch.setattr(changes, "finish", lambda change, stores: None)
        rename_run("run", "other", opened())
    [found] = findings(opened())
    assert "began to rename it" in found.problem and found.repair
    found.repair()
    assert findings(opened()) == [] and content(opened(), "other") == before
    trash_run("other", opened())
    with monkeypatch.context() as patch:
        patch.setattr(type(opened().stats), "delete_training_stats", lambda self, run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            empty_trash(opened())
    [found] = findings(opened(), deep=False)
    assert found.about == "trash"
    found.repair()
    assert findings(opened()) == []
    assert opened().stats.backend.logged_runs() == []


def test_a_rename_that_lost_its_name_is_forgotten(opened, monkeypatch):
    fill(opened(), run_config())
    before = content(opened(), "run")
    with monkeypatch.context() as patch:
        patch.setattr(changes, "finish", lambda change, stores: None)
        rename_run("run", "other", opened())
    opened().configs.store_run_config(run_config("other"))
    [found] = findings(opened())
    found.repair()
    assert findings(opened()) == [] and content(opened(), "run") == before


def test_data_without_config_is_named_and_stays(opened):
    fill(opened(), run_config())
    opened().configs.backend.remove("runs", "run")
    found = findings(opened())
    assert [(one.about, one.repair is None) for one in found] == [("run run", True), ("run run", False)]
    assert "there are stats, weights, arrays, and no config" in found[0].problem
    assert "dacapo run delete run --yes" in found[0].remedy
    assert found[1].problem == "there are tags or notes, and no config"
    found[1].repair()
    assert content(opened(), "run").keys() == {"loss", "scores", "weights", "best", "arrays"}
    trash_run("run", opened())
    assert findings(opened()) == []


def test_a_best_without_its_checkpoint_is_removed(opened):
    fill(opened(), run_config())
    opened().weights.backend.remove_blobs("run")
    [found] = findings(opened())
    assert "its checkpoint 1 is recorded as best, and is gone" in found.problem
    found.repair()
    assert findings(opened()) == [] and opened().weights.best("run") == []


def test_damage_is_found_when_all_is_read(opened):
    fill(opened(), run_config())
    stores = opened()
    backend = stores.weights.backend
    [name] = [one for one in backend.blobs("run") if "model" in one]
    data = bytearray(backend.get_blob("run", name))
    data[-1] ^= 1
    backend.put_blob("run", name, [data])
    assert findings(opened(), deep=False) == []
    [found] = findings(opened())
    assert "its checkpoint 1 fails its checksum" in found.problem and found.repair is None


def test_documents_that_cannot_be_read_are_named(opened):
    opened().configs.backend.put("tasks", "odd", {"__type__": "DummyTaskConfig", "name": "odd"})
    [found] = findings(opened())
    assert found.about == "task odd" and "cannot be read" in found.problem and found.repair is None


def test_what_killed_processes_left_of_writes_goes(tmp_path: Path):
    stores = create_stores()
    fill(stores, run_config())
    runs, left = tmp_path / "runs", "0123456789abcdef"
    made = [runs / "configs/runs" / f".part-{left}", runs / "run/checkpoints/iterations" / f".part-{left}"]
    tree = runs / "stats/runs" / f".deleted-{left}"
    for path in (*made, tree / "1.epoch", runs / "configs" / ".part-of-something-else"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    before = {path for path in runs.rglob("*") if left not in str(path)}
    assert findings(create_stores()) == []  # somebody may be at it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_LEASE_SECONDS", "0.01")
        time.sleep(0.1)
        [found] = findings(create_stores())
        assert "what nothing refers to" in found.problem and found.problem.endswith("and 2 more")
        assert all(path.exists() for path in (*made, tree))
        found.repair()
        assert findings(create_stores()) == []
    assert {*runs.rglob("*")} == before


def test_uploads_that_nothing_points_to_go(mongo, tmp_path: Path, monkeypatch):
    backend = MongoBackend(mongo.uri, mongo.name)
    stores = stores_of(backend, tmp_path)
    fill(stores, run_config())
    with monkeypatch.context() as patch:
        patch.setattr(blobs.Blobs, "_publish", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            backend.put_blob("run", "lost", [b"x" * 10])
        insert = blobs._insert
        patch.setattr(
            blobs, "_insert", lambda there, entries: insert(there, entries) if "n" in entries[0] else 1 / 0
        )
        patch.setattr(blobs.Blobs, "_discard", lambda *given: None)
        with pytest.raises(ZeroDivisionError):
            backend.put_blob("run", "begun", [b"y" * 10])
    assert findings(stores) == []
    monkeypatch.setattr(blobs, "WRONGEST_CLOCK", -120.0)
    [found] = findings(stores)
    assert "upload " in found.problem and found.problem.endswith("and 1 more")
    found.repair()
    assert findings(stores) == [] and content(stores, "run")["weights"]
    with pymongo.MongoClient(mongo.uri) as client:
        grid = client[mongo.name]["dacapo.weights"]
        assert {*grid.files.distinct("_id")} == {*grid.chunks.distinct("files_id")}
        assert backend.sweep(0) == []


def test_stats_that_cannot_be_read_are_named(tmp_path: Path):
    stores = create_stores()
    fill(stores, run_config())
    (tmp_path / "runs" / "stats" / "runs" / "run" / "0.epoch").write_bytes(b"")
    found = findings(create_stores())
    assert any("its stats or scores cannot be read" in one.problem for one in found)
