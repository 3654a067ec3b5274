"""``dacapo run rename | delete | restore`` and the trash: what is said, and what is asked."""

from __future__ import annotations

import pytest

from dacapo.experiments.starts.configs import StartConfig
from dacapo.store.changes import trashed
from dacapo.store.create_store import create_config_store, create_stores
from dacapo.testing import tiny_run
from stored_runs import content, fill, run_config


@pytest.fixture
def run():
    """Store a run with something in every store."""
    fill(create_stores(), run_config())


def test_a_run_is_renamed_and_who_begins_with_it_is_named(dacapo, run, tmp_path):
    before = content(create_stores(), "run")
    start = tiny_run(tmp_path / "data").replace(start_config=StartConfig("run", "1"))
    create_config_store().store_run_config(start)
    called = dacapo("run", "rename", "run", "other")
    assert (called.exit_code, called.stdout) == (0, "other\n")
    assert "begin with weights of run run, by that name: tiny" in called.stderr
    assert content(create_stores(), "other") == before
    assert dacapo("run", "rename", "run", "x").exit_code == 3
    assert dacapo("run", "rename", "other", "tiny").exit_code == 4


def test_a_deleted_run_is_listed_in_the_trash_and_taken_back(dacapo, run):
    before = content(create_stores(), "run")
    called = dacapo("run", "delete", "run", "--yes")
    assert called.exit_code == 0 and "dacapo run restore run" in called.stderr
    assert dacapo("run", "list", "--json").json == []
    [row] = dacapo("store", "trash", "--json").json
    assert row["run"] == "run" and row["key"] in called.stderr
    assert dacapo("run", "restore", "run").stdout == "run\n"
    assert content(create_stores(), "run") == before
    assert "the trash is empty" in dacapo("store", "trash").stderr
    fill(create_stores(), run_config("other"))
    dacapo("run", "delete", "run", "--yes")
    called = dacapo("run", "restore", "run", "--as", "other")
    assert called.exit_code == 4 and "run other is already stored" in called.stderr
    assert dacapo("run", "restore", "run", "--as", "third").stdout == "third\n"


def test_emptying_the_trash_asks_first(dacapo, run, monkeypatch):
    dacapo("run", "delete", "run", "--yes")
    called = dacapo("store", "empty-trash")
    assert called.exit_code == 2 and "--yes" in called.stderr and "- run, deleted by" in called.stderr
    called = dacapo("store", "empty-trash", "--older-than", "30d")
    assert called.exit_code == 0 and "removed: 0" in called.stderr
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    assert dacapo("store", "empty-trash", input="n\n").exit_code == 0
    assert len(trashed(create_config_store())) == 1
    assert "removed: 1" in dacapo("store", "empty-trash", input="y\n").stderr
    assert trashed(create_config_store()) == []


def test_for_good_is_for_good(dacapo, run):
    called = dacapo("run", "delete", "run", "--for-good", "--yes")
    assert called.exit_code == 0 and "deleted for good: arrays, weights" in called.stderr
    assert content(create_stores(), "run") == {} and trashed(create_config_store()) == []


def test_check_ends_with_what_it_finds(dacapo, run):
    called = dacapo("store", "check")
    assert (called.exit_code, called.stdout) == (0, "") and "nothing is wrong" in called.stderr
    create_config_store().backend.put("tasks.tags", "gone~good", {"by": "x", "at": "y"})
    called = dacapo("store", "check", "--deep")
    assert called.exit_code == 1
    assert called.stdout == "task gone: there are tags or notes, and no config; --repair removes them\n"
    [row] = dacapo("store", "check", "--repair", "--json").json
    assert row["repaired"] is True
    called = dacapo("store", "check", "--json")
    assert (called.exit_code, called.json) == (0, [])
