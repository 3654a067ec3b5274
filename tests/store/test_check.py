"""``dacapo store check``: everything that can go wrong is found, and what is safe is repaired."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dacapo.store import changes
from dacapo.store.changes import Stores, empty_trash, rename_run, trash_run
from dacapo.store.check import Finding, check
from dacapo.store.create_store import create_stores
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


def test_stats_that_cannot_be_read_are_named(tmp_path: Path):
    stores = create_stores()
    fill(stores, run_config())
    (tmp_path / "runs" / "stats" / "runs" / "run" / "0.epoch").write_bytes(b"")
    found = findings(create_stores())
    assert any("its stats or scores cannot be read" in one.problem for one in found)
