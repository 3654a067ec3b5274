"""Faults of a MongoDB server, and every kind of write to meet them with; for tests and benchmarks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import pymongo

from dacapo.store.backend import Block, Epoch, ScoresRecord
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.standings import Standing
from mongod import Mongod

Write = Callable[[MongoBackend, int], Any]


def block(sequence: int) -> Block:
    return Block(sequence, np.array([sequence]), {"loss": np.array([0.5])})


def scores(iteration: int) -> ScoresRecord:
    return ScoresRecord(iteration, "a", [], [], np.empty((0, 0)))


def standing(number: int) -> Standing:
    return Standing(f"r-{number}", "a", "dice", 0.5, number, "p", True)


@attrs.frozen
class Kind:
    """A kind of write: the command that it sends, how it is called, and which numbers are stored."""

    name: str
    command: str
    write: Write
    stored: Callable[[MongoBackend], list[int]]
    # What it should answer; a write that removes is given something to remove first.
    answer: Any = None
    before: Write | None = None


def _numbers(texts: list[str]) -> list[int]:
    return sorted(int(text.rpartition("/")[2]) for text in texts)


KINDS = (
    Kind("config", "insert", lambda b, n: b.put("tasks", f"{n}", {"n": n}),
         lambda b: _numbers(b.keys("tasks")), True),
    Kind("first best", "update", lambda b, n: b.put("best", f"a/{n}", {"n": n}, replace=True),
         lambda b: _numbers(b.keys("best", "a/")), True),
    Kind("newer best", "update", lambda b, n: b.put("best", "b/0", {"n": n}, replace=True),
         lambda b: list(range((b.get("best", "b/0") or {"n": -1})["n"] + 1)), True),
    Kind("epoch", "insert", lambda b, n: b.add_epoch("epochs", Epoch(n, n)),
         lambda b: [epoch.number for epoch in b.epochs("epochs")], True),
    Kind("stats", "insert", lambda b, n: b.append_block("run", 0, block(n)),
         lambda b: [int(one.iterations[0]) for one in b.blocks("run", 0)]),
    Kind("scores", "insert", lambda b, n: b.append_scores("run", 0, scores(n)),
         lambda b: [one.iteration for one in b.scores("run", 0)]),
    Kind("standings", "update", lambda b, n: b.rank(f"r-{n}", 0, [standing(n)]),
         lambda b: sorted(one.iteration for run in b.ranked_runs() for one in b.standings(run)), True),
    Kind("upload", "insert", lambda b, n: b.put_blob("upload", f"{n}", [bytes(3000), b"x"]),
         lambda b: _numbers([name for name in b.blobs("upload") if len(b.get_blob("upload", name)) == 3001])),
    Kind("publication", "findAndModify", lambda b, n: b.put_blob("publish", f"{n}", [b"x"]),
         lambda b: _numbers([name for name in b.blobs("publish") if b.get_blob("publish", name)])),
    Kind("replaced upload", "delete", lambda b, n: b.put_blob("replace", f"{n}", [b"new"]),
         lambda b: _numbers([name for name in b.blobs("replace") if b.get_blob("replace", name) == b"new"]),
         before=lambda b, n: b.put_blob("replace", f"{n}", [b"old"])),
    Kind("removal", "delete", lambda b, n: b.remove("arrays", f"{n}"),
         lambda b: [] if b.keys("arrays") else [0], True, lambda b, n: b.put("arrays", f"{n}", {})),
    Kind("removed stats", "delete", lambda b, n: b.remove_stats("gone"),
         lambda b: [] if b.blocks("gone", 0) or b.epochs("gone") else [0], True,
         lambda b, n: (b.add_epoch("gone", Epoch(0, 0)), b.append_block("gone", 0, block(0)))),
    Kind("removed blobs", "delete", lambda b, n: b.remove_blobs("lost"),
         lambda b: [] if b.blobs("lost") else [0], True, lambda b, n: b.put_blob("lost", f"{n}", [b"x"])),
)  # fmt: skip
APPENDING = tuple(kind for kind in KINDS if kind.before is None and kind.name != "newer best")

_CODES = {"ShutdownInProgress": 91, "WriteConcernFailed": 64, "InterruptedAtShutdown": 11600,
          "PrimarySteppedDown": 189}  # fmt: skip
# What the server does with the next command: nothing, and says so; or all of it, and says it did not.
FAULTS: dict[str, dict[str, Any]] = {
    "close": {"closeConnection": True},
    **{f"refused, {code}": {"errorCode": code} for code in _CODES.values()},
    **{
        f"done, {code}": {"writeConcernError": {"code": code, "codeName": name, "errmsg": name}}
        for name, code in _CODES.items()
    },
}


@contextmanager
def failing(uri: str, command: str, fault: dict[str, Any]) -> Iterator[Callable[[], int]]:
    """Make a server fail DaCapo's next command of a sort; yields how to ask how often it did."""
    with pymongo.MongoClient(uri) as client:
        data = {"failCommands": [command], "appName": "dacapo", **fault}
        on = {"mode": {"times": data.pop("times", 1)}, "data": data}
        before = client.admin.command({"configureFailPoint": "failCommand", **on})["count"]
        off = {"configureFailPoint": "failCommand", "mode": "off"}
        try:
            yield lambda: client.admin.command(off)["count"] - before
        finally:
            client.admin.command(off)


def wrong(backend: MongoBackend, kind: Kind, calls: int) -> int:
    """Return how many of some writes were not done exactly once; a removal leaves nothing."""
    stored, asked = kind.stored(backend), list(range(calls))
    if kind.name.startswith("remov"):
        return int(stored != [0])
    return len(set(asked) ^ set(stored)) + len(stored) - len(set(stored))


def unpublished(backend: MongoBackend) -> int:
    """Return how many uploads and chunks there are that no checkpoint is made of."""
    database = backend._connection.database
    files = [entry["file"] for entry in database["dacapo.blobs"].find()]
    strangers = {"$nin": files}
    uploads = database["dacapo.weights.files"].count_documents({"_id": strangers})
    return uploads + database["dacapo.weights.chunks"].count_documents({"files_id": strangers})


def quick_to_see(uri: str) -> str:
    """Return a URI whose clients look twice a second whether a server that failed is back."""
    return f"{uri}{'&' if '?' in uri else '?'}heartbeatFrequencyMS=500"


def meet(backend: MongoBackend, kind: Kind, number: int) -> None:
    """Do one write, and check what it answers."""
    answer = kind.write(backend, number)
    assert answer is kind.answer, (kind.name, answer)


class Writers:
    """A thread for each kind of write, noting what the server acknowledged."""

    def __init__(self, uri: str, name: str) -> None:
        self.uri, self.name = uri, name
        self.acknowledged: Counter[str] = Counter()
        self.errors: list[Exception] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(kind,)) for kind in APPENDING]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, kind: Kind) -> None:
        backend = MongoBackend(self.uri, self.name)
        try:
            while not self._over.is_set():
                meet(backend, kind, self.acknowledged[kind.name])
                self.acknowledged[kind.name] += 1
        except Exception as error:
            self.errors.append(error)

    def wait(self, more: int = 3, seconds: float = 60) -> None:
        """Wait until each has written some more."""
        goal = {kind.name: self.acknowledged[kind.name] + more for kind in APPENDING}
        deadline = time.monotonic() + seconds
        while any(self.acknowledged[name] < number for name, number in goal.items()):
            assert not self.errors and time.monotonic() < deadline, self.errors
            time.sleep(0.005)

    def lost(self, acknowledged: Counter[str]) -> dict[str, int]:
        """Return how many acknowledged writes of each kind are not stored, none being a good answer."""
        backend = MongoBackend(self.uri, self.name)
        missing = {
            kind.name: len(set(range(acknowledged[kind.name])) - set(kind.stored(backend)))
            for kind in APPENDING
        }
        return {name: number for name, number in missing.items() if number}


def kill_and_restart(server: Mongod, kills: int, name: str = "lab") -> tuple[Counter[str], int]:
    """Kill a server under writers of all kinds; return what was acknowledged, and how much of it is lost.

    At the end each write that was asked for is stored once, also those without an answer.
    """
    lost = 0
    with Writers(server.uri, name) as writers:
        for number in range(kills):
            writers.wait()
            time.sleep(0.013 * (number % 7))
            server.kill()
            known = Counter(writers.acknowledged)
            server.start()
            lost += sum(writers.lost(known).values())
        writers.wait()
    assert not writers.errors, writers.errors
    backend = MongoBackend(server.uri, name)
    for kind in APPENDING:
        assert kind.stored(backend) == list(range(writers.acknowledged[kind.name])), kind.name
    connection.close_all()
    return writers.acknowledged, lost
