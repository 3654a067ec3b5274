"""Many processes at one run, one that is stopped and goes on too late, one that is killed."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import holders
import pytest
from holders import Place

from dacapo.store.memory import MemoryBackend
from mongo_places import MongoPlace
from proxy import Proxy

PROCESSES, ROUNDS = 8, 5


@pytest.fixture(params=["files", "mongo"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a place that other processes can use too."""
    if request.param == "files":
        return "dacapo.store.files.FileBackend", [str(tmp_path / "store")]
    mongo: MongoPlace = request.getfixturevalue("mongo")
    return "dacapo.store.mongo.MongoBackend", [mongo.uri, mongo.name]


def test_of_many_processes_one_has_the_run(place: Place):
    told = holders.competition(place, PROCESSES, ROUNDS)
    holders.assert_one_has_it(told, PROCESSES, ROUNDS)


def test_of_many_threads_one_has_the_run(tmp_path: Path):
    barrier, told = threading.Barrier(PROCESSES), queue.SimpleQueue()
    people = [
        threading.Thread(
            target=holders.compete, args=(lambda: MemoryBackend(str(tmp_path)), ROUNDS, barrier, told)
        )
        for _ in range(PROCESSES)
    ]
    for one in people:
        one.start()
    for one in people:
        one.join()
    found = [told.get() for _ in range(PROCESSES * ROUNDS)]
    holders.assert_one_has_it(found, PROCESSES, ROUNDS)


def test_who_is_stopped_past_the_lease_is_refused_and_never_seen(place: Place):
    # The clock of its host is an hour off, whichever way.
    holders.stop_past_the_lease(place, 3600.0 if "files" in place[0] else -3600.0)


def test_who_is_cut_off_past_the_lease_is_refused_and_never_seen(mongo: MongoPlace):
    between = Proxy(int(mongo.uri.rstrip("/").rpartition(":")[2]))
    theirs = [f"{between.uri}&timeoutMS=2000", mongo.name]
    kind = "dacapo.store.mongo.MongoBackend"
    holders.cut_off_past_the_lease((kind, theirs), (kind, [mongo.uri, mongo.name]), between, 5.0)
    between.close()


def test_who_is_killed_is_lost_and_the_run_goes_on(place: Place):
    holders.kill_the_holder(place)


def test_who_is_killed_while_going_back_mixes_and_erases_nothing(place: Place):
    holders.kill_who_goes_back(place, 3)
