"""The MongoDB backend: against what every backend has to do, and what only it can do wrong."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
from pymongo.monitoring import CommandListener

from dacapo.errors import CorruptData, InvalidDocument, InvalidName, InvalidOptions, NewerFormat, StoreError
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.options import Options
from dacapo.store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.backend import Block, Claim, Epoch, ScoresRecord
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.listing import Query
from dacapo.store.mongo import MongoBackend, backend, connection, server
from dacapo.store.stats_store import StatsStore
from dacapo.testing import stores
from mongo_places import MongoPlace, empty
from server_faults import KINDS, meet
from stored_runs import run_config


@pytest.fixture
def opened(mongo: MongoPlace) -> MongoBackend:
    return MongoBackend(mongo.uri, mongo.name)


def raw(place: MongoPlace) -> Any:
    """Return the database itself, past the store."""
    return connection.Connection(place.uri, place.name).database


def test_mongo_conforms(mongo_place: MongoPlace) -> None:
    for check in stores.CHECKS:
        empty(mongo_place)
        check(lambda: MongoBackend(mongo_place.uri, mongo_place.name))


def test_mongo_conforms_when_the_first_answer_to_each_write_is_lost(mongo: MongoPlace, monkeypatch):
    write = connection.Connection.write

    def twice(self: Any, doing: str, action: Any) -> Any:
        counted = doing.startswith("renewing")  # a sign of life may count twice
        return write(self, doing, action if counted else lambda: (action(), action())[1])

    monkeypatch.setattr(connection.Connection, "write", twice)
    for check in stores.CHECKS:
        empty(mongo)
        check(lambda: MongoBackend(mongo.uri, mongo.name))


# what is stored


def test_odd_documents_come_back_word_for_word(opened: MongoBackend):
    documents = [
        {"a.b": 1, "$set": {"$where": "x"}, "": {"": None}, "_id": 3, "\ufeff": "\0"},
        {"key with \0": 1, "numbers": [2**63, -(2**64), math.nan, math.inf, -0.0, 2**63 - 1, -(2**63)]},
        {"deep": [[[[[[[[[[[[[[[[{"x": [{}]}]]]]]]]]]]]]]]]]},
    ]
    for replace in (False, True):
        for number, document in enumerate(documents):
            opened.put("tasks", f"{number}", document, replace=replace)
            assert stores.is_alike(opened.get("tasks", f"{number}"), document)


def test_a_document_is_kept_as_one_that_the_database_can_look_into(mongo: MongoPlace, opened: MongoBackend):
    document = {"name": "a", "numbers": [2**63 - 1, -(2**63)], "deep": [{"x": None}]}
    opened.put("tasks", "a", document)
    assert raw(mongo)["dacapo.documents.tasks"].find_one({"document.deep.x": None})["document"] == document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"x": (1, 2)}, "of type tuple"),
        ({"x": {1: 2}}, "the key 1, of type int"),
        ({"x": np.float64(1)}, "of type float64"),
        ({"x": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_what_is_no_plain_data_is_refused(opened: MongoBackend, document: Any, reason: str):
    with pytest.raises(InvalidDocument, match=reason):
        opened.put("tasks", "a", document)
    assert opened.keys("tasks") == []


def test_endless_nesting_is_refused(opened: MongoBackend):
    document: dict[str, Any] = {}
    for _ in range(200):
        document = {"x": document}
    with pytest.raises(InvalidDocument, match="nested more than 100 deep"):
        opened.put("tasks", "a", document)


@pytest.mark.parametrize("size", [2**24, 2**25])
def test_a_document_over_16_megabytes_says_so(opened: MongoBackend, size: int):
    with pytest.raises(StoreError, match="at most 16 MB in one document"):
        opened.put("tasks", "a", {"x": "x" * size})


def test_a_stranger_entry_is_refused_by_the_database(mongo: MongoPlace, opened: MongoBackend):
    with pytest.raises(StoreError, match="refuses it as malformed"), opened._connection.explained("storing"):
        raw(mongo)["dacapo.stats"].insert_one({"_id": "../a", "run": 1})


def test_stats_are_packed(mongo: MongoPlace, opened: MongoBackend):
    for sequence in range(10):
        columns = {"loss": np.arange(1000.0), "time": np.ones(1000)}
        opened.append_block("run", 0, Block(sequence, np.arange(1000) + sequence * 1000, columns))
    size = raw(mongo).command("collStats", "dacapo.stats")["size"]
    assert size / 10_000 < 17


# writes


def test_an_append_of_unknown_outcome_may_be_repeated(opened: MongoBackend):
    opened.add_epoch("run", Epoch(0, 0))
    first = Block(0, np.array([0]), {"loss": np.array([math.nan])})
    second = Block(1, np.array([4, 6]), {"loss": np.array([1.0, 2.0])})
    for block in (first, first, second, second):
        opened.append_block("run", 0, block)
    assert [block.iterations.tolist() for block in opened.blocks("run", 0)] == [[0], [4, 6]]
    for other in (first, Block(1, np.array([4, 7]), second.columns), Block(3, np.array([9]), first.columns)):
        with pytest.raises(StoreError, match="written by another process"):
            opened.append_block("run", 0, other)


def test_every_write_waits_for_a_majority_and_the_journal(mongo: MongoPlace):
    weak = f"{mongo.uri}?w=1&journal=false&readPreference=secondary"
    handle = MongoBackend(weak, mongo.name)._connection.collection("dacapo.stats")
    assert handle.write_concern.document == {"w": "majority", "j": True}
    assert handle.read_preference == pymongo.ReadPreference.PRIMARY
    assert handle.database.write_concern.document == {"w": "majority", "j": True}


def test_time_outs_are_finite_and_the_uri_wins(mongo: MongoPlace):
    opened = MongoBackend(mongo.uri, mongo.name)._connection.client.options
    assert (opened.timeout, opened.server_selection_timeout) == (25, 10)
    uri = f"{mongo.uri}?timeoutMS=3000"
    assert MongoBackend(uri, mongo.name)._connection.client.options.timeout == 3


# blobs


def uploads(place: MongoPlace) -> tuple[int, int]:
    database = raw(place)
    files, chunks = database["dacapo.weights.files"], database["dacapo.weights.chunks"]
    return files.count_documents({}), chunks.count_documents({})


def test_a_replaced_blob_leaves_nothing_behind(mongo: MongoPlace, opened: MongoBackend):
    for size in (3 * 2**20, 2**20 + 1, 0, 2**20):
        opened.put_blob("run", "a", [bytes(size // 2), bytearray(size - size // 2)])
        assert len(opened.get_blob("run", "a")) == size
        assert uploads(mongo) == (1, -(-size // 2**20))
    opened.remove_blobs("run")
    assert uploads(mongo) == (0, 0)


def test_a_failed_upload_leaves_nothing_behind(mongo: MongoPlace, opened: MongoBackend):
    def broken() -> Any:
        yield bytes(5 * 2**20)
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        opened.put_blob("run", "a", broken())
    assert uploads(mongo) == (0, 0)


def test_a_reader_that_is_overtaken_gets_the_new_blob(opened: MongoBackend, monkeypatch):
    opened.put_blob("run", "a", [b"old"])
    find = opened._blobs._find

    def find_and_be_overtaken(key: str) -> Any:
        found = find(key)
        monkeypatch.undo()
        opened.put_blob("run", "a", [b"new!"])
        return found

    monkeypatch.setattr(opened._blobs, "_find", find_and_be_overtaken)
    assert opened.get_blob("run", "a") == b"new!"


def test_missing_chunks_are_noticed(mongo: MongoPlace, opened: MongoBackend):
    opened.put_blob("run", "a", [bytes(2**21)])
    raw(mongo)["dacapo.weights.chunks"].delete_one({"n": 1})
    with pytest.raises(CorruptData, match="run/a in .* is damaged"):
        opened.get_blob("run", "a")


def test_what_the_server_refuses_is_told_with_what_was_done(opened: MongoBackend, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise pymongo.errors.OperationFailure("on purpose", 96)

    for name in ("find", "find_one", "aggregate", "update_one", "insert_one", "replace_one", "delete_many"):
        monkeypatch.setattr(pymongo.collection.Collection, name, refuse)
    epoch, block, claim = Epoch(0, 0), Block(0, np.array([0]), {}), Claim(0, {})
    for doing, act in (
        ("reading a of the tasks", lambda: opened.get("tasks", "a")),
        ("listing the tasks", lambda: opened.keys("tasks")),
        ("listing the tasks", lambda: opened.find("tasks", Query())),
        ("looking for names like a", lambda: opened.twins("runs", "a")),
        ("removing a of the tasks", lambda: opened.remove("tasks", "a")),
        ("storing a among the tasks", lambda: opened.put("tasks", "a", {}, replace=True)),
        ("publishing a among the tasks", lambda: opened.publish("tasks", "a", {}, 0)),
        ("reading the epochs of run r", lambda: opened.epochs("r")),
        ("reading the epochs of run r", lambda: opened.newest_epoch("r")),
        ("storing r/0000000000", lambda: opened.add_epoch("r", epoch)),
        ("appending to the stats of run r", lambda: opened.append_block("r", 0, block)),
        ("reading the stats of run r", lambda: opened.tail("r", 0)),
        ("reading the stats of run r", lambda: opened.blocks("r", 0)),
        ("reading the stats of run r", lambda: opened.outlines("r", 0)),
        ("merging the stats of run r", lambda: opened.merge_blocks("r", 0, [block])),
        ("reading the logs of run r", lambda: opened.remove_stats("r")),
        ("listing the runs of dacapo.epochs", lambda: opened.logged_runs()),
        ("reading who holds run r", lambda: opened.newest_claim("r")),
        ("renewing the lease of run r", lambda: opened.renew_claim("r", 0)),
        ("releasing run r", lambda: opened.release_claim("r", 0)),
        ("taking over run r", lambda: opened._claims._end("r", claim, "token")),
        ("listing who trains what", lambda: opened.open_claims()),
        ("reading the history of run r in the queue", lambda: opened.changes("r")),
        ("changing how run r stands in the queue", lambda: opened.add_change("r", 1, {})),
        ("reading the queue", lambda: opened.all_changes()),
        ("reading the queue", lambda: opened.next_ticket()),
        ("looking for run r in the queue", lambda: opened.remove_changes("r")),
    ):
        with pytest.raises(StoreError, match=f"^{doing} in the MongoDB database"):
            act()


# opening


def test_opening_says_what_was_found(mongo_place: MongoPlace, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "dacapo"):
        for _ in range(2):
            MongoBackend(mongo_place.uri, mongo_place.name)
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"the MongoDB database {mongo_place.name} on 127.0.0.1:" in message
    hello = pymongo.MongoClient(mongo_place.uri)
    with hello:
        found = hello.admin.command("hello")
    assert ("the replica set rs0 of 1" if "setName" in found else "a server standing alone") in message


def test_preparing_may_be_repeated(mongo: MongoPlace, opened: MongoBackend):
    opened.put("tasks", "a", {"x": 1})
    before = opened.prepare()
    assert before == opened.prepare()
    assert "dacapo.weights.chunks, indexed by files_id and n" in before
    assert opened.get("tasks", "a") == {"x": 1}
    assert raw(mongo)["dacapo.weights.chunks"].index_information()["files_id_1_n_1"]["unique"]


def test_a_newer_format_is_refused(mongo: MongoPlace, opened: MongoBackend):
    update = {"$set": {"format": 99, "written_by": "dacapo 9.9"}}
    raw(mongo)["dacapo.meta"].update_one({"_id": "schema"}, update)
    backend._opened.clear()
    with pytest.raises(NewerFormat, match=r"made by a newer DaCapo \(dacapo 9.9\), in format 99"):
        MongoBackend(mongo.uri, mongo.name)


def test_what_is_missing_in_the_options_is_named(mongo: MongoPlace):
    for create in (create_config_store, create_stats_store):
        with pytest.raises(InvalidOptions, match="needs the option mongo_db_host"):
            create(type="mongo", mongo_db_name="lab")
        with pytest.raises(InvalidOptions, match="needs the option mongo_db_name"):
            create(type="mongo", mongo_db_host=mongo.uri)
    with pytest.raises(InvalidOptions, match="mongo_db_name = 'a b'"):
        create_config_store(type="mongo", mongo_db_host=mongo.uri, mongo_db_name="a b")


@pytest.mark.parametrize(
    "uri", ["localhost", "mongodb://u:hunter2@x@h/", "mongodb://u:hun/ter2@h/", "mongodb://h:hunter2/"]
)
def test_a_wrong_uri_is_explained_and_not_repeated(uri: str):
    with pytest.raises(InvalidOptions, match="mongo_db_host is no URI") as caught:
        MongoBackend(uri, "lab")
    assert "hunter" not in repr(caught.value) and "ter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_weights_go_to_files_unless_the_options_say_otherwise(mongo: MongoPlace, tmp_path: Path):
    options = Options.instance(**mongo.options)
    assert isinstance(create_config_store(options).backend, MongoBackend)
    files = create_weights_store(options).backend
    assert isinstance(files, FileBackend) and files.root == tmp_path / "runs"
    assert isinstance(create_weights_store(options, weights="mongo").backend, MongoBackend)
    assert isinstance(create_weights_store(type="memory", weights="files").backend, FileBackend)
    with pytest.raises(InvalidOptions, match="weights = 'filez': no installed package offers filez"):
        create_weights_store(options, weights="filez")


# processes


def _append_in_child(pipe: Any, opened: MongoBackend) -> None:
    opened.put("tasks", "child", {"pid": os.getpid()})
    pipe.send(len(connection._clients))
    connection.close_all()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_makes_a_client_of_its_own(opened: MongoBackend, method: str):
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe()
    child = context.Process(target=_append_in_child, args=(theirs, opened))
    child.start()
    assert mine.poll(60) and mine.recv() == 1
    child.join(60)
    assert child.exitcode == 0
    assert opened.get("tasks", "child") == {"pid": child.pid}
    assert pickle.loads(pickle.dumps(opened)).place == opened.place


def test_threads_that_open_a_store_at_once_share_a_client(mongo: MongoPlace):
    connection.close_all()
    clients: list[int] = []
    begin = threading.Barrier(8)

    def look() -> None:
        begin.wait()
        clients.append(id(connection.Connection(mongo.uri, mongo.name).client))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 8 and len(set(clients)) == 1


def test_clients_are_closed_when_the_process_ends(mongo: MongoPlace):
    code = (
        "import logging\n"
        "logging.basicConfig(); logging.getLogger('pymongo').setLevel('DEBUG')\n"
        "from dacapo.store.mongo import MongoBackend\n"
        f"MongoBackend({mongo.uri!r}, {mongo.name!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Connection pool closed" in done.stderr


WRITES = {"insert", "update", "delete", "findAndModify", "create", "collMod", "createIndexes"}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch):
    """Return a list that each command to the server is put into, by name and content."""
    seen: list[tuple[str, Any]] = []

    class Listener(CommandListener):
        def started(self, event: Any) -> None:
            seen.append((event.command_name, event.command))

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    connection.close_all()
    monkeypatch.setattr(server, "MongoClient", partial(pymongo.MongoClient, event_listeners=[Listener()]))
    yield seen
    connection.close_all()


def test_requests_are_few(mongo: MongoPlace, seen: list[tuple[str, Any]]):
    """Training goes on while they are answered, so none more is made than it takes to be safe."""
    opened = MongoBackend(mongo.uri, mongo.name)
    configs, numbers, stats = ConfigStore(opened), StatsStore(opened), TrainingStats()
    labels = ScoreLabels(("a", "b"), ("t",), (Criterion("dice", True),))
    scores = ValidationScores.labelled(labels)

    def validate() -> None:
        scores.add_iteration_scores(ValidationIterationScores(len(scores), [[[0.5]], [[0.7]]]))
        numbers.store_validation_iteration_scores("run", scores)

    def train() -> None:
        stats.add_iteration_stats(TrainingIterationStats(len(stats), 0.5, 1.0))
        numbers.store_training_stats("run", stats)

    steps: list[tuple[Any, list[str]]] = [
        (lambda: configs.store_run_config(run_config(f"run-{len(seen)}")), ["update"]),
        (train, ["find", "find", "insert"]),
        (validate, ["find", "find", "insert"]),
    ]
    for step, _ in steps:
        step()  # the first one finds out where it is
    for step, expected in steps:
        seen.clear()
        step()
        assert [name for name, _ in seen] == expected


def test_every_command_says_what_it_waits_for_and_how_long(mongo: MongoPlace, seen: list[tuple[str, Any]]):
    """Each write waits for a majority and the journal, and everything has a deadline."""
    opened = MongoBackend(mongo.uri, mongo.name)
    for kind in KINDS:
        if kind.before:
            kind.before(opened, 0)
        meet(opened, kind, 0)
    connection.close_all()
    assert {"find", "insert", "update", "delete", "findAndModify"} <= {name for name, _ in seen}
    for name, command in seen:
        assert name in ("endSessions", "getMore", "killCursors") or command["maxTimeMS"] > 0, command
        if name in WRITES:
            assert command["writeConcern"] == {"w": "majority", "j": True}, command


def test_one_client_serves_all_stores_of_a_process(mongo: MongoPlace):
    clients = {id(MongoBackend(mongo.uri, mongo.name)._connection.client) for _ in range(3)}
    assert len(clients) == 1
    connection.close_all()
    assert MongoBackend(mongo.uri, mongo.name).keys("tasks") == []


def _store_all(place: MongoPlace, who: int, names: int, told: Any) -> None:
    opened = MongoBackend(place.uri, place.name)
    won = [f"{n}" for n in range(names) if opened.put("tasks", f"{n}", {"by": who})]
    epochs = [n for n in range(10) if opened.add_epoch("run", Epoch(n, who))]
    for n in range(5):
        record = ScoresRecord(n, f"{who}", [], [], np.empty((0, 0)))
        opened.append_scores("run", 0, record)
        opened.put("best", "a", {"by": who}, replace=True)
        opened.put_blob("run", "a", [bytes([who]) * 1000])
    connection.close_all()
    told.put((who, won, epochs))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_of_many_processes_one_gets_each_name(mongo: MongoPlace):
    """They open a new database at the same moment, and want the same names."""
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    children = [context.Process(target=_store_all, args=(mongo, who, 30, told)) for who in range(6)]
    for child in children:
        child.start()
    results = [told.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    backend = MongoBackend(mongo.uri, mongo.name)
    assert sorted(name for _, won, _ in results for name in won) == sorted(f"{n}" for n in range(30))
    assert all(backend.get("tasks", name) == {"by": who} for who, won, _ in results for name in won)
    starts = {epoch.number: epoch.start for epoch in backend.epochs("run")}
    assert starts == {number: who for who, _, epochs in results for number in epochs}
    scores = [(record.dataset, record.iteration) for record in backend.scores("run", 0)]
    assert sorted(scores) == [(f"{who}", n) for who in range(6) for n in range(5)]
    assert len(set(backend.get_blob("run", "a"))) == 1
    assert uploads(mongo) == (1, 1)


def test_a_query_is_no_name(mongo: MongoPlace, opened: MongoBackend):
    store = ConfigStore(opened)
    opened.put("tasks", "a", {"x": 1})
    opened.add_epoch("run", Epoch(0, 0))
    query: Any = {"$ne": None}
    for command in (store.retrieve_task_config, store.delete_task_config, StatsStore(opened).epochs):
        with pytest.raises(InvalidName):
            command(query)
    assert opened.get("tasks", query) is None and not opened.remove("tasks", query)
    assert not opened.remove_stats(query) and not opened.remove_blobs(query)
    assert opened.keys("tasks") == ["a"] and len(opened.epochs("run")) == 1
