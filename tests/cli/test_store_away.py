"""No verb hangs when the server of the store does not answer: each ends in time and says what to check."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dacapo.documents import write
from dacapo.store import create_config_store, create_stats_store
from dacapo.store.mongo import connection
from dacapo.testing import tiny_run
from dacapo.testing.stores import stats_of
from mongo_places import MongoPlace
from mongod import Mongod
from proxy import Proxy

LIMIT = 30.0
ADVICE = "Check that the server runs, that mongo_db_host and its port are right"
READING = (("run", "list"), ("run", "show", "tiny"), ("best", "tiny"), ("stats", "tiny"))
VERBS = (
    *READING,
    ("run", "create", "run.yaml"),
    ("run", "delete", "tiny", "--yes"),
    ("run", "tag", "tiny", "+good"),
    ("run", "note", "tiny", "a note"),
    ("run", "archive", "tiny"),
    ("train", "tiny", "--device", "cpu"),
    ("validate", "tiny", "-i", "2", "--device", "cpu"),
    ("predict", "tiny", "in.zarr", "raw", "out", "-i", "best"),
    ("store", "init"),
)


@pytest.fixture
def lab(replica_set_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Put a network that may fail between the command line and a server that is never reached past it."""
    between = Proxy(int(replica_set_uri.rstrip("/").rpartition(":")[2]))
    use(between.uri, monkeypatch)
    yield between
    connection.close_all()
    between.close()


def use(uri: str, monkeypatch: pytest.MonkeyPatch, name: str = "away") -> None:
    values = {"TYPE": "mongo", "MONGO_DB_HOST": uri, "MONGO_DB_NAME": name, "WEIGHTS": "mongo"}
    for key, value in values.items():
        monkeypatch.setenv(f"DACAPO_{key}", value)


def write_run_file(tmp_path: Path) -> None:
    Path("run.yaml").write_text(yaml.safe_dump(write(tiny_run(tmp_path / "data"))))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: "-".join(verb[:2]))
def test_every_verb_ends_when_the_network_swallows_everything(dacapo, lab: Proxy, verb, tmp_path: Path):
    write_run_file(tmp_path)
    lab.black_hole = True
    begin = time.monotonic()
    called = dacapo("--timeout", "0.2", *verb)
    assert time.monotonic() - begin < LIMIT
    assert called.exit_code == 5, called.stderr
    assert ADVICE in called.stderr and "dacapo --timeout" in called.stderr
    assert "DACAPO_MONGO_DB_TIMEOUT" not in os.environ


def test_a_server_that_is_stopped_or_gone_is_told_of(dacapo, tmp_path: Path, monkeypatch):
    server = Mongod(tmp_path / "stopped", None).start()
    use(server.uri, monkeypatch)
    assert dacapo("store", "init").exit_code == 0
    write_run_file(tmp_path)
    server.pause()
    try:
        for verb in (("run", "list"), ("run", "create", "run.yaml")):
            assert (called := dacapo("--timeout", "0.3", *verb)).exit_code == 5
            assert ADVICE in called.stderr
    finally:
        server.go_on()
    assert dacapo("run", "list").exit_code == 0
    server.kill()
    assert (called := dacapo("--timeout", "0.3", "run", "list")).exit_code == 5
    assert "Connection refused" in called.stderr
    connection.close_all()


def test_a_network_may_go_silent_at_any_moment(dacapo, mongo: MongoPlace, monkeypatch, tmp_path: Path):
    """After each number of requests the verb has done its work, or says that it could not."""
    use(mongo.uri, monkeypatch, mongo.name)
    create_config_store().store_run_config(tiny_run(tmp_path / "data"))
    create_stats_store().store_training_stats("tiny", stats_of(0, 20))
    codes = set()
    for verb in (("run", "list"), ("run", "delete", "tiny", "--yes")):
        for requests in (1, 3, 5, 8, 13):
            between = Proxy(int(mongo.uri.rstrip("/").rpartition(":")[2]))
            use(between.uri, monkeypatch, mongo.name)
            between.silent_after = requests
            begin = time.monotonic()
            called = dacapo("--timeout", "0.3", *verb)
            assert time.monotonic() - begin < LIMIT
            # A deletion that was broken off says what is left, and can be gone on with.
            assert called.exit_code in (0, 5) or "Delete it again" in called.stderr, called.stderr
            codes.add(called.exit_code)
            connection.close_all()
            between.close()
    assert 5 in codes


def test_the_time_out_has_to_be_more_than_nothing(dacapo):
    assert dacapo("--timeout", "0", "config").exit_code == 2
    shown = {row["option"]: row for row in dacapo("--timeout", "2.5", "config", "--json").json}
    assert shown["mongo_db_timeout"]["value"] == 2.5
