"""What earlier versions left, on the command line: listed, shown, gone on with, rewritten, imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.store.create_store import create_config_store
from mongo_places import MongoPlace
from old_stores import NAME, OldFileStore, OldMongoStore, fill, write_checkpoint


@pytest.fixture
def lab(mongo: MongoPlace, tmp_path: Path, monkeypatch):
    """Give the test a lab's store: a database, and checkpoints in a folder."""
    for key, value in mongo.options.items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
    store = OldMongoStore(mongo)
    fill(store, tmp_path / "data")
    yield store
    store.client.close()


def test_old_runs_are_listed_and_shown(dacapo, lab, tmp_path):
    write_checkpoint(tmp_path / "runs", create_config_store().retrieve_run_config(NAME), 4)
    (run,) = dacapo("run", "list", "--json").json
    assert (run["run"], run["task"], run["trained"], run["of"]) == (NAME, "balls", 6, 8)
    assert [row["iteration"] for row in dacapo("stats", NAME, "--json").json] == list(range(6))
    (best,) = dacapo("best", NAME, "--criterion", "ball__f1_score", "--json").json
    assert (best["iteration"], best["value"], best["parameters"]) == (4, 4.2, "threshold_127.0")


def test_scores_are_shown_where_the_checkpoints_are_not(dacapo, lab):
    shown = dacapo("best", NAME, "--criterion", "ball__f1_score", "--json")
    assert [row["iteration"] for row in shown.json] == [4]
    assert "none of these checkpoints is kept in " in shown.stderr


def test_an_upgrade_says_what_it_does(dacapo, lab):
    dry, done = dacapo("store", "upgrade", "--dry-run"), dacapo("store", "upgrade")
    assert (dry.exit_code, done.exit_code, dry.stdout) == (0, 0, done.stdout)
    assert f"run {NAME}: config\n" in done.stdout
    assert f"run {NAME}: stats until iteration 6, scores of 1 iterations\n" in done.stdout
    assert "nothing was changed" in dry.stderr
    again = dacapo("store", "upgrade")
    assert again.stdout == "" and "nothing to upgrade in " in again.stderr
    (run,) = dacapo("run", "list", "--json").json
    assert (run["run"], run["trained"]) == (NAME, 6)


def test_pickles_are_imported_when_they_are_trusted(dacapo, tmp_path):
    fill(OldFileStore(tmp_path / "runs"), tmp_path / "data")
    refused = dacapo("store", "import-legacy")
    assert refused.exit_code == 2 and "import-legacy --trust-pickles" in refused.stderr
    said = dacapo("store", "import-legacy", "--trust-pickles")
    assert said.stdout == f"run {NAME}: stats until iteration 6, scores of 1 iterations\n"
    assert "nothing to import" in dacapo("store", "import-legacy", "--trust-pickles").stderr
    assert len(dacapo("stats", NAME, "--json").json) == 6
