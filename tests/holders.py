"""Processes that hold a run: many that want one, one that sleeps too long, one that is killed."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from dacapo.errors import LeaseHeld
from dacapo.store.backend import StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.lease import held, take
from dacapo.store.mongo import MongoBackend
from dacapo.store.stats_store import StatsStore
from dacapo.testing.leases import assert_untouched, write
from proxy import Proxy

SECONDS = 1.0
# The class of a backend and its arguments, which another process can use too.
Place = tuple[str, list[str]]

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

# Trains again and again from an earlier iteration, with the number of the attempt as its loss.
RESTARTER = """
import json, random, sys
import numpy as np
from dacapo.store.backend import Block
from dacapo.store.lease import take

kind, arguments = json.loads(sys.argv[1])
module, name = kind.rsplit(".", 1)
backend = getattr(__import__(module, fromlist=[name]), name)(*arguments)
attempt, at = int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(attempt)
while True:
    attempt += 1
    with take(backend, "run", "train", seconds=60) as lease:
        start = rng.randint(at // 2, at)
        lease.begin(start)
        at = start
        for sequence in range(rng.randint(1, 4)):
            iterations = np.arange(at, at + 5)
            losses = {"loss": np.full(5, attempt)}
            backend.append_block("run", lease.number, Block(sequence, iterations, losses))
            at += 5
            print(attempt, at, flush=True)
"""


def opened(place: Place) -> StoreBackend:
    kind, arguments = place
    return (FileBackend if kind.endswith("FileBackend") else MongoBackend)(*arguments)


def compete(open_backend: Callable[[], StoreBackend], rounds: int, barrier: Any, told: Any) -> None:
    """Try to take one run after the other, all at the same time; keep it until all have tried."""
    backend = open_backend()
    for number in range(rounds):
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


def compete_in(place: Place, rounds: int, barrier: Any, told: Any) -> None:
    compete(lambda: opened(place), rounds, barrier, told)


def competition(place: Place, processes: int, rounds: int) -> list[tuple[int, Any, str]]:
    """Let processes want the same runs; return what each was told in each round."""
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(processes), context.Queue()
    people = [
        context.Process(target=compete_in, args=(place, rounds, barrier, told)) for _ in range(processes)
    ]
    for one in people:
        one.start()
    found = [told.get(timeout=120) for _ in range(processes * rounds)]
    for one in people:
        one.join()
    return found


def assert_one_has_it(told: list[tuple[int, Any, str]], processes: int, rounds: int) -> None:
    for number in range(rounds):
        here = [(outcome, text) for at, outcome, text in told if at == number]
        (winner,) = [text for outcome, text in here if outcome == "won"]
        refused = [text for outcome, text in here if outcome == 6]
        assert len(refused) == processes - 1
        assert all(winner in text and " since 20" in text for text in refused)


@contextmanager
def holder(place: Place, skew: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds a run, on a clock that is off by ``skew`` seconds; it has written then."""
    with _process(HOLDER, json.dumps(place), str(skew), str(SECONDS)) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process


@contextmanager
def _process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stop_past_the_lease(place: Place, skew: float) -> None:
    """Stop a holder for longer than its lease, and see that it is refused and never seen again."""
    with holder(place, skew) as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        take_over(place, sleeper, lambda: sleeper.send_signal(signal.SIGCONT))


def cut_off_past_the_lease(theirs: Place, place: Place, between: Proxy, skew: float) -> None:
    """Cut a holder off from its store for longer than its lease; the same is to be seen."""
    with holder(theirs, skew) as partitioned:
        between.black_hole = True
        take_over(place, partitioned, lambda: setattr(between, "black_hole", False))


def take_over(place: Place, late: subprocess.Popen[str], back: Callable[[], object]) -> None:
    """Take a run from a holder that gives no sign of life; let it come back and write."""
    with pytest.raises(LeaseHeld):
        take(opened(place), "run", "train")
    time.sleep(1.5 * SECONDS)
    backend = opened(place)
    with take(backend, "run", "train") as lease:
        write(backend, lease, 20, 60, 2.0)
        back()
        answer, _ = late.communicate("go on\n", timeout=60)
        lines = answer.splitlines()
        assert len(lines) == 2
        for line in lines:
            assert line.startswith("6 run run: the lease on it is lost: it was taken over by")
            assert f"pid {lease.holder.pid}" in line
    assert_untouched(opened(place), [1.0] * 20 + [2.0] * 40, {20: 1.0, 40: 2.0, 60: 2.0})


def kill_the_holder(place: Place) -> None:
    """Kill a holder, and see that it is known to be lost and that its run goes on."""
    with holder(place) as killed:
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


def kill_who_goes_back(place: Place, kills: int) -> int:
    """Kill a process that trains again from earlier iterations; return how many attempts it made.

    What is read never mixes attempts: its iterations count up, none is older than one before it, and
    what the newest attempt was told is kept is there.  Nor does any attempt erase another.
    """
    rng, backend, attempt, at = random.Random(0), opened(place), 0, 0
    for _ in range(kills):
        with _process(RESTARTER, json.dumps(place), str(attempt), str(at)) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            end = time.monotonic() + rng.uniform(0, 0.4)
            while time.monotonic() < end:
                lines.append(process.stdout.readline())
            process.kill()
            lines += process.stdout.readlines()
        attempt, told = map(int, [line for line in lines if line.endswith("\n")][-1].split())
        stats = StatsStore(backend).retrieve_training_stats("run")
        attempts = stats.columns["loss"]
        assert stats.iterations.tolist() == list(range(len(stats)))
        assert (np.diff(attempts) >= 0).all()
        # Beyond that it may just have begun to go back, or have written what it had no time to tell.
        began = backend.epochs("run")[-1]
        assert len(stats) >= told or began.start < told
        attempt, at = attempt + 1, len(stats)
    epochs = backend.epochs("run")
    written = [epoch for epoch in epochs if backend.blocks("run", epoch.number)]
    assert len(written) >= kills
    return len(epochs)
