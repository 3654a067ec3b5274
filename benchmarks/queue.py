"""How fast runs are claimed from the queue by 8 processes, and whether one is handed out twice.

    python -m benchmarks.queue [--quick]

Beside it, in the same run: the naive way (look, then take) on the same server, which hands runs
out twice, and the bare operations of the driver and the file system, which take turns with the
store: what a machine does a second depends on what else it does.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pymongo
from pymongo.write_concern import WriteConcern

from benchmarks.mongo_stores import row, server
from dacapo.store.backend import StoreBackend
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.queue import Change, Queue
from dacapo.store.queue_backend import Place

PROCESSES, ROUNDS = 8, 3
Claim = Callable[[], str | None]
Rush = tuple[float, int, int]


def fill(backend: StoreBackend, runs: int) -> None:
    """Let runs wait at three priorities."""
    for number in range(runs):
        place = Place(number % 3, number)
        backend.add_change(f"run-{number}", 0, {"state": "queued", "time": Change.here("").time}, place=place)


def from_queue(open_backend: Callable[[], StoreBackend]) -> Claim:
    """Claim as workers do: with the history of what was claimed."""
    queue = Queue(ConfigStore(open_backend()))

    def claim() -> str | None:
        entry = queue.claim("@worker", {"gpus": 1})
        return entry.run if entry else None

    return claim


def by_driver(uri: str, name: str, naive: bool = False) -> Claim:
    """Claim in a plain collection with nothing but a flag; ``naive`` looks first, and takes then."""
    majority = WriteConcern("majority", j=True)
    there = pymongo.MongoClient[Any](uri)[name].get_collection("plain", write_concern=majority)

    def claim() -> str | None:
        if naive:
            found = there.find_one({"waits": 1}, sort=[("order", 1)])
            if found is not None:
                there.update_one({"_id": found["_id"]}, {"$set": {"waits": 0}})
        else:
            found = there.find_one_and_update({"waits": 1}, {"$set": {"waits": 0}}, sort=[("order", 1)])
        return found["_id"] if found else None

    return claim


def alone_by_driver(uri: str, name: str, runs: int) -> Claim:
    """Take runs that no other process wants: all that the server can do with such writes."""
    majority = WriteConcern("majority", j=True)
    there = pymongo.MongoClient[Any](uri)[name].get_collection("plain", write_concern=majority)
    counter = there.find_one_and_update({"_id": "first"}, {"$inc": {"next": 1}}, upsert=True)
    numbers = iter(range(counter["next"] if counter else 0, runs, PROCESSES))

    def claim() -> str | None:
        if (number := next(numbers, None)) is None:
            return None
        mine = {"_id": f"run-{number}", "waits": 1}
        there.find_one_and_update(mine, {"$set": {"waits": 0}})
        return mine["_id"]

    return claim


def by_rename(folder: Path) -> Claim:
    """Claim files by renaming them, with nothing in them."""
    names = sorted(os.listdir(folder / "waiting"))

    def claim() -> str | None:
        while names:
            name = names.pop(0)
            try:
                os.rename(folder / "waiting" / name, folder / "taken" / name)
            except FileNotFoundError:
                continue
            return name
        return None

    return claim


def _work(make: Callable[[], Claim], barrier: Any, results: Any) -> None:
    claim = make()
    barrier.wait()
    begin, claimed = time.perf_counter(), []
    while (run := claim()) is not None:
        claimed.append(run)
    results.put((begin, time.perf_counter(), claimed))


def gathered(processes: Sequence[Any], results: Any) -> list[Any]:
    """Return what each process has put into a queue; if one dies the others are stopped, and it is named."""
    found: list[Any] = []
    while len(found) < len(processes):
        try:
            found.append(results.get(timeout=1))
        except Empty:
            died = [f"{one.name} with exit code {one.exitcode}" for one in processes if one.exitcode]
            if died:
                for process in processes:
                    process.kill()
                raise RuntimeError(f"of {len(processes)} processes some died: {', '.join(died)}") from None
    return found


def rush(make: Callable[[], Claim]) -> Rush:
    """Let all processes claim until nothing is left; return claims a second, claims, and doubles."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=_work, args=(make, barrier, results)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    done = gathered(processes, results)
    for process in processes:
        process.join()
    claimed = [run for _, _, runs in done for run in runs]
    seconds = max(end for _, end, _ in done) - min(begin for begin, _, _ in done)
    return len(claimed) / seconds, len(claimed), len(claimed) - len(set(claimed))


def open_files(folder: Path) -> StoreBackend:
    """Open a store in files."""
    return FileBackend(folder)


def open_mongo(uri: str, name: str) -> StoreBackend:
    """Open a store in a database."""
    return MongoBackend(uri, name)


def rows_of(
    what: str, runs: int, store: Callable[[int], Rush], bare: Callable[[int], Rush]
) -> list[dict[str, Any]]:
    """Measure one store in turns with the operations below it; each goes first in every other round."""
    rates, twice = np.empty((ROUNDS, 2)), 0
    for number in range(ROUNDS):
        for which in (0, 1) if number % 2 else (1, 0):
            rates[number, which], count, doubles = (store, bare)[which](number)
            if count - doubles != runs:
                raise RuntimeError(f"{what}: {runs} runs waited, and {count - doubles} of them were claimed")
            twice += doubles
    how = f"{PROCESSES} processes, {runs:,} queued runs; {ROUNDS} rounds"
    rate, below = np.median(rates, axis=0)
    against = f"which does {below:,.0f} /s; in turns, median of {ROUNDS}"
    return [
        row(f"{what}, claims", f"{rate:,.0f} /s", "≥ 1,500 /s", f"{how}, median"),
        row(f"{what}, handed out twice", f"{twice}", "0", how),
        row(
            f"{what}, against the bare operation",
            f"{np.median(rates[:, 0] / rates[:, 1]):.2f} x",
            "",
            against,
        ),
    ]


@contextmanager
def plain_collection(uri: str, name: str, runs: int) -> Iterator[None]:
    """Keep a collection of runs that wait, with an index, while the body runs."""
    with pymongo.MongoClient[Any](uri) as client:
        there = client[name]["plain"]
        there.create_index([("waits", 1), ("order", 1)])
        there.insert_many({"_id": f"run-{number}", "waits": 1, "order": number} for number in range(runs))
        yield
        there.drop()


def on_mongo(runs: int) -> list[dict[str, Any]]:
    """Measure the queue in MongoDB, and what the driver does with less to write."""
    with server() as uri:
        name = f"dacapo_benchmark_{secrets.token_hex(4)}"

        def bare(number: int) -> Rush:
            with plain_collection(uri, name, runs):
                return rush(partial(by_driver, uri, name))

        def store(number: int) -> Rush:
            place = f"{name}_{number}"
            fill(open_mongo(uri, place), runs)
            try:
                return rush(partial(from_queue, partial(open_mongo, uri, place)))
            finally:
                connection.close_all()
                with pymongo.MongoClient[Any](uri) as client:
                    client.drop_database(place)

        rows = rows_of("MongoDB", runs, store, bare)
        with plain_collection(uri, name, runs):
            alone, _, _ = rush(partial(alone_by_driver, uri, name, runs))
        with plain_collection(uri, name, runs // 8):
            _, naive, doubles = rush(partial(by_driver, uri, name, True))
        with pymongo.MongoClient[Any](uri) as client:
            client.drop_database(name)
    twice = f"{doubles:,} of {naive:,}"
    return [
        *rows,
        row("driver, each process its own runs", f"{alone:,.0f} /s", "", "majority and journal"),
        row("looking first and taking then", twice, "", f"handed out twice, of {runs // 8:,} runs"),
    ]


def on_files(runs: int) -> list[dict[str, Any]]:
    """Measure the queue in files, and what renaming empty files does."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("DACAPO_BENCHMARK_FOLDER")) as name:
        folder = Path(name)

        def bare(number: int) -> Rush:
            place = folder / f"bare-{number}"
            for part in ("waiting", "taken"):
                (place / part).mkdir(parents=True)
            for run in range(runs):
                (place / "waiting" / f"run-{run}").touch()
            return rush(partial(by_rename, place))

        def store(number: int) -> Rush:
            place = folder / f"store-{number}"
            fill(open_files(place), runs)
            return rush(partial(from_queue, partial(open_files, place)))

        return rows_of("files", runs, store, bare)


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was measured, the figure, the target, how."""
    runs = 400 if quick else 4000
    return [*on_mongo(runs), *on_files(runs)]


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in measure("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one))


if __name__ == "__main__":
    main()
