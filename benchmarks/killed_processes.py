"""Processes killed with signal 9 at every step of what they do, or at random: the long forms, counted.

python -m benchmarks.killed_processes [--quick] [NAME ...]
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import test_killed_changes as short
import test_upgrade
from killed import EVERY_CALL_ON_FILES, dies, killed_at_each_write

import old_stores
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.create_store import create_config_store
from dacapo.store.files import FileBackend
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from dacapo.testing.stores import stats_of
from mongo_places import fresh_place
from scripted import weights_of
from stored_runs import stores_of

from .long_forms import Row, main, measure_all, options, row, server

SIZE = 20_000  # of what is written, so that a kill finds it under way
LABELS = ScoreLabels(("a",), ("p",), (Criterion("dice", True),))


@attrs.frozen
class Kind:
    """Something that is written over and over; what is read afterwards is some whole number."""

    name: str
    write: Callable[[FileBackend, int], Any]
    read: Callable[[FileBackend], int]


def _scores(backend: FileBackend, number: int) -> None:
    scores = ValidationScores.labelled(LABELS)
    scores.scores = StatsStore(backend).retrieve_validation_iteration_scores("run")
    for each in range(len(scores.scores), number + 1):
        scores.add_iteration_scores(ValidationIterationScores(each, [[[float(each)]]]))
    StatsStore(backend).store_validation_iteration_scores("run", scores)


def _read_document(collection: str, key: str) -> Callable[[FileBackend], int]:
    def read(backend: FileBackend) -> int:
        found = backend.get(collection, key)
        assert found is None or found["text"] == f"{found['number']}" * SIZE
        return -1 if found is None else int(found["number"])

    return read


def _read_stats(backend: FileBackend) -> int:
    stats = StatsStore(backend).retrieve_training_stats("run")
    assert stats.iterations.tolist() == list(range(len(stats))) and not len(stats) % 100
    return len(stats) // 100 - 1


def _read_scores(backend: FileBackend) -> int:
    found = StatsStore(backend).retrieve_validation_iteration_scores("run")
    assert [one.iteration for one in found] == list(range(len(found)))
    assert [one.scores for one in found] == [[[[float(one.iteration)]]] for one in found]
    return len(found) - 1


def _read_weights(backend: FileBackend) -> int:
    store = WeightsStore(backend)
    if not store.iterations("run"):
        return -1
    found = store.retrieve_weights("run", 5)
    assert found.optimizer is not None
    (value,) = {*found.model["x"].tolist(), found.optimizer["step"], *found.optimizer["m"].tolist()}
    return int(value)


def _document(collection: str, key: str) -> Callable[[FileBackend, int], Any]:
    return lambda b, n: b.put(collection, key, {"number": n, "text": f"{n}" * SIZE}, replace=True)


KINDS = (
    Kind("config", _document("tasks", "a"), _read_document("tasks", "a")),
    Kind("pointer to the best", _document("best", "run/a%2Fdice"), _read_document("best", "run/a%2Fdice")),
    Kind("stats", lambda b, n: StatsStore(b).store_training_stats("run", stats_of(0, 100 * n + 100)),
         _read_stats),
    Kind("scores", _scores, _read_scores),
    Kind("weights", lambda b, n: WeightsStore(b).store_weights("run", 5, weights_of(float(n), SIZE)),
         _read_weights),
)  # fmt: skip


@contextmanager
def forked(work: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """Let a forked process work, with a pipe to tell on; it is killed at the end."""
    told, tell = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(told)
            work(tell)
        finally:
            os._exit(3)
    os.close(tell)
    try:
        yield process, told
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(told)


def _written_after(kind: Kind, root: Path, begin: int) -> Callable[[int], None]:
    def work(tell: int) -> None:
        number = begin
        while True:
            kind.write(FileBackend(root), number)
            os.write(tell, b"x")
            number += 1

    return work


def random_kills(folder: Path, quick: bool) -> Row:
    """Kill a process that writes without a pause, at random moments, 300 times for each kind."""
    count, writes, rng = 20 if quick else 300, 0, random.Random(5)
    for kind in KINDS:
        root, reached = folder / kind.name, -1
        for number in range(count):
            if number % 25 == 0:  # stats and scores that go on for ever are slow to read again
                root, reached = folder / f"{kind.name} {number}", -1
            with forked(_written_after(kind, root, reached + 1)) as (process, told):
                select.select([told], [], [], 30)
                time.sleep(rng.uniform(0, 0.02))
                os.kill(process, signal.SIGKILL)
                acknowledged = len(_all(told))
            assert acknowledged, f"{kind.name}: nothing was written"
            found = kind.read(FileBackend(root))
            # The last may have been done, and not told.
            assert reached + acknowledged <= found <= reached + acknowledged + 1, (kind.name, found)
            writes, reached = writes + acknowledged, found
    return row(
        "P2 kill -9 at random moments", f"0 unreadable or lost in {len(KINDS) * count:,}",
        f"{count} kills x {', '.join(kind.name for kind in KINDS)}; {writes:,} writes acknowledged",
    )  # fmt: skip


def _all(told: int) -> bytes:
    found = b""
    while data := os.read(told, 2**16):
        found += data
    return found


def kills_at_every_call(folder: Path, quick: bool) -> Row:
    """Kill a process before and after every call that changes files, and in the middle of each write."""
    kills, outcomes = 0, set()
    for kind in KINDS:
        first = folder / kind.name
        kind.write(FileBackend(first), 0)
        for at in itertools.count(step=5 if quick else 1):
            # What the one before left behind would take calls to clean up.
            root = folder / f"{kind.name} {at}"
            shutil.copytree(first, root)
            is_killed = dies(partial(kind.write, FileBackend(root), 1), at, EVERY_CALL_ON_FILES)
            now = kind.read(FileBackend(root))
            assert now in ((0, 1) if is_killed else (1,)), (kind.name, at, now)
            kind.write(FileBackend(root), 2)
            assert kind.read(FileBackend(root)) == 2, (kind.name, at)
            if not is_killed:
                break
            outcomes.add((kind.name, now))
            kills += 1
    assert quick or len(outcomes) == 2 * len(KINDS), outcomes
    return row(
        "P2 kill -9 at every call", f"0 of {kills} neither old nor new",
        "before, amid and after each write, fsync, link, rename, unlink, open ... of "
        f"{len(KINDS)} kinds",
    )  # fmt: skip


class _Place:
    """A place that a killed process and this one open, each for itself; see the short form."""

    def __init__(self, open_backend: Callable[[], Any], every: int) -> None:
        self.open_backend, self.every = open_backend, every

    def __call__(self) -> Any:
        return self.open_backend()


@contextmanager
def _counted_kills(module: Any, every: int | None = None) -> Iterator[list[int]]:
    """Count the kills that a short form makes, and make one at every so many writes."""
    kills: list[int] = []

    def counted(work: Callable[[], Any], _every: int = 1, *calls: Any) -> Iterator[int]:
        for at in killed_at_each_write(work, every or _every, *calls):
            kills.append(at)
            yield at

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "killed_at_each_write", counted)
        yield kills


CHANGES: tuple[tuple[str, Callable[[Any, Any, Path], None]], ...] = (
    ("deletions", lambda p, new, _: short.test_a_deletion_that_is_killed_is_finished_by_check(p, new)),
    ("renamings", lambda p, new, _: short.test_a_rename_that_is_killed_is_finished_by_check(p, new)),
    ("copies", short.test_a_copy_that_is_killed_goes_on),
    ("uploads", lambda place, *_: short.test_an_upload_that_is_killed_leaves_the_checkpoint_before_it(place)),
)  # fmt: skip


def changes(folder: Path, quick: bool) -> Row:
    """Kill deletions, renamings, copies and uploads before and after every write; check repairs them."""
    told = []
    with (
        server(folder) as replica_set,
        server(folder, None) as alone,
        options(lease_seconds=1),
        _counted_kills(short, 7 if quick else 1) as kills,
    ):
        for name, change in CHANGES:
            begun = len(kills)
            for where in ("files", replica_set.uri, alone.uri):
                with fresh_place(replica_set.uri if where == "files" else where) as mongo:
                    at = folder / secrets.token_hex(4)
                    place = _Place(
                        (lambda at=at: FileBackend(at / "runs")) if where == "files"
                        else lambda mongo=mongo: MongoBackend(mongo.uri, mongo.name), 1,
                    )  # fmt: skip
                    change(place, lambda place=place, at=at: stores_of(place(), at / "arrays"), at)
                    connection.close_all()
            told.append(f"{len(kills) - begun} {name}")
    return row(
        "P13 kill -9 at every step of a change", f"0 of {len(kills)} neither old nor new after the repair",
        f"files, replica set, standalone: {', '.join(told)}; check finds nothing afterwards",
    )  # fmt: skip


def upgrades(folder: Path, quick: bool) -> Row:
    """Kill the upgrade of an old store before and after every write; nothing is lost, and it is finished."""
    kills, every = [], 9 if quick else 1
    with server(folder) as replica_set:
        for at_mongo in (False, True):
            last = 0
            for number in range(0, 10_000, every):
                with fresh_place(replica_set.uri) as mongo:
                    at = folder / f"{at_mongo} {number}"
                    if not _upgrade_dies(at, mongo if at_mongo else None, number, folder / "data"):
                        break
                    last = number + 1
            assert last > 20
            kills.append(last)
    figure = f"0 fields, stats, scores or checkpoints lost in {sum(kills) // every} kills"
    return row("P20 kill -9 at every step of an upgrade", figure,
               f"stores of the seed era: {kills[0]} steps in files, {kills[1]} in MongoDB")  # fmt: skip


def _upgrade_dies(at: Path, mongo: Any, number: int, data: Path) -> bool:
    """Kill the upgrade of a new old store at a write; see that it reads as before, and finish it."""
    given = {"runs_base_dir": at, **(mongo.options if mongo else {})}
    with options(**given):
        old = old_stores.OldMongoStore(mongo) if mongo else old_stores.OldFileStore(at)
        old_stores.fill(old, data)
        config = create_config_store().retrieve_run_config(old_stores.NAME)
        old_stores.write_checkpoint(at, config, 4)
        old_stores.write_best(at, "validate", "ball__voi", 4)
        before = test_upgrade.state(at)
        connection.close_all()
        killed = dies(lambda: test_upgrade.everything(old), number)
        found = test_upgrade.state(at)
        assert (found[0], found[4]) == (before[0], before[4]) and set(before[5]) <= set(found[5])
        assert not mongo or found[:4] == before[:4]  # old pickles are read by the import only
        test_upgrade.everything(old)
        done = test_upgrade.state(at)
        assert (done[0], done[4]) == (before[0], before[4]) and len(done[1]["loss"]) == 6
        assert test_upgrade.everything(old) == []
        connection.close_all()
    return killed


ALL = (random_kills, kills_at_every_call, changes, upgrades)


def measure(quick: bool = False, chosen: Sequence[str] = ()) -> list[Row]:
    """Return a row for every long form; anything that goes wrong raises."""
    return measure_all(ALL, quick, chosen)


if __name__ == "__main__":
    main(measure)
