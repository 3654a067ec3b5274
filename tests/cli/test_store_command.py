"""``dacapo store init``: what it made, in words."""

from __future__ import annotations

from mongo_places import MongoPlace


def test_a_database_is_prepared_and_may_be_again(dacapo, mongo: MongoPlace, monkeypatch):
    for key, value in mongo.options.items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
    first, second = dacapo("store", "init"), dacapo("store", "init")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == second.stdout
    assert "dacapo.epochs, validated\n" in first.stdout
    assert f"ready: the MongoDB database {mongo.name}" in second.stderr


def test_files_need_no_preparing(dacapo, tmp_path):
    called = dacapo("store", "init")
    assert (called.exit_code, called.stdout) == (0, "")
    assert not (tmp_path / "runs").exists()
