"""A password never shows: no verb, log level, traceback or repr tells it, nothing stores it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
import yaml

from dacapo.documents import write
from dacapo.options import Options
from dacapo.store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.mongo import backend, connection
from dacapo.testing import tiny_run
from mongo_places import MongoPlace

CANARY = "hunter2"
VERBS = (
    ("config",),
    ("config", "--json"),
    ("store", "init"),
    ("store", "roles"),
    ("run", "create", "run.yaml"),
    ("run", "create", "run.yaml"),
    ("run", "list"),
    ("run", "show", "tiny"),
    ("run", "tag", "tiny", "+x"),
    ("train", "tiny", "--device", "cpu"),
    ("validate", "tiny", "-i", "2", "--device", "cpu"),
    ("best", "tiny"),
    ("stats", "tiny"),
    ("run", "show", "nobody"),
    ("run", "delete", "tiny", "--yes"),
)


@pytest.fixture
def canary(standalone_uri: str, mongo: MongoPlace, monkeypatch: pytest.MonkeyPatch) -> MongoPlace:
    """Log in with a password, at a server that takes anybody, and one that is of no use to anybody else."""
    with pymongo.MongoClient(mongo.uri) as client:
        client[mongo.name].command("createUser", "ann", pwd=CANARY, roles=["dbOwner"])
    uri = f"{mongo.uri.replace('//', f'//ann:{CANARY}@')}{mongo.name}"
    values = {"TYPE": "mongo", "MONGO_DB_HOST": uri, "MONGO_DB_NAME": mongo.name, "WEIGHTS": "mongo"}
    for key, value in values.items():
        monkeypatch.setenv(f"DACAPO_{key}", value)
    return mongo


def everything(place: MongoPlace) -> str:
    """Return all that a database holds, as text."""
    with pymongo.MongoClient(place.uri) as client:
        found = client[place.name]
        return "".join(repr(list(found[name].find())) for name in found.list_collection_names())


def test_no_verb_shows_or_stores_it(dacapo, canary: MongoPlace, tmp_path: Path, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    config = tiny_run(tmp_path / "data", num_iterations=2, validation_interval=2)
    Path("run.yaml").write_text(yaml.safe_dump(write(config)))
    stored, failed = "", 0
    for verb in VERBS:
        backend._opened.clear()
        called = dacapo("--log-level", "debug", "--debug", *verb)
        assert CANARY not in called.stdout + called.stderr, verb
        failed += called.exit_code != 0
        if verb[0] == "validate":
            stored = everything(canary)
            assert "dice" in stored
    assert failed == 1 and CANARY not in stored + caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path for path in files if CANARY.encode() in path.read_bytes()]
    stores = create_config_store(), create_stats_store(), create_weights_store()
    shown = [repr(store) + repr(vars(store)) + repr(store.backend._connection.server) for store in stores]
    shown += [repr(store.backend._connection.client) for store in stores]
    assert CANARY not in "".join(shown) + repr(Options.instance()) + repr(connection._clients)
    connection.close_all()


@pytest.mark.parametrize(
    ("host", "code"),
    [
        (f"mongodb://ann:{CANARY}@127.0.0.1:1/?serverSelectionTimeoutMS=100", 5),
        (f"mongodb://ann:{CANARY}@127.0.0.1:1/?timeoutMS=0", 2),
        (f"mongodb://ann:{CANARY}@x@127.0.0.1/", 2),
        (f"mongodb://ann:{CANARY}@127.0.0.1/?tls=true&tlsInsecure=true", 2),
        (
            f"mongodb://127.0.0.1:1/?tls=true&tlsCertificateKeyFilePassword={CANARY}&tlsCertificateKeyFile=x",
            2,
        ),
    ],
)
def test_no_failure_shows_it(dacapo, monkeypatch, host: str, code: int):
    values = {"TYPE": "mongo", "MONGO_DB_HOST": host, "MONGO_DB_NAME": "lab", "MONGO_DB_PASSWORD": CANARY}
    for key, value in values.items():
        monkeypatch.setenv(f"DACAPO_{key}", value)
    for verb in ("run", "list"), ("config",), ("store", "init"):
        called = dacapo("--log-level", "debug", "--debug", *verb)
        assert CANARY not in called.stdout + called.stderr
        assert called.exit_code == (0 if verb == ("config",) else code), called.stderr
        if verb != ("config",):
            assert "Traceback" in called.stderr


def test_an_error_that_nobody_foresaw_is_redacted(dacapo, monkeypatch):
    def fail(*_: Any) -> None:
        raise RuntimeError(f"cannot use mongodb://ann:{CANARY}@lab/")

    monkeypatch.setattr(Options, "explain", staticmethod(fail))
    called = dacapo("--debug", "config")
    assert called.exit_code == 1 and "mongodb://ann:***@lab/" in called.stderr
    assert "Traceback" in called.stderr and CANARY not in called.stderr


def test_no_process_lists_it(canary: MongoPlace, tmp_path: Path):
    """The command lines of a training and of the processes it starts."""
    create_config_store().store_run_config(tiny_run(tmp_path / "data", num_iterations=1))
    connection.close_all()
    command = [sys.executable, "-c", "from dacapo.cli import main; main()", "train", "tiny"]
    command += ["--device", "cpu", "--no-snapshots", "--no-validation"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = set()
    while process.poll() is None:
        for one in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                lines.add(" ".join(one.cmdline()))
        time.sleep(0.1)
    said = process.communicate()[0].decode()
    assert process.returncode == 0 and CANARY not in said, said
    assert any("dacapo" in line for line in lines) and not [line for line in lines if CANARY in line]
