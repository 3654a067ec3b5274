"""Eight processes claim runs, sleep past their leases on clocks an hour off, and write too late.

    python -m benchmarks.leases [--quick]

A result is a run that somebody trained to the end and was told so.  There should be one for
each run, and of what was written too late nothing should be read.
"""

from __future__ import annotations

import multiprocessing
import random
import secrets
import sys
import tempfile
import time
from typing import Any

import numpy as np

from dacapo.errors import LeaseHeld
from dacapo.experiments.training_stats import TrainingStats
from dacapo.store.backend import Block, StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.lease import Lease, Watch, take
from dacapo.store.mongo import MongoBackend
from dacapo.store.stats_store import StatsStore

from .mongo_stores import row, server

PROCESSES, LENGTH, SLEEPS, NEXT = 8, 20, 0.15, 12
LATE = -1.0


def opened(place: tuple[str, ...]) -> StoreBackend:
    """Open a place by the arguments of its backend: a folder, or a URI and a database."""
    return FileBackend(*place) if len(place) == 1 else MongoBackend(*place)


def work(place: tuple[str, ...], runs: int, held: float, number: int, told: Any) -> None:
    """Train runs until all are trained; tell each result, and each sleep that ended too late."""
    now, skew = time.time, random.Random(number).choice([-3600, 0, 3600])
    time.time = lambda: now() + skew
    backend, watch, rng = opened(place), Watch(), random.Random(number)
    left = [f"run-{one:04}" for one in range(runs)]
    while left:
        run = rng.choice(left[:NEXT])  # so that who sleeps is looked at by the others
        try:
            lease = take(backend, run, "train", seconds=held, watch=watch)
        except LeaseHeld:
            time.sleep(held / 20)
            continue
        with lease:
            if StatsStore(backend).retrieve_training_stats(run).trained_until() == LENGTH:
                lease.begin()  # as dacapo train does, so that what comes late is cut
                left.remove(run)
            else:
                train(backend, lease, float(number), rng.random() < SLEEPS, told)
    told.put(("done", "", 0.0))


def train(backend: StoreBackend, lease: Lease, value: float, sleeps: bool, told: Any) -> None:
    """Train a run to its end, perhaps asleep in the middle for longer than the lease lasts."""
    store, stats = StatsStore(backend), TrainingStats()
    store.write_under(lease)
    try:
        store.begin_epoch(lease.run, 0)
    except LeaseHeld:
        return
    if sleeps:
        lease.stop_beating()
        time.sleep(3 * lease.holder.seconds)
    stats.append(np.arange(LENGTH), {"loss": np.full(LENGTH, value), "time": np.ones(LENGTH)})
    try:
        store.store_training_stats(lease.run, stats)
        lease.confirm()
        told.put(("result", lease.run, value))
    except LeaseHeld:
        losses = {"loss": np.full(LENGTH, LATE), "time": np.ones(LENGTH)}
        due = backend.tail(lease.run, lease.number).sequence
        backend.append_block(lease.run, lease.number, Block(due, np.arange(LENGTH), losses))
        told.put(("late", lease.run, value))


def measure_place(where: str, place: tuple[str, ...], runs: int, held: float) -> dict[str, Any]:
    """Let all processes work, and count what should not be there."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    people = [context.Process(target=work, args=(place, runs, held, one, told)) for one in range(PROCESSES)]
    for one in people:
        one.start()
    found: list[tuple[str, str, float]] = []
    while sum(what == "done" for what, _, _ in found) < PROCESSES:
        found.append(told.get(timeout=600))
    for one in people:
        one.join()
    results = {run: [value for what, at, value in found if (what, at) == ("result", run)]
               for run in (f"run-{one:04}" for one in range(runs))}  # fmt: skip
    store = StatsStore(opened(place))
    read = {run: store.retrieve_training_stats(run).columns["loss"].tolist() for run in results}
    doubles = sum(len(values) > 1 for values in results.values())
    wrong = 0
    for run, values in results.items():
        # Who was replaced between its last append and the question whether that counts is told that it was
        # too late; what it wrote may count, so that the next one has nothing to do.
        possible = values or [value for what, at, value in found if (what, at) == ("late", run)]
        wrong += read[run] not in [[value] * LENGTH for value in possible]
    late = sum(what == "late" for what, _, _ in found)
    return row(
        f"{where}: double results, late writes that are read",
        f"{doubles}, {wrong}",
        "0, 0",
        f"{PROCESSES} processes, {runs} runs, {late} holders that slept past their lease and wrote too late, "
        "clocks up to an hour off",
    )


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    runs = 24 if quick else 300
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure_place("files", (folder,), runs, 2.0)]
    with server() as uri:
        rows.append(measure_place("MongoDB", (uri, f"leases_{secrets.token_hex(4)}"), runs, 2.0))
    return rows


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in measure("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one))


if __name__ == "__main__":
    main()
