"""Many processes at one run, one that is stopped and goes on too late, one that is killed."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dacapo.errors import LeaseHeld
from dacapo.store.backend import StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.lease import held, take
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.stats_store import StatsStore
from dacapo.testing.leases import assert_untouched, write
from mongo_places import MongoPlace

SECONDS = 1.0
PROCESSES, ROUNDS = 8, 5
HOLDER = """
import json, sys, time
from dacapo.errors import LeaseLost
from dacapo.store.lease import take
from dacapo.testing.leases import late_writes, write

skew = float(sys.argv[2])
now = time.time
time.time = lambda: now() + skew
kind, arguments = json.loads(sys.argv[1])
module, name = kind.rsplit(".", 1)
backend = getattr(__import__(module, fromlist=[name]), name)(*arguments)
lease = take(backend, "run", "train", seconds=float(sys.argv[3]))
write(backend, lease, 0, 40, 1.0)
print("ready", flush=True)
sys.stdin.readline()
for iteration in (20, 60):
    late_writes(backend, lease.number, iteration)
for attempt in (lambda: lease.begin(10), lambda: write(backend, lease, 40, 60, 99.0)):
    try:
        attempt()
    except LeaseLost as error:
        print(error.exit_code, error, flush=True)
"""


@pytest.fixture(params=["files", "mongo"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, list[str]]:
    """Return the class of a backend and its arguments, which another process can use too."""
    if request.param == "files":
        return "dacapo.store.files.FileBackend", [str(tmp_path / "store")]
    mongo: MongoPlace = request.getfixturevalue("mongo")
    return "dacapo.store.mongo.MongoBackend", [mongo.uri, mongo.name]


def opened(place: tuple[str, list[str]]) -> StoreBackend:
    kind, arguments = place
    return (FileBackend if kind.endswith("FileBackend") else MongoBackend)(*arguments)


def compete(open_backend: Callable[[], StoreBackend], barrier: Any, told: Any) -> None:
    """Try to take one run after the other, all at the same time; keep it until all have tried."""
    backend = open_backend()
    for number in range(ROUNDS):
        barrier.wait(60)
        try:
            lease = take(backend, f"run-{number}", "train")
            told.put((number, "won", str(lease.holder)))
        except LeaseHeld as error:
            lease = None
            told.put((number, error.exit_code, str(error)))
        barrier.wait(60)
        if lease is not None:
            lease.release()


def compete_in(place: tuple[str, list[str]], barrier: Any, told: Any) -> None:
    compete(lambda: opened(place), barrier, told)


def assert_one_has_it(told: list[tuple[int, Any, str]]) -> None:
    for number in range(ROUNDS):
        here = [(outcome, text) for at, outcome, text in told if at == number]
        (winner,) = [text for outcome, text in here if outcome == "won"]
        refused = [text for outcome, text in here if outcome == 6]
        assert len(refused) == PROCESSES - 1
        assert all(winner in text for text in refused)


def test_of_many_processes_one_has_the_run(place: tuple[str, list[str]]):
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(PROCESSES), context.Queue()
    people = [context.Process(target=compete_in, args=(place, barrier, told)) for _ in range(PROCESSES)]
    for one in people:
        one.start()
    found = [told.get(timeout=120) for _ in range(PROCESSES * ROUNDS)]
    for one in people:
        one.join()
    assert_one_has_it(found)


def test_of_many_threads_one_has_the_run(tmp_path: Path):
    import queue

    barrier, told = threading.Barrier(PROCESSES), queue.SimpleQueue()
    people = [
        threading.Thread(target=compete, args=(lambda: MemoryBackend(str(tmp_path)), barrier, told))
        for _ in range(PROCESSES)
    ]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert_one_has_it([told.get() for _ in range(PROCESSES * ROUNDS)])


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a holder and returns once it has written."""
    started = []

    def begin(place: tuple[str, list[str]], skew: float = 0.0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, json.dumps(place), str(skew), str(SECONDS)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_who_is_stopped_past_the_lease_is_refused_and_never_seen(place, start):
    # The clock of its host is an hour off, whichever way.
    sleeper = start(place, 3600.0 if "files" in place[0] else -3600.0)
    with pytest.raises(LeaseHeld):
        take(opened(place), "run", "train")
    sleeper.send_signal(signal.SIGSTOP)
    time.sleep(1.5 * SECONDS)
    backend = opened(place)
    with take(backend, "run", "train") as lease:
        write(backend, lease, 20, 60, 2.0)
        sleeper.send_signal(signal.SIGCONT)
        answer, _ = sleeper.communicate("go on\n", timeout=60)
        lines = answer.splitlines()
        assert len(lines) == 2
        for line in lines:
            assert line.startswith("6 run run: the lease on it is lost: it was taken over by")
            assert f"pid {lease.holder.pid}" in line
    assert_untouched(opened(place), [1.0] * 20 + [2.0] * 40, {20: 1.0, 40: 2.0, 60: 2.0})


def test_who_is_killed_is_lost_and_the_run_goes_on(place, start):
    killed = start(place)
    killed.kill()
    killed.communicate()
    backend = opened(place)
    (claim,) = backend.open_claims().values()
    assert held(claim)["state"] == "lost" and held(claim)["pid"] == killed.pid
    with take(backend, "run", "train") as lease:
        stats = StatsStore(backend).retrieve_training_stats("run")
        assert stats.trained_until() == 40
        write(backend, lease, 40, 60, 2.0)
    assert_untouched(opened(place), [1.0] * 40 + [2.0] * 20, {20: 1.0, 40: 1.0, 60: 2.0})
