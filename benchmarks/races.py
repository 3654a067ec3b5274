"""What many processes do to one run, and random commands on every backend: the long forms, counted.

    python -m benchmarks.races [--quick] [NAME ...]

The names are those of the functions below: ``competitions``, ``sleepers``, ``partitions``, ``kills``,
``going_back``, ``commands``.  What goes wrong raises.
"""

from __future__ import annotations

import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import holders
from holders import Place
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend, connection
from dacapo.testing.store_machine import comparison
from dacapo.testing.stores import Opener
from mongo_places import empty, fresh_place
from mongod import Mongod
from proxy import Proxy

Row = dict[str, str]
PROCESSES = 8
SKEWS = (-3600.0, -5.0, 5.0, 3600.0)
FILES, MONGO = "dacapo.store.files.FileBackend", "dacapo.store.mongo.MongoBackend"
numbers = itertools.count()


@contextmanager
def places(folder: Path, uri: str) -> Iterator[list[Place]]:
    """Yield a fresh place in files and one in MongoDB."""
    with fresh_place(uri) as mongo:
        yield [
            (FILES, [str(folder / str(next(numbers)))]),
            (MONGO, [mongo.uri, mongo.name]),
        ]


def competitions(folder: Path, uri: str, quick: bool) -> Row:
    """Processes that want to train the same runs at the same time."""
    rounds = 5 if quick else 100
    with places(folder, uri) as both:
        for place in both:
            told = holders.competition(place, PROCESSES, rounds)
            holders.assert_one_has_it(told, PROCESSES, rounds)
    refused = 2 * rounds * (PROCESSES - 1)
    figure = f"{2 * rounds} runs, one holder each; {refused:,} told who has it, with exit code 6"
    return row("P4 one trainer a run", figure, f"{PROCESSES} processes x {rounds} rounds x files and MongoDB")


def sleepers(folder: Path, uri: str, quick: bool) -> Row:
    """Holders that are stopped past their lease, on clocks that are off either way, and write then."""
    count = 1 if quick else 8
    for _ in range(count):
        for skew in SKEWS:
            with places(folder, uri) as both:
                for place in both:
                    holders.stop_past_the_lease(place, skew)
    figure = f"0 of {2 * len(SKEWS) * count} late writers seen, each refused"
    how = "SIGSTOP, clocks 5 s and an hour off either way, files and MongoDB"
    return row("P5 stopped past the lease", figure, how)


def partitions(folder: Path, uri: str, quick: bool) -> Row:
    """Holders cut off from their store for longer than their lease, and that write once it is back."""
    count = 2 if quick else 20
    for number in range(count):
        with fresh_place(uri) as mongo:
            between = Proxy(int(mongo.uri.rstrip("/").rpartition(":")[2]))
            try:
                theirs: Place = (MONGO, [f"{between.uri}&timeoutMS=2000", mongo.name])
                holders.cut_off_past_the_lease(
                    theirs, (MONGO, [mongo.uri, mongo.name]), between, SKEWS[number % 4]
                )
            finally:
                between.close()
    return row("P5 cut off past the lease", f"0 of {count} late writers seen, each refused",
               "black hole, clocks 5 s and an hour off either way, MongoDB")  # fmt: skip


def kills(folder: Path, uri: str, quick: bool) -> Row:
    """Holders that are killed, and whose runs go on."""
    count = 2 if quick else 20
    for _ in range(count):
        with places(folder, uri) as both:
            for place in both:
                holders.kill_the_holder(place)
    return row("P6 killed holders", f"{2 * count} of {2 * count} seen as lost and gone on from",
               "kill -9, files and MongoDB")  # fmt: skip


def going_back(folder: Path, uri: str, quick: bool) -> Row:
    """Processes that train again from earlier iterations, and are killed doing so."""
    count, attempts = 3 if quick else 40, 0
    with places(folder, uri) as both:
        for place in both:
            attempts += holders.kill_who_goes_back(place, count)
    figure = f"0 of {attempts:,} attempts erased or mixed"
    return row("P3 killed while going back", figure, f"{count} x kill -9, files and MongoDB")


def commands(folder: Path, uri: str, quick: bool) -> Row:
    """The same random commands to two backends, which have to give the same answers."""
    few = settings(
        max_examples=20 if quick else 1000, stateful_step_count=50, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate,),
    )  # fmt: skip

    def in_memory() -> Opener:
        name = f"model {next(numbers)}"
        return lambda: MemoryBackend(name)

    def in_files() -> Opener:
        place = folder / str(next(numbers))
        return lambda: FileBackend(place)

    run_state_machine_as_test(comparison(in_memory, in_files), settings=few)
    with tempfile.TemporaryDirectory() as name:
        alone = Mongod(Path(name), None).start()
        try:
            for one in (uri, alone.uri):
                with fresh_place(one) as mongo:

                    def in_mongo(mongo=mongo) -> Opener:  # type: ignore[no-untyped-def]
                        empty(mongo)
                        return lambda: MongoBackend(mongo.uri, mongo.name)

                    run_state_machine_as_test(comparison(in_memory, in_mongo), settings=few)
        finally:
            connection.close_all()
            alone.stop()
    figure = f"3 x {few.max_examples:,} x up to 50 commands, same answers"
    return row("P21 same answers", figure, "files, MongoDB alone and as a replica set, against memory")


ALL: tuple[Callable[[Path, str, bool], Row], ...] = (
    competitions, sleepers, partitions, kills, going_back, commands,
)  # fmt: skip


def row(bar: str, figure: str, how: str) -> Row:
    """Return one line of the table."""
    return {"bar": bar, "figure": figure, "target": "", "how": how}


def measure(quick: bool = False, chosen: tuple[str, ...] = ()) -> list[Row]:
    """Return a row for every long form; anything that goes wrong raises."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mongo").mkdir()
        server = Mongod(folder / "mongo").start()
        try:
            for one in ALL:
                if not chosen or one.__name__ in chosen:
                    begin = time.monotonic()
                    rows.append(one(folder, server.uri, quick))
                    took = time.monotonic() - begin
                    print(f"{rows[-1]['bar']}: {rows[-1]['figure']} ({took:.0f} s)", flush=True)
        finally:
            connection.close_all()
            server.stop()
    return rows


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # every take-over is told, which is what is wanted elsewhere
    measure("--quick" in sys.argv, tuple(name for name in sys.argv[1:] if not name.startswith("-")))
