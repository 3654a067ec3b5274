"""The MongoDB backend behind a network that fails, a server that is gone, and accounts that may not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.errors import StoreUnreachable
from dacapo.experiments.training_stats import TrainingStats
from dacapo.store.backend import Epoch
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.stats_store import StatsStore
from mongo_places import MongoPlace
from mongod import Mongod
from proxy import Proxy
from server_faults import (
    FAULTS,
    KINDS,
    block,
    failing,
    kill_and_restart,
    meet,
    quick_to_see,
    scores,
    unpublished,
    wrong,
)

PASSWORD = "hunter2"
ROUNDS, KILLS = 1, 1


@pytest.fixture
def proxy(mongo_place: MongoPlace) -> Iterator[Proxy]:
    between = Proxy(int(mongo_place.uri.rstrip("/").rpartition(":")[2]))
    yield between
    connection.close_all()
    between.close()


def test_a_write_whose_answer_was_lost_is_done_once(mongo_place: MongoPlace, proxy: Proxy):
    """Each kind of write is applied, its answer cut off, and asked for again."""
    backend = MongoBackend(proxy.uri, mongo_place.name)
    backend.add_epoch("run", Epoch(0, 0))
    for number in range(ROUNDS):
        commands: list[tuple[bytes, Any, Any]] = [
            (b"insert", lambda n=number: backend.put("tasks", f"{n}", {"n": n}), True),
            (b"update", lambda n=number: backend.put("tasks", f"{n}", {"n": -n}, replace=True), True),
            (b"insert", lambda n=number: backend.add_epoch("run", Epoch(n + 1, n)), True),
            (b"insert", lambda n=number: backend.append_block("run", 0, block(n)), None),
            (
                b"insert",
                lambda n=number: backend.append_scores("run", 0, scores(2 * n), scores(2 * n + 1)),
                None,
            ),
            (b"dacapo.weights.chunks", lambda n=number: backend.put_blob("run", f"{n}", [b"old"]), None),
            (b"dacapo.weights.files", lambda n=number: backend.put_blob("run", f"{n}", [b"old"]), None),
            (b"findAndModify", lambda n=number: backend.put_blob("run", f"{n}", [b"x"]), None),
            (b"delete", lambda n=number: backend.remove("tasks", f"{n}"), True),
        ]
        for request, command, answer in commands:
            proxy.cut_after, proxy.cuts = request, 1
            assert command() is answer
            assert proxy.cuts == 0
    assert len(backend.blocks("run", 0)) == ROUNDS
    assert [record.iteration for record in backend.scores("run", 0)] == list(range(2 * ROUNDS))
    assert backend.epochs("run") == [Epoch(0, 0), *(Epoch(n + 1, n) for n in range(ROUNDS))]
    assert backend.blobs("run") == sorted(f"{n}" for n in range(ROUNDS))
    assert backend.keys("tasks") == []
    assert not unpublished(backend)


def test_another_ones_document_is_not_taken_for_ours(mongo_place: MongoPlace, proxy: Proxy):
    backend = MongoBackend(proxy.uri, mongo_place.name)
    MongoBackend(mongo_place.uri, mongo_place.name).put("tasks", "a", {"x": 1})
    proxy.cut_after, proxy.cuts = b"insert", 1
    assert not backend.put("tasks", "a", {"x": 1})
    assert not backend.remove("tasks", "b")


def test_a_connection_that_breaks_every_time_is_an_error(mongo_place: MongoPlace, proxy: Proxy):
    backend = MongoBackend(f"{proxy.uri}&timeoutMS=2000", mongo_place.name)
    proxy.cut_after, proxy.cuts = b"insert", 1000
    with pytest.raises(StoreUnreachable, match="storing a in the MongoDB database .* failed: no answer"):
        backend.put("tasks", "a", {"x": 1})
    proxy.cuts = 0
    assert backend.keys("tasks") == ["a"]


def test_training_goes_on_after_an_append_of_unknown_outcome(mongo_place: MongoPlace, proxy: Proxy):
    store, stats = StatsStore(MongoBackend(f"{proxy.uri}&timeoutMS=1000", mongo_place.name)), TrainingStats()
    for begin, cuts in ((0, 0), (10, 1000), (20, 0)):
        stats.append(np.arange(begin, begin + 10), {"loss": np.full(10, begin), "time": np.ones(10)})
        proxy.cut_after, proxy.cuts = b"insert", cuts
        if cuts:
            with pytest.raises(StoreUnreachable):
                store.store_training_stats("run", stats)
        else:
            store.store_training_stats("run", stats)
    backend = MongoBackend(mongo_place.uri, mongo_place.name)
    assert StatsStore(backend).retrieve_training_stats("run") == stats
    assert [len(block.iterations) for block in backend.blocks("run", 0)] == [10, 10, 10]


def test_a_black_hole_ends_in_time(mongo_place: MongoPlace, proxy: Proxy):
    backend = MongoBackend(f"{proxy.uri}&timeoutMS=1000", mongo_place.name)
    proxy.black_hole = True
    for command in (
        lambda: backend.put("tasks", "a", {}),
        lambda: backend.keys("tasks"),
        lambda: backend.get_blob("run", "a"),
    ):
        begin = time.monotonic()
        with pytest.raises(StoreUnreachable, match="Check that the server runs"):
            command()
        assert time.monotonic() - begin < 20


def test_a_server_that_is_not_there_is_named(dacapo_command: Any):
    uri = f"mongodb://ann:{PASSWORD}@127.0.0.1:1/?serverSelectionTimeoutMS=100"
    with pytest.raises(StoreUnreachable, match="the MongoDB database lab on 127.0.0.1:1 failed") as caught:
        MongoBackend(uri, "lab")
    assert PASSWORD not in str(caught.value) and "ann" not in str(caught.value)
    env = {"DACAPO_TYPE": "mongo", "DACAPO_MONGO_DB_HOST": uri, "DACAPO_MONGO_DB_NAME": "lab"}
    called = dacapo_command("run", "list", env=env)
    assert called.exit_code == 5
    assert "Check that the server runs" in called.stderr and PASSWORD not in called.output


@pytest.fixture
def dacapo_command() -> Any:
    """Return a function that calls the command line with an environment."""
    from click.testing import CliRunner

    from dacapo.cli import cli

    return lambda *arguments, env: CliRunner().invoke(cli, arguments, env=env)


@pytest.mark.parametrize("replica_set", ["rs0", None])
def test_what_was_acknowledged_is_there_when_the_server_was_killed(tmp_path: Path, replica_set: str | None):
    """Configs, scores, stats, checkpoints are written at once when the server is killed and comes back."""
    server = Mongod(tmp_path / "killed", replica_set).start()
    try:
        acknowledged, lost = kill_and_restart(server, KILLS)
        assert lost == 0 and min(acknowledged.values()) >= 2 * 3
    finally:
        connection.close_all()
        server.stop()


def test_a_write_that_the_server_fails_is_done_once(mongo_place: MongoPlace):
    """Each fault meets two kinds of write, each kind a fault or more; all of them in the benchmarks."""
    backend, calls = MongoBackend(quick_to_see(mongo_place.uri), mongo_place.name), Counter()
    faults = list(FAULTS.items())
    for number in range(max(2 * len(faults), len(KINDS))):
        (name, fault), kind = faults[number % len(faults)], KINDS[number % len(KINDS)]
        if kind.before:
            kind.before(backend, calls[kind.name])
        with failing(mongo_place.uri, kind.command, fault) as hits:
            meet(backend, kind, calls[kind.name])
            assert hits() == 1, (name, kind.name)
        calls[kind.name] += 1
        assert wrong(backend, kind, calls[kind.name]) == 0, (name, kind.name)
    assert not unpublished(backend)
    connection.close_all()


def test_a_write_that_never_reaches_a_majority_is_out_of_reach(mongo_place: MongoPlace):
    backend = MongoBackend(quick_to_see(mongo_place.uri), mongo_place.name)
    always = failing(mongo_place.uri, "insert", FAULTS["refused, 64"] | {"times": 9})
    with always, pytest.raises(StoreUnreachable, match="storing a .* no answer"):
        backend.put("tasks", "a", {})
    assert backend.put("tasks", "a", {})
    connection.close_all()
